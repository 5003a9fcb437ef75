/* base64 with its variants: tables of what is taken and refused, and round trips
 * over random bytes. */
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "failing.h"

#include <caw/status.h>
#include <stdlib.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static caw_str text_of(const buf *b) {
  return caw_str_of((const char *)b->data, b->len);
}

/* RFC 4648, section 10, and the ends of the alphabet. */
static void test_pairs(void **state) {
  static const struct {
    caw_str bytes;
    const char *bare, *padded;
  } cases[] = {
      {CAW_STR(""), "", ""},
      {CAW_STR("f"), "Zg", "Zg=="},
      {CAW_STR("fo"), "Zm8", "Zm8="},
      {CAW_STR("foo"), "Zm9v", "Zm9v"},
      {CAW_STR("foob"), "Zm9vYg", "Zm9vYg=="},
      {CAW_STR("fooba"), "Zm9vYmE", "Zm9vYmE="},
      {CAW_STR("foobar"), "Zm9vYmFy", "Zm9vYmFy"},
      {CAW_STR("\0"), "AA", "AA=="},
      {CAW_STR("\xff\xff\xff"), "////", "////"},
      {CAW_STR("\xfb\xef\xbe"), "++++", "++++"},
      {CAW_STR("\xff"), "/w", "/w=="},
  };
  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    for (int padded = 0; padded < 2; padded++) {
      const char *want = padded ? cases[i].padded : cases[i].bare;
      buf out = {0};
      uint8_t back[8];
      assert_int_equal(buf_append(&out, "x", 1), 0); /* it appends */
      assert_int_equal(base64_encode(&out, cases[i].bytes, padded), 0);
      assert_int_equal(buf_append(&out, "", 1), 0);
      assert_string_equal(out.data + 1, want);
      assert_int_equal(base64_encoded_len(cases[i].bytes.len, padded), strlen(want));
      assert_int_equal(base64_decoded_len(caw_str_from(want)), cases[i].bytes.len);
      assert_true(base64_decode(back, caw_str_from(want), 0));
      assert_memory_equal(back, cases[i].bytes.data, cases[i].bytes.len);
      buf_finish(&out);
    }
  }
}

/* Whatever the flags are, no text has these lengths or this padding. */
static void test_lengths(void **state) {
  static const char *const cases[] = {
      "A", "AAAAA", "=", "==", "A=", "A==", "AA=", "AA===", "AAA==", "AAAA=", "AAAA==",
  };
  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    uint8_t out[8];
    caw_str text = caw_str_from(cases[i]);
    bool taken = base64_decode(out, text, BASE64_URL | BASE64_BITS);
    if (base64_decoded_len(text) != SIZE_MAX || taken) fail_msg("\"%s\" is taken", cases[i]);
  }
}

/* What each flag lets in. */
static void test_flags(void **state) {
  enum { NONE, URL = BASE64_URL, BITS = BASE64_BITS, BOTH = URL | BITS };
  static const struct {
    const char *text;
    caw_str bytes;
    int taken[4]; /* by the flags */
  } cases[] = {
      {"+/+/", CAW_STR("\xfb\xff\xbf"), {1, 1, 1, 1}},
      {"-_-_", CAW_STR("\xfb\xff\xbf"), {0, 1, 0, 1}},
      {"+_-/", CAW_STR("\xfb\xff\xbf"), {0, 1, 0, 1}},
      {"AB", CAW_STR("\0"), {0, 0, 1, 1}},
      {"AB==", CAW_STR("\0"), {0, 0, 1, 1}},
      {"AP", CAW_STR("\0"), {0, 0, 1, 1}},
      {"AQ", CAW_STR("\1"), {1, 1, 1, 1}},
      {"AAB", CAW_STR("\0\0"), {0, 0, 1, 1}},
      {"AAD=", CAW_STR("\0\0"), {0, 0, 1, 1}},
      {"AAE=", CAW_STR("\0\1"), {1, 1, 1, 1}},
      {"_-", CAW_STR("\xff"), {0, 0, 0, 1}},
      /* Never. */
      {"====", CAW_STR(""), {0}},
      {"=A==", CAW_STR(""), {0}},
      {"A===", CAW_STR(""), {0}},
      {"AAAA====", CAW_STR(""), {0}},
      {"AAAAA===", CAW_STR(""), {0}},
      {"=AAA", CAW_STR(""), {0}},
      {"A=AA", CAW_STR(""), {0}},
      {"AA=A", CAW_STR(""), {0}},
      {"AA==AAAA", CAW_STR(""), {0}},
      {"AA A", CAW_STR(""), {0}},
      {"AAA\n", CAW_STR(""), {0}},
      {" AAA", CAW_STR(""), {0}},
      {"AA,AA.", CAW_STR(""), {0}},
      {"AA\x80.", CAW_STR(""), {0}},
      {"AA.=", CAW_STR(""), {0}},
      {"A@[`", CAW_STR(""), {0}},
      {"A{:*", CAW_STR(""), {0}},
  };
  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    for (unsigned flags = NONE; flags <= BOTH; flags++) {
      uint8_t out[8];
      int taken = base64_decode(out, caw_str_from(cases[i].text), flags);
      if (taken != cases[i].taken[flags])
        fail_msg("\"%s\" with flags %u: %d", cases[i].text, flags, taken);
      if (!taken) continue;
      assert_int_equal(base64_decoded_len(caw_str_from(cases[i].text)), cases[i].bytes.len);
      assert_memory_equal(out, cases[i].bytes.data, cases[i].bytes.len);
    }
  }
}

static void test_round_trip(void **state) {
  (void)state;
  srand(3);
  for (int i = 0; i < 20000; i++) {
    uint8_t bytes[100], back[100];
    size_t n = (size_t)rand() % sizeof(bytes);
    for (size_t k = 0; k < n; k++) bytes[k] = (uint8_t)rand();
    buf out = {0};
    assert_int_equal(base64_encode(&out, caw_str_of((char *)bytes, n), false), 0);
    assert_int_equal(out.len, (n * 4 + 2) / 3);
    while (rand() & 1 && out.len % 4) assert_int_equal(buf_append(&out, "=", 1), 0);
    bool whole = out.len % 4 == 0 || out.data[out.len - 1] != '=';
    assert_int_equal(base64_decoded_len(text_of(&out)), whole ? n : SIZE_MAX);
    assert_int_equal(base64_decode(back, text_of(&out), 0), whole);
    if (whole) assert_memory_equal(back, bytes, n);
    buf_finish(&out);
  }
}

/* Lengths near the end of size_t, which nobody has bytes for. */
static void test_too_long(void **state) {
  buf out = {0};
  (void)state;
  assert_true(base64_encoded_len(SIZE_MAX, true) == SIZE_MAX);
  assert_true(base64_encoded_len(SIZE_MAX / 2 + 1, false) == SIZE_MAX);
  assert_true(base64_encoded_len(SIZE_MAX / 2, true) < SIZE_MAX / 3 * 2 + 4);
  assert_int_equal(base64_encode(&out, caw_str_of("", SIZE_MAX), false), CAW_ENOMEM);
  buf_finish(&out);
}

static void test_out_of_memory(void **state) {
  buf out = {0};
  (void)state;
  fail_at(1);
  assert_int_equal(base64_encode(&out, caw_str_from("foo"), true), CAW_ENOMEM);
  assert_true(out.failed);
  assert_int_equal(out.len, 0);
  buf_finish(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pairs),    cmocka_unit_test(test_lengths),
      cmocka_unit_test(test_flags),    cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_too_long), failing_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
