/* The methods of svc_auth.h, each a plan of steps. */
#include "svc_auth.h"

#include "access.h"
#include "convert.h"
#include "profile.h"
#include "unary.h"
#include "words.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define MOST_SESSIONS 100 /* of a user; the one that was used least lately makes room */

typedef struct logon logon;

/*
 * The steps of a method, each left out when NULL. Each returns 0 to go on, or why not.
 *   check    on the loop: is the request fit to be looked at?
 *   look     on a reader: who is it? Sets l->secret when a password is to be compared
 *   judge    on a thread of keys.h, when the password was compared (l->key.job.right)
 *   write    in a turn of the writer
 * Between judge and write, `fresh` is the password to be kept, its hash then in l->key.
 */
typedef struct plan {
  const caw_method *method;
  int (*check)(logon *l);
  int (*look)(logon *l);
  caw_str (*given)(const logon *l);
  int (*judge)(logon *l);
  caw_str (*fresh)(const logon *l);
  int (*write)(logon *l);
} plan;

/* A password on its way, and whose it is. */
typedef struct logon_key {
  keys_job job; /* first: the job is the key */
  logon *logon;
} logon_key;

struct logon {
  desk_job job;
  logon_key key;
  task task;
  const plan *plan;
  caw_call *call;
  const void *request;
  void *reply;
  caw_str peer;
  store_user user; /* look found it; id 0: nobody */
  caw_str secret;  /* what is kept of a password; empty: there is none to compare */
  bool compared;
  bool again, repeated; /* what was looked at is so no more: once more from the look on */
};

/* ---- The way ---- */

static void finish(logon *l, int rc) {
  sodium_memzero(l->key.job.secret, sizeof(l->key.job.secret));
  task_finish(&l->task, l->call, rc, l->reply);
}

static int on_writer(desk_job *job, store *s) {
  logon *l = (logon *)job;
  task_begin(&l->task, s);
  if (caw_call_cancelled(l->call)) return CAW_CANCELLED;
  memset(l->reply, 0, caw_call_method(l->call)->response->size);
  return l->plan->write(l);
}

static int read_it(logon *l);

static void written(desk_job *job, int rc) {
  logon *l = (logon *)job;
  if (rc && l->again) {
    l->again = false;
    l->repeated = true;
    rc = read_it(l);
    if (rc) finish(l, rc);
    return;
  }
  if (!rc) task_publish(&l->task);
  finish(l, rc);
}

static void write_it(logon *l) {
  l->job.work = on_writer;
  l->job.done = written;
  int rc = desk_write(l->task.app->desk, &l->job);
  if (rc) finish(l, rc);
}

static void made(keys_job *key) {
  logon *l = ((logon_key *)key)->logon;
  if (key->right) write_it(l);
  else finish(l, CAW_ENOMEM);
}

static void use_key(logon *l, caw_str password, void (*then)(keys_job *)) {
  l->key.job.password = password.len ? password : caw_str_from("");
  l->key.job.done = then;
  chatd *app = l->task.app;
  pthread_mutex_lock(&app->keys_lock);
  int rc = app->keys ? keys_pool_put(app->keys, &l->key.job) : CAW_ECLOSED;
  pthread_mutex_unlock(&app->keys_lock);
  if (rc) finish(l, rc);
}

static void make_secret(logon *l) {
  caw_str fresh = l->plan->fresh ? l->plan->fresh(l) : caw_str_of(NULL, 0);
  l->key.job.secret[0] = '\0';
  if (fresh.len) use_key(l, fresh, made);
  else write_it(l);
}

static void compared(keys_job *key) {
  logon *l = ((logon_key *)key)->logon;
  task_begin(&l->task, NULL);
  int rc = l->plan->judge(l);
  if (rc) finish(l, rc);
  else make_secret(l);
}

static int on_reader(desk_job *job, store *s) {
  logon *l = (logon *)job;
  task_begin(&l->task, s);
  return l->plan->look(l);
}

static void looked(desk_job *job, int rc) {
  logon *l = (logon *)job;
  if (rc) {
    finish(l, rc);
  } else if (l->secret.len) {
    snprintf(l->key.job.secret, sizeof(l->key.job.secret), "%.*s", CAW_STR_ARG(l->secret));
    use_key(l, l->plan->given(l), compared);
  } else {
    make_secret(l);
  }
}

