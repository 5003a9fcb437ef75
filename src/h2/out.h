/*
 * The bytes of one connection on their way out, in order: small frames written
 * into blocks of our own, payload referenced where it lies. It knows nothing of
 * HTTP/2. Used by the session only.
 */
#ifndef H2_OUT_H
#define H2_OUT_H

#include "base/cells.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The most that out_reserve gives. */
#define OUT_RESERVE ((size_t)4096)

typedef struct out_block {
  size_t used, room;
  size_t pending; /* of `used`, not yet written */
  size_t items;   /* of out.items, that lie in this block */
  uint8_t bytes[];
} out_block;

/* One part: either copied bytes in `block`, or foreign bytes with a release
 * function, which may be NULL. */
typedef struct out_part {
  const uint8_t *data;
  size_t len;
  out_block *block;
  void (*release)(void *owner);
  void *owner;
  size_t items; /* of out.items, of foreign bytes */
} out_part;

typedef struct out {
  out_part *parts; /* a ring; `room` is a power of two, or 0 */
  size_t head, len, room;
  out_block *tail; /* the block that the next copy goes to, or NULL */
  size_t bytes;    /* in all parts */
  size_t items;    /* as counted, in blocks and foreign bytes that were not written whole */
  bool open;       /* the last part ends where the tail goes on */
  cells *cells;    /* where blocks come from, or NULL; the owner's, set before use */
} out;

/* Releases what was not written. */
void out_finish(out *o);

/* Room for `len` bytes in one piece, at most OUT_RESERVE; out_commit says how
 * many of them were filled. NULL: out of memory, and nothing has changed. */
uint8_t *out_reserve(out *o, size_t len);

/* Appends the first `len` > 0 bytes of what was reserved last; `items` of what the
 * owner counts. */
void out_commit(out *o, size_t len, size_t items);

/* Makes room for one more part, so that the next out_refer cannot fail. Returns 0
 * or CAW_ENOMEM. */
int out_ready(out *o);

/* Appends a copy. Returns 0 or CAW_ENOMEM; then a part of it may be queued,
 * and the connection is of no more use. */
int out_copy(out *o, const void *data, size_t len);

/* Appends `len` > 0 bytes where they lie; `release(owner)` is called once they
 * are written or dropped. Returns 0, or CAW_ENOMEM and takes nothing. */
int out_refer(out *o, const uint8_t *data, size_t len, void (*release)(void *), void *owner);

/* Counts `items` more of what the owner counts for the bytes that out_refer appended
 * last. */
void out_count(out *o, size_t items);

/* Describes the first bytes in at most `max` parts; returns their number. */
int out_gather(const out *o, struct iovec *parts, int max);

/* Drops the first `len` bytes, which must be there. */
void out_written(out *o, size_t len);

#endif
