/*
 * The trace of caw/trace.h from inside: TRACE(CALL, "call %p ...", ...) writes a line when that
 * component is on. Off, it is one test of a number that is the same for the whole run, and its
 * arguments are not computed.
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <caw/export.h>
#include <stdatomic.h>
#include <stdbool.h>

/* The components, a bit each. */
enum { TRACE_H2 = 1, TRACE_CALL = 2, TRACE_CONN = 4, TRACE_CLIENT = 8, TRACE_SERVER = 16 };

/* Those that are on. */
extern atomic_uint trace_on;

/* Reads CAW_TRACE, once; any thread. */
void trace_begin(void);

/* Writes a line of a component, cut to 500 bytes; what is no printable ASCII becomes '?'. */
void trace_write(unsigned component, const char *format, ...) CAW_PRINTF(2, 3)
    __attribute__((cold));

static inline bool trace_wants(unsigned component) {
  return __builtin_expect(atomic_load_explicit(&trace_on, memory_order_relaxed) & component, 0);
}

#define TRACE(component, ...)                                                                      \
  do {                                                                                             \
    if (trace_wants(TRACE_##component)) trace_write(TRACE_##component, __VA_ARGS__);               \
  } while (0)

#endif
