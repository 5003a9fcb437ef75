/*
 * What a field is in C: the name and type of its member, where its presence is
 * kept, and what its table says.
 */
#ifndef PLUGIN_FIELDS_H
#define PLUGIN_FIELDS_H

#include "model.h"

/* A field of a message. */
typedef struct field {
  const field_proto *proto;
  const model_type *owner;
  const model_type *type; /* of messages and enums, else NULL */
  const char *name;       /* of the member */
  const char *has;        /* "has_x", or NULL */
  const char *oneof;      /* the member that is the union, or NULL */
  path path;
  uint32_t number;
  bool repeated, packed, map, utf8, closed;
} field;

/* The fields of a message in the order of the source, in the arena. */
field *fields_of(const model *m, const model_type *t);

/* The C type of one value: "caw_str", "chat_user". */
const char *fields_c_type(const field *f);

/* 8, 4 or 1: the alignment of its member in the struct. */
int fields_align(const field *f);

/* The name of the member for a oneof, NULL for one made up by protoc. */
const char *fields_oneof(const model_type *t, size_t index);

/* Is it one that protoc made up for an `optional` of proto3? */
bool fields_synthetic(const message_proto *m, size_t index);

/* The enumerator of a oneof's case: of a field, or for NULL of none. */
const char *fields_case(const model_type *t, const char *oneof, const field *f);

#endif
