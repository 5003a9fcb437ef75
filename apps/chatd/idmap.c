/* Open addressing, with the gap of a removed id closed at once. */
#include "idmap.h"

#include <caw/alloc.h>

static size_t home_of(const idmap *m, int64_t id) {
  return (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 20) & (m->room - 1);
}

static size_t find(const idmap *m, int64_t id) {
  size_t at = home_of(m, id);
  while (m->slots[at].id && m->slots[at].id != id) at = (at + 1) & (m->room - 1);
  return at;
}

void *idmap_get(const idmap *m, int64_t id) {
  if (!m->n) return NULL;
  const struct idmap_slot *slot = &m->slots[find(m, id)];
  return slot->id ? slot->value : NULL;
}

static bool grow(idmap *m) {
  idmap more = {.room = m->room ? m->room * 2 : 16, .n = m->n};
  more.slots = caw_calloc(more.room, sizeof(*more.slots));
  if (!more.slots) return false;
  for (size_t i = 0; i < m->room; i++)
    if (m->slots[i].id) more.slots[find(&more, m->slots[i].id)] = m->slots[i];
  caw_free(m->slots);
  *m = more;
  return true;
}

bool idmap_put(idmap *m, int64_t id, void *value) {
  if (m->n * 4 >= m->room * 3 && !grow(m)) return false;
  struct idmap_slot *slot = &m->slots[find(m, id)];
  if (!slot->id) m->n++;
  *slot = (struct idmap_slot){id, value};
  return true;
}

void idmap_drop(idmap *m, int64_t id) {
  if (!m->n) return;
  size_t gap = find(m, id), at = gap;
  if (!m->slots[gap].id) return;
  m->n--;
  /* What stands behind the gap and could not stand before it moves into it. */
  for (;;) {
    at = (at + 1) & (m->room - 1);
    if (!m->slots[at].id) break;
    size_t home = home_of(m, m->slots[at].id);
    if (((at - home) & (m->room - 1)) < ((at - gap) & (m->room - 1))) continue;
    m->slots[gap] = m->slots[at];
    gap = at;
  }
  m->slots[gap] = (struct idmap_slot){0};
}

void *idmap_next(const idmap *m, size_t *at) {
  while (*at < m->room) {
    const struct idmap_slot *slot = &m->slots[(*at)++];
    if (slot->id) return slot->value;
  }
  return NULL;
}

void idmap_free(idmap *m) {
  caw_free(m->slots);
  *m = (idmap){0};
}
