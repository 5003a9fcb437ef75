/* Messages cut out of DATA, in chunks of every size. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "failing.h"
#include "base/buf.h"
#include "rpc/deframe.h"

#include <caw/status.h>
#include <stdio.h>

static void add_message(buf *b, unsigned flag, size_t len, char fill) {
  uint8_t prefix[5] = {(uint8_t)flag, (uint8_t)(len >> 24), (uint8_t)(len >> 16),
                       (uint8_t)(len >> 8), (uint8_t)len};
  buf_append(b, prefix, 5);
  for (size_t i = 0; i < len; i++) buf_append(b, &fill, 1);
}

static const size_t lengths[] = {0, 1, 5, 0, 0, 300, 20000, 3, 70000, 0};
enum { N = sizeof(lengths) / sizeof(lengths[0]) };

/* Messages come out as they went in, however the bytes were cut, and whether
 * the room is given back after each or seldom. */
static void cut_anyhow(void **state) {
  (void)state;
  static const size_t chunks[] = {1, 2, 3, 5, 6, 7, 100, 16384, 1 << 20};
  buf wire = {0};
  for (size_t i = 0; i < N; i++) add_message(&wire, 0, lengths[i], (char)('a' + i));
  for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++)
    for (int often = 0; often < 2; often++) {
      rpc_deframer d = {.limit = 70000};
      size_t came = 0;
      for (size_t at = 0; at < wire.len; at += chunks[c]) {
        size_t n = wire.len - at < chunks[c] ? wire.len - at : chunks[c];
        assert_int_equal(rpc_deframer_add(&d, wire.data + at, n), 0);
        const uint8_t *data;
        size_t len;
        while (rpc_deframer_peek(&d, &data, &len) == RPC_FRAME_MESSAGE) {
          assert_true(came < N);
          assert_int_equal(len, lengths[came]);
          for (size_t i = 0; i < len; i++) assert_int_equal(data[i], 'a' + came);
          rpc_deframer_skip(&d);
          came++;
          if (often) rpc_deframer_release(&d);
        }
        rpc_frame next = rpc_deframer_peek(&d, &data, &len);
        assert_true(next == RPC_FRAME_NONE || next == RPC_FRAME_PARTIAL);
        rpc_deframer_release(&d);
      }
      assert_int_equal(came, N);
      const uint8_t *data;
      size_t len;
      assert_int_equal(rpc_deframer_peek(&d, &data, &len), RPC_FRAME_NONE);
      rpc_deframer_finish(&d);
    }
  buf_finish(&wire);
}

/* What stands at the begin, for prefixes whole and cut. */
static void prefixes(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t len;
    rpc_frame frame;
  } cases[] = {
      {"", 0, RPC_FRAME_NONE},
      {"\0", 1, RPC_FRAME_PARTIAL},
      {"\0\0\0\0", 4, RPC_FRAME_PARTIAL},
      {"\0\0\0\0\0", 5, RPC_FRAME_MESSAGE},
      {"\0\0\0\0\2x", 6, RPC_FRAME_PARTIAL},
      {"\0\0\0\0\2xy", 7, RPC_FRAME_MESSAGE},
      {"\0\0\0\0\x64", 5, RPC_FRAME_PARTIAL},
      {"\0\0\0\0\x65", 5, RPC_FRAME_TOO_BIG}, /* before any of it has come */
      {"\0\xff\xff\xff\xff", 5, RPC_FRAME_TOO_BIG},
      {"\1", 1, RPC_FRAME_UNAGREED},
      {"\1\0\0\0\0", 5, RPC_FRAME_UNAGREED},
      {"\2", 1, RPC_FRAME_BAD_FLAG},
      {"\xff\0\0\0\0", 5, RPC_FRAME_BAD_FLAG},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    rpc_deframer d = {.limit = 100};
    const uint8_t *data = NULL;
    size_t len = 0;
    assert_int_equal(rpc_deframer_add(&d, (const uint8_t *)cases[i].bytes, cases[i].len), 0);
    assert_int_equal(rpc_deframer_peek(&d, &data, &len), cases[i].frame);
    assert_int_equal(rpc_deframer_peek(&d, &data, &len), cases[i].frame); /* a look only */
    rpc_deframer_finish(&d);
  }
}

