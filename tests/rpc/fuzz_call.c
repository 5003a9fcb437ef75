/*
 * Conversations of frames whose header compression is right, so that what comes
 * behind it is reached: gRPC's calls on an HTTP/2 session, as a server and as a
 * client. The input is a program of small steps: which frame of which stream
 * comes next, and what the other side does meanwhile. The first byte chooses the
 * role and how the bytes are cut.
 */
#include "base/buf.h"
#include "rpc/call.h"

#include <assert.h>
#include <caw/alloc.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS = 16, FRAME = 9 };

typedef struct input {
  const uint8_t *p, *end;
} input;

static unsigned next(input *in) {
  return in->p < in->end ? *in->p++ : 0;
}

typedef struct one {
  rpc_call call;
  caw_arena *arena;
  bool used, closed;
} one;

typedef struct talk {
  bool server;
  size_t cut; /* bytes given at a time; 0: all */
  rpc_session s;
  one calls[CALLS];
  nghttp2_hd_deflater *hpack;
  buf wire;
} talk;

/* ---- The calls ---- */

static one *new_call(talk *t) {
  for (size_t i = 0; i < CALLS; i++) {
    one *o = &t->calls[i];
    if (o->used) continue;
    o->used = true;
    o->closed = false;
    o->arena = caw_arena_new(0);
    if (!o->arena) abort();
    rpc_call_init(&o->call, t->server, o->arena, 5000);
    return o;
  }
  return NULL;
}

static void free_call(one *o) {
  if (!o->used) return;
  rpc_call_finish(&o->call);
  caw_arena_free(o->arena);
  o->used = false;
}

static rpc_call *on_open(void *ctx) {
  one *o = new_call(ctx);
  return o ? &o->call : NULL;
}

static void on_event(void *ctx, rpc_call *call) {
  (void)ctx;
  one *o = (one *)(void *)call;
  assert(o->used && !o->closed);
  if (call->news & RPC_NEWS_CLOSED) o->closed = true;
}

static void on_nothing(void *ctx) {
  (void)ctx;
}

static void on_goaway(void *ctx, uint32_t code, caw_str debug) {
  (void)ctx, (void)code, (void)debug;
}

static void on_ping_ack(void *ctx, uint64_t opaque) {
  (void)ctx, (void)opaque;
}

static const rpc_session_events events = {on_open,     on_event,   on_nothing, on_goaway,
                                          on_ping_ack, on_nothing, NULL};

static void send_message(one *o, size_t len) {
  static const char text[4000];
  caw_str s = caw_str_of(text, len);
  caw_payload *p;
  if (caw_payload_new(&p, &caw_type_bytes, &s)) abort();
  rpc_call_send(&o->call, p, NULL);
  caw_payload_unref(p);
}

/* What the owner of the call does in its turn, as a server: echoes lengths. */
static void serve(one *o, unsigned how) {
  caw_str why;
  unsigned http;
  rpc_message m;
  if (o->call.state == RPC_IDLE || !o->call.headers_received) return;
  if (o->call.state == RPC_DONE || o->call.state == RPC_CLOSING) return;
  int code = rpc_call_check_request(&o->call, &why, &http);
  if (code) {
    const caw_status status = {code, why, {NULL, 0}};
    rpc_call_refuse(&o->call, http, &status, NULL);
    return;
  }
  rpc_call_pause(&o->call, how & 1);
  for (int n = 0; n < 4; n++) {
    rpc_next what = rpc_call_peek(&o->call, &m);
    if (what == RPC_NEXT_NOTHING) break;
    bool bad = what == RPC_NEXT_ERROR;
    if (what == RPC_NEXT_MESSAGE) {
      bad = rpc_call_take(&o->call, &m, SIZE_MAX);
      assert(bad || m.len <= 5000);
      if (!bad) send_message(o, m.len % 4000);
    }
    const caw_status status = {bad ? m.code : 0, {NULL, 0}, {NULL, 0}};
    if (what != RPC_NEXT_MESSAGE || bad) {
      rpc_call_end(&o->call, &status, NULL, NULL);
      break;
    }
  }
  rpc_call_consumed(&o->call);
}

static void listen_to(one *o, unsigned how) {
  rpc_message m;
  rpc_call_pause(&o->call, how & 1);
  while (rpc_call_peek(&o->call, &m) == RPC_NEXT_MESSAGE)
    if (rpc_call_take(&o->call, &m, SIZE_MAX)) break;
  rpc_call_consumed(&o->call);
  if (o->call.status_final) assert(o->call.status.code >= 0 && o->call.status.code <= 16);
  if (how & 2) send_message(o, 100);
  if (how & 4) rpc_call_half_close(&o->call);
}

