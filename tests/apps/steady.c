/*
 * peer-steady TARGET: a client of ours that makes calls of the Greeter without a pause,
 * unary and streams, on one channel, until SIGTERM. Says of each that failed why, and at
 * the end how many there were: what restarts of a server must not be noticed by.
 */
#include <caw/channel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { UNARY = 20, STREAMS = 10 };

static const caw_method say_hello = {"/greeter.Greeter/SayHello", CAW_UNARY, &caw_type_bytes,
                                     &caw_type_bytes};
static const caw_method say_hello_stream = {"/greeter.Greeter/SayHelloStream", CAW_SERVER_STREAM,
                                            &caw_type_bytes, &caw_type_bytes};

static caw_loop *loop;
static caw_channel *channel;
static bool ending;
static int open_calls;
static unsigned long done, failed;

static void begin(const caw_method *method);

static void ended(const caw_method *method, const caw_status *status, bool whole) {
  open_calls--;
  done++;
  if (status->code || !whole) {
    char error[256];
    caw_channel_error(channel, error, sizeof(error));
    failed++;
    printf("failed: %s %s: %.*s (%s)\n", method->path, caw_code_name(status->code),
           CAW_STR_ARG(status->message), error);
    fflush(stdout);
  }
  if (!ending) begin(method);
  else if (!open_calls) caw_loop_stop(loop);
}

static void on_reply(caw_call *call, const caw_status *status, const void *reply, void *user) {
  (void)call, (void)user;
  ended(&say_hello, status, reply != NULL);
}

static void on_message(caw_call *call, const void *message, void *user) {
  (void)call, (void)message;
  ++*(int *)user;
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  int *replies = user;
  (void)call;
  bool whole = *replies == 5;
  free(replies);
  ended(&say_hello_stream, status, whole);
}

static void begin(const caw_method *method) {
  static const caw_client_events events = {.on_message = on_message, .on_done = on_done};
  caw_str request = CAW_STR("\x0a\x01N"); /* HelloRequest {name: "N"} */
  int rc = CAW_ENOMEM;
  int *replies = NULL;
  if (method == &say_hello)
    rc = caw_call_start_unary(NULL, channel, method, &request, NULL, on_reply, NULL, NULL);
  else if ((replies = calloc(1, sizeof(*replies))))
    rc = caw_call_start_with(NULL, channel, method, &request, NULL, &events, replies);
  if (rc) {
    fprintf(stderr, "a call does not start: %s\n", caw_strerror(rc));
    exit(1);
  }
  open_calls++;
}

static void on_term(int signum, void *user) {
  (void)signum, (void)user;
  ending = true;
}

static void say_progress(void *user) {
  caw_timer **timer = user;
  printf("done %lu\n", done);
  fflush(stdout);
  caw_timer_start(*timer, 200);
}

int main(int argc, char **argv) {
  const char *why = "";
  caw_timer *timer;
  if (argc != 2 || caw_loop_new(&loop)) return 2;
  const caw_channel_options options = {.size = sizeof(options), .loop = loop};
  if (caw_channel_new(&channel, argv[1], &options, &why)) return 2;
  if (caw_loop_on_signal(loop, SIGTERM, on_term, NULL)) return 2;
  if (caw_timer_new(&timer, loop, say_progress, &timer)) return 2;
  caw_timer_start(timer, 0);
  for (int i = 0; i < UNARY; i++) begin(&say_hello);
  for (int i = 0; i < STREAMS; i++) begin(&say_hello_stream);
  caw_loop_run(loop, CAW_LOOP_DEFAULT);
  printf("%lu calls, %lu failed\n", done, failed);
  caw_timer_free(timer);
  caw_channel_free(channel);
  caw_loop_free(loop);
  return 0;
}
