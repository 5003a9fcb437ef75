/* A name server on loopback with a thread of its own: every name is 127.0.0.1. */
#ifndef TESTS_FAILS_DNS_H
#define TESTS_FAILS_DNS_H

/* "127.0.0.1:PORT"; it begins with the first who asks, and ends with the process. */
const char *dns_address(void);

#endif
