/*
 * Bytes out: requests, answers, payload and trailers become frames in the output
 * queue. Everything but payload is framed at once, so that the queue is the order
 * of the wire, and of the compression state. Payload waits with its stream until
 * the windows and the backlog have room; streams take turns frame by frame.
 */
#include "h2/session.h"

#include <assert.h>
#include <caw/alloc.h>
#include <caw/status.h>

/* No more is framed than this, so that what waits, waits where windows, resets
 * and fairness between streams still apply to it. */
#define BACKLOG ((size_t)256 * 1024)

/* Shorter pieces of payload are copied: one part of a writev costs about as
 * much as copying this many bytes. */
#define COPY_BELOW ((size_t)1024)

/* Payload that goes out with its trailers at once, without a turn. */
#define AT_ONCE ((size_t)MIN_FRAME)

/* The peer bounds what it takes in our header blocks; this bounds what we make. */
#define MAX_SEND_BLOCK ((size_t)1 << 20)

/* ---- Frames without payload of a stream ---- */

int send_small(h2_session *s, unsigned type, unsigned flags, uint32_t id, const void *payload,
               size_t len) {
  uint8_t *p = out_reserve(&s->out, FRAME_HEAD + len);
  if (!p) return session_starve(s);
  frame_write(p, len, type, flags, id);
  if (len) memcpy(p + FRAME_HEAD, payload, len);
  return out_commit(&s->out, FRAME_HEAD + len, 1) ? session_starve(s) : 0;
}

int send_reset(h2_session *s, uint32_t id, uint32_t code) {
  uint8_t bytes[4];
  write_u32(bytes, code);
  return send_small(s, FRAME_RST_STREAM, 0, id, bytes, sizeof(bytes));
}

/* ---- Header blocks ---- */

/* A block that is larger than what can be reserved, or than a frame: HEADERS and
 * as many CONTINUATION as it takes (RFC 9113 section 4.3). */
static int send_long_block(h2_session *s, uint32_t id, unsigned flags, const h2_field *fields,
                           size_t n, size_t bound) {
  uint8_t *block = caw_malloc(bound);
  if (!block) return session_starve(s);
  size_t len = hpack_encode(&s->encoder, block, fields, n), at = 0;
  int rc = 0;
  do {
    uint8_t head[FRAME_HEAD];
    size_t k = len - at < s->peer_max_frame ? len - at : s->peer_max_frame;
    unsigned last = at + k == len ? FLAG_END_HEADERS : 0;
    frame_write(head, k, at ? FRAME_CONTINUATION : FRAME_HEADERS, last | (at ? 0 : flags), id);
    if (out_copy(&s->out, head, FRAME_HEAD) || out_copy(&s->out, block + at, k))
      rc = session_starve(s);
    at += k;
  } while (!rc && at < len);
  caw_free(block);
  return rc;
}

static int send_block(h2_session *s, uint32_t id, unsigned flags, const h2_field *fields,
                      size_t n) {
  size_t bound = hpack_bound(fields, n);
  if (bound > OUT_RESERVE - FRAME_HEAD) return send_long_block(s, id, flags, fields, n, bound);
  uint8_t *p = out_reserve(&s->out, FRAME_HEAD + bound);
  if (!p) return session_starve(s);
  size_t len = hpack_encode(&s->encoder, p + FRAME_HEAD, fields, n);
  frame_write(p, len, FRAME_HEADERS, flags | FLAG_END_HEADERS, id);
  return out_commit(&s->out, FRAME_HEAD + len, 1) ? session_starve(s) : 0;
}

/* The fields of a stream. What is too large to be sent ends it. */
static int send_fields(h2_session *s, h2_stream *st, const h2_field *fields, size_t n, bool end) {
  if (hpack_bound(fields, n) > MAX_SEND_BLOCK) {
    bool silent = s->role == H2_CLIENT && !st->answered; /* the peer knows nothing of it */
    int rc = silent ? 0 : send_reset(s, st->id, H2_INTERNAL_ERROR);
    stream_end(s, st, H2_INTERNAL_ERROR, false);
    return rc;
  }
  int rc = send_block(s, st->id, end ? FLAG_END_STREAM : 0, fields, n);
  st->answered = true;
  return rc || !end ? rc : stream_local_end(s, st);
}

/* ---- Payload ---- */

static void hold_unref(void *arg) {
  h2_hold *h = arg;
  if (--h->refs) return;
  if (h->release) h->release(h->owner);
  caw_free(h);
}

static slice *front_of(h2_stream *st) {
  return &st->queue[st->head];
}

static void pop_front(h2_stream *st) {
  if (st->hold) hold_unref(st->hold);
  else slice_release(front_of(st));
  st->hold = NULL;
  st->len--;
  st->head = st->len ? (st->head + 1) & (st->room - 1) : 0;
}

