/* The percent-encoding of grpc-message (PROTOCOL-HTTP2.md). */
#include "rpc/wire.h"

#include <string.h>

static bool is_plain(uint8_t c) {
  return c >= 0x20 && c <= 0x7e && c != '%';
}

int rpc_percent_encode(buf *out, caw_str text) {
  static const char hex[] = "0123456789ABCDEF";
  for (size_t i = 0; i < text.len;) {
    size_t start = i;
    while (i < text.len && is_plain((uint8_t)text.data[i])) i++;
    int rc = buf_append(out, text.data + start, i - start);
    if (!rc && i < text.len) {
      uint8_t c = (uint8_t)text.data[i++];
      char coded[3] = {'%', hex[c >> 4], hex[c & 15]};
      rc = buf_append(out, coded, sizeof(coded));
    }
    if (rc) return rc;
  }
  return 0;
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

static size_t decode_bytes(uint8_t *out, caw_str text) {
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) {
    int high = -1, low = -1;
    if (text.data[i] == '%' && text.len - i > 2) {
      high = hex_value(text.data[i + 1]);
      low = hex_value(text.data[i + 2]);
    }
    if (high < 0 || low < 0) {
      out[n++] = (uint8_t)text.data[i];
    } else {
      out[n++] = (uint8_t)(high << 4 | low);
      i += 2;
    }
  }
  return n;
}

/*
 * The length of the UTF-8 sequence at `p`, or 0 when it is none; then *bad is
 * the length of what one U+FFFD stands for: the longest beginning of a valid
 * sequence, else one byte (Unicode, section 3.9, table 3-7).
 */
static size_t sequence(const uint8_t *p, size_t left, size_t *bad) {
  uint8_t c = p[0], low = 0x80, high = 0xbf;
  size_t more;
  *bad = 1;
  if (c < 0x80) return 1;
  if (c >= 0xc2 && c <= 0xdf) more = 1;
  else if (c >= 0xe0 && c <= 0xef) more = 2;
  else if (c >= 0xf0 && c <= 0xf4) more = 3;
  else return 0;
  if (c == 0xe0) low = 0xa0;  /* overlong */
  if (c == 0xed) high = 0x9f; /* surrogates */
  if (c == 0xf0) low = 0x90;  /* overlong */
  if (c == 0xf4) high = 0x8f; /* beyond U+10FFFF */
  for (size_t i = 1; i <= more; i++) {
    if (i == left || p[i] < low || p[i] > high) return 0;
    *bad = i + 1;
    low = 0x80;
    high = 0xbf;
  }
  return more + 1;
}

/* Copies `in` with U+FFFD for what is not UTF-8, when `out` is not NULL;
 * returns the length of the copy. */
static size_t repair(uint8_t *out, const uint8_t *in, size_t len) {
  size_t total = 0, bad;
  for (size_t i = 0; i < len;) {
    size_t n = sequence(in + i, len - i, &bad);
    const uint8_t *from = n ? in + i : (const uint8_t *)"\xef\xbf\xbd";
    size_t copy = n ? n : 3;
    if (out) memcpy(out + total, from, copy);
    total += copy;
    i += n ? n : bad;
  }
  return total;
}

caw_str rpc_percent_decode(caw_arena *arena, caw_str text) {
  caw_str none = {NULL, 0};
  uint8_t *bytes = caw_arena_alloc(arena, text.len);
  if (!bytes) return none;
  size_t len = decode_bytes(bytes, text);
  bool valid = true;
  for (size_t i = 0, n, bad; i < len && valid; i += n) {
    n = sequence(bytes + i, len - i, &bad);
    valid = n != 0;
  }
  if (valid) return caw_str_of((char *)bytes, len);
  size_t fixed = repair(NULL, bytes, len);
  uint8_t *out = caw_arena_alloc(arena, fixed);
  if (!out) return none;
  repair(out, bytes, len);
  return caw_str_of((char *)out, fixed);
}
