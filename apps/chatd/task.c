/* The tasks of task.h. */
#include "task.h"

#include "chatd.h"
#include "convert.h"
#include "methods.h"
#include "words.h"

#include <sodium.h>
#include <stdio.h>
#include <time.h>

#define DOMAIN    "chat"
#define PAGE      100
#define MOST_PAGE 1000
#define ID_MOST   64 /* bytes of a request_id */
#define WRONG     16 /* things that one answer says are wrong */
#define MASK_MOST 32 /* paths of a field mask: more than any message has that can be changed */

int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void task_begin(task *t, store *s) {
  t->store = s;
  t->now = now_us();
  t->entered = false;
  t->failure = (caw_details_status){0};
  t->wrong = (caw_details_bad_request){0};
  t->effects = NULL;
  t->effects_end = &t->effects;
}

int task_work(task *t, const void *request, void *reply) {
  int rc = t->rule->work(t, request, reply);
  if (!rc && t->rule->room_role && !t->entered)
    return task_fail(t, CAW_INTERNAL, NULL, "a method of a room did not look at its room");
  return rc;
}

/* ---- Failing ---- */

CAW_PRINTF(3, 0)
static void set_failure(task *t, int code, const char *format, va_list args) {
  t->failure = (caw_details_status){.code = code};
  t->failure.message = caw_arena_vprintf(t->arena, format, args);
}

/* What does not fit into memory is left out: the code counts. */
static void add_reason(task *t, const char *reason) {
  if (!reason) return;
  caw_details_error_info info = {.reason = caw_str_from(reason), .domain = CAW_STR(DOMAIN)};
  caw_details_add(&t->failure, t->arena, &caw_details_error_info_type, &info);
}

int task_fail(task *t, int code, const char *reason, const char *format, ...) {
  va_list args;
  va_start(args, format);
  set_failure(t, code, format, args);
  va_end(args);
  add_reason(t, reason);
  return code;
}

static void add_delay(task *t, int64_t wait) {
  caw_details_duration delay = {.seconds = wait / 1000000,
                                .nanos = (int32_t)(wait % 1000000) * 1000};
  caw_details_retry_info info = {.retry_delay = &delay};
  caw_details_add(&t->failure, t->arena, &caw_details_retry_info_type, &info);
}

int task_later(task *t, int64_t wait, const char *reason, const char *format, ...) {
  va_list args;
  va_start(args, format);
  set_failure(t, CAW_RESOURCE_EXHAUSTED, format, args);
  va_end(args);
  add_reason(t, reason);
  add_delay(t, wait);
  return CAW_RESOURCE_EXHAUSTED;
}

void task_check(task *t, const char *field, const char *why) {
  caw_details_bad_request *w = &t->wrong;
  if (!why || w->field_violations.len == WRONG) return;
  if (!w->field_violations.items)
    w->field_violations.items =
        caw_arena_calloc(t->arena, WRONG, sizeof(*w->field_violations.items));
  if (!w->field_violations.items) return;
  w->field_violations.items[w->field_violations.len++] =
      (caw_details_bad_request_field_violation){.field = caw_str_from(field),
                                                .description = caw_str_from(why)};
}

int task_checked(task *t) {
  if (!t->wrong.field_violations.len) return 0;
  const caw_details_bad_request_field_violation *first = t->wrong.field_violations.items;
  task_fail(t, CAW_INVALID_ARGUMENT, NULL, "%.*s %.*s%s", CAW_STR_ARG(first->field),
            CAW_STR_ARG(first->description),
            t->wrong.field_violations.len > 1 ? ", and more is wrong" : "");
  caw_details_add(&t->failure, t->arena, &caw_details_bad_request_type, &t->wrong);
  return CAW_INVALID_ARGUMENT;
}

int task_wrong(task *t, const char *field, const char *why) {
  task_check(t, field, why);
  int rc = task_checked(t);
  return rc ? rc : CAW_ENOMEM;
}

int task_mask(task *t, const google_protobuf_field_mask *mask) {
  if (!mask || !mask->paths.len)
    return task_wrong(t, "update_mask", "is empty: name the fields to change");
  if (mask->paths.len > MASK_MOST) return task_wrong(t, "update_mask", "has more than 32 paths");
  return 0;
}

