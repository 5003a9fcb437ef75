/* The work and the checks of crash_model.h. */
#include "crash_model.h"

#include "store_sqlite.h"

#include <caw/status.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOMS       3
#define SENDERS     3
#define OUTSTANDING 16
#define MOST        12000 /* operations of a disk's life */
#define RUNS        8     /* of a disk, each ending without power */
#define KEPT        60    /* messages that are not forgotten */

enum kind { SETUP, MESSAGE, USER, SESSION, MEMBER, FORGET, LOOK };
enum fate { UNKNOWN, ACKED, GONE }; /* of what was asked for and not acknowledged: unknown */

typedef struct sender {
  pthread_t thread;
  uint64_t chance;
  int n, most, out;
} sender;

typedef struct op {
  desk_job base;
  struct op *of; /* the message that is sent again; itself */
  sender *by;
  enum kind kind;
  enum fate fate;
  int n, room;
  int64_t number; /* of a message; the first that is kept; a new id */
  int64_t got;
  bool busy, duplicate, sent_before, seen;
} op;

static struct {
  pthread_mutex_t lock;
  pthread_cond_t change;
  op ops[MOST];
  int n;
  bool made; /* users and rooms are */
  int64_t users[SENDERS], rooms[ROOMS];
  int64_t newest[ROOMS], shown[ROOMS], forgotten[ROOMS]; /* the last: asked for */
  desk *desk;
  bool broken; /* the desk says so */
  bool breaks; /* writes may fail */
  char wrong[300];
  long acked, refused;
} life = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static void lock(void) {
  pthread_mutex_lock(&life.lock);
}
static void unlock(void) {
  pthread_cond_broadcast(&life.change);
  pthread_mutex_unlock(&life.lock);
}

uint32_t crash_chance(uint64_t *state, uint32_t of) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33) % of;
}

/* Locked, or alone. */
void crash_wrong(const char *format, ...) {
  va_list args;
  if (life.wrong[0]) return;
  va_start(args, format);
  vsnprintf(life.wrong, sizeof(life.wrong), format, args);
  va_end(args);
}

/* ---- What is sent ---- */

#define LONGEST 7000

static caw_str text_of(const op *o, char text[LONGEST]) {
  uint64_t state = (uint64_t)o->n * 77 + 5;
  uint32_t size = crash_chance(&state, 100);
  size_t len = size < 90 ? size : size < 98 ? 200 + size : LONGEST - 1 - size;
  for (size_t i = 0; i < len; i++) text[i] = (char)('a' + crash_chance(&state, 26));
  return caw_str_of(text, len);
}

static caw_str id_of(const op *o, char id[20]) {
  snprintf(id, 20, "%d", o->n);
  return caw_str_from(id);
}

static void hash_of(const op *o, uint8_t hash[32]) {
  memset(hash, o->n & 0xff, 32);
  memcpy(hash, &o->n, sizeof(o->n));
}

static store_user user_of(const char *handle) {
  return (store_user){.handle = caw_str_from(handle),
                      .display_name = caw_str_from("A Name"),
                      .search = caw_str_from(handle),
                      .role = 2,
                      .state = 1};
}

static int make_all(store *s) {
  int rc = 0;
  char name[20];
  for (int i = 0; !rc && i < SENDERS; i++) {
    snprintf(name, sizeof(name), "sender%d", i);
    store_user user = user_of(name);
    rc = store_user_add(s, &user, caw_str_from("secret"));
    life.users[i] = user.id;
  }
  for (int i = 0; !rc && i < ROOMS; i++) {
    snprintf(name, sizeof(name), "room%d", i);
    store_room room = {.name = caw_str_from(name),
                       .folded = caw_str_from(name),
                       .visibility = 1,
                       .kind = 1,
                       .creator_id = life.users[0]};
    rc = store_room_add(s, &room);
    life.rooms[i] = room.id;
  }
  return rc;
}

