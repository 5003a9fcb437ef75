/* Interceptors of a server: their order, what they see and change, refusals, decisions that
 * come later, and what the client hears of all that. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "conn/call.h"
#include "conn/conn.h"
#include "host.h"
#include "spy.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define PAIR(p)                                                                                    \
  pair p = {0};                                                                                    \
  pair_at_server(&p)

/* Before a call of little time: it is not to pass in a handshake. */
static void connect_first(pair *p) {
  while (caw_channel_state(p->d.channel, true) != CAW_CHANNEL_READY)
    caw_loop_run(p->d.loop, CAW_LOOP_ONCE);
}

/* ---- Order ---- */

static int reply_and_listen(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  duo_listen(d, call);
  *reply = *request;
  return 0;
}

static void the_order(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  p.d.on_message = reply_and_listen;
  duo_call(&p.d, &h, &duo_unary, "seven77", NULL);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "seven77");
  assert_string_equal(p.d.log, "A?;B?;A in 7;B in 7;message seven77;B headers;A headers;"
                               "B out 7;A out 7;B OK;A OK;done OK;B done;A done;");
  duo_finish(&p.d);
}

static void a_stream(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  duo_call(&p.d, &h, &duo_bidi, NULL, NULL);
  duo_send(&h, "x");
  duo_until(&p.d, &h.n_replies);
  duo_send(&h, "yy");
  while (h.n_replies < 2) caw_loop_run(p.d.loop, CAW_LOOP_ONCE);
  caw_call_close_send(h.call);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "x|yy");
  assert_string_equal(p.d.log,
                      "A?;B?;open;A in 1;B in 1;message x;B headers;A headers;B out 1;A out 1;"
                      "A in 2;B in 2;message yy;B out 2;A out 2;end;B OK;A OK;B done;A done;");
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
  caw_call_close_send(h.call);
  duo_done(&p.d, &h);
  assert_string_equal(h.replies, "sum");
  assert_int_equal(p.a.n_done, 2);
  assert_int_equal(p.b.n_done, 2);
  duo_finish(&p.d);
}

/* ---- Refusals ---- */

static void refused(void **state) {
  (void)state;
  static const struct {
    int answer, code;
    const char *text, *heard;
  } cases[] = {
      {CAW_UNAUTHENTICATED, CAW_UNAUTHENTICATED, "no token; send one", "no token; send one"},
      {CAW_PERMISSION_DENIED, CAW_PERMISSION_DENIED, NULL, ""},
      {CAW_ENOMEM, CAW_RESOURCE_EXHAUSTED, "not told", ""},
      {CAW_EINVAL, CAW_INTERNAL, "not told", ""},
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
      assert_true(p.a.trailers_only);
      assert_int_equal(p.a.n_done, 1);
      assert_int_equal(p.a.done_code, cases[i].code);
      assert_int_equal(p.b.n_done, 0);
      assert_int_equal(p.d.summaries, 1);
      assert_int_equal(p.d.last_code, cases[i].code);
      assert_null(strstr(p.d.log, "B"));
      assert_null(strstr(p.d.log, "message"));
      assert_null(strstr(p.d.log, "open"));
      duo_finish(&p.d);
    }
}

static void add_details(spy *s, caw_call *call) {
  (void)s;
  assert_int_equal(caw_call_set_details(call, caw_str_from("\x08\x07")), 0);
  assert_int_equal(caw_call_metadata_add(call, CAW_RESPONSE_TRAILERS, caw_str_from("x-t"),
                                         caw_str_from("1")),
                   0);
  assert_int_equal(
      caw_call_metadata_add(call, CAW_RESPONSE_HEADERS, caw_str_from("x-h"), caw_str_from("1")), 0);
}

/* The inner one refuses; trailers go along, headers do not: one block. */
static void refused_inside(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  p.b.answer = CAW_PERMISSION_DENIED;
  p.b.text = "not you";
  p.b.on_request = add_details;
  duo_call(&p.d, &h, &duo_unary, "x", NULL);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, CAW_PERMISSION_DENIED);
  assert_string_equal(h.message, "not you");
  assert_string_equal(h.metadata, "");
  assert_string_equal(h.trailers, "x-t=1;");
  assert_true(p.a.trailers_only);
  assert_string_equal(p.d.log, "A?;B?;B PERMISSION_DENIED;A PERMISSION_DENIED;B done;A done;");
  duo_finish(&p.d);
}

