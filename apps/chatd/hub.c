/* The hub's side that any thread may call. */
#include "hub_inner.h"

#include "task.h"

#include <caw/alloc.h>
#include <string.h>

#define RING_MOST  256                 /* items of a room's ring, */
#define RING_BYTES ((size_t)256 << 10) /* of so many bytes, one at least */
#define HUB_BYTES  ((size_t)64 << 20)  /* beyond, a room keeps few; beyond twice that, none */

/* Who said lately that they are typing: told once in two seconds. More people than this
 * are not told of. */
#define TYPERS      32
#define TYPING_TIME 2000000

struct typing {
  struct {
    int64_t user_id, when;
  } typers[TYPERS];
};

/* ---- Items ---- */

void item_unref(item *i) {
  if (atomic_fetch_sub(&i->refs, 1) != 1) return;
  for (int f = 0; f < RING_FORMS; f++) caw_payload_unref(i->forms[f]);
  caw_free(i);
}

/* A ChatResponse is its event behind the tag of field 2 and a length. */
static caw_payload *wrap(caw_payload *event) {
  caw_str bytes = caw_payload_bytes(event);
  char *text = caw_malloc(bytes.len + 12);
  caw_payload *out = NULL;
  size_t n = 0;
  if (!text) return NULL;
  text[n++] = 2 << 3 | 2;
  for (uint64_t left = bytes.len;; left >>= 7) {
    text[n++] = (char)(left > 127 ? (left & 127) | 128 : left);
    if (left <= 127) break;
  }
  memcpy(text + n, bytes.data, bytes.len);
  const caw_str all = {text, n + bytes.len};
  if (caw_payload_new(&out, &caw_type_bytes, &all)) out = NULL;
  caw_free(text);
  return out;
}

static size_t cost(const caw_payload *payload) {
  return 64 + caw_payload_bytes(payload).len;
}

static void count(hub *h, hub_room *r, item *i, size_t bytes) {
  i->bytes += bytes;
  r->bytes += bytes;
  h->bytes += bytes;
}

caw_payload *item_form(hub *h, hub_room *r, item *i, form f) {
  if (!i->forms[f] && f == FORM_CHAT && (i->forms[f] = wrap(i->forms[FORM_EVENT])))
    count(h, r, i, cost(i->forms[f]));
  return i->forms[f];
}

static item *new_item(const effect *e) {
  item *i = caw_calloc(1, sizeof(*i));
  if (!i) return NULL;
  atomic_init(&i->refs, 1);
  i->number = e->number;
  i->except = e->except;
  i->leaves = e->leaves;
  if (caw_payload_new(&i->forms[FORM_EVENT], &chat_v1_event_type, e->event)) {
    caw_free(i);
    return NULL;
  }
  return i;
}

/* ---- Rings ---- */

static void evict(hub *h, hub_room *r) {
  item *oldest = r->ring[r->first++ % r->room];
  r->bytes -= oldest->bytes;
  h->bytes -= oldest->bytes;
  item_unref(oldest);
}

static bool is_over(const hub *h, const hub_room *r) {
  size_t n = (size_t)(r->end - r->first);
  return n >= RING_MOST || (n > 1 && (r->bytes > RING_BYTES || (n > 8 && h->bytes > HUB_BYTES)));
}

static bool ring_grow(hub_room *r) {
  size_t n = (size_t)(r->end - r->first);
  if (n < r->room) return true;
  size_t more = r->room ? r->room * 2 : 4;
  item **ring = caw_malloc(more * sizeof(*ring));
  if (!ring) return false;
  for (uint64_t seq = r->first; seq < r->end; seq++) ring[seq % more] = r->ring[seq % r->room];
  caw_free(r->ring);
  r->ring = ring;
  r->room = more;
  return true;
}

/* An item that finds no room in memory leaves a hole: nobody who wants what stood before it
 * is served from the ring any more, so that all look into the store. The same when all rings
 * together have too much: there may be many rooms, each with a little. */
static void append(hub *h, hub_room *r, item *i) {
  while (r->end > r->first && is_over(h, r)) evict(h, r);
  if (i && h->bytes < 2 * HUB_BYTES && ring_grow(r)) {
    r->ring[r->end++ % r->room] = i;
    count(h, r, i, sizeof(*i) + cost(i->forms[FORM_EVENT]));
    return;
  }
  if (i) item_unref(i);
  while (r->end > r->first) evict(h, r);
  r->first = ++r->end;
}

void place_dirty(place *p) {
  shard *s = p->shard;
  if (p->at_dirty) return;
  p->next_dirty = s->dirty;
  if (s->dirty) s->dirty->at_dirty = &p->next_dirty;
  p->at_dirty = &s->dirty;
  s->dirty = p;
  shard_wake(s);
}

void place_clean(place *p) {
  if (!p->at_dirty) return;
  *p->at_dirty = p->next_dirty;
  if (p->next_dirty) p->next_dirty->at_dirty = p->at_dirty;
  p->at_dirty = NULL;
}

static void mark_dirty(hub_room *r) {
  for (place *p = r->places; p; p = p->next) place_dirty(p);
}

uint64_t hub_mark(hub *h, int64_t room_id) {
  pthread_mutex_lock(&h->lock);
  const hub_room *r = idmap_get(&h->rooms, room_id);
  uint64_t mark = r ? r->end : 0;
  pthread_mutex_unlock(&h->lock);
  return mark;
}

