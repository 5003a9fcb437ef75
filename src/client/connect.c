/*
 * From a target to a connection: look-up, one address after the other, and
 * gRPC's back-off (connection-backoff.md) when all have failed.
 */
#include "client/client.h"

#include "io/sys.h"

#include <stdio.h>

#define MILLI UINT64_C(1000000)

/* Connections in a row that servers end in good order before they were of use, until
 * calls fail for it. */
#define DISMISSALS 5

/* Beyond a year is for ever; sums with it do not overflow. */
#define LONGEST_MS (UINT64_C(365) * 24 * 3600 * 1000)

static uint64_t clamp_ms(uint64_t ms) {
  return (ms < LONGEST_MS ? ms : LONGEST_MS) * MILLI;
}

static void try_next(caw_channel *ch);
static void lose(caw_channel *ch, const conn *c);
static void attempt(caw_channel *ch);

/* ---- Calls and the connection ---- */

/* The connection has no stream id left (RFC 9113 5.1.1): its calls end on it,
 * the next ones go to another. */
static void retire(caw_channel *ch) {
  conn *c = ch->conn;
  list_push_back(&ch->draining, &c->node);
  conn_drain(c);
  lose(ch, c);
}

static void kick(io_task *task) {
  caw_channel *ch = LIST_ENTRY(task, caw_channel, kick);
  if (list_empty(&ch->waiting)) return;
  if (atomic_load(&ch->state) == CAW_CHANNEL_IDLE) connect_start(ch);
  while (!list_empty(&ch->waiting) && atomic_load(&ch->state) == CAW_CHANNEL_READY && ch->conn) {
    int rc = client_call_attach(client_call_waiting(ch->waiting.next), ch->conn);
    if (rc == CAW_EAGAIN) break;
    if (rc == CAW_ECLOSED) retire(ch);
  }
}

void connect_kick(caw_channel *ch) {
  if (!ch->shut) io_defer(ch->loop, &ch->kick);
}

/* ---- Back-off ---- */

/* xorshift64: jitter needs to differ between processes, no more. */
static double random_part(caw_channel *ch) {
  ch->random ^= ch->random << 13;
  ch->random ^= ch->random >> 7;
  ch->random ^= ch->random << 17;
  return (double)(ch->random >> 11) / (double)(UINT64_C(1) << 53);
}

/* connection-backoff.md: factor 1.6, jitter 0.2. */
static void grow_delay(caw_channel *ch) {
  uint64_t max = clamp_ms(ch->options.backoff_max_ms);
  double next = (double)ch->delay * 1.6;
  ch->delay = next > (double)max ? max : (uint64_t)next;
}

static void all_failed(caw_channel *ch) {
  uint64_t now = io_now(ch->loop);
  channel_set_state(ch, CAW_CHANNEL_TRANSIENT_FAILURE);
  client_calls_fail(ch);
  io_timer_start(&ch->backoff, ch->retry_at > now ? ch->retry_at : now);
}

static void on_backoff(io_timer *timer) {
  attempt(LIST_ENTRY(timer, caw_channel, backoff));
}

/* ---- Events of connections ---- */

/*
 * The channel's connection takes no more calls: the next call opens another.
 * One that answered no call and ends before the back-off of its own attempt is
 * over is followed by another only then, so that a server which hangs up at once
 * is not stormed; the second time in a row that counts as a failure to connect.
 * One that did answer has shown that the server is well, however short its life:
 * servers bound the age of connections. So has one that says goodbye (GOAWAY, NO_ERROR)
 * at once: it was replaced just now, and its successor is there already. That may happen
 * some times in a row before it counts as a failure, too.
 */
static void lose(caw_channel *ch, const conn *c) {
  ch->conn = NULL;
  if (ch->shut) return;
  bool quick = !c->useful && io_now(ch->loop) < ch->retry_at;
  ch->quick_losses = quick ? ch->quick_losses + 1 : 0;
  if (!quick || (c->dismissed && ch->quick_losses == 1)) {
    ch->delay = clamp_ms(ch->options.backoff_initial_ms);
    channel_set_state(ch, CAW_CHANNEL_IDLE);
    connect_kick(ch);
  } else if (ch->quick_losses < (c->dismissed ? DISMISSALS : 2)) {
    channel_set_state(ch, CAW_CHANNEL_CONNECTING);
    io_timer_start(&ch->backoff, ch->retry_at);
  } else {
    all_failed(ch);
  }
}

static void on_ready(void *owner, conn *c) {
  caw_channel *ch = owner;
  if (ch->conn != c) return;
  channel_set_state(ch, CAW_CHANNEL_READY);
  connect_kick(ch);
}

static void on_goaway(void *owner, conn *c) {
  caw_channel *ch = owner;
  if (c->too_many_pings) care_calm(ch, c);
  else if (ch->conn == c) channel_set_error(ch, "%s ended the connection (GOAWAY)", conn_peer(c));
  if (ch->conn != c) return;
  list_push_back(&ch->draining, &c->node);
  if (atomic_load(&ch->state) == CAW_CHANNEL_READY) {
    lose(ch, c);
    return;
  }
  /* It went away before it was ready. */
  ch->conn = NULL;
  try_next(ch);
}

