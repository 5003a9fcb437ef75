/*
 * Why TLS failed, for people: what is wrong with a certificate, what the peer's alert
 * means, and what to do about it. OpenSSL's own words are the last resort.
 */
#include "io/tls_inner.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* ---- Certificates ---- */

static void name_text(char *out, size_t room, const X509_NAME *name) {
  BIO *bio = BIO_new(BIO_s_mem());
  out[0] = '\0';
  if (!bio) return;
  X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
  int n = BIO_read(bio, out, (int)room - 1);
  out[n > 0 ? n : 0] = '\0';
  BIO_free(bio);
}

static void time_text(char *out, size_t room, const ASN1_TIME *t) {
  struct tm tm;
  out[0] = '\0';
  if (ASN1_TIME_to_tm(t, &tm) == 1) strftime(out, room, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

static void say_wrong_name(tls_why *why, X509 *x, const io_tls_client *client) {
  char names[256];
  tls_names_text(names, sizeof(names), x);
  if (names[0])
    tls_say(why,
            "the server's certificate is for %s, not for %s; connect by a name that it has, or "
            "have one issued for this name",
            names, client->name);
  else
    tls_say(why,
            "the server's certificate has no subject alternative name, so it is not for %s; have "
            "one issued with that name",
            client->name);
}

static void say_untrusted(tls_why *why, const char *whose, X509 *x, const char *what) {
  char issuer[160];
  name_text(issuer, sizeof(issuer), X509_get_issuer_name(x));
  tls_say(why,
          "the %s's certificate was issued by \"%s\", which is not a trusted CA%s; check the CA "
          "file, and that the %s sends the whole chain",
          whose, issuer, what, whose);
}

void tls_say_certificate(tls_why *why, X509_STORE_CTX *store, const io_tls_client *client) {
  const char *whose = client ? "server" : "client", *other = client ? "servers" : "clients";
  int error = X509_STORE_CTX_get_error(store), depth = X509_STORE_CTX_get_error_depth(store);
  X509 *x = X509_STORE_CTX_get_current_cert(store);
  char when[48], subject[160] = "";
  if (!x) x = X509_STORE_CTX_get0_cert(store);
  if (x && depth) name_text(subject, sizeof(subject), X509_get_subject_name(x));
  const char *of = depth ? " chain's CA certificate " : "";
  switch (x ? error : X509_V_ERR_UNSPECIFIED) {
  case X509_V_ERR_CERT_HAS_EXPIRED:
    time_text(when, sizeof(when), X509_get0_notAfter(x));
    tls_say(why, "the %s's certificate%s%s has expired on %s; renew it, or set the clock", whose,
            of, subject, when);
    return;
  case X509_V_ERR_CERT_NOT_YET_VALID:
    time_text(when, sizeof(when), X509_get0_notBefore(x));
    tls_say(why, "the %s's certificate%s%s is not valid before %s; wait, or set the clock", whose,
            of, subject, when);
    return;
  case X509_V_ERR_HOSTNAME_MISMATCH:
  case X509_V_ERR_IP_ADDRESS_MISMATCH:
    say_wrong_name(why, x, client);
    return;
  case X509_V_ERR_INVALID_PURPOSE:
    tls_say(why,
            "the %s's certificate%s%s may not be used by %s (extended key usage); have one issued "
            "for them",
            whose, of, subject, other);
    return;
  case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    tls_say(why, "the %s's certificate is self-signed and not among the trusted ones", whose);
    return;
  case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
  case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    say_untrusted(why, whose, x, "");
    return;
  case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    say_untrusted(why, whose, x, " of the same key");
    return;
  default:
    tls_say(why, "the %s's certificate%s%s is refused: %s", whose, of, subject,
            X509_verify_cert_error_string(error));
  }
}

/* ---- Memory ---- */

bool tls_no_memory(void) {
  bool found = false;
  for (unsigned long e; (e = ERR_get_error());)
    if (ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE) found = true;
  return found;
}

/* ---- Alerts and errors ---- */

typedef struct reason {
  int code;
  const char *server, *client; /* when it happens to a server, to a client; NULL: the same */
} reason;

/* RFC 8446 6: what the peer's last word means. */
static const reason alerts[] = {
    {SSL3_AD_HANDSHAKE_FAILURE, "the client has no cipher or version in common with us",
     "the server has no cipher or version in common with us, or wants a client certificate"},
    {SSL3_AD_BAD_CERTIFICATE, "the client refused our certificate: bad certificate",
     "the server refused our certificate: bad certificate"},
    {SSL3_AD_UNSUPPORTED_CERTIFICATE,
     "the client refused our certificate: not of a kind or for a use that it accepts",
     "the server refused our certificate: not of a kind or for a use that it accepts"},
    {SSL3_AD_CERTIFICATE_REVOKED, "the client refused our certificate: revoked",
     "the server refused our certificate: revoked"},
    {SSL3_AD_CERTIFICATE_EXPIRED, "the client refused our certificate: expired or not yet valid",
     "the server refused our certificate: expired or not yet valid"},
    {SSL3_AD_CERTIFICATE_UNKNOWN, "the client refused our certificate",
     "the server refused our certificate"},
    {TLS1_AD_UNKNOWN_CA, "the client does not trust the CA of our certificate",
     "the server does not trust the CA of our certificate"},
    {TLS1_AD_ACCESS_DENIED, "the client denies access", "the server denies access"},
    {TLS1_AD_PROTOCOL_VERSION, "the client does not speak our versions of TLS",
     "the server does not speak our versions of TLS, or no TLS on this port"},
    {TLS1_AD_INSUFFICIENT_SECURITY, "the client wants stronger ciphers",
     "the server wants stronger ciphers"},
    {TLS1_AD_UNRECOGNIZED_NAME, NULL, "the server does not know the name that we asked for"},
    {TLS13_AD_CERTIFICATE_REQUIRED, NULL,
     "the server requires a client certificate; give the credentials one"},
    {TLS1_AD_NO_APPLICATION_PROTOCOL, "the client does not speak HTTP/2 over TLS (ALPN h2)",
     "the server does not speak HTTP/2 over TLS (ALPN h2); is it a gRPC server?"},
};

static const reason errors[] = {
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
     "the client has sent no certificate, and one is required", NULL},
    {SSL_R_UNSUPPORTED_PROTOCOL, "the client speaks only versions of TLS below ours",
     "the server speaks only versions of TLS below ours"},
    {SSL_R_VERSION_TOO_LOW, "the client speaks only versions of TLS below ours",
     "the server speaks only versions of TLS below ours"},
    {SSL_R_NO_SHARED_CIPHER, "the client has no cipher in common with us", NULL},
    {SSL_R_NO_APPLICATION_PROTOCOL, "the client does not speak HTTP/2 over TLS (ALPN h2)", NULL},
    {SSL_R_WRONG_VERSION_NUMBER, "the client does not speak TLS",
     "the server does not speak TLS on this port"},
    {SSL_R_HTTP_REQUEST, "the client speaks plain HTTP/1", NULL},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "a TLS record was damaged on its way",
     "a TLS record was damaged on its way"},
};

static const char *find(const reason *table, size_t n, int code, bool server) {
  for (size_t i = 0; i < n; i++)
    if (table[i].code == code) return server ? table[i].server : table[i].client;
  return NULL;
}

void tls_say_error(tls_why *why, bool server) {
  unsigned long e = ERR_peek_error();
  int code = ERR_GET_REASON(e);
  const char *own = NULL, *text = ERR_reason_error_string(e);
  if (ERR_GET_LIB(e) == ERR_LIB_SSL && code > SSL_AD_REASON_OFFSET)
    own = find(alerts, sizeof(alerts) / sizeof(alerts[0]), code - SSL_AD_REASON_OFFSET, server);
  else if (ERR_GET_LIB(e) == ERR_LIB_SSL)
    own = find(errors, sizeof(errors) / sizeof(errors[0]), code, server);
  if (own) tls_say(why, "%s", own);
  else tls_say(why, "TLS: %s", text ? text : "unknown error");
  ERR_clear_error();
}
