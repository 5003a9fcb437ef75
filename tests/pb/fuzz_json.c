/*
 * Fuzz target: any text is read within the bound of memory or refused with a
 * sentence; what was read can be written, and reads back to an equal message,
 * however it is written. The first byte chooses type and options.
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

static const caw_pb_types *known(void) {
  static const caw_pb_file *const files[] = {&caw_file_everything_proto, &caw_file_legacy_proto};
  static caw_pb_types *all;
  if (!all) must(!caw_pb_types_new(&all, files, 2));
  return all;
}

/* Written with these options it reads back. */
static void check_round_trip(const caw_type *type, const void *message, uint8_t bits,
                             caw_arena *arena) {
  caw_json_write_options w = {.size = sizeof(w),
                              .types = known(),
                              .emit_defaults = bits & 1,
                              .original_names = bits & 2,
                              .enums_as_numbers = bits & 4,
                              .indent = bits & 8 ? 2 : 0};
  caw_json_read_options r = {.size = sizeof(r), .types = known(), .memory = SIZE_MAX};
  caw_str text, bytes;
  bool same;
  void *again = caw_arena_alloc(arena, type->size);
  must(!caw_json_write(&text, arena, type, message, &w, NULL));
  must(!caw_json_read(again, arena, type, text, &r, NULL));
  must(!caw_pb_equal(&same, type, message, again) && same);
  must(!caw_pb_encode(&bytes, arena, type, again));
  must(!caw_pb_decode_bounded(again, arena, type, bytes.data, bytes.len, SIZE_MAX));
  must(!caw_pb_equal(&same, type, message, again) && same);
}

static void check_error(int rc, const caw_json_error *e, size_t len) {
  size_t text = strlen(e->text);
  must(rc <= -100 && text > 4 && text < sizeof(e->text) && e->line && e->column);
  must(e->offset <= len && !strpbrk(e->text, "\n\r"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  if (!len) return 0;
  const caw_type *type = types[data[0] & 3];
  caw_json_read_options o = {.size = sizeof(o), .types = known(), .ignore_unknown = data[0] & 4};
  caw_json_error error = {0};
  caw_arena *arena = caw_arena_new(0);
  void *message = malloc(type->size);
  char *text = malloc(len); /* exactly, for the sanitizers */
  memcpy(text, data + 1, len - 1);
  int rc = caw_json_read(message, arena, type, caw_str_of(text, len - 1), &o, &error);
  must(caw_arena_used(arena) <= CAW_JSON_EXPANSION * (len - 1) + CAW_PB_FLOOR);
  if (!rc) check_round_trip(type, message, data[0] >> 3, arena);
  else check_error(rc, &error, len - 1);
  caw_arena_free(arena);
  free(message);
  free(text);
  return 0;
}
