/* errno to CAW_E*: every value of the system has an answer in the range. */
#include "kit.h"

#include "io/sys.h"

#include <errno.h>

static void known_errors(void **state) {
  static const struct {
    int err, rc;
  } cases[] = {
      {ENOMEM, CAW_ENOMEM},
      {ENOBUFS, CAW_ENOMEM},
      {EMFILE, CAW_ELIMIT},
      {ENFILE, CAW_ELIMIT},
      {EACCES, CAW_EACCES},
      {EPERM, CAW_EACCES},
      {EADDRINUSE, CAW_EADDRINUSE},
      {EADDRNOTAVAIL, CAW_EADDR},
      {ENOENT, CAW_EADDR},
      {ETIMEDOUT, CAW_ETIMEDOUT},
      {ECONNREFUSED, CAW_ECONN},
      {ECONNRESET, CAW_ECONN},
      {EPIPE, CAW_ECONN},
      {ENETUNREACH, CAW_ECONN},
      {EHOSTUNREACH, CAW_ECONN},
      {EINVAL, CAW_EINVAL},
      {EIO, CAW_ESYS},
      {0, CAW_ESYS},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    if (io_sys_error(cases[i].err) != cases[i].rc)
      fail_msg("errno %d: %d, not %d", cases[i].err, io_sys_error(cases[i].err), cases[i].rc);
}

static void every_error(void **state) {
  (void)state;
  for (int err = 0; err < 4096; err++) {
    int rc = io_sys_error(err);
    assert_in_range(-rc, -CAW_ENOMEM, -CAW_ESYS);
  }
}

static void clock_runs(void **state) {
  (void)state;
  uint64_t last = io_sys_clock(), start = last;
  while (last == start) {
    uint64_t now = io_sys_clock();
    assert_true(now >= last);
    last = now;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(known_errors), cmocka_unit_test(every_error),
                                     cmocka_unit_test(clock_runs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
