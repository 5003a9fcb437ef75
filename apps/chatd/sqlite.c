/* The SQLite store's connection: opening, the schema, turns, queries. */
#include "sqlite.h"

#include "store_sqlite.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- Errors ---- */

int store_failed(store *s, int code) {
  const char *path = s->path ? s->path : "the database";
  snprintf(s->error, sizeof(s->error), "%s: %s", path,
           s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code));
  switch (code & 0xff) {
  case SQLITE_NOMEM:
    return CAW_ENOMEM;
  case SQLITE_CONSTRAINT:
    return STORE_TAKEN;
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return STORE_BUSY;
  case SQLITE_FULL:
    return STORE_FULL;
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
    return STORE_DAMAGED;
  default:
    return STORE_BROKEN;
  }
}

const char *store_error(const store *s) {
  return s->error;
}

/* ---- Queries ---- */

static sqlite3_stmt **slot_of(store *s, const char *sql) {
  size_t at = ((uintptr_t)sql >> 3) % STATEMENTS;
  for (int i = 0; i < STATEMENTS; i++, at = (at + 1) % STATEMENTS) {
    if (s->statements[at].sql == sql) return &s->statements[at].st;
    if (s->statements[at].sql) continue;
    s->statements[at].sql = sql;
    return &s->statements[at].st;
  }
  return NULL;
}

query ask(store *s, const char *sql) {
  query q = {.s = s};
  sqlite3_stmt **slot = slot_of(s, sql);
  if (!slot) {
    q.rc = SQLITE_NOMEM;
    return q;
  }
  if (!*slot) q.rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, slot, NULL);
  q.st = *slot;
  return q;
}

void put_int(query *q, int64_t value) {
  if (!q->rc) q->rc = sqlite3_bind_int64(q->st, ++q->bound, value);
}

void put_text(query *q, caw_str value) {
  const char *data = value.len ? value.data : "";
  if (!q->rc)
    q->rc = sqlite3_bind_text64(q->st, ++q->bound, data, value.len, SQLITE_STATIC, SQLITE_UTF8);
}

void put_bytes(query *q, const void *data, size_t len) {
  if (!q->rc) q->rc = sqlite3_bind_blob64(q->st, ++q->bound, data, len, SQLITE_STATIC);
}

void drop(query *q) {
  if (!q->st) return;
  sqlite3_reset(q->st);
  sqlite3_clear_bindings(q->st);
}

int next_row(query *q) {
  if (!q->rc) q->rc = sqlite3_step(q->st);
  if (q->rc == SQLITE_ROW) {
    q->rc = SQLITE_OK;
    return 1;
  }
  int rc = q->rc == SQLITE_DONE ? 0 : store_failed(q->s, q->rc);
  drop(q);
  return rc;
}

int run(query *q) {
  int rc;
  while ((rc = next_row(q)) == 1) continue;
  return rc;
}

int one_row(query *q) {
  int rc = next_row(q);
  return rc == 1 ? 0 : rc ? rc : STORE_NONE;
}

int64_t get_int(const query *q, int column) {
  return sqlite3_column_int64(q->st, column);
}

caw_str get_text(const query *q, int column, caw_arena *arena, int *rc) {
  const char *text = (const char *)sqlite3_column_text(q->st, column);
  int len = sqlite3_column_bytes(q->st, column);
  caw_str out = caw_arena_dup(arena, caw_str_of(text, text ? (size_t)len : 0));
  if (!out.data) *rc = CAW_ENOMEM;
  return out;
}

int changes(const store *s) {
  return sqlite3_changes(s->db);
}

void *list_more(void *items, size_t *n, size_t *room, size_t size, caw_arena *arena) {
  void *old;
  memcpy(&old, items, sizeof(old));
  if (*n == *room) {
    size_t more = *room ? *room * 2 : 16;
    void *grown = caw_arena_calloc(arena, more, size);
    if (!grown) return NULL;
    if (*n) memcpy(grown, old, *n * size);
    memcpy(items, &grown, sizeof(grown));
    old = grown;
    *room = more;
  }
  return (char *)old + (*n)++ * size;
}

int all_rows(query *q, void *items, size_t *n, size_t size, row_reader *read, caw_arena *arena) {
  void *none = NULL;
  size_t room = 0;
  int rc;
  memcpy(items, &none, sizeof(none));
  *n = 0;
  while ((rc = next_row(q)) == 1) {
    void *item = list_more(items, n, &room, size, arena);
    rc = item ? read(q, item, arena) : CAW_ENOMEM;
    if (!rc) continue;
    drop(q);
    break;
  }
  return rc;
}

/* ---- Turns ---- */

static int simple(store *s, const char *sql) {
  query q = ask(s, sql);
  return run(&q);
}

int store_begin(store *s) {
  int rc = s->writer ? simple(s, "BEGIN IMMEDIATE") : simple(s, "BEGIN");
  s->turn = !rc;
  return rc;
}

