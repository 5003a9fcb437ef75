/*
 * Runs the tests of servers and channels over TLS as they are: with CAW_TEST_TLS set,
 * caw_server_listen, caw_server_listen_fd and caw_channel_new of the tests (not those inside the
 * library) get credentials, and so do fake servers and raw sockets. The linker's --wrap sends them
 * here (tests/CMakeLists.txt).
 */
#include "certs.h"
#include "raw.h"

#include <caw/channel.h>
#include <caw/server.h>
#include <string.h>

static caw_server_credentials *server;
static caw_channel_credentials *channel;

/* Before a test counts or fails allocations. */
__attribute__((constructor)) static void make_credentials(void) {
  if (!certs_wanted()) return;
  server = certs_server();
  channel = certs_channel();
  raw_server_credentials = server;
  raw_channel_credentials = channel;
}

int __real_caw_server_listen(caw_server *s, const char *address);
int __wrap_caw_server_listen(caw_server *s, const char *address);
int __wrap_caw_server_listen(caw_server *s, const char *address) {
  return server ? caw_server_listen_tls(s, address, server) : __real_caw_server_listen(s, address);
}

int __real_caw_server_listen_fd(caw_server *s, int fd, caw_server_credentials *tls);
int __wrap_caw_server_listen_fd(caw_server *s, int fd, caw_server_credentials *tls);
int __wrap_caw_server_listen_fd(caw_server *s, int fd, caw_server_credentials *tls) {
  return __real_caw_server_listen_fd(s, fd, tls ? tls : server);
}

int __real_caw_channel_new(caw_channel **out, const char *target,
                           const caw_channel_options *options, const char **why);
int __wrap_caw_channel_new(caw_channel **out, const char *target,
                           const caw_channel_options *options, const char **why);
int __wrap_caw_channel_new(caw_channel **out, const char *target,
                           const caw_channel_options *options, const char **why) {
  caw_channel_options o = {.size = sizeof(o)};
  if (!channel || (options && options->size < sizeof(o)))
    return __real_caw_channel_new(out, target, options, why);
  if (options) o = *options;
  if (!o.credentials) o.credentials = channel;
  return __real_caw_channel_new(out, target, &o, why);
}
