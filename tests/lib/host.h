/*
 * A server that runs in a thread of the test's (caw_server_run), for tests with
 * several threads and of the blocking face. Checks outside of the test's own
 * thread are counted, since cmocka's would jump to another stack.
 */
#ifndef TESTS_HOST_H
#define TESTS_HOST_H

#include <caw/blocking.h>
#include <caw/server.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct host {
  caw_server *server;
  const char *address; /* a target */
  pthread_t thread;
  bool running;
  int rc; /* of caw_server_run, once it has returned */
} host;

/* Makes and starts a server with these handlers; either kind may be NULL. */
void host_start(host *h, const caw_server_options *options, const caw_handler *handlers, size_t n,
                const caw_blocking_handler *blocking, size_t n_blocking, void *self);
/* Starts a server that was made by the test; host_stop frees it. */
void host_run(host *h, caw_server *server);
/* Waits until caw_server_run has returned; returns what it did. */
int host_wait(host *h);
/* Drains, waits and frees; returns as host_wait. Nothing when it is freed. */
int host_stop(host *h, uint64_t grace_ms);

/* A channel with a thread of its own. */
caw_channel *host_channel(const host *h);

/* The threads of this process. */
int host_threads(void);
/* Waits until there are `n`; returns how many there are at last. */
int host_await_threads(int n);

/* Waits until *value has reached `least`; false after 20 s. */
bool host_await(const atomic_int *value, int least);

/* In any thread: a condition that must hold. host_check_all fails the test when
 * one did not, and forgets it. */
void host_check_at(bool ok, const char *what, const char *file, int line);
#define host_check(ok) host_check_at(ok, #ok, __FILE__, __LINE__)
void host_check_all(void);

/* Sleeps, for tests that vary the order of things. */
void host_pause(unsigned us);

#endif
