/*
 * Memory that runs out: the allocators of Caw, OpenSSL, c-ares and libuv, of which any
 * allocation fails by its number, once or from then on, on whatever thread. What is not freed
 * is counted. Not for what the C library allocates for itself.
 */
#ifndef TESTS_FAILS_HEAP_H
#define TESTS_FAILS_HEAP_H

#include <stdbool.h>

/* Whose allocations. */
enum {
  HEAP_CAW = 1,
  HEAP_TLS = 2,
  HEAP_DNS = 4,
  /* Not its reallocations: when the table of its descriptors cannot grow, libuv aborts. */
  HEAP_LOOP = 8,
  HEAP_ALL = 15
};

typedef enum heap_mode { HEAP_COUNT, HEAP_ONCE, HEAP_FROM } heap_mode;

/* Puts the allocators in their places. Before anything else of these libraries. */
void heap_install(void);

/* From now on allocations of `sources` are counted, and the n-th fails (HEAP_ONCE), or it and
 * all that follow (HEAP_FROM). */
void heap_arm(heap_mode mode, long n, unsigned sources);
/* None fails any more. Returns how many were counted. */
long heap_disarm(void);
/* Did one fail since heap_arm? */
bool heap_failed(void);
/* While it is on none is counted, and none fails. */
void heap_pause(bool on);

/* The pieces of one source that are not freed. */
long heap_live(unsigned source);

#endif
