/* The greeter server's access log. */
#include "greeter.h"

#include <stdio.h>
#include <sys/time.h>
#include <time.h>

void timestamp_now(char out[TIMESTAMP_ROOM]) {
  struct timeval now;
  struct tm local;
  gettimeofday(&now, NULL);
  localtime_r(&now.tv_sec, &local);
  size_t n = strftime(out, TIMESTAMP_ROOM, "%Y-%m-%dT%H:%M:%S", &local);
  snprintf(out + n, TIMESTAMP_ROOM - n, ".%06d", (int)now.tv_usec % 1000000);
}

/* Bytes from the network must not steer a terminal or forge lines. */
static void print_clean(FILE *out, caw_str text) {
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.data[i];
    if (c < 0x20 || c == 0x7f) fprintf(out, "\\x%02x", c);
    else putc_unlocked(c, out);
  }
}

void log_call(const caw_call_summary *call, void *user) {
  char now[TIMESTAMP_ROOM];
  (void)user;
  timestamp_now(now);
  flockfile(stdout);
  printf("%s ", now);
  print_clean(stdout, call->peer);
  putc_unlocked(' ', stdout);
  print_clean(stdout, call->path);
  printf(" %s %.3f ms, %llu in, %llu out", caw_code_name(call->status.code),
         (double)call->duration_ns / 1e6, (unsigned long long)call->received,
         (unsigned long long)call->sent);
  if (call->status.message.len) {
    fputs(": ", stdout);
    print_clean(stdout, call->status.message);
  }
  putc_unlocked('\n', stdout);
  fflush(stdout);
  funlockfile(stdout);
}
