/*
 * The allocator that Caw uses for every byte of its own, and that it hands to
 * its HTTP/2 codec and to zlib. libuv's and c-ares's few allocations stay with the
 * C library: their allocators are process-wide and may belong to the program; and
 * so do libzstd's, in builds with it, which takes no allocator.
 */
#ifndef CAW_ALLOC_H
#define CAW_ALLOC_H

#include <stddef.h>

#include <caw/export.h>

CAW_BEGIN_DECLS

/*
 * Three functions with the meaning that C gives them. Each may be called from
 * any thread that uses Caw and must be thread-safe. malloc and realloc may
 * return NULL, which Caw reports as CAW_ENOMEM.
 */
typedef struct caw_allocator {
  size_t size; /* sizeof(caw_allocator) */
  void *(*malloc)(size_t bytes, void *user);
  void *(*realloc)(void *old, size_t bytes, void *user);
  void (*free)(void *ptr, void *user);
  void *user; /* handed to each */
} caw_allocator;

/*
 * Replaces the allocator. To be called before any other function of Caw and
 * while no other thread uses Caw; `a` is copied, NULL restores the C
 * library's. Returns 0, or CAW_EINVAL when a member is missing. Since 0.1.
 */
CAW_API int caw_set_allocator(const caw_allocator *a);

/*
 * Allocates, resizes and frees with that allocator, for programs that hand
 * memory to Caw or want the same accounting. caw_free(NULL) does nothing.
 * Any thread. Since 0.1.
 */
CAW_API void *caw_malloc(size_t bytes);
CAW_API void *caw_calloc(size_t count, size_t bytes);
CAW_API void *caw_realloc(void *old, size_t bytes);
CAW_API void caw_free(void *ptr);

CAW_END_DECLS

#endif
