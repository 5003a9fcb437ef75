/*
 * The pieces of the protobuf wire format that decoding, measuring and encoding
 * share: wire types, varints, zigzag, little-endian numbers, and what a type
 * looks like in a struct. Internal to src/pb.
 */
#ifndef PB_WIRE_H
#define PB_WIRE_H

#include <caw/pb.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LEN = 2, WIRE_START = 3, WIRE_END = 4, WIRE_32 = 5 };

/* No message is larger than this (protobuf's own limit); lengths on the wire
 * are int32. */
#define PB_MAX_LEN ((size_t)0x7fffffff)

/* A repeated field as it lies in a struct, whatever its elements are. Members
 * of generated structs are read and written with memcpy: their declared type is
 * another one. */
typedef struct pb_array {
  void *items;
  size_t len;
} pb_array;

static inline pb_array pb_array_load(const uint8_t *at) {
  pb_array a;
  memcpy(&a, at, sizeof(a));
  return a;
}

static inline void *pb_load_ptr(const uint8_t *at) {
  void *p;
  memcpy(&p, at, sizeof(p));
  return p;
}

static inline caw_str pb_load_str(const uint8_t *at) {
  caw_str s;
  memcpy(&s, at, sizeof(s));
  return s;
}

static inline uint32_t pb_load32(const uint8_t *at) {
  uint32_t v;
  memcpy(&v, at, sizeof(v));
  return v;
}

static inline uint64_t pb_load64(const uint8_t *at) {
  uint64_t v;
  memcpy(&v, at, sizeof(v));
  return v;
}

/* Numbers of fixed size are little-endian on the wire. Compilers make a plain
 * load or store of these. */
static inline uint32_t pb_get32(const uint8_t *p) {
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t pb_get64(const uint8_t *p) {
  return pb_get32(p) | (uint64_t)pb_get32(p + 4) << 32;
}

static inline void pb_put32(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (8 * i));
}

static inline void pb_put64(uint8_t *p, uint64_t v) {
  for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint64_t pb_zigzag(int64_t v) {
  return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static inline uint64_t pb_unzigzag(uint64_t v) {
  return (v >> 1) ^ (0 - (v & 1));
}

/* Bytes of a varint: one per 7 bits, at least one. */
static inline size_t pb_varint_size(uint64_t v) {
  if (v < 0x80) return 1;
  unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);
  return (bits * 9 + 64) / 64;
}

/* The size of one value of a type in a struct; a message in an array takes the
 * size in its table instead. Indexed by caw_pb_type. */
static inline size_t pb_scalar_size(unsigned type) {
  static const uint8_t sizes[19] = {
      0, 8, 4, 8, 8, 4, 8, 4, 1, sizeof(caw_str), sizeof(void *), sizeof(void *), sizeof(caw_str),
      4, 4, 4, 8, 4, 8};
  return sizes[type];
}

/* The wire type of one value, not packed. */
static inline unsigned pb_wire_type(unsigned type) {
  static const uint8_t wire[19] = {0,          WIRE_64,  WIRE_32,  0, 0,
                                   0,          WIRE_64,  WIRE_32,  0, WIRE_LEN,
                                   WIRE_START, WIRE_LEN, WIRE_LEN, 0, 0,
                                   WIRE_32,    WIRE_64,  0,        0};
  return wire[type];
}

static inline bool pb_is_message(unsigned type) {
  return type == CAW_PB_MESSAGE || type == CAW_PB_GROUP;
}

/* Behind the last field; NULL like `fields` when there are none. */
static inline const caw_pb_field *pb_fields_end(const caw_pb_message *t) {
  return t->field_count ? t->fields + t->field_count : t->fields;
}

/* The table of a message field. */
static inline const caw_pb_message *pb_sub(const caw_pb_field *f) {
  return (const caw_pb_message *)((const caw_type *)f->sub)->desc;
}

/*
 * Is the field, not a repeated one, sent? Numbers and strings without a `has`
 * when they are not zero; -0.0 has a bit set and is sent. The entry of a map
 * always has both of its fields.
 */
static inline bool pb_present(const caw_pb_message *t, const caw_pb_field *f, const uint8_t *m) {
  if (f->flags & CAW_PB_HAS) return m[f->has] != 0;
  if ((f->flags & CAW_PB_ONEOF) && pb_load32(m + f->has) != f->tag >> 3) return false;
  if ((f->flags & CAW_PB_ONEOF) || (t->flags & CAW_PB_ENTRY)) return true;
  const uint8_t *at = m + f->offset;
  if (pb_is_message(f->type)) return pb_load_ptr(at) != NULL;
  switch (pb_scalar_size(f->type)) {
  case 1:
    return *at != 0;
  case 4:
    return pb_load32(at) != 0;
  case 8:
    return pb_load64(at) != 0;
  default:
    return pb_load_str(at).len != 0;
  }
}

/* The varint that is sent for a value of a type with wire type 0. Negative
 * numbers of 32 bits are extended to 64. */
static inline uint64_t pb_varint_of(unsigned type, const uint8_t *at) {
  switch (type) {
  case CAW_PB_INT32:
  case CAW_PB_ENUM:
    return (uint64_t)(int64_t)(int32_t)pb_load32(at);
  case CAW_PB_UINT32:
    return pb_load32(at);
  case CAW_PB_SINT32:
    return (uint32_t)pb_zigzag((int32_t)pb_load32(at));
  case CAW_PB_SINT64:
    return pb_zigzag((int64_t)pb_load64(at));
  case CAW_PB_BOOL:
    return *at != 0;
  default:
    return pb_load64(at);
  }
}

/* Is it well-formed UTF-8 (RFC 3629: no surrogates, nothing overlong)? */
bool pb_utf8_valid(const uint8_t *s, size_t len);

/* Removes all but the last entry of each key from the maps of a decoded
 * message. Returns 0 or CAW_ENOMEM. */
int pb_unique_keys(const caw_pb_message *t, uint8_t *m);

/* Have two keys of maps, of the type of the field `key`, the same value? */
bool pb_same_key(const caw_pb_field *key, const uint8_t *a, const uint8_t *b);

/* Sets *index to an entry whose key an entry before it has too, or to the
 * array's length. Returns 0 or CAW_ENOMEM. */
int pb_find_repeated_key(const caw_pb_field *f, pb_array a, size_t *index);

/* The indices of a map's entries, sorted by key; to be freed with caw_free.
 * NULL when memory is out. */
uint32_t *pb_sort_keys(const caw_pb_field *f, pb_array a);

/* Removes all but the last entry of each key from one map. Returns 0 or
 * CAW_ENOMEM. */
int pb_unique_map(const caw_pb_field *f, uint8_t *at);

int pb_measure(const void *desc, const void *message, size_t *len);
int pb_encode(const void *desc, const void *message, uint8_t *out, size_t len);

/* Decodes with a limit on the arena's bytes. */
int pb_decode(const caw_pb_message *t, void *message, const uint8_t *data, size_t len,
              caw_arena *arena, size_t memory);

#endif
