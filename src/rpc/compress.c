/* The encodings of compress.h, on zlib. */
#include "rpc/compress.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <limits.h>
#include <string.h>
#include <zlib.h>

#define FIRST_ROOM 256

#ifdef CAW_ZSTD
const caw_str rpc_accepted_encodings = CAW_STR("identity,deflate,gzip,zstd");
#else
const caw_str rpc_accepted_encodings = CAW_STR("identity,deflate,gzip");
#endif

static const caw_str names[] = {CAW_STR(""), CAW_STR("identity"), CAW_STR("deflate"),
                                CAW_STR("gzip"), CAW_STR("zstd")};
#define N_NAMES (sizeof(names) / sizeof(names[0]))

const char *caw_encoding_name(caw_encoding encoding) {
  return (unsigned)encoding < N_NAMES ? names[encoding].data : NULL;
}

bool caw_encoding_supported(caw_encoding encoding) {
#ifdef CAW_ZSTD
  return (unsigned)encoding < N_NAMES;
#else
  return (unsigned)encoding < N_NAMES && encoding != CAW_ENCODING_ZSTD;
#endif
}

caw_encoding rpc_encoding_of(caw_str name) {
  for (unsigned e = CAW_ENCODING_IDENTITY; e < N_NAMES; e++)
    if (caw_str_eq(name, names[e]) && caw_encoding_supported((caw_encoding)e))
      return (caw_encoding)e;
  return CAW_ENCODING_DEFAULT;
}

/* What gRPC's own clients say, most of them with each call: no need to read it. */
static const struct {
  caw_str list;
  unsigned encodings;
} usual[] = {
    {CAW_STR("identity, deflate, gzip"),
     1u << CAW_ENCODING_IDENTITY | 1u << CAW_ENCODING_DEFLATE | 1u << CAW_ENCODING_GZIP},
    {CAW_STR("identity,deflate,gzip"),
     1u << CAW_ENCODING_IDENTITY | 1u << CAW_ENCODING_DEFLATE | 1u << CAW_ENCODING_GZIP},
    {CAW_STR("gzip"), 1u << CAW_ENCODING_GZIP},
};

unsigned rpc_encodings_of(caw_str list) {
  unsigned found = 0;
  for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
    if (caw_str_eq(list, usual[i].list)) return usual[i].encodings;
  for (size_t i = 0, start; i < list.len; i++) {
    while (i < list.len && (list.data[i] == ' ' || list.data[i] == '\t')) i++;
    for (start = i; i < list.len && list.data[i] != ',';) i++;
    size_t len = i - start;
    while (len && (list.data[start + len - 1] == ' ' || list.data[start + len - 1] == '\t')) len--;
    caw_encoding e = rpc_encoding_of(caw_str_of(list.data + start, len));
    if (e) found |= 1u << e;
  }
  return found;
}

int rpc_room_of(rpc_room *r, buf *out, size_t limit) {
  r->full = out->len >= limit;
  r->data = &r->beyond;
  r->len = 1;
  if (r->full) return 0;
  if (out->len == out->room) {
    size_t more = out->len > FIRST_ROOM ? out->len : FIRST_ROOM;
    if (more > limit - out->len) more = limit - out->len;
    if (buf_reserve(out, more)) return CAW_ENOMEM;
  }
  r->data = out->data + out->len;
  r->len = (out->room < limit ? out->room : limit) - out->len;
  if (r->len > RPC_INFLATE_OUT) r->len = RPC_INFLATE_OUT;
  return 0;
}

size_t rpc_inflate_in(const rpc_inflater *i, size_t len) {
  size_t most = i->fruitful ? RPC_INFLATE_IN : RPC_INFLATE_LITTLE;
  return len - i->at < most ? len - i->at : most;
}

int rpc_room_used(const rpc_room *r, buf *out, size_t len) {
  if (r->full) return len ? CAW_ETOOBIG : 0;
  out->len += len;
  return 0;
}

/* ---- zlib ---- */

static void *zlib_alloc(void *opaque, unsigned items, unsigned size) {
  (void)opaque;
  return caw_calloc(items, size);
}

static void zlib_free(void *opaque, void *ptr) {
  (void)opaque;
  caw_free(ptr);
}

/* zlib's windowBits: 9 to 15, and 16 more for gzip's header. */
static int window_bits(caw_encoding encoding, int bits) {
  return encoding == CAW_ENCODING_GZIP ? bits + 16 : bits;
}

/*
 * A compressor's memory and the time to clear it go with its window and its
 * table: a message needs a window of its own length only. 256 KiB become 6 KiB
 * for 500 bytes.
 */
static int make_compressor(z_stream *z, caw_encoding encoding, size_t len) {
  int bits = 9;
  while (bits < MAX_WBITS && (size_t)1 << bits < len) bits++;
  int level = bits - 7 < 8 ? bits - 7 : 8; /* zlib's memLevel */
  return deflateInit2(z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window_bits(encoding, bits), level,
                      Z_DEFAULT_STRATEGY) == Z_OK
             ? 0
             : CAW_ENOMEM;
}

/* The next piece of the input, as zlib counts in unsigned int. */
static void give_input(z_stream *z, const uint8_t **data, size_t *left) {
  if (z->avail_in) return;
  unsigned n = *left < UINT_MAX ? (unsigned)*left : UINT_MAX;
  z->next_in = (Bytef *)(uintptr_t)*data; /* zlib does not write there */
  z->avail_in = n;
  *data += n;
  *left -= n;
}

