/* The server's calls: interceptors, routing, the handlers' turn, and the end. */
#include "server/server.h"

#include "base/probe.h"
#include "base/trace.h"
#include "conn/chain.h"
#include "conn/memory.h"
#include "io/sys.h"

#include <caw/alloc.h>
#include <caw/trace_context.h>
#include <stdarg.h>
#include <time.h>

/* Messages given to a handler in one turn before others have theirs. */
#define MESSAGES_PER_TURN 64

/* What a handler, or an interceptor, says beside the messages. In the handler's arena. */
typedef struct answer {
  rpc_metadata headers, trailers; /* to be sent */
  caw_str fail_text;              /* of caw_call_fail */
  caw_str details;                /* of caw_call_set_details */
} answer;

typedef struct server_call {
  caw_call base;
  worker *worker; /* NULL once the server does not know the call any more */
  list node;
  const method_entry *entry;       /* NULL until routed, or when refused */
  const method_entry *entry_found; /* that of the path that came, or NULL */
  caw_call_events events;
  void *events_user;
  void *reply;              /* of kinds with one reply, made when needed */
  _Atomic(answer *) answer; /* NULL: nothing was said of it yet */
  caw_status *told;         /* the outcome's texts, in the protocol's arena; NULL: none */
  int code;                 /* and its code */
  bool admitted : 1;        /* there is memory for its request */
  bool placed : 1;          /* it has its place among the connection's calls */
  bool begun : 1;           /* those who count and watch have heard of it */
  bool routed : 1;
  bool deciding : 1;     /* interceptors are being asked */
  bool asked : 1;        /* the handler's `message` (one) or `end` (many) was called */
  bool pending : 1;      /* it returned CAW_PENDING */
  bool over : 1;         /* status sent, or the stream is lost: nothing more goes out */
  bool handler_done : 1; /* finished, or nobody will finish */
  bool tell_cancel : 1, told_cancel : 1, tell_shutdown : 1;
} server_call;

static server_call *self_of(caw_call *call) {
  return (server_call *)(void *)call;
}

/* What was said so far, or NULL. A handler on another thread may say the first of it while
 * the loop sends the headers: trailers, for instance. So it shows itself complete. */
static answer *said(const server_call *sc) {
  return atomic_load_explicit(&sc->answer, memory_order_acquire);
}

/* Makes it if need be. NULL: memory is out. */
static answer *answer_of(server_call *sc) {
  answer *a = said(sc);
  if (a) return a;
  a = caw_arena_calloc(caw_call_arena(&sc->base), 1, sizeof(*a));
  atomic_store_explicit(&sc->answer, a, memory_order_release);
  return a;
}

static const rpc_metadata *headers_of(const server_call *sc) {
  const answer *a = said(sc);
  return a ? &a->headers : NULL;
}

static const rpc_metadata *trailers_of(const server_call *sc) {
  const answer *a = said(sc);
  return a ? &a->trailers : NULL;
}

static caw_str details_of(const server_call *sc) {
  const answer *a = said(sc);
  return a ? a->details : (caw_str){NULL, 0};
}

static caw_call_kind kind_of(const server_call *sc) {
  return sc->base.method->kind;
}

static bool many_requests(const server_call *sc) {
  return kind_of(sc) == CAW_CLIENT_STREAM || kind_of(sc) == CAW_BIDI;
}

/* ---- With interceptors: what is sent waits for the call's turn ---- */

static bool keeps(const caw_call *call) {
  return call->chain && chain_follows(call->chain);
}

static int keep_message(caw_call *call, caw_payload *payload) {
  int rc = chain_keep(call->chain, payload);
  if (!rc) call_wake(call);
  return rc;
}

static int keep_headers(caw_call *call) {
  call->chain->send_headers = true;
  call_wake(call);
  return 0;
}

static void keep_end(caw_call *call, int code, char *text) {
  call->chain->end = true;
  call->chain->end_code = code;
  call->chain->end_text = text;
  call_wake(call);
}

static void intercept_headers(server_call *sc) {
  if (!sc->base.rpc.headers_sent) chain_headers(sc->base.chain);
}

/* The handler's status on its way out. Metadata before it want a block of their own. */
static void intercept_status(server_call *sc, caw_status *status) {
  if (headers_of(sc)->list.len) intercept_headers(sc);
  chain_status(sc->base.chain, status);
}

