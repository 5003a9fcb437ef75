/*
 * TLS with peers that are not Caw's: bare OpenSSL, or bare bytes, on a blocking socket in
 * a thread of their own. They do what Caw's own other half never would: old versions,
 * other protocols, half a handshake, no close_notify. Each with what both sides say.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "secure.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- The other side ---- */

typedef struct peer peer;
struct peer {
  /* What it is. */
  int max_version; /* of TLS; 0: the newest */
  const char *ciphers;
  const char *alpn; /* as on the wire; NULL: says nothing of it */
  const char *say;  /* bytes instead of TLS */
  size_t say_len;
  const cert *own;                  /* its certificate */
  void (*after)(peer *p, SSL *ssl); /* once the handshake is over */
  bool short_records;               /* of up to 512 bytes (RFC 6066 4) */
  bool keep;                        /* says no end before the other side does */
  /* What came of it. */
  int fd;
  bool shaken;
  int alert;    /* that it received; 0: none */
  char got[64]; /* the first bytes, when it says bytes */
  size_t got_len;
  char selected[16];
  int updates; /* of its keys */
  bool answer; /* asks for the same of the other side */
  /* How it runs. */
  pthread_t thread;
  secure *s;
  int finished;
  uint16_t port; /* a server's */
  int listener;
};

static void finish(void *arg) {
  ((peer *)arg)->finished = 1;
}

static void finish_drain(void *flag) {
  *(int *)flag = 1;
}

static int select_peer_alpn(SSL *ssl, const unsigned char **out, unsigned char *len,
                            const unsigned char *in, unsigned in_len, void *user) {
  const peer *p = user;
  (void)ssl, (void)in, (void)in_len;
  *out = (const unsigned char *)p->alpn + 1;
  *len = (unsigned char)p->alpn[0];
  return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *make_context(peer *p, bool server) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_method());
  SSL_CTX_set_security_level(ctx, 0); /* TLS 1.1 and its hashes */
  SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
  if (p->max_version) SSL_CTX_set_max_proto_version(ctx, p->max_version);
  if (p->ciphers) SSL_CTX_set_cipher_list(ctx, p->ciphers);
  if (p->alpn && server) SSL_CTX_set_alpn_select_cb(ctx, select_peer_alpn, p);
  else if (p->alpn)
    SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)p->alpn, (unsigned)strlen(p->alpn));
  if (p->short_records) SSL_CTX_set_tlsext_max_fragment_length(ctx, TLSEXT_max_fragment_length_512);
  if (p->own) {
    SSL_CTX_use_certificate(ctx, p->own->x509);
    SSL_CTX_use_PrivateKey(ctx, p->own->pkey);
  }
  return ctx;
}

/* Reads until the other side ends. */
static void read_on(peer *p, SSL *ssl) {
  char bytes[4096];
  size_t n;
  while (SSL_read_ex(ssl, bytes, sizeof(bytes), &n) == 1) continue;
  (void)p;
}

static void note_alert(peer *p) {
  for (unsigned long e; (e = ERR_get_error());)
    if (ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) > SSL_AD_REASON_OFFSET && !p->alert)
      p->alert = ERR_GET_REASON(e) - SSL_AD_REASON_OFFSET;
}

static void talk_tls(peer *p, bool server) {
  const unsigned char *alpn;
  unsigned len;
  SSL_CTX *ctx = make_context(p, server);
  SSL *ssl = SSL_new(ctx);
  SSL_set_fd(ssl, p->fd);
  p->shaken = (server ? SSL_accept(ssl) : SSL_connect(ssl)) == 1;
  if (p->shaken) {
    SSL_get0_alpn_selected(ssl, &alpn, &len);
    snprintf(p->selected, sizeof(p->selected), "%.*s", (int)len, (const char *)alpn);
    if (p->after) p->after(p, ssl);
  }
  note_alert(p);
  SSL_free(ssl);
  SSL_CTX_free(ctx);
}

static void talk_bytes(peer *p) {
  for (size_t at = 0; at < p->say_len;) {
    ssize_t n = send(p->fd, p->say + at, p->say_len - at, MSG_NOSIGNAL);
    if (n <= 0) break;
    at += (size_t)n;
  }
  char bytes[4096];
  if (!p->keep) shutdown(p->fd, SHUT_WR);
  for (ssize_t n; (n = recv(p->fd, bytes, sizeof(bytes), 0)) > 0;) {
    size_t room = sizeof(p->got) - p->got_len, len = (size_t)n < room ? (size_t)n : room;
    memcpy(p->got + p->got_len, bytes, len);
    p->got_len += len;
  }
}

