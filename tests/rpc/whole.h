/* All steps of decompressing a message at once. */
#ifndef TESTS_RPC_WHOLE_H
#define TESTS_RPC_WHOLE_H

#include "rpc/compress.h"

#include <caw/status.h>

/* As rpc_inflate, but never CAW_EAGAIN. *out, which must be empty, is what came of it. */
static inline int inflate_whole(caw_encoding encoding, const uint8_t *data, size_t len, buf *out,
                                size_t limit) {
  rpc_inflater *i = rpc_inflater_new(encoding);
  if (!i) return CAW_ENOMEM;
  int rc = CAW_EAGAIN;
  while (rc == CAW_EAGAIN) rc = rpc_inflate(i, data, len, limit);
  *out = i->out;
  i->out = (buf){0};
  rpc_inflater_free(i);
  return rc;
}

#endif
