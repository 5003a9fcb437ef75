/* What the programs' command lines have in common: long options, numbers with
 * their range, and errors that say what to do. */
#ifndef APPS_ARGS_H
#define APPS_ARGS_H

#include <caw/export.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit codes: a failure of the work, a wrong command line. */
#define EXIT_FAILED 1
#define EXIT_USAGE  2

/* Prints "PROGRAM: ..." and where help is to be had, and exits with 2. */
_Noreturn void args_wrong(const char *program, const char *format, ...) CAW_PRINTF(2, 3);

/* Prints "PROGRAM: ..." and exits with 1. */
_Noreturn void args_fail(const char *program, const char *format, ...) CAW_PRINTF(2, 3);

/* What every program's options end with. */
#define ARGS_COMMON                                                                                \
  {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'}, {                         \
    NULL, 0, NULL, 0                                                                               \
  }

/*
 * The next option, its value in optarg and its place among `options` in *index
 * (which may be NULL); -1 when there are no more. --help and --version are done
 * here; an option that is none and an argument beside the options exit with 2. The first
 * call comes before anything is opened: a standard stream that is closed becomes one that fails.
 */
int args_next(const char *program, void (*help)(void), int argc, char **argv,
              const struct option *options, int *index);

/* The same for a program that takes arguments, too: they are argv[optind] and on, when there
 * are no more options. */
int args_next_mixed(const char *program, void (*help)(void), int argc, char **argv,
                    const struct option *options, int *index);

/* Reads a whole number from `min` to `max`; exits as args_wrong does. */
long args_number(const char *program, const char *option, const char *text, long min, long max);

/* Reads seconds with an optional fraction, up to a day, as milliseconds; less
 * than one of these counts as one. */
uint64_t args_seconds(const char *program, const char *option, const char *text);

#endif
