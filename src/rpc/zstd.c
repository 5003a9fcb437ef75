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

struct ZSTD_DCtx_s *zstd_inflater_new(void) {
  ZSTD_DCtx *ctx = ZSTD_createDCtx();
  if (ctx) ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, WINDOW_LOG);
  return ctx;
}

void zstd_inflater_free(struct ZSTD_DCtx_s *ctx) {
  ZSTD_freeDCtx(ctx);
}

int zstd_inflate(rpc_inflater *i, struct ZSTD_DCtx_s *ctx, const uint8_t *data, size_t len,
                 size_t limit) {
  rpc_room room;
  if (rpc_room_of(&room, &i->out, limit)) return CAW_ENOMEM;
  size_t give = rpc_inflate_in(i, len);
  ZSTD_inBuffer in = {data, i->at + give, i->at};
  ZSTD_outBuffer to = {room.data, room.len, 0};
  /* 0 at the end of a frame, of which there may be several. */
  size_t rest = ZSTD_decompressStream(ctx, &to, &in);
  if (ZSTD_isError(rest)) return error_of(rest);
  i->at = in.pos;
  i->beside = ZSTD_sizeof_DCtx(ctx); /* its window is as large as the sender says */
  if (rpc_room_used(&room, &i->out, to.pos)) return CAW_ETOOBIG;
  if (i->at < len) return CAW_EAGAIN;
  if (!rest) return 0;
  /* All is read: what is still to be written fills whatever room there is. */
  return to.pos == to.size ? CAW_EAGAIN : CAW_EMALFORMED;
}
