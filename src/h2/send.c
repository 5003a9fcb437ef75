/*
 * Bytes out: requests, answers, payload and trailers become frames in the output
 * queue. Everything but payload is framed at once, so that the queue is the order
 * of the wire, and of the compression state. Payload waits with its stream until
 * the windows and the backlog have room; streams take turns frame by frame.
 */
#include "h2/session.h"
#include "h2/trace.h"

#include <assert.h>
#include <caw/alloc.h>
#include <caw/status.h>

/* No more is framed than this, so that what waits, waits where windows, resets
 * and fairness between streams still apply to it. It is also what one write of large
 * messages has, and smaller is cheaper: 1 MiB replies over loopback cost the server
 * 215 us of CPU with 112 KiB, 390 to 460 with 224 or more, since what lies between
 * the two programs then stays in the caches. (Loopback's segments have 65,483 bytes:
 * 128 KiB would be two of them and a few bytes; that cost 499.) */
#define BACKLOG ((size_t)112 * 1024)

/* A stream's turn is no longer than this, however large the frames are that the peer
 * takes (gRPC's C core asks for up to 16 MiB): nothing goes in between the bytes of a
 * frame, and the backlog ends with a whole one. */
#define LONGEST_TURN (BACKLOG / 2)

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
  if (!p) return CAW_ENOMEM;
  frame_out(s, p, len, type, flags, id);
  if (len) memcpy(p + FRAME_HEAD, payload, len);
  out_commit(&s->out, FRAME_HEAD + len, 1);
  return 0;
}

#define RESET_LEN (FRAME_HEAD + 4)

int send_reset(h2_session *s, uint32_t id, uint32_t code) {
  uint8_t bytes[4];
  write_u32(bytes, code);
  return send_small(s, FRAME_RST_STREAM, 0, id, bytes, sizeof(bytes));
}

int send_induced(h2_session *s, unsigned type, unsigned flags, uint32_t id, const void *payload,
                 size_t len) {
  if (s->out.items >= s->config.max_induced)
    return session_exceed(s, H2_LIMIT_INDUCED, "the peer causes answers and does not read them");
  return send_small(s, type, flags, id, payload, len);
}

int send_induced_reset(h2_session *s, uint32_t id, uint32_t code) {
  uint8_t bytes[4];
  write_u32(bytes, code);
  return send_induced(s, FRAME_RST_STREAM, 0, id, bytes, sizeof(bytes));
}

/* ---- Header blocks ---- */

/* Makes HEADERS and as many CONTINUATION as it takes (RFC 9113 section 4.3) of a
 * block of `len` bytes behind room for one frame head; there is room behind it for
 * the others. Returns the length of all. */
static size_t cut_block(const h2_session *s, uint8_t *frames, uint32_t id, unsigned flags,
                        size_t len) {
  const size_t most = s->peer_max_frame;
  size_t cuts = (len - 1) / most;       /* no long block is empty */
  for (size_t i = cuts + 1; i-- > 0;) { /* from the last: each moves to the right */
    size_t at = i * most, n = i == cuts ? len - at : most;
    uint8_t *to = frames + at + i * FRAME_HEAD;
    memmove(to + FRAME_HEAD, frames + FRAME_HEAD + at, n);
    frame_out(s, to, n, i ? FRAME_CONTINUATION : FRAME_HEADERS,
              (i ? 0 : flags) | (i == cuts ? FLAG_END_HEADERS : 0), id);
  }
  return len + (cuts + 1) * FRAME_HEAD;
}

/* A block that may be larger than what can be reserved, or than a frame. */
static int send_long_block(h2_session *s, uint32_t id, unsigned flags, const h2_field *fields,
                           size_t n, size_t bound) {
  uint8_t *frames = caw_malloc(bound + (bound / s->peer_max_frame + 1) * FRAME_HEAD);
  if (!frames || out_ready(&s->out)) {
    caw_free(frames);
    return CAW_ENOMEM;
  }
  size_t len = hpack_encode(&s->encoder, frames + FRAME_HEAD, fields, n);
  int rc = out_refer(&s->out, frames, cut_block(s, frames, id, flags, len), caw_free, frames);
  if (!rc) out_count(&s->out, 1 + len / QUEUED_UNIT);
  return rc;
}

