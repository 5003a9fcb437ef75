/*
 * What every implementation of chatd's store must do. It knows the interface alone:
 * `open_writer` and `open_reader` below are all that names an implementation.
 */
#include "store.h"

#include "store_sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <caw/status.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/caw-store-XXXXXX";
static char path[100], why[400];
static store *w, *r;
static caw_arena *arena;

static int set_up(void **state) {
  (void)state;
  strcpy(folder + strlen(folder) - 6, "XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof(path), "%s/chat.db", folder);
  arena = caw_arena_new(0);
  return store_sqlite_open(&w, path, true, why) || store_sqlite_open(&r, path, false, why);
}

static int tear_down(void **state) {
  static const char *const suffixes[] = {"", "-wal", "-shm"};
  (void)state;
  store_close(r);
  store_close(w);
  w = r = NULL;
  caw_arena_free(arena);
  for (size_t i = 0; i < 3; i++) {
    char name[120];
    snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
    unlink(name);
  }
  return rmdir(folder);
}

#define OK(call) assert_int_equal((call), 0)

static void assert_text(caw_str text, const char *expected) {
  if (text.len != strlen(expected) || memcmp(text.data, expected, text.len))
    fail_msg("\"%.*s\" != \"%s\"", CAW_STR_ARG(text), expected);
}

static store_user user_of(const char *handle, const char *search) {
  return (store_user){.handle = caw_str_from(handle),
                      .display_name = caw_str_from(handle),
                      .search = caw_str_from(search),
                      .role = 2,
                      .state = 1,
                      .created = 1000,
                      .updated = 1000};
}

static int64_t add_user(const char *handle, const char *search) {
  store_user user = user_of(handle, search);
  OK(store_user_add(w, &user, caw_str_from("secret")));
  return user.id;
}

static int64_t add_room(const char *name, int visibility) {
  store_room room = {.name = caw_str_from(name),
                     .folded = caw_str_from(name),
                     .visibility = visibility,
                     .kind = 1,
                     .creator_id = 1,
                     .created = 5};
  OK(store_room_add(w, &room));
  return room.id;
}

static store_message message_of(int64_t room, int64_t author, const char *id, const char *text) {
  return (store_message){.room_id = room,
                         .author_id = author,
                         .sent = 1000,
                         .kind = 1,
                         .client_id = caw_str_from(id),
                         .text = caw_str_from(text)};
}

/* ---- Accounts ---- */

static void test_users(void **state) {
  (void)state;
  store_user user = user_of("ann", "ann\nsmith\n"), out;
  OK(store_begin(w));
  OK(store_user_add(w, &user, caw_str_from("hash")));
  OK(store_commit(w));
  assert_int_equal(user.id, 1);

  OK(store_begin(r));
  OK(store_user_get(r, 1, &out, arena));
  assert_text(out.handle, "ann");
  assert_int_equal(out.role, 2);
  OK(store_user_by_handle(r, caw_str_from("ann"), &out, arena));
  assert_int_equal(out.id, 1);
  assert_int_equal(store_user_by_handle(r, caw_str_from("an"), &out, arena), STORE_NONE);
  assert_int_equal(store_user_get(r, 2, &out, arena), STORE_NONE);
  caw_str secret;
  OK(store_secret_get(r, 1, &secret, arena));
  assert_text(secret, "hash");
  store_end(r);

  OK(store_begin(w));
  store_user again = user_of("ann", "");
  assert_int_equal(store_user_add(w, &again, caw_str_from("")), STORE_TAKEN);
  user.bio = caw_str_from("painter");
  user.role = 3;
  user.search = caw_str_from("ann\njones\n");
  OK(store_user_put(w, &user));
  OK(store_secret_put(w, 1, caw_str_from("other")));
  user.id = 9;
  assert_int_equal(store_user_put(w, &user), STORE_NONE);
  OK(store_commit(w));

  store_user *list;
  size_t n;
  int64_t count;
  OK(store_begin(r));
  OK(store_user_get(r, 1, &out, arena));
  assert_text(out.bio, "painter");
  OK(store_users(r, caw_str_from("jo"), 0, 10, &list, &n, arena));
  assert_int_equal(n, 1);
  OK(store_users(r, caw_str_from("smith"), 0, 10, &list, &n, arena));
  assert_int_equal(n, 0); /* the name was changed */
  OK(store_users_with_role(r, 3, &count));
  assert_int_equal(count, 1);
  OK(store_users_with_role(r, 4, &count));
  assert_int_equal(count, 0);
  store_end(r);
}

static void test_user_pages(void **state) {
  (void)state;
  store_user *list;
  size_t n;
  char handle[20], search[20];
  OK(store_begin(w));
  for (int i = 0; i < 25; i++) {
    snprintf(handle, sizeof(handle), "u%02d", i);
    snprintf(search, sizeof(search), "u%02d\n\xc3\xa4%d\n", i, i); /* a word in umlauts */
    add_user(handle, search);
  }
  OK(store_commit(w));
  OK(store_begin(r));
  OK(store_users(r, caw_str_from(""), 0, 10, &list, &n, arena));
  assert_int_equal(n, 10);
  assert_text(list[9].handle, "u09");
  OK(store_users(r, caw_str_from(""), list[9].id, 100, &list, &n, arena));
  assert_int_equal(n, 15);
  OK(store_users(r, caw_str_from("u1"), 0, 100, &list, &n, arena));
  assert_int_equal(n, 10);
  OK(store_users(r, caw_str_from("\xc3\xa4"), 0, 100, &list, &n, arena));
  assert_int_equal(n, 25);
  OK(store_users(r, caw_str_from("v"), 0, 100, &list, &n, arena));
  assert_int_equal(n, 0);
  store_end(r);
}

static void test_tombstone(void **state) {
  (void)state;
  store_user out;
  store_room room;
  store_message *messages;
  size_t n;
  bool duplicate;
  OK(store_begin(w));
  int64_t ann = add_user("ann", "ann\n"), lobby = add_room("lobby", 1);
  OK(store_member_put(w, &(store_member){.room_id = lobby, .user_id = ann, .role = 2}));
  store_message m = message_of(lobby, ann, "1", "I was here");
  OK(store_message_add(w, &m, &duplicate));
  OK(store_user_erase(w, ann, 77));
  OK(store_user_get(w, ann, &out, arena));
  assert_int_equal(out.state, 3);
  assert_text(out.handle, "");
  assert_int_equal(store_user_by_handle(w, caw_str_from("ann"), &out, arena), STORE_NONE);
  store_user again = user_of("ann", "");
  assert_int_equal(store_user_add(w, &again, caw_str_from("")), STORE_TAKEN);
  OK(store_room_get(w, lobby, &room, arena));
  assert_int_equal(room.members, 0);
  OK(store_messages(w, lobby, 1, 9, 10, 1000, false, &messages, &n, arena));
  assert_int_equal(n, 1);
  assert_int_equal(messages[0].author_id, ann);
  assert_int_equal(store_user_erase(w, 99, 77), STORE_NONE);
  OK(store_commit(w));
}

/* ---- Sessions ---- */

static void test_sessions(void **state) {
  (void)state;
  uint8_t hash[3][32];
  store_session s, *list;
  size_t n;
  int64_t *gone;
  OK(store_begin(w));
  for (int i = 0; i < 3; i++) {
    memset(hash[i], i + 1, 32);
    s = (store_session){.user_id = 7,
                        .client_name = caw_str_from("phone"),
                        .created = i,
                        .used = i,
                        .expires = 100};
    OK(store_session_add(w, &s, hash[i]));
    assert_int_equal(s.id, i + 1);
  }
  OK(store_session_find(w, hash[1], &s, arena));
  assert_int_equal(s.id, 2);
  assert_text(s.client_name, "phone");
  OK(store_session_touch(w, 2, 50, 200));
  OK(store_session_find(w, hash[1], &s, arena));
  assert_int_equal(s.used, 50);
  assert_int_equal(s.expires, 200);
  OK(store_sessions(w, 7, &list, &n, arena));
  assert_int_equal(n, 3);
  assert_int_equal(list[0].id, 3); /* the newest first */
  OK(store_session_drop(w, 8, 1, 0, &gone, &n, arena));
  assert_int_equal(n, 0); /* somebody else's */
  OK(store_session_drop(w, 7, 1, 0, &gone, &n, arena));
  assert_int_equal(n, 1);
  assert_int_equal(gone[0], 1);
  OK(store_session_drop(w, 7, 0, 2, &gone, &n, arena));
  assert_int_equal(n, 1);
  assert_int_equal(gone[0], 3);
  assert_int_equal(store_session_find(w, hash[0], &s, arena), STORE_NONE);
  OK(store_session_find(w, hash[1], &s, arena));
  OK(store_commit(w));
}

static void test_codes(void **state) {
  (void)state;
  uint8_t a[32] = {1}, b[32] = {2};
  OK(store_begin(w));
  OK(store_code_put(w, 7, a, 100));
  OK(store_code_put(w, 7, b, 100)); /* in place of the first */
  assert_int_equal(store_code_take(w, 7, a, 50), STORE_NONE);
  OK(store_code_take(w, 7, b, 50)); /* a wrong one has not taken it away */
  assert_int_equal(store_code_take(w, 7, b, 50), STORE_NONE);
  OK(store_code_put(w, 7, a, 100));
  OK(store_code_take(w, 7, a, 50));
  OK(store_code_put(w, 7, a, 100));
  assert_int_equal(store_code_take(w, 7, a, 101), STORE_NONE);
  OK(store_commit(w));
}

static void test_once(void **state) {
  (void)state;
  uint8_t a[32] = {1}, b[32] = {2};
  int64_t result = 0;
  OK(store_begin(w));
  assert_int_equal(store_once(w, 7, caw_str_from("x"), a, &result, 1), STORE_NONE);
  OK(store_once_result(w, 7, caw_str_from("x"), 42));
  OK(store_once(w, 7, caw_str_from("x"), a, &result, 2));
  assert_int_equal(result, 42);
  assert_int_equal(store_once(w, 7, caw_str_from("x"), b, &result, 2), STORE_TAKEN);
  assert_int_equal(store_once(w, 8, caw_str_from("x"), b, &result, 2), STORE_NONE);
  assert_int_equal(store_once(w, 8, caw_str_from("x"), a, &result, 2),
                   STORE_NONE); /* made nothing */
  store_rollback(w);
  OK(store_begin(w));
  assert_int_equal(store_once(w, 7, caw_str_from("x"), a, &result, 1), STORE_NONE);
  store_rollback(w);
}

static void test_notes(void **state) {
  (void)state;
  caw_str value;
  OK(store_begin(w));
  assert_int_equal(store_note_get(w, "a", &value, arena), STORE_NONE);
  OK(store_note_put(w, "a", caw_str_from("1")));
  OK(store_note_put(w, "a", caw_str_from("2")));
  OK(store_note_get(w, "a", &value, arena));
  assert_text(value, "2");
  OK(store_note_put(w, "a", caw_str_from("")));
  assert_int_equal(store_note_get(w, "a", &value, arena), STORE_NONE);
  OK(store_commit(w));
}

/* ---- Rooms ---- */

static void test_rooms(void **state) {
  (void)state;
  store_room room = {.name = caw_str_from("Tea"),
                     .folded = caw_str_from("tea"),
                     .visibility = 1,
                     .kind = 1,
                     .creator_id = 7,
                     .created = 5,
                     .slow_mode = 9},
             out, *list;
  size_t n;
  OK(store_begin(w));
  OK(store_room_add(w, &room));
  store_room again = room;
  assert_int_equal(store_room_add(w, &again), STORE_TAKEN);
  again.visibility = 2;
  OK(store_room_add(w, &again)); /* private rooms may have any name */
  again.topic = caw_str_from("leaves");
  OK(store_room_put(w, &again));
  again.visibility = 1;
  assert_int_equal(store_room_put(w, &again), STORE_TAKEN);
  OK(store_room_get(w, room.id, &out, arena));
  assert_text(out.name, "Tea");
  assert_int_equal(out.slow_mode, 9);
  assert_int_equal(out.first_number, 1);
  assert_int_equal(out.last_number, 0);
  OK(store_room_by_name(w, caw_str_from("tea"), 7, &out, arena));
  assert_int_equal(out.id, room.id);
  again.name = again.folded = caw_str_from("cellar");
  again.visibility = 2;
  OK(store_room_put(w, &again));
  assert_int_equal(store_room_by_name(w, caw_str_from("cellar"), 7, &out, arena), STORE_NONE);
  OK(store_member_put(w, &(store_member){.room_id = again.id, .user_id = 7, .role = 2}));
  OK(store_room_by_name(w, caw_str_from("cellar"), 7, &out, arena));
  assert_int_equal(out.id, again.id);
  add_room("a", 1);
  OK(store_rooms_public(w, caw_str_from(""), 10, &list, &n, arena));
  assert_int_equal(n, 2);
  assert_text(list[0].name, "a");
  OK(store_rooms_public(w, caw_str_from("a"), 10, &list, &n, arena));
  assert_int_equal(n, 1);
  assert_int_equal(store_room_get(w, 99, &out, arena), STORE_NONE);
  OK(store_commit(w));
}

static void test_direct(void **state) {
  (void)state;
  store_room room = {.visibility = 2, .kind = 2, .creator_id = 4}, out;
  OK(store_begin(w));
  assert_int_equal(store_direct_get(w, 4, 9, &out, arena), STORE_NONE);
  OK(store_direct_add(w, 9, 4, &room));
  OK(store_direct_get(w, 4, 9, &out, arena));
  assert_int_equal(out.id, room.id);
  OK(store_direct_get(w, 9, 4, &out, arena));
  assert_int_equal(store_direct_add(w, 4, 9, &room), STORE_TAKEN);
  store_rollback(w);
}

static void test_members(void **state) {
  (void)state;
  store_member m = {.role = 2, .joined = 3}, out, *list, *mine;
  store_room room, *rooms;
  size_t n;
  int64_t count;
  OK(store_begin(w));
  m.room_id = add_room("r", 1);
  for (int64_t id = 1; id <= 5; id++) {
    m.user_id = id;
    OK(store_member_put(w, &m));
  }
  m.role = 4;
  m.read_number = 6;
  OK(store_member_put(w, &m)); /* changes the last */
  OK(store_room_get(w, m.room_id, &room, arena));
  assert_int_equal(room.members, 5);
  OK(store_member_get(w, m.room_id, 5, &out));
  assert_int_equal(out.role, 4);
  assert_int_equal(out.read_number, 6);
  OK(store_members_with_role(w, m.room_id, 3, &count));
  assert_int_equal(count, 1);
  store_member heir;
  OK(store_member_heir(w, m.room_id, 5, &heir)); /* all others are the same */
  assert_int_equal(heir.user_id, 1);
  OK(store_member_heir(w, m.room_id, 1, &heir));
  assert_int_equal(heir.user_id, 5);
  assert_int_equal(store_member_heir(w, 99, 1, &heir), STORE_NONE);
  const store_member sent = {
      .room_id = m.room_id, .user_id = 5, .role = 1, .read_number = 7, .last_sent = 9};
  OK(store_member_sent(w, &sent)); /* nothing but these two */
  OK(store_member_get(w, m.room_id, 5, &out));
  assert_int_equal(out.role, 4);
  assert_int_equal(out.read_number, 7);
  assert_int_equal(out.last_sent, 9);
  OK(store_room_as(w, m.room_id, 5, &room, &out)); /* and again, from what is remembered */
  OK(store_room_as(w, m.room_id, 5, &room, &out));
  assert_int_equal(room.id, m.room_id);
  assert_int_equal(room.visibility, 1);
  assert_int_equal(out.role, 4);
  assert_int_equal(out.read_number, 7);
  OK(store_member_put(w, &(store_member){.room_id = m.room_id, .user_id = 5, .role = 2}));
  OK(store_room_as(w, m.room_id, 5, &room, &out)); /* nothing that is old */
  assert_int_equal(out.role, 2);
  OK(store_member_put(w, &(store_member){.room_id = m.room_id, .user_id = 5, .role = 4}));
  OK(store_room_as(w, m.room_id, 77, &room, &out));
  assert_int_equal(out.role, 0);
  assert_int_equal(store_room_as(w, 99, 5, &room, &out), STORE_NONE);
  const store_member nobody = {.room_id = m.room_id, .user_id = 6};
  assert_int_equal(store_member_sent(w, &nobody), STORE_NONE);
  OK(store_members(w, m.room_id, 2, 2, &list, &n, arena));
  assert_int_equal(n, 2);
  assert_int_equal(list[0].user_id, 3);
  m.room_id = add_room("s", 2);
  OK(store_member_put(w, &m));
  OK(store_rooms_of(w, 5, 0, 10, &rooms, &mine, &n, arena));
  assert_int_equal(n, 2);
  assert_text(rooms[1].name, "s");
  assert_int_equal(mine[1].room_id, rooms[1].id);
  OK(store_rooms_of(w, 5, rooms[0].id, 10, &rooms, &mine, &n, arena));
  assert_int_equal(n, 1);
  OK(store_member_drop(w, m.room_id, 5));
  assert_int_equal(store_member_drop(w, m.room_id, 5), STORE_NONE);
  assert_int_equal(store_member_get(w, m.room_id, 5, &out), STORE_NONE);
  OK(store_room_get(w, m.room_id, &room, arena));
  assert_int_equal(room.members, 0);

  assert_int_equal(store_ban_get(w, 1, 5), STORE_NONE);
  OK(store_ban_put(w, 1, 5, 2, caw_str_from("spam"), 8));
  OK(store_ban_get(w, 1, 5));
  OK(store_ban_drop(w, 1, 5));
  assert_int_equal(store_ban_drop(w, 1, 5), STORE_NONE);
  OK(store_commit(w));
}

/* ---- Messages ---- */

static void test_messages(void **state) {
  (void)state;
  bool duplicate;
  int64_t count;
  OK(store_begin(w));
  int64_t ann = add_user("ann", ""), ben = add_user("ben", "");
  int64_t a = add_room("a", 1), b = add_room("b", 1);
  store_message m = message_of(a, ann, "1", "one");
  OK(store_message_add(w, &m, &duplicate));
  assert_int_equal(m.number, 1);
  assert_false(duplicate);
  OK(store_commit(w));

  OK(store_begin(w));
  store_message early = message_of(a, ben, "1", "two"); /* an id is the author's own */
  early.sent = 10;
  OK(store_message_add(w, &early, &duplicate));
  assert_int_equal(early.number, 2);
  assert_int_equal(early.sent, 1000); /* no time goes back */
  store_message again = message_of(a, ann, "1", "one");
  again.sent = 2000;
  OK(store_message_add(w, &again, &duplicate));
  assert_true(duplicate);
  assert_int_equal(again.number, 1);
  assert_int_equal(again.sent, 1000);
  store_message other = message_of(a, ann, "1", "another");
  assert_int_equal(store_message_add(w, &other, &duplicate), STORE_TAKEN);
  other = message_of(b, ann, "1", "one");
  assert_int_equal(store_message_add(w, &other, &duplicate), STORE_TAKEN);
  other = message_of(99, ann, "2", "nowhere");
  assert_int_equal(store_message_add(w, &other, &duplicate), STORE_NONE);
  other = message_of(b, ann, "2", "");
  OK(store_message_add(w, &other, &duplicate));
  assert_int_equal(other.number, 1);
  OK(store_message_count(w, a, 0, &count));
  assert_int_equal(count, 2);
  OK(store_message_count(w, 0, ann, &count));
  assert_int_equal(count, 2);
  OK(store_message_count(w, 0, 0, &count));
  assert_int_equal(count, 3);
  assert_int_equal(store_message_count(w, 99, 0, &count), STORE_NONE);
  store_rollback(w);

  OK(store_message_count(r, a, 0, &count));
  assert_int_equal(count, 1); /* what was not committed did not happen */
}

/* More rooms and authors than a store might note for a turn, read in between. */
static void test_a_great_turn(void **state) {
  (void)state;
  enum { MANY = 400, ROUNDS = 3 };
  static int64_t rooms[MANY], users[MANY];
  char name[20];
  bool duplicate, left;
  int64_t count;
  store_room room;
  store_message *list;
  size_t n;
  OK(store_begin(w));
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof(name), "n%d", i);
    rooms[i] = add_room(name, 1);
    users[i] = add_user(name, "");
  }
  for (int k = 1; k <= ROUNDS; k++) {
    for (int i = 0; i < MANY; i++) {
      snprintf(name, sizeof(name), "%d", k);
      store_message m = message_of(rooms[i], users[MANY - 1 - i], name, "hello");
      m.sent = 10 - k; /* and yet no time goes back */
      OK(store_message_add(w, &m, &duplicate));
      assert_int_equal(m.number, k);
      assert_int_equal(m.sent, 9);
      OK(store_message_add(w, &m, &duplicate));
      assert_true(duplicate);
      if (i % 7) continue;
      OK(store_room_get(w, rooms[i], &room, arena));
      assert_int_equal(room.last_number, k);
      assert_int_equal(room.last_sent, 9);
      OK(store_message_find(w, m.author_id, m.client_id, &count));
      assert_int_equal(count, k);
      OK(store_messages(w, rooms[i], 1, 100, 100, 1 << 20, false, &list, &n, arena));
      assert_int_equal(n, k);
      if (i % 3) continue;
      OK(store_message_count(w, rooms[i], 0, &count));
      assert_int_equal(count, k);
      OK(store_message_count(w, 0, users[MANY - 1 - i], &count));
      assert_int_equal(count, k);
    }
  }
  OK(store_forget(w, rooms[5], 2, 10, &left));
  OK(store_commit(w));
  for (int i = 0; i < MANY; i++) {
    OK(store_room_get(r, rooms[i], &room, arena));
    assert_int_equal(room.last_number, ROUNDS);
    assert_int_equal(room.first_number, i == 5 ? 3 : 1);
    OK(store_message_count(r, 0, users[i], &count));
    assert_int_equal(count, i == MANY - 6 ? 1 : ROUNDS);
  }

  OK(store_begin(w)); /* what is undone has taken no numbers */
  store_message m = message_of(rooms[0], users[0], "x", "hello");
  OK(store_message_add(w, &m, &duplicate));
  store_rollback(w);
  OK(store_begin(w));
  OK(store_message_add(w, &m, &duplicate));
  assert_int_equal(m.number, ROUNDS + 1);
  OK(store_commit(w));
  OK(store_message_count(r, 0, users[0], &count));
  assert_int_equal(count, ROUNDS + 1);
}

