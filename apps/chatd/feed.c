/* The streams of a loop: what is handed to which. When a loop looks: shard.c; what time does
 * to a stream: pace.c. */
#include "feed.h"

#include "convert.h"
#include "feed_inner.h"
#include "pace.h"

#include <caw/alloc.h>
#include <string.h>

#define AT_ONCE  4096 /* sends of one turn for a room, before the loop does other things */
#define BATCH    32   /* items taken from a ring under one lock */
#define FETCHING 32   /* pages of a loop that are read at a time: 64 KiB of text each */
#define FEW      16   /* rooms of a stream that are found by walking */

/* ---- Lists of subs ---- */

static void list_out(sub *s) {
  if (!s->at) return;
  *s->at = s->next;
  if (s->next) s->next->at = s->at;
  s->at = NULL;
}

static void list_in(sub *s, sub **list) {
  list_out(s);
  s->next = *list;
  if (s->next) s->next->at = &s->next;
  s->at = list;
  *list = s;
}

static void set_state(sub *s, sub_state state) {
  s->state = state;
  list_out(s);
  if (state == SUB_LIVE) list_in(s, &s->place->live);
  else if (state == SUB_BEHIND && !s->stream->at_full) list_in(s, &s->place->behind);
  else if (state == SUB_POLLING) list_in(s, &s->place->polling);
}

/* ---- Sending ---- */

int feed_send(feed *st, caw_payload *payload) {
  if (st->over) return CAW_ECLOSED;
  if (st->at_full) return CAW_EAGAIN;
  int rc = caw_call_send_payload(st->call, payload);
  if (rc == CAW_EAGAIN) pace_full(st);
  else if (!rc) st->last_sent = caw_loop_now(st->shard->loop);
  else feed_end(st, rc, NULL, NULL);
  return rc;
}

int feed_send_message(feed *st, const caw_type *type, const void *message) {
  caw_payload *payload;
  if (st->over) return CAW_ECLOSED;
  if (st->at_full) return CAW_EAGAIN;
  int rc = caw_payload_new(&payload, type, message);
  if (rc) {
    feed_end(st, rc, NULL, NULL);
    return rc;
  }
  rc = feed_send(st, payload);
  caw_payload_unref(payload);
  return rc;
}

int feed_send_event(feed *st, const chat_v1_event *event) {
  framed frame;
  const caw_type *type;
  const void *message = frame_event(&frame, st->form, event, &type);
  return feed_send_message(st, type, message);
}

/* ---- Ending ---- */

static void stop_waiting(sub *s) {
  if (!s->at_page) return;
  *s->at_page = s->next_page;
  if (s->next_page) s->next_page->at_page = s->at_page;
  else s->stream->reading_end = s->at_page;
  s->at_page = NULL;
}

/* One who stands in the place less; nobody: the place goes. Under the hub's lock. */
static void leave_place(place *p, int64_t room_id) {
  if (--p->subs) return;
  idmap_drop(&p->shard->places, room_id);
  hub_leave(p->shard->hub, p);
  caw_free(p);
}

static void drop_sub(sub *s) {
  feed *st = s->stream;
  place *p = s->place;
  list_out(s);
  stop_waiting(s);
  *s->at_mine = s->next_mine;
  if (s->next_mine) s->next_mine->at_mine = s->at_mine;
  idmap_drop(&st->by_room, s->room_id);
  st->n_subs--;
  if (p) {
    pthread_mutex_lock(&st->shard->hub->lock);
    leave_place(p, s->room_id);
    pthread_mutex_unlock(&st->shard->hub->lock);
  }
  caw_free(s);
}

void feed_end(feed *st, int code, const char *reason, const char *text) {
  if (st->over) return;
  st->over = true;
  caw_arena *arena = caw_call_arena(st->call);
  caw_details_status status = {.code = code, .message = caw_str_from(text)};
  caw_details_error_info info = {.reason = caw_str_from(reason), .domain = CAW_STR("chat")};
  if (reason && code > 0 && !caw_details_add(&status, arena, &caw_details_error_info_type, &info))
    caw_details_fail(st->call, &status);
  caw_call_finish(st->call, code, text);
}

