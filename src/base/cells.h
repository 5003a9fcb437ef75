/*
 * Memory for what lives shortly and is made over and over again: a call, a
 * stream, what the HTTP/2 library keeps for them. Freed cells are kept by size
 * and handed out again, up to a bound. malloc's own cache holds seven of a size,
 * up to 1 KiB each; a connection with a hundred calls goes past it at every
 * turn, which was a seventh of all instructions for a small call.
 *
 * One thread's: a loop's. A NULL `cells` keeps nothing, and may stand for any
 * other in cells_free.
 */
#ifndef BASE_CELLS_H
#define BASE_CELLS_H

#include <stddef.h>

#define CELLS_SIZES 58

typedef struct cells {
  void *kept[CELLS_SIZES]; /* singly linked */
  size_t bytes;            /* of all that are kept */
} cells;

/* As caw_malloc, caw_calloc, caw_realloc and caw_free. */
void *cells_alloc(cells *c, size_t bytes);
void *cells_calloc(cells *c, size_t count, size_t bytes);
void *cells_realloc(cells *c, void *old, size_t bytes);
void cells_free(cells *c, void *cell);

/* Gives everything that is kept back; the struct is the caller's. */
void cells_finish(cells *c);

#endif
