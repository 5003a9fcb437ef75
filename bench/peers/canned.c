/*
 * bench-canned: what the kernel alone costs. It answers each request with the
 * same bytes, without looking at headers or message: no gRPC server can be
 * cheaper. One thread, epoll, one read and one write a turn. Prints its port.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define HEAD    9
#define PREFACE 24
#define IN_ROOM 65536

typedef struct canned_conn {
  int fd;
  size_t skip; /* of the preface, or of a frame's payload */
  uint8_t head[HEAD];
  size_t head_len;
} canned_conn;

static uint8_t out[1 << 20];
static size_t out_len;

static void put(const void *data, size_t len) {
  if (out_len + len > sizeof(out)) exit(1);
  memcpy(out + out_len, data, len);
  out_len += len;
}

static void put_frame(uint8_t type, uint8_t flags, const uint8_t *id, const void *payload,
                      size_t len) {
  uint8_t head[HEAD] = {0, (uint8_t)(len >> 8), (uint8_t)len, type, flags};
  if (id) memcpy(head + 5, id, 4);
  put(head, sizeof(head));
  put(payload, len);
}

/* :status 200, content-type application/grpc; a reply "Hello, World!";
 * grpc-status 0. Literals without indexing (RFC 7541 6.2.2). */
static void answer(const uint8_t *id) {
  static const char leading[] = "\x88\x0f\x10\x10"
                                "application/grpc";
  static const char reply[] = "\0\0\0\0\x0f\x0a\x0dHello, World!";
  static const char trailing[] = "\0\x0bgrpc-status\x01\x30";
  put_frame(1, 4, id, leading, sizeof(leading) - 1);
  put_frame(0, 0, id, reply, sizeof(reply) - 1);
  put_frame(1, 5, id, trailing, sizeof(trailing) - 1);
}

static void on_frame(const uint8_t *head) {
  static const uint8_t window[] = {0, 0, 0x20, 0};
  uint8_t type = head[3], flags = head[4];
  if (type <= 1 && flags & 1) answer(head + 5);
  if (type == 0) put_frame(8, 0, NULL, window, sizeof(window));
  if (type == 4 && !(flags & 1)) put_frame(4, 1, NULL, NULL, 0);
}

static void feed(canned_conn *c, const uint8_t *p, size_t len) {
  while (len) {
    if (c->skip) {
      size_t n = c->skip < len ? c->skip : len;
      c->skip -= n;
      p += n;
      len -= n;
      continue;
    }
    c->head[c->head_len++] = *p++;
    len--;
    if (c->head_len < HEAD) continue;
    c->head_len = 0;
    c->skip = (size_t)c->head[0] << 16 | (size_t)c->head[1] << 8 | c->head[2];
    on_frame(c->head);
  }
}

static void serve(canned_conn *c) {
  static uint8_t in[IN_ROOM];
  ssize_t n = recv(c->fd, in, sizeof(in), 0);
  if (n <= 0) {
    close(c->fd);
    free(c);
    return;
  }
  out_len = 0;
  feed(c, in, (size_t)n);
  if (out_len && send(c->fd, out, out_len, MSG_NOSIGNAL) < 0) perror("send");
}

static void take(int epoll, int listener) {
  int one = 1;
  canned_conn *c = calloc(1, sizeof(*c));
  if (!c) exit(1);
  c->fd = accept(listener, NULL, NULL);
  c->skip = PREFACE;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  out_len = 0;
  put_frame(4, 0, NULL, NULL, 0);
  if (send(c->fd, out, out_len, 0) < 0) perror("send");
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
}

int main(void) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t len = sizeof(at);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
  if (bind(listener, (struct sockaddr *)&at, len) || listen(listener, 1000)) return 1;
  getsockname(listener, (struct sockaddr *)&at, &len);
  printf("%d\n", ntohs(at.sin_port));
  fflush(stdout);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
  for (;;) {
    int n = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr) serve(events[i].data.ptr);
      else take(epoll, listener);
    }
  }
}
