/* The hash map of map.h. */
#include "base/map.h"

#include <caw/alloc.h>
#include <caw/status.h>

static uint64_t mix(uint64_t h, uint64_t bytes) {
  h = (h ^ bytes) * UINT64_C(0x9e3779b97f4a7c15);
  return h ^ h >> 32;
}

/* Eight bytes at a time; the last eight may overlap those before them. */
static uint32_t hash_of(caw_str key) {
  uint64_t n = 0, h = key.len;
  if (key.len < sizeof(n)) {
    memcpy(&n, key.data, key.len);
    return (uint32_t)mix(h, n);
  }
  for (size_t i = 0; i < key.len - sizeof(n); i += sizeof(n)) {
    memcpy(&n, key.data + i, sizeof(n));
    h = mix(h, n);
  }
  memcpy(&n, key.data + key.len - sizeof(n), sizeof(n));
  return (uint32_t)mix(h, n);
}

/* The slot that holds the key, or the free one where it belongs. */
static map_slot *slot_of(const map *m, caw_str key, uint32_t hash) {
  size_t i = hash & (m->room - 1);
  while (m->slots[i].key.data && (m->slots[i].hash != hash || !caw_str_eq(m->slots[i].key, key)))
    i = (i + 1) & (m->room - 1);
  return &m->slots[i];
}

int map_reserve(map *m, size_t extra) {
  /* At most half of the slots are taken: the differences cannot wrap. */
  if (extra <= m->room / 2 - m->len) return 0;
  map bigger = {NULL, m->len, m->room ? m->room : 16};
  while (extra > bigger.room / 2 - m->len) {
    if (bigger.room > SIZE_MAX / 2 / sizeof(map_slot)) return CAW_ENOMEM;
    bigger.room *= 2;
  }
  bigger.slots = caw_calloc(bigger.room, sizeof(map_slot));
  if (!bigger.slots) return CAW_ENOMEM;
  for (size_t i = 0; i < m->room; i++)
    if (m->slots[i].key.data) *slot_of(&bigger, m->slots[i].key, m->slots[i].hash) = m->slots[i];
  caw_free(m->slots);
  *m = bigger;
  return 0;
}

void map_finish(map *m) {
  caw_free(m->slots);
  m->slots = NULL;
  m->len = m->room = 0;
}

int map_add(map *m, caw_str key, void *value) {
  if (map_get(m, key)) return CAW_EEXIST;
  int rc = map_reserve(m, 1);
  if (rc) return rc;
  uint32_t hash = hash_of(key);
  map_slot *s = slot_of(m, key, hash);
  s->key = key;
  s->value = value;
  s->hash = hash;
  m->len++;
  return 0;
}

void *map_get(const map *m, caw_str key) {
  if (!m->len || !key.len) return NULL;
  return slot_of(m, key, hash_of(key))->value;
}
