/* The times of patience.h. */
#include "conn/patience.h"

#include "conn/conn.h"
#include "conn/memory.h"

#define SECOND UINT64_C(1000000000)

/* How often is looked whether a peer takes what waits for it: so often in the time that
 * it has, so that the end comes no more than a part of it late. */
#define LOOKS 8

static uint64_t sum(uint64_t a, uint64_t b) {
  return a < UINT64_MAX - b ? a + b : UINT64_MAX;
}

static void look_at(conn *c, uint64_t at) {
  if (at >= c->patience.at) return;
  c->patience.at = at;
  io_timer_start(&c->patience.timer, at);
}

/* ---- Our SETTINGS ---- */

void patience_begin(conn *c) {
  patience *p = &c->patience;
  p->ack_until = h2_settings_acked(c->rpc.h2)
                     ? UINT64_MAX
                     : sum(io_now(c->loop), conn_limits_of(c)->settings_ack);
  look_at(c, p->ack_until);
}

/* Ends the connection when it is not there in time; like those below. */
static void judge_ack(conn *c, uint64_t now) {
  patience *p = &c->patience;
  if (p->ack_until == UINT64_MAX) return;
  if (h2_settings_acked(c->rpc.h2)) p->ack_until = UINT64_MAX;
  else if (now >= p->ack_until)
    conn_exceeded(c, CAW_LIMIT_SETTINGS_TIME, H2_SETTINGS_TIMEOUT,
                  "our SETTINGS were not acknowledged in time");
  else look_at(c, p->ack_until);
}

/* ---- Header blocks ---- */

void patience_read(conn *c) {
  patience *p = &c->patience;
  uint32_t block = h2_open_block(c->rpc.h2);
  if (block == p->block) return;
  p->block = block;
  if (!block) return;
  p->block_until = sum(io_now(c->loop), conn_limits_of(c)->header_block);
  look_at(c, p->block_until);
}

static void judge_block(conn *c, uint64_t now) {
  patience *p = &c->patience;
  if (!p->block) return;
  if (now >= p->block_until)
    conn_exceeded(c, CAW_LIMIT_HEADER_TIME, H2_ENHANCE_YOUR_CALM,
                  "a header block did not come to its end in time");
  else look_at(c, p->block_until);
}

/* ---- Writing ---- */

/* Notes how far the bytes have come, and whether that is further than before. */
static bool moves(conn *c) {
  patience *p = &c->patience;
  uint64_t sent = io_socket_sent(c->socket), delivered = io_socket_delivered(c->socket);
  bool on = sent != p->sent || delivered != p->delivered;
  p->sent = sent;
  p->delivered = delivered;
  return on;
}

static void look_again(conn *c, uint64_t now) {
  look_at(c, sum(now, conn_limits_of(c)->write / LOOKS));
}

void patience_written(conn *c) {
  patience *p = &c->patience;
  if (!c->blocked || p->moved_at || conn_limits_of(c)->write == UINT64_MAX) return;
  p->moved_at = io_now(c->loop);
  moves(c);
  look_again(c, p->moved_at);
}

/*
 * Bytes move when the kernel takes more, or when the peer's has got some of what ours
 * has: a slow reader is told of no room for long, as Linux waits until a third of its buffer
 * is free.
 */
static void judge_write(conn *c, uint64_t now) {
  patience *p = &c->patience;
  if (!p->moved_at) return;
  if (!c->blocked) {
    p->moved_at = 0;
    return;
  }
  if (moves(c)) p->moved_at = now;
  else if (now - p->moved_at >= conn_limits_of(c)->write) {
    limit_hit(c, CAW_LIMIT_WRITE_TIME);
    io_socket_abort(c->socket); /* nor would the kernel get rid of it */
    conn_close(c, CAW_ETIMEDOUT, "the peer takes nothing of what is sent to it");
    return;
  }
  look_again(c, now);
}

/* ---- Calls that wait for memory ---- */

void patience_queue(conn *c) {
  patience *p = &c->patience;
  if (!c->socket || !c->rpc.h2) return;
  p->queue_at = io_now(c->loop);
  p->queue_framed = h2_framed(c->rpc.h2);
  look_at(c, sum(p->queue_at, SECOND));
}

static void judge_queue(conn *c, uint64_t now) {
  patience *p = &c->patience;
  if (!p->queue_at) return;
  if (list_empty(&c->memory.queue) && list_empty(&c->memory.starved)) {
    p->queue_at = 0;
    return;
  }
  memory_hurry(c, now);
  uint64_t framed = h2_framed(c->rpc.h2);
  if (framed != p->queue_framed || memory_is_handlers(c)) p->queue_at = now;
  p->queue_framed = framed;
  if (now - p->queue_at < SECOND) {
    look_at(c, p->queue_at + SECOND);
    return;
  }
  memory_stuck(c);
  p->queue_at = now;
  if (!list_empty(&c->memory.starved)) look_at(c, now + SECOND); /* behind one that is fed */
  else p->queue_at = 0;
}

/* ---- The timer ---- */

static void fire(io_timer *timer) {
  static void (*const judges[])(conn * c, uint64_t now) = {judge_ack, judge_block, judge_write,
                                                           judge_queue};
  conn *c = LIST_ENTRY(timer, conn, patience.timer);
  uint64_t now = io_now(c->loop);
  if (io_timer_excuses(timer, SECOND, &c->patience.excused)) {
    c->patience.at = timer->node.key;
    return;
  }
  c->patience.at = UINT64_MAX;
  conn_ref(c);
  for (size_t i = 0; i < sizeof(judges) / sizeof(judges[0]); i++)
    if (c->socket && !c->failure && !c->lingering) judges[i](c, now);
  conn_unref(c);
}

int patience_init(conn *c) {
  c->patience.at = c->patience.ack_until = UINT64_MAX;
  return io_timer_init(&c->patience.timer, c->loop, fire);
}

void patience_finish(conn *c) {
  io_timer_finish(&c->patience.timer);
}
