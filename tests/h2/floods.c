/*
 * Peers that cost more than they pay: what is counted as noise and as early ends, and
 * that an allowance ends them; blocks that unpack to much; answers that nobody reads.
 */
#include "wire.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rig_end e;

/* ---- memory in use ---- */

static size_t bytes_live, bytes_peak;

static void count(void *p) {
  if (p) bytes_live += malloc_usable_size(p);
  if (bytes_live > bytes_peak) bytes_peak = bytes_live;
}

static void *counting_malloc(size_t n, void *user) {
  void *p = malloc(n);
  (void)user;
  count(p);
  return p;
}

static void *counting_realloc(void *old, size_t n, void *user) {
  size_t before = old ? malloc_usable_size(old) : 0;
  void *p = realloc(old, n);
  (void)user;
  if (p) bytes_live -= before;
  count(p);
  return p;
}

static void counting_free(void *p, void *user) {
  (void)user;
  if (p) bytes_live -= malloc_usable_size(p);
  free(p);
}

static int count_memory(void **state) {
  static const caw_allocator a = {sizeof(a), counting_malloc, counting_realloc, counting_free,
                                  NULL};
  (void)state;
  return caw_set_allocator(&a);
}

/* ---- noise and early ends, one by one ---- */

#define OPEN "HEADERS %u eh @req"

typedef struct offence {
  const char *name;
  h2_role role;
  const char *before; /* once */
  const char *script; /* again and again; %u is a new stream */
  unsigned noise, resets;
} offence;

