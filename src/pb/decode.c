/*
 * Bytes to messages. One function per message level, recursive to at most
 * CAW_PB_DEPTH; the tables say what to expect, and the field that follows the
 * last one in the table is tried first.
 *
 * Memory: an array is counted before it is allocated. The elements that follow
 * one another on the wire (a run) are counted once, allocated exactly, and
 * decoded in one loop. Each array has its capacity in the 8 bytes before its
 * items; one that gets a second run doubles, so that scattered elements cost
 * linear time. Everything is taken from a budget, see take().
 */
#include "base/arena.h"
#include "pb/wire.h"

#include <caw/status.h>

/* Inlined into each of its few callers: 13 % fewer instructions for a chat
 * message of 12 fields than what the compiler chooses (gcc 12 -O2, callgrind). */
#if defined(__GNUC__) || defined(__clang__)
#define HOT static inline __attribute__((always_inline))
#else
#define HOT static inline
#endif

typedef struct decoder {
  caw_arena *arena;
  size_t budget;  /* bytes that may still be taken */
  int err;        /* why decoding stopped */
  bool maps;      /* some map has more than one entry */
  bool odd_entry; /* the entry just decoded has a value that its enum lacks */
} decoder;

static const uint8_t *decode_message(decoder *d, const caw_pb_message *t, uint8_t *m,
                                     const uint8_t *p, const uint8_t *end, uint32_t group,
                                     int depth);

static const uint8_t *fail(decoder *d, int err) {
  d->err = err;
  return NULL;
}

/*
 * Takes n bytes from the arena, aligned to 8: nothing in a message needs the 16
 * that the arena gives to others, and small pieces are what messages are made
 * of. finish_arena() sets the alignment right again.
 */
static void *take(decoder *d, size_t n) {
  caw_arena *a = d->arena;
  void *p = NULL;
  n = (n + 7) & ~(size_t)7;
  bool fits = n <= (size_t)(a->end - a->cur);
  if (!fits) n = (n + 15) & ~(size_t)15; /* what the arena will count */
  if (n <= d->budget && n <= a->limit - a->used) {
    if (fits) {
      p = a->cur;
      a->cur += n;
      a->used += n;
    } else {
      p = caw_arena_alloc(a, n);
    }
  }
  if (p) d->budget -= n;
  else d->err = CAW_ENOMEM;
  return p;
}

static void finish_arena(caw_arena *a) {
  size_t odd = (size_t)((uintptr_t)a->cur & 15);
  size_t pad = odd ? 16 - odd : 0;
  if (pad > (size_t)(a->end - a->cur)) pad = (size_t)(a->end - a->cur);
  if (pad > a->limit - a->used) a->limit = a->used + pad;
  if (pad) a->cur += pad;
  a->used += pad;
}

static void *take_zeroed(decoder *d, size_t n) {
  void *p = take(d, n);
  if (p) memset(p, 0, n);
  return p;
}

/* -- tokens -------------------------------------------------------------- */

static const uint8_t *varint_slow(const uint8_t *p, const uint8_t *end, uint64_t *v) {
  uint64_t x = 0;
  for (unsigned shift = 0; shift < 70 && p < end; shift += 7) {
    uint8_t b = *p++;
    x |= (uint64_t)(b & 0x7f) << (shift < 64 ? shift : 63);
    if (b < 0x80) {
      *v = x;
      return p;
    }
  }
  return NULL;
}

/* Reads a varint of at most 10 bytes; bits beyond 64 are dropped, as all
 * implementations do. NULL when it is longer or cut off. */
static inline const uint8_t *get_varint(const uint8_t *p, const uint8_t *end, uint64_t *v) {
  if (p < end && *p < 0x80) {
    *v = *p;
    return p + 1;
  }
  return varint_slow(p, end, v);
}

/* Reads a tag: at most 5 bytes, 32 bits, and a field number above 0. */
static inline const uint8_t *get_tag(const uint8_t *p, const uint8_t *end, uint32_t *tag) {
  uint64_t v;
  const uint8_t *q = get_varint(p, end, &v);
  if (!q || v > UINT32_MAX || v < 8 || q - p > 5) return NULL;
  *tag = (uint32_t)v;
  return q;
}

/* Reads a length and checks that as many bytes follow. */
static inline const uint8_t *get_len(const uint8_t *p, const uint8_t *end, size_t *len) {
  uint64_t v;
  p = get_varint(p, end, &v);
  if (!p || v > (size_t)(end - p)) return NULL;
  *len = (size_t)v;
  return p;
}

