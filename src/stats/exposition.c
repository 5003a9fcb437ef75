/*
 * Metrics as text in Prometheus' exposition format, version 0.0.4, made in pieces of a few
 * KiB, so that who serves it to a slow reader neither keeps it whole nor makes it in one go. Also
 * the lines that programs add.
 */
#include "base/buf.h"
#include "base/utf8.h"
#include "stats/metrics.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Words ---- */

static void put(buf *out, const char *text) {
  buf_append(out, text, strlen(text));
}

/* A label's value, or (`help`) a text for people, in which quotes may stand. A byte that is no
 * UTF-8 would cost the reader all of the page. */
static void put_escaped(buf *out, caw_str text, bool help) {
  for (size_t i = 0, n; i < text.len; i += n) {
    char c = text.data[i];
    n = utf8_length(text.data + i, text.len - i);
    if (c == '\\') put(out, "\\\\");
    else if (c == '\n') put(out, "\\n");
    else if (c == '"' && !help) put(out, "\\\"");
    else buf_append(out, n ? text.data + i : "?", n ? n : 1);
    if (!n) n = 1;
  }
}

static void put_head(buf *out, const char *name, const char *help, const char *type) {
  put(out, "# HELP ");
  put(out, name);
  put(out, " ");
  put_escaped(out, caw_str_from(help), true);
  buf_printf(out, "\n# TYPE %s %s\n", name, type);
}

static void put_number(buf *out, uint64_t n) {
  char text[24];
  char *p = text + sizeof(text);
  *--p = '\n';
  do *--p = (char)('0' + n % 10);
  while (n /= 10);
  buf_append(out, p, (size_t)(text + sizeof(text) - p));
}

/* ---- Series ---- */

/* What the labels of a run of rows are, up to the closing brace. */
static void put_labels(buf *out, const metrics_ref *r, const char *status) {
  put(out, "grpc_method=\"");
  put_escaped(out, caw_str_of(r->row->method, r->row->len), false);
  if (r->table->target) {
    put(out, "\",grpc_target=\"");
    put_escaped(out, caw_str_from(r->table->target), false);
  }
  if (status) {
    put(out, "\",grpc_status=\"");
    put(out, status);
  }
  put(out, "\"");
}

static void put_sample(buf *out, const char *name, const char *suffix, const buf *labels,
                       const char *le) {
  put(out, name);
  put(out, suffix);
  put(out, "{");
  buf_append(out, labels->data, labels->len);
  if (le) {
    put(out, ",le=\"");
    put(out, le);
    put(out, "\"");
  }
  put(out, "} ");
}

static void put_histogram(buf *out, const metrics_family *f, const metrics_sum *sum,
                          const buf *labels) {
  bool sizes = f->what == METRICS_SENT || f->what == METRICS_RECEIVED;
  const char *const *bounds = sizes ? metrics_bytes_text : metrics_seconds_text;
  size_t n = sizes ? METRICS_SIZES : METRICS_TIMES;
  uint64_t so_far = 0;
  for (size_t i = 0; i <= n; i++) {
    so_far += sum->buckets[i];
    put_sample(out, f->prometheus, "_bucket", labels, i < n ? bounds[i] : "+Inf");
    put_number(out, so_far);
  }
  put_sample(out, f->prometheus, "_sum", labels, NULL);
  if (sizes) put_number(out, sum->sum);
  else
    buf_printf(out, "%llu.%09llu\n", (unsigned long long)(sum->sum / 1000000000),
               (unsigned long long)(sum->sum % 1000000000));
  put_sample(out, f->prometheus, "_count", labels, NULL);
  put_number(out, sum->count);
}

/* The series of a family that a run of rows has with this code, if any. */
static void put_series(buf *out, const metrics_view *v, size_t first, size_t end,
                       const metrics_family *f, int code) {
  metrics_sum sum;
  buf labels = {0};
  if (!metrics_add_up(&sum, v, first, end, f->what, code)) return;
  put_labels(&labels, &v->refs[first], f->what == METRICS_STARTED ? NULL : caw_code_name(code));
  if (labels.failed) {
    out->failed = true;
  } else if (f->what == METRICS_STARTED) {
    put_sample(out, f->prometheus, "", &labels, NULL);
    put_number(out, sum.count);
  } else {
    put_histogram(out, f, &sum, &labels);
  }
  buf_finish(&labels);
}

/* ---- The program's own ---- */

struct caw_metrics_page {
  buf *out;
  char last[128]; /* the name whose head was written last */
};

