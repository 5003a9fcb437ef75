/*
 * The loop of caw/loop.h and io/loop.h, on libuv. libuv is asked for one thing
 * only, the wait for descriptors and signals with their callbacks; timers,
 * posts, tasks, the clock and the question of what keeps a loop alive are
 * answered here, so that they cost no allocation and can be freed at once.
 */
#include "io/loop.h"

#include "base/trace.h"

#include "base/arena.h"
#include "base/cells.h"
#include "io/sys.h"
#include "io/watch.h"

#include <assert.h>
#include <caw/alloc.h>
#include <caw/status.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* Tasks per turn. A task is a connection's work for the turn (some 5 to 50 us),
 * so that input and timers are looked at again after some tens of milliseconds
 * even when tasks queue each other without end. */
enum { TASKS_PER_TURN = 1000 };

/* Costly tasks per turn: some 4 ms. */
enum { COSTLY_PER_TURN = 4 };

/* One recv's room. 64 KiB is HTTP/2's first connection window. */
enum { SCRATCH = 65536 };

#define NS_PER_MS UINT64_C(1000000)

/* A look at the descriptors that took longer was a wait for them. */
#define WAITED UINT64_C(50000)

/* A timer that is so late has met a standstill, and the least that is given after one. */
#define STANDSTILL       (100 * NS_PER_MS)
#define AFTER_STANDSTILL (1000 * NS_PER_MS)

typedef struct signal_watch {
  uv_signal_t uv;
  struct signal_watch *next;
  void (*fn)(int signum, void *user);
  void *user;
} signal_watch;

struct caw_loop {
  uv_loop_t uv;
  uv_async_t wake;  /* always active: without a referenced handle uv_run does not poll */
  uv_timer_t alarm; /* ends the wait when the first timer is due */
  bool alarm_rang;
  unsigned handles; /* the fixed ones that have been initialised */

  heap timers;
  size_t timer_places; /* io_timer_init minus io_timer_finish; room in the heap for all */
  size_t holds;        /* what keeps CAW_LOOP_DEFAULT going */
  list tasks;
  list costly;
  signal_watch *signals;
  uint64_t now;
  uint64_t began;  /* the first `now` of this turn; 0: there was none yet */
  uint64_t before; /* that of an earlier one, the last that had one */
  uint64_t waits;  /* when this turn began to wait for its events; 0: it did not */
  bool now_fresh;  /* `now` was read in this turn */
  bool stale;      /* watches have changed since libuv told the kernel */

  atomic_uintptr_t owner;   /* a mark of the loop's thread */
  _Atomic(io_post *) posts; /* newest first */
  atomic_uint posting;      /* threads inside io_loop_post or caw_loop_stop */
  atomic_bool running, stop;
  atomic_bool asleep; /* a post must wake the loop */
  cells cells;
  caw_arena message; /* io_message_arena */
  uint8_t scratch[SCRATCH];
};

/* --- threads ------------------------------------------------------------- */

static uintptr_t this_thread(void) {
  static _Thread_local char mark; /* its address differs in every thread */
  return (uintptr_t)&mark;
}

bool io_on_loop(const caw_loop *loop) {
  return atomic_load_explicit(&loop->owner, memory_order_relaxed) == this_thread();
}

void io_loop_adopt(caw_loop *loop) {
  atomic_store_explicit(&loop->owner, this_thread(), memory_order_relaxed);
}

/* --- time and timers ----------------------------------------------------- */

uint64_t io_now(const caw_loop *loop) {
  io_assert_on_loop(loop);
  if (loop->now_fresh) return loop->now;
  caw_loop *l = (caw_loop *)loop; /* the cache is no part of what const promises */
  l->now = io_sys_clock();
  /* Between runs there is no turn, and the last reading may be hours old. */
  l->now_fresh = atomic_load_explicit(&l->running, memory_order_relaxed);
  if (l->now_fresh && !l->began) l->began = l->now;
  return l->now;
}

uint64_t io_silent_until(const caw_loop *loop) {
  io_now(loop); /* the turn has begun */
  bool waited = loop->waits && loop->began > loop->waits + WAITED;
  return waited ? loop->began : loop->before;
}

bool io_is_of_turn(const caw_loop *loop, uint64_t at) {
  return loop->began && at >= loop->began;
}

void io_time_passed(caw_loop *loop) {
  loop->now_fresh = false;
}

bool caw_loop_is_current(const caw_loop *loop) {
  return io_on_loop(loop);
}

uint64_t caw_loop_now(const caw_loop *loop) {
  return io_now(loop);
}

