/*
 * Static probes (USDT) for bpftrace, perf and SystemTap, of the provider "caw", where the build
 * found sys/sdt.h: a no-operation in the code and a note in the file each. Elsewhere nothing.
 * docs/guide/observability.md has their names and arguments, which are promised.
 */
#ifndef BASE_PROBE_H
#define BASE_PROBE_H

#ifdef CAW_HAVE_SDT
#include <sys/sdt.h>
#ifdef __clang__ /* of the macros in there */
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif
#define PROBE2(name, a, b)       DTRACE_PROBE2(caw, name, a, b)
#define PROBE3(name, a, b, c)    DTRACE_PROBE3(caw, name, a, b, c)
#define PROBE4(name, a, b, c, d) DTRACE_PROBE4(caw, name, a, b, c, d)
#else
#define PROBE2(name, a, b)       ((void)0)
#define PROBE3(name, a, b, c)    ((void)0)
#define PROBE4(name, a, b, c, d) ((void)0)
#endif

#endif
