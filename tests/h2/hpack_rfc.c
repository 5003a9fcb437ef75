/*
 * RFC 7541, section by section: what a decoder must take, what it must refuse,
 * and what its table holds afterwards. Each case is fed whole, byte by byte, and
 * in random cuts, with and without memory for lasting text.
 */
#include "failing.h"
#include "hpack_rig.h"

#include "h2/hpack_table.h"

#include <caw/arena.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define KEEP UINT32_MAX /* in `allow`: no setting changed */
#define ANY  UINT32_MAX /* in `bytes`: not looked at */

/* One header block. A second setting, `allow_2`, follows the first at once. */
typedef struct step {
  const char *hex;     /* NULL: no more steps; blanks separate */
  const char *fields;  /* "name: value\n"; a secret begins with '!' */
  hpack_result result; /* HPACK_END or what refuses the block */
  const char *table;   /* newest first; NULL: not looked at */
  uint32_t bytes;      /* of the table */
  uint32_t allow, allow_2;
} step;

typedef struct rfc_case {
  const char *name;
  step steps[4];
} rfc_case;

#define FINE(hex, fields)                                                                          \
  { hex, fields, HPACK_END, NULL, ANY, KEEP, KEEP }
#define TABLE(hex, fields, table, bytes)                                                           \
  { hex, fields, HPACK_END, table, bytes, KEEP, KEEP }
#define BAD(hex, fields)                                                                           \
  { hex, fields, HPACK_BAD, NULL, ANY, KEEP, KEEP }
#define SET(allow, hex, fields)                                                                    \
  { hex, fields, HPACK_END, NULL, ANY, allow, KEEP }
#define SET_BAD(allow, hex, fields)                                                                \
  { hex, fields, HPACK_BAD, NULL, ANY, allow, KEEP }
#define SET2(allow, allow_2, hex, fields)                                                          \
  { hex, fields, HPACK_END, NULL, ANY, allow, allow_2 }
#define SET2_BAD(allow, allow_2, hex, fields)                                                      \
  { hex, fields, HPACK_BAD, NULL, ANY, allow, allow_2 }

/* Two fields that are inserted: "a: 1" and "b: 2", 34 bytes each. */
#define INSERT_A "40 01 61 01 31"
#define INSERT_B "40 01 62 01 32"
#define A        "a: 1\n"
#define B        "b: 2\n"

