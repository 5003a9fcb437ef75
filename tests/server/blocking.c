/* The blocking face of both sides (caw/blocking.h): calls that wait, streams
 * read and written by several threads, and handlers on the pool. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "client/client.h"
#include "conn/mailbox.h"
#include "host.h"

#include <caw/alloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- Messages: bytes, of which those that begin with '!' are malformed ---- */

static int picky_measure(const void *desc, const void *message, size_t *len) {
  const caw_str *s = message;
  (void)desc;
  if (s->len && s->data[0] == '?') return CAW_EUTF8; /* cannot be encoded */
  *len = s->len;
  return 0;
}

static int picky_encode(const void *desc, const void *message, uint8_t *out, size_t len) {
  (void)desc;
  if (len) memcpy(out, ((const caw_str *)message)->data, len);
  return 0;
}

static int picky_decode(const void *desc, void *message, const uint8_t *data, size_t len,
                        caw_arena *arena) {
  (void)desc, (void)arena;
  if (len && data[0] == '!') return CAW_EMALFORMED;
  *(caw_str *)message = caw_str_of((const char *)data, len);
  return 0;
}

static const caw_codec picky_codec = {sizeof(caw_codec), "picky", picky_measure, picky_encode,
                                      picky_decode};
static const caw_type picky = {&picky_codec, NULL, sizeof(caw_str)};

