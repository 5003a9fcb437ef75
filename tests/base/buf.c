/* The growable buffer. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/buf.h"
#include "failing.h"

#include <caw/status.h>

static void appended(void **state) {
  (void)state;
  buf b = {0};
  for (unsigned i = 0; i < 3000; i++) {
    uint8_t bytes[3] = {(uint8_t)i, (uint8_t)(i >> 8), 7};
    assert_int_equal(buf_append(&b, bytes, i % 4), 0);
  }
  size_t at = 0;
  for (unsigned i = 0; i < 3000; i++) {
    uint8_t bytes[3] = {(uint8_t)i, (uint8_t)(i >> 8), 7};
    assert_memory_equal(b.data + at, bytes, i % 4);
    at += i % 4;
  }
  assert_int_equal(b.len, at);
  assert_int_equal(buf_append(&b, NULL, 0), 0);
  assert_int_equal(b.len, at);
  buf_finish(&b);
  assert_null(b.data);
  assert_int_equal(b.len + b.room, 0);
  buf_finish(&b);
}

static void reserved(void **state) {
  (void)state;
  buf b = {0};
  assert_int_equal(buf_reserve(&b, 0), 0);
  assert_int_equal(buf_reserve(&b, 1000), 0);
  assert_true(b.room >= 1000);
  assert_int_equal(b.len, 0);
  fail_at(1);
  char zeros[1000] = {0};
  assert_int_equal(buf_append(&b, zeros, 1000), 0); /* no allocation */
  assert_false(failing.failed);
  fail_at(0);
  /* Sizes that cannot be. */
  assert_int_equal(buf_reserve(&b, SIZE_MAX), CAW_ENOMEM);
  assert_true(b.failed);
  assert_int_equal(buf_append(&b, "x", 1), CAW_ENOMEM); /* remembered */
  assert_int_equal(b.len, 1000);
  buf_finish(&b);
  assert_int_equal(buf_reserve(&b, SIZE_MAX - 1), CAW_ENOMEM);
  buf_finish(&b);
  assert_int_equal(buf_append(&b, "x", 1), 0); /* forgotten with the rest */
  buf_finish(&b);
}

static void formatted(void **state) {
  (void)state;
  buf b = {0};
  assert_int_equal(buf_printf(&b, "%d,%s;", 12, "ab"), 0);
  assert_int_equal(buf_printf(&b, "%s", ""), 0);
  assert_int_equal(buf_printf(&b, "%400d", 1), 0);
  assert_int_equal(b.len, 6 + 400);
  assert_memory_equal(b.data, "12,ab;  ", 8);
  assert_int_equal(b.data[405], '1');
  buf_finish(&b);
}

static void memory_runs_out(void **state) {
  (void)state;
  buf b = {0};
  fail_at(1);
  assert_int_equal(buf_printf(&b, "%d", 1), CAW_ENOMEM);
  assert_true(b.failed);
  assert_int_equal(b.len, 0);
  buf_finish(&b);
  assert_int_equal(buf_append(&b, "kept", 4), 0);
  char more[500] = {0};
  fail_at(1);
  assert_int_equal(buf_append(&b, more, sizeof(more)), CAW_ENOMEM);
  assert_int_equal(b.len, 4);
  assert_memory_equal(b.data, "kept", 4);
  buf_finish(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {failing_test(appended), failing_test(reserved),
                                     failing_test(formatted), failing_test(memory_runs_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
