/* Subscribe and ReadAll: what is asked for is looked at in the store, then the stream goes
 * by itself (feed.h). */
#include "streams.h"

#include "convert.h"
#include "methods.h"
#include "unary.h"

#include <caw/alloc.h>
#include <string.h>

#define MOST_ROOMS     10000
#define SECOND         ((int64_t)1000000)
#define HEARTBEAT      (30 * SECOND)
#define LONG_HEARTBEAT (300 * SECOND)

typedef struct wish {
  int64_t room_id, number;
} wish;

/* A look at the store on behalf of a stream, which goes on with what was found. */
typedef struct look look;
struct look {
  errand errand; /* first: it is one */
  task task;
  int (*see)(look *l);  /* on a reader */
  int (*then)(look *l); /* on the loop, when it was fine; CAW_ENOMEM */
  feed_wrong *wrong;
  bool all;
  int64_t heartbeat;
  size_t n, more; /* wishes of the request; and those of all other rooms */
  wish *wishes;
};

/* ---- On a reader ---- */

/* The session may have ended after the door was passed and before the stream was known to
 * those who end streams. */
static int still_there(task *t) {
  store_session session;
  int rc = store_session_get(t->store, t->who->session_id, &session, t->arena);
  if (rc != STORE_NONE) return rc;
  return task_fail(t, CAW_UNAUTHENTICATED, "SESSION_ENDED", "your session has ended: log in again");
}

/* "From now on" is a number from here on: what comes while the room's page waits is told. */
static int look_at(look *l, wish *w) {
  task *t = &l->task;
  int rc = task_enter(t, w->room_id);
  if (rc) return rc;
  if (!t->room_role)
    return task_fail(t, CAW_PERMISSION_DENIED, "NOT_MEMBER", "you are not in room %lld: join it",
                     (long long)w->room_id);
  if (w->number < -1) return task_wrong(t, "rooms.after_number", "is below -1");
  if (w->number < 0) w->number = t->room.last_number;
  if (w->number <= t->room.last_number) return 0;
  return task_fail(t, CAW_OUT_OF_RANGE, NULL,
                   "after_number is %lld, but the newest message of room %lld is %lld",
                   (long long)w->number, (long long)w->room_id, (long long)t->room.last_number);
}

static int look_at_all(look *l) {
  task *t = &l->task;
  store_room *rooms;
  store_member *members;
  size_t n;
  int rc =
      store_rooms_of(t->store, t->who->user_id, 0, SIZE_MAX >> 1, &rooms, &members, &n, t->arena);
  if (rc) return rc;
  wish *wishes = caw_arena_calloc(t->arena, l->n + n, sizeof(*wishes));
  if (!wishes) return CAW_ENOMEM;
  if (l->n) memcpy(wishes, l->wishes, l->n * sizeof(*wishes));
  l->wishes = wishes;
  /* A room that is there twice is followed as it was asked for first. */
  for (size_t i = 0; i < n; i++)
    wishes[l->n + l->more++] = (wish){rooms[i].id, rooms[i].last_number};
  return 0;
}

static int see_wishes(look *l) {
  int rc = 0;
  for (size_t i = 0; !rc && i < l->n; i++) rc = look_at(l, &l->wishes[i]);
  return rc || !l->all ? rc : look_at_all(l);
}

static int look_work(desk_job *job, store *s) {
  look *l = (look *)job;
  task_begin(&l->task, s);
  int rc = still_there(&l->task);
  if (!rc && l->see) rc = l->see(l);
  if (rc) l->task.failure.code = task_explain(&l->task, rc);
  return rc;
}

/* ---- On the loop ---- */

/* What happens behind the headers is told: who is in no room yet would not know otherwise since
 * when. A chat has sent its own when it opened, and its acks say how far it is. */
static int say_since_when(feed *st) {
  if (st->form != FORM_EVENT) return 0;
  return caw_call_send_headers(st->call) == CAW_ENOMEM ? CAW_ENOMEM : 0;
}

static int follow_wishes(look *l) {
  feed *st = l->errand.stream;
  int rc = 0;
  if (l->all) st->all = true;
  for (size_t i = 0; !rc && i < l->n + l->more; i++)
    rc = feed_follow(st, l->wishes[i].room_id, l->wishes[i].number);
  if (l->heartbeat) feed_heartbeat(st, (uint64_t)l->heartbeat * 1000);
  return rc ? rc : say_since_when(st);
}

static void no_memory(feed *st) {
  feed_end(st, CAW_RESOURCE_EXHAUSTED, NULL, "the server is out of memory; try again");
}

static void look_free(look *l) {
  caw_arena_free(l->task.arena);
  caw_free(l);
}

static void look_back(errand *e) {
  look *l = (look *)e;
  feed *st = e->stream;
  int rc = 0;
  st->looking--;
  if (st->over) rc = 0;
  else if (e->rc) l->wrong(st, &l->task, l->task.failure.code);
  else if (l->then) rc = l->then(l);
  if (!rc && !st->over) rc = feed_follow_entered(st);
  if (rc) no_memory(st);
  if (st->flush && !st->over && !st->at_full) st->flush(st); /* it has waited for this */
  look_free(l);
  feed_unref(st);
}

