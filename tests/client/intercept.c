/* Interceptors of a channel: their order, what they see and change, refusals, decisions that
 * come later, and cancellation and the channel's end meanwhile. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "fake.h"
#include "host.h"
#include "spy.h"

#include <pthread.h>
#include <stdio.h>

#define PAIR(p)                                                                                    \
  pair p = {0};                                                                                    \
  pair_at_channel(&p)

/* ---- Order ---- */

static void the_order(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  duo_call(&p.d, &h, &duo_unary, "seven77", NULL);
  assert_string_equal(p.journal, ""); /* nothing happens inside */
  duo_done(&p.d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "seven77");
  assert_string_equal(p.journal, "A?;B?;A out 7;B out 7;B headers;A headers;B in 7;A in 7;"
                                 "B OK;A OK;B done;A done;");
  assert_int_equal(caw_channel_intercept(p.d.channel, &spy_hooks, &p.b), CAW_ESTATE);
  duo_finish(&p.d);
}

static void a_stream(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  duo_call(&p.d, &h, &duo_bidi, NULL, NULL);
  assert_int_equal(duo_send(&h, "x"), 0);
  assert_string_equal(p.journal, "");
  duo_until(&p.d, &h.n_replies);
  assert_int_equal(duo_send(&h, "yy"), 0);
  while (h.n_replies < 2) caw_loop_run(p.d.loop, CAW_LOOP_ONCE);
  caw_call_close_send(h.call);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "x|yy");
  assert_string_equal(p.journal, "A?;B?;A out 1;B out 1;B headers;A headers;B in 1;A in 1;"
                                 "A out 2;B out 2;B in 2;A in 2;B OK;A OK;B done;A done;");
  duo_finish(&p.d);
}

static void other_kinds(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  duo_call(&p.d, &h, &duo_server_stream, "one", NULL);
  duo_done(&p.d, &h);
  assert_string_equal(h.replies, "one");
  duo_call(&p.d, &h, &duo_client_stream, NULL, NULL);
  duo_send(&h, "a");
  duo_send(&h, "b");
  caw_call_close_send(h.call);
  duo_done(&p.d, &h);
  assert_string_equal(h.replies, "sum");
  assert_int_equal(p.a.n_done, 2);
  duo_finish(&p.d);
}

/* ---- Refusals ---- */

static void refused(void **state) {
  (void)state;
  static const struct {
    int answer, code;
    const char *text, *heard;
  } cases[] = {
      {CAW_FAILED_PRECONDITION, CAW_FAILED_PRECONDITION, "log in first", "log in first"},
      {CAW_PERMISSION_DENIED, CAW_PERMISSION_DENIED, NULL, ""},
      {CAW_ENOMEM, CAW_RESOURCE_EXHAUSTED, "not told", ""},
  };
  static const caw_method *const methods[] = {&duo_unary, &duo_server_stream, &duo_client_stream,
                                              &duo_bidi};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    for (size_t m = 0; m < 4; m++) {
      PAIR(p);
      heard h = {0};
      p.a.answer = cases[i].answer;
      p.a.text = cases[i].text;
      duo_call(&p.d, &h, methods[m], m < 2 ? "x" : NULL, NULL);
      duo_done(&p.d, &h);
      assert_int_equal(h.code, cases[i].code);
      assert_string_equal(h.message, cases[i].heard);
      assert_int_equal(p.a.n_done, 1);
      assert_int_equal(p.a.done_code, cases[i].code);
      assert_int_equal(p.b.n_done, 0);
      assert_string_equal(p.d.log, ""); /* the server heard nothing */
      assert_int_equal(p.d.summaries, 0);
      assert_int_equal(caw_channel_state(p.d.channel, false), CAW_CHANNEL_IDLE);
      duo_finish(&p.d);
    }
}

/* ---- Later ---- */

static void decided_later(void **state) {
  (void)state;
  for (int code = 0; code <= CAW_UNAUTHENTICATED; code += CAW_UNAUTHENTICATED) {
    PAIR(p);
    heard h = {0};
    p.b.answer = CAW_PENDING;
    duo_call(&p.d, &h, &duo_bidi, NULL, NULL);
    assert_int_equal(duo_send(&h, "early"), 0);
    pair_until_pending(&p, &p.b);
    duo_turns(&p.d, 20);
    assert_string_equal(p.journal, "A?;B?;");
    assert_string_equal(p.d.log, "");
    caw_call_close_send(h.call);
    assert_int_equal(caw_call_decide(p.b.pending, code, "too old"), 0);
    assert_int_equal(caw_call_decide(p.b.pending, code, NULL), CAW_ESTATE);
    duo_done(&p.d, &h);
    assert_int_equal(h.code, code);
    assert_string_equal(h.message, code ? "too old" : "");
    assert_string_equal(h.replies, code ? "" : "early");
    duo_finish(&p.d);
  }
}

