/*
 * A connected stream socket. Reads and writes are plain recv and sendmsg;
 * libuv only says when. What is not here: listening (listener.c), TLS, which is a
 * filter between the socket and its owner (filter.h).
 *
 * What is waited for follows from the state, in one place (wanted()). While
 * nobody reads, only a broken connection is of interest, which epoll reports
 * whatever it is asked for. But libuv watches nothing when asked for nothing,
 * and level-triggered epoll repeats what nobody consumes, so a paused socket
 * goes down a staircase: it waits for the peer's FIN; once that came and was
 * not an error, for urgent data, which never comes; once even that came, for
 * nothing.
 */
#include "io/filter.h"

#include "base/utf8.h"
#include "io/sys.h"
#include "io/watch.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Bytes read in one turn, after which other sockets get theirs: see io_socket_slow. */
enum { TURN_SLOW = 1024, TURN_LEAST = 4096, TURN_MOST = 262144 };

/* Room for the text of any IP address. */
enum { IP_TEXT = 80 };

typedef enum socket_state {
  SOCKET_CONNECTING, /* connect() is under way */
  SOCKET_SETTLED,    /* connect() came to its end at once; on_connect is due */
  SOCKET_OPEN,       /* reads and writes */
  SOCKET_ENDED,      /* on_end was called: may still write */
  SOCKET_FAILED,     /* on_connect was called with an error */
  SOCKET_CLOSED      /* io_socket_close was called */
} socket_state;

/* The staircase of a socket that is not read. */
typedef enum pause_step { PAUSE_FIN, PAUSE_URGENT, PAUSE_NOTHING } pause_step;

struct io_socket {
  io_watch watch;
  io_task settle; /* what must not happen inside the call that makes a socket */
  const io_socket_events *events;
  void *user;
  io_filter *filter; /* between the socket and its owner, or NULL */
  int fd;
  uint64_t sent;    /* bytes */
  uint64_t drained; /* io_socket_drained_at */
  uint64_t looked;  /* when there was more to read than a turn takes: */
  size_t ahead;     /* so many bytes of it are still to come */
  uint32_t turn;    /* how many are read in one */
  int err;          /* errno of the last failure */
  uint8_t state;
  uint8_t step;
  bool reading;
  bool more;    /* not all was read that there was in the last turn, or nobody has looked */
  bool slowed;  /* io_socket_slow was called for what this turn reads */
  bool full;    /* a write took less than all: on_writable is due */
  bool in_call; /* inside `ready`, which sets the mask at its end */
  uint8_t peer_len, local_len, local_room;
  char text[]; /* peer, then local */
};

static int wanted(const io_socket *s) {
  static const int paused[] = {UV_DISCONNECT, UV_PRIORITIZED, 0};
  int write = s->full ? UV_WRITABLE : 0;
  switch ((socket_state)s->state) {
  case SOCKET_CONNECTING:
    return UV_WRITABLE;
  case SOCKET_OPEN:
    return write | (s->reading ? UV_READABLE : paused[s->step]);
  case SOCKET_ENDED:
    return write;
  case SOCKET_SETTLED:
  case SOCKET_FAILED:
  case SOCKET_CLOSED:
  default:
    return 0;
  }
}

static void update(io_socket *s) {
  if (!s->in_call && s->state != SOCKET_CLOSED) io_watch_set(&s->watch, wanted(s));
}

/* --- ends ---------------------------------------------------------------- */

/* What a failed call says about the connection: whatever the network did to it
 * is CAW_ECONN. */
static int broken_code(int err) {
  int rc = io_sys_error(err);
  return rc == CAW_ECONN || rc == CAW_ETIMEDOUT ? CAW_ECONN : CAW_ESYS;
}

static int connect_code(int err) {
  int rc = io_sys_error(err);
  switch (rc) {
  case CAW_ETIMEDOUT:
  case CAW_EACCES:
    return rc;
  case CAW_ENOMEM:
  case CAW_ELIMIT:
    return CAW_ELIMIT;
  case CAW_EADDR: /* no such Unix socket; ::1 on a machine without IPv6 */
  case CAW_ECONN:
    return CAW_ECONN;
  default:
    return err == EAGAIN ? CAW_ECONN : CAW_ESYS; /* a Unix socket's full backlog */
  }
}

static void tell_end(io_socket *s, int rc) {
  s->state = SOCKET_ENDED;
  s->events->on_end(s->user, rc);
}

