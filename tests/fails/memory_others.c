/* Memory runs out: making and listening, threads, services, JSON. */
#include "succession.h"
#include "heap.h"
#include "scenario.h"

#include <caw/blocking.h>
#include <caw/health.h>
#include <caw/json.h>
#include <caw/reflection.h>
#include <caw/systemd.h>
#include <grpc/health/v1/health.caw.h>
#include <grpc/reflection/v1/reflection.caw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BIT(status) (UINT32_C(1) << (status))

/* ---- Making ---- */

static int nothing(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)call, (void)impl, (void)self;
  if (reply) *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static const caw_handler nothings[] = {{&echo, nothing, NULL, NULL}, {&down, nothing, NULL, NULL}};

static void ignore(void *user) {
  (void)user;
}

static void ignore_signal(int signum, void *user) {
  (void)signum, (void)user;
}

static int listen_and_see(caw_server *s, const char *address) {
  int rc = caw_server_listen(s, address);
  if (rc) must(caw_server_error(s)[0] && !caw_server_address(s, 0));
  return rc;
}

static int make(world *w) {
  caw_loop *loop = NULL;
  caw_server *server = NULL;
  caw_channel *channel = NULL;
  caw_timer *timer = NULL;
  static const caw_interceptor interceptor = {.size = sizeof(interceptor)};
  int rc = caw_loop_new(&loop);
  caw_server_options so = {.size = sizeof(so), .loop = loop};
  caw_channel_options co = {.size = sizeof(co), .loop = loop, .credentials = w->channel_tls};
  if (!rc) rc = caw_timer_new(&timer, loop, ignore, NULL);
  if (!rc) rc = caw_loop_on_signal(loop, SIGUSR1, ignore_signal, NULL);
  if (!rc) rc = caw_server_new(&server, &so);
  if (!rc) rc = caw_server_add(server, nothings, 2, NULL, NULL);
  if (!rc) rc = caw_server_intercept(server, &interceptor, NULL);
  if (!rc) rc = caw_server_on_drain(server, ignore, NULL);
  if (!rc) rc = caw_server_on_free(server, ignore, NULL);
  if (!rc) rc = caw_server_drain_on_signal(server, SIGUSR2, 0);
  if (!rc) rc = caw_server_notify_systemd(server);
  if (!rc) rc = caw_reflection_add(server);
  if (!rc) rc = listen_and_see(server, "127.0.0.1:0");
  if (!rc && w->server_tls) rc = caw_server_listen_tls(server, "127.0.0.1:0", w->server_tls);
  if (!rc) rc = caw_channel_new(&channel, caw_server_address(server, 0), &co, NULL);
  if (!rc) rc = caw_channel_intercept(channel, &interceptor, NULL);
  if (!rc) rc = caw_loop_post(loop, ignore, NULL);
  if (loop) caw_loop_run(loop, CAW_LOOP_NOWAIT);
  caw_timer_free(timer);
  caw_channel_free(channel);
  caw_server_free(server);
  caw_loop_free(loop);
  return rc;
}

/* What was refused for want of memory can be tried again. */
static int make_again(world *w) {
  const caw_server_options o = {.size = sizeof(o), .loop = w->loop};
  talk t = {0};
  heap_pause(true);
  must_be(caw_server_new(&w->server, &o), 0);
  heap_pause(false);
  int added = caw_server_add(w->server, nothings, 2, NULL, NULL);
  int listened = listen_and_see(w->server, "127.0.0.1:0");
  heap_pause(true);
  if (added) must_be(caw_server_add(w->server, nothings, 2, NULL, NULL), 0);
  if (listened) {
    must(strstr(caw_server_error(w->server), " memory") != NULL);
    must_be(caw_server_listen(w->server, "127.0.0.1:0"), 0);
  }
  w->target = caw_server_address(w->server, 0);
  must_be(world_channel(w, &w->channel), 0);
  must_be(talk_all(w, &t, &echo, NULL), CAW_OK);
  return added ? added : listened;
}