static int zlib_compress(caw_encoding encoding, const uint8_t *data, size_t len, uint8_t *out,
                         size_t room, size_t *out_len) {
  z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free};
  if (make_compressor(&z, encoding, len)) return CAW_ENOMEM;
  size_t left = len, used = 0;
  int rc = Z_OK;
  while (rc == Z_OK) {
    give_input(&z, &data, &left);
    unsigned n = room - used < UINT_MAX ? (unsigned)(room - used) : UINT_MAX;
    if (!n) break;
    z.next_out = out + used;
    z.avail_out = n;
    rc = deflate(&z, left ? Z_NO_FLUSH : Z_FINISH);
    used += n - z.avail_out;
  }
  deflateEnd(&z);
  *out_len = used;
  return rc == Z_STREAM_END ? 0 : CAW_ETOOBIG;
}

/* An inflater with the state of its library. */
typedef struct engine {
  rpc_inflater base; /* first: it is one */
  union {
    z_stream z;
    struct ZSTD_DCtx_s *zstd;
  };
} engine;

/* zlib.h: an inflater with a window of 32 KiB takes this. */
#define ZLIB_TAKES ((size_t)40 * 1024)

/* What inflate's result means for the message; RFC 1952 2.2: a gzip file is a series of
 * members. */
static int outcome_of(engine *e, int rc, bool more) {
  if (rc == Z_STREAM_END && !more) return 0;
  if (rc == Z_STREAM_END && e->base.encoding == CAW_ENCODING_GZIP) rc = inflateReset(&e->z);
  if (rc == Z_OK) return CAW_EAGAIN;
  return rc == Z_MEM_ERROR ? CAW_ENOMEM : CAW_EMALFORMED;
}

static int zlib_inflate(engine *e, const uint8_t *data, size_t len, size_t limit) {
  rpc_room room;
  rpc_inflater *i = &e->base;
  if (rpc_room_of(&room, &i->out, limit)) return CAW_ENOMEM;
  size_t give = rpc_inflate_in(i, len);
  e->z.next_in = (Bytef *)(uintptr_t)(data + i->at); /* zlib does not write there */
  e->z.avail_in = (unsigned)give;
  e->z.next_out = room.data;
  e->z.avail_out = (unsigned)room.len;
  int rc = inflate(&e->z, Z_NO_FLUSH);
  i->at += give - e->z.avail_in;
  if (rpc_room_used(&room, &i->out, room.len - e->z.avail_out)) return CAW_ETOOBIG;
  return outcome_of(e, rc, i->at < len);
}

/* ---- By encoding ---- */

int rpc_compress(caw_encoding encoding, const uint8_t *data, size_t len, uint8_t *out, size_t room,
                 size_t *out_len) {
#ifdef CAW_ZSTD
  if (encoding == CAW_ENCODING_ZSTD) return zstd_compress(data, len, out, room, out_len);
#endif
  return zlib_compress(encoding, data, len, out, room, out_len);
}

static bool begin(engine *e) {
#ifdef CAW_ZSTD
  if (e->base.encoding == CAW_ENCODING_ZSTD) return (e->zstd = zstd_inflater_new()) != NULL;
#endif
  e->base.beside = ZLIB_TAKES;
  e->z.zalloc = zlib_alloc;
  e->z.zfree = zlib_free;
  return inflateInit2(&e->z, window_bits(e->base.encoding, MAX_WBITS)) == Z_OK;
}

static int step(engine *e, const uint8_t *data, size_t len, size_t limit) {
#ifdef CAW_ZSTD
  if (e->base.encoding == CAW_ENCODING_ZSTD)
    return zstd_inflate(&e->base, e->zstd, data, len, limit);
#endif
  return zlib_inflate(e, data, len, limit);
}

static void end(engine *e) {
#ifdef CAW_ZSTD
  if (e->base.encoding == CAW_ENCODING_ZSTD) {
    zstd_inflater_free(e->zstd);
    return;
  }
#endif
  inflateEnd(&e->z);
}

static void finish(engine *e) {
  end(e);
  e->base.beside = 0;
}

rpc_inflater *rpc_inflater_new(caw_encoding encoding) {
  engine *e = caw_calloc(1, sizeof(*e));
  if (!e) return NULL;
  e->base.encoding = encoding;
  e->base.rc = CAW_EAGAIN;
  if (begin(e)) return &e->base;
  caw_free(e);
  return NULL;
}

int rpc_inflater_again(rpc_inflater *i) {
  engine *e = (engine *)i;
  if (i->rc == CAW_EAGAIN) end(e);
  i->out.len = i->at = 0;
  i->fruitful = false;
  i->rc = CAW_EAGAIN;
  memset(&e->z, 0, sizeof(e->z));
  if (begin(e)) return 0;
  return i->rc = CAW_ENOMEM;
}

int rpc_inflate(rpc_inflater *i, const uint8_t *data, size_t len, size_t limit) {
  engine *e = (engine *)i;
  if (i->rc != CAW_EAGAIN) return i->rc;
  size_t at = i->at, had = i->out.len;
  i->limit = limit;
  i->rc = step(e, data, len, limit);
  i->fruitful = i->out.len - had >= i->at - at;
  if (i->rc != CAW_EAGAIN) finish(e);
  return i->rc;
}

void rpc_inflater_free(rpc_inflater *i) {
  if (!i) return;
  if (i->rc == CAW_EAGAIN) end((engine *)i);
  buf_finish(&i->out);
  caw_free(i);
}
