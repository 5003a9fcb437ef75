/*
 * Opening and closing the SQLite store, and what its writer does between turns: moving the
 * log into the file, looking for room.
 */
#include "sqlite.h"

#include "store_sqlite.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PAGE 4096

/* 2 and 32 MiB. */
#define REST_IDLE 512
#define REST_BUSY 8192

/* ---- The file ---- */

static int failed_to(store *s, const char *what) {
  snprintf(s->error, sizeof(s->error), "%s%s: %s", s->path, what, strerror(errno));
  return errno == ENOSPC || errno == EDQUOT ? STORE_FULL : STORE_BROKEN;
}

/*
 * The file is its owner's alone, also before SQLite has written to it, and no other
 * writer's. SQLite's own locks are of another kind (fcntl); the system drops them when the
 * process closes any descriptor of the file, so this one stays open until SQLite's are
 * closed.
 */
static int take_file(store *s) {
  s->file = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (s->file < 0) return failed_to(s, "");
  if (!flock(s->file, LOCK_EX | LOCK_NB)) return 0;
  if (errno != EWOULDBLOCK) return failed_to(s, " cannot be locked");
  snprintf(s->error, sizeof(s->error), "%s is in use: another chatd has it open", s->path);
  return STORE_BUSY;
}

/* ---- The log ---- */

static int on_commit(void *arg, sqlite3 *db, const char *schema, int pages) {
  store *s = arg;
  (void)db;
  (void)schema;
  s->log_pages = pages;
  return SQLITE_OK;
}

int store_sqlite_checkpoint(store *s) {
  int pages = -1, moved = -1;
  if (s->broken) return STORE_BROKEN;
  int code = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
  if (code && code != SQLITE_BUSY) return store_failed(s, code);
  /* All moved: the next turn begins the log anew. A reader may have kept some back. */
  s->log_moved = pages >= 0 && pages == moved ? 0 : pages;
  if (!s->log_moved) s->log_pages = 0;
  return 0;
}

void store_sqlite_rest_at(store *s, int idle, int busy) {
  s->rest_idle = idle;
  s->rest_busy = busy;
}

/* Without room for the file to grow the log can go on for a while. */
int store_rest(store *s, bool idle) {
  if (s->log_pages - s->log_moved < (idle ? s->rest_idle : s->rest_busy)) return 0;
  int rc = store_sqlite_checkpoint(s);
  if (rc == STORE_FULL) s->log_moved = s->log_pages;
  return rc == STORE_FULL ? 0 : rc;
}

/*
 * Writes every byte of the log once more, and flushes it. What is read from it here may be
 * in the system's memory alone: after a flush that failed Linux takes the pages for clean,
 * and a later flush says that all is well. Turns that were appended behind such pages, and
 * acknowledged, would be lost with the power. Nobody else writes meanwhile: this is a turn.
 */
static int secure_log(sqlite3_file *log) {
  char page[16 * PAGE];
  sqlite3_int64 size = 0;
  int code = log->pMethods->xFileSize(log, &size);
  for (sqlite3_int64 at = 0; !code && at < size;) {
    int len = size - at < (int)sizeof(page) ? (int)(size - at) : (int)sizeof(page);
    code = log->pMethods->xRead(log, page, len, at);
    if (!code) code = log->pMethods->xWrite(log, page, len, at);
    at += len;
  }
  return code || !size ? code : log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
}

static int secure(store *s) {
  sqlite3_file *log = NULL;
  int rc = store_begin(s);
  if (rc) return rc;
  int code = sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&log);
  if (!code && log && log->pMethods) code = secure_log(log);
  store_rollback(s);
  return code ? store_failed(s, code) : 0;
}

/* ---- Room ---- */

#define PROBE ((size_t)16 * PAGE)

/* A turn that writes as much as a small one does; another takes it away. A log that was
 * moved begins anew, which may be all the room that there is. */
int store_probe(store *s) {
  int rc = store_sqlite_checkpoint(s);
  if (!rc || rc == STORE_FULL) rc = store_begin(s);
  if (rc) return rc;
  query q = ask(s, "INSERT OR REPLACE INTO notes(name, value) VALUES('probe', ?)");
  char *filler = caw_malloc(PROBE);
  if (!filler) q.rc = SQLITE_NOMEM;
  else memset(filler, '.', PROBE);
  put_text(&q, caw_str_of(filler, PROBE));
  rc = run(&q);
  caw_free(filler);
  rc = rc ? rc : store_commit(s);
  store_rollback(s);
  if (!rc) rc = store_begin(s);
  if (!rc) rc = store_note_put(s, "probe", caw_str_of("", 0));
  if (!rc) rc = store_commit(s);
  store_rollback(s);
  return rc;
}

/* ---- Opening ---- */

/* Only the writer checkpoints: SQLite 3.40's WAL reset is not safe with two. */
static int configure(store *s) {
  sqlite3_extended_result_codes(s->db, 1);
  sqlite3_busy_timeout(s->db, 2000); /* somebody with sqlite3's shell, for a moment */
  int rc = execute(s, "PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF;");
  sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !s->writer, NULL);
  if (!rc && s->writer)
    rc = execute(s, "PRAGMA page_size = 4096; PRAGMA locking_mode = NORMAL;"
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                    "PRAGMA journal_size_limit = 67108864;");
  sqlite3_wal_hook(s->db, on_commit, s); /* and no automatic checkpoint */
  return rc ? rc : execute(s, "PRAGMA cache_size = -8192; PRAGMA mmap_size = 0;");
}

static int open_it(store *s, const char *path, const char *vfs) {
  size_t len = strlen(path) + 1;
  if (!(s->path = caw_malloc(len))) return CAW_ENOMEM;
  memcpy(s->path, path, len);
  int rc = s->writer && !vfs ? take_file(s) : 0;
  if (rc) return rc;
  int flags = s->writer ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
  if (s->writer && vfs) flags |= SQLITE_OPEN_CREATE;
  int code = sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX, vfs);
  if (code) return store_failed(s, code);
  rc = configure(s);
  if (rc || !s->writer) return rc;
  rc = secure(s);
  return rc ? rc : upgrade(s);
}

/* SQLite counts what it allocates, under a lock, for a figure that nobody asks for. No more
 * than a wish: refused when the program has used SQLite before. */
static void do_not_count(void) {
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int store_sqlite_open_on(store **out, const char *path, bool writer, const char *vfs,
                         char why[400]) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  store *s = caw_malloc(sizeof(*s));
  why[0] = '\0';
  if (!s) return CAW_ENOMEM;
  pthread_once(&once, do_not_count);
  memset(s, 0, sizeof(*s));
  s->writer = writer;
  s->file = -1;
  store_sqlite_rest_at(s, REST_IDLE, REST_BUSY);
  int rc = open_it(s, path, vfs);
  if (!rc) {
    *out = s;
    return 0;
  }
  memcpy(why, s->error, sizeof(s->error));
  store_close(s);
  return rc;
}

int store_sqlite_open(store **out, const char *path, bool writer, char why[400]) {
  return store_sqlite_open_on(out, path, writer, NULL, why);
}

/*
 * After a failure the log is not moved any more: of a move that failed half-way SQLite
 * would do the other half alone, and take the first for flushed. The next process begins
 * it anew.
 */
void store_close(store *s) {
  if (!s) return;
  for (int i = 0; i < STATEMENTS; i++) sqlite3_finalize(s->statements[i].st);
  if (s->broken && s->db) sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  sqlite3_close(s->db);
  if (s->file >= 0) close(s->file);
  caw_free(s->path);
  caw_free(s);
}
