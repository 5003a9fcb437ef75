/*
 * Protocol Buffers: the binary format of the messages that protoc-gen-caw
 * writes structs and tables for.
 *
 * A message is a plain C struct, and {0} is the empty one. Its generated
 * header says what its members are; this header has what they share, the
 * tables that describe them, and the functions that turn them into bytes and
 * back. docs/mangling.md has the rules of the names.
 *
 * What decoding promises
 *   - Strings, bytes and unknown fields point into the received bytes, which
 *     must live as long as the message. The rest comes from the arena.
 *   - Fields that the struct does not know are kept and sent again, byte for
 *     byte, behind the known ones. So are values that a proto2 enum lacks.
 *   - Messages and groups nest at most 100 deep below the outermost message:
 *     CAW_EDEPTH. The limit holds for encoding too, whose input may be cyclic.
 *   - A `string` of proto3 is valid UTF-8, in both directions: CAW_EUTF8.
 *   - Decoding takes at most 8 bytes from the arena per byte of input, plus
 *     64 KiB: CAW_ENOMEM. Arrays are allocated for exactly the elements that
 *     follow one another on the wire, as every encoder writes them; only a
 *     repeated field that is scattered grows by doubling. So the limit is met
 *     only by more than 64 KiB of mostly empty sub-messages of a wide type. A
 *     schema that is made of these says so with the plugin's option
 *     `expansion=N`, or the program with caw_pb_decode_bounded.
 *   - A map keeps the order of its entries on the wire, each key once: the
 *     last entry of a key counts. Finding that out takes 8 bytes per entry from
 *     caw_malloc for a moment, unless the keys ascend.
 *   - `required` of proto2 is read and written like `optional`; nothing
 *     checks it.
 */
#ifndef CAW_PB_H
#define CAW_PB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <caw/arena.h>
#include <caw/codec.h>
#include <caw/export.h>
#include <caw/str.h>

CAW_BEGIN_DECLS

/* How deep messages and groups may nest below the outermost message. */
#define CAW_PB_DEPTH 100

/* Bytes of arena that decoding may take: this many per byte of input, ... */
#define CAW_PB_EXPANSION 8

/* ... plus this many, so that a small message of a wide type always fits. */
#define CAW_PB_FLOOR 65536

/* The longest text of caw_pb_print: messages come from peers, and the text of one
 * that is made for it is hundreds of times as long as its bytes. */
#define CAW_PB_PRINT_MAX ((size_t)1 << 20)

/* The type of a field; the numbers are FieldDescriptorProto.Type's. */
typedef enum caw_pb_type {
  CAW_PB_DOUBLE = 1,
  CAW_PB_FLOAT = 2,
  CAW_PB_INT64 = 3,
  CAW_PB_UINT64 = 4,
  CAW_PB_INT32 = 5,
  CAW_PB_FIXED64 = 6,
  CAW_PB_FIXED32 = 7,
  CAW_PB_BOOL = 8,
  CAW_PB_STRING = 9,
  CAW_PB_GROUP = 10,
  CAW_PB_MESSAGE = 11,
  CAW_PB_BYTES = 12,
  CAW_PB_UINT32 = 13,
  CAW_PB_ENUM = 14,
  CAW_PB_SFIXED32 = 15,
  CAW_PB_SFIXED64 = 16,
  CAW_PB_SINT32 = 17,
  CAW_PB_SINT64 = 18
} caw_pb_type;

/* Flags of a field. Without REPEATED, HAS and ONEOF, a field that is not a
 * message is present when it is not zero or empty. */
enum {
  CAW_PB_REPEATED = 1,  /* the member is {items, len}; maps are too */
  CAW_PB_PACKED = 2,    /* sent packed; both forms are received */
  CAW_PB_MAP = 4,       /* the items are entries {key, value} */
  CAW_PB_HAS = 8,       /* `has` is the offset of a bool */
  CAW_PB_ONEOF = 16,    /* `has` is the offset of the case, a 32-bit number */
  CAW_PB_UTF8 = 32,     /* checked to be UTF-8 */
  CAW_PB_CLOSED = 64,   /* an enum of proto2: other values are unknown fields */
  CAW_PB_REQUIRED = 128 /* declared `required` */
};

/*
 * One field. In the struct, a message or group is a pointer (NULL: absent), an
 * enum an int32_t, a string or bytes a caw_str, a bool a bool, and the other
 * types are what their names say. A repeated field is a struct of a pointer to
 * the elements, not to pointers to them, and a size_t.
 */
