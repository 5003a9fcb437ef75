/*
 * Bytes in: cuts the input into frames, whatever its pieces are, and judges each
 * frame by its head before its payload is looked at. DATA and header blocks are
 * handed on as they come; other frames when they are whole.
 */
#include "h2/session.h"
#include "h2/trace.h"

#include <caw/alloc.h>
#include <caw/status.h>

static int protocol_error(h2_session *s, const char *why) {
  return session_fail(s, H2_PROTOCOL_ERROR, why);
}

static int size_error(h2_session *s, const char *why) {
  return session_fail(s, H2_FRAME_SIZE_ERROR, why);
}

/* A stream that nobody has opened (RFC 9113 section 5.1). */
static bool is_idle(const h2_session *s, uint32_t id) {
  if (s->role == H2_SERVER) return id % 2 == 0 || id > s->highest_id;
  return id % 2 == 0 || id >= s->next_id;
}

/* ---- The end of a frame ---- */

static int end_data(h2_session *s) {
  in_frame *in = &s->in;
  h2_stream *st = in->stream;
  in->stream = NULL;
  if (!st) return 0;
  if (in->head.flags & FLAG_END_STREAM) {
    st->remote_ended = true;
    if (!message_end(&st->message)) return stream_fail(s, st, H2_PROTOCOL_ERROR);
    s->events->on_end(s->ctx, st->user);
    stream_remote_end(s, st);
    return 0;
  }
  return in->head.flags & FLAG_PADDED ? window_give_stream(s, st) : 0;
}

static int end_frame(h2_session *s) {
  s->in.stage = IN_HEAD;
  s->in.have = 0;
  switch (s->in.head.type) {
  case FRAME_DATA:
    return end_data(s);
  case FRAME_HEADERS:
  case FRAME_CONTINUATION:
    return s->in.head.flags & FLAG_END_HEADERS ? block_end(s) : 0;
  default:
    return 0;
  }
}

/* What is left of the payload is of no interest. */
static int skip(h2_session *s) {
  s->in.stage = IN_SKIP;
  return s->in.left ? 0 : end_frame(s);
}

/* ---- DATA ---- */

/* The stream, if it takes the payload: NULL in *result when it is to be skipped. */
static int data_stream(h2_session *s, h2_stream **result) {
  frame_head *h = &s->in.head;
  *result = NULL;
  if (h->id == 0) return protocol_error(s, "DATA on stream 0");
  if (is_idle(s, h->id)) return protocol_error(s, "DATA on a stream that is idle");
  if (window_take_session(s, h->len))
    return session_fail(s, H2_FLOW_CONTROL_ERROR, "DATA beyond the connection's window");
  h2_stream *st = stream_of(s, h->id);
  if (!st) return 0; /* closed: ours or theirs crossed it */
  if (st->remote_ended)
    return session_fail(s, H2_STREAM_CLOSED, "DATA on a stream that the peer has ended");
  if (!window_take_stream(st, h->len)) return stream_fail(s, st, H2_FLOW_CONTROL_ERROR);
  *result = st;
  return 0;
}

/* The length of the payload proper is known. */
static int begin_payload(h2_session *s) {
  in_frame *in = &s->in;
  uint32_t len = in->left - in->pad;
  h2_stream *st = in->stream;
  if (len) session_useful(s);
  else if (!(in->head.flags & FLAG_END_STREAM) && session_charge_noise(s)) return s->error;
  if (st && !message_data(&st->message, len)) {
    int rc = stream_fail(s, st, H2_PROTOCOL_ERROR); /* clears in->stream */
    if (rc) return rc;
  }
  if (in->stream) in->stream->held += len;
  if (!in->stream || !len) return skip(s);
  in->stage = IN_DATA;
  return 0;
}

static int begin_data(h2_session *s) {
  in_frame *in = &s->in;
  bool padded = in->head.flags & FLAG_PADDED;
  if (padded && !in->head.len) return size_error(s, "DATA has no room for its pad length");
  int rc = data_stream(s, &in->stream);
  if (rc) return rc;
  if (!padded) return begin_payload(s);
  in->stage = IN_OPENING;
  in->need = 1;
  return 0;
}

static int read_data(h2_session *s, const uint8_t **p, const uint8_t *end) {
  in_frame *in = &s->in;
  if (!in->stream) return skip(s); /* reset by us since its last piece */
  uint32_t left = in->left - in->pad;
  size_t n = (size_t)(end - *p) < left ? (size_t)(end - *p) : left;
  const uint8_t *data = *p;
  *p += n;
  in->left -= (uint32_t)n;
  s->events->on_data(s->ctx, in->stream->user, data, n);
  return n == left ? skip(s) : 0;
}

