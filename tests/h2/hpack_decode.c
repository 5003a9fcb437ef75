/*
 * What HPACK's decoder promises beside RFC 7541: where text lives, what is asked
 * once and kept, which strings are too long and when that is said, and that it
 * changes nothing when input or memory is missing.
 */
#include "failing.h"
#include "hpack_rig.h"

#include "h2/hpack_static.h"
#include "h2/hpack_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define MOST ((uint32_t)65536)

static hpack_decoder d;
static h2_field f;
static uint8_t input[4096];
static size_t input_len;

/* Memory for lasting text. */
static struct {
  char bytes[4096];
  size_t used, calls;
  bool out;
} room;

static char *give_room(void *ctx, size_t len) {
  assert_ptr_equal(ctx, &room);
  room.calls++;
  if (room.out) return NULL;
  assert_true(len <= sizeof(room.bytes) - room.used);
  room.used += len;
  return room.bytes + room.used - len;
}

static void start(uint32_t max_string, bool lasting) {
  memset(&room, 0, sizeof(room));
  input_len = 0;
  hpack_decoder_init(&d, max_string, NULL);
  hpack_decoder_begin(&d);
  if (!lasting) return;
  d.room = give_room;
  d.room_ctx = &room;
}

static void stop(void) {
  hpack_decoder_finish(&d);
  assert_int_equal(failing.live, 0);
}

static void put(uint8_t byte) {
  assert_true(input_len < sizeof(input));
  input[input_len++] = byte;
}

static void put_text(const char *text, bool huffman) {
  const uint8_t *bytes = (const uint8_t *)text;
  size_t len = strlen(text), packed = huffman ? huffman_encoded_length(bytes, len) : len;
  assert_true(packed + 6 < sizeof(input) - input_len);
  put((uint8_t)(huffman << 7 | (packed < 127 ? packed : 127)));
  if (packed >= 127) {
    size_t rest = packed - 127;
    for (; rest >= 128; rest >>= 7) put((uint8_t)(rest | 0x80));
    put((uint8_t)rest);
  }
  if (huffman) huffman_encode(input + input_len, bytes, len);
  else memcpy(input + input_len, bytes, len);
  input_len += packed;
}

/* A literal with a new name. */
static void put_literal(uint8_t kind, const char *name, bool name_huffman, const char *value,
                        bool value_huffman) {
  put(kind);
  put_text(name, name_huffman);
  put_text(value, value_huffman);
}

/* A literal whose name, which has no token, is the static table's. */
#define FREE_NAME "accept-language"
static void put_free_name(void) {
  put(0x0f);
  put(17 - 15);
}

/* Decodes all that was put, which must be one field. */
static hpack_result decode_input(void) {
  const uint8_t *p = input;
  hpack_result r = hpack_decode(&d, &p, input + input_len, true, &f);
  if (r == HPACK_FIELD) assert_ptr_equal(p, input + input_len);
  input_len = 0;
  return r;
}

static void expect(const char *name, const char *value, unsigned flags) {
  assert_int_equal(decode_input(), HPACK_FIELD);
  assert_int_equal(f.name.len, strlen(name));
  assert_memory_equal(f.name.data, name, f.name.len);
  assert_int_equal(f.value.len, strlen(value));
  assert_memory_equal(f.value.data, value, f.value.len);
  assert_int_equal(f.token, h2_token_of(f.name));
  assert_int_equal(f.flags, flags);
}

static bool inside(const void *p, const void *begin, size_t len) {
  return (uintptr_t)p >= (uintptr_t)begin && (uintptr_t)p < (uintptr_t)begin + len;
}

enum { INSERTED = 0x40, PLAIN = 0x00, NEVER = 0x10 };

/* ---- Where text lives ---- */

static void plain_text_stays_in_the_input(void **state) {
  (void)state;
  for (int lasting = 0; lasting < 2; lasting++) {
    start(MOST, lasting);
    put_literal(PLAIN, "x-name", false, "value", false);
    expect("x-name", "value", 0);
    assert_true(inside(f.name.data, input, sizeof(input)));
    assert_true(inside(f.value.data, input, sizeof(input)));
    assert_int_equal(failing.live, 0);
    assert_int_equal(room.calls, 0);
    stop();
  }
}

