/*
 * What the peer says: kept until whole frames are there, looked at, and heard by
 * both sides in the same chunks. So it is known at any time what windows and
 * settings both have been told, and a frame that begins a deliberate difference is
 * seen before it is heard.
 */
#include "diff/inside.h"

#include <caw/status.h>
#include <string.h>

static uint32_t read32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool peer_start(diff *d) {
  static uint8_t pend[PEND];
  d->pend = pend;
  d->fed = d->scanned = d->pend_len = d->keep_back = 0;
  d->preface_due = d->role == H2_SERVER;
  d->settings_due = true;
  d->next_id = 1;
  d->highest_id = 0;
  d->in_block = 0;
  d->interrupted = false;
  d->acked = d->goaway = d->announced = d->ended = false;
  d->data = d->credit = 0;
  d->initial_window = 65535;
  d->window_before = INT64_MIN;
  d->max_frame = 16384;
  d->settings_sent = 0;
  d->encoder.len = d->encoder.bytes = 0;
  d->encoder.max = 4096;
  d->content = (content){0};
  d->content_at = d->content_end = 0;
  return !nghttp2_hd_inflate_new(&d->inflater);
}

void peer_stop(diff *d) {
  nghttp2_hd_inflate_del(d->inflater);
}

void peer_bytes(diff *d, const void *data, size_t len) {
  if (d->fed == d->pend_len) d->fed = d->scanned = d->pend_len = d->content_at = d->content_end = 0;
  if (len > PEND - d->pend_len) {
    d->stop = true;
    return;
  }
  if (len) memcpy(d->pend + d->pend_len, data, len);
  d->pend_len += len;
}

void peer_frame(diff *d, unsigned type, unsigned flags, uint32_t id, const void *payload,
                size_t len) {
  uint8_t head[HEAD] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,
                        (uint8_t)type,        (uint8_t)flags,      (uint8_t)(id >> 24),
                        (uint8_t)(id >> 16),  (uint8_t)(id >> 8),  (uint8_t)id};
  peer_bytes(d, head, HEAD);
  peer_bytes(d, payload, len);
}

