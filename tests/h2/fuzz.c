/*
 * A session that hears anything at all (libFuzzer). The first byte chooses the
 * role, whether a good preface comes first, and the chunking; what follows is
 * what the peer sends. The session answers as a server or client would.
 */
#include "h2/h2.h"

#include <assert.h>
#include <caw/status.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS 64

typedef struct end {
  h2_session *s;
  h2_stream *open[STREAMS]; /* slot i is the user pointer &open[i] */
  bool due[STREAMS];        /* headers came, no answer yet */
  bool server;
} end;

static size_t live;

static void release(void *owner) {
  free(owner);
  live--;
}

static slice payload(size_t len) {
  uint8_t *p = calloc(1, len);
  if (!p) abort();
  live++;
  return (slice){p, len, release, p};
}

static void *on_stream(void *ctx, h2_stream *stream) {
  end *e = ctx;
  for (size_t i = 0; i < STREAMS; i++) {
    if (e->open[i]) continue;
    e->open[i] = stream;
    e->due[i] = false;
    return &e->open[i];
  }
  return NULL;
}

static h2_stream **slot_of(end *e, void *user) {
  h2_stream **slot = user;
  assert(slot >= e->open && slot < e->open + STREAMS && *slot);
  return slot;
}

static void on_field(void *ctx, void *user, const h2_field *field) {
  slot_of(ctx, user);
  assert(field->name.len < 70000 && field->value.len < 70000);
}

static void on_headers(void *ctx, void *user, unsigned flags) {
  end *e = ctx;
  (void)flags;
  e->due[slot_of(e, user) - e->open] = true;
}

static void on_data(void *ctx, void *user, const uint8_t *data, size_t len) {
  slot_of(ctx, user);
  assert(len && memchr(data, data[len - 1], len)); /* reads all of it */
}

static void on_end(void *ctx, void *user) {
  slot_of(ctx, user);
}

static void on_sent(void *ctx, void *user, size_t len) {
  slot_of(ctx, user);
  assert(len);
}

static void on_close(void *ctx, void *user, uint32_t code, bool remote) {
  (void)code;
  (void)remote;
  *slot_of(ctx, user) = NULL;
}

static void on_settings(void *ctx) {
  (void)ctx;
}

static void on_goaway(void *ctx, uint32_t last_id, uint32_t code, caw_str debug) {
  (void)ctx;
  (void)last_id;
  (void)code;
  assert(debug.len < 20000);
}

static void on_ping_ack(void *ctx, uint64_t opaque) {
  (void)ctx;
  (void)opaque;
}

static const h2_events events = {on_stream, on_field,    on_headers, on_data,     on_end, on_sent,
                                 on_close,  on_settings, on_goaway,  on_ping_ack, NULL};

static const h2_field fields[] = {
    {CAW_STR(":method"), CAW_STR("POST"), 0, 0},
    {CAW_STR(":scheme"), CAW_STR("http"), 0, 0},
    {CAW_STR(":path"), CAW_STR("/a/b"), 0, 0},
    {CAW_STR(":authority"), CAW_STR("x"), 0, 0},
    {CAW_STR(":status"), CAW_STR("200"), 0, 0},
    {CAW_STR("grpc-status"), CAW_STR("0"), H2_T_NONE, H2_FIELD_SECRET},
};

/* Every third stream gets payload, every third is reset, every third is left. */
static void answer(end *e) {
  for (size_t i = 0; i < STREAMS; i++) {
    h2_stream *st = e->open[i];
    if (!st || !e->due[i]) continue;
    e->due[i] = false;
    h2_consume(e->s, st, 100);
    if (i % 3 == 0) {
      if (e->server) h2_respond(e->s, st, fields + 4, 1);
      h2_send(e->s, st, payload(3000));
      h2_finish(e->s, st, fields + 5, 1);
    } else if (i % 3 == 1) {
      h2_reset(e->s, st, H2_CANCEL);
    }
  }
}

static void write_some(end *e, size_t most) {
  struct iovec parts[8];
  int n = h2_output(e->s, parts, 8);
  size_t total = 0;
  for (int i = 0; i < n; i++) total += parts[i].iov_len;
  h2_written(e->s, total < most ? total : most);
}

static void open_requests(end *e) {
  for (size_t i = 0; i < 5; i++) {
    if (h2_request(e->s, fields, 4, &e->open[i], &e->open[i])) abort();
    h2_send(e->s, e->open[i], payload(30 + 2000 * i));
    if (i & 1) h2_finish(e->s, e->open[i], NULL, 0);
    if (i == 2) write_some(e, SIZE_MAX);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  static const uint8_t settings[9] = {0, 0, 0, 4};
  static const h2_config config = {.max_streams = STREAMS};
  end e = {0};
  if (!len) return 0;
  unsigned how = *data++;
  len--;
  e.server = how & 1;
  if (h2_session_new(&e.s, e.server ? H2_SERVER : H2_CLIENT, &config, &events, &e)) abort();
  if (!e.server) open_requests(&e);
  if (how & 2 && e.server) h2_recv(e.s, (const uint8_t *)preface, 24);
  if (how & 2) h2_recv(e.s, settings, 9);
  size_t chunk = how & 4 ? 1 : how & 8 ? 7 : how & 16 ? 60 : len;
  while (len) {
    size_t n = chunk < len ? chunk : len;
    h2_recv(e.s, data, n);
    data += n;
    len -= n;
    answer(&e);
    write_some(&e, how & 32 ? 20 : SIZE_MAX);
  }
  if (how & 64) h2_goaway(e.s, h2_last_id(e.s), H2_NO_ERROR, (caw_str){"x", 1});
  write_some(&e, SIZE_MAX);
  h2_session_free(e.s);
  for (size_t i = 0; i < STREAMS; i++) assert(!e.open[i]);
  assert(live == 0);
  return 0;
}
