/*
 * A disk that fails: every kind of operation, at a moment taken by chance, once or from then
 * on. Nothing is acknowledged that is not durable, nothing at all after a write or flush
 * that failed, readers do not notice, and the next process has everything that was
 * acknowledged: also when it goes on with what the system remembers, and the power goes
 * later. A disk without room is no broken one: with room again, it goes on by itself.
 *
 *   test-chatd-disk [FAILURES [SEED]]
 */
#include "crash_model.h"
#include "store_sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <caw/alloc.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __SANITIZE_THREAD__ /* which makes SQLite ten times slower */
static long failures = 60;
#else
static long failures = 300;
#endif
static uint64_t seed = 1;

static const struct failure {
  unsigned operation;
  int code;
} kinds[] = {
    {DISK_WRITE, SQLITE_FULL},        {DISK_WRITE, SQLITE_IOERR_WRITE},
    {DISK_FLUSH, SQLITE_IOERR_FSYNC}, {DISK_TRUNCATE, SQLITE_IOERR_TRUNCATE},
    {DISK_MAKE, SQLITE_CANTOPEN},     {DISK_DELETE, SQLITE_IOERR_DELETE},
    {DISK_MAP, SQLITE_IOERR_SHMSIZE},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static long met[KINDS]; /* how often each has happened */

/* A process: opens the desk, works, ends. Whether it could be opened. */
static bool process(uint64_t *state) {
  char why[400];
  desk *d = crash_open(state, why);
  if (d) crash_send(state, 100);
  desk_free(d);
  return d != NULL;
}

static void check(void) {
  char why[400];
  store *s;
  if (store_sqlite_open_on(&s, CRASH_PATH, true, DISK, why)) {
    crash_wrong("cannot be opened: %s", why);
    return;
  }
  crash_check(s);
  store_close(s);
}

static void lose_power(void) {
  disk_cut();
  disk_power_on();
}

/* With one failure, or several; then in order again. */
static void fail_in(uint64_t *state, size_t kind) {
  uint32_t most = kinds[kind].operation == DISK_WRITE ? 400 : 12;
  long nth = 1 + crash_chance(state, 1 + crash_chance(state, most));
  long times = crash_chance(state, 3) ? 1 : crash_chance(state, 2) ? 5 : 1000000;
  crash_breaks(true);
  disk_fail(kinds[kind].operation, nth, times, kinds[kind].code);
  process(state);
  met[kind] += disk_failures() > 0;
  disk_fail(0, 0, 0, 0);
  crash_breaks(false);
}

static void one_disk(uint64_t disk) {
  uint64_t state = disk * 2654435761u;
  disk_new(disk);
  crash_new();
  for (int i = 0; i < 6 && !crash_what_is_wrong(); i++) {
    fail_in(&state, crash_chance(&state, KINDS));
    uint32_t then = crash_chance(&state, 4);
    if (then == 0) lose_power();
    if (then == 1) check();
    /* The next process knows nothing of it, and acknowledges what it writes. */
    if (!process(&state)) crash_wrong("cannot be opened any more");
    lose_power();
    if (!crash_what_is_wrong()) check();
  }
  if (crash_what_is_wrong())
    fail_msg("disk %llu: %s", (unsigned long long)disk, crash_what_is_wrong());
}

static void test_failures(void **state) {
  (void)state;
  long acknowledged, refused;
  for (uint64_t disk = seed; disk < seed + (uint64_t)failures / 6; disk++) one_disk(disk);
  crash_counts(&acknowledged, &refused);
  print_message("%ld acknowledged, %ld not\n", acknowledged, refused);
  for (size_t i = 0; i < KINDS; i++) {
    print_message("failure %d: %ld times\n", kinds[i].code, met[i]);
    assert_true(met[i] > 0);
  }
}

static store *opened(bool writer) {
  char why[400];
  store *s;
  int rc = store_sqlite_open_on(&s, CRASH_PATH, writer, DISK, why);
  if (rc) fail_msg("cannot be opened: %s", why);
  return s;
}

static void all_there(int most) {
  caw_arena *arena = caw_arena_new(0);
  store_message *m;
  size_t n = 0;
  store *s = opened(true);
  int rc = store_messages(s, 1, 1, most, 1000, 1 << 24, false, &m, &n, arena);
  if (rc || (int)n != (most < 1000 ? most : 1000)) fail_msg("%d of %d: %d", (int)n, most, rc);
  for (size_t i = 0; i < n; i++) assert_false(m[i].damaged);
  store_close(s);
  caw_arena_free(arena);
}

/* ---- Room ---- */

/* One job at a time, awaited. */
typedef struct ask {
  desk_job base;
  pthread_mutex_t lock;
  pthread_cond_t change;
  bool over;
  int rc;
  int64_t number;
} ask;

static void told(desk_job *base, int rc) {
  ask *a = (ask *)base;
  pthread_mutex_lock(&a->lock);
  a->over = true;
  a->rc = rc;
  pthread_cond_broadcast(&a->change);
  pthread_mutex_unlock(&a->lock);
}

static int64_t have(desk *d, int (*work)(desk_job *, store *), int write, int *rc) {
  ask a = {.base = {.work = work, .done = told},
           .lock = PTHREAD_MUTEX_INITIALIZER,
           .change = PTHREAD_COND_INITIALIZER};
  assert_int_equal(write ? desk_write(d, &a.base) : desk_read(d, &a.base), 0);
  pthread_mutex_lock(&a.lock);
  while (!a.over) pthread_cond_wait(&a.change, &a.lock);
  pthread_mutex_unlock(&a.lock);
  *rc = a.rc;
  return a.number;
}

static int make_room(desk_job *base, store *s) {
  store_room room = {.name = caw_str_of("r", 1), .folded = caw_str_of("r", 1), .visibility = 1};
  (void)base;
  return store_room_add(s, &room);
}

static int write_much(desk_job *base, store *s) {
  static const char text[6000];
  bool duplicate;
  store_message m = {.room_id = 1, .kind = 1, .text = caw_str_of(text, sizeof(text))};
  int rc = store_message_add(s, &m, &duplicate);
  ((ask *)base)->number = m.number;
  return rc;
}

static int read_last(desk_job *base, store *s) {
  return store_message_count(s, 1, 0, &((ask *)base)->number);
}

/* ---- Memory ---- */

static sqlite3_mem_methods memory; /* SQLite's own */
static atomic_long until_none;     /* allocations until one fails; <= 0: none does */
static atomic_long failed;

static bool is_out(void) {
  if (atomic_load(&until_none) <= 0 || atomic_fetch_sub(&until_none, 1) != 1) return false;
  atomic_fetch_add(&failed, 1);
  return true;
}

static void *sqlite_malloc(int bytes) {
  return is_out() ? NULL : memory.xMalloc(bytes);
}

static void *sqlite_realloc(void *old, int bytes) {
  return is_out() ? NULL : memory.xRealloc(old, bytes);
}

static void *our_malloc(size_t bytes, void *user) {
  (void)user;
  return is_out() ? NULL : malloc(bytes);
}

static void *our_realloc(void *old, size_t bytes, void *user) {
  (void)user;
  return is_out() ? NULL : realloc(old, bytes);
}

static void our_free(void *ptr, void *user) {
  (void)user;
  free(ptr);
}

static void watch_memory(void) {
  static const caw_allocator ours = {sizeof(ours), our_malloc, our_realloc, our_free, NULL};
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory);
  sqlite3_mem_methods watched = memory;
  watched.xMalloc = sqlite_malloc;
  watched.xRealloc = sqlite_realloc;
  sqlite3_config(SQLITE_CONFIG_MALLOC, &watched);
  caw_set_allocator(&ours);
}

