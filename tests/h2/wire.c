/* The language of wire.h. What it says of a case is in wire_case.c. */
#include "wire.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- words ---- */

/* Takes the next word of a clause; a bracket or a quoted text is one. */
static bool next_word(caw_str *clause, caw_str *word) {
  while (clause->len && isspace((unsigned char)*clause->data)) clause->data++, clause->len--;
  if (!clause->len) return false;
  size_t n = 1;
  char open = clause->data[0], close = open == '[' ? ']' : open == '\'' ? '\'' : '\0';
  if (close) {
    while (n < clause->len && clause->data[n] != close) n++;
    if (n == clause->len) fail_msg("no end: %.*s", CAW_STR_ARG(*clause));
    n++;
  } else {
    while (n < clause->len && !isspace((unsigned char)clause->data[n])) n++;
  }
  *word = caw_str_of(clause->data, n);
  clause->data += n;
  clause->len -= n;
  return true;
}

static bool starts(caw_str word, const char *text) {
  return word.len >= strlen(text) && !memcmp(word.data, text, strlen(text));
}

/* The number that a word holds from its `skip`th character on. */
static uint32_t number(caw_str word, size_t skip, int base) {
  char text[32];
  if (word.len - skip >= sizeof(text)) fail_msg("not a number: %.*s", CAW_STR_ARG(word));
  memcpy(text, word.data + skip, word.len - skip);
  text[word.len - skip] = '\0';
  char *end;
  unsigned long n = strtoul(text, &end, base);
  if (end == text || *end) fail_msg("not a number: %.*s", CAW_STR_ARG(word));
  return (uint32_t)n;
}

static uint32_t next_number(caw_str *clause) {
  caw_str word;
  if (!next_word(clause, &word)) fail_msg("a number is missing");
  return number(word, 0, 0);
}

/* ---- octets ---- */

static void put(buf *b, const void *data, size_t len) {
  assert_int_equal(buf_append(b, data, len), 0);
}

static void put_octet(buf *b, unsigned octet) {
  uint8_t o = (uint8_t)octet;
  put(b, &o, 1);
}

static void put_u32(buf *b, uint32_t n) {
  for (int shift = 24; shift >= 0; shift -= 8) put_octet(b, n >> shift);
}

static unsigned hex_octet(const char *p) {
  char text[3] = {p[0], p[1], '\0'};
  char *end;
  unsigned n = (unsigned)strtoul(text, &end, 16);
  if (end != text + 2) fail_msg("not hexadecimal: %s", text);
  return n;
}

static void put_hex(buf *b, caw_str hex) {
  for (size_t i = 0; i + 1 < hex.len; i += 2) put_octet(b, hex_octet(hex.data + i));
}

/* A string of HPACK, without Huffman's code (RFC 7541 section 5.2). */
static void put_text(buf *b, caw_str text) {
  buf plain = {0};
  for (size_t i = 0; i < text.len; i++) {
    if (text.data[i] == '%') put_octet(&plain, hex_octet(text.data + i + 1)), i += 2;
    else put_octet(&plain, (uint8_t)text.data[i]);
  }
  if (plain.len < 127) {
    put_octet(b, (unsigned)plain.len);
  } else {
    size_t rest = plain.len - 127;
    put_octet(b, 127);
    for (; rest > 127; rest >>= 7) put_octet(b, (unsigned)(rest & 127) | 128);
    put_octet(b, (unsigned)rest);
  }
  put(b, plain.data, plain.len);
  buf_finish(&plain);
}

/* [name: value] or [+name: value] */
static void put_field(buf *b, caw_str word) {
  bool indexed = word.data[1] == '+';
  size_t start = indexed ? 2 : 1, colon = start + 1;
  while (colon + 1 < word.len && (word.data[colon] != ':' || word.data[colon + 1] != ' ')) colon++;
  if (colon + 1 >= word.len) fail_msg("not a field: %.*s", CAW_STR_ARG(word));
  put_octet(b, indexed ? 0x40 : 0);
  put_text(b, caw_str_of(word.data + start, colon - start));
  put_text(b, caw_str_of(word.data + colon + 2, word.len - colon - 3));
}

