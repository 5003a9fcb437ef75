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
  OTHER_FRAME,   /* the oracle hears what `other` writes instead */
  CALL_RESET,    /* the oracle is told to reset the stream with `code`, then hears the frame */
  CALL_ONLY,     /* the same, but it does not hear the frame */
  JUDGE,         /* ours must fail the connection with `code`; the oracle does as it likes */
  JUDGE_STREAM,  /* ours must reset the stream with `code`; the oracle does as it likes */
  JUDGE_NOTHING, /* ours must do neither; but it may reset with `code`, if not 0, for
                    what else is wrong */
  DROP           /* nobody hears the frame */
} treatment;

struct known {
  const char *name, *reason;
  treatment treatment;
  uint32_t code;
  bool (*applies)(diff *d, const frame *f);
  size_t (*other)(diff *d, const frame *f, uint8_t *to); /* with the head */
};

#define MOST_SETTINGS 32 /* entries of a frame; both have this limit */

static uint32_t read32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Do padding and priority of DATA or HEADERS fit into the frame? */
bool sound(const frame *f) {
  if (f->type != F_DATA && f->type != F_HEADERS) return true;
  bool padded = f->flags & PADDED;
  size_t rest = (padded ? 1 : 0) + (f->type == F_HEADERS && f->flags & PRIORITY ? 5 : 0);
  return f->len >= rest && (!padded || f->payload[0] + rest <= f->len);
}

/* The stream of a frame, if both have it open and neither has ended it itself. */
static stream *live(diff *d, const frame *f) {
  stream *st = f->id && sound(f) ? stream_find(d, f->id) : NULL;
  if (!st || st->reset || st->aborted) return NULL;
  for (int i = 0; i < SIDES; i++)
    if (!st->of[i].h2 || st->of[i].reset >= 0) return NULL;
  return st;
}

static size_t copy(const frame *f, uint8_t *to) {
  memcpy(to, f->payload - HEAD, HEAD + f->len);
  return HEAD + f->len;
}

/* Is this parameter one that no endpoint may send? */
static bool is_bad(const diff *d, const uint8_t *p) {
  uint32_t value = read32(p + 2);
  if (p[0]) return false;
  switch (p[1]) {
  case NGHTTP2_SETTINGS_ENABLE_PUSH:
    return value > (d->role == H2_CLIENT ? 0 : 1);
  case NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE:
    return value > INT32_MAX;
  case NGHTTP2_SETTINGS_MAX_FRAME_SIZE:
    return value < 16384 || value > (1 << 24) - 1;
  case 8:
  case 9:
    return value > 1;
  default:
    return false;
  }
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
  return sound(f) && f->id && f->len >= at + 5 && (read32(f->payload + at) & INT32_MAX) == f->id;
}

static size_t in_few_pieces(diff *d, const frame *f, uint8_t *to);

static size_t on_nothing(diff *d, const frame *f, uint8_t *to) {
  if (f->type == F_HEADERS) return in_few_pieces(d, f, to);
  size_t len = copy(f, to);
  memset(to + HEAD, 0, 4);
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
  if (!f->len) return false; /* needs no window */
  return f->type == F_DATA && st && !st->over && (int64_t)f->len > peer_window(d, st, false) &&
         65535 + (int64_t)d->sides[OURS].granted - (int64_t)d->data >= (int64_t)f->len &&
         65535 + (int64_t)d->sides[ORACLE].granted - (int64_t)d->data >= (int64_t)f->len;
}

