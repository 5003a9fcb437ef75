/* What the calls of a server and a channel add to metrics, through real sockets. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"
#include "raw.h"
#include "server/server.h"

#include <caw/alloc.h>
#include <caw/channelz.h>
#include <caw/interceptor.h>
#include <caw/metrics.h>
#include <stdio.h>
#include <string.h>

#define UNARY "test.Duo/Unary"

/* ---- Reading ---- */

typedef struct wanted {
  const char *name, *method, *status;
  uint64_t count;
  double sum;
  bool found;
} wanted;

static void look(const caw_metric *m, void *user) {
  wanted *w = user;
  if (strcmp(m->name, w->name) || !caw_str_is(m->method, w->method)) return;
  if (w->status && (!m->status || strcmp(m->status, w->status))) return;
  w->found = true;
  w->count += m->count;
  w->sum += m->sum;
}

static wanted read_metric(caw_metrics *m, const char *name, const char *method,
                          const char *status) {
  wanted w = {.name = name, .method = method, .status = status};
  assert_int_equal(caw_metrics_read(m, look, &w), 0);
  return w;
}

static void assert_count(caw_metrics *m, const char *name, const char *method, const char *status,
                         uint64_t n) {
  wanted w = read_metric(m, name, method, status);
  if (w.count != n)
    fail_msg("%s %s %s: %llu, not %llu", name, method, status ? status : "",
             (unsigned long long)w.count, (unsigned long long)n);
}

static void begin(duo *d) {
  memset(d, 0, sizeof(*d));
  assert_int_equal(caw_metrics_new(&d->server_options.metrics), 0);
  d->channel_options.metrics = d->server_options.metrics;
}

static void end(duo *d) {
  caw_metrics *m = d->server_options.metrics;
  duo_finish(d);
  caw_metrics_unref(m);
}

/* ---- Calls ---- */