/* Octets of any frame. Returns false when the word means something else. */
static bool put_octets(buf *b, caw_str word) {
  const char *star = memchr(word.data, '*', word.len);
  const char *equal = memchr(word.data, '=', word.len);
  if (word.data[0] == '\'') {
    put(b, word.data + 1, word.len - 2);
  } else if (word.data[0] == '[') {
    put_field(b, word);
  } else if (caw_str_is(word, "@req")) {
    request_block(b, "/s/m");
  } else if (caw_str_is(word, "@res")) {
    literal(b, ":status", "200");
  } else if (caw_str_is(word, "@trl")) {
    literal(b, "grpc-status", "0");
  } else if (word.data[0] == 'x' && word.len % 2) {
    put_hex(b, caw_str_of(word.data + 1, word.len - 1));
  } else if (word.data[0] == '=') {
    put_u32(b, number(word, 1, 0));
  } else if (star) {
    size_t digits = (size_t)(star - word.data);
    for (uint32_t n = number(caw_str_of(word.data, digits), 0, 10); n; n--)
      put_octet(b, hex_octet(star + 1));
  } else if (equal) {
    size_t digits = (size_t)(equal - word.data);
    uint32_t id = number(caw_str_of(word.data, digits), 0, 0);
    put_octet(b, id >> 8);
    put_octet(b, id);
    put_u32(b, number(word, digits + 1, 0));
  } else {
    return false;
  }
  return true;
}

/* ---- frames ---- */

static int type_of(caw_str word) {
  static const char *const names[] = {"DATA", "HEADERS", "PRIORITY", "RST",    "SETTINGS",
                                      "PUSH", "PING",    "GOAWAY",   "WINDOW", "CONTINUATION"};
  for (int i = 0; i <= F_CONTINUATION; i++)
    if (caw_str_is(word, names[i])) return i;
  return word.data[0] == 'x' && word.len == 3 ? (int)number(word, 1, 16) : -1;
}

uint32_t wire_highest;

static void put_frame(buf *b, unsigned type, caw_str clause) {
  unsigned flags = 0;
  size_t padding = 0, claimed = SIZE_MAX, start = b->len;
  buf body = {0};
  caw_str word;
  uint32_t id = next_number(&clause);
  if (type == F_HEADERS && id % 2 && (id & INT32_MAX) > wire_highest) wire_highest = id & INT32_MAX;
  while (next_word(&clause, &word)) {
    if (caw_str_is(word, "es") || caw_str_is(word, "ack")) flags |= 1;
    else if (caw_str_is(word, "eh")) flags |= 4;
    else if (caw_str_is(word, "pri")) flags |= 0x20;
    else if (word.data[0] == '+') flags |= number(word, 1, 16);
    else if (starts(word, "len:")) claimed = number(word, 4, 10);
    else if (starts(word, "pad:")) {
      flags |= 8;
      padding = number(word, 4, 10);
      put_octet(&body, (unsigned)padding);
    } else if (!put_octets(&body, word)) {
      fail_msg("not a word of a frame: %.*s", CAW_STR_ARG(word));
    }
  }
  while (padding--) put_octet(&body, 0);
  frame(b, type, flags, id, body.data, body.len);
  if (claimed != SIZE_MAX) {
    b->data[start] = (uint8_t)(claimed >> 16);
    b->data[start + 1] = (uint8_t)(claimed >> 8);
    b->data[start + 2] = (uint8_t)claimed;
  }
  buf_finish(&body);
}

/* Appends what a clause says that the peer sends. Returns false when it is not
 * about the peer. */
