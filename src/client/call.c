/* The client's calls: interceptors, waiting for a connection, credentials, the transparent
 * retry, and the turn in which replies and the outcome reach user code. */
#include "client/client.h"

#include <caw/alloc.h>
#include <stdio.h>

/* Replies given to user code in one turn before others have theirs. */
#define MESSAGES_PER_TURN 64

/* Requests are kept for a transparent retry up to this many bytes. */
#define REPLAY_BYTES ((size_t)1024 * 1024)

/* Whom a call asks. Without interceptors and credentials it is never but READY. */
typedef enum client_step {
  STEP_READY,        /* nobody: it waits for a connection, or has one */
  STEP_INTERCEPTORS, /* the interceptors, before anything else */
  STEP_CREDENTIALS   /* its credentials: it could be sent */
} client_step;

struct client_call {
  caw_call base;
  caw_channel *channel;
  list node, wait;
  caw_client_events events;
  caw_unary_done unary; /* instead of events.on_message and on_done */
  void *user;
  rpc_metadata metadata; /* to be sent; in the protocol arena, or the chain's */
  bool wait_for_ready;

  client_step step;
  bool asking;                          /* an answer is awaited */
  caw_call_credentials *credentials[2]; /* the channel's and the call's */
  size_t credentials_asked;             /* of all their plugins */
  bool credentials_ready;
  caw_credentials_context context;
  rpc_metadata secrets; /* what credentials said; in the chain's arena */

  /* What was sent so far, until the server is known to have seen the call. */
  caw_payload **replay;
  size_t replay_len, replay_room, replay_bytes;
  bool half_closed; /* the program sends no more */
  bool committed;   /* no retry any more; `replay` is empty */
  bool retried;

  bool told_metadata;
  bool decided;  /* `status` is the outcome */
  bool told;     /* on_done was called */
  bool on_stack; /* its dispatch is running: user code may free the channel */
  caw_status status;
  void *reply; /* of the unary form */
};

static client_call *self_of(caw_call *call) {
  return (client_call *)(void *)call;
}

client_call *client_call_waiting(list *node) {
  return LIST_ENTRY(node, client_call, wait);
}

/* ---- The requests that may be sent again ---- */

static void commit(client_call *cc) {
  for (size_t i = 0; i < cc->replay_len; i++) caw_payload_unref(cc->replay[i]);
  caw_free(cc->replay);
  cc->replay = NULL;
  cc->replay_len = cc->replay_room = 0;
  cc->committed = true;
}

static int remember(client_call *cc, caw_payload *payload) {
  if (cc->replay_len == cc->replay_room) {
    size_t room = cc->replay_room ? cc->replay_room * 2 : 4;
    caw_payload **replay = caw_realloc(cc->replay, room * sizeof(*replay));
    if (!replay) return CAW_ENOMEM;
    cc->replay = replay;
    cc->replay_room = room;
  }
  cc->replay[cc->replay_len++] = caw_payload_ref(payload);
  cc->replay_bytes += rpc_payload_size(payload);
  return 0;
}

static void forget_last(client_call *cc) {
  if (!cc->replay_len) return;
  caw_payload *last = cc->replay[--cc->replay_len];
  cc->replay_bytes -= rpc_payload_size(last);
  caw_payload_unref(last);
}

static bool attached(const client_call *cc) {
  return cc->base.rpc.stream != NULL;
}

static bool has_credentials(const client_call *cc) {
  return cc->credentials[0] || cc->credentials[1];
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
}

/* The call ends by our side: reset the stream, tell the program later. */
static void client_abort(caw_call *call, int code, const char *text) {
  client_call *cc = self_of(call);
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
  client_call *cc = self_of(call);
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
  } else if (reset && rpc->close_code == H2_CANCEL && cc->base.deadline <= io_now(cc->base.loop)) {
    /* PROTOCOL-HTTP2.md, Client Cancellation: the server's clock was first. */
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
  rpc_call_rewind(&cc->base.rpc);
  atomic_fetch_add(&cc->base.queued, cc->base.framed);
  cc->base.framed = 0;
  conn_leave(&cc->base);
  list_push_back(&cc->channel->waiting, &cc->wait);
  connect_kick(cc->channel);
}

/* ---- Telling the program ---- */

static void tell_done(client_call *cc) {
  if (cc->told) return;
  cc->told = true;
  call_set(&cc->base, CALL_OVER | CALL_LOCAL_END);
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
  commit(cc);
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
  if (!cc->decided && (attached(cc) || call->rpc.state == RPC_DONE)) {
    if (call_receives_one(call)) deliver_one(cc);
    else deliver_many(cc);
    if (!cc->decided || !call_receives_one(call)) call_consumed(call);
  }
  if (drain && !cc->decided && cc->events.on_drain) cc->events.on_drain(call, cc->user);
  close_our_side(cc);
  if (call->conn) conn_flush_later(call->conn);
  if (cc->decided) tell_done(cc);
}

