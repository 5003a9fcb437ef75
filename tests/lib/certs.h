/*
 * Certificates for tests, made in memory: good ones, and each kind of bad one. ECDSA
 * P-256. A test that fails to make one fails.
 */
#ifndef TESTS_CERTS_H
#define TESTS_CERTS_H

#include <caw/tls.h>

typedef struct cert cert;

/* What a certificate says. */
typedef struct cert_spec {
  const char *name;    /* common name; a file's name in certs_file */
  const char *san;     /* as openssl's: "DNS:localhost,IP:127.0.0.1"; NULL: none */
  const char *eku;     /* "serverAuth", "clientAuth"; NULL: any use */
  const cert *issuer;  /* NULL: self-signed */
  bool ca;             /* it may issue others */
  long from, to;       /* seconds from now; both 0: an hour ago, in an hour */
  const char *subject; /* further "KEY=value" of the subject, "O=x"; NULL */
} cert_spec;

struct cert {
  caw_pem cert, key; /* in memory */
  void *x509, *pkey; /* OpenSSL's */
  char name[64];
};

void cert_make(cert *out, const cert_spec *spec);
void cert_free(cert *c);

/* What most tests want: made once in a process. */
typedef struct certs {
  cert ca, other_ca;
  cert server; /* for localhost, 127.0.0.1, ::1 */
  cert client;
} certs;
const certs *certs_good(void);

/* Credentials of these: TLS without client certificates. One reference. */
caw_server_credentials *certs_server(void);
caw_channel_credentials *certs_channel(void);

/* Are the tests to run over TLS: is CAW_TEST_TLS set? */
bool certs_wanted(void);

#endif