static const offence offences[] = {
    /* Frames that say nothing. */
    {"PING", S, "", "PING 0 8*00", 1, 0},
    {"PING with ACK", S, "", "PING 0 ack 8*00", 1, 0},
    {"PING to a client", C, "", "PING 0 8*00", 1, 0},
    {"SETTINGS", S, "", "SETTINGS 0", 1, 0},
    {"SETTINGS with values", S, "", "SETTINGS 0 3=5 4=10", 1, 0},
    {"SETTINGS with windows", S, "", "SETTINGS 0 4=10 4=20 3=5 4=30", 1, 0},
    {"PRIORITY of an idle stream", S, "", "PRIORITY %u =0 x10", 1, 0},
    {"PRIORITY of an open stream", S, "HEADERS 1 eh @req", "PRIORITY 1 =0 x10", 1, 0},
    {"WINDOW_UPDATE of the connection", S, "", "WINDOW 0 =1", 1, 0},
    {"WINDOW_UPDATE of a stream", S, "HEADERS 1 eh @req", "WINDOW 1 =1", 1, 0},
    {"WINDOW_UPDATE of a closed stream", S, "HEADERS 1 eh @req; RST 1 =0", "WINDOW 1 =1", 1, 0},
    {"empty DATA", S, "HEADERS 1 eh @req", "DATA 1", 1, 0},
    {"empty DATA to a client", C, "HEADERS 1 eh @res", "DATA 1", 1, 0},
    {"empty DATA of a closed stream", S, "HEADERS 1 eh @req; RST 1 =0", "DATA 1", 1, 0},
    {"DATA of padding alone", S, "HEADERS 1 eh @req", "DATA 1 pad:0", 1, 0},
    {"RST_STREAM of an idle stream", S, "", "RST 0x7fffffff =8", 1, 0},
    {"RST_STREAM of a closed stream", S, "HEADERS 1 eh @req; RST 1 =0", "RST 1 =8", 1, 0},
    {"HEADERS of a closed stream", S, "HEADERS 1 eh @req; RST 1 =0", "HEADERS 1 eh @req", 1, 0},
    {"GOAWAY again", S, "GOAWAY 0 =0 =0", "GOAWAY 0 =0 =0", 1, 0},
    {"an unknown frame", S, "", "x0b 0", 1, 0},
    {"an unknown frame on a stream", C, "", "xff 1 'abc'", 1, 0},
    {"empty CONTINUATION", S, "",
     "HEADERS %u @req; CONTINUATION %u; CONTINUATION %u eh [k: v]; "
     "reset %u 8",
     1, 0},
    /* What belongs to a conversation is none. */
    {"a call", S, "", OPEN "; DATA %u 'abc'; HEADERS %u es eh @trl; reset %u 8", 0, 0},
    {"a call without content", S, "", "HEADERS %u es eh @req; reset %u 8", 0, 0},
    {"the end of DATA", S, "", OPEN "; DATA %u es; reset %u 8", 0, 0},
    {"DATA", S, "HEADERS 1 eh @req", "DATA 1 'a'", 0, 0},
    {"padded DATA", S, "HEADERS 1 eh @req", "DATA 1 pad:9 'a'", 0, 0},
    {"interim responses", C, "", "HEADERS 1 eh [:status: 100]", 1, 0},
    /* Streams that end early: by the peer's RST_STREAM, or by ours for its fault. */
    {"RST_STREAM", S, "", OPEN "; RST %u =8", 0, 1},
    {"RST_STREAM with NO_ERROR", S, "", OPEN "; RST %u =0", 0, 1},
    {"RST_STREAM with NO_ERROR amid an answer", S, "SETTINGS 0 4=0",
     OPEN "; respond %u; send %u 9; RST %u =0", 0, 1},
    {"RST_STREAM with NO_ERROR behind an answer that waits", S, "SETTINGS 0 4=0",
     OPEN "; respond %u; send %u 9; finish %u; RST %u =0", 0, 0},
    {"a malformed request", S, "", "HEADERS %u es eh @req [A: v]", 0, 1},
    {"a request without its fields", S, "", "HEADERS %u es eh [k: v]", 0, 1},
    {"a second request on a stream", S, "", OPEN "; HEADERS %u eh @req", 0, 1},
    {"more than content-length", S, "", OPEN " [content-length: 1]; DATA %u 'ab'", 0, 1},
    {"less than content-length", S, "", OPEN " [content-length: 3]; DATA %u es 'ab'", 0, 1},
    {"WINDOW_UPDATE by 0", S, "", OPEN "; WINDOW %u =0", 1, 1},
    {"WINDOW_UPDATE by too much", S, "", OPEN "; WINDOW %u =0x7fffffff", 1, 1},
    {"PRIORITY that is too short", S, "", OPEN "; PRIORITY %u =0", 1, 1},
    {"more than the window", S, "", OPEN "; DATA %u 1001*00", 0, 1},
    /* It costs little, and honest clients know of the limit by then. */
    {"a stream too many", S, "HEADERS 1 eh @req; HEADERS 3 eh @req; HEADERS 5 eh @req",
     "HEADERS %u es eh @req", 1, 0},
    /* Nobody did anything wrong. */
    {"a stream that we reset", S, "", OPEN "; reset %u 8; DATA %u 'abc'", 0, 0},
};

#define OFFENCES (sizeof(offences) / sizeof(offences[0]))

static h2_allowance allowance;
static const h2_config counted = {.max_streams = 3, .stream_window = 1000, .allowance = &allowance};

/* Commits an offence on the stream `id`. */
static void commit(const offence *o, unsigned id) {
  char script[400] = "";
  for (const char *p = o->script; *p; p++) {
    size_t len = strlen(script);
    if (p[0] == '%' && p[1] == 'u') snprintf(script + len, sizeof(script) - len, "%u", id), p++;
    else snprintf(script + len, sizeof(script) - len, "%c", *p);
  }
  e.count = e.count > 200 ? 3 : e.count; /* those that ended are forgotten */
  wire_play(&e, script, id % 3);
  rig_drain(&e);
  e.log.len = e.wire.len = 0;
}

static void begin(const offence *o, uint32_t noise, uint32_t resets) {
  allowance = (h2_allowance){UINT32_MAX, UINT32_MAX};
  wire_start(&e, o->role, &counted, false);
  wire_play(&e, o->before, 0);
  rig_drain(&e);
  allowance = (h2_allowance){noise, resets};
}

