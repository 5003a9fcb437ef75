/* The server of refuser.h. */
#include "refuser.h"

#include "loopback.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, PREFACE = 24 };

static bool read_all(int fd, void *to, size_t len) {
  for (size_t n = 0; n < len;) {
    ssize_t r = recv(fd, (char *)to + n, len - n, 0);
    if (r <= 0) return false;
    n += (size_t)r;
  }
  return true;
}

static void write_frame(int fd, int type, int flags, const uint8_t *stream, const void *data,
                        size_t len) {
  uint8_t out[128] = {0, 0, (uint8_t)len, (uint8_t)type, (uint8_t)flags};
  if (stream) memcpy(out + 5, stream, 4);
  if (len) memcpy(out + 9, data, len);
  ssize_t n = send(fd, out, 9 + len, MSG_NOSIGNAL);
  (void)n; /* a client that has gone is told by reading */
}

/* :status 200, content-type application/grpc, grpc-status 0: literals without the table. */
static const char trailers_only[] = "\x88\0\x0c"
                                    "content-type\x10"
                                    "application/grpc\0\x0b"
                                    "grpc-status\x01"
                                    "0";

static void serve_one(int fd) {
  static const uint8_t refused[4] = {0, 0, 0, 7};
  uint8_t head[9], body[16384];
  int requests = 0;
  if (!read_all(fd, body, PREFACE)) return;
  write_frame(fd, SETTINGS, 0, NULL, NULL, 0);
  while (read_all(fd, head, sizeof(head))) {
    size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    if (len > sizeof(body) || !read_all(fd, body, len)) return;
    if (head[3] == SETTINGS && !(head[4] & 1)) write_frame(fd, SETTINGS, 1, NULL, NULL, 0);
    if (head[3] == PING && !(head[4] & 1)) write_frame(fd, PING, 1, NULL, body, 8);
    if (head[3] != HEADERS) continue;
    if (requests++ == 0) write_frame(fd, RST_STREAM, 0, head + 5, refused, 4);
    else write_frame(fd, HEADERS, 5, head + 5, trailers_only, sizeof(trailers_only) - 1);
  }
}

static void serve(int listener) {
  int one = 1;
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    serve_one(fd);
    close(fd);
  }
}

const char *refuser_address(void) {
  static loopback server = {.type = SOCK_STREAM, .serve = serve};
  return loopback_address(&server);
}
