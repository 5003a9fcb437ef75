/*
 * A bounded pool of worker threads with a bounded queue. No thread exists
 * before the first job.
 */
#ifndef IO_POOL_H
#define IO_POOL_H

#include <stddef.h>

typedef struct io_pool io_pool;

/* A job inside its owner's struct, alive until it ran. */
typedef struct io_job {
  struct io_job *next;
  void (*run)(struct io_job *job);
} io_job;

/* At most `threads` (>= 1) threads and `queue` (>= 1) waiting jobs. Returns 0
 * or CAW_ENOMEM. */
int io_pool_new(io_pool **out, unsigned threads, unsigned queue);

/* Any thread. Has job->run(job) called on a worker. Threads are started as
 * jobs need them, with every signal blocked. Returns 0, CAW_EAGAIN (the queue
 * is full), CAW_ELIMIT (no thread could be started and none runs). */
int io_pool_submit(io_pool *pool, io_job *job, void (*run)(io_job *job));

/* Runs what is queued, then joins the threads and frees. NULL is fine. Not
 * from a worker. */
void io_pool_free(io_pool *pool);

/* The number of threads that run, for tests. */
unsigned io_pool_threads(io_pool *pool);

#endif