/* ---- Later ---- */

static void decided_later(void **state) {
  (void)state;
  static const struct {
    int code;
    const char *text, *log;
  } cases[] = {
      {0, NULL,
       "A?;B?;A in 1;B in 1;message x;B headers;A headers;B out 1;A out 1;B OK;A OK;B done;A "
       "done;"},
      {CAW_UNAUTHENTICATED, "the token has expired", "A?;A UNAUTHENTICATED;A done;"},
  };
  for (size_t i = 0; i < 2; i++) {
    PAIR(p);
    heard h = {0};
    p.a.answer = CAW_PENDING;
    duo_call(&p.d, &h, &duo_unary, "x", NULL);
    pair_until_pending(&p, &p.a);
    duo_turns(&p.d, 20);
    assert_string_equal(p.d.log, "A?;");
    assert_int_equal(caw_call_decide(p.a.pending, cases[i].code, cases[i].text), 0);
    assert_int_equal(caw_call_decide(p.a.pending, 0, NULL), CAW_ESTATE);
    assert_string_equal(p.d.log, "A?;"); /* nothing happens inside */
    duo_done(&p.d, &h);
    assert_int_equal(h.code, cases[i].code);
    assert_string_equal(h.message, cases[i].text ? cases[i].text : "");
    assert_string_equal(p.d.log, cases[i].log);
    duo_finish(&p.d);
  }
}

/* The client goes while the decision is awaited. The call waits for it. */
static void cancelled_while_pending(void **state) {
  (void)state;
  for (int code = 0; code <= CAW_UNAUTHENTICATED; code += CAW_UNAUTHENTICATED) {
    PAIR(p);
    heard h = {0};
    p.a.answer = CAW_PENDING;
    duo_call(&p.d, &h, &duo_unary, "x", NULL);
    pair_until_pending(&p, &p.a);
    caw_call_cancel(h.call);
    duo_until(&p.d, &p.a.n_cancel);
    duo_turns(&p.d, 20);
    assert_int_equal(p.a.n_done, 0);
    assert_int_equal(caw_call_decide(p.a.pending, code, "late"), 0);
    duo_until(&p.d, &p.a.n_done);
    assert_int_equal(p.a.n_cancel, 1);
    assert_int_equal(p.a.done_code, CAW_CANCELLED);
    assert_string_equal(p.d.log, "A?;A cancel;A done;");
    duo_finish(&p.d);
  }
}

/* Has the call begun to wait before its time is over? A busy machine may not let it. */
static bool expires_within(uint64_t timeout_ms) {
  PAIR(p);
  heard h = {0};
  const caw_call_options o = {.size = sizeof(o), .timeout_ms = timeout_ms};
  p.b.answer = CAW_PENDING;
  connect_first(&p);
  duo_call(&p.d, &h, &duo_unary, "x", &o);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, CAW_DEADLINE_EXCEEDED);
  if (!p.b.pending) {
    duo_finish(&p.d);
    return false;
  }
  duo_until(&p.d, &p.b.n_cancel);
  assert_int_equal(p.a.n_cancel, 0); /* it has decided */
  assert_int_equal(p.b.n_done, 0);
  assert_int_equal(caw_call_decide(p.b.pending, 0, NULL), 0);
  duo_until(&p.d, &p.a.n_done);
  assert_int_equal(p.b.n_done, 1);
  assert_null(strstr(p.d.log, "message"));
  duo_finish(&p.d);
  return true;
}

static void expired_while_pending(void **state) {
  (void)state;
  for (uint64_t ms = 30; !expires_within(ms); ms *= 2)
    if (ms > 5000) fail_msg("no call has waited within %d ms", (int)ms);
}

