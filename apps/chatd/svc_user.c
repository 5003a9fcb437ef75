/* UserService, but for CreateUser, which makes a password (svc_auth.c). */
#include "convert.h"
#include "methods.h"
#include "profile.h"
#include "words.h"

#include <caw/status.h>

#define PREFIX_MOST 100

static int no_user(task *t) {
  return task_fail(t, CAW_NOT_FOUND, "NO_USER", "there is no such user");
}

static int reply_user(task *t, const store_user *user, chat_v1_user **out) {
  *out = new_user(user, t->arena);
  return *out ? 0 : CAW_ENOMEM;
}

/* Guests find nobody. They know those who are in a room with them, by number. */
static int may_see(task *t, int64_t user_id) {
  store_room *rooms;
  store_member *mine, other;
  size_t n;
  if (t->who->role >= CHAT_V1_ROLE_MEMBER || user_id == t->who->user_id) return 0;
  int rc = store_rooms_of(t->store, t->who->user_id, 0, SIZE_MAX >> 1, &rooms, &mine, &n, t->arena);
  for (size_t i = 0; !rc && i < n; i++) {
    rc = store_member_get(t->store, rooms[i].id, user_id, &other);
    if (!rc) return 0;
    if (rc == STORE_NONE) rc = 0;
  }
  return rc ? rc : STORE_NONE;
}

int work_get_user(task *t, const void *request, void *reply) {
  const chat_v1_get_user_request *q = request;
  chat_v1_get_user_response *r = reply;
  store_user user;
  int rc;
  switch (q->who_case) {
  case CHAT_V1_GET_USER_REQUEST_WHO_CASE_USER_ID:
    rc = store_user_get(t->store, q->who.user_id, &user, t->arena);
    /* A tombstone says nothing but that somebody was there. */
    if (!rc && user.state != CHAT_V1_USER_STATE_DELETED) rc = may_see(t, user.id);
    break;
  case CHAT_V1_GET_USER_REQUEST_WHO_CASE_HANDLE:
    rc = t->who->role < CHAT_V1_ROLE_MEMBER
             ? STORE_NONE
             : store_user_by_handle(t->store, q->who.handle, &user, t->arena);
    break;
  case CHAT_V1_GET_USER_REQUEST_WHO_CASE_NOT_SET:
  default:
    return task_wrong(t, "who", "is missing: give user_id or handle");
  }
  if (rc == STORE_NONE) return no_user(t);
  return rc ? rc : reply_user(t, &user, &r->user);
}

int work_get_me(task *t, const void *request, void *reply) {
  chat_v1_get_me_response *r = reply;
  store_user user;
  (void)request;
  int rc = store_user_get(t->store, t->who->user_id, &user, t->arena);
  return rc ? rc : reply_user(t, &user, &r->user);
}

/* ---- Lists ---- */

static int reply_users(task *t, const store_user *users, size_t n, size_t most,
                       chat_v1_user **items, size_t *len, caw_str *next) {
  const bool more = n > most;
  if (more) n = most;
  *items = caw_arena_calloc(t->arena, n, sizeof(**items));
  if (!*items) return CAW_ENOMEM;
  for (*len = 0; *len < n; (*len)++)
    if (!to_user(*items + *len, &users[*len], t->arena)) return CAW_ENOMEM;
  if (!more) return 0;
  *next = task_token_id(t, users[n - 1].id);
  return next->data ? 0 : CAW_ENOMEM;
}

int work_list_users(task *t, const void *request, void *reply) {
  const chat_v1_list_users_request *q = request;
  chat_v1_list_users_response *r = reply;
  size_t most, n;
  int64_t after;
  store_user *users;
  int rc = task_page_id(t, q->page_size, q->page_token, &most, &after);
  if (!rc) rc = store_users(t->store, caw_str_of(NULL, 0), after, most + 1, &users, &n, t->arena);
  return rc ? rc
            : reply_users(t, users, n, most, &r->users.items, &r->users.len, &r->next_page_token);
}

