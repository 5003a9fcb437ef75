/*
 * test-attack: plays each attack against a server process of its own, prints what it cost,
 * and fails when a bound is broken. With sanitizers CPU and memory say nothing, and are
 * not judged.
 *
 *   test-attack [NAME...]               those whose name contains one of these
 *   test-attack --list                  their names
 *   test-attack --serve                 the server alone
 *   test-attack --play PORT SECONDS NAME  the attack against another's server
 */
#include "attacks.h"
#include "target.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <unistd.h>

#ifdef ATTACK_TLS
#include "certs.h"
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Seconds more for what must come of an attack: sanitizers on a busy machine are slow. */
#define SLOW (SANITIZED ? 10 : 0)
/* And for the ends of what an attack has left. */
#define AWAITED_MS ((2 + SLOW) * 1000)

#define MOST_FOES 64
/* A client that resets may begin as many handlers as this and hurt no bound: the default of
 * resets_at_once. */
#define RESETS_AT_ONCE 200
/* The most handlers of one connection at a time: the default of max_streams. */
#define AT_ONCE 100

static unsigned failures;

/* ---- What it cost ---- */

typedef struct cost {
  double cpu_ms, closed_after; /* seconds after the breach; negative: it was not */
  double memory;               /* MiB, of all foes */
  unsigned long started, most;
  unsigned ended, waited;
  uint32_t goaway; /* the code that the last foe read */
  double kind;     /* seconds that somebody else's call took afterwards */
} cost;

static void blame(const char *name, const char *what, double have, double most) {
  printf("  FAILED: %s: %s: %.3f, at most %.3f\n", name, what, have, most);
  failures++;
}

static void expect(const char *name, const char *what, double have, double most, bool judged) {
  if (judged && have > most) blame(name, what, have, most);
}

static void print_head(void) {
  printf("%-42s %8s %8s %8s %6s %7s %8s  %s\n", "attack", "CPU ms", "MiB", "handlers", "most",
         "closed", "other us", "limit");
}

static void print_cost(const char *name, const cost *c, const target *t) {
  char closed[16] = "-", limits[128] = "";
  if (c->closed_after >= 0) snprintf(closed, sizeof(closed), "%.3f", c->closed_after);
  for (int i = 1; i < CAW_LIMITS; i++) {
    unsigned long n = atomic_load(&t->seen->hits[i]);
    size_t at = strlen(limits);
    if (n) snprintf(limits + at, sizeof(limits) - at, "%s %lu ", caw_limit_name((caw_limit)i), n);
  }
  printf("%-42s %8.2f %8.2f %8lu %6lu %7s %8.0f  %s\n", name, c->cpu_ms, c->memory, c->started,
         c->most, closed, c->kind * 1e6, limits);
  fflush(stdout);
}

/* ---- Playing ---- */

static bool all_closed(const foe *foes, int n) {
  for (int i = 0; i < n; i++)
    if (!foes[i].closed) return false;
  return true;
}

static double seconds_of(const attack *a) {
  if (a->seconds > 0) return a->seconds;
  return a->closes ? a->after + 3 : 0.3;
}

/* Has the only one seen the ends of all calls that must end? */
static bool all_ended(const attack *a, const foe *f) {
  return a->ends && f->ended >= a->ends;
}

/* One step of each; then waits a little for those that have said what they had to. */
static void step(const attack *a, foe *foes, int n) {
  bool busy = false;
  for (int i = 0; i < n; i++) {
    foe *f = &foes[i];
    if (f->closed) continue;
    if (!f->out.len && f->phase >= 0 && !attack_says(a, f)) f->phase = -1;
    busy = busy || f->out.len;
    foe_move(f);
  }
  if (!busy || a->quick) usleep(a->quick ? 5000 : 500);
}

static bool goes_on(const attack *a, const target *t, double passed) {
  double seconds = seconds_of(a);
  if (passed < seconds) return true;
  if (a->closes) return passed < seconds + 2;
  return a->limit && !atomic_load(&t->seen->hits[a->limit]) && passed < seconds + SLOW;
}

static int64_t window_of(const attack *a) {
  return a->shut ? 0 : a->window ? a->window : 1 << 20;
}

