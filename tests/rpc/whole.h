/* All steps of decompressing a message at once. */
#ifndef TESTS_RPC_WHOLE_H
#define TESTS_RPC_WHOLE_H

#include "rpc/compress.h"

#include <caw/status.h>

/* As rpc_inflate, but never CAW_EAGAIN. */
static inline int inflate_whole(caw_encoding encoding, const uint8_t *data, size_t len, buf *out,
                                size_t limit) {
  rpc_inflater *i = rpc_inflater_new(encoding);
  int rc = i ? CAW_EAGAIN : CAW_ENOMEM;
  while (rc == CAW_EAGAIN) rc = rpc_inflate(i, data, len, out, limit);
  rpc_inflater_free(i);
  return rc;
}

#endif
