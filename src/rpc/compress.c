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

int rpc_more_room(buf *out, size_t limit) {
  if (out->len < out->room && out->len < limit) return 0;
  if (out->len >= limit) return CAW_ETOOBIG;
  size_t more = out->len > FIRST_ROOM ? out->len : FIRST_ROOM;
  if (more > limit - out->len) more = limit - out->len;
  return buf_reserve(out, more);
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

/* One step of inflate; at the limit into a byte that must stay unused. Returns
 * zlib's result, or a CAW_E* (< -99; zlib's are above). */
static int inflate_step(z_stream *z, buf *out, size_t limit) {
  uint8_t beyond;
  int rc = rpc_more_room(out, limit);
  bool full = rc == CAW_ETOOBIG;
  if (rc && !full) return rc;
  size_t room = full ? 1 : (out->room < limit ? out->room : limit) - out->len;
  unsigned n = room < UINT_MAX ? (unsigned)room : UINT_MAX;
  z->next_out = full ? &beyond : out->data + out->len;
  z->avail_out = n;
  rc = inflate(z, Z_NO_FLUSH);
  unsigned wrote = n - z->avail_out;
  if (full && wrote) return CAW_ETOOBIG;
  if (!full) out->len += wrote;
  return rc;
}

static int zlib_decompress(caw_encoding encoding, const uint8_t *data, size_t len, buf *out,
                           size_t limit) {
  z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free};
  if (inflateInit2(&z, window_bits(encoding, MAX_WBITS)) != Z_OK) return CAW_ENOMEM;
  size_t left = len;
  int rc = Z_OK;
  while (rc == Z_OK) {
    give_input(&z, &data, &left);
    rc = inflate_step(&z, out, limit);
    /* RFC 1952 2.2: a gzip file is a series of members. */
    bool more = z.avail_in || left;
    if (rc == Z_STREAM_END && more && encoding == CAW_ENCODING_GZIP) rc = inflateReset(&z);
  }
  bool whole = rc == Z_STREAM_END && !z.avail_in && !left;
  inflateEnd(&z);
  if (rc == Z_MEM_ERROR) return CAW_ENOMEM;
  if (rc <= -100) return rc;
  return whole ? 0 : CAW_EMALFORMED;
}

/* ---- By encoding ---- */

int rpc_compress(caw_encoding encoding, const uint8_t *data, size_t len, uint8_t *out, size_t room,
                 size_t *out_len) {
#ifdef CAW_ZSTD
  if (encoding == CAW_ENCODING_ZSTD) return zstd_compress(data, len, out, room, out_len);
#endif
  return zlib_compress(encoding, data, len, out, room, out_len);
}

int rpc_decompress(caw_encoding encoding, const uint8_t *data, size_t len, buf *out, size_t limit) {
#ifdef CAW_ZSTD
  if (encoding == CAW_ENCODING_ZSTD) return zstd_decompress(data, len, out, limit);
#endif
  return zlib_decompress(encoding, data, len, out, limit);
}
