/*
 * The inside of the SQLite store: a connection, and queries as short as they can be.
 * For the files sqlite_*.c alone.
 */
#ifndef CHATD_SQLITE_H
#define CHATD_SQLITE_H

#include "store.h"

#include <sqlite3.h>

#define SEEN       64
#define STATEMENTS 128
#define NOTES      256

#define NUMBER_BITS 40
#define MOST_NUMBER (((int64_t)1 << NUMBER_BITS) - 1)

/* What a turn has come to for a room, or for a user (sqlite_numbers.c). */
typedef struct note {
  int64_t id;                     /* 0: none */
  int64_t last_number, last_sent; /* of a room */
  bool taken;                     /* they are not yet written */
  int64_t sent;                   /* by a user, not yet written */
} note;

struct store {
  sqlite3 *db;
  bool writer;
  bool turn;     /* between begin and commit, rollback or end */
  bool broken;   /* a write or flush failed */
  int failed;    /* SQLite's code of what failed last in this turn */
  int file;      /* the writer's lock; -1: none */
  int log_pages; /* in the log, after the last turn */
  int rest_idle, rest_busy;
  int log_moved; /* of these at the last checkpoint, when some could not be moved */
  struct {
    note rooms[NOTES], users[NOTES]; /* by a hash of their ids */
    size_t n_rooms, n_users;
  } noted;
  struct {
    uint64_t turn; /* in which it was read; another: it may be different now */
    store_room room;
    store_member member;
  } seen[SEEN];     /* the writer's, by a hash of room and user: store_room_as */
  uint64_t seen_in; /* one more whenever a room or member changes, too */
  int64_t quota;    /* 0: none */
  int64_t size;     /* about, within the writer's turn, when there is a quota */
  char *path;
  char error[400];
  struct {
    const char *sql; /* compared by address: each is a literal */
    sqlite3_stmt *st;
  } statements[STATEMENTS];
};

/* A statement with what was bound so far. Errors wait in `rc` until it runs. */
typedef struct query {
  store *s;
  sqlite3_stmt *st;
  int bound;
  int rc;
} query;

/* Prepares, or takes from the connection's statements. `sql` is a literal. */
query ask(store *s, const char *sql);

/* Binds the next parameter; texts and bytes are borrowed until the query has run. */
void put_int(query *q, int64_t value);
void put_text(query *q, caw_str value);
void put_bytes(query *q, const void *data, size_t len);

/* Takes a step: 1 when there is a row, 0 at the end, or an error; after the last two
 * the query is over. */
int next_row(query *q);

/* Ends a query before its end. */
void drop(query *q);

/* Runs a query without rows: 0, STORE_TAKEN (a constraint), or an error. */
int run(query *q);

/* Runs a query for one row: 0, STORE_NONE, or an error. On 0 the row can be read until
 * drop. */
int one_row(query *q);

int64_t get_int(const query *q, int column);

/* Copied into the arena; *rc becomes CAW_ENOMEM when there is no memory. */
caw_str get_text(const query *q, int column, caw_arena *arena, int *rc);

/* Reads a row into an item; 0 or CAW_ENOMEM. */
typedef int row_reader(const query *q, void *item, caw_arena *arena);

/* Runs a query for all its rows, each an item of `size` bytes in the arena; `items` is the
 * address of the array's pointer, which is NULL when there is no row. */
int all_rows(query *q, void *items, size_t *n, size_t size, row_reader *read, caw_arena *arena);

/* Rows changed by the last run. */
int changes(const store *s);

/* Runs statements that have neither parameters nor rows. */
int execute(store *s, const char *sql);

/* Brings the tables up to this program's version; or to that of a list of `n` steps. */
int upgrade(store *s);
int upgrade_by(store *s, const char *const *list, int n);

/* The checksum of a message's row, and whether it is `sum`, which may be of an older kind. */
int64_t sum_of(const store_message *m);
bool is_sum_of(const store_message *m, int64_t sum);

/* The next number of a room; no time is earlier than the one before. NONE: no such room,
 * or it has all numbers. */
int next_number(store *s, int64_t room_id, int64_t *number, int64_t *sent);

/* Takes it, and counts it for its author (0: nobody). */
int take_number(store *s, int64_t room_id, int64_t author_id, int64_t sent);

/* What a room's row will have, where the turn has taken numbers of it. */
void noted_numbers(const store *s, int64_t room_id, int64_t *last_number, int64_t *last_sent);

/* Writes what the turn has come to; forgets it. */
int settle(store *s);
void unsettle(store *s);

/* Says what failed, and returns the STORE_* of an SQLite code. */
int store_failed(store *s, int code);

/* A list that grows in an arena; returns where the next item goes, or NULL. `items` is
 * the address of the array's pointer. */
void *list_more(void *items, size_t *n, size_t *room, size_t size, caw_arena *arena);

#endif
