/* The client's calls: their beginning, waiting for a connection, the transparent retry, and
 * the turn in which replies and the outcome reach user code. */
#include "client/call.h"

#include "base/probe.h"
#include "base/trace.h"
#include "conn/memory.h"
#include "io/sys.h"
#include "rpc/tracing.h"

/* Replies given to user code in one turn before others have theirs. */
#define MESSAGES_PER_TURN 64

client_call *client_call_waiting(list *node) {
  return LIST_ENTRY(node, client_call, wait);
}

static bool waits(const client_call *cc) {
  return list_linked(&cc->wait);
}

/* ---- The outcome ---- */

static void decide(client_call *cc, int code, caw_str text) {
  if (cc->decided) return;
  cc->decided = true;
  cc->status.code = code;
  cc->status.message = text;
  client_stats_attempt_ended(cc, code);
}

void client_abort(caw_call *call, int code, const char *text) {
  client_call *cc = client_call_of(call);
  if (cc->decided) return;
  caw_str copy = caw_arena_dup(rpc_call_arena(&call->rpc), caw_str_from(text));
  decide(cc, code, copy);
  call_mark_cancelled(call);
  list_remove(&cc->wait);
  rpc_call_reset(&call->rpc, H2_CANCEL);
  if (call->conn) conn_flush_later(call->conn);
  call_wake(call);
}

/* call_class.abort: as client_abort; a deadline that passed while the call waited
 * for a connection says so. */
static void abort_call(caw_call *call, int code, const char *text) {
  client_call *cc = client_call_of(call);
  char error[CHANNEL_ERROR];
  if (code != CAW_DEADLINE_EXCEEDED || !waits(cc) ||
      !caw_channel_error(cc->channel, error, sizeof(error))) {
    client_abort(call, code, text);
    return;
  }
  caw_str full = caw_arena_printf(rpc_call_arena(&call->rpc),
                                  "%s while waiting for a connection: %s", text, error);
  client_abort(call, code, full.data ? full.data : text);
}

/* The connection ended, and with it the stream. */
static caw_str lost_text(client_call *cc) {
  const char *why = cc->base.conn ? conn_why(cc->base.conn) : "";
  return caw_arena_printf(rpc_call_arena(&cc->base.rpc), "the connection was lost: %s", why);
}

/* What the protocol's end of the stream means for the program. */
static void take_status(client_call *cc) {
  rpc_call *rpc = &cc->base.rpc;
  bool reset = !rpc->remote_ended;
  if (reset && !rpc->close_remote && cc->base.conn && !cc->base.conn->socket) {
    decide(cc, CAW_UNAVAILABLE, lost_text(cc));
  } else if (reset && rpc->close_code == H2_CANCEL && cc->base.deadline <= io_sys_clock()) {
    /* PROTOCOL-HTTP2.md, Client Cancellation: the server's clock was first. The loop's is
     * that of the turn's begin, which may be before the deadline. */
    decide(cc, CAW_DEADLINE_EXCEEDED, caw_str_from("the deadline is over"));
  } else if (!cc->decided) {
    decide(cc, rpc->status.code, rpc->status.message);
    cc->status.details = rpc->status.details;
  }
}

/* ---- Transparent retry ---- */

/* Refused before any processing (RFC 9113 8.7; gRFC A6). */
static bool may_retry(const client_call *cc) {
  const rpc_call *rpc = &cc->base.rpc;
  return rpc->state == RPC_DONE && rpc->close_code == H2_REFUSED_STREAM && !rpc->remote_ended &&
         !rpc->headers_received && !cc->committed && !cc->retried && !cc->decided && cc->channel &&
         !cc->channel->shut;
}

static void retry(client_call *cc) {
  cc->retried = true;
  TRACE(CLIENT, "call %p was refused, and is tried again", (void *)cc);
  client_stats_attempt_ended(cc, CAW_UNAVAILABLE);
  rpc_call_rewind(&cc->base.rpc);
  atomic_fetch_add(&cc->base.queued, cc->framed);
  cc->framed = 0;
  conn_leave(&cc->base);
  list_push_back(&cc->channel->waiting, &cc->wait);
  client_stats_attempt_began(cc);
  connect_kick(cc->channel);
}