static void leave_user(feed *st) {
  if (!st->at_user) return;
  *st->at_user = st->next_of_user;
  if (st->next_of_user) st->next_of_user->at_user = st->at_user;
  st->at_user = NULL;
  feed **head = idmap_get(&st->shard->users, st->who.user_id);
  if (*head) return;
  idmap_drop(&st->shard->users, st->who.user_id);
  caw_free(head);
}

static void leave_hungry(feed *st) {
  shard *s = st->shard;
  for (feed **at = &s->hungry; st->hungry && *at; at = &(*at)->next_hungry) {
    if (*at != st) continue;
    *at = st->next_hungry;
    if (!*at) s->hungry_end = at;
    break;
  }
  st->hungry = false;
}

static void leave_shard(shard *s) {
  atomic_fetch_sub(&s->hub->streams, 1);
  if (!--s->streams) pace_end(s);
}

static void forget_entered(feed *st) {
  while (st->entered) {
    entered *e = st->entered;
    st->entered = e->next;
    caw_free(e);
  }
}

void feed_let_go(feed *st) {
  while (st->subs) drop_sub(st->subs);
  idmap_free(&st->by_room);
  forget_entered(st);
  if (st->page) page_free(st->page);
  st->page = NULL;
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  feed *st = user;
  (void)call;
  (void)status;
  st->over = true;
  feed_let_go(st);
  pace_off(st);
  pace_room(st);
  leave_user(st);
  leave_hungry(st);
  leave_shard(st->shard);
  feed_unref(st);
}

feed *feed_ref(feed *st) {
  atomic_fetch_add(&st->refs, 1);
  return st;
}

void feed_unref(feed *st) {
  if (atomic_fetch_sub(&st->refs, 1) != 1) return;
  if (st->gone) st->gone(st);
  caw_free(st);
}

/* ---- Pages ---- */

/* May a page of the stream be read now? What it waited for may have gone meanwhile. */
static bool may_fetch(const feed *st) {
  return !st->over && !st->at_full && !st->page && !st->fetching && st->reading;
}

void feed_hungry(shard *s) {
  while (s->hungry && s->fetching < FETCHING) {
    feed *st = s->hungry;
    int rc = may_fetch(st) ? page_fetch(st, st->reading) : CAW_ESTATE;
    if (rc == CAW_EAGAIN) return; /* the next page that comes, or tick, goes on */
    s->hungry = st->next_hungry;
    if (!s->hungry) s->hungry_end = &s->hungry;
    st->hungry = false;
    if (rc == CAW_ESTATE) continue;
    if (rc) {
      feed_end(st, CAW_UNAVAILABLE, NULL, "the server cannot read the room now; try again");
      continue;
    }
    st->fetching = true;
    s->fetching++;
  }
}

/* Has the stream's next page read, unless it has one, or no room for it. */
static void want_page(feed *st) {
  shard *s = st->shard;
  if (st->hungry || !may_fetch(st)) return;
  st->hungry = true;
  st->next_hungry = NULL;
  *s->hungry_end = st;
  s->hungry_end = &st->next_hungry;
  feed_hungry(s);
}

static void read_on(sub *s) {
  feed *st = s->stream;
  set_state(s, SUB_READING);
  if (s->at_page) return;
  s->next_page = NULL;
  s->at_page = st->reading_end;
  *st->reading_end = s;
  st->reading_end = &s->next_page;
}

/* ---- The ring ---- */

/* Goes on in the ring behind the mark of a page. Nothing is left out, and least of all that the
 * user was sent away while it was read; messages that the page had are known by their number.
 * False: the ring has lost it. */
static bool attach(sub *s, uint64_t mark) {
  pthread_mutex_lock(&s->place->shard->hub->lock);
  bool kept = mark >= s->place->room->first;
  pthread_mutex_unlock(&s->place->shard->hub->lock);
  s->seq = mark;
  return kept;
}

