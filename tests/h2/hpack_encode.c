/*
 * What HPACK's encoder writes: which fields it inserts, which it never does, what
 * it says of its table's size, and that the peer's decoder follows it through
 * everything. Each block is decoded by nghttp2.
 */
#include "failing.h"
#include "hpack_rig.h"

#include "h2/hpack_static.h"
#include "h2/hpack_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define FIELD(name, value)                                                                         \
  { CAW_STR(name), CAW_STR(value), 0, 0 }

static hpack_encoder e;
static nghttp2_hd_inflater *peer;
static heard sent, received;
static uint8_t block[1 << 18];

static void start(void) {
  hpack_encoder_init(&e, NULL);
  assert_int_equal(nghttp2_hd_inflate_new(&peer), 0);
}

static void stop(void) {
  hpack_encoder_finish(&e);
  nghttp2_hd_inflate_del(peer);
  assert_int_equal(failing.live, 0);
}

static void limit(uint32_t bytes) {
  hpack_encoder_limit(&e, bytes);
  assert_int_equal(nghttp2_hd_inflate_change_table_size(peer, bytes), 0);
}

static bool is_secret(const h2_field *f) {
  static const char *const names[] = {"authorization", "proxy-authorization", "cookie",
                                      "set-cookie"};
  for (size_t i = 0; i < COUNT(names); i++)
    if (caw_str_is(f->name, names[i])) return true;
  return f->flags & H2_FIELD_SECRET;
}

/* Sends a block; the peer hears the same, and has the same table. */
static size_t send(const h2_field *fields, size_t n) {
  size_t bound = hpack_bound(fields, n);
  assert_true(bound <= sizeof(block));
  memset(block, 0xee, sizeof(block));
  size_t len = hpack_encode(&e, block, fields, n);
  assert_true(len <= bound);
  heard_clear(&sent);
  sent.fine = true;
  for (size_t i = 0; i < n; i++)
    heard_field(&sent, fields[i].name, fields[i].value, is_secret(&fields[i]));
  theirs_hear(&received, peer, block, len);
  if (!heard_same(&sent, &received)) {
    heard_print("sent", &sent);
    heard_print("received", &received);
    fail_msg("the peer heard something else");
  }
  assert_true(e.table.bytes <= e.table.max);
  assert_int_equal(e.table.bytes, nghttp2_hd_inflate_get_dynamic_table_size(peer));
  assert_int_equal(e.table.len + HPACK_STATIC, nghttp2_hd_inflate_get_num_table_entries(peer));
  return len;
}

static size_t send_one(const char *name, const char *value, uint8_t flags) {
  h2_field f = {caw_str_from(name), caw_str_from(value), 0, flags};
  return send(&f, 1);
}

static void expect_bytes(const char *hex, size_t len) {
  char text[256] = "";
  for (size_t i = 0; i < len && i < 100; i++) snprintf(text + 2 * i, 3, "%02x", block[i]);
  assert_string_equal(text, hex);
}

/* ---- The static table ---- */

