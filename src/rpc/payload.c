/* Payloads (caw/payload.h), and the codec of raw bytes (caw/codec.h). */
#include "rpc/payload.h"

#include <caw/alloc.h>
#include <caw/status.h>

static int bytes_measure(const void *desc, const void *message, size_t *len) {
  (void)desc;
  *len = ((const caw_str *)message)->len;
  return 0;
}

static int bytes_encode(const void *desc, const void *message, uint8_t *out, size_t len) {
  (void)desc;
  if (len) memcpy(out, ((const caw_str *)message)->data, len);
  return 0;
}

static int bytes_decode(const void *desc, void *message, const uint8_t *data, size_t len,
                        caw_arena *arena) {
  (void)desc;
  (void)arena;
  *(caw_str *)message = caw_str_of((const char *)data, len);
  return 0;
}

static const caw_codec bytes_codec = {sizeof(caw_codec), NULL, bytes_measure, bytes_encode,
                                      bytes_decode};
const caw_type caw_type_bytes = {&bytes_codec, NULL, sizeof(caw_str)};

int caw_payload_new(caw_payload **out, const caw_type *type, const void *message) {
  size_t len = 0;
  int rc = type->codec->measure(type->desc, message, &len);
  if (rc) return rc;
  if (len > UINT32_MAX) return CAW_ETOOBIG;
  caw_payload *p = caw_malloc(sizeof(*p) + RPC_PREFIX + len);
  if (!p) return CAW_ENOMEM;
  atomic_init(&p->refs, 1);
  p->len = len;
  p->bytes[0] = 0;
  for (int i = 0; i < 4; i++) p->bytes[1 + i] = (uint8_t)(len >> (24 - 8 * i));
  rc = type->codec->encode(type->desc, message, p->bytes + RPC_PREFIX, len);
  if (rc) {
    caw_free(p);
    return rc;
  }
  *out = p;
  return 0;
}

caw_payload *caw_payload_ref(caw_payload *p) {
  atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
  return p;
}

void caw_payload_unref(caw_payload *p) {
  if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1) caw_free(p);
}

caw_str caw_payload_bytes(const caw_payload *p) {
  return caw_str_of((const char *)p->bytes + RPC_PREFIX, p->len);
}

static void release(void *owner) {
  caw_payload_unref(owner);
}

slice rpc_payload_slice(caw_payload *p) {
  slice s = {p->bytes, RPC_PREFIX + p->len, release, caw_payload_ref(p)};
  return s;
}