#define METHOD(name, kind)                                                                         \
  static const caw_method name = {"/test.Blocking/" #name, kind, &picky, &picky}
METHOD(echo, CAW_UNARY);
METHOD(hold, CAW_UNARY);
METHOD(bad_reply, CAW_UNARY);
METHOD(count_down, CAW_SERVER_STREAM);
METHOD(sum_up, CAW_CLIENT_STREAM);
METHOD(talk, CAW_BIDI);
METHOD(flood, CAW_SERVER_STREAM);
METHOD(lazy, CAW_BIDI);
METHOD(unknown, CAW_UNARY);

/* ---- Handlers ---- */

static struct {
  host host;
  atomic_int holding, held, gate, written;
  atomic_int last_write; /* the result of the last caw_stream_write, + 1000 */
} t;

static int run_echo(caw_stream *stream, const void *request, void *reply, const void *impl,
                    void *self) {
  (void)stream, (void)impl, (void)self;
  const caw_str *text = request;
  if (caw_str_is(*text, "fail"))
    return caw_call_fail(caw_stream_call(stream), CAW_NOT_FOUND, "no %.*s", CAW_STR_ARG(*text));
  if (caw_str_is(*text, "pending")) return CAW_PENDING;
  if (caw_str_is(*text, "memory")) return CAW_ENOMEM;
  *(caw_str *)reply = *text;
  return 0;
}

/* Blocks until the gate opens, whatever becomes of the call. */
static int run_hold(caw_stream *stream, const void *request, void *reply, const void *impl,
                    void *self) {
  (void)stream, (void)impl, (void)self;
  atomic_fetch_add(&t.holding, 1);
  while (!atomic_load(&t.gate)) host_pause(500);
  *(caw_str *)reply = *(const caw_str *)request;
  atomic_fetch_add(&t.held, 1);
  return 0;
}

static int run_bad_reply(caw_stream *stream, const void *request, void *reply, const void *impl,
                         void *self) {
  (void)stream, (void)impl, (void)self;
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static int run_count_down(caw_stream *stream, const void *request, void *reply, const void *impl,
                          void *self) {
  (void)reply, (void)impl, (void)self;
  char text[16] = "";
  snprintf(text, sizeof(text), "%.*s", CAW_STR_ARG(*(const caw_str *)request));
  for (int n = atoi(text); n > 0; n--) {
    snprintf(text, sizeof(text), "%d", n);
    caw_str s = caw_str_from(text);
    int rc = caw_stream_write(stream, &s);
    if (rc) return rc;
  }
  return 0;
}

static int run_sum_up(caw_stream *stream, const void *request, void *reply, const void *impl,
                      void *self) {
  (void)request, (void)impl, (void)self;
  caw_arena *arena = caw_arena_new(0);
  long sum = 0;
  caw_str s;
  int rc;
  while (!(rc = caw_stream_read(stream, &s, arena))) {
    sum += (long)s.len;
    caw_arena_reset(arena);
  }
  caw_arena_free(arena);
  if (rc != CAW_EEND) return rc;
  *(caw_str *)reply = caw_arena_printf(caw_call_arena(caw_stream_call(stream)), "%ld", sum);
  return 0;
}

static int run_talk(caw_stream *stream, const void *request, void *reply, const void *impl,
                    void *self) {
  (void)request, (void)reply, (void)impl, (void)self;
  caw_arena *arena = caw_arena_new(0);
  caw_str s;
  int rc;
  while (!(rc = caw_stream_read(stream, &s, arena)) && !(rc = caw_stream_write(stream, &s)))
    caw_arena_reset(arena);
  caw_arena_free(arena);
  return rc == CAW_EEND ? 0 : rc;
}

enum { BLOCK = 16 * 1024 };
static char block[BLOCK];

/* Writes until it may not. */
static int run_flood(caw_stream *stream, const void *request, void *reply, const void *impl,
                     void *self) {
  (void)request, (void)reply, (void)impl, (void)self;
  caw_str s = caw_str_of(block, BLOCK);
  int rc;
  while (!(rc = caw_stream_write(stream, &s))) atomic_fetch_add(&t.written, 1);
  atomic_store(&t.last_write, rc + 1000);
  return rc;
}

/* Reads nothing before the gate opens. */
static int run_lazy(caw_stream *stream, const void *request, void *reply, const void *impl,
                    void *self) {
  atomic_fetch_add(&t.holding, 1);
  while (!atomic_load(&t.gate)) host_pause(500);
  return run_talk(stream, request, reply, impl, self);
}

static const caw_blocking_handler handlers[] = {
    {&echo, run_echo},           {&hold, run_hold},
    {&bad_reply, run_bad_reply}, {&count_down, run_count_down},
    {&sum_up, run_sum_up},       {&talk, run_talk},
    {&flood, run_flood},         {&lazy, run_lazy},
};

static caw_channel *channel;
static caw_arena *arena;

static void start_with(const caw_server_options *o) {
  atomic_store(&t.holding, 0);
  atomic_store(&t.held, 0);
  atomic_store(&t.gate, 0);
  atomic_store(&t.written, 0);
  atomic_store(&t.last_write, 0);
  host_start(&t.host, o, NULL, 0, handlers, sizeof(handlers) / sizeof(handlers[0]), NULL);
  channel = host_channel(&t.host);
  arena = caw_arena_new(0);
}

static void start(void) {
  const caw_server_options o = {.size = sizeof(o)};
  start_with(&o);
}

static void stop(void) {
  atomic_store(&t.gate, 1);
  caw_channel_free(channel);
  caw_arena_free(arena);
  assert_int_equal(host_stop(&t.host, 5000), 0);
  host_check_all();
}

static int ask(const caw_method *method, const char *text, const caw_call_options *o,
               caw_str *reply, caw_status *status) {
  caw_str request = caw_str_from(text), dropped;
  return caw_call_unary(channel, method, &request, reply ? reply : &dropped, arena, o, status);
}

static int write_text(caw_stream *s, const char *text) {
  caw_str message = caw_str_from(text);
  return caw_stream_write(s, &message);
}

#define assert_text(s, text)                                                                       \
  do {                                                                                             \
    char *copy = strndup((s).data ? (s).data : "", (s).len);                                       \
    assert_string_equal(copy, text);                                                               \
    free(copy);                                                                                    \
  } while (0)

/* ---- The four kinds ---- */

static void each_kind(void **state) {
  (void)state;
  caw_str reply;
  caw_stream *s;
  caw_status status;
  start();
  assert_int_equal(ask(&echo, "one", NULL, &reply, NULL), 0);
  assert_text(reply, "one");
  assert_int_equal(ask(&echo, "", NULL, &reply, &status), 0);
  assert_int_equal(reply.len, 0);
  assert_int_equal(status.code, 0);

  caw_str three = CAW_STR("3");
  assert_int_equal(caw_stream_open_with(&s, channel, &count_down, &three, NULL), 0);
  for (const char *n = "321"; *n; n++) {
    assert_int_equal(caw_stream_read(s, &reply, arena), 0);
    assert_int_equal(reply.data[0], *n);
  }
  assert_int_equal(caw_stream_read(s, &reply, arena), CAW_EEND);
  assert_int_equal(caw_stream_read(s, &reply, arena), CAW_EEND);
  assert_int_equal(write_text(s, "late"), CAW_ECLOSED);
  assert_int_equal(caw_stream_finish(s, arena, &status), 0);

  assert_int_equal(caw_stream_open(&s, channel, &sum_up, NULL), 0);
  for (int i = 0; i < 100; i++) assert_int_equal(write_text(s, "1234567"), 0);
  assert_int_equal(caw_stream_close_send(s), 0);
  assert_int_equal(caw_stream_close_send(s), CAW_ESTATE);
  assert_int_equal(write_text(s, "late"), CAW_ESTATE);
  assert_int_equal(caw_stream_read(s, &reply, arena), 0);
  assert_text(reply, "700");
  assert_int_equal(caw_stream_finish(s, arena, &status), 0);

  assert_int_equal(caw_stream_open(&s, channel, &talk, NULL), 0);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(write_text(s, "ping"), 0);
    assert_int_equal(caw_stream_read(s, &reply, arena), 0);
    assert_text(reply, "ping");
  }
  assert_int_equal(caw_stream_close_send(s), 0);
  assert_int_equal(caw_stream_read(s, &reply, arena), CAW_EEND);
  assert_int_equal(caw_stream_finish(s, NULL, NULL), 0);
  stop();
}

/* Finished in whatever state: what was not read is dropped. */
static void finished_early(void **state) {
  (void)state;
  caw_stream *s;
  caw_str many = CAW_STR("5000"), reply;
  start();
  assert_int_equal(caw_stream_open_with(&s, channel, &count_down, &many, NULL), 0);
  assert_int_equal(caw_stream_finish(s, NULL, NULL), 0); /* reads to the end */
  assert_int_equal(caw_stream_open_with(&s, channel, &flood, &many, NULL), 0);
  assert_int_equal(caw_stream_read(s, &reply, arena), 0);
  caw_call_cancel(caw_stream_call(s));
  assert_int_equal(caw_stream_finish(s, NULL, NULL), CAW_CANCELLED);
  assert_int_equal(caw_stream_open(&s, channel, &talk, NULL), 0);
  assert_int_equal(caw_stream_finish(s, NULL, NULL), 0); /* half-closes by itself */
  assert_int_equal(caw_stream_open(&s, channel, &sum_up, NULL), 0);
  assert_int_equal(write_text(s, "x"), 0);
  assert_int_equal(caw_stream_finish(s, NULL, NULL), 0);
  assert_int_equal(caw_stream_finish(NULL, NULL, NULL), 0);
  stop();
}

/* ---- Errors ---- */

static void errors_of_unary_calls(void **state) {
  (void)state;
  static const struct {
    const caw_method *method;
    const char *text;
    uint64_t timeout;
    int rc; /* and status.code, when it is one */
    const char *message;
  } cases[] = {
      {&echo, "fail", 0, CAW_NOT_FOUND, "no fail"},
      {&echo, "pending", 0, CAW_INTERNAL, ""},
      {&echo, "memory", 0, CAW_RESOURCE_EXHAUSTED, ""},
      {&hold, "x", 30, CAW_DEADLINE_EXCEEDED, "the deadline is over"},
      {&unknown, "x", 0, CAW_UNIMPLEMENTED, "unknown method /test.Blocking/unknown"},
      {&echo, "!", 0, CAW_INTERNAL, "the request is malformed: malformed bytes"},
      {&echo, "?", 0, CAW_EUTF8, NULL},
  };
  start();
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const caw_call_options o = {.size = sizeof(o), .timeout_ms = cases[i].timeout};
    caw_status status = {.code = -1};
    assert_int_equal(ask(cases[i].method, cases[i].text, &o, NULL, &status), cases[i].rc);
    if (!cases[i].message) continue;
    assert_int_equal(status.code, cases[i].rc);
    assert_text(status.message, cases[i].message);
  }
  static const caw_metadata_entry bad[] = {{CAW_STR("Upper"), CAW_STR("case")}};
  const caw_call_options o = {.size = sizeof(o), .metadata = bad, .metadata_len = 1};
  assert_int_equal(ask(&echo, "x", &o, NULL, NULL), CAW_EINVAL);
  stop();
}

