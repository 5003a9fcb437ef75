/* The dynamic table of hpack_table.h. */
#include "h2/hpack_table.h"

#include <string.h>

#define FIRST_ROOM ((uint32_t)16)

void hpack_table_init(hpack_table *t, uint32_t max, cells *memory) {
  memset(t, 0, sizeof(*t));
  t->max = max;
  t->cells = memory;
}

void hpack_table_finish(hpack_table *t) {
  hpack_table_shrink(t, 0);
  cells_free(t->cells, t->ring);
  t->ring = NULL;
  t->room = 0;
}

hpack_entry *hpack_table_entry(hpack_table *t, size_t text) {
  return cells_alloc(t->cells, sizeof(hpack_entry) + text);
}

/* Makes the ring twice as large. The room is bounded by what `max` allows, a
 * 32nd of 4 GiB, and never overflows. */
static bool grow(hpack_table *t) {
  uint32_t room = t->room ? 2 * t->room : FIRST_ROOM;
  hpack_entry **ring = cells_alloc(t->cells, room * sizeof(hpack_entry *));
  if (!ring) return false;
  for (uint32_t i = 0; i < t->len; i++) ring[i] = hpack_table_at(t, i);
  cells_free(t->cells, t->ring);
  t->ring = ring;
  t->room = room;
  t->head = 0;
  return true;
}

void hpack_table_shrink(hpack_table *t, uint32_t bytes) {
  while (t->bytes > bytes) {
    hpack_entry *oldest = hpack_table_at(t, --t->len);
    t->bytes -= (uint32_t)hpack_cost(oldest->field.name.len, oldest->field.value.len);
    cells_free(t->cells, oldest);
  }
}

bool hpack_table_insert(hpack_table *t, hpack_entry *entry) {
  uint32_t cost = (uint32_t)hpack_cost(entry->field.name.len, entry->field.value.len);
  if (t->len == t->room && !grow(t)) return false;
  hpack_table_shrink(t, t->max - cost);
  t->head = (t->head - 1) & (t->room - 1);
  t->ring[t->head] = entry;
  t->len++;
  t->bytes += cost;
  t->inserted++;
  return true;
}
