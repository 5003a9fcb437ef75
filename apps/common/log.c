/* The log of log.h. */
#include "log.h"

#include "text.h"

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

void log_call(const caw_call_summary *call, void *user) {
  char now[TIMESTAMP_ROOM];
  (void)user;
  timestamp_now(now);
  flockfile(stdout);
  printf("%s ", now);
  text_print(stdout, call->peer);
  putc_unlocked(' ', stdout);
  text_print(stdout, call->path);
  printf(" %s %.3f ms, %llu in, %llu out", caw_code_name(call->status.code),
         (double)call->duration_ns / 1e6, (unsigned long long)call->received,
         (unsigned long long)call->sent);
  if (call->status.message.len) {
    fputs(": ", stdout);
    text_print(stdout, call->status.message);
  }
  putc_unlocked('\n', stdout);
  fflush(stdout);
  funlockfile(stdout);
}

void log_handshake_error(const char *peer, const char *why, void *user) {
  char now[TIMESTAMP_ROOM];
  (void)user;
  timestamp_now(now);
  flockfile(stderr);
  fprintf(stderr, "%s %s TLS: ", now, peer);
  text_print(stderr, caw_str_from(why)); /* it may have names that the client chose */
  putc_unlocked('\n', stderr);
  funlockfile(stderr);
}
