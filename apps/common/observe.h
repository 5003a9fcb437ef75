/*
 * What the servers have in common for those who look at them: --metrics, --access-log and
 * --channelz. Zeroed at
 * first; used in this order: observe_option for each option, observe_prepare, observe_begin,
 * observe_end.
 */
#ifndef APPS_OBSERVE_H
#define APPS_OBSERVE_H

#include "access_log.h"

#include <caw/channelz.h>
#include <caw/metrics_http.h>
#include <caw/server.h>

typedef struct observe {
  const char *metrics_address;
  access_log log;
  bool with_channelz;
  caw_metrics *metrics; /* NULL: nobody counts */
  caw_metrics_http *http;
  caw_channelz *channelz; /* NULL: nobody looks */

  /* With a server that takes over from another: the address is left with the first word of a
   * drain, and waited for. Set by the program. */
  bool takeover;
  caw_loop *loop;
  caw_timer *again; /* when it is looked for */
} observe;

/* The options, whose codes are below those of the programs. */
enum { OBSERVE_METRICS = 200, OBSERVE_ACCESS_LOG, OBSERVE_CHANNELZ };
/* clang-format off */
#define OBSERVE_OPTIONS                                                                            \
  {"metrics", required_argument, NULL, OBSERVE_METRICS},                                           \
  {"access-log", required_argument, NULL, OBSERVE_ACCESS_LOG},                                     \
  {"channelz", no_argument, NULL, OBSERVE_CHANNELZ}
/* clang-format on */
#define OBSERVE_HELP                                                                               \
  "  --metrics ADDRESS  metrics for Prometheus at http://ADDRESS/metrics, for all\n"               \
  "                     who can connect there (127.0.0.1:9464); default: none\n"                   \
  "  --access-log text|json  a line for each call on standard error, in place of\n"                \
  "                     the one on standard output\n"                                              \
  "  --channelz         serve gRPC's channelz: who is connected, what was sent\n"

/* Takes an option; false when it is none of these. Exits with 2 on a wrong value. */
bool observe_option(observe *o, const char *program, int option, const char *value);

/* Fills the options of a server. `log`: what on_call is without --access-log, or NULL. */
void observe_prepare(observe *o, const char *program, caw_server_options *options,
                     void (*log)(const caw_call_summary *call, void *user));

/* Adds the service and listens, and says where; exits with 1 when that cannot be. Before the
 * server listens. */
void observe_begin(observe *o, const char *program, caw_server *server);

/* When the server has run, and before it is freed. */
void observe_end(observe *o);

#endif
