/* The loop: timers, tasks, posts, signals, what keeps it alive, its threads. */
#include "kit.h"

#include <caw/alloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- timers -------------------------------------------------------------- */

typedef struct clocked {
  io_timer timer;
  int id;
  uint64_t at, fired; /* io_now when it fired */
} clocked;

static int order[4096], fired;

static void note(io_timer *t) {
  clocked *c = (clocked *)t;
  c->fired = io_now(t->loop);
  order[fired++] = c->id;
}

static void timers_in_order(void **state) {
  static const unsigned ms[] = {7, 3, 9, 1, 3, 7, 1, 0, 12, 0};
  enum { N = sizeof(ms) / sizeof(ms[0]) };
  static const int expected[N] = {7, 9, 3, 6, 1, 4, 0, 5, 2, 8};
  caw_loop *loop = kit_loop();
  clocked t[N];
  (void)state;
  fired = 0;
  uint64_t start = io_now(loop) + KIT_MS;
  for (int i = 0; i < N; i++) {
    assert_int_equal(io_timer_init(&t[i].timer, loop, note), 0);
    t[i].id = i;
    t[i].at = start + ms[i] * KIT_MS;
    io_timer_start(&t[i].timer, t[i].at);
  }
  kit_count(loop, &fired, N);
  for (int i = 0; i < N; i++) {
    assert_int_equal(order[i], expected[i]);
    assert_true(t[i].fired >= t[i].at);                /* never early */
    assert_true(t[i].fired < t[i].at + 2000 * KIT_MS); /* nor absurdly late */
    io_timer_finish(&t[i].timer);
  }
  caw_loop_free(loop);
}

/* Nanoseconds apart, so that rounding to milliseconds would show. */
static void timer_is_never_early(void **state) {
  caw_loop *loop = kit_loop();
  clocked t = {.id = 0};
  (void)state;
  assert_int_equal(io_timer_init(&t.timer, loop, note), 0);
  for (uint64_t i = 1; i <= 60; i++) {
    fired = 0;
    t.at = io_now(loop) + i * 131071;
    io_timer_start(&t.timer, t.at);
    while (!fired) caw_loop_run(loop, CAW_LOOP_ONCE);
    assert_true(t.fired >= t.at);
  }
  io_timer_finish(&t.timer);
  caw_loop_free(loop);
}

/* Many equal keys leave in the order of their starts, through any number of
 * removals between. */
static void equal_times_are_fair(void **state) {
  enum { N = 1000 };
  caw_loop *loop = kit_loop();
  clocked *t = calloc(N, sizeof(*t));
  (void)state;
  assert_non_null(t);
  fired = 0;
  uint64_t at = io_now(loop) + 2 * KIT_MS;
  for (int i = 0; i < N; i++) {
    assert_int_equal(io_timer_init(&t[i].timer, loop, note), 0);
    t[i].id = i;
    io_timer_start(&t[i].timer, at);
  }
  for (int i = 0; i < N; i += 3) io_timer_stop(&t[i].timer);
  kit_count(loop, &fired, N - (N + 2) / 3);
  for (int i = 1; i < fired; i++) assert_true(order[i - 1] < order[i]);
  for (int i = 0; i < N; i++) io_timer_finish(&t[i].timer);
  free(t);
  caw_loop_free(loop);
}

/* A timer that sets itself anew for the past fires once per turn. */
static int again_left, again_ran;

static void again(io_timer *t) {
  again_ran++;
  if (--again_left) io_timer_start(t, 0);
}

static void restart_waits_for_next_turn(void **state) {
  caw_loop *loop = kit_loop();
  io_timer t;
  (void)state;
  again_left = 5;
  assert_int_equal(io_timer_init(&t, loop, again), 0);
  io_timer_start(&t, 0);
  for (int i = 1; i <= 5; i++) {
    caw_loop_run(loop, CAW_LOOP_NOWAIT);
    assert_int_equal(again_ran, i);
  }
  caw_loop_run(loop, CAW_LOOP_NOWAIT);
  assert_int_equal(again_ran, 5);
  io_timer_finish(&t);
  caw_loop_free(loop);
}

