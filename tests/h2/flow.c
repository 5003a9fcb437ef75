/* Flow control, the bounded backlog, and payload that is not copied. */
#include "rig.h"

#include <string.h>

static rig r;

/* A reader that gives no window back gets one window and no more. */
static void test_withheld_window(void **state) {
  (void)state;
  static const h2_config server = {.stream_window = 100000};
  for (unsigned chunk = 0; chunk < 4; chunk += 2) {
    rig_start(&r, NULL, &server);
    r.chunk = chunk;
    rig_pump(&r); /* SETTINGS first: the window is 100,000 from the start */
    rig_stream *c = rig_request(&r.client, "/s/m");
    rig_send(c, 1 << 20);
    rig_finish(c, NULL);
    rig_pump(&r);
    rig_stream *s = &r.server.streams[0];
    assert_int_equal(s->received, 100000);
    assert_int_equal(c->sent, 100000);
    assert_false(h2_want_output(r.client.s));
    /* Another stream is not held up by it. */
    rig_stream *other = rig_request(&r.client, "/s/m");
    rig_send(other, 5000);
    rig_pump(&r);
    assert_int_equal(r.server.streams[1].received, 5000);
    /* Less than half a window is kept back, then all of it is told. */
    h2_consume(r.server.s, s->h2, 40000);
    rig_pump(&r);
    assert_int_equal(s->received, 100000);
    h2_consume(r.server.s, s->h2, 20000);
    rig_pump(&r);
    assert_int_equal(s->received, 160000);
    while (!s->ends) {
      size_t had = s->received;
      h2_consume(r.server.s, s->h2, 100000);
      rig_pump(&r);
      assert_true(s->received > had);
    }
    assert_int_equal(s->received, 1 << 20);
    rig_stop(&r);
  }
}

/* The connection's window comes back without h2_consume: many streams that
 * nobody reads can each fill their own window. */
static void test_connection_window(void **state) {
  (void)state;
  static const h2_config server = {.stream_window = 65535, .session_window = 100000};
  rig_start(&r, NULL, &server);
  rig_pump(&r);
  for (int i = 0; i < 30; i++) rig_send(rig_request(&r.client, "/s/m"), 70000);
  rig_pump(&r);
  for (int i = 0; i < 30; i++) assert_int_equal(r.server.streams[i].received, 65535);
  rig_stop(&r);
}

/* No more than about 112 KiB is framed, however much is queued and allowed. */
static void test_backlog(void **state) {
  (void)state;
  static const h2_config server = {.stream_window = 64 << 20, .session_window = 64 << 20};
  rig_start(&r, NULL, &server);
  rig_pump(&r);
  rig_stream *c = rig_request(&r.client, "/s/m");
  for (int i = 0; i < 8; i++) rig_send(c, 1 << 20);
  struct iovec parts[256];
  size_t framed = 0;
  for (int round = 0; round < 3; round++) {
    int n = h2_output(r.client.s, parts, 256);
    framed = 0;
    for (int i = 0; i < n; i++) framed += parts[i].iov_len;
    assert_in_range(framed, 112 * 1024, 112 * 1024 + 17000);
  }
  /* What is written makes room for as much. */
  h2_written(r.client.s, 100000);
  int n = h2_output(r.client.s, parts, 256);
  size_t after = 0;
  for (int i = 0; i < n; i++) after += parts[i].iov_len;
  assert_in_range(after, 112 * 1024, 112 * 1024 + 17000);
  rig_stop(&r);
}

/* Large payload lies in the output where it lies in the slice, whatever the
 * frames cut it into; small payload is copied, together with the frame heads. */
