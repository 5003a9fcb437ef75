/* The descriptors of inherit.h. */
#include "io/inherit.h"

#include <caw/status.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* SD_LISTEN_FDS_START: they come after standard input, output and error. */
#define FIRST_FD 3

/* The most that this takes for a number of descriptors rather than for nonsense. */
#define MOST_FDS 65536

/* The most that can be listened on. */
#define MOST_KEPT 256

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

/* What systemd passed, by what it is: whether a number is still systemd's descriptor cannot
 * be told otherwise once the program may have closed it. */
static struct {
  pthread_mutex_t lock;
  pid_t pid; /* of the process that this is true of, 0: nobody has asked */
  long n;
  struct {
    dev_t dev;
    ino_t ino;
  } files[MOST_KEPT];
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* At the first call, before the program has been told of them by us; under the lock. */
static int keep(long n) {
  struct stat st;
  if (kept.pid == getpid() && kept.n == n) return 0;
  kept.pid = 0;
  for (long i = 0; i < n; i++) {
    int fd = FIRST_FD + (int)i, flags = fcntl(fd, F_GETFD);
    if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) || fstat(fd, &st))
      return CAW_EMALFORMED;
    if (i >= MOST_KEPT) continue;
    kept.files[i].dev = st.st_dev;
    kept.files[i].ino = st.st_ino;
  }
  if (n > MOST_KEPT) return CAW_ELIMIT;
  kept.pid = getpid();
  kept.n = n;
  return 0;
}

/* A duplicate of the i-th, or an error. */
static int duplicate(long i) {
  struct stat st;
  int fd = FIRST_FD + (int)i;
  if (fstat(fd, &st) || st.st_dev != kept.files[i].dev || st.st_ino != kept.files[i].ino)
    return CAW_ESTATE;
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
  if (copy >= 0) return copy;
  return errno == EMFILE ? CAW_ELIMIT : CAW_ESYS;
}

static int duplicate_named(const char *name, const char *names, long n, int *fds, size_t most) {
  int found = 0, rc = 0;
  for (long i = 0; i < n && rc >= 0; i++) {
    bool named = next_is(&names, name);
    if (*name && !named) continue;
    rc = (size_t)found < most ? duplicate(i) : CAW_ELIMIT;
    if (rc >= 0) fds[found++] = rc;
  }
  while (rc < 0 && found > 0) close(fds[--found]);
  return rc < 0 ? rc : found;
}

int io_inherited(const char *name, int *fds, size_t most) {
  const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
  if (!pid || !count || number_of(pid) != getpid()) return 0;
  long n = number_of(count);
  if (n < 0 || n > MOST_FDS) return CAW_EMALFORMED;
  pthread_mutex_lock(&kept.lock);
  int rc = keep(n);
  if (!rc) rc = duplicate_named(name, getenv("LISTEN_FDNAMES"), n, fds, most);
  pthread_mutex_unlock(&kept.lock);
  return rc;
}
