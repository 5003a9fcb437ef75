/*
 * Runs a caw_loop inside a libuv loop (1.x). Header only: it needs libuv's
 * header and library in your program, and is compiled into it. libuv's header
 * wants -std=gnu11 or _POSIX_C_SOURCE 200809L.
 *
 *     caw_uv *adapter;
 *     caw_uv_attach(&adapter, loop, uv_default_loop());
 *     ... make servers and channels on `loop` ...
 *     uv_run(uv_default_loop(), UV_RUN_DEFAULT);
 *     ... free them ...
 *     caw_uv_detach(adapter);
 *     uv_run(uv_default_loop(), UV_RUN_DEFAULT);  // closes the adapter's handles
 *     caw_loop_free(loop);
 *
 * Callbacks of Caw come from inside uv_run. While it is attached the adapter
 * keeps uv_run going, as an open handle does.
 */
#ifndef CAW_ADAPTERS_LIBUV_H
#define CAW_ADAPTERS_LIBUV_H

#include <caw/alloc.h>
#include <caw/loop.h>
#include <caw/status.h>
#include <uv.h>

CAW_BEGIN_DECLS

typedef struct caw_uv {
  caw_loop *loop;
  uv_poll_t poll;       /* the loop's descriptor */
  uv_timer_t timer;     /* the loop's time-out */
  uv_prepare_t prepare; /* asks for it before each wait */
  int open;             /* handles that are not closed */
} caw_uv;

static inline void caw_uv_on_poll(uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  caw_loop_run(((caw_uv *)poll->data)->loop, CAW_LOOP_NOWAIT);
}

static inline void caw_uv_on_timer(uv_timer_t *timer) {
  caw_loop_run(((caw_uv *)timer->data)->loop, CAW_LOOP_NOWAIT);
}

static inline void caw_uv_on_prepare(uv_prepare_t *prepare) {
  caw_uv *a = (caw_uv *)prepare->data;
  int ms = caw_loop_timeout(a->loop);
  if (ms < 0) {
    uv_timer_stop(&a->timer);
    return;
  }
  uv_update_time(prepare->loop); /* timers count from the time that libuv has read last */
  uv_timer_start(&a->timer, caw_uv_on_timer, (uint64_t)ms, 0);
}

static inline void caw_uv_on_close(uv_handle_t *handle) {
  caw_uv *a = (caw_uv *)handle->data;
  if (--a->open == 0) caw_free(a);
}

/*
 * Lets `host` run `loop` from now on. Both belong to the calling thread; `loop`
 * must not be run otherwise meanwhile. Returns 0, CAW_ENOMEM, or CAW_ESYS when
 * libuv cannot watch the descriptor. Since 0.1.
 */
static inline int caw_uv_attach(caw_uv **out, caw_loop *loop, uv_loop_t *host) {
  caw_uv *a = (caw_uv *)caw_calloc(1, sizeof(*a));
  if (!a) return CAW_ENOMEM;
  if (uv_poll_init(host, &a->poll, caw_loop_fd(loop))) {
    caw_free(a);
    return CAW_ESYS;
  }
  /* These three never fail. */
  uv_timer_init(host, &a->timer);
  uv_prepare_init(host, &a->prepare);
  uv_prepare_start(&a->prepare, caw_uv_on_prepare);
  uv_poll_start(&a->poll, UV_READABLE, caw_uv_on_poll);
  a->loop = loop;
  a->poll.data = a->timer.data = a->prepare.data = a;
  a->open = 3;
  *out = a;
  return 0;
}

/* Ends it. `loop` may be freed at once; the adapter is freed when the host has
 * run once more. Also from inside a callback of Caw's: `loop` may be freed once
 * that has returned to libuv. NULL is fine. Since 0.1. */
static inline void caw_uv_detach(caw_uv *a) {
  if (!a) return;
  uv_close((uv_handle_t *)&a->poll, caw_uv_on_close);
  uv_close((uv_handle_t *)&a->timer, caw_uv_on_close);
  uv_close((uv_handle_t *)&a->prepare, caw_uv_on_close);
}

CAW_END_DECLS

#endif
