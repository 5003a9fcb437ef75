/* The connection of conn.h. */
#include "conn/conn.h"

#include "base/trace.h"
#include "conn/call.h"
#include "conn/inner.h"
#include "conn/memory.h"
#include "rpc/wire.h"
#include "stats/channelz.h"

#include <caw/alloc.h>
#include <stdio.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

/* How long a drain waits for the end of a handshake, and for the answer to its PING
 * before it names the last stream all the same; and how long an ended connection may take to flush.
 */
#define DRAIN_PING_TIME SECOND
#define FLUSH_TIME      (SECOND / 10 * 9)

/* Parts gathered for one write: enough for a turn's worth of small frames. */
#define PARTS 64

/* What the drain's PING carries, to tell its answer from others. */
#define DRAIN_PING UINT64_C(0x647261696e)

void conn_ref(conn *c) {
  c->refs++;
}

void conn_unref(conn *c) {
  if (--c->refs) return;
  inflate_finish(c);
  caw_free(c->told);
  caw_free(c->peer);
  caw_free(c->why);
  caw_free(c->identity);
  caw_free(c);
}

static char *copy_text(const char *text, size_t len) {
  char *copy = caw_malloc(len + 1);
  if (!copy) return NULL;
  memcpy(copy, text, len);
  copy[len] = '\0';
  return copy;
}

/* ---- The end ---- */

void conn_close(conn *c, int rc, const char *why) {
  if (!c->socket) return;
  c->why = copy_text(why, strlen(why));
  TRACE(CONN, "conn %p with %s ends: %s", (void *)c, conn_peer(c), why);
  io_task_cancel(&c->flush);
  io_timer_finish(&c->deadline);
  keepalive_finish(c);
  patience_finish(c);
  age_finish(c);
  io_socket_close(c->socket);
  c->socket = NULL;
  memory_finish(c);
  rpc_session_finish(&c->rpc);
  memory_charge(c);
  channelz_close(c->channelz);
  c->channelz = NULL;
  c->events->on_closed(c->owner, c, rc, why);
  conn_unref(c);
}

void conn_finish(conn *c) {
  char why[160];
  if (c->broken) snprintf(why, sizeof(why), "the peer broke HTTP/2: %s", c->broken);
  else snprintf(why, sizeof(why), "%s", c->failure ? caw_strerror(c->failure) : "finished");
  conn_close(c, c->failure, why);
}

/* Everything is said. A server closes its side only and waits for the client
 * to close: a close with bytes unread would make TCP reset the connection, and
 * destroy answers and the GOAWAY that are still on their way. */
static void linger(conn *c) {
  if (!c->max_live) {
    conn_finish(c);
    return;
  }
  c->lingering = true;
  rpc_session_finish(&c->rpc);
  io_socket_shutdown(c->socket);
  io_timer_start(&c->deadline, io_now(c->loop) + FLUSH_TIME);
}

/* Closes with the reason that TLS or the socket gives. */
static void close_broken(conn *c, int rc) {
  char why[512];
  if (c->lingering) {
    conn_finish(c);
    return;
  }
  int err = io_socket_errno(c->socket);
  const char *tls = io_socket_why(c->socket);
  const char *what = tls              ? tls
                     : rc == CAW_EEND ? "the peer closed the connection"
                     : err            ? strerror(err)
                                      : caw_strerror(rc);
  snprintf(why, sizeof(why), "%s%s%s", what, c->told ? ": it said " : "", c->told ? c->told : "");
  conn_close(c, rc == CAW_EEND ? CAW_ECLOSED : rc, why);
}

/* The second step of a drain: every stream that was on its way is here. */
static void drain_finally(conn *c) {
  if (c->goaway_final || c->lingering || !c->socket) return;
  c->goaway_final = true;
  /* It was the PING's, and the calls have all the time there is; but one that is still
   * connecting has no more than it had. */
  if (c->connected) io_timer_stop(&c->deadline);
  caw_str why = caw_str_from(c->drained ? c->drained : "");
  if (h2_goaway(c->rpc.h2, h2_last_id(c->rpc.h2), H2_NO_ERROR, why)) c->failure = CAW_ENOMEM;
  age_final(c);
  conn_flush_later(c);
}

/* Is everything said that was to be said? */
static bool spent(const conn *c) {
  if (c->failure || h2_finished(c->rpc.h2)) return true;
  return c->draining && c->live == 0 && (c->goaway_final || c->rpc.goaway);
}

/* ---- Writing ---- */

/* The end of a turn's writing, also when there was none: streams may have been reset. A
 * blocked connection is no exception, as it may stay so for good. */
static void settle(conn *c) {
  memory_charge(c);
  memory_freed(c);
}

/* One write of what is gathered. Returns false when the connection is blocked
 * or gone. */