/* What is sent meanwhile is bounded by the send buffer. */
static void the_buffer_is_bounded(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  static char big[8192];
  int taken = 0;
  memset(big, 'z', sizeof(big) - 1);
  p.a.answer = CAW_PENDING;
  duo_call(&p.d, &h, &duo_client_stream, NULL, NULL);
  pair_until_pending(&p, &p.a);
  while (duo_send(&h, big) == 0) taken++;
  assert_int_equal(duo_send(&h, big), CAW_EAGAIN);
  assert_in_range(taken, 8, 9);
  assert_int_equal(caw_call_decide(p.a.pending, 0, NULL), 0);
  duo_until(&p.d, &h.n_drains);
  caw_call_close_send(h.call);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, 0);
  duo_finish(&p.d);
}

/* The program does not wait for one that does not answer; its answer finds nobody. */
static void cancelled_while_pending(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  p.b.answer = CAW_PENDING;
  duo_call(&p.d, &h, &duo_unary, "x", NULL);
  pair_until_pending(&p, &p.b);
  caw_call_cancel(h.call);
  assert_int_equal(h.n_done, 0);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, CAW_CANCELLED);
  assert_string_equal(p.journal, "A?;B?;B cancel;B CANCELLED;A CANCELLED;B done;A done;");
  assert_int_equal(caw_call_decide(p.b.pending, 0, NULL), CAW_ECLOSED);
  duo_finish(&p.d);
}

static void expired_while_pending(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  const caw_call_options o = {.size = sizeof(o), .timeout_ms = 20};
  p.a.answer = CAW_PENDING;
  duo_call(&p.d, &h, &duo_unary, "x", &o);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, CAW_DEADLINE_EXCEEDED);
  assert_string_equal(h.message, "the deadline is over");
  assert_int_equal(p.a.n_cancel, 1);
  assert_int_equal(caw_call_decide(p.a.pending, 0, NULL), CAW_ECLOSED);
  duo_finish(&p.d);
}

static void channel_freed_while_pending(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  p.a.answer = CAW_PENDING;
  duo_call(&p.d, &h, &duo_unary, "x", NULL);
  pair_until_pending(&p, &p.a);
  caw_channel_free(p.d.channel);
  p.d.channel = NULL;
  assert_int_equal(h.n_done, 1);
  assert_int_equal(h.code, CAW_CANCELLED);
  assert_int_equal(p.a.n_done, 1);
  assert_int_equal(caw_call_decide(p.a.pending, 0, NULL), CAW_ECLOSED);
  duo_finish(&p.d);
}

static void free_channel(spy *s, caw_call *call, caw_status *status) {
  (void)call;
  (void)status;
  if (s->d->channel) caw_channel_free(s->d->channel);
  s->d->channel = NULL;
}

static void channel_freed_inside(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  p.b.on_status = free_channel;
  duo_call(&p.d, &h, &duo_unary, "x", NULL);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, 0);
  assert_int_equal(p.a.n_done, 1);
  assert_int_equal(p.b.n_done, 1);
  duo_finish(&p.d);
}

static void cancel_inside(spy *s, caw_call *call) {
  (void)s;
  caw_call_cancel(call);
}

static void cancelled_inside(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  p.a.on_request = cancel_inside;
  duo_call(&p.d, &h, &duo_unary, "x", NULL);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, CAW_CANCELLED);
  assert_string_equal(p.journal, "A?;A CANCELLED;A done;");
  assert_string_equal(p.d.log, "");
  duo_finish(&p.d);
}

/* ---- What is changed ---- */

static void change_request(spy *s, caw_call *call) {
  (void)s;
  caw_str key = CAW_STR("x-user"), ann = CAW_STR("ann");
  const caw_metadata *m = caw_call_metadata_of(call, CAW_REQUEST_METADATA);
  assert_true(caw_str_is(caw_metadata_get(m, "x-user"), "mallory"));
  assert_int_equal(caw_call_metadata_remove(call, CAW_REQUEST_METADATA, key), 0);
  assert_int_equal(caw_call_metadata_add(call, CAW_REQUEST_METADATA, key, ann), 0);
  assert_int_equal(caw_call_metadata_add(call, CAW_RESPONSE_HEADERS, key, ann), CAW_ESTATE);
  assert_int_equal(caw_call_set_path(call, caw_str_from("/a.B/C")), CAW_ESTATE);
}

