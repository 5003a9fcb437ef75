/* Limits: a client that says too much about itself, what it is told, and what the server's
 * operator sees of it. */
#include "stage.h"

#include <caw/blocking.h>
#include <greeter.caw.h>
#include <stdio.h>
#include <string.h>

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)call;
  (void)self;
  reply->message = request->name;
  return CAW_OK;
}

/* On the loop's thread, soon back: a line for a log. */
static void log_limit(caw_limit limit, caw_str peer, void *user) {
  (void)user;
  const char *port = memchr(peer.data, ':', peer.len);
  printf("server: limit %s, by a peer at %.*s\n", caw_limit_name(limit),
         port ? (int)(port - peer.data) : 0, peer.data);
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  const caw_limits limits = {.size = sizeof(limits),
                             .header_bytes = 4096,
                             .connection_bytes = 16 << 20, /* a small machine */
                             .on_hit = log_limit};
  const caw_server_options options = {.size = sizeof(options), .limits = &limits};
  caw_server *server;
  stage_check(caw_server_new(&server, &options), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  caw_channel *channel;
  stage_check(caw_channel_new(&channel, stage_serve(server), NULL, NULL), "caw_channel_new");

  char long_text[5001] = "";
  memset(long_text, 'x', 5000);
  const caw_metadata_entry entry = {CAW_STR("about-me"), caw_str_from(long_text)};
  const caw_call_options saying = {.size = sizeof(saying), .metadata = &entry, .metadata_len = 1};
  caw_arena *arena = caw_arena_new(0);
  greeter_hello_request request = {.name = CAW_STR("Ann")};
  greeter_hello_reply reply;
  caw_status status;
  int rc = greeter_greeter_say_hello(channel, &request, &reply, arena, &saying, &status);
  printf("client: %s: %.*s\n", caw_code_name(rc), CAW_STR_ARG(status.message));
  rc = greeter_greeter_say_hello(channel, &request, &reply, arena, NULL, NULL);
  printf("client: %s\n", caw_code_name(rc));
  printf("headers: %llu, resets: %llu\n",
         (unsigned long long)caw_server_limit_hits(server, CAW_LIMIT_HEADERS),
         (unsigned long long)caw_server_limit_hits(server, CAW_LIMIT_RESETS));

  caw_arena_free(arena);
  caw_channel_free(channel);
  stage_end(server);
  return rc;
}
