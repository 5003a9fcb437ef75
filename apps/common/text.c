/* The writing of text.h. */
#include "text.h"

#include <stdbool.h>

#define ROOM 256

void text_print(FILE *out, caw_str text) {
  static const char hex[] = "0123456789abcdef";
  char buf[ROOM]; /* standard error is unbuffered: not a write for each character */
  size_t len = 0;
  flockfile(out);
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.data[i];
    unsigned char next = i + 1 < text.len ? (unsigned char)text.data[i + 1] : 0;
    bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;
    bool rest_of_c1 = i > 0 && (unsigned char)text.data[i - 1] == 0xc2 && c >= 0x80 && c < 0xa0;
    if (c >= 0x20 && c != 0x7f && !c1 && !rest_of_c1) {
      buf[len++] = (char)c;
    } else {
      buf[len++] = '\\';
      buf[len++] = 'x';
      buf[len++] = hex[c >> 4];
      buf[len++] = hex[c & 15];
    }
    if (len > ROOM - 4) {
      fwrite(buf, 1, len, out);
      len = 0;
    }
  }
  fwrite(buf, 1, len, out);
  funlockfile(out);
}