static void test_one_writer(void **state) {
  (void)state;
  store *other;
  assert_int_equal(store_sqlite_open(&other, path, true, why), STORE_BUSY);
  if (!strstr(why, "is in use: another chatd has it open")) fail_msg("%s", why);
}

static void fill(int64_t room, int64_t author, int n) {
  char id[20], text[40];
  bool duplicate;
  for (int i = 1; i <= n; i++) {
    snprintf(id, sizeof(id), "%d", i);
    snprintf(text, sizeof(text), "message %d", i);
    store_message m = message_of(room, author, id, text);
    m.sent = 1000 * i;
    OK(store_message_add(w, &m, &duplicate));
  }
}

static void test_pages(void **state) {
  (void)state;
  static const struct {
    int64_t from, to;
    size_t most, bytes;
    bool backward;
    int64_t first;
    size_t n;
  } cases[] = {
      {1, 100, 10, 1 << 20, false, 1, 10},
      {95, 200, 10, 1 << 20, false, 95, 6},
      {1, 100, 10, 1 << 20, true, 91, 10},
      {1, 5, 10, 1 << 20, true, 1, 5},
      {-5, 3, 10, 1 << 20, false, 1, 3},
      {101, 200, 10, 1 << 20, false, 0, 0},
      {7, 6, 10, 1 << 20, false, 0, 0},
      {1, 100, 50, 1, false, 1, 1},
      {1, 100, 50, 1, true, 100, 1},
      {1, 100, 1000, 1 << 20, false, 1, 100},
      {50, INT64_MAX, 2, 1 << 20, false, 50, 2},
  };
  OK(store_begin(w));
  int64_t room = add_room("r", 1);
  add_room("s", 1);
  fill(room, 1, 100);
  OK(store_commit(w));
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    store_message *m;
    size_t n;
    OK(store_messages(r, room, cases[i].from, cases[i].to, cases[i].most, cases[i].bytes,
                      cases[i].backward, &m, &n, arena));
    assert_int_equal(n, cases[i].n);
    for (size_t k = 0; k < n; k++) {
      char text[40];
      snprintf(text, sizeof(text), "message %d", (int)m[k].number);
      assert_int_equal(m[k].number, cases[i].first + (int64_t)k);
      assert_int_equal(m[k].room_id, room);
      assert_text(m[k].text, text);
      assert_false(m[k].damaged);
    }
  }
}

