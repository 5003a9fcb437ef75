/* Lists of metadata: what may be sent, what is kept of what comes, look-ups,
 * and memory that runs out. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "failing.h"
#include "rpc/metadata.h"

#include <caw/status.h>
#include <stdio.h>

static void what_may_be_sent(void **state) {
  (void)state;
  static const struct {
    caw_str key, value;
    int rc;
  } cases[] = {
      {CAW_STR("a"), CAW_STR(""), 0},
      {CAW_STR("a-b_c.9"), CAW_STR(" ~"), 0},
      {CAW_STR("a-bin"), CAW_STR("\0\xff\n"), 0},
      {CAW_STR("-bin"), CAW_STR("\1"), 0},
      {CAW_STR("authorization"), CAW_STR("Bearer x"), 0},
      {CAW_STR(""), CAW_STR("x"), CAW_EINVAL},
      {CAW_STR("A"), CAW_STR("x"), CAW_EINVAL},
      {CAW_STR("a b"), CAW_STR("x"), CAW_EINVAL},
      {CAW_STR("a\0"), CAW_STR("x"), CAW_EINVAL},
      {CAW_STR(":path"), CAW_STR("x"), CAW_EINVAL},
      {CAW_STR("grpc-status"), CAW_STR("0"), CAW_EINVAL},
      {CAW_STR("grpc-x-bin"), CAW_STR("0"), CAW_EINVAL},
      {CAW_STR("te"), CAW_STR("trailers"), CAW_EINVAL},
      {CAW_STR("content-type"), CAW_STR("x"), CAW_EINVAL},
      {CAW_STR("user-agent"), CAW_STR("x"), CAW_EINVAL},
      {CAW_STR("host"), CAW_STR("x"), CAW_EINVAL},
      {CAW_STR("a"), CAW_STR("\n"), CAW_EINVAL},
      {CAW_STR("a"), CAW_STR("\x7f"), CAW_EINVAL},
      {CAW_STR("a"), CAW_STR("\xc3\xa4"), CAW_EINVAL},
      {CAW_STR("a"), CAW_STR("x\0"), CAW_EINVAL},
      {CAW_STR("a-bin"), {NULL, 3}, CAW_EINVAL},
      {CAW_STR("a"), {NULL, 3}, CAW_EINVAL},
      {CAW_STR("a"), {NULL, 0}, 0},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    int rc = rpc_metadata_check(cases[i].key, cases[i].value);
    if (rc != cases[i].rc)
      fail_msg("case %zu, %.*s: %s", i, CAW_STR_ARG(cases[i].key), caw_code_name(rc));
  }
}

static int received(rpc_metadata *m, caw_arena *arena, caw_str name, caw_str value) {
  const h2_field f = {name, value, (uint8_t)h2_token_of(name), 0};
  return rpc_metadata_add_received(m, arena, &f);
}

static void print(const rpc_metadata *m, char out[256]) {
  size_t at = 0;
  out[0] = '\0';
  for (size_t i = 0; i < m->list.len; i++)
    at += (size_t)snprintf(out + at, 256 - at, "%.*s=%.*s;", CAW_STR_ARG(m->list.entries[i].key),
                           CAW_STR_ARG(m->list.entries[i].value));
}

static void what_is_kept(void **state) {
  (void)state;
  static const struct {
    const char *name, *value;
    int rc;
    const char *kept;
  } cases[] = {
      {"x", "1", 0, "x=1;"},
      {"x", "", 0, "x=;"},
      {"user-agent", "me", 0, "user-agent=me;"},
      {"grpc-timeout", "1S", 0, ""},
      {"grpc-anything-new", "1", 0, ""},
      {"content-type", "x", 0, ""},
      {"content-length", "1", 0, ""},
      {"te", "trailers", 0, ""},
      {"x", "\xc3\xa4", 0, ""}, /* not gRPC's: thrown away */
      {"x!", "1", 0, ""},       /* legal in HTTP only */
      {"x-bin", "YWJj", 0, "x-bin=abc;"},
      {"x-bin", "YWI=", 0, "x-bin=ab;"},
      {"x-bin", "YWI", 0, "x-bin=ab;"},
      {"x-bin", "", 0, "x-bin=;"},
      {"x-bin", "YQ,Yg==,Yw", 0, "x-bin=a;x-bin=b;x-bin=c;"}, /* several, joined */
      {"x-bin", "YQ,,Yw", 0, "x-bin=a;x-bin=;x-bin=c;"},
      {"x-bin", "Y", CAW_EMALFORMED, ""},
      {"x-bin", "YQ,!", CAW_EMALFORMED, "x-bin=a;"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char text[256];
    rpc_metadata m = {{NULL, 0}, 0};
    caw_arena *arena = caw_arena_new(0);
    int rc = received(&m, arena, caw_str_from(cases[i].name), caw_str_from(cases[i].value));
    assert_int_equal(rc, cases[i].rc);
    print(&m, text);
    assert_string_equal(text, cases[i].kept);
    caw_arena_free(arena);
  }
}

