/* What a channel's calls add to its metrics (caw/metrics.h). */
#include "stats/metrics.h"

#include "client/call.h"
#include "io/sys.h"

#include <caw/alloc.h>
#include <stdio.h>

/* The target with its scheme (gRFC A66): one without is a name for DNS. */
static bool has_scheme(const char *target) {
  static const char *const schemes[] = {"dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:"};
  for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
    if (!strncmp(target, schemes[i], strlen(schemes[i]))) return true;
  return false;
}

int client_stats_open(caw_channel *ch, caw_metrics *metrics, const char *target) {
  size_t room = strlen(target) + sizeof("dns:///");
  char *full = caw_malloc(room);
  if (!full) return CAW_ENOMEM;
  snprintf(full, room, "%s%s", has_scheme(target) ? "" : "dns:///", target);
  ch->metrics = metrics_open(metrics, full);
  caw_free(full);
  return ch->metrics ? 0 : CAW_ENOMEM;
}

void client_stats_call_began(client_call *cc) {
  metrics_table *t = cc->channel->metrics;
  if (!t) return;
  const char *path = cc->base.method->path;
  cc->row = metrics_row_of(t, caw_str_from(*path == '/' ? path + 1 : path));
  cc->began = io_sys_clock();
}

void client_stats_attempt_began(client_call *cc) {
  if (!cc->row || cc->attempt) return; /* it went on, with its credentials */
  cc->attempt = true;
  cc->attempt_began = io_sys_clock();
  metrics_began(cc->row);
}

void client_stats_attempt_ended(client_call *cc, int code) {
  if (!cc->attempt || !cc->channel) return;
  cc->attempt = false;
  metrics_ended(cc->row, code, io_sys_clock() - cc->attempt_began, cc->base.sent_bytes,
                cc->base.received_bytes);
}

/* A channel that is freed in a callback has taken its table with it. */
void client_stats_call_ended(client_call *cc, int code) {
  client_stats_attempt_ended(cc, code);
  if (cc->row && cc->channel) metrics_call_ended(cc->row, code, io_sys_clock() - cc->began);
}
