/*
 * Hand-over of the listening sockets from a server to the one that replaces it
 * (docs/decisions/0009-handover.md). A server may be both, one after the other: it takes
 * over from the process before it, and later gives to the one after it.
 *
 *   old: waits at the control socket      new: connects there
 *   old: a letter, with the descriptors   new: listens, begins to accept
 *   old: accepts no more, drains          new: "serving\n"
 *   old: "yours\n", closes                new: waits at the control socket
 *
 * Until it has heard "serving" the old one serves as ever, so a new one that fails has
 * changed nothing. On the accepting loop's thread.
 */
#include "base/buf.h"
#include "io/pass.h"
#include "io/sys.h"
#include "server/server.h"

#include <caw/alloc.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

/* How long a new process waits for the letter: the old one's loop may be busy. */
#define LETTER_TIME (10 * SECOND)

/* The control socket and the others. */
#define MOST_SOCKETS IO_PASS_MOST

/* A letter is no longer than what a Unix socket takes at once, by far. */
#define MOST_LETTER ((uint32_t)65536)

/* The words come alone and at once. */
#define SERVING   "serving\n"
#define YOURS     "yours\n"
#define WORD_ROOM 16

/* What a letter begins with; between two processes of one machine. */
typedef struct letter_head {
  char magic[8];
  uint32_t sockets, len; /* descriptors, and bytes that follow */
} letter_head;

static const char magic[8] = "caw-ho 1";

/* What it says of each descriptor; the words it was asked for as follow. */
typedef struct letter_socket {
  uint64_t dev, ino;
  uint32_t shared, wanted;
} letter_socket;

/* A socket of the process before us that nobody has asked for yet. */
typedef struct taken {
  int fd; /* -1: somebody has */
  io_socket_file file;
  bool shared;
  char *wanted;
} taken;

struct handover {
  caw_server *server;
  io_address address;
  uint64_t grace_ms;
  io_listener *control; /* where the next one comes */
  bool closed;

  /* The next one. */
  io_socket *heir;
  pid_t heir_pid;
  bool gone; /* it has it all */

  /* The one before. The first of what was taken is the control socket. */
  int old_fd; /* -1: none, or old has it */
  io_socket *old;
  taken *taken;
  size_t n_taken;

  char word[WORD_ROOM]; /* what has come of the one that is expected */
  size_t word_len;
};

/* Has the word come? What is too long or other is never it. */
static bool hear(handover *h, const char *word, const uint8_t *data, size_t len) {
  size_t room = sizeof(h->word) - h->word_len, n = len < room ? len : room;
  memcpy(h->word + h->word_len, data, n);
  h->word_len += n;
  return h->word_len == strlen(word) && !memcmp(h->word, word, h->word_len);
}

static void say(io_socket *s, const char *word) {
  struct iovec part = {(void *)word, strlen(word)};
  io_socket_write(s, &part, 1); /* a few bytes: taken at once, or the other end has gone */
}

static void unused(void *user, int rc) {
  (void)user, (void)rc;
}
static void unused_writable(void *user) {
  (void)user;
}

/* ---- Giving ---- */

static void drop_heir(handover *h) {
  io_socket_close(h->heir);
  h->heir = NULL;
  h->word_len = 0;
}

/* The new one accepts connections: none was refused in between, as the sockets are the
 * same, and none is from now on. */
static void give(handover *h) {
  h->gone = true;
  say(h->heir, YOURS);
  drop_heir(h);
  caw_server_drain(h->server, h->grace_ms, NULL, NULL);
}

static void on_heir_read(void *user, const uint8_t *data, size_t len) {
  handover *h = user;
  if (hear(h, SERVING, data, len)) give(h);
}

/* It has failed, or has been stopped. We go on. */
static void on_heir_end(void *user, int rc) {
  (void)rc;
  drop_heir(user);
}

static const io_socket_events heir_events = {unused, on_heir_read, on_heir_end, unused_writable};

