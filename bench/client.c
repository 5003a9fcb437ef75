/*
 * bench-client: unary calls with Caw's client, so many at a time. Prints its
 * CPU time in microseconds a call.
 *
 *   bench-client PORT CALLS OUTSTANDING
 */
#include <greeter.caw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

typedef struct run {
  caw_channel *channel;
  long left, open;
} run;

static void start(run *r);

static void done(caw_call *call, const caw_status *status, const greeter_hello_reply *reply,
                 void *user) {
  run *r = user;
  (void)call;
  (void)reply;
  if (status->code) {
    fprintf(stderr, "%.*s\n", CAW_STR_ARG(status->message));
    exit(1);
  }
  if (r->left-- > 0) start(r);
  else if (--r->open == 0) caw_loop_stop(caw_channel_loop(r->channel));
}

static void start(run *r) {
  const greeter_hello_request request = {.name = CAW_STR("World")};
  if (greeter_greeter_say_hello_async(NULL, r->channel, &request, NULL, done, r)) exit(1);
}

static void go(run *r, long calls, long outstanding) {
  r->open = outstanding;
  r->left = calls - outstanding;
  for (long i = 0; i < outstanding; i++) start(r);
  caw_loop_run(caw_channel_loop(r->channel), CAW_LOOP_DEFAULT);
}

static double cpu_seconds(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
  char target[64];
  caw_loop *loop;
  run r = {0};
  if (argc != 4 || caw_loop_new(&loop)) return 2;
  const caw_channel_options options = {.size = sizeof(options), .loop = loop};
  snprintf(target, sizeof(target), "127.0.0.1:%s", argv[1]);
  if (caw_channel_new(&r.channel, target, &options, NULL)) return 1;
  long calls = atol(argv[2]), outstanding = atol(argv[3]);
  go(&r, calls / 10, outstanding); /* connects and warms up */
  double before = cpu_seconds();
  go(&r, calls, outstanding);
  printf("{\"cpu_us\": %.3f}\n", (cpu_seconds() - before) * 1e6 / (double)calls);
  caw_channel_free(r.channel);
  caw_loop_free(loop);
  return 0;
}
