/*
 * The ChatService: one room in memory. Messages are kept encoded, in a ring, and
 * sent to every reader without another copy. Readers may be on several loops:
 * the ring and the list of readers are behind a lock, and each reader sends
 * from its own loop, at its own pace.
 */
#include "greeter.h"

#include <chat_service.caw.h>

#include <caw/alloc.h>
#include <pthread.h>
#include <stdatomic.h>

#define KEPT         10000              /* messages in the ring, */
#define KEPT_BYTES   ((size_t)64 << 20) /* and of their memory, unless one alone is larger */
#define MESSAGE_COST 64                 /* bytes of memory for each besides its text */
#define SENT_AT_ONCE 256                /* to one reader, before the loop does other things */

typedef struct reader {
  struct reader *next, *prev; /* in the room's ring of readers, under its lock */
  chat_room *room;
  caw_call *call;
  uint64_t at;         /* the number of the next message to send; the loop's */
  bool over;           /* finished; the loop's */
  atomic_bool pumping; /* a pump is on its way to the loop */
  atomic_uint refs;    /* the call's, and the pump's */
} reader;

struct chat_room {
  bool list;
  pthread_mutex_t lock;
  caw_payload *ring[KEPT];
  uint64_t first, next; /* numbers of the oldest kept and of the next message */
  size_t bytes;         /* of those kept */
  reader readers;       /* head of the ring */
};

/* ---- Readers ---- */

static void release(reader *r) {
  if (atomic_fetch_sub(&r->refs, 1) == 1) caw_free(r);
}

static void finish(reader *r, int code, const char *text) {
  if (r->over) return;
  r->over = true;
  caw_call_finish(r->call, code, text);
}

/* What there is for a reader: a message with a reference, or NULL. */
static caw_payload *next_message(reader *r, bool *fell_behind) {
  chat_room *room = r->room;
  caw_payload *p = NULL;
  pthread_mutex_lock(&room->lock);
  *fell_behind = r->at < room->first;
  if (!*fell_behind && r->at < room->next) p = caw_payload_ref(room->ring[r->at % KEPT]);
  pthread_mutex_unlock(&room->lock);
  return p;
}

static void wake(reader *r);

/* Sends what the reader has not seen, until it is full or there is no more. */
static void pump(reader *r) {
  for (int n = 0; !r->over; n++) {
    bool fell_behind;
    if (n == SENT_AT_ONCE) {
      wake(r);
      return;
    }
    caw_payload *p = next_message(r, &fell_behind);
    if (fell_behind) {
      finish(r, CAW_RESOURCE_EXHAUSTED,
             "the reader fell behind the messages that are kept; call ReceiveMessage again");
      return;
    }
    if (!p) {
      if (r->room->list) finish(r, CAW_OK, NULL);
      return;
    }
    int rc = caw_call_send_payload(r->call, p);
    caw_payload_unref(p);
    if (rc == CAW_EAGAIN) return; /* on_drain goes on */
    if (rc) finish(r, rc, NULL);
    else r->at++;
  }
}

static void posted_pump(void *user) {
  reader *r = user;
  atomic_store(&r->pumping, false);
  pump(r);
  release(r);
}

/* Any thread. Without memory for the post the next message wakes the reader. */
static void wake(reader *r) {
  if (atomic_exchange(&r->pumping, true)) return;
  atomic_fetch_add(&r->refs, 1);
  if (caw_loop_post(caw_call_loop(r->call), posted_pump, r)) {
    atomic_store(&r->pumping, false);
    release(r);
  }
}

/* ---- SendMessage ---- */

static size_t cost(const caw_payload *p) {
  return caw_payload_bytes(p).len + MESSAGE_COST;
}

/* Takes the oldest message out of the ring when a new one of this cost has no
 * room beside it; NULL: it has. Under the lock. */
static caw_payload *make_room(chat_room *room, size_t wanted) {
  uint64_t kept = room->next - room->first;
  if (!kept || (kept < KEPT && room->bytes + wanted <= KEPT_BYTES)) return NULL;
  caw_payload *oldest = room->ring[room->first++ % KEPT];
  room->bytes -= cost(oldest);
  return oldest;
}

/* Appends, and lets go what has no room any more. */
static void append(chat_room *room, caw_payload *p) {
  caw_payload *oldest;
  pthread_mutex_lock(&room->lock);
  while ((oldest = make_room(room, cost(p)))) caw_payload_unref(oldest);
  room->ring[room->next++ % KEPT] = p;
  room->bytes += cost(p);
  for (reader *r = room->readers.next; r != &room->readers; r = r->next) wake(r);
  pthread_mutex_unlock(&room->lock);
}

static int send_message(caw_call *call, const room_message *request, room_message *reply,
                        void *self) {
  caw_payload *p;
  (void)call;
  int rc = caw_payload_new(&p, &room_message_type, request);
  if (rc) return rc;
  append(self, p);
  *reply = *request;
  return 0;
}

/* ---- ReceiveMessage ---- */

static void on_cancel(caw_call *call, void *user) {
  (void)call;
  finish(user, CAW_CANCELLED, NULL);
}

static void on_drain(caw_call *call, void *user) {
  (void)call;
  pump(user);
}

static void on_shutdown(caw_call *call, void *user) {
  (void)call;
  finish(user, CAW_UNAVAILABLE, "the server is shutting down");
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  reader *r = user;
  (void)call;
  (void)status;
  pthread_mutex_lock(&r->room->lock);
  r->prev->next = r->next;
  r->next->prev = r->prev;
  pthread_mutex_unlock(&r->room->lock);
  r->over = true;
  release(r);
}

static int receive_message(caw_call *call, const room_empty *request, void *self) {
  static const caw_call_events events = {on_cancel, on_drain, on_shutdown, on_done};
  chat_room *room = self;
  (void)request;
  reader *r = caw_calloc(1, sizeof(*r));
  if (!r) return CAW_ENOMEM;
  r->room = room;
  r->call = call;
  atomic_init(&r->refs, 1);
  pthread_mutex_lock(&room->lock);
  r->at = room->first;
  r->next = &room->readers;
  r->prev = room->readers.prev;
  r->prev->next = r->next->prev = r;
  pthread_mutex_unlock(&room->lock);
  caw_call_on(call, &events, r);
  caw_call_send_headers(call);
  pump(r);
  return CAW_PENDING;
}

/* ---- The room ---- */

int room_new(chat_room **out, bool list) {
  chat_room *r = caw_calloc(1, sizeof(*r));
  if (!r) return CAW_ENOMEM;
  r->list = list;
  r->readers.next = r->readers.prev = &r->readers;
  pthread_mutex_init(&r->lock, NULL);
  *out = r;
  return 0;
}

void room_free(chat_room *r) {
  if (!r) return;
  for (; r->first < r->next; r->first++) caw_payload_unref(r->ring[r->first % KEPT]);
  pthread_mutex_destroy(&r->lock);
  caw_free(r);
}

int room_add(caw_server *server, chat_room *self) {
  static const room_chat_service_service service = {
      .send_message = send_message,
      .receive_message = receive_message,
  };
  return room_chat_service_add(server, &service, self);
}
