/*
 * The inside of caw_arena, for owners that embed one: a call keeps its arena
 * and the first block in the call object itself, so that a small call costs
 * one allocation. Everybody else uses caw/arena.h.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

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

#endif
