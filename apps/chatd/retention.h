/*
 * Forgets what rooms need not keep, and what has expired, in turns that are short: a walk
 * over all rooms, begun by a timer of the program, each step a job of the desk among the
 * others. It knows rooms and times, and nothing of calls.
 */
#ifndef CHATD_RETENTION_H
#define CHATD_RETENTION_H

#include "desk.h"

typedef struct retention retention;

typedef struct retention_options {
  size_t step;  /* messages that a turn forgets at most; 0: 200 */
  int64_t once; /* microseconds that a thing done once is known for; 0: 7 days */
  /* Numbers of a room below `first` are gone, durably. On the desk's thread; must not wait.
   * May be NULL. */
  void (*forgot)(int64_t room_id, int64_t first, void *user);
  /* A walk has ended: with 0, or with what kept it from going on (a code of the store, or
   * CAW_EAGAIN: the desk has too much to do); the next one goes on there. How many messages
   * it has forgotten. On the desk's thread; must not wait. May be NULL. */
  void (*ended)(int rc, uint64_t forgotten, void *user);
  void *user;
} retention_options;

/* 0 or CAW_ENOMEM. The desk is borrowed. */
int retention_new(retention **out, desk *d, const retention_options *options);

/* Begins a walk, with `now` as the time; any thread. 0: `ended` will be called. Else it will
 * not: CAW_EAGAIN (a walk is under way, or the desk has too much to do), CAW_ECLOSED,
 * STORE_BROKEN. */
int retention_walk(retention *r, int64_t now);

/* After desk_free, which ends a walk. NULL is fine. */
void retention_free(retention *r);

#endif
