/* The characters of names and values, each byte at each place, beside nghttp2's. */
#include "h2/field_chars.h"
#include "hpack_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void compare_name(const uint8_t *text, size_t len) {
  bool ours = h2_name_valid(caw_str_of((const char *)text, len));
  if (ours != (nghttp2_check_header_name(text, len) != 0))
    fail_msg("name of %zu bytes that begins with %02x: %d", len, len ? text[0] : 0, ours);
}

static void compare_value(const uint8_t *text, size_t len) {
  bool ours = h2_value_valid(caw_str_of((const char *)text, len));
  if (ours != (nghttp2_check_header_value(text, len) != 0))
    fail_msg("value of %zu bytes that begins with %02x: %d", len, len ? text[0] : 0, ours);
}

static void names(void **state) {
  (void)state;
  for (unsigned byte = 0; byte < 256; byte++) {
    for (size_t len = 1; len < 12; len++) {
      for (size_t at = 0; at < len; at++) {
        uint8_t text[12];
        memset(text, 'n', len);
        text[at] = (uint8_t)byte;
        compare_name(text, len);
        text[0] = ':';
        compare_name(text, len);
      }
    }
  }
  compare_name((const uint8_t *)"", 0);
  assert_false(h2_name_valid(caw_str_from("")));
  assert_false(h2_name_valid(caw_str_from(":")));
  assert_false(h2_name_valid(caw_str_from("::a")));
  assert_false(h2_name_valid(caw_str_from("a:")));
  assert_false(h2_name_valid(caw_str_from("Name")));
  assert_true(h2_name_valid(caw_str_from(":path")));
  assert_true(h2_name_valid(caw_str_from("!#$%&'*+-.^_`|~09az")));
}

static void values(void **state) {
  (void)state;
  for (unsigned byte = 0; byte < 256; byte++) {
    for (unsigned other = 0; other < 3; other++) {
      for (size_t len = 1; len < 28; len++) {
        for (size_t at = 0; at < len; at++) {
          uint8_t text[28];
          memset(text, "v\xff\t"[other], len);
          text[at] = (uint8_t)byte;
          compare_value(text, len);
        }
      }
    }
  }
  compare_value((const uint8_t *)"", 0);
  assert_true(h2_value_valid(caw_str_from("")));
  assert_true(h2_value_valid(caw_str_from(" spaces at both ends ")));
  assert_true(h2_value_valid(caw_str_from("a\ttab")));
  assert_false(h2_value_valid(caw_str_of("nul\0", 4)));
  assert_false(h2_value_valid(caw_str_from("line\r\nfeed")));
  assert_false(h2_value_valid(caw_str_from("\x7f")));
}

static void random_text(void **state) {
  (void)state;
  dice d = {9113};
  for (int round = 0; round < 200000; round++) {
    uint8_t text[40];
    size_t len = dice_below(&d, sizeof(text));
    for (size_t i = 0; i < len; i++)
      text[i] = dice_below(&d, 12) ? (uint8_t)('a' + dice_below(&d, 26)) : (uint8_t)dice_roll(&d);
    compare_name(text, len);
    compare_value(text, len);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names),
      cmocka_unit_test(values),
      cmocka_unit_test(random_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
