/* With CAW_TEST_INTERCEPT set, the peers' calls pass two interceptors: one that lets another
 * thread decide, and one that only looks. Tests that pass without them pass with them. */
#ifndef TESTS_LATER_H
#define TESTS_LATER_H

#include <caw/interceptor.h>

/* Adds them, if the variable is set, and starts the thread. 0 or a CAW_E*. */
int later_intercept_server(caw_server *server);
int later_intercept_channel(caw_channel *channel);

/* Decides what is left and ends the thread; after the server or channel was freed. */
void later_end(void);

#endif
