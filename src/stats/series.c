/* Reading: the series that tables make up together, and their sums. */
#include "stats/metrics.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <stdlib.h>
#include <string.h>

/* ---- What there is (gRFC A66) ---- */

#define SENT     "sent_total_compressed_message_size"
#define RECEIVED "rcvd_total_compressed_message_size"

const metrics_family metrics_families[] = {
    {METRICS_STARTED, false, "grpc.server.call.started", "grpc_server_call_started_total", "{call}",
     "Calls that were started, also those that have not ended."},
    {METRICS_DURATION, false, "grpc.server.call.duration", "grpc_server_call_duration_seconds", "s",
     "Time of a call from its request's headers to its status."},
    {METRICS_SENT, false, "grpc.server.call." SENT, "grpc_server_call_" SENT "_bytes", "By",
     "Bytes of all response messages of a call, compressed, without framing."},
    {METRICS_RECEIVED, false, "grpc.server.call." RECEIVED, "grpc_server_call_" RECEIVED "_bytes",
     "By", "Bytes of all request messages of a call, compressed, without framing."},
    {METRICS_STARTED, true, "grpc.client.attempt.started", "grpc_client_attempt_started_total",
     "{attempt}", "Attempts of calls that were started, also those that have not ended."},
    {METRICS_DURATION, true, "grpc.client.attempt.duration", "grpc_client_attempt_duration_seconds",
     "s", "Time of an attempt, with that until it has a connection."},
    {METRICS_SENT, true, "grpc.client.attempt." SENT, "grpc_client_attempt_" SENT "_bytes", "By",
     "Bytes of all request messages of an attempt, compressed, without framing."},
    {METRICS_RECEIVED, true, "grpc.client.attempt." RECEIVED,
     "grpc_client_attempt_" RECEIVED "_bytes", "By",
     "Bytes of all response messages of an attempt, compressed, without framing."},
    {METRICS_CALLS, true, "grpc.client.call.duration", "grpc_client_call_duration_seconds", "s",
     "Time of a call as the program sees it."},
};
const size_t metrics_n_families = sizeof(metrics_families) / sizeof(metrics_families[0]);

/* clang-format does not come to an end with these. */
/* clang-format off */
#define TIMES(_)                                                                                   \
  _(0) _(1e-05) _(5e-05) _(0.0001) _(0.0003) _(0.0006) _(0.0008) _(0.001) _(0.002) _(0.003)        \
  _(0.004) _(0.005) _(0.006) _(0.008) _(0.01) _(0.013) _(0.016) _(0.02) _(0.025) _(0.03)           \
  _(0.04) _(0.05) _(0.065) _(0.08) _(0.1) _(0.13) _(0.16) _(0.2) _(0.25) _(0.3) _(0.4) _(0.5)      \
  _(0.65) _(0.8) _(1) _(2) _(5) _(10) _(20) _(50) _(100)
#define SIZES(_)                                                                                   \
  _(0) _(1024) _(2048) _(4096) _(16384) _(65536) _(262144) _(1048576) _(4194304) _(16777216)       \
  _(67108864) _(268435456) _(1073741824) _(4294967296)
/* clang-format on */
#define NUMBER(n) n,
#define TEXT(n)   #n,

const double metrics_seconds[METRICS_TIMES] = {TIMES(NUMBER)};
const char *const metrics_seconds_text[METRICS_TIMES] = {TIMES(TEXT)};
const double metrics_bytes[METRICS_SIZES] = {SIZES(NUMBER)};
const char *const metrics_bytes_text[METRICS_SIZES] = {SIZES(TEXT)};

/* ---- The rows of all tables ---- */

static size_t count_rows(caw_metrics *m) {
  size_t n = 0;
  for (list *l = m->tables.next; l != &m->tables; l = l->next) {
    metrics_table *t = LIST_ENTRY(l, metrics_table, node);
    t->seen = atomic_load_explicit(&t->rows, memory_order_acquire);
    for (metrics_row *row = t->seen; row;
         row = atomic_load_explicit(&row->next, memory_order_relaxed))
      n++;
  }
  return n;
}

/* Those that were counted: what came since is for the next reader. */
static size_t take_rows(metrics_ref *refs, const caw_metrics *m) {
  size_t n = 0;
  for (const list *l = m->tables.next; l != &m->tables; l = l->next) {
    const metrics_table *t = LIST_ENTRY(l, metrics_table, node);
    for (metrics_row *row = t->seen; row;
         row = atomic_load_explicit(&row->next, memory_order_relaxed))
      refs[n++] = (metrics_ref){t, row};
  }
  return n;
}

