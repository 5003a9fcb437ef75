/* The channel against servers that are not there, come late, refuse, lose
 * calls or misbehave: states, errors, waiting, transparent retry. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"
#include "fake.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

/* The fixture: a loop, a fake server, a channel to it. */
typedef struct rig {
  duo d; /* its loop and channel; no server */
  fake f;
} rig;

static void init(rig *r, const char *target) {
  const char *why = "";
  assert_int_equal(caw_loop_new(&r->d.loop), 0);
  fake_init(&r->f, r->d.loop);
  caw_channel_options *o = &r->d.channel_options;
  o->size = sizeof(*o);
  o->loop = r->d.loop;
  if (!o->backoff_initial_ms) o->backoff_initial_ms = 5;
  if (!o->backoff_max_ms) o->backoff_max_ms = 20;
  assert_int_equal(caw_channel_new(&r->d.channel, target ? target : r->f.address, o, &why), 0);
}

static void finish(rig *r) {
  caw_channel_free(r->d.channel);
  fake_finish(&r->f);
  caw_loop_free(r->d.loop);
}

static void done(rig *r, heard *h) {
  duo_until(&r->d, &h->n_done);
}

static void answer(fake *f, fake_conn *c, int number) {
  (void)f, (void)number;
  fake_answer(c, "answer");
}

/* An address on which nobody listens, and nobody will: a socket has it until the program ends. */
static void dead_address(char out[64]) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof(a);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
  snprintf(out, 64, "127.0.0.1:%d", ntohs(a.sin_port));
}

static void error_is(rig *r, const char *want) {
  char got[512];
  size_t len = caw_channel_error(r->d.channel, got, sizeof(got));
  assert_int_equal(len, strlen(got));
  assert_string_equal(got, want);
}

/* ---- States ---- */

typedef struct states {
  rig *r;
  char seen[256];
  int ready, failed, n;
} states;

static void on_state(caw_channel *channel, caw_connectivity now, void *user) {
  states *s = user;
  size_t len = strlen(s->seen);
  snprintf(s->seen + len, sizeof(s->seen) - len, "%s;", caw_connectivity_name(now));
  s->n++;
  s->ready |= now == CAW_CHANNEL_READY;
  s->failed |= now == CAW_CHANNEL_TRANSIENT_FAILURE;
  if (now != CAW_CHANNEL_READY && now != CAW_CHANNEL_TRANSIENT_FAILURE &&
      now != CAW_CHANNEL_SHUTDOWN)
    assert_int_equal(caw_channel_watch(channel, now, 0, on_state, s), 0);
}

static void becomes_ready(void **state) {
  (void)state;
  rig r = {0};
  states s = {.r = &r};
  init(&r, NULL);
  assert_int_equal(caw_channel_state(r.d.channel, false), CAW_CHANNEL_IDLE);
  duo_turns(&r.d, 3);
  assert_int_equal(r.f.n_conns, 0); /* lazy */
  assert_int_equal(caw_channel_watch(r.d.channel, CAW_CHANNEL_IDLE, 0, on_state, &s), 0);
  caw_channel_state(r.d.channel, true);
  duo_until(&r.d, &s.ready);
  assert_string_equal(s.seen, "CONNECTING;READY;");
  error_is(&r, "");
  finish(&r);
}

static void nobody_is_there(void **state) {
  (void)state;
  rig r = {0};
  states s = {.r = &r};
  heard h = {0};
  char target[64], want[256];
  dead_address(target);
  init(&r, target);
  caw_channel_watch(r.d.channel, CAW_CHANNEL_IDLE, 0, on_state, &s);
  duo_call(&r.d, &h, &duo_unary, "x", NULL);
  done(&r, &h);
  snprintf(want, sizeof(want), "cannot connect to ipv4:%s: Connection refused", target);
  assert_int_equal(h.code, CAW_UNAVAILABLE);
  assert_string_equal(h.message, want);
  error_is(&r, want);
  duo_until(&r.d, &s.failed);
  assert_string_equal(s.seen, "CONNECTING;TRANSIENT_FAILURE;");
  /* And the next one fails at once or after the next attempt, the same way. */
  duo_call(&r.d, &h, &duo_unary, "x", NULL);
  done(&r, &h);
  assert_int_equal(h.code, CAW_UNAVAILABLE);
  assert_string_equal(h.message, want);
  finish(&r);
}

