/* The streams of a session: their table, their birth and their end. */
#include "h2/session.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <string.h>

/* A connection has a few streams or a hundred; an idle one has no table. */
#define FIRST_SLOTS ((uint32_t)8)

/* Ids of a kind differ by two, and come in a row. */
static uint32_t home_of(const h2_session *s, uint32_t id) {
  return (id >> 1) & s->slot_mask;
}

/* Where the id is, or would be. There is a free slot, always. */
static uint32_t slot_of(const h2_session *s, uint32_t id) {
  uint32_t i = home_of(s, id);
  while (s->slots[i] && s->slots[i]->id != id) i = (i + 1) & s->slot_mask;
  return i;
}

static bool grow(h2_session *s) {
  uint32_t old = s->slots ? s->slot_mask + 1 : 0;
  uint32_t room = old ? old * 2 : FIRST_SLOTS;
  h2_stream **before = s->slots, **slots = caw_calloc(room, sizeof(h2_stream *));
  if (!slots) return false;
  s->slots = slots;
  s->slot_mask = room - 1;
  for (uint32_t i = 0; i < old; i++)
    if (before[i]) slots[slot_of(s, before[i]->id)] = before[i];
  caw_free(before);
  return true;
}

/* Takes a stream out. What follows it in its run moves up, so that no run has
 * a hole. */
static void take_out(h2_session *s, uint32_t id) {
  uint32_t hole = slot_of(s, id);
  s->slots[hole] = NULL;
  for (uint32_t i = (hole + 1) & s->slot_mask; s->slots[i]; i = (i + 1) & s->slot_mask) {
    uint32_t home = home_of(s, s->slots[i]->id);
    if (((i - home) & s->slot_mask) < ((i - hole) & s->slot_mask)) continue;
    s->slots[hole] = s->slots[i];
    s->slots[i] = NULL;
    hole = i;
  }
}

h2_stream *stream_of(h2_session *s, uint32_t id) {
  if (s->recent && s->recent->id == id) return s->recent;
  h2_stream *st = s->slots ? s->slots[slot_of(s, id)] : NULL;
  if (st) s->recent = st;
  return st;
}

h2_stream *stream_new(h2_session *s, uint32_t id) {
  /* At most half of the slots are taken. */
  if ((!s->slots || s->open > s->slot_mask / 2) && !grow(s)) return NULL;
  h2_stream *st = cells_alloc(s->config.cells, sizeof(*st));
  if (!st) return NULL;
  memset(st, 0, offsetof(h2_stream, first));
  st->id = id;
  st->queue = st->first;
  st->room = INLINE_SENDS;
  st->send_window = (int32_t)s->peer_window;
  st->recv_window = (int32_t)s->initial_window;
  st->recv_target = s->config.stream_window;
  message_begin(&st->message);
  list_init(&st->ready);
  list_push_back(&s->streams, &st->node);
  s->slots[slot_of(s, id)] = st;
  s->open++;
  return st;
}

/* The stream is in no table, list or hand from here on. */
static void leave(h2_session *s, h2_stream *st) {
  take_out(s, st->id);
  s->open--;
  list_remove(&st->node);
  list_remove(&st->ready);
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