static void change_headers(spy *s, caw_call *call) {
  (void)s;
  assert_int_equal(
      caw_call_metadata_add(call, CAW_RESPONSE_HEADERS, caw_str_from("x-b"), caw_str_from("v")), 0);
  assert_int_equal(caw_call_metadata_remove(call, CAW_RESPONSE_HEADERS, caw_str_from("x-secret")),
                   0);
}

static void change_status(spy *s, caw_call *call, caw_status *status) {
  (void)s;
  assert_int_equal(caw_call_metadata_add(call, CAW_RESPONSE_TRAILERS, caw_str_from("x-c"),
                                         caw_str_from("w")),
                   0);
  status->code = CAW_DATA_LOSS;
  status->message = caw_arena_printf(caw_call_arena(call), "was %d", 7);
}

static int tell_user(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d;
  (void)request;
  caw_call_add_header(call, caw_str_from("x-secret"), caw_str_from("s"));
  *reply = caw_metadata_get(caw_call_metadata(call), "x-user");
  return 0;
}

static void changes(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  const caw_metadata_entry entry = {CAW_STR("x-user"), CAW_STR("mallory")};
  const caw_call_options o = {.size = sizeof(o), .metadata = &entry, .metadata_len = 1};
  p.a.on_request = change_request;
  p.b.on_headers = change_headers;
  p.d.on_message = tell_user;
  duo_call(&p.d, &h, &duo_unary, "x", &o);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "ann");
  assert_string_equal(h.metadata, "x-b=v;");
  p.b.on_status = change_status;
  duo_call(&p.d, &h, &duo_unary, "x", &o);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, CAW_DATA_LOSS);
  assert_string_equal(h.message, "was 7");
  assert_string_equal(h.trailers, "x-c=w;");
  duo_finish(&p.d);
}

static void make_ok(spy *s, caw_call *call, caw_status *status) {
  (void)s;
  (void)call;
  status->code = 0;
}

/* An error of the server's without leading metadata; and it stays one. */
static int fail_not_found(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d;
  (void)request;
  (void)reply;
  return caw_call_fail(call, CAW_NOT_FOUND, "gone");
}

static void an_error(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  p.a.on_status = make_ok;
  p.d.on_message = fail_not_found;
  duo_call(&p.d, &h, &duo_unary, "x", NULL);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, CAW_NOT_FOUND);
  assert_string_equal(h.message, "gone");
  assert_string_equal(p.journal, "A?;B?;A out 1;B out 1;B NOT_FOUND;A NOT_FOUND;B done;A done;");
  duo_finish(&p.d);
}

static void refuse_first(fake *f, fake_conn *c, int number) {
  (void)f;
  if (number == 0) h2_reset(c->h2, c->stream, H2_REFUSED_STREAM);
  else fake_answer(c, "second");
}

static int count_asked(caw_call *call, const caw_credentials_context *context, void *user) {
  (void)context;
  ++*(int *)user;
  return caw_call_metadata_add(call, CAW_REQUEST_METADATA, caw_str_from("x-k"), caw_str_from("v"));
}

/* A call that is sent once more by itself is one call to its interceptors and credentials. */
static void transparent_retry(void **state) {
  (void)state;
  duo d = {0};
  fake f = {0};
  heard h = {0};
  char journal[2048] = "";
  spy a = {.d = &d, .letter = 'A', .log = journal, .room = sizeof(journal)};
  int asked = 0;
  const char *why = "";
  const caw_credentials_plugin plugin = {.size = sizeof(plugin), .get = count_asked};
  assert_int_equal(caw_loop_new(&d.loop), 0);
  fake_init(&f, d.loop);
  f.on_request = refuse_first;
  caw_channel_options o = {.size = sizeof(o), .loop = d.loop};
  assert_int_equal(caw_call_credentials_new(&o.call_credentials, &plugin, &asked), 0);
  assert_int_equal(caw_channel_new(&d.channel, f.address, &o, &why), 0);
  caw_call_credentials_unref(o.call_credentials);
  assert_int_equal(caw_channel_intercept(d.channel, &spy_hooks, &a), 0);
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_until(&d, &h.n_done);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "second");
  assert_int_equal(f.n_requests, 2);
  assert_int_equal(asked, 1);
  assert_string_equal(journal, "A?;A out 1;A headers;A in 6;A OK;A done;");
  caw_channel_free(d.channel);
  fake_finish(&f);
  caw_loop_free(d.loop);
}

/* In the turn in which the server refuses the stream the program has sent all it had. */
static void send_all(void *user) {
  heard *h = user;
  assert_int_equal(duo_send(h, "late"), 0);
  assert_int_equal(caw_call_close_send(h->call), 0);
}