static int read_it(logon *l) {
  l->job.work = on_reader;
  l->job.done = looked;
  return desk_read(l->task.app->desk, &l->job);
}

static int refuse(logon *l, int rc) {
  l->task.failure.code = task_explain(&l->task, rc);
  return caw_details_fail(l->call, &l->task.failure);
}

/* ---- What several need ---- */

static int wrong_credentials(logon *l, int code) {
  return task_fail(&l->task, code, "WRONG_CREDENTIALS", "the handle or the password is wrong");
}

static int suspended(logon *l) {
  return task_fail(&l->task, CAW_PERMISSION_DENIED, "SUSPENDED",
                   "this account is suspended: ask an admin");
}

/* Between look and write the account may have changed, and so may its password. */
static int still_the_same(logon *l) {
  task *t = &l->task;
  caw_str secret;
  int rc = store_user_get(t->store, l->user.id, &l->user, t->arena);
  if (!rc) rc = store_secret_get(t->store, l->user.id, &secret, t->arena);
  if (rc) return rc == STORE_NONE ? wrong_credentials(l, CAW_UNAUTHENTICATED) : rc;
  if (l->user.state == CHAT_V1_USER_STATE_SUSPENDED) return suspended(l);
  if (!caw_str_eq(secret, l->secret) || l->user.state == CHAT_V1_USER_STATE_DELETED)
    return wrong_credentials(l, CAW_UNAUTHENTICATED);
  return 0;
}

/* Counts a try for the account and the address. */
static int count_try(logon *l, caw_str handle) {
  throttle *all = l->task.app->throttle;
  int64_t wait = throttle_try(all, THROTTLE_ADDRESS, throttle_address(l->peer), l->task.now);
  if (!wait) wait = throttle_try(all, THROTTLE_ACCOUNT, handle, l->task.now);
  if (!wait) return 0;
  return task_later(&l->task, wait, "TOO_MANY_TRIES", "too many failed tries: wait %lld s",
                    (long long)((wait + 999999) / 1000000));
}

static void forgive(logon *l, caw_str handle) {
  throttle_fine(l->task.app->throttle, THROTTLE_ADDRESS, throttle_address(l->peer), false);
  throttle_fine(l->task.app->throttle, THROTTLE_ACCOUNT, handle, true);
}

/* Who has this handle, and what is kept of the password. Nobody: something that takes
 * as long to compare. */
static int find_secret(logon *l, caw_str handle) {
  task *t = &l->task;
  int rc = store_user_by_handle(t->store, handle, &l->user, t->arena);
  if (!rc) rc = store_secret_get(t->store, l->user.id, &l->secret, t->arena);
  if (rc && rc != STORE_NONE) return rc;
  if (rc || !l->secret.len) l->secret = caw_str_from(keys_nobody());
  if (rc) l->user.id = 0;
  return 0;
}

/* Makes room for one more session of a user. */
static int bound_sessions(task *t, int64_t user_id) {
  store_session *all;
  int64_t *gone;
  size_t n, least = 0;
  int rc = store_sessions(t->store, user_id, &all, &n, t->arena);
  if (rc || n < MOST_SESSIONS) return rc;
  for (size_t i = 1; i < n; i++)
    if (all[i].used < all[least].used) least = i;
  rc = store_session_drop(t->store, user_id, all[least].id, 0, &gone, &n, t->arena);
  if (rc) return rc;
  effect *e = task_effect(t, EFFECT_ENDED, 0, user_id, 0);
  if (!e) return CAW_ENOMEM;
  e->session_id = all[least].id;
  return 0;
}

/* A session that a lost answer told of is replaced rather than left over. */
static int replace_session(task *t, int64_t user_id, caw_str once, caw_str client_name,
                           int64_t *old) {
  uint8_t digest[32];
  int64_t *gone;
  size_t n;
  *old = 0;
  crypto_generichash(digest, sizeof(digest), (const uint8_t *)client_name.data, client_name.len,
                     NULL, 0);
  int rc = store_once(t->store, user_id, once, digest, old, t->now);
  if (rc == STORE_NONE) return 0;
  if (rc == STORE_TAKEN)
    return task_fail(t, CAW_ALREADY_EXISTS, "REQUEST_ID_USED",
                     "another request had this request_id");
  if (!rc) rc = store_session_drop(t->store, user_id, *old, 0, &gone, &n, t->arena);
  if (rc) return rc;
  effect *e = task_effect(t, EFFECT_ENDED, 0, user_id, 0);
  if (!e) return CAW_ENOMEM;
  e->session_id = *old;
  return 0;
}

