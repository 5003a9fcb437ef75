/*
 * Messages to JSON, into a buffer that doubles. Recursive to at most
 * CAW_PB_DEPTH, counted as encoding counts it.
 */
#include "base/base64.h"
#include "pb/json.h"
#include "pb/number.h"

#include <caw/status.h>
#include <math.h>

/* -- text ---------------------------------------------------------------- */

void json_write_fail(json_writer *w, int err, const char *format, ...) {
  if (w->err) return;
  w->err = err;
  if (!w->error) return;
  va_list args;
  va_start(args, format);
  w->error->offset = w->error->line = w->error->column = 0;
  json_error_fill(w->error, w->at, format, args);
  va_end(args);
}

/* May the text grow by `len` bytes? The error is set where it may not. */
static bool may_grow(json_writer *w, size_t len) {
  if (!w->o.max || len <= w->o.max - w->out.len) return true;
  json_write_fail(w, CAW_ETOOBIG, "the text is longer than the %zu bytes that are allowed",
                  w->o.max);
  return false;
}

void json_put(json_writer *w, const char *text, size_t len) {
  if (!may_grow(w, len)) return;
  /* Most pieces are short and fit. */
  if (len <= w->out.room - w->out.len) {
    if (len) memcpy(w->out.data + w->out.len, text, len);
    w->out.len += len;
    return;
  }
  if (buf_append(&w->out, text, len)) json_write_fail(w, CAW_ENOMEM, "out of memory");
}

static void put_char(json_writer *w, char c) {
  json_put(w, &c, 1);
}

static void put_text(json_writer *w, const char *text) {
  json_put(w, text, strlen(text));
}

/* RFC 8259, section 7: quotes, backslashes and control characters. */
static void put_escape(json_writer *w, uint8_t c) {
  static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt", hex[] = "0123456789abcdef";
  const char *known = memchr(from, c, sizeof(from) - 1);
  if (known) {
    char text[2] = {'\\', to[known - from]};
    json_put(w, text, 2);
  } else {
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    json_put(w, text, 6);
  }
}

