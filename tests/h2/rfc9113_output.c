/*
 * RFC 9113, what an end sends: its preface, header blocks that do not fit into a
 * frame, the size of its compression table, and the credit that it gives. The rules
 * that hold for every frame are audit.h's.
 */
#include "audit.h"
#include "wire.h"

#include <stdio.h>
#include <string.h>

static rig_end e;

static uint32_t u32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The n-th frame of a type from `from` on, and its length. NULL: there is none. */
static const uint8_t *frame_at(size_t from, unsigned type, size_t nth, size_t *len) {
  for (size_t at = from; at < e.wire.len; at += 9 + *len) {
    const uint8_t *p = e.wire.data + at;
    *len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
    if (p[3] == type && nth-- == 0) return p;
  }
  return NULL;
}

static void check_audit(h2_role role) {
  const char *wrong = audit(e.wire.data, e.wire.len, role, 16384);
  if (wrong) print_error("%s\n", wrong);
  assert_null(wrong);
}

/* ---- 3.4, 6.5 ---- */

static bool has_setting(const uint8_t *frame, size_t len, unsigned id, uint32_t *value) {
  for (size_t i = 9; i < 9 + len; i += 6)
    if (((unsigned)frame[i] << 8 | frame[i + 1]) == id) {
      *value = u32(frame + i + 2);
      return true;
    }
  return false;
}

static void test_preface(void **state) {
  (void)state;
  static const h2_config config = {.max_streams = 7,
                                   .stream_window = 70000,
                                   .session_window = 80000,
                                   .max_frame = 20000,
                                   .soft_header_bytes = 9000};
  for (int role = H2_CLIENT; role <= H2_SERVER; role++) {
    size_t len = 0, magic = role == H2_CLIENT ? 24 : 0;
    uint32_t value;
    rig_start_end(&e, (h2_role)role, &config);
    rig_drain(&e);
    check_audit((h2_role)role);
    const uint8_t *f = frame_at(magic, F_SETTINGS, 0, &len);
    assert_ptr_equal(f, e.wire.data + magic);
    assert_int_equal(has_setting(f, len, 2, &value), role == H2_CLIENT); /* ENABLE_PUSH */
    if (role == H2_CLIENT) assert_int_equal(value, 0);
    assert_int_equal(has_setting(f, len, 3, &value), role == H2_SERVER);
    if (role == H2_SERVER) assert_int_equal(value, 7);
    assert_true(has_setting(f, len, 4, &value));
    assert_int_equal(value, 70000);
    assert_true(has_setting(f, len, 5, &value));
    assert_int_equal(value, 20000);
    assert_true(has_setting(f, len, 6, &value));
    assert_int_equal(value, 9000);
    /* 6.9.2: only WINDOW_UPDATE changes the connection's window. */
    f = frame_at(magic, F_WINDOW, 0, &len);
    assert_non_null(f);
    assert_int_equal(u32(f + 5), 0);
    assert_int_equal(65535 + u32(f + 9), 80000);
    rig_stop_end(&e);
  }
}

/* ---- 4.3, 6.10: a block larger than a frame ---- */

static void test_large_block(void **state) {
  (void)state;
  static char big[60000];
  memset(big, '~', sizeof(big)); /* which Huffman's code makes longer */
  for (size_t size = 16300; size < sizeof(big); size = size < 16420 ? size + 1 : size + 9001) {
    h2_field f[] = {{CAW_STR(":status"), CAW_STR("200"), H2_T_NONE, 0},
                    {CAW_STR("k"), {big, size}, H2_T_NONE, 0}};
    size_t from = wire_start(&e, H2_SERVER, NULL, false), len;
    wire_play(&e, "HEADERS 1 es eh @req", 0);
    h2_stream *st = e.streams[0].h2;
    assert_int_equal(h2_respond(e.s, st, f, 2), 0);
    assert_int_equal(h2_finish(e.s, st, f + 1, 1), 0);
    rig_drain(&e);
    check_audit(H2_SERVER);
    assert_non_null(frame_at(from, F_HEADERS, 1, &len));
    assert_null(frame_at(from, F_HEADERS, 2, &len));
    if (size > 20000) assert_non_null(frame_at(from, F_CONTINUATION, 1, &len));
    rig_stop_end(&e);
  }
}

