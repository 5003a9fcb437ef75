/* Cases that go on for long: rpc_soak, channel_soak, long_lived_channel. What
 * they print has the form of gRPC's own clients. */
#include "many.h"
#include "text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* What the threads of a soak test share. */
typedef struct soak {
  interop *t;
  bool new_channels; /* one for each iteration */
  caw_payload *request;
  int64_t start_ms, end_ms;
  pthread_mutex_t lock; /* for what follows */
  int ran, failed;
  int *latencies; /* of the iterations that ran */
} soak;

typedef struct worker {
  soak *s;
  pthread_t thread;
  int index, iterations;
} worker;

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void sleep_until(int64_t ms) {
  int64_t left;
  while ((left = ms - now_ms()) > 0) {
    struct timespec t = {left / 1000, (long)(left % 1000) * 1000000};
    nanosleep(&t, NULL);
  }
}

/* ---- One iteration ---- */

static void make_call(soak *s, caw_channel *channel, many_result *result) {
  caw_call_options options = s->t->options;
  int64_t left = s->end_ms - now_ms();
  options.timeout_ms = left > 1 ? (uint64_t)left : 1;
  int rc = many_run(channel, &options, s->request, 1, s->t->soak.response_size, result);
  if (!rc) return;
  result->failed = 1;
  snprintf(result->why, sizeof(result->why), "%s", caw_strerror(rc));
}

static void make_channel_and_call(soak *s, many_result *result) {
  caw_channel *channel;
  const char *why;
  *result = (many_result){.failed = 1};
  int rc = caw_channel_new(&channel, s->t->target, &s->t->channel_options, &why);
  if (rc) {
    snprintf(result->why, sizeof(result->why), "no channel: %s", caw_strerror(rc));
    return;
  }
  make_call(s, channel, result);
  caw_channel_free(channel);
}

static void tell(const worker *w, int i, int ms, const many_result *result) {
  const soak *s = w->s;
  char how[512];
  if (result->failed) snprintf(how, sizeof(how), "failed: %s", result->why);
  else if (ms > s->t->soak.acceptable_ms)
    snprintf(how, sizeof(how), "exceeds max acceptable latency: %d", s->t->soak.acceptable_ms);
  else snprintf(how, sizeof(how), "succeeded");
  flockfile(stderr); /* a line is whole, whatever the other threads print */
  fprintf(stderr, "thread id: %d soak iteration: %d elapsed_ms: %d peer: %s server_uri: %s ",
          w->index, i, ms, result->peer[0] ? result->peer : "none", s->t->target);
  text_print(stderr, caw_str_from(how));
  fputc('\n', stderr);
  funlockfile(stderr);
}

static void iterate(worker *w, int i) {
  soak *s = w->s;
  many_result result;
  int64_t begin = now_ms();
  if (s->new_channels) make_channel_and_call(s, &result);
  else make_call(s, s->t->channel, &result);
  int ms = (int)(now_ms() - begin);
  tell(w, i, ms, &result);
  pthread_mutex_lock(&s->lock);
  s->latencies[s->ran++] = ms;
  if (result.failed || ms > s->t->soak.acceptable_ms) s->failed++;
  pthread_mutex_unlock(&s->lock);
}

static void *work(void *arg) {
  worker *w = arg;
  for (int i = 0; i < w->iterations && now_ms() < w->s->end_ms; i++) {
    int64_t next = now_ms() + w->s->t->soak.between_ms;
    iterate(w, i);
    if (i + 1 < w->iterations) sleep_until(next < w->s->end_ms ? next : w->s->end_ms);
  }
  return NULL;
}

/* ---- The whole ---- */

static int compare(const void *a, const void *b) {
  const int *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

static bool judge(soak *s) {
  interop *t = s->t;
  if (s->ran < t->soak.iterations)
    return case_fail(t,
                     "(server_uri: %s) soak test consumed all %lld seconds of time and quit early, "
                     "only having ran %d out of desired %d iterations; %d failed",
                     t->target, (long long)(s->end_ms - s->start_ms) / 1000, s->ran,
                     t->soak.iterations, s->failed);
  qsort(s->latencies, (size_t)s->ran, sizeof(int), compare);
  fprintf(stderr,
          "(server_uri: %s) soak test ran: %d iterations. total_failures: %d. "
          "max_failures_threshold: %d. median_soak_iteration_latency: %d ms. "
          "90th_soak_iteration_latency: %d ms. worst_soak_iteration_latency: %d ms.\n",
          t->target, s->ran, s->failed, t->soak.max_failures, s->latencies[s->ran / 2],
          s->latencies[s->ran * 9 / 10], s->latencies[s->ran - 1]);
  if (s->failed <= t->soak.max_failures) return true;
  return case_fail(t, "%d iterations failed; at most %d may", s->failed, t->soak.max_failures);
}

static bool run_workers(soak *s) {
  int n = s->t->soak.threads, started = 0;
  worker *workers = calloc((size_t)n, sizeof(*workers));
  if (!workers) return case_fail(s->t, "out of memory");
  for (; started < n; started++) {
    workers[started] = (worker){.s = s, .index = started, .iterations = s->t->soak.iterations / n};
    if (pthread_create(&workers[started].thread, NULL, work, &workers[started])) break;
  }
  for (int i = 0; i < started; i++) pthread_join(workers[i].thread, NULL);
  free(workers);
  return started == n ? judge(s) : case_fail(s->t, "only %d threads could be started", started);
}

static bool run_soak(interop *t, bool new_channels) {
  soak s = {.t = t, .new_channels = new_channels, .start_ms = now_ms()};
  const soak_settings *o = &t->soak;
  if (o->iterations % o->threads)
    return case_fail(t, "--soak_iterations=%d is not a multiple of --soak_num_threads=%d",
                     o->iterations, o->threads);
  int64_t overall = o->overall_s ? (int64_t)o->overall_s * 1000
                                 : (int64_t)o->iterations * o->acceptable_ms / o->threads;
  s.end_ms = s.start_ms + overall;
  int rc = many_request(&s.request, o->request_size, o->response_size);
  if (rc) return case_fail(t, "%s", caw_strerror(rc));
  s.latencies = calloc((size_t)o->iterations, sizeof(int));
  pthread_mutex_init(&s.lock, NULL);
  bool good = s.latencies ? run_workers(&s) : case_fail(t, "out of memory");
  pthread_mutex_destroy(&s.lock);
  free(s.latencies);
  caw_payload_unref(s.request);
  return good;
}

bool case_rpc_soak(interop *t) {
  return run_soak(t, false);
}

bool case_channel_soak(interop *t) {
  return run_soak(t, true);
}

bool case_long_lived_channel(interop *t) {
  for (int i = 0; i < t->soak.iterations; i++) {
    if (i) sleep((unsigned)t->soak.interval_s);
    if (!case_large_unary(t)) return case_fail(t, "call %d failed", i + 1);
    caw_arena_reset(t->arena);
  }
  return true;
}
