/* The accounts of memory.h. */
#include "conn/memory.h"

#include "conn/call.h"
#include "conn/patience.h"

/* What a connection has counts for its server in pieces of this size, so that the account
 * that all loops share is seldom touched. */
#define GRANULE ((size_t)16 * 1024)

const char memory_why[] = "the calls of this connection or server take too much memory";

static size_t quota(const conn *c) {
  return conn_limits_of(c)->connection_bytes;
}

/* What messages on their way here may take before they come one after the other. */
static size_t share(const conn *c) {
  return quota(c) / 4;
}

static size_t going(const conn *c) {
  return c->rpc.h2 ? h2_held(c->rpc.h2) : 0;
}

static size_t held(const conn *c) {
  return c->memory.came + going(c);
}

/* May a handler begin? What comes has its share beside what goes, one answer a sixteenth.
 * `own` is what came for it. */
static bool has_room(const conn *c, size_t own) {
  size_t reserve = share(c) + quota(c) / 16;
  return going(c) <= quota(c) - reserve && held(c) - own <= quota(c);
}

size_t memory_room(const caw_call *call) {
  const conn *c = call->conn;
  if (!c || !c->socket) return SIZE_MAX;
  /* A buffer that grows leaves holes in the allocator's memory: 2 MiB, measured. */
  size_t others = held(c) - call->accounted, most = quota(c) - quota(c) / 32;
  return others < most ? most - others : 0;
}

/* ---- Those who wait ---- */

static void enlist(caw_call *call, list *where) {
  list_remove(&call->put_off);
  list_push_back(where, &call->put_off);
}

/* Each looks for itself, in its turn, and enlists itself again. */
static void wake_all(list *waiting) {
  for (list *l; (l = list_pop(waiting));) call_wake(LIST_ENTRY(l, caw_call, put_off));
}

/* Does the call wait for the rest of a message, and for nothing else? */
static bool is_hungry(const caw_call *call) {
  bool ended = call->cls->server && call_has(call, CALL_LOCAL_END);
  return !ended && !call->rpc.paused && !call_has(call, CALL_OVER) &&
         rpc_call_is_partial(&call->rpc);
}

static void feed_one(conn *c) {
  while (!c->memory.fed && !list_empty(&c->memory.starved)) {
    caw_call *call = LIST_ENTRY(list_pop(&c->memory.starved), caw_call, put_off);
    if (is_hungry(call)) c->memory.fed = call;
    call_wake(call);
  }
}

static void wake(conn *c) {
  conn_memory *m = &c->memory;
  if (m->came <= share(c)) wake_all(&m->starved);
  else feed_one(c);
  if (!list_empty(&m->queue) && has_room(c, 0)) {
    m->stuck = false;
    wake_all(&m->queue);
  }
}

void memory_freed(conn *c) {
  if (!list_empty(&c->memory.starved) || !list_empty(&c->memory.queue)) wake(c);
}

void memory_stuck(conn *c) {
  c->memory.stuck = true;
  wake_all(&c->memory.queue);
}

/* ---- The server's account ---- */

void memory_charge(conn *c) {
  conn_tally *t = c->config->tally;
  size_t now = held(c) & ~(GRANULE - 1);
  if (now == c->memory.charged || !t || !c->max_live) return;
  atomic_fetch_add_explicit(&t->bytes, now - c->memory.charged, memory_order_relaxed);
  c->memory.charged = now;
}

void memory_finish(conn *c) {
  wake_all(&c->memory.starved);
  wake_all(&c->memory.queue);
}

static bool server_is_full(conn *c) {
  const conn_tally *t = c->config->tally;
  if (!t) return false;
  memory_charge(c);
  return atomic_load_explicit(&t->bytes, memory_order_relaxed) > conn_limits_of(c)->server_bytes;
}

/* ---- Handlers ---- */

static memory_answer refuse(const conn *c, caw_limit limit) {
  limit_hit(c, limit);
  return MEMORY_REFUSE;
}

memory_answer memory_admits(caw_call *call) {
  conn *c = call->conn;
  if (!c || !c->socket || !c->rpc.h2) return MEMORY_GO;
  if (server_is_full(c)) return refuse(c, CAW_LIMIT_SERVER_BYTES);
  if (has_room(c, call->accounted)) {
    c->memory.stuck = false;
    return MEMORY_GO;
  }
  if (c->memory.stuck) return refuse(c, CAW_LIMIT_CONNECTION_BYTES);
  if (list_empty(&c->memory.queue)) patience_queue(c);
  enlist(call, &c->memory.queue);
  return MEMORY_WAIT;
}

/* ---- What comes ---- */

static void unfeed(conn *c) {
  c->memory.fed = NULL;
  memory_freed(c);
}

/* All is taken: what is not whole goes. */
static void judge_growth(caw_call *call) {
  conn *c = call->conn;
  if (!c->socket || c->memory.came <= share(c) || held(c) <= quota(c) || c->memory.fed == call)
    return;
  if (!rpc_call_is_partial(&call->rpc) || call->rpc.over_memory) return;
  call->rpc.over_memory = true;
  limit_hit(c, CAW_LIMIT_CONNECTION_BYTES);
}

void memory_count(caw_call *call) {
  conn *c = call->conn;
  size_t now = call->rpc.in.room + call->rpc.inflated.room, before = call->accounted;
  if (!c || now == before) return;
  c->memory.came += now - before;
  call->accounted = now;
  if (now < before) memory_freed(c);
  else judge_growth(call);
}

bool memory_feeds(caw_call *call) {
  conn *c = call->conn;
  if (!c || !c->socket) return true;
  if (c->memory.fed == call) {
    if (!is_hungry(call)) unfeed(c);
    return true;
  }
  if (c->memory.came <= share(c) || !is_hungry(call)) return true;
  if (c->memory.fed) {
    enlist(call, &c->memory.starved);
    return false;
  }
  c->memory.fed = call;
  return true;
}

void memory_sated(caw_call *call) {
  if (call->conn->memory.fed == call) unfeed(call->conn);
}

void memory_leave(caw_call *call) {
  conn *c = call->conn;
  list_remove(&call->put_off);
  c->memory.came -= call->accounted;
  call->accounted = 0;
  if (c->memory.fed == call) c->memory.fed = NULL;
  memory_freed(c);
  /* Else the end of the turn does it. A server outlives its calls, a channel may not. */
  if (!c->socket && c->max_live) memory_charge(c);
}
