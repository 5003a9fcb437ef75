/* Text from the network on its way to a terminal: nothing in it is obeyed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "text.h"

#include <stdlib.h>
#include <string.h>

static const struct {
  const char *text, *printed;
} cases[] = {
    {"", ""},
    {"a b\"\\", "a b\"\\"},
    {"\xc3\xa9\xf0\x9f\x90\xa6", "\xc3\xa9\xf0\x9f\x90\xa6"},
    {"a\nb\x1b[31m\x7f", "a\\x0ab\\x1b[31m\\x7f"},
    {"\xc2\x9b"
     "31m\xc2\xa0",
     "\\xc2\\x9b"
     "31m\xc2\xa0"},
    {"\x9b"
     "31m",
     "\\x9b"
     "31m"}, /* C1 for a terminal that knows no UTF-8 */
    {"\xc2\xc2\x9b", "\\xc2\\xc2\\x9b"},
    {"\xff\xc3", "\\xff\\xc3"},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
};

static char *print(caw_str text) {
  char *printed;
  size_t len;
  FILE *out = open_memstream(&printed, &len);
  assert_non_null(out);
  text_print(out, text);
  fclose(out);
  return printed;
}

static void texts_are_escaped(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char *printed = print(caw_str_from(cases[i].text));
    assert_string_equal(printed, cases[i].printed);
    free(printed);
  }
}

/* Longer than what is written at once, with each thing at each place. */
static void long_ones_are_whole(void **state) {
  static const char *const units[] = {"a", "\xf0\x9f\x90\xa6", "\xc2\x9b", "\xff"};
  static const char *const printed_as[] = {"a", "\xf0\x9f\x90\xa6", "\\xc2\\x9b", "\\xff"};
  (void)state;
  for (size_t u = 0; u < 4; u++) {
    for (size_t before = 0; before < 9; before++) {
      char text[8192] = "", want[16384] = "";
      memset(text, 'x', before);
      memset(want, 'x', before);
      for (int i = 0; i < 500; i++) {
        strcat(text, units[u]);
        strcat(want, printed_as[u]);
      }
      char *printed = print(caw_str_from(text));
      assert_string_equal(printed, want);
      free(printed);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(texts_are_escaped),
                                     cmocka_unit_test(long_ones_are_whole)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
