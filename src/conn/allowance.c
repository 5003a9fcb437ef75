/*
 * What a peer may do that costs us more than it costs the peer: h2_allowance, filled up
 * with time and by calls that were worth their streams.
 */
#include "conn/call.h"

#define SECOND UINT64_C(1000000000)

/* How long a stream has its place before its end is excused, and how far from its
 * deadline it may end: see excused(). */
#define LIVED   (SECOND / 20)
#define INEXACT (SECOND / 50)

/* A handler that ran for less has hardly run, and costs so many excuses: see excuse_cost(). */
#define BRIEF   (SECOND / 2000)
#define HURRIED 20

/* Frames of the server's that may cross a client's reset: HEADERS twice, RST_STREAM and a
 * WINDOW_UPDATE. */
#define CROSSING 4

void allowance_init(conn *c, bool server) {
  const conn_limits *l = conn_limits_of(c);
  /* No server can end more streams early than its client has begun. */
  c->allowance = (h2_allowance){l->noise_at_once, server ? l->resets_at_once : UINT32_MAX};
  c->excuses = l->noise_at_once;
  c->filled = io_now(c->loop);
}

/* Whole frames and streams come of each step: what is left of a division would be lost. */
static uint64_t step_of(const conn_limits *l) {
  return l->resets_per_second % 100 || l->noise_per_second % 100 ? SECOND : SECOND / 100;
}

static void add(uint32_t *have, uint64_t steps, uint64_t step, uint32_t per_second, uint32_t most) {
  uint64_t sum = *have + steps * (step == SECOND ? per_second : per_second / 100);
  *have = sum < most ? (uint32_t)sum : most;
}

void allowance_fill(conn *c) {
  const conn_limits *l = conn_limits_of(c);
  uint64_t past = io_now(c->loop) - c->filled;
  if (past < SECOND / 100) return; /* for nearly all reads */
  uint64_t step = step_of(l), steps = past / step;
  c->filled += steps * step;
  add(&c->allowance.noise, steps, step, l->noise_per_second, l->noise_at_once);
  if (!c->max_live) return;
  add(&c->allowance.resets, steps, step, l->resets_per_second, l->resets_at_once);
  add(&c->excuses, steps, step, l->noise_per_second, l->noise_at_once);
}

/* So many useless frames, and one at least in so many bytes, are a flood. */
#define FLOOD       32
#define FLOOD_BYTES 128

uint64_t allowance_wasted(const conn *c) {
  return h2_noise(c->rpc.h2) + h2_resets(c->rpc.h2) + c->refused;
}

void allowance_pace(conn *c, size_t len, uint64_t before) {
  uint64_t wasted = allowance_wasted(c) - before;
  if (wasted >= FLOOD && wasted * FLOOD_BYTES > len) io_socket_slow(c->socket);
}

/* When the client's time is over; before the call is routed it must be read. */
static uint64_t deadline_of(const caw_call *call) {
  uint64_t timeout = call->rpc.timeout;
  if (call->deadline != UINT64_MAX) return call->deadline;
  return timeout < UINT64_MAX - call->joined ? call->joined + timeout : UINT64_MAX;
}

/*
 * Did a stream that ended early end as it had to? Its time was about over: a client
 * counts in whole milliseconds, and its request and its reset wait for the wire, for the
 * loop and for each other. Or it had its place for a while: places are few, so such ends
 * come in no storm. A client with a thousand calls of 20 ms at a handler that is slower
 * ends 5,000 a second; on a busy machine one in twenty was off by more than 3 ms.
 */
static bool excused(const conn *c, const caw_call *call) {
  uint64_t now = io_now(c->loop), deadline = deadline_of(call);
  if (now - call->joined >= LIVED) return true;
  if (deadline == UINT64_MAX) return false;
  /* gRPC's C core rounds what it asks for up to three digits: 1,001 ms become 1,010. */
  uint64_t asked = call->rpc.timeout != UINT64_MAX ? call->rpc.timeout : deadline - call->joined;
  return deadline <= now + INEXACT + asked / 64;
}

/*
 * What the excuse costs. An honest client's handler has run for about the time that its client
 * gave it, and is cheap: a hundred calls of 10 ms are 10,000 ends a second. Where it has hardly
 * run, the short deadline may be a pretext for a rapid reset. A stream whose handler has not
 * begun took no more than its headers.
 */
static uint32_t excuse_cost(const conn *c, const caw_call *call) {
  uint64_t lived = io_now(c->loop) - call->joined, asked = deadline_of(call) - call->joined;
  if (!call->method || lived >= LIVED) return 1;
  return lived < asked / 2 || lived < BRIEF ? HURRIED : 1;
}

/* Takes the price of an excuse; false: there is none. */
static bool excuse(conn *c, const caw_call *call) {
  if (!excused(c, call)) return false;
  uint32_t cost = excuse_cost(c, call);
  if (c->excuses < cost) return false;
  c->excuses -= cost;
  return true;
}

/*
 * A call that came to its end was worth its stream. A reset of the client's may be
 * excused; streams that broke a rule are not, whatever their deadline. To a
 * client, one that it has ended itself excuses the frames that crossed its reset.
 */
void allowance_closed(conn *c, const caw_call *call) {
  h2_allowance *a = &c->allowance;
  bool remote = call->rpc.close_remote, normal = !remote && call->rpc.close_code == H2_NO_ERROR;
  if (!c->max_live) {
    if (!remote && !normal && a->noise < UINT32_MAX - CROSSING) a->noise += CROSSING;
    return;
  }
  if (call->rpc.faulty) return;
  if (!normal && (!remote || !excuse(c, call))) return;
  if (a->resets < conn_limits_of(c)->resets_at_once) a->resets++;
}

void allowance_blame(caw_call *call) {
  conn *c = call->conn;
  if (!c || !c->socket || call->rpc.faulty || call->rpc.remote_ended) return;
  call->rpc.faulty = true;
  if (c->allowance.resets) c->allowance.resets--;
  else c->overdrawn = true;
  conn_flush_later(c);
}
