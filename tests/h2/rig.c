/* The test bench of rig.h. */
#include "rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t fail_in; /* see rig_fail_allocation */

/* ---- slices ---- */

size_t rig_slices_live;

typedef struct counted {
  unsigned releases;
  uint8_t bytes[];
} counted;

static void counted_release(void *owner) {
  counted *c = owner;
  assert_int_equal(c->releases, 0);
  c->releases++;
  rig_slices_live--;
  free(c);
}

slice rig_slice(size_t len) {
  counted *c = malloc(sizeof(*c) + len);
  assert_non_null(c);
  c->releases = 0;
  for (size_t i = 0; i < len; i++) c->bytes[i] = (uint8_t)(i * 7 + (i >> 8) + len);
  rig_slices_live++;
  return (slice){c->bytes, len, counted_release, c};
}

uint32_t rig_sum(uint32_t sum, const uint8_t *data, size_t len) {
  for (size_t i = 0; i < len; i++) sum = (sum ^ data[i]) * 16777619u;
  return sum;
}

/* ---- events ---- */

static void flush_data(rig_end *e) {
  if (!e->data_of) return;
  buf_printf(&e->log, "data %" PRIu32 " %zu\n", e->data_of->id, e->data_len);
  e->data_of = NULL;
}

static void *on_stream(void *ctx, h2_stream *stream) {
  rig_end *e = ctx;
  flush_data(e);
  if (e->refuse) {
    buf_printf(&e->log, "refuse %" PRIu32 "\n", h2_stream_id(stream));
    return NULL;
  }
  assert_true(e->count < RIG_STREAMS);
  rig_stream *st = &e->streams[e->count++];
  *st = (rig_stream){.end = e, .h2 = stream, .id = h2_stream_id(stream), .sum = 2166136261u};
  buf_printf(&e->log, "stream %" PRIu32 "\n", st->id);
  return st;
}

static void on_field(void *ctx, void *user, const h2_field *field) {
  rig_end *e = ctx;
  rig_stream *st = user;
  flush_data(e);
  assert_int_equal(st->closes, 0);
  if (field->value.len > 60)
    buf_printf(&e->log, "field %" PRIu32 " %.*s=(%zu)\n", st->id, CAW_STR_ARG(field->name),
               field->value.len);
  else
    buf_printf(&e->log, "field %" PRIu32 " %.*s=%.*s\n", st->id, CAW_STR_ARG(field->name),
               CAW_STR_ARG(field->value));
}

static void on_headers(void *ctx, void *user, unsigned flags) {
  rig_end *e = ctx;
  rig_stream *st = user;
  flush_data(e);
  assert_int_equal(st->closes, 0);
  st->headers++;
  buf_printf(&e->log, "headers %" PRIu32 "%s%s%s\n", st->id,
             flags & H2_HEADERS_END_STREAM ? " end" : "",
             flags & H2_HEADERS_DROPPED ? " dropped" : "",
             flags & H2_HEADERS_INFORMATIONAL ? " informational" : "");
}

static void on_data(void *ctx, void *user, const uint8_t *data, size_t len) {
  rig_end *e = ctx;
  rig_stream *st = user;
  assert_int_equal(st->closes, 0);
  assert_int_equal(st->ends, 0);
  if (e->data_of != st) {
    flush_data(e);
    e->data_of = st;
    e->data_len = 0;
  }
  e->data_len += len;
  st->received += len;
  st->sum = rig_sum(st->sum, data, len);
}

static void on_end(void *ctx, void *user) {
  rig_end *e = ctx;
  rig_stream *st = user;
  flush_data(e);
  assert_int_equal(st->closes, 0);
  st->ends++;
  buf_printf(&e->log, "end %" PRIu32 "\n", st->id);
}

static void on_sent(void *ctx, void *user, size_t len) {
  rig_stream *st = user;
  (void)ctx;
  assert_int_equal(st->closes, 0);
  st->sent += len;
}

