/*
 * A trace of what the library does, for people who look for a fault. It is off, and costs a test of
 * a number that is always the same then. It is switched on for the process:
 *
 *   CAW_TRACE=h2,call program       from outside: lines on standard error
 *   caw_trace("h2,call", fn, user)  by the program
 *
 * Components: h2 (frames in and out, with their stream and length), call (the states of calls, and
 * how they end), conn (connections: begin, TLS, GOAWAY, keepalive, end), client (channels:
 * look-ups, states, retries), server (listening, draining), and all. Payloads, metadata and tokens
 * are never written, but for the methods' names and the texts of statuses.
 *
 * This is the only way in which Caw writes anything by itself: a library prints nothing unless
 * CAW_TRACE asks for it. A component that CAW_TRACE names and nobody knows is said in a line there.
 */
#ifndef CAW_TRACE_H
#define CAW_TRACE_H

#include <caw/export.h>

CAW_BEGIN_DECLS

/* Gets a line, without its end, of a component ("h2"); both borrowed. On the thread that does what
 * is told, several at once if need be; it calls nothing of Caw. */
typedef void (*caw_trace_fn)(const char *component, const char *line, void *user);

/*
 * Traces these components from now on, names with commas between; NULL or "" for none, "all". `fn`
 * NULL: standard error. Takes the place of CAW_TRACE, which is read when the first loop is made,
 * and of an earlier call. `user` must live on for as long as a line may be on its way. Returns 0,
 * or CAW_EINVAL (an unknown component; nothing has changed). Before other threads use Caw. Since
 * 0.1.
 */
CAW_API int caw_trace(const char *components, caw_trace_fn fn, void *user);

CAW_END_DECLS

#endif
