/* Compressed messages between a server and a channel of ours: who decides, what
 * each side can see of it, and the limit. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "conn/call.h"
#include "duo.h"
#include "io/sys.h"

#include <stdio.h>
#include <stdlib.h>

#define LONG 5000
#define MIB  ((size_t)1 << 20)

static char text[LONG]; /* compresses well */

static caw_str long_text(void) {
  memset(text, 'x', sizeof(text));
  return caw_str_of(text, sizeof(text));
}

/* A call on the client's side that notes, for each reply, 'c' (it came
 * compressed) or 'p' (plain). */
typedef struct seen {
  caw_call *call;
  char replies[64];
  size_t n, bytes;
  int done, code;
  char message[256];
} seen;

static void on_reply(caw_call *call, const void *message, void *user) {
  seen *s = user;
  s->bytes += ((const caw_str *)message)->len;
  if (s->n < sizeof(s->replies) - 1) s->replies[s->n++] = caw_call_was_compressed(call) ? 'c' : 'p';
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  seen *s = user;
  (void)call;
  s->done = 1;
  s->code = status->code;
  snprintf(s->message, sizeof(s->message), "%.*s", CAW_STR_ARG(status->message));
}

static const caw_client_events events = {NULL, on_reply, NULL, on_done, NULL};

/* What the handlers saw, likewise, and what they are to do. */
typedef struct script {
  char requests[64];
  size_t n;
  caw_encoding reply; /* for caw_call_set_encoding; DEFAULT: not called */
  bool alternate;     /* every other reply of a stream as it is */
} script;

static int handle(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  script *s = d->extra;
  s->requests[s->n++] = caw_call_was_compressed(call) ? 'c' : 'p';
  if (s->reply && s->n == 1) assert_int_equal(caw_call_set_encoding(call, s->reply), 0);
  if (reply) {
    *reply = *request;
    return 0;
  }
  caw_call_compress(call, !s->alternate || s->n % 2);
  return caw_call_send(call, request);
}

static void run(duo *d, script *s, seen *h, const caw_method *method, caw_str request,
                caw_encoding encoding) {
  const caw_call_options o = {.size = sizeof(o), .encoding = encoding};
  memset(h, 0, sizeof(*h));
  memset(s->requests, 0, sizeof(s->requests));
  s->n = 0;
  d->extra = s;
  d->on_message = handle;
  assert_int_equal(caw_call_start_with(&h->call, d->channel, method, &request, &o, &events, h), 0);
  duo_until(d, &h->done);
}

/* Every combination of what the channel, the call, the server and the handler
 * say, for one long and one short message. */
static void who_decides(void **state) {
  (void)state;
  static const caw_encoding values[] = {CAW_ENCODING_DEFAULT, CAW_ENCODING_IDENTITY,
                                        CAW_ENCODING_DEFLATE, CAW_ENCODING_GZIP, CAW_ENCODING_ZSTD};
  size_t n = caw_encoding_supported(CAW_ENCODING_ZSTD) ? 5 : 4;
  for (size_t mine = 0; mine < n; mine++) {
    duo d = {0};
    d.channel_options.encoding = d.server_options.encoding = values[mine];
    duo_init(&d);
    for (size_t i = 0; i < n; i++) {
      seen h;
      script s = {.reply = values[i]};
      caw_encoding used = values[i] ? values[i] : values[mine];
      const char *want = used > CAW_ENCODING_IDENTITY ? "c" : "p";
      run(&d, &s, &h, &duo_unary, long_text(), values[i]);
      assert_int_equal(h.code, CAW_OK);
      assert_int_equal(h.bytes, LONG);
      assert_string_equal(s.requests, want);
      assert_string_equal(h.replies, want);
      run(&d, &s, &h, &duo_unary, caw_str_from("short"), values[i]);
      assert_string_equal(s.requests, "p");
      assert_string_equal(h.replies, "p");
      assert_int_equal(h.bytes, 5);
    }
    duo_finish(&d);
  }
}

static void unknown_encodings(void **state) {
  (void)state;
  caw_encoding bad =
      caw_encoding_supported(CAW_ENCODING_ZSTD) ? (caw_encoding)9 : CAW_ENCODING_ZSTD;
  caw_server_options so = {.size = sizeof(so), .encoding = bad};
  caw_channel_options co = {.size = sizeof(co), .encoding = bad};
  caw_server *server;
  caw_channel *channel;
  assert_int_equal(caw_server_new(&server, &so), CAW_EINVAL);
  assert_int_equal(caw_channel_new(&channel, "127.0.0.1:1", &co, NULL), CAW_EINVAL);
  duo d = {0};
  duo_init(&d);
  caw_call_options o = {.size = sizeof(o), .encoding = bad};
  caw_str request = long_text();
  seen h = {0};
  assert_int_equal(caw_call_start_with(NULL, d.channel, &duo_unary, &request, &o, &events, &h),
                   CAW_EINVAL);
  duo_finish(&d);
}

