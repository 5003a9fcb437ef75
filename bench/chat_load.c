/*
 * The load on a chat server, with Caw's own client on one loop. It prints "ready" when all
 * streams stand, waits for a line, and then works; at the end one line of JSON.
 *
 *   bench-chat-load fanout ADDRESS TOKEN ROOM CONNECTIONS STREAMS MESSAGES
 *   bench-chat-load sends  ADDRESS TOKEN ROOM SENDERS OUTSTANDING MESSAGES
 *   bench-chat-load idle   ADDRESS TOKEN ROOM CONNECTIONS STREAMS
 */
#include <caw/channel.h>
#include <caw/credentials.h>
#include <chat/v1/chat.caw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CONNECTIONS 200
#define SEND_CONNECTIONS 8
#define OUTSTANDING      64  /* messages of the one who speaks in `fanout` */
#define TEXT             120 /* bytes of a message */

typedef struct sender sender;

static caw_loop *loop;
static caw_channel *channels[MOST_CONNECTIONS + 1];
static int64_t room;
static uint64_t connections, streams, messages, outstanding;
static uint64_t caught_up, delivered, asked, acked;
static uint64_t *latencies;
static char base[32]; /* of the ids, another in each run */
static char text[TEXT];

static void fail(const char *what, int rc) {
  fprintf(stderr, "%s: %s\n", what, caw_strerror(rc));
  exit(1);
}

static void check(int rc, const char *what) {
  if (rc) fail(what, rc);
}

static void stopped(const char *what, const caw_status *status) {
  fprintf(stderr, "%s: %s: %.*s\n", what, caw_code_name(status->code),
          CAW_STR_ARG(status->message));
  exit(1);
}

static void make_channels(const char *address, const char *token, uint64_t n) {
  caw_call_credentials *credentials;
  check(caw_call_credentials_bearer(&credentials, caw_str_from(token)), "token");
  for (uint64_t i = 0; i < n; i++) {
    const caw_channel_options options = {.size = sizeof(options),
                                         .loop = loop,
                                         .call_credentials = credentials};
    check(caw_channel_new(&channels[i], address, &options, NULL), address);
  }
  caw_call_credentials_unref(credentials);
}

static void wait_for_the_word(void) {
  char line[16];
  puts("ready");
  fflush(stdout);
  if (!fgets(line, sizeof(line), stdin)) exit(0);
}

/* ---- Who listens ---- */

static void on_event(caw_call *call, const chat_v1_event *event, void *user) {
  (void)call;
  (void)user;
  if (event->what_case == CHAT_V1_EVENT_WHAT_CASE_MESSAGE) delivered++;
  if (event->what_case == CHAT_V1_EVENT_WHAT_CASE_CAUGHT_UP) caught_up++;
  if (delivered == streams * messages || (!delivered && caught_up == streams)) caw_loop_stop(loop);
}

static void on_listener_done(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  (void)user;
  stopped("Subscribe", status);
}

static void listen_all(void) {
  static const chat_v1_chat_service_subscribe_events events = {.on_message = on_event,
                                                               .on_done = on_listener_done};
  chat_v1_position position = {.room_id = room, .after_number = -1};
  const chat_v1_subscribe_request request = {.rooms = {&position, 1}};
  const caw_call_options options = {.size = sizeof(options), .wait_for_ready = true};
  for (uint64_t i = 0; i < streams; i++)
    check(chat_v1_chat_service_subscribe_async(NULL, channels[i % connections], &request, &options,
                                               &events, NULL),
          "Subscribe");
  caw_loop_run(loop, CAW_LOOP_DEFAULT);
}

/* ---- One who speaks, call by call ---- */

static void say(void);

static void on_said(caw_call *call, const caw_status *status, const chat_v1_send_response *reply,
                    void *user) {
  (void)call;
  (void)reply;
  (void)user;
  if (status->code) stopped("Send", status);
  acked++;
  if (asked < messages) say();
}

static void say(void) {
  char id[64];
  int n = snprintf(id, sizeof(id), "%s-%" PRIu64, base, asked++);
  const chat_v1_send_request request = {.room_id = room,
                                        .client_message_id = caw_str_of(id, (size_t)n),
                                        .text = caw_str_of(text, TEXT)};
  check(chat_v1_chat_service_send_async(NULL, channels[connections], &request, NULL, on_said, NULL),
        "Send");
}

static void fanout(void) {
  listen_all();
  wait_for_the_word();
  uint64_t began = caw_loop_now(loop);
  for (uint64_t i = 0; i < OUTSTANDING && i < messages; i++) say();
  caw_loop_run(loop, CAW_LOOP_DEFAULT);
  printf("{\"deliveries\": %" PRIu64 ", \"seconds\": %.6f}\n", delivered,
         (double)(caw_loop_now(loop) - began) / 1e9);
}

