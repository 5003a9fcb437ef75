/*
 * An intrusive doubly linked list. A node that is in no list points to itself,
 * so that it can be removed at any time and asked whether it is linked.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct list {
  struct list *next, *prev;
} list;

/* The struct of `type` whose member `member` is at `node`. */
#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(list *l) {
  l->next = l->prev = l;
}

static inline bool list_empty(const list *l) {
  return l->next == l;
}

static inline bool list_linked(const list *node) {
  return node->next != node;
}

static inline void list_push_back(list *l, list *node) {
  node->prev = l->prev;
  node->next = l;
  l->prev->next = node;
  l->prev = node;
}

static inline void list_remove(list *node) {
  node->prev->next = node->next;
  node->next->prev = node->prev;
  list_init(node);
}

/* Removes and returns the first node, or NULL. */
static inline list *list_pop(list *l) {
  if (list_empty(l)) return NULL;
  list *node = l->next;
  list_remove(node);
  return node;
}

/* Moves all nodes of `from` to the empty list `to`. */
static inline void list_take(list *to, list *from) {
  list_init(to);
  if (list_empty(from)) return;
  to->next = from->next;
  to->prev = from->prev;
  to->next->prev = to;
  to->prev->next = to;
  list_init(from);
}

#endif
