/*
 * Names to addresses, by c-ares on the loop: no thread, no blocking. Knows
 * /etc/hosts and DNS; IPv6 and IPv4.
 */
#ifndef IO_RESOLVER_H
#define IO_RESOLVER_H

#include "io/address.h"
#include "io/loop.h"

typedef struct io_lookup io_lookup;

/*
 * Looks `host` up. `done` is called once, never inside this call, with 0 and
 * at least one address (with `port` set, borrowed), or CAW_ENOTFOUND,
 * CAW_ETIMEDOUT, CAW_ECONN (no name server answered), CAW_ENOMEM, and `why`,
 * a text for people. `server` is "ip:port" of a name server to ask instead of
 * the system's, or NULL. The look-up is freed after `done`. Returns 0,
 * CAW_ENOMEM, CAW_EINVAL.
 */
int io_resolve(io_lookup **out, caw_loop *loop, const char *host, uint16_t port, const char *server,
               void (*done)(void *user, int rc, const io_address *addresses, unsigned n,
                            const char *why),
               void *user);

/* Ends a look-up that is not done; `done` is not called. NULL is fine. */
void io_resolve_cancel(io_lookup *lookup);

/*
 * The same, blocking, for addresses to listen on: fills up to `max` addresses
 * and returns their number, or an error as above with *why. Runs no loop of
 * the caller's.
 */
int io_resolve_now(const char *host, uint16_t port, io_address *out, unsigned max,
                   const char **why);

#endif
