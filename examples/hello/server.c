#include <caw/server.h>
#include <greeter.caw.h>
#include <stdio.h>

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)self;
  reply->message =
      caw_arena_printf(caw_call_arena(call), "Hello, %.*s!", CAW_STR_ARG(request->name));
  return reply->message.data ? CAW_OK : CAW_ENOMEM;
}

int main(int argc, char **argv) {
  const greeter_greeter_service greeter = {.say_hello = say_hello};
  caw_server *server;
  if (caw_server_new(&server, NULL) || greeter_greeter_add(server, &greeter, NULL)) return 1;
  if (caw_server_listen(server, argc > 1 ? argv[1] : "127.0.0.1:50051"))
    return fprintf(stderr, "%s\n", caw_server_error(server)), 1;
  return caw_server_run(server);
}
