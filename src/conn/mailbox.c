/* The mailbox of mailbox.h. */
#include "conn/mailbox.h"

#include "conn/call.h"

#include <caw/alloc.h>

/* Unread bytes beyond this pause the call; below half of it, it goes on. */
#define INBOX_BYTES ((size_t)256 * 1024)

void raw_method_init(raw_method *raw, const caw_method *real) {
  raw->real = real;
  raw->codec = *caw_type_bytes.codec;
  raw->codec.name = real->request->codec->name;
  raw->type = caw_type_bytes;
  raw->type.codec = &raw->codec;
  raw->method = *real;
  raw->method.request = raw->method.response = &raw->type;
}

int mailbox_new(caw_stream **out, const caw_type *in, const caw_type *output) {
  caw_stream *s = caw_calloc(1, sizeof(*s));
  if (!s) return CAW_ENOMEM;
  pthread_mutex_init(&s->lock, NULL);
  pthread_cond_init(&s->changed, NULL);
  s->in = in;
  s->out = output;
  s->last = &s->first;
  atomic_init(&s->refs, 1);
  *out = s;
  return 0;
}

caw_stream *mailbox_ref(caw_stream *s) {
  atomic_fetch_add(&s->refs, 1);
  return s;
}

static void free_letters(letter *l) {
  while (l) {
    letter *next = l->next;
    caw_free(l);
    l = next;
  }
}

void mailbox_unref(caw_stream *s) {
  if (!s || atomic_fetch_sub(&s->refs, 1) != 1) return;
  free_letters(s->first);
  caw_call_unref(s->call);
  caw_free(s->status_text);
  caw_free(s->raw);
  pthread_cond_destroy(&s->changed);
  pthread_mutex_destroy(&s->lock);
  caw_free(s);
}

/* ---- From the loop ---- */

void mailbox_deliver(caw_stream *s, caw_call *call, caw_str bytes) {
  letter *l = caw_malloc(sizeof(*l) + bytes.len);
  if (l) {
    l->next = NULL;
    l->len = bytes.len;
    if (bytes.len) memcpy(l->bytes, bytes.data, bytes.len);
  }
  pthread_mutex_lock(&s->lock);
  if (s->lost) { /* no gap: nothing is read behind what was lost */
    caw_free(l);
  } else if (l) {
    *s->last = l;
    s->last = &l->next;
    s->waiting += sizeof(*l) + l->len;
    if (s->waiting > INBOX_BYTES) {
      /* Also when it is paused by our account: a resume that was posted before
       * may have let it go on just now. */
      s->paused = true;
      caw_call_pause(call);
    }
  } else {
    s->lost = true;
  }
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
}

static void set(caw_stream *s, bool *flag) {
  pthread_mutex_lock(&s->lock);
  if (flag) *flag = true;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
}

void mailbox_end(caw_stream *s) {
  set(s, &s->ended);
}

void mailbox_cancel(caw_stream *s) {
  set(s, &s->cancelled);
}

void mailbox_drain(caw_stream *s) {
  set(s, NULL);
}

void mailbox_done(caw_stream *s, const caw_status *status) {
  size_t n = status->message.len, more = status->details.len;
  char *text = caw_malloc(n + more + 1);
  if (text && n) memcpy(text, status->message.data, n);
  if (text && more) memcpy(text + n, status->details.data, more);
  pthread_mutex_lock(&s->lock);
  s->status_text = text;
  s->status.code = status->code;
  if (text) {
    s->status.message = caw_str_of(text, n);
    s->status.details = caw_str_of(text + n, more);
  }
  s->ended = s->done = true;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
}

/* ---- From the blocking thread ---- */

void mailbox_wait_done(caw_stream *s) {
  pthread_mutex_lock(&s->lock);
  while (!s->done) pthread_cond_wait(&s->changed, &s->lock);
  pthread_mutex_unlock(&s->lock);
}

static void resume(void *arg) {
  caw_call *call = arg;
  caw_call_resume(call);
  caw_call_unref(call);
}

/* With the lock held: lets a paused call go on when there is room again. */
static void resume_if_room(caw_stream *s) {
  if (s->done) s->paused = false; /* the loop may have gone with its channel */
  if (!s->paused || s->waiting > INBOX_BYTES / 2) return;
  caw_call *call = caw_call_ref(s->call);
  if (caw_loop_post(caw_call_loop(call), resume, call))
    caw_call_unref(call); /* without memory: tried again at the next read */
  else s->paused = false;
}

/* With the lock held: takes the next letter, waiting for it. */
static int take_letter(caw_stream *s, letter **out) {
  for (;;) {
    letter *l = s->first;
    if (s->cancelled) return CAW_ECLOSED;
    if (l) {
      s->first = l->next;
      if (!s->first) s->last = &s->first;
      s->waiting -= sizeof(*l) + l->len;
      *out = l;
      resume_if_room(s);
      return 0;
    }
    if (s->lost) return CAW_ENOMEM;
    if (s->ended) return CAW_EEND;
    resume_if_room(s);
    if (s->paused) return CAW_ENOMEM;
    pthread_cond_wait(&s->changed, &s->lock);
  }
}

int mailbox_decode(const caw_type *type, caw_str bytes, void *message, caw_arena *arena) {
  caw_str copy = caw_arena_dup(arena, bytes);
  if (!copy.data) return CAW_ENOMEM;
  memset(message, 0, type->size);
  return type->codec->decode(type->desc, message, (const uint8_t *)copy.data, copy.len, arena);
}

int caw_stream_read(caw_stream *s, void *message, caw_arena *arena) {
  letter *l = NULL;
  pthread_mutex_lock(&s->lock);
  int rc = take_letter(s, &l);
  pthread_mutex_unlock(&s->lock);
  if (rc) return rc;
  rc = mailbox_decode(s->in, caw_str_of((const char *)l->bytes, l->len), message, arena);
  caw_free(l);
  return rc;
}

int mailbox_write_payload(caw_stream *s, caw_payload *payload) {
  /* on_drain is told with the lock held, so it cannot fall between the
   * refusal and the wait. */
  caw_payload *form = payload;
  int rc = call_choose_form(s->call, &form); /* compressed without the lock */
  if (rc) return rc;
  pthread_mutex_lock(&s->lock);
  while ((rc = caw_call_send_payload(s->call, payload)) == CAW_EAGAIN) {
    if (s->done || s->cancelled) {
      rc = CAW_ECLOSED;
      break;
    }
    pthread_cond_wait(&s->changed, &s->lock);
  }
  pthread_mutex_unlock(&s->lock);
  return rc;
}

int caw_stream_write(caw_stream *s, const void *message) {
  caw_payload *payload;
  int rc = caw_payload_new(&payload, s->out, message);
  if (rc) return rc;
  rc = mailbox_write_payload(s, payload);
  caw_payload_unref(payload);
  return rc;
}

void mailbox_discard(caw_stream *s) {
  pthread_mutex_lock(&s->lock);
  letter *unread = s->first;
  s->first = NULL;
  s->last = &s->first;
  s->waiting = 0;
  resume_if_room(s);
  pthread_mutex_unlock(&s->lock);
  free_letters(unread);
}

caw_call *caw_stream_call(caw_stream *s) {
  return s->call;
}
