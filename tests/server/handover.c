/* Hand-over between two servers of one process, each with a thread of its own: when
 * memory runs out on either side, and from one to the next to the next. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"
#include "server/server.h"

#include <caw/alloc.h>
#include <caw/blocking.h>
#include <caw/loop.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Allocations that fail, on one thread at a time ---- */

static _Thread_local long left; /* until the one that fails; 0: none will */
static atomic_long left_there;  /* the same, of the old server's thread */
static _Thread_local bool there, failed;
static atomic_bool failed_there;

static bool fails(void) {
  if (there && atomic_load(&left_there)) {
    if (atomic_fetch_sub(&left_there, 1) > 1) return false;
    atomic_store(&failed_there, true);
    return true;
  }
  if (!left || --left) return false;
  failed = true;
  return true;
}

static void *get(size_t bytes, void *user) {
  (void)user;
  return fails() ? NULL : malloc(bytes);
}

static void *get_again(void *old, size_t bytes, void *user) {
  (void)user;
  return fails() ? NULL : realloc(old, bytes);
}

static void give_back(void *ptr, void *user) {
  (void)user;
  free(ptr);
}

static int set_up(void **state) {
  static const caw_allocator a = {sizeof(a), get, get_again, give_back, NULL};
  (void)state;
  return caw_set_allocator(&a);
}

static int tear_down(void **state) {
  (void)state;
  caw_set_allocator(NULL);
  return 0;
}

/* ---- Servers ---- */

static char path[64];

typedef struct serving {
  caw_server *server;
  pthread_t thread;
  char address[64];
  atomic_int drains;
} serving;

static int echo(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)call, (void)impl, (void)self;
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static const caw_handler handler = {&duo_unary, echo, NULL, NULL};

static void note_drain(void *user) {
  atomic_fetch_add(&((serving *)user)->drains, 1);
}

static void make(serving *s) {
  memset(s, 0, sizeof(*s));
  assert_int_equal(caw_server_new(&s->server, NULL), 0);
  assert_int_equal(caw_server_add(s->server, &handler, 1, NULL, NULL), 0);
  assert_int_equal(caw_server_on_drain(s->server, note_drain, s), 0);
}

static void *run(void *arg) {
  serving *s = arg;
  there = true;
  assert_int_equal(caw_server_run(s->server), 0);
  return NULL;
}

