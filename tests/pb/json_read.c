/* Reading JSON: what is taken and what it means, and what is refused with which
 * words. Well-known types are in json_wkt.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "google/protobuf/struct.caw.h"
#include "legacy.caw.h"

#include <caw/json.h>
#include <caw/status.h>
#include <stdio.h>
#include <stdlib.h>

#define E &caw_test_everything_type
#define L &caw_test_legacy_legacy_type

/* Reads from a copy of exactly the text's size, for the sanitizers, and gives
 * the message as caw_pb_print writes it, or the error's text. */
static int read_text(caw_str *out, caw_arena *arena, const caw_type *type, caw_str text,
                     const caw_json_read_options *o) {
  caw_json_error error = {0};
  char *copy = caw_arena_alloc(arena, text.len);
  if (text.len) memcpy(copy, text.data, text.len);
  void *m = caw_arena_alloc(arena, type->size);
  memset(m, 0xee, type->size);
  int rc = caw_json_read(m, arena, type, caw_str_of(copy, text.len), o, &error);
  if (!rc) {
    assert_int_equal(caw_pb_print(out, arena, type, m), 0);
    return 0;
  }
  *out = caw_arena_dup(arena, caw_str_from(error.text));
  for (size_t i = 0; i < type->size; i++) assert_int_equal(((uint8_t *)m)[i], 0);
  return rc;
}

/* How many expectations failed; each is told, and the test fails at its end. */
static int mismatches;

static void expect_text(const caw_type *type, caw_str text, const caw_json_read_options *o, int rc,
                        const char *want) {
  caw_arena *arena = caw_arena_new(0);
  caw_str got;
  int got_rc = read_text(&got, arena, type, text, o);
  if (got_rc != rc || !caw_str_is(got, want)) {
    mismatches++;
    print_error("%.*s\n  gives %s: %s\n  wanted %s: %s\n", CAW_STR_ARG(text), caw_code_name(got_rc),
                got.data, caw_code_name(rc), want);
  }
  caw_arena_free(arena);
}

typedef struct reading {
  const char *text, *want;
} reading;

/* -- what is taken ------------------------------------------------------- */

