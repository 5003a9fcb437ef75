/* The Huffman code of hpack.h. */
#include "h2/hpack.h"
#include "h2/huffman_table.h"

#define HOT static inline __attribute__((always_inline))

#define LENGTHS (sizeof(huffman_long) / sizeof(huffman_long[0]))

/* The longest code of a byte. */
#define LONGEST 30

size_t huffman_encoded_length(const uint8_t *text, size_t len) {
  /* No text fills more than an eighth of what 64 bits count. */
  uint64_t bits = 7;
  for (size_t i = 0; i < len; i++) bits += huffman_bits[text[i]];
  return (size_t)(bits / 8);
}

/* Writes the upper 32 of `bits` bits. */
static inline uint8_t *put_word(uint8_t *to, uint64_t pending, unsigned bits) {
  uint32_t word = (uint32_t)(pending >> (bits - 32));
  to[0] = (uint8_t)(word >> 24);
  to[1] = (uint8_t)(word >> 16);
  to[2] = (uint8_t)(word >> 8);
  to[3] = (uint8_t)word;
  return to + 4;
}

size_t huffman_encode(uint8_t *to, const uint8_t *text, size_t len) {
  uint8_t *at = to;
  uint64_t pending = 0; /* its lower `bits`, fewer than 32, are still to be written */
  unsigned bits = 0;
  for (size_t i = 0; i < len; i++) {
    unsigned n = huffman_bits[text[i]];
    pending = pending << n | huffman_code[text[i]];
    bits += n;
    if (bits < 32) continue;
    at = put_word(at, pending, bits);
    bits -= 32;
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
  uint64_t next; /* beyond `bits` there may be some of the byte at `at` */
  unsigned bits;
} source;

/* Up to seven bytes, inverted, at the upper end. */
static inline uint64_t inverted_few(const uint8_t *p, size_t len) {
  uint64_t n = 0;
  if (len & 4) {
    n = (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
    p += 4;
  }
  if (len & 2) {
    n = n << 16 | (uint64_t)p[0] << 8 | p[1];
    p += 2;
  }
  if (len & 1) n = n << 8 | p[0];
  return len ? ~n << (64 - 8 * len) : 0;
}

static inline uint64_t inverted(const uint8_t *p) {
  return ~((uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 | (uint64_t)p[2] << 40 |
           (uint64_t)p[3] << 32 | (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 |
           (uint64_t)p[6] << 8 | p[7]);
}

/* Fills up to 57 bits or more, while there are any. Eight bytes can be read
 * before `end`. */
static inline void refill(source *s) {
  size_t left = (size_t)(s->end - s->at), bytes = (63 - s->bits) / 8;
  if (!left) return;
  const uint8_t *from = left >= 8 ? s->at : s->end - 8;
  s->next |= inverted(from) << 8 * (s->at - from) >> s->bits;
  if (bytes > left) bytes = left;
  s->at += bytes;
  s->bits += (unsigned)bytes * 8;
}

/* A code that is longer than a look reaches: how many bits it has, and above them
 * the byte it stands for; 0 for EOS. */
static unsigned long_code(uint32_t code) {
  for (size_t i = 0; i < LENGTHS; i++) {
    if (code >= huffman_long[i].until) continue;
    unsigned bits = huffman_long[i].bits;
    uint32_t nth = (code - huffman_long[i].first) >> (32 - bits);
    return bits | (unsigned)huffman_long_bytes[huffman_long[i].at + nth] << 8;
  }
  return 0;
}

/* Decodes to `to`, or only counts. */
HOT size_t decode(char *to, bool count, const uint8_t *code, size_t len) {
  source s = {code, code + len, 0, 0};
  size_t n = 0;
  if (len < 8) {
    s.next = inverted_few(code, len);
    s.bits = (unsigned)len * 8;
    s.at = s.end;
  }
  for (;;) {
    refill(&s);
    if (!s.bits) return n;
    unsigned enough = s.at < s.end ? LONGEST : 1;
    do {
      unsigned bits = huffman_short_bits[s.next >> 56];
      uint8_t byte = huffman_short_byte[s.next >> 56];
      if (!bits) {
        if (!s.next) return s.at == s.end && s.bits <= 7 ? n : SIZE_MAX;
        unsigned found = long_code((uint32_t) ~(s.next >> 32));
        if (!found) return SIZE_MAX;
        bits = found & 0xff;
        byte = (uint8_t)(found >> 8);
      }
      if (bits > s.bits) return SIZE_MAX;
      if (!count) to[n] = (char)byte;
      n++;
      s.next <<= bits;
      s.bits -= bits;
    } while (s.bits >= enough);
  }
}

size_t huffman_decode(char *to, const uint8_t *code, size_t len) {
  return decode(to, false, code, len);
}

size_t huffman_decoded_length(const uint8_t *code, size_t len) {
  return decode(NULL, true, code, len);
}
