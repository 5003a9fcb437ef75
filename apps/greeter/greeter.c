/* The Greeter: one handler for each kind of call. */
#include "greeter.h"

#include "log.h"

#include <greeter.caw.h>

#define STREAM_REPLIES 5

/* Fills in what all replies share; the strings live in `arena`. */
static int stamp(const greeter *self, greeter_hello_reply *reply, caw_arena *arena) {
  char now[TIMESTAMP_ROOM];
  timestamp_now(now);
  reply->timestamp = caw_arena_dup(arena, caw_str_from(now));
  reply->server_id = caw_str_from(self->server_id);
  return reply->message.data && reply->timestamp.data ? 0 : CAW_ENOMEM;
}

/* ---- Unary ---- */

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  caw_arena *arena = caw_call_arena(call);
  reply->message = request->age
                       ? caw_arena_printf(arena, "Hello, %.*s! You are %d years old.",
                                          CAW_STR_ARG(request->name), (int)request->age)
                       : caw_arena_printf(arena, "Hello, %.*s!", CAW_STR_ARG(request->name));
  return stamp(self, reply, arena);
}

/* ---- Server stream: a timer sends the replies ---- */

typedef struct ticking {
  caw_call *call;
  const greeter *self;
  caw_str name; /* borrowed from the request, which lives until on_done */
  caw_timer *timer;
  caw_arena *arena; /* one reply's strings */
  int sent;
  bool refused; /* a reply waits for on_drain */
} ticking;

static void tick(void *user) {
  ticking *t = user;
  greeter_hello_reply reply = {0};
  caw_arena_reset(t->arena);
  reply.message = caw_arena_printf(t->arena, "Hello %.*s! This is message #%d",
                                   CAW_STR_ARG(t->name), t->sent + 1);
  int rc = stamp(t->self, &reply, t->arena);
  if (!rc) rc = greeter_greeter_say_hello_stream_send_reply(t->call, &reply);
  t->refused = rc == CAW_EAGAIN;
  if (t->refused) return; /* on_drain tries again */
  if (rc || ++t->sent == STREAM_REPLIES) caw_call_finish(t->call, rc, NULL);
  else caw_timer_start(t->timer, t->self->interval_ms);
}

static void ticking_drain(caw_call *call, void *user) {
  (void)call;
  /* It comes whenever the queue was full, also when no reply was refused. */
  if (((ticking *)user)->refused) tick(user);
}

static void ticking_cancel(caw_call *call, void *user) {
  caw_timer_stop(((ticking *)user)->timer);
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

static void ticking_done(caw_call *call, const caw_status *status, void *user) {
  ticking *t = user;
  (void)call;
  (void)status;
  caw_timer_free(t->timer);
  caw_arena_free(t->arena);
}

static int say_hello_stream(caw_call *call, const greeter_hello_request *request, void *self) {
  static const caw_call_events events = {ticking_cancel, ticking_drain, NULL, ticking_done};
  ticking *t = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*t));
  if (!t) return CAW_ENOMEM;
  t->call = call;
  t->self = self;
  t->name = request->name;
  caw_call_on(call, &events, t);
  t->arena = caw_arena_new(0);
  if (!t->arena || caw_timer_new(&t->timer, caw_call_loop(call), tick, t)) return CAW_ENOMEM;
  caw_timer_start(t->timer, 0);
  return CAW_PENDING;
}

/* ---- Client stream ---- */

typedef struct census {
  int64_t people, years;
} census;

static int many_open(caw_call *call, void *self) {
  (void)self;
  census *c = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*c));
  caw_call_set_data(call, c);
  return c ? 0 : CAW_ENOMEM;
}

static int many_message(caw_call *call, const greeter_hello_request *request, void *self) {
  census *c = caw_call_data(call);
  (void)self;
  c->people++;
  c->years += request->age;
  return 0;
}

static int many_end(caw_call *call, greeter_hello_reply *reply, void *self) {
  const census *c = caw_call_data(call);
  caw_arena *arena = caw_call_arena(call);
  reply->message =
      c->people ? caw_arena_printf(arena, "Hello to %lld people! Average age: %.1f",
                                   (long long)c->people, (double)c->years / (double)c->people)
                : caw_arena_dup(arena, caw_str_from("Hello to 0 people!"));
  return stamp(self, reply, arena);
}

/* ---- Bidirectional ---- */

typedef struct echo {
  caw_arena *arena; /* one reply's strings */
  int64_t count;
} echo;

static void echo_drain(caw_call *call, void *user) {
  (void)user;
  caw_call_resume(call);
}

static void echo_done(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  (void)status;
  caw_arena_free(((echo *)user)->arena);
}

static int chat_open(caw_call *call, void *self) {
  static const caw_call_events events = {NULL, echo_drain, NULL, echo_done};
  echo *e = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*e));
  (void)self;
  if (!e) return CAW_ENOMEM;
  caw_call_set_data(call, e);
  caw_call_on(call, &events, e);
  e->arena = caw_arena_new(0);
  return e->arena ? 0 : CAW_ENOMEM;
}

static int chat_message(caw_call *call, const greeter_hello_request *request, void *self) {
  echo *e = caw_call_data(call);
  greeter_hello_reply reply = {0};
  caw_arena_reset(e->arena);
  reply.message = caw_arena_printf(e->arena, "Echo #%lld: %.*s", (long long)++e->count,
                                   CAW_STR_ARG(request->name));
  int rc = stamp(self, &reply, e->arena);
  if (!rc) rc = greeter_greeter_chat_send_reply(call, &reply);
  if (rc) return rc;
  /* Whoever does not read its echoes is not read either. */
  if (caw_call_full(call)) caw_call_pause(call);
  return 0;
}

static int chat_end(caw_call *call, void *self) {
  (void)call;
  (void)self;
  return 0;
}

int greeter_add(caw_server *server, greeter *self) {
  static const greeter_greeter_service service = {
      .say_hello = say_hello,
      .say_hello_stream = say_hello_stream,
      .say_hello_to_many = {.open = many_open, .message = many_message, .end = many_end},
      .chat = {.open = chat_open, .message = chat_message, .end = chat_end},
  };
  return greeter_greeter_add(server, &service, self);
}
