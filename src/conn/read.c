/*
 * What is read of a connection's peer: in pieces, each given to the HTTP/2 session. Nothing
 * more is read while the peer does not take what its input made us owe (throttled), and while
 * many calls that are gone wait for their turn (crowded).
 */
#include "conn/inner.h"

/* What a peer may go on sending after its connection's end before it is cut off. */
#define DISCARD_MOST ((size_t)1 << 20)

/* Pieces in which input is read: what one may make us owe is less than the limit of that,
 * so that a peer that reads its answers gets them in between. */
#define PIECE ((size_t)8192)

/* ---- Induced replies ---- */

/* Beyond what its calls are good for. */
static size_t owed_limit(const conn *c) {
  return conn_limits_of(c)->unread_replies + 4 * (size_t)c->max_live;
}

void read_paid(conn *c) {
  if (!c->throttled || h2_queued(c->rpc.h2) > owed_limit(c) / 2) return;
  c->throttled = false;
  io_socket_read(c->socket, !c->crowded);
}

/* After input that makes us owe much: what the kernel does not take now, the peer
 * does not read. Then nothing more is read of it either. */
static void check_owed(conn *c) {
  if (h2_queued(c->rpc.h2) <= owed_limit(c)) return;
  conn_ref(c);
  conn_flush(c);
  if (c->socket && !c->lingering && h2_queued(c->rpc.h2) > owed_limit(c)) {
    c->throttled = true;
    io_socket_read(c->socket, false);
  }
  conn_unref(c);
}

void read_crowd(conn *c, bool crowded) {
  if (c->crowded == crowded || !c->socket) return;
  c->crowded = crowded;
  if (!c->throttled) io_socket_read(c->socket, !crowded);
}

/* ---- Input ---- */

/* Input of a connection that has ended and waits for the peer to see it. */
static void discard(conn *c, size_t len) {
  c->discarded += len;
  if (c->discarded > DISCARD_MOST) conn_finish(c);
}

/* Does the peer begin with a record of TLS, where plaintext is spoken: a handshake, or an
 * alert (RFC 8446 5.1)? Neither is HTTP/2, whatever the rest. */
static bool speaks_tls(const conn *c, const uint8_t *data, size_t len) {
  return !c->identity && len > 1 && data[0] == (c->max_live ? 0x16 : 0x15) && data[1] == 3;
}

/* A word for who mixes up the ports; true when it was the end of a client's connection.
 * A server goes on to say in HTTP/2 that this was none. */
static bool refuse_tls(conn *c, const uint8_t *data, size_t len) {
  bool first = !c->heard;
  c->heard = true;
  if (!first || !speaks_tls(c, data, len)) return false;
  c->broken = "it speaks TLS, and this side does not";
  if (c->max_live) return false;
  conn_close(c, CAW_EPROTO, "the server speaks TLS on this port; give the channel credentials");
  return true;
}

/* False: the connection has ended, or is about to. */
static bool read_piece(conn *c, const uint8_t **data, size_t *len) {
  size_t n = *len < PIECE ? *len : PIECE;
  c->input += (uint32_t)n;
  int rc = h2_recv(c->rpc.h2, *data, n);
  *data += n;
  *len -= n;
  if (rc) {
    conn_fail(c, rc);
    return false;
  }
  patience_read(c);
  /* Whose PINGs are no measure of anything and more than is permitted (gRFC A8, "Server
   * Enforcement"): its calls end at once, so that somebody notices. */
  if (c->max_live && keepalive_judge(c))
    conn_exceeded(c, CAW_LIMIT_PINGS, H2_ENHANCE_YOUR_CALM, TOO_MANY_PINGS);
  conn_flush_later(c);
  places_look(c);
  check_owed(c); /* may be the connection's end */
  return c->socket && !c->failure && !c->lingering;
}

void read_data(void *user, const uint8_t *data, size_t len) {
  conn *c = user;
  if (c->failure || c->lingering) {
    discard(c, len);
    return;
  }
  if (refuse_tls(c, data, len)) return;
  uint64_t now = io_now(c->loop);
  keepalive_read(c, now);
  h2_at(c->rpc.h2, now);
  allowance_fill(c);
  conn_ref(c);
  const int64_t before = allowance_wasted(c);
  const size_t all = len;
  while (len && read_piece(c, &data, &len)) {
  }
  if (c->socket) allowance_pace(c, all, before);
  conn_unref(c);
}
