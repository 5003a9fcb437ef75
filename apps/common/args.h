/* What the programs' command lines have in common: long options, numbers with
 * their range, and errors that say what to do. */
#ifndef APPS_ARGS_H
#define APPS_ARGS_H

#include <caw/export.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit codes: a failure of the work, a wrong command line. */
#define EXIT_FAILED 1
#define EXIT_USAGE  2

/* Prints "PROGRAM: ..." and where help is to be had, and exits with 2. */
_Noreturn void args_wrong(const char *program, const char *format, ...) CAW_PRINTF(2, 3);

/* Prints "PROGRAM: ..." and exits with 1. */
_Noreturn void args_fail(const char *program, const char *format, ...) CAW_PRINTF(2, 3);

/* Reads a whole number from `min` to `max`; exits as args_wrong does. */
long args_number(const char *program, const char *option, const char *text, long min, long max);

/* Reads seconds with an optional fraction, up to a day, as milliseconds; less
 * than one of these counts as one. */
uint64_t args_seconds(const char *program, const char *option, const char *text);

/* Prints the program's name and the library's version. */
void args_version(const char *program);

#endif
