/*
 * Memory runs out at every single allocation of a server and a channel, one
 * after the other, in two ways: once, and from then on. Each run comes to an
 * end, tells what failed by a value or by the call's status exactly once, leaks
 * nothing, and leaves a server that serves the next client. What libuv and
 * c-ares allocate is not Caw's (caw/alloc.h) and does not fail here.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <caw/alloc.h>
#include <caw/channel.h>
#include <caw/channelz.h>
#include <caw/server.h>
#include <poll.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- The allocator ---- */

typedef enum fail_mode { NEVER, ONCE, FROM } fail_mode;

static struct {
  fail_mode mode;
  long left;   /* allocations until the one that fails */
  bool failed; /* one did */
  size_t live; /* bytes that are not freed */
  /* The run under way, to be named when it fails. */
  fail_mode run_mode;
  long run;
} heap;

/* In front of each piece: its size. */
typedef struct header {
  alignas(max_align_t) size_t size;
} header;

static bool denied(void) {
  if (heap.mode == NEVER) return false;
  if (heap.left > 0) heap.left--;
  bool deny = heap.left == 0;
  if (!deny) return false;
  heap.failed = true;
  if (heap.mode == ONCE) heap.mode = NEVER;
  return true;
}

static void *heap_malloc(size_t bytes, void *user) {
  (void)user;
  header *h = denied() ? NULL : malloc(sizeof(*h) + bytes);
  if (!h) return NULL;
  h->size = bytes;
  heap.live += bytes;
  return h + 1;
}

static void heap_free(void *ptr, void *user) {
  (void)user;
  header *h = (header *)ptr - 1;
  heap.live -= h->size;
  free(h);
}

/* Always moves, so that a stale pointer is found. */
static void *heap_realloc(void *old, size_t bytes, void *user) {
  void *p = heap_malloc(bytes, user);
  if (!p) return NULL;
  size_t size = ((header *)old - 1)->size;
  memcpy(p, old, size < bytes ? size : bytes);
  heap_free(old, user);
  return p;
}

static const caw_allocator allocator = {sizeof(caw_allocator), heap_malloc, heap_realloc, heap_free,
                                        NULL};

static void arm(fail_mode mode, long n) {
  heap.mode = mode;
  heap.left = n;
  heap.failed = false;
  if (mode == NEVER) return;
  heap.run_mode = mode;
  heap.run = n;
}

static int begin_test(void **state) {
  (void)state;
  arm(NEVER, 0);
  heap.live = 0; /* what a failed test has left is not the next one's */
  heap.run = 0;
  return 0;
}

static int end_test(void **state) {
  (void)state;
  if (heap.run)
    print_message("... in the run in which allocation %ld%s failed\n", heap.run,
                  heap.run_mode == ONCE ? "" : " and all after it");
  return 0;
}

/* ---- The service ---- */

enum { BIG = 40000, MANY = 12 }; /* together more than a stream's window */

