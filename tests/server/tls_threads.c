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
#include "io/tls_inner.h"

#include <caw/blocking.h>
#include <caw/server.h>
#include <caw/status.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
  pthread_t server, clients[CLIENTS], reloaders[2];
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
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&reloaders[i], NULL, run_reloads, &r), 0);
  while (!atomic_load(&r.reloads)) sched_yield();
  for (int i = 0; i < CLIENTS; i++)
    assert_int_equal(pthread_create(&clients[i], NULL, run_client, &r), 0);
  for (int i = 0; i < CLIENTS; i++) pthread_join(clients[i], NULL);
  for (int i = 0; i < 2; i++) pthread_join(reloaders[i], NULL);
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

/* ---- Reloads of several threads ---- */

enum { ROUNDS = 200 };

typedef struct files {
  caw_server_credentials *credentials;
  caw_tls_server_options options; /* from files */
  atomic_int over, rereads, odd;
} files;

static void *run_rereads(void *arg) {
  files *f = arg;
  while (!atomic_load(&f->over)) {
    int rc = caw_tls_server_reload(f->credentials, NULL, NULL, 0);
    if (rc && rc != CAW_ESTATE) atomic_store(&f->odd, rc);
    atomic_fetch_add(&f->rereads, 1);
  }
  return NULL;
}

static char *write_file(const caw_pem *pem) {
  char *path = strdup("/tmp/caw-threads-XXXXXX");
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, pem->text.data, pem->text.len), pem->text.len);
  close(fd);
  return path;
}

/* One thread reads the files again and again. The other puts what is in memory in their
 * place: from then on there is nothing to read again, until files are given anew. A
 * reading that had begun before must not bring them back. */
static void reloads_do_not_undo_each_other(void **state) {
  const certs *all = certs_good();
  files f = {.options = {.size = sizeof(f.options)}};
  const caw_tls_server_options memory = {.size = sizeof(memory),
                                         .cert = all->server.cert,
                                         .key = all->server.key};
  char *chain = write_file(&all->server.cert), *key = write_file(&all->server.key);
  pthread_t thread;
  int undone = 0;
  (void)state;
  f.options.cert.file = chain;
  f.options.key.file = key;
  assert_int_equal(caw_tls_server_new(&f.credentials, &f.options, NULL, 0), 0);
  assert_int_equal(pthread_create(&thread, NULL, run_rereads, &f), 0);
  for (int i = 0; i < ROUNDS; i++) {
    assert_int_equal(caw_tls_server_reload(f.credentials, &memory, NULL, 0), 0);
    /* Once the other thread has come to an end twice, nothing of before is under way. */
    for (int n = atomic_load(&f.rereads); atomic_load(&f.rereads) < n + 2;) sched_yield();
    undone += caw_tls_server_reload(f.credentials, NULL, NULL, 0) != CAW_ESTATE;
    assert_int_equal(caw_tls_server_reload(f.credentials, &f.options, NULL, 0), 0);
  }
  atomic_store(&f.over, 1);
  pthread_join(thread, NULL);
  caw_server_credentials_unref(f.credentials);
  unlink(chain);
  unlink(key);
  free(chain);
  free(key);
  assert_int_equal(undone, 0);
  assert_int_equal(atomic_load(&f.odd), 0);
}

/* ---- What a connection is made of ---- */

typedef struct makers {
  caw_server_credentials *credentials;
  const cert *even, *odd; /* of generations */
  atomic_int over, made, mixed;
} makers;

/* What a connection does first, again and again. */
static void *run_maker(void *arg) {
  makers *m = arg;
  while (!atomic_load(&m->over)) {
    unsigned generation;
    SSL *ssl = tls_credentials_ssl(&m->credentials->base, &generation);
    const cert *want = generation % 2 ? m->odd : m->even;
    if (!ssl || X509_cmp(SSL_get_certificate(ssl), want->x509)) atomic_fetch_add(&m->mixed, 1);
    SSL_free(ssl);
    atomic_fetch_add(&m->made, 1);
  }
  return NULL;
}

/* The SSL_CTX and its number belong together: a session that was made with one must not
 * be offered to the next. A reload replaces both, and frees the old one. */
static void an_ssl_is_of_one_generation(void **state) {
  const certs *all = certs_good();
  cert other;
  pthread_t threads[2];
  (void)state;
  cert_make(&other, &(cert_spec){.name = "other", .issuer = &all->ca});
  makers m = {.even = &all->server, .odd = &other};
  const caw_tls_server_options options[] = {
      {.size = sizeof(options[0]), .cert = m.even->cert, .key = m.even->key},
      {.size = sizeof(options[0]), .cert = m.odd->cert, .key = m.odd->key},
  };
  assert_int_equal(caw_tls_server_new(&m.credentials, &options[0], NULL, 0), 0);
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, run_maker, &m), 0);
  while (!atomic_load(&m.made)) sched_yield();
  for (int i = 1; i <= ROUNDS; i++)
    assert_int_equal(caw_tls_server_reload(m.credentials, &options[i % 2], NULL, 0), 0);
  atomic_store(&m.over, 1);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  caw_server_credentials_unref(m.credentials);
  cert_free(&other);
  assert_int_equal(atomic_load(&m.mixed), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(reloads_while_clients_connect),
                                     cmocka_unit_test(reloads_do_not_undo_each_other),
                                     cmocka_unit_test(an_ssl_is_of_one_generation)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
