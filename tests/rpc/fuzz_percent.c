/* grpc-message: anything can be decoded, and what comes out is UTF-8 that comes
 * out the same after encoding. */
#include "rpc/wire.h"

#include <caw/alloc.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  caw_arena *arena = caw_arena_new(0);
  buf encoded = {0};
  if (!arena) abort();
  caw_str text = rpc_percent_decode(arena, caw_str_of((const char *)data, len));
  /* A bad byte becomes U+FFFD: at most three for one. */
  if (text.len > 3 * len) abort();
  if (rpc_percent_encode(&encoded, text)) abort();
  for (size_t i = 0; i < encoded.len; i++)
    if (encoded.data[i] < 0x20 || encoded.data[i] > 0x7e) abort();
  caw_str again = rpc_percent_decode(arena, caw_str_of((const char *)encoded.data, encoded.len));
  if (!caw_str_eq(text, again)) abort();
  buf_finish(&encoded);
  caw_arena_free(arena);
  return 0;
}