/* ---- Many who send on streams ---- */

struct sender {
  caw_call *call;
  uint64_t index, next, first;
  uint64_t *began; /* of those without an ack; a ring */
};

static void send_one(sender *s) {
  char id[64];
  int n = snprintf(id, sizeof(id), "%s-%" PRIu64 "-%" PRIu64, base, s->index, s->next);
  chat_v1_send_request send = {.room_id = room,
                               .client_message_id = caw_str_of(id, (size_t)n),
                               .text = caw_str_of(text, TEXT)};
  const chat_v1_chat_request request = {.what_case = CHAT_V1_CHAT_REQUEST_WHAT_CASE_SEND,
                                        .what.send = &send};
  s->began[s->next++ % outstanding] = caw_loop_now(loop);
  asked++;
  check(chat_v1_chat_service_chat_send(s->call, &request), "send");
}

static void on_ack(caw_call *call, const chat_v1_chat_response *response, void *user) {
  sender *s = user;
  (void)call;
  if (response->what_case != CHAT_V1_CHAT_RESPONSE_WHAT_CASE_ACK) return;
  if (response->what.ack->result_case != CHAT_V1_ACK_RESULT_CASE_SENT) {
    fprintf(stderr, "an ack says %.*s\n", CAW_STR_ARG(response->what.ack->result.error->message));
    exit(1);
  }
  latencies[acked++] = caw_loop_now(loop) - s->began[s->first++ % outstanding];
  if (asked < messages) send_one(s);
  if (acked == messages) caw_loop_stop(loop);
}

static void on_sender_done(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  (void)user;
  stopped("Chat", status);
}

static int by_value(const void *a, const void *b) {
  const uint64_t *x = a, *y = b;
  return *x < *y ? -1 : *x > *y;
}

static void sends(uint64_t n) {
  static const chat_v1_chat_service_chat_events events = {.on_message = on_ack,
                                                          .on_done = on_sender_done};
  const caw_call_options options = {.size = sizeof(options), .wait_for_ready = true};
  sender *all = calloc(n, sizeof(*all));
  latencies = malloc(messages * sizeof(*latencies));
  if (!all || !latencies) fail("senders", CAW_ENOMEM);
  for (uint64_t i = 0; i < n; i++) {
    all[i].index = i;
    all[i].began = calloc(outstanding, sizeof(*all[i].began));
    if (!all[i].began) fail("senders", CAW_ENOMEM);
    check(chat_v1_chat_service_chat_async(&all[i].call, channels[i % SEND_CONNECTIONS], &options,
                                          &events, &all[i]),
          "Chat");
  }
  wait_for_the_word();
  caw_loop_run(loop, CAW_LOOP_NOWAIT); /* the clock */
  uint64_t began = caw_loop_now(loop);
  for (uint64_t i = 0; i < n * outstanding && i < messages; i++) send_one(&all[i % n]);
  caw_loop_run(loop, CAW_LOOP_DEFAULT);
  double seconds = (double)(caw_loop_now(loop) - began) / 1e9;
  qsort(latencies, messages, sizeof(*latencies), by_value);
  printf("{\"sent\": %" PRIu64 ", \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", acked,
         seconds, (double)latencies[messages / 2] / 1e3,
         (double)latencies[messages * 99 / 100] / 1e3);
}

static uint64_t number(const char *digits) {
  char *end;
  uint64_t n = strtoull(digits, &end, 10);
  if (!*digits || *end || !n) {
    fprintf(stderr, "%s is no number\n", digits);
    exit(2);
  }
  return n;
}

int main(int argc, char **argv) {
  if (argc < 7) return fputs("usage: see the head of chat_load.c\n", stderr), 2;
  const char *what = argv[1];
  memset(text, 'x', sizeof(text));
  room = (int64_t)number(argv[4]);
  connections = number(argv[5]);
  streams = outstanding = number(argv[6]);
  messages = argc > 7 ? number(argv[7]) : 1;
  check(caw_loop_new(&loop), "loop");
  snprintf(base, sizeof(base), "%" PRIx64, caw_loop_now(loop));
  if (!strcmp(what, "sends")) {
    make_channels(argv[2], argv[3], SEND_CONNECTIONS);
    sends(connections);
  } else {
    if (connections > MOST_CONNECTIONS) return fputs("too many connections\n", stderr), 2;
    make_channels(argv[2], argv[3], connections + 1);
    if (!strcmp(what, "fanout")) {
      fanout();
    } else {
      listen_all();
      wait_for_the_word();
    }
  }
  fflush(stdout);
  _Exit(0); /* the streams end with the process */
}
