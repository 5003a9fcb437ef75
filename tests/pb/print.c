/* Messages as text for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "hex.h"
#include "legacy.caw.h"
#include "messages.h"

#include <caw/status.h>

#define E &caw_test_everything_type
#define L &caw_test_legacy_legacy_type

static const struct {
  const caw_type *type;
  const char *hex, *want;
} cases[] = {
    {E, "", ""},
    {E, "2801 4001", "f_int32: 1\nf_bool: true\n"},
    {E, "28ffffffffffffffffff01 20ffffffffffffffffff01",
     "f_uint64: 18446744073709551615\nf_int32: -1\n"},
    {E, "09 0000000000000080 15 0000807f", "f_double: -0.0\nf_float: inf\n"},
    {E, "09 000000000000f8ff 15 000080ff", "f_double: nan\nf_float: -inf\n"},
    {E, "4a06 220a01c3a45c", "f_string: \"\\\"\\n\\001\xc3\xa4\\\\\"\n"},
    {E, "5204 c3a47f00", "f_bytes: \"\\303\\244\\177\\000\"\n"},
    {E, "800102 b002ff01", "f_color: COLOR_BLUE\n38: 255\n"},
    {E, "80014d", "f_color: 77\n"},
    {E, "8a0104 22020801", "f_inner {\n  deep {\n    level: HIGH\n  }\n}\n"},
    {E, "ea0202 0001", "r_int32: [0, 1]\n"},
    {E, "ea0201 05", "r_int32: [5]\n"},
    {E, "8a030161 8a0300", "r_string: [\"a\", \"\"]\n"},
    {E, "c20302 024d", "r_color: [COLOR_BLUE, 77]\n"},

    {E, "9205060a0161120162", "m_string {\n  key: \"a\"\n  value: \"b\"\n}\n"},
    {E, "9a0600", "k_empty {\n}\n"},
    {L, "8b01 0805 8c01", "one {\n  a: 5\n}\n"},
    /* Unknown fields: numbers, text, what may be a message, groups, bytes. */
    {E, "c00c 9601", "200: 150\n"},
    {E, "c10c 0100000000000080", "200: 0x8000000000000001\n"},
    {E, "c50c 01020304", "200: 0x04030201\n"},
    {E, "c20c 02 6869", "200: \"hi\"\n"},
    {E, "c20c 02 c3a4", "200: \"\xc3\xa4\"\n"},
    {E, "c20c 00", "200: \"\"\n"},
    {E, "c20c 02 0801", "200 {\n  1: 1\n}\n"},
    {E, "c20c 06 0a04 0a02 0801", "200 {\n  1 {\n    1 {\n      1: 1\n    }\n  }\n}\n"},
    {E, "c20c 0e 09 0100000000000000 15 02000000",
     "200 {\n  1: 0x0000000000000001\n  2: 0x00000002\n}\n"},
    {E, "c20c 02 0b0c", "200: \"\\013\\014\"\n"},
    {E, "c20c 02 0007", "200: \"\\000\\007\"\n"},
    {E, "c20c 03 ffff08", "200: \"\\377\\377\\010\"\n"},
    {E, "c20c 02 0001", "200: \"\\000\\001\"\n"},
    {E, "c30c 0801 0b 1002 0c c40c", "200 {\n  1: 1\n  1 {\n    2: 2\n  }\n}\n"},
    {L, "2005", "4: 5\n"},
};

static void test_cases(void **state) {
  (void)state;
  int wrong = 0;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    uint8_t bytes[200];
    size_t len = hex_read(bytes, cases[i].hex);
    caw_arena *arena = caw_arena_new(0);
    caw_str out = {NULL, 0};
    void *m = caw_arena_alloc(arena, cases[i].type->size);
    int rc = caw_pb_decode(m, arena, cases[i].type, bytes, len);
    if (!rc) rc = caw_pb_print(&out, arena, cases[i].type, m);
    if (rc || !caw_str_is(out, cases[i].want)) {
      print_error("%s: %s\n  gives %.*s\n  wanted %s\n", cases[i].hex, caw_code_name(rc),
                  CAW_STR_ARG(out), cases[i].want);
      wrong++;
    }
    caw_arena_free(arena);
  }
  assert_int_equal(wrong, 0);
}

/* What is taken for a message goes ten levels deep and no further. */
static void test_guesses(void **state) {
  (void)state;
  uint8_t bytes[300];
  size_t len = 0;
  bytes[len++] = 0x08;
  bytes[len++] = 1;
  for (int i = 0; i < 20; i++) {
    memmove(bytes + 2, bytes, len);
    bytes[0] = 0x0a;
    bytes[1] = (uint8_t)len;
    len += 2;
  }
  memmove(bytes + 3, bytes, len);
  memcpy(bytes, "\xc2\x0c", 2);
  bytes[2] = (uint8_t)len;
  caw_arena *arena = caw_arena_new(0);
  caw_test_everything m;
  caw_str out;
  assert_int_equal(caw_pb_decode(&m, arena, E, bytes, len + 3), 0);
  assert_int_equal(caw_pb_print(&out, arena, E, &m), 0);
  size_t braces = 0;
  for (size_t i = 0; i < out.len; i++) braces += out.data[i] == '{';
  assert_int_equal(braces, 10);
  caw_arena_free(arena);
}

