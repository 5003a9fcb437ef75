/*
 * Lists of metadata in an arena, and the rules for what a program may send.
 * The public view is caw_metadata (caw/metadata.h).
 */
#ifndef RPC_METADATA_H
#define RPC_METADATA_H

#include "h2/h2.h"

#include <caw/arena.h>
#include <caw/metadata.h>

typedef struct rpc_metadata {
  caw_metadata list; /* what programs see */
  size_t room;       /* 0: the entries, if any, are not the list's own */
} rpc_metadata;

/* Was nothing added yet? */
static inline bool rpc_metadata_is_new(const rpc_metadata *m) {
  return !m->list.len && !m->room;
}

/* Makes a new list show an entry that lives as long as the list. */
static inline void rpc_metadata_show(rpc_metadata *m, const caw_metadata_entry *entry) {
  m->list = (caw_metadata){entry, 1};
}

/* Adds an entry whose texts live as long as the list. 0 or CAW_ENOMEM. */
int rpc_metadata_append(rpc_metadata *m, caw_arena *arena, const caw_metadata_entry *entry);

/* Adds an entry, copying both strings into the arena. 0 or CAW_ENOMEM. */
int rpc_metadata_add(rpc_metadata *m, caw_arena *arena, caw_str key, caw_str value);

/*
 * Adds a received field: skips what belongs to gRPC and HTTP, decodes the
 * values of "-bin" keys, which may be several, joined by commas. Returns 0,
 * CAW_EMALFORMED (base64), CAW_ENOMEM.
 */
int rpc_metadata_add_received(rpc_metadata *m, caw_arena *arena, const h2_field *field);

/* Removes the entries of a key. */
void rpc_metadata_remove(rpc_metadata *m, caw_str key);

/* May a program send this entry? 0 or CAW_EINVAL. */
int rpc_metadata_check(caw_str key, caw_str value);

/* The value as it travels: base64 for "-bin" keys, in the arena; others as
 * they are. Data is NULL when memory is out. */
caw_str rpc_metadata_wire_value(caw_arena *arena, const caw_metadata_entry *entry);

#endif