int task_explain(task *t, int rc) {
  if (rc > 0 && t->failure.code == rc) return rc;
  switch (rc) {
  case CAW_EAGAIN:
    task_fail(t, CAW_UNAVAILABLE, "BUSY", "the server has too much to do; try again in a second");
    add_delay(t, 1000000);
    return CAW_UNAVAILABLE;
  case CAW_ECLOSED:
    return task_fail(t, CAW_UNAVAILABLE, NULL, "the server is going away; try again");
  case STORE_NONE:
    return task_fail(t, CAW_NOT_FOUND, NULL, "there is no such thing");
  case STORE_TAKEN:
    return task_fail(t, CAW_ALREADY_EXISTS, NULL, "there is one already");
  case STORE_BUSY:
    return task_fail(t, CAW_UNAVAILABLE, "BUSY", "another program holds the database; try again");
  case STORE_FULL:
    return task_fail(t, CAW_UNAVAILABLE, "DISK_FULL",
                     "the server's disk is full; nothing was stored");
  case STORE_QUOTA:
    return task_fail(t, CAW_RESOURCE_EXHAUSTED, "DISK_QUOTA",
                     "the server keeps as much as it may; it takes messages again when it has "
                     "forgotten some");
  case STORE_DAMAGED:
    return task_fail(t, CAW_DATA_LOSS, NULL, "what the server reads is not what it wrote");
  case STORE_BROKEN:
    return task_fail(t, CAW_UNAVAILABLE, "DISK_FAILED",
                     "the server's disk failed; nothing was stored");
  case CAW_ENOMEM:
    return task_fail(t, CAW_RESOURCE_EXHAUSTED, NULL, "the server is out of memory");
  default:
    return task_fail(t, rc > 0 && rc <= 16 ? rc : CAW_INTERNAL, NULL, "it could not be done");
  }
}

/* ---- Rooms ---- */

static const char *const room_roles[] = {"", "reader", "member", "moderator", "owner"};

static int may_not(task *t) {
  if (!t->room_role)
    return task_fail(t, CAW_PERMISSION_DENIED, "NOT_MEMBER", "you are not in this room");
  return task_fail(t, CAW_PERMISSION_DENIED, "ROOM_ROLE", "only a %s of this room may do that",
                   room_roles[t->rule->room_role]);
}

static int no_room(task *t, int64_t room_id) {
  return task_fail(t, CAW_NOT_FOUND, "NO_ROOM", "there is no room %lld", (long long)room_id);
}

/* May the caller do it, who is t->member in t->room? */
static int admit(task *t) {
  const bool admin = t->who->role >= CHAT_V1_ROLE_ADMIN;
  const bool public = t->room.visibility == CHAT_V1_VISIBILITY_PUBLIC;
  /* Guests find nothing: a public room that they are not in is none for them. */
  const bool visible = public && t->who->role >= CHAT_V1_ROLE_MEMBER;
  if (!t->member.role && !visible) return no_room(t, t->room.id);
  t->entered = true;
  t->room_role = t->member.role;
  if (admin && public && t->rule->admins) t->room_role = CHAT_V1_ROOM_ROLE_OWNER;
  return t->room_role < t->rule->room_role ? may_not(t) : 0;
}

int task_enter(task *t, int64_t room_id) {
  int rc = store_room_get(t->store, room_id, &t->room, t->arena);
  if (rc) return rc == STORE_NONE ? no_room(t, room_id) : rc;
  rc = store_member_get(t->store, room_id, t->who->user_id, &t->member);
  if (rc && rc != STORE_NONE) return rc;
  if (rc) t->member = (store_member){.room_id = room_id, .user_id = t->who->user_id};
  return admit(t);
}

int task_enter_quickly(task *t, int64_t room_id) {
  int rc = store_room_as(t->store, room_id, t->who->user_id, &t->room, &t->member);
  if (rc) return rc == STORE_NONE ? no_room(t, room_id) : rc;
  return admit(t);
}

/* ---- Pages ---- */

#define TOKEN_VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

caw_str task_token(task *t, caw_str key) {
  size_t room = sodium_base64_encoded_len(key.len, TOKEN_VARIANT);
  char *text = caw_arena_alloc(t->arena, room);
  if (!text) return caw_str_of(NULL, 0);
  sodium_bin2base64(text, room, (const uint8_t *)key.data, key.len, TOKEN_VARIANT);
  return caw_str_from(text);
}

caw_str task_token_id(task *t, int64_t key) {
  char text[24];
  int n = snprintf(text, sizeof(text), "%lld", (long long)key);
  return task_token(t, caw_str_of(text, (size_t)n));
}

int task_page(task *t, int32_t size, caw_str token, size_t *most, caw_str *after) {
  *most = size > MOST_PAGE ? MOST_PAGE : size ? (size_t)size : PAGE;
  *after = caw_str_of(NULL, 0);
  if (size < 0) return task_wrong(t, "page_size", "is negative");
  if (!token.len) return 0;
  size_t len = 0;
  char *key = caw_arena_alloc(t->arena, token.len);
  if (!key) return CAW_ENOMEM;
  if (sodium_base642bin((uint8_t *)key, token.len, token.data, token.len, NULL, &len, NULL,
                        TOKEN_VARIANT))
    return task_wrong(t, "page_token", "is not one that an answer had");
  *after = caw_str_of(key, len);
  return 0;
}

/* Digits only, and as long as an int64 may be. */
static bool read_id(caw_str text, int64_t *id) {
  if (!text.len || text.len > 18) return false;
  *id = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (text.data[i] < '0' || text.data[i] > '9') return false;
    *id = *id * 10 + (text.data[i] - '0');
  }
  return true;
}

