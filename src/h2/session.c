/* The life of a session: its options, SETTINGS, GOAWAY, PING and its end. */
#include "h2/session.h"
#include "h2/trace.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <string.h>

/* Debug text of a GOAWAY. */
#define MAX_DEBUG ((size_t)1024)

/* Streams that a client opens before it knows the server's limit. */
#define FIRST_STREAMS 100

#define OR(value, otherwise) ((value) ? (value) : (otherwise))

static uint32_t within(uint32_t value, uint32_t low, uint32_t high) {
  return value < low ? low : value > high ? high : value;
}

static void set_config(h2_config *to, const h2_config *from) {
  static const h2_config none;
  if (!from) from = &none;
  to->max_streams = OR(from->max_streams, 100);
  to->stream_window = within(OR(from->stream_window, 262144), 1, MAX_WINDOW);
  to->session_window = within(OR(from->session_window, 1u << 20), 1, MAX_WINDOW);
  to->window_growth = OR(from->window_growth, 16u << 20);
  to->max_frame = within(from->max_frame, MIN_FRAME, MAX_FRAME);
  to->soft_header_bytes = OR(from->soft_header_bytes, 16384);
  to->soft_header_fields = OR(from->soft_header_fields, 128);
  to->hard_header_bytes = OR(from->hard_header_bytes, 65536);
  to->hard_header_fields = OR(from->hard_header_fields, 512);
  to->max_induced = OR(from->max_induced, 10000);
  to->cells = from->cells;
  to->allowance = from->allowance;
}

/* ---- Beginning and end ---- */

static uint8_t *add_setting(uint8_t *p, unsigned id, uint32_t value) {
  p[0] = 0;
  p[1] = (uint8_t)id;
  write_u32(p + 2, value);
  return p + SETTING_LEN;
}

/* SETTINGS cannot raise the connection's window, WINDOW_UPDATE does. */
static int send_preface(h2_session *s) {
  uint8_t bytes[4 * SETTING_LEN], *p = bytes;
  if (s->role == H2_CLIENT && out_copy(&s->out, H2_PREFACE, H2_PREFACE_LEN)) return CAW_ENOMEM;
  if (s->role == H2_SERVER)
    p = add_setting(p, SETTINGS_MAX_CONCURRENT_STREAMS, s->config.max_streams);
  else p = add_setting(p, SETTINGS_ENABLE_PUSH, 0);
  p = add_setting(p, SETTINGS_INITIAL_WINDOW_SIZE, s->config.stream_window);
  p = add_setting(p, SETTINGS_MAX_HEADER_LIST_SIZE, s->config.soft_header_bytes);
  if (s->config.max_frame != MIN_FRAME)
    p = add_setting(p, SETTINGS_MAX_FRAME_SIZE, s->config.max_frame);
  int rc = send_small(s, FRAME_SETTINGS, 0, 0, bytes, (size_t)(p - bytes));
  return rc ? rc : window_give_session(s);
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
  list_init(&s->ready);
  hpack_decoder_init(&s->decoder, s->config.hard_header_bytes, s->config.cells);
  hpack_encoder_init(&s->encoder, s->config.cells);
  s->in.stage = role == H2_SERVER ? IN_PREFACE : IN_HEAD;
  s->next_id = 1;
  s->last_goaway = s->announced_id = MAX_ID;
  s->peer_window = s->initial_window = INITIAL_WINDOW;
  s->send_window = s->recv_window = INITIAL_WINDOW;
  s->recv_target = s->config.session_window;
  s->peer_max_frame = MIN_FRAME;
  s->peer_max_streams = FIRST_STREAMS;
  if (send_preface(s)) {
    h2_session_free(s);
    return CAW_ENOMEM;
  }
  *result = s;
  return 0;
}

void h2_session_free(h2_session *s) {
  if (!s) return;
  while (!list_empty(&s->endings)) {
    h2_stream *st = LIST_ENTRY(s->endings.next, h2_stream, node);
    stream_close(s, st, st->end_code, st->end_remote);
  }
  while (!list_empty(&s->streams))
    stream_close(s, LIST_ENTRY(s->streams.next, h2_stream, node), H2_INTERNAL_ERROR, false);
  caw_free(s->slots);
  caw_free(s->in.whole);
  block_finish(s);
  hpack_decoder_finish(&s->decoder);
  hpack_encoder_finish(&s->encoder);
  out_finish(&s->out);
  caw_free(s);
}

int session_starve(h2_session *s) {
  return s->error = CAW_ENOMEM;
}

/* ---- GOAWAY ---- */