static int add_socket(buf *letter, int *fd, const io_listener *l, const char *wanted) {
  io_socket_file file = io_listener_file(l);
  letter_socket s = {file.dev, file.ino, io_listener_shared(l), (uint32_t)strlen(wanted)};
  *fd = io_listener_fd(l);
  int rc = buf_append(letter, &s, sizeof(s));
  return rc ? rc : buf_append(letter, wanted, s.wanted);
}

static int write_letter(const handover *h, buf *letter, int *fds, size_t *n) {
  const caw_server *s = h->server;
  letter_head head = {.sockets = (uint32_t)s->n_entrances + 1};
  memcpy(head.magic, magic, sizeof(magic));
  int rc = buf_append(letter, &head, sizeof(head));
  if (!rc) rc = add_socket(letter, &fds[0], h->control, "");
  for (size_t i = 0; i < s->n_entrances && !rc; i++)
    rc = i + 1 < MOST_SOCKETS
             ? add_socket(letter, &fds[i + 1], s->entrances[i]->listener, s->entrances[i]->wanted)
             : CAW_ELIMIT;
  if (rc) return rc;
  if (letter->len > MOST_LETTER) return CAW_ELIMIT;
  head.len = (uint32_t)(letter->len - sizeof(head));
  memcpy(letter->data, &head, sizeof(head));
  *n = head.sockets;
  return 0;
}

static void on_control(void *user, int fd) {
  handover *h = user;
  int fds[MOST_SOCKETS];
  size_t n = 0;
  buf letter = {0};
  /* One at a time; and of what is not this user's nothing is even read. */
  int rc = h->heir || h->gone || h->closed || !io_pass_trusted(fd, &h->heir_pid) ? CAW_ESTATE : 0;
  if (!rc) rc = write_letter(h, &letter, fds, &n);
  /* The letter is last: who has it goes on, whatever happens to us. */
  if (!rc) rc = io_socket_adopt(&h->heir, h->server->workers[0].loop, fd, &heir_events, h);
  if (rc) {
    close(fd);
  } else {
    io_socket_read(h->heir, true);
    if (io_pass_send(fd, letter.data, letter.len, fds, n)) drop_heir(h);
  }
  buf_finish(&letter);
}

/* ---- Taking ---- */

/* The control socket is ours. */
static void own_control(handover *h) {
  taken *t = &h->taken[0];
  io_socket_close(h->old);
  h->old = NULL;
  h->word_len = 0;
  /* Without memory the next one finds nobody who answers, and says so. */
  if (!io_listener_adopt(&h->control, h->server->workers[0].loop, t->fd, t->file, t->shared,
                         on_control, h))
    t->fd = -1;
}

static void on_old_read(void *user, const uint8_t *data, size_t len) {
  handover *h = user;
  if (hear(h, YOURS, data, len)) own_control(h);
}

/* Whatever happened to it, it serves no more. */
static void on_old_end(void *user, int rc) {
  (void)rc;
  own_control(user);
}

static const io_socket_events old_events = {unused, on_old_read, on_old_end, unused_writable};

/* What nobody asked for is closed: it is not listened on any more. */
static void close_taken(handover *h, size_t from) {
  for (size_t i = from; i < h->n_taken; i++) {
    if (h->taken[i].fd >= 0) close(h->taken[i].fd);
    h->taken[i].fd = -1;
  }
}

void handover_begin(caw_server *s) {
  handover *h = s->handover;
  if (!h || h->old_fd < 0) return;
  close_taken(h, 1);
  int fd = h->old_fd;
  h->old_fd = -1;
  /* Without memory the old one hears the end instead of the word, and both go on. */
  if (io_socket_adopt(&h->old, s->workers[0].loop, fd, &old_events, h)) {
    close(fd);
    return;
  }
  say(h->old, SERVING);
  io_socket_read(h->old, true);
}