/* Items of the ring from `seq` on, with references; *lost: the ring has lost some. */
static size_t take_items(place *p, uint64_t seq, form f, item **out, size_t most, bool *lost,
                         bool *more) {
  size_t n = 0;
  pthread_mutex_lock(&p->shard->hub->lock);
  hub_room *r = p->room;
  *lost = seq < r->first;
  for (; !*lost && n < most && seq < r->end; seq++) {
    out[n] = r->ring[seq % r->room];
    if (!item_form(p->shard->hub, r, out[n], f)) break; /* no memory: it comes with the next */
    atomic_fetch_add(&out[n++]->refs, 1);
  }
  *more = !*lost && seq < r->end;
  pthread_mutex_unlock(&p->shard->hub->lock);
  return n;
}

static void put_back(item **items, size_t n) {
  for (size_t i = 0; i < n; i++) item_unref(items[i]);
}

static void look_again(sub *s) {
  s->rejoined = false;
  s->catching = true;
  read_on(s);
  want_page(s->stream);
}

/* Hands an item to a sub. 0; CAW_EAGAIN and others; 1: it was the last for this user, and
 * the sub is no more, or asks the store whether the user is back. */
static int hand(sub *s, const item *i) {
  feed *st = s->stream;
  if (i->number && i->number <= s->number) return 0;
  if (i->except != st->who.user_id || !i->except) {
    int rc = feed_send(st, i->forms[st->form]);
    if (rc) return rc;
  }
  if (i->number) s->number = i->number;
  if (i->leaves != st->who.user_id || !i->leaves) return 0;
  if (s->rejoined) look_again(s);
  else drop_sub(s);
  return 1;
}

/* CaughtUp, and read marks. False: the queue is full. */
static bool send_small(sub *s) {
  if (s->catching) {
    chat_v1_caught_up caught = {.room_id = s->room_id, .number = s->number};
    const chat_v1_event event = {.what_case = CHAT_V1_EVENT_WHAT_CASE_CAUGHT_UP,
                                 .what.caught_up = &caught};
    if (feed_send_event(s->stream, &event)) return false;
    s->catching = false;
  }
  if (s->mark) {
    chat_v1_read_mark mark = {.room_id = s->room_id, .number = s->mark};
    const chat_v1_event event = {.what_case = CHAT_V1_EVENT_WHAT_CASE_READ, .what.read = &mark};
    if (feed_send_event(s->stream, &event)) return false;
    s->mark = 0;
  }
  return true;
}

/* What a sub that follows the ring by itself has not had. */
static void pump_behind(sub *s) {
  item *items[BATCH];
  bool lost, more = true;
  if (!send_small(s)) {
    set_state(s, SUB_BEHIND);
    return;
  }
  while (more) {
    size_t n = take_items(s->place, s->seq, s->stream->form, items, BATCH, &lost, &more), i = 0;
    int rc = 0;
    for (; !rc && i < n; i++)
      if (!(rc = hand(s, items[i]))) s->seq++;
    put_back(items, n);
    if (rc == 1) return;
    if (lost) {
      s->catching = true;
      read_on(s);
      want_page(s->stream);
      return;
    }
    if (rc || !n) break;
  }
  if (s->stream->over) return;
  bool level = s->seq == s->place->seq && s->number <= s->place->number;
  set_state(s, level && !s->stream->at_full ? SUB_LIVE : SUB_BEHIND);
}

/* ---- Reading ---- */

int64_t feed_newest(const sub *s) {
  if (!s->place) return 0;
  pthread_mutex_lock(&s->place->shard->hub->lock);
  int64_t last = s->place->room->last;
  pthread_mutex_unlock(&s->place->shard->hub->lock);
  return last;
}