static const reading readings[] = {
    {"{}", ""},
    {" \t\r\n{ } \n", ""},
    /* Names. */
    {"{\"fInt32\":1}", "f_int32: 1\n"},
    {"{\"f_int32\":1}", "f_int32: 1\n"},
    {"{\"other\\\"name\":1}", "renamed: 1\n"},
    {"{\"renamed\":1}", "renamed: 1\n"},
    {"{\"\\u0066Int32\":1}", "f_int32: 1\n"},
    /* Whole numbers, in all their spellings. */
    {"{\"fInt32\":-0}", ""},
    {"{\"fInt32\":2147483647}", "f_int32: 2147483647\n"},
    {"{\"fInt32\":-2147483648}", "f_int32: -2147483648\n"},
    {"{\"fInt32\":\"-7\"}", "f_int32: -7\n"},
    {"{\"fInt32\":1e5}", "f_int32: 100000\n"},
    {"{\"fInt32\":1.5E1}", "f_int32: 15\n"},
    {"{\"fInt32\":100000.000}", "f_int32: 100000\n"},
    {"{\"fInt32\":1200e-2}", "f_int32: 12\n"},
    {"{\"fInt32\":0e999999999999999999999}", ""},
    {"{\"fInt32\":\"1e2\"}", "f_int32: 100\n"},
    {"{\"fInt32\":0.00000000000000000000001e23}", "f_int32: 1\n"},
    {"{\"fUint32\":4294967295}", "f_uint32: 4294967295\n"},
    {"{\"fFixed32\":4294967295}", "f_fixed32: 4294967295\n"},
    {"{\"fSint32\":-2147483648}", "f_sint32: -2147483648\n"},
    {"{\"fSfixed32\":-1}", "f_sfixed32: -1\n"},
    {"{\"fInt64\":\"9223372036854775807\"}", "f_int64: 9223372036854775807\n"},
    {"{\"fInt64\":-9223372036854775808}", "f_int64: -9223372036854775808\n"},
    {"{\"fUint64\":18446744073709551615}", "f_uint64: 18446744073709551615\n"},
    {"{\"fFixed64\":\"18446744073709551615\"}", "f_fixed64: 18446744073709551615\n"},
    {"{\"fSint64\":\"-1\"}", "f_sint64: -1\n"},
    {"{\"fSfixed64\":9007199254740993}", "f_sfixed64: 9007199254740993\n"},
    /* Floating point. */
    {"{\"fDouble\":0.1}", "f_double: 0.1\n"},
    {"{\"fDouble\":-0.0}", "f_double: -0.0\n"},
    {"{\"fDouble\":\"1.5e3\"}", "f_double: 1500\n"},
    {"{\"fDouble\":\"NaN\"}", "f_double: nan\n"},
    {"{\"fDouble\":\"Infinity\"}", "f_double: inf\n"},
    {"{\"fDouble\":\"-Infinity\"}", "f_double: -inf\n"},
    {"{\"fDouble\":1.7976931348623157e308}", "f_double: 1.7976931348623157e+308\n"},
    {"{\"fDouble\":1e-400}", ""},
    {"{\"fDouble\":4.9e-324}", "f_double: 5e-324\n"},
    {"{\"fFloat\":3.4028234e38}", "f_float: 3.4028235e+38\n"},
    {"{\"fFloat\":0.1}", "f_float: 0.1\n"},
    {"{\"fFloat\":\"-Infinity\"}", "f_float: -inf\n"},
    /* Rounded once: through a double this would become 1.0000001. */
    {"{\"fFloat\":1.00000005960464477540}", "f_float: 1.0000001\n"},
    {"{\"fFloat\":1.00000005960464477539062499}", "f_float: 1\n"},
    /* Bools, strings, bytes. */
    {"{\"fBool\":true}", "f_bool: true\n"},
    {"{\"fBool\":false}", ""},
    {"{\"fString\":\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
     "f_string: \"a\\\"\\\\/\\010\\014\\n\\r\\t\"\n"},
    {"{\"fString\":\"\\u0000x\"}", "f_string: \"\\000x\"\n"},
    {"{\"fString\":\"\\u00e4\\u20AC\\uD83D\\ude00\"}",
     "f_string: \"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"\n"},
    {"{\"fString\":\"\xc3\xa4\xf0\x9f\x98\x80\"}", "f_string: \"\xc3\xa4\xf0\x9f\x98\x80\"\n"},
    {"{\"fBytes\":\"AQID\"}", "f_bytes: \"\\001\\002\\003\"\n"},
    {"{\"fBytes\":\"-_8=\"}", "f_bytes: \"\\373\\377\"\n"},
    {"{\"fBytes\":\"-_8\"}", "f_bytes: \"\\373\\377\"\n"},
    {"{\"fBytes\":\"+/8\"}", "f_bytes: \"\\373\\377\"\n"},
    {"{\"fBytes\":\"YQ==\"}", "f_bytes: \"a\"\n"},
    {"{\"fBytes\":\"YQ\"}", "f_bytes: \"a\"\n"},
    {"{\"fBytes\":\"\"}", ""},
    /* Enums. */
    {"{\"fColor\":\"COLOR_BLUE\"}", "f_color: COLOR_BLUE\n"},
    {"{\"fColor\":2}", "f_color: COLOR_BLUE\n"},
    {"{\"fColor\":77}", "f_color: 77\n"},
    {"{\"fColor\":-2147483648}", "f_color: COLOR_LOWEST\n"},
    /* Presence. */
    {"{\"oInt32\":0}", "o_int32: 0\n"},
    {"{\"oInt32\":null}", ""},
    {"{\"fInner\":{}}", "f_inner {\n}\n"},
    {"{\"fInner\":null}", ""},
    {"{\"rInt32\":null,\"mString\":null}", ""},
    {"{\"rInt32\":[],\"mString\":{}}", ""},
    /* Arrays and maps. */
    {"{\"rInt32\":[1,\"2\",3e0]}", "r_int32: [1, 2, 3]\n"},
    {"{\"rColor\":[\"COLOR_RED\",5]}", "r_color: [COLOR_RED, 5]\n"},
    {"{\"rString\":[\"\",\"b\"]}", "r_string: [\"\", \"b\"]\n"},
    {"{\"rInner\":[{},{\"id\":2}]}", "r_inner {\n}\nr_inner {\n  id: 2\n}\n"},
    {"{\"mInt32\":{\"1\":2,\"-3\":\"4\"}}",
     "m_int32 {\n  key: 1\n  value: 2\n}\nm_int32 {\n  key: -3\n  value: 4\n}\n"},
    {"{\"mUint64\":{\"18446744073709551615\":0}}",
     "m_uint64 {\n  key: 18446744073709551615\n  value: 0\n}\n"},
    {"{\"mBool\":{\"true\":\"COLOR_RED\",\"false\":0}}",
     "m_bool {\n  key: true\n  value: COLOR_RED\n}\nm_bool {\n  key: false\n  value: "
     "COLOR_NONE\n}\n"},
    {"{\"mInner\":{\"\":{}}}", "m_inner {\n  key: \"\"\n  value {\n  }\n}\n"},
    /* Oneofs. */
    {"{\"kInt32\":0}", "k_int32: 0\n"},
    {"{\"kInt32\":1,\"kString\":null}", "k_int32: 1\n"},
    {"{\"kInt32\":null,\"kString\":\"\"}", "k_string: \"\"\n"},
    {"{\"kInt32\":null}", ""},
    {"{\"kEmpty\":{}}", "k_empty {\n}\n"},
};

static void test_readings(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(readings) / sizeof(readings[0]); i++)
    expect_text(E, caw_str_from(readings[i].text), NULL, 0, readings[i].want);
  assert_int_equal(mismatches, 0);
}

