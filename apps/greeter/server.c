/* greeter-server: the Greeter and the ChatService, the smallest real server. */
#include "args.h"
#include "greeter.h"
#include "log.h"
#include "observe.h"
#include "secret.h"
#include "tls.h"
#include "trace.h"

#include <caw/health.h>
#include <caw/reflection.h>
#include <caw/systemd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROGRAM    "greeter-server"
#define MAX_LISTEN 32

typedef struct settings {
  const char *listen[MAX_LISTEN];
  int n_listen;
  uint64_t interval_ms, grace_ms;
  char server_id[256];
  bool list;
  unsigned loops;
  const char *takeover;
  caw_server_options care; /* keepalive and limits of connections */
  bool no_log, trace, reflection;
  char token[SECRET_ROOM]; /* "": none is required */
  const char *tls_cert, *tls_key, *tls_client_ca;
  observe observe;
} settings;

/* The options, beside --help and --version, which are characters. */
enum option_code {
  LISTEN = 256,
  INTERVAL,
  GRACE,
  SERVER_ID,
  RECEIVE,
  LOOPS,
  NO_LOG,
  TAKEOVER,
  KEEPALIVE_TIME,
  KEEPALIVE_TIMEOUT,
  PERMIT_KEEPALIVE_TIME,
  PERMIT_KEEPALIVE_WITHOUT_CALLS,
  MAX_CONNECTION_IDLE,
  MAX_CONNECTION_AGE,
  MAX_CONNECTION_AGE_GRACE,
  TRACE,
  REFLECTION,
  REQUIRE_TOKEN,
  REQUIRE_TOKEN_FILE,
  TLS_CERT,
  TLS_KEY,
  TLS_CLIENT_CA
};

static void print_help(void) {
  puts("Usage: " PROGRAM " [OPTION]...\n"
       "\n"
       "Serves greeter.Greeter, ChatService and the health service over gRPC, in plain\n"
       "text unless there are --tls-cert and --tls-key.\n"
       "\n"
       "  --listen ADDRESS   where to listen; may be repeated (default 127.0.0.1:50051):\n"
       "                     HOST:PORT, [::]:PORT for IPv4 and IPv6, unix:PATH;\n"
       "                     port 0 lets the system choose one; systemd: or\n"
       "                     systemd:NAME for the sockets that systemd has opened\n"
       "  --interval SECONDS between the replies of SayHelloStream (default 1)\n"
       "  --server-id TEXT   server_id of the replies (default: the host name)\n"
       "  --receive HOW      follow: ReceiveMessage goes on with new messages (default)\n"
       "                     list: it ends after the messages that are kept\n"
       "  --loops N          event loops, each with a thread (default 1)\n"
       "  --grace SECONDS    how long open calls may go on after SIGTERM or Ctrl+C\n"
       "                     (default 5); a second signal ends at once\n"
       "  --no-log           write no line for each call\n"
       "  --takeover PATH    take the sockets over from the server that waits at this\n"
       "                     Unix socket, which then drains, and wait there for the\n"
       "                     next: a restart refuses no connection, loses no call\n"
       "  --keepalive-time SECONDS  of silence before a client is asked whether it\n"
       "                     is there (default 7200, at least 1)\n"
       "  --keepalive-timeout SECONDS  it may take to answer (default 20)\n"
       "  --permit-keepalive-time SECONDS  that a client has to let pass between its\n"
       "                     own questions (default 300)\n"
       "  --permit-keepalive-without-calls  also while it has no call\n"
       "  --max-connection-idle SECONDS  without a call before a connection is\n"
       "                     drained (default: no limit)\n"
       "  --max-connection-age SECONDS  before it is drained, 10 % more or less\n"
       "                     (default: no limit)\n"
       "  --max-connection-age-grace SECONDS  for its calls then (default: no limit)\n"
       "  --trace            write a line for each step of a call\n"
       "  --require-token-file FILE  refuse calls that do not bring the token in FILE as\n"
       "                     \"authorization: Bearer TOKEN\", but for health checks\n"
       "  --require-token TOKEN      the same; other users of this machine can see it\n"
       "  --reflection       tell clients which services and types there are\n" OBSERVE_HELP
       "  --tls-cert FILE    TLS with this certificate, PEM, with its chain behind it\n"
       "  --tls-key FILE     and its private key, PEM; nobody else may read it\n"
       "  --tls-client-ca FILE  clients need a certificate of these CAs, PEM\n"
       "                     SIGHUP reads the three again, for new connections\n"
       "  --help, --version");
}

