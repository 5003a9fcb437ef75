/* From a call to the desk and back. */
#include "unary.h"

#include "access.h"
#include "chatd.h"

#include <chat/v1/auth.caw.h>
#include <string.h>

typedef struct unary {
  desk_job job;
  task task;
  caw_call *call;
  const void *request;
  void *reply;
} unary;

static int on_desk(desk_job *job, store *s) {
  unary *u = (unary *)job;
  task_begin(&u->task, s);
  if (caw_call_cancelled(u->call)) return CAW_CANCELLED;
  memset(u->reply, 0, caw_call_method(u->call)->response->size);
  return task_work(&u->task, u->request, u->reply);
}

void task_finish(task *t, caw_call *call, int rc, const void *reply) {
  if (!rc) {
    caw_call_reply(call, reply);
    return;
  }
  t->failure.code = task_explain(t, rc);
  caw_details_fail(call, &t->failure);
  caw_call_finish(call, t->failure.code, t->failure.message.data);
}

/* Nobody hears of it before it is durable, and the caller not before the others. */
static void done(desk_job *job, int rc) {
  unary *u = (unary *)job;
  if (!rc) task_publish(&u->task);
  task_finish(&u->task, u->call, rc, u->reply);
}

static int handle(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  chatd *app = self;
  caw_arena *arena = caw_call_arena(call);
  unary *u = caw_arena_calloc(arena, 1, sizeof(*u));
  (void)impl;
  if (!u) return CAW_ENOMEM;
  u->job.work = on_desk;
  u->job.done = done;
  u->task = (task){.app = app, .arena = arena, .who = caller_of(call)};
  u->task.rule = rule_of(caw_call_method(call));
  u->call = call;
  u->request = request;
  u->reply = reply;
  int rc = u->task.rule->where == WHERE_WRITE ? desk_write(app->desk, &u->job)
                                              : desk_read(app->desk, &u->job);
  if (!rc) return CAW_PENDING;
  u->task.failure.code = task_explain(&u->task, rc);
  return caw_details_fail(call, &u->task.failure);
}

static int describe(caw_server *server) {
  static const struct {
    const char *service;
    const caw_pb_file *file;
  } services[] = {
      {"chat.v1.AuthService", &caw_file_chat_v1_auth_proto},
      {"chat.v1.UserService", &caw_file_chat_v1_user_proto},
      {"chat.v1.RoomService", &caw_file_chat_v1_room_proto},
      {"chat.v1.ChatService", &caw_file_chat_v1_chat_proto},
  };
  int rc = 0;
  for (size_t i = 0; !rc && i < sizeof(services) / sizeof(services[0]); i++)
    rc = caw_server_describe(server, services[i].service, services[i].file);
  return rc;
}

#define MOST 64 /* methods */

int unary_add(caw_server *server, chatd *app) {
  static caw_handler handlers[MOST]; /* servers borrow it; always filled with the same */
  size_t n, used = 0;
  const rule *all = rules(&n);
  int rc = describe(server);
  for (size_t i = 0; i < n && used < MOST; i++)
    if (all[i].work) handlers[used++] = (caw_handler){.method = all[i].method, .message = handle};
  return rc ? rc : caw_server_add(server, handlers, used, NULL, app);
}
