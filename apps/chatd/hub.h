/*
 * Where what has happened meets those who listen. Events come in from the threads that
 * committed them, each encoded once; each loop has a shard (feed.h) that hands them to its
 * streams. Of each room that somebody listens to, the hub keeps the newest events in a
 * ring: who has fallen behind it reads from the store.
 */
#ifndef CHATD_HUB_H
#define CHATD_HUB_H

#include <stddef.h>
#include <stdint.h>

typedef struct hub hub;
struct effect;

/* 0 or CAW_ENOMEM. */
int hub_new(hub **out);

/* How many streams are open, on all loops; any thread. */
size_t hub_streams(const hub *h);

/* When no loop runs any more. NULL is fine. */
void hub_free(hub *h);

/* An event of a room. Messages come in the order of their numbers. Any thread, as all
 * below; what there is no memory for is read from the store by those who miss it. */
void hub_event(hub *h, const struct effect *e);

/* A user is in a room now, whose newest message is `number`. */
void hub_joined(hub *h, int64_t room_id, int64_t user_id, int64_t number);

/* A user has read a room up to `number`. */
void hub_read(hub *h, int64_t room_id, int64_t user_id, int64_t number);

/* A session of a user, or all of them (0), has ended. */
void hub_end(hub *h, int64_t user_id, int64_t session_id);

#endif
