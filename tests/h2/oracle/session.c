/* The oracle's sessions and streams and their life, on libnghttp2. */
#include "oracle/session.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <string.h>

/*
 * nghttp2's own limiters of resets and glitches cut honest clients (one after
 * 2,255 cancels at 60/s, measured); the budget of the connection layer judges
 * better. The functions came with backported fixes, so the version tells
 * nothing: ask the library that is there.
 */
__attribute__((weak, visibility("default"))) void
nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *option, uint64_t burst, uint64_t rate);
__attribute__((weak, visibility("default"))) void
nghttp2_option_set_glitch_rate_limit(nghttp2_option *option, uint64_t burst, uint64_t rate);

/* The peer bounds what it takes in our header blocks; this is nghttp2's own
 * bound, which by default is 64 KiB. */
#define MAX_SEND_BLOCK ((size_t)1 << 20)

#define MAX_WINDOW ((uint32_t)INT32_MAX) /* RFC 9113 section 6.9.1 */
#define MIN_FRAME  ((uint32_t)1 << 14)   /* RFC 9113 section 4.2 */
#define MAX_FRAME  (((uint32_t)1 << 24) - 1)

#define OR(value, otherwise) ((value) ? (value) : (otherwise))

/* nghttp2 does not always say that memory ran out: a HPACK encoder that cannot
 * grow its table is reported as a compression error, for instance. */
static void *noted(void *ptr, void *user) {
  h2_session *s = user;
  if (!ptr) s->starved = true;
  return ptr;
}

static void *mem_malloc(size_t size, void *user) {
  return noted(cells_alloc(((h2_session *)user)->config.cells, size), user);
}

static void mem_free(void *ptr, void *user) {
  cells_free(((h2_session *)user)->config.cells, ptr);
}

static void *mem_calloc(size_t count, size_t size, void *user) {
  return noted(cells_calloc(((h2_session *)user)->config.cells, count, size), user);
}

static void *mem_realloc(void *ptr, size_t size, void *user) {
  return noted(cells_realloc(((h2_session *)user)->config.cells, ptr, size), user);
}

static uint32_t within(uint32_t value, uint32_t low, uint32_t high) {
  return value < low ? low : value > high ? high : value;
}

static void set_config(h2_config *to, const h2_config *from) {
  static const h2_config none;
  if (!from) from = &none;
  to->max_streams = OR(from->max_streams, 100);
  to->stream_window = within(OR(from->stream_window, 262144), 1, MAX_WINDOW);
  to->session_window = within(OR(from->session_window, 1u << 20), 1, MAX_WINDOW);
  to->max_frame = within(from->max_frame, MIN_FRAME, MAX_FRAME);
  to->soft_header_bytes = OR(from->soft_header_bytes, 16384);
  to->soft_header_fields = OR(from->soft_header_fields, 128);
  to->hard_header_bytes = OR(from->hard_header_bytes, 65536);
  to->hard_header_fields = OR(from->hard_header_fields, 512);
  to->cells = from->cells;
}

static nghttp2_option *make_option(void) {
  nghttp2_option *o;
  if (nghttp2_option_new(&o)) return NULL;
  nghttp2_option_set_no_auto_window_update(o, 1);
  nghttp2_option_set_peer_max_concurrent_streams(o, 100);
  /* Closed streams are kept only for priorities, which gRPC does not use. */
  nghttp2_option_set_no_closed_streams(o, 1);
  nghttp2_option_set_max_send_header_block_length(o, MAX_SEND_BLOCK);
  /* gRPC permits spaces around an ASCII metadata value. */
  nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(o, 1);
  if (nghttp2_option_set_stream_reset_rate_limit)
    nghttp2_option_set_stream_reset_rate_limit(o, UINT64_MAX, 0);
  if (nghttp2_option_set_glitch_rate_limit) nghttp2_option_set_glitch_rate_limit(o, UINT64_MAX, 0);
  return o;
}

/* These two objects of nghttp2 come from the C library's malloc whatever
 * allocator the session has; they live for this call only. */
static int make_nghttp2(h2_session *s) {
  nghttp2_mem mem = {s, mem_malloc, mem_free, mem_calloc, mem_realloc};
  nghttp2_session_callbacks *cb = NULL;
  nghttp2_option *option = make_option();
  int rc = option && !nghttp2_session_callbacks_new(&cb) ? 0 : CAW_ENOMEM;
  if (!rc) {
    recv_callbacks(cb);
    send_callbacks(cb);
    rc = s->role == H2_SERVER ? nghttp2_session_server_new3(&s->ng, cb, s, option, &mem)
                              : nghttp2_session_client_new3(&s->ng, cb, s, option, &mem);
  }
  nghttp2_session_callbacks_del(cb);
  nghttp2_option_del(option);
  return rc ? CAW_ENOMEM : 0;
}

static int submit_settings(h2_session *s) {
  nghttp2_settings_entry e[4];
  size_t n = 0;
  if (s->role == H2_SERVER)
    e[n++] =
        (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, s->config.max_streams};
  else e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
  e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, s->config.stream_window};
  e[n++] =
      (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, s->config.soft_header_bytes};
  if (s->config.max_frame != MIN_FRAME)
    e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_FRAME_SIZE, s->config.max_frame};
  if (nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, e, n)) return CAW_ENOMEM;
  /* SETTINGS cannot raise the connection's window, WINDOW_UPDATE does. */
  if (nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0,
                                            (int32_t)s->config.session_window))
    return CAW_ENOMEM;
  return 0;
}

