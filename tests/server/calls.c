/* The callback face of both sides: what handlers return and do, and what the
 * other side hears of it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"

#include <caw/trace_context.h>
#include "server/server.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define DUO(d)                                                                                     \
  duo d = {0};                                                                                     \
  duo_init(&d)

/* ---- The four kinds ---- */

static void each_kind(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  duo_call(&d, &h, &duo_unary, "one", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "one");
  duo_call(&d, &h, &duo_server_stream, "two", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "two");
  duo_call(&d, &h, &duo_client_stream, NULL, NULL);
  assert_int_equal(duo_send(&h, "a"), 0);
  assert_int_equal(duo_send(&h, "b"), 0);
  assert_int_equal(caw_call_close_send(h.call), 0);
  assert_int_equal(caw_call_close_send(h.call), CAW_ESTATE);
  assert_int_equal(duo_send(&h, "late"), CAW_ESTATE);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "sum");
  duo_call(&d, &h, &duo_bidi, NULL, NULL);
  assert_int_equal(duo_send(&h, "x"), 0);
  duo_until(&d, &h.n_replies);
  assert_int_equal(duo_send(&h, "y"), 0);
  caw_call_close_send(h.call);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "x|y");
  assert_string_equal(d.log, "message one;message two;open;message a;message b;end;"
                             "open;message x;message y;end;");
  assert_int_equal(d.summaries, 4);
  duo_finish(&d);
}

static void an_empty_stream(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  duo_call(&d, &h, &duo_client_stream, NULL, NULL);
  caw_call_close_send(h.call);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(d.log, "open;end;");
  duo_finish(&d);
}

/* ---- What a handler returns ---- */

static int return_extra(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)call;
  (void)request;
  (void)reply;
  return *(int *)d->extra;
}

static int fail_with_text(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request;
  (void)reply;
  return caw_call_fail(call, *(int *)d->extra, "text %d", 7);
}

static void return_values(void **state) {
  (void)state;
  static const struct {
    int returned, code;
    const char *text; /* with caw_call_fail */
  } cases[] = {
      {CAW_CANCELLED, CAW_CANCELLED, "text 7"},
      {CAW_NOT_FOUND, CAW_NOT_FOUND, "text 7"},
      {CAW_UNAUTHENTICATED, CAW_UNAUTHENTICATED, "text 7"},
      {CAW_ENOMEM, CAW_RESOURCE_EXHAUSTED, ""},
      {CAW_EINVAL, CAW_INTERNAL, ""},
      {17, CAW_INTERNAL, ""},
      {-7, CAW_INTERNAL, ""},
  };
  static const caw_method *const methods[] = {&duo_unary, &duo_server_stream, &duo_client_stream,
                                              &duo_bidi};
  DUO(d);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    for (size_t m = 0; m < 4; m++)
      for (int text = 0; text < 2; text++) {
        heard h = {0};
        int returned = cases[i].returned;
        d.extra = &returned;
        d.on_message = text ? fail_with_text : return_extra;
        duo_call(&d, &h, methods[m], m < 2 ? "x" : NULL, NULL);
        if (m >= 2) assert_int_equal(duo_send(&h, "x"), 0);
        duo_done(&d, &h);
        assert_int_equal(h.code, cases[i].code);
        assert_string_equal(h.message, text ? cases[i].text : "");
        assert_int_equal(d.last_code, cases[i].code);
      }
  duo_finish(&d);
}

/* ---- Later ---- */

static int keep(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request;
  (void)reply;
  d->pending = call;
  duo_listen(d, call);
  return CAW_PENDING;
}

static void finished_later(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  caw_str text = CAW_STR("later");
  d.on_message = keep;
  duo_call(&d, &h, &duo_unary, "x", NULL);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  assert_int_equal(caw_call_reply(d.pending, &text), 0);
  assert_int_equal(caw_call_finish(d.pending, 0, NULL), CAW_ESTATE);
  assert_int_equal(caw_call_send(d.pending, &text), CAW_ESTATE);
  assert_int_equal(d.n_done, 0); /* never inside the call that asked for it */
  duo_done(&d, &h);
  assert_string_equal(h.replies, "later");
  duo_until(&d, &d.n_done);
  assert_string_equal(d.log, "message x;done OK;");
  duo_finish(&d);
}