static void end_page(feed *st, sub *s) {
  page *p = st->page;
  const bool gone = p->gone, at_end = p->at_end;
  const uint64_t mark = p->mark;
  s->number = p->upto;
  st->page = NULL;
  page_free(p);
  stop_waiting(s);
  if (gone && s->rejoined) {
    look_again(s);
    return;
  }
  if (gone) {
    drop_sub(s);
    if (st->form == FORM_ALL || st->form == FORM_LOBBY)
      feed_end(st, CAW_NOT_FOUND, "NO_ROOM", "you are not in this room any more");
    return;
  }
  if (!at_end) {
    read_on(s); /* behind the other rooms of this feed */
  } else if (!s->place) {
    feed_end(st, CAW_OK, NULL, NULL);
  } else if (st->form == FORM_LOBBY) {
    if (feed_newest(s) > s->number) read_on(s);
    else set_state(s, SUB_POLLING);
  } else if (attach(s, mark)) {
    pump_behind(s);
  } else {
    read_on(s);
  }
}

/* Sends what was read. */
static void pump_page(feed *st) {
  while (st->page && !st->over) {
    page *p = st->page;
    sub *s = st->reading;
    while (p->sent < p->n) {
      if (feed_send(st, p->payloads[p->sent])) return;
      s->number = p->numbers[p->sent];
      caw_payload_unref(p->payloads[p->sent++]);
    }
    end_page(st, s);
  }
}

void feed_take_page(errand *e) {
  page *p = (page *)e;
  feed *st = e->stream;
  st->shard->fetching--;
  st->fetching = false;
  /* Its sub may have gone meanwhile; another may stand first now. */
  feed_ref(st);
  if (st->over || !st->reading || st->reading->serial != p->sub) {
    page_free(p);
  } else if (e->rc) {
    int rc = e->rc;
    page_free(p);
    feed_end(st, rc == CAW_ENOMEM ? CAW_RESOURCE_EXHAUSTED : CAW_UNAVAILABLE, NULL,
             "the server cannot read the room now; try again");
  } else {
    st->page = p;
    pump_page(st);
  }
  if (!st->over) want_page(st);
  feed_unref(st);
}

/* ---- A stream's queue has room again ---- */

static void pump_sub(sub *s) {
  if (s->state == SUB_BEHIND) pump_behind(s);
  else send_small(s);
}

static void pump(feed *st) {
  if (st->flush && !st->flush(st)) return;
  pump_page(st);
  for (sub *s = st->subs, *next; s && !st->at_full && !st->over; s = next) {
    next = s->next_mine;
    if (s->state == SUB_BEHIND || (s->state == SUB_LIVE && s->mark)) pump_sub(s);
  }
  want_page(st);
}

static void on_drain(caw_call *call, void *user) {
  feed *st = user;
  (void)call;
  pace_room(st);
  if (!st->over) pump(st);
}

static void on_cancel(caw_call *call, void *user) {
  (void)call;
  feed_end(user, CAW_CANCELLED, NULL, NULL);
}

/* What clients do then is to come again: to the next server, or after the restart. */
static void on_shutdown(caw_call *call, void *user) {
  feed *st = user;
  (void)call;
  if (st->leave) st->leave(st);
  else feed_end(st, CAW_UNAVAILABLE, "GOING_AWAY", "the server is going away: try again");
}

/* ---- A place ---- */

/* One sub out of the list: from its item on, by itself. */
static void fall_behind(sub *s, uint64_t seq) {
  s->seq = seq;
  set_state(s, SUB_BEHIND);
}

static void hand_to_live(place *p, item **items, size_t n) {
  for (sub *s = p->live, *next; s; s = next) {
    next = s->next;
    s->number = p->number;
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
      rc = hand(s, items[i]);
      if (rc && rc != 1 && !s->stream->over) fall_behind(s, p->seq + i);
      else if (rc && rc != 1) list_out(s);
    }
  }
}

static size_t count_live(const place *p) {
  size_t n = 1;
  for (const sub *s = p->live; s; s = s->next) n++;
  return n;
}

/* The ring has run over what the place had not taken: the store has it. */
static void lose(place *p) {
  while (p->live) {
    sub *s = p->live;
    s->number = p->number;
    s->catching = true;
    read_on(s);
    want_page(s->stream);
  }
  pthread_mutex_lock(&p->shard->hub->lock);
  p->seq = p->room->end;
  p->number = p->room->last;
  pthread_mutex_unlock(&p->shard->hub->lock);
}