/* The reply comes, and cannot be decoded. */
static void a_malformed_reply(void **state) {
  (void)state;
  static const caw_method as_bytes = {"/test.Blocking/bad_reply", CAW_UNARY, &caw_type_bytes,
                                      &picky};
  caw_status status;
  caw_str request = CAW_STR("!"), reply;
  host raw;
  (void)as_bytes;
  /* A server whose handlers take and give any bytes. */
  static const caw_method bytes = {"/test.Blocking/bad_reply", CAW_UNARY, &caw_type_bytes,
                                   &caw_type_bytes};
  static const caw_blocking_handler any[] = {{&bytes, run_bad_reply}};
  host_start(&raw, NULL, NULL, 0, any, 1, NULL);
  channel = host_channel(&raw);
  arena = caw_arena_new(0);
  assert_int_equal(caw_call_unary(channel, &as_bytes, &request, &reply, arena, NULL, &status),
                   CAW_INTERNAL);
  assert_int_equal(status.code, CAW_INTERNAL);
  assert_text(status.message, "the reply is malformed");
  caw_arena_free(arena);
  caw_channel_free(channel);
  assert_int_equal(host_stop(&raw, 1000), 0);
}

static void nobody_listens(void **state) {
  (void)state;
  caw_status status;
  const char *why;
  start();
  caw_channel_free(channel);
  assert_int_equal(host_stop(&t.host, 0), 0);
  char address[] = "127.0.0.1:1";
  assert_int_equal(caw_channel_new(&channel, address, NULL, &why), 0);
  assert_int_equal(ask(&echo, "x", NULL, NULL, &status), CAW_UNAVAILABLE);
  assert_non_null(strstr(status.message.data, "127.0.0.1:1"));
  caw_channel_free(channel);
  caw_arena_free(arena);
}

