/* The byte buffer of buf.h. */
#include "base/buf.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <stdarg.h>
#include <stdio.h>

void buf_finish(buf *b) {
  caw_free(b->data);
  memset(b, 0, sizeof(*b));
}

int buf_reserve(buf *b, size_t extra) {
  if (b->failed) return CAW_ENOMEM;
  if (b->room - b->len >= extra) return 0;
  size_t room = b->room ? b->room : 64;
  while (room - b->len < extra && room <= SIZE_MAX / 2) room *= 2;
  uint8_t *data = room - b->len < extra ? NULL : caw_realloc(b->data, room);
  if (!data) {
    b->failed = true;
    return CAW_ENOMEM;
  }
  b->data = data;
  b->room = room;
  return 0;
}

int buf_append(buf *b, const void *data, size_t len) {
  if (buf_reserve(b, len)) return CAW_ENOMEM;
  if (len) memcpy(b->data + b->len, data, len);
  b->len += len;
  return 0;
}

int buf_printf(buf *b, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  int rc = n < 0 ? CAW_EINVAL : buf_reserve(b, (size_t)n + 1);
  if (!rc) {
    vsnprintf((char *)b->data + b->len, (size_t)n + 1, format, again);
    b->len += (size_t)n;
  }
  va_end(again);
  return rc;
}