static void open_call(talk *t) {
  static const caw_metadata none;
  one *o = t->s.h2 ? new_call(t) : NULL;
  if (!o) return;
  const rpc_request request = {
      CAW_STR("http"), CAW_STR("x"), CAW_STR("/a.B/C"), CAW_STR("fuzz"), UINT64_MAX, &none, NULL};
  if (rpc_call_open(&o->call, &t->s, &request)) free_call(o);
}

static void take_turns(talk *t, unsigned how) {
  for (size_t i = 0; i < CALLS; i++) {
    one *o = &t->calls[i];
    if (!o->used) continue;
    rpc_call_take_news(&o->call);
    if (t->server) serve(o, how);
    else listen_to(o, how);
    if (how & 8 && i % 4 == how % 4) rpc_call_reset(&o->call, H2_CANCEL);
    if (o->closed) free_call(o);
  }
}

static void flush(talk *t, size_t most) {
  struct iovec parts[8];
  int n = h2_output(t->s.h2, parts, 8);
  size_t total = 0;
  for (int i = 0; i < n; i++) total += parts[i].iov_len;
  if (n > 0) h2_written(t->s.h2, total < most ? total : most);
}

/* ---- The peer's frames ---- */

static void put_frame(talk *t, unsigned type, unsigned flags, uint32_t id, const void *payload,
                      size_t len) {
  uint8_t head[FRAME] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,
                         (uint8_t)type,        (uint8_t)flags,      (uint8_t)(id >> 24),
                         (uint8_t)(id >> 16),  (uint8_t)(id >> 8),  (uint8_t)id};
  if (buf_append(&t->wire, head, FRAME) || buf_append(&t->wire, payload, len)) abort();
}

#define FIELD(n, v)                                                                                \
  { n, v }
static const char *const some_fields[][2] = {
    FIELD(":method", "POST"),
    FIELD(":scheme", "http"),
    FIELD(":path", "/a.B/C"),
    FIELD(":authority", "x"),
    FIELD("te", "trailers"),
    FIELD("content-type", "application/grpc"),
    FIELD(":status", "200"),
    FIELD("grpc-status", "0"),
    FIELD("grpc-status", "5"),
    FIELD("grpc-message", "a%20b%zz"),
    FIELD("grpc-timeout", "10S"),
    FIELD("grpc-encoding", "gzip"),
    FIELD("grpc-accept-encoding", "gzip, br"),
    FIELD("grpc-status-details-bin", "CAU"),
    FIELD("key-bin", "AAEC,AA=="),
    FIELD("key", "value"),
    FIELD("content-type", "text/html"),
    FIELD(":status", "503"),
    FIELD(":status", "103"),
    FIELD(":path", "no slash"),
    FIELD("grpc-timeout", "x"),
    FIELD("key-bin", "!"),
    FIELD("user-agent", "fuzz"),
    FIELD("host", "y"),
};
enum { N_FIELDS = sizeof(some_fields) / sizeof(some_fields[0]) };

/* A whole request or response, or any fields, as the bytes say. */
static size_t choose_fields(talk *t, input *in, nghttp2_nv *nv) {
  static const unsigned char request[] = {0, 1, 2, 3, 4, 5}, answer[] = {6, 5}, end[] = {7};
  unsigned kind = next(in) % 4, n = 0, more = next(in) % 4;
  const unsigned char *base = kind == 3 ? end : t->server ? request : answer;
  size_t count = kind == 0 ? 0 : kind == 3 ? 1 : t->server ? 6 : 2;
  for (size_t i = 0; i < count + more; i++) {
    unsigned which = i < count ? base[i] : next(in) % N_FIELDS;
    const char *const *f = some_fields[which];
    nv[n++] = (nghttp2_nv){(uint8_t *)(uintptr_t)f[0], (uint8_t *)(uintptr_t)f[1], strlen(f[0]),
                           strlen(f[1]), NGHTTP2_NV_FLAG_NONE};
  }
  return n;
}

