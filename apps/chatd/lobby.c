/*
 * The ChatService without a package (proto/chat_service.proto), bridged to one room: what
 * is sent there comes from guests whom nobody has verified, and whom everybody sees as
 * such. It asks for no token, so chatd serves it on loopback only, and when told to.
 */
#include "streams.h"

#include "convert.h"
#include "unary.h"
#include "words.h"

#include <caw/alloc.h>
#include <chat_service.caw.h>

#define NAME_MOST 100
#define TEXT_MOST 16384

typedef struct lobby {
  chatd *app;
  int64_t room_id;
} lobby;

typedef struct saying {
  desk_job job;
  task task;
  caw_call *call;
  const room_message *request;
  room_message *reply;
  int64_t room_id;
} saying;

static int say_work(desk_job *job, store *s) {
  saying *a = (saying *)job;
  task *t = &a->task;
  bool duplicate;
  task_begin(t, s);
  store_message message = {.room_id = a->room_id,
                           .sent = t->now,
                           .kind = CHAT_V1_MESSAGE_KIND_MESSAGE,
                           .text = a->request->text,
                           .guest_name = a->request->user_name};
  task_check(t, "user_name", words_text(message.guest_name, NAME_MOST, false, true, t->arena));
  task_check(t, "text", words_text(message.text, TEXT_MOST, true, true, t->arena));
  int rc = task_checked(t);
  if (!rc) rc = store_message_add(s, &message, &duplicate);
  if (rc) return rc;
  *a->reply = *a->request;
  return task_tell_message(t, &message);
}

static void say_done(desk_job *job, int rc) {
  saying *a = (saying *)job;
  if (!rc) task_publish(&a->task);
  task_finish(&a->task, a->call, rc, a->reply);
}

static int send_message(caw_call *call, const room_message *request, room_message *reply,
                        void *self) {
  const lobby *l = self;
  saying *a = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*a));
  if (!a) return CAW_ENOMEM;
  *a = (saying){.job = {.work = say_work, .done = say_done},
                .task = {.app = l->app, .arena = caw_call_arena(call), .who = caller_of(call)},
                .call = call,
                .request = request,
                .reply = reply,
                .room_id = l->room_id};
  int rc = desk_write(l->app->desk, &a->job);
  if (!rc) return CAW_PENDING;
  task_begin(&a->task, NULL);
  a->task.failure.code = task_explain(&a->task, rc);
  return caw_details_fail(call, &a->task.failure);
}

static int receive_message(caw_call *call, const room_empty *request, void *self) {
  const lobby *l = self;
  feed *st = caw_calloc(1, sizeof(*st));
  (void)request;
  if (!st) return CAW_ENOMEM;
  if (feed_open(st, l->app, call, FORM_LOBBY)) {
    caw_free(st);
    return CAW_ENOMEM;
  }
  caw_call_send_headers(call);
  if (feed_follow(st, l->room_id, 0))
    feed_end(st, CAW_RESOURCE_EXHAUSTED, NULL, "the server is out of memory; try again");
  return CAW_PENDING;
}

int lobby_add(caw_server *server, chatd *app, int64_t room_id) {
  static const room_chat_service_service service = {.send_message = send_message,
                                                    .receive_message = receive_message};
  lobby *l = caw_malloc(sizeof(*l));
  if (!l) return CAW_ENOMEM;
  *l = (lobby){app, room_id};
  int rc = caw_server_on_free(server, caw_free, l);
  if (rc) caw_free(l);
  return rc ? rc : room_chat_service_add(server, &service, l);
}