/* What goes out and comes in again is the same; the strings are copies. */
static void there_and_back(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  rpc_metadata out = {{NULL, 0}, 0}, in = {{NULL, 0}, 0};
  for (int i = 0; i < 100; i++) {
    char key[16], value[64];
    snprintf(key, sizeof(key), i % 2 ? "k%d-bin" : "k%d", i % 10);
    memset(value, i % 2 ? i + 1 : 'v', sizeof(value));
    assert_int_equal(rpc_metadata_add(&out, arena, caw_str_from(key),
                                      caw_str_of(value, (size_t)i % sizeof(value))),
                     0);
  }
  assert_int_equal(out.list.len, 100);
  for (size_t i = 0; i < 100; i++) {
    const caw_metadata_entry *e = &out.list.entries[i];
    caw_str wire = rpc_metadata_wire_value(arena, e);
    assert_non_null(wire.data);
    assert_int_equal(received(&in, arena, e->key, wire), 0);
  }
  assert_int_equal(in.list.len, 100);
  for (size_t i = 0; i < 100; i++) {
    assert_true(caw_str_eq(in.list.entries[i].key, out.list.entries[i].key));
    assert_true(caw_str_eq(in.list.entries[i].value, out.list.entries[i].value));
    assert_int_equal(in.list.entries[i].value.len, i % 64);
  }
  caw_arena_free(arena);
}

static void looked_up(void **state) {
  (void)state;
  static const caw_metadata_entry entries[] = {
      {CAW_STR("a"), CAW_STR("1")}, {CAW_STR("b"), CAW_STR("2")},  {CAW_STR("a"), CAW_STR("3")},
      {CAW_STR("a"), CAW_STR("")},  {CAW_STR("ab"), CAW_STR("5")},
  };
  const caw_metadata m = {entries, 5}, none = {NULL, 0};
  size_t at = 0;
  caw_str value = CAW_STR("before");
  assert_true(caw_metadata_find(&m, "a", &at, &value) && caw_str_is(value, "1") && at == 1);
  assert_true(caw_metadata_find(&m, "a", &at, &value) && caw_str_is(value, "3") && at == 3);
  assert_true(caw_metadata_find(&m, "a", &at, &value) && caw_str_is(value, "") && at == 4);
  value = caw_str_from("before");
  assert_false(caw_metadata_find(&m, "a", &at, &value));
  assert_true(caw_str_is(value, "before"));
  assert_false(caw_metadata_find(&m, "a", &at, &value)); /* past the end */
  assert_true(caw_str_is(caw_metadata_get(&m, "ab"), "5"));
  assert_null(caw_metadata_get(&m, "A").data);
  assert_null(caw_metadata_get(&m, "").data);
  assert_null(caw_metadata_get(&none, "a").data);
}

/* At every allocation: an error, and the list is as it was before. */
static void memory_runs_out(void **state) {
  (void)state;
  static const struct {
    const char *name, *value;
  } fields[] = {{"x", "1"}, {"x-bin", "YWJj"}, {"x-bin", "YQ,Yg"}};
  for (size_t f = 0; f < 3; f++) {
    int rc;
    long n = 0;
    do {
      rpc_metadata m = {{NULL, 0}, 0};
      caw_arena *arena = caw_arena_new(16); /* a block for nearly each piece */
      fail_at(++n);
      rc = received(&m, arena, caw_str_from(fields[f].name), caw_str_from(fields[f].value));
      if (rc) assert_int_equal(rc, CAW_ENOMEM);
      assert_int_equal(rc != 0, failing.failed);
      fail_at(0);
      if (rc) {
        size_t before = m.list.len;
        assert_int_equal(rpc_metadata_add(&m, arena, caw_str_from("y"), caw_str_from("z")), 0);
        assert_int_equal(m.list.len, before + 1);
        assert_true(caw_str_is(caw_metadata_get(&m.list, "y"), "z"));
      }
      caw_arena_free(arena);
    } while (rc);
    assert_true(n > 2);
  }
  const caw_metadata_entry e = {CAW_STR("x-bin"), CAW_STR("a value of some bytes")};
  caw_arena *arena = caw_arena_new(16);
  for (long n = 1; n <= 2; n++) {
    fail_at(n);
    assert_null(rpc_metadata_wire_value(arena, &e).data);
  }
  fail_at(0);
  assert_non_null(rpc_metadata_wire_value(arena, &e).data);
  caw_arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {failing_test(what_may_be_sent), failing_test(what_is_kept),
                                     failing_test(there_and_back), failing_test(looked_up),
                                     failing_test(memory_runs_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
