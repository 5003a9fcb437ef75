/* The peer client with callbacks, on a loop that is lent to poll(2): standard
 * input and the calls are served by one thread. */
#include "client.h"
#include "later.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct flight {
  attempt attempt;
  caw_call *call;
  bool half_closed;
} flight;

static caw_channel *channel;
static job *current;
static flight *flights;

static void on_metadata(caw_call *call, const caw_metadata *m, void *user) {
  (void)call;
  if (((flight *)user)->attempt.job->count == 1) print_metadata("header", m);
  fflush(stdout);
}

static void on_message(caw_call *call, const void *message, void *user) {
  flight *f = user;
  attempt_reply(&f->attempt, message);
  if (f->attempt.replies == f->attempt.job->cancel_after) caw_call_cancel(call);
}

/* Sends the requests of a stream until the queue is full. */
static void send_more(caw_call *call, void *user) {
  flight *f = user;
  job *j = f->attempt.job;
  while (f->attempt.sent < j->n) {
    peer_order order = job_order(j, f->attempt.sent + 1);
    if (caw_call_send(call, &order)) return; /* on_drain goes on, or on_done comes */
    f->attempt.sent++;
  }
  if (!j->open && !f->half_closed) {
    f->half_closed = true;
    caw_call_close_send(call);
  }
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  flight *f = user;
  if (f->attempt.job->count == 1) print_metadata("trailer", caw_call_trailers(call));
  f->call = NULL;
  attempt_done(&f->attempt, status->code, status->message);
}

static void on_unary(caw_call *call, const caw_status *status, const void *reply, void *user) {
  flight *f = user;
  if (f->attempt.job->count == 1) print_metadata("header", caw_call_metadata(call));
  if (reply) attempt_reply(&f->attempt, reply);
  on_done(call, status, user);
}

static int start(flight *f) {
  static const caw_client_events events = {on_metadata, on_message, send_more, on_done, NULL};
  job *j = f->attempt.job;
  peer_order order = job_order(j, 1);
  if (j->method.kind == CAW_UNARY)
    return caw_call_start_unary(&f->call, channel, &j->method, &order, &j->options, on_unary, NULL,
                                f);
  if (j->method.kind == CAW_SERVER_STREAM)
    return caw_call_start_with(&f->call, channel, &j->method, &order, &j->options, &events, f);
  int rc = caw_call_start(&f->call, channel, &j->method, &j->options, &events, f);
  if (!rc) send_more(f->call, f);
  return rc;
}

static void start_job(char *line) {
  current = job_read(line);
  flights = calloc((size_t)current->count, sizeof(*flights));
  for (int i = 0; i < current->count; i++) {
    flights[i].attempt.job = current;
    int rc = start(&flights[i]);
    if (rc) attempt_done(&flights[i].attempt, rc, caw_str_from(caw_strerror(rc)));
    if (!rc && current->wait_read) caw_call_pause(flights[i].call);
  }
}

static void take_line(char *line) {
  if (current && !strcmp(line, "cancel\n")) {
    caw_call_cancel(flights[0].call);
  } else if (current && !strcmp(line, "read\n")) {
    if (flights[0].call) caw_call_resume(flights[0].call);
  } else {
    start_job(line);
  }
}

/* Lines are short and come one at a time, so a read is a line or several. */
static bool read_lines(void) {
  static char text[65536];
  static size_t len;
  ssize_t n = read(STDIN_FILENO, text + len, sizeof(text) - 1 - len);
  if (n <= 0) return false;
  len += (size_t)n;
  text[len] = '\0';
  char *end = strchr(text, '\n');
  if (!end || end[1]) return true;
  len = 0;
  take_line(text);
  return true;
}

int callback_main(const char *target) {
  caw_loop *loop;
  caw_channel_options options = {.size = sizeof(options),
                                 .backoff_initial_ms = 100,
                                 .backoff_max_ms = 500,
                                 .user_agent = "peer-client"};
  if (caw_loop_new(&loop)) return 1;
  options.loop = loop;
  if (caw_channel_new(&channel, target, &options, NULL)) return 1;
  if (later_intercept_channel(channel)) return 1;
  for (bool input = true; input || current;) {
    struct pollfd p[2] = {{caw_loop_fd(loop), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    poll(p, input ? 2 : 1, caw_loop_timeout(loop));
    if (input && p[1].revents) input = read_lines();
    caw_loop_run(loop, CAW_LOOP_NOWAIT);
    if (current && current->done == current->count) {
      job_free(current);
      free(flights);
      current = NULL;
    }
  }
  caw_channel_free(channel);
  caw_loop_free(loop);
  later_end();
  return 0;
}
