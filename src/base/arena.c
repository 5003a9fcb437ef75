/* Arenas: bump allocation in blocks that double. */
#include "base/arena.h"

#include <caw/alloc.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#define ALIGN         alignof(max_align_t)
#define DEFAULT_BLOCK 1024
#define MAX_BLOCK     ((size_t)64 * 1024)

/* The payload of a block starts aligned because the header is padded to it. */
#define HEADER ((sizeof(arena_block) + ALIGN - 1) / ALIGN * ALIGN)

void arena_init(caw_arena *a, void *first, size_t first_size, size_t block) {
  memset(a, 0, sizeof(*a));
  a->first = a->cur = first;
  a->first_size = first_size;
  a->end = first ? a->cur + first_size : NULL;
  a->next_size = block ? block : DEFAULT_BLOCK;
  a->limit = SIZE_MAX;
}

static void free_blocks(arena_block *b) {
  while (b) {
    arena_block *prev = b->prev;
    caw_free(b);
    b = prev;
  }
}

void arena_finish(caw_arena *a) {
  free_blocks(a->blocks);
  a->blocks = NULL;
  a->cur = a->end = NULL;
}

/* Stands for one that there was no memory for. Nobody ever changes it. */
static caw_arena exhausted;

/* What follows the first block of an arena in a cell: little, as most need none. */
#define CELL_NEXT ((size_t)256)

caw_arena *arena_at(caw_arena **at, cells *c, size_t first) {
  if (*at) return *at;
  struct in_cell {
    caw_arena arena;
    alignas(max_align_t) uint8_t first[];
  } *cell = cells_alloc(c, sizeof(*cell) + first);
  if (!cell) return &exhausted;
  arena_init(&cell->arena, cell->first, first, CELL_NEXT);
  return *at = &cell->arena;
}

void arena_leave(cells *c, caw_arena *a) {
  if (!a) return;
  arena_finish(a);
  cells_free(c, a);
}

caw_arena *caw_arena_new(size_t block) {
  caw_arena *a = caw_malloc(sizeof(*a));
  if (a) arena_init(a, NULL, 0, block);
  return a;
}

void caw_arena_free(caw_arena *a) {
  if (!a) return;
  arena_finish(a);
  caw_free(a);
}

void caw_arena_reset(caw_arena *a) {
  if (a == &exhausted) return;
  arena_block *keep = a->blocks;
  if (keep && keep->size > MAX_BLOCK) {
    /* A single large piece is no reason to hold that much for ever. */
    free_blocks(keep);
    a->blocks = keep = NULL;
  }
  if (a->limit != SIZE_MAX) a->limit -= a->used;
  a->used = 0;
  if (!keep) {
    a->cur = a->first;
    a->end = a->first ? a->first + a->first_size : NULL;
    return;
  }
  free_blocks(keep->prev);
  keep->prev = NULL;
  a->cur = (uint8_t *)keep + HEADER;
  a->end = a->cur + keep->size;
}

void caw_arena_set_limit(caw_arena *a, size_t bytes) {
  if (a == &exhausted) return;
  a->limit = bytes > SIZE_MAX - a->used ? SIZE_MAX : a->used + bytes;
}

/* A block for at least `bytes`. A large piece gets a block of exactly its own
 * size, which goes behind the current one, so that the rest of that stays in
 * use. */
static void *alloc_block(caw_arena *a, size_t bytes) {
  bool own = bytes > a->next_size / 2 && a->cur;
  size_t size = own || bytes > a->next_size ? bytes : a->next_size;
  if (size > SIZE_MAX - HEADER) return NULL;
  arena_block *b = caw_malloc(HEADER + size);
  if (!b) return NULL;
  uint8_t *p = (uint8_t *)b + HEADER;
  b->size = size;
  if (own && a->blocks) {
    b->prev = a->blocks->prev;
    a->blocks->prev = b;
    return p;
  }
  b->prev = a->blocks;
  a->blocks = b;
  a->cur = p + bytes;
  a->end = p + size;
  if (a->next_size < MAX_BLOCK) a->next_size *= 2;
  return p;
}

void *caw_arena_alloc(caw_arena *a, size_t bytes) {
  size_t room = (size_t)(a->end - a->cur), left = a->limit - a->used;
  if (bytes > SIZE_MAX - ALIGN) return NULL;
  bytes = (bytes + (bytes == 0) + ALIGN - 1) & ~(ALIGN - 1);
  if (bytes > left) return NULL;
  void *p = a->cur;
  if (bytes <= room) a->cur += bytes;
  else if (!(p = alloc_block(a, bytes))) return NULL;
  a->used += bytes;
  return p;
}

void *caw_arena_calloc(caw_arena *a, size_t count, size_t bytes) {
  if (bytes && count > SIZE_MAX / bytes) return NULL;
  void *p = caw_arena_alloc(a, count * bytes);
  if (p) memset(p, 0, count * bytes);
  return p;
}

caw_str caw_arena_dup(caw_arena *a, caw_str s) {
  caw_str out = {NULL, 0};
  char *p = s.len < SIZE_MAX ? caw_arena_alloc(a, s.len + 1) : NULL;
  if (!p) return out;
  if (s.len) memcpy(p, s.data, s.len);
  p[s.len] = '\0';
  out.data = p;
  out.len = s.len;
  return out;
}

caw_str caw_arena_vprintf(caw_arena *a, const char *format, va_list args) {
  caw_str out = {NULL, 0};
  va_list again;
  va_copy(again, args);
  /* Most texts fit into the rest of the block: there they are written at once,
   * and stay if the arena then hands out that very place. */
  char *here = (char *)a->cur;
  size_t room = here ? (size_t)(a->end - a->cur) : 0;
  int n = vsnprintf(here, room, format, args);
  char *p = n < 0 ? NULL : caw_arena_alloc(a, (size_t)n + 1);
  if (p) {
    if (p != here || (size_t)n >= room) vsnprintf(p, (size_t)n + 1, format, again);
    out.data = p;
    out.len = (size_t)n;
  }
  va_end(again);
  return out;
}

caw_str caw_arena_printf(caw_arena *a, const char *format, ...) {
  va_list args;
  va_start(args, format);
  caw_str out = caw_arena_vprintf(a, format, args);
  va_end(args);
  return out;
}

size_t caw_arena_used(const caw_arena *a) {
  return a->used;
}
