/* Keepalive, strikes for PINGs, idleness and age of one connection, whose peer is made
 * of bytes: what is sent, when, and how the connection ends. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "conn/call.h"
#include "conn/conn.h"
#include "io/tls.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

enum { HEADERS = 1, RST = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };

enum { PLACES = 100 };

/* ---- The rig ---- */

typedef struct rig {
  caw_loop *loop;
  conn_config config;
  conn *c;
  int fd, listener; /* the peer's end; -1: closed */
  bool server;      /* which we are */
  bool preface;     /* the peer has yet to hear it */
  bool deaf;        /* the peer does not answer PINGs */
  char log[2048];   /* what the peer heard: "SETTINGS;PING keepaliv;GOAWAY 0 max_idle;" */
  uint8_t in[1 << 18];
  size_t have;
  uint64_t born;      /* before there was a connection */
  uint64_t pinged_at; /* when the peer heard the last PING */
  uint64_t turned_at; /* before the last turn of until() */
  int pings, closed, goaways, headers, rc;
  caw_call *late[3 * PLACES]; /* calls whose turn has to wait, */
  int n_late;
  bool wait; /* as long as this is set */
  char why[128];
} rig;

static rig the_rig;

static void dispatch(caw_call *call) {
  bool drain;
  if (the_rig.wait) {
    the_rig.late[the_rig.n_late++] = call;
    return;
  }
  call_take_news(call, &drain);
  if (call->rpc.headers_received && call->rpc.state == RPC_HALF_CLOSED_REMOTE) {
    const caw_status ok = {0};
    assert_int_equal(rpc_call_end(&call->rpc, &ok, NULL, NULL), 0);
    call_set(call, CALL_LOCAL_END);
    conn_flush_later(call->conn);
  }
  if (call->rpc.state == RPC_DONE) call_release(call);
}

static const call_class stub_class = {.size = sizeof(caw_call),
                                      .server = true,
                                      .dispatch = dispatch};

static caw_call *on_open(void *owner, conn *c) {
  (void)c;
  return call_new(&stub_class, ((rig *)owner)->loop, 1000, 1000);
}

static void on_closed(void *owner, conn *c, int rc, const char *why) {
  rig *r = owner;
  (void)c;
  r->closed = 1;
  r->rc = rc;
  r->c = NULL;
  snprintf(r->why, sizeof(r->why), "%s", why);
}

static const conn_events events = {on_open, NULL, NULL, NULL, on_closed, NULL};

static void say_frame(rig *r, unsigned type, unsigned flags, uint32_t id, const void *payload,
                      size_t len) {
  uint8_t frame[256] = {0, (uint8_t)(len >> 8), (uint8_t)len, (uint8_t)type, (uint8_t)flags};
  frame[7] = (uint8_t)(id >> 8);
  frame[8] = (uint8_t)id;
  memcpy(frame + 9, payload, len);
  if (r->fd >= 0) assert_int_equal(raw_write(r->fd, frame, 9 + len), 9 + (ssize_t)len);
}

static void say_request(rig *r, uint32_t id, bool whole) {
  static const uint8_t block[] = "\x83\x86\x04\x04/a/b\x01\x01x\x0f\x10\x10"
                                 "application/grpc";
  say_frame(r, HEADERS, whole ? 5 : 4, id, block, sizeof(block) - 1);
}

static void note(rig *r, const char *format, ...) CAW_PRINTF(2, 3);
static void note(rig *r, const char *format, ...) {
  size_t len = strlen(r->log);
  va_list args;
  va_start(args, format);
  vsnprintf(r->log + len, sizeof(r->log) - len, format, args);
  va_end(args);
}