static void take_error(io_socket *s, int fallback) {
  int err = 0;
  socklen_t len = sizeof(err);
  if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len)) err = errno;
  s->err = err ? err : fallback;
}

/* --- names --------------------------------------------------------------- */

typedef int (*name_fn)(int fd, struct sockaddr *addr, socklen_t *len);

static size_t name_text(char out[IO_ADDRESS_TEXT], int fd, name_fn name) {
  io_address a;
  memset(&a, 0, sizeof(a));
  a.len = sizeof(a.u);
  if (name(fd, &a.u.any, &a.len)) a.len = 0;
  size_t n = io_address_format(out, &a);
  utf8_mend(out, n); /* a peer at a Unix socket chooses the name of its own */
  return n;
}

/* --- connecting ---------------------------------------------------------- */

static void connected(io_socket *s) {
  char text[IO_ADDRESS_TEXT];
  size_t n = name_text(text, s->fd, getsockname);
  s->local_len = (uint8_t)(n < s->local_room ? n : s->local_room);
  memcpy(s->text + s->peer_len, text, s->local_len);
  bool ip = s->local_len >= 3 && memcmp(text, "ipv", 3) == 0;
  /* A port of this machine from which nobody listens can be given to the very
   * socket that connects to it; it would talk to itself. */
  if (ip && caw_str_eq(io_socket_peer(s), io_socket_local(s))) s->err = ECONNREFUSED;
}

static void tell_connect(io_socket *s) {
  if (!s->err) connected(s);
  s->state = s->err ? SOCKET_FAILED : SOCKET_OPEN;
  s->events->on_connect(s->user, s->err ? connect_code(s->err) : 0);
}

static void settle(io_task *task) {
  io_socket *s = LIST_ENTRY(task, io_socket, settle);
  s->in_call = true;
  if (s->state == SOCKET_SETTLED) tell_connect(s);
  s->in_call = false;
  update(s);
}

/* --- reading ------------------------------------------------------------- */

/* The kernel had no more. */
static void drained(io_socket *s, uint64_t at) {
  s->drained = at;
  s->ahead = 0;
  s->more = false;
}

/* Before the first bytes of a turn: they came later than the loop knows of silence. */
static void learn_silence(io_socket *s) {
  if (s->more) return;
  uint64_t silent = io_silent_until(s->watch.loop);
  if (silent > s->drained) s->drained = silent;
}

/* The turn is over. How much is there that came before this? */
static void look_ahead(io_socket *s) {
  int n;
  s->more = true;
  if (s->ahead || !s->reading || s->state != SOCKET_OPEN) return;
  if (ioctl(s->fd, FIONREAD, &n) || n < 0) return;
  s->looked = io_now(s->watch.loop);
  s->ahead = (size_t)n;
  if (!n) drained(s, s->looked);
}

/* `n` bytes were read, which is no more than there were ahead, if there were any. */
static void passed(io_socket *s, size_t n) {
  if (!s->ahead) return;
  s->ahead -= n;
  if (!s->ahead) s->drained = s->looked;
}

/* Reads for one turn. A `broken` connection is read to its end, which a short read is not. */
static void read_some(io_socket *s, bool broken) {
  const uint32_t turn = s->turn;
  s->slowed = false;
  size_t taken = 0;
  learn_silence(s);
  while ((broken || taken < s->turn) && s->state == SOCKET_OPEN && s->reading) {
    size_t room;
    uint8_t *data = io_scratch(s->watch.loop, &room);
    if (!broken && room > s->turn - taken) room = s->turn - taken;
    if (s->ahead && room > s->ahead) room = s->ahead;
    ssize_t n = recv(s->fd, data, room, 0);
    if (n > 0) {
      taken += (size_t)n;
      /* A turn may have begun long before these bytes were sent, when the machine is busy: a
       * deadline that counts from there would end too early. */
      io_time_passed(s->watch.loop);
      uint64_t at = io_now(s->watch.loop);
      s->events->on_read(s->user, data, (size_t)n);
      if ((size_t)n < room && s->reading && !broken) { /* no need to ask */
        drained(s, at);
        return;
      }
      passed(s, (size_t)n);
    } else if (n == 0) {
      /* After an error that a write was told, recv only says that it is over. */
      tell_end(s, s->err ? broken_code(s->err) : CAW_EEND);
    } else if (errno == EAGAIN) {
      drained(s, io_now(s->watch.loop));
      return;
    } else if (errno != EINTR) {
      s->err = errno;
      tell_end(s, broken_code(s->err));
    }
  }
  look_ahead(s);
  if (taken == turn && !s->slowed && turn < TURN_MOST) s->turn *= 2;
}

