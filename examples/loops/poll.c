/*
 * A caw_loop inside a program that waits with poll(2), with a timer of the
 * program's own.
 */
#include "work.h"

#include <poll.h>
#include <stdio.h>

#define TICK_NS UINT64_C(20000000)

/* The milliseconds that both can wait; -1 is for ever. */
static int sooner(int a, int b) {
  return a < 0 || (b >= 0 && b < a) ? b : a;
}

int main(void) {
  caw_loop *loop;
  work w;
  if (caw_loop_new(&loop)) return 1;
  int rc = work_start(&w, loop, "poll");
  if (rc) return fprintf(stderr, "%s\n", caw_strerror(rc)), 1;
  uint64_t tick_at = caw_loop_now(loop) + TICK_NS;
  while (!w.done) {
    /* The program's own descriptors would stand beside this one. */
    struct pollfd fds[] = {{.fd = caw_loop_fd(loop), .events = POLLIN}};
    uint64_t now = caw_loop_now(loop);
    int own = tick_at > now ? (int)((tick_at - now + 999999) / 1000000) : 0;
    poll(fds, 1, sooner(caw_loop_timeout(loop), own));
    w.waits++;
    /* Whatever ended the wait: the loop knows what is due. */
    caw_loop_run(loop, CAW_LOOP_NOWAIT);
    if (caw_loop_now(loop) < tick_at) continue;
    w.ticks++;
    tick_at += TICK_NS;
  }
  rc = work_end(&w);
  caw_loop_free(loop);
  return rc;
}
