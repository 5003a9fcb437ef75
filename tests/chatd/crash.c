/*
 * Nothing acknowledged is lost with the power. The desk and the SQLite store work on a
 * disk (disk.h) whose power goes at an operation taken by chance, also while the database
 * is made, while the log is moved, and while it is opened again; then everything that was
 * acknowledged, and whatever a reader was shown, must be there, once and in order.
 *
 *   test-chatd-crash [POINTS [SEED]]    500 points unless said otherwise
 *
 * A disk whose flushes are lies must lose something, or the test is none.
 */
#include "crash_model.h"
#include "store_sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#define RUNS 8 /* of a disk, each ending without power */

#ifdef __SANITIZE_THREAD__ /* which makes SQLite ten times slower */
static long points = 150, passed;
#else
static long points = 500, passed;
#endif
static uint64_t seed = 1;

/* Works until the power goes, or all is sent. */
static void run(uint64_t *state) {
  char why[400];
  desk *d = crash_open(state, why);
  if (d) crash_send(state, 300);
  else if (!disk_is_off()) crash_wrong("cannot be opened: %s", why);
  if (crash_chance(state, 2)) disk_cut(); /* not closed in peace */
  desk_free(d);
  disk_cut();
}

/* The opening loses its power, too, some times. */
static void open_without_power(uint64_t *state) {
  char why[400];
  store *s;
  while (crash_chance(state, 3) == 0) {
    disk_cut_at(1 + crash_chance(state, 30));
    int rc = store_sqlite_open_on(&s, CRASH_PATH, true, DISK, why);
    if (!rc && crash_chance(state, 2)) store_sqlite_checkpoint(s);
    if (!rc) store_close(s);
    else if (!disk_is_off()) crash_wrong("cannot be opened: %s", why);
    disk_cut();
    disk_power_on();
    passed++;
  }
}

static void recover(uint64_t *state) {
  char why[400];
  store *s;
  disk_power_on();
  open_without_power(state);
  if (store_sqlite_open_on(&s, CRASH_PATH, true, DISK, why)) {
    crash_wrong("cannot be opened: %s", why);
    return;
  }
  crash_check(s);
  if (crash_chance(state, 2)) disk_cut();
  store_close(s);
  if (!disk_is_off()) return;
  disk_power_on();
}

/* Disks live and lose their power until `most` points are passed, or something is wrong:
 * the number of points. */
static long live(uint64_t from, long most, unsigned lies) {
  long begun = passed;
  for (uint64_t disk = from; passed - begun < most; disk++) {
    uint64_t state = disk * 2654435761u;
    disk_new(disk);
    disk_lie(lies);
    crash_new();
    for (int i = 0; i < RUNS && passed - begun < most; i++) {
      disk_cut_at(1 + crash_chance(&state, 1u << (3 + crash_chance(&state, 9))));
      run(&state);
      passed++;
      if (!crash_what_is_wrong()) recover(&state);
      if (!crash_what_is_wrong()) continue;
      print_message("disk %llu, run %d: %s\n", (unsigned long long)disk, i, crash_what_is_wrong());
      return passed - begun;
    }
  }
  return most;
}

static void test_nothing_is_lost(void **state) {
  (void)state;
  live(seed, points, 0);
  long acknowledged, refused;
  if (crash_what_is_wrong()) fail_msg("%s", crash_what_is_wrong());
  crash_counts(&acknowledged, &refused);
  print_message("%ld points, %ld acknowledged, %ld not\n", passed, acknowledged, refused);
  assert_true(acknowledged > 5 * points);
}

static void test_lies_are_noticed(void **state) {
  (void)state;
  static const unsigned lies[] = {DISK_LOGS | DISK_FILES, DISK_LOGS, DISK_FILES, DISK_NAMES};
  for (size_t i = 0; i < 4; i++) {
    long after = live(seed, 300, lies[i]);
    if (!crash_what_is_wrong()) fail_msg("lie %u is not noticed", lies[i]);
    print_message("lie %u was noticed after %ld points\n", lies[i], after);
  }
  disk_new(0);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lies_are_noticed),
      cmocka_unit_test(test_nothing_is_lost),
  };
  if (argc > 1) points = atol(argv[1]);
  if (argc > 2) seed = strtoull(argv[2], NULL, 10);
  disk_register();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
