/* The protobuf codec as the rest of Caw sees it, and the functions for
 * programs that want bytes without a call. */
#include "pb/wire.h"

#include <caw/status.h>

/* What decoding `len` bytes may take from the arena. */
static size_t memory_for(const caw_pb_message *t, size_t len) {
  size_t factor = t->expansion ? t->expansion : CAW_PB_EXPANSION;
  if (len > (SIZE_MAX - CAW_PB_FLOOR) / factor) return SIZE_MAX;
  return len * factor + CAW_PB_FLOOR;
}

static int codec_decode(const void *desc, void *message, const uint8_t *data, size_t len,
                        caw_arena *arena) {
  const caw_pb_message *t = desc;
  return pb_decode(t, message, data, len, arena, memory_for(t, len));
}

const caw_codec caw_pb_codec = {sizeof(caw_codec), "proto", pb_measure, pb_encode, codec_decode};

int caw_pb_encode(caw_str *out, caw_arena *arena, const caw_type *type, const void *message) {
  size_t len = 0;
  *out = (caw_str){NULL, 0};
  int rc = type->codec->measure(type->desc, message, &len);
  if (rc) return rc;
  uint8_t *data = caw_arena_alloc(arena, len);
  if (!data) return CAW_ENOMEM;
  rc = type->codec->encode(type->desc, message, data, len);
  if (!rc) *out = caw_str_of((const char *)data, len);
  return rc;
}

int caw_pb_decode(void *message, caw_arena *arena, const caw_type *type, const void *data,
                  size_t len) {
  return type->codec->decode(type->desc, message, data, len, arena);
}

int caw_pb_decode_bounded(void *message, caw_arena *arena, const caw_type *type, const void *data,
                          size_t len, size_t memory) {
  const caw_pb_message *t = caw_pb_table(type);
  if (!t) return CAW_EINVAL;
  return pb_decode(t, message, data, len, arena, memory);
}
