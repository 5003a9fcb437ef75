/* A build without TLS: there are no credentials, so nothing ever asks for it. */
#include "io/tls.h"

#include <caw/status.h>
#include <stdio.h>

static int refuse(char *why, size_t room) {
  if (room) snprintf(why, room, "this build of Caw has no TLS");
  return CAW_ENOTSUP;
}

int caw_tls_server_new(caw_server_credentials **out, const caw_tls_server_options *options,
                       char *why, size_t room) {
  (void)out, (void)options;
  return refuse(why, room);
}

int caw_tls_server_reload(caw_server_credentials *credentials,
                          const caw_tls_server_options *options, char *why, size_t room) {
  (void)credentials, (void)options;
  return refuse(why, room);
}

caw_server_credentials *caw_server_credentials_ref(caw_server_credentials *credentials) {
  return credentials;
}

void caw_server_credentials_unref(caw_server_credentials *credentials) {
  (void)credentials;
}

int caw_tls_client_new(caw_channel_credentials **out, const caw_tls_client_options *options,
                       char *why, size_t room) {
  (void)out, (void)options;
  return refuse(why, room);
}

int caw_tls_client_reload(caw_channel_credentials *credentials,
                          const caw_tls_client_options *options, char *why, size_t room) {
  (void)credentials, (void)options;
  return refuse(why, room);
}

caw_channel_credentials *caw_channel_credentials_ref(caw_channel_credentials *credentials) {
  return credentials;
}

void caw_channel_credentials_unref(caw_channel_credentials *credentials) {
  (void)credentials;
}

int io_tls_client_new(io_tls_client **out, caw_channel_credentials *credentials,
                      const char *authority) {
  (void)out, (void)credentials, (void)authority;
  return CAW_ENOTSUP;
}

void io_tls_client_free(io_tls_client *client) {
  (void)client;
}

const char *io_tls_server_name(const caw_channel_credentials *credentials) {
  (void)credentials;
  return NULL;
}

int io_tls_connect(io_socket *s, io_tls_client *client) {
  (void)s, (void)client;
  return CAW_ENOTSUP;
}

int io_tls_accept(io_socket *s, caw_server_credentials *credentials, uint64_t most) {
  (void)s, (void)credentials, (void)most;
  return CAW_ENOTSUP;
}

caw_peer_identity *io_tls_take_identity(io_socket *s) {
  (void)s;
  return NULL;
}
