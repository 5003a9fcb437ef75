/* What people may write, and how it is compared. */
#include "words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static caw_arena *arena;

static void expect(const char *got, const char *wanted, const char *text) {
  if (!got != !wanted || (got && strcmp(got, wanted)))
    fail_msg("\"%s\": \"%s\" != \"%s\"", text, got ? got : "(fine)", wanted ? wanted : "(fine)");
}

/* Whatever byte stands where among plain ones, in texts of all lengths up to two eights. */
static void test_bytes(void **state) {
  char text[20], why[80];
  (void)state;
  for (size_t len = 1; len <= 17; len++) {
    for (size_t at = 0; at < len; at++) {
      for (int byte = 0; byte < 256; byte++) {
        bool plain = byte >= ' ' && byte <= '~', wide = byte > 127;
        memset(text, ' ', len);
        text[at] = (char)byte;
        snprintf(why, sizeof(why), "byte %d at %zu of %zu", byte, at, len);
        expect(words_text(caw_str_of(text, len), 100, false, true, arena),
               wide          ? "is not UTF-8"
               : !plain      ? "has control characters"
               : byte == ' ' ? "has nothing to be seen in it"
                             : NULL,
               why);
        memset(text, '~', len);
        text[at] = (char)byte;
        expect(words_text(caw_str_of(text, len), 100, true, true, arena),
               wide ? "is not UTF-8"
               : plain || byte == '\n' || byte == '\t'
                   ? len == 1 && byte <= ' ' ? "has nothing to be seen in it" : NULL
                   : "has control characters other than newline and tab",
               why);
      }
    }
  }
}

static void test_handles(void **state) {
  static const char chars[] = "may have a-z, 0-9, '.', '_' and '-' only";
  static const char ends[] = "has to begin and end with a letter or digit";
  static const char length[] = "has to have 2 to 32 characters";
  static const struct {
    const char *text, *why;
  } cases[] = {
      {"ann", NULL},
      {"a1", NULL},
      {"a.b_c-d", NULL},
      {"0x", NULL},
      {"a", length},
      {"", length},
      {"Ann", chars},
      {"an n", chars},
      {"\xc3\xa4rger", chars},
      {"a@b", chars},
      {".ann", ends},
      {"ann-", ends},
      {"a\nb", chars},
      {"abcdefghijklmnopqrstuvwxyz012345", NULL},
      {"abcdefghijklmnopqrstuvwxyz0123456", length},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect(words_handle(caw_str_from(cases[i].text)), cases[i].why, cases[i].text);
  expect(words_handle(caw_str_of("a\0b", 3)), chars, "a NUL");
}

static void test_texts(void **state) {
  static const char one_line[] = "has control characters";
  static const char many[] = "has control characters other than newline and tab";
  static const char nothing[] = "has nothing to be seen in it";
  static const struct {
    const char *text;
    bool lines, needed;
    const char *why;
  } cases[] = {
      {"hello", false, true, NULL},
      {"", false, false, NULL},
      {"", false, true, nothing},
      {" \xc2\xa0\xe2\x80\x8b", false, true, nothing},    /* spaces, one of no width */
      {"\xe3\x85\xa4\xe1\x85\xa0", false, true, nothing}, /* Hangul's fillers, which are letters */
      {"a\tb\nc", true, true, NULL},
      {"a\tb", false, true, one_line},
      {"a\rb", true, true, many},
      {"a\x1b[31m", true, true, many},
      {"a\x7f", true, true, many},
      {"a\xc2\x85", true, true, many}, /* U+0085 */
      {"\xe2\x80\xae"
       "gpj.exe",
       true, true, many}, /* turns the direction */
      {"\xff", true, true, "is not UTF-8"},
      {"\xed\xa0\x80", true, true, "is not UTF-8"}, /* a surrogate */
      {"\xc3\xa4\xf0\x9f\x98\x80", false, true, NULL},
      {"12345678901", false, true, "is longer than 10 bytes"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect(words_text(caw_str_from(cases[i].text), 10, cases[i].lines, cases[i].needed, arena),
           cases[i].why, cases[i].text);
}

static void test_urls(void **state) {
  static const struct {
    const char *text, *why;
  } cases[] = {
      {"", NULL},
      {"https://a.example/x.png?y=1#z", NULL},
      {"http://a.example/", "is not an https:// URL"},
      {"https://", "is not an https:// URL"},
      {"javascript:alert(1)", "is not an https:// URL"},
      {"https://a b", "has characters that no URL has"},
      {"https://a\"b", "has characters that no URL has"},
      {"https://\xc3\xa4", "has characters that no URL has"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect(words_url(caw_str_from(cases[i].text), 500, arena), cases[i].why, cases[i].text);
}

static void test_forms(void **state) {
  static const struct {
    const char *text, *normal, *folded;
  } cases[] = {
      {"Ann", "Ann", "ann"},
      {"", "", ""},
      {"a\xcc\x88", "\xc3\xa4", "\xc3\xa4"}, /* a and two dots: a-umlaut */
      {"\xc3\x84", "\xc3\x84", "\xc3\xa4"},  /* A-umlaut */
      {"Stra\xc3\x9f"
       "e",
       "Stra\xc3\x9f"
       "e",
       "strasse"},
      {"\xef\xbc\xa1nn", "\xef\xbc\xa1nn", "ann"}, /* a wide A */
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    caw_str normal = words_normal(caw_str_from(cases[i].text), arena);
    caw_str folded = words_folded(caw_str_from(cases[i].text), arena);
    assert_string_equal(normal.data, cases[i].normal);
    assert_string_equal(folded.data, cases[i].folded);
  }
}

static void test_search(void **state) {
  static const struct {
    const char *handle, *name, *words;
  } cases[] = {
      {"ann", "", "ann\n"},
      {"ann.s", "Ann  Smith", "ann.s\nann\nsmith\n"},
      {"x1", "  \xc3\x84rger-Fritz (IT)", "x1\n\xc3\xa4rger\nfritz\nit\n"},
      {"x1", "\xf0\x9f\x98\x80", "x1\n\xf0\x9f\x98\x80\n"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    caw_str words = words_search(caw_str_from(cases[i].handle), caw_str_from(cases[i].name), arena);
    if (words.len != strlen(cases[i].words) || memcmp(words.data, cases[i].words, words.len))
      fail_msg("\"%.*s\" != \"%s\"", CAW_STR_ARG(words), cases[i].words);
  }
}

static int set_up(void **state) {
  (void)state;
  arena = caw_arena_new(0);
  return !arena;
}

static int tear_down(void **state) {
  (void)state;
  caw_arena_free(arena);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_handles), cmocka_unit_test(test_texts), cmocka_unit_test(test_bytes),
      cmocka_unit_test(test_urls),    cmocka_unit_test(test_forms), cmocka_unit_test(test_search),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
