/*
 * A server and a channel with TLS on one loop, for tests of what TLS decides: a call is
 * made, and what both sides say of it is noted.
 */
#ifndef TESTS_SECURE_H
#define TESTS_SECURE_H

#include "certs.h"

#include <caw/channel.h>
#include <caw/server.h>

/* A copy of a caw_peer_identity as text. */
typedef struct seen {
  int n; /* identities seen */
  bool none, verified, resumed, certificate;
  char subject[128], names[512], tls[16], cipher[48], sha256[65];
} seen;

typedef struct secure {
  caw_loop *loop;
  caw_server *server;
  caw_channel *channel;
  caw_server_credentials *server_credentials;
  caw_channel_credentials *channel_credentials;
  const char *address;
  /* The server's handshakes that failed, and why the last did. */
  int n_errors;
  char error[512];
  char error_peer[64];
  seen client_of_call, server_of_call; /* as the handler, as the channel saw the other */
  int done;                            /* the call is */
  int code;
  char message[1024];
  bool hang_up;      /* the server ends the connection after each call */
  struct conn *conn; /* the server's, to be ended */
  bool timed_out;
} secure;

/* Either options may be NULL: the good server's without client certificates, and the
 * channel that trusts its CA. */
void secure_open(secure *s, const caw_tls_server_options *server,
                 const caw_tls_client_options *client);
void secure_close(secure *s);

/* Makes the channel anew, to the server's address or another. */
void secure_channel(secure *s, const char *target, const caw_tls_client_options *client);
/* The same with credentials that are there already; NULL for plaintext. */
void secure_channel_with(secure *s, const char *target, caw_channel_credentials *credentials);

/* Makes a unary call to its end, and with hang_up waits for the connection's. */
void secure_call(secure *s);

/* Runs the loop until *flag is not 0; fails the test after 20 s. */
void secure_until(secure *s, const int *flag);

/* Is `text` what `pattern` says, in which '*' stands for anything? */
bool secure_like(const char *text, const char *pattern);
#define assert_like(text, pattern)                                                                 \
  do {                                                                                             \
    if (!secure_like(text, pattern)) fail_msg("\"%s\" is not \"%s\"", text, pattern);              \
  } while (0)

#endif
