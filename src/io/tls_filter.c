/*
 * TLS as a filter between a socket and its owner: the handshake, then plaintext for the
 * owner and records for the socket. What is sent in a turn is gathered into records of
 * up to 16 KiB, since a record costs 2 to 3 us however small it is (measured, AES-GCM).
 * Not here: what is trusted (tls_context.c), and why something failed (tls_error.c).
 *
 * What a peer can make this hold: records that the kernel does not take (OUT_BATCH and
 * one record), what was read at once while the owner does not read (one read of the
 * socket), a handshake message (OpenSSL: 100 KiB for a certificate chain), and answers
 * that TLS itself gives (OWED_MAX).
 */
#include "io/filter.h"
#include "io/tls_inner.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

enum {
  RECORD = 16384,     /* the most that a record holds (RFC 8446 5.1) */
  OVERHEAD = 64,      /* more than a record adds: header, nonce, tag */
  OUT_BATCH = 65536,  /* records are gathered up to here before they are written */
  OWED_MAX = 16384,   /* answers of TLS's own that the peer does not read */
  UPDATES_MAX = 32,   /* changes of the peer's key without a byte of data between them */
  DISCARD_MAX = 65536 /* what a peer whose handshake failed may still say */
};

/* Records after which the key is changed: 2^24.5 are safe with AES-GCM (RFC 8446 5.5). */
#define RECORDS_PER_KEY (UINT32_C(1) << 24)

/* How long a failed handshake waits for the client to read why. */
#define LINGER_TIME UINT64_C(1000000000)

typedef enum tls_state {
  TLS_CONNECTING, /* client: TCP is not there yet */
  TLS_SHAKING,    /* the handshake */
  TLS_OPEN,       /* reads and writes */
  TLS_ENDED,      /* on_end was called: may still write */
  TLS_LINGERING,  /* server: the handshake failed; the alert is on its way */
  TLS_FAILED      /* on_connect or on_end was called with an error */
} tls_state;

typedef struct tls_filter {
  io_filter base;
  SSL *ssl;
  tls_pipe pipe;
  caw_server_credentials *server; /* one of the two */
  io_tls_client *client;
  unsigned generation; /* of the client's credentials */
  uint8_t *kept;       /* what pipe.in points into, when it is not borrowed */
  io_task step;        /* server: a step of the handshake */
  io_timer resume;     /* the owner reads again; shaking: the end of its time; lingering */
  size_t owed;         /* bytes of TLS's own answers since the kernel took all */
  size_t discarded;
  caw_peer_identity *identity; /* until it is taken */
  int rc;                      /* lingering: what on_connect will say */
  uint8_t state;
  bool reading;     /* the owner wants to */
  bool more;        /* something is here that the owner did not want yet */
  bool waits;       /* on_writable is due */
  bool shut;        /* the owner writes no more */
  bool notified;    /* close_notify is in the pipe or out */
  bool fin;         /* the socket was told */
  bool raw_ended;   /* the socket has nothing more to read */
  bool broken;      /* OpenSSL has failed: it must not be asked again */
  bool seen_first;  /* the first byte of the peer's was looked at */
  bool plain;       /* it was none of TLS */
  bool asked;       /* client: for a certificate, and has none */
  bool served;      /* something was read */
  bool excused;     /* server: it got more time after a standstill */
  bool closed;      /* freed when the last function is left */
  uint32_t records; /* sent with the present key */
  uint32_t updates; /* of UPDATES_MAX */
  uint8_t inside;   /* functions of the filter on the stack */
  tls_why why;
} tls_filter;

static tls_filter *self_of(io_filter *f) {
  return (tls_filter *)(void *)f;
}

static caw_loop *loop_of(const tls_filter *f) {
  return io_socket_loop(f->base.socket);
}

/* ---- Life ---- */

static void destroy(tls_filter *f) {
  SSL_free(f->ssl);
  tls_pipe_finish(&f->pipe);
  caw_free(f->kept);
  caw_free(f->identity);
  caw_server_credentials_unref(f->server);
  caw_free(f);
}

