/*
 * An arena: memory that is allocated piece by piece and freed all at once.
 * Decoded messages live in one, and each call has one of its own
 * (caw_call_arena). An arena belongs to one thread at a time; it has no lock.
 */
#ifndef CAW_ARENA_H
#define CAW_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include <caw/export.h>
#include <caw/str.h>

CAW_BEGIN_DECLS

typedef struct caw_arena caw_arena;

/*
 * Makes an empty arena. `block` is the size in bytes of its first block, 0
 * for the default of 1,024; later blocks double up to 64 KiB, and a larger
 * piece gets a block of its own. Nothing is allocated for the blocks before
 * the first use. Returns NULL when out of memory. Any thread. Since 0.1.
 */
CAW_API caw_arena *caw_arena_new(size_t block);

/* Frees the arena and all that came from it; NULL is fine. Since 0.1. */
CAW_API void caw_arena_free(caw_arena *arena);

/*
 * Forgets all that came from the arena. Its newest block is kept for reuse,
 * unless it is larger than 64 KiB. The limit stays. Since 0.1.
 */
CAW_API void caw_arena_reset(caw_arena *arena);

/*
 * Bounds the bytes that may be handed out from now on, counted with their
 * alignment, to `bytes` more than now; SIZE_MAX lifts the bound. Past it,
 * allocations return NULL as they do when memory is out. Since 0.1.
 */
CAW_API void caw_arena_set_limit(caw_arena *arena, size_t bytes);

/*
 * Returns `bytes` bytes (0 is fine: a valid pointer), aligned for any type of
 * C, uninitialised; or NULL when memory is out or the limit is reached. Valid
 * until the arena is reset or freed. Since 0.1.
 */
CAW_API void *caw_arena_alloc(caw_arena *arena, size_t bytes);

/* The same, zeroed, for `count` things of `bytes` each; NULL also when the
 * product overflows. Since 0.1. */
CAW_API void *caw_arena_calloc(caw_arena *arena, size_t count, size_t bytes);

/*
 * Copies `s` into the arena, with a NUL byte behind it that is not counted.
 * On failure the result's data is NULL. Since 0.1.
 */
CAW_API caw_str caw_arena_dup(caw_arena *arena, caw_str s);

/* printf into the arena; same result as caw_arena_dup. Since 0.1. */
CAW_API caw_str caw_arena_printf(caw_arena *arena, const char *format, ...) CAW_PRINTF(2, 3);
CAW_API caw_str caw_arena_vprintf(caw_arena *arena, const char *format, va_list args)
    CAW_PRINTF(2, 0);

/* The bytes handed out so far, with alignment. Since 0.1. */
CAW_API size_t caw_arena_used(const caw_arena *arena);

CAW_END_DECLS

#endif
