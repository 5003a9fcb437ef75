/* Are two messages the same data? Recursive to at most CAW_PB_DEPTH. */
#include "pb/wire.h"

#include <caw/alloc.h>
#include <caw/status.h>

typedef struct comparer {
  int err;
} comparer;

static bool same_message(comparer *c, const caw_pb_message *t, const uint8_t *a, const uint8_t *b,
                         int depth);

static bool fail(comparer *c, int err) {
  if (!c->err) c->err = err;
  return false;
}

/* Is every bit of the exponent set, and one of the fraction: NaN? */
static bool is_nan(unsigned type, uint64_t bits) {
  if (type == CAW_PB_FLOAT) return (bits & 0x7fffffff) > 0x7f800000;
  return (bits & INT64_MAX) > UINT64_C(0x7ff0000000000000);
}

static bool same_scalar(unsigned type, const uint8_t *a, const uint8_t *b) {
  bool floating = type == CAW_PB_DOUBLE || type == CAW_PB_FLOAT;
  switch (pb_scalar_size(type)) {
  case 1:
    return !*a == !*b;
  case 4:
    return pb_load32(a) == pb_load32(b) ||
           (floating && is_nan(type, pb_load32(a)) && is_nan(type, pb_load32(b)));
  case 8:
    return pb_load64(a) == pb_load64(b) ||
           (floating && is_nan(type, pb_load64(a)) && is_nan(type, pb_load64(b)));
  default:
    return caw_str_eq(pb_load_str(a), pb_load_str(b));
  }
}

/* Two messages that are present; NULL is an empty one. */
static bool same_sub(comparer *c, const caw_pb_field *f, const uint8_t *a, const uint8_t *b,
                     int depth) {
  if (!depth) return fail(c, CAW_EDEPTH);
  if (!a && !b) return true;
  return same_message(c, pb_sub(f), a, b, depth - 1);
}

static bool same_array(comparer *c, const caw_pb_field *f, pb_array a, pb_array b, int depth) {
  bool message = pb_is_message(f->type);
  size_t size = message ? pb_sub(f)->size : pb_scalar_size(f->type);
  const uint8_t *x = a.items, *y = b.items;
  for (size_t i = 0; i < a.len; i++, x += size, y += size)
    if (message ? !same_sub(c, f, x, y, depth) : !same_scalar(f->type, x, y)) return false;
  return true;
}

/* The value of an entry: of the same key in the other map, already. */
static bool same_value(comparer *c, const caw_pb_field *value, const uint8_t *a, const uint8_t *b,
                       int depth) {
  a += value->offset;
  b += value->offset;
  if (!pb_is_message(value->type)) return same_scalar(value->type, a, b);
  return same_sub(c, value, pb_load_ptr(a), pb_load_ptr(b), depth);
}

/* Entries in pairs of the same key; the order of the keys is that of `x` and
 * `y`, or of the maps themselves where these are NULL. */
static bool same_entries(comparer *c, const caw_pb_message *t, pb_array a, pb_array b,
                         const uint32_t *x, const uint32_t *y, int depth) {
  const caw_pb_field *key = &t->fields[0], *value = &t->fields[1];
  for (size_t i = 0; i < a.len; i++) {
    const uint8_t *p = (uint8_t *)a.items + (x ? x[i] : i) * t->size;
    const uint8_t *q = (uint8_t *)b.items + (y ? y[i] : i) * t->size;
    if (!pb_same_key(key, p + key->offset, q + key->offset)) return false;
    if (!same_value(c, value, p, q, depth)) return false;
  }
  return true;
}

/* Do the keys come in the same order? */
static bool same_order(const caw_pb_message *t, pb_array a, pb_array b) {
  const caw_pb_field *key = &t->fields[0];
  for (size_t i = 0; i < a.len; i++)
    if (!pb_same_key(key, (uint8_t *)a.items + i * t->size + key->offset,
                     (uint8_t *)b.items + i * t->size + key->offset))
      return false;
  return true;
}

