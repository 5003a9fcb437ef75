/*
 * JSON of Protocol Buffers messages, as protobuf's documentation of ProtoJSON
 * defines it: for configuration, logs, web pages and people. The messages are
 * those of protoc-gen-caw (caw/pb.h).
 *
 *   - Names are lowerCamelCase, or as declared with json_name; reading also
 *     takes those of the .proto file.
 *   - 64-bit integers are strings, bytes are base64, enums are names. Reading
 *     also takes numbers for both, numbers in strings, and base64 without
 *     padding or with the URL alphabet.
 *   - Any, Timestamp, Duration, FieldMask, Struct, Value, ListValue and the
 *     wrappers of google.protobuf have forms of their own. They are known by
 *     their full names.
 *   - null in place of a value means that the field is not set.
 *   - Nothing depends on the program's locale. A double or float is written
 *     with as few digits as read back to the same number.
 *   - Unknown fields, also extensions of proto2, have no JSON and are left out.
 */
#ifndef CAW_JSON_H
#define CAW_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <caw/arena.h>
#include <caw/codec.h>
#include <caw/export.h>
#include <caw/pb.h>
#include <caw/str.h>

CAW_BEGIN_DECLS

/* Bytes of arena that reading may take: this many per byte of text, and
 * CAW_PB_FLOOR. Any google.protobuf.Value fits: `[[[[]]]]` takes 32. */
#define CAW_JSON_EXPANSION 32

/* What is wrong, for people. Filled when a function fails, else untouched. */
typedef struct caw_json_error {
  size_t offset;  /* bytes of the text before the mistake; writing: 0 */
  size_t line;    /* 1, 2, ...; writing: 0 */
  size_t column;  /* 1, 2, ... counted in characters; writing: 0 */
  char path[160]; /* of the field: `rooms[2].labels["a"].name`; may be empty;
                     ends in "..." where it was too long */
  char text[384]; /* all of it: "3:14: rooms[2].name: expected a string, found
                     a number". UTF-8 in one line, ends in NUL */
} caw_json_error;

/* The zero value of each member is the default. */
typedef struct caw_json_read_options {
  size_t size;               /* sizeof(caw_json_read_options) */
  const caw_pb_types *types; /* what an Any may hold; NULL: nothing */
  bool ignore_unknown;       /* skip unknown fields, and enum values whose name is
                                unknown, in place of refusing them */
  size_t memory;             /* bytes that may come from the arena; SIZE_MAX: as many as
                                there are; 0: CAW_JSON_EXPANSION per byte of text (more
                                if the type has more by `expansion=N`), and CAW_PB_FLOOR */
} caw_json_read_options;

/*
 * Fills `*message`, which need not be initialised, from one JSON value in
 * `text`. Strings without a backslash point into the text, which must live as
 * long as the message; the rest comes from the arena. `options` and `error`
 * may be NULL. On an error the message is empty.
 *
 * Refused are: what is not JSON by RFC 8259, or not UTF-8; lone surrogates; a
 * field, a member of a oneof, or a map's key that comes twice; null in lists
 * and maps; numbers that the field's type cannot hold exactly (fractions and
 * exponents are fine where the value is a whole number) or, with double and
 * float, cannot hold at all; unknown fields and enum names; an Any whose type
 * is not among options.types.
 *
 * The text is read once, from begin to end; only an Any whose "@type" does not
 * come first is searched for it before, so that a text of n bytes that is made
 * of such Anys costs up to CAW_PB_DEPTH * n. Arrays that are being read take at
 * most twice what they will take of the arena, and 1 KiB per level, from caw_malloc
 * for the moment.
 *
 * Returns 0; CAW_EJSON; CAW_EUTF8; CAW_EDEPTH when messages nest deeper than
 * caw_pb_decode would take them (in a google.protobuf.Struct each object counts
 * as three, in a ListValue each array as two); CAW_ENOMEM; CAW_ETOOBIG for a
 * text of 2 GiB and more; CAW_EINVAL when the type is not one of caw_pb_codec
 * (both without filling `error`). Any thread. Since 0.1.
 */
CAW_API int caw_json_read(void *message, caw_arena *arena, const caw_type *type, caw_str text,
                          const caw_json_read_options *options, caw_json_error *error);

/* The zero value of each member is the default. */
typedef struct caw_json_write_options {
  size_t size;               /* sizeof(caw_json_write_options) */
  const caw_pb_types *types; /* what an Any may hold; NULL: nothing */
  bool emit_defaults;        /* write fields that are not set too, where that is not
                                something else: numbers, strings, enums, lists, maps, but
                                no messages, `optional` fields and members of a oneof */
  bool original_names;       /* names as in the .proto file */
  bool enums_as_numbers;     /* write numbers for enums */
  unsigned indent;           /* spaces per level, at most 8; 0: all in one line */
  size_t max;                /* bytes that the text may have; 0: as many as it has. Set it
                                for messages that came from a peer: with `indent`, two
                                bytes of a message may become 1,600 of text */
} caw_json_write_options;

/*
 * Writes `message` as JSON into *out: bytes from the arena, with a NUL behind
 * them that is not counted. Fields stand in the order of their numbers.
 * `options` and `error` may be NULL.
 *
 * Returns 0; CAW_EJSON when something has no JSON form: a Timestamp, Duration
 * or FieldMask with a value out of its range, a Value that is not set or not
 * finite, an Any of a type that is not among options.types or with bytes that
 * are no such message; CAW_EUTF8; CAW_EDEPTH; CAW_ENOMEM; CAW_ETOOBIG when the
 * text would be longer than options.max; CAW_EINVAL as caw_json_read, or when an
 * array's items are NULL. *out is empty then. Takes at most four times the
 * text's bytes from caw_malloc for the moment, and what decoding each Any takes.
 * Any thread. Since 0.1.
 */
CAW_API int caw_json_write(caw_str *out, caw_arena *arena, const caw_type *type,
                           const void *message, const caw_json_write_options *options,
                           caw_json_error *error);

CAW_END_DECLS

#endif
