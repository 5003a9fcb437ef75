/* Compression: asked for by each side for what it sends. */
#include "stage.h"

#include <caw/blocking.h>
#include <greeter.caw.h>
#include <stdio.h>
#include <string.h>

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)self;
  printf("server: %zu bytes came %s\n", request->name.len,
         caw_call_was_compressed(call) ? "compressed" : "as they are");
  reply->message = request->name;
  return CAW_OK;
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  const caw_server_options serving = {.size = sizeof(serving), .encoding = CAW_ENCODING_GZIP};
  const caw_channel_options calling = {.size = sizeof(calling), .encoding = CAW_ENCODING_GZIP};
  caw_server *server;
  stage_check(caw_server_new(&server, &serving), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  caw_channel *channel;
  stage_check(caw_channel_new(&channel, stage_serve(server), &calling, NULL), "caw_channel_new");

  static char text[10000];
  memset(text, 'x', sizeof(text));
  caw_arena *arena = caw_arena_new(0);
  greeter_hello_request large = {.name = caw_str_of(text, sizeof(text))};
  greeter_hello_request small = {.name = CAW_STR("Ann")}; /* gains nothing: sent as it is */
  greeter_hello_reply reply;
  greeter_greeter_say_hello(channel, &large, &reply, arena, NULL, NULL);
  printf("client: %zu bytes\n", reply.message.len);
  greeter_greeter_say_hello(channel, &small, &reply, arena, NULL, NULL);
  printf("client: %zu bytes\n", reply.message.len);

  caw_arena_free(arena);
  caw_channel_free(channel);
  stage_end(server);
  return 0;
}