static void test_reference_not_copy(void **state) {
  (void)state;
  static const h2_config server = {.stream_window = 64 << 20, .session_window = 64 << 20};
  rig_start(&r, NULL, &server);
  rig_pump(&r);
  rig_stream *c = rig_request(&r.client, "/s/m");
  rig_drain(&r.client);
  slice big = rig_slice(1 << 20);
  const uint8_t *at = big.data;
  rig_send(c, 5);
  h2_send(r.client.s, c->h2, big);
  rig_finish(c, NULL);
  size_t referenced = 0, copied = 0;
  for (;;) {
    struct iovec parts[7];
    int n = h2_output(r.client.s, parts, 7);
    if (!n) break;
    size_t total = 0;
    for (int i = 0; i < n; i++) {
      const uint8_t *p = parts[i].iov_base;
      if (p >= at && p < at + (1 << 20)) {
        assert_ptr_equal(p, at + referenced);
        referenced += parts[i].iov_len;
      } else {
        copied += parts[i].iov_len;
      }
      total += parts[i].iov_len;
    }
    assert_int_equal(rig_slices_live, 1);
    h2_written(r.client.s, total);
  }
  assert_int_equal(rig_slices_live, 0);
  /* 65 DATA frames: their heads, the 5 bytes, and a tail below 1 KiB. */
  assert_int_equal(referenced + copied, (1 << 20) + 5 + 65 * 9);
  assert_in_range(copied, 5 + 65 * 9, 5 + 65 * 9 + 1023);
  rig_stop(&r);
}

/* Small messages coalesce into one part. */
static void test_small_parts_coalesce(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  rig_pump(&r);
  for (int i = 0; i < 5; i++) {
    rig_stream *c = rig_request(&r.client, "/s/m");
    rig_send(c, 60);
    rig_finish(c, NULL);
  }
  struct iovec parts[64];
  assert_int_equal(h2_output(r.client.s, parts, 64), 1);
  h2_written(r.client.s, parts[0].iov_len);
  assert_int_equal(h2_output(r.client.s, parts, 64), 0);
  rig_stop(&r);
}

/* A slice whose first half is on its way out outlives a reset of its stream. */
static void test_reset_with_bytes_on_their_way(void **state) {
  (void)state;
  static const h2_config server = {.stream_window = 64 << 20, .session_window = 64 << 20};
  for (int by_peer = 0; by_peer < 2; by_peer++) {
    rig_start(&r, NULL, &server);
    rig_pump(&r);
    rig_stream *c = rig_request(&r.client, "/s/m");
    rig_send(c, 1 << 20);
    rig_send(c, 1 << 20);
    struct iovec parts[64];
    int n = h2_output(r.client.s, parts, 64);
    size_t total = 0;
    for (int i = 0; i < n; i++) total += parts[i].iov_len;
    if (by_peer) {
      buf b = {0};
      frame(&b, F_RST, 0, c->id, "\0\0\0\x8", 4);
      rig_feed(&r.client, b.data, b.len, 0);
      assert_int_equal(c->closes, 1);
      buf_finish(&b);
    } else {
      h2_reset(r.client.s, c->h2, H2_CANCEL);
    }
    assert_int_equal(rig_slices_live, 1); /* the second one has gone */
    uint32_t sum = 0;
    for (int i = 0; i < n; i++) sum = rig_sum(sum, parts[i].iov_base, parts[i].iov_len);
    h2_written(r.client.s, total - 1);
    assert_int_equal(rig_slices_live, 1);
    h2_written(r.client.s, 1);
    assert_int_equal(rig_slices_live, 0);
    assert_true(sum != 0);
    rig_stop(&r);
  }
}

