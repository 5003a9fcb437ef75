/*
 * The decoder of hpack.h. An indexed field is nearly all that a connection sees
 * after its first call: it is answered at once, in hpack_decode itself.
 */
#include "h2/hpack.h"
#include "h2/field_chars.h"
#include "h2/hpack_static.h"
#include "h2/hpack_table.h"

/* Bytes of an integer behind its prefix: five reach beyond 2^32 - 1 (RFC 7541
 * section 5.1 asks for a limit). */
#define INTEGER_BYTES 5

/* Updates at the begin of a block: the smallest and the final size (section 4.2). */
#define UPDATES 2

/* Code up to here is given room for what it decodes to at most, an eighth of a
 * byte in five; what longer code decodes to is counted first. */
#define CODE_COUNTED ((size_t)64)

void hpack_decoder_init(hpack_decoder *d, uint32_t max_string, cells *memory) {
  memset(d, 0, sizeof(*d));
  hpack_table_init(&d->table, HPACK_TABLE_DEFAULT, memory);
  d->allowed = HPACK_TABLE_DEFAULT;
  d->max_string = max_string < HPACK_STRING_MAX ? max_string : HPACK_STRING_MAX;
}

void hpack_decoder_trim(hpack_decoder *d) {
  cells_free(d->table.cells, d->scratch);
  d->scratch = NULL;
  d->scratch_room = 0;
}

void hpack_decoder_finish(hpack_decoder *d) {
  hpack_decoder_trim(d);
  hpack_table_finish(&d->table);
}

void hpack_decoder_allow(hpack_decoder *d, uint32_t bytes) {
  d->allowed = bytes;
  if (d->must_shrink && bytes < d->smallest) d->smallest = bytes;
  if (d->must_shrink || bytes >= d->table.max) return;
  d->must_shrink = true;
  d->smallest = bytes;
}

/* A string as it stands in the input. */
typedef struct packed {
  const uint8_t *at;
  size_t len;
  bool huffman;
} packed;

/* A literal, all of which has come. */
typedef struct literal {
  const h2_field *named; /* who has its name, or NULL: */
  packed name, value;
  uint8_t kind; /* the upper bits of its first byte */
} literal;

enum {
  KIND_INDEXED = 0x80,  /* section 6.1 */
  KIND_INSERTED = 0x40, /* section 6.2.1 */
  KIND_UPDATE = 0x20,   /* section 6.3 */
  KIND_NEVER = 0x10,    /* section 6.2.3 */
  KIND_PLAIN = 0x00     /* section 6.2.2 */
};

/* Reads an integer whose first byte is there and has these bits of it. Returns
 * HPACK_FIELD when it is read. */
static hpack_result read_integer(const uint8_t **p, const uint8_t *end, uint8_t prefix,
                                 uint32_t *out) {
  const uint8_t *at = *p;
  uint64_t n = *at++ & prefix;
  if (n == prefix) {
    for (unsigned i = 0;; i++) {
      if (i == INTEGER_BYTES) return HPACK_BAD;
      if (at == end) return HPACK_MORE;
      n += (uint64_t)(*at & 0x7f) << (7 * i);
      if (n > UINT32_MAX) return HPACK_BAD;
      if (!(*at++ & 0x80)) break;
    }
  }
  *p = at;
  *out = (uint32_t)n;
  return HPACK_FIELD;
}

/* Reads a string's head and steps behind the string. */
static hpack_result read_string(const hpack_decoder *d, const uint8_t **p, const uint8_t *end,
                                packed *out) {
  if (*p == end) return HPACK_MORE;
  bool huffman = **p & 0x80;
  uint32_t len;
  hpack_result r = read_integer(p, end, 0x7f, &len);
  if (r != HPACK_FIELD) return r;
  /* Of Huffman's code, 30 bits a byte is the longest, and 7 bits may be padding. */
  uint64_t least = huffman ? ((uint64_t)len * 8 + 22) / 30 : len;
  if (least > d->max_string) return HPACK_TOO_LONG;
  if (len > (size_t)(end - *p)) return HPACK_MORE;
  *out = (packed){*p, len, huffman && len};
  *p += len;
  return HPACK_FIELD;
}

/* What an index stands for, or NULL. */
static const h2_field *field_at(const hpack_decoder *d, uint32_t index) {
  if (index == 0) return NULL;
  if (index <= HPACK_STATIC) return &hpack_static[index - 1];
  index -= HPACK_STATIC + 1;
  return index < d->table.len ? &hpack_table_at(&d->table, index)->field : NULL;
}

/* Enough room for an unpacked string; SIZE_MAX: it is damaged. */
static size_t room_for(const packed *s) {
  if (!s->huffman) return s->len;
  return s->len <= CODE_COUNTED ? s->len * 8 / 5 : huffman_decoded_length(s->at, s->len);
}

