/* Ends other than a call's normal one: resets in each state, GOAWAY, the end of
 * the session. */
#include "rig.h"

#include "h2/session.h" /* to use up stream ids */

#include <string.h>

static rig r;

/* ---- resets ---- */

/* What was framed before the reset goes out; the payload that was not does not. */
static void test_reset_at_once(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  rig_pump(&r);
  rig_forget(&r);
  size_t from = r.client.wire.len;
  rig_stream *c = rig_request(&r.client, "/s/m");
  rig_send(c, 3000);
  assert_int_equal(h2_reset(r.client.s, c->h2, H2_CANCEL), 0);
  assert_int_equal(h2_reset(r.client.s, c->h2, H2_INTERNAL_ERROR), 0); /* nothing more */
  assert_int_equal(rig_slices_live, 0);
  rig_expect(&r.client, ""); /* not inside the call */
  assert_true(h2_want_output(r.client.s));
  rig_pump(&r);
  rig_expect(&r.client, "close 1 CANCEL\n");
  assert_int_equal(r.server.streams[0].received, 0);
  assert_int_equal(r.server.streams[0].code, H2_CANCEL);
  rig_expect_frames(&r.client, from, "HEADERS 1 eh\nRST 1 CANCEL\n");
  /* The next stream works and has the next id. */
  c = rig_request(&r.client, "/s/m");
  assert_int_equal(c->id, 3);
  rig_pump(&r);
  assert_int_equal(r.server.count, 2);
  rig_stop(&r);
}

static void test_reset_by_client(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  rig_stream *c = rig_request(&r.client, "/s/m");
  rig_send(c, 100000); /* more than the window */
  rig_pump(&r);
  rig_forget(&r);
  h2_reset(r.client.s, c->h2, H2_CANCEL);
  assert_int_equal(rig_send(c, 2000), CAW_ESTATE);
  assert_int_equal(rig_finish(c, NULL), CAW_ESTATE);
  assert_int_equal(h2_consume(r.client.s, c->h2, 5), 0);
  rig_pump(&r);
  rig_expect(&r.client, "close 1 CANCEL\n");
  rig_expect(&r.server, "close 1 CANCEL remote\n");
  assert_int_equal(rig_slices_live, 0);
  rig_stop(&r);
}

/* In each state of the server's answer; nothing but what was framed and the reset
 * goes out. */
static void test_reset_by_server(void **state) {
  (void)state;
  for (int stage = 0; stage < 6; stage++) {
    rig_start(&r, NULL, NULL);
    rig_stream *c = rig_request(&r.client, "/s/m");
    if (stage & 1) rig_finish(c, NULL);
    rig_pump(&r);
    rig_stream *s = &r.server.streams[0];
    if (stage >= 2) {
      rig_respond(s);
      rig_send(s, 300000);
    }
    if (stage >= 4) {
      rig_finish(s, "0");
      rig_pump(&r);
    }
    rig_forget(&r);
    size_t from = r.server.wire.len;
    assert_int_equal(h2_reset(r.server.s, s->h2, H2_INTERNAL_ERROR), 0);
    rig_expect(&r.server, "");
    rig_pump(&r);
    bool answering = stage == 2 || stage == 3;
    rig_expect_frames(&r.server, from,
                      answering ? "HEADERS 1 eh\nRST 1 INTERNAL_ERROR\n"
                                : "RST 1 INTERNAL_ERROR\n");
    rig_expect(&r.server, "close 1 INTERNAL_ERROR\n");
    assert_int_equal(c->code, H2_INTERNAL_ERROR);
    assert_true(c->remote);
    assert_int_equal(rig_slices_live, 0);
    rig_stop(&r);
  }
}

/* A reset that meets the peer's reset: ours was first, and is told once. */
static void test_resets_cross(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  rig_stream *c = rig_request(&r.client, "/s/m");
  rig_pump(&r);
  rig_stream *s = &r.server.streams[0];
  h2_reset(r.server.s, s->h2, H2_ENHANCE_YOUR_CALM);
  rig_drain(&r.server);
  buf rst = {0};
  frame(&rst, F_RST, 0, 1, "\0\0\0\x2", 4);
  h2_reset(r.client.s, c->h2, H2_CANCEL);
  rig_feed(&r.client, rst.data, rst.len, 0);
  rig_drain(&r.client);
  assert_int_equal(c->closes, 1);
  assert_int_equal(c->code, H2_CANCEL);
  assert_false(c->remote);
  rig_pump(&r);
  buf_finish(&rst);
  rig_stop(&r);
}