static void start(serving *s) {
  assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

static void listen_and_run(serving *s) {
  assert_int_equal(caw_server_listen(s->server, "127.0.0.1:0"), 0);
  snprintf(s->address, sizeof(s->address), "%s", caw_server_address(s->server, 0));
  start(s);
}

static void end(serving *s) {
  pthread_join(s->thread, NULL);
  caw_server_free(s->server);
}

static void assert_serves(caw_channel *channel) {
  caw_str request = CAW_STR("x"), reply = {NULL, 0};
  caw_arena *arena = caw_arena_new(0);
  caw_status status = {0};
  caw_call_options o = {.size = sizeof(o), .timeout_ms = 20000};
  int rc = caw_call_unary(channel, &duo_unary, &request, &reply, arena, &o, &status);
  if (rc) fail_msg("%s: %.*s", caw_code_name(rc), CAW_STR_ARG(status.message));
  caw_arena_free(arena);
}

/* The one before has one visitor at a time, and takes a moment to see that one has gone. */
static int take_over(serving *s, bool *took) {
  int rc;
  for (int i = 0; i < 2000; i++) {
    rc = caw_server_handover(s->server, path, 5000, took);
    if (rc != CAW_EAGAIN) return rc;
    usleep(1000);
  }
  return rc;
}

static caw_channel *begin(serving *first) {
  caw_channel *channel;
  bool took = true;
  snprintf(path, sizeof(path), "/tmp/caw-hand-%d", (int)getpid());
  make(first);
  assert_int_equal(caw_server_handover(first->server, path, 5000, &took), 0);
  assert_false(took);
  listen_and_run(first);
  assert_int_equal(caw_channel_new(&channel, first->address, NULL, NULL), 0);
  assert_serves(channel);
  return channel;
}

/* A server that has the letter, and listens to `address` too unless it is NULL; it has not
 * begun. */
static void make_heir(serving *s, const char *address) {
  bool took = false;
  make(s);
  assert_int_equal(take_over(s, &took), 0);
  assert_true(took);
  if (address) assert_int_equal(caw_server_listen(s->server, address), 0);
}

/* The last one ends, and the test with it. */
static void finish(serving *last, caw_channel *channel) {
  caw_server_drain(last->server, 0, NULL, NULL);
  end(last);
  caw_channel_free(channel);
}

/* The heir begins, so the old one ends. */
static void succeed(serving *heir, serving *old, caw_channel *channel) {
  start(heir);
  end(old);
  assert_serves(channel);
  finish(heir, channel);
}

/* ---- Tests ---- */

static void from_one_to_the_next(void **state) {
  (void)state;
  serving s[2];
  caw_channel *channel = begin(&s[0]);
  for (int i = 1; i < 6; i++) {
    serving *old = &s[(i - 1) % 2], *new = &s[i % 2];
    make_heir(new, NULL);
    listen_and_run(new);
    assert_string_equal(new->address, old->address);
    assert_serves(channel);
    end(old);
    assert_int_equal(atomic_load(&old->drains), 1);
    assert_serves(channel);
  }
  finish(&s[1], channel);
  assert_int_equal(access(path, F_OK), -1);
}

static void the_new_one_has_no_memory(void **state) {
  (void)state;
  serving old, new;
  caw_channel *channel = begin(&old);
  for (long n = 1;; n++) {
    bool took = false;
    make(&new);
    failed = false;
    left = n;
    int rc = take_over(&new, &took);
    if (!rc) rc = caw_server_listen(new.server, "127.0.0.1:0");
    left = 0;
    if (!failed) {
      assert_int_equal(rc, 0);
      assert_true(n > 4);
      break;
    }
    if (rc != CAW_ENOMEM) fail_msg("allocation %ld: %s", n, caw_code_name(rc));
    caw_server_free(new.server);
    assert_serves(channel);
  }
  assert_int_equal(atomic_load(&old.drains), 0);
  succeed(&new, &old, channel);
}

/* It hands nothing over, and serves. */
static void the_old_one_has_no_memory(void **state) {
  (void)state;
  serving old, new;
  caw_channel *channel = begin(&old);
  for (long n = 1;; n++) {
    bool took = false;
    make(&new);
    atomic_store(&failed_there, false);
    atomic_store(&left_there, n);
    int rc = caw_server_handover(new.server, path, 5000, &took);
    atomic_store(&left_there, 0);
    if (!rc && !atomic_load(&failed_there)) {
      assert_true(n > 2);
      break;
    }
    if (!rc) fail_msg("allocation %ld failed, and the letter came", n);
    assert_int_equal(rc, CAW_EAGAIN);
    caw_server_free(new.server);
    assert_serves(channel);
  }
  caw_server_free(new.server);
  finish(&old, channel);
}

/* A new one that gives up after it has listened has changed nothing: the file of a Unix
 * socket is there still, and who waits there is served by the old one. */
static void the_new_one_gives_up(void **state) {
  (void)state;
  serving old, new;
  caw_channel *channel;
  char file[80];
  snprintf(path, sizeof(path), "/tmp/caw-hand-%d", (int)getpid());
  snprintf(file, sizeof(file), "unix:%s.sock", path);
  make(&old);
  assert_int_equal(caw_server_handover(old.server, path, 5000, NULL), 0);
  assert_int_equal(caw_server_listen(old.server, file), 0);
  start(&old);
  make_heir(&new, file);
  caw_server_free(new.server);
  assert_int_equal(access(file + 5, F_OK), 0);
  assert_int_equal(access(path, F_OK), 0);
  assert_int_equal(caw_channel_new(&channel, file, NULL, NULL), 0);
  assert_serves(channel);
  assert_int_equal(atomic_load(&old.drains), 0);
  finish(&old, channel);
  assert_int_equal(access(file + 5, F_OK), -1);
}

/* Connects to "127.0.0.1:PORT" and is the first to say something, as a client does. */
static int dial(const char *address) {
  static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
  struct sockaddr_in in = {.sin_family = AF_INET,
                           .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
  assert_int_equal(send(fd, hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
  return fd;
}

/* Runs in the old server's loop until `hold` is let go: meanwhile it accepts nothing. */
static atomic_int held;
static pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;

static void stand_still(void *arg) {
  (void)arg;
  atomic_store(&held, 1);
  pthread_mutex_lock(&hold);
  pthread_mutex_unlock(&hold);
}

/* What is left in the queue while the new one has the socket too is the old one's: whether
 * the new one is freed, or is told to end before it has begun. */
static void who_waits_is_served_by_the_old_one(void **state) {
  (void)state;
  for (int drained = 0; drained < 2; drained++) {
    serving old, new;
    int fds[32];
    caw_channel *channel = begin(&old);
    make_heir(&new, old.address);
    atomic_store(&held, 0);
    pthread_mutex_lock(&hold);
    assert_int_equal(caw_loop_post(caw_server_loop(old.server), stand_still, NULL), 0);
    while (!atomic_load(&held)) sched_yield();
    for (size_t i = 0; i < 32; i++) fds[i] = dial(old.address);
    if (drained) {
      caw_server_drain(new.server, 0, NULL, NULL);
      assert_int_equal(caw_server_run(new.server), 0);
    }
    caw_server_free(new.server);
    pthread_mutex_unlock(&hold);
    for (size_t i = 0; i < 32; i++) {
      char first;
      if (recv(fds[i], &first, 1, 0) != 1) fail_msg("connection %zu was dropped", i);
      close(fds[i]);
    }
    assert_serves(channel);
    assert_int_equal(atomic_load(&old.drains), 0);
    finish(&old, channel);
  }
}

/* It has the letter, and does nothing. Who comes in time is told whose turn it is; later one
 * takes the place, and the one that hung ends when it goes on. */
static void one_that_hangs_is_replaced(void **state) {
  (void)state;
  serving old, slow, next;
  bool took = false;
  char error[160];
  caw_channel *channel = begin(&old);
  make_heir(&slow, old.address);
  make(&next);
  assert_int_equal(caw_server_handover(next.server, path, 5000, &took), CAW_EAGAIN);
  snprintf(error, sizeof(error), "cannot take over at %s: the server there gives to process %d",
           path, (int)getpid());
  assert_string_equal(caw_server_error(next.server), error);
  caw_server_free(slow.server);

  unsigned long long usual = atomic_exchange(&handover_heir_time, 0);
  make_heir(&slow, old.address);
  atomic_store(&handover_heir_time, usual);
  assert_int_equal(caw_server_handover(next.server, path, 5000, &took), 0);
  assert_true(took);
  assert_int_equal(caw_server_listen(next.server, old.address), 0);
  assert_int_equal(caw_server_run(slow.server), 0);
  assert_string_equal(caw_server_error(slow.server),
                      "took over too late: the server there gives to another");
  caw_server_free(slow.server);
  assert_serves(channel);
  assert_int_equal(atomic_load(&old.drains), 0);
  assert_int_equal(access(path, F_OK), 0);

  succeed(&next, &old, channel);
}

/* A name of which one address failed: what the old one has can be asked for again. */
static void listened_on_again(void **state) {
  (void)state;
  serving old, new;
  char both[160];
  caw_channel *channel = begin(&old);
  make_heir(&new, NULL);
  snprintf(both, sizeof(both), "ipv4:%s,192.0.2.1:1", old.address);
  assert_int_not_equal(caw_server_listen(new.server, both), 0);
  assert_null(caw_server_address(new.server, 0));
  assert_serves(channel);
  assert_int_equal(caw_server_listen(new.server, old.address), 0);
  succeed(&new, &old, channel);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(from_one_to_the_next, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_new_one_gives_up, set_up, tear_down),
      cmocka_unit_test_setup_teardown(who_waits_is_served_by_the_old_one, set_up, tear_down),
      cmocka_unit_test_setup_teardown(one_that_hangs_is_replaced, set_up, tear_down),
      cmocka_unit_test_setup_teardown(listened_on_again, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_new_one_has_no_memory, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_old_one_has_no_memory, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