int task_page_id(task *t, int32_t size, caw_str token, size_t *most, int64_t *after) {
  caw_str key;
  *after = 0;
  int rc = task_page(t, size, token, most, &key);
  if (rc || !key.len || read_id(key, after)) return rc;
  return task_wrong(t, "page_token", "is not one that an answer had");
}

/* ---- Things done once ---- */

bool is_request_id(caw_str id) {
  return id.len && id.len <= ID_MOST;
}

static int digest_of(task *t, const caw_type *type, const void *request, uint8_t digest[32]) {
  caw_str bytes;
  int rc = caw_pb_encode(&bytes, t->arena, type, request);
  if (!rc) crypto_generichash(digest, 32, (const uint8_t *)bytes.data, bytes.len, NULL, 0);
  return rc;
}

int task_once(task *t, caw_str request_id, const caw_type *type, const void *request, bool *before,
              int64_t *result) {
  uint8_t digest[32];
  *before = false;
  if (!is_request_id(request_id))
    return task_wrong(t, "request_id",
                      "must have 1 to 64 bytes, chosen at random, so that the request can be "
                      "repeated");
  int rc = digest_of(t, type, request, digest);
  if (!rc) rc = store_once(t->store, t->who->user_id, request_id, digest, result, t->now);
  if (rc == STORE_TAKEN)
    return task_fail(t, CAW_ALREADY_EXISTS, "REQUEST_ID_USED",
                     "another request had this request_id");
  *before = !rc;
  return rc == STORE_NONE ? 0 : rc;
}

int task_once_made(task *t, caw_str request_id, int64_t result) {
  return store_once_result(t->store, t->who->user_id, request_id, result);
}

/* ---- Effects ---- */

effect *task_effect(task *t, effect_kind kind, int64_t room_id, int64_t user_id, int64_t number) {
  effect *e = caw_arena_calloc(t->arena, 1, sizeof(*e));
  if (!e) return NULL;
  e->kind = kind;
  e->room_id = room_id;
  e->user_id = user_id;
  e->number = number;
  *t->effects_end = e;
  t->effects_end = &e->next;
  return e;
}

chat_v1_event *task_tell(task *t, int64_t room_id) {
  effect *e = task_effect(t, EFFECT_EVENT, room_id, 0, 0);
  if (e) e->event = caw_arena_calloc(t->arena, 1, sizeof(*e->event));
  return e ? e->event : NULL;
}

int task_tell_member(task *t, int64_t room_id, int64_t user_id, int role) {
  effect *e = task_effect(t, EFFECT_EVENT, room_id, 0, 0);
  chat_v1_member_changed *changed = caw_arena_calloc(t->arena, 1, sizeof(*changed));
  chat_v1_event *event = caw_arena_calloc(t->arena, 1, sizeof(*event));
  if (!e || !changed || !event) return CAW_ENOMEM;
  *changed = (chat_v1_member_changed){.room_id = room_id, .user_id = user_id, .role = role};
  event->what_case = CHAT_V1_EVENT_WHAT_CASE_MEMBER;
  event->what.member = changed;
  e->event = event;
  if (!role) e->leaves = user_id;
  return 0;
}

int task_tell_message(task *t, const store_message *message) {
  effect *e = task_effect(t, EFFECT_EVENT, message->room_id, 0, message->number);
  chat_v1_event *event = caw_arena_calloc(t->arena, 1, sizeof(*event));
  chat_v1_message *out = caw_arena_alloc(t->arena, sizeof(*out));
  if (!e || !event || !out || !to_message(out, message, t->arena)) return CAW_ENOMEM;
  event->what_case = CHAT_V1_EVENT_WHAT_CASE_MESSAGE;
  event->what.message = out;
  e->event = event;
  return 0;
}

int task_end_sessions(task *t, int64_t user_id, int64_t id, int64_t except, size_t *n) {
  int64_t *gone;
  size_t ended;
  int rc = store_session_drop(t->store, user_id, id, except, &gone, &ended, t->arena);
  for (size_t i = 0; !rc && i < ended; i++) {
    effect *e = task_effect(t, EFFECT_ENDED, 0, user_id, 0);
    if (!e) return CAW_ENOMEM;
    e->session_id = gone[i];
  }
  if (!rc && n) *n = ended;
  return rc;
}

void task_publish(const task *t) {
  for (const effect *e = t->effects; e; e = e->next) {
    switch (e->kind) {
    case EFFECT_EVENT:
      hub_event(t->app->hub, e);
      break;
    case EFFECT_JOINED:
      hub_joined(t->app->hub, e->room_id, e->user_id, e->number);
      break;
    case EFFECT_READ:
      hub_read(t->app->hub, e->room_id, e->user_id, e->number);
      break;
    case EFFECT_ENDED:
      sessions_end(t->app->sessions, e->user_id, e->session_id);
      hub_end(t->app->hub, e->user_id, e->session_id);
      break;
    case EFFECT_ROLE:
      sessions_role(t->app->sessions, e->user_id, (int)e->number);
      break;
    }
  }
}
