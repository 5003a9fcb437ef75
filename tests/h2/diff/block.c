/*
 * Header blocks as a peer may write them: good ones in each representation of RFC
 * 7541, with insertions into the dynamic table and references to it, and bad ones.
 * What the bytes of the script do not choose is the most common.
 */
#include "diff/inside.h"

#include <stdlib.h>
#include <string.h>

typedef struct text {
  const char *plain;
  uint8_t len;        /* 0: strlen */
  uint8_t index;      /* of a name in the static table, or 0 */
  uint8_t packed[48]; /* the Huffman code */
  uint8_t packed_len; /* 0: it is no shorter */
} text;

enum {
  N_METHOD,
  N_SCHEME,
  N_PATH,
  N_AUTHORITY,
  N_STATUS,
  N_TE,
  N_TYPE,
  N_GRPC_STATUS,
  N_TIMEOUT,
  N_LENGTH,
  N_A
};

static text names[] = {
    {.plain = ":method", .index = 2},
    {.plain = ":scheme", .index = 6},
    {.plain = ":path", .index = 4},
    {.plain = ":authority", .index = 1},
    {.plain = ":status", .index = 8},
    {.plain = "te"},
    {.plain = "content-type", .index = 31},
    {.plain = "grpc-status"},
    {.plain = "grpc-timeout"},
    {.plain = "content-length", .index = 28},
    {.plain = "a"},
    {.plain = "x-metadata-bin"},
    {.plain = "user-agent", .index = 58},
    {.plain = "host", .index = 38},
    {.plain = "cookie", .index = 32},
    {.plain = "authorization", .index = 23},
    {.plain = "connection"},
    {.plain = "transfer-encoding", .index = 57},
    {.plain = "Upper"},
    {.plain = ""},
    {.plain = ":x"},
    {.plain = ":protocol"},
    {.plain = "upgrade"},
    {.plain = "keep-alive"},
    {.plain = "proxy-connection"},
    {.plain = "x y"},
    {.plain = "priority"},
    {.plain = "a\0b", .len = 3},
    {.plain = "x\x7f"},
    {.plain = "\xc3\xa4"},
    {.plain = "x:y"},
    {.plain = ":"},
    {.plain = "set-cookie", .index = 55},
    {.plain = "grpc-message"},
};

enum { V_POST, V_HTTP, V_PATH, V_HOST, V_200, V_TRAILERS, V_GRPC, V_0, V_TIME };