/* ---- Telling the program ---- */

static void tell_done(client_call *cc) {
  if (cc->told) return;
  cc->told = true;
  call_set(&cc->base, CALL_OVER | CALL_LOCAL_END);
  client_stats_call_ended(cc, cc->status.code);
  PROBE2(client__call__end, &cc->base, cc->status.code);
  TRACE(CALL, "call %p ends with %s%s%.*s", (void *)cc, caw_code_name(cc->status.code),
        cc->status.message.len ? ": " : "", CAW_STR_ARG(cc->status.message));
  if (cc->base.chain) {
    chain_status(cc->base.chain, &cc->status);
    chain_done(cc->base.chain, &cc->status);
  }
  if (cc->unary) cc->unary(&cc->base, &cc->status, cc->status.code ? NULL : cc->reply, cc->user);
  else cc->events.on_done(&cc->base, &cc->status, cc->user);
}

static void give(client_call *cc, rpc_message *bytes) {
  void *message;
  const char *why;
  caw_arena *arena = io_message_arena(cc->base.loop);
  int code = call_receive(&cc->base, arena, bytes, &message, &why);
  if (code) client_abort(&cc->base, code, why);
  else if (cc->events.on_message && !cc->decided)
    cc->events.on_message(&cc->base, message, cc->user);
  caw_arena_reset(arena);
}

/* A message that cannot be read ends the call, unless the server has ended it
 * with an error of its own. */
static void take_error(client_call *cc, const rpc_message *bytes) {
  rpc_call *rpc = &cc->base.rpc;
  if (rpc->status_final && rpc->status.code) take_status(cc);
  else client_abort(&cc->base, bytes->code, bytes->why);
}

static void deliver_many(client_call *cc) {
  rpc_message bytes;
  rpc_call *rpc = &cc->base.rpc;
  for (int n = 0; !cc->decided && !rpc->paused; n++) {
    rpc_next next = rpc_call_peek(rpc, &bytes);
    if (next == RPC_NEXT_MESSAGE && n == MESSAGES_PER_TURN) {
      call_wake(&cc->base);
      return;
    }
    if (next == RPC_NEXT_MESSAGE && call_put_off(&cc->base, &bytes)) return;
    if (next == RPC_NEXT_MESSAGE) give(cc, &bytes);
    else if (next == RPC_NEXT_ERROR) take_error(cc, &bytes);
    else if (rpc->status_final) take_status(cc);
    else return;
  }
}

/* The one reply was received (`code`, `why`); what it points to lies in the
 * receive buffer. */
static void accept_one(client_call *cc, int code, const char *why) {
  if (code) {
    client_abort(&cc->base, code, why);
    return;
  }
  if (!cc->unary && cc->events.on_message) cc->events.on_message(&cc->base, cc->reply, cc->user);
  take_status(cc);
}

/* Exactly one reply with OK (statuscodes.md: a cardinality violation is
 * UNIMPLEMENTED); with another status it does not matter. */
static void deliver_one(client_call *cc) {
  rpc_message bytes, more;
  caw_call *call = &cc->base;
  rpc_call *rpc = &call->rpc;
  if (rpc->paused && !cc->unary) return;
  rpc_next next = rpc_call_peek(rpc, &bytes);
  if (next == RPC_NEXT_ERROR) {
    take_error(cc, &bytes);
    return;
  }
  if (!rpc->status_final) return;
  if (rpc->status.code) {
    take_status(cc);
    return;
  }
  if (next != RPC_NEXT_MESSAGE) {
    client_abort(&cc->base, CAW_UNIMPLEMENTED, "the server answered OK without a reply");
    return;
  }
  if (call_put_off(&cc->base, &bytes)) return;
  const char *why;
  call_prepare_arena(call);
  int code = call_receive(call, caw_call_arena(call), &bytes, &cc->reply, &why);
  next = rpc_call_peek(rpc, &more);
  if (next == RPC_NEXT_MESSAGE)
    client_abort(&cc->base, CAW_UNIMPLEMENTED, "the server sent more than one reply");
  else if (next == RPC_NEXT_ERROR) client_abort(&cc->base, more.code, more.why);
  else accept_one(cc, code, why);
}

