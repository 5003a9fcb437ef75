/*
 * Metadata: the key-value pairs that travel before and after a call's messages
 * (gRPC: PROTOCOL-HTTP2.md, Custom-Metadata).
 *
 * Keys are lower case, of 0-9 a-z _ - . ; a key may occur several times, and
 * its values keep their order. The value of a key that ends in "-bin" is any
 * bytes: Caw encodes and decodes its base64. Other values are printable ASCII,
 * 0x20 to 0x7e. Keys that begin with "grpc-" and those of HTTP itself are
 * reserved: sending one is CAW_EINVAL, and of the received ones only
 * user-agent is shown.
 */
#ifndef CAW_METADATA_H
#define CAW_METADATA_H

#include <caw/export.h>
#include <caw/str.h>

CAW_BEGIN_DECLS

typedef struct caw_metadata_entry {
  caw_str key;
  caw_str value;
} caw_metadata_entry;

/* A list of entries, borrowed from the call that it belongs to. */
typedef struct caw_metadata {
  const caw_metadata_entry *entries;
  size_t len;
} caw_metadata;

/*
 * Finds the first entry with this key at or after index *at. Sets *value,
 * moves *at behind it, and returns true; or returns false. Begin with *at = 0.
 * Any thread. Since 0.1.
 */
CAW_API bool caw_metadata_find(const caw_metadata *metadata, const char *key, size_t *at,
                               caw_str *value);

/* The first value of a key, or an empty string with data NULL when there is
 * none. Any thread. Since 0.1. */
CAW_API caw_str caw_metadata_get(const caw_metadata *metadata, const char *key);

CAW_END_DECLS

#endif
