/* The conversions of convert.h. */
#include "convert.h"

#define SECOND 1000000

google_protobuf_timestamp *to_time(caw_arena *arena, int64_t us) {
  google_protobuf_timestamp *t = caw_arena_calloc(arena, 1, sizeof(*t));
  if (!t) return NULL;
  t->seconds = us / SECOND;
  t->nanos = (int32_t)(us % SECOND * 1000);
  return t;
}

google_protobuf_duration *to_duration(caw_arena *arena, int64_t us) {
  google_protobuf_duration *d = caw_arena_calloc(arena, 1, sizeof(*d));
  if (!d) return NULL;
  d->seconds = us / SECOND;
  d->nanos = (int32_t)(us % SECOND * 1000);
  return d;
}

int64_t from_duration(const google_protobuf_duration *d) {
  const int64_t most = INT64_C(315576000000); /* seconds, as duration.proto has it */
  if (!d) return 0;
  if (d->seconds < 0 || d->seconds > most || d->nanos < 0 || d->nanos > 999999999) return -1;
  return d->seconds * SECOND + d->nanos / 1000;
}

bool to_user(chat_v1_user *out, const store_user *user, caw_arena *arena) {
  *out = (chat_v1_user){.id = user->id,
                        .handle = user->handle,
                        .display_name = user->display_name,
                        .status_text = user->status_text,
                        .bio = user->bio,
                        .avatar_url = user->avatar_url,
                        .role = user->role,
                        .state = user->state};
  if (user->state == CHAT_V1_USER_STATE_DELETED) return true; /* nothing but its id */
  out->created_at = to_time(arena, user->created);
  out->updated_at = to_time(arena, user->updated);
  return out->created_at && out->updated_at;
}

bool to_room(chat_v1_room *out, const store_room *room, caw_arena *arena) {
  *out = (chat_v1_room){.id = room->id,
                        .name = room->name,
                        .topic = room->topic,
                        .visibility = room->visibility,
                        .kind = room->kind,
                        .creator_id = room->creator_id,
                        .last_number = room->last_number,
                        .member_count = room->members,
                        .created_at = to_time(arena, room->created)};
  if (room->slow_mode && !(out->slow_mode = to_duration(arena, room->slow_mode))) return false;
  if (!room->max_age && !room->max_messages) return out->created_at != NULL;
  out->retention = caw_arena_calloc(arena, 1, sizeof(*out->retention));
  if (!out->retention) return false;
  out->retention->max_messages = room->max_messages;
  if (room->max_age && !(out->retention->max_age = to_duration(arena, room->max_age))) return false;
  return out->created_at != NULL;
}

bool to_message(chat_v1_message *out, const store_message *message, caw_arena *arena) {
  *out = (chat_v1_message){.room_id = message->room_id,
                           .number = message->number,
                           .author_id = message->author_id,
                           .kind = message->kind,
                           .text = message->text,
                           .reply_to = message->reply_to,
                           .client_message_id = message->client_id,
                           .guest_name = message->guest_name,
                           .sent_at = to_time(arena, message->sent)};
  return out->sent_at != NULL;
}

bool to_session(chat_v1_session *out, const store_session *session, int64_t current,
                caw_arena *arena) {
  *out = (chat_v1_session){.id = session->id,
                           .client_name = session->client_name,
                           .peer = session->peer,
                           .created_at = to_time(arena, session->created),
                           .used_at = to_time(arena, session->used),
                           .expires_at = to_time(arena, session->expires),
                           .current = session->id == current};
  return out->created_at && out->used_at && out->expires_at;
}

chat_v1_user *new_user(const store_user *user, caw_arena *arena) {
  chat_v1_user *out = caw_arena_alloc(arena, sizeof(*out));
  return out && to_user(out, user, arena) ? out : NULL;
}

chat_v1_room *new_room(const store_room *room, caw_arena *arena) {
  chat_v1_room *out = caw_arena_alloc(arena, sizeof(*out));
  return out && to_room(out, room, arena) ? out : NULL;
}
