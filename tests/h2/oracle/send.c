/*
 * The oracle's bytes out: requests, answers, payload and trailers into nghttp2,
 * and the frames that it makes into the output queue.
 *
 * nghttp2 holds a DATA item for a stream only while we have payload for it
 * (`attached`): the item ends with the last byte that is queued, and the next
 * h2_send makes a new one. So nothing is ever deferred for want of payload.
 */
#include "oracle/session.h"

#include <assert.h>
#include <caw/alloc.h>
#include <caw/status.h>
#include <string.h>

/* No more is framed than this, so that what waits, waits where windows, resets
 * and fairness between streams still apply to it. */
#define BACKLOG ((size_t)112 * 1024)

/* Shorter pieces of payload are copied: one part of a writev costs about as
 * much as copying this many bytes. */
#define COPY_BELOW ((size_t)1024)

#define STACK_FIELDS ((size_t)24)

/* ---- payload of a stream ---- */

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
  st->head = st->len ? (st->head + 1) % st->room : 0;
}

static void drop_trailers(h2_stream *st) {
  if (st->trailers != st->first_trailers) caw_free(st->trailers);
  st->trailers = NULL;
}

void stream_clear(h2_stream *st) {
  while (st->len) pop_front(st);
  st->bytes = 0;
  drop_trailers(st);
  st->trailer_count = 0;
}

