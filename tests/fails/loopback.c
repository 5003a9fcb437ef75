/* The function of loopback.h. */
#include "loopback.h"

#include "world.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

static void *run(void *arg) {
  const loopback *l = arg;
  l->serve(l->fd);
  return NULL;
}

const char *loopback_address(loopback *l) {
  pthread_t thread;
  if (l->address[0]) return l->address;
  struct sockaddr_in in = {.sin_family = AF_INET};
  socklen_t len = sizeof(in);
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  l->fd = socket(AF_INET, l->type | SOCK_CLOEXEC, 0);
  must_be(bind(l->fd, (struct sockaddr *)&in, sizeof(in)), 0);
  if (l->type == SOCK_STREAM) must_be(listen(l->fd, 100), 0);
  must_be(getsockname(l->fd, (struct sockaddr *)&in, &len), 0);
  must_be(pthread_create(&thread, NULL, run, l), 0);
  pthread_detach(thread);
  snprintf(l->address, sizeof(l->address), "127.0.0.1:%u", ntohs(in.sin_port));
  return l->address;
}
