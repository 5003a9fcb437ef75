/*
 * How the names of a .proto file become names of C. The rules are part of the
 * ABI of generated code and written down in docs/mangling.md.
 */
#ifndef PLUGIN_NAMES_H
#define PLUGIN_NAMES_H

#include <caw/str.h>

/* One name in snake case, without the underscore of reserved words. */
const char *names_snake(caw_str name);

/* A name with dots: each part in snake case, joined by '_'. */
const char *names_join(caw_str full);

/* In capitals. */
const char *names_upper(const char *name);

/* The name, or the name and an underscore when C or C++ reserves it. */
const char *names_usable(const char *name);

/* A path with every character that is not a letter or digit replaced by '_'. */
const char *names_of_path(const char *path);

/* Can it begin a C identifier and be followed by more? */
bool names_is_identifier(caw_str s);

#endif
