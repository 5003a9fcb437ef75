/* The helpers of args.h. */
#include "args.h"

#include <caw/version.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

CAW_PRINTF(2, 0)
static void complain(const char *program, const char *format, va_list args) {
  fflush(stdout);
  fprintf(stderr, "%s: ", program);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
}

void args_wrong(const char *program, const char *format, ...) {
  va_list args;
  va_start(args, format);
  complain(program, format, args);
  va_end(args);
  fprintf(stderr, "Try: %s --help\n", program);
  exit(EXIT_USAGE);
}

void args_fail(const char *program, const char *format, ...) {
  va_list args;
  va_start(args, format);
  complain(program, format, args);
  va_end(args);
  exit(EXIT_FAILED);
}

long args_number(const char *program, const char *option, const char *text, long min, long max) {
  char *end;
  errno = 0;
  long n = strtol(text, &end, 10);
  if (!*text || *end || errno || n < min || n > max)
    args_wrong(program, "%s: \"%s\" is not a whole number from %ld to %ld", option, text, min, max);
  return n;
}

uint64_t args_seconds(const char *program, const char *option, const char *text) {
  char *end;
  double seconds = strtod(text, &end);
  if (!*text || *end || !(seconds >= 0 && seconds <= 86400))
    args_wrong(program, "%s: \"%s\" is not a number of seconds from 0 to 86400", option, text);
  /* What is asked for is never none at all. */
  uint64_t ms = (uint64_t)(seconds * 1000 + 0.5);
  return ms || seconds == 0 ? ms : 1;
}

int args_next(const char *program, void (*help)(void), int argc, char **argv,
              const struct option *options, int *index) {
  int option = args_next_mixed(program, help, argc, argv, options, index);
  if (option == -1 && optind < argc) args_wrong(program, "unexpected argument: %s", argv[optind]);
  return option;
}

/* A standard stream that is closed would be the number of the next socket, or of the pipe that
 * wakes the loop, and what is printed went there. It still cannot be read or written. */
static void fill_standard_streams(void) {
  static bool filled;
  for (int fd = 0; !filled && fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
      (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  filled = true;
}

int args_next_mixed(const char *program, void (*help)(void), int argc, char **argv,
                    const struct option *options, int *index) {
  fill_standard_streams();
  int option = getopt_long(argc, argv, "", options, index);
  switch (option) {
  case 'h':
    help();
    exit(EXIT_SUCCESS);
  case 'v':
    printf("%s %s\n", program, caw_version());
    exit(EXIT_SUCCESS);
  case '?': /* getopt has said what is wrong */
    fprintf(stderr, "Try: %s --help\n", program);
    exit(EXIT_USAGE);
  default:
    return option;
  }
}
