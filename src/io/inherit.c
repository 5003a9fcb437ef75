/* The descriptors of inherit.h. */
#include "io/inherit.h"

#include <caw/status.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* SD_LISTEN_FDS_START: they come after standard input, output and error. */
#define FIRST_FD 3

/* The most that this takes for a number of descriptors rather than for nonsense. */
#define MOST_FDS 65536

/* A variable as a whole number; -1 when it is none. */
static long number_of(const char *text) {
  char *end;
  if (!text || *text < '0' || *text > '9') return -1;
  long n = strtol(text, &end, 10);
  return *end || n == LONG_MAX ? -1 : n;
}

/* The next of the names between colons. Without names each is "unknown", as
 * sd_listen_fds_with_names has it. */
static bool next_is(const char **names, const char *name) {
  const char *from = *names ? *names : "unknown";
  size_t len = strcspn(from, ":");
  if (*names) *names += from[len] ? len + 1 : len;
  return strlen(name) == len && !memcmp(from, name, len);
}

static bool close_on_exec(int fd) {
  int flags = fcntl(fd, F_GETFD);
  return flags >= 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0;
}

int io_inherited(const char *name, int *fds, size_t most) {
  const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
  const char *names = getenv("LISTEN_FDNAMES");
  if (!pid || !count || number_of(pid) != getpid()) return 0;
  long n = number_of(count);
  int found = 0;
  if (n < 0 || n > MOST_FDS) return CAW_EMALFORMED;
  for (int fd = FIRST_FD; fd < FIRST_FD + n; fd++) {
    bool named = next_is(&names, name);
    if (*name && !named) continue;
    if (!close_on_exec(fd)) return CAW_EMALFORMED;
    if ((size_t)found < most) fds[found] = fd;
    found++;
  }
  return found;
}