/* Unpacks a string; the result's length is SIZE_MAX when it is damaged. */
static caw_str unpack(char *to, const packed *s) {
  size_t len = s->len;
  if (s->huffman) len = huffman_decode(to, s->at, len);
  else if (len) memcpy(to, s->at, len);
  return caw_str_of(to, len);
}

static caw_str in_place(const packed *s) {
  return caw_str_of((const char *)s->at, s->len);
}

/* The name of a field in a table, if it lives for ever. */
static bool lasting_name(const h2_field *named, caw_str *name) {
  *name = named->token ? hpack_known_names[named->token].name : named->name;
  return named->token || (named->flags & H2_FIELD_LASTING);
}

/* Is the name of this field in a table one that is forbidden? */
static bool has_bad_name(const h2_field *named) {
  return (named->flags & H2_FIELD_INVALID) && !named->token && !h2_name_valid(named->name);
}

/*
 * Unpacks both texts to `to`, which has the room that texts_room gave. A name
 * that lives for ever is not copied. HPACK_FIELD when all is well.
 */
static hpack_result unpack_texts(const hpack_decoder *d, char *to, const literal *l,
                                 h2_field *field) {
  if (!l->named) {
    field->name = unpack(to, &l->name);
    if (field->name.len == SIZE_MAX) return HPACK_BAD;
    if (field->name.len > d->max_string) return HPACK_TOO_LONG;
    to += field->name.len;
  } else if (!lasting_name(l->named, &field->name)) {
    memcpy(to, field->name.data, field->name.len);
    field->name.data = to;
    to += field->name.len;
  }
  field->value = unpack(to, &l->value);
  if (field->value.len == SIZE_MAX) return HPACK_BAD;
  return field->value.len > d->max_string ? HPACK_TOO_LONG : HPACK_FIELD;
}

static hpack_result texts_room(const hpack_decoder *d, const literal *l, size_t *room) {
  caw_str name = {0};
  size_t n = l->named ? (lasting_name(l->named, &name) ? 0 : name.len) : room_for(&l->name);
  size_t v = room_for(&l->value);
  if (n == SIZE_MAX || v == SIZE_MAX) return HPACK_BAD;
  /* Short code has room for more than it may decode to. */
  size_t most = d->max_string + CODE_COUNTED * 8 / 5;
  if (n > most || v > most) return HPACK_TOO_LONG;
  *room = n + v;
  return HPACK_FIELD;
}

/* Sets the token and the flags of a field whose texts are there. */
static void classify(const literal *l, h2_field *field) {
  bool bad_name = false;
  if (l->named) {
    field->token = l->named->token;
    bad_name = has_bad_name(l->named);
  } else {
    field->token = (uint8_t)h2_token_of(field->name);
    if (!field->token) bad_name = !h2_name_valid(field->name);
  }
  bool bad = bad_name || !h2_value_fits(field->token, field->value);
  field->flags = bad ? H2_FIELD_INVALID : 0;
}

/* Keeps an entry that is larger than the table until the next field: its memory
 * becomes scratch. */
static void insert_nothing(hpack_decoder *d, hpack_entry *entry, size_t bytes) {
  hpack_table_shrink(&d->table, 0);
  hpack_decoder_trim(d);
  d->scratch = (char *)entry;
  d->scratch_room = bytes;
}

static hpack_result insert(hpack_decoder *d, const literal *l, h2_field *field) {
  size_t room;
  hpack_result r = texts_room(d, l, &room);
  if (r != HPACK_FIELD) return r;
  hpack_entry *entry = hpack_table_entry(&d->table, room);
  if (!entry) return HPACK_NO_MEMORY;
  r = unpack_texts(d, entry->text, l, &entry->field);
  if (r == HPACK_FIELD) {
    /* The name may be one of an entry that goes for this one. */
    classify(l, &entry->field);
    *field = entry->field;
    if (hpack_cost(field->name.len, field->value.len) > d->table.max)
      insert_nothing(d, entry, sizeof(*entry) + room);
    else if (!hpack_table_insert(&d->table, entry)) r = HPACK_NO_MEMORY;
  }
  if (r != HPACK_FIELD) cells_free(d->table.cells, entry);
  return r;
}

/* Memory for text that is not inserted. */
static char *text_memory(hpack_decoder *d, bool lasting, size_t room) {
  if (lasting) return d->room(d->room_ctx, room);
  if (room <= d->scratch_room) return d->scratch;
  hpack_decoder_trim(d);
  d->scratch = cells_alloc(d->table.cells, room);
  if (d->scratch) d->scratch_room = room;
  return d->scratch;
}

