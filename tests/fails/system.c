/*
 * System calls fail, with each error that the manual pages know, and take or give less than
 * they were asked for: in turn each call of each kind that a scenario makes, once, some times
 * in a row, and for ever. Each run comes to an end, leaves no descriptor behind and hurts
 * nobody else; afterwards a new client finds nothing amiss.
 *
 *   test-fails-system [--each N] [SCENARIO]
 *
 * N bounds how many calls of a kind fail in turn (0: all of them).
 */
#include "dns.h"
#include "faults.h"
#include "succession.h"
#include "heap.h"
#include "runs.h"

#include <caw/blocking.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIT(status) (UINT32_C(1) << (status))

/* ---- Errors ---- */

typedef struct faulty {
  fault_call call;
  int errors[14];
} faulty;

static const faulty kinds[] = {
    {CALL_SOCKET, {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EAFNOSUPPORT}},
    {CALL_BIND, {EADDRINUSE, EACCES, EADDRNOTAVAIL, EINVAL, ENOMEM, EROFS}},
    {CALL_LISTEN, {EADDRINUSE, EOPNOTSUPP, ENOBUFS}},
    {CALL_ACCEPT4,
     {EAGAIN, EINTR, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO, EPERM, ETIMEDOUT,
      EHOSTUNREACH, ENETDOWN}},
    {CALL_CONNECT,
     {EINTR, EAGAIN, ECONNREFUSED, ECONNRESET, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL,
      EACCES, EPERM, ENOBUFS, ENOMEM}},
    {CALL_RECV,
     {EINTR, EAGAIN, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOMEM, ENOBUFS, EIO, FAULT_SHORT}},
    {CALL_RECVFROM, {EINTR, EAGAIN, ECONNREFUSED, ENOMEM}},
    {CALL_RECVMSG, {EINTR, EAGAIN, ECONNRESET, ENOMEM, FAULT_SHORT}},
    {CALL_SEND, {EAGAIN, ECONNREFUSED, ENOBUFS, EPERM, ENETUNREACH}},
    {CALL_SENDTO, {EAGAIN, ECONNREFUSED, ENOBUFS, EPERM, ENETUNREACH}},
    {CALL_SENDMSG,
     {EINTR, EAGAIN, EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM, EPERM,
      FAULT_SHORT}},
    {CALL_GETSOCKOPT, {ENOBUFS, ENOPROTOOPT, EINVAL, ENOMEM}},
    {CALL_SETSOCKOPT, {ENOBUFS, ENOPROTOOPT, EINVAL, ENOMEM, EPERM}},
    {CALL_GETSOCKNAME, {ENOBUFS, EINVAL}},
    {CALL_GETPEERNAME, {ENOTCONN, ENOBUFS}},
    {CALL_SHUTDOWN, {ENOTCONN, ENOBUFS}},
    {CALL_IOCTL, {EINVAL, ENOTTY}},
    {CALL_FCNTL, {EINVAL, ENOMEM, EMFILE}},
    {CALL_OPEN, {EMFILE, ENFILE, EACCES, ENOENT, ENOMEM}},
    {CALL_FSTAT, {EIO, ENOMEM}},
    {CALL_LSTAT, {EACCES, ENOMEM}},
    {CALL_CHMOD, {EPERM, EIO}},
    {CALL_UNLINK, {EACCES, EBUSY}},
    {CALL_CLOSE, {EINTR, EIO}},
    {CALL_PIPE2, {EMFILE, ENFILE}},
    {CALL_EVENTFD, {EMFILE, ENFILE, ENOMEM}},
    {CALL_EPOLL_CREATE1, {EMFILE, ENFILE, ENOMEM}},
    {CALL_EPOLL_CTL, {ENOMEM, ENOSPC, EPERM}},
    {CALL_EPOLL_WAIT, {EINTR}},
    {CALL_PTHREAD_CREATE, {EAGAIN}},
};

/* ---- What is done ---- */

/* Of each call: short where nobody may ever come (may_wait), else long enough for any machine. */
static caw_call_options patient = {.size = sizeof(caw_call_options)};

static int unary(world *w) {
  talk t = {0};
  int code = talk_all(w, &t, &echo, &patient);
  if (!code) must_be(t.bytes, 8);
  return code;
}

static int bulk(world *w) {
  const caw_call_options o = {.size = sizeof(o), .timeout_ms = 5000};
  talk t = {.to_send = 3};
  int code = talk_all(w, &t, &both, &o);
  if (!code) must_be(t.bytes, 3 * BIG);
  return code;
}

static int named(world *w, const char *host, const char *dns_server) {
  char target[64];
  const caw_channel_options o = {.size = sizeof(o), .loop = w->loop, .dns_server = dns_server};
  snprintf(target, sizeof(target), "dns:///%s%s", host, strrchr(w->target, ':'));
  caw_channel_free(w->channel);
  must_be(caw_channel_new(&w->channel, target, &o, NULL), 0);
  return unary(w);
}

