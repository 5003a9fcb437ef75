/* A channel's side of TLS: the name that the server must have, and its last session. */
#include "io/tls_inner.h"

#include <arpa/inet.h>
#include <caw/alloc.h>
#include <caw/status.h>
#include <openssl/x509v3.h>
#include <string.h>

/* The host of an authority: without the port, an IPv6 address's brackets, and the dot at
 * a name's end, which certificates do not have. */
static caw_str host_of(const char *authority) {
  const char *end = authority + strlen(authority);
  if (*authority == '[') {
    const char *close = strchr(authority, ']');
    return close ? caw_str_of(authority + 1, (size_t)(close - authority - 1))
                 : caw_str_of(authority, 0);
  }
  const char *colon = strchr(authority, ':');
  /* More than one: an IPv6 address without brackets and port. */
  if (colon && !strchr(colon + 1, ':')) end = colon;
  if (end > authority && end[-1] == '.') end--;
  return caw_str_of(authority, (size_t)(end - authority));
}

static bool is_address(const char *name) {
  uint8_t bytes[16];
  return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

int io_tls_client_new(io_tls_client **out, caw_channel_credentials *credentials,
                      const char *authority) {
  caw_str host = host_of(credentials->server_name ? credentials->server_name : authority);
  if (!host.len || host.len >= sizeof((*out)->name)) return CAW_EINVAL;
  io_tls_client *c = caw_calloc(1, sizeof(*c));
  if (!c) return CAW_ENOMEM;
  memcpy(c->name, host.data, host.len);
  c->address = is_address(c->name);
  c->credentials = caw_channel_credentials_ref(credentials);
  *out = c;
  return 0;
}

void io_tls_client_free(io_tls_client *client) {
  if (!client) return;
  SSL_SESSION_free(client->session);
  caw_channel_credentials_unref(client->credentials);
  caw_free(client);
}

/* RFC 9525: subject alternative names alone, and wildcards for a whole label. */
static bool check_name(const io_tls_client *client, SSL *ssl) {
  X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                         X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return client->address ? X509_VERIFY_PARAM_set1_ip_asc(p, client->name) == 1
                         : X509_VERIFY_PARAM_set1_host(p, client->name, 0) == 1;
}

int tls_client_prepare(io_tls_client *client, SSL *ssl, unsigned generation) {
  if (!check_name(client, ssl)) return CAW_ENOMEM;
  /* RFC 6066 3: names, not addresses. */
  if (!client->address && SSL_set_tlsext_host_name(ssl, client->name) != 1) return CAW_ENOMEM;
  if (!client->session) return 0;
  /* What was trusted before a reload is no reason to trust it now. */
  bool good = client->generation == generation;
  if (good) SSL_set_session(ssl, client->session);
  /* A ticket of TLS 1.3 is used once (RFC 8446 appendix C.4); the server sends another. */
  if (!good || SSL_SESSION_get_protocol_version(client->session) >= TLS1_3_VERSION)
    tls_client_keep(client, NULL, 0);
  return 0;
}

void tls_client_keep(io_tls_client *client, SSL_SESSION *session, unsigned generation) {
  SSL_SESSION_free(client->session);
  client->session = session;
  client->generation = generation;
}
