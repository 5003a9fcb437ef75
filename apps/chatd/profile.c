/* The checks of profile.h. */
#include "profile.h"

#include "words.h"

#include <caw/status.h>

#define NAME_MOST   100
#define STATUS_MOST 100
#define BIO_MOST    2000
#define URL_MOST    500

static bool normal(task *t, const char *field, const char *why, caw_str given, caw_str *out) {
  task_check(t, field, why);
  *out = why ? given : words_normal(given, t->arena);
  return why || out->data;
}

bool profile_display_name(task *t, const char *field, caw_str given, caw_str handle, caw_str *out) {
  if (!given.len) given = handle;
  if (!given.len) return true; /* what is wrong with the handle has been noted */
  return normal(t, field, words_text(given, NAME_MOST, false, true, t->arena), given, out);
}

bool profile_status(task *t, const char *field, caw_str given, caw_str *out) {
  return normal(t, field, words_text(given, STATUS_MOST, false, false, t->arena), given, out);
}

bool profile_bio(task *t, const char *field, caw_str given, caw_str *out) {
  return normal(t, field, words_text(given, BIO_MOST, true, false, t->arena), given, out);
}

bool profile_avatar(task *t, const char *field, caw_str given, caw_str *out) {
  task_check(t, field, words_url(given, URL_MOST, t->arena));
  *out = given;
  return true;
}

void profile_password(task *t, const char *field, caw_str given) {
  if (given.len < PASSWORD_LEAST) task_check(t, field, "has fewer than 8 bytes");
  if (given.len > PASSWORD_MOST) task_check(t, field, "has more than 256 bytes");
}

void profile_client_name(task *t, caw_str given) {
  task_check(t, "client_name", words_text(given, CLIENT_NAME, false, false, t->arena));
}

int profile_search(task *t, store_user *user) {
  user->search = words_search(user->handle, user->display_name, t->arena);
  return user->search.data ? 0 : CAW_ENOMEM;
}
