/* The desk: turns, refusals, spoilt turns, the disk's failures; with a store that is
 * counters alone, so that each can be made to happen. */
#include "desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <caw/status.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- A store that does nothing but count and fail ---- */

struct store {
  bool writer;
};

static struct {
  pthread_mutex_t lock;
  pthread_cond_t change;
  int begun, committed, rolled_back, ended, open;
  int rested, probed;
  int commit_rc; /* what the next commits and probes return */
  int rest_rc;   /* and rests */
  bool held;     /* the writer waits in store_begin */
  bool waiting;  /* it does */
  int states[8], n_states;
} it = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static void lock(void) {
  pthread_mutex_lock(&it.lock);
}
static void unlock(void) {
  pthread_cond_broadcast(&it.change);
  pthread_mutex_unlock(&it.lock);
}

int store_begin(store *s) {
  lock();
  it.begun++;
  it.waiting = s->writer;
  pthread_cond_broadcast(&it.change);
  while (s->writer && it.held) pthread_cond_wait(&it.change, &it.lock);
  it.waiting = false;
  unlock();
  return 0;
}
int store_commit(store *s) {
  (void)s;
  lock();
  int rc = it.commit_rc;
  it.committed += !rc;
  unlock();
  return rc;
}
void store_rollback(store *s) {
  (void)s;
  lock();
  it.rolled_back++;
  unlock();
}
void store_end(store *s) {
  (void)s;
  lock();
  it.ended++;
  unlock();
}
void store_close(store *s) {
  if (!s) return;
  lock();
  it.open--;
  unlock();
  free(s);
}
int store_rest(store *s, bool idle) {
  (void)s;
  lock();
  int rc = it.rest_rc;
  it.rested += idle;
  unlock();
  return rc;
}
int store_probe(store *s) {
  (void)s;
  lock();
  int rc = it.commit_rc;
  it.probed++;
  unlock();
  return rc;
}
const char *store_error(const store *s) {
  (void)s;
  return "the disk is gone";
}

static int open_it(store **out, bool writer, char why[400], void *user) {
  (void)why;
  (void)user;
  *out = calloc(1, sizeof(**out));
  (*out)->writer = writer;
  lock();
  it.open++;
  unlock();
  return 0;
}

static void on_state(desk_state state, const char *why, void *user) {
  (void)user;
  assert_string_equal(why, "the disk is gone");
  lock();
  it.states[it.n_states++ % 8] = (int)state;
  unlock();
}

/* ---- Jobs ---- */

typedef struct job {
  desk_job base;
  int result; /* what `work` returns */
  int worked; /* how often */
  int rc;
  bool done;
} job;

static int work(desk_job *base, store *s) {
  job *j = (job *)base;
  (void)s;
  j->worked++;
  return j->result;
}

static void done(desk_job *base, int rc) {
  job *j = (job *)base;
  lock();
  assert_false(j->done);
  j->done = true;
  j->rc = rc;
  unlock();
}

static job of(int result) {
  return (job){.base = {.work = work, .done = done}, .result = result};
}

static void await(const job *j) {
  lock();
  while (!j->done) pthread_cond_wait(&it.change, &it.lock);
  pthread_mutex_unlock(&it.lock);
}

static void hold(bool held) {
  lock();
  it.held = held;
  unlock();
}

/* Until the writer has taken what is queued and waits at the begin of its turn. */
static void await_writer(void) {
  lock();
  while (!it.waiting) pthread_cond_wait(&it.change, &it.lock);
  pthread_mutex_unlock(&it.lock);
}

static desk *make(size_t queue_most, size_t turn_most) {
  desk *d;
  char why[400];
  lock();
  it.begun = it.committed = it.rolled_back = it.ended = it.rested = it.probed = 0;
  it.commit_rc = it.rest_rc = it.n_states = 0;
  unlock();
  const desk_options options = {.open = open_it,
                                .on_state = on_state,
                                .queue_most = queue_most,
                                .turn_most = turn_most,
                                .retry = 5};
  assert_int_equal(desk_new(&d, &options, why), 0);
  return d;
}

static void end(desk *d) {
  desk_free(d);
  assert_int_equal(it.open, 0);
}

