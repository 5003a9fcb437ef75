/* The table of methods.h. */
#include "methods.h"

#include <chat/v1/auth.caw.h>
#include <chat/v1/chat.caw.h>
#include <chat/v1/room.caw.h>
#include <chat/v1/user.caw.h>
#include <string.h>

/* Roles on the server, and in a room. */
#define ANYBODY 0
#define GUEST   CHAT_V1_ROLE_GUEST
#define MEMBER  CHAT_V1_ROLE_MEMBER
#define ADMIN   CHAT_V1_ROLE_ADMIN

#define NO_ROOM   0
#define READER    CHAT_V1_ROOM_ROLE_READER
#define WRITER    CHAT_V1_ROOM_ROLE_MEMBER
#define MODERATOR CHAT_V1_ROOM_ROLE_MODERATOR
#define HOST      CHAT_V1_ROOM_ROLE_OWNER

#define AUTH(name) &chat_v1_auth_service_##name##_method
#define USER(name) &chat_v1_user_service_##name##_method
#define ROOM(name) &chat_v1_room_service_##name##_method
#define CHAT(name) &chat_v1_chat_service_##name##_method

/* Where a rule depends on what the request says, the table has the least that is needed, and
 * the work looks at the rest: whose profile, which fields, whose role. */
static const rule table[] = {
    /* method                  server   in the room  admins  where        work */
    {AUTH(register), ANYBODY, NO_ROOM, false, WHERE_OWN, NULL},
    {AUTH(login), ANYBODY, NO_ROOM, false, WHERE_OWN, NULL},
    {AUTH(logout), GUEST, NO_ROOM, false, WHERE_WRITE, work_logout},
    {AUTH(change_password), GUEST, NO_ROOM, false, WHERE_OWN, NULL},
    {AUTH(list_sessions), GUEST, NO_ROOM, false, WHERE_READ, work_list_sessions},
    {AUTH(revoke_session), GUEST, NO_ROOM, false, WHERE_WRITE, work_revoke_session},
    {AUTH(create_reset_code), ADMIN, NO_ROOM, false, WHERE_WRITE, work_create_reset_code},
    {AUTH(reset_password), ANYBODY, NO_ROOM, false, WHERE_OWN, NULL},

    {USER(create_user), ADMIN, NO_ROOM, false, WHERE_OWN, NULL},
    {USER(get_user), GUEST, NO_ROOM, false, WHERE_READ, work_get_user},
    {USER(get_me), GUEST, NO_ROOM, false, WHERE_READ, work_get_me},
    {USER(list_users), MEMBER, NO_ROOM, false, WHERE_READ, work_list_users},
    {USER(search_users), MEMBER, NO_ROOM, false, WHERE_READ, work_search_users},
    {USER(update_user), GUEST, NO_ROOM, false, WHERE_WRITE, work_update_user},
    {USER(delete_user), GUEST, NO_ROOM, false, WHERE_WRITE, work_delete_user},

    {ROOM(create_room), MEMBER, NO_ROOM, false, WHERE_WRITE, work_create_room},
    {ROOM(get_room), GUEST, NO_ROOM, false, WHERE_READ, work_get_room},
    {ROOM(update_room), GUEST, MODERATOR, true, WHERE_WRITE, work_update_room},
    {ROOM(list_rooms), GUEST, NO_ROOM, false, WHERE_READ, work_list_rooms},
    {ROOM(browse_rooms), MEMBER, NO_ROOM, false, WHERE_READ, work_browse_rooms},
    {ROOM(join_room), MEMBER, NO_ROOM, false, WHERE_WRITE, work_join_room},
    {ROOM(leave_room), GUEST, NO_ROOM, false, WHERE_WRITE, work_leave_room},
    {ROOM(add_member), GUEST, MODERATOR, true, WHERE_WRITE, work_add_member},
    {ROOM(remove_member), GUEST, MODERATOR, true, WHERE_WRITE, work_remove_member},
    {ROOM(ban_member), GUEST, MODERATOR, true, WHERE_WRITE, work_ban_member},
    {ROOM(unban_member), GUEST, MODERATOR, true, WHERE_WRITE, work_unban_member},
    {ROOM(set_member_role), GUEST, HOST, true, WHERE_WRITE, work_set_member_role},
    {ROOM(list_members), GUEST, READER, true, WHERE_READ, work_list_members},
    {ROOM(open_direct), MEMBER, NO_ROOM, false, WHERE_WRITE, work_open_direct},

    {CHAT(send), GUEST, WRITER, false, WHERE_WRITE, work_send},
    {CHAT(subscribe), GUEST, NO_ROOM, false, WHERE_OWN, NULL},
    {CHAT(chat), GUEST, NO_ROOM, false, WHERE_OWN, NULL},
    {CHAT(get_messages), GUEST, READER, true, WHERE_READ, work_get_messages},
    {CHAT(read_all), GUEST, READER, true, WHERE_OWN, NULL},
    {CHAT(count_messages), GUEST, NO_ROOM, false, WHERE_READ, work_count_messages},
    {CHAT(mark_read), GUEST, READER, false, WHERE_WRITE, work_mark_read},
    {CHAT(send_typing), GUEST, WRITER, false, WHERE_READ, work_send_typing},
};

const rule *rules(size_t *n) {
  *n = sizeof(table) / sizeof(table[0]);
  return table;
}

/* What the library serves to those who look after the server (--channelz). */
static const rule of_admins = {NULL, ADMIN, NO_ROOM, false, WHERE_OWN, NULL};

static bool is_for_admins(const char *path) {
  static const char channelz[] = "/grpc.channelz.v1.Channelz/";
  return !strncmp(path, channelz, sizeof(channelz) - 1);
}

const rule *rule_of(const caw_method *method) {
  if (is_for_admins(method->path)) return &of_admins;
  for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
    if (table[i].method == method) return &table[i];
  return NULL;
}
