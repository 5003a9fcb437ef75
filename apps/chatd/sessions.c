/* The table of sessions.h: buckets by the first bytes of the hash, which are as good as
 * random; in each the oldest makes room for the newest. */
#include "sessions.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <pthread.h>
#include <string.h>

#define WAYS 8

typedef struct entry {
  uint8_t hash[32];
  session_info info; /* id 0: free */
} entry;

struct sessions {
  pthread_mutex_t lock;
  uint64_t ended; /* how often a session ended */
  size_t buckets; /* a power of two */
  entry entries[];
};

int sessions_new(sessions **out, size_t most) {
  size_t buckets = 1;
  while (buckets * WAYS < most && buckets < (size_t)1 << 20) buckets *= 2;
  sessions *s = caw_calloc(1, sizeof(*s) + buckets * WAYS * sizeof(entry));
  if (!s) return CAW_ENOMEM;
  s->buckets = buckets;
  pthread_mutex_init(&s->lock, NULL);
  *out = s;
  return 0;
}

void sessions_free(sessions *s) {
  if (!s) return;
  pthread_mutex_destroy(&s->lock);
  caw_free(s);
}

static entry *bucket(sessions *s, const uint8_t hash[32]) {
  uint64_t first;
  memcpy(&first, hash, sizeof(first));
  return &s->entries[(first & (s->buckets - 1)) * WAYS];
}

static entry *find(sessions *s, const uint8_t hash[32]) {
  entry *e = bucket(s, hash);
  for (int i = 0; i < WAYS; i++, e++)
    if (e->info.id && !memcmp(e->hash, hash, 32)) return e;
  return NULL;
}

bool sessions_find(sessions *s, const uint8_t hash[32], session_info *out) {
  pthread_mutex_lock(&s->lock);
  const entry *e = find(s, hash);
  if (e) *out = e->info;
  pthread_mutex_unlock(&s->lock);
  return e != NULL;
}

uint64_t sessions_mark(sessions *s) {
  pthread_mutex_lock(&s->lock);
  uint64_t mark = s->ended;
  pthread_mutex_unlock(&s->lock);
  return mark;
}

void sessions_learn(sessions *s, const uint8_t hash[32], const session_info *info, uint64_t mark) {
  pthread_mutex_lock(&s->lock);
  if (s->ended == mark) {
    entry *e = find(s, hash), *oldest = bucket(s, hash);
    for (int i = 1; !e && i < WAYS; i++)
      if (oldest[i].info.used < oldest->info.used) oldest = &oldest[i];
    if (!e) e = oldest;
    memcpy(e->hash, hash, 32);
    e->info = *info;
  }
  pthread_mutex_unlock(&s->lock);
}

void sessions_touch(sessions *s, const uint8_t hash[32], int64_t used, int64_t expires) {
  pthread_mutex_lock(&s->lock);
  entry *e = find(s, hash);
  if (e) {
    e->info.used = used;
    e->info.expires = expires;
  }
  pthread_mutex_unlock(&s->lock);
}

/* Rare enough to look at all. */
void sessions_end(sessions *s, int64_t user_id, int64_t id) {
  pthread_mutex_lock(&s->lock);
  s->ended++;
  for (size_t i = 0; i < s->buckets * WAYS; i++) {
    session_info *info = &s->entries[i].info;
    if (info->user_id == user_id && (!id || info->id == id)) *info = (session_info){0};
  }
  pthread_mutex_unlock(&s->lock);
}

void sessions_role(sessions *s, int64_t user_id, int role) {
  pthread_mutex_lock(&s->lock);
  s->ended++; /* a role that is being looked up may be the old one */
  for (size_t i = 0; i < s->buckets * WAYS; i++)
    if (s->entries[i].info.user_id == user_id) s->entries[i].info.role = role;
  pthread_mutex_unlock(&s->lock);
}
