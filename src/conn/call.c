/* What all calls share, and the public functions of caw/call.h. */
#include "conn/chain.h"
#include "conn/memory.h"

#include "base/cells.h"
#include "io/sys.h"

#include <assert.h>
#include <caw/alloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* ---- Life ---- */

static void run_dispatch(io_task *task) {
  caw_call *call = LIST_ENTRY(task, caw_call, task);
  call->cls->dispatch(call);
}

caw_call *call_new(const call_class *cls, caw_loop *loop, size_t max_receive, size_t send_limit) {
  caw_call *call = cells_calloc(io_cells(loop), 1, cls->size);
  if (!call) return NULL;
  rpc_call_init(&call->rpc, cls->server, NULL, max_receive);
  call->rpc.in.cells = io_cells(loop);
  io_task_init(&call->task, run_dispatch);
  list_init(cls->server ? &call->children : &call->sibling);
  list_init(&call->put_off);
  call->cls = cls;
  call->loop = loop;
  call->deadline = UINT64_MAX;
  call->send_limit = send_limit;
  atomic_init(&call->refs, 1);
  io_loop_hold(loop); /* until call_release: someone waits for its end */
  return call;
}

/* `of`: the loop's, on its thread; or NULL. */
static void destroy(caw_call *call, cells *of) {
  if (call->cls->destroy) call->cls->destroy(call);
  call->rpc.in.cells = of;
  rpc_call_finish(&call->rpc);
  arena_leave(of, call->arena);
  if (call->chain) chain_free(call->chain, of);
  if (call->values) call_free_values(call);
  if (call->cls->server) caw_free(call->end_text);
  cells_free(of, call);
}

caw_call *caw_call_ref(caw_call *call) {
  atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
  return call;
}

void caw_call_unref(caw_call *call) {
  if (call && atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) == 1)
    destroy(call, NULL);
}

void call_wake(caw_call *call) {
  if (!call_has(call, CALL_OVER)) call_turn(call);
}

void call_turn(caw_call *call) {
  io_defer(call->loop, &call->task);
}

struct call_clock {
  io_timer timer;
  caw_call *call;
};

static void fire(io_timer *timer) {
  caw_call *call = ((call_clock *)(void *)timer)->call;
  call->cls->abort(call, CAW_DEADLINE_EXCEEDED, "the deadline is over");
}

/*
 * How long a server leaves a client that must have expired to say so itself.
 * gRPC's C core counts in whole milliseconds and asks for a timeout of 1 ns in
 * the last one: a reset in that same millisecond is CANCELLED to it, not
 * DEADLINE_EXCEEDED (1 of 100 calls with a deadline of 1 ms, measured).
 */
#define SERVER_SLACK UINT64_C(2000000)

int call_set_deadline(caw_call *call, uint64_t at) {
  call->deadline = at;
  if (at == UINT64_MAX) return 0;
  uint64_t slack = call->cls->server && at < UINT64_MAX - SERVER_SLACK ? SERVER_SLACK : 0;
  call_clock *clock = cells_alloc(io_cells(call->loop), sizeof(*clock));
  if (!clock) return CAW_ENOMEM;
  clock->call = call;
  int rc = io_timer_init(&clock->timer, call->loop, fire);
  if (rc) {
    cells_free(io_cells(call->loop), clock);
    return rc;
  }
  io_timer_start(&clock->timer, at + slack);
  call->clock = clock;
  return 0;
}

static void stop_clock(caw_call *call) {
  if (!call->clock) return;
  io_timer_finish(&call->clock->timer);
  cells_free(io_cells(call->loop), call->clock);
  call->clock = NULL;
}

void call_release(caw_call *call) {
  io_task_cancel(&call->task);
  stop_clock(call);
  conn_leave(call);
  if (!call->cls->server) call_leave_parent(call);
  caw_loop *loop = call->loop;
  if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) == 1)
    destroy(call, io_cells(loop));
  io_loop_release(loop);
}

