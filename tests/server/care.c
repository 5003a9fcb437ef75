/* How a server cares for its connections: what its options come to, descriptors that it
 * is given, and what it tells the service manager. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"
#include "server/server.h"

#include <caw/systemd.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

/* ---- Options ---- */

/* keepalive.md, gRFC A8 and A9. */
static void options(void **state) {
  (void)state;
  static const struct {
    caw_server_options options;
    keepalive_config keepalive;
    age_config age;
  } cases[] = {
      {{0}, {7200000 * MS, 20000 * MS, true, 0, 300000 * MS, false, 2}, {0, 0, 0}},
      {{.keepalive_time_ms = 1, .keepalive_timeout_ms = 1},
       {1000 * MS, MS, true, 0, 300000 * MS, false, 2},
       {0, 0, 0}},
      {{.keepalive_time_ms = CAW_NEVER, .min_recv_ping_interval_without_data_ms = CAW_NEVER},
       {0, 20000 * MS, true, 0, 0, false, 2},
       {0, 0, 0}},
      {{.keepalive_timeout_ms = CAW_NEVER}, {0, 0, true, 0, 300000 * MS, false, 2}, {0, 0, 0}},
      {{.min_recv_ping_interval_without_data_ms = 1,
        .keepalive_permit_without_calls = true,
        .keepalive_max_pings_without_data = 3,
        .max_ping_strikes = 9},
       {7200000 * MS, 20000 * MS, true, 3, MS, true, 9},
       {0, 0, 0}},
      {{.max_connection_idle_ms = 1, .max_connection_age_ms = 2, .max_connection_age_grace_ms = 3},
       {7200000 * MS, 20000 * MS, true, 0, 300000 * MS, false, 2},
       {MS, 2 * MS, 3 * MS}},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    caw_server *s;
    caw_server_options o = cases[i].options;
    o.size = sizeof(o);
    assert_int_equal(caw_server_new(&s, &o), 0);
    const keepalive_config *got = &s->config.keepalive, *want = &cases[i].keepalive;
    if (got->time != want->time || got->timeout != want->timeout ||
        got->without_calls != want->without_calls ||
        got->max_without_data != want->max_without_data || got->permit_time != want->permit_time ||
        got->permit_without_calls != want->permit_without_calls ||
        got->max_strikes != want->max_strikes)
      fail_msg("keepalive of case %zu: %ju, %ju, %d, %u, %ju, %d, %u", i, (uintmax_t)got->time,
               (uintmax_t)got->timeout, got->without_calls, got->max_without_data,
               (uintmax_t)got->permit_time, got->permit_without_calls, got->max_strikes);
    assert_int_equal(s->config.age.max_idle, cases[i].age.max_idle);
    assert_int_equal(s->config.age.max_age, cases[i].age.max_age);
    assert_int_equal(s->config.age.grace, cases[i].age.grace);
    caw_server_free(s);
  }
}

/* A program that was built before these options were there. */
static void an_older_program(void **state) {
  (void)state;
  caw_server *s;
  caw_server_options o = {.size = offsetof(caw_server_options, keepalive_time_ms)};
  o.max_connection_age_ms = 5; /* behind its end */
  assert_int_equal(caw_server_new(&s, &o), 0);
  assert_int_equal(s->config.age.max_age, 0);
  assert_int_equal(s->config.keepalive.time, 7200000 * MS);
  caw_server_free(s);
}

/* ---- Descriptors ---- */

typedef struct ends {
  caw_loop *loop;
  caw_server *server;
} ends;

static void open_ends(ends *e) {
  assert_int_equal(caw_loop_new(&e->loop), 0);
  const caw_server_options o = {.size = sizeof(o), .loop = e->loop};
  assert_int_equal(caw_server_new(&e->server, &o), 0);
}

static void close_ends(ends *e) {
  caw_server_free(e->server);
  caw_loop_free(e->loop);
}

static int tcp(bool listening) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
  if (listening) assert_int_equal(listen(fd, 5), 0);
  return fd;
}

