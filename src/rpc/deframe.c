/* The deframer of deframe.h. */
#include "rpc/deframe.h"

#include "rpc/payload.h"

#include <caw/status.h>
#include <string.h>

/* The first piece of memory: most requests fit. */
#define FIRST_ROOM ((size_t)64)

/* Messages from here on get no more room than they need. */
#define LONG ((size_t)32 * 1024)

static size_t prefix_len(const uint8_t *p) {
  return (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
}

void rpc_deframer_finish(rpc_deframer *d) {
  cells_free(d->cells, d->data);
  d->data = NULL;
  d->len = d->room = d->at = 0;
}

/* How many bytes there will be when the message that is coming is whole, if it is one that
 * is accepted and no short one: room for more than that would be room for nothing. */
static size_t whole_len(const rpc_deframer *d) {
  if (d->len - d->at < RPC_PREFIX) return 0;
  size_t len = prefix_len(d->data + d->at);
  return len > LONG && len <= d->limit ? d->at + RPC_PREFIX + len : 0;
}

static int grow(rpc_deframer *d, size_t need) {
  size_t room = d->room ? d->room : FIRST_ROOM, whole = whole_len(d);
  while (room < need && room <= SIZE_MAX / 2) room *= 2;
  if (whole >= need && whole < room) room = whole;
  uint8_t *data = room < need ? NULL : cells_realloc(d->cells, d->data, room);
  if (!data) return CAW_ENOMEM;
  d->data = data;
  d->room = room;
  return 0;
}

int rpc_deframer_add(rpc_deframer *d, const uint8_t *data, size_t len) {
  if (!len) return 0;
  if (len > SIZE_MAX - d->len) return CAW_ENOMEM;
  if (len > d->room - d->len && grow(d, d->len + len)) return CAW_ENOMEM;
  memcpy(d->data + d->len, data, len);
  d->len += len;
  return 0;
}

rpc_frame rpc_deframer_peek(const rpc_deframer *d, const uint8_t **data, size_t *len) {
  size_t have = d->len - d->at;
  if (have == 0) return RPC_FRAME_NONE;
  const uint8_t *p = d->data + d->at;
  if (p[0] > 1) return RPC_FRAME_BAD_FLAG;
  if (p[0] == 1 && !d->compressed_ok) return RPC_FRAME_UNAGREED;
  if (have < RPC_PREFIX) return RPC_FRAME_PARTIAL;
  *len = prefix_len(p);
  if (*len > d->limit) return RPC_FRAME_TOO_BIG;
  if (have - RPC_PREFIX < *len) return RPC_FRAME_PARTIAL;
  *data = p + RPC_PREFIX;
  return p[0] ? RPC_FRAME_COMPRESSED : RPC_FRAME_MESSAGE;
}

size_t rpc_deframer_missing(const rpc_deframer *d) {
  size_t have = d->len - d->at;
  if (have < RPC_PREFIX) return 0;
  size_t len = RPC_PREFIX + prefix_len(d->data + d->at);
  return len > have ? len - have : 0;
}

void rpc_deframer_skip(rpc_deframer *d) {
  d->at += RPC_PREFIX + prefix_len(d->data + d->at);
}

void rpc_deframer_release(rpc_deframer *d) {
  size_t left = d->len - d->at;
  /* Moved is no more than what has gone since: a peer may send a window full of empty
   * messages, of which a turn takes some. */
  if (d->at == 0 || d->at < left) return;
  if (!left) { /* a stream at rest needs none, and a cell is soon found again */
    rpc_deframer_finish(d);
    return;
  }
  memmove(d->data, d->data + d->at, left);
  d->len = left;
  d->at = 0;
}
