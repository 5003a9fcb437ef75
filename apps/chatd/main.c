/* chatd: the chat server. */
#include "access.h"
#include "args.h"
#include "chatd.h"
#include "greeter.h"
#include "log.h"
#include "numbers.h"
#include "retention.h"
#include "serve.h"
#include "setup.h"
#include "store_sqlite.h"
#include "streams.h"
#include "svc_auth.h"
#include "unary.h"

#include <caw/health.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM     "chatd"
#define DAY         ((int64_t)24 * 3600 * 1000000)
#define SWEEP_MS    (60 * 1000)
#define ONCE_LASTS  (30 * DAY)
#define SESSIONS    65536
#define LOGINS_WAIT 64

typedef struct settings {
  serve serve;
  const char *data;
  uint64_t stall_ms;
  int session_days, readers, password_threads;
  int64_t quota;
  bool lobby, closed, owner_token, plaintext;
} settings;

/* Everything that there is one of. */
typedef struct program {
  settings settings;
  chatd app;
  caw_server *server;
  caw_health *health;
  caw_timer *sweep;
  retention *retention;
  char path[4096]; /* of the database */
} program;

enum {
  DATA = 256,
  PLAINTEXT,
  REGISTRATION,
  OWNER_TOKEN,
  SESSION_DAYS,
  STALL,
  LOBBY,
  READERS,
  PASSWORD_THREADS,
  QUOTA
};

static void print_help(void) {
  puts("Usage: " PROGRAM " [OPTION]...\n"
       "\n"
       "A chat server with accounts, rooms and messages that are kept (docs/chatd.md).\n"
       "\n"
       "  --listen ADDRESS   where to listen; may be repeated (default 127.0.0.1:50051):\n"
       "                     HOST:PORT, [::]:PORT for IPv4 and IPv6, unix:PATH;\n"
       "                     systemd: for the sockets that systemd has opened\n"
       "  --data FOLDER      where everything is kept (default ./var)\n" TLS_SERVER_HELP
       "  --insecure-plaintext-for-everybody  listen without TLS where others than this\n"
       "                     machine can connect: they can read every password\n"
       "  --registration open|closed  may strangers make accounts (default open)\n"
       "  --owner-token      print a new one-time token that makes an owner, also when\n"
       "                     there is one already\n"
       "  --session-days N   a session that is not used ends after N days (default 30)\n"
       "  --lobby            serve the ChatService without accounts, bridged to the room\n"
       "                     \"lobby\"; on this machine only\n"
       "  --reflection       tell clients which services and types there are\n"
       "  --stall SECONDS    a reader that takes nothing for so long is told where to\n"
       "                     resume, and ends (default 30)\n"
       "  --loops N          event loops, each with a thread (default 1)\n"
       "  --readers N        threads that read from the database (default 2)\n"
       "  --password-threads N  that compare passwords, 19 MiB each (default 2)\n"
       "  --quota MIB        take no messages while what is kept takes more (default: no end);\n"
       "                     what is on its way to the file comes on top, some 64 MiB\n"
       "  --grace SECONDS    how long open calls may go on after SIGTERM or Ctrl+C\n"
       "                     (default 5); a second signal ends at once\n"
       "  --no-log           write no line for each call\n" OBSERVE_HELP "  --help, --version");
}

static void read_option(settings *s, int option, const char *value) {
  switch (option) {
  case DATA:
    s->data = value;
    break;
  case PLAINTEXT:
    s->plaintext = true;
    break;
  case REGISTRATION:
    s->closed = !strcmp(value, "closed");
    if (!s->closed && strcmp(value, "open"))
      args_wrong(PROGRAM, "--registration: \"%s\" is neither open nor closed", value);
    break;
  case OWNER_TOKEN:
    s->owner_token = true;
    break;
  case SESSION_DAYS:
    s->session_days = (int)args_number(PROGRAM, "--session-days", value, 1, 3650);
    break;
  case STALL:
    s->stall_ms = args_seconds(PROGRAM, "--stall", value);
    break;
  case LOBBY:
    s->lobby = true;
    break;
  case READERS:
    s->readers = (int)args_number(PROGRAM, "--readers", value, 1, 16);
    break;
  case PASSWORD_THREADS:
    s->password_threads = (int)args_number(PROGRAM, "--password-threads", value, 1, 16);
    break;
  case QUOTA:
    s->quota = (int64_t)args_number(PROGRAM, "--quota", value, 1, 1 << 30) << 20;
    break;
  default:
    serve_option(&s->serve, option, value);
    break;
  }
}

