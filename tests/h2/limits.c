/* Limits on header blocks: fields are dropped at the soft limit, the connection
 * ends at the hard one. */
#include "rig.h"

#include <stdio.h>
#include <string.h>

/* Four pseudo-header fields of request_block(): their names, values and cost. */
#define PSEUDO_BYTES (7 + 4 + 7 + 4 + 5 + 4 + 10 + 4 + 4 * 32)

static const h2_config limits = {.soft_header_bytes = 1000,
                                 .soft_header_fields = 10,
                                 .hard_header_bytes = 3000,
                                 .hard_header_fields = 20};

/* A request with `n` more fields, each counted as `cost` bytes. */
static void block_with(buf *block, size_t n, size_t cost) {
  char value[4000];
  request_block(block, "/s/m");
  for (size_t i = 0; i < n; i++) {
    memset(value, 'v', cost);
    value[cost - 32 - 1] = '\0';
    literal(block, "k", value);
  }
}

static void test_limits(void **state) {
  (void)state;
  static const struct {
    size_t n, cost;
    unsigned kept; /* of n */
    bool dropped;
    int rc;
  } cases[] = {
      {6, 40, 6, false, 0},
      {7, 40, 6, true, 0},
      {16, 40, 6, true, 0},
      {17, 40, 0, false, CAW_EPROTO},
      {1, 1000 - PSEUDO_BYTES, 1, false, 0},
      {1, 1001 - PSEUDO_BYTES, 0, true, 0},
      {2, 1001 - PSEUDO_BYTES, 0, true, 0},
      {1, 3000 - PSEUDO_BYTES, 0, true, 0},
      {1, 3001 - PSEUDO_BYTES, 0, false, CAW_EPROTO},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    for (unsigned chunk = 0; chunk < 3; chunk++) {
      static rig_end e;
      buf b = {0}, block = {0}, want = {0};
      rig_start_end(&e, H2_SERVER, &limits);
      rig_drain(&e);
      preface(&b);
      block_with(&block, cases[i].n, cases[i].cost);
      frame(&b, F_HEADERS, 4, 1, block.data, block.len);
      int rc = rig_feed(&e, b.data, b.len, chunk);
      assert_int_equal(rc, cases[i].rc);
      size_t from = e.wire.len;
      if (rc) {
        rig_expect_last(&e, "GOAWAY 0 1 ENHANCE_YOUR_CALM\n");
        assert_true(h2_finished(e.s));
        assert_int_equal(e.streams[0].headers, 0);
      } else {
        buf_printf(&want, "settings\nstream 1\nfield 1 :method=POST\nfield 1 :scheme=http\n"
                          "field 1 :path=/s/m\nfield 1 :authority=test\n");
        for (unsigned k = 0; k < cases[i].kept; k++) {
          if (cases[i].cost - 33 > 60) buf_printf(&want, "field 1 k=(%zu)\n", cases[i].cost - 33);
          else buf_printf(&want, "field 1 k=%.*s\n", (int)cases[i].cost - 33, "vvvvvvvvvvvvv");
        }
        buf_printf(&want, "headers 1%s\n", cases[i].dropped ? " dropped" : "");
        buf_append(&want, "", 1);
        rig_expect(&e, (char *)want.data);
        rig_drain(&e);
        rig_expect_frames(&e, from, "SETTINGS 0 ack\n");
      }
      rig_stop_end(&e);
      buf_finish(&b);
      buf_finish(&block);
      buf_finish(&want);
    }
  }
}

/* Each block has limits of its own, trailers too; a block over several frames
 * is one block. */
