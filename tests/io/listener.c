/* Listeners: addresses, files of Unix sockets, and too few descriptors. */
#include "kit.h"

#include "io/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A listener on a loop that keeps what it accepts. */
typedef struct rig {
  caw_loop *loop;
  io_listener *l;
  int fds[256];
  int count;
  bool close_on_accept;
} rig;

static void on_accept(void *user, int fd) {
  rig *r = user;
  assert_in_range(r->count, 0, 255);
  r->fds[r->count++] = fd;
  if (r->close_on_accept) {
    io_listener_close(r->l);
    r->l = NULL;
  }
}

static io_address address(const char *text) {
  io_target t;
  const char *why;
  int rc = io_target_parse(&t, caw_str_from(text), true, &why);
  if (rc) fail_msg("%s: %s", text, why);
  return t.addresses[0];
}

static void rig_start(rig *r, const char *text) {
  io_address a = address(text);
  memset(r, 0, sizeof(*r));
  r->loop = kit_loop();
  int rc = io_listener_new(&r->l, r->loop, &a, on_accept, r);
  if (rc) fail_msg("%s: %s", text, strerror(errno));
}

static void rig_drop(rig *r) {
  while (r->count) close(r->fds[--r->count]);
}

static void rig_stop(rig *r) {
  io_listener_close(r->l);
  rig_drop(r);
  caw_loop_free(r->loop);
}

/* Connects without waiting; -1 with errno when it is refused at once. */
static int dial(const io_address *a) {
  int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, &a->u.any, a->len) == 0) return fd;
  int err = errno;
  close(fd);
  errno = err;
  return -1;
}

static int dial_text(const char *text) {
  io_address a = address(text);
  return dial(&a);
}

/* A path in a fresh directory, as "unix:PATH". */
static char directory[64], unix_text[96];
static const char *unix_path(void) {
  strcpy(directory, "/tmp/caw-io-XXXXXX");
  assert_non_null(mkdtemp(directory));
  snprintf(unix_text, sizeof(unix_text), "unix:%s/s", directory);
  return unix_text + 5;
}

static void remove_directory(void) {
  unlink(unix_text + 5);
  if (rmdir(directory)) fail_msg("%s: %s", directory, strerror(errno));
}

/* --- accepting ----------------------------------------------------------- */

