/* The index of index.h. Descriptors are the program's own, made by its compiler. */
#include "index.h"

#include <caw/status.h>
#include <outline.caw.h>
#include <stdlib.h>

/* Room for one more thing in an array in the arena, which doubles. */
static int grow(caw_arena *arena, void **items, size_t len, size_t *room, size_t size) {
  if (len < *room) return 0;
  size_t more = *room ? 2 * *room : 32;
  void *copy = caw_arena_calloc(arena, more, size);
  if (!copy) return CAW_ENOMEM;
  if (len) memcpy(copy, *items, len * size);
  *items = copy;
  *room = more;
  return 0;
}

/* ---- Files ---- */

static int add_file(reflection_index *x, const caw_pb_file *file) {
  if (reflection_find_file(x, caw_str_from(file->name)) != SIZE_MAX) return 0;
  int rc = grow(x->arena, (void **)&x->files, x->n_files, &x->files_room, sizeof(*x->files));
  if (!rc) x->files[x->n_files++] = file;
  return rc;
}

/* The array is the list of work, too. */
static int add_imports(reflection_index *x) {
  int rc = 0;
  for (size_t i = 0; i < x->n_files && !rc; i++)
    for (size_t k = 0; k < x->files[i]->import_count && !rc; k++)
      rc = add_file(x, x->files[i]->imports[k]);
  return rc;
}

/* ---- Names ---- */

static int add_symbol(reflection_index *x, size_t file, caw_str scope, caw_str name,
                      caw_str *full) {
  caw_str s = caw_arena_printf(x->arena, "%.*s%s%.*s", CAW_STR_ARG(scope), scope.len ? "." : "",
                               CAW_STR_ARG(name));
  if (!s.data ||
      grow(x->arena, (void **)&x->symbols, x->n_symbols, &x->symbols_room, sizeof(*x->symbols)))
    return CAW_ENOMEM;
  x->symbols[x->n_symbols++] = (reflection_symbol){s, file};
  if (full) *full = s;
  return 0;
}

static int add_extension(reflection_index *x, size_t file, const caw_outline_field *f) {
  if (grow(x->arena, (void **)&x->extensions, x->n_extensions, &x->extensions_room,
           sizeof(*x->extensions)))
    return CAW_ENOMEM;
  caw_str type = f->extendee;
  if (type.len && type.data[0] == '.') type = caw_str_of(type.data + 1, type.len - 1);
  x->extensions[x->n_extensions++] = (reflection_extension){type, f->number, file};
  return 0;
}

static int add_fields(reflection_index *x, size_t file, caw_str scope,
                      const caw_outline_field *fields, size_t n, bool extensions) {
  int rc = 0;
  for (size_t i = 0; i < n && !rc; i++) {
    rc = add_symbol(x, file, scope, fields[i].name, NULL);
    if (!rc && extensions) rc = add_extension(x, file, &fields[i]);
  }
  return rc;
}

static int add_named(reflection_index *x, size_t file, caw_str scope,
                     const caw_outline_named *names, size_t n) {
  int rc = 0;
  for (size_t i = 0; i < n && !rc; i++) rc = add_symbol(x, file, scope, names[i].name, NULL);
  return rc;
}

/* The values of an enum are named beside it, not within (descriptor.proto). */
static int add_enums(reflection_index *x, size_t file, caw_str scope, const caw_outline_enum *enums,
                     size_t n) {
  int rc = 0;
  for (size_t i = 0; i < n && !rc; i++) {
    rc = add_symbol(x, file, scope, enums[i].name, NULL);
    if (!rc) rc = add_named(x, file, scope, enums[i].value.items, enums[i].value.len);
  }
  return rc;
}

/* Recursion as deep as the program's own types are nested. */
static int add_messages(reflection_index *x, size_t file, caw_str scope,
                        const caw_outline_message *messages, size_t n) {
  int rc = 0;
  for (size_t i = 0; i < n && !rc; i++) {
    const caw_outline_message *m = &messages[i];
    caw_str full = {NULL, 0};
    rc = add_symbol(x, file, scope, m->name, &full);
    if (!rc) rc = add_fields(x, file, full, m->field.items, m->field.len, false);
    if (!rc) rc = add_fields(x, file, full, m->extension.items, m->extension.len, true);
    if (!rc) rc = add_named(x, file, full, m->oneof_decl.items, m->oneof_decl.len);
    if (!rc) rc = add_enums(x, file, full, m->enum_type.items, m->enum_type.len);
    if (!rc) rc = add_messages(x, file, full, m->nested_type.items, m->nested_type.len);
  }
  return rc;
}

static int add_services(reflection_index *x, size_t file, caw_str scope,
                        const caw_outline_service *services, size_t n) {
  int rc = 0;
  for (size_t i = 0; i < n && !rc; i++) {
    caw_str full = {NULL, 0};
    rc = add_symbol(x, file, scope, services[i].name, &full);
    if (!rc) rc = add_named(x, file, full, services[i].method.items, services[i].method.len);
  }
  return rc;
}

