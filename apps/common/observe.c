/* The options of observe.h. */
#include "observe.h"

#include "args.h"

#include <stdio.h>

bool observe_option(observe *o, const char *program, int option, const char *value) {
  switch (option) {
  case OBSERVE_METRICS:
    o->metrics_address = value;
    return true;
  case OBSERVE_ACCESS_LOG:
    if (!access_log_parse(&o->log, value))
      args_wrong(program, "--access-log: \"%s\" is neither text nor json", value);
    return true;
  case OBSERVE_CHANNELZ:
    o->with_channelz = true;
    return true;
  default:
    return false;
  }
}

void observe_prepare(observe *o, const char *program, caw_server_options *options,
                     void (*log)(const caw_call_summary *call, void *user)) {
  options->on_call = o->log ? access_log_call : log;
  options->user = &o->log;
  int rc = o->metrics_address ? caw_metrics_new(&o->metrics) : 0;
  if (!rc && o->with_channelz) rc = caw_channelz_new(&o->channelz);
  if (rc) args_fail(program, "cannot count calls: %s", caw_strerror(rc));
  options->metrics = o->metrics;
  options->channelz = o->channelz;
}

void observe_begin(observe *o, const char *program, caw_server *server) {
  char why[300];
  int rc = o->channelz ? caw_channelz_add(server, o->channelz) : 0;
  if (rc) args_fail(program, "cannot add channelz: %s", caw_strerror(rc));
  if (!o->metrics) return;
  if (caw_metrics_http_new(&o->http, caw_server_loop(server), o->metrics, o->metrics_address, why,
                           sizeof(why)))
    args_fail(program, "%s", why);
  printf("metrics on %s\n", caw_metrics_http_address(o->http));
  fflush(stdout);
}

void observe_end(observe *o) {
  caw_metrics_http_free(o->http);
  caw_metrics_unref(o->metrics);
  caw_channelz_unref(o->channelz);
}
