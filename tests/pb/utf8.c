/* The UTF-8 check at every offset within its steps of eight bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pb/wire.h"
#include <stdlib.h>

static const struct {
  const char *text;
  bool valid;
} cases[] = {
    {"", true},
    {"a", true},
    {"\x7f", true},
    {"\xc2\x80", true},          /* U+0080 */
    {"\xdf\xbf", true},          /* U+07FF */
    {"\xe0\xa0\x80", true},      /* U+0800 */
    {"\xed\x9f\xbf", true},      /* U+D7FF */
    {"\xee\x80\x80", true},      /* U+E000 */
    {"\xef\xbf\xbf", true},      /* U+FFFF */
    {"\xf0\x90\x80\x80", true},  /* U+10000 */
    {"\xf4\x8f\xbf\xbf", true},  /* U+10FFFF */
    {"\x80", false},             /* continuation alone */
    {"\xbf", false},             /* the same */
    {"\xc0\x80", false},         /* overlong U+0000 */
    {"\xc1\xbf", false},         /* overlong U+007F */
    {"\xe0\x9f\xbf", false},     /* overlong U+07FF */
    {"\xf0\x8f\xbf\xbf", false}, /* overlong U+FFFF */
    {"\xed\xa0\x80", false},     /* surrogate U+D800 */
    {"\xed\xbf\xbf", false},     /* surrogate U+DFFF */
    {"\xf4\x90\x80\x80", false}, /* U+110000 */
    {"\xf5\x80\x80\x80", false}, /* beyond */
    {"\xff", false},
    {"\xfe", false},
    {"\xc2", false},         /* cut off */
    {"\xe2\x82", false},     /* cut off */
    {"\xf0\x9f\x98", false}, /* cut off */
    {"\xc2\x41", false},     /* no continuation */
    {"\xe2\x82\x41", false}, /* no second continuation */
    {"\xf0\x9f\x98\x41", false},
};

/* The text with `before` and `after` letters around it, in memory of exactly
 * its size. */
static bool check(const char *text, size_t before, size_t after) {
  size_t n = strlen(text), len = before + n + after;
  uint8_t *s = malloc(len ? len : 1);
  memset(s, 'x', len);
  memcpy(s + before, text, n);
  bool valid = pb_utf8_valid(s, len);
  free(s);
  return valid;
}

static void test_cases(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    for (size_t before = 0; before < 18; before++)
      for (size_t after = 0; after < 18; after++)
        if (check(cases[i].text, before, after) != cases[i].valid)
          fail_msg("case %zu behind %zu letters, before %zu: not %d", i, before, after,
                   cases[i].valid);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