static void answer(fake *f, fake_conn *c, int number) {
  (void)f, (void)number;
  fake_answer(c, "second");
}

static void sent_while_refused(void **state) {
  (void)state;
  duo d = {0};
  fake f = {0};
  heard h = {0};
  char journal[2048] = "";
  spy a = {.d = &d, .letter = 'A', .log = journal, .room = sizeof(journal)};
  const char *why = "";
  assert_int_equal(caw_loop_new(&d.loop), 0);
  fake_init(&f, d.loop);
  f.on_request = answer;
  caw_channel_options o = {.size = sizeof(o), .loop = d.loop};
  assert_int_equal(caw_channel_new(&d.channel, f.address, &o, &why), 0);
  assert_int_equal(caw_channel_intercept(d.channel, &spy_hooks, &a), 0);
  duo_call(&d, &h, &duo_bidi, NULL, NULL);
  while (!f.conns[0].headers) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  duo_turns(&d, 3);
  h2_reset(f.conns[0].h2, f.conns[0].stream, H2_REFUSED_STREAM);
  fake_flush(&f.conns[0]);
  assert_int_equal(caw_loop_post(d.loop, send_all, &h), 0);
  duo_until(&d, &h.n_done);
  assert_int_equal(h.code, 0);
  assert_int_equal(f.conns[0].headers, 2);
  assert_string_equal(journal, "A?;A out 4;A headers;A in 6;A OK;A done;");
  caw_channel_free(d.channel);
  fake_finish(&f);
  caw_loop_free(d.loop);
}

/*
 * A call is half-closed on another thread in the very turn in which it ends: the post is on
 * its way when the call is complete. The message of one call and the end of the other
 * come in one read, in this order.
 */
static caw_call *ending;

static void *half_close(void *unused) {
  (void)unused;
  assert_int_equal(caw_call_close_send(ending), 0);
  return NULL;
}

static void half_close_the_other(caw_call *call, const caw_message_info *m, void *user) {
  pthread_t thread;
  int *n = user;
  if (m->sent || call == ending || (*n)++) return;
  assert_int_equal(pthread_create(&thread, NULL, half_close, NULL), 0);
  pthread_join(thread, NULL);
}

static int keep_the_first(duo *d, caw_call *call) {
  if (d->pending) return 0;
  d->pending = call;
  return CAW_PENDING;
}

static int answer_and_end_the_first(duo *d, caw_call *call, const caw_str *request,
                                    caw_str *reply) {
  (void)reply;
  assert_int_equal(caw_call_send(call, request), 0);
  return caw_call_finish(d->pending, CAW_OK, NULL);
}

static void ended_as_it_is_half_closed(void **state) {
  static const caw_interceptor other = {.size = sizeof(other), .on_message = half_close_the_other};
  (void)state;
  duo d = {.on_open = keep_the_first, .on_message = answer_and_end_the_first};
  heard first = {0}, second = {0};
  int n = 0;
  duo_init(&d);
  assert_int_equal(caw_channel_intercept(d.channel, &other, &n), 0);
  duo_call(&d, &first, &duo_bidi, NULL, NULL);
  ending = caw_call_ref(first.call);
  for (int i = 0; i < 100000 && !d.pending; i++) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  duo_call(&d, &second, &duo_bidi, NULL, NULL);
  assert_int_equal(duo_send(&second, "now"), 0);
  duo_done(&d, &first);
  caw_call_unref(ending);
  duo_turns(&d, 5);
  assert_int_equal(n, 1);
  assert_int_equal(first.code, 0);
  assert_int_equal(caw_call_close_send(second.call), 0);
  duo_done(&d, &second);
  duo_finish(&d);
}

/* A server's call may be looked at by the interceptors of calls made for it. */
static caw_call *seen_parent;
static void look_at_parent(spy *s, caw_call *call) {
  (void)s;
  seen_parent = caw_call_parent(call);
}

static int keep_pending(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)reply;
  if (!caw_str_is(*request, "outer")) return 0;
  d->pending = call;
  return CAW_PENDING;
}

static void the_parent(void **state) {
  (void)state;
  PAIR(p);
  heard outer = {0}, inner = {0};
  p.d.on_message = keep_pending;
  duo_call(&p.d, &outer, &duo_unary, "outer", NULL);
  while (!p.d.pending) caw_loop_run(p.d.loop, CAW_LOOP_ONCE);
  p.a.on_request = look_at_parent;
  const caw_call_options o = {.size = sizeof(o), .parent = p.d.pending};
  duo_call(&p.d, &inner, &duo_unary, "inner", &o);
  duo_done(&p.d, &inner);
  assert_ptr_equal(seen_parent, p.d.pending);
  caw_call_finish(p.d.pending, CAW_ABORTED, NULL);
  duo_done(&p.d, &outer);
  duo_finish(&p.d);
}

