/* What an implementation writes, read as frames: each checked against what the
 * RFC demands of a sender, and noted for the comparison. */
#include "diff/inside.h"

#include <string.h>

static const char *name_of(const side *s) {
  return s->which == OURS ? "ours" : "oracle";
}

static uint32_t read32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* How much DATA we may send on a stream in all (RFC 9113 section 6.9). */
int64_t stream_allowed(const diff *d, const stream *st) {
  return d->initial_window + (int64_t)st->credit;
}

int64_t conn_allowed(const diff *d) {
  return 65535 + (int64_t)d->credit;
}

static void note(half *h, uint64_t what, uint64_t more) {
  trail_add(&h->wire, mix(mix(what, more), h->written));
}

/* Nothing follows the end of our side, but for RST_STREAM. */
static void check_sending(const side *s, const half *h, const char *what) {
  if (h->done || h->reset >= 0)
    differ(s->d, "%s wrote %s on %u, which it had ended", name_of(s), what, h->stream->id);
}

static void note_end(half *h) {
  h->done = true;
  note(h, 'E', 0);
}

static void read_data(side *s, const frame *f) {
  stream *st = stream_for(s->d, f->id);
  half *h = &st->of[s->which];
  check_sending(s, h, "DATA");
  if (!h->opened) differ(s->d, "%s wrote DATA on %u before HEADERS", name_of(s), f->id);
  if (f->flags & PADDED) differ(s->d, "%s padded DATA", name_of(s));
  if (!payload_is(f->id, h->written, f->payload, f->len))
    differ(s->d, "%s wrote other payload than it was given", name_of(s));
  h->written += f->len;
  s->written += f->len;
  int64_t allowed = stream_allowed(s->d, st);
  if (allowed < st->allowed_before) allowed = st->allowed_before;
  if (f->len && ((int64_t)h->written > allowed || (int64_t)s->written > conn_allowed(s->d)))
    differ(s->d, "%s wrote beyond the window of %u", name_of(s), f->id);
  if (h->written > h->framed) differ(s->d, "%s wrote what on_sent did not tell", name_of(s));
  if (f->flags & END_STREAM) note_end(h);
}

static void read_block(side *s, const uint8_t *data, size_t len, bool last) {
  for (;;) {
    nghttp2_nv nv;
    int flags = 0;
    ssize_t n = nghttp2_hd_inflate_hd2(s->inflater, &nv, &flags, data, len, last);
    if (n < 0) {
      differ(s->d, "%s wrote a header block that does not decode", name_of(s));
      return;
    }
    data += n;
    len -= (size_t)n;
    if (flags & NGHTTP2_HD_INFLATE_EMIT) {
      TELL(s->d, "        %.*s: %.*s\n", (int)nv.namelen, nv.name,
           nv.valuelen > 60 ? 60 : (int)nv.valuelen, nv.value);
      s->block_sum = mix_bytes(s->block_sum, nv.name, nv.namelen);
      s->block_sum = mix_bytes(s->block_sum, nv.value, nv.valuelen);
    }
    if (flags & NGHTTP2_HD_INFLATE_FINAL) break;
    if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && !len) return;
  }
  nghttp2_hd_inflate_end_headers(s->inflater);
}

static void end_block(side *s) {
  half *h = &stream_for(s->d, s->block_of)->of[s->which];
  check_sending(s, h, "HEADERS");
  h->opened = true;
  note(h, 'H', s->block_sum);
  if (s->block_ends) note_end(h);
  s->block_of = 0;
}

static void read_headers(side *s, const frame *f) {
  if (f->type == F_HEADERS) {
    if (f->flags & (PADDED | PRIORITY)) differ(s->d, "%s wrote odd HEADERS", name_of(s));
    s->block_of = f->id;
    s->block_ends = f->flags & END_STREAM;
    s->block_sum = 0;
  } else if (s->block_of != f->id) {
    differ(s->d, "%s wrote a CONTINUATION out of place", name_of(s));
    return;
  }
  read_block(s, f->payload, f->len, f->flags & END_HEADERS);
  if (f->flags & END_HEADERS) end_block(s);
}

static void read_reset(side *s, const frame *f) {
  half *h = &stream_for(s->d, f->id)->of[s->which];
  if (f->len != 4) {
    differ(s->d, "%s wrote a bad RST_STREAM", name_of(s));
    return;
  }
  if (h->reset >= 0) differ(s->d, "%s reset %u twice", name_of(s), f->id);
  if (s->d->role == H2_CLIENT && f->id % 2 && !h->opened)
    differ(s->d, "%s reset the idle stream %u", name_of(s), f->id);
  h->reset = read32(f->payload);
  note(h, 'R', (uint64_t)h->reset);
}

/* With our ack the peer's table sizes hold for what we encode from here on. */
static void read_ack(side *s) {
  trail_add(&s->settings, 'A');
  if (s->settings_acked == s->d->settings_sent) {
    differ(s->d, "%s acknowledged SETTINGS that nobody sent", name_of(s));
    return;
  }
  const table_size *t = &s->d->tables[s->settings_acked++ % 64];
  if (!t->any) return;
  if (t->least < t->last) nghttp2_hd_inflate_change_table_size(s->inflater, t->least);
  nghttp2_hd_inflate_change_table_size(s->inflater, t->last);
}

