/* What the files of TLS share; for src/io/tls_*.c alone. */
#ifndef IO_TLS_INNER_H
#define IO_TLS_INNER_H

#include "io/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>

/* A text for people with room for its parts: names of files and certificates. */
#define TLS_WHY 512

typedef struct tls_why {
  char text[TLS_WHY];
} tls_why;

void tls_say(tls_why *why, const char *format, ...) CAW_PRINTF(2, 3);
/* As tls_say, and returns `rc`. */
int tls_fail(tls_why *why, int rc, const char *format, ...) CAW_PRINTF(3, 4);

/* ---- tls_pem.c: certificates and keys from PEM ---- */

/* Where the parts of credentials come from. */
typedef struct tls_sources {
  caw_pem cert, key, ca;
} tls_sources;

/* Makes `ctx` use a certificate, those that follow it, and its key. That others can read
 * the key's file is an error with `strict`, else a warning that is left in `why` after
 * success. 0 or an error of caw_tls_server_new. */
int tls_use_pair(SSL_CTX *ctx, const tls_sources *from, bool strict, tls_why *why);

/* Makes `ctx` trust the certificates of a bundle; `names`: and tell clients their
 * issuers' names. */
int tls_use_ca(SSL_CTX *ctx, const caw_pem *ca, bool names, tls_why *why);

/* Is something given? */
static inline bool tls_given(const caw_pem *pem) {
  return pem->file || pem->text.data;
}

/* ---- tls_context.c: one SSL_CTX ---- */

/* What an SSL_CTX is made of. */
typedef struct tls_plan {
  bool server, noverify, no_resumption, refuse_exposed_key;
  caw_tls_client_auth client_auth;
  caw_tls_version min_version;
  bool from_memory; /* a kept plan: some of it came from there, and is gone */
  tls_sources from;
} tls_plan;

int tls_context_new(SSL_CTX **out, const tls_plan *plan, tls_why *why);

/* ---- tls_credentials.c ---- */

/* What both kinds of credentials are: an SSL_CTX that can be replaced. */
typedef struct tls_credentials {
  atomic_uint refs;
  pthread_mutex_t reloading; /* from reading to replacing; taken before `lock` */
  pthread_mutex_t lock;      /* ctx, plan, generation */
  SSL_CTX *ctx;
  tls_plan plan; /* its paths are owned, its texts empty */
  unsigned generation;
  BIO_METHOD *bio;
} tls_credentials;

struct caw_server_credentials {
  tls_credentials base;
  uint64_t handshake_timeout; /* nanoseconds */
  void (*on_handshake_error)(const char *peer, const char *why, void *user);
  void *user;
};

struct caw_channel_credentials {
  tls_credentials base;
  char *server_name;
  bool noverify;
};

/* A new SSL of the present SSL_CTX, and which that is; NULL when memory is out. */
SSL *tls_credentials_ssl(tls_credentials *c, unsigned *generation);

/* ---- tls_client.c ---- */

struct io_tls_client {
  caw_channel_credentials *credentials;
  char name[256]; /* "" when nothing is checked */
  bool address;   /* it is an IP address */
  SSL_SESSION *session;
  unsigned generation; /* of the credentials that the session was made with */
};

/* Is `text` ("host:port", "[::1]:5", "host") a name or an address that a certificate can
 * be for? */
bool tls_names_server(const char *text);

/* Makes a new SSL check and send the name, and resume the session if it can. 0 or
 * CAW_ENOMEM. */
int tls_client_prepare(io_tls_client *client, SSL *ssl, unsigned generation);
/* Takes over a session for the next connection. */
void tls_client_keep(io_tls_client *client, SSL_SESSION *session, unsigned generation);

/* ---- tls_filter.c ---- */

/* SSL_CTX_sess_set_new_cb: a session that the next connection can resume. */
int tls_on_session(SSL *ssl, SSL_SESSION *session);
/* SSL_CTX_set_client_cert_cb: the server asks for a certificate, and there is none. */
int tls_on_certificate_request(SSL *ssl, X509 **x, EVP_PKEY **key);

/* ---- tls_bio.c: between an SSL and a filter ---- */

/* Bytes that came, borrowed, and bytes that go. */
typedef struct tls_pipe {
  const uint8_t *in;
  size_t in_len;
  uint8_t *out; /* NULL when nothing waits */
  size_t out_at, out_len, out_room;
  bool no_memory; /* something could not be queued */
} tls_pipe;

BIO_METHOD *tls_bio_method(void);
/* Connects an SSL with a pipe. 0 or CAW_ENOMEM. */
int tls_bio_attach(SSL *ssl, const BIO_METHOD *method, tls_pipe *pipe);
/* Makes room for `more` bytes to go. */
bool tls_pipe_reserve(tls_pipe *p, size_t more);
static inline size_t tls_pipe_waiting(const tls_pipe *p) {
  return p->out_len - p->out_at;
}
/* The first `n` bytes are gone. */
void tls_pipe_took(tls_pipe *p, size_t n);
void tls_pipe_finish(tls_pipe *p);

/* ---- tls_error.c: why a handshake failed ---- */

/* Notes what is wrong with the peer's certificate; in a verify callback. */
void tls_say_certificate(tls_why *why, X509_STORE_CTX *store, const io_tls_client *client);

/* Was memory out, by what OpenSSL's queue of errors says? Empties the queue. OpenSSL does not
 * always say so: some of its look-ups take a denied allocation for "there is no such thing". */
bool tls_no_memory(void);
/* Says what the first error of this thread's queue means, in a handshake or after it, and
 * empties the queue. */
void tls_say_error(tls_why *why, bool server);

/* ---- tls_identity.c ---- */

/* The names of a certificate as text, for messages: "a.example, *.b.example". */
void tls_names_text(char *out, size_t room, X509 *x);

/* 0 or CAW_ENOMEM; caw_free it. */
int tls_identity_new(caw_peer_identity **out, SSL *ssl, bool verified);

#endif