static void bad_targets(void **state) {
  (void)state;
  static const char *const targets[] = {"", "host:99999", "[::1", "ftp://x:1", "unix:", "a b:1"};
  for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
    caw_channel *ch;
    const char *why = NULL;
    assert_int_equal(caw_channel_new(&ch, targets[i], NULL, &why), CAW_EADDR);
    assert_non_null(why);
    assert_true(strlen(why) > 5);
  }
}

static void the_name_does_not_exist(void **state) {
  (void)state;
  rig r = {0};
  heard h = {0};
  /* Asks a name server that is not there: only the form of the error counts. */
  char server[64];
  dead_address(server);
  r.d.channel_options.dns_server = server;
  init(&r, "nobody.invalid:1");
  caw_call_options o = {.size = sizeof(o), .timeout_ms = 15000};
  duo_call(&r.d, &h, &duo_unary, "x", &o);
  done(&r, &h);
  assert_int_equal(h.code, CAW_UNAVAILABLE);
  assert_true(!strncmp(h.message, "cannot resolve nobody.invalid: ", 31));
  finish(&r);
}

static void the_second_address_answers(void **state) {
  (void)state;
  rig r = {0};
  heard h = {0};
  fake f = {0};
  char dead[64], target[256];
  /* The fake's own address is known only after it listens. */
  caw_loop *loop;
  assert_int_equal(caw_loop_new(&loop), 0);
  f.on_request = answer;
  fake_init(&f, loop);
  dead_address(dead);
  snprintf(target, sizeof(target), "ipv4:%.60s,%.100s", dead, f.address + 5);
  r.d.loop = loop;
  caw_channel_options o = {.size = sizeof(o), .loop = loop};
  assert_int_equal(caw_channel_new(&r.d.channel, target, &o, NULL), 0);
  duo_call(&r.d, &h, &duo_unary, "x", NULL);
  done(&r, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "answer");
  caw_channel_free(r.d.channel);
  fake_finish(&f);
  caw_loop_free(loop);
}

/* ---- Servers that do not begin ---- */

static void a_server_that_says_nothing(void **state) {
  (void)state;
  heard h = {0};
  uint64_t ms = 25;
  do { /* on a busy machine it may be over before there is a connection */
    rig r = {0};
    char want[256];
    r.d.channel_options.connect_timeout_ms = ms *= 2;
    init(&r, NULL);
    r.f.mute = true;
    duo_call(&r.d, &h, &duo_unary, "x", NULL);
    done(&r, &h);
    assert_int_equal(h.code, CAW_UNAVAILABLE);
    snprintf(want, sizeof(want), "cannot connect to %s: the peer did not begin HTTP/2 in time",
             r.f.address);
    if (ms > 5000 || !strstr(h.message, "took too long")) assert_string_equal(h.message, want);
    finish(&r);
  } while (strstr(h.message, "took too long"));
}

static void speak_http1(fake *f, fake_conn *c, int number) {
  (void)f, (void)c, (void)number;
}

static void a_server_that_hangs_up(void **state) {
  (void)state;
  rig r = {0};
  heard h = {0};
  r.d.channel_options.backoff_initial_ms = 60000;
  r.d.channel_options.backoff_max_ms = 60000;
  init(&r, NULL);
  r.f.mute = true;
  r.f.on_request = speak_http1;
  duo_call(&r.d, &h, &duo_unary, "x", NULL);
  while (!r.f.n_conns) caw_loop_run(r.d.loop, CAW_LOOP_ONCE);
  fake_hang_up(&r.f.conns[0]);
  done(&r, &h);
  assert_int_equal(h.code, CAW_UNAVAILABLE);
  assert_int_equal(caw_channel_state(r.d.channel, false), CAW_CHANNEL_TRANSIENT_FAILURE);
  finish(&r);
}