/* What is wrong is said, also when there is no memory for more. */
static int listen_in_vain(world *w) {
  static const struct {
    const char *address;
    int rc;
  } cases[] = {{"127.0.0.1", CAW_EADDR},    {"unix:/nowhere/at/all", CAW_EADDR},
               {"192.0.2.1:1", CAW_EADDR},  {"localhost:0", 0},
               {"systemd:", CAW_ENOTFOUND}, {"", CAW_EADDRINUSE}};
  caw_server *server;
  char taken[64];
  int worst = 0;
  snprintf(taken, sizeof(taken), "%s", (const char *)w->extra);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const caw_server_options o = {.size = sizeof(o), .loop = w->loop};
    int rc = caw_server_new(&server, &o);
    if (!rc) {
      rc = listen_and_see(server, cases[i].address[0] ? cases[i].address : taken);
      if (rc != cases[i].rc && rc != CAW_ENOMEM && cases[i].rc)
        run_fail(__FILE__, __LINE__, "\"%s\": %d, not %d: %s", cases[i].address, rc, cases[i].rc,
                 caw_server_error(server));
      if (rc == cases[i].rc) rc = 0;
      caw_server_free(server);
    }
    if (rc) worst = rc;
  }
  world_turns(w, 3);
  return worst;
}

static caw_server *in_the_way;

static void take_address(world *w) {
  const caw_server_options o = {.size = sizeof(o), .loop = w->loop};
  must_be(caw_server_new(&in_the_way, &o), 0);
  must_be(caw_server_listen(in_the_way, "127.0.0.1:0"), 0);
  w->extra = (void *)(uintptr_t)caw_server_address(in_the_way, 0);
}

static void free_address(world *w) {
  (void)w;
  caw_server_free(in_the_way);
}

/* ---- Threads ---- */

typedef struct threads {
  caw_server *server;
  pthread_t thread;
  bool running;
  caw_channel *channel, *neighbour;
} threads;

static void *run(void *arg) {
  must_be(caw_server_run(arg), 0);
  return NULL;
}

static int echo_blocking(caw_stream *stream, const void *request, void *reply, const void *impl,
                         void *self) {
  (void)impl, (void)self;
  caw_str copy = caw_arena_dup(caw_call_arena(caw_stream_call(stream)), *(const caw_str *)request);
  *(caw_str *)reply = copy;
  return copy.data ? 0 : CAW_ENOMEM;
}

static int both_blocking(caw_stream *stream, const void *request, void *reply, const void *impl,
                         void *self) {
  (void)request, (void)reply, (void)impl, (void)self;
  caw_arena *arena = caw_arena_new(0);
  caw_str text;
  int rc = arena ? 0 : CAW_ENOMEM;
  while (!rc && !(rc = caw_stream_read(stream, &text, arena))) {
    rc = caw_stream_write(stream, &text);
    caw_arena_reset(arena);
  }
  caw_arena_free(arena);
  return rc == CAW_EEND ? 0 : rc;
}

