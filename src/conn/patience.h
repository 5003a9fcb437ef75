/*
 * What the peer must do in time, once HTTP/2 has begun: acknowledge our SETTINGS, end a
 * header block that it has begun, take what the kernel has for it. One timer, which is
 * set when one of these is awaited and no earlier; when it fires it looks what is
 * still owed, so that what is in order costs no more than a test. Private to src/conn.
 */
#ifndef CONN_PATIENCE_H
#define CONN_PATIENCE_H

#include "io/loop.h"

typedef struct conn conn;

typedef struct patience {
  io_timer timer;
  uint64_t at;        /* when the timer fires; UINT64_MAX: it does not run */
  bool excused;       /* it came late, and nobody was judged: not twice in a row */
  uint64_t ack_until; /* our SETTINGS must be acknowledged; UINT64_MAX: they are */

  uint32_t block; /* h2_open_block when it was last looked at */
  uint64_t block_until;

  /* While the kernel takes no more. */
  uint64_t moved_at; /* when the socket's bytes were last seen to move; 0: not watched */
  uint64_t sent, delivered;

  /* While calls wait for memory. */
  uint64_t queue_at; /* when the peer was last seen not to keep them waiting; 0: none waits */
  uint64_t queue_framed;
} patience;

/* 0 or CAW_ENOMEM. */
int patience_init(conn *c);
void patience_finish(conn *c);

/* HTTP/2 has begun. */
void patience_begin(conn *c);
/* Bytes were read. */
void patience_read(conn *c);
/* Something was written: the kernel may take no more. */
void patience_written(conn *c);
/* A call waits for memory, the first; or some was given back. */
void patience_queue(conn *c);

#endif
