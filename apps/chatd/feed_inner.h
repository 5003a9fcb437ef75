/* What shard.c and pace.c ask of streams besides feed.h. All on the stream's loop. */
#ifndef CHATD_FEED_INNER_H
#define CHATD_FEED_INNER_H

#include "feed.h"

/* Sends an event in the form of the stream. As feed_send. */
int feed_send_event(feed *st, const chat_v1_event *event);

/* The number of the newest message of a sub's room that came since somebody listens; 0: none. */
int64_t feed_newest(const sub *s);

/* What an ended stream needs no more: its call may last for as long as the client reads nothing.
 * Not while the subs of a place are walked. */
void feed_let_go(feed *st);

/* Hands what came in a room to its streams. */
void feed_turn_place(shard *sh, int64_t room_id);

/* Has pages read for those who wait for one, as many as may be at a time. */
void feed_hungry(shard *s);

#endif
