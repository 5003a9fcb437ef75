/*
 * A bounded queue of jobs between threads, first in, first out. What a job is, and whose
 * the threads are that take it, is the business of the queue's owners (desk.c, keys.c).
 */
#ifndef CHATD_JOBS_H
#define CHATD_JOBS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* The first member of a job. The queue allocates nothing. */
typedef struct jobs_link jobs_link;
struct jobs_link {
  jobs_link *next;
};

typedef struct jobs_queue {
  pthread_mutex_t lock;
  pthread_cond_t more;
  jobs_link *head, **tail;
  size_t len, most;
  bool ending;
} jobs_queue;

/* An empty queue, in which at most `most` jobs wait. */
void jobs_init(jobs_queue *q, size_t most);

/* Puts a job behind the others; any thread. 0, CAW_EAGAIN (full), CAW_ECLOSED (ended). */
int jobs_put(jobs_queue *q, jobs_link *job);

/* How many wait now; any thread. */
size_t jobs_waiting(jobs_queue *q);

#define JOBS_FOR_EVER (-1)

/*
 * Takes up to `most` jobs, linked by `next`; when there are none it waits up to `wait`
 * milliseconds, or JOBS_FOR_EVER. NULL: none came, or there are none and the queue has
 * ended (*ended, which may be NULL, says so). Any thread.
 */
jobs_link *jobs_take(jobs_queue *q, size_t most, int wait, bool *ended);

/* No job is taken in any more; those that wait can still be taken. Any thread. */
void jobs_end(jobs_queue *q);

/* Frees what the queue holds: nobody may use it any more. */
void jobs_finish(jobs_queue *q);

#endif
