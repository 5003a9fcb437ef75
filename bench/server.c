/* bench-server [--metrics] [--channelz] [FOLDER]: Caw's side of the benchmark, Greeter.SayHello
 * and Bench. Prints its port; ends on SIGTERM. With TLS by server.pem and server.key of the folder;
 * calls are counted with --metrics and --channelz. */
#include <bench.caw.h>
#include <caw/channelz.h>
#include <caw/tls.h>
#include <greeter.caw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text is put together from its pieces, as in the C++ server. */
static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  static const char before[] = "Hello, ", after[] = "!";
  const size_t n = sizeof(before) - 1, len = n + request->name.len + sizeof(after) - 1;
  char *text = caw_arena_alloc(caw_call_arena(call), len);
  (void)self;
  if (!text) return CAW_ENOMEM;
  memcpy(text, before, n);
  if (request->name.len) memcpy(text + n, request->name.data, request->name.len);
  memcpy(text + n + request->name.len, after, sizeof(after) - 1);
  reply->message = caw_str_of(text, len);
  return CAW_OK;
}

static int echo(caw_call *call, const bench_note *request, bench_note *reply, void *self) {
  (void)call;
  (void)self;
  reply->text = request->text;
  return CAW_OK;
}

/* ---- Stream: sends until the queue is full, goes on when it is half empty ---- */

typedef struct order {
  bench_note note;
  uint32_t left;
} order;

static void send_notes(caw_call *call, void *user) {
  order *o = user;
  int rc = CAW_OK;
  while (o->left && !(rc = bench_bench_stream_send_reply(call, &o->note))) o->left--;
  if (rc != CAW_EAGAIN) caw_call_finish(call, rc, NULL);
}

static void give_up(caw_call *call, void *user) {
  (void)user;
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

static int stream(caw_call *call, const bench_order *request, void *self) {
  const caw_call_events events = {.on_cancel = give_up, .on_drain = send_notes};
  order *o = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*o));
  char *text = caw_arena_alloc(caw_call_arena(call), request->size + 1);
  (void)self;
  if (!o || !text) return CAW_ENOMEM;
  memset(text, 'x', request->size);
  o->note.text = caw_str_of(text, request->size);
  o->left = request->notes;
  caw_call_on(call, &events, o);
  send_notes(call, o);
  return CAW_PENDING;
}

/* ---- Ping-pong ---- */

static void go_on(caw_call *call, void *user) {
  (void)user;
  caw_call_resume(call);
}

static int pong_open(caw_call *call, void *self) {
  const caw_call_events events = {.on_drain = go_on};
  (void)self;
  caw_call_on(call, &events, NULL);
  return CAW_OK;
}

static int pong_message(caw_call *call, const bench_note *note, void *self) {
  (void)self;
  int rc = bench_bench_ping_pong_send_reply(call, note);
  if (!rc && caw_call_full(call)) caw_call_pause(call);
  return rc;
}

static int pong_end(caw_call *call, void *self) {
  (void)call;
  (void)self;
  return CAW_OK;
}

static void on_signal(int signum, void *server) {
  (void)signum;
  caw_server_drain(server, 100, NULL, NULL);
}

static int listen_tls(caw_server *server, const char *folder) {
  char cert[300], key[300], why[300];
  caw_server_credentials *tls;
  const caw_tls_server_options options = {.size = sizeof(options),
                                          .cert = {.file = cert},
                                          .key = {.file = key}};
  snprintf(cert, sizeof(cert), "%s/server.pem", folder);
  snprintf(key, sizeof(key), "%s/server.key", folder);
  int rc = caw_tls_server_new(&tls, &options, why, sizeof(why));
  if (rc) fprintf(stderr, "%s\n", why);
  else rc = caw_server_listen_tls(server, "127.0.0.1:0", tls);
  return rc;
}

int main(int argc, char **argv) {
  static const greeter_greeter_service greeter = {.say_hello = say_hello};
  static const bench_bench_service bench = {.echo = echo,
                                            .stream = stream,
                                            .ping_pong = {pong_open, pong_message, pong_end}};
  caw_server *server;
  caw_server_options options = {.size = sizeof(options)};
  if (argc > 1 && !strcmp(argv[1], "--metrics")) {
    if (caw_metrics_new(&options.metrics)) return 1;
    argv++, argc--;
  }
  if (argc > 1 && !strcmp(argv[1], "--channelz")) {
    if (caw_channelz_new(&options.channelz)) return 1;
    argv++, argc--;
  }
  if (caw_server_new(&server, &options) || greeter_greeter_add(server, &greeter, NULL) ||
      bench_bench_add(server, &bench, NULL))
    return 1;
  if (argc > 1 ? listen_tls(server, argv[1]) : caw_server_listen(server, "127.0.0.1:0"))
    return fprintf(stderr, "%s\n", caw_server_error(server)), 1;
  if (caw_loop_on_signal(caw_server_loop(server), SIGTERM, on_signal, server)) return 1;
  printf("%s\n", strrchr(caw_server_address(server, 0), ':') + 1);
  fflush(stdout);
  int rc = caw_server_run(server);
  caw_server_free(server);
  caw_metrics_unref(options.metrics);
  caw_channelz_unref(options.channelz);
  return rc;
}
