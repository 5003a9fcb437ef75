/*
 * caw_codec: how a message becomes bytes and back. Generated code uses Caw's
 * protobuf codec (caw/pb.h); raw bytes are built in; another protobuf runtime
 * plugs in by filling this table.
 */
#ifndef CAW_CODEC_H
#define CAW_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include <caw/arena.h>
#include <caw/export.h>

CAW_BEGIN_DECLS

typedef struct caw_codec {
  size_t size;      /* sizeof(caw_codec) */
  const char *name; /* content-subtype, "proto"; NULL for none of its own */

  /*
   * Sets *len to the exact number of bytes that `encode` will write for
   * `message`, whose layout `desc` describes. Returns 0 or a CAW_E*.
   */
  int (*measure)(const void *desc, const void *message, size_t *len);

  /*
   * Writes exactly `len` bytes, the number that `measure` gave for the same
   * unchanged message. Returns 0 or a CAW_E*.
   */
  int (*encode)(const void *desc, const void *message, uint8_t *out, size_t len);

  /*
   * Fills `*message` from `len` bytes. What the message points to is
   * allocated in `arena` or borrowed from `data`, so both must outlive it.
   * Returns 0, or CAW_EMALFORMED, CAW_EUTF8, CAW_EDEPTH or CAW_ENOMEM.
   */
  int (*decode)(const void *desc, void *message, const uint8_t *data, size_t len, caw_arena *arena);
} caw_codec;

/* A message type: a codec, what the codec wants to know, and the size of the C
 * struct that a message is held in. */
typedef struct caw_type {
  const caw_codec *codec;
  const void *desc;
  size_t size;
} caw_type;

/* Raw bytes: the message is one caw_str, sent and received as it is. */
CAW_API extern const caw_type caw_type_bytes;

CAW_END_DECLS

#endif
