/* What goes with a server: a service's own memory, say. */
#include "server/server.h"

#include <caw/alloc.h>

struct free_hook {
  free_hook *next;
  void (*fn)(void *user);
  void *user;
};

int caw_server_on_free(caw_server *s, void (*fn)(void *user), void *user) {
  free_hook *hook = fn ? caw_malloc(sizeof(*hook)) : NULL;
  if (!hook) return fn ? CAW_ENOMEM : CAW_EINVAL;
  *hook = (free_hook){s->free_hooks, fn, user};
  s->free_hooks = hook;
  return 0;
}

void server_run_free_hooks(caw_server *s) {
  for (free_hook *h = s->free_hooks, *next; h; h = next) {
    next = h->next;
    h->fn(h->user);
    caw_free(h);
  }
  s->free_hooks = NULL;
}
