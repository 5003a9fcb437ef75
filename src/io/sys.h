/* What the system answers, in Caw's terms. Any thread. */
#ifndef IO_SYS_H
#define IO_SYS_H

#include <stdint.h>

/* The CAW_E* of an errno value (> 0); CAW_ESYS for those without one. */
int io_sys_error(int err);

/* The monotonic clock, nanoseconds. */
uint64_t io_sys_clock(void);

#endif
