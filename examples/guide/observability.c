/* Observability: what a server and a channel did, counted, logged and looked at. */
#include "stage.h"

#include <caw/alloc.h>
#include <caw/channelz.h>
#include <caw/metrics_http.h>
#include <caw/trace_context.h>
#include <greeter.caw.h>
#include <stdio.h>

static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  caw_trace_context trace;
  (void)self;
  if (caw_call_trace_context(call, &trace))
    printf("the trace is %.*s\n", CAW_STR_ARG(trace.trace_id));
  if (!request->name.len) return caw_call_fail(call, CAW_INVALID_ARGUMENT, "who is it?");
  reply->message = request->name;
  return CAW_OK;
}

/* A line for each call, when it is over. */
static void log_call(const caw_call_summary *call, void *user) {
  (void)user;
  printf("%.*s ends with %s: %llu bytes in, %llu bytes out\n", CAW_STR_ARG(call->path),
         caw_code_name(call->status.code), (unsigned long long)call->received_bytes,
         (unsigned long long)call->sent_bytes);
}

/* Numbers of the program's own. */
static void own_numbers(caw_metrics_page *page, void *user) {
  const double *degrees = user;
  caw_metrics_gauge(page, "room_temperature_celsius", "In the room.", NULL, NULL, *degrees);
}

static void print_metric(const caw_metric *m, void *user) {
  (void)user;
  if (m->status)
    printf("%s %.*s %s %llu\n", m->name, CAW_STR_ARG(m->method), m->status,
           (unsigned long long)m->count);
}

static void print_socket(const caw_channelz_info *info, void *user) {
  (void)user;
  printf("a client has sent %llu messages\n", (unsigned long long)info->messages_received);
}

/* On the server's thread, before its loop goes. */
static void close_page(void *http) {
  caw_metrics_http_free(http);
}

static void make_calls(caw_channel *channel) {
  static const caw_metadata_entry trace[] = {
      {CAW_STR("traceparent"), CAW_STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}};
  const caw_call_options traced = {.size = sizeof(traced), .metadata = trace, .metadata_len = 1};
  caw_arena *arena = caw_arena_new(0);
  greeter_hello_reply reply = {0};
  greeter_hello_request ann = {.name = CAW_STR("Ann")}, nobody = {0};
  stage_check(greeter_greeter_say_hello(channel, &ann, &reply, arena, &traced, NULL), "the call");
  greeter_greeter_say_hello(channel, &nobody, &reply, arena, NULL, NULL);
  caw_arena_free(arena);
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  static double degrees = 21.5;
  caw_server *server;
  caw_metrics *metrics;
  caw_metrics_http *http;
  caw_channelz *channelz;
  caw_channel *channel;
  char why[200];
  stage_check(caw_metrics_new(&metrics), "caw_metrics_new");
  stage_check(caw_channelz_new(&channelz), "caw_channelz_new");
  const caw_server_options options = {
      .size = sizeof(options),
      .metrics = metrics,   /* counts all calls */
      .channelz = channelz, /* shows what there is now */
      .on_call = log_call,  /* hears of each call that is over */
  };
  stage_check(caw_server_new(&server, &options), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");

  stage_check(caw_metrics_add_source(metrics, own_numbers, &degrees), "caw_metrics_add_source");
  if (caw_metrics_http_new(&http, caw_server_loop(server), metrics, "127.0.0.1:0", why,
                           sizeof(why)))
    return fprintf(stderr, "%s\n", why), 1;
  stage_check(caw_server_on_drain(server, close_page, http), "caw_server_on_drain");

  stage_check(caw_channelz_add(server, channelz), "caw_channelz_add");
  stage_check(caw_channel_new(&channel, stage_serve(server), NULL, NULL), "caw_channel_new");
  make_calls(channel);

  /* From any thread, at any time: */
  stage_check(caw_metrics_read(metrics, print_metric, NULL), "caw_metrics_read");
  caw_channelz_read(channelz, CAW_CHANNELZ_SOCKET, 0, 0, 0, print_socket, NULL, NULL);

  caw_channel_free(channel);
  stage_end(server);
  caw_channelz_unref(channelz);
  caw_metrics_unref(metrics);
  return 0;
}