/* ---- Back-off ---- */

typedef struct attempts {
  rig *r;
  uint64_t began[5]; /* when each attempt began, on the loop's clock */
  int n, enough;
} attempts;

static void on_attempt(caw_channel *channel, caw_connectivity now, void *user) {
  attempts *a = user;
  if (now == CAW_CHANNEL_SHUTDOWN) return;
  if (now == CAW_CHANNEL_CONNECTING && a->n < 5)
    a->began[a->n++] = caw_loop_now(caw_channel_loop(channel));
  a->enough = a->n == 5;
  if (!a->enough) assert_int_equal(caw_channel_watch(channel, now, 0, on_attempt, a), 0);
}

/* connection-backoff.md: each wait is 1.6 times the one before, up to the
 * maximum, give or take a fifth. Lower bounds only: a busy machine is late. */
static void each_wait_is_longer(void **state) {
  (void)state;
  rig r = {0};
  attempts a = {.r = &r};
  char target[64];
  dead_address(target);
  r.d.channel_options.backoff_initial_ms = 50;
  r.d.channel_options.backoff_max_ms = 100;
  init(&r, target);
  caw_channel_watch(r.d.channel, CAW_CHANNEL_IDLE, 0, on_attempt, &a);
  uint64_t first = caw_loop_now(r.d.loop);
  caw_channel_state(r.d.channel, true);
  duo_until(&r.d, &a.enough);
  a.began[0] = first; /* it is told of in a turn, of which this was none */
  static const double waits[] = {50, 80, 100, 100};
  for (int i = 0; i < 4; i++) {
    double waited = (double)(a.began[i + 1] - a.began[i]) / 1e6;
    if (waited < waits[i] * 0.8 - 1) fail_msg("wait %d was %.1f ms", i, waited);
  }
  finish(&r);
}

/* ---- Waiting ---- */

static void waits_for_the_server(void **state) {
  (void)state;
  duo d = {0};
  heard h = {0};
  char path[64], target[80];
  snprintf(path, sizeof(path), "/tmp/caw-wait-%d", (int)getpid());
  snprintf(target, sizeof(target), "unix:%s", path);
  caw_channel *direct;
  duo_init(&d);
  direct = d.channel;
  caw_channel_options o = {
      .size = sizeof(o), .loop = d.loop, .backoff_initial_ms = 5, .backoff_max_ms = 10};
  assert_int_equal(caw_channel_new(&d.channel, target, &o, NULL), 0);
  caw_call_options wait = {.size = sizeof(wait), .wait_for_ready = true};
  duo_call(&d, &h, &duo_unary, "x", &wait);
  states s = {0};
  caw_channel_watch(d.channel, CAW_CHANNEL_IDLE, 0, on_state, &s);
  duo_until(&d, &s.failed);
  assert_int_equal(h.n_done, 0);
  assert_int_equal(caw_server_listen(d.server, target), 0);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  caw_channel_free(d.channel);
  d.channel = direct;
  duo_finish(&d);
  assert_int_not_equal(access(path, F_OK), 0); /* the file went with the listener */
}

static void waits_until_its_deadline(void **state) {
  (void)state;
  rig r = {0};
  heard h = {0};
  char target[64], want[256];
  dead_address(target);
  init(&r, target);
  caw_call_options o = {.size = sizeof(o), .wait_for_ready = true, .timeout_ms = 60};
  int tries = 0;
  do { /* on a busy machine it may be over before it was tried */
    duo_call(&r.d, &h, &duo_unary, "x", &o);
    done(&r, &h);
    assert_int_equal(h.code, CAW_DEADLINE_EXCEEDED);
  } while (!strcmp(h.message, "the deadline is over") && ++tries < 100);
  snprintf(want, sizeof(want),
           "the deadline is over while waiting for a connection: cannot connect to ipv4:%s: "
           "Connection refused",
           target);
  assert_string_equal(h.message, want);
  finish(&r);
}