static void *run_client(void *arg) {
  peer *p = arg;
  struct sockaddr_in a = {.sin_family = AF_INET,
                          .sin_port = htons(p->port),
                          .sin_addr = {htonl(INADDR_LOOPBACK)}};
  p->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (!connect(p->fd, (struct sockaddr *)&a, sizeof(a))) {
    if (p->say) talk_bytes(p);
    else talk_tls(p, false);
  }
  close(p->fd);
  caw_loop_post(p->s->loop, finish, p);
  return NULL;
}

static void *run_server(void *arg) {
  peer *p = arg;
  p->fd = accept(p->listener, NULL, NULL);
  close(p->listener); /* the channel's next attempts fail at once */
  if (p->say) talk_bytes(p);
  else talk_tls(p, true);
  close(p->fd);
  caw_loop_post(p->s->loop, finish, p);
  return NULL;
}

static void begin_client(peer *p, secure *s) {
  p->s = s;
  p->port = (uint16_t)atoi(strrchr(s->address, ':') + 1);
  assert_int_equal(pthread_create(&p->thread, NULL, run_client, p), 0);
}

static void begin_server(peer *p, secure *s, char target[32]) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t len = sizeof(a);
  p->s = s;
  p->listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(p->listener, (struct sockaddr *)&a, len), 0);
  assert_int_equal(listen(p->listener, 4), 0);
  assert_int_equal(getsockname(p->listener, (struct sockaddr *)&a, &len), 0);
  snprintf(target, 32, "127.0.0.1:%u", ntohs(a.sin_port));
  assert_int_equal(pthread_create(&p->thread, NULL, run_server, p), 0);
}

static void end_peer(peer *p) {
  secure_until(p->s, &p->finished);
  pthread_join(p->thread, NULL);
}

/* ---- Clients of another make ---- */

#define H2   "\2h2"
#define HTTP "\10http/1.1"

