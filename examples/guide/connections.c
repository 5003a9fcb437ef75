/* The life of connections: keepalive, limits of age and idleness, and what clients see
 * of it, which is nothing. */
#include "stage.h"

#include <caw/blocking.h>
#include <greeter.caw.h>
#include <stdio.h>
#include <string.h>

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)request;
  (void)self;
  reply->message = caw_call_peer(call);
  return CAW_OK;
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  const caw_server_options serving = {
      .size = sizeof(serving),
      .keepalive_time_ms = 60000,    /* asks clients that are silent for a minute ... */
      .keepalive_timeout_ms = 10000, /* ... and ends those that do not answer */
      .min_recv_ping_interval_without_data_ms = 30000, /* clients may ask so often */
      .max_connection_age_ms = 100,                    /* short, for this example; hours in yours */
      .max_connection_age_grace_ms = 5000,
  };
  const caw_channel_options calling = {
      .size = sizeof(calling),
      .keepalive_time_ms = 60000,
      .keepalive_timeout_ms = 10000,
      .idle_timeout_ms = 600000, /* without a call, the connection goes */
  };
  caw_server *server;
  stage_check(caw_server_new(&server, &serving), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  caw_channel *channel;
  stage_check(caw_channel_new(&channel, stage_serve(server), &calling, NULL), "caw_channel_new");

  /* Calls go on while connections come and go: each comes from another port. */
  caw_arena *arena = caw_arena_new(0);
  char peers[3][80] = {""};
  int connections = 0, failed = 0;
  while (connections < 3 && !failed) {
    greeter_hello_request request = {0};
    greeter_hello_reply reply;
    failed = greeter_greeter_say_hello(channel, &request, &reply, arena, NULL, NULL);
    char *last = connections ? peers[connections - 1] : peers[0];
    if (failed || caw_str_is(reply.message, last)) continue;
    snprintf(peers[connections++], sizeof(peers[0]), "%.*s", CAW_STR_ARG(reply.message));
  }
  printf("%d connections, %s\n", connections, failed ? caw_code_name(failed) : "no call failed");

  caw_arena_free(arena);
  caw_channel_free(channel);
  stage_end(server);
  return failed;
}
