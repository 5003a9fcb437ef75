/*
 * The comparison with the oracle, without a fuzzer: the committed corpus and
 * random scripts, always the same. And that the comparison can fail: an
 * implementation with one fault after the other is told from the oracle.
 */
#include "diff/diff.h"
#include "diff/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPTS 20000

static uint64_t state;

static uint32_t pick(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}

static size_t random_script(uint8_t *script, uint32_t seed) {
  state = seed;
  for (int i = 0; i < 4; i++) pick();
  size_t len = 8 + pick() % 250;
  for (size_t i = 0; i < len; i++) script[i] = (uint8_t)pick();
  return len;
}

static void expect_same(const uint8_t *script, size_t len, const char *name) {
  if (!diff_run(&face_ours, &face_oracle, script, len, DIFF_KNOWN)) return;
  print_error("script %s:\n", name);
  fail_msg("%s", diff_run(&face_ours, &face_oracle, script, len, DIFF_KNOWN | DIFF_TELL));
}

static void plays_the_corpus(void **unused) {
  static uint8_t script[1 << 16];
  DIR *folder = opendir(CORPUS);
  const struct dirent *entry;
  unsigned count = 0;
  (void)unused;
  assert_non_null(folder);
  while ((entry = readdir(folder))) {
    char path[600];
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof(path), "%s/%s", CORPUS, entry->d_name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(script, 1, sizeof(script), file);
    fclose(file);
    expect_same(script, len, entry->d_name);
    count++;
  }
  closedir(folder);
  assert_true(count > 0);
}

static void plays_random_scripts(void **unused) {
  (void)unused;
  for (uint32_t i = 0; i < SCRIPTS; i++) {
    uint8_t script[300];
    char name[20];
    size_t len = random_script(script, i);
    snprintf(name, sizeof(name), "%u", i);
    expect_same(script, len, name);
  }
}

/* How many random scripts it takes to find the fault; 0: none finds it. */
static uint32_t find(unsigned which, uint32_t most) {
  fault = which;
  for (uint32_t i = 0; i < most; i++) {
    uint8_t script[300];
    size_t len = random_script(script, i);
    if (diff_run(&face_faulty, &face_oracle, script, len, DIFF_KNOWN)) return i + 1;
  }
  return 0;
}

static void finds_faults(void **unused) {
  (void)unused;
  for (unsigned i = 0; i < fault_count; i++) {
    uint32_t found = find(i, SCRIPTS);
    if (!found) fail_msg("not found: %s", fault_names[i]);
    print_message("%5u scripts until: %s\n", found, fault_names[i]);
  }
}

static void finds_no_other_fault(void **unused) {
  (void)unused;
  assert_int_equal(find(fault_count, 2000), 0);
}

/* The scripts get deep, not only to the first broken rule. */
static void gets_deep(void **unused) {
  (void)unused;
  diff_total = (diff_sums){0};
  plays_random_scripts(NULL);
  const diff_sums *t = &diff_total;
  print_message(
      "%llu scripts: %llu frames, %llu streams, %llu blocks, %llu bytes, %llu closed well, "
      "%llu connections failed, %llu deliberate differences\n",
      (unsigned long long)t->scripts, (unsigned long long)t->frames, (unsigned long long)t->streams,
      (unsigned long long)t->blocks, (unsigned long long)t->data, (unsigned long long)t->closes,
      (unsigned long long)t->failures, (unsigned long long)t->known);
  assert_true(t->frames > 3 * t->scripts);
  assert_true(t->streams > t->scripts);
  assert_true(t->blocks > t->scripts / 4);
  assert_true(t->data > 100 * t->scripts);
  assert_true(t->closes > t->scripts / 10);
  assert_true(t->failures > t->scripts / 10);
  assert_true(t->failures < t->scripts / 2);
  assert_true(t->known > t->scripts / 50);
}

/* test-h2-diff SEED tells what one random script does; SEED COUNT plays that many,
 * until one finds a difference. */
static int play_from(uint32_t seed, uint32_t count) {
  uint8_t script[300];
  for (uint32_t i = 0; i < count; i++) {
    size_t len = random_script(script, seed + i);
    unsigned how = count == 1 ? DIFF_KNOWN | DIFF_TELL : DIFF_KNOWN;
    const char *why = diff_run(&face_ours, &face_oracle, script, len, how);
    if (!why) continue;
    printf("script %u: %s\n", seed + i, why);
    return 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gets_deep),
      cmocka_unit_test(plays_the_corpus),
      cmocka_unit_test(finds_faults),
      cmocka_unit_test(finds_no_other_fault),
  };
  if (argc > 1)
    return play_from((uint32_t)strtoul(argv[1], NULL, 10),
                     argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