/* Each message may be sent as it is. */
static void message_by_message(void **state) {
  (void)state;
  duo d = {0};
  seen h = {0};
  script s = {.reply = CAW_ENCODING_GZIP, .alternate = true};
  duo_init(&d);
  d.extra = &s;
  d.on_message = handle;
  const caw_call_options o = {.size = sizeof(o), .encoding = CAW_ENCODING_DEFLATE};
  caw_str request = long_text();
  assert_int_equal(caw_call_start(&h.call, d.channel, &duo_bidi, &o, &events, &h), 0);
  for (int i = 0; i < 6; i++) {
    caw_call_compress(h.call, i % 3 != 0);
    assert_int_equal(caw_call_send(h.call, &request), 0);
  }
  assert_int_equal(caw_call_close_send(h.call), 0);
  duo_until(&d, &h.done);
  assert_int_equal(h.code, CAW_OK);
  assert_string_equal(s.requests, "pccpcc");
  assert_string_equal(h.replies, "cpcpcp");
  assert_int_equal(h.bytes, 6 * LONG);
  duo_finish(&d);
}

static int set_late(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d;
  *reply = *request;
  assert_int_equal(caw_call_set_encoding(call, (caw_encoding)9), CAW_EINVAL);
  assert_int_equal(caw_call_send_headers(call), 0);
  assert_int_equal(caw_call_set_encoding(call, CAW_ENCODING_GZIP), CAW_ESTATE);
  return 0;
}

static void after_the_headers(void **state) {
  (void)state;
  duo d = {0};
  heard h = {0};
  duo_init(&d);
  d.on_message = set_late;
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, CAW_OK);
  duo_finish(&d);
}

/* A payload goes to calls of every encoding, and to those of none. */
static int send_shared(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request, (void)reply;
  caw_encoding encoding = (caw_encoding)(1 + d->n_drain++ % 3);
  assert_int_equal(caw_call_set_encoding(call, encoding), 0);
  return caw_call_send_payload(call, d->extra);
}

static void one_payload_for_all(void **state) {
  (void)state;
  duo d = {0};
  caw_payload *p;
  caw_str value = long_text();
  duo_init(&d);
  assert_int_equal(caw_payload_new(&p, &caw_type_bytes, &value), 0);
  d.extra = p;
  d.on_message = send_shared;
  static const char *const want[] = {"p", "c", "c"};
  for (int i = 0; i < 9; i++) {
    seen h = {0};
    caw_str request = caw_str_from("all");
    assert_int_equal(caw_call_start_with(&h.call, d.channel, &duo_server_stream, &request, NULL,
                                         &events, &h),
                     0);
    duo_until(&d, &h.done);
    assert_string_equal(h.replies, want[i % 3]);
    assert_int_equal(h.bytes, LONG);
  }
  caw_payload_unref(p);
  duo_finish(&d);
}

/* A message that is small on the way and large afterwards. */
static void bombs(void **state) {
  (void)state;
  size_t len = 16 * MIB;
  char *zeros = calloc(1, len);
  duo d = {0};
  seen h;
  script s = {.reply = CAW_ENCODING_GZIP};
  duo_init(&d);
  run(&d, &s, &h, &duo_unary, caw_str_of(zeros, len), CAW_ENCODING_GZIP);
  assert_int_equal(h.code, CAW_RESOURCE_EXHAUSTED);
  assert_string_equal(h.message,
                      "a message is larger than the receiver's limit when it is decompressed");
  assert_int_equal(s.n, 0);
  /* Of the size of the limit, it is fine. */
  run(&d, &s, &h, &duo_unary, caw_str_of(zeros, 4 * MIB), CAW_ENCODING_GZIP);
  assert_int_equal(h.code, CAW_OK);
  assert_int_equal(h.bytes, 4 * MIB);
  run(&d, &s, &h, &duo_unary, caw_str_of(zeros, 4 * MIB + 1), CAW_ENCODING_GZIP);
  assert_int_equal(h.code, CAW_RESOURCE_EXHAUSTED);
  /* The client is no different. */
  const caw_call_options o = {.size = sizeof(o), .encoding = CAW_ENCODING_GZIP, .max_receive = MIB};
  caw_str request = caw_str_of(zeros, 2 * MIB);
  memset(&h, 0, sizeof(h));
  s.n = 0;
  assert_int_equal(caw_call_start_with(&h.call, d.channel, &duo_unary, &request, &o, &events, &h),
                   0);
  duo_until(&d, &h.done);
  assert_int_equal(h.code, CAW_RESOURCE_EXHAUSTED);
  assert_int_equal(h.n, 0);
  duo_finish(&d);
  free(zeros);
}

