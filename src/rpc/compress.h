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

/* Appends the decompressed bytes, of which there may be `limit` in *out, stopping
 * there. Returns 0; CAW_ETOOBIG (beyond the limit), CAW_EMALFORMED, CAW_ENOMEM. */
int rpc_decompress(caw_encoding encoding, const uint8_t *data, size_t len, buf *out, size_t limit);

#ifdef CAW_ZSTD
/* zstd.c, as the two above. */
int zstd_compress(const uint8_t *data, size_t len, uint8_t *out, size_t room, size_t *out_len);
int zstd_decompress(const uint8_t *data, size_t len, buf *out, size_t limit);
#endif

/* Makes room for more output: doubles, within the limit. Returns 0, CAW_ENOMEM,
 * or CAW_ETOOBIG when *out is as long as it may be. */
int rpc_more_room(buf *out, size_t limit);

#endif