void call_mark_cancelled(caw_call *call) {
  bool before = call_set(call, CALL_CANCELLED) & CALL_CANCELLED;
  if (!before && call->cls->server) call_cancel_children(call); /* a client's call has none */
}

unsigned call_take_news(caw_call *call, bool *drain) {
  unsigned news = rpc_call_take_news(&call->rpc);
  if (news & RPC_NEWS_DATA) memory_count(call);
  *drain = false;
  if (!(news & RPC_NEWS_SENT)) return news;
  size_t sent = call->rpc.sent_bytes;
  call->rpc.sent_bytes = 0;
  size_t queued = atomic_fetch_sub(&call->queued, sent) - sent;
  if (queued <= call->send_limit / 2 && call_has(call, CALL_WANT_DRAIN)) {
    atomic_fetch_and(&call->flags, ~(unsigned)CALL_WANT_DRAIN);
    *drain = true;
    /* Another sender may have filled the queue, and set the flag, before it was
     * cleared: its own drain is owed too. */
    if (atomic_load(&call->queued) >= call->send_limit) call_set(call, CALL_WANT_DRAIN);
  }
  return news;
}

/* ---- Messages ---- */

/* rpc_call_take within the connection's memory. */
static int take(caw_call *call, rpc_message *m) {
  conn *c = call->conn;
  size_t room = m->compressed ? memory_room(call) : 0;
  int code = rpc_call_take(&call->rpc, m, room);
  if (!m->compressed) return code;
  memory_count(call);
  if (c && rpc_call_lacks_room(&call->rpc)) limit_hit(c, CAW_LIMIT_CONNECTION_BYTES);
  return code;
}

void call_consumed(caw_call *call) {
  rpc_call_release(&call->rpc);
  memory_count(call);
  call->rpc.withheld = !memory_feeds(call);
  rpc_call_give_window(&call->rpc);
}

/* Decodes bytes into a zeroed message in `arena`; as call_receive. */
static int decode(const caw_call *call, caw_arena *arena, const rpc_message *bytes, void **message,
                  const char **why) {
  const caw_type *type = call_in_type(call);
  *message = caw_arena_calloc(arena, 1, type->size);
  int rc = *message ? type->codec->decode(type->desc, *message, bytes->data, bytes->len, arena)
                    : CAW_ENOMEM;
  switch (rc) {
  case 0:
    return 0;
  case CAW_ENOMEM:
    *why = "out of memory for a received message";
    return CAW_RESOURCE_EXHAUSTED;
  case CAW_EUTF8:
    *why = "a text field of a received message is not UTF-8";
    return CAW_INTERNAL;
  case CAW_EDEPTH:
    *why = "a received message is nested too deeply";
    return CAW_INTERNAL;
  default:
    *why = "a received message is malformed";
    return CAW_INTERNAL;
  }
}

int call_receive(caw_call *call, caw_arena *arena, rpc_message *bytes, void **message,
                 const char **why) {
  size_t travels = bytes->len;
  call->received++;
  call->received_bytes += travels;
  call_show_message(call, false);
  int code = take(call, bytes);
  *why = bytes->why;
  if (call->chain && !code)
    chain_message(call->chain, false, bytes->compressed, bytes->len, travels);
  if (code) return code;
  if (!bytes->compressed) return decode(call, arena, bytes, message, why);
  uint64_t began = io_sys_clock();
  code = decode(call, arena, bytes, message, why);
  call_inflate_took(call, io_sys_clock() - began);
  return code;
}

/* ---- Operations from any thread ---- */

/* May the caller act at once? Only on the loop's thread, and only when nothing
 * of another thread is still on its way, so that order is kept. */
static bool direct(const caw_call *call) {
  return io_on_loop(call->loop) && atomic_load_explicit(&call->posted, memory_order_acquire) == 0;
}

