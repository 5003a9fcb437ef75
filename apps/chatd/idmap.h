/* A map from an id to a pointer, for one thread at a time. Ids are above 0. */
#ifndef CHATD_IDMAP_H
#define CHATD_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct idmap {
  struct idmap_slot {
    int64_t id; /* 0: free */
    void *value;
  } * slots;
  size_t room, n; /* room is 0 or a power of two */
} idmap;

/* NULL when there is none. */
void *idmap_get(const idmap *m, int64_t id);

/* Adds or replaces; `value` is not NULL. False without memory. */
bool idmap_put(idmap *m, int64_t id, void *value);

void idmap_drop(idmap *m, int64_t id);

/* Walks: begin with *at = 0; NULL at the end. The map may not change meanwhile. */
void *idmap_next(const idmap *m, size_t *at);

void idmap_free(idmap *m);

#endif