static void on_capacity(void *owner, conn *c) {
  caw_channel *ch = owner;
  if (ch->conn == c) connect_kick(ch);
}

static void on_closed(void *owner, conn *c, int rc, const char *why) {
  caw_channel *ch = owner;
  (void)rc;
  list_remove(&c->node);
  if (ch->conn != c) return;
  if (atomic_load(&ch->state) == CAW_CHANNEL_READY) {
    channel_set_error(ch, "connection to %s lost: %s", conn_peer(c), why);
    lose(ch, c);
    return;
  }
  ch->conn = NULL;
  if (ch->shut) return;
  channel_set_error(ch, "cannot connect to %s: %s", conn_peer(c), why);
  try_next(ch);
}

static const conn_events events = {NULL, on_ready, on_goaway, on_capacity, on_closed, NULL};

/* ---- Addresses ---- */

static void try_next(caw_channel *ch) {
  while (ch->next < ch->count) {
    const io_address *a = &ch->addresses[ch->next++];
    int rc = conn_connect(&ch->conn, ch->loop, a, &ch->config, &events, ch);
    if (!rc) return;
    char text[IO_ADDRESS_TEXT];
    io_address_format(text, a);
    channel_set_error(ch, "cannot connect to %s: %s", text, caw_strerror(rc));
  }
  all_failed(ch);
}

static void take_addresses(caw_channel *ch, const io_address *addresses, unsigned n) {
  ch->count = n < MAX_ADDRESSES ? n : MAX_ADDRESSES;
  ch->next = 0;
  memcpy(ch->addresses, addresses, ch->count * sizeof(*addresses));
  try_next(ch);
}

static void on_resolved(void *user, int rc, const io_address *addresses, unsigned n,
                        const char *why) {
  caw_channel *ch = user;
  ch->lookup = NULL;
  if (rc) {
    channel_set_error(ch, "cannot resolve %s: %s", ch->target.host, why);
    all_failed(ch);
    return;
  }
  take_addresses(ch, addresses, n);
}

/* One round: the name is looked up anew, then each address is tried. */
static void attempt(caw_channel *ch) {
  channel_set_state(ch, CAW_CHANNEL_CONNECTING);
  if (list_empty(&ch->calls)) care_idle(ch);
  ch->retry_at = io_now(ch->loop) + (uint64_t)((double)ch->delay * (0.8 + 0.4 * random_part(ch)));
  grow_delay(ch);
  if (!ch->target.host[0]) {
    take_addresses(ch, ch->target.addresses, ch->target.count);
    return;
  }
  const char *server = ch->dns_server[0] ? ch->dns_server : ch->target.server;
  int rc = io_resolve(&ch->lookup, ch->loop, ch->target.host, ch->target.port,
                      server[0] ? server : NULL, on_resolved, ch);
  if (rc) {
    channel_set_error(ch, "cannot resolve %s: %s", ch->target.host, caw_strerror(rc));
    all_failed(ch);
  }
}

void connect_start(caw_channel *ch) {
  if (!ch->shut && atomic_load(&ch->state) == CAW_CHANNEL_IDLE) attempt(ch);
}

/* ---- Life ---- */

int connect_init(caw_channel *ch) {
  list_init(&ch->draining);
  io_task_init(&ch->kick, kick);
  ch->delay = clamp_ms(ch->options.backoff_initial_ms);
  ch->config.ready_timeout = clamp_ms(ch->options.connect_timeout_ms);
  ch->random = io_sys_clock() ^ (uint64_t)(uintptr_t)ch;
  if (!ch->random) ch->random = 1;
  if (io_timer_init(&ch->backoff, ch->loop, on_backoff)) return CAW_ENOMEM;
  int rc = care_init(ch);
  if (rc) io_timer_finish(&ch->backoff);
  return rc;
}

void connect_close(caw_channel *ch) {
  io_resolve_cancel(ch->lookup);
  ch->lookup = NULL;
  io_timer_stop(&ch->backoff);
  if (ch->conn) conn_close(ch->conn, CAW_ECLOSED, "the channel was closed");
  while (!list_empty(&ch->draining))
    conn_close(LIST_ENTRY(ch->draining.next, conn, node), CAW_ECLOSED, "the channel was closed");
}

void connect_rest(caw_channel *ch) {
  conn *c = ch->conn;
  ch->conn = NULL;
  io_resolve_cancel(ch->lookup);
  ch->lookup = NULL;
  io_timer_stop(&ch->backoff);
  if (c && atomic_load(&ch->state) == CAW_CHANNEL_READY) {
    list_push_back(&ch->draining, &c->node);
    conn_drain(c);
  } else if (c) {
    conn_close(c, CAW_ECLOSED, "nobody needs the connection");
  }
  channel_set_state(ch, CAW_CHANNEL_IDLE);
}

void connect_finish(caw_channel *ch) {
  io_task_cancel(&ch->kick);
  care_finish(ch);
  io_timer_finish(&ch->backoff);
}