/* Payload arrives as it was sent, through slices of all sizes. */
static void test_contents(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 2,     1023,  1024, 1025, 16383,  16384, 16385, 7,     0,
                                 9, 32768, 50000, 1000, 1000, 100000, 5,     1024,  40000, 3};
  for (unsigned chunk = 0; chunk < 6; chunk++) {
    rig_start(&r, NULL, NULL);
    r.chunk = chunk;
    rig_stream *c = rig_request(&r.client, "/s/m");
    uint32_t sum = 2166136261u;
    size_t total = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
      slice s = rig_slice(sizes[i]);
      sum = rig_sum(sum, s.data, s.len);
      total += sizes[i];
      assert_int_equal(h2_send(r.client.s, c->h2, s), 0);
    }
    rig_finish(c, NULL);
    rig_pump(&r);
    rig_stream *s = &r.server.streams[0];
    while (!s->ends) {
      h2_consume(r.server.s, s->h2, 200000);
      rig_pump(&r);
    }
    assert_int_equal(s->received, total);
    assert_int_equal(s->sum, sum);
    assert_int_equal(c->sent, total);
    rig_stop(&r);
  }
}

/* Memory that nobody owns needs no release. */
static void test_static_payload(void **state) {
  (void)state;
  static uint8_t bytes[100000];
  memset(bytes, 'z', sizeof(bytes));
  rig_start(&r, NULL, NULL);
  rig_stream *c = rig_request(&r.client, "/s/m");
  assert_int_equal(h2_send(r.client.s, c->h2, (slice){bytes, sizeof(bytes), NULL, NULL}), 0);
  rig_finish(c, NULL);
  rig_pump(&r);
  assert_int_equal(r.server.streams[0].received, sizeof(bytes));
  rig_stop(&r);
}

/* Reading frames no DATA, although it may frame acks: nothing is told of being
 * sent before h2_output is called. */
static void test_reading_sends_no_data(void **state) {
  (void)state;
  rig_start(&r, NULL, NULL);
  rig_pump(&r);
  rig_stream *c = rig_request(&r.client, "/s/m");
  rig_pump(&r);
  rig_send(c, 5000);
  buf b = {0};
  frame(&b, F_PING, 0, 0, "12345678", 8);
  assert_int_equal(rig_feed(&r.client, b.data, b.len, 0), 0);
  assert_int_equal(c->sent, 0);
  size_t from = r.client.wire.len;
  rig_drain(&r.client);
  assert_int_equal(c->sent, 5000);
  rig_expect_frames(&r.client, from, "PING 0 ack\nDATA 1 5000\n");
  buf_finish(&b);
  rig_stop(&r);
}

/* Streams that all have much to send share the connection. */
static void test_streams_share(void **state) {
  (void)state;
  static const h2_config server = {.stream_window = 64 << 20, .session_window = 64 << 20};
  rig_start(&r, NULL, &server);
  rig_pump(&r);
  for (int i = 0; i < 4; i++) rig_send(rig_request(&r.client, "/s/m"), 1 << 20);
  for (int i = 0; i < 9; i++) {
    struct iovec parts[256];
    int n = h2_output(r.client.s, parts, 256);
    size_t total = 0;
    for (int k = 0; k < n; k++) total += parts[k].iov_len;
    h2_written(r.client.s, total);
  }
  for (int i = 0; i < 4; i++) assert_in_range(r.client.streams[i].sent, 200 * 1024, 320 * 1024);
  rig_stop(&r);
}

static size_t gathered(rig_end *e) {
  struct iovec parts[256];
  int n = h2_output(e->s, parts, 256);
  size_t total = 0;
  for (int i = 0; i < n; i++) total += parts[i].iov_len;
  return total;
}

/* A peer that takes frames of 16 MiB gets none of them: others wait behind a frame. */
static void test_large_frames(void **state) {
  (void)state;
  static const h2_config client = {.stream_window = 64 << 20,
                                   .session_window = 64 << 20,
                                   .max_frame = (1 << 24) - 1};
  rig_start(&r, &client, NULL);
  for (int i = 0; i < 2; i++) rig_finish(rig_request(&r.client, "/s/m"), NULL);
  rig_pump(&r);
  rig_stream *large = &r.server.streams[0], *small = &r.server.streams[1];
  rig_respond(large);
  rig_respond(small);
  rig_send(large, 1 << 24);
  rig_send(small, 100);
  assert_true(gathered(&r.server) <= 112 * 1024 + 56 * 1024 + 1000);
  assert_int_equal(small->sent, 100);
  rig_pump(&r);
  assert_int_equal(r.client.streams[0].received, 1 << 24);
  rig_stop(&r);
}