static int add_names(reflection_index *x, size_t i) {
  const caw_pb_file *file = x->files[i];
  caw_outline_file outline = {0};
  int rc = caw_pb_decode_bounded(&outline, x->arena, &caw_outline_file_type, file->descriptor,
                                 file->descriptor_len, SIZE_MAX);
  caw_str scope = outline.package;
  if (!rc) rc = add_messages(x, i, scope, outline.message_type.items, outline.message_type.len);
  if (!rc) rc = add_enums(x, i, scope, outline.enum_type.items, outline.enum_type.len);
  if (!rc) rc = add_services(x, i, scope, outline.service.items, outline.service.len);
  if (!rc) rc = add_fields(x, i, scope, outline.extension.items, outline.extension.len, true);
  return rc;
}

/* ---- Order ---- */

static int compare_text(caw_str a, caw_str b) {
  size_t n = a.len < b.len ? a.len : b.len;
  int c = n ? memcmp(a.data, b.data, n) : 0;
  return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int compare_services(const void *a, const void *b) {
  return compare_text(*(const caw_str *)a, *(const caw_str *)b);
}

static int compare_symbols(const void *a, const void *b) {
  const reflection_symbol *x = a, *y = b;
  return compare_text(x->name, y->name);
}

static int compare_extensions(const void *a, const void *b) {
  const reflection_extension *x = a, *y = b;
  int c = compare_text(x->type, y->type);
  return c ? c : (x->number > y->number) - (x->number < y->number);
}

static void sort(void *items, size_t n, size_t size, int (*compare)(const void *, const void *)) {
  if (n) qsort(items, n, size, compare);
}

/* ---- Making ---- */

static int take_services(reflection_index *x, const caw_server *server) {
  const caw_pb_file *file;
  caw_str name;
  size_t n = 0;
  while (caw_server_service(server, n, &name, &file)) n++;
  x->services = caw_arena_calloc(x->arena, n + 1, sizeof(*x->services));
  int rc = x->services ? 0 : CAW_ENOMEM;
  for (size_t i = 0; i < n && !rc && caw_server_service(server, i, &name, &file); i++) {
    x->services[x->n_services++] = name;
    if (file) rc = add_file(x, file);
  }
  return rc;
}

int reflection_index_new(reflection_index **out, const caw_server *server) {
  caw_arena *arena = caw_arena_new(4096);
  reflection_index *x = arena ? caw_arena_calloc(arena, 1, sizeof(*x)) : NULL;
  if (!x) {
    caw_arena_free(arena);
    return CAW_ENOMEM;
  }
  x->arena = arena;
  int rc = take_services(x, server);
  if (!rc) rc = add_imports(x);
  for (size_t i = 0; i < x->n_files && !rc; i++) rc = add_names(x, i);
  if (rc) {
    caw_arena_free(arena);
    return rc;
  }
  sort(x->services, x->n_services, sizeof(*x->services), compare_services);
  sort(x->symbols, x->n_symbols, sizeof(*x->symbols), compare_symbols);
  sort(x->extensions, x->n_extensions, sizeof(*x->extensions), compare_extensions);
  *out = x;
  return 0;
}

void reflection_index_free(reflection_index *x) {
  if (x) caw_arena_free(x->arena);
}

/* ---- Finding ---- */

/* Files are few. */
size_t reflection_find_file(const reflection_index *x, caw_str name) {
  for (size_t i = 0; i < x->n_files; i++)
    if (caw_str_is(name, x->files[i]->name)) return i;
  return SIZE_MAX;
}

size_t reflection_find_symbol(const reflection_index *x, caw_str name) {
  reflection_symbol key = {name, 0};
  const reflection_symbol *found =
      x->n_symbols ? bsearch(&key, x->symbols, x->n_symbols, sizeof(key), compare_symbols) : NULL;
  return found ? found->file : SIZE_MAX;
}

size_t reflection_find_extension(const reflection_index *x, caw_str type, int32_t number) {
  reflection_extension key = {type, number, 0};
  const reflection_extension *found =
      x->n_extensions
          ? bsearch(&key, x->extensions, x->n_extensions, sizeof(key), compare_extensions)
          : NULL;
  return found ? found->file : SIZE_MAX;
}

size_t reflection_extensions_of(const reflection_index *x, caw_str type, size_t *first) {
  size_t n = 0;
  for (size_t i = 0; i < x->n_extensions; i++) {
    if (!caw_str_eq(x->extensions[i].type, type)) continue;
    if (!n++) *first = i;
  }
  return n;
}

bool reflection_has_message(const reflection_index *x, caw_str name) {
  size_t file = reflection_find_symbol(x, name);
  if (file == SIZE_MAX) return false;
  for (size_t i = 0; i < x->files[file]->message_count; i++) {
    const caw_pb_message *table = caw_pb_table(x->files[file]->messages[i]);
    if (table && caw_str_is(name, table->name)) return true;
  }
  return false;
}
