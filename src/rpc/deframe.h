/*
 * Received messages of one call: DATA bytes go in as they come, whole messages
 * come out in place. Nothing is parsed before it is asked for, so a queue of
 * many tiny messages costs no more than its bytes, and the buffer grows with
 * what has arrived, never with what a length prefix claims.
 */
#ifndef RPC_DEFRAME_H
#define RPC_DEFRAME_H

#include "base/cells.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct rpc_deframer {
  uint8_t *data; /* not yet delivered, from `at` on */
  size_t len, room;
  size_t at;          /* the start of the next message's prefix */
  cells *cells;       /* where the memory comes from, or NULL */
  uint32_t limit;     /* largest message accepted, bytes as they came */
  bool compressed_ok; /* an encoding was declared: messages may be compressed */
} rpc_deframer;

/* What comes next. */
typedef enum rpc_frame {
  RPC_FRAME_NONE,       /* nothing buffered */
  RPC_FRAME_PARTIAL,    /* the begin of a message */
  RPC_FRAME_MESSAGE,    /* a whole message */
  RPC_FRAME_COMPRESSED, /* the same, compressed */
  RPC_FRAME_UNAGREED,   /* compressed flag 1, but no encoding was declared */
  RPC_FRAME_BAD_FLAG,   /* a compressed flag other than 0 and 1 */
  RPC_FRAME_TOO_BIG     /* longer than the limit */
} rpc_frame;

void rpc_deframer_finish(rpc_deframer *d);

/* Appends received bytes. 0 or CAW_ENOMEM. */
int rpc_deframer_add(rpc_deframer *d, const uint8_t *data, size_t len);

/* Says what comes next; for a whole or too big message sets *len, for a whole
 * one *data too, valid until the next call of add or release. */
rpc_frame rpc_deframer_peek(const rpc_deframer *d, const uint8_t **data, size_t *len);

/* How many bytes a message that has begun lacks; 0 when that is not known. */
size_t rpc_deframer_missing(const rpc_deframer *d);

/* Has a message begun that is not whole? Not for one that is broken. */
static inline bool rpc_deframer_is_partial(const rpc_deframer *d) {
  size_t have = d->len - d->at;
  return have && (have < 5 || rpc_deframer_missing(d));
}

/* Moves behind the message that peek showed. Its bytes stay in place until
 * rpc_deframer_release. */
void rpc_deframer_skip(rpc_deframer *d);

/* Gives back the room of messages that were skipped, once that is half of all. */
void rpc_deframer_release(rpc_deframer *d);

#endif
