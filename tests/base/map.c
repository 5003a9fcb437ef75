/* The map of names. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/map.h"
#include "failing.h"

#include <caw/status.h>
#include <stdio.h>

enum { N = 3000 };

static char names[N][12];
static int values[N];

static void found_among_many(void **state) {
  (void)state;
  map m = {0};
  assert_null(map_get(&m, caw_str_from("nothing")));
  for (int i = 0; i < N; i++) {
    snprintf(names[i], sizeof(names[i]), "/s/%x", i * 7);
    assert_null(map_get(&m, caw_str_from(names[i])));
    assert_int_equal(map_add(&m, caw_str_from(names[i]), &values[i]), 0);
    assert_int_equal(map_add(&m, caw_str_from(names[i]), &values[0]), CAW_EEXIST);
    assert_int_equal(m.len, i + 1);
    assert_true(m.len * 2 <= m.room);
  }
  for (int i = 0; i < N; i++) assert_ptr_equal(map_get(&m, caw_str_from(names[i])), &values[i]);
  assert_null(map_get(&m, caw_str_from("/s/")));
  assert_null(map_get(&m, caw_str_from("/s/zz")));
  assert_null(map_get(&m, caw_str_of(NULL, 0)));
  map_finish(&m);
  assert_null(map_get(&m, caw_str_from(names[0])));
}

/* Keys are bytes: a NUL is one of them, the length counts. */
static void any_bytes(void **state) {
  (void)state;
  map m = {0};
  assert_int_equal(map_add(&m, caw_str_of("a\0b", 3), &values[0]), 0);
  assert_int_equal(map_add(&m, caw_str_of("a\0c", 3), &values[1]), 0);
  assert_int_equal(map_add(&m, caw_str_of("a", 1), &values[2]), 0);
  assert_int_equal(map_add(&m, caw_str_of("A", 1), &values[3]), 0);
  assert_ptr_equal(map_get(&m, caw_str_of("a\0b", 3)), &values[0]);
  assert_ptr_equal(map_get(&m, caw_str_of("a\0c", 3)), &values[1]);
  assert_ptr_equal(map_get(&m, caw_str_of("a", 1)), &values[2]);
  assert_ptr_equal(map_get(&m, caw_str_of("A", 1)), &values[3]);
  assert_null(map_get(&m, caw_str_of("a\0", 2)));
  map_finish(&m);
}

static void reserved(void **state) {
  (void)state;
  map m = {0};
  assert_int_equal(map_reserve(&m, 100), 0);
  fail_at(1);
  for (int i = 0; i < 100; i++) {
    snprintf(names[i], sizeof(names[i]), "%d", i);
    assert_int_equal(map_add(&m, caw_str_from(names[i]), &values[i]), 0);
  }
  assert_false(failing.failed);
  assert_int_equal(map_reserve(&m, 100), CAW_ENOMEM);
  assert_true(failing.failed);
  assert_int_equal(map_reserve(&m, SIZE_MAX / 4), CAW_ENOMEM);
  assert_int_equal(map_reserve(&m, SIZE_MAX), CAW_ENOMEM); /* the sum would wrap */
  for (int i = 0; i < 100; i++)                            /* as before */
    assert_ptr_equal(map_get(&m, caw_str_from(names[i])), &values[i]);
  map_finish(&m);
  fail_at(1);
  assert_int_equal(map_add(&m, caw_str_from("x"), &values[0]), CAW_ENOMEM);
  assert_int_equal(m.len, 0);
  map_finish(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {failing_test(found_among_many), failing_test(any_bytes),
                                     failing_test(reserved)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