static void descriptors_that_do_not_listen(void **state) {
  (void)state;
  ends e;
  int pipes[2];
  open_ends(&e);
  assert_int_equal(pipe(pipes), 0);
  int fds[] = {-1, pipes[0], tcp(false), socket(AF_INET, SOCK_DGRAM, 0), 100000};
  for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
    char want[100];
    assert_int_equal(caw_server_listen_fd(e.server, fds[i], NULL), CAW_EINVAL);
    snprintf(want, sizeof(want),
             "cannot listen on descriptor %d: it is no stream socket that listens", fds[i]);
    assert_string_equal(caw_server_error(e.server), want);
    assert_null(caw_server_address(e.server, 0));
  }
  for (int i = 1; i < 4; i++) assert_int_equal(close(fds[i]), 0); /* still ours */
  close(pipes[1]);
  close_ends(&e);
}

/* It is used, and closed with the server. */
static void a_descriptor_is_listened_on(void **state) {
  (void)state;
  duo d = {0};
  heard h = {0};
  int fd = tcp(true);
  const char *why;
  duo_init(&d);
  caw_channel_free(d.channel);
  assert_int_equal(caw_server_listen_fd(d.server, fd, NULL), 0);
  const char *address = caw_server_address(d.server, 1);
  assert_memory_equal(address, "127.0.0.1:", 10);
  assert_int_equal(caw_channel_new(&d.channel, address, &d.channel_options, &why), 0);
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_string_equal(h.replies, "x");
  duo_finish(&d);
  assert_int_equal(close(fd), -1);
  assert_int_equal(errno, EBADF);
}

/* The file of a Unix socket is left to whoever made it. */
static void a_file_is_not_ours(void **state) {
  (void)state;
  ends e;
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/caw-care-%d", (int)getpid());
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
  assert_int_equal(listen(fd, 5), 0);
  open_ends(&e);
  assert_int_equal(caw_server_listen_fd(e.server, fd, NULL), 0);
  close_ends(&e);
  assert_int_equal(access(un.sun_path, F_OK), 0);
  unlink(un.sun_path);
}

static void no_sockets_of_systemd(void **state) {
  (void)state;
  ends e;
  char pid[32];
  snprintf(pid, sizeof(pid), "%d", (int)getpid());
  static const struct {
    const char *address, *fds, *names;
    int rc;
    const char *error;
  } cases[] = {
      {"systemd:", NULL, NULL, CAW_ENOTFOUND,
       "cannot listen on systemd:: systemd passed no socket to this process"},
      {"systemd:web", "0", "", CAW_ENOTFOUND,
       "cannot listen on systemd:web: systemd passed no socket named web to this process"},
      {"systemd:", "x", NULL, CAW_EMALFORMED,
       "cannot listen on systemd:: LISTEN_FDS or what it tells of is not in order"},
      {"systemd:", "70000", NULL, CAW_EMALFORMED,
       "cannot listen on systemd:: LISTEN_FDS or what it tells of is not in order"},
      {"systemd:", "60000", NULL, CAW_EMALFORMED, /* not open */
       "cannot listen on systemd:: LISTEN_FDS or what it tells of is not in order"},
  };
  open_ends(&e);
  setenv("LISTEN_PID", pid, 1);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (cases[i].fds) setenv("LISTEN_FDS", cases[i].fds, 1);
    if (cases[i].names) setenv("LISTEN_FDNAMES", cases[i].names, 1);
    assert_int_equal(caw_server_listen(e.server, cases[i].address), cases[i].rc);
    assert_string_equal(caw_server_error(e.server), cases[i].error);
  }
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  close_ends(&e);
}

/* Opens a listening socket as descriptor `as`. */
static void listen_as(int as) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(listen(fd, 5), 0);
  if (fd == as) return;
  assert_int_equal(dup2(fd, as), as);
  close(fd);
}

