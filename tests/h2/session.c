/* Calls between a client's and a server's session, in any chunking. */
#include "rig.h"

#include <stdio.h>
#include <string.h>

static const unsigned chunkings[] = {0, 1, 2, 3, 4, 5};

#define EACH_CHUNKING(r)                                                                           \
  for (size_t i_ = 0; i_ < sizeof(chunkings) / sizeof(chunkings[0]); i_++)                         \
    for (bool once_ = (rig_start(r, NULL, NULL), (r)->chunk = chunkings[i_], true); once_;         \
         rig_stop(r), once_ = false)

#define REQUEST(id)                                                                                \
  "stream " #id "\nfield " #id " :method=POST\nfield " #id " :scheme=http\nfield " #id             \
  " :path=/s/m\nfield " #id " :authority=test\nfield " #id " te=trailers\n"
#define ANSWER(id)                                                                                 \
  "field " #id " :status=200\nfield " #id " content-type=application/grpc\nheaders " #id "\n"
#define TRAILERS(id) "field " #id " grpc-status=0\nheaders " #id " end\nend " #id "\n"

static rig r;

static void test_unary(void **state) {
  (void)state;
  EACH_CHUNKING(&r) {
    rig_stream *c = rig_request(&r.client, "/s/m");
    assert_int_equal(c->id, 1);
    assert_int_equal(rig_send(c, 100), 0);
    assert_int_equal(rig_finish(c, NULL), 0);
    rig_pump(&r);
    rig_expect(&r.server, "settings\n" REQUEST(1) "headers 1\ndata 1 100\nend 1\n");
    rig_expect(&r.client, "settings\n");
    rig_stream *s = &r.server.streams[0];
    assert_int_equal(rig_respond(s), 0);
    assert_int_equal(rig_send(s, 7), 0);
    assert_int_equal(rig_send(s, 5000), 0);
    assert_int_equal(rig_finish(s, "0"), 0);
    rig_pump(&r);
    rig_expect(&r.server, "close 1 NO_ERROR\n");
    rig_expect(&r.client, ANSWER(1) "data 1 5007\n" TRAILERS(1) "close 1 NO_ERROR\n");
    assert_int_equal(s->sent, 5007);
    assert_int_equal(c->sent, 100);
  }
}

/* What a unary call looks like on the wire: no frame too many. */
static void test_frames_of_unary(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  rig_stream *c = rig_request(&r.client, "/s/m");
  rig_send(c, 5);
  rig_send(c, 2000);
  rig_finish(c, NULL);
  rig_drain(&r.client);
  rig_expect_frames(&r.client, 0, "SETTINGS 0\nWINDOW 0 +983041\nHEADERS 1 eh\nDATA 1 es 2005\n");
  rig_feed(&r.server, r.client.wire.data, r.client.wire.len, 0);
  rig_drain(&r.server);
  rig_expect_frames(&r.server, 0, "SETTINGS 0\nWINDOW 0 +983041\nSETTINGS 0 ack\n");
  size_t before = r.server.wire.len;
  rig_stream *s = &r.server.streams[0];
  rig_respond(s);
  for (int i = 0; i < 10; i++) rig_send(s, 30);
  rig_finish(s, "0");
  rig_drain(&r.server);
  rig_expect_frames(&r.server, before, "HEADERS 1 eh\nDATA 1 300\nHEADERS 1 es eh\n");
  rig_stop(&r);
}