static void *cancel_soon(void *arg) {
  host_check(host_await(&t.holding, 1));
  caw_call_cancel(arg);
  caw_call_unref(arg);
  return NULL;
}

/* From a third thread, while one thread reads and another writes. The handler
 * outlives the call. */
static void cancelled_by_a_third_thread(void **state) {
  (void)state;
  caw_stream *s;
  caw_str request = CAW_STR("x"), reply;
  pthread_t thread;
  start();
  assert_int_equal(caw_stream_open_with(&s, channel, &hold, &request, NULL), 0);
  pthread_create(&thread, NULL, cancel_soon, caw_call_ref(caw_stream_call(s)));
  assert_int_equal(caw_stream_read(s, &reply, arena), CAW_EEND);
  assert_int_equal(caw_stream_finish(s, NULL, NULL), CAW_CANCELLED);
  pthread_join(thread, NULL);
  assert_int_equal(atomic_load(&t.held), 0);
  atomic_store(&t.gate, 1);
  assert_true(host_await(&t.held, 1));
  assert_int_equal(ask(&echo, "again", NULL, NULL, NULL), 0);
  stop();
}

/* Until so many blocks are written that a writer may have to wait, and then no more; returns how
 * many. */
static int await_quiet(void) {
  int before;
  assert_true(host_await(&t.written, 16));
  do {
    before = atomic_load(&t.written);
    host_pause(50000);
  } while (atomic_load(&t.written) != before);
  return before;
}

/* Until our side of a stream that nobody reads takes no more. */
static void await_full(caw_stream *s) {
  bool full = false;
  for (int i = 0; i < 20000 && !full; i++) {
    host_pause(1000);
    pthread_mutex_lock(&s->lock);
    full = s->paused;
    pthread_mutex_unlock(&s->lock);
  }
  assert_true(full);
}

/* ---- Memory ---- */

static struct {
  atomic_size_t live, most;
  atomic_size_t size; /* allocations of this size are counted: */
  atomic_int left;    /* the one that brings it to 0 fails */
} counted;

static void *count_malloc(size_t bytes, void *user) {
  (void)user;
  if (bytes == atomic_load(&counted.size) && atomic_fetch_sub(&counted.left, 1) == 1) return NULL;
  size_t *p = malloc(bytes + 16);
  if (!p) return NULL;
  *p = bytes;
  size_t live = atomic_fetch_add(&counted.live, bytes) + bytes;
  size_t most = atomic_load(&counted.most);
  while (live > most && !atomic_compare_exchange_weak(&counted.most, &most, live)) continue;
  return p + 2;
}

static void count_free(void *ptr, void *user) {
  (void)user;
  size_t *p = (size_t *)ptr - 2;
  atomic_fetch_sub(&counted.live, *p);
  free(p);
}