int work_search_users(task *t, const void *request, void *reply) {
  const chat_v1_search_users_request *q = request;
  chat_v1_search_users_response *r = reply;
  size_t most, n;
  int64_t after;
  store_user *users;
  task_check(t, "prefix", words_text(q->prefix, PREFIX_MOST, false, true, t->arena));
  int rc = task_page_id(t, q->page_size, q->page_token, &most, &after);
  if (rc || (rc = task_checked(t))) return rc;
  caw_str prefix = words_folded(q->prefix, t->arena);
  if (!prefix.data) return CAW_ENOMEM;
  rc = store_users(t->store, prefix, after, most + 1, &users, &n, t->arena);
  return rc ? rc
            : reply_users(t, users, n, most, &r->users.items, &r->users.len, &r->next_page_token);
}

/* ---- Changing ---- */

/* May the caller manage this user: change the role or state, delete? Admins those below
 * them, owners everybody. */
static bool manages(const task *t, const store_user *user) {
  if (t->who->role >= CHAT_V1_ROLE_OWNER) return true;
  return t->who->role >= CHAT_V1_ROLE_ADMIN && user->role < CHAT_V1_ROLE_ADMIN;
}

/* An owner who is about to be one no more: is there another? */
static int not_the_last(task *t, const store_user *user) {
  int64_t owners = 0;
  if (user->role != CHAT_V1_ROLE_OWNER || user->state != CHAT_V1_USER_STATE_ACTIVE) return 0;
  int rc = store_users_with_role(t->store, CHAT_V1_ROLE_OWNER, &owners);
  if (rc || owners > 1) return rc;
  return task_fail(t, CAW_FAILED_PRECONDITION, "LAST_OWNER",
                   "the server's last owner stays one: make another first");
}

static int put_role(task *t, store_user *user, int role) {
  if (role < CHAT_V1_ROLE_GUEST || role > CHAT_V1_ROLE_OWNER)
    return task_wrong(t, "user.role", "is none that can be given");
  if (role >= CHAT_V1_ROLE_ADMIN && t->who->role < CHAT_V1_ROLE_OWNER)
    return task_fail(t, CAW_PERMISSION_DENIED, "ROLE", "only an owner may make admins and owners");
  int rc = role < user->role ? not_the_last(t, user) : 0;
  if (!rc && role != user->role && !task_effect(t, EFFECT_ROLE, 0, user->id, role)) rc = CAW_ENOMEM;
  user->role = role;
  return rc;
}

static int put_state(task *t, store_user *user, int state) {
  if (state != CHAT_V1_USER_STATE_ACTIVE && state != CHAT_V1_USER_STATE_SUSPENDED)
    return task_wrong(t, "user.state", "must be ACTIVE or SUSPENDED");
  int rc = state == CHAT_V1_USER_STATE_SUSPENDED ? not_the_last(t, user) : 0;
  user->state = state;
  return rc;
}

static int put_managed(task *t, store_user *user, const chat_v1_user *new, bool role) {
  if (!manages(t, user))
    return task_fail(t, CAW_PERMISSION_DENIED, "ROLE", "you may not change this user's %s",
                     role ? "role" : "state");
  return role ? put_role(t, user, new->role) : put_state(t, user, new->state);
}

static int put_field(task *t, caw_str path, store_user *user, const chat_v1_user *new) {
  bool fine = true;
  if (caw_str_is(path, "display_name"))
    fine = profile_display_name(t, "user.display_name", new->display_name, user->handle,
                                &user->display_name);
  else if (caw_str_is(path, "status_text"))
    fine = profile_status(t, "user.status_text", new->status_text, &user->status_text);
  else if (caw_str_is(path, "bio")) fine = profile_bio(t, "user.bio", new->bio, &user->bio);
  else if (caw_str_is(path, "avatar_url"))
    fine = profile_avatar(t, "user.avatar_url", new->avatar_url, &user->avatar_url);
  else if (caw_str_is(path, "role")) return put_managed(t, user, new, true);
  else if (caw_str_is(path, "state")) return put_managed(t, user, new, false);
  else task_check(t, "update_mask", "has a path that is no field of User which can be changed");
  return fine ? 0 : CAW_ENOMEM;
}

