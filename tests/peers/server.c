/* peer-server: carries out the orders of peer.proto, for the tests with other
 * gRPC implementations. On the public API and generated code only. */
#include "answer.h"
#include "later.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct stopping {
  caw_server *server;
  uint64_t grace_ms;
} stopping;

static void on_signal(int signum, void *user) {
  stopping *s = user;
  (void)signum;
  puts("draining");
  fflush(stdout);
  caw_server_drain(s->server, s->grace_ms, NULL, NULL);
}

static void check(int rc, const char *what) {
  if (!rc) return;
  fprintf(stderr, "peer-server: %s: %s\n", what, caw_strerror(rc));
  exit(1);
}

int main(int argc, char **argv) {
  static const struct option names[] = {{"listen", required_argument, NULL, 'l'},
                                        {"grace", required_argument, NULL, 'g'},
                                        {"loops", required_argument, NULL, 'n'},
                                        {"forward", required_argument, NULL, 'f'},
                                        {NULL, 0, NULL, 0}};
  const char *address = "127.0.0.1:0", *forward = NULL;
  caw_server_options options = {.size = sizeof(options), .loops = 2, .pool_threads = 32};
  stopping stop = {NULL, 5000};
  int option;
  while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
    switch (option) {
    case 'l':
      address = optarg;
      break;
    case 'g':
      stop.grace_ms = strtoull(optarg, NULL, 10);
      break;
    case 'n':
      options.loops = (unsigned)strtoul(optarg, NULL, 10);
      break;
    case 'f':
      forward = optarg;
      break;
    default:
      return 2;
    }
  }
  check(caw_server_new(&stop.server, &options), "new");
  check(callback_add(stop.server), "Callback");
  check(blocking_add(stop.server), "Blocking");
  check(watch_add(stop.server, forward), "Watch");
  check(later_intercept_server(stop.server), "interceptors");
  check(caw_loop_on_signal(caw_server_loop(stop.server), SIGTERM, on_signal, &stop), "SIGTERM");
  if (caw_server_listen(stop.server, address)) {
    fprintf(stderr, "peer-server: %s\n", caw_server_error(stop.server));
    return 1;
  }
  printf("listening on %s\n", caw_server_address(stop.server, 0));
  fflush(stdout);
  int rc = caw_server_run(stop.server);
  watch_finish();
  caw_server_free(stop.server);
  later_end();
  notes_free();
  check(rc, "run");
  return 0;
}
