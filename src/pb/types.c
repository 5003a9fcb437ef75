/* A set of types by name: the files and all that they import, gathered with a
 * list of work in place of recursion, and two hash maps. */
#include "base/map.h"
#include "pb/wire.h"

#include <caw/alloc.h>
#include <caw/status.h>

struct caw_pb_types {
  map messages, enums;
};

void caw_pb_types_free(caw_pb_types *types) {
  if (!types) return;
  map_finish(&types->messages);
  map_finish(&types->enums);
  caw_free(types);
}

/* Adds a name, unless it is there already. */
static int add(map *m, const char *name, const void *value) {
  int rc = map_add(m, caw_str_from(name), (void *)(uintptr_t)value);
  return rc == CAW_EEXIST ? 0 : rc;
}

static int add_file(caw_pb_types *types, const caw_pb_file *file) {
  int rc = 0;
  for (size_t i = 0; i < file->message_count && !rc; i++)
    rc = add(&types->messages, ((const caw_pb_message *)file->messages[i]->desc)->name,
             file->messages[i]);
  for (size_t i = 0; i < file->enum_count && !rc; i++)
    rc = add(&types->enums, file->enums[i]->name, file->enums[i]);
  return rc;
}

/* The files to be added, in the order they were found, each table once. What is
 * known is the table, not its name: of two files with one name, as when two
 * libraries brought their own timestamp.proto, both are looked through, and of
 * two types with one name the one that was found first counts (`add`). */
typedef struct work {
  map known; /* by the bytes of their addresses */
  const caw_pb_file **files;
  size_t len, room;
} work;

/* `*file` stands in the list or table that names it, which outlives the work:
 * its bytes are the key. */
static int find_file(work *w, const caw_pb_file *const *file) {
  caw_str key = caw_str_of((const char *)file, sizeof(*file));
  if (map_get(&w->known, key)) return 0;
  if (w->len == w->room) {
    size_t room = w->room ? 2 * w->room : 16;
    if (room > SIZE_MAX / sizeof(*w->files)) return CAW_ENOMEM;
    const caw_pb_file **files = caw_realloc(w->files, room * sizeof(*files));
    if (!files) return CAW_ENOMEM;
    w->files = files;
    w->room = room;
  }
  int rc = map_add(&w->known, key, (void *)(uintptr_t)*file);
  if (!rc) w->files[w->len++] = *file;
  return rc;
}

int caw_pb_types_new(caw_pb_types **out, const caw_pb_file *const *files, size_t count) {
  work w = {{NULL, 0, 0}, NULL, 0, 0};
  int rc = 0;
  *out = NULL;
  caw_pb_types *types = caw_calloc(1, sizeof(*types));
  if (!types) return CAW_ENOMEM;
  for (size_t i = 0; i < count && !rc; i++) rc = find_file(&w, &files[i]);
  for (size_t i = 0; i < w.len && !rc; i++) {
    const caw_pb_file *file = w.files[i];
    rc = add_file(types, file);
    for (size_t k = 0; k < file->import_count && !rc; k++) rc = find_file(&w, &file->imports[k]);
  }
  map_finish(&w.known);
  caw_free(w.files);
  if (rc) caw_pb_types_free(types);
  else *out = types;
  return rc;
}

const caw_type *caw_pb_types_message(const caw_pb_types *types, caw_str name) {
  return types && name.len ? map_get(&types->messages, name) : NULL;
}

const caw_pb_enum *caw_pb_types_enum(const caw_pb_types *types, caw_str name) {
  return types && name.len ? map_get(&types->enums, name) : NULL;
}
