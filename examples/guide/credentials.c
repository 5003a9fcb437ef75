/* Call credentials: a token for every call, asked for when it is needed, and never
 * sent where others can read it. */
#include "stage.h"

#include <caw/blocking.h>
#include <caw/credentials.h>
#include <caw/interceptor.h>
#include <greeter.caw.h>
#include <stdio.h>

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)request;
  (void)self;
  reply->message = caw_metadata_get(caw_call_metadata(call), "authorization");
  return CAW_OK;
}

/* Where tokens come from: here, a number that grows. One that has to ask a server for it
 * returns CAW_PENDING and calls caw_call_decide when it is there. */
static int new_token(caw_call *call, const caw_credentials_context *context, void *user) {
  int *count = user;
  caw_str value = caw_arena_printf(caw_call_arena(call), "Bearer %d", ++*count);
  (void)context; /* says for which service, should tokens differ */
  if (!value.data) return CAW_ENOMEM;
  return caw_call_metadata_add(call, CAW_REQUEST_METADATA, caw_str_from("authorization"), value);
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  const caw_credentials_plugin plugin = {.size = sizeof(plugin), .get = new_token};
  int count = 0;
  caw_server *server;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");

  caw_channel *channel;
  caw_channel_options options = {.size = sizeof(options)};
  stage_check(caw_call_credentials_new(&options.call_credentials, &plugin, &count),
              "caw_call_credentials_new");
  stage_check(caw_channel_new(&channel, stage_serve(server), &options, NULL), "caw_channel_new");
  caw_call_credentials_unref(options.call_credentials); /* the channel has its own reference */

  caw_arena *arena = caw_arena_new(0);
  for (int i = 0; i < 2; i++) {
    greeter_hello_request request = {0};
    greeter_hello_reply reply;
    stage_check(greeter_greeter_say_hello(channel, &request, &reply, arena, NULL, NULL),
                "the call");
    printf("the server saw: %.*s\n", CAW_STR_ARG(reply.message));
  }
  caw_arena_free(arena);
  caw_channel_free(channel);
  stage_end(server);
  return 0;
}
