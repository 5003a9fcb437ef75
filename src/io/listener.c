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
  bool shared;         /* others have the socket too */
  io_socket_file file; /* ours to remove */
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

static int listen_file(io_listener *l, const io_address *a, mode_t mode) {
  struct stat st;
  int lock = lock_directory(a->u.local.sun_path);
  /* Linux gives the file the mode of the descriptor; elsewhere nobody can connect
   * before it listens. */
  if (mode) fchmod(l->fd, mode);
  int err = bind_file(l->fd, a);
  if (!err && lstat(a->u.local.sun_path, &st) == 0)
    l->file = (io_socket_file){st.st_dev, st.st_ino};
  if (!err && mode && chmod(a->u.local.sun_path, mode)) err = errno;
  if (!err && listen(l->fd, BACKLOG)) err = errno;
  if (lock >= 0) close(lock);
  return err;
}

/* Removes the file unless it is another's by now. */
static void remove_file(const io_listener *l) {
  struct stat st;
  const char *path = l->address.u.local.sun_path;
  if (!l->file.ino || lstat(path, &st)) return;
  if (st.st_dev == l->file.dev && st.st_ino == l->file.ino) unlink(path);
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
static int open_listener(io_listener *l, const io_address *a, mode_t mode) {
  const struct sockaddr_un *local = &a->u.local;
  bool file = a->u.any.sa_family == AF_UNIX && local->sun_path[0];
  l->fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (l->fd < 0) return errno;
  set_options(l->fd, a);
  if (file) {
    int err = listen_file(l, a, mode);
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

/* A listener without a socket; NULL when memory is out. */
static io_listener *make(caw_loop *loop, void (*on_accept)(void *user, int fd), void *user) {
  io_assert_on_loop(loop);
  io_listener *l = caw_calloc(1, sizeof(*l));
  if (!l) return NULL;
  l->fd = -1;
  l->on_accept = on_accept;
  l->user = user;
  if (!io_timer_init(&l->pause, loop, resume)) return l;
  caw_free(l);
  return NULL;
}

static int listen_at(io_listener **out, caw_loop *loop, const io_address *address, mode_t mode,
                     void (*on_accept)(void *user, int fd), void *user) {
  int rc = CAW_ENOMEM, err = ENOMEM;
  io_listener *l = make(loop, on_accept, user);
  if (!l) goto fail;
  err = open_listener(l, address, mode);
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
  caw_free(l);
fail:
  errno = err;
  return rc;
}

int io_listener_new(io_listener **out, caw_loop *loop, const io_address *address,
                    void (*on_accept)(void *user, int fd), void *user) {
  return listen_at(out, loop, address, 0, on_accept, user);
}

int io_listener_new_private(io_listener **out, caw_loop *loop, const io_address *address,
                            void (*on_accept)(void *user, int fd), void *user) {
  return listen_at(out, loop, address, S_IRUSR | S_IWUSR, on_accept, user);
}

/* --- sockets of others --------------------------------------------------- */

static bool has(int fd, int option, int want) {
  int value = 0;
  socklen_t len = sizeof(value);
  return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == want;
}

/* What io_listener_new would have made of the descriptor. */
static int prepare(int fd, io_address *address) {
  int one = 1;
  address->len = sizeof(address->u);
  if (!has(fd, SO_ACCEPTCONN, 1) || !has(fd, SO_TYPE, SOCK_STREAM)) return CAW_EINVAL;
  if (getsockname(fd, &address->u.any, &address->len)) return CAW_ESYS;
  sa_family_t family = address->u.any.sa_family;
  if (family != AF_UNIX && family != AF_INET && family != AF_INET6) return CAW_EINVAL;
  if (family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  int flags = fcntl(fd, F_GETFL), more = fcntl(fd, F_GETFD);
  if (flags < 0 || more < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
      fcntl(fd, F_SETFD, more | FD_CLOEXEC))
    return CAW_ESYS;
  return 0;
}

int io_listener_adopt(io_listener **out, caw_loop *loop, int fd, io_socket_file file, bool shared,
                      void (*on_accept)(void *user, int fd), void *user) {
  io_listener *l = make(loop, on_accept, user);
  if (!l) return CAW_ENOMEM;
  int rc = prepare(fd, &l->address);
  if (!rc) rc = io_watch_init(&l->watch, loop, fd, ready);
  if (rc) {
    io_timer_finish(&l->pause);
    caw_free(l);
    return rc;
  }
  l->fd = fd;
  l->shared = shared;
  l->file = file;
  io_watch_set(&l->watch, UV_READABLE);
  *out = l;
  return 0;
}

int io_listener_fd(const io_listener *l) {
  return l->fd;
}

bool io_listener_shared(const io_listener *l) {
  return l->shared;
}

io_socket_file io_listener_file(const io_listener *l) {
  return l->file;
}

void io_listener_leave(io_listener *l) {
  l->shared = true;
  l->file = (io_socket_file){0, 0};
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
  if (!l->shared) accept_some(l, ACCEPTS_AT_CLOSE, &enough);
  io_timer_finish(&l->pause);
  io_watch_close(&l->watch, closed);
  close(l->fd);
}
