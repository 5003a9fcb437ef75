/* Memory of JSON, copies and prints: the bound of reading under attack, and
 * memory that runs out at every point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "failing.h"
#include "google/protobuf/any.caw.h"
#include "google/protobuf/struct.caw.h"
#include "legacy.caw.h"
#include "messages.h"

#include <caw/alloc.h>
#include <caw/json.h>
#include <caw/status.h>
#include <stdio.h>
#include <stdlib.h>

#define E &caw_test_everything_type
#define L &caw_test_legacy_legacy_type
#define V &google_protobuf_value_type

static caw_pb_types *known;

static void *read_json(caw_arena *arena, const caw_type *type, const char *text) {
  caw_json_read_options o = {.size = sizeof(o), .types = known, .memory = SIZE_MAX};
  caw_json_error e;
  void *m = caw_arena_alloc(arena, type->size);
  if (caw_json_read(m, arena, type, caw_str_from(text), &o, &e)) fail_msg("%s: %s", text, e.text);
  return m;
}

/* -- the bound of reading ------------------------------------------------ */

static const struct {
  const char *name;
  const caw_type *type;
  const char *before, *unit, *after; /* the unit again and again, with commas */
  int rc;
} attacks[] = {
    /* Whatever a google.protobuf.Value can be fits, however dense it is. */
    {"empty arrays", V, "[", "[]", "]", 0},
    {"empty objects", V, "[", "{}", "]", 0},
    {"digits", V, "[", "0", "]", 0},
    {"empty strings", V, "[", "\"\"", "]", 0},
    {"escapes", V, "[", "\"\\n\"", "]", 0},
    {"nulls", V, "[", "null", "]", 0},
    {"arrays in arrays", V, "[", "[[[[[[[[[[]]]]]]]]]]", "]", 0},
    {"objects in objects", V, "[", "{\"\":{\"\":{\"\":{}}}}", "]", 0},
    {"numbers", E, "{\"rInt32\":[", "0", "]}", 0},
    {"strings", E, "{\"rString\":[", "\"\"", "]}", 0},
    {"bytes", E, "{\"rBytes\":[", "\"AA\"", "]}", 0},
    {"small messages", E, "{\"rInner\":[", "{\"id\":1}", "]}", 0},
    {"white space", V, "[", "                ", "0]", CAW_EJSON},
    /* Empty messages of a wide type are what an attack is made of. */
    {"wide messages", E, "{\"rSelf\":[", "{}", "]}", CAW_ENOMEM},
    {"wide messages in a map's Any", E, "{\"rSelf\":[", "{\"wAny\":{}}", "]}", CAW_ENOMEM},
};

static void test_attacks(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
    size_t size = (size_t)1 << 20;
    char *text = malloc(size + 200), *p = text;
    p += sprintf(p, "%s", attacks[i].before);
    while (p < text + size)
      p += sprintf(p, "%s%s", p == text + strlen(attacks[i].before) ? "" : ",", attacks[i].unit);
    p += sprintf(p, "%s", attacks[i].after);
    size_t len = (size_t)(p - text), most = CAW_JSON_EXPANSION * len + CAW_PB_FLOOR;
    caw_arena *arena = caw_arena_new(0);
    void *m = malloc(attacks[i].type->size);
    int rc = caw_json_read(m, arena, attacks[i].type, caw_str_of(text, len), NULL, NULL);
    size_t used = caw_arena_used(arena);
    if (rc != attacks[i].rc || used > most)
      fail_msg("%s: %s with %zu bytes, wanted %s with at most %zu", attacks[i].name,
               caw_code_name(rc), used, caw_code_name(attacks[i].rc), most);
    caw_arena_free(arena);
    free(m);
    free(text);
  }
}

/* However little is allowed, no more is taken: also where something of no bytes,
 * here what an Any holds, comes when less than one piece is left. */
