/*
 * Maps after decoding: the wire may carry a key twice, and the last entry
 * counts. Done once for the whole message, because a map that arrives in many
 * pieces would else be sorted once per piece.
 */
#include "pb/wire.h"

#include <caw/alloc.h>
#include <caw/status.h>

typedef struct keys {
  const uint8_t *items;
  size_t size; /* of an entry */
  const caw_pb_field *key;
} keys;

/* Some total order of the keys; only whether two are equal has a meaning. */
static int compare_keys(const caw_pb_field *key, const uint8_t *a, const uint8_t *b) {
  if (key->type != CAW_PB_STRING) return memcmp(a, b, pb_scalar_size(key->type));
  caw_str s = pb_load_str(a), t = pb_load_str(b);
  if (s.len != t.len) return s.len < t.len ? -1 : 1;
  return s.len ? memcmp(s.data, t.data, s.len) : 0;
}

static int compare(const keys *k, size_t i, size_t j) {
  return compare_keys(k->key, k->items + i * k->size + k->key->offset,
                      k->items + j * k->size + k->key->offset);
}

bool pb_same_key(const caw_pb_field *key, const uint8_t *a, const uint8_t *b) {
  return !compare_keys(key, a, b);
}

/* Merges the sorted halves from[low .. mid) and from[mid .. high). */
static void merge(const keys *k, const uint32_t *from, uint32_t *to, size_t low, size_t mid,
                  size_t high) {
  size_t i = low, j = mid;
  for (size_t n = low; n < high; n++) {
    if (i < mid && (j == high || compare(k, from[i], from[j]) <= 0)) to[n] = from[i++];
    else to[n] = from[j++];
  }
}

/* Sorts the indices 0 .. n-1 by key, equal ones in their order. Returns the one
 * of the two buffers that has the result. */
static uint32_t *sort(const keys *k, uint32_t *a, uint32_t *b, size_t n) {
  for (size_t i = 0; i < n; i++) a[i] = (uint32_t)i;
  for (size_t width = 1; width < n; width *= 2) {
    for (size_t low = 0; low < n; low += 2 * width) {
      size_t mid = low + width < n ? low + width : n;
      size_t high = mid + width < n ? mid + width : n;
      merge(k, a, b, low, mid, high);
    }
    uint32_t *t = a;
    a = b;
    b = t;
  }
  return a;
}

/* Moves the entries that stay to the front; drop[i] is not 0 for the others. */
static size_t compact(uint8_t *items, size_t size, const uint32_t *drop, size_t n) {
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) {
    if (drop[i]) continue;
    if (kept != i) memcpy(items + kept * size, items + i * size, size);
    kept++;
  }
  return kept;
}

/* Are the keys all different because each is greater than the one before? */
static bool ascending(const keys *k, size_t n) {
  for (size_t i = 1; i < n; i++)
    if (compare(k, i - 1, i) >= 0) return false;
  return true;
}

uint32_t *pb_sort_keys(const caw_pb_field *f, pb_array a) {
  keys k = {a.items, pb_sub(f)->size, pb_sub(f)->fields};
  if (a.len > UINT32_MAX) return NULL;
  uint32_t *mem = caw_calloc(2 * a.len, sizeof(uint32_t));
  if (!mem) return NULL;
  const uint32_t *order = sort(&k, mem, mem + a.len, a.len);
  if (order != mem) memcpy(mem, order, a.len * sizeof(uint32_t));
  return mem;
}

int pb_find_repeated_key(const caw_pb_field *f, pb_array a, size_t *index) {
  keys k = {a.items, pb_sub(f)->size, pb_sub(f)->fields};
  *index = a.len;
  if (a.len < 2 || ascending(&k, a.len)) return 0;
  uint32_t *order = pb_sort_keys(f, a);
  if (!order) return CAW_ENOMEM;
  for (size_t i = 1; i < a.len; i++)
    if (!compare(&k, order[i - 1], order[i])) *index = order[i];
  caw_free(order);
  return 0;
}

int pb_unique_map(const caw_pb_field *f, uint8_t *at) {
  pb_array a = pb_array_load(at);
  keys k = {a.items, pb_sub(f)->size, pb_sub(f)->fields};
  if (a.len < 2 || ascending(&k, a.len)) return 0;
  if (a.len > UINT32_MAX) return CAW_ENOMEM;
  uint32_t *mem = caw_calloc(2 * a.len, sizeof(uint32_t));
  if (!mem) return CAW_ENOMEM;
  uint32_t *order = sort(&k, mem, mem + a.len, a.len);
  uint32_t *drop = order == mem ? mem + a.len : mem;
  bool any = false;
  memset(drop, 0, a.len * sizeof(uint32_t));
  for (size_t i = 1; i < a.len; i++) {
    if (compare(&k, order[i - 1], order[i])) continue;
    drop[order[i - 1]] = 1;
    any = true;
  }
  if (any) {
    a.len = compact(a.items, k.size, drop, a.len);
    memcpy(at, &a, sizeof(a));
  }
  caw_free(mem);
  return 0;
}

/* Goes through the messages of one field. */
static int descend(const caw_pb_field *f, uint8_t *m) {
  const caw_pb_message *sub = pb_sub(f);
  if (f->flags & CAW_PB_REPEATED) {
    pb_array a = pb_array_load(m + f->offset);
    for (size_t i = 0; i < a.len; i++) {
      int rc = pb_unique_keys(sub, (uint8_t *)a.items + i * sub->size);
      if (rc) return rc;
    }
    return 0;
  }
  if ((f->flags & CAW_PB_ONEOF) && pb_load32(m + f->has) != f->tag >> 3) return 0;
  uint8_t *p = pb_load_ptr(m + f->offset);
  return p ? pb_unique_keys(sub, p) : 0;
}

/* Recursive as deep as decoding was, which is at most CAW_PB_DEPTH. */
int pb_unique_keys(const caw_pb_message *t, uint8_t *m) {
  if (!(t->flags & CAW_PB_MAPS)) return 0;
  for (size_t i = 0; i < t->field_count; i++) {
    const caw_pb_field *f = &t->fields[i];
    if (!pb_is_message(f->type)) continue;
    int rc = f->flags & CAW_PB_MAP ? pb_unique_map(f, m + f->offset) : 0;
    if (!rc) rc = descend(f, m);
    if (rc) return rc;
  }
  return 0;
}
