/* For tests of the endpoint: what takes too long to wait for. */
#ifndef SCRAPE_HTTP_H
#define SCRAPE_HTTP_H

#include <stdatomic.h>

/* Nanoseconds from the connection to the end of its request; 5 s. */
extern atomic_ullong scrape_request_time;

#endif