int store_commit(store *s) {
  int rc = simple(s, "COMMIT");
  if (!rc) s->turn = false;
  else store_rollback(s);
  return rc;
}

/* After some errors SQLite has rolled back by itself. The reason stays what was said. */
void store_rollback(store *s) {
  s->turn = false;
  if (sqlite3_get_autocommit(s->db)) return;
  sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

void store_end(store *s) {
  store_rollback(s);
}

/* ---- Opening ---- */

static const char *const schema[] = {
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
};
#define VERSION ((int)(sizeof(schema) / sizeof(schema[0])))

static int version_of(store *s, int *version) {
  query q = ask(s, "PRAGMA user_version");
  int rc = one_row(&q);
  if (rc) return rc;
  *version = (int)get_int(&q, 0);
  drop(&q);
  return 0;
}

static int execute(store *s, const char *sql) {
  int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
  return code ? store_failed(s, code) : 0;
}

/* Each step is a turn of its own with the version that it leads to. */
static int upgrade(store *s) {
  int version = 0, rc = version_of(s, &version);
  if (!rc && version > VERSION) {
    snprintf(s->error, sizeof(s->error),
             "%s was written by a newer chatd (version %d of its tables; this one knows %d)",
             s->path, version, VERSION);
    return STORE_BROKEN;
  }
  for (; !rc && version < VERSION; version++) {
    char mark[40];
    snprintf(mark, sizeof(mark), "PRAGMA user_version = %d", version + 1);
    rc = store_begin(s);
    if (!rc) rc = execute(s, schema[version]);
    if (!rc) rc = execute(s, mark);
    if (!rc) rc = store_commit(s);
    if (rc) store_rollback(s);
  }
  return rc;
}

/* Only the writer checkpoints: SQLite 3.40's WAL reset is not safe with two. */
static int configure(store *s) {
  int rc = execute(s, "PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF;");
  sqlite3_extended_result_codes(s->db, 1);
  sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !s->writer, NULL);
  sqlite3_wal_autocheckpoint(s->db, 0);
  if (!rc && s->writer)
    rc = execute(s, "PRAGMA locking_mode = NORMAL; PRAGMA journal_mode = WAL;"
                    "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;");
  return rc ? rc : execute(s, "PRAGMA cache_size = -8192; PRAGMA mmap_size = 0;");
}

/* The file is its owner's alone, also before SQLite has written to it. */
static int make_private(store *s) {
  int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    snprintf(s->error, sizeof(s->error), "%s: %s", s->path, strerror(errno));
    return errno == ENOSPC || errno == EDQUOT ? STORE_FULL : STORE_BROKEN;
  }
  close(fd);
  return 0;
}

static int open_it(store *s, const char *path) {
  size_t len = strlen(path) + 1;
  if (!(s->path = caw_malloc(len))) return CAW_ENOMEM;
  memcpy(s->path, path, len);
  int rc = s->writer ? make_private(s) : 0;
  if (rc) return rc;
  int flags = s->writer ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
  int code = sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
  if (code) return store_failed(s, code);
  rc = configure(s);
  return rc || !s->writer ? rc : upgrade(s);
}

int store_sqlite_open(store **out, const char *path, bool writer, char why[400]) {
  store *s = caw_malloc(sizeof(*s));
  why[0] = '\0';
  if (!s) return CAW_ENOMEM;
  memset(s, 0, sizeof(*s));
  s->writer = writer;
  int rc = open_it(s, path);
  if (!rc) {
    *out = s;
    return 0;
  }
  memcpy(why, s->error, sizeof(s->error));
  store_close(s);
  return rc;
}

int store_sqlite_checkpoint(store *s) {
  int code = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  return code && code != SQLITE_BUSY ? store_failed(s, code) : 0;
}

void store_close(store *s) {
  if (!s) return;
  for (int i = 0; i < STATEMENTS; i++) sqlite3_finalize(s->statements[i].st);
  sqlite3_close(s->db);
  caw_free(s->path);
  caw_free(s);
}

/* ---- Notes and size ---- */

int store_note_get(store *s, const char *name, caw_str *value, caw_arena *arena) {
  query q = ask(s, "SELECT value FROM notes WHERE name = ?");
  put_text(&q, caw_str_from(name));
  int rc = one_row(&q);
  if (rc) return rc;
  *value = get_text(&q, 0, arena, &rc);
  drop(&q);
  return rc;
}

int store_note_put(store *s, const char *name, caw_str value) {
  query q = value.len ? ask(s, "INSERT OR REPLACE INTO notes(name, value) VALUES(?, ?)")
                      : ask(s, "DELETE FROM notes WHERE name = ?");
  put_text(&q, caw_str_from(name));
  if (value.len) put_text(&q, value);
  return run(&q);
}

int store_size(store *s, int64_t *bytes) {
  query q = ask(s, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size");
  int rc = one_row(&q);
  if (rc) return rc;
  *bytes = get_int(&q, 0);
  drop(&q);
  return 0;
}
