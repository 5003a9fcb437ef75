/*
 * A listening socket. A Unix socket is also a file, and most of this is about
 * that file: whose it is, and that it is gone when nobody listens.
 */
#include "io/socket.h"

#include "io/sys.h"
#include "io/watch.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Connections per turn: a storm of them leaves time for those that are there. */
enum { ACCEPTS_PER_EVENT = 64 };

/* Connections that io_listener_close still takes: as many as the kernel may
 * queue (net.core.somaxconn), so that new ones cannot keep it from its end. */
enum { ACCEPTS_AT_CLOSE = 4096 };

/* The kernel cuts it to net.core.somaxconn. */
enum { BACKLOG = 4096 };

/* A socket nobody can accept from stays readable; waiting is what remains. */
#define PAUSE_NS UINT64_C(100000000)

struct io_listener {
  io_watch watch;
  io_timer pause;
  void (*on_accept)(void *user, int fd);
  void *user;
  int fd;
  bool closing;
  bool is_file; /* a Unix socket with a path: */
  dev_t dev;
  ino_t ino;
  io_address address;
};

/* --- accepting ----------------------------------------------------------- */

/* Errors of one connection, not of the listener: accept(2) passes on what
 * already happened to it. */
static bool is_theirs(int err) {
  switch (err) {
  case EINTR:
  case ECONNABORTED:
  case EPROTO:
  case EPERM: /* a firewall's rule */
  case ENETDOWN:
  case ENOPROTOOPT:
  case EHOSTDOWN:
  case ENONET:
  case EHOSTUNREACH:
  case EOPNOTSUPP:
  case ENETUNREACH:
    return true;
  default:
    return false;
  }
}

/* Accepts up to `most` connections. Returns 0, or the errno of a listener that
 * cannot accept now. */
static int accept_some(io_listener *l, int most, const bool *enough) {
  for (int i = 0; i < most && !*enough; i++) {
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) l->on_accept(l->user, fd);
    else if (errno == EAGAIN) return 0;
    else if (!is_theirs(errno)) return errno;
  }
  return 0;
}

static void ready(io_watch *w, int events, bool broken) {
  io_listener *l = (io_listener *)w;
  (void)events;
  int err = broken ? EBADF : accept_some(l, ACCEPTS_PER_EVENT, &l->closing);
  if (!err || l->closing) return;
  io_watch_set(&l->watch, 0);
  io_timer_start(&l->pause, io_now(w->loop) + PAUSE_NS);
}

static void resume(io_timer *t) {
  io_listener *l = LIST_ENTRY(t, io_listener, pause);
  io_watch_set(&l->watch, UV_READABLE);
}

/* --- the file of a Unix socket ------------------------------------------- */

/* Servers that start at once must not remove each other's new file between
 * bind and listen, when nobody answers yet: each locks the directory meanwhile.
 * The lock is advisory and nothing but us wants it, so it is waited for, but
 * not for long. Returns a descriptor to close, or -1 when there is no lock to
 * be had: then it goes without, as everywhere else. */
static int lock_directory(const char *path) {
  char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1] = ".";
  const char *slash = strrchr(path, '/');
  if (slash) {
    size_t n = (size_t)(slash - path) + 1;
    memcpy(dir, path, n);
    dir[n] = 0;
  }
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB); i++) {
    if (i < 100 && (errno == EWOULDBLOCK || errno == EINTR)) {
      poll(NULL, 0, 2);
      continue;
    }
    close(fd);
    return -1;
  }
  return fd;
}

/* Is the file at this address a socket that nobody listens on? */
static bool is_stale(const io_address *a) {
  struct stat st;
  if (lstat(a->u.local.sun_path, &st) || !S_ISSOCK(st.st_mode)) return false;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  bool refused = connect(fd, &a->u.any, a->len) != 0 && errno == ECONNREFUSED;
  close(fd);
  return refused;
}