static void test_forget(void **state) {
  (void)state;
  int64_t count, number;
  bool left, duplicate;
  store_message *m;
  size_t n;
  OK(store_begin(w));
  int64_t ann = add_user("ann", ""), room = add_room("r", 1);
  fill(room, ann, 100);
  OK(store_older_than(w, room, 1000, &number));
  assert_int_equal(number, 0);
  OK(store_older_than(w, room, 50001, &number));
  assert_int_equal(number, 50);
  OK(store_older_than(w, room, INT64_MAX, &number));
  assert_int_equal(number, 100);
  OK(store_forget(w, room, 50, 30, &left));
  assert_true(left);
  OK(store_forget(w, room, 50, 30, &left));
  assert_false(left);
  OK(store_forget(w, room, 50, 30, &left));
  assert_false(left);
  OK(store_message_count(w, room, 0, &count));
  assert_int_equal(count, 50);
  OK(store_message_count(w, 0, ann, &count));
  assert_int_equal(count, 50);
  OK(store_messages(w, room, 1, 60, 100, 1 << 20, false, &m, &n, arena));
  assert_int_equal(n, 10);
  assert_int_equal(m[0].number, 51);
  OK(store_older_than(w, room, 2000, &number));
  assert_int_equal(number, 50);
  store_message again = message_of(room, ann, "1", "message 1"); /* its id went with it */
  OK(store_message_add(w, &again, &duplicate));
  assert_false(duplicate);
  assert_int_equal(again.number, 101);
  OK(store_forget(w, room, 200, 1000, &left));
  OK(store_message_count(w, room, 0, &count));
  assert_int_equal(count, 0);
  OK(store_commit(w));
}

