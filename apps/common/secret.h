/* Secrets on command lines: best in a file, since everybody on the machine can read the
 * arguments of a process. */
#ifndef APPS_SECRET_H
#define APPS_SECRET_H

#include <caw/str.h>

#define SECRET_ROOM 4096

/* Reads a token, the first line of a file, into `out`; exits, as args_fail does, when there is
 * none that could be sent, or when others may read the file. */
void secret_read(const char *program, const char *option, const char *path, char out[SECRET_ROOM]);

/* Checks a token that was given as it is, and copies it; exits as args_wrong does. */
void secret_copy(const char *program, const char *option, const char *text, char out[SECRET_ROOM]);

/* What stands behind the scheme "Bearer" in the metadata "authorization", whatever the scheme's
 * case (RFC 9110 11.1); data NULL: it is of another one. A part of `value`. */
caw_str secret_bearer(caw_str value);

/* Are the texts the same? In a time that tells nothing of where they differ, only of
 * how long `given` is. */
bool secret_equal(caw_str expected, caw_str given);

#endif
