/* Deadlines and cancellation, on both sides. */
#include "stage.h"

#include <caw/blocking.h>
#include <greeter.caw.h>
#include <stdio.h>

/* Told once when the client cancels, its deadline passes, or its connection is lost.
 * A call that returned CAW_PENDING is finished in any case, also now: until then its
 * memory stays. */
static void on_cancel(caw_call *call, void *user) {
  (void)user;
  printf("server: nobody waits any more\n");
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

/* Sends a reply, and never ends by itself. */
static int say_hello_stream(caw_call *call, const greeter_hello_request *request, void *self) {
  const caw_call_events events = {.on_cancel = on_cancel};
  (void)request;
  (void)self;
  printf("server: %s\n", caw_call_deadline(call) == UINT64_MAX ? "no deadline" : "a deadline");
  caw_call_on(call, &events, NULL);
  greeter_hello_reply reply = {.message = CAW_STR("I am on it")};
  int rc = greeter_greeter_say_hello_stream_send_reply(call, &reply);
  return rc ? rc : CAW_PENDING;
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello_stream = say_hello_stream};
  caw_server *server;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  const char *address = stage_serve(server);

  caw_channel *channel;
  caw_stream *s;
  caw_arena *arena = caw_arena_new(0);
  greeter_hello_request request = {0};
  greeter_hello_reply reply;
  stage_check(caw_channel_new(&channel, address, NULL, NULL), "caw_channel_new");

  /* The deadline travels with the call: the server knows it, and its own calls may
   * inherit it by caw_call_options.parent. */
  const caw_call_options options = {.size = sizeof(options), .timeout_ms = 100};
  stage_check(greeter_greeter_say_hello_stream(&s, channel, &request, &options), "the call");
  while (!greeter_greeter_say_hello_stream_read(s, &reply, arena)) continue;
  int code = caw_stream_finish(s, arena, NULL);
  printf("client: %s\n", caw_code_name(code));

  stage_check(greeter_greeter_say_hello_stream(&s, channel, &request, NULL), "the call");
  if (!greeter_greeter_say_hello_stream_read(s, &reply, arena))
    printf("client: %.*s\n", CAW_STR_ARG(reply.message));
  caw_call_cancel(caw_stream_call(s)); /* any thread, at any time */
  code = caw_stream_finish(s, arena, NULL);
  printf("client: %s\n", caw_code_name(code));

  caw_arena_free(arena);
  caw_channel_free(channel);
  stage_end(server);
  return 0;
}
