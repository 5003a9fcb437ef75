/*
 * The inside of caw_metrics: tables of counters, each written by one loop only and read by
 * anybody. A table is a server's on one loop, or a channel's; when its owner goes it stays, and
 * the next with the same target counts on in it, so that counters never fall and memory is
 * bounded. For src/server and src/client, who count, and for the files of this folder.
 */
#ifndef STATS_METRICS_H
#define STATS_METRICS_H

#include "base/list.h"
#include "base/map.h"
#include "stats/number.h"

#include <caw/metrics.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define METRICS_CODES 17 /* gRPC's, 0 to 16 */
#define METRICS_TIMES 41 /* bounds of durations, gRFC A66 */
#define METRICS_SIZES 14 /* bounds of sizes */

/* Most methods of a channel, and most targets of all, by name. */
#define METRICS_METHODS 256
#define METRICS_TARGETS 256

/* A histogram with room for either kind would be mostly empty for sizes. */
typedef struct metrics_times {
  stats_number buckets[METRICS_TIMES + 1];
  stats_number sum; /* nanoseconds */
} metrics_times;

typedef struct metrics_sizes {
  stats_number buckets[METRICS_SIZES + 1];
  stats_number sum; /* bytes */
} metrics_sizes;

/* What is counted of calls (client: attempts) of one method that ended with one code. */
typedef struct metrics_cell {
  metrics_times duration;
  metrics_sizes sent, received;
} metrics_cell;

/* One method. Rows and cells are there until the metrics go. */
typedef struct metrics_row {
  _Atomic(struct metrics_row *) next;
  stats_number started;
  _Atomic(metrics_cell *) cells[METRICS_CODES];
  _Atomic(metrics_times *) calls[METRICS_CODES]; /* client: whole calls */
  size_t len;
  char method[]; /* without the path's slash */
} metrics_row;

typedef struct metrics_table {
  list node; /* the metrics' */
  caw_metrics *metrics;
  bool client;
  bool owned;
  bool first;                  /* of its target: others with the same do not count as another */
  char *target;                /* client; else NULL */
  _Atomic(metrics_row *) rows; /* the newest first */
  metrics_row *seen;           /* under the metrics' lock: the newest when they were counted */
  map by_method;               /* the owner's: a channel's of METRICS_METHODS and "other" */
} metrics_table;

struct caw_metrics {
  atomic_uint refs;
  pthread_mutex_t lock; /* tables, sources; never on the way of a call */
  list tables;
  struct metrics_source *sources;
  pthread_mutex_t source_lock; /* one source at a time */
};

typedef struct metrics_source {
  struct metrics_source *next;
  void (*fn)(caw_metrics_page *page, void *user);
  void *user;
} metrics_source;

/* ---- For owners of tables ---- */

/* Takes a table; `target` is NULL for a server's. NULL: out of memory. Any thread. */
metrics_table *metrics_open(caw_metrics *m, const char *target);

/* Gives it back, and its reference to the metrics; NULL is fine. */
void metrics_close(metrics_table *t);

/* The row of a method, "package.Service/Method", made when there is none yet; "other" when
 * a channel has too many. NULL: out of memory. Its owner's thread. */
metrics_row *metrics_row_of(metrics_table *t, caw_str method);

/* A call, or attempt, begins; and ends, after `ns` with these bytes of messages. Its
 * owner's thread; `row` may be NULL. */
void metrics_began(metrics_row *row);
void metrics_ended(metrics_row *row, int code, uint64_t ns, uint64_t sent, uint64_t received);
/* Client: a whole call has ended. */
void metrics_call_ended(metrics_row *row, int code, uint64_t ns);

/* ---- For readers ---- */

/* What is counted of one thing. */
typedef enum metrics_what {
  METRICS_STARTED,
  METRICS_DURATION,
  METRICS_SENT,
  METRICS_RECEIVED,
  METRICS_CALLS
} metrics_what;

/* A metric as others know it. */
typedef struct metrics_family {
  metrics_what what;
  bool client;
  const char *name, *prometheus, *unit, *description;
} metrics_family;

extern const metrics_family metrics_families[];
extern const size_t metrics_n_families;

/* The bounds of durations, in seconds and as text, and of sizes. */
extern const double metrics_seconds[METRICS_TIMES];
extern const char *const metrics_seconds_text[METRICS_TIMES];
extern const double metrics_bytes[METRICS_SIZES];
extern const char *const metrics_bytes_text[METRICS_SIZES];

/* The rows of all tables, those that are the same to readers in a row. */
typedef struct metrics_ref {
  const metrics_table *table;
  const metrics_row *row;
} metrics_ref;

typedef struct metrics_view {
  caw_metrics *metrics; /* a reference */
  metrics_ref *refs;
  size_t len;
} metrics_view;

/* 0 or CAW_ENOMEM. */
int metrics_view_init(metrics_view *v, caw_metrics *m);
void metrics_view_finish(metrics_view *v);

/* The end of the run of equal rows that begins at `first`. */
size_t metrics_view_run(const metrics_view *v, size_t first);

/* Sums of such a run. */
typedef struct metrics_sum {
  uint64_t count, sum; /* nanoseconds, bytes */
  uint64_t buckets[METRICS_TIMES + 1];
} metrics_sum;

/* Adds up; false when nothing was counted. `code` is of no matter to METRICS_STARTED. */
bool metrics_add_up(metrics_sum *out, const metrics_view *v, size_t first, size_t end,
                    metrics_what what, int code);

/* ---- exposition.c: the text, piece by piece ---- */

typedef struct exposition {
  metrics_view view;
  size_t family, at; /* of the next piece: which metric, of which rows, with which code */
  int code;
} exposition;

struct buf;

/* 0 or CAW_ENOMEM. */
int exposition_begin(exposition *e, caw_metrics *m);
/* Appends a piece, some KiB; false when that was the last. out->failed: memory is out. */
bool exposition_next(exposition *e, struct buf *out);
void exposition_finish(exposition *e);

#endif
