/* The trace of trace.h. */
#include "base/trace.h"

#include <caw/status.h>
#include <caw/trace.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

atomic_uint trace_on;

static struct {
  const char *name;
  unsigned bit;
} const components[] = {{"h2", TRACE_H2},
                        {"call", TRACE_CALL},
                        {"conn", TRACE_CONN},
                        {"client", TRACE_CLIENT},
                        {"server", TRACE_SERVER},
                        {"all", TRACE_H2 | TRACE_CALL | TRACE_CONN | TRACE_CLIENT | TRACE_SERVER}};
#define COMPONENTS (sizeof(components) / sizeof(components[0]))

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool chosen; /* by the program, which CAW_TRACE does not change */
static caw_trace_fn out;
static void *out_user;

/* The bits of a name; 0: unknown. */
static unsigned bits_of(const char *name, size_t len) {
  for (size_t i = 0; i < COMPONENTS; i++)
    if (strlen(components[i].name) == len && !memcmp(components[i].name, name, len))
      return components[i].bit;
  return 0;
}

/* Empty names are none. Returns false with the first unknown one; *bits are those of the others. */
static bool parse(unsigned *bits, const char *text, const char **unknown, size_t *len) {
  bool fine = true;
  *bits = 0;
  while (text && *text) {
    size_t n = strcspn(text, ", ");
    unsigned found = bits_of(text, n);
    if (n && !found && fine) {
      fine = false;
      *unknown = text;
      *len = n;
    }
    *bits |= found;
    text += n + (text[n] != '\0');
  }
  return fine;
}

int caw_trace(const char *names, caw_trace_fn fn, void *user) {
  const char *unknown;
  size_t len;
  unsigned bits;
  if (!parse(&bits, names, &unknown, &len)) return CAW_EINVAL;
  chosen = true;
  out = fn;
  out_user = user;
  atomic_store(&trace_on, bits);
  return 0;
}

static void read_environment(void) {
  const char *unknown, *names = getenv("CAW_TRACE");
  size_t len;
  unsigned bits;
  if (!names || chosen) return;
  if (!parse(&bits, names, &unknown, &len))
    fprintf(stderr,
            "CAW_TRACE: \"%.*s\" is no component; h2, call, conn, client, server, all are\n",
            (int)(len < 64 ? len : 64), unknown);
  atomic_store(&trace_on, bits);
}

void trace_begin(void) {
  pthread_once(&once, read_environment);
}

static const char *name_of(unsigned component) {
  for (size_t i = 0; i < COMPONENTS; i++)
    if (components[i].bit == component) return components[i].name;
  return "";
}

/* One write, so that lines of several threads do not mix. */
static void print(const char *component, const char *line) {
  struct timespec now;
  struct tm local;
  char text[640], day[32];
  clock_gettime(CLOCK_REALTIME, &now);
  localtime_r(&now.tv_sec, &local);
  strftime(day, sizeof(day), "%H:%M:%S", &local);
  int n =
      snprintf(text, sizeof(text), "%s.%06ld %-6s %s\n", day, now.tv_nsec / 1000, component, line);
  if (n > 0) fwrite(text, 1, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1, stderr);
}

void trace_write(unsigned component, const char *format, ...) {
  char line[500];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  for (char *p = line; *p; p++)
    if (*p < ' ' || *p > '~') *p = '?';
  if (out) out(name_of(component), line, out_user);
  else print(name_of(component), line);
}
