/* The state machine of a call, and what both sides share. */
#include "rpc/call.h"

#include "base/probe.h"
#include "base/trace.h"
#include "rpc/compress.h"
#include "rpc/state.h"
#include "rpc/wire.h"

#include <assert.h>

/* Which states may follow which: a bit per state. */
#define BIT(state) (1u << (state))
static const unsigned legal[] = {
    [RPC_IDLE] = BIT(RPC_OPEN) | BIT(RPC_DONE),
    [RPC_OPEN] =
        BIT(RPC_HALF_CLOSED_LOCAL) | BIT(RPC_HALF_CLOSED_REMOTE) | BIT(RPC_CLOSING) | BIT(RPC_DONE),
    [RPC_HALF_CLOSED_LOCAL] = BIT(RPC_CLOSING) | BIT(RPC_DONE),
    [RPC_HALF_CLOSED_REMOTE] = BIT(RPC_CLOSING) | BIT(RPC_DONE),
    [RPC_CLOSING] = BIT(RPC_DONE),
    [RPC_DONE] = BIT(RPC_IDLE), /* rpc_call_rewind */
};

static const char *const state_names[] = {
    [RPC_IDLE] = "IDLE",
    [RPC_OPEN] = "OPEN",
    [RPC_HALF_CLOSED_LOCAL] = "HALF_CLOSED_LOCAL",
    [RPC_HALF_CLOSED_REMOTE] = "HALF_CLOSED_REMOTE",
    [RPC_CLOSING] = "CLOSING",
    [RPC_DONE] = "DONE",
};

__attribute__((cold)) static void trace_state(const rpc_call *c, unsigned from) {
  trace_write(TRACE_CALL, "call %p (%s) %s -> %s", (const void *)c, c->server ? "server" : "client",
              state_names[from], state_names[c->state]);
}

void call_set_state(rpc_call *c, rpc_state state) {
  bool ok = legal[c->state] & BIT(state);
  assert(ok);
  (void)ok;
  unsigned from = c->state;
  c->state = (uint8_t)state;
  PROBE3(call__state, c, from, (int)state);
  if (trace_wants(TRACE_CALL)) trace_state(c, from); /* last: no register is saved for it */
}

void call_note(rpc_call *c, unsigned news) {
  unsigned before = c->news;
  c->news |= (uint8_t)news;
  /* Its owner knows that there are news until he takes them. */
  if (before && !(news & RPC_NEWS_CLOSED)) return;
  if (c->session) c->session->events->on_event(c->session->ctx, c);
}

void call_local_end(rpc_call *c) {
  if (c->state == RPC_OPEN) call_set_state(c, RPC_HALF_CLOSED_LOCAL);
  else if (c->state == RPC_HALF_CLOSED_REMOTE) call_set_state(c, RPC_CLOSING);
}

void call_remote_end(rpc_call *c) {
  c->remote_ended = true;
  if (c->state == RPC_OPEN) call_set_state(c, RPC_HALF_CLOSED_REMOTE);
  else if (c->state == RPC_HALF_CLOSED_LOCAL) call_set_state(c, RPC_CLOSING);
}

void rpc_call_init(rpc_call *c, bool server, caw_arena *arena, size_t limit) {
  memset(c, 0, sizeof(*c));
  c->server = server;
  c->arena = arena;
  c->own_arena = !arena;
  c->in.limit = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX; /* no prefix says more */
  c->timeout = UINT64_MAX;
}

static void drop_input(rpc_call *c) {
  assert(!c->stream);
  rpc_deframer_finish(&c->in);
  rpc_inflater_free(c->inflater);
  c->inflater = NULL;
}

void rpc_call_finish(rpc_call *c) {
  drop_input(c);
  if (c->own_arena) arena_leave(c->in.cells, c->arena);
  if (c->server) rpc_caller_unref(c->caller);
}

/* Most calls need none: what all clients say of themselves is not kept for each call. */
#define ARENA_FIRST ((size_t)256)

