/*
 * The methods of chat.v1: which there are, who may call each, and the functions that do the
 * work. One table (methods.c) says all of it; what is not in the table is refused.
 */
#ifndef CHATD_METHODS_H
#define CHATD_METHODS_H

#include "task.h"

/* Where the work of a method runs. */
typedef enum where {
  WHERE_READ,  /* on a reader of the desk */
  WHERE_WRITE, /* in a turn of the writer */
  WHERE_OWN    /* its own handler sees to it (log-ins, streams) */
} where;

/* Who may call a method. */
struct rule {
  const caw_method *method;
  int role;      /* least role on the server (chat.v1.Role); 0: no token is needed */
  int room_role; /* least role in the room of the request (chat.v1.RoomRole); 0: it has none */
  bool admins;   /* admins may do it in public rooms, as if they owned them */
  where where;
  int (*work)(task *t, const void *request, void *reply); /* unless WHERE_OWN */
};

/* The rule of a method; NULL: nobody may call it. */
const rule *rule_of(const caw_method *method);

/* All rules. */
const rule *rules(size_t *n);

/* svc_user.c */
int work_create_user(task *t, const void *request, void *reply);
int work_get_user(task *t, const void *request, void *reply);
int work_get_me(task *t, const void *request, void *reply);
int work_list_users(task *t, const void *request, void *reply);
int work_search_users(task *t, const void *request, void *reply);
int work_update_user(task *t, const void *request, void *reply);
int work_delete_user(task *t, const void *request, void *reply);

/* svc_session.c */
int work_logout(task *t, const void *request, void *reply);
int work_list_sessions(task *t, const void *request, void *reply);
int work_revoke_session(task *t, const void *request, void *reply);
int work_create_reset_code(task *t, const void *request, void *reply);

/* svc_room.c */
int work_create_room(task *t, const void *request, void *reply);
int work_get_room(task *t, const void *request, void *reply);
int work_update_room(task *t, const void *request, void *reply);
int work_list_rooms(task *t, const void *request, void *reply);
int work_browse_rooms(task *t, const void *request, void *reply);
int work_open_direct(task *t, const void *request, void *reply);

/* svc_member.c */
int work_join_room(task *t, const void *request, void *reply);
int work_leave_room(task *t, const void *request, void *reply);
int work_add_member(task *t, const void *request, void *reply);
int work_remove_member(task *t, const void *request, void *reply);
int work_ban_member(task *t, const void *request, void *reply);
int work_unban_member(task *t, const void *request, void *reply);
int work_set_member_role(task *t, const void *request, void *reply);
int work_list_members(task *t, const void *request, void *reply);

/* svc_message.c */
int work_send(task *t, const void *request, void *reply);
int work_get_messages(task *t, const void *request, void *reply);
int work_count_messages(task *t, const void *request, void *reply);
int work_mark_read(task *t, const void *request, void *reply);
int work_send_typing(task *t, const void *request, void *reply);

/* A room as the caller sees it, from t->room and t->member; NULL and *rc on an error. */
chat_v1_room_view *room_view(task *t, int *rc);

/* Is it the name of a role, ...? For what a request may set. */
bool is_request_id(caw_str id);

#endif
