/*
 * The functions of faults.h. They have other names in C, as the headers declare some of them in
 * ways that differ; the real ones are found behind this program in the order of its libraries.
 */
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

const char *const fault_names[CALL_KINDS] = {
    "socket",     "bind",          "listen",      "accept4",     "connect",       "recv",
    "recvfrom",   "recvmsg",       "send",        "sendto",      "sendmsg",       "read",
    "getsockopt", "setsockopt",    "getsockname", "getpeername", "shutdown",      "ioctl",
    "fcntl",      "open",          "fstat",       "lstat",       "chmod",         "unlink",
    "close",      "poll",          "pipe2",       "eventfd",     "epoll_create1", "epoll_ctl",
    "epoll_wait", "pthread_create"};

/* ---- What is to fail ---- */

enum { FDS = 4096, OURS = 1, POLLED = 2 };

static struct {
  atomic_bool on, paused, marking, struck;
  atomic_int call, err;
  atomic_long first, last; /* the numbers of those that fail */
  atomic_long counted[CALL_KINDS];
  atomic_uchar fds[FDS];
} faults;

static bool ours(int fd) {
  return fd >= 0 && fd < FDS && (atomic_load(&faults.fds[fd]) & OURS);
}

static int mark(int fd) {
  if (fd >= 0 && fd < FDS)
    atomic_store(&faults.fds[fd], atomic_load(&faults.marking) && !atomic_load(&faults.paused));
  return fd;
}

/* What becomes of this call: 0 nothing, an errno, FAULT_SHORT. */
static int fate(fault_call call) {
  if (!atomic_load(&faults.on) || atomic_load(&faults.paused)) return 0;
  long n = atomic_fetch_add(&faults.counted[call], 1) + 1;
  if ((int)call != atomic_load(&faults.call) || n < atomic_load(&faults.first) ||
      n > atomic_load(&faults.last))
    return 0;
  atomic_store(&faults.struck, true);
  return atomic_load(&faults.err);
}

/* Does a call fail? Then errno is set. */
static bool fails(fault_call call) {
  int err = fate(call);
  if (err > 0) errno = err;
  return err > 0;
}

static bool fails_on(fault_call call, int fd) {
  return ours(fd) && fails(call);
}

void faults_arm(fault_call call, int err, long n, long times) {
  atomic_store(&faults.on, false);
  for (int i = 0; i < CALL_KINDS; i++) atomic_store(&faults.counted[i], 0);
  atomic_store(&faults.call, n ? (int)call : -1);
  atomic_store(&faults.err, err);
  atomic_store(&faults.first, n);
  atomic_store(&faults.last, n + times - 1);
  atomic_store(&faults.struck, false);
  atomic_store(&faults.on, true);
}

void faults_disarm(void) {
  atomic_store(&faults.on, false);
}

bool faults_struck(void) {
  return atomic_load(&faults.struck);
}

long faults_counted(fault_call call) {
  return atomic_load(&faults.counted[call]);
}

void faults_mark(bool on) {
  atomic_store(&faults.marking, on);
}

void faults_pause(bool on) {
  atomic_store(&faults.paused, on);
}

/* ---- The functions ---- */

static void *real(const char *name) {
  void *f = dlsym(RTLD_NEXT, name);
  if (!f) abort();
  return f;
}

/* Declares what stands in for a function, gives it the function's name for the linker, and
 * finds the real one. */
#define STANDS_IN(type, name, symbol, ...)                                                         \
  __attribute__((visibility("default"))) type my_##name(__VA_ARGS__) __asm__(symbol);              \
  type my_##name(__VA_ARGS__)
#define REAL(type, symbol, ...)                                                                    \
  static _Atomic(type(*)(__VA_ARGS__)) f;                                                          \
  if (!atomic_load(&f)) {                                                                          \
    union {                                                                                        \
      void *p;                                                                                     \
      type (*f)(__VA_ARGS__);                                                                      \
    } u = {real(symbol)};                                                                          \
    atomic_store(&f, u.f);                                                                         \
  }

STANDS_IN(int, socket, "socket", int family, int type, int protocol) {
  REAL(int, "socket", int, int, int)
  if (atomic_load(&faults.marking) && fails(CALL_SOCKET)) return -1;
  return mark(f(family, type, protocol));
}

STANDS_IN(int, bind, "bind", int fd, const struct sockaddr *a, socklen_t len) {
  REAL(int, "bind", int, const struct sockaddr *, socklen_t)
  return fails_on(CALL_BIND, fd) ? -1 : f(fd, a, len);
}

STANDS_IN(int, listen, "listen", int fd, int backlog) {
  REAL(int, "listen", int, int)
  return fails_on(CALL_LISTEN, fd) ? -1 : f(fd, backlog);
}

/* The listening socket is nobody's: who comes while the mark is on is the victim. What the
 * call reports has happened to that connection, which is gone. */
STANDS_IN(int, accept4, "accept4", int fd, struct sockaddr *a, socklen_t *len, int flags) {
  REAL(int, "accept4", int, struct sockaddr *, socklen_t *, int)
  if (atomic_load(&faults.marking) && fails(CALL_ACCEPT4)) return -1;
  return mark(f(fd, a, len, flags));
}

