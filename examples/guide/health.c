/* Health: a server that says which of its services can be used. */
#include "stage.h"

#include <caw/health.h>
#include <greeter.caw.h>
#include <stdio.h>

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)call;
  (void)self;
  reply->message = request->name;
  return CAW_OK;
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  caw_server *server;
  caw_health *health;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  stage_check(caw_health_new(&health), "caw_health_new");
  stage_check(caw_health_add(server, health), "caw_health_add");
  stage_serve(server);

  /* From any thread, at any time: */
  stage_check(caw_health_set(health, "greeter.Greeter", CAW_HEALTH_NOT_SERVING), "the health");
  stage_check(caw_health_set(health, "greeter.Greeter", CAW_HEALTH_SERVING), "the health");

  const struct caw_pb_file *file;
  caw_str name;
  for (size_t i = 0; caw_server_service(server, i, &name, &file); i++)
    printf("%.*s\n", CAW_STR_ARG(name));
  stage_end(server); /* who watches hears NOT_SERVING first */
  caw_health_free(health);
  return 0;
}
