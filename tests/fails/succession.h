/* A server that hands over to another one in the same process: what is done in both runners. */
#ifndef TESTS_FAILS_SUCCESSION_H
#define TESTS_FAILS_SUCCESSION_H

#include "world.h"

/* The old server runs, a neighbour has a connection to it. */
void succession_open(world *w);
/* The heir comes; whoever fails, the neighbour is served. 0, or why there was no heir. */
int succession_run(world *w);
void succession_close(world *w);

#endif
