/* Handlers that may block: each call has a thread of the server's pool. */
#include "stage.h"

#include <caw/blocking.h>
#include <greeter.caw.h>
#include <stdio.h>

/* Reads until the client has ended; may wait for a file, a lock or a database. */
static int say_hello_to_many(caw_stream *stream, greeter_hello_reply *reply, void *self) {
  caw_arena *arena = caw_call_arena(caw_stream_call(stream));
  greeter_hello_request request;
  int count = 0, rc;
  (void)self;
  while (!(rc = greeter_greeter_say_hello_to_many_read_request(stream, &request, arena))) count++;
  if (rc != CAW_EEND) return rc; /* cancelled, or a message that cannot be read */
  reply->message = caw_arena_printf(arena, "%d requests", count);
  return reply->message.data ? CAW_OK : CAW_ENOMEM;
}

/* Writes wait while the reader is behind. */
static int say_hello_stream(caw_stream *stream, const greeter_hello_request *request, void *self) {
  greeter_hello_reply reply = {.message = request->name};
  (void)self;
  for (int i = 0; i < 10000; i++) {
    int rc = greeter_greeter_say_hello_stream_write_reply(stream, &reply);
    if (rc) return rc;
  }
  return CAW_OK;
}

int main(void) {
  static const greeter_greeter_blocking service = {.say_hello_to_many = say_hello_to_many,
                                                   .say_hello_stream = say_hello_stream};
  /* Two loops for the network, four threads for handlers. */
  const caw_server_options options = {.size = sizeof(options), .loops = 2, .pool_threads = 4};
  caw_server *server;
  stage_check(caw_server_new(&server, &options), "caw_server_new");
  stage_check(greeter_greeter_add_blocking(server, &service, NULL), "greeter_greeter_add_blocking");
  caw_channel *channel;
  stage_check(caw_channel_new(&channel, stage_serve(server), NULL, NULL), "caw_channel_new");

  caw_arena *arena = caw_arena_new(0);
  greeter_hello_request request = {.name = CAW_STR("Ann")};
  greeter_hello_reply reply;
  caw_stream *s;
  stage_check(greeter_greeter_say_hello_to_many(&s, channel, NULL), "the call");
  for (int i = 0; i < 10000; i++) greeter_greeter_say_hello_to_many_write(s, &request);
  caw_stream_close_send(s);
  if (!greeter_greeter_say_hello_to_many_read(s, &reply, arena))
    printf("%.*s\n", CAW_STR_ARG(reply.message));
  caw_stream_finish(s, arena, NULL);

  int replies = 0;
  stage_check(greeter_greeter_say_hello_stream(&s, channel, &request, NULL), "the call");
  while (!greeter_greeter_say_hello_stream_read(s, &reply, arena)) replies++;
  printf("%d replies, %s\n", replies, caw_code_name(caw_stream_finish(s, arena, NULL)));

  caw_arena_free(arena);
  caw_channel_free(channel);
  stage_end(server);
  return 0;
}
