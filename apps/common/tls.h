/* Credentials of the programs: from the files of --tls-..., with errors that end the
 * program. A key that others can read is refused. */
#ifndef APPS_TLS_H
#define APPS_TLS_H

#include <caw/tls.h>
#include <getopt.h>

/* ---- Servers ---- */

/* What a server was given; zeros for what it was not. */
typedef struct tls_server_flags {
  const char *cert, *key, *client_ca;
} tls_server_flags;

/* The options, whose codes are below those of the programs. */
enum { TLS_SERVER_CERT = 220, TLS_SERVER_KEY, TLS_SERVER_CLIENT_CA };
/* clang-format off */
#define TLS_SERVER_OPTIONS                                                                         \
  {"tls-cert", required_argument, NULL, TLS_SERVER_CERT},                                          \
  {"tls-key", required_argument, NULL, TLS_SERVER_KEY},                                            \
  {"tls-client-ca", required_argument, NULL, TLS_SERVER_CLIENT_CA}
/* clang-format on */
#define TLS_SERVER_HELP                                                                            \
  "  --tls-cert FILE    TLS with this certificate, PEM, with its chain behind it\n"                \
  "  --tls-key FILE     and its private key, PEM; nobody else may read it\n"                       \
  "  --tls-client-ca FILE  clients need a certificate of these CAs, PEM\n"                         \
  "                     SIGHUP reads the three again, for new connections\n"

/* Takes an option; false when it is none of these. */
bool tls_server_option(tls_server_flags *f, int option, const char *value);

/* A server's credentials, of one reference; client certificates are required when
 * `client_ca` is given. NULL when nothing is. Exits with 2 when the options
 * do not fit together, with 1 when a file is unusable. `on_error` is told of failed
 * handshakes; may be NULL. */
caw_server_credentials *tls_server(const char *program, const tls_server_flags *flags,
                                   void (*on_error)(const char *peer, const char *why, void *user));

/* ---- Clients ---- */

/* What a client was given; zeros for what it was not. */
typedef struct tls_client_flags {
  bool on; /* --tls: with the system's trust store */
  const char *ca, *cert, *key, *server_name;
} tls_client_flags;

/* The options, as those of a server. */
enum { TLS_CLIENT_ON = 230, TLS_CLIENT_CA, TLS_CLIENT_CERT, TLS_CLIENT_KEY, TLS_CLIENT_NAME };
/* clang-format off */
#define TLS_CLIENT_OPTIONS                                                                         \
  {"tls", no_argument, NULL, TLS_CLIENT_ON},                                                       \
  {"tls-ca", required_argument, NULL, TLS_CLIENT_CA},                                              \
  {"tls-cert", required_argument, NULL, TLS_CLIENT_CERT},                                          \
  {"tls-key", required_argument, NULL, TLS_CLIENT_KEY},                                            \
  {"tls-server-name", required_argument, NULL, TLS_CLIENT_NAME}
/* clang-format on */

/* Takes an option; false when it is none of these. */
bool tls_client_option(tls_client_flags *f, int option, const char *value);

/* Is TLS asked for? */
static inline bool tls_client_wanted(const tls_client_flags *f) {
  return f->on || f->ca || f->cert || f->key || f->server_name;
}

/* A channel's credentials, of one reference; NULL for plaintext, when nothing is given.
 * Exits as tls_server does. */
caw_channel_credentials *tls_client(const char *program, const tls_client_flags *flags);

#endif
