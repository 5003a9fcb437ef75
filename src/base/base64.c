/* The base64 of base64.h. */
#include "base/base64.h"

#include <caw/status.h>

/* -- encoding ------------------------------------------------------------ */

size_t base64_encoded_len(size_t len, bool padded) {
  if (len > SIZE_MAX / 2) return SIZE_MAX;
  size_t rest = len % 3;
  return len / 3 * 4 + (!rest ? 0 : padded ? 4 : rest + 1);
}

int base64_encode(buf *out, caw_str bytes, bool padded) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const uint8_t *in = (const uint8_t *)bytes.data;
  size_t left = bytes.len, len = base64_encoded_len(left, padded);
  if (!left) return 0;
  if (len == SIZE_MAX || buf_reserve(out, len)) return CAW_ENOMEM;
  uint8_t *p = out->data + out->len;
  for (; left >= 3; left -= 3, in += 3) {
    uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
    *p++ = (uint8_t)alphabet[v >> 18];
    *p++ = (uint8_t)alphabet[v >> 12 & 63];
    *p++ = (uint8_t)alphabet[v >> 6 & 63];
    *p++ = (uint8_t)alphabet[v & 63];
  }
  if (left) {
    uint32_t v = (uint32_t)in[0] << 16 | (left == 2 ? (uint32_t)in[1] << 8 : 0);
    *p++ = (uint8_t)alphabet[v >> 18];
    *p++ = (uint8_t)alphabet[v >> 12 & 63];
    if (left == 2) *p++ = (uint8_t)alphabet[v >> 6 & 63];
    for (; padded && left < 3; left++) *p++ = '=';
  }
  out->len += len;
  return 0;
}

/* -- decoding ------------------------------------------------------------ */

/* The length without padding, or SIZE_MAX. */
static size_t unpadded(caw_str text) {
  size_t len = text.len;
  while (len && text.len - len < 2 && text.data[len - 1] == '=') len--;
  if (len % 4 == 1) return SIZE_MAX;
  return len < text.len && text.len % 4 ? SIZE_MAX : len;
}

size_t base64_decoded_len(caw_str text) {
  size_t len = unpadded(text);
  if (len == SIZE_MAX) return SIZE_MAX;
  return len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0);
}

static int value_of(char c, unsigned flags) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || (c == '-' && flags & BASE64_URL)) return 62;
  return c == '/' || (c == '_' && flags & BASE64_URL) ? 63 : -1;
}

bool base64_decode(uint8_t *out, caw_str text, unsigned flags) {
  size_t len = unpadded(text);
  uint32_t bits = 0;
  unsigned have = 0; /* of the low bits, that are not written yet */
  if (len == SIZE_MAX) return false;
  for (size_t i = 0; i < len; i++) {
    int v = value_of(text.data[i], flags);
    if (v < 0) return false;
    bits = bits << 6 | (uint32_t)v;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    *out++ = (uint8_t)(bits >> have);
  }
  return flags & BASE64_BITS || !(bits & ((1u << have) - 1));
}