/* DATA and trailers that were on their way to a stream that we reset are no
 * error, tell nothing, and cost no window of the connection. */
static void test_data_after_reset(void **state) {
  (void)state;
  static const h2_config small = {.stream_window = 1 << 20, .session_window = 65535};
  rig_start(&r, NULL, &small);
  rig_pump(&r);
  for (int i = 0; i < 20; i++) {
    rig_stream *c = rig_request(&r.client, "/s/m");
    rig_send(c, 30000);
    rig_finish(c, NULL);
    size_t from = r.client.wire.len;
    rig_drain(&r.client);
    /* Cut in the middle of a DATA frame. */
    size_t len = r.client.wire.len - from;
    rig_feed(&r.server, r.client.wire.data + from, 5000, 0);
    rig_stream *s = &r.server.streams[r.server.count - 1];
    size_t got = s->received;
    assert_true(got > 0);
    h2_reset(r.server.s, s->h2, H2_CANCEL);
    rig_feed(&r.server, r.client.wire.data + from + 5000, len - 5000, 0);
    assert_int_equal(s->received, got);
    assert_int_equal(s->ends, 0);
    rig_pump(&r);
    assert_int_equal(s->closes, 1);
    assert_int_equal(c->sent, 30000); /* the connection's window came back */
  }
  assert_int_equal(r.server.rc, 0);
  rig_stop(&r);
}

/* The peer allows fewer streams than there are: those go on, and no more is
 * opened until enough of them are over. */
static void test_fewer_streams_than_open(void **state) {
  (void)state;
  buf b = {0};
  static rig_end e;
  rig_start_end(&e, H2_CLIENT, NULL);
  rig_stream *first = rig_request(&e, "/s/m"), *second = rig_request(&e, "/s/m"), *third;
  frame(&b, F_SETTINGS, 0, 0, "\0\3\0\0\0\1", 6);
  rig_feed(&e, b.data, b.len, 0);
  assert_int_equal(rig_try_request(&e, "/s/m", &third), CAW_EAGAIN);
  rig_drain(&e);
  h2_reset(e.s, second->h2, H2_CANCEL);
  assert_int_equal(rig_try_request(&e, "/s/m", &third), CAW_EAGAIN);
  size_t from = e.wire.len;
  rig_drain(&e);
  rig_expect_frames(&e, from, "RST 3 CANCEL\n");
  assert_int_equal(second->closes, 1);
  assert_int_equal(first->closes, 0);
  h2_reset(e.s, first->h2, H2_CANCEL);
  rig_drain(&e);
  assert_int_equal(rig_try_request(&e, "/s/m", &third), 0);
  buf_finish(&b);
  rig_stop_end(&e);
}

/* ---- GOAWAY ---- */

/* The first step refuses nothing: a stream that was opened before the notice
 * arrived is served. */
static void test_graceful_goaway(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  rig_request(&r.client, "/s/m");
  rig_pump(&r);
  size_t from = r.server.wire.len;
  assert_int_equal(h2_goaway(r.server.s, UINT32_MAX, H2_NO_ERROR, caw_str_of(NULL, 0)), 0);
  rig_drain(&r.server);
  rig_expect_frames(&r.server, from, "GOAWAY 0 65535 NO_ERROR\n"); /* 2^31-1, low bits */
  rig_request(&r.client, "/s/m");
  size_t sent = r.client.wire.len;
  rig_drain(&r.client);
  rig_feed(&r.client, r.server.wire.data + from, r.server.wire.len - from, 0);
  rig_feed(&r.server, r.client.wire.data + sent, r.client.wire.len - sent, 0);
  assert_int_equal(r.server.count, 2);
  assert_int_equal(h2_last_id(r.server.s), 3);
  h2_goaway(r.server.s, h2_last_id(r.server.s), H2_NO_ERROR, caw_str_of(NULL, 0));
  rig_pump(&r);
  assert_false(h2_finished(r.server.s));
  for (int i = 0; i < 2; i++) {
    rig_respond(&r.server.streams[i]);
    rig_finish(&r.server.streams[i], "0");
  }
  rig_pump(&r);
  assert_int_equal(r.server.rc, 0);
  assert_true(h2_finished(r.server.s));
  assert_int_equal(r.client.streams[1].ends, 1);
  rig_stop(&r);
}