static void static_table(void **state) {
  (void)state;
  start();
  for (unsigned i = 1; i <= HPACK_STATIC; i++) {
    const h2_field *f = &hpack_static[i - 1];
    const nghttp2_nv *theirs = nghttp2_hd_inflate_get_table_entry(peer, i);
    assert_true(caw_str_eq(f->name, caw_str_of((char *)theirs->name, theirs->namelen)));
    assert_true(caw_str_eq(f->value, caw_str_of((char *)theirs->value, theirs->valuelen)));
    assert_int_equal(f->token, h2_token_of(f->name));
    assert_int_equal(f->flags, H2_FIELD_LASTING);
    /* Its name is found, at the first entry that has it. */
    size_t found = f->token ? hpack_known_names[f->token].index : hpack_static_name(f->name);
    assert_true(found >= 1 && found <= i);
    assert_true(caw_str_eq(hpack_static[found - 1].name, f->name));
    assert_true(found == 1 || !caw_str_eq(hpack_static[found - 2].name, f->name));
    /* It is written as its index. */
    h2_field plain = {f->name, f->value, 0, 0};
    unsigned first = i;
    while (first > 1 && caw_str_eq(hpack_static[first - 2].name, f->name) &&
           caw_str_eq(hpack_static[first - 2].value, f->value))
      first--;
    if (is_secret(f)) continue;
    assert_int_equal(send(&plain, 1), 1);
    assert_int_equal(block[0], 0x80 | first);
    plain.token = f->token;
    assert_int_equal(send(&plain, 1), 1);
    assert_int_equal(block[0], 0x80 | first);
  }
  assert_int_equal(e.table.inserted, 0);
  assert_null(e.index);
  for (unsigned t = 1; t < H2_TOKENS; t++) {
    const hpack_known *k = &hpack_known_names[t];
    assert_int_equal(h2_token_of(k->name), t);
    for (unsigned i = 1; i <= HPACK_STATIC; i++) {
      bool valued = hpack_static[i - 1].token == t && hpack_static[i - 1].value.len;
      assert_int_equal(valued, k->values && i >= k->index && i < k->index + (unsigned)k->values);
    }
    if (!k->index)
      for (unsigned i = 0; i < HPACK_STATIC; i++) assert_true(hpack_static[i].token != t);
  }
  static const char *const others[] = {
      "", "x", "ago", "vib", "x-a", "accepT", "a-name-of-27-bytes-............."};
  for (size_t i = 0; i < COUNT(others); i++)
    assert_int_equal(hpack_static_name(caw_str_from(others[i])), 0);
  stop();
}

/* ---- What calls send ---- */

static void usual_call(void **state) {
  (void)state;
  static const h2_field request[] = {
      FIELD(":method", "POST"),
      FIELD(":scheme", "http"),
      FIELD(":path", "/helloworld.Greeter/SayHello"),
      FIELD(":authority", "127.0.0.1:50051"),
      FIELD("content-type", "application/grpc"),
      FIELD("te", "trailers"),
      FIELD("user-agent", "caw/0.1.0"),
      FIELD("grpc-encoding", "gzip"),
      FIELD("grpc-accept-encoding", "identity,deflate,gzip"),
  };
  start();
  assert_true(send(request, COUNT(request)) > 80);
  for (int i = 0; i < 3; i++) assert_int_equal(send(request, COUNT(request)), COUNT(request));
  expect_bytes("8386c4c3c2c1c0bfbe", COUNT(request));
  h2_field known[COUNT(request)];
  for (size_t i = 0; i < COUNT(request); i++) {
    known[i] = request[i];
    known[i].token = (uint8_t)h2_token_of(request[i].name);
  }
  assert_int_equal(send(known, COUNT(request)), COUNT(request));
  stop();
}

static void usual_response(void **state) {
  (void)state;
  static const h2_field leading[] = {FIELD(":status", "200"),
                                     FIELD("content-type", "application/grpc")};
  static const h2_field trailing[] = {FIELD("grpc-status", "0")};
  start();
  size_t len = send(leading, 2);
  expect_bytes("885f8b1d75d0620d263d4c4d6564", len);
  len = send(trailing, 1);
  expect_bytes("40889acac8b21234da8f0130", len);
  for (int i = 0; i < 3; i++) {
    len = send(leading, 2);
    expect_bytes("88bf", len);
    len = send(trailing, 1);
    expect_bytes("be", len);
  }
  stop();
}

enum { INDEXED = 0x80, INSERTED = 0x40, PLAIN = 0x00, NEVER = 0x10 };

static unsigned kind_of(uint8_t first) {
  return first & 0x80 ? INDEXED : first & 0x40 ? INSERTED : first & 0x10;
}

