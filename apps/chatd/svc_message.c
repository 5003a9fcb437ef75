/* ChatService: the methods with one reply. Streams: subscribe.c, chat.c. */
#include "convert.h"
#include "methods.h"
#include "words.h"

#include <caw/status.h>
#include <string.h>

#define TEXT_MOST  16384
#define PAGE_BYTES ((size_t)1 << 20) /* of text in one answer: peers take 4 MiB at most */
#define PAGE       100
#define MOST_PAGE  1000

/* ---- Send ---- */

static int check_message(task *t, const chat_v1_send_request *q) {
  if (!is_request_id(q->client_message_id))
    task_check(t, "client_message_id",
               "must have 1 to 64 bytes, chosen at random, so that the message can be repeated");
  task_check(t, "text", words_text(q->text, TEXT_MOST, true, true, t->arena));
  if (q->kind < 0 || q->kind > CHAT_V1_MESSAGE_KIND_ACTION)
    task_check(t, "kind", "must be MESSAGE or ACTION");
  if (q->reply_to < 0 || q->reply_to > t->room.last_number)
    task_check(t, "reply_to", "is no number of a message in this room");
  return task_checked(t);
}

/* A message that was sent before is no new one, so it comes never too soon. */
static int not_too_soon(task *t, caw_str client_id) {
  int64_t since = t->now - t->member.last_sent, number;
  if (!t->room.slow_mode || t->room_role >= CHAT_V1_ROOM_ROLE_MODERATOR) return 0;
  if (since >= t->room.slow_mode || since < 0) return 0;
  int rc = store_message_find(t->store, t->who->user_id, client_id, &number);
  if (rc != STORE_NONE) return rc;
  return task_later(t, t->room.slow_mode - since, "SLOW_MODE",
                    "this room is in slow mode: wait %.1f s",
                    (double)(t->room.slow_mode - since) / 1e6);
}

static int note_sent(task *t) {
  if (!t->room.slow_mode || t->room_role >= CHAT_V1_ROOM_ROLE_MODERATOR) return 0;
  t->member.last_sent = t->now;
  return store_member_sent(t->store, &t->member);
}

int work_send(task *t, const void *request, void *reply) {
  const chat_v1_send_request *q = request;
  chat_v1_send_response *r = reply;
  int rc = task_enter_quickly(t, q->room_id);
  if (!rc) rc = check_message(t, q);
  if (!rc) rc = not_too_soon(t, q->client_message_id);
  if (rc) return rc;
  store_message message = {.room_id = q->room_id,
                           .author_id = t->who->user_id,
                           .sent = t->now,
                           .kind = q->kind ? q->kind : CHAT_V1_MESSAGE_KIND_MESSAGE,
                           .text = q->text,
                           .reply_to = q->reply_to,
                           .client_id = q->client_message_id};
  rc = store_message_add(t->store, &message, &r->duplicate);
  if (rc == STORE_TAKEN)
    return task_fail(t, CAW_ALREADY_EXISTS, "CLIENT_MESSAGE_ID_USED",
                     "another message of yours has this client_message_id");
  if (rc) return rc;
  r->number = message.number;
  r->sent_at = to_time(t->arena, message.sent);
  if (!r->sent_at) return CAW_ENOMEM;
  if (r->duplicate) return 0;
  rc = note_sent(t);
  return rc ? rc : task_tell_message(t, &message);
}

/* ---- GetMessages ---- */

typedef struct page {
  store_message *items;
  size_t n;
} page;

static int read_page(task *t, int64_t from, int64_t to, size_t most, bool backward, page *out) {
  return store_messages(t->store, t->room.id, from, to, most, PAGE_BYTES / 2, backward, &out->items,
                        &out->n, t->arena);
}

/* The parts before and from a number on; one of them may be empty. */
static int read_pages(task *t, const chat_v1_get_messages_request *q, size_t most, page *older,
                      page *newer) {
  const int64_t last = t->room.last_number;
  int rc;
  switch (q->where_case) {
  case CHAT_V1_GET_MESSAGES_REQUEST_WHERE_CASE_BEFORE_NUMBER:
    return q->where.before_number > 1
               ? read_page(t, 1, q->where.before_number - 1, most, true, older)
               : 0;
  case CHAT_V1_GET_MESSAGES_REQUEST_WHERE_CASE_AFTER_NUMBER:
    return q->where.after_number < last
               ? read_page(t, q->where.after_number + 1, last, most, false, newer)
               : 0;
  case CHAT_V1_GET_MESSAGES_REQUEST_WHERE_CASE_AROUND_NUMBER:
    rc = q->where.around_number > 1
             ? read_page(t, 1, q->where.around_number - 1, most / 2, true, older)
             : 0;
    if (!rc && q->where.around_number <= last)
      rc = read_page(t, q->where.around_number, last, most - older->n, false, newer);
    return rc;
  case CHAT_V1_GET_MESSAGES_REQUEST_WHERE_CASE_NOT_SET:
  default:
    return read_page(t, 1, last, most, true, older);
  }
}

static void add_gap(chat_v1_get_messages_response *r, int64_t room_id, int64_t from, int64_t to,
                    int reason) {
  r->gaps.items[r->gaps.len++] =
      (chat_v1_gap){.room_id = room_id, .from_number = from, .to_number = to, .reason = reason};
}

