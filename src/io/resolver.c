/*
 * Names to addresses with c-ares. It does the DNS; here are its sockets and
 * timeouts on the loop, and its answers in Caw's terms. Each look-up has its
 * own channel: there are few, and so the system's configuration is read anew
 * each time and a cancelled look-up leaves nothing behind.
 */
#include "io/resolver.h"

#include "io/sys.h"
#include "io/watch.h"

#include <ares.h>
#include <caw/alloc.h>
#include <caw/status.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>

/* Per name server: 1.5 s and 3 s. c-ares's own 5 s, doubled three times, would
 * make a channel wait 75 s for a dead server. */
enum { TRY_MS = 1500, TRIES = 2 };

/* The end of a look-up, however many servers and search domains there are. */
#define TOTAL_NS UINT64_C(10000000000)

/* More addresses than this of one name are not used. */
enum { MOST_ADDRESSES = 64 };

/* --- c-ares in Caw's terms ----------------------------------------------- */

static int library_rc;

static void start_library(void) {
  library_rc = ares_library_init(ARES_LIB_INIT_ALL);
}

static int code_of(int status, const char **why) {
  switch (status) {
  case ARES_SUCCESS:
    *why = "";
    return 0;
  case ARES_ENOTFOUND:
  case ARES_EBADNAME:
    *why = "the host name does not exist";
    return CAW_ENOTFOUND;
  case ARES_ENODATA:
    *why = "the host name has no address";
    return CAW_ENOTFOUND;
  case ARES_ETIMEOUT:
    *why = "the name server did not answer in time";
    return CAW_ETIMEDOUT;
  case ARES_ECONNREFUSED:
    *why = "no name server could be reached";
    return CAW_ECONN;
  case ARES_ESERVFAIL:
    *why = "the name server could not find out";
    return CAW_ECONN;
  case ARES_EREFUSED:
    *why = "the name server refused the question";
    return CAW_ECONN;
  case ARES_ENOMEM:
    *why = "out of memory";
    return CAW_ENOMEM;
  default:
    *why = ares_strerror(status);
    return CAW_ECONN;
  }
}

/* Opens a channel. `on_socket` may be NULL. */
static int open_channel(ares_channel *out, const char *server, ares_sock_state_cb on_socket,
                        void *data) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, start_library);
  if (library_rc) return CAW_ENOMEM;
  struct ares_options o = {.timeout = TRY_MS, .tries = TRIES};
  o.sock_state_cb = on_socket;
  o.sock_state_cb_data = data;
  int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | (on_socket ? ARES_OPT_SOCK_STATE_CB : 0);
  if (ares_init_options(out, &o, mask) != ARES_SUCCESS) return CAW_ENOMEM;
  int status = server ? ares_set_servers_ports_csv(*out, server) : ARES_SUCCESS;
  if (status == ARES_SUCCESS) return 0;
  ares_destroy(*out);
  return status == ARES_ENOMEM ? CAW_ENOMEM : CAW_EINVAL;
}

static void ask(ares_channel channel, const char *host, ares_addrinfo_callback done, void *data) {
  struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  ares_getaddrinfo(channel, host, NULL, &hints, done, data);
}

/* Copies up to `max` addresses, in c-ares's order (RFC 6724). */
static unsigned collect(const struct ares_addrinfo *info, uint16_t port, io_address *out,
                        unsigned max) {
  unsigned n = 0;
  for (const struct ares_addrinfo_node *a = info->nodes; a && n < max; a = a->ai_next) {
    if (a->ai_family == AF_INET) {
      struct sockaddr_in in;
      memcpy(&in, a->ai_addr, sizeof(in));
      out[n++] = io_address_ip(&in.sin_addr, 4, port);
    } else if (a->ai_family == AF_INET6) {
      struct sockaddr_in6 in6;
      memcpy(&in6, a->ai_addr, sizeof(in6));
      out[n] = io_address_ip(&in6.sin6_addr, 16, port);
      memcpy((char *)&out[n].u + offsetof(struct sockaddr_in6, sin6_scope_id), &in6.sin6_scope_id,
             sizeof(in6.sin6_scope_id));
      n++;
    }
  }
  return n;
}

static bool host_fits(const char *host) {
  return host && *host && strlen(host) < IO_HOST_ROOM;
}

/* --- on a loop ----------------------------------------------------------- */

