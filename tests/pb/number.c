/* Numbers as text: few digits, exact, and the same in every locale. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "messages.h"
#include "pb/number.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *text_of(double v) {
  static char text[PB_NUMBER_ROOM + 1];
  text[pb_print_double(text, v)] = '\0';
  return text;
}

static const char *text_of_float(float v) {
  static char text[PB_NUMBER_ROOM + 1];
  text[pb_print_float(text, v)] = '\0';
  return text;
}

static void test_doubles(void **state) {
  static const struct {
    double v;
    const char *text;
  } cases[] = {
      {0, "0"},
      {-0.0, "-0.0"},
      {1, "1"},
      {-1, "-1"},
      {0.1, "0.1"},
      {0.3, "0.3"},
      {0.1 + 0.2, "0.30000000000000004"},
      {1.0 / 3, "0.3333333333333333"},
      {123456789012345, "123456789012345"},
      {999999999999999, "999999999999999"},
      {1e15, "1e+15"},
      {9007199254740992, "9007199254740992"},
      {1e21, "1e+21"},
      {1e22, "1e+22"},
      {1e23, "1e+23"},
      {5e-324, "5e-324"},
      {1.5e-323, "1.5e-323"},
      {2.2250738585072014e-308, "2.2250738585072014e-308"},
      {DBL_MAX, "1.7976931348623157e+308"},
      {-DBL_MAX, "-1.7976931348623157e+308"},
      {0.0001, "0.0001"},
      {0.00001, "1e-05"},
      {4294967296.5, "4294967296.5"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    assert_string_equal(text_of(cases[i].v), cases[i].text);
}

static void test_floats(void **state) {
  static const struct {
    float v;
    const char *text;
  } cases[] = {
      {0, "0"},
      {-0.0f, "-0.0"},
      {0.1f, "0.1"},
      {1.0f / 3, "0.33333334"},
      {9999999, "9999999"},
      {16777216, "16777216"},
      {16777218, "16777218"},
      {1e10f, "1e+10"},
      {FLT_MAX, "3.4028235e+38"},
      {FLT_MIN, "1.1754944e-38"},
      {1e-45f, "1e-45"},
      {-2.5e30f, "-2.5e+30"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    assert_string_equal(text_of_float(cases[i].v), cases[i].text);
}

/* Random bits come back the same, through our functions and through strtod. */
static void check_round_trips(int count) {
  rng r = {11};
  for (int i = 0; i < count; i++) {
    uint64_t bits = rng_next(&r);
    uint32_t low = (uint32_t)bits;
    double d, d_back;
    float f, f_back;
    memcpy(&d, &bits, 8);
    memcpy(&f, &low, 4);
    if (i % 3 == 0) d = (double)(int64_t)bits;
    if (isfinite(d)) {
      const char *text = text_of(d);
      assert_int_equal(pb_number_scan(caw_str_from(text)), strlen(text));
      assert_true(pb_read_double(caw_str_from(text), &d_back));
      if (memcmp(&d, &d_back, 8) != 0) fail_msg("%s: %a came back as %a", text, d, d_back);
    }
    if (isfinite(f)) {
      const char *text = text_of_float(f);
      assert_int_equal(pb_number_scan(caw_str_from(text)), strlen(text));
      assert_true(pb_read_float(caw_str_from(text), &f_back));
      if (memcmp(&f, &f_back, 4) != 0)
        fail_msg("%s: %a came back as %a", text, (double)f, (double)f_back);
    }
  }
}

static void test_round_trips(void **state) {
  (void)state;
  check_round_trips(200000);
}

/* Makes a locale with a comma for a point, in a folder of its own, and uses it.
 * False when the machine has no localedef or no sources for it. */
static bool use_comma(char *folder) {
  char name[100], command[300];
  if (!mkdtemp(folder)) return false;
  snprintf(name, sizeof(name), "%s/source", folder);
  FILE *f = fopen(name, "w");
  if (!f) return false;
  fputs("LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \".\"\ngrouping 3;3\nEND LC_NUMERIC\n", f);
  fclose(f);
  /* It warns of the categories that are missing, and then returns 1. */
  snprintf(command, sizeof(command), "localedef -c -i %s %s/xx_XX >%s/log 2>&1", name, folder,
           folder);
  if (system(command) < 0) return false;
  setenv("LOCPATH", folder, 1);
  return setlocale(LC_NUMERIC, "xx_XX") != NULL;
}

static void test_locale(void **state) {
  (void)state;
  char folder[] = "/tmp/caw-locale-XXXXXX", text[PB_NUMBER_ROOM], command[100];
  bool made = use_comma(folder);
  if (made) {
    snprintf(text, sizeof(text), "%g", 1.5);
    assert_string_equal(text, "1,5");
    assert_string_equal(text_of(1.5), "1.5");
    assert_string_equal(text_of(-1.25e-300), "-1.25e-300");
    assert_string_equal(text_of(1234567.5), "1234567.5");
    assert_string_equal(text_of_float(0.1f), "0.1");
    check_round_trips(20000);
  }
  setlocale(LC_ALL, "C");
  snprintf(command, sizeof(command), "rm -rf %s", folder);
  assert_int_equal(system(command), 0);
  if (!made) skip();
}

