/*
 * peer-honest: what an honest client does much of, and the server for it; both are Caw's, with
 * the defaults of its options.
 *
 *   peer-honest server [strict|tls]  says where it listens; ends well with SIGTERM
 *   peer-honest TRAFFIC TARGET N     makes so much of it, and says how its calls ended
 *
 * A strict server takes no request with more than four header fields: for the test that
 * limits are seen when they are hit. One with tls listens a second time, with the certificate in
 * the folder CAW_GRPC_TESTDATA.
 */
#include "server/server.h"

#include <caw/channel.h>
#include <caw/interceptor.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define METHOD(name, kind)                                                                         \
  { "/test.Honest/" name, kind, &caw_type_bytes, &caw_type_bytes }
static const caw_method echo = METHOD("Echo", CAW_UNARY),
                        count = METHOD("Count", CAW_CLIENT_STREAM),
                        give = METHOD("Give", CAW_SERVER_STREAM), both = METHOD("Both", CAW_BIDI),
                        waits = METHOD("Waits", CAW_UNARY), guarded = METHOD("Guarded", CAW_UNARY);

static char big[4 << 20];

static void must(int rc, const char *what) {
  if (!rc) return;
  fprintf(stderr, "%s: %s\n", what, rc < 0 ? caw_strerror(rc) : "failed");
  exit(1);
}

static void allow_descriptors(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

/* ---- The server ---- */

#define HANDLER(name)                                                                              \
  static int name(caw_call *call, const void *request, void *reply, const void *impl, void *self)
#define UNUSED (void)call, (void)request, (void)reply, (void)impl, (void)self

HANDLER(on_echo) {
  UNUSED;
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static int on_open(caw_call *call, const void *impl, void *self) {
  (void)impl, (void)self;
  caw_call_set_data(call, NULL);
  return 0;
}

HANDLER(on_count) {
  UNUSED;
  caw_call_set_data(call, (void *)((uintptr_t)caw_call_data(call) + 1));
  return 0;
}

static int on_counted(caw_call *call, void *reply, const void *impl, void *self) {
  (void)impl, (void)self;
  *(caw_str *)reply =
      caw_arena_printf(caw_call_arena(call), "%zu", (size_t)(uintptr_t)caw_call_data(call));
  return 0;
}

/* The replies that are still to be given, and how long each is. */
typedef struct giving {
  long left;
  size_t size;
} giving;

static void give_more(caw_call *call, void *user) {
  giving *g = user;
  caw_str text = caw_str_of(big, g->size);
  int rc = 0;
  while (g->left && !(rc = caw_call_send(call, &text))) g->left--;
  if (rc == CAW_EAGAIN) return;
  caw_call_finish(call, rc == CAW_ECLOSED ? 0 : rc, NULL);
}

HANDLER(on_give) {
  UNUSED;
  static const caw_call_events events = {.on_drain = give_more};
  giving *g = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*g));
  char text[64];
  if (!g) return CAW_ENOMEM;
  snprintf(text, sizeof(text), "%.*s", CAW_STR_ARG(*(const caw_str *)request));
  if (sscanf(text, "%ld %zu", &g->left, &g->size) != 2 || g->size > sizeof(big))
    return CAW_INVALID_ARGUMENT;
  caw_call_on(call, &events, g);
  give_more(call, g);
  return CAW_PENDING;
}

static void on_drain(caw_call *call, void *user) {
  (void)user;
  caw_call_resume(call);
}

static int on_both_open(caw_call *call, const void *impl, void *self) {
  static const caw_call_events events = {.on_drain = on_drain};
  (void)impl, (void)self;
  caw_call_on(call, &events, NULL);
  return 0;
}

HANDLER(on_both) {
  UNUSED;
  int rc = caw_call_send(call, request);
  if (caw_call_full(call)) caw_call_pause(call);
  return rc;
}

static int on_both_end(caw_call *call, void *reply, const void *impl, void *self) {
  (void)call, (void)reply, (void)impl, (void)self;
  return 0;
}

