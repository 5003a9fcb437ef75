/* The names that a server's files declare, sorted, and the file of each: what reflection
 * answers from. Made once, when the first question comes, and never changed. */
#ifndef SERVICES_REFLECTION_INDEX_H
#define SERVICES_REFLECTION_INDEX_H

#include <caw/pb.h>
#include <caw/server.h>

typedef struct reflection_symbol {
  caw_str name; /* "package.Type" */
  size_t file;  /* in `files` */
} reflection_symbol;

typedef struct reflection_extension {
  caw_str type; /* that is extended, "package.Type" */
  int32_t number;
  size_t file;
} reflection_extension;

typedef struct reflection_index {
  caw_arena *arena;
  const caw_pb_file **files; /* the described ones and all that they import */
  size_t n_files, files_room;
  reflection_symbol *symbols; /* by name */
  size_t n_symbols, symbols_room;
  reflection_extension *extensions; /* by type and number */
  size_t n_extensions, extensions_room;
  caw_str *services; /* by name */
  size_t n_services;
} reflection_index;

/* Makes the index of a server's services in *out. 0, CAW_ENOMEM, or the error of a
 * descriptor that cannot be read. */
int reflection_index_new(reflection_index **out, const caw_server *server);
void reflection_index_free(reflection_index *index);

/* Places in `files`, or SIZE_MAX. */
size_t reflection_find_file(const reflection_index *index, caw_str name);
size_t reflection_find_symbol(const reflection_index *index, caw_str name);
size_t reflection_find_extension(const reflection_index *index, caw_str type, int32_t number);

/* The extensions of a type: sets *first to the place of the first, returns how many. */
size_t reflection_extensions_of(const reflection_index *index, caw_str type, size_t *first);

/* Is there a message of this name? */
bool reflection_has_message(const reflection_index *index, caw_str name);

#endif
