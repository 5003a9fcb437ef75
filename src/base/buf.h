/*
 * A growable byte buffer. A failed append is remembered (`failed`), so that a
 * writer of many pieces checks once at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <caw/export.h>
#include <caw/str.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct buf {
  uint8_t *data;
  size_t len, room;
  bool failed; /* memory ran out; the contents are incomplete */
} buf;

void buf_finish(buf *b);

/* Makes room for `extra` more bytes. Returns 0 or CAW_ENOMEM. */
int buf_reserve(buf *b, size_t extra);

/* Appends. Returns 0 or CAW_ENOMEM. */
int buf_append(buf *b, const void *data, size_t len);

/* Appends formatted text, without its NUL byte. Returns 0 or CAW_ENOMEM. */
int buf_printf(buf *b, const char *format, ...) CAW_PRINTF(2, 3);

#endif