int h2_session_new(h2_session **result, h2_role role, const h2_config *config,
                   const h2_events *events, void *ctx) {
  h2_session *s = caw_calloc(1, sizeof(*s));
  if (!s) return CAW_ENOMEM;
  s->role = role;
  s->events = events;
  s->ctx = ctx;
  set_config(&s->config, config);
  s->out.cells = s->config.cells;
  list_init(&s->streams);
  list_init(&s->endings);
  s->payload_left = role == H2_SERVER ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
  if (make_nghttp2(s) || submit_settings(s)) {
    h2_session_free(s);
    return CAW_ENOMEM;
  }
  *result = s;
  return 0;
}

void h2_session_free(h2_session *s) {
  if (!s) return;
  while (!list_empty(&s->streams))
    stream_close(s, LIST_ENTRY(s->streams.next, h2_stream, node), H2_INTERNAL_ERROR, false);
  out_finish(&s->out);
  nghttp2_session_del(s->ng);
  caw_free(s);
}

h2_stream *stream_of(h2_session *s, int32_t id) {
  if (s->recent && s->recent->id == (uint32_t)id) return s->recent;
  return s->recent = nghttp2_session_get_stream_user_data(s->ng, id);
}

void stream_part(h2_session *s, const h2_stream *st) {
  nghttp2_session_set_stream_user_data(s->ng, (int32_t)st->id, NULL);
  if (s->recent == st) s->recent = NULL;
}

h2_stream *stream_new(h2_session *s) {
  h2_stream *st = cells_calloc(s->config.cells, 1, sizeof(*st));
  if (!st) return NULL;
  st->queue = st->first;
  st->room = INLINE_SENDS;
  list_init(&st->ending);
  list_push_back(&s->streams, &st->node);
  s->open++;
  return st;
}

void stream_drop(h2_session *s, h2_stream *st) {
  stream_clear(st);
  if (st->queue != st->first) caw_free(st->queue);
  list_remove(&st->node);
  list_remove(&st->ending);
  if (s->block_of == st) s->block_of = NULL;
  if (s->recent == st) s->recent = NULL;
  s->open--;
  cells_free(s->config.cells, st);
}

void stream_close(h2_session *s, h2_stream *st, uint32_t code, bool remote) {
  stream_clear(st);
  s->events->on_close(s->ctx, st->user, code, remote);
  stream_drop(s, st);
}

void stream_end(h2_session *s, h2_stream *st, uint32_t code, bool remote) {
  if (st->ended) return;
  st->ended = true;
  st->end_code = code;
  st->end_remote = remote;
  list_push_back(&s->endings, &st->ending);
  stream_clear(st);
}

int session_fail(h2_session *s, int ng_error) {
  uint32_t code = H2_INTERNAL_ERROR;
  if (s->error == CAW_ENOMEM || s->starved) return s->error = CAW_ENOMEM;
  if (ng_error == NGHTTP2_ERR_CALLBACK_FAILURE && s->calm_code) code = s->calm_code;
  else if (ng_error == NGHTTP2_ERR_BAD_CLIENT_MAGIC) code = H2_PROTOCOL_ERROR;
  else if (ng_error == NGHTTP2_ERR_FLOODED || ng_error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
    code = H2_ENHANCE_YOUR_CALM;
  s->error = CAW_EPROTO;
  if (nghttp2_session_terminate_session(s->ng, code)) s->error = CAW_ENOMEM;
  return s->error;
}

bool h2_want_output(const h2_session *s) {
  if (s->error == CAW_ENOMEM) return false;
  return s->out.bytes || !list_empty(&s->endings) || nghttp2_session_want_write(s->ng);
}

bool h2_finished(const h2_session *s) {
  return !h2_want_output(s) && (s->error || !nghttp2_session_want_read(s->ng));
}

static bool ids_left(const h2_session *s) {
  return nghttp2_session_get_next_stream_id(s->ng) <= INT32_MAX;
}

int session_check_open(const h2_session *s) {
  if (s->error || s->goaway_received || s->goaway_sent || !ids_left(s)) return CAW_ECLOSED;
  uint32_t limit =
      nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return s->open < limit ? 0 : CAW_EAGAIN;
}

/* The first step of a graceful end; nghttp2 queues nothing when it comes too
 * late. */
static int announce_end(h2_session *s) {
  size_t queued = h2_queued(s);
  if (nghttp2_submit_shutdown_notice(s->ng)) return CAW_ENOMEM;
  s->own_goaways += h2_queued(s) - queued;
  return 0;
}

int h2_goaway(h2_session *s, uint32_t last_id, uint32_t code, caw_str debug) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (s->error) return 0; /* the GOAWAY that says why is on its way */
  if (last_id == UINT32_MAX && s->role == H2_SERVER) return announce_end(s);
  /* A server opens no streams towards a client. */
  int32_t last = s->role == H2_SERVER ? (int32_t)(last_id & INT32_MAX) : 0;
  size_t max_debug = 8192;
  if (nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, last, code, (const uint8_t *)debug.data,
                            debug.len < max_debug ? debug.len : max_debug))
    return CAW_ENOMEM;
  s->own_goaways++;
  s->goaway_sent = true;
  return 0;
}

uint32_t h2_last_id(const h2_session *s) {
  return s->last_id;
}

int h2_ping(h2_session *s, uint64_t opaque) {
  uint8_t bytes[8];
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  memcpy(bytes, &opaque, sizeof(bytes));
  return nghttp2_submit_ping(s->ng, NGHTTP2_FLAG_NONE, bytes) ? CAW_ENOMEM : 0;
}

uint64_t h2_noise(const h2_session *s) {
  return s->noise;
}

size_t h2_queued(const h2_session *s) {
  return nghttp2_session_get_outbound_queue_size(s->ng);
}

uint32_t h2_stream_id(const h2_stream *stream) {
  return stream->id;
}