static const reading legacy_readings[] = {
    {"{\"id\":0,\"closed\":\"MINUS\",\"closeds\":[3,\"SECOND\"]}",
     "id: 0\nclosed: MINUS\ncloseds: [FIRST, SECOND]\n"},
    {"{\"one\":{\"a\":1},\"many\":[{\"b\":\"x\",\"inside\":[{},{\"c\":2}]}]}",
     "one {\n  a: 1\n}\nmany {\n  b: \"x\"\n  inside {\n  }\n  inside {\n    c: 2\n  }\n}\n"},
    {"{\"grouped\":{}}", "grouped {\n}\n"},
};

static void test_legacy(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(legacy_readings) / sizeof(legacy_readings[0]); i++)
    expect_text(L, caw_str_from(legacy_readings[i].text), NULL, 0, legacy_readings[i].want);
  assert_int_equal(mismatches, 0);
}

/* -- what is refused ----------------------------------------------------- */

static const reading refusals[] = {
    /* Not JSON. */
    {"", "1:1: expected an object, found the end of the text"},
    {"null", "1:1: expected an object, found null"},
    {"[]", "1:1: expected an object, found an array"},
    {"{", "1:2: expected the name of a member, found the end of the text"},
    {"{}{}", "1:3: expected the end of the text, found an object"},
    {"{} x", "1:4: expected the end of the text, found something that is not JSON"},
    {"{,}", "1:2: expected the name of a member, found \",\""},
    {"{\"fInt32\":1,}", "1:13: expected the name of a member, found \"}\""},
    {"{\"fInt32\" 1}", "1:11: expected \":\", found a number"},
    {"{\"fInt32\":1 \"fBool\":true}", "1:13: expected \",\" or \"}\", found a string"},
    {"{fInt32:1}", "1:2: expected the name of a member, found false"},
    {"{'fInt32':1}", "1:2: expected the name of a member, found something that is not JSON"},
    {"{\"rInt32\":[1,]}", "1:14: rInt32[1]: expected a number, found \"]\""},
    {"{\"rInt32\":[1 2]}", "1:14: rInt32[0]: expected \",\" or \"]\", found a number"},
    {"{\"rInt32\":[1", "1:13: rInt32[0]: expected \",\" or \"]\", found the end of the text"},
    {"{} // no", "1:4: expected the end of the text, found something that is not JSON"},
    {"\xef\xbb\xbf{}", "1:1: expected an object, found something that is not JSON"},
    /* Strings. */
    {"{\"fString\":\"a", "1:12: fString: string without an end"},
    {"{\"fString\":\"a\\", "1:12: fString: string without an end"},
    {"{\"fString\":\"a\\\"", "1:12: fString: string without an end"},
    {"{\"fString\":\"a\nb\"}", "1:14: fString: control character in a string"},
    {"{\"fString\":\"\\x\"}", "1:13: fString: no such escape in JSON"},
    {"{\"fString\":\"\\u12g4\"}", "1:13: fString: \\u wants four hexadecimal digits"},
    {"{\"fString\":\"\\u12\"}", "1:13: fString: \\u wants four hexadecimal digits"},
    {"{\"fString\":\"\\ud800\"}", "1:13: fString: half of a surrogate pair"},
    {"{\"fString\":\"\\ud800\\u0041\"}", "1:13: fString: half of a surrogate pair"},
    {"{\"fString\":\"\\udc00\\ud800\"}", "1:13: fString: half of a surrogate pair"},
    {"{\"fString\":\"ab\\ud800x\"}", "1:15: fString: half of a surrogate pair"},
    {"{\"fString\":1}", "1:12: fString: expected a string, found a number"},
    {"{\"fBytes\":\"a\"}", "1:11: fBytes: base64 of an impossible length"},
    {"{\"fBytes\":\"YQ=\"}", "1:11: fBytes: base64 of an impossible length"},
    {"{\"fBytes\":\"YWI==\"}", "1:11: fBytes: base64 of an impossible length"},
    {"{\"fBytes\":\"Y=Q=\"}", "1:11: fBytes: not base64"},
    {"{\"fBytes\":\"YQ \"}", "1:11: fBytes: not base64"},
    /* Numbers. */
    {"{\"fInt32\":01}", "1:11: fInt32: not a number as JSON writes them"},
    {"{\"fInt32\":-}", "1:11: fInt32: not a number as JSON writes them"},
    {"{\"fInt32\":1.}", "1:11: fInt32: not a number as JSON writes them"},
    {"{\"fInt32\":1e}", "1:11: fInt32: not a number as JSON writes them"},
    {"{\"fInt32\":+1}", "1:11: fInt32: expected a number, found something that is not JSON"},
    {"{\"fInt32\":.5}", "1:11: fInt32: expected a number, found something that is not JSON"},
    {"{\"fInt32\":0x10}", "1:12: expected \",\" or \"}\", found something that is not JSON"},
    {"{\"fInt32\":1.5}", "1:11: fInt32: expected a whole number"},
    {"{\"fInt32\":1e-1}", "1:11: fInt32: expected a whole number"},
    {"{\"fInt32\":2147483648}", "1:11: fInt32: number out of the range of int32"},
    {"{\"fInt32\":-2147483649}", "1:11: fInt32: number out of the range of int32"},
    {"{\"fInt32\":1e99999999999999999999}", "1:11: fInt32: number out of the range of int32"},
    {"{\"fUint32\":-1}", "1:12: fUint32: number out of the range of uint32"},
    {"{\"fUint32\":4294967296}", "1:12: fUint32: number out of the range of uint32"},
    {"{\"fInt64\":9223372036854775808}", "1:11: fInt64: number out of the range of int64"},
    {"{\"fInt64\":\"-9223372036854775809\"}", "1:11: fInt64: number out of the range of int64"},
    {"{\"fUint64\":18446744073709551616}", "1:12: fUint64: number out of the range of uint64"},
    {"{\"fUint64\":-1}", "1:12: fUint64: number out of the range of uint64"},
    {"{\"fInt32\":\"\"}", "1:11: fInt32: expected a number, found a string that is none"},
    {"{\"fInt32\":\" 1\"}", "1:11: fInt32: expected a number, found a string that is none"},
    {"{\"fInt32\":\"1 \"}", "1:11: fInt32: expected a number, found a string that is none"},
    {"{\"fInt32\":\"12x\"}", "1:11: fInt32: expected a number, found a string that is none"},
    {"{\"fInt32\":true}", "1:11: fInt32: expected a number, found true"},
    {"{\"fDouble\":NaN}", "1:12: fDouble: expected a number, found something that is not JSON"},
    {"{\"fDouble\":\"nan\"}", "1:12: fDouble: expected a number, found a string that is none"},
    {"{\"fDouble\":1.8e308}", "1:12: fDouble: number out of the range of double"},
    {"{\"fFloat\":3.5e38}", "1:11: fFloat: number out of the range of float"},
    {"{\"fFloat\":-1e39}", "1:11: fFloat: number out of the range of float"},
    {"{\"fBool\":1}", "1:10: fBool: expected true or false, found a number"},
    {"{\"fBool\":\"true\"}", "1:10: fBool: expected true or false, found a string"},
    {"{\"fBool\":truth}", "1:10: fBool: expected true"},
    /* Enums. */
    {"{\"fColor\":\"color_red\"}",
     "1:11: fColor: no value \"color_red\" in the enum caw.test.Color"},
    {"{\"fColor\":1.5}", "1:11: fColor: expected a whole number"},
    {"{\"fColor\":true}", "1:11: fColor: expected the name of an enum's value, found true"},
    /* null. */
    {"{\"rInt32\":[null]}", "1:12: rInt32[0]: expected a number, found null"},
    {"{\"rInner\":[null]}", "1:12: rInner[0]: expected an object, found null"},
    {"{\"mString\":{\"a\":null}}", "1:17: mString[\"a\"]: expected a string, found null"},
    /* Twice. */
    {"{\"fInt32\":0,\"fInt32\":0}", "1:13: fInt32: the field comes twice"},
    {"{\"fInt32\":null,\"f_int32\":1}", "1:16: fInt32: the field comes twice"},
    {"{\"kInt32\":0,\"kString\":\"\"}",
     "1:13: kString: only one of this and \"kInt32\" can be set"},
    {"{\"mInt32\":{\"1\":1,\"2\":2,\"1\":3}}", "1:24: mInt32: the key \"1\" comes twice"},
    {"{\"mString\":{\"a\":\"\",\"\\u0061\":\"\"}}", "1:20: mString: the key \"a\" comes twice"},
    /* Shapes. */
    {"{\"rInt32\":1}", "1:11: rInt32: expected an array, found a number"},
    {"{\"mInt32\":[]}", "1:11: mInt32: expected an object, found an array"},
    {"{\"fInner\":\"\"}", "1:11: fInner: expected an object, found a string"},
    {"{\"mInt32\":{\"a\":1}}", "1:12: mInt32[\"a\"]: expected a number as the key"},
    {"{\"mInt32\":{\"\":1}}", "1:12: mInt32[\"\"]: expected a number as the key"},
    {"{\"mBool\":{\"1\":0}}", "1:11: mBool[\"1\"]: expected the key \"true\" or \"false\""},
    {"{\"mUint32\":{\"-1\":0}}", "1:13: mUint32[\"-1\"]: number out of the range of uint32"},
    /* Unknown. */
    {"{\"nope\":1}", "1:2: no field \"nope\" in the message caw.test.Everything"},
    {"{\"fInner\":{\"Id\":1}}",
     "1:12: fInner: no field \"Id\" in the message caw.test.Everything.Inner"},
    {"{\"\":1}", "1:2: no field \"\" in the message caw.test.Everything"},
    {"{\"a\\u0001\\\"b\":1}", "1:2: no field \"a\\x01\\\"b\" in the message caw.test.Everything"},
    /* Places: lines, and columns in characters. */
    {"{\n  \"fString\": \"\xc3\xa4\xe2\x82\xac\", \"fInt32\": x}",
     "2:30: fInt32: expected a number, found something that is not JSON"},
    {"{\"rInner\": [\n{}, {\"inners\":\n [{\"deep\": {\"level\": 1.5}}]}]}",
     "3:22: rInner[1].inners[0].deep.level: expected a whole number"},
    {"{\"mSelf\": {\"7\": {\"mInner\": {\"a\\nb\": {\"id\": \"\"}}}}}",
     "1:44: mSelf[\"7\"].mInner[\"a\\x0ab\"].id: expected a number, found a string that is none"},
};

