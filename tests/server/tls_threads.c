/*
 * TLS with several threads: credentials are replaced while clients connect, on all loops,
 * and are used by servers and channels of several threads at once. No connection and no
 * call is lost by it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "certs.h"

#include <caw/blocking.h>
#include <caw/server.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { CLIENTS = 4, CHANNELS = 12, CALLS = 3 };

static const caw_method method = {"/test.Tls/Call", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};

static int on_message(caw_call *call, const void *request, void *reply, const void *impl,
                      void *self) {
  atomic_int *strangers = self;
  (void)impl;
  const caw_peer_identity *id = caw_call_peer_identity(call);
  if (!id || !id->verified || !caw_str_is(id->subject, "CN=client,O=Caw"))
    atomic_fetch_add(strangers, 1);
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static const caw_handler handler = {&method, on_message, NULL, NULL};

typedef struct rig {
  caw_server *server;
  caw_server_credentials *server_credentials;
  caw_channel_credentials *channel_credentials;
  caw_tls_server_options server_options;
  caw_tls_client_options client_options;
  atomic_int strangers, failed, running, reloads;
  char why[300];
} rig;

static void *run_server(void *arg) {
  return (void *)(intptr_t)caw_server_run(((rig *)arg)->server);
}

static void note(rig *r, const char *what, const char *why) {
  if (!atomic_fetch_add(&r->failed, 1)) snprintf(r->why, sizeof(r->why), "%s: %.200s", what, why);
}

static void make_calls(rig *r) {
  caw_channel *channel;
  const caw_channel_options o = {.size = sizeof(o), .credentials = r->channel_credentials};
  if (caw_channel_new(&channel, caw_server_address(r->server, 0), &o, NULL)) {
    note(r, "channel", "");
    return;
  }
  caw_arena *arena = caw_arena_new(0);
  for (int i = 0; i < CALLS; i++) {
    caw_str request = CAW_STR("hello"), reply;
    caw_status status = {0};
    char text[200] = "";
    int rc = caw_call_unary(channel, &method, &request, &reply, arena, NULL, &status);
    snprintf(text, sizeof(text), "%.*s", CAW_STR_ARG(status.message));
    if (rc) note(r, caw_code_name(rc), text);
  }
  caw_arena_free(arena);
  caw_channel_free(channel);
}

static void *run_client(void *arg) {
  rig *r = arg;
  for (int i = 0; i < CHANNELS; i++) make_calls(r);
  atomic_fetch_sub(&r->running, 1);
  return NULL;
}

static void *run_reloads(void *arg) {
  rig *r = arg;
  char why[256];
  while (atomic_load(&r->running) > 0) {
    if (caw_tls_server_reload(r->server_credentials, &r->server_options, why, sizeof(why)) ||
        caw_tls_client_reload(r->channel_credentials, &r->client_options, why, sizeof(why)))
      note(r, "reload", why);
    atomic_fetch_add(&r->reloads, 1);
  }
  return NULL;
}

static void reloads_while_clients_connect(void **state) {
  const certs *all = certs_good();
  static rig r;
  char why[512];
  pthread_t server, clients[CLIENTS], reloader;
  void *rc;
  (void)state;
  r.server_options = (caw_tls_server_options){.size = sizeof(r.server_options),
                                              .cert = all->server.cert,
                                              .key = all->server.key,
                                              .client_ca = all->ca.cert,
                                              .client_auth = CAW_TLS_CLIENT_REQUIRED};
  r.client_options = (caw_tls_client_options){.size = sizeof(r.client_options),
                                              .ca = all->ca.cert,
                                              .cert = all->client.cert,
                                              .key = all->client.key};
  assert_int_equal(caw_tls_server_new(&r.server_credentials, &r.server_options, why, sizeof(why)),
                   0);
  assert_int_equal(caw_tls_client_new(&r.channel_credentials, &r.client_options, why, sizeof(why)),
                   0);
  const caw_server_options o = {.size = sizeof(o), .loops = 3};
  assert_int_equal(caw_server_new(&r.server, &o), 0);
  assert_int_equal(caw_server_add(r.server, &handler, 1, NULL, &r.strangers), 0);
  assert_int_equal(caw_server_listen_tls(r.server, "127.0.0.1:0", r.server_credentials), 0);
  /* The server and its channels have references of their own. */
  caw_server_credentials_ref(r.server_credentials);
  caw_server_credentials_unref(r.server_credentials);
  atomic_store(&r.running, CLIENTS);
  assert_int_equal(pthread_create(&server, NULL, run_server, &r), 0);
  assert_int_equal(pthread_create(&reloader, NULL, run_reloads, &r), 0);
  for (int i = 0; i < CLIENTS; i++)
    assert_int_equal(pthread_create(&clients[i], NULL, run_client, &r), 0);
  for (int i = 0; i < CLIENTS; i++) pthread_join(clients[i], NULL);
  pthread_join(reloader, NULL);
  caw_server_credentials_unref(r.server_credentials);
  caw_channel_credentials_unref(r.channel_credentials);
  caw_server_drain(r.server, 1000, NULL, NULL);
  pthread_join(server, &rc);
  caw_server_free(r.server);
  assert_int_equal((intptr_t)rc, 0);
  if (atomic_load(&r.failed)) fail_msg("%d failed, first %s", atomic_load(&r.failed), r.why);
  assert_int_equal(atomic_load(&r.strangers), 0);
  assert_in_range(atomic_load(&r.reloads), 1, 1000000);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(reloads_while_clients_connect)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
