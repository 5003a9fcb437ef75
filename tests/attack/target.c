/* The server of target.h. */
#include "target.h"

#include <caw/server.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef ATTACK_TLS
#include "certs.h"
#endif

static counters *seen;

/* ---- Handlers ---- */

static void began(void) {
  unsigned long running = atomic_fetch_add(&seen->running, 1) + 1;
  atomic_fetch_add(&seen->started, 1);
  if (running > atomic_load(&seen->most)) atomic_store(&seen->most, running);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  (void)call, (void)status, (void)user;
  atomic_fetch_sub(&seen->running, 1);
}

static void on_cancel(caw_call *call, void *user) {
  if (user) caw_call_finish(call, CAW_CANCELLED, NULL);
}

static const caw_call_events events = {.on_done = on_done, .on_cancel = on_cancel};

static int echo(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)impl, (void)self;
  began();
  caw_call_on(call, &events, NULL);
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static int large(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)request, (void)impl;
  began();
  caw_call_on(call, &events, NULL);
  *(caw_str *)reply = caw_str_of(self, LARGE);
  return 0;
}

static int hold(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)request, (void)reply, (void)impl;
  began();
  caw_call_on(call, &events, self);
  return CAW_PENDING;
}

static int chat_open(caw_call *call, const void *impl, void *self) {
  (void)impl, (void)self;
  began();
  caw_call_on(call, &events, NULL);
  return 0;
}

static int chat(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)reply, (void)impl, (void)self;
  int rc = caw_call_send(call, request);
  return rc == CAW_EAGAIN || rc == CAW_ECLOSED ? 0 : rc;
}

static int chat_end(caw_call *call, void *reply, const void *impl, void *self) {
  (void)call, (void)reply, (void)impl, (void)self;
  return 0;
}

static const caw_method methods[] = {
    {ECHO_PATH, CAW_UNARY, &caw_type_bytes, &caw_type_bytes},
    {LARGE_PATH, CAW_UNARY, &caw_type_bytes, &caw_type_bytes},
    {HOLD_PATH, CAW_UNARY, &caw_type_bytes, &caw_type_bytes},
    {CHAT_PATH, CAW_BIDI, &caw_type_bytes, &caw_type_bytes},
};
static const caw_handler handlers[] = {{&methods[0], echo, NULL, NULL},
                                       {&methods[1], large, NULL, NULL},
                                       {&methods[2], hold, NULL, NULL},
                                       {&methods[3], chat, chat_open, chat_end}};

/* ---- Its process ---- */

static void on_hit(caw_limit limit, caw_str peer, void *user) {
  (void)peer, (void)user;
  atomic_fetch_add(&seen->hits[limit], 1);
}

static int port_of(const caw_server *s, size_t i) {
  return atoi(strrchr(caw_server_address(s, i), ':') + 1);
}

static void need(int rc, const char *what) {
  if (!rc) return;
  fprintf(stderr, "attack: %s: %s\n", what, caw_strerror(rc));
  _exit(3);
}

static _Noreturn void serve(const caw_limits *limits, bool aloud) {
  caw_limits l = {0};
  caw_server *s;
  if (limits) l = *limits;
  l.size = sizeof(l);
  l.on_hit = on_hit;
  const caw_server_options o = {.size = sizeof(o), .limits = &l};
  need(caw_server_new(&s, &o), "server");
  need(caw_server_add(s, handlers, sizeof(handlers) / sizeof(handlers[0]), NULL, calloc(1, LARGE)),
       "handlers");
  need(caw_server_listen(s, "127.0.0.1:0"), "listen");
#ifdef ATTACK_TLS
  caw_server_credentials *tls = certs_server();
  need(caw_server_listen_tls(s, "127.0.0.1:0", tls), "listen with TLS");
  atomic_store(&seen->tls_port, port_of(s, 1));
#endif
  need(caw_server_drain_on_signal(s, SIGTERM, 0), "signal");
  atomic_store(&seen->port, port_of(s, 0));
  if (aloud) printf("listening on %s\n", caw_server_address(s, 0)), fflush(stdout);
  int rc = caw_server_run(s);
  caw_server_free(s);
  _exit(rc == CAW_ETIMEDOUT ? 0 : rc != 0);
}

void target_serve(void) {
  static counters own;
  seen = &own;
  serve(NULL, true);
}

static long status_kib(pid_t pid, const char *name) {
  char path[64], line[256];
  long kib = 0;
  snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
  FILE *f = fopen(path, "r");
  while (f && fgets(line, sizeof(line), f))
    if (!strncmp(line, name, strlen(name))) kib = atol(line + strlen(name) + 1);
  if (f) fclose(f);
  return kib;
}

static long descriptors(pid_t pid) {
  char path[64];
  long n = 0;
  snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
  DIR *d = opendir(path);
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return n;
}

static double cpu(pid_t pid) {
  struct timespec t = {0};
  clock_gettime((clockid_t)((~(unsigned)pid << 3) | 2), &t); /* clock_getcpuclockid(3) */
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void target_start(target *t, const caw_limits *limits, unsigned nofile) {
  t->seen = mmap(NULL, sizeof(*t->seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (t->seen == MAP_FAILED) exit(2);
  fflush(NULL);
  pid_t parent = getpid();
  t->pid = fork();
  if (t->pid < 0) exit(2);
  if (!t->pid) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    if (nofile) setrlimit(RLIMIT_NOFILE, &(struct rlimit){nofile, nofile});
    seen = t->seen;
    serve(limits, false);
  }
  for (int i = 0; i < 5000 && !atomic_load(&t->seen->port); i++) usleep(1000);
  t->port = atomic_load(&t->seen->port);
  t->tls_port = atomic_load(&t->seen->tls_port);
  if (!t->port) exit(2);
  t->cpu = cpu(t->pid);
  t->rss = status_kib(t->pid, "VmRSS");
  t->fds = descriptors(t->pid);
}

bool target_stop(target *t) {
  int status = 0;
  kill(t->pid, SIGTERM);
  for (int i = 0; i < 10000; i++) {
    if (waitpid(t->pid, &status, WNOHANG) == t->pid) break;
    usleep(1000);
    if (i == 9999) {
      kill(t->pid, SIGKILL);
      waitpid(t->pid, &status, 0);
    }
  }
  munmap(t->seen, sizeof(*t->seen));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

double target_cpu(const target *t) {
  return cpu(t->pid) - t->cpu;
}

long target_memory(const target *t) {
  return status_kib(t->pid, "VmHWM") - t->rss;
}

long target_rss(const target *t) {
  return status_kib(t->pid, "VmRSS") - t->rss;
}

long target_descriptors(const target *t) {
  return descriptors(t->pid) - t->fds;
}