static void test_what_is_counted(void **state) {
  (void)state;
  bool right = true;
  for (size_t i = 0; i < OFFENCES; i++) {
    const offence *o = &offences[i];
    begin(o, 1000, 1000);
    uint64_t noise = h2_noise(e.s), resets = h2_resets(e.s);
    for (unsigned k = 0; k < 50; k++) commit(o, 101 + 2 * k);
    noise = h2_noise(e.s) - noise;
    resets = h2_resets(e.s) - resets;
    if (e.rc || noise != 50 * o->noise || resets != 50 * o->resets) {
      print_error("%s: %llu noise for %u, %llu resets for %u, %s\n", o->name,
                  (unsigned long long)noise, 50 * o->noise, (unsigned long long)resets,
                  50 * o->resets, h2_failure(e.s));
      right = false;
    }
    /* Payload adds to it. */
    if (o->noise) assert_int_equal(allowance.noise, 1000 - noise);
    else assert_true(allowance.noise >= 1000);
    assert_int_equal(allowance.resets, 1000 - resets);
    rig_stop_end(&e);
  }
  assert_true(right);
}

/* The connection ends with the first of them that is not allowed, and not before. */
static void test_allowance(void **state) {
  (void)state;
  for (size_t i = 0; i < OFFENCES; i++) {
    const offence *o = &offences[i];
    if (!o->noise && !o->resets) continue;
    for (int both = 0; both < 2; both++) {
      if (both ? !o->resets : !o->noise) continue;
      begin(o, both ? UINT32_MAX : 20 * o->noise, both ? 20 * o->resets : UINT32_MAX);
      for (unsigned k = 0; k < 20; k++) commit(o, 101 + 2 * k);
      if (e.rc) print_error("%s: too early, %s\n", o->name, h2_failure(e.s));
      assert_int_equal(e.rc, 0);
      size_t before = e.wire.len;
      char script[400];
      const char *id = "201";
      script[0] = '\0';
      for (const char *p = o->script; *p; p++) {
        if (p[0] == '%' && p[1] == 'u') strcat(script, id), p++;
        else strncat(script, p, 1);
      }
      wire_play(&e, script, 0);
      if (!e.rc) print_error("%s: too late\n", o->name);
      assert_int_equal(e.rc, CAW_EPROTO);
      assert_int_equal(both ? allowance.resets : allowance.noise, 0);
      rig_drain(&e);
      char *sent = wire_sent(&e, before, false);
      const char *goaway = strstr(sent, "GOAWAY ");
      assert_non_null(goaway);
      assert_string_equal(goaway, "GOAWAY ENHANCE_YOUR_CALM");
      caw_free(sent);
      assert_true(h2_finished(e.s));
      rig_stop_end(&e);
    }
  }
}

/* ---- header blocks that unpack to much ---- */

typedef struct bomb {
  const char *name;
  const char *first; /* fields in front, of a block or of a request before it */
  const char *unit;  /* again and again: octets in the words of wire.h */
  size_t bytes;      /* how much of it, on the wire */
  const char *goaway;
} bomb;

/* In HEADERS and CONTINUATION of 16,384 octets at most, without an end. */
static const bomb bombs[] = {
    {"indexed fields of the static table", "@req", "x90", 147000, "GOAWAY ENHANCE_YOUR_CALM"},
    {"indexed pseudo-header fields", "@req", "x82", 147000, "GOAWAY ENHANCE_YOUR_CALM"},
    {"a small field of the dynamic table", "@req [+k: v]", "xbe", 147000,
     "GOAWAY ENHANCE_YOUR_CALM"},
    {"a field that fills the dynamic table", "@req x400162 x7fa11e 4000*61", "xbe", 147000,
     "GOAWAY ENHANCE_YOUR_CALM"},
    {"fields without a name", "@req", "x000000", 147000, "GOAWAY ENHANCE_YOUR_CALM"},
    {"fields with an upper-case name", "@req", "x00014100", 147000, "GOAWAY ENHANCE_YOUR_CALM"},
    {"fields that are put into the table", "@req", "x40016b0176", 147000,
     "GOAWAY ENHANCE_YOUR_CALM"},
    {"large fields that are put into the table", "@req", "x400162 x7f8106 900*61", 147000,
     "GOAWAY ENHANCE_YOUR_CALM"},
    {"text that Huffman's code makes short", "@req", "x000162 xff8106 900*1f", 147000,
     "GOAWAY ENHANCE_YOUR_CALM"},
    /* What is begun and has no end. */
    {"a value of 2^31 octets", "@req x000162 x7f81ffffff07", "x61", 147000,
     "GOAWAY ENHANCE_YOUR_CALM"},
    {"a name of 2^31 octets", "@req x00 x7f81ffffff07", "x61", 147000, "GOAWAY ENHANCE_YOUR_CALM"},
    {"a value of 70,000 octets", "@req x000162 x7ff1a104", "x61", 147000,
     "GOAWAY ENHANCE_YOUR_CALM"},
    {"an integer without an end", "@req xff", "x80", 147000, "GOAWAY COMPRESSION"},
    {"size updates", "", "x20", 147000, "GOAWAY COMPRESSION"},
};

