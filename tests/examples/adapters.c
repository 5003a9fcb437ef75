/*
 * The adapters to other event loops, detached from inside a callback of the loop
 * that they run: by one that was posted before the host runs, and by one that
 * another thread posts while the host sleeps. Nothing is read after it is freed
 * (the sanitizers see that), nothing is left, and the host runs on.
 */
#include <caw/adapters/glib.h>
#include <caw/adapters/libevent.h>
#include <caw/adapters/libuv.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>

typedef struct host host;

/* A host with an adapter of ours. */
struct host {
  const char *name;
  void (*begin)(host *h);
  void (*round)(host *h); /* of its loop, which sleeps until there is something */
  void (*detach)(host *h);
  void (*end)(host *h); /* what is left of the host */
  caw_loop *loop;
  void *base, *adapter;
  int detached;
};

/* -- GLib ---------------------------------------------------------------- */

static void glib_begin(host *h) {
  GMainContext *context = g_main_context_new();
  GSource *source = caw_glib_source_new(h->loop);
  g_source_attach(source, context);
  h->base = context;
  h->adapter = source;
}

static void glib_round(host *h) {
  g_main_context_iteration(h->base, TRUE);
}

static void glib_detach(host *h) {
  g_source_destroy(h->adapter);
  g_source_unref(h->adapter);
}

static void glib_end(host *h) {
  assert_false(g_main_context_iteration(h->base, FALSE));
  g_main_context_unref(h->base);
}

/* -- libevent ------------------------------------------------------------ */

static void libevent_begin(host *h) {
  caw_libevent *adapter = NULL;
  h->base = event_base_new();
  assert_non_null(h->base);
  assert_int_equal(caw_libevent_attach(&adapter, h->loop, h->base), 0);
  h->adapter = adapter;
}

static void libevent_round(host *h) {
  event_base_loop(h->base, EVLOOP_ONCE);
}

static void libevent_detach(host *h) {
  caw_libevent_detach(h->adapter);
}

static void libevent_end(host *h) {
  assert_int_equal(event_base_loop(h->base, 0), 1); /* no events are left */
  event_base_free(h->base);
}

/* -- libuv --------------------------------------------------------------- */

static void libuv_begin(host *h) {
  static uv_loop_t base;
  caw_uv *adapter = NULL;
  assert_int_equal(uv_loop_init(&base), 0);
  assert_int_equal(caw_uv_attach(&adapter, h->loop, &base), 0);
  h->base = &base;
  h->adapter = adapter;
}

static void libuv_round(host *h) {
  uv_run(h->base, UV_RUN_ONCE);
}

static void libuv_detach(host *h) {
  caw_uv_detach(h->adapter);
}

static void libuv_end(host *h) {
  assert_int_equal(uv_run(h->base, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(h->base), 0);
}

/* -- all of them --------------------------------------------------------- */

static const host hosts[] = {
    {"GLib", glib_begin, glib_round, glib_detach, glib_end, NULL, NULL, NULL, 0},
    {"libevent", libevent_begin, libevent_round, libevent_detach, libevent_end, NULL, NULL, NULL,
     0},
    {"libuv", libuv_begin, libuv_round, libuv_detach, libuv_end, NULL, NULL, NULL, 0},
};

static void detach(void *user) {
  host *h = user;
  h->detach(h);
  h->adapter = NULL;
  h->detached++;
}

static void *post_detach(void *user) {
  host *h = user;
  caw_loop_post(h->loop, detach, h);
  return NULL;
}

static void count(void *user) {
  ++*(int *)user;
}

#define HOUR_MS 3600000

/* A timer of the loop that is not due: the adapter has a time-out to set. */
static void check(const host *which, bool other_thread) {
  host h = *which;
  pthread_t thread;
  caw_timer *timer;
  int fired = 0, rounds = 0;
  assert_int_equal(caw_loop_new(&h.loop), 0);
  assert_int_equal(caw_timer_new(&timer, h.loop, count, &fired), 0);
  caw_timer_start(timer, HOUR_MS);
  h.begin(&h);
  if (other_thread) {
    /* Past what attaching makes the host do. */
    caw_loop_post(h.loop, count, &rounds);
    while (!rounds) h.round(&h);
    assert_int_equal(pthread_create(&thread, NULL, post_detach, &h), 0);
  } else {
    post_detach(&h);
  }
  while (!h.detached) h.round(&h);
  if (other_thread) pthread_join(thread, NULL);
  caw_timer_free(timer);
  caw_loop_free(h.loop);
  h.end(&h);
  assert_int_equal(fired, 0);
  if (h.detached != 1) fail_msg("%s: detached %d times", h.name, h.detached);
}

static void test_posted(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) check(&hosts[i], false);
}

static void test_from_a_thread(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) check(&hosts[i], true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_posted),
      cmocka_unit_test(test_from_a_thread),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  libevent_global_shutdown();
  return failed;
}
