/* The fixture of duo.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>

const caw_method duo_unary = {"/test.Duo/Unary", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
const caw_method duo_server_stream = {"/test.Duo/ServerStream", CAW_SERVER_STREAM, &caw_type_bytes,
                                      &caw_type_bytes};
const caw_method duo_client_stream = {"/test.Duo/ClientStream", CAW_CLIENT_STREAM, &caw_type_bytes,
                                      &caw_type_bytes};
const caw_method duo_bidi = {"/test.Duo/Bidi", CAW_BIDI, &caw_type_bytes, &caw_type_bytes};

static void append(char *to, size_t room, const char *format, va_list args) CAW_PRINTF(3, 0);
static void append(char *to, size_t room, const char *format, va_list args) {
  size_t len = strlen(to);
  vsnprintf(to + len, room - len, format, args);
}

void duo_note(duo *d, const char *format, ...) {
  va_list args;
  va_start(args, format);
  append(d->log, sizeof(d->log), format, args);
  va_end(args);
}

/* ---- The service ---- */

static int on_open(caw_call *call, const void *impl, void *self) {
  duo *d = self;
  (void)impl;
  duo_note(d, "open;");
  return d->on_open ? d->on_open(d, call) : 0;
}

static int on_message(caw_call *call, const void *request, void *reply, const void *impl,
                      void *self) {
  duo *d = self;
  (void)impl;
  const caw_str *text = request;
  if (text->len < 64) duo_note(d, "message %.*s;", CAW_STR_ARG(*text));
  if (d->on_message) return d->on_message(d, call, text, reply);
  if (reply) {
    *(caw_str *)reply = *text;
    return 0;
  }
  return caw_call_send(call, text);
}

static int on_end(caw_call *call, void *reply, const void *impl, void *self) {
  duo *d = self;
  (void)impl;
  duo_note(d, "end;");
  if (d->on_end) return d->on_end(d, call, reply);
  if (reply) *(caw_str *)reply = caw_str_from("sum");
  return 0;
}

/* A client stream collects; there is nothing to echo to. */
static int on_collect(caw_call *call, const void *request, void *reply, const void *impl,
                      void *self) {
  duo *d = self;
  (void)impl;
  (void)reply;
  duo_note(d, "message %.*s;", CAW_STR_ARG(*(const caw_str *)request));
  return d->on_message ? d->on_message(d, call, request, NULL) : 0;
}

static const caw_handler handlers[] = {
    {&duo_unary, on_message, NULL, NULL},
    {&duo_server_stream, on_message, NULL, NULL},
    {&duo_client_stream, on_collect, on_open, on_end},
    {&duo_bidi, on_message, on_open, on_end},
};

static void note_cancel(caw_call *call, void *user) {
  duo *d = user;
  assert_true(caw_call_cancelled(call));
  d->n_cancel++;
  duo_note(d, "cancel;");
}

static void note_drain(caw_call *call, void *user) {
  duo *d = user;
  (void)call;
  d->n_drain++;
  duo_note(d, "drain;");
}

static void note_shutdown(caw_call *call, void *user) {
  duo *d = user;
  (void)call;
  d->n_shutdown++;
  duo_note(d, "shutdown;");
}

static void note_done(caw_call *call, const caw_status *status, void *user) {
  duo *d = user;
  (void)call;
  d->n_done++;
  d->done_status.code = status->code;
  duo_note(d, "done %s;", caw_code_name(status->code));
}

void duo_listen(duo *d, caw_call *call) {
  static const caw_call_events events = {note_cancel, note_drain, note_shutdown, note_done};
  caw_call_on(call, &events, d);
}

static void on_call(const caw_call_summary *call, void *user) {
  duo *d = user;
  d->summaries++;
  d->last_code = call->status.code;
}

/* ---- Life ---- */

void duo_init(duo *d) {
  const char *why = "";
  assert_int_equal(caw_loop_new(&d->loop), 0);
  d->server_options.size = sizeof(d->server_options);
  d->server_options.loop = d->loop;
  if (!d->server_options.on_call) {
    d->server_options.on_call = on_call;
    d->server_options.user = d;
  }
  assert_int_equal(caw_server_new(&d->server, &d->server_options), 0);
  assert_int_equal(caw_server_add(d->server, handlers, 4, NULL, d), 0);
  assert_int_equal(caw_server_listen(d->server, "127.0.0.1:0"), 0);
  d->channel_options.size = sizeof(d->channel_options);
  d->channel_options.loop = d->loop;
  assert_int_equal(
      caw_channel_new(&d->channel, caw_server_address(d->server, 0), &d->channel_options, &why), 0);
}