/* What a client sends meanwhile is bounded by its window. */
static void the_window_is_held(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  static char big[8192];
  p.a.answer = CAW_PENDING;
  memset(big, 'z', sizeof(big) - 1);
  duo_call(&p.d, &h, &duo_client_stream, NULL, NULL);
  int taken = 0;
  for (int quiet = 0; quiet < 50;) {
    caw_str s = caw_str_of(big, sizeof(big) - 1);
    int rc = caw_call_send(h.call, &s);
    if (rc) assert_int_equal(rc, CAW_EAGAIN);
    else taken++;
    quiet = rc ? quiet + 1 : 0;
    duo_turns(&p.d, 3);
  }
  assert_in_range(taken, 8, 40); /* window and send buffer: 64 KiB each */
  pair_until_pending(&p, &p.a);
  caw_call_close_send(h.call);
  assert_int_equal(caw_call_decide(p.a.pending, 0, NULL), 0);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, 0);
  duo_finish(&p.d);
}

static caw_call *waiting[64];
static int n_waiting;
static void wait_too(spy *s, caw_call *call) {
  (void)s;
  waiting[n_waiting++] = call;
}

/* What refused calls have brought is given back to the connection's window. */
static void refusals_give_windows_back(void **state) {
  (void)state;
  PAIR(p);
  static heard h[64];
  static char big[60000];
  int rounds = 20;
  memset(big, 'z', sizeof(big) - 1);
  p.a.on_request = wait_too;
  p.a.answer = CAW_PENDING;
  for (int round = 0; round < rounds; round++) {
    n_waiting = 0;
    for (int i = 0; i < 8; i++) {
      duo_call(&p.d, &h[i], &duo_client_stream, NULL, NULL);
      assert_int_equal(duo_send(&h[i], big), 0);
    }
    while (n_waiting < 8) caw_loop_run(p.d.loop, CAW_LOOP_ONCE);
    duo_turns(&p.d, 20);
    for (int i = 0; i < 8; i++)
      assert_int_equal(caw_call_decide(waiting[i], CAW_UNAUTHENTICATED, NULL), 0);
    for (int i = 0; i < 8; i++) {
      duo_until(&p.d, &h[i].n_done);
      assert_int_equal(h[i].code, CAW_UNAUTHENTICATED);
    }
  }
  p.a.on_request = NULL;
  p.a.answer = 0;
  duo_call(&p.d, &h[0], &duo_unary, big, NULL);
  duo_done(&p.d, &h[0]);
  assert_int_equal(h[0].code, 0);
  duo_finish(&p.d);
}

static void freed_while_pending(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  p.a.answer = CAW_PENDING;
  duo_call(&p.d, &h, &duo_unary, "x", NULL);
  pair_until_pending(&p, &p.a);
  caw_server_free(p.d.server);
  p.d.server = NULL;
  assert_int_equal(p.a.n_cancel, 1);
  assert_int_equal(p.a.n_done, 0);
  assert_int_equal(caw_call_decide(p.a.pending, 0, NULL), 0);
  duo_until(&p.d, &p.a.n_done);
  duo_finish(&p.d);
}

static int one_asked(caw_call *call, void *user) {
  atomic_store((_Atomic(caw_call *) *)user, call);
  return CAW_PENDING;
}

/* Loops of the server's own are gone when it is freed, and nothing runs any more; the call's
 * memory is still there for the answer. */
static void freed_with_its_loops_while_pending(void **state) {
  (void)state;
  static _Atomic(caw_call *) pending; /* it keeps what is never freed from being a leak */
  static const caw_interceptor asking = {.size = sizeof(asking), .on_request = one_asked};
  host h;
  caw_server *server;
  caw_loop *loop;
  caw_channel *channel;
  heard of = {0};
  const char *why;
  duo d = {0};
  const caw_server_options o = {.size = sizeof(o)};
  assert_int_equal(caw_server_new(&server, &o), 0);
  assert_int_equal(caw_server_intercept(server, &asking, &pending), 0);
  host_run(&h, server);
  assert_int_equal(caw_loop_new(&loop), 0);
  const caw_channel_options co = {.size = sizeof(co), .loop = loop};
  assert_int_equal(caw_channel_new(&channel, h.address, &co, &why), 0);
  d.loop = loop;
  d.channel = channel;
  duo_call(&d, &of, &duo_unary, "x", NULL);
  while (!atomic_load(&pending)) caw_loop_run(loop, CAW_LOOP_NOWAIT);
  host_stop(&h, 0);
  duo_until(&d, &of.n_done);
  assert_int_equal(of.code, CAW_UNAVAILABLE);
  assert_int_equal(caw_call_decide(atomic_load(&pending), 0, NULL), 0);
  assert_int_equal(caw_call_decide(atomic_load(&pending), 0, NULL), CAW_ESTATE);
  caw_channel_free(channel);
  caw_loop_free(loop);
}