static int bind_file(int fd, const io_address *a) {
  if (bind(fd, &a->u.any, a->len) == 0) return 0;
  int err = errno;
  if (err == EADDRINUSE && is_stale(a) && unlink(a->u.local.sun_path) == 0)
    return bind(fd, &a->u.any, a->len) == 0 ? 0 : errno;
  return err;
}

static int listen_file(io_listener *l, const io_address *a) {
  struct stat st;
  int lock = lock_directory(a->u.local.sun_path);
  int err = bind_file(l->fd, a);
  if (!err && lstat(a->u.local.sun_path, &st) == 0) {
    l->is_file = true;
    l->dev = st.st_dev;
    l->ino = st.st_ino;
  }
  if (!err && listen(l->fd, BACKLOG)) err = errno;
  if (lock >= 0) close(lock);
  return err;
}

/* Removes the file unless it is another's by now. */
static void remove_file(const io_listener *l) {
  struct stat st;
  const char *path = l->address.u.local.sun_path;
  if (!l->is_file || lstat(path, &st)) return;
  if (st.st_dev == l->dev && st.st_ino == l->ino) unlink(path);
}

/* --- life ---------------------------------------------------------------- */

static void set_options(int fd, const io_address *a) {
  int one = 1, zero = 0;
  if (a->u.any.sa_family == AF_UNIX) return;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* inherited by what it accepts */
  if (a->u.any.sa_family != AF_INET6) return;
  struct sockaddr_in6 in6;
  memcpy(&in6, &a->u, sizeof(in6));
  if (IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr))
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
}

/* Binds and listens. Returns 0 or an errno. */
static int open_listener(io_listener *l, const io_address *a) {
  const struct sockaddr_un *local = &a->u.local;
  bool file = a->u.any.sa_family == AF_UNIX && local->sun_path[0];
  l->fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (l->fd < 0) return errno;
  set_options(l->fd, a);
  if (file) {
    int err = listen_file(l, a);
    l->address = *a;
    return err;
  }
  if (bind(l->fd, &a->u.any, a->len) || listen(l->fd, BACKLOG)) return errno;
  l->address.len = sizeof(l->address.u);
  return getsockname(l->fd, &l->address.u.any, &l->address.len) ? errno : 0;
}

static int listen_code(int err) {
  int rc = io_sys_error(err);
  return rc == CAW_EINVAL || rc == CAW_ECONN || rc == CAW_ETIMEDOUT ? CAW_ESYS : rc;
}

int io_listener_new(io_listener **out, caw_loop *loop, const io_address *address,
                    void (*on_accept)(void *user, int fd), void *user) {
  io_assert_on_loop(loop);
  int rc = CAW_ENOMEM, err = ENOMEM;
  io_listener *l = caw_calloc(1, sizeof(*l));
  if (!l) goto fail;
  l->fd = -1;
  l->on_accept = on_accept;
  l->user = user;
  if (io_timer_init(&l->pause, loop, resume)) goto fail_memory;
  err = open_listener(l, address);
  rc = err ? listen_code(err) : io_watch_init(&l->watch, loop, l->fd, ready);
  if (rc) goto fail_open;
  io_watch_set(&l->watch, UV_READABLE);
  *out = l;
  return 0;
fail_open:
  if (!err) err = errno;
  remove_file(l);
  if (l->fd >= 0) close(l->fd);
  io_timer_finish(&l->pause);
fail_memory:
  caw_free(l);
fail:
  errno = err;
  return rc;
}

const io_address *io_listener_address(const io_listener *l) {
  return &l->address;
}

static void closed(io_watch *w) {
  caw_free(w);
}

void io_listener_close(io_listener *l) {
  if (!l || l->closing) return; /* on_accept may call it while it accepts the last ones */
  io_assert_on_loop(l->watch.loop);
  l->closing = true;
  /* Whoever comes from here on finds no file, rather than a queue that ends. */
  remove_file(l);
  bool enough = false;
  accept_some(l, ACCEPTS_AT_CLOSE, &enough);
  io_timer_finish(&l->pause);
  io_watch_close(&l->watch, closed);
  close(l->fd);
}