/* The bytes of skipped messages stay until release; what is behind them moves. */
static void kept_until_release(void **state) {
  (void)state;
  rpc_deframer d = {.limit = 100};
  const uint8_t *first, *second;
  size_t len;
  assert_int_equal(rpc_deframer_add(&d, (const uint8_t *)"\0\0\0\0\1a\0\0\0\0\1b\0\0", 14), 0);
  assert_int_equal(rpc_deframer_peek(&d, &first, &len), RPC_FRAME_MESSAGE);
  rpc_deframer_skip(&d);
  assert_int_equal(rpc_deframer_peek(&d, &second, &len), RPC_FRAME_MESSAGE);
  rpc_deframer_skip(&d);
  assert_int_equal(*first, 'a');
  assert_int_equal(*second, 'b');
  assert_int_equal(rpc_deframer_peek(&d, &second, &len), RPC_FRAME_PARTIAL);
  rpc_deframer_release(&d);
  assert_int_equal(d.len, 2);
  assert_int_equal(rpc_deframer_add(&d, (const uint8_t *)"\0\0\1c", 4), 0);
  assert_int_equal(rpc_deframer_peek(&d, &first, &len), RPC_FRAME_MESSAGE);
  assert_int_equal(*first, 'c');
  rpc_deframer_finish(&d);
}

/* A buffer full of small messages, taken one by one, is not moved for each. */
static void moves_seldom(void **state) {
  (void)state;
  static const uint8_t empty[5 * 4096];
  rpc_deframer d = {.limit = 100};
  const uint8_t *data;
  size_t len, moves = 0;
  assert_int_equal(rpc_deframer_add(&d, empty, sizeof(empty)), 0);
  for (size_t taken = 1; taken <= 4096; taken++) {
    assert_int_equal(rpc_deframer_peek(&d, &data, &len), RPC_FRAME_MESSAGE);
    rpc_deframer_skip(&d);
    rpc_deframer_release(&d);
    moves += d.at == 0;
    assert_int_equal(d.len - d.at, sizeof(empty) - 5 * taken);
  }
  assert_true(moves <= 13); /* each time half of it is gone */
  assert_int_equal(d.room, 0);
  rpc_deframer_finish(&d);
}

/* A large buffer is not kept; and none grows by what a prefix claims. */
static void room(void **state) {
  (void)state;
  rpc_deframer d = {.limit = UINT32_MAX};
  buf wire = {0};
  const uint8_t *data;
  size_t len;
  assert_int_equal(rpc_deframer_add(&d, (const uint8_t *)"\0\xff\xff\xff\xff", 5), 0);
  assert_int_equal(rpc_deframer_peek(&d, &data, &len), RPC_FRAME_PARTIAL);
  assert_true(d.room < 1000);
  rpc_deframer_finish(&d);
  add_message(&wire, 0, 100000, 'x');
  assert_int_equal(rpc_deframer_add(&d, wire.data, wire.len), 0);
  assert_int_equal(rpc_deframer_peek(&d, &data, &len), RPC_FRAME_MESSAGE);
  rpc_deframer_skip(&d);
  rpc_deframer_release(&d);
  assert_int_equal(d.room, 0);
  buf_finish(&wire);
  rpc_deframer_finish(&d);
}

static void memory_runs_out(void **state) {
  (void)state;
  rpc_deframer d = {.limit = 100};
  fail_at(1);
  assert_int_equal(rpc_deframer_add(&d, (const uint8_t *)"\0\0\0\0\0", 5), CAW_ENOMEM);
  const uint8_t *data;
  size_t len;
  assert_int_equal(rpc_deframer_peek(&d, &data, &len), RPC_FRAME_NONE);
  rpc_deframer_finish(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      failing_test(cut_anyhow),   failing_test(prefixes), failing_test(kept_until_release),
      failing_test(moves_seldom), failing_test(room),     failing_test(memory_runs_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
