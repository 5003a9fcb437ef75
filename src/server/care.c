/*
 * How a server cares for its connections, from the options to conn_config: their
 * ranges and defaults, as gRPC's servers have them.
 */
#include "server/server.h"

#define KEEPALIVE_TIME    UINT64_C(7200000) /* gRFC A9 */
#define KEEPALIVE_LEAST   UINT64_C(1000)    /* as grpc-go: below, it is a load test */
#define KEEPALIVE_TIMEOUT UINT64_C(20000)
#define PING_INTERVAL     UINT64_C(300000) /* gRFC A8: PERMIT_KEEPALIVE_TIME */
#define PING_STRIKES      2

/* Milliseconds as nanoseconds, where 0 takes the default. Never is 0. */
static uint64_t nanoseconds(uint64_t ms, uint64_t otherwise) {
  if (!ms) ms = otherwise;
  return ms < UINT64_MAX / 1000000 ? ms * 1000000 : 0;
}

static void set_keepalive(keepalive_config *k, const caw_server_options *o) {
  uint64_t time = o->keepalive_time_ms;
  if (time && time < KEEPALIVE_LEAST) time = KEEPALIVE_LEAST;
  k->time = nanoseconds(time, KEEPALIVE_TIME);
  k->timeout = nanoseconds(o->keepalive_timeout_ms, KEEPALIVE_TIMEOUT);
  if (!k->timeout) k->time = 0; /* nobody would wait for the answer */
  k->without_calls = true;
  k->max_without_data = o->keepalive_max_pings_without_data;
  k->permit_time = nanoseconds(o->min_recv_ping_interval_without_data_ms, PING_INTERVAL);
  k->permit_without_calls = o->keepalive_permit_without_calls;
  k->max_strikes = o->max_ping_strikes ? o->max_ping_strikes : PING_STRIKES;
}

uint64_t caw_server_limit_hits(const caw_server *s, caw_limit limit) {
  if ((unsigned)limit >= CAW_LIMITS) return 0;
  return atomic_load_explicit(&s->tally.hits[limit], memory_order_relaxed);
}

size_t caw_server_message_bytes(const caw_server *s) {
  return atomic_load_explicit(&s->tally.bytes, memory_order_relaxed);
}

void server_set_care(caw_server *s) {
  conn_config *config = &s->config;
  caw_server_options *o = &s->options;
  limits_read(&s->limits, &config->h2, o->limits, o->max_streams);
  o->limits = NULL; /* not kept */
  config->limits = &s->limits;
  config->tally = &s->tally;
  config->ready_timeout = s->limits.handshake;
  set_keepalive(&config->keepalive, o);
  config->age.max_idle = nanoseconds(o->max_connection_idle_ms, CAW_NEVER);
  config->age.max_age = nanoseconds(o->max_connection_age_ms, CAW_NEVER);
  config->age.grace = nanoseconds(o->max_connection_age_grace_ms, CAW_NEVER);
}