static void enter(tls_filter *f) {
  f->inside++;
}

/* The owner reads again, with something here that it did not want before. */
static void check_resume(tls_filter *f) {
  if (f->more && f->reading && f->state == TLS_OPEN) io_timer_start(&f->resume, io_now(loop_of(f)));
}

static void leave(tls_filter *f) {
  if (--f->inside) return;
  if (f->closed) destroy(f);
  else check_resume(f);
}

/* What is read of the socket follows from the state. */
static void update(tls_filter *f) {
  if (f->closed) return;
  bool read =
      f->state == TLS_SHAKING || f->state == TLS_LINGERING || (f->state == TLS_OPEN && f->reading);
  io_raw_read(f->base.socket, read && !f->more && !f->raw_ended);
}

/* ---- Bytes out ---- */

/* Gives the kernel what waits, and then its end. 0 or the socket's error. */
static int flush(tls_filter *f) {
  tls_pipe *p = &f->pipe;
  if (tls_pipe_waiting(p)) {
    struct iovec part = {p->out + p->out_at, tls_pipe_waiting(p)};
    long took = io_raw_write(f->base.socket, &part, 1);
    if (took < 0) return (int)took;
    tls_pipe_took(p, (size_t)took);
    if (tls_pipe_waiting(p)) return 0;
  }
  f->owed = 0;
  if (f->shut && !f->fin) {
    f->fin = true;
    io_raw_shutdown(f->base.socket);
  }
  return 0;
}

/* ---- Ends ---- */

static void report(tls_filter *f) {
  caw_server_credentials *c = f->server;
  if (!c || !c->on_handshake_error) return;
  if (f->raw_ended && !f->seen_first) return; /* a probe of the port, not a client */
  char peer[IO_ADDRESS_TEXT];
  caw_str text = io_socket_peer(f->base.socket);
  snprintf(peer, sizeof(peer), "%.*s", CAW_STR_ARG(text));
  c->on_handshake_error(peer, f->why.text, c->user);
}

static void tell_connect(tls_filter *f, int rc) {
  f->state = rc ? TLS_FAILED : TLS_OPEN;
  io_timer_stop(&f->resume);
  f->base.events->on_connect(f->base.user, rc);
}

static void tell_end(tls_filter *f, int rc) {
  f->state = rc == CAW_EEND ? TLS_ENDED : TLS_FAILED;
  f->base.events->on_end(f->base.user, rc);
}

/*
 * The handshake has failed; `why` is set. A server waits for the client to close: were
 * it the first, with bytes of the client's unread, TCP would reset the connection and
 * could destroy the alert that says why.
 */
static void fail_shake(tls_filter *f, int rc) {
  /* Whatever it was: the next attempt begins anew. */
  if (f->client) tls_client_keep(f->client, NULL, 0);
  report(f);
  if (f->closed) return;
  bool lost = flush(f) != 0;
  if (!f->server || lost || f->raw_ended) {
    tell_connect(f, rc);
    return;
  }
  f->state = TLS_LINGERING;
  f->rc = rc;
  f->more = false;
  f->pipe.in_len = 0;
  f->shut = true;
  if (flush(f)) {
    tell_connect(f, rc);
    return;
  }
  io_timer_start(&f->resume, io_now(loop_of(f)) + LINGER_TIME);
}

/* OpenSSL has failed on a connection that was open. Why is in the thread's queue, which
 * is the owner's, too. Returns what it is. */
static int note_failure(tls_filter *f) {
  f->broken = true;
  int rc = f->pipe.no_memory ? CAW_ENOMEM : CAW_ETLS;
  if (rc == CAW_ENOMEM) tls_say(&f->why, "%s", caw_strerror(rc));
  else tls_say_error(&f->why, f->server != NULL);
  ERR_clear_error();
  return rc;
}

/* ---- The handshake ---- */