int io_timer_init(io_timer *t, caw_loop *loop, void (*fire)(io_timer *timer)) {
  io_assert_on_loop(loop);
  /* heap_reserve counts from the timers that run, we from all that might. */
  if (heap_reserve(&loop->timers, loop->timer_places + 1 - loop->timers.len)) return CAW_ENOMEM;
  loop->timer_places++;
  heap_node_init(&t->node);
  t->loop = loop;
  t->fire = fire;
  return 0;
}

void io_timer_finish(io_timer *t) {
  io_timer_stop(t);
  t->loop->timer_places--;
}

void io_timer_start(io_timer *t, uint64_t at_ns) {
  caw_loop *loop = t->loop;
  uint64_t now = io_now(loop);
  heap_remove(&loop->timers, &t->node);
  /* What is due already fires in the next turn: a timer that sets itself anew
   * in its callback must not keep this one from ending. */
  heap_insert(&loop->timers, &t->node, at_ns > now ? at_ns : now + 1);
}

void io_timer_stop(io_timer *t) {
  io_assert_on_loop(t->loop);
  heap_remove(&t->loop->timers, &t->node);
}

bool io_timer_excuses(io_timer *t, uint64_t most, bool *excused) {
  uint64_t now = io_now(t->loop), late = now - t->node.key;
  *excused = !*excused && late >= STANDSTILL;
  if (!*excused) return false;
  uint64_t more = late > AFTER_STANDSTILL ? late : AFTER_STANDSTILL;
  io_timer_start(t, now + (more < most ? more : most));
  return true;
}

static void run_timers(caw_loop *loop) {
  if (!loop->timers.len) return;
  uint64_t now = io_now(loop);
  heap_node *n;
  while ((n = heap_top(&loop->timers)) && n->key <= now) {
    heap_remove(&loop->timers, n);
    io_timer *t = LIST_ENTRY(n, io_timer, node);
    t->fire(t);
  }
}

struct caw_timer {
  io_timer base;
  void (*fn)(void *user);
  void *user;
};

static void timer_fired(io_timer *base) {
  caw_timer *t = (caw_timer *)base;
  io_loop_release(base->loop);
  t->fn(t->user); /* may free t */
}

int caw_timer_new(caw_timer **out, caw_loop *loop, void (*fn)(void *user), void *user) {
  caw_timer *t = caw_malloc(sizeof(*t));
  if (!t) return CAW_ENOMEM;
  int rc = io_timer_init(&t->base, loop, timer_fired);
  if (rc) {
    caw_free(t);
    return rc;
  }
  t->fn = fn;
  t->user = user;
  *out = t;
  return 0;
}

void caw_timer_start(caw_timer *t, uint64_t ms) {
  if (!heap_linked(&t->base.node)) io_loop_hold(t->base.loop);
  io_timer_start(&t->base, io_after(t->base.loop, ms));
}

void caw_timer_stop(caw_timer *t) {
  if (heap_linked(&t->base.node)) io_loop_release(t->base.loop);
  io_timer_stop(&t->base);
}

void caw_timer_free(caw_timer *t) {
  if (!t) return;
  caw_timer_stop(t);
  io_timer_finish(&t->base);
  caw_free(t);
}

/* Milliseconds until the first timer is due, rounded up, by a fresh reading of
 * the clock; -1 without timers. */
