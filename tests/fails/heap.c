/* The allocators of heap.h. */
#include "heap.h"

#include <ares.h>
#include <caw/alloc.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>
#ifdef FAILS_TLS
#include <openssl/crypto.h>
#endif

static struct {
  atomic_uint sources; /* whose are counted; 0: nobody's */
  atomic_bool paused, failed;
  atomic_long counted;
  atomic_long at; /* the first that fails; 0: none */
  atomic_bool once;
  atomic_long live[HEAP_ALL + 1];
} heap;

/* In front of each piece. */
typedef struct header {
  alignas(max_align_t) size_t size;
  unsigned source;
} header;

static bool denied(unsigned source) {
  if (!(atomic_load(&heap.sources) & source) || atomic_load(&heap.paused)) return false;
  long n = atomic_fetch_add(&heap.counted, 1) + 1, at = atomic_load(&heap.at);
  if (!at || n < at || (n > at && atomic_load(&heap.once))) return false;
  atomic_store(&heap.failed, true);
  return true;
}

static void *get(unsigned source, size_t bytes) {
  if (bytes > SIZE_MAX / 2) return NULL;
  header *h = denied(source) ? NULL : malloc(sizeof(*h) + bytes);
  if (!h) return NULL;
  h->size = bytes;
  h->source = source;
  atomic_fetch_add(&heap.live[source], 1);
  memset(h + 1, 0xa5, bytes < 4096 ? bytes : 4096); /* nobody may count on zeros */
  return h + 1;
}

static void give(void *ptr) {
  if (!ptr) return;
  header *h = (header *)ptr - 1;
  atomic_fetch_sub(&heap.live[h->source], 1);
  memset(ptr, 0x5a, h->size < 4096 ? h->size : 4096);
  free(h);
}

/* Always moves, so that a stale pointer is found. */
static void *move(unsigned source, void *old, size_t bytes) {
  void *p = get(source, bytes);
  if (!p || !old) return p;
  size_t size = ((header *)old - 1)->size;
  memcpy(p, old, size < bytes ? size : bytes);
  give(old);
  return p;
}

/* ---- Caw ---- */

static void *caw_get(size_t bytes, void *user) {
  (void)user;
  return get(HEAP_CAW, bytes);
}
static void *caw_move(void *old, size_t bytes, void *user) {
  (void)user;
  return move(HEAP_CAW, old, bytes);
}
static void caw_give(void *ptr, void *user) {
  (void)user;
  give(ptr);
}

/* ---- OpenSSL ---- */

#ifdef FAILS_TLS
static void *tls_get(size_t bytes, const char *file, int line) {
  (void)file, (void)line;
  return bytes ? get(HEAP_TLS, bytes) : NULL;
}
static void tls_give(void *ptr, const char *file, int line) {
  (void)file, (void)line;
  give(ptr);
}
static void *tls_move(void *old, size_t bytes, const char *file, int line) {
  if (bytes) return move(HEAP_TLS, old, bytes);
  tls_give(old, file, line);
  return NULL;
}
#endif

/* ---- c-ares ---- */

static void *dns_get(size_t bytes) {
  return get(HEAP_DNS, bytes);
}
static void *dns_move(void *old, size_t bytes) {
  return move(HEAP_DNS, old, bytes);
}

/* ---- libuv ---- */

static void *loop_get(size_t bytes) {
  return get(HEAP_LOOP, bytes);
}
static void *loop_calloc(size_t count, size_t bytes) {
  void *p = get(HEAP_LOOP, count * bytes);
  if (p) memset(p, 0, count * bytes);
  return p;
}
/* Never denied: HEAP_LOOP. */
static void *loop_move(void *old, size_t bytes) {
  header *h = old ? (header *)old - 1 : NULL;
  header *p = realloc(h, sizeof(*p) + bytes);
  if (!p) return NULL;
  p->size = bytes;
  p->source = HEAP_LOOP;
  if (!old) atomic_fetch_add(&heap.live[HEAP_LOOP], 1);
  return p + 1;
}

void heap_install(void) {
  static const caw_allocator a = {sizeof(a), caw_get, caw_move, caw_give, NULL};
  int bad = 0;
#ifdef FAILS_TLS
  bad |= CRYPTO_set_mem_functions(tls_get, tls_move, tls_give) != 1;
#endif
  bad |= ares_library_init_mem(ARES_LIB_INIT_ALL, dns_get, give, dns_move) != 0;
  bad |= uv_replace_allocator(loop_get, loop_move, loop_calloc, give) != 0;
  bad |= caw_set_allocator(&a) != 0;
  if (bad) abort();
}

void heap_arm(heap_mode mode, long n, unsigned sources) {
  atomic_store(&heap.sources, 0);
  atomic_store(&heap.counted, 0);
  atomic_store(&heap.failed, false);
  atomic_store(&heap.paused, false);
  atomic_store(&heap.at, mode == HEAP_COUNT ? 0 : n);
  atomic_store(&heap.once, mode == HEAP_ONCE);
  atomic_store(&heap.sources, sources);
}

long heap_disarm(void) {
  atomic_store(&heap.sources, 0);
  return atomic_load(&heap.counted);
}

bool heap_failed(void) {
  return atomic_load(&heap.failed);
}

void heap_pause(bool on) {
  atomic_store(&heap.paused, on);
}

long heap_live(unsigned source) {
  return atomic_load(&heap.live[source]);
}
