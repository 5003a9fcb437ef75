/* The tables of metrics: what is counted where, what readers see of it, and that it is bounded. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "failing.h"
#include "stats/metrics.h"

#include <caw/status.h>
#include <locale.h>
#include <stdio.h>

static metrics_row *row(metrics_table *t, const char *method) {
  return metrics_row_of(t, caw_str_from(method));
}

/* Does the text have this line? */
static void assert_line(const char *text, const char *line) {
  size_t n = strlen(line);
  for (const char *p = text; (p = strstr(p, line)); p += n)
    if ((p == text || p[-1] == '\n') && p[n] == '\n') return;
  fail_msg("no line \"%s\" in:\n%s", line, text);
}

static unsigned count(const char *text, const char *what) {
  unsigned n = 0;
  for (const char *p = text; (p = strstr(p, what)); p += strlen(what)) n++;
  return n;
}

static void each_value_has_its_bucket(void **state) {
  /* gRFC A66: a bucket has what is above the bound before it, and its own bound. */
  static const struct {
    uint64_t ns;
    const char *le;
  } cases[] = {{0, "0"},
               {1, "1e-05"},
               {10000, "1e-05"},
               {10001, "5e-05"},
               {999999, "0.001"},
               {1000000, "0.001"},
               {1000001, "0.002"},
               {UINT64_C(100000000000), "100"},
               {UINT64_C(100000000001), "+Inf"}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    caw_metrics *m;
    caw_str text;
    char line[200];
    assert_int_equal(caw_metrics_new(&m), 0);
    metrics_table *t = metrics_open(m, NULL);
    metrics_ended(row(t, "s/m"), 0, cases[i].ns, 0, 0);
    assert_int_equal(caw_metrics_text(m, &text), 0);
    snprintf(line, sizeof(line),
             "grpc_server_call_duration_seconds_bucket{grpc_method=\"s/"
             "m\",grpc_status=\"OK\",le=\"%s\"} 1",
             cases[i].le);
    assert_line(text.data, line);
    /* The first that has it: as many buckets have it as follow. */
    const char *first = strstr(text.data, "} 1\n");
    assert_non_null(first);
    assert_memory_equal(first - strlen(cases[i].le) - 1, cases[i].le, strlen(cases[i].le));
    caw_free((char *)text.data);
    metrics_close(t);
    caw_metrics_unref(m);
  }
}

static void tables_add_up(void **state) {
  caw_metrics *m;
  caw_str text;
  (void)state;
  assert_int_equal(caw_metrics_new(&m), 0);
  metrics_table *a = metrics_open(m, NULL), *b = metrics_open(m, NULL);
  metrics_began(row(a, "s/m"));
  metrics_began(row(b, "s/m"));
  metrics_began(row(b, "s/m"));
  metrics_ended(row(a, "s/m"), CAW_OK, 1500000000, 5, 2000);
  metrics_ended(row(b, "s/m"), CAW_OK, 500000000, 6, 0);
  metrics_ended(row(b, "s/m"), CAW_NOT_FOUND, 0, 0, 0);
  metrics_ended(row(b, "s/m"), 99, 0, 0, 0); /* no code of gRPC's */
  assert_int_equal(caw_metrics_text(m, &text), 0);
  assert_line(text.data, "# TYPE grpc_server_call_started_total counter");
  assert_line(text.data, "grpc_server_call_started_total{grpc_method=\"s/m\"} 3");
  assert_line(
      text.data,
      "grpc_server_call_duration_seconds_sum{grpc_method=\"s/m\",grpc_status=\"OK\"} 2.000000000");
  assert_line(text.data,
              "grpc_server_call_duration_seconds_count{grpc_method=\"s/m\",grpc_status=\"OK\"} 2");
  assert_line(
      text.data,
      "grpc_server_call_duration_seconds_count{grpc_method=\"s/m\",grpc_status=\"NOT_FOUND\"} 1");
  assert_line(
      text.data,
      "grpc_server_call_duration_seconds_count{grpc_method=\"s/m\",grpc_status=\"UNKNOWN\"} 1");
  assert_line(text.data, "grpc_server_call_sent_total_compressed_message_size_bytes_sum{grpc_"
                         "method=\"s/m\",grpc_status=\"OK\"} 11");
  assert_line(text.data, "grpc_server_call_rcvd_total_compressed_message_size_bytes_bucket{grpc_"
                         "method=\"s/m\",grpc_status=\"OK\",le=\"1024\"} 1");
  assert_line(text.data, "grpc_server_call_rcvd_total_compressed_message_size_bytes_bucket{grpc_"
                         "method=\"s/m\",grpc_status=\"OK\",le=\"2048\"} 2");
  assert_null(strstr(text.data, "grpc_client"));
  caw_free((char *)text.data);
  metrics_close(a);
  metrics_close(b);
  caw_metrics_unref(m);
}

