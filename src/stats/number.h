/* A number that one thread counts up and any may read. */
#ifndef STATS_NUMBER_H
#define STATS_NUMBER_H

#include <stdatomic.h>
#include <stdint.h>

typedef atomic_uint_fast64_t stats_number;

/* One thread writes, so no locked instruction is needed: what another reads meanwhile is the old
 * number or the new. Who has read a number sees what was counted before it, too. */
static inline void stats_add(stats_number *n, uint64_t more) {
  atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more,
                        memory_order_release);
}

static inline void stats_set(stats_number *n, uint64_t to) {
  atomic_store_explicit(n, to, memory_order_relaxed);
}

static inline uint64_t stats_read(const stats_number *n) {
  return atomic_load_explicit((stats_number *)n, memory_order_acquire);
}

#endif
