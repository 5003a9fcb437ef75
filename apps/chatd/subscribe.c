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

/* A look at the store on behalf of a stream; its result goes to the stream's loop. */
typedef struct look {
  desk_job job;
  task task;
  feed *stream; /* a reference */
  subscribe_wrong *wrong;
  int rc;
  bool all;
  int64_t heartbeat;
  size_t n, more; /* wishes of the request; and those of all other rooms */
  wish *wishes;
} look;

static void look_free(look *l) {
  feed_unref(l->stream);
  caw_arena_free(l->task.arena);
  caw_free(l);
}

/* ---- On a reader ---- */

/* The session may have ended after the door was passed and before the stream was known to
 * those who end streams. */
static int still_there(task *t) {
  store_session session;
  int rc = store_session_get(t->store, t->who->session_id, &session, t->arena);
  if (rc != STORE_NONE) return rc;
  return task_fail(t, CAW_UNAUTHENTICATED, "SESSION_ENDED", "your session has ended: log in again");
}

static int look_at(look *l, const wish *w) {
  task *t = &l->task;
  int rc = task_enter(t, w->room_id);
  if (rc) return rc;
  if (!t->room_role)
    return task_fail(t, CAW_PERMISSION_DENIED, "NOT_MEMBER", "you are not in room %lld: join it",
                     (long long)w->room_id);
  if (w->number < -1) return task_wrong(t, "rooms.after_number", "is below -1");
  if (w->number <= t->room.last_number) return 0;
  return task_fail(t, CAW_OUT_OF_RANGE, NULL,
                   "after_number is %lld, but the newest message of room %lld is %lld",
                   (long long)w->number, (long long)w->room_id, (long long)t->room.last_number);
}

static bool wished(const look *l, int64_t room_id) {
  for (size_t i = 0; i < l->n; i++)
    if (l->wishes[i].room_id == room_id) return true;
  return false;
}

static int look_at_all(look *l) {
  task *t = &l->task;
  store_room *rooms;
  store_member *members;
  size_t n;
  int rc = store_rooms_of(t->store, t->who->user_id, 0, MOST_ROOMS, &rooms, &members, &n, t->arena);
  if (rc) return rc;
  wish *wishes = caw_arena_calloc(t->arena, l->n + n, sizeof(*wishes));
  if (!wishes) return CAW_ENOMEM;
  if (l->n) memcpy(wishes, l->wishes, l->n * sizeof(*wishes));
  l->wishes = wishes;
  for (size_t i = 0; i < n; i++)
    if (!wished(l, rooms[i].id))
      wishes[l->n + l->more++] = (wish){rooms[i].id, rooms[i].last_number};
  return 0;
}

static int look_work(desk_job *job, store *s) {
  look *l = (look *)job;
  task_begin(&l->task, s);
  int rc = still_there(&l->task);
  for (size_t i = 0; !rc && i < l->n; i++) rc = look_at(l, &l->wishes[i]);
  if (!rc && l->all) rc = look_at_all(l);
  if (rc) l->task.failure.code = task_explain(&l->task, rc);
  return rc;
}

/* ---- On the loop ---- */

static int follow_all(look *l) {
  feed *st = l->stream;
  int rc = 0;
  if (l->all) st->all = true;
  for (size_t i = 0; !rc && i < l->n + l->more; i++)
    rc = feed_follow(st, l->wishes[i].room_id, l->wishes[i].number);
  if (l->heartbeat) feed_heartbeat(st, (uint64_t)l->heartbeat * 1000);
  return rc;
}

static void looked(void *arg) {
  look *l = arg;
  feed *st = l->stream;
  if (st->over) {
    look_free(l);
    return;
  }
  if (l->rc) l->wrong(st, &l->task, l->task.failure.code);
  else if (follow_all(l))
    feed_end(st, CAW_RESOURCE_EXHAUSTED, NULL, "the server is out of memory; try again");
  look_free(l);
}

/* Without memory for the post the stream would wait for ever: it ends here, which any
 * thread may do. */
