/* A loop on a machine that is late for everything: each look at the clock is some
 * milliseconds after the one before. What a timer waits for must come all the same. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <caw/loop.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t ahead; /* nanoseconds */

/* In place of libc's, for libuv too. */
CAW_API int clock_gettime(clockid_t clock, struct timespec *t) {
  if (syscall(SYS_clock_gettime, clock, t)) return -1;
  ahead += 3000000;
  uint64_t ns = (uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_nsec + ahead;
  t->tv_sec = (time_t)(ns / 1000000000);
  t->tv_nsec = (long)(ns % 1000000000);
  return 0;
}

static void count(void *fired) {
  ++*(int *)fired;
}

static void timers_fire(void **state) {
  (void)state;
  caw_loop *loop;
  caw_timer *timer;
  int fired = 0;
  assert_int_equal(caw_loop_new(&loop), 0);
  assert_int_equal(caw_timer_new(&timer, loop, count, &fired), 0);
  alarm(20); /* a loop that sleeps for ever ends the test */
  for (int i = 0; i < 200; i++) {
    uint64_t before = ahead;
    caw_timer_start(timer, (uint64_t)i % 20);
    while (fired == i) caw_loop_run(loop, CAW_LOOP_ONCE);
    assert_true(ahead > before); /* the clock is the one above */
  }
  alarm(0);
  caw_timer_free(timer);
  caw_loop_free(loop);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(timers_fire)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
