/* The JSON of google.protobuf's messages, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "google/protobuf/any.caw.h"
#include "google/protobuf/duration.caw.h"
#include "google/protobuf/field_mask.caw.h"
#include "google/protobuf/struct.caw.h"
#include "google/protobuf/timestamp.caw.h"
#include "google/protobuf/wrappers.caw.h"

#include <caw/json.h>
#include <caw/status.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ANY       &google_protobuf_any_type
#define DURATION  &google_protobuf_duration_type
#define MASK      &google_protobuf_field_mask_type
#define STRUCT    &google_protobuf_struct_type
#define LIST      &google_protobuf_list_value_type
#define VALUE     &google_protobuf_value_type
#define TIMESTAMP &google_protobuf_timestamp_type

static caw_pb_types *known;

static int set_up(void **state) {
  static const caw_pb_file *const files[] = {&caw_file_everything_proto};
  (void)state;
  return caw_pb_types_new(&known, files, 1);
}

static int tear_down(void **state) {
  (void)state;
  caw_pb_types_free(known);
  return 0;
}

static int read_text(void *m, caw_arena *arena, const caw_type *type, const char *text,
                     caw_json_error *e) {
  caw_json_read_options o = {.size = sizeof(o), .types = known};
  return caw_json_read(m, arena, type, caw_str_from(text), &o, e);
}

static int write_text(caw_str *out, caw_arena *arena, const caw_type *type, const void *m,
                      caw_json_error *e) {
  caw_json_write_options o = {.size = sizeof(o), .types = known};
  return caw_json_write(out, arena, type, m, &o, e);
}

/* -- what is read, and how it is written again --------------------------- */

typedef struct pair {
  const caw_type *type;
  const char *in, *out; /* NULL: as it came */
} pair;

#define I32 &google_protobuf_int32_value_type