/* "KIND NAME ID": under what a request is kept. An id may have any bytes. */
static caw_str once_key(task *t, const char *kind, caw_str name, caw_str id) {
  size_t n = strlen(kind);
  char *text = caw_arena_alloc(t->arena, n + name.len + id.len + 2);
  if (!text) return caw_str_of(NULL, 0);
  char *at = memcpy(text, kind, n);
  at += n;
  *at++ = ' ';
  if (name.len) {
    memcpy(at, name.data, name.len);
    at += name.len;
    *at++ = ' ';
  }
  if (id.len) memcpy(at, id.data, id.len);
  return caw_str_of(text, (size_t)(at - text) + id.len);
}

/* A new session, its token as text. `request_id` may be empty. */
static int open_session(logon *l, int64_t user_id, caw_str client_name, caw_str request_id,
                        caw_str *token, chat_v1_session **out) {
  task *t = &l->task;
  char text[KEYS_TOKEN];
  uint8_t hash[32];
  int64_t old;
  caw_str once = once_key(t, "session", caw_str_of(NULL, 0), request_id);
  store_session session = {.user_id = user_id,
                           .client_name = client_name,
                           .peer = l->peer,
                           .created = t->now,
                           .used = t->now,
                           .expires = t->now + t->app->session_life};
  if (!once.data) return CAW_ENOMEM;
  int rc = request_id.len ? replace_session(t, user_id, once, client_name, &old) : 0;
  if (!rc) rc = bound_sessions(t, user_id);
  keys_token(text, hash);
  if (!rc) rc = store_session_add(t->store, &session, hash);
  if (!rc && request_id.len) rc = store_once_result(t->store, user_id, once, session.id);
  if (rc) return rc;
  *token = caw_arena_dup(t->arena, caw_str_from(text));
  *out = caw_arena_alloc(t->arena, sizeof(**out));
  sodium_memzero(text, sizeof(text));
  return token->data && *out && to_session(*out, &session, session.id, t->arena) ? 0 : CAW_ENOMEM;
}

static int end_sessions(task *t, int64_t user_id, int64_t except) {
  int64_t *gone;
  size_t n;
  int rc = store_session_drop(t->store, user_id, 0, except, &gone, &n, t->arena);
  for (size_t i = 0; !rc && i < n; i++) {
    effect *e = task_effect(t, EFFECT_ENDED, 0, user_id, 0);
    if (!e) return CAW_ENOMEM;
    e->session_id = gone[i];
  }
  return rc;
}

/* ---- Register ---- */

static int register_check(logon *l) {
  const chat_v1_register_request *q = l->request;
  task *t = &l->task;
  task_check(t, "handle", words_handle(q->handle));
  profile_password(t, "password", q->password);
  if (!profile_display_name(t, "display_name", q->display_name, q->handle, &l->user.display_name))
    return CAW_ENOMEM;
  profile_client_name(t, q->client_name);
  if (!is_request_id(q->request_id))
    task_check(t, "request_id", "must have 1 to 64 bytes, chosen at random");
  int rc = task_checked(t);
  if (rc) return rc;
  int64_t wait =
      throttle_try(t->app->throttle, THROTTLE_REGISTER, throttle_address(l->peer), t->now);
  return wait ? task_later(t, wait, "TOO_MANY_TRIES", "too many accounts from your address") : 0;
}

/* Does the token make an owner? */
static int is_owner_token(task *t, caw_str token, bool *fits) {
  uint8_t hash[32];
  char hex[65];
  caw_str kept;
  *fits = false;
  if (!token.len) return 0;
  int rc = store_note_get(t->store, NOTE_OWNER_TOKEN, &kept, t->arena);
  if (rc) return rc == STORE_NONE ? 0 : rc;
  keys_hash(hash, token);
  sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
  *fits = kept.len == 64 && !sodium_memcmp(hex, kept.data, 64);
  return 0;
}

static int may_register(logon *l, bool *owner) {
  const chat_v1_register_request *q = l->request;
  task *t = &l->task;
  int rc = is_owner_token(t, q->owner_token, owner);
  if (rc || *owner) return rc;
  if (q->owner_token.len)
    return task_fail(t, CAW_PERMISSION_DENIED, "OWNER_TOKEN",
                     "this is not the token that the server printed, or it was used");
  if (t->app->closed)
    return task_fail(t, CAW_FAILED_PRECONDITION, "REGISTRATION_CLOSED",
                     "strangers cannot register here: ask an admin for an account");
  return 0;
}

