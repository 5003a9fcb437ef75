/*
 * The encoder of hpack.h. What a call repeats is in the dynamic table after the
 * first call, and leaves as one byte; it is found by its name's token and one
 * comparison. Nothing that differs from call to call comes into the table.
 */
#include "h2/hpack.h"
#include "h2/hpack_static.h"
#include "h2/hpack_table.h"

/* Powers of two. */
#define FIELD_CHAINS 64
#define NAME_CHAINS  32

/*
 * Finds entries by what they say. An entry's number is how many had been
 * inserted with it, modulo 2^32; its age follows, and whether it is still there.
 * A chain goes from newer to older entries, so that it ends at the first one that
 * is gone, and nobody takes entries out of chains. Numbers that are too old may
 * seem to be alive after 2^32 insertions: texts are compared, and ages must rise.
 */
struct hpack_index {
  uint32_t by_token[H2_TOKENS];  /* the newest with a name */
  uint32_t by_name[NAME_CHAINS]; /* of names without a token */
  uint32_t by_field[FIELD_CHAINS];
};

/* What to do with a field whose text is in no table. */
typedef enum policy {
  ONCE_SEEN,    /* inserted when it comes again */
  AT_ONCE,      /* inserted: most calls have the same */
  NAME_ONLY,    /* differs from call to call: inserted only so that its name is there */
  NOT_INSERTED, /* the same, and the static table has its name */
  NEVER_INDEXED /* a secret (RFC 7541 section 7.1.3) */
} policy;

static const uint8_t policies[H2_TOKENS] = {
    [H2_T_AUTHORITY] = AT_ONCE,
    [H2_T_METHOD] = AT_ONCE,
    [H2_T_PATH] = AT_ONCE,
    [H2_T_SCHEME] = AT_ONCE,
    [H2_T_STATUS] = AT_ONCE,
    [H2_T_ACCEPT_ENCODING] = AT_ONCE,
    [H2_T_AUTHORIZATION] = NEVER_INDEXED,
    [H2_T_CONTENT_LENGTH] = NOT_INSERTED,
    [H2_T_CONTENT_TYPE] = AT_ONCE,
    [H2_T_COOKIE] = NEVER_INDEXED,
    [H2_T_DATE] = NOT_INSERTED,
    [H2_T_GRPC_ACCEPT_ENCODING] = AT_ONCE,
    [H2_T_GRPC_ENCODING] = AT_ONCE,
    [H2_T_GRPC_MESSAGE] = NAME_ONLY,
    [H2_T_GRPC_STATUS] = AT_ONCE,
    [H2_T_GRPC_STATUS_DETAILS_BIN] = NAME_ONLY,
    [H2_T_GRPC_TIMEOUT] = NAME_ONLY,
    [H2_T_PROXY_AUTHORIZATION] = NEVER_INDEXED,
    [H2_T_SERVER] = AT_ONCE,
    [H2_T_SET_COOKIE] = NEVER_INDEXED,
    [H2_T_TE] = AT_ONCE,
    [H2_T_USER_AGENT] = AT_ONCE,
};

void hpack_encoder_init(hpack_encoder *e, cells *memory) {
  memset(e, 0, sizeof(*e));
  hpack_table_init(&e->table, HPACK_TABLE_DEFAULT, memory);
  e->smallest = e->announced = HPACK_TABLE_DEFAULT;
}

void hpack_encoder_finish(hpack_encoder *e) {
  hpack_table_finish(&e->table);
  cells_free(e->table.cells, e->index);
  e->index = NULL;
}

void hpack_encoder_limit(hpack_encoder *e, uint32_t bytes) {
  if (bytes > HPACK_TABLE_DEFAULT) bytes = HPACK_TABLE_DEFAULT;
  e->table.max = bytes;
  if (bytes < e->smallest) e->smallest = bytes;
  hpack_table_shrink(&e->table, bytes);
}

/* What a field takes at most beside its texts: a byte, and two lengths. */
#define FIELD_BYTES (1 + 2 * (1 + (sizeof(size_t) * 8 + 6) / 7))

/* Two updates of the table's size. */
#define UPDATE_BYTES ((size_t)2 * (1 + 5))

size_t hpack_bound(const h2_field *fields, size_t n) {
  size_t bound = UPDATE_BYTES;
  for (size_t i = 0; i < n; i++) {
    const size_t add[] = {FIELD_BYTES, fields[i].name.len, fields[i].value.len};
    for (size_t k = 0; k < sizeof(add) / sizeof(add[0]); k++) {
      if (add[k] > SIZE_MAX - bound) return SIZE_MAX;
      bound += add[k];
    }
  }
  return bound;
}