/* ---- HEADERS and CONTINUATION ---- */

/* What is around the block is in order. */
static int begin_block(h2_session *s) {
  int rc = block_begin(s, &s->in.head);
  s->in.stage = IN_BLOCK;
  return rc || s->in.left > s->in.pad ? rc : skip(s);
}

static int begin_headers(h2_session *s) {
  in_frame *in = &s->in;
  unsigned need = (in->head.flags & FLAG_PADDED ? 1 : 0) + (in->head.flags & FLAG_PRIORITY ? 5 : 0);
  in->need = (uint8_t)need;
  if (in->head.id == 0) return protocol_error(s, "HEADERS on stream 0");
  if (in->need > in->head.len)
    return size_error(s, "HEADERS has no room for what its flags announce");
  if (!in->need) return begin_block(s);
  in->stage = IN_OPENING;
  return 0;
}

/* Pieces of a header block that are empty. */
#define MAX_EMPTY 8

static int begin_continuation(h2_session *s) {
  in_frame *in = &s->in;
  in->stage = IN_BLOCK;
  if (in->left) return 0;
  int rc = session_charge_noise(s);
  if (!rc && ++s->block.empty > MAX_EMPTY)
    rc = session_exceed(s, H2_LIMIT_HEADERS, "too many empty CONTINUATION frames");
  return rc ? rc : end_frame(s);
}

static int read_block(h2_session *s, const uint8_t **p, const uint8_t *end) {
  in_frame *in = &s->in;
  uint32_t left = in->left - in->pad;
  size_t n = (size_t)(end - *p) < left ? (size_t)(end - *p) : left;
  const uint8_t *data = *p;
  *p += n;
  in->left -= (uint32_t)n;
  bool last = n == left && (in->head.flags & FLAG_END_HEADERS);
  int rc = block_read(s, data, n, last);
  return rc || n < left ? rc : skip(s);
}

/* ---- Pad length and priority, of DATA and HEADERS ---- */

static int opened(h2_session *s, const uint8_t *opening) {
  in_frame *in = &s->in;
  in->left -= in->need;
  in->pad = in->head.flags & FLAG_PADDED ? opening[0] : 0;
  if (in->pad > in->left) return protocol_error(s, "the padding is longer than the frame");
  /* The priority says nothing any more (RFC 9113 section 5.3.2). */
  return in->head.type == FRAME_DATA ? begin_payload(s) : begin_block(s);
}

/* ---- Frames that are looked at when they are whole ---- */

static int take_ping(h2_session *s, const uint8_t *payload) {
  uint64_t opaque;
  if (!(s->in.head.flags & FLAG_ACK)) {
    s->pings++;
    return send_induced(s, FRAME_PING, FLAG_ACK, 0, payload, 8);
  }
  memcpy(&opaque, payload, sizeof(opaque));
  if (!bandwidth_answer(s, opaque)) s->events->on_ping_ack(s->ctx, opaque);
  return 0;
}

static int take_reset(h2_session *s, const uint8_t *payload) {
  uint32_t code = read_u32(payload);
  h2_stream *st = stream_of(s, s->in.head.id);
  if (!st) return session_charge_noise(s);
  /* A server says NO_ERROR when it needs no more of a request (RFC 9113 section 8.1);
   * a client that has our whole answer, but for payload on its way, owes us nothing. */
  bool early = code != H2_NO_ERROR || (s->role == H2_SERVER && !st->finished);
  stream_close(s, st, code, true);
  return early ? session_charge_reset(s) : 0;
}

static int take_whole(h2_session *s, const uint8_t *payload) {
  int rc = 0;
  switch (s->in.head.type) {
  case FRAME_RST_STREAM:
    rc = take_reset(s, payload);
    break;
  case FRAME_SETTINGS:
    rc = settings_received(s, &s->in.head, payload);
    break;
  case FRAME_PING:
    rc = take_ping(s, payload);
    break;
  case FRAME_GOAWAY:
    rc = goaway_received(s, &s->in.head, payload);
    break;
  case FRAME_WINDOW_UPDATE:
  default:
    rc = window_update(s, &s->in.head, payload);
    break;
  }
  s->in.left = 0;
  return rc ? rc : end_frame(s);
}

