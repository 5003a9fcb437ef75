/* NAME.caw.c: the tables of a file and its serialized descriptor. */
#include "fields.h"
#include "generate.h"
#include "names.h"
#include "service.h"
#include "text.h"

#include <stdlib.h>

/* Names to be sorted; `index` is what the sorted table holds. */
typedef struct entry {
  const char *name;
  unsigned index;
} entry;

static int by_name(const void *a, const void *b) {
  const entry *x = a, *y = b;
  int c = strcmp(x->name, y->name);
  return c ? c : x->index < y->index ? -1 : x->index > y->index;
}

static void put_index(buf *out, const char *name, entry *all, size_t n) {
  qsort(all, n, sizeof(*all), by_name);
  text_put(out, "\nstatic const uint16_t %s[] = {", name);
  for (size_t i = 0; i < n; i++)
    text_put(out, "%s%u%s", i % 16 ? " " : "\n    ", all[i].index, i + 1 < n ? "," : "");
  text_put(out, "\n};\n");
}

/* -- enums --------------------------------------------------------------- */

typedef struct value {
  const char *name;
  int32_t number;
  size_t place;
} value;

static int by_number(const void *a, const void *b) {
  const value *x = a, *y = b;
  if (x->number != y->number) return x->number < y->number ? -1 : 1;
  return x->place < y->place ? -1 : x->place > y->place;
}

static void put_enum(buf *out, const model_type *t) {
  size_t n = t->enumeration->value.len;
  value *values = text_alloc(n + 1, sizeof(value));
  entry *names = text_alloc(n + 1, sizeof(entry));
  for (size_t i = 0; i < n; i++)
    values[i] = (value){text_of(t->enumeration->value.items[i].name),
                        t->enumeration->value.items[i].number, i};
  int32_t first = values[0].number;
  qsort(values, n, sizeof(*values), by_number);
  text_put(out, "\nstatic const caw_pb_enum_value %s_caw_values[] = {\n", t->c_name);
  for (size_t i = 0; i < n; i++) {
    names[i] = (entry){values[i].name, (unsigned)i};
    if (values[i].number == INT32_MIN)
      text_put(out, "    {\"%s\", -2147483647 - 1},\n", values[i].name);
    else text_put(out, "    {\"%s\", %d},\n", values[i].name, (int)values[i].number);
  }
  text_put(out, "};\n");
  put_index(out, text_format("%s_caw_names", t->c_name), names, n);
  text_put(out,
           "\nconst caw_pb_enum %s = {\n    \"%s\", %s_caw_values, %s_caw_names, %zu, %s, %s%d};\n",
           t->constant, t->full, t->c_name, t->c_name, n, t->file->proto3 ? "0" : "CAW_PB_CLOSED",
           first == INT32_MIN ? "-1 " : "", (int)(first == INT32_MIN ? first + 1 : first));
}

/* -- messages ------------------------------------------------------------ */

static const char *type_name(int32_t type) {
  static const char *const names[] = {"",         "DOUBLE",   "FLOAT",   "INT64",  "UINT64",
                                      "INT32",    "FIXED64",  "FIXED32", "BOOL",   "STRING",
                                      "GROUP",    "MESSAGE",  "BYTES",   "UINT32", "ENUM",
                                      "SFIXED32", "SFIXED64", "SINT32",  "SINT64"};
  return names[type];
}

static unsigned wire_type(const field *f) {
  if (f->packed) return 2;
  switch (f->proto->type) {
  case CAW_PB_DOUBLE:
  case CAW_PB_FIXED64:
  case CAW_PB_SFIXED64:
    return 1;
  case CAW_PB_FLOAT:
  case CAW_PB_FIXED32:
  case CAW_PB_SFIXED32:
    return 5;
  case CAW_PB_STRING:
  case CAW_PB_BYTES:
  case CAW_PB_MESSAGE:
    return 2;
  case CAW_PB_GROUP:
    return 3;
  default:
    return 0;
  }
}

