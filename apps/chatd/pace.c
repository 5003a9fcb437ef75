/* The clock of pace.h. */
#include "pace.h"

#include "convert.h"
#include "feed_inner.h"

#define SECOND UINT64_C(1000000000)
#define WHEEL  (sizeof(((shard *)0)->wheel) / sizeof(feed *))

/* ---- Slow readers ---- */

void pace_full(feed *st) {
  shard *s = st->shard;
  if (st->at_full) return;
  st->full_since = caw_loop_now(s->loop);
  st->next_full = s->full;
  if (s->full) s->full->at_full = &st->next_full;
  st->at_full = &s->full;
  s->full = st;
}

void pace_room(feed *st) {
  if (!st->at_full) return;
  *st->at_full = st->next_full;
  if (st->next_full) st->next_full->at_full = st->at_full;
  st->at_full = NULL;
}

/* Where a resumed reader is to begin, for each room that it has not all of; then the end.
 * It waits behind what the reader does not take, but no more than this is kept for it. */
static void end_slow(feed *st) {
  caw_call_set_send_buffer(st->call, SIZE_MAX);
  pace_room(st);
  for (sub *s = st->subs; s && !st->over; s = s->next_mine) {
    if (s->state == SUB_LIVE || st->form == FORM_LOBBY || s->number < 0) continue;
    chat_v1_gap gap = {.room_id = s->room_id,
                       .from_number = s->number + 1,
                       .to_number = feed_newest(s),
                       .reason = CHAT_V1_GAP_TOO_SLOW};
    if (gap.to_number < gap.from_number) {
      if (s->state == SUB_BEHIND) continue;
      gap.to_number = gap.from_number;
    }
    const chat_v1_event event = {.what_case = CHAT_V1_EVENT_WHAT_CASE_GAP, .what.gap = &gap};
    feed_send_event(st, &event);
  }
  feed_end(st, CAW_RESOURCE_EXHAUSTED, "TOO_SLOW",
           "you read too slowly: go on behind the last message that you have");
  feed_let_go(st);
}

static void look_at_full(shard *s, uint64_t now) {
  for (feed *st = s->full, *next; st; st = next) {
    next = st->next_full;
    if (!st->over && now - st->full_since >= (uint64_t)st->app->stall * 1000) end_slow(st);
  }
}

/* ---- Heartbeats ---- */

void pace_off(feed *st) {
  if (!st->at_beat) return;
  *st->at_beat = st->next_beat;
  if (st->next_beat) st->next_beat->at_beat = st->at_beat;
  st->at_beat = NULL;
}

static void beat_at(feed *st, uint64_t when) {
  feed **slot = &st->shard->wheel[when / SECOND % WHEEL];
  pace_off(st);
  st->next_beat = *slot;
  if (*slot) (*slot)->at_beat = &st->next_beat;
  st->at_beat = slot;
  *slot = st;
}

static void beat(feed *st, uint64_t now) {
  google_protobuf_timestamp time = {.seconds = now_us() / 1000000,
                                    .nanos = (int32_t)(now_us() % 1000000 * 1000)};
  chat_v1_heartbeat heartbeat = {.now = &time};
  const chat_v1_event event = {.what_case = CHAT_V1_EVENT_WHAT_CASE_HEARTBEAT,
                               .what.heartbeat = &heartbeat};
  if (now < st->last_sent + st->heartbeat) {
    beat_at(st, st->last_sent + st->heartbeat);
    return;
  }
  if (!st->at_full) feed_send_event(st, &event);
  beat_at(st, now + st->heartbeat);
}

void feed_heartbeat(feed *st, uint64_t ns) {
  st->heartbeat = ns;
  beat_at(st, caw_loop_now(st->shard->loop) + ns);
}

/* ---- Every second ---- */

static void tick(void *user) {
  shard *s = user;
  uint64_t now = caw_loop_now(s->loop);
  caw_timer_start(s->tick, 1000);
  look_at_full(s, now);
  /* All slots since the last tick, this second's too. */
  for (; s->slot != now / SECOND % WHEEL; s->slot = (s->slot + 1) % WHEEL) {
    feed *due = s->wheel[s->slot];
    s->wheel[s->slot] = NULL;
    if (due) due->at_beat = &due;
    while (due) {
      feed *st = due;
      pace_off(st);
      if (!st->over) beat(st, now);
    }
  }
  shard_turn(s); /* a post may have failed */
}

bool pace_begin(shard *s) {
  if (s->tick) return true;
  if (caw_timer_new(&s->tick, s->loop, tick, s)) return false;
  s->slot = (unsigned)(caw_loop_now(s->loop) / SECOND % WHEEL);
  caw_timer_start(s->tick, 1000);
  return true;
}

void pace_end(shard *s) {
  caw_timer_free(s->tick);
  s->tick = NULL;
}
