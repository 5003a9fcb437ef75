/* What may be freed when, what lives how long, and in which order things reach
 * the peer: the rules that only break under a particular interleaving. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define DUO(d)                                                                                     \
  duo d = {0};                                                                                     \
  duo_init(&d)

static int keep(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request, (void)reply;
  d->pending = call;
  duo_listen(d, call);
  return CAW_PENDING;
}

/* ---- Families ---- */

enum { PAIRS = 90 };

typedef struct pairs {
  heard outer[PAIRS], inner[PAIRS];
  caw_call *handlers[2 * PAIRS];
  int n_inner, n_handlers;
} pairs;

static int proxy(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  pairs *p = d->extra;
  (void)reply;
  p->handlers[p->n_handlers++] = call;
  duo_listen(d, call);
  if (caw_str_is(*request, "outer")) {
    caw_call_options o = {.size = sizeof(o), .parent = call};
    duo_call(d, &p->inner[p->n_inner++], &duo_unary, "inner", &o);
  }
  return CAW_PENDING;
}

/* Enough parents and children that any lock of theirs is shared by some. */
static void many_parents_are_cancelled(void **state) {
  (void)state;
  static pairs p;
  duo d = {0};
  d.server_options.max_streams = 2 * PAIRS;
  duo_init(&d);
  memset(&p, 0, sizeof(p));
  d.extra = &p;
  d.on_message = proxy;
  for (int i = 0; i < PAIRS; i++) duo_call(&d, &p.outer[i], &duo_unary, "outer", NULL);
  while (p.n_handlers < 2 * PAIRS) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  for (int i = 0; i < PAIRS; i++) caw_call_cancel(p.outer[i].call);
  for (int i = 0; i < PAIRS; i++) {
    duo_until(&d, &p.inner[i].n_done);
    assert_int_equal(p.inner[i].code, CAW_CANCELLED);
  }
  while (d.n_cancel < 2 * PAIRS) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  for (int i = 0; i < 2 * PAIRS; i++) assert_int_equal(caw_call_finish(p.handlers[i], 0, NULL), 0);
  while (d.n_done < 2 * PAIRS) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  duo_finish(&d);
}

static void never_done(caw_call *call, const caw_status *status, void *user) {
  (void)call, (void)status, (void)user;
  fail_msg("a call that was not started has ended");
}

static void only_a_servers_call_is_a_parent(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  duo_call(&d, &h, &duo_bidi, NULL, NULL);
  caw_call_options o = {.size = sizeof(o), .parent = h.call};
  static const caw_client_events events = {NULL, NULL, NULL, never_done, NULL};
  assert_int_equal(caw_call_start(NULL, d.channel, &duo_unary, &o, &events, NULL), CAW_EINVAL);
  caw_call_cancel(h.call);
  duo_done(&d, &h);
  duo_finish(&d);
}

/* ---- Handlers that finish late ---- */

/* The server's memory goes with its last call; nothing but the leak check of the
 * sanitizer sees that, and nothing but it sees a call that touches a freed one. */
static void handlers_finish_after_the_server_was_freed(void **state) {
  (void)state;
  DUO(d);
  heard h[3] = {{0}};
  caw_call *pending[3];
  d.on_message = keep;
  for (int i = 0; i < 3; i++) {
    d.pending = NULL;
    duo_call(&d, &h[i], &duo_unary, "wait", NULL);
    while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
    pending[i] = d.pending;
  }
  caw_server_free(d.server);
  d.server = NULL;
  for (int i = 0; i < 3; i++) duo_done(&d, &h[i]);
  assert_int_equal(d.n_done, 0);
  uint64_t logged = d.summaries;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(caw_call_cancelled(pending[i]), true);
    assert_int_equal(caw_call_finish(pending[i], 0, NULL), 0);
  }
  while (d.n_done < 3) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  assert_int_equal(d.summaries, logged); /* what on_call wants may be gone */
  duo_finish(&d);
}

static void never_drained(void *user) {
  (void)user;
  fail_msg("on_drained after caw_server_free was called");
}