/* Without memory a job is refused, or its turn; nothing else. */
static void test_no_memory(void **state) {
  (void)state;
  uint64_t chance = seed;
  for (uint64_t disk = 1; disk <= (uint64_t)failures / 3; disk++) {
    disk_new(disk);
    crash_new();
    crash_breaks(true);
    for (int i = 0; i < 3; i++) {
      atomic_store(&until_none, 1 + crash_chance(&chance, 1u << crash_chance(&chance, 14)));
      process(&chance);
      atomic_store(&until_none, 0);
      if (crash_broken()) crash_wrong("the disk is called broken");
    }
    crash_breaks(false);
    if (!process(&chance)) crash_wrong("cannot be opened any more");
    lose_power();
    if (!crash_what_is_wrong()) check();
    if (crash_what_is_wrong())
      fail_msg("disk %llu: %s", (unsigned long long)disk, crash_what_is_wrong());
  }
  print_message("out of memory %ld times\n", atomic_load(&failed));
  assert_true(atomic_load(&failed) > failures / 2);
}

static void await(desk *d, desk_state state) {
  struct timespec moment = {.tv_nsec = 1000000};
  for (int i = 0; i < 20000 && desk_state_of(d) != state; i++) nanosleep(&moment, NULL);
  assert_int_equal(desk_state_of(d), state);
}