static void look_done(desk_job *job, int rc) {
  look *l = (look *)job;
  l->rc = rc;
  if (!caw_loop_post(l->stream->shard->loop, looked, l)) return;
  caw_call_finish(l->stream->call, CAW_RESOURCE_EXHAUSTED, "the server is out of memory");
  look_free(l);
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

int subscribe_to(feed *st, const chat_v1_subscribe_request *request, subscribe_wrong *wrong) {
  look *l = caw_calloc(1, sizeof(*l));
  if (!l) return CAW_ENOMEM;
  l->job.work = look_work;
  l->job.done = look_done;
  l->stream = feed_ref(st);
  l->wrong = wrong;
  l->task = (task){.app = st->app, .who = &st->who, .rule = &subscribe_rule};
  l->task.arena = caw_arena_new(0);
  int rc = CAW_ENOMEM;
  if (l->task.arena) {
    task_begin(&l->task, NULL);
    rc = read_wishes(l, request);
  }
  if (!rc) rc = desk_read(st->app->desk, &l->job);
  if (!rc) return 0;
  l->task.failure.code = task_explain(&l->task, rc);
  wrong(st, &l->task, l->task.failure.code);
  look_free(l);
  return rc;
}

static void end_wrong(feed *st, task *t, int code) {
  if (st->over) return;
  st->over = true;
  caw_details_fail(st->call, &t->failure);
  caw_call_finish(st->call, code, t->failure.message.data);
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

typedef struct all {
  desk_job job;
  task task;
  feed *stream;
  int64_t room_id;
  int rc;
} all;

static void all_free(all *a) {
  feed_unref(a->stream);
  caw_arena_free(a->task.arena);
  caw_free(a);
}

static int all_work(desk_job *job, store *s) {
  all *a = (all *)job;
  task_begin(&a->task, s);
  int rc = still_there(&a->task);
  if (!rc) rc = task_enter(&a->task, a->room_id);
  if (rc) a->task.failure.code = task_explain(&a->task, rc);
  return rc;
}

static void all_looked(void *arg) {
  all *a = arg;
  feed *st = a->stream;
  if (st->over) {
    all_free(a);
    return;
  }
  if (a->rc) end_wrong(st, &a->task, a->task.failure.code);
  else if (!a->task.room.last_number) feed_end(st, CAW_OK, NULL, NULL);
  else if (feed_read_all(st, a->room_id, a->task.room.last_number))
    feed_end(st, CAW_RESOURCE_EXHAUSTED, NULL, "the server is out of memory; try again");
  all_free(a);
}

static void all_done(desk_job *job, int rc) {
  all *a = (all *)job;
  a->rc = rc;
  if (!caw_loop_post(a->stream->shard->loop, all_looked, a)) return;
  caw_call_finish(a->stream->call, CAW_RESOURCE_EXHAUSTED, "the server is out of memory");
  all_free(a);
}

static int begin_all(feed *st, int64_t room_id) {
  all *a = caw_calloc(1, sizeof(*a));
  if (!a) return CAW_ENOMEM;
  a->job.work = all_work;
  a->job.done = all_done;
  a->stream = feed_ref(st);
  a->room_id = room_id;
  a->task = (task){.app = st->app, .who = &st->who, .rule = rule_of(caw_call_method(st->call))};
  a->task.arena = caw_arena_new(0);
  int rc = a->task.arena ? desk_read(st->app->desk, &a->job) : CAW_ENOMEM;
  if (rc) all_free(a);
  return rc;
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
  if (begin_all(st, q->room_id))
    feed_end(st, CAW_UNAVAILABLE, "BUSY", "the server has too much to do; try again");
  return CAW_PENDING;
}

int subscribe_add(caw_server *server, chatd *app) {
  static const caw_handler handlers[] = {
      {.method = &chat_v1_chat_service_subscribe_method, .message = subscribe},
      {.method = &chat_v1_chat_service_read_all_method, .message = read_all},
  };
  return caw_server_add(server, handlers, 2, NULL, app);
}
