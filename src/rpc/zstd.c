/* The encoding zstd (RFC 8878), on libzstd; built with CAW_ZSTD only. */
#include "rpc/compress.h"

#include <caw/status.h>
#include <zstd.h>
#include <zstd_errors.h>

/* 8 MiB, what RFC 8878 3.1.1.1.2 asks every decoder to support: the sender says
 * how much memory we take. */
#define WINDOW_LOG 23

int zstd_compress(const uint8_t *data, size_t len, uint8_t *out, size_t room, size_t *out_len) {
  size_t n = ZSTD_compress(out, room, data, len, ZSTD_CLEVEL_DEFAULT);
  *out_len = n;
  if (!ZSTD_isError(n)) return 0;
  return ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation ? CAW_ENOMEM : CAW_ETOOBIG;
}

static int error_of(size_t rc) {
  return ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation ? CAW_ENOMEM : CAW_EMALFORMED;
}

/* Decompresses frames until the input is used up; `rest` is 0 when it ends with
 * the end of a frame. */
static int run(ZSTD_DCtx *ctx, ZSTD_inBuffer *in, buf *out, size_t limit) {
  uint8_t beyond;
  size_t rest = 1;
  bool full = false;
  while (in->pos < in->size || (rest && full)) {
    int rc = rpc_more_room(out, limit);
    bool at_limit = rc == CAW_ETOOBIG;
    if (rc && !at_limit) return rc;
    size_t room = (out->room < limit ? out->room : limit) - out->len;
    ZSTD_outBuffer to = {at_limit ? &beyond : out->data + out->len, at_limit ? 1 : room, 0};
    rest = ZSTD_decompressStream(ctx, &to, in);
    if (ZSTD_isError(rest)) return error_of(rest);
    if (at_limit && to.pos) return CAW_ETOOBIG;
    if (!at_limit) out->len += to.pos;
    full = to.pos == to.size;
    if (at_limit && in->pos == in->size) break;
  }
  return rest ? CAW_EMALFORMED : 0;
}

int zstd_decompress(const uint8_t *data, size_t len, buf *out, size_t limit) {
  ZSTD_DCtx *ctx = ZSTD_createDCtx();
  if (!ctx) return CAW_ENOMEM;
  ZSTD_inBuffer in = {data, len, 0};
  ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, WINDOW_LOG);
  int rc = run(ctx, &in, out, limit);
  ZSTD_freeDCtx(ctx);
  return rc;
}