/* A resumed session skips the look at the certificate, which may have expired since. */
static bool outlived(SSL *ssl) {
  if (!SSL_session_reused(ssl)) return false;
  X509 *x = SSL_get1_peer_certificate(ssl);
  bool late = x && X509_cmp_current_time(X509_get0_notAfter(x)) < 0;
  X509_free(x);
  return late;
}

static bool verifies(SSL *ssl) {
  return SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE;
}

/* The handshake is over: is all as it must be? */
static int check_shaken(tls_filter *f) {
  const unsigned char *alpn;
  unsigned len;
  SSL_get0_alpn_selected(f->ssl, &alpn, &len);
  if (len != 2 || memcmp(alpn, "h2", 2) != 0)
    return tls_fail(&f->why, CAW_ETLS,
                    "the %s chose no protocol of ours (ALPN h2); is it a gRPC %s?",
                    f->server ? "client" : "server", f->server ? "client" : "server");
  if (verifies(f->ssl) && outlived(f->ssl))
    return tls_fail(&f->why, CAW_ETLS, "the %s's certificate has expired since the session began",
                    f->server ? "client" : "server");
  int rc = tls_identity_new(&f->identity, f->ssl, verifies(f->ssl));
  if (rc) tls_say(&f->why, "%s", caw_strerror(rc));
  return rc;
}

static void shaken(tls_filter *f) {
  int rc = check_shaken(f);
  if (!rc && flush(f)) rc = tls_fail(&f->why, CAW_ECONN, "the connection was lost");
  if (rc) {
    fail_shake(f, rc);
    return;
  }
  tell_connect(f, 0);
}

/* A client without TLS does not understand an alert of OpenSSL's making, and gets none;
 * this one tells those that look (RFC 8446 6: fatal, protocol_version). */
static void alert_plain(tls_filter *f) {
  static const uint8_t alert[] = {0x15, 3, 1, 0, 2, 2, SSL_AD_PROTOCOL_VERSION};
  if (!f->server || !f->plain || !tls_pipe_reserve(&f->pipe, sizeof(alert))) return;
  memcpy(f->pipe.out + f->pipe.out_len, alert, sizeof(alert));
  f->pipe.out_len += sizeof(alert);
}

static void say_shake_error(tls_filter *f) {
  if (f->plain)
    tls_say(&f->why, f->server ? "the client does not speak TLS, which this port wants"
                               : "the server does not speak TLS on this port; is it a plaintext "
                                 "port? then make the channel without credentials");
  else if (!f->why.text[0]) tls_say_error(&f->why, f->server != NULL);
  ERR_clear_error();
}

static void shake(tls_filter *f) {
  ERR_clear_error();
  int n = SSL_do_handshake(f->ssl);
  if (n == 1) {
    shaken(f);
    return;
  }
  int error = SSL_get_error(f->ssl, n);
  if (error == SSL_ERROR_WANT_READ && !f->raw_ended) {
    if (flush(f)) {
      tls_say(&f->why, "the connection was lost in the TLS handshake");
      fail_shake(f, CAW_ECONN);
    }
    return;
  }
  f->broken = true;
  if (f->pipe.no_memory) {
    tls_say(&f->why, "%s", caw_strerror(CAW_ENOMEM));
    ERR_clear_error();
    fail_shake(f, CAW_ENOMEM);
    return;
  }
  alert_plain(f);
  say_shake_error(f);
  fail_shake(f, CAW_ETLS);
}

/* Told of each certificate of the peer's that is not good. */
static int on_verify(int good, X509_STORE_CTX *store) {
  SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  tls_filter *f = SSL_get_app_data(ssl);
  if (!good && verifies(ssl) && !f->why.text[0]) tls_say_certificate(&f->why, store, f->client);
  return good;
}

int tls_on_certificate_request(SSL *ssl, X509 **x, EVP_PKEY **key) {
  tls_filter *f = SSL_get_app_data(ssl);
  (void)x, (void)key;
  f->asked = true;
  return 0; /* goes on without one */
}

