/* Peers that break the rules, in bytes written by hand. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what ends the connection ---- */

typedef void (*writer)(buf *b);

static void bad_preface(buf *b) {
  buf_append(b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
}

static void preface_cut_by_garbage(buf *b) {
  buf_append(b, "PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n", 24);
}

static void no_settings(buf *b) {
  buf_append(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
  frame(b, F_PING, 0, 0, "12345678", 8);
}

static void frame_too_large(buf *b) {
  static const uint8_t payload[20000];
  preface(b);
  frame(b, F_DATA, 0, 1, payload, sizeof(payload));
}

static void data_on_idle(buf *b) {
  preface(b);
  frame(b, F_DATA, 0, 1, "x", 1);
}

static void window_of_idle(buf *b) {
  preface(b);
  frame(b, F_WINDOW, 0, 5, "\0\0\0\1", 4);
}

static void reset_of_idle_even(buf *b) {
  preface(b);
  frame(b, F_RST, 0, 6, "\0\0\0\1", 4);
}

static void reset_of_idle_size(buf *b) {
  preface(b);
  frame(b, F_RST, 0, 5, "\0\0\0\1\2", 5);
}

static void reset_of_idle_in_block(buf *b) {
  preface(b);
  frame(b, F_HEADERS, 0, 1, "\x82", 1);
  frame(b, F_RST, 0, 5, "\0\0\0\1", 4);
}

static void even_stream(buf *b) {
  buf block = {0};
  preface(b);
  request_block(&block, "/s/m");
  frame(b, F_HEADERS, 4, 2, block.data, block.len);
  buf_finish(&block);
}

static void ping_size(buf *b) {
  preface(b);
  frame(b, F_PING, 0, 0, "1234567", 7);
}

static void settings_size(buf *b) {
  preface(b);
  frame(b, F_SETTINGS, 0, 0, "12345", 5);
}

static void settings_window(buf *b) {
  preface(b);
  frame(b, F_SETTINGS, 0, 0, "\0\4\x80\0\0\0", 6);
}

static void settings_many(buf *b) {
  static const uint8_t payload[6 * 40];
  preface(b);
  frame(b, F_SETTINGS, 0, 0, payload, sizeof(payload));
}

static void window_overflow(buf *b) {
  preface(b);
  frame(b, F_WINDOW, 0, 0, "\x7f\xff\xff\xff", 4);
}

static void bad_hpack(buf *b) {
  preface(b);
  frame(b, F_HEADERS, 4, 1, "\xff\xff\xff\xff\xff\xff", 6);
}

static void lone_continuation(buf *b) {
  preface(b);
  frame(b, F_CONTINUATION, 4, 1, "\x82", 1);
}

static void interrupted_block(buf *b) {
  preface(b);
  frame(b, F_HEADERS, 0, 1, "\x82", 1);
  frame(b, F_PING, 0, 0, "12345678", 8);
}

static void continuation_flood(buf *b) {
  preface(b);
  frame(b, F_HEADERS, 0, 1, "\x82", 1);
  for (int i = 0; i < 100; i++) frame(b, F_CONTINUATION, 0, 1, NULL, 0);
}

static void bad_padding(buf *b) {
  buf block = {0};
  preface(b);
  buf_append(&block, "\xff", 1);
  request_block(&block, "/s/m");
  frame(b, F_HEADERS, 4 | 8, 1, block.data, block.len);
  buf_finish(&block);
}

static void push_to_server(buf *b) {
  preface(b);
  frame(b, F_PUSH, 4, 1, "\0\0\0\2\x82", 5);
}

static void goaway_on_stream(buf *b) {
  preface(b);
  frame(b, F_GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0", 8);
}

static const struct {
  const char *name;
  writer write;
  const char *goaway;
} endings[] = {
    {"bad preface", bad_preface, "GOAWAY 0 0 PROTOCOL_ERROR\n"},
    {"preface cut by garbage", preface_cut_by_garbage, "GOAWAY 0 0 PROTOCOL_ERROR\n"},
    {"no settings", no_settings, "GOAWAY 0 0 PROTOCOL_ERROR\n"},
    {"frame too large", frame_too_large, "GOAWAY 0 0 FRAME_SIZE\n"},
    {"data on idle", data_on_idle, "GOAWAY 0 0 PROTOCOL_ERROR\n"},
    {"window of idle", window_of_idle, "GOAWAY 0 0 PROTOCOL_ERROR\n"},
    {"reset of idle, even", reset_of_idle_even, "GOAWAY 0 0 PROTOCOL_ERROR\n"},
    {"reset of idle, too long", reset_of_idle_size, "GOAWAY 0 0 FRAME_SIZE\n"},
    {"reset of idle in a block", reset_of_idle_in_block, "GOAWAY 0 1 PROTOCOL_ERROR\n"},
    {"even stream", even_stream, "GOAWAY 0 0 PROTOCOL_ERROR\n"},
    {"ping size", ping_size, "GOAWAY 0 0 FRAME_SIZE\n"},
    {"settings size", settings_size, "GOAWAY 0 0 FRAME_SIZE\n"},
    {"settings window", settings_window, "GOAWAY 0 0 FLOW_CONTROL\n"},
    {"many settings", settings_many, "GOAWAY 0 0 ENHANCE_YOUR_CALM\n"},
    {"window overflow", window_overflow, "GOAWAY 0 0 FLOW_CONTROL\n"},
    {"bad hpack", bad_hpack, "GOAWAY 0 1 COMPRESSION\n"},
    {"lone continuation", lone_continuation, "GOAWAY 0 0 PROTOCOL_ERROR\n"},
    {"interrupted block", interrupted_block, "GOAWAY 0 1 PROTOCOL_ERROR\n"},
    {"continuation flood", continuation_flood, "GOAWAY 0 1 ENHANCE_YOUR_CALM\n"},
    {"bad padding", bad_padding, "GOAWAY 0 0 PROTOCOL_ERROR\n"},
    {"push to a server", push_to_server, "GOAWAY 0 0 PROTOCOL_ERROR\n"},
    {"goaway on a stream", goaway_on_stream, "GOAWAY 0 0 PROTOCOL_ERROR\n"},
};

/* Each ends with CAW_EPROTO in the call that brought the last byte of the
 * offence, says why, and hears nothing afterwards. */
static void test_endings(void **state) {
  (void)state;
  static const h2_config config = {.max_streams = 4};
  for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
    for (unsigned chunk = 0; chunk < 4; chunk++) {
      static rig_end e;
      buf b = {0}, block = {0};
      rig_start_end(&e, H2_SERVER, &config);
      rig_drain(&e);
      endings[i].write(&b);
      int rc = rig_feed(&e, b.data, b.len, chunk);
      if (rc != CAW_EPROTO) print_error("%s, chunking %u\n", endings[i].name, chunk);
      assert_int_equal(rc, CAW_EPROTO);
      size_t streams = e.count;
      request_block(&block, "/s/m");
      buf again = {0};
      frame(&again, F_HEADERS, 5, 99, block.data, block.len);
      assert_int_equal(h2_recv(e.s, again.data, again.len), CAW_EPROTO);
      buf_finish(&again);
      assert_int_equal(e.count, streams);
      rig_expect_last(&e, endings[i].goaway);
      assert_true(h2_finished(e.s));
      assert_int_equal(h2_goaway(e.s, 0, H2_NO_ERROR, caw_str_of(NULL, 0)), 0);
      rig_expect_last(&e, endings[i].goaway);
      rig_stop_end(&e);
      buf_finish(&b);
      buf_finish(&block);
    }
  }
}

/* Streams that are open when the peer fails can be sent to, reset and end. */
static void test_calls_after_the_end(void **state) {
  (void)state;
  static rig_end e;
  buf b = {0}, block = {0};
  rig_start_end(&e, H2_SERVER, NULL);
  preface(&b);
  request_block(&block, "/s/m");
  frame(&b, F_HEADERS, 4, 1, block.data, block.len);
  frame(&b, F_HEADERS, 4, 3, block.data, block.len);
  frame(&b, F_PING, 0, 0, "1", 1);
  assert_int_equal(rig_feed(&e, b.data, b.len, 0), CAW_EPROTO);
  rig_stream *st = &e.streams[0];
  assert_int_equal(rig_respond(st), 0);
  assert_int_equal(rig_send(st, 5000), 0);
  assert_int_equal(rig_finish(st, "0"), 0);
  assert_int_equal(h2_ping(e.s, 1), 0);
  rig_drain(&e);
  assert_int_equal(h2_reset(e.s, e.streams[1].h2, H2_CANCEL), 0);
  rig_drain(&e);
  assert_int_equal(e.streams[1].closes, 1);
  assert_int_equal(e.streams[1].code, H2_CANCEL);
  rig_stop_end(&e);
  assert_int_equal(rig_slices_live, 0);
  buf_finish(&b);
  buf_finish(&block);
}

/* ---- what ends a stream ---- */

static void test_malformed_requests(void **state) {
  (void)state;
  static const struct {
    const char *name, *value;
    bool fine;
  } cases[] = {
      {"k", "v", true},
      {"k", " spaces ", true},
      {"k", "tab\there", true},
      {"k", "\xc3\xa9", true},
      {"K", "v", false},
      {"k", "line\nfeed", false},
      {"k", "\x01", false},
      {"k k", "v", false},
      {":path", "/twice", false},
      {":unknown", "v", false},
      {"connection", "close", false},
      {"te", "gzip", false},
      {"te", "trailers", true},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    static rig_end e;
    buf b = {0}, block = {0}, plain = {0};
    rig_start_end(&e, H2_SERVER, NULL);
    rig_drain(&e);
    preface(&b);
    request_block(&block, "/s/m");
    request_block(&plain, "/s/m");
    literal(&block, cases[i].name, cases[i].value);
    frame(&b, F_HEADERS, 5, 1, block.data, block.len);
    frame(&b, F_HEADERS, 5, 3, plain.data, plain.len);
    assert_int_equal(rig_feed(&e, b.data, b.len, 0), 0);
    if (!cases[i].fine) {
      rig_expect_last(&e, "RST 1 PROTOCOL_ERROR\n");
      assert_int_equal(e.streams[0].headers, 0);
      assert_int_equal(e.streams[0].closes, 1);
      assert_int_equal(e.streams[0].code, H2_PROTOCOL_ERROR);
      assert_false(e.streams[0].remote);
    } else {
      assert_int_equal(e.streams[0].headers, 1);
    }
    assert_int_equal(e.streams[1].ends, 1); /* the connection goes on */
    rig_stop_end(&e);
    buf_finish(&b);
    buf_finish(&block);
    buf_finish(&plain);
  }
}

/* More streams than the limit, before and after the client knows it: refused, no
 * more (RFC 9113 section 5.1.2). */
static void too_many_streams(bool acknowledged) {
  static const h2_config config = {.max_streams = 4};
  static rig_end e;
  buf b = {0}, block = {0};
  rig_start_end(&e, H2_SERVER, &config);
  preface(&b);
  if (acknowledged) frame(&b, F_SETTINGS, 1, 0, NULL, 0);
  request_block(&block, "/s/m");
  for (uint32_t id = 1; id < 12; id += 2) frame(&b, F_HEADERS, 5, id, block.data, block.len);
  assert_int_equal(rig_feed(&e, b.data, b.len, 0), 0);
  assert_int_equal(e.count, 4);
  rig_expect_last(&e, "RST 9 REFUSED_STREAM\nRST 11 REFUSED_STREAM\n");
  assert_int_equal(h2_last_id(e.s), 7);
  rig_stop_end(&e);
  buf_finish(&b);
  buf_finish(&block);
}

static void test_too_many_streams(void **state) {
  (void)state;
  too_many_streams(false);
  too_many_streams(true);
}

/* A peer that writes more than a stream's window. */
static void test_window_overrun(void **state) {
  (void)state;
  static const h2_config config = {.stream_window = 10000};
  static rig_end e;
  static const uint8_t payload[10001];
  buf b = {0}, block = {0};
  rig_start_end(&e, H2_SERVER, &config);
  preface(&b);
  frame(&b, F_SETTINGS, 1, 0, NULL, 0);
  request_block(&block, "/s/m");
  frame(&b, F_HEADERS, 4, 1, block.data, block.len);
  frame(&b, F_DATA, 0, 1, payload, 10000);
  assert_int_equal(rig_feed(&e, b.data, b.len, 0), 0);
  assert_int_equal(e.streams[0].received, 10000);
  b.len = 0;
  frame(&b, F_DATA, 0, 1, payload, 1);
  assert_int_equal(rig_feed(&e, b.data, b.len, 0), 0);
  rig_expect_last(&e, "RST 1 FLOW_CONTROL\n");
  assert_int_equal(e.streams[0].code, H2_FLOW_CONTROL_ERROR);
  rig_stop_end(&e);
  buf_finish(&b);
  buf_finish(&block);
}

/* DATA on a stream that has ended, and padding, cost no window for ever. */
static void test_window_of_ignored_data(void **state) {
  (void)state;
  static const h2_config config = {.session_window = 65535};
  static rig_end e;
  static uint8_t payload[16000];
  buf b = {0}, block = {0};
  rig_start_end(&e, H2_SERVER, &config);
  preface(&b);
  request_block(&block, "/s/m");
  frame(&b, F_HEADERS, 4, 1, block.data, block.len);
  frame(&b, F_RST, 0, 1, "\0\0\0\x8", 4);
  for (int i = 0; i < 100; i++) frame(&b, F_DATA, 0, 1, payload, sizeof(payload));
  /* A frame of padding alone. */
  frame(&b, F_HEADERS, 4, 3, block.data, block.len);
  payload[0] = 255;
  for (int i = 0; i < 1000; i++) frame(&b, F_DATA, 8, 3, payload, 256);
  for (size_t at = 0; at < b.len; at += 30000) {
    size_t n = b.len - at < 30000 ? b.len - at : 30000;
    assert_int_equal(rig_feed(&e, b.data + at, n, 0), 0);
    rig_drain(&e);
  }
  assert_int_equal(e.count, 2);
  assert_int_equal(e.streams[0].received + e.streams[1].received, 0);
  rig_stop_end(&e);
  buf_finish(&b);
  buf_finish(&block);
}

/* ---- floods ---- */

/* Answers that nobody reads do not grow without bound. */
static void test_ping_flood(void **state) {
  (void)state;
  static rig_end e;
  buf b = {0};
  int rc = 0;
  rig_start_end(&e, H2_SERVER, NULL);
  preface(&b);
  rig_feed(&e, b.data, b.len, 0);
  b.len = 0;
  for (int i = 0; i < 100; i++) frame(&b, F_PING, 0, 0, "12345678", 8);
  struct iovec parts[64];
  int rounds = 0;
  while (!rc && rounds++ < 1000) {
    rc = h2_recv(e.s, b.data, b.len);
    assert_true(h2_output(e.s, parts, 64) > 0); /* and nothing is written */
  }
  assert_int_equal(rc, CAW_EPROTO);
  assert_true(rounds < 110); /* 10,000 acks */
  assert_true(h2_queued(e.s) <= 10100);
  assert_true(h2_noise(e.s) >= 9900);
  e.rc = 0;
  rig_expect_last(&e, "GOAWAY 0 0 ENHANCE_YOUR_CALM\n");
  rig_stop_end(&e);
  buf_finish(&b);
}

/* Ten thousand honest cancels in a row are no offence to this layer. */
static void test_many_resets(void **state) {
  (void)state;
  static rig_end e;
  buf b = {0}, block = {0};
  rig_start_end(&e, H2_SERVER, NULL);
  preface(&b);
  request_block(&block, "/s/m");
  assert_int_equal(rig_feed(&e, b.data, b.len, 0), 0);
  for (uint32_t i = 0; i < 10000; i++) {
    b.len = 0;
    frame(&b, F_HEADERS, 4, 2 * i + 1, block.data, block.len);
    frame(&b, F_RST, 0, 2 * i + 1, "\0\0\0\x8", 4);
    e.count = 0;
    assert_int_equal(h2_recv(e.s, b.data, b.len), 0);
    assert_int_equal(e.streams[0].closes, 1);
    assert_true(e.streams[0].remote);
    e.log.len = 0;
  }
  rig_stop_end(&e);
  buf_finish(&b);
  buf_finish(&block);
}

static void test_noise(void **state) {
  (void)state;
  static rig_end e;
  for (unsigned chunk = 0; chunk < 3; chunk++) {
    buf b = {0}, block = {0};
    rig_start_end(&e, H2_SERVER, NULL);
    preface(&b); /* SETTINGS: 1 */
    request_block(&block, "/s/m");
    frame(&b, F_HEADERS, 4, 1, block.data, block.len);
    frame(&b, F_PRIORITY, 0, 1, "\0\0\0\0\x10", 5);
    frame(&b, F_WINDOW, 0, 1, "\0\0\0\1", 4);
    frame(&b, F_PING, 0, 0, "12345678", 8);
    frame(&b, 77, 0, 0, "what?", 5);
    frame(&b, F_DATA, 0, 1, NULL, 0);
    frame(&b, F_DATA, 0, 1, "x", 1);
    frame(&b, F_DATA, 1, 1, NULL, 0);
    assert_int_equal(rig_feed(&e, b.data, b.len, chunk), 0);
    assert_int_equal(h2_noise(e.s), 6);
    rig_stop_end(&e);
    buf_finish(&b);
    buf_finish(&block);
  }
}

/* gRPC's C core resets streams whose HEADERS it never wrote. That harms nobody:
 * the calls before and after it go on, however the bytes were cut. */
static void test_reset_of_idle(void **state) {
  (void)state;
  static rig_end e;
  for (unsigned chunk = 0; chunk < 8; chunk++) {
    buf b = {0}, block = {0};
    rig_start_end(&e, H2_SERVER, NULL);
    preface(&b);
    request_block(&block, "/s/m");
    frame(&b, F_RST, 0, 1, "\0\0\0\x8", 4);
    frame(&b, F_HEADERS, 4, 3, block.data, block.len);
    frame(&b, F_RST, 0, 5, "\0\0\0\x8", 4);
    frame(&b, F_RST, 0, 7, "\0\0\0\x8", 4);
    frame(&b, F_DATA, 1, 3, "hello", 5);
    frame(&b, F_RST, 0, 0x7fffffff, "\0\0\0\x8", 4);
    frame(&b, F_HEADERS, 5, 9, block.data, block.len);
    assert_int_equal(rig_feed(&e, b.data, b.len, chunk), 0);
    assert_int_equal(e.count, 2);
    assert_int_equal(e.streams[0].received, 5);
    assert_int_equal(e.streams[0].ends, 1);
    assert_int_equal(e.streams[0].closes, 0);
    assert_int_equal(e.streams[1].ends, 1);
    assert_int_equal(h2_noise(e.s), 5); /* with SETTINGS */
    /* A stream that is known is reset as ever. */
    b.len = 0;
    frame(&b, F_RST, 0, 9, "\0\0\0\x8", 4);
    assert_int_equal(rig_feed(&e, b.data, b.len, chunk), 0);
    assert_int_equal(e.streams[1].closes, 1);
    assert_true(e.streams[1].remote);
    rig_stop_end(&e);
    buf_finish(&b);
    buf_finish(&block);
  }
}

/* ---- anything at all ---- */

/* Random damage to a good conversation: no crash, no leak, the same outcome and
 * the same events whole and in pieces. */
static void test_random_damage(void **state) {
  (void)state;
  static rig r;
  rig_start(&r, NULL, NULL);
  for (int i = 0; i < 5; i++) {
    rig_stream *c = rig_request(&r.client, "/s/m");
    rig_send(c, 50);
    rig_send(c, 2000);
    rig_finish(c, NULL);
    h2_ping(r.client.s, (uint64_t)i);
  }
  rig_drain(&r.client);
  srand(5);
  for (int round = 0; round < 3000; round++) {
    buf b = {0};
    buf_append(&b, r.client.wire.data, r.client.wire.len);
    int hits = 1 + rand() % 3;
    for (int k = 0; k < hits; k++) b.data[(size_t)rand() % b.len] = (uint8_t)rand();
    static rig_end whole, pieces;
    rig_start_end(&whole, H2_SERVER, NULL);
    rig_start_end(&pieces, H2_SERVER, NULL);
    int a = rig_feed(&whole, b.data, b.len, 0);
    int c = rig_feed(&pieces, b.data, b.len, 1 + (unsigned)round % 3);
    assert_int_equal(a, c);
    rig_drain(&whole);
    rig_drain(&pieces);
    char *log = rig_log(&whole);
    rig_expect(&pieces, log);
    caw_free(log);
    rig_stop_end(&whole);
    rig_stop_end(&pieces);
    buf_finish(&b);
  }
  rig_stop(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_endings),
      cmocka_unit_test(test_calls_after_the_end),
      cmocka_unit_test(test_malformed_requests),
      cmocka_unit_test(test_too_many_streams),
      cmocka_unit_test(test_window_overrun),
      cmocka_unit_test(test_window_of_ignored_data),
      cmocka_unit_test(test_ping_flood),
      cmocka_unit_test(test_many_resets),
      cmocka_unit_test(test_noise),
      cmocka_unit_test(test_reset_of_idle),
      cmocka_unit_test(test_random_damage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
