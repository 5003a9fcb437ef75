/*
 * The encoder of hpack.h. What a call repeats is in the dynamic table after the
 * first call, and leaves as one byte; it is found by its name's token and one
 * comparison. Nothing that differs from call to call comes into the table.
 */
#include "h2/hpack.h"
#include "h2/hpack_static.h"
#include "h2/hpack_table.h"

#include <assert.h>

/* Powers of two. */
#define FIELD_CHAINS 64
#define NAME_CHAINS  16
#define SEEN         32

/*
 * Finds entries by what they say. An entry's number is how many had been
 * inserted with it; from the number follows how old it is, and whether it is
 * still there. A chain goes from newer to older entries, each with its distance
 * to the one before, and ends at the first that is gone: the oldest entries go
 * first, and nobody has to take them out.
 */
struct hpack_index {
  uint64_t by_token[H2_TOKENS];  /* the number of the newest with a name; 0: none */
  uint64_t by_name[NAME_CHAINS]; /* of names without a token */
  uint64_t by_field[FIELD_CHAINS];
  /* Hashes of fields and names that came and are not in the table. */
  uint32_t seen[SEEN], seen_count;
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
  e->due = e->smallest < e->announced || bytes != e->announced;
  hpack_table_shrink(&e->table, bytes);
}

/* What a field takes at most beside its texts: a byte, and two lengths. */
#define FIELD_BYTES (1 + 2 * (1 + (sizeof(size_t) * 8 + 6) / 7))

/* Two updates of the table's size. */
#define UPDATE_BYTES ((size_t)2 * (1 + 5))

/* Beyond these there is no memory that could hold the fields. */
#define MOST_FIELDS  ((size_t)1 << 20)
#define LONGEST_TEXT ((size_t)1 << 40)

size_t hpack_bound(const h2_field *fields, size_t n) {
  size_t bound = UPDATE_BYTES + n * FIELD_BYTES, all = 0;
  if (n > MOST_FIELDS) return SIZE_MAX;
  for (size_t i = 0; i < n; i++) {
    all |= fields[i].name.len | fields[i].value.len;
    bound += fields[i].name.len + fields[i].value.len;
  }
  return all < LONGEST_TEXT ? bound : SIZE_MAX;
}

/* Apart from the path that nearly all fields take, which keeps its registers. */
#define APART __attribute__((noinline))

static inline uint64_t load8(const char *p) {
  uint64_t n;
  memcpy(&n, p, sizeof(n));
  return n;
}

static inline uint32_t load4(const char *p) {
  uint32_t n;
  memcpy(&n, p, sizeof(n));
  return n;
}

static inline uint16_t load2(const char *p) {
  uint16_t n;
  memcpy(&n, p, sizeof(n));
  return n;
}

/* Same bytes? Most texts are short: no call. The last load may overlap the one
 * before. */
static inline bool same(caw_str a, caw_str b) {
  const char *p = a.data, *q = b.data;
  size_t n = a.len;
  if (n != b.len) return false;
  if (n >= 8) {
    for (size_t i = 8; i < n; i += 8)
      if (load8(p + i - 8) != load8(q + i - 8)) return false;
    return load8(p + n - 8) == load8(q + n - 8);
  }
  if (n >= 4) return load4(p) == load4(q) && load4(p + n - 4) == load4(q + n - 4);
  if (n >= 2) return load2(p) == load2(q) && load2(p + n - 2) == load2(q + n - 2);
  return n == 0 || *p == *q;
}

#define MIX UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t mixed(uint64_t h, uint64_t word) {
  h = (h ^ word) * MIX;
  return h ^ h >> 32;
}