/* Readers read on; the desk looks by itself whether there is room again. */
static void test_room_again(void **state) {
  (void)state;
  char why[400];
  uint64_t chance = seed;
  int64_t last = 0;
  int rc;
  disk_new(seed);
  crash_new();
  crash_breaks(true);
  desk *d = crash_open(&chance, why);
  assert_non_null(d);
  have(d, make_room, true, &rc);
  assert_int_equal(rc, 0);
  for (int i = 0; i < 5; i++) {
    disk_room(disk_used() + i * 100000);
    do {
      int64_t number = have(d, write_much, true, &rc);
      if (!rc) assert_int_equal(number, ++last);
    } while (!rc);
    assert_int_equal(rc, STORE_FULL);
    disk_room(disk_used());
    assert_int_equal(have(d, read_last, false, &rc), last);
    assert_int_equal(rc, 0);
    disk_room(-1);
    await(d, DESK_FINE);
  }
  disk_cut();
  desk_free(d);
  disk_power_on();
  all_there((int)last);
}

/* ---- Flushes that fail and are forgotten ---- */

static int add(store *s, int n) {
  bool duplicate;
  char text[3000];
  memset(text, 'a' + n % 26, sizeof(text));
  store_message m = {.room_id = 1, .kind = 1, .text = caw_str_of(text, sizeof(text))};
  int rc = store_begin(s);
  if (!rc) rc = store_message_add(s, &m, &duplicate);
  if (!rc) rc = store_commit(s);
  store_rollback(s);
  return rc;
}

static store *begun(uint64_t disk, int messages) {
  store *s;
  disk_new(disk);
  s = opened(true);
  assert_int_equal(store_begin(s), 0);
  assert_int_equal(make_room(NULL, s), 0);
  assert_int_equal(store_commit(s), 0);
  for (int i = 0; i < messages; i++) assert_int_equal(add(s, i), 0);
  return s;
}

/* What the system shows of the turn is not on the disk: the next process appends to it. */
static void test_a_forgotten_flush_of_the_log(void **state) {
  (void)state;
  for (uint64_t disk = 1; disk <= 40; disk++) {
    store *s = begun(disk, 3);
    disk_fail(DISK_FLUSH, 1, 1, SQLITE_IOERR_FSYNC);
    assert_int_equal(add(s, 3), STORE_BROKEN);
    assert_int_equal(add(s, 3), STORE_BROKEN); /* and nothing more */
    store_close(s);
    s = opened(true);
    assert_int_equal(add(s, 4), 0);
    int64_t count;
    assert_int_equal(store_message_count(s, 1, 0, &count), 0);
    disk_cut();
    store_close(s);
    disk_power_on();
    all_there((int)count);
  }
}

/* The log is moved up to where a reader is, without a flush; the rest, and the flush fails.
 * The log must not begin anew: what was moved first may be lost. */
static void test_a_forgotten_flush_of_the_file(void **state) {
  (void)state;
  for (uint64_t disk = 1; disk <= 40; disk++) {
    store *s = begun(disk, 20), *r = opened(false);
    int64_t count;
    assert_int_equal(store_begin(r), 0);
    assert_int_equal(store_message_count(r, 1, 0, &count), 0);
    for (int i = 0; i < 5; i++) assert_int_equal(add(s, i), 0);
    assert_int_equal(store_sqlite_checkpoint(s), 0);
    store_end(r);
    disk_fail(DISK_FLUSH, 2, 1, SQLITE_IOERR_FSYNC); /* the log's is the first */
    assert_int_equal(store_sqlite_checkpoint(s), STORE_BROKEN);
    assert_int_equal(disk_failures(), 1);
    assert_int_equal(store_sqlite_checkpoint(s), STORE_BROKEN);
    store_close(r);
    store_close(s);
    disk_cut();
    disk_power_on();
    all_there(25);
  }
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_failures),
      cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_room_again),
      cmocka_unit_test(test_a_forgotten_flush_of_the_log),
      cmocka_unit_test(test_a_forgotten_flush_of_the_file),
  };
  if (argc > 1) failures = atol(argv[1]);
  if (argc > 2) seed = strtoull(argv[2], NULL, 10);
  watch_memory();
  disk_register();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