static const caw_method unary = {"/test.Memory/Unary", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
static const caw_method down = {"/test.Memory/Down", CAW_SERVER_STREAM, &caw_type_bytes,
                                &caw_type_bytes};
static const caw_method up = {"/test.Memory/Up", CAW_CLIENT_STREAM, &caw_type_bytes,
                              &caw_type_bytes};
static const caw_method both = {"/test.Memory/Both", CAW_BIDI, &caw_type_bytes, &caw_type_bytes};
static const caw_method wait_for = {"/test.Memory/Wait", CAW_UNARY, &caw_type_bytes,
                                    &caw_type_bytes};

static char big[BIG];

/* A server's call that is under way; there is one at a time. */
static struct {
  caw_call *pending;
  int left; /* replies to be sent */
  int came; /* requests */
  int begun, done;
  int idle; /* all that began are done */
} served;

static caw_encoding encoding; /* of both sides' messages */

static int add_metadata(caw_call *call) {
  int rc = caw_call_add_header(call, caw_str_from("x-head"), caw_str_from("head"));
  if (!rc) rc = caw_call_add_header(call, caw_str_from("x-head-bin"), caw_str_of("\0\xff\1", 3));
  if (!rc) rc = caw_call_add_trailer(call, caw_str_from("x-tail"), caw_str_from("tail"));
  if (!rc) rc = caw_call_add_trailer(call, caw_str_from("x-tail-bin"), caw_str_of("\0\xff\2", 3));
  if (!rc && encoding) rc = caw_call_set_encoding(call, encoding);
  return rc;
}

static void send_more(caw_call *call, void *user) {
  (void)user;
  if (call != served.pending) {
    caw_call_resume(call);
    return;
  }
  caw_str text = caw_str_of(big, BIG);
  int rc = 0;
  while (served.left && !(rc = caw_call_send(call, &text))) served.left--;
  if (rc == CAW_EAGAIN) return; /* on_drain comes */
  served.pending = NULL;
  caw_call_finish(call, rc == CAW_ECLOSED ? 0 : rc, NULL);
}

static void give_up(caw_call *call, void *user) {
  (void)user;
  if (call != served.pending) return;
  served.pending = NULL;
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

static void on_end(caw_call *call, const caw_status *status, void *user) {
  (void)call, (void)status, (void)user;
  served.done++;
  served.idle = served.done == served.begun;
}

static void listen_to(caw_call *call) {
  static const caw_call_events events = {give_up, send_more, NULL, on_end};
  served.begun++;
  served.idle = 0;
  caw_call_on(call, &events, NULL);
}

static int on_unary(caw_call *call, const void *request, void *reply, const void *impl,
                    void *self) {
  (void)impl, (void)self;
  listen_to(call);
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static int on_down(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)request, (void)reply, (void)impl, (void)self;
  listen_to(call);
  int rc = add_metadata(call);
  if (rc) return rc;
  served.left = MANY;
  served.pending = call;
  send_more(call, NULL);
  return CAW_PENDING;
}

static int on_open(caw_call *call, const void *impl, void *self) {
  (void)impl, (void)self;
  listen_to(call);
  served.came = 0;
  return add_metadata(call);
}

static int on_up(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)call, (void)request, (void)reply, (void)impl, (void)self;
  served.came++;
  return 0;
}

static int on_up_end(caw_call *call, void *reply, const void *impl, void *self) {
  (void)impl, (void)self;
  caw_str text = caw_arena_printf(caw_call_arena(call), "%d", served.came);
  *(caw_str *)reply = text;
  return text.data ? 0 : CAW_ENOMEM;
}

static int on_both(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)reply, (void)impl, (void)self;
  int rc = caw_call_send(call, request);
  if (caw_call_full(call)) caw_call_pause(call); /* until on_drain */
  return rc;
}

static int on_both_end(caw_call *call, void *reply, const void *impl, void *self) {
  (void)call, (void)reply, (void)impl, (void)self;
  return caw_call_fail(call, CAW_OK, "%s", "fine");
}

static int on_wait(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)request, (void)reply, (void)impl, (void)self;
  listen_to(call);
  served.pending = call;
  served.left = 0;
  return CAW_PENDING;
}

static const caw_handler handlers[] = {
    {&unary, on_unary, NULL, NULL},   {&down, on_down, NULL, NULL},
    {&up, on_up, on_open, on_up_end}, {&both, on_both, on_open, on_both_end},
    {&wait_for, on_wait, NULL, NULL},
};

/* ---- Both ends ---- */

typedef struct ends {
  caw_loop *loop;
  caw_server *server;
  caw_channel *channel;
  caw_metrics *metrics; /* NULL: nobody looks */
  caw_channelz *channelz;
} ends;

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Runs the lent loop until *flag is set. False when that takes too long. */
static bool run_until(caw_loop *loop, const int *flag) {
  for (double end = seconds() + 10; !*flag;) {
    if (seconds() > end) return false;
    struct pollfd p = {caw_loop_fd(loop), POLLIN, 0};
    int wait = caw_loop_timeout(loop);
    poll(&p, 1, wait < 0 || wait > 1000 ? 1000 : wait);
    caw_loop_run(loop, CAW_LOOP_NOWAIT);
  }
  return true;
}

static int open_channel(caw_channel **out, const ends *e) {
  const caw_channel_options o = {.size = sizeof(o),
                                 .loop = e->loop,
                                 .backoff_initial_ms = 5,
                                 .metrics = e->metrics,
                                 .channelz = e->channelz};
  const char *why = "";
  return caw_channel_new(out, caw_server_address(e->server, 0), &o, &why);
}