/* A socket of c-ares's. */
typedef struct dns_socket {
  io_watch watch;
  struct dns_socket *next;
  io_lookup *lookup;
  ares_socket_t fd;
  int mask; /* what c-ares wants */
} dns_socket;

struct io_lookup {
  caw_loop *loop;
  ares_channel channel;
  io_timer timer;
  io_task finish;
  uint64_t end; /* when TOTAL_NS are over */
  dns_socket *sockets;
  io_address *found;
  unsigned count;
  uint16_t port;
  bool settled; /* the outcome is known: rc, why, found */
  bool over;    /* `done` is being called, or never will be */
  int rc;
  const char *why;
  void (*done)(void *user, int rc, const io_address *addresses, unsigned n, const char *why);
  void *user;
};

/* The outcome; the first one counts. It is told from a task, since c-ares must
 * not be destroyed while it runs, and may have the answer at once. */
static void settle(io_lookup *l, int rc, const char *why) {
  if (l->settled || l->over) return;
  l->settled = true;
  l->rc = rc;
  l->why = why;
  io_defer(l->loop, &l->finish);
}

static void answered(void *data, int status, int timeouts, struct ares_addrinfo *info) {
  io_lookup *l = data;
  const char *why;
  (void)timeouts;
  int rc = code_of(status, &why);
  if (!rc && !l->settled && !l->over) {
    l->found = caw_malloc(MOST_ADDRESSES * sizeof(*l->found));
    if (l->found) l->count = collect(info, l->port, l->found, MOST_ADDRESSES);
    if (!l->found) rc = code_of(ARES_ENOMEM, &why);
    else if (!l->count) rc = code_of(ARES_ENODATA, &why);
  }
  if (info) ares_freeaddrinfo(info);
  settle(l, rc, why);
}

/* Waits for c-ares's next timeout, or the end of the whole. */
static void set_timer(io_lookup *l) {
  struct timeval tv;
  uint64_t at = l->end, next;
  if (l->settled) return;
  if (ares_timeout(l->channel, NULL, &tv)) {
    next = io_now(l->loop) + (uint64_t)tv.tv_sec * 1000000000u + (uint64_t)tv.tv_usec * 1000u;
    if (next < at) at = next;
  }
  io_timer_start(&l->timer, at);
}

