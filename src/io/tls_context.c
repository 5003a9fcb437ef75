/*
 * One SSL_CTX: everything that is decided for all connections of some credentials,
 * after RFC 9113 9.2 (HTTP/2 over TLS), RFC 7301 (ALPN) and gRPC's PROTOCOL-HTTP2.md.
 */
#include "io/tls_inner.h"

#include <caw/status.h>
#include <openssl/err.h>
#include <string.h>

/* RFC 9113 9.2.2 and appendix A leave these to TLS 1.2: ephemeral and AEAD. */
#define TLS_1_2_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"

/* 112 bits: RSA of 2,048 bits, no SHA-1 (SSL_CTX_set_security_level(3)). */
#define SECURITY_LEVEL 2

/* How long a session can be resumed, seconds. A client that has been shut out must make
 * a full handshake at the latest then. */
#define SESSION_TIME 3600

static const unsigned char h2[] = {2, 'h', '2'};

/* ALPN (RFC 7301): h2 or nothing. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *user) {
  (void)ssl, (void)user;
  for (unsigned i = 0; i < in_len && i + in[i] < in_len; i += 1u + in[i]) {
    if (in[i] != 2 || memcmp(in + i, h2, sizeof(h2))) continue;
    *out = in + i + 1;
    *out_len = 2;
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A client that says nothing of ALPN never comes to select_alpn. */
static int check_hello(SSL *ssl, int *alert, void *user) {
  const unsigned char *ext;
  size_t len;
  (void)user;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &ext,
                                &len))
    return SSL_CLIENT_HELLO_SUCCESS;
  ERR_raise(ERR_LIB_SSL, SSL_R_NO_APPLICATION_PROTOCOL);
  *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
  return SSL_CLIENT_HELLO_ERROR;
}

static int min_version(caw_tls_version v) {
  return v == CAW_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

static int set_up(SSL_CTX *ctx, const tls_plan *plan) {
  /* Whatever the system's openssl.cnf says: these are what Caw promises. */
  if (SSL_CTX_set_min_proto_version(ctx, min_version(plan->min_version)) != 1 ||
      SSL_CTX_set_max_proto_version(ctx, 0) != 1 ||
      SSL_CTX_set_cipher_list(ctx, TLS_1_2_CIPHERS) != 1)
    return CAW_ETLS;
  if (SSL_CTX_get_security_level(ctx) < SECURITY_LEVEL)
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
  SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  /* Idle connections keep no buffers: 2 x 16 KiB less (measured). */
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(ctx, 0);
  SSL_CTX_set_timeout(ctx, SESSION_TIME);
  X509_STORE *store = SSL_CTX_get_cert_store(ctx);
  /* A bundle may hold an intermediate CA alone: it is trusted because it is there. */
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
  return 0;
}

/* Sessions are in tickets: a server keeps nothing of them. The keys are the SSL_CTX's
 * own, so a reload ends all of them. */
static int set_up_server(SSL_CTX *ctx, const tls_plan *plan) {
  SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
  SSL_CTX_set_client_hello_cb(ctx, check_hello, NULL);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  if (plan->no_resumption) {
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    if (SSL_CTX_set_num_tickets(ctx, 0) != 1) return CAW_ENOMEM;
  }
  static const unsigned char id[] = "caw";
  return SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1) == 1 ? 0 : CAW_ENOMEM;
}

static int set_up_client(SSL_CTX *ctx, const tls_plan *plan) {
  if (SSL_CTX_set_alpn_protos(ctx, h2, sizeof(h2))) return CAW_ENOMEM;
  SSL_CTX_set_session_cache_mode(ctx, plan->no_resumption
                                          ? SSL_SESS_CACHE_OFF
                                          : SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, tls_on_session);
  if (!tls_given(&plan->from.cert)) SSL_CTX_set_client_cert_cb(ctx, tls_on_certificate_request);
  if (plan->no_resumption) SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
  return 0;
}

static int verify_mode(const tls_plan *plan) {
  if (!plan->server) return plan->noverify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
  switch (plan->client_auth) {
  case CAW_TLS_CLIENT_OPTIONAL:
    return SSL_VERIFY_PEER;
  case CAW_TLS_CLIENT_REQUIRED:
    return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  case CAW_TLS_CLIENT_OFF:
  default:
    return SSL_VERIFY_NONE;
  }
}

static int use_files(SSL_CTX *ctx, const tls_plan *plan, tls_why *why) {
  int rc = 0;
  if (tls_given(&plan->from.ca)) rc = tls_use_ca(ctx, &plan->from.ca, plan->server, why);
  else if (!plan->server && !plan->noverify && SSL_CTX_set_default_verify_paths(ctx) != 1)
    rc = tls_no_memory() ? tls_fail(why, CAW_ENOMEM, "the system's trust store: out of memory")
                         : tls_fail(why, CAW_ETLS, "the system's trust store cannot be read");
  if (!rc && tls_given(&plan->from.cert))
    rc = tls_use_pair(ctx, &plan->from, plan->refuse_exposed_key, why);
  return rc;
}

int tls_context_new(SSL_CTX **out, const tls_plan *plan, tls_why *why) {
  /* The first use of OpenSSL, unless the program was earlier: without this it takes itself
   * down in exit(), under the feet of a channel's thread. */
  OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL);
  SSL_CTX *ctx = SSL_CTX_new(plan->server ? TLS_server_method() : TLS_client_method());
  ERR_clear_error();
  int rc = ctx ? set_up(ctx, plan) : CAW_ENOMEM;
  if (!rc) rc = plan->server ? set_up_server(ctx, plan) : set_up_client(ctx, plan);
  if (rc == CAW_ETLS && tls_no_memory()) rc = CAW_ENOMEM;
  if (rc) tls_say(why, "%s", caw_strerror(rc));
  else rc = use_files(ctx, plan, why);
  if (rc) {
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return rc;
  }
  SSL_CTX_set_verify(ctx, verify_mode(plan), NULL);
  *out = ctx;
  return 0;
}
