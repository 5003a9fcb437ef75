/* The flags that gRPC's interop programs have in common with each other rather
 * than with the other programs here: names with underscores, and booleans
 * with a value. */
#ifndef APPS_INTEROP_FLAGS_H
#define APPS_INTEROP_FLAGS_H

#include <stdbool.h>

/*
 * The value of a boolean flag, for getopt_long's optional_argument: --flag,
 * --flag=true, --flag=false, and the same with a space, which getopt leaves in
 * argv. `value` is optarg. Exits as args_wrong does.
 */
bool flags_bool(const char *program, const char *flag, const char *value, int argc, char **argv);

/* Says that this program has no TLS, and exits with 2. */
_Noreturn void flags_no_tls(const char *program);

#endif