static void hear_frame(rig *r, unsigned type, unsigned flags, const uint8_t *payload, size_t len) {
  bool ack = flags & 1;
  switch (type) {
  case PING:
    if (ack) break;
    r->pings++;
    r->pinged_at = caw_loop_now(r->loop);
    note(r, "PING %s;", len == 8 && payload[0] == 'n' ? "drain" : "keepalive");
    if (!r->deaf) say_frame(r, PING, 1, 0, payload, 8);
    break;
  case GOAWAY:
    r->goaways++;
    note(r, "GOAWAY %u %.*s;", payload[7], (int)(len - 8), (const char *)payload + 8);
    break;
  case HEADERS:
    r->headers++;
    break;
  default:
    break;
  }
}

/* The peer reads, at most `most` bytes, and answers. */
static void hear(rig *r, size_t most) {
  while (r->fd >= 0 && most) {
    size_t room = sizeof(r->in) - r->have;
    ssize_t n = raw_read(r->fd, r->in + r->have, most < room ? most : room);
    if (n == 0) {
      note(r, "END;");
      raw_close(r->fd);
      r->fd = -1;
    }
    if (n <= 0) break;
    most -= (size_t)n;
    r->have += (size_t)n;
    size_t at = 0, len;
    if (r->preface && r->have >= 24) {
      r->preface = false;
      at = 24;
    } else if (r->preface) {
      continue;
    }
    while (r->have - at >= 9 &&
           r->have - at >= 9 + (len = (size_t)r->in[at + 1] << 8 | r->in[at + 2])) {
      hear_frame(r, r->in[at + 3], r->in[at + 4], r->in + at + 9, len);
      at += 9 + len;
    }
    memmove(r->in, r->in + at, r->have - at);
    r->have -= at;
  }
}

static void wake(void *user) {
  (void)user;
}

/* Both go on until *count has reached `least`; false after 10 s. */
static bool goes_on_until(rig *r, const int *count, int least) {
  caw_timer *tick;
  uint64_t end = caw_loop_now(r->loop) + 10000 * MS;
  assert_int_equal(caw_timer_new(&tick, r->loop, wake, NULL), 0);
  while (*count < least && caw_loop_now(r->loop) < end) {
    r->turned_at = caw_loop_now(r->loop);
    caw_timer_start(tick, 1); /* the peer is in no loop */
    caw_loop_run(r->loop, CAW_LOOP_ONCE);
    hear(r, SIZE_MAX);
  }
  caw_timer_free(tick);
  return *count >= least;
}

#define until(r, count, least)                                                                     \
  do {                                                                                             \
    if (!goes_on_until(r, count, least))                                                           \
      fail_msg("%s did not come to %d; the peer heard: %s", #count, least, (r)->log);              \
  } while (0)

/* Both take their turns. */
static void settle(rig *r) {
  for (int i = 0; i < 4; i++) {
    caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
    hear(r, SIZE_MAX);
  }
}

/* Both go on for a time in which nothing must happen. */
static void go_on_for(rig *r, uint64_t time) {
  caw_timer *tick;
  uint64_t end = caw_loop_now(r->loop) + time;
  assert_int_equal(caw_timer_new(&tick, r->loop, wake, NULL), 0);
  while (caw_loop_now(r->loop) < end) {
    caw_timer_start(tick, 1);
    caw_loop_run(r->loop, CAW_LOOP_ONCE);
    hear(r, SIZE_MAX);
  }
  caw_timer_free(tick);
}

/* Nothing without TLS. */
static void shake(rig *r) {
  raw_begin(r->fd, !r->server);
  while (!raw_shake(r->fd)) caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
}

static void connect_client(rig *r) {
  io_address a = {.len = sizeof(struct sockaddr_in)};
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof(in);
  r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(r->listener, (struct sockaddr *)&in, len), 0);
  assert_int_equal(listen(r->listener, 1), 0);
  assert_int_equal(getsockname(r->listener, (struct sockaddr *)&in, &len), 0);
  memcpy(&a.u, &in, sizeof(in));
  if (raw_channel_credentials)
    assert_int_equal(io_tls_client_new(&r->config.tls, raw_channel_credentials, "127.0.0.1"), 0);
  assert_int_equal(conn_connect(&r->c, r->loop, &a, &r->config, &events, r), 0);
  r->fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  assert_true(r->fd >= 0);
  shake(r);
}