/* ---- The beginning, for those who count and watch ---- */

/* Cold, as what a function may have to do is paid for in its beginning. */
__attribute__((cold)) static void trace_begin_of(const server_call *sc) {
  trace_write(TRACE_CALL, "call %p is %.*s from %s", (const void *)sc,
              CAW_STR_ARG(sc->base.rpc.path), conn_peer(sc->base.conn));
}

/* It is this server's call from now on, whatever becomes of it. */
static void announce(server_call *sc) {
  sc->routed = sc->begun = true;
  PROBE3(server__call__begin, &sc->base, sc->base.rpc.path.data, sc->base.rpc.path.len);
  if (trace_wants(TRACE_CALL)) trace_begin_of(sc);
  if (sc->worker->counts) server_stats_began(sc->worker, sc->entry_found, &sc->base);
}

/* One that came, and ends before its first turn: the client may have given it up in the very
 * write that brought it. */
__attribute__((cold)) static void announce_late(server_call *sc) {
  if (!sc->begun && sc->base.rpc.headers_received) announce(sc);
}

/* ---- The end of a call ---- */

__attribute__((cold)) static void trace_end(const server_call *sc, const caw_status *status) {
  trace_write(TRACE_CALL, "call %p ends with %s%s%.*s", (const void *)sc,
              caw_code_name(status->code), status->message.len ? ": " : "",
              CAW_STR_ARG(status->message));
}

/* The text is copied for the access log. */
__attribute__((noinline)) static void keep_texts(server_call *sc, const caw_status *status) {
  caw_arena *arena = rpc_call_arena(&sc->base.rpc);
  sc->told = caw_arena_calloc(arena, 1, sizeof(*sc->told));
  if (!sc->told) return; /* without memory it goes without its texts */
  if (status->message.len) sc->told->message = caw_arena_dup(arena, status->message);
  sc->told->details = status->details;
}

/* Notes the outcome. */
static void tell_all(server_call *sc, const caw_status *status) {
  if (sc->over) return;
  sc->over = true;
  sc->code = status->code;
  if (sc->begun) {
    PROBE2(server__call__end, &sc->base, status->code);
    if (trace_wants(TRACE_CALL)) trace_end(sc, status);
    if (sc->worker->counts) server_stats_ended(sc->worker, sc->entry_found, &sc->base, sc->code);
  }
  if (status->message.len || status->details.data) keep_texts(sc, status);
}

static void tell(server_call *sc, int code, caw_str text) {
  const caw_status status = {code, text, {NULL, 0}};
  tell_all(sc, &status);
}

/* Sends the status, or resets the stream when there is no memory for it. Only
 * with the handler's own end (`own`) does its metadata go along: otherwise it
 * may be adding to it at this moment, on another thread. */
static void send_status(server_call *sc, int code, caw_str text, bool own) {
  if (sc->over) return;
  bool details = own && code && !call_has(&sc->base, CALL_MUTE);
  caw_status status = {code, text, details ? details_of(sc) : (caw_str){NULL, 0}};
  if (own && sc->base.chain) intercept_status(sc, &status);
  int rc = rpc_call_end(&sc->base.rpc, &status, own ? headers_of(sc) : NULL,
                        own ? trailers_of(sc) : NULL);
  if (rc == CAW_ENOMEM) rpc_call_reset(&sc->base.rpc, H2_INTERNAL_ERROR);
  if (rc == CAW_ECLOSED) tell(sc, CAW_CANCELLED, caw_str_from("the client has gone"));
  else tell_all(sc, &status);
  if (sc->base.conn) conn_flush_later(sc->base.conn);
}

/* Nothing more is expected of a handler that has not promised to finish, unless
 * another thread has just finished for it: then that is on its way here. */
static void release_handler(server_call *sc) {
  if (sc->pending || sc->deciding) return;
  if (!(call_set(&sc->base, CALL_LOCAL_END) & CALL_LOCAL_END)) sc->handler_done = true;
}

/* The call ends by something else than its handler. */
static void cut(server_call *sc, int code, caw_str text) {
  if (sc->over) return;
  announce_late(sc);
  call_mark_cancelled(&sc->base);
  send_status(sc, code, text, false);
  sc->tell_cancel = true;
  call_wake(&sc->base);
}