static int send_block(h2_session *s, uint32_t id, unsigned flags, const h2_field *fields, size_t n,
                      size_t bound) {
  if (bound > OUT_RESERVE - FRAME_HEAD - RESET_LEN)
    return send_long_block(s, id, flags, fields, n, bound);
  /* With room for the RST_STREAM that may have to follow a server's last frame. */
  uint8_t *p = out_reserve(&s->out, FRAME_HEAD + bound + RESET_LEN);
  if (!p) return CAW_ENOMEM;
  size_t len = hpack_encode(&s->encoder, p + FRAME_HEAD, fields, n);
  frame_out(s, p, len, FRAME_HEADERS, flags | FLAG_END_HEADERS, id);
  out_commit(&s->out, FRAME_HEAD + len, 1 + len / QUEUED_UNIT);
  return 0;
}

/* The fields of a stream. What is too large to be sent ends it. */
static int send_fields(h2_session *s, h2_stream *st, const h2_field *fields, size_t n, bool end) {
  size_t bound = hpack_bound(fields, n);
  if (bound > MAX_SEND_BLOCK) {
    bool silent = s->role == H2_CLIENT && !st->answered; /* the peer knows nothing of it */
    int rc = silent ? 0 : send_reset(s, st->id, H2_INTERNAL_ERROR);
    if (!rc) stream_end(s, st, H2_INTERNAL_ERROR, false);
    return rc;
  }
  int rc = send_block(s, st->id, end ? FLAG_END_STREAM : 0, fields, n, bound);
  if (rc) return rc;
  st->answered = true;
  s->said++;
  return end ? stream_local_end(s, st) : 0;
}

/* ---- Payload ---- */

static void hold_unref(void *arg) {
  h2_hold *h = arg;
  if (--h->refs) return;
  h->release(h->owner);
  caw_free(h);
}

static slice *front_of(h2_sending *g) {
  return &g->queue[g->head];
}

static void pop_front(h2_sending *g) {
  if (g->hold) hold_unref(g->hold);
  else slice_release(front_of(g));
  g->hold = NULL;
  g->len--;
  g->head = g->len ? (g->head + 1) & (g->room - 1) : 0;
}

/* The stream's, which is made if there is none. NULL: memory is out. */
static h2_sending *sending_of(h2_session *s, h2_stream *st) {
  if (st->sending) return st->sending;
  h2_sending *g = cells_alloc(s->config.cells, sizeof(*g));
  if (!g) return NULL;
  memset(g, 0, offsetof(h2_sending, first));
  g->of = st;
  list_init(&g->ready);
  g->queue = g->first;
  g->room = INLINE_SENDS;
  return st->sending = g;
}

void send_clear(h2_session *s, h2_stream *st) {
  h2_sending *g = st->sending;
  if (!g) return;
  st->sending = NULL;
  list_remove(&g->ready);
  s->waiting -= g->bytes + g->taken;
  while (g->len) pop_front(g);
  cells_free(s->config.cells, g->trailers);
  if (g->queue != g->first) caw_free(g->queue);
  cells_free(s->config.cells, g);
}

/* How many bytes wait. */
static size_t waiting(const h2_stream *st) {
  return st->sending ? st->sending->bytes : 0;
}

static int queue_grow(h2_sending *g) {
  if (g->room > UINT32_MAX / 2) return CAW_ENOMEM;
  slice *queue = caw_malloc((size_t)g->room * 2 * sizeof(slice));
  if (!queue) return CAW_ENOMEM;
  for (uint32_t i = 0; i < g->len; i++) queue[i] = g->queue[(g->head + i) & (g->room - 1)];
  if (g->queue != g->first) caw_free(g->queue);
  g->queue = queue;
  g->head = 0;
  g->room *= 2;
  return 0;
}

/* Refers to the first `n` bytes of the front slice. When more frames need the
 * slice, its release moves into a counted hold. */
static int refer_front(h2_session *s, h2_sending *g, size_t n) {
  slice *f = front_of(g);
  bool whole = n == f->len;
  if (!g->hold && (whole || !f->release)) {
    int rc = out_refer(&s->out, f->data, n, f->release, f->owner);
    if (!rc) f->release = NULL;
    return rc;
  }
  if (!g->hold) {
    g->hold = caw_malloc(sizeof(h2_hold));
    if (!g->hold) return CAW_ENOMEM;
    *g->hold = (h2_hold){1, f->release, f->owner};
    f->release = NULL;
  }
  int rc = out_refer(&s->out, f->data, n, hold_unref, g->hold);
  if (!rc) g->hold->refs++;
  return rc;
}