static void counters_outlive_their_owner(void **state) {
  caw_metrics *m;
  caw_str text;
  (void)state;
  assert_int_equal(caw_metrics_new(&m), 0);
  for (int i = 0; i < 3; i++) {
    metrics_table *t = metrics_open(m, "dns:///a:1");
    metrics_began(row(t, "s/m"));
    metrics_close(t);
  }
  assert_int_equal(caw_metrics_text(m, &text), 0);
  assert_line(
      text.data,
      "grpc_client_attempt_started_total{grpc_method=\"s/m\",grpc_target=\"dns:///a:1\"} 3");
  assert_int_equal(count(text.data, "{"), 1);
  caw_free((char *)text.data);
  long live = failing.live;
  for (int i = 0; i < 1000; i++) metrics_close(metrics_open(m, "dns:///a:1"));
  assert_int_equal(failing.live, live);
  caw_metrics_unref(m);
}

/* A thousand methods, each begun once. */
static void begin_many(metrics_table *t) {
  char name[32];
  for (int i = 0; i < 1000; i++) {
    snprintf(name, sizeof(name), "s/m%d", i);
    metrics_began(row(t, name));
  }
}

static void methods_and_targets_are_bounded(void **state) {
  caw_metrics *m;
  caw_str text;
  char name[32];
  (void)state;
  assert_int_equal(caw_metrics_new(&m), 0);
  metrics_table *t = metrics_open(m, "first");
  begin_many(t);
  for (int i = 0; i < 1000; i++) {
    snprintf(name, sizeof(name), "target%d", i);
    metrics_table *u = metrics_open(m, name);
    metrics_began(row(u, "s/m"));
    metrics_close(u);
  }
  assert_int_equal(caw_metrics_text(m, &text), 0);
  assert_line(text.data,
              "grpc_client_attempt_started_total{grpc_method=\"other\",grpc_target=\"first\"} 744");
  assert_line(text.data,
              "grpc_client_attempt_started_total{grpc_method=\"s/m\",grpc_target=\"other\"} 745");
  caw_free((char *)text.data);
  metrics_close(t);
  caw_metrics_unref(m);
}

/* Many channels to one target are one target. */
static void channels_are_no_targets(void **state) {
  metrics_table *same[300];
  caw_metrics *m;
  caw_str text;
  (void)state;
  assert_int_equal(caw_metrics_new(&m), 0);
  for (int i = 0; i < 300; i++) same[i] = metrics_open(m, "same");
  metrics_table *t = metrics_open(m, "another");
  metrics_began(row(t, "s/m"));
  assert_int_equal(caw_metrics_text(m, &text), 0);
  assert_line(text.data,
              "grpc_client_attempt_started_total{grpc_method=\"s/m\",grpc_target=\"another\"} 1");
  caw_free((char *)text.data);
  for (int i = 0; i < 300; i++) metrics_close(same[i]);
  metrics_close(t);
  caw_metrics_unref(m);
}

