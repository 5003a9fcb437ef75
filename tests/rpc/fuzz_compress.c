/* Compressed messages: any bytes are decompressed within the limit or refused,
 * and what was compressed comes back. The first byte chooses encoding and limit. */
#include "whole.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  if (len < 2) return 0;
  caw_encoding encoding = CAW_ENCODING_DEFLATE + data[0] % 3;
  size_t limit = data[0] & 128 ? 100 : 1u << 20;
  if (!caw_encoding_supported(encoding)) return 0;
  data++;
  len--;
  buf out = {0};
  int rc = inflate_whole(encoding, data, len, &out, limit);
  if (rc != 0 && rc != CAW_EMALFORMED && rc != CAW_ETOOBIG) abort();
  if (out.len > limit) abort();
  buf_finish(&out);
  size_t room = len + 100, packed_len;
  uint8_t *packed = malloc(room);
  if (!packed || rpc_compress(encoding, data, len, packed, room, &packed_len)) abort();
  if (inflate_whole(encoding, packed, packed_len, &out, len)) abort();
  if (out.len != len || memcmp(out.data, data, len) != 0) abort();
  buf_finish(&out);
  free(packed);
  return 0;
}