static void a_call_is_counted_on_both_sides(void **state) {
  duo d;
  heard h = {0};
  (void)state;
  begin(&d);
  duo_init(&d);
  caw_metrics *m = d.server_options.metrics;
  duo_call(&d, &h, &duo_unary, "hello", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_count(m, "grpc.server.call.started", UNARY, NULL, 1u);
  assert_count(m, "grpc.server.call.duration", UNARY, "OK", 1u);
  assert_count(m, "grpc.client.attempt.started", UNARY, NULL, 1u);
  assert_count(m, "grpc.client.attempt.duration", UNARY, "OK", 1u);
  assert_count(m, "grpc.client.call.duration", UNARY, "OK", 1u);
  static const char *const sizes[] = {"grpc.server.call.sent_total_compressed_message_size",
                                      "grpc.server.call.rcvd_total_compressed_message_size",
                                      "grpc.client.attempt.sent_total_compressed_message_size",
                                      "grpc.client.attempt.rcvd_total_compressed_message_size"};
  for (size_t i = 0; i < 4; i++) {
    wanted w = read_metric(m, sizes[i], UNARY, "OK");
    assert_int_equal(w.count, 1);
    assert_int_equal((int)w.sum, 5);
  }
  wanted w = read_metric(m, "grpc.server.call.duration", UNARY, "OK");
  assert_true(w.sum > 0 && w.sum < 20);
  end(&d);
}

/* Refused before a handler was looked for, and counted like others: what ended had begun. */
static void a_stream_that_is_refused_for_memory_has_begun(void **state) {
  duo d;
  heard h = {0};
  (void)state;
  begin(&d);
  duo_init(&d);
  atomic_fetch_add(&d.server->tally.bytes, (size_t)2 << 30); /* others have it all */
  duo_call(&d, &h, &duo_bidi, NULL, NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, CAW_RESOURCE_EXHAUSTED);
  caw_metrics *m = d.server_options.metrics;
  assert_count(m, "grpc.server.call.started", "test.Duo/Bidi", NULL, 1u);
  assert_count(m, "grpc.server.call.duration", "test.Duo/Bidi", "RESOURCE_EXHAUSTED", 1u);
  atomic_fetch_sub(&d.server->tally.bytes, (size_t)2 << 30);
  end(&d);
}

static void a_stream_counts_all_its_messages(void **state) {
  duo d;
  heard h = {0};
  (void)state;
  begin(&d);
  duo_init(&d);
  duo_call(&d, &h, &duo_bidi, NULL, NULL);
  for (int i = 0; i < 3; i++) assert_int_equal(duo_send(&h, "four"), 0);
  assert_int_equal(caw_call_close_send(h.call), 0);
  duo_done(&d, &h);
  wanted w =
      read_metric(d.server_options.metrics, "grpc.server.call.rcvd_total_compressed_message_size",
                  "test.Duo/Bidi", "OK");
  assert_int_equal((int)w.sum, 12);
  w = read_metric(d.server_options.metrics,
                  "grpc.client.attempt.rcvd_total_compressed_message_size", "test.Duo/Bidi", "OK");
  assert_int_equal((int)w.sum, 12);
  end(&d);
}

/* Whatever names a client thinks of, there is one series for them. */
static void what_is_not_served_is_other(void **state) {
  static const caw_method unknown[] = {
      {"/no.Such/One", CAW_UNARY, &caw_type_bytes, &caw_type_bytes},
      {"/no.Such/Two", CAW_UNARY, &caw_type_bytes, &caw_type_bytes}};
  duo d;
  (void)state;
  begin(&d);
  duo_init(&d);
  for (int i = 0; i < 2; i++) {
    heard h = {0};
    duo_call(&d, &h, &unknown[i], "x", NULL);
    duo_done(&d, &h);
    assert_int_equal(h.code, CAW_UNIMPLEMENTED);
  }
  caw_metrics *m = d.server_options.metrics;
  assert_count(m, "grpc.server.call.started", "other", NULL, 2u);
  assert_count(m, "grpc.server.call.duration", "other", "UNIMPLEMENTED", 2u);
  assert_count(m, "grpc.client.call.duration", "no.Such/One", "UNIMPLEMENTED", 1u);
  assert_count(m, "grpc.client.call.duration", "no.Such/Two", "UNIMPLEMENTED", 1u);
  end(&d);
}

static int keep(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request;
  (void)reply;
  d->pending = caw_call_ref(call);
  duo_listen(d, call);
  return CAW_PENDING;
}

static void what_is_cancelled_has_ended(void **state) {
  duo d;
  heard h = {0};
  (void)state;
  begin(&d);
  d.on_message = keep;
  duo_init(&d);
  caw_metrics *m = d.server_options.metrics;
  duo_call(&d, &h, &duo_unary, "hello", NULL);
  while (!d.pending) duo_turns(&d, 1);
  assert_count(m, "grpc.server.call.started", UNARY, NULL, 1u);
  assert_count(m, "grpc.server.call.duration", UNARY, NULL, 0u);
  caw_call_cancel(h.call);
  duo_until(&d, &d.n_cancel);
  assert_count(m, "grpc.server.call.duration", UNARY, "CANCELLED", 1u);
  assert_count(m, "grpc.client.call.duration", UNARY, "CANCELLED", 1u);
  caw_call_finish(d.pending, 0, NULL);
  duo_until(&d, &d.n_done);
  caw_call_unref(d.pending);
  assert_count(m, "grpc.server.call.duration", UNARY, NULL, 1u);
  end(&d);
}

/* HEADERS of a unary call of stream 1, without the end, and its RST_STREAM, in one write: a
 * client that gives up at once, or one that means no good, would not be seen otherwise. */
static void what_is_reset_at_once_is_counted(void **state) {
  static const char path[] = "/" UNARY;
  uint8_t out[256] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
  size_t at = 24 + 9, head = at;
  duo d;
  (void)state;
  begin(&d);
  duo_init(&d);
  caw_metrics *m = d.server_options.metrics;
  memcpy(out + at, "\0\0\0\1\4\0\0\0\1\x83\x86\1\1a\4", 15);
  out[at + 15] = sizeof(path) - 1;
  memcpy(out + at + 16, path, sizeof(path) - 1);
  at += 16 + sizeof(path) - 1;
  memcpy(out + at,
         "\x0f\x10\x10"
         "application/grpc",
         19);
  at += 19;
  memcpy(out + at, "\0\2te\x08trailers", 13);
  at += 13;
  out[head + 2] = (uint8_t)(at - head - 9);
  memcpy(out + at, "\0\0\4\3\0\0\0\0\1\0\0\0\x08", 13);
  at += 13;
  int fd = raw_dial(caw_server_address(d.server, 0));
  assert_int_equal(raw_write(fd, out, at), at);
  for (int i = 0; i < 1000 && !d.summaries; i++) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  assert_int_equal(d.last_code, CAW_CANCELLED);
  assert_count(m, "grpc.server.call.started", UNARY, NULL, 1u);
  assert_count(m, "grpc.server.call.duration", UNARY, "CANCELLED", 1u);
  raw_close(fd);
  end(&d);
}

static void add_calls(const caw_channelz_info *info, void *user) {
  caw_channelz_info *sum = user;
  sum->calls_started += info->calls_started;
  sum->calls_failed += info->calls_failed;
  sum->calls_succeeded += info->calls_succeeded;
}

static caw_channelz_info channel_of(caw_channelz *z) {
  caw_channelz_info sum = {0};
  caw_channelz_read(z, CAW_CHANNELZ_CHANNEL, 0, 0, 0, add_calls, &sum, NULL);
  return sum;
}

static void on_unary(caw_call *call, const caw_status *status, const void *reply, void *user) {
  (void)call, (void)status, (void)reply, (void)user;
  fail_msg("a call that never was ends");
}

static int refuse(const void *desc, const void *message, size_t *len) {
  (void)desc, (void)message, (void)len;
  return CAW_EUTF8;
}

/* A call whose request cannot be encoded never was. */
static void what_cannot_be_sent_was_not_begun(void **state) {
  caw_codec codec = *caw_type_bytes.codec;
  const caw_type type = {&codec, NULL, sizeof(caw_str)};
  const caw_method method = {"/" UNARY, CAW_UNARY, &type, &caw_type_bytes};
  const caw_str request = CAW_STR("x");
  heard h = {0};
  duo d;
  (void)state;
  codec.measure = refuse;
  begin(&d);
  caw_metrics *m = d.server_options.metrics;
  assert_int_equal(caw_channelz_new(&d.channel_options.channelz), 0);
  caw_channelz *z = d.channel_options.channelz;
  duo_init(&d);
  assert_int_equal(caw_call_start_unary(NULL, d.channel, &method, &request, NULL, on_unary, NULL,
                                        NULL),
                   CAW_EUTF8);
  assert_count(m, "grpc.client.attempt.started", UNARY, NULL, 0u);
  assert_int_equal(channel_of(z).calls_started, 0);
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(channel_of(z).calls_started, 1);
  assert_int_equal(channel_of(z).calls_succeeded, 1);
  end(&d);
  caw_channelz_unref(z);
}

static void free_the_channel(caw_call *call, const void *message, void *user) {
  duo *d = user;
  (void)call, (void)message;
  caw_channel_free(d->channel);
  d->channel = NULL;
}

static void on_freed_done(caw_call *call, const caw_status *status, void *user) {
  duo *d = user;
  (void)call;
  d->n_done = status->code ? status->code : -1;
}

/* Its last callback comes when the channel has gone, but it was the channel's. */
static void who_frees_the_channel_is_counted(void **state) {
  static const caw_client_events events = {.on_message = free_the_channel,
                                           .on_done = on_freed_done};
  const caw_str request = CAW_STR("x");
  caw_call *call;
  duo d;
  (void)state;
  begin(&d);
  caw_metrics *m = d.server_options.metrics;
  duo_init(&d);
  assert_int_equal(caw_call_start(&call, d.channel, &duo_bidi, NULL, &events, &d), 0);
  assert_int_equal(caw_call_send(call, &request), 0);
  duo_until(&d, &d.n_done);
  assert_int_equal(d.n_done, CAW_CANCELLED);
  assert_count(m, "grpc.client.attempt.duration", "test.Duo/Bidi", "CANCELLED", 1u);
  assert_count(m, "grpc.client.call.duration", "test.Duo/Bidi", "CANCELLED", 1u);
  end(&d);
}

static void who_finds_no_server_is_counted(void **state) {
  duo d;
  heard h = {0};
  (void)state;
  begin(&d);
  duo_init(&d);
  caw_channel_free(d.channel);
  const caw_channel_options o = {.size = sizeof(o),
                                 .loop = d.loop,
                                 .metrics = d.server_options.metrics};
  assert_int_equal(caw_channel_new(&d.channel, "127.0.0.1:1", &o, NULL), 0);
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, CAW_UNAVAILABLE);
  caw_str text;
  assert_int_equal(caw_metrics_text(d.server_options.metrics, &text), 0);
  assert_non_null(strstr(text.data,
                         "grpc_client_attempt_duration_seconds_count{grpc_method=\"" UNARY
                         "\",grpc_target=\"dns:///127.0.0.1:1\",grpc_status=\"UNAVAILABLE\"} 1\n"));
  caw_free((char *)text.data);
  /* Nothing was sent to anybody. */
  wanted w = read_metric(d.server_options.metrics,
                         "grpc.client.attempt.sent_total_compressed_message_size", UNARY, NULL);
  assert_int_equal(w.count, 1);
  assert_int_equal((int)w.sum, 0);
  end(&d);
}

