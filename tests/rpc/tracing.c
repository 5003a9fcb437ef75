/* Which traceparent and tracestate are in order (W3C Trace Context), and what is handed on. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "rpc/tracing.h"

#define ID     "0af7651916cd43dd8448eb211c80319c"
#define SPAN   "b7ad6b7169203331"
#define PARENT "00-" ID "-" SPAN "-01"

static const struct {
  const char *text;
  bool valid;
} parents[] = {
    {PARENT, true},
    {"00-" ID "-" SPAN "-00", true},
    {"00-" ID "-" SPAN "-ff", true},
    {"cc-" ID "-" SPAN "-01", true}, /* a later version, as short as 00 */
    {"cc-" ID "-" SPAN "-01-what-comes", true},
    {"01-" ID "-" SPAN "-01.", false},
    {"ff-" ID "-" SPAN "-01", false},
    {PARENT "-01", false},
    {PARENT "-", false},
    {"", false},
    {"00", false},
    {"00-" ID "-" SPAN "-0", false},
    {"00-" ID "-" SPAN "-1", false},
    {"00-" ID "-" SPAN "-0g", false},
    {"00-" ID "-" SPAN "-0A", false},
    {"0A-" ID "-" SPAN "-01", false},
    {"00-00000000000000000000000000000000-" SPAN "-01", false},
    {"00-" ID "-0000000000000000-01", false},
    {"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", false},
    {"00-" ID "-B7AD6B7169203331-01", false},
    {"00_" ID "-" SPAN "-01", false},
    {"00-" ID "_" SPAN "-01", false},
    {"00-" ID "-" SPAN "_01", false},
    {" " PARENT, false},
    {PARENT " ", false},
};

static void traceparents(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++)
    if (rpc_traceparent_valid(caw_str_from(parents[i].text)) != parents[i].valid)
      fail_msg("\"%s\" should be %s", parents[i].text, parents[i].valid ? "valid" : "invalid");
}

static const struct {
  const char *text;
  bool valid;
} states[] = {
    {"rojo=00f067aa0ba902b7", true},
    {"rojo=1, congo=t61rcWkgMzE", true},
    {"rojo=1 ,\tcongo=2", true},
    {"a=1,,b=2", true},
    {"fw529a3039@dt=FfD", true},
    {"0tenant@x=1", true},
    {"a_-*/=1", true},
    {"a= !\"#$%&'()*+-./0:;<>?@[\\]^_`{|}~", true},
    {"", false},
    {",", false},
    {"a", false},
    {"=1", false},
    {"a=", false},
    {"A=1", false},
    {"_a=1", false},
    {"a b=1", false},
    {"a=1=2", false},
    {"a=\x01", false},
    {"a=\xc3\xa9", false},
};

static caw_metadata one(caw_metadata_entry *e, const char *key, caw_str value) {
  *e = (caw_metadata_entry){caw_str_from(key), value};
  return (caw_metadata){e, 1};
}

static void tracestates(void **state) {
  caw_metadata_entry e;
  (void)state;
  for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
    caw_metadata m = one(&e, "tracestate", caw_str_from(states[i].text));
    if (rpc_tracestate_valid(&m) != states[i].valid)
      fail_msg("\"%s\" should be %s", states[i].text, states[i].valid ? "valid" : "invalid");
  }
}

static void tracestates_have_their_bounds(void **state) {
  char text[600];
  caw_metadata_entry e, two[2];
  (void)state;
  for (size_t n = 31; n <= 33; n++) { /* members */
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
      memcpy(text + len, "a=1,", 4);
      len += 4;
    }
    caw_metadata m = one(&e, "tracestate", caw_str_of(text, len - 1));
    assert_int_equal(rpc_tracestate_valid(&m), n <= 32);
  }
  memset(text, 'a', sizeof(text));
  for (size_t n = 255; n <= 257; n++) { /* a key, and a value */
    text[n] = '=';
    caw_metadata m = one(&e, "tracestate", caw_str_of(text, n + 2));
    assert_int_equal(rpc_tracestate_valid(&m), n <= 256);
    m = one(&e, "tracestate", caw_str_of(text + n - 1, n + 2));
    text[2 * n + 1] = 'a';
    assert_int_equal(rpc_tracestate_valid(&m), n <= 256);
    text[n] = 'a';
  }
  /* Several entries are one list. */
  size_t len = 0;
  for (size_t i = 0; i < 17; i++, len += 4) memcpy(text + len, "a=1,", 4);
  for (int i = 0; i < 2; i++)
    two[i] = (caw_metadata_entry){CAW_STR("tracestate"), caw_str_of(text, len - 1)};
  caw_metadata m = {two, 2};
  assert_false(rpc_tracestate_valid(&m));
}

/* What a call gets of another: key by key. */
static void assert_passed(const caw_metadata_entry *from, size_t n, const caw_metadata_entry *own,
                          size_t n_own, const char *wanted) {
  char got[512] = "";
  caw_arena *arena = caw_arena_new(0);
  rpc_metadata to = {{NULL, 0}, 0};
  const caw_metadata list = {from, n};
  for (size_t i = 0; i < n_own; i++)
    assert_int_equal(rpc_metadata_add(&to, arena, own[i].key, own[i].value), 0);
  assert_int_equal(rpc_trace_pass(&to, arena, &list), 0);
  for (size_t i = n_own; i < to.list.len; i++) {
    strncat(got, to.list.entries[i].key.data, to.list.entries[i].key.len);
    strcat(got, "=");
    strncat(got, to.list.entries[i].value.data, to.list.entries[i].value.len);
    strcat(got, ";");
  }
  assert_string_equal(got, wanted);
  caw_arena_free(arena);
}

static void what_is_handed_on(void **state) {
  const caw_metadata_entry parent = {CAW_STR("traceparent"), CAW_STR(PARENT)};
  const caw_metadata_entry bad = {CAW_STR("traceparent"), CAW_STR("00-1-2-3")};
  const caw_metadata_entry s1 = {CAW_STR("tracestate"), CAW_STR("a=1")};
  const caw_metadata_entry s2 = {CAW_STR("tracestate"), CAW_STR("b=2,c=3")};
  const caw_metadata_entry broken = {CAW_STR("tracestate"), CAW_STR("b")};
  const caw_metadata_entry token = {CAW_STR("authorization"), CAW_STR("Bearer x")};
  (void)state;
  assert_passed(NULL, 0, NULL, 0, "");
  assert_passed((caw_metadata_entry[]){token, parent}, 2, NULL, 0, "traceparent=" PARENT ";");
  assert_passed((caw_metadata_entry[]){s1, parent, s2}, 3, NULL, 0,
                "traceparent=" PARENT ";tracestate=a=1;tracestate=b=2,c=3;");
  assert_passed((caw_metadata_entry[]){s1, parent, broken}, 3, NULL, 0, "traceparent=" PARENT ";");
  assert_passed((caw_metadata_entry[]){s1}, 1, NULL, 0, "");
  assert_passed((caw_metadata_entry[]){bad, s1}, 2, NULL, 0, "");
  assert_passed((caw_metadata_entry[]){parent, parent, s1}, 3, NULL, 0, "");
  assert_passed((caw_metadata_entry[]){parent, s1}, 2, &bad, 1, ""); /* its own, whatever it is */
  assert_passed((caw_metadata_entry[]){parent, s1}, 2, &s2, 1, "traceparent=" PARENT ";");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(traceparents), cmocka_unit_test(tracestates),
                                     cmocka_unit_test(tracestates_have_their_bounds),
                                     cmocka_unit_test(what_is_handed_on)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
