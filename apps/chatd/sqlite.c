/* The SQLite store's connection in use: errors, queries, turns. */
#include "sqlite.h"

#include <caw/status.h>
#include <stdio.h>
#include <string.h>

/* ---- Errors ---- */

static int meaning(int code) {
  /* The log's index, in shared memory, could not grow: so says a full disk, too. */
  if (code == SQLITE_IOERR_SHMSIZE) return STORE_FULL;
  if (code == SQLITE_IOERR_NOMEM) return CAW_ENOMEM;
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

int store_failed(store *s, int code) {
  const char *path = s->path ? s->path : "the database";
  snprintf(s->error, sizeof(s->error), "%s: %s", path,
           s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code));
  int rc = meaning(code);
  s->failed = code;
  if (rc == STORE_BROKEN) s->broken = true;
  return rc;
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

/*
 * After some errors SQLite has rolled back by itself. What came behind would be a turn of
 * its own, and durable: it fails as what went wrong did, whoever overlooked that.
 */
static bool is_undone(const store *s) {
  return s->turn && sqlite3_get_autocommit(s->db);
}

query ask(store *s, const char *sql) {
  query q = {.s = s};
  if (is_undone(s)) {
    q.rc = s->failed ? s->failed : SQLITE_ABORT;
    return q;
  }
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

int execute(store *s, const char *sql) {
  int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
  return code ? store_failed(s, code) : 0;
}

static int simple(store *s, const char *sql) {
  query q = ask(s, sql);
  return run(&q);
}

int store_begin(store *s) {
  if (s->broken && s->writer) return STORE_BROKEN;
  store_rollback(s); /* the last one may have failed for want of memory */
  s->failed = 0;
  int rc = s->writer ? simple(s, "BEGIN IMMEDIATE") : simple(s, "BEGIN");
  s->turn = !rc;
  s->seen_in++;
  if (rc || !s->quota) return rc;
  rc = store_size(s, &s->size);
  if (rc) store_rollback(s);
  return rc;
}

int store_commit(store *s) {
  int rc = settle(s);
  if (!rc) rc = simple(s, "COMMIT");
  if (!rc) s->turn = false;
  else store_rollback(s);
  return rc;
}

/* The reason stays what was said. */
void store_rollback(store *s) {
  s->turn = false;
  unsettle(s);
  if (sqlite3_get_autocommit(s->db)) return;
  sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

void store_end(store *s) {
  store_rollback(s);
}

/* ---- Notes, size ---- */

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

static int number(query q, int64_t *value) {
  int rc = one_row(&q);
  if (rc) return rc;
  *value = get_int(&q, 0);
  drop(&q);
  return 0;
}

int store_size(store *s, int64_t *bytes) {
  int64_t pages = 0, unused = 0, size = 0;
  int rc = number(ask(s, "PRAGMA page_count"), &pages);
  if (!rc) rc = number(ask(s, "PRAGMA freelist_count"), &unused);
  if (!rc) rc = number(ask(s, "PRAGMA page_size"), &size);
  *bytes = (pages - unused) * size;
  return rc;
}

void store_set_quota(store *s, int64_t bytes) {
  s->quota = bytes;
}