/* Nobody who was not asked counts anything, and everything goes on. */
static void a_target_may_have_another_name(void **state) {
  duo d;
  heard h = {0};
  caw_str text;
  (void)state;
  begin(&d);
  d.channel_options.metrics_target = "other";
  duo_init(&d);
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(caw_metrics_text(d.server_options.metrics, &text), 0);
  assert_non_null(strstr(text.data, "\ngrpc_client_attempt_started_total{grpc_method=\"" UNARY
                                    "\",grpc_target=\"other\"} 1\n"));
  caw_free((char *)text.data);
  end(&d);
}

static void without_metrics_nothing_is_counted(void **state) {
  duo d = {0};
  heard h = {0};
  caw_metrics *m;
  (void)state;
  assert_int_equal(caw_metrics_new(&m), 0);
  duo_init(&d);
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_count(m, "grpc.server.call.started", UNARY, NULL, 0u);
  duo_finish(&d);
  caw_metrics_unref(m);
}

/* ---- The summary of a call ---- */

static caw_call_summary summary;
static char texts[4][128];

static void keep_text(int i, caw_str *text) {
  snprintf(texts[i], sizeof(texts[i]), "%.*s", CAW_STR_ARG(*text));
  *text = caw_str_from(texts[i]);
}

static void on_call(const caw_call_summary *call, void *user) {
  (void)user;
  summary = *call;
  keep_text(0, &summary.path);
  keep_text(1, &summary.authority);
  keep_text(2, &summary.user_agent);
  keep_text(3, &summary.traceparent);
}

