/* grpc-timeout: at most 8 digits and a unit (PROTOCOL-HTTP2.md). */
#include "rpc/wire.h"

#include <caw/status.h>
#include <stdio.h>

#define MAX_DIGITS 8
#define MAX_VALUE  99999999u

typedef struct unit {
  char name;
  uint64_t ns;
} unit;

/* From fine to coarse. */
static const unit units[] = {
    {'n', 1},
    {'u', 1000},
    {'m', 1000000},
    {'S', 1000000000},
    {'M', 60 * UINT64_C(1000000000)},
    {'H', 3600 * UINT64_C(1000000000)},
};
#define UNITS (sizeof(units) / sizeof(units[0]))

size_t rpc_timeout_format(char out[RPC_TIMEOUT_ROOM], uint64_t ns) {
  size_t i = 0;
  uint64_t value = ns;
  while (value > MAX_VALUE && i + 1 < UNITS) {
    i++;
    value = ns / units[i].ns + (ns % units[i].ns != 0);
  }
  /* 2^64 ns are 5 million hours, so nothing is ever too long for the last. */
  return (size_t)snprintf(out, RPC_TIMEOUT_ROOM, "%u%c", (unsigned)value, units[i].name);
}

int rpc_timeout_parse(uint64_t *ns, caw_str text) {
  if (text.len < 2 || text.len > MAX_DIGITS + 1) return CAW_EMALFORMED;
  uint64_t value = 0;
  for (size_t i = 0; i + 1 < text.len; i++) {
    char c = text.data[i];
    if (c < '0' || c > '9') return CAW_EMALFORMED;
    value = value * 10 + (uint64_t)(c - '0');
  }
  for (size_t i = 0; i < UNITS; i++) {
    if (text.data[text.len - 1] != units[i].name) continue;
    *ns = value > UINT64_MAX / units[i].ns ? UINT64_MAX : value * units[i].ns;
    return 0;
  }
  return CAW_EMALFORMED;
}
