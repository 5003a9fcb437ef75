/* The keepalive of keepalive.h. */
#include "conn/keepalive.h"

#include "base/trace.h"
#include "conn/conn.h"
#include "stats/channelz.h"

#include <stdio.h>

#define SECOND UINT64_C(1000000000)

/* RFC 1122 4.2.3.6: TCP's keepalive is no more frequent; nor is ours to be without
 * calls unless the server permits it (gRFC A8). */
#define WITHOUT_CALLS (7200 * SECOND)

/* What the PING carries: "keepaliv". Its answer is like any other sign of life. */
#define PING UINT64_C(0x6b656570616c6976)

static const keepalive_config *config_of(const conn *c) {
  return &c->config->keepalive;
}

/* ---- Sending ---- */

static void start(conn *c, uint64_t from, uint64_t time) {
  io_timer_start(&c->keepalive.timer, time < UINT64_MAX - from ? from + time : UINT64_MAX);
}

/* Waits until nothing has been read for the time that was set. */
static void wait_for_silence(conn *c) {
  start(c, c->keepalive.read_at, config_of(c)->time);
}

static void wait_for_answer(conn *c) {
  start(c, io_now(c->loop), config_of(c)->timeout);
}

/* PINGs that were sent while nothing else was: does that have to end? */
static bool said_too_little(conn *c) {
  keepalive *k = &c->keepalive;
  uint64_t said = h2_said(c->rpc.h2);
  if (said != k->last_said) k->without_data = 0;
  k->last_said = said;
  unsigned most = config_of(c)->max_without_data;
  return most && k->without_data >= most;
}

static void send_ping(conn *c) {
  keepalive *k = &c->keepalive;
  if (said_too_little(c) || h2_ping(c->rpc.h2, PING)) {
    start(c, io_now(c->loop), config_of(c)->time); /* perhaps then */
    return;
  }
  channelz_keepalive(c->channelz);
  TRACE(CONN, "conn %p: a PING, as nothing came", (void *)c);
  k->without_data++;
  k->waiting = true;
  k->excused = false;
  k->delivered = io_socket_delivered(c->socket);
  wait_for_answer(c);
  conn_flush_later(c);
}

static void give_up(conn *c) {
  char why[96];
  snprintf(why, sizeof(why), "keepalive: nothing came in %llu ms after a PING",
           (unsigned long long)(config_of(c)->timeout / (SECOND / 1000)));
  conn_close(c, CAW_ETIMEDOUT, why);
}

/*
 * The time after a PING is over. That does not mean the peer is dead while what was
 * written before the PING is still on its way, and gets on: a slow path is no broken
 * one. While we do not read for reasons of our own, or stood still, it says nothing either.
 */
static void judge_silence(conn *c) {
  keepalive *k = &c->keepalive;
  uint64_t delivered = io_socket_delivered(c->socket);
  bool moves = delivered != k->delivered && (c->blocked || delivered < io_socket_sent(c->socket));
  if (!moves && !c->throttled && !c->crowded) {
    if (!io_timer_excuses(&k->timer, config_of(c)->timeout, &k->excused)) give_up(c);
    return;
  }
  k->delivered = delivered;
  wait_for_answer(c);
}

static void fire(io_timer *timer) {
  conn *c = LIST_ENTRY(timer, conn, keepalive.timer);
  keepalive *k = &c->keepalive;
  if (c->failure || c->lingering) return;
  if (k->waiting) judge_silence(c);
  else if (io_now(c->loop) - k->read_at < config_of(c)->time) wait_for_silence(c);
  else if (!c->max_live && !c->live && !config_of(c)->without_calls) k->resting = true;
  else send_ping(c);
}

void keepalive_read(conn *c, uint64_t now) {
  keepalive *k = &c->keepalive;
  k->read_at = now;
  if (!k->waiting) return; /* the timer looks when it fires: this is for every read */
  k->waiting = false;
  wait_for_silence(c);
}

void keepalive_call(conn *c) {
  keepalive *k = &c->keepalive;
  if (!k->resting || c->failure || c->lingering) return;
  k->resting = false;
  if (io_now(c->loop) - k->read_at < config_of(c)->time) wait_for_silence(c);
  else send_ping(c);
}

/* ---- Receiving ---- */

void keepalive_written(conn *c) {
  keepalive *k = &c->keepalive;
  uint64_t said = h2_said(c->rpc.h2);
  if (said == k->sent) return;
  k->sent = said;
  k->until = io_socket_sent(c->socket);
}

/*
 * Gives PINGs that measure the path their due: one may follow each frame of a call, so
 * the count begins anew with each, as gRPC's servers have it; and it does not begin
 * while such frames are still on their way to the client, for then it receives them
 * one after the other, and may measure at each.
 */
static bool excused(conn *c) {
  keepalive *k = &c->keepalive;
  uint64_t said = h2_said(c->rpc.h2);
  bool excuse = said != k->said || io_socket_delivered(c->socket) < k->until;
  k->said = said;
  return excuse;
}

bool keepalive_judge(conn *c) {
  keepalive *k = &c->keepalive;
  uint64_t pings = h2_pings(c->rpc.h2), n = pings - k->pings;
  const keepalive_config *config = config_of(c);
  if (!n) return false;
  k->pings = pings;
  if (!config->permit_time) return false;
  if (excused(c)) {
    k->measured = false;
    k->strikes = 0;
  }
  uint64_t now = io_now(c->loop), apart = config->permit_time;
  if (!c->live && !config->permit_without_calls && apart < WITHOUT_CALLS) apart = WITHOUT_CALLS;
  if (!k->measured || now - k->permitted_at >= apart) {
    k->measured = true;
    k->permitted_at = now;
    n--;
  }
  if (n > config->max_strikes - k->strikes) return true;
  k->strikes += (unsigned)n;
  return false;
}

/* ---- Life ---- */

int keepalive_init(conn *c) {
  if (!config_of(c)->time) return 0;
  if (io_timer_init(&c->keepalive.timer, c->loop, fire)) return CAW_ENOMEM;
  c->keepalive.on = true;
  return 0;
}

void keepalive_begin(conn *c) {
  c->keepalive.read_at = io_now(c->loop);
  if (!c->keepalive.on) return;
  io_socket_user_timeout(c->socket, config_of(c)->timeout);
  wait_for_silence(c);
}

void keepalive_finish(conn *c) {
  if (c->keepalive.on) io_timer_finish(&c->keepalive.timer);
  c->keepalive.on = c->keepalive.resting = false;
}
