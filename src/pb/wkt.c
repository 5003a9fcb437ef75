/* The message types that JSON treats specially. */
#include "pb/wkt.h"

#define PREFIX     "google.protobuf."
#define PREFIX_LEN (sizeof(PREFIX) - 1)

/* A field as the type must have it: its type, and the flags that matter. */
typedef struct shape_field {
  uint8_t type, flags;
} shape_field;

typedef struct shape {
  const char *name;
  pb_wkt kind;
  uint8_t count;
  shape_field fields[6];
} shape;

#define ONE(type)                                                                                  \
  1, {                                                                                             \
    { CAW_PB_##type, 0 }                                                                           \
  }
#define ONEOF(type)                                                                                \
  { CAW_PB_##type, CAW_PB_ONEOF }
#define SECONDS_NANOS                                                                              \
  2, {                                                                                             \
    {CAW_PB_INT64, 0}, {                                                                           \
      CAW_PB_INT32, 0                                                                              \
    }                                                                                              \
  }
#define SHAPE_FLAGS (CAW_PB_REPEATED | CAW_PB_MAP | CAW_PB_HAS | CAW_PB_ONEOF)

static const shape shapes[] = {
    {"Any", PB_WKT_ANY, 2, {{CAW_PB_STRING, 0}, {CAW_PB_BYTES, 0}}},
    {"Timestamp", PB_WKT_TIMESTAMP, SECONDS_NANOS},
    {"Duration", PB_WKT_DURATION, SECONDS_NANOS},
    {"FieldMask", PB_WKT_MASK, 1, {{CAW_PB_STRING, CAW_PB_REPEATED}}},
    {"Struct", PB_WKT_STRUCT, 1, {{CAW_PB_MESSAGE, CAW_PB_REPEATED | CAW_PB_MAP}}},
    {"Value",
     PB_WKT_VALUE,
     6,
     {ONEOF(ENUM), ONEOF(DOUBLE), ONEOF(STRING), ONEOF(BOOL), ONEOF(MESSAGE), ONEOF(MESSAGE)}},
    {"ListValue", PB_WKT_LIST, 1, {{CAW_PB_MESSAGE, CAW_PB_REPEATED}}},
    {"DoubleValue", PB_WKT_WRAPPER, ONE(DOUBLE)},
    {"FloatValue", PB_WKT_WRAPPER, ONE(FLOAT)},
    {"Int64Value", PB_WKT_WRAPPER, ONE(INT64)},
    {"UInt64Value", PB_WKT_WRAPPER, ONE(UINT64)},
    {"Int32Value", PB_WKT_WRAPPER, ONE(INT32)},
    {"UInt32Value", PB_WKT_WRAPPER, ONE(UINT32)},
    {"BoolValue", PB_WKT_WRAPPER, ONE(BOOL)},
    {"StringValue", PB_WKT_WRAPPER, ONE(STRING)},
    {"BytesValue", PB_WKT_WRAPPER, ONE(BYTES)},
};

static bool has_shape(const caw_pb_message *t, const shape *s) {
  if (t->field_count != s->count) return false;
  for (size_t i = 0; i < s->count; i++) {
    const caw_pb_field *f = &t->fields[i];
    if (f->tag >> 3 != i + 1 || f->type != s->fields[i].type) return false;
    if ((f->flags & SHAPE_FLAGS) != s->fields[i].flags) return false;
  }
  return true;
}

pb_wkt pb_wkt_of(const caw_pb_message *t) {
  if (strncmp(t->name, PREFIX, PREFIX_LEN) != 0) return PB_WKT_NONE;
  const char *name = t->name + PREFIX_LEN;
  for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
    if (!strcmp(name, shapes[i].name))
      return has_shape(t, &shapes[i]) ? shapes[i].kind : PB_WKT_NONE;
  return PB_WKT_NONE;
}

bool pb_is_null_value(const caw_pb_field *f) {
  const caw_pb_enum *e = f->sub;
  return f->type == CAW_PB_ENUM && !strcmp(e->name, PREFIX "NullValue");
}

const caw_type *pb_any_type(const caw_pb_types *types, caw_str url) {
  size_t skip = url.len;
  while (skip && url.data[skip - 1] != '/') skip--;
  if (!skip) return NULL;
  const caw_type *type = caw_pb_types_message(types, caw_str_of(url.data + skip, url.len - skip));
  return type && caw_pb_table(type) ? type : NULL;
}