/* A drain that was asked for, is under way or is over when the server is freed,
 * with and without a handler that has not finished. */
static void freed_while_it_drains(void **state) {
  (void)state;
  for (int turns = 0; turns < 4; turns++) {
    for (int pending = 0; pending < 2; pending++) {
      DUO(d);
      heard h = {0};
      d.on_message = keep;
      if (pending) duo_call(&d, &h, &duo_unary, "wait", NULL);
      while (pending && !d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
      caw_server_drain(d.server, 50, turns < 3 ? never_drained : NULL, NULL);
      if (turns == 3) duo_turns(&d, 5);
      else if (pending) duo_turns(&d, turns);
      if (turns) caw_server_drain(d.server, 20, pending ? never_drained : NULL, NULL);
      caw_server_free(d.server);
      d.server = NULL;
      if (pending) {
        duo_done(&d, &h);
        assert_int_equal(caw_call_finish(d.pending, 0, NULL), 0);
        while (!d.n_done) caw_loop_run(d.loop, CAW_LOOP_ONCE);
      }
      duo_turns(&d, 5);
      duo_finish(&d);
    }
  }
}

/* ---- Freeing from callbacks ---- */

typedef struct freeing {
  duo *d;
  int in_message, n_done, code;
  int others_done;
} freeing;

static void free_in_message(caw_call *call, const void *message, void *user) {
  freeing *f = user;
  (void)call, (void)message;
  if (!f->in_message) return;
  caw_channel_free(f->d->channel);
  f->d->channel = NULL;
  assert_int_equal(f->n_done, 0); /* not inside of another callback of the call */
  assert_int_equal(f->others_done, 1);
}

static void free_in_done(caw_call *call, const caw_status *status, void *user) {
  freeing *f = user;
  (void)call;
  f->n_done++;
  f->code = status->code;
  if (f->in_message) return;
  caw_channel_free(f->d->channel);
  f->d->channel = NULL;
}

static void other_done(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  assert_int_equal(status->code, CAW_CANCELLED);
  ((freeing *)user)->others_done++;
}

static int echo_and_wait(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d, (void)reply;
  return caw_call_send(call, request);
}

static void a_channel_is_freed_in_a_callback(void **state) {
  (void)state;
  static const caw_client_events events = {NULL, free_in_message, NULL, free_in_done, NULL};
  static const caw_client_events other = {NULL, NULL, NULL, other_done, NULL};
  for (int in_message = 0; in_message < 2; in_message++) {
    DUO(d);
    freeing f = {.d = &d, .in_message = in_message};
    caw_call *call;
    caw_str text = CAW_STR("x");
    d.on_message = echo_and_wait;
    assert_int_equal(caw_call_start(NULL, d.channel, &duo_bidi, NULL, &other, &f), 0);
    assert_int_equal(caw_call_start(&call, d.channel, &duo_bidi, NULL, &events, &f), 0);
    assert_int_equal(caw_call_send(call, &text), 0);
    if (!in_message) caw_call_close_send(call);
    duo_until(&d, &f.n_done);
    assert_int_equal(f.code, in_message ? CAW_CANCELLED : CAW_OK);
    assert_int_equal(f.others_done, 1);
    duo_turns(&d, 3);
    duo_finish(&d); /* caw_channel_free(NULL) */
  }
}

/* ---- Draining ---- */

static void note_first(void *user) {
  duo_note(user, "first hook;");
}

static void note_second(void *user) {
  duo_note(user, "second hook;");
}

static void hooks_come_before_handlers_hear_of_a_drain(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  d.on_message = keep;
  assert_int_equal(caw_server_on_drain(d.server, NULL, &d), CAW_EINVAL);
  assert_int_equal(caw_server_on_drain(d.server, note_first, &d), 0);
  assert_int_equal(caw_server_on_drain(d.server, note_second, &d), 0);
  duo_call(&d, &h, &duo_server_stream, "x", NULL);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  caw_server_drain(d.server, 5000, NULL, NULL);
  duo_until(&d, &d.n_shutdown);
  assert_string_equal(d.log, "message x;first hook;second hook;shutdown;");
  caw_server_drain(d.server, 4000, NULL, NULL); /* again: they were told */
  duo_turns(&d, 3);
  assert_int_equal(caw_server_on_drain(d.server, note_first, &d), CAW_ESTATE);
  caw_call_finish(d.pending, 0, NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(d.log, "message x;first hook;second hook;shutdown;done OK;");
  duo_finish(&d);
}

static void free_server(void *user) {
  duo *d = user;
  caw_server_free(d->server);
  d->server = NULL;
  d->n_done = 1;
}

static void a_server_is_freed_in_on_drained(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  caw_server_drain(d.server, 1000, free_server, &d);
  duo_until(&d, &d.n_done);
  caw_channel_free(d.channel);
  caw_loop_free(d.loop);
}

/* The word of a worker that it is drained is on its way behind what frees the server. */
static void free_in_the_next_turn(void *user) {
  const duo *d = user;
  assert_int_equal(caw_loop_post(d->loop, free_server, user), 0);
}

static void a_server_is_freed_ahead_of_the_news_of_its_drain(void **state) {
  (void)state;
  DUO(d);
  assert_int_equal(caw_loop_post(d.loop, free_in_the_next_turn, &d), 0);
  caw_server_drain(d.server, 1000, never_drained, NULL);
  duo_until(&d, &d.n_done);
  duo_turns(&d, 3);
  caw_channel_free(d.channel);
  caw_loop_free(d.loop);
}

/* Connections that were given to another loop, which does not run (any more). */
static void a_server_is_freed_with_connections_on_their_way(void **state) {
  enum { CLIENTS = 6 };
  (void)state;
  caw_server *server;
  caw_server_options o = {.size = sizeof(o), .loops = 3};
  int fds[CLIENTS];
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  assert_int_equal(caw_server_new(&server, &o), 0);
  assert_int_equal(caw_server_listen(server, "127.0.0.1:0"), 0);
  to.sin_port = htons((uint16_t)atoi(strrchr(caw_server_address(server, 0), ':') + 1));
  for (int i = 0; i < CLIENTS; i++) {
    fds[i] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[i], (struct sockaddr *)&to, sizeof(to)), 0);
  }
  caw_server_free(server);
  for (int i = 0; i < CLIENTS; i++) {
    struct pollfd p = {.fd = fds[i], .events = POLLRDHUP};
    if (poll(&p, 1, 10000) != 1) fail_msg("connection %d is open still", i);
    close(fds[i]);
  }
}

