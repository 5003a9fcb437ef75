/* The entries of channelz.h. */
#include "stats/channelz.h"

#include "base/utf8.h"

#include <caw/alloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct caw_channelz {
  atomic_uint refs;
  pthread_mutex_t lock;
  list entries; /* by id */
  int64_t last;
};

/* ---- Entries ---- */

/* True unless memory is out. The service's strings are of UTF-8: a name that is not would keep
 * all from those who ask. */
static bool copy_text(char **to, const char *from) {
  if (!from) return true;
  size_t size = strlen(from) + 1;
  *to = caw_malloc(size);
  if (!*to) return false;
  memcpy(*to, from, size);
  utf8_mend(*to, size - 1);
  return true;
}

static void free_entry(z_entry *e) {
  caw_free(e->name);
  caw_free(e->local);
  caw_free(e->remote);
  caw_free(e);
}

z_entry *channelz_open(caw_channelz *z, const z_birth *b) {
  if (!z) return NULL;
  z_entry *e = caw_calloc(1, sizeof(*e) + b->n_calls * sizeof(z_calls));
  if (!e) return NULL;
  e->kind = b->kind;
  e->parent = b->parent ? b->parent->id : 0;
  e->n_calls = b->n_calls;
  if (!copy_text(&e->name, b->name) || !copy_text(&e->local, b->local) ||
      !copy_text(&e->remote, b->remote)) {
    free_entry(e);
    return NULL;
  }
  snprintf(e->tls, sizeof(e->tls), "%s", b->tls ? b->tls : "");
  snprintf(e->cipher, sizeof(e->cipher), "%s", b->cipher ? b->cipher : "");
  e->channelz = caw_channelz_ref(z);
  pthread_mutex_lock(&z->lock);
  e->id = ++z->last;
  list_push_back(&z->entries, &e->node);
  pthread_mutex_unlock(&z->lock);
  return e;
}

void channelz_close(z_entry *e) {
  if (!e) return;
  caw_channelz *z = e->channelz;
  pthread_mutex_lock(&z->lock);
  list_remove(&e->node);
  pthread_mutex_unlock(&z->lock);
  free_entry(e);
  caw_channelz_unref(z);
}

void channelz_state(z_entry *e, int state) {
  if (e) atomic_store_explicit(&e->state, state, memory_order_relaxed);
}

void channelz_keepalive(z_entry *e) {
  if (e) stats_add(&e->keepalives, 1);
}

/* ---- Reading ---- */

/* Both clocks at one moment. */
typedef struct moment {
  uint64_t day, loop;
} moment;

static uint64_t read_clock(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static moment now(void) {
  return (moment){read_clock(CLOCK_REALTIME), read_clock(CLOCK_MONOTONIC)};
}

/* A moment on the loops' clock as the time of day; 0 stays. */
static uint64_t time_of_day(moment m, const stats_number *at) {
  uint64_t n = stats_read(at);
  if (!n) return 0;
  return n < m.loop ? m.day - (m.loop - n) : m.day;
}

/* What has ended is read first: it had begun, so never more have ended than have begun. */
static void add_calls(caw_channelz_info *out, const z_calls *c, moment m) {
  uint64_t last = time_of_day(m, &c->last);
  out->calls_succeeded += stats_read(&c->succeeded);
  out->calls_failed += stats_read(&c->failed);
  out->calls_started += stats_read(&c->started);
  if (last > out->last_call_started_ns) out->last_call_started_ns = last;
}

static caw_channelz_info info_of(const z_entry *e, moment m) {
  uint64_t succeeded = stats_read(&e->streams_succeeded), failed = stats_read(&e->streams_failed);
  caw_channelz_info out = {.kind = e->kind,
                           .id = e->id,
                           .parent = e->parent,
                           .name = caw_str_from(e->name),
                           .state = (caw_connectivity)atomic_load_explicit((atomic_int *)&e->state,
                                                                           memory_order_relaxed),
                           .streams_started = stats_read(&e->streams_started),
                           .streams_succeeded = succeeded,
                           .streams_failed = failed,
                           .messages_sent = stats_read(&e->sent),
                           .messages_received = stats_read(&e->received),
                           .keepalives_sent = stats_read(&e->keepalives),
                           .last_stream_created_ns = time_of_day(m, &e->last_stream),
                           .last_message_sent_ns = time_of_day(m, &e->last_sent),
                           .last_message_received_ns = time_of_day(m, &e->last_received),
                           .local = caw_str_from(e->local),
                           .remote = caw_str_from(e->remote),
                           .tls = caw_str_from(e->tls),
                           .cipher = caw_str_from(e->cipher)};
  for (size_t i = 0; i < e->n_calls; i++) add_calls(&out, &e->calls[i], m);
  return out;
}

void caw_channelz_read(caw_channelz *z, caw_channelz_kind kind, int64_t parent, int64_t start,
                       size_t max, void (*fn)(const caw_channelz_info *info, void *user),
                       void *user, bool *end) {
  size_t n = 0;
  bool more = false;
  moment m = now();
  if (!max || max > CAW_CHANNELZ_PAGE) max = CAW_CHANNELZ_PAGE;
  pthread_mutex_lock(&z->lock);
  for (const list *l = z->entries.next; l != &z->entries && !more; l = l->next) {
    const z_entry *e = LIST_ENTRY(l, z_entry, node);
    if (e->kind != kind || e->id < start || (parent && e->parent != parent)) continue;
    more = n++ == max;
    if (more) break;
    caw_channelz_info info = info_of(e, m);
    fn(&info, user);
  }
  pthread_mutex_unlock(&z->lock);
  if (end) *end = !more;
}

bool caw_channelz_find(caw_channelz *z, caw_channelz_kind kind, int64_t id,
                       void (*fn)(const caw_channelz_info *info, void *user), void *user) {
  bool found = false;
  moment m = now();
  pthread_mutex_lock(&z->lock);
  for (const list *l = z->entries.next; l != &z->entries && !found; l = l->next) {
    const z_entry *e = LIST_ENTRY(l, z_entry, node);
    if (e->id != id || e->kind != kind) continue;
    caw_channelz_info info = info_of(e, m);
    fn(&info, user);
    found = true;
  }
  pthread_mutex_unlock(&z->lock);
  return found;
}

/* ---- Life ---- */

int caw_channelz_new(caw_channelz **out) {
  caw_channelz *z = caw_calloc(1, sizeof(*z));
  if (!z) return CAW_ENOMEM;
  atomic_init(&z->refs, 1);
  pthread_mutex_init(&z->lock, NULL);
  list_init(&z->entries);
  *out = z;
  return 0;
}

caw_channelz *caw_channelz_ref(caw_channelz *z) {
  atomic_fetch_add_explicit(&z->refs, 1, memory_order_relaxed);
  return z;
}

/* The last reference is given back when there is no entry any more. */
void caw_channelz_unref(caw_channelz *z) {
  if (!z || atomic_fetch_sub_explicit(&z->refs, 1, memory_order_acq_rel) != 1) return;
  pthread_mutex_destroy(&z->lock);
  caw_free(z);
}