/* Halfway between two doubles, decided by a digit far behind. */
static void test_exact(void **state) {
  (void)state;
  char text[2000];
  double d;
  /* 1 + 2^-53, whose nearest are 1 and 1 + 2^-52. */
  const char *half = "1.00000000000000011102230246251565404236316680908203125";
  assert_true(pb_read_double(caw_str_from(half), &d));
  assert_true(d == 1.0);
  snprintf(text, sizeof(text), "%s%01500d", half, 1);
  assert_true(pb_read_double(caw_str_from(text), &d));
  assert_true(d == 1.0 + DBL_EPSILON);
  snprintf(text, sizeof(text), "%s%01500d", half, 0);
  assert_true(pb_read_double(caw_str_from(text), &d));
  assert_true(d == 1.0);
  /* Many digits before the point, and zeros. */
  snprintf(text, sizeof(text), "1%01000de-1000", 0);
  assert_true(pb_read_double(caw_str_from(text), &d));
  assert_true(d == 1.0);
  snprintf(text, sizeof(text), "0.%01000d1e1001", 0);
  assert_true(pb_read_double(caw_str_from(text), &d));
  assert_true(d == 1.0);
  snprintf(text, sizeof(text), "-0.%01000d", 0);
  assert_true(pb_read_double(caw_str_from(text), &d));
  assert_true(d == 0 && signbit(d));
  assert_false(pb_read_double(caw_str_from("1e309"), &d));
  assert_false(pb_read_double(caw_str_from("1e99999999999999999999999"), &d));
  assert_true(pb_read_double(caw_str_from("1e-99999999999999999999999"), &d));
  assert_true(d == 0);
}

static void test_integers(void **state) {
  static const struct {
    const char *text;
    pb_integer rc;
    bool negative;
    uint64_t v;
  } cases[] = {
      {"0", PB_INTEGER_OK, false, 0},
      {"-0", PB_INTEGER_OK, true, 0},
      {"18446744073709551615", PB_INTEGER_OK, false, UINT64_MAX},
      {"18446744073709551616", PB_INTEGER_RANGE, false, 0},
      {"-18446744073709551615", PB_INTEGER_OK, true, UINT64_MAX},
      {"99999999999999999999", PB_INTEGER_RANGE, false, 0},
      {"100000000000000000000", PB_INTEGER_RANGE, false, 0},
      {"1e19", PB_INTEGER_OK, false, UINT64_C(10000000000000000000)},
      {"1E+19", PB_INTEGER_OK, false, UINT64_C(10000000000000000000)},
      {"2e19", PB_INTEGER_RANGE, false, 0},
      {"1.50e1", PB_INTEGER_OK, false, 15},
      {"1.5", PB_INTEGER_FRACTION, false, 0},
      {"0.00", PB_INTEGER_OK, false, 0},
      {"150e-1", PB_INTEGER_OK, false, 15},
      {"155e-1", PB_INTEGER_FRACTION, false, 0},
      {"0.0000000000000000000000000001e28", PB_INTEGER_OK, false, 1},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    bool negative;
    uint64_t v;
    pb_integer rc = pb_read_integer(caw_str_from(cases[i].text), &negative, &v);
    if (rc != cases[i].rc || (!rc && (negative != cases[i].negative || v != cases[i].v)))
      fail_msg("%s: %d %d %llu", cases[i].text, rc, negative, (unsigned long long)v);
  }
  char text[PB_NUMBER_ROOM];
  assert_int_equal(pb_print_i64(text, INT64_MIN), 20);
  assert_memory_equal(text, "-9223372036854775808", 20);
  assert_int_equal(pb_print_u64(text, UINT64_MAX), 20);
  assert_memory_equal(text, "18446744073709551615", 20);
}

static void test_scan(void **state) {
  static const struct {
    const char *text;
    size_t len;
  } cases[] = {{"", 0},      {"-", 0},   {"0", 1},     {"00", 0},      {"01", 0},
               {"-0", 2},    {"10x", 2}, {"1.", 0},    {"1.0", 3},     {".1", 0},
               {"1e", 0},    {"1e+", 0}, {"1e+5", 4},  {"1E-05", 5},   {"+1", 0},
               {"1.5.2", 3}, {"--1", 0}, {"1e5e5", 3}, {"Infinity", 0}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    size_t len = pb_number_scan(caw_str_from(cases[i].text));
    if (len != cases[i].len) fail_msg("%s: %zu, wanted %zu", cases[i].text, len, cases[i].len);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_doubles),     cmocka_unit_test(test_floats),
      cmocka_unit_test(test_round_trips), cmocka_unit_test(test_locale),
      cmocka_unit_test(test_exact),       cmocka_unit_test(test_integers),
      cmocka_unit_test(test_scan),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
