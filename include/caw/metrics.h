/*
 * Metrics: what the calls of servers and channels were, how many, how long and how large,
 * under the names and with the buckets that gRPC gives them for OpenTelemetry (gRFC A66).
 *
 *   caw_metrics_new(&metrics);
 *   server_options.metrics = metrics;      any number of servers and channels
 *   channel_options.metrics = metrics;
 *   caw_metrics_text(metrics, &text);      or caw_metrics_read, or caw/metrics_http.h
 *
 * grpc.server.call.started                              grpc.method
 * grpc.server.call.duration                             grpc.method, grpc.status
 * grpc.server.call.sent_total_compressed_message_size   grpc.method, grpc.status
 * grpc.server.call.rcvd_total_compressed_message_size   grpc.method, grpc.status
 * grpc.client.attempt.started                           grpc.method, grpc.target
 * grpc.client.attempt.duration, .sent_total_..., .rcvd_total_...     and grpc.status
 * grpc.client.call.duration                             grpc.method, grpc.target, grpc.status
 *
 * On a server grpc.method is one that it serves, and "other" for all else that was asked
 * for; the path is the one that came, whatever an interceptor made of it. On a client it is the
 * method of the call. An attempt begins when a call waits for its connection, or begins anew by a
 * transparent retry. A server's call ends when its status is on its way.
 *
 * Cost. Each loop counts in memory of its own, without a lock and without an atomic
 * read-modify-write, some 170 instructions a call; reading adds up what the loops have. A series
 * has its memory, some 600 bytes a loop, when it is first counted; when there is none for it, that
 * call is not counted. So memory is bounded: on a server by its methods and gRPC's 17 codes, on
 * a client by 256 methods a channel and 256 targets in all, what is beyond being "other".
 * Counters outlive the servers and channels that counted, so they never fall.
 */
#ifndef CAW_METRICS_H
#define CAW_METRICS_H

#include <caw/export.h>
#include <caw/str.h>
#include <stdint.h>

CAW_BEGIN_DECLS

typedef struct caw_metrics caw_metrics;

/* Makes metrics, of one reference. Returns 0 or CAW_ENOMEM. Since 0.1. */
CAW_API int caw_metrics_new(caw_metrics **out);

/* Adds and gives back a reference; servers and channels have their own. NULL is fine for
 * unref. Any thread. Since 0.1. */
CAW_API caw_metrics *caw_metrics_ref(caw_metrics *metrics);
CAW_API void caw_metrics_unref(caw_metrics *metrics);

/* What a metric is. */
typedef enum caw_metric_kind {
  CAW_METRIC_COUNTER = 0,  /* `count` */
  CAW_METRIC_HISTOGRAM = 1 /* all of the members */
} caw_metric_kind;

/* One series of a metric. Borrowed for the callback, but for the static texts. */
typedef struct caw_metric {
  const char *name;        /* "grpc.server.call.duration"; static */
  const char *unit;        /* OpenTelemetry's: "s", "By", "{call}", "{attempt}"; static */
  const char *description; /* static */
  caw_metric_kind kind;
  caw_str method;     /* grpc.method: "greeter.Greeter/SayHello", "other" */
  caw_str target;     /* grpc.target, of clients; else data is NULL */
  const char *status; /* grpc.status, "OK"; NULL for a metric without; static */
  uint64_t count;     /* of all buckets */
  double sum;         /* of all values, in `unit` */
  /* counts[i] values were at most bounds[i] and above the bound before it, the last
   * counts[n_bounds] above all bounds. */
  const double *bounds;
  const uint64_t *counts;
  size_t n_bounds;
} caw_metric;

/*
 * Tells `fn` every series that was counted so far, the series of a metric in a row. What is
 * counted meanwhile may be in one and not yet in another. Returns 0 or CAW_ENOMEM, without having
 * called it. Any thread. Since 0.1.
 */
CAW_API int caw_metrics_read(caw_metrics *metrics, void (*fn)(const caw_metric *metric, void *user),
                             void *user);

/*
 * The same as text in Prometheus' exposition format, version 0.0.4, with the names that
 * OpenTelemetry's exporter for Prometheus gives them: '.' becomes '_', a unit is added
 * (_seconds, _bytes), and _total to counters: grpc_server_call_started_total,
 * grpc_server_call_duration_seconds_bucket{grpc_method="...",grpc_status="OK",le="0.001"}. Behind
 * them is what the program's own functions add. *out is to be freed with caw_free, and ends with
 * a NUL that does not count. Returns 0 or CAW_ENOMEM. Any thread. Since 0.1.
 */
CAW_API int caw_metrics_text(caw_metrics *metrics, caw_str *out);

/* Where a program writes its own metrics. */
typedef struct caw_metrics_page caw_metrics_page;

/*
 * Has `fn` called whenever the text is made, on the thread that has it made, for metrics of the
 * program's own; one call of `fn` at a time. `user` lives as long as the metrics. Returns 0,
 * CAW_EINVAL (no `fn`), CAW_ENOMEM. Any thread. Since 0.1.
 */
CAW_API int caw_metrics_add_source(caw_metrics *metrics,
                                   void (*fn)(caw_metrics_page *page, void *user), void *user);

/*
 * Writes a gauge, which goes up and down, or a counter, which only goes up; in `fn` above.
 * `name` is of letters, digits, '_' and ':', beginning with none of the digits; that of a counter
 * ends in "_total". `help` is a text for people, and its lines are written with the first
 * of the name. `label` and its value tell series of one name apart, which are written in a row;
 * both NULL for none. Returns 0, CAW_EINVAL (a name that is not allowed), CAW_ENOMEM. Since 0.1.
 */
CAW_API int caw_metrics_gauge(caw_metrics_page *page, const char *name, const char *help,
                              const char *label, const char *label_value, double value);
CAW_API int caw_metrics_counter(caw_metrics_page *page, const char *name, const char *help,
                                const char *label, const char *label_value, uint64_t value);

CAW_END_DECLS

#endif
