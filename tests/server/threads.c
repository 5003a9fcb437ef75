/*
 * Servers and channels with several threads: which there are, that everything
 * marked "any thread" may be called from any, and that no call is lost or ended
 * twice whatever happens at the same time. Meant for the thread sanitizer; the
 * address sanitizer finds what was freed too early.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "host.h"
#include "io/loop.h"
#include "rpc/payload.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const caw_method echo = {"/test.T/Echo", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
static const caw_method where = {"/test.T/Where", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
static const caw_method keep = {"/test.T/Keep", CAW_SERVER_STREAM, &caw_type_bytes,
                                &caw_type_bytes};
static const caw_method quit = {"/test.T/Quit", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
static const caw_method relay = {"/test.T/Relay", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
static const caw_method stall = {"/test.T/Stall", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};

/* ---- The service ---- */

enum { MOST_KEPT = 64 };

static struct {
  host host;
  pthread_mutex_t lock; /* kept, n_kept */
  caw_call *kept[MOST_KEPT];
  int n_kept;
  atomic_int begun, done, cancelled, shutdowns; /* of kept calls */
  atomic_int drained;
  caw_channel *onward; /* of relayed calls */
  atomic_int relayed;  /* codes of their ends, + 1 */
  atomic_int stalled, stall_over;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int on_echo(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)call, (void)impl, (void)self;
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static int on_where(caw_call *call, const void *request, void *reply, const void *impl,
                    void *self) {
  (void)request, (void)impl, (void)self;
  *(caw_str *)reply = caw_arena_printf(caw_call_arena(call), "%p", (void *)caw_call_loop(call));
  return 0;
}

static void kept_cancel(caw_call *call, void *user) {
  (void)user;
  host_check(caw_call_cancelled(call));
  host_check(io_on_loop(caw_call_loop(call)));
  atomic_fetch_add(&t.cancelled, 1);
}

static void kept_shutdown(caw_call *call, void *user) {
  (void)call, (void)user;
  atomic_fetch_add(&t.shutdowns, 1);
}

static void kept_done(caw_call *call, const caw_status *status, void *user) {
  (void)status, (void)user;
  host_check(io_on_loop(caw_call_loop(call)));
  atomic_fetch_add(&t.done, 1);
}

static const caw_call_events kept_events = {kept_cancel, NULL, kept_shutdown, kept_done};

static int on_keep(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)request, (void)reply, (void)impl, (void)self;
  caw_call_on(call, &kept_events, NULL);
  pthread_mutex_lock(&t.lock);
  bool room = t.n_kept < MOST_KEPT;
  if (room) t.kept[t.n_kept++] = call;
  pthread_mutex_unlock(&t.lock);
  atomic_fetch_add(&t.begun, 1);
  return room ? CAW_PENDING : CAW_RESOURCE_EXHAUSTED;
}

/* A kept call, in the order of arrival; NULL when there is none. */
static caw_call *take_kept(void) {
  caw_call *call = NULL;
  pthread_mutex_lock(&t.lock);
  if (t.n_kept) {
    call = t.kept[0];
    memmove(t.kept, t.kept + 1, sizeof(*t.kept) * (size_t)--t.n_kept);
  }
  pthread_mutex_unlock(&t.lock);
  return call;
}

static void was_drained(void *user) {
  (void)user;
  atomic_fetch_add(&t.drained, 1);
}

static int on_quit(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  caw_server_drain(t.host.server, 10000, was_drained, NULL);
  return on_echo(call, request, reply, impl, self);
}

static int on_stall(caw_call *call, const void *request, void *reply, const void *impl, void *self);

/* ---- A call on behalf of another, on another loop ---- */

static void relay_done(caw_call *call, const caw_status *status, const void *reply, void *user) {
  (void)call, (void)reply;
  atomic_store(&t.relayed, status->code + 1);
  caw_call_finish(user, status->code, NULL);
}

static void relay_start(void *arg) {
  caw_call *parent = arg;
  caw_str text = CAW_STR("relayed");
  const caw_call_options o = {.size = sizeof(o), .parent = parent};
  host_check(caw_call_start_unary(NULL, t.onward, &stall, &text, &o, relay_done, NULL, parent) ==
             0);
}

