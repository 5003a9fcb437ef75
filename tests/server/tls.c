/*
 * What TLS decides between a server and a channel: whom it lets through, what each side
 * says of a refusal, who the other end is, and what a reload and a resumption change.
 * Peers that are not Caw's: tls_peers.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "secure.h"

#include "io/tls_inner.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Certificates of all kinds ---- */

#define HOUR 3600L
#define HOST "DNS:localhost,IP:127.0.0.1"

static cert expired, early, foreign, lonely, elsewhere, nameless, for_clients, for_servers,
    client_expired, client_foreign, intermediate, chained;

static int make_certs(void **state) {
  const certs *all = certs_good();
  (void)state;
  cert_make(&expired, &(cert_spec){.name = "expired",
                                   .san = HOST,
                                   .issuer = &all->ca,
                                   .from = -2 * HOUR,
                                   .to = -HOUR});
  cert_make(
      &early,
      &(cert_spec){.name = "early", .san = HOST, .issuer = &all->ca, .from = HOUR, .to = 2 * HOUR});
  cert_make(&foreign, &(cert_spec){.name = "foreign", .san = HOST, .issuer = &all->other_ca});
  cert_make(&lonely, &(cert_spec){.name = "lonely", .san = HOST});
  cert_make(&elsewhere, &(cert_spec){.name = "127.0.0.1",
                                     .san = "DNS:a.example,DNS:*.b.example",
                                     .issuer = &all->ca});
  cert_make(&nameless, &(cert_spec){.name = "localhost", .issuer = &all->ca});
  cert_make(
      &for_clients,
      &(cert_spec){.name = "for clients", .san = HOST, .eku = "clientAuth", .issuer = &all->ca});
  cert_make(&for_servers,
            &(cert_spec){.name = "for servers", .eku = "serverAuth", .issuer = &all->ca});
  cert_make(&client_expired, &(cert_spec){.name = "expired client",
                                          .eku = "clientAuth",
                                          .issuer = &all->ca,
                                          .from = -2 * HOUR,
                                          .to = -HOUR});
  cert_make(&client_foreign,
            &(cert_spec){.name = "foreign client", .eku = "clientAuth", .issuer = &all->other_ca});
  cert_make(&intermediate, &(cert_spec){.name = "Intermediate CA", .ca = true, .issuer = &all->ca});
  cert_make(&chained, &(cert_spec){.name = "chained", .san = HOST, .issuer = &intermediate});
  return 0;
}

static int free_certs(void **state) {
  cert *all[] = {&expired,        &early,          &foreign,      &lonely,
                 &elsewhere,      &nameless,       &for_clients,  &for_servers,
                 &client_expired, &client_foreign, &intermediate, &chained};
  (void)state;
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) cert_free(all[i]);
  return 0;
}

/* ---- Refusals ---- */

typedef struct refusal {
  const char *what;
  const cert *server, *client;
  caw_tls_client_auth auth;
  caw_tls_version server_min;
  const char *name;                      /* of the client's options */
  const char *client_says, *server_says; /* NULL: the call is well */
} refusal;

#define CANNOT "cannot connect to *: "

static void expect(const refusal *r) {
  const certs *all = certs_good();
  secure s;
  const cert *server = r->server ? r->server : &all->server;
  caw_tls_server_options so = {.cert = server->cert,
                               .key = server->key,
                               .client_auth = r->auth,
                               .min_version = r->server_min};
  if (r->auth) so.client_ca = all->ca.cert;
  caw_tls_client_options co = {.size = sizeof(co), .ca = all->ca.cert, .server_name = r->name};
  if (r->client) {
    co.cert = r->client->cert;
    co.key = r->client->key;
  }
  secure_open(&s, &so, &co);
  secure_call(&s);
  char pattern[768];
  snprintf(pattern, sizeof(pattern), CANNOT "%s", r->client_says ? r->client_says : "");
  if (r->server_says && !s.n_errors) secure_until(&s, &s.n_errors);
  if (s.code != (r->client_says ? CAW_UNAVAILABLE : CAW_OK))
    fail_msg("%s: the call ended with %s: %s", r->what, caw_code_name(s.code), s.message);
  const char *said = strstr(s.message, ": ") ? strstr(s.message, ": ") + 2 : s.message;
  if (r->client_says && !secure_like(said, r->client_says))
    fail_msg("%s: the client said \"%s\", not \"%s\"", r->what, said, r->client_says);
  if (!secure_like(s.error, r->server_says ? r->server_says : ""))
    fail_msg("%s: the server said \"%s\", not \"%s\"", r->what, s.error,
             r->server_says ? r->server_says : "");
  secure_close(&s);
}

