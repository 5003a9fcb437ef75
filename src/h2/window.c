/*
 * Flow control (RFC 9113 sections 5.2 and 6.9), both ways, and how large the
 * windows should be.
 *
 * What we may receive: the connection's window is given back as bytes come, a
 * stream's as its owner is done with them; either by a WINDOW_UPDATE once half
 * of it can be given. A stream's window grows when its owner knows of a large
 * message (h2_expect), and both grow when the peer fills them within one round
 * trip: then the window is what holds it back. What all windows of a connection
 * have grown together is bounded.
 */
#include "h2/session.h"

#include <caw/status.h>

/* No window that grew by itself is larger. */
#define MAX_GROWN ((uint32_t)8 << 20)

/* What our PINGs carry, to tell their answers from others'. */
#define PROBE UINT64_C(0x62616e647769647c)

/* ---- Receiving ---- */

int window_take_session(h2_session *s, uint32_t len) {
  if ((int64_t)len > s->recv_window) return CAW_EPROTO;
  s->recv_window -= (int32_t)len;
  return 0;
}

bool window_take_stream(h2_stream *st, uint32_t len) {
  /* An empty frame needs no window; our SETTINGS may have made it negative. */
  if (len && (int64_t)len > st->recv_window) return false;
  st->recv_window -= (int32_t)len;
  st->came += len;
  return true;
}

static int send_update(h2_session *s, uint32_t id, uint32_t increment) {
  uint8_t bytes[4];
  write_u32(bytes, increment);
  s->said++;
  return send_small(s, FRAME_WINDOW_UPDATE, 0, id, bytes, sizeof(bytes));
}

/* The stream's window as the peer will have it when it has read our SETTINGS. What
 * they give is not given once more while their acknowledgement is on its way. */
static int64_t promised(const h2_session *s, const h2_stream *st) {
  return (int64_t)st->recv_window + s->config.stream_window - s->initial_window;
}

/* What a window lacks to be `target`, when that is worth a frame; else 0. */
static uint32_t due(uint32_t target, uint32_t held, int64_t window) {
  int64_t lacks = (int64_t)target - held - window;
  return lacks > 0 && lacks >= target / 2 ? (uint32_t)lacks : 0;
}

int window_give_session(h2_session *s) {
  uint32_t n = due(s->recv_target, 0, s->recv_window);
  if (!n && s->recv_target > INITIAL_WINDOW && s->recv_window == INITIAL_WINDOW)
    n = s->recv_target - INITIAL_WINDOW; /* the first: a window little above the initial one */
  if (!n) return 0;
  int rc = send_update(s, 0, n);
  if (!rc) s->recv_window += (int32_t)n;
  return rc;
}

int window_give_stream(h2_session *s, h2_stream *st) {
  if (st->remote_ended || st->ended) return 0;
  uint32_t n = due(st->recv_target, st->held, promised(s, st));
  if (!n) return 0;
  int rc = send_update(s, st->id, n);
  if (!rc) st->recv_window += (int32_t)n;
  return rc;
}

int h2_consume(h2_session *s, h2_stream *st, size_t len) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (s->error || st->ended) return 0;
  uint32_t n = len < st->held ? (uint32_t)len : st->held;
  st->held -= n;
  int rc = window_give_stream(s, st);
  if (rc) st->held += n;
  return rc;
}

void window_set_own(h2_session *s, uint32_t size) {
  int32_t change = (int32_t)size - (int32_t)s->initial_window;
  s->initial_window = size;
  for (list *l = s->streams.next; l != &s->streams; l = l->next)
    LIST_ENTRY(l, h2_stream, node)->recv_window += change;
}

/* ---- Growing ---- */

/* How much of `wanted` more the windows of this connection may have. */
static uint32_t grant(h2_session *s, uint64_t wanted) {
  uint32_t left = s->config.window_growth - s->bandwidth.grown;
  uint32_t n = wanted < left ? (uint32_t)wanted : left;
  s->bandwidth.grown += n;
  return n;
}

static void grow_stream(h2_session *s, h2_stream *st, uint64_t target) {
  if (target > MAX_GROWN) target = MAX_GROWN;
  if (target > st->recv_target) st->recv_target += grant(s, target - st->recv_target);
}

int h2_expect(h2_session *s, h2_stream *st, size_t len) {
  if (s->error) return s->error == CAW_ENOMEM ? CAW_ENOMEM : 0;
  if (st->ended || st->remote_ended || len <= st->recv_target) return 0;
  uint32_t before = st->recv_target;
  grow_stream(s, st, len);
  if (st->recv_target == before) return 0; /* h2_consume gives back what it is */
  /* What is on its way is in the window or held already. */
  int64_t lacks = (int64_t)st->recv_target - st->held - promised(s, st);
  if (lacks <= 0) return 0;
  int rc = send_update(s, st->id, (uint32_t)lacks);
  if (!rc) st->recv_window += (int32_t)lacks;
  return rc;
}

