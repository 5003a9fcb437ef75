/* The helpers of secret.h. */
#include "secret.h"

#include "args.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What may stand in "authorization: Bearer TOKEN". */
static bool is_token(const char *text) {
  for (size_t i = 0; text[i]; i++)
    if (text[i] < 0x21 || text[i] > 0x7e) return false;
  return *text != '\0';
}

/* The first line, without its end. Returns its length; SECRET_ROOM: it has no room. What
 * would be a part of the token is never taken for the whole. */
static size_t read_line(FILE *f, char out[SECRET_ROOM]) {
  size_t len = 0;
  int c;
  while ((c = getc(f)) != EOF && c != '\n') {
    if (len == SECRET_ROOM) return len; /* more than a '\r' did not fit */
    if (len == SECRET_ROOM - 1 && c != '\r') return SECRET_ROOM;
    out[len++] = (char)c;
  }
  if (len && out[len - 1] == '\r') len--;
  if (len < SECRET_ROOM) out[len] = '\0';
  return len;
}

void secret_read(const char *program, const char *option, const char *path, char out[SECRET_ROOM]) {
  struct stat st;
  FILE *f = fopen(path, "r");
  if (!f) args_fail(program, "%s: cannot read %s: %s", option, path, strerror(errno));
  if (fstat(fileno(f), &st)) args_fail(program, "%s: %s: %s", option, path, strerror(errno));
  if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)))
    args_fail(program, "%s: others may read %s; say: chmod 600 %s", option, path, path);
  size_t len = read_line(f, out);
  fclose(f);
  if (len == SECRET_ROOM)
    args_fail(program, "%s: the first line of %s is longer than a token may be, %d characters",
              option, path, SECRET_ROOM - 1);
  if (strlen(out) != len || !is_token(out))
    args_fail(program, "%s: the first line of %s is no token: printable characters without spaces",
              option, path);
}

void secret_copy(const char *program, const char *option, const char *text, char out[SECRET_ROOM]) {
  int n = snprintf(out, SECRET_ROOM, "%s", text);
  if (n < 0 || n >= SECRET_ROOM || !is_token(out))
    args_wrong(program, "%s: a token is of 1 to %d printable characters without spaces", option,
               SECRET_ROOM - 1);
}

caw_str secret_bearer(caw_str value) {
  static const char scheme[] = "bearer ";
  const size_t n = sizeof(scheme) - 1;
  if (value.len < n) return caw_str_of(NULL, 0);
  for (size_t i = 0; i < n; i++)
    if ((value.data[i] | 0x20) != scheme[i]) return caw_str_of(NULL, 0);
  return caw_str_of(value.data + n, value.len - n);
}

bool secret_equal(caw_str expected, caw_str given) {
  unsigned char differ = expected.len != given.len;
  for (size_t i = 0; i < given.len; i++) {
    /* With another length the comparison is with itself, and takes as long. */
    const volatile char *to = i < expected.len ? &expected.data[i] : &given.data[i];
    differ |= (unsigned char)(*to ^ given.data[i]);
  }
  return !differ;
}
