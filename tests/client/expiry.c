/* A server whose clock is the first resets an expired call. The client, which reads that when
 * the call's time is over, says so, also in a turn of the loop that began before and took long. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"
#include "io/watch.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADERS = 1 };

static const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0};
static const uint8_t reset[] = {0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8}; /* stream 1, CANCEL */

static int listen_anywhere(char target[32]) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  socklen_t len = sizeof(a);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
  assert_int_equal(listen(fd, 1), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
  snprintf(target, 32, "127.0.0.1:%u", ntohs(a.sin_port));
  return fd;
}

static void sleep_until(uint64_t at) {
  const struct timespec t = {(time_t)(at / 1000000000), (long)(at % 1000000000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Something else that the turn is long at, from before the call's end until after it. */
typedef struct burden {
  io_watch watch;
  uint64_t until, began;
} burden;

static void labour(io_watch *w, int events, bool broken) {
  burden *b = (burden *)w;
  (void)events, (void)broken;
  b->began = io_now(w->loop);
  sleep_until(b->until + 5000000);
  io_watch_set(w, 0);
}

static void gone(io_watch *w) {
  (void)w;
}

typedef struct outcome {
  int done, code;
} outcome;

static void on_done(caw_call *call, const caw_status *status, const void *reply, void *user) {
  outcome *o = user;
  (void)call, (void)reply;
  o->done = 1;
  o->code = status->code;
}

/* Runs the client until its request is at the server, or it has ended. */
static void await_request(caw_loop *loop, int fd, const outcome *o) {
  uint8_t data[4096];
  size_t len = 0;
  while (!o->done) {
    caw_loop_run(loop, CAW_LOOP_NOWAIT);
    ssize_t n = recv(fd, data + len, sizeof(data) - len, MSG_DONTWAIT);
    if (n > 0) len += (size_t)n;
    for (size_t at = 24; at + 9 <= len; at += 9u + data[at + 2] + 256u * data[at + 1])
      if (data[at + 3] == HEADERS) return;
  }
}

/* Did the burden begin before the call's end? */
static bool burdened(uint64_t timeout_ms) {
  caw_loop *loop;
  caw_channel *channel;
  caw_call *call;
  outcome o = {0};
  static burden b;
  b.began = UINT64_MAX;
  char target[32];
  int pipes[2], listener = listen_anywhere(target), fd = -1;
  assert_int_equal(caw_loop_new(&loop), 0);
  const caw_channel_options co = {.size = sizeof(co), .loop = loop};
  const caw_call_options options = {.size = sizeof(options), .timeout_ms = timeout_ms};
  assert_int_equal(caw_channel_new(&channel, target, &co, NULL), 0);
  caw_str text = CAW_STR("x");
  assert_int_equal(
      caw_call_start_unary(&call, channel, &duo_unary, &text, &options, on_done, NULL, &o), 0);
  b.until = caw_call_deadline(call);
  while ((fd = accept(listener, NULL, NULL)) < 0) caw_loop_run(loop, CAW_LOOP_NOWAIT);
  assert_int_equal(write(fd, settings, sizeof(settings)), sizeof(settings));
  await_request(loop, fd, &o);
  assert_int_equal(pipe(pipes), 0);
  assert_int_equal(io_watch_init(&b.watch, loop, pipes[0], labour), 0);
  io_watch_set(&b.watch, UV_READABLE);
  caw_loop_run(loop, CAW_LOOP_NOWAIT);
  /* Both are there when the loop looks, the burden first. */
  assert_int_equal(write(pipes[1], "", 1), 1);
  assert_int_equal(write(fd, reset, sizeof(reset)), sizeof(reset));
  while (!o.done) caw_loop_run(loop, CAW_LOOP_ONCE);
  assert_int_equal(o.code, CAW_DEADLINE_EXCEEDED);
  io_watch_close(&b.watch, gone);
  caw_channel_free(channel);
  caw_loop_free(loop);
  close(pipes[0]);
  close(pipes[1]);
  close(fd);
  close(listener);
  return b.began < b.until;
}

static void a_turn_that_takes_long(void **state) {
  (void)state;
  /* On a busy machine it may begin too late. */
  for (uint64_t ms = 100; !burdened(ms); ms *= 2)
    if (ms > 5000) fail_msg("the turn began behind a deadline of %d ms", (int)ms);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_turn_that_takes_long)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