static void server_abort(caw_call *call, int code, const char *text) {
  server_call *sc = self_of(call);
  bool expired = code == CAW_DEADLINE_EXCEEDED;
  if (sc->over || expired) {
    /* Expired, or finished and stuck: PROTOCOL-HTTP2.md, Client Cancellation,
     * has servers reset an expired call's stream. */
    if (!sc->over) {
      announce_late(sc);
      call_mark_cancelled(call);
      sc->tell_cancel = true;
      tell(sc, code, caw_str_from(text));
    }
    rpc_call_reset(&call->rpc, H2_CANCEL);
    if (call->conn) conn_flush_later(call->conn);
    call_wake(call);
    return;
  }
  cut(sc, code, caw_str_from(text));
}

static void end_now(server_call *sc, int code, char *text) {
  bool kept = code && !text && !call_has(&sc->base, CALL_MUTE);
  const answer *a = kept ? said(sc) : NULL;
  send_status(sc, code, a ? a->fail_text : caw_str_from(text), true);
  caw_free(text);
  call_wake(&sc->base);
}

/* The handler has finished. */
static void server_end(caw_call *call, int code, char *text) {
  server_call *sc = self_of(call);
  sc->handler_done = true;
  if (keeps(call)) keep_end(call, code, text);
  else end_now(sc, code, text);
}

/* The call's turn: what its handler has sent passes the interceptors. */
static void send_kept(server_call *sc) {
  call_chain *c = sc->base.chain;
  rpc_call *rpc = &sc->base.rpc;
  int rc = 0;
  if (!sc->over && (c->send_headers || c->out_len)) {
    intercept_headers(sc);
    rc = rpc_call_send_headers(rpc, headers_of(sc));
  }
  for (size_t i = 0; i < c->out_len && !rc && !sc->over; i++) {
    caw_payload *p = c->out[i];
    chain_message(c, true, p->encoding > CAW_ENCODING_IDENTITY, rpc_payload_plain(p), p->len);
    rc = rpc_call_send(rpc, p, headers_of(sc));
    if (rc) break;
    call_count_sent(&sc->base, p);
    call_show_message(&sc->base, true);
  }
  chain_drop(c);
  c->send_headers = false;
  if (rc && rc != CAW_ECLOSED) server_abort(&sc->base, CAW_INTERNAL, "a message could not be sent");
  if (!c->end || sc->over) return;
  char *text = c->end_text;
  c->end = false;
  c->end_text = NULL;
  end_now(sc, c->end_code, text);
}

/* The handler has returned its outcome; it goes behind what other threads have
 * sent for the call. */
static void finish_now(server_call *sc, int code) {
  if (call_set(&sc->base, CALL_LOCAL_END) & CALL_LOCAL_END) return;
  int told = call_status_code(code);
  if (told != code) call_set(&sc->base, CALL_MUTE);
  call_end(&sc->base, told, NULL);
}

/* The time of day of a moment on the loops' clock. */
static uint64_t time_of_day(uint64_t at, uint64_t now) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec - (now - at);
}

__attribute__((noinline)) static void report(const server_call *sc, const caw_status *told) {
  const caw_server_options *o = &sc->worker->server->options;
  if (!sc->base.rpc.path.data) return;
  const caw_call *call = &sc->base;
  uint64_t now = io_sys_clock(), began = call->joined < now ? call->joined : now;
  caw_trace_context trace;
  caw_call_trace_context(call, &trace);
  caw_call_summary s = {.path = call->rpc.path,
                        .peer = caw_call_peer(call),
                        .status = *told,
                        .duration_ns = now - began,
                        .received = call->received,
                        .sent = call->sent,
                        .received_bytes = call->received_bytes,
                        .sent_bytes = call->sent_bytes,
                        .started_ns = time_of_day(began, now),
                        .timeout_ns = call->rpc.timeout,
                        .authority = call->rpc.authority,
                        .user_agent = caw_metadata_get(&call->rpc.headers.list, "user-agent"),
                        .traceparent = trace.traceparent};
  o->on_call(&s, o->user);
}

