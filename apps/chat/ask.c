/* Calls with one reply, and what happens when they fail. */
#include "args.h"
#include "chat.h"
#include "text.h"

#include <caw/credentials.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define TRIES 6

static void check(int rc, const char *what) {
  if (rc) args_fail(PROGRAM, "%s: %s", what, caw_strerror(rc));
}

void client_connect(client *c, bool token) {
  static login found;
  if (login_find(&found, c->server, c->handle)) c->who = &found;
  if (token && !c->who) {
    if (c->handle)
      args_fail(PROGRAM, "%s is not logged in: %s login %s", c->handle, PROGRAM, c->handle);
    args_fail(PROGRAM, "nobody is logged in: %s login HANDLE, or %s register HANDLE", PROGRAM,
              PROGRAM);
  }
  if (!c->server) c->server = token ? c->who->server : getenv("CHAT_SERVER");
  if (!c->server) c->server = "127.0.0.1:50051";
  caw_channel_options options = {.size = sizeof(options),
                                 .user_agent = "chat",
                                 .backoff_initial_ms = 200,
                                 .backoff_max_ms = 5000,
                                 .max_receive = (size_t)16 << 20};
  options.credentials = tls_client(PROGRAM, &c->tls);
  if (token)
    check(caw_call_credentials_bearer(&options.call_credentials, caw_str_from(c->who->token)),
          "the login cannot be used: log in again");
  const char *why = NULL;
  int rc = caw_channel_new(&c->channel, c->server, &options, &why);
  if (rc) args_fail(PROGRAM, "--server %s: %s", c->server, why ? why : caw_strerror(rc));
  caw_channel_credentials_unref(options.credentials);
  caw_call_credentials_unref(options.call_credentials);
  c->arena = caw_arena_new(0);
  if (!c->arena) check(CAW_ENOMEM, "cannot begin");
}

bool try_again(int code, int *tries) {
  if (code != CAW_UNAVAILABLE || ++*tries >= TRIES) return false;
  int ms = 100 << *tries;
  struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
  nanosleep(&wait, NULL);
  return true;
}

int ask_for(client *c, const caw_method *method, const void *request, void *reply,
            caw_status *status) {
  caw_call_options options = {.size = sizeof(options),
                              .timeout_ms = c->timeout_ms,
                              .wait_for_ready = true};
  int rc, tries = 0;
  do {
    rc = caw_call_unary(c->channel, method, request, reply, c->arena, &options, status);
  } while (try_again(rc, &tries));
  return rc;
}

void fail_with(const client *c, int code, caw_str text) {
  fflush(stdout);
  fprintf(stderr, "%s: %s: ", PROGRAM, code > 0 ? caw_code_name(code) : "error");
  if (text.len) text_print(stderr, text);
  else fputs(caw_strerror(code), stderr);
  fputc('\n', stderr);
  if (code == CAW_UNAUTHENTICATED && c->who)
    fprintf(stderr, "%s: log in again: %s login %s\n", PROGRAM, PROGRAM, c->who->handle);
  if (code == CAW_UNAVAILABLE || code == CAW_DEADLINE_EXCEEDED)
    fprintf(stderr, "%s: does a chatd listen on %s? Its address is given with --server\n", PROGRAM,
            c->server);
  exit(EXIT_FAILED);
}

void ask(client *c, const caw_method *method, const void *request, void *reply) {
  caw_status status;
  int rc = ask_for(c, method, request, reply, &status);
  if (rc) fail_with(c, rc, status.message);
}

caw_str random_id(client *c) {
  unsigned char bits[12];
  if (getrandom(bits, sizeof(bits), 0) != sizeof(bits))
    args_fail(PROGRAM, "the system gives no random numbers");
  char text[2 * sizeof(bits) + 1];
  for (size_t i = 0; i < sizeof(bits); i++) snprintf(text + 2 * i, 3, "%02x", bits[i]);
  caw_str id = caw_arena_dup(c->arena, caw_str_from(text));
  if (!id.data) check(CAW_ENOMEM, "cannot go on");
  return id;
}

/* ---- Rooms by what people call them ---- */

static int64_t direct_room(client *c, const char *handle) {
  chat_v1_get_user_request who = {.who_case = CHAT_V1_GET_USER_REQUEST_WHO_CASE_HANDLE,
                                  .who.handle = caw_str_from(handle)};
  chat_v1_get_user_response user;
  chat_v1_open_direct_response room;
  ask(c, &chat_v1_user_service_get_user_method, &who, &user);
  chat_v1_open_direct_request request = {.user_id = user.user ? user.user->id : 0};
  ask(c, &chat_v1_room_service_open_direct_method, &request, &room);
  return room.view && room.view->room ? room.view->room->id : 0;
}

int64_t room_id(client *c, const char *word) {
  char *end;
  if (word[0] == '@') return direct_room(c, word + 1);
  long long id = strtoll(word, &end, 10);
  if (*word && !*end) return id;
  chat_v1_get_room_request request = {.which_case = CHAT_V1_GET_ROOM_REQUEST_WHICH_CASE_NAME,
                                      .which.name = caw_str_from(word)};
  chat_v1_get_room_response reply;
  ask(c, &chat_v1_room_service_get_room_method, &request, &reply);
  return reply.view && reply.view->room ? reply.view->room->id : 0;
}
