/* The services of the greeter server, each in a file of its own. */
#ifndef APPS_GREETER_H
#define APPS_GREETER_H

#include <caw/interceptor.h>
#include <caw/server.h>

/* greeter.c: the Greeter. Borrowed by the server. */
typedef struct greeter {
  const char *server_id;
  uint64_t interval_ms; /* between the replies of SayHelloStream */
} greeter;

/* Adds the Greeter to the server. 0 or a CAW_E*. */
int greeter_add(caw_server *server, greeter *self);

/* room.c: the ChatService. */
typedef struct chat_room chat_room;

/* Makes a room; `list` ends ReceiveMessage after the messages that are kept.
 * 0 or CAW_ENOMEM. */
int room_new(chat_room **out, bool list);
int room_add(caw_server *server, chat_room *self);
/* After the server was freed. */
void room_free(chat_room *self);

/* token.c: refuses calls without the bearer token that is its user, a string. */
extern const caw_interceptor token_interceptor;

#endif
