/* The notes of notes.h, and the service Watch. */
#include "notes.h"

#include <caw/alloc.h>
#include <caw/channel.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Somebody who waits for an event, by a pending call of Watch.Seen. */
typedef struct waiter {
  struct waiter *next;
  caw_call *call;
  unsigned event;
} waiter;

struct note {
  note *next;
  char *id;
  unsigned events;
  peer_answer known; /* numbers only */
  bool released;
  waiter *waiters;
  caw_loop *hang_loop; /* NULL: nobody hangs */
  void (*hang_fn)(void *arg);
  void *hang_arg;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static note *notes;
static caw_channel *forward_channel;

note *note_get(caw_str id) {
  if (!id.len) return NULL;
  pthread_mutex_lock(&lock);
  note *n = notes;
  while (n && !caw_str_is(id, n->id)) n = n->next;
  if (!n && (n = calloc(1, sizeof(*n)))) {
    n->id = strndup(id.data, id.len);
    n->next = notes;
    notes = n;
  }
  pthread_mutex_unlock(&lock);
  return n;
}

static void answer(waiter *w, const peer_answer *known) {
  while (w) {
    waiter *next = w->next;
    peer_watch_seen_reply(w->call, known);
    free(w);
    w = next;
  }
}

void note_event(note *n, unsigned event, const peer_answer *known) {
  waiter *ready = NULL;
  if (!n) return;
  pthread_mutex_lock(&lock);
  n->events |= event;
  n->known = *known;
  for (waiter **at = &n->waiters; *at;) {
    waiter *w = *at;
    if (n->events & w->event) {
      *at = w->next;
      w->next = ready;
      ready = w;
    } else {
      at = &w->next;
    }
  }
  pthread_mutex_unlock(&lock);
  answer(ready, known);
}

bool note_released(note *n) {
  pthread_mutex_lock(&lock);
  bool released = n && n->released;
  pthread_mutex_unlock(&lock);
  return released;
}

bool note_hang(note *n, caw_loop *loop, void (*fn)(void *arg), void *arg) {
  bool ok = n != NULL;
  pthread_mutex_lock(&lock);
  if (n && n->released) {
    ok = caw_loop_post(loop, fn, arg) == 0;
  } else if (n) {
    n->hang_loop = loop;
    n->hang_fn = fn;
    n->hang_arg = arg;
  }
  pthread_mutex_unlock(&lock);
  return ok;
}

bool note_unhang(note *n) {
  pthread_mutex_lock(&lock);
  bool was = n && n->hang_loop;
  if (n) n->hang_loop = NULL;
  pthread_mutex_unlock(&lock);
  return was;
}

/* ---- Watch.Seen ---- */

static void seen_cancel(caw_call *call, void *user) {
  note *n = user;
  waiter *found = NULL;
  pthread_mutex_lock(&lock);
  for (waiter **at = &n->waiters; *at; at = &(*at)->next) {
    if ((*at)->call != call) continue;
    found = *at;
    *at = found->next;
    break;
  }
  pthread_mutex_unlock(&lock);
  if (found) caw_call_finish(call, CAW_CANCELLED, NULL);
  free(found);
}

static unsigned event_of(caw_str name) {
  return caw_str_is(name, "started")     ? EVENT_STARTED
         : caw_str_is(name, "cancelled") ? EVENT_CANCELLED
         : caw_str_is(name, "done")      ? EVENT_DONE
                                         : 0;
}

static int seen(caw_call *call, const peer_order *order, peer_answer *reply, void *self) {
  static const caw_call_events events = {.on_cancel = seen_cancel};
  note *n = note_get(order->id);
  unsigned event = event_of(order->event);
  waiter *w = calloc(1, sizeof(*w));
  (void)self;
  if (!n || !event || !w) {
    free(w);
    return caw_call_fail(call, CAW_INVALID_ARGUMENT, "no id, or no such event");
  }
  w->call = call;
  w->event = event;
  caw_call_on(call, &events, n);
  pthread_mutex_lock(&lock);
  bool already = (n->events & event) != 0;
  if (already) {
    *reply = n->known;
  } else {
    w->next = n->waiters;
    n->waiters = w;
  }
  pthread_mutex_unlock(&lock);
  if (already) free(w);
  return already ? 0 : CAW_PENDING;
}

/* ---- Watch.Release ---- */

static int release(caw_call *call, const peer_order *order, peer_answer *reply, void *self) {
  note *n = note_get(order->id);
  int rc = 0;
  (void)reply;
  (void)self;
  if (!n) return caw_call_fail(call, CAW_INVALID_ARGUMENT, "no id");
  pthread_mutex_lock(&lock);
  n->released = true;
  if (n->hang_loop) rc = caw_loop_post(n->hang_loop, n->hang_fn, n->hang_arg);
  n->hang_loop = NULL;
  pthread_mutex_unlock(&lock);
  return rc;
}

/* ---- Watch.Forward ---- */

static void forwarded(caw_call *client, const caw_status *status, const peer_answer *reply,
                      void *user) {
  caw_call *call = user;
  char *text = strndup(status->message.data ? status->message.data : "", status->message.len);
  (void)client;
  if (reply) peer_watch_forward_reply(call, reply);
  else caw_call_finish(call, status->code, text);
  free(text);
}

static int forward(caw_call *call, const peer_order *order, peer_answer *reply, void *self) {
  caw_call_options options = {.size = sizeof(options), .parent = call};
  (void)reply;
  (void)self;
  if (!forward_channel)
    return caw_call_fail(call, CAW_FAILED_PRECONDITION, "the server has no --forward");
  int rc = peer_callback_unary_async(NULL, forward_channel, order, &options, forwarded, call);
  return rc ? rc : CAW_PENDING;
}

/* ---- Together ---- */

int watch_add(caw_server *server, const char *target) {
  static const peer_watch_service service = {.seen = seen, .release = release, .forward = forward};
  caw_channel_options options = {.size = sizeof(options), .loop = caw_server_loop(server)};
  int rc = target ? caw_channel_new(&forward_channel, target, &options, NULL) : 0;
  return rc ? rc : peer_watch_add(server, &service, NULL);
}

void watch_finish(void) {
  caw_channel_free(forward_channel);
  forward_channel = NULL;
}

void notes_free(void) {
  for (note *n = notes, *next; n; n = next) {
    next = n->next;
    for (waiter *w = n->waiters, *w_next; w; w = w_next) {
      w_next = w->next;
      free(w);
    }
    free(n->id);
    free(n);
  }
  notes = NULL;
}