/* The stream is gone and the handler is done: the last event. */
static void complete(server_call *sc) {
  worker *w = sc->worker;
  caw_status told = sc->told ? *sc->told : (caw_status){0};
  told.code = sc->code;
  call_set(&sc->base, CALL_OVER);
  if (sc->events.on_done) sc->events.on_done(&sc->base, &told, sc->events_user);
  if (sc->base.chain) chain_done(sc->base.chain, &told);
  if (w->server->options.on_call) report(sc, &told);
  list_remove(&sc->node);
  call_release(&sc->base);
  worker_check(w);
  server_call_gone(w->server);
}

/* ---- Routing ---- */

static void refuse(server_call *sc, unsigned http, int code, caw_str text) {
  caw_status status = {code, text, details_of(sc)};
  if (sc->base.chain) chain_status(sc->base.chain, &status);
  int rc = rpc_call_refuse(&sc->base.rpc, http, &status, trailers_of(sc));
  if (rc == CAW_ENOMEM) rpc_call_reset(&sc->base.rpc, H2_INTERNAL_ERROR);
  tell(sc, status.code, status.message);
  release_handler(sc);
}

/* A codec with a name of its own accepts its own subtype only. */
static bool subtype_fits(const server_call *sc) {
  const char *name = sc->base.method->request->codec->name;
  caw_str subtype = sc->base.rpc.subtype;
  return !subtype.len || !name || caw_str_is(subtype, name);
}

static bool has_one_reply(const server_call *sc) {
  return kind_of(sc) == CAW_UNARY || kind_of(sc) == CAW_CLIENT_STREAM;
}

/* A path that is served need not be kept: the method's own lives for ever. */
caw_str server_call_path(caw_call *call, caw_str path) {
  server_call *sc = self_of(call);
  sc->entry_found = map_get(&sc->worker->server->methods, path);
  const char *same = sc->entry_found ? sc->entry_found->handler->method->path : NULL;
  return caw_str_of(same, path.len);
}

/* Looks for the path, if an interceptor has changed it. Sets the call's method, too. */
static const method_entry *find_entry(server_call *sc) {
  const method_entry *entry = sc->entry_found;
  caw_str path = sc->base.rpc.path;
  if (!entry || path.data != entry->handler->method->path)
    entry = map_get(&sc->worker->server->methods, path);
  sc->base.method = entry ? entry->handler->method : NULL;
  return entry;
}

/* Before any handler runs: once one does, the arena is its thread's. */
static int make_reply(server_call *sc) {
  if (!has_one_reply(sc)) return 0;
  sc->reply = caw_arena_calloc(caw_call_arena(&sc->base), 1, sc->base.method->response->size);
  return sc->reply ? 0 : CAW_ENOMEM;
}

static int begin(server_call *sc) {
  const caw_handler *h = sc->entry->handler;
  if (kind_of(sc) == CAW_UNARY) call_prepare_arena(&sc->base);
  if (make_reply(sc)) return CAW_ENOMEM;
  if (!many_requests(sc) || !h->open) return 0;
  return h->open(&sc->base, sc->entry->impl, sc->entry->self);
}

/* Can the client read replies of this encoding? */
static bool accepts(const server_call *sc, caw_encoding encoding) {
  return sc->base.rpc.accepts & 1u << encoding;
}

static int set_deadline(server_call *sc) {
  uint64_t timeout = sc->base.rpc.timeout;
  uint64_t began = sc->base.joined;
  if (timeout == UINT64_MAX || timeout >= UINT64_MAX - began) return 0;
  return call_set_deadline(&sc->base, began + timeout);
}

/* Interceptors have let the call pass. */
static void enter(server_call *sc) {
  rpc_call *rpc = &sc->base.rpc;
  const method_entry *entry = find_entry(sc);
  if (!entry) {
    refuse(sc, 200, CAW_UNIMPLEMENTED,
           caw_arena_printf(rpc_call_arena(rpc), "unknown method %.*s", CAW_STR_ARG(rpc->path)));
    return;
  }
  if (!subtype_fits(sc)) {
    refuse(sc, 415, CAW_UNIMPLEMENTED,
           caw_arena_printf(rpc_call_arena(rpc), "content-subtype %.*s is not supported; use %s",
                            CAW_STR_ARG(rpc->subtype), sc->base.method->request->codec->name));
    return;
  }
  sc->entry = entry;
  sc->base.served = true;
  caw_encoding encoding = sc->worker->server->options.encoding;
  if (accepts(sc, encoding)) rpc->out_encoding = sc->base.encoding = (uint8_t)encoding;
  int rc = begin(sc);
  if (rc == CAW_PENDING) sc->pending = true;
  else if (rc) finish_now(sc, rc);
}