/* Takes the frame at once when it is all there; otherwise collects its pieces. */
static int read_whole(h2_session *s, const uint8_t **p, const uint8_t *end) {
  in_frame *in = &s->in;
  size_t avail = (size_t)(end - *p);
  const uint8_t *data = *p;
  if (!in->whole && avail >= in->left) {
    *p += in->left;
    return take_whole(s, data);
  }
  if (!in->whole && !(in->whole = caw_malloc(in->left))) return session_starve(s);
  size_t n = avail < in->left ? avail : in->left;
  memcpy(in->whole + in->whole_len, data, n);
  in->whole_len += (uint32_t)n;
  in->left -= (uint32_t)n;
  *p += n;
  if (in->left) return 0;
  int rc = take_whole(s, in->whole);
  caw_free(in->whole);
  in->whole = NULL;
  in->whole_len = 0;
  return rc;
}

static int begin_whole(h2_session *s) {
  s->in.stage = IN_WHOLE;
  /* Without payload there is nothing to wait for. */
  return s->in.left ? 0 : take_whole(s, s->in.small);
}

static int begin_priority(h2_session *s) {
  const frame_head *h = &s->in.head;
  if (h->id == 0) return protocol_error(s, "PRIORITY on stream 0");
  if (h->len == 5) return skip(s);
  h2_stream *st = stream_of(s, h->id);
  int rc = st ? stream_fail(s, st, H2_FRAME_SIZE_ERROR)
              : size_error(s, "PRIORITY that is not 5 bytes long");
  return rc ? rc : skip(s);
}

static int begin_reset(h2_session *s) {
  const frame_head *h = &s->in.head;
  if (h->len != 4) return size_error(s, "RST_STREAM that is not 4 bytes long");
  if (h->id == 0) return protocol_error(s, "RST_STREAM on stream 0");
  if (!is_idle(s, h->id)) return begin_whole(s);
  /*
   * gRPC's C core sends RST_STREAM also for calls that were cancelled before
   * their HEADERS were written. RFC 9113 5.1 wants the connection to end on a
   * frame of an idle stream; here that would punish every other call of an
   * honest client. gRPC's own servers ignore such frames.
   */
  if (s->role == H2_CLIENT || h->id % 2 == 0)
    return protocol_error(s, "RST_STREAM on a stream that is idle");
  int rc = session_charge_noise(s);
  return rc ? rc : skip(s);
}

/* SETTINGS frames of honest peers have nine entries at most. */
#define MAX_SETTINGS 32

static int begin_settings(h2_session *s) {
  const frame_head *h = &s->in.head;
  int rc = session_charge_noise(s);
  if (rc) return rc;
  if (h->len % SETTING_LEN) return size_error(s, "the length of SETTINGS is not a multiple of 6");
  if (h->len && (h->flags & FLAG_ACK))
    return size_error(s, "an acknowledgement of SETTINGS has a payload");
  if (h->len > MAX_SETTINGS * SETTING_LEN)
    return session_exceed(s, H2_LIMIT_NOISE, "SETTINGS with more than 32 entries");
  if (h->id) return protocol_error(s, "SETTINGS on a stream");
  return begin_whole(s);
}

static int begin_ping(h2_session *s) {
  int rc = session_charge_noise(s);
  if (rc) return rc;
  if (s->in.head.len != 8) return size_error(s, "PING that is not 8 bytes long");
  if (s->in.head.id) return protocol_error(s, "PING on a stream");
  return begin_whole(s);
}

static int begin_goaway(h2_session *s) {
  if (s->in.head.len < 8) return size_error(s, "GOAWAY that is shorter than 8 bytes");
  if (s->in.head.id) return protocol_error(s, "GOAWAY on a stream");
  return begin_whole(s);
}

static int begin_update(h2_session *s) {
  const frame_head *h = &s->in.head;
  int rc = session_charge_noise(s);
  if (rc) return rc;
  if (h->len != 4) return size_error(s, "WINDOW_UPDATE that is not 4 bytes long");
  if (h->id && is_idle(s, h->id))
    return protocol_error(s, "WINDOW_UPDATE on a stream that is idle");
  return begin_whole(s);
}

/* ---- Heads ---- */

