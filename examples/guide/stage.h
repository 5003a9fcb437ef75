/*
 * Both ends of an example in one process, so that it can be run alone: the server
 * has a thread, the client the rest of main. In your programs these are two.
 */
#ifndef GUIDE_STAGE_H
#define GUIDE_STAGE_H

#include <caw/server.h>

/* Listens on a free port of loopback and runs the server on a thread of its own.
 * Returns the address; ends the program when that fails. */
const char *stage_serve(caw_server *server);

/* Drains the server, waits for its thread, and frees it. */
void stage_end(caw_server *server);

/* Ends the program with a sentence when `rc` is not 0. */
void stage_check(int rc, const char *what);

#endif
