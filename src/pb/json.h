/*
 * What the files of the JSON mapping share: the path of a field, the reader
 * with its tokens, the writer. Internal to src/pb.
 */
#ifndef PB_JSON_H
#define PB_JSON_H

#include "base/buf.h"
#include "pb/wire.h"
#include "pb/wkt.h"

#include <caw/json.h>

/* -- paths (json_error.c) ------------------------------------------------ */

/* Where in a message something is: a list from the innermost step outwards, of
 * structs on the stack of those who descended. */
typedef struct json_step {
  const struct json_step *up;
  enum { JSON_FIELD, JSON_INDEX, JSON_KEY } kind;
  caw_str name;
  size_t index;
} json_step;

/* The start of `s` between quotes, escaped where it is not plain text. */
#define JSON_QUOTED 80
const char *json_quoted(char out[JSON_QUOTED], caw_str s);

/* Fills the path and the text of an error from what it has already. */
void json_error_fill(caw_json_error *e, const json_step *at, const char *format, va_list args)
    CAW_PRINTF(3, 0);

/* -- reading ------------------------------------------------------------- */

typedef struct json_reader {
  const char *begin, *p, *end; /* the text; p is what comes next */
  caw_arena *arena;
  size_t budget; /* bytes that may still be taken from the arena */
  const json_step *at;
  int err; /* why reading stopped */
  bool ignore_unknown;
  bool skipped; /* the value just read is an enum's name that is unknown, ignored */
  const caw_pb_types *types;
  uint8_t *seen; /* a bit per field of the messages that are open */
  size_t seen_len, seen_room;
  caw_json_error *error;
} json_reader;

/* All functions below return false (or 0 or NULL) once r->err is set. */

/* Sets the error, `at` being where in the text it is; the first one stays. */
bool json_fail(json_reader *r, int err, const char *at, const char *format, ...) CAW_PRINTF(4, 5);

/* "expected `wanted`, found ..." for what comes next. */
bool json_expected(json_reader *r, const char *wanted);

/* Memory from the arena, within the budget. */
void *json_take(json_reader *r, size_t bytes);
void *json_take_zeroed(json_reader *r, size_t bytes);
void *json_take_array(json_reader *r, size_t count, size_t size);

/* Tokens (json_token.c). */

/* Skips white space and returns the next byte, '\0' at the end of the text. */
char json_peek(json_reader *r);

/* Takes this byte, if it is what comes next. */
bool json_take_char(json_reader *r, char c);

/* Takes a string, which is next, without its quotes and escapes. */
bool json_string(json_reader *r, caw_str *out);

/* Takes a number, which is next. */
bool json_number(json_reader *r, caw_str *out);

/* Takes `true`, `false` or `null`. */
bool json_word(json_reader *r, const char *word);

/* Takes any value, without memory; `depth` more levels may open. */
bool json_skip(json_reader *r, int depth);

/* The members of an object: json_object takes the brace; json_member, asked
 * until it returns false, a name with its colon. *count is 0 at first. */
bool json_object(json_reader *r, const char *wanted);
bool json_member(json_reader *r, size_t *count, caw_str *name, const char **name_at);

/* json_member without memory: *same is whether the name is `name`, which has
 * at most JSON_PASSED bytes, or is NULL. */
#define JSON_PASSED 8
bool json_pass_member(json_reader *r, size_t *count, const char *name, bool *same);

/* The elements of an array, in the same way. */
bool json_array(json_reader *r);
bool json_element(json_reader *r, size_t *count);

/* Numbers, strings, bools and enums (json_scalar.c): fills the member at `at`
 * with the value of field f that comes next. */
bool json_read_scalar(json_reader *r, const caw_pb_field *f, uint8_t *at);

/* The same for the name of a map's member. `name_at` is where it stands. */
bool json_read_key(json_reader *r, const caw_pb_field *f, uint8_t *at, caw_str name,
                   const char *name_at);

/* Messages (json_read.c); `depth` more levels may open below this one. */
bool json_read_message(json_reader *r, const caw_pb_message *t, uint8_t *m, int depth);

/* The fields of a message as an object's members. With `any`, its "@type" is
 * passed over. */
bool json_read_fields(json_reader *r, const caw_pb_message *t, uint8_t *m, int depth, bool any);

/* Passes over the "@type" of an Any, if that is the member's name. *typed is
 * whether it came before. */
bool json_is_type(json_reader *r, caw_str name, const char *name_at, bool *typed);

/* A field of the message m that is an array or map, and nothing else. */
bool json_read_repeated(json_reader *r, const caw_pb_field *f, uint8_t *m, int depth);

/* A field that is one message: allocates it. */
bool json_read_sub(json_reader *r, const caw_pb_field *f, uint8_t *m, int depth);

/* A message that has a form of its own (json_read_wkt.c). */
bool json_read_wkt(json_reader *r, pb_wkt kind, const caw_pb_message *t, uint8_t *m, int depth);

/* -- writing ------------------------------------------------------------- */

typedef struct json_writer {
  buf out;
  caw_json_write_options o;
  unsigned level; /* of objects and arrays that are open */
  const json_step *at;
  int err;
  caw_arena *scratch; /* what Anys hold, decoded; made when it is needed */
  unsigned anys;      /* that are open, one in the other */
  caw_json_error *error;
} json_writer;

void json_write_fail(json_writer *w, int err, const char *format, ...) CAW_PRINTF(3, 4);

/* Text as it is. */
void json_put(json_writer *w, const char *text, size_t len);

/* A byte of a string, escaped where it must be. */
void json_put_char(json_writer *w, char c);

/* A string with its quotes and escapes; sets the error when it is not UTF-8. */
void json_put_string(json_writer *w, caw_str s);

/* The separator before a member or element, and the line it stands on: *count
 * is how many came before. json_close ends the object or array. */
void json_open(json_writer *w, char bracket);
void json_next(json_writer *w, size_t *count);
void json_name(json_writer *w, caw_str name);
void json_close(json_writer *w, char bracket, size_t count);

/* A value that is no message. */
void json_write_scalar(json_writer *w, const caw_pb_field *f, const uint8_t *at);

/* A message; NULL is an empty one. */
void json_write_message(json_writer *w, const caw_pb_message *t, const uint8_t *m, int depth);

/* The members of a message; *count goes on. */
void json_write_fields(json_writer *w, const caw_pb_message *t, const uint8_t *m, int depth,
                       size_t *count);

/* A field that is an array or a map. */
void json_write_repeated(json_writer *w, const caw_pb_field *f, const uint8_t *at, int depth);

/* A message that has a form of its own (json_write_wkt.c). */
void json_write_wkt(json_writer *w, pb_wkt kind, const caw_pb_message *t, const uint8_t *m,
                    int depth);

/* The message's members may be read: memory for an empty one in place of NULL. */
const uint8_t *json_not_null(json_writer *w, const caw_pb_message *t, const uint8_t *m);

/* The arena for what the writer needs on its way, or NULL with the error set. */
caw_arena *json_scratch(json_writer *w);

#endif
