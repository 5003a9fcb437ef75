/* The interceptors of later.h. */
#include "later.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct question {
  struct question *next;
  caw_call *call;
} question;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t thread;
static question *first, **last = &first; /* under the lock */
static bool running, ending;

static void *decide_all(void *arg) {
  (void)arg;
  pthread_mutex_lock(&lock);
  while (first || !ending) {
    question *q = first;
    if (!q) {
      pthread_cond_wait(&changed, &lock);
      continue;
    }
    first = q->next;
    if (!first) last = &first;
    pthread_mutex_unlock(&lock);
    int rc = caw_call_decide(q->call, 0, NULL);
    if (rc && rc != CAW_ECLOSED) abort();
    free(q);
    pthread_mutex_lock(&lock);
  }
  pthread_mutex_unlock(&lock);
  return NULL;
}

static int ask(caw_call *call, void *user) {
  (void)user;
  question *q = malloc(sizeof(*q));
  if (!q) return CAW_ENOMEM;
  *q = (question){NULL, call};
  pthread_mutex_lock(&lock);
  *last = q;
  last = &q->next;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
  return CAW_PENDING;
}

/* Looks at everything, so that the sanitizers do. */
static int look(caw_call *call, void *user) {
  (void)user;
  return caw_call_metadata_of(call, CAW_REQUEST_METADATA)->len > 1000000 ? CAW_INTERNAL : 0;
}

static void look_at_headers(caw_call *call, void *user) {
  look(call, user);
  if (caw_call_metadata_of(call, CAW_RESPONSE_HEADERS)->len > 1000000) abort();
}

static void look_at_message(caw_call *call, const caw_message_info *m, void *user) {
  (void)call;
  (void)user;
  if (!m->compressed && m->size != m->travels) abort();
}

static void look_at_status(caw_call *call, caw_status *status, void *user) {
  look(call, user);
  if (status->code < 0 || status->code > CAW_UNAUTHENTICATED) abort();
}

static const caw_interceptor asking = {.size = sizeof(asking), .on_request = ask};
static const caw_interceptor looking = {.size = sizeof(looking),
                                        .on_request = look,
                                        .on_headers = look_at_headers,
                                        .on_message = look_at_message,
                                        .on_status = look_at_status};

/* Is it wanted? Then the thread runs. */
static bool begin(void) {
  if (!getenv("CAW_TEST_INTERCEPT")) return false;
  if (!running) running = pthread_create(&thread, NULL, decide_all, NULL) == 0;
  return running;
}

int later_intercept_server(caw_server *server) {
  if (!begin()) return 0;
  int rc = caw_server_intercept(server, &asking, NULL);
  return rc ? rc : caw_server_intercept(server, &looking, NULL);
}

int later_intercept_channel(caw_channel *channel) {
  if (!begin()) return 0;
  int rc = caw_channel_intercept(channel, &looking, NULL);
  return rc ? rc : caw_channel_intercept(channel, &asking, NULL);
}

void later_end(void) {
  if (!running) return;
  pthread_mutex_lock(&lock);
  ending = true;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
  pthread_join(thread, NULL);
  running = false;
}
