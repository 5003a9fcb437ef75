/*
 * Copying and merging: one function, since a copy is merged into an empty
 * message. Recursive to at most CAW_PB_DEPTH.
 */
#include "pb/wire.h"

#include <caw/status.h>

static int merge_message(caw_arena *arena, const caw_pb_message *t, uint8_t *to,
                         const uint8_t *from, int depth);

static int copy_str(caw_arena *arena, uint8_t *to, const uint8_t *from) {
  caw_str s = pb_load_str(from), copy = {NULL, 0};
  if (s.len && !s.data) return CAW_EINVAL;
  if (s.len) copy = caw_arena_dup(arena, s);
  if (s.len && !copy.data) return CAW_ENOMEM;
  memcpy(to, &copy, sizeof(copy));
  return 0;
}

/* One value that is no message. */
static int copy_scalar(caw_arena *arena, unsigned type, uint8_t *to, const uint8_t *from) {
  if (type == CAW_PB_STRING || type == CAW_PB_BYTES) return copy_str(arena, to, from);
  memcpy(to, from, pb_scalar_size(type));
  return 0;
}

/* Merges a message into the one that the pointer at `at` has, or a new one.
 * NULL is an empty message. */
static int merge_sub(caw_arena *arena, const caw_pb_field *f, uint8_t *at, const uint8_t *from,
                     int depth) {
  uint8_t *to = pb_load_ptr(at);
  if (!depth) return CAW_EDEPTH;
  if (!to) {
    to = caw_arena_calloc(arena, 1, pb_sub(f)->size);
    if (!to) return CAW_ENOMEM;
    memcpy(at, &to, sizeof(to));
  }
  return from ? merge_message(arena, pb_sub(f), to, from, depth - 1) : 0;
}

/* Appends the elements of one array to the other, which gets new memory. */
static int merge_repeated(caw_arena *arena, const caw_pb_field *f, uint8_t *at,
                          const uint8_t *from_at, int depth) {
  pb_array to = pb_array_load(at), from = pb_array_load(from_at);
  bool message = pb_is_message(f->type);
  size_t size = message ? pb_sub(f)->size : pb_scalar_size(f->type);
  if (!from.len) return 0;
  if (!from.items || (to.len && !to.items)) return CAW_EINVAL;
  if (message && !depth) return CAW_EDEPTH;
  if (from.len > SIZE_MAX - to.len) return CAW_ENOMEM;
  uint8_t *items = caw_arena_calloc(arena, to.len + from.len, size);
  if (!items) return CAW_ENOMEM;
  if (to.len) memcpy(items, to.items, to.len * size);
  pb_array all = {items, to.len};
  items += to.len * size;
  int rc = 0;
  for (size_t i = 0; i < from.len && !rc; i++, items += size) {
    const uint8_t *item = (uint8_t *)from.items + i * size;
    rc = message ? merge_message(arena, pb_sub(f), items, item, depth - 1)
                 : copy_scalar(arena, f->type, items, item);
    if (!rc) all.len++;
  }
  bool merged = to.len != 0;
  memcpy(at, &all, sizeof(all));
  return rc || !merged || !(f->flags & CAW_PB_MAP) ? rc : pb_unique_map(f, at);
}

/* The pieces of `from` become one of `to`. */
static int merge_unknown(caw_arena *arena, uint8_t *to, const uint8_t *from) {
  const caw_pb_unknown *end = pb_load_ptr(from), *u = end;
  caw_pb_unknown *last = pb_load_ptr(to);
  size_t len = 0;
  if (!end) return 0;
  do {
    u = u->next;
    if (u->len > PB_MAX_LEN - len) return CAW_ENOMEM;
    len += u->len;
  } while (u != end);
  caw_pb_unknown *piece = caw_arena_alloc(arena, sizeof(*piece));
  uint8_t *data = caw_arena_alloc(arena, len);
  if (!piece || !data) return CAW_ENOMEM;
  *piece = (caw_pb_unknown){last ? last->next : piece, data, len};
  do {
    u = u->next;
    if (u->len) memcpy(data, u->data, u->len);
    data += u->len;
  } while (u != end);
  if (last) last->next = piece;
  memcpy(to, &piece, sizeof(piece));
  return 0;
}

/* A field of `from` that is present and not repeated. */
static int merge_single(caw_arena *arena, const caw_pb_field *f, uint8_t *to, const uint8_t *from,
                        int depth) {
  uint8_t *at = to + f->offset;
  uint32_t number = f->tag >> 3;
  int rc;
  if (pb_is_message(f->type)) {
    if ((f->flags & CAW_PB_ONEOF) && pb_load32(to + f->has) != number) {
      /* Another member of the oneof has the place: nothing to merge with. */
      memset(to + f->has, 0, sizeof(number));
      memset(at, 0, sizeof(void *));
    }
    rc = merge_sub(arena, f, at, pb_load_ptr(from + f->offset), depth);
    /* What is there now is that message, even if only a part of it. */
    if (rc && !pb_load_ptr(at)) return rc;
  } else {
    rc = copy_scalar(arena, f->type, at, from + f->offset);
    if (rc) return rc;
  }
  if (f->flags & CAW_PB_HAS) to[f->has] = 1;
  if (f->flags & CAW_PB_ONEOF) memcpy(to + f->has, &number, sizeof(number));
  return rc;
}

static int merge_message(caw_arena *arena, const caw_pb_message *t, uint8_t *to,
                         const uint8_t *from, int depth) {
  const caw_pb_field *f = t->fields, *last = pb_fields_end(t);
  int rc = 0;
  for (; f < last && !rc; f++) {
    if (f->flags & CAW_PB_REPEATED)
      rc = merge_repeated(arena, f, to + f->offset, from + f->offset, depth);
    else if (pb_present(t, f, from)) rc = merge_single(arena, f, to, from, depth);
  }
  return rc || (t->flags & CAW_PB_ENTRY) ? rc : merge_unknown(arena, to, from);
}

int caw_pb_merge(void *to, caw_arena *arena, const caw_type *type, const void *from) {
  const caw_pb_message *t = caw_pb_table(type);
  return t ? merge_message(arena, t, to, from, CAW_PB_DEPTH) : CAW_EINVAL;
}

int caw_pb_copy(void *to, caw_arena *arena, const caw_type *type, const void *from) {
  const caw_pb_message *t = caw_pb_table(type);
  if (!t) return CAW_EINVAL;
  memset(to, 0, t->size);
  int rc = merge_message(arena, t, to, from, CAW_PB_DEPTH);
  if (rc) memset(to, 0, t->size);
  return rc;
}