/* What the interceptors say. */
static void decide(server_call *sc, int rc) {
  if (rc == CAW_PENDING) {
    rpc_call_pause(&sc->base.rpc, true);
    return;
  }
  sc->deciding = false;
  if (sc->base.rpc.paused) rpc_call_pause(&sc->base.rpc, false);
  if (sc->over) return;
  int told = call_status_code(rc);
  if (!rc) {
    enter(sc);
  } else if (told == rc) {
    refuse(sc, 200, rc, sc->base.chain->fail_text);
  } else {
    const caw_str none = {NULL, 0};
    said(sc)->details = none;
    refuse(sc, 200, told, none);
  }
}

/* The answer of one that had left his open: the next ones are asked. */
static void take_answer(server_call *sc) {
  int rc;
  if (chain_take_answer(sc->base.chain, &rc)) decide(sc, rc ? rc : chain_ask(sc->base.chain));
}

/* What interceptors may change is there from now on. */
static int intercept(server_call *sc, chain_list *interceptors) {
  call_prepare_arena(&sc->base);
  return answer_of(sc) ? chain_new(&sc->base, interceptors) : CAW_ENOMEM;
}

/* Is the client's time over before a handler has begun? Whatever it did would be in vain. The
 * turn's own time is that of the call's arrival, so the clock is asked. */
static bool comes_too_late(const server_call *sc) {
  return sc->base.deadline != UINT64_MAX && sc->base.deadline <= io_sys_clock();
}

/* The call that came: is it one, and who has something against it? */
static void route(server_call *sc) {
  rpc_call *rpc = &sc->base.rpc;
  chain_list *interceptors = sc->worker->server->interceptors;
  caw_str why;
  unsigned http;
  announce(sc);
  int code = rpc_call_check_request(rpc, &why, &http);
  if (rpc->dropped_fields && sc->base.conn) limit_hit(sc->base.conn, CAW_LIMIT_HEADERS);
  if (code) {
    refuse(sc, http, code, why);
  } else if (!sc->base.clock && set_deadline(sc)) {
    refuse(sc, 200, CAW_RESOURCE_EXHAUSTED, (caw_str){NULL, 0});
  } else if (comes_too_late(sc)) {
    refuse(sc, 200, CAW_DEADLINE_EXCEEDED, caw_str_from("the deadline is over"));
  } else if (interceptors && intercept(sc, interceptors)) {
    refuse(sc, 200, CAW_RESOURCE_EXHAUSTED, (caw_str){NULL, 0});
  } else if (sc->base.chain) {
    find_entry(sc); /* whose method interceptors see */
    sc->deciding = true;
    decide(sc, chain_ask(sc->base.chain));
  } else {
    enter(sc);
  }
}

/* ---- The handler's turn ---- */

/* What a handler returned that was asked for the outcome. */
static void take_outcome(server_call *sc, int rc) {
  if (rc == CAW_PENDING) {
    sc->pending = true;
    return;
  }
  if (rc == 0 && has_one_reply(sc) && !call_has(&sc->base, CALL_LOCAL_END)) {
    int sent = caw_call_send(&sc->base, sc->reply);
    /* A reply that was sent already by hand is fine. */
    if (sent && sent != CAW_ESTATE && sent != CAW_ECLOSED) rc = sent;
  }
  finish_now(sc, rc);
}

static void ask(server_call *sc, const void *request) {
  const caw_handler *h = sc->entry->handler;
  int rc;
  sc->asked = true;
  if (many_requests(sc)) rc = h->end(&sc->base, sc->reply, sc->entry->impl, sc->entry->self);
  else rc = h->message(&sc->base, request, sc->reply, sc->entry->impl, sc->entry->self);
  take_outcome(sc, rc);
}

static bool wants_input(const server_call *sc) {
  return sc->entry && !sc->asked && !sc->over && !call_has(&sc->base, CALL_LOCAL_END);
}

