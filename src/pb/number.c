/*
 * Numbers and text. The C library does the hard part, rounding, but its
 * functions use the locale's decimal point. So what it reads has none (digits
 * and an exponent), and what it writes has the point put in by us.
 */
#include "pb/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* -- writing ------------------------------------------------------------- */

size_t pb_print_u64(char *out, uint64_t v) {
  char digits[20];
  size_t n = 0;
  do {
    digits[n++] = (char)('0' + v % 10);
    v /= 10;
  } while (v);
  for (size_t i = 0; i < n; i++) out[i] = digits[n - 1 - i];
  return n;
}

size_t pb_print_i64(char *out, int64_t v) {
  if (v >= 0) return pb_print_u64(out, (uint64_t)v);
  *out = '-';
  return 1 + pb_print_u64(out + 1, 0 - (uint64_t)v);
}

/* Whole numbers of up to 15 digits, which are most of all, are written without
 * the C library. Returns 0 for others. A float has all whole numbers of up to 7
 * digits; beyond that fewer digits may do. */
static size_t print_whole(char *out, double v) {
  if (!(v > -1e15 && v < 1e15) || v != (double)(int64_t)v) return 0;
  if (v != 0 || !signbit(v)) return pb_print_i64(out, (int64_t)v);
  memcpy(out, "-0.0", 4); /* readers take "-0" for an integer, which has no sign */
  return 4;
}

static bool in_number(char c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == 'e';
}

/* Copies what printf wrote; whatever is not of a number is the locale's point,
 * of one or more bytes. */
static size_t copy_number(char *out, const char *text) {
  size_t n = 0;
  for (const char *p = text; *p; p++) {
    if (in_number(*p)) out[n++] = *p;
    else if (p == text || in_number(p[-1])) out[n++] = '.';
  }
  return n;
}

/*
 * %.15g reads back to the same double for most numbers that people write, and
 * %.17g does for all. Below the normal range fewer digits may do, so all
 * lengths are tried there.
 */
size_t pb_print_double(char *out, double v) {
  char text[PB_NUMBER_ROOM];
  size_t whole = print_whole(out, v);
  if (whole) return whole;
  for (int digits = fabs(v) < DBL_MIN ? 1 : DBL_DIG;; digits++) {
    snprintf(text, sizeof(text), "%.*g", digits, v);
    if (digits == DBL_DECIMAL_DIG || strtod(text, NULL) == v) return copy_number(out, text);
  }
}

size_t pb_print_float(char *out, float v) {
  char text[PB_NUMBER_ROOM];
  size_t whole = fabsf(v) < 1e7f ? print_whole(out, (double)v) : 0;
  if (whole) return whole;
  for (int digits = fabsf(v) < FLT_MIN ? 1 : FLT_DIG;; digits++) {
    snprintf(text, sizeof(text), "%.*g", digits, (double)v);
    if (digits == FLT_DECIMAL_DIG || strtof(text, NULL) == v) return copy_number(out, text);
  }
}

/* -- reading ------------------------------------------------------------- */

static size_t scan_digits(caw_str s, size_t at) {
  while (at < s.len && s.data[at] >= '0' && s.data[at] <= '9') at++;
  return at;
}

size_t pb_number_scan(caw_str s) {
  size_t start = s.len && s.data[0] == '-', at = scan_digits(s, start);
  if (at == start || (s.data[start] == '0' && at > start + 1)) return 0;
  if (at < s.len && s.data[at] == '.') {
    start = at + 1;
    at = scan_digits(s, start);
    if (at == start) return 0;
  }
  if (at < s.len && (s.data[at] == 'e' || s.data[at] == 'E')) {
    start = at + 1;
    if (start < s.len && (s.data[start] == '+' || s.data[start] == '-')) start++;
    at = scan_digits(s, start);
    if (at == start) return 0;
  }
  return at;
}

/* No double, and no point half way between two, has more significant digits
 * than 767: of the digits behind that many, only whether one is not zero
 * matters. */
#define DIGITS 780

