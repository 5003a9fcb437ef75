/* The health service: what is asked and watched, from any thread, and when the server
 * drains. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"
#include "failing.h"
#include "host.h"

#include <caw/blocking.h>
#include <caw/health.h>
#include <grpc/health/v1/health.caw.h>
#include <pthread.h>
#include <stdio.h>

typedef grpc_health_v1_health_check_request check_request;
typedef grpc_health_v1_health_check_response check_response;
typedef grpc_health_v1_health_list_request list_request;
typedef grpc_health_v1_health_list_response list_response;

/* ---- A client's view ---- */

typedef struct asked {
  int done, code; /* done: code + 1 */
  char text[128], statuses[256];
  int n; /* statuses */
  caw_call *call;
  bool pause;
} asked;

static const char *name_of(int status) {
  const char *name =
      caw_pb_enum_name(&grpc_health_v1_health_check_response_serving_status_enum, status);
  return name ? name : "?";
}

static void note(asked *a, int status) {
  size_t len = strlen(a->statuses);
  snprintf(a->statuses + len, sizeof(a->statuses) - len, "%s;", name_of(status));
  a->n++;
}

static void finished(asked *a, const caw_status *status) {
  a->done = status->code + 1;
  a->code = status->code;
  snprintf(a->text, sizeof(a->text), "%.*s", CAW_STR_ARG(status->message));
  a->call = NULL;
}

static void on_checked(caw_call *call, const caw_status *status, const check_response *reply,
                       void *user) {
  (void)call;
  finished(user, status);
  if (reply) note(user, reply->status);
}

static void on_status(caw_call *call, const check_response *reply, void *user) {
  asked *a = user;
  note(a, reply->status);
  if (a->pause) caw_call_pause(call);
}

static void on_ended(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  finished(user, status);
}

static void check_health(duo *d, asked *a, const char *service) {
  check_request request = {.service = caw_str_from(service)};
  memset(a, 0, sizeof(*a));
  assert_int_equal(
      grpc_health_v1_health_check_async(&a->call, d->channel, &request, NULL, on_checked, a), 0);
  duo_until(d, &a->done);
}

static void watch_health(duo *d, asked *a, const char *service) {
  static const grpc_health_v1_health_watch_events events = {.on_message = on_status,
                                                            .on_done = on_ended};
  check_request request = {.service = caw_str_from(service)};
  bool pause = a->pause;
  memset(a, 0, sizeof(*a));
  a->pause = pause;
  assert_int_equal(
      grpc_health_v1_health_watch_async(&a->call, d->channel, &request, NULL, &events, a), 0);
}

static void until_n(duo *d, asked *a, int n) {
  for (int i = 0; i < 1000000 && a->n < n && !a->done; i++) caw_loop_run(d->loop, CAW_LOOP_ONCE);
  assert_int_equal(a->n, n);
}

static caw_health *set_up(duo *d) {
  caw_health *h;
  memset(d, 0, sizeof(*d));
  duo_init(d);
  assert_int_equal(caw_health_new(&h), 0);
  assert_int_equal(caw_health_add(d->server, h), 0);
  return h;
}

static void finish(duo *d, caw_health *h) {
  duo_finish(d);
  caw_health_free(h);
}

/* ---- Check, List ---- */

static void checked(void **state) {
  (void)state;
  duo d;
  asked a;
  caw_health *h = set_up(&d);
  check_health(&d, &a, "");
  assert_string_equal(a.statuses, "SERVING;");
  check_health(&d, &a, "a.B");
  assert_int_equal(a.code, CAW_NOT_FOUND);
  assert_string_equal(a.text, "unknown service");
  static const struct {
    caw_health_status status;
    const char *told;
  } cases[] = {{CAW_HEALTH_SERVING, "SERVING;"},
               {CAW_HEALTH_NOT_SERVING, "NOT_SERVING;"},
               {CAW_HEALTH_UNKNOWN, "UNKNOWN;"}};
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(caw_health_set(h, "a.B", cases[i].status), 0);
    check_health(&d, &a, "a.B");
    assert_int_equal(a.code, 0);
    assert_string_equal(a.statuses, cases[i].told);
  }
  assert_int_equal(caw_health_set(h, "a.B", (caw_health_status)3), CAW_EINVAL);
  assert_int_equal(caw_health_set(h, "a.B", (caw_health_status)-1), CAW_EINVAL);
  check_health(&d, &a, "a.BB"); /* no prefix, no part */
  assert_int_equal(a.code, CAW_NOT_FOUND);
  assert_int_equal(caw_health_add(d.server, h), CAW_EEXIST);
  finish(&d, h);
}