/* Short answers that go out at once leave a long one its turns, also when the kernel
 * never takes all that is framed. */
static void test_long_among_short(void **state) {
  (void)state;
  static const h2_config client = {.stream_window = 64 << 20, .session_window = 64 << 20};
  rig_start(&r, &client, NULL);
  rig_finish(rig_request(&r.client, "/s/m"), NULL);
  rig_pump(&r);
  rig_stream *large = &r.server.streams[0];
  rig_respond(large);
  rig_send(large, 8 << 20);
  gathered(&r.server);
  size_t before = large->sent;
  for (int round = 0; round < 20; round++) {
    h2_written(r.server.s, 64 * 1024);
    for (int i = 0; i < 4; i++) {
      rig_finish(rig_request(&r.client, "/s/m"), NULL);
      rig_carry(&r, &r.client, &r.server, SIZE_MAX);
      rig_stream *st = &r.server.streams[r.server.count - 1];
      rig_respond(st);
      rig_send(st, 16384);
      rig_finish(st, "0");
    }
    gathered(&r.server);
  }
  assert_true(large->sent >= before + 4 * 16384);
  assert_true(r.server.streams[1].closes == 1);
  rig_stop(&r);
}

static size_t count_lines(const char *text, const char *prefix) {
  size_t n = 0;
  for (; text && *text; text = strchr(text, '\n'), text += text != NULL)
    n += strncmp(text, prefix, strlen(prefix)) == 0;
  return n;
}

/* What is expected may come in one go, as far as the window may grow: exactly that,
 * whether the peer has acknowledged our SETTINGS or not. */
static void test_expected_message(void **state) {
  (void)state;
  static const struct {
    uint32_t window, growth;
    size_t message, comes;
  } cases[] = {
      {65535, 16 << 20, 4 << 20, 4 << 20},
      {1000, 16 << 20, 4 << 20, 4 << 20},
      {1000, 16 << 20, 65537, 65537},
      {262144, 16 << 20, 4 << 20, 4 << 20},
      {262144, 1 << 20, 4 << 20, 262144 + (1 << 20)},
      {262144, 16 << 20, 12 << 20, 8 << 20}, /* no window grows beyond */
      {16 << 20, 1 << 20, 17 << 20, 16 << 20},
  };
  for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
    bool acked = i % 2;
    const h2_config config = {.stream_window = cases[i / 2].window,
                              .session_window = 64 << 20,
                              .window_growth = cases[i / 2].growth};
    size_t message = cases[i / 2].message;
    rig_start(&r, NULL, &config);
    if (acked) rig_pump(&r);
    rig_stream *c = rig_request(&r.client, "/s/m");
    rig_send(c, message);
    while (!r.server.count) rig_carry(&r, &r.client, &r.server, SIZE_MAX);
    h2_stream *st = r.server.streams[0].h2;
    assert_int_equal(h2_expect(r.server.s, st, message), 0);
    assert_int_equal(h2_expect(r.server.s, st, message), 0); /* gives no more */
    rig_pump(&r);
    size_t before = acked || cases[i / 2].window > 65535 ? 0 : 65535 - cases[i / 2].window;
    assert_in_range(c->sent, cases[i / 2].comes, cases[i / 2].comes + before);
    assert_int_equal(r.server.streams[0].received, c->sent);
    assert_int_equal(r.server.streams[0].closes, 0);
    rig_stop(&r);
  }
}

/* A message that is larger than its window may grow comes, window by window: each
 * half is given back once, and not what a read has brought. */
