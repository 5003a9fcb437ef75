/* base64 of "-bin" metadata: the alphabet of RFC 4648 section 4. */
#include "rpc/wire.h"

#include <caw/status.h>

int rpc_base64_encode(buf *out, caw_str bytes) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (!bytes.len) return 0;
  if (bytes.len > SIZE_MAX / 2) return CAW_ENOMEM;
  size_t len = bytes.len / 3 * 4 + (bytes.len % 3 ? bytes.len % 3 + 1 : 0);
  int rc = buf_reserve(out, len);
  if (rc) return rc;
  const uint8_t *in = (const uint8_t *)bytes.data;
  uint8_t *p = out->data + out->len;
  uint32_t bits = 0;
  unsigned have = 0;
  for (size_t i = 0; i < bytes.len; i++) {
    bits = bits << 8 | in[i];
    for (have += 8; have >= 6; have -= 6) *p++ = (uint8_t)alphabet[bits >> (have - 6) & 63];
  }
  if (have) *p++ = (uint8_t)alphabet[bits << (6 - have) & 63];
  out->len += len;
  return 0;
}

static int value_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

/* The length without padding, or SIZE_MAX when the padding or the length is
 * impossible. Padding, if there is any, must fill the last group of four. */
static size_t unpadded(caw_str text) {
  size_t len = text.len;
  while (len && text.len - len < 2 && text.data[len - 1] == '=') len--;
  if (len % 4 == 1) return SIZE_MAX;
  if (len < text.len && text.len % 4 != 0) return SIZE_MAX;
  return len;
}

int rpc_base64_decode(caw_arena *arena, caw_str text, caw_str *out) {
  size_t len = unpadded(text);
  if (len == SIZE_MAX) return CAW_EMALFORMED;
  uint8_t *bytes = caw_arena_alloc(arena, len / 4 * 3 + 2);
  if (!bytes) return CAW_ENOMEM;
  size_t n = 0;
  uint32_t bits = 0;
  unsigned have = 0;
  for (size_t i = 0; i < len; i++) {
    int v = value_of(text.data[i]);
    if (v < 0) return CAW_EMALFORMED;
    bits = bits << 6 | (uint32_t)v;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    bytes[n++] = (uint8_t)(bits >> have);
  }
  if (bits & ((1u << have) - 1)) return CAW_EMALFORMED;
  *out = caw_str_of((char *)bytes, n);
  return 0;
}
