/* One implementation under comparison: its events, its output, its memory. */
#include "base/cells.h"
#include "diff/inside.h"

#include <caw/status.h>
#include <stdlib.h>
#include <string.h>

/* Under the address sanitizer each piece of payload has its own life. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OWN_PAYLOAD
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define OWN_PAYLOAD
#endif

/* ---- sums ---- */

uint64_t mix(uint64_t sum, uint64_t what) {
  sum = (sum ^ what) * 0x9e3779b97f4a7c15u;
  return sum ^ sum >> 29;
}

uint64_t mix_bytes(uint64_t sum, const void *data, size_t len) {
  const uint8_t *p = data;
  sum = mix(sum, len);
  for (; len >= 8; p += 8, len -= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    sum = mix(sum, word);
  }
  uint64_t word = 0;
  if (len) memcpy(&word, p, len);
  return mix(sum, word);
}

/* What does not fit is folded into the last one. */
void trail_add(trail *t, uint64_t what) {
  if (t->len < TRAIL) t->seen[t->len++] = what;
  else t->seen[TRAIL - 1] = mix(t->seen[TRAIL - 1], what);
}

/* ---- payload that we send ---- */

#define PATTERN ((size_t)1 << 16)

static uint8_t pattern[2 * PATTERN];

static void make_pattern(void) {
  if (pattern[0]) return;
  uint64_t sum = 1;
  for (size_t i = 0; i < PATTERN; i++) {
    sum = mix(sum, i);
    pattern[i] = pattern[PATTERN + i] = (uint8_t)(sum >> 32 | 1);
  }
}

static const uint8_t *payload_at(uint32_t id, uint64_t at) {
  return pattern + ((id * 1031 + at) & (PATTERN - 1));
}

static void release(void *owner) {
#ifdef OWN_PAYLOAD
  side **of = owner;
  (*of)->slices--;
  free(owner);
#else
  ((side *)owner)->slices--;
#endif
}

slice side_payload(side *s, uint32_t id, uint64_t at, size_t len) {
  s->slices++;
#ifdef OWN_PAYLOAD
  side **owner = malloc(sizeof(side *) + len);
  if (!owner) abort();
  *owner = s;
  if (len) memcpy(owner + 1, payload_at(id, at), len);
  return (slice){(uint8_t *)(owner + 1), len, release, owner};
#else
  return (slice){payload_at(id, at), len, release, s};
#endif
}

bool payload_is(uint32_t id, uint64_t at, const uint8_t *data, size_t len) {
  while (len) {
    size_t n = len < PATTERN ? len : PATTERN;
    if (memcmp(payload_at(id, at), data, n) != 0) return false;
    data += n;
    at += n;
    len -= n;
  }
  return true;
}

/* ---- events ---- */

static const char *name_of(const side *s) {
  return s->which == OURS ? "  ours" : "oracle";
}

static void note(half *h, uint64_t what, uint64_t more) {
  trail_add(&h->events, mix(mix(mix(what, more), h->received), h->sum));
}

/* Nothing may be told of a stream before on_stream or after on_close. */
static half *half_of(void *ctx, void *user, const char *event) {
  side *s = ctx;
  half *h = user;
  if (h->side != s || !h->told || h->closed)
    differ(s->d, "%s tells %s of a stream that is not open", name_of(s), event);
  return h;
}

static void *on_stream(void *ctx, h2_stream *st) {
  side *s = ctx;
  uint32_t id = s->face->stream_id(st);
  stream *to = stream_for(s->d, id);
  half *h = &to->of[s->which];
  TELL(s->d, "%s: stream %u\n", name_of(s), id);
  if (h->told) differ(s->d, "%s tells stream %u twice", name_of(s), id);
  if (to == &s->d->streams[STREAMS] || (s->d->refuse && id / 2 % 4 == s->d->refuse)) return NULL;
  h->told = true;
  h->h2 = st;
  note(h, 'O', 0);
  return h;
}

