/*
 * Decompressing takes time that the peer pays little for: a few KiB can be a message of the
 * largest size. So a connection does only so much of it in a turn of the loop, in steps, and
 * goes on in the next. Decoding what came of it counts, too, but has no steps. Its calls stand in a
 * line for it: one message only is there in part. Private to src/conn, but for what conn/call.h has
 * of it.
 */
#ifndef CONN_INFLATE_H
#define CONN_INFLATE_H

#include "base/list.h"
#include "io/loop.h"

#include <caw/call.h>

typedef struct conn conn;

typedef struct inflate {
  list line;       /* of caw_call.put_off: the first one's message is decompressed */
  list deferred;   /* of the same: who is woken in the loop's next turn */
  io_timer timer;  /* that turn; runs while there are any, or `spent` is not 0 */
  caw_call *woken; /* the first of the line, which was woken to go on, and has not yet */
  uint64_t spent;  /* nanoseconds in this turn */
} inflate;

/* 0 or CAW_ENOMEM. */
int inflate_init(conn *c);
/* No call has the connection any more. */
void inflate_finish(conn *c);

/* The call, which is in the line, leaves it. */
void inflate_leave(caw_call *call);

#endif