static void test_trailers_and_continuations(void **state) {
  (void)state;
  for (unsigned chunk = 0; chunk < 6; chunk++) {
    static rig_end e;
    buf b = {0}, block = {0}, trailers = {0};
    rig_start_end(&e, H2_SERVER, &limits);
    rig_drain(&e);
    preface(&b);
    block_with(&block, 6, 40);
    for (int i = 0; i < 12; i++) literal(&trailers, "k", "v");
    frame(&b, F_HEADERS, 0, 1, block.data, 10);
    frame(&b, F_CONTINUATION, 0, 1, block.data + 10, 40);
    frame(&b, F_CONTINUATION, 4, 1, block.data + 50, block.len - 50);
    frame(&b, F_HEADERS, 1, 1, trailers.data, 10);
    frame(&b, F_CONTINUATION, 4, 1, trailers.data + 10, trailers.len - 10);
    assert_int_equal(rig_feed(&e, b.data, b.len, chunk), 0);
    rig_expect(&e, "settings\nstream 1\nfield 1 :method=POST\nfield 1 :scheme=http\n"
                   "field 1 :path=/s/m\nfield 1 :authority=test\n"
                   "field 1 k=vvvvvvv\nfield 1 k=vvvvvvv\nfield 1 k=vvvvvvv\n"
                   "field 1 k=vvvvvvv\nfield 1 k=vvvvvvv\nfield 1 k=vvvvvvv\nheaders 1\n"
                   "field 1 k=v\nfield 1 k=v\nfield 1 k=v\nfield 1 k=v\nfield 1 k=v\n"
                   "field 1 k=v\nfield 1 k=v\nfield 1 k=v\nfield 1 k=v\nfield 1 k=v\n"
                   "headers 1 end dropped\nend 1\n");
    rig_stop_end(&e);
    buf_finish(&b);
    buf_finish(&block);
    buf_finish(&trailers);
  }
}

/* A kilobyte on the wire that decodes to four megabytes: one 4,000-byte table
 * entry, referred to a thousand times. */
static void test_hpack_bomb(void **state) {
  (void)state;
  static rig_end e;
  buf b = {0}, block = {0};
  char value[3901];
  memset(value, 'x', 3900);
  value[3900] = '\0';
  rig_start_end(&e, H2_SERVER, NULL);
  rig_drain(&e);
  preface(&b);
  request_block(&block, "/s/m");
  size_t at = block.len;
  literal(&block, "bomb", value);
  block.data[at] = 0x40; /* with indexing */
  for (int i = 0; i < 1000; i++) assert_int_equal(buf_append(&block, "\xbe", 1), 0);
  frame(&b, F_HEADERS, 4, 1, block.data, block.len);
  assert_int_equal(rig_feed(&e, b.data, b.len, 0), CAW_EPROTO);
  rig_expect_last(&e, "GOAWAY 0 1 ENHANCE_YOUR_CALM\n");
  rig_stop_end(&e);
  buf_finish(&b);
  buf_finish(&block);
}

/* A refused stream's block is held to the hard limit too. */
static void test_hard_limit_of_refused(void **state) {
  (void)state;
  static rig_end e;
  buf b = {0}, block = {0};
  rig_start_end(&e, H2_SERVER, &limits);
  e.refuse = true;
  preface(&b);
  block_with(&block, 30, 40);
  frame(&b, F_HEADERS, 4, 1, block.data, block.len);
  assert_int_equal(rig_feed(&e, b.data, b.len, 0), CAW_EPROTO);
  rig_expect(&e, "settings\nrefuse 1\n");
  rig_stop_end(&e);
  buf_finish(&b);
  buf_finish(&block);
}

/* A client drops and ends in the same way. */
static void test_client_side(void **state) {
  (void)state;
  for (int hard = 0; hard < 2; hard++) {
    static rig_end e;
    buf b = {0}, block = {0};
    rig_start_end(&e, H2_CLIENT, &limits);
    rig_request(&e, "/s/m");
    rig_drain(&e);
    frame(&b, F_SETTINGS, 0, 0, NULL, 0);
    literal(&block, ":status", "200");
    for (int i = 0; i < (hard ? 20 : 10); i++) literal(&block, "k", "v");
    frame(&b, F_HEADERS, 4, 1, block.data, block.len);
    assert_int_equal(rig_feed(&e, b.data, b.len, 0), hard ? CAW_EPROTO : 0);
    if (!hard)
      rig_expect(&e, "settings\nfield 1 :status=200\nfield 1 k=v\nfield 1 k=v\nfield 1 k=v\n"
                     "field 1 k=v\nfield 1 k=v\nfield 1 k=v\nfield 1 k=v\nfield 1 k=v\n"
                     "field 1 k=v\nheaders 1 dropped\n");
    rig_stop_end(&e);
    buf_finish(&b);
    buf_finish(&block);
  }
}