static void refusals_say_why_on_both_sides(void **state) {
  const certs *all = certs_good();
  (void)state;
  const refusal cases[] = {
      {.what = "expired",
       .server = &expired,
       .client_says = "the server's certificate has expired on *; renew it, or set the clock",
       .server_says = "the client refused our certificate: expired or not yet valid"},
      {.what = "not yet valid",
       .server = &early,
       .client_says = "the server's certificate is not valid before *; wait, or set the clock",
       .server_says = "the client refused our certificate: bad certificate"},
      {.what = "another CA",
       .server = &foreign,
       .client_says = "the server's certificate was issued by \"CN=Other CA\", which is not a "
                      "trusted CA; check the CA file, and that the server sends the whole chain",
       .server_says = "the client does not trust the CA of our certificate"},
      {.what = "a CA of ours, but what is between is missing",
       .server = &chained,
       .client_says = "the server's certificate was issued by \"CN=Intermediate CA\", which is not "
                      "a trusted CA; check the CA file, and that the server sends the whole chain",
       .server_says = "the client does not trust the CA of our certificate"},
      {.what = "self-signed",
       .server = &lonely,
       .client_says = "the server's certificate is self-signed and not among the trusted ones",
       .server_says = "the client does not trust the CA of our certificate"},
      {.what = "another name; the common name does not count",
       .server = &elsewhere,
       .client_says = "the server's certificate is for a.example, *.b.example, not for 127.0.0.1; "
                      "connect by a name that it has, or have one issued for this name",
       .server_says = "the client refused our certificate: bad certificate"},
      {.what = "no name",
       .server = &nameless,
       .name = "localhost",
       .client_says = "the server's certificate has no subject alternative name, so it is not for "
                      "localhost; have one issued with that name",
       .server_says = "the client refused our certificate: bad certificate"},
      {.what = "a wildcard is for one label",
       .server = &elsewhere,
       .name = "x.y.b.example",
       .client_says = "the server's certificate is for *, not for x.y.b.example; connect by a name "
                      "that it has, or have one issued for this name",
       .server_says = "the client refused our certificate: bad certificate"},
      {.what = "a wildcard", .server = &elsewhere, .name = "x.b.example"},
      {.what = "a name with a dot at its end", .server = &elsewhere, .name = "a.example."},
      {.what = "for clients only",
       .server = &for_clients,
       .client_says = "the server's certificate may not be used by servers (extended key usage); "
                      "have one issued for them",
       .server_says = "the client refused our certificate: not of a kind or for a use that it "
                      "accepts"},
      {.what = "required and there", .auth = CAW_TLS_CLIENT_REQUIRED, .client = &all->client},
      {.what = "optional and there", .auth = CAW_TLS_CLIENT_OPTIONAL, .client = &all->client},
      {.what = "optional and absent", .auth = CAW_TLS_CLIENT_OPTIONAL},
      {.what = "not asked for", .client = &all->client},
      {.what = "required and absent",
       .auth = CAW_TLS_CLIENT_REQUIRED,
       .client_says = "the server requires a client certificate; give the credentials one",
       .server_says = "the client has sent no certificate, and one is required"},
      {.what = "an expired client",
       .auth = CAW_TLS_CLIENT_REQUIRED,
       .client = &client_expired,
       .client_says = "the server refused our certificate: expired or not yet valid",
       .server_says = "the client's certificate has expired on *; renew it, or set the clock"},
      {.what = "a client of another CA",
       .auth = CAW_TLS_CLIENT_REQUIRED,
       .client = &client_foreign,
       .client_says = "the server does not trust the CA of our certificate",
       .server_says = "the client's certificate was issued by \"CN=Other CA\", which is not a "
                      "trusted CA; check the CA file, and that the client sends the whole chain"},
      {.what = "optional, but of another CA",
       .auth = CAW_TLS_CLIENT_OPTIONAL,
       .client = &client_foreign,
       .client_says = "the server does not trust the CA of our certificate",
       .server_says = "the client's certificate was issued by \"CN=Other CA\", which is not a "
                      "trusted CA; check the CA file, and that the client sends the whole chain"},
      {.what = "a server's as a client's",
       .auth = CAW_TLS_CLIENT_REQUIRED,
       .client = &for_servers,
       .client_says = "the server refused our certificate: not of a kind or for a use that it "
                      "accepts",
       .server_says = "the client's certificate may not be used by clients (extended key usage); "
                      "have one issued for them"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) expect(&cases[i]);
}

static void plaintext_and_tls_do_not_mix(void **state) {
  secure s;
  (void)state;
  secure_open(&s, NULL, NULL);
  secure_channel_with(&s, NULL, NULL);
  secure_call(&s);
  assert_int_equal(s.code, CAW_UNAVAILABLE);
  assert_like(s.message, CANNOT "the server speaks TLS on this port; give the channel credentials");
  if (!s.n_errors) secure_until(&s, &s.n_errors);
  assert_string_equal(s.error, "the client does not speak TLS, which this port wants");
  assert_int_equal(strncmp(s.error_peer, "ipv4:127.0.0.1:", 15), 0);
  /* One server, both kinds of address. */
  assert_int_equal(caw_server_listen(s.server, "127.0.0.1:0"), 0);
  secure_channel_with(&s, caw_server_address(s.server, 1), NULL);
  secure_call(&s);
  assert_int_equal(s.code, CAW_OK);
  assert_true(s.client_of_call.none);
  assert_true(s.server_of_call.none);
  secure_channel(&s, caw_server_address(s.server, 1), NULL);
  secure_call(&s);
  assert_int_equal(s.code, CAW_UNAVAILABLE);
  assert_like(s.message, CANNOT "the server does not speak TLS on this port; is it a plaintext "
                                "port? then make the channel without credentials");
  secure_channel(&s, NULL, NULL);
  secure_call(&s);
  assert_int_equal(s.code, CAW_OK);
  secure_close(&s);
}

static void danger_checks_nothing(void **state) {
  secure s;
  (void)state;
  const caw_tls_server_options so = {.cert = lonely.cert, .key = lonely.key};
  const caw_tls_client_options co = {.size = sizeof(co), .insecure_noverify = true};
  secure_open(&s, &so, &co);
  secure_call(&s);
  assert_int_equal(s.code, CAW_OK);
  assert_true(s.server_of_call.certificate);
  assert_false(s.server_of_call.verified);
  secure_close(&s);
}

/* ---- Who the other end is ---- */

static void digest(char out[65], const cert *c) {
  unsigned char md[32];
  unsigned len = sizeof(md);
  X509_digest(c->x509, EVP_sha256(), md, &len);
  for (size_t i = 0; i < sizeof(md); i++) snprintf(out + 2 * i, 3, "%02x", md[i]);
}

static void handlers_know_their_clients(void **state) {
  const certs *all = certs_good();
  char want[65];
  secure s;
  (void)state;
  const caw_tls_server_options so = {.cert = all->server.cert,
                                     .key = all->server.key,
                                     .client_ca = all->ca.cert,
                                     .client_auth = CAW_TLS_CLIENT_OPTIONAL};
  const caw_tls_client_options co = {
      .size = sizeof(co), .ca = all->ca.cert, .cert = all->client.cert, .key = all->client.key};
  secure_open(&s, &so, &co);
  secure_call(&s);
  assert_int_equal(s.code, CAW_OK);
  assert_true(s.client_of_call.verified);
  assert_true(s.client_of_call.certificate);
  assert_string_equal(s.client_of_call.subject, "CN=client,O=Caw");
  assert_string_equal(s.client_of_call.names, "DNS:client.example,URI:spiffe://example/client,"
                                              "email:client@example.com,IP:192.0.2.7,"
                                              "IP:2001:db8::7");
  digest(want, &all->client);
  assert_string_equal(s.client_of_call.sha256, want);
  assert_string_equal(s.client_of_call.tls, "TLSv1.3");
  assert_like(s.client_of_call.cipher, "TLS_*");
  assert_true(s.server_of_call.verified);
  assert_string_equal(s.server_of_call.subject, "CN=server");
  assert_string_equal(s.server_of_call.names, "DNS:localhost,IP:127.0.0.1,IP:::1");
  digest(want, &all->server);
  assert_string_equal(s.server_of_call.sha256, want);
  /* A client without a certificate is told apart. */
  secure_channel(&s, NULL, NULL);
  secure_call(&s);
  assert_int_equal(s.code, CAW_OK);
  assert_false(s.client_of_call.none);
  assert_false(s.client_of_call.certificate);
  assert_false(s.client_of_call.verified);
  assert_string_equal(s.client_of_call.subject, "");
  secure_close(&s);
}

/* ---- Resumption ---- */

/* Makes four calls on four connections of TLS `version`, the highest that the server
 * speaks; were the handshakes after the first resumed? */
static void expect_resumed(bool want, int version, const caw_tls_server_options *so,
                           const caw_tls_client_options *co) {
  secure s;
  secure_open(&s, so, co);
  s.hang_up = true;
  /* There is no option for this: nobody should want less than he can have. */
  assert_int_equal(SSL_CTX_set_max_proto_version(s.server_credentials->base.ctx, version), 1);
  secure_call(&s);
  assert_int_equal(s.code, CAW_OK);
  assert_string_equal(s.client_of_call.tls, version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
  assert_false(s.client_of_call.resumed);
  assert_false(s.server_of_call.resumed);
  seen client = s.client_of_call, server = s.server_of_call;
  for (int i = 0; i < 3; i++) {
    secure_call(&s);
    if (s.code) fail_msg("%s", s.message);
    assert_int_equal(s.client_of_call.resumed, want);
    assert_int_equal(s.server_of_call.resumed, want);
    assert_string_equal(s.client_of_call.tls, client.tls);
    assert_string_equal(s.server_of_call.tls, client.tls);
    /* The other end is who it was. */
    assert_string_equal(s.client_of_call.sha256, client.sha256);
    assert_string_equal(s.client_of_call.subject, client.subject);
    assert_string_equal(s.client_of_call.names, client.names);
    assert_int_equal(s.client_of_call.verified, so->client_auth != CAW_TLS_CLIENT_OFF);
    assert_string_equal(s.server_of_call.sha256, server.sha256);
    assert_true(s.server_of_call.verified);
  }
  assert_int_equal(s.n_errors, 0);
  secure_close(&s);
}

static void expect_resumptions(int version) {
  const certs *all = certs_good();
  caw_tls_server_options so = {.cert = all->server.cert, .key = all->server.key};
  caw_tls_client_options co = {.size = sizeof(co), .ca = all->ca.cert};
  expect_resumed(true, version, &so, &co);
  co.no_resumption = true;
  expect_resumed(false, version, &so, &co);
  co.no_resumption = false;
  so.no_resumption = true;
  expect_resumed(false, version, &so, &co);
  so.no_resumption = false;
  so.client_ca = all->ca.cert;
  so.client_auth = CAW_TLS_CLIENT_REQUIRED;
  co.cert = all->client.cert;
  co.key = all->client.key;
  expect_resumed(true, version, &so, &co);
}

static void sessions_are_resumed(void **state) {
  (void)state;
  expect_resumptions(TLS1_3_VERSION);
}

/* A ticket of TLS 1.2 comes within the handshake, and is good for more than one. */
static void sessions_of_tls_1_2_are_resumed(void **state) {
  (void)state;
  expect_resumptions(TLS1_2_VERSION);
}

static void set_late(void *flag) {
  *(int *)flag = 1;
}

/* A session is good as long as the certificate that it stands for: here a client's that
 * expires between two connections. */
static void a_session_ends_with_its_certificate(void **state) {
  const certs *all = certs_good();
  cert brief;
  secure s;
  (void)state;
  cert_make(&brief, &(cert_spec){.name = "brief", .issuer = &all->ca, .from = -HOUR, .to = 2});
  const caw_tls_server_options so = {.cert = all->server.cert,
                                     .key = all->server.key,
                                     .client_ca = all->ca.cert,
                                     .client_auth = CAW_TLS_CLIENT_REQUIRED};
  const caw_tls_client_options co = {
      .size = sizeof(co), .ca = all->ca.cert, .cert = brief.cert, .key = brief.key};
  secure_open(&s, &so, &co);
  s.hang_up = true;
  secure_call(&s);
  assert_int_equal(s.code, CAW_OK);
  /* It has seconds: until the second after its last. */
  caw_timer *timer;
  int late = 0;
  assert_int_equal(caw_timer_new(&timer, s.loop, set_late, &late), 0);
  while (X509_cmp_current_time(X509_get0_notAfter(brief.x509)) > 0) {
    late = 0;
    caw_timer_start(timer, 50);
    secure_until(&s, &late);
  }
  caw_timer_free(timer);
  secure_call(&s);
  assert_int_equal(s.code, CAW_UNAVAILABLE);
  if (!s.n_errors) secure_until(&s, &s.n_errors);
  assert_string_equal(s.error, "the client's certificate has expired since the session began");
  secure_close(&s);
  cert_free(&brief);
}

/* ---- Files and reloads ---- */

static char folder[] = "/tmp/caw-tls-XXXXXX";

static const char *path_of(const char *name) {
  static char paths[4][128];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
  return path;
}

static const char *put(const char *name, caw_str text, mode_t mode) {
  const char *path = path_of(name);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  assert_int_equal(fwrite(text.data, 1, text.len, f), text.len);
  fclose(f);
  assert_int_equal(chmod(path, mode), 0);
  return path;
}

static int make_folder(void **state) {
  (void)state;
  memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  static const char *const names[] = {"cert", "key", "ca", "other"};
  (void)state;
  for (size_t i = 0; i < 4; i++) unlink(path_of(names[i]));
  return rmdir(folder);
}

/* A key with a passphrase. */
static caw_str encrypted(const cert *c) {
  char *data;
  BIO *bio = BIO_new(BIO_s_mem());
  assert_int_equal(
      PEM_write_bio_PKCS8PrivateKey(bio, c->pkey, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
  size_t len = (size_t)BIO_get_mem_data(bio, &data);
  char *copy = malloc(len);
  memcpy(copy, data, len);
  BIO_free(bio);
  return caw_str_of(copy, len);
}

static void files_are_named_with_what_is_wrong(void **state) {
  const certs *all = certs_good();
  const caw_str server = all->server.cert.text, key = all->server.key.text;
  const caw_str other = all->client.key.text, none = CAW_STR("hello\n");
  const caw_str locked = encrypted(&all->server);
  static const char begun[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
  (void)state;
  const struct {
    caw_str cert, key;
    mode_t mode;
    int rc;
    const char *want; /* with '*' for the folder */
  } cases[] = {
      {server, key, 0600, 0, ""},
      {server, key, 0400, 0, ""},
      {server, key, 0640, 0,
       "*/key: the private key can be read by others than its owner (mode 0640); chmod 600 it"},
      {server, key, 0604, 0,
       "*/key: the private key can be read by others than its owner (mode 0604); chmod 600 it"},
      {server, other, 0600, CAW_ETLS,
       "*/key: the key does not belong to the certificate in */cert"},
      {server, none, 0600, CAW_EMALFORMED, "*/key: there is no private key in PEM"},
      {server, server, 0600, CAW_EMALFORMED, "*/key: there is no private key in PEM"},
      {none, key, 0600, CAW_EMALFORMED, "*/cert: there is no certificate in PEM"},
      {caw_str_from(""), key, 0600, CAW_EMALFORMED, "*/cert: there is no certificate in PEM"},
      {caw_str_from(begun), key, 0600, CAW_EMALFORMED,
       "*/cert: this is not a certificate in PEM: *"},
      {server, locked, 0600, CAW_EMALFORMED,
       "*/key: the key has a passphrase; store it without one, in a file that only the server can "
       "read"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char why[512];
    caw_server_credentials *c = NULL;
    const caw_tls_server_options o = {.size = sizeof(o),
                                      .cert = {.file = put("cert", cases[i].cert, 0644)},
                                      .key = {.file = put("key", cases[i].key, cases[i].mode)}};
    int rc = caw_tls_server_new(&c, &o, why, sizeof(why));
    if (rc != cases[i].rc) fail_msg("case %zu: %s: %s", i, caw_code_name(rc), why);
    if (!secure_like(why, cases[i].want))
      fail_msg("case %zu: \"%s\" is not \"%s\"", i, why, cases[i].want);
    caw_server_credentials_unref(c);
  }
  unlink(path_of("key"));
  char why[512];
  caw_server_credentials *c = NULL;
  const caw_tls_server_options o = {.size = sizeof(o),
                                    .cert = {.file = put("cert", server, 0644)},
                                    .key = {.file = path_of("key")}};
  assert_int_equal(caw_tls_server_new(&c, &o, why, sizeof(why)), CAW_ENOTFOUND);
  assert_like(why, "*/key: No such file or directory");
  const caw_tls_client_options co = {.size = sizeof(co), .ca = {.file = folder}};
  caw_channel_credentials *cc = NULL;
  assert_int_equal(caw_tls_client_new(&cc, &co, why, sizeof(why)), CAW_ESYS);
  assert_like(why, "*: Is a directory");
  free((char *)locked.data);
}

static void options_that_contradict_each_other(void **state) {
  const certs *all = certs_good();
  const caw_pem pem = all->server.cert, key = all->server.key, ca = all->ca.cert;
  (void)state;
  const struct {
    caw_tls_server_options o;
    const char *want;
  } servers[] = {
      {{.key = key}, "a server needs a certificate"},
      {{.cert = pem}, "the certificate's key is missing"},
      {{.cert = pem, .key = key, .client_ca = ca},
       "client_ca is given, but client_auth is off: say optional or required"},
      {{.cert = pem, .key = key, .client_auth = CAW_TLS_CLIENT_OPTIONAL},
       "client certificates are asked for, but client_ca is missing"},
      {{.cert = pem, .key = key, .client_auth = (caw_tls_client_auth)3, .client_ca = ca},
       "client_auth is none of caw_tls_client_auth"},
      {{.cert = pem, .key = key, .min_version = (caw_tls_version)11},
       "min_version is none of caw_tls_version"},
      {{.cert = {.file = "x", .text = pem.text}, .key = key},
       "the certificate in memory: both a file and a text are given"},
  };
  char why[512];
  for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
    caw_tls_server_options o = servers[i].o;
    caw_server_credentials *c;
    o.size = sizeof(o);
    assert_int_equal(caw_tls_server_new(&c, &o, why, sizeof(why)), CAW_EINVAL);
    assert_string_equal(why, servers[i].want);
  }
  caw_channel_credentials *cc;
  caw_tls_client_options co = {.size = sizeof(co), .cert = all->client.cert};
  assert_int_equal(caw_tls_client_new(&cc, &co, why, sizeof(why)), CAW_EINVAL);
  assert_string_equal(why,
                      "a client's certificate and its key belong together: the key is missing");
  caw_server_credentials *c;
  assert_int_equal(caw_tls_server_new(&c, NULL, NULL, 0), CAW_EINVAL);
  assert_int_equal(caw_tls_client_new(&cc, &(caw_tls_client_options){.size = 0}, NULL, 0),
                   CAW_EINVAL);
}

#define CANNOT_REREAD                                                                              \
  "the credentials are not all from files, so they cannot be read again; the old ones go on"

/* What no certificate can be for is nobody's name: with a dot before it, OpenSSL takes it
 * for all names below. */
static void names_that_servers_cannot_have(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool good;
  } cases[] = {
      {"localhost", true},
      {"localhost:5", true},
      {"a.example.", true},
      {"a_b.example", true},
      {"192.0.2.1", true},
      {"[2001:db8::7]:5", true},
      {"2001:db8::7", true},
      {"", false},
      {".", false},
      {".example", false},
      {".example:443", false},
      {"a..example", false},
      {"a.example..", false},
      {"*.example", false},
      {"a@example", false},
      {"a:b@example", false},
      {"example/a", false},
      {"https://example", false},
      {"a b.example", false},
      {" example", false},
      {"example\n", false},
      {"[.example]", false},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char why[512], want[128] = "";
    const char *text = "";
    caw_channel_credentials *named = NULL, *plain;
    caw_channel *channel = NULL;
    const int rc = cases[i].good ? 0 : CAW_EINVAL;
    const caw_tls_client_options to = {.size = sizeof(to), .server_name = cases[i].name};
    if (rc)
      snprintf(want, sizeof(want), "server_name: \"%s\" is no host that a certificate can be for",
               cases[i].name);
    int got = caw_tls_client_new(&named, &to, why, sizeof(why));
    if (got != rc || strcmp(why, want) != 0)
      fail_msg("server_name \"%s\": %s: %s", cases[i].name, caw_code_name(got), why);
    caw_channel_credentials_unref(named);
    /* The same as the channel's authority. */
    assert_int_equal(caw_tls_client_new(&plain, NULL, why, sizeof(why)), 0);
    const caw_channel_options o = {.size = sizeof(o),
                                   .authority = cases[i].name,
                                   .credentials = plain};
    got = caw_channel_new(&channel, "127.0.0.1:1", &o, &text);
    if (got != rc) fail_msg("authority \"%s\": %s: %s", cases[i].name, caw_code_name(got), text);
    if (rc) assert_string_equal(text, "the authority is no host that a certificate can be for");
    caw_channel_free(channel);
    caw_channel_credentials_unref(plain);
  }
}

static void exposed_keys_are_refused(void **state) {
  const certs *all = certs_good();
  char why[512];
  caw_server_credentials *sc;
  caw_channel_credentials *cc;
  secure s;
  (void)state;
  caw_tls_server_options so = {.size = sizeof(so),
                               .cert = {.file = strdup(put("cert", all->server.cert.text, 0644))},
                               .key = {.file = strdup(put("key", all->server.key.text, 0640))},
                               .refuse_exposed_key = true};
  const caw_tls_client_options co = {
      .size = sizeof(co), .cert = so.cert, .key = so.key, .refuse_exposed_key = true};
  static const char want[] =
      "*/key: the private key can be read by others than its owner (mode 0640); chmod 600 it";
  assert_int_equal(caw_tls_server_new(&sc, &so, why, sizeof(why)), CAW_EACCES);
  assert_like(why, want);
  assert_int_equal(caw_tls_client_new(&cc, &co, why, sizeof(why)), CAW_EACCES);
  assert_like(why, want);
  assert_int_equal(chmod(so.key.file, 0600), 0);
  secure_open(&s, &so, NULL);
  /* The plan knows it: the next pair, for all to read, does not replace the first. */
  put("cert", expired.cert.text, 0644);
  put("key", expired.key.text, 0640);
  assert_int_equal(caw_tls_server_reload(s.server_credentials, NULL, why, sizeof(why)), CAW_EACCES);
  assert_like(why, want);
  assert_int_equal(caw_tls_server_reload(s.server_credentials, &so, why, sizeof(why)), CAW_EACCES);
  secure_call(&s);
  if (s.code) fail_msg("%s", s.message);
  secure_close(&s);
  free((char *)so.cert.file);
  free((char *)so.key.file);
}

static void on_error(const char *peer, const char *why, void *user) {
  (void)peer, (void)why, (void)user;
}

static void other_on_error(const char *peer, const char *why, void *user) {
  (void)peer, (void)why, (void)user;
  fail();
}

/* What a reload does not change is not silently left. */
static void a_reload_cannot_change_all(void **state) {
  const certs *all = certs_good();
  int user, other;
  (void)state;
  const caw_tls_server_options base = {.size = sizeof(base),
                                       .cert = all->server.cert,
                                       .key = all->server.key,
                                       .handshake_timeout_ms = 700,
                                       .on_handshake_error = on_error,
                                       .user = &user};
  const struct {
    uint64_t ms;
    void (*fn)(const char *, const char *, void *);
    void *user;
    const char *want;
  } servers[] = {
      {0, NULL, NULL, ""},
      {700, on_error, &user, ""},
      {800, NULL, NULL, "a reload cannot change handshake_timeout_ms; make new credentials"},
      {0, other_on_error, NULL, "a reload cannot change on_handshake_error; make new credentials"},
      {0, on_error, &other, "a reload cannot change user; make new credentials"},
  };
  char why[512];
  caw_server_credentials *sc;
  assert_int_equal(caw_tls_server_new(&sc, &base, why, sizeof(why)), 0);
  for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
    caw_tls_server_options o = base;
    o.handshake_timeout_ms = servers[i].ms;
    o.on_handshake_error = servers[i].fn;
    o.user = servers[i].user;
    int rc = caw_tls_server_reload(sc, &o, why, sizeof(why));
    assert_int_equal(rc, servers[i].want[0] ? CAW_EINVAL : 0);
    assert_string_equal(why, servers[i].want);
  }
  caw_server_credentials_unref(sc);
  const struct {
    const char *name;
    bool noverify;
    const char *want;
  } clients[] = {
      {NULL, false, ""},
      {"localhost", false, ""},
      {"other.example", false, "a reload cannot change server_name; make new credentials"},
      {NULL, true, "a reload cannot change insecure_noverify; make new credentials"},
  };
  caw_tls_client_options co = {.size = sizeof(co), .ca = all->ca.cert, .server_name = "localhost"};
  caw_channel_credentials *cc;
  assert_int_equal(caw_tls_client_new(&cc, &co, why, sizeof(why)), 0);
  for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
    co.server_name = clients[i].name;
    co.insecure_noverify = clients[i].noverify;
    int rc = caw_tls_client_reload(cc, &co, why, sizeof(why));
    assert_int_equal(rc, clients[i].want[0] ? CAW_EINVAL : 0);
    assert_string_equal(why, clients[i].want);
  }
  caw_channel_credentials_unref(cc);
}

/* Where a part of credentials comes from. */
typedef enum origin { NONE, DISK, MEMORY } origin;

static caw_pem pem_from(origin where, const char *name, const caw_pem *pem) {
  if (where == MEMORY) return *pem;
  return (caw_pem){.file = where == DISK ? put(name, pem->text, 0600) : NULL};
}

/* A part that is gone with the program's memory must not turn into none at all. */
static void only_files_are_read_again(void **state) {
  const certs *all = certs_good();
  (void)state;
  static const struct {
    origin pair, key, ca;
    int rc;
  } cases[] = {
      {DISK, DISK, NONE, 0},
      {DISK, DISK, DISK, 0},
      {DISK, DISK, MEMORY, CAW_ESTATE},
      {DISK, MEMORY, NONE, CAW_ESTATE},
      {DISK, MEMORY, DISK, CAW_ESTATE},
      {DISK, MEMORY, MEMORY, CAW_ESTATE},
      {MEMORY, DISK, NONE, CAW_ESTATE},
      {MEMORY, DISK, DISK, CAW_ESTATE},
      {MEMORY, MEMORY, NONE, CAW_ESTATE},
      {MEMORY, MEMORY, DISK, CAW_ESTATE},
      {MEMORY, MEMORY, MEMORY, CAW_ESTATE},
      {NONE, NONE, NONE, 0}, /* clients alone: the system's trust store */
      {NONE, NONE, DISK, 0},
      {NONE, NONE, MEMORY, CAW_ESTATE},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char why[512];
    caw_pem pair = pem_from(cases[i].pair, "cert", &all->server.cert);
    caw_pem key = pem_from(cases[i].key, "key", &all->server.key);
    caw_pem ca = pem_from(cases[i].ca, "ca", &all->ca.cert);
    const caw_tls_client_options co = {.size = sizeof(co), .ca = ca, .cert = pair, .key = key};
    const caw_tls_server_options so = {.size = sizeof(so),
                                       .cert = pair,
                                       .key = key,
                                       .client_ca = ca,
                                       .client_auth = cases[i].ca ? CAW_TLS_CLIENT_REQUIRED
                                                                  : CAW_TLS_CLIENT_OFF};
    const char *want = cases[i].rc ? CANNOT_REREAD : "";
    caw_channel_credentials *cc;
    assert_int_equal(caw_tls_client_new(&cc, &co, why, sizeof(why)), 0);
    for (int again = 0; again < 2; again++) {
      int rc = caw_tls_client_reload(cc, NULL, why, sizeof(why));
      if (rc != cases[i].rc || strcmp(why, want) != 0)
        fail_msg("client %zu: %s: \"%s\"", i, caw_code_name(rc), why);
    }
    caw_channel_credentials_unref(cc);
    if (!cases[i].pair) continue;
    caw_server_credentials *sc;
    assert_int_equal(caw_tls_server_new(&sc, &so, why, sizeof(why)), 0);
    for (int again = 0; again < 2; again++) {
      int rc = caw_tls_server_reload(sc, NULL, why, sizeof(why));
      if (rc != cases[i].rc || strcmp(why, want) != 0)
        fail_msg("server %zu: %s: \"%s\"", i, caw_code_name(rc), why);
    }
    caw_server_credentials_unref(sc);
  }
}

/* A CA of the program's own, in memory, and a pair in files: the public CAs are not
 * trusted instead when the pair is read again. */
static void a_pinned_ca_stays(void **state) {
  const certs *all = certs_good();
  char why[512];
  secure s;
  (void)state;
  const caw_tls_client_options co = {.size = sizeof(co),
                                     .ca = all->ca.cert,
                                     .cert = {.file = put("cert", all->client.cert.text, 0644)},
                                     .key = {.file = put("key", all->client.key.text, 0600)}};
  secure_open(&s, NULL, &co);
  assert_int_equal(caw_tls_client_reload(s.channel_credentials, NULL, why, sizeof(why)),
                   CAW_ESTATE);
  secure_call(&s);
  if (s.code) fail_msg("%s", s.message);
  assert_true(s.server_of_call.verified);
  secure_close(&s);
}

/* What the handler and the channel see of the next call, on the connection that is there
 * or on a new one. */
static const char *server_shown(secure *s) {
  secure_call(s);
  if (s->code) fail_msg("%s", s->message);
  return s->server_of_call.sha256;
}

static void a_reload_is_for_new_connections(void **state) {
  const certs *all = certs_good();
  char why[512], first[65], second[65];
  cert next;
  secure s;
  (void)state;
  cert_make(&next, &(cert_spec){.name = "next", .san = HOST, .issuer = &all->ca});
  digest(first, &all->server);
  digest(second, &next);
  const caw_tls_server_options so = {
      .cert = {.file = strdup(put("cert", all->server.cert.text, 0644))},
      .key = {.file = strdup(put("key", all->server.key.text, 0600))}};
  secure_open(&s, &so, NULL);
  assert_string_equal(server_shown(&s), first);

  /* Half of a new pair, garbage, nothing: the old one goes on. */
  put("cert", next.cert.text, 0644);
  assert_int_equal(caw_tls_server_reload(s.server_credentials, NULL, why, sizeof(why)), CAW_ETLS);
  assert_like(why, "*/key: the key does not belong to the certificate in *");
  put("key", caw_str_from("-----BEGIN"), 0600);
  assert_int_equal(caw_tls_server_reload(s.server_credentials, NULL, why, sizeof(why)),
                   CAW_EMALFORMED);
  unlink(path_of("cert"));
  assert_int_equal(caw_tls_server_reload(s.server_credentials, NULL, why, sizeof(why)),
                   CAW_ENOTFOUND);
  assert_like(why, "*/cert: No such file or directory");
  s.hang_up = true;
  assert_string_equal(server_shown(&s), first); /* the same connection, its last call */
  s.hang_up = false;
  assert_string_equal(server_shown(&s), first);
  assert_true(s.server_of_call.resumed);

  put("cert", next.cert.text, 0644);
  put("key", next.key.text, 0600);
  assert_int_equal(caw_tls_server_reload(s.server_credentials, NULL, why, sizeof(why)), 0);
  assert_string_equal(why, "");
  assert_string_equal(server_shown(&s), first); /* what is there stays */
  s.hang_up = true;
  assert_string_equal(server_shown(&s), first);
  assert_string_equal(server_shown(&s), second);
  assert_false(s.server_of_call.resumed);

  /* From memory again, with the client's certificate required from now on. */
  const caw_tls_server_options strict = {.size = sizeof(strict),
                                         .cert = all->server.cert,
                                         .key = all->server.key,
                                         .client_ca = all->ca.cert,
                                         .client_auth = CAW_TLS_CLIENT_REQUIRED};
  assert_int_equal(caw_tls_server_reload(s.server_credentials, &strict, why, sizeof(why)), 0);
  secure_call(&s);
  assert_int_equal(s.code, CAW_UNAVAILABLE);
  assert_int_equal(caw_tls_server_reload(s.server_credentials, NULL, why, sizeof(why)), CAW_ESTATE);
  assert_string_equal(why, CANNOT_REREAD);
  secure_close(&s);
  free((char *)so.cert.file);
  free((char *)so.key.file);
  cert_free(&next);
}

/* A client that trusts another CA from now on does not resume what it trusted before. */
static void a_client_reloads_too(void **state) {
  const certs *all = certs_good();
  char why[512];
  secure s;
  (void)state;
  secure_open(&s, NULL, NULL);
  s.hang_up = true;
  secure_call(&s);
  assert_int_equal(s.code, CAW_OK);
  caw_tls_client_options co = {.size = sizeof(co), .ca = all->other_ca.cert};
  assert_int_equal(caw_tls_client_reload(s.channel_credentials, &co, why, sizeof(why)), 0);
  secure_call(&s);
  assert_int_equal(s.code, CAW_UNAVAILABLE);
  co.ca = all->ca.cert;
  assert_int_equal(caw_tls_client_reload(s.channel_credentials, &co, why, sizeof(why)), 0);
  for (s.code = 1; s.code;) secure_call(&s); /* the back-off is 10 ms */
  assert_false(s.server_of_call.resumed);
  secure_close(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refusals_say_why_on_both_sides),
      cmocka_unit_test(plaintext_and_tls_do_not_mix),
      cmocka_unit_test(danger_checks_nothing),
      cmocka_unit_test(handlers_know_their_clients),
      cmocka_unit_test(sessions_are_resumed),
      cmocka_unit_test(sessions_of_tls_1_2_are_resumed),
      cmocka_unit_test(a_session_ends_with_its_certificate),
      cmocka_unit_test_setup_teardown(files_are_named_with_what_is_wrong, make_folder,
                                      remove_folder),
      cmocka_unit_test(options_that_contradict_each_other),
      cmocka_unit_test_setup_teardown(a_reload_is_for_new_connections, make_folder, remove_folder),
      cmocka_unit_test(names_that_servers_cannot_have),
      cmocka_unit_test_setup_teardown(exposed_keys_are_refused, make_folder, remove_folder),
      cmocka_unit_test(a_reload_cannot_change_all),
      cmocka_unit_test_setup_teardown(only_files_are_read_again, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(a_pinned_ca_stays, make_folder, remove_folder),
      cmocka_unit_test(a_client_reloads_too),
  };
  return cmocka_run_group_tests(tests, make_certs, free_certs);
}