static int add_messages(task *t, chat_v1_get_messages_response *r, const page *p) {
  for (size_t i = 0; i < p->n; i++) {
    const store_message *m = &p->items[i];
    if (m->damaged) add_gap(r, m->room_id, m->number, m->number, CHAT_V1_GAP_DATA_LOSS);
    else if (!to_message(&r->messages.items[r->messages.len++], m, t->arena)) return CAW_ENOMEM;
  }
  return 0;
}

/* What there is beyond the page: where it is empty, where it would have begun. */
static void say_more(const task *t, const chat_v1_get_messages_request *q, const page *older,
                     const page *newer, chat_v1_get_messages_response *r) {
  const int64_t first = t->room.first_number, last = t->room.last_number;
  int64_t low = last + 1, high = last;
  if (newer->n) low = newer->items[0].number;
  if (older->n) low = older->items[0].number;
  if (older->n) high = older->items[older->n - 1].number;
  if (newer->n) high = newer->items[newer->n - 1].number;
  if (!older->n && !newer->n &&
      q->where_case == CHAT_V1_GET_MESSAGES_REQUEST_WHERE_CASE_BEFORE_NUMBER) {
    low = q->where.before_number < 1 ? 1 : q->where.before_number;
    high = low - 1;
  }
  r->more_before = low > first && first <= last;
  r->more_after = high < last;
  /* What the room forgot stands in front of its first message. */
  if (low == first && first > 1) add_gap(r, t->room.id, 1, first - 1, CHAT_V1_GAP_FORGOTTEN);
}

int work_get_messages(task *t, const void *request, void *reply) {
  const chat_v1_get_messages_request *q = request;
  chat_v1_get_messages_response *r = reply;
  page older = {0}, newer = {0};
  if (q->page_size < 0) return task_wrong(t, "page_size", "is negative");
  size_t most = !q->page_size ? PAGE : q->page_size > MOST_PAGE ? MOST_PAGE : (size_t)q->page_size;
  int rc = task_enter(t, q->room_id);
  if (!rc) rc = read_pages(t, q, most, &older, &newer);
  if (rc) return rc;
  size_t n = older.n + newer.n;
  r->messages.items = caw_arena_calloc(t->arena, n, sizeof(*r->messages.items));
  r->gaps.items = caw_arena_calloc(t->arena, n + 1, sizeof(*r->gaps.items));
  if (!r->messages.items || !r->gaps.items) return CAW_ENOMEM;
  say_more(t, q, &older, &newer, r);
  rc = add_messages(t, r, &older);
  return rc ? rc : add_messages(t, r, &newer);
}

/* ---- The rest ---- */

int work_count_messages(task *t, const void *request, void *reply) {
  const chat_v1_count_messages_request *q = request;
  chat_v1_count_messages_response *r = reply;
  int64_t user = 0;
  int rc;
  switch (q->of_case) {
  case CHAT_V1_COUNT_MESSAGES_REQUEST_OF_CASE_ROOM_ID:
    rc = task_enter(t, q->of.room_id);
    return rc ? rc : store_message_count(t->store, t->room.id, 0, &r->count);
  case CHAT_V1_COUNT_MESSAGES_REQUEST_OF_CASE_USER_ID:
    user = q->of.user_id ? q->of.user_id : t->who->user_id;
    if (user != t->who->user_id && t->who->role < CHAT_V1_ROLE_ADMIN)
      return task_fail(t, CAW_PERMISSION_DENIED, "ROLE", "you may count your own messages only");
    rc = store_message_count(t->store, 0, user, &r->count);
    return rc != STORE_NONE ? rc : task_fail(t, CAW_NOT_FOUND, "NO_USER", "there is no such user");
  case CHAT_V1_COUNT_MESSAGES_REQUEST_OF_CASE_NOT_SET:
  default:
    if (t->who->role < CHAT_V1_ROLE_MEMBER)
      return task_fail(t, CAW_PERMISSION_DENIED, "ROLE", "guests may not count the server's");
    return store_message_count(t->store, 0, 0, &r->count);
  }
}

int work_mark_read(task *t, const void *request, void *reply) {
  const chat_v1_mark_read_request *q = request;
  chat_v1_mark_read_response *r = reply;
  int rc = task_enter(t, q->room_id);
  if (rc) return rc;
  if (q->number < 0 || q->number > t->room.last_number)
    return task_wrong(t, "number", "is none of a message in this room");
  if (q->number > t->member.read_number) {
    t->member.read_number = q->number;
    rc = store_member_put(t->store, &t->member);
    if (!rc && !task_effect(t, EFFECT_READ, q->room_id, t->who->user_id, q->number))
      rc = CAW_ENOMEM;
  }
  r->read_number = t->member.read_number;
  return rc;
}

int work_send_typing(task *t, const void *request, void *reply) {
  const chat_v1_send_typing_request *q = request;
  (void)reply;
  int rc = task_enter(t, q->room_id);
  if (rc) return rc;
  effect *e = task_effect(t, EFFECT_EVENT, q->room_id, t->who->user_id, 0);
  chat_v1_event *event = caw_arena_calloc(t->arena, 1, sizeof(*event));
  chat_v1_typing *typing = caw_arena_calloc(t->arena, 1, sizeof(*typing));
  if (!e || !event || !typing) return CAW_ENOMEM;
  *typing = (chat_v1_typing){.room_id = q->room_id, .user_id = t->who->user_id};
  event->what_case = CHAT_V1_EVENT_WHAT_CASE_TYPING;
  event->what.typing = typing;
  e->event = event;
  e->except = t->who->user_id;
  return 0;
}
