/*
 * The server that is attacked: a process of its own, with handlers that count themselves
 * where the attacker can see it.
 */
#ifndef ATTACK_TARGET_H
#define ATTACK_TARGET_H

#include <caw/limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define ECHO_PATH  "/attack.Target/Echo"  /* the request comes back */
#define LARGE_PATH "/attack.Target/Large" /* 4 MiB come back */
#define HOLD_PATH  "/attack.Target/Hold"  /* nothing comes back until it is cancelled */
#define CHAT_PATH  "/attack.Target/Chat"  /* each message comes back */
#define LARGE      ((size_t)4 << 20)

/* What both processes see. */
typedef struct counters {
  atomic_int port, tls_port;
  atomic_ulong started, running, most;
  atomic_ulong hits[CAW_LIMITS];
} counters;

typedef struct target {
  pid_t pid;
  counters *seen;
  int port, tls_port;
  double cpu;    /* when it had begun, seconds */
  long rss, fds; /* then; KiB */
} target;

/* Starts one; `limits` may be NULL, `nofile` 0. */
void target_start(target *t, const caw_limits *limits, unsigned nofile);
/* The same in this process, for a benchmark: says where, and serves until SIGTERM. */
_Noreturn void target_serve(void);
/* Ends it in good order; false when it did not end so. */
bool target_stop(target *t);
/* Since it began: seconds of CPU, KiB that it had more at most, descriptors more now. */
double target_cpu(const target *t);
long target_memory(const target *t);
long target_rss(const target *t);
long target_descriptors(const target *t);

#endif