/* Same bytes? Texts are short: no call. */
static inline bool same(caw_str a, caw_str b) {
  if (a.len != b.len) return false;
  const char *p = a.data, *q = b.data;
  size_t n = a.len;
  if (n >= 8) {
    uint64_t x, y;
    const char *last = p + n - 8, *other = q + n - 8;
    for (; p < last; p += 8, q += 8) {
      memcpy(&x, p, 8);
      memcpy(&y, q, 8);
      if (x != y) return false;
    }
    memcpy(&x, last, 8);
    memcpy(&y, other, 8);
    return x == y;
  }
  for (; n; n--)
    if (*p++ != *q++) return false;
  return true;
}

#define MIX UINT64_C(0x9e3779b97f4a7c15)

static uint32_t hash_of(uint32_t seed, caw_str text) {
  uint64_t h = (seed + text.len + 1) * MIX, word;
  const char *at = text.data;
  size_t n = text.len;
  for (; n >= sizeof(word); n -= sizeof(word), at += sizeof(word)) {
    memcpy(&word, at, sizeof(word));
    h = (h ^ word) * MIX;
    h ^= h >> 32;
  }
  for (word = 0; n; n--) word = word << 8 | (uint8_t)*at++;
  h = (h ^ word) * MIX;
  return (uint32_t)(h >> 32);
}

static uint8_t *put_integer(uint8_t *to, uint8_t kind, uint8_t prefix, size_t n) {
  if (n < prefix) {
    *to++ = (uint8_t)(kind | n);
    return to;
  }
  *to++ = kind | prefix;
  for (n -= prefix; n >= 0x80; n >>= 7) *to++ = (uint8_t)(n | 0x80);
  *to++ = (uint8_t)n;
  return to;
}

static inline uint8_t *put_indexed(uint8_t *to, size_t index) {
  if (index >= 0x7f) return put_integer(to, 0x80, 0x7f, index);
  *to++ = (uint8_t)(0x80 | index);
  return to;
}

/* Huffman's code where that is shorter. */
static uint8_t *put_string(uint8_t *to, caw_str text) {
  const uint8_t *bytes = (const uint8_t *)text.data;
  size_t packed = huffman_encoded_length(bytes, text.len);
  if (packed < text.len) {
    to = put_integer(to, 0x80, 0x7f, packed);
    return to + huffman_encode(to, bytes, text.len);
  }
  to = put_integer(to, 0, 0x7f, text.len);
  if (text.len) memcpy(to, text.data, text.len);
  return to + text.len;
}

/* A field that is looked for. */
typedef struct wanted {
  const h2_field *field;
  unsigned token;
  uint32_t hash, name_hash; /* of both texts; of the name, if it has no token */
} wanted;

static inline bool same_name(const hpack_entry *entry, const wanted *w) {
  return entry->field.token == w->token && (w->token || same(entry->field.name, w->field->name));
}

/* The index of the entry with this age. */
static inline size_t index_at(uint32_t age) {
  return (size_t)age + HPACK_STATIC + 1;
}

/* The index of the newest entry that says the same, or 0. */
static size_t find_field(const hpack_encoder *e, const wanted *w) {
  const hpack_table *t = &e->table;
  uint32_t now = (uint32_t)t->inserted, before = 0;
  uint32_t age = now - e->index->by_field[w->hash % FIELD_CHAINS];
  for (; age < t->len && age >= before; before = age + 1) {
    const hpack_entry *entry = hpack_table_at(t, age);
    if (entry->hash == w->hash && same_name(entry, w) && same(entry->field.value, w->field->value))
      return index_at(age);
    age = now - entry->older;
  }
  return 0;
}

/* The index of the newest entry with this name, or 0. */
static size_t find_name(const hpack_encoder *e, const wanted *w) {
  const hpack_table *t = &e->table;
  uint32_t now = (uint32_t)t->inserted, before = 0;
  uint32_t age = now - (w->token ? e->index->by_token[w->token]
                                 : e->index->by_name[w->name_hash % NAME_CHAINS]);
  for (; age < t->len && age >= before; before = age + 1) {
    const hpack_entry *entry = hpack_table_at(t, age);
    if (same_name(entry, w)) return index_at(age);
    age = now - entry->older_name;
  }
  return 0;
}

/* Has this come before? Notes that it has. */
static bool seen(hpack_encoder *e, uint32_t hash) {
  uint16_t *slot = &e->seen[hash % HPACK_SEEN], tag = (uint16_t)(hash >> 16 | 1);
  if (*slot == tag) return true;
  *slot = tag;
  return false;
}

/* Shall a field be inserted whose text is in no table? `name` says whether its
 * name is in one. */
static bool worth_it(hpack_encoder *e, const wanted *w, policy how, bool name) {
  const h2_field *f = w->field;
  size_t max = e->table.max, text = f->name.len + f->value.len;
  /* One field shall not drive all others out. */
  if (text < f->name.len || text > max || hpack_cost(text, 0) > max - max / 4) return false;
  bool small = hpack_cost(text, 0) <= max / 8;
  switch (how) {
  case AT_ONCE:
    return true;
  case NAME_ONLY:
    return !name && small;
  case ONCE_SEEN: {
    bool again = seen(e, w->hash);
    if (!name && !w->token && seen(e, w->name_hash) && small) again = true;
    return again;
  }
  case NOT_INSERTED:
  case NEVER_INDEXED:
    break;
  }
  return false;
}

