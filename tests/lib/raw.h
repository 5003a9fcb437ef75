/*
 * Sockets whose bytes a test makes itself, as a peer that is no library would. In a run
 * over TLS (over_tls.c) the same bytes go through TLS; what TLS itself makes of bytes is
 * not for here (tests/io/tls.c, tests/server/tls_peers.c).
 */
#ifndef TESTS_RAW_H
#define TESTS_RAW_H

#include <caw/tls.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What a run over TLS puts in the place of the system's functions. */
typedef struct raw_layer {
  void (*begin)(int fd, bool server);
  bool (*shake)(int fd);
  ssize_t (*write)(int fd, const void *data, size_t len);
  ssize_t (*read)(int fd, void *to, size_t room);
  void (*end)(int fd);
} raw_layer;

/* NULL, as at first, for plaintext. */
extern const raw_layer *raw_through;

/* With which our side of such a connection is made; NULL for plaintext. */
extern caw_server_credentials *raw_server_credentials;
extern caw_channel_credentials *raw_channel_credentials;

/* Connects to "127.0.0.1:PORT", which must work; reads wait for 20 s at most. */
int raw_dial(const char *address);
/* Takes over a socket that is connected, as the server's side or the client's. */
void raw_begin(int fd, bool server);
/* For those that do not block: goes on with what precedes the first byte; is it over? */
bool raw_shake(int fd);
/* As write(2) and read(2), without SIGPIPE. */
ssize_t raw_write(int fd, const void *data, size_t len);
ssize_t raw_read(int fd, void *to, size_t room);
void raw_close(int fd);

#endif
