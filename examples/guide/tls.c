/* Mutual TLS: both ends show a certificate, and the handler sees who calls. */
#include "stage.h"

#include <caw/blocking.h>
#include <caw/tls.h>
#include <greeter.caw.h>
#include <stdio.h>
#include <stdlib.h>

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  const caw_peer_identity *who = caw_call_peer_identity(call);
  (void)request;
  (void)self;
  if (!who || !who->verified) return caw_call_fail(call, CAW_UNAUTHENTICATED, "no certificate");
  printf("server: %s, %.*s\n", who->tls, CAW_STR_ARG(who->subject));
  reply->message = who->subject;
  return CAW_OK;
}

static caw_pem pem(char path[300], const char *folder, const char *name) {
  snprintf(path, 300, "%s/%s", folder, name);
  return (caw_pem){.file = path};
}

static caw_server_credentials *server_credentials(const char *folder) {
  char cert[300], key[300], ca[300], why[400];
  caw_server_credentials *credentials;
  const caw_tls_server_options options = {.size = sizeof(options),
                                          .cert = pem(cert, folder, "server.pem"),
                                          .key = pem(key, folder, "server.key"),
                                          .client_ca = pem(ca, folder, "ca.pem"),
                                          .client_auth = CAW_TLS_CLIENT_REQUIRED};
  if (caw_tls_server_new(&credentials, &options, why, sizeof(why))) {
    fprintf(stderr, "%s\n", why); /* it names the file and the reason */
    exit(1);
  }
  return credentials;
}

static caw_channel_credentials *client_credentials(const char *folder) {
  char cert[300], key[300], ca[300], why[400];
  caw_channel_credentials *credentials;
  const caw_tls_client_options options = {.size = sizeof(options),
                                          .ca = pem(ca, folder, "ca.pem"),
                                          .cert = pem(cert, folder, "client.pem"),
                                          .key = pem(key, folder, "client.key")};
  if (caw_tls_client_new(&credentials, &options, why, sizeof(why))) {
    fprintf(stderr, "%s\n", why);
    exit(1);
  }
  return credentials;
}

int main(int argc, char **argv) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  const char *folder = argc > 1 ? argv[1] : "certs"; /* scripts/dev-certs certs */
  caw_server *server;
  caw_server_credentials *serving = server_credentials(folder);
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  stage_check(caw_server_listen_tls(server, "127.0.0.1:0", serving), "caw_server_listen_tls");
  caw_server_credentials_unref(serving); /* the server has its own reference */

  caw_channel *channel;
  caw_channel_options options = {.size = sizeof(options),
                                 .credentials = client_credentials(folder)};
  stage_check(caw_channel_new(&channel, stage_serve(server), &options, NULL), "caw_channel_new");
  caw_channel_credentials_unref(options.credentials);

  caw_arena *arena = caw_arena_new(0);
  greeter_hello_request request = {0};
  greeter_hello_reply reply;
  caw_status status;
  int code = greeter_greeter_say_hello(channel, &request, &reply, arena, NULL, &status);
  if (code) printf("client: %s: %.*s\n", caw_code_name(code), CAW_STR_ARG(status.message));
  else printf("client: the server knows me as %.*s\n", CAW_STR_ARG(reply.message));

  caw_arena_free(arena);
  caw_channel_free(channel);
  stage_end(server);
  return code != 0;
}