void send_clear(h2_session *s, h2_stream *st) {
  while (st->len) pop_front(st);
  st->bytes = 0;
  cells_free(s->config.cells, st->trailers);
  st->trailers = NULL;
  if (st->queue != st->first) caw_free(st->queue);
  st->queue = st->first;
  st->room = INLINE_SENDS;
}

static int queue_grow(h2_stream *st) {
  if (st->room > UINT32_MAX / 2) return CAW_ENOMEM;
  slice *queue = caw_malloc((size_t)st->room * 2 * sizeof(slice));
  if (!queue) return CAW_ENOMEM;
  for (uint32_t i = 0; i < st->len; i++) queue[i] = st->queue[(st->head + i) & (st->room - 1)];
  if (st->queue != st->first) caw_free(st->queue);
  st->queue = queue;
  st->head = 0;
  st->room *= 2;
  return 0;
}

/* Refers to the first `n` bytes of the front slice. When more frames need the
 * slice, its release moves into a counted hold. */
static int refer_front(h2_session *s, h2_stream *st, size_t n) {
  slice *f = front_of(st);
  bool whole = n == f->len;
  if (!st->hold && (whole || !f->release)) {
    int rc = out_refer(&s->out, f->data, n, f->release, f->owner);
    if (!rc) f->release = NULL;
    return rc;
  }
  if (!st->hold) {
    st->hold = caw_malloc(sizeof(h2_hold));
    if (!st->hold) return CAW_ENOMEM;
    *st->hold = (h2_hold){1, f->release, f->owner};
    f->release = NULL;
  }
  int rc = out_refer(&s->out, f->data, n, hold_unref, st->hold);
  if (!rc) st->hold->refs++;
  return rc;
}

/* Moves `n` bytes of the stream's payload to the output. */
static int move_payload(h2_session *s, h2_stream *st, size_t n) {
  while (n) {
    slice *f = front_of(st);
    size_t k = f->len < n ? f->len : n;
    int rc = k < COPY_BELOW ? out_copy(&s->out, f->data, k) : refer_front(s, st, k);
    if (rc) return rc;
    f->data += k;
    f->len -= k;
    st->bytes -= k;
    n -= k;
    if (!f->len) pop_front(st);
  }
  return 0;
}

static size_t smaller(size_t a, int32_t b) {
  return a < (size_t)b ? a : (size_t)b;
}

/* One DATA frame, and the stream's end if that was the last. There are payload and
 * window. */
static int send_data(h2_session *s, h2_stream *st) {
  size_t n = smaller(smaller(st->bytes, st->send_window), s->send_window);
  if (n > s->peer_max_frame) n = s->peer_max_frame;
  bool end = st->finished && !st->trailers && n == st->bytes;
  uint8_t *p = out_reserve(&s->out, FRAME_HEAD);
  if (!p) return session_starve(s);
  frame_write(p, n, FRAME_DATA, end ? FLAG_END_STREAM : 0, st->id);
  if (out_commit(&s->out, FRAME_HEAD, 0) || move_payload(s, st, n)) return session_starve(s);
  st->send_window -= (int32_t)n;
  s->send_window -= (int32_t)n;
  s->events->on_sent(s->ctx, st->user, n);
  return end ? stream_local_end(s, st) : 0;
}

/* The trailers that waited for the last byte. */
static int send_kept(h2_session *s, h2_stream *st) {
  h2_kept *kept = st->trailers;
  st->trailers = NULL;
  int rc = send_fields(s, st, kept->fields, kept->n, true);
  cells_free(s->config.cells, kept);
  return rc;
}

void send_ready(h2_session *s, h2_stream *st) {
  if (st->bytes && st->send_window > 0 && !list_linked(&st->ready))
    list_push_back(&s->ready, &st->ready);
}

/* A stream's turn: one frame, and the trailers if that was all. */
static int take_turn(h2_session *s, h2_stream *st) {
  list_remove(&st->ready);
  if (st->send_window <= 0) return 0; /* SETTINGS took it back */
  int rc = send_data(s, st);
  if (rc || st->ended) return rc;
  send_ready(s, st);
  return st->trailers && !st->bytes ? send_kept(s, st) : 0;
}

static int send_turns(h2_session *s) {
  int rc = 0;
  s->window_shut = false;
  while (!rc && !list_empty(&s->ready) && s->out.bytes < BACKLOG) {
    if (s->send_window <= 0) {
      s->window_shut = true;
      break;
    }
    rc = take_turn(s, LIST_ENTRY(s->ready.next, h2_stream, ready));
  }
  return rc;
}

