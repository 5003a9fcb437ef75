/*
 * What a server says to input that no client of its own would send: raw bytes
 * over TCP, or TLS, and the exact answer: HTTP status, gRPC status, or the error code of
 * the stream or the connection (RFC 9113; gRPC: PROTOCOL-HTTP2.md,
 * statuscodes.md). After each, another connection is served as ever.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/buf.h"
#include "host.h"
#include "raw.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

/* ---- The service ---- */

/* Messages that begin with '!' cannot be decoded. */
static int picky_decode(const void *desc, void *message, const uint8_t *data, size_t len,
                        caw_arena *arena) {
  (void)desc, (void)arena;
  if (len && data[0] == '!') return CAW_EMALFORMED;
  if (len && data[0] == '8') return CAW_EUTF8;
  *(caw_str *)message = caw_str_of((const char *)data, len);
  return 0;
}

static caw_codec picky_codec;
static const caw_type picky = {&picky_codec, NULL, sizeof(caw_str)};

static const caw_method unary = {"/test.Bad/Unary", CAW_UNARY, &picky, &picky};
static const caw_method talk = {"/test.Bad/Talk", CAW_BIDI, &picky, &picky};
static const caw_method pause_it = {"/test.Bad/Pause", CAW_BIDI, &picky, &picky};
static const caw_method wait_for = {"/test.Bad/Wait", CAW_UNARY, &picky, &picky};

static struct {
  host host;
  atomic_int waiting, cancelled, done;
} t;