/* What the client sends is none of gRPC's, or more than it may send. */
static void cut_broken(server_call *sc, const rpc_message *m) {
  const rpc_call *rpc = &sc->base.rpc;
  if (!rpc->out_of_memory && !rpc->over_memory) allowance_blame(&sc->base);
  cut(sc, m->code, caw_str_from(m->why));
}

/* One message of a stream of requests. */
static void give(server_call *sc, rpc_message *bytes) {
  void *message;
  const char *why;
  const caw_handler *h = sc->entry->handler;
  caw_arena *arena = io_message_arena(sc->base.loop);
  int code = call_receive(&sc->base, arena, bytes, &message, &why);
  if (code) {
    cut(sc, code, caw_str_from(why));
  } else {
    int rc = h->message(&sc->base, message, NULL, sc->entry->impl, sc->entry->self);
    if (rc && rc != CAW_PENDING) finish_now(sc, rc);
  }
  caw_arena_reset(arena);
}

static void deliver_many(server_call *sc) {
  rpc_message bytes;
  for (int n = 0; wants_input(sc) && !sc->base.rpc.paused; n++) {
    rpc_next next = rpc_call_peek(&sc->base.rpc, &bytes);
    if (next == RPC_NEXT_NOTHING) return;
    if (next == RPC_NEXT_ERROR) {
      cut_broken(sc, &bytes);
    } else if (next == RPC_NEXT_END) {
      ask(sc, NULL);
    } else if (n == MESSAGES_PER_TURN) {
      call_wake(&sc->base);
      return;
    } else if (call_put_off(&sc->base, &bytes)) {
      return;
    } else {
      give(sc, &bytes);
    }
  }
}

/* Is there memory for what comes of a request that is whole? Asked until there is: while it is
 * decompressed it goes on. */
static bool is_admitted(server_call *sc) {
  if (sc->admitted) return true;
  memory_answer room = memory_admits(&sc->base);
  if (room == MEMORY_REFUSE) cut(sc, CAW_RESOURCE_EXHAUSTED, caw_str_from(memory_why));
  sc->admitted = room == MEMORY_GO;
  return sc->admitted;
}

/* Exactly one request, known to be the only one when the client has ended
 * (statuscodes.md: a cardinality violation is UNIMPLEMENTED). The message's
 * bytes stay in place until the call is over. */
static void deliver_one(server_call *sc) {
  rpc_message bytes, more;
  void *message;
  const char *why;
  rpc_next next = rpc_call_peek(&sc->base.rpc, &bytes);
  if (next == RPC_NEXT_NOTHING) return;
  if (next == RPC_NEXT_ERROR) {
    cut_broken(sc, &bytes);
    return;
  }
  if (next == RPC_NEXT_END) {
    cut(sc, CAW_UNIMPLEMENTED, caw_str_from("the method takes one request, none came"));
    return;
  }
  if (!sc->base.rpc.remote_ended || call_inflate_waits(&sc->base, &bytes)) return;
  if (!is_admitted(sc) || call_inflate(&sc->base, &bytes)) return;
  int code = call_receive(&sc->base, caw_call_arena(&sc->base), &bytes, &message, &why);
  next = rpc_call_peek(&sc->base.rpc, &more);
  if (next == RPC_NEXT_MESSAGE) {
    cut(sc, CAW_UNIMPLEMENTED, caw_str_from("the method takes one request, more came"));
    return;
  }
  if (next == RPC_NEXT_ERROR) {
    cut(sc, more.code, caw_str_from(more.why));
    return;
  }
  if (code) cut(sc, code, caw_str_from(why));
  else ask(sc, message);
}

static void deliver(server_call *sc) {
  if (many_requests(sc)) {
    deliver_many(sc);
    call_consumed(&sc->base);
  } else if (wants_input(sc) && !sc->base.rpc.paused) {
    deliver_one(sc);
    /* While the request is not whole, its window goes back; afterwards the
     * bytes are the handler's. */
    if (!sc->asked) call_consumed(&sc->base);
    else if (sc->base.conn) memory_sated(&sc->base);
  }
}