static void watch_again(caw_channel *channel, caw_connectivity now, void *user) {
  int *n = user;
  int rc = caw_channel_watch(channel, now, 0, watch_again, user);
  assert_int_equal(rc, now == CAW_CHANNEL_SHUTDOWN ? CAW_ECLOSED : 0);
  ++*n;
}

static void a_watch_that_goes_on_ends_with_the_channel(void **state) {
  (void)state;
  DUO(d);
  int n = 0;
  assert_int_equal(caw_channel_watch(d.channel, CAW_CHANNEL_IDLE, 0, watch_again, &n), 0);
  caw_channel_free(d.channel);
  d.channel = NULL;
  assert_int_equal(n, 1);
  duo_finish(&d);
}

/* ---- What a pending handler may read ---- */

static void the_peer_is_known_after_it_has_gone(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  char before[128];
  d.on_message = keep;
  duo_call(&d, &h, &duo_unary, "x", NULL);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  caw_str peer = caw_call_peer(d.pending);
  snprintf(before, sizeof(before), "%.*s", CAW_STR_ARG(peer));
  assert_true(strlen(before) > 15);
  caw_channel_free(d.channel);
  d.channel = NULL;
  duo_until(&d, &d.n_cancel);
  duo_turns(&d, 5); /* the socket is closed and freed */
  assert_string_equal(peer.data, before);
  assert_true(caw_str_is(caw_call_peer(d.pending), before));
  caw_call_finish(d.pending, 0, NULL);
  duo_until(&d, &d.n_done);
  duo_finish(&d);
}