/* A profile is told once to each room that its owner is in. */
static int tell_profile(task *t, chat_v1_user *user) {
  store_room *rooms;
  store_member *members;
  size_t n;
  int rc = store_rooms_of(t->store, user->id, 0, SIZE_MAX >> 1, &rooms, &members, &n, t->arena);
  for (size_t i = 0; !rc && i < n; i++) {
    chat_v1_event *event = task_tell(t, rooms[i].id);
    if (!event) return CAW_ENOMEM;
    event->what_case = CHAT_V1_EVENT_WHAT_CASE_USER;
    event->what.user = user;
  }
  return rc;
}

int work_update_user(task *t, const void *request, void *reply) {
  const chat_v1_update_user_request *q = request;
  chat_v1_update_user_response *r = reply;
  store_user user;
  if (!q->user) return task_wrong(t, "user", "is missing");
  int64_t id = q->user->id ? q->user->id : t->who->user_id;
  int rc = task_mask(t, q->update_mask);
  if (!rc) rc = store_user_get(t->store, id, &user, t->arena);
  if (rc == STORE_NONE || (!rc && user.state == CHAT_V1_USER_STATE_DELETED)) return no_user(t);
  if (rc) return rc;
  if (id != t->who->user_id && !manages(t, &user))
    return task_fail(t, CAW_PERMISSION_DENIED, "ROLE", "you may change your own profile only");
  for (size_t i = 0; !rc && i < q->update_mask->paths.len; i++)
    rc = put_field(t, q->update_mask->paths.items[i], &user, q->user);
  if (!rc) rc = task_checked(t);
  user.updated = t->now;
  if (!rc) rc = profile_search(t, &user);
  if (!rc) rc = store_user_put(t->store, &user);
  if (!rc && user.state == CHAT_V1_USER_STATE_SUSPENDED)
    rc = task_end_sessions(t, user.id, 0, 0, NULL);
  if (!rc) rc = reply_user(t, &user, &r->user);
  return rc ? rc : tell_profile(t, r->user);
}

/* ---- Deleting ---- */

/* A room whose last owner goes has another one: or nobody could manage it any more. */
static int leave_room(task *t, const store_member *member) {
  store_member heir;
  int64_t owners = 0;
  int rc = task_tell_member(t, member->room_id, member->user_id, 0);
  if (rc || member->role != CHAT_V1_ROOM_ROLE_OWNER) return rc;
  rc = store_members_with_role(t->store, member->room_id, CHAT_V1_ROOM_ROLE_OWNER, &owners);
  if (rc || owners > 1) return rc;
  rc = store_member_heir(t->store, member->room_id, member->user_id, &heir);
  if (rc) return rc == STORE_NONE ? 0 : rc;
  heir.role = CHAT_V1_ROOM_ROLE_OWNER;
  rc = store_member_put(t->store, &heir);
  return rc ? rc : task_tell_member(t, heir.room_id, heir.user_id, heir.role);
}

static int tell_gone(task *t, int64_t user_id) {
  store_room *rooms;
  store_member *members;
  size_t n;
  int rc = store_rooms_of(t->store, user_id, 0, SIZE_MAX >> 1, &rooms, &members, &n, t->arena);
  for (size_t i = 0; !rc && i < n; i++) rc = leave_room(t, &members[i]);
  if (!rc && !task_effect(t, EFFECT_ENDED, 0, user_id, 0)) rc = CAW_ENOMEM;
  return rc;
}

int work_delete_user(task *t, const void *request, void *reply) {
  const chat_v1_delete_user_request *q = request;
  store_user user;
  (void)reply;
  int rc = store_user_get(t->store, q->user_id, &user, t->arena);
  if (rc == STORE_NONE) return no_user(t);
  if (rc) return rc;
  bool own = user.id == t->who->user_id;
  if (!own && !manages(t, &user))
    return task_fail(t, CAW_PERMISSION_DENIED, "ROLE", "you may delete your own account only");
  if (user.state == CHAT_V1_USER_STATE_DELETED) return 0;
  rc = not_the_last(t, &user);
  if (!rc) rc = tell_gone(t, user.id);
  return rc ? rc : store_user_erase(t->store, user.id, t->now);
}
