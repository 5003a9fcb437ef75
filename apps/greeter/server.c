/* greeter-server: the Greeter and the ChatService, the smallest real server. */
#include "args.h"
#include "greeter.h"
#include "secret.h"
#include "serve.h"
#include "trace.h"

#include <caw/health.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROGRAM "greeter-server"

typedef struct settings {
  serve serve;
  uint64_t interval_ms;
  char server_id[256];
  bool list;
  const char *takeover;
  caw_server_options care; /* keepalive and limits of connections */
  bool trace;
  char token[SECRET_ROOM]; /* "": none is required */
} settings;

/* The options, beside --help and --version, which are characters. */
enum option_code {
  INTERVAL = 256,
  SERVER_ID,
  RECEIVE,
  TAKEOVER,
  KEEPALIVE_TIME,
  KEEPALIVE_TIMEOUT,
  PERMIT_KEEPALIVE_TIME,
  PERMIT_KEEPALIVE_WITHOUT_CALLS,
  MAX_CONNECTION_IDLE,
  MAX_CONNECTION_AGE,
  MAX_CONNECTION_AGE_GRACE,
  TRACE,
  REQUIRE_TOKEN,
  REQUIRE_TOKEN_FILE
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
           TLS_SERVER_HELP "  --help, --version");
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
  case INTERVAL:
    s->interval_ms = args_seconds(PROGRAM, "--interval", value);
    break;
  case SERVER_ID:
    snprintf(s->server_id, sizeof(s->server_id), "%s", value);
    break;
  case RECEIVE:
    s->list = !strcmp(value, "list");
    if (!s->list && strcmp(value, "follow"))
      args_wrong(PROGRAM, "--receive: \"%s\" is neither follow nor list", value);
    break;
  case TAKEOVER:
    s->takeover = value;
    s->serve.observe.takeover = true;
    break;
  case TRACE:
    s->trace = true;
    break;
  case REQUIRE_TOKEN_FILE:
    secret_read(PROGRAM, "--require-token-file", value, s->token);
    break;
  case REQUIRE_TOKEN:
    secret_copy(PROGRAM, "--require-token", value, s->token);
    break;
  default:
    if (!serve_option(&s->serve, option, value)) read_care(&s->care, option, value);
    break;
  }
}

static void read_args(settings *s, int argc, char **argv) {
  static const struct option options[] = {
      {"interval", required_argument, NULL, INTERVAL},
      {"server-id", required_argument, NULL, SERVER_ID},
      {"receive", required_argument, NULL, RECEIVE},
      {"takeover", required_argument, NULL, TAKEOVER},
      {"keepalive-time", required_argument, NULL, KEEPALIVE_TIME},
      {"keepalive-timeout", required_argument, NULL, KEEPALIVE_TIMEOUT},
      {"permit-keepalive-time", required_argument, NULL, PERMIT_KEEPALIVE_TIME},
      {"permit-keepalive-without-calls", no_argument, NULL, PERMIT_KEEPALIVE_WITHOUT_CALLS},
      {"max-connection-idle", required_argument, NULL, MAX_CONNECTION_IDLE},
      {"max-connection-age", required_argument, NULL, MAX_CONNECTION_AGE},
      {"max-connection-age-grace", required_argument, NULL, MAX_CONNECTION_AGE_GRACE},
      {"trace", no_argument, NULL, TRACE},
      SERVE_OPTIONS,
      {"require-token", required_argument, NULL, REQUIRE_TOKEN},
      {"require-token-file", required_argument, NULL, REQUIRE_TOKEN_FILE},
      ARGS_COMMON,
  };
  if (gethostname(s->server_id, sizeof(s->server_id) - 1)) strcpy(s->server_id, "localhost");
  s->interval_ms = 1000;
  serve_init(&s->serve, PROGRAM);
  int option;
  while ((option = args_next(PROGRAM, print_help, argc, argv, options, NULL)) != -1)
    read_option(s, option, optarg);
}

/* ---- Life ---- */

static void check(int rc, const char *what) {
  if (rc) args_fail(PROGRAM, "%s: %s", what, caw_strerror(rc));
}

static void listen_on(caw_server *server, const settings *s) {
  bool took = false;
  if (s->takeover && caw_server_handover(server, s->takeover, s->serve.grace_ms, &took))
    args_fail(PROGRAM, "%s", caw_server_error(server));
  if (took) printf("taking over at %s\n", s->takeover);
  serve_listen(&s->serve, server);
  for (size_t i = 0; caw_server_address(server, i); i++)
    printf("listening on %s\n", caw_server_address(server, i));
  fflush(stdout);
}

int main(int argc, char **argv) {
  settings s = {0};
  signal(SIGPIPE, SIG_IGN); /* who reads the log may go; the service goes on */
  read_args(&s, argc, argv);
  serve_read(&s.serve);

  caw_server *server;
  chat_room *chat;
  caw_health *health;
  greeter hello = {s.server_id, s.interval_ms};
  caw_server_options options = s.care;
  options.size = sizeof(options);
  serve_prepare(&s.serve, &options);
  check(caw_server_new(&server, &options), "cannot make a server");
  check(room_new(&chat, s.list), "cannot make the chat room");
  check(greeter_add(server, &hello), "cannot add the Greeter");
  check(room_add(server, chat), "cannot add the ChatService");

  check(caw_health_new(&health), "cannot make a health");
  check(caw_health_add(server, health), "cannot add the health service");
  check(caw_health_set(health, "greeter.Greeter", CAW_HEALTH_SERVING), "health");
  check(caw_health_set(health, "ChatService", CAW_HEALTH_SERVING), "health");
  if (s.trace) check(caw_server_intercept(server, &trace_interceptor, stdout), "cannot trace");
  if (s.token[0])
    check(caw_server_intercept(server, &token_interceptor, s.token), "cannot require a token");

  serve_equip(&s.serve, server);
  observe_begin(&s.serve.observe, PROGRAM, server);
  listen_on(server, &s);

  serve_run(&s.serve, server);
  serve_end(&s.serve);
  caw_server_free(server);
  caw_health_free(health);
  room_free(chat);
  return EXIT_SUCCESS;
}