/* Takes the session over when it returns 1. */
int tls_on_session(SSL *ssl, SSL_SESSION *session) {
  tls_filter *f = SSL_get_app_data(ssl);
  if (!f->client) return 0;
  tls_client_keep(f->client, session, f->generation);
  return 1;
}

/* ---- Bytes in ---- */

/* Answers to what was read: a peer that asks on and on must read them. */
static bool owes_too_much(tls_filter *f, size_t before) {
  size_t now = tls_pipe_waiting(&f->pipe);
  if (now > before) f->owed += now - before;
  return f->owed > OWED_MAX;
}

/* SSL_set_msg_callback: a change of keys costs us some microseconds and the peer nothing. */
static void on_message(int write, int version, int type, const void *data, size_t len, SSL *ssl,
                       void *user) {
  tls_filter *f = user;
  (void)version, (void)ssl;
  if (!write && type == SSL3_RT_HANDSHAKE && len && *(const uint8_t *)data == SSL3_MT_KEY_UPDATE)
    f->updates++;
}

/* Ends the connection when the peer does what costs more than it gives. */
static bool is_burden(tls_filter *f, size_t before) {
  const char *what = f->updates > UPDATES_MAX ? "the peer changes its TLS keys again and again"
                     : owes_too_much(f, before)
                         ? "the peer asks for TLS answers that it does not read"
                         : NULL;
  if (!what) return false;
  tls_say(&f->why, "%s", what);
  f->broken = true;
  tell_end(f, CAW_EPROTO);
  return true;
}

/* Decrypts what is there, up to a buffer, and gives it to the owner. False when there
 * was not enough for more. */
static bool deliver(tls_filter *f) {
  uint8_t plain[RECORD];
  size_t have = 0, got = 0, before = tls_pipe_waiting(&f->pipe);
  int error = SSL_ERROR_NONE, rc = 0;
  ERR_clear_error();
  while (have < sizeof(plain)) {
    int ok = SSL_read_ex(f->ssl, plain + have, sizeof(plain) - have, &got);
    if (ok != 1) {
      error = SSL_get_error(f->ssl, ok);
      break;
    }
    have += got;
  }
  if (error == SSL_ERROR_ZERO_RETURN) rc = CAW_EEND;
  else if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ) rc = note_failure(f);
  f->served = f->served || have;
  if (have) f->updates = 0;
  if (have) f->base.events->on_read(f->base.user, plain, have);
  if (f->closed || f->state != TLS_OPEN) return false;
  if (is_burden(f, before)) return false;
  if (!rc) return error == SSL_ERROR_NONE;
  /* The alert of a failure, if there is one, goes out. */
  if (rc != CAW_EEND && flush(f)) f->raw_ended = true;
  tell_end(f, rc);
  return false;
}

/* Uses what is in the pipe as far as the owner reads. */
static void take_input(tls_filter *f) {
  f->more = false;
  while (!f->closed && f->state == TLS_OPEN && f->reading) {
    if (!deliver(f)) break;
  }
  if (f->closed) return;
  f->more = f->state == TLS_OPEN && (f->pipe.in_len || SSL_has_pending(f->ssl)) && !f->reading;
  if (!f->more) f->pipe.in_len = 0;
  if (f->state == TLS_OPEN && tls_pipe_waiting(&f->pipe) && !f->waits && flush(f)) {
    tls_say(&f->why, "the connection was lost");
    tell_end(f, CAW_ECONN);
  }
}

/* What is left of borrowed bytes is kept. */
static void keep_input(tls_filter *f) {
  tls_pipe *p = &f->pipe;
  if (!p->in_len) {
    caw_free(f->kept);
    f->kept = NULL;
    return;
  }
  if (f->kept) return; /* it is there already */
  f->kept = caw_malloc(p->in_len);
  if (f->kept) {
    memcpy(f->kept, p->in, p->in_len);
    p->in = f->kept;
    return;
  }
  p->in_len = 0;
  f->broken = true;
  tls_say(&f->why, "%s", caw_strerror(CAW_ENOMEM));
  if (f->state == TLS_SHAKING) fail_shake(f, CAW_ENOMEM);
  else tell_end(f, CAW_ENOMEM);
}

