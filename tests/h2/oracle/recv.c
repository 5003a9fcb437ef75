/*
 * The oracle's bytes in: hands them to nghttp2, keeps our limits, and turns its
 * callbacks into the events of h2.h.
 */
#include "oracle/session.h"

#include <caw/status.h>
#include <string.h>

/* What a field costs beyond its text (RFC 9113 section 6.5.2). */
#define FIELD_COST 32

static uint32_t id_of(const nghttp2_frame *frame) {
  return (uint32_t)frame->hd.stream_id;
}

/* A server's new stream. */
static int open_stream(h2_session *s, const nghttp2_frame *frame) {
  h2_stream *st = stream_new(s);
  if (!st) {
    s->error = CAW_ENOMEM;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  st->id = id_of(frame);
  st->user = s->events->on_stream(s->ctx, st);
  if (st->user) {
    s->last_id = st->id;
    s->block_of = st;
    nghttp2_session_set_stream_user_data(s->ng, frame->hd.stream_id, st);
    return 0;
  }
  stream_drop(s, st);
  /* The block is decoded all the same: it belongs to the compression state,
   * and it is held to the hard limit. */
  if (nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, H2_REFUSED_STREAM)) {
    s->error = CAW_ENOMEM;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
  h2_session *s = user;
  (void)ng;
  s->block_bytes = s->block_fields = 0;
  s->block_dropped = s->block_informational = false;
  s->block_of = NULL;
  if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) return open_stream(s, frame);
  s->block_of = stream_of(s, frame->hd.stream_id);
  return 0;
}

/* Counts a field. Returns 0, 1 when it is to be dropped, or an nghttp2 error
 * that ends the connection. */
static int count_field(h2_session *s, size_t name_len, size_t value_len) {
  s->block_bytes += name_len + value_len + FIELD_COST;
  s->block_fields++;
  if (s->block_bytes > s->config.hard_header_bytes ||
      s->block_fields > s->config.hard_header_fields) {
    s->calm_code = H2_ENHANCE_YOUR_CALM;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  if (s->block_bytes > s->config.soft_header_bytes ||
      s->block_fields > s->config.soft_header_fields)
    s->block_dropped = true;
  return s->block_dropped;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user) {
  h2_session *s = user;
  (void)ng;
  (void)frame;
  (void)flags;
  int rc = count_field(s, name_len, value_len);
  if (rc) return rc < 0 ? rc : 0;
  if (name_len == 7 && value_len && value[0] == '1' && !memcmp(name, ":status", 7))
    s->block_informational = true;
  h2_stream *st = s->block_of;
  if (st && !st->ended) {
    h2_field f = {caw_str_of((const char *)name, name_len),
                  caw_str_of((const char *)value, value_len), 0, 0};
    f.token = (uint8_t)h2_token_of(f.name);
    s->events->on_field(s->ctx, st->user, &f);
  }
  return 0;
}

/* A field that HTTP does not permit makes the message malformed, which is a
 * stream error (RFC 9113 section 8.1.1); nghttp2 alone would skip it. */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                             size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                             void *user) {
  (void)ng;
  (void)frame;
  (void)name;
  (void)value;
  (void)flags;
  int rc = count_field(user, name_len, value_len);
  return rc < 0 ? rc : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user) {
  h2_session *s = user;
  (void)ng;
  (void)flags;
  s->credit += len;
  h2_stream *st = stream_of(s, id);
  if (st && !st->ended) s->events->on_data(s->ctx, st->user, data, len);
  return 0;
}

static void end_of_headers(h2_session *s, h2_stream *st, bool end) {
  unsigned flags = (end ? H2_HEADERS_END_STREAM : 0u) |
                   (s->block_dropped ? H2_HEADERS_DROPPED : 0u) |
                   (s->block_informational ? H2_HEADERS_INFORMATIONAL : 0u);
  s->events->on_headers(s->ctx, st->user, flags);
  if (end) s->events->on_end(s->ctx, st->user);
}

/* A frame of a stream has come whole. */
static void on_stream_frame(h2_session *s, const nghttp2_frame *frame) {
  h2_stream *st = stream_of(s, frame->hd.stream_id);
  if (!st) return;
  bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
  if (frame->hd.type == NGHTTP2_RST_STREAM) {
    st->remote_ended = st->remote_reset = true;
    return;
  }
  if (end) st->remote_ended = true;
  if (st->ended) return;
  if (frame->hd.type == NGHTTP2_HEADERS) end_of_headers(s, st, end);
  else if (end) s->events->on_end(s->ctx, st->user);
}

static void on_goaway(h2_session *s, const nghttp2_goaway *g) {
  s->goaway_received = true;
  s->events->on_goaway(s->ctx, (uint32_t)g->last_stream_id, g->error_code,
                       caw_str_of((const char *)g->opaque_data, g->opaque_data_len));
}

static void on_ping(h2_session *s, const nghttp2_ping *p) {
  uint64_t opaque;
  memcpy(&opaque, p->opaque_data, sizeof(opaque));
  s->events->on_ping_ack(s->ctx, opaque);
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
  h2_session *s = user;
  (void)ng;
  bool ack = frame->hd.flags & NGHTTP2_FLAG_ACK;
  switch (frame->hd.type) {
  case NGHTTP2_DATA:
  case NGHTTP2_HEADERS:
  case NGHTTP2_RST_STREAM:
    on_stream_frame(s, frame);
    break;
  case NGHTTP2_SETTINGS:
    if (!ack) s->events->on_settings(s->ctx);
    break;
  case NGHTTP2_PING:
    if (ack) on_ping(s, &frame->ping);
    break;
  case NGHTTP2_GOAWAY:
    on_goaway(s, &frame->goaway);
    break;
  default:
    break;
  }
  return 0;
}