/* Text that a program put together wrongly is printed all the same. */
static void test_bad_text(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_str out;
  caw_test_everything m = {.f_string = CAW_STR("a\xff\xc3\xa4")};
  static const uint8_t cut[] = {0xc2, 0x0c, 0x05, 'a'};
  caw_pb_unknown u = {&u, cut, sizeof(cut)};
  m.caw_unknown = &u;
  assert_int_equal(caw_pb_print(&out, arena, E, &m), 0);
  assert_string_equal(out.data, "f_string: \"a\\377\\303\\244\"\n200");
  static const struct {
    uint8_t bytes[4], len;
    const char *want;
  } broken[] = {{{0x0c}, 1, ""},         {{0x08, 0x80}, 2, "1: 0\n"},
                {{0x0f, 1}, 2, "1"},     {{0x0b, 0x08, 1}, 3, "1 {\n  1: 1\n}\n"},
                {{0x0d, 1}, 2, "1: \n"}, {{0x80}, 1, "0: 0\n"}};
  for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
    caw_pb_unknown piece = {&piece, broken[i].bytes, broken[i].len};
    m = (caw_test_everything){.caw_unknown = &piece};
    assert_int_equal(caw_pb_print(&out, arena, E, &m), 0);
    assert_string_equal(out.data, broken[i].want);
  }
  m = (caw_test_everything){.f_string = {NULL, 1}};
  assert_int_equal(caw_pb_print(&out, arena, E, &m), CAW_EINVAL);
  assert_null(out.data);
  caw_arena_free(arena);
}

/* A string of this many bytes of `fill`, which may be of several. */
static caw_str filled(caw_arena *arena, const char *fill, size_t len) {
  size_t unit = strlen(fill);
  char *text = caw_arena_alloc(arena, len);
  assert_non_null(text);
  for (size_t i = 0; i < len; i++) text[i] = fill[i % unit];
  return caw_str_of(text, len);
}

/* A long text is cut in the middle of what it is at, but not of a character. */
static void test_cut(void **state) {
  static const char start[] = "f_string: \"", end[] = "\"\n";
  const size_t fits = CAW_PB_PRINT_MAX - 5 - strlen(start) - strlen(end);
  static const struct {
    const char *fill;
    size_t more, len; /* bytes of the string beyond what fits; of the text */
    const char *end;
  } long_texts[] = {
      {"a", 0, CAW_PB_PRINT_MAX - 5, "aaaa\"\n"},
      {"a", 1, CAW_PB_PRINT_MAX, "aaaa\"\n...\n"},
      {"a", 2, CAW_PB_PRINT_MAX, "aaaaa\n...\n"},
      {"a", 3, CAW_PB_PRINT_MAX, "aaaaa\n...\n"},
      {"a", 5000000, CAW_PB_PRINT_MAX, "aaaaa\n...\n"},
      {"\xf0\x9f\x98\x80", 5000000, CAW_PB_PRINT_MAX, "\x80\n...\n"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(long_texts) / sizeof(long_texts[0]); i++) {
    caw_arena *arena = caw_arena_new(0);
    caw_str out;
    size_t len = fits + long_texts[i].more;
    if (long_texts[i].fill[1]) len -= len % 4;
    caw_test_everything m = {.f_string = filled(arena, long_texts[i].fill, len)};
    assert_int_equal(caw_pb_print(&out, arena, E, &m), 0);
    const char *tail = out.data + out.len - strlen(long_texts[i].end);
    if (strcmp(tail, long_texts[i].end) != 0)
      fail_msg("%zu: ends with %s, wanted %s", i, tail, long_texts[i].end);
    assert_true(out.len <= long_texts[i].len && out.len >= long_texts[i].len - 7);
    assert_memory_equal(out.data, start, strlen(start));
    /* Whole characters: the first one's bytes are as many as there are fours. */
    assert_true(!long_texts[i].fill[1] || (out.len - strlen(start) - 5) % 4 == 0);
    caw_arena_free(arena);
  }
}

/* Two bytes on the wire are two lines of the text with a hundred spaces each. */
static void test_amplified(void **state) {
  enum { EACH = 20000 };
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_test_everything m[80] = {{.caw_unknown = NULL}};
  caw_str out;
  m[79].r_inner.items = caw_arena_calloc(arena, EACH, sizeof(*m[79].r_inner.items));
  m[79].r_inner.len = EACH;
  for (int i = 0; i < 79; i++) m[i].f_self = &m[i + 1];
  assert_int_equal(caw_pb_print(&out, arena, E, m), 0);
  assert_true(out.len <= CAW_PB_PRINT_MAX && out.len > CAW_PB_PRINT_MAX - 300);
  assert_string_equal(out.data + out.len - 5, "\n...\n");
  caw_arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cases),     cmocka_unit_test(test_guesses),
      cmocka_unit_test(test_bad_text),  cmocka_unit_test(test_cut),
      cmocka_unit_test(test_amplified),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
