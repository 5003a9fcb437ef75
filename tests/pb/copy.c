/* Equality, copying and merging. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "google/protobuf/struct.caw.h"
#include "legacy.caw.h"
#include "messages.h"

#include <caw/json.h>
#include <caw/status.h>
#include <math.h>
#include <stdlib.h>

#define E &caw_test_everything_type
#define L &caw_test_legacy_legacy_type
#define V &google_protobuf_value_type

static bool equal(const caw_type *type, const void *a, const void *b) {
  bool forth, back;
  assert_int_equal(caw_pb_equal(&forth, type, a, b), 0);
  assert_int_equal(caw_pb_equal(&back, type, b, a), 0);
  assert_int_equal(forth, back);
  return forth;
}

static void *read_json(caw_arena *arena, const caw_type *type, const char *text) {
  void *m = caw_arena_alloc(arena, type->size);
  caw_json_error e;
  if (caw_json_read(m, arena, type, caw_str_from(text), NULL, &e)) fail_msg("%s: %s", text, e.text);
  return m;
}

/* -- equality ------------------------------------------------------------ */

static const struct {
  const char *a, *b;
  bool same;
} pairs[] = {
    {"{}", "{}", true},
    {"{\"fInt32\":1}", "{\"fInt32\":1}", true},
    {"{\"fInt32\":1}", "{\"fInt32\":2}", false},
    {"{\"fInt32\":1}", "{}", false},
    {"{\"fInt32\":0}", "{}", true},
    {"{\"oInt32\":0}", "{}", false},
    {"{\"fDouble\":\"NaN\"}", "{\"fDouble\":\"NaN\"}", true},
    {"{\"fDouble\":\"NaN\"}", "{\"fDouble\":\"Infinity\"}", false},
    {"{\"fFloat\":\"NaN\"}", "{\"fFloat\":\"NaN\"}", true},
    {"{\"oDouble\":0}", "{\"oDouble\":-0.0}", false},
    {"{\"fString\":\"a\"}", "{\"fString\":\"b\"}", false},
    {"{\"fString\":\"a\"}", "{\"fString\":\"ab\"}", false},
    {"{\"fBool\":true}", "{\"fBool\":false}", false},
    {"{\"fInner\":{}}", "{}", false},
    {"{\"fInner\":{\"id\":1}}", "{\"fInner\":{\"id\":1}}", true},
    {"{\"fInner\":{\"id\":1}}", "{\"fInner\":{}}", false},
    {"{\"rInt32\":[1,2]}", "{\"rInt32\":[1,2]}", true},
    {"{\"rInt32\":[1,2]}", "{\"rInt32\":[2,1]}", false},
    {"{\"rInt32\":[1,2]}", "{\"rInt32\":[1]}", false},
    {"{\"rInner\":[{},{\"id\":1}]}", "{\"rInner\":[{},{\"id\":2}]}", false},
    {"{\"kInt32\":0}", "{\"kBool\":false}", false},
    {"{\"kInt32\":0}", "{\"kInt32\":0}", true},
    {"{\"kInt32\":0}", "{}", false},
    {"{\"mInt32\":{\"1\":1,\"2\":2,\"3\":3}}", "{\"mInt32\":{\"3\":3,\"1\":1,\"2\":2}}", true},
    {"{\"mInt32\":{\"1\":1,\"2\":2}}", "{\"mInt32\":{\"2\":1,\"1\":2}}", false},
    {"{\"mInt32\":{\"1\":1,\"2\":2}}", "{\"mInt32\":{\"2\":2,\"3\":1}}", false},
    {"{\"mString\":{\"a\":\"1\",\"bb\":\"2\"}}", "{\"mString\":{\"bb\":\"2\",\"a\":\"1\"}}", true},
    {"{\"mInner\":{\"a\":{\"id\":1},\"b\":{}}}", "{\"mInner\":{\"b\":{},\"a\":{\"id\":1}}}", true},
    {"{\"mInner\":{\"a\":{\"id\":1},\"b\":{}}}", "{\"mInner\":{\"b\":{\"id\":1},\"a\":{}}}", false},
    {"{\"mSelf\":{\"1\":{\"mInt32\":{\"1\":1,\"2\":2}}}}",
     "{\"mSelf\":{\"1\":{\"mInt32\":{\"2\":2,\"1\":1}}}}", true},
    {"{\"mBool\":{\"true\":1,\"false\":2}}", "{\"mBool\":{\"false\":2,\"true\":1}}", true},
};

