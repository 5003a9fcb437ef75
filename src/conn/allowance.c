/*
 * What a peer may do that costs us more than it costs the peer: h2_allowance, filled up
 * with time and by calls that were worth their streams.
 */
#include "conn/call.h"

#define SECOND UINT64_C(1000000000)

/* Who has had a place for so long has not given up at once: see excuse(). */
#define LIVED (SECOND / 20)

/* Who waited for less has hardly waited: see waited(). */
#define BRIEF (SECOND / 2000)

/* So many calls that were waited for are worth a further reset. */
#define EARNED 2

/* gRPC's C core begins calls with less than some milliseconds and resets them at once: nothing
 * tells them from a pretext, and each costs so many excuses. */
#define HASTY      (SECOND / 200)
#define HASTY_COST 20

/* Resets are small, and so are the calls among which they come: what is further behind a call is
 * an upload. */
#define NEAR UINT32_C(16384)

/* Frames of the server's that may cross a client's reset: HEADERS twice, RST_STREAM and a
 * WINDOW_UPDATE. */
#define CROSSING 4

/* Handlers that are given up before their time: see excuse(). */
static uint32_t hurried_at_once(const conn *c) {
  return conn_limits_of(c)->resets_at_once / 4;
}

void allowance_init(conn *c, bool server) {
  const conn_limits *l = conn_limits_of(c);
  /* No server can end more streams early than its client has begun. */
  c->allowance = (h2_allowance){l->noise_at_once, server ? l->resets_at_once : UINT32_MAX};
  c->excuses = l->noise_at_once;
  c->hurried = hurried_at_once(c);
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
#define FLOOD_BYTES 512

/* What a stream that ended early has wasted, in useless frames: it costs as much as some of
 * them, and what its request made up for was of no use either. */
#define WASTED 8

int64_t allowance_wasted(const conn *c) {
  return (int64_t)(WASTED * h2_resets(c->rpc.h2) + c->refused) - (int64_t)c->allowance.noise;
}

void allowance_pace(conn *c, size_t len, int64_t before) {
  int64_t wasted = allowance_wasted(c) - before;
  if (wasted >= FLOOD && (uint64_t)wasted * FLOOD_BYTES > len) io_socket_slow(c->socket);
}

/* One more of what is there at most so many times; false: all of it is there. */
static bool give_back(uint32_t *have, uint32_t most) {
  if (*have >= most) return false;
  ++*have;
  return true;
}

static bool give_reset(conn *c) {
  return give_back(&c->allowance.resets, conn_limits_of(c)->resets_at_once);
}

static bool give_hurried(conn *c) {
  return give_back(&c->hurried, hurried_at_once(c));
}

/* How long the client gives the call, UINT64_MAX: for ever; as it was read before it is routed. */
static uint64_t asked_of(const caw_call *call) {
  return call->deadline != UINT64_MAX ? call->deadline - call->joined : call->rpc.timeout;
}

/*
 * Did the client wait for the handler before it gave the call up, or has it but named a short
 * deadline as a pretext for a rapid reset? How long the stream has lived does not say: the reset
 * may have lain in the kernel while the loop was at work, for longer than many a deadline. What
 * counts is for how long one knows that it was not there. Half of the deadline will do, as
 * gRPC's C core asks for more than it gives: of calls with 1 ms each, hundreds at a time, one in
 * ten does not even wait for that much; one in twenty of those with 1 to 20 ms; of resets at
 * once none is taken for one that waited, unless the attacker has not had the processor.
 */
static bool waited(const conn *c, const caw_call *call) {
  if (!c->socket) return false;
  uint64_t known = io_socket_drained_at(c->socket);
  return known >= call->joined + BRIEF && known - call->joined >= asked_of(call) / 2;
}

/*
 * Or has the call lasted for half of its deadline, though its reset may have been there for a part
 * of it, but not when the call was read? So it is when we come late to all that we do, and that
 * late nobody begins more calls than one who waits.
 */
static bool lasted(const conn *c, const caw_call *call) {
  if (!c->socket || io_socket_drained_at(c->socket) < call->joined) return false;
  return io_now(c->loop) - call->joined >= asked_of(call) / 2;
}

static bool is_hasty(const caw_call *call) {
  return asked_of(call) < HASTY;
}

/* One that was waited for makes up for hurried ones. */
static void earn(conn *c) {
  if (++c->earned < EARNED) return;
  c->earned = 0;
  if (!give_hurried(c)) give_reset(c);
}

/* Nor is anybody in want of them for ever who has his calls answered. */
static void reward(conn *c) {
  if (!give_reset(c)) give_hurried(c);
}

static bool take(uint32_t *have, uint32_t cost) {
  if (*have < cost) return false;
  *have -= cost;
  return true;
}

/*
 * Takes an excuse; false: there is none, and it is a reset like any other. Only those are asked
 * about that have lasted for a while, as places are few, and those that have a deadline: an honest
 * client resets them when it is over. That may be long before it is over here, for what came while
 * we, or the way to us, stood still is read at once; and whoever wants a pretext names a short one
 * anyhow.
 *
 * A stream whose handler has not begun took no more than its headers, and is cheap. Of those whose
 * handler has, an honest client has some hurried ones: a hundred at once when either side is held
 * up. They have few excuses of their own, which no time fills up, but calls that were waited for
 * or answered. So whoever has nothing but hurried ones is soon cut off, and whoever has waits is
 * bound by these: at most max_streams for each half of the time that he asks for.
 */
static bool excuse(conn *c, const caw_call *call) {
  bool lived = io_now(c->loop) - call->joined >= LIVED;
  if (!lived && asked_of(call) == UINT64_MAX) return false;
  if (!call->method) return take(&c->excuses, 1);
  if (waited(c, call)) {
    if (!take(&c->excuses, 1)) return false;
    earn(c);
    return true;
  }
  if (lived) return take(&c->excuses, 1);
  if (is_hasty(call)) return take(&c->excuses, HASTY_COST);
  return take(lasted(c, call) ? &c->excuses : &c->hurried, 1);
}

/*
 * A call that a handler brought to its end was worth its stream; one that was refused was worth
 * nothing to anybody, and costs the client as little as a reset. A reset of the client's may be
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
  if (normal) {
    if (call->served) reward(c);
  } else if (remote && excuse(c, call)) {
    give_reset(c);
  }
}

/*
 * When the loop was held up there are many calls to read, and behind each the reset by which it
 * was given up meanwhile. Read in small steps, as such bytes are, each step would begin handlers
 * in vain, hundreds in all. So they wait until what was there when they were is read, as far as
 * it is near: of an upload that keeps us busy there is more in each turn. After many hurried ones
 * they wait for all of it. Not beyond their deadline, nor for so long that their resets are
 * excused anyhow.
 */
bool allowance_defers(caw_call *call) {
  conn *c = call->conn;
  if (!c || !c->socket) return false;
  uint64_t drained = io_socket_drained_at(c->socket), asked = call->rpc.timeout;
  if (drained >= call->joined || !io_is_of_turn(c->loop, c->keepalive.read_at)) return false;
  uint64_t lasts = io_now(c->loop) - call->joined;
  if (lasts >= LIVED || lasts >= asked) return false;
  bool suspect = c->hurried <= hurried_at_once(c) / 2;
  if (!suspect && c->input - call->after >= NEAR) return false;
  call_next_turn(call);
  return true;
}

void allowance_blame(caw_call *call) {
  conn *c = call->conn;
  if (!c || !c->socket || call->rpc.faulty || call->rpc.remote_ended) return;
  call->rpc.faulty = true;
  if (c->allowance.resets) c->allowance.resets--;
  else c->overdrawn = true;
  conn_flush_later(c);
}
