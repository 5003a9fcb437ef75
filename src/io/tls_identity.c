/* Who the other end is: caw_peer_identity of a finished handshake. */
#include "io/tls_inner.h"

#include <arpa/inet.h>
#include <caw/alloc.h>
#include <caw/status.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 256

/* ---- Names ---- */

/* A name of a certificate; `data` is the certificate's. */
typedef struct raw_name {
  caw_san_kind kind;
  const uint8_t *data;
  size_t len;
} raw_name;

/* A name that ends early for C, or draws lines in a log, is for nobody's good. */
static bool clean(const uint8_t *data, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (data[i] < 0x20 || data[i] == 0x7f) return false;
  return len > 0;
}

static bool take_string(raw_name *n, caw_san_kind kind, const ASN1_IA5STRING *s) {
  n->kind = kind;
  n->data = ASN1_STRING_get0_data(s);
  n->len = (size_t)ASN1_STRING_length(s);
  return clean(n->data, n->len);
}

static bool take_name(raw_name *n, const GENERAL_NAME *g) {
  switch (g->type) {
  case GEN_DNS:
    return take_string(n, CAW_SAN_DNS, g->d.dNSName);
  case GEN_URI:
    return take_string(n, CAW_SAN_URI, g->d.uniformResourceIdentifier);
  case GEN_EMAIL:
    return take_string(n, CAW_SAN_EMAIL, g->d.rfc822Name);
  case GEN_IPADD:
    n->kind = CAW_SAN_IP;
    n->data = ASN1_STRING_get0_data(g->d.iPAddress);
    n->len = (size_t)ASN1_STRING_length(g->d.iPAddress);
    return n->len == 4 || n->len == 16;
  default:
    return false;
  }
}

/* Writes a name as text; returns its length without a NUL, which is not written. */
static size_t put_name(char *to, const raw_name *n) {
  char text[INET6_ADDRSTRLEN];
  if (n->kind != CAW_SAN_IP) {
    memcpy(to, n->data, n->len);
    return n->len;
  }
  if (!inet_ntop(n->len == 4 ? AF_INET : AF_INET6, n->data, text, sizeof(text))) return 0;
  size_t len = strlen(text);
  memcpy(to, text, len);
  return len;
}

static size_t name_room(const raw_name *n) {
  return n->kind == CAW_SAN_IP ? INET6_ADDRSTRLEN : n->len;
}

static GENERAL_NAMES *names_of(const X509 *x) {
  return X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
}

void tls_names_text(char *out, size_t room, X509 *x) {
  GENERAL_NAMES *all = names_of(x);
  size_t at = 0;
  out[0] = '\0';
  for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
    raw_name n;
    if (!take_name(&n, sk_GENERAL_NAME_value(all, i))) continue;
    if (at + 8 + name_room(&n) > room) {
      snprintf(out + at, room - at, at ? ", ..." : "...");
      break;
    }
    if (at) at += (size_t)snprintf(out + at, room - at, ", ");
    at += put_name(out + at, &n);
    out[at] = '\0';
  }
  GENERAL_NAMES_free(all);
}

/* ---- The identity ---- */

static BIO *subject_of(const X509 *x) {
  BIO *bio = BIO_new(BIO_s_mem());
  if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(x), 0,
                                XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) < 0) {
    BIO_free(bio);
    return NULL;
  }
  return bio;
}

/* One block: the struct, the list, the strings. */
static caw_peer_identity *make(size_t names, size_t text) {
  caw_peer_identity *id =
      caw_calloc(1, sizeof(caw_peer_identity) + names * sizeof(caw_san) + text + 1);
  return id;
}

static int fill(caw_peer_identity **out, const X509 *x, const GENERAL_NAMES *all, BIO *subject) {
  raw_name n;
  size_t count = 0, room = 0;
  char *data;
  long len = BIO_get_mem_data(subject, &data);
  for (int i = 0; i < sk_GENERAL_NAME_num(all) && count < NAMES_MAX; i++) {
    if (!take_name(&n, sk_GENERAL_NAME_value(all, i))) continue;
    count++;
    room += name_room(&n);
  }
  caw_peer_identity *id = make(count, room + (size_t)len);
  if (!id) return CAW_ENOMEM;
  caw_san *names = (caw_san *)(void *)(id + 1);
  char *text = (char *)(names + count);
  if (len) memcpy(text, data, (size_t)len);
  id->subject = caw_str_of(text, (size_t)len);
  text += len;
  for (int i = 0; i < sk_GENERAL_NAME_num(all) && id->names_len < count; i++) {
    if (!take_name(&n, sk_GENERAL_NAME_value(all, i))) continue;
    size_t took = put_name(text, &n);
    names[id->names_len++] = (caw_san){n.kind, caw_str_of(text, took)};
    text += took;
  }
  id->names = names;
  id->certificate = true;
  unsigned digest_len = sizeof(id->sha256);
  *out = id;
  return X509_digest(x, EVP_sha256(), id->sha256, &digest_len) == 1 ? 0 : CAW_ENOMEM;
}

static int from_certificate(caw_peer_identity **out, const X509 *x) {
  GENERAL_NAMES *all = names_of(x);
  BIO *subject = subject_of(x);
  int rc = subject ? fill(out, x, all, subject) : CAW_ENOMEM;
  BIO_free(subject);
  GENERAL_NAMES_free(all);
  return rc;
}

int tls_identity_new(caw_peer_identity **out, SSL *ssl, bool verified) {
  caw_peer_identity *id = NULL;
  X509 *x = SSL_get1_peer_certificate(ssl);
  int rc = 0;
  if (x) rc = from_certificate(&id, x);
  else if (!(id = make(0, 0))) rc = CAW_ENOMEM;
  X509_free(x);
  if (rc) {
    caw_free(id);
    return rc;
  }
  id->verified = verified && id->certificate && SSL_get_verify_result(ssl) == X509_V_OK;
  id->resumed = SSL_session_reused(ssl) == 1;
  id->tls = SSL_get_version(ssl);
  id->cipher = SSL_get_cipher_name(ssl);
  *out = id;
  return 0;
}