static int on_message(caw_call *call, const void *request, void *reply, const void *impl,
                      void *self) {
  (void)impl, (void)self;
  if (!reply) return caw_call_send(call, request);
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static int on_end(caw_call *call, void *reply, const void *impl, void *self) {
  (void)call, (void)reply, (void)impl, (void)self;
  return 0;
}

static int open_paused(caw_call *call, const void *impl, void *self) {
  (void)impl, (void)self;
  caw_call_pause(call);
  return 0;
}

static void was_cancelled(caw_call *call, void *user) {
  (void)user;
  atomic_fetch_add(&t.cancelled, 1);
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

static void was_done(caw_call *call, const caw_status *status, void *user) {
  (void)call, (void)user;
  host_check(status->code == CAW_CANCELLED);
  atomic_fetch_add(&t.done, 1);
}

static int on_wait(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  static const caw_call_events events = {was_cancelled, NULL, NULL, was_done};
  (void)request, (void)reply, (void)impl, (void)self;
  caw_call_on(call, &events, NULL);
  atomic_fetch_add(&t.waiting, 1);
  return CAW_PENDING;
}

static const caw_handler handlers[] = {
    {&unary, on_message, NULL, NULL},
    {&talk, on_message, NULL, on_end},
    {&pause_it, on_message, open_paused, on_end},
    {&wait_for, on_wait, NULL, NULL},
};

/* ---- Bytes out ---- */

enum { DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION };
enum { END_STREAM = 1, END_HEADERS = 4 };

static void put(buf *b, const void *data, size_t len) {
  assert_int_equal(buf_append(b, data, len), 0);
}

static void put_byte(buf *b, unsigned byte) {
  uint8_t c = (uint8_t)byte;
  put(b, &c, 1);
}

static void put_frame(buf *b, unsigned type, unsigned flags, uint32_t id, const void *payload,
                      size_t len) {
  uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,
                     (uint8_t)type,        (uint8_t)flags,      (uint8_t)(id >> 24),
                     (uint8_t)(id >> 16),  (uint8_t)(id >> 8),  (uint8_t)id};
  put(b, head, 9);
  put(b, payload, len);
}

static void put_preface(buf *b) {
  put(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
  put_frame(b, SETTINGS, 0, 0, NULL, 0);
}

/* RFC 7541 5.1, with a prefix of 7 bits. */
static void put_length(buf *b, size_t n) {
  if (n < 127) {
    put_byte(b, (unsigned)n);
    return;
  }
  put_byte(b, 127);
  for (n -= 127; n >= 128; n /= 128) put_byte(b, (unsigned)(n % 128 + 128));
  put_byte(b, (unsigned)n);
}

/* A literal field that is not indexed (RFC 7541 6.2.2). */
static void put_field(buf *b, const char *name, const char *value, size_t len) {
  put_byte(b, 0);
  put_length(b, strlen(name));
  put(b, name, strlen(name));
  put_length(b, len);
  put(b, value, len);
}

typedef struct field {
  const char *name, *value; /* a NULL value leaves the field out */
} field;

/* The usual fields of a request, of which `changes` replace some; those of
 * other names come after. */
static void put_fields(buf *block, const field *changes) {
  static const field usual[] = {
      {":method", "POST"}, {":scheme", "http"}, {":path", "/test.Bad/Unary"},
      {":authority", "x"}, {"te", "trailers"},  {"content-type", "application/grpc"},
  };
  enum { N = sizeof(usual) / sizeof(usual[0]) };
  for (int i = 0; i < N; i++) {
    const char *value = usual[i].value;
    for (const field *c = changes; c && c->name; c++)
      if (!strcmp(c->name, usual[i].name)) value = c->value;
    if (value) put_field(block, usual[i].name, value, strlen(value));
  }
  for (const field *c = changes; c && c->name; c++) {
    bool known = false;
    for (int i = 0; i < N; i++) known = known || !strcmp(c->name, usual[i].name);
    if (!known) put_field(block, c->name, c->value, strlen(c->value));
  }
}

static void put_request(buf *b, uint32_t id, unsigned flags, const field *changes) {
  buf block = {0};
  put_fields(&block, changes);
  put_frame(b, HEADERS, END_HEADERS | flags, id, block.data, block.len);
  buf_finish(&block);
}

/* gRPC's prefix and text, as DATA. */
static void put_message(buf *b, uint32_t id, unsigned flags, const char *text) {
  size_t len = strlen(text);
  buf m = {0};
  put(&m, "\0\0\0\0", 4);
  put_byte(&m, (unsigned)len);
  put(&m, text, len);
  put_frame(b, DATA, flags, id, m.data, m.len);
  buf_finish(&m);
}

/* ---- A connection ---- */

static int dial(void) {
  return raw_dial(t.host.address);
}

/* The server may close while we still write. */
static void write_all(int fd, const buf *b) {
  for (size_t at = 0; at < b->len;) {
    ssize_t n = raw_write(fd, b->data + at, b->len - at);
    if (n <= 0) return;
    at += (size_t)n;
  }
}

static bool read_all(int fd, uint8_t *to, size_t len) {
  for (size_t at = 0; at < len;) {
    ssize_t n = raw_read(fd, to + at, len - at);
    if (n <= 0) return false;
    at += (size_t)n;
  }
  return true;
}

/* What a server said, as text; see below. */
typedef struct answer {
  char text[1024];
  nghttp2_hd_inflater *inflater;
} answer;

CAW_PRINTF(2, 3)
static void note(answer *a, const char *format, ...) {
  size_t len = strlen(a->text);
  va_list args;
  va_start(args, format);
  vsnprintf(a->text + len, sizeof(a->text) - len, format, args);
  va_end(args);
}

/* ":status" and "grpc-status" are what counts. */
static void note_fields(answer *a, const uint8_t *data, size_t len) {
  for (;;) {
    nghttp2_nv nv;
    int flags = 0;
    ssize_t n = nghttp2_hd_inflate_hd2(a->inflater, &nv, &flags, data, len, 1);
    assert_true(n >= 0);
    data += n;
    len -= (size_t)n;
    if (flags & NGHTTP2_HD_INFLATE_EMIT) {
      caw_str name = caw_str_of((const char *)nv.name, nv.namelen);
      caw_str value = caw_str_of((const char *)nv.value, nv.valuelen);
      if (caw_str_is(name, ":status")) note(a, "http %.*s;", CAW_STR_ARG(value));
      if (caw_str_is(name, "grpc-status")) note(a, "grpc %.*s;", CAW_STR_ARG(value));
    }
    if (flags & NGHTTP2_HD_INFLATE_FINAL) break;
  }
  nghttp2_hd_inflate_end_headers(a->inflater);
}

static unsigned word(const uint8_t *p) {
  return (unsigned)p[0] << 24 | (unsigned)p[1] << 16 | (unsigned)p[2] << 8 | p[3];
}

/* Reads until a stream has ended, or `to_end`: the connection. The text tells
 * of each frame that says something: "http 200;grpc 0;" "message;" "end 1;"
 * "rst 1 8;" "goaway 1;" and "closed;". */
static void read_answer(int fd, answer *a, bool to_end) {
  static uint8_t payload[1 << 14];
  errno = 0;
  for (;;) {
    uint8_t head[9];
    if (!read_all(fd, head, 9)) break;
    size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    assert_true(len <= sizeof(payload));
    if (!read_all(fd, payload, len)) break;
    unsigned id = word(head + 5);
    if (head[3] == HEADERS) note_fields(a, payload, len);
    if (head[3] == DATA && len) note(a, "message;");
    bool ended = (head[3] == HEADERS || head[3] == DATA) && (head[4] & END_STREAM);
    if (ended) note(a, "end %u;", id);
    if (head[3] == RST) note(a, "rst %u %u;", id, word(payload));
    if (head[3] == GOAWAY) note(a, "goaway %u;", word(payload + 4));
    if (!to_end && (ended || head[3] == RST)) return;
  }
  note(a, errno == EAGAIN ? "timeout;" : "closed;");
}

/* ---- Cases ---- */

typedef struct bad_case {
  const char *name;
  void (*make)(buf *b); /* everything that is sent */
  const char *answer;
  bool open; /* the connection stays: read to the end of a stream only */
} bad_case;

static void http_1(buf *b) {
  put(b, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 35);
}
static void tls(buf *b) {
  put(b, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and thirty-two random bytes ", 40);
}
static void garbage(buf *b) {
  for (unsigned i = 0, x = 1; i < 5000; i++) put_byte(b, (x = x * 1103515245 + 12345) >> 16 & 255);
}
static void wrong_preface(buf *b) {
  put(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r!", 24);
}
static void no_settings(buf *b) {
  put_preface(b);
  b->len -= 9;
  put_frame(b, PING, 0, 0, "12345678", 8);
}
static void large_frame(buf *b) {
  static const uint8_t zeros[16385];
  put_preface(b);
  put_request(b, 1, 0, NULL);
  put_frame(b, DATA, 0, 1, zeros, sizeof(zeros));
}
static void broken_hpack(buf *b) {
  put_preface(b);
  put_frame(b, HEADERS, END_HEADERS | END_STREAM, 1, "\xff\xff\xff\xff\xff\xff", 6);
}
static void hpack_index(buf *b) {
  put_preface(b);
  put_frame(b, HEADERS, END_HEADERS | END_STREAM, 1, "\xfe", 1); /* nothing there */
}
static void data_on_idle(buf *b) {
  put_preface(b);
  put_message(b, 1, 0, "x");
}
static void rst_on_idle(buf *b) {
  put_preface(b);
  put_frame(b, RST, 0, 1, "\0\0\0\x8", 4);
  put_request(b, 3, 0, NULL);
  put_message(b, 3, END_STREAM, "x");
}
static void even_id(buf *b) {
  put_preface(b);
  put_request(b, 2, END_STREAM, NULL);
}
static void id_zero(buf *b) {
  put_preface(b);
  put_request(b, 0, END_STREAM, NULL);
}
static void smaller_id(buf *b) {
  put_preface(b);
  put_request(b, 5, 0, NULL);
  put_request(b, 3, END_STREAM, NULL);
  put_message(b, 5, END_STREAM, "x");
}
static void pushed(buf *b) {
  put_preface(b);
  put_request(b, 1, 0, NULL);
  put_frame(b, PUSH, END_HEADERS, 1, "\0\0\0\2", 4);
}
static void lone_continuation(buf *b) {
  put_preface(b);
  put_frame(b, CONTINUATION, END_HEADERS, 1, "", 0);
}
static void interrupted_block(buf *b) {
  put_preface(b);
  put_frame(b, HEADERS, 0, 1, "", 0);
  put_frame(b, PING, 0, 0, "12345678", 8);
}
static void short_ping(buf *b) {
  put_preface(b);
  put_frame(b, PING, 0, 0, "1234567", 7);
}
static void odd_settings(buf *b) {
  put_preface(b);
  put_frame(b, SETTINGS, 0, 0, "12345", 5);
}
static void bad_setting(buf *b) {
  put_preface(b);
  put_frame(b, SETTINGS, 0, 0, "\0\4\xff\xff\xff\xff", 6); /* INITIAL_WINDOW_SIZE */
}
static void bad_frame_setting(buf *b) {
  put_preface(b);
  put_frame(b, SETTINGS, 0, 0, "\0\5\0\0\0\1", 6); /* MAX_FRAME_SIZE */
}
static void connection_window(buf *b) {
  put_preface(b);
  put_frame(b, WINDOW, 0, 0, "\x7f\xff\xff\xff", 4);
}
static void stream_window(buf *b) {
  put_preface(b);
  put_request(b, 1, 0, NULL);
  put_frame(b, WINDOW, 0, 1, "\x7f\xff\xff\xff", 4);
}
static void empty_increment(buf *b) {
  put_preface(b);
  put_request(b, 1, 0, NULL);
  put_frame(b, WINDOW, 0, 1, "\0\0\0\0", 4);
}
static void too_much_data(buf *b) {
  static const uint8_t zeros[16384];
  static const field fields[] = {{":path", "/test.Bad/Pause"}, {NULL, NULL}};
  put_preface(b);
  put_request(b, 1, 0, fields);
  for (int i = 0; i < 17; i++) put_frame(b, DATA, 0, 1, zeros, sizeof(zeros));
}
static void thousand_fields(buf *b) {
  buf block = {0};
  put_fields(&block, NULL);
  for (int i = 0; i < 600; i++) put_field(&block, "x-a", "b", 1);
  put_preface(b);
  put_frame(b, HEADERS, END_HEADERS | END_STREAM, 1, block.data, block.len);
  buf_finish(&block);
}

/* Errors of the connection: GOAWAY with this code, and the end. A server may
 * leave GOAWAY out after a wrong preface (RFC 9113 3.4). */
static const bad_case connection_cases[] = {
    {"HTTP/1.1", http_1, "goaway 1;closed;", false},
    {"a TLS ClientHello", tls, "goaway 1;closed;", false},
    {"garbage", garbage, "goaway 1;closed;", false},
    {"a wrong preface", wrong_preface, "goaway 1;closed;", false},
    {"no SETTINGS first", no_settings, "goaway 1;closed;", false},
    {"a frame larger than allowed", large_frame, "goaway 6;closed;", false},
    {"broken HPACK", broken_hpack, "goaway 9;closed;", false},
    {"an index of HPACK that is not there", hpack_index, "goaway 9;closed;", false},
    {"DATA on an idle stream", data_on_idle, "goaway 1;closed;", false},
    {"an even stream id", even_id, "goaway 1;closed;", false},
    {"HEADERS on stream 0", id_zero, "goaway 1;closed;", false},
    {"PUSH_PROMISE of a client", pushed, "goaway 1;closed;", false},
    {"CONTINUATION alone", lone_continuation, "goaway 1;closed;", false},
    {"a header block interrupted", interrupted_block, "goaway 1;closed;", false},
    {"PING of 7 bytes", short_ping, "goaway 6;closed;", false},
    {"SETTINGS of 5 bytes", odd_settings, "goaway 6;closed;", false},
    {"a window too large in SETTINGS", bad_setting, "goaway 3;closed;", false},
    {"a frame size too small in SETTINGS", bad_frame_setting, "goaway 1;closed;", false},
    {"the connection's window overflows", connection_window, "goaway 3;closed;", false},
    {"more fields than any client has", thousand_fields, "goaway 11;closed;", false},
};

static const bad_case stream_cases[] = {
    /* RFC 9113 5.1 asks for an error of the connection. gRPC's C core does this
     * for calls that it cancelled before their HEADERS were written. */
    {"RST_STREAM on an idle stream", rst_on_idle, "http 200;message;grpc 0;end 3;", true},
    {"the stream's window overflows", stream_window, "rst 1 3;", true},
    {"a window increment of 0", empty_increment, "rst 1 1;", true},
    /* RFC 9113 5.1.1 asks for an error of the connection. The request is ignored:
     * nobody remembers that its stream is not one that was closed a while ago. */
    {"a smaller stream id", smaller_id, "http 200;message;grpc 0;end 5;", true},
    {"more data than the window", too_much_data, "rst 1 3;", true},
};

/* Requests: fields changed, then data, and the answer to them. */
typedef struct request_case {
  const char *name;
  field fields[4];
  const char *data;
  size_t data_len;
  const char *answer;
} request_case;

#define BYTES(text) text, sizeof(text) - 1
#define ONE         BYTES("\0\0\0\0\1x")

static const request_case request_cases[] = {
    {"what is right", {{NULL, NULL}}, ONE, "http 200;message;grpc 0;end 1;"},
    {"another content-type", {{"content-type", "text/plain"}}, ONE, "http 415;grpc 13;end 1;"},
    {"no content-type", {{"content-type", NULL}}, ONE, "http 415;grpc 13;end 1;"},
    {"a content-type that goes on",
     {{"content-type", "application/grpcx"}},
     ONE,
     "http 415;grpc 13;end 1;"},
    {"GET", {{":method", "GET"}}, ONE, "http 405;grpc 13;end 1;"},
    {"another te", {{"te", "gzip"}}, ONE, "rst 1 1;"},
    {"no :path", {{":path", NULL}}, ONE, "rst 1 1;"},
    {"no :method", {{":method", NULL}}, ONE, "rst 1 1;"},
    {"an empty :path", {{":path", ""}}, ONE, "rst 1 1;"},
    {"a :path of one part", {{":path", "/Unary"}}, ONE, "http 200;grpc 12;end 1;"},
    {"a :path of three", {{":path", "/a/b/c"}}, ONE, "http 200;grpc 12;end 1;"},
    {"an unknown method", {{":path", "/test.Bad/None"}}, ONE, "http 200;grpc 12;end 1;"},
    {"another case", {{":path", "/test.bad/unary"}}, ONE, "http 200;grpc 12;end 1;"},
    {"an unknown encoding", {{"grpc-encoding", "br"}}, ONE, "http 200;grpc 12;end 1;"},
    {"an encoding that is not used",
     {{"grpc-encoding", "gzip"}},
     ONE,
     "http 200;message;grpc 0;end 1;"},
    {"a message that is not what it says",
     {{"grpc-encoding", "gzip"}},
     BYTES("\1\0\0\0\1x"),
     "http 200;grpc 13;end 1;"},
    {"a timeout without a unit", {{"grpc-timeout", "10"}}, ONE, "http 200;grpc 13;end 1;"},
    {"a timeout of nine digits", {{"grpc-timeout", "123456789S"}}, ONE, "http 200;grpc 13;end 1;"},
    {"a negative timeout", {{"grpc-timeout", "-1S"}}, ONE, "http 200;grpc 13;end 1;"},
    {"bad base64", {{"x-bin", "a"}}, ONE, "http 200;grpc 13;end 1;"},
    {"foreign base64", {{"x-bin", "ab*d"}}, ONE, "http 200;grpc 13;end 1;"},
    {"an upper-case field", {{"Upper", "x"}}, ONE, "rst 1 1;"},
    {"a connection field", {{"connection", "close"}}, ONE, "rst 1 1;"},
    {"a late pseudo-field", {{"x", "y"}, {":late", "x"}}, ONE, "rst 1 1;"},
    {"a line break in a value", {{"x", "a\nb"}}, ONE, "rst 1 1;"},
    {"a wrong content-length", {{"content-length", "7"}}, ONE, "rst 1 1;"},
    {"a compressed message", {{NULL, NULL}}, BYTES("\1\0\0\0\1x"), "http 200;grpc 13;end 1;"},
    {"an unknown flag", {{NULL, NULL}}, BYTES("\2\0\0\0\1x"), "http 200;grpc 13;end 1;"},
    {"a message of 2 GiB", {{NULL, NULL}}, BYTES("\0\x7f\xff\xff\xffx"), "http 200;grpc 8;end 1;"},
    {"half a prefix", {{NULL, NULL}}, BYTES("\0\0\0"), "http 200;grpc 13;end 1;"},
    {"half a message", {{NULL, NULL}}, BYTES("\0\0\0\0\2x"), "http 200;grpc 13;end 1;"},
    {"no message", {{NULL, NULL}}, BYTES(""), "http 200;grpc 12;end 1;"},
    {"two messages", {{NULL, NULL}}, BYTES("\0\0\0\0\1x\0\0\0\0\1x"), "http 200;grpc 12;end 1;"},
    {"a message and a half", {{NULL, NULL}}, BYTES("\0\0\0\0\1x\0\0"), "http 200;grpc 13;end 1;"},
    {"a malformed message", {{NULL, NULL}}, BYTES("\0\0\0\0\1!"), "http 200;grpc 13;end 1;"},
    {"a text that is not UTF-8",
     {{NULL, NULL}},
     BYTES("\0\0\0\0\1"
           "8"),
     "http 200;grpc 13;end 1;"},
    {"a malformed message in a stream",
     {{":path", "/test.Bad/Talk"}},
     BYTES("\0\0\0\0\1x\0\0\0\0\1!"),
     "http 200;message;grpc 13;end 1;"},
    {"the end inside a message of a stream",
     {{":path", "/test.Bad/Talk"}},
     BYTES("\0\0\0\0\1x\0\0"),
     "http 200;message;grpc 13;end 1;"},
};

static caw_channel *channel; /* that all is well on */
static int silent;           /* a connection that says no more than its preface */
static struct timespec silent_since;

static void serve_another(void) {
  caw_arena *arena = caw_arena_new(0);
  caw_str request = CAW_STR("fine"), reply = {NULL, 0};
  assert_int_equal(caw_call_unary(channel, &unary, &request, &reply, arena, NULL, NULL), 0);
  assert_true(caw_str_is(reply, "fine"));
  caw_arena_free(arena);
}

/* Sends the bytes on a new connection and compares what comes back. */
static void check(const char *name, const buf *b, bool to_end, const char *want) {
  answer a = {.text = ""};
  int fd = dial();
  assert_int_equal(nghttp2_hd_inflate_new(&a.inflater), 0);
  write_all(fd, b);
  read_answer(fd, &a, to_end);
  nghttp2_hd_inflate_del(a.inflater);
  raw_close(fd);
  if (strcmp(a.text, want)) print_error("%s: got %s not %s\n", name, a.text, want);
  host_check_at(!strcmp(a.text, want), name, __FILE__, __LINE__);
  serve_another();
}

static void run_cases(const bad_case *cases, size_t n) {
  for (size_t i = 0; i < n; i++) {
    buf b = {0};
    cases[i].make(&b);
    check(cases[i].name, &b, !cases[i].open, cases[i].answer);
    buf_finish(&b);
  }
  host_check_all();
}

static void errors_of_the_connection(void **state) {
  (void)state;
  run_cases(connection_cases, sizeof(connection_cases) / sizeof(connection_cases[0]));
}

static void errors_of_a_stream(void **state) {
  (void)state;
  run_cases(stream_cases, sizeof(stream_cases) / sizeof(stream_cases[0]));
}

static void wrong_requests(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(request_cases) / sizeof(request_cases[0]); i++) {
    const request_case *c = &request_cases[i];
    buf b = {0};
    put_preface(&b);
    put_request(&b, 1, 0, c->fields);
    put_frame(&b, DATA, END_STREAM, 1, c->data, c->data_len);
    check(c->name, &b, false, c->answer);
    buf_finish(&b);
  }
  host_check_all();
}

/* 200 fields: more than are kept, fewer than end the connection. */
static void many_fields(void **state) {
  (void)state;
  buf b = {0}, block = {0};
  put_fields(&block, NULL);
  for (int i = 0; i < 200; i++) put_field(&block, "x-many", "y", 1);
  put_preface(&b);
  put_frame(&b, HEADERS, END_HEADERS, 1, block.data, block.len);
  put_message(&b, 1, END_STREAM, "x");
  check("200 fields", &b, false, "http 200;grpc 8;end 1;");
  buf_finish(&block);
  buf_finish(&b);
  host_check_all();
}

/* A request cut anywhere, and the client gone: nothing is answered that was not
 * asked, nothing is left behind. */
static void cut_anywhere(void **state) {
  (void)state;
  buf b = {0};
  put_preface(&b);
  put_request(&b, 1, 0, NULL);
  put_message(&b, 1, END_STREAM, "x");
  for (size_t n = 0; n < b.len; n++) {
    buf part = b;
    int fd = dial();
    part.len = n;
    write_all(fd, &part);
    if (n % 2) shutdown(fd, SHUT_WR);
    raw_close(fd);
  }
  serve_another();
  buf_finish(&b);
}

/* The stream is reset, or the connection lost, while the handler works. */
static void gone_while_it_works(void **state) {
  (void)state;
  static const field fields[] = {{":path", "/test.Bad/Wait"}, {NULL, NULL}};
  for (int how = 0; how < 3; how++) {
    buf b = {0};
    answer a = {.text = ""};
    int fd = dial(), before = atomic_load(&t.waiting);
    put_preface(&b);
    put_request(&b, 1, 0, fields);
    put_message(&b, 1, END_STREAM, "x");
    write_all(fd, &b);
    assert_true(host_await(&t.waiting, before + 1));
    b.len = 0;
    if (how == 0) {
      put_frame(&b, RST, 0, 1, "\0\0\0\x8", 4);
      put_request(&b, 3, 0, NULL); /* the connection goes on */
      put_message(&b, 3, END_STREAM, "x");
      write_all(fd, &b);
      assert_int_equal(nghttp2_hd_inflate_new(&a.inflater), 0);
      read_answer(fd, &a, false);
      nghttp2_hd_inflate_del(a.inflater);
      assert_string_equal(a.text, "http 200;message;grpc 0;end 3;");
    }
    if (how == 2) { /* with a reset of TCP's */
      struct linger hard = {1, 0};
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    }
    raw_close(fd);
    assert_true(host_await(&t.cancelled, before + 1));
    assert_true(host_await(&t.done, before + 1));
    buf_finish(&b);
    serve_another();
  }
  host_check_all();
}

/* Preface and nothing more: SETTINGS must come within ten seconds. */
static void silence(void **state) {
  (void)state;
  answer a = {.text = ""};
  struct timespec now;
  read_answer(silent, &a, true);
  clock_gettime(CLOCK_MONOTONIC, &now);
  raw_close(silent);
  assert_string_equal(a.text, "closed;");
  double took = (double)(now.tv_sec - silent_since.tv_sec) +
                (double)(now.tv_nsec - silent_since.tv_nsec) / 1e9;
  assert_true(took > 9.5); /* read_answer's own patience is the other bound */
  serve_another();
}

static int set_up(void **state) {
  (void)state;
  picky_codec = *caw_type_bytes.codec;
  picky_codec.decode = picky_decode;
  host_start(&t.host, NULL, handlers, sizeof(handlers) / sizeof(handlers[0]), NULL, 0, NULL);
  channel = host_channel(&t.host);
  clock_gettime(CLOCK_MONOTONIC, &silent_since);
  silent = dial();
  return raw_write(silent, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24) == 24 ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  caw_channel_free(channel);
  return host_stop(&t.host, 1000);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(errors_of_the_connection),
      cmocka_unit_test(errors_of_a_stream),
      cmocka_unit_test(wrong_requests),
      cmocka_unit_test(many_fields),
      cmocka_unit_test(cut_anywhere),
      cmocka_unit_test(gone_while_it_works),
      cmocka_unit_test(silence),
  };
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
