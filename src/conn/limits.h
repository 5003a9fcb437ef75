/*
 * What a peer may do, and how it is told when it did too much: the options of
 * caw/limits.h as the connection uses them, the allowances that fill up with time
 * (allowance.c), and the counters. What memory a connection may take is in memory.h,
 * what must happen in time in patience.h.
 */
#ifndef CONN_LIMITS_H
#define CONN_LIMITS_H

#include "h2/h2.h"

#include <caw/limits.h>
#include <stdatomic.h>

typedef struct conn conn;
struct caw_call;

/* Read while the connection lives; outlives it. Times in nanoseconds, UINT64_MAX: never. */
typedef struct conn_limits {
  uint32_t resets_at_once, resets_per_second;
  uint32_t noise_at_once, noise_per_second;
  uint32_t unread_replies;
  size_t connection_bytes, server_bytes;
  uint64_t handshake, settings_ack, header_block, write;
  void (*on_hit)(caw_limit limit, caw_str peer, void *user);
  void *user;
} conn_limits;

extern const conn_limits default_limits;

/* What the connections of an owner have in common; any thread. Outlives them. */
typedef struct conn_tally {
  atomic_size_t bytes; /* of their quotas, rounded down */
  atomic_ullong hits[CAW_LIMITS];
} conn_tally;

/* Reads the options, NULL for the defaults, into both; `max_streams` is 0 for a client. */
void limits_read(conn_limits *to, h2_config *h2, const caw_limits *from, uint32_t max_streams);

/* Counts and tells it. Not from inside of the HTTP/2 session. */
void limit_hit(const conn *c, caw_limit limit);
/* The same for the limit for which the session has failed, if it was one. */
void limit_hit_by_session(const conn *c);

/* ---- allowance.c ---- */

void allowance_init(conn *c, bool server);
/* Bytes are about to be read: what the time since the last ones has filled up. */
void allowance_fill(conn *c);
/* How much was done so far that was of no use to anybody, less what payload makes up for: only
 * differences say something. */
int64_t allowance_wasted(const conn *c);
/* `len` bytes were read, before which that was `before`: who sends many small frames of no use
 * is read in small steps, so that others wait no longer for it than for one who works. */
void allowance_pace(conn *c, size_t len, int64_t before);
/* A stream is closed. */
void allowance_closed(conn *c, const struct caw_call *call);
/* Server: shall the call, which is new and has a deadline, wait for what there is to read? It is
 * woken again. */
bool allowance_defers(struct caw_call *call);
/* Server: the call is ended for what the client sends, while it still sends: a stream that
 * ended early by the client's doing, though it has an answer. */
void allowance_blame(struct caw_call *call);

#endif
