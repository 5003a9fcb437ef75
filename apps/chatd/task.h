/*
 * A task: one request on its way through the store. The functions that do the work of a
 * method (methods.h) get a task, a request and a reply, run within a turn of the desk,
 * and know neither calls nor threads. What the world is to hear of it, once it is
 * durable, they leave as effects.
 */
#ifndef CHATD_TASK_H
#define CHATD_TASK_H

#include "store.h"

#include <caw/details.h>
#include <chat/v1/chat.caw.h>

typedef struct chatd chatd;
typedef struct rule rule;

/* Who calls. */
typedef struct caller {
  int64_t user_id, session_id; /* 0: nobody that is known */
  int role;                    /* chat.v1.Role; 0: nobody */
} caller;

typedef enum effect_kind {
  EFFECT_EVENT,  /* in a room: `event`, and, when `number`, a message */
  EFFECT_JOINED, /* user_id is in the room now, whose newest message is `number` */
  EFFECT_READ,   /* user_id has read up to `number` */
  EFFECT_ENDED,  /* the session `session_id` of user_id is no more; 0: all of them */
  EFFECT_ROLE    /* user_id has the role `number` */
} effect_kind;

typedef struct effect {
  struct effect *next;
  effect_kind kind;
  int64_t room_id, user_id, session_id, number;
  int64_t except;       /* an event not for this user */
  int64_t leaves;       /* an event after which this user hears no more of the room */
  chat_v1_event *event; /* in the task's arena */
} effect;

typedef struct task {
  chatd *app;
  store *store;
  caw_arena *arena;
  const caller *who;
  const rule *rule;
  int64_t now; /* microseconds since 1970 */

  /* What task_enter found. */
  store_room room;
  store_member member; /* role 0: not in it */
  int room_role;       /* in effect: an admin's in a public room is the owner's */
  bool entered;

  /* The outcome. */
  caw_details_status failure;
  caw_details_bad_request wrong;
  effect *effects, **effects_end;
} task;

/* Prepares a task for its work, or for doing it once more. */
void task_begin(task *t, store *s);

/*
 * Runs the work of the task's rule, and sees to it that a method that belongs to a room has
 * looked at it. Returns 0, a gRPC code (with t->failure), or a code of the store's.
 */
int task_work(task *t, const void *request, void *reply);

/* Fills t->failure for what the desk or store said: never leaves it without a text. Returns
 * the gRPC code. */
int task_explain(task *t, int rc);

/* Lets the world hear of what the task did. On the thread that committed it. */
void task_publish(const task *t);

/* ---- For the work ---- */

/* Fails: returns `code`, with the text and, unless NULL, the reason for programs. */
int task_fail(task *t, int code, const char *reason, const char *format, ...) CAW_PRINTF(4, 5);

/* The same with how long to wait, microseconds. */
int task_later(task *t, int64_t wait, const char *reason, const char *format, ...) CAW_PRINTF(4, 5);

/* Notes that a field is wrong: `why` goes behind its name ("is empty"). NULL: it is not. */
void task_check(task *t, const char *field, const char *why);

/* Notes and returns at once unless the mask has paths, and not so many that the same field
 * would be changed again and again. */
int task_mask(task *t, const google_protobuf_field_mask *mask);

/* 0, or INVALID_ARGUMENT with all that was noted. */
int task_checked(task *t);

/* Notes and returns at once. */
int task_wrong(task *t, const char *field, const char *why);

/* Finds the room, and what the caller is in it: t->room, t->member, t->room_role. NOT_FOUND,
 * or PERMISSION_DENIED as the task's rule says. */
int task_enter(task *t, int64_t room_id);

/* The same for what happens often: t->room has what store_room_as says, and no more. */
int task_enter_quickly(task *t, int64_t room_id);

/* A page of a list: how many, and the key behind which it begins (empty: the first).
 * INVALID_ARGUMENT. */
int task_page(task *t, int32_t size, caw_str token, size_t *most, caw_str *after);
int task_page_id(task *t, int32_t size, caw_str token, size_t *most, int64_t *after);

/* The token of a page that begins behind a key; data NULL without memory. */
caw_str task_token(task *t, caw_str key);
caw_str task_token_id(task *t, int64_t key);

/* Has the caller done this before? As store_once, with a digest over the request; an
 * empty id is wrong. `field` names it. Returns 0 (*before says whether, *result what it
 * made) or fails. */
int task_once(task *t, caw_str request_id, const caw_type *type, const void *request, bool *before,
              int64_t *result);
int task_once_made(task *t, caw_str request_id, int64_t result);

/* Adds an effect, NULL without memory. */
effect *task_effect(task *t, effect_kind kind, int64_t room_id, int64_t user_id, int64_t number);

/* The event of a room in an effect: returns where it goes, NULL without memory. */
chat_v1_event *task_tell(task *t, int64_t room_id);

/* Tells the room what a member is now; role 0: not in it any more. */
int task_tell_member(task *t, int64_t room_id, int64_t user_id, int role);

/* Tells the room of a new message. */
int task_tell_message(task *t, const store_message *message);

/* Ends a session of a user, or all (0) but `except`; *n is how many, unless NULL. Nobody is let
 * in by them any more, and their streams end. */
int task_end_sessions(task *t, int64_t user_id, int64_t id, int64_t except, size_t *n);

int64_t now_us(void);

#endif
