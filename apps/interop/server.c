/* interop-server: the server of gRPC's interoperability tests, with their flags. */
#include "args.h"
#include "flags.h"
#include "service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define PROGRAM "interop-server"

typedef struct settings {
  const char *host; /* NULL: every address of the machine */
  int port;         /* -1: not given */
  flags_tls tls;
  unsigned loops;
} settings;

static void print_help(void) {
  puts("Usage: " PROGRAM " --port=PORT [FLAG]...\n"
       "\n"
       "Serves grpc.testing.TestService for gRPC's interoperability tests\n"
       "(doc/interop-test-descriptions.md). Flags are --flag=value or --flag value.\n"
       "\n"
       "  --port=PORT        where to listen; 0 lets the system choose, and it is printed\n"
       "  --host=ADDRESS     one address only, as 127.0.0.1 or [::1] (default: all)\n"
       "  --use_tls=BOOL     TLS, with gRPC's test certificate (default false)\n"
       "  --tls_cert_file=FILE, --tls_key_file=FILE  or with this one, PEM\n"
       "  --ca_file=FILE     clients need a certificate of these CAs, PEM\n"
       "  --loops=N          event loops, each with a thread (default 1)\n"
       "  --help, --version");
}

static void read_args(settings *s, int argc, char **argv) {
  static const struct option options[] = {
      {"port", required_argument, NULL, 'p'},
      {"host", required_argument, NULL, 'o'},
      FLAGS_TLS,
      {"loops", required_argument, NULL, 'n'},
      ARGS_COMMON,
  };
  int option;
  while ((option = args_next(PROGRAM, print_help, argc, argv, options, NULL)) != -1)
    switch (option) {
    case 'p':
      s->port = (int)args_number(PROGRAM, "--port", optarg, 0, 65535);
      break;
    case 'o':
      s->host = optarg;
      break;
    case 'n':
      s->loops = (unsigned)args_number(PROGRAM, "--loops", optarg, 1, 64);
      break;
    default:
      flags_tls_read(&s->tls, PROGRAM, option, optarg, argc, argv);
      break;
    }
  if (s->port < 0) args_wrong(PROGRAM, "--port is missing");
}

static void on_signal(int signum, void *user) {
  (void)signum;
  caw_server_drain(user, 1000, NULL, NULL);
}

static void check(int rc, const char *what) {
  if (rc) args_fail(PROGRAM, "%s: %s", what, caw_strerror(rc));
}

static int listen_at(caw_server *server, const char *host, int port, caw_server_credentials *tls) {
  char address[300];
  snprintf(address, sizeof(address), "%s:%d", host, port);
  return tls ? caw_server_listen_tls(server, address, tls) : caw_server_listen(server, address);
}

static void listen_on(caw_server *server, const settings *s, caw_server_credentials *tls) {
  int rc = listen_at(server, s->host ? s->host : "[::]", s->port, tls);
  /* A machine without IPv6. */
  if (rc && !s->host && rc != CAW_EADDRINUSE && rc != CAW_EACCES)
    rc = listen_at(server, "0.0.0.0", s->port, tls);
  if (rc) args_fail(PROGRAM, "%s", caw_server_error(server));
  for (size_t i = 0; caw_server_address(server, i); i++)
    printf("listening on %s\n", caw_server_address(server, i));
  fflush(stdout);
}

int main(int argc, char **argv) {
  settings s = {.port = -1, .loops = 1};
  read_args(&s, argc, argv);
  caw_server_credentials *tls = flags_server(PROGRAM, &s.tls);

  caw_server *server;
  caw_server_options options = {.size = sizeof(options), .loops = s.loops};
  check(caw_server_new(&server, &options), "cannot make a server");
  check(service_add(server), "cannot add the TestService");
  check(caw_loop_on_signal(caw_server_loop(server), SIGTERM, on_signal, server), "SIGTERM");
  check(caw_loop_on_signal(caw_server_loop(server), SIGINT, on_signal, server), "SIGINT");
  listen_on(server, &s, tls);
  check(caw_server_run(server), "cannot run");
  caw_server_free(server);
  caw_server_credentials_unref(tls);
  return EXIT_SUCCESS;
}