static int64_t lesser(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t window_of(const diff *d, const stream *st, int which) {
  int64_t conn = 65535 + (int64_t)d->sides[which].granted - (int64_t)d->data;
  int64_t own = (d->acked ? d->config.stream_window : 65535) + (int64_t)st->of[which].granted -
                (int64_t)st->data;
  return lesser(conn, own);
}

int64_t peer_window(const diff *d, const stream *st, bool least) {
  int64_t ours = window_of(d, st, OURS), oracles = window_of(d, st, ORACLE);
  return least == (ours < oracles) ? ours : oracles;
}

/* ---- what a frame changes ---- */

static void apply_setting(diff *d, unsigned name, uint32_t value, table_size *table) {
  switch (name) {
  case NGHTTP2_SETTINGS_HEADER_TABLE_SIZE:
    if (!table->any || value < table->least) table->least = value;
    table->last = value;
    table->any = true;
    break;
  case NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE:
    for (size_t i = 0; i < d->count; i++) {
      stream *st = &d->streams[i];
      int64_t allowed = stream_allowed(d, st);
      if (allowed > st->allowed_before) st->allowed_before = allowed;
    }
    if (d->initial_window > d->window_before) d->window_before = d->initial_window;
    d->initial_window = value;
    break;
  case NGHTTP2_SETTINGS_MAX_FRAME_SIZE:
    if (value > d->max_frame) d->max_frame = value;
    break;
  default:
    break;
  }
}

static void apply_settings(diff *d, const frame *f) {
  d->windows_ahead = true;
  if (f->flags & ACK) {
    d->acked = true;
    return;
  }
  table_size *table = &d->tables[d->settings_sent++ % 64];
  table->any = false;
  for (size_t at = 0; at + 6 <= f->len; at += 6) {
    const uint8_t *p = f->payload + at;
    apply_setting(d, (unsigned)p[0] << 8 | p[1], read32(p + 2), table);
  }
}

static void apply_window(diff *d, const frame *f) {
  uint32_t n = f->len == 4 ? read32(f->payload) & INT32_MAX : 0;
  stream *st = f->id ? stream_find(d, f->id) : NULL;
  d->windows_ahead = true;
  if (!f->id) d->credit += n;
  else if (st) st->credit += n;
}

static void tell(const frame *f) {
  fprintf(stderr, "peer   type %u id %u flags %u len %zu", f->type, f->id, f->flags, f->len);
  for (size_t i = 0; i < f->have && i < 200; i++)
    fprintf(stderr, "%s%02x", i % 6 ? "" : " ", f->payload[i]);
  fprintf(stderr, "\n");
}

/* How much DATA the message has that begins with the block last read. */
static void set_length(const diff *d, stream *st) {
  int status = d->content.status;
  if (d->content.length >= 0) st->length = d->content.length;
  if (d->role == H2_CLIENT && (st->to_head || status == 204 || status == 304)) st->length = 0;
}

static void apply(diff *d, const frame *f) {
  stream *st = f->id ? stream_find(d, f->id) : NULL;
  d->settings_due = false;
  diff_total.frames++;
  switch (f->type) {
  case F_DATA:
    d->data += f->len;
    if (!st) break;
    st->data += f->len;
    st->over |= (f->flags & END_STREAM) != 0;
    break;
  case F_HEADERS:
    if (f->id && !st) st = stream_for(d, f->id);
    if (!st) break;
    st->heard = true;
    if (f->id > d->highest_id) d->highest_id = f->id;
    if (!st->of[OURS].final) set_length(d, st);
    st->over |= (f->flags & END_STREAM) != 0;
    break;
  case F_RST:
    if (st) st->aborted = true;
    break;
  case F_SETTINGS:
    apply_settings(d, f);
    break;
  case F_GOAWAY:
    d->goaway = true;
    break;
  case F_WINDOW:
    apply_window(d, f);
    break;
  default:
    break;
  }
  if (f->type == F_HEADERS) d->in_block = f->complete ? 0 : f->id;
  d->interrupted |= d->in_block != 0;
}

/* ---- hearing ---- */

bool in_doubt(const diff *d) {
  return (d->sides[OURS].rc != 0) != (d->sides[ORACLE].rc != 0);
}

/* Has the oracle stopped reading? Its streams are told to be closed only now. */
static bool oracle_is_over(diff *d) {
  struct iovec part;
  side *s = &d->sides[ORACLE];
  s->face->output(s->s, &part, 1);
  return is_over(d);
}

/* A header block beyond the hard limits ends the connection, whoever it is for;
 * the oracle does not see every field. */
static void check_failures(diff *d) {
  bool ours = d->sides[OURS].rc != 0, oracles = d->sides[ORACLE].rc != 0;
  bool whole = d->fed == d->scanned && !d->in_block;
  if (ours && oracles) {
    conclude(d);
  } else if (ours && whole && content_heard(d) && content_too_large(d)) {
    side *s = &d->sides[OURS];
    while (side_take(s, SIZE_MAX) && !d->why) continue;
    if (s->goaway != H2_ENHANCE_YOUR_CALM)
      differ(d, "ours failed a block beyond the hard limit with %lld", (long long)s->goaway);
    d->stop = true;
  } else if (ours && d->goaway && oracle_is_over(d)) {
    d->stop = true;
  } else if (ours != oracles && whole) {
    differ(d, "%s failed the connection", ours ? "only ours" : "only the oracle");
  }
}

static size_t chunk_of(diff *d, size_t left) {
  size_t n = left;
  switch (d->chunk) {
  case 1: /* byte by byte, as long as that is not too slow */
    n = d->fed < 600 ? 1 : 500;
    break;
  case 2:
    n = 9;
    break;
  case 3:
    d->seed = d->seed * 1103515245 + 12345;
    n = 1 + (d->seed >> 16) % 40;
    break;
  default:
    break;
  }
  return n < left ? n : left;
}

/* Once one side has failed, the other has until the end of the frame. */
static void hear(diff *d, size_t until) {
  while (d->fed < until && !d->stop) {
    size_t n = chunk_of(d, until - d->fed);
    for (int i = 0; i < SIDES; i++) side_recv(&d->sides[i], d->pend + d->fed, n);
    d->fed += n;
    bool ours = d->sides[OURS].rc != 0, oracles = d->sides[ORACLE].rc != 0;
    if (ours || oracles) {
      if (ours != oracles && until < d->scanned) until = d->scanned;
      else check_failures(d);
    }
  }
  if (d->fed < d->scanned || d->stop || in_doubt(d)) return;
  compare_events(d, false);
  if (content_heard(d) && content_too_large(d))
    differ(d, "both took a block beyond the hard limit");
}

static size_t frame_at(const diff *d, size_t at, frame *f) {
  const uint8_t *p = d->pend + at;
  size_t left = d->pend_len - at;
  if (left < HEAD) return 0;
  *f = (frame){.len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2],
               .type = p[3],
               .flags = p[4],
               .id = read32(p + 5) & INT32_MAX,
               .payload = p + HEAD,
               .have = left - HEAD};
  if (f->len > d->config.max_frame) {
    f->have = 0;
    return HEAD;
  }
  if (f->have < f->len) return 0;
  f->have = f->len;
  return HEAD + f->len;
}

