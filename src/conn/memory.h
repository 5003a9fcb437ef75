/*
 * The memory that the messages of a connection take (caw_limits.connection_bytes, and
 * server_bytes for all of a server's): what waits to be sent, which the HTTP/2 session
 * counts (h2_held), and what came and is not whole, not decoded or still in a handler's
 * hands, which is counted here as calls grow and shrink.
 *
 * Nobody has to fail for it while the peer does its part:
 * - When a quarter is taken by what came, messages that are not whole get no more window,
 *   but for one at a time (`fed`), so that each comes to its end some day. One of
 *   which nothing comes for a second goes to the end of the line.
 * - When all but a reserve is taken, calls wait for their handler (`queue`), for as long as they
 * would have to for the sake of handlers that hold what they got, or while the peer takes what
 * waits for it. When that is what takes the room and nothing of it is taken for a second, they get
 * RESOURCE_EXHAUSTED, as do later ones until there is room.
 * - When all is taken nevertheless, messages that are not whole end their calls.
 * The reserve is for what comes, and for the answer of the one that began last.
 * Private to src/conn, but for memory_admits.
 */
#ifndef CONN_MEMORY_H
#define CONN_MEMORY_H

#include "conn/call.h"
#include "conn/conn.h"
#include "conn/limits.h"

typedef enum memory_answer {
  MEMORY_GO,
  MEMORY_WAIT,   /* the call will be woken */
  MEMORY_REFUSE, /* RESOURCE_EXHAUSTED: see memory_why */
} memory_answer;

/* How much the call may decompress. */
size_t memory_room(const caw_call *call);

/* Server: may the call's handler begin? Tells the limit when it may not. */
memory_answer memory_admits(caw_call *call);
extern const char memory_why[];

/* What the call's messages take has changed. */
void memory_change(caw_call *call, size_t now);

/* Below this nothing is counted: most requests are small, and there is one for each stream. */
#define MEMORY_STEP ((size_t)4096)

/* It has changed perhaps. Room that nothing came for yet is no memory. */
static inline void memory_count(caw_call *call) {
  const rpc_inflater *i = call->rpc.inflater;
  size_t now = (call->rpc.in.len + (i ? i->out.room + i->beside : 0)) & ~(MEMORY_STEP - 1);
  if (now != call->accounted) memory_change(call, now);
}

/* May the call have window for the rest of a message? If not it will be woken. */
bool memory_feeds(caw_call *call);

/* Somebody waits: may they go on? */
void memory_wake(conn *c);

/* Something was written, or has gone. */
static inline void memory_freed(conn *c) {
  if (!list_empty(&c->memory.starved) || !list_empty(&c->memory.queue)) memory_wake(c);
}

/* The call, which has a connection, wants no bytes for now. */
static inline void memory_sated(caw_call *call) {
  conn *c = call->conn;
  if (c->memory.fed != call) return;
  c->memory.fed = NULL;
  memory_freed(c);
}

/* The call leaves the connection. */
static inline void memory_leave(caw_call *call) {
  if (call->in_line) inflate_leave(call);
  list_remove(&call->put_off);
  if (call->accounted) memory_change(call, 0);
  memory_sated(call);
}

/* patience.c, once a second while calls wait: when nothing came of the message whose turn it
 * is, the next has its turn. */
void memory_hurry(conn *c, uint64_t now);

/* Would those who wait go on if the handlers were done with what they have? Then it is them
 * who are waited for, and not the peer. */
bool memory_is_handlers(const conn *c);

/* patience.c: for a second nothing was taken of what waits for the peer. */
void memory_stuck(conn *c);

/* The end of a turn, and of the connection: what it has counts for its server. */
void memory_charge(conn *c);
void memory_finish(conn *c);

#endif