static const pair pairs[] = {
    {TIMESTAMP, "\"1970-01-01T00:00:00Z\"", NULL},
    {TIMESTAMP, "\"0001-01-01T00:00:00Z\"", NULL},
    {TIMESTAMP, "\"9999-12-31T23:59:59.999999999Z\"", NULL},
    {TIMESTAMP, "\"2000-02-29T12:34:56.7Z\"", "\"2000-02-29T12:34:56.700Z\""},
    {TIMESTAMP, "\"1900-02-28T23:59:59.000001Z\"", NULL},
    {TIMESTAMP, "\"1969-12-31T23:59:59.000000001Z\"", NULL},
    {TIMESTAMP, "\"2024-12-31T23:30:00-01:30\"", "\"2025-01-01T01:00:00Z\""},
    {TIMESTAMP, "\"2025-01-01T00:30:00+23:59\"", "\"2024-12-31T00:31:00Z\""},
    {TIMESTAMP, "\"2025-01-01T00:00:00.000000Z\"", "\"2025-01-01T00:00:00Z\""},
    {TIMESTAMP, "\"2025-01-01T00:00:00\\u005a\"", "\"2025-01-01T00:00:00Z\""},
    {DURATION, "\"0s\"", NULL},
    {DURATION, "\"-0s\"", "\"0s\""},
    {DURATION, "\"1.5s\"", "\"1.500s\""},
    {DURATION, "\"-0.000000001s\"", NULL},
    {DURATION, "\"-1.000001s\"", NULL},
    {DURATION, "\"315576000000.999999999s\"", NULL},
    {DURATION, "\"-315576000000s\"", NULL},
    {DURATION, "\"0001s\"", "\"1s\""},
    {MASK, "\"\"", NULL},
    {MASK, "\"a\"", NULL},
    {MASK, "\"a\\\"b.\\n\\\\Ã¤\"", NULL},
    {MASK, "\"fooBar.bazQux,b.c2D\"", NULL},
    {VALUE, "null", NULL},
    {VALUE, "1.5", NULL},
    {VALUE, "-0.0", NULL},
    {VALUE, "\"\"", NULL},
    {VALUE, "\"NaN\"", NULL},
    {VALUE, "false", NULL},
    {VALUE, "{}", NULL},
    {VALUE, "[]", NULL},
    {VALUE, "{\"a\":[1,{\"b\":null}],\"\":\"x\"}", NULL},
    {STRUCT, "{\"a\":{},\"b\":[]}", NULL},
    {LIST, "[null,[[]],true]", NULL},
    {I32, "7", NULL},
    {I32, "\"7\"", "7"},
    {&google_protobuf_int64_value_type, "-7", "\"-7\""},
    {&google_protobuf_u_int64_value_type, "\"18446744073709551615\"", NULL},
    {&google_protobuf_bool_value_type, "true", NULL},
    {&google_protobuf_string_value_type, "\"\"", NULL},
    {&google_protobuf_bytes_value_type, "\"YWI\"", "\"YWI=\""},
    {&google_protobuf_double_value_type, "\"-Infinity\"", NULL},
    {&google_protobuf_float_value_type, "0.1", NULL},
    {ANY, "{}", NULL},
    {ANY, "{\"@type\":\"x/caw.test.Nothing\"}", NULL},
    {ANY, "{\"@type\":\"a/b/caw.test.Everything\",\"fInt32\":1,\"rString\":[\"a\"]}", NULL},
    {ANY, "{\"fInt32\":1,\"@type\":\"x/caw.test.Everything\",\"fBool\":true}",
     "{\"@type\":\"x/caw.test.Everything\",\"fInt32\":1,\"fBool\":true}"},
    {ANY, "{\"fInt32\":1,\"\\u0040t\\u0079pe\":\"x\\/caw.test.Everything\",\"\\u0066Bool\":true}",
     "{\"@type\":\"x/caw.test.Everything\",\"fInt32\":1,\"fBool\":true}"},
    {ANY, "{\"fInt32\":1,\"\\u0040\\u0074\\u0079\\u0070\\u0065\":\"x/caw.test.Everything\"}",
     "{\"@type\":\"x/caw.test.Everything\",\"fInt32\":1}"},
    {ANY, "{\"@type\":\"/google.protobuf.Duration\",\"value\":\"1s\"}", NULL},
    {ANY, "{\"value\":\"1s\",\"@type\":\"/google.protobuf.Duration\"}",
     "{\"@type\":\"/google.protobuf.Duration\",\"value\":\"1s\"}"},
    {ANY, "{\"@type\":\"/google.protobuf.Int64Value\",\"value\":\"5\"}", NULL},
    {ANY, "{\"@type\":\"/google.protobuf.Value\",\"value\":null}", NULL},
    {ANY, "{\"@type\":\"/google.protobuf.Struct\",\"value\":{\"@type\":1}}", NULL},
    {ANY, "{\"@type\":\"/google.protobuf.Empty\"}", NULL},
    {ANY,
     "{\"@type\":\"x/google.protobuf.Any\",\"value\":{\"@type\":\"x/caw.test.Everything\",\"wAny\":"
     "{\"@type\":\"x/caw.test.Everything.Inner\",\"id\":3}}}",
     NULL},
};

static void test_pairs(void **state) {
  int wrong = 0;
  (void)state;
  for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
    const pair *p = &pairs[i];
    const char *want = p->out ? p->out : p->in;
    caw_arena *arena = caw_arena_new(0);
    caw_json_error e = {0};
    caw_str out = {NULL, 0};
    void *m = caw_arena_alloc(arena, p->type->size);
    int rc = read_text(m, arena, p->type, p->in, &e);
    if (!rc) rc = write_text(&out, arena, p->type, m, &e);
    if (rc || !caw_str_is(out, want)) {
      print_error("%s\n  gives %s %s%.*s\n  wanted %s\n", p->in, caw_code_name(rc), e.text,
                  CAW_STR_ARG(out), want);
      wrong++;
    }
    caw_arena_free(arena);
  }
  assert_int_equal(wrong, 0);
}

