/*
 * peer-soak TARGET TLS-TARGET CALLS CHANNELS SECONDS: a client that makes so many calls on so
 * many channels, one after the other and some at once, evenly over that time, of all kinds, some
 * of which expire or are cancelled; a quarter of the channels over TLS. Says every second how
 * many there were, and at the end; what did not end as it had to, on standard error. With
 * SIGTERM it makes no more and ends well.
 */
#include <caw/channel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD(name, kind)                                                                         \
  { "/test.Honest/" name, kind, &caw_type_bytes, &caw_type_bytes }
static const caw_method echo = METHOD("Echo", CAW_UNARY),
                        count = METHOD("Count", CAW_CLIENT_STREAM),
                        give = METHOD("Give", CAW_SERVER_STREAM), both = METHOD("Both", CAW_BIDI),
                        waits = METHOD("Waits", CAW_UNARY);

enum { SLOTS = 8, AT_ONCE = 10, MESSAGES = 5 };

/* What becomes of a call. */
typedef struct kind {
  const caw_method *method;
  size_t size; /* of a message */
  int replies, code;
  uint64_t timeout_ms;
  bool cancel;
  caw_encoding encoding;
} kind;

/* In turn: mostly small unary calls. */
static const kind kinds[] = {
    {.method = &echo, .size = 20, .replies = 1},
    {.method = &echo, .size = 600, .replies = 1},
    {.method = &give, .replies = MESSAGES},
    {.method = &echo, .size = 20, .replies = 1},
    {.method = &count, .size = 100, .replies = 1},
    {.method = &echo, .size = 20, .replies = 1},
    {.method = &both, .size = 300, .replies = MESSAGES},
    {.method = &echo, .size = 2000, .replies = 1, .encoding = CAW_ENCODING_GZIP},
    {.method = &waits, .size = 20, .timeout_ms = 5, .code = CAW_DEADLINE_EXCEEDED},
    {.method = &echo, .size = 20, .replies = 1},
    {.method = &waits, .size = 20, .cancel = true, .code = CAW_CANCELLED},
    {.method = &echo, .size = 20, .replies = 1},
    {.method = &echo, .size = 100000, .replies = 1},
};

typedef struct slot {
  caw_channel *channel; /* NULL: free */
  long left;            /* calls to be begun */
  int open;
} slot;

typedef struct one {
  slot *slot;
  const kind *kind;
  int replies;
} one;

static caw_loop *loop;
static caw_timer *pacer, *clock_timer;
static caw_channel_credentials *tls;
static const char *targets[2];
static slot slots[SLOTS];
static long calls, channels, goal_calls, goal_channels, failed;
static uint64_t start, seconds;
static bool ending;
static char big[100000];

static void must(int rc, const char *what) {
  if (!rc) return;
  fprintf(stderr, "%s: %s\n", what, caw_strerror(rc));
  exit(1);
}

/* ---- Calls ---- */

static void end_slot(void *user) {
  slot *s = user;
  caw_channel_free(s->channel);
  s->channel = NULL;
  channels++;
}

static void fill(slot *s);

static void on_message(caw_call *call, const void *message, void *user) {
  (void)call, (void)message;
  ((one *)user)->replies++;
}

static void complain(const one *o, const caw_status *status) {
  char why[256] = "";
  caw_channel_error(o->slot->channel, why, sizeof(why));
  if (++failed <= 20)
    fprintf(stderr, "%s: %s, \"%.*s\", %d replies (%s)\n", o->kind->method->path,
            caw_code_name(status->code), CAW_STR_ARG(status->message), o->replies, why);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  one *o = user;
  slot *s = o->slot;
  (void)call;
  if (status->code != o->kind->code || o->replies != o->kind->replies) complain(o, status);
  free(o);
  calls++;
  s->open--;
  if (s->left) fill(s);
  else if (!s->open) must(caw_loop_post(loop, end_slot, s), "post");
}

static int send_all(caw_call *call, const kind *k) {
  caw_str text = caw_str_of(big, k->size);
  int rc = 0;
  for (int i = 0; i < MESSAGES && !rc; i++) rc = caw_call_send(call, &text);
  if (!rc) rc = caw_call_close_send(call);
  return rc == CAW_ECLOSED ? 0 : rc; /* on_done tells why */
}

