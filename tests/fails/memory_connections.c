/* Memory runs out: connections, how they come to be and how they end. */
#include "dns.h"
#include "heap.h"
#include "refuser.h"
#include "scenario.h"

#include "client/client.h"
#ifdef FAILS_TLS
#include "certs.h"
#endif

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MS          UINT64_C(1000000)
#define BIT(status) (UINT32_C(1) << (status))

static int call(world *w) {
  talk t = {0};
  return talk_all(w, &t, &echo, NULL);
}

static int bulk(world *w) {
  talk t = {.to_send = 3};
  int code = talk_all(w, &t, &both, NULL);
  if (!code) must_be(t.bytes, 3 * BIG);
  return code;
}

/* The channel anew, to another target. */
static int retarget(world *w, const char *target, const char *dns_server) {
  const caw_channel_options o = {.size = sizeof(o),
                                 .loop = w->loop,
                                 .dns_server = dns_server,
                                 .backoff_initial_ms = 1,
                                 .backoff_max_ms = 5};
  caw_channel_free(w->channel);
  w->channel = NULL;
  return caw_channel_new(&w->channel, target, &o, NULL);
}

/* ---- Names ---- */

static int hosts_file(world *w) {
  char target[64];
  snprintf(target, sizeof(target), "dns:///localhost%s", strrchr(w->target, ':'));
  int rc = retarget(w, target, NULL);
  return rc ? rc : call(w);
}

static int name_server(world *w) {
  char target[64];
  snprintf(target, sizeof(target), "dns:///caw.example%s", strrchr(w->target, ':'));
  int rc = retarget(w, target, dns_address());
  return rc ? rc : call(w);
}

/* ---- Again ---- */

/* Nobody is there at first; the call waits until somebody is. When memory does not come
 * back it would wait for ever, so it does at last. */
static int reconnect(world *w) {
  static unsigned number;
  char address[64];
  snprintf(address, sizeof(address), "unix-abstract:caw-late-%d-%u", (int)getpid(), ++number);
  int rc = retarget(w, address, NULL);
  if (rc) return rc;
  const caw_call_options o = {.size = sizeof(o), .wait_for_ready = true};
  talk t = {0};
  rc = talk_begin(w, &t, &echo, w->channel, &o);
  if (rc) return rc;
  while (caw_channel_state(w->channel, true) < CAW_CHANNEL_TRANSIENT_FAILURE && !t.done)
    caw_loop_run(w->loop, CAW_LOOP_ONCE);
  if (caw_server_listen(w->server, address)) {
    heap_pause(true);
    must_be(caw_server_listen(w->server, address), 0);
    heap_pause(false);
  }
  for (int i = 0; i < 12 && !t.done; i++) caw_loop_run(w->loop, CAW_LOOP_ONCE);
  heap_pause(true);
  return talk_end(w, &t);
}

/* A request that the server refuses is sent once more. */
static int refused(world *w) {
  int rc = retarget(w, refuser_address(), NULL);
  if (rc) return rc;
  talk t = {0};
  return talk_all(w, &t, &join, NULL);
}

/* ---- Care ---- */

static void permit_pings(world *w, caw_server_options *server, caw_channel_options *channel) {
  (void)w, (void)channel;
  server->min_recv_ping_interval_without_data_ms = CAW_NEVER;
}

static int with_keepalive(world *w) {
  w->channel->config.keepalive = (keepalive_config){.time = MS / 2, .timeout = 1000 * MS};
  const caw_call_options o = {.size = sizeof(o), .timeout_ms = 4};
  talk t = {0};
  int code = talk_all(w, &t, &waits, &o);
  return code == CAW_DEADLINE_EXCEEDED ? 0 : code;
}

static void mind_pings(world *w, caw_server_options *server, caw_channel_options *channel) {
  (void)w, (void)channel;
  server->max_ping_strikes = 1;
}

static int too_many_pings(world *w) {
  w->channel->config.keepalive = (keepalive_config){.time = MS / 2, .timeout = 1000 * MS};
  const caw_call_options o = {.size = sizeof(o), .timeout_ms = 200};
  int code;
  do { /* on a busy machine that may be over before there were too many */
    talk t = {0};
    code = talk_all(w, &t, &waits, &o);
  } while (code == CAW_DEADLINE_EXCEEDED && !heap_failed());
  if (code == CAW_UNAVAILABLE) code = call(w);
  return code;
}

/* The channel lets its connection go, and has another for the next call. */
static int idle(world *w) {
  int code = call(w);
  connect_rest(w->channel);
  world_turns(w, 10);
  return code ? code : call(w);
}

static void grow_old(world *w, caw_server_options *server, caw_channel_options *channel) {
  (void)w, (void)channel;
  server->max_connection_age_ms = 2;
  server->max_connection_age_grace_ms = 2;
}

static int old_age(world *w) {
  talk t = {0};
  int code = talk_all(w, &t, &waits, NULL); /* ended by the grace */
  return code == CAW_UNAVAILABLE ? call(w) : code;
}

static int drain(world *w) {
  int drained = 0;
  talk t = {0};
  int rc = talk_begin(w, &t, &waits, w->channel, NULL);
  while (!rc && !t.done && !served.begun) caw_loop_run(w->loop, CAW_LOOP_ONCE);
  caw_channel_free(w->neighbour);
  w->neighbour = NULL;
  caw_server_drain(w->server, 2, set_flag, &drained);
  world_until(w, &drained);
  if (rc) return rc;
  int code = talk_end(w, &t);
  return code == CAW_UNAVAILABLE && served.done ? 0 : code;
}

