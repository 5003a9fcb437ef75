/*
 * Messages to bytes, written from the end of the buffer to its start: the
 * length of a sub-message is known when it has been written, and goes in front
 * of it. Fields come out in the order of their numbers, unknown ones last.
 *
 * The buffer has the size that measure.c found. A message that has changed
 * since then is an error, never a write outside.
 */
#include "pb/wire.h"

#include <caw/status.h>

/* The first error stays: what comes after it is only its consequence. */
typedef struct encoder {
  uint8_t *begin; /* of the buffer */
  uint8_t *p;     /* what is behind it is written */
  int err;
} encoder;

static void encode_message(encoder *e, const caw_pb_message *t, const uint8_t *m, int depth);

static void fail(encoder *e, int err) {
  if (!e->err) e->err = err;
}

/* Room for n bytes in front of what is written, or NULL. */
static inline uint8_t *room(encoder *e, size_t n) {
  if (n > (size_t)(e->p - e->begin)) {
    fail(e, CAW_EINVAL);
    return NULL;
  }
  return e->p -= n;
}

static void put_long_varint(encoder *e, uint64_t v) {
  uint8_t *p = room(e, pb_varint_size(v));
  if (!p) return;
  for (; v >= 0x80; v >>= 7) *p++ = (uint8_t)(v | 0x80);
  *p = (uint8_t)v;
}

/* Most varints are tags and lengths of one byte. */
static inline void put_varint(encoder *e, uint64_t v) {
  if (v < 0x80 && e->p > e->begin) *--e->p = (uint8_t)v;
  else put_long_varint(e, v);
}

static void put_bytes(encoder *e, const void *data, size_t len) {
  uint8_t *p = room(e, len);
  if (p && len) memcpy(p, data, len);
}

static void put_fixed(encoder *e, const uint8_t *at, size_t size) {
  uint8_t *p = room(e, size);
  if (!p) return;
  if (size == 8) pb_put64(p, pb_load64(at));
  else pb_put32(p, pb_load32(at));
}

/* One value without its tag. */
static inline void encode_scalar(encoder *e, const caw_pb_field *f, const uint8_t *at) {
  switch (pb_wire_type(f->type)) {
  case WIRE_VARINT:
    put_varint(e, pb_varint_of(f->type, at));
    break;
  case WIRE_64:
    put_fixed(e, at, 8);
    break;
  case WIRE_32:
    put_fixed(e, at, 4);
    break;
  default: {
    caw_str s = pb_load_str(at);
    put_bytes(e, s.data, s.len);
    put_varint(e, s.len);
    break;
  }
  }
}

/* A message or group without its start tag; NULL is an empty one. */
static void encode_sub(encoder *e, const caw_pb_field *f, const uint8_t *m, int depth) {
  if (!depth) {
    fail(e, CAW_EDEPTH);
    return;
  }
  if (f->type == CAW_PB_GROUP) put_varint(e, (f->tag & ~7u) | WIRE_END);
  const uint8_t *end = e->p;
  if (m) encode_message(e, pb_sub(f), m, depth - 1);
  if (f->type != CAW_PB_GROUP) put_varint(e, (uint64_t)(end - e->p));
}

static void encode_repeated(encoder *e, const caw_pb_field *f, const uint8_t *at, int depth) {
  pb_array a = pb_array_load(at);
  if (!a.len) return;
  bool message = pb_is_message(f->type), packed = f->flags & CAW_PB_PACKED;
  size_t size = message ? pb_sub(f)->size : pb_scalar_size(f->type);
  const uint8_t *end = e->p, *item = (uint8_t *)a.items + a.len * size;
  for (size_t i = 0; i < a.len && !e->err; i++) {
    item -= size;
    if (message) encode_sub(e, f, item, depth);
    else encode_scalar(e, f, item);
    if (!packed) put_varint(e, f->tag);
  }
  if (packed) {
    put_varint(e, (uint64_t)(end - e->p));
    put_varint(e, f->tag);
  }
}

/* The pieces are in a ring that can be walked forwards only. */
static void encode_unknown(encoder *e, const uint8_t *m) {
  const caw_pb_unknown *last = pb_load_ptr(m), *u = last;
  if (!last) return;
  size_t len = 0, left = (size_t)(e->p - e->begin);
  do {
    u = u->next;
    if (u->len > left - len) {
      fail(e, CAW_EINVAL);
      return;
    }
    len += u->len;
  } while (u != last);
  e->p -= len;
  uint8_t *p = e->p;
  do {
    u = u->next;
    memcpy(p, u->data, u->len);
    p += u->len;
  } while (u != last);
}

static void encode_message(encoder *e, const caw_pb_message *t, const uint8_t *m, int depth) {
  if (!(t->flags & CAW_PB_ENTRY)) encode_unknown(e, m);
  for (size_t i = t->field_count; i-- > 0 && !e->err;) {
    const caw_pb_field *f = &t->fields[i];
    if (f->flags & CAW_PB_REPEATED) {
      encode_repeated(e, f, m + f->offset, depth);
    } else if (pb_present(t, f, m)) {
      if (pb_is_message(f->type)) encode_sub(e, f, pb_load_ptr(m + f->offset), depth);
      else encode_scalar(e, f, m + f->offset);
      put_varint(e, f->tag);
    }
  }
}

int pb_encode(const void *desc, const void *message, uint8_t *out, size_t len) {
  encoder e = {out, out + len, 0};
  encode_message(&e, desc, message, CAW_PB_DEPTH);
  if (e.p != out) fail(&e, CAW_EINVAL);
  return e.err;
}
