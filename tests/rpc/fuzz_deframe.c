/* The message deframer: the same messages come out whole and in pieces, and
 * nothing is larger than the limit. The first byte chooses limit and pieces. */
#include "base/buf.h"
#include "rpc/deframe.h"

#include "rpc/payload.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Takes what there is; what ended it. Messages are appended to `out`. */
static rpc_frame take_all(rpc_deframer *d, buf *out) {
  for (;;) {
    const uint8_t *data = NULL;
    size_t len = 0;
    rpc_frame f = rpc_deframer_peek(d, &data, &len);
    if (f != RPC_FRAME_MESSAGE && f != RPC_FRAME_COMPRESSED) return f;
    if (len > d->limit) abort();
    if (buf_append(out, &len, sizeof(len)) || buf_append(out, data, len)) abort();
    rpc_deframer_skip(d);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  if (!len) return 0;
  unsigned how = *data++;
  len--;
  uint32_t limit = how & 1 ? 20 : 100000;
  size_t piece = 1 + (how >> 2) % 13;
  rpc_deframer whole = {.limit = limit, .compressed_ok = how & 2};
  rpc_deframer pieces = whole;
  buf a = {0}, b = {0};
  if (rpc_deframer_add(&whole, data, len)) abort();
  rpc_frame end = take_all(&whole, &a), got = RPC_FRAME_NONE;
  for (size_t at = 0; at < len; at += piece) {
    if (rpc_deframer_add(&pieces, data + at, len - at < piece ? len - at : piece)) abort();
    got = take_all(&pieces, &b);
    rpc_deframer_release(&pieces);
  }
  if (end != got || a.len != b.len || (a.len && memcmp(a.data, b.data, a.len) != 0)) abort();
  rpc_deframer_finish(&whole);
  rpc_deframer_finish(&pieces);
  buf_finish(&a);
  buf_finish(&b);
  return 0;
}
