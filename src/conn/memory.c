/* The accounts of memory.h. */
#include "conn/memory.h"

#include "conn/call.h"
#include "conn/patience.h"

/* What a connection has counts for its server in pieces of this size, so that the account
 * that all loops share is seldom touched. */
#define GRANULE ((size_t)16 * 1024)

/* So little is no reason to count on. */
#define LITTLE ((size_t)256 * 1024)

/* So long (nanoseconds) may one whose turn it is send nothing while others wait. */
#define FED_TIME UINT64_C(1000000000)

const char memory_why[] = "the calls of this connection or server take too much memory";

/* A client has as many calls as its program wants; what their windows let come is theirs. */
#define CLIENT_WINDOW ((size_t)256 * 1024)

static size_t of_calls(const conn *c) {
  return c->max_live ? 0 : c->live * CLIENT_WINDOW;
}

static size_t quota(const conn *c) {
  size_t most = conn_limits_of(c)->connection_bytes, more = of_calls(c);
  return most < SIZE_MAX - more ? most + more : SIZE_MAX;
}

/* What messages on their way here may take before they come one after the other. */
static size_t share(const conn *c) {
  return conn_limits_of(c)->connection_bytes / 4 + of_calls(c);
}

/* What waits to be sent; a client's requests are its own affair. */
static size_t going(const conn *c) {
  return c->rpc.h2 && c->max_live ? h2_held(c->rpc.h2) : 0;
}

static size_t held(const conn *c) {
  return c->memory.came + going(c);
}

/* May a handler begin, when so much came and goes? What comes has its share beside what
 * goes, one answer a sixteenth. */
static bool has_room(const conn *c, size_t in, size_t out) {
  size_t reserve = share(c) + quota(c) / 16;
  return out <= quota(c) - reserve && in + out <= quota(c);
}

size_t memory_room(const caw_call *call) {
  const conn *c = call->conn;
  if (!c || !c->socket) return SIZE_MAX;
  /* A buffer that grows leaves holes in the allocator's memory: 2 MiB, measured. */
  size_t others = held(c) - call->accounted, most = quota(c) - quota(c) / 32;
  return others < most ? most - others : 0;
}

/* ---- Those who wait ---- */