/* The values themselves, where the text alone could be wrong both ways. */
static void test_values(void **state) {
  static const struct {
    const char *text;
    int64_t seconds;
    int32_t nanos;
  } times[] = {
      {"\"0001-01-01T00:00:00Z\"", -62135596800, 0},
      {"\"1600-03-01T00:00:00Z\"", -11670912000, 0},
      {"\"1969-12-31T23:59:59.5Z\"", -1, 500000000},
      {"\"1972-02-29T00:00:00Z\"", 68169600, 0},
      {"\"2000-12-31T23:59:59Z\"", 978307199, 0},
      {"\"2001-01-01T00:00:00+01:00\"", 978303600, 0},
      {"\"2100-03-01T00:00:00Z\"", 4107542400, 0},
      {"\"9999-12-31T23:59:59.000000001Z\"", 253402300799, 1},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
    caw_arena *arena = caw_arena_new(0);
    google_protobuf_timestamp t;
    assert_int_equal(read_text(&t, arena, TIMESTAMP, times[i].text, NULL), 0);
    assert_int_equal(t.seconds, times[i].seconds);
    assert_int_equal(t.nanos, times[i].nanos);
    caw_arena_free(arena);
  }
  caw_arena *arena = caw_arena_new(0);
  google_protobuf_duration d;
  google_protobuf_field_mask mask;
  assert_int_equal(read_text(&d, arena, DURATION, "\"-3.25s\"", NULL), 0);
  assert_int_equal(d.seconds, -3);
  assert_int_equal(d.nanos, -250000000);
  assert_int_equal(read_text(&mask, arena, MASK, "\"fooBar,a.bCD\"", NULL), 0);
  assert_int_equal(mask.paths.len, 2);
  assert_true(caw_str_is(mask.paths.items[0], "foo_bar"));
  assert_true(caw_str_is(mask.paths.items[1], "a.b_c_d"));
  caw_arena_free(arena);
}

/* Each day of 800 years, and the seconds at its ends. */
static void test_calendar(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  for (int64_t day = -219146; day < 73048; day++) {
    for (int last = 0; last < 2; last++) {
      google_protobuf_timestamp t = {.seconds = day * 86400 + (last ? 86399 : 0)}, back;
      caw_str out;
      assert_int_equal(write_text(&out, arena, TIMESTAMP, &t, NULL), 0);
      assert_int_equal(caw_json_read(&back, arena, TIMESTAMP, out, NULL, NULL), 0);
      assert_int_equal(back.seconds, t.seconds);
      assert_int_equal(out.len, 22);
      assert_string_equal(out.data + 11, last ? "T23:59:59Z\"" : "T00:00:00Z\"");
    }
    caw_arena_reset(arena);
  }
  caw_arena_free(arena);
}

/* -- what is not read ---------------------------------------------------- */

static const pair refusals[] = {
    {TIMESTAMP, "null", "1:1: expected a string, found null"},
    {TIMESTAMP, "1", "1:1: expected a string, found a number"},
    {DURATION, "1", "1:1: expected a string, found a number"},
    {MASK, "[]", "1:1: expected a string, found an array"},
    {MASK, "\"a_b\"", "1:1: a path of a FieldMask is in lowerCamelCase"},
    {MASK, "\"a,\"", "1:1: an empty path in a FieldMask"},
    {MASK, "\",\"", "1:1: an empty path in a FieldMask"},
    {VALUE, "", "1:1: expected a value, found the end of the text"},
    {VALUE, "1e400", "1:1: number out of the range of double"},
    {VALUE, "{\"a\":1,\"b\":[{}],\"a\":2}", "1:17: the key \"a\" comes twice"},
    {VALUE, "[1,2,]", "1:6: [2]: expected a value, found \"]\""},
    {STRUCT, "[]", "1:1: expected an object, found an array"},
    {STRUCT, "null", "1:1: expected an object, found null"},
    {LIST, "{}", "1:1: expected an array, found an object"},
    {I32, "null", "1:1: expected a number, found null"},
    {I32, "{\"value\":1}", "1:1: expected a number, found an object"},
    {ANY, "null", "1:1: expected an object, found null"},
    {ANY, "{\"a\":1}", "1:1: an Any without \"@type\""},
    {ANY, "{\"@type\":\"\"}", "1:10: an Any without \"@type\""},
    {ANY, "{\"@typ\\u0065s\":1,\"\\u0040\\u0074\\u0079\\u0070\\u0065\\n\\n\\n\\n\":1}",
     "1:1: an Any without \"@type\""},
    {ANY, "{\"\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\x\":1}",
     "1:51: no such escape in JSON"},
    {ANY, "{\"@type\":1}", "1:10: expected a string, found a number"},
    {ANY, "{\"@type\":\"caw.test.Nothing\"}", "1:10: no type for \"caw.test.Nothing\""},
    {ANY, "{\"@type\":\"x/no.such.Type\"}", "1:10: no type for \"x/no.such.Type\""},
    {ANY, "{\"@type\":\"x/\"}", "1:10: no type for \"x/\""},
    {ANY, "{\"@type\":\"x/caw.test.Nothing\",\"a\":1}",
     "1:31: no field \"a\" in the message caw.test.Nothing"},
    {ANY, "{\"@type\":\"x/caw.test.Nothing\",\"value\":{}}",
     "1:31: no field \"value\" in the message caw.test.Nothing"},
    {ANY, "{\"@type\":\"x/caw.test.Nothing\",\"@type\":\"x/caw.test.Nothing\"}",
     "1:31: \"@type\" comes twice"},
    {ANY, "{\"@type\":\"x/google.protobuf.Duration\"}", "1:1: an Any without \"value\""},
    {ANY, "{\"@type\":\"x/google.protobuf.Duration\",\"value\":1}",
     "1:47: value: expected a string, found a number"},
    {ANY, "{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"1s\",\"value\":\"1s\"}",
     "1:52: the field comes twice"},
    {ANY, "{\"@type\":\"x/google.protobuf.Duration\",\"seconds\":1}",
     "1:39: no field \"seconds\" beside \"@type\" and \"value\""},
    {ANY, "{\"a\":[1,\"@type\":\"\"}", "1:16: expected \",\" or \"]\", found \":\""},
};

