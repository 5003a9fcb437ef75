/* What a server's calls add to its metrics (caw/metrics.h), each loop to a table of its own; and
 * what of the server can be looked at (caw/channelz.h). */
#include "stats/metrics.h"

#include "io/sys.h"
#include "server/server.h"

#include <caw/alloc.h>

int server_stats_open(worker *w) {
  caw_metrics *m = w->server->options.metrics;
  w->shown = channelz_calls(w->server->channelz, (size_t)(w - w->server->workers));
  w->counts = m || w->shown;
  if (!m) return 0;
  w->metrics = metrics_open(m, NULL);
  return w->metrics ? 0 : CAW_ENOMEM;
}

void server_stats_close(worker *w) {
  metrics_close(w->metrics);
  caw_free(w->rows);
  w->metrics = NULL;
  w->rows = NULL;
  w->n_rows = 0;
}

/* Made with the first call of its method; NULL: out of memory. Kept out of row_of, which would
 * save registers for it: 40 instructions a call. */
__attribute__((noinline)) static metrics_row *make_row(worker *w, const method_entry *entry,
                                                       size_t number) {
  if (number >= w->n_rows) {
    size_t n = w->server->n_methods + 1;
    metrics_row **rows = caw_realloc(w->rows, n * sizeof(metrics_row *));
    if (!rows) return NULL;
    memset(rows + w->n_rows, 0, (n - w->n_rows) * sizeof(metrics_row *));
    w->rows = rows;
    w->n_rows = n;
  }
  const char *name = entry ? entry->handler->method->path : "other";
  w->rows[number] = metrics_row_of(w->metrics, caw_str_from(*name == '/' ? name + 1 : name));
  return w->rows[number];
}

static metrics_row *row_of(worker *w, const method_entry *entry) {
  size_t number = entry ? entry->number : 0;
  metrics_row *row = number < w->n_rows ? w->rows[number] : NULL;
  return row ? row : make_row(w, entry, number);
}

void server_stats_began(worker *w, const method_entry *entry, const caw_call *call) {
  channelz_call_began(w->shown, call->joined);
  if (w->metrics) metrics_began(row_of(w, entry));
}

/* `joined` is the turn's time, in which the request was read from the socket. */
void server_stats_ended(worker *w, const method_entry *entry, const caw_call *call, int code) {
  channelz_call_ended(w->shown, code);
  if (!w->metrics) return;
  uint64_t now = io_sys_clock(), began = call->joined;
  metrics_ended(row_of(w, entry), code, now > began ? now - began : 0, call->sent_bytes,
                call->received_bytes);
}

void server_show(caw_server *s) {
  const z_birth birth = {.kind = CAW_CHANNELZ_SERVER, .n_calls = s->options.loops};
  s->channelz = channelz_open(s->options.channelz, &birth);
  if (!s->channelz) return; /* no memory; and its reference is what keeps the rest */
  s->config.channelz = s->options.channelz;
  s->config.channelz_parent = s->channelz;
}

void server_show_entrance(entrance *e) {
  char local[IO_ADDRESS_TEXT];
  if (!e->server->channelz) return;
  io_address_format(local, io_listener_address(e->listener));
  const z_birth birth = {.kind = CAW_CHANNELZ_LISTENER,
                         .parent = e->server->channelz,
                         .name = e->address,
                         .local = local};
  e->channelz = channelz_open(e->server->options.channelz, &birth);
}

void server_hide_entrance(entrance *e) {
  channelz_close(e->channelz);
  e->channelz = NULL;
}
