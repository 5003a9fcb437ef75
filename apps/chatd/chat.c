/*
 * Chat: messages, subscriptions, typing and read marks up; an ack for each message, in the
 * order in which they came, and events down. Messages go to the desk at once, so that many
 * share a flush; beyond a window of them the call is paused.
 */
#include "asked.h"
#include "methods.h"
#include "streams.h"
#include "unary.h"

#include <caw/alloc.h>

#define WINDOW 256 /* messages that wait for their ack */

typedef struct chat {
  feed stream;          /* first: what is freed */
  asked *first, **last; /* in the order in which they came; the loop's */
  size_t waiting;
  bool ended;   /* the client has sent its last */
  bool leaving; /* the server goes away */
  bool paused;
} chat;

/* ---- Answers ---- */

static void to_failure(const asked *a, chat_v1_failure *out, google_protobuf_any **items) {
  const caw_details_status *s = &a->task.failure;
  *out = (chat_v1_failure){.code = s->code, .message = s->message};
  *items = caw_arena_calloc(a->task.arena, s->details.len, sizeof(**items));
  if (!*items) return; /* the code and the text are what counts */
  for (size_t i = 0; i < s->details.len; i++)
    (*items)[i] = (google_protobuf_any){.type_url = s->details.items[i].type_url,
                                        .value = s->details.items[i].value};
  out->details.items = *items;
  out->details.len = s->details.len;
}

/* CAW_EAGAIN: later. What is no message has an answer only when it failed. */
static int answer(feed *st, asked *a) {
  chat_v1_failure failure;
  google_protobuf_any *items;
  chat_v1_ack ack = {0};
  chat_v1_chat_response out = {0};
  if (!a->acks && !a->rc) return 0;
  if (a->rc) to_failure(a, &failure, &items);
  if (a->acks) {
    ack.client_message_id = a->request.send.client_message_id;
    ack.result_case = a->rc ? CHAT_V1_ACK_RESULT_CASE_ERROR : CHAT_V1_ACK_RESULT_CASE_SENT;
    if (a->rc) ack.result.error = &failure;
    else ack.result.sent = &a->reply.send;
    out.what_case = CHAT_V1_CHAT_RESPONSE_WHAT_CASE_ACK;
    out.what.ack = &ack;
  } else {
    out.what_case = CHAT_V1_CHAT_RESPONSE_WHAT_CASE_ERROR;
    out.what.error = &failure;
  }
  return feed_send_message(st, &chat_v1_chat_response_type, &out);
}

static bool flush(feed *st) {
  chat *c = (chat *)st;
  while (c->first && atomic_load(&c->first->done) && !st->over) {
    asked *a = c->first;
    if (answer(st, a)) return false;
    c->first = a->next;
    if (!c->first) c->last = &c->first;
    c->waiting--;
    asked_spare(st->shard, a);
  }
  if (st->over) return false;
  if (c->paused && c->waiting < WINDOW / 2 && !st->looking) {
    c->paused = false;
    caw_call_resume(st->call);
  }
  if (c->first || st->looking) return true;
  if (c->ended) feed_end(st, CAW_OK, NULL, NULL);
  else if (c->leaving)
    feed_end(st, CAW_UNAVAILABLE, "GOING_AWAY", "the server is going away: try again");
  return !st->over;
}

/* ---- Requests ---- */

static int asked_work(desk_job *job, store *s) {
  asked *a = (asked *)job;
  task_begin(&a->task, s);
  a->reply.send = (chat_v1_send_response){0};
  return task_work(&a->task, &a->request, &a->reply);
}

static void asked_done(desk_job *job, int rc) {
  asked *a = (asked *)job;
  feed *st = a->stream;
  a->rc = rc;
  if (rc) a->task.failure.code = task_explain(&a->task, rc);
  else task_publish(&a->task);
  atomic_store(&a->done, true); /* from now on the loop may free it */
  feed_acked(st);
  feed_unref(st);
}

/* What the client sends next comes after what it has asked for: the whole stream waits for a
 * look at the store, and for acks when there are many. */
static void wait_for_turn(chat *c) {
  if (c->paused || (c->waiting < WINDOW && !c->stream.looking)) return;
  c->paused = true;
  caw_call_pause(c->stream.call);
}

/* An answer in its turn. */
static void enqueue(chat *c, asked *a) {
  *c->last = a;
  c->last = &a->next;
  c->waiting++;
  wait_for_turn(c);
}

/* One that does not come from the desk. */
static void enqueue_done(chat *c, asked *a, int rc) {
  a->rc = rc;
  atomic_store(&a->done, true);
  enqueue(c, a);
  if (!c->stream.at_full) flush(&c->stream);
}

static void put(chat *c, asked *a, const caw_method *method) {
  chatd *app = c->stream.app;
  a->job.work = asked_work;
  a->job.done = asked_done;
  a->task.app = app;
  a->task.who = &c->stream.who;
  a->task.rule = rule_of(method);
  enqueue(c, a);
  a->stream = feed_ref(&c->stream);
  int rc = a->task.rule->where == WHERE_WRITE ? desk_write(app->desk, &a->job)
                                              : desk_read(app->desk, &a->job);
  if (!rc) return;
  task_begin(&a->task, NULL);
  asked_done(&a->job, rc);
}

