/* Whose messages are decompressed, and when: inflate.h. */
#include "conn/inflate.h"

#include "conn/call.h"
#include "conn/conn.h"
#include "conn/memory.h"
#include "io/sys.h"

#include <caw/status.h>

/* What a connection may take of a turn of the loop before others have theirs, in nanoseconds:
 * some 25 KiB of text. */
#define PER_TURN UINT64_C(50000)

static caw_call *first_of(const inflate *i) {
  return list_empty(&i->line) ? NULL : LIST_ENTRY(i->line.next, caw_call, put_off);
}

static void run_timer(conn *c) {
  if (!io_timer_runs(&c->inflate.timer)) io_timer_start(&c->inflate.timer, io_now(c->loop));
}

static void wake_first(inflate *i) {
  i->woken = first_of(i);
  if (i->woken) call_wake(i->woken);
}

void inflate_leave(caw_call *call) {
  inflate *i = &call->conn->inflate;
  if (i->woken == call) i->woken = NULL;
  list_remove(&call->put_off);
  call->in_line = false;
}

static void enter_line(caw_call *call) {
  list_remove(&call->put_off); /* it may be among those who wait for memory */
  list_push_back(&call->conn->inflate.line, &call->put_off);
  call->in_line = true;
}

/* It had its turn and did not go on: it is paused, or waits for memory, or is over. It begins
 * anew some day; others want theirs. */
static void pass_over(caw_call *call) {
  inflate_leave(call);
  rpc_call_stop_inflating(&call->rpc);
  memory_count(call);
}

static void next_turn(io_timer *timer) {
  conn *c = LIST_ENTRY(timer, conn, inflate.timer);
  inflate *i = &c->inflate;
  caw_call *first = first_of(i);
  i->spent = 0;
  for (list *l; (l = list_pop(&i->deferred));) call_wake(LIST_ENTRY(l, caw_call, put_off));
  /* In a loop with much to do its turn may be still to come. */
  if (first && first == i->woken && !list_linked(&first->task.node)) pass_over(first);
  wake_first(i);
  if (i->woken) run_timer(c);
}

/* Is it known what becomes of the next message? */
static bool is_inflated(const rpc_call *rpc) {
  return rpc->inflater && !rpc->taken && rpc->inflater->rc != CAW_EAGAIN;
}

bool call_inflate_waits(caw_call *call, const rpc_message *m) {
  conn *c = call->conn;
  if (!m->compressed || !c || is_inflated(&call->rpc)) return false;
  inflate *i = &c->inflate;
  caw_call *first = first_of(i);
  run_timer(c);
  if ((!first || first == call) && i->spent < PER_TURN) return false;
  if (!call->in_line) enter_line(call);
  if (i->woken == call) i->woken = NULL; /* it has had this turn */
  return true;
}

bool call_inflate(caw_call *call, const rpc_message *m) {
  conn *c = call->conn;
  if (!m->compressed || !c) return false;
  inflate *i = &c->inflate;
  uint64_t before = io_sys_clock();
  int rc = CAW_EAGAIN;
  while (rc == CAW_EAGAIN && i->spent < PER_TURN) {
    rc = rpc_call_inflate(&call->rpc, m, memory_room(call));
    uint64_t now = io_sys_clock();
    i->spent += now - before;
    before = now;
  }
  memory_count(call);
  if (i->woken == call) i->woken = NULL;
  if (rc == CAW_EAGAIN) {
    if (!call->in_line) enter_line(call);
    return true;
  }
  if (call->in_line) inflate_leave(call);
  if (i->spent < PER_TURN) wake_first(i);
  return false;
}

bool call_put_off(caw_call *call, const rpc_message *m) {
  return call_inflate_waits(call, m) || call_inflate(call, m);
}

void call_inflate_took(caw_call *call, uint64_t took) {
  if (call->conn) call->conn->inflate.spent += took;
}

void call_next_turn(caw_call *call) {
  conn *c = call->conn;
  run_timer(c);
  list_remove(&call->put_off);
  list_push_back(&c->inflate.deferred, &call->put_off);
}

int inflate_init(conn *c) {
  list_init(&c->inflate.line);
  list_init(&c->inflate.deferred);
  return io_timer_init(&c->inflate.timer, c->loop, next_turn);
}

void inflate_finish(conn *c) {
  io_timer_finish(&c->inflate.timer);
}