/* How each kind of field travels the first, second and third time. */
static void policies(void **state) {
  (void)state;
  static const struct {
    const char *name, *values[3];
    unsigned kinds[3];
    uint8_t flags;
  } cases[] = {
#define SAME(v) {v, v, v}
#define DIFFERENT                                                                                  \
  { "v1", "v2", "v3" }
      {":path", SAME("/a/b"), {INSERTED, INDEXED, INDEXED}, 0},
      {":path", {"/1", "/2", "/1"}, {INSERTED, INSERTED, INDEXED}, 0},
      {":path", SAME("/"), {INDEXED, INDEXED, INDEXED}, 0},
      {":authority", SAME("host"), {INSERTED, INDEXED, INDEXED}, 0},
      {":method", SAME("PUT"), {INSERTED, INDEXED, INDEXED}, 0},
      {":scheme", SAME("unix"), {INSERTED, INDEXED, INDEXED}, 0},
      {":status", SAME("418"), {INSERTED, INDEXED, INDEXED}, 0},
      {":status", {"404", "500", "503"}, {INDEXED, INDEXED, INSERTED}, 0},
      {"te", SAME("trailers"), {INSERTED, INDEXED, INDEXED}, 0},
      {"user-agent", SAME("caw"), {INSERTED, INDEXED, INDEXED}, 0},
      {"content-type", SAME("text/html"), {INSERTED, INDEXED, INDEXED}, 0},
      {"grpc-encoding", SAME("gzip"), {INSERTED, INDEXED, INDEXED}, 0},
      {"grpc-accept-encoding", SAME("gzip"), {INSERTED, INDEXED, INDEXED}, 0},
      {"grpc-status", {"0", "5", "0"}, {INSERTED, INSERTED, INDEXED}, 0},
      {"accept-encoding", SAME("gzip, deflate"), {INDEXED, INDEXED, INDEXED}, 0},
      {"server", SAME("caw"), {INSERTED, INDEXED, INDEXED}, 0},
      /* The first one brings the name. */
      {"grpc-timeout", DIFFERENT, {INSERTED, PLAIN, PLAIN}, 0},
      {"grpc-timeout", SAME("1S"), {INSERTED, INDEXED, INDEXED}, 0},
      {"grpc-message", DIFFERENT, {INSERTED, PLAIN, PLAIN}, 0},
      {"grpc-status-details-bin", DIFFERENT, {INSERTED, PLAIN, PLAIN}, 0},
      {"date", SAME("now"), {PLAIN, PLAIN, PLAIN}, 0},
      {"content-length", SAME("5"), {PLAIN, PLAIN, PLAIN}, 0},
      /* Secrets. */
      {"authorization", SAME("Bearer x"), {NEVER, NEVER, NEVER}, 0},
      {"authorization", SAME(""), {NEVER, NEVER, NEVER}, 0},
      {"proxy-authorization", SAME("x"), {NEVER, NEVER, NEVER}, 0},
      {"cookie", SAME("a=b"), {NEVER, NEVER, NEVER}, 0},
      {"set-cookie", SAME("a=b"), {NEVER, NEVER, NEVER}, 0},
      {"x-key", SAME("secret"), {NEVER, NEVER, NEVER}, H2_FIELD_SECRET},
      {":path", SAME("/"), {NEVER, NEVER, NEVER}, H2_FIELD_SECRET},
      {"grpc-status", SAME("0"), {NEVER, NEVER, NEVER}, H2_FIELD_SECRET},
      /* Other names when they come again, or their values when those do. */
      {"x-tenant", SAME("blue"), {PLAIN, INSERTED, INDEXED}, 0},
      {"x-request-id", DIFFERENT, {PLAIN, INSERTED, PLAIN}, 0},
      {"via", SAME("proxy"), {PLAIN, INSERTED, INDEXED}, 0},
      {"via", DIFFERENT, {PLAIN, PLAIN, PLAIN}, 0},
      {"via", SAME(""), {INDEXED, INDEXED, INDEXED}, 0},
      {"accept", SAME("*/*"), {PLAIN, INSERTED, INDEXED}, 0},
      {"host", SAME("h"), {PLAIN, INSERTED, INDEXED}, 0},
      {"keep-alive", DIFFERENT, {PLAIN, PLAIN, PLAIN}, 0},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    for (int known = 0; known < 2; known++) {
      start();
      for (int k = 0; k < 3; k++) {
        h2_field f = {caw_str_from(cases[i].name), caw_str_from(cases[i].values[k]), 0,
                      cases[i].flags};
        if (known) f.token = (uint8_t)h2_token_of(f.name);
        send(&f, 1);
        if (kind_of(block[0]) != cases[i].kinds[k])
          fail_msg("%s: %s, no. %d: %02x", cases[i].name, cases[i].values[k], k + 1, block[0]);
      }
      stop();
    }
  }
}

