/* The texts of utf8.h. */
#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

size_t utf8_length(const char *p, size_t len) {
  /* The Unicode standard's table 3-7: what the first byte may be, and the second. */
  static const struct {
    uint8_t first, last, low, high, len;
  } forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
               {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
               {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
               {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
  const uint8_t *b = (const uint8_t *)p;
  if (b[0] < 0x80) return 1;
  for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
    if (b[0] < forms[i].first || b[0] > forms[i].last) continue;
    if (len < forms[i].len || b[1] < forms[i].low || b[1] > forms[i].high) return 0;
    for (size_t k = 2; k < forms[i].len; k++)
      if ((b[k] & 0xc0) != 0x80) return 0;
    return forms[i].len;
  }
  return 0;
}

/* ASCII's and C1's, which are two bytes. */
static bool is_control(const char *p, size_t n) {
  const uint8_t *b = (const uint8_t *)p;
  return n == 1 ? b[0] < ' ' || b[0] == 0x7f : n == 2 && b[0] == 0xc2 && b[1] < 0xa0;
}

void utf8_mend(char *text, size_t len) {
  for (size_t i = 0, n; i < len; i += n) {
    n = utf8_length(text + i, len - i);
    if (n && !is_control(text + i, n)) continue;
    if (!n) n = 1;
    memset(text + i, '?', n);
  }
}