/* Skips a value that is no group. */
static const uint8_t *skip_plain(const uint8_t *p, const uint8_t *end, unsigned wire) {
  uint64_t v;
  size_t len = wire == WIRE_64 ? 8 : 4;
  if (wire == WIRE_VARINT) return get_varint(p, end, &v);
  if (wire == WIRE_LEN) p = get_len(p, end, &len);
  else if (wire != WIRE_64 && wire != WIRE_32) return NULL;
  return p && len <= (size_t)(end - p) ? p + len : NULL;
}

/* Skips the inside of a group of which the start tag has been read, up to and
 * with its end tag. `depth` is how many more levels may open. */
static const uint8_t *skip_group(decoder *d, const uint8_t *p, const uint8_t *end, uint32_t number,
                                 int depth) {
  uint32_t open[CAW_PB_DEPTH + 1];
  int level = 0;
  open[0] = number;
  while (level >= 0) {
    uint32_t tag;
    p = get_tag(p, end, &tag);
    if (!p) return fail(d, CAW_EMALFORMED);
    if ((tag & 7) == WIRE_START) {
      if (level == depth) return fail(d, CAW_EDEPTH);
      open[++level] = tag >> 3;
    } else if ((tag & 7) == WIRE_END) {
      if (open[level--] != tag >> 3) return fail(d, CAW_EMALFORMED);
    } else {
      p = skip_plain(p, end, tag & 7);
      if (!p) return fail(d, CAW_EMALFORMED);
    }
  }
  return p;
}

static const uint8_t *skip_value(decoder *d, const uint8_t *p, const uint8_t *end, uint32_t tag,
                                 int depth) {
  if ((tag & 7) == WIRE_START) {
    if (!depth) return fail(d, CAW_EDEPTH);
    return skip_group(d, p, end, tag >> 3, depth - 1);
  }
  p = skip_plain(p, end, tag & 7);
  return p ? p : fail(d, CAW_EMALFORMED);
}

/* -- unknown fields ------------------------------------------------------ */

/* Appends a piece to a message's unknown fields. Pieces that touch become one,
 * so that a message of a newer schema costs few of them. */
static bool keep_unknown(decoder *d, const caw_pb_message *t, uint8_t *m, const uint8_t *data,
                         size_t len) {
  if (t->flags & CAW_PB_ENTRY) return true;
  caw_pb_unknown *last = pb_load_ptr(m);
  if (last && last->data + last->len == data) {
    last->len += len;
    return true;
  }
  caw_pb_unknown *piece = take(d, sizeof(*piece));
  if (!piece) return false;
  piece->next = last ? last->next : piece;
  piece->data = data;
  piece->len = len;
  if (last) last->next = piece;
  memcpy(m, &piece, sizeof(piece));
  return true;
}

static bool enum_lacks(const caw_pb_field *f, uint64_t v) {
  return !caw_pb_enum_name(f->sub, (int32_t)(uint32_t)v);
}

/* -- single values ------------------------------------------------------- */

static inline void store32(uint8_t *at, uint32_t v) {
  memcpy(at, &v, sizeof(v));
}

static inline void store64(uint8_t *at, uint64_t v) {
  memcpy(at, &v, sizeof(v));
}

/* Decodes one value of a type other than a message into `at`. */
HOT const uint8_t *decode_scalar(decoder *d, const caw_pb_field *f, uint8_t *at, const uint8_t *p,
                                 const uint8_t *end) {
  uint64_t v;
  size_t len;
  switch (f->type) {
  case CAW_PB_STRING:
  case CAW_PB_BYTES:
    p = get_len(p, end, &len);
    if (!p) break;
    if ((f->flags & CAW_PB_UTF8) && !pb_utf8_valid(p, len)) return fail(d, CAW_EUTF8);
    caw_str s = {(const char *)p, len};
    memcpy(at, &s, sizeof(s));
    return p + len;
  case CAW_PB_INT32:
  case CAW_PB_UINT32:
  case CAW_PB_ENUM:
    p = get_varint(p, end, &v);
    if (!p) break;
    store32(at, (uint32_t)v);
    return p;
  case CAW_PB_INT64:
  case CAW_PB_UINT64:
    p = get_varint(p, end, &v);
    if (!p) break;
    store64(at, v);
    return p;
  case CAW_PB_BOOL:
    p = get_varint(p, end, &v);
    if (!p) break;
    *at = v != 0;
    return p;
  case CAW_PB_SINT32:
    p = get_varint(p, end, &v);
    if (!p) break;
    store32(at, (uint32_t)pb_unzigzag((uint32_t)v));
    return p;
  case CAW_PB_SINT64:
    p = get_varint(p, end, &v);
    if (!p) break;
    store64(at, pb_unzigzag(v));
    return p;
  case CAW_PB_DOUBLE:
  case CAW_PB_FIXED64:
  case CAW_PB_SFIXED64:
    if (end - p < 8) break;
    store64(at, pb_get64(p));
    return p + 8;
  default: /* FLOAT, FIXED32, SFIXED32 */
    if (end - p < 4) break;
    store32(at, pb_get32(p));
    return p + 4;
  }
  return fail(d, CAW_EMALFORMED);
}

