/* The queue of jobs.h. */
#include "jobs.h"

#include <caw/status.h>
#include <time.h>

void jobs_init(jobs_queue *q, size_t most) {
  pthread_condattr_t steady; /* a wait does not change when the clock is set */
  pthread_condattr_init(&steady);
  pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
  pthread_mutex_init(&q->lock, NULL);
  pthread_cond_init(&q->more, &steady);
  pthread_condattr_destroy(&steady);
  q->head = NULL;
  q->tail = &q->head;
  q->len = 0;
  q->most = most;
  q->ending = false;
}

int jobs_put(jobs_queue *q, jobs_link *job) {
  job->next = NULL;
  pthread_mutex_lock(&q->lock);
  int rc = q->ending ? CAW_ECLOSED : q->len >= q->most ? CAW_EAGAIN : 0;
  if (!rc) {
    *q->tail = job;
    q->tail = &job->next;
    q->len++;
    pthread_cond_signal(&q->more);
  }
  pthread_mutex_unlock(&q->lock);
  return rc;
}

size_t jobs_waiting(jobs_queue *q) {
  pthread_mutex_lock(&q->lock);
  size_t n = q->len;
  pthread_mutex_unlock(&q->lock);
  return n;
}

static struct timespec in(int milliseconds) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_sec += milliseconds / 1000;
  t.tv_nsec += (long)(milliseconds % 1000) * 1000000;
  if (t.tv_nsec >= 1000000000) {
    t.tv_sec++;
    t.tv_nsec -= 1000000000;
  }
  return t;
}

/* Until there is a job, or the end, or the time is over. */
static void await(jobs_queue *q, int wait) {
  struct timespec until = wait > 0 ? in(wait) : (struct timespec){0};
  while (!q->head && !q->ending) {
    if (wait < 0) pthread_cond_wait(&q->more, &q->lock);
    else if (pthread_cond_timedwait(&q->more, &q->lock, &until)) return;
  }
}

jobs_link *jobs_take(jobs_queue *q, size_t most, int wait, bool *ended) {
  pthread_mutex_lock(&q->lock);
  if (wait) await(q, wait);
  jobs_link *first = q->head, *last = NULL;
  for (; q->head && most; most--, q->len--) {
    last = q->head;
    q->head = last->next;
  }
  if (last) last->next = NULL;
  if (!q->head) q->tail = &q->head;
  if (ended) *ended = !first && q->ending;
  pthread_mutex_unlock(&q->lock);
  return first;
}

void jobs_end(jobs_queue *q) {
  pthread_mutex_lock(&q->lock);
  q->ending = true;
  pthread_cond_broadcast(&q->more);
  pthread_mutex_unlock(&q->lock);
}

void jobs_finish(jobs_queue *q) {
  pthread_cond_destroy(&q->more);
  pthread_mutex_destroy(&q->lock);
}