static void *finish_from_thread(void *arg) {
  duo *d = arg;
  char text[16];
  for (int i = 0; i < 100; i++) {
    snprintf(text, sizeof(text), "%d", i);
    caw_str s = caw_str_from(text);
    assert_int_equal(caw_call_send(d->pending, &s), 0);
  }
  caw_call_add_trailer(d->pending, caw_str_from("x-thread"), caw_str_from("yes"));
  assert_int_equal(caw_call_finish(d->pending, CAW_ABORTED, "from a thread"), 0);
  return NULL;
}

static void finished_from_another_thread(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  pthread_t thread;
  d.on_message = keep;
  duo_call(&d, &h, &duo_server_stream, "x", NULL);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  assert_int_equal(pthread_create(&thread, NULL, finish_from_thread, &d), 0);
  duo_done(&d, &h);
  pthread_join(thread, NULL);
  assert_int_equal(h.n_replies, 100);
  assert_true(!strncmp(h.replies, "0|1|2|3|4|5|6|7|8|9|10|11|", 26));
  assert_int_equal(h.code, CAW_ABORTED);
  assert_string_equal(h.message, "from a thread");
  assert_string_equal(h.trailers, "x-thread=yes;");
  duo_finish(&d);
}

/* ---- Cancellation and deadlines ---- */

static void cancelled_by_the_client(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  caw_str text = CAW_STR("x");
  d.on_message = keep;
  duo_call(&d, &h, &duo_unary, "x", NULL);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  caw_call_cancel(h.call);
  assert_int_equal(h.n_done, 0);
  duo_done(&d, &h);
  assert_int_equal(h.code, CAW_CANCELLED);
  assert_string_equal(h.message, "cancelled by the caller");
  duo_until(&d, &d.n_cancel);
  duo_turns(&d, 5);
  assert_int_equal(d.n_done, 0); /* the handler has not finished */
  assert_int_equal(caw_call_send(d.pending, &text), CAW_ECLOSED);
  assert_int_equal(caw_call_finish(d.pending, 0, NULL), 0);
  duo_until(&d, &d.n_done);
  assert_string_equal(d.log, "message x;cancel;done CANCELLED;");
  duo_finish(&d);
}

static void cancelled_before_it_begins(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  duo_call(&d, &h, &duo_unary, "x", NULL);
  caw_call_cancel(h.call);
  duo_done(&d, &h);
  assert_int_equal(h.code, CAW_CANCELLED);
  assert_string_equal(d.log, "");
  duo_finish(&d);
}

static int listen_only(duo *d, caw_call *call) {
  duo_listen(d, call);
  return 0;
}

static void a_stream_cancelled_between_messages(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  d.on_open = listen_only;
  duo_call(&d, &h, &duo_bidi, NULL, NULL);
  duo_send(&h, "x");
  duo_until(&d, &h.n_replies);
  caw_call_cancel(h.call);
  duo_done(&d, &h);
  duo_until(&d, &d.n_done); /* nobody promised to finish: it ends by itself */
  assert_string_equal(d.log, "open;message x;cancel;done CANCELLED;");
  duo_finish(&d);
}

static uint64_t noted_at, time_given; /* the loop's time, and of the call */

static int note_time_left(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  uint64_t left = caw_call_time_left(call);
  assert_true(left > 0 && left <= time_given);
  noted_at = caw_loop_now(d->loop);
  return keep(d, call, request, reply);
}

static void the_deadline_passes(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  caw_call_options o = {.size = sizeof(o), .timeout_ms = 100};
  uint64_t began = 0;
  d.on_message = note_time_left;
  while (!d.pending) { /* on a busy machine it may pass before the call comes */
    o.timeout_ms *= 2;
    assert_in_range(o.timeout_ms, 0, 15000);
    time_given = o.timeout_ms * UINT64_C(1000000);
    began = caw_loop_now(d.loop);
    duo_call(&d, &h, &duo_unary, "x", &o);
    duo_done(&d, &h);
    assert_int_equal(h.code, CAW_DEADLINE_EXCEEDED);
  }
  duo_until(&d, &d.n_cancel);
  /* The client's reset may come first: the server's time began when the call came. So what is
   * left is no more than the time that it took to come. */
  assert_true(caw_call_time_left(d.pending) <= noted_at - began);
  while (caw_call_time_left(d.pending) > 0) caw_loop_run(d.loop, CAW_LOOP_NOWAIT);
  assert_int_equal(caw_call_finish(d.pending, 0, NULL), 0);
  duo_until(&d, &d.n_done);
  duo_finish(&d);
}