static void tell_metadata(client_call *cc) {
  if (cc->told_metadata || !cc->base.rpc.headers_received) return;
  cc->told_metadata = true;
  send_commit(cc);
  if (cc->base.chain && !cc->base.rpc.trailers_only) chain_headers(cc->base.chain);
  if (cc->events.on_metadata)
    cc->events.on_metadata(&cc->base, caw_call_metadata(&cc->base), cc->user);
}

/* PROTOCOL-HTTP2.md, Early Server Closure: the server has ended, we have not. */
static void close_our_side(client_call *cc) {
  rpc_call *rpc = &cc->base.rpc;
  if (rpc->remote_ended && rpc->state == RPC_HALF_CLOSED_REMOTE) {
    rpc_call_reset(rpc, H2_NO_ERROR);
    conn_flush_later(cc->base.conn);
  }
}

static void complete(client_call *cc) {
  list_remove(&cc->node);
  if (cc->channel && list_empty(&cc->channel->calls)) care_idle(cc->channel);
  call_release(&cc->base);
}

/* Once the stream is over and nothing is tried again, sending is in vain: the
 * next send says so, and whoever waits for on_drain is woken to hear it. */
static bool note_gone(client_call *cc) {
  rpc_call *rpc = &cc->base.rpc;
  if (rpc->state != RPC_DONE && !rpc->remote_ended) return false;
  return call_set(&cc->base, CALL_GONE) & CALL_WANT_DRAIN;
}

static void take_turn(client_call *cc, bool drain) {
  caw_call *call = &cc->base;
  if (!cc->decided) tell_metadata(cc);
  if (!cc->decided && (client_attached(cc) || call->rpc.state == RPC_DONE)) {
    if (call_receives_one(call)) deliver_one(cc);
    else deliver_many(cc);
    if (!cc->decided || !call_receives_one(call)) call_consumed(call);
    else if (call->conn) memory_sated(call);
  }
  if (drain && !cc->decided && cc->events.on_drain) cc->events.on_drain(call, cc->user);
  close_our_side(cc);
  if (call->conn) conn_flush_later(call->conn);
  if (cc->decided) tell_done(cc);
}

/* ---- The turn ---- */

void client_launch(client_call *cc) {
  caw_channel *ch = cc->channel;
  if (cc->step == STEP_READY) client_stats_attempt_began(cc);
  if (cc->step == STEP_INTERCEPTORS) call_wake(&cc->base);
  else if (atomic_load(&ch->state) == CAW_CHANNEL_TRANSIENT_FAILURE && !cc->wait_for_ready)
    client_calls_fail(ch);
  else connect_kick(ch);
}

static void chain_turn(client_call *cc) {
  if (cc->step != STEP_READY && !cc->decided) ask_turn(cc);
  if (cc->step != STEP_INTERCEPTORS && !cc->decided) send_kept(cc);
  /* Here, when what was asked has itself ended the call. */
  if (cc->decided && cc->asking) chain_cancel(cc->base.chain);
}

static void client_dispatch(caw_call *call) {
  client_call *cc = client_call_of(call);
  bool drain;
  cc->framed += call->rpc.sent_bytes;
  call_take_news(call, &drain);
  if (may_retry(cc)) {
    if (drain) call_set(call, CALL_WANT_DRAIN);
    retry(cc);
    if (call->chain) call_wake(call); /* what was sent in this turn passes the interceptors still */
    return;
  }
  if (note_gone(cc)) drain = true;
  cc->on_stack = true;
  if (call->chain) chain_turn(cc);
  take_turn(cc, drain);
  cc->on_stack = false;
  if (cc->told && !client_attached(cc)) complete(cc);
}

/* ---- The connection ---- */

static void client_destroy(caw_call *call) {
  client_call *cc = client_call_of(call);
  send_commit(cc);
  caw_call_credentials_unref(cc->credentials[0]);
  caw_call_credentials_unref(cc->credentials[1]);
}

