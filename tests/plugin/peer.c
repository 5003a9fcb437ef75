/*
 * Caw's half of the differential tests; differential.py and
 * json_differential.py are the others.
 *
 *   peer echo              frames from stdin, decoded and encoded, to stdout
 *   peer make SEED COUNT   random messages to stdout
 *   peer check SEED COUNT  the same messages after the other side had them,
 *                          from stdin, must be equal
 *   peer to-json           frames from stdin, as JSON, to stdout
 *   peer from-json         JSON in frames from stdin, encoded, to stdout
 *
 * A frame is the number of a type, a length, and that many bytes; numbers are
 * 32 bits, little-endian. In answers, the type is the return code, 0 for good.
 * With JSON the type's second byte is for options, JSON_* below, and an answer
 * to what was refused is the error's text.
 */
#include "everything.caw.h"
#include "legacy.caw.h"
#include "messages.h"

#include <caw/json.h>
#include <caw/status.h>
#include <stdio.h>
#include <stdlib.h>

static const caw_type *const types[] = {&caw_test_everything_type, &caw_test_narrow_type,
                                        &caw_test_legacy_legacy_type};

enum { JSON_DEFAULTS = 1, JSON_NAMES = 2, JSON_NUMBERS = 4, JSON_INDENT = 8, JSON_IGNORE = 16 };

typedef struct frame {
  uint32_t type, len;
} frame;

static int complain(const char *what, unsigned long long number) {
  fprintf(stderr, "peer: %s (message %llu)\n", what, number);
  return 1;
}

static bool read_frame(frame *f, char **data, size_t *room) {
  if (fread(f, sizeof(*f), 1, stdin) != 1 || (f->type & 255) >= sizeof(types) / sizeof(types[0]))
    return false;
  if (f->len > *room) {
    *room = f->len * 2;
    *data = realloc(*data, *room);
  }
  return *data && fread(*data, 1, f->len, stdin) == f->len;
}

static void write_frame(int type, caw_str s) {
  frame f = {(uint32_t)type, (uint32_t)s.len};
  fwrite(&f, sizeof(f), 1, stdout);
  fwrite(s.data, 1, s.len, stdout);
}

static int echo(caw_arena *arena) {
  frame f;
  size_t room = 1 << 16;
  char *data = malloc(room);
  while (data && read_frame(&f, &data, &room)) {
    const caw_type *type = types[f.type];
    caw_str out = {NULL, 0};
    void *m = caw_arena_alloc(arena, type->size);
    int rc = caw_pb_decode(m, arena, type, data, f.len);
    if (!rc) rc = caw_pb_encode(&out, arena, type, m);
    write_frame(rc, out);
    caw_arena_reset(arena);
  }
  free(data);
  return 0;
}

static int to_json(caw_str *out, caw_arena *arena, const frame *f, const char *data,
                   const caw_pb_types *known) {
  const caw_type *type = types[f->type & 255];
  uint32_t options = f->type >> 8;
  caw_json_error error = {0};
  caw_json_write_options o = {.size = sizeof(o),
                              .types = known,
                              .emit_defaults = options & JSON_DEFAULTS,
                              .original_names = options & JSON_NAMES,
                              .enums_as_numbers = options & JSON_NUMBERS,
                              .indent = options & JSON_INDENT ? 3 : 0};
  void *m = caw_arena_alloc(arena, type->size);
  int rc = caw_pb_decode(m, arena, type, data, f->len);
  if (rc) *out = caw_str_from("decoding failed");
  else if ((rc = caw_json_write(out, arena, type, m, &o, &error)) != 0)
    *out = caw_arena_dup(arena, caw_str_from(error.text));
  return rc;
}

static int from_json(caw_str *out, caw_arena *arena, const frame *f, const char *data,
                     const caw_pb_types *known) {
  const caw_type *type = types[f->type & 255];
  caw_json_error error = {0};
  caw_json_read_options o = {.size = sizeof(o), .types = known};
  o.ignore_unknown = f->type >> 8 & JSON_IGNORE;
  void *m = caw_arena_alloc(arena, type->size);
  int rc = caw_json_read(m, arena, type, caw_str_of(data, f->len), &o, &error);
  if (rc) *out = caw_arena_dup(arena, caw_str_from(error.text));
  else rc = caw_pb_encode(out, arena, type, m);
  return rc;
}

static int json(caw_arena *arena, bool to) {
  static const caw_pb_file *const files[] = {&caw_file_everything_proto, &caw_file_legacy_proto};
  frame f;
  size_t room = 1 << 16;
  char *data = malloc(room);
  caw_pb_types *known;
  if (caw_pb_types_new(&known, files, 2)) return complain("out of memory", 0);
  while (data && read_frame(&f, &data, &room)) {
    caw_str out = {NULL, 0};
    int rc = to ? to_json(&out, arena, &f, data, known) : from_json(&out, arena, &f, data, known);
    write_frame(rc, out);
    caw_arena_reset(arena);
  }
  caw_pb_types_free(known);
  free(data);
  return 0;
}

/* The n-th random message of a run, encoded in normal form. */
static caw_str make_one(rng *r, size_t n, caw_arena *arena) {
  const caw_type *type = types[n % 2 ? 2 : 0];
  caw_str out;
  void *m = caw_arena_calloc(arena, 1, type->size);
  messages_fill(r, caw_pb_table(type), m, arena, 4);
  int rc = caw_pb_encode(&out, arena, type, m);
  if (rc) exit(complain(caw_strerror(rc), n));
  return out;
}

static int make(caw_arena *arena, rng r, size_t count) {
  for (size_t i = 0; i < count; i++) {
    write_frame(i % 2 ? 2 : 0, make_one(&r, i, arena));
    caw_arena_reset(arena);
  }
  return 0;
}

static int check(caw_arena *arena, rng r, size_t count) {
  frame f;
  size_t room = 1 << 16;
  char *data = malloc(room);
  for (size_t i = 0; i < count; i++) {
    if (!read_frame(&f, &data, &room)) return complain("the input ends", i);
    caw_str want = make_one(&r, i, arena), got;
    const caw_type *type = types[f.type];
    void *m = caw_arena_alloc(arena, type->size);
    int rc = caw_pb_decode(m, arena, type, data, f.len);
    if (rc) return complain(caw_strerror(rc), i);
    messages_normalize(caw_pb_table(type), m);
    rc = caw_pb_encode(&got, arena, type, m);
    if (rc) return complain(caw_strerror(rc), i);
    if (!caw_str_eq(want, got)) return complain("came back changed", i);
    caw_arena_reset(arena);
  }
  free(data);
  return 0;
}

int main(int argc, char **argv) {
  caw_arena *arena = caw_arena_new(65536);
  rng r = {argc > 2 ? strtoull(argv[2], NULL, 10) : 0};
  size_t count = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
  int rc = 2;
  if (argc == 2 && !strcmp(argv[1], "echo")) rc = echo(arena);
  if (argc == 2 && !strcmp(argv[1], "to-json")) rc = json(arena, true);
  if (argc == 2 && !strcmp(argv[1], "from-json")) rc = json(arena, false);
  if (argc == 4 && !strcmp(argv[1], "make")) rc = make(arena, r, count);
  if (argc == 4 && !strcmp(argv[1], "check")) rc = check(arena, r, count);
  if (fflush(stdout)) rc = 1;
  caw_arena_free(arena);
  return rc;
}
