/* Looking up fields and enum values in the generated tables. */
#include "pb/wire.h"

const caw_pb_message *caw_pb_table(const caw_type *type) {
  return type->codec == &caw_pb_codec ? (const caw_pb_message *)type->desc : NULL;
}

const caw_pb_field *caw_pb_field_by_number(const caw_pb_message *t, uint32_t number) {
  if (number - 1 < t->dense) return &t->fields[number - 1];
  size_t low = t->dense, high = t->field_count;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    uint32_t n = t->fields[mid].tag >> 3;
    if (n == number) return &t->fields[mid];
    if (n < number) low = mid + 1;
    else high = mid;
  }
  return NULL;
}

/* Compares like strcmp: the tables are sorted by bytes. */
static int compare(caw_str a, const char *b) {
  size_t len = strlen(b), n = a.len < len ? a.len : len;
  int c = n ? memcmp(a.data, b, n) : 0;
  return c ? c : a.len < len ? -1 : a.len > len;
}

const caw_pb_field *caw_pb_field_by_name(const caw_pb_message *t, caw_str name) {
  size_t low = 0, high = t->name_count;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    const caw_pb_field *f = &t->fields[t->by_name[mid] >> 1];
    int c = compare(name, t->by_name[mid] & 1 ? f->json_name : f->name);
    if (!c) return f;
    if (c > 0) low = mid + 1;
    else high = mid;
  }
  return NULL;
}

const char *caw_pb_enum_name(const caw_pb_enum *t, int32_t number) {
  size_t low = 0, high = t->value_count;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (t->values[mid].number < number) low = mid + 1;
    else high = mid;
  }
  bool found = low < t->value_count && t->values[low].number == number;
  return found ? t->values[low].name : NULL;
}

bool caw_pb_enum_number(int32_t *number, const caw_pb_enum *t, caw_str name) {
  size_t low = 0, high = t->value_count;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    const caw_pb_enum_value *v = &t->values[t->by_name[mid]];
    int c = compare(name, v->name);
    if (!c) {
      *number = v->number;
      return true;
    }
    if (c > 0) low = mid + 1;
    else high = mid;
  }
  return false;
}
