/* Encoding: what is sent and what is not, and messages that cannot be sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "hex.h"
#include "legacy.caw.h"
#include "messages.h"
#include <caw/alloc.h>
#include <caw/status.h>

static void expect(const caw_type *type, const void *m, const char *want) {
  caw_arena *arena = caw_arena_new(0);
  static char got[4096];
  caw_str out;
  assert_int_equal(caw_pb_encode(&out, arena, type, m), 0);
  assert_true(out.len < sizeof(got) / 2);
  hex_write(got, out);
  assert_string_equal(got, want);
  caw_arena_free(arena);
}

static void expect_error(const void *m, int rc) {
  caw_arena *arena = caw_arena_new(0);
  caw_str out = CAW_STR("x");
  assert_int_equal(caw_pb_encode(&out, arena, &caw_test_everything_type, m), rc);
  assert_int_equal(out.len, 0);
  assert_int_equal(caw_arena_used(arena), 0);
  caw_arena_free(arena);
}

static void test_presence(void **state) {
  (void)state;
  caw_test_everything m = {0};
  expect(&caw_test_everything_type, &m, "");
  m.has_o_int32 = m.has_o_string = true;
  expect(&caw_test_everything_type, &m, "c80100ea0100");
  m = (caw_test_everything){.o_int32 = 5, .f_double = -0.0};
  expect(&caw_test_everything_type, &m, "090000000000000080");
  m = (caw_test_everything){.kind_case = CAW_TEST_EVERYTHING_KIND_CASE_K_STRING};
  expect(&caw_test_everything_type, &m, "ea0500");
  /* A oneof's message that is set to nothing is an empty one. */
  m = (caw_test_everything){.kind_case = CAW_TEST_EVERYTHING_KIND_CASE_K_INNER};
  expect(&caw_test_everything_type, &m, "8a0600");
  m = (caw_test_everything){.f_bool = true, .f_color = -1, .f_sint32 = -1, .f_uint32 = UINT32_MAX};
  expect(&caw_test_everything_type, &m, "400158ffffffff0f70018001ffffffffffffffffff01");
}

static void test_lengths(void **state) {
  (void)state;
  /* Strings around the lengths at which the length takes a byte more. */
  static const size_t lens[] = {0, 1, 127, 128, 16383, 16384, 2097151, 2097152};
  char *text = malloc(2097152);
  memset(text, 'a', 2097152);
  for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
    caw_arena *arena = caw_arena_new(0);
    caw_test_everything inner = {.f_string = {text, lens[i]}}, m = {.f_self = &inner}, back;
    caw_str out;
    assert_int_equal(caw_pb_encode(&out, arena, &caw_test_everything_type, &m), 0);
    assert_int_equal(caw_pb_decode(&back, arena, &caw_test_everything_type, out.data, out.len), 0);
    assert_int_equal(back.f_self->f_string.len, lens[i]);
    caw_arena_free(arena);
  }
  free(text);
}

static void test_errors(void **state) {
  (void)state;
  caw_test_everything m = {.f_string = CAW_STR("\xff")};
  expect_error(&m, CAW_EUTF8);
  m = (caw_test_everything){.f_string = {NULL, 1}};
  expect_error(&m, CAW_EINVAL);
  m = (caw_test_everything){.r_int32.len = 1};
  expect_error(&m, CAW_EINVAL);
  caw_test_everything_m_string_entry entry = {.key = CAW_STR("\xc0\x80")};
  m = (caw_test_everything){.m_string = {&entry, 1}};
  expect_error(&m, CAW_EUTF8);
  m = (caw_test_everything){.f_bytes = CAW_STR("\xff")};
  expect(&caw_test_everything_type, &m, "5201ff");
}

/* 2 GiB is protobuf's limit. No byte is read to find out. */
static void test_too_big(void **state) {
  (void)state;
  caw_str huge = {"x", (size_t)1 << 30}, two[2] = {huge, huge};
  caw_test_everything m = {.r_bytes = {two, 2}}, outer = {.f_self = &m};
  expect_error(&m, CAW_ETOOBIG);
  expect_error(&outer, CAW_ETOOBIG);
  huge.len = SIZE_MAX;
  m = (caw_test_everything){.f_bytes = huge};
  expect_error(&m, CAW_ETOOBIG);
}