/* A name that is in the table costs one byte or two, not its length. */
static void names_are_referred_to(void **state) {
  (void)state;
  start();
  send_one("grpc-timeout", "9999991u", 0);
  assert_int_equal(send_one("grpc-timeout", "9999982u", 0), 2 + 1 + 6);
  send_one("x-request-id", "a", 0);
  send_one("x-request-id", "b", 0);
  assert_int_equal(send_one("x-request-id", "c", 0), 2 + 1 + 1);
  assert_int_equal(send_one("x-request-id", "d", H2_FIELD_SECRET), 2 + 1 + 1);
  assert_int_equal(send_one("location", "~", 0), 2 + 1 + 1);
  stop();
}

/* All names are found again, however many there are. */
static void many_names(void **state) {
  (void)state;
  char name[16], value[16];
  start();
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 60; i++) {
      snprintf(name, sizeof(name), "x-n%d", i % 60);
      snprintf(value, sizeof(value), "{%d", round); /* not shorter as Huffman's code */
      size_t len = send_one(name, value, round < 2 ? 0 : H2_FIELD_SECRET);
      if (round < 2) send_one(name, value, 0); /* once more: that is inserted */
      if (round >= 2) assert_int_equal(len, 2 + 1 + 2);
    }
  }
  stop();
}

/* More fields that repeat than are remembered at a time: all are bytes soon. */
static void many_fields_that_repeat(void **state) {
  (void)state;
  h2_field f[45];
  char names[45][16];
  size_t len = 0;
  start();
  for (size_t i = 0; i < COUNT(f); i++) {
    snprintf(names[i], sizeof(names[i]), "x-n%zu", i);
    f[i] = (h2_field){caw_str_from(names[i]), CAW_STR("some-value"), 0, 0};
  }
  for (int round = 0; round < 30; round++) len = send(f, COUNT(f));
  assert_int_equal(len, COUNT(f));
  stop();
}

/* The same value under other names is another field. */
static void same_values(void **state) {
  (void)state;
  static const char *const names[] = {
      "grpc-encoding", "grpc-accept-encoding", "te", ":path", "x-a", "x-b", "via"};
  start();
  for (int round = 0; round < 4; round++)
    for (size_t i = 0; i < COUNT(names); i++) {
      size_t len = send_one(names[i], "gzip", 0);
      if (round >= 2) assert_int_equal(len, 1);
    }
  assert_int_equal(e.table.inserted, COUNT(names));
  stop();
}

/* Names and values that come once leave the table as it is. */
static void unique_values_do_not_churn(void **state) {
  (void)state;
  start();
  for (int i = 0; i < 20000; i++) {
    char id[32], name[32], timeout[32], date[32];
    snprintf(id, sizeof(id), "%08x-%d", (unsigned)i * 2654435761U, i);
    snprintf(name, sizeof(name), "x-%d", i);
    snprintf(timeout, sizeof(timeout), "%du", 9000000 - i);
    snprintf(date, sizeof(date), "%d", i);
    h2_field f[] = {
        FIELD(":path", "/a.B/C"),
        FIELD("x-tenant", "blue"),
        {CAW_STR("x-request-id"), caw_str_from(id), 0, 0},
        {caw_str_from(name), CAW_STR("1"), 0, 0},
        {CAW_STR("grpc-timeout"), caw_str_from(timeout), 0, 0},
        {CAW_STR("date"), caw_str_from(date), 0, 0},
        {CAW_STR("te"), CAW_STR("trailers"), 0, 0},
    };
    send(f, COUNT(f));
  }
  /* :path, x-tenant, te, and two names; a few hashes are the same by chance. */
  assert_true(e.table.inserted < 20);
  assert_int_equal(e.table.len, e.table.inserted);
  stop();
}

/* A connection with some tens of methods says each with a byte. */
static void many_paths(void **state) {
  (void)state;
  start();
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 50; i++) {
      char path[32];
      snprintf(path, sizeof(path), "/pkg.Service/Method%02d", i * 7 % 50);
      size_t len = send_one(":path", path, 0);
      if (round) assert_int_equal(len, 1);
    }
  }
  assert_int_equal(e.table.inserted, 50);
  stop();
}