static void read_care(caw_server_options *o, int option, const char *value) {
  switch (option) {
  case KEEPALIVE_TIME:
    o->keepalive_time_ms = args_seconds(PROGRAM, "--keepalive-time", value);
    break;
  case KEEPALIVE_TIMEOUT:
    o->keepalive_timeout_ms = args_seconds(PROGRAM, "--keepalive-timeout", value);
    break;
  case PERMIT_KEEPALIVE_TIME:
    o->min_recv_ping_interval_without_data_ms =
        args_seconds(PROGRAM, "--permit-keepalive-time", value);
    break;
  case PERMIT_KEEPALIVE_WITHOUT_CALLS:
    o->keepalive_permit_without_calls = true;
    break;
  case MAX_CONNECTION_IDLE:
    o->max_connection_idle_ms = args_seconds(PROGRAM, "--max-connection-idle", value);
    break;
  case MAX_CONNECTION_AGE:
    o->max_connection_age_ms = args_seconds(PROGRAM, "--max-connection-age", value);
    break;
  case MAX_CONNECTION_AGE_GRACE:
    o->max_connection_age_grace_ms = args_seconds(PROGRAM, "--max-connection-age-grace", value);
    break;
  default:
    break;
  }
}

static void read_option(settings *s, int option, const char *value) {
  switch (option) {
  case LISTEN:
    if (s->n_listen == MAX_LISTEN)
      args_wrong(PROGRAM, "--listen: at most %d addresses", MAX_LISTEN);
    s->listen[s->n_listen++] = value;
    break;
  case INTERVAL:
    s->interval_ms = args_seconds(PROGRAM, "--interval", value);
    break;
  case GRACE:
    s->grace_ms = args_seconds(PROGRAM, "--grace", value);
    break;
  case SERVER_ID:
    snprintf(s->server_id, sizeof(s->server_id), "%s", value);
    break;
  case RECEIVE:
    s->list = !strcmp(value, "list");
    if (!s->list && strcmp(value, "follow"))
      args_wrong(PROGRAM, "--receive: \"%s\" is neither follow nor list", value);
    break;
  case LOOPS:
    s->loops = (unsigned)args_number(PROGRAM, "--loops", value, 1, 64);
    break;
  case NO_LOG:
    s->no_log = true;
    break;
  case TAKEOVER:
    s->takeover = value;
    s->observe.takeover = true;
    break;
  case TRACE:
    s->trace = true;
    break;
  case REFLECTION:
    s->reflection = true;
    break;
  case REQUIRE_TOKEN_FILE:
    secret_read(PROGRAM, "--require-token-file", value, s->token);
    break;
  case REQUIRE_TOKEN:
    secret_copy(PROGRAM, "--require-token", value, s->token);
    break;
  case TLS_CERT:
    s->tls_cert = value;
    break;
  case TLS_KEY:
    s->tls_key = value;
    break;
  case TLS_CLIENT_CA:
    s->tls_client_ca = value;
    break;
  default:
    if (!observe_option(&s->observe, PROGRAM, option, value)) read_care(&s->care, option, value);
    break;
  }
}

static void read_args(settings *s, int argc, char **argv) {
  static const struct option options[] = {
      {"listen", required_argument, NULL, LISTEN},
      {"interval", required_argument, NULL, INTERVAL},
      {"grace", required_argument, NULL, GRACE},
      {"server-id", required_argument, NULL, SERVER_ID},
      {"receive", required_argument, NULL, RECEIVE},
      {"loops", required_argument, NULL, LOOPS},
      {"no-log", no_argument, NULL, NO_LOG},
      {"takeover", required_argument, NULL, TAKEOVER},
      {"keepalive-time", required_argument, NULL, KEEPALIVE_TIME},
      {"keepalive-timeout", required_argument, NULL, KEEPALIVE_TIMEOUT},
      {"permit-keepalive-time", required_argument, NULL, PERMIT_KEEPALIVE_TIME},
      {"permit-keepalive-without-calls", no_argument, NULL, PERMIT_KEEPALIVE_WITHOUT_CALLS},
      {"max-connection-idle", required_argument, NULL, MAX_CONNECTION_IDLE},
      {"max-connection-age", required_argument, NULL, MAX_CONNECTION_AGE},
      {"max-connection-age-grace", required_argument, NULL, MAX_CONNECTION_AGE_GRACE},
      {"trace", no_argument, NULL, TRACE},
      {"reflection", no_argument, NULL, REFLECTION},
      {"require-token", required_argument, NULL, REQUIRE_TOKEN},
      {"require-token-file", required_argument, NULL, REQUIRE_TOKEN_FILE},
      {"tls-cert", required_argument, NULL, TLS_CERT},
      {"tls-key", required_argument, NULL, TLS_KEY},
      {"tls-client-ca", required_argument, NULL, TLS_CLIENT_CA},
      OBSERVE_OPTIONS,
      ARGS_COMMON,
  };
  if (gethostname(s->server_id, sizeof(s->server_id) - 1)) strcpy(s->server_id, "localhost");
  s->interval_ms = 1000;
  s->grace_ms = 5000;
  s->loops = 1;
  int option;
  while ((option = args_next(PROGRAM, print_help, argc, argv, options, NULL)) != -1)
    read_option(s, option, optarg);
  if (!s->n_listen) s->listen[s->n_listen++] = "127.0.0.1:50051";
}