/* ---- Interceptors and credentials ---- */

static int transmit(caw_call *call, caw_payload *payload) {
  client_call *cc = self_of(call);
  if (!cc->committed && cc->replay_bytes > REPLAY_BYTES && attached(cc)) commit(cc);
  if (!cc->committed) {
    int rc = remember(cc, payload);
    if (rc) return rc;
  }
  int rc = attached(cc) ? rpc_call_send(&call->rpc, payload, NULL) : 0;
  if (call->conn) conn_flush_later(call->conn);
  if (rc == CAW_ENOMEM) {
    forget_last(cc);
    return rc;
  }
  /* A stream that is just gone tells so by its news, and may be retried. */
  call->sent++;
  return 0;
}

static void end_now(caw_call *call) {
  client_call *cc = self_of(call);
  cc->half_closed = true;
  if (!attached(cc) || cc->decided) return;
  if (rpc_call_half_close(&call->rpc) == CAW_ENOMEM)
    client_abort(call, CAW_RESOURCE_EXHAUSTED, "out of memory");
  if (call->conn) conn_flush_later(call->conn);
}

/* Gives the call to the channel, with what was sent already; or to the interceptors
 * first, who are asked in its turn. */
static void launch(client_call *cc) {
  caw_channel *ch = cc->channel;
  if (cc->step == STEP_INTERCEPTORS) call_wake(&cc->base);
  else if (atomic_load(&ch->state) == CAW_CHANNEL_TRANSIENT_FAILURE && !cc->wait_for_ready)
    client_calls_fail(ch);
  else connect_kick(ch);
}

/* The plugins that were not asked yet. */
static int ask_credentials(client_call *cc) {
  size_t first = credentials_count(cc->credentials[0]);
  size_t n = first + credentials_count(cc->credentials[1]);
  call_chain *c = cc->base.chain;
  if (!cc->context.service_url.data && credentials_context(&cc->context, c, cc->channel->authority))
    return CAW_ENOMEM;
  while (cc->credentials_asked < n && !cc->decided) {
    size_t i = cc->credentials_asked++;
    int rc = i < first ? credentials_ask(cc->credentials[0], i, c, &cc->context)
                       : credentials_ask(cc->credentials[1], i - first, c, &cc->context);
    if (rc) return rc;
  }
  return 0;
}

/* Somebody has something against the call. */
static void refuse(client_call *cc, int rc) {
  int code = call_status_code(rc);
  caw_str text = cc->base.chain->fail_text;
  if (code != rc) text = (caw_str){NULL, 0};
  if (cc->step == STEP_CREDENTIALS) {
    code = credentials_code(rc);
    text = caw_arena_printf(rpc_call_arena(&cc->base.rpc), "the call credentials failed: %.*s",
                            CAW_STR_ARG(text.len ? text : caw_str_from(caw_code_name(rc))));
  }
  client_abort(&cc->base, code, text.data ? text.data : "");
}

/* All who were asked have let the call pass: it may be sent, when there is a connection. */
static void pass(client_call *cc) {
  if (cc->step == STEP_CREDENTIALS) cc->credentials_ready = true;
  cc->step = STEP_READY;
  list_push_back(&cc->channel->waiting, &cc->wait);
  launch(cc);
}

/* Begins to ask, or takes the answer that has come and goes on. */
static void ask(client_call *cc) {
  int rc = 0;
  if (cc->asking && !chain_take_answer(cc->base.chain, &rc)) return;
  if (!rc) rc = cc->step == STEP_INTERCEPTORS ? chain_ask(cc->base.chain) : ask_credentials(cc);
  cc->asking = rc == CAW_PENDING;
  if (cc->asking || cc->decided) return;
  if (rc) refuse(cc, rc);
  else pass(cc);
}

/* What the program has sent passes the interceptors. */
static void send_kept(client_call *cc) {
  call_chain *c = cc->base.chain;
  int rc = 0;
  for (size_t i = 0; i < c->out_len && !rc && !cc->decided; i++) {
    caw_payload *p = c->out[i];
    chain_message(c, true, p->encoding > CAW_ENCODING_IDENTITY, rpc_payload_plain(p), p->len);
    rc = transmit(&cc->base, p);
  }
  chain_drop(c);
  if (rc) client_abort(&cc->base, CAW_RESOURCE_EXHAUSTED, "out of memory");
  if (!c->end) return;
  c->end = false;
  end_now(&cc->base);
}

static void chain_turn(client_call *cc) {
  if (cc->step != STEP_READY && !cc->decided) ask(cc);
  if (cc->step != STEP_INTERCEPTORS && !cc->decided) send_kept(cc);
  /* Here, when what was asked has itself ended the call. */
  if (cc->decided && cc->asking) chain_cancel(cc->base.chain);
}

