/*
 * Messages in the SQLite store. Each row has a checksum over all of it and its place,
 * so that a row that is not what was written is known; numbers have no holes, so that
 * one that cannot be found is known, too.
 */
#include "sqlite.h"

#include <caw/status.h>
#include <string.h>

static int64_t key_of(int64_t room_id, int64_t number) {
  return room_id << NUMBER_BITS | number;
}

/* ---- Adding ---- */

static bool same_text(caw_str a, caw_str b) {
  return a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len));
}

/* Was it sent before? 0: no. STORE_TAKEN: something else was. 1: it was. */
static int sent_before(store *s, store_message *m) {
  query q = ask(s, "SELECT key, sent, kind, reply_to, text FROM messages"
                   " WHERE author_id = ? AND client_id = ? AND client_id <> ''");
  put_int(&q, m->author_id);
  put_text(&q, m->client_id);
  int rc = one_row(&q);
  if (rc) return rc == STORE_NONE ? 0 : rc;
  int64_t key = get_int(&q, 0);
  const char *text = (const char *)sqlite3_column_text(q.st, 4);
  caw_str kept = caw_str_of(text, (size_t)sqlite3_column_bytes(q.st, 4));
  bool same = key >> NUMBER_BITS == m->room_id && get_int(&q, 2) == m->kind &&
              get_int(&q, 3) == m->reply_to && same_text(kept, m->text);
  if (same) {
    m->number = key & MOST_NUMBER;
    m->sent = get_int(&q, 1);
  }
  drop(&q);
  return same ? 1 : STORE_TAKEN;
}

/* The turn's size was measured when it began; what it adds is about this. */
static bool is_too_much(store *s, const store_message *m) {
  if (!s->quota) return false;
  if (s->size >= s->quota) return true;
  s->size += (int64_t)(m->text.len + 2 * m->client_id.len + m->guest_name.len) + 64;
  return false;
}

int store_message_find(store *s, int64_t author_id, caw_str client_id, int64_t *number) {
  query q = ask(s, "SELECT key FROM messages WHERE author_id = ? AND client_id = ?"
                   " AND client_id <> ''");
  put_int(&q, author_id);
  put_text(&q, client_id);
  int rc = one_row(&q);
  if (rc) return rc;
  *number = get_int(&q, 0) & MOST_NUMBER;
  drop(&q);
  return 0;
}

