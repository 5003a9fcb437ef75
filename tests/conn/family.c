/* Calls made on behalf of another: who is cancelled with whom, whatever comes
 * first, on one thread and on several. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "conn/call.h"

#include <pthread.h>
#include <stdlib.h>

/* A client's call that only counts its cancellations. */
typedef struct child {
  caw_call base;
  atomic_int cancelled;
} child;

static void abort_child(caw_call *call, int code, const char *text) {
  (void)text;
  assert_int_equal(code, CAW_CANCELLED);
  atomic_fetch_add(&((child *)(void *)call)->cancelled, 1);
  call_mark_cancelled(call);
}

static void ignore(caw_call *call) {
  (void)call;
}

static const call_class parent_class = {.size = sizeof(caw_call),
                                        .server = true,
                                        .dispatch = ignore};
static const call_class child_class = {.size = sizeof(child),
                                       .dispatch = ignore,
                                       .abort = abort_child};

static child *new_child(caw_loop *loop) {
  return (child *)(void *)call_new(&child_class, loop, 0, 0);
}

static int times(const child *c) {
  return atomic_load(&c->cancelled);
}

static void cancelled_once(void **state) {
  (void)state;
  caw_loop *loop;
  assert_int_equal(caw_loop_new(&loop), 0);
  caw_call *parent = call_new(&parent_class, loop, 0, 0);
  child *kids[5];
  for (int i = 0; i < 5; i++) {
    kids[i] = new_child(loop);
    call_adopt(parent, &kids[i]->base);
  }
  assert_int_equal(atomic_load(&parent->refs), 6);
  call_leave_parent(&kids[1]->base); /* has ended by itself */
  call_leave_parent(&kids[1]->base); /* twice is nothing */
  assert_int_equal(atomic_load(&parent->refs), 5);
  call_mark_cancelled(parent);
  call_mark_cancelled(parent);
  for (int i = 0; i < 5; i++) assert_int_equal(times(kids[i]), i != 1);
  /* Whoever is adopted afterwards is cancelled at once. */
  child *late = new_child(loop);
  call_adopt(parent, &late->base);
  assert_int_equal(times(late), 1);
  call_release(&late->base);
  for (int i = 0; i < 5; i++) call_release(&kids[i]->base);
  assert_int_equal(atomic_load(&parent->refs), 1);
  call_release(parent);
  caw_loop_free(loop);
}

/* The child keeps the memory of a parent that is over. */
static void outlives_its_parent(void **state) {
  (void)state;
  caw_loop *loop;
  assert_int_equal(caw_loop_new(&loop), 0);
  caw_call *parent = call_new(&parent_class, loop, 0, 0);
  child *kid = new_child(loop);
  call_adopt(parent, &kid->base);
  call_release(parent);
  assert_int_equal(atomic_load(&parent->refs), 1);
  assert_int_equal(times(kid), 0);
  call_release(&kid->base);
  caw_loop_free(loop);
}

/* ---- Several threads ---- */

enum { ROUNDS = 300, KIDS = 8 };

/* A loop on a thread of its own, on which children live. */
typedef struct home {
  caw_loop *loop;
  pthread_t thread;
  caw_call *parent; /* of this round */
  child *kids[KIDS];
  atomic_int there, told, gone;
} home;

static void adopt_all(void *arg) {
  home *h = arg;
  for (int i = 0; i < KIDS; i++) {
    h->kids[i] = new_child(h->loop);
    call_adopt(h->parent, &h->kids[i]->base);
  }
  atomic_store(&h->there, 1);
}

static void release_all(void *arg) {
  home *h = arg;
  for (int i = 0; i < KIDS; i++) {
    /* A cancellation from the parent's thread comes as a post. */
    if (times(h->kids[i]) == 0 && !call_has(&h->kids[i]->base, CALL_ASKED_CANCEL)) abort();
    call_release(&h->kids[i]->base);
  }
  atomic_store(&h->gone, 1);
}

static void *live(void *arg) {
  home *h = arg;
  io_loop_adopt(h->loop);
  io_loop_hold(h->loop);
  caw_loop_run(h->loop, CAW_LOOP_DEFAULT);
  io_loop_release(h->loop);
  return NULL;
}

/* Children join on two loops while the parent is cancelled on a third: each of
 * them hears of it, once. */
static void cancelled_while_they_join(void **state) {
  (void)state;
  static home homes[2];
  caw_loop *loop;
  assert_int_equal(caw_loop_new(&loop), 0);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(caw_loop_new(&homes[i].loop), 0);
    assert_int_equal(pthread_create(&homes[i].thread, NULL, live, &homes[i]), 0);
  }
  for (int round = 0; round < ROUNDS; round++) {
    caw_call *parent = call_new(&parent_class, loop, 0, 0);
    for (int i = 0; i < 2; i++) {
      homes[i].parent = parent;
      atomic_store(&homes[i].there, 0);
      atomic_store(&homes[i].gone, 0);
      assert_int_equal(caw_loop_post(homes[i].loop, adopt_all, &homes[i]), 0);
    }
    if (round % 2)
      while (!atomic_load(&homes[0].there)) sched_yield();
    call_mark_cancelled(parent);
    for (int i = 0; i < 2; i++) {
      while (!atomic_load(&homes[i].there)) sched_yield();
      assert_int_equal(caw_loop_post(homes[i].loop, release_all, &homes[i]), 0);
    }
    for (int i = 0; i < 2; i++)
      while (!atomic_load(&homes[i].gone)) sched_yield();
    call_release(parent);
  }
  for (int i = 0; i < 2; i++) {
    caw_loop_stop(homes[i].loop);
    pthread_join(homes[i].thread, NULL);
    caw_loop_free(homes[i].loop);
  }
  caw_loop_free(loop);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cancelled_once),
      cmocka_unit_test(outlives_its_parent),
      cmocka_unit_test(cancelled_while_they_join),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