static void keep_lasting(side *s, caw_str text) {
  if (s->lasting_len == LASTING) return;
  s->lasting[s->lasting_len].text = text;
  s->lasting[s->lasting_len++].sum = mix_bytes(0, text.data, text.len);
}

static void on_field(void *ctx, void *user, const h2_field *f) {
  side *s = ctx;
  half *h = half_of(ctx, user, "a field");
  TELL(s->d, "%s: field %u %.*s: %.*s\n", name_of(s), h->stream->id, CAW_STR_ARG(f->name),
       f->value.len > 60 ? 60 : (int)f->value.len, f->value.data);
  uint64_t sum = mix_bytes('F', f->name.data, f->name.len);
  note(h, mix_bytes(sum, f->value.data, f->value.len), 0);
  if (f->token != h2_token_of(f->name)) differ(s->d, "%s gives a wrong token", name_of(s));
  if (f->flags & H2_FIELD_LASTING) {
    keep_lasting(s, f->name);
    keep_lasting(s, f->value);
  }
}

static void on_headers(void *ctx, void *user, unsigned flags) {
  side *s = ctx;
  half *h = half_of(ctx, user, "headers");
  TELL(s->d, "%s: headers %u flags %u\n", name_of(s), h->stream->id, flags);
  note(h, 'H', flags);
  h->final |= !(flags & H2_HEADERS_INFORMATIONAL);
  if (s->which == ORACLE) diff_total.blocks++;
}

static void on_data(void *ctx, void *user, const uint8_t *data, size_t len) {
  side *s = ctx;
  half *h = half_of(ctx, user, "data");
  TELL(s->d, "%s: data %u %zu\n", name_of(s), h->stream->id, len);
  if (!len) differ(s->d, "%s tells empty data", name_of(s));
  if (s->which == ORACLE) diff_total.data += len;
  /* The same however it is cut. */
  for (size_t i = 0; i < len; i++) h->sum += data[i] * (h->received + i + 1);
  h->received += len;
}

static void on_end(void *ctx, void *user) {
  side *s = ctx;
  half *h = half_of(ctx, user, "an end");
  TELL(s->d, "%s: end %u\n", name_of(s), h->stream->id);
  if (h->ended) differ(s->d, "%s tells the end of %u twice", name_of(s), h->stream->id);
  h->ended = true;
  note(h, 'E', 0);
}

static void on_sent(void *ctx, void *user, size_t len) {
  side *s = ctx;
  half *h = half_of(ctx, user, "what was sent");
  TELL(s->d, "%s: sent %u %zu\n", name_of(s), h->stream->id, len);
  h->framed += len;
}

static void on_close(void *ctx, void *user, uint32_t code, bool remote) {
  side *s = ctx;
  half *h = half_of(ctx, user, "a close");
  TELL(s->d, "%s: close %u code %u%s\n", name_of(s), h->stream->id, code, remote ? " remote" : "");
  h->closed = true;
  h->h2 = NULL;
  note(h, 'C', (uint64_t)code << 1 | remote);
  if (s->which == ORACLE && !code) diff_total.closes++;
}

static void on_settings(void *ctx) {
  side *s = ctx;
  TELL(s->d, "%s: settings\n", name_of(s));
  trail_add(&s->events, 'S');
}

static void on_goaway(void *ctx, uint32_t last_id, uint32_t code, caw_str debug) {
  side *s = ctx;
  TELL(s->d, "%s: goaway %u code %u\n", name_of(s), last_id, code);
  if (s->d->role == H2_SERVER) last_id = 0; /* see known.c */
  trail_add(&s->events, mix_bytes(mix(last_id, code), debug.data, debug.len));
}

static void on_ping_ack(void *ctx, uint64_t opaque) {
  side *s = ctx;
  TELL(s->d, "%s: ping ack\n", name_of(s));
  trail_add(&s->events, mix('P', opaque));
}

