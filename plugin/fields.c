/* Fields as members of C structs. */
#include "fields.h"
#include "names.h"
#include "text.h"

bool fields_synthetic(const message_proto *m, size_t index) {
  for (size_t i = 0; i < m->field.len; i++) {
    const field_proto *f = &m->field.items[i];
    if (f->has_oneof_index && (size_t)f->oneof_index == index && f->proto3_optional) return true;
  }
  return false;
}

const char *fields_oneof(const model_type *t, size_t index) {
  if (index >= t->message->oneof_decl.len || fields_synthetic(t->message, index)) return NULL;
  return names_usable(names_snake(t->message->oneof_decl.items[index].name));
}

const char *fields_case(const model_type *t, const char *oneof, const field *f) {
  return names_upper(
      text_format("%s_%s_case_%s", t->c_name, oneof, f ? names_snake(f->proto->name) : "not_set"));
}

static bool packable(const field_proto *f) {
  return f->type != CAW_PB_STRING && f->type != CAW_PB_BYTES && f->type != CAW_PB_MESSAGE &&
         f->type != CAW_PB_GROUP;
}

static bool is_packed(const field_proto *f, bool proto3) {
  if (f->label != GOOGLE_PROTOBUF_FIELD_DESCRIPTOR_PROTO_LABEL_REPEATED || !packable(f))
    return false;
  return f->options && f->options->has_packed ? f->options->packed : proto3;
}

static void fill(field *f, const model *m, const model_type *t, size_t i) {
  const field_proto *p = &t->message->field.items[i];
  f->proto = p;
  f->owner = t;
  f->number = (uint32_t)p->number;
  f->path = model_path(t->path, PATH_MESSAGE_FIELD, i);
  f->type = model_type_of(m, p);
  const char *snake = names_snake(p->name);
  f->name = names_usable(snake);
  f->repeated = p->label == GOOGLE_PROTOBUF_FIELD_DESCRIPTOR_PROTO_LABEL_REPEATED;
  f->packed = is_packed(p, t->file->proto3);
  f->map = f->type && f->type->entry;
  f->utf8 = p->type == CAW_PB_STRING && t->file->proto3;
  f->closed = f->type && f->type->enumeration && !f->type->file->proto3;
  bool message = p->type == CAW_PB_MESSAGE || p->type == CAW_PB_GROUP;
  if (p->has_oneof_index) f->oneof = fields_oneof(t, (size_t)p->oneof_index);
  if (!f->repeated && !f->oneof && !message && !t->entry &&
      (!t->file->proto3 || p->proto3_optional))
    f->has = text_format("has_%s", snake);
}

field *fields_of(const model *m, const model_type *t) {
  size_t n = t->message->field.len;
  field *all = text_alloc(n ? n : 1, sizeof(field));
  for (size_t i = 0; i < n; i++) fill(&all[i], m, t, i);
  return all;
}

const char *fields_c_type(const field *f) {
  static const char *const types[] = {"",        "double",   "float",    "int64_t",  "uint64_t",
                                      "int32_t", "uint64_t", "uint32_t", "bool",     "caw_str",
                                      "",        "",         "caw_str",  "uint32_t", "int32_t",
                                      "int32_t", "int64_t",  "int32_t",  "int64_t"};
  if (f->type && f->type->message) {
    /* A member may have the name of its type; C++ wants `struct` then. */
    bool same = text_same(f->type->c_name, f->name);
    return same ? text_format("struct %s", f->type->c_name) : f->type->c_name;
  }
  return types[f->proto->type];
}

int fields_align(const field *f) {
  if (f->repeated || (f->type && f->type->message)) return 8;
  switch (f->proto->type) {
  case CAW_PB_BOOL:
    return 1;
  case CAW_PB_FLOAT:
  case CAW_PB_INT32:
  case CAW_PB_UINT32:
  case CAW_PB_SINT32:
  case CAW_PB_FIXED32:
  case CAW_PB_SFIXED32:
  case CAW_PB_ENUM:
    return 4;
  default:
    return 8;
  }
}