static void test_pairs(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
    caw_arena *arena = caw_arena_new(0);
    void *a = read_json(arena, E, pairs[i].a), *b = read_json(arena, E, pairs[i].b);
    if (equal(E, a, b) != pairs[i].same) fail_msg("%s and %s", pairs[i].a, pairs[i].b);
    assert_true(equal(E, a, a));
    caw_arena_free(arena);
  }
}

/* A message that is not allocated is an empty one where it must be there. */
static void test_null_messages(void **state) {
  (void)state;
  caw_test_everything_inner empty = {0}, full = {.id = 1};
  caw_test_everything a = {.kind_case = CAW_TEST_EVERYTHING_KIND_CASE_K_INNER}, b = a, c = a;
  b.kind.k_inner = &empty;
  c.kind.k_inner = &full;
  assert_true(equal(E, &a, &a));
  assert_true(equal(E, &a, &b));
  assert_false(equal(E, &a, &c));
}

/* NaNs are equal whatever their bits are, and no other numbers are. */
static void test_nan(void **state) {
  (void)state;
  static const uint32_t floats[] = {0x7fc00000, 0xffc00001, 0x7f800001, 0x7f800000, 0xff800000, 0};
  static const uint64_t doubles[] = {0x7ff8000000000000, 0xfff8000000000001, 0x7ff0000000000001,
                                     0x7ff0000000000000, 0xfff0000000000000, 0};
  for (int i = 0; i < 6; i++) {
    for (int k = 0; k < 6; k++) {
      caw_test_everything a = {.has_o_float = true}, b = a, c = {.has_o_double = true}, d = c;
      memcpy(&a.o_float, &floats[i], 4);
      memcpy(&b.o_float, &floats[k], 4);
      memcpy(&c.o_double, &doubles[i], 8);
      memcpy(&d.o_double, &doubles[k], 8);
      assert_int_equal(equal(E, &a, &b), i == k || (i < 3 && k < 3));
      assert_int_equal(equal(E, &c, &d), i == k || (i < 3 && k < 3));
    }
  }
}

/* Unknown fields are equal whatever pieces they are in. */
static void test_unknown(void **state) {
  (void)state;
  static const uint8_t bytes[] = "\xc0\x0c\x01\xc8\x0c\x02\xd0\x0c\x03";
  caw_pb_unknown whole = {&whole, bytes, 9}, one[3], shorter = {&shorter, bytes, 6};
  for (int i = 0; i < 3; i++) one[i] = (caw_pb_unknown){&one[(i + 1) % 3], bytes + 3 * i, 3};
  caw_pb_unknown odd[3] = {{&odd[1], bytes, 2}, {&odd[2], bytes, 0}, {&odd[0], bytes + 2, 7}};
  caw_test_everything none = {0}, a = {.caw_unknown = &whole}, b = {.caw_unknown = &one[2]};
  caw_test_everything c = {.caw_unknown = &odd[2]}, d = {.caw_unknown = &shorter};
  assert_true(equal(E, &a, &b));
  assert_true(equal(E, &a, &c));
  assert_true(equal(E, &b, &c));
  assert_false(equal(E, &a, &d));
  assert_false(equal(E, &b, &d));
  assert_false(equal(E, &c, &d));
  assert_false(equal(E, &a, &none));
  caw_arena *arena = caw_arena_new(0);
  caw_test_everything copy;
  assert_int_equal(caw_pb_copy(&copy, arena, E, &c), 0);
  assert_true(equal(E, &a, &copy));
  assert_int_equal(caw_pb_merge(&copy, arena, E, &b), 0);
  caw_str out;
  assert_int_equal(caw_pb_encode(&out, arena, E, &copy), 0);
  assert_int_equal(out.len, 18);
  assert_memory_equal(out.data, bytes, 9);
  assert_memory_equal(out.data + 9, bytes, 9);
  caw_arena_free(arena);
}

/* -- random messages ----------------------------------------------------- */

/* Turns the entries of all maps around. */
static void shuffle_maps(const caw_pb_message *t, uint8_t *m);