typedef struct caw_pb_field {
  const char *name;      /* as in the .proto file */
  const char *json_name; /* lowerCamelCase, or as declared */
  const void *sub;       /* const caw_type * of a message, const caw_pb_enum * */
  uint32_t tag;          /* number << 3 | wire type as it is sent */
  uint32_t offset;       /* of the member */
  uint32_t has;          /* with HAS or ONEOF */
  uint8_t type;          /* caw_pb_type */
  uint8_t flags;
  uint16_t reserved; /* 0 */
} caw_pb_field;

/* Flags of a message table. */
enum {
  CAW_PB_ENTRY = 1,  /* the entry of a map: a key and a value, no unknown fields */
  CAW_PB_PROTO2 = 2, /* declared in a proto2 file */
  CAW_PB_MAPS = 4    /* has a map, or a message below it may have one */
};

/*
 * One message type. Except in an entry of a map, the struct's first member is
 * `caw_pb_unknown *caw_unknown`.
 */
typedef struct caw_pb_message {
  const char *name;           /* full, without a leading dot */
  const caw_pb_field *fields; /* sorted by number; NULL when there are none */
  const uint16_t *by_name;    /* sorted: 2 * i for fields[i].name, 2 * i + 1 for its
                                 json_name where that differs */
  uint32_t size;              /* of the struct */
  uint16_t field_count;
  uint16_t name_count; /* of by_name */
  uint16_t dense;      /* fields[i] has number i + 1 for i < dense */
  uint16_t expansion;  /* in place of CAW_PB_EXPANSION; 0: that */
  uint32_t flags;
} caw_pb_message;

typedef struct caw_pb_enum_value {
  const char *name;
  int32_t number;
} caw_pb_enum_value;

/* One enum type. */
typedef struct caw_pb_enum {
  const char *name;                /* full, without a leading dot */
  const caw_pb_enum_value *values; /* sorted by number; aliases as declared */
  const uint16_t *by_name;         /* indices of values, sorted by name */
  uint16_t value_count;
  uint16_t flags; /* CAW_PB_CLOSED */
  int32_t first;  /* the number that was declared first, the default */
} caw_pb_enum;

/* One .proto file, for reflection and for finding types by name. */
typedef struct caw_pb_file {
  const char *name;                         /* "dir/file.proto" */
  const uint8_t *descriptor;                /* a serialized FileDescriptorProto */
  size_t descriptor_len;                    /* bytes of it */
  const struct caw_pb_file *const *imports; /* the files that it imports */
  const caw_type *const *messages;          /* its message types, nested ones too */
  const caw_pb_enum *const *enums;          /* its enum types, nested ones too */
  uint16_t import_count, message_count, enum_count, reserved;
} caw_pb_file;

/*
 * Unknown fields of a message: pieces of the received bytes, in a ring. The
 * message points to the last piece. Clear the member to drop them.
 */
typedef struct caw_pb_unknown {
  struct caw_pb_unknown *next;
  const uint8_t *data;
  size_t len;
} caw_pb_unknown;

/* The base of generated enums: any int32_t is a value of them. C has no syntax
 * for it before C23, where members are int32_t in any case. */
#ifdef __cplusplus
#define CAW_PB_ENUM_BASE : int32_t
#else
#define CAW_PB_ENUM_BASE
#endif

/*
 * The codec of generated messages, content-subtype "proto"; a caw_type's `desc`
 * is a caw_pb_message. measure also fails with CAW_EUTF8, CAW_EDEPTH,
 * CAW_ETOOBIG (2 GiB), or CAW_EINVAL (items is NULL and len is not 0). encode
 * fails with CAW_EINVAL when the message has changed since, and never writes
 * outside of `out`. Any thread. Since 0.1.
 */
CAW_API extern const caw_codec caw_pb_codec;

/*
 * Encodes `message` of type `type` into bytes from the arena, *out. Returns 0,
 * CAW_ENOMEM, or what measure returns. Any thread. Since 0.1.
 */
CAW_API int caw_pb_encode(caw_str *out, caw_arena *arena, const caw_type *type,
                          const void *message);

/*
 * Fills `*message`, which need not be initialised, from `len` bytes at `data`,
 * which must outlive it. On an error the message is empty. Returns 0,
 * CAW_EMALFORMED, CAW_EUTF8, CAW_EDEPTH or CAW_ENOMEM. Any thread. Since 0.1.
 */
CAW_API int caw_pb_decode(void *message, caw_arena *arena, const caw_type *type, const void *data,
                          size_t len);

/* The same with another limit: at most `memory` bytes from the arena, SIZE_MAX
 * for as many as there are. Since 0.1. */
CAW_API int caw_pb_decode_bounded(void *message, caw_arena *arena, const caw_type *type,
                                  const void *data, size_t len, size_t memory);

/* The table of a type that uses caw_pb_codec, or NULL. Since 0.1. */
CAW_API const caw_pb_message *caw_pb_table(const caw_type *type);

