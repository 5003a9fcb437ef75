/*
 * peer-watcher [--dribble] PORT: passes bytes on between clients and a server at
 * 127.0.0.1:PORT, and reads the HTTP/2 frames of the server as it does so, with nothing of
 * Caw's. On each line of standard input, and at its end, says what it has seen so far:
 *
 *   connections 3, cut 0, goaway 2: 0x0 2, reset 5: 0x8 5
 *
 * the connections, those that the server ended, its GOAWAY and RST_STREAM frames with their
 * error codes. With --dribble each byte of the clients travels in a segment of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CODES = 16, ROOM = 65536, EVENTS = 256, HEAD = 9, PREFACE = 24, RST_STREAM = 3, GOAWAY = 7 };

static struct {
  unsigned long connections, cut;
  unsigned long goaway[CODES + 1], reset[CODES + 1]; /* the last: any other code */
} seen;

static bool dribbles;
static int epoll = -1;

static void die(const char *what) {
  perror(what);
  exit(1);
}

/* ---- Frames ---- */

/* Where in the server's bytes one is: in a frame's head, or in its payload. */
typedef struct frames {
  uint8_t head[HEAD];
  uint8_t begin[8]; /* of the payload */
  size_t have, left, at;
} frames;

/* ---- Pairs of sockets ---- */

typedef struct side side;

typedef struct pair {
  side *client, *server;
  frames theirs;  /* the server's */
  frames asked;   /* the client's */
  size_t preface; /* what is still to come of the client's */
  bool leaves;    /* the client has said GOAWAY: whoever closes then, it is no cut */
  bool closing;
  struct pair *next; /* of those to be freed */
} pair;

struct side {
  pair *pair;
  side *other;
  int fd;
  uint32_t mask;
  bool ended; /* no more comes from here */
  size_t from, to;
  uint8_t data[ROOM]; /* read here, to be written to the other */
};

static pair *dead;

static void note(unsigned long *counts, const uint8_t *code) {
  uint32_t n = (uint32_t)code[0] << 24 | (uint32_t)code[1] << 16 | (uint32_t)code[2] << 8 | code[3];
  counts[n < CODES ? n : CODES]++;
}

static void end_theirs(pair *p) {
  const frames *f = &p->theirs;
  if (f->head[3] == RST_STREAM) note(seen.reset, f->begin);
  if (f->head[3] == GOAWAY) note(seen.goaway, f->begin + 4);
}

static void end_asked(pair *p) {
  if (p->asked.head[3] == GOAWAY) p->leaves = true;
}

static void read_frames(pair *p, frames *f, const uint8_t *data, size_t len, void (*end)(pair *p)) {
  while (len) {
    if (f->have < HEAD) {
      f->head[f->have++] = *data++;
      len--;
      if (f->have < HEAD) continue;
      f->left = (size_t)f->head[0] << 16 | (size_t)f->head[1] << 8 | f->head[2];
      f->at = 0;
    }
    size_t n = f->left < len ? f->left : len;
    for (size_t i = 0; i < n && f->at + i < sizeof(f->begin); i++) f->begin[f->at + i] = data[i];
    f->at += n;
    f->left -= n;
    data += n;
    len -= n;
    if (f->left) return;
    end(p);
    f->have = 0;
  }
}

static void watch(side *s, uint32_t mask) {
  if (mask == s->mask) return;
  struct epoll_event e = {.events = mask, .data.ptr = s};
  epoll_ctl(epoll, EPOLL_CTL_MOD, s->fd, &e);
  s->mask = mask;
}

static void set_masks(pair *p) {
  side *both[] = {p->client, p->server};
  for (int i = 0; i < 2; i++) {
    side *s = both[i];
    uint32_t in = s->to == s->from && !s->ended ? (uint32_t)EPOLLIN : 0;
    uint32_t out = s->other->to > s->other->from ? (uint32_t)EPOLLOUT : 0;
    watch(s, in | out);
  }
}

static void drop(pair *p, bool by_server) {
  if (p->closing) return;
  p->closing = true;
  if (by_server && !p->leaves) seen.cut++;
  close(p->client->fd);
  close(p->server->fd);
  p->next = dead;
  dead = p;
}

static void free_dead(void) {
  while (dead) {
    pair *p = dead;
    dead = p->next;
    free(p->client);
    free(p->server);
    free(p);
  }
}

