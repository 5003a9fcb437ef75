/* The rings of the hub: what they count, what bounds them, and what is done without memory. No
 * streams: those are tested from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hub_inner.h"
#include "task.h"

#include <caw/alloc.h>
#include <stdlib.h>
#include <string.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

typedef struct world {
  caw_loop *loop;
  hub *hub;
  shard *shard;
} world;

static int set_up(void **state) {
  world *w = calloc(1, sizeof(*w));
  assert_non_null(w);
  assert_int_equal(caw_loop_new(&w->loop), 0);
  assert_int_equal(hub_new(&w->hub), 0);
  w->shard = hub_shard(w->hub, w->loop);
  assert_non_null(w->shard);
  *state = w;
  return 0;
}

static int tear_down(void **state) {
  world *w = *state;
  assert_int_equal(w->hub->bytes, 0);
  caw_loop_free(w->loop); /* first: what was posted to it has the shard */
  hub_free(w->hub);
  free(w);
  return 0;
}

static void enter(const world *w, place *p, int64_t room_id) {
  *p = (place){.shard = w->shard};
  pthread_mutex_lock(&w->hub->lock);
  assert_true(hub_enter(w->hub, room_id, p));
  pthread_mutex_unlock(&w->hub->lock);
}

static void leave(const world *w, place *p) {
  pthread_mutex_lock(&w->hub->lock);
  hub_leave(w->hub, p);
  pthread_mutex_unlock(&w->hub->lock);
}

static void say(const world *w, int64_t room_id, int64_t number, size_t bytes) {
  static char text[64 << 10];
  memset(text, 'x', sizeof(text));
  chat_v1_message message = {.room_id = room_id, .number = number, .text = caw_str_of(text, bytes)};
  chat_v1_event event = {.what_case = CHAT_V1_EVENT_WHAT_CASE_MESSAGE, .what.message = &message};
  const effect e = {.kind = EFFECT_EVENT, .room_id = room_id, .number = number, .event = &event};
  hub_event(w->hub, &e);
}

/* Has all items of a room in both forms, as streams of both kinds would. */
static void use_both_forms(const world *w, const place *p) {
  pthread_mutex_lock(&w->hub->lock);
  for (uint64_t seq = p->room->first; seq < p->room->end; seq++)
    assert_non_null(item_form(w->hub, p->room, p->room->ring[seq % p->room->room], FORM_CHAT));
  pthread_mutex_unlock(&w->hub->lock);
}

static size_t bytes_of(const place *p) {
  size_t bytes = 0;
  for (uint64_t seq = p->room->first; seq < p->room->end; seq++) {
    const item *i = p->room->ring[seq % p->room->room];
    bytes += sizeof(*i);
    for (int f = 0; f < RING_FORMS; f++)
      if (i->forms[f]) bytes += 64 + caw_payload_bytes(i->forms[f]).len;
  }
  return bytes;
}

static void test_bytes_of_both_forms_are_counted(void **state) {
  const world *w = *state;
  place p;
  enter(w, &p, 7);
  for (int64_t n = 1; n <= 1000; n++) {
    say(w, 7, n, 4 * KIB);
    use_both_forms(w, &p);
    assert_int_equal(p.room->bytes, bytes_of(&p));
    assert_int_equal(w->hub->bytes, p.room->bytes);
    assert_in_range(p.room->bytes, 1, 256 * KIB + 16 * KIB);
  }
  assert_int_equal(p.room->last, 1000);
  assert_int_equal(hub_mark(w->hub, 7), 1000);
  leave(w, &p);
  assert_int_equal(hub_mark(w->hub, 7), 0);
}

static void test_few_large_and_many_small(void **state) {
  static const struct {
    size_t bytes;
    int64_t least, most;
  } cases[] = {{1, 256, 256}, {60 * KIB, 3, 5}};
  const world *w = *state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    place p;
    enter(w, &p, 1);
    for (int64_t n = 1; n <= 600; n++) say(w, 1, n, cases[i].bytes);
    assert_in_range(p.room->end - p.room->first, cases[i].least, cases[i].most);
    leave(w, &p);
  }
}

static void test_many_rooms_are_bounded_together(void **state) {
  enum { ROOMS = 4000 };
  const world *w = *state;
  place *all = calloc(ROOMS, sizeof(*all));
  assert_non_null(all);
  for (int64_t r = 0; r < ROOMS; r++) {
    enter(w, &all[r], r + 1);
    for (int64_t n = 1; n <= 4; n++) say(w, r + 1, n, 60 * KIB);
    assert_in_range(w->hub->bytes, 1, 128 * MIB + 64 * KIB);
    assert_int_equal(all[r].room->last, 4); /* also of what is not kept */
    assert_int_equal(all[r].room->end, 4);
  }
  for (size_t r = 0; r < ROOMS; r++) leave(w, &all[r]);
  free(all);
}

/* Fails the allocation number `left` and all behind it. */
static int left = -1;

static void *fail_malloc(size_t n, void *user) {
  (void)user;
  if (left >= 0 && !left--) left = 0;
  return left == 0 ? NULL : malloc(n);
}

static void *fail_realloc(void *old, size_t n, void *user) {
  (void)user;
  if (left >= 0 && !left--) left = 0;
  return left == 0 ? NULL : realloc(old, n);
}

static void plain_free(void *ptr, void *user) {
  (void)user;
  free(ptr);
}

static void test_without_memory_there_is_a_hole(void **state) {
  const world *w = *state;
  for (int fail = 1; fail < 6; fail++) {
    place p;
    enter(w, &p, 1);
    say(w, 1, 1, 10);
    const uint64_t seq = p.room->end;
    left = fail;
    say(w, 1, 2, 10);
    left = -1;
    /* Either it is there, or who wants it finds that the ring has lost it. */
    assert_int_equal(p.room->end, seq + 1);
    assert_int_equal(p.room->last, 2);
    if (p.room->first <= seq) assert_int_equal(p.room->ring[seq % p.room->room]->number, 2);
    assert_non_null(p.at_dirty);
    leave(w, &p);
  }
}

static void test_a_dirty_place_may_go(void **state) {
  const world *w = *state;
  place all[5];
  for (int64_t r = 0; r < 5; r++) enter(w, &all[r], r + 1);
  for (int64_t r = 0; r < 5; r++) say(w, r + 1, 1, 10);
  static const int order[] = {2, 0, 4, 1, 3};
  for (int i = 0; i < 5; i++) {
    leave(w, &all[order[i]]);
    int dirty = 0;
    for (const place *p = w->shard->dirty; p; p = p->next_dirty) dirty++;
    assert_int_equal(dirty, 4 - i);
  }
}

int main(void) {
  const caw_allocator allocator = {.size = sizeof(allocator),
                                   .malloc = fail_malloc,
                                   .realloc = fail_realloc,
                                   .free = plain_free};
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_bytes_of_both_forms_are_counted, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_few_large_and_many_small, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_many_rooms_are_bounded_together, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_without_memory_there_is_a_hole, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_dirty_place_may_go, set_up, tear_down),
  };
  if (caw_set_allocator(&allocator)) return 1;
  return cmocka_run_group_tests_name("chatd-hub", tests, NULL, NULL);
}
