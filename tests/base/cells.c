/* Cells that are kept and handed out again. */
#include "base/cells.h"

#include "failing.h"

#include <caw/alloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EXACT
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define EXACT
#endif

static const size_t sizes[] = {0, 1, 31, 32, 33, 511, 512, 513, 1024, 1025, 4608, 4609, 100000};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void writable_and_apart(void **state) {
  cells c = {0};
  uint8_t *cell[SIZES];
  (void)state;
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < SIZES; i++) {
      cell[i] = cells_alloc(round ? &c : NULL, sizes[i]);
      assert_non_null(cell[i]);
      assert_int_equal((uintptr_t)cell[i] % _Alignof(max_align_t), 0);
      memset(cell[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < SIZES; i++) {
      for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(cell[i][k], i);
      cells_free(&c, cell[i]);
    }
  }
  cells_finish(&c);
  assert_int_equal(c.bytes, 0);
  assert_int_equal(failing.live, 0);
}

#ifndef EXACT
static void handed_out_again(void **state) {
  cells c = {0};
  (void)state;
  for (size_t i = 0; i < SIZES; i++) {
    void *first = cells_alloc(&c, sizes[i]);
    cells_free(&c, first);
    bool kept = sizes[i] <= 4608;
    assert_int_equal(failing.live, kept ? 1 : 0);
    void *second = cells_alloc(&c, sizes[i]);
    if (kept) assert_ptr_equal(first, second);
    cells_free(NULL, second); /* goes to malloc */
    assert_int_equal(failing.live, 0);
    assert_int_equal(c.bytes, 0);
  }
}

/* What is kept is bounded, whatever was in use. */
static void bounded(void **state) {
  cells c = {0};
  static void *cell[1000];
  (void)state;
  for (size_t i = 0; i < 1000; i++) cell[i] = cells_alloc(&c, 2000);
  for (size_t i = 0; i < 1000; i++) cells_free(&c, cell[i]);
  assert_in_range(c.bytes, 500 * 1024, 512 * 1024);
  assert_int_equal(failing.live, c.bytes / 2048);
  cells_finish(&c);
  assert_int_equal(failing.live, 0);
}
#endif

static void zeroed(void **state) {
  cells c = {0};
  (void)state;
  uint8_t *cell = cells_alloc(&c, 96);
  memset(cell, 0xff, 96);
  cells_free(&c, cell);
  cell = cells_calloc(&c, 3, 32);
  for (int i = 0; i < 96; i++) assert_int_equal(cell[i], 0);
  cells_free(&c, cell);
  assert_null(cells_calloc(&c, SIZE_MAX / 2, 3));
  assert_null(cells_alloc(&c, SIZE_MAX));
  assert_null(cells_alloc(&c, SIZE_MAX - 8));
  cells_free(&c, NULL);
  cells_finish(&c);
}

static void resized(void **state) {
  cells c = {0};
  (void)state;
  uint8_t *cell = cells_realloc(&c, NULL, 1);
  size_t before = 0;
  for (size_t i = 0; i < SIZES; i++) {
    cell = cells_realloc(&c, cell, sizes[i]);
    assert_non_null(cell);
    for (size_t k = 0; k < before; k++) assert_int_equal(cell[k], 7);
    memset(cell, 7, sizes[i]);
    before = sizes[i];
  }
  cell = cells_realloc(&c, cell, 10);
  for (int k = 0; k < 10; k++) assert_int_equal(cell[k], 7);
  assert_null(cells_realloc(&c, cell, SIZE_MAX)); /* and the old one stays */
  assert_int_equal(cell[9], 7);
  cells_free(&c, cell);
  cells_finish(&c);
  assert_int_equal(failing.live, 0);
}

static void out_of_memory(void **state) {
  cells c = {0};
  (void)state;
  fail_at(1);
  assert_null(cells_alloc(&c, 100));
  fail_at(1);
  assert_null(cells_calloc(&c, 10, 10));
  fail_at(0);
  void *cell = cells_alloc(&c, 100);
  fail_at(1);
  assert_null(cells_realloc(&c, cell, 1000));
  fail_at(0);
  cells_free(&c, cell);
  cells_finish(&c);
  assert_int_equal(failing.live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      failing_test(writable_and_apart),
#ifndef EXACT
      failing_test(handed_out_again),
      failing_test(bounded),
#endif
      failing_test(zeroed),
      failing_test(resized),
      failing_test(out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
