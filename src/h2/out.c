/* The output queue of out.h. */
#include "h2/out.h"

#include <assert.h>
#include <caw/status.h>
#include <stdbool.h>
#include <string.h>

/* The first block serves a connection with a call or two in flight; under load
 * the later ones take many frames each. With its head each fills a cell. */
#define FIRST_BLOCK ((size_t)1024 - sizeof(out_block))
#define LATER_BLOCK ((size_t)4608 - sizeof(out_block))

static out_part *part_at(const out *o, size_t i) {
  return &o->parts[(o->head + i) & (o->room - 1)];
}

static int grow(out *o) {
  size_t room = o->room ? o->room * 2 : 8;
  if (room > SIZE_MAX / sizeof(out_part)) return CAW_ENOMEM;
  out_part *parts = cells_alloc(o->cells, room * sizeof(out_part));
  if (!parts) return CAW_ENOMEM;
  for (size_t i = 0; i < o->len; i++) parts[i] = *part_at(o, i);
  cells_free(o->cells, o->parts);
  o->parts = parts;
  o->head = 0;
  o->room = room;
  return 0;
}

static bool new_tail(out *o, size_t least) {
  size_t room = o->tail || least > FIRST_BLOCK ? LATER_BLOCK : FIRST_BLOCK;
  out_block *b = cells_alloc(o->cells, sizeof(*b) + room);
  if (!b) return false;
  b->used = b->pending = b->items = 0;
  b->room = room;
  /* A former tail with pending bytes is freed when they are written. */
  if (o->tail && !o->tail->pending) cells_free(o->cells, o->tail);
  o->tail = b;
  o->open = false;
  return true;
}

int out_ready(out *o) {
  return o->len == o->room && grow(o) ? CAW_ENOMEM : 0;
}

uint8_t *out_reserve(out *o, size_t len) {
  out_block *b = o->tail;
  assert(len <= OUT_RESERVE && OUT_RESERVE <= LATER_BLOCK);
  if (out_ready(o)) return NULL;
  if ((!b || b->room - b->used < len) && !new_tail(o, len)) return NULL;
  return o->tail->bytes + o->tail->used;
}

void out_commit(out *o, size_t len, size_t items) {
  out_block *b = o->tail;
  if (o->open) part_at(o, o->len - 1)->len += len;
  else *part_at(o, o->len++) = (out_part){b->bytes + b->used, len, b, NULL, NULL};
  o->open = true;
  b->used += len;
  b->pending += len;
  b->items += items;
  o->items += items;
  o->bytes += len;
}

int out_copy(out *o, const void *data, size_t len) {
  const uint8_t *from = data;
  while (len) {
    if (out_ready(o)) return CAW_ENOMEM;
    if ((!o->tail || o->tail->used == o->tail->room) && !new_tail(o, 0)) return CAW_ENOMEM;
    out_block *b = o->tail;
    size_t n = b->room - b->used < len ? b->room - b->used : len;
    memcpy(b->bytes + b->used, from, n);
    out_commit(o, n, 0);
    from += n;
    len -= n;
  }
  return 0;
}

int out_refer(out *o, const uint8_t *data, size_t len, void (*release)(void *), void *owner) {
  if (out_ready(o)) return CAW_ENOMEM;
  *part_at(o, o->len++) = (out_part){data, len, NULL, release, owner};
  o->open = false;
  o->bytes += len;
  return 0;
}

int out_gather(const out *o, struct iovec *parts, int max) {
  int n = 0;
  for (size_t i = 0; i < o->len && n < max; i++, n++) {
    const out_part *p = part_at(o, i);
    /* writev does not write through iov_base. */
    parts[n].iov_base = (void *)(uintptr_t)p->data;
    parts[n].iov_len = p->len;
  }
  return n;
}

/* `n` bytes at the front of a part are done with. */
static void part_done(out *o, out_part *p, size_t n) {
  p->data += n;
  p->len -= n;
  o->bytes -= n;
  out_block *b = p->block;
  if (b) {
    b->pending -= n;
    if (b->pending) return;
    o->items -= b->items;
    b->items = 0;
    if (b == o->tail) b->used = 0;
    else cells_free(o->cells, b);
  } else if (!p->len && p->release) {
    p->release(p->owner);
  }
}

void out_written(out *o, size_t len) {
  assert(len <= o->bytes);
  while (len && o->len) {
    out_part *p = part_at(o, 0);
    size_t n = p->len < len ? p->len : len;
    len -= n;
    bool whole = n == p->len;
    part_done(o, p, n);
    if (!whole) break;
    o->head = (o->head + 1) & (o->room - 1);
    o->len--;
  }
  if (o->len) return;
  o->open = false;
  /* Most connections are idle most of the time: they keep little. */
  cells_free(o->cells, o->tail);
  o->tail = NULL;
  cells_free(o->cells, o->parts);
  o->parts = NULL;
  o->head = o->room = 0;
}

void out_finish(out *o) {
  out_written(o, o->bytes);
  cells_free(o->cells, o->tail);
  cells_free(o->cells, o->parts);
  memset(o, 0, sizeof(*o));
}