static int insert(store *s, const store_message *m) {
  query q =
      ask(s, "INSERT INTO messages(key, author_id, sent, kind, reply_to, client_id, guest_name,"
             " text, sum) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
  put_int(&q, key_of(m->room_id, m->number));
  put_int(&q, m->author_id);
  put_int(&q, m->sent);
  put_int(&q, m->kind);
  put_int(&q, m->reply_to);
  put_text(&q, m->client_id);
  put_text(&q, m->guest_name);
  put_text(&q, m->text);
  put_int(&q, sum_of(m));
  return run(&q);
}

/* Its number is taken after it is in: one that was sent before takes none. */
int store_message_add(store *s, store_message *m, bool *duplicate) {
  int rc = 0;
  bool refused = is_too_much(s, m);
  *duplicate = false;
  if (!refused) {
    if ((rc = next_number(s, m->room_id, &m->number, &m->sent))) return rc;
    if ((rc = insert(s, m))) return rc;
    if (changes(s)) return take_number(s, m->room_id, m->author_id, m->sent);
  }
  if (m->client_id.len) rc = sent_before(s, m);
  *duplicate = rc == 1;
  if (rc) return rc == 1 ? 0 : rc;
  return refused ? STORE_QUOTA : STORE_DAMAGED; /* of another one with this key */
}

/* ---- Reading ---- */

#define COLUMNS "key, author_id, sent, kind, reply_to, client_id, guest_name, text, sum"

/* Are the values of the kinds that were written? STRICT holds for what is written only. */
static bool is_sound(const query *q) {
  static const int kinds[] = {SQLITE_INTEGER, SQLITE_INTEGER, SQLITE_INTEGER,
                              SQLITE_INTEGER, SQLITE_INTEGER, SQLITE_TEXT,
                              SQLITE_TEXT,    SQLITE_TEXT,    SQLITE_INTEGER};
  for (int i = 0; i < 9; i++)
    if (sqlite3_column_type(q->st, i) != kinds[i]) return false;
  return true;
}

static int read_message(const query *q, store_message *out, caw_arena *arena) {
  int rc = 0;
  bool sound = is_sound(q); /* before a column is converted */
  int64_t key = get_int(q, 0);
  *out = (store_message){.room_id = key >> NUMBER_BITS,
                         .number = key & MOST_NUMBER,
                         .author_id = get_int(q, 1),
                         .sent = get_int(q, 2),
                         .kind = (int)get_int(q, 3),
                         .reply_to = get_int(q, 4),
                         .client_id = get_text(q, 5, arena, &rc),
                         .guest_name = get_text(q, 6, arena, &rc),
                         .text = get_text(q, 7, arena, &rc)};
  if (!rc && (!sound || !is_sum_of(out, get_int(q, 8))))
    *out = (store_message){.room_id = out->room_id, .number = out->number, .damaged = true};
  return rc;
}

#define NEAR 1000

/*
 * The sound row of a key that a search did not find: a damaged key on the same page
 * stands in the wrong place, and leads searches astray, or it is another row's now.
 * Walking along the rows finds it, from at least one side.
 */
static int walk_to(query *q, int64_t key, store_message *out, caw_arena *arena) {
  int rc;
  while ((rc = next_row(q)) == 1) {
    if (get_int(q, 0) != key) continue;
    rc = read_message(q, out, arena);
    if (!rc && out->damaged) continue;
    drop(q);
    return rc;
  }
  return rc ? rc : STORE_NONE;
}

static int find_near(store *s, int64_t key, store_message *out, caw_arena *arena) {
  query q = ask(s, "SELECT " COLUMNS " FROM messages WHERE key >= ? ORDER BY key LIMIT ?");
  put_int(&q, key - NEAR);
  put_int(&q, 2 * NEAR);
  int rc = walk_to(&q, key, out, arena);
  if (rc != STORE_NONE && rc != STORE_DAMAGED) return rc;
  q = ask(s, "SELECT " COLUMNS " FROM messages WHERE key <= ? ORDER BY key DESC LIMIT ?");
  put_int(&q, key + NEAR);
  put_int(&q, 2 * NEAR);
  return walk_to(&q, key, out, arena);
}

/* One message by its number; one that cannot be read is damaged. */
static int read_one(store *s, int64_t room_id, int64_t number, store_message *out,
                    caw_arena *arena) {
  query q = ask(s, "SELECT " COLUMNS " FROM messages WHERE key = ?");
  put_int(&q, key_of(room_id, number));
  int rc = one_row(&q);
  if (!rc) {
    rc = read_message(&q, out, arena);
    drop(&q);
    if (rc || !out->damaged) return rc;
    rc = STORE_DAMAGED;
  }
  if (rc == STORE_NONE || rc == STORE_DAMAGED)
    rc = find_near(s, key_of(room_id, number), out, arena);
  if (rc != STORE_NONE && rc != STORE_DAMAGED) return rc;
  *out = (store_message){.room_id = room_id, .number = number, .damaged = true};
  return 0;
}

/* A walk over numbers, which has none where a row is gone. */
typedef struct walk {
  store *s;
  int64_t room_id;
  size_t most, bytes;
  store_message **out;
  size_t *n, room;
  caw_arena *arena;
} walk;

static bool is_full(const walk *w) {
  return *w->n == w->most || (*w->n && !w->bytes);
}

static store_message *next_place(walk *w) {
  return list_more(w->out, w->n, &w->room, sizeof(store_message), w->arena);
}

static void take_bytes(walk *w, const store_message *m) {
  size_t len = m->text.len + 100;
  w->bytes -= len < w->bytes ? len : w->bytes;
}

/* All numbers from `number` to `end`, one by one, in steps of `step`. */
static int one_by_one(walk *w, int64_t number, int64_t end, int step) {
  for (; number != end && !is_full(w); number += step) {
    store_message *m = next_place(w);
    int rc = m ? read_one(w->s, w->room_id, number, m, w->arena) : CAW_ENOMEM;
    if (rc) return rc;
    take_bytes(w, m);
  }
  return 0;
}

/* From `number` on in steps of `step` until `end` is reached. */
static int scan(walk *w, query *q, int64_t number, int64_t end, int step) {
  int rc = 0;
  while (number != end && !is_full(w) && (rc = next_row(q)) == 1) {
    int64_t at = get_int(q, 0) & MOST_NUMBER;
    if ((step > 0 && at < number) || (step < 0 && at > number)) continue; /* it lies elsewhere */
    rc = one_by_one(w, number, at, step);
    if (!rc && is_full(w)) break;
    store_message *m = rc ? NULL : next_place(w);
    if (!rc) rc = m ? read_message(q, m, w->arena) : CAW_ENOMEM;
    if (!rc && m->damaged) rc = read_one(w->s, w->room_id, at, m, w->arena);
    if (rc) break;
    take_bytes(w, m);
    number = at + step;
  }
  drop(q);
  if (rc == 1) rc = 0;
  return !rc || rc == STORE_DAMAGED ? one_by_one(w, number, end, step) : rc;
}

static void reverse(store_message *m, size_t n) {
  for (size_t i = 0; i < n / 2; i++) {
    store_message t = m[i];
    m[i] = m[n - 1 - i];
    m[n - 1 - i] = t;
  }
}

/* Cuts a range to what the room has. False when nothing is left. */
static int clip(store *s, int64_t room_id, int64_t *from, int64_t *to) {
  query q = ask(s, "SELECT first_number, last_number FROM rooms WHERE id = ?");
  put_int(&q, room_id);
  int rc = one_row(&q);
  if (rc) return rc;
  if (*from < get_int(&q, 0)) *from = get_int(&q, 0);
  int64_t last = get_int(&q, 1), sent;
  noted_numbers(s, room_id, &last, &sent);
  if (*to > last) *to = last;
  drop(&q);
  return 0;
}

int store_messages(store *s, int64_t room_id, int64_t from, int64_t to, size_t most, size_t bytes,
                   bool backward, store_message **out, size_t *n, caw_arena *arena) {
  walk w = {
      .s = s, .room_id = room_id, .most = most, .bytes = bytes, .out = out, .n = n, .arena = arena};
  *out = NULL;
  *n = 0;
  int rc = clip(s, room_id, &from, &to);
  if (rc || from > to) return rc;
  query q = backward ? ask(s, "SELECT " COLUMNS " FROM messages WHERE key BETWEEN ? AND ?"
                              " ORDER BY key DESC")
                     : ask(s, "SELECT " COLUMNS " FROM messages WHERE key BETWEEN ? AND ?"
                              " ORDER BY key");
  put_int(&q, key_of(room_id, from));
  put_int(&q, key_of(room_id, to));
  rc = backward ? scan(&w, &q, to, from - 1, -1) : scan(&w, &q, from, to + 1, 1);
  if (!rc && backward) reverse(*out, *n);
  return rc;
}

/* ---- Counting ---- */

static int count_by(query *q, int64_t *count) {
  int rc = one_row(q);
  if (rc) return rc;
  *count = get_int(q, 0);
  drop(q);
  return 0;
}

int store_message_count(store *s, int64_t room_id, int64_t user_id, int64_t *count) {
  int rc = settle(s);
  if (rc) return rc;
  query q = room_id ? ask(s, "SELECT last_number - first_number + 1 FROM rooms WHERE id = ?")
            : user_id
                ? ask(s, "SELECT sent FROM users WHERE id = ?")
                : ask(s, "SELECT coalesce(sum(last_number - first_number + 1), 0) FROM rooms");
  if (room_id || user_id) put_int(&q, room_id ? room_id : user_id);
  return count_by(&q, count);
}

static bool is_handle_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

/* Does the text name "@handle", and not "@handleX"? A dot that ends a sentence is none
 * of a handle. */
static bool names(caw_str text, caw_str handle) {
  for (size_t i = 0; i + handle.len < text.len; i++) {
    if (text.data[i] != '@' || memcmp(text.data + i + 1, handle.data, handle.len)) continue;
    size_t at = i + 1 + handle.len;
    while (at < text.len && text.data[at] == '.') at++;
    bool goes_on = at < text.len && is_handle_char(text.data[at]);
    if (!goes_on && (i == 0 || !is_handle_char(text.data[i - 1]))) return true;
  }
  return false;
}

int store_unread(store *s, int64_t room_id, int64_t number, const store_user *user, size_t most,
                 int64_t *own, int64_t *mentions) {
  *own = *mentions = 0;
  query q = ask(s, "SELECT author_id, text FROM messages WHERE key > ? AND key <= ?"
                   " ORDER BY key DESC LIMIT ?");
  put_int(&q, key_of(room_id, number));
  put_int(&q, key_of(room_id, MOST_NUMBER));
  put_int(&q, (int64_t)most);
  int rc;
  while ((rc = next_row(&q)) == 1) {
    const char *text = (const char *)sqlite3_column_text(q.st, 1);
    if (get_int(&q, 0) == user->id) ++*own;
    else if (text && names(caw_str_of(text, (size_t)sqlite3_column_bytes(q.st, 1)), user->handle))
      ++*mentions;
  }
  return rc == STORE_DAMAGED ? 0 : rc;
}

/* ---- Forgetting ---- */

static int uncount(store *s, int64_t from, int64_t to) {
  query q =
      ask(s, "UPDATE users SET sent = sent - gone.n FROM (SELECT author_id, count(*) AS n FROM"
             " messages WHERE key BETWEEN ? AND ? GROUP BY author_id) AS gone"
             " WHERE users.id = gone.author_id");
  put_int(&q, from);
  put_int(&q, to);
  return run(&q);
}

int store_forget(store *s, int64_t room_id, int64_t number, size_t most, bool *left) {
  s->seen_in++;
  int64_t from = 1, to = number;
  *left = false;
  int rc = settle(s);
  if (!rc) rc = clip(s, room_id, &from, &to);
  if (rc || from > to) return rc;
  if (to - from >= (int64_t)most) {
    to = from + (int64_t)most - 1;
    *left = true;
  }
  rc = uncount(s, key_of(room_id, from), key_of(room_id, to));
  if (rc) return rc;
  query q = ask(s, "DELETE FROM messages WHERE key BETWEEN ? AND ?");
  put_int(&q, key_of(room_id, from));
  put_int(&q, key_of(room_id, to));
  if ((rc = run(&q))) return rc;
  q = ask(s, "UPDATE rooms SET first_number = ? WHERE id = ?");
  put_int(&q, to + 1);
  put_int(&q, room_id);
  return run(&q);
}

/* Times never go back within a room: a search by halves. */
int store_older_than(store *s, int64_t room_id, int64_t time, int64_t *number) {
  int64_t low = 0, high = MOST_NUMBER;
  *number = 0;
  int rc = clip(s, room_id, &low, &high);
  low--; /* is older, or before all; high + 1 is not */
  while (!rc && low < high) {
    int64_t middle = low + (high - low + 1) / 2;
    query q = ask(s, "SELECT sent FROM messages WHERE key = ?");
    put_int(&q, key_of(room_id, middle));
    rc = one_row(&q);
    bool older = rc || get_int(&q, 0) < time; /* one that is lost is no reason to stop */
    if (!rc) drop(&q);
    if (rc == STORE_NONE || rc == STORE_DAMAGED) rc = 0;
    if (older) low = middle;
    else high = middle - 1;
  }
  *number = low;
  return rc;
}