/* Decodes a message or group into `m`, one level down. */
static const uint8_t *decode_sub(decoder *d, const caw_pb_field *f, uint8_t *m, const uint8_t *p,
                                 const uint8_t *end, int depth) {
  if (!depth) return fail(d, CAW_EDEPTH);
  if (f->type == CAW_PB_GROUP)
    return decode_message(d, pb_sub(f), m, p, end, f->tag >> 3, depth - 1);
  size_t len;
  p = get_len(p, end, &len);
  if (!p) return fail(d, CAW_EMALFORMED);
  return decode_message(d, pb_sub(f), m, p, p + len, 0, depth - 1);
}

/* A message field that is not repeated: one that is there already is merged. */
static const uint8_t *decode_single(decoder *d, const caw_pb_field *f, uint8_t *m, const uint8_t *p,
                                    const uint8_t *end, int depth) {
  uint8_t *sub = pb_load_ptr(m + f->offset);
  if ((f->flags & CAW_PB_ONEOF) && pb_load32(m + f->has) != f->tag >> 3) sub = NULL;
  if (!sub) {
    sub = take_zeroed(d, pb_sub(f)->size);
    if (!sub) return NULL;
    memcpy(m + f->offset, &sub, sizeof(sub));
  }
  return decode_sub(d, f, sub, p, end, depth);
}

/* A value of a closed enum: kept as an unknown field when the enum lacks it.
 * `start` is where the field's tag begins. */
static const uint8_t *decode_closed(decoder *d, const caw_pb_message *t, const caw_pb_field *f,
                                    uint8_t *m, const uint8_t *start, const uint8_t *p,
                                    const uint8_t *end, bool *lacks) {
  uint64_t v;
  p = get_varint(p, end, &v);
  if (!p) return fail(d, CAW_EMALFORMED);
  *lacks = enum_lacks(f, v);
  if (!*lacks) return p;
  if (t->flags & CAW_PB_ENTRY) d->odd_entry = true;
  else if (!keep_unknown(d, t, m, start, (size_t)(p - start))) return NULL;
  return p;
}

/* -- repeated fields ----------------------------------------------------- */

static size_t element_size(const caw_pb_field *f) {
  return pb_is_message(f->type) ? pb_sub(f)->size : pb_scalar_size(f->type);
}

/* Makes room for `more` elements behind those of the array at `at`, and
 * returns the room; elements that are messages are zeroed. */
static uint8_t *array_extend(decoder *d, const caw_pb_field *f, uint8_t *at, size_t more) {
  pb_array a = pb_array_load(at);
  size_t size = element_size(f);
  uint64_t room = a.items ? pb_load64((uint8_t *)a.items - 8) : 0;
  if (room - a.len < more) {
    room = a.len + more > 2 * room ? a.len + more : 2 * room;
    if (room > (SIZE_MAX - 32) / size) {
      d->err = CAW_ENOMEM;
      return NULL;
    }
    uint8_t *items = take(d, 8 + (size_t)room * size);
    if (!items) return NULL;
    store64(items, room);
    items += 8;
    if (a.len) memcpy(items, a.items, a.len * size);
    if (pb_is_message(f->type)) memset(items + a.len * size, 0, ((size_t)room - a.len) * size);
    a.items = items;
    memcpy(at, &a, sizeof(a));
  }
  return (uint8_t *)a.items + a.len * size;
}

static void array_add_len(uint8_t *at, size_t count) {
  pb_array a = pb_array_load(at);
  a.len += count;
  memcpy(at, &a, sizeof(a));
}

/* How many values with the same tag follow one another; p is behind the first
 * tag. Damaged bytes end the count, and decoding will find them. A group ends
 * it too: finding its end could cost as much as decoding it. */
static size_t count_run(const uint8_t *tag, size_t tag_len, const uint8_t *p, const uint8_t *end,
                        unsigned wire) {
  size_t n = 1;
  if (wire == WIRE_START) return 1;
  while ((p = skip_plain(p, end, wire)) && (size_t)(end - p) > tag_len && *p == *tag &&
         !memcmp(p, tag, tag_len)) {
    n++;
    p += tag_len;
  }
  return n;
}

