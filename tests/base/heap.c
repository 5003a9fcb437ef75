/* The heap of timers, against a plain array. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/heap.h"
#include "failing.h"

#include <caw/status.h>

static uint32_t seed = 1;

static uint32_t next_random(void) {
  seed = seed * 1664525u + 1013904223u;
  return seed >> 8;
}

static void check_places(const heap *h) {
  for (size_t i = 0; i < h->len; i++) {
    assert_int_equal(h->nodes[i]->index, i);
    if (i) assert_true(h->nodes[(i - 1) / 2]->key <= h->nodes[i]->key);
  }
}

/* Equal keys leave in the order in which they came. */
static void sorted(void **state) {
  (void)state;
  enum { N = 500 };
  static heap_node nodes[N];
  heap h = {0};
  assert_null(heap_top(&h));
  for (int i = 0; i < N; i++) {
    heap_node_init(&nodes[i]);
    assert_false(heap_linked(&nodes[i]));
    assert_int_equal(heap_reserve(&h, 1), 0);
    heap_insert(&h, &nodes[i], next_random() % 20);
    assert_true(heap_linked(&nodes[i]));
  }
  check_places(&h);
  uint64_t key = 0;
  const heap_node *last = NULL;
  for (int i = 0; i < N; i++) {
    heap_node *n = heap_top(&h);
    assert_true(n->key >= key);
    if (n->key == key && last) assert_true(n > last); /* nodes came in this order */
    key = n->key;
    last = n;
    heap_remove(&h, n);
    assert_false(heap_linked(n));
    heap_remove(&h, n); /* nothing happens */
    assert_int_equal(h.len, N - 1 - i);
  }
  assert_null(heap_top(&h));
  heap_finish(&h);
}

static void removed_from_anywhere(void **state) {
  (void)state;
  enum { N = 64, STEPS = 20000 };
  static heap_node nodes[N];
  heap h = {0};
  assert_int_equal(heap_reserve(&h, N), 0);
  for (int i = 0; i < N; i++) heap_node_init(&nodes[i]);
  fail_at(1);
  for (int step = 0; step < STEPS; step++) {
    heap_node *n = &nodes[next_random() % N];
    if (heap_linked(n)) heap_remove(&h, n);
    else heap_insert(&h, n, next_random() % 7 ? next_random() : UINT64_MAX);
    check_places(&h);
    const heap_node *least = NULL;
    size_t len = 0;
    for (int i = 0; i < N; i++) {
      if (!heap_linked(&nodes[i])) continue;
      len++;
      if (!least || nodes[i].key < least->key ||
          (nodes[i].key == least->key && nodes[i].turn < least->turn))
        least = &nodes[i];
    }
    assert_int_equal(h.len, len);
    assert_ptr_equal(heap_top(&h), least);
  }
  assert_false(failing.failed); /* room was reserved */
  fail_at(0);
  heap_finish(&h);
}

static void memory_runs_out(void **state) {
  (void)state;
  heap h = {0};
  heap_node n;
  heap_node_init(&n);
  fail_at(1);
  assert_int_equal(heap_reserve(&h, 1), CAW_ENOMEM);
  assert_int_equal(heap_reserve(&h, SIZE_MAX / 8), CAW_ENOMEM);
  assert_int_equal(heap_reserve(&h, SIZE_MAX), CAW_ENOMEM);
  assert_int_equal(heap_reserve(&h, 1), 0);
  heap_insert(&h, &n, 5);
  fail_at(1);
  assert_int_equal(heap_reserve(&h, 1000), CAW_ENOMEM);
  assert_ptr_equal(heap_top(&h), &n); /* as before */
  heap_finish(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {failing_test(sorted), failing_test(removed_from_anywhere),
                                     failing_test(memory_runs_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