static void read_args(settings *s, int argc, char **argv) {
  static const struct option options[] = {
      {"data", required_argument, NULL, DATA},
      {"insecure-plaintext-for-everybody", no_argument, NULL, PLAINTEXT},
      {"registration", required_argument, NULL, REGISTRATION},
      {"owner-token", no_argument, NULL, OWNER_TOKEN},
      {"session-days", required_argument, NULL, SESSION_DAYS},
      {"stall", required_argument, NULL, STALL},
      SERVE_OPTIONS,
      {"lobby", no_argument, NULL, LOBBY},
      {"readers", required_argument, NULL, READERS},
      {"password-threads", required_argument, NULL, PASSWORD_THREADS},
      {"quota", required_argument, NULL, QUOTA},
      ARGS_COMMON,
  };
  *s = (settings){
      .data = "var", .stall_ms = 30000, .session_days = 30, .readers = 2, .password_threads = 2};
  serve_init(&s->serve, PROGRAM);
  int option;
  while ((option = args_next(PROGRAM, print_help, argc, argv, options, NULL)) != -1)
    read_option(s, option, optarg);
}

static void check(int rc, const char *what) {
  if (rc) args_fail(PROGRAM, "%s: %s", what, caw_strerror(rc));
}

/* ---- The store ---- */

static int open_store(store **out, bool writer, char why[400], void *user) {
  const program *p = user;
  int rc = store_sqlite_open(out, p->path, writer, why);
  if (!rc && writer) store_set_quota(*out, p->settings.quota);
  return rc;
}

static const char *const services[] = {"", "chat.v1.AuthService", "chat.v1.UserService",
                                       "chat.v1.RoomService", "chat.v1.ChatService"};

static void set_health(program *p, caw_health_status status) {
  for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
    caw_health_set(p->health, services[i], status);
}

static void on_state(desk_state state, const char *why, void *user) {
  program *p = user;
  char now[TIMESTAMP_ROOM];
  set_health(p, state == DESK_FINE ? CAW_HEALTH_SERVING : CAW_HEALTH_NOT_SERVING);
  timestamp_now(now);
  if (state == DESK_FINE) fprintf(stderr, "%s %s: the disk takes messages again\n", now, PROGRAM);
  else if (state == DESK_FULL)
    fprintf(stderr, "%s %s: no message is taken while the disk is full: %s\n", now, PROGRAM, why);
  else
    fprintf(stderr,
            "%s %s: the disk failed; no message is taken until a restart has read what is "
            "there: %s\n",
            now, PROGRAM, why);
}

static void open_desk(program *p) {
  const settings *s = &p->settings;
  char why[400];
  if (setup_folder(s->data, why) < 0) args_fail(PROGRAM, "%s", why);
  snprintf(p->path, sizeof(p->path), "%s/chat.db", s->data);
  const desk_options options = {
      .readers = (size_t)s->readers, .open = open_store, .on_state = on_state, .user = p};
  int rc = desk_new(&p->app.desk, &options, why);
  if (rc) args_fail(PROGRAM, "%s", why[0] ? why : caw_strerror(rc));
  const retention_options keeps = {.once = ONCE_LASTS};
  check(retention_new(&p->retention, p->app.desk, &keeps), "cannot prepare what is forgotten");
}

/* ---- Once a minute ---- */

static void sweep(void *user) {
  program *p = user;
  caw_timer_start(p->sweep, SWEEP_MS);
  retention_walk(p->retention, now_us()); /* what it cannot do now, it does the next time */
}

/* ---- The server ---- */

static void add_services(program *p, int64_t lobby) {
  caw_server *server = p->server;
  static greeter hello = {"chatd", 1000};
  check(caw_server_intercept(server, &access_interceptor, &p->app), "cannot guard the calls");
  check(unary_add(server, &p->app), "cannot add the services");
  check(auth_add(server, &p->app), "cannot add the AuthService");
  check(subscribe_add(server, &p->app), "cannot add Subscribe");
  check(chat_add(server, &p->app), "cannot add Chat");
  check(greeter_add(server, &hello), "cannot add the Greeter");
  if (lobby) check(lobby_add(server, &p->app, lobby), "cannot add the lobby");
  check(caw_health_add(server, p->health), "cannot add the health service");
}

