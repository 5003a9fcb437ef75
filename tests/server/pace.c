/*
 * How much of a connection is read in a turn of the loop: others wait for it. Whoever brings work
 * is read in large steps, whoever wastes it in small ones. What a neighbour feels of them is
 * measured in bench/.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../attack/wire.h"
#include "duo.h"
#include "raw.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define UNARY "/test.Duo/Unary"
#define BIDI  "/test.Duo/Bidi"

enum { ENOUGH = 40000, FIRST = 4096 };

/* ---- What is sent: a part of it, with a number of its own ---- */

static uint32_t id_of(int number) {
  return 1 + 2 * (uint32_t)number;
}

static void call(bytes *b, int number) {
  put_request(b, id_of(number), 0, UNARY, NULL);
  put_message(b, id_of(number), 5, END_STREAM);
}

static void message(bytes *b, int number) {
  if (!number) put_request(b, 1, 0, BIDI, NULL);
  put_message(b, 1, 1, 0);
}

static void reset(bytes *b, uint32_t id) {
  static const uint8_t cancel[] = {0, 0, 0, 8};
  put_frame(b, RST_STREAM, 0, id, cancel, sizeof(cancel));
}

static void call_and_reset(bytes *b, int number) {
  call(b, number);
  reset(b, id_of(number));
}

static void short_call(bytes *b, int number) {
  static const char *const soon[] = {"grpc-timeout", "20m", NULL};
  put_request(b, id_of(number), 0, UNARY, soon);
  put_message(b, id_of(number), 5, END_STREAM);
}

static void short_call_and_reset(bytes *b, int number) {
  short_call(b, number);
  reset(b, id_of(number));
}

/* Handlers run for some of them. */
static void short_calls_and_resets(bytes *b, int number) {
  enum { MANY = 20 };
  if (number % MANY == 0)
    for (int i = number - MANY; number && i < number; i++) reset(b, id_of(i));
  short_call(b, number);
}

static void ping(bytes *b, int number) {
  const uint8_t data[8] = {(uint8_t)number};
  put_frame(b, PING, 0, 0, data, sizeof(data));
}

static void empty_settings(bytes *b, int number) {
  (void)number;
  put_frame(b, SETTINGS, 0, 0, "", 0);
}

static void empty_data(bytes *b, int number) {
  if (!number) put_request(b, 1, 0, BIDI, NULL);
  put_frame(b, DATA, 0, 1, "", 0);
}

static const struct {
  const char *name;
  void (*put)(bytes *b, int number);
  int most; /* parts; 0: as many as are enough */
  bool useful;
} cases[] = {
    {"calls", call, 90, true},
    {"messages of one octet", message, 0, true},
    {"calls and resets", call_and_reset, 0, false},
    {"calls with a deadline and resets", short_call_and_reset, 0, false},
    {"calls with a deadline, and resets of those before", short_calls_and_resets, 0, false},
    {"PING", ping, 0, false},
    {"empty SETTINGS", empty_settings, 0, false},
    {"empty DATA", empty_data, 0, false},
};

/* ---- How it is read ---- */

/* The other end of a connection of this process. */
static int other_end(int fd) {
  struct sockaddr_in mine, peer;
  socklen_t len = sizeof(mine);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&mine, &len), 0);
  for (int i = 3; i < 1024; i++) {
    len = sizeof(peer);
    if (i != fd && getpeername(i, (struct sockaddr *)&peer, &len) == 0 &&
        peer.sin_family == AF_INET && peer.sin_port == mine.sin_port)
      return i;
  }
  return -1;
}

static int unread(int fd) {
  int n = 0;
  assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
  return n;
}

static void on_cancel(caw_call *call, void *user) {
  (void)user;
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

static int hold(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  static const caw_call_events events = {.on_cancel = on_cancel};
  (void)d, (void)request, (void)reply;
  caw_call_on(call, &events, NULL);
  return CAW_PENDING;
}

/* The most that is read in a turn. */
static int largest_turn(duo *d, const bytes *b) {
  int fd = raw_dial(caw_server_address(d->server, 0)), end = -1, most = 0;
  for (int i = 0; i < 1000 && end < 0; i++) {
    caw_loop_run(d->loop, CAW_LOOP_ONCE);
    end = other_end(fd);
  }
  assert_in_range(end, 3, 1023);
  assert_int_equal(raw_write(fd, b->data, b->len), b->len);
  while (unread(end) < (int)b->len) { /* loopback's own turn */
  }
  for (int left = (int)b->len; left > 0;) {
    caw_loop_run(d->loop, CAW_LOOP_NOWAIT);
    int rest = unread(end);
    if (left - rest > most) most = left - rest;
    left = rest;
  }
  for (uint64_t i = 0; i < CAW_LIMITS; i++)
    assert_int_equal(caw_server_limit_hits(d->server, (caw_limit)i), 0);
  raw_close(fd);
  duo_turns(d, 50);
  return most;
}

static void steps(void **state) {
  (void)state;
  static const caw_limits limits = {.size = sizeof(limits),
                                    .resets_at_once = 100000,
                                    .noise_at_once = 100000};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    duo d = {.on_message = cases[i].useful ? NULL : hold};
    bytes b = {0};
    d.server_options.limits = &limits;
    d.server_options.max_ping_strikes = UINT_MAX;
    duo_init(&d);
    put(&b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    put_frame(&b, SETTINGS, 0, 0, "", 0);
    for (int n = 0; b.len < ENOUGH && (!cases[i].most || n < cases[i].most); n++)
      cases[i].put(&b, n);
    int most = largest_turn(&d, &b);
    if (cases[i].useful != (most > FIRST))
      fail_msg("%s: of %zu octets, %d in a turn", cases[i].name, b.len, most);
    free(b.data);
    duo_finish(&d);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(steps)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