/* ---- Tests ---- */

static void test_one_turn_for_many(void **state) {
  (void)state;
  desk *d = make(0, 0);
  job first = of(0), jobs[100];
  desk_numbers numbers;
  hold(true);
  assert_int_equal(desk_write(d, &first.base), 0);
  await_writer();
  for (int i = 0; i < 100; i++) {
    jobs[i] = of(i == 50 ? CAW_NOT_FOUND : 0); /* a refusal spoils nothing */
    assert_int_equal(desk_write(d, &jobs[i].base), 0);
  }
  hold(false);
  for (int i = 0; i < 100; i++) await(&jobs[i]);
  for (int i = 0; i < 100; i++) assert_int_equal(jobs[i].rc, i == 50 ? CAW_NOT_FOUND : 0);
  desk_look(d, &numbers);
  assert_int_equal(numbers.turns, 2);
  assert_int_equal(numbers.jobs, 101);
  end(d);
}

static void test_a_spoilt_turn(void **state) {
  (void)state;
  static const int spoiling[] = {CAW_ENOMEM, STORE_BUSY, STORE_DAMAGED};
  for (size_t k = 0; k < 3; k++) {
    desk *d = make(0, 0);
    job first = of(0), before = of(0), bad = of(spoiling[k]), after = of(0);
    hold(true);
    assert_int_equal(desk_write(d, &first.base), 0);
    await_writer();
    assert_int_equal(desk_write(d, &before.base), 0);
    assert_int_equal(desk_write(d, &bad.base), 0);
    assert_int_equal(desk_write(d, &after.base), 0);
    hold(false);
    await(&after);
    await(&bad);
    assert_int_equal(bad.rc, spoiling[k]);
    assert_int_equal(before.rc, 0);
    assert_int_equal(before.worked, 2); /* what it did the first time was undone */
    assert_int_equal(after.rc, 0);
    assert_int_equal(it.rolled_back, 1);
    assert_int_equal(it.committed, 2);
    assert_int_equal(desk_state_of(d), DESK_FINE);
    end(d);
  }
}

static void test_a_full_disk(void **state) {
  (void)state;
  desk *d = make(0, 0);
  job a = of(0), b = of(0);
  it.commit_rc = STORE_FULL;
  assert_int_equal(desk_write(d, &a.base), 0);
  await(&a);
  assert_int_equal(a.rc, STORE_FULL); /* not acknowledged */
  assert_int_equal(desk_state_of(d), DESK_FULL);
  lock();
  it.commit_rc = 0;
  unlock();
  assert_int_equal(desk_write(d, &b.base), 0);
  await(&b);
  assert_int_equal(b.rc, 0);
  end(d);
  assert_int_equal(it.n_states, 2);
  assert_int_equal(it.states[0], DESK_FULL);
  assert_int_equal(it.states[1], DESK_FINE);
}

static void test_room_again(void **state) {
  (void)state;
  desk *d = make(0, 0);
  job a = of(0);
  it.commit_rc = STORE_FULL;
  assert_int_equal(desk_write(d, &a.base), 0);
  await(&a);
  lock();
  while (it.probed < 3) pthread_cond_wait(&it.change, &it.lock); /* nobody writes */
  assert_int_equal(it.n_states, 1);
  it.commit_rc = 0;
  while (it.n_states < 2) pthread_cond_wait(&it.change, &it.lock);
  pthread_mutex_unlock(&it.lock);
  assert_int_equal(desk_state_of(d), DESK_FINE);
  end(d);
}

/* What is done between turns writes and flushes as turns do. */
static void test_a_disk_that_breaks_at_rest(void **state) {
  (void)state;
  desk *d = make(0, 0);
  job a = of(0), b = of(0);
  it.rest_rc = STORE_BROKEN;
  assert_int_equal(desk_write(d, &a.base), 0);
  await(&a);
  assert_int_equal(a.rc, 0); /* its turn was committed */
  lock();
  while (!it.n_states) pthread_cond_wait(&it.change, &it.lock);
  pthread_mutex_unlock(&it.lock);
  assert_int_equal(it.states[0], DESK_BROKEN);
  assert_int_equal(desk_write(d, &b.base), STORE_BROKEN);
  end(d);
}

