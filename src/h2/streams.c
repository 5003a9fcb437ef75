/* The streams of a session: their table, their birth and their end. */
#include "h2/session.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <string.h>

/* A connection has a few streams or a hundred; an idle one has no table. */
#define FIRST_SLOTS ((uint32_t)8)

/* Ids of a kind differ by two and come in a row: as long as the table is no smaller
 * than the number of streams, chains have a stream or two. */
static h2_stream **chain_of(const h2_session *s, uint32_t id) {
  return &s->slots[(id >> 1) & s->slot_mask];
}

static void put_in(h2_session *s, h2_stream *st) {
  h2_stream **chain = chain_of(s, st->id);
  st->chained = *chain;
  *chain = st;
}

static void take_out(h2_session *s, const h2_stream *st) {
  h2_stream **p = chain_of(s, st->id);
  while (*p != st) p = &(*p)->chained;
  *p = st->chained;
}

static bool grow(h2_session *s) {
  uint32_t room = s->slots ? (s->slot_mask + 1) * 2 : FIRST_SLOTS;
  h2_stream **slots = caw_calloc(room, sizeof(*slots));
  if (!slots) return false;
  caw_free(s->slots);
  s->slots = slots;
  s->slot_mask = room - 1;
  for (list *l = s->streams.next; l != &s->streams; l = l->next)
    put_in(s, LIST_ENTRY(l, h2_stream, node));
  return true;
}

h2_stream *stream_of(h2_session *s, uint32_t id) {
  if (s->recent && s->recent->id == id) return s->recent;
  h2_stream *st = s->slots ? *chain_of(s, id) : NULL;
  while (st && st->id != id) st = st->chained;
  if (st) s->recent = st;
  return st;
}

h2_stream *stream_new(h2_session *s, uint32_t id) {
  if ((!s->slots || s->open > s->slot_mask) && !grow(s)) return NULL;
  h2_stream *st = cells_calloc(s->config.cells, 1, sizeof(*st));
  if (!st) return NULL;
  st->id = id;
  st->send_window = (int32_t)s->peer_window;
  st->recv_window = (int32_t)s->initial_window;
  st->recv_target = s->config.stream_window;
  message_begin(&st->message);
  list_push_back(&s->streams, &st->node);
  put_in(s, st);
  s->open++;
  return st;
}

/* The stream is in no table, list or hand from here on. */
static void leave(h2_session *s, h2_stream *st) {
  take_out(s, st);
  s->open--;
  list_remove(&st->node);
  if (s->recent == st) s->recent = NULL;
  if (s->block.of == st) s->block.of = NULL;
  if (s->in.stream == st) s->in.stream = NULL;
  s->bandwidth.grown -= st->recv_target - s->config.stream_window;
  send_clear(s, st);
  if (s->open || s->slot_mask < 4 * FIRST_SLOTS) return;
  caw_free(s->slots); /* a busy connection that became idle */
  s->slots = NULL;
  s->slot_mask = 0;
}

static void destroy(h2_session *s, h2_stream *st) {
  list_remove(&st->node);
  cells_free(s->config.cells, st);
}

void stream_drop(h2_session *s, h2_stream *st) {
  leave(s, st);
  destroy(s, st);
}

void stream_end(h2_session *s, h2_stream *st, uint32_t code, bool remote) {
  if (st->ended) return;
  leave(s, st);
  st->ended = true;
  st->end_code = code;
  st->end_remote = remote;
  list_push_back(&s->endings, &st->node);
}

void stream_close(h2_session *s, h2_stream *st, uint32_t code, bool remote) {
  if (!st->ended) leave(s, st);
  s->events->on_close(s->ctx, st->user, code, remote);
  destroy(s, st);
}

/* One more stream that ended early by the peer's doing. */
int stream_fail(h2_session *s, h2_stream *st, uint32_t code) {
  int rc = send_induced_reset(s, st->id, code);
  stream_end(s, st, code, false);
  return rc ? rc : session_charge_reset(s);
}

int stream_local_end(h2_session *s, h2_stream *st) {
  st->local_ended = true;
  if (st->remote_ended) {
    stream_end(s, st, H2_NO_ERROR, false);
    return 0;
  }
  if (s->role == H2_CLIENT) return 0;
  /* A server that has said all tells a client that still sends to stop (RFC 9113
   * section 8.1). */
  int rc = send_reset(s, st->id, H2_NO_ERROR) ? session_starve(s) : 0;
  stream_end(s, st, H2_NO_ERROR, false);
  return rc;
}

void stream_remote_end(h2_session *s, h2_stream *st) {
  if (st->local_ended) stream_close(s, st, H2_NO_ERROR, false);
}
