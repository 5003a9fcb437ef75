/* The walk of retention.h: one job, queued again after each of its steps. */
#include "retention.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <stdatomic.h>
#include <string.h>

#define STEP  200
#define ROOMS 16 /* looked at in a step */
#define ONCE  ((int64_t)7 * 24 * 3600 * 1000000)

/* What a step has come to. It counts once the step is durable, and may be done again before. */
typedef struct step {
  bool expires;   /* there is more that has expired */
  bool over;      /* all rooms were looked at */
  int64_t behind; /* rooms up to this one are done */
  int64_t at;     /* the one looked at last */
  uint64_t forgotten;
  size_t n;
  struct {
    int64_t room_id, first;
  } forgot[ROOMS];
} step;

struct retention {
  desk_job job;
  desk *desk;
  retention_options options;
  atomic_bool walks;
  int64_t now;
  bool expires;   /* expired things come first */
  int64_t behind; /* stays when a walk is cut short */
  uint64_t forgotten;
  step next;
};

static retention *of(desk_job *job) {
  return (retention *)job;
}

/* The newest number that a room need not keep. */
static int last_to_go(const retention *r, store *s, const store_room *room, int64_t *number) {
  int64_t too_many = room->max_messages ? room->last_number - room->max_messages : 0, old = 0;
  int rc = room->max_age ? store_older_than(s, room->id, r->now - room->max_age, &old) : 0;
  *number = old > too_many ? old : too_many;
  return rc;
}

/* Takes from `most` what it forgets. */
static int forget(retention *r, store *s, const store_room *room, size_t *most, bool *left) {
  int64_t number;
  *left = false;
  int rc = last_to_go(r, s, room, &number);
  if (rc || number < room->first_number) return rc;
  rc = store_forget(s, room->id, number, *most, left);
  if (rc) return rc;
  size_t gone = *left ? *most : (size_t)(number - room->first_number + 1);
  r->next.forgot[r->next.n].room_id = room->id;
  r->next.forgot[r->next.n++].first = room->first_number + (int64_t)gone;
  r->next.forgotten += gone;
  *most -= gone;
  return 0;
}

static int forget_in_rooms(retention *r, store *s, caw_arena *arena) {
  store_room *rooms;
  size_t n, most = r->options.step;
  bool left = false;
  int rc = store_rooms_limited(s, r->behind, ROOMS, &rooms, &n, arena);
  r->next.over = n < ROOMS;
  for (size_t i = 0; !rc && i < n; i++) {
    if (!most || left) {
      r->next.over = false;
      break;
    }
    r->next.at = rooms[i].id;
    rc = forget(r, s, &rooms[i], &most, &left);
    if (left) r->next.over = false;
    else r->next.behind = rooms[i].id;
  }
  return rc;
}

static int work(desk_job *job, store *s) {
  retention *r = of(job);
  r->next = (step){.behind = r->behind};
  if (r->expires)
    return store_sweep(s, r->now, r->now - r->options.once, r->options.step, &r->next.expires);
  caw_arena *arena = caw_arena_new(0);
  int rc = arena ? forget_in_rooms(r, s, arena) : CAW_ENOMEM;
  caw_arena_free(arena);
  return rc;
}

static void end(retention *r, int rc) {
  uint64_t forgotten = r->forgotten;
  atomic_store(&r->walks, false);
  if (r->options.ended) r->options.ended(rc, forgotten, r->options.user);
}

static void done(desk_job *job, int rc) {
  retention *r = of(job);
  const step *s = &r->next;
  if (rc) {
    if (rc == STORE_DAMAGED && s->at) r->behind = s->at; /* the others shall not suffer */
    end(r, rc);
    return;
  }
  for (size_t i = 0; r->options.forgot && i < s->n; i++)
    r->options.forgot(s->forgot[i].room_id, s->forgot[i].first, r->options.user);
  bool over = !r->expires && s->over;
  r->expires = r->expires && s->expires;
  r->behind = over ? 0 : s->behind;
  r->forgotten += s->forgotten;
  rc = over ? 0 : desk_write(r->desk, job);
  if (over || rc) end(r, rc);
}

int retention_new(retention **out, desk *d, const retention_options *options) {
  retention *r = caw_malloc(sizeof(*r));
  if (!r) return CAW_ENOMEM;
  memset(r, 0, sizeof(*r));
  r->job = (desk_job){.work = work, .done = done};
  r->desk = d;
  r->options = *options;
  if (!r->options.step) r->options.step = STEP;
  if (!r->options.once) r->options.once = ONCE;
  atomic_init(&r->walks, false);
  *out = r;
  return 0;
}

int retention_walk(retention *r, int64_t now) {
  if (atomic_exchange(&r->walks, true)) return CAW_EAGAIN;
  r->now = now;
  r->expires = true;
  r->forgotten = 0;
  int rc = desk_write(r->desk, &r->job);
  if (rc) atomic_store(&r->walks, false);
  return rc;
}

void retention_free(retention *r) {
  caw_free(r);
}
