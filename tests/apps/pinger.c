/*
 * peer-pinger TARGET MS TIMEOUT: a call of the Greeter that waits for its second reply,
 * while a PING is sent after each MS milliseconds of silence; far below what a channel
 * lets its users ask for, which is why this sees the inside of one. Says when the first
 * reply is there, how the call ended and what the channel says of it.
 */
#include "client/client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const caw_method say_hello_stream = {"/greeter.Greeter/SayHelloStream", CAW_SERVER_STREAM,
                                            &caw_type_bytes, &caw_type_bytes};
static caw_channel *channel;
static caw_timer *timer;

static void on_message(caw_call *call, const void *message, void *user) {
  (void)call, (void)message, (void)user;
  puts("waiting");
  fflush(stdout);
}

/* A server may end the call before it says of the connection why. */
static void say_why(void *user) {
  char error[256];
  caw_channel_error(channel, error, sizeof(error));
  if (!error[0]) {
    caw_timer_start(timer, 1);
    return;
  }
  printf("channel: %s\n", error);
  fflush(stdout);
  caw_loop_stop(user);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  printf("ended: %s: %.*s\n", caw_code_name(status->code), CAW_STR_ARG(status->message));
  say_why(user);
}

static void stop(int signum, void *user) {
  (void)signum;
  caw_loop_stop(user);
}

int main(int argc, char **argv) {
  static const caw_client_events events = {.on_message = on_message, .on_done = on_done};
  caw_loop *loop;
  caw_str request = CAW_STR("\x0a\x01N");
  const char *why;
  if (argc != 4 || caw_loop_new(&loop)) return 2;
  const caw_channel_options options = {.size = sizeof(options), .loop = loop};
  if (caw_channel_new(&channel, argv[1], &options, &why)) return 2;
  channel->config.keepalive.time = strtoull(argv[2], NULL, 10) * 1000000;
  channel->config.keepalive.timeout = strtoull(argv[3], NULL, 10) * 1000000;
  if (caw_timer_new(&timer, loop, say_why, loop)) return 2;
  if (caw_loop_on_signal(loop, SIGTERM, stop, loop)) return 2;
  if (caw_call_start_with(NULL, channel, &say_hello_stream, &request, NULL, &events, loop))
    return 2;
  caw_loop_run(loop, CAW_LOOP_DEFAULT);
  caw_channel_free(channel);
  caw_timer_free(timer);
  caw_loop_free(loop);
  return 0;
}
