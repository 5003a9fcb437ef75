/* Streams of any length in bounded memory, and one message for many readers. */
#include "stage.h"

#include <caw/blocking.h>
#include <greeter.caw.h>
#include <stdio.h>

#define REPLIES 100000
#define READERS 3

/* ---- A long answer: sent as fast as the reader takes it ---- */

typedef struct answer {
  caw_payload *payload; /* the message, encoded once */
  int left;
  int waits;
} answer;

static void go_on(caw_call *call, void *user) {
  answer *a = user;
  int rc = 0;
  while (a->left && !(rc = caw_call_send_payload(call, a->payload))) a->left--;
  if (rc == CAW_EAGAIN) a->waits++; /* nothing was taken; on_drain comes */
  else caw_call_finish(call, rc, NULL);
}

static void stop(caw_call *call, void *user) {
  (void)user;
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

static void done(caw_call *call, const caw_status *status, void *user) {
  answer *a = user;
  (void)call;
  (void)status;
  caw_payload_unref(a->payload);
}

static int say_hello_stream(caw_call *call, const greeter_hello_request *request, void *self) {
  const caw_call_events events = {.on_cancel = stop, .on_drain = go_on, .on_done = done};
  answer *a = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*a));
  (void)request;
  if (!a) return CAW_ENOMEM;
  a->payload = caw_payload_ref(self);
  a->left = REPLIES;
  caw_call_on(call, &events, a);
  go_on(call, a);
  return CAW_PENDING;
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello_stream = say_hello_stream};
  greeter_hello_reply message = {.message = CAW_STR("the same for all")};
  caw_payload *payload;
  stage_check(caw_payload_new(&payload, &greeter_hello_reply_type, &message), "caw_payload_new");

  caw_server *server;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, payload), "greeter_greeter_add");
  const char *address = stage_serve(server);

  caw_channel *channel;
  caw_stream *readers[READERS];
  caw_arena *arena = caw_arena_new(0);
  greeter_hello_request request = {0};
  stage_check(caw_channel_new(&channel, address, NULL, NULL), "caw_channel_new");
  for (int i = 0; i < READERS; i++)
    stage_check(greeter_greeter_say_hello_stream(&readers[i], channel, &request, NULL), "the call");
  for (int i = 0; i < READERS; i++) {
    greeter_hello_reply reply;
    int count = 0;
    while (!greeter_greeter_say_hello_stream_read(readers[i], &reply, arena)) {
      count++;
      caw_arena_reset(arena); /* nothing of this message is needed any more */
    }
    int code = caw_stream_finish(readers[i], arena, NULL);
    printf("reader %d: %d replies, %s\n", i + 1, count, caw_code_name(code));
  }

  caw_arena_free(arena);
  caw_channel_free(channel);
  stage_end(server);
  caw_payload_unref(payload);
  return 0;
}
