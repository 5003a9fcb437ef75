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
 * Reads little in each turn of the loop, 1 KiB: what came is hardly worth its work, and others
 * wait. With each turn in which there was more to read it is twice as much from then on, up to
 * 256 KiB. A new socket begins with 4 KiB.
 */
void io_socket_slow(io_socket *s);
/* What was there by then has been read, and inside on_read: before this. On the loop's clock; 0: it
 * was never seen that all was read. */
uint64_t io_socket_drained_at(const io_socket *s);

/*
 * Writes with one writev (EINTR repeated). Returns the bytes that the kernel
 * took, 0 .. total; less than total means on_writable will come. CAW_ECONN or
 * CAW_ESYS when the socket is broken: close it.
 */
long io_socket_write(io_socket *s, const struct iovec *parts, int n);

/*
 * How many bytes the kernel has taken so far, those of TLS itself with them, and how many of them
 * are with the peer's system: the difference waits in ours (a Unix socket: until the peer has read
 * them, and rather too many are said to wait). Without knowledge both are the same.
 */
uint64_t io_socket_sent(const io_socket *s);
uint64_t io_socket_delivered(const io_socket *s);

/* TCP: the connection breaks when what was written is not acknowledged within
 * `timeout` nanoseconds (gRFC A18; TCP_USER_TIMEOUT). Does nothing to others. */
void io_socket_user_timeout(io_socket *s, uint64_t timeout);

/* Says that we write no more (FIN); what was written still goes out. */
void io_socket_shutdown(io_socket *s);

/* Does something wait for the kernel to take it? Then on_writable comes once
 * nothing does. */
bool io_socket_waits(const io_socket *s);

/* What was written need not arrive: io_socket_close will tell the peer so (RST), and the
 * kernel forgets it at once rather than in minutes. */
void io_socket_abort(io_socket *s);

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

/* The same for a Unix socket that only this user may connect to: its file is 0600. */
int io_listener_new_private(io_listener **out, caw_loop *loop, const io_address *address,
                            void (*on_accept)(void *user, int fd), void *user);

/* The file of a Unix socket, by what it is and not by its name. */
typedef struct io_socket_file {
  uint64_t dev, ino; /* both 0: none, or not ours to remove */
} io_socket_file;

/*
 * Is to listen on a socket that listens already, which somebody else has made: `fd` is taken
 * over, made non-blocking and close-on-exec; on an error it stays the caller's. Others have
 * the socket too: at close its file and the connections that wait are left to them, until
 * io_listener_own. Nothing is accepted before io_listener_begin. Returns 0, CAW_EINVAL (not a
 * listening stream socket of TCP or Unix), CAW_ENOMEM, CAW_ELIMIT, CAW_ESYS.
 */
int io_listener_adopt(io_listener **out, caw_loop *loop, int fd,
                      void (*on_accept)(void *user, int fd), void *user);

/* An adopted one begins to accept. */
void io_listener_begin(io_listener *l);

/* Whoever had the socket before has left it to us: at close `file` is removed, and unless it
 * is still `shared` with others the connections that wait are accepted. */
void io_listener_own(io_listener *l, io_socket_file file, bool shared);

/* For handing it on: the descriptor, which stays the listener's, and its file. */
int io_listener_fd(const io_listener *l);
bool io_listener_shared(const io_listener *l);
io_socket_file io_listener_file(const io_listener *l);

/* Another process goes on with the socket: io_listener_close will leave its file and
 * the connections that wait to it. */
void io_listener_leave(io_listener *l);

/* The address that it is bound to, with the real port. */
const io_address *io_listener_address(const io_listener *l);

/* Stops listening and frees; NULL is fine. Connections that wait in the
 * kernel's queue are accepted first. */
void io_listener_close(io_listener *l);

#endif