static void test_message_beyond_growth(void **state) {
  (void)state;
  static const h2_config config = {.stream_window = 65535, .window_growth = 1 << 20};
  enum { MESSAGE = 16 << 20 };
  rig_start(&r, NULL, &config);
  rig_pump(&r);
  rig_stream *c = rig_request(&r.client, "/s/m");
  rig_send(c, MESSAGE);
  rig_pump(&r);
  rig_stream *s = &r.server.streams[0];
  size_t taken = 0, from = r.server.wire.len;
  while (taken < MESSAGE) {
    assert_true(s->received > taken);
    h2_consume(r.server.s, s->h2, s->received - taken);
    taken = s->received;
    assert_int_equal(h2_expect(r.server.s, s->h2, MESSAGE - taken), 0);
    rig_carry(&r, &r.server, &r.client, SIZE_MAX);
    rig_carry(&r, &r.client, &r.server, 5000); /* a read */
    while (s->received == taken && rig_carry(&r, &r.client, &r.server, 5000)) continue;
  }
  char *frames = rig_frames(r.server.wire.data + from, r.server.wire.len - from);
  assert_in_range(count_lines(frames, "WINDOW 1"), 16, 40);
  caw_free(frames);
  rig_stop(&r);
}

static size_t updates_since(size_t from) {
  char *frames = rig_frames(r.server.wire.data + from, r.server.wire.len - from);
  size_t n = count_lines(frames, "WINDOW");
  caw_free(frames);
  return n;
}

/* A window that is used up gets a byte when only the end is awaited, and no other does:
 * nor that of a stream whose end is there, which was reset, or whose session has failed. */
static void test_await_end(void **state) {
  (void)state;
  static const h2_config config = {.stream_window = 1000};
  rig_start(&r, NULL, &config);
  rig_pump(&r);
  rig_stream *full = rig_request(&r.client, "/s/m"), *half = rig_request(&r.client, "/s/m");
  rig_send(full, 1500);
  rig_send(half, 10);
  rig_pump(&r);
  rig_stream *s = r.server.streams;
  assert_int_equal(s[0].received, 1000);
  assert_int_equal(s[1].received, 10);

  size_t from = r.server.wire.len;
  assert_int_equal(h2_await_end(r.server.s, s[1].h2), 0);
  rig_pump(&r);
  assert_int_equal(updates_since(from), 0);
  assert_int_equal(h2_await_end(r.server.s, s[0].h2), 0);
  rig_pump(&r);
  assert_int_equal(updates_since(from), 1);
  assert_int_equal(s[0].received, 1001);

  from = r.server.wire.len;
  rig_finish(half, NULL);
  rig_pump(&r);
  assert_int_equal(s[1].ends, 1);
  assert_int_equal(h2_await_end(r.server.s, s[1].h2), 0);
  assert_int_equal(h2_reset(r.server.s, s[0].h2, H2_CANCEL), 0);
  assert_int_equal(h2_await_end(r.server.s, s[0].h2), 0);
  static const uint8_t bad[9] = {0, 0, 1, 4};
  assert_int_not_equal(rig_feed(&r.server, bad, sizeof(bad), 0), 0);
  assert_int_equal(h2_await_end(r.server.s, s[1].h2), 0);
  rig_drain(&r.server);
  assert_int_equal(updates_since(from), 0);
  rig_stop(&r);
}

/* ---- a long path ---- */

#define TICK    UINT64_C(131072) /* nanoseconds, for 16 KiB: 1 Gbit/s */
#define PACKET  ((size_t)16384)
#define ON_PATH 1024

/* One way: packets that arrive in time. */
typedef struct way {
  struct {
    uint64_t at;
    size_t len;
    uint8_t bytes[PACKET];
  } packets[ON_PATH];
  size_t first, last;
} way;

