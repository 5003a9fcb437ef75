/* A peer of raw bytes on loopback, with a thread of its own: it begins with the first who asks
 * for its address, and ends with the process. */
#ifndef TESTS_FAILS_LOOPBACK_H
#define TESTS_FAILS_LOOPBACK_H

typedef struct loopback {
  int type;              /* SOCK_DGRAM; SOCK_STREAM: it listens */
  void (*serve)(int fd); /* on that thread; never returns */
  int fd;
  char address[32]; /* "" before it begins */
} loopback;

/* "127.0.0.1:PORT". */
const char *loopback_address(loopback *l);

#endif