/* Makes both; what could not be made stays NULL. */
static int open_ends(ends *e, bool watched) {
  memset(e, 0, sizeof(*e));
  memset(&served, 0, sizeof(served));
  served.idle = 1;
  int rc = caw_loop_new(&e->loop);
  if (!rc && watched) rc = caw_metrics_new(&e->metrics);
  if (!rc && watched) rc = caw_channelz_new(&e->channelz);
  if (rc) return rc;
  const caw_server_options o = {
      .size = sizeof(o), .loop = e->loop, .metrics = e->metrics, .channelz = e->channelz};
  rc = caw_server_new(&e->server, &o);
  if (!rc)
    rc = caw_server_add(e->server, handlers, sizeof(handlers) / sizeof(handlers[0]), NULL, NULL);
  if (!rc) rc = caw_server_listen(e->server, "127.0.0.1:0");
  if (!rc) rc = open_channel(&e->channel, e);
  return rc;
}

static void close_ends(ends *e) {
  caw_channel_free(e->channel);
  caw_server_free(e->server);
  assert_int_equal(served.done, served.begun); /* each exactly once */
  caw_metrics_unref(e->metrics);
  caw_channelz_unref(e->channelz);
  caw_loop_free(e->loop);
}

/* ---- A call ---- */

typedef struct heard {
  caw_call *call;
  int code, done, replies;
  size_t bytes;
  bool metadata; /* the leading one was complete */
  bool trailers;
  bool cancel; /* at the first reply */
  int to_send; /* requests */
} heard;

static bool has(const caw_metadata *m, const char *key, const char *value, size_t len) {
  return caw_str_eq(caw_metadata_get(m, key), caw_str_of(value, len));
}

static void on_metadata(caw_call *call, const caw_metadata *metadata, void *user) {
  heard *h = user;
  (void)call;
  assert_int_equal(h->done, 0);
  h->metadata = has(metadata, "x-head", "head", 4) && has(metadata, "x-head-bin", "\0\xff\1", 3);
}

static void send_requests(caw_call *call, heard *h) {
  caw_str text = caw_str_of(big, BIG);
  int rc = 0;
  while (h->to_send && !(rc = caw_call_send(call, &text))) h->to_send--;
  if (rc == CAW_EAGAIN || rc == CAW_ECLOSED) return; /* on_drain or on_done comes */
  if (rc) {
    assert_int_equal(rc, CAW_ENOMEM);
    caw_call_cancel(call);
  } else {
    caw_call_close_send(call);
  }
}

static void on_drain(caw_call *call, void *user) {
  send_requests(call, user);
}

static void on_reply(caw_call *call, const void *message, void *user) {
  heard *h = user;
  assert_int_equal(h->done, 0);
  h->replies++;
  h->bytes += ((const caw_str *)message)->len;
  if (h->cancel) caw_call_cancel(call);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  heard *h = user;
  const caw_metadata *m = caw_call_trailers(call);
  h->done++;
  h->code = status->code;
  h->trailers = has(m, "x-tail", "tail", 4) && has(m, "x-tail-bin", "\0\xff\2", 3);
}

static const caw_client_events client_events = {on_metadata, on_reply, on_drain, on_done, NULL};

static const caw_metadata_entry entries[] = {
    {CAW_STR("x-request"), CAW_STR("request")},
    {CAW_STR("x-request-bin"), CAW_STR("\0\1\2\3")},
    {CAW_STR("authorization"), CAW_STR("secret")},
};

static int start(heard *h, caw_channel *channel, const caw_method *method, uint64_t timeout) {
  caw_str text = CAW_STR("question");
  const caw_call_options o = {.size = sizeof(o),
                              .timeout_ms = timeout,
                              .metadata = entries,
                              .metadata_len = 3,
                              .encoding = encoding};
  bool one = method->kind == CAW_UNARY || method->kind == CAW_SERVER_STREAM;
  h->call = NULL;
  int rc = one ? caw_call_start_with(&h->call, channel, method, &text, &o, &client_events, h)
               : caw_call_start(&h->call, channel, method, &o, &client_events, h);
  if (!rc && !one) send_requests(h->call, h);
  return rc;
}

/* ---- Scenarios ---- */

/* Each returns 0 when all went as without a failure, or else the error or
 * status that it ended with; *e is there. */
typedef struct scenario {
  const char *name;
  int (*run)(ends *e);
  bool drains;  /* the server is of no use afterwards */
  bool watched; /* with metrics and channelz */
} scenario;

