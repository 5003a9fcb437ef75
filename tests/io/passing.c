/* Descriptors that come from elsewhere, and what is told elsewhere: of systemd, and of
 * another process. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "io/inherit.h"
#include "io/notify.h"
#include "io/pass.h"
#include "io/sys.h"

#include <caw/status.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- inherit.h ---- */

static bool is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

/* Descriptors 3 to 5 are what systemd would give: the numbers are free here, or become
 * so, and get back what they were. */
static int saved[3];

static int give_descriptors(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    saved[i] = is_open(3 + i) ? fcntl(3 + i, F_DUPFD, 100) : -1;
    dup2(1, 3 + i);
  }
  return 0;
}

static int take_descriptors(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    if (saved[i] >= 0) dup2(saved[i], 3 + i);
    else close(3 + i);
    if (saved[i] >= 0) close(saved[i]);
  }
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  return 0;
}

static void set(const char *name, const char *value) {
  if (value) setenv(name, value, 1);
  else unsetenv(name);
}

static void inherited(void **state) {
  (void)state;
  static const struct {
    const char *pid, *fds, *names; /* "me": this process */
    const char *name;
    int want;
    const char *which; /* the descriptors, as digits */
  } cases[] = {
      {NULL, NULL, NULL, "", 0, ""},
      {"me", NULL, NULL, "", 0, ""},
      {NULL, "2", NULL, "", 0, ""},
      {"1", "2", NULL, "", 0, ""}, /* another process's */
      {"x", "2", NULL, "", 0, ""},
      {"me", "0", NULL, "", 0, ""},
      {"me", "2", NULL, "", 2, "34"},
      {"me", "3", "a:b:a", "", 3, "345"},
      {"me", "3", "a:b:a", "a", 2, "35"},
      {"me", "3", "a:b:a", "b", 1, "4"},
      {"me", "3", "a:b:a", "c", 0, ""},
      {"me", "3", "a:b", "a", 1, "3"}, /* fewer names than descriptors */
      {"me", "3", "ab:b:a:", "a", 1, "5"},
      {"me", "2", NULL, "unknown", 2, "34"}, /* sd_listen_fds_with_names(3) */
      {"me", "2", NULL, "a", 0, ""},
      {"me", "2", "", "a", 0, ""},
      {"me", "", NULL, "", CAW_EMALFORMED, ""},
      {"me", "-1", NULL, "", CAW_EMALFORMED, ""},
      {"me", "2x", NULL, "", CAW_EMALFORMED, ""},
      {"me", " 2", NULL, "", CAW_EMALFORMED, ""},
      {"me", "99999999999999999999", NULL, "", CAW_EMALFORMED, ""},
      {"me", "65537", NULL, "", CAW_EMALFORMED, ""},
      {"me", "60000", NULL, "", CAW_EMALFORMED, ""}, /* that many are not open */
  };
  char me[32];
  snprintf(me, sizeof(me), "%d", (int)getpid());
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    int fds[3] = {0};
    char which[8] = "";
    set("LISTEN_PID", cases[i].pid && !strcmp(cases[i].pid, "me") ? me : cases[i].pid);
    set("LISTEN_FDS", cases[i].fds);
    set("LISTEN_FDNAMES", cases[i].names);
    int n = io_inherited(cases[i].name, fds, 3);
    for (int k = 0; k < n; k++) which[k] = (char)('0' + fds[k]);
    if (n != cases[i].want || strcmp(which, cases[i].which))
      fail_msg("case %zu: %d, \"%s\"", i, n, which);
    for (int k = 0; k < n; k++) assert_true(fcntl(fds[k], F_GETFD) & FD_CLOEXEC);
  }
  /* With less room than there are the number tells. */
  int one = 0;
  set("LISTEN_FDS", "3");
  assert_int_equal(io_inherited("", &one, 1), 3);
  assert_int_equal(one, 3);
}

/* ---- notify.h ---- */

static void told(void **state) {
  (void)state;
  char path[64], name[64];
  snprintf(path, sizeof(path), "/tmp/caw-notify-%d", (int)getpid());
  snprintf(name, sizeof(name), "@caw-notify-%d", (int)getpid());
  const char *const names[] = {path, name};
  for (int i = 0; i < 2; i++) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = strlen(names[i]);
    memcpy(un.sun_path, names[i], len);
    if (i) un.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + !i)),
                     0);
    setenv("NOTIFY_SOCKET", names[i], 1);
    assert_int_equal(io_notify("READY=1\nSTATUS=fine"), 0);
    char got[100] = "";
    assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), 19);
    assert_string_equal(got, "READY=1\nSTATUS=fine");
    /* A manager that is behind does not hold the service up. */
    int rc = 0;
    for (int k = 0; k < 100000 && !rc; k++) rc = io_notify("WATCHDOG=1");
    assert_int_equal(rc, CAW_EAGAIN);
    close(fd);
    assert_int_equal(io_notify("READY=1"), CAW_ECONN);
  }
  unlink(path);
  assert_int_equal(io_notify("READY=1"), CAW_ECONN);
}

