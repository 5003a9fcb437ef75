/* Whose messages are decompressed, and when: inflate.h. */
#include "conn/inflate.h"

#include "conn/call.h"
#include "conn/conn.h"
#include "conn/memory.h"
#include "io/sys.h"

#include <caw/status.h>

/* What a connection may take of a turn of the loop before others have theirs, in nanoseconds:
 * some 100 KiB of text. */
#define PER_TURN UINT64_C(200000)

static caw_call *pop(inflate *i) {
  list *l = list_pop(&i->waiting);
  return l ? LIST_ENTRY(l, caw_call, put_off) : NULL;
}

/* Whoever did not go on in their turn, as they are paused, or wait for memory, begin anew
 * some day: others want theirs. */
static void next_turn(io_timer *timer) {
  conn *c = LIST_ENTRY(timer, conn, inflate.timer);
  inflate *i = &c->inflate;
  bool goes_on = false;
  i->spent = 0;
  for (caw_call *call; (call = pop(i)); call_wake(call)) goes_on |= call == i->whose;
  if (goes_on || !i->whose) return;
  rpc_call_stop_inflating(&i->whose->rpc);
  memory_count(i->whose);
  i->whose = NULL;
}

/* As far as it goes in this turn. Is there an outcome? */
static bool work(caw_call *call, const rpc_message *m) {
  inflate *i = &call->conn->inflate;
  uint64_t before = io_sys_clock();
  int rc = CAW_EAGAIN;
  while (rc == CAW_EAGAIN && i->spent < PER_TURN) {
    rc = rpc_call_inflate(&call->rpc, m, memory_room(call));
    uint64_t now = io_sys_clock();
    i->spent += now - before;
    before = now;
  }
  memory_count(call);
  i->whose = rc == CAW_EAGAIN && call->rpc.inflater ? call : NULL;
  return rc != CAW_EAGAIN;
}

static void begin_timer(inflate *i, caw_loop *loop) {
  if (!i->spent && list_empty(&i->waiting)) io_timer_start(&i->timer, io_now(loop));
}

static void wait_turn(inflate *i, caw_call *call) {
  list_remove(&call->put_off); /* it may be among those who wait for memory */
  list_push_back(&i->waiting, &call->put_off);
}

bool call_put_off(caw_call *call, const rpc_message *m) {
  conn *c = call->conn;
  if (!m->compressed || !c || !c->socket) return false;
  inflate *i = &c->inflate;
  begin_timer(i, c->loop);
  if ((!i->whose || i->whose == call) && work(call, m)) return false;
  wait_turn(i, call);
  return true;
}

void call_next_turn(caw_call *call) {
  inflate *i = &call->conn->inflate;
  begin_timer(i, call->loop);
  wait_turn(i, call);
}

int inflate_init(conn *c) {
  list_init(&c->inflate.waiting);
  return io_timer_init(&c->inflate.timer, c->loop, next_turn);
}

void inflate_finish(conn *c) {
  io_timer_finish(&c->inflate.timer);
  for (caw_call *call; (call = pop(&c->inflate));) call_wake(call);
}