/* Writes what was read from `s` to the other side. False when that is broken. */
static bool pass(side *s) {
  bool one = dribbles && s == s->pair->client;
  while (s->from < s->to) {
    ssize_t n = send(s->other->fd, s->data + s->from, one ? 1 : s->to - s->from, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return true;
    if (n < 0) return false;
    s->from += (size_t)n;
  }
  s->from = s->to = 0;
  if (s->ended) shutdown(s->other->fd, SHUT_WR);
  return true;
}

static void read_requests(pair *p, const uint8_t *data, size_t len) {
  size_t skip = p->preface < len ? p->preface : len;
  p->preface -= skip;
  read_frames(p, &p->asked, data + skip, len - skip, end_asked);
}

static void take(side *s) {
  pair *p = s->pair;
  bool server = s == p->server;
  ssize_t n = recv(s->fd, s->data, ROOM, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) {
    drop(p, server && !p->client->ended);
    return;
  }
  if (n == 0) {
    s->ended = true;
    if (server && !p->client->ended && !p->leaves) seen.cut++;
    shutdown(s->other->fd, SHUT_WR);
    if (s->other->ended) drop(p, false);
    return;
  }
  if (server) read_frames(p, &p->theirs, s->data, (size_t)n, end_theirs);
  else read_requests(p, s->data, (size_t)n);
  s->to = (size_t)n;
  if (!pass(s)) drop(p, !server && !p->client->ended);
}

static void handle(side *s, uint32_t events) {
  pair *p = s->pair;
  if (!p->closing && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && s->to == s->from) take(s);
  if (!p->closing && (events & EPOLLOUT) && !pass(s->other)) drop(p, s == p->server);
  if (!p->closing && (events & EPOLLHUP) && s->ended) drop(p, false);
  if (!p->closing) set_masks(p);
}

static side *new_side(pair *p, int fd) {
  int one = 1;
  side *s = calloc(1, sizeof(*s));
  if (!s) die("memory");
  s->pair = p;
  s->fd = fd;
  s->mask = EPOLLIN;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
  return s;
}

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

static void let_in(int listener, int port) {
  int fd = accept(listener, NULL, NULL), to = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = loopback(port);
  if (fd < 0 || to < 0) die("accept");
  seen.connections++;
  if (connect(to, (struct sockaddr *)&a, sizeof(a))) {
    seen.cut++;
    close(fd);
    close(to);
    return;
  }
  pair *p = calloc(1, sizeof(*p));
  if (!p) die("memory");
  p->preface = PREFACE;
  p->client = new_side(p, fd);
  p->server = new_side(p, to);
  p->client->other = p->server;
  p->server->other = p->client;
}

/* ---- The program ---- */

static void print_codes(const char *name, const unsigned long *counts) {
  unsigned long sum = 0;
  for (int i = 0; i <= CODES; i++) sum += counts[i];
  printf(", %s %lu%s", name, sum, sum ? ":" : "");
  for (int i = 0; i <= CODES; i++)
    if (counts[i]) printf(" 0x%x %lu", (unsigned)i, counts[i]);
}

static void report(void) {
  printf("connections %lu, cut %lu", seen.connections, seen.cut);
  print_codes("goaway", seen.goaway);
  print_codes("reset", seen.reset);
  printf("\n");
  fflush(stdout);
}

static int listen_anywhere(void) {
  struct sockaddr_in a = loopback(0);
  socklen_t len = sizeof(a);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4096) ||
      getsockname(fd, (struct sockaddr *)&a, &len))
    die("listen");
  printf("listening on 127.0.0.1:%u\n", ntohs(a.sin_port));
  fflush(stdout);
  return fd;
}

/* One byte a line: false at the end of standard input. */
static bool asked(void) {
  char text[64];
  ssize_t n = read(0, text, sizeof(text));
  report();
  return n > 0;
}

int main(int argc, char **argv) {
  struct rlimit files;
  dribbles = argc == 3 && !strcmp(argv[1], "--dribble");
  if (argc != 2 && !dribbles) return 2;
  int port = atoi(argv[argc - 1]);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  epoll = epoll_create1(0);
  int listener = listen_anywhere(), input = 0;
  struct epoll_event events[EVENTS], e = {.events = EPOLLIN, .data.ptr = &listener};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
  e.data.ptr = &input;
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &e);
  for (;;) {
    int n = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr == &listener) let_in(listener, port);
      else if (events[i].data.ptr != &input) handle(events[i].data.ptr, events[i].events);
      else if (!asked()) return 0;
    }
    free_dead();
  }
}