static void test_a_broken_disk(void **state) {
  (void)state;
  desk *d = make(0, 0);
  job a = of(0), b = of(0), reads = of(0);
  it.commit_rc = STORE_BROKEN;
  assert_int_equal(desk_write(d, &a.base), 0);
  await(&a);
  assert_int_equal(a.rc, STORE_BROKEN);
  lock();
  it.commit_rc = 0;
  unlock();
  assert_int_equal(desk_write(d, &b.base), STORE_BROKEN); /* nothing more is taken */
  assert_int_equal(desk_read(d, &reads.base), 0);
  await(&reads);
  assert_int_equal(reads.rc, 0);
  end(d);
  assert_int_equal(b.worked, 0);
  assert_int_equal(it.states[0], DESK_BROKEN);
}

static void test_bounds(void **state) {
  (void)state;
  desk *d = make(3, 2);
  job jobs[6];
  desk_numbers numbers;
  for (int i = 0; i < 6; i++) jobs[i] = of(0);
  hold(true);
  assert_int_equal(desk_write(d, &jobs[0].base), 0);
  await_writer();
  for (int i = 1; i < 4; i++) assert_int_equal(desk_write(d, &jobs[i].base), 0);
  assert_int_equal(desk_write(d, &jobs[4].base), CAW_EAGAIN);
  hold(false);
  for (int i = 0; i < 4; i++) await(&jobs[i]);
  assert_int_equal(desk_write(d, &jobs[5].base), 0);
  await(&jobs[5]);
  assert_int_equal(jobs[4].worked, 0);
  desk_look(d, &numbers);
  assert_int_equal(numbers.jobs, 5);
  assert_int_equal(numbers.turns, 4); /* 1, 2, 1, 1 */
  end(d);
}

static void test_the_end_does_what_is_queued(void **state) {
  (void)state;
  desk *d = make(0, 0);
  job jobs[50], reads[50];
  for (int i = 0; i < 50; i++) {
    jobs[i] = of(0);
    reads[i] = of(0);
    assert_int_equal(desk_write(d, &jobs[i].base), 0);
    assert_int_equal(desk_read(d, &reads[i].base), 0);
  }
  end(d);
  for (int i = 0; i < 50; i++) {
    assert_true(jobs[i].done);
    assert_true(reads[i].done);
  }
  assert_int_equal(it.ended, 50);
}

/* The slower the flush, the more share it; never fewer than some, nor more than allowed. */
static void test_the_size_of_turns(void **state) {
  (void)state;
  static const struct {
    size_t most, n;
    uint64_t work, flush;
    size_t ends_at;
  } cases[] = {
      {1000, 500, 2000000, 2000000, 500},    /* as it should be */
      {1000, 1000, 4000000, 1000000, 250},   /* too many */
      {1000, 100, 400000, 2000000, 500},     /* few waited; more may */
      {1000, 1000, 4000000, 20000000, 1000}, /* a slow disk */
      {1000, 500, 2000000, 1000, 128},       /* a disk in memory */
      {1000, 500, 0, 0, 128},
      {1000, 10, 40000, 1000000, 1000}, /* of few nothing is learnt */
      {60, 60, 240000, 1000, 60},       /* few at most is few */
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    size_t now = cases[i].most;
    for (int turn = 0; turn < 40; turn++)
      now = desk_next_turn(now, cases[i].most, cases[i].n, cases[i].work, cases[i].flush);
    if (now > cases[i].ends_at + 3 || now + 3 < cases[i].ends_at)
      fail_msg("case %zu: %zu, not %zu", i, now, cases[i].ends_at);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_size_of_turns),
      cmocka_unit_test(test_one_turn_for_many),
      cmocka_unit_test(test_a_spoilt_turn),
      cmocka_unit_test(test_a_full_disk),
      cmocka_unit_test(test_room_again),
      cmocka_unit_test(test_a_broken_disk),
      cmocka_unit_test(test_a_disk_that_breaks_at_rest),
      cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_the_end_does_what_is_queued),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