/* The field with this number, or NULL. Since 0.1. */
CAW_API const caw_pb_field *caw_pb_field_by_number(const caw_pb_message *table, uint32_t number);

/* The field whose name or json_name this is, or NULL. Since 0.1. */
CAW_API const caw_pb_field *caw_pb_field_by_name(const caw_pb_message *table, caw_str name);

/* The name of an enum's number; of aliases, the one declared first. NULL when
 * there is none. Since 0.1. */
CAW_API const char *caw_pb_enum_name(const caw_pb_enum *table, int32_t number);

/* Sets *number to the number of an enum's name. Returns false when there is
 * none, and leaves *number. Since 0.1. */
CAW_API bool caw_pb_enum_number(int32_t *number, const caw_pb_enum *table, caw_str name);

/* A set of message and enum types, found by their full names: what a
 * google.protobuf.Any may hold, or a program is asked for by name. */
typedef struct caw_pb_types caw_pb_types;

/*
 * Makes in *out the set of all types of `count` files and of all files that
 * these import; the tables are borrowed. Of two types with one name, as when
 * two libraries brought their own google.protobuf.Timestamp, the first counts.
 * Returns 0 or CAW_ENOMEM. Any thread. Since 0.1.
 */
CAW_API int caw_pb_types_new(caw_pb_types **out, const caw_pb_file *const *files, size_t count);

/* Frees the set; NULL is fine. Since 0.1. */
CAW_API void caw_pb_types_free(caw_pb_types *types);

/* The message or enum of this full name ("chat.v1.HelloRequest", no leading
 * dot), or NULL; `types` may be NULL, and is then empty. Any thread. Since
 * 0.1. */
CAW_API const caw_type *caw_pb_types_message(const caw_pb_types *types, caw_str name);
CAW_API const caw_pb_enum *caw_pb_types_enum(const caw_pb_types *types, caw_str name);

/*
 * Sets *equal to whether two messages of one type are the same data. Presence
 * counts; the order of a map's entries does not. Numbers are equal when their
 * bits are (so 0.0 and -0.0 differ), or both are NaN. Unknown fields are equal
 * when their bytes are; an Any is compared by its bytes too.
 *
 * Returns 0; CAW_EDEPTH when messages nest deeper than CAW_PB_DEPTH; CAW_ENOMEM
 * (16 bytes from caw_malloc for each entry of a map whose entries stand in
 * another order in `b`); CAW_EINVAL when the type is not one of caw_pb_codec or
 * an array's items are NULL.
 * *equal is false then. Any thread. Since 0.1.
 */
CAW_API int caw_pb_equal(bool *equal, const caw_type *type, const void *a, const void *b);

/*
 * Copies `from` into `*to`, which need not be initialised, and all that it
 * points to into the arena, unknown fields too: nothing is borrowed. Returns 0,
 * CAW_ENOMEM, CAW_EDEPTH as caw_pb_equal, or CAW_EINVAL; on an error `*to` is
 * empty. Any thread. Since 0.1.
 */
CAW_API int caw_pb_copy(void *to, caw_arena *arena, const caw_type *type, const void *from);

/*
 * Merges `from` into `*to`, as if the bytes of both stood one behind the other
 * (protobuf: "Last One Wins"): numbers, strings and enums that are set in
 * `from` replace those of `to`, messages are merged, lists follow one another,
 * entries of maps replace those of the same key, a oneof is replaced unless
 * both have the same message in it. What is new comes from the arena, and
 * nothing of `from` is borrowed. Messages below `*to` are changed in place.
 *
 * Returns what caw_pb_copy returns; on an error `*to` has a part of `from`.
 * Any thread. Since 0.1.
 */
CAW_API int caw_pb_merge(void *to, caw_arena *arena, const caw_type *type, const void *from);

/*
 * Writes `message` for people into *out: bytes from the arena, with a NUL
 * behind them that is not counted. The form is that of protobuf's text format,
 * one field a line, two spaces per level; lists of numbers or strings stand in
 * one line, unknown fields under their numbers, with what their bytes look like.
 * It is for logs and debuggers: the form may change, and nothing reads it. Text
 * that is not UTF-8 is escaped. A text that would be longer than
 * CAW_PB_PRINT_MAX is cut, and its last line is "...". Takes at most four times
 * the text's bytes from caw_malloc for the moment.
 *
 * Returns 0, CAW_ENOMEM, CAW_EDEPTH as caw_pb_equal, or CAW_EINVAL; *out is
 * empty then. Any thread. Since 0.1.
 */
CAW_API int caw_pb_print(caw_str *out, caw_arena *arena, const caw_type *type, const void *message);

CAW_END_DECLS

#endif
