/*
 * Memory runs out at every single allocation, one after the other: the call
 * that needed it says so, nothing leaks, and each stream is closed once.
 */
#include "rig.h"

#include <string.h>

static rig r;

static void note(rig_end *e, int rc) {
  if (rc) e->rc = rc;
}

/* Moves bytes once each way; stops at an error, as a connection would. */
static void exchange(void) {
  for (int i = 0; i < 6 && !r.client.rc && !r.server.rc; i++) {
    size_t c = r.client.wire.len, s = r.server.wire.len;
    rig_drain(&r.client);
    if (!r.client.rc) rig_feed(&r.server, r.client.wire.data + c, r.client.wire.len - c, 0);
    if (!r.server.rc) rig_drain(&r.server);
    if (!r.server.rc) rig_feed(&r.client, r.server.wire.data + s, r.server.wire.len - s, 0);
  }
}

static void answer(rig_stream *s) {
  if (s->closes) return;
  note(&r.server, rig_respond(s));
  for (int i = 0; i < 4; i++)
    if (!r.server.rc) note(&r.server, rig_send(s, (size_t)600 << (2 * i)));
  if (!r.server.rc) note(&r.server, rig_finish(s, "0"));
}

/* A conversation with all that a session can do. Streams and sessions are the
 * rig's own; everything between may fail. */
static void converse(void) {
  rig_stream *c[3] = {0};
  for (int i = 0; i < 3 && !r.client.rc; i++) {
    note(&r.client, rig_try_request(&r.client, "/s/m", &c[i]));
    if (r.client.rc) return;
    note(&r.client, rig_send(c[i], 100));
    if (!r.client.rc) note(&r.client, rig_send(c[i], 40000));
    if (!r.client.rc) note(&r.client, rig_send(c[i], 10));
    if (i != 2 && !r.client.rc) note(&r.client, rig_finish(c[i], NULL));
  }
  if (r.client.rc) return;
  note(&r.client, h2_ping(r.client.s, 1));
  exchange();
  if (r.client.rc || r.server.rc || r.server.count != 3) return;
  rig_stream *refused;
  r.server.refuse = true;
  note(&r.client, rig_try_request(&r.client, "/s/m", &refused));
  exchange();
  if (r.client.rc || r.server.rc) return;
  answer(&r.server.streams[0]);
  if (!r.server.rc) answer(&r.server.streams[2]);
  if (!r.server.rc) note(&r.server, h2_consume(r.server.s, r.server.streams[1].h2, 200000));
  exchange();
  if (r.client.rc || r.server.rc) return;
  if (c[1]->h2) note(&r.client, h2_reset(r.client.s, c[1]->h2, H2_CANCEL));
  note(&r.server, h2_goaway(r.server.s, UINT32_MAX, H2_NO_ERROR, caw_str_of(NULL, 0)));
  exchange();
  if (r.server.rc) return;
  note(&r.server, h2_goaway(r.server.s, h2_last_id(r.server.s), H2_NO_ERROR, caw_str_from("x")));
  exchange();
}

static bool start(void) {
  static const h2_config small = {.session_window = 65535}; /* to be given back often */
  int rc = rig_try_start_end(&r.client, H2_CLIENT, &small);
  if (!rc) rc = rig_try_start_end(&r.server, H2_SERVER, &small);
  assert_int_equal(rc, rig_allocation_failed ? CAW_ENOMEM : 0);
  return rc == 0;
}

/* The error came to the end that needed the memory, and to nobody else. An encoder
 * that has no memory for an entry does without it. */
static void check(void) {
  if (r.client.rc || r.server.rc) {
    assert_true(rig_allocation_failed);
    assert_int_equal(r.client.rc + r.server.rc, CAW_ENOMEM);
    assert_true(r.client.rc == 0 || r.server.rc == 0);
    return;
  }
  assert_int_equal(r.client.rc, 0);
  assert_int_equal(r.server.rc, 0);
  assert_int_equal(r.client.streams[0].ends, 1);
  assert_int_equal(r.client.streams[0].received, 600 * (1 + 4 + 16 + 64));
  assert_int_equal(r.client.streams[1].code, H2_CANCEL);
  assert_int_equal(r.server.streams[2].closes, 1);
}

