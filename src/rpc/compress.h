/*
 * The encodings of messages (gRPC: compression.md), and the header values that
 * name them. Pure functions; only compress.c and zstd.c know the libraries.
 */
#ifndef RPC_COMPRESS_H
#define RPC_COMPRESS_H

#include "base/buf.h"

#include <caw/compression.h>
#include <caw/str.h>

/* The value of grpc-accept-encoding: what this build can read. */
extern const caw_str rpc_accepted_encodings;

/* The encoding of this name that this build knows; CAW_ENCODING_DEFAULT for
 * others. */
caw_encoding rpc_encoding_of(caw_str name);

/* Reads a grpc-accept-encoding: a bit, 1 << encoding, for each that this build
 * knows. */
unsigned rpc_encodings_of(caw_str list);

/* Compresses into at most `room` bytes at `out`. Returns 0 and *out_len;
 * CAW_ETOOBIG when it does not fit, CAW_ENOMEM. */
int rpc_compress(caw_encoding encoding, const uint8_t *data, size_t len, uint8_t *out, size_t room,
                 size_t *out_len);

/* A message that is decompressed in steps: what one takes has its bound, whatever the
 * sender wrote. The library's state goes with the last step. */
typedef struct rpc_inflater {
  buf out; /* what is there of it */
  int rc;  /* CAW_EAGAIN: there are more steps; 0: it is whole; CAW_ETOOBIG, CAW_EMALFORMED,
              CAW_ENOMEM */
  caw_encoding encoding;
  size_t at;     /* what has been read */
  bool fruitful; /* the last step wrote no less than it read */
  size_t limit;  /* of the last step: where CAW_ETOOBIG came from */
  size_t beside; /* bytes that the library takes besides, about */
} rpc_inflater;

/* NULL without memory. */
rpc_inflater *rpc_inflater_new(caw_encoding encoding);
/* Begins another message, in the memory of the one before. 0 or CAW_ENOMEM. */
int rpc_inflater_again(rpc_inflater *i);
void rpc_inflater_free(rpc_inflater *i);

/* A step reads so many bytes at most, and writes so many. Where nothing comes of what is
 * read, reading costs 100 ns a byte (tables of codes that no block uses): then the next step
 * reads little. libzstd decodes a block, 128 KiB at most, in the step that has its end. */
#define RPC_INFLATE_IN     ((size_t)8 * 1024)
#define RPC_INFLATE_LITTLE ((size_t)2 * 1024)
#define RPC_INFLATE_OUT    ((size_t)32 * 1024)

/* The next step of a message, which is the same in each, and may have moved; of what it becomes
 * there may be `limit` bytes. Returns i->rc. */
int rpc_inflate(rpc_inflater *i, const uint8_t *data, size_t len, size_t limit);

#ifdef CAW_ZSTD
/* zstd.c, as those above: one step, and what it returned. */
int zstd_compress(const uint8_t *data, size_t len, uint8_t *out, size_t room, size_t *out_len);
struct ZSTD_DCtx_s *zstd_inflater_new(void);
void zstd_inflater_free(struct ZSTD_DCtx_s *ctx);
int zstd_inflate(rpc_inflater *i, struct ZSTD_DCtx_s *ctx, const uint8_t *data, size_t len,
                 size_t limit);
#endif

/* Where a step writes: behind *out, which grows for it, doubling, within the limit; at the
 * limit into a byte that has to stay unused. Returns 0 or CAW_ENOMEM. */
typedef struct rpc_room {
  uint8_t *data;
  size_t len;
  bool full; /* *out is as long as it may be: `beyond` is where it would go on */
  uint8_t beyond;
} rpc_room;
int rpc_room_of(rpc_room *r, buf *out, size_t limit);

/* How much the next step reads: less after one that read more than it wrote. */
size_t rpc_inflate_in(const rpc_inflater *i, size_t len);

/* So much was written there. 0, or CAW_ETOOBIG. */
int rpc_room_used(const rpc_room *r, buf *out, size_t len);

#endif