static int on_relay(caw_call *call, const void *request, void *reply, const void *impl,
                    void *self) {
  (void)request, (void)reply, (void)impl, (void)self;
  host_check(caw_loop_post(caw_channel_loop(t.onward), relay_start, call) == 0);
  return CAW_PENDING;
}

static void stall_cancel(caw_call *call, void *user) {
  (void)user;
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

static void stall_done(caw_call *call, const caw_status *status, void *user) {
  (void)call, (void)status, (void)user;
  atomic_fetch_add(&t.stall_over, 1);
}

static int on_stall(caw_call *call, const void *request, void *reply, const void *impl,
                    void *self) {
  static const caw_call_events events = {stall_cancel, NULL, NULL, stall_done};
  (void)request, (void)reply, (void)impl, (void)self;
  caw_call_on(call, &events, NULL);
  atomic_fetch_add(&t.stalled, 1);
  return CAW_PENDING;
}

static const caw_handler handlers[] = {
    {&echo, on_echo, NULL, NULL}, {&where, on_where, NULL, NULL}, {&keep, on_keep, NULL, NULL},
    {&quit, on_quit, NULL, NULL}, {&relay, on_relay, NULL, NULL}, {&stall, on_stall, NULL, NULL},
};

static void start(unsigned loops, const caw_blocking_handler *blocking, size_t n) {
  const caw_server_options o = {
      .size = sizeof(o), .loops = loops, .pool_threads = 3, .max_streams = MOST_KEPT};
  t.n_kept = 0;
  atomic_store(&t.begun, 0);
  atomic_store(&t.done, 0);
  atomic_store(&t.cancelled, 0);
  atomic_store(&t.shutdowns, 0);
  atomic_store(&t.drained, 0);
  atomic_store(&t.relayed, 0);
  atomic_store(&t.stalled, 0);
  atomic_store(&t.stall_over, 0);
  host_start(&t.host, &o, handlers, sizeof(handlers) / sizeof(handlers[0]), blocking, n, NULL);
}

static void stop(void) {
  assert_int_equal(host_stop(&t.host, 5000), 0);
  host_check_all();
}

/* A unary call; the reply as text. */
static int ask(caw_channel *channel, const caw_method *method, const char *text, char *out,
               size_t room) {
  caw_str request = caw_str_from(text), reply = {NULL, 0};
  caw_arena *arena = caw_arena_new(0);
  int rc = caw_call_unary(channel, method, &request, &reply, arena, NULL, NULL);
  if (out) snprintf(out, room, "%.*s", CAW_STR_ARG(reply));
  caw_arena_free(arena);
  return rc;
}

/* ---- Which threads there are ---- */

static atomic_int in_pool, pool_gate;

static int block(caw_stream *stream, const void *request, void *reply, const void *impl,
                 void *self) {
  (void)stream, (void)request, (void)reply, (void)impl, (void)self;
  atomic_fetch_add(&in_pool, 1);
  host_check(host_await(&pool_gate, 1));
  return 0;
}

static void *ask_blocking(void *arg) {
  static const caw_method pooled = {"/test.T/Pooled", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
  host_check(ask(arg, &pooled, "x", NULL, 0) == 0);
  return NULL;
}

static void *note_itself(void *arg) {
  *(pid_t *)arg = gettid();
  return NULL;
}

/* A sanitizer may start a thread of its own with the first. The kernel counts one that was
 * joined for a moment more. */
static void have_had_a_thread(void) {
  pthread_t thread;
  pid_t id = 0;
  assert_int_equal(pthread_create(&thread, NULL, note_itself, &id), 0);
  pthread_join(thread, NULL);
  while (!tgkill(getpid(), id, 0)) sched_yield();
}

/* As the documentation has it: loops - 1 more, and a thread of the pool for
 * each blocking call up to pool_threads, none before. Connections go to the
 * loop with the fewest. */
static void as_many_threads_as_documented(void **state) {
  (void)state;
  static const caw_method pooled = {"/test.T/Pooled", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
  static const caw_blocking_handler blocking[] = {{&pooled, block}};
  enum { LOOPS = 4, CHANNELS = 8, CALLS = 6, POOL = 3 };
  caw_channel *channels[CHANNELS];
  char loops[CHANNELS][32];
  pthread_t threads[CALLS];
  atomic_store(&in_pool, 0);
  atomic_store(&pool_gate, 0);
  have_had_a_thread();
  int before = host_threads();
  start(LOOPS, blocking, 1);
  for (int i = 0; i < CHANNELS; i++) {
    channels[i] = host_channel(&t.host);
    assert_int_equal(ask(channels[i], &where, "x", loops[i], sizeof(loops[i])), 0);
  }
  for (int i = 0; i < CHANNELS; i++) {
    int same = 0;
    for (int j = 0; j < CHANNELS; j++) same += !strcmp(loops[i], loops[j]);
    assert_int_equal(same, CHANNELS / LOOPS);
  }
  int here = before + 1 + LOOPS - 1 + CHANNELS;
  assert_int_equal(host_threads(), here);
  for (int i = 0; i < CALLS; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, ask_blocking, channels[0]), 0);
    assert_true(host_await(&in_pool, i < POOL ? i + 1 : POOL));
    assert_int_equal(host_threads(), here + i + 1 + (i < POOL ? i + 1 : POOL));
  }
  atomic_store(&pool_gate, 1);
  for (int i = 0; i < CALLS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&in_pool), CALLS);
  for (int i = 0; i < CHANNELS; i++) caw_channel_free(channels[i]);
  stop();
  assert_int_equal(host_await_threads(before), before);
}