caw_arena *rpc_call_arena(rpc_call *c) {
  return c->arena ? c->arena : arena_at(&c->arena, c->in.cells, ARENA_FIRST);
}

void rpc_call_rewind(rpc_call *c) {
  caw_arena *arena = c->arena;
  cells *of = c->in.cells;
  size_t limit = c->in.limit;
  bool paused = c->paused, own_arena = c->own_arena;
  uint8_t out_encoding = c->out_encoding;
  assert(!c->server);
  drop_input(c);
  rpc_call_init(c, false, arena, limit);
  c->own_arena = own_arena;
  c->in.cells = of;
  c->paused = paused;
  c->out_encoding = out_encoding;
}

unsigned rpc_call_take_news(rpc_call *c) {
  unsigned news = c->news;
  c->news = 0;
  return news;
}

int call_check_sending(const rpc_call *c) {
  if (!c->stream) return CAW_ECLOSED;
  return c->state == RPC_OPEN || c->state == RPC_HALF_CLOSED_REMOTE ? 0 : CAW_ESTATE;
}

int rpc_call_send(rpc_call *c, caw_payload *payload, const rpc_metadata *headers) {
  int rc = call_check_sending(c);
  if (!rc && c->server) rc = rpc_call_send_headers(c, headers);
  return rc ? rc : h2_send(c->session->h2, c->stream, rpc_payload_slice(payload));
}

int rpc_call_half_close(rpc_call *c) {
  int rc = call_check_sending(c);
  if (!rc) rc = h2_finish(c->session->h2, c->stream, NULL, 0);
  if (!rc) call_local_end(c);
  return rc;
}

void rpc_call_reset(rpc_call *c, uint32_t h2_code) {
  if (!c->stream || c->state == RPC_DONE) return;
  if (c->state != RPC_CLOSING) call_set_state(c, RPC_CLOSING);
  if (h2_reset(c->session->h2, c->stream, h2_code)) c->session->failed = true;
}

/* ---- Receiving messages ---- */

rpc_next rpc_call_peek(const rpc_call *c, rpc_message *m) {
  m->code = CAW_INTERNAL;
  m->why = "";
  if (c->out_of_memory) {
    m->code = CAW_RESOURCE_EXHAUSTED;
    m->why = "out of memory";
    return RPC_NEXT_ERROR;
  }
  rpc_frame frame = rpc_deframer_peek(&c->in, &m->data, &m->len);
  m->compressed = frame == RPC_FRAME_COMPRESSED;
  switch (frame) {
  case RPC_FRAME_MESSAGE:
  case RPC_FRAME_COMPRESSED:
    return RPC_NEXT_MESSAGE;
  case RPC_FRAME_NONE:
    return c->remote_ended ? RPC_NEXT_END : RPC_NEXT_NOTHING;
  case RPC_FRAME_PARTIAL:
    if (c->over_memory) {
      m->code = CAW_RESOURCE_EXHAUSTED;
      m->why = "the connection's messages take too much memory";
      return RPC_NEXT_ERROR;
    }
    m->why = "the stream ended inside a message";
    return c->remote_ended ? RPC_NEXT_ERROR : RPC_NEXT_NOTHING;
  case RPC_FRAME_UNAGREED:
    m->why = "a message is marked compressed, but no encoding that is known was declared";
    return RPC_NEXT_ERROR;
  case RPC_FRAME_BAD_FLAG:
    m->why = "a message begins with an unknown flag";
    return RPC_NEXT_ERROR;
  case RPC_FRAME_TOO_BIG:
    m->code = CAW_RESOURCE_EXHAUSTED;
    m->why = "a message is larger than the receiver's limit";
    return RPC_NEXT_ERROR;
  }
  return RPC_NEXT_ERROR;
}

/* A message is whole and still there: what its owner waits for is the end, and the peer
 * may want room in the window to say so. Once, so that no peer gets more by and by. */
