/*
 * What caw_channelz has of servers, channels and sockets (caw/channelz.h). Their owners open and
 * close entries, under a lock, and count in them without one, each number on one thread. All
 * functions take NULL for an entry that nobody wanted or that there was no memory for; on the way
 * of each call it is looked at first, which costs two instructions.
 */
#ifndef STATS_CHANNELZ_H
#define STATS_CHANNELZ_H

#include "base/list.h"
#include "stats/number.h"

#include <caw/channelz.h>

/* Calls, as one loop counts them. */
typedef struct z_calls {
  stats_number started, succeeded, failed;
  stats_number last; /* on the loops' clock */
} z_calls;

typedef struct z_entry {
  list node;
  caw_channelz *channelz;
  int64_t id, parent;
  caw_channelz_kind kind;
  atomic_int state; /* caw_connectivity */
  char *name, *local, *remote;
  char tls[16], cipher[48];
  stats_number streams_started, streams_succeeded, streams_failed, last_stream;
  stats_number sent, received, last_sent, last_received, keepalives;
  size_t n_calls;
  z_calls calls[];
} z_entry;

/* What is known of a new entry; texts are copied, and may be NULL. */
typedef struct z_birth {
  caw_channelz_kind kind;
  const z_entry *parent; /* NULL: none */
  const char *name, *local, *remote;
  const char *tls, *cipher;
  size_t n_calls; /* how many count calls */
} z_birth;

/* NULL: out of memory, or `channelz` is. Any thread. */
z_entry *channelz_open(caw_channelz *channelz, const z_birth *birth);
void channelz_close(z_entry *e);

void channelz_state(z_entry *e, int state);

/* ---- Counting: inline, as calls would cost more than they do ---- */

/* What one of those counts who count an entry's calls; NULL without an entry. */
static inline z_calls *channelz_calls(z_entry *e, size_t who) {
  return e ? &e->calls[who] : NULL;
}

static inline void channelz_call_began(z_calls *c, uint64_t now) {
  if (!c) return;
  stats_add(&c->started, 1);
  stats_set(&c->last, now);
}

static inline void channelz_call_ended(z_calls *c, int code) {
  if (c) stats_add(code ? &c->failed : &c->succeeded, 1);
}

/* These for entries that are there. */
static inline void channelz_stream_began(z_entry *e, uint64_t now) {
  stats_add(&e->streams_started, 1);
  stats_set(&e->last_stream, now);
}

static inline void channelz_stream_ended(z_entry *e, bool fine) {
  stats_add(fine ? &e->streams_succeeded : &e->streams_failed, 1);
}

static inline void channelz_message(z_entry *e, bool sent, uint64_t now) {
  stats_add(sent ? &e->sent : &e->received, 1);
  stats_set(sent ? &e->last_sent : &e->last_received, now);
}

/* NULL is fine again. */
void channelz_keepalive(z_entry *e);

#endif