static text values[] = {
    {.plain = "POST"},
    {.plain = "http"},
    {.plain = "/a/b"},
    {.plain = "x:80"},
    {.plain = "200"},
    {.plain = "trailers"},
    {.plain = "application/grpc"},
    {.plain = "0"},
    {.plain = "1S"},
    {.plain = "GET"},
    {.plain = "CONNECT"},
    {.plain = "HEAD"},
    {.plain = "OPTIONS"},
    {.plain = "https"},
    {.plain = "ftp"},
    {.plain = "/"},
    {.plain = "*"},
    {.plain = "a"},
    {.plain = ""},
    {.plain = "204"},
    {.plain = "100"},
    {.plain = "101"},
    {.plain = "103"},
    {.plain = "304"},
    {.plain = "500"},
    {.plain = "20"},
    {.plain = "2000"},
    {.plain = "099"},
    {.plain = "2 0"},
    {.plain = "TRAILERS"},
    {.plain = "gzip"},
    {.plain = "5"},
    {.plain = "007"},
    {.plain = "+5"},
    {.plain = "18446744073709551616"},
    {.plain = "9223372036854775807"},
    {.plain = "9223372036854775808"},
    {.plain = "a b"},
    {.plain = " a"},
    {.plain = "a\t"},
    {.plain = "a\0b", .len = 3},
    {.plain = "a\nb"},
    {.plain = "a\rb"},
    {.plain = "a\x7f"},
    {.plain = "\x80\xff"},
    {.plain = "a/b"},
    {.plain = "/a b"},
    {.plain = "/a#b"},
    {.plain = "u@h"},
    {.plain = "h\"t"},
    {.plain = "1http"},
    {.plain = "PO ST"},
    {.plain = "u=1, i"},
    {.plain = "the quick brown fox jumps over it"},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The pairs of the static table that are used here. */
static const struct {
  uint8_t name, value, index;
} pairs[] = {{N_METHOD, V_POST, 3}, {N_METHOD, 9, 2},     {N_PATH, 15, 4},   {N_SCHEME, V_HTTP, 6},
             {N_SCHEME, 13, 7},     {N_STATUS, V_200, 8}, {N_STATUS, 19, 9}, {N_STATUS, 23, 11},
             {N_STATUS, 24, 14},    {N_AUTHORITY, 18, 1}};

static size_t length(const text *t) {
  return t->len ? t->len : strlen(t->plain);
}

/* nghttp2's encoder says what the Huffman code of a text is. */
static void pack(nghttp2_hd_deflater *deflater, text *t) {
  nghttp2_nv nv = {(uint8_t *)(uintptr_t) "q", (uint8_t *)(uintptr_t)t->plain, 1, length(t),
                   NGHTTP2_NV_FLAG_NO_INDEX};
  uint8_t bytes[128];
  ssize_t n = nghttp2_hd_deflate_hd(deflater, bytes, sizeof(bytes), &nv, 1);
  /* The representation, a name of one byte, and the value. */
  const uint8_t *value = bytes + 3;
  if (n < 4 || !(value[0] & 0x80)) return;
  t->packed_len = value[0] & 0x7f;
  memcpy(t->packed, value + 1, t->packed_len);
}

void block_start(void) {
  static bool done;
  nghttp2_hd_deflater *deflater;
  if (done) return;
  if (nghttp2_hd_deflate_new(&deflater, 0)) abort();
  for (size_t i = 0; i < COUNT(names); i++) pack(deflater, &names[i]);
  for (size_t i = 0; i < COUNT(values); i++) pack(deflater, &values[i]);
  nghttp2_hd_deflate_del(deflater);
  done = true;
}

/* ---- the table of the peer's encoder ---- */

static void shrink(encoder *e, uint32_t most) {
  uint32_t gone = 0;
  while (e->bytes > most) e->bytes -= e->entries[gone++].bytes;
  e->len -= gone;
  memmove(e->entries, e->entries + gone, e->len * sizeof(e->entries[0]));
}

static void insert(encoder *e, size_t text_bytes) {
  uint32_t bytes = (uint32_t)text_bytes + 32;
  shrink(e, bytes > e->max ? 0 : e->max - bytes);
  if (bytes > e->max || e->len == COUNT(e->entries)) return;
  e->entries[e->len++].bytes = bytes;
  e->bytes += bytes;
}

/* ---- representations ---- */

static void put(block *b, const void *bytes, size_t len) {
  if (len > sizeof(b->bytes) - b->len) len = sizeof(b->bytes) - b->len;
  if (len) memcpy(b->bytes + b->len, bytes, len);
  b->len += len;
}

static void put_byte(block *b, unsigned byte) {
  uint8_t c = (uint8_t)byte;
  put(b, &c, 1);
}

static void put_int(block *b, unsigned high, unsigned bits, uint32_t value) {
  uint32_t most = (1u << bits) - 1;
  if (value < most) {
    put_byte(b, high | value);
    return;
  }
  put_byte(b, high | most);
  for (value -= most; value >= 128; value >>= 7) put_byte(b, 128 | (value & 127));
  put_byte(b, value);
}

static void put_text(block *b, const text *t, bool packed) {
  if (packed && t->packed_len) {
    put_int(b, 0x80, 7, t->packed_len);
    put(b, t->packed, t->packed_len);
    return;
  }
  put_int(b, 0, 7, (uint32_t)length(t));
  put(b, t->plain, length(t));
}

/* How fields are represented: bits 0 and 1 say the kind of literal; 4: indexed
 * where the static table has the pair; 8, 16: Huffman; 32: names by index. */
enum {
  R_INSERT,
  R_PLAIN,
  R_NEVER,
  R_PLAIN_TOO,
  R_PAIR = 4,
  R_PACK_NAME = 8,
  R_PACK = 16,
  R_INDEX = 32
};

static void put_head(diff *d, block *b, unsigned how, unsigned index, size_t text_bytes) {
  if ((how & 3) == R_INSERT) {
    put_int(b, 0x40, 6, index);
    insert(&d->encoder, text_bytes);
  } else {
    put_int(b, (how & 3) == R_NEVER ? 0x10 : 0, 4, index);
  }
}

static void put_field(diff *d, block *b, unsigned how, unsigned name, unsigned value) {
  const text *n = &names[name % COUNT(names)], *v = &values[value % COUNT(values)];
  for (size_t i = 0; how & R_PAIR && i < COUNT(pairs); i++) {
    if (&names[pairs[i].name] != n || &values[pairs[i].value] != v) continue;
    put_int(b, 0x80, 7, pairs[i].index);
    return;
  }
  bool by_index = how & R_INDEX && n->index;
  put_head(d, b, how, by_index ? n->index : 0, length(n) + length(v));
  if (!by_index) put_text(b, n, how & R_PACK_NAME);
  put_text(b, v, how & R_PACK);
}

/* A long value: `len` times the same byte. */
static void put_long(diff *d, block *b, unsigned how, uint32_t len) {
  static uint8_t bytes[1 << 16];
  if (!bytes[0]) memset(bytes, 'v', sizeof(bytes));
  put_head(d, b, how, 0, 1 + len);
  put_text(b, &names[N_A], false);
  put_int(b, 0, 7, len);
  put(b, bytes, len);
}

/* ---- edits ---- */

#define FIELDS 16

typedef struct list {
  struct {
    uint8_t name, value;
  } field[FIELDS];
  unsigned len;
} list;

static void add(list *l, unsigned at, unsigned name, unsigned value) {
  if (l->len == FIELDS) return;
  if (at > l->len) at = l->len;
  memmove(&l->field[at + 1], &l->field[at], (l->len - at) * sizeof(l->field[0]));
  l->field[at].name = (uint8_t)name;
  l->field[at].value = (uint8_t)value;
  l->len++;
}

static void drop(list *l, unsigned at) {
  if (!l->len) return;
  at %= l->len;
  l->len--;
  memmove(&l->field[at], &l->field[at + 1], (l->len - at) * sizeof(l->field[0]));
}

static void swap(list *l, unsigned at) {
  if (l->len < 2) return;
  at %= l->len - 1;
  uint8_t name = l->field[at].name, value = l->field[at].value;
  l->field[at] = l->field[at + 1];
  l->field[at + 1].name = name;
  l->field[at + 1].value = value;
}

/* One edit of the fields themselves. */
static void edit_list(diff *d, list *l, unsigned edit) {
  unsigned at = next(d);
  if (d->honest) edit = 7;
  switch (edit % 8) {
  case 0:
    drop(l, at);
    break;
  case 1:
    if (l->len) add(l, at / 16, l->field[at % l->len].name, l->field[at % l->len].value);
    break;
  case 2:
    if (l->len) l->field[at % l->len].value = next(d);
    break;
  case 3:
    swap(l, at);
    break;
  case 4:
    add(l, at % 4 ? l->len : 0, next(d), next(d));
    break;
  case 5:
    add(l, l->len, N_LENGTH, at % 2 ? V_0 : 31);
    break;
  default:
    add(l, l->len, N_A + at % 6, V_0 + at / 6 % 2);
    break;
  }
}

static const uint32_t sizes[] = {0, 31, 32, 40, 100, 200, 4095, 4096, 4097, 70000, UINT32_MAX};
static const uint32_t lengths[] = {100,  126,  127,  128,   300,   600,
                                   1500, 4064, 5000, 16000, 20000, 60000};

/* One edit of the bytes, or more of them. */
static void edit_bytes(diff *d, block *b, unsigned edit, unsigned how) {
  unsigned arg = next(d);
  if (d->honest) edit = b->len ? 1 + edit % 4 : edit % 5;
  switch (edit % 8) {
  case 0: {
    uint32_t size = sizes[arg % COUNT(sizes)];
    if (size > 4096 && d->honest) break;
    put_int(b, 0x20, 5, size);
    if (size > 4096) break;
    d->encoder.max = size;
    shrink(&d->encoder, size);
    break;
  }
  case 1:
    put_long(d, b, how, lengths[arg % (arg < 240 ? COUNT(lengths) - 4 : COUNT(lengths))]);
    break;
  case 2:
    for (unsigned i = 0; i < 1 + arg % 150; i++) put_field(d, b, how | R_PAIR, N_A, V_0 + i % 2);
    break;
  case 3: /* references to the dynamic table */
  case 4:
    if (!d->encoder.len) break;
    for (unsigned i = 0; i < 1 + arg / 64; i++)
      put_int(b, 0x80, 7, 62 + (arg + i) % d->encoder.len);
    break;
  case 5: /* a name of the dynamic table */
    if (!d->encoder.len) break;
    put_head(d, b, how | R_PLAIN, 62 + arg % d->encoder.len, 40);
    put_text(b, &values[arg % COUNT(values)], how & R_PACK);
    break;
  case 6:
    put_byte(b, arg);
    break;
  default: /* cut, or an index that is not there */
    if (arg % 2) b->len -= arg / 2 < b->len ? arg / 2 : b->len;
    else put_int(b, 0x80, 7, arg < 8 ? 0 : 62 + d->encoder.len + arg / 16);
    break;
  }
}

/* Bits of `edits`: 1: of the list; 2: of the bytes before; 4: of the bytes behind. */
static void write(diff *d, block *b, list *l) {
  unsigned how = next(d), edits = next(d);
  b->len = 0;
  if (edits < 128) edits = 0;
  for (unsigned n = edits >> 4 & 3; edits & 1 && n < 4; n++) edit_list(d, l, next(d));
  if (edits & 2) edit_bytes(d, b, next(d), how);
  for (unsigned i = 0; i < l->len; i++) put_field(d, b, how, l->field[i].name, l->field[i].value);
  for (unsigned n = edits >> 4 & 3; edits & 4 && n < 4; n++) edit_bytes(d, b, next(d), how);
}

void block_request(diff *d, block *b) {
  list l = {{{N_METHOD, V_POST},
             {N_SCHEME, V_HTTP},
             {N_PATH, V_PATH},
             {N_AUTHORITY, V_HOST},
             {N_TE, V_TRAILERS},
             {N_TYPE, V_GRPC},
             {N_TIMEOUT, V_TIME}},
            7};
  write(d, b, &l);
}

void block_response(diff *d, block *b) {
  list l = {{{N_STATUS, V_200}, {N_TYPE, V_GRPC}}, 2};
  write(d, b, &l);
}

void block_trailers(diff *d, block *b) {
  list l = {{{N_GRPC_STATUS, V_0}}, 1};
  write(d, b, &l);
}

void block_informational(diff *d, block *b) {
  list l = {{{N_STATUS, 20}, {N_A, V_0}}, 2};
  write(d, b, &l);
}
