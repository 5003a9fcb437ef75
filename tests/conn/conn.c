/* One connection between a socket pair, without server or channel: how it
 * begins, is read and written, is told off, drains and ends. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "conn/call.h"
#include "conn/conn.h"
#include "io/address.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- The rig: a connection of ours, and a peer made of a bare session ---- */

typedef struct rig {
  caw_loop *loop;
  conn_config config;
  conn *c;
  int fd; /* the peer's end; -1: closed */
  h2_session *peer;
  int ready, goaways, capacity, closed, opened, done;
  int rc;
  char why[128];
  bool refuse;            /* on_open answers NULL */
  bool begins;            /* the handlers of new calls have begun */
  bool in_turn;           /* they begin in the first turn that is not put off */
  int deferred, admitted; /* turns of calls with a timeout that allowance_defers put off, or not */
  caw_call *call;         /* the last that was opened */
  uint64_t timeout, left; /* of new calls, if not 0: asked for, and until their deadline */
  /* What the peer heard. */
  int settings, acks, peer_goaways, resets, answers;
  uint32_t last_id, reset_code;
  h2_stream *stream;
  uint64_t opaque;
} rig;

static const caw_method any_method = {"/any/Method", CAW_UNARY, NULL, NULL};

/* As server_dispatch: is it put off, or does its handler begin? */
static void admit(caw_call *call) {
  rig *r = call->data;
  if (allowance_defers(call)) {
    r->deferred++;
    return;
  }
  if (r->in_turn && !call->method) {
    call->method = &any_method;
    call->deadline = call->joined + call->rpc.timeout;
  }
  r->admitted++;
}

static void dispatch(caw_call *call) {
  bool drain;
  call_take_news(call, &drain);
  if (call->rpc.timeout != UINT64_MAX && call->rpc.state != RPC_DONE && call->rpc.headers_received)
    admit(call);
  if (call->rpc.headers_received && call->rpc.state == RPC_HALF_CLOSED_REMOTE) {
    const caw_status ok = {0};
    call->served = true;
    assert_int_equal(rpc_call_end(&call->rpc, &ok, NULL, NULL), 0);
    call_set(call, CALL_LOCAL_END);
    conn_flush_later(call->conn);
  }
  if (call->rpc.state != RPC_DONE) return;
  ((rig *)call->data)->done++;
  call_release(call);
}

static const call_class stub_class = {.size = sizeof(caw_call),
                                      .server = true,
                                      .dispatch = dispatch};

static caw_call *on_open(void *owner, conn *c) {
  rig *r = owner;
  (void)c;
  if (r->refuse) return NULL;
  caw_call *call = call_new(&stub_class, r->loop, 1000, 1000);
  assert_non_null(call);
  call->data = r;
  if (r->timeout) {
    call->rpc.timeout = r->timeout;
    call->deadline = io_now(r->loop) + r->left;
  }
  if (r->begins) call->method = &any_method;
  r->opened++;
  r->call = call;
  return call;
}

static void on_ready(void *owner, conn *c) {
  (void)c;
  ((rig *)owner)->ready++;
}

static void on_goaway(void *owner, conn *c) {
  (void)c;
  ((rig *)owner)->goaways++;
}

static void on_capacity(void *owner, conn *c) {
  (void)c;
  ((rig *)owner)->capacity++;
}

static void on_closed(void *owner, conn *c, int rc, const char *why) {
  rig *r = owner;
  assert_ptr_equal(c, r->c);
  r->closed++;
  r->rc = rc;
  snprintf(r->why, sizeof(r->why), "%s", why);
  r->c = NULL;
}

static const conn_events events = {on_open, on_ready, on_goaway, on_capacity, on_closed, NULL};

static void *peer_stream(void *ctx, h2_stream *stream) {
  ((rig *)ctx)->stream = stream;
  return ctx;
}
static void peer_field(void *ctx, void *user, const h2_field *field) {
  (void)ctx, (void)user, (void)field;
}
static void peer_headers(void *ctx, void *user, unsigned flags) {
  (void)user, (void)flags;
  ((rig *)ctx)->answers++;
}
static void peer_data(void *ctx, void *user, const uint8_t *data, size_t len) {
  (void)ctx, (void)user, (void)data, (void)len;
}
static void peer_end(void *ctx, void *user) {
  (void)ctx, (void)user;
}
static void peer_sent(void *ctx, void *user, size_t len) {
  (void)ctx, (void)user, (void)len;
}
static void peer_close(void *ctx, void *user, uint32_t code, bool remote) {
  rig *r = ctx;
  (void)user;
  if (remote && code) {
    r->resets++;
    r->reset_code = code;
  }
}
static void peer_settings(void *ctx) {
  ((rig *)ctx)->settings++;
}
static void peer_goaway(void *ctx, uint32_t last_id, uint32_t code, caw_str debug) {
  rig *r = ctx;
  (void)code, (void)debug;
  r->peer_goaways++;
  r->last_id = last_id;
}
static void peer_ack(void *ctx, uint64_t opaque) {
  rig *r = ctx;
  r->acks++;
  r->opaque = opaque;
}