static void test_small_budgets(void **state) {
  enum { ELEMENTS = 1000 };
  static const char start[] =
      "{\"wAny\":{\"@type\":\"x/caw.test.Everything.Inner\"},\"rInner\":[{}";
  char text[sizeof(start) + 3 * ELEMENTS + 2], *p = text;
  (void)state;
  p += sprintf(p, "%s", start);
  for (int i = 1; i < ELEMENTS; i++) p += sprintf(p, ",{}");
  p += sprintf(p, "]}");
  for (size_t memory = 1; memory < 512; memory++) {
    caw_arena *arena = caw_arena_new(0);
    caw_test_everything m;
    caw_json_read_options o = {.size = sizeof(o), .types = known, .memory = memory};
    int rc = caw_json_read(&m, arena, E, caw_str_of(text, (size_t)(p - text)), &o, NULL);
    size_t used = caw_arena_used(arena);
    if (rc != CAW_ENOMEM || used > memory)
      fail_msg("%zu bytes allowed: %s with %zu", memory, caw_code_name(rc), used);
    caw_arena_free(arena);
  }
}

/* `count` members with escapes in their names, inside `levels` of Anys. */
static void put_anys(char *text, int levels, int count, bool type_last) {
  static const char type[] = "\"@type\":\"x/caw.test.Everything\"";
  char *p = text;
  for (int i = 0; i < levels; i++)
    p += type_last ? sprintf(p, "{\"\\u0077Any\":") : sprintf(p, "{%s,\"\\u0077Any\":", type);
  p += sprintf(p, "{%s,\"mString\":{", type);
  for (int i = 0; i < count; i++) p += sprintf(p, "%s\"\\n%04d\":\"\"", i ? "," : "", i);
  p += sprintf(p, "}}");
  for (int i = 0; i < levels; i++) p += type_last ? sprintf(p, ",%s}", type) : sprintf(p, "}");
}

/* An Any whose "@type" does not come first is searched for it, and what is in it
 * is passed over once for each Any around it: that takes no memory. */
static void test_type_last(void **state) {
  enum { LEVELS = 20, COUNT = 2000, ROOM = COUNT * 16 + LEVELS * 64 + 200 };
  size_t used[2];
  char *text = malloc(ROOM);
  (void)state;
  for (int last = 0; last < 2; last++) {
    put_anys(text, LEVELS, COUNT, last);
    caw_arena *arena = caw_arena_new(0);
    read_json(arena, &google_protobuf_any_type, text);
    used[last] = caw_arena_used(arena);
    /* What is allowed without being asked for is enough. */
    caw_json_read_options o = {.size = sizeof(o), .types = known};
    google_protobuf_any m;
    assert_int_equal(
        caw_json_read(&m, arena, &google_protobuf_any_type, caw_str_from(text), &o, NULL), 0);
    caw_arena_free(arena);
  }
  assert_int_equal(used[0], used[1]);
  free(text);
}

/* An arena's limit is an error too, wherever it is met. */
static void test_arena_limit(void **state) {
  (void)state;
  const char *text =
      "{\"rInt32\":[1,2,3],\"mInner\":{\"a\":{\"name\":\"\\n\"}},\"fBytes\":\"YWJj\"}";
  int rc = CAW_ENOMEM;
  for (size_t limit = 0; rc; limit += 8) {
    caw_arena *arena = caw_arena_new(0);
    caw_test_everything m;
    caw_json_error e = {0};
    caw_arena_set_limit(arena, limit);
    rc = caw_json_read(&m, arena, E, caw_str_from(text), NULL, &e);
    if (rc) assert_int_equal(rc, CAW_ENOMEM);
    if (rc) assert_non_null(strstr(e.text, "out of memory"));
    if (rc) assert_null(m.r_int32.items);
    assert_true(limit < 10000);
    caw_arena_free(arena);
  }
}

/* -- memory that runs out ------------------------------------------------ */

static const char rich[] =
    "{\"rInner\":[{},{},{},{},{},{},{\"name\":\"\\u00e4\"}],\"rInt32\":[1,2,3,4,5,6,7,8,9,10,11,12,"
    "13,14,15,"
    "16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42],"
    "\"mInt32\":{\"3\":1,\"2\":2,\"1\":3},\"mString\":{\"b\":\"\\n\",\"a\":\"x\"},\"fBytes\":"
    "\"YWJj\","
    "\"wAny\":{\"id\":1,\"@type\":\"x/caw.test.Everything.Inner\",\"name\":\"y\"},"
    "\"wStruct\":{\"z\":[1,null,{}],\"a\":\"b\"},\"wMask\":\"fooBar,b\",\"wTimestamp\":\"2000-01-"
    "01T00:00:00Z\"}";

