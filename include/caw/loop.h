/*
 * caw_loop: the event loop that servers and channels run on, with timers,
 * signals and posts from other threads.
 *
 * A loop belongs to the thread that runs it. Every function here must be
 * called from that thread (debug builds assert it), except those marked "any
 * thread". Before the loop first runs, the thread that made it counts as its
 * thread. A loop creates no thread.
 *
 * A loop can run by itself (caw_loop_run) or be lent to another program's
 * loop:
 *
 *     for (;;) {
 *       struct pollfd p = {caw_loop_fd(loop), POLLIN, 0};
 *       poll(&p, 1, caw_loop_timeout(loop));
 *       caw_loop_run(loop, CAW_LOOP_NOWAIT);
 *     }
 */
#ifndef CAW_LOOP_H
#define CAW_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <caw/export.h>

CAW_BEGIN_DECLS

/* A number of milliseconds that does not come, for options. */
#define CAW_NEVER UINT64_MAX

typedef struct caw_loop caw_loop;
typedef struct caw_timer caw_timer;

typedef enum caw_loop_mode {
  CAW_LOOP_DEFAULT = 0, /* until caw_loop_stop, or nothing is left to wait for */
  CAW_LOOP_ONCE = 1,    /* wait for events once, handle them, return */
  CAW_LOOP_NOWAIT = 2   /* handle what is ready now, return */
} caw_loop_mode;

/* Makes a loop in *out. Returns 0, CAW_ENOMEM or CAW_ELIMIT (descriptors).
 * Any thread. Since 0.1. */
CAW_API int caw_loop_new(caw_loop **out);

/*
 * Frees a loop that is not running; NULL is fine. Servers and channels on it
 * must have been freed; what is still posted to it is run first. Since 0.1.
 */
CAW_API void caw_loop_free(caw_loop *loop);

/*
 * Runs the loop on the calling thread, which becomes the loop's thread.
 * Returns 1 when things are left to wait for, 0 when not, CAW_ESTATE when the
 * loop is running already. Since 0.1.
 */
CAW_API int caw_loop_run(caw_loop *loop, caw_loop_mode mode);

/* Makes a running caw_loop_run return soon; before a run, makes the next
 * CAW_LOOP_DEFAULT or CAW_LOOP_ONCE return at once. Any thread. Since 0.1. */
CAW_API void caw_loop_stop(caw_loop *loop);

/*
 * The descriptor that becomes readable when the loop has something to do; the
 * same for the loop's whole life. For poll, epoll and the like; never read it.
 * Since 0.1.
 */
CAW_API int caw_loop_fd(const caw_loop *loop);

/*
 * How long a wait on caw_loop_fd may last, in milliseconds: -1 for ever, 0
 * when the loop must run now. Reads the clock, so ask before every wait.
 * Since 0.1.
 */
CAW_API int caw_loop_timeout(caw_loop *loop);

/*
 * Has `fn(arg)` called once on the loop's thread, soon, in the order of the
 * posts of one thread; never inside this call. Returns 0, CAW_ENOMEM.
 * Any thread. Since 0.1.
 */
CAW_API int caw_loop_post(caw_loop *loop, void (*fn)(void *arg), void *arg);

/* Is the calling thread the loop's? Any thread. Since 0.1. */
CAW_API bool caw_loop_is_current(const caw_loop *loop);

/* The loop's time in nanoseconds from an unnamed start, never going back; read
 * once per turn. Since 0.1. */
CAW_API uint64_t caw_loop_now(const caw_loop *loop);

/*
 * Makes a timer in *out that calls `fn(user)` on the loop's thread when it
 * expires. It does not run yet and does not keep the loop alive while it is
 * stopped. Returns 0, CAW_ENOMEM. Since 0.1.
 */
CAW_API int caw_timer_new(caw_timer **out, caw_loop *loop, void (*fn)(void *user), void *user);

/*
 * Lets the timer expire once, `ms` milliseconds from now (0: in the next turn
 * of the loop); a running timer is set anew. Never fails. Since 0.1.
 */
CAW_API void caw_timer_start(caw_timer *timer, uint64_t ms);

/* Stops the timer: it will not fire. Since 0.1. */
CAW_API void caw_timer_stop(caw_timer *timer);

/* Stops and frees the timer, also from inside its own callback; NULL is fine.
 * Since 0.1. */
CAW_API void caw_timer_free(caw_timer *timer);

/*
 * Has `fn(signum, user)` called on the loop's thread whenever the process gets
 * the signal `signum` (SIGTERM, SIGINT, SIGHUP, ...), until the loop is freed.
 * One function per signal and loop: a second call replaces the first, a NULL
 * `fn` removes it. The watch does not keep the loop alive. Returns 0,
 * CAW_EINVAL for a signal that cannot be caught, CAW_ENOMEM. Since 0.1.
 */
CAW_API int caw_loop_on_signal(caw_loop *loop, int signum, void (*fn)(int signum, void *user),
                               void *user);

CAW_END_DECLS

#endif