/* One socket of the letter. 0, CAW_EMALFORMED, CAW_ENOMEM. */
static int read_socket(taken *t, int fd, const char **p, const char *end) {
  letter_socket s;
  if ((size_t)(end - *p) < sizeof(s)) return CAW_EMALFORMED;
  memcpy(&s, *p, sizeof(s));
  *p += sizeof(s);
  if (s.wanted > (size_t)(end - *p)) return CAW_EMALFORMED;
  t->wanted = caw_malloc((size_t)s.wanted + 1);
  if (!t->wanted) return CAW_ENOMEM;
  memcpy(t->wanted, *p, s.wanted);
  t->wanted[s.wanted] = '\0';
  *p += s.wanted;
  t->file = (io_socket_file){s.dev, s.ino};
  t->shared = s.shared;
  t->fd = fd;
  return 0;
}

/* The letter, whose descriptors are in `fds`. They are the handover's if this returns 0. */
static int read_letter(handover *h, const char *text, size_t len, const int *fds, size_t n) {
  h->taken = caw_calloc(n, sizeof(*h->taken));
  if (!h->taken) return CAW_ENOMEM;
  const char *p = text, *end = text + len;
  int rc = 0;
  for (size_t i = 0; i < n && !rc; i++) rc = read_socket(&h->taken[i], fds[i], &p, end);
  if (!rc && p != end) rc = CAW_EMALFORMED;
  if (!rc) {
    h->n_taken = n;
    return 0;
  }
  for (size_t i = 0; i < n; i++) caw_free(h->taken[i].wanted);
  caw_free(h->taken);
  h->taken = NULL;
  return rc;
}

static int receive(handover *h) {
  int fds[MOST_SOCKETS];
  size_t n = 0;
  letter_head head;
  char *text = NULL;
  uint64_t deadline = io_sys_clock() + LETTER_TIME;
  int rc = io_pass_recv(h->old_fd, &head, sizeof(head), fds, MOST_SOCKETS, &n, deadline);
  if (!rc && (memcmp(head.magic, magic, sizeof(magic)) || head.len > MOST_LETTER || !head.len))
    rc = CAW_EMALFORMED;
  if (!rc && !(text = caw_malloc(head.len))) rc = CAW_ENOMEM;
  if (!rc) rc = io_pass_recv(h->old_fd, text, head.len, fds, MOST_SOCKETS, &n, deadline);
  if (!rc && (n != head.sockets || !n)) rc = CAW_EMALFORMED;
  if (!rc) rc = read_letter(h, text, head.len, fds, n);
  caw_free(text);
  for (size_t i = 0; rc && i < n; i++) close(fds[i]);
  return rc;
}

/* Takes what the process before us has. 0, CAW_ENOTFOUND: there is none. */
static int take(handover *h, const char *path) {
  caw_server *s = h->server;
  pid_t pid;
  int rc = io_pass_connect(&h->old_fd, &h->address);
  if (rc == CAW_ENOTFOUND) return rc;
  if (rc) return server_fail(s, rc, "cannot take over at %s: %s", path, caw_strerror(rc));
  if (!io_pass_trusted(h->old_fd, &pid))
    return server_fail(s, CAW_EACCES, "cannot take over at %s: the server there is another user's",
                       path);
  rc = receive(h);
  if (rc == CAW_EEND)
    return server_fail(s, CAW_EAGAIN,
                       "cannot take over at %s: the server there is ending, or gives to another",
                       path);
  if (rc)
    return server_fail(s, rc, "cannot take over at %s: %s", path,
                       rc == CAW_ETIMEDOUT    ? "the server there does not answer"
                       : rc == CAW_EMALFORMED ? "what answers there is no server of Caw"
                                              : caw_strerror(rc));
  server_begin_later(s);
  return 0;
}

/* ---- Listening ---- */

static int listen_on(caw_server *s, taken *t, caw_server_credentials *tls) {
  int rc = server_listen_on(s, t->fd, t->file, t->shared, t->wanted, tls);
  if (!rc) t->fd = -1;
  return rc;
}

