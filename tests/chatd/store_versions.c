/*
 * Files of older versions of the tables become this version's with all their rows, as a
 * whole or not at all when the power goes meanwhile; those of a newer version are refused.
 */
#include "disk.h"
#include "sqlite.h"
#include "store_sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH    "chat.db"
#define VERSION 3

#define OK(call) assert_int_equal((call), 0)

static char why[400];

static void assert_text(caw_str text, const char *expected) {
  if (text.len != strlen(expected) || memcmp(text.data, expected, text.len))
    fail_msg("\"%.*s\" != \"%s\"", CAW_STR_ARG(text), expected);
}

/* ---- Old files ---- */

static void execute_sql(const char *sql) {
  sqlite3 *db;
  char *error = NULL;
  OK(sqlite3_open_v2(PATH, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, DISK));
  if (sqlite3_exec(db, sql, NULL, NULL, &error)) fail_msg("%s", error);
  OK(sqlite3_close(db));
}

static int64_t ask_sql(const char *sql) {
  sqlite3 *db;
  sqlite3_stmt *st;
  OK(sqlite3_open_v2(PATH, &db, SQLITE_OPEN_READONLY, DISK));
  OK(sqlite3_prepare_v2(db, sql, -1, &st, NULL));
  assert_int_equal(sqlite3_step(st), SQLITE_ROW);
  int64_t value = sqlite3_column_int64(st, 0);
  sqlite3_finalize(st);
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  sqlite3_close(db);
  return value;
}

static void make_old(uint64_t seed) {
  static char sql[1 << 16];
  FILE *f = fopen(OLD_FILE, "r");
  assert_non_null(f);
  sql[fread(sql, 1, sizeof(sql) - 1, f)] = '\0';
  fclose(f);
  disk_new(seed);
  execute_sql("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL;");
  execute_sql(sql);
}

/* ---- What it has ---- */

static void check_users(store *s, caw_arena *arena) {
  store_user user, *list;
  store_session session, *sessions;
  caw_str text;
  size_t n;
  int64_t result;
  uint8_t hash[32];
  OK(store_user_by_handle(s, caw_str_from("ann"), &user, arena));
  assert_int_equal(user.role, 4);
  assert_int_equal(user.updated, 2000);
  assert_text(user.display_name, "Ann Smith");
  assert_text(user.bio, "painter");
  OK(store_secret_get(s, 2, &text, arena));
  assert_text(text, "hash-of-ben");
  OK(store_user_get(s, 3, &user, arena));
  assert_int_equal(user.state, 3);
  OK(store_users(s, caw_str_from("smith"), 0, 10, &list, &n, arena));
  assert_int_equal(n, 1);
  memset(hash, 3, 32);
  OK(store_session_find(s, hash, &session, arena));
  assert_int_equal(session.user_id, 2);
  assert_int_equal(session.used, 30);
  OK(store_sessions(s, 1, &sessions, &n, arena));
  assert_int_equal(n, 2);
  OK(store_note_get(s, "server", &text, arena));
  assert_text(text, "0123456789");
  memset(hash, 7, 32);
  OK(store_once(s, 1, caw_str_from("req-1"), hash, &result, 80));
  assert_int_equal(result, 42);
  memset(hash, 9, 32);
  OK(store_code_take(s, 2, hash, 4000));
}

static void check_rooms(store *s, caw_arena *arena) {
  store_room room, *rooms;
  store_member member;
  store_message *m;
  size_t n;
  int64_t count;
  OK(store_room_by_name(s, caw_str_from("tea"), 0, &room, arena));
  assert_int_equal(room.first_number, 2);
  assert_int_equal(room.last_number, 7);
  assert_int_equal(room.members, 2);
  assert_int_equal(room.slow_mode, 9);
  assert_text(room.topic, "leaves");
  OK(store_direct_get(s, 2, 1, &room, arena));
  assert_int_equal(room.id, 3);
  OK(store_member_get(s, 2, 1, &member));
  assert_int_equal(member.role, 4);
  assert_int_equal(member.last_sent, 4001);
  OK(store_ban_get(s, 1, 3));
  OK(store_messages(s, 1, 1, 100, 100, 1 << 20, false, &m, &n, arena));
  assert_int_equal(n, 6);
  for (size_t i = 0; i < n; i++) assert_false(m[i].damaged);
  assert_text(m[3].text, "it's \xe2\x98\x95 5");
  assert_text(m[5].guest_name, "guest");
  assert_int_equal(m[2].reply_to, 2);
  OK(store_message_count(s, 0, 1, &count));
  assert_int_equal(count, 4);
  OK(store_rooms_limited(s, 0, 10, &rooms, &n, arena)); /* since version 2 */
  assert_int_equal(n, 2);
}

/* Handles, ids and numbers go on behind what there was. */
static void check_more(store *s) {
  bool duplicate;
  store_user user = {.handle = caw_str_from("cid")};
  store_room room = {.name = caw_str_from("New"), .folded = caw_str_from("new"), .visibility = 1};
  store_message m = {.room_id = 1,
                     .author_id = 1,
                     .sent = 5000,
                     .kind = 1,
                     .client_id = caw_str_from("c6"),
                     .text = caw_str_from("message 6")};
  assert_int_equal(store_user_add(s, &user, caw_str_from("")), STORE_TAKEN);
  user.handle = caw_str_from("dan");
  OK(store_user_add(s, &user, caw_str_from("")));
  assert_int_equal(user.id, 4);
  OK(store_room_add(s, &room));
  assert_int_equal(room.id, 4);
  OK(store_message_add(s, &m, &duplicate));
  assert_true(duplicate);
  assert_int_equal(m.number, 6);
  m.client_id = caw_str_from("c99");
  OK(store_message_add(s, &m, &duplicate));
  assert_int_equal(m.number, 8);
}