/* The first `n` bytes of the front slice are on their way. */
static void pass_front(h2_session *s, h2_sending *g, size_t n) {
  slice *f = front_of(g);
  f->data += n;
  f->len -= n;
  g->bytes -= n;
  g->taken += n;
  if (f->len) return; /* all of it is still held */
  s->waiting -= g->taken;
  g->taken = 0;
  pop_front(g);
}

/* A short DATA frame is copied, head and all. 0 or CAW_ENOMEM: nothing happened. */
static int copy_data(h2_session *s, h2_sending *g, size_t n, unsigned flags) {
  uint8_t *p = out_reserve(&s->out, FRAME_HEAD + n);
  if (!p) return CAW_ENOMEM;
  frame_out(s, p, n, FRAME_DATA, flags, g->of->id);
  out_commit(&s->out, FRAME_HEAD + n, 0);
  for (p += FRAME_HEAD; n;) {
    const slice *f = front_of(g);
    size_t k = f->len < n ? f->len : n;
    memcpy(p, f->data, k);
    p += k;
    n -= k;
    pass_front(s, g, k);
  }
  return 0;
}

/* A longer one refers to what is not short. Without memory the session is lost. */
static int refer_data(h2_session *s, h2_sending *g, size_t n, unsigned flags) {
  uint8_t *p = out_reserve(&s->out, FRAME_HEAD);
  if (!p) return CAW_ENOMEM;
  frame_out(s, p, n, FRAME_DATA, flags, g->of->id);
  out_commit(&s->out, FRAME_HEAD, 0);
  while (n) {
    const slice *f = front_of(g);
    size_t k = f->len < n ? f->len : n;
    if (k < COPY_BELOW ? out_copy(&s->out, f->data, k) : refer_front(s, g, k))
      return session_starve(s);
    pass_front(s, g, k);
    n -= k;
  }
  return 0;
}

static size_t smaller(size_t a, int32_t b) {
  return a < (size_t)b ? a : (size_t)b;
}

/* One DATA frame, and the stream's end if that was the last. There are payload and
 * window. */
static int send_data(h2_session *s, h2_stream *st) {
  h2_sending *g = st->sending;
  size_t n = smaller(smaller(g->bytes, st->send_window), s->send_window);
  if (n > s->peer_max_frame) n = s->peer_max_frame;
  if (n > LONGEST_TURN) n = LONGEST_TURN;
  bool end = st->finished && !g->trailers && n == g->bytes;
  int rc = (n < COPY_BELOW ? copy_data : refer_data)(s, g, n, end ? FLAG_END_STREAM : 0);
  if (rc) return rc;
  session_useful(s);
  s->said++;
  st->send_window -= (int32_t)n;
  s->send_window -= (int32_t)n;
  s->framed += n;
  s->events->on_sent(s->ctx, st->user, n);
  return end ? stream_local_end(s, st) : 0;
}

/* The trailers that waited for the last byte. */
static int send_kept(h2_session *s, h2_stream *st) {
  h2_kept *kept = st->sending->trailers;
  st->sending->trailers = NULL;
  int rc = send_fields(s, st, kept->fields, kept->n, true);
  cells_free(s->config.cells, kept);
  return rc;
}

void send_ready(h2_session *s, h2_stream *st) {
  if (waiting(st) && st->send_window > 0 && !list_linked(&st->sending->ready))
    list_push_back(&s->ready, &st->sending->ready);
}

/* A stream's turn: one frame, and the trailers if that was all. */
static int take_turn(h2_session *s, h2_sending *g) {
  h2_stream *st = g->of;
  list_remove(&g->ready);
  if (st->send_window <= 0) return 0; /* SETTINGS took it back */
  int rc = send_data(s, st);
  if (rc || st->ended) return rc;
  send_ready(s, st);
  if (waiting(st)) return 0;
  if (g->trailers) rc = send_kept(s, st);
  send_clear(s, st);
  return rc;
}

static int send_turns(h2_session *s) {
  int rc = 0;
  while (!rc && !list_empty(&s->ready) && s->send_window > 0 && s->out.bytes < BACKLOG)
    rc = take_turn(s, LIST_ENTRY(s->ready.next, h2_sending, ready));
  s->crowded = !list_empty(&s->ready);
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
  st->sending->trailers = kept;
  return 0;
}