static const char *const no_times[] = {
    "",
    "2000-01-01T00:00:00",
    "2000-01-01T00:00:00z",
    "2000-01-01t00:00:00Z",
    "2000-01-01 00:00:00Z",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "2000-00-01T00:00:00Z",
    "2000-13-01T00:00:00Z",
    "2000-01-00T00:00:00Z",
    "2000-01-32T00:00:00Z",
    "2001-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2000-01-01T24:00:00Z",
    "2000-01-01T00:60:00Z",
    "2000-01-01T00:00:60Z",
    "2000-01-01T00:00:00.Z",
    "2000-01-01T00:00:00.1234567890Z",
    "2000-01-01T00:00:00+1:00",
    "2000-01-01T00:00:00+24:00",
    "2000-01-01T00:00:00+01:60",
    "2000-01-01T00:00:00+0100",
    "2000-01-01T00:00:00ZZ",
    "2000-01-01T00:00:00Z ",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "-001-01-01T00:00:00Z",
    "2000-1-01T00:00:00Z",
};

static const char *const no_durations[] = {
    "",
    "s",
    "1",
    "1.s",
    ".5s",
    "1S",
    "+1s",
    "--1s",
    "1.5 s",
    "1.1234567890s",
    "1e3s",
    "315576000001s",
    "-315576000001s",
    "99999999999999999999999s",
    "1s ",
    "0x1s",
};

/* How many refusals were others; each is told. */
static int mismatches;

static void expect_refusal(const caw_type *type, const char *text, const char *want) {
  caw_arena *arena = caw_arena_new(0);
  caw_json_error e = {0};
  void *m = caw_arena_alloc(arena, type->size);
  int rc = read_text(m, arena, type, text, &e);
  if (rc != CAW_EJSON || strcmp(e.text, want) != 0) {
    print_error("%s\n  gives %s %s\n  wanted %s\n", text, caw_code_name(rc), e.text, want);
    mismatches++;
  }
  caw_arena_free(arena);
}

static void test_refusals(void **state) {
  (void)state;
  char text[100];
  for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
    expect_refusal(refusals[i].type, refusals[i].in, refusals[i].out);
  for (size_t i = 0; i < sizeof(no_times) / sizeof(no_times[0]); i++) {
    snprintf(text, sizeof(text), "\"%s\"", no_times[i]);
    expect_refusal(TIMESTAMP, text,
                   "1:1: expected a time from year 1 to 9999 like \"2000-01-31T23:59:59.5Z\"");
  }
  for (size_t i = 0; i < sizeof(no_durations) / sizeof(no_durations[0]); i++) {
    snprintf(text, sizeof(text), "\"%s\"", no_durations[i]);
    expect_refusal(DURATION, text,
                   "1:1: expected a duration of at most 315,576,000,000 seconds like \"1.5s\"");
  }
  assert_int_equal(mismatches, 0);
}

/* -- null in place of them ----------------------------------------------- */

