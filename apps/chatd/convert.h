/* What the store keeps, as messages of chat.v1, and the reverse. Everything made is in the
 * arena; functions return false without memory. */
#ifndef CHATD_CONVERT_H
#define CHATD_CONVERT_H

#include "store.h"

#include <chat/v1/auth.caw.h>
#include <chat/v1/chat.caw.h>

google_protobuf_timestamp *to_time(caw_arena *arena, int64_t us);
google_protobuf_duration *to_duration(caw_arena *arena, int64_t us);

/* Microseconds; -1: it is negative, or none that duration.proto allows. NULL is 0. */
int64_t from_duration(const google_protobuf_duration *d);

bool to_user(chat_v1_user *out, const store_user *user, caw_arena *arena);
bool to_room(chat_v1_room *out, const store_room *room, caw_arena *arena);
bool to_message(chat_v1_message *out, const store_message *message, caw_arena *arena);
bool to_session(chat_v1_session *out, const store_session *session, int64_t current,
                caw_arena *arena);

/* The same on a new message of the arena, NULL without memory. */
chat_v1_user *new_user(const store_user *user, caw_arena *arena);
chat_v1_room *new_room(const store_room *room, caw_arena *arena);

#endif
