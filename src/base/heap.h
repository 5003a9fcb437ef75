/*
 * An intrusive binary min-heap of 64-bit keys: the timers of a loop. Equal keys
 * leave in the order in which they came. Each node knows its place, so that
 * removal is O(log n) and a node may be freed at once afterwards, which
 * uv_timer_t does not allow (it closes asynchronously).
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_NONE SIZE_MAX

typedef struct heap_node {
  uint64_t key;
  uint64_t turn; /* the order of insertion, among equal keys */
  size_t index;  /* HEAP_NONE when in no heap */
} heap_node;

typedef struct heap {
  heap_node **nodes;
  size_t len, room;
  uint64_t turn; /* of the next node */
} heap;

static inline void heap_node_init(heap_node *n) {
  n->key = n->turn = 0;
  n->index = HEAP_NONE;
}

static inline bool heap_linked(const heap_node *n) {
  return n->index != HEAP_NONE;
}

void heap_finish(heap *h);

/* Makes room for `extra` more nodes, so that inserting them cannot fail.
 * Returns 0 or CAW_ENOMEM. */
int heap_reserve(heap *h, size_t extra);

/* Inserts a node that is in no heap. Room must have been reserved. */
void heap_insert(heap *h, heap_node *n, uint64_t key);

/* Removes a node; nothing happens when it is in no heap. */
void heap_remove(heap *h, heap_node *n);

/* The node with the smallest key, or NULL. */
static inline heap_node *heap_top(const heap *h) {
  return h->len ? h->nodes[0] : NULL;
}

#endif
