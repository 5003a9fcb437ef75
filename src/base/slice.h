/*
 * A slice: a piece of memory that is kept alive by an owner. Whoever holds one
 * calls slice_release exactly once. Output travels as slices from the encoded
 * message to writev without a copy.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stddef.h>
#include <stdint.h>

typedef struct slice {
  const uint8_t *data;
  size_t len;
  void (*release)(void *owner); /* NULL: nothing to do */
  void *owner;
} slice;

static inline void slice_release(slice *s) {
  if (s->release) s->release(s->owner);
  s->release = NULL;
}

#endif
