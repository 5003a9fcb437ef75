/* A server that drains when a signal comes. On the accepting loop's thread only. */
#include "server/server.h"

#include <caw/alloc.h>

struct signal_wish {
  signal_wish *next;
  caw_server *server;
  int signum;
  uint64_t grace_ms;
};

/* From here on signals have the effect that they have without us: a second one, of
 * whatever number, ends the process. */
static void came(int signum, void *user) {
  const signal_wish *wish = user;
  caw_server *s = wish->server;
  uint64_t grace_ms = wish->grace_ms;
  (void)signum;
  server_forget_signals(s);
  caw_server_drain(s, grace_ms, NULL, NULL);
}

int caw_server_drain_on_signal(caw_server *s, int signum, uint64_t grace_ms) {
  caw_loop *loop = s->workers[0].loop;
  io_assert_on_loop(loop);
  if (s->draining) return CAW_ESTATE;
  signal_wish *wish = s->signals;
  while (wish && wish->signum != signum) wish = wish->next;
  if (wish) {
    wish->grace_ms = grace_ms;
    return 0;
  }
  wish = caw_malloc(sizeof(*wish));
  if (!wish) return CAW_ENOMEM;
  *wish = (signal_wish){s->signals, s, signum, grace_ms};
  int rc = caw_loop_on_signal(loop, signum, came, wish);
  if (rc) {
    caw_free(wish);
    return rc;
  }
  s->signals = wish;
  return 0;
}

void server_forget_signals(caw_server *s) {
  for (signal_wish *wish = s->signals, *next; wish; wish = next) {
    next = wish->next;
    caw_loop_on_signal(s->workers[0].loop, wish->signum, NULL, NULL);
    caw_free(wish);
  }
  s->signals = NULL;
}
