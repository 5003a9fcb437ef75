/* The door of access.h. */
#include "access.h"

#include "chatd.h"
#include "methods.h"
#include "secret.h"

#include <caw/alloc.h>
#include <string.h>

#define MINUTE ((int64_t)60 * 1000000)

/* Services of others that need no token: they give away nothing of the chat. (Reflection
 * and the ChatService without package are there only when they were asked for.) */
static const char *const open_to_all[] = {"/grpc.health.v1.Health/", "/grpc.reflection.v1.",
                                          "/grpc.reflection.v1alpha.", "/greeter.Greeter/",
                                          "/ChatService/"};

static const caw_key caller_key = {"chatd caller", NULL};
static const caller nobody;

const caller *caller_of(const caw_call *call) {
  const caller *who = caw_call_value(call, &caller_key);
  return who ? who : &nobody;
}

static bool is_open(caw_str path) {
  for (size_t i = 0; i < sizeof(open_to_all) / sizeof(open_to_all[0]); i++) {
    size_t n = strlen(open_to_all[i]);
    if (path.len > n && !memcmp(path.data, open_to_all[i], n)) return true;
  }
  return false;
}

/* ---- Tokens ---- */

static int let_in(caw_call *call, const rule *r, const session_info *info) {
  static const char *const roles[] = {"", "guest", "member", "admin", "owner"};
  if (info->role < r->role)
    return caw_call_fail(call, CAW_PERMISSION_DENIED, "only a %s of this server may do that",
                         roles[r->role]);
  caller *who = caw_arena_alloc(caw_call_arena(call), sizeof(*who));
  if (!who) return CAW_ENOMEM;
  *who = (caller){.user_id = info->user_id, .session_id = info->id, .role = info->role};
  return caw_call_set_value(call, &caller_key, who);
}

static const char unknown[] = "the token is not known, or not any more: log in";

/* ---- Noting that a session is used ---- */

typedef struct touch {
  desk_job job;
  session_info info;
} touch;

static int touch_work(desk_job *job, store *s) {
  const touch *t = (const touch *)job;
  return store_session_touch(s, t->info.id, t->info.used, t->info.expires);
}

static void touch_done(desk_job *job, int rc) {
  (void)rc; /* the next call tries again in a minute */
  caw_free(job);
}

static void note_use(chatd *app, const uint8_t hash[32], session_info *info, int64_t now) {
  if (now - info->used < MINUTE) return;
  touch *t = caw_malloc(sizeof(*t));
  if (!t) return;
  info->used = now;
  info->expires = now + app->session_life;
  *t = (touch){.job = {.work = touch_work, .done = touch_done}, .info = *info};
  sessions_touch(app->sessions, hash, info->used, info->expires);
  if (desk_write(app->desk, &t->job)) caw_free(t);
}

/* ---- Looking a token up in the store ---- */

typedef struct lookup {
  desk_job job;
  chatd *app;
  caw_call *call;
  const rule *rule;
  uint8_t hash[32];
  uint64_t mark;
  session_info info;
} lookup;

static int lookup_work(desk_job *job, store *s) {
  lookup *l = (lookup *)job;
  store_session session;
  store_user user;
  caw_arena *arena = caw_call_arena(l->call);
  int rc = store_session_find(s, l->hash, &session, arena);
  if (!rc) rc = store_user_get(s, session.user_id, &user, arena);
  if (rc) return rc;
  if (user.state != CHAT_V1_USER_STATE_ACTIVE) return STORE_NONE;
  l->info = (session_info){.id = session.id,
                           .user_id = user.id,
                           .role = user.role,
                           .used = session.used,
                           .expires = session.expires};
  return 0;
}

static void lookup_done(desk_job *job, int rc) {
  lookup *l = (lookup *)job;
  const char *text = NULL;
  if (!rc && l->info.expires < now_us()) rc = STORE_NONE;
  if (!rc) {
    sessions_learn(l->app->sessions, l->hash, &l->info, l->mark);
    note_use(l->app, l->hash, &l->info, now_us());
    rc = let_in(l->call, l->rule, &l->info);
    if (rc > 0) text = "your role on this server does not allow that";
  } else if (rc == STORE_NONE) {
    rc = CAW_UNAUTHENTICATED;
    text = unknown;
  } else {
    rc = CAW_UNAVAILABLE;
    text = "the server cannot look up tokens now; try again";
  }
  caw_call_decide(l->call, rc, text);
}

static int look_up(chatd *app, caw_call *call, const rule *r, const uint8_t hash[32]) {
  lookup *l = caw_arena_alloc(caw_call_arena(call), sizeof(*l));
  if (!l) return CAW_ENOMEM;
  *l = (lookup){.job = {.work = lookup_work, .done = lookup_done},
                .app = app,
                .call = call,
                .rule = r,
                .mark = sessions_mark(app->sessions)};
  memcpy(l->hash, hash, sizeof(l->hash));
  if (!desk_read(app->desk, &l->job)) return CAW_PENDING;
  return caw_call_fail(call, CAW_UNAVAILABLE, "the server has too much to do; try again");
}

static int on_request(caw_call *call, void *user) {
  chatd *app = user;
  const caw_method *method = caw_call_method(call);
  uint8_t hash[32];
  session_info info;
  if (!method || is_open(caw_call_path(call))) return 0;
  const rule *r = rule_of(method);
  if (!r) return caw_call_fail(call, CAW_PERMISSION_DENIED, "nobody may call this method");
  if (!r->role) return 0;
  caw_str token = secret_bearer(caw_metadata_get(caw_call_metadata(call), "authorization"));
  if (!token.len)
    return caw_call_fail(call, CAW_UNAUTHENTICATED,
                         "a token is needed: log in, then send the metadata \"authorization: "
                         "Bearer TOKEN\"");
  keys_hash(hash, token);
  if (!sessions_find(app->sessions, hash, &info)) return look_up(app, call, r, hash);
  int64_t now = now_us();
  if (info.expires < now) return caw_call_fail(call, CAW_UNAUTHENTICATED, "%s", unknown);
  note_use(app, hash, &info, now);
  return let_in(call, r, &info);
}

const caw_interceptor access_interceptor = {.size = sizeof(access_interceptor),
                                            .on_request = on_request};