static const caw_method near = {"/test.Fails/Near", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
static const caw_blocking_handler blocking_handlers[] = {{&echo, echo_blocking},
                                                         {&both, both_blocking}};
static const caw_handler near_handlers[] = {{&near, nothing, NULL, NULL}};

static int ask(caw_channel *channel, const caw_method *method) {
  caw_str request = CAW_STR("a question"), reply = {NULL, 0};
  caw_arena *arena = caw_arena_new(0);
  if (!arena) return CAW_ENOMEM;
  int code = caw_call_unary(channel, method, &request, &reply, arena, NULL, NULL);
  if (!code) must(caw_str_eq(request, reply));
  caw_arena_free(arena);
  return code;
}

static void start_threads(world *w) {
  static threads t;
  t = (threads){0};
  w->extra = &t;
  const caw_server_options o = {.size = sizeof(o), .loops = 3, .pool_threads = 2};
  must_be(caw_server_new(&t.server, &o), 0);
  must_be(caw_server_add(t.server, near_handlers, 1, NULL, NULL), 0);
  must_be(caw_server_add_blocking(t.server, blocking_handlers, 2, NULL, NULL), 0);
  must_be(caw_server_listen(t.server, "127.0.0.1:0"), 0);
  must_be(pthread_create(&t.thread, NULL, run, t.server), 0);
  must_be(caw_channel_new(&t.neighbour, caw_server_address(t.server, 0), NULL, NULL), 0);
  must_be(ask(t.neighbour, &near), 0);
}

static void ask_neighbour(const threads *t) {
  heap_pause(true);
  must_be(ask(t->neighbour, &near), 0);
  heap_pause(false);
}

static void end_threads(world *w) {
  threads *t = w->extra;
  ask_neighbour(t);
  must_be(caw_channel_new(&t->channel, caw_server_address(t->server, 0), NULL, NULL), 0);
  must_be(ask(t->channel, &echo), 0);
  caw_channel_free(t->channel);
  caw_channel_free(t->neighbour);
  caw_server_drain(t->server, 0, NULL, NULL);
  pthread_join(t->thread, NULL);
  caw_server_free(t->server);
}

static int new_channel(threads *t) {
  const caw_channel_options o = {.size = sizeof(o), .backoff_initial_ms = 1, .backoff_max_ms = 5};
  t->channel = NULL;
  return caw_channel_new(&t->channel, caw_server_address(t->server, 0), &o, NULL);
}

static int blocking_unary(world *w) {
  threads *t = w->extra;
  int rc = new_channel(t);
  for (int i = 0; i < 2 && !rc; i++) {
    rc = ask(t->channel, &echo);
    ask_neighbour(t);
  }
  caw_channel_free(t->channel);
  return rc;
}

static int exchange(caw_stream *s, caw_arena *arena) {
  caw_str text = caw_str_of(big, BIG);
  for (int i = 0; i < 3; i++) {
    int rc = caw_stream_write(s, &text);
    if (!rc) rc = caw_stream_read(s, &text, arena);
    if (rc) return rc;
    must_be(text.len, BIG);
  }
  return caw_stream_close_send(s);
}

static int blocking_stream(world *w) {
  threads *t = w->extra;
  caw_stream *s = NULL;
  caw_arena *arena = caw_arena_new(0);
  int rc = arena ? new_channel(t) : CAW_ENOMEM;
  if (rc) {
    caw_arena_free(arena);
    return rc;
  }
  rc = caw_stream_open(&s, t->channel, &both, NULL);
  if (!rc) rc = exchange(s, arena);
  ask_neighbour(t);
  if (s) {
    if (rc == CAW_ENOMEM) caw_call_cancel(caw_stream_call(s));
    int code = caw_stream_finish(s, NULL, NULL);
    if (!rc || rc == CAW_ECLOSED || rc == CAW_EEND) rc = code;
  }
  caw_channel_free(t->channel);
  caw_arena_free(arena);
  return rc;
}

/* One connection for each loop, and one more. */
static int several_loops(world *w) {
  threads *t = w->extra;
  caw_channel *channels[4] = {NULL};
  int worst = 0;
  for (int i = 0; i < 4; i++) {
    int rc = new_channel(t);
    channels[i] = t->channel;
    if (!rc) rc = ask(t->channel, &near);
    if (rc) worst = rc;
  }
  for (int i = 0; i < 4; i++) caw_channel_free(channels[i]);
  ask_neighbour(t);
  return worst;
}

/* ---- Services ---- */

static caw_health *health;

static void add_services(world *w) {
  must_be(caw_health_new(&health), 0);
  must_be(caw_health_add(w->server, health), 0);
  must_be(caw_reflection_add(w->server), 0);
}

static void free_health(world *w) {
  (void)w;
  caw_health_free(health);
}

typedef struct watching {
  int code, done, n, last;
} watching;

static void on_checked(caw_call *call, const caw_status *status,
                       const grpc_health_v1_health_check_response *reply, void *user) {
  watching *h = user;
  (void)call;
  h->code = status->code;
  h->done++;
  if (reply) h->last = reply->status;
}

static void on_health(caw_call *call, const grpc_health_v1_health_check_response *reply,
                      void *user) {
  watching *h = user;
  h->last = reply->status;
  if (++h->n == 1) {
    if (caw_health_set(health, "a name", CAW_HEALTH_SERVING) == 0) return;
    caw_call_cancel(call);
  } else {
    caw_call_cancel(call);
  }
}

static void on_watched(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  ((watching *)user)->code = status->code;
  ((watching *)user)->done++;
}

static int check_and_watch(world *w) {
  static const grpc_health_v1_health_watch_events events = {.on_message = on_health,
                                                            .on_done = on_watched};
  const grpc_health_v1_health_check_request whole = {0}, named = {.service = CAW_STR("a name")};
  watching a = {0}, b = {0};
  int rc = grpc_health_v1_health_check_async(NULL, w->channel, &whole, NULL, on_checked, &a);
  if (rc) return rc;
  world_until(w, &a.done);
  if (a.code) return a.code;
  must_be(a.last, CAW_HEALTH_SERVING);
  rc = grpc_health_v1_health_watch_async(NULL, w->channel, &named, NULL, &events, &b);
  if (rc) return rc;
  world_until(w, &b.done);
  world_turns(w, 3);
  return b.code == CAW_CANCELLED && b.n == 2 ? 0 : b.code;
}

static void on_answer(caw_call *call, const grpc_reflection_v1_server_reflection_response *reply,
                      void *user) {
  (void)reply;
  if (++((watching *)user)->n == 2) caw_call_close_send(call);
}

static int reflect(world *w) {
  typedef grpc_reflection_v1_server_reflection_request request;
  static const grpc_reflection_v1_server_reflection_server_reflection_info_events events = {
      .on_message = on_answer, .on_done = on_watched};
  const request list = {
      .message_request_case =
          GRPC_REFLECTION_V1_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_CASE_LIST_SERVICES,
      .message_request.list_services = CAW_STR("*")};
  const request file = {
      .message_request_case =
          GRPC_REFLECTION_V1_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_CASE_FILE_CONTAINING_SYMBOL,
      .message_request.file_containing_symbol = CAW_STR("grpc.health.v1.Health")};
  watching r = {0};
  caw_call *call;
  int rc = grpc_reflection_v1_server_reflection_server_reflection_info_async(&call, w->channel,
                                                                             NULL, &events, &r);
  if (rc) return rc;
  rc = caw_call_send(call, &list);
  if (!rc) rc = caw_call_send(call, &file);
  if (rc) caw_call_cancel(call);
  world_until(w, &r.done);
  world_turns(w, 3);
  if (!r.code) must_be(r.n, 2);
  return r.code;
}

/* ---- JSON ---- */

static int json(world *w) {
  (void)w;
  static const char text[] =
      "{\"host\":\"h\\u00e9re\",\"fileContainingExtension\":{\"containingType\":\"a\\\"b\","
      "\"extensionNumber\":77}}";
  const caw_type *type = &grpc_reflection_v1_server_reflection_request_type;
  caw_arena *arena = caw_arena_new(64);
  if (!arena) return CAW_ENOMEM;
  grpc_reflection_v1_server_reflection_request m;
  caw_json_error error;
  caw_str out;
  int rc = caw_json_read(&m, arena, type, caw_str_from(text), NULL, &error);
  if (!rc) rc = caw_json_write(&out, arena, type, &m, NULL, &error);
  if (!rc) must(out.len > 60);
  caw_arena_free(arena);
  return rc;
}

#define THREADS                                                                                    \
  { .bare = true, .equip = start_threads }

const scenario other_scenarios[] = {
    {.name = "making",
     .run = make,
     .how = {.bare = true, .tls = true},
     .sources = HEAP_LOOP,
     .told = true},
    {.name = "making again", .run = make_again, .how = {.bare = true}, .told = true},
    {.name = "listening in vain",
     .vague = true,
     .run = listen_in_vain,
     .close = free_address,
     .how = {.bare = true, .equip = take_address},
     .sources = HEAP_DNS | HEAP_LOOP},
    {.name = "blocking unary", .run = blocking_unary, .how = THREADS, .close = end_threads},
    {.name = "blocking stream", .run = blocking_stream, .how = THREADS, .close = end_threads},
    {.name = "several loops",
     .run = several_loops,
     .how = THREADS,
     .close = end_threads,
     .sources = HEAP_LOOP},
    {.name = "hand-over",
     .vague = true,
     .run = succession_run,
     .how = {.bare = true, .equip = succession_open},
     .close = succession_close},
    {.name = "health",
     .run = check_and_watch,
     .close = free_health,
     .how = {.equip = add_services},
     .also = BIT(CAW_NOT_FOUND)},
    {.name = "reflection", .run = reflect, .close = free_health, .how = {.equip = add_services}},
    {.name = "JSON", .run = json, .how = {.bare = true}},
    {.name = NULL},
};
