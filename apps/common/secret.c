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

void secret_read(const char *program, const char *option, const char *path, char out[SECRET_ROOM]) {
  struct stat st;
  FILE *f = fopen(path, "r");
  if (!f) args_fail(program, "%s: cannot read %s: %s", option, path, strerror(errno));
  if (fstat(fileno(f), &st)) args_fail(program, "%s: %s: %s", option, path, strerror(errno));
  if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)))
    args_fail(program, "%s: others may read %s; say: chmod 600 %s", option, path, path);
  if (!fgets(out, SECRET_ROOM, f)) out[0] = '\0';
  fclose(f);
  out[strcspn(out, "\r\n")] = '\0';
  if (!is_token(out))
    args_fail(program, "%s: the first line of %s is no token: printable characters without spaces",
              option, path);
}

void secret_copy(const char *program, const char *option, const char *text, char out[SECRET_ROOM]) {
  int n = snprintf(out, SECRET_ROOM, "%s", text);
  if (n < 0 || n >= SECRET_ROOM || !is_token(out))
    args_wrong(program, "%s: a token is of 1 to %d printable characters without spaces", option,
               SECRET_ROOM - 1);
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
