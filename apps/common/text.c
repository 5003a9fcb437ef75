/* The writing of text.h. */
#include "text.h"

#include <stdbool.h>

void text_print(FILE *out, caw_str text) {
  flockfile(out);
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.data[i];
    unsigned char next = i + 1 < text.len ? (unsigned char)text.data[i + 1] : 0;
    bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;
    if (c >= 0x20 && c != 0x7f && !c1) {
      putc_unlocked(c, out);
      continue;
    }
    fprintf(out, "\\x%02x", c);
    if (c1) {
      fprintf(out, "\\x%02x", next);
      i++;
    }
  }
  funlockfile(out);
}
