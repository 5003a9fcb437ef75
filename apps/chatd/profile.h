/* What a profile may say: checks shared by all who make or change accounts. */
#ifndef CHATD_PROFILE_H
#define CHATD_PROFILE_H

#include "task.h"

#define PASSWORD_LEAST 8
#define PASSWORD_MOST  256
#define CLIENT_NAME    100

/* Each notes what is wrong with task_check, `field` being the name in the request; texts
 * are put into normal form. False without memory. */
bool profile_display_name(task *t, const char *field, caw_str given, caw_str handle, caw_str *out);
bool profile_status(task *t, const char *field, caw_str given, caw_str *out);
bool profile_bio(task *t, const char *field, caw_str given, caw_str *out);
bool profile_avatar(task *t, const char *field, caw_str given, caw_str *out);

void profile_password(task *t, const char *field, caw_str given);
void profile_client_name(task *t, caw_str given);

/* Fills user->search from handle and name. 0 or CAW_ENOMEM. */
int profile_search(task *t, store_user *user);

#endif