/* True: there is more. A sub of which every stream may go holds the place meanwhile. */
static bool pump_place(place *p, form f) {
  item *items[BATCH];
  bool lost, more;
  size_t most = AT_ONCE / count_live(p);
  if (most > BATCH) most = BATCH;
  if (!most) most = 1;
  size_t n = take_items(p, p->seq, f, items, most, &lost, &more);
  if (lost) {
    lose(p);
    return false;
  }
  hand_to_live(p, items, n);
  p->seq += n;
  for (size_t i = 0; i < n; i++)
    if (items[i]->number > p->number) p->number = items[i]->number;
  put_back(items, n);
  return more && n;
}

/* Does any stream of this place want chat's form? Then all items get both. */
static bool has_chat(const place *p) {
  for (const sub *s = p->live; s; s = s->next)
    if (s->stream->form == FORM_CHAT) return true;
  return false;
}

void feed_turn_place(shard *sh, int64_t room_id) {
  place *p = idmap_get(&sh->places, room_id);
  if (!p) return;
  p->subs++; /* it stays while its subs go */
  bool more = pump_place(p, has_chat(p) ? FORM_CHAT : FORM_EVENT);
  for (sub *s = p->behind, *next; s; s = next) {
    next = s->next;
    pump_behind(s);
  }
  while (p->polling) {
    sub *s = p->polling;
    read_on(s);
    want_page(s->stream);
  }
  pthread_mutex_lock(&sh->hub->lock);
  if (more) place_dirty(p);
  leave_place(p, room_id);
  pthread_mutex_unlock(&sh->hub->lock);
}

/* ---- Notices ---- */

static feed *streams_of(const shard *s, int64_t user_id) {
  feed **head = idmap_get(&s->users, user_id);
  return head ? *head : NULL;
}

static sub *sub_of(const feed *st, int64_t room_id) {
  if (st->by_room.n) return idmap_get(&st->by_room, room_id);
  sub *s = st->subs;
  while (s && s->room_id != room_id) s = s->next_mine;
  return s;
}

/* Of a stream that is looking at the store: nobody knows yet whether the store had it. */
static int note_entered(feed *st, const notice *n) {
  entered *e = caw_malloc(sizeof(*e));
  if (!e) return CAW_ENOMEM;
  *e = (entered){st->entered, n->room_id, n->number};
  st->entered = e;
  return 0;
}

static int follow_joined(feed *st, const notice *n) {
  sub *s = sub_of(st, n->room_id);
  if (s) s->rejoined = true;
  if (st->looking) return note_entered(st, n);
  return st->all ? feed_follow(st, n->room_id, n->number) : 0;
}

void tell_joined(shard *s, const notice *n) {
  for (feed *st = streams_of(s, n->user_id); st; st = st->next_of_user)
    if (!st->over && follow_joined(st, n))
      feed_end(st, CAW_RESOURCE_EXHAUSTED, NULL, "the server is out of memory; try again");
}

int feed_follow_entered(feed *st) {
  int rc = 0;
  for (const entered *e = st->entered; st->all && !rc && e; e = e->next)
    rc = feed_follow(st, e->room_id, e->number);
  forget_entered(st);
  return rc;
}

void tell_read(shard *s, const notice *n) {
  for (feed *st = streams_of(s, n->user_id); st; st = st->next_of_user) {
    sub *mine = st->over ? NULL : sub_of(st, n->room_id);
    if (!mine || (st->form != FORM_EVENT && st->form != FORM_CHAT)) continue;
    mine->mark = n->number;
    if (!st->at_full && !mine->catching) send_small(mine);
  }
}

void tell_end(shard *s, const notice *n) {
  for (feed *st = streams_of(s, n->user_id); st; st = st->next_of_user) {
    if (n->session_id && st->who.session_id != n->session_id) continue;
    feed_end(st, CAW_UNAUTHENTICATED, "SESSION_ENDED", "your session has ended: log in again");
    feed_let_go(st);
  }
}

/* ---- Beginning ---- */

