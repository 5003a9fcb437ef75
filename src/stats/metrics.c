/* The tables of metrics.h: who has them, and how a call is counted. */
#include "stats/metrics.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <string.h>

static const char other[] = "other";

/* ---- Counting ---- */

/* The upper bounds in nanoseconds and bytes; those of series.c in what they are counted in. */
static const uint64_t time_bounds[METRICS_TIMES] = {
    0,          10000,      50000,       100000,      300000,      600000,      800000,
    1000000,    2000000,    3000000,     4000000,     5000000,     6000000,     8000000,
    10000000,   13000000,   16000000,    20000000,    25000000,    30000000,    40000000,
    50000000,   65000000,   80000000,    100000000,   130000000,   160000000,   200000000,
    250000000,  300000000,  400000000,   500000000,   650000000,   800000000,   1000000000,
    2000000000, 5000000000, 10000000000, 20000000000, 50000000000, 100000000000};
static const uint64_t size_bounds[METRICS_SIZES] = {0,          1024,      2048,     4096,
                                                    16384,      65536,     262144,   1048576,
                                                    4194304,    16777216,  67108864, 268435456,
                                                    1073741824, 4294967296};

/* How many bounds of durations are below all values of so many bits: where the search begins. At
 * most four bounds are passed from there. (metrics.c of the tests compares with a plain search.) */
static const uint8_t below_bits[65] = {0,  1,  1,  1,  1,  1,  1,  1,  1,  1,  1,  1,  1,
                                       1,  1,  2,  2,  3,  4,  4,  5,  8,  9,  11, 14, 17,
                                       20, 23, 26, 29, 32, 35, 36, 36, 37, 38, 39, 40, 41,
                                       41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41,
                                       41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41};

/* The number of bounds below the value: where it is counted. */
static unsigned bucket_of_time(uint64_t ns) {
  unsigned at = below_bits[ns ? 64 - __builtin_clzll(ns) : 0];
  while (at < METRICS_TIMES && time_bounds[at] < ns) at++;
  return at;
}

/* Most messages are small. */
static inline unsigned bucket_of_size(uint64_t bytes) {
  unsigned at = bytes != 0;
  if (bytes <= size_bounds[1]) return at;
  while (at < METRICS_SIZES && size_bounds[at] < bytes) at++;
  return at;
}

static inline void add_time(metrics_times *t, uint64_t ns) {
  stats_add(&t->buckets[bucket_of_time(ns)], 1);
  stats_add(&t->sum, ns);
}

static inline void add_size(metrics_sizes *s, uint64_t bytes) {
  stats_add(&s->buckets[bucket_of_size(bytes)], 1);
  stats_add(&s->sum, bytes);
}

/* A status from elsewhere may be none of gRPC's. */
static size_t code_at(int code) {
  return code >= 0 && code < METRICS_CODES ? (size_t)code : (size_t)CAW_UNKNOWN;
}

void metrics_began(metrics_row *row) {
  if (row) stats_add(&row->started, 1);
}

/* Once for a series, so apart from what each call does. */
__attribute__((noinline)) static metrics_cell *make_cell(metrics_row *row, size_t code) {
  metrics_cell *cell = caw_calloc(1, sizeof(*cell));
  if (cell) atomic_store_explicit(&row->cells[code], cell, memory_order_release);
  return cell;
}

static inline metrics_cell *cell_of(metrics_row *row, size_t code) {
  metrics_cell *cell = atomic_load_explicit(&row->cells[code], memory_order_relaxed);
  return cell ? cell : make_cell(row, code);
}

void metrics_ended(metrics_row *row, int code, uint64_t ns, uint64_t sent, uint64_t received) {
  metrics_cell *cell = row ? cell_of(row, code_at(code)) : NULL;
  if (!cell) return;
  add_time(&cell->duration, ns);
  add_size(&cell->sent, sent);
  add_size(&cell->received, received);
}

void metrics_call_ended(metrics_row *row, int code, uint64_t ns) {
  if (!row) return;
  size_t at = code_at(code);
  metrics_times *t = atomic_load_explicit(&row->calls[at], memory_order_relaxed);
  if (!t) {
    t = caw_calloc(1, sizeof(*t));
    if (!t) return;
    atomic_store_explicit(&row->calls[at], t, memory_order_release);
  }
  add_time(t, ns);
}

/* ---- Rows ---- */

