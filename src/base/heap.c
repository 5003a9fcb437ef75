/* The heap of heap.h. */
#include "base/heap.h"

#include <assert.h>
#include <caw/alloc.h>
#include <caw/status.h>

void heap_finish(heap *h) {
  caw_free(h->nodes);
  h->nodes = NULL;
  h->len = h->room = 0;
}

int heap_reserve(heap *h, size_t extra) {
  if (h->room - h->len >= extra) return 0;
  size_t room = h->room ? h->room : 16;
  while (room - h->len < extra) {
    if (room > SIZE_MAX / 2 / sizeof(*h->nodes)) return CAW_ENOMEM;
    room *= 2;
  }
  heap_node **nodes = caw_realloc(h->nodes, room * sizeof(*nodes));
  if (!nodes) return CAW_ENOMEM;
  h->nodes = nodes;
  h->room = room;
  return 0;
}

static bool before(const heap_node *a, const heap_node *b) {
  return a->key != b->key ? a->key < b->key : a->turn < b->turn;
}

static void place(heap *h, size_t i, heap_node *n) {
  h->nodes[i] = n;
  n->index = i;
}

static void sift_up(heap *h, size_t i, heap_node *n) {
  while (i > 0) {
    size_t parent = (i - 1) / 2;
    if (before(h->nodes[parent], n)) break;
    place(h, i, h->nodes[parent]);
    i = parent;
  }
  place(h, i, n);
}

static void sift_down(heap *h, size_t i, heap_node *n) {
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= h->len) break;
    if (child + 1 < h->len && before(h->nodes[child + 1], h->nodes[child])) child++;
    if (before(n, h->nodes[child])) break;
    place(h, i, h->nodes[child]);
    i = child;
  }
  place(h, i, n);
}

void heap_insert(heap *h, heap_node *n, uint64_t key) {
  assert(!heap_linked(n) && h->len < h->room);
  n->key = key;
  n->turn = h->turn++;
  sift_up(h, h->len++, n);
}

void heap_remove(heap *h, heap_node *n) {
  if (!heap_linked(n)) return;
  size_t i = n->index;
  heap_node *last = h->nodes[--h->len];
  n->index = HEAP_NONE;
  if (last == n) return;
  if (i > 0 && before(last, h->nodes[(i - 1) / 2])) sift_up(h, i, last);
  else sift_down(h, i, last);
}