/* Appends the whole bomb, and no end of the block. */
static void make_bomb(buf *b, const bomb *m, size_t piece) {
  char script[200];
  buf block = {0}, unit = {0};
  snprintf(script, sizeof(script), "RAW %s", m->first);
  wire_octets(&block, script);
  snprintf(script, sizeof(script), "RAW %s", m->unit);
  wire_octets(&unit, script);
  while (block.len < m->bytes) buf_append(&block, unit.data, unit.len);
  for (size_t at = 0; at < block.len; at += piece) {
    size_t n = block.len - at < piece ? block.len - at : piece;
    frame(b, at ? F_CONTINUATION : F_HEADERS, 0, 1, block.data + at, n);
  }
  buf_finish(&block);
  buf_finish(&unit);
}

/* What a session may hold of a block that comes to nothing: one field as long as the
 * hard limit, once as it comes and once unpacked. */
#define BOMB_ROOM ((size_t)64 * 1024)

static void play_bomb(const bomb *m, size_t piece, unsigned chunk) {
  buf b = {0};
  wire_start(&e, H2_SERVER, NULL, false);
  make_bomb(&b, m, piece);
  size_t before = bytes_peak = bytes_live;
  int rc = rig_feed(&e, b.data, b.len, chunk);
  size_t used = bytes_peak - before;
  if (rc != CAW_EPROTO || used > BOMB_ROOM)
    print_error("%s, frames of %zu, cut %u: %d, %zu bytes\n", m->name, piece, chunk, rc, used);
  assert_int_equal(rc, CAW_EPROTO);
  assert_true(used <= BOMB_ROOM);
  size_t from = e.wire.len;
  rig_drain(&e);
  char *sent = wire_sent(&e, from, false), *goaway = strstr(sent, "GOAWAY");
  assert_non_null(goaway);
  assert_string_equal(goaway, m->goaway);
  caw_free(sent);
  rig_stop_end(&e);
  buf_finish(&b);
}

static void test_bombs(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
    play_bomb(&bombs[i], 16384, 0);
    play_bomb(&bombs[i], 16384, 1);
    play_bomb(&bombs[i], 16384, 7);
    play_bomb(&bombs[i], 100, 0);
    play_bomb(&bombs[i], 1, 0); /* a frame for each octet */
  }
}

/* The longest field that the hard limit lets pass comes octet by octet: that is fine,
 * and costs it twice at most, besides what a buffer grows by. */
static void test_longest_field(void **state) {
  (void)state;
  static char value[65536];
  buf b = {0}, block = {0};
  size_t len = 65536 - 32 - 1 - (7 + 4 + 7 + 4 + 5 + 4 + 10 + 4 + 4 * 32);
  memset(value, 'v', len);
  wire_start(&e, H2_SERVER, NULL, false);
  request_block(&block, "/s/m");
  literal(&block, "k", value);
  for (size_t at = 0; at < block.len; at += 999) {
    bool last = block.len - at <= 999;
    frame(&b, at ? F_CONTINUATION : F_HEADERS, (last ? 4 : 0) | (at ? 0 : 1), 1, block.data + at,
          last ? block.len - at : 999);
  }
  size_t before = bytes_peak = bytes_live;
  assert_int_equal(rig_feed(&e, b.data, b.len, 1), 0);
  assert_true(bytes_peak - before <= 3 * 65536 + 4096);
  char *told = wire_told(&e, false);
  assert_string_equal(told, "stream 1; headers 1 end dropped; end 1");
  caw_free(told);
  rig_stop_end(&e);
  buf_finish(&b);
  buf_finish(&block);
}