static void indexed_static_fields_last(void **state) {
  (void)state;
  start(MOST, false);
  for (unsigned i = 1; i <= HPACK_STATIC; i++) {
    put((uint8_t)(0x80 | i));
    assert_int_equal(decode_input(), HPACK_FIELD);
    assert_int_equal(f.flags, H2_FIELD_LASTING);
    assert_int_equal(f.token, h2_token_of(f.name));
    assert_ptr_equal(f.name.data, hpack_static[i - 1].name.data);
  }
  stop();
}

static void inserted_text_is_the_entrys(void **state) {
  (void)state;
  for (int huffman = 0; huffman < 2; huffman++) {
    start(MOST, true);
    put_literal(INSERTED, "x-name", huffman, "some value", huffman);
    expect("x-name", "some value", 0);
    const hpack_entry *entry = hpack_table_at(&d.table, 0);
    assert_ptr_equal(f.name.data, entry->text);
    assert_ptr_equal(f.value.data, entry->text + 6);
    put(0xbe);
    expect("x-name", "some value", 0);
    assert_ptr_equal(f.value.data, entry->text + 6);
    assert_int_equal(room.calls, 0);
    stop();
  }
}

/* A name with a token, or of the static table, is not copied into entries. */
static void known_names_are_not_copied(void **state) {
  (void)state;
  start(MOST, false);
  put(0x40 | 31);
  put_text("application/grpc", false);
  expect("content-type", "application/grpc", 0);
  assert_ptr_equal(f.name.data, hpack_known_names[H2_T_CONTENT_TYPE].name.data);
  put(0x40 | 60);
  put_text("proxy", false);
  expect("via", "proxy", 0);
  assert_ptr_equal(f.name.data, hpack_static[59].name.data);
  put_literal(INSERTED, "te", false, "trailers", false);
  expect("te", "trailers", 0);
  put(0x40 | 62);
  put_text("deflate", false);
  expect("te", "deflate", 0);
  assert_ptr_equal(f.name.data, hpack_known_names[H2_T_TE].name.data);
  stop();
}

static void unpacked_text_goes_to_the_room(void **state) {
  (void)state;
  start(MOST, true);
  put_free_name();
  put_text("/some/path/to/unpack", true);
  expect(FREE_NAME, "/some/path/to/unpack", H2_FIELD_LASTING);
  assert_ptr_equal(f.value.data, room.bytes);
  assert_int_equal(room.calls, 1);
  /* Both texts. */
  put_literal(NEVER, "x-name", true, "some-value", true);
  expect("x-name", "some-value", H2_FIELD_LASTING | H2_FIELD_SECRET);
  assert_true(inside(f.name.data, room.bytes, room.used));
  assert_ptr_equal(f.value.data, f.name.data + 6);
  assert_int_equal(room.calls, 2);
  /* What is plain is copied behind the other, so that both last. */
  put_literal(PLAIN, "x-name", true, "~", false);
  expect("x-name", "~", H2_FIELD_LASTING);
  assert_true(inside(f.value.data, room.bytes, room.used));
  put_literal(PLAIN, "~", false, "some-value", true);
  expect("~", "some-value", H2_FIELD_LASTING);
  assert_true(inside(f.name.data, room.bytes, room.used));
  assert_int_equal(failing.live, 0);
  /* So is a name of the dynamic table, whose entry may go. */
  put_literal(INSERTED, "x-dynamic", false, "", false);
  expect("x-dynamic", "", 0);
  put(0x0f);
  put(62 - 15);
  put_text("some-value", true);
  expect("x-dynamic", "some-value", H2_FIELD_LASTING);
  assert_true(inside(f.name.data, room.bytes, room.used));
  /* But what has a token is understood at once: scratch is enough. */
  put_literal(INSERTED, "grpc-timeout", false, "1S", false);
  expect("grpc-timeout", "1S", 0);
  size_t used = room.used;
  put(0x0f);
  put(62 - 15);
  put_text("100000u", true);
  expect("grpc-timeout", "100000u", 0);
  assert_ptr_equal(f.value.data, d.scratch);
  put(0x04);
  put_text("/some/path", true);
  expect(":path", "/some/path", 0);
  assert_ptr_equal(f.value.data, d.scratch);
  assert_int_equal(room.used, used);
  stop();
}