uint64_t io_socket_drained_at(const io_socket *s) {
  return s->drained;
}

void io_socket_slow(io_socket *s) {
  s->turn = TURN_SLOW;
  s->slowed = true;
}

static void ready_broken(io_socket *s) {
  /* What came before is still read; it is no more than a receive buffer. */
  read_some(s, true);
  if (s->state == SOCKET_OPEN && !s->reading) {
    take_error(s, ECONNRESET);
    tell_end(s, broken_code(s->err));
  }
  /* Whoever waits to write learns it from the write. */
  if ((s->state == SOCKET_OPEN || s->state == SOCKET_ENDED) && s->full) {
    s->full = false;
    s->events->on_writable(s->user);
  }
}

static void ready_open(io_socket *s, int events) {
  if (s->reading) {
    if (events & UV_READABLE) read_some(s, false);
  } else if (s->step < PAUSE_NOTHING && s->state == SOCKET_OPEN &&
             (events & (UV_DISCONNECT | UV_PRIORITIZED))) {
    s->step++;
  }
  if ((s->state == SOCKET_OPEN || s->state == SOCKET_ENDED) && (events & UV_WRITABLE) && s->full) {
    s->full = false;
    s->events->on_writable(s->user);
  }
}

static void ready(io_watch *w, int events, bool broken) {
  io_socket *s = (io_socket *)w;
  s->in_call = true;
  if (s->state == SOCKET_CONNECTING) {
    take_error(s, broken ? ECONNREFUSED : 0);
    tell_connect(s);
  } else if (broken) {
    ready_broken(s);
  } else {
    ready_open(s, events);
  }
  s->in_call = false;
  update(s);
}

/* --- life ---------------------------------------------------------------- */

static int make(io_socket **out, caw_loop *loop, int fd, size_t text,
                const io_socket_events *events, void *user) {
  io_socket *s = caw_malloc(sizeof(*s) + text);
  if (!s) return CAW_ENOMEM;
  memset(s, 0, sizeof(*s));
  io_task_init(&s->settle, settle);
  s->events = events;
  s->user = user;
  s->fd = fd;
  s->turn = TURN_LEAST;
  s->more = true;
  int rc = io_watch_init(&s->watch, loop, fd, ready);
  if (rc) {
    caw_free(s);
    return rc == CAW_ENOMEM || rc == CAW_ELIMIT ? rc : CAW_ESYS;
  }
  *out = s;
  return 0;
}

int io_socket_adopt(io_socket **out, caw_loop *loop, int fd, const io_socket_events *events,
                    void *user) {
  char peer[IO_ADDRESS_TEXT], local[IO_ADDRESS_TEXT];
  size_t peer_len = name_text(peer, fd, getpeername);
  size_t local_len = name_text(local, fd, getsockname);
  io_socket *s;
  int rc = make(&s, loop, fd, peer_len + local_len, events, user);
  if (rc) return rc;
  s->peer_len = (uint8_t)peer_len;
  s->local_len = s->local_room = (uint8_t)local_len;
  memcpy(s->text, peer, peer_len);
  memcpy(s->text + peer_len, local, local_len);
  s->state = SOCKET_OPEN;
  /* Its owner is about to say whether it reads; until then libuv is spared. */
  io_defer(loop, &s->settle);
  *out = s;
  return 0;
}

