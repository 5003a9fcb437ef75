/* NAME.caw.h: the structs, enums and constants of a file. */
#include "fields.h"
#include "generate.h"
#include "names.h"
#include "service.h"
#include "text.h"

static void put_enum(buf *out, const model_type *t) {
  const char *scope = t->parent ? t->parent->c_name : t->file->c_package;
  text_put(out, "\n");
  text_comment(out, 0, model_comment(t->file, t->path));
  text_put(out, "enum %s CAW_PB_ENUM_BASE {\n", t->c_name);
  size_t n = t->enumeration->value.len;
  for (size_t i = 0; i < n; i++) {
    const google_protobuf_enum_value_descriptor_proto *v = &t->enumeration->value.items[i];
    text_comment(out, 2, model_comment(t->file, model_path(t->path, PATH_ENUM_VALUE, i)));
    const char *name = model_value_name(scope, v->name);
    if (v->number == INT32_MIN) text_put(out, "  %s = -2147483647 - 1", name);
    else text_put(out, "  %s = %d", name, (int)v->number);
    text_put(out, i + 1 < n ? ",\n" : "\n");
  }
  text_put(out, "};\n");
}

/* -- structs ------------------------------------------------------------- */

static void put_member(buf *out, int indent, const field *f) {
  const char *type = fields_c_type(f);
  text_comment(out, indent, model_comment(f->owner->file, f->path));
  text_put(out, "%*s", indent, "");
  if (f->repeated)
    text_put(out, "struct {\n%*s  %s *items;\n%*s  size_t len;\n%*s} %s;", indent, "", type, indent,
             "", indent, "", f->name);
  else if (f->type && f->type->message) text_put(out, "%s *%s;", type, f->name);
  else text_put(out, "%s %s;", type, f->name);
  if (f->type && f->type->enumeration) text_put(out, " /* enum %s */", f->type->c_name);
  text_put(out, "\n");
}

/* The largest alignment among the fields of a oneof. */
static int union_align(const field *all, size_t n, int32_t oneof) {
  int align = 1;
  for (size_t i = 0; i < n; i++)
    if (all[i].oneof && all[i].proto->oneof_index == oneof && fields_align(&all[i]) > align)
      align = fields_align(&all[i]);
  return align;
}

static void put_union(buf *out, const field *all, size_t n, const field *first) {
  const model_type *t = first->owner;
  path p = model_path(t->path, PATH_MESSAGE_ONEOF, (size_t)first->proto->oneof_index);
  text_comment(out, 2, model_comment(t->file, p));
  text_put(out, "  union {\n");
  for (size_t i = 0; i < n; i++)
    if (all[i].oneof && all[i].proto->oneof_index == first->proto->oneof_index)
      put_member(out, 4, &all[i]);
  text_put(out, "  } %s;\n", first->oneof);
}

/* Is it the field of its oneof that the source has first? */
static bool leads_oneof(const field *all, size_t i) {
  if (!all[i].oneof) return false;
  for (size_t k = 0; k < i; k++)
    if (all[k].oneof && all[k].proto->oneof_index == all[i].proto->oneof_index) return false;
  return true;
}

static void put_case_enum(buf *out, const field *all, size_t n, const field *first) {
  const model_type *t = first->owner;
  text_put(out, "\n/* Which member of %s.%s is set: the number of its field. */\n", t->c_name,
           first->oneof);
  text_put(out, "enum %s_%s_case CAW_PB_ENUM_BASE {\n  %s = 0", t->c_name, first->oneof,
           fields_case(t, first->oneof, NULL));
  for (size_t i = 0; i < n; i++)
    if (all[i].oneof && all[i].proto->oneof_index == first->proto->oneof_index)
      text_put(out, ",\n  %s = %u", fields_case(t, first->oneof, &all[i]), all[i].number);
  text_put(out, "\n};\n");
}

/*
 * The members stand by alignment, then in the order of the source: a struct
 * without holes is smaller, and what a message may cost in memory is bounded
 * by what its bytes are on the wire.
 */
