/*
 * The calls of a connection: who has a place of those that a server has told its client of, and
 * who is gone and waits for the turn in which the handler hears of it. What a call is, is
 * call.c's.
 */
#include "conn/inner.h"

#include "conn/call.h"
#include "conn/memory.h"
#include "stats/channelz.h"

/* For each call that a connection may have, others that are gone and wait for their turn: with
 * more than so many nothing is read until they have had it, and beyond the most, which one read
 * hardly brings, streams are refused. A client with short deadlines gives up hundreds while a
 * busy machine keeps us from reading. Some 0.7 KiB each. */
#define GONE_MANY UINT64_C(2)
#define GONE_MOST UINT64_C(12)

/* The same for the headers of those that are gone: a few octets may stand for 16 KiB each. */
#define GONE_BYTES ((size_t)512 * 1024)

void places_look(conn *c) {
  read_crowd(c, c->unheard && c->refs > GONE_MANY * c->max_live);
}

void conn_heard(caw_call *call) {
  conn *c = call->conn;
  if (!call->unheard) return;
  call->unheard = false;
  c->unheard--;
  c->unheard_bytes -= call->unheard_bytes;
  if (call->counted) c->leaving--;
  places_look(c);
}

static void uncount(caw_call *call) {
  conn *c = call->conn;
  if (!call->counted) return;
  call->counted = false;
  if (call->unheard) c->leaving--;
  if (--c->live == 0) age_idle(c);
}

void conn_yield(caw_call *call) {
  uncount(call);
}

/* A client that resets a stream and opens the next keeps to the limit that it was told. The
 * place of the former is given away at once, as its handler hears of it before the latter's
 * begins; that looks again whether there is a place. */
bool conn_has_place(const conn *c) {
  return c->live - c->leaving <= c->max_live;
}

rpc_call *places_open(void *ctx) {
  conn *c = ctx;
  caw_call *call = NULL;
  if (c->unheard_bytes > GONE_BYTES) {
    c->refused++;
    return NULL;
  }
  /* Calls that are gone and wait for their last turn have their bound, too; the owner and
   * whoever reads have a reference each. */
  if (c->live - c->leaving < c->max_live && c->refs - c->unheard <= GONE_MANY * c->max_live + 1 &&
      c->refs <= GONE_MOST * c->max_live && !c->failure)
    call = c->events->on_open(c->owner, c);
  if (!call) {
    c->refused++;
    return NULL;
  }
  conn_join(c, call);
  return &call->rpc;
}

/* It is closed, and waits for its turn. */
static void note_unheard(conn *c, caw_call *call) {
  if (!c->max_live || call->unheard) return;
  size_t bytes = call->rpc.arena ? caw_arena_used(call->rpc.arena) : 0;
  call->unheard = true;
  call->unheard_bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
  c->unheard++;
  c->unheard_bytes += call->unheard_bytes;
  if (call->counted) c->leaving++;
}

void places_closed(conn *c, caw_call *call) {
  /* A call that was finished, or never began, stops counting as soon as its stream is
   * closed: the peer may open the next one before on_done has had its turn. */
  if (call_has(call, CALL_LOCAL_END) || !call->method) uncount(call);
  note_unheard(c, call);
}

void conn_join(conn *c, caw_call *call) {
  conn_ref(c);
  c->live++;
  call->counted = true;
  call->joined = io_now(c->loop);
  call->after = c->input;
  if (c->channelz) channelz_stream_began(c->channelz, call->joined);
  call->conn = c;
}

void conn_leave(caw_call *call) {
  conn *c = call->conn;
  if (!c) return;
  conn_heard(call);
  uncount(call);
  memory_leave(call);
  call->conn = NULL;
  conn_flush_later(c);
  conn_unref(c);
}
