/*
 * Deliberate differences between src/h2 and the oracle. Each says which frame of the
 * peer begins it, what is to happen, and on which sentence src/h2 stands. Where the
 * oracle can be brought to do the same by another frame or by a call, that is done
 * and the comparison goes on; else what either does is judged and the script ends.
 * Everything that is not here is a fault.
 */
#include "diff/inside.h"

#include <caw/status.h>
#include <string.h>

typedef enum treatment {
  OTHER_FRAME,  /* the oracle hears what `other` writes instead */
  CALL_RESET,   /* the oracle is told to reset the stream with `code`, then hears the frame */
  CALL_ONLY,    /* the same, but it does not hear the frame */
  JUDGE,        /* ours must fail the connection with `code`; the oracle does as it likes */
  JUDGE_STREAM, /* ours must reset the stream with `code`; the oracle does as it likes */
  DROP          /* nobody hears the frame */
} treatment;

struct known {
  const char *name, *reason;
  treatment treatment;
  uint32_t code;
  bool (*applies)(diff *d, const frame *f);
  size_t (*other)(diff *d, const frame *f, uint8_t *to); /* with the head */
};

static uint32_t read32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The stream of a frame, if both have it open and neither has ended it itself. */
static stream *live(diff *d, const frame *f) {
  stream *st = f->id ? stream_find(d, f->id) : NULL;
  if (!st || st->reset || st->aborted) return NULL;
  for (int i = 0; i < SIDES; i++)
    if (!st->of[i].h2 || st->of[i].reset >= 0) return NULL;
  return st;
}

static size_t copy(const frame *f, uint8_t *to) {
  memcpy(to, f->payload - HEAD, HEAD + f->len);
  return HEAD + f->len;
}

/* ---- priorities ---- */

static size_t priority_at(const frame *f) {
  return f->type == F_HEADERS && f->flags & PADDED ? 1 : 0;
}

static bool depends_on_itself(diff *d, const frame *f) {
  size_t at = priority_at(f);
  (void)d;
  if (f->type != F_PRIORITY && (f->type != F_HEADERS || !(f->flags & PRIORITY))) return false;
  if (f->type == F_PRIORITY && f->len != 5) return false;
  return f->id && f->len >= at + 5 && (read32(f->payload + at) & INT32_MAX) == f->id;
}

static size_t on_nothing(diff *d, const frame *f, uint8_t *to) {
  (void)d;
  size_t len = copy(f, to);
  memset(to + HEAD + priority_at(f), 0, 4);
  return len;
}

static bool odd_priority(diff *d, const frame *f) {
  return f->type == F_PRIORITY && f->len != 5 && live(d, f);
}

/* ---- windows ---- */

static bool adds_nothing(diff *d, const frame *f) {
  return f->type == F_WINDOW && f->len == 4 && !(read32(f->payload) & INT32_MAX) && live(d, f);
}

static bool beyond_stream_window(diff *d, const frame *f) {
  const stream *st = live(d, f);
  return f->type == F_DATA && st && !st->over && (int64_t)f->len > peer_window(d, st, false) &&
         65535 + (int64_t)d->sides[OURS].granted - (int64_t)d->data >= (int64_t)f->len &&
         65535 + (int64_t)d->sides[ORACLE].granted - (int64_t)d->data >= (int64_t)f->len;
}

/* One side has given more of its window back than the other, which is its right. */
static bool between_windows(diff *d, const frame *f) {
  const stream *st = f->id ? stream_find(d, f->id) : NULL;
  static const stream none;
  if (f->type != F_DATA || !f->len) return false;
  if (!st) st = &none;
  return ((int64_t)f->len > peer_window(d, st, true)) !=
         ((int64_t)f->len > peer_window(d, st, false));
}

static bool overflows_by_setting(diff *d, const frame *f) {
  if (f->type != F_SETTINGS || f->flags & ACK || f->id || f->len % 6) return false;
  for (size_t at = 0; at < f->len; at += 6) {
    const uint8_t *p = f->payload + at;
    if (p[0] || p[1] != NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE) continue;
    for (size_t i = 0; i < d->count; i++) {
      const stream *st = &d->streams[i];
      int64_t window =
          (int64_t)read32(p + 2) + (int64_t)st->credit - (int64_t)st->of[ORACLE].framed;
      if (st->of[ORACLE].h2 && window > INT32_MAX) return true;
    }
  }
  return false;
}