static void test_mentions(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool named;
  } cases[] = {
      {"@ann", true},         {"hi @ann!", true},   {"@ann.", true},   {"(@ann)", true},
      {"@anna", false},       {"x@ann", false},     {"@ann.b", false}, {"ann", false},
      {"@bob @ann", true},    {"@an n", false},     {"@", false},      {"", false},
      {"@ann... well", true}, {"@anna @ann", true},
  };
  const size_t n = sizeof(cases) / sizeof(cases[0]);
  bool duplicate;
  OK(store_begin(w));
  int64_t room = add_room("r", 1);
  for (size_t i = 0; i < n; i++) {
    char id[20];
    int64_t count, own;
    const store_user ann = {.id = 9, .handle = caw_str_from("ann")}, author = {.id = 3};
    snprintf(id, sizeof(id), "%zu", i);
    store_message m = message_of(room, 3, id, cases[i].text);
    OK(store_message_add(w, &m, &duplicate));
    OK(store_unread(w, room, m.number - 1, &ann, 1000, &own, &count));
    if (count != cases[i].named) fail_msg("\"%s\": %d", cases[i].text, (int)count);
    assert_int_equal(own, 0);
    OK(store_unread(w, room, 0, &author, 1000, &own, &count));
    assert_int_equal(own, i + 1);
  }
  store_rollback(w);
}