static void test_goaway_steps_at_the_client(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  rig_stream *a = rig_request(&r.client, "/s/m");
  rig_pump(&r);
  rig_forget(&r);
  caw_str none = {NULL, 0};
  h2_goaway(r.server.s, UINT32_MAX, H2_NO_ERROR, none);
  rig_pump(&r);
  rig_expect(&r.client, "goaway 2147483647 NO_ERROR \n");
  rig_stream *c;
  assert_int_equal(rig_try_request(&r.client, "/s/m", &c), CAW_ECLOSED);
  assert_int_equal(a->closes, 0);
  h2_goaway(r.server.s, 1, H2_ENHANCE_YOUR_CALM, caw_str_from("too_many_pings"));
  rig_pump(&r);
  rig_expect(&r.client, "goaway 1 ENHANCE_YOUR_CALM too_many_pings\n");
  assert_int_equal(a->closes, 0);
  rig_stream *s = &r.server.streams[0];
  rig_finish(a, NULL);
  rig_pump(&r); /* our own GOAWAY is no failure of the peer: it is heard */
  rig_respond(s);
  rig_finish(s, "0");
  rig_pump(&r);
  assert_int_equal(a->code, H2_NO_ERROR);
  assert_int_equal(s->ends, 1);
  assert_int_equal(r.server.rc, 0);
  assert_true(h2_finished(r.client.s));
  assert_true(h2_finished(r.server.s));
  rig_stop(&r);
}

/* GOAWAYs of ours are no fault of the peer's, in whatever number they wait; and
 * after them its faults are still noticed. */
static void test_several_goaways(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  rig_stream *a = rig_request(&r.client, "/s/m");
  rig_pump(&r);
  caw_str none = {NULL, 0};
  for (int i = 0; i < 2; i++) h2_goaway(r.server.s, UINT32_MAX, H2_NO_ERROR, none);
  for (int i = 0; i < 2; i++) h2_goaway(r.server.s, 1, H2_ENHANCE_YOUR_CALM, none);
  h2_goaway(r.server.s, UINT32_MAX, H2_NO_ERROR, none); /* too late */
  rig_pump(&r);
  rig_finish(a, NULL);
  h2_goaway(r.client.s, UINT32_MAX, H2_NO_ERROR, none);
  rig_pump(&r);
  assert_int_equal(r.server.streams[0].ends, 1);
  assert_int_equal(r.server.rc, 0);
  assert_int_equal(r.client.rc, 0);
  buf b = {0};
  frame(&b, F_PING, 0, 0, "short", 5);
  assert_int_equal(rig_feed(&r.server, b.data, b.len, 0), CAW_EPROTO);
  buf_finish(&b);
  rig_stop(&r);
}