static clocked rival[2];

static void stop_rival(io_timer *t) {
  fired++;
  io_timer_stop(&rival[t == &rival[0].timer].timer);
}

static void stop_inside_callback(void **state) {
  caw_loop *loop = kit_loop();
  (void)state;
  fired = 0;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(io_timer_init(&rival[i].timer, loop, stop_rival), 0);
    io_timer_start(&rival[i].timer, io_now(loop) + KIT_MS);
  }
  kit_while(loop, 10);
  assert_int_equal(fired, 1);
  for (int i = 0; i < 2; i++) io_timer_finish(&rival[i].timer);
  caw_loop_free(loop);
}

static caw_timer *suicide;

static void free_self(void *user) {
  ++*(int *)user;
  caw_timer_free(suicide);
}

static void free_inside_own_callback(void **state) {
  caw_loop *loop = kit_loop();
  int n = 0;
  (void)state;
  assert_int_equal(caw_timer_new(&suicide, loop, free_self, &n), 0);
  caw_timer_start(suicide, 1);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0); /* nothing is left */
  assert_int_equal(n, 1);
  caw_timer_free(NULL);
  caw_loop_free(loop);
}

/* --- what keeps a loop alive --------------------------------------------- */

static void add_one(void *user) {
  ++*(int *)user;
}

static void nothing_keeps_it_alive(void **state) {
  caw_loop *loop = kit_loop();
  io_timer inner;
  caw_timer *outer;
  int n = 0;
  (void)state;
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0);
  assert_int_equal(io_timer_init(&inner, loop, note), 0);
  io_timer_start(&inner, io_now(loop) + 100000 * KIT_MS); /* a keepalive, say */
  assert_int_equal(caw_timer_new(&outer, loop, add_one, &n), 0);
  assert_int_equal(caw_loop_on_signal(loop, SIGUSR1, NULL, NULL), 0);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0);
  caw_timer_start(outer, 1);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_NOWAIT), 1);
  caw_timer_start(outer, 2); /* anew: one hold, not two */
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0);
  assert_int_equal(n, 1);
  caw_timer_start(outer, 1);
  caw_timer_stop(outer);
  caw_timer_stop(outer);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0);
  assert_int_equal(n, 1);
  io_loop_hold(loop);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_NOWAIT), 1);
  io_loop_release(loop);
  io_timer_finish(&inner);
  caw_timer_free(outer);
  caw_loop_free(loop);
}

static void stop_it(void *loop) {
  caw_loop_stop(loop);
}

static void stopping(void **state) {
  caw_loop *loop = kit_loop();
  caw_timer *far, *near;
  int n = 0;
  (void)state;
  assert_int_equal(caw_timer_new(&far, loop, add_one, &n), 0);
  assert_int_equal(caw_timer_new(&near, loop, stop_it, loop), 0);
  caw_timer_start(far, 3600000);
  caw_timer_start(near, 1);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 1); /* from inside */
  caw_loop_stop(loop);                                       /* before */
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_ONCE), 1);
  caw_loop_stop(loop);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 1);
  assert_int_equal(n, 0);
  caw_timer_free(far);
  caw_timer_free(near);
  caw_loop_free(loop);
}

static int inner_rc;

static void run_again(void *loop) {
  inner_rc = caw_loop_run(loop, CAW_LOOP_NOWAIT);
}

static void runs_once_at_a_time(void **state) {
  caw_loop *loop = kit_loop();
  (void)state;
  assert_int_equal(caw_loop_post(loop, run_again, loop), 0);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0);
  assert_int_equal(inner_rc, CAW_ESTATE);
  caw_loop_free(loop);
}

