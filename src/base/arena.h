/*
 * The inside of caw_arena, for owners that embed one or have it made when it is first
 * needed: a call's arenas are a cell each with their first block behind them, so that a
 * call that is idle, and small, has none. Everybody else uses caw/arena.h.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/cells.h"

#include <caw/arena.h>
#include <stdint.h>

typedef struct arena_block {
  struct arena_block *prev;
  size_t size; /* bytes behind this header */
} arena_block;

struct caw_arena {
  uint8_t *cur, *end;  /* the free part of the newest block */
  arena_block *blocks; /* newest first; those that we allocated */
  uint8_t *first;      /* the owner's block, or NULL */
  size_t first_size;
  size_t next_size; /* of the next block */
  size_t used;      /* handed out */
  size_t limit;     /* `used` may not pass it */
};

/* Initialises an arena whose first block is the caller's: `first` is aligned
 * for any type and lives as long as the arena. May be NULL with size 0. */
void arena_init(caw_arena *a, void *first, size_t first_size, size_t block);

/* Frees the blocks; the arena itself is the caller's. */
void arena_finish(caw_arena *a);

/* The arena *at, which is made now if it is NULL: in a cell of `c` (which may be NULL), with
 * a first block of so many bytes behind it. Never NULL: when memory is out, what is
 * returned is an arena that is always exhausted, and *at stays. */
caw_arena *arena_at(caw_arena **at, cells *c, size_t first);

/* Frees an arena that arena_at has made; NULL is fine. */
void arena_leave(cells *c, caw_arena *a);

#endif
