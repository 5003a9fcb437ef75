/* The intrusive list. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/list.h"

typedef struct item {
  char before; /* so that the node is not at the begin */
  list node;
  char name;
} item;

static item items[4] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}};

static void fill(list *l) {
  list_init(l);
  for (int i = 0; i < 4; i++) {
    list_init(&items[i].node);
    assert_false(list_linked(&items[i].node));
    list_push_back(l, &items[i].node);
    assert_true(list_linked(&items[i].node));
  }
}

static void assert_items(const list *l, const char *want) {
  char forth[8], back[8];
  size_t n = 0, m = 0;
  for (const list *i = l->next; i != l; i = i->next)
    forth[n++] = LIST_ENTRY((list *)(uintptr_t)i, item, node)->name;
  for (const list *i = l->prev; i != l; i = i->prev)
    back[m++] = LIST_ENTRY((list *)(uintptr_t)i, item, node)->name;
  forth[n] = back[m] = '\0';
  assert_string_equal(forth, want);
  assert_int_equal(n, m);
  for (size_t i = 0; i < n; i++) assert_int_equal(back[i], want[n - 1 - i]);
  assert_int_equal(list_empty(l), n == 0);
}

static void in_order(void **state) {
  (void)state;
  list l;
  fill(&l);
  assert_items(&l, "abcd");
  assert_ptr_equal(list_pop(&l), &items[0].node);
  assert_false(list_linked(&items[0].node));
  assert_items(&l, "bcd");
  list_push_back(&l, &items[0].node);
  assert_items(&l, "bcda");
  for (int i = 0; i < 4; i++) assert_non_null(list_pop(&l));
  assert_null(list_pop(&l));
  assert_items(&l, "");
}

static void removed(void **state) {
  (void)state;
  static const char *const want[] = {"bcd", "acd", "abd", "abc"};
  for (int i = 0; i < 4; i++) {
    list l;
    fill(&l);
    list_remove(&items[i].node);
    assert_items(&l, want[i]);
    list_remove(&items[i].node); /* of no list: nothing happens */
    assert_items(&l, want[i]);
  }
}

static void taken(void **state) {
  (void)state;
  list from, to;
  fill(&from);
  list_take(&to, &from);
  assert_items(&from, "");
  assert_items(&to, "abcd");
  list_take(&from, &to);
  assert_items(&from, "abcd");
  list none;
  list_init(&none);
  list_take(&to, &none);
  assert_items(&to, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(in_order), cmocka_unit_test(removed),
                                     cmocka_unit_test(taken)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