/* One element of a run. Sets *odd when it went to the unknown fields. */
static inline const uint8_t *decode_element(decoder *d, const caw_pb_message *t,
                                            const caw_pb_field *f, uint8_t *m, uint8_t *at,
                                            const uint8_t *start, const uint8_t *p,
                                            const uint8_t *end, int depth, bool *odd) {
  if (!pb_is_message(f->type)) {
    if ((f->flags & CAW_PB_CLOSED) && !decode_closed(d, t, f, m, start, p, end, odd)) return NULL;
    return decode_scalar(d, f, at, p, end);
  }
  p = decode_sub(d, f, at, p, end, depth);
  if (!p || !(f->flags & CAW_PB_MAP)) return p;
  const caw_pb_field *value = &pb_sub(f)->fields[1];
  if (d->odd_entry) {
    d->odd_entry = false;
    *odd = true;
    memset(at, 0, pb_sub(f)->size);
    return keep_unknown(d, t, m, start, (size_t)(p - start)) ? p : NULL;
  }
  if (pb_is_message(value->type) && !pb_load_ptr(at + value->offset)) {
    void *empty = take_zeroed(d, pb_sub(value)->size);
    if (!empty) return NULL;
    memcpy(at + value->offset, &empty, sizeof(empty));
  }
  return p;
}

/* Decodes a run of elements that are not packed. The first tag is at `start`,
 * its value at p. */
static const uint8_t *decode_run(decoder *d, const caw_pb_message *t, const caw_pb_field *f,
                                 uint8_t *m, const uint8_t *start, const uint8_t *p,
                                 const uint8_t *end, int depth) {
  const uint8_t *tag = start;
  size_t tag_len = (size_t)(p - start);
  size_t size = element_size(f), done = 0;
  unsigned wire = pb_wire_type(f->type);
  size_t count = count_run(tag, tag_len, p, end, wire);
  uint8_t *at = array_extend(d, f, m + f->offset, count);
  if (!at) return NULL;
  for (size_t i = 0; i < count; i++) {
    bool odd = false;
    if (i) p += tag_len;
    p = decode_element(d, t, f, m, at + done * size, start, p, end, depth, &odd);
    if (!p) return NULL;
    start = p;
    if (!odd) done++;
  }
  array_add_len(m + f->offset, done);
  if ((f->flags & CAW_PB_MAP) && pb_array_load(m + f->offset).len > 1) d->maps = true;
  return p;
}

static size_t count_varints(const uint8_t *p, const uint8_t *end) {
  size_t n = 0;
  for (; p < end; p++) n += *p < 0x80;
  return n;
}

/* The values of a packed field that its closed enum lacks, written as a packed
 * field of their own into the arena. p .. end is what was received. */
static bool keep_packed(decoder *d, const caw_pb_message *t, const caw_pb_field *f, uint8_t *m,
                        const uint8_t *p, const uint8_t *end) {
  uint8_t *out = take(d, 10 + (size_t)(end - p));
  if (!out) return false;
  uint8_t *to = out + 10;
  while (p < end) {
    uint64_t v;
    const uint8_t *next = get_varint(p, end, &v);
    if (!next) return fail(d, CAW_EMALFORMED) != NULL;
    if (enum_lacks(f, v)) {
      memcpy(to, p, (size_t)(next - p));
      to += next - p;
    }
    p = next;
  }
  uint64_t head[2] = {(uint64_t)(to - out - 10), (f->tag & ~7u) | WIRE_LEN};
  uint8_t *from = out + 10;
  for (int i = 0; i < 2; i++) {
    size_t n = pb_varint_size(head[i]);
    from -= n;
    for (size_t k = 0; k < n; k++)
      from[k] = (uint8_t)((head[i] >> (7 * k) & 0x7f) | (k + 1 < n ? 0x80 : 0));
  }
  return keep_unknown(d, t, m, from, (size_t)(to - from));
}