static void clients_of_another_make(void **state) {
  const certs *all = certs_good();
  (void)state;
  const struct {
    const char *what;
    peer p;
    caw_tls_version min;
    bool auth;
    bool shaken;
    int alert;
    const char *server_says;
  } cases[] = {
      {"TLS 1.3", {.alpn = H2}, 0, false, true, 0, ""},
      {"TLS 1.2", {.alpn = H2, .max_version = TLS1_2_VERSION}, 0, false, true, 0, ""},
      {"h2 is not the first", {.alpn = HTTP H2}, 0, false, true, 0, ""},
      {"TLS 1.1",
       {.alpn = H2, .max_version = TLS1_1_VERSION},
       0,
       false,
       false,
       70,
       "the client speaks only versions of TLS below ours"},
      {"TLS 1.2 where 1.3 is the least",
       {.alpn = H2, .max_version = TLS1_2_VERSION},
       CAW_TLS_1_3,
       false,
       false,
       70,
       "the client speaks only versions of TLS below ours"},
      {"no ALPN",
       {.alpn = NULL},
       0,
       false,
       false,
       120,
       "the client does not speak HTTP/2 over TLS (ALPN h2)"},
      {"no ALPN in TLS 1.2",
       {.alpn = NULL, .max_version = TLS1_2_VERSION},
       0,
       false,
       false,
       120,
       "the client does not speak HTTP/2 over TLS (ALPN h2)"},
      {"HTTP/1.1 alone",
       {.alpn = HTTP},
       0,
       false,
       false,
       120,
       "the client does not speak HTTP/2 over TLS (ALPN h2)"},
      {"CBC",
       {.alpn = H2, .max_version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES128-SHA256"},
       0,
       false,
       false,
       40,
       "the client has no cipher in common with us"},
      {"no ephemeral key",
       {.alpn = H2, .max_version = TLS1_2_VERSION, .ciphers = "AES128-GCM-SHA256"},
       0,
       false,
       false,
       40,
       "the client has no cipher in common with us"},
      {"no certificate in TLS 1.2",
       {.alpn = H2, .max_version = TLS1_2_VERSION},
       0,
       true,
       false,
       40,
       "the client has sent no certificate, and one is required"},
      {"a certificate in TLS 1.2",
       {.alpn = H2, .max_version = TLS1_2_VERSION, .own = &all->client},
       0,
       true,
       true,
       0,
       ""},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    secure s;
    peer p = cases[i].p;
    const caw_tls_server_options so = {.cert = all->server.cert,
                                       .key = all->server.key,
                                       .min_version = cases[i].min,
                                       .client_ca = cases[i].auth ? all->ca.cert : (caw_pem){0},
                                       .client_auth = cases[i].auth ? CAW_TLS_CLIENT_REQUIRED
                                                                    : CAW_TLS_CLIENT_OFF};
    secure_open(&s, &so, NULL);
    begin_client(&p, &s);
    end_peer(&p);
    if (cases[i].server_says[0] && !s.n_errors) secure_until(&s, &s.n_errors);
    if (p.shaken != cases[i].shaken || p.alert != cases[i].alert ||
        strcmp(s.error, cases[i].server_says) != 0)
      fail_msg("%s: shaken %d, alert %d, the server said \"%s\"", cases[i].what, p.shaken, p.alert,
               s.error);
    if (p.shaken) assert_string_equal(p.selected, "h2");
    secure_close(&s);
  }
}

/* ---- Bytes that are no handshake, or half of one ---- */

/* The beginning of a ClientHello of 512 bytes. */
#define HELLO "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

static void bytes_that_are_no_handshake(void **state) {
  (void)state;
  static const char alert[] = {0x15, 3, 1, 0, 2, 2, 70};
  const struct {
    const char *what, *say;
    size_t len;
    bool keep;
    const char *server_says; /* NULL: nothing */
    bool alert;
  } cases[] = {
      {"a probe of the port", "", 0, false, NULL, false},
      {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, true,
       "the client does not speak TLS, which this port wants", true},
      {"HTTP/1", "GET / HTTP/1.1\r\n\r\n", 18, true,
       "the client does not speak TLS, which this port wants", true},
      {"one byte", "\0", 1, false, "the client closed the connection in the TLS handshake", false},
      {"half a hello, then the end", HELLO, 11, false,
       "the client closed the connection in the TLS handshake", false},
      {"half a hello, then silence", HELLO, 11, true,
       "the client did not finish the TLS handshake in time", false},
      {"silence", "", 0, true, "the client did not finish the TLS handshake in time", false},
      {"a record that is too long", "\x16\x03\x01\xff\xff\x01", 6, true, "TLS: *", false},
      {"an alert", "\x15\x03\x01\x00\x02\x02\x28", 7, true, "TLS: *", false},
  };
  const certs *all = certs_good();
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    secure s;
    peer p = {.say = cases[i].say, .say_len = cases[i].len, .keep = cases[i].keep};
    bool waits = cases[i].server_says && strstr(cases[i].server_says, "in time");
    const caw_tls_server_options so = {.cert = all->server.cert,
                                       .key = all->server.key,
                                       .handshake_timeout_ms = waits ? 60 : 600000};
    secure_open(&s, &so, NULL);
    begin_client(&p, &s);
    end_peer(&p);
    if (cases[i].server_says && !s.n_errors) secure_until(&s, &s.n_errors);
    if (!cases[i].server_says) secure_call(&s); /* one that comes later is served earlier */
    if (!secure_like(s.error, cases[i].server_says ? cases[i].server_says : ""))
      fail_msg("%s: the server said \"%s\"", cases[i].what, s.error);
    if (cases[i].alert && (p.got_len != sizeof(alert) || memcmp(p.got, alert, sizeof(alert)) != 0))
      fail_msg("%s: %zu bytes were answered", cases[i].what, p.got_len);
    secure_close(&s);
  }
}

/* ---- Servers of another make ---- */

static void end_rudely(peer *p, SSL *ssl) {
  SSL_set_quiet_shutdown(ssl, 1);
  shutdown(p->fd, SHUT_WR);
  read_on(p, ssl);
}

static void end_well(peer *p, SSL *ssl) {
  SSL_shutdown(ssl);
  shutdown(p->fd, SHUT_WR);
  read_on(p, ssl);
}