typedef struct listed {
  int done, code, n;
  char text[128], all[256];
} listed;

static void on_listed(caw_call *call, const caw_status *status, const list_response *reply,
                      void *user) {
  listed *l = user;
  (void)call;
  l->done = 1;
  l->code = status->code;
  snprintf(l->text, sizeof(l->text), "%.*s", CAW_STR_ARG(status->message));
  l->n = reply ? (int)reply->statuses.len : -1;
  for (int i = 0; i < l->n; i++) {
    size_t len = strlen(l->all);
    snprintf(l->all + len, sizeof(l->all) - len, "%.*s=%s;",
             CAW_STR_ARG(reply->statuses.items[i].key),
             name_of(reply->statuses.items[i].value->status));
  }
}

static void list_health(duo *d, listed *l) {
  list_request request = {0};
  memset(l, 0, sizeof(*l));
  assert_int_equal(grpc_health_v1_health_list_async(NULL, d->channel, &request, NULL, on_listed, l),
                   0);
  duo_until(d, &l->done);
}

static void lists(void **state) {
  (void)state;
  duo d;
  listed l;
  caw_health *h = set_up(&d);
  list_health(&d, &l);
  assert_string_equal(l.all, "=SERVING;");
  assert_int_equal(caw_health_set(h, "a.B", CAW_HEALTH_NOT_SERVING), 0);
  list_health(&d, &l);
  assert_string_equal(l.all, "=SERVING;a.B=NOT_SERVING;");
  for (int i = 2; i < 100; i++) {
    char name[16];
    snprintf(name, sizeof(name), "s%d", i);
    assert_int_equal(caw_health_set(h, name, CAW_HEALTH_SERVING), 0);
  }
  list_health(&d, &l);
  assert_int_equal(l.n, 100);
  assert_int_equal(caw_health_set(h, "one more", CAW_HEALTH_SERVING), 0);
  list_health(&d, &l);
  assert_int_equal(l.code, CAW_RESOURCE_EXHAUSTED);
  assert_string_equal(l.text, "more than 100 services cannot be listed");
  finish(&d, h);
}

/* ---- Watch ---- */

static void watched(void **state) {
  (void)state;
  duo d;
  asked a = {0}, whole = {0};
  caw_health *h = set_up(&d);
  watch_health(&d, &whole, "");
  watch_health(&d, &a, "a.B");
  until_n(&d, &a, 1);
  until_n(&d, &whole, 1);
  assert_int_equal(caw_health_set(h, "a.B", CAW_HEALTH_SERVING), 0);
  until_n(&d, &a, 2);
  assert_int_equal(caw_health_set(h, "a.B", CAW_HEALTH_SERVING), 0); /* no change */
  assert_int_equal(caw_health_set(h, "other", CAW_HEALTH_SERVING), 0);
  assert_int_equal(caw_health_set(h, "a.B", CAW_HEALTH_NOT_SERVING), 0);
  until_n(&d, &a, 3);
  duo_turns(&d, 20);
  assert_string_equal(a.statuses, "SERVICE_UNKNOWN;SERVING;NOT_SERVING;");
  assert_string_equal(whole.statuses, "SERVING;");
  caw_call_cancel(a.call);
  caw_call_cancel(whole.call);
  duo_until(&d, &a.done);
  duo_until(&d, &whole.done);
  duo_turns(&d, 20);
  assert_int_equal(caw_health_set(h, "a.B", CAW_HEALTH_SERVING), 0); /* nobody is there */
  finish(&d, h);
}