/* What must hold for a frame of any type. */
static int check_head(h2_session *s) {
  const frame_head *h = &s->in.head;
  if (!s->settings_received && (h->type != FRAME_SETTINGS || (h->flags & FLAG_ACK)))
    return protocol_error(s, "the connection does not begin with SETTINGS");
  bool open = s->block.id != 0, continues = h->type == FRAME_CONTINUATION;
  if (open != continues || (open && h->id != s->block.id))
    return protocol_error(s, open ? "a header block is interrupted"
                                  : "CONTINUATION without a header block");
  if (h->len > s->config.max_frame) return size_error(s, "a frame is larger than was agreed");
  return 0;
}

static int begin_frame(h2_session *s) {
  int rc = check_head(s);
  if (rc) return rc;
  in_frame *in = &s->in;
  in->left = in->head.len;
  in->pad = 0;
  in->have = 0;
  switch (in->head.type) {
  case FRAME_DATA:
    return begin_data(s);
  case FRAME_HEADERS:
    return begin_headers(s);
  case FRAME_CONTINUATION:
    return begin_continuation(s);
  case FRAME_PRIORITY:
    rc = session_charge_noise(s);
    return rc ? rc : begin_priority(s);
  case FRAME_RST_STREAM:
    return begin_reset(s);
  case FRAME_SETTINGS:
    return begin_settings(s);
  case FRAME_PUSH_PROMISE:
    return protocol_error(s, s->role == H2_SERVER ? "PUSH_PROMISE from a client"
                                                  : "PUSH_PROMISE, which SETTINGS forbid");
  case FRAME_PING:
    return begin_ping(s);
  case FRAME_GOAWAY:
    return begin_goaway(s);
  case FRAME_WINDOW_UPDATE:
    return begin_update(s);
  default: /* RFC 9113 section 5.5: ignored */
    rc = session_charge_noise(s);
    return rc ? rc : skip(s);
  }
}

/* Collects `need` bytes that may come in pieces. NULL: they are not all there. */
static const uint8_t *collect(in_frame *in, size_t need, const uint8_t **p, const uint8_t *end) {
  const uint8_t *whole = *p;
  size_t avail = (size_t)(end - *p);
  if (!in->have && avail >= need) {
    *p += need;
    return whole;
  }
  size_t n = need - in->have < avail ? need - in->have : avail;
  memcpy(in->small + in->have, *p, n);
  in->have = (uint8_t)(in->have + n);
  *p += n;
  if (in->have < need) return NULL;
  in->have = 0;
  return in->small;
}

static int read_preface(h2_session *s, const uint8_t **p, const uint8_t *end) {
  for (; *p < end && s->in.have < H2_PREFACE_LEN; ++*p, s->in.have++)
    if (**p != (uint8_t)H2_PREFACE[s->in.have])
      return protocol_error(s, "the connection does not begin with HTTP/2's preface");
  if (s->in.have < H2_PREFACE_LEN) return 0;
  s->in.have = 0;
  s->in.stage = IN_HEAD;
  return 0;
}

/* Takes a piece of the input, or finds out that it is to be skipped. */
static int step(h2_session *s, const uint8_t **p, const uint8_t *end) {
  const uint8_t *bytes;
  in_frame *in = &s->in;
  switch ((in_stage)in->stage) {
  case IN_HEAD:
    if (!(bytes = collect(in, FRAME_HEAD, p, end))) return 0;
    in->head = frame_read(bytes);
    frame_in(s, &in->head);
    return begin_frame(s);
  case IN_DATA:
    return read_data(s, p, end);
  case IN_BLOCK:
    return read_block(s, p, end);
  case IN_WHOLE:
    return read_whole(s, p, end);
  case IN_OPENING:
    return (bytes = collect(in, in->need, p, end)) ? opened(s, bytes) : 0;
  case IN_SKIP: {
    size_t n = (size_t)(end - *p) < in->left ? (size_t)(end - *p) : in->left;
    *p += n;
    in->left -= (uint32_t)n;
    return in->left ? 0 : end_frame(s);
  }
  case IN_PREFACE:
  default:
    return read_preface(s, p, end);
  }
}

int h2_recv(h2_session *s, const uint8_t *data, size_t len) {
  const uint8_t *p = data, *end = data + len;
  int32_t window = s->recv_window;
  if (s->error) return s->error;
  int rc = 0;
  while (p < end && !rc) rc = step(s, &p, end);
  if (!rc && s->recv_window < window) rc = bandwidth_count(s, (size_t)(window - s->recv_window));
  if (!rc) rc = window_give_session(s);
  if (rc == CAW_ENOMEM) session_starve(s);
  return s->error;
}