static int hosts_file(world *w) {
  return named(w, "localhost", NULL);
}

static int name_server(world *w) {
  return named(w, "caw.example", dns_address());
}

static int drain(world *w) {
  int drained = 0;
  talk t = {0};
  int code = unary(w);
  int rc = talk_begin(w, &t, &waits, w->channel, &patient);
  while (!rc && !t.done && !served.begun) caw_loop_run(w->loop, CAW_LOOP_ONCE);
  caw_channel_free(w->neighbour);
  w->neighbour = NULL;
  caw_server_drain(w->server, 2, set_flag, &drained);
  world_until(w, &drained);
  if (!rc) talk_end(w, &t);
  return code;
}

static const char *const addresses[] = {"127.0.0.1:0", "[::1]:0", "localhost:0",
                                        "unix-abstract:caw-fails-here", "unix:/tmp/caw-fails-XXX"};

static int listening(world *w) {
  int worst = 0;
  for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
    const caw_server_options o = {.size = sizeof(o), .loop = w->loop};
    caw_server *s;
    must_be(caw_server_new(&s, &o), 0);
    int rc = caw_server_listen(s, addresses[i]);
    if (rc) must(caw_server_error(s)[0] && !caw_server_address(s, 0));
    caw_server_free(s);
    if (rc && worst != rc) worst = rc;
  }
  world_turns(w, 3);
  unlink(addresses[4] + 5);
  return worst;
}

static int loops(world *w) {
  (void)w;
  caw_loop *loop;
  int rc = caw_loop_new(&loop);
  if (rc) return rc;
  for (int i = 0; i < 3; i++) caw_loop_run(loop, CAW_LOOP_NOWAIT);
  caw_loop_free(loop);
  return 0;
}

