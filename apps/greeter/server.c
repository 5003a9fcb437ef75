/* greeter-server: the Greeter and the ChatService, the smallest real server. */
#include "args.h"
#include "greeter.h"
#include "secret.h"
#include "trace.h"

#include <caw/health.h>
#include <caw/reflection.h>
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
  bool no_log, trace, reflection;
  char token[SECRET_ROOM]; /* "": none is required */
} settings;

static void print_help(void) {
  puts("Usage: " PROGRAM " [OPTION]...\n"
       "\n"
       "Serves greeter.Greeter, ChatService and the health service over gRPC, in plain\n"
       "text.\n"
       "\n"
       "  --listen ADDRESS   where to listen; may be repeated (default 127.0.0.1:50051):\n"
       "                     HOST:PORT, [::]:PORT for IPv4 and IPv6, unix:PATH;\n"
       "                     port 0 lets the system choose one\n"
       "  --interval SECONDS between the replies of SayHelloStream (default 1)\n"
       "  --server-id TEXT   server_id of the replies (default: the host name)\n"
       "  --receive HOW      follow: ReceiveMessage goes on with new messages (default)\n"
       "                     list: it ends after the messages that are kept\n"
       "  --loops N          event loops, each with a thread (default 1)\n"
       "  --grace SECONDS    how long open calls may go on after SIGTERM or Ctrl+C\n"
       "                     (default 5); a second signal ends at once\n"
       "  --no-log           write no line for each call\n"
       "  --trace            write a line for each step of a call\n"
       "  --require-token-file FILE  refuse calls that do not bring the token in FILE as\n"
       "                     \"authorization: Bearer TOKEN\", but for health checks\n"
       "  --require-token TOKEN      the same; other users of this machine can see it\n"
       "  --reflection       tell clients which services and types there are\n"
       "  --help, --version");
}

static void read_option(settings *s, int option, const char *value) {
  switch (option) {
  case 'l':
    if (s->n_listen == MAX_LISTEN)
      args_wrong(PROGRAM, "--listen: at most %d addresses", MAX_LISTEN);
    s->listen[s->n_listen++] = value;
    break;
  case 'i':
    s->interval_ms = args_seconds(PROGRAM, "--interval", value);
    break;
  case 'g':
    s->grace_ms = args_seconds(PROGRAM, "--grace", value);
    break;
  case 's':
    snprintf(s->server_id, sizeof(s->server_id), "%s", value);
    break;
  case 'r':
    s->list = !strcmp(value, "list");
    if (!s->list && strcmp(value, "follow"))
      args_wrong(PROGRAM, "--receive: \"%s\" is neither follow nor list", value);
    break;
  case 'n':
    s->loops = (unsigned)args_number(PROGRAM, "--loops", value, 1, 64);
    break;
  case 'q':
    s->no_log = true;
    break;
  case 'T':
    s->trace = true;
    break;
  case 'R':
    s->reflection = true;
    break;
  case 'f':
    secret_read(PROGRAM, "--require-token-file", value, s->token);
    break;
  case 'k':
    secret_copy(PROGRAM, "--require-token", value, s->token);
    break;
  default:
    break;
  }
}

static void read_args(settings *s, int argc, char **argv) {
  static const struct option options[] = {
      {"listen", required_argument, NULL, 'l'},
      {"interval", required_argument, NULL, 'i'},
      {"grace", required_argument, NULL, 'g'},
      {"server-id", required_argument, NULL, 's'},
      {"receive", required_argument, NULL, 'r'},
      {"loops", required_argument, NULL, 'n'},
      {"no-log", no_argument, NULL, 'q'},
      {"trace", no_argument, NULL, 'T'},
      {"reflection", no_argument, NULL, 'R'},
      {"require-token", required_argument, NULL, 'k'},
      {"require-token-file", required_argument, NULL, 'f'},
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

/* ---- Signals ---- */

typedef struct stopping {
  caw_server *server;
  uint64_t grace_ms;
  int signals;
} stopping;

static void on_signal(int signum, void *user) {
  stopping *s = user;
  if (s->signals++) {
    fflush(stdout);
    _exit(128 + signum);
  }
  printf("shutting down; open calls have %.1f s\n", (double)s->grace_ms / 1000);
  fflush(stdout);
  caw_server_drain(s->server, s->grace_ms, NULL, NULL);
}

static void check(int rc, const char *what) {
  if (rc) args_fail(PROGRAM, "%s: %s", what, caw_strerror(rc));
}

static void listen_on(caw_server *server, const settings *s) {
  for (int i = 0; i < s->n_listen; i++)
    if (caw_server_listen(server, s->listen[i])) args_fail(PROGRAM, "%s", caw_server_error(server));
  for (size_t i = 0; caw_server_address(server, i); i++)
    printf("listening on %s\n", caw_server_address(server, i));
  fflush(stdout);
}

int main(int argc, char **argv) {
  settings s = {0};
  signal(SIGPIPE, SIG_IGN); /* who reads the log may go; the service goes on */
  read_args(&s, argc, argv);

  caw_server *server;
  chat_room *chat;
  caw_health *health;
  greeter hello = {s.server_id, s.interval_ms};
  caw_server_options options = {.size = sizeof(options), .loops = s.loops};
  if (!s.no_log) options.on_call = log_call;
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

  stopping stop = {server, s.grace_ms, 0};
  check(caw_loop_on_signal(caw_server_loop(server), SIGTERM, on_signal, &stop), "SIGTERM");
  check(caw_loop_on_signal(caw_server_loop(server), SIGINT, on_signal, &stop), "SIGINT");
  listen_on(server, &s);

  int rc = caw_server_run(server);
  if (rc == CAW_ETIMEDOUT) fprintf(stderr, PROGRAM ": some handlers did not finish in time\n");
  else check(rc, "cannot run");
  caw_server_free(server);
  caw_health_free(health);
  room_free(chat);
  return EXIT_SUCCESS;
}