static void test_null(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_test_everything m;
  caw_str out;
  assert_int_equal(read_text(&m, arena, &caw_test_everything_type,
                             "{\"wBool\":null,\"wAny\":null,\"wStruct\":null,\"wDuration\":null,"
                             "\"wList\":null,\"wValue\":null,\"wNull\":null}",
                             NULL),
                   0);
  assert_null(m.w_bool);
  assert_null(m.w_any);
  assert_null(m.w_struct);
  assert_null(m.w_duration);
  assert_null(m.w_list);
  assert_non_null(m.w_value);
  assert_int_equal(m.w_value->kind_case, GOOGLE_PROTOBUF_VALUE_KIND_CASE_NULL_VALUE);
  assert_int_equal(write_text(&out, arena, &caw_test_everything_type, &m, NULL), 0);
  assert_string_equal(out.data, "{\"wValue\":null}");
  caw_arena_free(arena);
}

/* -- what has no JSON ---------------------------------------------------- */

static void expect_unwritable(const caw_type *type, const void *m, int rc, const char *want) {
  caw_arena *arena = caw_arena_new(0);
  caw_json_error e = {.line = 9};
  caw_str out;
  int got = write_text(&out, arena, type, m, &e);
  assert_string_equal(e.text, want);
  assert_int_equal(got, rc);
  assert_int_equal(e.line, 0);
  assert_int_equal(out.len, 0);
  caw_arena_free(arena);
}

static void test_times_out_of_range(void **state) {
  static const struct {
    int64_t seconds;
    int32_t nanos;
  } stamps[] = {{-62135596801, 0}, {253402300800, 0}, {0, -1},
                {0, 1000000000},   {INT64_MIN, 0},    {INT64_MAX, INT32_MAX}},
    durations[] = {{315576000001, 0}, {-315576000001, 0},
                   {0, 1000000000},   {0, -1000000000},
                   {1, -1},           {-1, 1},
                   {INT64_MIN, 0},    {0, INT32_MIN}};
  (void)state;
  for (size_t i = 0; i < sizeof(stamps) / sizeof(stamps[0]); i++) {
    google_protobuf_timestamp t = {.seconds = stamps[i].seconds, .nanos = stamps[i].nanos};
    expect_unwritable(TIMESTAMP, &t, CAW_EJSON, "a Timestamp out of its range");
  }
  for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
    google_protobuf_duration d = {.seconds = durations[i].seconds, .nanos = durations[i].nanos};
    expect_unwritable(DURATION, &d, CAW_EJSON, "a Duration out of its range");
  }
}

static void test_unwritable(void **state) {
  (void)state;
  static const char *const paths[] = {"fooBar", "foo__bar", "foo_", "foo_3", "", "a,b", "_"};
  for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
    caw_str path = caw_str_from(paths[i]);
    google_protobuf_field_mask mask = {.paths = {&path, 1}};
    char want[100];
    snprintf(want, sizeof(want), "the path \"%.*s\" of a FieldMask has no JSON form",
             CAW_STR_ARG(path));
    expect_unwritable(MASK, &mask, CAW_EJSON, want);
  }
  google_protobuf_value v = {0};
  expect_unwritable(VALUE, &v, CAW_EJSON, "a Value that is not set");
  v.kind_case = GOOGLE_PROTOBUF_VALUE_KIND_CASE_NUMBER_VALUE;
  v.kind.number_value = (double)NAN;
  expect_unwritable(VALUE, &v, CAW_EJSON, "a Value whose number is not finite");
  v.kind.number_value = -(double)INFINITY;
  google_protobuf_list_value list = {.values = {&v, 1}};
  expect_unwritable(LIST, &list, CAW_EJSON, "[0]: a Value whose number is not finite");
  google_protobuf_any any = {.type_url = CAW_STR("x/no.such.Type")};
  caw_test_everything e = {.w_any = &any};
  expect_unwritable(&caw_test_everything_type, &e, CAW_EJSON,
                    "wAny: no type for the Any of \"x/no.such.Type\"");
  any.type_url = (caw_str)CAW_STR("x/caw.test.Everything");
  any.value = (caw_str)CAW_STR("\x08");
  expect_unwritable(ANY, &any, CAW_EJSON, "the bytes of an Any: malformed bytes");
  any.value = (caw_str){NULL, 1};
  expect_unwritable(ANY, &any, CAW_EINVAL, "a string without bytes");
  any.value = (caw_str)CAW_STR("x");
  any.type_url = (caw_str){NULL, 0};
  expect_unwritable(ANY, &any, CAW_EJSON, "no type for the Any of \"\"");
}

