/* Timestamps and durations as text. The calendar is Gregorian throughout, days
 * have 86,400 seconds: leap seconds do not exist here. */
#include "pb/time.h"

#include "pb/number.h"

#define DAY          86400
#define FIRST_SECOND INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define LAST_SECOND  INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define LONGEST      INT64_C(315576000000) /* seconds of a Duration: 10,000 years */
#define NANOS        1000000000

static bool is_leap(int64_t year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_of(int64_t year, int month) {
  static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 0001-01-01 to the first of January of the year. */
static int64_t days_before(int64_t year) {
  int64_t y = year - 1;
  return 365 * y + y / 4 - y / 100 + y / 400;
}

static char *put(char *out, int64_t v, int width) {
  for (int i = width; i-- > 0; v /= 10) out[i] = (char)('0' + v % 10);
  return out + width;
}

/* Nothing, or a point and 3, 6 or 9 digits. */
static char *put_nanos(char *out, int32_t nanos) {
  if (!nanos) return out;
  *out++ = '.';
  if (nanos % 1000000 == 0) return put(out, nanos / 1000000, 3);
  if (nanos % 1000 == 0) return put(out, nanos / 1000, 6);
  return put(out, nanos, 9);
}

size_t pb_timestamp_print(char *out, pb_time t) {
  if (t.seconds < FIRST_SECOND || t.seconds > LAST_SECOND || t.nanos < 0 || t.nanos >= NANOS)
    return 0;
  int64_t second = t.seconds - FIRST_SECOND, day = second / DAY;
  second %= DAY;
  /* By the average of 400 years: never too late, and early by at most one. */
  int64_t year = day * 400 / days_before(401) + 1;
  while (days_before(year + 1) <= day) year++;
  day -= days_before(year);
  int month = 1;
  for (; day >= days_of(year, month); month++) day -= days_of(year, month);
  char *p = put(out, year, 4);
  *p++ = '-';
  p = put(p, month, 2);
  *p++ = '-';
  p = put(p, day + 1, 2);
  *p++ = 'T';
  p = put(p, second / 3600, 2);
  *p++ = ':';
  p = put(p, second / 60 % 60, 2);
  *p++ = ':';
  p = put_nanos(put(p, second % 60, 2), t.nanos);
  *p++ = 'Z';
  return (size_t)(p - out);
}

size_t pb_duration_print(char *out, pb_time t) {
  if (t.seconds < -LONGEST || t.seconds > LONGEST || t.nanos <= -NANOS || t.nanos >= NANOS)
    return 0;
  if ((t.seconds < 0 && t.nanos > 0) || (t.seconds > 0 && t.nanos < 0)) return 0;
  bool negative = t.seconds < 0 || t.nanos < 0;
  char *p = out;
  if (negative) *p++ = '-';
  p += pb_print_u64(p, (uint64_t)(negative ? -t.seconds : t.seconds));
  p = put_nanos(p, negative ? -t.nanos : t.nanos);
  *p++ = 's';
  return (size_t)(p - out);
}

/* -- reading ------------------------------------------------------------- */

/* A text that is being read; `bad` once something was not as expected. */
typedef struct cursor {
  const char *p, *end;
  bool bad;
} cursor;

static bool is_digit(const cursor *c) {
  return c->p < c->end && *c->p >= '0' && *c->p <= '9';
}

static bool take(cursor *c, char wanted) {
  if (c->p == c->end || *c->p != wanted) return false;
  c->p++;
  return true;
}

static void expect(cursor *c, char wanted) {
  if (!take(c, wanted)) c->bad = true;
}

/* Exactly `width` digits of a number from `low` to `high`. */
static int take_number(cursor *c, int width, int low, int high) {
  int v = 0;
  for (int i = 0; i < width; i++) {
    if (!is_digit(c)) {
      c->bad = true;
      return low;
    }
    v = 10 * v + (*c->p++ - '0');
  }
  if (v < low || v > high) c->bad = true;
  return c->bad ? low : v;
}

/* Nothing, or a point and 1 to 9 digits. */
static int32_t take_nanos(cursor *c) {
  int32_t v = 0, unit = NANOS;
  if (!take(c, '.')) return 0;
  if (!is_digit(c)) c->bad = true;
  for (; is_digit(c) && unit > 1; c->p++) {
    unit /= 10;
    v += unit * (*c->p - '0');
  }
  return v;
}

/* "Z", or the hours and minutes that the local time is ahead. */
static int64_t take_offset(cursor *c) {
  if (take(c, 'Z')) return 0;
  bool negative = c->p < c->end && *c->p == '-';
  if (!negative) expect(c, '+');
  else c->p++;
  int64_t offset = 3600 * (int64_t)take_number(c, 2, 0, 23);
  expect(c, ':');
  offset += 60 * take_number(c, 2, 0, 59);
  return negative ? -offset : offset;
}

bool pb_timestamp_read(caw_str text, pb_time *t) {
  cursor c = {text.data, text.data + text.len, false};
  int year = take_number(&c, 4, 1, 9999);
  expect(&c, '-');
  int month = take_number(&c, 2, 1, 12);
  expect(&c, '-');
  int64_t day = days_before(year) + take_number(&c, 2, 1, days_of(year, month)) - 1;
  for (int m = 1; m < month; m++) day += days_of(year, m);
  expect(&c, 'T');
  int64_t second = 3600 * (int64_t)take_number(&c, 2, 0, 23);
  expect(&c, ':');
  second += 60 * take_number(&c, 2, 0, 59);
  expect(&c, ':');
  second += take_number(&c, 2, 0, 59);
  t->nanos = take_nanos(&c);
  t->seconds = FIRST_SECOND + DAY * day + second - take_offset(&c);
  return !c.bad && c.p == c.end && t->seconds >= FIRST_SECOND && t->seconds <= LAST_SECOND;
}

bool pb_duration_read(caw_str text, pb_time *t) {
  cursor c = {text.data, text.data + text.len, false};
  bool negative = take(&c, '-');
  if (!is_digit(&c)) return false;
  t->seconds = 0;
  for (; is_digit(&c) && t->seconds <= LONGEST; c.p++) t->seconds = 10 * t->seconds + (*c.p - '0');
  t->nanos = take_nanos(&c);
  expect(&c, 's');
  if (t->seconds > LONGEST) c.bad = true;
  if (negative) {
    t->seconds = -t->seconds;
    t->nanos = -t->nanos;
  }
  return !c.bad && c.p == c.end;
}