static int no_deadline(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d;
  assert_true(caw_call_deadline(call) == UINT64_MAX);
  assert_true(caw_call_time_left(call) == UINT64_MAX);
  *reply = *request;
  return 0;
}

static void without_a_deadline(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  d.on_message = no_deadline;
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  duo_finish(&d);
}

/* A server's call makes a client's call: its cancellation and deadline pass on. */
typedef struct relay {
  heard h;
  caw_call *outer;
} relay;

static int relay_once(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  relay *r = d->extra;
  if (r->outer) return keep(d, call, request, reply);
  r->outer = call;
  caw_call_options o = {.size = sizeof(o), .parent = call};
  duo_listen(d, call);
  duo_call(d, &r->h, &duo_unary, "inner", &o);
  assert_true(caw_call_deadline(r->h.call) == caw_call_deadline(call));
  d->pending = NULL;
  return CAW_PENDING;
}

#define TRACE_ID "0123456789abcdef0123456789abcdef"
#define PARENT   "00-" TRACE_ID "-0123456789abcdef-01"
#define OWN      "00-" TRACE_ID "-fedcba9876543210-00"

static char traces[4][128];
static int n_traces;

/* The first call makes two on its behalf, the second of which has a trace of its own. */
static int relay_traces(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  static heard inner[2];
  static const caw_metadata_entry own[] = {{CAW_STR("traceparent"), CAW_STR(OWN)}};
  caw_trace_context t;
  assert_true(caw_call_trace_context(call, &t));
  snprintf(traces[n_traces++], sizeof(traces[0]), "%.*s %.*s %d", CAW_STR_ARG(t.trace_id),
           CAW_STR_ARG(t.parent_id), t.sampled);
  *reply = *request;
  if (n_traces > 1) return 0;
  memset(inner, 0, sizeof(inner));
  for (int i = 0; i < 2; i++) {
    const caw_call_options o = {
        .size = sizeof(o), .parent = call, .metadata = own, .metadata_len = (size_t)i};
    duo_call(d, &inner[i], &duo_unary, "inner", &o);
    assert_false(caw_call_trace_context(inner[i].call, &t)); /* a client's has none */
  }
  d->extra = inner;
  return 0;
}

static void a_trace_is_handed_on(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  const caw_metadata_entry entry[] = {{CAW_STR("traceparent"), CAW_STR(PARENT)}};
  const caw_call_options o = {.size = sizeof(o), .metadata = entry, .metadata_len = 1};
  n_traces = 0;
  d.on_message = relay_traces;
  duo_call(&d, &h, &duo_unary, "outer", &o);
  duo_done(&d, &h);
  heard *inner = d.extra;
  for (int i = 0; i < 2; i++)
    if (!inner[i].n_done) duo_until(&d, &inner[i].n_done);
  assert_int_equal(n_traces, 3);
  assert_string_equal(traces[0], TRACE_ID " 0123456789abcdef 1");
  /* Its parent may be over by the time they run: they were cancelled, or not; what came, came so.
   */
  assert_string_equal(traces[1], TRACE_ID " 0123456789abcdef 1");
  assert_string_equal(traces[2], TRACE_ID " fedcba9876543210 0");
  duo_finish(&d);
}

static void passed_on(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  relay r = {0};
  caw_call_options o = {.size = sizeof(o), .timeout_ms = 60000};
  d.extra = &r;
  d.on_message = relay_once;
  duo_call(&d, &h, &duo_unary, "outer", &o);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  assert_true(caw_call_time_left(d.pending) < 60000 * UINT64_C(1000000));
  caw_call *inner = d.pending;
  caw_call_cancel(h.call);
  duo_done(&d, &h);
  duo_until(&d, &r.h.n_done);
  assert_int_equal(r.h.code, CAW_CANCELLED);
  while (d.n_cancel < 2) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  assert_int_equal(caw_call_finish(inner, 0, NULL), 0);
  assert_int_equal(caw_call_finish(r.outer, 0, NULL), 0);
  while (d.n_done < 2) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  duo_finish(&d);
}

/* ---- Back-pressure ---- */

static int fill(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  static char big[1024];
  caw_str s = {big, sizeof(big)};
  (void)request;
  (void)reply;
  int sent = 0, rc;
  while ((rc = caw_call_send(call, &s)) == 0) sent++;
  assert_int_equal(rc, CAW_EAGAIN);
  assert_true(caw_call_full(call));
  *(int *)d->extra = sent;
  return keep(d, call, request, reply);
}