static void *count_realloc(void *old, size_t bytes, void *user) {
  void *p = count_malloc(bytes, user);
  if (!p) return NULL;
  size_t size = *((size_t *)old - 2);
  memcpy(p, old, size < bytes ? size : bytes);
  count_free(old, user);
  return p;
}

static const caw_allocator counting = {sizeof(caw_allocator), count_malloc, count_realloc,
                                       count_free, NULL};

/* Memory runs out for one of three received messages, on either side: nothing
 * is read behind the gap. */
static void a_message_is_lost(void **state) {
  (void)state;
  enum { SIZE = 777 };
  caw_set_allocator(&counting);
  for (int side = 0; side < 2; side++) {
    caw_stream *s;
    caw_status status;
    caw_str middle = caw_str_of(block, SIZE), reply;
    start();
    atomic_store(&counted.left, side + 1); /* the server's inbox is the first */
    atomic_store(&counted.size, sizeof(letter) + SIZE);
    assert_int_equal(caw_stream_open(&s, channel, &talk, NULL), 0);
    write_text(s, "first");
    caw_stream_write(s, &middle);
    write_text(s, "last");
    caw_stream_close_send(s);
    assert_int_equal(caw_stream_read(s, &reply, arena), 0);
    assert_text(reply, "first");
    assert_int_equal(caw_stream_read(s, &reply, arena), side ? CAW_ENOMEM : CAW_EEND);
    assert_int_equal(caw_stream_finish(s, arena, &status), side ? 0 : CAW_RESOURCE_EXHAUSTED);
    atomic_store(&counted.size, 0);
    stop();
  }
  caw_set_allocator(NULL);
  assert_int_equal(atomic_load(&counted.live), 0);
}

/* ---- Backpressure ---- */

/* Nobody reads: the server's writer blocks, and is woken by a cancellation. */
static void a_writer_is_stopped(void **state) {
  (void)state;
  caw_set_allocator(&counting);
  atomic_store(&counted.most, 0);
  caw_stream *s;
  caw_str request = CAW_STR("x"), reply;
  start();
  assert_int_equal(caw_stream_open_with(&s, channel, &flood, &request, NULL), 0);
  await_full(s);
  await_quiet();
  caw_call_cancel(caw_stream_call(s));
  assert_true(host_await(&t.last_write, 1));
  assert_int_equal(atomic_load(&t.last_write) - 1000, CAW_ECLOSED);
  /* The inbox of 256 KiB, a window and a send buffer, in both processes' worth
   * of copies: a few MiB at most, however long the server would write. */
  assert_in_range(atomic_load(&t.written), 16, 128);
  assert_in_range(atomic_load(&counted.most), 16 * BLOCK, 6 << 20);
  int n = 0;
  while (caw_stream_read(s, &reply, arena) == 0) n++; /* what had come is there */
  assert_true(n > 0);
  assert_int_equal(caw_stream_finish(s, NULL, NULL), CAW_CANCELLED);

  /* Read slowly, everything comes, in bounds with room for a window that has grown
   * for a reader that kept up: 8 MiB at most. */
  atomic_store(&t.written, 0);
  assert_int_equal(caw_stream_open_with(&s, channel, &flood, &request, NULL), 0);
  for (int i = 0; i < 400; i++) {
    caw_arena_reset(arena);
    assert_int_equal(caw_stream_read(s, &reply, arena), 0);
    assert_int_equal(reply.len, BLOCK);
  }
  assert_in_range(atomic_load(&t.written), 400, 400 + 128 + (8 << 20) / BLOCK);
  caw_call_cancel(caw_stream_call(s));
  assert_int_equal(caw_stream_finish(s, NULL, NULL), CAW_CANCELLED);
  assert_in_range(atomic_load(&counted.most), 16 * BLOCK, (6 + 8) << 20);
  stop();
  caw_set_allocator(NULL);
  assert_int_equal(atomic_load(&counted.live), 0);
}

static void *write_blocks(void *arg) {
  caw_str text = caw_str_of(block, BLOCK);
  int rc = 0;
  for (int i = 0; i < 500 && !rc; i++) {
    rc = caw_stream_write(arg, &text);
    if (!rc) atomic_fetch_add(&t.written, 1);
  }
  host_check(rc == 0);
  host_check(caw_stream_close_send(arg) == 0);
  return NULL;
}

/* The handler does not read: the client's writer blocks. Then one thread writes
 * while another reads the same stream. */