/* ---- Many clients ---- */

static void *ask_often(void *arg) {
  (void)arg;
  for (int n = 0; n < 4; n++) {
    caw_channel *channel = host_channel(&t.host);
    char text[16], reply[16];
    for (int i = 0; i < 25; i++) {
      snprintf(text, sizeof(text), "%d", i);
      host_check(ask(channel, &echo, text, reply, sizeof(reply)) == 0);
      host_check(!strcmp(text, reply));
    }
    caw_channel_free(channel);
  }
  return NULL;
}

static void channels_of_several_threads(void **state) {
  (void)state;
  enum { THREADS = 6 };
  pthread_t threads[THREADS];
  start(3, NULL, 0);
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, ask_often, NULL);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  stop();
}

static void *ask_state(void *arg) {
  char text[256];
  int seen = 0;
  time_t until = time(NULL) + 20;
  for (int i = 0; seen != CAW_CHANNEL_READY && time(NULL) < until; i++) {
    seen = (int)caw_channel_state(arg, true);
    host_check(seen <= CAW_CHANNEL_READY);
    caw_channel_error(arg, text, sizeof(text));
    if (i % 64 == 0) host_pause(100);
  }
  host_check(seen == CAW_CHANNEL_READY);
  return NULL;
}

/* The wish to connect may come from all threads at once, and still be on its
 * way when the channel is freed. */
static void the_state_asked_from_many_threads(void **state) {
  (void)state;
  enum { THREADS = 5 };
  start(2, NULL, 0);
  for (int round = 0; round < 20; round++) {
    pthread_t threads[THREADS];
    caw_channel *channel = host_channel(&t.host);
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, ask_state, channel);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    caw_channel_free(channel);
    channel = host_channel(&t.host);
    assert_int_equal(caw_channel_state(channel, true), CAW_CHANNEL_IDLE);
    caw_channel_free(channel);
  }
  stop();
}

/* ---- Streamed from other threads, cancelled at random ---- */

static atomic_int producers_stop;

static unsigned next_random(unsigned *seed) {
  *seed = *seed * 1103515245u + 12345u;
  return *seed >> 16;
}

/* Takes kept calls, sends a few replies on each and finishes it. */
static void *produce(void *arg) {
  unsigned seed = (unsigned)(uintptr_t)arg;
  caw_str text = CAW_STR("a reply that is sent from another thread");
  caw_str key = CAW_STR("x-from-another-thread");
  for (;;) {
    bool last = atomic_load(&producers_stop);
    caw_call *call = take_kept();
    if (!call && last) return NULL;
    if (!call) {
      host_pause(100);
      continue;
    }
    int rc = 0;
    for (unsigned n = next_random(&seed) % 20; n && !rc; n--) {
      rc = caw_call_send(call, &text);
      /* While the loop is sending the headers, or messages. */
      if (n % 8 == 1) host_check(caw_call_add_trailer(call, key, text) == 0);
      if (next_random(&seed) % 8 == 0) host_pause(next_random(&seed) % 300);
    }
    host_check(rc == 0 || rc == CAW_ECLOSED);
    host_check(caw_call_finish(call, CAW_OK, NULL) == 0);
  }
}

