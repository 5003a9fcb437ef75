/* The peer client with blocking calls, on a channel with a thread of its own. */
#include "client.h"
#include "later.h"

#include <caw/blocking.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static caw_channel *channel;

static void wait_line(const char *wanted) {
  char line[64];
  if (!fgets(line, sizeof(line), stdin) || strcmp(line, wanted)) {
    fprintf(stderr, "peer-client: %s was expected\n", wanted);
    exit(2);
  }
}

/* Cancels from another thread when it is told to. */
static void *cancel_later(void *arg) {
  wait_line("cancel\n");
  caw_call_cancel(arg);
  caw_call_unref(arg);
  return NULL;
}

/* Writes the requests of a stream: on a thread of its own, so that replies can
 * be read meanwhile. */
typedef struct writer {
  job *job;
  caw_stream *stream;
} writer;

static void *write_all(void *arg) {
  writer *w = arg;
  for (int i = 1; i <= w->job->n; i++) {
    peer_order order = job_order(w->job, i);
    if (peer_callback_both_write(w->stream, &order)) break;
  }
  if (!w->job->open) caw_stream_close_send(w->stream);
  return NULL;
}

static void read_all(attempt *a, caw_stream *stream, caw_arena *arena) {
  peer_answer reply;
  bool first = true;
  for (;;) {
    caw_arena_reset(arena);
    int rc = caw_stream_read(stream, &reply, arena);
    if (first && a->job->count == 1)
      print_metadata("header", caw_call_metadata(caw_stream_call(stream)));
    first = false;
    if (rc) break;
    attempt_reply(a, &reply);
    if (a->replies == a->job->cancel_after) caw_call_cancel(caw_stream_call(stream));
  }
  if (a->job->count == 1) print_metadata("trailer", caw_call_trailers(caw_stream_call(stream)));
}

static void end(attempt *a, caw_stream *stream, caw_arena *arena) {
  caw_status status = {0};
  caw_arena_reset(arena);
  caw_stream_finish(stream, arena, &status);
  attempt_done(a, status.code, status.message);
}

static int open_one(job *j, caw_stream **out) {
  peer_order order = job_order(j, 1);
  return job_sends_many(j) ? caw_stream_open(out, channel, &j->method, &j->options)
                           : caw_stream_open_with(out, channel, &j->method, &order, &j->options);
}

static void run_one(job *j, caw_arena *arena) {
  attempt a = {.job = j};
  caw_stream *stream;
  pthread_t canceller, writing;
  int rc = open_one(j, &stream);
  if (rc) {
    attempt_done(&a, rc, caw_str_from(caw_strerror(rc)));
    return;
  }
  writer w = {j, stream};
  bool writes = job_sends_many(j);
  if (writes && pthread_create(&writing, NULL, write_all, &w)) exit(1);
  if (j->wait_cancel &&
      pthread_create(&canceller, NULL, cancel_later, caw_call_ref(caw_stream_call(stream))))
    exit(1);
  if (j->wait_read) wait_line("read\n");
  read_all(&a, stream, arena);
  if (writes) pthread_join(writing, NULL);
  if (j->wait_cancel) pthread_join(canceller, NULL);
  end(&a, stream, arena);
}

/* The convenience for one request and one reply. */
static void run_unary(job *j, caw_arena *arena) {
  attempt a = {.job = j};
  peer_answer reply;
  caw_status status = {0};
  peer_order order = job_order(j, 1);
  int rc = caw_call_unary(channel, &j->method, &order, &reply, arena, &j->options, &status);
  if (rc == 0) attempt_reply(&a, &reply);
  attempt_done(&a, rc, rc < 0 ? caw_str_from(caw_strerror(rc)) : status.message);
}

/* All are opened before the first is read. */
static void run_many(job *j, caw_arena *arena) {
  caw_stream **streams = calloc((size_t)j->count, sizeof(*streams));
  attempt a = {.job = j};
  for (int i = 0; i < j->count; i++) {
    if (open_one(j, &streams[i])) exit(1);
    writer w = {j, streams[i]};
    if (job_sends_many(j)) write_all(&w);
  }
  for (int i = 0; i < j->count; i++) {
    a.replies = 0;
    read_all(&a, streams[i], arena);
    end(&a, streams[i], arena);
  }
  free(streams);
}

int blocking_main(const char *target) {
  char line[65536];
  caw_channel_options options = {.size = sizeof(options),
                                 .backoff_initial_ms = 100,
                                 .backoff_max_ms = 500,
                                 .user_agent = "peer-client"};
  if (caw_channel_new(&channel, target, &options, NULL)) return 1;
  if (later_intercept_channel(channel)) return 1;
  while (fgets(line, sizeof(line), stdin)) {
    caw_arena *arena = caw_arena_new(0);
    job *j = job_read(line);
    bool plain = j->method.kind == CAW_UNARY && !j->n_meta && !j->wait_cancel && !j->wait_read;
    if (j->count > 1) run_many(j, arena);
    else if (plain) run_unary(j, arena);
    else run_one(j, arena);
    job_free(j);
    caw_arena_free(arena);
  }
  caw_channel_free(channel);
  later_end();
  return 0;
}
