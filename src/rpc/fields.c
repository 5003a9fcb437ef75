/* What may stand in metadata (PROTOCOL-HTTP2.md, "Requests"). */
#include "rpc/wire.h"

static bool starts_with(caw_str s, const char *start) {
  size_t n = strlen(start);
  return s.len >= n && memcmp(s.data, start, n) == 0;
}

bool rpc_key_valid(caw_str key) {
  for (size_t i = 0; i < key.len; i++) {
    char c = key.data[i];
    bool fine =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_' || c == '-' || c == '.';
    if (!fine) return false;
  }
  return key.len > 0;
}

bool rpc_key_reserved(caw_str key) {
  static const caw_str names[] = {
      CAW_STR("content-type"),     CAW_STR("te"),
      CAW_STR("user-agent"),       CAW_STR("host"),
      CAW_STR("connection"),       CAW_STR("keep-alive"),
      CAW_STR("proxy-connection"), CAW_STR("upgrade"),
      CAW_STR("content-length"),   CAW_STR("transfer-encoding"),
  };
  if (starts_with(key, ":") || starts_with(key, "grpc-")) return true;
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    if (caw_str_eq(key, names[i])) return true;
  return false;
}

bool rpc_key_binary(caw_str key) {
  return key.len >= 4 && memcmp(key.data + key.len - 4, "-bin", 4) == 0;
}

/* Eight bytes at a time: the high bit of each is set in `low` when the byte is
 * below 0x20, and in `high` when it is above 0x7e. */
bool rpc_ascii_value_valid(caw_str value) {
  const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
  size_t i = 0;
  for (; i + 8 <= value.len; i += 8) {
    uint64_t n;
    memcpy(&n, value.data + i, sizeof(n));
    uint64_t low = (n - ones * 0x20) & ~n, high = ((n & ~tops) + ones) | n;
    if ((low | high) & tops) return false;
  }
  for (; i < value.len; i++)
    if (value.data[i] < 0x20 || value.data[i] > 0x7e) return false;
  return true;
}

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool rpc_content_type(caw_str value, caw_str *subtype) {
  static const char grpc[] = "application/grpc";
  size_t n = sizeof(grpc) - 1;
  *subtype = caw_str_of(NULL, 0);
  if (value.len < n) return false;
  for (size_t i = 0; i < n; i++)
    if (lower(value.data[i]) != grpc[i]) return false;
  if (value.len == n || value.data[n] == ';') return true;
  if (value.data[n] != '+') return false;
  size_t start = n + 1, end = start;
  while (end < value.len && value.data[end] != ';') end++;
  while (end > start && (value.data[end - 1] == ' ' || value.data[end - 1] == '\t')) end--;
  *subtype = caw_str_of(value.data + start, end - start);
  return true;
}
