/* The threads of desk.h. */
#include "desk.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MOST_READERS 16

struct desk {
  desk_options options;
  jobs_queue writes, reads;
  store *writer;
  pthread_t writer_thread;
  struct reader {
    desk *desk;
    store *store;
    pthread_t thread;
    bool runs;
  } readers[MOST_READERS];
  bool writer_runs;
  size_t turn; /* the writer's: jobs in the next turn */
  atomic_int state;
  atomic_uint_fast64_t turns, jobs, refused;
};

static desk_job *job_of(jobs_link *link) {
  return (desk_job *)link;
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

static void tell_all(jobs_link *link, int rc) {
  for (jobs_link *next; link; link = next) {
    desk_job *job = job_of(link);
    next = link->next;
    job->done(job, rc ? rc : job->rc);
  }
}

static uint64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A turn of few says little of what a job takes, and few jobs a turn would be worse than many. */
#define TURN_LEAST 128

size_t desk_next_turn(size_t now, size_t most, size_t n, uint64_t work, uint64_t flush) {
  if (most <= TURN_LEAST || n < TURN_LEAST / 2) return now;
  uint64_t fit = flush * n / (work + 1);
  if (fit < TURN_LEAST) fit = TURN_LEAST;
  if (fit > most) fit = most;
  return (size_t)(3 * (uint64_t)now + fit) / 4; /* flushes vary */
}

/* All jobs in one transaction. Returns 0, or why not, and in *culprit the job whose
 * fault it was; NULL: nobody's but the disk's. */
static int try_turn(desk *d, jobs_link *all, jobs_link **culprit) {
  *culprit = NULL;
  size_t n = 0;
  uint64_t began = clock_ns();
  int rc = store_begin(d->writer);
  if (rc) return rc;
  for (jobs_link *link = all; link; link = link->next, n++) {
    desk_job *job = job_of(link);
    job->rc = job->work(job, d->writer);
    if (!spoils(job->rc)) continue;
    *culprit = link;
    rc = job->rc;
    store_rollback(d->writer);
    return rc;
  }
  uint64_t worked = clock_ns();
  rc = store_commit(d->writer);
  if (rc) store_rollback(d->writer);
  else
    d->turn = desk_next_turn(d->turn, d->options.turn_most, n, worked - began, clock_ns() - worked);
  return rc;
}

static jobs_link *without(jobs_link *all, jobs_link *one) {
  if (all == one) return one->next;
  jobs_link *before = all;
  while (before->next != one) before = before->next;
  before->next = one->next;
  return all;
}

static void note_failure(desk *d, int rc) {
  if (rc == STORE_BROKEN) set_state(d, DESK_BROKEN);
  else if (rc == STORE_FULL) set_state(d, DESK_FULL);
}

static bool is_broken(const desk *d) {
  return atomic_load(&d->state) == DESK_BROKEN;
}

/* A job that spoils the turn is told so, and the others have another one, unless it was
 * the disk's fault: that is everybody's. */
static void take_turn(desk *d, jobs_link *all) {
  while (all && !is_broken(d)) {
    jobs_link *culprit;
    size_t n = 0;
    int rc = try_turn(d, all, &culprit);
    if (!rc) {
      for (jobs_link *link = all; link; link = link->next) n++;
      atomic_fetch_add(&d->turns, 1);
      atomic_fetch_add(&d->jobs, n);
      set_state(d, DESK_FINE);
      tell_all(all, 0);
      return;
    }
    note_failure(d, rc);
    if (!culprit || rc == STORE_BROKEN || rc == STORE_FULL) {
      tell_all(all, rc);
      return;
    }
    all = without(all, culprit);
    job_of(culprit)->done(job_of(culprit), rc);
  }
  tell_all(all, STORE_BROKEN);
}

static void look_for_room(desk *d) {
  int rc = store_probe(d->writer);
  if (rc) note_failure(d, rc);
  else set_state(d, DESK_FINE);
}

static void rest(desk *d, bool idle) {
  if (!is_broken(d)) note_failure(d, store_rest(d->writer, idle));
}

static void *write_on(void *arg) {
  desk *d = arg;
  bool ended = false, rested = true;
  while (!ended) {
    bool full = atomic_load(&d->state) == DESK_FULL;
    int wait = !rested ? 0 : full ? d->options.retry : JOBS_FOR_EVER;
    jobs_link *all = jobs_take(&d->writes, d->turn, wait, &ended);
    if (all) {
      take_turn(d, all);
      rest(d, false);
    } else if (!rested) {
      rest(d, true);
    } else if (full) {
      look_for_room(d);
    }
    rested = !all;
  }
  return NULL;
}

/* ---- Reading ---- */

static void *read_on(void *arg) {
  struct reader *r = arg;
  jobs_link *link;
  while ((link = jobs_take(&r->desk->reads, 1, JOBS_FOR_EVER, NULL))) {
    desk_job *job = job_of(link);
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
  if (!d->options.retry) d->options.retry = 1000;
  d->turn = d->options.turn_most;
  jobs_init(&d->writes, d->options.queue_most);
  jobs_init(&d->reads, d->options.queue_most);
  atomic_init(&d->state, DESK_FINE);
  int rc = start(d, why);
  if (rc) desk_free(d);
  else *out = d;
  return rc;
}

int desk_write(desk *d, desk_job *job) {
  if (is_broken(d)) return STORE_BROKEN;
  int rc = jobs_put(&d->writes, &job->link);
  if (rc == CAW_EAGAIN) atomic_fetch_add(&d->refused, 1);
  return rc;
}

int desk_read(desk *d, desk_job *job) {
  return jobs_put(&d->reads, &job->link);
}

desk_state desk_state_of(const desk *d) {
  return (desk_state)atomic_load(&d->state);
}

void desk_look(desk *d, desk_numbers *out) {
  *out = (desk_numbers){.state = desk_state_of(d),
                        .waiting = jobs_waiting(&d->writes),
                        .turns = atomic_load(&d->turns),
                        .jobs = atomic_load(&d->jobs),
                        .refused = atomic_load(&d->refused)};
}

void desk_free(desk *d) {
  if (!d) return;
  jobs_end(&d->writes);
  jobs_end(&d->reads);
  if (d->writer_runs) pthread_join(d->writer_thread, NULL);
  for (size_t i = 0; i < MOST_READERS; i++) {
    if (d->readers[i].runs) pthread_join(d->readers[i].thread, NULL);
    store_close(d->readers[i].store);
  }
  store_close(d->writer);
  jobs_finish(&d->writes);
  jobs_finish(&d->reads);
  caw_free(d);
}
