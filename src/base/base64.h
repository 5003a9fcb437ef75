/*
 * base64 (RFC 4648, section 4) in the forms that "-bin" metadata and JSON have.
 * Nothing is allocated here for what is decoded: the caller asks how long it
 * will be and brings the room.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"

#include <caw/str.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the text for `len` bytes; SIZE_MAX when that cannot be counted.
 * `padded`: filled up with '=' to groups of four. */
size_t base64_encoded_len(size_t len, bool padded);

/* Appends the text. Returns 0 or CAW_ENOMEM. */
int base64_encode(buf *out, caw_str bytes, bool padded);

/* What else than section 4 says is taken. Padding may always be missing. */
enum {
  BASE64_URL = 1,  /* also '-' and '_' of section 5, mixed with '+' and '/' */
  BASE64_BITS = 2, /* bits that are left over at the end need not be zero */
};

/* Bytes that `text` stands for; SIZE_MAX when no text has that length, or when
 * its padding does not fill the last group of four. */
size_t base64_decoded_len(caw_str text);

/* Writes base64_decoded_len(text) bytes to `out`. Returns false when the length
 * is impossible or something in the text is not base64; `out` is then garbage. */
bool base64_decode(uint8_t *out, caw_str text, unsigned flags);

#endif