/* Each with a number of allocations that grows until it succeeds. */
static int run_read(caw_arena *arena, const void *m, void *result) {
  caw_json_read_options o = {.size = sizeof(o), .types = known};
  caw_json_error e;
  (void)m;
  return caw_json_read(result, arena, E, caw_str_from(rich), &o, &e);
}

static int run_write(caw_arena *arena, const void *m, void *result) {
  caw_json_write_options o = {.size = sizeof(o), .types = known, .indent = 2};
  caw_json_error e;
  caw_str out;
  (void)result;
  int rc = caw_json_write(&out, arena, E, m, &o, &e);
  assert_int_equal(rc != 0, out.data == NULL);
  return rc;
}

static int run_print(caw_arena *arena, const void *m, void *result) {
  caw_str out;
  (void)result;
  int rc = caw_pb_print(&out, arena, E, m);
  assert_int_equal(rc != 0, out.data == NULL);
  return rc;
}

static int run_copy(caw_arena *arena, const void *m, void *result) {
  return caw_pb_copy(result, arena, E, m);
}

static int run_merge(caw_arena *arena, const void *m, void *result) {
  memset(result, 0, (E)->size);
  int rc = caw_pb_merge(result, arena, E, m);
  return rc ? rc : caw_pb_merge(result, arena, E, m);
}

static int run_equal(caw_arena *arena, const void *m, void *result) {
  caw_test_everything_m_int32_entry turned[3];
  caw_test_everything other;
  bool same = true;
  (void)arena;
  (void)result;
  memcpy(&other, m, sizeof(other));
  for (int i = 0; i < 3; i++) turned[i] = other.m_int32.items[2 - i];
  other.m_int32.items = turned;
  int rc = caw_pb_equal(&same, E, m, &other);
  assert_int_equal(same, rc == 0);
  return rc;
}

static int run_types(caw_arena *arena, const void *m, void *result) {
  static const caw_pb_file *const files[] = {&caw_file_everything_proto, &caw_file_legacy_proto};
  caw_pb_types *types = NULL;
  (void)arena;
  (void)m;
  (void)result;
  int rc = caw_pb_types_new(&types, files, 2);
  assert_int_equal(rc != 0, types == NULL);
  caw_pb_types_free(types);
  return rc;
}

static void test_out_of_memory(void **state) {
  static const struct {
    const char *name;
    int (*run)(caw_arena *arena, const void *m, void *result);
  } runs[] = {{"read", run_read},   {"write", run_write}, {"print", run_print}, {"copy", run_copy},
              {"merge", run_merge}, {"equal", run_equal}, {"types", run_types}};
  (void)state;
  caw_arena *source = caw_arena_new(0);
  void *m = read_json(source, E, rich), *result = malloc((E)->size);
  long live = failing.live;
  for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
    int rc = CAW_ENOMEM;
    long n = 1;
    for (; rc; n++) {
      caw_arena *arena = caw_arena_new(64);
      assert_non_null(arena);
      fail_at(n);
      rc = runs[i].run(arena, m, result);
      if (rc != (failing.failed ? CAW_ENOMEM : 0))
        fail_msg("%s, %ld: %s", runs[i].name, n, caw_code_name(rc));
      fail_at(0);
      caw_arena_free(arena);
      assert_int_equal(failing.live, live);
      assert_true(n < 10000);
    }
    if (n < 3) fail_msg("%s allocates nothing", runs[i].name);
  }
  free(result);
  caw_arena_free(source);
}

static int set_up(void **state) {
  static const caw_pb_file *const files[] = {&caw_file_everything_proto};
  int rc = failing_begin(state);
  return rc ? rc : caw_pb_types_new(&known, files, 1);
}

static int tear_down(void **state) {
  caw_pb_types_free(known);
  return failing_end(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_attacks),
      cmocka_unit_test_setup_teardown(test_small_budgets, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_type_last, set_up, tear_down),
      cmocka_unit_test(test_arena_limit),
      cmocka_unit_test_setup_teardown(test_out_of_memory, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