static void *decide_elsewhere(void *arg) {
  spy *s = arg;
  caw_call_metadata_add(s->pending, CAW_REQUEST_METADATA, caw_str_from("x-user"),
                        caw_str_from("ann"));
  caw_call_decide(s->pending, s->done_code, "from a thread");
  return NULL;
}

static void decided_by_a_thread(void **state) {
  (void)state;
  for (int i = 0; i < 200; i++) {
    PAIR(p);
    heard h = {0};
    pthread_t t;
    p.a.answer = CAW_PENDING;
    p.a.done_code = i % 2 ? CAW_UNAUTHENTICATED : 0;
    duo_call(&p.d, &h, &duo_unary, "x", NULL);
    pair_until_pending(&p, &p.a);
    assert_int_equal(pthread_create(&t, NULL, decide_elsewhere, &p.a), 0);
    if (i % 4 == 2) caw_call_cancel(h.call);
    duo_done(&p.d, &h);
    pthread_join(t, NULL);
    duo_until(&p.d, &p.a.n_done);
    if (i % 4 != 2) assert_int_equal(h.code, i % 2 ? CAW_UNAUTHENTICATED : 0);
    duo_finish(&p.d);
  }
}

static void decide_at_once(spy *s, caw_call *call) {
  assert_int_equal(caw_call_decide(call, s->done_code, "at once"), 0);
}

/* The answer is there before CAW_PENDING is returned. */
static void decided_before_pending(void **state) {
  (void)state;
  for (int code = 0; code <= CAW_UNAUTHENTICATED; code += CAW_UNAUTHENTICATED) {
    PAIR(p);
    heard h = {0};
    p.b.answer = CAW_PENDING;
    p.b.on_request = decide_at_once;
    p.b.done_code = code;
    duo_call(&p.d, &h, &duo_unary, "x", NULL);
    duo_done(&p.d, &h);
    assert_int_equal(h.code, code);
    duo_finish(&p.d);
  }
}

/* ---- Ends ---- */

static int keep_call(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request, (void)reply;
  d->pending = call;
  duo_listen(d, call);
  return CAW_PENDING;
}

static int say_not_found(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d, (void)call, (void)request, (void)reply;
  return CAW_NOT_FOUND;
}

static void cancel(pair *p, heard *h) {
  (void)p;
  caw_call_cancel(h->call);
}

static void lose(pair *p, heard *h) {
  (void)h;
  conn_close(p->d.pending->conn, CAW_ECONN, "for a test");
}

static void drain_at_once(pair *p, heard *h) {
  (void)h;
  caw_server_drain(p->d.server, 0, NULL, NULL);
}

/* An observer hears every outcome in on_done, the same as the access log; on_status only of
 * what can still be changed. */