static void without_room_scratch_is_used(void **state) {
  (void)state;
  start(MOST, false);
  put(0x04);
  put_text("/some/path", true);
  expect(":path", "/some/path", 0);
  const char *first = d.scratch;
  assert_ptr_equal(f.value.data, first);
  assert_int_equal(failing.live, 1);
  put(0x04);
  put_text("/other", true);
  expect(":path", "/other", 0);
  assert_ptr_equal(f.value.data, first); /* large enough */
  put_literal(PLAIN, "a-name-that-is-longer", true, "and-a-value-that-is-longer", true);
  expect("a-name-that-is-longer", "and-a-value-that-is-longer", 0);
  assert_int_equal(failing.live, 1);
  hpack_decoder_trim(&d);
  assert_int_equal(failing.live, 0);
  assert_int_equal(d.scratch_room, 0);
  put(0x04);
  put_text("/some/path", true);
  expect(":path", "/some/path", 0);
  stop();
}

/* Long code is counted first, so that no more is asked for than it needs. */
static void room_is_not_wasted(void **state) {
  (void)state;
  for (size_t len = 1; len < 600; len += 7) {
    char text[600];
    memset(text, 'X', len); /* 8 bits */
    text[len] = '\0';
    start(MOST, true);
    put_free_name();
    put_text(text, true);
    expect(FREE_NAME, text, H2_FIELD_LASTING);
    assert_true(room.used <= len + 64);
    if (len > 64) assert_int_equal(room.used, len);
    stop();
  }
}

/* An entry that is larger than the table is not kept, but its text is there. */
static void too_large_for_the_table(void **state) {
  (void)state;
  char text[6000];
  memset(text, '0', sizeof(text) - 1);
  text[sizeof(text) - 1] = '\0';
  for (int lasting = 0; lasting < 2; lasting++) {
    start(MOST, lasting);
    put_literal(INSERTED, "x-name", false, "value", false);
    expect("x-name", "value", 0);
    put(0x40 | 62);
    put_text(text, true);
    expect("x-name", text, 0);
    assert_int_equal(d.table.len, 0);
    assert_int_equal(d.table.bytes, 0);
    assert_true(inside(f.value.data + sizeof(text) - 2, d.scratch, d.scratch_room));
    put_free_name();
    put_text("/unpacked/there", true);
    expect(FREE_NAME, "/unpacked/there", lasting ? H2_FIELD_LASTING : 0);
    stop();
  }
}

/* ---- Names, tokens, characters ---- */

static void tokens_and_secrets(void **state) {
  (void)state;
  start(MOST, false);
  put_literal(PLAIN, "grpc-status", true, "0", false);
  expect("grpc-status", "0", 0);
  assert_int_equal(f.token, H2_T_GRPC_STATUS);
  put_literal(NEVER, "authorization", false, "Bearer x", false);
  expect("authorization", "Bearer x", H2_FIELD_SECRET);
  put(0x1f);
  put(23 - 15);
  put_text("Bearer y", false);
  expect("authorization", "Bearer y", H2_FIELD_SECRET);
  stop();
}