static void watch_expires(void **state) {
  (void)state;
  rig r = {0};
  states s = {.r = &r, .n = 0};
  init(&r, NULL);
  caw_channel_watch(r.d.channel, CAW_CHANNEL_IDLE, 10, on_state, &s);
  duo_until(&r.d, &s.n);
  assert_string_equal(s.seen, "IDLE;");
  finish(&r);
  assert_string_equal(s.seen, "IDLE;SHUTDOWN;"); /* it watched again, in on_state */
}

/* ---- Refusals and losses ---- */

static void refuse_first(fake *f, fake_conn *c, int number) {
  (void)f;
  if (number == 0) h2_reset(c->h2, c->stream, H2_REFUSED_STREAM);
  else fake_answer(c, "second");
}

static void refused_once(void **state) {
  (void)state;
  rig r = {0};
  heard h = {0};
  init(&r, NULL);
  r.f.on_request = refuse_first;
  duo_call(&r.d, &h, &duo_unary, "x", NULL);
  done(&r, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "second");
  assert_int_equal(r.f.n_requests, 2);
  assert_int_equal(r.f.n_conns, 1);
  finish(&r);
}

static void refuse_all(fake *f, fake_conn *c, int number) {
  (void)f, (void)number;
  h2_reset(c->h2, c->stream, H2_REFUSED_STREAM);
}

static void refused_twice(void **state) {
  (void)state;
  rig r = {0};
  heard h = {0};
  init(&r, NULL);
  r.f.on_request = refuse_all;
  duo_call(&r.d, &h, &duo_unary, "x", NULL);
  done(&r, &h);
  assert_int_equal(h.code, CAW_UNAVAILABLE);
  assert_string_equal(h.message, "the stream was reset: REFUSED_STREAM");
  assert_int_equal(r.f.n_requests, 2);
  finish(&r);
}

static void leave_first(fake *f, fake_conn *c, int number) {
  (void)f;
  if (number == 0) h2_goaway(c->h2, 0, H2_NO_ERROR, caw_str_from("elsewhere"));
  else fake_answer(c, "elsewhere");
}

/* GOAWAY with the stream unprocessed: once more, on a new connection. */
static void goaway_before_processing(void **state) {
  (void)state;
  rig r = {0};
  heard h = {0};
  init(&r, NULL);
  r.f.on_request = leave_first;
  duo_call(&r.d, &h, &duo_bidi, NULL, NULL);
  duo_send(&h, "one");
  duo_send(&h, "two");
  caw_call_close_send(h.call);
  done(&r, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "elsewhere");
  assert_int_equal(r.f.n_conns, 2);
  finish(&r);
}

static void graceful_goaway(fake *f, fake_conn *c, int number) {
  (void)f;
  if (number == 0) h2_goaway(c->h2, h2_last_id(c->h2), H2_NO_ERROR, caw_str_from("soon"));
  fake_answer(c, number ? "new" : "old");
}

/* GOAWAY that includes the stream: it ends there, the next goes elsewhere. */
static void goaway_after_processing(void **state) {
  (void)state;
  rig r = {0};
  heard h = {0};
  init(&r, NULL);
  r.f.on_request = graceful_goaway;
  duo_call(&r.d, &h, &duo_unary, "x", NULL);
  done(&r, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "old");
  duo_call(&r.d, &h, &duo_unary, "x", NULL);
  done(&r, &h);
  assert_string_equal(h.replies, "new");
  assert_int_equal(r.f.n_conns, 2);
  finish(&r);
}

/* A server that ends every connection at once is not stormed: a few attempts more, all
 * but the first after the back-off, then the call fails. */