static int timer_wait(caw_loop *loop) {
  const heap_node *first = heap_top(&loop->timers);
  if (!first) return -1;
  uint64_t now = loop->waits = io_sys_clock();
  if (first->key <= now) return 0;
  uint64_t ms = (first->key - now - 1) / NS_PER_MS + 1;
  return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* --- tasks and posts ----------------------------------------------------- */

void io_defer(caw_loop *loop, io_task *task) {
  io_assert_on_loop(loop);
  if (!list_linked(&task->node)) list_push_back(&loop->tasks, &task->node);
}

void io_defer_costly(caw_loop *loop, io_task *task) {
  io_assert_on_loop(loop);
  if (!list_linked(&task->node)) list_push_back(&loop->costly, &task->node);
}

static void run_some(list *tasks, int most) {
  for (int left = most; left > 0; left--) {
    list *node = list_pop(tasks);
    if (!node) return;
    io_task *task = LIST_ENTRY(node, io_task, node);
    task->run(task); /* may free it */
  }
}

/* Costly ones first: what they lead to is done in the same turn. */
static void run_tasks(caw_loop *loop) {
  run_some(&loop->costly, COSTLY_PER_TURN);
  run_some(&loop->tasks, TASKS_PER_TURN);
}

static bool tasks_wait(const caw_loop *loop) {
  return !list_empty(&loop->tasks) || !list_empty(&loop->costly);
}

/* Wakes the loop unless it is known to look at the posts before it waits. The
 * pair of a post and `asleep` is ordered by sequential consistency on both
 * sides: either the loop sees the post, or we see that it sleeps. */
static void wake(caw_loop *loop) {
  if (atomic_load(&loop->asleep)) uv_async_send(&loop->wake);
}

void io_loop_post(caw_loop *loop, io_post *post, void (*run)(io_post *post)) {
  post->run = run;
  /* The post may run, and the loop end, before this function does:
   * caw_loop_free waits for `posting`. */
  atomic_fetch_add(&loop->posting, 1);
  io_post *head = atomic_load_explicit(&loop->posts, memory_order_relaxed);
  do post->next = head;
  while (!atomic_compare_exchange_weak(&loop->posts, &head, post));
  if (!head) wake(loop); /* who made it non-empty has woken the loop */
  atomic_fetch_sub(&loop->posting, 1);
}

static bool posts_wait(caw_loop *loop) {
  return atomic_load(&loop->posts) != NULL;
}

/* Runs the posts that are there now; those that come meanwhile wait for the
 * next turn. */
void io_loop_run_posts(caw_loop *loop) {
  if (!atomic_load_explicit(&loop->posts, memory_order_relaxed)) return;
  io_post *p = atomic_exchange(&loop->posts, NULL), *first = NULL;
  while (p) {
    io_post *next = p->next;
    p->next = first;
    first = p;
    p = next;
  }
  while (first) {
    p = first;
    first = p->next;
    p->run(p); /* may free it */
  }
}

typedef struct posted_call {
  io_post post;
  void (*fn)(void *arg);
  void *arg;
} posted_call;

static void run_posted_call(io_post *post) {
  posted_call *c = (posted_call *)post;
  void (*fn)(void *) = c->fn;
  void *arg = c->arg;
  caw_free(c);
  fn(arg);
}

int caw_loop_post(caw_loop *loop, void (*fn)(void *arg), void *arg) {
  posted_call *c = caw_malloc(sizeof(*c));
  if (!c) return CAW_ENOMEM;
  c->fn = fn;
  c->arg = arg;
  io_loop_post(loop, &c->post, run_posted_call);
  return 0;
}

/* --- signals ------------------------------------------------------------- */

static void signal_came(uv_signal_t *uv, int signum) {
  signal_watch *w = uv->data;
  if (w->fn) w->fn(signum, w->user);
}

static void signal_closed(uv_handle_t *uv) {
  caw_free(uv->data);
}

static void signal_remove(caw_loop *loop, signal_watch **at) {
  signal_watch *w = *at;
  *at = w->next;
  w->fn = NULL;
  uv_close((uv_handle_t *)&w->uv, signal_closed);
  loop->stale = true;
}

static int signal_add(caw_loop *loop, int signum, void (*fn)(int, void *), void *user) {
  signal_watch *w = caw_calloc(1, sizeof(*w));
  if (!w) return CAW_ENOMEM;
  int rc = uv_signal_init(&loop->uv, &w->uv);
  if (rc) {
    caw_free(w);
    return io_sys_error(-rc);
  }
  w->uv.data = w;
  w->fn = fn;
  w->user = user;
  w->next = loop->signals;
  loop->signals = w;
  loop->stale = true;
  rc = uv_signal_start(&w->uv, signal_came, signum);
  if (rc) signal_remove(loop, &loop->signals);
  return rc ? io_sys_error(-rc) : 0;
}

int caw_loop_on_signal(caw_loop *loop, int signum, void (*fn)(int signum, void *user), void *user) {
  io_assert_on_loop(loop);
  if (signum <= 0 || signum >= NSIG || signum == SIGKILL || signum == SIGSTOP) return CAW_EINVAL;
  for (signal_watch **at = &loop->signals; *at; at = &(*at)->next) {
    if ((*at)->uv.signum != signum) continue;
    (*at)->fn = fn;
    (*at)->user = user;
    if (!fn) signal_remove(loop, at);
    return 0;
  }
  return fn ? signal_add(loop, signum, fn, user) : 0;
}

/* --- descriptors --------------------------------------------------------- */

static void watch_ready(uv_poll_t *poll, int status, int events) {
  io_watch *w = (io_watch *)poll;
  /* libuv stops a watch whose descriptor reports POLLERR. */
  if (status < 0) {
    w->mask = 0;
    w->loop->stale = true;
  }
  w->ready(w, events, status < 0);
}

int io_watch_init(io_watch *w, caw_loop *loop, int fd,
                  void (*ready)(io_watch *w, int events, bool broken)) {
  io_assert_on_loop(loop);
  w->loop = loop;
  w->mask = 0;
  w->ready = ready;
  w->closed = NULL;
  int rc = uv_poll_init(&loop->uv, &w->poll, fd);
  return rc ? io_sys_error(-rc) : 0;
}

void io_watch_set(io_watch *w, int mask) {
  if (mask == w->mask) return;
  w->mask = mask;
  w->loop->stale = true;
  /* Both can only fail for a handle that is closing or a foreign watcher of
   * the same descriptor: our own bugs. */
  int rc = mask ? uv_poll_start(&w->poll, mask, watch_ready) : uv_poll_stop(&w->poll);
  assert(rc == 0);
  (void)rc;
}

static void watch_closed(uv_handle_t *handle) {
  io_watch *w = (io_watch *)handle;
  w->closed(w);
}

void io_watch_close(io_watch *w, void (*closed)(io_watch *w)) {
  io_assert_on_loop(w->loop);
  w->closed = closed;
  w->loop->stale = true; /* `closed` wants a turn */
  uv_close((uv_handle_t *)&w->poll, watch_closed);
}

uint8_t *io_scratch(caw_loop *loop, size_t *len) {
  io_assert_on_loop(loop);
  *len = sizeof(loop->scratch);
  return loop->scratch;
}

caw_arena *io_message_arena(caw_loop *loop) {
  io_assert_on_loop(loop);
  return &loop->message;
}

struct cells *io_cells(caw_loop *loop) {
  io_assert_on_loop(loop);
  return &loop->cells;
}

/* --- running ------------------------------------------------------------- */

void io_loop_hold(caw_loop *loop) {
  io_assert_on_loop(loop);
  loop->holds++;
}

void io_loop_release(caw_loop *loop) {
  io_assert_on_loop(loop);
  assert(loop->holds > 0);
  loop->holds--;
}

static bool alive(caw_loop *loop) {
  return loop->holds > 0 || tasks_wait(loop) || posts_wait(loop);
}

/* Some versions of libuv run timers before they wait: an alarm that is due by then, when
 * the thread did not get the processor in time, must keep uv_run from waiting for ever. */
static void alarm_rang(uv_timer_t *alarm) {
  ((caw_loop *)alarm->data)->alarm_rang = true;
  uv_stop(alarm->loop);
}

/* Has something happened that ends a wait? Not when the alarm rang early: it
 * counts whole milliseconds of a coarse clock. */
static bool woken(caw_loop *loop) {
  const heap_node *first = heap_top(&loop->timers);
  return !loop->alarm_rang || tasks_wait(loop) || posts_wait(loop) || atomic_load(&loop->stop) ||
         !first || first->key <= io_now(loop);
}

/* Waits for descriptors, signals, posts or the first timer, and runs the
 * callbacks of the former two. */
static void wait_input(caw_loop *loop, bool may_wait) {
  atomic_store(&loop->asleep, true);
  do {
    int ms = may_wait ? timer_wait(loop) : 0;
    if (posts_wait(loop) || tasks_wait(loop) || atomic_load(&loop->stop)) ms = 0;
    loop->alarm_rang = false;
    if (loop->began) loop->before = loop->began;
    loop->began = 0;
    loop->now_fresh = false;
    if (ms > 0) {
      uv_update_time(&loop->uv); /* uv_timer_start counts from libuv's cached time */
      uv_timer_start(&loop->alarm, alarm_rang, (uint64_t)ms, 0);
    }
    loop->stale = false;
    uv_run(&loop->uv, ms ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    uv_timer_stop(&loop->alarm);
  } while (may_wait && !woken(loop));
  atomic_store(&loop->asleep, false);
}

static void turn(caw_loop *loop, bool may_wait) {
  wait_input(loop, may_wait);
  io_loop_run_posts(loop);
  run_timers(loop);
  run_tasks(loop);
  loop->waits = 0;
}

int caw_loop_run(caw_loop *loop, caw_loop_mode mode) {
  if (atomic_exchange(&loop->running, true)) return CAW_ESTATE;
  io_loop_adopt(loop);
  loop->now_fresh = false;
  atomic_store(&loop->asleep, false);
  if (mode == CAW_LOOP_NOWAIT) {
    turn(loop, false);
  } else {
    /* What was queued between the runs goes first, without a look at the
     * descriptors. */
    bool stopped = atomic_exchange(&loop->stop, false);
    bool queued = tasks_wait(loop);
    if (!stopped) run_tasks(loop);
    while (!stopped && (mode == CAW_LOOP_ONCE || alive(loop))) {
      turn(loop, mode == CAW_LOOP_DEFAULT || !queued); /* those were the events of ONCE */
      stopped = atomic_exchange(&loop->stop, false) || mode == CAW_LOOP_ONCE;
    }
  }
  /* From here on a post must make the descriptor readable. */
  atomic_store(&loop->asleep, true);
  if (posts_wait(loop)) uv_async_send(&loop->wake);
  loop->now_fresh = false;
  int left = alive(loop);
  atomic_store(&loop->running, false);
  return left;
}

void caw_loop_stop(caw_loop *loop) {
  atomic_fetch_add(&loop->posting, 1);
  atomic_store(&loop->stop, true);
  wake(loop);
  atomic_fetch_sub(&loop->posting, 1);
}

int caw_loop_fd(const caw_loop *loop) {
  return uv_backend_fd(&loop->uv);
}

int caw_loop_timeout(caw_loop *loop) {
  io_assert_on_loop(loop);
  /* libuv registers a changed watch with the kernel only when it runs. */
  if (loop->stale || tasks_wait(loop) || posts_wait(loop)) return 0;
  return timer_wait(loop);
}

/* --- life ---------------------------------------------------------------- */

static void woke(uv_async_t *async) {
  (void)async; /* the posts are taken after the poll */
}

/* Closes the loop's handles and lets libuv call what close callbacks wait. */
static void loop_close(caw_loop *loop) {
  while (loop->signals) signal_remove(loop, &loop->signals);
  if (loop->handles > 1) uv_close((uv_handle_t *)&loop->alarm, NULL);
  if (loop->handles > 0) uv_close((uv_handle_t *)&loop->wake, NULL);
  /* A close callback may close another handle; one that is open still, because
   * its owner outlives the loop, must not make this endless. */
  for (int i = 0; i < 10 && uv_run(&loop->uv, UV_RUN_NOWAIT); i++) {
  }
  int rc = uv_loop_close(&loop->uv);
  assert(rc == 0 && "a socket, listener or look-up outlives its loop");
  (void)rc;
  heap_finish(&loop->timers);
  cells_finish(&loop->cells);
  arena_finish(&loop->message);
  caw_free(loop);
}

/* libuv aborts when it finds no descriptors for the pipe that all its loops
 * share; so that many as a loop may take are tried first. */
enum { LOOP_PIPES = 4 };

static int try_descriptors(void) {
  int fds[LOOP_PIPES][2], n = 0, rc = 0;
  while (n < LOOP_PIPES && !rc) {
    if (pipe2(fds[n], O_CLOEXEC)) rc = io_sys_error(errno);
    else n++;
  }
  while (n-- > 0) {
    close(fds[n][0]);
    close(fds[n][1]);
  }
  return rc;
}

int caw_loop_new(caw_loop **out) {
  trace_begin();
  int rc = try_descriptors();
  if (rc) return rc;
  caw_loop *loop = caw_malloc(sizeof(*loop));
  if (!loop) return CAW_ENOMEM;
  memset(loop, 0, offsetof(caw_loop, scratch)); /* untouched scratch costs no memory */
  rc = uv_loop_init(&loop->uv);
  if (rc) {
    caw_free(loop);
    return io_sys_error(-rc);
  }
  list_init(&loop->tasks);
  arena_init(&loop->message, NULL, 0, 0);
  list_init(&loop->costly);
  atomic_init(&loop->owner, this_thread());
  atomic_init(&loop->posts, NULL);
  atomic_init(&loop->posting, 0);
  atomic_init(&loop->running, false);
  atomic_init(&loop->stop, false);
  atomic_init(&loop->asleep, true);
  if (!(rc = uv_async_init(&loop->uv, &loop->wake, woke))) loop->handles++;
  if (!rc && !(rc = uv_timer_init(&loop->uv, &loop->alarm))) loop->handles++;
  if (rc) {
    loop_close(loop);
    return io_sys_error(-rc);
  }
  loop->alarm.data = loop;
  /* So that the descriptor wakes for posts before the first run. */
  uv_run(&loop->uv, UV_RUN_NOWAIT);
  *out = loop;
  return 0;
}

void caw_loop_free(caw_loop *loop) {
  if (!loop) return;
  assert(!atomic_load(&loop->running));
  io_loop_adopt(loop);
  while (posts_wait(loop) || tasks_wait(loop) || atomic_load(&loop->posting)) {
    io_loop_run_posts(loop);
    run_tasks(loop);
    if (atomic_load(&loop->posting)) sched_yield();
  }
  loop_close(loop);
}
