/*
 * The sockets of raw.h over TLS: an SSL for each of them, which shakes hands with the
 * first byte that is read or written. Blocking and not; one thread at a time uses one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "certs.h"
#include "raw.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>

enum { MOST = 1024 };

static SSL_CTX *contexts[2]; /* a client's, a server's */
static SSL *open_ones[MOST]; /* by descriptor */

static int take_h2(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *user) {
  (void)ssl, (void)in, (void)in_len, (void)user;
  *out = (const unsigned char *)"h2";
  *out_len = 2;
  return SSL_TLSEXT_ERR_OK;
}

static void begin(int fd, bool server) {
  assert_in_range(fd, 0, MOST - 1);
  SSL *ssl = SSL_new(contexts[server]);
  assert_non_null(ssl);
  assert_int_equal(SSL_set_fd(ssl, fd), 1);
  if (server) SSL_set_accept_state(ssl);
  else SSL_set_connect_state(ssl);
  open_ones[fd] = ssl;
}

static bool shake(int fd) {
  ERR_clear_error();
  bool done = SSL_do_handshake(open_ones[fd]) == 1;
  ERR_clear_error();
  return done;
}

/* Makes errno and read(2)'s result of an error. */
static ssize_t translate(const SSL *ssl, int n) {
  int saved = errno, error = SSL_get_error(ssl, n);
  ERR_clear_error();
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) errno = EAGAIN;
  else errno = error == SSL_ERROR_SYSCALL && saved ? saved : ECONNRESET;
  return -1;
}

static ssize_t write_tls(int fd, const void *data, size_t len) {
  size_t n;
  ERR_clear_error();
  if (!len || SSL_write_ex(open_ones[fd], data, len, &n) == 1) return len ? (ssize_t)n : 0;
  return translate(open_ones[fd], 0);
}

static ssize_t read_tls(int fd, void *to, size_t room) {
  size_t n;
  ERR_clear_error();
  errno = 0;
  if (SSL_read_ex(open_ones[fd], to, room, &n) == 1) return (ssize_t)n;
  return translate(open_ones[fd], 0);
}

static void end(int fd) {
  ERR_clear_error();
  if (SSL_is_init_finished(open_ones[fd])) SSL_shutdown(open_ones[fd]);
  ERR_clear_error();
  SSL_free(open_ones[fd]);
  open_ones[fd] = NULL;
}

static const raw_layer layer = {begin, shake, write_tls, read_tls, end};

static void free_contexts(void) {
  SSL_CTX_free(contexts[0]);
  SSL_CTX_free(contexts[1]);
}

__attribute__((constructor)) static void make_contexts(void) {
  if (!certs_wanted()) return;
  const cert *own = &certs_good()->server;
  contexts[0] = SSL_CTX_new(TLS_client_method());
  contexts[1] = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_alpn_protos(contexts[0], (const unsigned char *)"\2h2", 3);
  SSL_CTX_set_alpn_select_cb(contexts[1], take_h2, NULL);
  SSL_CTX_use_certificate(contexts[1], own->x509);
  SSL_CTX_use_PrivateKey(contexts[1], own->pkey);
  for (int i = 0; i < 2; i++)
    SSL_CTX_set_mode(contexts[i],
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
  raw_through = &layer;
  atexit(free_contexts);
}