/* Entries that are so far back that their index takes two bytes. */
static void far_entries(void **state) {
  (void)state;
  start();
  char name[16];
  for (int i = 0; i < 240; i++) {
    snprintf(name, sizeof(name), "a%d", i / 2);
    send_one(name, "", 0);
  }
  assert_true(e.table.len > 100);
  for (int i = 119; i > 119 - (int)e.table.len; i--) {
    snprintf(name, sizeof(name), "a%d", i);
    assert_int_equal(send_one(name, "", 0), 119 - i + 62 < 127 ? 1 : 2);
  }
  /* The newest entry of a name with a token may be as far. */
  send_one("te", "trailers", 0);
  for (int i = 1; i < 160; i++) {
    snprintf(name, sizeof(name), "b%d", (i - 1) / 2);
    send_one(name, "", 0);
    assert_int_equal(send_one("te", "trailers", 0), i / 2 + 62 < 127 ? 1 : 2);
  }
  stop();
}

/* ---- The table's size ---- */

static void sizes(void **state) {
  (void)state;
  static const struct {
    uint32_t limits[4]; /* up to the first 1 */
    const char *update;
  } cases[] = {
      {{4096, 1}, ""},
      {{65536, 1}, ""},
      {{65536, 4096, 1}, ""},
      {{0, 1}, "20"},
      {{100, 1}, "3f45"},
      {{100, 100, 1}, "3f45"},
      {{100, 200, 1}, "3f453fa901"},
      {{200, 100, 1}, "3f45"},
      {{100, 4096, 1}, "3f453fe11f"},
      {{100, 65536, 1}, "3f453fe11f"},
      {{0, 100, 0, 1}, "20"},
      {{30, 31, 30, 1}, "3e"},
      {{0, 31, 31, 1}, "203f00"},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    char expected[32];
    start();
    for (const uint32_t *l = cases[i].limits; *l != 1; l++) limit(*l);
    snprintf(expected, sizeof(expected), "%s82", cases[i].update);
    expect_bytes(expected, send_one(":method", "GET", 0));
    expect_bytes("82", send_one(":method", "GET", 0)); /* said once */
    stop();
  }
}

static void growing_again(void **state) {
  (void)state;
  start();
  limit(100);
  expect_bytes("3f4582", send_one(":method", "GET", 0));
  limit(2000);
  expect_bytes("3fb10f82", send_one(":method", "GET", 0));
  limit(2000);
  expect_bytes("82", send_one(":method", "GET", 0));
  limit(50);
  limit(1000);
  expect_bytes("3f133fc90782", send_one(":method", "GET", 0));
  h2_field none[1];
  limit(0);
  size_t len = hpack_encode(&e, block, none, 0); /* an empty block says it too */
  expect_bytes("20", len);
  stop();
}

static void entries_go_with_the_size(void **state) {
  (void)state;
  start();
  send_one(":path", "/one", 0);   /* 41 */
  send_one(":path", "/two", 0);   /* 41 */
  send_one(":path", "/three", 0); /* 43 */
  assert_int_equal(e.table.bytes, 125);
  limit(84);
  assert_int_equal(e.table.len, 2);
  expect_bytes("3f35bf", send_one(":path", "/two", 0));
  limit(40);
  assert_int_equal(e.table.len, 0);
  limit(4096);
  send_one(":path", "/two", 0);
  assert_int_equal(block[5], 0x44);
  assert_int_equal(e.table.len, 1);
  stop();
}

/* Without a table all goes as literals, and no memory is taken. */
static void no_table(void **state) {
  (void)state;
  start();
  limit(0);
  for (int i = 0; i < 4; i++) {
    send_one(":path", "/a", 0);
    send_one("grpc-timeout", "1S", 0);
    send_one("x-tenant", "blue", 0);
    assert_int_equal(kind_of(block[0]), PLAIN);
  }
  assert_int_equal(failing.live, 0);
  stop();
}

/* One field does not drive out all others; and its length may have some bytes. */
static void large_fields(void **state) {
  (void)state;
  static char text[60001];
  start();
  send_one("te", "trailers", 0);
  static const size_t lengths[] = {100, 126, 127, 128, 200, 3000, 3072, 4064, 20000, 60000};
  for (size_t i = 0; i < COUNT(lengths); i++) {
    for (int round = 0; round < 3; round++) {
      memset(text, round ? '{' : 'x', lengths[i]); /* 15 bits: plain is shorter */
      text[lengths[i]] = '\0';
      send_one("user-agent", text, 0);
      send_one("x-large", text, 0);
      if (lengths[i] <= 3072 - 32) continue;
      assert_int_equal(kind_of(block[0]), PLAIN);
    }
  }
  /* A message that is long does not bring its name. */
  memset(text, 'm', 600);
  text[600] = '\0';
  send_one("grpc-message", text, 0);
  assert_int_equal(kind_of(block[0]), PLAIN);
  send_one("grpc-message", "short", 0);
  assert_int_equal(kind_of(block[0]), INSERTED);
  stop();
}