static int register_look(logon *l) {
  const chat_v1_register_request *q = l->request;
  bool owner;
  int rc = store_user_by_handle(l->task.store, q->handle, &l->user, l->task.arena);
  if (rc == STORE_NONE) {
    l->user.id = 0;
    return may_register(l, &owner);
  }
  /* Is it the same request once more? Whoever knows the password may ask. */
  return rc ? rc : store_secret_get(l->task.store, l->user.id, &l->secret, l->task.arena);
}

static caw_str register_given(const logon *l) {
  return ((const chat_v1_register_request *)l->request)->password;
}

static int handle_taken(logon *l) {
  return task_fail(&l->task, CAW_ALREADY_EXISTS, "HANDLE_TAKEN", "this handle is taken");
}

static int register_judge(logon *l) {
  l->compared = true;
  return l->key.job.right ? 0 : handle_taken(l);
}

static caw_str register_fresh(const logon *l) {
  return l->compared ? caw_str_of(NULL, 0) : register_given(l);
}

/* The id of a registration belongs to the handle: nobody else's can meet it. */
static int register_once(logon *l, int64_t *id) {
  const chat_v1_register_request *q = l->request;
  uint8_t digest[32];
  task *t = &l->task;
  caw_str once = once_key(t, "register", q->handle, q->request_id);
  if (!once.data) return CAW_ENOMEM;
  crypto_generichash(digest, sizeof(digest), (const uint8_t *)q->display_name.data,
                     q->display_name.len, NULL, 0);
  if (*id) return store_once_result(t->store, 0, once, *id);
  return store_once(t->store, 0, once, digest, id, t->now);
}

static int add_user(logon *l, bool owner) {
  const chat_v1_register_request *q = l->request;
  task *t = &l->task;
  store_user *user = &l->user;
  caw_str name = q->display_name.len ? words_normal(q->display_name, t->arena) : q->handle;
  *user = (store_user){.handle = q->handle,
                       .display_name = name,
                       .role = owner ? CHAT_V1_ROLE_OWNER : CHAT_V1_ROLE_MEMBER,
                       .state = CHAT_V1_USER_STATE_ACTIVE,
                       .created = t->now,
                       .updated = t->now};
  if (!name.data) return CAW_ENOMEM;
  int rc = profile_search(t, user);
  if (!rc) rc = store_user_add(t->store, user, caw_str_from(l->key.job.secret));
  if (!rc && owner) rc = store_note_put(t->store, NOTE_OWNER_TOKEN, caw_str_of(NULL, 0));
  return rc;
}

static int register_write(logon *l) {
  const chat_v1_register_request *q = l->request;
  chat_v1_register_response *r = l->reply;
  task *t = &l->task;
  bool owner = false;
  int64_t id = 0;
  int rc;
  if (l->compared) {
    rc = register_once(l, &id);
    if (rc == STORE_NONE || rc == STORE_TAKEN || (!rc && id != l->user.id)) return handle_taken(l);
    if (!rc) rc = still_the_same(l);
  } else {
    rc = store_user_by_handle(t->store, q->handle, &l->user, t->arena);
    if (!rc) { /* perhaps by the same request, which was on its way */
      l->again = !l->repeated;
      return handle_taken(l);
    }
    if (rc == STORE_NONE) rc = may_register(l, &owner);
    if (!rc) rc = add_user(l, owner);
    if (rc == STORE_TAKEN) return handle_taken(l);
    if (!rc) rc = register_once(l, &id);
    if (rc == STORE_NONE) {
      id = l->user.id;
      rc = register_once(l, &id);
    }
  }
  if (!rc) rc = open_session(l, l->user.id, q->client_name, q->request_id, &r->token, &r->session);
  if (rc) return rc;
  r->user = new_user(&l->user, t->arena);
  return r->user ? 0 : CAW_ENOMEM;
}

/* ---- Login ---- */

static int login_check(logon *l) {
  const chat_v1_login_request *q = l->request;
  profile_client_name(&l->task, q->client_name);
  if (q->request_id.len > 64) task_check(&l->task, "request_id", "has more than 64 bytes");
  int rc = task_checked(&l->task);
  return rc ? rc : count_try(l, q->handle);
}

