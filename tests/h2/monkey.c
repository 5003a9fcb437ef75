/*
 * Two sessions at the hands of a monkey: random calls on both ends, random
 * writes, random chunks. Whatever it does, both ends agree: nothing is a
 * protocol error, what was sent arrives in order, every stream is closed once,
 * every slice released once.
 */
#include "audit.h"
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#define STEPS 3000

static rig r;

/* What the monkey did to a stream, beside what the rig keeps. */
typedef struct plan {
  bool answered, finished, reset;
  size_t sent, consumed;
  uint32_t sum;
} plan;

static plan plans[2][RIG_STREAMS];

static unsigned pick(unsigned below) {
  return (unsigned)rand() % below;
}

static size_t pick_size(void) {
  switch (pick(4)) {
  case 0:
    return pick(10);
  case 1:
    return pick(1100);
  case 2:
    return 900 + pick(200);
  default:
    return pick(50000);
  }
}

static plan *plan_of(const rig_stream *st) {
  return &plans[st->end == &r.server][st - st->end->streams];
}

static void do_request(void) {
  rig_stream *st;
  if (r.client.count == RIG_STREAMS - 10) return;
  int rc = rig_try_request(&r.client, "/s/m", &st);
  if (rc) {
    assert_true(rc == CAW_EAGAIN || rc == CAW_ECLOSED);
    return;
  }
  *plan_of(st) = (plan){.answered = true, .sum = 2166136261u};
}

static void do_send(rig_stream *st, plan *p) {
  slice s = rig_slice(pick_size());
  uint32_t sum = rig_sum(p->sum, s.data, s.len);
  size_t len = s.len;
  int rc = h2_send(st->end->s, st->h2, s);
  assert_int_equal(rc, p->answered && !p->finished && !p->reset ? 0 : CAW_ESTATE);
  if (rc) return;
  p->sum = sum;
  p->sent += len;
}

static int finish_alone(rig_stream *st) {
  static const h2_field f[] = {{CAW_STR(":status"), CAW_STR("200"), 0, 0},
                               {CAW_STR("grpc-status"), CAW_STR("5"), 0, 0}};
  return h2_finish(st->end->s, st->h2, f, 2);
}

static void do_finish(rig_stream *st, plan *p) {
  bool server = st->end == &r.server;
  int rc = p->answered ? rig_finish(st, server || pick(4) == 0 ? "0" : NULL) : finish_alone(st);
  if (p->finished || p->reset) {
    assert_int_equal(rc, CAW_ESTATE);
    return;
  }
  assert_int_equal(rc, 0);
  p->finished = p->answered = true;
}

static void do_respond(rig_stream *st, plan *p) {
  bool may = st->end == &r.server && !p->answered && !p->reset;
  assert_int_equal(rig_respond(st), may ? 0 : CAW_ESTATE);
  if (may) p->answered = true;
}

static void do_reset(rig_stream *st, plan *p) {
  assert_int_equal(h2_reset(st->end->s, st->h2, H2_CANCEL), 0);
  p->reset = true;
}

static void do_consume(rig_stream *st, plan *p) {
  size_t n = st->received - p->consumed;
  if (pick(2) && n) n = pick((unsigned)n);
  assert_int_equal(h2_consume(st->end->s, st->h2, n), 0);
  p->consumed += n;
}

static void do_stream(rig_end *e) {
  if (!e->count) return;
  rig_stream *st = &e->streams[pick((unsigned)e->count)];
  if (st->closes) return;
  plan *p = plan_of(st);
  /* A server stream that is new to the monkey has a plan of zeros. */
  if (!p->sum) p->sum = 2166136261u;
  switch (pick(12)) {
  case 0:
    do_finish(st, p);
    break;
  case 1:
    if (pick(4) == 0) do_reset(st, p);
    break;
  case 2:
  case 3:
  case 4:
    do_respond(st, p);
    break;
  case 5:
  case 6:
  case 7:
  case 8:
    do_send(st, p);
    break;
  default:
    do_consume(st, p);
    break;
  }
}

static void do_carry(void) {
  bool up = pick(2);
  size_t most = pick(3) ? SIZE_MAX : 1 + pick(20000);
  r.chunk = pick(4) ? 0 : 1 + pick(5);
  rig_carry(&r, up ? &r.client : &r.server, up ? &r.server : &r.client, most);
}

static void step(void) {
  rig_end *e = pick(2) ? &r.client : &r.server;
  switch (pick(8)) {
  case 0:
    if (pick(3) == 0) do_request();
    break;
  case 1:
    if (pick(20) == 0) assert_int_equal(h2_ping(e->s, pick(99)), 0);
    break;
  case 2:
  case 3:
    do_carry();
    break;
  default:
    do_stream(e);
    break;
  }
}

/* All is read and ended; nothing is left to do. */
static void wind_up(void) {
  r.chunk = 0;
  for (int i = 0; i < 200; i++) {
    rig_pump(&r);
    for (int side = 0; side < 2; side++) {
      rig_end *e = side ? &r.server : &r.client;
      for (size_t k = 0; k < e->count; k++) {
        rig_stream *st = &e->streams[k];
        plan *p = plan_of(st);
        if (st->closes) continue;
        do_consume(st, p);
        if (!p->finished && !p->reset) do_finish(st, p);
      }
    }
  }
  rig_pump(&r);
}

static void check(void) {
  assert_null(audit(r.client.wire.data, r.client.wire.len, H2_CLIENT, 16384));
  assert_null(audit(r.server.wire.data, r.server.wire.len, H2_SERVER, 16384));
  assert_int_equal(r.client.rc, 0);
  assert_int_equal(r.server.rc, 0);
  assert_int_equal(rig_slices_live, 0);
  size_t whole = 0;
  for (size_t k = 0; k < r.server.count; k++) {
    rig_stream *s = &r.server.streams[k], *c = &r.client.streams[0];
    while (c->id != s->id) c++;
    assert_int_equal(s->closes, 1);
    assert_int_equal(c->closes, 1);
    if (s->ends) {
      assert_int_equal(s->received, plan_of(c)->sent);
      assert_int_equal(s->sum, plan_of(c)->sum);
    }
    if (c->ends) {
      assert_int_equal(c->received, plan_of(s)->sent);
      if (c->received) assert_int_equal(c->sum, plan_of(s)->sum);
      whole++;
    }
  }
  for (size_t k = 0; k < r.client.count; k++) assert_int_equal(r.client.streams[k].closes, 1);
  assert_true(whole > 0);
}

static void test_monkey(void **state) {
  (void)state;
  static const h2_config small = {.max_streams = 12, .stream_window = 30000};
  for (unsigned seed = 1; seed <= 60; seed++) {
    srand(seed);
    memset(plans, 0, sizeof(plans));
    rig_start(&r, seed % 3 ? NULL : &small, seed % 2 ? NULL : &small);
    for (int i = 0; i < STEPS; i++) step();
    wind_up();
    check();
    if (seed % 5 == 0) {
      assert_int_equal(
          h2_goaway(r.server.s, h2_last_id(r.server.s), H2_NO_ERROR, caw_str_of(NULL, 0)), 0);
      rig_pump(&r);
      assert_true(h2_finished(r.server.s));
      assert_true(h2_finished(r.client.s));
    }
    rig_stop(&r);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_monkey),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
