/* Writing JSON: options, forms, what is refused. Well-known types are in
 * json_wkt.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "hex.h"
#include "legacy.caw.h"

#include <caw/json.h>
#include <caw/status.h>

#define E &caw_test_everything_type
#define I &caw_test_everything_inner_type
#define L &caw_test_legacy_legacy_type

enum { DEFAULTS = 1, NAMES = 2, NUMBERS = 4, INDENT = 8 };

static int write_json(caw_str *out, caw_arena *arena, const caw_type *type, const void *m,
                      int options, caw_json_error *e) {
  caw_json_write_options o = {.size = sizeof(o),
                              .emit_defaults = options & DEFAULTS,
                              .original_names = options & NAMES,
                              .enums_as_numbers = options & NUMBERS,
                              .indent = options & INDENT ? 2 : 0};
  return caw_json_write(out, arena, type, m, options ? &o : NULL, e);
}

/* A message as it comes on the wire, and its JSON. */
static const struct {
  const caw_type *type;
  const char *hex;
  int options;
  const char *want;
} cases[] = {
    {E, "", 0, "{}"},
    {E, "", INDENT, "{}"},
    {E, "2801", 0, "{\"fInt32\":1}"},
    {E, "2801", NAMES, "{\"f_int32\":1}"},
    {E, "2801", INDENT, "{\n  \"fInt32\": 1\n}"},
    {E, "28ffffffffffffffffff01", 0, "{\"fInt32\":-1}"},
    {E, "5801", 0, "{\"fUint32\":1}"},
    {E, "58ffffffff0f", 0, "{\"fUint32\":4294967295}"},
    {E, "18ffffffffffffffffff01", 0, "{\"fInt64\":\"-1\"}"},
    {E, "20ffffffffffffffffff01", 0, "{\"fUint64\":\"18446744073709551615\"}"},
    {E, "31 0100000000000000", 0, "{\"fFixed64\":\"1\"}"},
    {E, "69 ffffffffffffffff", 0, "{\"fSfixed64\":\"-1\"}"},
    {E, "7801", 0, "{\"fSint64\":\"-1\"}"},
    {E, "7001", 0, "{\"fSint32\":-1}"},
    {E, "65 ffffffff", 0, "{\"fSfixed32\":-1}"},
    {E, "3d ffffffff", 0, "{\"fFixed32\":4294967295}"},
    {E, "09 000000000000f03f", 0, "{\"fDouble\":1}"},
    {E, "09 0000000000000080", 0, "{\"fDouble\":-0.0}"},
    {E, "09 000000000000f8ff", 0, "{\"fDouble\":\"NaN\"}"},
    {E, "09 000000000000f0ff", 0, "{\"fDouble\":\"-Infinity\"}"},
    {E, "15 0000807f", 0, "{\"fFloat\":\"Infinity\"}"},
    {E, "15 cdcccc3d", 0, "{\"fFloat\":0.1}"},
    {E, "4001", 0, "{\"fBool\":true}"},
    {E, "4a0d 225c2f08090a0c0d001f7fc3a4", 0,
     "{\"fString\":\"\\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001f\\u007f\xc3\xa4\"}"},
    {E, "520100", 0, "{\"fBytes\":\"AA==\"}"},
    {E, "5202fbff", 0, "{\"fBytes\":\"+/8=\"}"},
    {E, "5203616263", 0, "{\"fBytes\":\"YWJj\"}"},
    {E, "800102", 0, "{\"fColor\":\"COLOR_BLUE\"}"},
    {E, "800102", NUMBERS, "{\"fColor\":2}"},
    {E, "80014d", 0, "{\"fColor\":77}"},
    {E, "8a0100", 0, "{\"fInner\":{}}"},
    {E, "8a0100", INDENT, "{\n  \"fInner\": {}\n}"},
    {E, "2800", 0, "{}"},
    {E, "c80100 c00100", 0, "{\"oUint64\":\"0\",\"oInt32\":0}"},
    {E, "ea0203 000102", 0, "{\"rInt32\":[0,1,2]}"},
    {E, "ea0202 0001", INDENT, "{\n  \"rInt32\": [\n    0,\n    1\n  ]\n}"},
    {E, "ca0300 ca03020801", 0, "{\"rInner\":[{},{\"id\":1}]}"},
    {E, "9205060a01611201 62 92050412026363", 0, "{\"mString\":{\"a\":\"b\",\"\":\"cc\"}}"},
    {E, "ba04040801 1002", 0, "{\"mInt32\":{\"1\":2}}"},
    {E, "ba04040801 1002", INDENT, "{\n  \"mInt32\": {\n    \"1\": 2\n  }\n}"},
    {E, "8a05040801 1002", 0, "{\"mBool\":{\"true\":\"COLOR_BLUE\"}}"},
    {E, "9a0503 0a0161", 0, "{\"mInner\":{\"a\":{}}}"},
    {E, "e00500", 0, "{\"kInt32\":0}"},
    {E, "9a0600", 0, "{\"kEmpty\":{}}"},
    {E, "d00801", 0, "{\"other\\\"name\":1}"},
    {E, "d00801", NAMES, "{\"renamed\":1}"},
    /* Unknown fields have no JSON. */
    {E, "c00c01 2801", 0, "{\"fInt32\":1}"},
    {L, "0800 9301 0801 9401 8b01 0805 8c01", 0, "{\"id\":0,\"one\":{\"a\":5},\"many\":[{}]}"},
    {L, "2007 68ffffffffffffffffff01", 0, "{\"closed\":\"SECOND\",\"closeds\":[\"MINUS\"]}"},
    /* Defaults. */
    {I, "", DEFAULTS, "{\"id\":0,\"name\":\"\",\"inners\":[]}"},
    {I, "2200", DEFAULTS | NUMBERS,
     "{\"id\":0,\"name\":\"\",\"inners\":[],\"deep\":{\"level\":0}}"},
    {I, "2200", DEFAULTS, "{\"id\":0,\"name\":\"\",\"inners\":[],\"deep\":{\"level\":\"LOW\"}}"},
    {I, "1a00", DEFAULTS | INDENT,
     "{\n  \"id\": 0,\n  \"name\": \"\",\n  \"inners\": [\n    {\n      \"id\": 0,\n      "
     "\"name\": "
     "\"\",\n      \"inners\": []\n    }\n  ]\n}"},
};