static bool name_valid(const char *name, bool colon) {
  for (size_t i = 0; name[i]; i++) {
    char c = name[i];
    bool letter =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':');
    if (!letter && !(i && c >= '0' && c <= '9')) return false;
  }
  return name[0] != '\0' && strlen(name) < sizeof(((caw_metrics_page *)0)->last);
}

static int begin_own(caw_metrics_page *page, const char *name, const char *help, const char *type,
                     const char *label, const char *label_value) {
  if (!name || !name_valid(name, true)) return CAW_EINVAL;
  if (!label != !label_value || (label && !name_valid(label, false))) return CAW_EINVAL;
  if (strcmp(page->last, name) != 0) {
    put_head(page->out, name, help ? help : "", type);
    strcpy(page->last, name);
  }
  put(page->out, name);
  if (label) {
    buf_printf(page->out, "{%s=\"", label);
    put_escaped(page->out, caw_str_from(label_value), false);
    put(page->out, "\"}");
  }
  put(page->out, " ");
  return 0;
}

/* Whatever the locale's decimal point is. */
static void put_double(buf *out, double value) {
  char text[40];
  if (isnan(value)) put(out, "NaN\n");
  else if (isinf(value)) put(out, value < 0 ? "-Inf\n" : "+Inf\n");
  else {
    snprintf(text, sizeof(text), "%.15g\n", value);
    for (char *p = text; *p; p++)
      if (*p == ',') *p = '.';
    put(out, text);
  }
}

int caw_metrics_gauge(caw_metrics_page *page, const char *name, const char *help, const char *label,
                      const char *label_value, double value) {
  int rc = begin_own(page, name, help, "gauge", label, label_value);
  if (rc) return rc;
  put_double(page->out, value);
  return page->out->failed ? CAW_ENOMEM : 0;
}

int caw_metrics_counter(caw_metrics_page *page, const char *name, const char *help,
                        const char *label, const char *label_value, uint64_t value) {
  size_t len = name ? strlen(name) : 0;
  if (len <= 6 || strcmp(name + len - 6, "_total") != 0) return CAW_EINVAL;
  int rc = begin_own(page, name, help, "counter", label, label_value);
  if (rc) return rc;
  put_number(page->out, value);
  return page->out->failed ? CAW_ENOMEM : 0;
}

/* Sources are only ever added, at the end. */
static void put_own(buf *out, caw_metrics *m) {
  caw_metrics_page page = {out, ""};
  pthread_mutex_lock(&m->lock);
  const metrics_source *s = m->sources;
  pthread_mutex_unlock(&m->lock);
  pthread_mutex_lock(&m->source_lock);
  while (s) {
    s->fn(&page, s->user);
    pthread_mutex_lock(&m->lock);
    s = s->next;
    pthread_mutex_unlock(&m->lock);
  }
  pthread_mutex_unlock(&m->source_lock);
}

/* ---- Pieces ---- */

#define PIECE ((size_t)16 * 1024)

int exposition_begin(exposition *e, caw_metrics *m) {
  *e = (exposition){0};
  return metrics_view_init(&e->view, m);
}

void exposition_finish(exposition *e) {
  if (e->view.metrics) metrics_view_finish(&e->view);
}

/* Servers' rows come first. */
static bool has_rows(const metrics_view *v, bool client) {
  return v->len && v->refs[client ? v->len - 1 : 0].table->client == client;
}

bool exposition_next(exposition *e, buf *out) {
  const metrics_view *v = &e->view;
  size_t before = out->len;
  while (e->family < metrics_n_families && out->len - before < PIECE) {
    const metrics_family *f = &metrics_families[e->family];
    if (e->at == 0 && e->code == 0 && has_rows(v, f->client))
      put_head(out, f->prometheus, f->description,
               f->what == METRICS_STARTED ? "counter" : "histogram");
    if (e->at >= v->len) {
      e->family++;
      e->at = 0;
      continue;
    }
    size_t end = metrics_view_run(v, e->at);
    if (v->refs[e->at].table->client == f->client) put_series(out, v, e->at, end, f, e->code);
    if (out->failed) return false;
    if (f->what != METRICS_STARTED && ++e->code < METRICS_CODES) continue;
    e->code = 0;
    e->at = end;
  }
  if (e->family < metrics_n_families) return true;
  put_own(out, v->metrics);
  return false;
}

int caw_metrics_text(caw_metrics *m, caw_str *out) {
  exposition e;
  buf text = {0};
  int rc = exposition_begin(&e, m);
  if (rc) return rc;
  while (exposition_next(&e, &text)) continue;
  exposition_finish(&e);
  if (!buf_append(&text, "", 1) && !text.failed) {
    *out = caw_str_of((const char *)text.data, text.len - 1);
    return 0;
  }
  buf_finish(&text);
  return CAW_ENOMEM;
}