static void *consume(void *arg) {
  unsigned seed = (unsigned)(uintptr_t)arg;
  caw_channel *channel = host_channel(&t.host);
  caw_arena *arena = caw_arena_new(0);
  for (int i = 0; i < 60; i++) {
    caw_stream *stream;
    caw_str request = CAW_STR("x"), reply;
    if (caw_stream_open_with(&stream, channel, &keep, &request, NULL)) continue;
    int rc = 0, most = (int)(next_random(&seed) % 30);
    for (int n = 0; n < most && !rc; n++) rc = caw_stream_read(stream, &reply, arena);
    host_check(rc == 0 || rc == CAW_EEND);
    if (!rc && next_random(&seed) % 2) caw_call_cancel(caw_stream_call(stream));
    int code = caw_stream_finish(stream, arena, NULL);
    host_check(code == CAW_OK || code == CAW_CANCELLED);
    caw_arena_reset(arena);
  }
  caw_arena_free(arena);
  caw_channel_free(channel);
  return NULL;
}

static void streamed_from_threads_and_cancelled(void **state) {
  (void)state;
  enum { EACH = 3 };
  pthread_t producers[EACH], consumers[EACH];
  atomic_store(&producers_stop, 0);
  start(2, NULL, 0);
  for (int i = 0; i < EACH; i++) {
    pthread_create(&producers[i], NULL, produce, (void *)(uintptr_t)(i + 1));
    pthread_create(&consumers[i], NULL, consume, (void *)(uintptr_t)(i + 100));
  }
  for (int i = 0; i < EACH; i++) pthread_join(consumers[i], NULL);
  atomic_store(&producers_stop, 1);
  for (int i = 0; i < EACH; i++) pthread_join(producers[i], NULL);
  stop();
  assert_true(atomic_load(&t.begun) > 0);
  assert_int_equal(atomic_load(&t.done), atomic_load(&t.begun));
}

/* ---- Fan-out ---- */

enum { FANS = 50, ROUNDS = 20, FAN_CHANNELS = 5 };

static caw_payload *shared;

static void *fan_out(void *arg) {
  (void)arg;
  for (int r = 0; r < ROUNDS; r++)
    for (int i = 0; i < FANS; i++) host_check(caw_call_send_payload(t.kept[i], shared) == 0);
  return NULL;
}

typedef struct fan {
  atomic_int *ended;
  int replies;
} fan;

static void fan_message(caw_call *call, const void *message, void *user) {
  (void)call;
  host_check(caw_str_is(*(const caw_str *)message, "one for all"));
  ((fan *)user)->replies++;
}

static void fan_done(caw_call *call, const caw_status *status, void *user) {
  fan *f = user;
  (void)call;
  host_check(status->code == 0);
  host_check(f->replies == 2 * ROUNDS);
  atomic_fetch_add(f->ended, 1);
}

typedef struct fan_start {
  caw_channel *channel;
  fan *fans;
  int n;
} fan_start;

static void start_fans(void *arg) {
  static const caw_client_events events = {NULL, fan_message, NULL, fan_done, NULL};
  fan_start *s = arg;
  caw_str request = CAW_STR("x");
  for (int i = 0; i < s->n; i++)
    host_check(caw_call_start_with(NULL, s->channel, &keep, &request, NULL, &events, &s->fans[i]) ==
               0);
}

/* One payload to 50 calls on several loops, from two threads at once. */
static void fan_out_from_other_threads(void **state) {
  (void)state;
  static fan fans[FANS];
  atomic_int ended = 0;
  caw_str text = CAW_STR("one for all");
  fan_start starts[FAN_CHANNELS];
  pthread_t threads[2];
  start(3, NULL, 0);
  assert_int_equal(caw_payload_new(&shared, &caw_type_bytes, &text), 0);
  for (int i = 0; i < FANS; i++) fans[i] = (fan){&ended, 0};
  for (int i = 0; i < FAN_CHANNELS; i++) {
    int n = FANS / FAN_CHANNELS;
    starts[i] = (fan_start){host_channel(&t.host), &fans[i * n], n};
    assert_int_equal(caw_loop_post(caw_channel_loop(starts[i].channel), start_fans, &starts[i]), 0);
  }
  assert_true(host_await(&t.begun, FANS));
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, fan_out, NULL);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < FANS; i++) assert_int_equal(caw_call_finish(t.kept[i], 0, NULL), 0);
  assert_true(host_await(&ended, FANS));
  for (int i = 0; i < FAN_CHANNELS; i++) caw_channel_free(starts[i].channel);
  stop();
  assert_int_equal(atomic_load(&t.done), FANS);
  assert_int_equal(atomic_load(&shared->refs), 1);
  caw_payload_unref(shared);
}

