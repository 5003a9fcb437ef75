/*
 * What is forgotten, and the room that it makes: walks over rooms through a desk, and the
 * quota.
 */
#include "retention.h"
#include "store_sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <caw/status.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK(call) assert_int_equal((call), 0)

static char folder[] = "/tmp/caw-retention-XXXXXX";
static char path[100], why[400];
static desk *d;
static retention *r;

static struct {
  pthread_mutex_t lock;
  pthread_cond_t change;
  int walks, rc;
  uint64_t forgotten;
  int64_t first[200]; /* as told, by room */
  int told;
} it = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static int open_it(store **out, bool writer, char reason[400], void *user) {
  (void)user;
  return store_sqlite_open(out, path, writer, reason);
}

static void forgot(int64_t room_id, int64_t first, void *user) {
  (void)user;
  pthread_mutex_lock(&it.lock);
  it.first[room_id] = first;
  it.told++;
  pthread_mutex_unlock(&it.lock);
}

static void ended(int rc, uint64_t forgotten, void *user) {
  (void)user;
  pthread_mutex_lock(&it.lock);
  it.walks++;
  it.rc = rc;
  it.forgotten = forgotten;
  pthread_cond_broadcast(&it.change);
  pthread_mutex_unlock(&it.lock);
}

static int set_up(void **state) {
  (void)state;
  strcpy(folder + strlen(folder) - 6, "XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof(path), "%s/chat.db", folder);
  memset(it.first, 0, sizeof(it.first));
  it.walks = it.told = 0;
  const desk_options options = {.open = open_it, .readers = 1, .queue_most = 20};
  const retention_options how = {.step = 50, .once = 1000, .forgot = forgot, .ended = ended};
  return desk_new(&d, &options, why) || retention_new(&r, d, &how);
}

static int tear_down(void **state) {
  static const char *const suffixes[] = {"", "-wal", "-shm"};
  (void)state;
  desk_free(d);
  retention_free(r);
  for (size_t i = 0; i < 3; i++) {
    char name[120];
    snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
    unlink(name);
  }
  return rmdir(folder);
}

/* ---- Jobs, awaited ---- */

typedef struct job {
  desk_job base;
  int (*work)(store *s, void *arg);
  void *arg;
  int rc;
  bool over;
} job;

static int work(desk_job *base, store *s) {
  job *j = (job *)base;
  return j->work(s, j->arg);
}

static void done(desk_job *base, int rc) {
  job *j = (job *)base;
  pthread_mutex_lock(&it.lock);
  j->rc = rc;
  j->over = true;
  pthread_cond_broadcast(&it.change);
  pthread_mutex_unlock(&it.lock);
}

static int have(int (*what)(store *, void *), void *arg) {
  job j = {.base = {.work = work, .done = done}, .work = what, .arg = arg};
  OK(desk_write(d, &j.base));
  pthread_mutex_lock(&it.lock);
  while (!j.over) pthread_cond_wait(&it.change, &it.lock);
  pthread_mutex_unlock(&it.lock);
  return j.rc;
}

static int walk(int64_t now) {
  int before = it.walks;
  int rc = retention_walk(r, now);
  if (rc) return rc;
  pthread_mutex_lock(&it.lock);
  while (it.walks == before) pthread_cond_wait(&it.change, &it.lock);
  pthread_mutex_unlock(&it.lock);
  return it.rc;
}

/* ---- Rooms ---- */

typedef struct plan {
  int64_t id;
  int64_t max_age, max_messages;
  int messages;  /* one a second, from 1 s on */
  int64_t first; /* expected */
} plan;

static int make(store *s, void *arg) {
  plan *p = arg;
  char name[20];
  snprintf(name, sizeof(name), "room");
  store_room room = {.name = caw_str_from(name),
                     .folded = caw_str_from(name),
                     .visibility = 2,
                     .kind = 1,
                     .max_age = p->max_age,
                     .max_messages = p->max_messages};
  int rc = store_room_add(s, &room);
  p->id = room.id;
  bool duplicate;
  for (int i = 1; !rc && i <= p->messages; i++) {
    store_message m = {
        .room_id = room.id, .kind = 1, .sent = i * 1000000, .text = caw_str_from("hello")};
    rc = store_message_add(s, &m, &duplicate);
  }
  return rc;
}

static int first_of(store *s, void *arg) {
  plan *p = arg;
  caw_arena *arena = caw_arena_new(0);
  store_room room;
  store_message *m;
  size_t n;
  int rc = store_room_get(s, p->id, &room, arena);
  if (!rc) rc = store_messages(s, p->id, 1, 1 << 20, 1, 100, false, &m, &n, arena);
  if (!rc && room.first_number != (n ? m[0].number : p->messages + 1)) rc = STORE_DAMAGED;
  p->first = room.first_number;
  caw_arena_free(arena);
  return rc;
}

static void test_rooms(void **state) {
  (void)state;
  /* At 500 s. */
  plan plans[] = {
      {.messages = 300, .first = 1}, /* for ever */
      {.messages = 300, .max_messages = 100, .first = 201},
      {.messages = 300, .max_messages = 300, .first = 1},
      {.messages = 300, .max_messages = 1000, .first = 1},
      {.messages = 300, .max_age = 250000000, .first = 250}, /* 250 s is not older */
      {.messages = 300, .max_age = 600000000, .first = 1},
      {.messages = 300, .max_age = 1000000, .first = 301},
      {.messages = 300, .max_age = 250000000, .max_messages = 10, .first = 291},
      {.messages = 300, .max_age = 210000000, .max_messages = 290, .first = 290},
      {.messages = 0, .max_age = 1, .max_messages = 1, .first = 1},
  };
  const size_t n = sizeof(plans) / sizeof(plans[0]);
  int64_t expected[sizeof(plans) / sizeof(plans[0])];
  uint64_t sum = 0;
  desk_numbers before, after;
  for (size_t i = 0; i < n; i++) {
    expected[i] = plans[i].first;
    sum += (uint64_t)expected[i] - 1;
    OK(have(make, &plans[i]));
  }
  desk_look(d, &before);
  OK(walk(500000000));
  desk_look(d, &after);
  assert_int_equal(it.forgotten, sum);
  assert_true(after.turns - before.turns > sum / 50); /* steps of 50 */
  for (size_t i = 0; i < n; i++) {
    OK(have(first_of, &plans[i]));
    if (plans[i].first != expected[i] ||
        it.first[plans[i].id] != (expected[i] > 1 ? expected[i] : 0))
      fail_msg("room %zu begins with %d (told %d), not %d", i, (int)plans[i].first,
               (int)it.first[plans[i].id], (int)expected[i]);
  }
  it.told = 0;
  OK(walk(500000000)); /* nothing is left */
  assert_int_equal(it.forgotten, 0);
  assert_int_equal(it.told, 0);
  OK(walk(501000000));
  assert_int_equal(it.forgotten, 2); /* of those that keep 250 and 210 s */
}

/* More rooms than a step looks at, few of which have something to forget. */
static void test_many_rooms(void **state) {
  (void)state;
  uint64_t sum = 0;
  for (int i = 0; i < 100; i++) {
    plan p = {.messages = i % 7, .max_messages = 3};
    sum += p.messages > 3 ? (uint64_t)p.messages - 3 : 0;
    OK(have(make, &p));
  }
  OK(walk(1));
  assert_int_equal(it.forgotten, sum);
}

/* ---- What expires ---- */

static int make_expiring(store *s, void *arg) {
  uint8_t hash[32] = {0};
  int64_t result;
  int rc = 0;
  (void)arg;
  for (int i = 1; !rc && i <= 120; i++) {
    char id[20];
    snprintf(id, sizeof(id), "%d", i);
    memcpy(hash, &i, sizeof(i));
    store_session session = {.user_id = 1, .expires = i * 100};
    rc = store_session_add(s, &session, hash);
    if (!rc) rc = store_code_put(s, i, hash, i * 100);
    if (!rc) rc = store_once(s, 1, caw_str_from(id), hash, &result, i * 100);
    if (rc == STORE_NONE) rc = store_once_result(s, 1, caw_str_from(id), i);
  }
  return rc;
}

static int count_expiring(store *s, void *arg) {
  size_t *n = arg;
  int64_t result;
  uint8_t hash[32] = {0};
  store_session *list;
  caw_arena *arena = caw_arena_new(0);
  int rc = store_sessions(s, 1, &list, &n[0], arena);
  n[1] = n[2] = 0;
  for (int i = 1; !rc && i <= 120; i++) {
    char id[20];
    snprintf(id, sizeof(id), "%d", i);
    memcpy(hash, &i, sizeof(i));
    n[1] += store_code_take(s, i, hash, 0) == 0;
    n[2] += store_once(s, 1, caw_str_from(id), hash, &result, 0) == 0;
  }
  caw_arena_free(arena);
  return rc ? rc : CAW_ABORTED; /* nothing of it was meant */
}

static void test_what_expires(void **state) {
  (void)state;
  size_t n[3];
  OK(have(make_expiring, NULL));
  OK(walk(7000));
  assert_int_equal(have(count_expiring, n), CAW_ABORTED);
  assert_int_equal(n[0], 51); /* from 7,000 on */
  assert_int_equal(n[1], 51);
  assert_int_equal(n[2], 61); /* known for 1,000 more */
}

/* ---- The desk's trouble ---- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static int wait_at_gate(store *s, void *arg) {
  (void)s;
  (void)arg;
  pthread_mutex_lock(&gate);
  pthread_mutex_unlock(&gate);
  return 0;
}

static void test_one_walk_at_a_time(void **state) {
  (void)state;
  job held = {.base = {.work = work, .done = done}, .work = wait_at_gate};
  pthread_mutex_lock(&gate);
  OK(desk_write(d, &held.base));
  OK(retention_walk(r, 1));
  assert_int_equal(retention_walk(r, 1), CAW_EAGAIN);
  pthread_mutex_unlock(&gate);
  pthread_mutex_lock(&it.lock);
  while (!it.walks) pthread_cond_wait(&it.change, &it.lock);
  pthread_mutex_unlock(&it.lock);
  OK(walk(1));
}

static void test_the_end_ends_a_walk(void **state) {
  (void)state;
  plan p = {.messages = 1000, .max_messages = 1};
  OK(have(make, &p));
  OK(retention_walk(r, 1));
  desk_free(d);
  d = NULL;
  assert_int_equal(it.walks, 1);
  assert_true(it.rc == CAW_ECLOSED || (it.rc == 0 && it.forgotten == 999));
}

/* ---- Room ---- */

#define QUOTA (400 * 1024)

typedef struct fill {
  int64_t room, size;
  int added, rc;
} fill;

static int add_until_refused(store *s, void *arg) {
  static const char text[1000];
  fill *f = arg;
  bool duplicate;
  f->rc = 0;
  for (int i = 0; !f->rc && i < 50; i++) {
    store_message m = {.room_id = f->room, .kind = 1, .text = caw_str_of(text, sizeof(text))};
    f->rc = store_message_add(s, &m, &duplicate);
    f->added += !f->rc;
  }
  return store_size(s, &f->size);
}

static int set_quota(store *s, void *arg) {
  store_set_quota(s, *(const int64_t *)arg);
  return 0;
}

/* What a full server must still do. */
static int do_others(store *s, void *arg) {
  static int n;
  uint8_t hash[32] = {0};
  char handle[20];
  (void)arg;
  memcpy(hash, &n, sizeof(n));
  snprintf(handle, sizeof(handle), "user%d", n++);
  store_user user = {.handle = caw_str_from(handle), .state = 1};
  store_session session = {.user_id = 1};
  int rc = store_user_add(s, &user, caw_str_from("secret"));
  return rc ? rc : store_session_add(s, &session, hash);
}

static void fill_up(fill *f) {
  f->rc = 0;
  while (!f->rc) OK(have(add_until_refused, f));
  assert_int_equal(f->rc, STORE_QUOTA);
}

static int64_t file_size(void) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  OK(fseek(f, 0, SEEK_END));
  int64_t size = ftell(f);
  fclose(f);
  return size;
}

