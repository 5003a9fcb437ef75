/* Arenas: alignment, growth, limits, reset, and memory that runs out. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/arena.h"
#include "failing.h"

#include <stdalign.h>
#include <stdio.h>

static bool aligned(const void *p) {
  return (uintptr_t)p % alignof(max_align_t) == 0;
}

/* Pieces of many sizes: aligned, apart from each other, and as they were
 * written. */
static void pieces_do_not_meet(void **state) {
  (void)state;
  static const size_t blocks[] = {0, 1, 16, 100, 5000};
  static const size_t sizes[] = {1, 15, 16, 17, 100, 600, 1024, 1025, 5000, 70000, 0};
  enum { N = 300, SIZES = sizeof(sizes) / sizeof(sizes[0]) };
  for (size_t b = 0; b < sizeof(blocks) / sizeof(blocks[0]); b++) {
    caw_arena *a = caw_arena_new(blocks[b]);
    uint8_t *pieces[N];
    size_t used = 0;
    assert_int_equal(failing.live, 1); /* no block before it is needed */
    for (size_t i = 0; i < N; i++) {
      size_t size = sizes[i % SIZES];
      pieces[i] = caw_arena_alloc(a, size);
      assert_non_null(pieces[i]);
      assert_true(aligned(pieces[i]));
      memset(pieces[i], (int)i, size);
      assert_true(caw_arena_used(a) >= used + size);
      assert_int_equal(caw_arena_used(a) % alignof(max_align_t), 0);
      used = caw_arena_used(a);
    }
    for (size_t i = 0; i < N; i++)
      for (size_t n = 0; n < sizes[i % SIZES]; n++) assert_int_equal(pieces[i][n], (uint8_t)i);
    caw_arena_free(a);
  }
  caw_arena_free(NULL);
}

/* Blocks double, so many small pieces cost few of them; a large one does not
 * waste what is left of the present one. */
static void blocks_are_few(void **state) {
  (void)state;
  caw_arena *a = caw_arena_new(0);
  for (int i = 0; i < 10000; i++) assert_non_null(caw_arena_alloc(a, 16));
  assert_in_range(failing.live, 2, 12); /* 160 KB in blocks of 1 to 64 KiB */
  caw_arena_free(a);
  a = caw_arena_new(1024);
  uint8_t *first = caw_arena_alloc(a, 16);
  assert_non_null(caw_arena_alloc(a, 100000));
  assert_ptr_equal(caw_arena_alloc(a, 16), first + 16);
  caw_arena_free(a);
}

static void impossible_sizes(void **state) {
  (void)state;
  caw_arena *a = caw_arena_new(0);
  static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 16,
                                 SIZE_MAX / 2 + 1};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    caw_arena_set_limit(a, 1 << 20);
    assert_null(caw_arena_alloc(a, sizes[i]));
    assert_null(caw_arena_calloc(a, sizes[i], 2));
    assert_null(caw_arena_calloc(a, 2, sizes[i]));
    assert_null(caw_arena_dup(a, caw_str_of("", sizes[i])).data);
  }
  assert_int_equal(caw_arena_used(a), 0);
  uint8_t *zero = caw_arena_calloc(a, 7, 13);
  for (int i = 0; i < 7 * 13; i++) assert_int_equal(zero[i], 0);
  assert_non_null(caw_arena_calloc(a, 0, 13));
  assert_non_null(caw_arena_calloc(a, SIZE_MAX, 0));
  caw_arena_free(a);
}

static void a_limit(void **state) {
  (void)state;
  caw_arena *a = caw_arena_new(0);
  caw_arena_set_limit(a, 64);
  assert_non_null(caw_arena_alloc(a, 33)); /* 48 with its alignment */
  assert_null(caw_arena_alloc(a, 17));
  assert_non_null(caw_arena_alloc(a, 16));
  assert_null(caw_arena_alloc(a, 0));
  assert_int_equal(caw_arena_used(a), 64);
  caw_arena_set_limit(a, 16);
  assert_non_null(caw_arena_alloc(a, 1));
  assert_null(caw_arena_alloc(a, 1));
  caw_arena_set_limit(a, SIZE_MAX);
  assert_non_null(caw_arena_alloc(a, 100000));
  caw_arena_set_limit(a, SIZE_MAX - 1); /* used + that would wrap */
  assert_non_null(caw_arena_alloc(a, 100000));
  caw_arena_set_limit(a, 0);
  assert_null(caw_arena_alloc(a, 1));
  caw_arena_free(a);
}

