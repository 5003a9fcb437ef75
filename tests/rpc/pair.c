/* The two ends of pair.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "pair.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- The end under test ---- */

static rpc_call *on_open(void *ctx) {
  pair *p = ctx;
  if (p->opened) return NULL;
  p->opened = true;
  rpc_call_init(&p->call, true, p->arena, p->limit);
  return &p->call;
}

static void on_event(void *ctx, rpc_call *call) {
  (void)ctx;
  (void)call;
}

static void on_ready(void *ctx) {
  ((pair *)ctx)->ready = true;
}

static void on_goaway(void *ctx, uint32_t code, caw_str debug) {
  (void)code;
  (void)debug;
  ((pair *)ctx)->goaway = true;
}

static void on_settings(void *ctx) {
  (void)ctx;
}

static void on_ping_ack(void *ctx, uint64_t opaque) {
  (void)ctx;
  (void)opaque;
}

static const rpc_session_events tested_events = {on_open,     on_event,    on_ready, on_goaway,
                                                 on_ping_ack, on_settings, NULL};

/* ---- The bare end ---- */

static void *bare_stream(void *ctx, h2_stream *stream) {
  pair *p = ctx;
  p->stream = stream;
  return p;
}

static void bare_field(void *ctx, void *user, const h2_field *f) {
  pair *p = ctx;
  (void)user;
  char *to = p->leading_done ? p->trailers : p->headers;
  size_t len = strlen(to);
  snprintf(to + len, PAIR_TEXT - len, "%.*s: %.*s\n", CAW_STR_ARG(f->name), CAW_STR_ARG(f->value));
  if (!(f->flags & H2_FIELD_SECRET)) return;
  len = strlen(p->secret);
  snprintf(p->secret + len, PAIR_TEXT - len, "%.*s;", CAW_STR_ARG(f->name));
}

static void bare_headers(void *ctx, void *user, unsigned flags) {
  (void)user;
  (void)flags;
  ((pair *)ctx)->leading_done = true;
}

static void bare_data(void *ctx, void *user, const uint8_t *data, size_t len) {
  pair *p = ctx;
  (void)user;
  size_t room = sizeof(p->body) - p->body_len;
  memcpy(p->body + p->body_len, data, len < room ? len : room);
  p->body_len += len < room ? len : room;
}

static void bare_end(void *ctx, void *user) {
  (void)user;
  ((pair *)ctx)->ended = true;
}

static void bare_sent(void *ctx, void *user, size_t len) {
  (void)ctx;
  (void)user;
  (void)len;
}

static void bare_close(void *ctx, void *user, uint32_t code, bool remote) {
  pair *p = ctx;
  (void)user;
  (void)remote;
  p->closed = true;
  p->code = code;
  p->stream = NULL;
}

static void bare_settings(void *ctx) {
  (void)ctx;
}

static void bare_goaway(void *ctx, uint32_t last_id, uint32_t code, caw_str debug) {
  (void)last_id;
  (void)debug;
  ((pair *)ctx)->code = code;
}

static const h2_events bare_events = {bare_stream, bare_field,  bare_headers, bare_data,
                                      bare_end,    bare_sent,   bare_close,   bare_settings,
                                      bare_goaway, on_ping_ack, NULL};

/* ---- Both ---- */

void pair_init(pair *p, bool server, size_t chunk) {
  memset(p, 0, sizeof(*p));
  p->server = server;
  p->chunk = chunk;
  p->limit = 1000;
  p->arena = caw_arena_new(0);
  assert_non_null(p->arena);
  assert_int_equal(
      rpc_session_init(&p->tested, server ? H2_SERVER : H2_CLIENT, NULL, &tested_events, p), 0);
  assert_int_equal(h2_session_new(&p->bare, server ? H2_CLIENT : H2_SERVER, NULL, &bare_events, p),
                   0);
  pair_run(p);
  assert_true(p->ready);
}

static void note_news(pair *p) {
  p->news |= rpc_call_take_news(&p->call);
  p->sent += p->call.sent_bytes;
  p->call.sent_bytes = 0;
}

void pair_finish(pair *p) {
  rpc_session_finish(&p->tested);
  note_news(p);
  h2_session_free(p->bare);
  if (p->opened) rpc_call_finish(&p->call);
  caw_arena_free(p->arena);
}