static char *on_room(void *ctx, void *user, size_t len) {
  side *s = ctx;
  half_of(ctx, user, "room");
  if (len > ROOM - s->room_len) return NULL;
  s->room_len += len;
  return s->room + s->room_len - len;
}

/* ---- life ---- */

/* Kept from script to script. */
static struct {
  cells cells;
  uint8_t wire[WIRE];
  char room[ROOM];
} kept[SIDES];

bool side_start(side *s, diff *d, int which, const h2_face *face) {
  static const h2_events plain = {on_stream, on_field,    on_headers, on_data,     on_end, on_sent,
                                  on_close,  on_settings, on_goaway,  on_ping_ack, NULL};
  static const h2_events with_room = {on_stream, on_field,    on_headers, on_data,
                                      on_end,    on_sent,     on_close,   on_settings,
                                      on_goaway, on_ping_ack, on_room};
  make_pattern();
  s->d = d;
  s->which = which;
  s->face = face;
  s->rc = 0;
  s->events.len = s->settings.len = s->ping_acks.len = s->pings.len = s->goaways.len = 0;
  s->began = false;
  s->slices = 0;
  s->wire = kept[which].wire;
  s->wire_len = 0;
  s->spoke = d->role == H2_SERVER;
  s->block_of = 0;
  s->granted = s->written = 0;
  s->settings_acked = s->probes = 0;
  s->grown = false;
  s->goaway = -1;
  s->lasting_len = s->room_len = 0;
  s->room = kept[which].room;
  h2_config config = d->config;
  config.cells = &kept[which].cells;
  if (nghttp2_hd_inflate_new(&s->inflater)) return false;
  if (face->session_new(&s->s, d->role, &config, d->with_room ? &with_room : &plain, s)) {
    nghttp2_hd_inflate_del(s->inflater);
    return false;
  }
  return true;
}

static void check_lasting(const side *s) {
  for (size_t i = 0; i < s->lasting_len; i++) {
    caw_str text = s->lasting[i].text;
    if (mix_bytes(0, text.data, text.len) != s->lasting[i].sum)
      differ(s->d, "%s: a lasting field changed", name_of(s));
  }
}

void side_stop(side *s) {
  check_lasting(s);
  s->face->session_free(s->s);
  nghttp2_hd_inflate_del(s->inflater);
  if (s->slices) differ(s->d, "%s: slices were not released", name_of(s));
}

/* ---- bytes ---- */

void side_recv(side *s, const uint8_t *data, size_t len) {
  int rc = s->face->recv(s->s, data, len);
  if (s->rc && rc != s->rc) differ(s->d, "%s: h2_recv returned %d after %d", name_of(s), rc, s->rc);
  if (rc && !s->rc)
    TELL(s->d, "%s: h2_recv %d %s\n", name_of(s), rc,
         s->face == &face_ours ? h2_failure(s->s) : "");
  if (rc && rc != CAW_EPROTO) differ(s->d, "%s: h2_recv returned %d", name_of(s), rc);
  s->rc = rc;
}

size_t side_take(side *s, size_t most) {
  struct iovec parts[16];
  bool wanted = s->face->want_output(s->s);
  int n = s->face->output(s->s, parts, 16);
  if (n < 0) {
    differ(s->d, "%s: h2_output returned %d", name_of(s), n);
    return 0;
  }
  if (n && !wanted) differ(s->d, "%s: output, but h2_want_output said no", name_of(s));
  size_t taken = 0;
  if (most > WIRE - s->wire_len) most = WIRE - s->wire_len;
  for (int i = 0; i < n && taken < most; i++) {
    size_t k = parts[i].iov_len < most - taken ? parts[i].iov_len : most - taken;
    memcpy(s->wire + s->wire_len, parts[i].iov_base, k);
    s->wire_len += k;
    taken += k;
  }
  s->face->written(s->s, taken);
  wire_parse(s);
  return taken;
}
