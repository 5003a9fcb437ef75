/* The helpers of kit.h. */
#include "kit.h"

#include <caw/alloc.h>
#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static atomic_long blocks, count, refuse_at;

static bool refuse(void) {
  long at = atomic_load(&refuse_at);
  return atomic_fetch_add(&count, 1) + 1 == at;
}

static void *kit_malloc(size_t bytes, void *user) {
  (void)user;
  if (refuse()) return NULL;
  void *p = malloc(bytes);
  if (!p) return NULL;
  memset(p, 0xa5, bytes); /* so that what is not initialised shows */
  atomic_fetch_add(&blocks, 1);
  return p;
}

static void *kit_realloc(void *old, size_t bytes, void *user) {
  (void)user;
  return refuse() ? NULL : realloc(old, bytes);
}

static void kit_free(void *p, void *user) {
  (void)user;
  atomic_fetch_sub(&blocks, 1);
  free(p);
}

void kit_allocator_more(long fail_at) {
  atomic_store(&count, 0);
  atomic_store(&refuse_at, fail_at);
}

void kit_allocator(long fail_at) {
  caw_allocator a = {sizeof(a), kit_malloc, kit_realloc, kit_free, NULL};
  atomic_store(&blocks, 0);
  kit_allocator_more(fail_at);
  assert_int_equal(caw_set_allocator(&a), 0);
}

void kit_allocator_done(void) {
  assert_int_equal(caw_set_allocator(NULL), 0);
  assert_int_equal(atomic_load(&blocks), 0);
}

bool kit_refused(void) {
  long at = atomic_load(&refuse_at);
  return at > 0 && atomic_load(&count) >= at;
}

static int entries(const char *path, bool (*counts)(const char *name)) {
  DIR *d = opendir(path);
  assert_non_null(d);
  int n = 0;
  for (struct dirent *e; (e = readdir(d));)
    if (e->d_name[0] != '.' && (!counts || counts(e->d_name))) n++;
  closedir(d);
  return n;
}

/* One that was joined is listed for a moment more, as one that exits (PF_EXITING of the kernel). */
static bool goes_on(const char *thread) {
  char path[300], line[512] = "";
  unsigned flags = 4;
  snprintf(path, sizeof(path), "/proc/self/task/%s/stat", thread);
  FILE *f = fopen(path, "r");
  if (!f) return false;
  const char *at = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
  fclose(f);
  if (at) sscanf(at, ") %*c %*d %*d %*d %*d %*d %u", &flags);
  return !(flags & 4);
}

int kit_threads(void) {
  int n = entries("/proc/self/task", goes_on);
  assert_true(n > 0); /* this one */
  return n;
}

int kit_descriptors(void) {
  return entries("/proc/self/fd", NULL);
}

caw_loop *kit_loop(void) {
  caw_loop *loop;
  assert_int_equal(caw_loop_new(&loop), 0);
  return loop;
}

static void set(void *flag) {
  *(bool *)flag = true;
}

static void until(caw_loop *loop, const bool *flag, const int *n, int least) {
  bool late = false;
  caw_timer *guard;
  assert_int_equal(caw_timer_new(&guard, loop, set, &late), 0);
  caw_timer_start(guard, 10000);
  while (!late && (flag ? !*flag : *n < least)) caw_loop_run(loop, CAW_LOOP_ONCE);
  caw_timer_free(guard);
  if (late && n) fail_msg("waited in vain: %d of %d", *n, least);
  if (late) fail_msg("waited in vain");
}

void kit_until(caw_loop *loop, const bool *flag) {
  until(loop, flag, NULL, 0);
}

void kit_count(caw_loop *loop, const int *count_of, int least) {
  until(loop, NULL, count_of, least);
}

void kit_while(caw_loop *loop, uint64_t ms) {
  bool over = false;
  caw_timer *timer;
  assert_int_equal(caw_timer_new(&timer, loop, set, &over), 0);
  caw_timer_start(timer, ms);
  kit_until(loop, &over);
  caw_timer_free(timer);
}

uint64_t kit_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