static const rfc_case cases[] = {
    /* Indexing tables. */
    {"2.3.1 the last static index", {FINE("bd", "www-authenticate: \n")}},
    {"2.3.2 the table is first in, first out",
     {TABLE(INSERT_A INSERT_B "be bf", A B B A, B A, 68)}},
    {"2.3.2 duplicates are entries of their own", {TABLE(INSERT_A INSERT_A, A A, A A, 68)}},
    {"2.3.2 duplicates are no error", {FINE(INSERT_A INSERT_A "be bf", A A A A)}},
    {"2.3.3 the dynamic table follows at once",
     {FINE(INSERT_A "bd be", A "www-authenticate: \n" A)}},
    {"2.3.3 an index beyond both tables: empty", {BAD("be", "")}},
    {"2.3.3 an index beyond both tables: by one", {BAD(INSERT_A "bf", A)}},
    {"2.3.3 an index beyond both tables: far", {BAD("ff 80 80 80 10", "")}},
    {"2.3.3 a name's index beyond both tables: inserted", {BAD(INSERT_A "7f 00 01 31", A)}},
    {"2.3.3 a name's index beyond both tables: not inserted", {BAD("0f 2f 01 31", "")}},
    {"2.3.3 a name's index beyond both tables: never", {BAD("1f 2f 01 31", "")}},
    {"2.3.3 an index is refused before its value came", {BAD("0f 2f", "")}},

    /* Header blocks are decoded in order, fields come at once. */
    {"3.1 an empty block", {FINE("", "")}},
    {"3.2 what came before an error was heard", {BAD("82 80", ":method: GET\n")}},
    {"3.2 the table lasts from block to block", {FINE(INSERT_A, A), FINE("be", A)}},

    /* The size of an entry, and of the table. */
    {"4.1 name, value and 32", {TABLE(INSERT_A, A, A, 34)}},
    {"4.1 lengths without Huffman's code", {TABLE("40 81 1f 82 18 ff", "a: aa\n", "a: aa\n", 35)}},
    {"4.1 an entry that just fits", {TABLE("3f 03" INSERT_A, A, A, 34)}},
    {"4.1 an entry that just does not", {TABLE("3f 02" INSERT_A, A, "", 0)}},

    /* The table's size. */
    {"4.2 an update begins a block", {FINE("20 82", ":method: GET\n")}},
    {"4.2 an update after a field", {BAD("82 20", ":method: GET\n")}},
    {"4.2 two updates", {FINE("20 3f e1 1f 82", ":method: GET\n")}},
    {"4.2 three updates", {BAD("20 20 20 82", "")}},
    {"4.2 each block may have two", {FINE("20 20", ""), FINE("20 20", "")}},
    {"4.2 an update alone", {TABLE("20", "", "", 0)}},
    {"4.2 an update to the limit", {FINE("3f e1 1f", "")}},
    {"4.2 an update above the limit", {BAD("3f e2 1f", "")}},
    {"4.2 an update above a limit that fell", {SET_BAD(100, "3f 46", "")}},
    {"4.2 an update to a limit that fell", {SET(100, "3f 45 82", ":method: GET\n")}},
    {"4.2 an update below a limit that fell", {SET(100, "20 82", ":method: GET\n")}},
    {"4.2 a limit fell and no update follows", {SET_BAD(100, "82", "")}},
    {"4.2 a limit fell and no update follows: literal", {SET_BAD(100, INSERT_A, "")}},
    {"4.2 a limit fell and an empty block follows", {SET_BAD(100, "", "")}},
    {"4.2 a limit fell by one", {SET_BAD(4095, "82", "")}},
    {"4.2 a limit rose: no update is due", {SET(8192, "82", ":method: GET\n")}},
    {"4.2 a limit rose: an update may use it", {SET(8192, "3f e1 3f", "")}},
    {"4.2 a limit fell and rose: the smallest size first",
     {SET2(100, 4096, "3f 45 3f e1 1f 82", ":method: GET\n")}},
    {"4.2 a limit fell and rose: below the smallest first",
     {SET2(100, 4096, "20 3f e1 1f 82", ":method: GET\n")}},
    {"4.2 a limit fell and rose: the smallest alone", {SET2(100, 4096, "3f 45", "")}},
    {"4.2 a limit fell and rose: the final size alone", {SET2_BAD(100, 4096, "3f e1 1f", "")}},
    {"4.2 a limit fell and rose: no update", {SET2_BAD(100, 4096, "82", "")}},
    {"4.2 a limit fell twice", {SET2_BAD(100, 50, "3f 45", "")}},
    {"4.2 a limit fell twice: the update knows", {SET2(100, 50, "3f 13", "")}},
    {"4.2 a limit fell to what the table has anyway",
     {FINE("3f 45", ""), SET(100, "82", ":method: GET\n")}},
    {"4.2 a limit of zero", {SET(0, "20" INSERT_A, A)}},

    /* Eviction. */
    {"4.3 an update evicts the oldest",
     {TABLE(INSERT_A INSERT_B, A B, B A, 68), TABLE("3f 05", "", B, 34)}},
    {"4.3 an update that all entries fit into",
     {TABLE(INSERT_A INSERT_B, A B, B A, 68), TABLE("3f 25", "", B A, 68)}},
    {"4.3 an update to zero empties the table",
     {TABLE(INSERT_A INSERT_B, A B, B A, 68), TABLE("20", "", "", 0)}},
    {"4.3 what was evicted is gone", {FINE(INSERT_A, A), BAD("20 be", "")}},
    {"4.4 an insertion evicts the oldest",
     {TABLE("3f 25" INSERT_A INSERT_B "40 01 63 01 33", A B "c: 3\n", "c: 3\n" B, 68)}},
    {"4.4 an entry that is too large empties the table",
     {TABLE("3f 25" INSERT_A INSERT_B, A B, B A, 68), TABLE("3f 03", "", B, 34),
      TABLE("40 01 63 02 33 34", "c: 34\n", "", 0), FINE(INSERT_A "be", A A)}},
    {"4.4 the name of an entry that goes for it",
     {TABLE("3f 03" INSERT_A, A, A, 34), TABLE("7e 01 32", "a: 2\n", "a: 2\n", 34)}},
    {"4.4 the name of an entry that goes for one too large",
     {TABLE("3f 03" INSERT_A, A, A, 34), TABLE("7e 02 32 33", "a: 23\n", "", 0)}},

    /* Integers. C.1 has the same as examples. */
    {"5.1 one below a full prefix", {FINE("3e", "")}},
    {"5.1 a full prefix and nothing more", {FINE("3f 00", "")}},
    {"5.1 zeros behind the end", {FINE("3f 80 80 80 80 00", "")}},
    {"5.1 too many bytes", {BAD("3f 80 80 80 80 80 00", "")}},
    {"5.1 2^32 - 1", {SET(UINT32_MAX - 1, "3f df ff ff ff 0f", "")}},
    {"5.1 2^32 - 1, beyond the limit", {SET_BAD(UINT32_MAX - 1, "3f e0 ff ff ff 0f", "")}},
    {"5.1 2^32", {SET_BAD(UINT32_MAX - 1, "3f e1 ff ff ff 0f", "")}},
    {"5.1 beyond 2^32 in the fifth byte", {SET_BAD(UINT32_MAX - 1, "3f 80 80 80 80 10", "")}},
    {"5.1 an index that is 2^32 + 2", {BAD("ff 83 ff ff ff 0f", "")}},
    {"5.1 a cut prefix", {BAD("ff", "")}},
    {"5.1 a cut integer", {BAD("3f 80", "")}},
    {"5.1 a cut length", {BAD("00 7f 80", "")}},

    /* Strings. */
    {"5.2 plain", {FINE("00 01 61 01 31", A)}},
    {"5.2 empty", {FINE("00 01 61 00", "a: \n")}},
    {"5.2 empty, as Huffman's code", {FINE("00 01 61 80", "a: \n")}},
    {"5.2 an empty name", {FINE("00 00 00", ": \n")}},
    {"5.2 a string that is cut", {BAD("00 01 61 02 31", "")}},
    {"5.2 a name that is cut", {BAD("00 02 61", "")}},
    {"5.2 no value", {BAD("00 01 61", "")}},
    {"5.2 nothing behind the first byte", {BAD("00", "")}},
    {"5.2 padding of three ones", {FINE("00 01 61 81 1f", "a: a\n")}},
    {"5.2 no padding", {FINE("00 01 61 85 00 00 00 00 00", "a: 00000000\n")}},
    {"5.2 padding of seven ones", {FINE("00 01 61 84 00 00 00 7f", "a: 00000\n")}},
    {"5.2 padding with a zero", {BAD("00 01 61 81 1e", "")}},
    {"5.2 padding of zeros", {BAD("00 01 61 81 18", "")}},
    {"5.2 padding of eight ones", {BAD("00 01 61 82 1f ff", "")}},
    {"5.2 padding alone, seven ones are not a byte", {BAD("00 01 61 81 ff", "")}},
    {"5.2 padding of eleven ones", {BAD("00 01 61 85 00 00 00 07 ff", "")}},
    {"5.2 EOS alone", {BAD("00 01 61 84 ff ff ff ff", "")}},
    {"5.2 EOS inside", {BAD("00 01 61 85 1f ff ff ff f8", "")}},
    {"5.2 a bad padding in a name", {BAD("00 81 1e 01 31", "")}},
    {"5.2 a bad padding in what is inserted", {BAD("40 81 1e 01 31", "")}},
    {"5.2 a code of 30 bits", {FINE("00 01 61 84 ff ff ff f3", "a: \\x0a\n")}},

    /* Representations. */
    {"6.1 an indexed field", {TABLE("82", ":method: GET\n", "", 0)}},
    {"6.1 index 0", {BAD("80", "")}},
    {"6.2.1 an indexed name, inserted", {TABLE("44 01 78", ":path: x\n", ":path: x\n", 38)}},
    {"6.2.1 a new name, inserted", {TABLE(INSERT_A, A, A, 34)}},
    {"6.2.1 a name from the dynamic table",
     {TABLE(INSERT_A "7e 01 32", A "a: 2\n", "a: 2\n" A, 68)}},
    {"6.2.2 an indexed name, not inserted", {TABLE("04 01 78", ":path: x\n", "", 0)}},
    {"6.2.2 a new name, not inserted", {TABLE("00 01 61 01 31", A, "", 0)}},
    {"6.2.2 a name whose index is long", {FINE("0f 2b 01 78", "user-agent: x\n")}},
    {"6.2.3 an indexed name, never indexed", {TABLE("14 01 78", "!:path: x\n", "", 0)}},
    {"6.2.3 a new name, never indexed", {TABLE("10 01 61 01 31", "!" A, "", 0)}},
    {"6.2.3 a name whose index is long", {FINE("1f 08 01 78", "!authorization: x\n")}},
    {"6.2.3 a name from the dynamic table", {TABLE(INSERT_A "1f 2f 01 32", A "!a: 2\n", A, 34)}},
    {"6.3 an update", {TABLE("3f 45", "", "", 0)}},

    /* Appendix C. */
    {"C.1.1 the integer 10 with a prefix of 5 bits", {FINE("2a", "")}},
    {"C.1.2 the integer 1337 with a prefix of 5 bits", {FINE("3f 9a 0a", "")}},
    {"C.1.3 the integer 42 from a byte's begin", {FINE("aa", "if-range: \n")}},
    {"C.2.1 a literal with indexing",
     {TABLE("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header\n", "custom-key: custom-header\n", 55)}},
    {"C.2.2 a literal without indexing",
     {TABLE("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path\n", "", 0)}},
    {"C.2.3 a literal never indexed",
     {TABLE("1008 7061 7373 776f 7264 0673 6563 7265 74", "!password: secret\n", "", 0)}},
    {"C.2.4 an indexed field", {TABLE("82", ":method: GET\n", "", 0)}},
    {"C.3 requests",
     {TABLE("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n",
            ":authority: www.example.com\n", 57),
      TABLE("8286 84be 5808 6e6f 2d63 6163 6865",
            ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n"
            "cache-control: no-cache\n",
            "cache-control: no-cache\n:authority: www.example.com\n", 110),
      TABLE("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n"
            "custom-key: custom-value\n",
            "custom-key: custom-value\ncache-control: no-cache\n:authority: www.example.com\n",
            164)}},
    {"C.4 requests with Huffman's code",
     {TABLE("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n",
            ":authority: www.example.com\n", 57),
      TABLE("8286 84be 5886 a8eb 1064 9cbf",
            ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n"
            "cache-control: no-cache\n",
            "cache-control: no-cache\n:authority: www.example.com\n", 110),
      TABLE("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n"
            "custom-key: custom-value\n",
            "custom-key: custom-value\ncache-control: no-cache\n:authority: www.example.com\n",
            164)}},
#define DATE_1   "date: Mon, 21 Oct 2013 20:13:21 GMT\n"
#define DATE_2   "date: Mon, 21 Oct 2013 20:13:22 GMT\n"
#define LOCATION "location: https://www.example.com\n"
#define COOKIE   "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n"
    {"C.5 responses in a table of 256",
     {SET(256, "3fe1 01", ""),
      TABLE("4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 "
            "303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 "
            "6f6d",
            ":status: 302\ncache-control: private\n" DATE_1 LOCATION,
            LOCATION DATE_1 "cache-control: private\n:status: 302\n", 222),
      TABLE("4803 3330 37c1 c0bf", ":status: 307\ncache-control: private\n" DATE_1 LOCATION,
            ":status: 307\n" LOCATION DATE_1 "cache-control: private\n", 222),
      TABLE("88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 "
            "5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 "
            "5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
            ":status: 200\ncache-control: private\n" DATE_2 LOCATION
            "content-encoding: gzip\n" COOKIE,
            COOKIE "content-encoding: gzip\n" DATE_2, 215)}},
    {"C.6 responses with Huffman's code in a table of 256",
     {SET(256, "3fe1 01", ""),
      TABLE("4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b "
            "ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            ":status: 302\ncache-control: private\n" DATE_1 LOCATION,
            LOCATION DATE_1 "cache-control: private\n:status: 302\n", 222),
      TABLE("4883 640e ffc1 c0bf", ":status: 307\ncache-control: private\n" DATE_1 LOCATION,
            ":status: 307\n" LOCATION DATE_1 "cache-control: private\n", 222),
      TABLE("88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad "
            "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 "
            "65c0 03ed 4ee5 b106 3d50 07",
            ":status: 200\ncache-control: private\n" DATE_2 LOCATION
            "content-encoding: gzip\n" COOKIE,
            COOKIE "content-encoding: gzip\n" DATE_2, 215)}},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static heard h;

/* The bytes of a hexadecimal text. */
static size_t bytes_of(const char *hex, uint8_t *to) {
  size_t n = 0;
  for (; *hex; hex++) {
    if (*hex == ' ') continue;
    char pair[3] = {hex[0], hex[1], 0};
    char *end;
    to[n++] = (uint8_t)strtoul(pair, &end, 16);
    assert_ptr_equal(end, pair + 2);
    hex++;
  }
  return n;
}

/* Appends a field as the cases write it. */
static void print_field(char *to, size_t room, const char *mark, caw_str name, caw_str value) {
  size_t at = strlen(to);
  at += (size_t)snprintf(to + at, room - at, "%s%.*s: ", mark, CAW_STR_ARG(name));
  for (size_t i = 0; i < value.len; i++) {
    uint8_t c = (uint8_t)value.data[i];
    at += (size_t)snprintf(to + at, room - at, c < 0x20 ? "\\x%02x" : "%c", c);
  }
  snprintf(to + at, room - at, "\n");
}

static void print_heard(char *to, size_t room) {
  to[0] = '\0';
  for (size_t at = 0; at < h.len;) {
    uint32_t head[3];
    memcpy(head, h.said + at, sizeof(head));
    const char *name = (const char *)h.said + at + sizeof(head);
    print_field(to, room, head[2] ? "!" : "", caw_str_of(name, head[0]),
                caw_str_of(name + head[0], head[1]));
    at += sizeof(head) + head[0] + head[1];
  }
}

static void print_table(char *to, size_t room, const hpack_table *t) {
  to[0] = '\0';
  for (uint32_t i = 0; i < t->len; i++) {
    const h2_field *f = &hpack_table_at(t, i)->field;
    print_field(to, room, "", f->name, f->value);
  }
}

static char *room_from_arena(void *ctx, size_t len) {
  caw_arena *arena = ctx;
  return caw_arena_alloc(arena, len);
}

static void run_step(hpack_decoder *d, const step *s, unsigned cut) {
  uint8_t block[512];
  char said[1024];
  if (s->allow != KEEP) hpack_decoder_allow(d, s->allow);
  if (s->allow_2 != KEEP) hpack_decoder_allow(d, s->allow_2);
  ours_hear(&h, d, block, bytes_of(s->hex, block), cut);
  print_heard(said, sizeof(said));
  assert_string_equal(said, s->fields);
  assert_int_equal(h.result, s->result);
  if (!s->table) return;
  print_table(said, sizeof(said), &d->table);
  assert_string_equal(said, s->table);
  assert_int_equal(d->table.bytes, s->bytes);
}

static void run_case(const rfc_case *c, unsigned cut, bool lasting) {
  hpack_decoder d;
  caw_arena *arena = caw_arena_new(0);
  hpack_decoder_init(&d, 65536, NULL);
  if (lasting) {
    d.room = room_from_arena;
    d.room_ctx = arena;
  }
  for (const step *s = c->steps; s < c->steps + 4 && s->hex; s++) run_step(&d, s, cut);
  hpack_decoder_finish(&d);
  caw_arena_free(arena);
}

/* nghttp2 refuses what we refuse, and takes what we take. */
static void run_theirs(const rfc_case *c) {
  nghttp2_hd_inflater *d;
  assert_int_equal(nghttp2_hd_inflate_new(&d), 0);
  for (const step *s = c->steps; s < c->steps + 4 && s->hex; s++) {
    uint8_t block[512];
    if (s->allow != KEEP) nghttp2_hd_inflate_change_table_size(d, s->allow);
    if (s->allow_2 != KEEP) nghttp2_hd_inflate_change_table_size(d, s->allow_2);
    size_t len = bytes_of(s->hex, block);
    theirs_hear(&h, d, block, len);
    assert_int_equal(h.fine && !too_many_updates(block, len), s->result == HPACK_END);
  }
  nghttp2_hd_inflate_del(d);
}

static void one_case(void **state) {
  const rfc_case *c = *state;
  run_theirs(c);
  failing_begin(NULL);
  for (unsigned cut = 0; cut < 24; cut++) {
    run_case(c, cut, false);
    run_case(c, cut, true);
  }
  assert_int_equal(failing.live, 0);
  caw_set_allocator(NULL);
}

int main(void) {
  static struct CMUnitTest tests[CASES];
  for (size_t i = 0; i < CASES; i++)
    tests[i] = (struct CMUnitTest){cases[i].name, one_case, NULL, NULL, (void *)&cases[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