STANDS_IN(int, connect, "connect", int fd, const struct sockaddr *a, socklen_t len) {
  REAL(int, "connect", int, const struct sockaddr *, socklen_t)
  if (!fails_on(CALL_CONNECT, fd)) return f(fd, a, len);
  int err = errno;
  if (err == EINTR) f(fd, a, len); /* it goes on without us */
  errno = err;
  return -1;
}

#define READS(call, name, symbol, params, types, args, room)                                       \
  STANDS_IN(ssize_t, name, symbol, params) {                                                       \
    REAL(ssize_t, symbol, types)                                                                   \
    int err = ours(fd) ? fate(call) : 0;                                                           \
    if (err > 0) {                                                                                 \
      errno = err;                                                                                 \
      return -1;                                                                                   \
    }                                                                                              \
    if (err == FAULT_SHORT && room > 1) room = 1;                                                  \
    return f(args);                                                                                \
  }
#define LIST(...) __VA_ARGS__

READS(CALL_RECV, recv, "recv", LIST(int fd, void *to, size_t room, int flags),
      LIST(int, void *, size_t, int), LIST(fd, to, room, flags), room)
READS(CALL_RECVFROM, recvfrom, "recvfrom",
      LIST(int fd, void *to, size_t room, int flags, struct sockaddr *a, socklen_t *len),
      LIST(int, void *, size_t, int, struct sockaddr *, socklen_t *),
      LIST(fd, to, room, flags, a, len), room)
READS(CALL_READ, read, "read", LIST(int fd, void *to, size_t room), LIST(int, void *, size_t),
      LIST(fd, to, room), room)
READS(CALL_SEND, send, "send", LIST(int fd, const void *data, size_t room, int flags),
      LIST(int, const void *, size_t, int), LIST(fd, data, room, flags), room)
READS(CALL_SENDTO, sendto, "sendto",
      LIST(int fd, const void *data, size_t room, int flags, const struct sockaddr *a,
           socklen_t len),
      LIST(int, const void *, size_t, int, const struct sockaddr *, socklen_t),
      LIST(fd, data, room, flags, a, len), room)

/* The first byte of the first part that has one. */
static struct msghdr one_byte(const struct msghdr *m, struct iovec *part) {
  struct msghdr one = *m;
  size_t i = 0;
  while (i + 1 < m->msg_iovlen && !m->msg_iov[i].iov_len) i++;
  *part = m->msg_iov[i];
  if (part->iov_len > 1) part->iov_len = 1;
  one.msg_iov = part;
  one.msg_iovlen = 1;
  return one;
}

STANDS_IN(ssize_t, sendmsg, "sendmsg", int fd, const struct msghdr *m, int flags) {
  REAL(ssize_t, "sendmsg", int, const struct msghdr *, int)
  struct iovec part;
  int err = ours(fd) ? fate(CALL_SENDMSG) : 0;
  if (err > 0) {
    errno = err;
    return -1;
  }
  if (err == 0 || !m->msg_iovlen) return f(fd, m, flags);
  const struct msghdr one = one_byte(m, &part);
  return f(fd, &one, flags);
}

STANDS_IN(ssize_t, recvmsg, "recvmsg", int fd, struct msghdr *m, int flags) {
  REAL(ssize_t, "recvmsg", int, struct msghdr *, int)
  struct iovec part;
  int err = ours(fd) ? fate(CALL_RECVMSG) : 0;
  if (err > 0) {
    errno = err;
    return -1;
  }
  if (err == 0 || !m->msg_iovlen) return f(fd, m, flags);
  struct msghdr one = one_byte(m, &part);
  ssize_t n = f(fd, &one, flags);
  m->msg_controllen = one.msg_controllen;
  m->msg_flags = one.msg_flags;
  return n;
}

STANDS_IN(int, getsockopt, "getsockopt", int fd, int level, int name, void *value, socklen_t *len) {
  REAL(int, "getsockopt", int, int, int, void *, socklen_t *)
  return fails_on(CALL_GETSOCKOPT, fd) ? -1 : f(fd, level, name, value, len);
}

STANDS_IN(int, setsockopt, "setsockopt", int fd, int level, int name, const void *value,
          socklen_t len) {
  REAL(int, "setsockopt", int, int, int, const void *, socklen_t)
  return fails_on(CALL_SETSOCKOPT, fd) ? -1 : f(fd, level, name, value, len);
}

STANDS_IN(int, getsockname, "getsockname", int fd, struct sockaddr *a, socklen_t *len) {
  REAL(int, "getsockname", int, struct sockaddr *, socklen_t *)
  return fails_on(CALL_GETSOCKNAME, fd) ? -1 : f(fd, a, len);
}

STANDS_IN(int, getpeername, "getpeername", int fd, struct sockaddr *a, socklen_t *len) {
  REAL(int, "getpeername", int, struct sockaddr *, socklen_t *)
  return fails_on(CALL_GETPEERNAME, fd) ? -1 : f(fd, a, len);
}