static void put_flags(buf *out, const field *f) {
  const struct {
    bool set;
    const char *name;
  } flags[] = {{f->repeated, "REPEATED"},
               {f->packed, "PACKED"},
               {f->map, "MAP"},
               {f->has != NULL, "HAS"},
               {f->oneof != NULL, "ONEOF"},
               {f->utf8, "UTF8"},
               {f->closed, "CLOSED"},
               {f->proto->label == GOOGLE_PROTOBUF_FIELD_DESCRIPTOR_PROTO_LABEL_REQUIRED,
                "REQUIRED"}};
  bool any = false;
  for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
    if (!flags[i].set) continue;
    text_put(out, "%sCAW_PB_%s", any ? " | " : "", flags[i].name);
    any = true;
  }
  if (!any) text_put(out, "0");
}

/* lowerCamelCase, for requests of a compiler that does not fill json_name. */
static const char *json_name(const field_proto *f) {
  if (f->has_json_name) return text_of(f->json_name);
  char *out = text_alloc(f->name.len + 1, 1), *p = out;
  for (size_t i = 0; i < f->name.len; i++) {
    char c = f->name.data[i];
    bool up = i && f->name.data[i - 1] == '_' && c >= 'a' && c <= 'z';
    if (c != '_') *p++ = (char)(up ? c - 'a' + 'A' : c);
  }
  return out;
}

static void put_field(buf *out, const model_type *t, const field *f) {
  const char *name = text_of(f->proto->name);
  text_put(out, "    {\"%s\", \"%s\", ", name, text_escape(caw_str_from(json_name(f->proto))));
  if (f->map) text_put(out, "&%s_caw_type", f->type->c_name);
  else if (f->type) text_put(out, "&%s", f->type->constant);
  else text_put(out, "NULL");
  text_put(out, ", %u, offsetof(%s, %s), ", f->number << 3 | wire_type(f), t->c_name,
           f->oneof ? f->oneof : f->name);
  if (f->has) text_put(out, "offsetof(%s, %s)", t->c_name, f->has);
  else if (f->oneof) text_put(out, "offsetof(%s, %s_case)", t->c_name, f->oneof);
  else text_put(out, "0");
  text_put(out, ", CAW_PB_%s, ", type_name(f->proto->type));
  put_flags(out, f);
  text_put(out, ", 0},\n");
}

static int field_order(const void *a, const void *b) {
  const field *x = a, *y = b;
  return x->number < y->number ? -1 : x->number > y->number;
}

/* The index of names: both of a field where they differ. */
static size_t put_field_names(buf *out, const model_type *t, const field *all, size_t n) {
  entry *names = text_alloc(2 * n, sizeof(entry));
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    const char *name = text_of(all[i].proto->name), *json = json_name(all[i].proto);
    names[count++] = (entry){name, (unsigned)(2 * i)};
    if (!text_same(name, json)) names[count++] = (entry){json, (unsigned)(2 * i + 1)};
  }
  put_index(out, text_format("%s_caw_names", t->c_name), names, count);
  return count;
}

static void put_message(buf *out, const model *m, const model_type *t) {
  field *all = fields_of(m, t);
  size_t n = t->message->field.len, dense = 0, names = 0;
  qsort(all, n, sizeof(*all), field_order);
  while (dense < n && all[dense].number == dense + 1) dense++;
  if (n) {
    text_put(out, "\nstatic const caw_pb_field %s_caw_fields[] = {\n", t->c_name);
    for (size_t i = 0; i < n; i++) put_field(out, t, &all[i]);
    text_put(out, "};\n");
    names = put_field_names(out, t, all, n);
  }
  const char *fields = n ? text_format("%s_caw_fields", t->c_name) : "NULL";
  const char *index = n ? text_format("%s_caw_names", t->c_name) : "NULL";
  text_put(out, "\nstatic const caw_pb_message %s_caw_table = {\n    \"%s\", %s, %s, sizeof(%s), ",
           t->c_name, t->full, fields, index, t->c_name);
  text_put(out, "%zu, %zu, %zu, %u, %s%s%s};\n", n, names, dense, m->options.expansion,
           t->entry ? "CAW_PB_ENTRY" : "0", t->file->proto3 ? "" : " | CAW_PB_PROTO2",
           t->maps ? " | CAW_PB_MAPS" : "");
  const char *name = t->entry ? text_format("%s_caw_type", t->c_name) : t->constant;
  text_put(out, "\n%sconst caw_type %s = {&caw_pb_codec, &%s_caw_table, sizeof(%s)};\n",
           t->entry ? "static " : "", name, t->c_name, t->c_name);
}