static bool is_plain(uint8_t c) {
  return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

void json_put_char(json_writer *w, char c) {
  if (is_plain((uint8_t)c)) put_char(w, c);
  else put_escape(w, (uint8_t)c);
}

void json_put_string(json_writer *w, caw_str s) {
  size_t done = 0;
  if (!pb_utf8_valid((const uint8_t *)s.data, s.len)) {
    json_write_fail(w, CAW_EUTF8, "a string that is not UTF-8");
    return;
  }
  put_char(w, '"');
  for (size_t i = 0; i < s.len; i++) {
    if (is_plain((uint8_t)s.data[i])) continue;
    json_put(w, s.data + done, i - done);
    put_escape(w, (uint8_t)s.data[i]);
    done = i + 1;
  }
  if (s.len > done) json_put(w, s.data + done, s.len - done);
  put_char(w, '"');
}

static void new_line(json_writer *w) {
  static const char spaces[] = "                                ";
  put_char(w, '\n');
  for (size_t left = (size_t)w->level * w->o.indent; left;) {
    size_t n = left < sizeof(spaces) - 1 ? left : sizeof(spaces) - 1;
    json_put(w, spaces, n);
    left -= n;
  }
}

void json_open(json_writer *w, char bracket) {
  put_char(w, bracket);
  w->level++;
}

void json_next(json_writer *w, size_t *count) {
  if ((*count)++) put_char(w, ',');
  if (w->o.indent) new_line(w);
}

void json_name(json_writer *w, caw_str name) {
  json_put_string(w, name);
  json_put(w, ": ", w->o.indent ? 2 : 1);
}

void json_close(json_writer *w, char bracket, size_t count) {
  w->level--;
  if (count && w->o.indent) new_line(w);
  put_char(w, bracket);
}

/* -- single values ------------------------------------------------------- */

/* Numbers of 64 bits go between quotes: JavaScript has none. */
static void write_integer(json_writer *w, const caw_pb_field *f, const uint8_t *at, bool key) {
  char text[PB_NUMBER_ROOM + 2];
  size_t n = 0;
  bool quotes = key || pb_scalar_size(f->type) == 8;
  if (quotes) text[n++] = '"';
  switch (f->type) {
  case CAW_PB_INT64:
  case CAW_PB_SINT64:
  case CAW_PB_SFIXED64:
    n += pb_print_i64(text + n, (int64_t)pb_load64(at));
    break;
  case CAW_PB_UINT64:
  case CAW_PB_FIXED64:
    n += pb_print_u64(text + n, pb_load64(at));
    break;
  case CAW_PB_UINT32:
  case CAW_PB_FIXED32:
    n += pb_print_u64(text + n, pb_load32(at));
    break;
  default:
    n += pb_print_i64(text + n, (int32_t)pb_load32(at));
    break;
  }
  if (quotes) text[n++] = '"';
  json_put(w, text, n);
}

static void write_floating(json_writer *w, const caw_pb_field *f, const uint8_t *at) {
  char text[PB_NUMBER_ROOM];
  double d;
  float single = 0;
  if (f->type == CAW_PB_DOUBLE) {
    memcpy(&d, at, sizeof(d));
  } else {
    memcpy(&single, at, sizeof(single));
    d = (double)single;
  }
  if (isnan(d)) put_text(w, "\"NaN\"");
  else if (isinf(d)) put_text(w, d < 0 ? "\"-Infinity\"" : "\"Infinity\"");
  else if (f->type == CAW_PB_DOUBLE) json_put(w, text, pb_print_double(text, d));
  else json_put(w, text, pb_print_float(text, single));
}

static void write_enum(json_writer *w, const caw_pb_field *f, const uint8_t *at) {
  char text[PB_NUMBER_ROOM];
  int32_t v = (int32_t)pb_load32(at);
  const char *name = w->o.enums_as_numbers ? NULL : caw_pb_enum_name(f->sub, v);
  if (pb_is_null_value(f)) put_text(w, "null");
  else if (name) json_put_string(w, caw_str_from(name));
  else json_put(w, text, pb_print_i64(text, v));
}

static void write_bytes(json_writer *w, caw_str s) {
  put_char(w, '"');
  if (!may_grow(w, base64_encoded_len(s.len, true))) return;
  if (base64_encode(&w->out, s, true)) json_write_fail(w, CAW_ENOMEM, "out of memory");
  put_char(w, '"');
}

/* May the bytes of a string be read? */
static bool check_str(json_writer *w, caw_str s) {
  if (s.len && !s.data) json_write_fail(w, CAW_EINVAL, "a string without bytes");
  return !s.len || s.data;
}

void json_write_scalar(json_writer *w, const caw_pb_field *f, const uint8_t *at) {
  switch (f->type) {
  case CAW_PB_DOUBLE:
  case CAW_PB_FLOAT:
    write_floating(w, f, at);
    break;
  case CAW_PB_BOOL:
    put_text(w, *at ? "true" : "false");
    break;
  case CAW_PB_STRING:
    if (check_str(w, pb_load_str(at))) json_put_string(w, pb_load_str(at));
    break;
  case CAW_PB_BYTES:
    if (check_str(w, pb_load_str(at))) write_bytes(w, pb_load_str(at));
    break;
  case CAW_PB_ENUM:
    write_enum(w, f, at);
    break;
  default:
    write_integer(w, f, at, false);
    break;
  }
}

/* -- arrays and maps ----------------------------------------------------- */

static void write_sub(json_writer *w, const caw_pb_field *f, const uint8_t *m, int depth) {
  if (depth) json_write_message(w, pb_sub(f), m, depth - 1);
  else json_write_fail(w, CAW_EDEPTH, "nested too deeply");
}

static void write_array(json_writer *w, const caw_pb_field *f, pb_array a, int depth) {
  bool message = pb_is_message(f->type);
  size_t size = message ? pb_sub(f)->size : pb_scalar_size(f->type), count = 0;
  const uint8_t *item = a.items;
  json_step step = {w->at, JSON_INDEX, {NULL, 0}, 0};
  w->at = &step;
  json_open(w, '[');
  for (; step.index < a.len && !w->err; step.index++, item += size) {
    json_next(w, &count);
    if (message) write_sub(w, f, item, depth);
    else json_write_scalar(w, f, item);
  }
  json_close(w, ']', count);
  w->at = step.up;
}

static void write_key(json_writer *w, const caw_pb_field *f, const uint8_t *at) {
  if (f->type == CAW_PB_BOOL) put_text(w, *at ? "\"true\"" : "\"false\"");
  else if (f->type != CAW_PB_STRING) write_integer(w, f, at, true);
  else if (check_str(w, pb_load_str(at))) json_put_string(w, pb_load_str(at));
  json_put(w, ": ", w->o.indent ? 2 : 1);
}

static void write_map(json_writer *w, const caw_pb_field *f, pb_array a, int depth) {
  const caw_pb_message *t = pb_sub(f);
  const caw_pb_field *key = &t->fields[0], *value = &t->fields[1];
  const uint8_t *entry = a.items;
  size_t count = 0;
  json_step step = {w->at, JSON_INDEX, {NULL, 0}, 0};
  if (a.len && !depth) json_write_fail(w, CAW_EDEPTH, "nested too deeply");
  json_open(w, '{');
  for (size_t i = 0; i < a.len && !w->err; i++, entry += t->size) {
    if (key->type == CAW_PB_STRING) {
      step.kind = JSON_KEY;
      step.name = pb_load_str(entry + key->offset);
    }
    step.index = i;
    json_next(w, &count);
    write_key(w, key, entry + key->offset);
    w->at = &step;
    if (pb_is_message(value->type))
      write_sub(w, value, pb_load_ptr(entry + value->offset), depth - 1);
    else json_write_scalar(w, value, entry + value->offset);
    w->at = step.up;
  }
  json_close(w, '}', count);
}

void json_write_repeated(json_writer *w, const caw_pb_field *f, const uint8_t *at, int depth) {
  pb_array a = pb_array_load(at);
  if (a.len && !a.items) json_write_fail(w, CAW_EINVAL, "an array without items");
  else if (f->flags & CAW_PB_MAP) write_map(w, f, a, depth);
  else write_array(w, f, a, depth);
}

/* -- messages ------------------------------------------------------------ */

/* Is the field written? With emit_defaults also one whose absence is only that
 * its value is zero. */
static bool is_written(const json_writer *w, const caw_pb_message *t, const caw_pb_field *f,
                       const uint8_t *m) {
  if (f->flags & CAW_PB_REPEATED) return w->o.emit_defaults || pb_array_load(m + f->offset).len;
  if (pb_present(t, f, m)) return true;
  return w->o.emit_defaults && !(f->flags & (CAW_PB_HAS | CAW_PB_ONEOF)) && !pb_is_message(f->type);
}

void json_write_fields(json_writer *w, const caw_pb_message *t, const uint8_t *m, int depth,
                       size_t *count) {
  const caw_pb_field *last = pb_fields_end(t);
  for (const caw_pb_field *f = t->fields; f < last && !w->err; f++) {
    if (!is_written(w, t, f, m)) continue;
    json_step step = {w->at, JSON_FIELD, caw_str_from(f->json_name), 0};
    w->at = &step;
    json_next(w, count);
    json_name(w, caw_str_from(w->o.original_names ? f->name : f->json_name));
    if (f->flags & CAW_PB_REPEATED) json_write_repeated(w, f, m + f->offset, depth);
    else if (pb_is_message(f->type)) write_sub(w, f, pb_load_ptr(m + f->offset), depth);
    else json_write_scalar(w, f, m + f->offset);
    w->at = step.up;
  }
}

void json_write_message(json_writer *w, const caw_pb_message *t, const uint8_t *m, int depth) {
  pb_wkt kind = pb_wkt_of(t);
  size_t count = 0;
  m = json_not_null(w, t, m);
  if (!m) return;
  if (kind) {
    json_write_wkt(w, kind, t, m, depth);
    return;
  }
  json_open(w, '{');
  json_write_fields(w, t, m, depth, &count);
  json_close(w, '}', count);
}

caw_arena *json_scratch(json_writer *w) {
  if (!w->scratch) w->scratch = caw_arena_new(0);
  if (!w->scratch) json_write_fail(w, CAW_ENOMEM, "out of memory");
  return w->scratch;
}

const uint8_t *json_not_null(json_writer *w, const caw_pb_message *t, const uint8_t *m) {
  if (m || !json_scratch(w)) return m;
  m = caw_arena_calloc(w->scratch, 1, t->size);
  if (!m) json_write_fail(w, CAW_ENOMEM, "out of memory");
  return m;
}

/* -- the public function ------------------------------------------------- */

int caw_json_write(caw_str *out, caw_arena *arena, const caw_type *type, const void *message,
                   const caw_json_write_options *options, caw_json_error *error) {
  const caw_pb_message *t = caw_pb_table(type);
  json_writer w = {.error = error};
  *out = (caw_str){NULL, 0};
  if (!t || (options && options->size < sizeof(size_t))) return CAW_EINVAL;
  if (options) memcpy(&w.o, options, options->size < sizeof(w.o) ? options->size : sizeof(w.o));
  if (w.o.indent > 8) return CAW_EINVAL;
  json_write_message(&w, t, message, CAW_PB_DEPTH);
  if (!w.err) {
    *out = caw_arena_dup(arena, caw_str_of((const char *)w.out.data, w.out.len));
    if (!out->data) json_write_fail(&w, CAW_ENOMEM, "out of memory");
  }
  caw_arena_free(w.scratch);
  buf_finish(&w.out);
  return w.err;
}
