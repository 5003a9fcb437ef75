/*
 * HPACK's Huffman code: the tables say the same as each other and as nghttp2, for
 * every byte, every short code and every padding.
 */
#include "hpack_rig.h"

#include "h2/huffman_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define MOST        ((size_t)64) /* bytes of code that the tests write */

/* Bits, written one by one, most significant first. */
typedef struct bits {
  uint8_t bytes[MOST];
  size_t len; /* in bits */
} bits;

static void bits_put(bits *b, uint32_t code, unsigned n) {
  for (; n; n--, b->len++) {
    assert_true(b->len < 8 * MOST);
    b->bytes[b->len / 8] |= (uint8_t)((code >> (n - 1) & 1) << (7 - b->len % 8));
  }
}

static size_t bits_bytes(const bits *b) {
  return (b->len + 7) / 8;
}

/* Decodes with room for exactly what must come, or for what may come at most when
 * the code is damaged. Returns the length, or SIZE_MAX. */
static size_t decode(char *to, const uint8_t *code, size_t len) {
  size_t n = huffman_decoded_length(code, len);
  if (n == SIZE_MAX) {
    char *most = malloc(len * 8 / 5 + 1);
    assert_non_null(most);
    assert_int_equal(huffman_decode(most + 1, code, len), SIZE_MAX);
    free(most);
    return n;
  }
  assert_true(n <= len * 8 / 5);
  char *exact = malloc(n + 1);
  uint8_t *input = malloc(len + 1);
  assert_true(exact && input);
  memcpy(input + 1, code, len); /* ends where the memory ends */
  assert_int_equal(huffman_decode(exact + 1, input + 1, len), n);
  memcpy(to, exact + 1, n);
  free(exact);
  free(input);
  return n;
}

static nghttp2_hd_inflater *inflater;

/* What nghttp2 makes of a value with this code. */
static size_t their_decode(char *to, const uint8_t *code, size_t len) {
  uint8_t block[4 + MOST] = {0x00, 1, 'a', (uint8_t)(0x80 | len)};
  nghttp2_nv nv;
  int flags = 0;
  assert_true(len <= MOST);
  memcpy(block + 4, code, len);
  if (!inflater) assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
  ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, block, 4 + len, 1);
  if (n < 0) { /* that is the end of its life */
    nghttp2_hd_inflate_del(inflater);
    inflater = NULL;
    return SIZE_MAX;
  }
  assert_true(flags & NGHTTP2_HD_INFLATE_EMIT);
  assert_int_equal(n, 4 + len);
  memcpy(to, nv.value, nv.valuelen);
  size_t value = nv.valuelen;
  nghttp2_hd_inflate_hd2(inflater, &nv, &flags, block, 0, 1);
  nghttp2_hd_inflate_end_headers(inflater);
  return value;
}

/* Both decode to the same; returns the length, or SIZE_MAX. */
static size_t decode_both(char *to, const uint8_t *code, size_t len) {
  char theirs[MOST * 2];
  size_t n = decode(to, code, len);
  assert_int_equal(n, their_decode(theirs, code, len));
  if (n != SIZE_MAX) assert_memory_equal(to, theirs, n);
  return n;
}

static int end(void **state) {
  (void)state;
  if (inflater) nghttp2_hd_inflate_del(inflater);
  inflater = NULL;
  return 0;
}

/* The decoder's tables, made once more from the codes. */
static void tables_from_codes(void **state) {
  (void)state;
  uint8_t short_bits[256] = {0}, short_byte[256] = {0};
  size_t longs = 0;
  for (unsigned byte = 0; byte < 256; byte++) {
    unsigned n = huffman_bits[byte];
    assert_true(n >= 5 && n <= 30);
    assert_int_equal(huffman_code[byte] >> n, 0);
    for (unsigned rest = 0; n <= 8 && rest < 1U << (8 - n); rest++) {
      size_t at = (huffman_code[byte] << (8 - n) | rest) ^ 0xff;
      short_bits[at] = (uint8_t)n;
      short_byte[at] = (uint8_t)byte;
    }
    if (n <= 8) continue;
    longs++;
    uint32_t code = huffman_code[byte] << (32 - n);
    size_t i = 0;
    while (i < COUNT(huffman_long) && code >= huffman_long[i].until) i++;
    assert_true(i < COUNT(huffman_long));
    assert_true(code >= huffman_long[i].first);
    assert_int_equal(huffman_long[i].bits, n);
    size_t nth = (code - huffman_long[i].first) >> (32 - n);
    assert_int_equal(huffman_long_bytes[huffman_long[i].at + nth], byte);
  }
  assert_int_equal(longs, COUNT(huffman_long_bytes));
  assert_memory_equal(short_bits, huffman_short_bits, sizeof(short_bits));
  assert_memory_equal(short_byte, huffman_short_byte, sizeof(short_byte));
  /* The lengths follow each other without a gap, and what is left is EOS. */
  for (size_t i = 1; i < COUNT(huffman_long); i++)
    assert_int_equal(huffman_long[i - 1].until, huffman_long[i].first);
  assert_int_equal(huffman_long[COUNT(huffman_long) - 1].until, 0xfffffffc);
}