static void timed_out(io_timer *t) {
  io_lookup *l = LIST_ENTRY(t, io_lookup, timer);
  const char *why;
  int rc = code_of(ARES_ETIMEOUT, &why);
  if (io_now(l->loop) >= l->end) settle(l, rc, why);
  else ares_process_fd(l->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  set_timer(l);
}

static void socket_ready(io_watch *w, int events, bool broken) {
  dns_socket *s = (dns_socket *)w;
  io_lookup *l = s->lookup;
  ares_socket_t fd = s->fd;
  ares_process_fd(l->channel, broken || (events & UV_READABLE) ? fd : ARES_SOCKET_BAD,
                  broken || (events & UV_WRITABLE) ? fd : ARES_SOCKET_BAD);
  /* c-ares closes a socket that broke; should it not have, it is waited for
   * again, which libuv ended. */
  for (s = l->sockets; s; s = s->next)
    if (s->fd == fd) io_watch_set(&s->watch, s->mask);
  set_timer(l);
}

static void socket_closed(io_watch *w) {
  caw_free(w);
}

static void socket_changed(void *data, ares_socket_t fd, int readable, int writable) {
  io_lookup *l = data;
  const char *why;
  int mask = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
  dns_socket **at = &l->sockets, *s;
  while (*at && (*at)->fd != fd) at = &(*at)->next;
  s = *at;
  if (!s && mask) {
    s = caw_calloc(1, sizeof(*s));
    if (!s || io_watch_init(&s->watch, l->loop, fd, socket_ready)) {
      caw_free(s);
      int rc = code_of(ARES_ENOMEM, &why);
      settle(l, rc, why);
      return;
    }
    s->lookup = l;
    s->fd = fd;
    *at = s;
  }
  if (!s) return;
  s->mask = mask;
  if (mask) {
    io_watch_set(&s->watch, mask);
  } else { /* it is closed next */
    *at = s->next;
    io_watch_close(&s->watch, socket_closed);
  }
}

static void release(io_lookup *l) {
  l->over = true;
  ares_destroy(l->channel); /* closes its sockets, each through socket_changed */
  io_timer_finish(&l->timer);
  io_task_cancel(&l->finish);
  io_loop_release(l->loop);
}

static void finish(io_task *task) {
  io_lookup *l = LIST_ENTRY(task, io_lookup, finish);
  release(l);
  l->done(l->user, l->rc, l->found, l->rc ? 0 : l->count, l->why);
  caw_free(l->found);
  caw_free(l);
}

int io_resolve(io_lookup **out, caw_loop *loop, const char *host, uint16_t port, const char *server,
               void (*done)(void *user, int rc, const io_address *addresses, unsigned n,
                            const char *why),
               void *user) {
  if (!host_fits(host)) return CAW_EINVAL;
  io_lookup *l = caw_calloc(1, sizeof(*l));
  if (!l) return CAW_ENOMEM;
  l->loop = loop;
  l->port = port;
  l->done = done;
  l->user = user;
  l->end = io_now(loop) + TOTAL_NS;
  io_task_init(&l->finish, finish);
  int rc = io_timer_init(&l->timer, loop, timed_out);
  if (rc) goto fail;
  rc = open_channel(&l->channel, server, socket_changed, l);
  if (rc) goto fail_timer;
  io_loop_hold(loop);
  *out = l;
  ask(l->channel, host, answered, l);
  set_timer(l);
  return 0;
fail_timer:
  io_timer_finish(&l->timer);
fail:
  caw_free(l);
  return rc;
}

void io_resolve_cancel(io_lookup *l) {
  if (!l || l->over) return; /* from inside `done` it comes too late */
  release(l);
  caw_free(l->found);
  caw_free(l);
}

/* --- blocking ------------------------------------------------------------ */

typedef struct answer {
  io_address *out;
  unsigned max, count;
  uint16_t port;
  bool ready;
  int status;
} answer;

static void answered_now(void *data, int status, int timeouts, struct ares_addrinfo *info) {
  answer *a = data;
  (void)timeouts;
  a->ready = true;
  a->status = status;
  if (status == ARES_SUCCESS) a->count = collect(info, a->port, a->out, a->max);
  if (info) ares_freeaddrinfo(info);
}

/* Waits once for c-ares's sockets and lets it act. */
static void wait_now(ares_channel channel) {
  ares_socket_t fds[ARES_GETSOCK_MAXNUM];
  struct pollfd polls[ARES_GETSOCK_MAXNUM];
  struct timeval tv = {1, 0};
  /* Not with c-ares's macros for the bits: they shift into the sign. */
  unsigned bits = (unsigned)ares_getsock(channel, fds, ARES_GETSOCK_MAXNUM);
  nfds_t n = 0;
  for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
    short events = (short)((bits >> i & 1 ? POLLIN : 0) |
                           (bits >> (i + ARES_GETSOCK_MAXNUM) & 1 ? POLLOUT : 0));
    if (events) polls[n++] = (struct pollfd){fds[i], events, 0};
  }
  ares_timeout(channel, &tv, &tv);
  int ready = poll(polls, n, (int)(tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1));
  if (ready <= 0) ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  for (nfds_t i = 0; i < n && ready > 0; i++)
    if (polls[i].revents)
      ares_process_fd(channel, polls[i].revents & ~POLLOUT ? polls[i].fd : ARES_SOCKET_BAD,
                      polls[i].revents & ~POLLIN ? polls[i].fd : ARES_SOCKET_BAD);
}

int io_resolve_now(const char *host, uint16_t port, io_address *out, unsigned max,
                   const char **why) {
  ares_channel channel;
  answer a = {.out = out, .max = max, .port = port};
  *why = "not a host name";
  if (!host_fits(host)) return CAW_EINVAL;
  int rc = open_channel(&channel, NULL, NULL, NULL);
  if (rc) return code_of(ARES_ENOMEM, why);
  uint64_t end = io_sys_clock() + TOTAL_NS;
  ask(channel, host, answered_now, &a);
  while (!a.ready && io_sys_clock() < end) wait_now(channel);
  if (!a.ready) a.status = ARES_ETIMEOUT;
  int status = a.status == ARES_SUCCESS && !a.count ? ARES_ENODATA : a.status;
  ares_destroy(channel); /* may call answered_now */
  rc = code_of(status, why);
  return rc ? rc : (int)a.count;
}