/* ---- Turns ---- */

static void test_views(void **state) {
  (void)state;
  int64_t count;
  OK(store_begin(w));
  int64_t room = add_room("r", 1);
  fill(room, 1, 3);
  OK(store_commit(w));
  OK(store_begin(r));
  OK(store_message_count(r, room, 0, &count));
  OK(store_begin(w));
  store_message m = message_of(room, 1, "x", "more");
  bool duplicate;
  OK(store_message_add(w, &m, &duplicate));
  OK(store_commit(w));
  OK(store_message_count(r, room, 0, &count));
  assert_int_equal(count, 3); /* the same view until its end */
  store_end(r);
  OK(store_message_count(r, room, 0, &count));
  assert_int_equal(count, 4);
}

static void test_reopened(void **state) {
  (void)state;
  int64_t count;
  OK(store_begin(w));
  int64_t room = add_room("r", 1);
  fill(room, 1, 3);
  OK(store_commit(w));
  OK(store_sqlite_checkpoint(w));
  store_close(r);
  store_close(w);
  r = w = NULL;
  OK(store_sqlite_open(&w, path, true, why));
  OK(store_sqlite_open(&r, path, false, why));
  OK(store_message_count(r, room, 0, &count));
  assert_int_equal(count, 3);
}

/* ---- Damage ---- */