/* ---- 6.5.2: the peer's SETTINGS_MAX_FRAME_SIZE, also when it falls ---- */

/* The largest frame of a type from `from` on. */
static size_t largest(size_t from, unsigned type) {
  size_t len = 0, most = 0;
  for (size_t i = 0; frame_at(from, type, i, &len); i++)
    if (len > most) most = len;
  return most;
}

static void test_frame_size(void **state) {
  (void)state;
  static char big[30000];
  static const struct {
    const char *settings;
    size_t most;
  } cases[] = {{"SETTINGS 0", 16384},
               {"SETTINGS 0 5=20000", 20000},
               {"SETTINGS 0 5=16777215", 16777215},
               {"SETTINGS 0 5=20000; SETTINGS 0 5=16384", 16384},
               {"SETTINGS 0 5=20000 5=17000", 17000}};
  memset(big, '~', sizeof(big));
  h2_field f[] = {{CAW_STR(":status"), CAW_STR("200"), H2_T_NONE, 0},
                  {CAW_STR("k"), {big, sizeof(big)}, H2_T_NONE, 0}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    size_t from = wire_start(&e, H2_SERVER, NULL, false);
    wire_play(&e, cases[i].settings, 0);
    wire_play(&e, "HEADERS 1 es eh @req", 0);
    h2_stream *st = e.streams[0].h2;
    assert_int_equal(h2_respond(e.s, st, f, 2), 0);
    wire_play(&e, "send 1 60000", 0);
    rig_drain(&e);
    size_t headers = largest(from, F_HEADERS), data = largest(from, F_DATA);
    assert_in_range(headers, 16384, cases[i].most);
    assert_in_range(data, 16384, cases[i].most);
    assert_in_range(largest(from, F_CONTINUATION), 0, cases[i].most);
    rig_stop_end(&e);
  }
}

/* ---- 4.3.1: the peer's SETTINGS_HEADER_TABLE_SIZE ---- */

/* "its HPACK encoder MUST start the next field block with a Dynamic Table Size
 * Update"; of several changes the smallest and the last count (RFC 7541 4.2). */