static int queue_grow(h2_stream *st) {
  if (st->room > SIZE_MAX / 2 / sizeof(slice)) return CAW_ENOMEM;
  slice *queue = caw_malloc(st->room * 2 * sizeof(slice));
  if (!queue) return CAW_ENOMEM;
  for (size_t i = 0; i < st->len; i++) queue[i] = st->queue[(st->head + i) % st->room];
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
static int frame_payload(h2_session *s, h2_stream *st, size_t n) {
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

/* ---- nghttp2's side ---- */

static ssize_t callback_failed(h2_session *s) {
  s->error = CAW_ENOMEM;
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* nghttp2 asks how much payload the next DATA frame of the stream holds. */
static ssize_t read_payload(nghttp2_session *ng, int32_t id, uint8_t *room, size_t len,
                            uint32_t *flags, nghttp2_data_source *source, void *user) {
  h2_session *s = user;
  (void)room;
  (void)source;
  h2_stream *st = stream_of(s, id);
  if (!st) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (s->control_only || s->out.bytes >= BACKLOG) return NGHTTP2_ERR_PAUSE;
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (len < st->bytes) return (ssize_t)len;
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  st->attached = false;
  if (!st->finished || st->trailers) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  /* The trailers wait in another queue of nghttp2's and follow this frame. */
  if (st->trailers && nghttp2_submit_trailer(ng, id, st->trailers, st->trailer_count))
    return callback_failed(s);
  return (ssize_t)st->bytes;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t len,
                        nghttp2_data_source *source, void *user) {
  h2_session *s = user;
  (void)ng;
  (void)source;
  h2_stream *st = stream_of(s, frame->hd.stream_id);
  if (!st) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (out_copy(&s->out, head, FRAME_HEAD) || frame_payload(s, st, len))
    return (int)callback_failed(s);
  if (len) s->events->on_sent(s->ctx, st->user, len);
  return 0;
}

static ssize_t on_send(nghttp2_session *ng, const uint8_t *data, size_t len, int flags,
                       void *user) {
  h2_session *s = user;
  (void)ng;
  (void)flags;
  /* What a slow reader makes us answer stays where nghttp2 counts it. */
  if (s->out.bytes >= BACKLOG) return NGHTTP2_ERR_WOULDBLOCK;
  return out_copy(&s->out, data, len) ? callback_failed(s) : (ssize_t)len;
}

/* Has nghttp2 ask for the stream's payload, if there is any or an end. */
static int attach(h2_session *s, h2_stream *st) {
  nghttp2_data_provider from = {{.ptr = NULL}, read_payload};
  if (st->attached || (!st->bytes && !st->finished)) return 0;
  int rc = nghttp2_submit_data(s->ng, NGHTTP2_FLAG_END_STREAM, (int32_t)st->id, &from);
  if (rc == NGHTTP2_ERR_NOMEM) return CAW_ENOMEM;
  /* Anything else: the stream has ended for nghttp2, and on_close follows. */
  st->attached = rc == 0;
  return 0;
}

/* Our side of a stream has ended on the wire. A server that has said all tells
 * a client that still sends to stop (RFC 9113 section 8.1). */
static int on_local_end(h2_session *s, h2_stream *st) {
  if (s->role != H2_SERVER || st->remote_ended) return 0;
  if (nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, (int32_t)st->id, H2_NO_ERROR))
    return (int)callback_failed(s);
  return 0;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user) {
  h2_session *s = user;
  (void)ng;
  if (frame->hd.type == NGHTTP2_GOAWAY) {
    if (s->own_goaways) s->own_goaways--;
    else if (!s->error) s->error = CAW_EPROTO; /* nghttp2's: the peer's fault */
    return 0;
  }
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  h2_stream *st = stream_of(s, frame->hd.stream_id);
  if (!st || st->ended) return 0;
  if (!st->opened) {
    st->opened = true;
    if (s->role == H2_CLIENT && attach(s, st)) return (int)callback_failed(s);
  }
  return frame->hd.flags & NGHTTP2_FLAG_END_STREAM ? on_local_end(s, st) : 0;
}

/* A header block of ours that nghttp2 cannot frame must not leave the stream
 * hanging. That it is closed or closing already needs nothing. */
static int on_frame_not_send(nghttp2_session *ng, const nghttp2_frame *frame, int error,
                             void *user) {
  h2_session *s = user;
  if (frame->hd.type != NGHTTP2_HEADERS || error != NGHTTP2_ERR_FRAME_SIZE_ERROR) return 0;
  h2_stream *st = stream_of(s, frame->hd.stream_id);
  if (!st) return 0;
  st->failed = true;
  if (frame->headers.cat != NGHTTP2_HCAT_REQUEST &&
      nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, H2_INTERNAL_ERROR))
    return (int)callback_failed(s);
  return 0;
}

void send_callbacks(nghttp2_session_callbacks *cb) {
  nghttp2_session_callbacks_set_send_callback(cb, on_send);
  nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
  nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
}

int session_pump(h2_session *s) {
  s->pumping = true;
  s->starved = false;
  int rc = nghttp2_session_send(s->ng);
  s->pumping = false;
  if (rc == 0 && !s->starved) return 0;
  return s->error = CAW_ENOMEM;
}

/* ---- fields ---- */

static void to_nv(nghttp2_nv *nv, const h2_field *f, uint8_t flags) {
  if (f->flags & H2_FIELD_SECRET) flags |= NGHTTP2_NV_FLAG_NO_INDEX;
  if (f->flags & H2_FIELD_LASTING) flags |= NGHTTP2_NV_FLAG_NO_COPY_NAME;
  nv->name = (uint8_t *)(uintptr_t)f->name.data;
  nv->value = (uint8_t *)(uintptr_t)f->value.data;
  nv->namelen = f->name.len;
  nv->valuelen = f->value.len;
  nv->flags = flags;
}

/* Submits a header block; nghttp2 copies the text. `id` -1 makes a request, on
 * whose stream stream_of will find `opened`: nghttp2 itself would look for a
 * request that waits among all that wait. Returns nghttp2's result. */
static int32_t submit_fields(h2_session *s, int32_t id, uint8_t flags, const h2_field *fields,
                             size_t n, h2_stream *opened) {
  nghttp2_nv on_stack[STACK_FIELDS], *nv = on_stack;
  on_stack[0] = (nghttp2_nv){0}; /* defined without any field, too */
  if (n > STACK_FIELDS) {
    nv = n > SIZE_MAX / sizeof(*nv) ? NULL : caw_malloc(n * sizeof(*nv));
    if (!nv) return NGHTTP2_ERR_NOMEM;
  }
  for (size_t i = 0; i < n; i++) to_nv(&nv[i], &fields[i], NGHTTP2_NV_FLAG_NONE);
  int32_t rc = nghttp2_submit_headers(s->ng, flags, id, NULL, nv, n, opened);
  if (nv != on_stack) caw_free(nv);
  return rc;
}

/* Keeps a copy of the trailers until the payload before them is framed. */
static int keep_trailers(h2_stream *st, const h2_field *fields, size_t n) {
  size_t text = 0;
  for (size_t i = 0; i < n; i++) {
    if (fields[i].name.len > SIZE_MAX / 4 - text) return CAW_ENOMEM;
    text += fields[i].name.len;
    if (fields[i].value.len > SIZE_MAX / 4 - text) return CAW_ENOMEM;
    text += fields[i].value.len;
  }
  if (n > SIZE_MAX / 4 / sizeof(nghttp2_nv)) return CAW_ENOMEM;
  size_t size = n * sizeof(nghttp2_nv) + text;
  nghttp2_nv *nv = size > sizeof(st->first_trailers) ? caw_malloc(size) : st->first_trailers;
  if (!nv) return CAW_ENOMEM;
  char *p = (char *)(nv + n);
  for (size_t i = 0; i < n; i++) {
    h2_field f = fields[i];
    if (f.name.len) memcpy(p, f.name.data, f.name.len);
    f.name.data = p;
    p += f.name.len;
    if (f.value.len) memcpy(p, f.value.data, f.value.len);
    f.value.data = p;
    p += f.value.len;
    /* The copy lives until the stream is dropped; nghttp2 frames nothing for a
     * stream that has gone, so it need not copy once more. */
    to_nv(&nv[i], &f, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
  }
  st->trailers = nv;
  st->trailer_count = n;
  return 0;
}

/* ---- the public face ---- */

int h2_request(h2_session *s, const h2_field *fields, size_t n, void *user, h2_stream **result) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  int rc = session_check_open(s);
  if (rc) return rc;
  h2_stream *st = stream_new(s);
  if (!st) return CAW_ENOMEM;
  int32_t id = submit_fields(s, -1, NGHTTP2_FLAG_NONE, fields, n, st);
  if (id < 0) {
    stream_drop(s, st);
    return id == NGHTTP2_ERR_NOMEM ? CAW_ENOMEM : CAW_ECLOSED;
  }
  st->id = (uint32_t)id;
  st->user = user;
  st->answered = true;
  *result = st;
  return 0;
}

int h2_respond(h2_session *s, h2_stream *st, const h2_field *fields, size_t n) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (s->role != H2_SERVER || st->answered || st->ended) return CAW_ESTATE;
  if (submit_fields(s, (int32_t)st->id, NGHTTP2_FLAG_NONE, fields, n, NULL)) return CAW_ENOMEM;
  st->answered = true;
  return 0;
}

