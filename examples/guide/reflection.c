/* Reflection: a server that tells which services and types it has, and a client that asks. */
#include "stage.h"

#include <caw/blocking.h>
#include <caw/reflection.h>
#include <greeter.caw.h>
#include <grpc/reflection/v1/reflection.caw.h>
#include <stdio.h>

#define METHOD grpc_reflection_v1_server_reflection_server_reflection_info_method
#define CASE(name)                                                                                 \
  GRPC_REFLECTION_V1_SERVER_REFLECTION_RESPONSE_MESSAGE_RESPONSE_CASE_##name##_RESPONSE

typedef grpc_reflection_v1_server_reflection_request question;
typedef grpc_reflection_v1_server_reflection_response answer;

static void print_services(const grpc_reflection_v1_list_service_response *all) {
  for (size_t i = 0; i < all->service.len; i++)
    printf("service %.*s\n", CAW_STR_ARG(all->service.items[i].name));
}

static void print(const char *asked, const answer *a) {
  if (a->message_response_case == CASE(LIST_SERVICES))
    print_services(a->message_response.list_services_response);
  else if (a->message_response_case == CASE(FILE_DESCRIPTOR)) /* what protoc makes of files */
    printf("%s: %zu file\n", asked,
           a->message_response.file_descriptor_response->file_descriptor_proto.len);
  else if (a->message_response_case == CASE(ERROR))
    printf("%s: %s\n", asked, caw_code_name(a->message_response.error_response->error_code));
}

/* What grpcurl does: one call, in which question and answer take turns. */
static void look(const char *address) {
  const question questions[] = {
      {.message_request_case =
           GRPC_REFLECTION_V1_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_CASE_LIST_SERVICES},
      {.message_request.file_containing_symbol = CAW_STR("greeter.Greeter.SayHello"),
       .message_request_case =
           GRPC_REFLECTION_V1_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_CASE_FILE_CONTAINING_SYMBOL},
      {.message_request.file_containing_symbol = CAW_STR("no.Such"),
       .message_request_case =
           GRPC_REFLECTION_V1_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_CASE_FILE_CONTAINING_SYMBOL},
  };
  caw_channel *channel;
  caw_stream *s;
  caw_arena *arena = caw_arena_new(0);
  answer a;
  stage_check(caw_channel_new(&channel, address, NULL, NULL), "caw_channel_new");
  stage_check(caw_stream_open(&s, channel, &METHOD, NULL), "the call");
  for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
    if (!caw_stream_write(s, &questions[i]) && !caw_stream_read(s, &a, arena))
      print(questions[i].message_request.file_containing_symbol.data, &a);
  printf("reflection: %s\n", caw_code_name(caw_stream_finish(s, arena, NULL)));
  caw_arena_free(arena);
  caw_channel_free(channel);
}

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)call;
  (void)self;
  reply->message = request->name;
  return CAW_OK;
}

static void serve_and_look(bool open) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  caw_server *server;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  if (open) stage_check(caw_reflection_add(server), "caw_reflection_add");
  look(stage_serve(server));
  stage_end(server);
}

int main(void) {
  serve_and_look(false);
  serve_and_look(true);
  return 0;
}
