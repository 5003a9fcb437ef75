/* The sockets of raw.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "raw.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

const raw_layer *raw_through;

int raw_dial(const char *address) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  a.sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1));
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct timeval patience = {20, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
  raw_begin(fd, false);
  return fd;
}

void raw_begin(int fd, bool server) {
  if (raw_through) raw_through->begin(fd, server);
}

ssize_t raw_write(int fd, const void *data, size_t len) {
  return raw_through ? raw_through->write(fd, data, len) : send(fd, data, len, MSG_NOSIGNAL);
}

ssize_t raw_read(int fd, void *to, size_t room) {
  return raw_through ? raw_through->read(fd, to, room) : recv(fd, to, room, 0);
}

void raw_close(int fd) {
  if (raw_through) raw_through->end(fd);
  close(fd);
}
