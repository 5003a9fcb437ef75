/* Several loops count, connections come and go, and somebody reads all the while: for the thread
 * sanitizer, and for numbers that are right in the end. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "host.h"

#include <caw/alloc.h>
#include <caw/blocking.h>
#include <caw/channelz.h>
#include <caw/metrics.h>
#include <string.h>

#define CLIENTS  4
#define CHANNELS 5
#define CALLS    20

static const caw_method method = {"/test.Stats/Echo", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};

static int echo(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)call, (void)impl, (void)self;
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static const caw_handler handler = {&method, echo, NULL, NULL};

typedef struct stage {
  host host;
  caw_metrics *metrics;
  caw_channelz *channelz;
  atomic_int clients; /* that are at work */
  atomic_int readings;
} stage;

static void *be_client(void *arg) {
  stage *s = arg;
  const caw_channel_options o = {.size = sizeof(o), .metrics = s->metrics, .channelz = s->channelz};
  const caw_str text = CAW_STR("hello");
  for (int c = 0; c < CHANNELS; c++) {
    caw_channel *channel;
    host_check(!caw_channel_new(&channel, s->host.address, &o, NULL));
    for (int i = 0; i < CALLS; i++) {
      caw_arena *arena = caw_arena_new(0);
      caw_str reply = {NULL, 0};
      host_check(!caw_call_unary(channel, &method, &text, &reply, arena, NULL, NULL));
      caw_arena_free(arena);
    }
    caw_channel_free(channel);
  }
  atomic_fetch_sub(&s->clients, 1);
  return NULL;
}

static void note_info(const caw_channelz_info *info, void *user) {
  int64_t *last = user;
  host_check(info->id > *last);
  host_check(info->calls_succeeded <= info->calls_started);
  host_check(info->streams_succeeded <= info->streams_started);
  *last = info->id;
}

static void *be_reader(void *arg) {
  stage *s = arg;
  do {
    caw_str text;
    host_check(!caw_metrics_text(s->metrics, &text));
    caw_free((char *)text.data);
    for (int kind = CAW_CHANNELZ_SERVER; kind <= CAW_CHANNELZ_SOCKET; kind++) {
      int64_t last = 0;
      caw_channelz_read(s->channelz, (caw_channelz_kind)kind, 0, 0, 0, note_info, &last, NULL);
    }
    atomic_fetch_add(&s->readings, 1);
  } while (atomic_load(&s->clients));
  return NULL;
}

static void add(const caw_metric *m, void *user) {
  uint64_t *sums = user;
  if (!strcmp(m->name, "grpc.server.call.started")) sums[0] += m->count;
  if (!strcmp(m->name, "grpc.server.call.duration")) sums[1] += m->count;
  if (!strcmp(m->name, "grpc.client.call.duration")) sums[2] += m->count;
  if (!strcmp(m->name, "grpc.client.attempt.started")) sums[3] += m->count;
}

static void count_calls(const caw_channelz_info *info, void *user) {
  uint64_t *n = user;
  *n += info->calls_succeeded;
}

static void numbers_are_right(void **state) {
  stage s = {0};
  pthread_t clients[CLIENTS], reader;
  uint64_t sums[4] = {0}, served = 0;
  bool end;
  (void)state;
  assert_int_equal(caw_metrics_new(&s.metrics), 0);
  assert_int_equal(caw_channelz_new(&s.channelz), 0);
  const caw_server_options o = {
      .size = sizeof(o), .loops = 3, .metrics = s.metrics, .channelz = s.channelz};
  host_start(&s.host, &o, &handler, 1, NULL, 0, NULL);
  atomic_store(&s.clients, CLIENTS);
  for (int i = 0; i < CLIENTS; i++)
    assert_int_equal(pthread_create(&clients[i], NULL, be_client, &s), 0);
  assert_int_equal(pthread_create(&reader, NULL, be_reader, &s), 0);
  for (int i = 0; i < CLIENTS; i++) pthread_join(clients[i], NULL);
  pthread_join(reader, NULL);
  host_check_all();
  assert_true(atomic_load(&s.readings) > 0);
  caw_channelz_read(s.channelz, CAW_CHANNELZ_SERVER, 0, 0, 0, count_calls, &served, &end);
  assert_true(end);
  assert_int_equal(served, CLIENTS * CHANNELS * CALLS);
  assert_int_equal(host_stop(&s.host, 1000), 0);
  /* What counted has gone, and what it counted is there. */
  assert_int_equal(caw_metrics_read(s.metrics, add, sums), 0);
  for (int i = 0; i < 4; i++) assert_int_equal(sums[i], CLIENTS * CHANNELS * CALLS);
  for (int kind = CAW_CHANNELZ_SERVER; kind <= CAW_CHANNELZ_SOCKET; kind++) {
    served = 0;
    caw_channelz_read(s.channelz, (caw_channelz_kind)kind, 0, 0, 0, count_calls, &served, &end);
    assert_true(end);
  }
  caw_metrics_unref(s.metrics);
  caw_channelz_unref(s.channelz);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_are_right)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