static bool same_map(comparer *c, const caw_pb_field *f, pb_array a, pb_array b, int depth) {
  const caw_pb_message *t = pb_sub(f);
  if (!depth) return fail(c, CAW_EDEPTH);
  if (same_order(t, a, b)) return same_entries(c, t, a, b, NULL, NULL, depth - 1);
  uint32_t *x = pb_sort_keys(f, a), *y = x ? pb_sort_keys(f, b) : NULL;
  bool same = x && y ? same_entries(c, t, a, b, x, y, depth - 1) : fail(c, CAW_ENOMEM);
  caw_free(x);
  caw_free(y);
  return same;
}

static bool same_repeated(comparer *c, const caw_pb_field *f, const uint8_t *a, const uint8_t *b,
                          int depth) {
  pb_array x = pb_array_load(a), y = pb_array_load(b);
  if (x.len != y.len) return false;
  if (!x.len) return true;
  if (!x.items || !y.items) return fail(c, CAW_EINVAL);
  return f->flags & CAW_PB_MAP ? same_map(c, f, x, y, depth) : same_array(c, f, x, y, depth);
}

/* The pieces may be cut at different places. */
static bool same_unknown(const uint8_t *a, const uint8_t *b) {
  const caw_pb_unknown *x = pb_load_ptr(a), *y = pb_load_ptr(b), *last_x = x, *last_y = y;
  size_t done_x = 0, done_y = 0;
  if (!x || !y) return x == y;
  x = x->next;
  y = y->next;
  for (;;) {
    size_t n = x->len - done_x < y->len - done_y ? x->len - done_x : y->len - done_y;
    if (n && memcmp(x->data + done_x, y->data + done_y, n) != 0) return false;
    done_x += n;
    done_y += n;
    bool end_x = done_x == x->len && x == last_x, end_y = done_y == y->len && y == last_y;
    if (end_x || end_y) return end_x && end_y;
    if (done_x == x->len) {
      x = x->next;
      done_x = 0;
    }
    if (done_y == y->len) {
      y = y->next;
      done_y = 0;
    }
  }
}

static bool same_field(comparer *c, const caw_pb_message *t, const caw_pb_field *f,
                       const uint8_t *a, const uint8_t *b, int depth) {
  if (f->flags & CAW_PB_REPEATED) return same_repeated(c, f, a + f->offset, b + f->offset, depth);
  bool there = pb_present(t, f, a);
  if (there != pb_present(t, f, b)) return false;
  if (!there) return true;
  if (!pb_is_message(f->type)) return same_scalar(f->type, a + f->offset, b + f->offset);
  return same_sub(c, f, pb_load_ptr(a + f->offset), pb_load_ptr(b + f->offset), depth);
}

static bool is_empty(const caw_pb_message *t, const uint8_t *m) {
  for (size_t i = 0; i < t->field_count; i++) {
    const caw_pb_field *f = &t->fields[i];
    if (f->flags & CAW_PB_REPEATED ? pb_array_load(m + f->offset).len : pb_present(t, f, m))
      return false;
  }
  return !pb_load_ptr(m);
}

static bool same_message(comparer *c, const caw_pb_message *t, const uint8_t *a, const uint8_t *b,
                         int depth) {
  if (!a || !b) return is_empty(t, a ? a : b);
  for (size_t i = 0; i < t->field_count; i++)
    if (!same_field(c, t, &t->fields[i], a, b, depth)) return false;
  return same_unknown(a, b);
}

int caw_pb_equal(bool *equal, const caw_type *type, const void *a, const void *b) {
  const caw_pb_message *t = caw_pb_table(type);
  comparer c = {0};
  *equal = false;
  if (!t) return CAW_EINVAL;
  *equal = same_message(&c, t, a, b, CAW_PB_DEPTH);
  return c.err;
}