static void put_headers(talk *t, input *in, uint32_t id, unsigned flags) {
  nghttp2_nv nv[16];
  uint8_t block[2048];
  size_t n = choose_fields(t, in, nv);
  ssize_t len = nghttp2_hd_deflate_hd(t->hpack, block, sizeof(block), nv, n);
  if (len < 0) abort();
  size_t first = flags & 2 ? (size_t)len / 2 : (size_t)len;
  bool whole = first == (size_t)len;
  put_frame(t, NGHTTP2_HEADERS, (flags & 1) | (whole ? 4 : 0), id, block, first);
  if (!whole) put_frame(t, NGHTTP2_CONTINUATION, 4, id, block + first, (size_t)len - first);
}

/* A piece of gRPC's stream of messages. */
static void put_data(talk *t, input *in, uint32_t id, unsigned flags) {
  uint8_t bytes[300] = {0};
  unsigned kind = next(in) % 8, len = next(in);
  size_t n = 5 + len;
  bytes[0] = kind == 1;
  bytes[4] = (uint8_t)len;
  if (kind == 2) n = len % 5;                     /* half a prefix */
  if (kind == 3) bytes[3] = 1;                    /* more to come */
  if (kind == 4) bytes[1] = 1;                    /* too much to come */
  if (kind == 5) bytes[0] = 2;                    /* an unknown flag */
  if (kind == 6) n = 5 + (size_t)len / 2;         /* cut */
  if (kind == 7) memset(bytes, 0, sizeof(bytes)); /* many empty messages */
  put_frame(t, NGHTTP2_DATA, flags & 1, id, bytes, n);
}

static void put_number(talk *t, unsigned type, uint32_t id, uint32_t value) {
  uint8_t b[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                  (uint8_t)value};
  put_frame(t, type, 0, id, b, 4);
}

static void put_setting(talk *t, unsigned id, uint32_t value) {
  uint8_t b[6] = {0,
                  (uint8_t)id,
                  (uint8_t)(value >> 24),
                  (uint8_t)(value >> 16),
                  (uint8_t)(value >> 8),
                  (uint8_t)value};
  put_frame(t, NGHTTP2_SETTINGS, 0, 0, b, 6);
}

static void give(talk *t) {
  size_t piece = t->cut ? t->cut : t->wire.len;
  for (size_t at = 0; at < t->wire.len; at += piece)
    h2_recv(t->s.h2, t->wire.data + at, t->wire.len - at < piece ? t->wire.len - at : piece);
  t->wire.len = 0;
}

static void step(talk *t, input *in) {
  unsigned op = next(in), how = next(in);
  uint32_t id = 2 * (how >> 3) + 1;
  switch (op % 12) {
  case 0:
  case 1:
    put_headers(t, in, id, how);
    break;
  case 2:
  case 3:
    put_data(t, in, id, how);
    break;
  case 4:
    put_number(t, NGHTTP2_RST_STREAM, id, how & 7);
    break;
  case 5:
    put_number(t, NGHTTP2_WINDOW_UPDATE, how & 1 ? id : 0, 1 + next(in) * 1000u);
    break;
  case 6:
    put_setting(t, 1 + how % 6, next(in) * 300u);
    break;
  case 7:
    put_frame(t, NGHTTP2_PING, how & 1, 0, "12345678", 8);
    break;
  case 8:
    if (how & 1) put_frame(t, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\3\0\0\0\0", 8);
    break;
  case 9:
    if (!t->server) open_call(t);
    break;
  case 10:
    flush(t, how & 1 ? 50 : SIZE_MAX);
    break;
  default:
    give(t);
    take_turns(t, how);
    break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  static talk t;
  input in = {data, data + len};
  unsigned how = next(&in);
  memset(&t, 0, sizeof(t));
  t.server = how & 1;
  t.cut = (how >> 1) % 4 == 1 ? 1 : (how >> 1) % 4 == 2 ? 11 : 0;
  if (nghttp2_hd_deflate_new(&t.hpack, 4096)) abort();
  if (rpc_session_init(&t.s, t.server ? H2_SERVER : H2_CLIENT, NULL, &events, &t)) abort();
  if (t.server && buf_append(&t.wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24)) abort();
  put_frame(&t, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
  give(&t);
  for (int i = 0; !t.server && i < 3; i++) open_call(&t);
  flush(&t, SIZE_MAX);
  while (in.p < in.end) step(&t, &in);
  give(&t);
  take_turns(&t, 0);
  flush(&t, SIZE_MAX);
  rpc_session_finish(&t.s);
  for (size_t i = 0; i < CALLS; i++) {
    assert(!t.calls[i].used || t.calls[i].closed);
    free_call(&t.calls[i]);
  }
  nghttp2_hd_deflate_del(t.hpack);
  buf_finish(&t.wire);
  return 0;
}
