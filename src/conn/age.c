/* The limits of age.h. */
#include "conn/age.h"

#include "conn/conn.h"
#include "io/sys.h"

static uint64_t sum(uint64_t a, uint64_t b) {
  return a < UINT64_MAX - b ? a + b : UINT64_MAX;
}

/* Somewhere between 90 % and 110 %, so that connections that were made at once do not
 * end at once. It needs to differ, no more: a step of splitmix64. */
static uint64_t with_jitter(uint64_t time, uint64_t seed) {
  uint64_t z = seed + UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  z ^= z >> 31;
  uint64_t tenth = time / 10;
  return sum(time - tenth, tenth / 512 * (z % 1024));
}

static uint64_t idle_end(const conn *c) {
  uint64_t most = c->config->age.max_idle;
  return most && !c->live ? sum(c->age.idle_since, most) : UINT64_MAX;
}

static void start(conn *c) {
  uint64_t idle = idle_end(c), at = idle < c->age.end ? idle : c->age.end;
  if (at != UINT64_MAX) io_timer_start(&c->age.timer, at);
}

static void fire(io_timer *timer) {
  conn *c = LIST_ENTRY(timer, conn, age.timer);
  uint64_t now = io_now(c->loop);
  if (c->failure || c->lingering) return;
  if (c->age.over) {
    conn_close(c, CAW_ETIMEDOUT, "the connection's time is over");
  } else if (c->draining) {
    return; /* for another reason, which ends it */
  } else if (now >= c->age.end) {
    c->age.over = true;
    conn_drain_for(c, "max_age");
  } else if (now >= idle_end(c)) {
    conn_drain_for(c, "max_idle");
  } else {
    start(c);
  }
}

void age_idle(conn *c) {
  c->age.idle_since = io_now(c->loop);
  if (c->age.on && c->config->age.max_idle && !c->draining) start(c);
}

void age_final(conn *c) {
  uint64_t grace = c->config->age.grace;
  if (c->age.over && grace) io_timer_start(&c->age.timer, sum(io_now(c->loop), grace));
}

int age_init(conn *c) {
  const age_config *config = &c->config->age;
  age *a = &c->age;
  a->end = UINT64_MAX;
  if (!config->max_idle && !config->max_age) return 0;
  if (io_timer_init(&a->timer, c->loop, fire)) return CAW_ENOMEM;
  a->on = true;
  a->idle_since = io_now(c->loop);
  if (config->max_age)
    a->end = sum(a->idle_since, with_jitter(config->max_age, io_sys_clock() ^ (uintptr_t)c));
  start(c);
  return 0;
}

void age_finish(conn *c) {
  if (c->age.on) io_timer_finish(&c->age.timer);
  c->age.on = false;
}
