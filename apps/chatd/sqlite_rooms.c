/* Rooms, their members and bans, in the SQLite store. */
#include "sqlite.h"

#include <caw/status.h>

#define ROOM_COLUMNS                                                                               \
  "rooms.id, name, topic, visibility, kind, slow_mode, max_age, max_messages, creator_id, "        \
  "created, first_number, last_number, rooms.last_sent, rooms.members"
#define ROOM_WIDTH 14

static int read_room(const query *q, void *item, caw_arena *arena) {
  store_room *out = item;
  int rc = 0;
  *out = (store_room){.id = get_int(q, 0),
                      .name = get_text(q, 1, arena, &rc),
                      .topic = get_text(q, 2, arena, &rc),
                      .visibility = (int)get_int(q, 3),
                      .kind = (int)get_int(q, 4),
                      .slow_mode = get_int(q, 5),
                      .max_age = get_int(q, 6),
                      .max_messages = get_int(q, 7),
                      .creator_id = get_int(q, 8),
                      .created = get_int(q, 9),
                      .first_number = get_int(q, 10),
                      .last_number = get_int(q, 11),
                      .last_sent = get_int(q, 12),
                      .members = (int)get_int(q, 13)};
  noted_numbers(q->s, out->id, &out->last_number, &out->last_sent);
  return rc;
}

static int one_room(query *q, store_room *out, caw_arena *arena) {
  int rc = one_row(q);
  if (rc) return rc;
  rc = read_room(q, out, arena);
  drop(q);
  return rc;
}

static void put_room(query *q, const store_room *room) {
  put_text(q, room->name);
  put_text(q, room->folded);
  put_text(q, room->topic);
  put_int(q, room->visibility);
  put_int(q, room->slow_mode);
  put_int(q, room->max_age);
  put_int(q, room->max_messages);
}