/* ---- Many at once ---- */

enum { CROWD = 30 };

typedef struct crowd {
  seen clients[CROWD];
  caw_call *handlers[CROWD];
  int came, overflow, over;
} crowd;

static int hold(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  crowd *c = d->extra;
  (void)reply;
  assert_int_equal(request->len, 4 * MIB);
  c->handlers[c->came++] = call;
  return CAW_PENDING;
}

static void on_end(caw_call *call, const caw_status *status, void *user) {
  crowd *c = user;
  (void)call;
  c->over++;
  if (status->code == CAW_OK) return;
  assert_int_equal(status->code, CAW_RESOURCE_EXHAUSTED);
  assert_true(
      caw_str_is(status->message,
                 "the connection's messages take too much memory when they are decompressed"));
  c->overflow++;
}

/* What the requests of one connection take when they are decompressed is bounded,
 * and so is what is decompressed in one turn of the loop. What has ended makes
 * room for others. */
static void many_bombs(void **state) {
  (void)state;
  static const caw_client_events end_events = {.on_done = on_end};
  char *zeros = calloc(1, 4 * MIB);
  caw_str request = caw_str_of(zeros, 4 * MIB);
  duo d = {0};
  duo_init(&d);
  d.on_message = hold;
  for (int round = 0; round < 2; round++) {
    crowd c = {0};
    d.extra = &c;
    const caw_call_options o = {.size = sizeof(o), .encoding = CAW_ENCODING_GZIP};
    for (int i = 0; i < CROWD; i++)
      assert_int_equal(
          caw_call_start_with(NULL, d.channel, &duo_unary, &request, &o, &end_events, &c), 0);
    while (c.came + c.overflow < CROWD) {
      int before = c.came;
      caw_loop_run(d.loop, CAW_LOOP_NOWAIT);
      assert_in_range(c.came - before, 0, 1);
    }
    assert_int_equal(c.came, 15); /* of 4 MiB in 64, and all the requests as they came */
    caw_str reply = caw_str_from("done");
    for (int i = 0; i < c.came; i++) assert_int_equal(caw_call_reply(c.handlers[i], &reply), 0);
    while (c.over < CROWD) caw_loop_run(d.loop, CAW_LOOP_ONCE);
    duo_turns(&d, 5);
  }
  duo_finish(&d);
  free(zeros);
}

/* ---- By and by ---- */

/* Counts the turns until a flag is set. */
static int turns_until(duo *d, const int *flag) {
  int n = 0;
  for (; !*flag; n++) {
    assert_in_range(n, 0, 100000);
    caw_loop_run(d->loop, CAW_LOOP_NOWAIT);
  }
  return n;
}

typedef struct slowly {
  seen first, second;
  caw_call *stream; /* the handler's side of the first */
  size_t bytes;
  int came;
} slowly;

static int note_length(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  slowly *s = d->extra;
  if (reply) *reply = caw_str_from("ok");
  else s->stream = call;
  s->bytes = request->len;
  s->came++;
  return 0;
}

static void begin(duo *d, seen *h, const caw_method *method, caw_str request) {
  const caw_call_options o = {.size = sizeof(o), .encoding = CAW_ENCODING_GZIP};
  assert_int_equal(caw_call_start_with(&h->call, d->channel, method, &request, &o, &events, h), 0);
}

/* A stream whose handler has had a first message, and a second is decompressed in part. */
static void begin_slowly(duo *d, slowly *s, caw_str zeros) {
  static const caw_call_options o = {.size = sizeof(o), .encoding = CAW_ENCODING_GZIP};
  caw_str hello = caw_str_from("hello");
  *s = (slowly){0};
  d->extra = s;
  d->on_message = note_length;
  assert_int_equal(caw_call_start(&s->first.call, d->channel, &duo_bidi, &o, &events, &s->first),
                   0);
  assert_int_equal(caw_call_send(s->first.call, &hello), 0);
  turns_until(d, &s->came);
  assert_int_equal(s->bytes, 5);
  s->came = 0;
  assert_int_equal(caw_call_send(s->first.call, &zeros), 0);
  /* It is begun as soon as it has all come. */
  while (!s->stream->rpc.inflater) caw_loop_run(d->loop, CAW_LOOP_NOWAIT);
  assert_int_equal(s->came, 0);
  assert_in_range(s->stream->rpc.inflater->out.len, 1, zeros.len - 1);
}