static int echoes(caw_stream *stream, const void *request, void *reply, const void *impl,
                  void *self) {
  (void)stream, (void)impl, (void)self;
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static const caw_blocking_handler echo_blocking = {&echo, echoes};

typedef struct running {
  caw_server *server;
  int rc;
} running;

static void *run(void *arg) {
  running *r = arg;
  r->rc = caw_server_run(r->server);
  return NULL;
}

static int ask(caw_channel *channel) {
  caw_str request = CAW_STR("a question"), reply = {NULL, 0};
  caw_arena *arena = caw_arena_new(0);
  int code = caw_call_unary(channel, &echo, &request, &reply, arena, &patient, NULL);
  if (!code) must(caw_str_eq(request, reply));
  caw_arena_free(arena);
  return code;
}

/* A server with loops and a pool of its own, a channel with its own thread. */
static int threads(world *w) {
  (void)w;
  running r = {NULL, 0};
  pthread_t thread;
  caw_channel *channel = NULL;
  const caw_server_options o = {.size = sizeof(o), .loops = 3, .pool_threads = 1};
  int rc = caw_server_new(&r.server, &o);
  if (rc) return rc;
  must_be(caw_server_add_blocking(r.server, &echo_blocking, 1, NULL, NULL), 0);
  rc = caw_server_listen(r.server, "127.0.0.1:0");
  faults_pause(true);
  must_be(pthread_create(&thread, NULL, run, &r), 0); /* the test's own */
  faults_pause(false);
  const caw_channel_options co = {.size = sizeof(co), .backoff_initial_ms = 1};
  if (!rc) rc = caw_channel_new(&channel, caw_server_address(r.server, 0), &co, NULL);
  for (int i = 0; i < 2 && !rc; i++) rc = ask(channel);
  caw_channel_free(channel);
  caw_server_drain(r.server, 0, NULL, NULL);
  pthread_join(thread, NULL);
  caw_server_free(r.server);
  return r.rc ? r.rc : rc;
}

static const scenario scenarios[] = {
    {.name = "unary, connecting", .run = unary},
    {.name = "unary", .run = unary, .how = {.warm = true}},
    {.name = "bidirectional", .run = bulk, .how = {.warm = true}},
    {.name = "Unix socket", .run = unary, .how = {.local = true}},
    {.name = "a name in the hosts file", .run = hosts_file, .also = BIT(CAW_DEADLINE_EXCEEDED)},
    /* c-ares asks again after a second. */
    {.name = "a name server", .run = name_server, .also = BIT(CAW_DEADLINE_EXCEEDED)},
    {.name = "drain", .run = drain, .spent = true},
    {.name = "listening", .run = listening, .how = {.bare = true}},
    {.name = "loops", .run = loops, .how = {.bare = true}},
    /* It has ten seconds to be let in. */
    {.name = "hand-over",
     .slow = 1,
     .run = succession_run,
     .how = {.bare = true, .equip = succession_open},
     .close = succession_close},
    {.name = "threads", .run = threads, .how = {.bare = true}},
#ifdef FAILS_TLS
    {.name = "TLS handshake", .run = unary, .how = {.tls = true}},
    {.name = "TLS, much to send", .run = bulk, .how = {.tls = true, .warm = true}},
#endif
};

/* ---- Runs ---- */

static int open_descriptors(void) {
  DIR *d = opendir("/proc/self/fd");
  int n = 0;
  must(d != NULL);
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

static void mark_victim(void) {
  faults_mark(true);
}

static const char *word_for(int err) {
  return err == FAULT_SHORT ? "one byte" : strerrorname_np(err);
}

/* May the call have waited in vain? Whom nobody lets in, or who is told for ever to come again. */
static bool may_wait(fault_call call, int err, long times) {
  if (call == CALL_PTHREAD_CREATE) return true; /* a loop that nobody runs */
  return times > 1 && (call == CALL_ACCEPT4 || err == EAGAIN || err == EINTR);
}

/* What libuv does not give back: uv_loop_init that fails behind epoll_create1 leaves its
 * descriptor open (1.44 to 1.48). caw_loop_new tries first whether there are descriptors, so that
 * takes two threads that race for the last ones. */
static int libuv_keeps(fault_call call) {
  return call == CALL_EVENTFD || call == CALL_PIPE2 ? 1 : 0;
}

static bool run_once(const scenario *s, fault_call call, int err, long n, long times, endings *e) {
  world w;
  int descriptors = open_descriptors();
  long live = heap_live(HEAP_CAW);
  run_name("%s: %s number %ld, %s, %ld times", s->name, fault_names[call], n,
           err ? word_for(err) : "well", times);
  run_within(20);
  bool waits_in_vain = may_wait(call, err, times);
  patient.timeout_ms = waits_in_vain || s->also ? 60 : 10000;
  faults_disarm();
  world_open(&w, &s->how);
  faults_arm(call, err, n, times);
  int rc = s->run(&w);
  bool struck = faults_struck();
  uint32_t also = s->also | (waits_in_vain ? BIT(CAW_DEADLINE_EXCEEDED) : 0);
  faults_disarm();
  /* On a slow machine a short deadline may be over before anything has failed. */
  if (!struck && !(rc > 0 && (also >> rc & 1))) must_be(rc, 0);
  if (rc > 0 && !status_is_usual(rc, also))
    run_fail(__FILE__, __LINE__, "it ended with %s", caw_code_name(rc));
  endings_count(e, rc);
  faults_mark(false);
  if (!s->how.bare && !s->spent) {
    world_neighbour(&w);
    fresh_call(&w);
  }
  if (s->close) s->close(&w);
  world_close(&w);
  if (n) must_be(heap_live(HEAP_CAW), live);
  if (n) must(open_descriptors() - descriptors <= libuv_keeps(call));
  run_within(0);
  return struck;
}

/* How often a call fails: short ones for ever, too; what is to be tried again some times. */
static long times_of(const scenario *s, fault_call call, int err, int way) {
  if (way == 0) return 1;
  if (s->slow && call == CALL_ACCEPT4) return 3;
  return err == EINTR || err == EAGAIN ? 3 : FAULT_EVER;
}

static long run_kind(const scenario *s, const faulty *k, long calls, endings *e) {
  long points = 0;
  for (int i = 0; i < 14 && k->errors[i]; i++)
    for (int way = 0; way < 2; way++)
      for (long n = 1; n <= calls; n++)
        points += run_once(s, k->call, k->errors[i], n, times_of(s, k->call, k->errors[i], way), e);
  return points;
}

static long run_scenario(const scenario *s, long each) {
  enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };
  endings e = {.n = 0};
  long points = 0, calls[KINDS];
  uint64_t begin = milliseconds();
  for (int i = 0; i < 2; i++) run_once(s, CALL_SOCKET, 0, 0, 0, &e);
  for (int i = 0; i < KINDS; i++) calls[i] = faults_counted(kinds[i].call);
  memset(&e, 0, sizeof(e));
  for (int i = 0; i < KINDS; i++)
    points += run_kind(s, &kinds[i], each && calls[i] > each ? each : calls[i], &e);
  printf("%-26s %5ld points, %6llu ms", s->name, points,
         (unsigned long long)(milliseconds() - begin));
  endings_print(&e);
  return points;
}

int main(int argc, char **argv) {
  const char *only = NULL;
  long each = 0, points = 0;
  int n = 0;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--each") && i + 1 < argc) each = atol(argv[++i]);
    else only = argv[i];
  }
  signal(SIGPIPE, SIG_IGN);
  heap_install();
  memset(big, 'x', sizeof(big));
  world_pauses = faults_pause;
  world_begins = mark_victim;
  dns_address();
  for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
    if (only && strcmp(only, scenarios[i].name) != 0) continue;
    points += run_scenario(&scenarios[i], each);
    n++;
  }
  printf("%d scenarios, %ld points\n", n, points);
  return n ? 0 : 2;
}
