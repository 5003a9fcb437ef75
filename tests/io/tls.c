/*
 * The TLS filter between two sockets, with a relay of the test's between them that passes
 * on as many bytes as it likes: one at a time, in any pieces, or none after a point. Every
 * allocation fails once. What certificates are good for is tested in tests/server/tls.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "certs.h"
#include "failing.h"
#include "io/tls.h"

#include <caw/status.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- Two ends ---- */

enum { MOST = 4 * 1024 * 1024 };

typedef struct end {
  io_socket *socket;
  int connected, connect_rc; /* times that on_connect came, and with what */
  int ended, end_rc;
  size_t to_send, sent, received;
  bool wrong;   /* something else was received */
  bool pause;   /* stop reading at the next bytes */
  size_t batch; /* the most of one write; 0: all of it */
  int n_writable;
  char why[512];
} end;

typedef struct pair {
  caw_loop *loop;
  caw_server_credentials *server_credentials;
  caw_channel_credentials *channel_credentials;
  io_tls_client *tls;
  end client, server;
  int fd[2];         /* the relay's: towards the client, towards the server */
  size_t passed[2];  /* from the client, from the server */
  size_t allowed[2]; /* of passed */
  uint64_t time;     /* of the server's handshake; 0: what the credentials say */
  bool over[2];      /* that side has ended */
} pair;

static uint8_t byte_at(size_t i) {
  return (uint8_t)(i * 31 + (i >> 8) * 7 + 5);
}

static uint8_t pattern[65536 + 256];

static void note_why(end *e) {
  const char *why = io_socket_why(e->socket);
  snprintf(e->why, sizeof(e->why), "%s", why ? why : "");
}

/* Sends what is left, in three parts so that they are gathered. */
static void send_more(end *e) {
  while (e->socket && e->sent < e->to_send && !io_socket_waits(e->socket)) {
    size_t left = e->to_send - e->sent, at = e->sent % 65536;
    if (left > 65536 - at) left = 65536 - at;
    if (e->batch && left > e->batch) left = e->batch;
    size_t a = left / 3, b = left / 7;
    struct iovec parts[] = {
        {pattern + at, a}, {pattern + at + a, b}, {NULL, 0}, {pattern + at + a + b, left - a - b}};
    long n = io_socket_write(e->socket, parts, 4);
    if (n < 0) return;
    assert_true((size_t)n <= left);
    if ((size_t)n < left) assert_true(io_socket_waits(e->socket));
    e->sent += (size_t)n;
  }
}

static void on_connect(void *user, int rc) {
  end *e = user;
  e->connected++;
  e->connect_rc = rc;
  note_why(e);
  if (rc) return;
  io_socket_read(e->socket, true);
  send_more(e);
}

static void on_read(void *user, const uint8_t *data, size_t len) {
  end *e = user;
  assert_int_equal(e->connected, 1);
  assert_int_equal(e->ended, 0);
  for (size_t i = 0; i < len; i++)
    if (data[i] != pattern[(e->received + i) % 65536]) e->wrong = true;
  e->received += len;
  if (e->pause) io_socket_read(e->socket, false);
}

static void on_end(void *user, int rc) {
  end *e = user;
  e->ended++;
  e->end_rc = rc;
  note_why(e);
}

static void on_writable(void *user) {
  end *e = user;
  e->n_writable++;
  send_more(e);
}

static const io_socket_events events = {on_connect, on_read, on_end, on_writable};

/* ---- The relay ---- */

static void unblock(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* A connected pair of TCP: the client connects itself. Returns 0 or a CAW_E*. */
static int connect_client(pair *p) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  io_address a = io_address_ip((uint8_t[]){127, 0, 0, 1}, 4, 0);
  assert_int_equal(bind(listener, &a.u.any, a.len), 0);
  assert_int_equal(listen(listener, 1), 0);
  assert_int_equal(getsockname(listener, &a.u.any, &a.len), 0);
  int rc = io_socket_connect(&p->client.socket, p->loop, &a, &events, &p->client);
  if (!rc) rc = io_tls_connect(p->client.socket, p->tls);
  if (!rc) p->fd[0] = accept(listener, NULL, NULL);
  close(listener);
  if (p->fd[0] >= 0) unblock(p->fd[0]);
  return rc;
}