/* Makes the connection from the_rig.config; the peer has sent its SETTINGS. */
static rig *start(bool server) {
  rig *r = &the_rig;
  conn_config config = r->config;
  memset(r, 0, sizeof(*r));
  r->config = config;
  r->config.ready_timeout = 10000 * MS;
  r->server = server;
  r->listener = -1;
  assert_int_equal(caw_loop_new(&r->loop), 0);
  r->born = caw_loop_now(r->loop);
  int fds[2];
  if (server) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    r->fd = fds[1];
    assert_int_equal(conn_adopt(&r->c, r->loop, fds[0], &r->config, raw_server_credentials, PLACES,
                                &events, r),
                     0);
    shake(r);
    const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_int_equal(raw_write(r->fd, preface, 24), 24);
  } else {
    connect_client(r);
    r->preface = true;
  }
  say_frame(r, SETTINGS, 0, 0, "", 0);
  return r;
}

static void stop(rig *r) {
  if (r->c) conn_close(r->c, CAW_ECLOSED, "the test is over");
  if (r->fd >= 0) raw_close(r->fd);
  if (r->listener >= 0) close(r->listener);
  for (int i = 0; i < 3; i++) caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
  io_tls_client_free(r->config.tls);
  caw_loop_free(r->loop);
  memset(&r->config, 0, sizeof(r->config));
}

#define KEEPALIVE the_rig.config.keepalive
#define AGE       the_rig.config.age

/* ---- Keepalive ---- */

/* A call of a client's, as far as the connection knows of it. */
static caw_call *hold_call(rig *r) {
  caw_call *call = call_new(&stub_class, r->loop, 1000, 1000);
  assert_non_null(call);
  keepalive_call(r->c);
  conn_join(r->c, call);
  return call;
}

static void drop_call(caw_call *call) {
  conn_leave(call);
  call_release(call);
}

static void a_silent_peer_is_given_up(void **state) {
  (void)state;
  for (int server = 0; server < 2; server++) {
    KEEPALIVE = (keepalive_config){.time = 30 * MS, .timeout = 40 * MS};
    rig *r = start(server);
    r->deaf = true;
    caw_call *call = server ? NULL : hold_call(r); /* a server asks without calls, too */
    uint64_t began = caw_loop_now(r->loop);
    until(r, &r->pings, 1);
    assert_true(r->pinged_at - began >= 30 * MS);
    until(r, &r->closed, 1);
    assert_true(caw_loop_now(r->loop) - began >= 70 * MS);
    assert_int_equal(r->rc, CAW_ETIMEDOUT);
    assert_string_equal(r->why, "keepalive: nothing came in 40 ms after a PING");
    hear(r, SIZE_MAX);
    assert_string_equal(r->log, "PING keepalive;END;");
    if (call) drop_call(call);
    stop(r);
  }
}

static void a_peer_that_answers_is_asked_again(void **state) {
  (void)state;
  for (int server = 0; server < 2; server++) {
    KEEPALIVE = (keepalive_config){.time = 5 * MS, .timeout = 5000 * MS, .without_calls = true};
    rig *r = start(server);
    until(r, &r->pings, 1);
    uint64_t first = r->pinged_at;
    until(r, &r->pings, 5);
    /* From the answers on, not from one PING to the next. */
    assert_true(r->pinged_at - first >= 4 * 5 * MS);
    assert_int_equal(r->closed, 0);
    stop(r);
  }
}

