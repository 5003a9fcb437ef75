/* The connections of wire.h. */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD 16384

static const char *begin_tls(wire *w) {
  static SSL_CTX *context;
  static const unsigned char h2[] = "\x02h2";
  if (!context) {
    context = SSL_CTX_new(TLS_client_method());
    if (!context) return "out of memory";
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_set_alpn_protos(context, h2, sizeof(h2) - 1)) return "out of memory";
  }
  w->tls = SSL_new(context);
  if (!w->tls || !SSL_set_fd(w->tls, w->fd)) return "out of memory";
  return SSL_connect(w->tls) == 1 ? NULL : "the TLS handshake failed";
}

const char *wire_open(wire *w, int port, int tls) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  *w = (wire){.fd = socket(AF_INET, SOCK_STREAM, 0)};
  if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&to, sizeof(to))) return strerror(errno);
  setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  const char *wrong = tls ? begin_tls(w) : NULL;
  fcntl(w->fd, F_SETFL, O_NONBLOCK);
  return wrong;
}

/* What SSL_read or SSL_write says, in the words of recv and send. */
static ssize_t told(const wire *w, int n) {
  if (n > 0) return n;
  int why = SSL_get_error(w->tls, n);
  if (why == SSL_ERROR_ZERO_RETURN) return 0;
  errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
  return -1;
}

ssize_t wire_recv(wire *w, void *to, size_t room) {
  if (!w->tls) return recv(w->fd, to, room, MSG_DONTWAIT);
  /* As much as there is: a record at a time would make many small turns. */
  size_t got = 0;
  int n = 0;
  while (got < room && (n = SSL_read(w->tls, (char *)to + got, (int)(room - got))) > 0)
    got += (size_t)n;
  return got ? (ssize_t)got : told(w, n);
}

/* One record, of what fits into it: small parts are put together. */
static ssize_t send_record(wire *w, const struct iovec *parts, int n) {
  static char record[RECORD];
  size_t len = 0;
  for (int i = 0; i < n && len < RECORD; i++) {
    size_t k = parts[i].iov_len < RECORD - len ? parts[i].iov_len : RECORD - len;
    memcpy(record + len, parts[i].iov_base, k);
    len += k;
  }
  return len ? told(w, SSL_write(w->tls, record, (int)len)) : 0;
}

ssize_t wire_send(wire *w, const struct iovec *parts, int n) {
  struct msghdr m = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)n};
  if (!w->tls) return sendmsg(w->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
  return send_record(w, parts, n);
}

void wire_close(wire *w) {
  SSL_free(w->tls);
  close(w->fd);
}