/* ---- Threads: the blocking face, answers of another thread, the channel's end ---- */

static int echo(caw_stream *stream, const void *request, void *reply, const void *impl,
                void *self) {
  (void)stream;
  (void)impl;
  (void)self;
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static const caw_blocking_handler blocking[] = {{&duo_unary, echo}};

typedef struct decider {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  caw_call *queue[64];
  int n, asked, closed;
  bool stop;
} decider;

static void *decide_all(void *arg) {
  decider *d = arg;
  pthread_mutex_lock(&d->lock);
  while (!d->stop || d->n) {
    if (!d->n) {
      pthread_cond_wait(&d->changed, &d->lock);
      continue;
    }
    caw_call *call = d->queue[--d->n];
    int asked = d->asked++;
    pthread_mutex_unlock(&d->lock);
    if (asked % 3 == 0) host_pause(200);
    caw_call_metadata_add(call, CAW_REQUEST_METADATA, caw_str_from("x-t"), caw_str_from("1"));
    int rc = caw_call_decide(call, asked % 5 == 4 ? CAW_UNAUTHENTICATED : 0, "no");
    host_check(rc == 0 || rc == CAW_ECLOSED);
    pthread_mutex_lock(&d->lock);
    d->closed += rc == CAW_ECLOSED;
  }
  pthread_mutex_unlock(&d->lock);
  return NULL;
}

static int hand_over(caw_call *call, void *user) {
  decider *d = user;
  pthread_mutex_lock(&d->lock);
  d->queue[d->n++] = call;
  pthread_cond_signal(&d->changed);
  pthread_mutex_unlock(&d->lock);
  return CAW_PENDING;
}

static void blocking_calls(void **state) {
  (void)state;
  host h;
  decider d = {0};
  const caw_interceptor handing = {.size = sizeof(handing), .on_request = hand_over};
  pthread_mutex_init(&d.lock, NULL);
  pthread_cond_init(&d.changed, NULL);
  host_start(&h, NULL, NULL, 0, blocking, 1, NULL);
  assert_int_equal(pthread_create(&d.thread, NULL, decide_all, &d), 0);
  int ok = 0, refusals = 0, expired = 0;
  for (int round = 0; round < 20; round++) {
    caw_channel *channel = host_channel(&h);
    assert_int_equal(caw_channel_intercept(channel, &handing, &d), 0);
    for (int i = 0; i < 20; i++) {
      caw_arena *arena = caw_arena_new(0);
      caw_str text = CAW_STR("x"), reply = {NULL, 0};
      const caw_call_options o = {.size = sizeof(o), .timeout_ms = i % 4 == 3 ? 1 : 10000};
      int code = caw_call_unary(channel, &duo_unary, &text, &reply, arena, &o, NULL);
      ok += code == 0;
      refusals += code == CAW_UNAUTHENTICATED;
      expired += code == CAW_DEADLINE_EXCEEDED;
      caw_arena_free(arena);
    }
    caw_channel_free(channel);
  }
  pthread_mutex_lock(&d.lock);
  d.stop = true;
  pthread_cond_signal(&d.changed);
  pthread_mutex_unlock(&d.lock);
  pthread_join(d.thread, NULL);
  assert_int_equal(ok + refusals + expired, 400);
  assert_true(ok > 100 && refusals > 10);
  assert_int_equal(host_stop(&h, 1000), 0);
  pthread_cond_destroy(&d.changed);
  pthread_mutex_destroy(&d.lock);
  host_check_all();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_order),
      cmocka_unit_test(a_stream),
      cmocka_unit_test(other_kinds),
      cmocka_unit_test(refused),
      cmocka_unit_test(decided_later),
      cmocka_unit_test(the_buffer_is_bounded),
      cmocka_unit_test(cancelled_while_pending),
      cmocka_unit_test(expired_while_pending),
      cmocka_unit_test(channel_freed_while_pending),
      cmocka_unit_test(channel_freed_inside),
      cmocka_unit_test(cancelled_inside),
      cmocka_unit_test(changes),
      cmocka_unit_test(an_error),
      cmocka_unit_test(transparent_retry),
      cmocka_unit_test(sent_while_refused),
      cmocka_unit_test(ended_as_it_is_half_closed),
      cmocka_unit_test(the_parent),
      cmocka_unit_test(blocking_calls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