/* How many of the users and rooms are there. */
static int find_all(store *s, caw_arena *arena) {
  int there = 0;
  char name[20];
  for (int i = 0; i < SENDERS; i++) {
    store_user user;
    snprintf(name, sizeof(name), "sender%d", i);
    if (store_user_by_handle(s, caw_str_from(name), &user, arena)) continue;
    life.users[i] = user.id;
    there++;
  }
  for (int i = 0; i < ROOMS; i++) {
    store_room room;
    snprintf(name, sizeof(name), "room%d", i);
    if (store_room_by_name(s, caw_str_from(name), 0, &room, arena)) continue;
    life.rooms[i] = room.id;
    there++;
  }
  return there;
}

/* It may have been done before, and not acknowledged. */
static int set_up(store *s) {
  caw_arena *arena = caw_arena_new(0);
  int there = arena ? find_all(s, arena) : 0;
  caw_arena_free(arena);
  return there == SENDERS + ROOMS ? 0 : make_all(s);
}

static int send(op *o, store *s) {
  char text[LONGEST], id[20];
  store_message m = {.room_id = life.rooms[o->room],
                     .author_id = life.users[o->of->n % SENDERS],
                     .sent = o->n,
                     .kind = 1,
                     .client_id = id_of(o->of, id),
                     .text = text_of(o->of, text)};
  int rc = store_message_add(s, &m, &o->duplicate);
  o->got = m.number;
  return rc;
}

static int add_other(op *o, store *s) {
  char handle[20];
  uint8_t hash[32];
  snprintf(handle, sizeof(handle), "user%d", o->n);
  store_user user = user_of(handle);
  store_session session = {.user_id = life.users[0], .expires = o->n};
  const store_member member = {
      .room_id = life.rooms[o->room], .user_id = 1000 + o->n, .role = 1, .joined = o->n};
  hash_of(o, hash);
  int rc = o->kind == USER      ? store_user_add(s, &user, caw_str_from("secret"))
           : o->kind == SESSION ? store_session_add(s, &session, hash)
                                : store_member_put(s, &member);
  o->got = o->kind == USER ? user.id : session.id;
  return rc;
}

static int look(op *o, store *s) {
  caw_arena *arena = caw_arena_new(0);
  store_room room;
  store_message *m;
  size_t n = 0;
  int rc = arena ? store_room_get(s, life.rooms[o->room], &room, arena) : CAW_ENOMEM;
  if (!rc)
    rc = store_messages(s, room.id, room.last_number - 10, room.last_number, 20, 1 << 20, true, &m,
                        &n, arena);
  for (size_t i = 0; !rc && i < n; i++)
    if (m[i].damaged) rc = STORE_DAMAGED;
  if (!rc) o->got = room.last_number;
  caw_arena_free(arena);
  return rc;
}

static int work(desk_job *base, store *s) {
  op *o = (op *)base;
  bool left;
  switch (o->kind) {
  case SETUP:
    return set_up(s);
  case MESSAGE:
    return send(o, s);
  case LOOK:
    return look(o, s);
  case FORGET:
    return store_forget(s, life.rooms[o->room], o->number - 1, MOST, &left);
  case USER:
  case SESSION:
  case MEMBER:
    return add_other(o, s);
  }
  return 0;
}

static void acked(op *o) {
  op *m = o->of;
  life.acked++;
  switch (o->kind) {
  case MESSAGE:
    if (o->sent_before && (!o->duplicate || o->got != m->number))
      crash_wrong("message %d was number %d, and was stored again as %d", m->n, (int)m->number,
                  (int)o->got);
    if (o->duplicate && !o->sent_before) crash_wrong("message %d is called a duplicate", m->n);
    m->fate = ACKED;
    m->number = o->got;
    if (life.newest[o->room] < o->got) life.newest[o->room] = o->got;
    break;
  case LOOK:
    if (life.shown[o->room] < o->got) life.shown[o->room] = o->got;
    break;
  case SETUP:
    life.made = true;
    break;
  case FORGET:
    break;
  case USER:
  case SESSION:
  case MEMBER:
    o->number = o->got;
    break;
  }
  o->fate = ACKED;
}