/* A message after the entries of its maps, whose static tables it points to. */
static void put_messages(buf *out, const model *m, const model_file *f) {
  for (size_t i = 0; i < f->type_count; i++) {
    const model_type *t = &f->types[i];
    if (!t->message || t->entry) continue;
    for (size_t k = i + 1; k < f->type_count; k++)
      if (f->types[k].entry && f->types[k].parent == t) put_message(out, m, &f->types[k]);
    put_message(out, m, t);
  }
}

/* -- the file ------------------------------------------------------------ */

/* The descriptor as it was compiled, without the comments of the source. */
static size_t put_descriptor(buf *out, const model_file *f) {
  file_proto d = *f->proto;
  caw_str bytes;
  d.source_code_info = NULL;
  if (caw_pb_encode(&bytes, text_arena, &google_protobuf_file_descriptor_proto_type, &d))
    text_out_of_memory();
  text_put(out, "\n/* The FileDescriptorProto. */\nstatic const uint8_t %s_descriptor[] = {",
           f->symbol);
  for (size_t i = 0; i < bytes.len; i++)
    text_put(out, "%s%d,", i % 20 ? " " : "\n    ", (uint8_t)bytes.data[i]);
  text_put(out, "\n};\n");
  return bytes.len;
}

/* An array of addresses; returns its length. */
static size_t put_types(buf *out, const model_file *f, bool messages) {
  size_t n = 0;
  for (size_t i = 0; i < f->type_count; i++) {
    const model_type *t = &f->types[i];
    if (t->entry || (t->message != NULL) != messages) continue;
    if (!n++)
      text_put(out, "\nstatic const %s *const %s_%s[] = {\n", messages ? "caw_type" : "caw_pb_enum",
               f->symbol, messages ? "messages" : "enums");
    text_put(out, "    &%s,\n", t->constant);
  }
  if (n) text_put(out, "};\n");
  return n;
}

static void put_file(buf *out, const model_file *f) {
  size_t len = put_descriptor(out, f), imports = f->proto->dependency.len;
  if (imports) {
    text_put(out, "\nstatic const caw_pb_file *const %s_imports[] = {\n", f->symbol);
    for (size_t i = 0; i < imports; i++)
      text_put(out, "    &caw_file_%s,\n", names_of_path(text_of(f->proto->dependency.items[i])));
    text_put(out, "};\n");
  }
  size_t messages = put_types(out, f, true), enums = put_types(out, f, false);
  const char *s = f->symbol;
  text_put(out, "\nconst caw_pb_file %s = {\n    \"%s\", %s_descriptor, %zu,\n    ", s,
           text_escape(caw_str_from(f->name)), s, len);
  text_put(out, "%s, ", imports ? text_format("%s_imports", s) : "NULL");
  text_put(out, "%s, ", messages ? text_format("%s_messages", s) : "NULL");
  text_put(out, "%s, ", enums ? text_format("%s_enums", s) : "NULL");
  text_put(out, "%zu, %zu, %zu, 0};\n", imports, messages, enums);
}

void generate_source(buf *out, const model *m, const model_file *f) {
  text_put(out, "/* Generated by protoc-gen-caw from \"%s\". Do not edit. */\n", f->name);
  text_put(out, "#include \"%s.caw.h\"\n", f->base);
  for (size_t i = 0; i < f->type_count; i++)
    if (f->types[i].enumeration) put_enum(out, &f->types[i]);
  put_messages(out, m, f);
  put_file(out, f);
  for (size_t i = 0; i < f->proto->service.len; i++) service_source(out, m, f, i);
}