static void listen_on(program *p) {
  const settings *s = &p->settings;
  serve_listen(&s->serve, p->server);
  const char *address;
  for (size_t i = 0; (address = caw_server_address(p->server, i)); i++) {
    if (!is_local(address) && !s->serve.tls && !s->plaintext)
      args_fail(PROGRAM,
                "%s can be reached from other machines, and without TLS everybody on the way "
                "reads the passwords: give --tls-cert and --tls-key, or listen on 127.0.0.1",
                address);
    if (!is_local(address) && s->lobby)
      args_fail(PROGRAM, "--lobby is for this machine only, and %s is not", address);
    printf("listening on %s\n", address);
  }
  fflush(stdout);
}

static void make_server(program *p, int64_t lobby) {
  settings *s = &p->settings;
  caw_server_options options = {.size = sizeof(options)};
  serve_prepare(&s->serve, &options);
  check(caw_server_new(&p->server, &options), "cannot make a server");
  add_services(p, lobby);
  set_health(p, CAW_HEALTH_SERVING);
  serve_equip(&s->serve, p->server);
  check(caw_timer_new(&p->sweep, caw_server_loop(p->server), sweep, p), "cannot make a timer");
  caw_timer_start(p->sweep, 0);
  caw_metrics *metrics = s->serve.observe.metrics;
  if (metrics) check(caw_metrics_add_source(metrics, numbers_write, &p->app), "metrics");
  observe_begin(&s->serve.observe, PROGRAM, p->server);
  listen_on(p);
}

/* What people are to do with it. */
static void print_token(const char *token) {
  if (!token[0]) return;
  printf("\n  This server has no owner yet. Who registers with this one-time token becomes it:\n"
         "\n      %s\n\n"
         "      build/bin/chat register --owner-token %s NAME\n\n",
         token, token);
  fflush(stdout);
}

int main(int argc, char **argv) {
  static program p;
  char token[KEYS_TOKEN];
  int64_t lobby = 0;
  settings *s = &p.settings;
  signal(SIGPIPE, SIG_IGN); /* who reads the log may go; the service goes on */
  signal(SIGXFSZ, SIG_IGN); /* a limit of files' sizes is a disk's error as others are */
  read_args(s, argc, argv);
  if (keys_init()) args_fail(PROGRAM, "the system gives no random numbers");
  serve_read(&s->serve);
  p.app.closed = s->closed;
  p.app.session_life = s->session_days * DAY;
  p.app.stall = (int64_t)s->stall_ms * 1000;
  check(caw_health_new(&p.health), "cannot make a health");
  check(hub_new(&p.app.hub), "cannot make the hub");
  check(sessions_new(&p.app.sessions, SESSIONS), "cannot make the sessions");
  check(throttle_new(&p.app.throttle), "cannot make the throttle");
  pthread_mutex_init(&p.app.keys_lock, NULL);
  check(keys_pool_new(&p.app.keys, (size_t)s->password_threads, LOGINS_WAIT),
        "cannot start the password threads");
  open_desk(&p);
  check(setup_store(p.app.desk, s->owner_token, token, s->lobby ? &lobby : NULL),
        "cannot prepare the store");
  make_server(&p, lobby);
  print_token(token);

  serve_run(&s->serve, p.server);
  caw_timer_free(p.sweep);
  serve_end(&s->serve); /* what the metrics ask for is about to go */
  /* Who waits for a password is told by the desk, who waits for the desk by its jobs; what
   * comes from the desk and wants a password now finds no pool. */
  pthread_mutex_lock(&p.app.keys_lock);
  keys_pool *keys = p.app.keys;
  p.app.keys = NULL;
  pthread_mutex_unlock(&p.app.keys_lock);
  keys_pool_free(keys);
  desk_free(p.app.desk);
  retention_free(p.retention);
  caw_server_free(p.server);
  hub_free(p.app.hub);
  sessions_free(p.app.sessions);
  throttle_free(p.app.throttle);
  pthread_mutex_destroy(&p.app.keys_lock);
  caw_health_free(p.health);
  return EXIT_SUCCESS;
}
