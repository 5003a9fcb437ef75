/*
 * An allocator for the tests of small modules: the n-th allocation fails, once,
 * and what is not freed is counted. One thread.
 */
#ifndef TESTS_FAILING_H
#define TESTS_FAILING_H

#include <caw/alloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static struct {
  long left;    /* allocations until the one that fails; 0: none will */
  bool failed;  /* it did */
  long live;    /* pieces that are not freed */
  size_t bytes; /* in these */
} failing;

static inline void *failing_malloc(size_t bytes, void *user) {
  (void)user;
  if (failing.left && --failing.left == 0) {
    failing.failed = true;
    return NULL;
  }
  size_t *p = malloc(bytes + 16);
  if (!p) return NULL;
  *p = bytes;
  failing.live++;
  failing.bytes += bytes;
  memset(p + 2, 0xa5, bytes); /* nobody may count on zeros */
  return p + 2;
}

static inline void failing_free(void *ptr, void *user) {
  (void)user;
  failing.live--;
  failing.bytes -= *((size_t *)ptr - 2);
  free((size_t *)ptr - 2);
}

static inline void *failing_realloc(void *old, size_t bytes, void *user) {
  void *p = failing_malloc(bytes, user);
  if (!p) return NULL;
  size_t size = *((size_t *)old - 2);
  memcpy(p, old, size < bytes ? size : bytes);
  failing_free(old, user);
  return p;
}

/* Sets it up: for the setup of a test. */
static inline int failing_begin(void **state) {
  static const caw_allocator a = {sizeof(a), failing_malloc, failing_realloc, failing_free, NULL};
  (void)state;
  memset(&failing, 0, sizeof(failing));
  return caw_set_allocator(&a);
}

/* Fails when something is left: for the teardown. */
static inline int failing_end(void **state) {
  (void)state;
  caw_set_allocator(NULL);
  return failing.live ? -1 : 0;
}

/* From now on the n-th allocation fails. */
static inline void fail_at(long n) {
  failing.left = n;
  failing.failed = false;
}

#define failing_test(f) cmocka_unit_test_setup_teardown(f, failing_begin, failing_end)

#endif
