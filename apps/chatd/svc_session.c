/* The methods of AuthService that need no password: sessions and reset codes. */
#include "convert.h"
#include "keys.h"
#include "methods.h"

#include <caw/status.h>

#define CODE_LIFE ((int64_t)24 * 3600 * 1000000)

/* What a session that ended means: nobody is let in by it, and its streams end. */
static int tell_ended(task *t, const int64_t *ids, size_t n) {
  for (size_t i = 0; i < n; i++) {
    effect *e = task_effect(t, EFFECT_ENDED, 0, t->who->user_id, 0);
    if (!e) return CAW_ENOMEM;
    e->session_id = ids[i];
  }
  return 0;
}

static int end_sessions(task *t, int64_t id, int64_t except, size_t *n) {
  int64_t *gone;
  int rc = store_session_drop(t->store, t->who->user_id, id, except, &gone, n, t->arena);
  return rc ? rc : tell_ended(t, gone, *n);
}

int work_logout(task *t, const void *request, void *reply) {
  size_t n;
  (void)request;
  (void)reply;
  return end_sessions(t, t->who->session_id, 0, &n);
}

int work_revoke_session(task *t, const void *request, void *reply) {
  const chat_v1_revoke_session_request *q = request;
  chat_v1_revoke_session_response *r = reply;
  size_t n = 0;
  int rc;
  if (q->which_case == CHAT_V1_REVOKE_SESSION_REQUEST_WHICH_CASE_SESSION_ID) {
    if (q->which.session_id <= 0) return task_wrong(t, "session_id", "is no session");
    rc = end_sessions(t, q->which.session_id, 0, &n);
  } else if (q->which_case == CHAT_V1_REVOKE_SESSION_REQUEST_WHICH_CASE_ALL_OTHERS &&
             q->which.all_others) {
    rc = end_sessions(t, 0, t->who->session_id, &n);
  } else {
    return task_wrong(t, "which", "is missing: give session_id, or all_others = true");
  }
  r->revoked = (int32_t)n;
  return rc;
}

/* A user has few sessions (svc_auth.c keeps it so), so all are read. */
int work_list_sessions(task *t, const void *request, void *reply) {
  const chat_v1_list_sessions_request *q = request;
  chat_v1_list_sessions_response *r = reply;
  store_session *all;
  size_t most, n, from = 0;
  int64_t after;
  int rc = task_page_id(t, q->page_size, q->page_token, &most, &after);
  if (!rc) rc = store_sessions(t->store, t->who->user_id, &all, &n, t->arena);
  if (rc) return rc;
  while (after && from < n && all[from].id >= after) from++;
  if (n - from > most) {
    n = from + most;
    r->next_page_token = task_token_id(t, all[n - 1].id);
    if (!r->next_page_token.data) return CAW_ENOMEM;
  }
  r->sessions.items = caw_arena_calloc(t->arena, n - from, sizeof(*r->sessions.items));
  if (!r->sessions.items) return CAW_ENOMEM;
  for (size_t i = from; i < n; i++)
    if (!to_session(&r->sessions.items[r->sessions.len++], &all[i], t->who->session_id, t->arena))
      return CAW_ENOMEM;
  return 0;
}

int work_create_reset_code(task *t, const void *request, void *reply) {
  const chat_v1_create_reset_code_request *q = request;
  chat_v1_create_reset_code_response *r = reply;
  store_user user;
  uint8_t hash[32];
  char code[KEYS_CODE];
  int rc = store_user_get(t->store, q->user_id, &user, t->arena);
  if (rc == STORE_NONE || (!rc && user.state == CHAT_V1_USER_STATE_DELETED))
    return task_fail(t, CAW_NOT_FOUND, "NO_USER", "there is no such user");
  if (rc) return rc;
  bool own = user.id == t->who->user_id;
  if (!own && (user.role >= t->who->role || user.role == CHAT_V1_ROLE_OWNER))
    return task_fail(t, CAW_PERMISSION_DENIED, "ROLE",
                     "only an owner may do that for an admin, and nobody for an owner");
  keys_code(code, hash);
  r->code = caw_arena_dup(t->arena, caw_str_from(code));
  r->expires_at = to_time(t->arena, t->now + CODE_LIFE);
  if (!r->code.data || !r->expires_at) return CAW_ENOMEM;
  return store_code_put(t->store, user.id, hash, t->now + CODE_LIFE);
}