const char *rig_code_name(uint32_t code) {
  static const char *names[] = {"NO_ERROR",     "PROTOCOL_ERROR",   "INTERNAL_ERROR",
                                "FLOW_CONTROL", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
                                "FRAME_SIZE",   "REFUSED_STREAM",   "CANCEL",
                                "COMPRESSION",  "CONNECT",          "ENHANCE_YOUR_CALM",
                                "INADEQUATE",   "HTTP_1_1"};
  return code < sizeof(names) / sizeof(names[0]) ? names[code] : "?";
}

static void on_close(void *ctx, void *user, uint32_t code, bool remote) {
  rig_end *e = ctx;
  rig_stream *st = user;
  flush_data(e);
  st->closes++;
  st->code = code;
  st->remote = remote;
  st->h2 = NULL;
  assert_int_equal(st->closes, 1);
  buf_printf(&e->log, "close %" PRIu32 " %s%s\n", st->id, rig_code_name(code),
             remote ? " remote" : "");
}

static void on_settings(void *ctx) {
  rig_end *e = ctx;
  flush_data(e);
  buf_printf(&e->log, "settings\n");
}

static void on_goaway(void *ctx, uint32_t last_id, uint32_t code, caw_str debug) {
  rig_end *e = ctx;
  flush_data(e);
  buf_printf(&e->log, "goaway %" PRIu32 " %s %.*s\n", last_id, rig_code_name(code),
             CAW_STR_ARG(debug));
}

static void on_ping_ack(void *ctx, uint64_t opaque) {
  rig_end *e = ctx;
  flush_data(e);
  buf_printf(&e->log, "ping %" PRIx64 "\n", opaque);
}

static const h2_events events = {on_stream, on_field,    on_headers, on_data,     on_end, on_sent,
                                 on_close,  on_settings, on_goaway,  on_ping_ack, NULL};

/* ---- ends ---- */

size_t rig_wire_room = 1 << 19;

int rig_try_start_end(rig_end *e, h2_role role, const h2_config *config) {
  memset(e, 0, sizeof(*e));
  e->name = role == H2_CLIENT ? "client" : "server";
  /* The rig's own buffers shall not be what runs out. */
  size_t fail = fail_in;
  fail_in = 0;
  assert_int_equal(buf_reserve(&e->log, 1 << 14), 0);
  assert_int_equal(buf_reserve(&e->wire, rig_wire_room), 0);
  fail_in = fail;
  return h2_session_new(&e->s, role, config, &events, e);
}

void rig_start_end(rig_end *e, h2_role role, const h2_config *config) {
  assert_int_equal(rig_try_start_end(e, role, config), 0);
}

void rig_stop_end(rig_end *e) {
  h2_session_free(e->s);
  for (size_t i = 0; i < e->count; i++) assert_int_equal(e->streams[i].closes, 1);
  buf_finish(&e->log);
  buf_finish(&e->wire);
}

void rig_start(rig *r, const h2_config *client, const h2_config *server) {
  rig_start_end(&r->client, H2_CLIENT, client);
  rig_start_end(&r->server, H2_SERVER, server);
  r->chunk = 0;
}

void rig_stop(rig *r) {
  rig_stop_end(&r->client);
  rig_stop_end(&r->server);
  assert_int_equal(rig_slices_live, 0);
}

int rig_feed(rig_end *e, const void *data, size_t len, unsigned chunk) {
  const uint8_t *p = data;
  unsigned seed = chunk;
  while (len) {
    size_t n = chunk == 0 ? len : chunk == 1 ? 1 : 1 + (size_t)rand_r(&seed) % 40;
    if (n > len) n = len;
    int rc = h2_recv(e->s, p, n);
    if (rc) e->rc = rc;
    p += n;
    len -= n;
  }
  return e->rc;
}

/* Writes a part of what is gathered, as a socket would. */
static size_t take_output(rig_end *e, size_t at_most) {
  struct iovec parts[16];
  int n = h2_output(e->s, parts, 16);
  if (n < 0) {
    e->rc = n;
    return 0;
  }
  size_t taken = 0;
  for (int i = 0; i < n && taken < at_most; i++) {
    assert_true(parts[i].iov_len > 0);
    size_t k = parts[i].iov_len < at_most - taken ? parts[i].iov_len : at_most - taken;
    assert_int_equal(buf_append(&e->wire, parts[i].iov_base, k), 0);
    taken += k;
  }
  h2_written(e->s, taken);
  return taken;
}