/* A step with what is in the pipe. */
static void advance(tls_filter *f) {
  if (f->state == TLS_SHAKING) {
    f->more = false;
    shake(f);
  }
  if (!f->closed && f->state == TLS_OPEN) take_input(f);
  if (f->closed) return;
  if (f->state != TLS_OPEN) f->pipe.in_len = 0;
  keep_input(f);
  update(f);
}

static void run_step(io_task *task) {
  tls_filter *f = LIST_ENTRY(task, tls_filter, step);
  enter(f);
  advance(f);
  leave(f);
}

/* Does the other side begin with a record of TLS? */
static void look(tls_filter *f, const uint8_t *data) {
  if (f->seen_first) return;
  f->seen_first = true;
  f->plain = data[0] != SSL3_RT_HANDSHAKE && data[0] != SSL3_RT_ALERT;
}

static void raw_read(void *user, const uint8_t *data, size_t len) {
  tls_filter *f = user;
  if (f->state == TLS_LINGERING) {
    f->discarded += len;
    if (f->discarded > DISCARD_MAX) tell_connect(f, f->rc);
    return;
  }
  enter(f);
  look(f, data);
  f->pipe.in = data;
  f->pipe.in_len = len;
  if (f->state == TLS_SHAKING && f->server) {
    /* Signing takes a millisecond: new clients queue for it. */
    f->more = true;
    keep_input(f);
    if (!f->closed && f->state == TLS_SHAKING) io_defer_costly(loop_of(f), &f->step);
    update(f);
  } else {
    advance(f);
  }
  leave(f);
}

/* ---- The socket's other events ---- */

static void raw_connect(void *user, int rc) {
  tls_filter *f = user;
  enter(f);
  if (rc) {
    tell_connect(f, rc);
  } else {
    f->state = TLS_SHAKING;
    shake(f);
    update(f);
  }
  leave(f);
}

static void say_cut(tls_filter *f) {
  if (f->state == TLS_SHAKING)
    tls_say(&f->why, "the %s closed the connection in the TLS handshake",
            f->server ? "client" : "server");
  else if (f->asked && !f->served)
    /* gRPC's C core closes without a word to who has no certificate. */
    tls_say(&f->why, "the server asked for a client certificate and closed the connection; give "
                     "the credentials one");
  else
    tls_say(&f->why, "the peer closed the connection without TLS's close_notify: what it sent may "
                     "be cut short");
}

static void raw_end(void *user, int rc) {
  tls_filter *f = user;
  enter(f);
  f->raw_ended = true;
  if (rc == CAW_EEND) say_cut(f);
  if (f->state == TLS_SHAKING) {
    io_task_cancel(&f->step);
    if (rc != CAW_EEND) tls_say(&f->why, "the connection was lost in the TLS handshake");
    fail_shake(f, CAW_ECONN);
  } else if (f->state == TLS_LINGERING) {
    tell_connect(f, f->rc);
  } else if (f->state == TLS_OPEN) {
    tell_end(f, rc);
  }
  leave(f);
}

static void raw_writable(void *user) {
  tls_filter *f = user;
  enter(f);
  int rc = flush(f);
  if (rc && f->state == TLS_SHAKING) {
    tls_say(&f->why, "the connection was lost in the TLS handshake");
    fail_shake(f, CAW_ECONN);
  } else if (f->waits && (rc || !tls_pipe_waiting(&f->pipe))) {
    /* A broken socket is learnt of from the write that follows. */
    f->waits = false;
    f->base.events->on_writable(f->base.user);
  }
  leave(f);
}

static const io_socket_events raw_events = {raw_connect, raw_read, raw_end, raw_writable};

/* The time of a handshake is over, unless we stood still and the client could do nothing. */
static void expire_shake(tls_filter *f) {
  if (io_timer_excuses(&f->resume, f->server->handshake_timeout, &f->excused)) return;
  io_task_cancel(&f->step);
  tls_say(&f->why, "the client did not finish the TLS handshake in time");
  f->broken = true;
  report(f);
  if (!f->closed) tell_connect(f, CAW_ETIMEDOUT);
}