static const h2_events peer_events = {peer_stream, peer_field, peer_headers, peer_data,
                                      peer_end,    peer_sent,  peer_close,   peer_settings,
                                      peer_goaway, peer_ack,   NULL};

static void start(rig *r, uint32_t max_live, uint64_t ready_timeout) {
  int fds[2];
  memset(r, 0, sizeof(*r));
  assert_int_equal(caw_loop_new(&r->loop), 0);
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  r->fd = fds[1];
  r->config = (conn_config){.h2 = {.max_streams = 200}, .ready_timeout = ready_timeout};
  assert_int_equal(conn_adopt(&r->c, r->loop, fds[0], &r->config, raw_server_credentials, max_live,
                              &events, r),
                   0);
  raw_begin(r->fd, false);
  while (!r->closed && !raw_shake(r->fd)) caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
}

static void hang_up(rig *r) {
  if (r->fd >= 0) raw_close(r->fd);
  r->fd = -1;
}

static void stop(rig *r) {
  hang_up(r);
  if (r->c) conn_close(r->c, CAW_ECLOSED, "the test is over");
  h2_session_free(r->peer);
  for (int i = 0; i < 3; i++) caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
  assert_int_equal(r->opened, r->done);
  assert_int_equal(r->closed, 1);
  caw_loop_free(r->loop);
}

/* The peer writes what it has to say. */
static void say(rig *r) {
  struct iovec parts[16];
  int n;
  while (r->fd >= 0 && (n = h2_output(r->peer, parts, 16)) > 0) {
    for (int i = 0; i < n; i++) {
      ssize_t sent = raw_write(r->fd, parts[i].iov_base, parts[i].iov_len);
      if (sent > 0) h2_written(r->peer, (size_t)sent);
      if (sent < (ssize_t)parts[i].iov_len) return;
    }
  }
}

/* The peer reads what there is. */
static void hear(rig *r) {
  uint8_t bytes[65536];
  ssize_t n;
  while (r->fd >= 0 && (n = raw_read(r->fd, bytes, sizeof(bytes))) >= 0) {
    if (n == 0) {
      hang_up(r);
      return;
    }
    h2_recv(r->peer, bytes, (size_t)n);
  }
}

/* Both go on until *count is not less than `least`; at most 10 s. */
static void until(rig *r, const int *count, int least) {
  uint64_t end = caw_loop_now(r->loop) + UINT64_C(10000000000);
  while (*count < least) {
    say(r);
    caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
    hear(r);
    if (caw_loop_now(r->loop) > end) fail_msg("waited too long");
  }
}

static void greet(rig *r) {
  assert_int_equal(h2_session_new(&r->peer, H2_CLIENT, NULL, &peer_events, r), 0);
  until(r, &r->settings, 1);
  until(r, &r->ready, 1);
}

static h2_stream *request_within(rig *r, bool whole, const char *timeout) {
  const h2_field fields[] = {{CAW_STR(":method"), CAW_STR("POST"), 0, 0},
                             {CAW_STR(":scheme"), CAW_STR("http"), 0, 0},
                             {CAW_STR(":path"), CAW_STR("/a/b"), 0, 0},
                             {CAW_STR(":authority"), CAW_STR("x"), 0, 0},
                             {CAW_STR("content-type"), CAW_STR("application/grpc"), 0, 0},
                             {CAW_STR("grpc-timeout"), caw_str_from(timeout), 0, 0}};
  h2_stream *st;
  assert_int_equal(h2_request(r->peer, fields, timeout ? 6 : 5, r, &st), 0);
  if (whole) assert_int_equal(h2_finish(r->peer, st, NULL, 0), 0);
  return st;
}

static h2_stream *request(rig *r, bool whole) {
  return request_within(r, whole, NULL);
}

#define LONG UINT64_C(10000000000)
#define MS   UINT64_C(1000000)

/* ---- Beginnings ---- */

static void becomes_ready(void **state) {
  (void)state;
  rig r;
  start(&r, 100, LONG);
  assert_int_equal(r.ready, 0);
  greet(&r);
  request(&r, true);
  until(&r, &r.answers, 1);
  assert_int_equal(r.opened, 1);
  until(&r, &r.done, 1);
  assert_true(r.capacity > 0);
  assert_int_equal(r.c->live, 0);
  hang_up(&r);
  until(&r, &r.closed, 1);
  assert_int_equal(r.rc, CAW_ECLOSED);
  assert_string_equal(r.why, "the peer closed the connection");
  stop(&r);
}