static void read_settings(side *s, const frame *f) {
  if (f->id || f->len % 6 || (f->flags & ACK && f->len)) {
    differ(s->d, "%s wrote bad SETTINGS", name_of(s));
    return;
  }
  if (f->flags & ACK) {
    read_ack(s);
    return;
  }
  uint64_t sum = 0; /* the order of entries says nothing */
  for (size_t at = 0; at < f->len; at += 6) sum += mix_bytes('S', f->payload + at, 6);
  trail_add(&s->settings, sum);
  s->began = true;
}

static void read_window(side *s, const frame *f) {
  uint32_t n = f->len == 4 ? read32(f->payload) : 0;
  if (!n || n > INT32_MAX) {
    differ(s->d, "%s wrote a bad WINDOW_UPDATE", name_of(s));
    return;
  }
  if (!f->id) {
    s->granted += n;
    return;
  }
  half *h = &stream_for(s->d, f->id)->of[s->which];
  if (h->reset >= 0) differ(s->d, "%s wrote WINDOW_UPDATE after RST_STREAM", name_of(s));
  h->granted += n;
}

static void read_goaway(side *s, const frame *f) {
  if (f->id || f->len < 8) {
    differ(s->d, "%s wrote a bad GOAWAY", name_of(s));
    return;
  }
  /* nghttp2 counts streams that it refused. */
  uint32_t last = read32(f->payload), least = s->face->last_id(s->s);
  if (s->which == OURS ? last != least && last != INT32_MAX : last < least)
    differ(s->d, "%s wrote GOAWAY with a last id of %u", name_of(s), last);
  s->goaway = read32(f->payload + 4);
  trail_add(&s->goaways, mix('G', (uint64_t)s->goaway));
}

/* src/h2 measures how fast the peer's payload comes with PINGs of its own. */
static bool is_probe(side *s, const frame *f) {
  if (s->which != OURS || f->flags & ACK || memcmp(f->payload, &(uint64_t){PROBE}, 8) != 0)
    return false;
  if (s->probes++) differ(s->d, "ours measures twice at once");
  return true;
}

static void read_frame(side *s, const frame *f) {
  static const char *const names[] = {"DATA", "HEADERS", "PRIORITY", "RST",    "SETTINGS",
                                      "PUSH", "PING",    "GOAWAY",   "WINDOW", "CONTINUATION"};
  TELL(s->d, "%6s writes %s %u flags %u len %zu", name_of(s),
       f->type <= F_CONTINUATION ? names[f->type] : "?", f->id, f->flags, f->len);
  if (f->type == F_RST || f->type == F_WINDOW) TELL(s->d, " %u", read32(f->payload));
  if (f->type == F_GOAWAY) TELL(s->d, " %u %u", read32(f->payload), read32(f->payload + 4));
  TELL(s->d, "\n");
  if (f->len > s->d->max_frame) differ(s->d, "%s wrote a frame too large", name_of(s));
  if (!s->began && (f->type != F_SETTINGS || f->flags & ACK))
    differ(s->d, "%s did not begin with SETTINGS", name_of(s));
  if (s->block_of && f->type != F_CONTINUATION)
    differ(s->d, "%s interrupted a header block", name_of(s));
  switch (f->type) {
  case F_DATA:
    read_data(s, f);
    break;
  case F_HEADERS:
  case F_CONTINUATION:
    read_headers(s, f);
    break;
  case F_RST:
    read_reset(s, f);
    break;
  case F_SETTINGS:
    read_settings(s, f);
    break;
  case F_PING:
    if (f->id || f->len != 8) differ(s->d, "%s wrote a bad PING", name_of(s));
    else if (!is_probe(s, f))
      trail_add(f->flags & ACK ? &s->ping_acks : &s->pings, mix_bytes(0, f->payload, 8));
    break;
  case F_GOAWAY:
    read_goaway(s, f);
    break;
  case F_WINDOW:
    read_window(s, f);
    break;
  default:
    differ(s->d, "%s wrote a frame of type %u", name_of(s), f->type);
  }
}

void wire_parse(side *s) {
  const uint8_t *p = s->wire, *end = p + s->wire_len;
  if (!s->spoke) {
    if (s->wire_len < PREFACE) return;
    if (memcmp(p, NGHTTP2_CLIENT_MAGIC, PREFACE) != 0) differ(s->d, "%s: no preface", name_of(s));
    s->spoke = true;
    p += PREFACE;
  }
  while (end - p >= HEAD && !s->d->why) {
    frame f = {.len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2],
               .type = p[3],
               .flags = p[4],
               .id = read32(p + 5) & INT32_MAX,
               .payload = p + HEAD};
    if ((size_t)(end - p) - HEAD < f.len) break;
    read_frame(s, &f);
    p += HEAD + f.len;
  }
  s->wire_len = (size_t)(end - p);
  if (s->wire_len && p != s->wire) memmove(s->wire, p, s->wire_len);
}