int h2_await_end(h2_session *s, h2_stream *st) {
  if (s->error == CAW_ENOMEM) return CAW_ENOMEM;
  if (s->error || st->ended || st->remote_ended || promised(s, st) > 0) return 0;
  int rc = send_update(s, st->id, 1);
  if (!rc) st->recv_window++;
  return rc;
}

/* Bytes between two PINGs. Those that change nothing become seldom; a stream that
 * begins later on a connection that is known does not wait for long. */
#define LEAST_WAIT ((uint32_t)64 << 10)
#define MOST_WAIT  ((uint32_t)512 << 10)

static int ask(h2_session *s) {
  h2_bandwidth *b = &s->bandwidth;
  uint64_t probe = PROBE;
  b->asked = true;
  b->since = b->now;
  b->bytes = 0;
  for (list *l = s->streams.next; l != &s->streams; l = l->next)
    LIST_ENTRY(l, h2_stream, node)->came = 0;
  return send_small(s, FRAME_PING, 0, 0, &probe, sizeof(probe));
}

int bandwidth_count(h2_session *s, size_t len) {
  h2_bandwidth *b = &s->bandwidth;
  b->bytes += len;
  /* Only who sends much is asked. */
  return b->asked || b->bytes < b->wait || b->bytes < LEAST_WAIT ? 0 : ask(s);
}

/* Is the connection faster than it was with smaller windows? */
static bool faster(h2_bandwidth *b) {
  if (!b->now || b->now <= b->since) return true;
  uint64_t rate = b->bytes * UINT64_C(1000000000) / (b->now - b->since);
  if (rate <= b->best) return false;
  b->best = rate;
  return true;
}

/* A window that holds the peer back lets some half of it through in a round trip: it
 * is given back by halves. So four times what came is twice what there was. */
static uint64_t enough_for(uint64_t came) {
  return came < MAX_GROWN / 4 ? 4 * came : MAX_GROWN;
}

bool bandwidth_answer(h2_session *s, uint64_t opaque) {
  h2_bandwidth *b = &s->bandwidth;
  if (!b->asked || opaque != PROBE) return false;
  b->asked = false;
  uint32_t grown = b->grown;
  uint64_t target = enough_for(b->bytes);
  bool worth = faster(b);
  b->bytes = 0;
  if (worth && target > s->recv_target) s->recv_target += grant(s, target - s->recv_target);
  for (list *l = s->streams.next; l != &s->streams; l = l->next) {
    h2_stream *st = LIST_ENTRY(l, h2_stream, node);
    /* Not those whose owner lets the peer wait. */
    if (st->held >= st->recv_target / 2) continue;
    target = enough_for(st->came);
    /* That the connection can use its own window was found out before. */
    if (!worth && target > s->recv_target) target = s->recv_target;
    grow_stream(s, st, target);
  }
  if (b->grown != grown) b->wait = LEAST_WAIT;
  else if (b->wait < MOST_WAIT) b->wait = 2 * (b->wait > LEAST_WAIT ? b->wait : LEAST_WAIT);
  return true;
}

/* ---- Sending ---- */

/* Adds to a window; false when it would pass 2^31-1. */
static bool add(int32_t *window, int64_t change) {
  int64_t n = *window + change;
  if (n > MAX_WINDOW) return false;
  *window = (int32_t)n;
  return true;
}

int window_update(h2_session *s, const frame_head *h, const uint8_t *payload) {
  uint32_t n = read_u32(payload) & MAX_ID;
  if (h->id == 0) {
    if (n == 0) return session_fail(s, H2_PROTOCOL_ERROR, "WINDOW_UPDATE adds nothing");
    if (!add(&s->send_window, n))
      return session_fail(s, H2_FLOW_CONTROL_ERROR, "WINDOW_UPDATE makes the window too large");
    return 0;
  }
  h2_stream *st = stream_of(s, h->id);
  if (!st) return 0;
  if (n == 0) return stream_fail(s, st, H2_PROTOCOL_ERROR);
  if (!add(&st->send_window, n)) return stream_fail(s, st, H2_FLOW_CONTROL_ERROR);
  send_ready(s, st);
  return 0;
}

int window_set_peer(h2_session *s, uint32_t size, uint32_t most) {
  int64_t change = (int64_t)size - s->peer_window, rise = (int64_t)most - s->peer_window;
  s->peer_window = size;
  for (list *l = s->streams.next; l != &s->streams; l = l->next) {
    h2_stream *st = LIST_ENTRY(l, h2_stream, node);
    int32_t between = st->send_window;
    if (!add(&between, rise) || !add(&st->send_window, change))
      return session_fail(s, H2_FLOW_CONTROL_ERROR, "SETTINGS make a stream's window too large");
    send_ready(s, st);
  }
  return 0;
}