/* Keeps a copy of the trailers until the payload before them is framed. */
static int keep_trailers(h2_session *s, h2_stream *st, const h2_field *fields, size_t n) {
  size_t text = hpack_bound(fields, n); /* more than all text, or SIZE_MAX */
  if (text > MAX_SEND_BLOCK) text = 0;  /* it will not be sent; but the stream ends in its turn */
  if (n > SIZE_MAX / 4 / sizeof(*fields)) return CAW_ENOMEM;
  h2_kept *kept = cells_alloc(s->config.cells, sizeof(*kept) + n * sizeof(*fields) + text);
  if (!kept) return CAW_ENOMEM;
  char *p = (char *)&kept->fields[n];
  kept->n = n;
  for (size_t i = 0; i < n; i++) {
    h2_field f = fields[i];
    if (text) {
      if (f.name.len) memcpy(p, f.name.data, f.name.len);
      f.name.data = p;
      p += f.name.len;
      if (f.value.len) memcpy(p, f.value.data, f.value.len);
      f.value.data = p;
      p += f.value.len;
    }
    kept->fields[i] = f;
  }
  st->trailers = kept;
  return 0;
}

/* ---- The public face ---- */

int h2_request(h2_session *s, const h2_field *fields, size_t n, void *user, h2_stream **result) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (s->error || s->goaway_received || s->goaway_sent || s->next_id > MAX_ID) return CAW_ECLOSED;
  if (s->open >= s->peer_max_streams) return CAW_EAGAIN;
  h2_stream *st = stream_new(s, s->next_id);
  if (!st) return CAW_ENOMEM;
  s->next_id += 2;
  st->user = user;
  message_asked(&st->message, fields, n);
  int rc = send_fields(s, st, fields, n, false);
  if (rc) {
    stream_drop(s, st);
    return rc;
  }
  *result = st;
  return 0;
}

int h2_respond(h2_session *s, h2_stream *st, const h2_field *fields, size_t n) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (s->role != H2_SERVER || st->answered || st->ended) return CAW_ESTATE;
  if (s->error) return 0;
  return send_fields(s, st, fields, n, false);
}

static int check_send(const h2_session *s, const h2_stream *st) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  return st->finished || st->ended ? CAW_ESTATE : 0;
}

int h2_send(h2_session *s, h2_stream *st, slice data) {
  int rc = check_send(s, st);
  if (!rc && !st->answered) rc = CAW_ESTATE;
  if (!rc && data.len && st->len == st->room) rc = queue_grow(st);
  if (rc || !data.len) {
    slice_release(&data);
    return rc;
  }
  st->queue[(st->head + st->len++) & (st->room - 1)] = data;
  st->bytes += data.len;
  send_ready(s, st);
  return 0;
}

/* May the last of the payload go out now, before those whose turn is first? Not
 * when they wait for the connection's window: it would go to the latecomers. */
static bool goes_at_once(const h2_session *s, const h2_stream *st) {
  return st->bytes <= AT_ONCE && (int64_t)st->bytes <= st->send_window &&
         (int64_t)st->bytes <= s->send_window && !s->window_shut && s->out.bytes < BACKLOG;
}

int h2_finish(h2_session *s, h2_stream *st, const h2_field *trailers, size_t n) {
  int rc = check_send(s, st);
  if (rc) return rc;
  if (!st->answered && !n) return CAW_ESTATE;
  if (s->error) {
    st->finished = true;
    return 0;
  }
  bool now = !st->bytes || goes_at_once(s, st);
  if (n && !now && (rc = keep_trailers(s, st, trailers, n))) return rc;
  bool payload_ends = st->bytes && !n;
  /* With trailers to come, no DATA frame ends the stream. */
  st->finished = !n || !now;
  while (!rc && now && st->bytes && !st->ended) {
    list_remove(&st->ready);
    rc = send_data(s, st);
  }
  if (rc || !now || st->ended) return rc;
  st->finished = true;
  if (n) return send_fields(s, st, trailers, n, true);
  if (payload_ends) return 0;
  rc = send_small(s, FRAME_DATA, FLAG_END_STREAM, st->id, NULL, 0);
  return rc ? rc : stream_local_end(s, st);
}

int h2_reset(h2_session *s, h2_stream *st, uint32_t code) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (st->ended) return 0;
  int rc = s->error ? 0 : send_reset(s, st->id, code);
  stream_end(s, st, code, false);
  return rc;
}

int h2_output(h2_session *s, struct iovec *parts, int max) {
  if (s->error == CAW_ENOMEM || (!s->error && send_turns(s))) return CAW_ENOMEM;
  while (!list_empty(&s->endings)) {
    h2_stream *st = LIST_ENTRY(s->endings.next, h2_stream, node);
    stream_close(s, st, st->end_code, st->end_remote);
  }
  return out_gather(&s->out, parts, max);
}

void h2_written(h2_session *s, size_t len) {
  out_written(&s->out, len);
}
