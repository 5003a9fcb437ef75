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

#define AGAIN_MS 200

static int listen_on(observe *o, char *why, size_t room) {
  int rc = caw_metrics_http_new(&o->http, o->loop, o->metrics, o->metrics_address, why, room);
  if (rc) return rc;
  printf("metrics on %s\n", caw_metrics_http_address(o->http));
  fflush(stdout);
  return 0;
}

/* The one before us has it still, until it drains. */
static void look_again(void *user) {
  observe *o = user;
  char why[300];
  int rc = listen_on(o, why, sizeof(why));
  if (rc == CAW_EADDRINUSE) caw_timer_start(o->again, AGAIN_MS);
  else if (rc) fprintf(stderr, "%s\n", why);
}

static void leave(void *user) {
  observe *o = user;
  caw_metrics_http_free(o->http);
  caw_timer_free(o->again);
  o->http = NULL;
  o->again = NULL;
}

static int wait_for_it(observe *o) {
  int rc = caw_timer_new(&o->again, o->loop, look_again, o);
  if (!rc) caw_timer_start(o->again, AGAIN_MS);
  return rc;
}

void observe_begin(observe *o, const char *program, caw_server *server) {
  char why[300] = "out of memory";
  int rc = o->channelz ? caw_channelz_add(server, o->channelz) : 0;
  if (rc) args_fail(program, "cannot add channelz: %s", caw_strerror(rc));
  if (!o->metrics) return;
  o->loop = caw_server_loop(server);
  rc = listen_on(o, why, sizeof(why));
  if (o->takeover && rc == CAW_EADDRINUSE) rc = wait_for_it(o);
  if (!rc && o->takeover) rc = caw_server_on_drain(server, leave, o);
  if (rc) args_fail(program, "%s", why);
}

void observe_end(observe *o) {
  leave(o);
  caw_metrics_unref(o->metrics);
  caw_channelz_unref(o->channelz);
}