/* ---- Draining ---- */

static void drained_by_a_handler(void **state) {
  (void)state;
  for (unsigned loops = 1; loops <= 3; loops += 2) {
    start(loops, NULL, 0);
    caw_channel *channels[3];
    for (int i = 0; i < 3; i++) {
      channels[i] = host_channel(&t.host);
      assert_int_equal(ask(channels[i], &echo, "x", NULL, 0), 0);
    }
    assert_int_equal(ask(channels[2], &quit, "bye", NULL, 0), 0);
    assert_int_equal(host_wait(&t.host), 0);
    assert_int_equal(atomic_load(&t.drained), 1);
    for (int i = 0; i < 3; i++) caw_channel_free(channels[i]);
    stop();
  }
}

static void *hold(void *arg) {
  int code = ask(arg, &keep, "x", NULL, 0);
  host_check(code == CAW_UNAVAILABLE);
  return NULL;
}

static void *drain_repeatedly(void *arg) {
  (void)arg;
  for (int i = 0; i < 20; i++)
    caw_server_drain(t.host.server, (uint64_t)(60000 - i), was_drained, NULL);
  return NULL;
}

/* A later drain may only shorten the grace; all threads may ask at once. */
static void a_drain_with_a_shorter_grace(void **state) {
  (void)state;
  enum { THREADS = 4 };
  for (unsigned loops = 1; loops <= 3; loops += 2) {
    pthread_t holder, threads[THREADS];
    start(loops, NULL, 0);
    caw_channel *channel = host_channel(&t.host);
    pthread_create(&holder, NULL, hold, channel);
    assert_true(host_await(&t.begun, 1));
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, drain_repeatedly, NULL);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_true(host_await(&t.shutdowns, 1));
    assert_int_equal(atomic_load(&t.drained), 0);
    caw_server_drain(t.host.server, 20, was_drained, NULL);
    caw_server_drain(t.host.server, 60000, was_drained, NULL); /* no longer again */
    assert_true(host_await(&t.cancelled, 1));
    assert_int_equal(caw_call_finish(take_kept(), 0, NULL), 0);
    assert_int_equal(host_wait(&t.host), 0);
    pthread_join(holder, NULL);
    assert_int_equal(atomic_load(&t.drained), 1);
    assert_int_equal(atomic_load(&t.shutdowns), 1);
    caw_channel_free(channel);
    stop();
  }
}

static atomic_int storm_stop;
static struct sockaddr_in storm_address;

static void *storm(void *arg) {
  (void)arg;
  while (!atomic_load(&storm_stop)) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) continue;
    if (connect(fd, (struct sockaddr *)&storm_address, sizeof(storm_address)) == 0)
      (void)!write(fd, "PRI * HTTP/2.0\r\n", 16);
    close(fd);
  }
  return NULL;
}

static void drained_in_a_storm_of_connections(void **state) {
  (void)state;
  enum { THREADS = 3 };
  for (int round = 0; round < 5; round++) {
    pthread_t threads[THREADS];
    start(3, NULL, 0);
    storm_address.sin_family = AF_INET;
    storm_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    storm_address.sin_port = htons((uint16_t)atoi(strchr(t.host.address, ':') + 1));
    atomic_store(&storm_stop, 0);
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, storm, NULL);
    host_pause(5000u * (unsigned)(round + 1));
    caw_server_drain(t.host.server, 5000, was_drained, NULL);
    assert_int_equal(host_wait(&t.host), 0);
    atomic_store(&storm_stop, 1);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&t.drained), 1);
    stop();
  }
}

/* ---- On behalf of another call ---- */