static void forbidden_characters(void **state) {
  (void)state;
  static const struct {
    const char *name, *value;
    unsigned flags;
  } cases[] = {
      {"x-fine", "fine", 0},
      {"X-Upper", "fine", H2_FIELD_INVALID},
      {"", "fine", H2_FIELD_INVALID},
      {"x space", "fine", H2_FIELD_INVALID},
      {":path", "/\n", H2_FIELD_INVALID},
      {":unknown", "fine", 0},
      {"x-value", "a\rb", H2_FIELD_INVALID},
      {"x-value", "\x01", H2_FIELD_INVALID},
      {"x-value", " a\t\xff ", 0},
      {"te", "\x7f", H2_FIELD_INVALID},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    for (int huffman = 0; huffman < 2; huffman++) {
      start(MOST, false);
      put_literal(PLAIN, cases[i].name, huffman, cases[i].value, huffman);
      expect(cases[i].name, cases[i].value, cases[i].flags);
      put_literal(INSERTED, cases[i].name, huffman, cases[i].value, huffman);
      expect(cases[i].name, cases[i].value, cases[i].flags);
      put(0xbe); /* kept with the entry */
      expect(cases[i].name, cases[i].value, cases[i].flags);
      /* With the name of that entry: it depends on the name alone. */
      bool bad_name =
          !nghttp2_check_header_name((const uint8_t *)cases[i].name, strlen(cases[i].name));
      put(0x7e);
      put_text("good", false);
      expect(cases[i].name, "good", bad_name ? H2_FIELD_INVALID : 0);
      put(0x7e);
      put_text("bad\n", false);
      expect(cases[i].name, "bad\n", H2_FIELD_INVALID);
      put(0x0f);
      put(62 - 15);
      put_text("good", false);
      expect(cases[i].name, "good", bad_name ? H2_FIELD_INVALID : 0);
      stop();
    }
  }
}

/* ---- Limits ---- */

static hpack_result result_of(const char *bytes, size_t len, bool last) {
  const uint8_t *p = (const uint8_t *)bytes;
  hpack_decoder before = d;
  hpack_result r = hpack_decode(&d, &p, p + len, last, &f);
  if (r != HPACK_FIELD) assert_ptr_equal(p, bytes);
  if (r == HPACK_MORE) assert_memory_equal(&before, &d, sizeof(d));
  return r;
}

#define RESULT(bytes, last) result_of("" bytes, sizeof(bytes) - 1, last)

static void strings_that_are_too_long(void **state) {
  (void)state;
  start(8, false);
  /* As soon as the length is read, whatever has come of the rest. */
  assert_int_equal(RESULT("\x00\x09", false), HPACK_TOO_LONG);
  assert_int_equal(RESULT("\x00\x08", false), HPACK_MORE);
  assert_int_equal(RESULT("\x40\x7f\xff\xff\x03", false), HPACK_TOO_LONG);
  assert_int_equal(RESULT("\x00\x01x\x09", false), HPACK_TOO_LONG);
  assert_int_equal(RESULT("\x04\x09", false), HPACK_TOO_LONG);
  assert_int_equal(RESULT("\x00\x08xxxxxxxx\x08yyyyyyyy", false), HPACK_FIELD);
  assert_int_equal(f.value.len, 8);
  /* Of Huffman's code, 31 bytes are eight bytes at least: 8 * 30 bits and a padding. */
  assert_int_equal(RESULT("\x04\x9e", false), HPACK_MORE);
  assert_int_equal(RESULT("\x04\x9f", false), HPACK_TOO_LONG);
  assert_int_equal(RESULT("\x00\x9f", false), HPACK_TOO_LONG);
  /* And what it decodes to exactly, when it is there. */
  assert_int_equal(RESULT("\x04\x85\x00\x00\x00\x00\x00", false), HPACK_FIELD);
  assert_int_equal(f.value.len, 8);
  assert_int_equal(RESULT("\x04\x86\x00\x00\x00\x00\x00\x07", false), HPACK_TOO_LONG);
  hpack_decoder_trim(&d);
  assert_int_equal(RESULT("\x44\x86\x00\x00\x00\x00\x00\x07", false), HPACK_TOO_LONG);
  assert_int_equal(RESULT("\x40\x86\x00\x00\x00\x00\x00\x07\x00", false), HPACK_TOO_LONG);
  hpack_decoder_trim(&d);
  assert_int_equal(RESULT("\x00\x86\x00\x00\x00\x00\x00\x07\x00", false), HPACK_TOO_LONG);
  stop();
}

/* The least of Huffman's code that is too long, for each limit: of the longest
 * codes, "\n" with 30 bits. */
