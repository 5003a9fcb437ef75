/* The client's blocking face (caw/blocking.h), on the callback face. */
#include <caw/blocking.h>

#include "conn/mailbox.h"

#include <caw/alloc.h>
#include <errno.h>
#include <time.h>

/* ---- Callbacks, on the loop ---- */

static void on_message(caw_call *call, const void *message, void *user) {
  mailbox_deliver(user, call, *(const caw_str *)message);
}

static void on_drain(caw_call *call, void *user) {
  (void)call;
  mailbox_drain(user);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  mailbox_done(user, status);
}

static const caw_client_events events = {NULL, on_message, on_drain, on_done, NULL};

/* ---- Starting a call on the loop's thread ---- */

typedef struct start {
  caw_stream *stream;
  caw_channel *channel;
  const caw_call_options *options;
  caw_payload *payload; /* the only request, or NULL */
  int rc;
  bool ran;
} start;

static int start_call(start *st) {
  caw_stream *s = st->stream;
  caw_call *call;
  int rc = caw_call_start(&call, st->channel, &s->raw->method, st->options, &events, s);
  if (rc) return rc;
  s->call = caw_call_ref(call);
  if (!st->payload) return 0;
  rc = caw_call_send_payload(call, st->payload);
  if (rc) caw_call_cancel(call);
  else caw_call_close_send(call);
  return 0; /* what failed now is told by on_done */
}

static void run_start(void *arg) {
  start *st = arg;
  int rc = start_call(st);
  pthread_mutex_lock(&st->stream->lock);
  st->rc = rc;
  st->ran = true;
  pthread_cond_broadcast(&st->stream->changed);
  pthread_mutex_unlock(&st->stream->lock);
}

static int open_stream(caw_stream **out, caw_channel *channel, const caw_method *method,
                       caw_payload *payload, const caw_call_options *options) {
  caw_stream *s;
  if (caw_loop_is_current(caw_channel_loop(channel))) return CAW_ETHREAD;
  int rc = mailbox_new(&s, method->response, method->request);
  if (rc) return rc;
  s->raw = caw_malloc(sizeof(*s->raw));
  if (!s->raw) {
    mailbox_unref(s);
    return CAW_ENOMEM;
  }
  raw_method_init(s->raw, method);
  start st = {s, channel, options, payload, 0, false};
  rc = caw_loop_post(caw_channel_loop(channel), run_start, &st);
  if (!rc) {
    pthread_mutex_lock(&s->lock);
    while (!st.ran) pthread_cond_wait(&s->changed, &s->lock);
    rc = st.rc;
    pthread_mutex_unlock(&s->lock);
  }
  if (rc) {
    mailbox_unref(s);
    return rc;
  }
  *out = s;
  return 0;
}

int caw_stream_open(caw_stream **out, caw_channel *channel, const caw_method *method,
                    const caw_call_options *options) {
  return open_stream(out, channel, method, NULL, options);
}

int caw_stream_open_with(caw_stream **out, caw_channel *channel, const caw_method *method,
                         const void *request, const caw_call_options *options) {
  caw_payload *payload;
  int rc = caw_payload_new(&payload, method->request, request);
  if (rc) return rc;
  rc = open_stream(out, channel, method, payload, options);
  caw_payload_unref(payload);
  return rc;
}

/* With the lock held on_done has not returned, so the loop is there, even if
 * another thread is freeing the channel. */
int caw_stream_close_send(caw_stream *s) {
  pthread_mutex_lock(&s->lock);
  int rc = caw_call_close_send(s->call);
  pthread_mutex_unlock(&s->lock);
  return rc;
}

/* ---- The end ---- */

/* Waits for on_done, dropping replies that nobody will read. */
static void wait_end(caw_stream *s) {
  pthread_mutex_lock(&s->lock);
  while (!s->done) {
    if (s->first || s->paused) {
      pthread_mutex_unlock(&s->lock);
      mailbox_discard(s);
      pthread_mutex_lock(&s->lock);
      if (s->paused) break; /* no memory even for that: cancel */
      continue;
    }
    pthread_cond_wait(&s->changed, &s->lock);
  }
  bool stuck = !s->done;
  pthread_mutex_unlock(&s->lock);
  if (!stuck) return;
  caw_call_cancel(s->call);
  mailbox_wait_done(s);
}