/* ---- settings ---- */

static bool has_extension(diff *d, const frame *f) {
  (void)d;
  if (f->type != F_SETTINGS || f->len % 6) return false;
  for (size_t at = 0; at < f->len; at += 6)
    if (!f->payload[at] && (f->payload[at + 1] == 8 || f->payload[at + 1] == 9)) return true;
  return false;
}

static size_t unknown_instead(diff *d, const frame *f, uint8_t *to) {
  (void)d;
  size_t len = copy(f, to);
  for (size_t at = HEAD; at < len; at += 6)
    if (!to[at] && (to[at + 1] == 8 || to[at + 1] == 9)) to[at] = 0x77;
  return len;
}

/* ---- streams ---- */

static bool push(diff *d, const frame *f) {
  return f->type == F_PUSH && d->role == H2_CLIENT;
}

/* How many streams the peer has open, as it must know. */
static unsigned open_streams(const diff *d) {
  unsigned n = 0;
  for (size_t i = 0; i < d->count; i++) n += d->streams[i].of[ORACLE].h2 != NULL;
  return n;
}

static bool beyond_limit(diff *d, const frame *f) {
  return f->type == F_HEADERS && d->role == H2_SERVER && f->id % 2 && !stream_find(d, f->id) &&
         d->acked && open_streams(d) >= d->config.max_streams;
}

/* ---- header blocks ---- */

#define ORACLE_CONTINUATIONS 8

/* The CONTINUATION frames that follow a HEADERS frame, as far as they are there. */
static unsigned continuations(const diff *d, const frame *f, uint8_t *to, size_t *len) {
  const uint8_t *p = f->payload + f->len, *end = d->pend + d->pend_len;
  unsigned n = 0;
  while (end - p >= HEAD && p[3] == F_CONTINUATION && (read32(p + 5) & INT32_MAX) == f->id) {
    size_t more = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
    if ((size_t)(end - p) - HEAD < more) break;
    n++;
    if (to) memcpy(to + *len, p + HEAD, more);
    *len += more;
    if (p[4] & END_HEADERS) break;
    p += HEAD + more;
  }
  return n;
}

static bool many_pieces(diff *d, const frame *f) {
  size_t len = 0;
  return f->type == F_HEADERS && !(f->flags & END_HEADERS) &&
         continuations(d, f, NULL, &len) > ORACLE_CONTINUATIONS && len <= 16384;
}

/* HEADERS as it is, and all that continues it in one. */
static size_t in_one_piece(diff *d, const frame *f, uint8_t *to) {
  size_t at = copy(f, to), len = 0;
  continuations(d, f, to + at + HEAD, &len);
  memset(to + at, 0, HEAD);
  to[at + 1] = (uint8_t)(len >> 8);
  to[at + 2] = (uint8_t)len;
  to[at + 3] = F_CONTINUATION;
  to[at + 4] = END_HEADERS;
  memcpy(to + at + 5, f->payload - 4, 4);
  return at + HEAD + len;
}

/* ---- the table ---- */