static hpack_result give(hpack_decoder *d, const literal *l, h2_field *field) {
  bool unpacked = l->value.huffman || (!l->named && l->name.huffman);
  bool lasting = unpacked && d->room && !(l->named && l->named->token);
  if (unpacked) {
    size_t room;
    hpack_result r = texts_room(d, l, &room);
    if (r != HPACK_FIELD) return r;
    char *to = text_memory(d, lasting, room);
    if (!to) return HPACK_NO_MEMORY;
    r = unpack_texts(d, to, l, field);
    if (r != HPACK_FIELD) return r;
  } else {
    if (l->named) lasting_name(l->named, &field->name);
    else field->name = in_place(&l->name);
    field->value = in_place(&l->value);
  }
  classify(l, field);
  if (lasting) field->flags |= H2_FIELD_LASTING;
  if (l->kind == KIND_NEVER) field->flags |= H2_FIELD_SECRET;
  return HPACK_FIELD;
}

static hpack_result read_literal(const hpack_decoder *d, const uint8_t **p, const uint8_t *end,
                                 literal *l) {
  uint32_t index;
  hpack_result r = read_integer(p, end, l->kind == KIND_INSERTED ? 0x3f : 0x0f, &index);
  if (r != HPACK_FIELD) return r;
  if (index) {
    l->named = field_at(d, index);
    if (!l->named) return HPACK_BAD;
  } else {
    r = read_string(d, p, end, &l->name);
    if (r != HPACK_FIELD) return r;
  }
  return read_string(d, p, end, &l->value);
}

static hpack_result decode_literal(hpack_decoder *d, const uint8_t **p, const uint8_t *end,
                                   uint8_t kind, h2_field *field) {
  literal l = {.kind = kind};
  const uint8_t *at = *p;
  hpack_result r = read_literal(d, &at, end, &l);
  if (r != HPACK_FIELD) return r;
  r = kind == KIND_INSERTED ? insert(d, &l, field) : give(d, &l, field);
  if (r == HPACK_FIELD) *p = at;
  return r;
}

static hpack_result decode_indexed(const hpack_decoder *d, const uint8_t **p, const uint8_t *end,
                                   h2_field *field) {
  const uint8_t *at = *p;
  uint32_t index;
  hpack_result r = read_integer(&at, end, 0x7f, &index);
  if (r != HPACK_FIELD) return r;
  const h2_field *f = field_at(d, index);
  if (!f) return HPACK_BAD;
  *field = *f;
  *p = at;
  return HPACK_FIELD;
}

static hpack_result update_size(hpack_decoder *d, const uint8_t **p, const uint8_t *end) {
  if (d->begun || d->updates == UPDATES) return HPACK_BAD;
  uint32_t bytes;
  hpack_result r = read_integer(p, end, 0x1f, &bytes);
  if (r != HPACK_FIELD) return r;
  if (bytes > (d->must_shrink ? d->smallest : d->allowed)) return HPACK_BAD;
  d->must_shrink = false;
  d->updates++;
  d->table.max = bytes;
  hpack_table_shrink(&d->table, bytes);
  return HPACK_FIELD;
}

/* Everything but a field whose index is in one byte. */
static hpack_result decode_slowly(hpack_decoder *d, const uint8_t **p, const uint8_t *end,
                                  bool last, h2_field *field) {
  hpack_result r = HPACK_FIELD;
  while (r == HPACK_FIELD && *p < end && (**p & 0xe0) == KIND_UPDATE) r = update_size(d, p, end);
  if (r == HPACK_FIELD) {
    if (*p == end) return last && d->must_shrink ? HPACK_BAD : HPACK_END;
    if (d->must_shrink) return HPACK_BAD;
    uint8_t b = **p;
    if (b & KIND_INDEXED) r = decode_indexed(d, p, end, field);
    else r = decode_literal(d, p, end, b & KIND_INSERTED ? KIND_INSERTED : b & KIND_NEVER, field);
    if (r == HPACK_FIELD) d->begun = true;
  }
  return r == HPACK_MORE && last ? HPACK_BAD : r;
}

hpack_result hpack_decode(hpack_decoder *d, const uint8_t **p, const uint8_t *end, bool last,
                          h2_field *field) {
  const uint8_t *at = *p;
  if (at < end && !d->must_shrink) {
    unsigned i = *at - 0x81U; /* from 0, of an index that has one byte */
    if (i < HPACK_STATIC) {
      *field = hpack_static[i];
    } else {
      i -= HPACK_STATIC;
      if (i >= 0x7e - HPACK_STATIC || i >= d->table.len)
        return decode_slowly(d, p, end, last, field);
      *field = hpack_table_at(&d->table, i)->field;
    }
    d->begun = true;
    *p = at + 1;
    return HPACK_FIELD;
  }
  return decode_slowly(d, p, end, last, field);
}