static void a_writer_and_a_reader(void **state) {
  (void)state;
  caw_stream *s;
  caw_str reply;
  pthread_t writer;
  start();
  assert_int_equal(caw_stream_open(&s, channel, &lazy, NULL), 0);
  pthread_create(&writer, NULL, write_blocks, s);
  assert_true(host_await(&t.holding, 1));
  assert_in_range(await_quiet(), 16, 128);
  atomic_store(&t.gate, 1);
  int n = 0;
  for (; caw_stream_read(s, &reply, arena) == 0; n++) {
    assert_int_equal(reply.len, BLOCK);
    caw_arena_reset(arena);
  }
  pthread_join(writer, NULL);
  assert_int_equal(n, 500);
  assert_int_equal(caw_stream_finish(s, NULL, NULL), 0);
  stop();
}

/* ---- The pool ---- */

static atomic_int answered, exhausted;

static void *ask_hold(void *arg) {
  caw_arena *own = caw_arena_new(0);
  caw_str request = CAW_STR("x"), reply;
  caw_status status;
  (void)arg;
  int rc = caw_call_unary(channel, &hold, &request, &reply, own, NULL, &status);
  if (rc == CAW_RESOURCE_EXHAUSTED) {
    host_check(caw_str_is(status.message, "too many calls wait for a thread"));
    atomic_fetch_add(&exhausted, 1);
  } else {
    host_check(rc == 0);
    atomic_fetch_add(&answered, 1);
  }
  caw_arena_free(own);
  return NULL;
}

/* Two threads, three places in the queue: the rest is told at once. */
static void the_pool_is_full(void **state) {
  (void)state;
  enum { CALLS = 9 };
  const caw_server_options o = {.size = sizeof(o), .pool_threads = 2, .pool_queue = 3};
  pthread_t threads[CALLS];
  atomic_store(&answered, 0);
  atomic_store(&exhausted, 0);
  start_with(&o);
  for (int i = 0; i < CALLS; i++) pthread_create(&threads[i], NULL, ask_hold, NULL);
  assert_true(host_await(&exhausted, CALLS - 5));
  assert_true(host_await(&t.holding, 2));
  assert_int_equal(atomic_load(&answered), 0);
  atomic_store(&t.gate, 1);
  for (int i = 0; i < CALLS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&t.holding), 5);
  assert_int_equal(atomic_load(&answered), 5);
  assert_int_equal(atomic_load(&exhausted), CALLS - 5);
  stop();
}

/* ---- Draining ---- */

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void drained_while_handlers_block(void **state) {
  (void)state;
  for (int opens = 0; opens < 2; opens++) {
    caw_stream *s;
    caw_str request = CAW_STR("x");
    caw_status status;
    start();
    assert_int_equal(caw_stream_open_with(&s, channel, &hold, &request, NULL), 0);
    assert_true(host_await(&t.holding, 1));
    double begin = seconds();
    caw_server_drain(t.host.server, 50, NULL, NULL);
    assert_int_equal(caw_stream_finish(s, arena, &status), CAW_UNAVAILABLE);
    assert_text(status.message, "the server is shutting down");
    if (opens) host_pause(20000); /* of the second that its handlers have */
    if (opens) atomic_store(&t.gate, 1);
    assert_int_equal(host_wait(&t.host), opens ? 0 : CAW_ETIMEDOUT);
    double took = seconds() - begin;
    if (!opens) assert_true(took > 0.9 && took < 10);
    atomic_store(&t.gate, 1);
    assert_true(host_await(&t.held, 1));
    caw_channel_free(channel);
    caw_arena_free(arena);
    caw_server_free(t.host.server);
    t.host.server = NULL;
  }
}

/* ---- On the wrong thread ---- */

static void on_the_loop(void *arg) {
  caw_stream *s = NULL;
  caw_str text = CAW_STR("x"), reply;
  host_check(caw_channel_wait_ready(channel, 1) == CAW_ETHREAD);
  host_check(caw_stream_open(&s, channel, &talk, NULL) == CAW_ETHREAD);
  host_check(caw_stream_open_with(&s, channel, &hold, &text, NULL) == CAW_ETHREAD);
  host_check(caw_call_unary(channel, &echo, &text, &reply, arena, NULL, NULL) == CAW_ETHREAD);
  atomic_store((atomic_int *)arg, 1);
}

static void called_on_the_loop(void **state) {
  (void)state;
  atomic_int ran = 0;
  start();
  assert_int_equal(caw_loop_post(caw_channel_loop(channel), on_the_loop, &ran), 0);
  assert_true(host_await(&ran, 1));
  stop();
}