static void link_entry(struct hpack_index *index, const wanted *w, hpack_entry *entry,
                       uint32_t number) {
  uint32_t *chain = &index->by_field[w->hash % FIELD_CHAINS];
  uint32_t *names =
      w->token ? &index->by_token[w->token] : &index->by_name[w->name_hash % NAME_CHAINS];
  entry->hash = w->hash;
  entry->older = *chain;
  entry->older_name = *names;
  *chain = *names = number;
}

/* Puts a field into the table. False: memory is out. */
static bool insert(hpack_encoder *e, const wanted *w) {
  const h2_field *f = w->field;
  hpack_table *t = &e->table;
  if (!e->index) {
    e->index = cells_calloc(t->cells, 1, sizeof(*e->index));
    if (!e->index) return false;
  }
  bool lasting = w->token || (f->flags & H2_FIELD_LASTING);
  size_t copied = lasting ? 0 : f->name.len;
  hpack_entry *entry = hpack_table_entry(t, copied + f->value.len);
  if (!entry) return false;
  if (copied) memcpy(entry->text, f->name.data, copied);
  if (f->value.len) memcpy(entry->text + copied, f->value.data, f->value.len);
  entry->field = (h2_field){.token = (uint8_t)w->token};
  entry->field.name = w->token  ? hpack_known_names[w->token].name
                      : lasting ? f->name
                                : caw_str_of(entry->text, copied);
  entry->field.value = caw_str_of(entry->text + copied, f->value.len);
  if (!hpack_table_insert(t, entry)) {
    cells_free(t->cells, entry);
    return false;
  }
  link_entry(e->index, w, entry, (uint32_t)t->inserted);
  return true;
}

static uint8_t *put_literal(hpack_encoder *e, uint8_t *to, const wanted *w, policy how,
                            size_t name) {
  const h2_field *f = w->field;
  if (how == NEVER_INDEXED) to = put_integer(to, 0x10, 0x0f, name);
  else if (worth_it(e, w, how, name) && insert(e, w)) to = put_integer(to, 0x40, 0x3f, name);
  else to = put_integer(to, 0x00, 0x0f, name);
  if (!name) to = put_string(to, f->name);
  return put_string(to, f->value);
}

/* A field that is neither in the static table with its value nor the newest
 * entry of its name. */
static uint8_t *put_slowly(hpack_encoder *e, uint8_t *to, const h2_field *f, unsigned token) {
  wanted w = {f, token, 0, token};
  policy how = f->flags & H2_FIELD_SECRET ? NEVER_INDEXED : (policy)policies[token];
  size_t name = token ? hpack_known_names[token].index : hpack_static_name(f->name);
  if (how != NEVER_INDEXED && name && !f->value.len && !hpack_static[name - 1].value.len)
    return put_indexed(to, name);
  if (!token) w.name_hash = hash_of(0, f->name);
  if (how != NEVER_INDEXED) {
    w.hash = hash_of(w.name_hash, f->value);
    size_t index = e->index ? find_field(e, &w) : 0;
    if (index) return put_indexed(to, index);
  }
  if (!name && e->index) name = find_name(e, &w);
  return put_literal(e, to, &w, how, name);
}

static inline uint8_t *put_field(hpack_encoder *e, uint8_t *to, const h2_field *f) {
  unsigned token = f->token ? f->token : h2_token_of(f->name);
  if (token && !(f->flags & H2_FIELD_SECRET)) {
    const hpack_known *k = &hpack_known_names[token];
    for (unsigned i = 0; i < k->values; i++)
      if (same(hpack_static[k->index - 1 + i].value, f->value))
        return put_indexed(to, k->index + i);
    if (e->index) {
      uint32_t age = (uint32_t)e->table.inserted - e->index->by_token[token];
      if (age < e->table.len) {
        const hpack_entry *entry = hpack_table_at(&e->table, age);
        if (entry->field.token == token && same(entry->field.value, f->value))
          return put_indexed(to, index_at(age));
      }
    }
  }
  return put_slowly(e, to, f, token);
}

/* The size that the table had in between, and the one that it has (section 4.2). */
static uint8_t *put_updates(hpack_encoder *e, uint8_t *to) {
  if (e->smallest < e->announced) {
    to = put_integer(to, 0x20, 0x1f, e->smallest);
    e->announced = e->smallest;
  }
  if (e->table.max != e->announced) to = put_integer(to, 0x20, 0x1f, e->table.max);
  e->smallest = e->announced = e->table.max;
  return to;
}

size_t hpack_encode(hpack_encoder *e, uint8_t *to, const h2_field *fields, size_t n) {
  uint8_t *at = to;
  if (e->smallest < e->announced || e->table.max != e->announced) at = put_updates(e, at);
  for (size_t i = 0; i < n; i++) at = put_field(e, at, &fields[i]);
  return (size_t)(at - to);
}
