/*
 * What the plugin knows of a run: the files of the request, their types by
 * name, the C name of each, comments and places in the source. Built once by
 * model_build, which also finds collisions of names; only read afterwards.
 */
#ifndef PLUGIN_MODEL_H
#define PLUGIN_MODEL_H

#include "base/map.h"
#include "google/protobuf/compiler/plugin.caw.h"
#include "google/protobuf/descriptor.caw.h"
#include <caw/pb.h>

typedef google_protobuf_file_descriptor_proto file_proto;
typedef google_protobuf_descriptor_proto message_proto;
typedef google_protobuf_field_descriptor_proto field_proto;
typedef google_protobuf_enum_descriptor_proto enum_proto;
typedef google_protobuf_service_descriptor_proto service_proto;
typedef google_protobuf_method_descriptor_proto method_proto;
typedef google_protobuf_compiler_code_generator_request request;

typedef struct options {
  const char *prefix; /* of files without a package; "" for none */
  bool comments;      /* carry comments over */
  unsigned expansion; /* for the tables; 0: the runtime's */
} options;

/* Where a thing is in a descriptor (SourceCodeInfo.Location.path). */
typedef struct path {
  const int32_t *items;
  size_t len;
} path;

struct model;
typedef struct model_type model_type;

typedef struct model_file {
  const struct model *model;
  const file_proto *proto;
  const char *name;      /* "dir/file.proto" */
  const char *base;      /* "dir/file" */
  const char *symbol;    /* of its caw_pb_file */
  const char *c_package; /* package or prefix in snake case, "" for none */
  model_type *types;     /* messages and enums; a message before those inside it */
  size_t type_count;
  size_t index;
  bool proto3;
  bool generate; /* asked for, not just imported */
  map locations; /* path -> SourceCodeInfo.Location */
} model_file;

/* A message or an enum. */
struct model_type {
  model_file *file;
  const model_type *parent;
  const message_proto *message;  /* or NULL */
  const enum_proto *enumeration; /* or NULL */
  path path;
  const char *full;     /* "pkg.Outer.Inner" */
  const char *c_name;   /* "pkg_outer_inner" */
  const char *constant; /* "pkg_outer_inner_type", for enums "..._enum" */
  bool entry;           /* of a map */
  bool maps;            /* has a map, or a message below may have one */
};

typedef struct model {
  options options;
  model_file *files;
  size_t file_count;
  map types;         /* full name -> model_type */
  map idents;        /* ordinary identifiers -> claim */
  map tags;          /* struct and enum tags -> claim */
  const char *error; /* the first one, or NULL */
} model;

/* Fills *m from a request. Returns false with m->error set. */
bool model_build(model *m, const request *req, const options *o);

/* Frees what is not in the arena; a zeroed model is fine. */
void model_finish(model *m);

/* Notes an error of the run; the first one is told. */
void model_fail(model *m, const char *error);

/* The type of a field of message or enum type. */
const model_type *model_type_of(const model *m, const field_proto *f);

/* The comment on the thing at a path of a file, empty for none. */
caw_str model_comment(const model_file *f, path p);

/* "file.proto:12" when the source is known, else "file.proto". */
const char *model_place(const model_file *f, path p);

/* A path with two more steps. */
path model_path(path p, int32_t step, size_t index);

/* The C name of an enum value: as in the .proto, behind the scope in capitals. */
const char *model_value_name(const char *scope, caw_str value);

/* Claims a name in a scope for the thing `what` at `p`; a name that is taken
 * is an error of the run if one of the two files is to be generated. */
void model_claim(model *m, map *scope, const char *name, const char *what, const model_file *f,
                 path p);

/* Numbers of fields in descriptor.proto, as they stand in paths. */
enum {
  PATH_FILE_MESSAGE = 4,
  PATH_FILE_ENUM = 5,
  PATH_FILE_SERVICE = 6,
  PATH_MESSAGE_FIELD = 2,
  PATH_MESSAGE_NESTED = 3,
  PATH_MESSAGE_ENUM = 4,
  PATH_MESSAGE_ONEOF = 8,
  PATH_ENUM_VALUE = 2,
  PATH_SERVICE_METHOD = 2
};

#endif