/* --- tasks --------------------------------------------------------------- */

typedef struct job {
  io_task task;
  caw_loop *loop;
  int ran, id;
} job;

static void run_forever(io_task *t) {
  job *j = (job *)t;
  j->ran++;
  io_defer(j->loop, t);
}

static void run_note(io_task *t) {
  job *j = (job *)t;
  j->ran++;
  order[fired++] = j->id;
}

static void tasks_in_order(void **state) {
  caw_loop *loop = kit_loop();
  job j[3];
  (void)state;
  fired = 0;
  for (int i = 0; i < 3; i++) {
    j[i] = (job){.loop = loop, .id = i};
    io_task_init(&j[i].task, run_note);
    io_defer(loop, &j[i].task);
    io_defer(loop, &j[i].task); /* once is enough */
  }
  io_task_cancel(&j[1].task);
  io_task_cancel(&j[1].task);
  assert_int_equal(fired, 0);
  assert_int_equal(caw_loop_timeout(loop), 0);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0);
  assert_int_equal(fired, 2);
  assert_int_equal(order[0], 0);
  assert_int_equal(order[1], 2);
  caw_loop_free(loop);
}

/* A task that never ends its work neither starves timers nor lets the loop
 * sleep. */
static void tasks_are_fair(void **state) {
  caw_loop *loop = kit_loop();
  job busy = {.loop = loop};
  bool came = false;
  (void)state;
  io_task_init(&busy.task, run_forever);
  io_defer(loop, &busy.task);
  kit_while(loop, 5);
  assert_true(busy.ran > 1);
  int before = busy.ran;
  assert_int_equal(caw_loop_timeout(loop), 0);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_NOWAIT), 1);
  assert_in_range(busy.ran - before, 2, 10000);
  assert_int_equal(caw_loop_post(loop, (void (*)(void *))stop_it, loop), 0);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 1);
  (void)came;
  io_task_cancel(&busy.task);
  caw_loop_free(loop);
}

/* Costly ones are done a few per turn, in order, and the loop does not sleep on them. */
static void costly_tasks_take_turns(void **state) {
  enum { MANY = 10 };
  caw_loop *loop = kit_loop();
  job j[MANY];
  (void)state;
  fired = 0;
  for (int i = 0; i < MANY; i++) {
    j[i] = (job){.loop = loop, .id = i};
    io_task_init(&j[i].task, run_note);
    io_defer_costly(loop, &j[i].task);
    io_defer_costly(loop, &j[i].task);
  }
  io_task_cancel(&j[1].task);
  for (int want = 4; want <= 8; want += 4) {
    assert_int_equal(caw_loop_timeout(loop), 0);
    assert_int_equal(caw_loop_run(loop, CAW_LOOP_NOWAIT), 1);
    assert_int_equal(fired, want);
  }
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0);
  assert_int_equal(fired, MANY - 1);
  assert_int_equal(order[0], 0);
  for (int i = 1; i < MANY - 1; i++) assert_int_equal(order[i], i + 1);
  caw_loop_free(loop);
}

/* --- posts --------------------------------------------------------------- */

enum { POSTERS = 4, POSTS = 5000 };

typedef struct numbered {
  io_post post;
  int poster, number;
} numbered;

static int next_number[POSTERS], arrived;
static numbered mail[POSTERS][POSTS];
static caw_loop *mail_loop;

static void arrive(io_post *p) {
  numbered *m = (numbered *)p;
  assert_int_equal(m->number, next_number[m->poster]);
  next_number[m->poster]++;
  arrived++;
}

static void *post_many(void *arg) {
  int id = (int)(intptr_t)arg;
  for (int i = 0; i < POSTS; i++) {
    mail[id][i].poster = id;
    mail[id][i].number = i;
    io_loop_post(mail_loop, &mail[id][i].post, arrive);
    if (i % 500 == 0) usleep(1000); /* lets the loop fall asleep between */
  }
  return NULL;
}