/* The end may come together with payload, after it, or without any. */
static void test_ways_to_end(void **state) {
  (void)state;
  static const struct {
    size_t before, with;
    const char *frames;
  } cases[] = {
      {0, 0, "HEADERS 1 eh\nDATA 1 es 0\n"},
      {0, 9, "HEADERS 1 eh\nDATA 1 es 9\n"},
      {9, 0, "HEADERS 1 eh\nDATA 1 9\nDATA 1 es 0\n"},
      {9, 8, "HEADERS 1 eh\nDATA 1 9\nDATA 1 es 8\n"},
      {0, 20000, "HEADERS 1 eh\nDATA 1 16384\nDATA 1 es 3616\n"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    rig_start(&r, NULL, NULL);
    rig_pump(&r);
    size_t from = r.client.wire.len;
    rig_stream *c = rig_request(&r.client, "/s/m");
    if (cases[i].before) {
      rig_send(c, cases[i].before);
      rig_pump(&r);
    }
    if (cases[i].with) rig_send(c, cases[i].with);
    rig_finish(c, NULL);
    assert_int_equal(rig_send(c, 3), CAW_ESTATE);
    assert_int_equal(rig_finish(c, NULL), CAW_ESTATE);
    rig_pump(&r);
    rig_expect_frames(&r.client, from, cases[i].frames);
    rig_stream *s = &r.server.streams[0];
    assert_int_equal(s->received, cases[i].before + cases[i].with);
    assert_int_equal(s->ends, 1);
    rig_stop(&r);
  }
}

static void test_trailers_only(void **state) {
  (void)state;
  EACH_CHUNKING(&r) {
    rig_stream *c = rig_request(&r.client, "/s/m");
    rig_finish(c, NULL);
    rig_pump(&r);
    rig_forget(&r);
    rig_stream *s = &r.server.streams[0];
    assert_int_equal(rig_send(s, 3), CAW_ESTATE); /* nothing before the response */
    h2_field f[] = {{CAW_STR(":status"), CAW_STR("200"), 0, 0},
                    {CAW_STR("grpc-status"), CAW_STR("5"), 0, 0}};
    assert_int_equal(h2_finish(r.server.s, s->h2, NULL, 0), CAW_ESTATE);
    assert_int_equal(h2_finish(r.server.s, s->h2, f, 2), 0);
    assert_int_equal(h2_finish(r.server.s, s->h2, f, 2), CAW_ESTATE);
    assert_int_equal(rig_respond(s), CAW_ESTATE);
    size_t from = r.server.wire.len;
    rig_pump(&r);
    rig_expect_frames(&r.server, from, "HEADERS 1 es eh\n");
    rig_expect(&r.server, "close 1 NO_ERROR\n");
    rig_expect(&r.client, "field 1 :status=200\nfield 1 grpc-status=5\nheaders 1 end\nend 1\n"
                          "close 1 NO_ERROR\n");
  }
}

/* Trailers when all payload went before, and when none was ever sent. */
static void test_trailers_later(void **state) {
  (void)state;
  for (size_t payload = 0; payload < 2; payload++) {
    rig_start(&r, NULL, NULL);
    rig_finish(rig_request(&r.client, "/s/m"), NULL);
    rig_pump(&r);
    rig_stream *s = &r.server.streams[0];
    size_t from = r.server.wire.len;
    rig_respond(s);
    assert_int_equal(rig_respond(s), CAW_ESTATE);
    rig_pump(&r);
    if (payload) rig_send(s, 10);
    rig_pump(&r);
    rig_finish(s, "0");
    rig_pump(&r);
    rig_expect_frames(&r.server, from,
                      payload ? "HEADERS 1 eh\nDATA 1 10\nHEADERS 1 es eh\n"
                              : "HEADERS 1 eh\nHEADERS 1 es eh\n");
    assert_int_equal(s->closes, 1);
    rig_stop(&r);
  }
}

/* A server that has said all tells a client that still sends to stop. */
static void test_server_ends_first(void **state) {
  (void)state;
  EACH_CHUNKING(&r) {
    rig_stream *c = rig_request(&r.client, "/s/m");
    rig_send(c, 10);
    rig_pump(&r);
    rig_forget(&r);
    rig_stream *s = &r.server.streams[0];
    rig_respond(s);
    rig_send(s, 4);
    rig_finish(s, "0");
    size_t from = r.server.wire.len;
    rig_pump(&r);
    rig_expect_frames(&r.server, from, "HEADERS 1 eh\nDATA 1 4\nHEADERS 1 es eh\nRST 1 NO_ERROR\n");
    rig_expect(&r.server, "close 1 NO_ERROR\n");
    rig_expect(&r.client, ANSWER(1) "data 1 4\n" TRAILERS(1) "close 1 NO_ERROR remote\n");
  }
}

static void test_bidi(void **state) {
  (void)state;
  EACH_CHUNKING(&r) {
    rig_stream *c = rig_request(&r.client, "/s/m");
    rig_pump(&r);
    rig_stream *s = &r.server.streams[0];
    rig_respond(s);
    rig_forget(&r);
    for (size_t i = 1; i <= 50; i++) {
      assert_int_equal(rig_send(c, i * 100), 0);
      assert_int_equal(rig_send(s, i), 0);
      rig_pump(&r);
      h2_consume(r.server.s, s->h2, i * 100);
      h2_consume(r.client.s, c->h2, i);
    }
    assert_int_equal(s->received, 127500);
    assert_int_equal(c->received, 1275);
    rig_finish(c, NULL);
    rig_pump(&r);
    rig_finish(s, "0");
    rig_pump(&r);
    assert_int_equal(s->code, H2_NO_ERROR);
    assert_int_equal(c->code, H2_NO_ERROR);
    assert_int_equal(c->ends, 1);
    assert_int_equal(s->ends, 1);
  }
}

/* A request whose HEADERS carry END_STREAM, by hand; and a 1xx response. */
static void test_end_on_headers(void **state) {
  (void)state;
  for (unsigned chunk = 0; chunk < 6; chunk++) {
    static rig_end e;
    buf b = {0}, block = {0};
    rig_start_end(&e, H2_SERVER, NULL);
    preface(&b);
    request_block(&block, "/s/m");
    frame(&b, F_HEADERS, 5, 1, block.data, block.len);
    assert_int_equal(rig_feed(&e, b.data, b.len, chunk), 0);
    rig_expect(&e, "settings\nstream 1\nfield 1 :method=POST\nfield 1 :scheme=http\n"
                   "field 1 :path=/s/m\nfield 1 :authority=test\nheaders 1 end\nend 1\n");
    rig_stop_end(&e);
    buf_finish(&b);
    buf_finish(&block);
  }
}

static void test_informational(void **state) {
  (void)state;
  for (unsigned chunk = 0; chunk < 6; chunk++) {
    static rig_end e;
    buf b = {0}, early = {0}, final = {0};
    rig_start_end(&e, H2_CLIENT, NULL);
    rig_request(&e, "/s/m");
    rig_drain(&e);
    literal(&early, ":status", "103");
    literal(&early, "link", "x");
    literal(&final, ":status", "200");
    frame(&b, F_SETTINGS, 0, 0, NULL, 0);
    frame(&b, F_HEADERS, 4, 1, early.data, early.len);
    frame(&b, F_HEADERS, 4, 1, early.data, early.len);
    frame(&b, F_HEADERS, 4, 1, final.data, final.len);
    assert_int_equal(rig_feed(&e, b.data, b.len, chunk), 0);
    rig_expect(&e, "settings\nfield 1 :status=103\nfield 1 link=x\nheaders 1 informational\n"
                   "field 1 :status=103\nfield 1 link=x\nheaders 1 informational\n"
                   "field 1 :status=200\nheaders 1\n");
    rig_stop_end(&e);
    buf_finish(&b);
    buf_finish(&early);
    buf_finish(&final);
  }
}

static void test_refused(void **state) {
  (void)state;
  EACH_CHUNKING(&r) {
    rig_stream *first = rig_request(&r.client, "/s/m");
    rig_pump(&r);
    assert_int_equal(h2_last_id(r.server.s), 1);
    r.server.refuse = true;
    rig_stream *c = rig_request(&r.client, "/s/m");
    rig_send(c, 3000);
    rig_forget(&r);
    rig_pump(&r);
    rig_expect(&r.server, "refuse 3\n");
    rig_expect(&r.client, "close 3 REFUSED_STREAM remote\n");
    assert_int_equal(h2_last_id(r.server.s), 1);
    assert_int_equal(first->closes, 0);
    r.server.refuse = false;
  }
}

static void test_ping(void **state) {
  (void)state;
  EACH_CHUNKING(&r) {
    rig_pump(&r);
    rig_forget(&r);
    assert_int_equal(h2_ping(r.client.s, UINT64_C(0x0123456789abcdef)), 0);
    assert_int_equal(h2_ping(r.server.s, 7), 0);
    assert_true(h2_want_output(r.client.s));
    rig_pump(&r);
    rig_expect(&r.client, "ping 123456789abcdef\n");
    rig_expect(&r.server, "ping 7\n");
    assert_false(h2_want_output(r.client.s));
    assert_false(h2_finished(r.client.s));
  }
}

/* What a server counts of its client's PINGs, and of what it has said itself: each
 * HEADERS, DATA and WINDOW_UPDATE, and neither acknowledgements nor PINGs of its own. */
static void test_pings_and_frames(void **state) {
  (void)state;
  EACH_CHUNKING(&r) {
    rig_pump(&r);
    uint64_t said = h2_said(r.server.s), pings = h2_pings(r.server.s);
    assert_int_equal(pings, 0);
    assert_int_equal(h2_ping(r.client.s, 1), 0);
    assert_int_equal(h2_ping(r.client.s, 2), 0);
    assert_int_equal(h2_ping(r.server.s, 3), 0); /* its answer is none of the client's */
    rig_pump(&r);
    assert_int_equal(h2_pings(r.server.s), 2);
    assert_int_equal(h2_pings(r.client.s), 1);
    assert_int_equal(h2_said(r.server.s), said);
    rig_stream *c = rig_request(&r.client, "/s/m");
    assert_int_equal(h2_finish(r.client.s, c->h2, NULL, 0), 0);
    rig_pump(&r);
    rig_stream *s = &r.server.streams[0];
    assert_int_equal(rig_respond(s), 0);
    assert_int_equal(h2_said(r.server.s), said + 1);
    assert_int_equal(rig_send(s, 100), 0);
    assert_int_equal(rig_finish(s, "0"), 0);
    rig_pump(&r);
    assert_int_equal(h2_said(r.server.s), said + 3);
  }
}

/* 100 until the peer's SETTINGS say otherwise; then what they say. */
static void test_max_streams(void **state) {
  (void)state;
  static const h2_config server = {.max_streams = 120};
  rig_stream *c = NULL, *first = NULL;
  rig_start(&r, NULL, &server);
  for (int i = 0; i < 100; i++) {
    assert_int_equal(rig_try_request(&r.client, "/s/m", &c), 0);
    if (!first) first = c;
  }
  assert_int_equal(rig_try_request(&r.client, "/s/m", &c), CAW_EAGAIN);
  rig_pump(&r);
  for (int i = 0; i < 20; i++) assert_int_equal(rig_try_request(&r.client, "/s/m", &c), 0);
  assert_int_equal(rig_try_request(&r.client, "/s/m", &c), CAW_EAGAIN);
  assert_int_equal(h2_reset(r.client.s, first->h2, H2_CANCEL), 0);
  rig_pump(&r);
  assert_int_equal(rig_try_request(&r.client, "/s/m", &c), 0);
  rig_pump(&r);
  assert_int_equal(r.server.count, 121);
  rig_stop(&r);
}

/* A secret field is coded as never indexed (RFC 7541 section 6.2.3), each time
 * as long as the first; the others are in the table the second time. */
static void test_secret(void **state) {
  (void)state;
  static const h2_field f[] = {{CAW_STR(":method"), CAW_STR("POST"), 0, 0},
                               {CAW_STR(":scheme"), CAW_STR("http"), 0, 0},
                               {CAW_STR(":path"), CAW_STR("/"), 0, 0},
                               {CAW_STR(":authority"), CAW_STR("a"), 0, 0},
                               {CAW_STR("token"), CAW_STR("00000"), H2_T_NONE, H2_FIELD_SECRET}};
  size_t lengths[2];
  rig_start(&r, NULL, NULL);
  rig_drain(&r.client);
  for (int i = 0; i < 2; i++) {
    size_t from = r.client.wire.len;
    rig_stream *st = &r.client.streams[r.client.count++];
    *st = (rig_stream){.end = &r.client};
    assert_int_equal(h2_request(r.client.s, f, 5, st, &st->h2), 0);
    lengths[i] = rig_drain(&r.client);
    /* Prefix 0001, a name of its own, Huffman-coded: 4 bytes, the value 4. */
    const uint8_t *wire = r.client.wire.data + from;
    bool found = false;
    for (size_t k = 9; k + 1 < lengths[i]; k++)
      found |= wire[k] == 0x10 && wire[k + 1] == 0x84 && wire[k + 6] == 0x84;
    assert_true(found);
  }
  assert_int_equal(lengths[0] - lengths[1], 2); /* ":authority: a" became one byte */
  rig_stop(&r);
}

/* Many fields, beyond what the stack holds, arrive in order. */
static void test_many_fields(void **state) {
  (void)state;
  char names[60][8];
  h2_field f[64] = {{CAW_STR(":method"), CAW_STR("POST"), 0, 0},
                    {CAW_STR(":scheme"), CAW_STR("http"), 0, 0},
                    {CAW_STR(":path"), CAW_STR("/"), 0, 0},
                    {CAW_STR(":authority"), CAW_STR("a"), 0, 0}};
  buf want = {0};
  buf_printf(&want, "settings\nstream 1\nfield 1 :method=POST\nfield 1 :scheme=http\n"
                    "field 1 :path=/\nfield 1 :authority=a\n");
  for (int i = 0; i < 60; i++) {
    snprintf(names[i], sizeof(names[i]), "k%d", i);
    f[4 + i] = (h2_field){caw_str_from(names[i]), CAW_STR(" v "), 0, 0};
    buf_printf(&want, "field 1 k%d= v \n", i);
  }
  buf_printf(&want, "headers 1\n");
  buf_append(&want, "", 1);
  EACH_CHUNKING(&r) {
    rig_stream *st = &r.client.streams[r.client.count++];
    *st = (rig_stream){.end = &r.client};
    assert_int_equal(h2_request(r.client.s, f, 64, st, &st->h2), 0);
    rig_pump(&r);
    rig_expect(&r.server, (char *)want.data);
  }
  buf_finish(&want);
}

/* The server's SETTINGS say what its configuration says. */
static void test_settings(void **state) {
  (void)state;
  static const h2_config config = {.max_streams = 7,
                                   .stream_window = 1 << 20,
                                   .session_window = 3 << 20,
                                   .max_frame = 32768,
                                   .soft_header_bytes = 9999};
  static const uint8_t want[] = {0, 0,  24, 4, 0, 0, 0, 0, 0,    0,    3, 0, 0, 0, 7,    0, 4,
                                 0, 16, 0,  0, 0, 6, 0, 0, 0x27, 0x0f, 0, 5, 0, 0, 0x80, 0};
  rig_end e;
  rig_start_end(&e, H2_SERVER, &config);
  rig_drain(&e);
  assert_memory_equal(e.wire.data, want, sizeof(want));
  rig_expect_frames(&e, sizeof(want), "WINDOW 0 +3080193\n");
  rig_stop_end(&e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unary),
      cmocka_unit_test(test_frames_of_unary),
      cmocka_unit_test(test_ways_to_end),
      cmocka_unit_test(test_trailers_only),
      cmocka_unit_test(test_trailers_later),
      cmocka_unit_test(test_server_ends_first),
      cmocka_unit_test(test_bidi),
      cmocka_unit_test(test_end_on_headers),
      cmocka_unit_test(test_informational),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_pings_and_frames),
      cmocka_unit_test(test_ping),
      cmocka_unit_test(test_max_streams),
      cmocka_unit_test(test_secret),
      cmocka_unit_test(test_many_fields),
      cmocka_unit_test(test_settings),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