/* A message or headers on their way to the loop. */
typedef struct call_op {
  io_post post;
  caw_call *call;
  caw_payload *payload; /* NULL: headers */
} call_op;

static void run_op(io_post *post) {
  call_op *op = (call_op *)(void *)post;
  caw_call *call = op->call;
  atomic_fetch_sub_explicit(&call->posted, 1, memory_order_release);
  int rc = 0;
  if (!call_has(call, CALL_OVER | CALL_CANCELLED))
    rc = op->payload ? call->cls->send(call, op->payload) : call->cls->send_headers(call);
  /* A stream that is gone is told by its own news. */
  if (rc && rc != CAW_ECLOSED) call->cls->abort(call, CAW_INTERNAL, "a message could not be sent");
  caw_payload_unref(op->payload);
  caw_free(op);
  caw_call_unref(call);
}

static int post_op(caw_call *call, caw_payload *payload) {
  call_op *op = caw_malloc(sizeof(*op));
  if (!op) return CAW_ENOMEM;
  op->call = caw_call_ref(call);
  op->payload = payload ? caw_payload_ref(payload) : NULL;
  atomic_fetch_add_explicit(&call->posted, 1, memory_order_relaxed);
  io_loop_post(call->loop, &op->post, run_op);
  return 0;
}

/* May this side still send? */
static int check_open(const caw_call *call) {
  if (call_has(call, CALL_OVER | CALL_CANCELLED | CALL_GONE)) return CAW_ECLOSED;
  return call_has(call, CALL_LOCAL_END) ? CAW_ESTATE : 0;
}

/*
 * Is the queue full? Then on_drain is owed. The loop takes what was sent off
 * the account first and looks for the flag afterwards; here the flag is set
 * first and the account looked at again. Whichever way the two meet, either the
 * loop finds the flag, or the room is found here.
 */
static bool is_full(caw_call *call) {
  if (atomic_load(&call->queued) < call->send_limit) return false;
  call_set(call, CALL_WANT_DRAIN);
  return atomic_load(&call->queued) >= call->send_limit;
}

/* Takes `size` bytes into the account of the queue, or says CAW_EAGAIN. */
static int take_room(caw_call *call, size_t size) {
  if (is_full(call)) return CAW_EAGAIN;
  atomic_fetch_add(&call->queued, size);
  is_full(call); /* a queue that is filled drains, also when no send is refused */
  return 0;
}

void caw_call_set_send_buffer(caw_call *call, size_t bytes) {
  call->send_limit = bytes ? bytes : 1;
}

bool caw_call_full(caw_call *call) {
  return is_full(call);
}

/* The checks for a message that is about to be encoded. */
static int check_send(caw_call *call) {
  int rc = check_open(call);
  if (rc) return rc;
  if (call_sends_one(call)) return call_has(call, CALL_SENT_ONE) ? CAW_ESTATE : 0;
  return is_full(call) ? CAW_EAGAIN : 0;
}

int call_choose_form(const caw_call *call, caw_payload **payload) {
  if (call->encoding <= CAW_ENCODING_IDENTITY || call_has(call, CALL_UNCOMPRESSED)) return 0;
  return rpc_payload_compressed(payload, *payload, (caw_encoding)call->encoding);
}

int caw_call_send_payload(caw_call *call, caw_payload *payload) {
  int rc = check_open(call);
  if (!rc) rc = call_choose_form(call, &payload);
  if (rc) return rc;
  bool one = call_sends_one(call);
  if (one && (call_set(call, CALL_SENT_ONE) & CALL_SENT_ONE)) return CAW_ESTATE;
  size_t size = rpc_payload_size(payload);
  rc = take_room(call, size);
  if (rc) return rc;
  if (call->cls->server && !call_has(call, CALL_HEADERS_TAKEN)) call_set(call, CALL_HEADERS_TAKEN);
  rc = direct(call) ? call->cls->send(call, payload) : post_op(call, payload);
  if (rc) {
    atomic_fetch_sub(&call->queued, size);
    if (one) atomic_fetch_and(&call->flags, ~(unsigned)CALL_SENT_ONE);
  }
  return rc;
}