static bool write_once(conn *c, const struct iovec *parts, int n) {
  long written = io_socket_write(c->socket, parts, n);
  if (written < 0) {
    close_broken(c, (int)written);
    return false;
  }
  h2_written(c->rpc.h2, (size_t)written);
  keepalive_written(c);
  read_paid(c);
  c->blocked = io_socket_waits(c->socket);
  patience_written(c);
  if (c->blocked) settle(c);
  return !c->blocked;
}

/* The connection has failed, and the GOAWAY that says why is queued: it goes out before the
 * end. A peer that does not read is waited for, unless it was too much of a burden. */
static void end_failed(conn *c, bool wait) {
  if (wait) {
    io_timer_start(&c->deadline, io_now(c->loop) + FLUSH_TIME);
    conn_flush_later(c);
    return;
  }
  conn_ref(c);
  conn_flush(c);
  if (c->socket) conn_finish(c);
  conn_unref(c);
}

void conn_exceeded(conn *c, caw_limit limit, uint32_t code, const char *why) {
  c->failure = CAW_EPROTO;
  c->broken = why;
  limit_hit(c, limit);
  if (h2_goaway(c->rpc.h2, h2_last_id(c->rpc.h2), code, caw_str_from(why))) c->failure = CAW_ENOMEM;
  /* A client that is told of its PINGs sends fewer on the next connection (gRFC A8). */
  end_failed(c, limit == CAW_LIMIT_PINGS);
}

void conn_fail(conn *c, int rc) {
  c->failure = rc;
  if (rc == CAW_EPROTO && !c->broken) c->broken = h2_failure(c->rpc.h2);
  limit_hit_by_session(c);
  end_failed(c, h2_failure_code(c->rpc.h2) != H2_ENHANCE_YOUR_CALM);
}

static void flush(io_task *task) {
  conn *c = LIST_ENTRY(task, conn, flush);
  struct iovec parts[PARTS];
  if (c->lingering) return;
  if (c->rpc.failed) {
    conn_close(c, CAW_ENOMEM, caw_strerror(CAW_ENOMEM));
    return;
  }
  if (c->overdrawn && !c->failure) {
    conn_exceeded(c, CAW_LIMIT_RESETS, H2_ENHANCE_YOUR_CALM, "too many streams that ended early");
    return;
  }
  if (c->drain_acked) drain_finally(c);
  if (c->blocked || !c->connected) {
    settle(c);
    return;
  }
  for (;;) {
    int n = h2_output(c->rpc.h2, parts, PARTS);
    if (n < 0) {
      conn_close(c, n, caw_strerror(n));
      return;
    }
    if (n == 0) break;
    if (!write_once(c, parts, n)) return;
  }
  settle(c);
  if (spent(c)) linger(c);
}

void conn_flush(conn *c) {
  flush(&c->flush);
}

void conn_flush_later(conn *c) {
  if (c->socket) io_defer(c->loop, &c->flush);
}

/* ---- Events of the socket ---- */

/* From the time at which the connection was made. A TLS handshake that took all of it had more
 * because we stood still: so has what follows. */
static void start_ready(conn *c, uint64_t from) {
  uint64_t most = UINT64_MAX - from, now = io_now(c->loop);
  uint64_t at = from + (c->ready_timeout < most ? c->ready_timeout : most);
  if (at <= now) at = now + (c->ready_timeout < SECOND ? c->ready_timeout : SECOND);
  io_timer_start(&c->deadline, at);
}

/* Shows the connection to those who look. */
static void show(conn *c) {
  if (!c->config->channelz) return;
  char local[IO_ADDRESS_TEXT];
  snprintf(local, sizeof(local), "%.*s", CAW_STR_ARG(io_socket_local(c->socket)));
  const z_birth birth = {.kind = CAW_CHANNELZ_SOCKET,
                         .parent = c->config->channelz_parent,
                         .name = conn_peer(c),
                         .local = local,
                         .remote = conn_peer(c),
                         .tls = c->identity ? c->identity->tls : NULL,
                         .cipher = c->identity ? c->identity->cipher : NULL};
  c->channelz = channelz_open(c->config->channelz, &birth);
}

static void on_connect(void *user, int rc) {
  conn *c = user;
  if (rc) {
    if (rc == CAW_ETIMEDOUT && c->max_live) limit_hit(c, CAW_LIMIT_HANDSHAKE_TIME);
    close_broken(c, rc);
    return;
  }
  c->connected = true;
  keepalive_begin(c);
  c->identity = io_tls_take_identity(c->socket);
  show(c);
  TRACE(CONN, "conn %p with %s is connected%s%s, session %p", (void *)c, conn_peer(c),
        c->identity ? ", " : "", c->identity ? c->identity->tls : "", (void *)c->rpc.h2);
  /* Unless a drain, which began in the handshake, has the timer. Nothing was read yet, so
   * the allowance was filled when the connection was made. */
  if (c->max_live && !c->draining) start_ready(c, c->filled);
  io_socket_read(c->socket, true);
  conn_flush_later(c);
}