/* The block of HEADERS and of the CONTINUATION behind it. Returns the bytes of all
 * these frames; 0: some may be to come. */
static size_t gather(const diff *d, frame *f, size_t len) {
  static uint8_t text[PEND];
  f->block = text;
  size_t at = (f->flags & PADDED ? 1 : 0) + (f->flags & PRIORITY ? 5 : 0);
  size_t pad = f->flags & PADDED && f->len ? f->payload[0] : 0;
  frame more = *f;
  if (at + pad > f->len) return len; /* bad already */
  f->block_len = f->len - at - pad;
  if (f->block_len) memcpy(text, f->payload + at, f->block_len);
  while (!(more.flags & END_HEADERS)) {
    size_t n = frame_at(d, d->scanned + len, &more);
    if (!n) return 0;
    if (more.type != F_CONTINUATION || more.id != f->id || more.have < more.len) return len;
    memcpy(text + f->block_len, more.payload, more.len);
    f->block_len += more.len;
    f->pieces++;
    f->empty += !more.len;
    len += n;
  }
  f->complete = true;
  return len;
}

/* The next frame, if it is there whole, and a header block with it. A frame that is
 * too long need not be: its head says enough. Returns its bytes, or 0. */
static size_t next_frame(const diff *d, frame *f) {
  size_t len = frame_at(d, d->scanned, f);
  return len && f->have == f->len && f->type == F_HEADERS ? gather(d, f, len) : len;
}

static void drop_bytes(diff *d, size_t len) {
  uint8_t *p = d->pend + d->scanned;
  d->pend_len -= len;
  memmove(p, p + len, d->pend_len - d->scanned);
}

/* A frame that may begin a deliberate difference. Whether it does is certain once
 * all that is due was written. Returns false when it does not. */
static bool hear_known(diff *d, const frame *f, size_t len) {
  hear(d, d->scanned);
  if (!d->stop) drain(d);
  const known *k = d->stop ? NULL : known_for(d, f);
  if (!k) return d->stop;
  if (known_drops(k) || (d->avoid && known_ends(k))) {
    if (f->type == F_HEADERS) d->stop = true; /* it belongs to the compression state */
    drop_bytes(d, len);
    return true;
  }
  apply(d, f);
  d->scanned += len;
  known_hear(d, k, f, d->pend + d->fed, len);
  d->fed = d->scanned;
  if (!d->stop) check_failures(d);
  if (!d->stop) settle(d);
  return true;
}

/* Once there is a GOAWAY, each frame may be the last that is heard. */
static bool over(diff *d) {
  if (!d->goaway || d->scanned == d->pend_len) return false;
  hear(d, d->scanned);
  if (!d->stop) drain(d);
  return d->stop;
}

