/* Interceptors: a token check that asks another thread, and one that counts. */
#include "stage.h"

#include <caw/blocking.h>
#include <caw/interceptor.h>
#include <greeter.caw.h>
#include <pthread.h>
#include <stdio.h>

/* ---- Who calls: decided elsewhere ---- */

static const caw_key user_key = {"user", NULL};

/* Asks the keeper of the users, on a thread of its own; yours is a pool or a client call. */
static void *look_up(void *arg) {
  static char ann[] = "Ann";
  caw_call *call = arg;
  if (caw_str_is(caw_metadata_get(caw_call_metadata(call), "authorization"), "Bearer ann's")) {
    caw_call_set_value(call, &user_key, ann);
    caw_call_decide(call, 0, NULL);
  } else {
    caw_call_decide(call, CAW_UNAUTHENTICATED, "this token is nobody's");
  }
  return NULL;
}

static int check_token(caw_call *call, void *user) {
  pthread_t thread;
  (void)user;
  if (!caw_metadata_get(caw_call_metadata(call), "authorization").data)
    return caw_call_fail(call, CAW_UNAUTHENTICATED, "a token is needed");
  if (pthread_create(&thread, NULL, look_up, call)) return CAW_ENOMEM;
  pthread_detach(thread);
  return CAW_PENDING; /* caw_call_decide goes on */
}

static const caw_interceptor token_check = {.size = sizeof(token_check), .on_request = check_token};

/* ---- What goes through ---- */

static void count(caw_call *call, const caw_message_info *message, void *user) {
  size_t *bytes = user;
  (void)call;
  bytes[message->sent] += message->size;
}

static void tell(caw_call *call, const caw_status *status, void *user) {
  const size_t *bytes = user;
  printf("server: %.*s: %s; so far %zu bytes in, %zu out\n", CAW_STR_ARG(caw_call_path(call)),
         caw_code_name(status->code), bytes[0], bytes[1]);
}

static const caw_interceptor counter = {.size = sizeof(counter),
                                        .on_message = count,
                                        .on_done = tell};

/* ---- A handler that reads what an interceptor has found ---- */

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  const char *user = caw_call_value(call, &user_key);
  (void)self;
  reply->message = caw_arena_printf(caw_call_arena(call), "Hello, %.*s, says %s",
                                    CAW_STR_ARG(request->name), user);
  return reply->message.data ? CAW_OK : CAW_ENOMEM;
}

static void greet(caw_channel *channel, const char *token) {
  caw_arena *arena = caw_arena_new(0);
  caw_status status;
  greeter_hello_reply reply;
  greeter_hello_request request = {.name = CAW_STR("Bob")};
  const caw_metadata_entry entry = {CAW_STR("authorization"), caw_str_from(token)};
  const caw_call_options options = {.size = sizeof(options),
                                    .metadata = &entry,
                                    .metadata_len = token ? 1 : 0};
  int rc = greeter_greeter_say_hello(channel, &request, &reply, arena, &options, &status);
  if (rc) printf("client: %s: %.*s\n", caw_code_name(rc), CAW_STR_ARG(status.message));
  else printf("client: %.*s\n", CAW_STR_ARG(reply.message));
  caw_arena_free(arena);
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  static size_t bytes[2]; /* one loop, so one thread */
  caw_server *server;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  stage_check(caw_server_intercept(server, &counter, bytes), "the counter"); /* the outer one */
  stage_check(caw_server_intercept(server, &token_check, NULL), "the token check");
  caw_channel *channel;
  stage_check(caw_channel_new(&channel, stage_serve(server), NULL, NULL), "caw_channel_new");
  greet(channel, NULL);
  greet(channel, "Bearer bob's");
  greet(channel, "Bearer ann's");
  caw_channel_free(channel);
  stage_end(server);
  return 0;
}
