/*
 * Where chatd's loops leave work for the store: one writer thread, which puts whatever is
 * queued into one transaction and tells its askers after the flush, and some readers.
 * It knows queues and transactions, and nothing of what the work is.
 */
#ifndef CHATD_DESK_H
#define CHATD_DESK_H

#include "jobs.h"
#include "store.h"

typedef struct desk desk;
typedef struct desk_job desk_job;

/* A piece of work, embedded in what the asker keeps until `done`. */
struct desk_job {
  jobs_link link; /* the desk's */
  /*
   * Does it, on a thread of the desk, within a turn of the store. Returns 0, or a code
   * of the asker's own or of the store's for what is refused: it has written nothing
   * then. It may be called again after it had returned 0, when the turn could not be
   * committed because of another job.
   */
  int (*work)(desk_job *job, store *s);
  /* The outcome, on the same thread: what `work` returned, once that is durable, or why
   * it is not. Must not wait; mostly it posts to the asker's loop. The job may be freed. */
  void (*done)(desk_job *job, int rc);
  int rc; /* the desk's */
};

/* How the desk is, from any thread. */
typedef enum desk_state {
  DESK_FINE,
  DESK_FULL,  /* the last turn failed for want of room; the next may not. Without one the
                 desk looks by itself, once a second, whether there is room again */
  DESK_BROKEN /* a write or flush failed: nothing is written any more (what the system
                 has kept of it is not known: a restart reads what is on the disk) */
} desk_state;

typedef struct desk_options {
  size_t readers;    /* threads that read; 0: 2 */
  size_t queue_most; /* jobs that may wait to write; beyond, they are refused; 0: 10,000 */
  size_t turn_most;  /* jobs in one turn, which has fewer where a flush is quick; 0: 1,000 */
  int retry;         /* milliseconds between two looks for room; 0: 1,000 */
  /* Opens a connection of the store, with `why` as store_sqlite_open. */
  int (*open)(store **out, bool writer, char why[400], void *user);
  /* The state is another; on the writer's thread. May be NULL. */
  void (*on_state)(desk_state state, const char *why, void *user);
  void *user;
} desk_options;

/*
 * How many jobs the next turn is to have, of `most` at the most, when this one had `n`, of which
 * the work took so long, and the flush (nanoseconds); `now` is what was said last. A turn is to
 * work for as long as a flush takes: while it is flushed, those who were told of the one before
 * send what makes the next. With much longer turns all wait for each other; with shorter ones the
 * flush costs more than what it makes safe.
 */
size_t desk_next_turn(size_t now, size_t most, size_t n, uint64_t work, uint64_t flush);

/* Opens the connections and starts the threads. Returns 0, or STORE_*, CAW_ENOMEM,
 * CAW_ELIMIT (threads) with a sentence in `why`. */
int desk_new(desk **out, const desk_options *options, char why[400]);

/* Queues work; any thread. Returns 0 (done will be called), or, without calling it,
 * CAW_EAGAIN (the queue is full), CAW_ECLOSED (the desk is being freed), STORE_BROKEN. */
int desk_write(desk *d, desk_job *job);
int desk_read(desk *d, desk_job *job);

desk_state desk_state_of(const desk *d);

/* For those who watch: any thread. */
typedef struct desk_numbers {
  desk_state state;
  size_t waiting;       /* jobs for the writer */
  uint64_t turns, jobs; /* turns committed, and jobs in them, so far */
  uint64_t refused;     /* jobs for which the writer's queue was full */
} desk_numbers;
void desk_look(desk *d, desk_numbers *out);

/* Does what is queued, then ends the threads. NULL is fine. From no thread of the desk. */
void desk_free(desk *d);

#endif
