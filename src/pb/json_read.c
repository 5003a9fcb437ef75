/*
 * Messages from JSON. One function per level, recursive to at most
 * CAW_PB_DEPTH, counted as decoding counts it, so that nothing is read that nests
 * too deeply to be sent. (What decoding may take of memory is another matter: of
 * very many empty messages JSON's limit allows more.)
 *
 * The length of an array is known at its end. Until then its elements are in a
 * pile, pieces that double and never move; then they are copied to the arena,
 * exactly as many as there are.
 */
#include "pb/json.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <stdalign.h>

/* -- piles --------------------------------------------------------------- */

typedef struct piece {
  struct piece *next;
  size_t used, room; /* elements */
} piece;

#define PIECE_HEADER ((sizeof(piece) + 15) & ~(size_t)15)

/* The first few elements need no memory but the stack's. */
#define PILE_INSIDE 128

typedef struct pile {
  piece *first, *last;
  size_t size, count, inside; /* of an element; of them; room for how many inside */
  alignas(16) uint8_t bytes[PILE_INSIDE];
} pile;

static void pile_init(pile *s, size_t size) {
  s->first = s->last = NULL;
  s->size = size;
  s->count = 0;
  s->inside = PILE_INSIDE / size;
}

static void pile_finish(pile *s) {
  while (s->first) {
    piece *next = s->first->next;
    caw_free(s->first);
    s->first = next;
  }
}

static bool pile_grow(json_reader *r, pile *s) {
  size_t room = s->count ? s->count : 1;
  if (room < 512 / s->size) room = 512 / s->size;
  piece *p = NULL;
  if (room <= (SIZE_MAX - PIECE_HEADER) / s->size) p = caw_malloc(PIECE_HEADER + room * s->size);
  if (!p) return json_fail(r, CAW_ENOMEM, r->p, "out of memory");
  *p = (piece){NULL, 0, room};
  if (s->last) s->last->next = p;
  else s->first = p;
  s->last = p;
  return true;
}

/* Room for one more element, zeroed. It is charged to the budget now, so that
 * nothing is gathered that would not fit. */
static uint8_t *pile_push(json_reader *r, pile *s) {
  uint8_t *at;
  if (s->size > r->budget) {
    json_fail(r, CAW_ENOMEM, r->p, "out of memory, or of what this text may take");
    return NULL;
  }
  if (s->count < s->inside) {
    at = s->bytes + s->count * s->size;
  } else {
    if ((!s->last || s->last->used == s->last->room) && !pile_grow(r, s)) return NULL;
    at = (uint8_t *)s->last + PIECE_HEADER + s->last->used++ * s->size;
  }
  r->budget -= s->size;
  s->count++;
  memset(at, 0, s->size);
  return at;
}

/* Takes the last element back. */
static void pile_pop(json_reader *r, pile *s) {
  r->budget += s->size;
  if (s->count-- > s->inside) s->last->used--;
}

/* Copies the elements to where they stay, and stores the array at `at`. */
static bool pile_gather(json_reader *r, pile *s, uint8_t *at) {
  pb_array a = {NULL, s->count};
  if (!s->count) return true;
  r->budget += s->size * s->count; /* was charged piece by piece: it cannot wrap */
  uint8_t *to = json_take_array(r, s->count, s->size);
  if (!to) return false;
  a.items = to;
  size_t inside = s->count < s->inside ? s->count : s->inside;
  if (inside) memcpy(to, s->bytes, inside * s->size);
  to += inside * s->size;
  for (piece *p = s->first; p; p = p->next) {
    memcpy(to, (uint8_t *)p + PIECE_HEADER, p->used * s->size);
    to += p->used * s->size;
  }
  memcpy(at, &a, sizeof(a));
  return true;
}

/* -- arrays and maps ----------------------------------------------------- */

bool json_read_sub(json_reader *r, const caw_pb_field *f, uint8_t *m, int depth) {
  if (!depth) {
    json_peek(r);
    return json_fail(r, CAW_EDEPTH, r->p, "nested too deeply");
  }
  void *sub = json_take_zeroed(r, pb_sub(f)->size);
  if (!sub) return false;
  memcpy(m + f->offset, &sub, sizeof(sub));
  return json_read_message(r, pb_sub(f), sub, depth - 1);
}

/* One element of an array, at `at`. */
static bool read_element(json_reader *r, const caw_pb_field *f, uint8_t *at, int depth) {
  if (!pb_is_message(f->type)) return json_read_scalar(r, f, at);
  if (depth) return json_read_message(r, pb_sub(f), at, depth - 1);
  json_peek(r);
  return json_fail(r, CAW_EDEPTH, r->p, "nested too deeply");
}

