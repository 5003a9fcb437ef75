/*
 * A connected stream socket (TCP or Unix) on a loop, and a listening one.
 * Bytes go in and out; what they mean is not known here.
 */
#ifndef IO_SOCKET_H
#define IO_SOCKET_H

#include "io/address.h"
#include "io/loop.h"

#include <sys/uio.h>

typedef struct io_socket io_socket;
typedef struct io_listener io_listener;

/* What happens on a socket. `user` is the creator's. Each callback may close
 * the socket. */
typedef struct io_socket_events {
  /* io_socket_connect came to an end: 0, CAW_ECONN, CAW_ETIMEDOUT, CAW_EACCES,
   * CAW_ELIMIT, CAW_ESYS; with TLS its handshake did, on a server too: also
   * CAW_ETLS, CAW_ENOMEM. After an error only io_socket_close is legal. */
  void (*on_connect)(void *user, int rc);
  /* Bytes came; borrowed for the callback. At most a bounded number of reads
   * per turn (fairness). */
  void (*on_read)(void *user, const uint8_t *data, size_t len);
  /* The peer closed its side (CAW_EEND) or the socket broke (CAW_ECONN,
   * CAW_ESYS). Told once; nothing is read afterwards. */
  void (*on_end)(void *user, int rc);
  /* After io_socket_write took less than all: there is room again. */
  void (*on_writable)(void *user);
} io_socket_events;

/*
 * Begins to connect to `address`; on_connect follows, never inside this call.
 * Returns 0, CAW_ENOMEM, CAW_ELIMIT (descriptors), CAW_ESYS.
 */
int io_socket_connect(io_socket **out, caw_loop *loop, const io_address *address,
                      const io_socket_events *events, void *user);

/* Takes over a connected, non-blocking descriptor (from io_listener). It is
 * closed with the socket; on error it stays the caller's. No on_connect.
 * Returns 0, CAW_ENOMEM, CAW_ESYS. */
int io_socket_adopt(io_socket **out, caw_loop *loop, int fd, const io_socket_events *events,
                    void *user);

/* Starts and stops reading. A new socket does not read. */
void io_socket_read(io_socket *s, bool on);

/*
 * Writes with one writev (EINTR repeated). Returns the bytes that the kernel
 * took, 0 .. total; less than total means on_writable will come. CAW_ECONN or
 * CAW_ESYS when the socket is broken: close it.
 */
long io_socket_write(io_socket *s, const struct iovec *parts, int n);

/* Says that we write no more (FIN); what was written still goes out. */
void io_socket_shutdown(io_socket *s);

/* Does something wait for the kernel to take it? Then on_writable comes once
 * nothing does. */
bool io_socket_waits(const io_socket *s);

/* The bytes that the kernel has taken so far, TLS's own with them: whether a slow
 * peer makes progress. */
uint64_t io_socket_sent(const io_socket *s);

/* Closes and frees, at once; no callback follows. NULL is fine. */
void io_socket_close(io_socket *s);

/* The addresses of the two ends, as text in gRPC's form: "ipv4:127.0.0.1:5",
 * "ipv6:[::1]:5", "unix:/path" ("unix:" for an unnamed peer). Owned by the
 * socket. */
caw_str io_socket_peer(const io_socket *s);
caw_str io_socket_local(const io_socket *s);

/* errno of the last failure, for messages; 0 when there was none. */
int io_socket_errno(const io_socket *s);

/* What a filter (filter.h) has to say of a failure or a delay, a text for people
 * that is the socket's; NULL: nothing. */
const char *io_socket_why(const io_socket *s);

/*
 * Listens on `address` (SO_REUSEADDR; TCP_NODELAY on what it accepts; for
 * IPv6's wildcard dual-stack). A Unix socket's stale file, one that nobody
 * answers on, is removed first; the file is removed at close. on_accept gets
 * a non-blocking, close-on-exec descriptor that is the receiver's to adopt
 * or close; it runs on the loop's thread, for at most a bounded number of
 * connections per turn. When descriptors run out the listener pauses for
 * 100 ms rather than spin. Returns 0, CAW_EADDRINUSE, CAW_EACCES, CAW_EADDR,
 * CAW_ELIMIT, CAW_ENOMEM, CAW_ESYS; errno tells more.
 */
int io_listener_new(io_listener **out, caw_loop *loop, const io_address *address,
                    void (*on_accept)(void *user, int fd), void *user);

/* The address that it is bound to, with the real port. */
const io_address *io_listener_address(const io_listener *l);

/* Stops listening and frees; NULL is fine. Connections that wait in the
 * kernel's queue are accepted first. */
void io_listener_close(io_listener *l);

#endif