static void huffman_limits_are_exact(void **state) {
  (void)state;
  for (uint32_t limit = 0; limit < 200; limit++) {
    char text[202];
    memset(text, '\n', sizeof(text));
    start(limit, false);
    text[limit] = '\0';
    put(0x04);
    put_text(text, true);
    expect(":path", text, limit ? H2_FIELD_INVALID : 0);
    text[limit] = '\n';
    text[limit + 1] = '\0';
    put(0x04);
    put_text(text, true);
    size_t len = input_len;
    assert_int_equal(decode_input(), HPACK_TOO_LONG);
    /* Said at the length already, unless the padding might be code. */
    put(0x04);
    put_text(text, true);
    const uint8_t *p = input;
    hpack_result r = hpack_decode(&d, &p, input + len - 1, false, &f);
    assert_true(r == HPACK_TOO_LONG || (r == HPACK_MORE && (limit + 1) * 30 % 8 != 0));
    stop();
  }
}

/* Code that is long enough to be counted before there is memory for it. */
static void long_code_that_is_too_long(void **state) {
  (void)state;
  static char text[2000];
  memset(text, '0', sizeof(text) - 1);
  for (int inserted = 0; inserted < 2; inserted++) {
    start(500, true);
    put(inserted ? 0x44 : 0x04);
    put_text(text, true);
    assert_int_equal(decode_input(), HPACK_TOO_LONG);
    assert_int_equal(failing.live, 0);
    assert_int_equal(room.calls, 0);
    put(inserted ? 0x44 : 0x04);
    put_text(text + sizeof(text) - 1 - 300, true);
    input[input_len - 2] = 0xff; /* more padding than there may be */
    input[input_len - 1] = 0xff;
    assert_int_equal(decode_input(), HPACK_BAD);
    put_literal(inserted ? INSERTED : PLAIN, text, true, "value", false);
    assert_int_equal(decode_input(), HPACK_TOO_LONG);
    assert_int_equal(failing.live, 0);
    assert_int_equal(room.calls, 0);
    stop();
  }
}

static void the_longest_string_has_a_limit(void **state) {
  (void)state;
  hpack_decoder_init(&d, UINT32_MAX, NULL);
  assert_int_equal(d.max_string, HPACK_STRING_MAX);
  assert_int_equal(RESULT("\x04\x7f\x82\xff\xff\x7f", false), HPACK_TOO_LONG);
  assert_int_equal(RESULT("\x04\x7f\x81\xff\xff\x7f", false), HPACK_MORE);
  stop();
}

/* Every prefix of a block asks for more, takes nothing, and allocates nothing. */
static void a_cut_changes_nothing(void **state) {
  (void)state;
  static const char *const names[] = {"x-name", "te"};
  for (unsigned kind = 0; kind < 3; kind++) {
    for (unsigned how = 0; how < 8; how++) {
      start(MOST, false);
      put_literal((uint8_t[]){PLAIN, NEVER, INSERTED}[kind], names[how & 1], how & 2, "some-value",
                  how & 4);
      for (size_t cut = 0; cut < input_len; cut++) {
        hpack_decoder before = d;
        const uint8_t *p = input;
        hpack_result r = hpack_decode(&d, &p, input + cut, false, &f);
        assert_int_equal(r, cut ? HPACK_MORE : HPACK_END);
        assert_ptr_equal(p, input);
        assert_memory_equal(&before, &d, sizeof(d));
        assert_int_equal(failing.live, 0);
        if (!cut) continue;
        assert_int_equal(hpack_decode(&d, &p, input + cut, true, &f), HPACK_BAD);
        assert_ptr_equal(p, input);
      }
      expect(names[how & 1], "some-value", kind == 1 ? H2_FIELD_SECRET : 0);
      stop();
    }
  }
}

/* ---- The table ---- */

