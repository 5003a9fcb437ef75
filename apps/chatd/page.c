/* Pages: messages of a room from the store, encoded on the reader's thread in the form in
 * which their stream sends them. */
#include "feed.h"

#include "convert.h"

#include <caw/alloc.h>
#include <chat_service.caw.h>

#define PAGE_BYTES ((size_t)64 << 10)

const void *frame_event(framed *out, form f, const chat_v1_event *event, const caw_type **type) {
  switch (f) {
  case FORM_CHAT:
    out->u.chat = (chat_v1_chat_response){.what_case = CHAT_V1_CHAT_RESPONSE_WHAT_CASE_EVENT};
    out->u.chat.what.event = (chat_v1_event *)(uintptr_t)event;
    *type = &chat_v1_chat_response_type;
    return &out->u.chat;
  case FORM_ALL:
    out->u.all = (chat_v1_read_all_response){0};
    if (event->what_case == CHAT_V1_EVENT_WHAT_CASE_MESSAGE) {
      out->u.all.what_case = CHAT_V1_READ_ALL_RESPONSE_WHAT_CASE_MESSAGE;
      out->u.all.what.message = event->what.message;
    } else if (event->what_case == CHAT_V1_EVENT_WHAT_CASE_GAP) {
      out->u.all.what_case = CHAT_V1_READ_ALL_RESPONSE_WHAT_CASE_GAP;
      out->u.all.what.gap = event->what.gap;
    }
    *type = &chat_v1_read_all_response_type;
    return &out->u.all;
  case FORM_EVENT:
  case FORM_LOBBY:
  default:
    *type = &chat_v1_event_type;
    return event;
  }
}

static int add(page *p, const chat_v1_event *event, int64_t number) {
  framed frame;
  const caw_type *type;
  const void *message = frame_event(&frame, p->form, event, &type);
  int rc = caw_payload_new(&p->payloads[p->n], type, message);
  if (!rc) p->numbers[p->n++] = number;
  return rc;
}

/* What the ring would have said: the reader may have gone before it looked there. */
static int add_gone(page *p) {
  chat_v1_member_changed changed = {.room_id = p->room_id, .user_id = p->who.user_id};
  const chat_v1_event event = {.what_case = CHAT_V1_EVENT_WHAT_CASE_MEMBER,
                               .what.member = &changed};
  p->upto = p->from;
  return p->form == FORM_EVENT || p->form == FORM_CHAT ? add(p, &event, p->from) : 0;
}

static int add_gap(page *p, int64_t from, int64_t to, int reason) {
  chat_v1_gap gap = {.room_id = p->room_id, .from_number = from, .to_number = to, .reason = reason};
  const chat_v1_event event = {.what_case = CHAT_V1_EVENT_WHAT_CASE_GAP, .what.gap = &gap};
  return p->form == FORM_LOBBY ? 0 : add(p, &event, to);
}

/* Accounts by their handle, guests by the name that they gave, marked as such. */
static int add_lobby(page *p, store *s, const store_message *m) {
  room_message out = {.text = m->text};
  store_user author = {0};
  int rc = m->author_id ? store_user_get(s, m->author_id, &author, p->arena) : 0;
  if (rc) return rc;
  if (!m->author_id)
    out.user_name = caw_arena_printf(p->arena, "%.*s (guest)", CAW_STR_ARG(m->guest_name));
  else if (author.handle.len) out.user_name = author.handle;
  else out.user_name = caw_str_from("(deleted)");
  if (!out.user_name.data) return CAW_ENOMEM;
  rc = caw_payload_new(&p->payloads[p->n], &room_message_type, &out);
  if (!rc) p->numbers[p->n++] = m->number;
  return rc;
}

static int add_message(page *p, store *s, const store_message *m) {
  chat_v1_message out;
  chat_v1_event event = {.what_case = CHAT_V1_EVENT_WHAT_CASE_MESSAGE, .what.message = &out};
  if (m->damaged) return add_gap(p, m->number, m->number, CHAT_V1_GAP_DATA_LOSS);
  if (p->form == FORM_LOBBY) return add_lobby(p, s, m);
  return to_message(&out, m, p->arena) ? add(p, &event, m->number) : CAW_ENOMEM;
}

/* May the user read the room? It was asked when the stream began; this is for now. */
static int may_read(page *p, store *s, const store_room *room) {
  store_member member;
  store_user user;
  if (p->form == FORM_LOBBY) return 0;
  int rc = store_member_get(s, p->room_id, p->who.user_id, &member);
  if (rc == STORE_NONE && p->admins && room->visibility == CHAT_V1_VISIBILITY_PUBLIC &&
      !store_user_get(s, p->who.user_id, &user, p->arena) && user.role >= CHAT_V1_ROLE_ADMIN)
    return 0;
  p->gone = rc == STORE_NONE;
  return rc;
}

static int read(page *p, store *s) {
  store_room room;
  store_message *messages;
  size_t n;
  int rc = store_room_get(s, p->room_id, &room, p->arena);
  p->gone = rc == STORE_NONE;
  if (!rc) rc = may_read(p, s, &room);
  if (rc) return p->gone ? add_gone(p) : rc;
  int64_t last = p->to && p->to < room.last_number ? p->to : room.last_number;
  if (p->from > last) p->from = last;
  p->upto = p->from;
  if (p->from + 1 < room.first_number && p->from < last) {
    p->upto = room.first_number - 1 < last ? room.first_number - 1 : last;
    rc = add_gap(p, p->from + 1, p->upto, CHAT_V1_GAP_FORGOTTEN);
  }
  if (!rc && p->upto < last)
    rc = store_messages(s, p->room_id, p->upto + 1, last, PAGE_MOST, PAGE_BYTES, false, &messages,
                        &n, p->arena);
  else n = 0;
  for (size_t i = 0; !rc && i < n; i++) {
    rc = add_message(p, s, &messages[i]);
    p->upto = messages[i].number;
  }
  p->at_end = p->upto >= last;
  return rc;
}

/* The mark is taken before the first look at the store: what is published behind it may be in
 * the page, and the ring has it; what is not in the page was published behind it. */
static int work(desk_job *job, store *s) {
  page *p = (page *)job;
  if (p->live) p->mark = hub_mark(p->errand.stream->shard->hub, p->room_id);
  int rc = read(p, s);
  caw_arena_free(p->arena); /* the payloads are all that is kept */
  p->arena = NULL;
  return rc;
}

void page_free(page *p) {
  for (size_t i = p->sent; i < p->n; i++) caw_payload_unref(p->payloads[i]);
  caw_arena_free(p->arena);
  feed_unref(p->errand.stream);
  caw_free(p);
}

int page_fetch(feed *st, const sub *s) {
  page *p = caw_calloc(1, sizeof(*p));
  if (!p) return CAW_ENOMEM;
  p->room_id = s->room_id;
  p->from = s->number;
  p->sub = s->serial;
  p->live = s->place != NULL;
  p->to = s->to;
  p->form = st->form;
  p->who = st->who;
  p->admins = st->form == FORM_ALL;
  p->arena = caw_arena_new(4096);
  int rc = p->arena ? errand_send(&p->errand, st, work, feed_take_page) : CAW_ENOMEM;
  if (!rc) return 0;
  caw_arena_free(p->arena);
  caw_free(p);
  return rc;
}