static int ask_send(chat *c, const chat_v1_send_request *q) {
  asked *a = asked_new(c->stream.shard);
  if (!a) return CAW_ENOMEM;
  a->acks = true;
  int rc = caw_pb_copy(&a->request.send, a->task.arena, &chat_v1_send_request_type, q);
  if (rc) asked_spare(c->stream.shard, a);
  else put(c, a, &chat_v1_chat_service_send_method);
  return rc;
}

static int ask_mark(chat *c, const chat_v1_mark_read_request *q) {
  asked *a = asked_new(c->stream.shard);
  if (!a) return CAW_ENOMEM;
  a->request.mark = (chat_v1_mark_read_request){.room_id = q->room_id, .number = q->number};
  put(c, a, &chat_v1_chat_service_mark_read_method);
  return 0;
}

static int ask_typing(chat *c, const chat_v1_send_typing_request *q) {
  asked *a = asked_new(c->stream.shard);
  if (!a) return CAW_ENOMEM;
  a->request.typing = (chat_v1_send_typing_request){.room_id = q->room_id};
  put(c, a, &chat_v1_chat_service_send_typing_method);
  return 0;
}

static void subscribe_failed(feed *st, task *t, int code) {
  chat *c = (chat *)st;
  asked *a = asked_new(c->stream.shard);
  if (!a) {
    feed_end(st, CAW_RESOURCE_EXHAUSTED, NULL, "the server is out of memory; try again");
    return;
  }
  task_begin(&a->task, NULL);
  if (caw_pb_copy(&a->task.failure, a->task.arena, &caw_details_status_type, &t->failure))
    a->task.failure = (caw_details_status){.code = code};
  enqueue_done(c, a, code);
}

static int nothing_said(chat *c) {
  asked *a = asked_new(c->stream.shard);
  if (!a) return CAW_ENOMEM;
  task_begin(&a->task, NULL);
  enqueue_done(c, a, task_wrong(&a->task, "what", "is missing: the request says nothing"));
  return 0;
}

static int on_message(caw_call *call, const void *request, void *reply, const void *impl,
                      void *self) {
  const chat_v1_chat_request *q = request;
  chat *c = caw_call_data(call);
  (void)reply;
  (void)impl;
  (void)self;
  if (c->stream.over) return 0;
  int rc = 0;
  switch (q->what_case) {
  case CHAT_V1_CHAT_REQUEST_WHAT_CASE_SEND:
    rc = ask_send(c, q->what.send);
    break;
  case CHAT_V1_CHAT_REQUEST_WHAT_CASE_SUBSCRIBE:
    subscribe_to(&c->stream, q->what.subscribe, subscribe_failed);
    if (!c->stream.over) wait_for_turn(c);
    break;
  case CHAT_V1_CHAT_REQUEST_WHAT_CASE_UNSUBSCRIBE:
    feed_unfollow(&c->stream, q->what.unsubscribe->room_id);
    break;
  case CHAT_V1_CHAT_REQUEST_WHAT_CASE_MARK_READ:
    rc = ask_mark(c, q->what.mark_read);
    break;
  case CHAT_V1_CHAT_REQUEST_WHAT_CASE_TYPING:
    rc = ask_typing(c, q->what.typing);
    break;
  case CHAT_V1_CHAT_REQUEST_WHAT_CASE_NOT_SET:
  default:
    rc = nothing_said(c);
    break;
  }
  if (rc) feed_end(&c->stream, CAW_RESOURCE_EXHAUSTED, NULL, "the server is out of memory");
  return 0;
}

/* ---- Life ---- */

static int on_end(caw_call *call, void *reply, const void *impl, void *self) {
  chat *c = caw_call_data(call);
  (void)reply;
  (void)impl;
  (void)self;
  c->ended = true;
  if (!c->stream.at_full) flush(&c->stream);
  return CAW_PENDING;
}

static void leave(feed *st) {
  ((chat *)st)->leaving = true;
  if (!st->at_full) flush(st);
}

/* What was on its way had a reference of the stream: all is done now. */
static void gone(feed *st) {
  chat *c = (chat *)st;
  while (c->first) {
    asked *a = c->first;
    c->first = a->next;
    asked_free(a);
  }
}

static int on_open(caw_call *call, const void *impl, void *self) {
  chat *c = caw_calloc(1, sizeof(*c));
  (void)impl;
  if (!c) return CAW_ENOMEM;
  c->last = &c->first;
  if (feed_open(&c->stream, self, call, FORM_CHAT)) {
    caw_free(c);
    return CAW_ENOMEM;
  }
  c->stream.flush = flush;
  c->stream.leave = leave;
  c->stream.gone = gone;
  caw_call_set_data(call, c);
  caw_call_send_headers(call);
  subscribe_check(&c->stream);
  if (!c->stream.over) wait_for_turn(c);
  return CAW_PENDING;
}

int chat_add(caw_server *server, chatd *app) {
  static const caw_handler handlers[] = {{.method = &chat_v1_chat_service_chat_method,
                                          .message = on_message,
                                          .open = on_open,
                                          .end = on_end}};
  return caw_server_add(server, handlers, 1, NULL, app);
}
