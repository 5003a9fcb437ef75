/* The worker pool of pool.h: one mutex, one condition, a list of jobs. */
#include "io/pool.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

/* The kernel gives a process no more on any machine of today, and the size of
 * the table below cannot wrap. */
enum { MOST_THREADS = 65536 };

struct io_pool {
  pthread_mutex_t lock;
  pthread_cond_t work;
  io_job *first, **last;
  size_t waiting; /* jobs in the list */
  size_t idle;    /* threads that are about to look at the list */
  unsigned queue; /* jobs that may wait while no thread is idle */
  unsigned most, running;
  bool closing;
  pthread_t threads[];
};

/* Counts itself idle from its start on: the one that starts it has done so. */
static void *work(void *arg) {
  io_pool *p = arg;
  pthread_mutex_lock(&p->lock);
  for (;;) {
    while (!p->first && !p->closing) pthread_cond_wait(&p->work, &p->lock);
    io_job *job = p->first;
    if (!job) break;
    p->first = job->next;
    if (!p->first) p->last = &p->first;
    p->waiting--;
    p->idle--;
    pthread_mutex_unlock(&p->lock);
    job->run(job); /* may free it */
    pthread_mutex_lock(&p->lock);
    p->idle++;
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

/* Signals are the program's: a worker must not be the thread that gets one. */
static bool start_thread(io_pool *p) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  bool ok = pthread_create(&p->threads[p->running], NULL, work, p) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (ok) {
    p->running++;
    p->idle++;
  }
  return ok;
}

int io_pool_new(io_pool **out, unsigned threads, unsigned queue) {
  if (threads > MOST_THREADS) threads = MOST_THREADS;
  io_pool *p = caw_calloc(1, sizeof(*p) + threads * sizeof(pthread_t));
  if (!p) return CAW_ENOMEM;
  p->last = &p->first;
  p->most = threads;
  p->queue = queue;
  if (pthread_mutex_init(&p->lock, NULL)) goto fail;
  if (pthread_cond_init(&p->work, NULL)) goto fail_lock;
  *out = p;
  return 0;
fail_lock:
  pthread_mutex_destroy(&p->lock);
fail:
  caw_free(p);
  return CAW_ENOMEM;
}

/* Makes sure that a place or a thread is there for one more job. */
static int make_room(io_pool *p) {
  if (p->waiting < p->idle) return 0; /* an idle thread will take it */
  if (p->running < p->most && start_thread(p)) return 0;
  if (p->running == 0) return CAW_ELIMIT;
  return p->waiting - p->idle < p->queue ? 0 : CAW_EAGAIN;
}

int io_pool_submit(io_pool *p, io_job *job, void (*run)(io_job *job)) {
  pthread_mutex_lock(&p->lock);
  int rc = make_room(p);
  if (!rc) {
    job->run = run;
    job->next = NULL;
    *p->last = job;
    p->last = &job->next;
    p->waiting++;
    pthread_cond_signal(&p->work);
  }
  pthread_mutex_unlock(&p->lock);
  return rc;
}

void io_pool_free(io_pool *p) {
  if (!p) return;
  pthread_mutex_lock(&p->lock);
  p->closing = true;
  pthread_cond_broadcast(&p->work);
  /* A job of the last ones may submit another and so start a thread. */
  for (unsigned i = 0; i < p->running; i++) {
    pthread_t thread = p->threads[i];
    pthread_mutex_unlock(&p->lock);
    pthread_join(thread, NULL);
    pthread_mutex_lock(&p->lock);
  }
  pthread_mutex_unlock(&p->lock);
  pthread_cond_destroy(&p->work);
  pthread_mutex_destroy(&p->lock);
  caw_free(p);
}

unsigned io_pool_threads(io_pool *p) {
  pthread_mutex_lock(&p->lock);
  unsigned n = p->running;
  pthread_mutex_unlock(&p->lock);
  return n;
}