/* ---- The public face ---- */

int h2_request(h2_session *s, const h2_field *fields, size_t n, void *user, h2_stream **result) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (s->error || s->goaway_received || s->goaway_sent || s->next_id > MAX_ID) return CAW_ECLOSED;
  if (s->open >= s->peer_max_streams) return CAW_EAGAIN;
  h2_stream *st = stream_new(s, s->next_id);
  if (!st) return CAW_ENOMEM;
  st->user = user;
  message_asked(&st->message, fields, n);
  int rc = send_fields(s, st, fields, n, false);
  if (rc) {
    stream_drop(s, st);
    return rc;
  }
  s->next_id += 2;
  *result = st;
  return 0;
}

int h2_respond(h2_session *s, h2_stream *st, const h2_field *fields, size_t n) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (s->role != H2_SERVER || st->answered || st->ended) return CAW_ESTATE;
  st->answered = s->error; /* then nothing is sent */
  return s->error ? 0 : send_fields(s, st, fields, n, false);
}

static int check_send(const h2_session *s, const h2_stream *st) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  return st->finished || st->ended ? CAW_ESTATE : 0;
}

int h2_send(h2_session *s, h2_stream *st, slice data) {
  int rc = check_send(s, st);
  if (!rc && !st->answered) rc = CAW_ESTATE;
  h2_sending *g = NULL;
  if (!rc && data.len) {
    g = sending_of(s, st);
    rc = !g ? CAW_ENOMEM : g->len == g->room ? queue_grow(g) : 0;
  }
  if (rc || !g) {
    slice_release(&data);
    return rc;
  }
  g->queue[(g->head + g->len++) & (g->room - 1)] = data;
  g->bytes += data.len;
  s->waiting += data.len;
  send_ready(s, st);
  return 0;
}

/* May the last of the payload go out now, before those whose turn is first? Not when
 * they wait for the connection's window or the backlog: either would go to the
 * latecomers, again and again. */
static bool goes_at_once(const h2_session *s, const h2_stream *st) {
  size_t bytes = waiting(st);
  return bytes <= AT_ONCE && (int64_t)bytes <= st->send_window &&
         (int64_t)bytes <= s->send_window && !s->crowded && s->out.bytes < BACKLOG;
}

/* The payload and the end of our side, at once. What could not be done for want of
 * memory can be asked for again. */
static int finish_now(h2_session *s, h2_stream *st, const h2_field *trailers, size_t n) {
  int rc = 0;
  bool payload_ends = waiting(st) && !n;
  st->finished = !n; /* else no DATA frame ends the stream */
  if (st->sending) list_remove(&st->sending->ready);
  while (!rc && waiting(st)) rc = send_data(s, st);
  if (!rc && n) rc = send_fields(s, st, trailers, n, true);
  else if (!rc && !payload_ends) {
    rc = send_small(s, FRAME_DATA, FLAG_END_STREAM, st->id, NULL, 0);
    if (!rc) rc = stream_local_end(s, st);
  }
  st->finished = !rc;
  if (rc) send_ready(s, st);
  else send_clear(s, st);
  return rc;
}

int h2_finish(h2_session *s, h2_stream *st, const h2_field *trailers, size_t n) {
  int rc = check_send(s, st);
  if (rc) return rc;
  if (!st->answered && !n) return CAW_ESTATE;
  if (!s->error) {
    if (!waiting(st) || goes_at_once(s, st)) return finish_now(s, st, trailers, n);
    if (n && (rc = keep_trailers(s, st, trailers, n))) return rc;
  }
  st->finished = true;
  return 0;
}

int h2_reset(h2_session *s, h2_stream *st, uint32_t code) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (st->ended) return 0;
  int rc = s->error ? 0 : send_reset(s, st->id, code);
  if (!rc) stream_end(s, st, code, false);
  return rc;
}

int h2_output(h2_session *s, struct iovec *parts, int max) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (!s->error && send_turns(s)) return session_starve(s);
  while (!list_empty(&s->endings)) {
    h2_stream *st = LIST_ENTRY(s->endings.next, h2_stream, node);
    stream_close(s, st, st->end_code, st->end_remote);
  }
  return out_gather(&s->out, parts, max);
}

void h2_written(h2_session *s, size_t len) {
  out_written(&s->out, len);
}
