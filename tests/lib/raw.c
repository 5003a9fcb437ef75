/* The sockets of raw.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "raw.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

const raw_layer *raw_through;
caw_server_credentials *raw_server_credentials;
caw_channel_credentials *raw_channel_credentials;

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
  int on = 1; /* nothing waits for the acknowledgement of what went before */
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (raw_through) raw_through->begin(fd, server);
}

bool raw_shake(int fd) {
  return !raw_through || raw_through->shake(fd);
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
