/* The tables of the SQLite store, and how those of an older version become these. */
#include "sqlite.h"

#include <stdio.h>

/* What leads from each version to the next. None is ever changed: there are files that it
 * made (tests/chatd/store_version1.sql is one). */
static const char *const steps[] = {
    /* 1 */
    "CREATE TABLE notes(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, handle TEXT NOT NULL,"
    "  display_name TEXT NOT NULL, status_text TEXT NOT NULL, bio TEXT NOT NULL,"
    "  avatar_url TEXT NOT NULL, role INTEGER NOT NULL, state INTEGER NOT NULL,"
    "  created INTEGER NOT NULL, updated INTEGER NOT NULL, secret TEXT NOT NULL,"
    "  sent INTEGER NOT NULL DEFAULT 0) STRICT;"
    /* Handles are never given again, not even those of tombstones. */
    "CREATE TABLE handles(handle TEXT PRIMARY KEY, user_id INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE words(word TEXT NOT NULL, user_id INTEGER NOT NULL, PRIMARY KEY(word, user_id))"
    "  STRICT, WITHOUT ROWID;"
    "CREATE INDEX words_user ON words(user_id);"
    "CREATE TABLE sessions(id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE,"
    "  user_id INTEGER NOT NULL, client_name TEXT NOT NULL, peer TEXT NOT NULL,"
    "  created INTEGER NOT NULL, used INTEGER NOT NULL, expires INTEGER NOT NULL) STRICT;"
    "CREATE INDEX sessions_user ON sessions(user_id);"
    "CREATE TABLE codes(user_id INTEGER PRIMARY KEY, hash BLOB NOT NULL, expires INTEGER NOT NULL)"
    "  STRICT;"
    "CREATE TABLE once(user_id INTEGER NOT NULL, request_id TEXT NOT NULL, digest BLOB NOT NULL,"
    "  result INTEGER NOT NULL, done INTEGER NOT NULL, PRIMARY KEY(user_id, request_id))"
    "  STRICT, WITHOUT ROWID;"
    "CREATE TABLE rooms(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,"
    "  folded TEXT NOT NULL, topic TEXT NOT NULL, visibility INTEGER NOT NULL,"
    "  kind INTEGER NOT NULL, slow_mode INTEGER NOT NULL, max_age INTEGER NOT NULL,"
    "  max_messages INTEGER NOT NULL, creator_id INTEGER NOT NULL, created INTEGER NOT NULL,"
    "  first_number INTEGER NOT NULL DEFAULT 1, last_number INTEGER NOT NULL DEFAULT 0,"
    "  last_sent INTEGER NOT NULL DEFAULT 0, members INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE UNIQUE INDEX rooms_public ON rooms(folded) WHERE visibility = 1;"
    "CREATE INDEX rooms_named ON rooms(folded);"
    "CREATE TABLE directs(a INTEGER NOT NULL, b INTEGER NOT NULL, room_id INTEGER NOT NULL,"
    "  PRIMARY KEY(a, b)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE members(room_id INTEGER NOT NULL, user_id INTEGER NOT NULL,"
    "  role INTEGER NOT NULL, joined INTEGER NOT NULL, read_number INTEGER NOT NULL,"
    "  last_sent INTEGER NOT NULL, PRIMARY KEY(room_id, user_id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX members_user ON members(user_id, room_id);"
    "CREATE TABLE bans(room_id INTEGER NOT NULL, user_id INTEGER NOT NULL, by_id INTEGER NOT NULL,"
    "  reason TEXT NOT NULL, since INTEGER NOT NULL, PRIMARY KEY(room_id, user_id))"
    "  STRICT, WITHOUT ROWID;"
    /* The key is room << 40 | number: one tree, in the order in which it is read. */
    "CREATE TABLE messages(key INTEGER PRIMARY KEY, author_id INTEGER NOT NULL,"
    "  sent INTEGER NOT NULL, kind INTEGER NOT NULL, reply_to INTEGER NOT NULL,"
    "  client_id TEXT NOT NULL, guest_name TEXT NOT NULL, text TEXT NOT NULL,"
    "  sum INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX messages_once ON messages(author_id, client_id) WHERE client_id <> '';",
    /* 2: what retention looks for */
    "CREATE INDEX rooms_limited ON rooms(id) WHERE max_age > 0 OR max_messages > 0;"
    "CREATE INDEX sessions_expire ON sessions(expires);"
    "CREATE INDEX codes_expire ON codes(expires);"
    "CREATE INDEX once_done ON once(done);",
    /* 3: the same tables; messages have another checksum from now on (sqlite_sum.c) */
    "",
};

static int version_of(store *s, int *version) {
  query q = ask(s, "PRAGMA user_version");
  int rc = one_row(&q);
  if (rc) return rc;
  *version = (int)get_int(&q, 0);
  drop(&q);
  return 0;
}

/* A turn of its own, with the version that it leads to: it happens as a whole. */
static int take_step(store *s, const char *step, int version) {
  char mark[40];
  snprintf(mark, sizeof(mark), "PRAGMA user_version = %d", version);
  int rc = store_begin(s);
  if (!rc) rc = execute(s, step);
  if (!rc) rc = execute(s, mark);
  if (!rc) return store_commit(s);
  store_rollback(s);
  return rc;
}

int upgrade_by(store *s, const char *const *list, int n) {
  int version = 0, rc = version_of(s, &version);
  if (!rc && version > n) {
    snprintf(s->error, sizeof(s->error),
             "%s was written by a newer chatd (its tables have version %d, this one knows %d):"
             " start that chatd again, or put a backup from before it in the file's place",
             s->path, version, n);
    return STORE_BROKEN;
  }
  for (; !rc && version < n; version++) rc = take_step(s, list[version], version + 1);
  return rc;
}

int upgrade(store *s) {
  return upgrade_by(s, steps, (int)(sizeof(steps) / sizeof(steps[0])));
}
