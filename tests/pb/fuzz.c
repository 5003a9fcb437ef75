/*
 * Fuzz target: any bytes decode within the bound of memory or fail; what
 * decodes can be encoded, and that is a fixed point; a copy of it is equal; it
 * can be printed; and when it has a JSON form, that is a fixed point too. The
 * first byte chooses the type.
 */
#include "everything.caw.h"
#include "google/protobuf/struct.caw.h"
#include "legacy.caw.h"

#include <caw/json.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const caw_type *const types[] = {&caw_test_everything_type, &caw_test_legacy_legacy_type,
                                        &caw_test_narrow_type, &google_protobuf_value_type};

static void must(bool condition) {
  if (!condition) abort();
}

static bool equal(const caw_type *type, const void *a, const void *b) {
  bool same;
  must(!caw_pb_equal(&same, type, a, b));
  return same;
}

/* Encodes, decodes and encodes again. */
static void check_fixed_point(const caw_type *type, const void *message, caw_arena *arena) {
  caw_str first, second;
  void *again = caw_arena_alloc(arena, type->size);
  must(!caw_pb_encode(&first, arena, type, message));
  must(!caw_pb_decode_bounded(again, arena, type, first.data, first.len, SIZE_MAX));
  must(!caw_pb_encode(&second, arena, type, again));
  must(caw_str_eq(first, second));
  must(equal(type, message, again));
}

/* A copy is equal, and so is a message merged into an empty one and what comes
 * of merging the bytes. */
static void check_copy(const caw_type *type, const void *message, caw_arena *arena) {
  caw_str once, twice, text;
  void *copy = caw_arena_alloc(arena, type->size), *decoded = caw_arena_alloc(arena, type->size);
  must(!caw_pb_copy(copy, arena, type, message));
  must(equal(type, message, copy));
  must(!caw_pb_merge(copy, arena, type, message));
  must(!caw_pb_encode(&once, arena, type, message));
  char *both = caw_arena_alloc(arena, 2 * once.len);
  if (once.len) memcpy(both, once.data, once.len);
  if (once.len) memcpy(both + once.len, once.data, once.len);
  must(!caw_pb_decode_bounded(decoded, arena, type, both, 2 * once.len, SIZE_MAX));
  must(equal(type, decoded, copy));
  must(!caw_pb_encode(&twice, arena, type, copy));
  must(!caw_pb_print(&text, arena, type, copy));
}

/* Not the first text: a NullValue that is not zero is null there and then not
 * set. The second is a fixed point. */
static void check_json(const caw_type *type, const void *message, caw_arena *arena) {
  static const caw_pb_file *const files[] = {&caw_file_everything_proto, &caw_file_legacy_proto};
  static caw_pb_types *known;
  if (!known) must(!caw_pb_types_new(&known, files, 2));
  caw_json_write_options w = {.size = sizeof(w), .types = known};
  caw_json_read_options r = {.size = sizeof(r), .types = known, .memory = SIZE_MAX};
  caw_str first, second, third;
  void *again = caw_arena_alloc(arena, type->size);
  if (caw_json_write(&first, arena, type, message, &w, NULL)) return;
  must(!caw_json_read(again, arena, type, first, &r, NULL));
  must(!caw_json_write(&second, arena, type, again, &w, NULL));
  must(!caw_json_read(again, arena, type, second, &r, NULL));
  must(!caw_json_write(&third, arena, type, again, &w, NULL));
  must(caw_str_eq(second, third));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  if (!len) return 0;
  const caw_type *type = types[data[0] % 4];
  caw_arena *arena = caw_arena_new(0);
  void *message = malloc(type->size);
  uint8_t *bytes = malloc(len); /* exactly, for the sanitizers */
  memcpy(bytes, data + 1, len - 1);
  int rc = caw_pb_decode(message, arena, type, bytes, len - 1);
  must(caw_arena_used(arena) <= CAW_PB_EXPANSION * (len - 1) + CAW_PB_FLOOR + 16);
  if (!rc) {
    check_fixed_point(type, message, arena);
    check_copy(type, message, arena);
    check_json(type, message, arena);
  }
  caw_arena_free(arena);
  free(message);
  free(bytes);
  return 0;
}