/* Decodes a packed field, p being at its length. */
static const uint8_t *decode_packed(decoder *d, const caw_pb_message *t, const caw_pb_field *f,
                                    uint8_t *m, const uint8_t *p, const uint8_t *end) {
  size_t len;
  p = get_len(p, end, &len);
  if (!p) return fail(d, CAW_EMALFORMED);
  if (!len) return p;
  end = p + len;
  size_t size = pb_scalar_size(f->type);
  bool fixed = pb_wire_type(f->type) != WIRE_VARINT, odd = false;
  if (fixed ? len % size != 0 : end[-1] >= 0x80) return fail(d, CAW_EMALFORMED);
  size_t count = fixed ? len / size : count_varints(p, end), done = 0;
  uint8_t *at = array_extend(d, f, m + f->offset, count);
  if (!at) return NULL;
  const uint8_t *first = p;
  while (p < end) {
    p = decode_scalar(d, f, at + done * size, p, end);
    if (!p) return NULL;
    if ((f->flags & CAW_PB_CLOSED) && enum_lacks(f, pb_load32(at + done * size))) odd = true;
    else done++;
  }
  array_add_len(m + f->offset, done);
  if (odd && !keep_packed(d, t, f, m, first, end)) return NULL;
  return p;
}

/* -- messages ------------------------------------------------------------ */

static inline void set_present(uint8_t *m, const caw_pb_field *f) {
  if (f->flags & CAW_PB_HAS) m[f->has] = 1;
  else if (f->flags & CAW_PB_ONEOF) store32(m + f->has, f->tag >> 3);
}

/* A field whose tag is that of the table. */
HOT const uint8_t *decode_field(decoder *d, const caw_pb_message *t, const caw_pb_field *f,
                                uint8_t *m, const uint8_t *start, const uint8_t *p,
                                const uint8_t *end, int depth) {
  if (f->flags & CAW_PB_REPEATED) {
    if (f->flags & CAW_PB_PACKED) return decode_packed(d, t, f, m, p, end);
    return decode_run(d, t, f, m, start, p, end, depth);
  }
  if (f->flags & CAW_PB_CLOSED) {
    bool lacks = false;
    const uint8_t *next = decode_closed(d, t, f, m, start, p, end, &lacks);
    if (!next || lacks) return next;
  }
  if (pb_is_message(f->type)) p = decode_single(d, f, m, p, end, depth);
  else p = decode_scalar(d, f, m + f->offset, p, end);
  if (p) set_present(m, f);
  return p;
}

/* A tag that is not in the table: the other form of a repeated number, or a
 * field that is unknown or of another type. */
static const uint8_t *decode_other(decoder *d, const caw_pb_message *t, const caw_pb_field *f,
                                   uint8_t *m, uint32_t tag, const uint8_t *start, const uint8_t *p,
                                   const uint8_t *end, int depth) {
  unsigned wire = tag & 7;
  if (f && (f->flags & CAW_PB_REPEATED) && pb_wire_type(f->type) != WIRE_LEN &&
      !pb_is_message(f->type)) {
    if (wire == WIRE_LEN) return decode_packed(d, t, f, m, p, end);
    if (wire == pb_wire_type(f->type)) return decode_run(d, t, f, m, start, p, end, depth);
  }
  p = skip_value(d, p, end, tag, depth);
  if (!p || !keep_unknown(d, t, m, start, (size_t)(p - start))) return NULL;
  return p;
}

/* Decodes p .. end into m. With a `group` number, ends with that group's end
 * tag instead, and returns what follows. NULL on an error. */
static const uint8_t *decode_message(decoder *d, const caw_pb_message *t, uint8_t *m,
                                     const uint8_t *p, const uint8_t *end, uint32_t group,
                                     int depth) {
  const caw_pb_field *next = t->fields, *last = pb_fields_end(t);
  while (p < end) {
    const uint8_t *start = p;
    uint32_t tag;
    p = get_tag(p, end, &tag);
    if (!p) return fail(d, CAW_EMALFORMED);
    const caw_pb_field *f = next;
    if (f == last || f->tag != tag) {
      if ((tag & 7) == WIRE_END) return tag >> 3 == group ? p : fail(d, CAW_EMALFORMED);
      f = caw_pb_field_by_number(t, tag >> 3);
    }
    if (f && f->tag == tag) p = decode_field(d, t, f, m, start, p, end, depth);
    else p = decode_other(d, t, f, m, tag, start, p, end, depth);
    if (!p) return NULL;
    if (f) next = f + 1;
  }
  return group ? fail(d, CAW_EMALFORMED) : p;
}

int pb_decode(const caw_pb_message *t, void *message, const uint8_t *data, size_t len,
              caw_arena *arena, size_t memory) {
  decoder d = {arena, memory, 0, false, false};
  memset(message, 0, t->size);
  if (!len) return 0;
  if (len > PB_MAX_LEN) return CAW_EMALFORMED;
  decode_message(&d, t, message, data, data + len, 0, CAW_PB_DEPTH);
  finish_arena(arena);
  if (!d.err && d.maps) d.err = pb_unique_keys(t, message);
  if (d.err) memset(message, 0, t->size);
  return d.err;
}