static void posts_from_threads(void **state) {
  pthread_t threads[POSTERS];
  (void)state;
  mail_loop = kit_loop();
  arrived = 0;
  for (int i = 0; i < POSTERS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, post_many, (void *)(intptr_t)i), 0);
  kit_count(mail_loop, &arrived, POSTERS * POSTS);
  for (int i = 0; i < POSTERS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(arrived, POSTERS * POSTS);
  caw_loop_free(mail_loop);
}

/* The last post ends the loop while its poster may be inside io_loop_post. */
typedef struct last_post {
  io_post post;
  caw_loop *loop;
  bool came;
} last_post;

static void last_came(io_post *p) {
  ((last_post *)p)->came = true;
}

static void *post_last(void *arg) {
  last_post *l = arg;
  io_loop_post(l->loop, &l->post, last_came);
  return NULL;
}

static void free_while_posting(void **state) {
  (void)state;
  for (int i = 0; i < 200; i++) {
    last_post l = {.loop = kit_loop()};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, post_last, &l), 0);
    while (!l.came) caw_loop_run(l.loop, i % 2 ? CAW_LOOP_ONCE : CAW_LOOP_NOWAIT);
    caw_loop_free(l.loop);
    pthread_join(thread, NULL);
  }
}

typedef struct chain {
  caw_loop *loop;
  int left, ran;
} chain;

static void chain_on(void *arg) {
  chain *c = arg;
  c->ran++;
  if (c->left-- > 0) assert_int_equal(caw_loop_post(c->loop, chain_on, c), 0);
}

static void free_runs_leftover_posts(void **state) {
  chain c = {.left = 3};
  (void)state;
  kit_allocator(0);
  c.loop = kit_loop();
  assert_int_equal(caw_loop_post(c.loop, chain_on, &c), 0);
  assert_int_equal(c.ran, 0); /* never inside the call */
  caw_loop_free(c.loop);
  assert_int_equal(c.ran, 4);
  kit_allocator_done();
  caw_loop_free(NULL);
}

/* A post that posts again runs in the next turn: input is not starved. */
static void post_again_waits_for_next_turn(void **state) {
  chain c = {.loop = kit_loop(), .left = 3};
  (void)state;
  assert_int_equal(caw_loop_post(c.loop, chain_on, &c), 0);
  for (int i = 1; i <= 4; i++) {
    assert_int_equal(caw_loop_timeout(c.loop), 0);
    caw_loop_run(c.loop, CAW_LOOP_NOWAIT);
    assert_int_equal(c.ran, i);
  }
  caw_loop_free(c.loop);
}

/* --- threads ------------------------------------------------------------- */

static void *ask_and_run(void *arg) {
  caw_loop *loop = arg;
  bool before = io_on_loop(loop);
  caw_loop_run(loop, CAW_LOOP_NOWAIT);
  return (void *)(intptr_t)(!before && io_on_loop(loop));
}

static void belongs_to_who_runs_it(void **state) {
  caw_loop *loop = kit_loop();
  pthread_t thread;
  void *ok;
  (void)state;
  assert_true(io_on_loop(loop));
  assert_true(caw_loop_is_current(loop));
  assert_int_equal(pthread_create(&thread, NULL, ask_and_run, loop), 0);
  pthread_join(thread, &ok);
  assert_non_null(ok);
  assert_false(io_on_loop(loop));
  assert_false(caw_loop_is_current(loop));
  caw_loop_run(loop, CAW_LOOP_NOWAIT);
  assert_true(io_on_loop(loop));
  caw_loop_free(loop);
}

static void *stop_later(void *loop) {
  usleep(5000);
  caw_loop_stop(loop);
  return NULL;
}

static void stop_from_thread(void **state) {
  caw_loop *loop = kit_loop();
  pthread_t thread;
  (void)state;
  io_loop_hold(loop);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(pthread_create(&thread, NULL, stop_later, loop), 0);
    assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 1);
    pthread_join(thread, NULL);
  }
  io_loop_release(loop);
  caw_loop_free(loop);
}