static int adopt_server(pair *p) {
  int fds[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  unblock(fds[0]);
  unblock(fds[1]);
  p->fd[1] = fds[1];
  int rc = io_socket_adopt(&p->server.socket, p->loop, fds[0], &events, &p->server);
  if (rc) close(fds[0]);
  else rc = io_tls_accept(p->server.socket, p->server_credentials, p->time ? p->time : UINT64_MAX);
  return rc;
}

/* Both ends; 0 or a CAW_E*. */
static int pair_open(pair *p) {
  p->fd[0] = p->fd[1] = -1;
  p->allowed[0] = p->allowed[1] = SIZE_MAX;
  int rc = caw_loop_new(&p->loop);
  if (!rc) rc = io_tls_client_new(&p->tls, p->channel_credentials, "localhost:1");
  if (!rc) rc = connect_client(p);
  if (!rc) rc = adopt_server(p);
  return rc;
}

static void pair_close(pair *p) {
  io_socket_close(p->client.socket);
  io_socket_close(p->server.socket);
  io_tls_client_free(p->tls);
  caw_loop_free(p->loop);
  for (int i = 0; i < 2; i++)
    if (p->fd[i] >= 0) close(p->fd[i]);
}

/* Passes on up to `most` bytes from side `i`; what the other does not take waits in the
 * kernel. */
static void pass(pair *p, int i, size_t most) {
  uint8_t bytes[65536];
  size_t left = p->allowed[i] - p->passed[i];
  if (most > left) most = left;
  if (most > sizeof(bytes)) most = sizeof(bytes);
  if (!most || p->over[i]) return;
  ssize_t n = recv(p->fd[i], bytes, most, MSG_PEEK);
  if (n == 0) {
    p->over[i] = true;
    shutdown(p->fd[!i], SHUT_WR);
  }
  if (n <= 0) return;
  ssize_t took = send(p->fd[!i], bytes, (size_t)n, MSG_NOSIGNAL);
  if (took <= 0) return;
  assert_int_equal(recv(p->fd[i], bytes, (size_t)took, 0), took);
  p->passed[i] += (size_t)took;
}

static void turn(pair *p, size_t chunk) {
  pass(p, 0, chunk);
  pass(p, 1, chunk);
  caw_loop_run(p->loop, CAW_LOOP_NOWAIT);
}

/* ---- Credentials that outlive the runs ---- */

static pair fresh(void) {
  static caw_server_credentials *server;
  static caw_channel_credentials *channel;
  if (!server) server = certs_server();
  if (!channel) channel = certs_channel();
  for (size_t i = 0; i < sizeof(pattern); i++) pattern[i] = byte_at(i % 65536);
  return (pair){.server_credentials = server, .channel_credentials = channel};
}

/* ---- Chunks ---- */

static void any_chunks_make_the_same_bytes(void **state) {
  static const struct {
    size_t chunk, bytes, batch;
  } cases[] = {{1, 2000, 0},        {2, 5000, 100},    {3, 5000, 1},       {5, 20000, 0},
               {61, 100000, 5000},  {1400, 300000, 0}, {16384, 500000, 0}, {16401, 500000, 16384},
               {65536, 2000000, 0}, {65536, 2000, 1},  {65536, MOST, 0},   {65536, 1000000, 16385}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    pair p = fresh();
    p.client.to_send = cases[i].bytes;
    p.server.to_send = cases[i].bytes + 1;
    p.client.batch = p.server.batch = cases[i].batch;
    assert_int_equal(pair_open(&p), 0);
    long left = 2000000;
    while (--left && (p.server.received < p.client.to_send || p.client.received < p.server.to_send))
      turn(&p, cases[i].chunk);
    assert_int_equal(p.client.connect_rc, 0);
    assert_int_equal(p.server.connect_rc, 0);
    assert_int_equal(p.server.received, p.client.to_send);
    assert_int_equal(p.client.received, p.server.to_send);
    assert_false(p.client.wrong || p.server.wrong);
    /* TLS's own bytes are counted, and are few. */
    size_t raw = p.passed[0];
    assert_true(io_socket_sent(p.client.socket) >= raw);
    if (!cases[i].batch) assert_in_range(raw, p.client.to_send, p.client.to_send * 11 / 10 + 3000);
    /* The client ends; the server hears it properly, and answers still. */
    io_socket_shutdown(p.client.socket);
    assert_int_equal(io_socket_write(p.client.socket, &(struct iovec){pattern, 1}, 1), CAW_ESTATE);
    for (left = 200000; --left && !p.server.ended;) turn(&p, cases[i].chunk);
    assert_int_equal(p.server.ended, 1);
    assert_int_equal(p.server.end_rc, CAW_EEND);
    assert_string_equal(p.server.why, "");
    p.server.to_send += 1000;
    send_more(&p.server);
    for (left = 200000; --left && p.client.received < p.server.to_send;) turn(&p, cases[i].chunk);
    assert_int_equal(p.client.received, p.server.to_send);
    assert_false(p.client.wrong);
    io_socket_close(p.server.socket);
    p.server.socket = NULL;
    for (left = 200000; --left && !p.client.ended;) turn(&p, cases[i].chunk);
    assert_int_equal(p.client.end_rc, CAW_EEND);
    assert_string_equal(p.client.why, "");
    pair_close(&p);
  }
}

/* ---- Cuts ---- */

/* Signatures are not all of the same length: nor are handshakes. */
#define VARIES 16

/* How many bytes a handshake and a byte each way take from each side. */
static void measure(size_t want[2]) {
  pair p = fresh();
  p.client.to_send = p.server.to_send = 1;
  assert_int_equal(pair_open(&p), 0);
  for (long left = 10000; --left && (!p.server.received || !p.client.received);) turn(&p, 65536);
  want[0] = p.passed[0];
  want[1] = p.passed[1];
  pair_close(&p);
}

/* After `n` bytes from side `i` nothing more comes; then the connection is cut. */
static void cut_at(int i, size_t n, bool last) {
  pair p = fresh();
  p.client.to_send = p.server.to_send = 1;
  assert_int_equal(pair_open(&p), 0);
  p.allowed[i] = n;
  for (int turns = 0; turns < 10; turns++) turn(&p, 65536);
  end *cut = i ? &p.client : &p.server;
  /* It waits, with little in its hands. */
  assert_in_range(failing.bytes, 1, 400000);
  if (cut->connected) assert_int_equal(cut->connect_rc, 0);
  else assert_string_equal(io_socket_why(cut->socket), "the TLS handshake took too long");
  if (!last) assert_int_equal(cut->received, 0);
  shutdown(p.fd[!i], SHUT_WR);
  for (int turns = 0; turns < 100000 && !cut->ended && !(cut->connected && cut->connect_rc);
       turns++)
    turn(&p, 65536);
  bool early = !cut->ended;
  if (early) {
    assert_int_equal(cut->connect_rc, CAW_ECONN);
    assert_string_equal(cut->why, i ? "the server closed the connection in the TLS handshake"
                                    : "the client closed the connection in the TLS handshake");
  } else {
    assert_int_equal(cut->end_rc, CAW_EEND);
    assert_string_equal(cut->why, "the peer closed the connection without TLS's close_notify: "
                                  "what it sent may be cut short");
  }
  assert_int_equal(cut->connected, 1);
  pair_close(&p);
}

static void a_cut_after_every_byte(void **state) {
  size_t want[2];
  (void)state;
  measure(want);
  assert_in_range(want[0], 200, 3000);
  assert_in_range(want[1], 500, 3000);
  for (int i = 0; i < 2; i++)
    for (size_t n = 0; n < want[i]; n++) cut_at(i, n, n + VARIES >= want[i]);
}

/* ---- Standstills ---- */

/* Everything stands still in the middle of a handshake, for longer than the server gives it:
 * with the client's last words on their way, and with its first. */
static void a_standstill_is_not_the_clients(void **state) {
  (void)state;
  for (int turns = 0; turns < 3; turns++) {
    const struct timespec still = {1, 200000000};
    pair p = fresh();
    p.time = 1000000000;
    assert_int_equal(pair_open(&p), 0);
    for (int i = 0; i < turns; i++) turn(&p, 65536);
    assert_int_equal(p.server.connected, 0);
    nanosleep(&still, NULL);
    for (int i = 0; i < 1000 && !p.server.connected; i++) turn(&p, 65536);
    assert_string_equal(p.server.why, "");
    assert_int_equal(p.server.connected, 1);
    assert_int_equal(p.server.connect_rc, 0);
    pair_close(&p);
  }
}

/* ---- Back-pressure ---- */

static void what_waits_is_bounded(void **state) {
  (void)state;
  pair p = fresh();
  assert_int_equal(pair_open(&p), 0);
  for (int i = 0; i < 100 && !(p.client.connected && p.server.connected); i++) turn(&p, 65536);
  for (int i = 0; i < 10; i++) turn(&p, 65536);
  size_t before = failing.bytes;
  /* The relay takes nothing: the kernel is full soon. */
  p.allowed[0] = p.passed[0];
  p.client.to_send = SIZE_MAX / 2;
  send_more(&p.client);
  for (int i = 0; i < 20; i++) turn(&p, 65536);
  assert_true(io_socket_waits(p.client.socket));
  size_t stuck = p.client.sent;
  assert_in_range(failing.bytes - before, 1, 65536 + 16384 * 2 + 4096);
  assert_int_equal(io_socket_write(p.client.socket, &(struct iovec){pattern, 100}, 1), 0);
  assert_int_equal(p.client.n_writable, 0);
  /* The receiver does not read: what it was given at once is kept, no more. */
  p.client.to_send = stuck + 3000000;
  p.server.pause = true;
  p.allowed[0] = SIZE_MAX;
  for (int i = 0; i < 400; i++) turn(&p, 65536);
  assert_in_range(p.server.received, 1, 65536);
  assert_in_range(failing.bytes - before, 1, 65536 + 16384 * 2 + 4096 + 65536 + 4096);
  size_t held = p.server.received;
  /* One more each time that it reads on. */
  io_socket_read(p.server.socket, true);
  for (int i = 0; i < 20; i++) turn(&p, 65536);
  assert_in_range(p.server.received, held + 1, held + 65536);
  p.server.pause = false;
  io_socket_read(p.server.socket, true);
  for (int i = 0; i < 100000 && p.server.received < p.client.to_send; i++) turn(&p, 65536);
  assert_int_equal(p.server.received, p.client.to_send);
  assert_false(p.server.wrong);
  assert_in_range(p.client.n_writable, 1, 10000);
  assert_false(io_socket_waits(p.client.socket));
  /* All that was for this is given back. */
  assert_in_range(failing.bytes, 1, before + 1000);
  pair_close(&p);
}

/* ---- Memory ---- */

/* One exchange in which the n-th allocation fails; did it? */
static bool exchange_with_failure(long n) {
  pair p = fresh();
  p.client.to_send = p.server.to_send = 200000;
  fail_at(n);
  int rc = pair_open(&p);
  if (!rc) {
    bool done = false;
    for (int turns = 0; turns < 3000 && !done; turns++) {
      turn(&p, 65536);
      /* A paused reader makes it keep what came. */
      if (turns % 7 == 0 && p.server.socket && p.server.connected && !p.server.connect_rc)
        io_socket_read(p.server.socket, turns % 14 == 0);
      end *ends[] = {&p.client, &p.server};
      done = true;
      for (int i = 0; i < 2; i++) {
        end *e = ends[i];
        bool failed = (e->connected && e->connect_rc) || e->ended;
        /* Who hears of a failure closes, as the owner does. */
        if (failed && e->socket) {
          io_socket_close(e->socket);
          e->socket = NULL;
        }
        if (e->socket && e->received < 200000) done = false;
      }
    }
    assert_true(done);
    assert_false(p.client.wrong || p.server.wrong);
  } else {
    assert_int_equal(rc, CAW_ENOMEM);
  }
  bool failed = failing.failed;
  if (!failed) {
    assert_int_equal(p.client.received, 200000);
    assert_int_equal(p.server.received, 200000);
  }
  fail_at(0);
  pair_close(&p);
  return failed;
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  long n = 1, before = failing.live;
  while (exchange_with_failure(n)) {
    n++;
    assert_int_equal(failing.live, before);
  }
  assert_in_range(n, 10, 1000);
}

/* Makes and reloads credentials while the n-th allocation fails; did it? */
static bool credentials_with_failure(long n) {
  const certs *all = certs_good();
  caw_server_credentials *server = NULL;
  caw_channel_credentials *channel = NULL;
  char why[256];
  const caw_tls_server_options so = {.size = sizeof(so),
                                     .cert = all->server.cert,
                                     .key = all->server.key,
                                     .client_ca = all->ca.cert,
                                     .client_auth = CAW_TLS_CLIENT_REQUIRED};
  const caw_tls_client_options co = {.size = sizeof(co),
                                     .ca = all->ca.cert,
                                     .server_name = "localhost"};
  fail_at(n);
  int rc = caw_tls_server_new(&server, &so, why, sizeof(why));
  if (!rc) rc = caw_tls_server_reload(server, &so, why, sizeof(why));
  if (!rc) rc = caw_tls_client_new(&channel, &co, why, sizeof(why));
  if (!rc) rc = caw_tls_client_reload(channel, &co, why, sizeof(why));
  bool failed = failing.failed;
  fail_at(0);
  assert_int_equal(rc, failed ? CAW_ENOMEM : 0);
  assert_string_equal(why, failed ? "out of memory" : "");
  caw_server_credentials_unref(server);
  caw_channel_credentials_unref(channel);
  return failed;
}

static void credentials_may_lack_memory(void **state) {
  (void)state;
  long n = 1, before = failing.live;
  for (; credentials_with_failure(n); n++) assert_int_equal(failing.live, before);
  assert_int_equal(failing.live, before);
  assert_in_range(n, 3, 100);
}

static int set_up(void **state) {
  int rc = failing_begin(state);
  fresh();
  return rc;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_chunks_make_the_same_bytes),
      cmocka_unit_test(a_cut_after_every_byte),
      cmocka_unit_test(a_standstill_is_not_the_clients),
      cmocka_unit_test(what_waits_is_bounded),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(credentials_may_lack_memory),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