static void test_depth(void **state) {
  (void)state;
  static caw_test_everything all[CAW_PB_DEPTH + 2];
  caw_arena *arena = caw_arena_new(0);
  caw_str out;
  for (int i = 0; i < CAW_PB_DEPTH + 1; i++) all[i].f_self = &all[i + 1];
  expect_error(&all[0], CAW_EDEPTH);
  assert_int_equal(caw_pb_encode(&out, arena, &caw_test_everything_type, &all[1]), 0);
  /* A message that is inside itself. */
  caw_test_everything cycle = {0};
  cycle.f_self = &cycle;
  expect_error(&cycle, CAW_EDEPTH);
  cycle = (caw_test_everything){.kind_case = CAW_TEST_EVERYTHING_KIND_CASE_K_SELF};
  cycle.kind.k_self = &cycle;
  expect_error(&cycle, CAW_EDEPTH);
  caw_test_everything_m_self_entry entry = {1, &cycle};
  cycle = (caw_test_everything){.m_self = {&entry, 1}};
  expect_error(&cycle, CAW_EDEPTH);
  /* encode has the same limit, for callers that skip measure. */
  uint8_t room[64];
  assert_int_equal(caw_pb_codec.encode(caw_test_everything_type.desc, &cycle, room, sizeof(room)),
                   CAW_EDEPTH);
  caw_arena_free(arena);
}

/* A message that has changed after it was measured never writes outside. */
static void test_changed(void **state) {
  (void)state;
  rng r = {11};
  for (int i = 0; i < 300; i++) {
    caw_arena *arena = caw_arena_new(0);
    const caw_type *type = i % 2 ? &caw_test_legacy_legacy_type : &caw_test_everything_type;
    void *m = caw_arena_calloc(arena, 1, type->size);
    size_t len = 0;
    messages_fill(&r, caw_pb_table(type), m, arena, 2);
    assert_int_equal(type->codec->measure(type->desc, m, &len), 0);
    size_t step = len > 40 ? len / 40 : 1;
    for (size_t n = 0; n < len; n += step) {
      uint8_t *room = malloc(n ? n : 1);
      assert_int_equal(type->codec->encode(type->desc, m, room, n), CAW_EINVAL);
      free(room);
    }
    uint8_t *room = malloc(len + 1);
    assert_int_equal(type->codec->encode(type->desc, m, room, len), 0);
    assert_int_equal(type->codec->encode(type->desc, m, room, len + 1), CAW_EINVAL);
    free(room);
    caw_arena_free(arena);
  }
}

/* The same with unknown fields, which are written first and in one go. */
static void test_changed_unknown(void **state) {
  (void)state;
  static const char in[] = "\xc0\x0c\x01\x28\x01\xc0\x0c\x02";
  const caw_type *type = &caw_test_narrow_type;
  caw_arena *arena = caw_arena_new(0);
  caw_test_narrow m;
  assert_int_equal(caw_pb_decode(&m, arena, type, in, 8), 0);
  for (size_t n = 0; n < 8; n++) {
    uint8_t *room = malloc(n ? n : 1);
    assert_int_equal(type->codec->encode(type->desc, &m, room, n), CAW_EINVAL);
    free(room);
  }
  expect(type, &m, "2801c00c01c00c02");
  m.caw_unknown = NULL;
  expect(type, &m, "2801");
  caw_arena_free(arena);
}

/* Another codec's type has no table, but is decoded by its codec. */
static int other_decode(const void *desc, void *message, const uint8_t *data, size_t len,
                        caw_arena *arena) {
  (void)arena;
  *(size_t *)message = len;
  return desc && data ? CAW_EMALFORMED : 0;
}

static void test_other_codec(void **state) {
  (void)state;
  const caw_codec codec = {sizeof(codec), "other", NULL, NULL, other_decode};
  const caw_type type = {&codec, NULL, sizeof(size_t)};
  size_t message = 0;
  assert_int_equal(caw_pb_decode_bounded(&message, NULL, &type, "abc", 3, 1), CAW_EINVAL);
  assert_int_equal(caw_pb_decode(&message, NULL, &type, "abc", 3), 0);
  assert_int_equal(message, 3);
}

/* Random messages come back the same, bit for bit. */
static void test_round_trips(void **state) {
  (void)state;
  rng r = {3};
  for (int i = 0; i < 3000; i++) {
    caw_arena *arena = caw_arena_new(0);
    const caw_type *type = i % 2 ? &caw_test_legacy_legacy_type : &caw_test_everything_type;
    void *m = caw_arena_calloc(arena, 1, type->size);
    void *back = caw_arena_alloc(arena, type->size);
    caw_str first, second;
    messages_fill(&r, caw_pb_table(type), m, arena, 4);
    assert_int_equal(caw_pb_encode(&first, arena, type, m), 0);
    int rc = caw_pb_decode(back, arena, type, first.data, first.len);
    if (rc) fail_msg("message %d: %s", i, caw_code_name(rc));
    assert_int_equal(caw_pb_encode(&second, arena, type, back), 0);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    caw_arena_free(arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_presence),    cmocka_unit_test(test_lengths),
      cmocka_unit_test(test_errors),      cmocka_unit_test(test_too_big),
      cmocka_unit_test(test_depth),       cmocka_unit_test(test_changed),
      cmocka_unit_test(test_round_trips), cmocka_unit_test(test_changed_unknown),
      cmocka_unit_test(test_other_codec),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