static int login_look(logon *l) {
  return find_secret(l, ((const chat_v1_login_request *)l->request)->handle);
}

static caw_str login_given(const logon *l) {
  return ((const chat_v1_login_request *)l->request)->password;
}

static int login_judge(logon *l) {
  if (!l->key.job.right || !l->user.id) return wrong_credentials(l, CAW_UNAUTHENTICATED);
  forgive(l, ((const chat_v1_login_request *)l->request)->handle);
  return l->user.state == CHAT_V1_USER_STATE_ACTIVE ? 0 : suspended(l);
}

static int login_write(logon *l) {
  const chat_v1_login_request *q = l->request;
  chat_v1_login_response *r = l->reply;
  int rc = still_the_same(l);
  if (!rc) rc = open_session(l, l->user.id, q->client_name, q->request_id, &r->token, &r->session);
  if (rc) return rc;
  r->user = new_user(&l->user, l->task.arena);
  return r->user ? 0 : CAW_ENOMEM;
}

/* ---- ChangePassword ---- */

static int change_check(logon *l) {
  const chat_v1_change_password_request *q = l->request;
  char id[32];
  profile_password(&l->task, "new_password", q->new_password);
  int rc = task_checked(&l->task);
  snprintf(id, sizeof(id), " %lld", (long long)l->task.who->user_id);
  return rc ? rc : count_try(l, caw_str_from(id));
}

static int change_look(logon *l) {
  task *t = &l->task;
  int rc = store_user_get(t->store, t->who->user_id, &l->user, t->arena);
  if (!rc) rc = store_secret_get(t->store, l->user.id, &l->secret, t->arena);
  if (!rc && !l->secret.len) l->secret = caw_str_from(keys_nobody());
  return rc;
}

static caw_str change_given(const logon *l) {
  return ((const chat_v1_change_password_request *)l->request)->old_password;
}

static int change_judge(logon *l) {
  char id[32];
  if (!l->key.job.right) return wrong_credentials(l, CAW_PERMISSION_DENIED);
  snprintf(id, sizeof(id), " %lld", (long long)l->task.who->user_id);
  forgive(l, caw_str_from(id));
  return 0;
}

static caw_str change_fresh(const logon *l) {
  return ((const chat_v1_change_password_request *)l->request)->new_password;
}

static int change_write(logon *l) {
  task *t = &l->task;
  int rc = still_the_same(l);
  if (!rc) rc = store_secret_put(t->store, l->user.id, caw_str_from(l->key.job.secret));
  return rc ? rc : end_sessions(t, l->user.id, t->who->session_id);
}

/* ---- ResetPassword ---- */

static int reset_check(logon *l) {
  const chat_v1_reset_password_request *q = l->request;
  profile_password(&l->task, "new_password", q->new_password);
  int rc = task_checked(&l->task);
  return rc ? rc : count_try(l, q->handle);
}

static caw_str reset_fresh(const logon *l) {
  return ((const chat_v1_reset_password_request *)l->request)->new_password;
}

static int reset_write(logon *l) {
  const chat_v1_reset_password_request *q = l->request;
  task *t = &l->task;
  uint8_t hash[32];
  int rc = store_user_by_handle(t->store, q->handle, &l->user, t->arena);
  keys_hash_code(hash, q->code);
  if (!rc) rc = store_code_take(t->store, l->user.id, hash, t->now);
  if (rc == STORE_NONE)
    return task_fail(t, CAW_UNAUTHENTICATED, "WRONG_CREDENTIALS",
                     "the handle or the code is wrong, or the code was used or is too old");
  if (!rc) rc = store_secret_put(t->store, l->user.id, caw_str_from(l->key.job.secret));
  if (!rc) rc = end_sessions(t, l->user.id, 0);
  if (!rc) forgive(l, q->handle);
  return rc;
}

/* ---- CreateUser ---- */

