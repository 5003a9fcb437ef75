/* What the runners of this folder share: how runs ended, and whether they might so. */
#ifndef TESTS_FAILS_RUNS_H
#define TESTS_FAILS_RUNS_H

#include "scenario.h"

/* How runs ended. */
typedef struct endings {
  const char *names[24];
  long counts[24];
  int n;
} endings;

/* A status, or a CAW_E*. */
void endings_count(endings *e, int rc);
/* ": INTERNAL 3, as ever 5", and the line's end. */
void endings_print(const endings *e);

/* Might a call that something failed in end with this status? `also`: others that may be, bits. */
bool status_is_usual(int code, uint32_t also);

/* A new client finds nothing amiss. */
void fresh_call(world *w);

#endif
