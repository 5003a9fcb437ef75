/* The deframer of deframe.h. */
#include "rpc/deframe.h"

#include "rpc/payload.h"

#include <caw/alloc.h>
#include <caw/status.h>

/* An emptied buffer larger than this is freed: most calls never need it again. */
#define KEEP_ROOM ((size_t)16 * 1024)

void rpc_deframer_finish(rpc_deframer *d) {
  buf_finish(&d->bytes);
}

int rpc_deframer_add(rpc_deframer *d, const uint8_t *data, size_t len) {
  return buf_append(&d->bytes, data, len);
}

static size_t prefix_len(const uint8_t *p) {
  return (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
}

rpc_frame rpc_deframer_peek(const rpc_deframer *d, const uint8_t **data, size_t *len) {
  size_t have = d->bytes.len - d->at;
  if (have == 0) return RPC_FRAME_NONE;
  const uint8_t *p = d->bytes.data + d->at;
  if (p[0] > 1) return RPC_FRAME_BAD_FLAG;
  if (p[0] == 1 && !d->compressed_ok) return RPC_FRAME_UNAGREED;
  if (have < RPC_PREFIX) return RPC_FRAME_PARTIAL;
  *len = prefix_len(p);
  if (*len > d->limit) return RPC_FRAME_TOO_BIG;
  if (have - RPC_PREFIX < *len) return RPC_FRAME_PARTIAL;
  *data = p + RPC_PREFIX;
  return p[0] ? RPC_FRAME_COMPRESSED : RPC_FRAME_MESSAGE;
}

void rpc_deframer_skip(rpc_deframer *d) {
  d->at += RPC_PREFIX + prefix_len(d->bytes.data + d->at);
}

void rpc_deframer_release(rpc_deframer *d) {
  if (d->at == 0) return;
  size_t left = d->bytes.len - d->at;
  if (left == 0 && d->bytes.room > KEEP_ROOM) {
    buf_finish(&d->bytes);
  } else {
    if (left) memmove(d->bytes.data, d->bytes.data + d->at, left);
    d->bytes.len = left;
  }
  d->at = 0;
}
