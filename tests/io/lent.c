/* A loop lent to a program that waits with poll(2). */
#include "kit.h"

#include "io/socket.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/* One round of the loop that caw/loop.h shows, with an end of 5 s in case the
 * loop forgets to say that it has work. Returns poll's answer. */
static int round_trip(caw_loop *loop) {
  struct pollfd p = {caw_loop_fd(loop), POLLIN, 0};
  int ms = caw_loop_timeout(loop);
  int ready = poll(&p, 1, ms < 0 || ms > 5000 ? 5000 : ms);
  caw_loop_run(loop, CAW_LOOP_NOWAIT);
  return ready;
}

static void mark(void *flag) {
  *(bool *)flag = true;
}

static void idle_loop_waits_for_ever(void **state) {
  caw_loop *loop = kit_loop();
  struct pollfd p = {caw_loop_fd(loop), POLLIN, 0};
  (void)state;
  assert_true(p.fd >= 0);
  assert_int_equal(caw_loop_timeout(loop), -1);
  assert_int_equal(poll(&p, 1, 20), 0);
  caw_loop_run(loop, CAW_LOOP_NOWAIT);
  assert_int_equal(caw_loop_timeout(loop), -1);
  assert_int_equal(caw_loop_fd(loop), p.fd);
  caw_loop_free(loop);
}

static void timers_on_time(void **state) {
  caw_loop *loop = kit_loop();
  (void)state;
  for (unsigned ms = 0; ms < 40; ms += 7) {
    bool rang = false;
    int rounds = 0;
    caw_timer *timer;
    assert_int_equal(caw_timer_new(&timer, loop, mark, &rang), 0);
    poll(NULL, 0, 30); /* the last run is a while ago: the clock is read anew */
    uint64_t start = kit_clock();
    caw_timer_start(timer, ms);
    assert_in_range(caw_loop_timeout(loop), 0, ms);
    while (!rang && rounds < 100) {
      round_trip(loop);
      rounds++;
    }
    uint64_t took = kit_clock() - start;
    assert_true(rang);
    assert_true(took >= ms * KIT_MS);
    assert_true(took < (ms + 1000) * KIT_MS); /* not the 5 s of round_trip */
    assert_in_range(rounds, 1, 3);            /* it neither spins */
    caw_timer_free(timer);
  }
  caw_loop_free(loop);
}

static void *post_later(void *arg) {
  void **args = arg;
  usleep(20000);
  assert_int_equal(caw_loop_post(args[0], mark, args[1]), 0);
  return NULL;
}

/* With `runs` runs before: a loop that never ran must wake, too. */
static void post_wakes(int runs) {
  caw_loop *loop = kit_loop();
  bool came = false;
  void *args[] = {loop, &came};
  pthread_t thread;
  while (runs--) caw_loop_run(loop, CAW_LOOP_NOWAIT);
  assert_int_equal(pthread_create(&thread, NULL, post_later, args), 0);
  assert_int_equal(round_trip(loop), 1); /* readable, not timed out */
  assert_true(came);
  pthread_join(thread, NULL);
  caw_loop_free(loop);
}

static void post_wakes_new_loop(void **state) {
  (void)state;
  post_wakes(0);
}

static void post_wakes_used_loop(void **state) {
  (void)state;
  post_wakes(3);
}

/* Even a program that did not ask for the timeout hears of a post. */
static void post_before_poll(void **state) {
  caw_loop *loop = kit_loop();
  struct pollfd p = {caw_loop_fd(loop), POLLIN, 0};
  bool came = false;
  (void)state;
  for (int i = 0; i < 3; i++) {
    came = false;
    assert_int_equal(caw_loop_post(loop, mark, &came), 0);
    assert_int_equal(caw_loop_timeout(loop), 0);
    assert_int_equal(poll(&p, 1, 5000), 1);
    caw_loop_run(loop, CAW_LOOP_NOWAIT);
    assert_true(came);
    assert_int_equal(poll(&p, 1, 0), 0);
  }
  caw_loop_free(loop);
}

typedef struct relay {
  caw_loop *loop;
  bool came;
} relay;

static void post_mark(void *arg) {
  relay *r = arg;
  assert_int_equal(caw_loop_post(r->loop, mark, &r->came), 0);
}

/* The same of a post that was made inside a run, when the loop was awake. */
static void post_inside_run(void **state) {
  relay r = {.loop = kit_loop()};
  struct pollfd p = {caw_loop_fd(r.loop), POLLIN, 0};
  (void)state;
  assert_int_equal(caw_loop_post(r.loop, post_mark, &r), 0);
  caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  assert_false(r.came);
  assert_int_equal(poll(&p, 1, 5000), 1);
  caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  assert_true(r.came);
  caw_loop_free(r.loop);
}

static int bytes;

static void on_read(void *user, const uint8_t *data, size_t len) {
  (void)user;
  (void)data;
  bytes += (int)len;
}

static void on_end(void *user, int rc) {
  (void)user;
  (void)rc;
}

static void sockets_wake(void **state) {
  static const io_socket_events events = {.on_read = on_read, .on_end = on_end};
  caw_loop *loop = kit_loop();
  io_socket *s;
  int fds[2];
  (void)state;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  assert_int_equal(io_socket_adopt(&s, loop, fds[0], &events, NULL), 0);
  io_socket_read(s, true);
  assert_int_equal(caw_loop_timeout(loop), 0); /* the kernel does not know of it yet */
  assert_int_equal(write(fds[1], "abc", 3), 3);
  for (int i = 0; i < 3 && bytes < 3; i++) round_trip(loop);
  assert_int_equal(bytes, 3);
  while (caw_loop_timeout(loop) == 0) caw_loop_run(loop, CAW_LOOP_NOWAIT);
  for (int i = 1; i <= 5; i++) {
    assert_int_equal(caw_loop_timeout(loop), -1);
    assert_int_equal(write(fds[1], "abc", 3), 3);
    assert_int_equal(round_trip(loop), 1);
    assert_int_equal(bytes, 3 + 3 * i);
  }
  io_socket_read(s, false); /* changed outside a run: the kernel is told by the next */
  assert_int_equal(caw_loop_timeout(loop), 0);
  while (caw_loop_timeout(loop) == 0) caw_loop_run(loop, CAW_LOOP_NOWAIT);
  assert_int_equal(write(fds[1], "abc", 3), 3);
  struct pollfd p = {caw_loop_fd(loop), POLLIN, 0};
  assert_int_equal(poll(&p, 1, 10), 0);
  io_socket_read(s, true);
  assert_int_equal(caw_loop_timeout(loop), 0);
  for (int i = 0; i < 3 && bytes < 21; i++) round_trip(loop);
  assert_int_equal(bytes, 21);
  io_socket_close(s);
  caw_loop_free(loop);
  close(fds[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(idle_loop_waits_for_ever),
      cmocka_unit_test(timers_on_time),
      cmocka_unit_test(post_wakes_new_loop),
      cmocka_unit_test(post_wakes_used_loop),
      cmocka_unit_test(post_before_poll),
      cmocka_unit_test(post_inside_run),
      cmocka_unit_test(sockets_wake),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