/* Enough entries that indices need more than a byte, and that the ring grows. */
static void many_entries(void **state) {
  (void)state;
  start(MOST, false);
  hpack_decoder_allow(&d, 65536);
  static const uint8_t update[] = {0x3f, 0xe1, 0xff, 0x03};
  memcpy(input, update, sizeof(update));
  input_len = sizeof(update);
  assert_int_equal(decode_input(), HPACK_END);
  assert_int_equal(d.table.max, 65536);
  char name[16];
  for (unsigned i = 0; i < 3000; i++) {
    snprintf(name, sizeof(name), "n%04u", i);
    put_literal(INSERTED, name, i & 1, "", false);
    expect(name, "", 0);
    assert_true(d.table.bytes <= 65536);
  }
  uint32_t len = 65536 / (5 + 32);
  assert_int_equal(d.table.len, len);
  assert_int_equal(d.table.inserted, 3000);
  for (uint32_t i = 0; i < len; i++) {
    uint32_t index = 62 + i;
    if (index < 127) {
      put((uint8_t)(0x80 | index));
    } else {
      put(0xff);
      for (index -= 127; index >= 128; index >>= 7) put((uint8_t)(index | 0x80));
      put((uint8_t)index);
    }
    snprintf(name, sizeof(name), "n%04u", 2999 - i);
    expect(name, "", 0);
  }
  put(0xff); /* one beyond */
  uint32_t beyond = 62 + len - 127;
  for (; beyond >= 128; beyond >>= 7) put((uint8_t)(beyond | 0x80));
  put((uint8_t)beyond);
  assert_int_equal(decode_input(), HPACK_BAD);
  put(0x20);
  assert_int_equal(decode_input(), HPACK_BAD); /* not at the begin */
  hpack_decoder_begin(&d);
  put(0x20);
  assert_int_equal(decode_input(), HPACK_END);
  assert_int_equal(d.table.len, 0);
  stop();
}

/* ---- Memory ---- */

/* A conversation with all kinds of text; HPACK_NO_MEMORY, or all is heard. */
static hpack_result converse(void) {
  static const char *const texts[] = {"a", "some-longer-text", "~~"};
  for (unsigned i = 0; i < 60; i++) {
    put_literal((uint8_t[]){PLAIN, NEVER, INSERTED}[i % 3], texts[i % 2], i & 1, texts[i / 3 % 3],
                i & 2);
    hpack_result r = decode_input();
    if (r != HPACK_FIELD) return r;
    put(0x40 | 4);
    put_text(i % 20 ? "/path" : "/a/path/that/is/really/longer/than/before", i & 4);
    r = decode_input();
    if (r != HPACK_FIELD) return r;
    if (i % 16 == 0) hpack_decoder_trim(&d);
  }
  return HPACK_FIELD;
}

static void memory_runs_out(void **state) {
  (void)state;
  long n = 0;
  do {
    start(MOST, false);
    fail_at(++n);
    hpack_result r = converse();
    assert_int_equal(r, failing.failed ? HPACK_NO_MEMORY : HPACK_FIELD);
    bool failed = failing.failed;
    fail_at(0);
    failing.failed = failed;
    stop();
  } while (failing.failed);
  assert_true(n > 40);
  start(MOST, true);
  room.out = true;
  put_free_name();
  put_text("/some/path", true);
  assert_int_equal(decode_input(), HPACK_NO_MEMORY);
  put_free_name();
  put_text("/plain", false);
  expect(FREE_NAME, "/plain", 0);
  stop();
}

/* What a connection costs before anything is inserted. */
static void idle_is_small(void **state) {
  (void)state;
  assert_true(sizeof(hpack_decoder) + sizeof(hpack_encoder) <= 300);
  start(MOST, false);
  assert_int_equal(failing.live, 0);
  stop();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      failing_test(plain_text_stays_in_the_input),
      failing_test(indexed_static_fields_last),
      failing_test(inserted_text_is_the_entrys),
      failing_test(known_names_are_not_copied),
      failing_test(unpacked_text_goes_to_the_room),
      failing_test(without_room_scratch_is_used),
      failing_test(room_is_not_wasted),
      failing_test(too_large_for_the_table),
      failing_test(tokens_and_secrets),
      failing_test(forbidden_characters),
      failing_test(strings_that_are_too_long),
      failing_test(huffman_limits_are_exact),
      failing_test(long_code_that_is_too_long),
      failing_test(the_longest_string_has_a_limit),
      failing_test(a_cut_changes_nothing),
      failing_test(many_entries),
      failing_test(memory_runs_out),
      failing_test(idle_is_small),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
