/* The functions of serve.h. */
#include "serve.h"

#include "args.h"
#include "log.h"

#include <caw/reflection.h>
#include <caw/status.h>
#include <caw/systemd.h>
#include <signal.h>
#include <stdio.h>

/* ---- The command line ---- */

void serve_init(serve *s, const char *program) {
  *s = (serve){.program = program, .loops = 1, .grace_ms = 5000};
}

bool serve_option(serve *s, int option, const char *value) {
  switch (option) {
  case SERVE_LISTEN:
    if (s->n_listen == SERVE_LISTEN_MOST)
      args_wrong(s->program, "--listen: at most %d addresses", SERVE_LISTEN_MOST);
    s->listen[s->n_listen++] = value;
    return true;
  case SERVE_LOOPS:
    s->loops = (unsigned)args_number(s->program, "--loops", value, 1, 64);
    return true;
  case SERVE_GRACE:
    s->grace_ms = args_seconds(s->program, "--grace", value);
    return true;
  case SERVE_NO_LOG:
    s->no_log = true;
    return true;
  case SERVE_REFLECTION:
    s->reflection = true;
    return true;
  default:
    return tls_server_option(&s->tls_flags, option, value) ||
           observe_option(&s->observe, s->program, option, value);
  }
}

void serve_read(serve *s) {
  if (!s->n_listen) s->listen[s->n_listen++] = "127.0.0.1:50051";
  s->tls = tls_server(s->program, &s->tls_flags, log_handshake_error);
}

/* ---- Life ---- */

static void check(const serve *s, int rc, const char *what) {
  if (rc) args_fail(s->program, "%s: %s", what, caw_strerror(rc));
}

static void say_drain(void *user) {
  const serve *s = user;
  printf("shutting down; open calls have %.1f s\n", (double)s->grace_ms / 1000);
  fflush(stdout);
}

/* New certificates for new connections; what cannot be used changes nothing. */
static void on_hangup(int signum, void *user) {
  const serve *s = user;
  char why[512];
  (void)signum;
  int rc = caw_tls_server_reload(s->tls, NULL, why, sizeof(why));
  if (rc) fprintf(stderr, "%s: the certificates stay as they were: %s\n", s->program, why);
  else if (why[0]) fprintf(stderr, "%s: %s\n", s->program, why);
  if (!rc) puts("read the certificates again");
  fflush(stdout);
}

void serve_prepare(serve *s, caw_server_options *options) {
  options->loops = s->loops;
  observe_prepare(&s->observe, s->program, options, s->no_log ? NULL : log_call);
}

void serve_equip(serve *s, caw_server *server) {
  if (s->reflection) check(s, caw_reflection_add(server), "cannot add reflection");
  check(s, caw_server_on_drain(server, say_drain, s), "cannot prepare the end");
  check(s, caw_server_drain_on_signal(server, SIGTERM, s->grace_ms), "SIGTERM");
  check(s, caw_server_drain_on_signal(server, SIGINT, s->grace_ms), "SIGINT");
  check(s, caw_server_notify_systemd(server), "cannot prepare what systemd is told");
  if (s->tls) check(s, caw_loop_on_signal(caw_server_loop(server), SIGHUP, on_hangup, s), "SIGHUP");
}

void serve_listen(const serve *s, caw_server *server) {
  for (int i = 0; i < s->n_listen; i++) {
    int rc = s->tls ? caw_server_listen_tls(server, s->listen[i], s->tls)
                    : caw_server_listen(server, s->listen[i]);
    if (rc) args_fail(s->program, "%s", caw_server_error(server));
  }
}

void serve_run(const serve *s, caw_server *server) {
  int rc = caw_server_run(server);
  if (rc == CAW_ETIMEDOUT)
    fprintf(stderr, "%s: some handlers did not finish in time\n", s->program);
  else check(s, rc, "cannot run");
}

void serve_end(serve *s) {
  observe_end(&s->observe);
  caw_server_credentials_unref(s->tls);
}