int caw_call_send(caw_call *call, const void *message) {
  int rc = check_send(call);
  if (rc) return rc;
  const caw_type *type = call->cls->server ? call->method->response : call->method->request;
  caw_payload *payload = NULL;
  rc = rpc_payload_new(&payload, direct(call) ? io_cells(call->loop) : NULL, type, message);
  if (rc) return rc;
  rc = caw_call_send_payload(call, payload);
  caw_payload_unref(payload);
  return rc;
}

void caw_call_compress(caw_call *call, bool on) {
  if (on) atomic_fetch_and(&call->flags, ~(unsigned)CALL_UNCOMPRESSED);
  else call_set(call, CALL_UNCOMPRESSED);
}

bool caw_call_was_compressed(const caw_call *call) {
  return call->rpc.took_compressed;
}

size_t caw_call_queued(const caw_call *call) {
  return atomic_load(&call->queued);
}

int caw_call_send_headers(caw_call *call) {
  int rc = check_open(call);
  if (rc) return rc;
  if (!call->cls->send_headers) return CAW_ESTATE;
  if (call_set(call, CALL_HEADERS_TAKEN) & CALL_HEADERS_TAKEN) return CAW_ESTATE;
  return direct(call) ? call->cls->send_headers(call) : post_op(call, NULL);
}

static void run_end(io_post *post) {
  caw_call *call = LIST_ENTRY(post, caw_call, end_post);
  atomic_fetch_sub_explicit(&call->posted, 1, memory_order_release);
  if (call->cls->server) {
    char *text = call->end_text;
    call->end_text = NULL;
    call->cls->end(call, call->end_code, text);
  } else {
    call->cls->end(call, 0, NULL);
  }
  caw_call_unref(call);
}

void call_end(caw_call *call, int code, char *text) {
  if (direct(call)) {
    call->cls->end(call, code, text);
    return;
  }
  caw_call_ref(call);
  if (call->cls->server) { /* a client says neither */
    call->end_code = code;
    call->end_text = text;
  }
  atomic_fetch_add_explicit(&call->posted, 1, memory_order_relaxed);
  io_loop_post(call->loop, &call->end_post, run_end);
}

int caw_call_close_send(caw_call *call) {
  if (call->cls->server) return CAW_ESTATE;
  if (call_has(call, CALL_OVER | CALL_CANCELLED)) return CAW_ECLOSED;
  if (call_set(call, CALL_LOCAL_END) & CALL_LOCAL_END) return CAW_ESTATE;
  call_end(call, 0, NULL);
  return 0;
}

static char *copy_text(const char *text) {
  size_t len = text ? strlen(text) : 0;
  char *copy = len ? caw_malloc(len + 1) : NULL;
  if (copy) memcpy(copy, text, len + 1);
  return copy; /* without memory the status goes without its text */
}

int call_status_code(int rc) {
  if (rc >= CAW_OK && rc <= CAW_UNAUTHENTICATED) return rc;
  return rc == CAW_ENOMEM ? CAW_RESOURCE_EXHAUSTED : CAW_INTERNAL;
}

int caw_call_finish(caw_call *call, int code, const char *message) {
  if (!call->cls->server) return CAW_ESTATE;
  if (call_set(call, CALL_LOCAL_END) & CALL_LOCAL_END) return CAW_ESTATE;
  int told = call_status_code(code);
  if (told != code) call_set(call, CALL_MUTE);
  call_end(call, told, told == code ? copy_text(message) : NULL);
  return 0;
}

