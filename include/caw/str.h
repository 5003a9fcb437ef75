/*
 * caw_str: a pointer and a length. Strings in Caw's messages, metadata and
 * statuses are of this type; they need not end in a NUL byte and may hold any
 * byte. {0} is the empty string. A caw_str owns nothing: whoever hands one
 * over says how long its bytes live.
 */
#ifndef CAW_STR_H
#define CAW_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <caw/export.h>

CAW_BEGIN_DECLS

typedef struct caw_str {
  const char *data; /* may be NULL when len is 0 */
  size_t len;       /* bytes */
} caw_str;

/* The caw_str of a string literal, usable in an initialiser. */
#define CAW_STR(literal)                                                                           \
  { "" literal, sizeof(literal) - 1 }

/* For printf: printf("%.*s", CAW_STR_ARG(s)). */
#define CAW_STR_ARG(s) (int)(s).len, (s).data ? (s).data : ""

/* The caw_str of a C string; NULL gives the empty string. */
static inline caw_str caw_str_from(const char *text) {
  caw_str s = {text, text ? strlen(text) : 0};
  return s;
}

/* The caw_str of `len` bytes at `data`. */
static inline caw_str caw_str_of(const char *data, size_t len) {
  caw_str s = {data, len};
  return s;
}

/* Same length and same bytes? */
static inline bool caw_str_eq(caw_str a, caw_str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* The same as caw_str_eq with a C string. The length that is compared is the
 * text's, so that a literal costs an instruction or two. */
static inline bool caw_str_is(caw_str a, const char *text) {
  size_t len = text ? strlen(text) : 0;
  return a.len == len && (len == 0 || memcmp(a.data, text, len) == 0);
}

CAW_END_DECLS

#endif
