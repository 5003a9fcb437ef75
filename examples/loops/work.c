/* The work of work.h. */
#include "work.h"

#include <dirent.h>
#include <greeter.caw.h>
#include <stdio.h>

#define DEADLINE_MS 50

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  (void)self;
  reply->message =
      caw_arena_printf(caw_call_arena(call), "Hello, %.*s!", CAW_STR_ARG(request->name));
  return reply->message.data ? CAW_OK : CAW_ENOMEM;
}

static void give_up(caw_call *call, void *user) {
  (void)user;
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

/* Never answers: the deadline passes. */
static int say_hello_stream(caw_call *call, const greeter_hello_request *request, void *self) {
  const caw_call_events events = {.on_cancel = give_up};
  (void)request;
  (void)self;
  caw_call_on(call, &events, NULL);
  return CAW_PENDING;
}

static void ended(work *w, caw_call *call, const char *method, const caw_status *status) {
  uint64_t ms = (caw_loop_now(caw_call_loop(call)) - w->started) / 1000000;
  printf("%s: %s after %d ms\n", method, caw_code_name(status->code), (int)ms);
  w->done = --w->calls == 0;
}

static void hello_done(caw_call *call, const caw_status *status, const greeter_hello_reply *reply,
                       void *user) {
  if (reply) printf("%.*s\n", CAW_STR_ARG(reply->message));
  ended(user, call, "SayHello", status);
}

static void stream_done(caw_call *call, const caw_status *status, void *user) {
  ended(user, call, "SayHelloStream", status);
}

static int start_calls(work *w) {
  const greeter_hello_request request = {.name = caw_str_from(w->host)};
  const caw_call_options options = {.size = sizeof(options), .timeout_ms = DEADLINE_MS};
  const greeter_greeter_say_hello_stream_events events = {.on_done = stream_done};
  int rc = greeter_greeter_say_hello_async(NULL, w->channel, &request, NULL, hello_done, w);
  if (rc) return rc;
  w->calls++;
  rc = greeter_greeter_say_hello_stream_async(NULL, w->channel, &request, &options, &events, w);
  if (!rc) w->calls++;
  return rc;
}

/* How many threads the program has. */
static int threads(void) {
  int n = 0;
  DIR *tasks = opendir("/proc/self/task");
  if (!tasks) return -1;
  for (const struct dirent *e; (e = readdir(tasks));) n += e->d_name[0] != '.';
  closedir(tasks);
  return n;
}

int work_start(work *w, caw_loop *loop, const char *host) {
  static const greeter_greeter_service service = {.say_hello = say_hello,
                                                  .say_hello_stream = say_hello_stream};
  const caw_server_options server = {.size = sizeof(server), .loop = loop};
  const caw_channel_options channel = {.size = sizeof(channel), .loop = loop};
  *w = (work){.host = host, .started = caw_loop_now(loop), .threads = threads()};
  int rc = caw_server_new(&w->server, &server);
  if (!rc) rc = greeter_greeter_add(w->server, &service, NULL);
  if (!rc) rc = caw_server_listen(w->server, "127.0.0.1:0");
  if (!rc) rc = caw_channel_new(&w->channel, caw_server_address(w->server, 0), &channel, NULL);
  return rc ? rc : start_calls(w);
}

int work_end(work *w) {
  printf("%d ticks of the timer of %s, %d rounds of its loop, %d new threads\n", w->ticks, w->host,
         w->waits, threads() - w->threads);
  caw_channel_free(w->channel);
  caw_server_free(w->server);
  return w->done ? 0 : 1;
}
