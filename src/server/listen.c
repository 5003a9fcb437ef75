/*
 * Where connections of a server come in: its addresses, each with or without TLS,
 * listened on anew or taken over from systemd, the program or the process before. An
 * accepted connection goes to the loop with the fewest.
 */
#include "base/trace.h"
#include "io/inherit.h"
#include "io/resolver.h"
#include "server/server.h"

#include <caw/alloc.h>
#include <sys/stat.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_INHERITED 64

int server_fail(caw_server *s, int rc, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(s->error, sizeof(s->error), format, args);
  va_end(args);
  return rc;
}

/* ---- Accepting ---- */

/* A connection on its way to another loop. */
typedef struct arrival {
  io_post post;
  worker *worker;
  caw_server_credentials *tls; /* the entrance's, which lives as long as the server */
  int fd;
} arrival;

static void arrive(io_post *post) {
  arrival *a = (arrival *)(void *)post;
  worker_accept(a->worker, a->fd, a->tls);
  caw_free(a);
}

/* gRPC has few and long connections: each goes to the loop with the fewest. */
static void on_accept(void *user, int fd) {
  const entrance *e = user;
  caw_server *s = e->server;
  worker *least = &s->workers[0];
  for (unsigned i = 1; i < s->n_workers; i++)
    if (atomic_load(&s->workers[i].load) < atomic_load(&least->load)) least = &s->workers[i];
  atomic_fetch_add(&least->load, 1);
  if (least == &s->workers[0]) {
    worker_accept(least, fd, e->tls);
    return;
  }
  arrival *a = caw_malloc(sizeof(*a));
  if (!a) {
    close(fd);
    atomic_fetch_sub(&least->load, 1);
    return;
  }
  a->worker = least;
  a->tls = e->tls;
  a->fd = fd;
  io_loop_post(least->loop, &a->post, arrive);
}

/* ---- Entrances ---- */

/* One that nobody listens at yet. */
static entrance *entrance_new(caw_server *s, const char *wanted, caw_server_credentials *tls) {
  size_t n = s->n_entrances + 1;
  entrance **all = caw_realloc(s->entrances, n * sizeof(entrance *));
  if (!all) return NULL;
  s->entrances = all;
  entrance *e = caw_malloc(sizeof(*e) + strlen(wanted) + 1);
  if (!e) return NULL;
  *e = (entrance){.server = s, .tls = tls ? caw_server_credentials_ref(tls) : NULL};
  strcpy(e->wanted, wanted);
  return e;
}

static void entrance_free(entrance *e) {
  caw_server_credentials_unref(e->tls);
  caw_free(e);
}

/* The bound address as a target: without gRPC's "ipv4:" and "ipv6:". */
static void print_address(char out[IO_ADDRESS_TEXT], const io_address *a) {
  char text[IO_ADDRESS_TEXT];
  io_address_format(text, a);
  bool ip = !strncmp(text, "ipv4:", 5) || !strncmp(text, "ipv6:", 5);
  snprintf(out, IO_ADDRESS_TEXT, "%s", ip ? text + 5 : text);
}

static void open_entrance(entrance *e, io_listener *l) {
  caw_server *s = e->server;
  e->listener = l;
  print_address(e->address, io_listener_address(l));
  s->entrances[s->n_entrances++] = e;
  server_show_entrance(e);
  TRACE(SERVER, "server %p listens on %s%s", (void *)s, e->address, e->tls ? ", with TLS" : "");
  io_loop_hold(s->workers[0].loop);
}

/* Undoes the entrances from `keep` on: a name of which one address failed. */
static void undo(caw_server *s, size_t keep) {
  while (s->n_entrances > keep) {
    entrance *e = s->entrances[--s->n_entrances];
    handover_undo(s, e->listener);
    server_hide_entrance(e);
    io_listener_close(e->listener);
    entrance_free(e);
    io_loop_release(s->workers[0].loop);
  }
}

void server_unlisten(caw_server *s) {
  for (size_t i = 0; i < s->n_entrances; i++) {
    entrance *e = s->entrances[i];
    if (!e->listener) continue;
    io_loop_release(s->workers[0].loop);
    if (handover_keeps(s)) io_listener_leave(e->listener);
    server_hide_entrance(e);
    io_listener_close(e->listener);
    e->listener = NULL;
  }
}

void server_free_entrances(caw_server *s) {
  for (size_t i = 0; i < s->n_entrances; i++) entrance_free(s->entrances[i]);
  caw_free(s->entrances);
}

/* ---- Listening ---- */

int server_listen_on(caw_server *s, io_listener **out, int fd, const char *wanted,
                     caw_server_credentials *tls) {
  io_listener *l;
  entrance *e = entrance_new(s, wanted, tls);
  int rc = e ? io_listener_adopt(&l, s->workers[0].loop, fd, on_accept, e) : CAW_ENOMEM;
  if (!rc) {
    open_entrance(e, l);
    *out = l;
    return 0;
  }
  if (e) entrance_free(e);
  return server_fail(s, rc, "cannot listen on descriptor %d: %s", fd,
                     rc == CAW_EINVAL ? "it is no stream socket that listens" : caw_strerror(rc));
}

/* Does the server listen on this socket already, by another descriptor? Its connections
 * would come in by either door, also where one has TLS and the other has not. */
static bool listens_on(const caw_server *s, int fd) {
  struct stat theirs, ours;
  if (fstat(fd, &theirs)) return false;
  for (size_t i = 0; i < s->n_entrances; i++) {
    const io_listener *l = s->entrances[i]->listener;
    if (l && !fstat(io_listener_fd(l), &ours) && ours.st_dev == theirs.st_dev &&
        ours.st_ino == theirs.st_ino)
      return true;
  }
  return false;
}