static int checkpoint(void) {
  desk_free(d); /* the last one moves the log */
  d = NULL;
  return 0;
}

static void test_quota(void **state) {
  (void)state;
  int64_t quota = QUOTA;
  plan p = {.max_messages = 100};
  OK(have(make, &p));
  OK(have(set_quota, &quota));
  fill f = {.room = p.id};
  fill_up(&f);
  assert_in_range(f.size, QUOTA, QUOTA + QUOTA / 10);
  assert_in_range(f.added, QUOTA / 1000 / 2, QUOTA / 1000);
  int before = f.added;
  for (int i = 0; i < 10; i++) {
    OK(have(do_others, NULL)); /* a full server lets people in, */
    OK(walk(1));               /* forgets, */
    assert_int_equal(f.added - (int)it.first[p.id] + 1, 100);
    fill_up(&f); /* and has room again: what was freed is used */
    assert_true(f.added >= before + (before - 100) / 2);
    before = f.added - (int)it.first[p.id] + 1;
    assert_in_range(f.size, QUOTA, QUOTA + QUOTA / 10);
  }
  OK(checkpoint());
  assert_in_range(file_size(), QUOTA, QUOTA + QUOTA / 10);
}

/* Size counts what is kept. */
static void test_size(void **state) {
  (void)state;
  plan p = {.max_messages = 1};
  OK(have(make, &p));
  fill f = {.room = p.id};
  for (int i = 0; i < 10; i++) OK(have(add_until_refused, &f));
  int64_t full = f.size, quota = 1;
  assert_in_range(full, 500 * 1000, 1000 * 1000);
  OK(walk(1));
  OK(have(set_quota, &quota));
  OK(have(add_until_refused, &f));
  assert_int_equal(f.rc, STORE_QUOTA);
  assert_true(f.size < full / 4);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(test_rooms),
      TEST(test_many_rooms),
      TEST(test_what_expires),
      TEST(test_one_walk_at_a_time),
      TEST(test_the_end_ends_a_walk),
      TEST(test_quota),
      TEST(test_size),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