/* A list that contains itself is too deep. */
static void test_deep_value(void **state) {
  (void)state;
  google_protobuf_list_value list;
  google_protobuf_value v = {.kind_case = GOOGLE_PROTOBUF_VALUE_KIND_CASE_LIST_VALUE};
  list = (google_protobuf_list_value){.values = {&v, 1}};
  v.kind.list_value = &list;
  caw_arena *arena = caw_arena_new(0);
  caw_str out;
  assert_int_equal(write_text(&out, arena, VALUE, &v, NULL), CAW_EDEPTH);
  assert_int_equal(write_text(&out, arena, LIST, &list, NULL), CAW_EDEPTH);
  caw_arena_free(arena);
}

/* Beside "@type" and "value", what is unknown may be ignored. */
static void test_ignored_in_any(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_json_read_options o = {.size = sizeof(o), .types = known, .ignore_unknown = true};
  google_protobuf_any any;
  caw_str text =
      CAW_STR("{\"a\":[{}],\"@type\":\"x/google.protobuf.Duration\",\"b\":{},\"value\":\"1s\"}");
  assert_int_equal(caw_json_read(&any, arena, ANY, text, &o, NULL), 0);
  assert_true(caw_str_is(any.value, "\x08\x01"));
  caw_arena_free(arena);
}

/* A type that only has the name of a well-known one is a message like others. */
static void test_impostor(void **state) {
  (void)state;
  static const caw_pb_field fields[] = {
      {"seconds", "seconds", NULL, 1 << 3 | 2, 8, 0, CAW_PB_STRING, CAW_PB_UTF8, 0}};
  static const uint16_t names[] = {0};
  static const caw_pb_message table = {.name = "google.protobuf.Timestamp",
                                       .fields = fields,
                                       .by_name = names,
                                       .size = 24,
                                       .field_count = 1,
                                       .name_count = 1,
                                       .dense = 1};
  static const caw_type type = {&caw_pb_codec, &table, 24};
  caw_arena *arena = caw_arena_new(0);
  caw_str out, text = CAW_STR("{\"seconds\":\"x\"}");
  void *m = caw_arena_alloc(arena, 24);
  assert_int_equal(caw_json_read(m, arena, &type, text, NULL, NULL), 0);
  assert_int_equal(caw_json_write(&out, arena, &type, m, NULL, NULL), 0);
  assert_true(caw_str_eq(out, text));
  caw_arena_free(arena);
}

/* Anys in one another count as levels, each one. */
static void test_deep_any(void **state) {
  (void)state;
  for (int n = 99; n < 102; n++) {
    char *text = malloc(60 * 110), *p = text;
    for (int i = 0; i < n; i++) p += sprintf(p, "{\"@type\":\"x/google.protobuf.Any\",\"value\":");
    p += sprintf(p, "{}");
    for (int i = 0; i < n; i++) *p++ = '}';
    *p = '\0';
    caw_arena *arena = caw_arena_new(0);
    caw_json_read_options o = {.size = sizeof(o), .types = known, .memory = SIZE_MAX};
    google_protobuf_any any;
    caw_str out;
    int rc = caw_json_read(&any, arena, ANY, caw_str_from(text), &o, NULL);
    assert_int_equal(rc, n <= 100 ? 0 : CAW_EDEPTH);
    if (!rc) {
      assert_int_equal(write_text(&out, arena, ANY, &any, NULL), 0);
      assert_string_equal(out.data, text);
      /* One more, made by hand, is refused in this direction as well. */
      caw_str bytes;
      assert_int_equal(caw_pb_encode(&bytes, arena, ANY, &any), 0);
      google_protobuf_any outer = {.type_url = CAW_STR("x/google.protobuf.Any"), .value = bytes};
      assert_int_equal(write_text(&out, arena, ANY, &outer, NULL), n < 100 ? 0 : CAW_EDEPTH);
    }
    caw_arena_free(arena);
    free(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pairs),      cmocka_unit_test(test_values),
      cmocka_unit_test(test_calendar),   cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_null),       cmocka_unit_test(test_times_out_of_range),
      cmocka_unit_test(test_unwritable), cmocka_unit_test(test_deep_any),
      cmocka_unit_test(test_deep_value), cmocka_unit_test(test_ignored_in_any),
      cmocka_unit_test(test_impostor),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