static rpc_metadata *client_metadata(caw_call *call, caw_metadata_list which) {
  client_call *cc = client_call_of(call);
  if (which == CAW_RESPONSE_HEADERS) return &call->rpc.headers;
  if (which == CAW_RESPONSE_TRAILERS) return &call->rpc.trailers;
  bool secret = call->chain && chain_phase_of(call->chain) == CHAIN_CREDENTIALS;
  return secret ? &cc->secrets : &cc->metadata;
}

static const call_class client_class = {
    sizeof(client_call), false,          client_dispatch, send_message, send_end, NULL,
    abort_call,          client_destroy, client_metadata,
};

int client_call_attach(client_call *cc, conn *c) {
  caw_call *call = &cc->base;
  uint64_t now = io_now(call->loop);
  if (call->deadline <= now) {
    abort_call(call, CAW_DEADLINE_EXCEEDED, "the deadline is over");
    return 0;
  }
  if (!ask_at(cc, c)) return 0;
  rpc_request request = {conn_is_tls(c) ? caw_str_from("https") : caw_str_from("http"),
                         caw_str_from(cc->channel->authority),
                         caw_str_from(call->method->path),
                         caw_str_from(cc->channel->user_agent),
                         call->deadline == UINT64_MAX ? UINT64_MAX : call->deadline - now,
                         &cc->metadata.list,
                         &cc->secrets.list};
  keepalive_call(c);
  int rc = rpc_call_open(&call->rpc, &c->rpc, &request);
  if (rc == CAW_EAGAIN || rc == CAW_ECLOSED) return rc;
  list_remove(&cc->wait);
  if (!rc) {
    conn_join(c, call);
    conn_flush_later(c);
    rc = send_replay(cc);
  }
  if (rc) client_abort(call, CAW_RESOURCE_EXHAUSTED, "out of memory");
  return 0;
}

/* ---- The channel's view ---- */

void client_calls_fail(caw_channel *ch) {
  char error[CHANNEL_ERROR];
  caw_channel_error(ch, error, sizeof(error));
  for (list *l = ch->waiting.next, *next; l != &ch->waiting; l = next) {
    next = l->next;
    client_call *cc = client_call_waiting(l);
    if (!cc->wait_for_ready) client_abort(&cc->base, CAW_UNAVAILABLE, error);
  }
}

void client_calls_end(caw_channel *ch) {
  while (!list_empty(&ch->calls)) {
    client_call *cc = LIST_ENTRY(ch->calls.next, client_call, node);
    client_abort(&cc->base, CAW_CANCELLED, "the channel was closed");
    cc->base.rpc.paused = false;
    if (cc->on_stack) {
      /* Its callback is freeing the channel: its dispatch ends it afterwards. */
      if (!cc->told) client_stats_call_ended(cc, cc->status.code);
      list_remove(&cc->node);
      cc->channel = NULL;
    } else {
      client_dispatch(&cc->base);
    }
  }
}

/* ---- Starting ---- */

static int copy_metadata(client_call *cc, const caw_call_options *o) {
  rpc_metadata copy = {{NULL, 0}, 0};
  for (size_t i = 0; i < o->metadata_len; i++) {
    int rc = rpc_metadata_check(o->metadata[i].key, o->metadata[i].value);
    if (!rc)
      rc = rpc_metadata_add(&copy, rpc_call_arena(&cc->base.rpc), o->metadata[i].key,
                            o->metadata[i].value);
    if (rc) return rc;
  }
  cc->metadata = copy;
  return 0;
}

static int set_deadline(client_call *cc, const caw_call_options *o) {
  uint64_t now = io_now(cc->base.loop), at = UINT64_MAX;
  if (o->timeout_ms && o->timeout_ms < (UINT64_MAX - now) / 1000000)
    at = now + o->timeout_ms * 1000000;
  if (o->parent && caw_call_deadline(o->parent) < at) at = caw_call_deadline(o->parent);
  return call_set_deadline(&cc->base, at);
}

/* The call is one: what begins is told to those who watch. */
static void announce(client_call *cc) {
  client_stats_call_stands(cc);
  PROBE2(client__call__begin, &cc->base, cc->base.method->path);
  TRACE(CALL, "call %p is %s to %s", (void *)cc, cc->base.method->path, cc->channel->authority);
}

