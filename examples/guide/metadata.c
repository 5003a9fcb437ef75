/* Metadata: what travels beside the messages, in both directions. */
#include "stage.h"

#include <caw/blocking.h>
#include <greeter.caw.h>
#include <stdio.h>

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)self;
  caw_str id = caw_metadata_get(caw_call_metadata(call), "request-id");
  caw_str bytes = caw_metadata_get(caw_call_metadata(call), "trace-bin");
  printf("server: request-id %.*s, %zu bytes of trace\n", CAW_STR_ARG(id), bytes.len);
  int rc = caw_call_add_header(call, caw_str_from("request-id"), id); /* before the reply */
  if (!rc) rc = caw_call_add_trailer(call, caw_str_from("cost"), caw_str_from("3")); /* after it */
  reply->message = request->name;
  return rc;
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  caw_server *server;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  caw_channel *channel;
  stage_check(caw_channel_new(&channel, stage_serve(server), NULL, NULL), "caw_channel_new");

  /* Values are printable ASCII; those of keys that end in "-bin" are any bytes. */
  const caw_metadata_entry entries[] = {{CAW_STR("request-id"), CAW_STR("17")},
                                        {CAW_STR("trace-bin"), CAW_STR("\x00\x01\xff")}};
  const caw_call_options options = {.size = sizeof(options),
                                    .metadata = entries,
                                    .metadata_len = 2};
  caw_arena *arena = caw_arena_new(0);
  greeter_hello_request request = {.name = CAW_STR("Ann")};
  greeter_hello_reply reply;
  caw_stream *s;
  stage_check(caw_stream_open_with(&s, channel, &greeter_greeter_say_hello_method, &request,
                                   &options),
              "the call");
  while (!caw_stream_read(s, &reply, arena)) printf("client: %.*s\n", CAW_STR_ARG(reply.message));
  caw_str id = caw_metadata_get(caw_call_metadata(caw_stream_call(s)), "request-id");
  caw_str cost = caw_metadata_get(caw_call_trailers(caw_stream_call(s)), "cost");
  printf("client: request-id %.*s, cost %.*s\n", CAW_STR_ARG(id), CAW_STR_ARG(cost));
  caw_stream_finish(s, arena, NULL);

  caw_arena_free(arena);
  caw_channel_free(channel);
  stage_end(server);
  return 0;
}