int store_room_add(store *s, store_room *room) {
  s->seen_in++;
  query q =
      ask(s, "INSERT INTO rooms(name, folded, topic, visibility, slow_mode, max_age,"
             " max_messages, kind, creator_id, created) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  put_room(&q, room);
  put_int(&q, room->kind);
  put_int(&q, room->creator_id);
  put_int(&q, room->created);
  int rc = run(&q);
  if (rc) return rc;
  room->id = sqlite3_last_insert_rowid(s->db);
  room->first_number = 1;
  room->last_number = 0;
  room->members = 0;
  return 0;
}

int store_room_put(store *s, const store_room *room) {
  s->seen_in++;
  query q =
      ask(s, "UPDATE rooms SET name = ?, folded = ?, topic = ?, visibility = ?, slow_mode = ?,"
             " max_age = ?, max_messages = ? WHERE id = ?");
  put_room(&q, room);
  put_int(&q, room->id);
  int rc = run(&q);
  return rc ? rc : changes(s) ? 0 : STORE_NONE;
}

int store_room_get(store *s, int64_t id, store_room *out, caw_arena *arena) {
  query q = ask(s, "SELECT " ROOM_COLUMNS " FROM rooms WHERE id = ?");
  put_int(&q, id);
  return one_room(&q, out, arena);
}

/* One statement rather than two, and none for whoever has just been looked at. */
static int read_as(store *s, int64_t id, int64_t user_id, store_room *room, store_member *member) {
  query q = ask(s, "SELECT visibility, kind, slow_mode, first_number, last_number, rooms.last_sent,"
                   " members.role, joined, read_number, members.last_sent FROM rooms"
                   " LEFT JOIN members ON room_id = rooms.id AND user_id = ? WHERE rooms.id = ?");
  put_int(&q, user_id);
  put_int(&q, id);
  int rc = one_row(&q);
  if (rc) return rc;
  *room = (store_room){.id = id,
                       .visibility = (int)get_int(&q, 0),
                       .kind = (int)get_int(&q, 1),
                       .slow_mode = get_int(&q, 2),
                       .first_number = get_int(&q, 3),
                       .last_number = get_int(&q, 4),
                       .last_sent = get_int(&q, 5)};
  *member = (store_member){.room_id = id,
                           .user_id = user_id,
                           .role = (int)get_int(&q, 6),
                           .joined = get_int(&q, 7),
                           .read_number = get_int(&q, 8),
                           .last_sent = get_int(&q, 9)};
  drop(&q);
  return 0;
}

int store_room_as(store *s, int64_t id, int64_t user_id, store_room *room, store_member *member) {
  const size_t at = ((uint64_t)id * 31 + (uint64_t)user_id) % SEEN;
  const bool known = s->writer && s->seen[at].turn == s->seen_in && s->seen[at].room.id == id &&
                     s->seen[at].member.user_id == user_id;
  if (known) {
    *room = s->seen[at].room;
    *member = s->seen[at].member;
  } else {
    int rc = read_as(s, id, user_id, room, member);
    if (rc) return rc;
    s->seen[at].turn = s->seen_in;
    s->seen[at].room = *room;
    s->seen[at].member = *member;
  }
  noted_numbers(s, id, &room->last_number, &room->last_sent);
  return 0;
}

int store_room_by_name(store *s, caw_str name, int64_t user_id, store_room *out, caw_arena *arena) {
  query q =
      ask(s, "SELECT " ROOM_COLUMNS " FROM rooms WHERE folded = ? AND (visibility = 1 OR EXISTS"
             " (SELECT 1 FROM members WHERE room_id = rooms.id AND user_id = ?))"
             " ORDER BY visibility LIMIT 1");
  put_text(&q, name);
  put_int(&q, user_id);
  return one_room(&q, out, arena);
}

int store_direct_get(store *s, int64_t a, int64_t b, store_room *out, caw_arena *arena) {
  query q = ask(s, "SELECT " ROOM_COLUMNS " FROM rooms WHERE id ="
                   " (SELECT room_id FROM directs WHERE a = ? AND b = ?)");
  put_int(&q, a < b ? a : b);
  put_int(&q, a < b ? b : a);
  return one_room(&q, out, arena);
}

int store_direct_add(store *s, int64_t a, int64_t b, store_room *room) {
  int rc = store_room_add(s, room);
  if (rc) return rc;
  query q = ask(s, "INSERT INTO directs(a, b, room_id) VALUES(?, ?, ?)");
  put_int(&q, a < b ? a : b);
  put_int(&q, a < b ? b : a);
  put_int(&q, room->id);
  return run(&q);
}

int store_rooms_public(store *s, caw_str after, size_t most, store_room **out, size_t *n,
                       caw_arena *arena) {
  query q = ask(s, "SELECT " ROOM_COLUMNS " FROM rooms WHERE visibility = 1 AND folded > ?"
                   " ORDER BY folded LIMIT ?");
  put_text(&q, after);
  put_int(&q, (int64_t)most);
  return all_rows(&q, out, n, sizeof(**out), read_room, arena);
}

int store_rooms_limited(store *s, int64_t after, size_t most, store_room **out, size_t *n,
                        caw_arena *arena) {
  query q = ask(s, "SELECT " ROOM_COLUMNS " FROM rooms INDEXED BY rooms_limited"
                   " WHERE (max_age > 0 OR max_messages > 0) AND id > ? ORDER BY id LIMIT ?");
  put_int(&q, after);
  put_int(&q, (int64_t)most);
  return all_rows(&q, out, n, sizeof(**out), read_room, arena);
}

/* ---- Members ---- */

#define MEMBER_COLUMNS "room_id, user_id, role, joined, read_number, members.last_sent"

static void read_member(const query *q, int at, store_member *out) {
  *out = (store_member){.room_id = get_int(q, at),
                        .user_id = get_int(q, at + 1),
                        .role = (int)get_int(q, at + 2),
                        .joined = get_int(q, at + 3),
                        .read_number = get_int(q, at + 4),
                        .last_sent = get_int(q, at + 5)};
}

int store_rooms_of(store *s, int64_t user_id, int64_t after, size_t most, store_room **rooms,
                   store_member **members, size_t *n, caw_arena *arena) {
  size_t room = 0, also = 0, count = 0;
  *rooms = NULL;
  *members = NULL;
  *n = 0;
  query q =
      ask(s, "SELECT " ROOM_COLUMNS ", " MEMBER_COLUMNS " FROM members CROSS JOIN rooms"
             " ON rooms.id = room_id WHERE user_id = ? AND room_id > ? ORDER BY room_id LIMIT ?");
  put_int(&q, user_id);
  put_int(&q, after);
  put_int(&q, (int64_t)most);
  int rc;
  while ((rc = next_row(&q)) == 1) {
    store_room *one = list_more(rooms, n, &room, sizeof(*one), arena);
    store_member *member = list_more(members, &count, &also, sizeof(*member), arena);
    rc = one && member ? read_room(&q, one, arena) : CAW_ENOMEM;
    if (!rc) {
      read_member(&q, ROOM_WIDTH, member);
      continue;
    }
    drop(&q);
    break;
  }
  return rc;
}

static int count_member(store *s, int64_t room_id, int by) {
  query q = ask(s, "UPDATE rooms SET members = members + ? WHERE id = ?");
  put_int(&q, by);
  put_int(&q, room_id);
  return run(&q);
}

int store_member_put(store *s, const store_member *member) {
  s->seen_in++;
  store_member old;
  int rc = store_member_get(s, member->room_id, member->user_id, &old);
  if (rc && rc != STORE_NONE) return rc;
  bool is_new = rc != 0;
  query q = ask(s, "INSERT OR REPLACE INTO members(room_id, user_id, role, joined, read_number, "
                   "last_sent) VALUES(?, ?, ?, ?, ?, ?)");
  put_int(&q, member->room_id);
  put_int(&q, member->user_id);
  put_int(&q, member->role);
  put_int(&q, member->joined);
  put_int(&q, member->read_number);
  put_int(&q, member->last_sent);
  rc = run(&q);
  return rc || !is_new ? rc : count_member(s, member->room_id, 1);
}

int store_member_sent(store *s, const store_member *member) {
  s->seen_in++;
  query q = ask(s, "UPDATE members SET read_number = ?, last_sent = ? WHERE room_id = ?"
                   " AND user_id = ?");
  put_int(&q, member->read_number);
  put_int(&q, member->last_sent);
  put_int(&q, member->room_id);
  put_int(&q, member->user_id);
  int rc = run(&q);
  return rc ? rc : changes(s) ? 0 : STORE_NONE;
}

int store_member_get(store *s, int64_t room_id, int64_t user_id, store_member *out) {
  query q = ask(s, "SELECT " MEMBER_COLUMNS " FROM members WHERE room_id = ? AND user_id = ?");
  put_int(&q, room_id);
  put_int(&q, user_id);
  int rc = one_row(&q);
  if (rc) return rc;
  read_member(&q, 0, out);
  drop(&q);
  return 0;
}

int store_member_drop(store *s, int64_t room_id, int64_t user_id) {
  s->seen_in++;
  query q = ask(s, "DELETE FROM members WHERE room_id = ? AND user_id = ?");
  put_int(&q, room_id);
  put_int(&q, user_id);
  int rc = run(&q);
  if (rc) return rc;
  return changes(s) ? count_member(s, room_id, -1) : STORE_NONE;
}

static int read_only_member(const query *q, void *item, caw_arena *arena) {
  (void)arena;
  read_member(q, 0, item);
  return 0;
}

int store_members(store *s, int64_t room_id, int64_t after, size_t most, store_member **out,
                  size_t *n, caw_arena *arena) {
  query q = ask(s, "SELECT " MEMBER_COLUMNS " FROM members WHERE room_id = ? AND user_id > ?"
                   " ORDER BY user_id LIMIT ?");
  put_int(&q, room_id);
  put_int(&q, after);
  put_int(&q, (int64_t)most);
  return all_rows(&q, out, n, sizeof(**out), read_only_member, arena);
}

int store_member_heir(store *s, int64_t room_id, int64_t user_id, store_member *out) {
  query q = ask(s, "SELECT " MEMBER_COLUMNS " FROM members WHERE room_id = ? AND user_id <> ?"
                   " ORDER BY role DESC, joined, user_id LIMIT 1");
  put_int(&q, room_id);
  put_int(&q, user_id);
  int rc = one_row(&q);
  if (rc) return rc;
  read_member(&q, 0, out);
  drop(&q);
  return 0;
}

int store_members_with_role(store *s, int64_t room_id, int role, int64_t *count) {
  query q = ask(s, "SELECT count(*) FROM members WHERE room_id = ? AND role >= ?");
  put_int(&q, room_id);
  put_int(&q, role);
  int rc = one_row(&q);
  if (rc) return rc;
  *count = get_int(&q, 0);
  drop(&q);
  return 0;
}

/* ---- Bans ---- */

int store_ban_put(store *s, int64_t room_id, int64_t user_id, int64_t by, caw_str reason,
                  int64_t now) {
  query q = ask(s, "INSERT OR REPLACE INTO bans(room_id, user_id, by_id, reason, since)"
                   " VALUES(?, ?, ?, ?, ?)");
  put_int(&q, room_id);
  put_int(&q, user_id);
  put_int(&q, by);
  put_text(&q, reason);
  put_int(&q, now);
  return run(&q);
}

int store_ban_drop(store *s, int64_t room_id, int64_t user_id) {
  query q = ask(s, "DELETE FROM bans WHERE room_id = ? AND user_id = ?");
  put_int(&q, room_id);
  put_int(&q, user_id);
  int rc = run(&q);
  return rc ? rc : changes(s) ? 0 : STORE_NONE;
}

int store_ban_get(store *s, int64_t room_id, int64_t user_id) {
  query q = ask(s, "SELECT 1 FROM bans WHERE room_id = ? AND user_id = ?");
  put_int(&q, room_id);
  put_int(&q, user_id);
  int rc = one_row(&q);
  if (!rc) drop(&q);
  return rc;
}
