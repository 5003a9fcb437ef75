/* A caw_loop inside a program that runs on libuv, with a timer of libuv's. */
#include "work.h"

#include <caw/adapters/libuv.h>
#include <stdio.h>

#define TICK_MS 20

static void tick(uv_timer_t *timer) {
  work *w = timer->data;
  w->ticks++;
}

int main(void) {
  uv_loop_t *host = uv_default_loop();
  caw_loop *loop;
  caw_uv *adapter;
  uv_timer_t timer;
  work w;
  if (!host || caw_loop_new(&loop) || caw_uv_attach(&adapter, loop, host)) return 1;
  int rc = work_start(&w, loop, "libuv");
  if (rc) return fprintf(stderr, "%s\n", caw_strerror(rc)), 1;
  uv_timer_init(host, &timer);
  timer.data = &w;
  uv_timer_start(&timer, tick, TICK_MS, TICK_MS);
  /* A program without an end of its own would say uv_run(host, UV_RUN_DEFAULT). */
  while (!w.done) {
    uv_run(host, UV_RUN_ONCE);
    w.waits++;
  }
  rc = work_end(&w);
  uv_close((uv_handle_t *)&timer, NULL);
  caw_uv_detach(adapter);
  uv_run(host, UV_RUN_DEFAULT);
  caw_loop_free(loop);
  uv_loop_close(host);
  return rc;
}
