/*
 * What the servers have in common, from the command line to the end: where they listen, TLS,
 * threads, the log of calls, what ends them and how long that may take, and those who look at
 * them (observe.h). Used in this order: serve_init, serve_option for each option, serve_read,
 * serve_prepare, serve_equip, observe_begin, serve_listen, serve_run, serve_end.
 */
#ifndef APPS_SERVE_H
#define APPS_SERVE_H

#include "observe.h"
#include "tls.h"

#define SERVE_LISTEN_MOST 32

typedef struct serve {
  const char *program;
  const char *listen[SERVE_LISTEN_MOST];
  int n_listen;
  unsigned loops;
  uint64_t grace_ms;
  bool no_log, reflection;
  tls_server_flags tls_flags;
  caw_server_credentials *tls; /* NULL: plaintext */
  observe observe;
} serve;

/* The options, whose codes are below those of the programs. Those of tls.h and observe.h are
 * among them. */
enum { SERVE_LISTEN = 210, SERVE_LOOPS, SERVE_GRACE, SERVE_NO_LOG, SERVE_REFLECTION };
/* clang-format off */
#define SERVE_OPTIONS                                                                              \
  {"listen", required_argument, NULL, SERVE_LISTEN},                                               \
  {"loops", required_argument, NULL, SERVE_LOOPS},                                                 \
  {"grace", required_argument, NULL, SERVE_GRACE},                                                 \
  {"no-log", no_argument, NULL, SERVE_NO_LOG},                                                     \
  {"reflection", no_argument, NULL, SERVE_REFLECTION},                                             \
  TLS_SERVER_OPTIONS,                                                                              \
  OBSERVE_OPTIONS
/* clang-format on */

/* The defaults. */
void serve_init(serve *s, const char *program);

/* Takes an option; false when it is none of these. Exits with 2 on a wrong value. */
bool serve_option(serve *s, int option, const char *value);

/* After the options: reads the certificates; exits as tls_server does. */
void serve_read(serve *s);

/* Fills a server's options. */
void serve_prepare(serve *s, caw_server_options *options);

/* Adds what it may be asked for beside its services, which are there, and has it drain with
 * SIGTERM and SIGINT, and read the certificates again with SIGHUP. Exits with 1 when that
 * cannot be, as do the next. */
void serve_equip(serve *s, caw_server *server);

/* Listens at all addresses. */
void serve_listen(const serve *s, caw_server *server);

/* Runs the server to its end. */
void serve_run(const serve *s, caw_server *server);

/* When the server has run, and before it is freed. */
void serve_end(serve *s);

#endif
