/* Memory runs out at every single allocation of a call that has interceptors on both sides
 * and credentials: it ends once, with a status that says so, or is not begun; nothing leaks,
 * and the next call is served. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"
#include "failing.h"

#include <caw/interceptor.h>
#include <stdio.h>

static caw_call *pending[2]; /* server's, client's */

static int on_request(caw_call *call, void *user) {
  caw_str key = CAW_STR("x-added"), value = CAW_STR("a value");
  int rc = caw_call_metadata_add(call, CAW_REQUEST_METADATA, key, value);
  if (rc) return rc;
  pending[(size_t)(uintptr_t)user] = call;
  return CAW_PENDING;
}

static void on_headers(caw_call *call, void *user) {
  (void)user;
  caw_call_metadata_add(call, CAW_RESPONSE_HEADERS, caw_str_from("x-h"), caw_str_from("1"));
}

static void on_message(caw_call *call, const caw_message_info *m, void *user) {
  (void)call;
  (void)user;
  assert_int_equal(m->size, 9);
}

static void on_status(caw_call *call, caw_status *status, void *user) {
  (void)user;
  (void)status;
  caw_call_metadata_add(call, CAW_RESPONSE_TRAILERS, caw_str_from("x-t"), caw_str_from("1"));
}

static int n_begun, n_ended;

static void on_done(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  (void)status;
  (void)user;
  n_ended++;
}

static const caw_key key = {"user", NULL};

static int set_value(caw_call *call, void *user) {
  (void)user;
  n_begun++;
  return caw_call_set_value(call, &key, (void *)(uintptr_t)&key);
}

static const caw_interceptor asking = {sizeof(asking), on_request, NULL, on_headers,
                                       on_message,     on_status,  NULL};
static const caw_interceptor valuing = {sizeof(valuing), set_value, NULL, NULL, NULL, NULL,
                                        on_done};

static void note_done(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  *(int *)user = status->code + 1;
}

static void answer_pending(void) {
  for (int i = 0; i < 2; i++) {
    caw_call *call = pending[i];
    pending[i] = NULL;
    if (call) caw_call_decide(call, 0, NULL);
  }
}

/* One call; its code, or the CAW_E* with which it did not begin. */
static int make_call(duo *d, const caw_method *method) {
  static const caw_client_events events = {.on_done = note_done};
  caw_str text = CAW_STR("nine nine");
  int done = 0;
  int rc = caw_call_start_with(NULL, d->channel, method, &text, NULL, &events, &done);
  if (rc) return rc;
  for (int i = 0; i < 200000 && !done; i++) {
    caw_loop_run(d->loop, CAW_LOOP_NOWAIT);
    answer_pending();
  }
  assert_int_not_equal(done, 0);
  return done - 1;
}

static void set_up(duo *d) {
  caw_call_credentials *c;
  memset(d, 0, sizeof(*d));
  n_begun = n_ended = 0;
  assert_int_equal(caw_call_credentials_bearer(&c, caw_str_from("t0ken")), 0);
  d->channel_options.call_credentials = c;
  d->channel_options.backoff_initial_ms = 1;
  duo_init(d);
  caw_call_credentials_unref(c);
  assert_int_equal(caw_channel_intercept(d->channel, &valuing, NULL), 0);
  assert_int_equal(caw_channel_intercept(d->channel, &asking, (void *)1), 0);
  assert_int_equal(caw_server_intercept(d->server, &valuing, NULL), 0);
  assert_int_equal(caw_server_intercept(d->server, &asking, NULL), 0);
}

static void finish(duo *d) {
  answer_pending();
  for (int i = 0; i < 50; i++) {
    caw_loop_run(d->loop, CAW_LOOP_NOWAIT);
    answer_pending();
  }
  duo_finish(d);
  assert_int_equal(n_begun, n_ended);
}

static void calls(void **state) {
  (void)state;
  static const caw_method *const methods[] = {&duo_unary, &duo_server_stream};
  for (size_t m = 0; m < 2; m++) {
    int failures = 0;
    for (long n = 1;; n++) {
      duo d;
      set_up(&d);
      /* The connection is there: it has tests of its own. */
      assert_int_equal(make_call(&d, methods[m]), 0);
      fail_at(n);
      int rc = make_call(&d, methods[m]);
      bool failed = failing.failed;
      fail_at(0);
      if (!failed) {
        assert_int_equal(rc, 0);
        finish(&d);
        assert_in_range(n, 5, 500);
        break;
      }
      failures += rc != 0;
      assert_in_set((unsigned long)(rc < 0 ? -rc : rc),
                    ((const unsigned long[]){0, -CAW_ENOMEM, CAW_RESOURCE_EXHAUSTED, CAW_INTERNAL,
                                             CAW_UNAVAILABLE, CAW_CANCELLED}),
                    6);
      for (int i = 0; i < 100; i++) {
        caw_loop_run(d.loop, CAW_LOOP_NOWAIT);
        answer_pending();
      }
      int again = make_call(&d, methods[m]);
      if (again == CAW_UNAVAILABLE) again = make_call(&d, methods[m]); /* the connection went */
      assert_int_equal(again, 0);
      finish(&d);
    }
    assert_true(failures >= 5);
  }
}

/* What a program is told when there is no memory for what it sets up. */
static void setting_up(void **state) {
  (void)state;
  duo d = {0};
  duo_init(&d);
  caw_call_credentials *a, *b, *c = NULL;
  fail_at(1);
  assert_int_equal(caw_server_intercept(d.server, &asking, NULL), CAW_ENOMEM);
  fail_at(1);
  assert_int_equal(caw_channel_intercept(d.channel, &asking, NULL), CAW_ENOMEM);
  for (long n = 1; n <= 2; n++) {
    fail_at(n);
    assert_int_equal(caw_call_credentials_bearer(&c, caw_str_from("t")), CAW_ENOMEM);
  }
  fail_at(0);
  assert_int_equal(caw_call_credentials_bearer(&a, caw_str_from("a")), 0);
  assert_int_equal(caw_call_credentials_bearer(&b, caw_str_from("b")), 0);
  fail_at(1);
  assert_int_equal(caw_call_credentials_compose(&c, a, b), CAW_ENOMEM);
  fail_at(0);
  assert_null(c);
  caw_call_credentials_unref(a);
  caw_call_credentials_unref(b);
  duo_finish(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {failing_test(calls), failing_test(setting_up)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