int handover_listen(caw_server *s, const char *wanted, caw_server_credentials *tls) {
  const handover *h = s->handover;
  int rc = 0;
  for (size_t i = 1; h && i < h->n_taken && !rc; i++) {
    taken *t = &h->taken[i];
    if (t->fd >= 0 && *wanted && !strcmp(t->wanted, wanted)) rc = listen_on(s, t, tls);
  }
  return rc;
}

static bool is_at(int fd, const io_address *address) {
  io_address a = {.len = sizeof(a.u)};
  char mine[IO_ADDRESS_TEXT], theirs[IO_ADDRESS_TEXT];
  if (getsockname(fd, &a.u.any, &a.len)) return false;
  io_address_format(mine, address);
  io_address_format(theirs, &a);
  return !strcmp(mine, theirs);
}

int handover_listen_at(caw_server *s, const io_address *address, const char *wanted,
                       caw_server_credentials *tls) {
  const handover *h = s->handover;
  for (size_t i = 1; h && i < h->n_taken; i++) {
    taken *t = &h->taken[i];
    if (t->fd < 0 || !is_at(t->fd, address)) continue;
    int rc = server_listen_on(s, t->fd, t->file, t->shared, wanted, tls);
    if (!rc) t->fd = -1;
    return rc;
  }
  return CAW_ENOTFOUND;
}

/* ---- Life ---- */

bool handover_keeps(const caw_server *s) {
  /* Also while somebody is about to take over: should it fail, a file is left, which
   * the next one removes. */
  return s->handover && (s->handover->gone || s->handover->heir);
}

pid_t handover_heir(const caw_server *s) {
  return s->handover && s->handover->gone ? s->handover->heir_pid : 0;
}

static int wait_for_next(handover *h, const char *path) {
  caw_server *s = h->server;
  errno = 0;
  int rc = io_listener_new_private(&h->control, s->workers[0].loop, &h->address, on_control, h);
  int err = errno;
  if (rc)
    server_fail(s, rc, "cannot wait for a successor at %s: %s", path,
                err ? strerror(err) : caw_strerror(rc));
  return rc;
}

int caw_server_handover(caw_server *s, const char *path, uint64_t grace_ms, bool *took) {
  io_target target;
  const char *why = "";
  char text[IO_ADDRESS_TEXT];
  if (took) *took = false;
  s->error[0] = '\0';
  if (s->handover || s->n_entrances || s->draining)
    return server_fail(s, CAW_ESTATE,
                       "a hand-over is prepared once, before anything is listened on");
  int n = snprintf(text, sizeof(text), "unix:%s", path);
  if (n < 0 || (size_t)n >= sizeof(text) ||
      io_target_parse(&target, caw_str_from(text), true, &why))
    return server_fail(s, CAW_EADDR, "cannot take over at %s: not a path for a Unix socket", path);
  handover *h = caw_calloc(1, sizeof(*h));
  if (!h) return server_fail(s, CAW_ENOMEM, "%s", caw_strerror(CAW_ENOMEM));
  h->server = s;
  h->address = target.addresses[0];
  h->grace_ms = grace_ms;
  h->old_fd = -1;
  s->handover = h;
  int rc = take(h, path);
  if (took) *took = rc == 0;
  if (rc == CAW_ENOTFOUND) rc = wait_for_next(h, path);
  if (!rc) return 0;
  handover_close(s);
  handover_free(s);
  return rc;
}

void handover_close(caw_server *s) {
  handover *h = s->handover;
  if (!h || h->closed) return;
  h->closed = true;
  if (h->control && handover_keeps(s)) io_listener_leave(h->control);
  io_listener_close(h->control);
  h->control = NULL;
  io_socket_close(h->heir);
  io_socket_close(h->old);
  h->heir = h->old = NULL;
  if (h->old_fd >= 0) close(h->old_fd);
  h->old_fd = -1;
  close_taken(h, 0);
}

void handover_free(caw_server *s) {
  handover *h = s->handover;
  if (!h) return;
  for (size_t i = 0; i < h->n_taken; i++) caw_free(h->taken[i].wanted);
  caw_free(h->taken);
  s->handover = NULL;
  caw_free(h);
}