/* A status that may tell of a failed allocation. */
static void check_status(int code) {
  if (code != CAW_RESOURCE_EXHAUSTED && code != CAW_INTERNAL && code != CAW_UNAVAILABLE &&
      code != CAW_CANCELLED)
    fail_msg("status %s", caw_code_name(code));
}

/* Waits for the end of the call, and of the handler that it had. */
static void await_end(ends *e, heard *h) {
  if (!run_until(e->loop, &h->done)) fail_msg("the call never ended");
  if (!run_until(e->loop, &served.idle)) fail_msg("the handler was never told");
}

static int make_call(ends *e, const caw_method *method, int requests, uint64_t timeout, heard *h) {
  memset(h, 0, sizeof(*h));
  h->to_send = requests;
  int rc = start(h, e->channel, method, timeout);
  if (rc) {
    assert_int_equal(rc, CAW_ENOMEM);
    for (int i = 0; i < 5; i++) caw_loop_run(e->loop, CAW_LOOP_NOWAIT);
    assert_int_equal(h->done, 0); /* an error returned is not told again */
    return rc;
  }
  await_end(e, h);
  assert_int_equal(h->done, 1);
  return h->code;
}

static int call_unary(ends *e) {
  heard h;
  int code = make_call(e, &unary, 0, 0, &h);
  if (code > 0) check_status(code);
  if (code == 0) assert_int_equal(h.bytes, 8);
  return code;
}

static void check_metadata(const heard *h) {
  assert_true(h->metadata);
  assert_true(h->trailers);
}

static int call_down(ends *e) {
  heard h;
  int code = make_call(e, &down, 0, 0, &h);
  if (code > 0) check_status(code);
  if (code) return code;
  assert_int_equal(h.bytes, MANY * BIG);
  check_metadata(&h);
  return 0;
}

static int call_up(ends *e) {
  heard h;
  int code = make_call(e, &up, MANY, 0, &h);
  if (code > 0) check_status(code);
  if (code) return code;
  assert_int_equal(served.came, MANY);
  check_metadata(&h);
  return 0;
}

static int call_both(ends *e) {
  heard h;
  int code = make_call(e, &both, 3, 0, &h);
  if (code > 0) check_status(code);
  if (code) return code;
  assert_int_equal(h.bytes, 3 * BIG);
  check_metadata(&h);
  return 0;
}

static int call_compressed(ends *e) {
  encoding = CAW_ENCODING_GZIP;
  int code = call_both(e);
  encoding = CAW_ENCODING_DEFAULT;
  return code;
}

static int call_cancelled(ends *e) {
  heard h;
  memset(&h, 0, sizeof(h));
  h.cancel = true;
  int rc = start(&h, e->channel, &down, 0);
  if (rc) {
    assert_int_equal(rc, CAW_ENOMEM);
    return rc;
  }
  await_end(e, &h);
  assert_int_equal(h.done, 1);
  check_status(h.code);
  return h.code == CAW_CANCELLED && h.replies == 1 ? 0 : h.code;
}

static int call_expired(ends *e) {
  heard h;
  int code = make_call(e, &wait_for, 0, 20, &h);
  if (code == CAW_DEADLINE_EXCEEDED) return 0;
  if (code > 0) check_status(code);
  assert_int_not_equal(code, 0);
  return code;
}

static void set(void *flag) {
  *(int *)flag = 1;
}

static int drain(ends *e) {
  heard h;
  memset(&h, 0, sizeof(h));
  int drained = 0;
  int rc = start(&h, e->channel, &wait_for, 0);
  for (int i = 0; !rc && !h.done && !served.begun; i++) {
    struct pollfd p = {caw_loop_fd(e->loop), POLLIN, 0};
    assert_true(i < 1000);
    poll(&p, 1, caw_loop_timeout(e->loop) ? 10 : 0);
    caw_loop_run(e->loop, CAW_LOOP_NOWAIT);
  }
  caw_server_drain(e->server, 20, set, &drained);
  if (!run_until(e->loop, &drained)) fail_msg("the drain never ended");
  if (rc) return rc;
  await_end(e, &h);
  check_status(h.code);
  return h.code == CAW_UNAVAILABLE && served.done ? 0 : h.code;
}

