/*
 * What time does to the streams of a loop: after silence a heartbeat; the end, for those whose
 * queue has been full for too long.
 */
#ifndef CHATD_PACE_H
#define CHATD_PACE_H

#include "feed.h"

/* The shard has a stream: looks at it every second from now on. False without memory. */
bool pace_begin(shard *s);

/* It has none any more. */
void pace_end(shard *s);

/* The stream's queue is full; has room again. */
void pace_full(feed *st);
void pace_room(feed *st);

/* No heartbeats any more. */
void pace_off(feed *st);

#endif
