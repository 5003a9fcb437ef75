/*
 * A BIO between an SSL and a filter: what the SSL reads is borrowed from the filter
 * without a copy, what it writes is collected in one buffer for one write. OpenSSL's own
 * memory BIOs copy twice and keep the largest buffer that they ever had.
 */
#include "io/tls_inner.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <string.h>

/* The least room; and up to where it doubles, as in a handshake, whose pieces come one by
 * one. For large writes it is reserved at once, as much as they need. */
#define FIRST_ROOM 512
#define GROWS      8192

static int pipe_write(BIO *bio, const char *data, int len) {
  tls_pipe *p = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (len <= 0) return 0;
  if (!tls_pipe_reserve(p, (size_t)len)) {
    p->no_memory = true;
    return -1; /* without a flag to try again: it is final */
  }
  memcpy(p->out + p->out_len, data, (size_t)len);
  p->out_len += (size_t)len;
  return len;
}

static int pipe_read(BIO *bio, char *to, int room) {
  tls_pipe *p = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (room <= 0) return 0;
  if (!p->in_len) {
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t n = (size_t)room < p->in_len ? (size_t)room : p->in_len;
  memcpy(to, p->in, n);
  p->in += n;
  p->in_len -= n;
  return (int)n;
}

static long pipe_ctrl(BIO *bio, int cmd, long number, void *ptr) {
  (void)bio, (void)number, (void)ptr;
  return cmd == BIO_CTRL_FLUSH; /* everything is "written"; the rest is not known here */
}

BIO_METHOD *tls_bio_method(void) {
  BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "caw");
  if (!m) return NULL;
  BIO_meth_set_write(m, pipe_write);
  BIO_meth_set_read(m, pipe_read);
  BIO_meth_set_ctrl(m, pipe_ctrl);
  return m;
}

int tls_bio_attach(SSL *ssl, const BIO_METHOD *method, tls_pipe *pipe) {
  BIO *bio = BIO_new(method);
  if (!bio) return CAW_ENOMEM;
  BIO_set_data(bio, pipe);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  return 0;
}

bool tls_pipe_reserve(tls_pipe *p, size_t more) {
  if (p->out_room - p->out_len >= more) return true;
  size_t waiting = tls_pipe_waiting(p), room = p->out_room < GROWS ? 2 * p->out_room : 0;
  if (more > SIZE_MAX / 4 - waiting) return false;
  if (room < waiting + more) room = waiting + more;
  if (room < FIRST_ROOM) room = FIRST_ROOM;
  uint8_t *out = caw_malloc(room);
  if (!out) return false;
  if (waiting) memcpy(out, p->out + p->out_at, waiting);
  caw_free(p->out);
  p->out = out;
  p->out_room = room;
  p->out_at = 0;
  p->out_len = waiting;
  return true;
}

void tls_pipe_took(tls_pipe *p, size_t n) {
  p->out_at += n;
  if (tls_pipe_waiting(p)) return;
  tls_pipe_finish(p);
}

void tls_pipe_finish(tls_pipe *p) {
  caw_free(p->out);
  p->out = NULL;
  p->out_at = p->out_len = p->out_room = 0;
}
