/* The system's errors and its clock. */
#include "io/sys.h"

#include <caw/status.h>
#include <errno.h>
#include <time.h>

int io_sys_error(int err) {
  switch (err) {
  case ENOMEM:
  case ENOBUFS:
    return CAW_ENOMEM;
  case EMFILE:
  case ENFILE:
  case ENOSPC:
    return CAW_ELIMIT; /* epoll_ctl: max_user_watches */
  case EACCES:
  case EPERM:
  case EROFS:
    return CAW_EACCES;
  case EADDRINUSE:
    return CAW_EADDRINUSE;
  case EADDRNOTAVAIL:
  case EAFNOSUPPORT:
  case ENAMETOOLONG:
  case ENODEV: /* an IPv6 scope that names no interface */
  case ENOENT:
  case ENOTDIR:
  case ELOOP:
    return CAW_EADDR;
  case ETIMEDOUT:
    return CAW_ETIMEDOUT;
  case ECONNREFUSED:
  case ECONNRESET:
  case ECONNABORTED:
  case EPIPE:
  case ENOTCONN:
  case ESHUTDOWN:
  case EHOSTDOWN:
  case EHOSTUNREACH:
  case ENETDOWN:
  case ENETRESET:
  case ENETUNREACH:
  case ENONET:
    return CAW_ECONN;
  case EINVAL:
    return CAW_EINVAL;
  default:
    return CAW_ESYS;
  }
}

uint64_t io_sys_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