static int send_goaway(h2_session *s, uint32_t last_id, uint32_t code, caw_str debug) {
  if (debug.len > MAX_DEBUG) debug.len = MAX_DEBUG;
  if (last_id > s->announced_id) last_id = s->announced_id;
  uint8_t *p = out_reserve(&s->out, FRAME_HEAD + 8 + debug.len);
  if (!p) return CAW_ENOMEM;
  frame_out(s, p, 8 + debug.len, FRAME_GOAWAY, 0, 0);
  write_u32(p + FRAME_HEAD, last_id);
  write_u32(p + FRAME_HEAD + 4, code);
  if (debug.len) memcpy(p + FRAME_HEAD + 8, debug.data, debug.len);
  out_commit(&s->out, FRAME_HEAD + 8 + debug.len, 1);
  s->announced_id = last_id;
  return 0;
}

int session_fail(h2_session *s, uint32_t code, const char *why) {
  if (s->error) return s->error;
  s->why = why;
  s->code = code;
  if (send_goaway(s, s->last_id, code, caw_str_from(why))) return session_starve(s);
  return s->error = CAW_EPROTO;
}

int session_exceed(h2_session *s, h2_limit limit, const char *why) {
  if (!s->error) s->limit = (uint8_t)limit;
  return session_fail(s, H2_ENHANCE_YOUR_CALM, why);
}

static int charge(h2_session *s, uint32_t *left, h2_limit limit, const char *why) {
  if (*left == 0) return session_exceed(s, limit, why);
  --*left;
  return 0;
}

int session_charge_noise(h2_session *s) {
  s->noise++;
  if (!s->config.allowance) return 0;
  return charge(s, &s->config.allowance->noise, H2_LIMIT_NOISE, "too many frames that say nothing");
}

int session_charge_reset(h2_session *s) {
  s->resets++;
  if (!s->config.allowance) return 0;
  return charge(s, &s->config.allowance->resets, H2_LIMIT_RESETS,
                "too many streams that ended early");
}

const char *h2_failure(const h2_session *s) {
  return s->why ? s->why : "";
}

uint32_t h2_failure_code(const h2_session *s) {
  return s->code;
}

int h2_goaway(h2_session *s, uint32_t last_id, uint32_t code, caw_str debug) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (s->error) return 0; /* the GOAWAY that says why is on its way */
  if (last_id == UINT32_MAX && s->role == H2_SERVER) {
    if (s->goaway_sent) return 0;
    return send_goaway(s, MAX_ID, H2_NO_ERROR, (caw_str){NULL, 0});
  }
  /* A server opens no streams towards a client. */
  uint32_t last = s->role == H2_SERVER ? last_id & MAX_ID : 0;
  int rc = send_goaway(s, last, code, debug);
  if (!rc) s->goaway_sent = true;
  for (list *l = s->streams.next, *next; !rc && s->role == H2_SERVER && l != &s->streams;
       l = next) {
    h2_stream *st = LIST_ENTRY(l, h2_stream, node);
    next = l->next;
    if (st->id > s->announced_id) stream_end(s, st, H2_REFUSED_STREAM, false);
  }
  return rc;
}

int goaway_received(h2_session *s, const frame_head *h, const uint8_t *payload) {
  uint32_t last = read_u32(payload) & MAX_ID, code = read_u32(payload + 4);
  if (s->role == H2_CLIENT) {
    if (last && last % 2 == 0)
      return session_fail(s, H2_PROTOCOL_ERROR, "a GOAWAY names a stream that is not ours");
    if (last > s->last_goaway)
      return session_fail(s, H2_PROTOCOL_ERROR,
                          "a GOAWAY names a later stream than the one before");
    s->last_goaway = last;
  }
  if (s->goaway_received && session_charge_noise(s)) return s->error;
  s->goaway_received = true;
  s->events->on_goaway(s->ctx, last, code, caw_str_of((const char *)payload + 8, h->len - 8));
  for (list *l = s->streams.next, *next; s->role == H2_CLIENT && l != &s->streams; l = next) {
    h2_stream *st = LIST_ENTRY(l, h2_stream, node);
    next = l->next;
    if (st->id > last) stream_close(s, st, H2_REFUSED_STREAM, true);
  }
  return 0;
}

/* ---- SETTINGS ---- */

/* What the parameters of a frame have come to: the initial window, whose streams are
 * all gone through once a frame and not once for each time that it is named; and the
 * first that is not permitted. */
typedef struct settings_sum {
  uint32_t last, most; /* initial windows: the last, and the largest on the way */
  uint32_t code;       /* H2_NO_ERROR while all are permitted */
  const char *why;
} settings_sum;

static void forbid(settings_sum *sum, uint32_t code, const char *why) {
  sum->code = code;
  sum->why = why;
}

