/*
 * Compression of messages (gRPC: compression.md). Off unless asked for: by
 * caw_channel_options.encoding and caw_call_options.encoding for requests, by
 * caw_server_options.encoding and caw_call_set_encoding for replies. What is
 * received is decompressed whatever was asked for; the limit on a received
 * message holds for its size before and after that.
 *
 * A message that compression would not make smaller goes as it is. So does a
 * reply to a client that does not accept the encoding.
 */
#ifndef CAW_COMPRESSION_H
#define CAW_COMPRESSION_H

#include <stdbool.h>

#include <caw/export.h>

CAW_BEGIN_DECLS

/* How messages are compressed. */
typedef enum caw_encoding {
  CAW_ENCODING_DEFAULT = 0,  /* what the channel or the server has; theirs: IDENTITY */
  CAW_ENCODING_IDENTITY = 1, /* as they are */
  CAW_ENCODING_DEFLATE = 2,  /* the zlib format, RFC 1950, as gRPC's "deflate" */
  CAW_ENCODING_GZIP = 3,     /* RFC 1952 */
  CAW_ENCODING_ZSTD = 4      /* RFC 8878; only where Caw was built with CAW_ZSTD */
} caw_encoding;

/* The name on the wire, "gzip"; "" for CAW_ENCODING_DEFAULT, NULL for a number
 * that is none. Any thread. Since 0.1. */
CAW_API const char *caw_encoding_name(caw_encoding encoding);

/* Can this build of the library compress and decompress it? Any thread.
 * Since 0.1. */
CAW_API bool caw_encoding_supported(caw_encoding encoding);

CAW_END_DECLS

#endif
