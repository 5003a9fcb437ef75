/* The handler of all methods with one request and one reply whose work runs on the desk. */
#ifndef CHATD_UNARY_H
#define CHATD_UNARY_H

#include "methods.h"

#include <caw/server.h>

/* Serves all methods of the table that have a work, and says where each service is
 * declared. 0 or a CAW_E*. */
int unary_add(caw_server *server, chatd *app);

/* Finishes a call whose task failed with rc, or replies. Any thread. */
void task_finish(task *t, caw_call *call, int rc, const void *reply);

#endif
