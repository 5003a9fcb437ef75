/* The threads of desk.h. */
#include "desk.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MOST_READERS 16
#define REST_AFTER   2000 /* jobs between two rests: a log of a few MiB */

typedef struct queue {
  pthread_mutex_t lock;
  pthread_cond_t more;
  desk_job *head, **tail;
  size_t len, most;
  bool ending;
} queue;

struct desk {
  desk_options options;
  queue writes, reads;
  store *writer;
  pthread_t writer_thread;
  struct reader {
    desk *desk;
    store *store;
    pthread_t thread;
    bool runs;
  } readers[MOST_READERS];
  bool writer_runs;
  atomic_int state;
  atomic_uint_fast64_t turns, jobs;
};

/* ---- Queues ---- */

static void queue_init(queue *q, size_t most) {
  pthread_mutex_init(&q->lock, NULL);
  pthread_cond_init(&q->more, NULL);
  q->head = NULL;
  q->tail = &q->head;
  q->len = 0;
  q->most = most;
  q->ending = false;
}

static int queue_put(queue *q, desk_job *job) {
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

/* Up to `most` jobs, waiting for one unless `wait` is false. NULL: none, or the end. */
static desk_job *queue_take(queue *q, size_t most, bool wait) {
  pthread_mutex_lock(&q->lock);
  while (wait && !q->head && !q->ending) pthread_cond_wait(&q->more, &q->lock);
  desk_job *first = q->head, *last = NULL;
  for (; q->head && most; most--, q->len--) {
    last = q->head;
    q->head = last->next;
  }
  if (last) last->next = NULL;
  if (!q->head) q->tail = &q->head;
  pthread_mutex_unlock(&q->lock);
  return first;
}

static void queue_end(queue *q) {
  pthread_mutex_lock(&q->lock);
  q->ending = true;
  pthread_cond_broadcast(&q->more);
  pthread_mutex_unlock(&q->lock);
}

static void queue_finish(queue *q) {
  pthread_cond_destroy(&q->more);
  pthread_mutex_destroy(&q->lock);
}

/* ---- Writing ---- */

/* Codes after which the turn cannot go on. What else a job returns is its own affair. */
static bool spoils(int rc) {
  return rc == STORE_BUSY || rc == STORE_FULL || rc == STORE_BROKEN || rc == STORE_DAMAGED ||
         rc == CAW_ENOMEM;
}

static void set_state(desk *d, desk_state state) {
  if (atomic_exchange(&d->state, (int)state) == (int)state || !d->options.on_state) return;
  d->options.on_state(state, store_error(d->writer), d->options.user);
}

static void tell_all(desk_job *job, int rc) {
  for (desk_job *next; job; job = next) {
    next = job->next;
    job->done(job, rc ? rc : job->rc);
  }
}

/* All jobs in one transaction. Returns 0, or why not, and in *culprit the job whose
 * fault it was; NULL: nobody's but the disk's. */
static int try_turn(desk *d, desk_job *jobs, desk_job **culprit) {
  *culprit = NULL;
  int rc = store_begin(d->writer);
  if (rc) return rc;
  for (desk_job *job = jobs; job; job = job->next) {
    job->rc = job->work(job, d->writer);
    if (!spoils(job->rc)) continue;
    *culprit = job;
    rc = job->rc;
    store_rollback(d->writer);
    return rc;
  }
  rc = store_commit(d->writer);
  if (rc) store_rollback(d->writer);
  return rc;
}

static desk_job *without(desk_job *jobs, desk_job *one) {
  if (jobs == one) return one->next;
  desk_job *before = jobs;
  while (before->next != one) before = before->next;
  before->next = one->next;
  return jobs;
}

/* A job that spoils the turn is told so, and the others have another one, unless it was
 * the disk's fault: that is everybody's. */
static void take_turn(desk *d, desk_job *jobs) {
  while (jobs && atomic_load(&d->state) != DESK_BROKEN) {
    desk_job *culprit;
    size_t n = 0;
    int rc = try_turn(d, jobs, &culprit);
    if (!rc) {
      for (desk_job *job = jobs; job; job = job->next) n++;
      atomic_fetch_add(&d->turns, 1);
      atomic_fetch_add(&d->jobs, n);
      set_state(d, DESK_FINE);
      tell_all(jobs, 0);
      return;
    }
    if (rc == STORE_BROKEN) set_state(d, DESK_BROKEN);
    else if (rc == STORE_FULL) set_state(d, DESK_FULL);
    if (!culprit || rc == STORE_BROKEN || rc == STORE_FULL) {
      tell_all(jobs, rc);
      return;
    }
    jobs = without(jobs, culprit);
    culprit->done(culprit, rc);
  }
  tell_all(jobs, STORE_BROKEN);
}

static void *write_on(void *arg) {
  desk *d = arg;
  uint64_t rested = 0;
  for (;;) {
    uint64_t did = atomic_load(&d->jobs) - rested;
    desk_job *jobs = queue_take(&d->writes, d->options.turn_most, did < REST_AFTER);
    if (jobs) {
      take_turn(d, jobs);
    } else if (did >= REST_AFTER) {
      if (d->options.rest) d->options.rest(d->writer, d->options.user);
      rested += did;
    } else {
      return NULL; /* the end */
    }
  }
}

/* ---- Reading ---- */

static void *read_on(void *arg) {
  struct reader *r = arg;
  desk_job *job;
  while ((job = queue_take(&r->desk->reads, 1, true))) {
    int rc = store_begin(r->store);
    if (!rc) rc = job->work(job, r->store);
    store_end(r->store);
    job->done(job, rc);
  }
  return NULL;
}

/* ---- Life ---- */

static int start(desk *d, char why[400]) {
  const desk_options *o = &d->options;
  int rc = o->open(&d->writer, true, why, o->user);
  for (size_t i = 0; !rc && i < o->readers; i++) {
    d->readers[i].desk = d;
    rc = o->open(&d->readers[i].store, false, why, o->user);
  }
  if (rc) return rc;
  d->writer_runs = !pthread_create(&d->writer_thread, NULL, write_on, d);
  rc = d->writer_runs ? 0 : CAW_ELIMIT;
  for (size_t i = 0; !rc && i < o->readers; i++) {
    d->readers[i].runs = !pthread_create(&d->readers[i].thread, NULL, read_on, &d->readers[i]);
    rc = d->readers[i].runs ? 0 : CAW_ELIMIT;
  }
  if (rc) snprintf(why, 400, "the store's threads cannot be started");
  return rc;
}

int desk_new(desk **out, const desk_options *options, char why[400]) {
  desk *d = caw_malloc(sizeof(*d));
  why[0] = '\0';
  if (!d) return CAW_ENOMEM;
  memset(d, 0, sizeof(*d));
  d->options = *options;
  if (!d->options.readers) d->options.readers = 2;
  if (d->options.readers > MOST_READERS) d->options.readers = MOST_READERS;
  if (!d->options.queue_most) d->options.queue_most = 10000;
  if (!d->options.turn_most) d->options.turn_most = 1000;
  queue_init(&d->writes, d->options.queue_most);
  queue_init(&d->reads, d->options.queue_most);
  atomic_init(&d->state, DESK_FINE);
  int rc = start(d, why);
  if (rc) desk_free(d);
  else *out = d;
  return rc;
}

int desk_write(desk *d, desk_job *job) {
  if (atomic_load(&d->state) == DESK_BROKEN) return STORE_BROKEN;
  return queue_put(&d->writes, job);
}

int desk_read(desk *d, desk_job *job) {
  return queue_put(&d->reads, job);
}

desk_state desk_state_of(const desk *d) {
  return (desk_state)atomic_load(&d->state);
}

void desk_counts(const desk *d, uint64_t *turns, uint64_t *jobs) {
  *turns = atomic_load(&d->turns);
  *jobs = atomic_load(&d->jobs);
}

void desk_free(desk *d) {
  if (!d) return;
  queue_end(&d->writes);
  queue_end(&d->reads);
  if (d->writer_runs) pthread_join(d->writer_thread, NULL);
  for (size_t i = 0; i < MOST_READERS; i++) {
    if (d->readers[i].runs) pthread_join(d->readers[i].thread, NULL);
    store_close(d->readers[i].store);
  }
  store_close(d->writer);
  queue_finish(&d->writes);
  queue_finish(&d->reads);
  caw_free(d);
}
