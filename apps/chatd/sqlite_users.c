/* Accounts, sessions, reset codes and things done once, in the SQLite store. */
#include "sqlite.h"

#include <caw/status.h>
#include <string.h>

#define USER_COLUMNS                                                                               \
  "id, handle, display_name, status_text, bio, avatar_url, role, state, created, updated"

static int read_user(const query *q, void *item, caw_arena *arena) {
  store_user *out = item;
  int rc = 0;
  *out = (store_user){.id = get_int(q, 0),
                      .handle = get_text(q, 1, arena, &rc),
                      .display_name = get_text(q, 2, arena, &rc),
                      .status_text = get_text(q, 3, arena, &rc),
                      .bio = get_text(q, 4, arena, &rc),
                      .avatar_url = get_text(q, 5, arena, &rc),
                      .role = (int)get_int(q, 6),
                      .state = (int)get_int(q, 7),
                      .created = get_int(q, 8),
                      .updated = get_int(q, 9)};
  return rc;
}

static int one_user(query *q, store_user *out, caw_arena *arena) {
  int rc = one_row(q);
  if (rc) return rc;
  rc = read_user(q, out, arena);
  drop(q);
  return rc;
}

/* ---- Words ---- */

static int drop_words(store *s, int64_t id) {
  query q = ask(s, "DELETE FROM words WHERE user_id = ?");
  put_int(&q, id);
  return run(&q);
}

static int put_words(store *s, int64_t id, caw_str words) {
  int rc = 0;
  while (!rc && words.len) {
    const char *end = memchr(words.data, '\n', words.len);
    size_t n = end ? (size_t)(end - words.data) : words.len;
    query q = ask(s, "INSERT OR IGNORE INTO words(word, user_id) VALUES(?, ?)");
    put_text(&q, caw_str_of(words.data, n));
    put_int(&q, id);
    if (n) rc = run(&q);
    else drop(&q);
    if (end) n++;
    words = caw_str_of(words.data + n, words.len - n);
  }
  return rc;
}

/* ---- Accounts ---- */

static int take_handle(store *s, caw_str handle, int64_t id) {
  query q = ask(s, "INSERT INTO handles(handle, user_id) VALUES(?, ?)");
  put_text(&q, handle);
  put_int(&q, id);
  return run(&q);
}

static int handle_is_free(store *s, caw_str handle) {
  query q = ask(s, "SELECT 1 FROM handles WHERE handle = ?");
  put_text(&q, handle);
  int rc = one_row(&q);
  if (!rc) drop(&q);
  return rc == STORE_NONE ? 0 : rc ? rc : STORE_TAKEN;
}