static void every_end_is_told(void **state) {
  (void)state;
  static char large[2000];
  static const struct {
    const char *what;
    int (*on_message)(duo *d, caw_call *call, const caw_str *request, caw_str *reply);
    void (*then)(pair *p, heard *h); /* once the handler has the call */
    const char *request;
    uint64_t timeout_ms;
    int answer;              /* of the outer interceptor */
    int done, n_status, or ; /* `or`: of two clocks either may be first */
  } cases[] = {
      {.what = "OK", .done = CAW_OK, .n_status = 1},
      {.what = "the handler's error",
       .on_message = say_not_found,
       .done = CAW_NOT_FOUND,
       .n_status = 1},
      {.what = "refused",
       .answer = CAW_PERMISSION_DENIED,
       .done = CAW_PERMISSION_DENIED,
       .n_status = 1},
      {.what = "cancelled", .on_message = keep_call, .then = cancel, .done = CAW_CANCELLED},
      {.what = "lost", .on_message = keep_call, .then = lose, .done = CAW_CANCELLED},
      {.what = "expired",
       .on_message = keep_call,
       .timeout_ms = 30,
       .done = CAW_DEADLINE_EXCEEDED,
       .or = CAW_CANCELLED},
      {.what = "too large", .request = large, .done = CAW_RESOURCE_EXHAUSTED},
      {.what = "drained", .on_message = keep_call, .then = drain_at_once, .done = CAW_UNAVAILABLE},
  };
  memset(large, 'z', sizeof(large) - 1);
  unsigned longer = 1; /* times: a busy machine may let it pass before the handler begins */
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    pair p = {.d.server_options.max_receive = sizeof(large) / 2};
    heard h = {0};
    const caw_call_options o = {.size = sizeof(o), .timeout_ms = longer * cases[i].timeout_ms};
    pair_at_server(&p);
    p.a.answer = cases[i].answer;
    p.d.on_message = cases[i].on_message;
    connect_first(&p);
    duo_call(&p.d, &h, &duo_unary, cases[i].request ? cases[i].request : "x", &o);
    if (cases[i].then) {
      while (!p.d.pending) caw_loop_run(p.d.loop, CAW_LOOP_ONCE);
      cases[i].then(&p, &h);
    }
    if (cases[i].timeout_ms) {
      duo_done(&p.d, &h);
      if (!p.d.pending) {
        if (longer > 200) fail_msg("%s: no handler has begun before", cases[i].what);
        longer *= 2;
        i--;
        duo_finish(&p.d);
        continue;
      }
    }
    if (cases[i].on_message == keep_call) { /* on_done waits for the handler */
      duo_until(&p.d, &p.d.n_cancel);
      assert_int_equal(p.a.n_done, 0);
      caw_call_finish(p.d.pending, CAW_ABORTED, NULL);
    }
    duo_until(&p.d, &p.a.n_done);
    duo_done(&p.d, &h);
    bool told = p.a.done_code == cases[i].done || (cases[i].or &&p.a.done_code == cases[i].or);
    if (!told || p.a.n_status != cases[i].n_status || p.d.last_code != p.a.done_code)
      fail_msg("%s: on_done told %s, the log %s; on_status was called %d times", cases[i].what,
               caw_code_name(p.a.done_code), caw_code_name(p.d.last_code), p.a.n_status);
    assert_int_equal(p.a.n_done, 1);
    duo_finish(&p.d);
  }
}

/* ---- What is changed ---- */

static void change_request(spy *s, caw_call *call) {
  (void)s;
  caw_str key = CAW_STR("x-user"), ann = CAW_STR("ann");
  const caw_metadata *m = caw_call_metadata(call);
  assert_true(caw_str_is(caw_metadata_get(m, "x-user"), "mallory"));
  assert_int_equal(caw_call_metadata_remove(call, CAW_REQUEST_METADATA, key), 0);
  assert_int_equal(caw_call_metadata_add(call, CAW_REQUEST_METADATA, key, ann), 0);
  assert_int_equal(caw_call_metadata_add(call, CAW_RESPONSE_HEADERS, caw_str_from("x-a"), ann), 0);
  assert_int_equal(caw_call_metadata_add(call, CAW_REQUEST_METADATA, caw_str_from("grpc-x"), ann),
                   CAW_EINVAL);
  assert_int_equal(caw_call_metadata_add(call, CAW_REQUEST_METADATA, key, caw_str_from("\x01")),
                   CAW_EINVAL);
}

static void change_headers(spy *s, caw_call *call) {
  (void)s;
  caw_str value = CAW_STR("v");
  assert_int_equal(caw_call_metadata_add(call, CAW_RESPONSE_HEADERS, caw_str_from("x-b"), value),
                   0);
  assert_int_equal(caw_call_metadata_remove(call, CAW_RESPONSE_HEADERS, caw_str_from("x-secret")),
                   0);
  assert_int_equal(caw_call_metadata_add(call, CAW_RESPONSE_TRAILERS, caw_str_from("x-b"), value),
                   CAW_ESTATE);
  assert_int_equal(caw_call_metadata_add(call, CAW_REQUEST_METADATA, caw_str_from("x-b"), value),
                   CAW_ESTATE);
}

