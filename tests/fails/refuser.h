/* A server of raw bytes with a thread of its own: of each connection it refuses the first
 * request, and answers the others with OK and no message. */
#ifndef TESTS_FAILS_REFUSER_H
#define TESTS_FAILS_REFUSER_H

/* "127.0.0.1:PORT"; it begins with the first who asks, and ends with the process. */
const char *refuser_address(void);

#endif