static void give_up(caw_call *call, void *user) {
  (void)user;
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

HANDLER(on_waits) {
  UNUSED;
  static const caw_call_events events = {.on_cancel = give_up};
  caw_call_on(call, &events, NULL);
  return CAW_PENDING;
}

static const caw_handler handlers[] = {
    {&echo, on_echo, NULL, NULL},   {&count, on_count, on_open, on_counted},
    {&give, on_give, NULL, NULL},   {&both, on_both, on_both_open, on_both_end},
    {&waits, on_waits, NULL, NULL}, {&guarded, on_echo, NULL, NULL},
};

/* Every token has expired. */
static int check_token(caw_call *call, void *user) {
  (void)user;
  if (!caw_call_method(call) || strcmp(caw_call_method(call)->path, guarded.path) != 0) return 0;
  return caw_call_fail(call, CAW_UNAUTHENTICATED, "the token has expired");
}

static void stop(int signum, void *user) {
  (void)signum;
  caw_server_drain(user, 100, NULL, NULL);
}

static void listen_tls(caw_server *s) {
  const char *folder = getenv("CAW_GRPC_TESTDATA");
  char cert[512], key[512], why[512];
  caw_server_credentials *c;
  snprintf(cert, sizeof(cert), "%s/server1.pem", folder ? folder : ".");
  snprintf(key, sizeof(key), "%s/server1.key", folder ? folder : ".");
  const caw_tls_server_options o = {.size = sizeof(o),
                                    .cert = {.file = cert},
                                    .key = {.file = key}};
  if (caw_tls_server_new(&c, &o, why, sizeof(why))) must(-1, why);
  must(caw_server_listen_tls(s, "127.0.0.1:0", c), "listen");
  caw_server_credentials_unref(c);
}

static int serve(const char *how) {
  static const caw_interceptor door = {.size = sizeof(door), .on_request = check_token};
  caw_server *s;
  must(caw_server_new(&s, NULL), "server");
  if (!strcmp(how, "strict")) s->config.h2.hard_header_fields = 4;
  must(caw_server_add(s, handlers, sizeof(handlers) / sizeof(handlers[0]), NULL, NULL), "methods");
  must(caw_server_intercept(s, &door, NULL), "interceptor");
  must(caw_server_listen(s, "127.0.0.1:0"), "listen");
  must(caw_loop_on_signal(caw_server_loop(s), 15, stop, s), "signal");
  if (!strcmp(how, "tls")) listen_tls(s);
  for (size_t i = 0; caw_server_address(s, i); i++)
    printf("listening on %s\n", caw_server_address(s, i));
  fflush(stdout);
  int rc = caw_server_run(s);
  caw_server_free(s);
  return rc ? 1 : 0;
}

/* ---- The client ---- */

static caw_loop *loop;
static caw_channel *channel;
static const char *target;
static long goal, begun, ended, outcomes[17];
static long replies; /* messages */
static caw_timer *timer;

static void no_more(void) {
  if (ended == goal) caw_loop_stop(loop);
}

static void note(const caw_status *status) {
  outcomes[status->code]++;
  ended++;
  no_more();
}

static void on_unary(caw_call *call, const caw_status *status, const void *reply, void *user);

static void begin_unary(const caw_method *method, caw_channel *ch, const caw_call_options *o,
                        void *user) {
  caw_str text = CAW_STR("Is it you?");
  must(caw_call_start_unary(NULL, ch, method, &text, o, on_unary, NULL, user), "call");
  begun++;
}

/* Storms: so many at once, each followed by the next. */
typedef struct storm {
  const caw_method *method;
  uint64_t timeout_ms;
} storm;

static void next_of_storm(storm *s) {
  const caw_metadata_entry token = {CAW_STR("authorization"), CAW_STR("Bearer t0ken")};
  const caw_call_options o = {.size = sizeof(o),
                              .timeout_ms = s->timeout_ms ? 1 + (uint64_t)(begun % 20) : 0,
                              .metadata = &token,
                              .metadata_len = 1};
  begin_unary(s->method, channel, &o, s);
}

static void on_unary(caw_call *call, const caw_status *status, const void *reply, void *user) {
  (void)call;
  if (reply) replies++;
  if (user && begun < goal) next_of_storm(user);
  note(status);
}

static void begin_storm(storm *s) {
  for (int i = 0; i < 100 && begun < goal; i++) next_of_storm(s);
}

static void tokens(void) {
  static storm s = {&guarded, 0};
  begin_storm(&s);
}

static void deadlines(void) {
  static storm s = {&waits, 1};
  begin_storm(&s);
}

/* So many calls a second, whatever became of those before. */
static void pace(void *user) {
  (void)user;
  static uint64_t start;
  if (!start) start = caw_loop_now(loop);
  long due = 1 + (long)((caw_loop_now(loop) - start) / 200000); /* 5,000 a second */
  while (begun < goal && begun < due) begin_unary(&echo, channel, NULL, NULL);
  if (begun < goal) caw_timer_start(timer, 1);
}

static void paced(void) {
  must(caw_timer_new(&timer, loop, pace, NULL), "timer");
  caw_timer_start(timer, 0);
}

/* ---- Streams ---- */

static long to_send;
static size_t size_of_each;

static void send_more(caw_call *call, void *user) {
  (void)user;
  caw_str text = caw_str_of(big, size_of_each);
  int rc = 0;
  while (to_send && !(rc = caw_call_send(call, &text))) to_send--;
  if (rc && rc != CAW_EAGAIN && rc != CAW_ECLOSED) must(rc, "send");
  if (!rc) caw_call_close_send(call);
}

static void on_message(caw_call *call, const void *message, void *user) {
  const caw_str *text = message;
  (void)call, (void)user;
  replies++;
  if (caw_call_method(call) != &count) return;
  printf("counted %.*s\n", CAW_STR_ARG(*text));
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  (void)call, (void)user;
  note(status);
}

static const caw_client_events stream_events = {.on_message = on_message,
                                                .on_drain = send_more,
                                                .on_done = on_done};

static void stream(const caw_method *method, size_t size) {
  caw_call *call;
  to_send = goal;
  goal = 1;
  size_of_each = size;
  must(caw_call_start(&call, channel, method, NULL, &stream_events, NULL), "call");
  send_more(call, NULL);
}

static void tiny_up(void) {
  stream(&count, 1);
}

static void tiny_both(void) {
  stream(&both, 1);
}

static void medium_both(void) {
  stream(&both, 600);
}

static void begin_give(size_t size, const caw_client_events *events) {
  char text[64];
  caw_str request = caw_str_of(text, (size_t)snprintf(text, sizeof(text), "%ld %zu", goal, size));
  goal = 1;
  must(caw_call_start_with(NULL, channel, &give, &request, NULL, events, NULL), "call");
}

static void tiny_down(void) {
  begin_give(1, &stream_events);
}

/* After each reply of 4 MiB the reader is busy for a while, HONEST_PAUSE milliseconds. */
static caw_call *reader;

static void read_on(void *user) {
  (void)user;
  if (reader) caw_call_resume(reader);
}

static void on_large(caw_call *call, const void *message, void *user) {
  const char *pause = getenv("HONEST_PAUSE");
  (void)message, (void)user;
  replies++;
  reader = call;
  caw_call_pause(call);
  caw_timer_start(timer, pause ? strtoull(pause, NULL, 10) : 100);
}

static void on_large_done(caw_call *call, const caw_status *status, void *user) {
  reader = NULL;
  on_done(call, status, user);
}

static void slow_reader(void) {
  static const caw_client_events events = {.on_message = on_large, .on_done = on_large_done};
  must(caw_timer_new(&timer, loop, read_on, NULL), "timer");
  begin_give(sizeof(big) - 100, &events);
}

/* ---- Cancelling ---- */

static void let_go(void *call) {
  caw_call_cancel(call);
  caw_call_unref(call);
}

/* Each call has its 16 ms, and is cancelled when the next one begins. */
static caw_call *last;

static void cancel_next(void *user) {
  static const caw_client_events events = {.on_done = on_done};
  caw_str text = CAW_STR("to be cancelled");
  (void)user;
  if (last) let_go(last);
  last = NULL;
  if (begun == goal) return;
  must(caw_call_start_with(&last, channel, &waits, &text, NULL, &events, NULL), "call");
  caw_call_ref(last);
  begun++;
  caw_timer_start(timer, 16);
}

static void cancels(void) {
  must(caw_timer_new(&timer, loop, cancel_next, NULL), "timer");
  caw_timer_start(timer, 0);
}

/* The same as fast as they can be made: no honest client does this. */
static void rapid_next(void *user) {
  (void)user;
  static const caw_client_events events = {.on_done = on_done};
  caw_str text = CAW_STR("to be cancelled");
  for (int i = 0; i < 50 && begun < goal; i++) {
    caw_call *call;
    must(caw_call_start_with(&call, channel, &waits, &text, NULL, &events, NULL), "call");
    caw_call_ref(call);
    begun++;
    must(caw_loop_post(loop, let_go, call), "post");
  }
  if (begun < goal) caw_timer_start(timer, 1);
}

static void rapid(void) {
  must(caw_timer_new(&timer, loop, rapid_next, NULL), "timer");
  caw_timer_start(timer, 0);
}

/* ---- Connections that wait for their first request ---- */

static caw_channel **idlers;
static long ready;

static void ask_all(void *user) {
  (void)user;
  printf("%ld ready\n", ready);
  for (long i = 0; i < goal; i++) begin_unary(&echo, idlers[i], NULL, NULL);
}

static void on_state(caw_channel *ch, caw_connectivity now, void *user) {
  const char *pause = getenv("HONEST_PAUSE");
  if (now == CAW_CHANNEL_READY) {
    if (++ready < goal) return;
    must(caw_timer_new(&timer, loop, ask_all, NULL), "timer");
    caw_timer_start(timer, pause ? strtoull(pause, NULL, 10) : 1000);
  } else if (now != CAW_CHANNEL_SHUTDOWN) {
    must(caw_channel_watch(ch, now, 0, on_state, user), "watch");
  }
}

static void idle(void) {
  const caw_channel_options o = {.size = sizeof(o), .loop = loop};
  idlers = calloc((size_t)goal, sizeof(caw_channel *));
  for (long i = 0; i < goal && idlers; i++) {
    must(caw_channel_new(&idlers[i], target, &o, NULL), "channel");
    on_state(idlers[i], caw_channel_state(idlers[i], true), NULL);
  }
}

/* ---- The program ---- */

static const struct {
  const char *name;
  void (*begin)(void);
} traffic[] = {{"tiny-up", tiny_up},    {"tiny-down", tiny_down},     {"tiny-both", tiny_both},
               {"medium", medium_both}, {"cancels", cancels},         {"rapid", rapid},
               {"paced", paced},        {"slow-reader", slow_reader}, {"idle", idle},
               {"tokens", tokens},      {"deadlines", deadlines}};

static void make(void (*begin)(void)) {
  must(caw_loop_new(&loop), "loop");
  const caw_channel_options o = {.size = sizeof(o), .loop = loop};
  must(caw_channel_new(&channel, target, &o, NULL), "channel");
  long n = goal;
  begin();
  caw_loop_run(loop, CAW_LOOP_DEFAULT);
  printf("replies %ld;", replies);
  for (int i = 0; i < 17; i++)
    if (outcomes[i]) printf(" %s %ld", caw_code_name(i), outcomes[i]);
  printf("\n");
  caw_timer_free(timer);
  caw_channel_free(channel);
  for (long i = 0; idlers && i < n; i++) caw_channel_free(idlers[i]);
  free(idlers);
  caw_loop_free(loop);
}

int main(int argc, char **argv) {
  allow_descriptors();
  if (argc >= 2 && !strcmp(argv[1], "server")) return serve(argc == 3 ? argv[2] : "");
  if (argc != 4) return 2;
  target = argv[2];
  goal = atol(argv[3]);
  for (size_t i = 0; i < sizeof(traffic) / sizeof(traffic[0]); i++) {
    if (strcmp(argv[1], traffic[i].name) != 0) continue;
    make(traffic[i].begin);
    return 0;
  }
  return 2;
}