static void play(const attack *a, const target *t, cost *c) {
  static foe foes[MOST_FOES];
  int n = a->foes ? a->foes : 1;
  double began = now();
  for (int i = 0; i < n; i++)
    foe_open(&foes[i], a->tls ? t->tls_port : t->port, !a->deaf, window_of(a));
  while (!all_closed(foes, n) && !all_ended(a, foes) && goes_on(a, t, now() - began))
    step(a, foes, n);
  /* CPU before somebody else asks. */
  c->cpu_ms = target_cpu(t) * 1000;
  c->memory = (double)target_memory(t) / 1024;
  c->closed_after = all_closed(foes, n) ? 0 : -1;
  for (int i = 0; i < n; i++) {
    double after = foes[i].closed_at - foes[i].began - a->after;
    if (c->closed_after >= 0 && after > c->closed_after) c->closed_after = after;
    c->ended += foes[i].ended;
    c->waited += foes[i].waited;
    c->goaway = foes[i].goaway;
    if (getenv("ATTACK_DEBUG"))
      printf("  foe %d: wrote %llu, GOAWAY %llu code %u, RST %llu, ended %u, waited %u\n", i,
             (unsigned long long)foes[i].wrote, (unsigned long long)foes[i].frames[GOAWAY],
             foes[i].goaway, (unsigned long long)foes[i].frames[RST_STREAM], foes[i].ended,
             foes[i].waited);
  }
  c->started = atomic_load(&t->seen->started);
  c->most = atomic_load(&t->seen->most);
  c->kind = ask_kindly(t->port, ECHO_PATH);
  for (int i = 0; i < n; i++) foe_close(&foes[i]);
}

/* Handlers end with their connections. */
static void check_after(const char *name, target *t) {
  for (int i = 0; i < AWAITED_MS && atomic_load(&t->seen->running); i++) usleep(1000);
  expect(name, "handlers that go on without their connection",
         (double)atomic_load(&t->seen->running), 0, true);
  for (int i = 0; i < AWAITED_MS && target_descriptors(t) > 0; i++) usleep(1000);
  expect(name, "descriptors left", (double)target_descriptors(t), 0, true);
  if (!target_stop(t)) blame(name, "the server did not end in good order", 1, 0);
}

static void judge(const attack *a, const target *t, const cost *c) {
  int n = a->foes ? a->foes : 1;
  double memory = a->memory > 0 ? a->memory : 1;
  /* A server that is so late that deadlines are over before their handlers begin has nothing to
   * end a connection for. */
  bool open = c->closed_after < 0;
  bool late = SANITIZED && a->timed && open && c->started <= RESETS_AT_ONCE;
  if (a->closes && open && !late) blame(a->name, "not closed", 1, 0);
  expect(a->name, "seconds until closed", c->closed_after, SANITIZED ? 5 : 1, a->closes);
  /* A foe that did not have the processor has waited as an honest client does, which allows it
   * these calls, and as many more. */
  expect(a->name, "handlers", (double)c->started, (double)(a->handlers * n + 2 * c->waited),
         a->handlers >= 0 && !(SANITIZED && a->timed));
  expect(a->name, "handlers at once", (double)c->most, (double)(AT_ONCE * n), true);
  expect(a->name, "MiB", c->memory, memory * n, !SANITIZED);
  expect(a->name, "ms of CPU each", c->cpu_ms / n, a->cpu_ms, !SANITIZED && a->cpu_ms > 0);
  if (c->ended < a->ends) blame(a->name, "ends of calls that are missing", a->ends - c->ended, 0);
  if (a->limit && !atomic_load(&t->seen->hits[a->limit]) &&
      !(a->or_code && c->goaway == a->or_code) && !late)
    blame(a->name, caw_limit_name(a->limit), 0, -1);
  if (c->kind < 0) blame(a->name, "somebody else's call failed", 1, 0);
}

static const caw_limits quick = {.size = sizeof(quick),
                                 .handshake_ms = (uint64_t)(QUICK * 1000),
                                 .settings_ack_ms = (uint64_t)(QUICK * 1000),
                                 .header_block_ms = (uint64_t)(QUICK * 1000),
                                 .write_ms = (uint64_t)(QUICK * 1000)};

static void run(const attack *a) {
  target t;
  cost c = {0};
#ifndef ATTACK_TLS
  if (a->tls) return;
#endif
  target_start(&t, a->quick ? &quick : NULL, 0);
  if (ask_kindly(t.port, ECHO_PATH) < 0) blame(a->name, "the server does not serve", 1, 0);
  atomic_store(&t.seen->started, 0);
  atomic_store(&t.seen->most, 0);
  t.cpu += target_cpu(&t); /* what comes with a first call is nobody's */
  t.rss += target_rss(&t);
  play(a, &t, &c);
  print_cost(a->name, &c, &t);
  judge(a, &t, &c);
  check_after(a->name, &t);
}

/* ---- Descriptors ---- */

static int dial(int port) {
  struct sockaddr_in to = {.sin_family = AF_INET};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons((uint16_t)port);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS) {
    close(fd);
    return -1;
  }
  return fd;
}

