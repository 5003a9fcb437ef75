/* The four kinds of call: a server on callbacks, a client that waits. */
#include "stage.h"

#include <caw/blocking.h>
#include <greeter.caw.h>
#include <stdio.h>

/* ---- The server ---- */

/* Unary: fill in the reply, return the status. */
static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)self;
  reply->message =
      caw_arena_printf(caw_call_arena(call), "Hello, %.*s!", CAW_STR_ARG(request->name));
  return reply->message.data ? CAW_OK : CAW_ENOMEM;
}

/* One request, many replies: send them, then return the status. */
static int say_hello_stream(caw_call *call, const greeter_hello_request *request, void *self) {
  (void)self;
  for (int i = 1; i <= 3; i++) {
    char text[80];
    int len = snprintf(text, sizeof(text), "%d, %.*s", i, CAW_STR_ARG(request->name));
    greeter_hello_reply reply = {.message = caw_str_of(text, (size_t)len)};
    int rc = greeter_greeter_say_hello_stream_send_reply(call, &reply);
    if (rc) return rc;
  }
  return CAW_OK;
}

/* Many requests, one reply: what is known so far lives in the call's arena. */
static int many_open(caw_call *call, void *self) {
  (void)self;
  caw_call_set_data(call, caw_arena_calloc(caw_call_arena(call), 1, sizeof(int)));
  return caw_call_data(call) ? CAW_OK : CAW_ENOMEM;
}

static int many_message(caw_call *call, const greeter_hello_request *request, void *self) {
  (void)self;
  (void)request;
  ++*(int *)caw_call_data(call);
  return CAW_OK;
}

static int many_end(caw_call *call, greeter_hello_reply *reply, void *self) {
  (void)self;
  reply->message =
      caw_arena_printf(caw_call_arena(call), "Hello to %d people!", *(int *)caw_call_data(call));
  return reply->message.data ? CAW_OK : CAW_ENOMEM;
}

/* Many of both: each request is answered as it comes. */
static int chat_message(caw_call *call, const greeter_hello_request *request, void *self) {
  (void)self;
  greeter_hello_reply reply = {.message = request->name};
  return greeter_greeter_chat_send_reply(call, &reply);
}

static int chat_end(caw_call *call, void *self) {
  (void)call;
  (void)self;
  return CAW_OK;
}

static const greeter_greeter_service service = {
    .say_hello = say_hello,
    .say_hello_stream = say_hello_stream,
    .say_hello_to_many = {many_open, many_message, many_end},
    .chat = {NULL, chat_message, chat_end},
};

/* ---- The client ---- */

static void print(const char *method, const greeter_hello_reply *reply) {
  printf("%s: %.*s\n", method, CAW_STR_ARG(reply->message));
}

int main(void) {
  caw_server *server;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  const char *address = stage_serve(server);

  caw_channel *channel;
  caw_arena *arena = caw_arena_new(0);
  stage_check(caw_channel_new(&channel, address, NULL, NULL), "caw_channel_new");

  greeter_hello_request ann = {.name = CAW_STR("Ann")}, ben = {.name = CAW_STR("Ben")};
  greeter_hello_reply reply;
  caw_status status;
  if (!greeter_greeter_say_hello(channel, &ann, &reply, arena, NULL, &status))
    print("SayHello", &reply);

  caw_stream *s;
  if (!greeter_greeter_say_hello_stream(&s, channel, &ann, NULL)) {
    while (!greeter_greeter_say_hello_stream_read(s, &reply, arena))
      print("SayHelloStream", &reply);
    caw_stream_finish(s, arena, &status);
  }

  if (!greeter_greeter_say_hello_to_many(&s, channel, NULL)) {
    greeter_greeter_say_hello_to_many_write(s, &ann);
    greeter_greeter_say_hello_to_many_write(s, &ben);
    caw_stream_close_send(s);
    if (!greeter_greeter_say_hello_to_many_read(s, &reply, arena)) print("SayHelloToMany", &reply);
    caw_stream_finish(s, arena, &status);
  }

  if (!greeter_greeter_chat(&s, channel, NULL)) {
    greeter_greeter_chat_write(s, &ann);
    if (!greeter_greeter_chat_read(s, &reply, arena)) print("Chat", &reply);
    greeter_greeter_chat_write(s, &ben);
    if (!greeter_greeter_chat_read(s, &reply, arena)) print("Chat", &reply);
    int code = caw_stream_finish(s, arena, &status);
    printf("Chat ended: %s\n", caw_code_name(code));
  }

  caw_arena_free(arena);
  caw_channel_free(channel);
  stage_end(server);
  return 0;
}