/* A server has the methods that its program gave it, and names them all. */
static void all_methods_of_a_server_have_their_names(void **state) {
  caw_metrics *m;
  caw_str text;
  char name[64];
  (void)state;
  assert_int_equal(caw_metrics_new(&m), 0);
  metrics_table *t = metrics_open(m, NULL);
  begin_many(t);
  assert_int_equal(caw_metrics_text(m, &text), 0);
  assert_null(strstr(text.data, "\"other\""));
  for (int i = 0; i < 1000; i++) {
    snprintf(name, sizeof(name), "grpc_server_call_started_total{grpc_method=\"s/m%d\"} 1", i);
    assert_line(text.data, name);
  }
  caw_free((char *)text.data);
  metrics_close(t);
  caw_metrics_unref(m);
}

/* One byte that is no UTF-8 makes the whole page none for Prometheus. */
static void the_text_is_utf8(void **state) {
  static const struct {
    const char *target, *label;
  } cases[] = {{"unix:/run/\xc3\xa9\xf0\x9f\x90\xa6", "unix:/run/\xc3\xa9\xf0\x9f\x90\xa6"},
               {"unix:/run/\xff\xfe", "unix:/run/??"},
               {"unix:/run/\xc3", "unix:/run/?"},
               {"unix:/run/\xed\xa0\x80", "unix:/run/???"}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    caw_metrics *m;
    caw_str text;
    char line[200];
    assert_int_equal(caw_metrics_new(&m), 0);
    metrics_table *t = metrics_open(m, cases[i].target);
    metrics_began(row(t, "s/m"));
    assert_int_equal(caw_metrics_text(m, &text), 0);
    snprintf(line, sizeof(line),
             "grpc_client_attempt_started_total{grpc_method=\"s/m\",grpc_target=\"%s\"} 1",
             cases[i].label);
    assert_line(text.data, line);
    caw_free((char *)text.data);
    metrics_close(t);
    caw_metrics_unref(m);
  }
}

static void names_are_escaped(void **state) {
  caw_metrics *m;
  caw_str text;
  (void)state;
  assert_int_equal(caw_metrics_new(&m), 0);
  metrics_table *t = metrics_open(m, "unix:a\"b\\c\nd");
  metrics_began(row(t, "s/m"));
  assert_int_equal(caw_metrics_text(m, &text), 0);
  assert_line(text.data, "grpc_client_attempt_started_total{grpc_method=\"s/"
                         "m\",grpc_target=\"unix:a\\\"b\\\\c\\nd\"} 1");
  caw_free((char *)text.data);
  metrics_close(t);
  caw_metrics_unref(m);
}

static char user[] = "user";

static void own(caw_metrics_page *page, void *whose) {
  assert_ptr_equal(whose, user);
  assert_int_equal(caw_metrics_gauge(page, "chat_streams", "Open \"streams\".\n", NULL, NULL, 2.5),
                   0);
  assert_int_equal(caw_metrics_gauge(page, "chat_queue", NULL, "kind", "a\"b", -1), 0);
  assert_int_equal(caw_metrics_gauge(page, "chat_queue", NULL, "kind", "c", 1e300), 0);
  assert_int_equal(caw_metrics_counter(page, "chat_acks_total", "x", NULL, NULL, UINT64_MAX), 0);
  assert_int_equal(caw_metrics_counter(page, "chat_acks", "x", NULL, NULL, 1), CAW_EINVAL);
  assert_int_equal(caw_metrics_gauge(page, "1x", "x", NULL, NULL, 1), CAW_EINVAL);
  assert_int_equal(caw_metrics_gauge(page, "x y", "x", NULL, NULL, 1), CAW_EINVAL);
  assert_int_equal(caw_metrics_gauge(page, "x", "x", "l:l", "v", 1), CAW_EINVAL);
  assert_int_equal(caw_metrics_gauge(page, "x", "x", "l", NULL, 1), CAW_EINVAL);
}

