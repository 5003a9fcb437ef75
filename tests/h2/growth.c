/* How windows grow: for a message that is known to come, and with what a round trip
 * brings; and what they never do. */
#include "rig.h"

#include "h2/session.h" /* the targets */

#include <string.h>

static rig r;

static rig_stream *sending(size_t len) {
  rig_stream *c = rig_request(&r.client, "/s/m");
  rig_send(c, len);
  rig_pump(&r);
  return &r.server.streams[r.server.count - 1];
}

static void start(const h2_config *server) {
  rig_start(&r, NULL, server);
  rig_pump(&r);
}

/* A message that is larger than the window comes in one go. */
static void test_expected_message(void **state) {
  (void)state;
  static const h2_config server = {.stream_window = 10000, .session_window = 2 << 20};
  start(&server);
  rig_stream *s = sending(600000);
  assert_int_equal(s->received, 10000);
  assert_int_equal(h2_expect(r.server.s, s->h2, 10000), 0); /* that is what it has */
  rig_pump(&r);
  assert_int_equal(s->received, 10000);
  h2_consume(r.server.s, s->h2, 10000);
  assert_int_equal(h2_expect(r.server.s, s->h2, 500000), 0);
  rig_pump(&r);
  assert_int_equal(s->received, 510000);
  /* Nothing more without its reader. */
  assert_int_equal(h2_expect(r.server.s, s->h2, 500000), 0);
  rig_pump(&r);
  assert_int_equal(s->received, 510000);
  h2_consume(r.server.s, s->h2, 510000);
  rig_pump(&r);
  assert_int_equal(s->received, 600000);
  rig_finish(&r.client.streams[0], NULL);
  rig_pump(&r);
  assert_int_equal(h2_expect(r.server.s, s->h2, 1 << 20), 0); /* it has ended */
  h2_reset(r.server.s, s->h2, H2_CANCEL);
  assert_int_equal(h2_expect(r.server.s, s->h2, 1 << 20), 0);
  rig_stop(&r);
}

/* What is held already is part of what was asked for. */
static void test_expected_beside_held(void **state) {
  (void)state;
  static const h2_config server = {.stream_window = 10000, .session_window = 2 << 20};
  start(&server);
  rig_stream *s = sending(600000);
  assert_int_equal(h2_expect(r.server.s, s->h2, 50000), 0);
  rig_pump(&r);
  assert_int_equal(s->received, 50000);
  rig_stop(&r);
}

/* All windows of a connection share what they may grow by; who is gone gives it
 * back. */
static void test_bounded_growth(void **state) {
  (void)state;
  static const h2_config server = {.stream_window = 10000,
                                   .session_window = 2 << 20,
                                   .window_growth = 100000};
  start(&server);
  for (int i = 0; i < 3; i++) sending(200000);
  rig_stream *s = r.server.streams;
  for (int i = 0; i < 3; i++) {
    h2_consume(r.server.s, s[i].h2, 10000);
    assert_int_equal(h2_expect(r.server.s, s[i].h2, 80000), 0);
  }
  rig_pump(&r);
  assert_int_equal(s[0].received, 90000);
  assert_int_equal(s[1].received, 10000 + 40000);
  assert_int_equal(s[2].received, 20000);
  h2_reset(r.client.s, r.client.streams[0].h2, H2_CANCEL);
  rig_pump(&r);
  h2_consume(r.server.s, s[2].h2, 10000);
  assert_int_equal(h2_expect(r.server.s, s[2].h2, 1 << 30), 0); /* as much as there is */
  rig_pump(&r);
  assert_int_equal(s[2].received, 20000 + 10000 + 70000);
  rig_stop(&r);
}

/* ---- round trips ---- */

static rig_end e;

static void raw_start(const h2_config *config) {
  buf b = {0}, block = {0};
  rig_start_end(&e, H2_SERVER, config);
  preface(&b);
  frame(&b, F_SETTINGS, 1, 0, NULL, 0);
  request_block(&block, "/s/m");
  frame(&b, F_HEADERS, 4, 1, block.data, block.len);
  assert_int_equal(rig_feed(&e, b.data, b.len, 0), 0);
  rig_drain(&e);
  e.wire.len = 0;
  buf_finish(&b);
  buf_finish(&block);
}

static void raw_data(size_t len, bool consumed) {
  static const uint8_t bytes[16384];
  buf b = {0};
  for (size_t n; len; len -= n) {
    n = len < sizeof(bytes) ? len : sizeof(bytes);
    frame(&b, F_DATA, 0, 1, bytes, n);
  }
  assert_int_equal(rig_feed(&e, b.data, b.len, 0), 0);
  if (consumed) h2_consume(e.s, e.streams[0].h2, 1 << 30);
  buf_finish(&b);
}

/* Three quarters of what the peer may send. */
static void raw_most(void) {
  int32_t window = e.s->recv_window, of_stream = e.streams[0].h2->recv_window;
  raw_data((size_t)(window < of_stream ? window : of_stream) / 4 * 3, true);
}

