/*
 * Reading the messages of google.protobuf that have a JSON form of their own
 * (the comments in any.proto, timestamp.proto, duration.proto,
 * field_mask.proto, struct.proto and wrappers.proto).
 */
#include "pb/json.h"
#include "pb/time.h"

#include <caw/status.h>

/* -- Timestamp, Duration ------------------------------------------------- */

static bool read_time(json_reader *r, pb_wkt kind, const caw_pb_message *t, uint8_t *m) {
  caw_str text;
  pb_time v;
  json_peek(r);
  const char *start = r->p;
  if (!json_string(r, &text)) return false;
  if (kind == PB_WKT_TIMESTAMP) {
    if (!pb_timestamp_read(text, &v))
      return json_fail(r, CAW_EJSON, start,
                       "expected a time from year 1 to 9999 like \"2000-01-31T23:59:59.5Z\"");
  } else if (!pb_duration_read(text, &v)) {
    return json_fail(r, CAW_EJSON, start,
                     "expected a duration of at most 315,576,000,000 seconds like \"1.5s\"");
  }
  memcpy(m + t->fields[0].offset, &v.seconds, sizeof(v.seconds));
  memcpy(m + t->fields[1].offset, &v.nanos, sizeof(v.nanos));
  return true;
}

/* -- FieldMask ----------------------------------------------------------- */

/* lowerCamelCase to snake_case: at most twice as long. */
static bool read_path(json_reader *r, caw_str path, const char *start, caw_str *out) {
  size_t capitals = 0, n = 0;
  for (size_t i = 0; i < path.len; i++) {
    if (path.data[i] == '_')
      return json_fail(r, CAW_EJSON, start, "a path of a FieldMask is in lowerCamelCase");
    capitals += path.data[i] >= 'A' && path.data[i] <= 'Z';
  }
  if (!path.len) return json_fail(r, CAW_EJSON, start, "an empty path in a FieldMask");
  *out = path;
  if (!capitals) return true;
  char *to = json_take(r, path.len + capitals);
  if (!to) return false;
  for (size_t i = 0; i < path.len; i++) {
    char c = path.data[i];
    bool capital = c >= 'A' && c <= 'Z';
    if (capital) to[n++] = '_';
    to[n++] = capital ? (char)(c | 0x20) : c;
  }
  *out = caw_str_of(to, n);
  return true;
}

static bool read_mask(json_reader *r, const caw_pb_message *t, uint8_t *m) {
  caw_str text;
  size_t count = 1;
  json_peek(r);
  const char *start = r->p;
  if (!json_string(r, &text)) return false;
  if (!text.len) return true;
  for (size_t i = 0; i < text.len; i++) count += text.data[i] == ',';
  caw_str *paths = json_take_array(r, count, sizeof(*paths));
  if (!paths) return false;
  for (size_t i = 0; i < count; i++) {
    const char *comma = memchr(text.data, ',', text.len);
    size_t len = comma ? (size_t)(comma - text.data) : text.len;
    if (!read_path(r, caw_str_of(text.data, len), start, &paths[i])) return false;
    if (comma) text = caw_str_of(comma + 1, text.len - len - 1);
  }
  pb_array a = {paths, count};
  memcpy(m + t->fields[0].offset, &a, sizeof(a));
  return true;
}

/* -- Value --------------------------------------------------------------- */

static bool read_value(json_reader *r, const caw_pb_message *t, uint8_t *m, int depth) {
  const caw_pb_field *f;
  switch (json_peek(r)) {
  case 'n':
    f = &t->fields[PB_VALUE_NULL];
    break;
  case '"':
    f = &t->fields[PB_VALUE_STRING];
    break;
  case 't':
  case 'f':
    f = &t->fields[PB_VALUE_BOOL];
    break;
  case '{':
    f = &t->fields[PB_VALUE_STRUCT];
    break;
  case '[':
    f = &t->fields[PB_VALUE_LIST];
    break;
  case '-':
  case '0':
  case '1':
  case '2':
  case '3':
  case '4':
  case '5':
  case '6':
  case '7':
  case '8':
  case '9':
    f = &t->fields[PB_VALUE_NUMBER];
    break;
  default:
    return json_expected(r, "a value");
  }
  uint32_t number = f->tag >> 3;
  memcpy(m + f->has, &number, sizeof(number));
  if (pb_is_message(f->type)) return json_read_sub(r, f, m, depth);
  if (f->type == CAW_PB_ENUM) return json_word(r, "null");
  return json_read_scalar(r, f, m + f->offset);
}

/* -- Any ----------------------------------------------------------------- */

/* Looks for "@type" in the object that begins here, and goes back. *url stays
 * empty when there is none, *alone tells that there is nothing at all. It costs
 * nothing where "@type" comes first, as every writer puts it, and no memory but
 * the URL's elsewhere. */