static void wait_in(caw_call *call, list *where) {
  conn_memory *m = &call->conn->memory;
  if (list_empty(&m->queue) && list_empty(&m->starved)) patience_queue(call->conn);
  if (call->in_line) inflate_leave(call);
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

/* May one more message come, though what came has its share? Not when handlers that hold
 * theirs, or replies, leave no room for it. */
static bool feeds_one(const conn *c) {
  return !c->memory.fed && (!c->max_live || held(c) <= quota(c) - share(c));
}

static void feed(conn *c, caw_call *call) {
  c->memory.fed = call;
  c->memory.fed_len = call->rpc.in.len;
  c->memory.fed_at = io_now(c->loop);
}

static void feed_one(conn *c) {
  while (!list_empty(&c->memory.starved) && feeds_one(c)) {
    caw_call *call = LIST_ENTRY(list_pop(&c->memory.starved), caw_call, put_off);
    if (is_hungry(call)) feed(c, call);
    call_wake(call);
  }
}

void memory_wake(conn *c) {
  conn_memory *m = &c->memory;
  if (m->came <= share(c)) wake_all(&m->starved);
  else feed_one(c);
  if (!list_empty(&m->queue) && has_room(c, m->came, going(c))) {
    m->stuck = false;
    wake_all(&m->queue);
  }
}

/* What may come of those who had their turn and did not use it: they have their window. */
static size_t lent(const conn *c) {
  size_t sum = rpc_deframer_missing(&c->memory.fed->rpc.in);
  for (const list *l = c->memory.starved.next; l != &c->memory.starved; l = l->next) {
    const caw_call *call = LIST_ENTRY(l, caw_call, put_off);
    if (!call->rpc.withheld) sum += rpc_deframer_missing(&call->rpc.in);
  }
  return sum;
}

void memory_hurry(conn *c, uint64_t now) {
  conn_memory *m = &c->memory;
  caw_call *call = m->fed;
  if (!call || list_empty(&m->starved) || list_linked(&call->put_off)) return;
  if (call->rpc.in.len != m->fed_len) {
    m->fed_len = call->rpc.in.len;
    m->fed_at = now;
  }
  /* All may go on at once, as after an outage: then it has to be within the quota. */
  if (now - m->fed_at < FED_TIME || held(c) + lent(c) > quota(c) - share(c)) return;
  wait_in(call, &m->starved);
  m->fed = NULL;
  feed_one(c);
}

static size_t sum_of(const list *waiting) {
  size_t sum = 0;
  for (const list *l = waiting->next; l != waiting; l = l->next)
    sum += LIST_ENTRY(l, caw_call, put_off)->accounted;
  return sum;
}

/* What neither is missing a part nor waits for its handler, so that handlers have it. */
static size_t of_handlers(const conn *c) {
  const conn_memory *m = &c->memory;
  size_t others = sum_of(&m->starved) + sum_of(&m->queue);
  if (m->fed && !list_linked(&m->fed->put_off)) others += m->fed->accounted;
  return others < m->came ? m->came - others : 0;
}

bool memory_is_handlers(const conn *c) {
  size_t theirs = of_handlers(c), in = c->memory.came - theirs, out = going(c);
  return theirs && (list_empty(&c->memory.queue) || has_room(c, in, out)) &&
         (list_empty(&c->memory.starved) || in + out <= quota(c) - share(c));
}

static void give_up(caw_call *call) {
  if (call->rpc.over_memory) return;
  call->rpc.over_memory = true; /* its next look at the message finds out */
  limit_hit(call->conn, CAW_LIMIT_CONNECTION_BYTES);
}

void memory_stuck(conn *c) {
  conn_memory *m = &c->memory;
  m->stuck = true;
  wake_all(&m->queue);
  if (m->fed || feeds_one(c)) return; /* those come to their turn */
  for (list *l; (l = list_pop(&m->starved));) {
    caw_call *call = LIST_ENTRY(l, caw_call, put_off);
    if (is_hungry(call)) give_up(call);
    call_wake(call);
  }
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

/* What others have; this one's share of it is what it was when its last turn ended. */
static bool server_is_full(const conn *c, size_t own) {
  const conn_tally *t = c->config->tally;
  if (!t) return false;
  size_t all = atomic_load_explicit(&t->bytes, memory_order_relaxed);
  return all - c->memory.charged + own > conn_limits_of(c)->server_bytes;
}

/* ---- Handlers ---- */

static memory_answer refuse(const conn *c, caw_limit limit) {
  limit_hit(c, limit);
  return MEMORY_REFUSE;
}

memory_answer memory_admits(caw_call *call) {
  conn *c = call->conn;
  if (!c || !c->socket || !c->rpc.h2) return MEMORY_GO;
  size_t out = h2_held(c->rpc.h2), in = c->memory.came - call->accounted;
  if (in + out <= LITTLE && !server_is_full(c, 0)) return MEMORY_GO; /* nearly always */
  if (server_is_full(c, in + out)) return refuse(c, CAW_LIMIT_SERVER_BYTES);
  if (has_room(c, in, out)) {
    c->memory.stuck = false;
    return MEMORY_GO;
  }
  if (c->memory.stuck) return refuse(c, CAW_LIMIT_CONNECTION_BYTES);
  wait_in(call, &c->memory.queue);
  return MEMORY_WAIT;
}

/* ---- What comes ---- */

/* All is taken: what is not whole goes. */
static void judge_growth(caw_call *call) {
  conn *c = call->conn;
  if (!c->socket || c->memory.came <= share(c) || held(c) <= quota(c) || c->memory.fed == call)
    return;
  if (rpc_call_is_partial(&call->rpc)) give_up(call);
}

void memory_change(caw_call *call, size_t now) {
  conn *c = call->conn;
  if (!c) return;
  size_t before = call->accounted;
  c->memory.came += now - before;
  call->accounted = now;
  if (now > before) {
    judge_growth(call);
  } else {
    if (c->patience.queue_at) patience_queue(c); /* somebody has finished */
    memory_freed(c);
  }
  /* Else the end of the turn does it. A server outlives its calls, a channel may not. */
  if (!c->socket && c->max_live) memory_charge(c);
}

bool memory_feeds(caw_call *call) {
  conn *c = call->conn;
  if (!c || !c->socket) return true;
  if (c->memory.fed == call) {
    if (!is_hungry(call)) memory_sated(call);
    return true;
  }
  if (c->memory.came <= share(c) || !is_hungry(call)) return true;
  if (!feeds_one(c)) {
    wait_in(call, &c->memory.starved);
    return false;
  }
  feed(c, call);
  return true;
}
