/*
 * Runs a caw_loop inside a libevent base (2.x). Header only: it needs
 * libevent's header and library in your program, and is compiled into it.
 *
 *     caw_libevent *adapter;
 *     caw_libevent_attach(&adapter, loop, base);
 *     ... make servers and channels on `loop` ...
 *     caw_libevent_touch(adapter);
 *     event_base_dispatch(base);
 *     ... free them ...
 *     caw_libevent_detach(adapter);
 *     caw_loop_free(loop);
 *
 * Callbacks of Caw come from inside the base's loop. libevent has no hook that
 * runs before each wait, so it must be told when the program has called Caw from
 * elsewhere than one of Caw's own callbacks: caw_libevent_touch. Once after
 * several calls is enough; "any thread" functions, called from other threads,
 * need none.
 */
#ifndef CAW_ADAPTERS_LIBEVENT_H
#define CAW_ADAPTERS_LIBEVENT_H

#include <caw/alloc.h>
#include <caw/loop.h>
#include <caw/status.h>
#include <event2/event.h>

CAW_BEGIN_DECLS

typedef struct caw_libevent {
  caw_loop *loop;
  struct event *readable; /* the loop's descriptor */
  struct event *timer;    /* the loop's time-out */
  int running;            /* a callback of Caw's may be further up on the stack */
  int ended;              /* it was detached by one: caw_libevent_run frees it */
} caw_libevent;

/* The base asks Caw again, in its next round, what there is to do. Also from
 * inside callbacks of libevent. The loop's thread. Since 0.1. */
static inline void caw_libevent_touch(caw_libevent *a) {
  event_active(a->timer, EV_TIMEOUT, 0);
}

static inline void caw_libevent_run(evutil_socket_t fd, short events, void *adapter) {
  caw_libevent *a = (caw_libevent *)adapter;
  (void)fd;
  (void)events;
  a->running = 1;
  caw_loop_run(a->loop, CAW_LOOP_NOWAIT);
  a->running = 0;
  if (a->ended) {
    caw_free(a);
    return;
  }
  int ms = caw_loop_timeout(a->loop);
  if (ms < 0) {
    event_del(a->timer);
  } else if (ms == 0) {
    caw_libevent_touch(a);
  } else {
    struct timeval time = {ms / 1000, ms % 1000 * 1000};
    /* Without memory for it there is nothing to wait for: the next round tries
     * again. */
    if (event_add(a->timer, &time)) caw_libevent_touch(a);
  }
}

/* Ends it; before `loop` and the base are freed. Also from inside a callback of
 * Caw's: `loop` may be freed once that has returned to libevent. NULL is fine.
 * Since 0.1. */
static inline void caw_libevent_detach(caw_libevent *a) {
  if (!a) return;
  if (a->readable) event_free(a->readable);
  if (a->timer) event_free(a->timer);
  a->ended = 1;
  if (!a->running) caw_free(a);
}

/*
 * Lets `base` run `loop` from now on. Both belong to the calling thread; `loop`
 * must not be run otherwise meanwhile. Returns 0 or CAW_ENOMEM. Since 0.1.
 */
static inline int caw_libevent_attach(caw_libevent **out, caw_loop *loop, struct event_base *base) {
  caw_libevent *a = (caw_libevent *)caw_calloc(1, sizeof(*a));
  if (!a) return CAW_ENOMEM;
  a->loop = loop;
  a->readable = event_new(base, caw_loop_fd(loop), EV_READ | EV_PERSIST, caw_libevent_run, a);
  a->timer = event_new(base, -1, 0, caw_libevent_run, a);
  if (!a->readable || !a->timer || event_add(a->readable, NULL)) {
    caw_libevent_detach(a);
    return CAW_ENOMEM;
  }
  caw_libevent_touch(a);
  *out = a;
  return 0;
}

CAW_END_DECLS

#endif
