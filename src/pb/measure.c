/*
 * How many bytes a message will take, and whether it can be encoded at all:
 * depth, UTF-8 and size are checked here, once, before anything is allocated.
 *
 * Each sub-message is measured once. Encoding writes backwards and learns the
 * lengths by writing, so that nothing needs to be remembered in between.
 */
#include "pb/wire.h"

#include <caw/status.h>

typedef struct measurer {
  uint64_t total; /* bytes so far */
  int err;
} measurer;

static void measure_message(measurer *w, const caw_pb_message *t, const uint8_t *m, int depth);

static void fail(measurer *w, int err) {
  if (!w->err) w->err = err;
}

/* To be called wherever the total may have grown by much: sub-messages that
 * are shared multiply, and this ends it at 2 GiB. */
static void check_total(measurer *w) {
  if (w->total > PB_MAX_LEN) fail(w, CAW_ETOOBIG);
}

static void measure_str(measurer *w, const caw_pb_field *f, const uint8_t *at) {
  caw_str s = pb_load_str(at);
  if (s.len && !s.data) fail(w, CAW_EINVAL);
  else if (s.len > PB_MAX_LEN) fail(w, CAW_ETOOBIG);
  else if ((f->flags & CAW_PB_UTF8) && !pb_utf8_valid((const uint8_t *)s.data, s.len))
    fail(w, CAW_EUTF8);
  else w->total += s.len + pb_varint_size(s.len);
}

/* A message or group without its start tag; NULL is an empty one. */
static void measure_sub(measurer *w, const caw_pb_field *f, const uint8_t *m, int depth) {
  if (!depth) {
    fail(w, CAW_EDEPTH);
    return;
  }
  uint64_t before = w->total;
  if (m) measure_message(w, pb_sub(f), m, depth - 1);
  if (f->type == CAW_PB_GROUP) w->total += pb_varint_size(f->tag);
  else w->total += pb_varint_size(w->total - before);
}

/* One value without its tag. */
static inline void measure_scalar(measurer *w, const caw_pb_field *f, const uint8_t *at) {
  switch (pb_wire_type(f->type)) {
  case WIRE_VARINT:
    w->total += pb_varint_size(pb_varint_of(f->type, at));
    break;
  case WIRE_64:
    w->total += 8;
    break;
  case WIRE_32:
    w->total += 4;
    break;
  default:
    measure_str(w, f, at);
    break;
  }
}

static void measure_items(measurer *w, const caw_pb_field *f, pb_array a, size_t tag, int depth) {
  bool message = pb_is_message(f->type);
  size_t size = message ? pb_sub(f)->size : pb_scalar_size(f->type);
  const uint8_t *item = a.items;
  for (size_t i = 0; i < a.len && !w->err; i++, item += size) {
    w->total += tag;
    if (message) measure_sub(w, f, item, depth);
    else measure_scalar(w, f, item);
    check_total(w);
  }
}

static void measure_repeated(measurer *w, const caw_pb_field *f, const uint8_t *at, int depth) {
  pb_array a = pb_array_load(at);
  if (!a.len) return;
  if (!a.items) {
    fail(w, CAW_EINVAL);
    return;
  }
  size_t tag = pb_varint_size(f->tag);
  uint64_t before = w->total;
  if (!(f->flags & CAW_PB_PACKED)) {
    measure_items(w, f, a, tag, depth);
    return;
  }
  measure_items(w, f, a, 0, depth);
  w->total += tag + pb_varint_size(w->total - before);
}

static void measure_unknown(measurer *w, const uint8_t *m) {
  const caw_pb_unknown *last = pb_load_ptr(m), *u = last;
  if (!last) return;
  do {
    u = u->next;
    w->total += u->len;
    if (u->len > PB_MAX_LEN) fail(w, CAW_ETOOBIG);
    check_total(w);
  } while (u != last && !w->err);
}

static void measure_message(measurer *w, const caw_pb_message *t, const uint8_t *m, int depth) {
  const caw_pb_field *f = t->fields, *last = pb_fields_end(t);
  for (; f < last && !w->err; f++) {
    if (f->flags & CAW_PB_REPEATED) {
      measure_repeated(w, f, m + f->offset, depth);
    } else if (pb_present(t, f, m)) {
      w->total += pb_varint_size(f->tag);
      if (pb_is_message(f->type)) measure_sub(w, f, pb_load_ptr(m + f->offset), depth);
      else measure_scalar(w, f, m + f->offset);
    }
  }
  if (!(t->flags & CAW_PB_ENTRY)) measure_unknown(w, m);
  check_total(w);
}

int pb_measure(const void *desc, const void *message, size_t *len) {
  measurer w = {0, 0};
  measure_message(&w, desc, message, CAW_PB_DEPTH);
  *len = w.err ? 0 : (size_t)w.total;
  return w.err;
}