static void on_resume(io_timer *timer) {
  tls_filter *f = LIST_ENTRY(timer, tls_filter, resume);
  enter(f);
  if (f->state == TLS_LINGERING) {
    tell_connect(f, f->rc);
  } else if (f->state == TLS_SHAKING) {
    expire_shake(f);
  } else {
    advance(f);
  }
  leave(f);
}

/* ---- What the owner calls ---- */

static void tls_read(io_filter *base, bool on) {
  tls_filter *f = self_of(base);
  f->reading = on;
  if (!f->inside) check_resume(f);
  update(f);
}

/* Where a write is in its parts. */
typedef struct cursor {
  const struct iovec *parts;
  int n;
  size_t at; /* in the first part */
} cursor;

static void skip(cursor *c, size_t n) {
  c->at += n;
  while (c->n && c->at >= c->parts->iov_len) {
    c->at -= c->parts->iov_len;
    c->parts++;
    c->n--;
  }
}

/* The next bytes, up to a record: where they are if they are together, else gathered. */
static const uint8_t *next_record(cursor *c, uint8_t room[RECORD], size_t *len) {
  skip(c, 0);
  size_t first = c->parts->iov_len - c->at;
  const uint8_t *from = (const uint8_t *)c->parts->iov_base + c->at;
  if (first >= RECORD || c->n == 1) {
    *len = first < RECORD ? first : RECORD;
    skip(c, *len);
    return from;
  }
  for (*len = 0; c->n && *len < RECORD;) {
    size_t left = c->parts->iov_len - c->at, n = left < RECORD - *len ? left : RECORD - *len;
    memcpy(room + *len, (const uint8_t *)c->parts->iov_base + c->at, n);
    *len += n;
    skip(c, n);
  }
  return room;
}

/* TLS 1.2 has no such limit that matters, nor a way to do it. */
static void count_record(tls_filter *f) {
  if (++f->records < RECORDS_PER_KEY || SSL_version(f->ssl) < TLS1_3_VERSION) return;
  f->records = 0;
  SSL_key_update(f->ssl, SSL_KEY_UPDATE_NOT_REQUESTED); /* goes before the next record */
}

/* Makes records of up to a batch; adds what went into them to *taken. */
static int seal(tls_filter *f, cursor *c, size_t left, size_t *taken) {
  uint8_t room[RECORD];
  size_t batch = left < OUT_BATCH ? left : OUT_BATCH;
  /* One allocation for all of them; without it they make room one by one. */
  tls_pipe_reserve(&f->pipe, batch + (batch / RECORD + 1) * OVERHEAD);
  for (size_t sealed = 0; sealed < batch;) {
    size_t len;
    const uint8_t *data = next_record(c, room, &len);
    /* One record, unless the peer wants shorter ones (RFC 6066 4). */
    for (size_t at = 0, done = 0; at < len; at += done) {
      ERR_clear_error();
      if (SSL_write_ex(f->ssl, data + at, len - at, &done) != 1) return note_failure(f);
      count_record(f);
    }
    sealed += len;
    *taken += len;
  }
  return 0;
}

static long tls_write(io_filter *base, const struct iovec *parts, int n) {
  tls_filter *f = self_of(base);
  if ((f->state != TLS_OPEN && f->state != TLS_ENDED) || f->shut || f->broken) return CAW_ESTATE;
  size_t total = 0, taken = 0;
  for (int i = 0; i < n; i++) total += parts[i].iov_len;
  cursor c = {parts, n, 0};
  int rc = flush(f);
  while (!rc && taken < total && !tls_pipe_waiting(&f->pipe)) {
    rc = seal(f, &c, total - taken, &taken);
    if (!rc) rc = flush(f);
  }
  if (rc) return rc;
  f->waits = tls_pipe_waiting(&f->pipe) > 0;
  return (long)taken;
}

