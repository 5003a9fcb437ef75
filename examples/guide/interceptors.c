/* Interceptors: who may come in, and what happened. */
#include "stage.h"

#include <caw/blocking.h>
#include <caw/interceptor.h>
#include <greeter.caw.h>
#include <stdio.h>
#include <string.h>

/* ---- One that lets in who brings a token, and says to the handlers who that is ---- */

static const caw_key user_key = {.name = "user"};

static int check_token(caw_call *call, void *users) {
  caw_str token = caw_metadata_get(caw_call_metadata(call), "authorization");
  if (!caw_str_is(token, "Bearer sesame"))
    return caw_call_fail(call, CAW_UNAUTHENTICATED,
                         "send the metadata authorization: Bearer TOKEN");
  return caw_call_set_value(call, &user_key, users);
}

static const caw_interceptor token = {.size = sizeof(token), .on_request = check_token};

/* ---- One that writes what happens ---- */

static void log_message(caw_call *call, const caw_message_info *message, void *user) {
  (void)call;
  (void)user;
  printf("server: %s %zu bytes\n", message->sent ? "sends" : "gets", message->size);
}

static void log_done(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  (void)user;
  printf("server: %s\n", caw_code_name(status->code));
}

static const caw_interceptor log_calls = {.size = sizeof(log_calls),
                                          .on_message = log_message,
                                          .on_done = log_done};

/* ---- The service, and a client ---- */

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)request;
  (void)self;
  reply->message = caw_str_from(caw_call_value(call, &user_key));
  return CAW_OK;
}

static void call_with(caw_channel *channel, const char *authorization) {
  const caw_metadata_entry entry = {CAW_STR("authorization"), caw_str_from(authorization)};
  const caw_call_options options = {.size = sizeof(options), .metadata = &entry, .metadata_len = 1};
  caw_arena *arena = caw_arena_new(0);
  greeter_hello_request request = {.name = CAW_STR("Ann")};
  greeter_hello_reply reply;
  caw_status status;
  if (greeter_greeter_say_hello(channel, &request, &reply, arena, &options, &status))
    printf("client: %s: %.*s\n", caw_code_name(status.code), CAW_STR_ARG(status.message));
  else printf("client: I am %.*s\n", CAW_STR_ARG(reply.message));
  caw_arena_free(arena);
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  static char ali_baba[] = "Ali Baba";
  caw_server *server;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(caw_server_intercept(server, &log_calls, NULL), "caw_server_intercept");
  stage_check(caw_server_intercept(server, &token, ali_baba), "caw_server_intercept");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  caw_channel *channel;
  stage_check(caw_channel_new(&channel, stage_serve(server), NULL, NULL), "caw_channel_new");
  call_with(channel, "Bearer barley");
  call_with(channel, "Bearer sesame");
  caw_channel_free(channel);
  stage_end(server);
  return 0;
}