/* The PING that was sent, if any, is answered. */
static bool answered(void) {
  bool asked = false;
  rig_drain(&e);
  for (size_t at = 0, n; at < e.wire.len; at += 9 + n) {
    uint8_t *h = e.wire.data + at;
    n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
    if (h[3] != F_PING || h[4]) continue;
    buf b = {0};
    frame(&b, F_PING, 1, 0, h + 9, 8);
    assert_int_equal(rig_feed(&e, b.data, b.len, 0), 0);
    buf_finish(&b);
    asked = true;
  }
  rig_drain(&e);
  e.wire.len = 0;
  return asked;
}

/* As much as it takes to be asked, and what comes before the answer does. */
static void round_trip(void) {
  while (!e.s->bandwidth.asked) raw_most();
  raw_most();
}

/* A peer that fills the window within each round trip gets a larger one, up to the
 * bound; little traffic asks nothing. */
static void test_grows_with_round_trips(void **state) {
  (void)state;
  static const h2_config small = {.stream_window = 65535, .session_window = 65535};
  raw_start(&small);
  raw_data(1000, true);
  assert_false(answered());
  for (int i = 0; i < 30; i++) {
    round_trip();
    assert_true(answered());
  }
  assert_int_equal(e.s->recv_target, 8 << 20);
  assert_true(e.streams[0].h2->recv_target > 1 << 20);
  assert_true(e.s->bandwidth.grown <= 16 << 20);
  rig_stop_end(&e);
}

/* A reader that keeps its peer waiting gets no more. */
static void test_slow_reader_does_not_grow(void **state) {
  (void)state;
  static const h2_config small = {.stream_window = 200000, .session_window = 300000};
  raw_start(&small);
  raw_data(100000, false);
  assert_true(e.s->bandwidth.asked);
  raw_data(90000, false);
  assert_true(answered());
  assert_int_equal(e.streams[0].h2->recv_target, 200000);
  rig_stop_end(&e);
}

/* With a clock: larger windows that do not make it faster are the end of it. */
static void test_grows_while_it_helps(void **state) {
  (void)state;
  static const h2_config small = {.stream_window = 65535, .session_window = 65535};
  static const struct {
    uint64_t round_trip;
    bool grows;
  } cases[] = {
      {1000000, true},   /* the first is the best so far */
      {1000000, true},   /* more in the same time */
      {90000000, false}, /* more, but slower */
      {0, true},         /* time stands still: who knows */
  };
  uint64_t now = 1000;
  raw_start(&small);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    uint32_t before = e.s->recv_target;
    h2_at(e.s, now);
    round_trip();
    h2_at(e.s, now += cases[i].round_trip);
    assert_true(answered());
    if ((e.s->recv_target > before) != cases[i].grows) print_error("round trip %zu\n", i);
    assert_int_equal(e.s->recv_target > before, cases[i].grows);
  }
  rig_stop_end(&e);
}

/* The number of our PING in an answer that nobody asked for, and in an answer that
 * comes twice, is the owner's like any other. */
static void test_forged_answers(void **state) {
  (void)state;
  static const h2_config small = {.stream_window = 65535, .session_window = 65535};
  buf b = {0};
  frame(&b, F_PING, 1, 0,
        "d\x69"
        "wdnab\0",
        8);
  raw_start(&small);
  rig_expect(&e,
             "settings\nstream 1\nfield 1 :method=POST\nfield 1 :scheme=http\nfield 1 :path=/s/m\n"
             "field 1 :authority=test\nheaders 1\n");
  assert_int_equal(rig_feed(&e, b.data, b.len, 0), 0);
  assert_int_equal(e.s->recv_target, 65535);
  char *log = rig_log(&e);
  assert_non_null(strstr(log, "ping "));
  caw_free(log);
  buf_finish(&b);
  rig_stop_end(&e);
}

/* ---- memory ---- */

/* Without memory for a WINDOW_UPDATE nothing was given, and it can be asked again. */
static void test_no_memory(void **state) {
  (void)state;
  static const h2_config server = {.stream_window = 10000, .session_window = 2 << 20};
  rig_fail_allocation(0); /* they are counted from here on */
  start(&server);
  rig_stream *s = sending(600000);
  rig_fail_allocation(1);
  assert_int_equal(h2_consume(r.server.s, s->h2, 10000), CAW_ENOMEM);
  rig_fail_allocation(0);
  assert_int_equal(h2_consume(r.server.s, s->h2, 10000), 0);
  rig_pump(&r);
  assert_int_equal(s->received, 20000);
  rig_fail_allocation(1);
  assert_int_equal(h2_expect(r.server.s, s->h2, 100000), CAW_ENOMEM);
  rig_fail_allocation(0);
  assert_int_equal(h2_consume(r.server.s, s->h2, 10000), 0);
  rig_pump(&r);
  assert_int_equal(s->received, 20000 + 100000);
  rig_stop(&r);
  assert_int_equal(rig_allocations_live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_expected_message),
      cmocka_unit_test(test_expected_beside_held),
      cmocka_unit_test(test_bounded_growth),
      cmocka_unit_test(test_grows_with_round_trips),
      cmocka_unit_test(test_slow_reader_does_not_grow),
      cmocka_unit_test(test_grows_while_it_helps),
      cmocka_unit_test(test_forged_answers),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