/* Of all bytes and their number; as in same(), loads may overlap. */
static inline uint32_t hash_of(uint32_t seed, caw_str text) {
  const char *p = text.data;
  size_t n = text.len;
  uint64_t h = (uint64_t)seed << 32 | (uint32_t)n, last = 0;
  if (n >= 8) {
    for (size_t i = 8; i < n; i += 8) h = mixed(h, load8(p + i - 8));
    last = load8(p + n - 8);
  } else if (n >= 4) {
    last = (uint64_t)load4(p) << 32 | load4(p + n - 4);
  } else if (n) {
    last = (uint32_t)(uint8_t)p[0] << 16 | (uint32_t)(uint8_t)p[n / 2] << 8 | (uint8_t)p[n - 1];
  }
  return (uint32_t)mixed(h, last);
}

static APART uint8_t *put_integer(uint8_t *to, uint8_t kind, uint8_t prefix, size_t n) {
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
static APART uint8_t *put_string(uint8_t *to, caw_str text) {
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
static inline size_t index_at(uint64_t age) {
  return (size_t)age + HPACK_STATIC + 1;
}

/* The age of the entry with this number; those that are gone are too old. */
static inline uint64_t age_of(const hpack_encoder *e, uint64_t number) {
  return e->table.inserted - number;
}

/* The index of the newest entry that says the same, or 0. */
static size_t find_field(const hpack_encoder *e, const wanted *w) {
  const hpack_entry *entry;
  uint64_t age = age_of(e, e->index->by_field[w->hash % FIELD_CHAINS]);
  for (; age < e->table.len; age += entry->older) {
    entry = hpack_table_at(&e->table, (uint32_t)age);
    if (entry->hash == w->hash && same_name(entry, w) && same(entry->field.value, w->field->value))
      return index_at(age);
  }
  return 0;
}

/* The index of the newest entry with this name, or 0. */
static size_t find_name(const hpack_encoder *e, const wanted *w) {
  const hpack_entry *entry;
  uint64_t age = age_of(e, w->token ? e->index->by_token[w->token]
                                    : e->index->by_name[w->name_hash % NAME_CHAINS]);
  for (; age < e->table.len; age += entry->older_name) {
    entry = hpack_table_at(&e->table, (uint32_t)age);
    if (same_name(entry, w)) return index_at(age);
  }
  return 0;
}

/* The index, made if need be; NULL: memory is out. */
static struct hpack_index *index_of(hpack_encoder *e) {
  if (!e->index) e->index = cells_calloc(e->table.cells, 1, sizeof(*e->index));
  return e->index;
}

/* Has this come before? Notes that it has, in the place of any other: of more
 * fields than there is place for, some are still there when they come again. */
static bool seen(hpack_encoder *e, uint32_t hash) {
  struct hpack_index *index = index_of(e);
  if (!index) return false;
  hash |= 1; /* 0: no hash */
  for (const uint32_t *s = index->seen, *end = s + SEEN; s < end; s++)
    if (*s == hash) return true;
  index->seen[(hash >> 8 ^ index->seen_count++) % SEEN] = hash;
  return false;
}

/* Shall a field be inserted whose text is in no table? `name` says whether its
 * name is in one. */
static bool worth_it(hpack_encoder *e, const wanted *w, policy how, bool name) {
  const h2_field *f = w->field;
  size_t max = e->table.max;
  if (f->name.len > max || f->value.len > max) return false;
  size_t cost = hpack_cost(f->name.len, f->value.len);
  if (cost > max - max / 4) return false; /* one field shall not drive all others out */
  bool small = cost <= max / 8;
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

/* Puts an entry before the others of a chain. */
static uint32_t link_entry(uint64_t *chain, uint64_t number) {
  uint64_t distance = number - *chain;
  *chain = number;
  return distance < UINT32_MAX ? (uint32_t)distance : UINT32_MAX;
}

/* Puts a field into the table. False: memory is out. */
static bool insert(hpack_encoder *e, const wanted *w) {
  const h2_field *f = w->field;
  hpack_table *t = &e->table;
  if (!index_of(e)) return false;
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
  entry->hash = w->hash;
  entry->older = link_entry(&e->index->by_field[w->hash % FIELD_CHAINS], t->inserted);
  entry->older_name = link_entry(w->token ? &e->index->by_token[w->token]
                                          : &e->index->by_name[w->name_hash % NAME_CHAINS],
                                 t->inserted);
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

/* The index of the static entry that says the same, or 0; `first` is the first
 * with its name. */
static size_t find_static(const h2_field *f, size_t first) {
  for (size_t i = first; i <= HPACK_STATIC && same(hpack_static[i - 1].name, f->name); i++)
    if (same(hpack_static[i - 1].value, f->value)) return i;
  return 0;
}

/* A field without a token, or that is neither in the static table with its value
 * nor the newest entry of its name, or a secret. */
static APART uint8_t *put_slowly(hpack_encoder *e, uint8_t *to, const h2_field *f) {
  unsigned token = f->token ? f->token : h2_token_of(f->name);
  wanted w = {f, token, 0, token};
  bool secret = f->flags & H2_FIELD_SECRET || policies[token] == NEVER_INDEXED;
  if (!token) w.name_hash = hash_of(0, f->name);
  if (!secret) w.hash = hash_of(w.name_hash, f->value);
  size_t index = e->index && !secret ? find_field(e, &w) : 0;
  if (index) return put_indexed(to, index);
  size_t name = token ? hpack_known_names[token].index : hpack_static_name(f->name);
  if (name && !secret) index = find_static(f, name);
  if (index) return put_indexed(to, index);
  if (!name && e->index) name = find_name(e, &w);
  return put_literal(e, to, &w, secret ? NEVER_INDEXED : (policy)policies[token], name);
}

/* The index of a field with a token that is in the static table with its value,
 * or the newest entry of its name; 0: neither, or a secret. */
static inline size_t find_quickly(const hpack_encoder *e, const h2_field *f) {
  unsigned token = f->token;
  assert(!token || token == h2_token_of(f->name));
  if (!token || (f->flags & H2_FIELD_SECRET)) return 0;
  size_t index = hpack_known_names[token].index;
  for (unsigned values = hpack_known_names[token].values;; values--, index++) {
    const h2_field *known;
    if (values) {
      known = &hpack_static[index - 1];
    } else {
      if (!e->index) return 0;
      uint64_t age = age_of(e, e->index->by_token[token]);
      if (age >= e->table.len) return 0;
      known = &hpack_table_at(&e->table, (uint32_t)age)->field;
      index = index_at(age);
    }
    if (same(known->value, f->value)) return index;
    if (!values) return 0;
  }
}

/* The size that the table had in between, and the one that it has (section 4.2). */
static APART uint8_t *put_updates(hpack_encoder *e, uint8_t *to) {
  if (e->smallest < e->announced) {
    to = put_integer(to, 0x20, 0x1f, e->smallest);
    e->announced = e->smallest;
  }
  if (e->table.max != e->announced) to = put_integer(to, 0x20, 0x1f, e->table.max);
  e->smallest = e->announced = e->table.max;
  e->due = false;
  return to;
}

/* Writes a block from a field on that find_quickly did not find, or far back. */
static APART uint8_t *encode_slowly(hpack_encoder *e, uint8_t *to, const h2_field *f,
                                    const h2_field *end) {
  to = put_slowly(e, to, f);
  while (++f < end) {
    size_t index = find_quickly(e, f);
    to = index ? put_indexed(to, index) : put_slowly(e, to, f);
  }
  return to;
}

size_t hpack_encode(hpack_encoder *e, uint8_t *to, const h2_field *fields, size_t n) {
  uint8_t *at = to;
  if (e->due) at = put_updates(e, at);
  for (const h2_field *f = fields, *end = f + n; f < end; f++) {
    size_t index = find_quickly(e, f);
    if (index - 1 >= 0x7e) return (size_t)(encode_slowly(e, at, f, end) - to);
    *at++ = (uint8_t)(0x80 | index);
  }
  return (size_t)(at - to);
}
