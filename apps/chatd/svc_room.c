/* RoomService: rooms. Who is in them: svc_member.c. */
#include "convert.h"
#include "methods.h"
#include "words.h"

#include <caw/status.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_MOST      80
#define TOPIC_MOST     500
#define SLOW_MOST      ((int64_t)3600 * 1000000)
#define MENTIONS_AMONG 1000
#define MOST_VIEWS     100 /* in a page: what is unread is looked at in each */

/* ---- What a member sees ---- */

static int count_unread(task *t, chat_v1_room_view *view) {
  store_user me;
  int64_t own = 0, mentions = 0, from = t->member.read_number;
  if (from < t->room.first_number - 1) from = t->room.first_number - 1;
  view->read_number = t->member.read_number;
  view->unread_count = t->room.last_number > from ? t->room.last_number - from : 0;
  if (!view->unread_count) return 0;
  int rc = store_user_get(t->store, t->who->user_id, &me, t->arena);
  if (!rc) rc = store_unread(t->store, t->room.id, from, &me, MENTIONS_AMONG, &own, &mentions);
  view->unread_count -= own;
  view->mention_count = (int32_t)mentions;
  return rc;
}

static int find_other(task *t, chat_v1_room_view *view) {
  store_member *members;
  store_user other;
  size_t n;
  int rc = store_members(t->store, t->room.id, 0, 2, &members, &n, t->arena);
  if (rc || !n) return rc;
  size_t i = members[0].user_id == t->who->user_id ? 1 : 0;
  if (i == n) return 0; /* the other one has deleted their account */
  rc = store_user_get(t->store, members[i].user_id, &other, t->arena);
  if (rc) return rc;
  view->other = new_user(&other, t->arena);
  return view->other ? 0 : CAW_ENOMEM;
}

static int fill_view(task *t, chat_v1_room_view *view) {
  *view = (chat_v1_room_view){.role = t->member.role, .room = new_room(&t->room, t->arena)};
  if (!view->room) return CAW_ENOMEM;
  int rc = t->member.role ? count_unread(t, view) : 0;
  if (!rc && t->room.kind == CHAT_V1_ROOM_KIND_DIRECT) rc = find_other(t, view);
  return rc;
}

chat_v1_room_view *room_view(task *t, int *rc) {
  chat_v1_room_view *view = caw_arena_alloc(t->arena, sizeof(*view));
  *rc = view ? fill_view(t, view) : CAW_ENOMEM;
  return *rc ? NULL : view;
}

/* ---- Fields ---- */

static int put_name(task *t, store_room *room, caw_str name) {
  const char *why = words_text(name, NAME_MOST, false, true, t->arena);
  task_check(t, "room.name", why);
  if (why) return 0;
  room->name = words_normal(name, t->arena);
  room->folded = words_folded(name, t->arena);
  if (!room->name.data || !room->folded.data) return CAW_ENOMEM;
  if (!room->folded.len) task_check(t, "room.name", "has nothing to be seen in it");
  return 0;
}

static int put_topic(task *t, store_room *room, caw_str topic) {
  const char *why = words_text(topic, TOPIC_MOST, true, false, t->arena);
  task_check(t, "room.topic", why);
  if (why) return 0;
  room->topic = words_normal(topic, t->arena);
  return room->topic.data ? 0 : CAW_ENOMEM;
}

static void put_visibility(task *t, store_room *room, int visibility) {
  if (visibility != CHAT_V1_VISIBILITY_PUBLIC && visibility != CHAT_V1_VISIBILITY_PRIVATE)
    task_check(t, "room.visibility", "must be PUBLIC or PRIVATE");
  room->visibility = visibility;
}

static void put_slow_mode(task *t, store_room *room, const google_protobuf_duration *slow) {
  room->slow_mode = from_duration(slow);
  if (room->slow_mode < 0 || room->slow_mode > SLOW_MOST)
    task_check(t, "room.slow_mode", "must be between 0 and an hour");
}

static void put_retention(task *t, store_room *room, const chat_v1_retention *retention) {
  room->max_age = retention ? from_duration(retention->max_age) : 0;
  room->max_messages = retention ? retention->max_messages : 0;
  if (room->max_age < 0 || (room->max_age && room->max_age < 60 * (int64_t)1000000))
    task_check(t, "room.retention.max_age", "must be at least a minute; 0 is for ever");
  if (room->max_messages < 0) task_check(t, "room.retention.max_messages", "is negative");
}