/* Whoever reads does not notice that nothing can be written. */
static bool may_fail(const op *o, int rc) {
  if (disk_is_off()) return true;
  if (life.breaks && rc == CAW_ENOMEM) return true;
  return life.breaks && o->kind != LOOK && (rc == STORE_FULL || rc == STORE_BROKEN);
}

static void done(desk_job *base, int rc) {
  op *o = (op *)base;
  lock();
  o->busy = o->of->busy = false;
  if (!rc && life.broken && o->kind != LOOK) crash_wrong("acknowledged on a broken disk");
  if (!rc) acked(o);
  else if (may_fail(o, rc)) life.refused++;
  else crash_wrong("operation %d of kind %d: %d", o->n, o->kind, rc);
  if (o->by) o->by->out--;
  unlock();
}

/* ---- Senders ---- */

/* A message of the last ones, whose outcome is known. Locked. */
static op *sent_before(sender *by) {
  for (int tries = 0; life.n && tries < 20; tries++) {
    op *o = &life.ops[life.n - 1 -
                      (int)crash_chance(&by->chance, (uint32_t)(life.n < 200 ? life.n : 200))];
    if (o->kind != MESSAGE || o->of != o || o->busy || o->fate == UNKNOWN) continue;
    if (o->fate == GONE || o->number > life.newest[o->room] - KEPT / 2) return o;
  }
  return NULL;
}

static void choose(op *o, sender *by) {
  static const enum kind others[] = {USER, SESSION, MEMBER, FORGET, LOOK, LOOK};
  uint32_t what = crash_chance(&by->chance, 100);
  o->room = (int)crash_chance(&by->chance, ROOMS);
  o->kind = what < 85 ? MESSAGE : others[what % 6];
  if (o->kind == FORGET) {
    o->number = life.newest[o->room] - KEPT - crash_chance(&by->chance, 20);
    if (o->number < 2) o->kind = MESSAGE;
    else if (life.forgotten[o->room] < o->number) life.forgotten[o->room] = o->number;
  }
  op *again = o->kind == MESSAGE && what % 5 == 0 ? sent_before(by) : NULL;
  if (!again) return;
  o->of = again;
  o->room = again->room;
  o->sent_before = again->fate == ACKED;
  if (again->fate == GONE) again->fate = UNKNOWN;
  again->busy = true;
}

static op *op_new(sender *by) {
  if (life.n == MOST) return NULL;
  op *o = &life.ops[life.n];
  *o = (op){.base = {.work = work, .done = done}, .by = by, .n = life.n, .of = o, .busy = true};
  if (by) {
    choose(o, by);
    by->out++;
  }
  life.n++;
  return o;
}

static void *send_on(void *arg) {
  sender *me = arg;
  for (int i = 0; i < me->most; i++) {
    lock();
    while (me->out == OUTSTANDING) pthread_cond_wait(&life.change, &life.lock);
    /* Queued at once: what was chosen must come before what is chosen then. */
    op *o = op_new(me);
    int rc = !o                ? 0
             : o->kind == LOOK ? desk_read(life.desk, &o->base)
                               : desk_write(life.desk, &o->base);
    unlock();
    if (!o) break;
    if (!rc) continue;
    done(&o->base, rc);
    break;
  }
  lock();
  while (me->out) pthread_cond_wait(&life.change, &life.lock);
  unlock();
  return NULL;
}

static int open_it(store **out, bool writer, char why[400], void *user) {
  int rc = store_sqlite_open_on(out, CRASH_PATH, writer, DISK, why);
  (void)user;
  if (!rc && writer) store_sqlite_rest_at(*out, 20, 150);
  return rc;
}

static void make_rooms(void) {
  lock();
  op *o = op_new(NULL);
  unlock();
  if (!o || desk_write(life.desk, &o->base)) return;
  lock();
  while (o->busy) pthread_cond_wait(&life.change, &life.lock);
  unlock();
}

static void on_state(desk_state state, const char *why, void *user) {
  (void)user;
  lock();
  life.broken = state == DESK_BROKEN;
  if (!life.breaks && !disk_is_off()) crash_wrong("the desk is %d: %s", (int)state, why);
  unlock();
}