static void bounds(void **state) {
  (void)state;
  h2_field f[3] = {FIELD("a", "b"), FIELD("a", "b"), FIELD("a", "b")};
  assert_true(hpack_bound(f, 0) >= 12);
  assert_true(hpack_bound(f, 3) >= 12 + 3 * 5);
  f[1].name.len = SIZE_MAX - 10;
  assert_int_equal(hpack_bound(f, 3), SIZE_MAX);
  f[1].name.len = f[2].value.len = (size_t)1 << 39;
  assert_true(hpack_bound(f, 3) > (size_t)1 << 40 && hpack_bound(f, 3) < SIZE_MAX);
}

/* ---- Memory ---- */

static void names_that_last_are_not_copied(void **state) {
  (void)state;
  static const char name[] = "x-lasting";
  start();
  for (int i = 0; i < 2; i++) send_one(name, "1", H2_FIELD_LASTING);
  const hpack_entry *entry = hpack_table_at(&e.table, 0);
  assert_ptr_equal(entry->field.name.data, name);
  assert_ptr_equal(entry->field.value.data, entry->text);
  char gone[] = "x-copied";
  for (int i = 0; i < 2; i++) send_one(gone, "1", 0);
  memset(gone, 0, sizeof(gone));
  assert_int_equal(send_one("x-copied", "1", 0), 1);
  stop();
}

/* Memory that is out costs bytes on the wire and nothing else. */
static void memory_runs_out(void **state) {
  (void)state;
  long n = 0;
  bool failed;
  do {
    start();
    fail_at(++n);
    for (int i = 0; i < 100; i++) {
      char text[16];
      snprintf(text, sizeof(text), "/%d", i / 2);
      send_one(":path", text, 0);
      send_one("te", "trailers", 0);
      send_one("x-other", text, 0);
    }
    failed = failing.failed;
    fail_at(0);
    assert_true(e.table.len > 50);
    stop();
  } while (failed);
  assert_true(n > 100);
}

/* Without any memory at all. */
static void no_memory(void **state) {
  (void)state;
  start();
  for (int i = 0; i < 10; i++) {
    fail_at(1);
    send_one(":path", "/a", 0);
    assert_int_equal(kind_of(block[0]), PLAIN);
  }
  fail_at(0);
  send_one(":path", "/a", 0);
  assert_int_equal(kind_of(block[0]), INSERTED);
  stop();
}

/* Entries' numbers go on for ever. */
static void very_old_numbers(void **state) {
  (void)state;
  start();
  for (int i = 0; i < 5; i++) {
    send_one(":path", "/a", 0);
    assert_int_equal(kind_of(block[0]), INSERTED);
    assert_int_equal(send_one(":path", "/a", 0), 1);
    send_one("x-a", "1", 0);
    send_one("x-a", "1", 0);
    assert_int_equal(send_one("x-a", "1", 0), 1);
    assert_int_equal(e.table.len, 2);
    limit(0);
    send_one(":path", "/a", 0);
    limit(4096);
    send_one(":method", "GET", 0);
    /* As many fields later as 32 bits count, or one less. */
    e.table.inserted += i & 1 ? UINT32_MAX : (uint64_t)UINT32_MAX + 1;
  }
  stop();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      failing_test(static_table),
      failing_test(usual_call),
      failing_test(usual_response),
      failing_test(policies),
      failing_test(names_are_referred_to),
      failing_test(many_names),
      failing_test(many_fields_that_repeat),
      failing_test(same_values),
      failing_test(unique_values_do_not_churn),
      failing_test(many_paths),
      failing_test(far_entries),
      failing_test(sizes),
      failing_test(growing_again),
      failing_test(entries_go_with_the_size),
      failing_test(no_table),
      failing_test(large_fields),
      failing_test(bounds),
      failing_test(names_that_last_are_not_copied),
      failing_test(memory_runs_out),
      failing_test(no_memory),
      failing_test(very_old_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
