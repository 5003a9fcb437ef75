/*
 * Fuzz target: any bytes decode within the bound of memory or fail; what
 * decodes can be encoded, and that is a fixed point. The first byte chooses
 * the type.
 */
#include "everything.caw.h"
#include "google/protobuf/struct.caw.h"
#include "legacy.caw.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const caw_type *const types[] = {&caw_test_everything_type, &caw_test_legacy_legacy_type,
                                        &caw_test_narrow_type, &google_protobuf_value_type};

static void must(bool condition) {
  if (!condition) abort();
}

/* Encodes, decodes and encodes again. */
static void check_fixed_point(const caw_type *type, const void *message, caw_arena *arena) {
  caw_str first, second;
  void *again = caw_arena_alloc(arena, type->size);
  must(!caw_pb_encode(&first, arena, type, message));
  must(!caw_pb_decode_bounded(again, arena, type, first.data, first.len, SIZE_MAX));
  must(!caw_pb_encode(&second, arena, type, again));
  must(caw_str_eq(first, second));
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
  if (!rc) check_fixed_point(type, message, arena);
  caw_arena_free(arena);
  free(message);
  free(bytes);
  return 0;
}