static void damage(peer *p, SSL *ssl) {
  static const char record[] = "\x17\x03\x03\x00\x20"
                               "0123456789abcdef0123456789abcdef";
  send(p->fd, record, sizeof(record) - 1, MSG_NOSIGNAL);
  read_on(p, ssl);
}

static void servers_of_another_make(void **state) {
  const certs *all = certs_good();
  (void)state;
  const struct {
    const char *what;
    peer p;
    const char *client_says;
    int alert; /* that the server received */
  } cases[] = {
      {"no ALPN",
       {.own = &all->server, .after = read_on},
       "the server chose no protocol of ours (ALPN h2); is it a gRPC server?",
       0},
      {"no ALPN in TLS 1.2",
       {.own = &all->server, .after = read_on, .max_version = TLS1_2_VERSION},
       "the server chose no protocol of ours (ALPN h2); is it a gRPC server?",
       0},
      {"TLS 1.1",
       {.own = &all->server, .alpn = H2, .max_version = TLS1_1_VERSION},
       "the server does not speak our versions of TLS, or no TLS on this port",
       0},
      {"CBC alone",
       {.own = &all->server,
        .alpn = H2,
        .max_version = TLS1_2_VERSION,
        .ciphers = "ECDHE-ECDSA-AES128-SHA256"},
       "the server has no cipher or version in common with us, or wants a client certificate",
       0},
      {"an end without close_notify",
       {.own = &all->server, .alpn = H2, .after = end_rudely},
       "the peer closed the connection without TLS's close_notify: what it sent may be cut short",
       0},
      {"an end with close_notify",
       {.own = &all->server, .alpn = H2, .after = end_well},
       "the peer closed the connection",
       0},
      {"a damaged record",
       {.own = &all->server, .alpn = H2, .after = damage},
       "a TLS record was damaged on its way",
       SSL_AD_BAD_RECORD_MAC},
      {"the end at once",
       {.say = "", .say_len = 0},
       "the server closed the connection in the TLS handshake",
       0},
      {"HTTP/1",
       {.say = "HTTP/1.1 400 Bad Request\r\n\r\n", .say_len = 28, .keep = true},
       "the server does not speak TLS on this port; is it a plaintext port? then make the channel "
       "without credentials",
       0},
      {"half a record",
       {.say = "\x16\x03\x03", .say_len = 3},
       "the server closed the connection in the TLS handshake",
       0},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    secure s;
    char target[32], pattern[256];
    peer p = cases[i].p;
    secure_open(&s, NULL, NULL);
    begin_server(&p, &s, target);
    secure_channel_with(&s, target, s.channel_credentials);
    secure_call(&s);
    end_peer(&p);
    snprintf(pattern, sizeof(pattern), "cannot connect to *: %s", cases[i].client_says);
    if (s.code != CAW_UNAVAILABLE || !secure_like(s.message, pattern) || p.alert != cases[i].alert)
      fail_msg("%s: the call ended with %s: %s (alert %d)", cases[i].what, caw_code_name(s.code),
               s.message, p.alert);
    secure_close(&s);
  }
}

/* One that stalls in its handshake does not hold up the server's end: not for the grace,
 * and not for the handshake's own time, both of which are more than secure_until waits. */