static bool read_array(json_reader *r, const caw_pb_field *f, uint8_t *m, int depth) {
  pile s;
  size_t count = 0;
  json_step step = {r->at, JSON_INDEX, {NULL, 0}, 0};
  if (!json_array(r)) return false;
  pile_init(&s, pb_is_message(f->type) ? pb_sub(f)->size : pb_scalar_size(f->type));
  r->at = &step;
  while (json_element(r, &count)) {
    step.index = count - 1;
    uint8_t *at = pile_push(r, &s);
    r->skipped = false;
    if (!at || !read_element(r, f, at, depth)) break;
    if (r->skipped) pile_pop(r, &s);
    r->skipped = false;
  }
  r->at = step.up;
  bool ok = !r->err && pile_gather(r, &s, m + f->offset);
  pile_finish(&s);
  return ok;
}

/* A key came twice, that of `entry`: says where it came the second time. The
 * object begins at `start`. */
static bool fail_repeated_key(json_reader *r, const caw_pb_field *f, const uint8_t *entry,
                              const char *start) {
  const caw_pb_message *t = pb_sub(f);
  size_t count = 0, found = 0;
  caw_str name;
  const char *at = start;
  char quoted[JSON_QUOTED];
  r->p = start;
  json_object(r, "an object");
  while (found < 2 && json_member(r, &count, &name, &at)) {
    union {
      caw_str s;
      uint64_t u;
      uint8_t bytes[sizeof(caw_str)];
    } key = {.bytes = {0}};
    if (!json_read_key(r, t->fields, key.bytes, name, at)) return false;
    if (pb_same_key(t->fields, key.bytes, entry + t->fields->offset)) found++;
    if (found < 2 && !json_skip(r, CAW_PB_DEPTH)) return false;
  }
  return json_fail(r, CAW_EJSON, at, "the key %s comes twice", json_quoted(quoted, name));
}

/* One entry of a map. Its value of a message is always there. */
static bool read_entry(json_reader *r, const caw_pb_message *t, uint8_t *entry, caw_str name,
                       const char *name_at, int depth) {
  const caw_pb_field *key = &t->fields[0], *value = &t->fields[1];
  if (!json_read_key(r, key, entry + key->offset, name, name_at)) return false;
  if (pb_is_message(value->type)) return json_read_sub(r, value, entry, depth);
  return json_read_scalar(r, value, entry + value->offset);
}

static bool read_map(json_reader *r, const caw_pb_field *f, uint8_t *m, int depth) {
  const caw_pb_message *t = pb_sub(f);
  pile s;
  size_t count = 0, again = 0;
  json_step step = {r->at, JSON_KEY, {NULL, 0}, 0};
  const char *name_at;
  json_peek(r);
  const char *start = r->p;
  if (!json_object(r, "an object")) return false;
  pile_init(&s, t->size);
  while (json_member(r, &count, &step.name, &name_at)) {
    uint8_t *entry = pile_push(r, &s);
    r->at = &step;
    r->skipped = false;
    if (!depth) json_fail(r, CAW_EDEPTH, name_at, "nested too deeply");
    if (!entry || r->err || !read_entry(r, t, entry, step.name, name_at, depth - 1)) break;
    if (r->skipped) pile_pop(r, &s);
    r->skipped = false;
    r->at = step.up;
  }
  bool ok = !r->err && pile_gather(r, &s, m + f->offset);
  pile_finish(&s);
  r->at = step.up;
  if (!ok) return false;
  pb_array a = pb_array_load(m + f->offset);
  int rc = pb_find_repeated_key(f, a, &again);
  if (rc) return json_fail(r, rc, start, "out of memory");
  if (again < a.len) return fail_repeated_key(r, f, (uint8_t *)a.items + again * t->size, start);
  return true;
}

bool json_read_repeated(json_reader *r, const caw_pb_field *f, uint8_t *m, int depth) {
  if (f->flags & CAW_PB_MAP) return read_map(r, f, m, depth);
  return read_array(r, f, m, depth);
}

/* -- fields -------------------------------------------------------------- */

/* Notes that the field came. Returns false when it did before. */
static bool first_time(json_reader *r, const caw_pb_message *t, const caw_pb_field *f) {
  size_t bit = (size_t)(f - t->fields), bytes = (t->field_count + 7u) / 8;
  uint8_t *at = r->seen + r->seen_len - bytes + bit / 8;
  uint8_t mask = (uint8_t)(1u << bit % 8);
  if (*at & mask) return false;
  *at |= mask;
  return true;
}

/* Room for the bits of one more message. */
static bool seen_push(json_reader *r, const caw_pb_message *t) {
  size_t bytes = (t->field_count + 7u) / 8;
  if (bytes > r->seen_room - r->seen_len) {
    size_t room = 2 * r->seen_room + bytes + 64;
    uint8_t *seen = caw_realloc(r->seen, room);
    if (!seen) return json_fail(r, CAW_ENOMEM, r->p, "out of memory");
    r->seen = seen;
    r->seen_room = room;
  }
  if (bytes) memset(r->seen + r->seen_len, 0, bytes);
  r->seen_len += bytes;
  return true;
}

static void seen_pop(json_reader *r, const caw_pb_message *t) {
  r->seen_len -= (t->field_count + 7u) / 8;
}

