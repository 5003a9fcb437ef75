/* The files and types of a request, their names, and collisions of these. */
#include "model.h"
#include "fields.h"
#include "names.h"
#include "service.h"
#include "text.h"

#include <caw/alloc.h>
#include <caw/status.h>

/* Who has a name. */
typedef struct claim {
  const char *what; /* full name in the source */
  const model_file *file;
  path path;
} claim;

void model_fail(model *m, const char *error) {
  if (!m->error) m->error = error;
}

static void map_must_add(map *m, caw_str key, void *value) {
  if (map_add(m, key, value) == CAW_ENOMEM) text_out_of_memory();
}

/* -- places and comments ------------------------------------------------- */

path model_path(path p, int32_t step, size_t index) {
  int32_t *items = text_alloc(p.len + 2, sizeof(int32_t));
  if (p.len) memcpy(items, p.items, p.len * sizeof(int32_t));
  items[p.len] = step;
  items[p.len + 1] = (int32_t)index;
  return (path){items, p.len + 2};
}

static caw_str path_key(const int32_t *items, size_t len) {
  return caw_str_of((const char *)items, len * sizeof(int32_t));
}

static const google_protobuf_source_code_info_location *location(const model_file *f, path p) {
  return map_get(&f->locations, path_key(p.items, p.len));
}

static void index_locations(model_file *f) {
  const google_protobuf_source_code_info *info = f->proto->source_code_info;
  for (size_t i = 0; info && i < info->location.len; i++) {
    google_protobuf_source_code_info_location *l = &info->location.items[i];
    if (l->path.len) map_must_add(&f->locations, path_key(l->path.items, l->path.len), l);
  }
}

caw_str model_comment(const model_file *f, path p) {
  const google_protobuf_source_code_info_location *l = location(f, p);
  if (!l || !f->model->options.comments) return (caw_str){NULL, 0};
  return l->has_leading_comments ? l->leading_comments : l->trailing_comments;
}

const char *model_place(const model_file *f, path p) {
  const google_protobuf_source_code_info_location *l = location(f, p);
  if (!l || !l->span.len) return f->name;
  return text_format("%s:%d", f->name, l->span.items[0] + 1);
}

/* -- claims -------------------------------------------------------------- */

void model_claim(model *m, map *scope, const char *name, const char *what, const model_file *f,
                 path p) {
  const claim *old = map_get(scope, caw_str_from(name));
  if (!old) {
    claim *c = text_alloc(1, sizeof(*c));
    *c = (claim){what, f, p};
    map_must_add(scope, caw_str_from(name), c);
  } else if (old->file->generate || f->generate) {
    model_fail(m, text_format("%s: \"%s\" and %s: \"%s\" both become \"%s\" in C",
                              model_place(old->file, old->path), old->what, model_place(f, p), what,
                              name));
  }
}

/* The members of a struct are a scope of their own, those of a union too. */
static void claim_members(model *m, const model_type *t) {
  map members = {0}, *unions = text_alloc(t->message->oneof_decl.len + 1, sizeof(map));
  const field *all = fields_of(m, t);
  const char *own = text_format("%s (of Caw)", t->full);
  model_claim(m, &members, "caw_unknown", own, t->file, t->path);
  for (size_t i = 0; i < t->message->oneof_decl.len; i++) {
    const char *oneof = fields_oneof(t, i);
    if (!oneof) continue;
    path p = model_path(t->path, PATH_MESSAGE_ONEOF, i);
    const char *what = text_format("%s.%s", t->full, text_of(t->message->oneof_decl.items[i].name));
    model_claim(m, &members, oneof, what, t->file, p);
    model_claim(m, &members, text_format("%s_case", oneof), what, t->file, p);
    model_claim(m, &m->tags, text_format("%s_%s_case", t->c_name, oneof), what, t->file, p);
    model_claim(m, &m->idents, fields_case(t, oneof, NULL), what, t->file, p);
  }
  for (size_t i = 0; i < t->message->field.len; i++) {
    const field *f = &all[i];
    const char *what = text_format("%s.%s", t->full, text_of(f->proto->name));
    map *scope = f->oneof ? &unions[f->proto->oneof_index] : &members;
    model_claim(m, scope, f->name, what, t->file, f->path);
    if (f->has) model_claim(m, &members, f->has, what, t->file, f->path);
    if (f->oneof) model_claim(m, &m->idents, fields_case(t, f->oneof, f), what, t->file, f->path);
    if (f->proto->has_default_value)
      model_claim(m, &m->idents, text_format("%s_get_%s", t->c_name, names_snake(f->proto->name)),
                  what, t->file, f->path);
  }
  map_finish(&members);
  for (size_t i = 0; i < t->message->oneof_decl.len; i++) map_finish(&unions[i]);
}