static void a_full_queue_drains(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  int sent = 0;
  d.extra = &sent;
  d.on_message = fill;
  duo_call(&d, &h, &duo_server_stream, "x", NULL);
  duo_until(&d, &d.n_drain);
  assert_int_equal(sent, 64); /* 64 KiB: 63 x 1,029 is less, 64 x 1,029 is not */
  assert_false(caw_call_full(d.pending));
  assert_int_equal(caw_call_finish(d.pending, 0, NULL), 0);
  duo_done(&d, &h);
  assert_int_equal(h.n_replies, sent);
  duo_finish(&d);
}

static int stream_on(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  static char big[16 * 1024];
  caw_str s = {big, sizeof(big)};
  (void)request;
  (void)reply;
  if (!d->pending) keep(d, call, &s, NULL);
  return CAW_PENDING;
}

/* A client that pauses stops the server after a bounded number of bytes, and
 * what was on its way is delivered after it resumes. */
static void a_paused_client_stops_the_server(void **state) {
  (void)state;
  static char big[16 * 1024];
  caw_str s = {big, sizeof(big)};
  DUO(d);
  heard h = {0};
  h.pause = true;
  d.on_message = stream_on;
  duo_call(&d, &h, &duo_server_stream, "x", NULL);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  int taken = 0;
  for (int quiet = 0; quiet < 50;) { /* until nothing moves any more */
    if (caw_call_send(d.pending, &s) == 0) {
      taken++;
      quiet = 0;
    } else {
      quiet++;
    }
    duo_turns(&d, 1);
    assert_true(taken < 100);
  }
  /* The stream's window is 256 KiB, the send buffer 64 KiB and one message. */
  assert_in_range(taken, 16, 22);
  assert_int_equal(h.n_replies, 1);
  caw_call_finish(d.pending, 0, NULL);
  duo_turns(&d, 20);
  assert_int_equal(h.n_done, 0); /* not before the messages */
  caw_call_resume(h.call);
  duo_done(&d, &h);
  assert_int_equal(h.n_replies, taken);
  duo_finish(&d);
}

/* ---- Metadata ---- */

static int answer_metadata(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request;
  const caw_metadata *m = caw_call_metadata(call);
  duo_note(d, "x=%.*s;", CAW_STR_ARG(caw_metadata_get(m, "x")));
  assert_true(caw_str_eq(caw_metadata_get(m, "x-bin"), caw_str_of("\0\xff", 2)));
  assert_int_equal(caw_call_add_header(call, caw_str_from("x-head"), caw_str_from("h")), 0);
  assert_int_equal(caw_call_add_trailer(call, caw_str_from("x-tail"), caw_str_from("t")), 0);
  assert_int_equal(caw_call_add_header(call, caw_str_from("grpc-x"), caw_str_from("h")),
                   CAW_EINVAL);
  assert_int_equal(caw_call_add_header(call, caw_str_from("X"), caw_str_from("h")), CAW_EINVAL);
  assert_int_equal(caw_call_add_trailer(call, caw_str_from("x"), caw_str_from("a\nb")), CAW_EINVAL);
  assert_int_equal(caw_call_add_trailer(call, caw_str_from(""), caw_str_from("a")), CAW_EINVAL);
  assert_true(caw_call_peer(call).len > strlen("ipv4:127.0.0.1:"));
  assert_true(caw_call_authority(call).len > 0);
  assert_ptr_equal(caw_call_method(call), &duo_unary);
  assert_int_equal(caw_call_send_headers(call), 0);
  assert_int_equal(caw_call_send_headers(call), CAW_ESTATE);
  assert_int_equal(caw_call_add_header(call, caw_str_from("x"), caw_str_from("h")), CAW_ESTATE);
  *reply = caw_str_from("r");
  return 0;
}

static void metadata_both_ways(void **state) {
  (void)state;
  static const caw_metadata_entry entries[] = {{CAW_STR("x"), CAW_STR("1")},
                                               {CAW_STR("x-bin"), CAW_STR("\0\xff")}};
  static const caw_metadata_entry bad[] = {{CAW_STR("te"), CAW_STR("gzip")}};
  DUO(d);
  heard h = {0};
  caw_call_options o = {.size = sizeof(o), .metadata = entries, .metadata_len = 2};
  d.on_message = answer_metadata;
  duo_call(&d, &h, &duo_unary, "q", &o);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_int_equal(h.n_metadata, 1);
  assert_string_equal(h.metadata, "x-head=h;");
  assert_string_equal(h.trailers, "x-tail=t;");
  assert_string_equal(d.log, "message q;x=1;");
  caw_client_events events = {NULL, NULL, NULL, NULL, NULL};
  o.metadata = bad;
  o.metadata_len = 1;
  assert_int_equal(caw_call_start(NULL, d.channel, &duo_unary, &o, &events, NULL), CAW_EINVAL);
  duo_finish(&d);
}

