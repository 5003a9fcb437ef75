/* A caw_loop inside a program that runs on libevent, with a timer of
 * libevent's. */
#include "work.h"

#include <caw/adapters/libevent.h>
#include <stdio.h>

#define TICK_US 20000

static void tick(evutil_socket_t fd, short events, void *user) {
  work *w = user;
  (void)fd;
  (void)events;
  w->ticks++;
}

int main(void) {
  struct event_base *host = event_base_new();
  const struct timeval time = {0, TICK_US};
  caw_loop *loop;
  caw_libevent *adapter;
  work w;
  if (!host || caw_loop_new(&loop) || caw_libevent_attach(&adapter, loop, host)) return 1;
  int rc = work_start(&w, loop, "libevent");
  if (rc) return fprintf(stderr, "%s\n", caw_strerror(rc)), 1;
  caw_libevent_touch(adapter); /* calls were started outside of a callback of Caw's */
  struct event *timer = event_new(host, -1, EV_PERSIST, tick, &w);
  if (!timer || event_add(timer, &time)) return 1;
  /* A program without an end of its own would say event_base_dispatch(host). */
  while (!w.done) {
    event_base_loop(host, EVLOOP_ONCE);
    w.waits++;
  }
  rc = work_end(&w);
  event_free(timer);
  caw_libevent_detach(adapter);
  caw_loop_free(loop);
  event_base_free(host);
  libevent_global_shutdown();
  return rc;
}
