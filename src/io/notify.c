/* The datagrams of notify.h. */
#include "io/notify.h"

#include "io/sys.h"

#include <caw/status.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int read_name(struct sockaddr_un *to, socklen_t *len, const char *name) {
  size_t n = strlen(name);
  if ((*name != '/' && *name != '@') || n < 2 || n >= sizeof(to->sun_path)) return CAW_EADDR;
  memset(to, 0, sizeof(*to));
  to->sun_family = AF_UNIX;
  memcpy(to->sun_path, name, n);
  *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
  if (*name == '@') to->sun_path[0] = '\0'; /* abstract: it ends with its length */
  else ++*len;
  return 0;
}

static int code_of(int err) {
  if (err == EAGAIN) return CAW_EAGAIN;
  int rc = io_sys_error(err);
  return rc == CAW_EADDR ? CAW_ECONN : rc == CAW_EINVAL || rc == CAW_ETIMEDOUT ? CAW_ESYS : rc;
}

int io_notify(const char *state) {
  struct sockaddr_un to;
  socklen_t len;
  const char *name = getenv("NOTIFY_SOCKET");
  if (!name || !*name) return 0;
  int rc = read_name(&to, &len, name);
  if (rc) return rc;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return code_of(errno);
  ssize_t n = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, len);
  if (n < 0) rc = code_of(errno);
  close(fd);
  return rc;
}
