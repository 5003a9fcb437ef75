/* Memory: the bound of decoding under attack, honest messages that must fit,
 * and memory that runs out at every point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "google/protobuf/struct.caw.h"
#include "legacy.caw.h"
#include "messages.h"
#include <caw/alloc.h>
#include <caw/status.h>
#include <stdio.h>
#include <stdlib.h>

#define E &caw_test_everything_type
#define L &caw_test_legacy_legacy_type
#define V &google_protobuf_list_value_type

/* -- the bound ----------------------------------------------------------- */

typedef struct attack {
  const char *name;
  const caw_type *type;
  const char *unit; /* repeated until `size` bytes */
  size_t unit_len;
  int rc;
} attack;

#define UNIT(s) s, sizeof(s) - 1

static const attack attacks[] = {
    /* Bigger in memory than the bound allows. */
    {"empty messages of a wide type", E, UNIT("\xd2\x03\x00"), CAW_ENOMEM},
    {"empty entries with a wide message", E, UNIT("\xa2\x05\x00"), CAW_ENOMEM},
    {"empty groups of lists", L, UNIT("\x93\x01\x94\x01"), CAW_ENOMEM},
    {"wide messages and others in turn", E, UNIT("\xd2\x03\x00\xca\x03\x00"), CAW_ENOMEM},
    {"wide messages inside messages", E, UNIT("\xd2\x03\x03\x92\x01\x00"), CAW_ENOMEM},
    /* What must fit, however much there is of it. */
    {"empty strings", E, UNIT("\x8a\x03\x00"), 0},
    {"empty strings, scattered", E, UNIT("\x8a\x03\x00\x92\x03\x00"), CAW_ENOMEM},
    {"short strings", E, UNIT("\x8a\x03\x01x"), 0},
    {"numbers, not packed", E, UNIT("\xf8\x03\x01"), 0},
    {"numbers, packed one by one", E, UNIT("\xea\x02\x01\x01"), 0},
    {"numbers, two fields in turn", E, UNIT("\xe8\x02\x01\x80\x04\x01"), 0},
    {"64-bit numbers, scattered", E, UNIT("\xd8\x02\x01\x28\x01"), 0},
    {"empty entries of numbers", E, UNIT("\xba\x04\x00"), 0},
    {"entries of two numbers", E, UNIT("\xba\x04\x04\x08\x01\x10\x02"), 0},
    {"empty entries of strings", E, UNIT("\x92\x05\x00"), CAW_ENOMEM},
    {"entries of short strings", E, UNIT("\x92\x05\x06\x0a\x01x\x12\x01y"), 0},
    {"unknown fields", E, UNIT("\xc0\x0c\x01"), 0},
    {"unknown and known fields in turn", E, UNIT("\xc0\x0c\x01\x28\x01"), 0},
    {"short unknown and known fields in turn", V, UNIT("\x10\x01\x0a\x00"), CAW_ENOMEM},
    {"one message, again and again", E, UNIT("\x8a\x01\x02\x08\x01"), 0},
    {"one message with a list, again and again", E, UNIT("\x8a\x01\x02\x1a\x00"), CAW_ENOMEM},
    {"a oneof of two messages in turn", E, UNIT("\x8a\x06\x00\x92\x06\x00"), CAW_ENOMEM},
    {"a oneof that is set anew", E, UNIT("\x8a\x06\x00\xe0\x05\x01"), CAW_ENOMEM},
    {"closed enums that are unknown", L, UNIT("\x68\x05"), 0},
    {"closed enums, known and unknown", L, UNIT("\x68\x05\x68\x03"), 0},
    {"packed closed enums that are unknown", L, UNIT("\x72\x01\x05"), CAW_ENOMEM},
    {"lists of values", V, UNIT("\x0a\x02\x20\x01"), 0},
    {"lists of empty values", V, UNIT("\x0a\x00"), CAW_ENOMEM},
};

static void run_attack(const attack *a, size_t size) {
  size_t len = 0;
  uint8_t *in = malloc(size + a->unit_len);
  for (; len < size; len += a->unit_len) memcpy(in + len, a->unit, a->unit_len);
  caw_arena *arena = caw_arena_new(0);
  void *m = malloc(a->type->size);
  size_t most = len * CAW_PB_EXPANSION + CAW_PB_FLOOR;
  int rc = caw_pb_decode(m, arena, a->type, in, len);
  size_t used = caw_arena_used(arena);
  if (rc != a->rc || used > most + 16)
    fail_msg("%s: %s with %zu bytes, wanted %s with at most %zu", a->name, caw_code_name(rc), used,
             caw_code_name(a->rc), most);
  /* Without the bound it is a message like any other. */
  caw_arena_reset(arena);
  assert_int_equal(caw_pb_decode_bounded(m, arena, a->type, in, len, SIZE_MAX), 0);
  caw_arena_reset(arena);
  assert_int_equal(caw_pb_decode_bounded(m, arena, a->type, in, len, 0),
                   caw_arena_used(arena) ? 0 : CAW_ENOMEM);
  caw_arena_free(arena);
  free(m);
  free(in);
}

