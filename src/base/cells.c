/* The cells of cells.h. */
#include "base/cells.h"

#include <caw/alloc.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

/* Sizes: steps of 32 bytes to 1,024 (calls are that large, and many at rest), of 64 to
 * 2,048, of 256 to 4,608. Larger pieces are malloc's. */
#define SMALL_STEP   ((size_t)32)
#define SMALL_SIZES  ((size_t)32)
#define MEDIUM_STEP  ((size_t)64)
#define MEDIUM_SIZES ((size_t)16)
#define LARGE_STEP   ((size_t)256)

#define SMALL_MOST  (SMALL_STEP * SMALL_SIZES)
#define MEDIUM_MOST (SMALL_MOST + MEDIUM_STEP * MEDIUM_SIZES)
#define LARGE_FIRST (SMALL_SIZES + MEDIUM_SIZES)
#define MOST        (MEDIUM_MOST + LARGE_STEP * (CELLS_SIZES - LARGE_FIRST))

/* What one loop keeps at most: the calls of a few busy connections. */
#define KEEP_BYTES ((size_t)512 * 1024)

/* The address sanitizer shall see each piece with its own life and end. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CELLS_EXACT
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define CELLS_EXACT
#endif

/* In front of each cell: the bytes that it has room for. As large as the alignment, so
 * that the cell is aligned too. */
typedef struct head {
  alignas(max_align_t) size_t room;
} head;

static head *head_of(void *cell) {
  return (head *)cell - 1;
}

/* Where cells of this many bytes are kept; CELLS_SIZES: nowhere. */
static size_t size_of(size_t bytes) {
#ifdef CELLS_EXACT
  (void)bytes;
  return CELLS_SIZES;
#else
  if (bytes <= SMALL_MOST) return bytes ? (bytes - 1) / SMALL_STEP : 0;
  if (bytes <= MEDIUM_MOST) return SMALL_SIZES + (bytes - SMALL_MOST - 1) / MEDIUM_STEP;
  if (bytes > MOST) return CELLS_SIZES;
  return LARGE_FIRST + (bytes - MEDIUM_MOST - 1) / LARGE_STEP;
#endif
}

static size_t room_of(size_t size) {
  if (size < SMALL_SIZES) return (size + 1) * SMALL_STEP;
  if (size < LARGE_FIRST) return SMALL_MOST + (size - SMALL_SIZES + 1) * MEDIUM_STEP;
  return MEDIUM_MOST + (size - LARGE_FIRST + 1) * LARGE_STEP;
}

void *cells_alloc(cells *c, size_t bytes) {
  size_t size = size_of(bytes);
  if (c && size < CELLS_SIZES && c->kept[size]) {
    void *cell = c->kept[size];
    memcpy(&c->kept[size], cell, sizeof(void *));
    c->bytes -= room_of(size);
    return cell;
  }
  size_t room = size < CELLS_SIZES ? room_of(size) : bytes;
  if (room > SIZE_MAX - sizeof(head)) return NULL;
  head *h = caw_malloc(sizeof(head) + room);
  if (!h) return NULL;
  h->room = room;
  return h + 1;
}

void *cells_calloc(cells *c, size_t count, size_t bytes) {
  if (bytes && count > SIZE_MAX / bytes) return NULL;
  void *cell = cells_alloc(c, count * bytes);
  if (cell) memset(cell, 0, count * bytes);
  return cell;
}

void *cells_realloc(cells *c, void *old, size_t bytes) {
  if (!old) return cells_alloc(c, bytes);
  size_t room = head_of(old)->room;
  if (bytes <= room && size_of(bytes) == size_of(room)) return old;
  void *cell = cells_alloc(c, bytes);
  if (!cell) return NULL;
  memcpy(cell, old, bytes < room ? bytes : room);
  cells_free(c, old);
  return cell;
}

void cells_free(cells *c, void *cell) {
  if (!cell) return;
  size_t room = head_of(cell)->room, size = size_of(room);
  if (!c || size == CELLS_SIZES || c->bytes > KEEP_BYTES - room) {
    caw_free(head_of(cell));
    return;
  }
  memcpy(cell, &c->kept[size], sizeof(void *));
  c->kept[size] = cell;
  c->bytes += room;
}

void cells_finish(cells *c) {
  for (size_t i = 0; i < CELLS_SIZES; i++) {
    while (c->kept[i]) {
      void *cell = c->kept[i];
      memcpy(&c->kept[i], cell, sizeof(void *));
      caw_free(head_of(cell));
    }
  }
  c->bytes = 0;
}