static void test_every_allocation(void **state) {
  (void)state;
  size_t n = 0;
  bool failed;
  do {
    memset(&r, 0, sizeof(r));
    rig_fail_allocation(++n);
    if (start()) {
      converse();
      check();
    }
    failed = rig_allocation_failed;
    rig_fail_allocation(0);
    rig_stop_end(&r.client);
    rig_stop_end(&r.server);
    assert_int_equal(rig_allocations_live, 0);
    assert_int_equal(rig_slices_live, 0);
  } while (failed);
  assert_true(n > 40);
  print_message("%zu allocations failed in turn\n", n - 1);
}

/* Makes a call again and again, each time with one more allocation before the one
 * that fails, until it works: how often it failed. */
#define UNTIL_IT_WORKS(failures, call)                                                             \
  do {                                                                                             \
    int code;                                                                                      \
    for (size_t nth = 1; rig_fail_allocation(nth), (code = (call)) == CAW_ENOMEM; nth++)           \
      failures++;                                                                                  \
    rig_fail_allocation(0);                                                                        \
    assert_int_equal(code, 0);                                                                     \
  } while (0)

/* A call that failed took nothing and changed nothing: once there is memory
 * again, the stream goes on as if it had not been made. */
static void test_failed_calls_take_nothing(void **state) {
  (void)state;
  memset(&r, 0, sizeof(r));
  rig_fail_allocation(0);
  rig_start(&r, NULL, NULL);
  rig_pump(&r);
  rig_stream *c, *st;
  size_t requests = 0, answers = 0, sends = 0, ends = 0, pings = 0, goaways = 0, resets = 0;
  UNTIL_IT_WORKS(requests, rig_try_request(&r.client, "/s/m", &c));
  assert_int_equal(c->id, 1);
  rig_pump(&r);
  st = &r.server.streams[0];
  UNTIL_IT_WORKS(answers, rig_respond(st));
  for (size_t n = 0; n < 9; n++) { /* the queue outgrows the stream, twice */
    UNTIL_IT_WORKS(sends, rig_send(st, 9));
    assert_int_equal(rig_slices_live, n + 1);
  }
  rig_pump(&r);
  UNTIL_IT_WORKS(pings, h2_ping(r.server.s, 1));
  rig_pump(&r);
  UNTIL_IT_WORKS(goaways, h2_goaway(r.server.s, 1, H2_NO_ERROR, caw_str_of(NULL, 0)));
  rig_pump(&r);
  rig_send(st, 7);
  UNTIL_IT_WORKS(ends, rig_finish(st, "0"));
  UNTIL_IT_WORKS(ends, rig_finish(c, NULL));
  rig_pump(&r);
  assert_int_equal(c->received, 9 * 9 + 7);
  assert_int_equal(c->code, H2_NO_ERROR);
  assert_int_equal(r.client.rc, 0);
  assert_int_equal(r.server.rc, 0);
  rig_stop(&r);
  rig_start(&r, NULL, NULL);
  c = rig_request(&r.client, "/s/m");
  rig_pump(&r);
  st = &r.server.streams[0];
  rig_respond(st);
  rig_send(st, 300000); /* more than the window: the trailers have to wait */
  UNTIL_IT_WORKS(ends, rig_finish(st, "0"));
  rig_pump(&r);
  UNTIL_IT_WORKS(resets, h2_reset(r.client.s, c->h2, H2_CANCEL));
  assert_true(requests && answers && sends && ends && pings && goaways && resets);
  rig_stop(&r);
  assert_int_equal(rig_slices_live, 0);
  assert_int_equal(rig_allocations_live, 0);
}