static void test_version_1(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  store *s;
  make_old(1);
  for (int again = 0; again < 2; again++) {
    OK(store_sqlite_open_on(&s, PATH, true, DISK, why));
    OK(store_begin(s));
    check_users(s, arena);
    check_rooms(s, arena);
    check_more(s);
    store_rollback(s);
    store_close(s);
    assert_int_equal(ask_sql("PRAGMA user_version"), VERSION);
  }
  /* What was made by steps is what is made at once. */
  int64_t tables = ask_sql("SELECT count(*) FROM sqlite_schema");
  disk_new(1);
  OK(store_sqlite_open_on(&s, PATH, true, DISK, why));
  store_close(s);
  assert_int_equal(ask_sql("SELECT count(*) FROM sqlite_schema"), tables);
  caw_arena_free(arena);
}

static void test_a_newer_version(void **state) {
  (void)state;
  store *s;
  make_old(1);
  execute_sql("PRAGMA user_version = 99");
  assert_int_equal(store_sqlite_open_on(&s, PATH, true, DISK, why), STORE_BROKEN);
  assert_string_equal(why, "chat.db was written by a newer chatd (its tables have version 99, this"
                           " one knows 3): start that chatd again, or put a backup from before it"
                           " in the file's place");
  assert_int_equal(ask_sql("PRAGMA user_version"), 99); /* and nothing was done to it */
  assert_int_equal(ask_sql("SELECT count(*) FROM messages"), 8);
}

/* ---- Steps that are cut short ---- */

/* Each moves all rows, so that half of it would be seen. */
#define MOVE                                                                                       \
  "CREATE TABLE texts(key INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;"                        \
  "INSERT INTO texts SELECT key, text FROM messages; UPDATE messages SET text = '';"
static const char *const steps[] = {"SELECT 1;", "CREATE INDEX a ON messages(sent);", MOVE,
                                    "UPDATE texts SET text = text || '!'; DELETE FROM messages;"};
#define STEPS 4

static void check_version(void) {
  int64_t version = ask_sql("PRAGMA user_version");
  int64_t tables = ask_sql("SELECT count(*) FROM sqlite_schema WHERE name IN ('a', 'texts')");
  int64_t messages = ask_sql("SELECT count(*) FROM messages");
  int64_t texts = ask_sql("SELECT count(*) FROM messages WHERE text <> ''");
  assert_in_range(version, 1, STEPS);
  assert_int_equal(tables, version < 2 ? 0 : version < 3 ? 1 : 2);
  assert_int_equal(messages, version < 4 ? 8 : 0);
  assert_int_equal(texts, version < 3 ? 8 : 0);
  if (version > 2)
    assert_int_equal(ask_sql("SELECT count(*) FROM texts WHERE text LIKE '%!'"),
                     version > 3 ? 8 : 0);
}

static store *opened_by_hand(void) {
  store *s = calloc(1, sizeof(*s));
  s->writer = true;
  s->file = -1;
  OK(sqlite3_open_v2(PATH, &s->db, SQLITE_OPEN_READWRITE, DISK));
  return s;
}

static void closed_by_hand(store *s) {
  for (int i = 0; i < STATEMENTS; i++) sqlite3_finalize(s->statements[i].st);
  sqlite3_close(s->db);
  free(s);
}

static void test_cut_short(void **state) {
  (void)state;
  bool through = false;
  long cuts = 0;
  for (long nth = 1; !through; nth++) {
    for (uint64_t seed = 1; seed <= 5; seed++, cuts++) {
      make_old(seed);
      store *s = opened_by_hand();
      disk_cut_at(nth);
      through = upgrade_by(s, steps, STEPS) == 0;
      disk_cut();
      closed_by_hand(s);
      disk_power_on();
      check_version();
      s = opened_by_hand(); /* and again, to the end */
      OK(upgrade_by(s, steps, STEPS));
      closed_by_hand(s);
      assert_int_equal(ask_sql("PRAGMA user_version"), STEPS);
      check_version();
    }
  }
  print_message("%ld cuts\n", cuts);
  assert_true(cuts > 100);
}

/* The real steps, from an empty file on and from version 1. */
static void test_this_version_cut_short(void **state) {
  (void)state;
  store *s;
  for (int old = 0; old < 2; old++) {
    bool through = false;
    for (long nth = 1; !through; nth++) {
      if (old) make_old((uint64_t)nth);
      else disk_new((uint64_t)nth);
      disk_cut_at(nth);
      int rc = store_sqlite_open_on(&s, PATH, true, DISK, why);
      through = rc == 0;
      disk_cut();
      if (through) store_close(s);
      disk_power_on();
      rc = store_sqlite_open_on(&s, PATH, true, DISK, why);
      if (rc) fail_msg("after a cut at %ld: %s", nth, why);
      store_close(s);
      assert_int_equal(ask_sql("PRAGMA user_version"), VERSION);
      assert_int_equal(ask_sql("SELECT count(*) FROM messages"), old ? 8 : 0);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_version_1),
      cmocka_unit_test(test_a_newer_version),
      cmocka_unit_test(test_cut_short),
      cmocka_unit_test(test_this_version_cut_short),
  };
  disk_register();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