static void put_members(buf *out, const field *all, size_t n, int align) {
  for (size_t i = 0; i < n; i++) {
    const field *f = &all[i];
    bool leads = leads_oneof(all, i);
    if (leads && align == 4)
      text_put(out, "  enum %s_%s_case %s_case;\n", f->owner->c_name, f->oneof, f->oneof);
    if (leads && union_align(all, n, f->proto->oneof_index) == align) put_union(out, all, n, f);
    if (!f->oneof && fields_align(f) == align) put_member(out, 2, f);
  }
  for (size_t i = 0; i < n && align == 1; i++)
    if (all[i].has) text_put(out, "  bool %s;\n", all[i].has);
}

static void put_struct(buf *out, const model *m, const model_type *t) {
  const field *all = fields_of(m, t);
  size_t n = t->message->field.len;
  for (size_t i = 0; i < n; i++)
    if (leads_oneof(all, i)) put_case_enum(out, all, n, &all[i]);
  text_put(out, "\n");
  text_comment(out, 0, model_comment(t->file, t->path));
  text_put(out, "struct %s {\n", t->c_name);
  if (!t->entry) text_put(out, "  caw_pb_unknown *caw_unknown;\n");
  for (size_t i = 0; i < n && t->entry; i++) put_member(out, 2, &all[i]); /* key, value */
  for (int align = 8; align && !t->entry; align = align == 8 ? 4 : align == 4 ? 1 : 0)
    put_members(out, all, n, align);
  text_put(out, "};\n");
}

/* -- defaults of proto2 -------------------------------------------------- */

/* A floating-point default as C writes it. */
static const char *real_default(const char *text, bool single) {
  if (text_same(text, "inf")) return single ? "HUGE_VALF" : "HUGE_VAL";
  if (text_same(text, "-inf")) return single ? "-HUGE_VALF" : "-HUGE_VAL";
  if (text_same(text, "nan")) return single ? "(float)NAN" : "(double)NAN";
  bool point = strpbrk(text, ".eE") != NULL;
  return text_format("%s%s%s", text, point ? "" : ".0", single ? "f" : "");
}

/* Bytes come escaped by protoc; only `?` is left, for trigraphs. */
static const char *bytes_default(caw_str s) {
  char *out = text_alloc(2 * s.len + 1, 1), *p = out;
  for (size_t i = 0; i < s.len; i++) {
    if (s.data[i] == '?' && (i == 0 || s.data[i - 1] != '\\')) *p++ = '\\';
    *p++ = s.data[i];
  }
  return out;
}

static const char *enum_default(const field *f) {
  const model_type *t = f->type;
  return model_value_name(t->parent ? t->parent->c_name : t->file->c_package,
                          f->proto->default_value);
}

static const char *default_of(const field *f) {
  const char *text = text_of(f->proto->default_value);
  switch (f->proto->type) {
  case CAW_PB_FLOAT:
    return real_default(text, true);
  case CAW_PB_DOUBLE:
    return real_default(text, false);
  case CAW_PB_ENUM:
    return enum_default(f);
  case CAW_PB_STRING:
    return text_format("CAW_STR(\"%s\")", text_escape(f->proto->default_value));
  case CAW_PB_BYTES:
    return text_format("CAW_STR(\"%s\")", bytes_default(f->proto->default_value));
  case CAW_PB_BOOL:
    return text;
  case CAW_PB_UINT32:
  case CAW_PB_FIXED32:
    return text_format("%su", text);
  case CAW_PB_UINT64:
  case CAW_PB_FIXED64:
    return text_format("UINT64_C(%s)", text);
  case CAW_PB_INT64:
  case CAW_PB_SINT64:
  case CAW_PB_SFIXED64:
    if (text_same(text, "-9223372036854775808")) return "INT64_MIN";
    return text_format("INT64_C(%s)", text);
  default:
    return text_same(text, "-2147483648") ? "INT32_MIN" : text;
  }
}