static void a_drain_does_not_wait_for_handshakes(void **state) {
  static const struct {
    const char *what, *say;
    size_t len;
  } cases[] = {{"silence", "", 0}, {"half a hello", HELLO, 11}};
  const certs *all = certs_good();
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    secure s;
    int drained = 0;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const caw_tls_server_options so = {.cert = all->server.cert,
                                       .key = all->server.key,
                                       .handshake_timeout_ms = 600000};
    secure_open(&s, &so, NULL);
    a.sin_port = htons((uint16_t)atoi(strrchr(s.address, ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(send(fd, cases[i].say, cases[i].len, MSG_NOSIGNAL), cases[i].len);
    secure_call(&s); /* later in the queue of connections: the first one is taken */
    assert_int_equal(s.code, CAW_OK);
    caw_server_drain(s.server, 600000, finish_drain, &drained);
    secure_until(&s, &drained);
    if (s.n_errors) fail_msg("%s: \"%s\"", cases[i].what, s.error);
    close(fd);
    secure_close(&s);
  }
}

/* A server that takes the connection and says nothing. */
static void a_server_that_stalls(void **state) {
  static const struct {
    const char *say;
    size_t len;
  } cases[] = {{"", 0}, {"\x16\x03\x03\x00", 4}};
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    secure s;
    char target[32];
    const char *why;
    peer p = {.say = cases[i].say, .say_len = cases[i].len, .keep = true};
    secure_open(&s, NULL, NULL);
    begin_server(&p, &s, target);
    const caw_channel_options o = {.size = sizeof(o),
                                   .loop = s.loop,
                                   .connect_timeout_ms = 60,
                                   .credentials = s.channel_credentials};
    caw_channel_free(s.channel);
    assert_int_equal(caw_channel_new(&s.channel, target, &o, &why), 0);
    secure_call(&s);
    assert_int_equal(s.code, CAW_UNAVAILABLE);
    assert_like(s.message, "cannot connect to *: the TLS handshake took too long");
    end_peer(&p);
    secure_close(&s);
  }
}

/* ---- After the handshake ---- */

static void renegotiate(peer *p, SSL *ssl) {
  SSL_renegotiate(ssl);
  if (SSL_do_handshake(ssl) == 1) {
    char byte;
    SSL_read(ssl, &byte, 1);
  }
  (void)p;
}

static void nobody_renegotiates(void **state) {
  secure s;
  peer p = {.alpn = H2, .max_version = TLS1_2_VERSION, .after = renegotiate};
  (void)state;
  secure_open(&s, NULL, NULL);
  begin_client(&p, &s);
  end_peer(&p);
  assert_true(p.shaken);
  secure_call(&s);
  assert_int_equal(s.code, CAW_OK);
  secure_close(&s);
}

/* Has much answered at once: acknowledgements of empty SETTINGS. */
enum { PREFACE = 24, FRAME = 9, FRAMES = 200 };

static void ask_much(peer *p, SSL *ssl) {
  static const uint8_t settings[FRAME] = {0, 0, 0, 4};
  uint8_t say[PREFACE + FRAMES * FRAME] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  size_t n;
  for (size_t i = 0; i < FRAMES; i++) memcpy(say + PREFACE + i * FRAME, settings, FRAME);
  if (SSL_write_ex(ssl, say, sizeof(say), &n) != 1) return;
  while (p->got_len < FRAMES * FRAME && SSL_read_ex(ssl, say, sizeof(say), &n) == 1)
    p->got_len += n;
}

static void a_client_wants_short_records(void **state) {
  static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
  (void)state;
  for (int i = 0; i < 2; i++) {
    secure s;
    peer p = {.alpn = H2, .max_version = versions[i], .short_records = true, .after = ask_much};
    secure_open(&s, NULL, NULL);
    begin_client(&p, &s);
    end_peer(&p);
    assert_true(p.shaken);
    assert_in_range(p.got_len, FRAMES * FRAME, SIZE_MAX);
    secure_close(&s);
  }
}

/* A hundred or so get through until the server has read them, and three hundred thousand
 * until the time for HTTP/2's beginning is over, were nobody to mind. */
enum { UPDATES = 100000 };

/* Changes its keys again and again, until it is stopped. */
static void update_keys(peer *p, SSL *ssl) {
  for (p->updates = 0; p->updates < UPDATES; p->updates++) {
    SSL_key_update(ssl, p->answer ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
    if (SSL_do_handshake(ssl) != 1) break;
  }
}

static void a_flood_of_key_updates_ends(void **state) {
  (void)state;
  for (int answer = 0; answer < 2; answer++) {
    secure s;
    peer p = {.alpn = H2, .after = update_keys, .answer = answer};
    secure_open(&s, NULL, NULL);
    begin_client(&p, &s);
    end_peer(&p);
    assert_true(p.shaken);
    assert_in_range(p.updates, 1, UPDATES - 1);
    secure_call(&s);
    assert_int_equal(s.code, CAW_OK);
    secure_close(&s);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clients_of_another_make),
      cmocka_unit_test(bytes_that_are_no_handshake),
      cmocka_unit_test(servers_of_another_make),
      cmocka_unit_test(a_server_that_stalls),
      cmocka_unit_test(a_client_wants_short_records),
      cmocka_unit_test(nobody_renegotiates),
      cmocka_unit_test(a_flood_of_key_updates_ends),
      cmocka_unit_test(a_drain_does_not_wait_for_handshakes),
  };
  signal(SIGPIPE, SIG_IGN); /* OpenSSL's own sockets raise it */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