static void client_dispatch(caw_call *call) {
  client_call *cc = self_of(call);
  bool drain;
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
  if (cc->told && !attached(cc)) complete(cc);
}

/* ---- Sending ---- */

static int client_send(caw_call *call, caw_payload *payload) {
  if (self_of(call)->decided || call_has(call, CALL_GONE)) return CAW_ECLOSED;
  if (!call->chain) return transmit(call, payload);
  int rc = chain_keep(call->chain, payload);
  if (!rc) call_wake(call);
  return rc;
}

static void client_end(caw_call *call, int code, char *text) {
  (void)code;
  caw_free(text);
  if (call_has(call, CALL_OVER)) return; /* it ended while this was on its way here */
  if (!call->chain) {
    end_now(call);
    return;
  }
  call->chain->end = true;
  call_wake(call);
}

static void client_destroy(caw_call *call) {
  client_call *cc = self_of(call);
  commit(cc);
  caw_call_credentials_unref(cc->credentials[0]);
  caw_call_credentials_unref(cc->credentials[1]);
}

static rpc_metadata *client_metadata(caw_call *call, caw_metadata_list which) {
  client_call *cc = self_of(call);
  if (which == CAW_RESPONSE_HEADERS) return &call->rpc.headers;
  if (which == CAW_RESPONSE_TRAILERS) return &call->rpc.trailers;
  bool secret = call->chain && call->chain->phase == CHAIN_CREDENTIALS;
  return secret ? &cc->secrets : &cc->metadata;
}

static const call_class client_class = {
    sizeof(client_call), false,          client_dispatch, client_send, client_end, NULL,
    abort_call,          client_destroy, client_metadata,
};

static int send_replay(client_call *cc) {
  int rc = 0;
  for (size_t i = 0; i < cc->replay_len && !rc; i++)
    rc = rpc_call_send(&cc->base.rpc, cc->replay[i], NULL);
  if (!rc && cc->half_closed) rc = rpc_call_half_close(&cc->base.rpc);
  return rc;
}

/* Are the credentials at hand, and may they be sent here? Else they are asked in the
 * call's turn, or the call fails. */
static bool with_credentials(client_call *cc, const conn *c) {
  char text[IO_ADDRESS_TEXT + 160];
  if (!conn_is_private(c) && !cc->channel->options.insecure_credentials_over_plaintext) {
    if (conn_is_tls(c))
      snprintf(text, sizeof(text),
               "call credentials are not sent to %s, whose certificate was not checked "
               "(insecure_noverify): give the channel credentials a CA",
               conn_peer(c));
    else
      snprintf(text, sizeof(text),
               "call credentials are not sent in plaintext to %s: use TLS, or set "
               "insecure_credentials_over_plaintext where everyone may read them",
               conn_peer(c));
    client_abort(&cc->base, CAW_UNAUTHENTICATED, text);
    return false;
  }
  if (cc->credentials_ready) return true;
  list_remove(&cc->wait);
  cc->step = STEP_CREDENTIALS;
  call_wake(&cc->base);
  return false;
}

int client_call_attach(client_call *cc, conn *c) {
  caw_call *call = &cc->base;
  uint64_t now = io_now(call->loop);
  if (call->deadline <= now) {
    abort_call(call, CAW_DEADLINE_EXCEEDED, "the deadline is over");
    return 0;
  }
  if (has_credentials(cc) && !with_credentials(cc, c)) return 0;
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

static int set_chain(client_call *cc, const caw_call_options *o) {
  caw_channel *ch = cc->channel;
  caw_call_credentials *from[] = {ch->call_credentials, o->credentials};
  if (!atomic_load_explicit(&ch->used, memory_order_relaxed)) atomic_store(&ch->used, true);
  if (!ch->interceptors && !from[0] && !from[1]) return 0;
  for (int i = 0; i < 2; i++)
    if (from[i]) cc->credentials[i] = caw_call_credentials_ref(from[i]);
  if (ch->interceptors) cc->step = STEP_INTERCEPTORS;
  return chain_new(&cc->base, ch->interceptors);
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
  client_call *cc = self_of(call);
  cc->channel = ch;
  call->method = method;
  cc->user = call->data = user;
  cc->wait_for_ready = o.wait_for_ready;
  call->encoding = (uint8_t)(o.encoding ? o.encoding : ch->options.encoding);
  call->rpc.out_encoding = call->encoding;
  list_init(&cc->node);
  list_init(&cc->wait);
  int rc = copy_metadata(cc, &o);
  if (!rc) rc = set_deadline(cc, &o);
  if (!rc) rc = set_chain(cc, &o);
  if (rc) {
    abandon(cc);
    return rc;
  }
  list_push_back(&ch->calls, &cc->node);
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
  launch(cc);
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
  caw_call_close_send(&cc->base);
  launch(cc);
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