static void test_cases(void **state) {
  (void)state;
  int wrong = 0;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    uint8_t bytes[200];
    size_t len = hex_read(bytes, cases[i].hex);
    caw_arena *arena = caw_arena_new(0);
    caw_json_error e = {0};
    caw_str out;
    void *m = caw_arena_alloc(arena, cases[i].type->size);
    int rc = caw_pb_decode(m, arena, cases[i].type, bytes, len);
    if (!rc) rc = write_json(&out, arena, cases[i].type, m, cases[i].options, &e);
    if (rc || !caw_str_is(out, cases[i].want)) {
      print_error("%s (%d): %s %s\n  gives %s\n  wanted %s\n", cases[i].hex, cases[i].options,
                  caw_code_name(rc), e.text, rc ? "" : out.data, cases[i].want);
      wrong++;
    }
    caw_arena_free(arena);
  }
  assert_int_equal(wrong, 0);
}

/* With defaults, every field without presence is there, and none that has it. */
static void test_defaults(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_test_everything m = {0}, back;
  caw_str out, bytes;
  const caw_pb_message *t = caw_pb_table(E);
  assert_int_equal(write_json(&out, arena, E, &m, DEFAULTS | NAMES, NULL), 0);
  for (size_t i = 0; i < t->field_count; i++) {
    const caw_pb_field *f = &t->fields[i];
    caw_str name = caw_arena_printf(arena, "\"%s\":", f->name);
    bool presence = f->flags & (CAW_PB_HAS | CAW_PB_ONEOF) ||
                    (f->type == CAW_PB_MESSAGE && !(f->flags & CAW_PB_REPEATED));
    if (presence == (strstr(out.data, name.data) != NULL)) fail_msg("%s", f->name);
  }
  assert_int_equal(caw_json_read(&back, arena, E, out, NULL, NULL), 0);
  assert_int_equal(caw_pb_encode(&bytes, arena, E, &back), 0);
  assert_int_equal(bytes.len, 0);
  caw_arena_free(arena);
}

static void test_refusals(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_json_error e = {0};
  caw_str out;
  caw_test_everything_inner inner = {.name = CAW_STR("\xff")};
  caw_test_everything_m_inner_entry entry = {.key = CAW_STR("k"), .value = &inner};
  caw_test_everything m = {.m_inner = {&entry, 1}};
  assert_int_equal(write_json(&out, arena, E, &m, 0, &e), CAW_EUTF8);
  assert_string_equal(e.text, "mInner[\"k\"].name: a string that is not UTF-8");
  assert_string_equal(e.path, "mInner[\"k\"].name");
  assert_null(out.data);
  entry.key = (caw_str)CAW_STR("\xc0\x80");
  assert_int_equal(write_json(&out, arena, E, &m, 0, &e), CAW_EUTF8);
  assert_string_equal(e.text, "mInner: a string that is not UTF-8");
  entry = (caw_test_everything_m_inner_entry){.key = {NULL, 1}};
  assert_int_equal(write_json(&out, arena, E, &m, 0, &e), CAW_EINVAL);
  caw_json_write_options wide = {.size = sizeof(wide), .indent = 9}, none = {0};
  assert_int_equal(caw_json_write(&out, arena, E, &m, &wide, NULL), CAW_EINVAL);
  assert_int_equal(caw_json_write(&out, arena, E, &m, &none, NULL), CAW_EINVAL);
  caw_arena_free(arena);
}

