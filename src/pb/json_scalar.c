/* JSON's numbers, strings and words as values of fields. */
#include "base/base64.h"
#include "pb/json.h"
#include "pb/number.h"

#include <caw/status.h>
#include <math.h>

/* A number, also one that is written as a string. */
static bool take_number(json_reader *r, caw_str *number) {
  char c = json_peek(r);
  const char *at = r->p;
  if (c == '-' || (c >= '0' && c <= '9')) return json_number(r, number);
  if (c != '"') return json_expected(r, "a number");
  if (!json_string(r, number)) return false;
  if (number->len && pb_number_scan(*number) == number->len) return true;
  return json_fail(r, CAW_EJSON, at, "expected a number, found a string that is none");
}

/* Stores a whole number of the type, `at_text` being where it stands. */
static bool store_integer(json_reader *r, unsigned type, uint8_t *at, caw_str number,
                          const char *at_text) {
  bool negative, is_signed = true;
  uint64_t v, most = (uint64_t)INT64_MAX;
  pb_integer rc = pb_read_integer(number, &negative, &v);
  if (rc == PB_INTEGER_FRACTION) return json_fail(r, CAW_EJSON, at_text, "expected a whole number");
  if (pb_scalar_size(type) == 4) most = (uint64_t)INT32_MAX;
  if (type == CAW_PB_UINT32 || type == CAW_PB_FIXED32 || type == CAW_PB_UINT64 ||
      type == CAW_PB_FIXED64) {
    most = 2 * most + 1;
    is_signed = false;
  }
  if (negative && v) most = is_signed ? most + 1 : 0;
  if (rc == PB_INTEGER_RANGE || v > most)
    return json_fail(r, CAW_EJSON, at_text, "number out of the range of %s%s",
                     is_signed ? "int" : "uint", pb_scalar_size(type) == 4 ? "32" : "64");
  if (negative) v = 0 - v;
  uint32_t low = (uint32_t)v;
  if (pb_scalar_size(type) == 4) memcpy(at, &low, 4);
  else memcpy(at, &v, 8);
  return true;
}

static bool read_integer(json_reader *r, unsigned type, uint8_t *at) {
  caw_str number;
  json_peek(r);
  const char *start = r->p;
  return take_number(r, &number) && store_integer(r, type, at, number, start);
}

/* The three values that JSON has no numbers for. */
static bool special_double(caw_str s, double *v) {
  if (caw_str_is(s, "NaN")) *v = (double)NAN;
  else if (caw_str_is(s, "Infinity")) *v = (double)INFINITY;
  else if (caw_str_is(s, "-Infinity")) *v = (double)-INFINITY;
  else return false;
  return true;
}

static bool read_floating(json_reader *r, unsigned type, uint8_t *at) {
  caw_str number;
  double d = 0;
  float f = 0;
  bool special = false, fits = true;
  char c = json_peek(r);
  const char *start = r->p;
  if (c == '"') {
    caw_str s;
    if (!json_string(r, &s)) return false;
    special = special_double(s, &d);
    f = (float)d;
    if (!special) r->p = start;
  }
  if (!special) {
    if (!take_number(r, &number)) return false;
    fits = type == CAW_PB_DOUBLE ? pb_read_double(number, &d) : pb_read_float(number, &f);
  }
  if (!fits)
    return json_fail(r, CAW_EJSON, start, "number out of the range of %s",
                     type == CAW_PB_DOUBLE ? "double" : "float");
  if (type == CAW_PB_DOUBLE) memcpy(at, &d, sizeof(d));
  else memcpy(at, &f, sizeof(f));
  return true;
}

static bool read_bool(json_reader *r, uint8_t *at) {
  char c = json_peek(r);
  if (c != 't' && c != 'f') return json_expected(r, "true or false");
  *at = c == 't';
  return json_word(r, c == 't' ? "true" : "false");
}

static bool unknown_enum(json_reader *r, const char *at, const caw_pb_enum *e, caw_str what) {
  char quoted[JSON_QUOTED];
  return json_fail(r, CAW_EJSON, at, "no value %s in the enum %s", json_quoted(quoted, what),
                   e->name);
}

/* A name or a number; NullValue is also null. A name that is unknown may be
 * ignored, and so may a number that a closed enum lacks. */
static bool read_enum(json_reader *r, const caw_pb_field *f, uint8_t *at) {
  const caw_pb_enum *e = f->sub;
  caw_str text;
  int32_t v = 0;
  char c = json_peek(r);
  const char *start = r->p;
  bool known = true;
  if (c == 'n' && pb_is_null_value(f)) {
    if (!json_word(r, "null")) return false;
  } else if (c == '"') {
    if (!json_string(r, &text)) return false;
    known = caw_pb_enum_number(&v, e, text);
  } else if (c == '-' || (c >= '0' && c <= '9')) {
    uint8_t bytes[4];
    if (!json_number(r, &text) || !store_integer(r, CAW_PB_INT32, bytes, text, start)) return false;
    memcpy(&v, bytes, 4);
    known = !(f->flags & CAW_PB_CLOSED) || caw_pb_enum_name(e, v);
  } else {
    return json_expected(r, "the name of an enum's value");
  }
  if (!known && !r->ignore_unknown) return unknown_enum(r, start, e, text);
  r->skipped = !known;
  if (known) memcpy(at, &v, 4);
  return true;
}

/* Also of the URL alphabet, and with bits that are left over at the end, which
 * are dropped as other implementations do. */
static bool read_bytes(json_reader *r, uint8_t *at) {
  caw_str text, bytes;
  json_peek(r);
  const char *start = r->p;
  if (!json_string(r, &text)) return false;
  size_t len = base64_decoded_len(text);
  if (len == SIZE_MAX) return json_fail(r, CAW_EJSON, start, "base64 of an impossible length");
  uint8_t *to = json_take(r, len);
  if (!to) return false;
  if (!base64_decode(to, text, BASE64_URL | BASE64_BITS))
    return json_fail(r, CAW_EJSON, start, "not base64");
  bytes = caw_str_of((const char *)to, len);
  memcpy(at, &bytes, sizeof(bytes));
  return true;
}

/* -- all of them --------------------------------------------------------- */

bool json_read_scalar(json_reader *r, const caw_pb_field *f, uint8_t *at) {
  caw_str s;
  r->skipped = false;
  switch (f->type) {
  case CAW_PB_DOUBLE:
  case CAW_PB_FLOAT:
    return read_floating(r, f->type, at);
  case CAW_PB_BOOL:
    return read_bool(r, at);
  case CAW_PB_STRING:
    if (!json_string(r, &s)) return false;
    memcpy(at, &s, sizeof(s));
    return true;
  case CAW_PB_BYTES:
    return read_bytes(r, at);
  case CAW_PB_ENUM:
    return read_enum(r, f, at);
  default:
    return read_integer(r, f->type, at);
  }
}

bool json_read_key(json_reader *r, const caw_pb_field *f, uint8_t *at, caw_str name,
                   const char *name_at) {
  if (f->type == CAW_PB_STRING) {
    memcpy(at, &name, sizeof(name));
    return true;
  }
  if (f->type == CAW_PB_BOOL) {
    *at = caw_str_is(name, "true");
    return *at || caw_str_is(name, "false") ||
           json_fail(r, CAW_EJSON, name_at, "expected the key \"true\" or \"false\"");
  }
  if (!name.len || pb_number_scan(name) != name.len)
    return json_fail(r, CAW_EJSON, name_at, "expected a number as the key");
  return store_integer(r, f->type, at, name, name_at);
}