size_t rig_drain(rig_end *e) {
  size_t total = 0, n;
  while ((n = take_output(e, SIZE_MAX))) total += n;
  return total;
}

bool rig_carry(rig *r, rig_end *from, rig_end *to, size_t at_most) {
  size_t start = from->wire.len;
  size_t n = take_output(from, at_most);
  if (!n) return false;
  rig_feed(to, from->wire.data + start, n, r->chunk);
  return true;
}

void rig_pump(rig *r) {
  bool more = true;
  while (more) {
    size_t at_most = r->chunk ? 3000 : SIZE_MAX;
    more = rig_carry(r, &r->client, &r->server, at_most);
    more |= rig_carry(r, &r->server, &r->client, at_most);
  }
}

char *rig_log(rig_end *e) {
  flush_data(e);
  buf copy = {0};
  assert_int_equal(buf_append(&copy, e->log.data, e->log.len), 0);
  assert_int_equal(buf_append(&copy, "", 1), 0);
  return (char *)copy.data;
}

void rig_expect(rig_end *e, const char *log) {
  flush_data(e);
  assert_int_equal(buf_append(&e->log, "", 1), 0);
  if (strcmp((char *)e->log.data, log) != 0) print_error("of the %s:\n", e->name);
  assert_string_equal((char *)e->log.data, log);
  e->log.len = 0;
}

void rig_forget(rig *r) {
  flush_data(&r->client);
  flush_data(&r->server);
  r->client.log.len = r->server.log.len = 0;
}

char *rig_frames(const uint8_t *data, size_t len) {
  static const char *const names[] = {"DATA", "HEADERS", "PRIORITY", "RST",    "SETTINGS",
                                      "PUSH", "PING",    "GOAWAY",   "WINDOW", "CONTINUATION"};
  buf b = {0};
  size_t at = len >= 24 && memcmp(data, "PRI", 3) == 0 ? 24 : 0;
  while (at < len) {
    assert_true(len - at >= 9);
    const uint8_t *h = data + at;
    size_t n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
    assert_true(h[3] <= F_CONTINUATION && len - at - 9 >= n);
    bool ends = h[3] == F_DATA || h[3] == F_HEADERS;
    buf_printf(&b, "%s %u%s%s%s", names[h[3]], (unsigned)h[7] << 8 | h[8],
               ends && h[4] & 1 ? " es" : "", h[3] == F_HEADERS && h[4] & 4 ? " eh" : "",
               !ends && h[4] & 1 ? " ack" : "");
    if (h[3] == F_DATA) buf_printf(&b, " %zu", n);
    if (h[3] == F_RST) buf_printf(&b, " %s", rig_code_name(h[12]));
    if (h[3] == F_GOAWAY)
      buf_printf(&b, " %u %s", (unsigned)h[11] << 8 | h[12], rig_code_name(h[16]));
    if (h[3] == F_WINDOW)
      buf_printf(&b, " +%u",
                 (unsigned)h[9] << 24 | (unsigned)h[10] << 16 | (unsigned)h[11] << 8 | h[12]);
    assert_int_equal(buf_append(&b, "\n", 1), 0);
    at += 9 + n;
  }
  assert_int_equal(buf_append(&b, "", 1), 0);
  return (char *)b.data;
}

void rig_expect_frames(const rig_end *e, size_t from, const char *text) {
  char *frames = rig_frames(e->wire.data + from, e->wire.len - from);
  assert_string_equal(frames, text);
  caw_free(frames);
}

void rig_expect_last(rig_end *e, const char *text) {
  rig_drain(e);
  char *frames = rig_frames(e->wire.data, e->wire.len);
  size_t n = strlen(frames), want = strlen(text);
  assert_string_equal(n > want ? frames + n - want : frames, text);
  caw_free(frames);
}

/* ---- calls ---- */