static bool tls_waits(const io_filter *base) {
  return ((const tls_filter *)(const void *)base)->waits;
}

/* Says that nothing more is written, once, if it can be said. */
static void notify(tls_filter *f) {
  if (f->notified || f->broken || (f->state != TLS_OPEN && f->state != TLS_ENDED)) return;
  f->notified = true;
  ERR_clear_error();
  SSL_shutdown(f->ssl);
  ERR_clear_error();
}

static void tls_shutdown(io_filter *base) {
  tls_filter *f = self_of(base);
  notify(f);
  f->shut = true;
  flush(f); /* a broken socket is learnt of by reading */
}

static void tls_close(io_filter *base) {
  tls_filter *f = self_of(base);
  notify(f);
  flush(f);
  /* Were it not said that both sides have closed, OpenSSL would take the session for
   * unfit to be resumed. */
  if (!f->broken && SSL_is_init_finished(f->ssl))
    SSL_set_shutdown(f->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  io_task_cancel(&f->step);
  io_timer_finish(&f->resume);
  f->closed = true;
  if (!f->inside) destroy(f);
}

static const char *tls_why_text(const io_filter *base) {
  const tls_filter *f = (const tls_filter *)(const void *)base;
  if (f->why.text[0]) return f->why.text;
  return f->state == TLS_SHAKING ? "the TLS handshake took too long" : NULL;
}

static const io_filter_class tls_class = {tls_read,     tls_write, tls_waits,
                                          tls_shutdown, tls_close, tls_why_text};

/* ---- Making ---- */

static int make(tls_filter **out, io_socket *s, tls_credentials *c) {
  tls_filter *f = caw_calloc(1, sizeof(*f));
  if (!f) return CAW_ENOMEM;
  f->base.cls = &tls_class;
  io_task_init(&f->step, run_step);
  f->ssl = tls_credentials_ssl(c, &f->generation);
  if (!f->ssl || tls_bio_attach(f->ssl, c->bio, &f->pipe) || SSL_set_app_data(f->ssl, f) != 1)
    goto fail;
  SSL_set_verify(f->ssl, SSL_get_verify_mode(f->ssl), on_verify);
  SSL_set_msg_callback(f->ssl, on_message);
  SSL_set_msg_callback_arg(f->ssl, f);
  if (io_timer_init(&f->resume, io_socket_loop(s), on_resume)) goto fail;
  *out = f;
  return 0;
fail:
  destroy(f);
  ERR_clear_error();
  return CAW_ENOMEM;
}

int io_tls_connect(io_socket *s, io_tls_client *client) {
  tls_filter *f;
  int rc = make(&f, s, &client->credentials->base);
  if (rc) return rc;
  if (tls_client_prepare(client, f->ssl, f->generation)) {
    io_timer_finish(&f->resume);
    destroy(f);
    return CAW_ENOMEM;
  }
  f->client = client;
  f->state = TLS_CONNECTING;
  SSL_set_connect_state(f->ssl);
  io_socket_filter(s, &f->base, &raw_events);
  return 0;
}

int io_tls_accept(io_socket *s, caw_server_credentials *credentials, uint64_t most) {
  tls_filter *f;
  int rc = make(&f, s, &credentials->base);
  if (rc) return rc;
  f->server = caw_server_credentials_ref(credentials);
  f->state = TLS_SHAKING;
  SSL_set_accept_state(f->ssl);
  io_socket_filter(s, &f->base, &raw_events);
  uint64_t now = io_now(io_socket_loop(s)), time = credentials->handshake_timeout;
  if (time > most) time = most;
  io_timer_start(&f->resume, time < UINT64_MAX - now ? now + time : UINT64_MAX);
  update(f);
  return 0;
}

caw_peer_identity *io_tls_take_identity(io_socket *s) {
  io_filter *base = io_socket_filtered(s);
  if (!base || base->cls != &tls_class) return NULL;
  tls_filter *f = self_of(base);
  caw_peer_identity *id = f->identity;
  f->identity = NULL;
  return id;
}
