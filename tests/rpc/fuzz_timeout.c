/* grpc-timeout: what can be read is written again as no less than it was. */
#include "rpc/wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  uint64_t ns = 7, again = 0;
  char text[RPC_TIMEOUT_ROOM];
  if (rpc_timeout_parse(&ns, caw_str_of((const char *)data, len))) return 0;
  if (len < 2 || len > 9) abort();
  size_t n = rpc_timeout_format(text, ns);
  if (n >= RPC_TIMEOUT_ROOM || rpc_timeout_parse(&again, caw_str_of(text, n))) abort();
  /* The longest that can be written is 99,999,999 hours. */
  if (again < ns && ns < UINT64_C(359999996400) * 1000000000) abort();
  return 0;
}