/* Each byte alone, at each place that its code can have in a byte. */
static void each_byte(void **state) {
  (void)state;
  for (unsigned byte = 0; byte < 256; byte++) {
    for (unsigned zeros = 0; zeros < 8; zeros++) {
      uint8_t text[8], made[MOST];
      char back[MOST * 2];
      bits b = {{0}, 0};
      for (unsigned i = 0; i < zeros; i++) bits_put(&b, huffman_code['0'], huffman_bits['0']);
      bits_put(&b, huffman_code[byte], huffman_bits[byte]);
      while (b.len % 8) bits_put(&b, 1, 1);
      memset(text, '0', zeros);
      text[zeros] = (uint8_t)byte;
      assert_int_equal(decode_both(back, b.bytes, bits_bytes(&b)), zeros + 1);
      assert_memory_equal(back, text, zeros + 1);
      assert_int_equal(huffman_encoded_length(text, zeros + 1), bits_bytes(&b));
      assert_int_equal(huffman_encode(made, text, zeros + 1), bits_bytes(&b));
      assert_memory_equal(made, b.bytes, bits_bytes(&b));
    }
  }
}

/* Every code of one and two bytes. */
static void short_codes(void **state) {
  (void)state;
  size_t fine = 0;
  char text[MOST];
  assert_int_equal(decode_both(text, (const uint8_t *)"", 0), 0);
  for (unsigned n = 0; n < 256; n++) {
    uint8_t code[1] = {(uint8_t)n};
    fine += decode_both(text, code, 1) != SIZE_MAX;
  }
  for (unsigned n = 0; n < 65536; n++) {
    uint8_t code[2] = {(uint8_t)(n >> 8), (uint8_t)n};
    fine += decode_both(text, code, 2) != SIZE_MAX;
  }
  assert_true(fine > 1000 && fine < 65536);
}

/* Each byte with each padding: of ones up to 16 bits, and with one bit wrong. */
static void each_padding(void **state) {
  (void)state;
  for (unsigned byte = 0; byte < 256; byte++) {
    for (unsigned padding = 0; padding < 16; padding++) {
      for (unsigned wrong = 0; wrong <= padding; wrong++) { /* 0: none */
        char text[MOST * 2];
        bits b = {{0}, 0};
        bits_put(&b, huffman_code[byte], huffman_bits[byte]);
        for (unsigned i = 1; i <= padding; i++) bits_put(&b, i != wrong, 1);
        if (b.len % 8) continue;
        size_t n = decode_both(text, b.bytes, b.len / 8);
        if (!wrong) assert_int_equal(n, padding < 8 ? 1 : SIZE_MAX);
        if (wrong && padding < 5) assert_int_equal(n, SIZE_MAX);
      }
    }
  }
}

/* EOS at each place, whole and cut. */
static void end_of_string(void **state) {
  (void)state;
  for (unsigned before = 0; before < 30; before++) {
    for (unsigned ones = 8; ones <= 40; ones++) {
      char text[MOST * 2];
      bits b = {{0}, 0};
      for (unsigned i = 0; i < before; i++) bits_put(&b, huffman_code['b'], huffman_bits['b']);
      bits_put(&b, UINT32_MAX, ones < 32 ? ones : 32);
      if (ones > 32) bits_put(&b, UINT32_MAX, ones - 32);
      if (b.len % 8) bits_put(&b, 0, 8 - b.len % 8);
      decode_both(text, b.bytes, bits_bytes(&b));
    }
  }
  static const uint8_t eos[] = {0xff, 0xff, 0xff, 0xfc};
  assert_int_equal(huffman_decoded_length(eos, sizeof(eos)), SIZE_MAX);
}

/* Random text there and back, and random code at both. */
static void random_text(void **state) {
  (void)state;
  dice d = {7541};
  for (int round = 0; round < 30000; round++) {
    uint8_t text[300], code[300 * 30 / 8 + 1];
    char back[300];
    size_t len = dice_below(&d, sizeof(text)), kind = dice_below(&d, 3);
    for (size_t i = 0; i < len; i++)
      text[i] = (uint8_t)(kind == 0   ? dice_roll(&d)
                          : kind == 1 ? 32 + dice_below(&d, 95)
                                      : '0' + dice_below(&d, 10));
    size_t packed = huffman_encoded_length(text, len);
    uint8_t *exact = malloc(packed + 1);
    assert_non_null(exact);
    assert_int_equal(huffman_encode(exact + 1, text, len), packed);
    memcpy(code, exact + 1, packed);
    free(exact);
    assert_int_equal(decode(back, code, packed), len);
    assert_memory_equal(back, text, len);
  }
  for (int round = 0; round < 100000; round++) {
    uint8_t code[MOST];
    char text[MOST * 2];
    size_t len = dice_below(&d, MOST / 2);
    for (size_t i = 0; i < len; i++)
      code[i] = (uint8_t)(dice_below(&d, 2) ? dice_roll(&d) : dice_roll(&d) & 0x5b);
    if (len && dice_below(&d, 2)) code[len - 1] |= 0x1f;
    decode_both(text, code, len);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tables_from_codes),           cmocka_unit_test_teardown(each_byte, end),
      cmocka_unit_test_teardown(short_codes, end),   cmocka_unit_test_teardown(each_padding, end),
      cmocka_unit_test_teardown(end_of_string, end), cmocka_unit_test_teardown(random_text, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