/* Messages that are not allocated are empty where one must be. */
static void test_null_messages(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_str out;
  caw_test_everything_m_inner_entry entry = {.key = CAW_STR("k")};
  caw_test_everything m = {.m_inner = {&entry, 1},
                           .kind_case = CAW_TEST_EVERYTHING_KIND_CASE_K_INNER};
  assert_int_equal(write_json(&out, arena, E, &m, 0, NULL), 0);
  assert_string_equal(out.data, "{\"mInner\":{\"k\":{}},\"kInner\":{}}");
  caw_arena_free(arena);
}

/* A text may be as long as is allowed, and not a byte longer, wherever that byte
 * is; what is refused takes no more memory than what is allowed. */
static void test_max(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_test_everything_inner inner = {.id = 1, .name = CAW_STR("a\n\xc3\xa4")};
  caw_test_everything_m_inner_entry entry = {.key = CAW_STR("k"), .value = &inner};
  int64_t numbers[] = {1, -2};
  caw_test_everything m = {.f_double = 0.5,
                           .f_bytes = CAW_STR("\0\1\2\3"),
                           .f_color = CAW_TEST_COLOR_BLUE,
                           .r_int64 = {numbers, 2},
                           .m_inner = {&entry, 1}};
  for (unsigned indent = 0; indent <= 8; indent += 4) {
    caw_json_write_options o = {.size = sizeof(o), .indent = indent};
    caw_json_error e;
    caw_str all, out;
    assert_int_equal(caw_json_write(&all, arena, E, &m, &o, NULL), 0);
    for (o.max = 1; o.max < all.len; o.max++) {
      caw_str want =
          caw_arena_printf(arena, "the text is longer than the %zu bytes that are allowed", o.max);
      assert_int_equal(caw_json_write(&out, arena, E, &m, &o, &e), CAW_ETOOBIG);
      assert_null(out.data);
      size_t path = strlen(e.path);
      assert_string_equal(e.text + (path ? path + 2 : 0), want.data);
    }
    assert_int_equal(caw_json_write(&out, arena, E, &m, &o, NULL), 0);
    assert_true(caw_str_eq(out, all));
  }
  caw_json_write_options o = {.size = sizeof(o), .max = 72};
  caw_json_error e;
  caw_str out;
  assert_int_equal(caw_json_write(&out, arena, E, &m, &o, &e), CAW_ETOOBIG);
  assert_string_equal(e.text, "rInt64[1]: the text is longer than the 72 bytes that are allowed");
  assert_string_equal(e.path, "rInt64[1]");
  /* Programs that were built before the member came. */
  o.size = offsetof(caw_json_write_options, max);
  assert_int_equal(caw_json_write(&out, arena, E, &m, &o, &e), 0);
  caw_arena_free(arena);
}

/* A long text costs time in proportion: 16 MB are no more than a moment. */
static void test_long(void **state) {
  (void)state;
  enum { N = 1 << 20 };
  caw_arena *arena = caw_arena_new(0);
  caw_str out, *items = caw_arena_alloc(arena, N * sizeof(*items));
  for (size_t i = 0; i < N; i++) items[i] = (caw_str)CAW_STR("a text\n");
  caw_test_everything m = {.r_string = {items, N}}, back;
  assert_int_equal(write_json(&out, arena, E, &m, 0, NULL), 0);
  assert_int_equal(out.len, N * 11 + 14 - 1);
  assert_int_equal(caw_json_read(&back, arena, E, out, NULL, NULL), 0);
  assert_int_equal(back.r_string.len, N);
  assert_true(caw_str_is(back.r_string.items[N - 1], "a text\n"));
  caw_arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cases),    cmocka_unit_test(test_defaults),
      cmocka_unit_test(test_refusals), cmocka_unit_test(test_null_messages),
      cmocka_unit_test(test_max),      cmocka_unit_test(test_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
