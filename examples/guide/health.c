/* The health service, and reflection: what tools and load balancers ask a server. */
#include "stage.h"

#include <caw/blocking.h>
#include <caw/health.h>
#include <caw/reflection.h>
#include <greeter.caw.h>
#include <grpc/health/v1/health.caw.h>
#include <stdio.h>

static void print(const grpc_health_v1_health_check_response *reply) {
  printf("greeter.Greeter is %s\n", reply->status == CAW_HEALTH_SERVING       ? "SERVING"
                                    : reply->status == CAW_HEALTH_NOT_SERVING ? "NOT_SERVING"
                                                                              : "unknown");
}

int main(void) {
  static const greeter_greeter_service service = {0};
  caw_server *server;
  caw_health *health;
  stage_check(caw_server_new(&server, NULL), "caw_server_new");
  stage_check(greeter_greeter_add(server, &service, NULL), "greeter_greeter_add");
  stage_check(caw_health_new(&health), "caw_health_new");
  stage_check(caw_health_add(server, health), "caw_health_add");
  stage_check(caw_health_set(health, "greeter.Greeter", CAW_HEALTH_SERVING), "caw_health_set");
  stage_check(caw_reflection_add(server), "caw_reflection_add"); /* off unless added */

  caw_channel *channel;
  caw_arena *arena = caw_arena_new(0);
  stage_check(caw_channel_new(&channel, stage_serve(server), NULL, NULL), "caw_channel_new");
  grpc_health_v1_health_check_request request = {.service = CAW_STR("greeter.Greeter")};
  grpc_health_v1_health_check_response reply;
  caw_stream *watch;
  stage_check(grpc_health_v1_health_watch(&watch, channel, &request, NULL), "Watch");
  stage_check(grpc_health_v1_health_watch_read(watch, &reply, arena), "Watch");
  print(&reply);

  /* Any thread says how the service is, and whoever watches hears it. */
  stage_check(caw_health_set(health, "greeter.Greeter", CAW_HEALTH_NOT_SERVING), "caw_health_set");
  stage_check(grpc_health_v1_health_watch_read(watch, &reply, arena), "Watch");
  print(&reply);

  caw_call_cancel(caw_stream_call(watch));
  caw_stream_finish(watch, arena, NULL);
  caw_arena_free(arena);
  caw_channel_free(channel);
  stage_end(server);
  caw_health_free(health);
  return 0;
}