desk *crash_open(uint64_t *state, char why[400]) {
  const desk_options options = {.open = open_it,
                                .on_state = on_state,
                                .readers = 1,
                                .turn_most = 1 + crash_chance(state, 60),
                                .retry = 2};
  life.broken = false;
  return desk_new(&life.desk, &options, why) ? NULL : life.desk;
}

void crash_send(uint64_t *state, uint32_t most) {
  sender senders[SENDERS] = {{.out = 0}};
  if (!life.made) make_rooms();
  for (int i = 0; life.made && i < SENDERS; i++) {
    senders[i].n = i;
    senders[i].most = 1 + (int)crash_chance(state, most);
    senders[i].chance = *state + (uint64_t)i;
    pthread_create(&senders[i].thread, NULL, send_on, &senders[i]);
  }
  for (int i = 0; i < SENDERS; i++)
    if (senders[i].most) pthread_join(senders[i].thread, NULL);
}

/* ---- What must be there ---- */

static void check_message(const store_message *m, int room, int64_t expected) {
  char text[LONGEST], id[20];
  if (m->damaged || m->number != expected) {
    crash_wrong("room %d: number %d is %s", room, (int)expected,
                m->damaged ? "damaged" : "not there");
    return;
  }
  snprintf(id, sizeof(id), "%.*s", CAW_STR_ARG(m->client_id));
  int n = atoi(id);
  op *o = n >= 0 && n < life.n ? &life.ops[n] : NULL;
  caw_str right = o ? text_of(o, text) : caw_str_of("", 0);
  if (!o || o->kind != MESSAGE || o->room != room || right.len != m->text.len ||
      (right.len && memcmp(right.data, m->text.data, right.len)))
    crash_wrong("room %d: number %d is none that was sent", room, (int)m->number);
  else if (o->seen) crash_wrong("message %d is there twice", n);
  else if (o->fate == ACKED && o->number != m->number)
    crash_wrong("message %d was number %d and is %d", n, (int)o->number, (int)m->number);
  else if (o->fate == GONE) crash_wrong("message %d was gone and is there", n);
  if (!o) return;
  o->seen = true;
  o->fate = ACKED; /* it is there, flushed by the opening, and stays */
  o->number = m->number;
}

static void check_room(store *s, int room, caw_arena *arena) {
  store_room r;
  store_message *m;
  size_t n;
  int rc = store_room_get(s, life.rooms[room], &r, arena);
  if (rc) {
    crash_wrong("room %d: %d", room, rc);
    return;
  }
  if (r.last_number < life.shown[room])
    crash_wrong("room %d: number %d was shown, and the last is %d", room, (int)life.shown[room],
                (int)r.last_number);
  if (r.first_number > 1 && r.first_number > life.forgotten[room])
    crash_wrong("room %d: begins with %d", room, (int)r.first_number);
  for (int64_t at = r.first_number; at <= r.last_number; at += (int64_t)n) {
    rc = store_messages(s, r.id, at, r.last_number, 100, 1 << 20, false, &m, &n, arena);
    if (rc || !n) {
      crash_wrong("room %d: from number %d: %d", room, (int)at, rc);
      return;
    }
    for (size_t i = 0; i < n; i++) check_message(&m[i], room, at + (int64_t)i);
  }
  store_member *members;
  rc = store_members(s, r.id, 0, MOST, &members, &n, arena);
  if (rc || r.members != (int)n)
    crash_wrong("room %d: %d members, %d said", room, (int)n, r.members);
  for (int i = 0; i < life.n; i++) {
    const op *o = &life.ops[i];
    if (o->room != room || o->fate != ACKED) continue;
    if (o->kind == FORGET && r.first_number < o->number)
      crash_wrong("room %d: number %d was forgotten", room, (int)o->number - 1);
    if (o->kind == MESSAGE && o->of == o && !o->seen && o->number >= r.first_number)
      crash_wrong("room %d: number %d was acknowledged, and is not there", room, (int)o->number);
  }
}

