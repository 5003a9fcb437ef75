/*
 * What a client says of itself with every call, its authority and its user agent: the
 * same each time, so a session keeps it once and its calls share it. Calls may outlive
 * their session and end on any thread, so it counts its references; it never changes.
 */
#ifndef RPC_CALLER_H
#define RPC_CALLER_H

#include <caw/metadata.h>
#include <stdatomic.h>

typedef struct rpc_caller {
  atomic_uint refs;
  caw_str authority;        /* data is NULL: it is not known */
  caw_metadata_entry entry; /* the user agent, as programs see it; value.data may be NULL */
  char text[];
} rpc_caller;

/* With one reference; texts are copied. NULL: memory is out. */
rpc_caller *rpc_caller_new(caw_str authority, caw_str user_agent);

static inline rpc_caller *rpc_caller_ref(rpc_caller *k) {
  atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
  return k;
}

/* NULL is fine. */
void rpc_caller_unref(rpc_caller *k);

#endif
