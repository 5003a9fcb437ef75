/* What a channel does for its connection: keepalive as its options say, fewer PINGs when
 * a server minds them, and none at all when nobody uses it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "client/client.h"
#include "duo.h"

#include <stdio.h>

#define MS UINT64_C(1000000)

static int keep(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request, (void)reply;
  d->pending = call;
  duo_listen(d, call);
  return CAW_PENDING;
}

/* gRFC A8: defaults, and the least that a client may ask for. */
static void options(void **state) {
  (void)state;
  static const struct {
    caw_channel_options options;
    keepalive_config want;
  } cases[] = {
      {{0}, {.timeout = 20000 * MS}},
      {{.keepalive_time_ms = 60000}, {.time = 60000 * MS, .timeout = 20000 * MS}},
      {{.keepalive_time_ms = 1, .keepalive_timeout_ms = 1}, {.time = 10000 * MS, .timeout = MS}},
      {{.keepalive_time_ms = 9999,
        .keepalive_permit_without_calls = true,
        .keepalive_max_pings_without_data = 7},
       {.time = 10000 * MS, .timeout = 20000 * MS, .without_calls = true, .max_without_data = 7}},
      {{.keepalive_time_ms = CAW_NEVER}, {.timeout = 20000 * MS}},
      {{.keepalive_time_ms = UINT64_MAX - 1}, {.timeout = 20000 * MS}},
      {{.keepalive_time_ms = 60000, .keepalive_timeout_ms = CAW_NEVER}, {.time = 0}},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    duo d = {.channel_options = cases[i].options};
    duo_init(&d);
    const keepalive_config *got = &d.channel->config.keepalive, *want = &cases[i].want;
    if (got->time != want->time || got->timeout != want->timeout ||
        got->without_calls != want->without_calls ||
        got->max_without_data != want->max_without_data)
      fail_msg("case %zu: %ju, %ju, %d, %u", i, (uintmax_t)got->time, (uintmax_t)got->timeout,
               got->without_calls, got->max_without_data);
    duo_finish(&d);
  }
}

/* Each time the server has enough of it, half as often. */
static void a_server_that_minds_is_asked_less(void **state) {
  (void)state;
  duo d = {0};
  heard h = {0};
  duo_init(&d);
  d.on_message = keep;
  d.channel->config.keepalive.time = 5 * MS;
  for (unsigned time = 10; time <= 20; time *= 2) {
    char want[200], got[200];
    d.pending = NULL;
    d.n_cancel = 0;
    duo_call(&d, &h, &duo_server_stream, "wait", NULL);
    while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
    duo_done(&d, &h);
    assert_int_equal(h.code, CAW_UNAVAILABLE);
    assert_non_null(strstr(h.message, "HTTP/2 error 11, too_many_pings"));
    caw_channel_error(d.channel, got, sizeof(got));
    snprintf(want, sizeof(want),
             "ipv4:%s ended the connection, as it got PINGs too often (too_many_pings); "
             "the keepalive time is %u ms from now on",
             caw_server_address(d.server, 0), time);
    assert_string_equal(got, want);
    assert_int_equal(d.channel->config.keepalive.time, time * MS);
    duo_until(&d, &d.n_cancel);
    caw_call_finish(d.pending, 0, NULL);
  }
  duo_finish(&d);
}

static void wake(void *user) {
  (void)user;
}

/* A call begins the time anew, and the channel is as usable as ever afterwards. */
static void a_channel_that_nobody_uses_lets_go(void **state) {
  (void)state;
  duo d = {.channel_options = {.idle_timeout_ms = 1}}; /* a second is the least */
  heard h = {0};
  duo_init(&d);
  for (int i = 0; i < 2; i++) {
    uint64_t began = caw_loop_now(d.loop);
    duo_call(&d, &h, &duo_unary, "x", NULL);
    duo_done(&d, &h);
    assert_int_equal(h.code, 0);
    if (i) break;
    int state_now = CAW_CHANNEL_READY;
    caw_timer *tick;
    assert_int_equal(caw_timer_new(&tick, d.loop, wake, NULL), 0);
    while (state_now == CAW_CHANNEL_READY) {
      caw_timer_start(tick, 2000);
      caw_loop_run(d.loop, CAW_LOOP_ONCE);
      state_now = (int)caw_channel_state(d.channel, false);
    }
    caw_timer_free(tick);
    assert_int_equal(state_now, CAW_CHANNEL_IDLE);
    assert_true(caw_loop_now(d.loop) - began >= 1000 * MS);
    assert_null(d.channel->conn);
    duo_turns(&d, 10);
    assert_true(list_empty(&d.channel->draining));
  }
  duo_finish(&d);
}

/* While a call is open nobody rests, however little it says; and a channel without its
 * connection stops trying. */
static void who_is_idle(void **state) {
  (void)state;
  duo d = {0};
  heard h = {0};
  duo_init(&d);
  d.on_message = keep;
  d.channel->options.idle_timeout_ms = 1000;
  duo_call(&d, &h, &duo_server_stream, "wait", NULL);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  io_timer_stop(&d.channel->idle.timer);
  d.channel->idle.timer.fire(&d.channel->idle.timer);
  assert_int_equal(caw_channel_state(d.channel, false), CAW_CHANNEL_READY);
  caw_call_finish(d.pending, 0, NULL);
  duo_done(&d, &h);
  assert_true(io_timer_runs(&d.channel->idle.timer));
  /* In every other state. */
  connect_rest(d.channel);
  assert_int_equal(caw_channel_state(d.channel, true), CAW_CHANNEL_IDLE);
  assert_int_equal(caw_channel_state(d.channel, false), CAW_CHANNEL_CONNECTING);
  connect_rest(d.channel);
  assert_int_equal(caw_channel_state(d.channel, false), CAW_CHANNEL_IDLE);
  d.on_message = NULL;
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  duo_finish(&d);
}

static void never_idle(void **state) {
  (void)state;
  duo d = {.channel_options = {.idle_timeout_ms = CAW_NEVER}};
  heard h = {0};
  duo_init(&d);
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_false(d.channel->idle.on);
  duo_finish(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(options),
      cmocka_unit_test(a_server_that_minds_is_asked_less),
      cmocka_unit_test(a_channel_that_nobody_uses_lets_go),
      cmocka_unit_test(who_is_idle),
      cmocka_unit_test(never_idle),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