/* Blocks that are larger than what is kept ready, and payload without a release. */
static void test_large_pieces(void **state) {
  (void)state;
  static char text[40000];
  static uint8_t bytes[400000];
  memset(&r, 0, sizeof(r));
  memset(text, 'x', sizeof(text));
  h2_field f[] = {{CAW_STR(":method"), CAW_STR("POST"), 0, 0},
                  {CAW_STR(":scheme"), CAW_STR("http"), 0, 0},
                  {CAW_STR(":path"), CAW_STR("/"), 0, 0},
                  {CAW_STR(":authority"), CAW_STR("a"), 0, 0},
                  {CAW_STR("k"), {text, sizeof(text)}, 0, 0}};
  static const h2_config wide = {.soft_header_bytes = 60000, .stream_window = 1 << 20};
  size_t failures = 0;
  rig_fail_allocation(0);
  rig_start(&r, &wide, &wide);
  rig_pump(&r);
  rig_stream *c = &r.client.streams[r.client.count++];
  *c = (rig_stream){.end = &r.client, .id = 1};
  UNTIL_IT_WORKS(failures, h2_request(r.client.s, f, 5, c, &c->h2));
  rig_pump(&r);
  rig_stream *s = &r.server.streams[0];
  UNTIL_IT_WORKS(failures, rig_respond(s));
  const slice plain = {bytes, sizeof(bytes), NULL, NULL};
  UNTIL_IT_WORKS(failures, h2_send(r.server.s, s->h2, plain));
  UNTIL_IT_WORKS(failures, h2_finish(r.server.s, s->h2, f + 4, 1)); /* waits for its turn */
  rig_pump(&r);
  assert_int_equal(c->received, sizeof(bytes));
  assert_int_equal(c->ends, 1);
  assert_true(failures >= 4);
  /* Text of a GOAWAY is cut. */
  assert_int_equal(h2_goaway(r.server.s, 1, H2_NO_ERROR, caw_str_of(text, sizeof(text))), 0);
  size_t from = r.server.wire.len;
  rig_drain(&r.server);
  assert_int_equal(r.server.wire.len - from, 9 + 8 + 1024);
  rig_stop(&r);
  assert_int_equal(rig_allocations_live, 0);
}

/* Without memory for what the peer must be answered the session is dead: every call
 * says so, and nothing happens any more. */
static void test_a_dead_session(void **state) {
  (void)state;
  memset(&r, 0, sizeof(r));
  rig_fail_allocation(0);
  rig_start(&r, NULL, NULL);
  rig_pump(&r);
  rig_stream *a = rig_request(&r.client, "/s/m"), *b = rig_request(&r.client, "/s/m");
  rig_pump(&r);
  rig_stream *s = &r.server.streams[0];
  buf ping = {0};
  frame(&ping, F_PING, 0, 0, "12345678", 8);
  for (int i = 0; i < 2; i++) {
    rig_end *e = i ? &r.client : &r.server;
    rig_fail_allocation(1);
    assert_int_equal(rig_feed(e, ping.data, ping.len, 0), CAW_ENOMEM);
    rig_fail_allocation(0);
    assert_int_equal(h2_recv(e->s, ping.data, ping.len), CAW_ENOMEM);
    assert_int_equal(h2_ping(e->s, 1), CAW_ENOMEM);
    assert_int_equal(h2_goaway(e->s, 0, H2_NO_ERROR, caw_str_of(NULL, 0)), CAW_ENOMEM);
    struct iovec part;
    assert_int_equal(h2_output(e->s, &part, 1), CAW_ENOMEM);
    assert_false(h2_want_output(e->s));
    assert_true(h2_finished(e->s));
    assert_string_equal(h2_failure(e->s), "");
    e->rc = 0;
  }
  rig_stream *none;
  assert_int_equal(rig_try_request(&r.client, "/s/m", &none), CAW_ENOMEM);
  assert_int_equal(rig_respond(s), CAW_ENOMEM);
  assert_int_equal(rig_send(a, 10), CAW_ENOMEM);
  assert_int_equal(rig_slices_live, 0);
  assert_int_equal(rig_finish(b, NULL), CAW_ENOMEM);
  assert_int_equal(h2_consume(r.server.s, s->h2, 1), CAW_ENOMEM);
  assert_int_equal(h2_expect(r.server.s, s->h2, 1 << 20), CAW_ENOMEM);
  assert_int_equal(h2_reset(r.client.s, a->h2, H2_CANCEL), CAW_ENOMEM);
  buf_finish(&ping);
  rig_stop(&r);
  assert_int_equal(rig_allocations_live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_failed_calls_take_nothing),
      cmocka_unit_test(test_every_allocation),
      cmocka_unit_test(test_large_pieces),
      cmocka_unit_test(test_a_dead_session),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