static void test_table_size(void **state) {
  (void)state;
  static const struct {
    const char *settings;
    const char *begin; /* of the next block */
    size_t len;
  } cases[] = {
      {"SETTINGS 0 1=0", "\x20", 1},
      {"SETTINGS 0 1=100", "\x3f\x45", 2},
      {"SETTINGS 0 1=0 1=4096", "\x20\x3f\xe1\x1f", 4},
      {"SETTINGS 0 1=0; SETTINGS 0 1=100", "\x20\x3f\x45", 3},
      {"SETTINGS 0 1=50 1=2000 1=100", "\x3f\x13\x3f\x45", 4},
      {"SETTINGS 0 1=0; SETTINGS 0 1=0xffffffff", "\x20\x3f\xe1\x1f", 4},
      /* Nothing was reduced: a block begins with a field, here :status 200. */
      {"SETTINGS 0 1=4096", "\x88", 1},
      {"SETTINGS 0 1=0xffffffff", "\x88", 1},
      {"SETTINGS 0", "\x88", 1},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    for (int used = 0; used < 2; used++) {
      size_t from = wire_start(&e, H2_SERVER, NULL, false), len;
      if (used) { /* there is something in the table */
        wire_play(&e, "HEADERS 1 es eh @req; respond 1; trailers 1; drain", 0);
        from = e.wire.len;
      }
      wire_play(&e, cases[i].settings, 0);
      wire_play(&e, used ? "HEADERS 3 es eh @req; respond 3" : "HEADERS 1 es eh @req; respond 1",
                0);
      rig_drain(&e);
      const uint8_t *f = frame_at(from, F_HEADERS, 0, &len);
      assert_non_null(f);
      assert_true(len > cases[i].len);
      if (memcmp(f + 9, cases[i].begin, cases[i].len) != 0)
        print_error("%s: %02x %02x %02x %02x\n", cases[i].settings, f[9], f[10], f[11], f[12]);
      assert_memory_equal(f + 9, cases[i].begin, cases[i].len);
      /* The update is made once. */
      from = e.wire.len;
      wire_play(&e, "HEADERS 5 es eh @req; respond 5", 0);
      rig_drain(&e);
      f = frame_at(from, F_HEADERS, 0, &len);
      assert_non_null(f);
      assert_int_equal(f[9], 0x88);
      rig_stop_end(&e);
    }
}

/* With a table of no octets nothing is referred to that was in it. */
static void test_table_of_nothing(void **state) {
  (void)state;
  size_t from, len = 0;
  wire_start(&e, H2_SERVER, NULL, false);
  wire_play(&e, "SETTINGS 0 1=0", 0);
  for (unsigned id = 1; id < 20; id += 2) {
    char script[80];
    from = e.wire.len;
    snprintf(script, sizeof(script), "HEADERS %u es eh @req; respond %u; trailers %u", id, id, id);
    wire_play(&e, script, 0);
    rig_drain(&e);
    for (size_t nth = 0; nth < 2; nth++) {
      const uint8_t *f = frame_at(from, F_HEADERS, nth, &len);
      assert_non_null(f);
      /* Neither an index of the dynamic table, nor a field that goes into it. */
      size_t at = 9 + (id == 1 && nth == 0 ? 1 : 0);
      if (f[at] == 0x88) at++;
      assert_true(at < 9 + len);
      assert_true((f[at] & 0x80) == 0 && (f[at] & 0xc0) != 0x40);
    }
  }
  check_audit(H2_SERVER);
  rig_stop_end(&e);
}

/* ---- 6.9.1: "A sender MUST NOT allow a flow-control window to exceed 2^31-1" ---- */

/* What the peer may send on stream 1, if that window began with `initial`. */
static int64_t credit_of_stream(uint32_t initial, size_t received) {
  size_t len = 0;
  int64_t credit = (int64_t)initial - (int64_t)received;
  const uint8_t *f;
  for (size_t i = 0; (f = frame_at(0, F_WINDOW, i, &len)); i++)
    if (u32(f + 5) == 1) credit += u32(f + 9);
  return credit;
}

static int64_t credit_of_session(size_t received) {
  size_t len = 0;
  int64_t credit = 65535 - (int64_t)received;
  const uint8_t *f;
  for (size_t i = 0; (f = frame_at(0, F_WINDOW, i, &len)); i++)
    if (u32(f + 5) == 0) credit += u32(f + 9);
  return credit;
}

/* Before the peer has acknowledged our SETTINGS as well as after it: no window passes
 * 2^31-1, and no stream's passes what its owner wanted, as the peer counts. */
static void test_credit(void **state) {
  (void)state;
  static const uint32_t windows[] = {1,      1000,     65534,      65535,     65536,
                                     262144, 1u << 30, 0x7fff0000, 0x7fffffff};
  for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++)
    for (int early = 0; early < 2; early++) {
      h2_config config = {.stream_window = windows[i], .session_window = windows[i]};
      rig_start_end(&e, H2_SERVER, &config);
      rig_drain(&e);
      wire_play(&e, "MAGIC; SETTINGS 0", 0);
      if (!early) wire_play(&e, "SETTINGS 0 ack", 0);
      wire_play(&e, "HEADERS 1 eh @req", 0);
      size_t sent = 0;
      for (int k = 0; k < 200; k++) {
        if (k == 100 && early) wire_play(&e, "SETTINGS 0 ack", 0);
        rig_drain(&e);
        int64_t credit = credit_of_stream(early && k < 100 ? 65535 : windows[i], sent);
        if (credit_of_session(sent) < credit) credit = credit_of_session(sent);
        size_t n = credit < 0 ? 0 : credit < 3000 ? (size_t)credit : 3000;
        char script[80];
        snprintf(script, sizeof(script), "DATA 1 %zu*61; consume 1 %zu", n, n);
        wire_play(&e, script, 0);
        sent += n;
        rig_drain(&e);
        assert_true(credit_of_stream(windows[i], sent) <= (int64_t)windows[i]);
        assert_true(credit_of_session(sent) <= INT32_MAX);
        if (e.rc) print_error("%u, %d, %d: %s\n", (unsigned)windows[i], early, k, h2_failure(e.s));
        assert_int_equal(e.rc, 0);
      }
      assert_int_equal(e.streams[0].received, sent);
      assert_true(sent > 0);
      rig_stop_end(&e);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_preface),          cmocka_unit_test(test_large_block),
      cmocka_unit_test(test_frame_size),       cmocka_unit_test(test_table_size),
      cmocka_unit_test(test_table_of_nothing), cmocka_unit_test(test_credit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
