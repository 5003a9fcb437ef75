/* An interceptor that writes a line for each step of a call, on a server and on a client
 * alike: an example, and a way to see what happens. */
#ifndef APPS_TRACE_H
#define APPS_TRACE_H

#include <caw/interceptor.h>
#include <stdio.h>

/* Its user is the FILE that it writes to. */
extern const caw_interceptor trace_interceptor;

#endif