/* By what readers see of a row. */
static int compare(const void *left, const void *right) {
  const metrics_ref *a = left, *b = right;
  if (a->table->client != b->table->client) return a->table->client ? 1 : -1;
  int order = a->table->client ? strcmp(a->table->target, b->table->target) : 0;
  return order ? order : strcmp(a->row->method, b->row->method);
}

int metrics_view_init(metrics_view *v, caw_metrics *m) {
  *v = (metrics_view){0};
  pthread_mutex_lock(&m->lock);
  size_t n = count_rows(m);
  v->refs = caw_calloc(n + 1, sizeof(*v->refs));
  if (v->refs) v->len = take_rows(v->refs, m);
  pthread_mutex_unlock(&m->lock);
  if (!v->refs) return CAW_ENOMEM;
  v->metrics = caw_metrics_ref(m);
  qsort(v->refs, v->len, sizeof(*v->refs), compare);
  return 0;
}

void metrics_view_finish(metrics_view *v) {
  caw_free(v->refs);
  caw_metrics_unref(v->metrics);
  *v = (metrics_view){0};
}

size_t metrics_view_run(const metrics_view *v, size_t first) {
  size_t end = first + 1;
  while (end < v->len && !compare(&v->refs[first], &v->refs[end])) end++;
  return end;
}

/* ---- Sums ---- */

static void add_buckets(metrics_sum *out, const stats_number *buckets, size_t n,
                        const stats_number *sum) {
  for (size_t i = 0; i < n; i++) {
    uint64_t k = stats_read(&buckets[i]);
    out->buckets[i] += k;
    out->count += k;
  }
  out->sum += stats_read(sum);
}

static void add_times(metrics_sum *out, const metrics_times *t) {
  if (t) add_buckets(out, t->buckets, METRICS_TIMES + 1, &t->sum);
}

static void add_sizes(metrics_sum *out, const metrics_sizes *s) {
  add_buckets(out, s->buckets, METRICS_SIZES + 1, &s->sum);
}

static void add_cell(metrics_sum *out, const metrics_row *row, metrics_what what, int code) {
  const metrics_cell *cell =
      atomic_load_explicit((_Atomic(metrics_cell *) *)&row->cells[code], memory_order_acquire);
  if (!cell) return;
  if (what == METRICS_DURATION) add_times(out, &cell->duration);
  else add_sizes(out, what == METRICS_SENT ? &cell->sent : &cell->received);
}

bool metrics_add_up(metrics_sum *out, const metrics_view *v, size_t first, size_t end,
                    metrics_what what, int code) {
  memset(out, 0, sizeof(*out));
  for (size_t i = first; i < end; i++) {
    const metrics_row *row = v->refs[i].row;
    if (what == METRICS_STARTED) out->count += stats_read(&row->started);
    else if (what == METRICS_CALLS)
      add_times(out, atomic_load_explicit((_Atomic(metrics_times *) *)&row->calls[code],
                                          memory_order_acquire));
    else add_cell(out, row, what, code);
  }
  return out->count > 0;
}

/* ---- Public ---- */

static void tell(const metrics_view *v, size_t first, size_t end, const metrics_family *f, int code,
                 void (*fn)(const caw_metric *, void *), void *user) {
  metrics_sum sum;
  if (!metrics_add_up(&sum, v, first, end, f->what, code)) return;
  const metrics_ref *r = &v->refs[first];
  caw_metric out = {.name = f->name,
                    .unit = f->unit,
                    .description = f->description,
                    .method = caw_str_of(r->row->method, r->row->len),
                    .target = caw_str_from(r->table->target),
                    .count = sum.count};
  if (f->what != METRICS_STARTED) {
    bool sizes = f->what == METRICS_SENT || f->what == METRICS_RECEIVED;
    out.kind = CAW_METRIC_HISTOGRAM;
    out.status = caw_code_name(code);
    out.sum = sizes ? (double)sum.sum : (double)sum.sum / 1e9;
    out.bounds = sizes ? metrics_bytes : metrics_seconds;
    out.n_bounds = sizes ? METRICS_SIZES : METRICS_TIMES;
    out.counts = sum.buckets;
  }
  fn(&out, user);
}

int caw_metrics_read(caw_metrics *m, void (*fn)(const caw_metric *metric, void *user), void *user) {
  metrics_view v;
  int rc = metrics_view_init(&v, m);
  if (rc) return rc;
  for (size_t k = 0; k < metrics_n_families; k++) {
    const metrics_family *f = &metrics_families[k];
    int codes = f->what == METRICS_STARTED ? 1 : METRICS_CODES;
    for (size_t at = 0, end; at < v.len; at = end) {
      end = metrics_view_run(&v, at);
      if (v.refs[at].table->client != f->client) continue;
      for (int code = 0; code < codes; code++) tell(&v, at, end, f, code, fn, user);
    }
  }
  metrics_view_finish(&v);
  return 0;
}
