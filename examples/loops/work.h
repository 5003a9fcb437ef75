/*
 * What the examples of this folder do on the lent loop, the same in each: a
 * server and a client of ours, one call that is answered and one whose deadline
 * passes. Nothing here knows whose loop it is.
 */
#ifndef LOOPS_WORK_H
#define LOOPS_WORK_H

#include <caw/channel.h>
#include <caw/server.h>
#include <stdbool.h>

typedef struct work {
  const char *host; /* whose loop it is; greeted */
  caw_server *server;
  caw_channel *channel;
  uint64_t started;
  int threads; /* of the program before it started */
  int calls;   /* that are open */
  int ticks;   /* of the host's own timer */
  int waits;   /* rounds of the host's loop: shows that it sleeps */
  bool done;   /* both calls have ended */
} work;

/* Starts server, channel and calls on `loop`. Returns 0 or an error. */
int work_start(work *w, caw_loop *loop, const char *host);

/* Prints what came of it and frees everything. Returns main's exit code. */
int work_end(work *w);

#endif