static void tell_handler(server_call *sc, bool drain) {
  caw_call *call = &sc->base;
  if (drain && !sc->over && sc->events.on_drain) sc->events.on_drain(call, sc->events_user);
  if (sc->tell_shutdown && !sc->over && !sc->handler_done && sc->events.on_shutdown) {
    sc->tell_shutdown = false;
    sc->events.on_shutdown(call, sc->events_user);
  }
  if (sc->tell_cancel && sc->deciding) chain_cancel(call->chain);
  if (sc->tell_cancel && !sc->told_cancel && !sc->handler_done && sc->entry) {
    sc->told_cancel = true;
    if (sc->events.on_cancel) sc->events.on_cancel(call, sc->events_user);
  }
}

/* A call with many requests begins with its headers: is there memory for what comes of
 * it? Others are asked when their request is whole. */
static bool has_room(server_call *sc) {
  const method_entry *entry = sc->entry_found;
  caw_call_kind kind = entry ? entry->handler->method->kind : CAW_UNARY;
  if (kind == CAW_UNARY || kind == CAW_SERVER_STREAM) return true;
  memory_answer room = memory_admits(&sc->base);
  if (room == MEMORY_GO) return true;
  /* Its time passes while it waits. */
  if (room == MEMORY_WAIT && (sc->base.clock || !set_deadline(sc))) return false;
  announce(sc);
  refuse(sc, 200, CAW_RESOURCE_EXHAUSTED, caw_str_from(memory_why));
  return false;
}

/* The handlers that were to make room for this one have not: it is for another connection, or
 * a later try (RFC 9113 8.7). */
static bool has_place(server_call *sc) {
  if (!sc->base.conn || sc->placed) return true;
  sc->placed = conn_has_place(sc->base.conn);
  if (sc->placed) return true;
  sc->base.conn->refused++;
  rpc_call_reset(&sc->base.rpc, H2_REFUSED_STREAM);
  conn_yield(&sc->base);
  tell(sc, CAW_UNAVAILABLE, caw_str_from("too many calls on this connection"));
  release_handler(sc);
  return false;
}

static void server_dispatch(caw_call *call) {
  server_call *sc = self_of(call);
  bool drain;
  unsigned news = call_take_news(call, &drain);
  conn_heard(call);
  if ((news & RPC_NEWS_CLOSED) && !sc->over) {
    announce_late(sc);
    call_mark_cancelled(call);
    sc->tell_cancel = true;
    tell(sc, CAW_CANCELLED, caw_str_from("the client has gone"));
  }
  if (!sc->routed && call->rpc.headers_received && !sc->over && has_place(sc) &&
      !(call->rpc.timeout != UINT64_MAX && allowance_defers(call)) && has_room(sc))
    route(sc);
  if (sc->deciding) take_answer(sc);
  if (wants_input(sc)) deliver(sc);
  else if (call->conn) memory_sated(call);
  tell_handler(sc, drain);
  if (keeps(call)) send_kept(sc);
  if (sc->over) release_handler(sc);
  if (call->conn) conn_flush_later(call->conn);
  if (call->rpc.state == RPC_DONE && sc->handler_done) complete(sc);
}

/* ---- Operations ---- */

static int server_send(caw_call *call, caw_payload *payload) {
  server_call *sc = self_of(call);
  if (sc->over) return CAW_ECLOSED;
  if (keeps(call)) return keep_message(call, payload);
  int rc = rpc_call_send(&call->rpc, payload, headers_of(sc));
  if (rc) return rc;
  call_count_sent(call, payload);
  call_show_message(call, true);
  conn_flush_later(call->conn);
  return 0;
}

static int server_send_headers(caw_call *call) {
  server_call *sc = self_of(call);
  if (sc->over) return CAW_ECLOSED;
  if (keeps(call)) return keep_headers(call);
  int rc = rpc_call_send_headers(&call->rpc, headers_of(sc));
  if (!rc) conn_flush_later(call->conn);
  return rc;
}

static rpc_metadata *server_metadata(caw_call *call, caw_metadata_list which) {
  server_call *sc = self_of(call);
  static rpc_metadata none; /* never changed: only who is intercepted is asked to */
  if (which == CAW_REQUEST_METADATA) return &call->rpc.headers;
  answer *a = said(sc);
  if (!a) return &none;
  return which == CAW_RESPONSE_HEADERS ? &a->headers : &a->trailers;
}

static const call_class server_class = {
    sizeof(server_call), true, server_dispatch, server_send, server_end, server_send_headers,
    server_abort,        NULL, server_metadata,
};