/* Many turns of the loop for a large one. What its call does meanwhile does not matter to
 * others: it is cancelled, or paused, and goes on later. */
static void by_and_by(void **state) {
  (void)state;
  char *bytes = calloc(1, 4 * MIB);
  caw_str zeros = caw_str_of(bytes, 4 * MIB);
  duo d = {0};
  slowly s;
  duo_init(&d);

  begin_slowly(&d, &s, zeros);
  assert_in_range(turns_until(&d, &s.came), 1, 10000);
  assert_int_equal(s.bytes, zeros.len);
  assert_int_equal(caw_call_close_send(s.first.call), 0);
  duo_until(&d, &s.first.done);
  assert_int_equal(s.first.code, CAW_OK);

  begin_slowly(&d, &s, zeros);
  begin(&d, &s.second, &duo_unary, zeros); /* waits for its turn */
  caw_call_cancel(s.first.call);
  duo_until(&d, &s.first.done);
  duo_until(&d, &s.second.done);
  assert_int_equal(s.first.code, CAW_CANCELLED);
  assert_int_equal(s.second.code, CAW_OK);
  assert_int_equal(s.came, 1);

  begin_slowly(&d, &s, zeros);
  caw_call_pause(s.stream);
  begin(&d, &s.second, &duo_unary, caw_str_of(bytes, 3 * MIB));
  duo_until(&d, &s.second.done);
  assert_int_equal(s.second.code, CAW_OK);
  assert_int_equal(s.bytes, 3 * MIB);
  assert_null(s.stream->rpc.inflater);
  s.came = 0;
  caw_call_resume(s.stream);
  turns_until(&d, &s.came);
  assert_int_equal(s.bytes, zeros.len);
  assert_int_equal(caw_call_close_send(s.first.call), 0);
  duo_until(&d, &s.first.done);
  assert_int_equal(s.first.code, CAW_OK);

  /* The server goes in the midst of one. */
  begin_slowly(&d, &s, zeros);
  duo_finish(&d);
  free(bytes);
}

/* A codec that takes longer than what a connection may take of a turn. */
static int decode_slowly(const void *desc, void *message, const uint8_t *data, size_t len,
                         caw_arena *arena) {
  (void)desc, (void)arena;
  for (uint64_t end = io_sys_clock() + 200000; io_sys_clock() < end;) continue;
  *(caw_str *)message = caw_str_of((const char *)data, len);
  return 0;
}

static int count_message(caw_call *call, const void *request, void *reply, const void *impl,
                         void *self) {
  (void)call, (void)request, (void)impl;
  *(caw_str *)reply = caw_str_from("ok");
  ++*(int *)self;
  return 0;
}

/* What a message unpacks to is decoded at once, and that takes its time, too: the next one of the
 * connection comes in another turn. */
