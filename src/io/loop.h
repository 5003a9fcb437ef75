/*
 * The inside of caw_loop, for the library: intrusive timers, tasks and posts
 * that cost no allocation and cannot fail. Public face: caw/loop.h.
 *
 * A turn of the loop: the wait, then input, posts, the timers that are due, and
 * last the tasks that these deferred (user code runs there, and each
 * connection's one write). Input comes before timers so that a loop that was
 * held up does not declare a peer dead whose bytes are there already.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "base/arena.h"
#include "base/heap.h"
#include "base/list.h"

#include <assert.h>
#include <caw/loop.h>
#include <stdbool.h>
#include <stddef.h>

/* A timer inside its owner's struct. It may be freed as soon as it is stopped
 * or while its callback runs. */
typedef struct io_timer {
  heap_node node;
  caw_loop *loop;
  void (*fire)(struct io_timer *timer);
} io_timer;

/* Reserves the timer's place in the loop, so that starting it cannot fail.
 * Returns 0 or CAW_ENOMEM. */
int io_timer_init(io_timer *t, caw_loop *loop, void (*fire)(io_timer *timer));
/* Stops the timer and gives its place back. Once per io_timer_init. */
void io_timer_finish(io_timer *t);
/* Fires once when the loop's time reaches `at_ns` (io_now's scale), never in
 * the turn that starts it. Equal times fire in the order of their starts. */
void io_timer_start(io_timer *t, uint64_t at_ns);
void io_timer_stop(io_timer *t);
/* In the timer's callback, when what a peer has time for did not come. Is the timer so late that
 * the process, or the machine, has stood still? Then that time was not the peer's, and what it
 * sent may not have been looked at: the timer is started again, for as long as it was late, but at
 * least a second, and at most `most`. Not twice in a row, so that a loop that is always late keeps
 * nobody for ever: the caller keeps `*excused`, false at first, from one call to the next. */
bool io_timer_excuses(io_timer *t, uint64_t most, bool *excused);
static inline bool io_timer_runs(const io_timer *t) {
  return heap_linked(&t->node);
}

/* Work for later in this turn, on the loop's thread. */
typedef struct io_task {
  list node;
  void (*run)(struct io_task *task);
} io_task;

static inline void io_task_init(io_task *t, void (*run)(io_task *task)) {
  list_init(&t->node);
  t->run = run;
}
/* Queues the task behind those that wait; nothing happens when it is queued
 * already. A task that queues itself or others runs them in the same turn, up
 * to a bound per turn (fairness), then in the next one without waiting. */
void io_defer(caw_loop *loop, io_task *task);
static inline void io_task_cancel(io_task *t) {
  list_remove(&t->node);
}
/* The same for work of about a millisecond (a step of a TLS handshake): few of these
 * are done in a turn, in their order, so that a thousand new connections do not make
 * those that are there wait. */
void io_defer_costly(caw_loop *loop, io_task *task);

/* Work from any thread, in an intrusive queue: no allocation, no failure, in
 * order per posting thread. The poster keeps the memory alive until it ran. */
typedef struct io_post {
  struct io_post *next;
  void (*run)(struct io_post *post);
} io_post;

/* Any thread. */
void io_loop_post(caw_loop *loop, io_post *post, void (*run)(io_post *post));

/* Is the calling thread the loop's thread? (True also on the thread that made
 * a loop that never ran.) */
bool io_on_loop(const caw_loop *loop);

/* The calling thread becomes the loop's, as it does by running it. No other
 * thread may be using the loop. */
void io_loop_adopt(caw_loop *loop);

/* For the top of functions that belong to the loop's thread. */
#define io_assert_on_loop(loop) assert(io_on_loop(loop))

/* Keeps CAW_LOOP_DEFAULT from returning while > 0. Loop's thread. */
void io_loop_hold(caw_loop *loop);
void io_loop_release(caw_loop *loop);

/* The loop's time, nanoseconds, cached for the turn, or since bytes came in it, which no
 * reading may be before; between runs it is read anew each time. Loop's thread. */
uint64_t io_now(const caw_loop *loop);

/* Time has passed in this turn: the next reading is new. Loop's thread. */
void io_time_passed(caw_loop *loop);

/* Until when a socket was silent that has events in this turn, and was watched and had nothing left
 * to read in the one before: if the loop has waited, until it was woken; otherwise what is there
 * may have come while the loop was at work for that turn. Loop's thread. */
uint64_t io_silent_until(const caw_loop *loop);
/* Was it in this turn that io_now said so? Loop's thread. */
bool io_is_of_turn(const caw_loop *loop, uint64_t at);

/* `ms` milliseconds after the loop's time, at most UINT64_MAX. */
static inline uint64_t io_after(const caw_loop *loop, uint64_t ms) {
  uint64_t now = io_now(loop), most = (UINT64_MAX - now) / 1000000;
  return now + (ms < most ? ms : most) * 1000000;
}

/* Runs the posts that are waiting, now. Loop's thread. */
void io_loop_run_posts(caw_loop *loop);

/* The loop's shared receive buffer, for use within one callback. */
uint8_t *io_scratch(caw_loop *loop, size_t *len);

/* For one received message, while its callback runs: the loop's calls share it, for
 * callbacks do not nest. Reset it afterwards. Loop's thread. */
caw_arena *io_message_arena(caw_loop *loop);

/* The loop's cells; its thread's, while it lives. */
struct cells *io_cells(caw_loop *loop);

#endif