static void await_end(rpc_call *c) {
  if (c->awaits_end || c->remote_ended) return;
  c->awaits_end = true;
  if (!h2_await_end(c->session->h2, c->stream)) return;
  c->out_of_memory = true;
  call_note(c, RPC_NEWS_DATA);
}

/* Window is given back while the reader waits for bytes: a message is missing
 * or incomplete. Otherwise it is held, so that the peer stops. */
void rpc_call_give_window(rpc_call *c) {
  if (!c->held || c->paused || c->withheld || !c->stream) return;
  rpc_message m;
  if (rpc_call_peek(c, &m) != RPC_NEXT_NOTHING) {
    await_end(c);
    return;
  }
  size_t held = c->held, missing = rpc_deframer_missing(&c->in);
  c->held = 0;
  if (!h2_consume(c->session->h2, c->stream, held) &&
      (!missing || !h2_expect(c->session->h2, c->stream, missing)))
    return;
  /* Nothing may come any more that would tell the owner. */
  c->out_of_memory = true;
  call_note(c, RPC_NEWS_DATA);
}

/* ---- Compressed ones ---- */

static void free_inflated(rpc_call *c) {
  rpc_inflater_free(c->inflater);
  c->inflater = NULL;
}

int rpc_call_inflate(rpc_call *c, const rpc_message *m, size_t room) {
  if (!c->inflater) c->inflater = rpc_inflater_new((caw_encoding)c->in_encoding);
  else if (c->taken) rpc_inflater_again(c->inflater);
  c->taken = false;
  if (!c->inflater) return CAW_ENOMEM;
  return rpc_inflate(c->inflater, m->data, m->len, room < c->in.limit ? room : c->in.limit);
}

void rpc_call_stop_inflating(rpc_call *c) {
  if (!c->taken) free_inflated(c);
}

bool rpc_call_lacks_room(const rpc_call *c) {
  return c->inflater && c->inflater->rc == CAW_ETOOBIG && c->inflater->limit < c->in.limit;
}

static int take_inflated(rpc_call *c, rpc_message *m, size_t room) {
  int rc;
  do rc = rpc_call_inflate(c, m, room);
  while (rc == CAW_EAGAIN);
  c->taken = true;
  switch (rc) {
  case 0:
    m->data = c->inflater->out.data;
    m->len = c->inflater->out.len;
    return 0;
  case CAW_ETOOBIG:
    m->why = rpc_call_lacks_room(c)
                 ? "the connection's messages take too much memory when they are decompressed"
                 : "a message is larger than the receiver's limit when it is decompressed";
    return CAW_RESOURCE_EXHAUSTED;
  case CAW_ENOMEM:
    m->why = "out of memory for a received message";
    return CAW_RESOURCE_EXHAUSTED;
  default:
    m->why = "a message that is marked compressed cannot be decompressed";
    return CAW_INTERNAL;
  }
}

int rpc_call_take(rpc_call *c, rpc_message *m, size_t room) {
  rpc_deframer_skip(&c->in);
  c->took_compressed = m->compressed;
  return m->compressed ? take_inflated(c, m, room) : 0;
}

void rpc_call_release(rpc_call *c) {
  rpc_deframer_release(&c->in);
  if (c->taken) free_inflated(c);
  c->taken = false;
}

void rpc_call_consumed(rpc_call *c) {
  rpc_call_release(c);
  rpc_call_give_window(c);
}

void rpc_call_pause(rpc_call *c, bool paused) {
  c->paused = paused;
  rpc_call_give_window(c);
}

/* ---- Notes from the session ---- */

void call_closed(rpc_call *c, uint32_t code, bool remote) {
  c->close_code = code;
  c->close_remote = remote;
  c->stream = NULL;
  call_set_state(c, RPC_DONE);
  if (!c->server) call_decide(c);
  call_note(c, RPC_NEWS_CLOSED);
  c->session = NULL;
}