/* ---- Readiness ---- */

typedef struct freeing {
  caw_channel *channel;
  atomic_int looked;
  bool waits;
} freeing;

static void look_who_waits(void *arg) {
  freeing *f = arg;
  f->waits = !list_empty(&f->channel->watches);
  atomic_store(&f->looked, 1);
}

/* Frees the channel as soon as somebody waits for its readiness. */
static void *free_under_who_waits(void *arg) {
  freeing *f = arg;
  do {
    atomic_store(&f->looked, 0);
    host_check(caw_loop_post(caw_channel_loop(f->channel), look_who_waits, f) == 0);
    host_check(host_await(&f->looked, 1));
  } while (!f->waits);
  caw_channel_free(f->channel);
  return NULL;
}

static void waiting_for_readiness(void **state) {
  (void)state;
  const char *why;
  char text[256];
  start();
  assert_int_equal(caw_channel_wait_ready(channel, 10000), 0);
  assert_int_equal(caw_channel_wait_ready(channel, 0), 0);
  assert_int_equal(caw_channel_state(channel, false), CAW_CHANNEL_READY);
  /* Nobody listens there. */
  caw_channel *other;
  assert_int_equal(caw_channel_new(&other, "127.0.0.1:1", NULL, &why), 0);
  double begin = seconds();
  assert_int_equal(caw_channel_wait_ready(other, 60), CAW_ETIMEDOUT);
  assert_true(seconds() - begin >= 0.06);
  /* On a busy machine that may have been over before it has tried. */
  for (int i = 0; i < 20000 && !caw_channel_error(other, text, sizeof(text)); i++) host_pause(1000);
  assert_non_null(strstr(text, "127.0.0.1:1"));
  caw_channel_free(other);
  freeing f = {.looked = 0};
  assert_int_equal(caw_channel_new(&f.channel, "127.0.0.1:1", NULL, &why), 0);
  other = f.channel;
  pthread_t thread;
  pthread_create(&thread, NULL, free_under_who_waits, &f);
  assert_int_equal(caw_channel_wait_ready(other, 0), CAW_ECLOSED);
  pthread_join(thread, NULL);
  stop();
}

/* ---- A channel that goes while its streams are used ---- */

static void *free_channel(void *arg) {
  host_pause(30000);
  caw_channel_free(arg);
  return NULL;
}

static void the_channel_is_freed(void **state) {
  (void)state;
  caw_stream *waiting, *full;
  caw_str request = CAW_STR("x"), reply;
  pthread_t thread;
  start();
  assert_int_equal(caw_stream_open_with(&full, channel, &flood, &request, NULL), 0);
  await_full(full);
  assert_int_equal(caw_stream_open_with(&waiting, channel, &hold, &request, NULL), 0);
  pthread_create(&thread, NULL, free_channel, channel);
  assert_int_equal(caw_stream_read(waiting, &reply, arena), CAW_EEND);
  pthread_join(thread, NULL);
  assert_int_equal(write_text(waiting, "late"), CAW_ECLOSED);
  assert_int_equal(caw_stream_finish(waiting, NULL, NULL), CAW_CANCELLED);
  /* The paused one has messages that came before. */
  int n = 0;
  while (caw_stream_read(full, &reply, arena) == 0) n++;
  assert_true(n > 0);
  assert_int_equal(caw_stream_finish(full, NULL, NULL), CAW_CANCELLED);
  atomic_store(&t.gate, 1);
  caw_arena_free(arena);
  assert_int_equal(host_stop(&t.host, 5000), 0);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_kind),
      cmocka_unit_test(finished_early),
      cmocka_unit_test(errors_of_unary_calls),
      cmocka_unit_test(a_malformed_reply),
      cmocka_unit_test(nobody_listens),
      cmocka_unit_test(cancelled_by_a_third_thread),
      cmocka_unit_test(a_message_is_lost),
      cmocka_unit_test(a_writer_is_stopped),
      cmocka_unit_test(a_writer_and_a_reader),
      cmocka_unit_test(the_pool_is_full),
      cmocka_unit_test(drained_while_handlers_block),
      cmocka_unit_test(called_on_the_loop),
      cmocka_unit_test(waiting_for_readiness),
      cmocka_unit_test(the_channel_is_freed),
  };
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
