/* The messages of pass.h. */
#include "io/pass.h"

#include "io/sys.h"

#include <caw/status.h>
#include <errno.h>
#include <poll.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for the control message of the most descriptors. */
typedef union control {
  struct cmsghdr head;
  char bytes[CMSG_SPACE(IO_PASS_MOST * sizeof(int))];
} control;

static int code_of(int err) {
  int rc = io_sys_error(err);
  return rc == CAW_EINVAL || rc == CAW_EADDR ? CAW_ESYS : rc;
}

int io_pass_connect(int *out, const io_address *address) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return code_of(errno);
  if (connect(fd, &address->u.any, address->len) == 0) {
    *out = fd;
    return 0;
  }
  int err = errno;
  close(fd);
  return err == ENOENT || err == ECONNREFUSED ? CAW_ENOTFOUND : code_of(err);
}

bool io_pass_trusted(int fd, pid_t *pid) {
  struct ucred who;
  socklen_t len = sizeof(who);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len)) return false;
  *pid = who.pid;
  return who.uid == geteuid() || who.uid == 0;
}

int io_pass_send(int fd, const void *data, size_t len, const int *fds, size_t n) {
  control c;
  struct iovec part = {(void *)data, len};
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
  if (n > IO_PASS_MOST) return CAW_ELIMIT;
  if (n) {
    memset(&c, 0, sizeof(c));
    m.msg_control = c.bytes;
    m.msg_controllen = CMSG_SPACE(n * sizeof(int));
    struct cmsghdr *head = CMSG_FIRSTHDR(&m);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(head), fds, n * sizeof(int));
  }
  ssize_t sent;
  do sent = sendmsg(fd, &m, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return errno == EAGAIN ? CAW_ELIMIT : code_of(errno);
  return (size_t)sent == len ? 0 : CAW_ELIMIT;
}

/* The descriptors of one received message. What there is no room for is closed. */
static int take_descriptors(struct msghdr *m, int *fds, size_t room, size_t *n) {
  int rc = m->msg_flags & MSG_CTRUNC ? CAW_EMALFORMED : 0;
  for (struct cmsghdr *head = CMSG_FIRSTHDR(m); head; head = CMSG_NXTHDR(m, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
      if (*n < room) fds[(*n)++] = fd;
      else close(fd);
    }
    if (*n == room && count > room) rc = CAW_EMALFORMED;
  }
  return rc;
}

/* Waits for input. 0, CAW_ETIMEDOUT, CAW_ESYS. */
static int wait_input(int fd, uint64_t deadline) {
  for (;;) {
    uint64_t now = io_sys_clock();
    if (now >= deadline) return CAW_ETIMEDOUT;
    uint64_t ms = (deadline - now) / 1000000 + 1;
    struct pollfd p = {fd, POLLIN, 0};
    int n = poll(&p, 1, ms < 60000 ? (int)ms : 60000);
    if (n > 0) return 0;
    if (n < 0 && errno != EINTR) return code_of(errno);
  }
}

int io_pass_recv(int fd, void *data, size_t len, int *fds, size_t room, size_t *n,
                 uint64_t deadline) {
  char *at = data;
  while (len) {
    control c;
    struct iovec part = {at, len};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = c.bytes};
    m.msg_controllen = sizeof(c.bytes);
    ssize_t got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && errno != EAGAIN && errno != EINTR) return code_of(errno);
    int rc = got > 0 ? take_descriptors(&m, fds, room, n) : 0;
    if (!rc && got < 0) rc = wait_input(fd, deadline);
    if (rc) return rc;
    if (got == 0) return CAW_EEND;
    if (got > 0) {
      at += got;
      len -= (size_t)got;
    }
  }
  return 0;
}