static h2_field field(const char *name, const char *value) {
  return (h2_field){caw_str_from(name), caw_str_from(value), H2_T_NONE, 0};
}

int rig_try_request(rig_end *e, const char *path, rig_stream **out) {
  h2_field f[] = {field(":method", "POST"), field(":scheme", "http"), field(":path", path),
                  field(":authority", "test"), field("te", "trailers")};
  rig_stream *st = &e->streams[e->count];
  assert_true(e->count < RIG_STREAMS);
  *st = (rig_stream){.end = e, .sum = 2166136261u};
  int rc = h2_request(e->s, f, 5, st, &st->h2);
  if (rc) return rc;
  st->id = h2_stream_id(st->h2);
  e->count++;
  *out = st;
  return 0;
}

rig_stream *rig_request(rig_end *e, const char *path) {
  rig_stream *st = NULL;
  assert_int_equal(rig_try_request(e, path, &st), 0);
  return st;
}

int rig_respond(rig_stream *st) {
  h2_field f[] = {field(":status", "200"), field("content-type", "application/grpc")};
  return h2_respond(st->end->s, st->h2, f, 2);
}

int rig_finish(rig_stream *st, const char *status) {
  h2_field f = field("grpc-status", status ? status : "");
  return h2_finish(st->end->s, st->h2, &f, status ? 1 : 0);
}

int rig_send(rig_stream *st, size_t len) {
  return h2_send(st->end->s, st->h2, rig_slice(len));
}

/* ---- frames by hand ---- */

void frame(buf *b, unsigned type, unsigned flags, uint32_t id, const void *payload, size_t len) {
  uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,
                     (uint8_t)type,        (uint8_t)flags,      (uint8_t)(id >> 24),
                     (uint8_t)(id >> 16),  (uint8_t)(id >> 8),  (uint8_t)id};
  assert_int_equal(buf_append(b, head, sizeof(head)), 0);
  assert_int_equal(buf_append(b, payload, len), 0);
}

void preface(buf *b) {
  assert_int_equal(buf_append(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 0);
  frame(b, F_SETTINGS, 0, 0, NULL, 0);
}

static void text(buf *b, const char *s) {
  size_t len = strlen(s);
  uint8_t n = (uint8_t)len;
  if (len < 127) {
    assert_int_equal(buf_append(b, &n, 1), 0);
  } else {
    n = 127;
    assert_int_equal(buf_append(b, &n, 1), 0);
    size_t rest = len - 127;
    do {
      n = (uint8_t)((rest & 127) | (rest > 127 ? 128 : 0));
      assert_int_equal(buf_append(b, &n, 1), 0);
      rest >>= 7;
    } while (rest);
  }
  assert_int_equal(buf_append(b, s, len), 0);
}

void literal(buf *b, const char *name, const char *value) {
  assert_int_equal(buf_append(b, "\0", 1), 0);
  text(b, name);
  text(b, value);
}

void request_block(buf *b, const char *path) {
  literal(b, ":method", "POST");
  literal(b, ":scheme", "http");
  literal(b, ":path", path);
  literal(b, ":authority", "test");
}

/* ---- allocator ---- */

size_t rig_allocations_live;
bool rig_allocation_failed;
static bool fails(void) {
  if (!fail_in || --fail_in) return false;
  rig_allocation_failed = true;
  return true;
}

static void *rigged_malloc(size_t n, void *user) {
  (void)user;
  if (fails()) return NULL;
  void *p = malloc(n);
  if (p) rig_allocations_live++;
  return p;
}

static void *rigged_realloc(void *old, size_t n, void *user) {
  (void)user;
  return fails() ? NULL : realloc(old, n);
}

static void rigged_free(void *p, void *user) {
  (void)user;
  rig_allocations_live--;
  free(p);
}

void rig_fail_allocation(size_t n) {
  static const caw_allocator a = {sizeof(a), rigged_malloc, rigged_realloc, rigged_free, NULL};
  assert_int_equal(caw_set_allocator(&a), 0);
  fail_in = n;
  rig_allocation_failed = false;
}
