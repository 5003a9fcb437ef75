/*
 * Caw's half of the differential test; differential.py is the other.
 *
 *   peer echo              frames from stdin, decoded and encoded, to stdout
 *   peer make SEED COUNT   random messages to stdout
 *   peer check SEED COUNT  the same messages after the other side had them,
 *                          from stdin, must be equal
 *
 * A frame is the number of a type, a length, and that many bytes; numbers are
 * 32 bits, little-endian. In answers, the type is the return code, 0 for good.
 */
#include "everything.caw.h"
#include "legacy.caw.h"
#include "messages.h"

#include <caw/status.h>
#include <stdio.h>
#include <stdlib.h>

static const caw_type *const types[] = {&caw_test_everything_type, &caw_test_narrow_type,
                                        &caw_test_legacy_legacy_type};

typedef struct frame {
  uint32_t type, len;
} frame;

static int complain(const char *what, unsigned long long number) {
  fprintf(stderr, "peer: %s (message %llu)\n", what, number);
  return 1;
}

static bool read_frame(frame *f, char **data, size_t *room) {
  if (fread(f, sizeof(*f), 1, stdin) != 1 || f->type >= sizeof(types) / sizeof(types[0]))
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
  if (argc == 4 && !strcmp(argv[1], "make")) rc = make(arena, r, count);
  if (argc == 4 && !strcmp(argv[1], "check")) rc = check(arena, r, count);
  if (fflush(stdout)) rc = 1;
  caw_arena_free(arena);
  return rc;
}
