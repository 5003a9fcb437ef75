/* The table of throttle.h: bounded, with a keyed hash, so that nobody can choose whom to
 * push out. */
#include "throttle.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

#define BUCKETS 2048
#define WAYS    8
#define SECOND  ((int64_t)1000000)
#define LONGEST (300 * SECOND)
#define FORGET  (900 * SECOND) /* a failure is forgotten after this time without another */

typedef struct entry {
  uint64_t key; /* 0: free */
  int64_t last; /* failure */
  int failures;
} entry;

struct throttle {
  pthread_mutex_t lock;
  uint8_t secret[crypto_shorthash_KEYBYTES];
  entry entries[BUCKETS * WAYS];
};

static const int free_ones[] = {
    [THROTTLE_ACCOUNT] = 5, [THROTTLE_ADDRESS] = 20, [THROTTLE_REGISTER] = 100};

int throttle_new(throttle **out) {
  throttle *t = caw_calloc(1, sizeof(*t));
  if (!t) return CAW_ENOMEM;
  pthread_mutex_init(&t->lock, NULL);
  randombytes_buf(t->secret, sizeof(t->secret));
  *out = t;
  return 0;
}

void throttle_free(throttle *t) {
  if (!t) return;
  pthread_mutex_destroy(&t->lock);
  caw_free(t);
}

caw_str throttle_address(caw_str peer) {
  size_t n = peer.len;
  if (n >= 5 && !memcmp(peer.data, "ipv6:", 5)) {
    int colons = 0;
    for (size_t i = 0; i < n; i++)
      if (peer.data[i] == ':' && ++colons == 5) return caw_str_of(peer.data, i);
    return peer; /* a short one, as [::1] */
  }
  while (n && peer.data[n - 1] != ':') n--;
  return n ? caw_str_of(peer.data, n - 1) : peer;
}

/* The entry of a key, or the one that has failed least lately in its place. */
static entry *find(throttle *t, throttle_kind kind, caw_str key, uint64_t *hash) {
  uint8_t digest[crypto_shorthash_BYTES];
  char text[256];
  size_t n = key.len < sizeof(text) - 1 ? key.len : sizeof(text) - 1;
  text[0] = (char)('a' + kind);
  if (n) memcpy(text + 1, key.data, n);
  crypto_shorthash(digest, (const uint8_t *)text, n + 1, t->secret);
  memcpy(hash, digest, sizeof(*hash));
  *hash |= 1; /* 0 is free */
  entry *e = &t->entries[(*hash >> 1) % BUCKETS * WAYS], *oldest = e;
  for (int i = 0; i < WAYS; i++, e++) {
    if (e->key == *hash) return e;
    if (e->last < oldest->last) oldest = e;
  }
  return oldest;
}

static int64_t wait_after(throttle_kind kind, int failures) {
  int more = failures - free_ones[kind];
  if (more < 0) return 0;
  return more > 8 ? LONGEST : SECOND << more;
}

int64_t throttle_try(throttle *t, throttle_kind kind, caw_str key, int64_t now) {
  uint64_t hash;
  pthread_mutex_lock(&t->lock);
  entry *e = find(t, kind, key, &hash);
  if (e->key != hash || now - e->last > FORGET) *e = (entry){.key = hash};
  int64_t left = e->failures ? e->last + wait_after(kind, e->failures) - now : 0;
  if (left <= 0) {
    left = 0;
    e->failures++;
    e->last = now;
  }
  pthread_mutex_unlock(&t->lock);
  return left > LONGEST ? LONGEST : left;
}

void throttle_fine(throttle *t, throttle_kind kind, caw_str key, bool clear) {
  uint64_t hash;
  pthread_mutex_lock(&t->lock);
  entry *e = find(t, kind, key, &hash);
  if (e->key == hash && e->failures) e->failures = clear ? 0 : e->failures - 1;
  pthread_mutex_unlock(&t->lock);
}