static const scenario scenarios[] = {
    {"unary", call_unary, false, false},
    {"server stream", call_down, false, false},
    {"client stream", call_up, false, false},
    {"bidirectional", call_both, false, false},
    {"compressed", call_compressed, false, false},
    {"cancelled", call_cancelled, false, false},
    {"deadline", call_expired, false, false},
    {"drain", drain, true, false},
    {"unary, watched", call_unary, false, true},
    {"bidirectional, watched", call_both, false, true},
    {"drain, watched", drain, true, true},
};

/* A new client of the same server finds nothing amiss. */
static void serve_another(ends *e) {
  caw_channel *old = e->channel;
  assert_int_equal(open_channel(&e->channel, e), 0);
  assert_int_equal(call_unary(e), 0);
  caw_channel_free(e->channel);
  e->channel = old;
}

/* One run; false when memory did not run out in it. */
static bool run_once(const scenario *s, fail_mode mode, long n) {
  ends e;
  assert_int_equal(open_ends(&e, s->watched), 0);
  arm(mode, n);
  int rc = s->run(&e);
  bool failed = heap.failed;
  if (!failed) assert_int_equal(rc, 0);
  if (mode == ONCE) {
    arm(NEVER, 0);
    if (!s->drains) serve_another(&e);
  }
  close_ends(&e);
  arm(NEVER, 0);
  assert_int_equal(heap.live, 0);
  return failed;
}

static void run_scenario(void **state) {
  const scenario *s = *state;
  long points[2] = {0, 0};
  for (int m = 0; m < 2; m++)
    while (run_once(s, m ? FROM : ONCE, points[m] + 1)) points[m]++;
  print_message("%s: %ld points once, %ld from then on\n", s->name, points[0], points[1]);
  assert_true(points[0] > 10 && points[1] > 10);
  heap.run = 0;
}

/* ---- Making and freeing ---- */

static void make_and_free(void **state) {
  (void)state;
  for (int m = 0; m < 2; m++) {
    long n = 0;
    int rc;
    do {
      ends e;
      arm(m ? FROM : ONCE, ++n);
      rc = open_ends(&e, false);
      if (rc) assert_int_equal(rc, CAW_ENOMEM);
      assert_int_equal(rc != 0, heap.failed);
      if (rc && e.server) assert_true(!e.channel);
      close_ends(&e);
      arm(NEVER, 0);
      assert_int_equal(heap.live, 0);
    } while (rc);
    print_message("making and freeing: %ld points\n", n - 1);
    assert_true(n > 10);
  }
  heap.run = 0;
}

static void register_all(void **state) {
  (void)state;
  /* What was refused for want of memory can be tried again. */
  ends e = {0};
  assert_int_equal(caw_loop_new(&e.loop), 0);
  const caw_server_options o = {.size = sizeof(o), .loop = e.loop};
  assert_int_equal(caw_server_new(&e.server, &o), 0);
  int rc;
  long n = 0;
  do {
    arm(ONCE, ++n);
    rc = caw_server_add(e.server, handlers, 5, NULL, NULL);
    if (rc) assert_int_equal(rc, CAW_ENOMEM);
  } while (rc);
  assert_true(n > 1);
  n = 0;
  do {
    arm(ONCE, ++n);
    rc = caw_server_listen(e.server, "127.0.0.1:0");
    if (!rc) break;
    assert_int_equal(rc, CAW_ENOMEM);
    assert_non_null(strstr(caw_server_error(e.server), " memory"));
    assert_null(caw_server_address(e.server, 0));
  } while (rc);
  assert_true(n > 1);
  arm(NEVER, 0);
  assert_int_equal(open_channel(&e.channel, &e), 0);
  assert_int_equal(call_unary(&e), 0);
  close_ends(&e);
  assert_int_equal(heap.live, 0);
  heap.run = 0;
}

int main(int argc, char **argv) {
  enum { N = sizeof(scenarios) / sizeof(scenarios[0]) };
  struct CMUnitTest tests[N + 2] = {
      cmocka_unit_test_setup_teardown(make_and_free, begin_test, end_test),
      cmocka_unit_test_setup_teardown(register_all, begin_test, end_test)};
  for (int i = 0; i < N; i++) {
    struct CMUnitTest t = {scenarios[i].name, run_scenario, begin_test, end_test, NULL};
    t.initial_state = (void *)(uintptr_t)&scenarios[i];
    tests[i + 2] = t;
  }
  memset(big, 'x', sizeof(big));
  caw_set_allocator(&allocator);
  if (argc > 1) cmocka_set_test_filter(argv[1]); /* a scenario alone, by name */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