/* Is what systemd has started, with `n` descriptors from 3 on, until take_away. */
static int saved[3];
static void pass(int n, const char *names) {
  char pid[32], count[16];
  for (int i = 0; i < n; i++) {
    saved[i] = fcntl(3 + i, F_DUPFD_CLOEXEC, 10);
    listen_as(3 + i);
  }
  snprintf(pid, sizeof(pid), "%d", (int)getpid());
  snprintf(count, sizeof(count), "%d", n);
  setenv("LISTEN_PID", pid, 1);
  setenv("LISTEN_FDS", count, 1);
  setenv("LISTEN_FDNAMES", names, 1);
}

static void take_away(int n) {
  for (int i = 0; i < n; i++) {
    if (saved[i] >= 0) dup2(saved[i], 3 + i);
    else close(3 + i);
    if (saved[i] >= 0) close(saved[i]);
  }
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
}

/* Servers one after the other listen on what systemd passed, also when the first could not
 * listen on all; what the program has opened instead is not systemd's. */
static void what_systemd_passed_is_kept(void **state) {
  (void)state;
  ends e;
  char address[64];
  pass(2, "good:bad");
  int plain = open("/dev/null", O_RDONLY);
  assert_int_equal(dup2(plain, 4), 4);
  if (plain != 4) close(plain);
  for (int i = 0; i < 3; i++) {
    open_ends(&e);
    assert_int_equal(caw_server_listen(e.server, "systemd:"), CAW_EINVAL);
    assert_null(caw_server_address(e.server, 0));
    assert_int_equal(caw_server_listen(e.server, "systemd:good"), 0);
    if (!i) snprintf(address, sizeof(address), "%s", caw_server_address(e.server, 0));
    assert_string_equal(caw_server_address(e.server, 0), address);
    close_ends(&e);
  }
  listen_as(3);
  open_ends(&e);
  assert_int_equal(caw_server_listen(e.server, "systemd:good"), CAW_ESTATE);
  assert_string_equal(caw_server_error(e.server),
                      "cannot listen on systemd:good: this process has closed what systemd passed");
  close_ends(&e);
  assert_int_equal(fcntl(3, F_GETFD), 0); /* untouched */
  take_away(2);
}

/* Whatever it is called the second time: the connections would come in by two doors. */
static void each_socket_once(void **state) {
  (void)state;
  ends e;
  char want[200];
  static const char *const again[] = {"systemd:", "systemd:web"};
  pass(3, "web:admin:other"); /* another number than before: it is looked at anew */
  open_ends(&e);
  assert_int_equal(caw_server_listen(e.server, "systemd:web"), 0);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(caw_server_listen(e.server, again[i]), CAW_EADDRINUSE);
    snprintf(want, sizeof(want),
             "cannot listen on %s: this server listens there already; name each socket of "
             "systemd's once (\"systemd:\" is all of them)",
             again[i]);
    assert_string_equal(caw_server_error(e.server), want);
  }
  assert_int_equal(caw_server_listen(e.server, "systemd:admin"), 0);
  assert_non_null(caw_server_address(e.server, 1));
  assert_null(caw_server_address(e.server, 2));
  int copy = fcntl(3, F_DUPFD_CLOEXEC, 10);
  assert_int_equal(caw_server_listen_fd(e.server, copy, NULL), CAW_EADDRINUSE);
  snprintf(want, sizeof(want),
           "cannot listen on descriptor %d: this server listens on its socket already", copy);
  assert_string_equal(caw_server_error(e.server), want);
  close(copy);
  close_ends(&e);
  take_away(3);
}

/* ---- What is told ---- */

static int notify_socket(void) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  char name[64];
  int n = snprintf(name, sizeof(name), "@caw-care-%d", (int)getpid());
  memcpy(un.sun_path + 1, name + 1, (size_t)n - 1);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n);
  assert_int_equal(bind(fd, (struct sockaddr *)&un, len), 0);
  setenv("NOTIFY_SOCKET", name, 1);
  return fd;
}