static int name_taken(task *t) {
  return task_fail(t, CAW_ALREADY_EXISTS, "ROOM_NAME_TAKEN",
                   "another public room has this name; case does not matter");
}

/* ---- Making ---- */

static int join_as(task *t, int role) {
  t->member = (store_member){.room_id = t->room.id,
                             .user_id = t->who->user_id,
                             .role = role,
                             .joined = t->now,
                             .read_number = t->room.last_number};
  t->room.members++;
  int rc = store_member_put(t->store, &t->member);
  if (!rc && !task_effect(t, EFFECT_JOINED, t->room.id, t->who->user_id, t->room.last_number))
    rc = CAW_ENOMEM;
  return rc;
}

static int make_room(task *t, const chat_v1_room *new) {
  store_room *room = &t->room;
  *room = (store_room){.kind = CHAT_V1_ROOM_KIND_GROUP,
                       .creator_id = t->who->user_id,
                       .created = t->now};
  int rc = put_name(t, room, new->name);
  if (!rc) rc = put_topic(t, room, new->topic);
  put_visibility(t, room, new->visibility ? new->visibility : CHAT_V1_VISIBILITY_PUBLIC);
  put_slow_mode(t, room, new->slow_mode);
  put_retention(t, room, new->retention);
  return rc ? rc : task_checked(t);
}

static int reply_room(task *t, chat_v1_room **out) {
  *out = new_room(&t->room, t->arena);
  return *out ? 0 : CAW_ENOMEM;
}

int work_create_room(task *t, const void *request, void *reply) {
  const chat_v1_create_room_request *q = request;
  chat_v1_create_room_response *r = reply;
  bool before;
  int64_t id = 0;
  if (!q->room) return task_wrong(t, "room", "is missing");
  int rc = make_room(t, q->room);
  store_room room = t->room;
  if (!rc) rc = task_once(t, q->request_id, &chat_v1_create_room_request_type, q, &before, &id);
  if (rc) return rc;
  if (before) {
    rc = task_enter(t, id); /* the caller may have left it since */
    return rc ? rc : reply_room(t, &r->room);
  }
  t->room = room;
  rc = store_room_add(t->store, &t->room);
  if (rc == STORE_TAKEN) return name_taken(t);
  if (!rc) rc = task_once_made(t, q->request_id, t->room.id);
  if (!rc) rc = join_as(t, CHAT_V1_ROOM_ROLE_OWNER);
  return rc ? rc : reply_room(t, &r->room);
}

static int make_direct(task *t, int64_t with) {
  t->room = (store_room){.kind = CHAT_V1_ROOM_KIND_DIRECT,
                         .visibility = CHAT_V1_VISIBILITY_PRIVATE,
                         .creator_id = t->who->user_id,
                         .created = t->now};
  int rc = store_direct_add(t->store, t->who->user_id, with, &t->room);
  if (!rc) rc = join_as(t, CHAT_V1_ROOM_ROLE_MEMBER);
  if (rc || with == t->who->user_id) return rc;
  const store_member other = {
      .room_id = t->room.id, .user_id = with, .role = CHAT_V1_ROOM_ROLE_MEMBER, .joined = t->now};
  rc = store_member_put(t->store, &other);
  t->room.members++;
  if (!rc && !task_effect(t, EFFECT_JOINED, t->room.id, with, 0)) rc = CAW_ENOMEM;
  return rc;
}

int work_open_direct(task *t, const void *request, void *reply) {
  const chat_v1_open_direct_request *q = request;
  chat_v1_open_direct_response *r = reply;
  store_user other;
  int rc = store_user_get(t->store, q->user_id, &other, t->arena);
  if (rc && rc != STORE_NONE) return rc;
  if (rc || other.state == CHAT_V1_USER_STATE_DELETED)
    return task_fail(t, CAW_NOT_FOUND, "NO_USER", "there is no such user");
  if (other.id == t->who->user_id)
    return task_wrong(t, "user_id", "is yourself: a direct room is of two");
  rc = store_direct_get(t->store, t->who->user_id, other.id, &t->room, t->arena);
  if (rc == STORE_NONE) rc = make_direct(t, other.id);
  else if (!rc) rc = store_member_get(t->store, t->room.id, t->who->user_id, &t->member);
  if (!rc) r->view = room_view(t, &rc);
  return rc;
}