/* ---- Life ---- */

static void say_drain(void *user) {
  const settings *s = user;
  printf("shutting down; open calls have %.1f s\n", (double)s->grace_ms / 1000);
  fflush(stdout);
}

/* New certificates for new connections; what cannot be used changes nothing. */
static void on_hangup(int signum, void *user) {
  char why[512];
  (void)signum;
  int rc = caw_tls_server_reload(user, NULL, why, sizeof(why));
  if (rc) fprintf(stderr, PROGRAM ": the certificates stay as they were: %s\n", why);
  else if (why[0]) fprintf(stderr, PROGRAM ": %s\n", why);
  if (!rc) puts("read the certificates again");
  fflush(stdout);
}

static void check(int rc, const char *what) {
  if (rc) args_fail(PROGRAM, "%s: %s", what, caw_strerror(rc));
}

static void listen_on(caw_server *server, const settings *s, caw_server_credentials *tls) {
  bool took = false;
  if (s->takeover && caw_server_handover(server, s->takeover, s->grace_ms, &took))
    args_fail(PROGRAM, "%s", caw_server_error(server));
  if (took) printf("taking over at %s\n", s->takeover);
  for (int i = 0; i < s->n_listen; i++) {
    int rc = tls ? caw_server_listen_tls(server, s->listen[i], tls)
                 : caw_server_listen(server, s->listen[i]);
    if (rc) args_fail(PROGRAM, "%s", caw_server_error(server));
  }
  for (size_t i = 0; caw_server_address(server, i); i++)
    printf("listening on %s\n", caw_server_address(server, i));
  fflush(stdout);
}

int main(int argc, char **argv) {
  settings s = {0};
  signal(SIGPIPE, SIG_IGN); /* who reads the log may go; the service goes on */
  read_args(&s, argc, argv);
  caw_server_credentials *tls =
      tls_server(PROGRAM, s.tls_cert, s.tls_key, s.tls_client_ca, log_handshake_error);

  caw_server *server;
  chat_room *chat;
  caw_health *health;
  greeter hello = {s.server_id, s.interval_ms};
  caw_server_options options = s.care;
  options.size = sizeof(options);
  options.loops = s.loops;
  observe_prepare(&s.observe, PROGRAM, &options, s.no_log ? NULL : log_call);
  check(caw_server_new(&server, &options), "cannot make a server");
  check(room_new(&chat, s.list), "cannot make the chat room");
  check(greeter_add(server, &hello), "cannot add the Greeter");
  check(room_add(server, chat), "cannot add the ChatService");

  check(caw_health_new(&health), "cannot make a health");
  check(caw_health_add(server, health), "cannot add the health service");
  check(caw_health_set(health, "greeter.Greeter", CAW_HEALTH_SERVING), "health");
  check(caw_health_set(health, "ChatService", CAW_HEALTH_SERVING), "health");
  if (s.reflection) check(caw_reflection_add(server), "cannot add reflection");
  if (s.trace) check(caw_server_intercept(server, &trace_interceptor, stdout), "cannot trace");
  if (s.token[0])
    check(caw_server_intercept(server, &token_interceptor, s.token), "cannot require a token");

  check(caw_server_on_drain(server, say_drain, &s), "cannot prepare the end");
  check(caw_server_drain_on_signal(server, SIGTERM, s.grace_ms), "SIGTERM");
  check(caw_server_drain_on_signal(server, SIGINT, s.grace_ms), "SIGINT");
  check(caw_server_notify_systemd(server), "cannot prepare what systemd is told");
  if (tls) check(caw_loop_on_signal(caw_server_loop(server), SIGHUP, on_hangup, tls), "SIGHUP");
  observe_begin(&s.observe, PROGRAM, server);
  listen_on(server, &s, tls);

  int rc = caw_server_run(server);
  if (rc == CAW_ETIMEDOUT) fprintf(stderr, PROGRAM ": some handlers did not finish in time\n");
  else check(rc, "cannot run");
  observe_end(&s.observe);
  caw_server_free(server);
  caw_server_credentials_unref(tls);
  caw_health_free(health);
  room_free(chat);
  return EXIT_SUCCESS;
}
