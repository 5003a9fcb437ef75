/* What the tests of src/io share. */
#ifndef TESTS_IO_KIT_H
#define TESTS_IO_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/loop.h"

#include <caw/status.h>

#define KIT_MS UINT64_C(1000000) /* nanoseconds in a millisecond */

/* Counts Caw's blocks from now on, and fails the `fail_at`-th allocation (1 is
 * the first, 0 none). */
void kit_allocator(long fail_at);
/* Fails the `fail_at`-th allocation from now on, and goes on counting blocks. */
void kit_allocator_more(long fail_at);
/* Back to the C library's allocator; fails the test when blocks are left. */
void kit_allocator_done(void);
/* Was an allocation refused since then? */
bool kit_refused(void);

/* The threads of this process. */
int kit_threads(void);
/* The descriptors that are open. */
int kit_descriptors(void);

caw_loop *kit_loop(void);
/* Runs the loop until *flag, for at most 10 s; fails the test otherwise. */
void kit_until(caw_loop *loop, const bool *flag);
/* The same until *count has reached `least`. */
void kit_count(caw_loop *loop, const int *count, int least);
/* Runs the loop for a while, in which nothing should happen. */
void kit_while(caw_loop *loop, uint64_t ms);

/* The monotonic clock, nanoseconds. */
uint64_t kit_clock(void);

#endif
