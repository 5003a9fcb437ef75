/*
 * What is done while memory runs out: each a function in a table. It gets a world that is
 * whole, and comes to its end whatever is denied meanwhile.
 */
#ifndef TESTS_FAILS_SCENARIO_H
#define TESTS_FAILS_SCENARIO_H

#include "world.h"

typedef struct scenario {
  const char *name;
  /* Returns 0 when all went as without a failure, or the status or CAW_E* that it ended with. */
  int (*run)(world *w);
  setting how;
  unsigned sources; /* whose allocations fail, besides Caw's */
  uint32_t also;    /* statuses that may be the end, besides those that tell of memory; bits */
  bool vague; /* OpenSSL and c-ares may take denied memory for something else: any error will do */
  void (*close)(world *w); /* what `equip` made */
  bool first;              /* ... and it goes before the server does */
  bool told;               /* any failure is told: it does not end as without one */
  bool spent;              /* the server is of no use afterwards */
  /* c-ares waits for its own timeouts when it had no memory for an answer: seconds. One in so
   * many points is in a short run; 0: as the others. */
  int slow;
  bool restless; /* the neighbour's connection need not be the same all the time */
} scenario;

/* The first connection of a server and its channel, which have done nothing yet; over TLS, too. */
#ifdef FAILS_TLS
#define FIRST(text, ...)                                                                           \
  {.name = text, .how.cold = true, __VA_ARGS__}, {                                                 \
    .name = text ", TLS", .how.cold = true, .how.tls = true, __VA_ARGS__                           \
  }
#else
#define FIRST(text, ...)                                                                           \
  { .name = text, .how.cold = true, __VA_ARGS__ }
#endif

/* The tables, each ended by one without a name. */
extern const scenario call_scenarios[];       /* calls, whatever they carry */
extern const scenario connection_scenarios[]; /* how connections come and go */
extern const scenario other_scenarios[];      /* what is made, threads, services, JSON */

#endif