static void says_nothing(void **state) {
  (void)state;
  rig r;
  uint64_t time = 10 * MS;
  do { /* on a busy machine it may be over in the TLS handshake */
    time *= 2;
    start(&r, 100, time);
    if (!r.closed) assert_int_equal(raw_write(r.fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 24);
    while (!r.closed) caw_loop_run(r.loop, CAW_LOOP_ONCE);
    assert_int_equal(r.rc, CAW_ETIMEDOUT);
    stop(&r);
  } while (raw_through && strstr(r.why, "TLS handshake") && time < 5000 * MS);
  assert_string_equal(r.why, "the peer did not begin HTTP/2 in time");
}

/* The process stands still for longer than the peer has time: that was not the peer's. But one
 * that says nothing afterwards either has its end. */
static void stands_still(void **state) {
  (void)state;
  for (int speaks = 0; speaks < 2; speaks++) {
    rig r;
    uint64_t time = 100 * MS;
    for (;; time *= 2) { /* on a busy machine it may be over in the TLS handshake */
      start(&r, 100, time);
      while (!r.closed && !r.c->connected) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
      if (!raw_through || !r.closed) break;
      if (time > 5000 * MS) fail_msg("it does not connect: %s", r.why);
      stop(&r);
    }
    usleep((useconds_t)(3 * time / 1000));
    caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    assert_int_equal(r.closed, 0);
    if (speaks) {
      /* It is read before the timer is looked at, however long this takes. */
      assert_int_equal(h2_session_new(&r.peer, H2_CLIENT, NULL, &peer_events, &r), 0);
      say(&r);
      until(&r, &r.ready, 1);
    } else {
      while (!r.closed) caw_loop_run(r.loop, CAW_LOOP_ONCE);
      assert_string_equal(r.why, "the peer did not begin HTTP/2 in time");
    }
    stop(&r);
  }
}

/* The same while our SETTINGS are not acknowledged. */
static void stands_still_before_the_ack(void **state) {
  (void)state;
  rig r;
  conn_limits limits = default_limits;
  limits.settings_ack = 100 * MS;
  start(&r, 100, LONG);
  r.config.limits = &limits;
  assert_int_equal(h2_session_new(&r.peer, H2_CLIENT, NULL, &peer_events, &r), 0);
  say(&r);
  while (!r.ready) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  usleep(300000);
  caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  assert_int_equal(r.closed, 0);
  until(&r, &r.settings, 1);
  while (!r.closed && !h2_settings_acked(r.c->rpc.h2)) {
    say(&r);
    caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  }
  assert_int_equal(r.closed, 0);
  stop(&r);
}

static void nobody_listens(void **state) {
  (void)state;
  rig r;
  io_target target;
  const char *why;
  memset(&r, 0, sizeof(r));
  r.fd = -1;
  assert_int_equal(caw_loop_new(&r.loop), 0);
  /* A port that was free a moment ago. */
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof(a);
  assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
  char text[64];
  snprintf(text, sizeof(text), "127.0.0.1:%d", ntohs(a.sin_port));
  assert_int_equal(io_target_parse(&target, caw_str_from(text), false, &why), 0);
  const conn_config config = {.ready_timeout = LONG};
  assert_int_equal(conn_connect(&r.c, r.loop, &target.addresses[0], &config, &events, &r), 0);
  while (!r.closed) caw_loop_run(r.loop, CAW_LOOP_ONCE);
  assert_int_equal(r.rc, CAW_ECONN);
  assert_string_equal(r.why, "Connection refused");
  close(fd);
  stop(&r);
}

/* ---- Offences ---- */

static void garbage(void **state) {
  (void)state;
  rig r;
  uint8_t bytes[256];
  start(&r, 100, LONG);
  assert_int_equal(raw_write(r.fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
  /* It says why, closes its side and waits for ours. */
  size_t got = 0;
  for (;;) {
    caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    ssize_t n = raw_read(r.fd, bytes + got, sizeof(bytes) - got);
    if (n == 0) break;
    if (n > 0) got += (size_t)n;
    else assert_int_equal(errno, EAGAIN);
  }
  size_t last = 0, len = 0;
  for (size_t at = 0; at + 9 <= got; at += 9 + len) {
    len = (size_t)bytes[at + 1] << 8 | bytes[at + 2];
    last = at;
  }
  assert_int_equal(bytes[last + 3], 7); /* GOAWAY, ... */
  assert_int_equal(bytes[last + 9 + 7], H2_PROTOCOL_ERROR);
  assert_int_equal(r.closed, 0);
  hang_up(&r);
  while (!r.closed) caw_loop_run(r.loop, CAW_LOOP_ONCE);
  assert_int_equal(r.rc, CAW_EPROTO);
  stop(&r);
}

/* More calls than it may have: refused, while those that are there go on. */
static void too_many_calls(void **state) {
  (void)state;
  rig r;
  start(&r, 3, LONG);
  greet(&r);
  h2_stream *first[3];
  for (int i = 0; i < 3; i++) first[i] = request(&r, false);
  for (int i = 0; i < 2; i++) request(&r, true);
  until(&r, &r.resets, 2);
  assert_int_equal(r.reset_code, H2_REFUSED_STREAM);
  assert_int_equal(r.opened, 3);
  assert_int_equal(r.c->refused, 2);
  assert_int_equal(r.c->live, 3);
  for (int i = 0; i < 3; i++) assert_int_equal(h2_finish(r.peer, first[i], NULL, 0), 0);
  until(&r, &r.answers, 3);
  request(&r, true);
  until(&r, &r.answers, 4);
  stop(&r);
}

/* Calls that were given up before they had their turn leave their places at once: as
 * many that follow in the same read are taken. */
static void places_of_calls_given_up(void **state) {
  (void)state;
  rig r;
  h2_stream *first[50];
  start(&r, 50, LONG);
  greet(&r);
  for (int i = 0; i < 50; i++) first[i] = request(&r, false);
  for (int i = 0; i < 50; i++) assert_int_equal(h2_reset(r.peer, first[i], H2_CANCEL), 0);
  for (int i = 0; i < 50; i++) request(&r, true);
  until(&r, &r.answers, 50);
  assert_int_equal(r.c->refused, 0);
  assert_int_equal(r.opened, 100);
  stop(&r);
}

/* A request by hand, whole. */
static size_t raw_request(uint8_t *to, uint32_t id) {
  static const uint8_t block[] = {0x83, 0x86, 0x44, 4, '/', 'a', '/', 'b', 0x41, 1, 'x'};
  const uint8_t head[] = {0,
                          0,
                          sizeof(block),
                          1,
                          5,
                          (uint8_t)(id >> 24),
                          (uint8_t)(id >> 16),
                          (uint8_t)(id >> 8),
                          (uint8_t)id};
  memcpy(to, head, sizeof(head));
  memcpy(to + sizeof(head), block, sizeof(block));
  return sizeof(head) + sizeof(block);
}

/* Requests without end that are refused, from a peer that does not read: the
 * connection stops reading, and goes on when the peer has read. */
static void unread_answers(void **state) {
  (void)state;
  rig r;
  uint8_t bytes[65536];
  size_t len = 0, sent = 0;
  uint32_t id = 1;
  start(&r, 100, LONG);
  greet(&r);
  r.refuse = true;
  for (;;) {
    if (sent == len) {
      for (len = sent = 0; len < 4000; id += 2) len += raw_request(bytes + len, id);
      assert_true(id < 10000000);
    }
    ssize_t n = raw_write(r.fd, bytes + sent, len - sent);
    if (n > 0) sent += (size_t)n;
    caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    if (n < 0 && r.c->throttled) break;
  }
  assert_int_equal(r.closed, 0);
  uint64_t refused = r.c->refused;
  assert_true(h2_queued(r.c->rpc.h2) <= 1000 + 4 * 100 + sizeof(bytes) / 20);
  for (int i = 0; i < 100; i++) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  assert_int_equal(r.c->refused, refused); /* it does not read */
  uint8_t answers[4096];
  while (r.c->throttled) {
    while (raw_read(r.fd, answers, sizeof(answers)) > 0) continue;
    caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  }
  while (r.c->refused == refused) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  assert_int_equal(r.closed, 0);
  stop(&r);
}

/* The same while a long answer is on its way to a peer that reads slowly: reading goes
 * on when what it made us owe is written, not only when the answer is. */
static void unread_answers_among_payload(void **state) {
  (void)state;
  static uint8_t message[8 << 20];
  const caw_str text = {(const char *)message, sizeof(message)};
  uint8_t bytes[8192],
      windows[26] = {0, 0, 4, 8, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 4, 8, 0, 0, 0, 0, 1, 4, 0, 0, 0};
  rig r;
  size_t len = 0, sent = 0, heard = 0;
  caw_payload *payload;
  start(&r, 100, LONG);
  greet(&r);
  request(&r, false);
  until(&r, &r.opened, 1);
  assert_int_equal(raw_write(r.fd, windows, sizeof(windows)), sizeof(windows));
  assert_int_equal(caw_payload_new(&payload, &caw_type_bytes, &text), 0);
  assert_int_equal(rpc_call_send(&r.call->rpc, payload, NULL), 0);
  caw_payload_unref(payload);
  conn_flush_later(r.c);
  r.refuse = true;
  for (uint32_t id = 3; !r.c->throttled;) {
    if (sent == len)
      for (len = sent = 0; len < 4000; id += 2) len += raw_request(bytes + len, id);
    ssize_t n = raw_write(r.fd, bytes + sent, len - sent);
    if (n > 0) sent += (size_t)n;
    caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    assert_true(id < 1000000);
  }
  for (ssize_t n; r.c->throttled && heard<sizeof(message) / 2; heard += n> 0 ? (size_t)n : 0) {
    n = raw_read(r.fd, bytes, sizeof(bytes));
    caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  }
  assert_true(heard < sizeof(message) / 2);
  assert_int_equal(r.closed, 0);
  stop(&r);
}

/* ---- Allowances ---- */

/* Calls that the client gives up; `excuses`: what it has before each; `pause`: how long (ns) it
 * waits after the first two of three; `away`: for how long (us) the server does not run then. */
static void give_up_within(rig *r, int calls, const char *timeout, uint32_t excuses, uint64_t pause,
                           unsigned away) {
  for (int i = 0; i < calls && !r->closed; i++) {
    int before = r->opened;
    r->c->excuses = excuses;
    h2_stream *st = request_within(r, false, timeout);
    say(r);
    for (int n = 0; n < 1000 && r->opened == before && !r->closed; n++)
      caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
    if (r->closed) return;
    uint64_t at = i % 3 < 2 ? caw_loop_now(r->loop) + pause : 0;
    while (caw_loop_now(r->loop) < at) caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
    caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
    assert_int_equal(h2_reset(r->peer, st, H2_CANCEL), 0);
    say(r);
    usleep(away);
    caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
  }
}

static void give_up(rig *r, int calls) {
  give_up_within(r, calls, NULL, 1000, 0, 0);
}

/* A client that does nothing but give calls up is cut off after some hundreds. */
static void cuts_off_who_resets(void **state) {
  (void)state;
  rig r;
  start(&r, 100, LONG);
  greet(&r);
  give_up(&r, 5000);
  while (!r.closed) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  assert_int_equal(r.rc, CAW_EPROTO);
  assert_string_equal(r.why, "the peer broke HTTP/2: too many streams that ended early");
  /* 200 at once, and what the time of this test is worth: it takes no 10 s. */
  assert_true(r.opened >= 200 && r.opened < 200 + 1000);
  stop(&r);
}

/* Whose calls are about over when it gives them up has no choice. But when a handler has begun,
 * only for those for which it waited, those that have lasted although we were away, and some
 * others. */
static void excuses_deadlines(void **state) {
  (void)state;
  static const struct {
    const char *timeout;
    uint32_t excuses;
    bool begins;
    uint64_t patience;
    unsigned away;
    int calls;
    bool closed;
  } cases[] = {{"1n", 1, false, 0, 0, 3000, false},    {"15m", 1, false, 0, 0, 3000, false},
               {"10S", 1, false, 0, 0, 3000, false},   {"15m", 0, false, 0, 0, 3000, true},
               {"10S", 1000, true, 0, 0, 3000, true},  {"20m", 1000, true, 0, 0, 3000, true},
               {"5m", 1000, true, 0, 0, 3000, true},   {"1m", 20, true, 0, 0, 3000, false},
               {"1m", 19, true, 0, 0, 3000, true},     {"100u", 19, true, 0, 0, 3000, true},
               {"20m", 1000, true, MS, 0, 1000, true}, {"2m", 1, true, MS, 0, 1200, false},
               {"2m", 0, true, MS, 0, 1200, true},     {"5m", 1, true, 0, 3000, 400, false},
               {"20m", 1, true, 0, 1000, 450, true}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    rig r;
    start(&r, 100, LONG);
    conn_limits limits = default_limits;
    limits.resets_per_second = 0; /* nothing depends on how long it takes */
    r.config.limits = &limits;
    greet(&r);
    r.begins = cases[i].begins;
    give_up_within(&r, cases[i].calls, cases[i].timeout, cases[i].excuses, cases[i].patience,
                   cases[i].away);
    for (int n = 0; n < 100; n++) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    if (r.closed != cases[i].closed)
      print_error("%s, %u, %d, %llu, %u\n", cases[i].timeout, cases[i].excuses, cases[i].begins,
                  (unsigned long long)cases[i].patience, cases[i].away);
    assert_int_equal(r.closed, cases[i].closed);
    stop(&r);
  }
}

/* More than the first turns read: a frame of nobody's type. */
static const uint8_t filler[9 + 5000] = {5000 >> 8 >> 8, 5000 >> 8, 5000 & 255, 0x42};

/* A reset that was there when its call was read is none of a late server. */
static void excuses_what_came_later(void **state) {
  (void)state;
  int late = 0;
  for (int later = 0; later < 2; later++) {
    rig r;
    start(&r, 100, LONG);
    greet(&r);
    r.begins = true;
    uint32_t hurried = r.c->hurried;
    uint64_t began = io_now(r.loop);
    h2_stream *st = request_within(&r, false, "5m");
    say(&r);
    if (!later) {
      assert_int_equal(raw_write(r.fd, filler, sizeof(filler)), sizeof(filler));
      assert_int_equal(h2_reset(r.peer, st, H2_CANCEL), 0);
      say(&r);
    }
    while (!r.opened) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    if (later) assert_int_equal(h2_reset(r.peer, st, H2_CANCEL), 0);
    say(&r);
    assert_int_equal(r.done, 0);
    usleep(3000);
    until(&r, &r.done, 1);
    /* One that has lived for 50 ms is excused: once more when the machine has taken those. */
    if (!later && io_now(r.loop) - began >= 50 * MS && ++late < 100) later--;
    else assert_int_equal(hurried - r.c->hurried, !later);
    stop(&r);
  }
}

/* Not beyond a call's deadline, nor for 50 ms, nor when nothing more is read. */
static void defers_no_longer(void **state) {
  (void)state;
  static const struct {
    const char *timeout;
    unsigned away; /* microseconds */
    bool pauses;
  } cases[] = {{"20m", 25000, false}, {"1S", 60000, false}, {"1S", 0, true}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    rig r;
    start(&r, 100, LONG);
    greet(&r);
    r.c->hurried = 0;
    request_within(&r, false, cases[i].timeout);
    say(&r);
    for (int n = 0; n < 3; n++)
      assert_int_equal(raw_write(r.fd, filler, sizeof(filler)), sizeof(filler));
    while (!r.opened) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    usleep(cases[i].away);
    if (cases[i].pauses) io_socket_read(r.c->socket, false);
    caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    assert_int_equal(r.admitted, 1);
    stop(&r);
  }
}

/* Calls with deadlines wait until what is near behind them is read, and after hurried ones until
 * all is that was there when they were. */
static void defers_calls(void **state) {
  (void)state;
  static const struct {
    const char *timeout;
    bool hurried;
    int more;     /* frames of 5,000 octets */
    int deferred; /* ten at a time: of 4, 8, 16 and 32 KiB */
  } cases[] = {{"20m", false, 0, 0},   {"20m", true, 0, 0},  {"20m", false, 1, 10},
               {"20m", true, 1, 10},   {"60m", true, 1, 10}, {"5S", false, 1, 10},
               {"20m", false, 11, 20}, {"20m", true, 11, 30}};
  int late = 0;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    rig r;
    h2_stream *st[10];
    start(&r, 100, LONG);
    greet(&r);
    request(&r, true);
    until(&r, &r.answers, 1);
    if (cases[i].hurried) r.c->hurried = 0;
    uint64_t began = io_now(r.loop);
    for (int n = 0; n < 10; n++) st[n] = request_within(&r, false, cases[i].timeout);
    say(&r);
    for (int n = 0; n < cases[i].more; n++)
      assert_int_equal(raw_write(r.fd, filler, sizeof(filler)), sizeof(filler));
    for (int n = 0; n < 5; n++) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    /* Calls wait for 20 ms at most: once more when the machine has taken those. */
    if (io_now(r.loop) - began >= 20 * MS && ++late < 100) {
      i--;
    } else {
      if (r.deferred != cases[i].deferred) print_error("case %zu\n", i);
      assert_int_equal(r.deferred, cases[i].deferred);
    }
    assert_int_equal(r.admitted, 10);
    uint32_t before = r.c->excuses;
    for (int n = 0; n < 10; n++) assert_int_equal(h2_reset(r.peer, st[n], H2_CANCEL), 0);
    say(&r);
    until(&r, &r.done, 1 + 10);
    assert_true(before - r.c->excuses >= 10);
    stop(&r);
  }
}

/* Calls that come to their end make up for hurried ones, too: nobody is suspected for ever. */
static void forgives_hurried_ones(void **state) {
  (void)state;
  rig r;
  start(&r, 100, LONG);
  greet(&r);
  const uint32_t most = r.c->hurried;
  r.c->hurried = 0;
  for (int i = 1; i <= 100; i++) {
    request(&r, true);
    until(&r, &r.answers, i);
  }
  assert_int_equal(r.c->hurried, most);
  stop(&r);
}

/* While the server, or the way to it, stood still, its client went on: it has begun as many calls
 * as there are places, and each time that their deadline was over the next. All of it comes at
 * once then, and no client can do anything about it. */
static void excuses_a_standstill(void **state) {
  (void)state;
  static const struct {
    const char *timeout;
    int calls;
  } cases[] = {{"100m", 500}, {"250m", 400}, {"5S", 400}, {"20m", 400}};
  enum { AT_ONCE = 100 };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    rig r;
    h2_stream *st[AT_ONCE] = {NULL};
    start(&r, AT_ONCE, LONG);
    greet(&r);
    r.in_turn = true;
    for (int n = 0; n < cases[i].calls; n++) {
      if (st[n % AT_ONCE]) assert_int_equal(h2_reset(r.peer, st[n % AT_ONCE], H2_CANCEL), 0);
      st[n % AT_ONCE] = request_within(&r, false, cases[i].timeout);
      /* In large pieces, of which the kernel takes more: whole calls are among them never. */
      if (n % (AT_ONCE / 2) == 0) say(&r);
    }
    /* As the kernel takes it. */
    for (int n = 0; n < 100000 && r.opened < cases[i].calls && !r.closed; n++) {
      caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
      say(&r);
    }
    if (r.closed) print_error("%s: %s\n", cases[i].timeout, r.why);
    assert_int_equal(r.closed, 0);
    assert_int_equal(r.opened, cases[i].calls);
    stop(&r);
  }
}

/* Nor does it count when calls have had their place for a while. */
static void excuses_long_calls(void **state) {
  (void)state;
  rig r;
  h2_stream *st[50];
  start(&r, 100, LONG);
  greet(&r);
  for (int round = 1; round <= 20; round++) {
    for (int i = 0; i < 50; i++) st[i] = request(&r, false);
    say(&r);
    until(&r, &r.opened, 50 * round);
    uint64_t at = io_now(r.loop) + 50 * MS;
    while (io_now(r.loop) < at) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    for (int i = 0; i < 50; i++) assert_int_equal(h2_reset(r.peer, st[i], H2_CANCEL), 0);
    say(&r);
    caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  }
  assert_int_equal(r.closed, 0);
  stop(&r);
}

/* One that has as many calls answered may give up as many. */
static void honest_cancels(void **state) {
  (void)state;
  rig r;
  start(&r, 100, LONG);
  greet(&r);
  for (int i = 1; i <= 1000; i++) {
    request(&r, true);
    until(&r, &r.answers, i);
    give_up(&r, 1);
  }
  assert_int_equal(r.closed, 0);
  assert_int_equal(r.opened, 2000);
  stop(&r);
}

/* Calls that expire are reset by a client about when their time is over here, any
 * number of them; those that have time left are given up. */
static void expired_calls(void **state) {
  (void)state;
  static const uint64_t ms = 1000000;
  const struct {
    uint64_t timeout, left;
    bool honest;
  } cases[] = {
      {1000 * ms, 0, true},           {1010 * ms, 9 * ms, true}, /* asked for as 1,001 ms */
      {100000 * ms, 900 * ms, true},  {20 * ms, 5 * ms, true},   /* the way was shorter this time */
      {10000 * ms, 5000 * ms, false}, {1000 * ms, 1000 * ms, false},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    rig r;
    start(&r, 100, LONG);
    greet(&r);
    r.timeout = cases[i].timeout;
    r.left = cases[i].left;
    r.begins = !cases[i].honest; /* else it does not matter how much is left */
    give_up(&r, 3000);
    for (int k = 0; k < 100 && !cases[i].honest && !r.closed; k++)
      caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    if (r.closed == cases[i].honest) print_error("case %zu: %d calls\n", i, r.opened);
    assert_int_equal(r.closed, !cases[i].honest);
    stop(&r);
  }
}

/* Frames that say nothing, from a peer that reads what they cause. */
static void cuts_off_noise(void **state) {
  (void)state;
  rig r;
  uint8_t bytes[17 * 100];
  long sent = 0;
  start(&r, 100, LONG);
  greet(&r);
  for (size_t i = 0; i < sizeof(bytes); i += 17) {
    static const uint8_t ping[17] = {0, 0, 8, 6};
    memcpy(bytes + i, ping, sizeof(ping));
  }
  while (!r.closed && r.fd >= 0) {
    /* Whole frames only: what does not fit now, is not for this time. */
    if (raw_write(r.fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes)) sent += 100;
    caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    hear(&r);
    assert_true(sent < 1000000);
  }
  while (!r.closed) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  assert_true(sent >= 20000);
  assert_int_equal(r.rc, CAW_EPROTO);
  assert_string_equal(r.why, "the peer broke HTTP/2: too many frames that say nothing");
  stop(&r);
}

/* ---- Endings ---- */

static void set_flag(void *flag) {
  *(int *)flag = 1;
}

/* The drained connection is there until its last call is answered, and no longer:
 * the peer, who hears the end, hangs up. */
static void ends_with_its_call(rig *r, h2_stream *open) {
  assert_int_equal(r->closed, 0);
  assert_int_equal(h2_finish(r->peer, open, NULL, 0), 0);
  until(r, &r->answers, 1);
  until(r, &r->closed, 1);
  assert_int_equal(r->rc, 0);
  assert_string_equal(r->why, "finished");
  stop(r);
}

static void drains_in_two_steps(void **state) {
  (void)state;
  rig r;
  start(&r, 100, LONG);
  greet(&r);
  h2_stream *open = request(&r, false);
  until(&r, &r.opened, 1);
  conn_drain(r.c);
  conn_drain(r.c); /* asked again: nothing more */
  until(&r, &r.peer_goaways, 1);
  assert_int_equal(r.last_id, INT32_MAX);
  until(&r, &r.peer_goaways, 2);
  assert_int_equal(r.last_id, h2_stream_id(open));
  ends_with_its_call(&r, open);
}

/* What the drain has waited for is there: its time is over, and the calls have
 * theirs. */
static void drains_as_long_as_its_calls(void **state) {
  (void)state;
  rig r;
  start(&r, 100, LONG);
  greet(&r);
  h2_stream *open = request(&r, false);
  until(&r, &r.opened, 1);
  conn_drain(r.c);
  until(&r, &r.peer_goaways, 2);
  int later = 0;
  caw_timer *timer;
  assert_int_equal(caw_timer_new(&timer, r.loop, set_flag, &later), 0);
  caw_timer_start(timer, 1200); /* DRAIN_PING_TIME is a second */
  while (!later) caw_loop_run(r.loop, CAW_LOOP_ONCE);
  caw_timer_free(timer);
  ends_with_its_call(&r, open);
}

/* A peer that does not answer the PING of a drain is waited for no longer than a
 * second. */
static void drains_without_an_answer(void **state) {
  (void)state;
  rig r;
  start(&r, 100, LONG);
  greet(&r);
  uint64_t before = caw_loop_now(r.loop);
  conn_drain(r.c);
  while (!r.c->goaway_final) caw_loop_run(r.loop, CAW_LOOP_ONCE);
  assert_true(caw_loop_now(r.loop) - before >= 1000 * MS);
  until(&r, &r.closed, 1);
  assert_int_equal(r.rc, 0);
  stop(&r);
}

static void drains_before_it_is_ready(void **state) {
  (void)state;
  rig r;
  start(&r, 100, LONG);
  conn_drain(r.c);
  uint8_t bytes[256];
  ssize_t n = 1;
  while (n) {
    caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    n = raw_read(r.fd, bytes, sizeof(bytes));
  }
  hang_up(&r);
  until(&r, &r.closed, 1);
  assert_int_equal(r.rc, 0);
  stop(&r);
}

static void stop_waiting(void *user) {
  ((rig *)user)->goaways = -1;
}

/* A client's connection that is not needed any more, to a host that does not answer: the
 * time to connect is still bounded. */
static void drains_while_it_connects(void **state) {
  (void)state;
  rig r;
  int fillers[2];
  io_address a = {.len = sizeof(struct sockaddr_in)};
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof(in);
  caw_timer *watchdog;
  memset(&r, 0, sizeof(r));
  r.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  memcpy(&a.u, &in, sizeof(in));
  assert_int_equal(bind(r.fd, &a.u.any, len), 0);
  assert_int_equal(getsockname(r.fd, &a.u.any, &len), 0);
  assert_int_equal(listen(r.fd, 0), 0);
  for (int i = 0; i < 2; i++) { /* who comes after them is not heard */
    fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    connect(fillers[i], &a.u.any, len);
  }
  assert_int_equal(caw_loop_new(&r.loop), 0);
  assert_int_equal(caw_timer_new(&watchdog, r.loop, stop_waiting, &r), 0);
  caw_timer_start(watchdog, 5000);
  r.config.ready_timeout = 50 * MS;
  assert_int_equal(conn_connect(&r.c, r.loop, &a, &r.config, &events, &r), 0);
  conn_drain(r.c);
  while (!r.closed && !r.goaways) caw_loop_run(r.loop, CAW_LOOP_ONCE);
  assert_int_equal(r.closed, 1);
  assert_int_equal(r.rc, CAW_ETIMEDOUT);
  assert_string_equal(r.why, "connecting took too long");
  caw_timer_free(watchdog);
  for (int i = 0; i < 2; i++) close(fillers[i]);
  close(r.fd);
  r.fd = -1;
  stop(&r);
}

/* Calls hear of the end of their connection, and may outlive it. */
static void ends_under_its_calls(void **state) {
  (void)state;
  rig r;
  start(&r, 100, LONG);
  greet(&r);
  for (int i = 0; i < 5; i++) request(&r, false);
  until(&r, &r.opened, 5);
  conn_close(r.c, CAW_ESYS, "a reason");
  assert_int_equal(r.closed, 1);
  assert_int_equal(r.rc, CAW_ESYS);
  assert_string_equal(r.why, "a reason");
  assert_int_equal(r.done, 0); /* not inside of conn_close */
  stop(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(becomes_ready),
      cmocka_unit_test(says_nothing),
      cmocka_unit_test(stands_still),
      cmocka_unit_test(stands_still_before_the_ack),
      cmocka_unit_test(nobody_listens),
      cmocka_unit_test(garbage),
      cmocka_unit_test(too_many_calls),
      cmocka_unit_test(places_of_calls_given_up),
      cmocka_unit_test(unread_answers),
      cmocka_unit_test(unread_answers_among_payload),
      cmocka_unit_test(cuts_off_who_resets),
      cmocka_unit_test(excuses_deadlines),
      cmocka_unit_test(excuses_what_came_later),
      cmocka_unit_test(defers_no_longer),
      cmocka_unit_test(defers_calls),
      cmocka_unit_test(forgives_hurried_ones),
      cmocka_unit_test(excuses_a_standstill),
      cmocka_unit_test(excuses_long_calls),
      cmocka_unit_test(honest_cancels),
      cmocka_unit_test(expired_calls),
      cmocka_unit_test(cuts_off_noise),
      cmocka_unit_test(drains_in_two_steps),
      cmocka_unit_test(drains_as_long_as_its_calls),
      cmocka_unit_test(drains_without_an_answer),
      cmocka_unit_test(drains_before_it_is_ready),
      cmocka_unit_test(drains_while_it_connects),
      cmocka_unit_test(ends_under_its_calls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