static void set_flag(void *flag) {
  *(int *)flag = 1;
}

void duo_finish(duo *d) {
  int drained = 0;
  caw_channel_free(d->channel);
  if (d->server) {
    caw_server_drain(d->server, 0, set_flag, &drained);
    duo_until(d, &drained);
    caw_server_free(d->server);
  }
  caw_loop_free(d->loop);
}

void duo_other_address(char out[INET_ADDRSTRLEN]) {
  struct ifaddrs *all = NULL;
  out[0] = '\0';
  assert_int_equal(getifaddrs(&all), 0);
  for (struct ifaddrs *a = all; a && !out[0]; a = a->ifa_next) {
    if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET) continue;
    struct sockaddr_in in;
    memcpy(&in, a->ifa_addr, sizeof(in));
    if (ntohl(in.sin_addr.s_addr) >> 24 != 127)
      inet_ntop(AF_INET, &in.sin_addr, out, INET_ADDRSTRLEN);
  }
  freeifaddrs(all);
}

void duo_move_to(duo *d, const char *address, caw_server_credentials *tls) {
  const char *why = "";
  assert_int_equal(tls ? caw_server_listen_tls(d->server, address, tls)
                       : caw_server_listen(d->server, address),
                   0);
  caw_channel_free(d->channel);
  if (caw_channel_new(&d->channel, caw_server_address(d->server, 1), &d->channel_options, &why))
    fail_msg("%s", why);
}

static void give_up(void *user) {
  duo *d = user;
  d->timed_out = true;
}

void duo_until(duo *d, const int *flag) {
  caw_timer *watchdog;
  assert_int_equal(caw_timer_new(&watchdog, d->loop, give_up, d), 0);
  caw_timer_start(watchdog, 20000);
  while (!*flag && !d->timed_out) caw_loop_run(d->loop, CAW_LOOP_ONCE);
  caw_timer_free(watchdog);
  if (d->timed_out) fail_msg("nothing more happened; so far: %s", d->log);
}

void duo_turns(duo *d, int n) {
  for (int i = 0; i < n; i++) caw_loop_run(d->loop, CAW_LOOP_NOWAIT);
}

/* ---- Calls ---- */

static void print_metadata(char *to, size_t room, const caw_metadata *m) {
  for (size_t i = 0; i < m->len; i++) {
    size_t len = strlen(to);
    if (m->entries[i].key.data[0] == 'x')
      snprintf(to + len, room - len, "%.*s=%.*s;", CAW_STR_ARG(m->entries[i].key),
               CAW_STR_ARG(m->entries[i].value));
  }
}

static void heard_metadata(caw_call *call, const caw_metadata *metadata, void *user) {
  heard *h = user;
  (void)call;
  h->n_metadata++;
  print_metadata(h->metadata, sizeof(h->metadata), metadata);
}

static void heard_message(caw_call *call, const void *message, void *user) {
  heard *h = user;
  const caw_str *text = message;
  size_t len = strlen(h->replies);
  if (text->len < 64)
    snprintf(h->replies + len, sizeof(h->replies) - len, "%s%.*s", len ? "|" : "",
             CAW_STR_ARG(*text));
  if (h->pause && !h->n_replies) caw_call_pause(call);
  h->n_replies++;
}

static void heard_drain(caw_call *call, void *user) {
  (void)call;
  ((heard *)user)->n_drains++;
}

static void heard_done(caw_call *call, const caw_status *status, void *user) {
  heard *h = user;
  h->n_done++;
  h->code = status->code;
  snprintf(h->message, sizeof(h->message), "%.*s", CAW_STR_ARG(status->message));
  print_metadata(h->trailers, sizeof(h->trailers), caw_call_trailers(call));
  h->call = NULL;
}

static const caw_client_events heard_events = {heard_metadata, heard_message, heard_drain,
                                               heard_done, NULL};

void duo_call(duo *d, heard *h, const caw_method *method, const char *request,
              const caw_call_options *options) {
  caw_str text = caw_str_from(request);
  bool pause = h->pause;
  memset(h, 0, sizeof(*h));
  h->pause = pause;
  int rc = request
               ? caw_call_start_with(&h->call, d->channel, method, &text, options, &heard_events, h)
               : caw_call_start(&h->call, d->channel, method, options, &heard_events, h);
  assert_int_equal(rc, 0);
}

int duo_send(heard *h, const char *text) {
  caw_str s = caw_str_from(text);
  return caw_call_send(h->call, &s);
}

void duo_done(duo *d, heard *h) {
  duo_until(d, &h->n_done);
  duo_turns(d, 3); /* the server's side of the end */
  assert_int_equal(h->n_done, 1);
}
