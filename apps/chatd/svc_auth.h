/* The methods that have to do with passwords: Register, Login, ChangePassword,
 * ResetPassword, CreateUser. Their way goes through the store, the threads of keys.h, and
 * the store again. */
#ifndef CHATD_SVC_AUTH_H
#define CHATD_SVC_AUTH_H

#include "chatd.h"
#include "task.h"

/* 0 or a CAW_E*. */
int auth_add(caw_server *server, chatd *app);

/* Names of what the store notes (store_note_put). */
#define NOTE_OWNER_TOKEN "owner_token" /* the hash of the one-time token, in hex */

#endif