static void programs_add_their_own(void **state) {
  caw_metrics *m;
  caw_str text;
  (void)state;
  assert_int_equal(caw_metrics_new(&m), 0);
  assert_int_equal(caw_metrics_add_source(m, NULL, NULL), CAW_EINVAL);
  assert_int_equal(caw_metrics_add_source(m, own, user), 0);
  assert_int_equal(caw_metrics_text(m, &text), 0);
  assert_string_equal(text.data, "# HELP chat_streams Open \"streams\".\\n\n"
                                 "# TYPE chat_streams gauge\n"
                                 "chat_streams 2.5\n"
                                 "# HELP chat_queue \n"
                                 "# TYPE chat_queue gauge\n"
                                 "chat_queue{kind=\"a\\\"b\"} -1\n"
                                 "chat_queue{kind=\"c\"} 1e+300\n"
                                 "# HELP chat_acks_total x\n"
                                 "# TYPE chat_acks_total counter\n"
                                 "chat_acks_total 18446744073709551615\n");
  caw_free((char *)text.data);
  caw_metrics_unref(m);
}

/* ---- Reading ---- */

typedef struct seen {
  unsigned n, histograms;
  double sum;
  uint64_t in_first_two;
} seen;

static void note(const caw_metric *metric, void *to) {
  seen *s = to;
  s->n++;
  if (metric->kind != CAW_METRIC_HISTOGRAM) {
    assert_null(metric->status);
    return;
  }
  s->histograms++;
  if (strcmp(metric->name, "grpc.client.call.duration") != 0) return;
  assert_string_equal(metric->unit, "s");
  assert_string_equal(metric->status, "OK");
  assert_true(caw_str_is(metric->target, "t"));
  assert_true(caw_str_is(metric->method, "s/m"));
  assert_int_equal(metric->n_bounds, 41);
  assert_true(metric->bounds[40] > 99.5 && metric->bounds[40] < 100.5);
  s->sum = metric->sum;
  s->in_first_two = metric->counts[0] + metric->counts[1];
}

static void series_can_be_read(void **state) {
  caw_metrics *m;
  seen s = {0};
  (void)state;
  assert_int_equal(caw_metrics_new(&m), 0);
  metrics_table *t = metrics_open(m, "t");
  metrics_began(row(t, "s/m"));
  metrics_ended(row(t, "s/m"), 0, 5, 0, 0);
  metrics_call_ended(row(t, "s/m"), 0, 2000000000);
  metrics_call_ended(row(t, "s/m"), 0, 10000);
  assert_int_equal(caw_metrics_read(m, note, &s), 0);
  assert_int_equal(s.n, 5);
  assert_int_equal(s.histograms, 4);
  assert_true(s.sum > 2.0 && s.sum < 2.1);
  assert_int_equal(s.in_first_two, 1);
  metrics_close(t);
  caw_metrics_unref(m);
}

/* ---- Memory ---- */

static bool use_all(void) {
  caw_metrics *m;
  caw_str text;
  bool fine = false;
  if (caw_metrics_new(&m)) return false;
  metrics_table *t = metrics_open(m, "t");
  metrics_row *r = t ? row(t, "s/m") : NULL;
  metrics_began(r);
  metrics_ended(r, 0, 1, 2, 3);
  metrics_call_ended(r, 0, 1);
  fine = r && !caw_metrics_add_source(m, own, user) && !caw_metrics_text(m, &text);
  if (fine) caw_free((char *)text.data);
  metrics_close(t);
  caw_metrics_unref(m);
  return fine;
}

static void out_of_memory_is_a_value(void **state) {
  (void)state;
  for (long n = 1;; n++) {
    fail_at(n);
    bool fine = use_all();
    if (!failing.failed) {
      assert_true(fine);
      assert_true(n > 8);
      break;
    }
    assert_int_equal(failing.live, 0);
  }
  fail_at(0);
}

int main(void) {
  const struct CMUnitTest tests[] = {failing_test(each_value_has_its_bucket),
                                     failing_test(tables_add_up),
                                     failing_test(counters_outlive_their_owner),
                                     failing_test(methods_and_targets_are_bounded),
                                     failing_test(channels_are_no_targets),
                                     failing_test(all_methods_of_a_server_have_their_names),
                                     failing_test(the_text_is_utf8),
                                     failing_test(names_are_escaped),
                                     failing_test(programs_add_their_own),
                                     failing_test(series_can_be_read),
                                     failing_test(out_of_memory_is_a_value)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