/* What is left of a limit stays after a reset; a block is kept for reuse. */
static void a_reset(void **state) {
  (void)state;
  caw_arena *a = caw_arena_new(64);
  caw_arena_reset(a);
  for (int i = 0; i < 100; i++) caw_arena_alloc(a, 50);
  caw_arena_reset(a);
  assert_int_equal(failing.live, 2);
  assert_int_equal(caw_arena_used(a), 0);
  fail_at(1);
  assert_non_null(caw_arena_alloc(a, 50));
  assert_false(failing.failed); /* from the block that was kept */
  fail_at(0);
  caw_arena_set_limit(a, 96);
  caw_arena_alloc(a, 64);
  caw_arena_reset(a);
  size_t left = 0;
  while (caw_arena_alloc(a, 16)) left += 16;
  assert_int_equal(left, 32); /* 96 were granted, 64 used */
  caw_arena_free(a);
}

static void texts(void **state) {
  (void)state;
  caw_arena *a = caw_arena_new(0);
  caw_str s = caw_arena_dup(a, caw_str_of("a\0b", 3));
  assert_int_equal(s.len, 3);
  assert_memory_equal(s.data, "a\0b", 4); /* with a NUL behind it */
  s = caw_arena_dup(a, caw_str_of(NULL, 0));
  assert_int_equal(s.len, 0);
  assert_string_equal(s.data, "");
  s = caw_arena_printf(a, "%s-%03d", "x", 7);
  assert_int_equal(s.len, 5);
  assert_string_equal(s.data, "x-007");
  s = caw_arena_printf(a, "%s", "");
  assert_int_equal(s.len, 0);
  assert_non_null(s.data);
  s = caw_arena_printf(a, "%5000d", 1);
  assert_int_equal(s.len, 5000);
  assert_int_equal(strlen(s.data), 5000);
  caw_arena_free(a);
}

/* An owner's block comes first, and again after a reset without others. */
static void an_embedded_block(void **state) {
  (void)state;
  alignas(max_align_t) uint8_t block[64];
  caw_arena a;
  arena_init(&a, block, sizeof(block), 0);
  assert_ptr_equal(caw_arena_alloc(&a, 10), block);
  assert_ptr_equal(caw_arena_alloc(&a, 48), block + 16);
  assert_int_equal(failing.live, 0);
  caw_arena_reset(&a);
  assert_ptr_equal(caw_arena_alloc(&a, 10), block);
  assert_non_null(caw_arena_alloc(&a, 64));
  assert_int_equal(failing.live, 1);
  caw_arena_reset(&a);
  assert_non_null(caw_arena_alloc(&a, 10));
  arena_finish(&a);
  assert_int_equal(failing.live, 0);
}

static void memory_runs_out(void **state) {
  (void)state;
  fail_at(1);
  assert_null(caw_arena_new(0));
  caw_arena *a = caw_arena_new(0);
  fail_at(1);
  assert_null(caw_arena_alloc(a, 10));
  assert_int_equal(caw_arena_used(a), 0);
  fail_at(1);
  assert_null(caw_arena_calloc(a, 2, 10));
  fail_at(1);
  assert_null(caw_arena_dup(a, caw_str_from("x")).data);
  fail_at(1);
  assert_null(caw_arena_printf(a, "%d", 1).data);
  assert_non_null(caw_arena_alloc(a, 10));
  fail_at(1);
  assert_null(caw_arena_alloc(a, 5000));
  assert_non_null(caw_arena_alloc(a, 5000)); /* it goes on afterwards */
  caw_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      failing_test(pieces_do_not_meet),
      failing_test(blocks_are_few),
      failing_test(impossible_sizes),
      failing_test(a_limit),
      failing_test(a_reset),
      failing_test(texts),
      failing_test(an_embedded_block),
      failing_test(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