/* The number is digits * 10^exponent. */
typedef struct decimal {
  bool negative;
  size_t len;
  int64_t exponent;
  char digits[DIGITS + 1];
} decimal;

/* The exponent behind the "e"; far beyond all ranges it stays where it is. */
static int64_t exponent_of(caw_str s, size_t at) {
  int64_t v = 0;
  bool negative = s.data[at] == '-';
  if (negative || s.data[at] == '+') at++;
  for (; at < s.len; at++)
    if (v < INT64_C(1) << 40) v = 10 * v + (s.data[at] - '0');
  return negative ? -v : v;
}

static void decimal_of(decimal *d, caw_str s) {
  bool fraction = false, rest = false;
  size_t i = s.data[0] == '-';
  *d = (decimal){.negative = i};
  for (; i < s.len && s.data[i] != 'e' && s.data[i] != 'E'; i++) {
    char c = s.data[i];
    if (c == '.') {
      fraction = true;
      continue;
    }
    bool kept = d->len < DIGITS && (d->len || c != '0');
    if (kept) d->digits[d->len++] = c;
    else if (d->len && c != '0') rest = true;
    /* A digit that is kept moves the point by one when it is behind it; a digit
     * that is dropped does when it is before it, zeros in front excepted. */
    if (fraction && (kept || !d->len)) d->exponent--;
    if (!fraction && !kept && d->len) d->exponent++;
  }
  if (rest) {
    d->digits[d->len++] = '1';
    d->exponent--;
  }
  if (i < s.len) d->exponent += exponent_of(s, i + 1);
}

/* Digits and nothing else, few enough not to overflow: what most numbers are. */
static bool read_plain(caw_str number, uint64_t *v) {
  *v = 0;
  if (number.len > 19) return false;
  for (size_t i = 0; i < number.len; i++) {
    if (number.data[i] < '0' || number.data[i] > '9') return false;
    *v = 10 * *v + (uint64_t)(number.data[i] - '0');
  }
  return true;
}

pb_integer pb_read_integer(caw_str number, bool *negative, uint64_t *magnitude) {
  decimal d;
  uint64_t v = 0;
  *negative = false;
  if (read_plain(number, magnitude)) return PB_INTEGER_OK;
  decimal_of(&d, number);
  *negative = d.negative;
  *magnitude = 0;
  for (; d.len && d.digits[d.len - 1] == '0'; d.len--) d.exponent++;
  if (!d.len) return PB_INTEGER_OK;
  if (d.exponent < 0) return PB_INTEGER_FRACTION;
  if (d.exponent > 20 || d.len + (size_t)d.exponent > 20) return PB_INTEGER_RANGE;
  for (size_t i = 0; i < d.len + (size_t)d.exponent; i++) {
    unsigned digit = i < d.len ? (unsigned)(d.digits[i] - '0') : 0;
    if (v > (UINT64_MAX - digit) / 10) return PB_INTEGER_RANGE;
    v = 10 * v + digit;
  }
  *magnitude = v;
  return PB_INTEGER_OK;
}

/* The text without a decimal point, for strtod. */
static void text_of(char *out, size_t room, const decimal *d) {
  int64_t e = d->exponent;
  /* With at most DIGITS digits, these are zero and infinite as well. */
  if (e < -10000) e = -10000;
  if (e > 10000) e = 10000;
  snprintf(out, room, "%s%.*se%d", d->negative ? "-" : "", d->len ? (int)d->len : 1,
           d->len ? d->digits : "0", (int)e);
}

bool pb_read_double(caw_str number, double *out) {
  decimal d;
  char text[DIGITS + 20];
  decimal_of(&d, number);
  text_of(text, sizeof(text), &d);
  *out = strtod(text, NULL);
  return isfinite(*out);
}

bool pb_read_float(caw_str number, float *out) {
  decimal d;
  char text[DIGITS + 20];
  decimal_of(&d, number);
  text_of(text, sizeof(text), &d);
  *out = strtof(text, NULL);
  return isfinite(*out);
}
