/* The replaceable allocator. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "failing.h"

#include <caw/status.h>

static void replaced_and_restored(void **state) {
  (void)state;
  void *p = caw_malloc(10);
  assert_non_null(p);
  assert_int_equal(failing.live, 1);
  p = caw_realloc(p, 1000);
  assert_non_null(p);
  assert_int_equal(failing.live, 1);
  caw_free(p);
  assert_int_equal(failing.live, 0);
  caw_free(NULL);
  assert_int_equal(failing.live, 0);
  assert_int_equal(caw_set_allocator(NULL), 0);
  p = caw_malloc(10);
  assert_int_equal(failing.live, 0);
  caw_free(p);
}

static void zero_bytes_are_something(void **state) {
  (void)state;
  void *a = caw_malloc(0), *b = caw_calloc(0, 8), *c = caw_realloc(NULL, 0);
  assert_true(a && b && c);
  c = caw_realloc(c, 0);
  assert_non_null(c);
  caw_free(a);
  caw_free(b);
  caw_free(c);
}

static void calloc_is_zero(void **state) {
  (void)state;
  uint8_t *p = caw_calloc(13, 7);
  for (int i = 0; i < 13 * 7; i++) assert_int_equal(p[i], 0);
  caw_free(p);
  assert_null(caw_calloc(SIZE_MAX / 2, 3));
  assert_null(caw_calloc(3, SIZE_MAX / 2));
  fail_at(1);
  assert_null(caw_calloc(2, 2));
}

static void realloc_fails_softly(void **state) {
  (void)state;
  char *p = caw_malloc(4);
  memcpy(p, "kept", 4);
  fail_at(1);
  assert_null(caw_realloc(p, 100));
  assert_memory_equal(p, "kept", 4);
  caw_free(p);
}

static void incomplete_ones_are_refused(void **state) {
  (void)state;
  const caw_allocator whole = {sizeof(whole), failing_malloc, failing_realloc, failing_free, NULL};
  for (int i = 0; i < 4; i++) {
    caw_allocator a = whole;
    if (i == 0) a.malloc = NULL;
    if (i == 1) a.realloc = NULL;
    if (i == 2) a.free = NULL;
    if (i == 3) a.size = 8;
    assert_int_equal(caw_set_allocator(&a), CAW_EINVAL);
  }
  void *p = caw_malloc(1); /* the one before is in use */
  assert_int_equal(failing.live, 1);
  caw_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      failing_test(replaced_and_restored),
      failing_test(zero_bytes_are_something),
      failing_test(calloc_is_zero),
      failing_test(realloc_fails_softly),
      failing_test(incomplete_ones_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