static void change_status(spy *s, caw_call *call, caw_status *status) {
  (void)s;
  assert_int_equal(caw_call_metadata_add(call, CAW_RESPONSE_TRAILERS, caw_str_from("x-c"),
                                         caw_str_from("w")),
                   0);
  status->code = CAW_DATA_LOSS;
  status->message =
      caw_arena_printf(caw_call_arena(call), "was %.*s", CAW_STR_ARG(status->message));
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
  assert_string_equal(h.metadata, "x-a=ann;x-b=v;");
  p.b.on_status = change_status;
  duo_call(&p.d, &h, &duo_unary, "x", &o);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, CAW_DATA_LOSS);
  assert_string_equal(h.message, "was ");
  assert_string_equal(h.trailers, "x-c=w;");
  assert_int_equal(p.a.done_code, CAW_DATA_LOSS);
  assert_int_equal(p.d.last_code, CAW_DATA_LOSS);
  duo_finish(&p.d);
}

static void make_ok(spy *s, caw_call *call, caw_status *status) {
  (void)s;
  (void)call;
  status->code = 0;
}

static int fail_not_found(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d;
  (void)request;
  (void)reply;
  return caw_call_fail(call, CAW_NOT_FOUND, "gone");
}

static void no_ok_of_an_error(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  p.a.on_status = make_ok;
  p.d.on_message = fail_not_found;
  duo_call(&p.d, &h, &duo_unary, "x", NULL);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, CAW_NOT_FOUND);
  assert_string_equal(h.message, "gone");
  assert_true(p.a.trailers_only);
  assert_null(strstr(p.d.log, "headers"));
  duo_finish(&p.d);
}

static void move_path(spy *s, caw_call *call) {
  assert_true(caw_str_is(caw_call_path(call), s->text));
  assert_int_equal(caw_call_set_path(call, caw_str_from("/test.Duo/Unary")), 0);
}

static void another_path(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  static const caw_method old = {"/old.Duo/Unary", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
  duo_call(&p.d, &h, &old, "x", NULL);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, CAW_UNIMPLEMENTED);
  assert_string_equal(h.message, "unknown method /old.Duo/Unary");
  assert_string_equal(p.d.log, "A?;B?;B UNIMPLEMENTED;A UNIMPLEMENTED;B done;A done;");
  p.a.on_request = move_path;
  p.a.text = "/old.Duo/Unary";
  duo_call(&p.d, &h, &old, "x", NULL);
  duo_done(&p.d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "x");
  duo_finish(&p.d);
}

/* ---- Values ---- */

static int destroyed;
static void destroy(void *value) {
  destroyed++;
  free(value);
}

static const caw_key user_key = {"user", destroy}, other_key = {"other", NULL};

static void set_user(spy *s, caw_call *call) {
  (void)s;
  assert_null(caw_call_value(call, &user_key));
  assert_int_equal(caw_call_set_value(call, &user_key, strdup("first")), 0);
  assert_int_equal(caw_call_set_value(call, &user_key, strdup("ann")), 0);
  assert_int_equal(caw_call_set_value(call, &other_key, call), 0);
}

static int read_user(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d;
  (void)request;
  assert_ptr_equal(caw_call_value(call, &other_key), call);
  *reply = caw_str_from(caw_call_value(call, &user_key));
  return 0;
}

static void values(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  destroyed = 0;
  p.a.on_request = set_user;
  p.d.on_message = read_user;
  duo_call(&p.d, &h, &duo_unary, "x", NULL);
  duo_done(&p.d, &h);
  assert_string_equal(h.replies, "ann");
  duo_finish(&p.d);
  assert_int_equal(destroyed, 2);
}

/* ---- Compression: both sizes ---- */

typedef struct sizes {
  caw_message_info in, out;
} sizes;

static void note_sizes(caw_call *call, const caw_message_info *m, void *user) {
  sizes *s = user;
  (void)call;
  if (m->sent) s->out = *m;
  else s->in = *m;
}

