/* The replaceable allocator. Everything in Caw allocates through here. */
#include <caw/alloc.h>

#include <caw/status.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *libc_malloc(size_t bytes, void *user) {
  (void)user;
  return malloc(bytes);
}

static void *libc_realloc(void *old, size_t bytes, void *user) {
  (void)user;
  return realloc(old, bytes);
}

static void libc_free(void *ptr, void *user) {
  (void)user;
  free(ptr);
}

static const caw_allocator libc_allocator = {sizeof(caw_allocator), libc_malloc, libc_realloc,
                                             libc_free, NULL};
static caw_allocator current = {sizeof(caw_allocator), libc_malloc, libc_realloc, libc_free, NULL};

int caw_set_allocator(const caw_allocator *a) {
  if (!a) {
    current = libc_allocator;
    return 0;
  }
  if (a->size < sizeof(caw_allocator) || !a->malloc || !a->realloc || !a->free) return CAW_EINVAL;
  current = *a;
  return 0;
}

/* malloc(0) may be NULL in C, which here would read as out of memory. */
void *caw_malloc(size_t bytes) {
  return current.malloc(bytes ? bytes : 1, current.user);
}

void *caw_calloc(size_t count, size_t bytes) {
  if (bytes && count > SIZE_MAX / bytes) return NULL;
  void *p = caw_malloc(count * bytes);
  if (p) memset(p, 0, count * bytes);
  return p;
}

void *caw_realloc(void *old, size_t bytes) {
  if (!old) return caw_malloc(bytes);
  return current.realloc(old, bytes ? bytes : 1, current.user);
}

void caw_free(void *ptr) {
  if (ptr) current.free(ptr, current.user);
}