/* ---- Order ---- */

static void *send_two(void *call) {
  caw_str text = CAW_STR("from a thread");
  assert_int_equal(caw_call_send_headers(call), 0);
  assert_int_equal(caw_call_send_headers(call), CAW_ESTATE);
  assert_int_equal(caw_call_send(call, &text), 0);
  return NULL;
}

static int send_from_thread(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  pthread_t thread;
  (void)d, (void)request, (void)reply;
  assert_int_equal(pthread_create(&thread, NULL, send_two, call), 0);
  pthread_join(thread, NULL);
  assert_int_equal(caw_call_add_header(call, caw_str_from("x"), caw_str_from("y")), CAW_ESTATE);
  return 0;
}

static void *send_headers(void *call) {
  assert_int_equal(caw_call_send_headers(call), 0);
  return NULL;
}

static int headers_from_thread(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  pthread_t thread;
  (void)d;
  assert_int_equal(pthread_create(&thread, NULL, send_headers, call), 0);
  pthread_join(thread, NULL);
  *reply = *request;
  return 0;
}

/* What another thread sent, and the reply, go before the status. */
static void a_return_overtakes_nothing(void **state) {
  (void)state;
  DUO(d);
  heard h = {0};
  d.on_message = send_from_thread;
  duo_call(&d, &h, &duo_server_stream, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "from a thread");
  d.on_message = headers_from_thread;
  duo_call(&d, &h, &duo_unary, "y", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "y");
  duo_finish(&d);
}

/* ---- A sender whose stream is gone ---- */

static int pour_and_abort(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  static char big[20000];
  caw_str s = {big, sizeof(big)};
  (void)d, (void)request, (void)reply;
  for (int i = 0; i < 3; i++) assert_int_equal(caw_call_send(call, &s), 0);
  return caw_call_fail(call, CAW_ABORTED, "enough");
}

/* The client does not read; the server has ended; sending says so, and a queue
 * that is full wakes its sender to hear it. */
static void a_sender_hears_that_the_stream_is_gone(void **state) {
  (void)state;
  static char big[70000];
  caw_str full = {big, sizeof(big)};
  DUO(d);
  heard h = {0};
  h.pause = true;
  d.on_message = pour_and_abort;
  duo_call(&d, &h, &duo_bidi, NULL, NULL);
  duo_send(&h, "begin");
  duo_until(&d, &h.n_replies);
  int rc = 0;
  for (int i = 0; i < 1000 && rc != CAW_ECLOSED; i++) {
    rc = caw_call_send(h.call, &full);
    assert_true(rc == 0 || rc == CAW_EAGAIN || rc == CAW_ECLOSED);
    duo_turns(&d, 1);
  }
  assert_int_equal(rc, CAW_ECLOSED);
  assert_int_equal(h.n_done, 0); /* paused: the replies come first */
  caw_call_resume(h.call);
  duo_done(&d, &h);
  assert_int_equal(h.n_replies, 3);
  assert_int_equal(h.code, CAW_ABORTED);
  duo_finish(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(many_parents_are_cancelled),
      cmocka_unit_test(only_a_servers_call_is_a_parent),
      cmocka_unit_test(handlers_finish_after_the_server_was_freed),
      cmocka_unit_test(freed_while_it_drains),
      cmocka_unit_test(a_channel_is_freed_in_a_callback),
      cmocka_unit_test(hooks_come_before_handlers_hear_of_a_drain),
      cmocka_unit_test(a_server_is_freed_in_on_drained),
      cmocka_unit_test(a_server_is_freed_ahead_of_the_news_of_its_drain),
      cmocka_unit_test(a_server_is_freed_with_connections_on_their_way),
      cmocka_unit_test(a_watch_that_goes_on_ends_with_the_channel),
      cmocka_unit_test(the_peer_is_known_after_it_has_gone),
      cmocka_unit_test(a_return_overtakes_nothing),
      cmocka_unit_test(a_sender_hears_that_the_stream_is_gone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