STANDS_IN(int, shutdown, "shutdown", int fd, int how) {
  REAL(int, "shutdown", int, int)
  return fails_on(CALL_SHUTDOWN, fd) ? -1 : f(fd, how);
}

/* All that is asked for here has one pointer or number behind the command. */
#define ARGUMENT                                                                                   \
  va_list args;                                                                                    \
  va_start(args, what);                                                                            \
  void *argument = va_arg(args, void *);                                                           \
  va_end(args)

STANDS_IN(int, ioctl, "ioctl", int fd, unsigned long what, ...) {
  REAL(int, "ioctl", int, unsigned long, ...)
  ARGUMENT;
  return fails_on(CALL_IOCTL, fd) ? -1 : f(fd, what, argument);
}

STANDS_IN(int, fcntl, "fcntl", int fd, int what, ...) {
  REAL(int, "fcntl", int, int, ...)
  ARGUMENT;
  return fails_on(CALL_FCNTL, fd) ? -1 : f(fd, what, argument);
}

STANDS_IN(int, fcntl64, "fcntl64", int fd, int what, ...) {
  REAL(int, "fcntl64", int, int, ...)
  ARGUMENT;
  return fails_on(CALL_FCNTL, fd) ? -1 : f(fd, what, argument);
}

STANDS_IN(int, open, "open", const char *path, int what, ...) {
  REAL(int, "open", const char *, int, ...)
  ARGUMENT;
  if (atomic_load(&faults.marking) && fails(CALL_OPEN)) return -1;
  return mark(f(path, what, argument));
}

STANDS_IN(int, fstat, "fstat", int fd, struct stat *st) {
  REAL(int, "fstat", int, struct stat *)
  return fails_on(CALL_FSTAT, fd) ? -1 : f(fd, st);
}

STANDS_IN(int, lstat, "lstat", const char *path, struct stat *st) {
  REAL(int, "lstat", const char *, struct stat *)
  return atomic_load(&faults.marking) && fails(CALL_LSTAT) ? -1 : f(path, st);
}

STANDS_IN(int, chmod, "chmod", const char *path, mode_t mode) {
  REAL(int, "chmod", const char *, mode_t)
  return atomic_load(&faults.marking) && fails(CALL_CHMOD) ? -1 : f(path, mode);
}

STANDS_IN(int, unlink, "unlink", const char *path) {
  REAL(int, "unlink", const char *)
  return atomic_load(&faults.marking) && fails(CALL_UNLINK) ? -1 : f(path);
}

STANDS_IN(int, close, "close", int fd) {
  REAL(int, "close", int)
  bool fail = fails_on(CALL_CLOSE, fd);
  int err = errno;
  if (fd >= 0 && fd < FDS) atomic_store(&faults.fds[fd], 0);
  int rc = f(fd);
  if (!fail) return rc;
  errno = err;
  return -1;
}

STANDS_IN(int, poll, "poll", struct pollfd *fds, nfds_t n, int ms) {
  REAL(int, "poll", struct pollfd *, nfds_t, int)
  return atomic_load(&faults.marking) && fails(CALL_POLL) ? -1 : f(fds, n, ms);
}

STANDS_IN(int, pipe2, "pipe2", int fds[2], int flags) {
  REAL(int, "pipe2", int *, int)
  return atomic_load(&faults.marking) && fails(CALL_PIPE2) ? -1 : f(fds, flags);
}

STANDS_IN(int, eventfd, "eventfd", unsigned value, int flags) {
  REAL(int, "eventfd", unsigned, int)
  return atomic_load(&faults.marking) && fails(CALL_EVENTFD) ? -1 : f(value, flags);
}

STANDS_IN(int, epoll_create1, "epoll_create1", int flags) {
  REAL(int, "epoll_create1", int)
  return atomic_load(&faults.marking) && fails(CALL_EPOLL_CREATE1) ? -1 : f(flags);
}

STANDS_IN(int, epoll_ctl, "epoll_ctl", int epfd, int what, int fd, struct epoll_event *event) {
  REAL(int, "epoll_ctl", int, int, int, struct epoll_event *)
  if (ours(fd) && what == EPOLL_CTL_ADD && !(atomic_load(&faults.fds[fd]) & POLLED)) {
    atomic_fetch_or(&faults.fds[fd], POLLED);
    if (fails(CALL_EPOLL_CTL)) return -1;
  }
  return f(epfd, what, fd, event);
}

STANDS_IN(int, epoll_wait, "epoll_wait", int epfd, struct epoll_event *events, int most, int ms) {
  REAL(int, "epoll_wait", int, struct epoll_event *, int, int)
  return atomic_load(&faults.marking) && fails(CALL_EPOLL_WAIT) ? -1 : f(epfd, events, most, ms);
}

/* By the linker's --wrap: a sanitizer's must be the one that is called. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg) {
  if (atomic_load(&faults.marking) && fails(CALL_PTHREAD_CREATE)) return errno;
  return __real_pthread_create(thread, attr, run, arg);
}
