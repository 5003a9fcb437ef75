/* The base64 of "-bin" metadata: written without padding, read with or without,
 * of the one alphabet and with nothing left over, so that one value has one
 * text. */
#include "base/base64.h"
#include "rpc/wire.h"

#include <caw/status.h>

int rpc_base64_encode(buf *out, caw_str bytes) {
  return base64_encode(out, bytes, false);
}

int rpc_base64_decode(caw_arena *arena, caw_str text, caw_str *out) {
  size_t len = base64_decoded_len(text);
  if (len == SIZE_MAX) return CAW_EMALFORMED;
  uint8_t *bytes = caw_arena_alloc(arena, len);
  if (!bytes) return CAW_ENOMEM;
  if (!base64_decode(bytes, text, 0)) return CAW_EMALFORMED;
  *out = caw_str_of((char *)bytes, len);
  return 0;
}