static int check_send(const h2_session *s, const h2_stream *st) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  return st->finished || st->ended ? CAW_ESTATE : 0;
}

/* Payload before the request's HEADERS are framed waits for on_frame_send. */
static int attach_if_open(h2_session *s, h2_stream *st) {
  return s->role == H2_SERVER || st->opened ? attach(s, st) : 0;
}

int h2_send(h2_session *s, h2_stream *st, slice data) {
  int rc = check_send(s, st);
  if (!rc && !st->answered) rc = CAW_ESTATE;
  if (!rc && data.len && st->len == st->room) rc = queue_grow(st);
  if (rc || !data.len) {
    slice_release(&data);
    return rc;
  }
  st->queue[(st->head + st->len++) % st->room] = data;
  st->bytes += data.len;
  rc = attach_if_open(s, st);
  if (rc) { /* nothing was taken */
    st->len--;
    st->bytes -= data.len;
    slice_release(&data);
  }
  return rc;
}

int h2_finish(h2_session *s, h2_stream *st, const h2_field *trailers, size_t n) {
  int rc = check_send(s, st);
  if (rc) return rc;
  bool alone = !st->answered; /* a response in one block */
  bool now = !st->bytes && st->answered && (s->role == H2_SERVER || st->opened);
  if (alone && !n) return CAW_ESTATE;
  if (n && (alone || now)) {
    if (submit_fields(s, (int32_t)st->id, NGHTTP2_FLAG_END_STREAM, trailers, n, NULL))
      return CAW_ENOMEM;
    st->answered = st->finished = true;
    return 0;
  }
  if (n && (rc = keep_trailers(st, trailers, n))) return rc;
  st->finished = true;
  rc = attach_if_open(s, st);
  if (rc) {
    st->finished = false;
    drop_trailers(st);
  }
  return rc;
}

int h2_reset(h2_session *s, h2_stream *st, uint32_t code) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (st->ended) return 0;
  if (nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, (int32_t)st->id, code)) return CAW_ENOMEM;
  stream_end(s, st, code, false);
  return 0;
}

int h2_consume(h2_session *s, h2_stream *st, size_t len) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (st->remote_ended || st->ended || !len) return 0;
  return nghttp2_session_consume_stream(s->ng, (int32_t)st->id, len) ? CAW_ENOMEM : 0;
}

/* Tells on_close where it is due. nghttp2 may still know the stream, when the
 * RST_STREAM is stuck: behind a full backlog, a peer that lowered its stream
 * limit, or a GOAWAY of ours that ends all. */
static void tell_endings(h2_session *s) {
  while (!list_empty(&s->endings)) {
    h2_stream *st = LIST_ENTRY(s->endings.next, h2_stream, ending);
    stream_part(s, st);
    stream_close(s, st, st->end_code, st->end_remote);
  }
}

int h2_output(h2_session *s, struct iovec *parts, int max) {
  if (s->error == CAW_ENOMEM || (s->out.bytes < BACKLOG && session_pump(s))) return CAW_ENOMEM;
  tell_endings(s);
  return out_gather(&s->out, parts, max);
}

void h2_written(h2_session *s, size_t len) {
  out_written(&s->out, len);
}
