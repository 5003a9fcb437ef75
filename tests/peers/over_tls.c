/*
 * Runs these programs over TLS as they are: with CAW_TEST_TLS=1 caw_server_listen and
 * caw_channel_new get credentials of the files in CAW_GRPC_TESTDATA, gRPC's own for tests.
 * The linker's --wrap sends them here.
 */
#include <caw/channel.h>
#include <caw/server.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static caw_server_credentials *server;
static caw_channel_credentials *channel;

static const char *path(const char *name) {
  static char paths[3][512];
  static int next;
  const char *folder = getenv("CAW_GRPC_TESTDATA");
  char *out = paths[next++ % 3];
  snprintf(out, sizeof(paths[0]), "%s/%s", folder ? folder : ".", name);
  return out;
}

__attribute__((constructor)) static void make_credentials(void) {
  const char *wanted = getenv("CAW_TEST_TLS");
  char why[512] = "";
  if (!wanted || strcmp(wanted, "1") != 0) return;
  const caw_tls_server_options so = {.size = sizeof(so),
                                     .cert = {.file = path("server1.pem")},
                                     .key = {.file = path("server1.key")}};
  const caw_tls_client_options co = {.size = sizeof(co),
                                     .ca = {.file = path("ca.pem")},
                                     .server_name = "foo.test.google.fr"};
  if (!caw_tls_server_new(&server, &so, why, sizeof(why)) &&
      !caw_tls_client_new(&channel, &co, why, sizeof(why)))
    return;
  fprintf(stderr, "%s\n", why);
  exit(1);
}

__attribute__((destructor)) static void free_credentials(void) {
  caw_server_credentials_unref(server);
  caw_channel_credentials_unref(channel);
}

int __real_caw_server_listen(caw_server *s, const char *address);
int __wrap_caw_server_listen(caw_server *s, const char *address);
int __wrap_caw_server_listen(caw_server *s, const char *address) {
  return server ? caw_server_listen_tls(s, address, server) : __real_caw_server_listen(s, address);
}

int __real_caw_channel_new(caw_channel **out, const char *target,
                           const caw_channel_options *options, const char **why);
int __wrap_caw_channel_new(caw_channel **out, const char *target,
                           const caw_channel_options *options, const char **why);
int __wrap_caw_channel_new(caw_channel **out, const char *target,
                           const caw_channel_options *options, const char **why) {
  caw_channel_options o = {.size = sizeof(o)};
  if (options) o = *options;
  if (channel) o.credentials = channel;
  return __real_caw_channel_new(out, target, &o, why);
}