/* A loop that works leaves no thread and no descriptor behind. */
static void no_thread_no_leak(void **state) {
  int descriptors = kit_descriptors(), threads = kit_threads();
  (void)state;
  for (int i = 0; i < 3; i++) {
    caw_loop *loop = kit_loop();
    assert_int_equal(caw_loop_on_signal(loop, SIGUSR2, NULL, NULL), 0);
    kit_while(loop, 1);
    assert_int_equal(kit_threads(), threads);
    caw_loop_free(loop);
  }
  /* libuv keeps two descriptors for signals as long as the process lives. */
  assert_in_range(kit_descriptors(), descriptors, descriptors + 2);
}

/* --- signals ------------------------------------------------------------- */

static int signal_seen, signal_sum;

static void on_signal(int signum, void *user) {
  signal_seen = signum;
  signal_sum += *(int *)user;
}

static void signals(void **state) {
  static const int refused[] = {SIGKILL, SIGSTOP, 0, -1, 65, 1000};
  caw_loop *loop = kit_loop();
  int one = 1, ten = 10;
  (void)state;
  for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
    assert_int_equal(caw_loop_on_signal(loop, refused[i], on_signal, &one), CAW_EINVAL);
  assert_int_equal(caw_loop_on_signal(loop, SIGUSR1, on_signal, &one), 0);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0); /* not kept alive */
  raise(SIGUSR1);
  kit_count(loop, &signal_sum, 1);
  assert_int_equal(signal_seen, SIGUSR1);
  assert_int_equal(caw_loop_on_signal(loop, SIGUSR1, on_signal, &ten), 0); /* replaced */
  raise(SIGUSR1);
  kit_count(loop, &signal_sum, 2);
  assert_int_equal(signal_sum, 11);
  assert_int_equal(caw_loop_on_signal(loop, SIGUSR2, on_signal, &one), 0);
  assert_int_equal(caw_loop_on_signal(loop, SIGUSR1, NULL, NULL), 0);
  signal(SIGUSR1, SIG_IGN);
  raise(SIGUSR1);
  kit_while(loop, 5);
  assert_int_equal(signal_sum, 11);
  caw_loop_free(loop);
}

/* --- time ---------------------------------------------------------------- */

typedef struct times {
  caw_loop *loop;
  uint64_t first, second;
} times;

static void look_twice(void *arg) {
  times *t = arg;
  t->first = caw_loop_now(t->loop);
  uint64_t until = kit_clock() + 2 * KIT_MS;
  while (kit_clock() < until) {
  }
  t->second = caw_loop_now(t->loop);
}

static void one_time_per_turn(void **state) {
  times t = {.loop = kit_loop()};
  (void)state;
  uint64_t before = kit_clock();
  assert_int_equal(caw_loop_post(t.loop, look_twice, &t), 0);
  caw_loop_run(t.loop, CAW_LOOP_NOWAIT);
  assert_true(t.first >= before);
  assert_true(t.first == t.second);
  look_twice(&t); /* between runs there is no turn */
  assert_true(t.second >= t.first + 2 * KIT_MS);
  caw_loop_free(t.loop);
}

/* --- trouble ------------------------------------------------------------- */

static int use_everything(void) {
  caw_loop *loop;
  caw_timer *timer = NULL;
  io_timer inner[40];
  int n = 0, i = 0, rc = caw_loop_new(&loop);
  if (rc) return rc;
  rc = caw_timer_new(&timer, loop, add_one, &n);
  if (!rc) rc = caw_loop_post(loop, add_one, &n);
  if (!rc) rc = caw_loop_on_signal(loop, SIGUSR2, on_signal, &n);
  for (; !rc && i < 40; i++) {
    rc = io_timer_init(&inner[i], loop, note);
    if (rc) break;
    io_timer_start(&inner[i], io_now(loop) + KIT_MS); /* cannot fail */
  }
  while (i > 0) io_timer_finish(&inner[--i]);
  caw_timer_free(timer);
  caw_loop_free(loop);
  return rc;
}