/* A watcher that does not read costs one message, and hears the latest at last. */
static void slow_watcher(void **state) {
  (void)state;
  duo d;
  asked a = {.pause = true};
  caw_health *h = set_up(&d);
  watch_health(&d, &a, "");
  until_n(&d, &a, 1);
  for (int i = 0; i < 50000; i++) {
    assert_int_equal(caw_health_set(h, "", i % 2 ? CAW_HEALTH_SERVING : CAW_HEALTH_NOT_SERVING), 0);
    if (i % 100 == 0) duo_turns(&d, 1);
  }
  assert_int_equal(caw_health_set(h, "", CAW_HEALTH_NOT_SERVING), 0);
  duo_turns(&d, 50);
  a.pause = false;
  a.statuses[0] = '\0';
  caw_call_resume(a.call);
  int before = a.n;
  while (!strstr(a.statuses, "NOT_SERVING;") || a.n < before + 1)
    caw_loop_run(d.loop, CAW_LOOP_ONCE);
  duo_turns(&d, 200);
  /* In turns 500 times, of 50,000 changes; the buffer of `statuses` may be full by then. */
  assert_in_range(a.n, 2, 1100);
  asked now;
  check_health(&d, &now, "");
  assert_string_equal(now.statuses, "NOT_SERVING;");
  caw_call_cancel(a.call);
  duo_until(&d, &a.done);
  finish(&d, h);
}

static void down_and_up(void **state) {
  (void)state;
  duo d;
  asked a = {0}, now;
  caw_health *h = set_up(&d);
  caw_health_set(h, "a.B", CAW_HEALTH_SERVING);
  watch_health(&d, &a, "a.B");
  until_n(&d, &a, 1);
  caw_health_shutdown(h);
  until_n(&d, &a, 2);
  assert_int_equal(caw_health_set(h, "a.B", CAW_HEALTH_SERVING), 0); /* ignored */
  assert_int_equal(caw_health_set(h, "new", CAW_HEALTH_SERVING), 0);
  check_health(&d, &now, "new");
  assert_string_equal(now.statuses, "NOT_SERVING;");
  check_health(&d, &now, "");
  assert_string_equal(now.statuses, "NOT_SERVING;");
  caw_health_resume(h);
  until_n(&d, &a, 3);
  assert_string_equal(a.statuses, "SERVING;NOT_SERVING;SERVING;");
  assert_int_equal(caw_health_set(h, "a.B", CAW_HEALTH_NOT_SERVING), 0);
  until_n(&d, &a, 4);
  caw_call_cancel(a.call);
  duo_until(&d, &a.done);
  finish(&d, h);
}

static void set_flag(void *flag) {
  *(int *)flag = 1;
}

static int keep(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request;
  (void)reply;
  d->pending = call;
  return CAW_PENDING;
}

/* The drain waits for another call; the watchers are told at once, and do not keep it. */
static void draining(void **state) {
  (void)state;
  duo d;
  asked a = {0}, slow = {.pause = true};
  heard other = {0};
  int drained = 0;
  caw_health *h = set_up(&d);
  d.on_message = keep;
  watch_health(&d, &a, "");
  watch_health(&d, &slow, "");
  until_n(&d, &a, 1);
  until_n(&d, &slow, 1);
  duo_call(&d, &other, &duo_unary, "x", NULL);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  caw_server_drain(d.server, 10000, set_flag, &drained);
  duo_until(&d, &a.done);
  assert_string_equal(a.statuses, "SERVING;NOT_SERVING;");
  assert_int_equal(a.code, CAW_UNAVAILABLE);
  assert_string_equal(a.text, "the server is shutting down");
  assert_int_equal(drained, 0);
  slow.pause = false;
  caw_call_resume(slow.call);
  duo_until(&d, &slow.done);
  assert_string_equal(slow.statuses, "SERVING;NOT_SERVING;");
  caw_call_finish(d.pending, CAW_ABORTED, NULL);
  duo_done(&d, &other);
  assert_int_equal(other.code, CAW_ABORTED);
  duo_until(&d, &drained);
  caw_server_free(d.server);
  d.server = NULL;
  finish(&d, h);
}

/* ---- Threads: statuses are set while watchers come and go, on several loops ---- */

typedef struct flipper {
  caw_health *health;
  atomic_int stop;
} flipper;

static void *flip(void *arg) {
  flipper *f = arg;
  for (unsigned i = 0; !atomic_load(&f->stop); i++) {
    char name[8];
    snprintf(name, sizeof(name), "s%u", i % 5);
    host_check(
        caw_health_set(f->health, name, i % 3 ? CAW_HEALTH_SERVING : CAW_HEALTH_NOT_SERVING) == 0);
    if (i % 50 == 0) host_pause(100);
  }
  return NULL;
}

