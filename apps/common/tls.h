/* Credentials of the programs: from the files of --tls-..., with errors that end the
 * program. A key that others can read is refused: the library only warns. */
#ifndef APPS_TLS_H
#define APPS_TLS_H

#include <caw/tls.h>

/* A server's credentials, of one reference; client certificates are required when
 * `client_ca` is given. NULL when `cert` and `key` are. Exits with 2 when the options
 * do not fit together, with 1 when a file is unusable. `on_error` is told of failed
 * handshakes; may be NULL. */
caw_server_credentials *tls_server(const char *program, const char *cert, const char *key,
                                   const char *client_ca,
                                   void (*on_error)(const char *peer, const char *why, void *user));

/* What a client was given; zeros for what it was not. */
typedef struct tls_client_flags {
  bool on; /* --tls: with the system's trust store */
  const char *ca, *cert, *key, *server_name;
} tls_client_flags;

/* Is TLS asked for? */
static inline bool tls_client_wanted(const tls_client_flags *f) {
  return f->on || f->ca || f->cert || f->key || f->server_name;
}

/* A channel's credentials, of one reference; NULL for plaintext, when nothing is given.
 * Exits as tls_server does. */
caw_channel_credentials *tls_client(const char *program, const tls_client_flags *flags);

#endif