static void passed_on_across_loops(void **state) {
  (void)state;
  start(3, NULL, 0);
  t.onward = host_channel(&t.host);
  caw_channel *channel = host_channel(&t.host);
  caw_str request = CAW_STR("x");
  caw_stream *stream;
  /* The deadline: the child has none of its own, and ends all the same. On a busy machine it may
   * be over before the child begins. */
  caw_call_options o = {.size = sizeof(o), .timeout_ms = 50};
  while (!atomic_load(&t.stalled)) {
    o.timeout_ms *= 2;
    assert_in_range(o.timeout_ms, 0, 15000);
    assert_int_equal(caw_stream_open_with(&stream, channel, &relay, &request, &o), 0);
    assert_int_equal(caw_stream_finish(stream, NULL, NULL), CAW_DEADLINE_EXCEEDED);
  }
  assert_true(host_await(&t.stall_over, 1));
  assert_true(host_await(&t.relayed, 1));
  /* Which of the two ends the child is open: its own deadline is the same. */
  assert_in_range(atomic_load(&t.relayed) - 1, CAW_CANCELLED, CAW_DEADLINE_EXCEEDED);
  /* The cancellation. */
  for (int i = 0; i < 20; i++) {
    bool begins = i < 10; /* the others may never reach the server, or late */
    atomic_store(&t.relayed, 0);
    int stalled = atomic_load(&t.stalled), over = atomic_load(&t.stall_over);
    assert_int_equal(caw_stream_open_with(&stream, channel, &relay, &request, NULL), 0);
    if (begins) assert_true(host_await(&t.stalled, stalled + 1));
    else host_pause((unsigned)(i - 10) * 200);
    caw_call_cancel(caw_stream_call(stream));
    assert_int_equal(caw_stream_finish(stream, NULL, NULL), CAW_CANCELLED);
    if (!begins) continue;
    assert_true(host_await(&t.relayed, 1));
    assert_int_equal(atomic_load(&t.relayed) - 1, CAW_CANCELLED);
    assert_true(host_await(&t.stall_over, over + 1));
  }
  caw_channel_free(channel);
  caw_server_drain(t.host.server, 5000, NULL, NULL);
  assert_int_equal(host_wait(&t.host), 0);
  caw_channel_free(t.onward);
  stop();
}

/* ---- Ends that meet ---- */

static atomic_int won;

static void *finish_kept(void *call) {
  int rc = caw_call_finish(call, CAW_ABORTED, "first come, first served");
  host_check(rc == 0 || rc == CAW_ESTATE);
  if (rc == 0) atomic_fetch_add(&won, 1);
  caw_call_unref(call);
  return NULL;
}

/* Two threads finish, the client cancels, references are given back: each call
 * is finished once and done once. */
static void cancelled_and_finished_at_once(void **state) {
  (void)state;
  enum { CALLS = 100 };
  start(2, NULL, 0);
  caw_channel *channel = host_channel(&t.host);
  for (int i = 0; i < CALLS; i++) {
    caw_str request = CAW_STR("x");
    caw_stream *stream;
    pthread_t threads[2];
    assert_int_equal(caw_stream_open_with(&stream, channel, &keep, &request, NULL), 0);
    assert_true(host_await(&t.begun, i + 1));
    caw_call *kept = take_kept();
    caw_call_ref(kept);
    caw_call_ref(kept);
    atomic_store(&won, 0);
    for (int n = 0; n < 2; n++) pthread_create(&threads[n], NULL, finish_kept, kept);
    if (i % 3 == 0) caw_call_cancel(caw_stream_call(stream));
    int code = caw_stream_finish(stream, NULL, NULL);
    assert_true(code == CAW_ABORTED || (code == CAW_CANCELLED && i % 3 == 0));
    for (int n = 0; n < 2; n++) pthread_join(threads[n], NULL);
    assert_int_equal(atomic_load(&won), 1);
  }
  caw_channel_free(channel);
  stop();
  assert_int_equal(atomic_load(&t.done), CALLS);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_many_threads_as_documented),
      cmocka_unit_test(channels_of_several_threads),
      cmocka_unit_test(the_state_asked_from_many_threads),
      cmocka_unit_test(streamed_from_threads_and_cancelled),
      cmocka_unit_test(fan_out_from_other_threads),
      cmocka_unit_test(drained_by_a_handler),
      cmocka_unit_test(a_drain_with_a_shorter_grace),
      cmocka_unit_test(drained_in_a_storm_of_connections),
      cmocka_unit_test(passed_on_across_loops),
      cmocka_unit_test(cancelled_and_finished_at_once),
  };
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