static void accepts(void **state) {
  rig r;
  (void)state;
  int threads = kit_threads();
  rig_start(&r, "127.0.0.1:0");
  const io_address *a = io_listener_address(r.l);
  assert_true(io_address_port(a) != 0);
  int c[100];
  for (int i = 0; i < 100; i++) assert_true((c[i] = dial(a)) >= 0);
  caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  assert_int_equal(r.count, 64); /* fairness */
  kit_count(r.loop, &r.count, 100);
  for (int i = 0; i < 100; i++) {
    int one = 0;
    socklen_t len = sizeof(one);
    assert_true(fcntl(r.fds[i], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(r.fds[i], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(getsockopt(r.fds[i], IPPROTO_TCP, TCP_NODELAY, &one, &len), 0);
    assert_int_equal(one, 1);
    close(c[i]);
  }
  assert_int_equal(kit_threads(), threads);
  rig_stop(&r);
}

static void close_inside_accept(void **state) {
  rig r;
  (void)state;
  rig_start(&r, "127.0.0.1:0");
  r.close_on_accept = true;
  int c[3];
  for (int i = 0; i < 3; i++) c[i] = dial(io_listener_address(r.l));
  kit_count(r.loop, &r.count, 1);
  assert_null(r.l);
  assert_int_equal(r.count, 3); /* who waited was still accepted */
  for (int i = 0; i < 3; i++) close(c[i]);
  rig_stop(&r);
}

static void close_accepts_who_waits(void **state) {
  rig r;
  (void)state;
  rig_start(&r, "127.0.0.1:0");
  io_address a = *io_listener_address(r.l);
  int c[3];
  for (int i = 0; i < 3; i++) c[i] = dial(&a);
  io_listener_close(r.l);
  r.l = NULL;
  assert_int_equal(r.count, 3);
  assert_int_equal(dial(&a), -1);
  assert_int_equal(errno, ECONNREFUSED);
  for (int i = 0; i < 3; i++) close(c[i]);
  io_listener_close(NULL);
  rig_stop(&r);
}

static void addresses(void **state) {
  static const struct {
    const char *bind, *to[2];
  } cases[] = {
      {"0.0.0.0:0", {"127.0.0.1", NULL}},
      {"[::1]:0", {"[::1]", NULL}},
      {"[::]:0", {"127.0.0.1", "[::1]"}}, /* dual-stack */
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    rig r;
    rig_start(&r, cases[i].bind);
    unsigned port = io_address_port(io_listener_address(r.l));
    for (int k = 0; k < 2 && cases[i].to[k]; k++) {
      char text[64];
      snprintf(text, sizeof(text), "%s:%u", cases[i].to[k], port);
      int c = dial_text(text);
      if (c < 0) fail_msg("%s: %s", text, strerror(errno));
      kit_count(r.loop, &r.count, k + 1);
      close(c);
    }
    rig_stop(&r);
  }
}

static int try(const char *text) {
  caw_loop *loop = kit_loop();
  io_listener *l = NULL;
  io_address a = address(text);
  int rc = io_listener_new(&l, loop, &a, on_accept, NULL);
  if (rc) assert_true(errno != 0);
  io_listener_close(l);
  caw_loop_free(loop);
  return rc;
}

static void refusals(void **state) {
  rig r;
  char text[64];
  (void)state;
  rig_start(&r, "127.0.0.1:0");
  snprintf(text, sizeof(text), "127.0.0.1:%u", io_address_port(io_listener_address(r.l)));
  assert_int_equal(try(text), CAW_EADDRINUSE);
  assert_int_equal(errno, EADDRINUSE);
  assert_int_equal(try("192.0.2.1:0"), CAW_EADDR); /* TEST-NET-1: not of this machine */
  assert_int_equal(try("unix:/nonexistent/dir/s"), CAW_EADDR);
  rig_stop(&r);
}

/* --- Unix sockets -------------------------------------------------------- */

static void unix_socket(void **state) {
  rig r;
  struct stat st;
  (void)state;
  const char *path = unix_path();
  rig_start(&r, unix_text);
  assert_int_equal(stat(path, &st), 0);
  int c = dial_text(unix_text);
  assert_true(c >= 0);
  kit_count(r.loop, &r.count, 1);
  assert_int_equal(try(unix_text), CAW_EADDRINUSE); /* someone answers */
  assert_int_equal(stat(path, &st), 0);
  close(c);
  rig_stop(&r);
  assert_int_equal(stat(path, &st), -1); /* removed at close */
  remove_directory();
}

static void stale_file(void **state) {
  rig r;
  (void)state;
  const char *path = unix_path();
  io_address a = address(unix_text);
  int dead = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(dead, &a.u.any, a.len), 0);
  close(dead); /* as a killed server leaves it */
  assert_int_equal(access(path, F_OK), 0);
  rig_start(&r, unix_text);
  int c = dial_text(unix_text);
  assert_true(c >= 0);
  close(c);
  rig_stop(&r);
  remove_directory();
}

static void other_files_stay(void **state) {
  struct stat st;
  (void)state;
  const char *path = unix_path();
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  assert_int_equal(write(fd, "data", 4), 4);
  close(fd);
  assert_int_equal(try(unix_text), CAW_EADDRINUSE);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_size, 4);
  unlink(path);
  assert_int_equal(symlink("/nonexistent", path), 0);
  assert_int_equal(try(unix_text), CAW_EADDRINUSE);
  assert_int_equal(lstat(path, &st), 0);
  remove_directory();
}

/* A file that took our name is not ours to remove. */
static void anothers_file_stays(void **state) {
  rig r;
  struct stat st;
  (void)state;
  const char *path = unix_path();
  rig_start(&r, unix_text);
  char aside[128];
  snprintf(aside, sizeof(aside), "%s.old", path);
  assert_int_equal(rename(path, aside), 0);
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  close(fd);
  rig_stop(&r);
  assert_int_equal(stat(path, &st), 0);
  unlink(aside);
  remove_directory();
}

static void abstract_socket(void **state) {
  rig r;
  char text[64], made[IO_ADDRESS_TEXT];
  (void)state;
  snprintf(text, sizeof(text), "unix-abstract:caw-test-%d", (int)getpid());
  rig_start(&r, text);
  io_address_format(made, io_listener_address(r.l));
  assert_string_equal(made, text);
  int c = dial_text(text);
  assert_true(c >= 0);
  kit_count(r.loop, &r.count, 1);
  assert_int_equal(try(text), CAW_EADDRINUSE);
  close(c);
  rig_stop(&r);
}

/* Servers that start at once over a stale file: one gets the address, and none
 * removes the file of the one that did. */
static pthread_barrier_t starters;

static void drop_it(void *user, int fd) {
  (void)user;
  close(fd);
}

static void *start_one(void *arg) {
  io_listener *l = NULL;
  io_address a = address(unix_text);
  caw_loop *loop = kit_loop();
  pthread_barrier_wait(&starters);
  int rc = io_listener_new(&l, loop, &a, drop_it, NULL);
  pthread_barrier_wait(&starters);
  if (!rc) {
    int c = dial(&a);
    *(int *)arg = c >= 0 ? 1 : 1000;
    if (c >= 0) close(c);
  } else {
    *(int *)arg = rc == CAW_EADDRINUSE ? 0 : 1000;
  }
  pthread_barrier_wait(&starters);
  io_listener_close(l);
  caw_loop_free(loop);
  return NULL;
}

static void one_of_many_starters(void **state) {
  enum { N = 6 };
  (void)state;
  unix_path();
  io_address a = address(unix_text);
  pthread_barrier_init(&starters, NULL, N);
  for (int round = 0; round < 20; round++) {
    pthread_t threads[N];
    int won[N], sum = 0;
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(dead, &a.u.any, a.len), 0);
    close(dead);
    for (int i = 0; i < N; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, start_one, &won[i]), 0);
    for (int i = 0; i < N; i++) {
      pthread_join(threads[i], NULL);
      sum += won[i];
    }
    assert_int_equal(sum, 1);
  }
  pthread_barrier_destroy(&starters);
  remove_directory();
}

