/* The trace: which components are on, and who gets their lines. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/trace.h"

#include <caw/status.h>
#include <caw/trace.h>
#include <stdio.h>
#include <string.h>

static char said[2048];

static void listen(const char *component, const char *line, void *user) {
  size_t len = strlen(said);
  assert_ptr_equal(user, said);
  snprintf(said + len, sizeof(said) - len, "%s: %s\n", component, line);
}

static int computed;

static int compute(void) {
  return ++computed;
}

static void only_what_is_on_is_written(void **state) {
  (void)state;
  said[0] = '\0';
  assert_int_equal(caw_trace("h2,call", listen, said), 0);
  TRACE(H2, "frame %d", compute());
  TRACE(CONN, "conn %d", compute());
  TRACE(CALL, "call");
  assert_string_equal(said, "h2: frame 1\ncall: call\n");
  assert_int_equal(caw_trace(NULL, listen, said), 0);
  TRACE(H2, "frame %d", compute());
  assert_string_equal(said, "h2: frame 1\ncall: call\n");
  assert_int_equal(computed, 1);
}

static void names_are_checked(void **state) {
  static const struct {
    const char *names;
    int rc;
    unsigned on;
  } cases[] = {{"", 0, 0},
               {"all", 0, 31},
               {"server", 0, 16},
               {"h2,,call,", 0, 3},
               {"client, conn", 0, 12},
               {"h2,x", CAW_EINVAL, 12},
               {"H2", CAW_EINVAL, 12},
               {"cal", CAW_EINVAL, 12},
               {"callx", CAW_EINVAL, 12},
               {NULL, 0, 0}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    assert_int_equal(caw_trace(cases[i].names, listen, said), cases[i].rc);
    assert_int_equal(atomic_load(&trace_on), cases[i].on);
  }
}

static void a_line_is_one_line(void **state) {
  char long_text[1000];
  (void)state;
  said[0] = '\0';
  memset(long_text, 'x', sizeof(long_text) - 1);
  long_text[sizeof(long_text) - 1] = '\0';
  assert_int_equal(caw_trace("call", listen, said), 0);
  TRACE(CALL, "a\nb\x1b\xff");
  assert_string_equal(said, "call: a?b??\n");
  said[0] = '\0';
  TRACE(CALL, "%s", long_text);
  assert_int_equal(strlen(said), strlen("call: ") + 499 + 1);
  assert_int_equal(caw_trace(NULL, NULL, NULL), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(only_what_is_on_is_written),
                                     cmocka_unit_test(names_are_checked),
                                     cmocka_unit_test(a_line_is_one_line)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