static void check_other(store *s, op *o, caw_arena *arena) {
  char handle[20];
  uint8_t hash[32];
  store_user user = {.id = 0}, *found;
  store_session session = {.id = 0};
  store_member member;
  size_t n = 1;
  snprintf(handle, sizeof(handle), "user%d", o->n);
  hash_of(o, hash);
  int rc = 0;
  if (o->kind == USER) {
    rc = store_user_by_handle(s, caw_str_from(handle), &user, arena);
    if (!rc) rc = store_users(s, caw_str_from(handle), user.id - 1, 1, &found, &n, arena);
  } else if (o->kind == SESSION) {
    rc = store_session_find(s, hash, &session, arena);
  } else {
    rc = store_member_get(s, life.rooms[o->room], 1000 + o->n, &member);
  }
  int64_t id = o->kind == USER ? user.id : o->kind == SESSION ? session.id : o->number;
  if ((rc && rc != STORE_NONE) || n != 1) crash_wrong("operation %d: %d", o->n, rc);
  else if (o->fate == ACKED && (rc || id != o->number))
    crash_wrong("operation %d of kind %d was acknowledged: %d", o->n, o->kind, rc);
  else if (o->fate == GONE && !rc) crash_wrong("operation %d was gone and is there", o->n);
  o->fate = rc ? GONE : ACKED;
  o->number = id;
}

/* What was made in one turn is there as a whole, or not at all. */
static void find_rooms(store *s, caw_arena *arena) {
  int there = find_all(s, arena);
  if (life.made ? there != SENDERS + ROOMS : there && there != SENDERS + ROOMS)
    crash_wrong("%d of the users and rooms are there", there);
  life.made = there == SENDERS + ROOMS;
}

static void check_counts(store *s) {
  for (int i = 0; life.made && i < SENDERS; i++) {
    int64_t count = -1, seen = 0;
    for (int k = i; k < life.n; k += SENDERS) seen += life.ops[k].seen;
    int rc = store_message_count(s, 0, life.users[i], &count);
    if (rc || count != seen)
      crash_wrong("user %d has %d messages, %d said", i, (int)seen, (int)count);
  }
}

static void check_file(void) {
  sqlite3 *db = NULL;
  sqlite3_stmt *st = NULL;
  int rc = sqlite3_open_v2(CRASH_PATH, &db, SQLITE_OPEN_READONLY, DISK);
  if (!rc) rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL);
  if (!rc) rc = sqlite3_step(st);
  if (rc != SQLITE_ROW) crash_wrong("SQLite's check: %d", rc);
  else if (strcmp((const char *)sqlite3_column_text(st, 0), "ok"))
    crash_wrong("SQLite's check: %s", (const char *)sqlite3_column_text(st, 0));
  sqlite3_finalize(st);
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  sqlite3_close(db);
}

void crash_check(store *s) {
  caw_arena *arena = caw_arena_new(0);
  for (int i = 0; i < life.n; i++) life.ops[i].seen = false;
  find_rooms(s, arena);
  for (int i = 0; life.made && i < ROOMS; i++) check_room(s, i, arena);
  for (int i = 0; i < life.n; i++) {
    op *o = &life.ops[i];
    if (o->kind == MESSAGE && o->of == o && o->fate == UNKNOWN) o->fate = GONE;
    if (o->kind == USER || o->kind == SESSION || o->kind == MEMBER) check_other(s, o, arena);
  }
  check_counts(s);
  check_file();
  caw_arena_free(arena);
}

void crash_breaks(bool breaks) {
  life.breaks = breaks;
}

void crash_new(void) {
  life.n = 0;
  life.made = life.breaks = false;
  memset(life.newest, 0, sizeof(life.newest));
  memset(life.shown, 0, sizeof(life.shown));
  memset(life.forgotten, 0, sizeof(life.forgotten));
  life.wrong[0] = '\0';
}

const char *crash_what_is_wrong(void) {
  return life.wrong[0] ? life.wrong : NULL;
}

bool crash_broken(void) {
  return life.broken;
}

void crash_counts(long *acknowledged, long *refused) {
  *acknowledged = life.acked;
  *refused = life.refused;
}