/* ---- Limits ---- */

static void messages_larger_than_the_limit(void **state) {
  (void)state;
  duo d = {0};
  d.server_options.max_receive = 100;
  d.channel_options.max_receive = 50;
  duo_init(&d);
  char text[102];
  static const struct {
    size_t len;
    int code;
    const char *message;
  } cases[] = {
      {50, 0, ""},
      {51, CAW_RESOURCE_EXHAUSTED, "a message is larger than the receiver's limit"},
      {101, CAW_RESOURCE_EXHAUSTED, "a message is larger than the receiver's limit"},
  };
  static const caw_method *const methods[] = {&duo_unary, &duo_server_stream};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    for (int m = 0; m < 2; m++) {
      heard h = {0};
      memset(text, 'x', sizeof(text));
      text[cases[i].len] = '\0';
      duo_call(&d, &h, methods[m], text, NULL);
      duo_done(&d, &h);
      assert_int_equal(h.code, cases[i].code);
      assert_string_equal(h.message, cases[i].message);
    }
  duo_finish(&d);
}

/* More calls than the server takes at once: the rest waits, none fails. */
static void more_calls_than_streams(void **state) {
  (void)state;
  enum { CALLS = 50 };
  duo d = {0};
  d.server_options.max_streams = 7;
  duo_init(&d);
  static heard h[CALLS];
  for (int i = 0; i < CALLS; i++) {
    memset(&h[i], 0, sizeof(h[i]));
    duo_call(&d, &h[i], &duo_unary, "x", NULL);
  }
  for (int i = 0; i < CALLS; i++) {
    duo_until(&d, &h[i].n_done);
    assert_int_equal(h[i].code, 0);
  }
  duo_finish(&d);
}

/* Clients that keep as many calls open as they are told they may are never
 * refused: the next call is opened as soon as one has ended. */
enum { CHANNELS = 20, AT_ONCE = 100, IN_ALL = 40000 };

typedef struct crowd {
  int started, ended, all_ended;
} crowd;

static void crowd_done(caw_call *call, const caw_status *status, const void *reply, void *user);

static void crowd_start(crowd *c, caw_channel *channel) {
  caw_str text = CAW_STR("x");
  caw_call *call;
  c->started++;
  assert_int_equal(
      caw_call_start_unary(&call, channel, &duo_unary, &text, NULL, crowd_done, NULL, channel), 0);
  caw_call_set_data(call, c);
}

static void crowd_done(caw_call *call, const caw_status *status, const void *reply, void *user) {
  crowd *c = caw_call_data(call);
  assert_int_equal(status->code, 0);
  assert_non_null(reply);
  c->ended++;
  if (c->started < IN_ALL) crowd_start(c, user);
  if (c->ended == IN_ALL) c->all_ended = 1;
}