static void *come_and_go(void *arg) {
  caw_channel *channel = arg;
  for (int i = 0; i < 60; i++) {
    caw_arena *arena = caw_arena_new(0);
    caw_stream *stream;
    check_request request = {.service = caw_str_from(i % 2 ? "s1" : "s2")};
    int rc = grpc_health_v1_health_watch(&stream, channel, &request, NULL);
    host_check(rc == 0);
    for (int k = 0; k < i % 7 && !rc; k++) {
      check_response reply = {0};
      rc = grpc_health_v1_health_watch_read(stream, &reply, arena);
      host_check(rc == 0);
      host_check(reply.status >= 1 && reply.status <= 3);
    }
    caw_call_cancel(caw_stream_call(stream));
    caw_stream_finish(stream, NULL, NULL);
    caw_arena_free(arena);
  }
  return NULL;
}

static void from_threads(void **state) {
  (void)state;
  caw_server *server;
  flipper f = {0};
  pthread_t flippers[2], watchers[3];
  caw_channel *channels[3];
  host h = {0};
  const caw_server_options o = {.size = sizeof(o), .loops = 2};
  assert_int_equal(caw_server_new(&server, &o), 0);
  assert_int_equal(caw_health_new(&f.health), 0);
  assert_int_equal(caw_health_add(server, f.health), 0);
  host_run(&h, server);
  for (int i = 0; i < 2; i++) pthread_create(&flippers[i], NULL, flip, &f);
  for (int i = 0; i < 3; i++) {
    channels[i] = host_channel(&h);
    pthread_create(&watchers[i], NULL, come_and_go, channels[i]);
  }
  for (int i = 0; i < 3; i++) pthread_join(watchers[i], NULL);
  assert_int_equal(host_stop(&h, 2000), 0); /* statuses are set meanwhile */
  atomic_store(&f.stop, 1);
  for (int i = 0; i < 2; i++) pthread_join(flippers[i], NULL);
  for (int i = 0; i < 3; i++) caw_channel_free(channels[i]);
  caw_health_free(f.health);
  host_check_all();
}

/* ---- Memory ---- */

static void memory(void **state) {
  (void)state;
  for (long n = 1;; n++) {
    duo d = {0};
    asked a = {0};
    caw_health *h = NULL;
    duo_init(&d);
    check_request request = {.service = CAW_STR("s")};
    fail_at(n);
    int rc = caw_health_new(&h);
    if (!rc) rc = caw_health_add(d.server, h);
    if (!rc) rc = caw_health_set(h, "s", CAW_HEALTH_SERVING);
    bool failed = failing.failed;
    fail_at(0);
    assert_int_equal(rc, failed ? CAW_ENOMEM : 0);
    if (!failed) {
      assert_int_equal(
          grpc_health_v1_health_check_async(&a.call, d.channel, &request, NULL, on_checked, &a), 0);
      duo_until(&d, &a.done);
      assert_int_equal(a.code, 0);
    }
    finish(&d, h);
    if (!failed) break;
  }
}

/* On another thread, whose messages take memory that a loop keeps for its own. */
static void *set_not_serving(void *arg) {
  caw_health_set(arg, "", CAW_HEALTH_NOT_SERVING);
  return NULL;
}

/* A watch ends with an error rather than miss a change for want of memory. */
static void memory_of_a_watch(void **state) {
  (void)state;
  int ended = 0;
  for (long n = 1;; n++) {
    duo d;
    asked a = {0}, now;
    caw_health *h = set_up(&d);
    check_health(&d, &now, ""); /* the connection */
    watch_health(&d, &a, "");
    until_n(&d, &a, 1);
    fail_at(n);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, set_not_serving, h), 0);
    pthread_join(t, NULL);
    for (int i = 0; i < 50; i++) caw_loop_run(d.loop, CAW_LOOP_NOWAIT);
    bool failed = failing.failed;
    fail_at(0);
    for (int i = 0; i < 100000 && !a.done && a.n < 2; i++) caw_loop_run(d.loop, CAW_LOOP_NOWAIT);
    assert_true(a.done || a.n == 2);
    if (a.done) ended++;
    else {
      caw_call_cancel(a.call);
      duo_until(&d, &a.done);
    }
    finish(&d, h);
    if (!failed) break;
  }
  assert_true(ended > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(checked),       cmocka_unit_test(lists),
      cmocka_unit_test(watched),       cmocka_unit_test(slow_watcher),
      cmocka_unit_test(down_and_up),   cmocka_unit_test(draining),
      cmocka_unit_test(from_threads),  failing_test(memory),
      failing_test(memory_of_a_watch),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
