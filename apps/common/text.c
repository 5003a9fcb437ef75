/* The writing of text.h. */
#include "text.h"

#include <stdbool.h>

#define ROOM 256

size_t text_character(const unsigned char *p, size_t len) {
  static const struct {
    unsigned char from, to, second_from, second_to, len;
  } forms[] = {{0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2},
               {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
               {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
               {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
               {0xf4, 0xf4, 0x80, 0x8f, 4}};
  for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
    if (p[0] < forms[i].from || p[0] > forms[i].to) continue;
    if (forms[i].len > len) return 0;
    if (forms[i].len > 1 && (p[1] < forms[i].second_from || p[1] > forms[i].second_to)) return 0;
    for (size_t k = 2; k < forms[i].len; k++)
      if (p[k] < 0x80 || p[k] > 0xbf) return 0;
    return forms[i].len;
  }
  return 0;
}

/* Control characters, ASCII's and C1's. */
static bool is_control(const unsigned char *p, size_t n) {
  return n == 1 ? *p < ' ' || *p == 0x7f : n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

void text_print(FILE *out, caw_str text) {
  static const char hex[] = "0123456789abcdef";
  char buf[ROOM]; /* standard error is unbuffered: not a write for each character */
  const unsigned char *p = (const unsigned char *)text.data;
  size_t len = 0;
  flockfile(out);
  for (size_t i = 0, n; i < text.len; i += n) {
    n = text_character(p + i, text.len - i);
    bool raw = n && !is_control(p + i, n);
    if (!n) n = 1;
    for (size_t k = i; k < i + n; k++) {
      if (!raw) {
        buf[len++] = '\\';
        buf[len++] = 'x';
        buf[len++] = hex[p[k] >> 4];
      }
      buf[len++] = raw ? (char)p[k] : hex[p[k] & 15];
    }
    if (len > ROOM - 16) {
      fwrite(buf, 1, len, out);
      len = 0;
    }
  }
  fwrite(buf, 1, len, out);
  funlockfile(out);
}