static bool wants_math(const field *f) {
  const char *text = f->proto->has_default_value ? default_of(f) : "";
  return strstr(text, "HUGE_VAL") || strstr(text, "NAN");
}

static void put_defaults(buf *out, const model *m, const model_type *t) {
  const field *all = fields_of(m, t);
  for (size_t i = 0; i < t->message->field.len; i++) {
    const field *f = &all[i];
    if (!f->proto->has_default_value) continue;
    text_put(out, "\n/* m->%s%s%s, or the default when it is not set. */\n",
             f->oneof ? f->oneof : "", f->oneof ? "." : "", f->name);
    text_put(out, "static inline %s %s_get_%s(const %s *m) {\n  %s preset = %s;\n",
             fields_c_type(f), t->c_name, names_snake(f->proto->name), t->c_name, fields_c_type(f),
             default_of(f));
    if (f->oneof)
      text_put(out, "  return m->%s_case == %s ? m->%s.%s : preset;\n}\n", f->oneof,
               fields_case(t, f->oneof, f), f->oneof, f->name);
    else text_put(out, "  return m->%s ? m->%s : preset;\n}\n", f->has, f->name);
  }
}

/* -- the file ------------------------------------------------------------ */

static void put_includes(buf *out, const model *m, const model_file *f) {
  bool math = false;
  for (size_t i = 0; i < f->type_count; i++) {
    const field *all = f->types[i].message ? fields_of(m, &f->types[i]) : NULL;
    for (size_t k = 0; all && k < f->types[i].message->field.len; k++) math |= wants_math(&all[k]);
  }
  if (math) text_put(out, "#include <math.h>\n\n");
  if (f->proto->service.len) text_put(out, "#include <caw/blocking.h>\n");
  text_put(out, "#include <caw/pb.h>\n");
  if (f->proto->dependency.len) text_put(out, "\n");
  for (size_t i = 0; i < f->proto->dependency.len; i++) {
    caw_str d = f->proto->dependency.items[i];
    size_t len = d.len;
    if (len > 6 && text_same(text_of(d) + len - 6, ".proto")) len -= 6;
    text_put(out, "#include \"%.*s.caw.h\"\n", (int)len, d.data);
  }
}

static void put_constants(buf *out, const model_file *f) {
  text_put(out, "\n/* How each message is encoded and decoded, what each enum's numbers are called,"
                "\n * and the file itself, for reflection. */\n");
  for (size_t i = 0; i < f->type_count; i++) {
    const model_type *t = &f->types[i];
    if (!t->entry)
      text_put(out, "extern const %s %s;\n", t->message ? "caw_type" : "caw_pb_enum", t->constant);
  }
  text_put(out, "extern const caw_pb_file %s;\n", f->symbol);
}

void generate_header(buf *out, const model *m, const model_file *f) {
  const char *guard = names_upper(text_format("CAW_GENERATED_%s", names_of_path(f->name)));
  text_put(out, "/* Generated by protoc-gen-caw from \"%s\". Do not edit. */\n", f->name);
  text_put(out, "#ifndef %s\n#define %s\n\n", guard, guard);
  put_includes(out, m, f);
  text_put(out, "\nCAW_BEGIN_DECLS\n");
  for (size_t i = 0, n = 0; i < f->type_count; i++)
    if (f->types[i].message)
      text_put(out, "%stypedef struct %s %s;\n", n++ ? "" : "\n", f->types[i].c_name,
               f->types[i].c_name);
  for (size_t i = 0; i < f->type_count; i++)
    if (f->types[i].enumeration) put_enum(out, &f->types[i]);
  for (size_t i = 0; i < f->type_count; i++)
    if (f->types[i].message) put_struct(out, m, &f->types[i]);
  put_constants(out, f);
  for (size_t i = 0; i < f->type_count; i++)
    if (f->types[i].message) put_defaults(out, m, &f->types[i]);
  for (size_t i = 0; i < f->proto->service.len; i++) service_header(out, m, f, i);
  text_put(out, "\nCAW_END_DECLS\n\n#endif\n");
}