/* Any bytes do, before the PING and after it. */
static void whoever_speaks_lives(void **state) {
  (void)state;
  KEEPALIVE = (keepalive_config){.time = 40 * MS, .timeout = 400 * MS, .without_calls = true};
  rig *r = start(false);
  r->deaf = true;
  for (int i = 0; i < 8; i++) {
    go_on_for(r, 10 * MS);
    say_frame(r, WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
  }
  uint64_t spoke = caw_loop_now(r->loop);
  if (!r->pings) { /* else the machine had no time for us */
    until(r, &r->pings, 1);
    assert_true(r->pinged_at - spoke >= 40 * MS);
  }
  for (int i = 0; i < 3; i++) {
    say_frame(r, WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
    until(r, &r->pings, r->pings + 1);
  }
  assert_int_equal(r->closed, 0);
  until(r, &r->closed, 1);
  assert_int_equal(r->rc, CAW_ETIMEDOUT);
  stop(r);
}

static void a_client_without_calls_rests(void **state) {
  (void)state;
  KEEPALIVE = (keepalive_config){.time = 5 * MS, .timeout = 20 * MS};
  rig *r = start(false);
  go_on_for(r, 50 * MS);
  assert_true(r->c->keepalive.resting);
  assert_string_equal(r->log, "");
  /* A call that begins after so long a rest asks at once, before its HEADERS. */
  r->deaf = true;
  caw_call *call = hold_call(r);
  uint64_t began = caw_loop_now(r->loop);
  assert_true(h2_queued(r->c->rpc.h2) >= 1);
  until(r, &r->closed, 1);
  assert_string_equal(r->why, "keepalive: nothing came in 20 ms after a PING");
  assert_int_equal(r->pings, 1);
  assert_true(r->pinged_at - began < 1000 * MS);
  drop_call(call);
  stop(r);
}

/* The channel argument of gRPC's C core; A8 knows of none. */
static void pings_without_data_can_be_limited(void **state) {
  (void)state;
  KEEPALIVE = (keepalive_config){
      .time = 3 * MS, .timeout = 5000 * MS, .without_calls = true, .max_without_data = 2};
  rig *r = start(true);
  until(r, &r->pings, 2);
  go_on_for(r, 40 * MS);
  assert_int_equal(r->pings, 2);
  say_request(r, 1, true);
  until(r, &r->headers, 1); /* answered: frames of a call were sent */
  until(r, &r->pings, 4);
  stop(r);
}

/* What was written waits for a slow reader, and the PING behind it. */
static void a_slow_path_is_no_broken_one(void **state) {
  (void)state;
  KEEPALIVE = (keepalive_config){.time = 10 * MS, .timeout = 400 * MS};
  rig *r = start(true);
  r->deaf = true;
  /* Or the kernel would take all of it on behalf of the reader, who were not slow then. */
  const int little = 1 << 16;
  assert_int_equal(setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
  until(r, &r->pings, 1);
  do { /* until no PING waits: a busy machine may have had the next one sent */
    say_frame(r, WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
    for (int i = 0; i < 7; i++) caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
    if (r->closed) fail_msg("closed, though the peer says something: %s", r->why);
  } while (r->c->keepalive.waiting);
  for (int i = 0; i < 300000; i++) assert_int_equal(h2_ping(r->c->rpc.h2, 1), 0);
  conn_flush_later(r->c);
  caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
  assert_true(r->c->blocked);
  /* 5.1 MB, at 5 MB a second: it goes on, and has not all of it when twice the timeout is over. */
  caw_timer *tick;
  assert_int_equal(caw_timer_new(&tick, r->loop, wake, NULL), 0);
  uint64_t began = caw_loop_now(r->loop), got = 0, passed;
  while (!r->closed && (passed = caw_loop_now(r->loop) - began) < 800 * MS) {
    caw_timer_start(tick, 10);
    caw_loop_run(r->loop, CAW_LOOP_ONCE);
    while (got < passed / MS * 5000) { /* it does not look at what it reads */
      ssize_t n = raw_read(r->fd, r->in, 5000);
      if (n <= 0) break;
      got += (uint64_t)n;
    }
  }
  caw_timer_free(tick);
  if (r->closed) fail_msg("closed after %d PINGs: %s", r->pings, r->why);
  /* And now it reads no more. */
  int rounds = 0;
  while (!r->closed && rounds++ < 100000) caw_loop_run(r->loop, CAW_LOOP_ONCE);
  assert_int_equal(r->rc, CAW_ETIMEDOUT);
  stop(r);
}

/* The calls that had to wait have their turn. */
static void go_on(rig *r) {
  r->wait = false;
  for (int i = 0; i < r->n_late; i++) dispatch(r->late[i]);
}

/* A server that does not read, as calls that are gone wait for their turn, hears nothing: that
 * is no silence of its client's, whose answer it reads later. */
static void a_crowd_is_no_silence(void **state) {
  (void)state;
  KEEPALIVE = (keepalive_config){.time = 20 * MS, .timeout = 100 * MS};
  conn_limits limits = default_limits;
  limits.resets_at_once = 10 * PLACES;
  the_rig.config.limits = &limits;
  rig *r = start(true);
  settle(r);
  r->wait = true;
  for (uint32_t id = 1; !r->c->crowded; id += 2) {
    assert_in_range(id, 0, 6 * PLACES);
    say_request(r, id, false);
    say_frame(r, RST, 0, id, "\0\0\0\10", 4);
    caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
  }
  int before = r->pings;
  until(r, &r->pings, before + 1);
  go_on_for(r, 350 * MS); /* three times as long as it may be silent */
  if (r->closed) fail_msg("closed: %s", r->why);
  assert_true(r->c->crowded);
  assert_int_equal(r->pings, before + 1);
  go_on(r);
  assert_false(r->c->crowded);
  until(r, &r->pings, before + 3); /* the answers are heard again, */
  r->deaf = true;
  until(r, &r->closed, 1); /* and so is it when there are none */
  assert_string_equal(r->why, "keepalive: nothing came in 100 ms after a PING");
  stop(r);
}

static unsigned user_timeout(int fd) {
  unsigned ms = 0;
  socklen_t len = sizeof(ms);
  getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len);
  return ms;
}

/* gRFC A18. The descriptor of the client is the one before the accepted one. */
static void tcp_gives_up_after_the_same_time(void **state) {
  (void)state;
  static const struct {
    uint64_t time, timeout;
    unsigned set;
  } cases[] = {{0, 0, 0}, {0, 7000 * MS, 0}, {10000 * MS, 7000 * MS, 7000}, {MS, MS / 2, 1}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    KEEPALIVE = (keepalive_config){.time = cases[i].time, .timeout = cases[i].timeout};
    rig *r = start(false);
    settle(r);
    unsigned found = 0;
    for (int fd = r->listener + 1; fd < r->fd; fd++) found += user_timeout(fd);
    if (found != cases[i].set) fail_msg("case %zu: %u ms, not %u", i, found, cases[i].set);
    assert_int_equal(user_timeout(r->fd), 0); /* the peer's */
    stop(r);
  }
}

/* ---- Strikes ---- */

/* What the client does: 'p' a PING, 'c' a call that is answered, 'w' waits for the
 * interval, ' ' lets us read. */
static void strikes(void **state) {
  (void)state;
  static const struct {
    const char *does;
    keepalive_config config;
    bool ended;
  } cases[] = {
      {"p p p ", {.permit_time = 300000 * MS, .max_strikes = 2}, false},
      {"p p p p ", {.permit_time = 300000 * MS, .max_strikes = 2}, true},
      {"ppp ", {.permit_time = 300000 * MS, .max_strikes = 2}, false},
      {"pppp ", {.permit_time = 300000 * MS, .max_strikes = 2}, true},
      {"pppppppppppppppppppp ", {.permit_time = 0, .max_strikes = 2}, false},
      {"p p p p p p ", {.permit_time = 300000 * MS, .max_strikes = 5}, false},
      {"p p p p p p p ", {.permit_time = 300000 * MS, .max_strikes = 5}, true},
      /* Each answer excuses what comes after it. */
      {"c ppp c ppp c ppp c ppp ", {.permit_time = 300000 * MS, .max_strikes = 2}, false},
      {"c ppp c pppp ", {.permit_time = 300000 * MS, .max_strikes = 2}, true},
      /* Permitted as often as this, but not without calls: then every two hours. */
      {"pwpwpwpwpw",
       {.permit_time = 2 * MS, .permit_without_calls = true, .max_strikes = 2},
       false},
      {"pwpwpwpw", {.permit_time = 2 * MS, .max_strikes = 2}, true},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    KEEPALIVE = cases[i].config;
    rig *r = start(true);
    settle(r);
    for (const char *does = cases[i].does; *does; does++) {
      int answers = r->headers;
      if (*does == 'p') say_frame(r, PING, 0, 0, "12345678", 8);
      if (*does == 'c') say_request(r, 2 * (uint32_t)answers + 1, true);
      if (*does == 'c') until(r, &r->headers, answers + 1);
      if (*does == 'w') go_on_for(r, 3 * MS);
      if (*does == ' ') settle(r);
    }
    hear(r, SIZE_MAX);
    const char *want = cases[i].ended ? "GOAWAY 11 too_many_pings;END;" : "";
    if (strcmp(r->log, want)) fail_msg("case %zu, \"%s\": %s", i, cases[i].does, r->log);
    if (cases[i].ended) {
      until(r, &r->closed, 1);
      assert_string_equal(r->why, "the peer broke HTTP/2: too_many_pings");
    }
    stop(r);
  }
}

/* PINGs for data that is still on its way to the client are none too many. */
static void pings_on_a_slow_path(void **state) {
  (void)state;
  KEEPALIVE = (keepalive_config){.permit_time = 300000 * MS, .max_strikes = 2};
  rig *r = start(true);
  say_request(r, 1, true);
  for (int i = 0; i < 4; i++) caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
  for (int i = 0; i < 10; i++) {
    say_frame(r, PING, 0, 0, "12345678", 8);
    caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
  }
  assert_int_equal(r->headers, 0); /* nothing was read */
  hear(r, SIZE_MAX);
  assert_int_equal(r->headers, 1);
  assert_string_equal(r->log, "");
  for (int i = 0; i < 4; i++) { /* the first of these is permitted */
    say_frame(r, PING, 0, 0, "12345678", 8);
    settle(r);
  }
  assert_string_equal(r->log, "GOAWAY 11 too_many_pings;END;");
  stop(r);
}

/* Whoever goes on after that is not read for ever. */
static void a_flood_is_cut_off(void **state) {
  (void)state;
  KEEPALIVE = (keepalive_config){.permit_time = 300000 * MS, .max_strikes = 2};
  rig *r = start(true);
  uint8_t bytes[17 * 1000] = {0};
  for (size_t i = 0; i < sizeof(bytes); i += 17) memcpy(bytes + i, "\0\0\10\6", 4);
  size_t sent = 0;
  while (!r->closed && sent < 4u << 20) {
    ssize_t n = raw_write(r->fd, bytes, sizeof(bytes));
    if (n > 0) sent += (size_t)n;
    caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
  }
  assert_true(sent < 2u << 20);
  assert_int_equal(r->closed, 1);
  stop(r);
}

/* A client is told. */
static void a_client_hears_that_it_is_too_much(void **state) {
  (void)state;
  static const char *const texts[] = {"too_many_pings", "else"};
  for (int i = 0; i < 2; i++) {
    rig *r = start(false);
    uint8_t payload[8 + 14] = {0, 0, 0, 0, 0, 0, 0, 11};
    size_t len = strlen(texts[i]);
    memcpy(payload + 8, texts[i], len);
    say_frame(r, GOAWAY, 0, 0, payload, 8 + len);
    conn_ref(r->c);
    conn *c = r->c;
    until(r, &r->closed, 1);
    assert_int_equal(c->too_many_pings, i == 0);
    char want[64];
    snprintf(want, sizeof(want), "HTTP/2 error 11, %s", texts[i]);
    assert_string_equal(c->told, want);
    conn_unref(c);
    stop(r);
  }
}

/* ---- Idleness and age ---- */

static void an_idle_connection_is_drained(void **state) {
  (void)state;
  AGE = (age_config){.max_idle = 100 * MS};
  rig *r = start(true);
  uint64_t began = caw_loop_now(r->loop);
  say_request(r, 1, false);
  go_on_for(r, 150 * MS); /* its call is open */
  assert_int_equal(r->goaways, 0);
  say_frame(r, RST, 0, 1, "\0\0\0\10", 4);
  began = caw_loop_now(r->loop);
  until(r, &r->closed, 1);
  assert_true(caw_loop_now(r->loop) - began >= 100 * MS);
  assert_string_equal(r->log, "GOAWAY 0 ;PING drain;GOAWAY 0 max_idle;END;");
  assert_int_equal(r->rc, 0);
  stop(r);
}

static void an_old_connection_is_drained(void **state) {
  (void)state;
  AGE = (age_config){.max_age = 50 * MS, .grace = 5000 * MS};
  rig *r = start(true);
  until(r, &r->closed, 1);
  assert_true(caw_loop_now(r->loop) - r->born >= 45 * MS);
  assert_string_equal(r->log, "GOAWAY 0 ;PING drain;GOAWAY 0 max_age;END;");
  stop(r);
}

/* Its calls have the grace. */
static void an_old_connection_ends_under_its_calls(void **state) {
  (void)state;
  AGE = (age_config){.max_idle = 1000 * MS, .max_age = 20 * MS, .grace = 40 * MS};
  rig *r = start(true);
  say_request(r, 1, false);
  until(r, &r->goaways, 2);
  uint64_t final = r->turned_at;
  assert_true(caw_loop_now(r->loop) - r->born >= 18 * MS);
  until(r, &r->closed, 1);
  assert_true(caw_loop_now(r->loop) - final >= 38 * MS);
  assert_string_equal(r->why, "the connection's time is over");
  assert_int_equal(r->rc, CAW_ETIMEDOUT);
  stop(r);
}

/* Ages differ, by a tenth at most. */
static void ages_differ(void **state) {
  (void)state;
  uint64_t least = UINT64_MAX, most = 0;
  for (int i = 0; i < 50; i++) {
    AGE = (age_config){.max_age = 1000000 * MS};
    rig *r = start(true);
    uint64_t span = r->c->age.end - r->c->age.idle_since;
    if (span < least) least = span;
    if (span > most) most = span;
    stop(r);
  }
  assert_in_range(least / MS, 900000, 1100000);
  assert_in_range(most / MS, 900000, 1100000);
  assert_true(most - least > 50000 * MS); /* of 200,000: chance 1 to 10^27 */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_silent_peer_is_given_up),
      cmocka_unit_test(a_peer_that_answers_is_asked_again),
      cmocka_unit_test(whoever_speaks_lives),
      cmocka_unit_test(a_client_without_calls_rests),
      cmocka_unit_test(pings_without_data_can_be_limited),
      cmocka_unit_test(a_slow_path_is_no_broken_one),
      cmocka_unit_test(a_crowd_is_no_silence),
      cmocka_unit_test(tcp_gives_up_after_the_same_time),
      cmocka_unit_test(strikes),
      cmocka_unit_test(pings_on_a_slow_path),
      cmocka_unit_test(a_flood_is_cut_off),
      cmocka_unit_test(a_client_hears_that_it_is_too_much),
      cmocka_unit_test(an_idle_connection_is_drained),
      cmocka_unit_test(an_old_connection_is_drained),
      cmocka_unit_test(an_old_connection_ends_under_its_calls),
      cmocka_unit_test(ages_differ),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
