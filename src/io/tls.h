/*
 * TLS on an io_socket, for the rest of the library: what it needs to know of it, with
 * nothing of OpenSSL. Credentials: caw/tls.h.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include "io/socket.h"

#include <caw/tls.h>

/* A client's side for one target: the name that the server must have, and the session
 * that the next connection resumes. It belongs to one loop. */
typedef struct io_tls_client io_tls_client;

/*
 * Makes one; `authority` ("host:port", "[::1]:5", "host") says the name, unless the
 * credentials do. Keeps a reference to the credentials. Returns 0, CAW_EINVAL (no name
 * can be told from it), CAW_ENOMEM.
 */
int io_tls_client_new(io_tls_client **out, caw_channel_credentials *credentials,
                      const char *authority);
/* After the last socket that uses it. NULL is fine. */
void io_tls_client_free(io_tls_client *client);

/* The server_name of the credentials, or NULL. */
const char *io_tls_server_name(const caw_channel_credentials *credentials);

/*
 * Puts TLS between the socket and its owner, right after io_socket_connect or
 * io_socket_adopt. on_connect comes when the handshake is over, in both cases, never
 * inside this call. A server's handshake may take what its credentials say, and `most`
 * nanoseconds. Returns 0 or CAW_ENOMEM; the socket is as it was then.
 */
int io_tls_connect(io_socket *s, io_tls_client *client);
int io_tls_accept(io_socket *s, caw_server_credentials *credentials, uint64_t most);

/* Hands over who the other end is, after a good on_connect, once; caw_free it. NULL on
 * a socket without TLS. */
caw_peer_identity *io_tls_take_identity(io_socket *s);

#endif
