/* Whose payload goes out when: windows that close and open while it waits, trailers
 * behind it, and streams that share the connection's window. */
#include "rig.h"

#include <string.h>

static rig r;

static void feed_window(uint32_t id, uint32_t n) {
  buf b = {0};
  const uint8_t bytes[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
  frame(&b, F_WINDOW, 0, id, bytes, 4);
  assert_int_equal(rig_feed(&r.client, b.data, b.len, 0), 0);
  buf_finish(&b);
}

static void feed_initial_window(uint8_t high, uint8_t low) {
  buf b = {0};
  const uint8_t bytes[6] = {0, 4, 0, 0, high, low};
  frame(&b, F_SETTINGS, 0, 0, bytes, 6);
  assert_int_equal(rig_feed(&r.client, b.data, b.len, 0), 0);
  buf_finish(&b);
}

static void start_client(void) {
  memset(&r, 0, sizeof(r));
  rig_start_end(&r.client, H2_CLIENT, NULL);
  feed_initial_window(0xff, 0xff);
  rig_drain(&r.client);
}

static void stop_client(void) {
  rig_stop_end(&r.client);
  assert_int_equal(rig_slices_live, 0);
}

/* SETTINGS take the window back before the payload had its turn. */
static void test_window_taken_back(void **state) {
  (void)state;
  start_client();
  rig_stream *c = rig_request(&r.client, "/s/m");
  rig_drain(&r.client);
  rig_send(c, 1000);
  feed_initial_window(0, 0);
  rig_drain(&r.client);
  assert_int_equal(c->sent, 0);
  assert_false(h2_want_output(r.client.s));
  feed_initial_window(0, 10);
  rig_drain(&r.client);
  assert_int_equal(c->sent, 10);
  feed_initial_window(0, 5); /* below what was sent: the window is negative */
  feed_window(1, 5);
  rig_drain(&r.client);
  assert_int_equal(c->sent, 10);
  feed_window(1, 7);
  rig_drain(&r.client);
  assert_int_equal(c->sent, 17);
  stop_client();
}

/* Who waits for the connection's window is not overtaken by who comes later, with
 * little payload and its end. */
static void test_no_overtaking(void **state) {
  (void)state;
  start_client();
  rig_stream *first = rig_request(&r.client, "/s/m");
  rig_send(first, 60000);
  rig_stream *second = rig_request(&r.client, "/s/m");
  rig_send(second, 60000);
  rig_drain(&r.client);
  assert_int_equal(first->sent + second->sent, 65535);
  size_t had = first->sent, other = second->sent;
  rig_stream *late = rig_request(&r.client, "/s/m");
  rig_send(late, 100);
  rig_finish(late, NULL);
  feed_window(0, 50); /* more than nothing, less than the latecomer wants */
  rig_stream *later = rig_request(&r.client, "/s/m");
  rig_send(later, 10);
  rig_finish(later, NULL);
  rig_drain(&r.client);
  assert_int_equal(late->sent, 0);
  assert_int_equal(later->sent, 0);
  assert_int_equal(first->sent + second->sent, had + other + 50);
  feed_window(0, 100000);
  rig_drain(&r.client);
  assert_int_equal(first->sent, 60000);
  assert_int_equal(second->sent, 60000);
  assert_int_equal(late->sent, 100);
  assert_int_equal(later->sent, 10);
  stop_client();
}

/* What is framed and not taken by the socket holds up everything behind it. */
static void test_backlog(void **state) {
  (void)state;
  struct iovec part;
  start_client();
  feed_window(0, 10000000);
  feed_initial_window(0xff, 0xff);
  rig_stream *c[6];
  for (int i = 0; i < 6; i++) {
    c[i] = rig_request(&r.client, "/s/m");
    rig_send(c[i], 60000);
  }
  assert_true(h2_output(r.client.s, &part, 1) > 0);
  rig_stream *late = rig_request(&r.client, "/s/m");
  rig_send(late, 10);
  rig_finish(late, NULL);
  assert_int_equal(late->sent, 0);
  rig_drain(&r.client);
  assert_int_equal(late->sent, 10);
  for (int i = 0; i < 6; i++) assert_int_equal(c[i]->sent, 60000);
  stop_client();
}

/* Trailers that are too large to be sent are found out when their turn comes. */
static void test_trailers_too_large(void **state) {
  (void)state;
  static char big[2 << 20];
  memset(big, 'x', sizeof(big));
  const h2_field f = {CAW_STR("k"), {big, sizeof(big)}, 0, 0};
  rig_start(&r, NULL, NULL);
  rig_pump(&r);
  rig_stream *c = rig_request(&r.client, "/s/m");
  rig_pump(&r);
  rig_stream *s = &r.server.streams[0];
  rig_respond(s);
  rig_send(s, 300000); /* more than the window */
  assert_int_equal(h2_finish(r.server.s, s->h2, &f, 1), 0);
  rig_pump(&r);
  assert_int_equal(s->closes, 0);
  h2_consume(r.client.s, c->h2, 262144);
  rig_pump(&r);
  assert_int_equal(c->received, 300000);
  assert_int_equal(s->code, H2_INTERNAL_ERROR);
  assert_int_equal(c->code, H2_INTERNAL_ERROR);
  rig_stop(&r);
}

/* After the peer broke the protocol a client opens no more, and what it still does
 * to its streams is harmless. */
static void test_after_a_failure(void **state) {
  (void)state;
  start_client();
  rig_stream *c = rig_request(&r.client, "/s/m"), *none;
  buf b = {0};
  frame(&b, F_PING, 0, 0, "short", 5);
  assert_int_equal(rig_feed(&r.client, b.data, b.len, 0), CAW_EPROTO);
  assert_int_equal(rig_try_request(&r.client, "/s/m", &none), CAW_ECLOSED);
  assert_int_equal(h2_consume(r.client.s, c->h2, 10), 0);
  assert_int_equal(h2_expect(r.client.s, c->h2, 1 << 20), 0);
  assert_int_equal(rig_send(c, 10), 0);
  assert_false(h2_finished(r.client.s));
  rig_drain(&r.client);
  assert_true(h2_finished(r.client.s));
  assert_int_equal(c->sent, 0);
  buf_finish(&b);
  stop_client();
}

/* A block whose last, empty piece comes while a field is not complete. */
static void test_block_cut(void **state) {
  (void)state;
  static rig_end e;
  for (unsigned chunk = 0; chunk < 3; chunk++) {
    buf b = {0};
    rig_start_end(&e, H2_SERVER, NULL);
    preface(&b);
    frame(&b, F_HEADERS, 0, 1, "\x83\x00\x05xx", 5);
    frame(&b, F_CONTINUATION, 4, 1, NULL, 0);
    assert_int_equal(rig_feed(&e, b.data, b.len, chunk), CAW_EPROTO);
    rig_expect_last(&e, "GOAWAY 0 1 COMPRESSION\n");
    rig_stop_end(&e);
    buf_finish(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_window_taken_back), cmocka_unit_test(test_no_overtaking),
      cmocka_unit_test(test_backlog),           cmocka_unit_test(test_trailers_too_large),
      cmocka_unit_test(test_after_a_failure),   cmocka_unit_test(test_block_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
