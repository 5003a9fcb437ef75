/* The certificates of certs.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok, const char *what) {
  if (!ok) fail_msg("cannot make a certificate: %s", what);
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value) {
  X509V3_CTX ctx;
  X509V3_set_ctx_nodb(&ctx);
  X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
  X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
  must(e && X509_add_ext(x, e, -1) == 1, value);
  X509_EXTENSION_free(e);
}

static void set_subject(X509 *x, const cert_spec *spec) {
  X509_NAME *name = X509_get_subject_name(x);
  if (spec->subject) {
    char key[16];
    const char *equals = strchr(spec->subject, '=');
    snprintf(key, sizeof(key), "%.*s", (int)(equals - spec->subject), spec->subject);
    must(X509_NAME_add_entry_by_txt(name, key, MBSTRING_UTF8, (const unsigned char *)equals + 1, -1,
                                    -1, 0) == 1,
         spec->subject);
  }
  must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)spec->name, -1,
                                  -1, 0) == 1,
       spec->name);
}

static void set_serial(X509 *x) {
  uint64_t serial;
  RAND_bytes((unsigned char *)&serial, sizeof(serial));
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1);
}

static caw_pem take(BIO *bio) {
  char *data, *copy;
  long len = BIO_get_mem_data(bio, &data);
  must((copy = malloc((size_t)len + 1)) != NULL, "memory");
  memcpy(copy, data, (size_t)len);
  copy[len] = '\0';
  BIO_free(bio);
  return (caw_pem){.text = caw_str_of(copy, (size_t)len)};
}

void cert_make(cert *out, const cert_spec *spec) {
  bool dated = spec->from || spec->to;
  X509 *x = X509_new();
  EVP_PKEY *key = EVP_EC_gen("P-256");
  must(x && key, "key");
  X509 *issuer = spec->issuer ? spec->issuer->x509 : x;
  X509_set_version(x, X509_VERSION_3);
  set_serial(x);
  X509_gmtime_adj(X509_getm_notBefore(x), dated ? spec->from : -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), dated ? spec->to : 3600);
  X509_set_pubkey(x, key);
  set_subject(x, spec);
  X509_set_issuer_name(x, X509_get_subject_name(issuer));
  extend(x, issuer, NID_basic_constraints, spec->ca ? "critical,CA:true" : "critical,CA:false");
  if (spec->san) extend(x, issuer, NID_subject_alt_name, spec->san);
  if (spec->eku) extend(x, issuer, NID_ext_key_usage, spec->eku);
  must(X509_sign(x, spec->issuer ? spec->issuer->pkey : key, EVP_sha256()) > 0, "signature");
  BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
  must(PEM_write_bio_X509(cert_bio, x) == 1, "PEM");
  must(PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1, "PEM");
  *out = (cert){take(cert_bio), take(key_bio), x, key, ""};
  snprintf(out->name, sizeof(out->name), "%s", spec->name);
}

void cert_free(cert *c) {
  free((char *)c->cert.text.data);
  free((char *)c->key.text.data);
  X509_free(c->x509);
  EVP_PKEY_free(c->pkey);
  memset(c, 0, sizeof(*c));
}

static certs good;

static void forget(void) {
  cert_free(&good.ca);
  cert_free(&good.other_ca);
  cert_free(&good.server);
  cert_free(&good.client);
}

const certs *certs_good(void) {
  if (good.ca.x509) return &good;
  cert_make(&good.ca, &(cert_spec){.name = "Test CA", .ca = true});
  cert_make(&good.other_ca, &(cert_spec){.name = "Other CA", .ca = true});
  cert_make(&good.server, &(cert_spec){.name = "server",
                                       .san = "DNS:localhost,IP:127.0.0.1,IP:::1",
                                       .eku = "serverAuth",
                                       .issuer = &good.ca});
  cert_make(&good.client,
            &(cert_spec){.name = "client",
                         .san = "DNS:client.example,URI:spiffe://example/client,"
                                "email:client@example.com,IP:192.0.2.7,IP:2001:db8::7",
                         .eku = "clientAuth",
                         .issuer = &good.ca,
                         .subject = "O=Caw"});
  atexit(forget);
  return &good;
}

caw_server_credentials *certs_server(void) {
  const certs *all = certs_good();
  caw_server_credentials *c = NULL;
  char why[512];
  const caw_tls_server_options o = {.size = sizeof(o),
                                    .cert = all->server.cert,
                                    .key = all->server.key};
  if (caw_tls_server_new(&c, &o, why, sizeof(why))) fail_msg("%s", why);
  return c;
}

caw_channel_credentials *certs_channel(void) {
  caw_channel_credentials *c = NULL;
  char why[512];
  const caw_tls_client_options o = {.size = sizeof(o), .ca = certs_good()->ca.cert};
  if (caw_tls_client_new(&c, &o, why, sizeof(why))) fail_msg("%s", why);
  return c;
}

bool certs_wanted(void) {
  const char *text = getenv("CAW_TEST_TLS");
  return text && *text && strcmp(text, "0") != 0;
}