static bool find_type(json_reader *r, caw_str *url, const char **url_at, bool *alone) {
  const char *start = r->p;
  size_t count = 0;
  bool same;
  *url = caw_str_of("", 0);
  *url_at = start;
  *alone = true;
  if (!json_object(r, "an object")) return false;
  while (json_pass_member(r, &count, "@type", &same)) {
    *alone = false;
    if (same) {
      json_peek(r);
      *url_at = r->p;
      if (!json_string(r, url)) return false;
      r->p = start;
      return true;
    }
    if (!json_skip(r, CAW_PB_DEPTH)) return false;
  }
  if (!*alone) r->p = start;
  return !r->err;
}

/* The type that the URL names, or an error. */
static const caw_type *type_of_url(json_reader *r, caw_str url, const char *url_at) {
  char quoted[JSON_QUOTED];
  const caw_type *type = pb_any_type(r->types, url);
  if (type) return type;
  if (!url.len) json_fail(r, CAW_EJSON, url_at, "an Any without \"@type\"");
  else json_fail(r, CAW_EJSON, url_at, "no type for %s", json_quoted(quoted, url));
  return NULL;
}

/* The members of an Any whose type has a form of its own: "@type" and "value". */
static bool read_wrapped(json_reader *r, const caw_pb_message *t, uint8_t *m, int depth) {
  size_t count = 0;
  bool found = false, typed = false;
  caw_str name;
  const char *at, *start = r->p;
  char quoted[JSON_QUOTED];
  json_step step = {r->at, JSON_FIELD, CAW_STR("value"), 0};
  json_object(r, "an object");
  while (json_member(r, &count, &name, &at)) {
    if (json_is_type(r, name, at, &typed)) continue;
    if (caw_str_is(name, "value")) {
      if (found) return json_fail(r, CAW_EJSON, at, "the field comes twice");
      found = true;
      r->at = &step;
      json_read_message(r, t, m, depth);
      r->at = step.up;
    } else if (r->ignore_unknown) {
      json_skip(r, CAW_PB_DEPTH);
    } else {
      json_fail(r, CAW_EJSON, at, "no field %s beside \"@type\" and \"value\"",
                json_quoted(quoted, name));
    }
  }
  return r->err || found || json_fail(r, CAW_EJSON, start, "an Any without \"value\"");
}

/* What the Any holds, as bytes from the arena. */
static bool pack(json_reader *r, const caw_pb_message *t, const void *m, const char *start,
                 caw_str *out) {
  size_t len = 0;
  int rc = pb_measure(t, m, &len);
  uint8_t *bytes = rc ? NULL : json_take(r, len);
  if (bytes) rc = pb_encode(t, m, bytes, len);
  if (rc) json_fail(r, rc, start, "%s", caw_strerror(rc));
  *out = caw_str_of((const char *)bytes, len);
  return !r->err;
}

static bool read_any(json_reader *r, const caw_pb_message *t, uint8_t *m, int depth) {
  caw_str url, bytes;
  const char *url_at;
  bool alone, ok;
  json_peek(r);
  const char *start = r->p;
  if (!find_type(r, &url, &url_at, &alone)) return false;
  if (alone) return true;
  const caw_type *type = type_of_url(r, url, url_at);
  if (!type) return false;
  if (!depth) return json_fail(r, CAW_EDEPTH, start, "nested too deeply");
  const caw_pb_message *inner = caw_pb_table(type);
  void *sub = json_take_zeroed(r, inner->size);
  if (!sub) return false;
  /* A google.protobuf.Empty has no form of its own, but some write "value". */
  if (pb_wkt_of(inner) != PB_WKT_NONE) ok = read_wrapped(r, inner, sub, depth - 1);
  else ok = json_read_fields(r, inner, sub, depth - 1, true);
  if (!ok || !pack(r, inner, sub, start, &bytes)) return false;
  memcpy(m + t->fields[0].offset, &url, sizeof(url));
  memcpy(m + t->fields[1].offset, &bytes, sizeof(bytes));
  return true;
}

/* -- all of them --------------------------------------------------------- */

bool json_read_wkt(json_reader *r, pb_wkt kind, const caw_pb_message *t, uint8_t *m, int depth) {
  switch (kind) {
  case PB_WKT_ANY:
    return read_any(r, t, m, depth);
  case PB_WKT_TIMESTAMP:
  case PB_WKT_DURATION:
    return read_time(r, kind, t, m);
  case PB_WKT_MASK:
    return read_mask(r, t, m);
  case PB_WKT_VALUE:
    return read_value(r, t, m, depth);
  case PB_WKT_WRAPPER:
    return json_read_scalar(r, &t->fields[0], m + t->fields[0].offset);
  case PB_WKT_STRUCT:
  case PB_WKT_LIST:
    return json_read_repeated(r, &t->fields[0], m, depth);
  case PB_WKT_NONE:
    break;
  }
  return json_read_fields(r, t, m, depth, false);
}