/* ---- Finding ---- */

/* No room has a name that is much longer than names may be. */
static int room_named(task *t, caw_str name, store_room *out) {
  if (name.len > (size_t)4 * NAME_MOST) return STORE_NONE;
  caw_str folded = words_folded(name, t->arena);
  return folded.data ? store_room_by_name(t->store, folded, t->who->user_id, out, t->arena)
                     : CAW_ENOMEM;
}

int work_get_room(task *t, const void *request, void *reply) {
  const chat_v1_get_room_request *q = request;
  chat_v1_get_room_response *r = reply;
  int64_t id = q->which.room_id;
  int rc;
  if (q->which_case == CHAT_V1_GET_ROOM_REQUEST_WHICH_CASE_NAME) {
    store_room found;
    rc = room_named(t, q->which.name, &found);
    if (rc == STORE_NONE)
      return task_fail(t, CAW_NOT_FOUND, "NO_ROOM", "there is no room of this name");
    if (rc) return rc;
    id = found.id;
  } else if (q->which_case != CHAT_V1_GET_ROOM_REQUEST_WHICH_CASE_ROOM_ID) {
    return task_wrong(t, "which", "is missing: give room_id or name");
  }
  rc = task_enter(t, id);
  if (!rc) r->view = room_view(t, &rc);
  return rc;
}

int work_browse_rooms(task *t, const void *request, void *reply) {
  const chat_v1_browse_rooms_request *q = request;
  chat_v1_browse_rooms_response *r = reply;
  size_t most, n;
  caw_str after;
  store_room *rooms;
  int rc = task_page(t, q->page_size, q->page_token, &most, &after);
  if (!rc) rc = store_rooms_public(t->store, after, most + 1, &rooms, &n, t->arena);
  if (rc) return rc;
  if (n > most) {
    caw_str folded = words_folded(rooms[most - 1].name, t->arena);
    n = most;
    if (folded.data) r->next_page_token = task_token(t, folded);
    if (!r->next_page_token.data) return CAW_ENOMEM;
  }
  r->rooms.items = caw_arena_calloc(t->arena, n, sizeof(*r->rooms.items));
  if (!r->rooms.items) return CAW_ENOMEM;
  for (; r->rooms.len < n; r->rooms.len++)
    if (!to_room(&r->rooms.items[r->rooms.len], &rooms[r->rooms.len], t->arena)) return CAW_ENOMEM;
  return 0;
}

/* ---- Mine: the room with the newest message first ---- */

typedef struct mine {
  store_room room;
  store_member member;
} mine;

/* When something happened last: rooms without a message stand where they were made. */
static int64_t stirred(const store_room *room) {
  return room->last_sent > room->created ? room->last_sent : room->created;
}

static int newest_first(const void *a, const void *b) {
  const mine *x = a, *y = b;
  int64_t when = stirred(&y->room) - stirred(&x->room);
  if (!when) when = x->room.id - y->room.id;
  return when < 0 ? -1 : when > 0;
}

static int all_mine(task *t, mine **out, size_t *n) {
  store_room *rooms;
  store_member *members;
  int rc =
      store_rooms_of(t->store, t->who->user_id, 0, SIZE_MAX >> 1, &rooms, &members, n, t->arena);
  *out = rc ? NULL : caw_arena_calloc(t->arena, *n, sizeof(**out));
  if (rc || !*out) return rc ? rc : CAW_ENOMEM;
  for (size_t i = 0; i < *n; i++) (*out)[i] = (mine){rooms[i], members[i]};
  if (*n) qsort(*out, *n, sizeof(**out), newest_first);
  return 0;
}

/* The token of a page is "time room" of the last one before it. */
static int read_place(task *t, caw_str token, mine *place) {
  char text[64] = "";
  long long when, id;
  if (token.len < sizeof(text)) memcpy(text, token.data, token.len);
  if (sscanf(text, "%18lld %18lld", &when, &id) != 2)
    return task_wrong(t, "page_token", "is not one that an answer had");
  place->room = (store_room){.id = id, .last_sent = when};
  return 0;
}