static void set_out(way *w, rig_end *from, uint64_t arrival) {
  struct iovec parts[64];
  int n = h2_output(from->s, parts, 64);
  size_t len = 0;
  uint8_t *to = w->packets[w->last % ON_PATH].bytes;
  for (int i = 0; i < n && len < PACKET; i++) {
    size_t k = parts[i].iov_len < PACKET - len ? parts[i].iov_len : PACKET - len;
    memcpy(to + len, parts[i].iov_base, k);
    len += k;
  }
  if (!len) return;
  h2_written(from->s, len);
  w->packets[w->last % ON_PATH].at = arrival;
  w->packets[w->last++ % ON_PATH].len = len;
  assert_true(w->last - w->first < ON_PATH);
}

static void arrive(way *w, rig_end *to, uint64_t now) {
  for (; w->first < w->last && w->packets[w->first % ON_PATH].at <= now; w->first++)
    assert_int_equal(h2_recv(to->s, w->packets[w->first % ON_PATH].bytes,
                             w->packets[w->first % ON_PATH].len),
                     0);
}

/* How much of a stream comes in half a second over a path of 1 Gbit/s whose round trip takes
 * 20 ms, if its reader is fast; the stream begins at *now. */
static size_t in_half_a_second(uint64_t *now, bool clock) {
  static way up, down;
  const uint64_t half = 10000000, end = *now + 500000000;
  rig_stream *c = rig_request(&r.client, "/s/m"), *s = &r.server.streams[r.server.count];
  size_t taken = 0;
  s->received = 0;
  for (int i = 0; i < 4; i++) rig_send(c, 16 << 20);
  for (; *now < end; *now += TICK) {
    if (clock) h2_at(r.server.s, *now);
    arrive(&up, &r.server, *now);
    if (s->h2 && s->received > taken) h2_consume(r.server.s, s->h2, s->received - taken);
    taken = s->received;
    set_out(&down, &r.server, *now + half);
    arrive(&down, &r.client, *now);
    set_out(&up, &r.client, *now + half);
  }
  h2_reset(r.client.s, c->h2, H2_CANCEL);
  for (uint64_t last = *now + 4 * half; *now < last; *now += TICK) {
    arrive(&up, &r.server, *now);
    set_out(&down, &r.server, *now + half);
    arrive(&down, &r.client, *now);
    set_out(&up, &r.client, *now + half);
  }
  return taken;
}

/* The windows grow until they do not hold the peer back: 59 MiB would pass in that time,
 * 3 do with a window of 256 KiB. Later streams of the connection do not stay behind. */
static void test_long_path(void **state) {
  (void)state;
  static const h2_config large = {.session_window = 8 << 20}, *configs[] = {NULL, &large};
  for (int i = 0; i < 4; i++) {
    uint64_t now = 1000000000;
    rig_start(&r, NULL, configs[i / 2]);
    rig_pump(&r);
    for (int k = 0; k < 2; k++) {
      size_t came = in_half_a_second(&now, i % 2);
      if (came < (size_t)30 << 20) print_error("%d, stream %d: %zu bytes\n", i, k, came);
      assert_true(came >= (size_t)30 << 20);
    }
    rig_stop(&r);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_withheld_window),
      cmocka_unit_test(test_connection_window),
      cmocka_unit_test(test_backlog),
      cmocka_unit_test(test_reference_not_copy),
      cmocka_unit_test(test_small_parts_coalesce),
      cmocka_unit_test(test_reset_with_bytes_on_their_way),
      cmocka_unit_test(test_contents),
      cmocka_unit_test(test_static_payload),
      cmocka_unit_test(test_reading_sends_no_data),
      cmocka_unit_test(test_streams_share),
      cmocka_unit_test(test_expected_message),
      cmocka_unit_test(test_message_beyond_growth),
      cmocka_unit_test(test_await_end),
      cmocka_unit_test(test_long_path),
      cmocka_unit_test(test_large_frames),
      cmocka_unit_test(test_long_among_short),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