/* One parameter (RFC 9113 section 6.5.2). */
static void take_setting(h2_session *s, unsigned id, uint32_t value, settings_sum *sum) {
  switch (id) {
  case SETTINGS_HEADER_TABLE_SIZE:
    hpack_encoder_limit(&s->encoder, value);
    break;
  case SETTINGS_ENABLE_PUSH:
    if (value > 1 || (value && s->role == H2_CLIENT))
      forbid(sum, H2_PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH has a value that is not permitted");
    break;
  case SETTINGS_MAX_CONCURRENT_STREAMS:
    s->peer_max_streams = value;
    break;
  case SETTINGS_INITIAL_WINDOW_SIZE:
    if (value > MAX_WINDOW)
      forbid(sum, H2_FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE is above 2^31-1");
    else sum->last = value;
    if (sum->last > sum->most) sum->most = sum->last;
    break;
  case SETTINGS_MAX_FRAME_SIZE:
    if (value < MIN_FRAME || value > MAX_FRAME)
      forbid(sum, H2_PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE is not in 2^14 to 2^24-1");
    else s->peer_max_frame = value;
    break;
  case SETTINGS_ENABLE_CONNECT_PROTOCOL:
  case SETTINGS_NO_RFC7540_PRIORITIES:
    if (value > 1) forbid(sum, H2_PROTOCOL_ERROR, "a setting that is 0 or 1 has another value");
    break;
  default:
    break; /* RFC 9113 section 6.5.2: ignored */
  }
}

static int settings_acknowledged(h2_session *s) {
  if (s->settings_acked)
    return session_fail(s, H2_PROTOCOL_ERROR,
                        "an acknowledgement of SETTINGS that nobody waits for");
  s->settings_acked = true;
  window_set_own(s, s->config.stream_window);
  return 0;
}

int settings_received(h2_session *s, const frame_head *h, const uint8_t *payload) {
  if (h->flags & FLAG_ACK) return settings_acknowledged(s);
  /* Without the parameter there is no limit (RFC 9113 section 6.5.2). */
  if (!s->settings_received) s->peer_max_streams = UINT32_MAX;
  s->settings_received = true;
  settings_sum sum = {s->peer_window, s->peer_window, H2_NO_ERROR, NULL};
  for (size_t i = 0; i < h->len && !sum.code; i += SETTING_LEN)
    take_setting(s, (unsigned)payload[i] << 8 | payload[i + 1], read_u32(payload + i + 2), &sum);
  /* In the order in which they stand (RFC 9113 section 6.5.3): a window that overflows
   * came before what is not permitted. */
  if ((sum.most != s->peer_window || sum.last != s->peer_window) &&
      window_set_peer(s, sum.last, sum.most))
    return s->error;
  if (sum.code) return session_fail(s, sum.code, sum.why);
  int rc = send_induced(s, FRAME_SETTINGS, FLAG_ACK, 0, NULL, 0);
  if (!rc) s->events->on_settings(s->ctx);
  return rc;
}

/* ---- What the owner asks ---- */

void h2_at(h2_session *s, uint64_t now) {
  s->bandwidth.now = now;
}

int h2_ping(h2_session *s, uint64_t opaque) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (s->error) return 0;
  return send_small(s, FRAME_PING, 0, 0, &opaque, sizeof(opaque));
}

bool h2_want_output(const h2_session *s) {
  if (s->error == CAW_ENOMEM) return false;
  if (s->out.bytes || !list_empty(&s->endings)) return true;
  return !s->error && !list_empty(&s->ready) && s->send_window > 0;
}

bool h2_finished(const h2_session *s) {
  if (h2_want_output(s)) return false;
  return s->error || (!s->open && (s->goaway_received || s->goaway_sent));
}

uint32_t h2_last_id(const h2_session *s) {
  return s->last_id;
}

uint64_t h2_noise(const h2_session *s) {
  return s->noise;
}

uint64_t h2_resets(const h2_session *s) {
  return s->resets;
}

uint64_t h2_pings(const h2_session *s) {
  return s->pings;
}

uint64_t h2_said(const h2_session *s) {
  return s->said;
}

size_t h2_queued(const h2_session *s) {
  return s->out.items;
}

size_t h2_held(const h2_session *s) {
  return s->waiting + s->out.bytes;
}

uint64_t h2_framed(const h2_session *s) {
  return s->framed;
}

uint32_t h2_open_block(const h2_session *s) {
  return s->block.id ? s->block.number : 0;
}

bool h2_settings_acked(const h2_session *s) {
  return s->settings_acked;
}

h2_limit h2_exceeded(const h2_session *s) {
  return (h2_limit)s->limit;
}

uint32_t h2_stream_id(const h2_stream *stream) {
  return stream->id;
}