/* ---- TLS ---- */

#ifdef FAILS_TLS
static void resume(world *w, caw_server_options *server, caw_channel_options *channel) {
  (void)server;
  const caw_tls_client_options o = {.size = sizeof(o), .ca = certs_good()->ca.cert};
  must_be(caw_tls_client_new(&w->channel_tls, &o, NULL, 0), 0);
  channel->credentials = w->channel_tls;
}

static void forget_session(world *w) {
  caw_channel_credentials_unref(w->channel_tls);
}

/* The second connection resumes what the first has begun. */
static int resumption(world *w) {
  int code = call(w);
  connect_rest(w->channel);
  world_turns(w, 10);
  return code ? code : call(w);
}

typedef struct pair {
  caw_server_credentials *server;
  caw_channel_credentials *channel;
} pair;

static int make_pair(pair *p) {
  const certs *all = certs_good();
  const caw_tls_server_options so = {.size = sizeof(so),
                                     .cert = all->server.cert,
                                     .key = all->server.key,
                                     .client_ca = all->ca.cert,
                                     .client_auth = CAW_TLS_CLIENT_REQUIRED};
  const caw_tls_client_options co = {
      .size = sizeof(co), .ca = all->ca.cert, .cert = all->client.cert, .key = all->client.key};
  char why[256];
  int rc = caw_tls_server_new(&p->server, &so, why, sizeof(why));
  return rc ? rc : caw_tls_client_new(&p->channel, &co, why, sizeof(why));
}

static int make_tls(world *w) {
  (void)w;
  pair p = {0};
  int rc = make_pair(&p);
  caw_server_credentials_unref(p.server);
  caw_channel_credentials_unref(p.channel);
  return rc;
}

static void make_ours(world *w, caw_server_options *server, caw_channel_options *channel) {
  static pair p;
  (void)server;
  p = (pair){0};
  must_be(make_pair(&p), 0);
  w->server_tls = p.server;
  w->channel_tls = channel->credentials = p.channel;
  w->extra = &p;
}

static void free_ours(world *w) {
  pair *p = w->extra;
  caw_server_credentials_unref(p->server);
  caw_channel_credentials_unref(p->channel);
}

/* One that fails leaves what was there before. */
static int reload(world *w) {
  const certs *all = certs_good();
  const caw_tls_server_options so = {.size = sizeof(so),
                                     .cert = all->server.cert,
                                     .key = all->server.key,
                                     .client_ca = all->ca.cert,
                                     .client_auth = CAW_TLS_CLIENT_REQUIRED};
  char why[256];
  int rc = caw_tls_server_reload(w->server_tls, &so, why, sizeof(why));
  heap_pause(true);
  int code = call(w);
  if (code) {
    char text[512];
    caw_channel_error(w->channel, text, sizeof(text));
    run_fail(__FILE__, __LINE__, "after a reload (%d, \"%s\"): %s", rc, why, text);
  }
  heap_pause(false);
  return rc;
}

#endif

const scenario connection_scenarios[] = {
    {.name = "Unix socket", .run = call, .how = {.local = true}, .sources = HEAP_LOOP},
    {.name = "a name in the hosts file", .run = hosts_file, .sources = HEAP_DNS | HEAP_LOOP},
    {.name = "a name server", .run = name_server},
    {.name = "a name server, inside c-ares",
     .run = name_server,
     .sources = HEAP_DNS | HEAP_LOOP,
     .slow = 40},
    {.name = "reconnect", .run = reconnect},
    {.name = "transparent retry", .run = refused},
    {.name = "keepalive",
     .run = with_keepalive,
     .how = {.prepare = permit_pings},
     .also = BIT(CAW_DEADLINE_EXCEEDED)},
    {.name = "too many pings",
     .run = too_many_pings,
     .how = {.prepare = mind_pings},
     .also = BIT(CAW_DEADLINE_EXCEEDED)},
    {.name = "idle channel", .run = idle},
    {.name = "old connection", .run = old_age, .how = {.prepare = grow_old, .restless = true}},
    {.name = "drain", .run = drain, .spent = true},
    FIRST("drain of the first", .run = drain, .spent = true),
    FIRST("drain of the first, watched", .run = drain, .spent = true, .how.watched = true),
#ifdef FAILS_TLS
    {.name = "TLS handshake", .run = call, .how = {.tls = true}},
    {.name = "TLS handshake, inside OpenSSL",
     .run = call,
     .how = {.tls = true},
     .sources = HEAP_TLS},
    {.name = "mutual TLS, inside OpenSSL",
     .run = call,
     .how = {.mutual = true},
     .sources = HEAP_TLS},
    {.name = "TLS, much to send",
     .run = bulk,
     .how = {.tls = true, .warm = true},
     .sources = HEAP_TLS},
    {.name = "TLS resumption",
     .run = resumption,
     .close = forget_session,
     .how = {.tls = true, .prepare = resume},
     .sources = HEAP_TLS},
    {.name = "TLS credentials", .run = make_tls, .how = {.bare = true}},
    {.name = "TLS credentials, inside OpenSSL",
     .run = make_tls,
     .how = {.bare = true},
     .sources = HEAP_TLS,
     .vague = true},
    {.name = "TLS reload, inside OpenSSL",
     .run = reload,
     .close = free_ours,
     .how = {.prepare = make_ours},
     .sources = HEAP_TLS,
     .vague = true},
#endif
    {.name = NULL},
};
