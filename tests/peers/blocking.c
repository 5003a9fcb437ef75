/* peer.Blocking: the orders carried out by handlers that block. */
#include "answer.h"

#include <caw/blocking.h>
#include <time.h>

static void tell(const progress *p, unsigned event, int64_t sent, int code) {
  peer_answer a = {.requests = p->seen.requests,
                   .bytes = p->seen.bytes,
                   .disorder = p->seen.disorder,
                   .time_left_ms = p->seen.time_left_ms,
                   .index = sent,
                   .code = code};
  note_event(p->note, event, &a);
}

/* A handler that works long asks now and then whether it is still wanted. */
static void hang(progress *p, caw_call *call) {
  struct timespec step = {0, 2000000};
  while (!note_released(p->note) && !caw_call_cancelled(call)) nanosleep(&step, NULL);
}

/* The end of every handler: what it returns. `rc` is what kept it, or 0. */
static int conclude(progress *p, caw_call *call, int64_t sent, int rc) {
  const peer_order *o = &p->order;
  if (!rc && o->hang) hang(p, call);
  if (rc == CAW_ECLOSED || caw_call_cancelled(call)) {
    tell(p, EVENT_CANCELLED, sent, CAW_CANCELLED);
    tell(p, EVENT_DONE, sent, CAW_CANCELLED);
    return CAW_CANCELLED;
  }
  tell(p, EVENT_DONE, sent, rc ? rc : o->code);
  if (rc) return rc;
  return o->code ? caw_call_fail(call, o->code, "%.*s", CAW_STR_ARG(o->text)) : 0;
}

static int unary(caw_call *call, const peer_order *order, peer_answer *reply, void *self) {
  progress p = {0};
  (void)self;
  int rc = progress_begin(&p, call, order, false);
  if (!rc) {
    progress_request(&p, order);
    rc = progress_answer(&p, reply, 1, caw_call_arena(call));
  }
  return conclude(&p, call, 0, rc);
}

static int replies(caw_stream *stream, const peer_order *order, void *self) {
  progress p = {0};
  caw_call *call = caw_stream_call(stream);
  caw_arena *arena = caw_arena_new(0);
  int64_t sent = 0;
  (void)self;
  int rc = arena ? progress_begin(&p, call, order, false) : CAW_ENOMEM;
  while (!rc && sent < order->replies) {
    peer_answer reply;
    caw_arena_reset(arena);
    rc = progress_answer(&p, &reply, sent + 1, arena);
    if (!rc) rc = peer_blocking_replies_write_reply(stream, &reply);
    if (!rc) sent++;
  }
  caw_arena_free(arena);
  return conclude(&p, call, sent, rc);
}

/* Reads the next request and counts it; CAW_EEND when there is none, or enough. */
static int next(progress *p, caw_stream *stream, peer_order *order, caw_arena *arena) {
  const peer_order *o = &p->order;
  if (o->stop_after && p->seen.requests >= o->stop_after) return CAW_EEND;
  caw_arena_reset(arena);
  int rc = peer_blocking_both_read_request(stream, order, arena);
  if (!rc && !p->seen.requests) rc = progress_begin(p, caw_stream_call(stream), order, true);
  if (!rc) progress_request(p, order);
  return rc;
}

static int requests(caw_stream *stream, peer_answer *reply, void *self) {
  progress p = {0};
  peer_order order;
  caw_arena *arena = caw_arena_new(0);
  caw_call *call = caw_stream_call(stream);
  (void)self;
  int rc = arena ? 0 : CAW_ENOMEM;
  while (!rc) rc = next(&p, stream, &order, arena);
  if (rc == CAW_EEND) rc = progress_answer(&p, reply, 1, caw_call_arena(call));
  caw_arena_free(arena);
  return conclude(&p, call, 0, rc);
}

static int both(caw_stream *stream, void *self) {
  progress p = {0};
  peer_order order;
  caw_arena *arena = caw_arena_new(0), *out = caw_arena_new(0);
  int64_t sent = 0;
  (void)self;
  int rc = arena && out ? 0 : CAW_ENOMEM;
  while (!rc) {
    rc = next(&p, stream, &order, arena);
    int32_t n = p.order.replies ? p.order.replies : 1;
    for (int32_t i = 0; i < n && !rc; i++) {
      peer_answer reply;
      caw_arena_reset(out);
      rc = progress_echo(&order, &reply, sent + 1, out);
      if (!rc) rc = peer_blocking_both_write_reply(stream, &reply);
      if (!rc) sent++;
    }
  }
  caw_arena_free(arena);
  caw_arena_free(out);
  return conclude(&p, caw_stream_call(stream), sent, rc == CAW_EEND ? 0 : rc);
}

int blocking_add(caw_server *server) {
  static const peer_blocking_blocking service = {
      .unary = unary, .replies = replies, .requests = requests, .both = both};
  return peer_blocking_add_blocking(server, &service, NULL);
}