/* Relative paths are looked up in the current directory. */
static void relative_path(void **state) {
  rig r;
  char old[4096];
  (void)state;
  unix_path();
  assert_non_null(getcwd(old, sizeof(old)));
  assert_int_equal(chdir(directory), 0);
  rig_start(&r, "unix:s");
  int c = dial_text(unix_text);
  assert_true(c >= 0);
  close(c);
  rig_stop(&r);
  assert_int_equal(chdir(old), 0);
  remove_directory();
}

/* --- trouble ------------------------------------------------------------- */

/* Without descriptors it waits rather than spins, and goes on by itself. */
static void out_of_descriptors(void **state) {
  struct rlimit old, tight;
  rig r;
  int c[4];
  (void)state;
  rig_start(&r, "127.0.0.1:0");
  for (int i = 0; i < 4; i++) assert_true((c[i] = dial(io_listener_address(r.l))) >= 0);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  tight = old;
  tight.rlim_cur = (rlim_t)c[3] + 2; /* room for one more */
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
  int turns = 0;
  uint64_t end = kit_clock() + 250 * KIT_MS;
  caw_timer *tick;
  assert_int_equal(caw_timer_new(&tick, r.loop, (void (*)(void *))caw_loop_stop, r.loop), 0);
  caw_timer_start(tick, 250);
  while (kit_clock() < end) {
    caw_loop_run(r.loop, CAW_LOOP_ONCE);
    turns++;
  }
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
  assert_in_range(r.count, 1, 2); /* a lower one may have been free */
  assert_in_range(turns, 1, 12);
  kit_count(r.loop, &r.count, 4);
  caw_timer_free(tick);
  for (int i = 0; i < 4; i++) close(c[i]);
  rig_stop(&r);
}

static void out_of_memory(void **state) {
  (void)state;
  unix_path();
  io_address a = address(unix_text);
  int before = 0;
  for (long n = 1;; n++) {
    io_listener *l = NULL;
    kit_allocator(0);
    caw_loop *loop = kit_loop();
    kit_allocator_more(n);
    int rc = io_listener_new(&l, loop, &a, on_accept, NULL);
    bool refusal = kit_refused();
    assert_int_equal(rc, refusal ? CAW_ENOMEM : 0);
    io_listener_close(l);
    caw_loop_free(loop);
    kit_allocator_done();
    assert_int_equal(access(unix_text + 5, F_OK), -1); /* nothing left behind */
    if (n == 1) before = kit_descriptors();
    assert_int_equal(kit_descriptors(), before);
    if (!refusal) break;
    assert_in_range(n, 1, 10);
  }
  remove_directory();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(accepts),
      cmocka_unit_test(close_inside_accept),
      cmocka_unit_test(close_accepts_who_waits),
      cmocka_unit_test(addresses),
      cmocka_unit_test(refusals),
      cmocka_unit_test(unix_socket),
      cmocka_unit_test(stale_file),
      cmocka_unit_test(other_files_stay),
      cmocka_unit_test(anothers_file_stays),
      cmocka_unit_test(abstract_socket),
      cmocka_unit_test(one_of_many_starters),
      cmocka_unit_test(relative_path),
      cmocka_unit_test(out_of_descriptors),
      cmocka_unit_test(out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
