/* Maps whose keys come more than once: the last entry of each stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "messages.h"
#include <caw/alloc.h>
#include <caw/status.h>
#include <stdlib.h>

#define ENTRIES 3000

/* A message whose map has `n` random entries with keys below `keys`, and what
 * each key's last value is. */
static caw_str with_entries(caw_arena *arena, rng *r, size_t n, uint64_t keys, int32_t *last) {
  caw_test_everything m = {0};
  caw_str out;
  m.m_int32.items = caw_arena_calloc(arena, n, sizeof(*m.m_int32.items));
  m.m_int32.len = n;
  for (size_t i = 0; i < n; i++) {
    int32_t key = (int32_t)rng_below(r, keys);
    m.m_int32.items[i].key = key;
    m.m_int32.items[i].value = last[key] = (int32_t)i + 1;
  }
  assert_int_equal(caw_pb_encode(&out, arena, &caw_test_everything_type, &m), 0);
  return out;
}

static void test_against_a_model(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 2, 3, 4, 5, 8, 9, 17, 100, 1023, 1024, 1025, ENTRIES};
  rng r = {7};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    for (uint64_t keys = 1; keys <= ENTRIES; keys *= 3) {
      caw_arena *arena = caw_arena_new(0);
      int32_t *last = caw_arena_calloc(arena, ENTRIES, sizeof(int32_t));
      caw_str in = with_entries(arena, &r, sizes[i], keys, last);
      caw_test_everything m;
      assert_int_equal(caw_pb_decode(&m, arena, &caw_test_everything_type, in.data, in.len), 0);
      int32_t before = 0;
      for (size_t k = 0; k < m.m_int32.len; k++) {
        int32_t key = m.m_int32.items[k].key, value = m.m_int32.items[k].value;
        assert_int_equal(value, last[key]);
        assert_true(value > before); /* in the order of the wire */
        before = value;
        last[key] = 0;
      }
      for (uint64_t k = 0; k < keys; k++) assert_int_equal(last[k], 0);
      caw_arena_free(arena);
    }
  }
}

/* Strings: same length, shared beginnings, empty. */
static void test_strings(void **state) {
  (void)state;
  static const char in[] = "\x92\x05\x06\x0a\x01"
                           "a\x12\x01"
                           "1\x92\x05\x05\x0a\x00\x12\x01"
                           "2\x92\x05\x07\x0a\x02"
                           "ab\x12\x01"
                           "3\x92\x05\x06\x0a\x01"
                           "a\x12\x01"
                           "4\x92\x05\x03\x12\x01"
                           "5";
  caw_arena *arena = caw_arena_new(0);
  caw_test_everything m;
  assert_int_equal(caw_pb_decode(&m, arena, &caw_test_everything_type, in, sizeof(in) - 1), 0);
  assert_int_equal(m.m_string.len, 3);
  assert_true(caw_str_is(m.m_string.items[0].key, "ab"));
  assert_true(caw_str_is(m.m_string.items[1].key, "a"));
  assert_true(caw_str_is(m.m_string.items[1].value, "4"));
  assert_true(caw_str_is(m.m_string.items[2].key, ""));
  assert_true(caw_str_is(m.m_string.items[2].value, "5"));
  caw_arena_free(arena);
}

/* A map below repeated messages, a map's message, a oneof and a single one. */
static void test_below(void **state) {
  (void)state;
  static const uint8_t twice[] = {0xba, 4, 4, 8, 1, 16, 1, 0xba, 4, 4, 8, 1, 16, 2};
  static const uint8_t heads[][6] = {
      {0x92, 0x01, 14}, {0xd2, 0x03, 14}, {0x92, 0x06, 14}, {0xa2, 0x05, 16, 18, 14}};
  static const size_t lens[] = {3, 3, 3, 5};
  uint8_t in[32];
  for (size_t i = 0; i < 4; i++) {
    caw_arena *arena = caw_arena_new(0);
    caw_test_everything m;
    memcpy(in, heads[i], lens[i]);
    memcpy(in + lens[i], twice, sizeof(twice));
    assert_int_equal(
        caw_pb_decode(&m, arena, &caw_test_everything_type, in, lens[i] + sizeof(twice)), 0);
    const caw_test_everything *sub = i == 0   ? m.f_self
                                     : i == 1 ? m.r_self.items
                                     : i == 2 ? m.kind.k_self
                                              : m.m_self.items[0].value;
    assert_int_equal(sub->m_int32.len, 1);
    assert_int_equal(sub->m_int32.items[0].value, 2);
    caw_arena_free(arena);
  }
}

/* A map that comes in 100,000 pieces of one message costs linear time: without
 * that this test would not end. */
static void test_many_pieces(void **state) {
  (void)state;
  enum { PIECES = 100000, PIECE = 10 };
  uint8_t *in = malloc(PIECES * PIECE), *p = in;
  for (int i = 0; i < PIECES; i++) {
    const uint8_t piece[PIECE] = {0x92, 0x01, 7, 0xba, 4, 4, 8, (uint8_t)(i % 100), 16, 1};
    memcpy(p, piece, PIECE);
    p += PIECE;
  }
  caw_arena *arena = caw_arena_new(0);
  caw_test_everything m;
  assert_int_equal(caw_pb_decode(&m, arena, &caw_test_everything_type, in, PIECES * PIECE), 0);
  assert_int_equal(m.f_self->m_int32.len, 100);
  caw_arena_free(arena);
  free(in);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_a_model),
      cmocka_unit_test(test_strings),
      cmocka_unit_test(test_below),
      cmocka_unit_test(test_many_pieces),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
