/* The methods that are streams, each in a file of its own. */
#ifndef CHATD_STREAMS_H
#define CHATD_STREAMS_H

#include "chatd.h"
#include "feed.h"

/* subscribe.c: Subscribe and ReadAll. 0 or a CAW_E*. */
int subscribe_add(caw_server *server, chatd *app);

/* chat.c: Chat. */
int chat_add(caw_server *server, chatd *app);

/* lobby.c: the ChatService without a package, bridged to the room `room_id`. */
int lobby_add(caw_server *server, chatd *app, int64_t room_id);

/* How a stream tells what is wrong with something that it was asked for: t->failure. */
typedef void feed_wrong(feed *st, task *t, int code);

/* Begins to listen as a SubscribeRequest says, once the store has been asked: st->looking is
 * above 0 until then, and a stream with `flush` is flushed then. */
void subscribe_to(feed *st, const chat_v1_subscribe_request *request, feed_wrong *wrong);

/* Ends the stream when its session has ended: between the door and the moment when the stream
 * was known to those who end streams. st->looking as above. */
void subscribe_check(feed *st);

#endif
