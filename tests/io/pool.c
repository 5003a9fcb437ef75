/* The worker pool: its bounds, its threads, its end. */
#include "kit.h"

#include "io/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* A gate that jobs wait at. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool open_gate;
static int entered, left;
static atomic_int signals_blocked;

static void gate_reset(bool is_open) {
  pthread_mutex_lock(&lock);
  open_gate = is_open;
  entered = left = 0;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static void gate_open(void) {
  pthread_mutex_lock(&lock);
  open_gate = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static void await(const int *count, int least) {
  pthread_mutex_lock(&lock);
  while (*count < least) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}

static void pass_gate(io_job *job) {
  sigset_t set;
  (void)job;
  pthread_sigmask(SIG_SETMASK, NULL, &set);
  if (sigismember(&set, SIGTERM) && sigismember(&set, SIGINT) && sigismember(&set, SIGUSR1))
    atomic_fetch_add(&signals_blocked, 1);
  pthread_mutex_lock(&lock);
  entered++;
  pthread_cond_broadcast(&changed);
  while (!open_gate) pthread_cond_wait(&changed, &lock);
  left++;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static void bounds(void **state) {
  io_pool *pool;
  io_job jobs[6];
  int threads = kit_threads();
  (void)state;
  gate_reset(false);
  assert_int_equal(io_pool_new(&pool, 2, 3), 0);
  assert_int_equal(kit_threads(), threads);
  assert_int_equal(io_pool_threads(pool), 0);
  for (int i = 0; i < 5; i++) { /* two run, three wait */
    assert_int_equal(io_pool_submit(pool, &jobs[i], pass_gate), 0);
    assert_int_equal(io_pool_threads(pool), i < 2 ? i + 1 : 2);
  }
  await(&entered, 2);
  assert_int_equal(io_pool_submit(pool, &jobs[5], pass_gate), CAW_EAGAIN);
  assert_int_equal(kit_threads(), threads + 2);
  gate_open();
  await(&left, 5);
  while (io_pool_submit(pool, &jobs[5], pass_gate)) {
  }
  await(&left, 6);
  io_pool_free(pool);
  assert_int_equal(left, 6);
  assert_int_equal(atomic_load(&signals_blocked), 6);
}

/* One job after another needs one thread, whatever the bound. */
static void idle_thread_is_used(void **state) {
  io_pool *pool;
  io_job job;
  (void)state;
  gate_reset(true);
  assert_int_equal(io_pool_new(&pool, 8, 8), 0);
  for (int i = 1; i <= 50; i++) {
    assert_int_equal(io_pool_submit(pool, &job, pass_gate), 0);
    await(&left, i);
  }
  /* A thread counts as idle only once it is back from its job, so that now and
   * then a second one is started. */
  assert_in_range(io_pool_threads(pool), 1, 4);
  io_pool_free(pool);
}

static void free_runs_what_waits(void **state) {
  io_pool *pool;
  io_job jobs[100];
  (void)state;
  gate_reset(true);
  kit_allocator(0);
  assert_int_equal(io_pool_new(&pool, 3, 100), 0);
  for (int i = 0; i < 100; i++) assert_int_equal(io_pool_submit(pool, &jobs[i], pass_gate), 0);
  io_pool_free(pool);
  assert_int_equal(left, 100);
  assert_int_equal(io_pool_new(&pool, 1, 1), 0);
  io_pool_free(pool);
  io_pool_free(NULL);
  kit_allocator_done();
}

static io_pool *shared;

static void *submit_many(void *arg) {
  io_job *jobs = arg;
  for (int i = 0; i < 200; i++)
    while (io_pool_submit(shared, &jobs[i], pass_gate)) {
    }
  return NULL;
}

static void submit_from_threads(void **state) {
  static io_job jobs[4][200];
  pthread_t threads[4];
  (void)state;
  gate_reset(true);
  assert_int_equal(io_pool_new(&shared, 4, 4), 0);
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, submit_many, jobs[i]), 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  io_pool_free(shared);
  assert_int_equal(left, 800);
}

static io_job second;

static void submit_second(io_job *job) {
  (void)job;
  assert_int_equal(io_pool_submit(shared, &second, pass_gate), 0);
}

/* A job may submit another, even while the pool ends. */
static void submit_from_job(void **state) {
  io_job first;
  (void)state;
  for (int i = 0; i < 50; i++) {
    gate_reset(true);
    assert_int_equal(io_pool_new(&shared, 2, 1), 0);
    assert_int_equal(io_pool_submit(shared, &first, submit_second), 0);
    io_pool_free(shared);
    assert_int_equal(left, 1);
  }
}

static void out_of_memory(void **state) {
  io_pool *pool;
  (void)state;
  kit_allocator(1);
  assert_int_equal(io_pool_new(&pool, 2, 2), CAW_ENOMEM);
  kit_allocator_done();
}

static void *nothing(void *arg) {
  return arg;
}

int main(void) {
  /* The thread sanitizer starts a thread of its own with the first of ours,
   * which must not come between two counts. */
  pthread_t first;
  if (pthread_create(&first, NULL, nothing, NULL) == 0) pthread_join(first, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bounds),
      cmocka_unit_test(idle_thread_is_used),
      cmocka_unit_test(free_runs_what_waits),
      cmocka_unit_test(submit_from_threads),
      cmocka_unit_test(submit_from_job),
      cmocka_unit_test(out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