static int twice(caw_server *s, const char *address) {
  return server_fail(s, CAW_EADDRINUSE,
                     "cannot listen on %s: this server listens there already; name each socket of "
                     "systemd's once (\"systemd:\" is all of them)",
                     address);
}

/* A descriptor that somebody outside keeps: systemd, or the program. */
static int listen_on_theirs(caw_server *s, int fd, const char *wanted,
                            caw_server_credentials *tls) {
  io_listener *l;
  if (listens_on(s, fd))
    return *wanted ? twice(s, wanted)
                   : server_fail(s, CAW_EADDRINUSE,
                                 "cannot listen on descriptor %d: this server listens on its "
                                 "socket already",
                                 fd);
  int rc = server_listen_on(s, &l, fd, wanted, tls);
  if (!rc) io_listener_begin(l);
  return rc;
}

static int listen_one(caw_server *s, const io_address *address, const char *wanted,
                      caw_server_credentials *tls) {
  io_listener *l;
  char text[IO_ADDRESS_TEXT];
  int rc = handover_listen_at(s, address, wanted, tls);
  if (rc != CAW_ENOTFOUND) return rc;
  entrance *e = entrance_new(s, wanted, tls);
  errno = 0;
  rc = e ? io_listener_new(&l, s->workers[0].loop, address, on_accept, e) : CAW_ENOMEM;
  int err = errno;
  if (!rc) {
    open_entrance(e, l);
    return 0;
  }
  if (e) entrance_free(e);
  print_address(text, address);
  return server_fail(s, rc, "cannot listen on %s (%s): %s", wanted, text,
                     err ? strerror(err) : caw_strerror(rc));
}

/* The sockets that systemd has opened, all or those of a name. */
static int listen_systemd(caw_server *s, const char *address, const char *name,
                          caw_server_credentials *tls) {
  int fds[MAX_INHERITED];
  /* After a takeover the first time has them all, and systemd passed none. */
  for (size_t i = 0; i < s->n_entrances; i++)
    if (!strcmp(s->entrances[i]->wanted, address)) return twice(s, address);
  int n = io_inherited(name, fds, MAX_INHERITED), rc = 0;
  if (n == 0)
    return server_fail(s, CAW_ENOTFOUND,
                       "cannot listen on %s: systemd passed no socket%s%s to this process", address,
                       *name ? " named " : "", name);
  if (n < 0)
    return server_fail(s, n, "cannot listen on %s: %s", address,
                       n == CAW_EMALFORMED ? "LISTEN_FDS or what it tells of is not in order"
                       : n == CAW_ESTATE   ? "this process has closed what systemd passed"
                       : n == CAW_ELIMIT   ? "systemd passed too many sockets, or too many are open"
                                           : caw_strerror(n));
  int i = 0;
  for (; i < n && !rc; i++) rc = listen_on_theirs(s, fds[i], address, tls);
  if (rc)
    for (i--; i < n; i++) close(fds[i]); /* those before are closed with their entrances */
  return rc;
}

static int listen_target(caw_server *s, const char *address, caw_server_credentials *tls) {
  io_target target;
  const char *why = "";
  size_t before = s->n_entrances;
  int rc = io_target_parse(&target, caw_str_from(address), true, &why);
  if (rc) return server_fail(s, rc, "cannot listen on %s: %s", address, why);
  if (target.host[0]) {
    rc = io_resolve_now(target.host, target.port, target.addresses, IO_TARGET_MAX, &why);
    if (rc < 0) return server_fail(s, rc, "cannot listen on %s: %s", address, why);
    target.count = (unsigned)rc;
    rc = 0;
  }
  for (unsigned i = 0; i < target.count && !rc; i++) {
    /* Port 0 of a name with several addresses: all get what the first got. */
    if (i > 0 && io_address_port(&target.addresses[i]) == 0)
      io_address_set_port(&target.addresses[i],
                          io_address_port(io_listener_address(s->entrances[before]->listener)));
    rc = listen_one(s, &target.addresses[i], address, tls);
  }
  return rc;
}

static int listen_at(caw_server *s, const char *address, caw_server_credentials *tls) {
  size_t before = s->n_entrances;
  s->error[0] = '\0';
  if (s->draining) return server_fail(s, CAW_ESTATE, "the server is shutting down");
  int rc = handover_listen(s, address, tls);
  if (!rc && s->n_entrances == before)
    rc = strncmp(address, "systemd:", 8) ? listen_target(s, address, tls)
                                         : listen_systemd(s, address, address + 8, tls);
  if (rc) undo(s, before);
  return rc;
}

/* ---- The public face ---- */

int caw_server_listen(caw_server *s, const char *address) {
  return listen_at(s, address, NULL);
}

int caw_server_listen_tls(caw_server *s, const char *address, caw_server_credentials *tls) {
  if (!tls) return server_fail(s, CAW_EINVAL, "cannot listen on %s: no credentials", address);
  return listen_at(s, address, tls);
}

int caw_server_listen_fd(caw_server *s, int fd, caw_server_credentials *tls) {
  s->error[0] = '\0';
  if (s->draining) return server_fail(s, CAW_ESTATE, "the server is shutting down");
  return listen_on_theirs(s, fd, "", tls);
}

const char *caw_server_error(const caw_server *s) {
  return s->error;
}

const char *caw_server_address(const caw_server *s, size_t i) {
  return i < s->n_entrances ? s->entrances[i]->address : NULL;
}