static void reverse(uint8_t *items, size_t len, size_t size) {
  uint8_t *t = malloc(size);
  for (size_t i = 0; i < len / 2; i++) {
    uint8_t *a = items + i * size, *b = items + (len - 1 - i) * size;
    memcpy(t, a, size);
    memcpy(a, b, size);
    memcpy(b, t, size);
  }
  free(t);
}

static void shuffle_field(const caw_pb_field *f, uint8_t *at) {
  const caw_pb_message *sub = caw_pb_table(f->sub);
  struct {
    uint8_t *items;
    size_t len;
  } a;
  if (!(f->flags & CAW_PB_REPEATED)) {
    uint8_t *p;
    memcpy(&p, at, sizeof(p));
    if (p) shuffle_maps(sub, p);
    return;
  }
  memcpy(&a, at, sizeof(a));
  for (size_t i = 0; i < a.len; i++) shuffle_maps(sub, a.items + i * sub->size);
  if (f->flags & CAW_PB_MAP) reverse(a.items, a.len, sub->size);
}

static void shuffle_maps(const caw_pb_message *t, uint8_t *m) {
  for (size_t i = 0; i < t->field_count; i++) {
    const caw_pb_field *f = &t->fields[i];
    uint32_t number = f->tag >> 3;
    if (f->type != CAW_PB_MESSAGE && f->type != CAW_PB_GROUP) continue;
    if (f->flags & CAW_PB_ONEOF) memcpy(&number, m + f->has, 4);
    if (number == f->tag >> 3) shuffle_field(f, m + f->offset);
  }
}

/* A copy is equal, lives without its source, and stays equal when its maps are
 * turned around; a message with one bit changed is another one. */
static void test_random_copies(void **state) {
  (void)state;
  rng r = {3};
  for (int i = 0; i < 2000; i++) {
    const caw_type *type = i % 2 ? L : E;
    caw_arena *arena = caw_arena_new(0), *other = caw_arena_new(0);
    void *m = caw_arena_calloc(other, 1, type->size), *copy = malloc(type->size);
    caw_str before, after;
    messages_fill(&r, caw_pb_table(type), m, other, 3);
    assert_int_equal(caw_pb_encode(&before, arena, type, m), 0);
    assert_int_equal(caw_pb_copy(copy, arena, type, m), 0);
    assert_true(equal(type, m, copy));
    shuffle_maps(caw_pb_table(type), m);
    assert_true(equal(type, m, copy));
    caw_arena_free(other); /* the sanitizer sees what is borrowed */
    assert_int_equal(caw_pb_encode(&after, arena, type, copy), 0);
    assert_true(caw_str_eq(before, after));
    free(copy);
    caw_arena_free(arena);
  }
}

/* Merging two messages is decoding the bytes of one behind those of the other. */
static void test_random_merges(void **state) {
  (void)state;
  rng r = {4};
  for (int i = 0; i < 2000; i++) {
    const caw_type *type = i % 2 ? L : E;
    caw_arena *arena = caw_arena_new(0), *other = caw_arena_new(0);
    void *m[3];
    caw_str bytes[2];
    for (int k = 0; k < 3; k++) m[k] = caw_arena_calloc(k == 1 ? other : arena, 1, type->size);
    for (int k = 0; k < 2; k++) {
      messages_fill(&r, caw_pb_table(type), m[k], k ? other : arena, 3);
      assert_int_equal(caw_pb_encode(&bytes[k], arena, type, m[k]), 0);
    }
    size_t len = bytes[0].len + bytes[1].len;
    char *both = caw_arena_alloc(arena, len);
    if (bytes[0].len) memcpy(both, bytes[0].data, bytes[0].len);
    if (bytes[1].len) memcpy(both + bytes[0].len, bytes[1].data, bytes[1].len);
    assert_int_equal(caw_pb_decode_bounded(m[2], arena, type, both, len, SIZE_MAX), 0);
    assert_int_equal(caw_pb_merge(m[0], arena, type, m[1]), 0);
    caw_arena_free(other);
    if (!equal(type, m[0], m[2])) fail_msg("message %d", i);
    caw_arena_free(arena);
  }
}