/* ---- Events ---- */

static bool typed_lately(hub_room *r, int64_t user_id) {
  int64_t now = now_us();
  if (!r->typing && !(r->typing = caw_calloc(1, sizeof(*r->typing)))) return true;
  int spare = -1;
  for (int i = 0; i < TYPERS; i++) {
    int64_t since = now - r->typing->typers[i].when;
    bool fresh = since >= 0 && since < TYPING_TIME;
    if (fresh && r->typing->typers[i].user_id == user_id) return true;
    if (!fresh) spare = i;
  }
  if (spare < 0) return true;
  r->typing->typers[spare].user_id = user_id;
  r->typing->typers[spare].when = now;
  return false;
}

static bool is_wanted(hub *h, const effect *e) {
  pthread_mutex_lock(&h->lock);
  hub_room *r = idmap_get(&h->rooms, e->room_id);
  bool wanted = r != NULL;
  if (wanted && e->event->what_case == CHAT_V1_EVENT_WHAT_CASE_TYPING)
    wanted = !typed_lately(r, e->user_id);
  pthread_mutex_unlock(&h->lock);
  return wanted;
}

void hub_event(hub *h, const effect *e) {
  if (!is_wanted(h, e)) return;
  item *i = new_item(e);
  pthread_mutex_lock(&h->lock);
  hub_room *r = idmap_get(&h->rooms, e->room_id);
  if (r) {
    append(h, r, i);
    if (e->number > r->last) r->last = e->number;
    mark_dirty(r);
  }
  pthread_mutex_unlock(&h->lock);
  if (!r && i) item_unref(i);
}

/* ---- Notices ---- */

static void notify(hub *h, const notice *what) {
  pthread_mutex_lock(&h->lock);
  for (size_t i = 0; i < h->n; i++) {
    shard *s = h->shards[i];
    notice *n = caw_malloc(sizeof(*n));
    if (n) {
      *n = *what;
      *s->notices_end = n;
      s->notices_end = &n->next;
    } else {
      s->confused = true;
    }
    shard_wake(s);
  }
  pthread_mutex_unlock(&h->lock);
}

void hub_joined(hub *h, int64_t room_id, int64_t user_id, int64_t number) {
  const notice n = {.tell = tell_joined, .room_id = room_id, .user_id = user_id, .number = number};
  notify(h, &n);
}

void hub_read(hub *h, int64_t room_id, int64_t user_id, int64_t number) {
  const notice n = {.tell = tell_read, .room_id = room_id, .user_id = user_id, .number = number};
  notify(h, &n);
}

void hub_end(hub *h, int64_t user_id, int64_t session_id) {
  const notice n = {.tell = tell_end, .user_id = user_id, .session_id = session_id};
  notify(h, &n);
}

/* ---- Shards ---- */

static void run_turn(void *arg) {
  shard_turn(arg);
}

/* Without memory for the post, the loop looks at its next tick. */
void shard_wake(shard *s) {
  if (s->posted) return;
  s->posted = !caw_loop_post(s->loop, run_turn, s);
}

shard *hub_shard(hub *h, caw_loop *loop) {
  shard *s = NULL;
  pthread_mutex_lock(&h->lock);
  for (size_t i = 0; i < h->n && !s; i++)
    if (h->shards[i]->loop == loop) s = h->shards[i];
  if (!s && h->n < sizeof(h->shards) / sizeof(h->shards[0]) && (s = caw_calloc(1, sizeof(*s)))) {
    s->hub = h;
    s->loop = loop;
    s->notices_end = &s->notices;
    s->back_end = &s->back;
    s->hungry_end = &s->hungry;
    h->shards[h->n++] = s;
  }
  pthread_mutex_unlock(&h->lock);
  return s;
}

/* ---- Rooms ---- */

static hub_room *enter(hub *h, int64_t room_id) {
  hub_room *r = idmap_get(&h->rooms, room_id);
  if (r) return r;
  r = caw_calloc(1, sizeof(*r));
  if (!r) return NULL;
  r->id = room_id;
  if (idmap_put(&h->rooms, room_id, r)) return r;
  caw_free(r);
  return NULL;
}

bool hub_enter(hub *h, int64_t room_id, place *p) {
  hub_room *r = enter(h, room_id);
  if (!r) return false;
  p->room = r;
  p->next = r->places;
  r->places = p;
  p->seq = r->end;
  p->number = r->last;
  return true;
}

void hub_leave(hub *h, place *p) {
  hub_room *r = p->room;
  place **at = &r->places;
  while (*at != p) at = &(*at)->next;
  *at = p->next;
  place_clean(p);
  if (r->places) return;
  while (r->end > r->first) evict(h, r);
  idmap_drop(&h->rooms, r->id);
  caw_free(r->typing);
  caw_free(r->ring);
  caw_free(r);
}

/* ---- Life ---- */

int hub_new(hub **out) {
  hub *h = caw_calloc(1, sizeof(*h));
  if (!h) return CAW_ENOMEM;
  pthread_mutex_init(&h->lock, NULL);
  *out = h;
  return 0;
}

size_t hub_streams(const hub *h) {
  return atomic_load(&((hub *)h)->streams);
}

void hub_free(hub *h) {
  if (!h) return;
  for (size_t i = 0; i < h->n; i++) shard_free(h->shards[i]);
  idmap_free(&h->rooms);
  pthread_mutex_destroy(&h->lock);
  caw_free(h);
}