static int open_socket(int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  if (fd >= 0 && family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  return fd;
}

int io_socket_connect(io_socket **out, caw_loop *loop, const io_address *address,
                      const io_socket_events *events, void *user) {
  char peer[IO_ADDRESS_TEXT];
  size_t peer_len = io_address_format(peer, address);
  int fd = open_socket(address->u.any.sa_family);
  if (fd < 0) {
    int rc = io_sys_error(errno);
    return rc == CAW_ENOMEM || rc == CAW_ELIMIT ? rc : CAW_ESYS;
  }
  io_socket *s;
  int rc = make(&s, loop, fd, peer_len + IP_TEXT, events, user);
  if (rc) {
    close(fd);
    return rc;
  }
  s->peer_len = (uint8_t)peer_len;
  s->local_room = IP_TEXT;
  memcpy(s->text, peer, peer_len);
  /* EINTR: the connection goes on being made, as after EINPROGRESS. */
  bool done = connect(fd, &address->u.any, address->len) == 0;
  if (!done && (errno == EINPROGRESS || errno == EINTR)) {
    s->state = SOCKET_CONNECTING;
    update(s);
  } else {
    s->err = done ? 0 : errno;
    s->state = SOCKET_SETTLED;
    io_defer(loop, &s->settle);
  }
  *out = s;
  return 0;
}

static void closed(io_watch *w) {
  caw_free(w);
}

void io_socket_close(io_socket *s) {
  if (!s) return;
  assert(s->state != SOCKET_CLOSED);
  io_filter *filter = s->filter;
  if (filter) filter->cls->close(filter);
  s->filter = NULL;
  s->state = SOCKET_CLOSED;
  io_task_cancel(&s->settle);
  io_watch_close(&s->watch, closed);
  close(s->fd); /* libuv has forgotten the descriptor by now */
}

/* --- for the owner ------------------------------------------------------- */

void io_raw_read(io_socket *s, bool on) {
  s->reading = on;
  if (!on) { /* a filter may have kept some of what was read */
    s->more = true;
    s->ahead = 0;
  }
  update(s);
}

void io_socket_read(io_socket *s, bool on) {
  io_assert_on_loop(s->watch.loop);
  if (s->filter) s->filter->cls->read(s->filter, on);
  else io_raw_read(s, on);
}

long io_raw_write(io_socket *s, const struct iovec *parts, int n) {
  if (s->state != SOCKET_OPEN && s->state != SOCKET_ENDED) return CAW_ESTATE;
  size_t total = 0;
  for (int i = 0; i < n; i++) total += parts[i].iov_len;
  if (total == 0) return 0;
  struct msghdr m = {.msg_iov = (struct iovec *)parts};
  m.msg_iovlen = (size_t)(n < IOV_MAX ? n : IOV_MAX);
  ssize_t took;
  do took = sendmsg(s->fd, &m, MSG_NOSIGNAL);
  while (took < 0 && errno == EINTR);
  if (took < 0 && errno != EAGAIN) {
    s->err = errno;
    return broken_code(s->err);
  }
  if (took < 0) took = 0;
  s->sent += (uint64_t)took;
  if ((size_t)took < total) {
    s->full = true;
    update(s);
  }
  return took;
}

long io_socket_write(io_socket *s, const struct iovec *parts, int n) {
  io_assert_on_loop(s->watch.loop);
  return s->filter ? s->filter->cls->write(s->filter, parts, n) : io_raw_write(s, parts, n);
}

bool io_socket_waits(const io_socket *s) {
  return s->filter ? s->filter->cls->waits(s->filter) : s->full;
}

uint64_t io_socket_sent(const io_socket *s) {
  return s->sent;
}

uint64_t io_socket_delivered(const io_socket *s) {
  int waiting = 0;
  if (ioctl(s->fd, SIOCOUTQ, &waiting) || waiting < 0) return s->sent;
  return (uint64_t)waiting < s->sent ? s->sent - (uint64_t)waiting : 0;
}

void io_socket_user_timeout(io_socket *s, uint64_t timeout) {
  uint64_t ms = timeout / 1000000;
  unsigned value = ms < INT_MAX ? (unsigned)ms : INT_MAX;
  if (!value) value = 1; /* 0 is the system's default */
  setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value,
             sizeof(value)); /* a Unix socket has none */
}

void io_socket_abort(io_socket *s) {
  const struct linger none = {1, 0};
  setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

void io_raw_shutdown(io_socket *s) {
  shutdown(s->fd, SHUT_WR); /* fails only when the socket is broken: reading tells */
}

void io_socket_shutdown(io_socket *s) {
  io_assert_on_loop(s->watch.loop);
  if (s->filter) s->filter->cls->shutdown(s->filter);
  else io_raw_shutdown(s);
}

void io_socket_filter(io_socket *s, io_filter *filter, const io_socket_events *events) {
  assert(!s->filter);
  s->filter = filter;
  filter->socket = s;
  filter->events = s->events;
  filter->user = s->user;
  s->events = events;
  s->user = filter;
}

io_filter *io_socket_filtered(const io_socket *s) {
  return s->filter;
}

caw_loop *io_socket_loop(const io_socket *s) {
  return s->watch.loop;
}

caw_str io_socket_peer(const io_socket *s) {
  return caw_str_of(s->text, s->peer_len);
}

caw_str io_socket_local(const io_socket *s) {
  return caw_str_of(s->text + s->peer_len, s->local_len);
}

int io_socket_errno(const io_socket *s) {
  return s->err;
}

const char *io_socket_why(const io_socket *s) {
  return s->filter ? s->filter->cls->why(s->filter) : NULL;
}
