/* The frames and connections of wire.h. */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* We look more often than every so many seconds. */
#define GAP 0.25

double now(void) {
  static double last, away;
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  double time = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
  if (last > 0 && time - last > GAP) away += time - last - GAP;
  last = time;
  return time - away;
}

void rest(unsigned us) {
  for (unsigned step = 100000; us; us -= step) {
    if (step > us) step = us;
    usleep(step);
    now();
  }
}

/* ---- Octets ---- */

void put(bytes *b, const void *data, size_t len) {
  if (b->len + len > b->room) {
    b->room = 2 * (b->len + len);
    b->data = realloc(b->data, b->room);
    if (!b->data) exit(2);
  }
  if (len) memcpy(b->data + b->len, data, len);
  b->len += len;
}

void put_u32(bytes *b, uint32_t value) {
  const uint8_t p[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                       (uint8_t)value};
  put(b, p, sizeof(p));
}

void put_head(bytes *b, size_t len, unsigned type, unsigned flags, uint32_t id) {
  const uint8_t p[] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, (uint8_t)type,
                       (uint8_t)flags};
  put(b, p, sizeof(p));
  put_u32(b, id);
}

void put_frame(bytes *b, unsigned type, unsigned flags, uint32_t id, const void *payload,
               size_t len) {
  put_head(b, len, type, flags, id);
  put(b, payload, len);
}

/* A length with a prefix of 7 bits (RFC 7541 5.1). */
static void put_length(bytes *b, size_t len) {
  if (len < 127) {
    put(b, &(uint8_t){(uint8_t)len}, 1);
    return;
  }
  put(b, "\x7f", 1);
  for (len -= 127; len >= 128; len >>= 7) put(b, &(uint8_t){(uint8_t)(len & 127) | 128}, 1);
  put(b, &(uint8_t){(uint8_t)len}, 1);
}

void put_field(bytes *b, const char *name, const char *value, size_t value_len) {
  put(b, "\0", 1);
  put_length(b, strlen(name));
  put(b, name, strlen(name));
  put_length(b, value_len);
  put(b, value, value_len);
}

void put_message(bytes *b, uint32_t id, size_t len, unsigned flags) {
  static const uint8_t zeros[16384];
  uint8_t prefix[5] = {0, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                       (uint8_t)len};
  size_t first = len < 16000 ? len : 16000;
  put_head(b, 5 + first, DATA, first == len ? flags : 0, id);
  put(b, prefix, 5);
  put(b, zeros, first);
  for (len -= first; len; len -= first) {
    first = len < 16384 ? len : 16384;
    put_frame(b, DATA, first == len ? flags : 0, id, zeros, first);
  }
}

void put_request(bytes *b, uint32_t id, unsigned flags, const char *path,
                 const char *const *extra) {
  bytes block = {0};
  put(&block, "\x83\x86", 2); /* POST, http */
  put_field(&block, ":path", path, strlen(path));
  put_field(&block, ":authority", "localhost", 9);
  put_field(&block, "te", "trailers", 8);
  put_field(&block, "content-type", "application/grpc", 16);
  for (; extra && *extra; extra += 2) put_field(&block, extra[0], extra[1], strlen(extra[1]));
  put_frame(b, HEADERS, flags | END_HEADERS, id, block.data, block.len);
  free(block.data);
}

/* ---- A connection ---- */

/* Looks at the clock meanwhile: a server whose queue is full lets it wait, which counts. */
static bool is_connected(int fd, const struct sockaddr_in *to) {
  int error = 0;
  socklen_t len = sizeof(error);
  if (!connect(fd, (const struct sockaddr *)to, sizeof(*to))) return true;
  if (errno != EINPROGRESS) return false;
  while (poll(&(struct pollfd){fd, POLLOUT, 0}, 1, 20) <= 0) now();
  if (!getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len)) errno = error;
  return !error;
}

void foe_open(foe *f, int port, bool reads, int64_t window) {
  struct sockaddr_in to = {.sin_family = AF_INET};
  memset(f, 0, sizeof(*f));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons((uint16_t)port);
  f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (f->fd < 0 || !is_connected(f->fd, &to)) {
    perror("attack: connect");
    exit(2);
  }
  setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  f->reads = reads;
  f->next_id = 1;
  f->began = now();
  if (window < 0) return;
  put(&f->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
  put_head(&f->out, 6, SETTINGS, 0, 0);
  put(&f->out, "\0\4", 2);
  put_u32(&f->out, (uint32_t)window);
  put_frame(&f->out, SETTINGS, ACK, 0, NULL, 0);
}

void foe_close(foe *f) {
  if (f->fd >= 0) close(f->fd);
  free(f->out.data);
  f->fd = -1;
  f->out = (bytes){0};
}

static void end(foe *f) {
  if (f->closed) return;
  f->closed = true;
  f->closed_at = now();
}

static void look_at(foe *f, const uint8_t *p, size_t len) {
  unsigned type = p[3] < 15 ? p[3] : 15;
  f->frames[type]++;
  if (type == GOAWAY && len >= 8)
    f->goaway = (uint32_t)p[13] << 24 | (uint32_t)p[14] << 16 | (uint32_t)p[15] << 8 | p[16];
  bool ends = type == RST_STREAM || ((type == HEADERS || type == DATA) && (p[4] & END_STREAM));
  f->ended += ends;
}

/* Goes through what is there, frame by frame; of long ones only the begin. */
static void look(foe *f) {
  size_t at = 0;
  for (;;) {
    size_t left = f->have - at;
    if (f->skip) {
      size_t n = left < f->skip ? left : f->skip;
      f->skip -= (uint32_t)n;
      at += n;
      if (f->skip) break;
      continue;
    }
    if (left < 9) break;
    const uint8_t *p = f->in + at;
    size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
    size_t need = 9 + (len < 64 ? len : 64);
    if (left < need) break;
    look_at(f, p, len);
    at += need;
    f->skip = (uint32_t)(9 + len - need);
  }
  memmove(f->in, f->in + at, f->have - at);
  f->have -= at;
}

static void take(foe *f) {
  for (int i = 0; i < 16 && !f->closed; i++) {
    ssize_t n = recv(f->fd, f->in + f->have, sizeof(f->in) - f->have, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      end(f);
      return;
    }
    f->have += (size_t)n;
    look(f);
  }
}

void foe_move(foe *f) {
  if (f->closed) return;
  while (f->at < f->out.len) {
    ssize_t n = send(f->fd, f->out.data + f->at, f->out.len - f->at, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      f->full_at = now();
      break;
    }
    if (n < 0) {
      if (f->reads) take(f); /* what it said before */
      end(f);
      return;
    }
    f->at += (size_t)n;
    f->wrote += (uint64_t)n;
    f->sent_at = now();
  }
  if (f->at == f->out.len) f->at = f->out.len = 0;
  if (f->reads) {
    take(f);
    return;
  }
  struct pollfd p = {f->fd, POLLRDHUP, 0};
  if (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR))) end(f);
}

double ask_kindly(int port, const char *path) {
  foe f;
  double began = now(), took = -1;
  foe_open(&f, port, true, 1 << 20);
  put_request(&f.out, 1, 0, path, NULL);
  put_message(&f.out, 1, 0, END_STREAM);
  while (!f.closed && !f.ended && now() - began < 5) {
    foe_move(&f);
    if (!f.ended) poll(&(struct pollfd){f.fd, POLLIN, 0}, 1, 20);
  }
  if (f.ended && f.frames[DATA]) took = now() - began;
  foe_close(&f);
  return took;
}
