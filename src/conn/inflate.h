/*
 * Decompressing takes time that the peer pays little for: a few KiB can be a message of the
 * largest size. So a connection does only so much of it in a turn of the loop, in steps, and
 * goes on in the next; its calls come one after the other, so that one message only is there
 * in part. Private to src/conn, but for call_put_off (conn/call.h).
 */
#ifndef CONN_INFLATE_H
#define CONN_INFLATE_H

#include "base/list.h"
#include "io/loop.h"

#include <caw/call.h>

typedef struct conn conn;

typedef struct inflate {
  list waiting;    /* of caw_call.put_off: calls whose turn comes with the loop's next */
  io_timer timer;  /* the next turn; runs while somebody waits, or `spent` is not 0 */
  caw_call *whose; /* message is decompressed in part; NULL: nobody's */
  uint64_t spent;  /* nanoseconds in this turn */
} inflate;

/* 0 or CAW_ENOMEM. */
int inflate_init(conn *c);
/* The connection ends: nobody waits any more. */
void inflate_finish(conn *c);

#endif
