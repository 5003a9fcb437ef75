/* The spare ones of asked.h. */
#include "asked.h"

#include <caw/alloc.h>
#include <string.h>

#define SPARES 1024              /* of a loop, */
#define ARENA  1024              /* which is what a message of a line or two needs, */
#define HELD   ((size_t)4 << 10) /* and those that needed more than this are not kept */

asked *asked_new(shard *s) {
  asked *a = s->spare;
  if (a) {
    caw_arena *arena = a->task.arena;
    s->spare = a->next;
    s->spares--;
    memset(a, 0, sizeof(*a));
    a->task.arena = arena;
    return a;
  }
  a = caw_calloc(1, sizeof(*a));
  if (!a) return NULL;
  a->task.arena = caw_arena_new(ARENA);
  if (a->task.arena) return a;
  caw_free(a);
  return NULL;
}

void asked_free(asked *a) {
  if (!a) return;
  caw_arena_free(a->task.arena);
  caw_free(a);
}

void asked_spare(shard *s, asked *a) {
  if (s->spares >= SPARES || caw_arena_used(a->task.arena) > HELD) {
    asked_free(a);
    return;
  }
  caw_arena_reset(a->task.arena);
  a->next = s->spare;
  s->spare = a;
  s->spares++;
}

void asked_free_all(shard *s) {
  for (asked *a = s->spare; a; a = s->spare) {
    s->spare = a->next;
    asked_free(a);
  }
}