static void goodbye_at_once(void **state) {
  (void)state;
  int n = 0;
  /* On a busy machine a connection may live for longer than the back-off: then it does not count.
   */
  for (uint64_t ms = 50; n != 5; ms *= 2) {
    rig r = {0};
    heard h = {0};
    char want[256];
    r.d.channel_options.backoff_initial_ms = ms;
    r.d.channel_options.backoff_max_ms = 60000;
    init(&r, NULL);
    r.f.goodbye = true;
    r.f.on_request = answer;
    duo_call(&r.d, &h, &duo_unary, "x", NULL);
    done(&r, &h);
    assert_int_equal(h.code, CAW_UNAVAILABLE);
    snprintf(want, sizeof(want), "%s ended the connection (GOAWAY)", r.f.address);
    assert_string_equal(h.message, want);
    n = r.f.n_conns;
    assert_in_range(n, 5, ms < 2000 ? 31 : 5);
    finish(&r);
  }
}

static void answer_and_leave(fake *f, fake_conn *c, int number) {
  (void)f, (void)number;
  fake_answer(c, "answer");
  h2_goaway(c->h2, h2_last_id(c->h2), H2_NO_ERROR, caw_str_from("old age"));
}

/* Connections that answered and go soon after were of use: the next call opens
 * another at once, back-off or not. */
static void short_lives(void **state) {
  (void)state;
  rig r = {0};
  r.d.channel_options.backoff_initial_ms = 60000;
  r.d.channel_options.backoff_max_ms = 60000;
  init(&r, NULL);
  r.f.on_request = answer_and_leave;
  for (int i = 1; i <= 5; i++) {
    heard h = {0};
    duo_call(&r.d, &h, &duo_unary, "x", NULL);
    done(&r, &h);
    assert_int_equal(h.code, 0);
    assert_string_equal(h.replies, "answer");
    assert_int_equal(r.f.n_conns, i);
  }
  finish(&r);
}

static void hang_up(fake *f, fake_conn *c, int number) {
  (void)f, (void)number;
  fake_hang_up(c);
}

static void the_connection_is_lost(void **state) {
  (void)state;
  rig r = {0};
  heard h = {0};
  init(&r, NULL);
  r.f.on_request = hang_up;
  duo_call(&r.d, &h, &duo_unary, "x", NULL);
  done(&r, &h);
  assert_int_equal(h.code, CAW_UNAVAILABLE);
  assert_true(!strncmp(h.message, "the connection was lost: ", 25));
  assert_int_equal(r.f.n_requests, 1); /* the server may have acted: no retry */
  /* The channel connects again for the next call. */
  r.f.on_request = answer;
  duo_call(&r.d, &h, &duo_unary, "x", NULL);
  done(&r, &h);
  assert_int_equal(h.code, 0);
  assert_int_equal(r.f.n_conns, 2);
  finish(&r);
}

static void ignore(fake *f, fake_conn *c, int number) {
  (void)f, (void)c, (void)number;
}

static void cancelling_resets_the_stream(void **state) {
  (void)state;
  rig r = {0};
  heard h = {0};
  init(&r, NULL);
  r.f.on_request = ignore;
  duo_call(&r.d, &h, &duo_unary, "x", NULL);
  while (!r.f.n_requests) caw_loop_run(r.d.loop, CAW_LOOP_ONCE);
  caw_call_cancel(h.call);
  caw_call_cancel(h.call);
  done(&r, &h);
  assert_int_equal(h.code, CAW_CANCELLED);
  duo_until(&r.d, &r.f.n_resets);
  finish(&r);
}

/* ---- Answers that are not gRPC's ---- */

typedef struct page {
  const char *status, *type, *message;
  int code;
} page;

static const page *shown;

static void show_page(fake *f, fake_conn *c, int number) {
  static uint8_t html[] = "<html>no gRPC here</html>";
  const h2_field headers[] = {
      {CAW_STR(":status"), caw_str_from(shown->status), 0, 0},
      {CAW_STR("content-type"), caw_str_from(shown->type), 0, 0},
  };
  slice body = {html, sizeof(html) - 1, NULL, NULL};
  (void)f, (void)number;
  assert_int_equal(h2_respond(c->h2, c->stream, headers, 2), 0);
  assert_int_equal(h2_send(c->h2, c->stream, body), 0);
}