static void compressed_sizes(void **state) {
  (void)state;
  duo d = {0};
  heard h = {0};
  sizes s = {0};
  static char text[2001];
  d.server_options.encoding = d.channel_options.encoding = CAW_ENCODING_GZIP;
  memset(text, 'c', 2000);
  duo_init(&d);
  const caw_interceptor sizer = {.size = sizeof(sizer), .on_message = note_sizes};
  assert_int_equal(caw_server_intercept(d.server, &sizer, &s), 0);
  duo_call(&d, &h, &duo_unary, text, NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_true(s.in.compressed && s.out.compressed);
  assert_int_equal(s.in.size, 2000);
  assert_int_equal(s.out.size, 2000);
  assert_in_range(s.in.travels, 10, 100);
  assert_int_equal(s.out.travels, s.in.travels);
  duo_finish(&d);
}

/* ---- A blocked stream: the order of what another thread sends is kept ---- */

static int stream_later(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request;
  (void)reply;
  d->pending = call;
  return CAW_PENDING;
}

static void *send_elsewhere(void *arg) {
  caw_call *call = arg;
  char text[16];
  for (int i = 0; i < 20; i++) {
    caw_str s = {text, (size_t)snprintf(text, sizeof(text), "%d", i)};
    caw_call_send(call, &s);
  }
  caw_call_finish(call, CAW_ABORTED, "enough");
  return NULL;
}

static void sent_by_a_thread(void **state) {
  (void)state;
  for (int n = 0; n < 50; n++) {
    PAIR(p);
    heard h = {0};
    pthread_t t;
    p.d.on_message = stream_later;
    duo_call(&p.d, &h, &duo_server_stream, "x", NULL);
    while (!p.d.pending) caw_loop_run(p.d.loop, CAW_LOOP_ONCE);
    assert_int_equal(pthread_create(&t, NULL, send_elsewhere, p.d.pending), 0);
    duo_done(&p.d, &h);
    pthread_join(t, NULL);
    assert_int_equal(h.code, CAW_ABORTED);
    assert_string_equal(h.message, "enough");
    assert_string_equal(h.replies, "0|1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19");
    duo_finish(&p.d);
  }
}

static void wrong_use(void **state) {
  (void)state;
  PAIR(p);
  heard h = {0};
  const caw_interceptor small = {.size = 4};
  assert_int_equal(caw_server_intercept(p.d.server, &small, NULL), CAW_EINVAL);
  assert_int_equal(caw_server_intercept(p.d.server, NULL, NULL), CAW_EINVAL);
  duo_call(&p.d, &h, &duo_bidi, NULL, NULL);
  assert_int_equal(caw_call_decide(h.call, 0, NULL), CAW_ESTATE);
  assert_int_equal(caw_call_metadata_add(h.call, CAW_REQUEST_METADATA, caw_str_from("x"),
                                         caw_str_from("y")),
                   CAW_ESTATE);
  caw_call_close_send(h.call);
  duo_done(&p.d, &h);
  duo_finish(&p.d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_order),
      cmocka_unit_test(a_stream),
      cmocka_unit_test(other_kinds),
      cmocka_unit_test(refused),
      cmocka_unit_test(refused_inside),
      cmocka_unit_test(decided_later),
      cmocka_unit_test(cancelled_while_pending),
      cmocka_unit_test(expired_while_pending),
      cmocka_unit_test(the_window_is_held),
      cmocka_unit_test(refusals_give_windows_back),
      cmocka_unit_test(freed_while_pending),
      cmocka_unit_test(freed_with_its_loops_while_pending),
      cmocka_unit_test(every_end_is_told),
      cmocka_unit_test(decided_by_a_thread),
      cmocka_unit_test(decided_before_pending),
      cmocka_unit_test(changes),
      cmocka_unit_test(no_ok_of_an_error),
      cmocka_unit_test(another_path),
      cmocka_unit_test(values),
      cmocka_unit_test(compressed_sizes),
      cmocka_unit_test(sent_by_a_thread),
      cmocka_unit_test(wrong_use),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