static long find(const char *data, long len, const char *text) {
  for (long i = 0; i + (long)strlen(text) <= len; i++)
    if (!memcmp(data + i, text, strlen(text))) return i;
  fail_msg("\"%s\" is not in the file", text);
  return 0;
}

/* Where the row of a message begins and ends in the file: rows lie one before the other,
 * and each ends with its text and a checksum of 8 bytes. */
static void place_of(const char *data, long len, int number, long *from, long *to) {
  char text[40], next[40];
  snprintf(text, sizeof(text), "message %d", number);
  snprintf(next, sizeof(next), "message %d", number + 1);
  *from = find(data, len, next) + (long)strlen(next) + 8;
  *to = find(data, len, text) + (long)strlen(text) + 8;
  assert_in_range(*to - *from, 30, 60);
}

/* A bit may be flipped that says nothing: then the message is what was written. */
static void with_flipped_bit(int64_t room, const char *data, long len, int number, long at, int bit,
                             unsigned *reported) {
  char *changed = malloc((size_t)len);
  store_message *m;
  size_t n;
  memcpy(changed, data, (size_t)len);
  changed[at] = (char)(changed[at] ^ 1 << bit);
  FILE *f = fopen(path, "wb");
  assert_int_equal(fwrite(changed, 1, (size_t)len, f), len);
  fclose(f);
  free(changed);
  OK(store_sqlite_open(&w, path, true, why));
  for (int backward = 0; backward < 2; backward++) {
    OK(store_messages(w, room, 1, 100, 1000, 1 << 20, backward, &m, &n, arena));
    assert_int_equal(n, 100);
    for (size_t i = 0; i < n; i++)
      if (m[i].number != (int64_t)i + 1 || (m[i].damaged && m[i].number != number))
        fail_msg("bit %d of byte %ld of the row of message %d: number %d is %s", bit, at, number,
                 (int)m[i].number, m[i].damaged ? "damaged" : "out of place");
    for (size_t i = 0; i < n; i++) {
      char text[40];
      snprintf(text, sizeof(text), "message %zu", i + 1);
      if (!m[i].damaged) assert_text(m[i].text, text);
    }
    *reported += m[number - 1].damaged;
  }
  store_close(w);
  w = NULL;
  caw_arena_reset(arena);
}

