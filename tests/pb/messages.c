/* Random messages. */
#include "messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct array {
  void *items;
  size_t len;
} array;

/* assert, also in release builds. */
static void must(bool condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "messages.c: %s\n", what);
  abort();
}

uint64_t rng_next(rng *r) {
  uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

uint64_t rng_below(rng *r, uint64_t n) {
  return rng_next(r) % n;
}

/* Numbers of every length as varints, with the ends of the ranges among them. */
static uint64_t number(rng *r) {
  uint64_t v = rng_next(r) >> rng_below(r, 64);
  switch (rng_below(r, 8)) {
  case 0:
    return 0;
  case 1:
    return UINT64_MAX;
  case 2:
    return (uint64_t)1 << rng_below(r, 64);
  case 3:
    return 0 - v;
  default:
    return v;
  }
}

static caw_str text(rng *r, caw_arena *arena, bool utf8) {
  static const char *const letters[] = {
      "a", "Z", " ", "\"", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x01", "\xef\xbf\xbd"};
  size_t n = rng_below(r, rng_below(r, 16) ? 12 : 300);
  char *out = caw_arena_alloc(arena, 4 * n + 1), *p = out;
  must(out, "out of memory");
  for (size_t i = 0; i < n; i++) {
    const char *letter = letters[rng_below(r, 3) ? 0 : rng_below(r, 9)];
    if (!utf8) *p++ = (char)rng_next(r);
    else p += strlen(strcpy(p, letter));
  }
  return caw_str_of(out, (size_t)(p - out));
}

static void *arena_zeroed(caw_arena *arena, size_t n, size_t size) {
  void *p = caw_arena_calloc(arena, n, size);
  must(p, "out of memory");
  return p;
}

static const caw_pb_message *sub_of(const caw_pb_field *f) {
  return caw_pb_table(f->sub);
}

static size_t size_of(const caw_pb_field *f) {
  static const uint8_t sizes[] = {0, 8, 4, 8, 8, 4, 8, 4, 1, sizeof(caw_str), 0, 0, sizeof(caw_str),
                                  4, 4, 4, 8, 4, 8};
  return f->type == CAW_PB_MESSAGE || f->type == CAW_PB_GROUP ? sub_of(f)->size : sizes[f->type];
}

/* One value in place; for a message, the message itself. */
static void fill_value(rng *r, const caw_pb_field *f, uint8_t *at, caw_arena *arena, int depth) {
  uint64_t v = number(r);
  uint32_t low = (uint32_t)v;
  const caw_pb_enum *e = f->sub;
  switch (f->type) {
  case CAW_PB_MESSAGE:
  case CAW_PB_GROUP:
    messages_fill(r, sub_of(f), at, arena, depth - 1);
    break;
  case CAW_PB_STRING:
  case CAW_PB_BYTES: {
    caw_str s = text(r, arena, f->type == CAW_PB_STRING);
    memcpy(at, &s, sizeof(s));
    break;
  }
  case CAW_PB_BOOL:
    *at = v & 1;
    break;
  case CAW_PB_ENUM:
    if (f->flags & CAW_PB_CLOSED) low = (uint32_t)e->values[v % e->value_count].number;
    memcpy(at, &low, 4);
    break;
  default:
    if (size_of(f) == 4) memcpy(at, &low, 4);
    else memcpy(at, &v, 8);
  }
}

static int by_key(const caw_pb_field *key, const uint8_t *a, const uint8_t *b) {
  a += key->offset;
  b += key->offset;
  if (key->type != CAW_PB_STRING) return memcmp(a, b, size_of(key));
  caw_str s, t;
  memcpy(&s, a, sizeof(s));
  memcpy(&t, b, sizeof(t));
  int c = memcmp(s.data ? s.data : "", t.data ? t.data : "", s.len < t.len ? s.len : t.len);
  return c ? c : s.len < t.len ? -1 : s.len > t.len;
}

/* Sorts a small array of entries and drops those with a key that another has. */
static void sort_entries(const caw_pb_field *f, array *a) {
  size_t size = size_of(f);
  const caw_pb_field *key = sub_of(f)->fields;
  uint8_t *items = a->items, swap[64];
  must(size <= sizeof(swap), "an entry is too large");
  for (size_t i = 1; i < a->len; i++)
    for (size_t k = i; k && by_key(key, items + k * size, items + (k - 1) * size) < 0; k--) {
      memcpy(swap, items + k * size, size);
      memcpy(items + k * size, items + (k - 1) * size, size);
      memcpy(items + (k - 1) * size, swap, size);
    }
  size_t kept = 0;
  for (size_t i = 0; i < a->len; i++) {
    if (kept && !by_key(key, items + (kept - 1) * size, items + i * size)) continue;
    memmove(items + kept * size, items + i * size, size);
    kept++;
  }
  a->len = kept;
}

static void fill_repeated(rng *r, const caw_pb_field *f, uint8_t *at, caw_arena *arena, int depth) {
  array a = {NULL, rng_below(r, 5)};
  if (!rng_below(r, 16) && f->type != CAW_PB_MESSAGE && f->type != CAW_PB_GROUP) a.len *= 30;
  a.items = arena_zeroed(arena, a.len, size_of(f));
  for (size_t i = 0; i < a.len; i++)
    fill_value(r, f, (uint8_t *)a.items + i * size_of(f), arena, depth);
  if (f->flags & CAW_PB_MAP) sort_entries(f, &a);
  memcpy(at, &a, sizeof(a));
}

static void fill_field(rng *r, const caw_pb_field *f, uint8_t *m, caw_arena *arena, int depth) {
  bool message = f->type == CAW_PB_MESSAGE || f->type == CAW_PB_GROUP;
  if (message && !depth) return;
  if (f->flags & CAW_PB_REPEATED) {
    fill_repeated(r, f, m + f->offset, arena, depth);
    return;
  }
  if (message) {
    void *sub = arena_zeroed(arena, 1, size_of(f));
    fill_value(r, f, sub, arena, depth);
    memcpy(m + f->offset, &sub, sizeof(sub));
  } else {
    fill_value(r, f, m + f->offset, arena, depth);
  }
  uint32_t number = f->tag >> 3;
  if (f->flags & CAW_PB_HAS) m[f->has] = 1;
  if (f->flags & CAW_PB_ONEOF) memcpy(m + f->has, &number, 4);
}

void messages_fill(rng *r, const caw_pb_message *t, void *m, caw_arena *arena, int depth) {
  static const uint8_t shares[] = {2, 4, 16, 64};
  uint64_t share = t->field_count < 16 ? 3 : shares[rng_below(r, 4)] * (depth < 3 ? 4u : 1u);
  for (size_t i = 0; i < t->field_count; i++) {
    const caw_pb_field *f = &t->fields[i];
    if ((t->flags & CAW_PB_ENTRY) || (f->flags & CAW_PB_REQUIRED) || !rng_below(r, share))
      fill_field(r, f, m, arena, depth < 0 ? 0 : depth);
  }
}

static void normalize_repeated(const caw_pb_field *f, uint8_t *at) {
  array a;
  memcpy(&a, at, sizeof(a));
  for (size_t i = 0; i < a.len; i++)
    messages_normalize(sub_of(f), (uint8_t *)a.items + i * size_of(f));
  if (f->flags & CAW_PB_MAP) {
    size_t len = a.len;
    sort_entries(f, &a);
    must(a.len == len, "decoding left a key twice");
  }
}

void messages_normalize(const caw_pb_message *t, void *message) {
  uint8_t *m = message;
  for (size_t i = 0; i < t->field_count; i++) {
    const caw_pb_field *f = &t->fields[i];
    if (f->type != CAW_PB_MESSAGE && f->type != CAW_PB_GROUP) continue;
    uint32_t number = 0;
    void *sub;
    if (f->flags & CAW_PB_ONEOF) memcpy(&number, m + f->has, 4);
    if ((f->flags & CAW_PB_ONEOF) && number != f->tag >> 3) continue;
    memcpy(&sub, m + f->offset, sizeof(sub));
    if (f->flags & CAW_PB_REPEATED) normalize_repeated(f, m + f->offset);
    else if (sub) messages_normalize(sub_of(f), sub);
  }
}