#define PARENT "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

static void a_summary_is_complete(void **state) {
  duo d = {0};
  heard h = {0};
  const caw_metadata_entry metadata[] = {{CAW_STR("traceparent"), CAW_STR(PARENT)}};
  const caw_call_options o = {
      .size = sizeof(o), .timeout_ms = 5000, .metadata = metadata, .metadata_len = 1};
  (void)state;
  d.server_options.on_call = on_call;
  d.channel_options.user_agent = "tester";
  d.channel_options.authority = "name.example";
  duo_init(&d);
  memset(&summary, 0, sizeof(summary));
  duo_call(&d, &h, &duo_unary, "hello", &o);
  duo_done(&d, &h);
  for (int i = 0; i < 1000 && !summary.path.data; i++) duo_turns(&d, 1);
  assert_non_null(summary.path.data);
  assert_string_equal(texts[0], "/" UNARY);
  assert_memory_equal(texts[2], "tester ", 7);
  assert_string_equal(texts[3], PARENT);
  assert_int_equal(summary.received, 1);
  assert_int_equal(summary.sent, 1);
  assert_int_equal(summary.received_bytes, 5);
  assert_int_equal(summary.sent_bytes, 5);
  assert_true(summary.timeout_ns > 4000000000u && summary.timeout_ns <= 5000000000u);
  assert_true(summary.duration_ns > 0);
  assert_true(summary.started_ns > UINT64_C(1600000000) * 1000000000);
  duo_finish(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_call_is_counted_on_both_sides),
                                     cmocka_unit_test(
                                         a_stream_that_is_refused_for_memory_has_begun),
                                     cmocka_unit_test(a_stream_counts_all_its_messages),
                                     cmocka_unit_test(what_is_not_served_is_other),
                                     cmocka_unit_test(what_is_cancelled_has_ended),
                                     cmocka_unit_test(what_is_reset_at_once_is_counted),
                                     cmocka_unit_test(what_cannot_be_sent_was_not_begun),
                                     cmocka_unit_test(who_frees_the_channel_is_counted),
                                     cmocka_unit_test(who_finds_no_server_is_counted),
                                     cmocka_unit_test(a_target_may_have_another_name),
                                     cmocka_unit_test(without_metrics_nothing_is_counted),
                                     cmocka_unit_test(a_summary_is_complete)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