/*
 * Must what came before be heard first? On a stream that the peer has ended or that
 * is being reset, nghttp2 hears frames otherwise before its RST_STREAM is framed
 * than after: it shall be framed. And known.c must know how the streams stand.
 */
static bool is_late(diff *d, const frame *f) {
  const stream *st = f->id ? stream_find(d, f->id) : NULL;
  switch (f->type) {
  case F_HEADERS:
    return st || d->config.max_streams < 10 || content_too_large(d);
  case F_DATA:
    return d->role == H2_CLIENT || (st && (st->over || st->aborted)) ||
           (st && (st->length >= 0 || (int64_t)f->len > peer_window(d, st, true)));
  case F_PRIORITY:
    return f->len != 5;
  case F_WINDOW:
    return f->len != 4 || !(read32(f->payload) & INT32_MAX);
  case F_RST:
  case F_SETTINGS:
  case F_GOAWAY:
    return true;
  default:
    return false;
  }
}

/* Must it be known which streams have ended, and what the windows are? */
static bool needs_all(diff *d, const frame *f) {
  const stream *st = f->id ? stream_find(d, f->id) : NULL;
  if (f->have < f->len) return false;
  if (f->type == F_DATA && f->len && st && (int64_t)f->len > peer_window(d, st, true)) return true;
  return !sound(f) || (st && st->over);
}

/* nghttp2 does not look at the length of a CONTINUATION. RFC 9113 4.2: an endpoint MUST
 * send an error code of FRAME_SIZE_ERROR if a frame exceeds SETTINGS_MAX_FRAME_SIZE. */
static void judge_too_large(diff *d) {
  side *ours = &d->sides[OURS];
  if (!d->in_block || !ours->rc) {
    differ(d, "both took a frame too large");
    return;
  }
  while (side_take(ours, SIZE_MAX) && !d->why) continue;
  if (ours->goaway != H2_FRAME_SIZE_ERROR)
    differ(d, "ours failed a CONTINUATION too large with %lld", (long long)ours->goaway);
  d->stop = true;
}

static void deliver(diff *d) {
  size_t len;
  frame f;
  if (d->preface_due && d->pend_len - d->scanned >= PREFACE) {
    d->preface_due = false;
    d->scanned += PREFACE;
  }
  while (!d->stop && !d->preface_due && !over(d) && (len = next_frame(d, &f))) {
    if (d->how & DIFF_TELL) tell(&f);
    if (f.type == F_HEADERS && f.block) {
      const content *c = &d->content;
      if (content_too_large(d) || c->broken || c->long_string) hear(d, d->scanned);
      content_read(d, &f, len);
    }
    if (is_late(d, &f)) hear(d, d->scanned);
    if (needs_all(d, &f) && !d->stop) drain(d);
    if (!sound(&f)) d->keep_back = 0; /* nothing may happen within it */
    if (d->stop) return;
    if (d->how & DIFF_KNOWN && known_for(d, &f) && hear_known(d, &f, len)) continue;
    d->scanned += len;
    if (f.have == f.len) {
      apply(d, &f);
      continue;
    }
    d->oversized = true;
    hear(d, d->scanned);
    if (!d->stop) judge_too_large(d);
  }
  size_t back = d->keep_back < d->scanned - d->fed ? d->keep_back : d->scanned - d->fed;
  d->keep_back = 0;
  hear(d, d->scanned - back);
}

void peer_deliver(diff *d) {
  d->delivering = true;
  deliver(d);
  d->delivering = false;
}

void peer_finish(diff *d) {
  d->keep_back = 0;
  peer_deliver(d);
  if (d->stop || d->scanned == d->pend_len) return;
  /* A frame that never ends: whether it fails is not certain. */
  for (int i = 0; i < SIDES; i++) side_recv(&d->sides[i], d->pend + d->fed, d->pend_len - d->fed);
  d->stop = true;
}
