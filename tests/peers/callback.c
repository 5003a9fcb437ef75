/* peer.Callback: the orders carried out with callbacks. */
#include "answer.h"

#include <caw/alloc.h>

typedef struct state {
  progress p;
  caw_call *call;
  caw_arena *arena; /* one reply's bytes */
  int64_t sent, wanted;
  bool begun;
  bool hanging; /* registered for Watch.Release, with a reference to the call */
  bool finished;
} state;

static peer_answer known(const state *st, int code) {
  peer_answer a = {.requests = st->p.seen.requests,
                   .bytes = st->p.seen.bytes,
                   .disorder = st->p.seen.disorder,
                   .time_left_ms = st->p.seen.time_left_ms,
                   .index = st->sent,
                   .code = code};
  return a;
}

static void finish(state *st, int code, const char *text) {
  if (st->finished) return;
  st->finished = true;
  caw_call_finish(st->call, code, text);
}

static bool one_reply(const state *st) {
  caw_call_kind kind = caw_call_method(st->call)->kind;
  return kind == CAW_UNARY || kind == CAW_CLIENT_STREAM;
}

/* Ends a pending call as its order says. */
static void conclude(state *st) {
  peer_answer reply;
  if (st->finished) return;
  if (!st->p.order.code && one_reply(st)) {
    caw_arena_reset(st->arena);
    st->finished = true;
    if (progress_answer(&st->p, &reply, 1, st->arena) ||
        peer_callback_unary_reply(st->call, &reply))
      caw_call_finish(st->call, CAW_INTERNAL, "no reply");
    return;
  }
  caw_str text = caw_arena_dup(st->arena, st->p.order.text);
  finish(st, st->p.order.code, text.data);
}

/* ---- Hanging ---- */

static void released(void *arg) {
  state *st = arg;
  caw_call *call = st->call;
  st->hanging = false;
  conclude(st);
  caw_call_unref(call);
}

static int hang(state *st) {
  caw_call_ref(st->call);
  st->hanging = true;
  if (st->p.note && !note_hang(st->p.note, caw_call_loop(st->call), released, st))
    return CAW_ENOMEM;
  return CAW_PENDING;
}

static void unhang(state *st) {
  if (!st->hanging || (st->p.note && !note_unhang(st->p.note))) return;
  st->hanging = false;
  caw_call_unref(st->call);
}

/* ---- Replies ---- */

/* Sends until the queue is full or all is sent; 0, CAW_EAGAIN or an error. */
static int pump(state *st) {
  while (st->sent < st->wanted) {
    peer_answer reply;
    caw_arena_reset(st->arena);
    int rc = progress_answer(&st->p, &reply, st->sent + 1, st->arena);
    if (!rc) rc = peer_callback_replies_send_reply(st->call, &reply);
    if (rc) return rc;
    st->sent++;
  }
  return 0;
}

static void go_on(state *st) {
  int rc = pump(st);
  if (rc == CAW_EAGAIN || st->finished) return;
  if (!rc && st->p.order.hang) rc = hang(st);
  if (rc == 0) conclude(st);
  if (rc && rc != CAW_PENDING) finish(st, rc, NULL);
}

/* ---- Events ---- */

static void on_cancel(caw_call *call, void *user) {
  state *st = user;
  (void)call;
  peer_answer a = known(st, CAW_CANCELLED);
  note_event(st->p.note, EVENT_CANCELLED, &a);
  finish(st, CAW_CANCELLED, NULL);
  unhang(st);
}

static void on_drain(caw_call *call, void *user) {
  state *st = user;
  if (caw_call_method(call)->kind == CAW_SERVER_STREAM) go_on(st);
  else caw_call_resume(call);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  state *st = user;
  (void)call;
  peer_answer a = known(st, status->code);
  note_event(st->p.note, EVENT_DONE, &a);
  caw_arena_free(st->arena);
  unhang(st);
}

static state *make_state(caw_call *call) {
  static const caw_call_events events = {on_cancel, on_drain, NULL, on_done};
  state *st = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*st));
  if (!st) return NULL;
  st->call = call;
  st->arena = caw_arena_new(0);
  if (!st->arena) return NULL;
  caw_call_set_data(call, st);
  caw_call_on(call, &events, st);
  return st;
}

/* What a handler returns at the end of its work. */
static int outcome(state *st) {
  const peer_order *o = &st->p.order;
  if (o->hang) return hang(st);
  if (o->code) return caw_call_fail(st->call, o->code, "%.*s", CAW_STR_ARG(o->text));
  return 0;
}

/* ---- Handlers ---- */

static int unary(caw_call *call, const peer_order *order, peer_answer *reply, void *self) {
  state *st = make_state(call);
  (void)self;
  if (!st) return CAW_ENOMEM;
  int rc = progress_begin(&st->p, call, order, false);
  if (rc) return rc;
  progress_request(&st->p, order);
  rc = outcome(st);
  return rc ? rc : progress_answer(&st->p, reply, 1, caw_call_arena(call));
}

static int replies(caw_call *call, const peer_order *order, void *self) {
  state *st = make_state(call);
  (void)self;
  if (!st) return CAW_ENOMEM;
  int rc = progress_begin(&st->p, call, order, false);
  if (rc) return rc;
  st->wanted = order->replies;
  rc = pump(st);
  if (rc == CAW_EAGAIN) return CAW_PENDING;
  return rc ? rc : outcome(st);
}

static int open_stream(caw_call *call, void *self) {
  (void)self;
  return make_state(call) ? 0 : CAW_ENOMEM;
}

/* The first request's orders; counts every request. */
static int take(state *st, const peer_order *order) {
  int rc = st->begun ? 0 : progress_begin(&st->p, st->call, order, true);
  st->begun = true;
  progress_request(&st->p, order);
  return rc;
}

static bool stops(const state *st) {
  return st->p.order.stop_after && st->p.seen.requests >= st->p.order.stop_after;
}

static int requests_message(caw_call *call, const peer_order *order, void *self) {
  state *st = caw_call_data(call);
  (void)self;
  int rc = take(st, order);
  if (!rc && stops(st)) conclude(st);
  return rc;
}

static int requests_end(caw_call *call, peer_answer *reply, void *self) {
  state *st = caw_call_data(call);
  (void)self;
  int rc = outcome(st);
  return rc ? rc : progress_answer(&st->p, reply, 1, caw_call_arena(call));
}

static int both_message(caw_call *call, const peer_order *order, void *self) {
  state *st = caw_call_data(call);
  (void)self;
  int rc = take(st, order);
  int32_t n = st->p.order.replies ? st->p.order.replies : 1;
  for (int32_t i = 0; i < n && !rc; i++) {
    peer_answer reply;
    caw_arena_reset(st->arena);
    rc = progress_echo(order, &reply, st->sent + 1, st->arena);
    if (!rc) rc = peer_callback_both_send_reply(call, &reply);
    if (!rc) st->sent++;
  }
  if (rc) return rc;
  if (stops(st)) conclude(st);
  if (caw_call_full(call)) caw_call_pause(call);
  return 0;
}

static int both_end(caw_call *call, void *self) {
  (void)self;
  return outcome(caw_call_data(call));
}

int callback_add(caw_server *server) {
  static const peer_callback_service service = {
      .unary = unary,
      .replies = replies,
      .requests = {.open = open_stream, .message = requests_message, .end = requests_end},
      .both = {.open = open_stream, .message = both_message, .end = both_end},
  };
  return peer_callback_add(server, &service, NULL);
}