/* NULL without memory. */
static look *new_look(feed *st, const rule *r, feed_wrong *wrong) {
  look *l = caw_calloc(1, sizeof(*l));
  if (!l) return NULL;
  l->wrong = wrong;
  l->task = (task){.app = st->app, .who = &st->who, .rule = r, .arena = caw_arena_new(0)};
  task_begin(&l->task, NULL);
  if (l->task.arena) return l;
  caw_free(l);
  return NULL;
}

/* Sends the look to the store, or tells at once what is wrong. */
static void begin_look(look *l, feed *st, int rc) {
  if (!rc) rc = errand_send(&l->errand, st, look_work, look_back);
  if (!rc) {
    st->looking++;
    return;
  }
  l->task.failure.code = task_explain(&l->task, rc);
  l->wrong(st, &l->task, l->task.failure.code);
  look_free(l);
}

static void end_wrong(feed *st, task *t, int code) {
  if (st->over) return;
  st->over = true;
  caw_details_fail(st->call, &t->failure);
  caw_call_finish(st->call, code, t->failure.message.data);
}

/* ---- Subscribe ---- */

/* The streams of a room belong to their members; admins join, too. */
static const rule subscribe_rule = {.room_role = 0};

static int read_wishes(look *l, const chat_v1_subscribe_request *q) {
  task *t = &l->task;
  l->heartbeat = q->heartbeat ? from_duration(q->heartbeat) : 0;
  if (!l->heartbeat) l->heartbeat = HEARTBEAT;
  if (l->heartbeat < SECOND || l->heartbeat > LONG_HEARTBEAT)
    task_check(t, "heartbeat", "must be between a second and 5 minutes");
  if (q->rooms.len > MOST_ROOMS) task_check(t, "rooms", "has more than 10,000 of them");
  if (!q->rooms.len && !q->all_rooms)
    task_check(t, "rooms", "is empty, and all_rooms is not set: there is nothing to listen to");
  int rc = task_checked(t);
  if (rc) return rc;
  l->all = q->all_rooms;
  l->wishes = caw_arena_calloc(t->arena, q->rooms.len, sizeof(*l->wishes));
  if (!l->wishes) return CAW_ENOMEM;
  for (; l->n < q->rooms.len; l->n++)
    l->wishes[l->n] = (wish){q->rooms.items[l->n].room_id, q->rooms.items[l->n].after_number};
  return 0;
}

void subscribe_to(feed *st, const chat_v1_subscribe_request *request, feed_wrong *wrong) {
  look *l = new_look(st, &subscribe_rule, wrong);
  if (!l) {
    no_memory(st);
    return;
  }
  l->see = see_wishes;
  l->then = follow_wishes;
  begin_look(l, st, read_wishes(l, request));
}

void subscribe_check(feed *st) {
  look *l = new_look(st, &subscribe_rule, end_wrong);
  if (l) begin_look(l, st, 0);
  else no_memory(st);
}

static int subscribe(caw_call *call, const void *request, void *reply, const void *impl,
                     void *self) {
  feed *st = caw_calloc(1, sizeof(*st));
  (void)reply;
  (void)impl;
  if (!st) return CAW_ENOMEM;
  if (feed_open(st, self, call, FORM_EVENT)) {
    caw_free(st);
    return CAW_ENOMEM;
  }
  subscribe_to(st, request, end_wrong);
  return CAW_PENDING;
}

/* ---- ReadAll ---- */

static int see_room(look *l) {
  return task_enter(&l->task, l->wishes->room_id);
}

static int read_room(look *l) {
  feed *st = l->errand.stream;
  if (l->task.room.last_number) return feed_read_all(st, l->task.room.id, l->task.room.last_number);
  feed_end(st, CAW_OK, NULL, NULL);
  return 0;
}

static void begin_all(feed *st, int64_t room_id) {
  look *l = new_look(st, rule_of(caw_call_method(st->call)), end_wrong);
  if (!l) {
    no_memory(st);
    return;
  }
  l->see = see_room;
  l->then = read_room;
  l->wishes = caw_arena_calloc(l->task.arena, 1, sizeof(*l->wishes));
  if (l->wishes) l->wishes->room_id = room_id;
  begin_look(l, st, l->wishes ? 0 : CAW_ENOMEM);
}

static int read_all(caw_call *call, const void *request, void *reply, const void *impl,
                    void *self) {
  const chat_v1_read_all_request *q = request;
  feed *st = caw_calloc(1, sizeof(*st));
  (void)reply;
  (void)impl;
  if (!st) return CAW_ENOMEM;
  if (feed_open(st, self, call, FORM_ALL)) {
    caw_free(st);
    return CAW_ENOMEM;
  }
  begin_all(st, q->room_id);
  return CAW_PENDING;
}

int subscribe_add(caw_server *server, chatd *app) {
  static const caw_handler handlers[] = {
      {.method = &chat_v1_chat_service_subscribe_method, .message = subscribe},
      {.method = &chat_v1_chat_service_read_all_method, .message = read_all},
  };
  return caw_server_add(server, handlers, 2, NULL, app);
}