static void on_end(void *user, int rc) {
  close_broken(user, rc);
}

static void on_writable(void *user) {
  conn *c = user;
  c->blocked = false;
  conn_flush_later(c);
}

static const io_socket_events socket_events = {on_connect, read_data, on_end, on_writable};

/* ---- Events of the session ---- */

static void on_event(void *ctx, rpc_call *rpc) {
  conn *c = ctx;
  caw_call *call = call_of(rpc);
  call_turn(call); /* a client's call that is over waits for the end of its stream */
  if (rpc->headers_received) c->useful = true;
  if (!(rpc->news & RPC_NEWS_CLOSED)) return;
  if (c->channelz)
    channelz_stream_ended(c->channelz, !rpc->close_remote && rpc->close_code == H2_NO_ERROR);
  allowance_closed(c, call);
  places_closed(c, call);
  if (c->events->on_capacity) c->events->on_capacity(c->owner, c);
}

static void on_ready(void *ctx) {
  conn *c = ctx;
  if (!c->draining) io_timer_stop(&c->deadline); /* it is not the drain's */
  patience_begin(c);
  if (c->events->on_ready) c->events->on_ready(c->owner, c);
}

static void on_settings(void *ctx) {
  conn *c = ctx;
  if (c->events->on_capacity) c->events->on_capacity(c->owner, c);
}

/* What a peer says in its GOAWAY is for people; it is no text that one may trust. */
static void note_told(conn *c, uint32_t code, caw_str debug) {
  char text[96];
  int n = snprintf(text, sizeof(text), "HTTP/2 error %u%s", (unsigned)code, debug.len ? ", " : "");
  for (size_t i = 0; i < debug.len && (size_t)n < sizeof(text) - 1; i++)
    text[n++] = debug.data[i] >= ' ' && debug.data[i] <= '~' ? debug.data[i] : '?';
  caw_free(c->told);
  c->told = copy_text(text, (size_t)n);
}

static void on_goaway(void *ctx, uint32_t code, caw_str debug) {
  conn *c = ctx;
  c->too_many_pings = code == H2_ENHANCE_YOUR_CALM && caw_str_is(debug, TOO_MANY_PINGS);
  c->dismissed = code == H2_NO_ERROR;
  if (code != H2_NO_ERROR) note_told(c, code, debug);
  TRACE(CONN, "conn %p: GOAWAY from the peer, %s", (void *)c, c->told ? c->told : "NO_ERROR");
  c->draining = true;
  conn_flush_later(c);
  if (c->events->on_goaway) c->events->on_goaway(c->owner, c);
}

static void on_ping_ack(void *ctx, uint64_t opaque) {
  conn *c = ctx;
  /* Acted upon by the flush that follows, outside of the session. */
  if (opaque == DRAIN_PING) c->drain_acked = true;
}

static caw_str on_path(void *ctx, rpc_call *rpc, caw_str path) {
  const conn *c = ctx;
  return c->events->on_path ? c->events->on_path(call_of(rpc), path) : (caw_str){NULL, 0};
}

static const rpc_session_events session_events = {places_open, on_event,    on_ready, on_goaway,
                                                  on_ping_ack, on_settings, on_path};

/* ---- Time ---- */

static void expire(io_timer *timer) {
  conn *c = LIST_ENTRY(timer, conn, deadline);
  if (c->draining && !c->connected && c->max_live) {
    /* Nothing can be told to the client, and nothing was promised. */
    conn_close(c, CAW_ECLOSED, "the TLS handshake was not over when the server shut down");
    return;
  }
  if (c->draining && !c->failure && !c->goaway_final) {
    drain_finally(c);
    return;
  }
  if (c->failure || c->lingering) {
    conn_finish(c);
    return;
  }
  if (io_timer_excuses(&c->deadline, c->ready_timeout, &c->excused)) return;
  const char *tls = io_socket_why(c->socket);
  if (c->max_live) limit_hit(c, CAW_LIMIT_HANDSHAKE_TIME);
  conn_close(c, CAW_ETIMEDOUT,
             c->connected ? "the peer did not begin HTTP/2 in time"
             : tls        ? tls
                          : "connecting took too long");
}

void conn_drain(conn *c) {
  conn_drain_for(c, NULL);
}