/* More connections than the server has descriptors. */
static void no_descriptors(void) {
  enum { MANY = 300, SOME = 64 };
  static const char name[] = "descriptors exhausted on accept";
  target t;
  cost c = {.closed_after = -1};
  int fds[MANY];
  target_start(&t, NULL, SOME);
  for (int i = 0; i < MANY; i++) fds[i] = dial(t.port);
  rest(200000);
  double began = now(), cpu = target_cpu(&t);
  rest(1000000);
  double share = 100 * (target_cpu(&t) - cpu) / (now() - began);
  c.cpu_ms = target_cpu(&t) * 1000;
  c.memory = (double)target_memory(&t) / 1024;
  for (int i = 0; i < MANY; i++) close(fds[i]);
  c.kind = ask_kindly(t.port, ECHO_PATH);
  print_cost(name, &c, &t);
  printf("  %.2f %% CPU while exhausted; recovered after %.3f s\n", share, c.kind);
  expect(name, "% CPU", share, 5, !SANITIZED);
  expect(name, "seconds until it recovered", c.kind < 0 ? 99 : c.kind, 1, true);
  check_after(name, &t);
}

/* ---- Half-open connections ---- */

static void half_open(void) {
  static const char name[] = "10,000 half-open connections";
  static const caw_limits limits = {.size = sizeof(limits), .handshake_ms = 2500};
  static int fds[10000];
  const int many = SANITIZED ? 2000 : 10000;
  target t;
  cost c = {0};
  target_start(&t, &limits, 0);
  double began = now();
  for (int i = 0; i < many; i++) {
    fds[i] = dial(t.port);
    if (fds[i] >= 0 && i % 2) send(fds[i], "PRI * HTTP/2.0", 14, MSG_NOSIGNAL);
    if (i % 100 == 99) rest(2000);
  }
  double opened = now();
  for (int i = 0; i < 3000 && target_descriptors(&t) < many; i++) rest(1000);
  long open = target_descriptors(&t);
  c.memory = (double)target_memory(&t) / 1024;
  c.kind = ask_kindly(t.port, ECHO_PATH);
  c.cpu_ms = target_cpu(&t) * 1000;
  /* One look decides: a list of descriptors that is read while they go may say too few of them,
   * a moment before it is true. */
  long left;
  while ((left = target_descriptors(&t)) > 0 && now() - opened < 2.5 + 5) usleep(5000);
  double late = now() - opened - 2.5;
  c.closed_after = left > 0 ? -1 : late > 0 ? late : 0; /* the first were open before the last */
  for (int i = 0; i < many; i++) close(fds[i]);
  print_cost(name, &c, &t);
  printf("  %ld were open, after %.3f s, %.1f KiB each\n", open, opened - began,
         c.memory * 1024 / (double)many);
  expect(name, "MiB", c.memory, many, !SANITIZED);
  if (open < many) blame(name, "connections that it did not take", (double)(many - open), 0);
  expect(name, "seconds until closed", c.closed_after < 0 ? 99 : c.closed_after, 1, !SANITIZED);
  expect(name, "seconds of somebody else's call", c.kind < 0 ? 99 : c.kind, 1, true);
  check_after(name, &t);
}

/* ---- Against another's server, for a benchmark ---- */

static int play_on(int port, double seconds, const char *name) {
  const attack *a = NULL;
  static foe foes[MOST_FOES];
  for (size_t i = 0; i < n_attacks; i++)
    if (!strcmp(attacks[i].name, name)) a = &attacks[i];
  if (!a || a->tls) return 2;
  double began = now();
  int n = a->foes ? a->foes : 1;
  while (now() - began < seconds) {
    for (int i = 0; i < n; i++) foe_open(&foes[i], port, !a->deaf, window_of(a));
    while (!all_closed(foes, n) && now() - began < seconds) step(a, foes, n);
    for (int i = 0; i < n; i++) foe_close(&foes[i]);
  }
  return 0;
}

static bool wanted(const char *name, int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (strstr(name, argv[i])) return true;
  return argc < 2;
}

int main(int argc, char **argv) {
  struct rlimit files;
  signal(SIGPIPE, SIG_IGN);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (argc == 5 && !strcmp(argv[1], "--play"))
    return play_on(atoi(argv[2]), atof(argv[3]), argv[4]);
  if (argc == 2 && !strcmp(argv[1], "--serve")) target_serve();
  if (argc == 2 && !strcmp(argv[1], "--list")) {
    for (size_t i = 0; i < n_attacks; i++)
      if (!attacks[i].tls) puts(attacks[i].name);
    return 0;
  }
#ifdef ATTACK_TLS
  certs_good(); /* made once for all servers */
#endif
  double began = now();
  print_head();
  for (size_t i = 0; i < n_attacks; i++)
    if (wanted(attacks[i].name, argc, argv)) run(&attacks[i]);
  if (wanted("descriptors", argc, argv)) no_descriptors();
  if (wanted("half-open", argc, argv)) half_open();
  printf("%.1f s, %u bounds broken\n", now() - began, failures);
  return failures != 0;
}
