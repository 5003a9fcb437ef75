/*
 * Who wants to hear that a drain begins: a service that tells its clients, say. On
 * the accepting loop's thread only.
 */
#include "server/server.h"

#include <caw/alloc.h>

struct drain_hook {
  drain_hook *next;
  void (*fn)(void *user);
  void *user;
};

int caw_server_on_drain(caw_server *s, void (*fn)(void *user), void *user) {
  io_assert_on_loop(s->workers[0].loop);
  if (!fn) return CAW_EINVAL;
  if (s->draining) return CAW_ESTATE;
  drain_hook *hook = caw_malloc(sizeof(*hook));
  if (!hook) return CAW_ENOMEM;
  *hook = (drain_hook){NULL, fn, user};
  drain_hook **last = &s->drain_hooks;
  while (*last) last = &(*last)->next;
  *last = hook;
  return 0;
}

void server_tell_drain(const caw_server *s) {
  for (const drain_hook *h = s->drain_hooks; h; h = h->next) h->fn(h->user);
}

void server_free_drain_hooks(caw_server *s) {
  for (drain_hook *h = s->drain_hooks, *next; h; h = next) {
    next = h->next;
    caw_free(h);
  }
  s->drain_hooks = NULL;
}
