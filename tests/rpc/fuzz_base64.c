/* The values of "-bin" metadata: any bytes survive the way, and of any text that
 * can be read there is one form without padding. */
#include "rpc/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static caw_str text_of(const buf *b) {
  return caw_str_of((const char *)b->data, b->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  caw_arena *arena = caw_arena_new(0);
  caw_str bytes = caw_str_of((const char *)data, len), out;
  buf encoded = {0}, again = {0};
  if (!arena || rpc_base64_encode(&encoded, bytes)) abort();
  if (rpc_base64_decode(arena, text_of(&encoded), &out) || !caw_str_eq(out, bytes)) abort();
  if (!rpc_base64_decode(arena, bytes, &out)) {
    if (rpc_base64_encode(&again, out)) abort();
    size_t unpadded = len;
    while (unpadded && data[unpadded - 1] == '=') unpadded--;
    if (!caw_str_eq(text_of(&again), caw_str_of((const char *)data, unpadded))) abort();
  }
  buf_finish(&encoded);
  buf_finish(&again);
  caw_arena_free(arena);
  return 0;
}