static const struct {
  const char *to, *from, *want;
} merges[] = {
    {"{\"fInt32\":1,\"fBool\":true}", "{\"fInt32\":2}", "{\"fInt32\":2,\"fBool\":true}"},
    {"{\"oInt32\":1}", "{\"oInt32\":0}", "{\"oInt32\":0}"},
    {"{\"rInt32\":[1]}", "{\"rInt32\":[1,2]}", "{\"rInt32\":[1,1,2]}"},
    {"{\"fInner\":{\"id\":1}}", "{\"fInner\":{\"name\":\"a\"}}",
     "{\"fInner\":{\"id\":1,\"name\":\"a\"}}"},
    {"{\"kInt32\":1}", "{\"kString\":\"a\"}", "{\"kString\":\"a\"}"},
    {"{\"kInner\":{\"id\":1}}", "{\"kInner\":{\"name\":\"a\"}}",
     "{\"kInner\":{\"id\":1,\"name\":\"a\"}}"},
    {"{\"kString\":\"a\"}", "{\"kInner\":{\"name\":\"a\"}}", "{\"kInner\":{\"name\":\"a\"}}"},
    {"{\"kInner\":{\"id\":1}}", "{\"kSelf\":{\"fInt32\":1}}", "{\"kSelf\":{\"fInt32\":1}}"},
    {"{\"mInner\":{\"a\":{\"id\":1},\"b\":{}}}", "{\"mInner\":{\"a\":{\"name\":\"x\"},\"c\":{}}}",
     "{\"mInner\":{\"b\":{},\"a\":{\"name\":\"x\"},\"c\":{}}}"},
};

static void test_merges(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(merges) / sizeof(merges[0]); i++) {
    caw_arena *arena = caw_arena_new(0);
    void *to = read_json(arena, E, merges[i].to), *from = read_json(arena, E, merges[i].from);
    caw_str out;
    assert_int_equal(caw_pb_merge(to, arena, E, from), 0);
    assert_int_equal(caw_json_write(&out, arena, E, to, NULL, NULL), 0);
    assert_string_equal(out.data, merges[i].want);
    caw_arena_free(arena);
  }
}

/* -- limits -------------------------------------------------------------- */

/* A message that contains itself ends at the limit of depth. */
static void test_cycle(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_test_everything a = {0}, b = {0}, copy;
  bool same = true;
  a.f_self = &a;
  b.f_self = &b;
  assert_int_equal(caw_pb_equal(&same, E, &a, &b), CAW_EDEPTH);
  assert_false(same);
  assert_int_equal(caw_pb_copy(&copy, arena, E, &a), CAW_EDEPTH);
  assert_null(copy.f_self);
  caw_str out;
  assert_int_equal(caw_pb_print(&out, arena, E, &a), CAW_EDEPTH);
  assert_int_equal(caw_json_write(&out, arena, E, &a, NULL, NULL), CAW_EDEPTH);
  caw_arena_free(arena);
}

static void test_arguments(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  static const caw_codec other = {.size = sizeof(other)};
  const caw_type foreign = {&other, NULL, sizeof(caw_str)};
  caw_str a = CAW_STR("a"), b;
  bool same;
  assert_int_equal(caw_pb_equal(&same, &foreign, &a, &a), CAW_EINVAL);
  assert_int_equal(caw_pb_copy(&b, arena, &foreign, &a), CAW_EINVAL);
  assert_int_equal(caw_pb_merge(&b, arena, &foreign, &a), CAW_EINVAL);
  assert_int_equal(caw_pb_print(&b, arena, &foreign, &a), CAW_EINVAL);
  assert_int_equal(caw_json_write(&b, arena, &foreign, &a, NULL, NULL), CAW_EINVAL);
  caw_test_everything broken = {.r_int32 = {NULL, 1}}, copy;
  assert_int_equal(caw_pb_equal(&same, E, &broken, &broken), CAW_EINVAL);
  assert_int_equal(caw_pb_copy(&copy, arena, E, &broken), CAW_EINVAL);
  assert_int_equal(caw_pb_print(&b, arena, E, &broken), CAW_EINVAL);
  assert_int_equal(caw_json_write(&b, arena, E, &broken, NULL, NULL), CAW_EINVAL);
  caw_arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pairs),         cmocka_unit_test(test_nan),
      cmocka_unit_test(test_null_messages), cmocka_unit_test(test_unknown),
      cmocka_unit_test(test_random_copies), cmocka_unit_test(test_random_merges),
      cmocka_unit_test(test_merges),        cmocka_unit_test(test_cycle),
      cmocka_unit_test(test_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