static void nobody_to_tell(void **state) {
  (void)state;
  char longer[200];
  memset(longer, 'x', sizeof(longer));
  longer[0] = '/';
  longer[sizeof(longer) - 1] = '\0';
  const struct {
    const char *name;
    int want;
  } cases[] = {{NULL, 0},           {"", 0},
               {"x", CAW_EADDR},    {"@", CAW_EADDR},
               {"/", CAW_EADDR},    {"vsock:2:1234", CAW_EADDR},
               {longer, CAW_EADDR}, {"/nonexistent/notify", CAW_ECONN},
               {"/tmp", CAW_ECONN}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    set("NOTIFY_SOCKET", cases[i].name);
    int rc = io_notify("READY=1");
    if (rc != cases[i].want) fail_msg("%s: %s", cases[i].name, caw_code_name(rc));
  }
  unsetenv("NOTIFY_SOCKET");
}

/* ---- pass.h ---- */

static uint64_t soon(unsigned ms) {
  return io_sys_clock() + (uint64_t)ms * 1000000;
}

static void pair(int ends[2]) {
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
}

static int open_descriptors(void) {
  int n = 0;
  for (int fd = 0; fd < 2000; fd++) n += is_open(fd);
  return n;
}

static void passed(void **state) {
  (void)state;
  int ends[2], before = open_descriptors();
  pair(ends);
  for (int n = 0; n <= IO_PASS_MOST; n += n < 4 ? 1 : 83) {
    int give[IO_PASS_MOST], got[IO_PASS_MOST];
    size_t count = 0;
    char text[8] = "";
    for (int i = 0; i < n; i++) give[i] = i % 2 ? ends[0] : 1;
    assert_int_equal(io_pass_send(ends[0], "abcdef", 7, give, (size_t)n), 0);
    /* In two pieces: the descriptors are with the first. */
    assert_int_equal(io_pass_recv(ends[1], text, 3, got, IO_PASS_MOST, &count, soon(1000)), 0);
    assert_int_equal(count, n);
    assert_int_equal(io_pass_recv(ends[1], text + 3, 4, got, IO_PASS_MOST, &count, soon(1000)), 0);
    assert_int_equal(count, n);
    assert_string_equal(text, "abcdef");
    for (size_t i = 0; i < count; i++) {
      assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
      close(got[i]);
    }
  }
  int many[IO_PASS_MOST + 1] = {0};
  assert_int_equal(io_pass_send(ends[0], "x", 1, many, IO_PASS_MOST + 1), CAW_ELIMIT);
  close(ends[0]);
  close(ends[1]);
  assert_int_equal(open_descriptors(), before);
}

/* What there is no room for is not left open. */
static void more_than_there_is_room_for(void **state) {
  (void)state;
  int ends[2], give[5] = {1, 1, 1, 1, 1}, got[3];
  size_t count = 0;
  char c;
  pair(ends);
  int before = open_descriptors();
  assert_int_equal(io_pass_send(ends[0], "x", 1, give, 5), 0);
  assert_int_equal(io_pass_recv(ends[1], &c, 1, got, 3, &count, soon(1000)), CAW_EMALFORMED);
  assert_int_equal(count, 3);
  for (size_t i = 0; i < count; i++) close(got[i]);
  assert_int_equal(open_descriptors(), before);
  close(ends[0]);
  close(ends[1]);
}

static void nothing_comes(void **state) {
  (void)state;
  int ends[2], got[1];
  size_t count = 0;
  char text[4];
  pair(ends);
  assert_int_equal(io_pass_recv(ends[1], text, 4, got, 1, &count, soon(20)), CAW_ETIMEDOUT);
  assert_int_equal(io_pass_send(ends[0], "ab", 2, NULL, 0), 0);
  assert_int_equal(io_pass_recv(ends[1], text, 4, got, 1, &count, soon(20)), CAW_ETIMEDOUT);
  close(ends[0]);
  assert_int_equal(io_pass_recv(ends[1], text, 4, got, 1, &count, soon(1000)), CAW_EEND);
  assert_int_equal(io_pass_send(ends[1], "ab", 2, NULL, 0), CAW_ECONN);
  close(ends[1]);
}

static void who_is_there(void **state) {
  (void)state;
  int ends[2], fd;
  pid_t pid = 0;
  pair(ends);
  assert_true(io_pass_trusted(ends[0], &pid));
  assert_int_equal(pid, getpid());
  assert_false(io_pass_trusted(-1, &pid));
  close(ends[0]);
  close(ends[1]);
  io_address a = {.len = sizeof(a.u.local)};
  a.u.local.sun_family = AF_UNIX;
  strcpy(a.u.local.sun_path, "/nonexistent/socket");
  assert_int_equal(io_pass_connect(&fd, &a), CAW_ENOTFOUND);
  strcpy(a.u.local.sun_path, "/dev/null"); /* a file that is no socket */
  assert_int_equal(io_pass_connect(&fd, &a), CAW_ENOTFOUND);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(inherited, give_descriptors, take_descriptors),
      cmocka_unit_test(told),
      cmocka_unit_test(nobody_to_tell),
      cmocka_unit_test(passed),
      cmocka_unit_test(more_than_there_is_room_for),
      cmocka_unit_test(nothing_comes),
      cmocka_unit_test(who_is_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