static void claim_values(model *m, const model_type *t) {
  const char *scope = t->parent ? t->parent->c_name : t->file->c_package;
  for (size_t i = 0; i < t->enumeration->value.len; i++) {
    caw_str name = t->enumeration->value.items[i].name;
    model_claim(m, &m->idents, model_value_name(scope, name),
                text_format("%s.%s", t->full, text_of(name)), t->file,
                model_path(t->path, PATH_ENUM_VALUE, i));
  }
}

/*
 * The constant of a type. The type of another message may have that name
 * (message Foo beside message FooType): then the constant gets underscores,
 * because types are what people write.
 */
static void name_constant(model *m, model_type *t) {
  const char *name = text_format("%s_%s", t->c_name, t->message ? "type" : "enum");
  const claim *c;
  while ((c = map_get(&m->idents, caw_str_from(name))) && c->file == t->file)
    name = text_format("%s_", name);
  t->constant = name;
  if (!t->entry) model_claim(m, &m->idents, name, t->full, t->file, t->path);
}

static void claim_all(model *m) {
  for (size_t i = 0; i < m->file_count; i++) {
    model_file *f = &m->files[i];
    model_claim(m, &m->idents, f->symbol, f->name, f, (path){NULL, 0});
    for (size_t k = 0; k < f->type_count; k++) {
      model_type *t = &f->types[k];
      model_claim(m, &m->tags, t->c_name, t->full, f, t->path);
      if (t->message) model_claim(m, &m->idents, t->c_name, t->full, f, t->path);
    }
    for (size_t k = 0; k < f->type_count; k++) {
      if (f->types[k].message) claim_members(m, &f->types[k]);
      else claim_values(m, &f->types[k]);
    }
    for (size_t k = 0; k < f->proto->service.len; k++) service_claim(m, f, k);
  }
  for (size_t i = 0; i < m->file_count; i++)
    for (size_t k = 0; k < m->files[i].type_count; k++) name_constant(m, &m->files[i].types[k]);
}

/* -- types --------------------------------------------------------------- */

const char *model_value_name(const char *scope, caw_str value) {
  return names_usable(text_format("%s%s%s", names_upper(scope), *scope ? "_" : "", text_of(value)));
}

static size_t count_types(const message_proto *m) {
  size_t n = 1 + m->enum_type.len;
  for (size_t i = 0; i < m->nested_type.len; i++) n += count_types(&m->nested_type.items[i]);
  return n;
}

static model_type *add_type(model *m, model_file *f, const model_type *parent, caw_str name,
                            path p) {
  model_type *t = &f->types[f->type_count++];
  const char *package = text_of(f->proto->package), *own = text_of(name);
  t->file = f;
  t->parent = parent;
  t->path = p;
  const char *outer = parent ? parent->full : package;
  const char *c_outer = parent ? parent->c_name : f->c_package;
  t->full = text_format("%s%s%s", outer, *outer ? "." : "", own);
  t->c_name = names_usable(text_format("%s%s%s", c_outer, *c_outer ? "_" : "", names_snake(name)));
  map_must_add(&m->types, caw_str_from(t->full), t);
  return t;
}

static void add_enum(model *m, model_file *f, const model_type *parent, const enum_proto *e,
                     path p) {
  add_type(m, f, parent, e->name, p)->enumeration = e;
}

/* Recursive as deep as the request nests, which decoding has bounded. */
static void add_message(model *m, model_file *f, const model_type *parent, const message_proto *d,
                        path p) {
  model_type *t = add_type(m, f, parent, d->name, p);
  t->message = d;
  t->entry = d->options && d->options->map_entry;
  for (size_t i = 0; i < d->enum_type.len; i++)
    add_enum(m, f, t, &d->enum_type.items[i], model_path(p, PATH_MESSAGE_ENUM, i));
  for (size_t i = 0; i < d->nested_type.len; i++)
    add_message(m, f, t, &d->nested_type.items[i], model_path(p, PATH_MESSAGE_NESTED, i));
}

static void add_types(model *m, model_file *f) {
  const file_proto *d = f->proto;
  size_t n = d->enum_type.len;
  path top = {NULL, 0};
  for (size_t i = 0; i < d->message_type.len; i++) n += count_types(&d->message_type.items[i]);
  f->types = text_alloc(n ? n : 1, sizeof(model_type));
  for (size_t i = 0; i < d->enum_type.len; i++)
    add_enum(m, f, NULL, &d->enum_type.items[i], model_path(top, PATH_FILE_ENUM, i));
  for (size_t i = 0; i < d->message_type.len; i++)
    add_message(m, f, NULL, &d->message_type.items[i], model_path(top, PATH_FILE_MESSAGE, i));
}

const model_type *model_type_of(const model *m, const field_proto *f) {
  caw_str name = f->type_name;
  if (!name.len) return NULL;
  if (name.data[0] == '.') name = caw_str_of(name.data + 1, name.len - 1);
  return map_get(&m->types, name);
}