/* ---- Memory for texts: on_room ---- */

typedef struct texts {
  size_t asked, fields, lasting;
  char room[65536];
} texts;

static void text_field(void *ctx, void *user, const h2_field *field) {
  texts *t = ctx;
  (void)user;
  t->fields++;
  if (field->flags & H2_FIELD_LASTING && field->name.data[0] == 'k') t->lasting++;
}

static char *text_room(void *ctx, void *user, size_t len) {
  texts *t = ctx;
  (void)user;
  assert_true(len <= sizeof(t->room) - t->asked);
  t->asked += len;
  return t->room + t->asked - len;
}

static void no_headers(void *ctx, void *user, unsigned flags) {
  (void)ctx, (void)user, (void)flags;
}

static void no_close(void *ctx, void *user, uint32_t code, bool remote) {
  (void)ctx, (void)user, (void)code, (void)remote;
}

static void no_settings(void *ctx) {
  (void)ctx;
}

/* A response or an interim one whose field has the value "aaaaa", in Huffman's code,
 * `n` times. */
static void coded_block(buf *b, const char *status, size_t n) {
  static const uint8_t coded[] = {0x00, 1, 'k', 0x84, 0x18, 0xc6, 0x31, 0xff};
  buf block = {0};
  literal(&block, ":status", status);
  for (size_t i = 0; i < n; i++) buf_append(&block, coded, sizeof(coded));
  frame(b, F_HEADERS, 4, 1, block.data, block.len);
  buf_finish(&block);
}

/* A stream's owner keeps texts as long as the call lives. Those of interim responses,
 * of which there may be any number, and of fields that are dropped are not his. */
static void test_room_for_texts(void **state) {
  (void)state;
  static const h2_events events = {.on_field = text_field,
                                   .on_headers = no_headers,
                                   .on_close = no_close,
                                   .on_settings = no_settings,
                                   .on_room = text_room};
  for (unsigned chunk = 0; chunk < 3; chunk++) {
    static texts t;
    h2_session *s;
    h2_stream *stream;
    buf b = {0};
    const h2_field fields[] = {{caw_str_from(":method"), caw_str_from("POST"), 0, 0}};
    memset(&t, 0, sizeof(t));
    assert_int_equal(h2_session_new(&s, H2_CLIENT, &limits, &events, &t), 0);
    assert_int_equal(h2_request(s, fields, 1, &t, &stream), 0);
    frame(&b, F_SETTINGS, 0, 0, NULL, 0);
    for (int i = 0; i < 1000; i++) coded_block(&b, "103", 8);
    coded_block(&b, "200", 18); /* with :status, 9 are within the soft limit */
    for (size_t at = 0, n; at < b.len; at += n) {
      n = chunk && b.len - at > chunk ? chunk : b.len - at;
      assert_int_equal(h2_recv(s, b.data + at, n), 0);
    }
    assert_int_equal(t.fields, 1000 * 9 + 10);
    assert_int_equal(t.lasting, 9);
    assert_true(t.asked <= 10 * (5 + 1 + 86));
    h2_session_free(s);
    buf_finish(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_limits),      cmocka_unit_test(test_trailers_and_continuations),
      cmocka_unit_test(test_hpack_bomb),  cmocka_unit_test(test_hard_limit_of_refused),
      cmocka_unit_test(test_client_side), cmocka_unit_test(test_room_for_texts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