/* ---- answers that nobody reads ---- */

static void test_answers_that_wait(void **state) {
  (void)state;
  static const struct {
    const char *name, *before, *script;
  } cases[] = {
      {"PING", "", "PING 0 8*00"},
      {"SETTINGS", "", "SETTINGS 0"},
      {"malformed requests", "", "HEADERS %u es eh @req [A: v]"},
      {"requests that are refused", "refuse", "HEADERS %u es eh @req"},
      {"requests too many", "HEADERS 1 eh @req", "HEADERS %u es eh @req"},
      {"WINDOW_UPDATE by 0", "", OPEN "; WINDOW %u =0"},
      {"more than content-length", "", OPEN " [content-length: 1]; DATA %u 'ab'"},
  };
  static const h2_config config = {.max_streams = 1, .stream_window = 1000};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    offence o = {.role = S, .script = cases[i].script};
    wire_start(&e, H2_SERVER, &config, false);
    wire_play(&e, cases[i].before, 0);
    struct iovec parts[8];
    size_t before = bytes_peak = bytes_live, rounds = 0;
    for (; !e.rc && rounds < 100000; rounds++) {
      char script[200] = "";
      for (const char *p = o.script; *p; p++) {
        size_t n = strlen(script);
        if (*p == '%') snprintf(script + n, sizeof(script) - n, "%zu", 101 + 2 * rounds), p++;
        else script[n] = *p, script[n + 1] = '\0';
      }
      e.log.len = 0;
      wire_play(&e, script, 0);
      assert_true(h2_output(e.s, parts, 8) >= 0); /* and nothing is written */
      assert_true(h2_queued(e.s) <= 10100);
      if (e.count > 200) e.count = 1;
    }
    if (e.rc != CAW_EPROTO || bytes_peak - before > (size_t)1 << 20)
      print_error("%s: %zu rounds, %zu bytes\n", cases[i].name, rounds, bytes_peak - before);
    assert_int_equal(e.rc, CAW_EPROTO);
    assert_true(bytes_peak - before <= (size_t)1 << 20);
    size_t from = e.wire.len;
    rig_drain(&e);
    char *sent = wire_sent(&e, from, false);
    assert_non_null(strstr(sent, "GOAWAY ENHANCE_YOUR_CALM"));
    caw_free(sent);
    rig_stop_end(&e);
  }
}

/* Header blocks that wait count by their size, whether they are long or not. */
static void test_blocks_that_wait(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 1500, 3000, 4500, 20000, 100000};
  char *value = malloc(100001);
  assert_non_null(value);
  memset(value, '{', 100000); /* Huffman's code does not shorten it */
  value[100000] = '\0';
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    wire_start(&e, H2_SERVER, NULL, false);
    assert_int_equal(h2_queued(e.s), 0);
    const size_t n = 60;
    for (unsigned k = 0; k < n; k++) {
      char script[40];
      snprintf(script, sizeof(script), "HEADERS %u es eh @req", 101 + 2 * k);
      wire_play(&e, script, 0);
      h2_field fields[] = {{CAW_STR(":status"), CAW_STR("200"), 0, 0},
                           {CAW_STR("k"), caw_str_of(value, sizes[i]), 0, H2_FIELD_SECRET}};
      assert_int_equal(h2_finish(e.s, e.streams[e.count - 1].h2, fields, 2), 0);
    }
    assert_in_range(h2_queued(e.s), n * (sizes[i] / 1024), n * (sizes[i] / 1024 + 2));
    rig_drain(&e);
    assert_int_equal(h2_queued(e.s), 0);
    rig_stop_end(&e);
  }
  free(value);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_counted),
      cmocka_unit_test(test_allowance),
      cmocka_unit_test(test_bombs),
      cmocka_unit_test(test_longest_field),
      cmocka_unit_test(test_answers_that_wait),
      cmocka_unit_test(test_blocks_that_wait),
  };
  return cmocka_run_group_tests(tests, count_memory, NULL);
}
