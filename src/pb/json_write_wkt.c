/* Writing the messages of google.protobuf that have a JSON form of their own;
 * json_read_wkt.c is the other direction. */
#include "pb/json.h"
#include "pb/time.h"

#include <caw/status.h>
#include <math.h>

static void write_time(json_writer *w, pb_wkt kind, const caw_pb_message *t, const uint8_t *m) {
  char text[PB_TIME_ROOM];
  pb_time v = {(int64_t)pb_load64(m + t->fields[0].offset),
               (int32_t)pb_load32(m + t->fields[1].offset)};
  size_t len = kind == PB_WKT_TIMESTAMP ? pb_timestamp_print(text, v) : pb_duration_print(text, v);
  if (len) json_put_string(w, caw_str_of(text, len));
  else
    json_write_fail(w, CAW_EJSON, "a %s out of its range",
                    kind == PB_WKT_TIMESTAMP ? "Timestamp" : "Duration");
}

/* -- FieldMask ----------------------------------------------------------- */

/* snake_case to lowerCamelCase, where that can be turned back. */
static bool write_path(json_writer *w, caw_str path) {
  for (size_t i = 0; i < path.len; i++) {
    char c = path.data[i];
    if (c == '_') {
      c = ++i < path.len ? path.data[i] : '\0';
      if (c < 'a' || c > 'z') return false;
      c = (char)(c & ~0x20);
    } else if ((c >= 'A' && c <= 'Z') || c == ',') {
      return false;
    }
    json_put_char(w, c);
  }
  return path.len && pb_utf8_valid((const uint8_t *)path.data, path.len);
}

static void write_mask(json_writer *w, const caw_pb_message *t, const uint8_t *m) {
  pb_array a = pb_array_load(m + t->fields[0].offset);
  const caw_str *paths = a.items;
  json_put(w, "\"", 1);
  for (size_t i = 0; i < a.len && !w->err; i++) {
    if (i) json_put(w, ",", 1);
    if (!paths || (paths[i].len && !paths[i].data)) json_write_fail(w, CAW_EINVAL, "no bytes");
    else if (!write_path(w, paths[i])) {
      char quoted[JSON_QUOTED];
      json_write_fail(w, CAW_EJSON, "the path %s of a FieldMask has no JSON form",
                      json_quoted(quoted, paths[i]));
    }
  }
  json_put(w, "\"", 1);
}

/* -- Value --------------------------------------------------------------- */

static void write_value(json_writer *w, const caw_pb_message *t, const uint8_t *m, int depth) {
  uint32_t which = pb_load32(m + t->fields[0].has);
  if (!which || which > t->field_count) {
    json_write_fail(w, CAW_EJSON, "a Value that is not set");
    return;
  }
  const caw_pb_field *f = &t->fields[which - 1];
  if (f->type == CAW_PB_DOUBLE) {
    double d;
    memcpy(&d, m + f->offset, sizeof(d));
    if (!isfinite(d)) json_write_fail(w, CAW_EJSON, "a Value whose number is not finite");
  }
  if (f->type == CAW_PB_ENUM) json_put(w, "null", 4);
  else if (!pb_is_message(f->type)) json_write_scalar(w, f, m + f->offset);
  else if (depth) json_write_message(w, pb_sub(f), pb_load_ptr(m + f->offset), depth - 1);
  else json_write_fail(w, CAW_EDEPTH, "nested too deeply");
}

/* -- Any ----------------------------------------------------------------- */

/* Decodes what an Any holds into the scratch arena. NULL with the error set. */
static const uint8_t *unpack(json_writer *w, const caw_type *type, caw_str bytes, int depth) {
  caw_arena *scratch = json_scratch(w);
  if (!scratch) return NULL;
  void *m = caw_arena_alloc(scratch, type->size);
  int rc = m ? caw_pb_decode(m, scratch, type, bytes.data, bytes.len) : CAW_ENOMEM;
  if (!rc && !depth) rc = CAW_EDEPTH;
  if (!rc) return m;
  json_write_fail(w, rc == CAW_ENOMEM || rc == CAW_EDEPTH ? rc : CAW_EJSON,
                  "the bytes of an Any: %s", caw_strerror(rc));
  return NULL;
}

/* The members of an Any that is not empty. */
static void write_any_members(json_writer *w, caw_str url, const caw_pb_message *t,
                              const uint8_t *m, int depth) {
  size_t count = 0;
  json_open(w, '{');
  json_next(w, &count);
  json_name(w, (caw_str)CAW_STR("@type"));
  json_put_string(w, url);
  if (pb_wkt_of(t) == PB_WKT_NONE) {
    json_write_fields(w, t, m, depth, &count);
  } else {
    json_next(w, &count);
    json_name(w, (caw_str)CAW_STR("value"));
    json_write_message(w, t, m, depth);
  }
  json_close(w, '}', count);
}

static void write_any(json_writer *w, const caw_pb_message *t, const uint8_t *m, int depth) {
  caw_str url = pb_load_str(m + t->fields[0].offset), value = pb_load_str(m + t->fields[1].offset);
  if ((url.len && !url.data) || (value.len && !value.data)) {
    json_write_fail(w, CAW_EINVAL, "a string without bytes");
    return;
  }
  if (!url.len && !value.len) {
    json_put(w, "{}", 2);
    return;
  }
  const caw_type *type = pb_any_type(w->o.types, url);
  if (!type) {
    char quoted[JSON_QUOTED];
    json_write_fail(w, CAW_EJSON, "no type for the Any of %s", json_quoted(quoted, url));
    return;
  }
  w->anys++;
  const uint8_t *sub = unpack(w, type, value, depth);
  if (sub) write_any_members(w, url, caw_pb_table(type), sub, depth - 1);
  /* Nothing of the scratch arena is in use outside of the outermost Any: what
   * json_not_null makes is empty, and has no Any below it. */
  if (!--w->anys && w->scratch) caw_arena_reset(w->scratch);
}

/* -- all of them --------------------------------------------------------- */

void json_write_wkt(json_writer *w, pb_wkt kind, const caw_pb_message *t, const uint8_t *m,
                    int depth) {
  switch (kind) {
  case PB_WKT_ANY:
    write_any(w, t, m, depth);
    break;
  case PB_WKT_TIMESTAMP:
  case PB_WKT_DURATION:
    write_time(w, kind, t, m);
    break;
  case PB_WKT_MASK:
    write_mask(w, t, m);
    break;
  case PB_WKT_VALUE:
    write_value(w, t, m, depth);
    break;
  case PB_WKT_WRAPPER:
    json_write_scalar(w, &t->fields[0], m + t->fields[0].offset);
    break;
  case PB_WKT_STRUCT:
  case PB_WKT_LIST:
    json_write_repeated(w, &t->fields[0], m + t->fields[0].offset, depth);
    break;
  case PB_WKT_NONE:
    break;
  }
}
