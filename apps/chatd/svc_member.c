/* RoomService: who is in a room. */
#include "convert.h"
#include "methods.h"
#include "words.h"

#include <caw/status.h>

#define REASON_MOST 500

static int find_user(task *t, int64_t id, store_user *out) {
  int rc = store_user_get(t->store, id, out, t->arena);
  if (rc && rc != STORE_NONE) return rc;
  if (rc || out->state == CHAT_V1_USER_STATE_DELETED)
    return task_fail(t, CAW_NOT_FOUND, "NO_USER", "there is no such user");
  return 0;
}

static int not_direct(task *t) {
  if (t->room.kind != CHAT_V1_ROOM_KIND_DIRECT) return 0;
  return task_fail(t, CAW_FAILED_PRECONDITION, "DIRECT_ROOM",
                   "a direct room is of its two people, for good");
}

/* Puts somebody in, or changes a role, and tells. */
static int put_member(task *t, const store_member *member, bool is_new) {
  int rc = store_member_put(t->store, member);
  if (!rc && is_new &&
      !task_effect(t, EFFECT_JOINED, member->room_id, member->user_id, t->room.last_number))
    rc = CAW_ENOMEM;
  return rc ? rc : task_tell_member(t, member->room_id, member->user_id, member->role);
}

static int drop_member(task *t, int64_t user_id) {
  int rc = store_member_drop(t->store, t->room.id, user_id);
  return rc ? rc : task_tell_member(t, t->room.id, user_id, 0);
}

/* ---- By oneself ---- */

int work_join_room(task *t, const void *request, void *reply) {
  const chat_v1_join_room_request *q = request;
  chat_v1_join_room_response *r = reply;
  int rc = task_enter(t, q->room_id);
  if (rc) return rc;
  if (!t->member.role) {
    rc = store_ban_get(t->store, t->room.id, t->who->user_id);
    if (!rc) return task_fail(t, CAW_PERMISSION_DENIED, "BANNED", "you are banned from this room");
    if (rc != STORE_NONE) return rc;
    t->member.role = CHAT_V1_ROOM_ROLE_MEMBER;
    t->member.joined = t->now;
    t->member.read_number = t->room.last_number;
    t->room.members++;
    rc = put_member(t, &t->member, true);
  }
  if (!rc) r->view = room_view(t, &rc);
  return rc;
}

/* The last owner stays one: nobody could manage the others, or let them in. */
static int not_the_last(task *t, int64_t role) {
  int64_t owners;
  if (role != CHAT_V1_ROOM_ROLE_OWNER) return 0;
  int rc = store_members_with_role(t->store, t->room.id, CHAT_V1_ROOM_ROLE_OWNER, &owners);
  if (rc || owners > 1) return rc;
  return task_fail(t, CAW_FAILED_PRECONDITION, "LAST_OWNER",
                   "the room's last owner stays one: make another first");
}

int work_leave_room(task *t, const void *request, void *reply) {
  const chat_v1_leave_room_request *q = request;
  (void)reply;
  int rc = task_enter(t, q->room_id);
  if (!rc) rc = not_direct(t);
  if (rc || !t->member.role) return rc;
  if (t->room.members > 1) rc = not_the_last(t, t->member.role);
  return rc ? rc : drop_member(t, t->who->user_id);
}

/* ---- By moderators ---- */

static int reply_member(task *t, const store_member *member, const store_user *user,
                        chat_v1_member **out) {
  *out = caw_arena_calloc(t->arena, 1, sizeof(**out));
  if (!*out) return CAW_ENOMEM;
  (*out)->role = member->role;
  (*out)->user = new_user(user, t->arena);
  (*out)->joined_at = to_time(t->arena, member->joined);
  return (*out)->user && (*out)->joined_at ? 0 : CAW_ENOMEM;
}

static int not_banned(task *t, int64_t user_id) {
  int rc = store_ban_get(t->store, t->room.id, user_id);
  if (rc == STORE_NONE) return 0;
  return rc ? rc
            : task_fail(t, CAW_FAILED_PRECONDITION, "BANNED",
                        "the user is banned from this room: unban them first");
}

int work_add_member(task *t, const void *request, void *reply) {
  const chat_v1_add_member_request *q = request;
  chat_v1_add_member_response *r = reply;
  store_user user;
  store_member member;
  int role = q->role ? q->role : CHAT_V1_ROOM_ROLE_MEMBER;
  if (role != CHAT_V1_ROOM_ROLE_MEMBER && role != CHAT_V1_ROOM_ROLE_READER)
    return task_wrong(t, "role", "must be MEMBER or READER; SetMemberRole gives others");
  int rc = task_enter(t, q->room_id);
  if (!rc) rc = not_direct(t);
  if (!rc) rc = find_user(t, q->user_id, &user);
  if (rc) return rc;
  rc = store_member_get(t->store, t->room.id, user.id, &member);
  if (rc == STORE_NONE) {
    member = (store_member){.room_id = t->room.id,
                            .user_id = user.id,
                            .role = role,
                            .joined = t->now,
                            .read_number = t->room.last_number};
    rc = not_banned(t, user.id);
    if (!rc) rc = put_member(t, &member, true);
  }
  return rc ? rc : reply_member(t, &member, &user, &r->member);
}