static caw_str place_token(task *t, const mine *last) {
  char text[64];
  int n = snprintf(text, sizeof(text), "%lld %lld", (long long)stirred(&last->room),
                   (long long)last->room.id);
  return task_token(t, caw_str_of(text, (size_t)n));
}

int work_list_rooms(task *t, const void *request, void *reply) {
  const chat_v1_list_rooms_request *q = request;
  chat_v1_list_rooms_response *r = reply;
  size_t most, n, from = 0;
  caw_str after;
  mine *all, place = {0};
  int rc = task_page(t, q->page_size, q->page_token, &most, &after);
  if (most > MOST_VIEWS) most = MOST_VIEWS;
  if (!rc && after.len) rc = read_place(t, after, &place);
  if (!rc) rc = all_mine(t, &all, &n);
  if (rc) return rc;
  while (after.len && from < n && newest_first(&all[from], &place) <= 0) from++;
  if (n - from > most) {
    n = from + most;
    r->next_page_token = place_token(t, &all[n - 1]);
    if (!r->next_page_token.data) return CAW_ENOMEM;
  }
  r->rooms.items = caw_arena_calloc(t->arena, n - from, sizeof(*r->rooms.items));
  if (!r->rooms.items) return CAW_ENOMEM;
  for (size_t i = from; !rc && i < n; i++) {
    t->room = all[i].room;
    t->member = all[i].member;
    rc = fill_view(t, &r->rooms.items[r->rooms.len++]);
  }
  return rc;
}

/* ---- Changing ---- */

/* Moderators the topic and slow mode; owners everything. */
static int put_field(task *t, caw_str path, store_room *room, const chat_v1_room *new) {
  if (caw_str_is(path, "topic")) return put_topic(t, room, new->topic);
  if (caw_str_is(path, "slow_mode")) {
    put_slow_mode(t, room, new->slow_mode);
    return 0;
  }
  bool known = true;
  int rc = 0;
  if (caw_str_is(path, "name")) rc = put_name(t, room, new->name);
  else if (caw_str_is(path, "visibility")) put_visibility(t, room, new->visibility);
  else if (caw_str_is(path, "retention")) put_retention(t, room, new->retention);
  else known = false;
  if (!known) {
    task_check(t, "update_mask", "has a path that is no field of Room which can be changed");
    return 0;
  }
  if (!rc && t->room_role < CHAT_V1_ROOM_ROLE_OWNER)
    rc = task_fail(t, CAW_PERMISSION_DENIED, "ROOM_ROLE",
                   "only an owner of this room may change its %.*s", CAW_STR_ARG(path));
  return rc;
}

int work_update_room(task *t, const void *request, void *reply) {
  const chat_v1_update_room_request *q = request;
  chat_v1_update_room_response *r = reply;
  if (!q->room) return task_wrong(t, "room", "is missing");
  int rc = task_mask(t, q->update_mask);
  if (!rc) rc = task_enter(t, q->room->id);
  if (rc) return rc;
  if (t->room.kind == CHAT_V1_ROOM_KIND_DIRECT)
    return task_fail(t, CAW_FAILED_PRECONDITION, "DIRECT_ROOM", "a direct room stays as it is");
  store_room room = t->room;
  room.folded = words_folded(room.name, t->arena);
  if (!room.folded.data) return CAW_ENOMEM;
  for (size_t i = 0; !rc && i < q->update_mask->paths.len; i++)
    rc = put_field(t, q->update_mask->paths.items[i], &room, q->room);
  if (!rc) rc = task_checked(t);
  if (!rc) rc = store_room_put(t->store, &room);
  if (rc == STORE_TAKEN) return name_taken(t);
  if (rc) return rc;
  t->room = room;
  chat_v1_event *event = task_tell(t, room.id);
  chat_v1_room_changed *changed = caw_arena_calloc(t->arena, 1, sizeof(*changed));
  if (!event || !changed) return CAW_ENOMEM;
  rc = reply_room(t, &r->room);
  changed->room = r->room;
  event->what_case = CHAT_V1_EVENT_WHAT_CASE_ROOM;
  event->what.room = changed;
  return rc;
}