static const known table[] = {
    {"a stream depends on itself",
     "RFC 9113 5.3.2: priority signaling of RFC 7540 is deprecated; 6.3: PRIORITY is ignored",
     OTHER_FRAME, 0, depends_on_itself, on_nothing},
    {"PRIORITY of another length than 5",
     "RFC 9113 6.3: ... MUST be treated as a stream error (Section 5.4.2) of type FRAME_SIZE_ERROR",
     CALL_ONLY, H2_FRAME_SIZE_ERROR, odd_priority, NULL},
    {"WINDOW_UPDATE of 0 on a stream",
     "RFC 9113 6.9: ... an increment of 0 as a stream error (Section 5.4.2) of type PROTOCOL_ERROR",
     CALL_ONLY, H2_PROTOCOL_ERROR, adds_nothing, NULL},
    {"DATA beyond the window of its stream",
     "RFC 9113 6.9.1: ... a stream error of type FLOW_CONTROL_ERROR; by the head of the frame, "
     "before any byte of it is told",
     CALL_RESET, H2_FLOW_CONTROL_ERROR, beyond_stream_window, NULL},
    {"DATA between the windows of both",
     "RFC 9113 6.9.1: when to send WINDOW_UPDATE is the receiver's choice", DROP, 0,
     between_windows, NULL},
    {"SETTINGS_INITIAL_WINDOW_SIZE overflows a window",
     "RFC 9113 6.9.2: ... MUST treat as a connection error of type FLOW_CONTROL_ERROR", JUDGE,
     H2_FLOW_CONTROL_ERROR, overflows_by_setting, NULL},
    {"settings of extensions",
     "RFC 9113 6.5.2: an endpoint that receives an unknown or unsupported identifier MUST ignore "
     "that setting",
     OTHER_FRAME, 0, has_extension, unknown_instead},
    {"PUSH_PROMISE",
     "RFC 9113 8.4: a client that has set SETTINGS_ENABLE_PUSH to 0 ... connection error of type "
     "PROTOCOL_ERROR",
     JUDGE, H2_PROTOCOL_ERROR, push, NULL},
    {"a stream beyond SETTINGS_MAX_CONCURRENT_STREAMS",
     "RFC 9113 5.1.2: ... MUST treat this as a stream error of type PROTOCOL_ERROR or "
     "REFUSED_STREAM",
     JUDGE_STREAM, H2_REFUSED_STREAM, beyond_limit, NULL},
    {"more than 8 CONTINUATION frames", "RFC 9113 6.10: any number of them can be sent",
     OTHER_FRAME, 0, many_pieces, in_one_piece},
};

const known *known_for(diff *d, const frame *f) {
  if (f->have < f->len || d->settings_due || d->in_block) return NULL;
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
    if (table[i].applies(d, f)) return &table[i];
  return NULL;
}

bool known_drops(const known *k) {
  return k->treatment == DROP;
}

bool known_ends(const known *k) {
  return k->treatment == JUDGE || k->treatment == JUDGE_STREAM;
}

static void judge(diff *d, const known *k, const frame *f) {
  side *s = &d->sides[OURS];
  const stream *st = f->id ? stream_find(d, f->id) : NULL;
  while (side_take(s, SIZE_MAX) && !d->why) continue;
  d->stop = true;
  if (d->how & DIFF_TWINS) return;
  if (k->treatment == JUDGE && (s->rc != CAW_EPROTO || s->goaway != k->code))
    differ(d, "%s: ours returned %d and wrote GOAWAY %lld", k->name, s->rc, (long long)s->goaway);
  if (k->treatment == JUDGE_STREAM && (s->rc || !st || st->of[OURS].reset != k->code))
    differ(d, "%s: ours returned %d and wrote RST_STREAM %lld", k->name, s->rc,
           (long long)(st ? st->of[OURS].reset : -1));
}

/* The frames of `f`, `len` bytes of the peer's, are heard as the entry says. */
void known_hear(diff *d, const known *k, const frame *f, const uint8_t *bytes, size_t len) {
  static uint8_t other[1 << 16];
  side *oracle = &d->sides[ORACLE];
  const stream *st = f->id ? stream_find(d, f->id) : NULL;
  TELL(d, "known  %s\n", k->name);
  diff_total.known++;
  bool twins = d->how & DIFF_TWINS;
  if (!twins || k->treatment >= JUDGE) side_recv(&d->sides[OURS], bytes, len);
  else if (k->treatment == OTHER_FRAME) side_recv(&d->sides[OURS], other, k->other(d, f, other));
  switch (k->treatment) {
  case OTHER_FRAME:
    side_recv(oracle, other, k->other(d, f, other));
    break;
  case CALL_RESET:
  case CALL_ONLY:
    if (k->treatment == CALL_ONLY && !twins) d->unheard++; /* PRIORITY, WINDOW_UPDATE */
    for (int i = twins ? OURS : ORACLE; i < SIDES; i++) {
      side *s = &d->sides[i];
      if (s->face->reset(s->s, st->of[i].h2, k->code)) differ(d, "the oracle does not reset");
      if (k->treatment == CALL_RESET) side_recv(s, bytes, len);
    }
    break;
  case JUDGE:
  case JUDGE_STREAM:
    side_recv(oracle, bytes, len);
    judge(d, k, f);
    break;
  case DROP:
    break;
  }
}