static void assert_told(int fd, const char *want) {
  char got[256];
  ssize_t n = recv(fd, got, sizeof(got) - 1, 0);
  got[n < 0 ? 0 : n] = '\0';
  assert_string_equal(got, want);
}

static void a_server_tells_its_states(void **state) {
  (void)state;
  duo d = {0};
  int fd = notify_socket();
  duo_init(&d);
  assert_int_equal(caw_server_notify_systemd(d.server), 0);
  assert_int_equal(caw_server_notify_systemd(d.server), 0); /* once is enough */
  assert_told(fd, "");
  duo_turns(&d, 2);
  assert_told(fd, "READY=1");
  caw_server_drain(d.server, 0, NULL, NULL);
  duo_turns(&d, 3);
  assert_told(fd, "STOPPING=1");
  assert_told(fd, "");
  duo_finish(&d);
  unsetenv("NOTIFY_SOCKET");
  close(fd);
}

/* One that never ran says nothing; its post finds it freed. */
static void a_server_that_does_not_run(void **state) {
  (void)state;
  int fd = notify_socket();
  for (int own = 0; own < 2; own++) {
    for (int drain = 0; drain < 2; drain++) {
      caw_loop *loop;
      caw_server *s;
      assert_int_equal(caw_loop_new(&loop), 0);
      const caw_server_options o = {.size = sizeof(o), .loop = own ? NULL : loop};
      assert_int_equal(caw_server_new(&s, &o), 0);
      assert_int_equal(caw_server_notify_systemd(s), 0);
      if (drain) caw_server_drain(s, 0, NULL, NULL);
      caw_server_free(s);
      caw_loop_run(loop, CAW_LOOP_NOWAIT);
      caw_loop_free(loop);
      assert_told(fd, "");
    }
  }
  unsetenv("NOTIFY_SOCKET");
  close(fd);
}

/* ---- Hand-over, by wrong calls ---- */

static void a_hand_over_is_prepared_first(void **state) {
  (void)state;
  ends e;
  char path[64], longer[300] = {0};
  bool took = true;
  snprintf(path, sizeof(path), "/tmp/caw-handover-%d", (int)getpid());
  memset(longer, 'x', sizeof(longer) - 1);
  open_ends(&e);
  assert_int_equal(caw_server_handover(e.server, longer, 0, &took), CAW_EADDR);
  assert_int_equal(caw_server_handover(e.server, "", 0, NULL), CAW_EADDR);
  assert_int_equal(caw_server_handover(e.server, "/nowhere/at/all", 0, NULL), CAW_EADDR);
  assert_string_equal(caw_server_error(e.server),
                      "cannot wait for a successor at /nowhere/at/all: No such file or directory");
  assert_int_equal(caw_server_handover(e.server, path, 0, &took), 0);
  assert_false(took);
  assert_int_equal(access(path, F_OK), 0);
  assert_int_equal(caw_server_handover(e.server, path, 0, NULL), CAW_ESTATE);
  close_ends(&e);
  assert_int_equal(access(path, F_OK), -1);
  open_ends(&e);
  assert_int_equal(caw_server_listen(e.server, "127.0.0.1:0"), 0);
  assert_int_equal(caw_server_handover(e.server, path, 0, NULL), CAW_ESTATE);
  assert_string_equal(caw_server_error(e.server),
                      "a hand-over is prepared once, before anything is listened on");
  close_ends(&e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(options),
      cmocka_unit_test(an_older_program),
      cmocka_unit_test(descriptors_that_do_not_listen),
      cmocka_unit_test(a_descriptor_is_listened_on),
      cmocka_unit_test(a_file_is_not_ours),
      cmocka_unit_test(no_sockets_of_systemd),
      cmocka_unit_test(what_systemd_passed_is_kept),
      cmocka_unit_test(each_socket_once),
      cmocka_unit_test(a_server_tells_its_states),
      cmocka_unit_test(a_server_that_does_not_run),
      cmocka_unit_test(a_hand_over_is_prepared_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