/* http-grpc-status-mapping.md decides, not the page, which comes first. */
static void pages_of_proxies(void **state) {
  (void)state;
  static const page pages[] = {
      {"503", "text/html", "the server answered with HTTP status 503", CAW_UNAVAILABLE},
      {"503", "application/grpc", "the server answered with HTTP status 503", CAW_UNAVAILABLE},
      {"404", "text/plain", "the server answered with HTTP status 404", CAW_UNIMPLEMENTED},
      {"200", "text/html", "the answer's content-type does not begin with application/grpc",
       CAW_UNKNOWN},
  };
  for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
    rig r = {0};
    heard h = {0};
    shown = &pages[i];
    init(&r, NULL);
    r.f.on_request = show_page;
    duo_call(&r.d, &h, &duo_unary, "x", NULL);
    while (!h.n_metadata) caw_loop_run(r.d.loop, CAW_LOOP_ONCE);
    duo_turns(&r.d, 5); /* the page has come, the end has not */
    assert_int_equal(h.n_done, 0);
    assert_int_equal(h2_finish(r.f.conns[0].h2, r.f.conns[0].stream, NULL, 0), 0);
    fake_flush(&r.f.conns[0]);
    done(&r, &h);
    assert_int_equal(h.code, pages[i].code);
    assert_string_equal(h.message, pages[i].message);
    finish(&r);
  }
}

/* ---- Freeing ---- */

static void freed_with_open_calls(void **state) {
  (void)state;
  rig r = {0};
  heard h[3] = {{0}};
  caw_call_options wait = {.size = sizeof(wait), .wait_for_ready = true};
  init(&r, NULL);
  r.f.on_request = ignore;
  duo_call(&r.d, &h[0], &duo_unary, "x", NULL);
  duo_call(&r.d, &h[1], &duo_bidi, NULL, &wait);
  while (!r.f.n_requests) caw_loop_run(r.d.loop, CAW_LOOP_ONCE);
  duo_call(&r.d, &h[2], &duo_unary, "y", &wait);
  caw_channel_free(r.d.channel);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(h[i].n_done, 1);
    assert_int_equal(h[i].code, CAW_CANCELLED);
    assert_string_equal(h[i].message, "the channel was closed");
  }
  fake_finish(&r.f);
  caw_loop_free(r.d.loop);
}

static void options_of_other_sizes(void **state) {
  (void)state;
  caw_channel *ch;
  caw_channel_options o = {.size = 1};
  assert_int_equal(caw_channel_new(&ch, "127.0.0.1:1", &o, NULL), CAW_EINVAL);
  o.size = sizeof(o);
  char agent[300];
  memset(agent, 'x', sizeof(agent) - 1);
  agent[sizeof(agent) - 1] = '\0';
  o.user_agent = agent;
  assert_int_equal(caw_channel_new(&ch, "127.0.0.1:1", &o, NULL), CAW_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(becomes_ready),
      cmocka_unit_test(nobody_is_there),
      cmocka_unit_test(bad_targets),
      cmocka_unit_test(the_name_does_not_exist),
      cmocka_unit_test(the_second_address_answers),
      cmocka_unit_test(a_server_that_says_nothing),
      cmocka_unit_test(a_server_that_hangs_up),
      cmocka_unit_test(each_wait_is_longer),
      cmocka_unit_test(waits_for_the_server),
      cmocka_unit_test(waits_until_its_deadline),
      cmocka_unit_test(watch_expires),
      cmocka_unit_test(refused_once),
      cmocka_unit_test(refused_twice),
      cmocka_unit_test(goaway_before_processing),
      cmocka_unit_test(goaway_after_processing),
      cmocka_unit_test(goodbye_at_once),
      cmocka_unit_test(short_lives),
      cmocka_unit_test(the_connection_is_lost),
      cmocka_unit_test(cancelling_resets_the_stream),
      cmocka_unit_test(pages_of_proxies),
      cmocka_unit_test(freed_with_open_calls),
      cmocka_unit_test(options_of_other_sizes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
