/* An error that says what was wrong, in a form that a program can read. */
#include "stage.h"

#include <caw/blocking.h>
#include <caw/details.h>
#include <greeter.caw.h>
#include <stdio.h>

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)reply;
  (void)self;
  if (request->age >= 0)
    return caw_call_fail(call, CAW_NOT_FOUND, "nobody is called \"%.*s\"",
                         CAW_STR_ARG(request->name));

  caw_details_bad_request_field_violation field = {.field = CAW_STR("age"),
                                                   .description = CAW_STR("years, 0 or more")};
  caw_details_bad_request bad = {.field_violations = {.items = &field, .len = 1}};
  caw_details_status status = {.code = CAW_INVALID_ARGUMENT,
                               .message = CAW_STR("the age is negative")};
  int rc = caw_details_add(&status, caw_call_arena(call), &caw_details_bad_request_type, &bad);
  return rc ? rc : caw_details_fail(call, &status);
}

static void call_with(caw_channel *channel, int32_t age) {
  greeter_hello_request request = {.name = CAW_STR("Ann"), .age = age};
  greeter_hello_reply reply;
  caw_status status;
  caw_arena *arena = caw_arena_new(0);
  int code = greeter_greeter_say_hello(channel, &request, &reply, arena, NULL, &status);
  printf("%s: %.*s\n", caw_code_name(code), CAW_STR_ARG(status.message));

  caw_details_status details;
  caw_details_bad_request bad = {0};
  size_t at = 0;
  if (!caw_details_read(&details, arena, &status) &&
      !caw_details_find(&details, &at, &caw_details_bad_request_type, &bad, arena))
    for (size_t i = 0; i < bad.field_violations.len; i++)
      printf("  %.*s: %.*s\n", CAW_STR_ARG(bad.field_violations.items[i].field),
             CAW_STR_ARG(bad.field_violations.items[i].description));
  caw_arena_free(arena);
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  caw_server *server;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  caw_channel *channel;
  stage_check(caw_channel_new(&channel, stage_serve(server), NULL, NULL), "caw_channel_new");
  call_with(channel, 34);
  call_with(channel, -1);
  caw_channel_free(channel);
  stage_end(server);
  return 0;
}