static int echo_unary(caw_call *call, const void *request, void *reply, const void *impl,
                      void *self) {
  (void)call, (void)impl, (void)self;
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static void *run_server(void *server) {
  assert_int_equal(caw_server_run(server), 0);
  return NULL;
}

static void honest_clients_are_never_refused(void **state) {
  (void)state;
  static const caw_handler handler = {&duo_unary, echo_unary, NULL, NULL};
  DUO(d);
  crowd c = {0};
  caw_channel *channels[CHANNELS];
  caw_server *server; /* on a thread of its own, so that input comes at any time */
  pthread_t thread;
  assert_int_equal(caw_server_new(&server, NULL), 0);
  assert_int_equal(caw_server_add(server, &handler, 1, NULL, NULL), 0);
  assert_int_equal(caw_server_listen(server, "127.0.0.1:0"), 0);
  assert_int_equal(pthread_create(&thread, NULL, run_server, server), 0);
  for (int i = 0; i < CHANNELS; i++) {
    const char *target = caw_server_address(server, 0);
    assert_int_equal(caw_channel_new(&channels[i], target, &d.channel_options, NULL), 0);
    for (int n = 0; n < AT_ONCE; n++) crowd_start(&c, channels[i]);
  }
  duo_until(&d, &c.all_ended);
  for (int i = 0; i < CHANNELS; i++) caw_channel_free(channels[i]);
  caw_server_drain(server, 5000, NULL, NULL);
  pthread_join(thread, NULL);
  assert_int_equal(server->workers[0].refused, 0);
  caw_server_free(server);
  duo_finish(&d);
}

static void an_unknown_method(void **state) {
  (void)state;
  static const caw_method unknown = {"/test.Duo/Nothing", CAW_UNARY, &caw_type_bytes,
                                     &caw_type_bytes};
  DUO(d);
  heard h = {0};
  duo_call(&d, &h, &unknown, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, CAW_UNIMPLEMENTED);
  assert_string_equal(h.message, "unknown method /test.Duo/Nothing");
  assert_int_equal(d.summaries, 1);
  duo_finish(&d);
}

/* The same path, but the client thinks of it as another kind. */
static void wrong_cardinality(void **state) {
  (void)state;
  static const caw_method many_in = {"/test.Duo/Unary", CAW_BIDI, &caw_type_bytes, &caw_type_bytes};
  static const caw_method one_out = {"/test.Duo/Bidi", CAW_CLIENT_STREAM, &caw_type_bytes,
                                     &caw_type_bytes};
  static const struct {
    const caw_method *method;
    int requests;
    const char *message;
  } cases[] = {
      {&many_in, 0, "the method takes one request, none came"},
      {&many_in, 2, "the method takes one request, more came"},
      {&one_out, 0, "the server answered OK without a reply"},
      {&one_out, 2, "the server sent more than one reply"},
  };
  DUO(d);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    heard h = {0};
    duo_call(&d, &h, cases[i].method, NULL, NULL);
    for (int n = 0; n < cases[i].requests; n++) duo_send(&h, "x");
    caw_call_close_send(h.call);
    duo_done(&d, &h);
    assert_int_equal(h.code, CAW_UNIMPLEMENTED);
    assert_string_equal(h.message, cases[i].message);
  }
  duo_finish(&d);
}

/* ---- Draining ---- */

static void a_drain_lets_calls_end(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  caw_str text = CAW_STR("done");
  d.on_message = keep;
  duo_call(&d, &h, &duo_unary, "x", NULL);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  caw_server_drain(d.server, 60000, NULL, NULL);
  duo_until(&d, &d.n_shutdown);
  assert_int_equal(caw_server_listen(d.server, "127.0.0.1:0"), CAW_ESTATE);
  assert_int_equal(caw_call_reply(d.pending, &text), 0);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(d.log, "message x;shutdown;done OK;");
  duo_finish(&d);
}

static void a_drain_ends_the_rest(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  d.on_message = keep;
  duo_call(&d, &h, &duo_unary, "x", NULL);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  caw_server_drain(d.server, 10, NULL, NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, CAW_UNAVAILABLE);
  assert_string_equal(h.message, "the server is shutting down");
  duo_until(&d, &d.n_cancel);
  assert_int_equal(caw_call_finish(d.pending, 0, NULL), 0);
  duo_finish(&d);
  assert_string_equal(d.log, "message x;shutdown;cancel;done UNAVAILABLE;");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_kind),
      cmocka_unit_test(an_empty_stream),
      cmocka_unit_test(return_values),
      cmocka_unit_test(finished_later),
      cmocka_unit_test(finished_from_another_thread),
      cmocka_unit_test(cancelled_by_the_client),
      cmocka_unit_test(cancelled_before_it_begins),
      cmocka_unit_test(a_stream_cancelled_between_messages),
      cmocka_unit_test(the_deadline_passes),
      cmocka_unit_test(without_a_deadline),
      cmocka_unit_test(passed_on),
      cmocka_unit_test(a_trace_is_handed_on),
      cmocka_unit_test(a_full_queue_drains),
      cmocka_unit_test(a_paused_client_stops_the_server),
      cmocka_unit_test(metadata_both_ways),
      cmocka_unit_test(messages_larger_than_the_limit),
      cmocka_unit_test(more_calls_than_streams),
      cmocka_unit_test(honest_clients_are_never_refused),
      cmocka_unit_test(an_unknown_method),
      cmocka_unit_test(wrong_cardinality),
      cmocka_unit_test(a_drain_lets_calls_end),
      cmocka_unit_test(a_drain_ends_the_rest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