/* Streams above last_id were not processed; also one whose HEADERS had not left. */
static void test_goaway_refuses(void **state) {
  (void)state;
  static rig_end e;
  buf b = {0};
  rig_start_end(&e, H2_CLIENT, NULL);
  rig_stream *a = rig_request(&e, "/s/m");
  rig_stream *c = rig_request(&e, "/s/m");
  rig_send(c, 5000);
  rig_drain(&e);
  rig_stream *unsent = rig_request(&e, "/s/m");
  rig_send(unsent, 5000);
  frame(&b, F_SETTINGS, 0, 0, NULL, 0);
  frame(&b, F_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
  assert_int_equal(rig_feed(&e, b.data, b.len, 0), 0);
  rig_drain(&e);
  rig_expect(&e, "settings\ngoaway 1 NO_ERROR \nclose 3 REFUSED_STREAM remote\n"
                 "close 5 REFUSED_STREAM remote\n");
  assert_int_equal(a->closes, 0);
  assert_int_equal(rig_slices_live, 0);
  buf_finish(&b);
  rig_stop_end(&e);
}

/* Streams that come after our last GOAWAY are ignored, and a stream above its
 * last id that came before is refused. */
static void test_streams_around_our_goaway(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  for (int i = 0; i < 2; i++) rig_request(&r.client, "/s/m");
  rig_pump(&r);
  rig_forget(&r);
  size_t from = r.client.wire.len;
  rig_request(&r.client, "/s/m");
  rig_drain(&r.client);
  h2_goaway(r.server.s, 1, H2_NO_ERROR, caw_str_of(NULL, 0));
  size_t goaway = r.server.wire.len;
  rig_drain(&r.server);
  rig_expect(&r.server, "close 3 REFUSED_STREAM\n");
  rig_feed(&r.server, r.client.wire.data + from, r.client.wire.len - from, 0);
  rig_expect(&r.server, "");
  rig_feed(&r.client, r.server.wire.data + goaway, r.server.wire.len - goaway, 0);
  rig_expect(&r.client, "goaway 1 NO_ERROR \nclose 3 REFUSED_STREAM remote\n"
                        "close 5 REFUSED_STREAM remote\n");
  assert_int_equal(r.server.rc, 0);
  assert_int_equal(r.client.rc, 0);
  rig_stop(&r);
}

static void test_ids_used_up(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  rig_pump(&r);
  r.client.s->next_id = INT32_MAX;
  rig_stream *last = rig_request(&r.client, "/s/m"), *c;
  assert_int_equal(last->id, INT32_MAX);
  assert_int_equal(rig_try_request(&r.client, "/s/m", &c), CAW_ECLOSED);
  rig_finish(last, NULL);
  rig_pump(&r);
  rig_stream *s = &r.server.streams[0];
  assert_int_equal(s->id, INT32_MAX);
  rig_respond(s);
  rig_finish(s, "0");
  rig_pump(&r);
  assert_int_equal(last->code, H2_NO_ERROR);
  rig_stop(&r);
}

/* ---- the session's end ---- */

static void test_free_with_open_streams(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  rig_stream *a = rig_request(&r.client, "/s/m"); /* framed, window exhausted */
  rig_send(a, 400000);
  rig_pump(&r);
  rig_stream *b = rig_request(&r.client, "/s/m"); /* framed and not written */
  rig_send(b, 3000);
  struct iovec parts[4];
  assert_true(h2_output(r.client.s, parts, 4) > 0);
  rig_stream *c = rig_request(&r.client, "/s/m"); /* not framed */
  rig_send(c, 3000);
  assert_int_equal(rig_slices_live, 3);
  h2_session_free(r.client.s);
  r.client.s = NULL;
  assert_int_equal(rig_slices_live, 0);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(r.client.streams[i].closes, 1);
    assert_int_equal(r.client.streams[i].code, H2_INTERNAL_ERROR);
    assert_false(r.client.streams[i].remote);
  }
  h2_session_free(NULL);
  rig_stop(&r);
}

/* A header block that is too large to be framed ends the stream, on each side. */
static void test_block_too_large_to_send(void **state) {
  (void)state;
  static char big[2 << 20];
  memset(big, 'x', sizeof(big));
  h2_field f[] = {{CAW_STR(":method"), CAW_STR("POST"), 0, 0},
                  {CAW_STR(":scheme"), CAW_STR("http"), 0, 0},
                  {CAW_STR(":path"), CAW_STR("/"), 0, 0},
                  {CAW_STR(":authority"), CAW_STR("a"), 0, 0},
                  {CAW_STR("k"), {big, sizeof(big)}, 0, 0}};
  rig_start(&r, NULL, NULL);
  rig_stream *st = &r.client.streams[r.client.count++];
  *st = (rig_stream){.end = &r.client};
  assert_int_equal(h2_request(r.client.s, f, 5, st, &st->h2), 0);
  rig_pump(&r);
  assert_int_equal(st->closes, 1);
  assert_int_equal(st->code, H2_INTERNAL_ERROR);
  assert_int_equal(r.server.count, 0);

  rig_request(&r.client, "/s/m");
  rig_pump(&r);
  rig_stream *s = &r.server.streams[0];
  rig_respond(s);
  rig_send(s, 10);
  assert_int_equal(h2_finish(r.server.s, s->h2, f + 4, 1), 0);
  rig_pump(&r);
  assert_int_equal(s->code, H2_INTERNAL_ERROR);
  assert_int_equal(r.client.streams[1].code, H2_INTERNAL_ERROR);
  rig_stop(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reset_at_once),
      cmocka_unit_test(test_reset_by_client),
      cmocka_unit_test(test_reset_by_server),
      cmocka_unit_test(test_resets_cross),
      cmocka_unit_test(test_data_after_reset),
      cmocka_unit_test(test_fewer_streams_than_open),
      cmocka_unit_test(test_graceful_goaway),
      cmocka_unit_test(test_goaway_steps_at_the_client),
      cmocka_unit_test(test_several_goaways),
      cmocka_unit_test(test_goaway_refuses),
      cmocka_unit_test(test_streams_around_our_goaway),
      cmocka_unit_test(test_ids_used_up),
      cmocka_unit_test(test_free_with_open_streams),
      cmocka_unit_test(test_block_too_large_to_send),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