void conn_drain_for(conn *c, const char *reason) {
  if (c->draining || c->lingering || !c->socket) return;
  c->draining = true;
  c->drained = reason;
  TRACE(CONN, "conn %p drains%s%s", (void *)c, reason ? ": " : "", reason ? reason : "");
  conn_flush_later(c);
  caw_str none = {NULL, 0};
  /* Also to a client that has not said anything yet: what it is about to begin is
   * served still, as it could not know. */
  if (c->max_live && !h2_goaway(c->rpc.h2, UINT32_MAX, H2_NO_ERROR, none) &&
      !h2_ping(c->rpc.h2, DRAIN_PING)) {
    io_timer_start(&c->deadline, io_now(c->loop) + DRAIN_PING_TIME);
    return;
  }
  drain_finally(c);
}

/* ---- Life ---- */

static conn *new_conn(caw_loop *loop, h2_role role, const conn_config *config,
                      const conn_events *events, void *owner) {
  conn *c = caw_calloc(1, sizeof(*c));
  if (!c) return NULL;
  c->loop = loop;
  c->config = config;
  c->events = events;
  c->owner = owner;
  c->refs = 1;
  list_init(&c->node);
  list_init(&c->memory.starved);
  list_init(&c->memory.queue);
  io_task_init(&c->flush, flush);
  if (io_timer_init(&c->deadline, loop, expire)) goto no_timer;
  if (inflate_init(c)) goto no_inflate;
  if (patience_init(c)) goto no_patience;
  if (keepalive_init(c)) goto no_keepalive;
  if (role == H2_SERVER && age_init(c)) goto no_age;
  h2_config h2 = config->h2;
  h2.cells = io_cells(loop);
  h2.allowance = &c->allowance;
  allowance_init(c, role == H2_SERVER);
  if (rpc_session_init(&c->rpc, role, &h2, &session_events, c)) goto no_session;
  c->ready_timeout = config->ready_timeout;
  start_ready(c, io_now(loop));
  return c;
no_session:
  age_finish(c);
no_age:
  keepalive_finish(c);
no_keepalive:
  patience_finish(c);
no_patience:
  inflate_finish(c);
no_inflate:
  io_timer_finish(&c->deadline);
no_timer:
  caw_free(c);
  return NULL;
}

/* Undoes new_conn when no socket came to be: nobody was told of it. */
static void abandon(conn *c) {
  keepalive_finish(c);
  patience_finish(c);
  age_finish(c);
  inflate_finish(c);
  io_timer_finish(&c->deadline);
  rpc_session_finish(&c->rpc);
  caw_free(c);
}

/* The peer's name is read by handlers on other threads, and outlives the socket:
 * a copy that never changes. */
static void note_peer(conn *c) {
  caw_str peer = io_socket_peer(c->socket);
  c->peer = copy_text(peer.data, peer.len);
}

int conn_connect(conn **out, caw_loop *loop, const io_address *address, const conn_config *config,
                 const conn_events *events, void *owner) {
  conn *c = new_conn(loop, H2_CLIENT, config, events, owner);
  if (!c) return CAW_ENOMEM;
  int rc = io_socket_connect(&c->socket, loop, address, &socket_events, c);
  if (!rc && config->tls) rc = io_tls_connect(c->socket, config->tls);
  if (rc) {
    io_socket_close(c->socket);
    abandon(c);
    return rc;
  }
  note_peer(c);
  *out = c;
  return 0;
}

int conn_adopt(conn **out, caw_loop *loop, int fd, const conn_config *config,
               caw_server_credentials *tls, uint32_t max_live, const conn_events *events,
               void *owner) {
  conn *c = new_conn(loop, H2_SERVER, config, events, owner);
  if (!c) {
    close(fd);
    return CAW_ENOMEM;
  }
  c->max_live = max_live;
  int rc = io_socket_adopt(&c->socket, loop, fd, &socket_events, c);
  if (rc) close(fd);
  else if (tls) rc = io_tls_accept(c->socket, tls, c->ready_timeout);
  if (rc) {
    io_socket_close(c->socket);
    abandon(c);
    return rc;
  }
  note_peer(c);
  *out = c;
  if (tls) io_timer_stop(&c->deadline); /* the handshake has a time of its own */
  else on_connect(c, 0);
  return 0;
}

/* ---- Who is there ---- */

bool conn_is_tls(const conn *c) {
  return c->identity != NULL;
}

/* The socket's own address, so whatever a name was resolved to. */
static bool is_local(const char *peer) {
  static const char *const local[] = {"unix", "ipv4:127.", "ipv6:[::1]", "ipv6:[::ffff:127."};
  for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
    if (!strncmp(peer, local[i], strlen(local[i]))) return true;
  return false;
}

bool conn_is_private(const conn *c) {
  /* Encrypted for somebody whom nobody checked is no secret. */
  return (c->identity && c->identity->verified) || is_local(conn_peer(c));
}