static void test_damage(void **state) {
  (void)state;
  static char data[1 << 20];
  static const int numbers[] = {50, 57};
  OK(store_begin(w));
  int64_t room = add_room("r", 1);
  fill(room, 1, 100);
  OK(store_commit(w));
  OK(store_sqlite_checkpoint(w));
  store_close(r);
  store_close(w);
  r = w = NULL;
  FILE *f = fopen(path, "rb");
  long len = (long)fread(data, 1, sizeof(data), f), from, to;
  fclose(f);
  for (size_t k = 0; k < 2; k++) {
    unsigned reported = 0;
    place_of(data, len, numbers[k], &from, &to);
    for (long at = from; at < to; at++)
      for (int bit = 0; bit < 8; bit++)
        with_flipped_bit(room, data, len, numbers[k], at, bit, &reported);
    /* All but a few bits of the row say something. */
    assert_in_range(reported, 2 * 8 * (to - from) - 4, 2 * 8 * (to - from));
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(test_users),  TEST(test_user_pages),   TEST(test_tombstone),  TEST(test_sessions),
      TEST(test_codes),  TEST(test_once),         TEST(test_notes),      TEST(test_rooms),
      TEST(test_direct), TEST(test_members),      TEST(test_messages),   TEST(test_pages),
      TEST(test_forget), TEST(test_mentions),     TEST(test_views),      TEST(test_reopened),
      TEST(test_damage), TEST(test_a_great_turn), TEST(test_one_writer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
