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

/*
 * Begins to listen as a SubscribeRequest says, once the store has been asked; what is wrong
 * with it is told to `wrong`, with t->failure. 0, or an error: nothing will be told.
 */
typedef void subscribe_wrong(feed *st, task *t, int code);
int subscribe_to(feed *st, const chat_v1_subscribe_request *request, subscribe_wrong *wrong);

#endif