static void test_refusals(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
    expect_text(E, caw_str_from(refusals[i].text), NULL, CAW_EJSON, refusals[i].want);
  expect_text(L, caw_str_from("{\"closed\":5}"), NULL, CAW_EJSON,
              "1:11: closed: no value \"5\" in the enum caw.test.legacy.Closed");
  assert_int_equal(mismatches, 0);
}

static void test_utf8(void **state) {
  (void)state;
  static const reading cases[] = {
      {"{\"fString\":\"\xff\"}", "1:12: fString: string that is not UTF-8"},
      {"{\"fString\":\"\xed\xa0\x80\"}", "1:12: fString: string that is not UTF-8"},
      {"{\"fString\":\"\xc0\xaf\"}", "1:12: fString: string that is not UTF-8"},
      {"{\"\xff\":\"\"}", "1:2: string that is not UTF-8"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect_text(E, caw_str_from(cases[i].text), NULL, CAW_EUTF8, cases[i].want);
  expect_text(E, caw_str_of("{\0}", 3), NULL, CAW_EJSON,
              "1:2: expected the name of a member, found something that is not JSON");
  assert_int_equal(mismatches, 0);
}

/* A path and a quotation that are too long end in dots, and stay UTF-8. */
static void test_long_errors(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_json_error e = {0};
  caw_test_everything m;
  char text[4000] = "";
  for (int i = 0; i < 60; i++) strcat(text, "{\"mInner\":{\"\xc3\xa4\xc3\xa4\xc3\xa4\":");
  assert_int_equal(caw_json_read(&m, arena, E, caw_str_from(text), NULL, &e), CAW_EJSON);
  assert_string_equal(
      e.text, "1:19: mInner[\"\xc3\xa4\xc3\xa4\xc3\xa4\"]: no field \"mInner\" in the message "
              "caw.test.Everything.Inner");
  caw_json_read_options o = {.size = sizeof(o), .memory = SIZE_MAX};
  *text = '\0';
  for (int i = 0; i < 60; i++) strcat(text, "{\"mSelf\":{\"12345\":");
  assert_int_equal(caw_json_read(&m, arena, E, caw_str_from(text), &o, &e), CAW_EDEPTH);
  assert_in_range(strlen(e.path), 140, sizeof(e.path) - 1);
  assert_string_equal(e.path + strlen(e.path) - 3, "...");
  assert_int_equal(e.line, 1);
  assert_int_equal(e.offset + 1, e.column);
  *text = '\0';
  strcat(text, "{\"");
  for (int i = 0; i < 300; i++) strcat(text, "\xe2\x82\xac");
  strcat(text, "\":0}");
  assert_int_equal(caw_json_read(&m, arena, E, caw_str_from(text), NULL, &e), CAW_EJSON);
  assert_non_null(strstr(e.text, "\xe2\x82\xac... in the message"));
  caw_arena_free(arena);
}

/* -- options ------------------------------------------------------------- */

static void test_ignore_unknown(void **state) {
  (void)state;
  static const reading taken[] = {
      {"{\"x\":1,\"fInt32\":2}", "f_int32: 2\n"},
      {"{\"x\":{\"a\":[1,{},\"s\",true,false,null,[[]]]},\"fInt32\":2}", "f_int32: 2\n"},
      {"{\"x\":\"\\u0041\",\"x\":1}", ""},
      {"{\"fColor\":\"NO\"}", ""},
      {"{\"oColor\":\"NO\"}", ""},
      {"{\"kColor\":\"NO\",\"kInt32\":1}", "k_int32: 1\n"},
      {"{\"rColor\":[\"NO\",\"COLOR_RED\",\"NO\"]}", "r_color: [COLOR_RED]\n"},
      {"{\"mBool\":{\"true\":\"NO\",\"false\":\"COLOR_RED\"}}",
       "m_bool {\n  key: false\n  value: COLOR_RED\n}\n"},
  };
  static const reading refused[] = {
      {"{\"x\":[1,]}", "1:9: expected a value, found \"]\""},
      {"{\"x\":{\"a\"}}", "1:10: expected \":\", found \"}\""},
      {"{\"x\":nul}", "1:6: expected null"},
      {"{\"x\":-}", "1:6: not a number as JSON writes them"},
      {"{\"x\":\"\\ud800\"}", "1:7: half of a surrogate pair"},
      {"{\"x\":[}", "1:7: expected a value, found \"}\""},
  };
  caw_json_read_options o = {.size = sizeof(o), .ignore_unknown = true};
  for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
    expect_text(E, caw_str_from(taken[i].text), &o, 0, taken[i].want);
  for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
    expect_text(E, caw_str_from(refused[i].text), &o, CAW_EJSON, refused[i].want);
  expect_text(L, caw_str_from("{\"closed\":5,\"closeds\":[3,4]}"), &o, 0, "closeds: [FIRST]\n");
  assert_int_equal(mismatches, 0);
}

/* A field that was skipped while another was read is no sign for the next. */
static void test_many_ignored(void **state) {
  (void)state;
  caw_json_read_options o = {.size = sizeof(o), .ignore_unknown = true};
  char text[20000] = "{\"rColor\":[", want[1] = "";
  for (int i = 0; i < 1000; i++) strcat(text, "\"NO\",");
  strcat(text, "\"NO\"]}");
  expect_text(E, caw_str_from(text), &o, 0, want);
  assert_int_equal(mismatches, 0);
}

/* -- sizes --------------------------------------------------------------- */

/* Arrays of every length around those at which memory grows. */
static void test_lengths(void **state) {
  (void)state;
  for (size_t n = 0; n < 700; n = n < 300 ? n + 1 : n + 97) {
    caw_arena *arena = caw_arena_new(0);
    caw_test_everything m;
    char *text = malloc(60 * n + 100), *p = text;
    p += sprintf(p, "{\"rInt32\":[");
    for (size_t i = 0; i < n; i++) p += sprintf(p, "%s%zu", i ? "," : "", i);
    p += sprintf(p, "],\"rInner\":[");
    for (size_t i = 0; i < n; i++) p += sprintf(p, "%s{\"id\":%zu}", i ? "," : "", i);
    p += sprintf(p, "],\"mInt64\":{");
    for (size_t i = 0; i < n; i++) p += sprintf(p, "%s\"%zu\":%zu", i ? "," : "", n - i, i);
    p += sprintf(p, "}}");
    assert_int_equal(caw_json_read(&m, arena, E, caw_str_of(text, (size_t)(p - text)), NULL, NULL),
                     0);
    assert_int_equal(m.r_int32.len, n);
    assert_int_equal(m.r_inner.len, n);
    assert_int_equal(m.m_int64.len, n);
    for (size_t i = 0; i < n; i++) {
      assert_int_equal(m.r_int32.items[i], i);
      assert_int_equal(m.r_inner.items[i].id, i);
      assert_int_equal(m.m_int64.items[i].key, n - i);
      assert_int_equal(m.m_int64.items[i].value, i);
    }
    free(text);
    caw_arena_free(arena);
  }
}

static char *nested(const char *open, const char *inside, const char *close, int n) {
  char *text = malloc((size_t)n * (strlen(open) + strlen(close)) + strlen(inside) + 1);
  *text = '\0';
  for (int i = 0; i < n; i++) strcat(text, open);
  strcat(text, inside);
  for (int i = 0; i < n; i++) strcat(text, close);
  return text;
}

/* As deep as the binary format, and not one level more. */
static void test_depth(void **state) {
  (void)state;
  static const struct {
    const caw_type *type;
    const char *open, *inside, *close;
    int most;
  } cases[] = {
      {E, "{\"fSelf\":", "{}", "}", 100},
      {E, "{\"rSelf\":[", "{}", "]}", 100},
      {E, "{\"mSelf\":{\"1\":", "{}", "}}", 50},
      {L, "{\"one\":{\"legacy\":", "{}", "}}", 50},
      {&google_protobuf_value_type, "[", "[]", "]", 49},
      {&google_protobuf_value_type, "{\"a\":", "{}", "}", 33},
      {&google_protobuf_list_value_type, "[", "[]", "]", 50},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    for (int extra = 0; extra < 2; extra++) {
      caw_arena *arena = caw_arena_new(0);
      caw_json_error e = {0};
      caw_json_read_options o = {.size = sizeof(o), .memory = SIZE_MAX};
      caw_str bytes;
      char *text = nested(cases[i].open, cases[i].inside, cases[i].close, cases[i].most + extra);
      void *m = caw_arena_alloc(arena, cases[i].type->size);
      int rc = caw_json_read(m, arena, cases[i].type, caw_str_from(text), &o, &e);
      if (rc != (extra ? CAW_EDEPTH : 0)) fail_msg("%s: %s %s", text, caw_code_name(rc), e.text);
      if (!rc) assert_int_equal(caw_pb_encode(&bytes, arena, cases[i].type, m), 0);
      free(text);
      caw_arena_free(arena);
    }
  }
  caw_json_read_options o = {.size = sizeof(o), .ignore_unknown = true};
  for (int extra = 0; extra < 2; extra++) {
    char *text = nested("[", "", "]", 100 + extra), *all = malloc(strlen(text) + 10);
    sprintf(all, "{\"x\":%s}", text);
    caw_arena *arena = caw_arena_new(0);
    caw_test_everything m;
    assert_int_equal(caw_json_read(&m, arena, E, caw_str_from(all), &o, NULL),
                     extra ? CAW_EDEPTH : 0);
    caw_arena_free(arena);
    free(text);
    free(all);
  }
}

/* Every prefix of a text is refused, without a read beyond its end. */
static void test_prefixes(void **state) {
  (void)state;
  caw_str text = CAW_STR(
      "{\"fString\":\"\\ud83d\\ude00\\n\xc3\xa4\",\"rDouble\":[-1.5e-7,\"NaN\"],"
      "\"mInner\":{\"k\":{\"id\":1,\"deep\":{\"level\":\"HIGH\"}}},\"wAny\":{\"@type\":\"\"},"
      "\"wStruct\":{\"a\":[true,false,null]},\"fBytes\":\"YQ==\"}");
  for (size_t n = 0; n < text.len; n++) {
    caw_arena *arena = caw_arena_new(0);
    caw_str out;
    int rc = read_text(&out, arena, E, caw_str_of(text.data, n), NULL);
    if (rc != CAW_EJSON && rc != CAW_EUTF8) fail_msg("%zu bytes: %s", n, caw_code_name(rc));
    caw_arena_free(arena);
  }
}

static void test_arguments(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_str bytes;
  caw_test_everything m;
  static const caw_codec other = {.size = sizeof(other)};
  const caw_type foreign = {&other, NULL, sizeof(bytes)};
  caw_json_read_options none = {0};
  assert_int_equal(caw_json_read(&bytes, arena, &foreign, caw_str_from("{}"), NULL, NULL),
                   CAW_EINVAL);
  assert_int_equal(caw_json_read(&m, arena, E, caw_str_from("{}"), &none, NULL), CAW_EINVAL);
  assert_int_equal(caw_json_read(&m, arena, E, (caw_str){NULL, 0}, NULL, NULL), CAW_EJSON);
  caw_arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_readings),     cmocka_unit_test(test_legacy),
      cmocka_unit_test(test_refusals),     cmocka_unit_test(test_utf8),
      cmocka_unit_test(test_long_errors),  cmocka_unit_test(test_ignore_unknown),
      cmocka_unit_test(test_many_ignored), cmocka_unit_test(test_lengths),
      cmocka_unit_test(test_depth),        cmocka_unit_test(test_prefixes),
      cmocka_unit_test(test_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