/* nghttp2 closes streams while it reads (the peer's doing) and while it frames
 * (ours). Only the former is told at once: what is told must depend on the
 * bytes that came, not on how they were cut. */
static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user) {
  h2_session *s = user;
  h2_stream *st = stream_of(s, id);
  if (!st) return 0;
  (void)ng;
  stream_part(s, st);
  bool remote = st->remote_reset || (code == H2_REFUSED_STREAM && s->goaway_received);
  if (s->pumping) stream_end(s, st, st->failed ? H2_INTERNAL_ERROR : code, remote);
  else if (st->ended) stream_close(s, st, st->end_code, st->end_remote);
  else stream_close(s, st, code, remote);
  return 0;
}

void recv_callbacks(nghttp2_session_callbacks *cb) {
  nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
  nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
  nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
  nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
}

static int give(h2_session *s, const uint8_t *data, size_t len) {
  ssize_t n = len ? nghttp2_session_mem_recv(s->ng, data, len) : 0;
  return n < 0 ? session_fail(s, (int)n) : 0;
}

/*
 * gRPC's C core sends RST_STREAM also for calls that were cancelled before
 * their HEADERS were written. RFC 9113 5.1 wants the connection to end on a
 * frame of an idle stream, and nghttp2 ends it; here that would punish every
 * other call of an honest client. gRPC's own servers ignore such frames.
 */
static bool resets_idle(const h2_session *s, uint8_t type, uint32_t id) {
  return s->role == H2_SERVER && type == NGHTTP2_RST_STREAM && s->payload_left == 4 && id % 2 &&
         id > s->highest_id && !s->in_block;
}

/* A frame begins: how long it is, and whether it says anything. Returns true
 * when nghttp2 shall not see it. */
static bool begin_frame(h2_session *s, const uint8_t *head) {
  s->payload_left = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
  uint8_t type = head[3], flags = head[4];
  uint32_t id =
      (uint32_t)(head[5] & 0x7f) << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
  bool empty_data = type == NGHTTP2_DATA && !s->payload_left && !(flags & NGHTTP2_FLAG_END_STREAM);
  s->pad_due = type == NGHTTP2_DATA && s->payload_left && (flags & NGHTTP2_FLAG_PADDED) &&
               !(flags & NGHTTP2_FLAG_END_STREAM);
  s->skipping = resets_idle(s, type, id);
  if (empty_data || s->skipping || type == NGHTTP2_PRIORITY || type == NGHTTP2_SETTINGS ||
      type == NGHTTP2_PING || type == NGHTTP2_WINDOW_UPDATE || type > NGHTTP2_CONTINUATION)
    s->noise++;
  if (type == NGHTTP2_HEADERS && id > s->highest_id) s->highest_id = id;
  s->in_block = (type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION) &&
                !(flags & NGHTTP2_FLAG_END_HEADERS);
  return s->skipping;
}

/* The payload of a frame, as much as is here: passed over, or skipped. Returns
 * where what is to be given next starts. */
static const uint8_t *pass_payload(h2_session *s, const uint8_t *start, const uint8_t **p,
                                   size_t left) {
  size_t n = s->payload_left < left ? s->payload_left : left;
  if (s->pad_due && **p + (size_t)1 == s->payload_left) s->noise++; /* padding alone */
  s->pad_due = false;
  s->payload_left -= n;
  *p += n;
  return s->skipping ? *p : start;
}

/*
 * Walks over the frames and hands the input on so that no frame head is ever
 * split: nghttp2 with the CONTINUATION fix counts each call that brings a piece
 * of a CONTINUATION's head as one more CONTINUATION, and gives up after eight.
 */
static int feed(h2_session *s, const uint8_t *data, size_t len) {
  const uint8_t *p = data, *start = data, *end = data + len;
  int rc = 0;
  while (p < end && !rc) {
    size_t left = (size_t)(end - p);
    if (s->payload_left) {
      start = pass_payload(s, start, &p, left);
    } else if (!s->head_len && left >= FRAME_HEAD) {
      const uint8_t *head = p;
      p += FRAME_HEAD;
      if (!begin_frame(s, head)) continue;
      rc = give(s, start, (size_t)(head - start));
      start = p;
    } else {
      rc = give(s, start, (size_t)(p - start));
      size_t n = FRAME_HEAD - s->head_len < left ? FRAME_HEAD - s->head_len : left;
      memcpy(s->head + s->head_len, p, n);
      s->head_len += n;
      start = p += n;
      if (rc || s->head_len < FRAME_HEAD) continue;
      s->head_len = 0;
      if (!begin_frame(s, s->head)) rc = give(s, s->head, FRAME_HEAD);
    }
  }
  return rc ? rc : give(s, start, (size_t)(p - start));
}

int h2_recv(h2_session *s, const uint8_t *data, size_t len) {
  if (s->error || !len) return s->error;
  size_t queued = nghttp2_session_get_outbound_queue_size(s->ng);
  s->starved = false;
  feed(s, data, len);
  if (s->starved) s->error = CAW_ENOMEM;
  if (s->error) return s->error;
  if (s->credit && nghttp2_session_consume_connection(s->ng, s->credit))
    return s->error = CAW_ENOMEM;
  s->credit = 0;
  if (nghttp2_session_get_outbound_queue_size(s->ng) == queued) return 0;
  /* Only framing its GOAWAY shows that nghttp2 has given the peer up. */
  s->control_only = true;
  session_pump(s);
  s->control_only = false;
  return s->error;
}