int caw_call_reply(caw_call *call, const void *message) {
  if (!call->cls->server) return CAW_ESTATE;
  int sent = caw_call_send(call, message);
  if (sent == CAW_ESTATE) return CAW_ESTATE;
  bool unsent = sent && sent != CAW_ECLOSED;
  int rc = caw_call_finish(call, unsent ? sent : CAW_OK, NULL);
  return unsent ? sent : rc;
}

static void run_cancel(io_post *post) {
  caw_call *call = LIST_ENTRY(post, caw_call, cancel_post);
  if (!call_has(call, CALL_OVER)) call->cls->abort(call, CAW_CANCELLED, "cancelled by the caller");
  caw_call_unref(call);
}

void caw_call_cancel(caw_call *call) {
  if (call->cls->server || call_has(call, CALL_OVER | CALL_CANCELLED)) return;
  if (io_on_loop(call->loop)) {
    call->cls->abort(call, CAW_CANCELLED, "cancelled by the caller");
    return;
  }
  if (call_set(call, CALL_ASKED_CANCEL) & CALL_ASKED_CANCEL) return;
  caw_call_ref(call);
  io_loop_post(call->loop, &call->cancel_post, run_cancel);
}

/* ---- What a call is ---- */

const caw_method *caw_call_method(const caw_call *call) {
  return call->method;
}

caw_str caw_call_path(const caw_call *call) {
  return call->cls->server ? call->rpc.path : caw_str_from(call->method->path);
}

caw_call *caw_call_parent(const caw_call *call) {
  return call->cls->server ? NULL : call->parent;
}

caw_str caw_call_peer(const caw_call *call) {
  return call->conn ? caw_str_from(conn_peer(call->conn)) : (caw_str){NULL, 0};
}

const caw_peer_identity *caw_call_peer_identity(const caw_call *call) {
  return call->conn ? call->conn->identity : NULL;
}

caw_str caw_call_authority(const caw_call *call) {
  return call->cls->server ? call->rpc.authority : (caw_str){NULL, 0};
}

caw_loop *caw_call_loop(const caw_call *call) {
  return call->loop;
}

#define ARENA_PREPARED ((size_t)224) /* a small request and its reply */
#define ARENA_ASKED    ((size_t)96)  /* what a handler of a stream keeps */

void call_prepare_arena(caw_call *call) {
  arena_at(&call->arena, io_cells(call->loop), ARENA_PREPARED);
}

caw_arena *caw_call_arena(caw_call *call) {
  if (call->arena) return call->arena;
  return arena_at(&call->arena, io_on_loop(call->loop) ? io_cells(call->loop) : NULL, ARENA_ASKED);
}

void caw_call_set_data(caw_call *call, void *data) {
  call->data = data;
}

void *caw_call_data(const caw_call *call) {
  return call->data;
}

uint64_t caw_call_deadline(const caw_call *call) {
  return call->deadline;
}

uint64_t caw_call_time_left(const caw_call *call) {
  if (call->deadline == UINT64_MAX) return UINT64_MAX;
  uint64_t now = io_sys_clock();
  return now < call->deadline ? call->deadline - now : 0;
}

bool caw_call_draining(const caw_call *call) {
  return call_has(call, CALL_DRAINING);
}

bool caw_call_cancelled(const caw_call *call) {
  return call_has(call, CALL_CANCELLED);
}

void caw_call_pause(caw_call *call) {
  io_assert_on_loop(call->loop);
  if (call_has(call, CALL_OVER)) return;
  rpc_call_pause(&call->rpc, true);
  if (call->conn) memory_sated(call);
}

void caw_call_resume(caw_call *call) {
  io_assert_on_loop(call->loop);
  rpc_call_pause(&call->rpc, false);
  if (call->conn) conn_flush_later(call->conn);
  call_wake(call);
}

const caw_metadata *caw_call_metadata(const caw_call *call) {
  return &call->rpc.headers.list;
}

const caw_metadata *caw_call_trailers(const caw_call *call) {
  return &call->rpc.trailers.list;
}
