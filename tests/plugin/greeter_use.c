/*
 * Uses all that is generated for a service, with exactly the types that
 * docs/generated-service.md promises. Compiled as C and as C++, not run.
 */
#include "greeter.caw.h"

static int hello(caw_call *call, const greeter_hello_request *request, greeter_hello_reply *reply,
                 void *self) {
  (void)self;
  reply->message = request->name;
  return request->name.len ? greeter_greeter_say_hello_reply(call, reply) : CAW_PENDING;
}

static int hello_stream(caw_call *call, const greeter_hello_request *request, void *self) {
  greeter_hello_reply reply = {0, request->name};
  (void)self;
  return greeter_greeter_say_hello_stream_send_reply(call, &reply);
}

static int open_call(caw_call *call, void *self) {
  (void)self;
  return call ? 0 : CAW_INTERNAL;
}

static int take(caw_call *call, const greeter_hello_request *request, void *self) {
  (void)self;
  greeter_hello_reply reply = {0, request->name};
  return greeter_greeter_chat_send_reply(call, &reply);
}

static int end_one(caw_call *call, greeter_hello_reply *reply, void *self) {
  (void)self;
  return greeter_greeter_say_hello_to_many_reply(call, reply);
}

static int end_many(caw_call *call, void *self) {
  (void)self;
  return call ? 0 : CAW_INTERNAL;
}

static int run_stream(caw_stream *stream, const greeter_hello_request *request, void *self) {
  greeter_hello_reply reply = {0, request->name};
  (void)self;
  return greeter_greeter_say_hello_stream_write_reply(stream, &reply);
}

static int run_to_many(caw_stream *stream, greeter_hello_reply *reply, void *self) {
  greeter_hello_request request;
  caw_arena *arena = (caw_arena *)self;
  reply->message.len = 0;
  return greeter_greeter_say_hello_to_many_read_request(stream, &request, arena);
}

static int run_chat(caw_stream *stream, void *self) {
  greeter_hello_request request;
  greeter_hello_reply reply = {0, {0, 0}};
  int rc = greeter_greeter_chat_read_request(stream, &request, (caw_arena *)self);
  return rc ? rc : greeter_greeter_chat_write_reply(stream, &reply);
}

static int odd(caw_call *call, const other_pkg_foo *request, other_pkg_foo_type *reply,
               void *self) {
  (void)self;
  (void)reply;
  return call && request->text.len ? 0 : CAW_INTERNAL;
}

int use_server(caw_server *server, void *self);
int use_server(caw_server *server, void *self) {
  static const greeter_greeter_service service = {
      hello, hello_stream, {open_call, take, end_one}, {open_call, take, end_many}};
  static const greeter_greeter_blocking blocking = {hello, run_stream, run_to_many, run_chat};
  static const greeter_odd_service odd_service = {odd};
  static const greeter_odd_blocking odd_blocking = {odd};
  static const greeter_empty_service empty = {0};
  int rc = greeter_greeter_add(server, &service, self);
  if (!rc) rc = greeter_greeter_add_blocking(server, &blocking, self);
  if (!rc) rc = greeter_odd_add(server, &odd_service, self);
  if (!rc) rc = greeter_odd_add_blocking(server, &odd_blocking, self);
  return rc ? rc : greeter_empty_add(server, &empty, self);
}

static void on_done(caw_call *call, const caw_status *status, const greeter_hello_reply *reply,
                    void *user) {
  (void)call;
  if (!status->code) *(caw_str *)user = reply->message;
}

static void on_message(caw_call *call, const greeter_hello_reply *reply, void *user) {
  (void)call;
  *(caw_str *)user = reply->message;
}

static void on_end(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  (void)status;
  (void)user;
}

int use_callbacks(caw_channel *channel, const caw_call_options *options, void *user);
int use_callbacks(caw_channel *channel, const caw_call_options *options, void *user) {
  static const greeter_greeter_say_hello_stream_events first = {NULL, on_message, NULL, on_end};
  static const greeter_greeter_say_hello_to_many_events second = {NULL, on_message, NULL, on_end};
  static const greeter_greeter_chat_events third = {NULL, on_message, NULL, on_end};
  greeter_hello_request request = {0, CAW_STR("x")};
  caw_call *call;
  int rc = greeter_greeter_say_hello_async(&call, channel, &request, options, on_done, user);
  if (!rc)
    rc = greeter_greeter_say_hello_stream_async(&call, channel, &request, options, &first, user);
  if (!rc) rc = greeter_greeter_say_hello_to_many_async(&call, channel, options, &second, user);
  if (!rc) rc = greeter_greeter_say_hello_to_many_send(call, &request);
  if (!rc) rc = greeter_greeter_chat_async(&call, channel, options, &third, user);
  return rc ? rc : greeter_greeter_chat_send(call, &request);
}

int use_blocking(caw_channel *channel, const caw_call_options *options, caw_arena *arena);
int use_blocking(caw_channel *channel, const caw_call_options *options, caw_arena *arena) {
  greeter_hello_request request = {0, CAW_STR("x")};
  greeter_hello_reply reply;
  caw_stream *stream;
  caw_status status;
  int rc = greeter_greeter_say_hello(channel, &request, &reply, arena, options, &status);
  if (!rc) rc = greeter_greeter_say_hello_stream(&stream, channel, &request, options);
  if (!rc) rc = greeter_greeter_say_hello_stream_read(stream, &reply, arena);
  if (!rc) rc = greeter_greeter_say_hello_to_many(&stream, channel, options);
  if (!rc) rc = greeter_greeter_say_hello_to_many_write(stream, &request);
  if (!rc) rc = greeter_greeter_say_hello_to_many_read(stream, &reply, arena);
  if (!rc) rc = greeter_greeter_chat(&stream, channel, options);
  if (!rc) rc = greeter_greeter_chat_write(stream, &request);
  if (!rc) rc = greeter_greeter_chat_read(stream, &reply, arena);
  return rc;
}

/* The descriptions of the methods, by their kinds. */
const caw_method *use_methods(caw_call_kind kind);
const caw_method *use_methods(caw_call_kind kind) {
  switch (kind) {
  case CAW_UNARY:
    return &greeter_greeter_say_hello_method;
  case CAW_SERVER_STREAM:
    return &greeter_greeter_say_hello_stream_method;
  case CAW_CLIENT_STREAM:
    return &greeter_greeter_say_hello_to_many_method;
  case CAW_BIDI:
    return &greeter_greeter_chat_method;
  }
  return NULL;
}
