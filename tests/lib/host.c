/* The server in a thread of host.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "host.h"

#include <dirent.h>
#include <stdio.h>
#include <time.h>

static atomic_int failures;
static char first_failure[256];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void host_check_at(bool ok, const char *what, const char *file, int line) {
  if (ok) return;
  pthread_mutex_lock(&lock);
  if (!atomic_fetch_add(&failures, 1))
    snprintf(first_failure, sizeof(first_failure), "%s:%d: %s", file, line, what);
  pthread_mutex_unlock(&lock);
}

void host_check_all(void) {
  int n = atomic_exchange(&failures, 0);
  if (n) fail_msg("%d checks failed, the first: %s", n, first_failure);
}

static void *run(void *arg) {
  host *h = arg;
  h->rc = caw_server_run(h->server);
  return NULL;
}

void host_start(host *h, const caw_server_options *options, const caw_handler *handlers, size_t n,
                const caw_blocking_handler *blocking, size_t n_blocking, void *self) {
  caw_server *server;
  assert_int_equal(caw_server_new(&server, options), 0);
  if (n) assert_int_equal(caw_server_add(server, handlers, n, NULL, self), 0);
  if (n_blocking)
    assert_int_equal(caw_server_add_blocking(server, blocking, n_blocking, NULL, self), 0);
  host_run(h, server);
}

void host_run(host *h, caw_server *server) {
  memset(h, 0, sizeof(*h));
  h->server = server;
  assert_int_equal(caw_server_listen(h->server, "127.0.0.1:0"), 0);
  h->address = caw_server_address(h->server, 0);
  assert_int_equal(pthread_create(&h->thread, NULL, run, h), 0);
  h->running = true;
}

int host_wait(host *h) {
  if (h->running) pthread_join(h->thread, NULL);
  h->running = false;
  return h->rc;
}

int host_stop(host *h, uint64_t grace_ms) {
  if (!h->server) return h->rc;
  if (h->running) caw_server_drain(h->server, grace_ms, NULL, NULL);
  int rc = host_wait(h);
  caw_server_free(h->server);
  h->server = NULL;
  return rc;
}

caw_channel *host_channel(const host *h) {
  caw_channel *channel = NULL;
  const char *why = "";
  const caw_channel_options o = {.size = sizeof(o), .backoff_initial_ms = 10};
  host_check(caw_channel_new(&channel, h->address, &o, &why) == 0);
  return channel;
}

int host_threads(void) {
  DIR *dir = opendir("/proc/self/task");
  int n = 0;
  for (struct dirent *e; dir && (e = readdir(dir));) n += e->d_name[0] != '.';
  if (dir) closedir(dir);
  return n;
}

void host_pause(unsigned us) {
  struct timespec t = {us / 1000000, (long)(us % 1000000) * 1000};
  nanosleep(&t, NULL);
}

/* A thread that was joined may be listed for a moment longer. */
int host_await_threads(int n) {
  int have = host_threads();
  for (int i = 0; i < 2000 && have != n; i++) {
    host_pause(1000);
    have = host_threads();
  }
  return have;
}

bool host_await(const atomic_int *value, int least) {
  for (int i = 0; i < 20000 && atomic_load(value) < least; i++) host_pause(1000);
  return atomic_load(value) >= least;
}