/* Moves what one session has to say to the other. Returns the bytes. */
static size_t carry(pair *p, h2_session *from, h2_session *to, bool to_tested) {
  struct iovec parts[8];
  size_t total = 0;
  int n = h2_output(from, parts, 8);
  assert_true(n >= 0);
  for (int i = 0; i < n; i++) {
    /* A copy of exactly the chunk's size, so that a sanitizer sees reads
     * beyond it. */
    for (size_t at = 0; at < parts[i].iov_len;) {
      size_t len = parts[i].iov_len - at;
      if (p->chunk && len > p->chunk) len = p->chunk;
      uint8_t *copy = malloc(len);
      memcpy(copy, (uint8_t *)parts[i].iov_base + at, len);
      int rc = h2_recv(to, copy, len);
      free(copy);
      if (to_tested && rc && !p->failed) p->failed = rc;
      at += len;
    }
    total += parts[i].iov_len;
  }
  h2_written(from, total);
  return total;
}

void pair_run(pair *p) {
  for (;;) {
    size_t moved = carry(p, p->bare, p->tested.h2, true);
    p->to_tested += moved;
    moved += carry(p, p->tested.h2, p->bare, false);
    if (p->opened) note_news(p);
    if (!moved) return;
  }
}

static size_t count(const h2_field *fields) {
  size_t n = 0;
  while (fields && fields[n].name.len) n++;
  return n;
}

void pair_request(pair *p, const h2_field *fields) {
  assert_int_equal(h2_request(p->bare, fields, count(fields), p, &p->stream), 0);
  pair_run(p);
}

static void release(void *owner) {
  free(owner);
}

void pair_data(pair *p, const void *data, size_t len) {
  uint8_t *copy = malloc(len ? len : 1);
  memcpy(copy, data, len);
  slice s = {copy, len, release, copy};
  assert_int_equal(h2_send(p->bare, p->stream, s), 0);
  pair_run(p);
}

void pair_message(pair *p, const char *text) {
  uint8_t bytes[2000] = {0};
  size_t len = strlen(text);
  assert_true(len < sizeof(bytes) - 5);
  bytes[3] = (uint8_t)(len >> 8);
  bytes[4] = (uint8_t)len;
  memcpy(bytes + 5, text, len);
  pair_data(p, bytes, len + 5);
}

void pair_respond(pair *p, const h2_field *fields) {
  assert_int_equal(h2_respond(p->bare, p->stream, fields, count(fields)), 0);
  pair_run(p);
}

void pair_end(pair *p, const h2_field *trailers) {
  assert_int_equal(h2_finish(p->bare, p->stream, trailers, count(trailers)), 0);
  pair_run(p);
}

void pair_open(pair *p, uint64_t timeout, const caw_metadata *metadata) {
  static const caw_metadata none;
  rpc_call_init(&p->call, false, p->arena, p->limit);
  p->opened = true;
  rpc_request request = {CAW_STR("http"),   CAW_STR("example.com"),
                         CAW_STR("/a.B/C"), CAW_STR("grpc-test/1"),
                         timeout,           metadata ? metadata : &none,
                         p->secrets};
  assert_int_equal(rpc_call_open(&p->call, &p->tested, &request), 0);
  pair_run(p);
}

const char *pair_next(pair *p) {
  static char text[2048];
  rpc_message m = {0};
  switch (rpc_call_peek(&p->call, &m)) {
  case RPC_NEXT_NOTHING:
    return "(nothing)";
  case RPC_NEXT_END:
    return "(end)";
  case RPC_NEXT_ERROR:
    snprintf(text, sizeof(text), "(error %s %s)", caw_code_name(m.code), m.why);
    return text;
  case RPC_NEXT_MESSAGE:
    if (rpc_call_take(&p->call, &m, SIZE_MAX)) snprintf(text, sizeof(text), "(error %s)", m.why);
    else
      snprintf(text, sizeof(text), "%s%.*s", m.compressed ? "(compressed) " : "", (int)m.len,
               (const char *)m.data);
    rpc_call_consumed(&p->call);
    return text;
  }
  return "";
}