metrics_row *metrics_row_of(metrics_table *t, caw_str method) {
  metrics_row *row = map_get(&t->by_method, method);
  if (row) return row;
  if (t->client && t->by_method.len >= METRICS_METHODS && !caw_str_is(method, other))
    return metrics_row_of(t, caw_str_from(other));
  if (!method.len || map_reserve(&t->by_method, 1)) return NULL;
  row = caw_calloc(1, sizeof(*row) + method.len + 1);
  if (!row) return NULL;
  memcpy(row->method, method.data, method.len);
  row->len = method.len;
  map_add(&t->by_method, caw_str_of(row->method, row->len), row); /* room was reserved */
  atomic_store_explicit(&row->next, atomic_load_explicit(&t->rows, memory_order_relaxed),
                        memory_order_relaxed);
  atomic_store_explicit(&t->rows, row, memory_order_release);
  return row;
}

static void free_rows(metrics_table *t) {
  for (metrics_row *row = atomic_load(&t->rows), *next; row; row = next) {
    next = atomic_load(&row->next);
    for (size_t i = 0; i < METRICS_CODES; i++) {
      caw_free(atomic_load(&row->cells[i]));
      caw_free(atomic_load(&row->calls[i]));
    }
    caw_free(row);
  }
}

/* ---- Tables ---- */

static bool same_target(const metrics_table *t, const char *target) {
  return t->client ? target && !strcmp(t->target, target) : !target;
}

/* One that nobody counts in now; *targets: how many there are. */
static metrics_table *find_free(caw_metrics *m, const char *target, size_t *targets) {
  *targets = 0;
  for (list *l = m->tables.next; l != &m->tables; l = l->next) {
    metrics_table *t = LIST_ENTRY(l, metrics_table, node);
    if (!t->owned && same_target(t, target)) return t;
    *targets += t->client && t->first;
  }
  return NULL;
}

static bool target_known(const caw_metrics *m, const char *target) {
  for (list *l = m->tables.next; l != &m->tables; l = l->next)
    if (same_target(LIST_ENTRY(l, metrics_table, node), target)) return true;
  return false;
}

static metrics_table *new_table(caw_metrics *m, const char *target) {
  metrics_table *t = caw_calloc(1, sizeof(*t));
  if (!t) return NULL;
  t->metrics = m;
  t->client = target != NULL;
  t->first = !target_known(m, target);
  if (target) {
    size_t size = strlen(target) + 1;
    t->target = caw_malloc(size);
    if (!t->target) {
      caw_free(t);
      return NULL;
    }
    memcpy(t->target, target, size);
  }
  list_push_back(&m->tables, &t->node);
  return t;
}

metrics_table *metrics_open(caw_metrics *m, const char *target) {
  size_t targets;
  pthread_mutex_lock(&m->lock);
  metrics_table *t = find_free(m, target, &targets);
  if (!t && target && targets >= METRICS_TARGETS && !target_known(m, target)) {
    target = other;
    t = find_free(m, target, &targets);
  }
  if (!t) t = new_table(m, target);
  if (t) t->owned = true;
  pthread_mutex_unlock(&m->lock);
  if (t) caw_metrics_ref(m);
  return t;
}

void metrics_close(metrics_table *t) {
  if (!t) return;
  caw_metrics *m = t->metrics;
  pthread_mutex_lock(&m->lock);
  t->owned = false;
  pthread_mutex_unlock(&m->lock);
  caw_metrics_unref(m);
}

/* ---- Life ---- */

int caw_metrics_new(caw_metrics **out) {
  caw_metrics *m = caw_calloc(1, sizeof(*m));
  if (!m) return CAW_ENOMEM;
  atomic_init(&m->refs, 1);
  pthread_mutex_init(&m->lock, NULL);
  pthread_mutex_init(&m->source_lock, NULL);
  list_init(&m->tables);
  *out = m;
  return 0;
}

caw_metrics *caw_metrics_ref(caw_metrics *m) {
  atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
  return m;
}

void caw_metrics_unref(caw_metrics *m) {
  if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return;
  for (list *l; (l = list_pop(&m->tables));) {
    metrics_table *t = LIST_ENTRY(l, metrics_table, node);
    free_rows(t);
    map_finish(&t->by_method);
    caw_free(t->target);
    caw_free(t);
  }
  for (metrics_source *s = m->sources, *next; s; s = next) {
    next = s->next;
    caw_free(s);
  }
  pthread_mutex_destroy(&m->source_lock);
  pthread_mutex_destroy(&m->lock);
  caw_free(m);
}

int caw_metrics_add_source(caw_metrics *m, void (*fn)(caw_metrics_page *page, void *user),
                           void *user) {
  if (!fn) return CAW_EINVAL;
  metrics_source *s = caw_malloc(sizeof(*s));
  if (!s) return CAW_ENOMEM;
  *s = (metrics_source){NULL, fn, user};
  pthread_mutex_lock(&m->lock);
  metrics_source **at = &m->sources;
  while (*at) at = &(*at)->next;
  *at = s;
  pthread_mutex_unlock(&m->lock);
  return 0;
}
