/* Who gives up a call and begins the next at once, within the concurrency that the server
 * allows, is served: the place of the first is free when its handler has heard of it. But never
 * do more handlers run than there are places. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"
#include "server/server.h"

/* Handlers that run, and the most that ran at once. */
static struct {
  int now, most, begun;
  bool stubborn; /* they finish when the test says so, not when they are cancelled */
  bool half;     /* every second is */
  caw_call *kept[64];
} handlers;

static void finish(caw_call *call) {
  for (int i = 0; i < handlers.begun; i++)
    if (handlers.kept[i] == call) handlers.kept[i] = NULL;
  handlers.now--;
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

static bool is_second(const caw_call *call) {
  for (int i = 1; i < handlers.begun; i += 2)
    if (handlers.kept[i] == call) return true;
  return false;
}

static void on_cancel(caw_call *call, void *user) {
  (void)user;
  if (!handlers.stubborn && !(handlers.half && is_second(call))) finish(call);
}

static int keep(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  static const caw_call_events events = {.on_cancel = on_cancel};
  (void)d, (void)request, (void)reply;
  caw_call_on(call, &events, NULL);
  assert_in_range(handlers.begun, 0, 63);
  handlers.kept[handlers.begun++] = call;
  if (++handlers.now > handlers.most) handlers.most = handlers.now;
  return CAW_PENDING;
}

enum { PLACES = 4 };

static void set_up(duo *d, bool stubborn) {
  memset(d, 0, sizeof(*d));
  memset(&handlers, 0, sizeof(handlers));
  handlers.stubborn = stubborn;
  d->server_options.max_streams = PLACES;
  duo_init(d);
  d->on_message = keep;
}

static uint64_t refused(const duo *d) {
  const worker *w = &d->server->workers[0];
  return LIST_ENTRY(w->conns.next, conn, node)->refused;
}

/* Starts as many calls as there are places, and waits until all have their handlers. */
static void fill(duo *d, heard *h) {
  int before = handlers.begun;
  for (int i = 0; i < PLACES; i++) duo_call(d, &h[i], &duo_unary, "x", NULL);
  for (int i = 0; i < 1000 && handlers.begun < before + PLACES; i++)
    caw_loop_run(d->loop, CAW_LOOP_ONCE);
  assert_int_equal(handlers.begun, before + PLACES);
}

static void given_up_and_begun_anew(void **state) {
  (void)state;
  duo d;
  enum { ROUNDS = 10 };
  heard h[ROUNDS + 1][PLACES];
  memset(h, 0, sizeof(h));
  set_up(&d, false);
  fill(&d, h[0]);
  for (int round = 1; round <= ROUNDS; round++) {
    for (int i = 0; i < PLACES; i++) caw_call_cancel(h[round - 1][i].call);
    fill(&d, h[round]); /* the resets and the requests travel together */
  }
  assert_int_equal(refused(&d), 0);
  assert_int_equal(handlers.most, PLACES);
  for (int i = 0; i < PLACES; i++) caw_call_cancel(h[ROUNDS][i].call);
  duo_turns(&d, 10);
  duo_finish(&d);
}

static void handlers_that_do_not_end_keep_their_places(void **state) {
  (void)state;
  duo d;
  heard h[PLACES] = {{0}}, next[PLACES] = {{0}};
  set_up(&d, true);
  fill(&d, h);
  for (int i = 0; i < PLACES; i++) caw_call_cancel(h[i].call);
  for (int i = 0; i < PLACES; i++) duo_call(&d, &next[i], &duo_unary, "x", NULL);
  for (int i = 0; i < PLACES; i++) duo_until(&d, &next[i].n_done);
  for (int i = 0; i < PLACES; i++) assert_int_equal(next[i].code, CAW_UNAVAILABLE);
  assert_int_equal(handlers.begun, PLACES);
  assert_in_range(refused(&d), PLACES, 2 * PLACES); /* each is sent once more by itself */
  for (int i = 0; i < handlers.begun; i++)
    if (handlers.kept[i]) finish(handlers.kept[i]);
  duo_turns(&d, 10);
  handlers.stubborn = false;
  fill(&d, h); /* the places are free again */
  assert_int_equal(handlers.most, PLACES);
  for (int i = 0; i < PLACES; i++) caw_call_cancel(h[i].call);
  duo_turns(&d, 10);
  duo_finish(&d);
}

/* As many of the new ones as there are places are served, not fewer. */
static void the_places_that_are_left_are_given(void **state) {
  (void)state;
  duo d;
  heard h[PLACES] = {{0}}, next[PLACES] = {{0}};
  set_up(&d, false);
  handlers.half = true;
  fill(&d, h);
  for (int i = 0; i < PLACES; i++) caw_call_cancel(h[i].call);
  for (int i = 0; i < PLACES; i++) duo_call(&d, &next[i], &duo_unary, "x", NULL);
  for (int i = 0; i < 1000 && handlers.begun < PLACES + PLACES / 2; i++)
    caw_loop_run(d.loop, CAW_LOOP_ONCE);
  assert_int_equal(handlers.begun, PLACES + PLACES / 2);
  for (int i = 0; i < PLACES; i++) duo_turns(&d, 10);
  assert_int_equal(handlers.begun, PLACES + PLACES / 2);
  assert_int_equal(handlers.most, PLACES);
  assert_int_equal(refused(&d), PLACES); /* half of them, and each of these once more by itself */
  for (int i = 0; i < handlers.begun; i++)
    if (handlers.kept[i]) finish(handlers.kept[i]);
  duo_turns(&d, 20);
  duo_finish(&d);
}

/* No limit at all is a large one. */
static void very_many_places(void **state) {
  (void)state;
  for (int bit = 28; bit < 32; bit++) {
    duo d;
    heard h = {0};
    memset(&d, 0, sizeof(d));
    d.server_options.max_streams = UINT32_C(1) << bit;
    duo_init(&d);
    duo_call(&d, &h, &duo_unary, "x", NULL);
    duo_done(&d, &h);
    if (h.code) fail_msg("max_streams 1 << %d: %d %s", bit, h.code, h.message);
    duo_finish(&d);
  }
}

/* Its answer comes when its own time is over, and that of those who wait with it. */
static int dawdle(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d, (void)request, (void)reply;
  handlers.begun++;
  while (caw_call_time_left(call)) {
  }
  return 0;
}

static void no_handler_begins_after_the_deadline(void **state) {
  (void)state;
  duo d;
  heard warm = {0}, first = {0}, second = {0};
  caw_call_options longer = {.size = sizeof(longer), .timeout_ms = 30},
                   shorter = {.size = sizeof(shorter), .timeout_ms = 15};
  set_up(&d, false);
  d.on_message = NULL;
  duo_call(&d, &warm, &duo_unary, "x", NULL); /* the connection is there */
  duo_done(&d, &warm);
  d.on_message = dawdle;
  /* On a busy machine the first one's time may be over, too. */
  while (!handlers.begun && longer.timeout_ms < 5000) {
    longer.timeout_ms *= 2;
    shorter.timeout_ms *= 2;
    duo_call(&d, &first, &duo_unary, "x", &longer);
    duo_call(&d, &second, &duo_unary, "x", &shorter);
    duo_done(&d, &first);
    duo_done(&d, &second);
    assert_int_equal(second.code, CAW_DEADLINE_EXCEEDED);
  }
  assert_int_equal(handlers.begun, 1);
  duo_turns(&d, 10);
  duo_finish(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(given_up_and_begun_anew),
      cmocka_unit_test(handlers_that_do_not_end_keep_their_places),
      cmocka_unit_test(the_places_that_are_left_are_given),
      cmocka_unit_test(very_many_places),
      cmocka_unit_test(no_handler_begins_after_the_deadline),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