/* Nobody sends away somebody of the same or a higher role. */
static int outranks(task *t, const store_member *member) {
  if (member->role < t->room_role) return 0;
  return task_fail(t, CAW_PERMISSION_DENIED, "ROOM_ROLE",
                   "the user's role in this room is not below yours");
}

/* Is the user in the room, below the caller? *there says whether. */
static int find_below(task *t, int64_t user_id, bool *there) {
  store_member member;
  int rc = store_member_get(t->store, t->room.id, user_id, &member);
  *there = !rc;
  return rc == STORE_NONE ? 0 : rc ? rc : outranks(t, &member);
}

int work_remove_member(task *t, const void *request, void *reply) {
  const chat_v1_remove_member_request *q = request;
  bool there;
  (void)reply;
  int rc = task_enter(t, q->room_id);
  if (!rc) rc = not_direct(t);
  if (!rc) rc = find_below(t, q->user_id, &there);
  return rc || !there ? rc : drop_member(t, q->user_id);
}

int work_ban_member(task *t, const void *request, void *reply) {
  const chat_v1_ban_member_request *q = request;
  store_user user;
  bool there;
  (void)reply;
  int rc = task_enter(t, q->room_id);
  task_check(t, "reason", words_text(q->reason, REASON_MOST, true, false, t->arena));
  if (!rc) rc = task_checked(t);
  if (!rc) rc = not_direct(t);
  if (!rc) rc = find_user(t, q->user_id, &user);
  if (!rc && user.id == t->who->user_id) rc = task_wrong(t, "user_id", "is yourself");
  if (!rc) rc = find_below(t, user.id, &there);
  if (!rc) rc = store_ban_put(t->store, t->room.id, user.id, t->who->user_id, q->reason, t->now);
  return rc || !there ? rc : drop_member(t, user.id);
}

int work_unban_member(task *t, const void *request, void *reply) {
  const chat_v1_unban_member_request *q = request;
  (void)reply;
  int rc = task_enter(t, q->room_id);
  if (!rc) rc = store_ban_drop(t->store, t->room.id, q->user_id);
  return rc == STORE_NONE ? 0 : rc;
}

int work_set_member_role(task *t, const void *request, void *reply) {
  const chat_v1_set_member_role_request *q = request;
  chat_v1_set_member_role_response *r = reply;
  store_member member;
  store_user user;
  if (q->role < CHAT_V1_ROOM_ROLE_READER || q->role > CHAT_V1_ROOM_ROLE_OWNER)
    return task_wrong(t, "role", "is none that can be given");
  int rc = task_enter(t, q->room_id);
  if (!rc) rc = not_direct(t);
  if (!rc) rc = find_user(t, q->user_id, &user);
  if (rc) return rc;
  rc = store_member_get(t->store, t->room.id, user.id, &member);
  if (rc == STORE_NONE)
    return task_fail(t, CAW_NOT_FOUND, "NOT_MEMBER", "the user is not in this room");
  if (!rc && q->role < member.role) rc = not_the_last(t, member.role);
  if (rc) return rc;
  if (q->role != member.role) {
    member.role = q->role;
    rc = put_member(t, &member, false);
  }
  return rc ? rc : reply_member(t, &member, &user, &r->member);
}

/* ---- Who is there ---- */

int work_list_members(task *t, const void *request, void *reply) {
  const chat_v1_list_members_request *q = request;
  chat_v1_list_members_response *r = reply;
  store_member *members;
  size_t most, n;
  int64_t after;
  int rc = task_enter(t, q->room_id);
  if (!rc) rc = task_page_id(t, q->page_size, q->page_token, &most, &after);
  if (!rc) rc = store_members(t->store, t->room.id, after, most + 1, &members, &n, t->arena);
  if (rc) return rc;
  if (n > most) {
    n = most;
    r->next_page_token = task_token_id(t, members[n - 1].user_id);
    if (!r->next_page_token.data) return CAW_ENOMEM;
  }
  r->members.items = caw_arena_calloc(t->arena, n, sizeof(*r->members.items));
  if (!r->members.items) return CAW_ENOMEM;
  for (; !rc && r->members.len < n; r->members.len++) {
    const store_member *m = &members[r->members.len];
    chat_v1_member *out = &r->members.items[r->members.len], *made;
    store_user user;
    rc = store_user_get(t->store, m->user_id, &user, t->arena);
    if (!rc) rc = reply_member(t, m, &user, &made);
    if (!rc) *out = *made;
  }
  return rc;
}