static void decoding_counts(void **state) {
  (void)state;
  enum { CALLS = 20 };
  caw_codec codec = *caw_type_bytes.codec;
  codec.decode = decode_slowly;
  const caw_type type = {&codec, NULL, sizeof(caw_str)};
  const caw_method slow = {"/test.Slow/Unary", CAW_UNARY, &type, &caw_type_bytes};
  const caw_method sent = {slow.path, CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
  const caw_handler handler = {.method = &slow, .message = count_message};
  int came = 0, most = 0;
  duo d = {0};
  seen h[CALLS];
  memset(h, 0, sizeof(h));
  duo_init(&d);
  assert_int_equal(caw_server_add(d.server, &handler, 1, NULL, &came), 0);
  for (int i = 0; i < CALLS; i++) begin(&d, &h[i], &sent, long_text());
  for (int before = 0; before < CALLS; before = came) {
    caw_loop_run(d.loop, CAW_LOOP_ONCE);
    if (came - before > most) most = came - before;
  }
  assert_int_equal(most, 1);
  for (int i = 0; i < CALLS; i++) {
    duo_until(&d, &h[i].done);
    assert_int_equal(h[i].code, CAW_OK);
  }
  duo_finish(&d);
}

/* ---- With much else to do ---- */

typedef struct tally {
  int want, done, ok;
  int all; /* the flag of duo_until */
} tally;

static void count_done(caw_call *call, const caw_status *status, void *user) {
  tally *t = user;
  (void)call;
  if (status->code == CAW_OK) t->ok++;
  else if (t->done == t->ok) print_error("%.*s\n", CAW_STR_ARG(status->message));
  t->all = ++t->done == t->want;
}

static const caw_client_events count_events = {.on_done = count_done};

static void begin_many(caw_channel *channel, tally *t, int n, caw_str request) {
  const caw_call_options o = {.size = sizeof(o), .encoding = CAW_ENCODING_GZIP};
  *t = (tally){.want = n};
  for (int i = 0; i < n; i++)
    assert_int_equal(caw_call_start_with(NULL, channel, &duo_unary, &request, &o, &count_events, t),
                     0);
}

static int send_extra(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request, (void)reply;
  return caw_call_send_payload(call, d->extra);
}

/* More calls than a loop has tasks in a turn, each with a reply of more than a turn: all come to
 * their turn. */
static void more_calls_than_tasks(void **state) {
  (void)state;
  enum { CALLS = 1200 };
  size_t len = 400 * 1024;
  char *zeros = calloc(1, len);
  caw_str big = caw_str_of(zeros, len);
  caw_payload *payload;
  duo d = {.server_options.max_streams = 2 * CALLS,
           .server_options.encoding = CAW_ENCODING_GZIP,
           .on_message = send_extra};
  tally t;
  duo_init(&d);
  assert_int_equal(caw_payload_new(&payload, &caw_type_bytes, &big), 0);
  d.extra = payload;
  begin_many(d.channel, &t, CALLS, caw_str_from("x"));
  duo_until(&d, &t.all);
  assert_int_equal(t.ok, CALLS);
  caw_payload_unref(payload);
  duo_finish(&d);
  free(zeros);
}

/* One of many that always have something to do. */
typedef struct busy {
  io_task task;
  caw_loop *loop;
} busy;

static void be_busy(io_task *task) {
  busy *b = LIST_ENTRY(task, busy, task);
  io_defer(b->loop, &b->task);
}

/* In a loop that has more tasks than it runs in a turn a call is woken a turn and more before it
 * goes on. It has its place in the line until then. */
static void a_busy_loop(void **state) {
  (void)state;
  enum { TASKS = 3500 };
  static busy tasks[TASKS];
  char *zeros = calloc(1, 4 * MIB);
  duo d = {.on_message = note_length};
  slowly s = {0};
  duo_init(&d);
  d.extra = &s;
  for (int i = 0; i < TASKS; i++) {
    tasks[i].loop = d.loop;
    io_task_init(&tasks[i].task, be_busy);
    io_defer(d.loop, &tasks[i].task);
  }
  begin(&d, &s.first, &duo_unary, caw_str_of(zeros, 4 * MIB));
  turns_until(&d, &s.came);
  assert_int_equal(s.bytes, 4 * MIB);
  for (int i = 0; i < TASKS; i++) io_task_cancel(&tasks[i].task);
  duo_until(&d, &s.first.done);
  duo_finish(&d);
  free(zeros);
}

static int echo_plain(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d;
  caw_call_compress(call, false);
  *reply = *request;
  return 0;
}

/* Replies wait for a client that is slower than the server: requests wait for memory as they
 * came, and are decompressed when there is room for their handlers. */
static void memory_before_decompressing(void **state) {
  (void)state;
  enum { CALLS = 40 };
  char *zeros = calloc(1, 4 * MIB);
  duo d = {0};
  tally t;
  caw_loop *slow;
  caw_channel *channel;
  duo_init(&d);
  d.on_message = echo_plain;
  assert_int_equal(caw_loop_new(&slow), 0);
  const caw_channel_options o = {.size = sizeof(o), .loop = slow};
  assert_int_equal(caw_channel_new(&channel, caw_server_address(d.server, 0), &o, NULL), 0);
  begin_many(channel, &t, CALLS, caw_str_of(zeros, 4 * MIB));
  for (int n = 0; !t.all; n++) {
    assert_in_range(n, 0, 1000000);
    duo_turns(&d, 50);
    caw_loop_run(slow, CAW_LOOP_NOWAIT);
  }
  assert_int_equal(t.ok, CALLS);
  caw_channel_free(channel);
  caw_loop_run(slow, CAW_LOOP_DEFAULT);
  caw_loop_free(slow);
  duo_finish(&d);
  free(zeros);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(who_decides),         cmocka_unit_test(unknown_encodings),
      cmocka_unit_test(message_by_message),  cmocka_unit_test(after_the_headers),
      cmocka_unit_test(one_payload_for_all), cmocka_unit_test(bombs),
      cmocka_unit_test(many_bombs),          cmocka_unit_test(by_and_by),
      cmocka_unit_test(decoding_counts),     cmocka_unit_test(more_calls_than_tasks),
      cmocka_unit_test(a_busy_loop),         cmocka_unit_test(memory_before_decompressing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