int store_user_add(store *s, store_user *user, caw_str secret) {
  int rc = handle_is_free(s, user->handle);
  if (rc) return rc;
  query q =
      ask(s, "INSERT INTO users(handle, display_name, status_text, bio, avatar_url, role, state,"
             " created, updated, secret) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  put_text(&q, user->handle);
  put_text(&q, user->display_name);
  put_text(&q, user->status_text);
  put_text(&q, user->bio);
  put_text(&q, user->avatar_url);
  put_int(&q, user->role);
  put_int(&q, user->state);
  put_int(&q, user->created);
  put_int(&q, user->updated);
  put_text(&q, secret);
  if ((rc = run(&q))) return rc;
  user->id = sqlite3_last_insert_rowid(s->db);
  rc = take_handle(s, user->handle, user->id);
  return rc ? rc : put_words(s, user->id, user->search);
}

static int found(const store *s, int rc) {
  return rc ? rc : changes(s) ? 0 : STORE_NONE;
}

int store_user_put(store *s, const store_user *user) {
  query q = ask(s, "UPDATE users SET display_name = ?, status_text = ?, bio = ?, avatar_url = ?,"
                   " role = ?, state = ?, updated = ? WHERE id = ?");
  put_text(&q, user->display_name);
  put_text(&q, user->status_text);
  put_text(&q, user->bio);
  put_text(&q, user->avatar_url);
  put_int(&q, user->role);
  put_int(&q, user->state);
  put_int(&q, user->updated);
  put_int(&q, user->id);
  int rc = found(s, run(&q));
  if (!rc) rc = drop_words(s, user->id);
  return rc ? rc : put_words(s, user->id, user->search);
}

static int leave_all(store *s, int64_t id) {
  query q = ask(s, "UPDATE rooms SET members = members - 1 WHERE id IN"
                   " (SELECT room_id FROM members WHERE user_id = ?)");
  put_int(&q, id);
  return run(&q);
}

int store_user_erase(store *s, int64_t id, int64_t now) {
  s->seen_in++;
  static const char *const of_user[] = {"DELETE FROM members WHERE user_id = ?",
                                        "DELETE FROM sessions WHERE user_id = ?",
                                        "DELETE FROM codes WHERE user_id = ?",
                                        "DELETE FROM once WHERE user_id = ?",
                                        "DELETE FROM bans WHERE user_id = ?"};
  query q = ask(s, "UPDATE users SET handle = '', display_name = '', status_text = '', bio = '',"
                   " avatar_url = '', role = 0, state = 3, secret = '', updated = ? WHERE id = ?");
  put_int(&q, now);
  put_int(&q, id);
  int rc = found(s, run(&q));
  if (!rc) rc = drop_words(s, id);
  if (!rc) rc = leave_all(s, id);
  for (size_t i = 0; !rc && i < sizeof(of_user) / sizeof(of_user[0]); i++) {
    q = ask(s, of_user[i]);
    put_int(&q, id);
    rc = run(&q);
  }
  return rc;
}

int store_user_get(store *s, int64_t id, store_user *out, caw_arena *arena) {
  query q = ask(s, "SELECT " USER_COLUMNS " FROM users WHERE id = ?");
  put_int(&q, id);
  return one_user(&q, out, arena);
}

int store_user_by_handle(store *s, caw_str handle, store_user *out, caw_arena *arena) {
  query q = ask(s, "SELECT " USER_COLUMNS " FROM users"
                   " WHERE id = (SELECT user_id FROM handles WHERE handle = ?) AND state <> 3");
  put_text(&q, handle);
  return one_user(&q, out, arena);
}

/* The first text behind all that begin with `prefix`: its last byte one higher. UTF-8
 * has no byte 0xff. */
static caw_str behind(caw_str prefix, caw_arena *arena) {
  caw_str end = caw_arena_dup(arena, prefix);
  if (end.data) ((unsigned char *)(uintptr_t)end.data)[end.len - 1]++;
  return end;
}

int store_users(store *s, caw_str prefix, int64_t after, size_t most, store_user **out, size_t *n,
                caw_arena *arena) {
  caw_str end = prefix.len ? behind(prefix, arena) : prefix;
  *out = NULL;
  *n = 0;
  if (prefix.len && !end.data) return CAW_ENOMEM;
  query q = prefix.len ? ask(s, "SELECT " USER_COLUMNS " FROM users WHERE id IN"
                                " (SELECT user_id FROM words WHERE word >= ? AND word < ?)"
                                " AND id > ? AND state <> 3 ORDER BY id LIMIT ?")
                       : ask(s, "SELECT " USER_COLUMNS " FROM users WHERE id > ? AND state <> 3"
                                " ORDER BY id LIMIT ?");
  if (prefix.len) {
    put_text(&q, prefix);
    put_text(&q, end);
  }
  put_int(&q, after);
  put_int(&q, (int64_t)most);
  return all_rows(&q, out, n, sizeof(**out), read_user, arena);
}

int store_users_with_role(store *s, int role, int64_t *count) {
  query q = ask(s, "SELECT count(*) FROM users WHERE role >= ? AND state = 1");
  put_int(&q, role);
  int rc = one_row(&q);
  if (rc) return rc;
  *count = get_int(&q, 0);
  drop(&q);
  return 0;
}

int store_secret_get(store *s, int64_t user_id, caw_str *secret, caw_arena *arena) {
  query q = ask(s, "SELECT secret FROM users WHERE id = ?");
  put_int(&q, user_id);
  int rc = one_row(&q);
  if (rc) return rc;
  *secret = get_text(&q, 0, arena, &rc);
  drop(&q);
  return rc;
}

int store_secret_put(store *s, int64_t user_id, caw_str secret) {
  query q = ask(s, "UPDATE users SET secret = ? WHERE id = ?");
  put_text(&q, secret);
  put_int(&q, user_id);
  return found(s, run(&q));
}

/* ---- Sessions ---- */

#define SESSION_COLUMNS "id, user_id, client_name, peer, created, used, expires"

static int read_session(const query *q, void *item, caw_arena *arena) {
  store_session *out = item;
  int rc = 0;
  *out = (store_session){.id = get_int(q, 0),
                         .user_id = get_int(q, 1),
                         .client_name = get_text(q, 2, arena, &rc),
                         .peer = get_text(q, 3, arena, &rc),
                         .created = get_int(q, 4),
                         .used = get_int(q, 5),
                         .expires = get_int(q, 6)};
  return rc;
}

int store_session_add(store *s, store_session *session, const uint8_t hash[32]) {
  query q = ask(s, "INSERT INTO sessions(hash, user_id, client_name, peer, created, used, expires)"
                   " VALUES(?, ?, ?, ?, ?, ?, ?)");
  put_bytes(&q, hash, 32);
  put_int(&q, session->user_id);
  put_text(&q, session->client_name);
  put_text(&q, session->peer);
  put_int(&q, session->created);
  put_int(&q, session->used);
  put_int(&q, session->expires);
  int rc = run(&q);
  if (!rc) session->id = sqlite3_last_insert_rowid(s->db);
  return rc;
}

static int one_session(query *q, store_session *out, caw_arena *arena) {
  int rc = one_row(q);
  if (rc) return rc;
  rc = read_session(q, out, arena);
  drop(q);
  return rc;
}

int store_session_find(store *s, const uint8_t hash[32], store_session *out, caw_arena *arena) {
  query q = ask(s, "SELECT " SESSION_COLUMNS " FROM sessions WHERE hash = ?");
  put_bytes(&q, hash, 32);
  return one_session(&q, out, arena);
}

int store_session_get(store *s, int64_t id, store_session *out, caw_arena *arena) {
  query q = ask(s, "SELECT " SESSION_COLUMNS " FROM sessions WHERE id = ?");
  put_int(&q, id);
  return one_session(&q, out, arena);
}

int store_session_touch(store *s, int64_t id, int64_t used, int64_t expires) {
  query q = ask(s, "UPDATE sessions SET used = ?, expires = ? WHERE id = ?");
  put_int(&q, used);
  put_int(&q, expires);
  put_int(&q, id);
  return found(s, run(&q));
}

int store_sessions(store *s, int64_t user_id, store_session **out, size_t *n, caw_arena *arena) {
  query q = ask(s, "SELECT " SESSION_COLUMNS " FROM sessions WHERE user_id = ? ORDER BY id DESC");
  put_int(&q, user_id);
  return all_rows(&q, out, n, sizeof(**out), read_session, arena);
}

static int read_id(const query *q, void *item, caw_arena *arena) {
  (void)arena;
  *(int64_t *)item = get_int(q, 0);
  return 0;
}

int store_session_drop(store *s, int64_t user_id, int64_t id, int64_t except, int64_t **out,
                       size_t *n, caw_arena *arena) {
  query q = ask(s, "DELETE FROM sessions WHERE user_id = ?1 AND id <> ?3 AND (?2 = 0 OR id = ?2)"
                   " RETURNING id");
  put_int(&q, user_id);
  put_int(&q, id);
  put_int(&q, except);
  return all_rows(&q, out, n, sizeof(**out), read_id, arena);
}

/* ---- Codes ---- */

int store_code_put(store *s, int64_t user_id, const uint8_t hash[32], int64_t expires) {
  query q = ask(s, "INSERT OR REPLACE INTO codes(user_id, hash, expires) VALUES(?, ?, ?)");
  put_int(&q, user_id);
  put_bytes(&q, hash, 32);
  put_int(&q, expires);
  return run(&q);
}

int store_code_take(store *s, int64_t user_id, const uint8_t hash[32], int64_t now) {
  query q = ask(s, "DELETE FROM codes WHERE user_id = ? AND hash = ? RETURNING expires");
  put_int(&q, user_id);
  put_bytes(&q, hash, 32);
  int rc = one_row(&q);
  if (rc) return rc;
  bool late = get_int(&q, 0) < now;
  rc = run(&q);
  return rc ? rc : late ? STORE_NONE : 0;
}

/* ---- Things done once ---- */

static int begin_once(store *s, int64_t user_id, caw_str request_id, const uint8_t digest[32],
                      int64_t now) {
  query q = ask(s, "INSERT OR REPLACE INTO once(user_id, request_id, digest, result, done)"
                   " VALUES(?, ?, ?, 0, ?)");
  put_int(&q, user_id);
  put_text(&q, request_id);
  put_bytes(&q, digest, 32);
  put_int(&q, now);
  int rc = run(&q);
  return rc ? rc : STORE_NONE;
}

int store_once(store *s, int64_t user_id, caw_str request_id, const uint8_t digest[32],
               int64_t *result, int64_t now) {
  query q = ask(s, "SELECT digest, result FROM once WHERE user_id = ? AND request_id = ?"
                   " AND result <> 0");
  put_int(&q, user_id);
  put_text(&q, request_id);
  int rc = one_row(&q);
  if (rc == STORE_NONE) return begin_once(s, user_id, request_id, digest, now);
  if (rc) return rc;
  const void *kept = sqlite3_column_blob(q.st, 0);
  bool same = sqlite3_column_bytes(q.st, 0) == 32 && !memcmp(kept, digest, 32);
  *result = get_int(&q, 1);
  drop(&q);
  return same ? 0 : STORE_TAKEN;
}

int store_once_result(store *s, int64_t user_id, caw_str request_id, int64_t result) {
  query q = ask(s, "UPDATE once SET result = ? WHERE user_id = ? AND request_id = ?");
  put_int(&q, result);
  put_int(&q, user_id);
  put_text(&q, request_id);
  return found(s, run(&q));
}

/* ---- What time takes away ---- */

static int sweep(query q, int64_t time, size_t most, bool *left) {
  put_int(&q, time);
  put_int(&q, (int64_t)most);
  int rc = run(&q);
  if (!rc && (size_t)changes(q.s) == most) *left = true;
  return rc;
}

int store_sweep(store *s, int64_t now, int64_t once_before, size_t most, bool *left) {
  *left = false;
  int rc = sweep(ask(s, "DELETE FROM sessions WHERE id IN"
                        " (SELECT id FROM sessions WHERE expires < ? LIMIT ?)"),
                 now, most, left);
  if (!rc)
    rc = sweep(ask(s, "DELETE FROM codes WHERE user_id IN"
                      " (SELECT user_id FROM codes WHERE expires < ? LIMIT ?)"),
               now, most, left);
  if (!rc)
    rc = sweep(ask(s, "DELETE FROM once WHERE (user_id, request_id) IN"
                      " (SELECT user_id, request_id FROM once WHERE done < ? LIMIT ?)"),
               once_before, most, left);
  return rc;
}
