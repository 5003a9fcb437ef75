/*
 * Keepalive of a connection (gRFC A8, A9; gRPC: keepalive.md): a PING after a time in
 * which nothing was read, and the end of the connection when nothing is read after
 * it either. And, on a server, how many PINGs a client may send. Times are on the
 * loop's clock, nanoseconds. Private to src/conn, but for the settings.
 */
#ifndef CONN_KEEPALIVE_H
#define CONN_KEEPALIVE_H

#include "io/loop.h"

typedef struct conn conn;

/* Zero is off. The ranges and defaults that a user sees are its owners' business. */
typedef struct keepalive_config {
  uint64_t time;             /* without a byte read until a PING is sent; 0: never */
  uint64_t timeout;          /* without a byte read after it, until the connection ends */
  bool without_calls;        /* client: also while there is no call */
  unsigned max_without_data; /* PINGs in a row without a frame of a call; 0: no limit */
  uint64_t permit_time;      /* server: the least between a client's PINGs; 0: anything goes */
  bool permit_without_calls; /* server: also while there is no call; else two hours */
  unsigned max_strikes;      /* server: PINGs too many before the connection ends */
} keepalive_config;

typedef struct keepalive {
  io_timer timer;
  uint64_t read_at;      /* when bytes came last */
  uint64_t delivered;    /* io_socket_delivered when it was last looked at */
  uint64_t last_said;    /* h2_said when a PING was sent last */
  unsigned without_data; /* PINGs since then without a frame of a call */
  bool on;               /* `timer` is in use */
  bool waiting;          /* a PING was sent, and nothing was read since */
  bool excused;          /* its answer got more time, after a standstill */
  bool resting;          /* nothing was read for long, but there is no call */

  /* Of the client's PINGs. */
  unsigned strikes;
  bool measured; /* there was a PING that was permitted, at: */
  uint64_t permitted_at;
  uint64_t pings, said; /* h2_pings and h2_said when they were last looked at */
  uint64_t sent, until; /* h2_said after the last write, and the socket's bytes by then */
} keepalive;

/* 0 or CAW_ENOMEM. */
int keepalive_init(conn *c);

/* The socket is connected: the time begins to run. */
void keepalive_begin(conn *c);

void keepalive_finish(conn *c);

/* Bytes came. */
void keepalive_read(conn *c, uint64_t now);

/* Something was written: notes how far frames of calls have gone. */
void keepalive_written(conn *c);

/* Server, after input: has the client sent too many PINGs? */
bool keepalive_judge(conn *c);

/* Client: a call is about to begin. What has rested longer than it should is asked
 * now, so that a broken connection is found after the timeout alone. */
void keepalive_call(conn *c);

#endif
