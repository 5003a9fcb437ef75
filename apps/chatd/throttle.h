/*
 * Slows down those who guess passwords, by account and by address. After some failures each
 * further one doubles the time until the next try. A try counts as a failure until it is
 * known to have been none, so that many at once gain nothing.
 */
#ifndef CHATD_THROTTLE_H
#define CHATD_THROTTLE_H

#include <caw/str.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct throttle throttle;

typedef enum throttle_kind {
  THROTTLE_ACCOUNT, /* 5 failures are free */
  THROTTLE_ADDRESS, /* 20 */
  THROTTLE_REGISTER /* accounts made from an address; 100 */
} throttle_kind;

/* 0 or CAW_ENOMEM. */
int throttle_new(throttle **out);
void throttle_free(throttle *t); /* NULL is fine */

/* May it be tried now? 0: yes, and it counts as failed. Else the microseconds to wait.
 * `now` as now_us. Any thread. */
int64_t throttle_try(throttle *t, throttle_kind kind, caw_str key, int64_t now);

/* The last try was none of a guesser: it counts no more; `clear`: nor do those before. */
void throttle_fine(throttle *t, throttle_kind kind, caw_str key, bool clear);

/* The address without its port of a peer, and of IPv6 the first 64 bits, which one
 * customer has. Borrowed from `peer`. */
caw_str throttle_address(caw_str peer);

#endif
