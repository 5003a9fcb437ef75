/* Bytes as hexadecimal text, for tables of cases. */
#ifndef TESTS_PB_HEX_H
#define TESTS_PB_HEX_H

#include <caw/str.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Reads "0a 0b" or "0a0b" into out; returns the number of bytes. */
static inline size_t hex_read(uint8_t *out, const char *text) {
  size_t n = 0;
  while (*text) {
    char pair[3] = {text[0], text[1], 0};
    if (*text == ' ') {
      text++;
      continue;
    }
    out[n++] = (uint8_t)strtoul(pair, NULL, 16);
    text += 2;
  }
  return n;
}

/* Writes "0a0b"; `text` has room for 2 * s.len + 1. */
static inline void hex_write(char *text, caw_str s) {
  *text = '\0';
  for (size_t i = 0; i < s.len; i++) text += sprintf(text, "%02x", (uint8_t)s.data[i]);
}

#endif