/* A copy for the caller, empty without an arena or memory. */
static caw_str keep(caw_arena *arena, caw_str text) {
  caw_str copy = {NULL, 0};
  return arena && text.len ? caw_arena_dup(arena, text) : copy;
}

int caw_stream_finish(caw_stream *s, caw_arena *arena, caw_status *status) {
  if (!s) return 0;
  caw_stream_close_send(s);
  wait_end(s);
  int code = s->status.code;
  if (status) {
    status->code = code;
    status->message = keep(arena, s->status.message);
    status->details = keep(arena, s->status.details);
  }
  mailbox_unref(s);
  return code;
}

/* ---- One request, one reply ---- */

int caw_call_unary(caw_channel *channel, const caw_method *method, const void *request, void *reply,
                   caw_arena *arena, const caw_call_options *options, caw_status *status) {
  caw_stream *s;
  caw_status own;
  if (!status) status = &own;
  *status = (caw_status){0};
  int rc = caw_stream_open_with(&s, channel, method, request, options);
  if (rc) return rc;
  mailbox_wait_done(s);
  int read = s->status.code ? 0 : caw_stream_read(s, reply, arena);
  int code = caw_stream_finish(s, arena, status);
  if (code || !read) return code;
  status->code = read == CAW_ENOMEM ? CAW_RESOURCE_EXHAUSTED : CAW_INTERNAL;
  status->message =
      caw_str_from(read == CAW_ENOMEM ? "out of memory for the reply" : "the reply is malformed");
  return status->code;
}

/* ---- Readiness ---- */

typedef struct readiness {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  caw_channel *channel;
  caw_connectivity state;
  bool over, expired;
  int rc;
  unsigned refs; /* under the lock: the waiter, and the watch on the loop */
} readiness;

static void release(readiness *r) {
  pthread_mutex_lock(&r->lock);
  bool last = --r->refs == 0;
  pthread_mutex_unlock(&r->lock);
  if (!last) return;
  pthread_cond_destroy(&r->changed);
  pthread_mutex_destroy(&r->lock);
  caw_free(r);
}

static void on_state(caw_channel *channel, caw_connectivity now, void *user);

/* On the loop: watches the next change, unless it is over. */
static void watch_on(readiness *r, caw_connectivity now) {
  pthread_mutex_lock(&r->lock);
  bool end = now == CAW_CHANNEL_READY || now == CAW_CHANNEL_SHUTDOWN || r->expired;
  pthread_mutex_unlock(&r->lock);
  int rc = now == CAW_CHANNEL_SHUTDOWN ? CAW_ECLOSED : 0;
  if (!end) {
    if (now == CAW_CHANNEL_IDLE) caw_channel_state(r->channel, true);
    rc = caw_channel_watch(r->channel, now, 0, on_state, r);
    if (!rc) return;
  }
  pthread_mutex_lock(&r->lock);
  r->over = true;
  r->rc = rc;
  pthread_cond_broadcast(&r->changed);
  pthread_mutex_unlock(&r->lock);
  release(r);
}

static void on_state(caw_channel *channel, caw_connectivity now, void *user) {
  (void)channel;
  watch_on(user, now);
}

static void run_ready(void *arg) {
  readiness *r = arg;
  watch_on(r, caw_channel_state(r->channel, false));
}

static int wait_over(readiness *r, uint64_t timeout_ms) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += (time_t)(timeout_ms / 1000);
  until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  pthread_mutex_lock(&r->lock);
  int err = 0;
  while (!r->over && err != ETIMEDOUT)
    err = timeout_ms ? pthread_cond_timedwait(&r->changed, &r->lock, &until)
                     : pthread_cond_wait(&r->changed, &r->lock);
  int rc = r->over ? r->rc : CAW_ETIMEDOUT;
  r->expired = true;
  pthread_mutex_unlock(&r->lock);
  return rc;
}

int caw_channel_wait_ready(caw_channel *channel, uint64_t timeout_ms) {
  if (caw_loop_is_current(caw_channel_loop(channel))) return CAW_ETHREAD;
  readiness *r = caw_calloc(1, sizeof(*r));
  if (!r) return CAW_ENOMEM;
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&r->changed, &attr);
  pthread_condattr_destroy(&attr);
  pthread_mutex_init(&r->lock, NULL);
  r->channel = channel;
  r->refs = 2;
  int rc = caw_loop_post(caw_channel_loop(channel), run_ready, r);
  if (rc) release(r);
  else rc = wait_over(r, timeout_ms);
  release(r);
  return rc;
}