/* Takes the call apart that nobody has heard of. */
static void abandon(client_call *cc) {
  cc->base.rpc.state = RPC_IDLE;
  if (cc->base.chain) chain_drop(cc->base.chain);
  list_remove(&cc->node);
  list_remove(&cc->wait);
  call_release(&cc->base);
}

static int begin(client_call **out, caw_channel *ch, const caw_method *method,
                 const caw_call_options *options, void *user) {
  caw_call_options o = {0};
  if (options) {
    if (options->size < offsetof(caw_call_options, timeout_ms)) return CAW_EINVAL;
    memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
  }
  if (!io_on_loop(ch->loop)) return CAW_ETHREAD;
  if (ch->shut) return CAW_ECLOSED;
  if (o.parent && !o.parent->cls->server) return CAW_EINVAL;
  if (!caw_encoding_supported(o.encoding)) return CAW_EINVAL;
  size_t limit = o.max_receive ? o.max_receive : ch->options.max_receive;
  caw_call *call = call_new(&client_class, ch->loop, limit, ch->options.send_buffer);
  if (!call) return CAW_ENOMEM;
  client_call *cc = client_call_of(call);
  cc->channel = ch;
  call->method = method;
  cc->user = call->data = user;
  cc->wait_for_ready = o.wait_for_ready;
  call->encoding = (uint8_t)(o.encoding ? o.encoding : ch->options.encoding);
  call->rpc.out_encoding = call->encoding;
  list_init(&cc->node);
  list_init(&cc->wait);
  int rc = copy_metadata(cc, &o);
  if (!rc && o.parent)
    rc = rpc_trace_pass(&cc->metadata, rpc_call_arena(&call->rpc), caw_call_metadata(o.parent));
  if (!rc) rc = set_deadline(cc, &o);
  if (!rc) rc = ask_begin(cc, &o);
  if (rc) {
    abandon(cc);
    return rc;
  }
  list_push_back(&ch->calls, &cc->node);
  client_stats_call_began(cc);
  if (cc->step == STEP_READY) list_push_back(&ch->waiting, &cc->wait);
  if (o.parent) call_adopt(o.parent, call);
  *out = cc;
  return 0;
}

int caw_call_start(caw_call **out, caw_channel *ch, const caw_method *method,
                   const caw_call_options *options, const caw_client_events *events, void *user) {
  client_call *cc;
  if (!events->on_done) return CAW_EINVAL;
  int rc = begin(&cc, ch, method, options, user);
  if (rc) return rc;
  cc->events = *events;
  announce(cc);
  client_launch(cc);
  if (out) *out = &cc->base;
  return 0;
}

/* Sends the only request and half-closes; on failure the call never was. */
static int send_only(client_call *cc, const void *request) {
  int rc = caw_call_send(&cc->base, request);
  if (rc && !cc->decided) {
    abandon(cc);
    return rc;
  }
  announce(cc);
  caw_call_close_send(&cc->base);
  client_launch(cc);
  return 0;
}

int caw_call_start_with(caw_call **out, caw_channel *ch, const caw_method *method,
                        const void *request, const caw_call_options *options,
                        const caw_client_events *events, void *user) {
  client_call *cc;
  if (!events->on_done) return CAW_EINVAL;
  int rc = begin(&cc, ch, method, options, user);
  if (rc) return rc;
  cc->events = *events;
  rc = send_only(cc, request);
  if (!rc && out) *out = &cc->base;
  return rc;
}

int caw_call_start_unary(caw_call **out, caw_channel *ch, const caw_method *method,
                         const void *request, const caw_call_options *options, caw_unary_done done,
                         caw_fn typed, void *user) {
  client_call *cc;
  if (!done) return CAW_EINVAL;
  int rc = begin(&cc, ch, method, options, user);
  if (rc) return rc;
  cc->unary = done;
  cc->events.typed = typed;
  rc = send_only(cc, request);
  if (!rc && out) *out = &cc->base;
  return rc;
}

caw_fn caw_call_typed(const caw_call *call) {
  return call->cls->server ? NULL : ((const client_call *)(const void *)call)->events.typed;
}