static void out_of_memory(void **state) {
  (void)state;
  for (long n = 1;; n++) {
    kit_allocator(n);
    int rc = use_everything();
    bool refused = kit_refused();
    kit_allocator_done();
    assert_int_equal(rc, refused ? CAW_ENOMEM : 0);
    if (!refused) break;
    assert_in_range(n, 1, 100);
  }
}

static void out_of_descriptors(void **state) {
  struct rlimit old, tight;
  int rc = 0, made = 0;
  caw_loop *loops[64];
  (void)state;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  tight = old;
  tight.rlim_cur = (rlim_t)kit_descriptors() + 20;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
  while (made < 64 && !(rc = caw_loop_new(&loops[made]))) made++;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
  assert_int_equal(rc, CAW_ELIMIT);
  assert_true(made > 0);
  while (made) caw_loop_free(loops[--made]);
}

/* The first loop of a process takes descriptors that all loops share; however
 * few there are, it is an error and no more. Returns how many were too few. */
static int first_loop_with_few_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) _exit(100);
  rlim_t open = (rlim_t)kit_descriptors();
  for (int n = 0; n < 30; n++) {
    caw_loop *loop;
    limit.rlim_cur = open + (rlim_t)n;
    if (setrlimit(RLIMIT_NOFILE, &limit)) _exit(101);
    int rc = caw_loop_new(&loop);
    if (rc && rc != CAW_ELIMIT) _exit(102);
    if (rc) continue;
    caw_loop_free(loop);
    return n;
  }
  return 0;
}

static void first_loop_of_a_process(void **state) {
  (void)state;
  pid_t child = fork();
  if (child == 0) _exit(first_loop_with_few_descriptors());
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_in_range(WEXITSTATUS(status), 4, 12);
}

/* Nothing is started before use, so a process may fork and then use Caw. */
static void fork_before_use(void **state) {
  (void)state;
  pid_t child = fork();
  if (child == 0) {
    int n = 0;
    caw_loop *loop;
    if (caw_loop_new(&loop) || caw_loop_post(loop, add_one, &n)) _exit(1);
    caw_loop_run(loop, CAW_LOOP_DEFAULT);
    caw_loop_free(loop);
    _exit(n == 1 ? 0 : 2);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(first_loop_of_a_process), /* first: no loop was made before */
      cmocka_unit_test(fork_before_use),
      cmocka_unit_test(timers_in_order),
      cmocka_unit_test(timer_is_never_early),
      cmocka_unit_test(equal_times_are_fair),
      cmocka_unit_test(restart_waits_for_next_turn),
      cmocka_unit_test(stop_inside_callback),
      cmocka_unit_test(free_inside_own_callback),
      cmocka_unit_test(nothing_keeps_it_alive),
      cmocka_unit_test(stopping),
      cmocka_unit_test(runs_once_at_a_time),
      cmocka_unit_test(tasks_in_order),
      cmocka_unit_test(tasks_are_fair),
      cmocka_unit_test(costly_tasks_take_turns),
      cmocka_unit_test(posts_from_threads),
      cmocka_unit_test(free_while_posting),
      cmocka_unit_test(free_runs_leftover_posts),
      cmocka_unit_test(post_again_waits_for_next_turn),
      cmocka_unit_test(belongs_to_who_runs_it),
      cmocka_unit_test(stop_from_thread),
      cmocka_unit_test(no_thread_no_leak),
      cmocka_unit_test(signals),
      cmocka_unit_test(one_time_per_turn),
      cmocka_unit_test(out_of_memory),
      cmocka_unit_test(out_of_descriptors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
