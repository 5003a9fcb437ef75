/* The Huffman code of hpack.h. */
#include "h2/hpack.h"
#include "h2/huffman_table.h"

#define LENGTHS (sizeof(huffman_long) / sizeof(huffman_long[0]))

/* The longest code of a byte. */
#define LONGEST 30

size_t huffman_encoded_length(const uint8_t *text, size_t len) {
  /* No text fills more than an eighth of what 64 bits count. */
  uint64_t bits = 7;
  for (size_t i = 0; i < len; i++) bits += huffman_bits[text[i]];
  return (size_t)(bits / 8);
}

size_t huffman_encode(uint8_t *to, const uint8_t *text, size_t len) {
  uint8_t *at = to;
  uint64_t pending = 0; /* the lower `bits` are still to be written; fewer than 32 */
  unsigned bits = 0;
  for (size_t i = 0; i < len; i++) {
    unsigned n = huffman_bits[text[i]];
    pending = pending << n | huffman_code[text[i]];
    bits += n;
    if (bits < 32) continue;
    bits -= 32;
    uint32_t word = (uint32_t)(pending >> bits);
    for (int shift = 24; shift >= 0; shift -= 8) *at++ = (uint8_t)(word >> shift);
  }
  pending = pending << 7 | 0x7f; /* ones behind the last code */
  for (bits += 7; bits >= 8; bits -= 8) *at++ = (uint8_t)(pending >> (bits - 8));
  return (size_t)(at - to);
}

/*
 * Code on its way: the next bits, inverted, at the upper end of `next`. The
 * ones that pad the last byte are zeros then, and so is what a shift brings in:
 * the code's end looks as if it were padded for ever.
 */
typedef struct source {
  const uint8_t *at, *end;
  uint64_t next;
  unsigned bits; /* of `next` that came from the input */
} source;

static void refill(source *s) {
  while (s->bits <= 56 && s->at < s->end) {
    s->next |= (uint64_t)(uint8_t) ~*s->at++ << (56 - s->bits);
    s->bits += 8;
  }
}

/* The byte whose code is longer than a look reaches, and its length in *bits;
 * none for EOS, which is also what a padding looks like. */
static int long_code(uint32_t code, unsigned *bits) {
  for (size_t i = 0; i < LENGTHS; i++) {
    if (code >= huffman_long[i].until) continue;
    *bits = huffman_long[i].bits;
    return huffman_long_bytes[huffman_long[i].at +
                              ((code - huffman_long[i].first) >> (32 - *bits))];
  }
  return -1;
}

/* Decodes to `to`; only counts when that is NULL. */
static inline size_t decode(char *to, const uint8_t *code, size_t len) {
  source s = {code, code + len, 0, 0};
  size_t n = 0;
  for (;;) {
    refill(&s);
    if (!s.bits) return n;
    unsigned enough = s.at < s.end ? LONGEST : 1;
    do {
      unsigned known = huffman_short[s.next >> 56], bits = known >> 8;
      int byte = known & 0xff;
      if (!bits) {
        byte = long_code((uint32_t) ~(s.next >> 32), &bits);
        if (byte < 0) return s.at == s.end && s.bits <= 7 ? n : SIZE_MAX;
      }
      if (bits > s.bits) return SIZE_MAX;
      if (to) to[n] = (char)byte;
      n++;
      s.next <<= bits;
      s.bits -= bits;
    } while (s.bits >= enough);
  }
}

size_t huffman_decode(char *to, const uint8_t *code, size_t len) {
  return decode(to, code, len);
}

size_t huffman_decoded_length(const uint8_t *code, size_t len) {
  return decode(NULL, code, len);
}
