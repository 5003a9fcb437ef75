/* The check for UTF-8 that every string of proto3 passes, both ways. */
#include "pb/wire.h"

/* How many bytes the sequence at s has, 0 when it is not well-formed. The
 * ranges are the table 3-7 of the Unicode standard. */
static size_t sequence(const uint8_t *s, size_t len) {
  uint8_t a = s[0], low = 0x80, high = 0xbf;
  size_t n = a < 0xe0 ? 2 : a < 0xf0 ? 3 : 4;
  if (a < 0xc2 || a > 0xf4 || n > len) return 0;
  if (a == 0xe0) low = 0xa0;
  if (a == 0xed) high = 0x9f;
  if (a == 0xf0) low = 0x90;
  if (a == 0xf4) high = 0x8f;
  if (s[1] < low || s[1] > high) return 0;
  for (size_t i = 2; i < n; i++)
    if ((s[i] & 0xc0) != 0x80) return 0;
  return n;
}

/* Fewer than eight bytes: are they ASCII? Two loads that may overlap. */
static bool short_ascii(const uint8_t *s, size_t len) {
  if (len >= 4) return !((pb_load32(s) | pb_load32(s + len - 4)) & 0x80808080u);
  return !len || !((s[0] | s[len / 2] | s[len - 1]) & 0x80);
}

bool pb_utf8_valid(const uint8_t *s, size_t len) {
  const uint64_t high = 0x8080808080808080u;
  size_t i = 0;
  if (len < 8 && short_ascii(s, len)) return true;
  while (i < len) {
    /* Text is mostly ASCII: take eight bytes at a time while it is, the last
     * eight once more in place of the rest. */
    while (len - i >= 8 && !(pb_load64(s + i) & high)) i += 8;
    if (i == len || (i >= 8 && len - i < 8 && !(pb_load64(s + len - 8) & high))) break;
    if (s[i] < 0x80) {
      i++;
      continue;
    }
    size_t n = sequence(s + i, len - i);
    if (!n) return false;
    i += n;
  }
  return true;
}