/* null says that a field is not set, except where null is a value. */
static bool is_value(const caw_pb_field *f) {
  if (f->flags & CAW_PB_REPEATED) return false;
  if (f->type == CAW_PB_MESSAGE) return pb_wkt_of(pb_sub(f)) == PB_WKT_VALUE;
  return pb_is_null_value(f);
}

static bool read_single(json_reader *r, const caw_pb_message *t, const caw_pb_field *f, uint8_t *m,
                        int depth, const char *name_at) {
  uint32_t number = f->tag >> 3;
  if (f->flags & CAW_PB_ONEOF) {
    uint32_t other = pb_load32(m + f->has);
    if (other)
      return json_fail(r, CAW_EJSON, name_at, "only one of this and \"%s\" can be set",
                       caw_pb_field_by_number(t, other)->json_name);
  }
  bool ok = pb_is_message(f->type) ? json_read_sub(r, f, m, depth)
                                   : json_read_scalar(r, f, m + f->offset);
  if (!ok || r->skipped) {
    r->skipped = false;
    return ok;
  }
  if (f->flags & CAW_PB_HAS) m[f->has] = 1;
  if (f->flags & CAW_PB_ONEOF) memcpy(m + f->has, &number, sizeof(number));
  return true;
}

static bool read_field(json_reader *r, const caw_pb_message *t, const caw_pb_field *f, uint8_t *m,
                       int depth, const char *name_at) {
  if (!first_time(r, t, f)) return json_fail(r, CAW_EJSON, name_at, "the field comes twice");
  if (json_peek(r) == 'n' && !is_value(f)) return json_word(r, "null");
  r->skipped = false;
  if (f->flags & CAW_PB_REPEATED) return json_read_repeated(r, f, m, depth);
  return read_single(r, t, f, m, depth, name_at);
}

static bool unknown_field(json_reader *r, const caw_pb_message *t, caw_str name, const char *at) {
  char quoted[JSON_QUOTED];
  if (r->ignore_unknown) return json_skip(r, CAW_PB_DEPTH);
  return json_fail(r, CAW_EJSON, at, "no field %s in the message %s", json_quoted(quoted, name),
                   t->name);
}

bool json_is_type(json_reader *r, caw_str name, const char *name_at, bool *typed) {
  if (!caw_str_is(name, "@type")) return false;
  if (*typed) json_fail(r, CAW_EJSON, name_at, "\"@type\" comes twice");
  else json_skip(r, 0);
  *typed = true;
  return true;
}

bool json_read_fields(json_reader *r, const caw_pb_message *t, uint8_t *m, int depth, bool any) {
  size_t count = 0;
  caw_str name;
  const char *name_at;
  bool typed = false;
  if (!json_object(r, "an object") || !seen_push(r, t)) return false;
  while (json_member(r, &count, &name, &name_at)) {
    if (any && json_is_type(r, name, name_at, &typed)) continue;
    const caw_pb_field *f = caw_pb_field_by_name(t, name);
    if (!f) {
      unknown_field(r, t, name, name_at);
      continue;
    }
    json_step step = {r->at, JSON_FIELD, caw_str_from(f->json_name), 0};
    r->at = &step;
    read_field(r, t, f, m, depth, name_at);
    r->at = step.up;
  }
  seen_pop(r, t);
  return !r->err;
}

bool json_read_message(json_reader *r, const caw_pb_message *t, uint8_t *m, int depth) {
  pb_wkt kind = pb_wkt_of(t);
  if (kind) return json_read_wkt(r, kind, t, m, depth);
  return json_read_fields(r, t, m, depth, false);
}

/* -- the public function ------------------------------------------------- */

/* What a text of this length may take from the arena. */
static size_t memory_for(const caw_pb_message *t, size_t len) {
  size_t factor = t->expansion > CAW_JSON_EXPANSION ? t->expansion : CAW_JSON_EXPANSION;
  if (len > (SIZE_MAX - CAW_PB_FLOOR) / factor) return SIZE_MAX;
  return len * factor + CAW_PB_FLOOR;
}

int caw_json_read(void *message, caw_arena *arena, const caw_type *type, caw_str text,
                  const caw_json_read_options *options, caw_json_error *error) {
  const caw_pb_message *t = caw_pb_table(type);
  caw_json_read_options o = {0};
  if (!t || (options && options->size < sizeof(size_t))) return CAW_EINVAL;
  if (options) memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
  if (!text.data) text = caw_str_from("");
  memset(message, 0, t->size);
  if (text.len > PB_MAX_LEN) return CAW_ETOOBIG;
  json_reader r = {.begin = text.data,
                   .p = text.data,
                   .end = text.data + text.len,
                   .arena = arena,
                   .budget = o.memory ? o.memory : memory_for(t, text.len),
                   .ignore_unknown = o.ignore_unknown,
                   .types = o.types,
                   .error = error};
  if (json_read_message(&r, t, message, CAW_PB_DEPTH)) {
    json_peek(&r);
    if (r.p < r.end) json_expected(&r, "the end of the text");
  }
  caw_free(r.seen);
  if (r.err) memset(message, 0, t->size);
  return r.err;
}
