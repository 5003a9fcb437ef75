#include <caw/channel.h>
#include <greeter.caw.h>
#include <stdio.h>

int main(int argc, char **argv) {
  caw_channel *channel;
  if (caw_channel_new(&channel, argc > 1 ? argv[1] : "127.0.0.1:50051", NULL, NULL)) return 1;
  caw_arena *arena = caw_arena_new(0);
  greeter_hello_request request = {.name = CAW_STR("World")};
  greeter_hello_reply reply;
  caw_status status;
  int rc = greeter_greeter_say_hello(channel, &request, &reply, arena, NULL, &status);
  if (rc > 0) fprintf(stderr, "%s: %.*s\n", caw_code_name(rc), CAW_STR_ARG(status.message));
  else if (rc) fprintf(stderr, "%s\n", caw_strerror(rc));
  else printf("%.*s\n", CAW_STR_ARG(reply.message));
  caw_arena_free(arena);
  caw_channel_free(channel);
  return rc != 0;
}