static int create_check(logon *l) {
  const chat_v1_create_user_request *q = l->request;
  task *t = &l->task;
  store_user *user = &l->user;
  if (!q->user) return task_wrong(t, "user", "is missing");
  task_check(t, "user.handle", words_handle(q->user->handle));
  if (q->password.len) profile_password(t, "password", q->password);
  user->role = q->user->role ? q->user->role : CHAT_V1_ROLE_MEMBER;
  if (user->role < CHAT_V1_ROLE_GUEST || user->role > CHAT_V1_ROLE_ADMIN)
    task_check(t, "user.role", "must be GUEST, MEMBER or ADMIN");
  if (!profile_display_name(t, "user.display_name", q->user->display_name, q->user->handle,
                            &user->display_name) ||
      !profile_status(t, "user.status_text", q->user->status_text, &user->status_text) ||
      !profile_bio(t, "user.bio", q->user->bio, &user->bio) ||
      !profile_avatar(t, "user.avatar_url", q->user->avatar_url, &user->avatar_url))
    return CAW_ENOMEM;
  int rc = task_checked(t);
  if (rc || user->role < CHAT_V1_ROLE_ADMIN || t->who->role >= CHAT_V1_ROLE_OWNER) return rc;
  return task_fail(t, CAW_PERMISSION_DENIED, "ROLE", "only an owner may make admins");
}

static caw_str create_fresh(const logon *l) {
  return ((const chat_v1_create_user_request *)l->request)->password;
}

/* A password is no part of what makes two requests the same: its hash is not compared here,
 * and the account is there already. */
static int create_write(logon *l) {
  const chat_v1_create_user_request *q = l->request;
  chat_v1_create_user_response *r = l->reply;
  task *t = &l->task;
  bool before;
  int64_t id;
  chat_v1_create_user_request same = *q;
  same.password = caw_str_of(NULL, 0);
  int rc = task_once(t, q->request_id, &chat_v1_create_user_request_type, &same, &before, &id);
  if (!rc && before) rc = store_user_get(t->store, id, &l->user, t->arena);
  if (!rc && !before) {
    l->user.handle = q->user->handle;
    l->user.state = CHAT_V1_USER_STATE_ACTIVE;
    l->user.created = l->user.updated = t->now;
    rc = profile_search(t, &l->user);
    if (!rc) rc = store_user_add(t->store, &l->user, caw_str_from(l->key.job.secret));
    if (rc == STORE_TAKEN) return handle_taken(l);
    if (!rc) rc = task_once_made(t, q->request_id, l->user.id);
  }
  if (rc) return rc;
  r->user = new_user(&l->user, t->arena);
  return r->user ? 0 : CAW_ENOMEM;
}

/* ---- Serving ---- */

static const plan plans[] = {
    {&chat_v1_auth_service_register_method, register_check, register_look, register_given,
     register_judge, register_fresh, register_write},
    {&chat_v1_auth_service_login_method, login_check, login_look, login_given, login_judge, NULL,
     login_write},
    {&chat_v1_auth_service_change_password_method, change_check, change_look, change_given,
     change_judge, change_fresh, change_write},
    {&chat_v1_auth_service_reset_password_method, reset_check, NULL, NULL, NULL, reset_fresh,
     reset_write},
    {&chat_v1_user_service_create_user_method, create_check, NULL, NULL, NULL, create_fresh,
     create_write},
};
#define PLANS (sizeof(plans) / sizeof(plans[0]))

static int begin(logon *l) {
  task_begin(&l->task, NULL);
  int rc = l->plan->check(l);
  if (rc) return refuse(l, rc);
  if (!l->plan->look) {
    make_secret(l); /* may finish the call at once, which is as good */
    return CAW_PENDING;
  }
  rc = read_it(l);
  return rc ? refuse(l, rc) : CAW_PENDING;
}

static int handle(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  caw_arena *arena = caw_call_arena(call);
  logon *l = caw_arena_calloc(arena, 1, sizeof(*l));
  (void)impl;
  if (!l) return CAW_ENOMEM;
  for (size_t i = 0; i < PLANS; i++)
    if (plans[i].method == caw_call_method(call)) l->plan = &plans[i];
  l->task = (task){.app = self, .arena = arena, .who = caller_of(call)};
  l->task.rule = rule_of(caw_call_method(call));
  l->key.logon = l;
  l->call = call;
  l->request = request;
  l->reply = reply;
  l->peer = caw_arena_dup(arena, caw_call_peer(call));
  return l->peer.data ? begin(l) : CAW_ENOMEM;
}

int auth_add(caw_server *server, chatd *app) {
  static caw_handler handlers[PLANS]; /* servers borrow it; always filled with the same */
  for (size_t i = 0; i < PLANS; i++)
    handlers[i] = (caw_handler){.method = plans[i].method, .message = handle};
  return caw_server_add(server, handlers, PLANS, NULL, app);
}