/* Every type that a descriptor names must be in the request. */
static void check_types(model *m, const model_type *t) {
  for (size_t i = 0; i < t->message->field.len; i++) {
    const field_proto *f = &t->message->field.items[i];
    bool message = f->type == CAW_PB_MESSAGE || f->type == CAW_PB_GROUP;
    const model_type *type = model_type_of(m, f);
    bool fits = !message && f->type != CAW_PB_ENUM ? !type
                : message                          ? type && type->message
                                                   : type && type->enumeration;
    if (f->type < CAW_PB_DOUBLE || f->type > CAW_PB_SINT64 || !fits || f->number < 1)
      model_fail(m, text_format("%s: \"%s.%s\" has a type that is not in the request",
                                t->file->name, t->full, text_of(f->name)));
  }
  const field_proto *f = t->message->field.items;
  if (t->entry && (t->message->field.len != 2 || f[0].number != 1 || f[1].number != 2 ||
                   f[0].type == CAW_PB_MESSAGE || f[0].type == CAW_PB_GROUP))
    model_fail(m, text_format("%s: \"%s\" is not the entry of a map", t->file->name, t->full));
}

/* The tables count in 16 bits, and hold two names per field. */
static void check_size(model *m, const model_type *t) {
  size_t n = t->message ? t->message->field.len : t->enumeration->value.len;
  size_t most = t->message ? UINT16_MAX / 2 : UINT16_MAX;
  if (n > most)
    model_fail(m, text_format("%s: \"%s\" has more than %zu %s", t->file->name, t->full, most,
                              t->message ? "fields" : "values"));
  if (t->enumeration && !n)
    model_fail(m, text_format("%s: \"%s\" has no values", t->file->name, t->full));
}

/* Marks the messages from which a map can be reached, until nothing changes. */
static void find_maps(model *m) {
  for (bool again = true; again;) {
    again = false;
    for (size_t i = 0; i < m->file_count; i++)
      for (size_t k = 0; k < m->files[i].type_count; k++) {
        model_type *t = &m->files[i].types[k];
        for (size_t n = 0; t->message && !t->maps && n < t->message->field.len; n++) {
          const model_type *sub = model_type_of(m, &t->message->field.items[n]);
          if (sub && (sub->entry || sub->maps)) again = t->maps = true;
        }
      }
  }
}

/* -- files --------------------------------------------------------------- */

static void add_file(model *m, const request *req, size_t index) {
  model_file *f = &m->files[index];
  const file_proto *d = &req->proto_file.items[index];
  size_t len = d->name.len;
  f->model = m;
  f->proto = d;
  f->index = index;
  f->name = text_of(d->name);
  if (len > 6 && text_same(f->name + len - 6, ".proto")) len -= 6;
  f->base = text_of(caw_str_of(f->name, len));
  f->symbol = text_format("caw_file_%s", names_of_path(f->name));
  f->proto3 = caw_str_is(d->syntax, "proto3");
  f->c_package = d->package.len ? names_join(d->package) : m->options.prefix;
  if (d->syntax.len && !f->proto3 && !caw_str_is(d->syntax, "proto2"))
    model_fail(m, text_format("%s: syntax \"%s\" is not supported", f->name, text_of(d->syntax)));
  for (size_t i = 0; i < req->file_to_generate.len; i++)
    if (caw_str_eq(req->file_to_generate.items[i], d->name)) f->generate = true;
  index_locations(f);
}

static void check_requested(model *m, const request *req) {
  for (size_t i = 0; i < req->file_to_generate.len; i++) {
    bool found = false;
    for (size_t k = 0; k < m->file_count; k++)
      found |= caw_str_eq(m->files[k].proto->name, req->file_to_generate.items[i]);
    if (!found)
      model_fail(m, text_format("%s: not in the request", text_of(req->file_to_generate.items[i])));
  }
}

bool model_build(model *m, const request *req, const options *o) {
  memset(m, 0, sizeof(*m));
  m->options = *o;
  m->file_count = req->proto_file.len;
  m->files = text_alloc(m->file_count ? m->file_count : 1, sizeof(model_file));
  for (size_t i = 0; i < m->file_count; i++) add_file(m, req, i);
  check_requested(m, req);
  for (size_t i = 0; i < m->file_count; i++) add_types(m, &m->files[i]);
  for (size_t i = 0; i < m->file_count; i++)
    for (size_t k = 0; k < m->files[i].type_count; k++) {
      check_size(m, &m->files[i].types[k]);
      if (m->files[i].types[k].message) check_types(m, &m->files[i].types[k]);
    }
  if (m->error) return false;
  find_maps(m);
  claim_all(m);
  return !m->error;
}

void model_finish(model *m) {
  for (size_t i = 0; i < m->file_count; i++) map_finish(&m->files[i].locations);
  map_finish(&m->types);
  map_finish(&m->idents);
  map_finish(&m->tags);
}
