/*
 * How a channel cares for its connection: keepalive as gRFC A8 wants it of clients, and
 * the end of a connection that nobody uses (connectivity-semantics-and-api.md: IDLE).
 */
#include "client/client.h"

#define MILLI UINT64_C(1000000)

#define KEEPALIVE_LEAST   UINT64_C(10000) /* gRFC A8: enforced on the client */
#define KEEPALIVE_TIMEOUT UINT64_C(20000)
#define IDLE_TIMEOUT      UINT64_C(1800000)
#define IDLE_LEAST        UINT64_C(1000)

/* Never is 0. */
static uint64_t nanoseconds(uint64_t ms) {
  return ms < UINT64_MAX / MILLI ? ms * MILLI : 0;
}

static uint64_t at_least(uint64_t ms, uint64_t least) {
  return ms < least ? least : ms;
}

/* ---- Keepalive ---- */

static void set_keepalive(keepalive_config *k, const caw_channel_options *o) {
  uint64_t time = o->keepalive_time_ms, timeout = o->keepalive_timeout_ms;
  k->time = time ? nanoseconds(at_least(time, KEEPALIVE_LEAST)) : 0;
  k->timeout = nanoseconds(timeout ? timeout : KEEPALIVE_TIMEOUT);
  if (!k->timeout) k->time = 0; /* nobody would wait for the answer */
  k->without_calls = o->keepalive_permit_without_calls;
  k->max_without_data = o->keepalive_max_pings_without_data;
}

void care_calm(caw_channel *ch, const conn *c) {
  keepalive_config *k = &ch->config.keepalive;
  k->time = k->time < UINT64_MAX / 2 ? 2 * k->time : k->time;
  channel_set_error(ch,
                    "%s ended the connection, as it got PINGs too often (too_many_pings); the "
                    "keepalive time is %llu ms from now on",
                    conn_peer(c), (unsigned long long)(k->time / MILLI));
}

/* ---- Idleness ---- */

static uint64_t idle_timeout(const caw_channel *ch) {
  uint64_t ms = ch->options.idle_timeout_ms;
  return nanoseconds(ms ? at_least(ms, IDLE_LEAST) : IDLE_TIMEOUT);
}

/* It is not set anew for each call: when it fires it looks how long the rest was. */
static void fire(io_timer *timer) {
  caw_channel *ch = LIST_ENTRY(timer, caw_channel, idle.timer);
  if (!list_empty(&ch->calls)) return; /* the end of the last one starts it */
  uint64_t end = ch->idle.since + idle_timeout(ch);
  if (io_now(ch->loop) < end) io_timer_start(&ch->idle.timer, end);
  else connect_rest(ch);
}

void care_idle(caw_channel *ch) {
  idleness *idle = &ch->idle;
  if (!idle->on || ch->shut) return;
  idle->since = io_now(ch->loop);
  if (!io_timer_runs(&idle->timer)) io_timer_start(&idle->timer, idle->since + idle_timeout(ch));
}

/* ---- Life ---- */

uint64_t caw_channel_limit_hits(const caw_channel *ch, caw_limit limit) {
  if ((unsigned)limit >= CAW_LIMITS) return 0;
  return atomic_load_explicit(&ch->tally.hits[limit], memory_order_relaxed);
}

int care_init(caw_channel *ch) {
  limits_read(&ch->limits, &ch->config.h2, ch->options.limits, 0);
  ch->options.limits = NULL; /* not kept */
  ch->config.limits = &ch->limits;
  ch->config.tally = &ch->tally;
  set_keepalive(&ch->config.keepalive, &ch->options);
  if (!idle_timeout(ch)) return 0;
  if (io_timer_init(&ch->idle.timer, ch->loop, fire)) return CAW_ENOMEM;
  ch->idle.on = true;
  return 0;
}

void care_finish(caw_channel *ch) {
  if (ch->idle.on) io_timer_finish(&ch->idle.timer);
  ch->idle.on = false;
}
