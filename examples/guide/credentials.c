/* Call credentials: tokens that are added to calls, and where they are not sent. */
#include "stage.h"

#include <caw/blocking.h>
#include <caw/interceptor.h>
#include <greeter.caw.h>
#include <stdio.h>

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  const caw_metadata *metadata = caw_call_metadata(call);
  (void)request;
  (void)self;
  printf("server: %.*s, tenant \"%.*s\"\n",
         CAW_STR_ARG(caw_metadata_get(metadata, "authorization")),
         CAW_STR_ARG(caw_metadata_get(metadata, "x-tenant")));
  reply->message = caw_str_from("Hello");
  return CAW_OK;
}

/* A plugin of one's own: it may look at what is called, and may answer later. */
static int get_tenant(caw_call *call, const caw_credentials_context *context, void *user) {
  printf("client: asked for %.*s of a service\n", CAW_STR_ARG(context->method));
  return caw_call_metadata_add(call, CAW_REQUEST_METADATA, caw_str_from("x-tenant"),
                               caw_str_from(user));
}

static void greet(caw_channel *channel, const caw_call_options *options) {
  caw_arena *arena = caw_arena_new(0);
  greeter_hello_request request = {0};
  greeter_hello_reply reply;
  caw_status status;
  int rc = greeter_greeter_say_hello(channel, &request, &reply, arena, options, &status);
  if (rc) printf("client: %s: %.*s\n", caw_code_name(rc), CAW_STR_ARG(status.message));
  else printf("client: %.*s\n", CAW_STR_ARG(reply.message));
  caw_arena_free(arena);
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  static const caw_credentials_plugin plugin = {.size = sizeof(plugin), .get = get_tenant};
  static char tenant[] = "blue";
  caw_server *server;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");

  caw_call_credentials *token, *of_tenant;
  stage_check(caw_call_credentials_bearer(&token, caw_str_from("s3cret")), "the token");
  stage_check(caw_call_credentials_new(&of_tenant, &plugin, tenant), "the plugin");

  caw_channel *channel;
  const caw_channel_options options = {.size = sizeof(options), .call_credentials = token};
  stage_check(caw_channel_new(&channel, stage_serve(server), &options, NULL), "caw_channel_new");
  greet(channel, NULL);
  const caw_call_options one = {.size = sizeof(one), .credentials = of_tenant};
  greet(channel, &one);

  caw_call_credentials_unref(token); /* the channel holds its own reference */
  caw_call_credentials_unref(of_tenant);
  caw_channel_free(channel);
  stage_end(server);
  return 0;
}