caw_call *server_call_new(worker *w, conn *c) {
  (void)c;
  const caw_server_options *o = &w->server->options;
  caw_call *call = call_new(&server_class, w->loop, o->max_receive, o->send_buffer);
  if (!call) return NULL;
  server_call *sc = self_of(call);
  sc->worker = w;
  if (w->draining) call_set(call, CALL_DRAINING);
  list_push_back(&w->calls, &sc->node);
  return call;
}

void server_calls_shutdown(worker *w) {
  for (list *l = w->calls.next; l != &w->calls; l = l->next) {
    server_call *sc = LIST_ENTRY(l, server_call, node);
    sc->tell_shutdown = true;
    call_set(&sc->base, CALL_DRAINING);
    call_wake(&sc->base);
  }
}

void server_calls_last_turn(worker *w) {
  list calls;
  list_take(&calls, &w->calls);
  while (!list_empty(&calls)) {
    list *l = list_pop(&calls);
    list_push_back(&w->calls, l);
    server_dispatch(&LIST_ENTRY(l, server_call, node)->base);
  }
}

void server_calls_abort(worker *w) {
  for (list *l = w->calls.next; l != &w->calls; l = l->next) {
    server_call *sc = LIST_ENTRY(l, server_call, node);
    /* What is finished and waits for the peer or the socket has a last moment,
     * as the statuses that are sent here have (on_grace). */
    cut(sc, CAW_UNAVAILABLE, caw_str_from("the server is shutting down"));
  }
}

/* ---- Public ---- */

void caw_call_on(caw_call *call, const caw_call_events *events, void *user) {
  io_assert_on_loop(call->loop);
  if (!call->cls->server) return;
  server_call *sc = self_of(call);
  sc->events = *events;
  sc->events_user = user;
  if (sc->worker->draining) sc->tell_shutdown = true;
  if (sc->tell_cancel || sc->tell_shutdown) call_wake(call);
}

static int add_metadata(caw_call *call, bool leading, caw_str key, caw_str value) {
  int rc = rpc_metadata_check(key, value);
  if (rc) return rc;
  answer *a = answer_of(self_of(call));
  if (!a) return CAW_ENOMEM;
  return rpc_metadata_add(leading ? &a->headers : &a->trailers, caw_call_arena(call), key, value);
}

int caw_call_add_header(caw_call *call, caw_str key, caw_str value) {
  if (!call->cls->server || call_has(call, CALL_HEADERS_TAKEN | CALL_LOCAL_END)) return CAW_ESTATE;
  return add_metadata(call, true, key, value);
}

int caw_call_add_trailer(caw_call *call, caw_str key, caw_str value) {
  if (!call->cls->server || call_has(call, CALL_LOCAL_END)) return CAW_ESTATE;
  return add_metadata(call, false, key, value);
}

int caw_call_set_details(caw_call *call, caw_str google_rpc_status) {
  if (!call->cls->server || call_has(call, CALL_LOCAL_END)) return CAW_ESTATE;
  caw_str copy = caw_arena_dup(caw_call_arena(call), google_rpc_status);
  answer *a = answer_of(self_of(call));
  if (!copy.data || !a) return CAW_ENOMEM;
  a->details = copy;
  return 0;
}

int caw_call_set_encoding(caw_call *call, caw_encoding encoding) {
  if (!call->cls->server || call_has(call, CALL_HEADERS_TAKEN | CALL_LOCAL_END)) return CAW_ESTATE;
  if (!caw_encoding_supported(encoding)) return CAW_EINVAL;
  server_call *sc = self_of(call);
  if (!encoding) encoding = sc->worker->server->options.encoding;
  if (!accepts(sc, encoding)) encoding = CAW_ENCODING_IDENTITY;
  call->rpc.out_encoding = call->encoding = (uint8_t)encoding;
  return 0;
}

int caw_call_fail(caw_call *call, int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  if (!(call->chain && chain_fail(call->chain, format, args)) && call->cls->server) {
    answer *a = answer_of(self_of(call));
    if (a) a->fail_text = caw_arena_vprintf(caw_call_arena(call), format, args);
  }
  va_end(args);
  return code;
}

int caw_server_intercept(caw_server *server, const caw_interceptor *interceptor, void *user) {
  if (server->started) return CAW_ESTATE;
  return chain_list_add(&server->interceptors, interceptor, user);
}