static bool beyond_length(diff *d, const frame *f) {
  const stream *st = live(d, f);
  if (f->type != F_DATA || !st || st->over || st->length < 0) return false;
  size_t payload = f->flags & PADDED ? f->len - 1 - f->payload[0] : f->len;
  return st->of[OURS].received + payload > (uint64_t)st->length;
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
  if (f->len > 6 * MOST_SETTINGS) return false; /* for which it is refused before */
  for (size_t at = 0; at < f->len; at += 6) {
    const uint8_t *p = f->payload + at;
    if (is_bad(d, p)) return false; /* and comes first */
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

static bool is_extension(const uint8_t *p) {
  return !p[0] && (p[1] == 8 || p[1] == 9);
}

/* nghttp2 looks only at the last one of a name, and at settings of RFC 8441 and RFC
 * 9218. */
static bool has_other_settings(diff *d, const frame *f) {
  unsigned bad = 0;
  if (f->type != F_SETTINGS || f->len % 6 || f->len > 32 * 6 || f->flags & ACK) return false;
  for (size_t at = 0; at < f->len; at += 6) {
    if (is_bad(d, f->payload + at)) bad++;
    else if (is_extension(f->payload + at)) return true;
  }
  return bad && f->len > 6;
}

/* Without the extensions; or the first bad one alone. */
static size_t plain_settings(diff *d, const frame *f, uint8_t *to) {
  size_t len = copy(f, to);
  for (size_t at = HEAD; at < len; at += 6) {
    if (is_bad(d, to + at)) {
      memmove(to + HEAD, to + at, 6);
      to[0] = to[1] = 0;
      to[2] = 6;
      return HEAD + 6;
    }
    if (is_extension(to + at)) to[at] = 0x77;
  }
  return len;
}

/* ---- streams ---- */

static bool push(diff *d, const frame *f) {
  (void)d;
  return f->type == F_PUSH;
}

/* How many streams the peer has open, as it must know. */
static unsigned open_streams(const diff *d) {
  unsigned n = 0;
  for (size_t i = 0; i < d->count; i++) n += d->streams[i].of[ORACLE].h2 != NULL;
  return n;
}

static bool precedes_response(diff *d, const frame *f) {
  const stream *st = live(d, f);
  return f->type == F_DATA && d->role == H2_CLIENT && st && !st->of[OURS].final && !st->over;
}

static bool is_one_too_many(diff *d, const frame *f) {
  return sound(f) && f->type == F_HEADERS && d->role == H2_SERVER && f->id % 2 &&
         f->id > d->highest_id && d->acked && open_streams(d) >= d->config.max_streams &&
         f->complete && !content_too_large(d);
}

static bool is_damaged(const diff *d) {
  return d->content.broken || d->content.updates > 2;
}

static bool beyond_limit(diff *d, const frame *f) {
  return !d->ended && is_one_too_many(d, f) && !is_damaged(d);
}

static bool beyond_limit_damaged(diff *d, const frame *f) {
  return is_one_too_many(d, f) && is_damaged(d) && !d->content.long_string;
}

static bool beyond_limit_long(diff *d, const frame *f) {
  return is_one_too_many(d, f) && is_damaged(d) && d->content.long_string;
}

/* After the last GOAWAY it is told nothing. */
static bool beyond_limit_late(diff *d, const frame *f) {
  return d->ended && is_one_too_many(d, f) && !is_damaged(d);
}

static bool names_nothing(diff *d, const frame *f) {
  return f->type == F_GOAWAY && d->role == H2_SERVER && !f->id && f->len >= 8 &&
         read32(f->payload) & INT32_MAX;
}

static size_t names_none(diff *d, const frame *f, uint8_t *to) {
  (void)d;
  size_t len = copy(f, to);
  memset(to + HEAD, 0, 4);
  return len;
}

/* ---- header blocks ---- */

#define ORACLE_CONTINUATIONS 8

static bool many_pieces(diff *d, const frame *f) {
  (void)d;
  return f->type == F_HEADERS && f->pieces > ORACLE_CONTINUATIONS;
}

/* The same block in HEADERS that depend on nothing and few CONTINUATION. */
static size_t in_few_pieces(diff *d, const frame *f, uint8_t *to) {
  uint8_t *p = to;
  size_t at = 0;
  (void)d;
  for (unsigned i = 0; at < f->block_len || !i; i++) {
    size_t n = f->block_len - at < 16384 ? f->block_len - at : 16384;
    bool last = f->complete && at + n == f->block_len;
    p[0] = 0;
    p[1] = (uint8_t)(n >> 8);
    p[2] = (uint8_t)n;
    p[3] = i ? F_CONTINUATION : F_HEADERS;
    p[4] = (uint8_t)((i ? 0 : f->flags & END_STREAM) | (last ? END_HEADERS : 0));
    memcpy(p + 5, f->payload - 4, 4);
    if (n) memcpy(p + HEAD, f->block + at, n);
    p += HEAD + n;
    at += n;
  }
  return (size_t)(p - to);
}

/* HEADERS whose block is decoded, whatever it is for. */
static bool is_decoded(diff *d, const frame *f) {
  const stream *st = f->id ? stream_find(d, f->id) : NULL;
  return f->type == F_HEADERS && sound(f) && f->id % 2 && (st || d->role == H2_SERVER) &&
         !(st && st->over && st->of[ORACLE].h2);
}

static bool is_mostly_empty(diff *d, const frame *f) {
  return is_decoded(d, f) && f->empty > 8 && !content_too_large(d) && !d->content.broken;
}

static bool is_empty_and_bad(diff *d, const frame *f) {
  return is_decoded(d, f) && f->empty > 8 && !is_mostly_empty(d, f);
}

static bool updates_thrice(diff *d, const frame *f) {
  return is_decoded(d, f) && d->content.updates > 2;
}

/* In trailers. */
static bool says_host_or_length(diff *d, const frame *f) {
  const stream *st = f->id ? stream_find(d, f->id) : NULL;
  return f->type == F_HEADERS && f->complete && st && st->of[OURS].final &&
         (d->content.hosts || d->content.lengths) && live(d, f) && !st->over &&
         !content_too_large(d) && !d->content.broken;
}

static bool says_too_much(diff *d, const frame *f) {
  const stream *st = f->id ? stream_find(d, f->id) : NULL;
  return f->type == F_HEADERS && st && st->of[OURS].final &&
         (d->content.hosts || d->content.lengths) &&
         (content_too_large(d) || d->content.broken || !f->complete);
}

static bool has_no_pad_length(diff *d, const frame *f) {
  (void)d;
  if (!(f->flags & PADDED)) return false;
  if (f->type == F_DATA) return !f->len;
  return f->type == F_HEADERS && f->id && f->len < (f->flags & PRIORITY ? 6 : 1);
}

static bool pads_too_much(diff *d, const frame *f) {
  const stream *st = f->id ? stream_find(d, f->id) : NULL;
  return f->type == F_DATA && !(st && st->over && st->of[ORACLE].h2) && f->len && !sound(f) &&
         (int64_t)f->len <= 65535 + (int64_t)d->sides[OURS].granted - (int64_t)d->data;
}

static bool has_low_status(diff *d, const frame *f) {
  const stream *st = live(d, f);
  return f->type == F_HEADERS && d->role == H2_CLIENT && st && !st->over &&
         d->content.status >= 0 && d->content.status < 100;
}

static bool is_204_with_length(diff *d, const frame *f) {
  const stream *st = live(d, f);
  return f->type == F_HEADERS && d->role == H2_CLIENT && st && !st->over && !st->of[OURS].final &&
         d->content.status == 204 && d->content.lengths && !d->content.broken &&
         !content_too_large(d);
}

static bool is_204_damaged(diff *d, const frame *f) {
  return f->type == F_HEADERS && d->content.status == 204 && d->content.lengths &&
         (d->content.broken || !f->complete || content_too_large(d));
}

static bool is_short_on_none(diff *d, const frame *f) {
  (void)d;
  if (f->id) return false;
  return (f->type == F_PRIORITY && f->len != 5) || (f->type == F_HEADERS && !sound(f));
}

static bool is_large_early(diff *d, const frame *f) {
  return !d->acked && f->len > 16384 && f->len <= d->config.max_frame;
}

static bool precedes_settings(diff *d, const frame *f) {
  return d->settings_due && f->type == F_RST;
}

/* ---- the table ---- */

static const known table[] = {
    {"a frame that is larger than the default, before the peer has acknowledged that it may be",
     "RFC 9113 6.5.3: upon receiving a SETTINGS frame with the ACK flag set, the sender of the "
     "altered settings can rely on the values ... having been applied: before, either is right",
     DROP, 0, is_large_early, NULL},
    {"more than 8 empty CONTINUATION frames",
     "RFC 9113 10.5: ... an endpoint that does not monitor use of these features exposes itself",
     JUDGE, H2_ENHANCE_YOUR_CALM, is_mostly_empty, NULL},
    {"the same with another fault", "either is judged right", DROP, 0, is_empty_and_bad, NULL},
    {"SETTINGS_INITIAL_WINDOW_SIZE overflows a window",
     "RFC 9113 6.9.2: ... MUST treat as a connection error of type FLOW_CONTROL_ERROR", JUDGE,
     H2_FLOW_CONTROL_ERROR, overflows_by_setting, NULL},
    {"PUSH_PROMISE",
     "RFC 9113 8.4: ... MUST treat the receipt of a PUSH_PROMISE frame as a connection error of "
     "type PROTOCOL_ERROR: a server, and a client that has disabled it",
     JUDGE, H2_PROTOCOL_ERROR, push, NULL},
    {"a stream beyond SETTINGS_MAX_CONCURRENT_STREAMS",
     "RFC 9113 5.1.2: ... MUST treat this as a stream error of type PROTOCOL_ERROR or "
     "REFUSED_STREAM",
     JUDGE_STREAM, H2_REFUSED_STREAM, beyond_limit, NULL},
    {"a stream beyond the limit with a damaged block",
     "RFC 9113 4.3: a decompression failure ... a connection error of type COMPRESSION_ERROR; the "
     "oracle does not get that far",
     JUDGE, H2_COMPRESSION_ERROR, beyond_limit_damaged, NULL},
    {"the same, with a string that may be beyond the hard limit", "either is judged right", DROP, 0,
     beyond_limit_long, NULL},
    {"three updates of the table's size",
     "RFC 7541 4.2: ... resulting in at most two dynamic table size updates", JUDGE,
     H2_COMPRESSION_ERROR, updates_thrice, NULL},
    {"a stream beyond the limit after GOAWAY",
     "RFC 9113 6.8: ... can discard frames on streams initiated by the receiver with identifiers "
     "higher than the identified last stream",
     JUDGE_NOTHING, 0, beyond_limit_late, NULL},
    {"trailers name a host or a length",
     "RFC 9110 6.5.1: such a field cannot be processed outside of the header section",
     JUDGE_NOTHING, H2_PROTOCOL_ERROR, says_host_or_length, NULL},
    {"the same in a block that ends the connection", "the oracle tells less of it", DROP, 0,
     says_too_much, NULL},
    {"PADDED without room for a pad length",
     "RFC 9113 4.2: FRAME_SIZE_ERROR if a frame ... is too small to contain mandatory frame data",
     JUDGE, H2_FRAME_SIZE_ERROR, has_no_pad_length, NULL},
    {"DATA has more padding than payload, which the oracle does not see on a closed stream",
     "RFC 9113 6.1: ... the length of the frame payload or greater, ... a connection error of type "
     "PROTOCOL_ERROR",
     JUDGE, H2_PROTOCOL_ERROR, pads_too_much, NULL},
    {"PRIORITY or HEADERS on stream 0 of a wrong length",
     "RFC 9113 6.2, 6.3: ... on stream 0x00 ... a connection error of type PROTOCOL_ERROR", JUDGE,
     H2_PROTOCOL_ERROR, is_short_on_none, NULL},
    {"204 with a content-length, which nghttp2 hides if it is 0 and else refuses",
     "RFC 9113 8.1.1: a response that is defined as never having content ... can have a non-zero "
     "Content-Length header field",
     JUDGE_NOTHING, H2_PROTOCOL_ERROR, is_204_with_length, NULL},
    {"the same in a block that ends the connection", "the oracle tells less of it", DROP, 0,
     is_204_damaged, NULL},
    {"a status below 100", "RFC 9110 15: values outside the range 100..599 are invalid", CALL_RESET,
     H2_PROTOCOL_ERROR, has_low_status, NULL},
    {"RST_STREAM before SETTINGS, which the oracle passes over as of an idle stream",
     "RFC 9113 3.4: ... invalid connection preface as a connection error of type PROTOCOL_ERROR",
     JUDGE, H2_PROTOCOL_ERROR, precedes_settings, NULL},
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
    {"DATA beyond content-length",
     "RFC 9113 8.1.1: malformed if ... content-length does not equal the sum of the DATA frame "
     "payload lengths; by the head of the frame, before any byte of it is told",
     CALL_RESET, H2_PROTOCOL_ERROR, beyond_length, NULL},
    {"DATA between the windows of both",
     "RFC 9113 6.9.1: when to send WINDOW_UPDATE is the receiver's choice", DROP, 0,
     between_windows, NULL},
    {"settings of extensions, and settings that come twice",
     "RFC 9113 6.5.2: an endpoint that receives an unknown or unsupported identifier MUST ignore "
     "that setting; 6.5.3: values MUST be processed in the order they appear",
     OTHER_FRAME, 0, has_other_settings, plain_settings},
    {"GOAWAY of a client names a stream",
     "RFC 9113 6.8: the last stream id is of those that the receiver opened, and a server opens "
     "none; what else it may be is not said",
     OTHER_FRAME, 0, names_nothing, names_none},
    {"more than 8 CONTINUATION frames", "RFC 9113 6.10: any number of them can be sent",
     OTHER_FRAME, 0, many_pieces, in_few_pieces},
    {"DATA before the response",
     "RFC 9113 8.1: a response is HEADERS, then DATA; 8.1.1: malformed, a stream error of type "
     "PROTOCOL_ERROR",
     CALL_RESET, H2_PROTOCOL_ERROR, precedes_response, NULL},
};

const known *known_for(diff *d, const frame *f) {
  if (f->have < f->len || d->in_block) return NULL;
  if (d->settings_due && f->type != F_RST && f->type != F_SETTINGS) return NULL;
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
    if (table[i].applies(d, f)) return &table[i];
  return NULL;
}

bool known_drops(const known *k) {
  return k->treatment == DROP;
}

bool known_ends(const known *k) {
  return k->treatment >= JUDGE && k->treatment != DROP;
}

static void judge(diff *d, const known *k, const frame *f) {
  side *s = &d->sides[OURS];
  const stream *st = f->id ? stream_find(d, f->id) : NULL;
  while (side_take(s, SIZE_MAX) && !d->why) continue;
  d->stop = true;
  bool reset = st && st->of[OURS].reset >= 0 && (!k->code || st->of[OURS].reset != k->code);
  if (k->treatment == JUDGE_NOTHING && (s->rc || reset))
    differ(d, "%s: ours returned %d", k->name, s->rc);
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
  side_recv(&d->sides[OURS], bytes, len);
  switch (k->treatment) {
  case OTHER_FRAME:
    side_recv(oracle, other, k->other(d, f, other));
    break;
  case CALL_RESET:
  case CALL_ONLY:
    if (oracle->face->reset(oracle->s, st->of[ORACLE].h2, k->code))
      differ(d, "the oracle does not reset");
    if (k->treatment == CALL_RESET && f->type == F_HEADERS)
      side_recv(oracle, other, in_few_pieces(d, f, other));
    else if (k->treatment == CALL_RESET) side_recv(oracle, bytes, len);
    break;
  case JUDGE:
  case JUDGE_STREAM:
  case JUDGE_NOTHING:
    side_recv(oracle, bytes, len);
    judge(d, k, f);
    break;
  case DROP:
    break;
  }
}
