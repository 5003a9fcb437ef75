/*
 * The dynamic table of hpack.h (RFC 7541 section 4): entries come at its head and
 * go at its end. For the decoder and the encoder only.
 */
#ifndef H2_HPACK_TABLE_H
#define H2_HPACK_TABLE_H

#include "h2/hpack.h"

struct hpack_entry {
  h2_field field; /* its texts lie in `text`, or live for ever */
  /* The encoder's: how many entries are between it and the next in its chains. */
  uint32_t hash, older, older_name;
  bool bad_name; /* the decoder's: the name has a character that is forbidden */
  char text[];
};

/* What a field costs in a table (RFC 7541 section 4.1). */
static inline size_t hpack_cost(size_t name, size_t value) {
  return name + value + HPACK_ENTRY_COST;
}

void hpack_table_init(hpack_table *t, uint32_t max, cells *memory);
void hpack_table_finish(hpack_table *t);

/* An entry with room for so much text. NULL: memory is out. */
hpack_entry *hpack_table_entry(hpack_table *t, size_t text);

/* Inserts an entry that costs at most t->max; the oldest go for it. False:
 * memory is out, and nothing has changed. */
bool hpack_table_insert(hpack_table *t, hpack_entry *entry);

/* The oldest go until all that are left cost at most `bytes`. */
void hpack_table_shrink(hpack_table *t, uint32_t bytes);

/* The entry at `age`, below t->len; the newest is 0. */
static inline hpack_entry *hpack_table_at(const hpack_table *t, uint32_t age) {
  return t->ring[(t->head + age) & (t->room - 1)];
}

#endif
