/*
 * Header blocks in: whose they are, their limits, their decoding and what their
 * fields make of a message. A block that nobody wants is decoded all the same,
 * for the compression state, and held to the same limits.
 */
#include "h2/session.h"

#include <caw/alloc.h>
#include <caw/status.h>

/* ---- Whose block it is ---- */

static int refuse(h2_session *s, uint32_t id) {
  /* Until the client knows of the limit it may well go beyond. */
  if (s->settings_acked && session_charge_noise(s)) return s->error;
  return send_induced_reset(s, id, H2_REFUSED_STREAM);
}

/* Server: the first HEADERS of a stream. */
static int open_stream(h2_session *s, uint32_t id) {
  s->highest_id = id;
  /* After the last GOAWAY nothing comes of it. */
  if (s->goaway_sent) return session_charge_noise(s);
  if (s->open >= s->config.max_streams) return refuse(s, id);
  h2_stream *st = stream_new(s, id);
  if (!st) return session_starve(s);
  st->user = s->events->on_stream(s->ctx, st);
  if (!st->user) {
    stream_drop(s, st);
    return refuse(s, id);
  }
  s->last_id = id;
  s->block.of = st;
  return 0;
}

static int find_stream(h2_session *s, uint32_t id) {
  h2_stream *st = stream_of(s, id);
  if (st) {
    if (st->remote_ended)
      return session_fail(s, H2_STREAM_CLOSED, "HEADERS on a stream that the peer has ended");
    s->block.of = st;
    return 0;
  }
  if (s->role == H2_SERVER) {
    if (id % 2 == 0) return session_fail(s, H2_PROTOCOL_ERROR, "HEADERS on a stream that is ours");
    return id > s->highest_id ? open_stream(s, id) : session_charge_noise(s);
  }
  if (id % 2 == 0 || id >= s->next_id)
    return session_fail(s, H2_PROTOCOL_ERROR, "HEADERS on a stream that is idle");
  return session_charge_noise(s);
}

/* Text of a field that is unpacked for the call it belongs to. */
static char *room_of(void *ctx, size_t len) {
  h2_session *s = ctx;
  return s->events->on_room(s->ctx, s->block.of->user, len);
}

/* Is what comes next of the block the owner's to keep? Not what is dropped, nor an
 * interim response: there may be any number of them before the call is over. */
static bool is_kept(const h2_session *s) {
  const in_block *b = &s->block;
  return b->of && !b->dropped && b->of->message.status / 100 != 1;
}

int block_begin(h2_session *s, const frame_head *h) {
  in_block *b = &s->block;
  b->of = NULL;
  b->id = h->id;
  if (++b->number == 0) b->number = 1;
  b->end_stream = h->flags & FLAG_END_STREAM;
  b->dropped = b->informational = false;
  b->fields = b->empty = 0;
  b->bytes = 0;
  hpack_decoder_begin(&s->decoder);
  return find_stream(s, h->id);
}

/* ---- Fields ---- */

static int too_large(h2_session *s) {
  return session_exceed(s, H2_LIMIT_HEADERS, "a header block is larger than the hard limit");
}

static int take_field(h2_session *s, const h2_field *f) {
  in_block *b = &s->block;
  const h2_config *c = &s->config;
  b->bytes += f->name.len + f->value.len + HPACK_ENTRY_COST;
  b->fields++;
  if (b->bytes > c->hard_header_bytes || b->fields > c->hard_header_fields) return too_large(s);
  h2_stream *st = b->of;
  if (!st) return 0;
  if (b->bytes > c->soft_header_bytes || b->fields > c->soft_header_fields) b->dropped = true;
  bool fine = message_field(&st->message, s->role, f);
  int rc = fine ? 0 : stream_fail(s, st, H2_PROTOCOL_ERROR);
  if (fine && !b->dropped) s->events->on_field(s->ctx, st->user, f);
  if (!is_kept(s)) s->decoder.room = NULL;
  return rc;
}

/* Decodes what is here of the block; *p is then where the part begins that could not
 * be used yet. */
static int decode(h2_session *s, const uint8_t **p, const uint8_t *end, bool last) {
  h2_field f;
  int rc = 0;
  s->decoder.room = s->events->on_room && is_kept(s) ? room_of : NULL;
  s->decoder.room_ctx = s;
  while (!rc) {
    switch (hpack_decode(&s->decoder, p, end, last, &f)) {
    case HPACK_FIELD:
      rc = take_field(s, &f);
      break;
    case HPACK_END:
    case HPACK_MORE:
      return 0;
    case HPACK_TOO_LONG:
      return too_large(s);
    case HPACK_NO_MEMORY:
      return session_starve(s);
    case HPACK_BAD:
    default:
      return session_fail(s, H2_COMPRESSION_ERROR, "a header block cannot be decoded");
    }
  }
  return rc;
}

/* Keeps bytes that are the begin of something. */
static int carry(h2_session *s, const uint8_t *data, size_t len) {
  in_block *b = &s->block;
  size_t need = b->carry_len + len;
  if (need > b->carry_room) {
    size_t room = b->carry_room ? b->carry_room : 64;
    while (room < need) room *= 2;
    uint8_t *bytes = cells_realloc(s->config.cells, b->carry, room);
    if (!bytes) return session_starve(s);
    b->carry = bytes;
    b->carry_room = (uint32_t)room;
  }
  memcpy(b->carry + b->carry_len, data, len);
  b->carry_len = (uint32_t)need;
  return 0;
}

int block_read(h2_session *s, const uint8_t *data, size_t len, bool last) {
  in_block *b = &s->block;
  const uint8_t *p = data, *end = data + len;
  if (b->carry_len) {
    if (carry(s, data, len)) return s->error;
    p = b->carry;
    end = p + b->carry_len;
  }
  const uint8_t *from = p;
  int rc = decode(s, &p, end, last);
  if (rc) return rc;
  size_t left = (size_t)(end - p);
  if (from == b->carry) {
    /* What stays, stays where it is: a long text may come octet by octet. */
    if (p != b->carry) memmove(b->carry, p, left);
    b->carry_len = (uint32_t)left;
    return 0;
  }
  return left ? carry(s, p, left) : 0;
}

void block_finish(h2_session *s) {
  in_block *b = &s->block;
  if (!b->carry) return;
  cells_free(s->config.cells, b->carry);
  b->carry = NULL;
  b->carry_len = b->carry_room = 0;
}

int block_end(h2_session *s) {
  in_block *b = &s->block;
  h2_stream *st = b->of;
  bool cut = b->carry_len > 0, end = b->end_stream;
  b->id = 0;
  b->of = NULL;
  block_finish(s);
  hpack_decoder_trim(&s->decoder);
  if (cut) return session_fail(s, H2_COMPRESSION_ERROR, "a header block ends inside a field");
  if (!st) return 0;
  if (end) st->remote_ended = true;
  if (!message_block(&st->message, s->role, end, &b->informational))
    return stream_fail(s, st, H2_PROTOCOL_ERROR);
  if (b->informational && session_charge_noise(s)) return s->error;
  unsigned flags = (end ? H2_HEADERS_END_STREAM : 0u) | (b->dropped ? H2_HEADERS_DROPPED : 0u) |
                   (b->informational ? H2_HEADERS_INFORMATIONAL : 0u);
  s->events->on_headers(s->ctx, st->user, flags);
  if (!end) return 0;
  s->events->on_end(s->ctx, st->user);
  stream_remote_end(s, st);
  return 0;
}