static void test_attacks(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
    run_attack(&attacks[i], (size_t)1 << 20);
}

/* What is refused above does fit while it is small. */
static void test_floor(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
    attack small = attacks[i];
    small.rc = 0;
    run_attack(&small, 64);
  }
}

/* -- honest messages ----------------------------------------------------- */

/* Random messages, most of them of a wide type with few fields set. */
static void test_honest(void **state) {
  (void)state;
  rng r = {5};
  for (int i = 0; i < 2000; i++) {
    caw_arena *arena = caw_arena_new(0), *other = caw_arena_new(0);
    const caw_type *type = i % 2 ? V : E;
    void *m = caw_arena_calloc(arena, 1, type->size);
    caw_str bytes;
    messages_fill(&r, caw_pb_table(type), m, arena, 3);
    assert_int_equal(caw_pb_encode(&bytes, arena, type, m), 0);
    int rc = caw_pb_decode(m, other, type, bytes.data, bytes.len);
    if (rc) fail_msg("message %d of %zu bytes: %s", i, bytes.len, caw_code_name(rc));
    caw_arena_free(arena);
    caw_arena_free(other);
  }
}

/* The arena is as the next user expects it: aligned, and with its limit. */
static void test_arena_after(void **state) {
  (void)state;
  for (size_t n = 1; n < 8; n++) {
    char in[64] = "";
    for (size_t i = 0; i < n; i++) memcpy(in + 3 * i, "\xca\x03\x00", 3);
    caw_arena *arena = caw_arena_new(0);
    caw_test_everything m;
    assert_int_equal(caw_pb_decode(&m, arena, E, in, 3 * n), 0);
    assert_int_equal((uintptr_t)caw_arena_alloc(arena, 1) % 16, 0);
    caw_arena_set_limit(arena, 0);
    assert_int_equal(caw_pb_decode(&m, arena, E, in, 3 * n), CAW_ENOMEM);
    caw_arena_free(arena);
  }
}

/* -- memory that runs out ------------------------------------------------ */

static size_t allowed, live;

static void *fake_malloc(size_t bytes, void *user) {
  (void)user;
  if (!allowed) return NULL;
  allowed--;
  live++;
  return malloc(bytes);
}

static void *fake_realloc(void *old, size_t bytes, void *user) {
  (void)user;
  if (!allowed) return NULL;
  allowed--;
  live += !old;
  return realloc(old, bytes);
}

static void fake_free(void *ptr, void *user) {
  (void)user;
  live -= ptr != NULL;
  free(ptr);
}

/* Decodes and encodes with `n` allocations; returns what went wrong. */
static int with_allocations(size_t n, const caw_type *type, caw_str in) {
  int rc = CAW_ENOMEM;
  allowed = n;
  caw_arena *arena = caw_arena_new(64);
  void *m = malloc(type->size);
  caw_str out;
  if (arena) rc = caw_pb_decode(m, arena, type, in.data, in.len);
  if (!rc) rc = caw_pb_encode(&out, arena, type, m);
  caw_arena_free(arena);
  free(m);
  assert_int_equal(live, 0);
  return rc;
}

static void test_out_of_memory(void **state) {
  (void)state;
  const caw_allocator a = {sizeof(a), fake_malloc, fake_realloc, fake_free, NULL};
  rng r = {23};
  for (int i = 0; i < 60; i++) {
    const caw_type *type = i % 2 ? L : E;
    caw_arena *arena = caw_arena_new(0);
    void *m = caw_arena_calloc(arena, 1, type->size);
    caw_str in;
    messages_fill(&r, caw_pb_table(type), m, arena, 3);
    assert_int_equal(caw_pb_encode(&in, arena, type, m), 0);
    char *twice = malloc(2 * in.len + 1); /* every map key comes twice */
    memcpy(twice, in.data, in.len);
    memcpy(twice + in.len, in.data, in.len);
    in = caw_str_of(twice, 2 * in.len);
    caw_arena_free(arena);
    caw_set_allocator(&a);
    size_t n = 0;
    for (int rc = CAW_ENOMEM; rc; n++) {
      rc = with_allocations(n, type, in);
      if (rc && rc != CAW_ENOMEM) fail_msg("message %d, %zu: %s", i, n, caw_code_name(rc));
      assert_true(n < 10000);
    }
    assert_true(n > 1);
    caw_set_allocator(NULL);
    free(twice);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_attacks),       cmocka_unit_test(test_floor),
      cmocka_unit_test(test_honest),        cmocka_unit_test(test_arena_after),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