static bool join_user(feed *st) {
  shard *s = st->shard;
  feed **head = idmap_get(&s->users, st->who.user_id);
  if (!head) {
    head = caw_calloc(1, sizeof(*head));
    if (!head) return false;
    if (!idmap_put(&s->users, st->who.user_id, head)) {
      caw_free(head);
      return false;
    }
  }
  st->next_of_user = *head;
  if (*head) (*head)->at_user = &st->next_of_user;
  st->at_user = head;
  *head = st;
  return true;
}

int feed_open(feed *st, chatd *app, caw_call *call, form f) {
  static const caw_call_events events = {on_cancel, on_drain, on_shutdown, on_done};
  shard *s = hub_shard(app->hub, caw_call_loop(call));
  if (!s) return CAW_ENOMEM;
  st->shard = s;
  st->call = call;
  st->app = app;
  st->who = *caller_of(call);
  st->form = f;
  st->reading_end = &st->reading;
  st->last_sent = caw_loop_now(s->loop);
  atomic_init(&st->refs, 1);
  if (!pace_begin(s)) return CAW_ENOMEM;
  s->streams++;
  atomic_fetch_add(&s->hub->streams, 1);
  if (st->who.user_id && !join_user(st)) {
    leave_shard(s);
    return CAW_ENOMEM;
  }
  caw_call_on(call, &events, st);
  return 0;
}

static place *place_of(shard *s, int64_t room_id) {
  place *p = idmap_get(&s->places, room_id);
  if (p) return p;
  p = caw_calloc(1, sizeof(*p));
  if (!p) return NULL;
  p->shard = s;
  pthread_mutex_lock(&s->hub->lock);
  bool in = hub_enter(s->hub, room_id, p);
  if (in && !idmap_put(&s->places, room_id, p)) {
    hub_leave(s->hub, p);
    in = false;
  }
  pthread_mutex_unlock(&s->hub->lock);
  if (in) return p;
  caw_free(p);
  return NULL;
}

/* Most streams have few rooms, which are found without an index. */
static bool index_sub(feed *st, sub *s) {
  if (!st->by_room.n && st->n_subs < FEW) return true;
  for (sub *old = st->by_room.n ? NULL : st->subs; old; old = old->next_mine)
    if (!idmap_put(&st->by_room, old->room_id, old)) {
      idmap_free(&st->by_room);
      return false;
    }
  return idmap_put(&st->by_room, s->room_id, s);
}

static int add_sub(feed *st, int64_t room_id, place *p, int64_t number, int64_t to) {
  sub *s = caw_calloc(1, sizeof(*s));
  if (!s) return CAW_ENOMEM;
  *s = (sub){.stream = st, .place = p, .room_id = room_id, .number = number, .to = to};
  s->catching = st->form == FORM_EVENT || st->form == FORM_CHAT;
  if (!index_sub(st, s)) {
    caw_free(s);
    return CAW_ENOMEM;
  }
  s->serial = ++st->serials;
  s->next_mine = st->subs;
  if (st->subs) st->subs->at_mine = &s->next_mine;
  s->at_mine = &st->subs;
  st->subs = s;
  st->n_subs++;
  if (p) p->subs++;
  read_on(s);
  want_page(st);
  return 0;
}

int feed_follow(feed *st, int64_t room_id, int64_t number) {
  if (sub_of(st, room_id)) return 0;
  place *p = place_of(st->shard, room_id);
  if (!p) return CAW_ENOMEM;
  p->subs++; /* it stays while one is made that may stay in it */
  int rc = add_sub(st, room_id, p, number, 0);
  pthread_mutex_lock(&st->shard->hub->lock);
  leave_place(p, room_id);
  pthread_mutex_unlock(&st->shard->hub->lock);
  return rc;
}

void feed_unfollow(feed *st, int64_t room_id) {
  sub *s = sub_of(st, room_id);
  if (!s) return;
  if (st->page && st->reading == s) {
    page_free(st->page);
    st->page = NULL;
  }
  drop_sub(s);
}

int feed_read_all(feed *st, int64_t room_id, int64_t to) {
  return add_sub(st, room_id, NULL, 0, to);
}