static void begin(slot *s, const kind *k) {
  static const caw_client_events events = {.on_message = on_message, .on_done = on_done};
  const caw_call_options o = {.size = sizeof(o),
                              .timeout_ms = k->timeout_ms,
                              .encoding = k->encoding};
  caw_str request = caw_str_of(big, k->size);
  if (k->method == &give) request = caw_str_from("5 100");
  bool many = k->method == &count || k->method == &both;
  caw_call *call;
  one *mine = calloc(1, sizeof(*mine));
  if (!mine) exit(1);
  *mine = (one){s, k, 0};
  s->open++;
  if (many) must(caw_call_start(&call, s->channel, k->method, &o, &events, mine), "call");
  else must(caw_call_start_with(&call, s->channel, k->method, &request, &o, &events, mine), "call");
  if (many) must(send_all(call, k), "send");
  if (k->cancel) caw_call_cancel(call);
}

static void fill(slot *s) {
  static size_t turn;
  while (s->left && s->open < AT_ONCE) {
    s->left--;
    begin(s, &kinds[turn++ % (sizeof(kinds) / sizeof(kinds[0]))]);
  }
}

/* ---- Channels ---- */

static long begun_channels;

static void open_slot(slot *s) {
  bool secure = tls && begun_channels % 4 == 3;
  const caw_channel_options o = {.size = sizeof(o),
                                 .loop = loop,
                                 .credentials = secure ? tls : NULL};
  begun_channels++;
  must(caw_channel_new(&s->channel, targets[secure], &o, NULL), "channel");
  s->left = goal_calls / goal_channels;
  fill(s);
}

static bool all_free(void) {
  for (int i = 0; i < SLOTS; i++)
    if (slots[i].channel) return false;
  return true;
}

static void pace(void *user) {
  (void)user;
  uint64_t passed = caw_loop_now(loop) - start;
  long due = (long)((double)passed / 1e9 / (double)seconds * (double)goal_channels) + 1;
  if (due > goal_channels) due = goal_channels;
  for (int i = 0; i < SLOTS && begun_channels < due && !ending; i++)
    if (!slots[i].channel) open_slot(&slots[i]);
  bool over = ending || (begun_channels >= goal_channels && passed >= seconds * 1000000000u);
  if (over && all_free()) caw_loop_stop(loop);
  else caw_timer_start(pacer, 2);
}

static void say(void) {
  printf("calls %ld, channels %ld, failed %ld\n", calls, channels, failed);
  fflush(stdout);
}

static void tick(void *user) {
  (void)user;
  say();
  caw_timer_start(clock_timer, 1000);
}

static void on_term(int signum, void *user) {
  (void)signum, (void)user;
  ending = true;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  const char *folder = getenv("CAW_GRPC_TESTDATA");
  char ca[512], why[512];
  targets[0] = argv[1];
  targets[1] = argv[2];
  goal_calls = atol(argv[3]);
  goal_channels = atol(argv[4]);
  seconds = strtoull(argv[5], NULL, 10);
  if (goal_channels < 1 || goal_calls < goal_channels || !seconds) return 2;
  memset(big, 'x', sizeof(big));
  if (folder) {
    snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    const caw_tls_client_options o = {.size = sizeof(o),
                                      .ca = {.file = ca},
                                      .server_name = "foo.test.google.fr"};
    if (caw_tls_client_new(&tls, &o, why, sizeof(why))) must(-1, why);
  }
  must(caw_loop_new(&loop), "loop");
  must(caw_loop_on_signal(loop, 15, on_term, NULL), "signal");
  must(caw_timer_new(&pacer, loop, pace, NULL), "timer");
  must(caw_timer_new(&clock_timer, loop, tick, NULL), "timer");
  start = caw_loop_now(loop);
  caw_timer_start(pacer, 0);
  caw_timer_start(clock_timer, 1000);
  caw_loop_run(loop, CAW_LOOP_DEFAULT);
  say();
  printf("over\n");
  caw_timer_free(pacer);
  caw_timer_free(clock_timer);
  caw_loop_free(loop);
  caw_channel_credentials_unref(tls);
  return failed != 0;
}
