/* The connections of bench-load: TCP to loopback, with TLS or without. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct wire {
  int fd;
  struct ssl_st *tls; /* NULL: plaintext */
} wire;

/* Connects, and with `tls` makes a whole handshake (nothing is resumed, nothing is
 * checked; ALPN h2). Returns what went wrong, or NULL. */
const char *wire_open(wire *w, int port, int tls);

/* As recv and sendmsg that do not wait: the bytes, 0 at the end, -1 with errno. */
ssize_t wire_recv(wire *w, void *to, size_t room);
ssize_t wire_send(wire *w, const struct iovec *parts, int n);

void wire_close(wire *w);

#endif