static bool put_clause(buf *b, caw_str clause) {
  caw_str word, all = clause;
  uint32_t times = 1;
  if (!next_word(&clause, &word)) return true;
  if (isdigit((unsigned char)word.data[0])) {
    times = number(word, 0, 10);
    next_word(&clause, &word);
  }
  if (caw_str_is(word, "MAGIC")) {
    put(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    return true;
  }
  if (caw_str_is(word, "RAW")) {
    while (next_word(&clause, &word))
      if (!put_octets(b, word)) fail_msg("no octets: %.*s", CAW_STR_ARG(all));
    return true;
  }
  int type = type_of(word);
  if (type < 0) return false;
  while (times--) put_frame(b, (unsigned)type, clause);
  return true;
}

/* ---- what the user does ---- */

static rig_stream *stream_by_id(rig_end *e, uint32_t id) {
  for (size_t i = 0; i < e->count; i++)
    if (e->streams[i].id == id && e->streams[i].h2) return &e->streams[i];
  return NULL;
}

static int reply(rig_stream *st) {
  h2_field f[] = {{CAW_STR(":status"), CAW_STR("200"), H2_T_NONE, 0},
                  {CAW_STR("grpc-status"), CAW_STR("0"), H2_T_NONE, 0}};
  return h2_finish(st->end->s, st->h2, f, 2);
}

/* A call on a stream; -1: there is no such call. */
static int call_stream(rig_end *e, caw_str call, uint32_t id, caw_str rest) {
  rig_stream *st = stream_by_id(e, id);
  if (!st) return CAW_ENOTFOUND;
  if (caw_str_is(call, "respond")) return rig_respond(st);
  if (caw_str_is(call, "send")) return rig_send(st, next_number(&rest));
  if (caw_str_is(call, "finish")) return rig_finish(st, NULL);
  if (caw_str_is(call, "reply")) return reply(st);
  if (caw_str_is(call, "trailers")) return rig_finish(st, "0");
  if (caw_str_is(call, "reset")) return h2_reset(e->s, st->h2, next_number(&rest));
  if (caw_str_is(call, "consume")) return h2_consume(e->s, st->h2, next_number(&rest));
  return -1;
}

static void call(rig_end *e, caw_str clause) {
  caw_str word, all = clause;
  rig_stream *st;
  int rc = 0;
  next_word(&clause, &word);
  if (caw_str_is(word, "drain")) {
    rig_drain(e);
  } else if (caw_str_is(word, "refuse")) {
    e->refuse = true;
  } else if (caw_str_is(word, "request")) {
    rc = rig_try_request(e, "/s/m", &st);
  } else if (caw_str_is(word, "ping")) {
    rc = h2_ping(e->s, 7);
  } else if (caw_str_is(word, "goaway")) {
    uint32_t last = next_number(&clause);
    rc = h2_goaway(e->s, last, next_number(&clause), caw_str_of(NULL, 0));
  } else {
    rc = call_stream(e, word, next_number(&clause), clause);
  }
  if (rc == -1) fail_msg("not a clause: %.*s", CAW_STR_ARG(all));
  if (rc) assert_int_equal(buf_printf(&e->log, "%.*s failed\n", CAW_STR_ARG(word)), 0);
}

void wire_octets(buf *b, const char *clause) {
  if (!put_clause(b, caw_str_from(clause))) fail_msg("not the peer's: %s", clause);
}

static void feed(rig_end *e, buf *b, unsigned chunk) {
  rig_feed(e, b->data, b->len, chunk);
  b->len = 0;
}

void wire_play(rig_end *e, const char *script, unsigned chunk) {
  buf b = {0};
  for (const char *p = script, *end; *p; p = *end ? end + 1 : end) {
    end = strchr(p, ';');
    if (!end) end = p + strlen(p);
    caw_str clause = caw_str_of(p, (size_t)(end - p));
    if (put_clause(&b, clause)) continue;
    feed(e, &b, chunk);
    call(e, clause);
  }
  feed(e, &b, chunk);
  buf_finish(&b);
}

size_t wire_start(rig_end *e, h2_role role, const h2_config *config, bool raw) {
  rig_start_end(e, role, config);
  wire_highest = 0;
  if (role == H2_CLIENT && !raw) rig_request(e, "/s/m");
  rig_drain(e);
  if (raw) return e->wire.len;
  wire_play(e,
            role == H2_SERVER ? "MAGIC; SETTINGS 0; SETTINGS 0 ack" : "SETTINGS 0; SETTINGS 0 ack",
            0);
  rig_drain(e);
  rig_expect(e, "settings\n");
  return e->wire.len;
}
