/* The metadata lists of metadata.h, and the look-ups of caw/metadata.h. */
#include "rpc/metadata.h"

#include "rpc/wire.h"

#include <caw/status.h>

/* The new entry's place; its array doubles within the arena. The list shows
 * its entries as const to programs, but they are ours. */
static caw_metadata_entry *append(rpc_metadata *m, caw_arena *arena) {
  if (m->list.len >= m->room) {
    size_t room = m->room ? m->room * 2 : 4;
    caw_metadata_entry *entries = caw_arena_alloc(arena, room * sizeof(*entries));
    if (!entries) return NULL;
    if (m->list.len) memcpy(entries, m->list.entries, m->list.len * sizeof(*entries));
    m->list.entries = entries;
    m->room = room;
  }
  return (caw_metadata_entry *)&m->list.entries[m->list.len];
}

/* Copies both texts in one piece, each with a NUL behind it. */
static int copy_entry(caw_metadata_entry *to, caw_arena *arena, caw_str key, caw_str value) {
  if (key.len > SIZE_MAX / 4 || value.len > SIZE_MAX / 4) return CAW_ENOMEM;
  char *p = caw_arena_alloc(arena, key.len + value.len + 2);
  if (!p) return CAW_ENOMEM;
  if (key.len) memcpy(p, key.data, key.len);
  p[key.len] = '\0';
  to->key = caw_str_of(p, key.len);
  p += key.len + 1;
  if (value.len) memcpy(p, value.data, value.len);
  p[value.len] = '\0';
  to->value = caw_str_of(p, value.len);
  return 0;
}

int rpc_metadata_add(rpc_metadata *m, caw_arena *arena, caw_str key, caw_str value) {
  caw_metadata_entry *e = append(m, arena);
  if (!e) return CAW_ENOMEM;
  int rc = copy_entry(e, arena, key, value);
  if (rc) return rc;
  m->list.len++;
  return 0;
}

void rpc_metadata_remove(rpc_metadata *m, caw_str key) {
  caw_metadata_entry *entries = (caw_metadata_entry *)m->list.entries;
  size_t kept = 0;
  for (size_t i = 0; i < m->list.len; i++) {
    if (caw_str_eq(entries[i].key, key)) continue;
    if (kept < i) entries[kept] = entries[i];
    kept++;
  }
  m->list.len = kept;
}

static int add_binary(rpc_metadata *m, caw_arena *arena, caw_str name, caw_str value) {
  for (;;) {
    const char *comma = value.len ? memchr(value.data, ',', value.len) : NULL;
    caw_str one = {value.data, comma ? (size_t)(comma - value.data) : value.len};
    caw_metadata_entry *e = append(m, arena);
    if (!e) return CAW_ENOMEM;
    int rc = rpc_base64_decode(arena, one, &e->value);
    if (rc) return rc;
    e->key = caw_arena_dup(arena, name);
    if (!e->key.data) return CAW_ENOMEM;
    m->list.len++;
    if (!comma) return 0;
    value.len -= one.len + 1;
    value.data = comma + 1;
  }
}

int rpc_metadata_append(rpc_metadata *m, caw_arena *arena, const caw_metadata_entry *entry) {
  caw_metadata_entry *e = append(m, arena);
  if (!e) return CAW_ENOMEM;
  *e = *entry;
  m->list.len++;
  return 0;
}

int rpc_metadata_add_received(rpc_metadata *m, caw_arena *arena, const h2_field *f) {
  static const caw_str user_agent = CAW_STR("user-agent");
  if (f->token == H2_T_USER_AGENT) { /* the one reserved field that programs see */
    if (!rpc_ascii_value_valid(f->value)) return 0;
    return rpc_metadata_add(m, arena, user_agent, f->value);
  }
  if (rpc_key_reserved(f->name)) return 0;
  if (rpc_key_binary(f->name)) return add_binary(m, arena, f->name, f->value);
  /* Legal in HTTP, not in gRPC: thrown away, as the protocol document permits,
   * so that a program may send back whatever it was given. */
  if (!rpc_key_valid(f->name) || !rpc_ascii_value_valid(f->value)) return 0;
  if (!(f->flags & H2_FIELD_LASTING)) return rpc_metadata_add(m, arena, f->name, f->value);
  const caw_metadata_entry entry = {f->name, f->value};
  return rpc_metadata_append(m, arena, &entry);
}

int rpc_metadata_check(caw_str key, caw_str value) {
  if (!rpc_key_valid(key) || rpc_key_reserved(key)) return CAW_EINVAL;
  if (value.len && !value.data) return CAW_EINVAL;
  return rpc_key_binary(key) || rpc_ascii_value_valid(value) ? 0 : CAW_EINVAL;
}

caw_str rpc_metadata_wire_value(caw_arena *arena, const caw_metadata_entry *entry) {
  if (!rpc_key_binary(entry->key)) return entry->value;
  buf encoded = {0};
  caw_str out = {NULL, 0};
  if (!rpc_base64_encode(&encoded, entry->value))
    out = caw_arena_dup(arena, caw_str_of((const char *)encoded.data, encoded.len));
  buf_finish(&encoded);
  return out;
}

bool caw_metadata_find(const caw_metadata *metadata, const char *key, size_t *at, caw_str *value) {
  for (; *at < metadata->len; ++*at) {
    const caw_metadata_entry *e = &metadata->entries[*at];
    if (!caw_str_is(e->key, key)) continue;
    *value = e->value;
    ++*at;
    return true;
  }
  return false;
}

caw_str caw_metadata_get(const caw_metadata *metadata, const char *key) {
  caw_str value = {NULL, 0};
  size_t at = 0;
  caw_metadata_find(metadata, key, &at, &value);
  return value;
}
