/*
 * The limits of caw/limits.h, where their subject is memory: what the messages of a
 * connection take stays within its quota, nobody who reads fails for it, and whoever does
 * fail is told why. What hostile peers make of it is in tests/attack.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "client/client.h"
#include "conn/memory.h"
#include "duo.h"
#include "fake.h"
#include "raw.h"
#include "server/server.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define MS  UINT64_C(1000000)
#define KIB ((size_t)1024)
#define MIB ((size_t)1 << 20)

enum { MOST = 120 };

/* ---- Options ---- */

static void options(void **state) {
  (void)state;
  static const struct {
    caw_limits from;
    conn_limits want;
    h2_config h2;
  } cases[] = {
      {{0},
       {200, 100, 20000, 10000, 1000, 64 * MIB, 1024 * MIB, 10000 * MS, 10000 * MS, 10000 * MS,
        30000 * MS, NULL, NULL},
       {.max_induced = 2800}},
      {{.resets_at_once = 1,
        .resets_per_second = 2,
        .noise_at_once = 3,
        .noise_per_second = 4,
        .unread_replies = 5,
        .header_bytes = 6,
        .header_fields = 7,
        .header_block_bytes = 8,
        .header_block_fields = 9,
        .connection_bytes = 10,
        .server_bytes = 11,
        .handshake_ms = 12,
        .settings_ack_ms = 13,
        .header_block_ms = 14,
        .write_ms = 15},
       {1, 2, 3, 4, 5, MIB, MIB, 12 * MS, 13 * MS, 14 * MS, 15 * MS, NULL, NULL},
       {.max_induced = 810,
        .soft_header_bytes = 6,
        .soft_header_fields = 7,
        .hard_header_bytes = 8,
        .hard_header_fields = 9}},
      {{.resets_at_once = UINT32_MAX,
        .unread_replies = UINT32_MAX,
        .header_bytes = UINT32_MAX,
        .header_block_bytes = UINT32_MAX,
        .connection_bytes = SIZE_MAX,
        .handshake_ms = CAW_NEVER,
        .write_ms = CAW_NEVER},
       {UINT32_MAX, 100, 20000, 10000, UINT32_MAX, SIZE_MAX, 1024 * MIB, UINT64_MAX, 10000 * MS,
        10000 * MS, UINT64_MAX, NULL, NULL},
       {.max_induced = UINT32_MAX, .soft_header_bytes = 1 << 30, .hard_header_bytes = 1 << 30}},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    conn_limits got;
    h2_config h2 = {0};
    caw_limits from = cases[i].from;
    from.size = sizeof(from);
    limits_read(&got, &h2, &from, 100);
    const conn_limits *want = &cases[i].want;
    assert_int_equal(got.resets_at_once, want->resets_at_once);
    assert_int_equal(got.resets_per_second, want->resets_per_second);
    assert_int_equal(got.noise_at_once, want->noise_at_once);
    assert_int_equal(got.noise_per_second, want->noise_per_second);
    assert_int_equal(got.unread_replies, want->unread_replies);
    assert_int_equal(got.connection_bytes, want->connection_bytes);
    assert_int_equal(got.server_bytes, want->server_bytes);
    assert_int_equal(got.handshake, want->handshake);
    assert_int_equal(got.settings_ack, want->settings_ack);
    assert_int_equal(got.header_block, want->header_block);
    assert_int_equal(got.write, want->write);
    assert_int_equal(h2.max_induced, cases[i].h2.max_induced);
    assert_int_equal(h2.soft_header_bytes, cases[i].h2.soft_header_bytes);
    assert_int_equal(h2.soft_header_fields, cases[i].h2.soft_header_fields);
    assert_int_equal(h2.hard_header_bytes, cases[i].h2.hard_header_bytes);
    assert_int_equal(h2.hard_header_fields, cases[i].h2.hard_header_fields);
  }
}

/* A program that was built when there were fewer; one that forgot the size. */
static void other_sizes(void **state) {
  (void)state;
  caw_server *s;
  caw_limits l = {.size = offsetof(caw_limits, noise_at_once), .resets_at_once = 7};
  l.noise_at_once = 8; /* behind its end */
  caw_server_options o = {.size = sizeof(o), .limits = &l};
  assert_int_equal(caw_server_new(&s, &o), 0);
  assert_int_equal(s->limits.resets_at_once, 7);
  assert_int_equal(s->limits.noise_at_once, 20000);
  caw_server_free(s);
  l.size = 0;
  caw_channel *ch;
  const caw_channel_options co = {.size = sizeof(co), .limits = &l};
  assert_int_equal(caw_server_new(&s, &o), CAW_EINVAL);
  assert_int_equal(caw_channel_new(&ch, "127.0.0.1:1", &co, NULL), CAW_EINVAL);
}

static void names(void **state) {
  (void)state;
  assert_string_equal(caw_limit_name(CAW_LIMIT_NONE), "none");
  assert_string_equal(caw_limit_name(CAW_LIMIT_PINGS), "pings");
  assert_string_equal(caw_limit_name(CAW_LIMITS), "unknown");
  assert_string_equal(caw_limit_name((caw_limit)-1), "unknown");
  for (int i = 0; i < CAW_LIMITS; i++)
    for (int k = 0; k < i; k++)
      assert_string_not_equal(caw_limit_name((caw_limit)i), caw_limit_name((caw_limit)k));
}

/* ---- Many messages at once ---- */

typedef struct crowd {
  duo d;
  size_t request, reply; /* bytes */
  int calls, ended, good, exhausted;
  int all_ended;
  caw_call *held[MOST]; /* by handlers that hold them */
  int n_held;
  bool hold;
  bool cut;         /* the connection is about to go */
  size_t most;      /* bytes of messages that the server had */
  size_t most_came; /* that the channel had */
  uint64_t away;    /* how long the machine did not let us run */
  char *zeros;
} crowd;

static int answer(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  crowd *c = d->extra;
  assert_int_equal(request->len, c->request);
  if (c->hold) {
    c->held[c->n_held++] = call;
    return CAW_PENDING;
  }
  *reply = caw_str_of(c->zeros, c->reply);
  return 0;
}

/* A server stream of two messages: by the first, a short one, its reader pauses. */
static int answer_at_length(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  crowd *c = d->extra;
  caw_str text = caw_str_of(c->zeros, c->reply);
  (void)request, (void)reply;
  int rc = caw_call_send(call, request);
  return rc ? rc : caw_call_send(call, &text);
}

static void on_done(caw_call *call, const caw_status *status, const void *reply, void *user) {
  crowd *c = caw_call_data(call);
  (void)user;
  c->ended++;
  if (status->code == CAW_OK) {
    c->good++;
    assert_int_equal(((const caw_str *)reply)->len, c->reply);
  } else if (status->code == CAW_RESOURCE_EXHAUSTED) {
    c->exhausted++;
  } else if (!c->cut) {
    fail_msg("%d %.*s", status->code, CAW_STR_ARG(status->message));
  }
  if (c->ended == c->calls) c->all_ended = 1;
}

static void open_crowd(crowd *c, const caw_limits *limits, size_t request, size_t reply) {
  memset(c, 0, sizeof(*c));
  c->zeros = calloc(1, 8 * MIB);
  c->request = request;
  c->reply = reply;
  c->d.server_options.limits = c->d.channel_options.limits = limits;
  c->d.server_options.max_receive = c->d.channel_options.max_receive = 8 * MIB;
  duo_init(&c->d);
  c->d.on_message = answer;
  c->d.extra = c;
}

static void start_calls(crowd *c, int n) {
  caw_str text = caw_str_of(c->zeros, c->request);
  c->calls += n;
  c->all_ended = 0;
  for (int i = 0; i < n; i++) {
    caw_call *call;
    assert_int_equal(
        caw_call_start_unary(&call, c->d.channel, &duo_unary, &text, NULL, on_done, NULL, NULL), 0);
    caw_call_set_data(call, c);
  }
}

static void turn(crowd *c) {
  caw_loop_run(c->d.loop, CAW_LOOP_ONCE);
  size_t now = caw_server_message_bytes(c->d.server);
  if (now > c->most) c->most = now;
  const conn *k = c->d.channel->conn;
  if (k && k->memory.came > c->most_came) c->most_came = k->memory.came;
}

static uint64_t cpu_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

/* A turn that does not wait long for something to happen. When it takes much longer, and not for
 * its work, the machine did not let us run. */
static void turn_soon(crowd *c) {
  uint64_t began = io_now(c->d.loop), worked = cpu_now();
  size_t now = caw_server_message_bytes(c->d.server);
  if (now > c->most) c->most = now;
  struct pollfd p = {caw_loop_fd(c->d.loop), POLLIN, 0};
  int timeout = caw_loop_timeout(c->d.loop);
  poll(&p, 1, timeout >= 0 && timeout < 20 ? timeout : 20);
  caw_loop_run(c->d.loop, CAW_LOOP_NOWAIT);
  worked = cpu_now() - worked;
  uint64_t took = io_now(c->d.loop) - began, ours = worked + 100 * MS;
  if (took > ours) c->away += took - ours;
}

/* The time of this test, of which that is no part. */
static uint64_t our_now(const crowd *c) {
  return io_now(c->d.loop) - c->away;
}

static void await_end(crowd *c) {
  for (uint64_t end = io_now(c->d.loop) + 50000 * MS; !c->all_ended;) {
    turn(c);
    if (io_now(c->d.loop) > end) fail_msg("%d of %d calls have ended", c->ended, c->calls);
  }
}

static size_t length(const list *l) {
  size_t n = 0;
  for (const list *i = l->next; i != l; i = i->next) n++;
  return n;
}

static uint64_t all_hits(const crowd *c) {
  uint64_t sum = 0;
  for (int i = 0; i < CAW_LIMITS; i++)
    sum += caw_server_limit_hits(c->d.server, (caw_limit)i) +
           caw_channel_limit_hits(c->d.channel, (caw_limit)i);
  return sum;
}

static void close_crowd(crowd *c) {
  duo_turns(&c->d, 10);
  assert_int_equal(caw_server_message_bytes(c->d.server), 0);
  if (c->d.channel->conn) {
    assert_int_equal(c->d.channel->conn->memory.came, 0);
    assert_null(c->d.channel->conn->memory.fed);
  }
  duo_finish(&c->d);
  free(c->zeros);
}

/* More than fits, at once, both ways: all are served within the quota. */
static void more_than_fits(void **state) {
  (void)state;
  static const struct {
    const char *name;
    size_t quota, request, reply;
    int calls;
    size_t most, most_came;
  } cases[] = {
      {"replies", 0, 5, 4 * MIB, 100, 64 * MIB, 64 * MIB},
      {"requests", 0, 4 * MIB, 5, 100, 64 * MIB, 64 * MIB},
      {"small replies, small quota", MIB, 5, 30 * KIB, 100, MIB, MIB},
      {"replies of a third", MIB, 5, 350 * KIB, 100, 2 * MIB, 2 * MIB},
      {"requests of a third", MIB, 350 * KIB, 5, 30, 12 * MIB, MIB},
      {"both ways", MIB, 100 * KIB, 100 * KIB, 60, 12 * MIB, 12 * MIB},
      /* One message is always taken. */
      {"replies larger than the quota", MIB, 5, 5 * MIB, 20, 12 * MIB, 12 * MIB},
      {"requests larger than the quota", MIB, 5 * MIB, 5, 1, 12 * MIB, MIB},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const caw_limits limits = {.size = sizeof(limits), .connection_bytes = cases[i].quota};
    crowd c;
    open_crowd(&c, &limits, cases[i].request, cases[i].reply);
    start_calls(&c, cases[i].calls);
    await_end(&c);
    if (c.good != cases[i].calls) print_error("%s: %d good\n", cases[i].name, c.good);
    assert_int_equal(all_hits(&c), 0);
    assert_int_equal(c.good, cases[i].calls);
    assert_in_range(c.most, 0, cases[i].most);
    assert_in_range(c.most_came, 0, cases[i].most_came);
    close_crowd(&c);
  }
}

/* Handlers hold their requests: others begin when some have finished. */
static void handlers_that_hold(void **state) {
  (void)state;
  const caw_limits limits = {.size = sizeof(limits), .connection_bytes = 2 * MIB};
  crowd c;
  open_crowd(&c, &limits, 200 * KIB, 5);
  c.hold = true;
  start_calls(&c, 40);
  caw_str reply = caw_str_of(c.zeros, 5);
  while (c.n_held < 40) {
    int before = c.n_held;
    for (int i = 0; i < 200; i++) caw_loop_run(c.d.loop, CAW_LOOP_NOWAIT);
    if (c.n_held == before) caw_loop_run(c.d.loop, CAW_LOOP_ONCE);
    assert_in_range(c.n_held - c.ended, 0, 12); /* of 200 KiB in 2 MiB, and some */
    for (int i = before; i < c.n_held; i++) assert_int_equal(caw_call_reply(c.held[i], &reply), 0);
  }
  await_end(&c);
  assert_int_equal(c.good, 40);
  assert_int_equal(all_hits(&c), 0);
  close_crowd(&c);
}

/* They hold on for longer than a peer may that takes nothing. It is no fault of the peer's:
 * nothing waits for it, or little, and nobody is refused. */
static void slow_handlers(void **state) {
  (void)state;
  static const struct {
    const char *name;
    size_t quota, request;
    int calls;
    bool unread; /* and a stream whose reader has paused */
  } cases[] = {
      {"small messages", MIB, 90 * KIB, 20, false},
      {"uploads by the default limits", 0, 4 * MIB, 40, false},
      {"and a reply that waits", MIB, 90 * KIB, 20, true},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const caw_limits limits = {.size = sizeof(limits), .connection_bytes = cases[i].quota};
    crowd c;
    heard h = {.pause = true};
    open_crowd(&c, &limits, cases[i].request, 5);
    if (cases[i].unread) {
      c.d.on_message = answer_at_length;
      c.reply = 300 * KIB;
      duo_call(&c.d, &h, &duo_server_stream, "x", NULL);
      while (!h.n_replies) turn(&c);
      c.d.on_message = answer;
      c.reply = 5;
    }
    c.hold = true;
    start_calls(&c, cases[i].calls);
    for (uint64_t end = io_now(c.d.loop) + 2600 * MS; io_now(c.d.loop) < end;) turn_soon(&c);
    if (c.ended) print_error("%s: %d have ended\n", cases[i].name, c.ended);
    assert_int_equal(c.ended, 0);
    assert_in_range(c.n_held, 1, cases[i].calls - 1);
    caw_str reply = caw_str_of(c.zeros, 5);
    c.hold = false;
    for (int k = 0; k < c.n_held; k++) assert_int_equal(caw_call_reply(c.held[k], &reply), 0);
    await_end(&c);
    assert_int_equal(c.good, cases[i].calls);
    assert_int_equal(all_hits(&c), 0);
    if (h.call) caw_call_resume(h.call);
    if (cases[i].unread) duo_done(&c.d, &h);
    close_crowd(&c);
  }
}

static int hits;
static caw_limit last_hit;

static void on_hit(caw_limit limit, caw_str peer, void *user) {
  assert_ptr_equal(user, &hits);
  assert_true(peer.len > 0);
  last_hit = limit;
  hits++;
}

/* The peer takes nothing of its replies: who waits hears of it after a second, who comes
 * later at once, until there is room again. */
static void replies_that_nobody_takes(void **state) {
  (void)state;
  enum { READERS = 12 };
  const caw_limits limits = {
      .size = sizeof(limits), .connection_bytes = MIB, .on_hit = on_hit, .user = &hits};
  crowd c;
  heard readers[READERS];
  hits = 0;
  open_crowd(&c, &limits, 5, 300 * KIB);
  c.d.on_message = answer_at_length;
  for (int i = 0; i < READERS; i++) {
    readers[i] = (heard){.pause = true};
    duo_call(&c.d, &readers[i], &duo_server_stream, "x", NULL);
  }
  uint64_t began = io_now(c.d.loop), ours = our_now(&c);
  while (!hits) turn_soon(&c);
  assert_true(io_now(c.d.loop) - began >= 900 * MS);
  assert_in_range(our_now(&c) - ours, 0, 4000 * MS);
  duo_turns(&c.d, 10);
  int refused = 0;
  for (int i = 0; i < READERS; i++)
    if (readers[i].n_done) {
      assert_int_equal(readers[i].code, CAW_RESOURCE_EXHAUSTED);
      refused++;
    }
  assert_in_range(refused, 1, READERS - 2);
  assert_int_equal(caw_server_limit_hits(c.d.server, CAW_LIMIT_CONNECTION_BYTES), refused);
  assert_int_equal(hits, refused);
  assert_int_equal(last_hit, CAW_LIMIT_CONNECTION_BYTES);
  c.d.on_message = answer;
  c.reply = 5;
  start_calls(&c, 1);
  ours = our_now(&c);
  while (!c.all_ended && our_now(&c) - ours < 20000 * MS) turn_soon(&c);
  assert_int_equal(c.exhausted, 1);
  assert_in_range(our_now(&c) - ours, 0, 900 * MS);
  for (int i = 0; i < READERS; i++)
    if (readers[i].call) caw_call_resume(readers[i].call);
  for (int i = 0; i < READERS; i++) {
    duo_until(&c.d, &readers[i].n_done);
    assert_int_equal(readers[i].n_done, 1);
  }
  duo_turns(&c.d, 10);
  start_calls(&c, 5);
  await_end(&c);
  assert_int_equal(c.good, 5);
  close_crowd(&c);
}

static conn *first_conn(const crowd *c) {
  return LIST_ENTRY(c->d.server->workers[0].conns.next, conn, node);
}

/* Their streams are reset: who waited for their memory goes on at once. */
static void replies_that_are_reset(void **state) {
  (void)state;
  enum { READERS = 12 };
  const caw_limits limits = {.size = sizeof(limits), .connection_bytes = MIB};
  crowd c;
  heard readers[READERS];
  open_crowd(&c, &limits, 5, 300 * KIB);
  c.d.on_message = answer_at_length;
  for (int i = 0; i < READERS; i++) {
    readers[i] = (heard){.pause = true};
    duo_call(&c.d, &readers[i], &duo_server_stream, "x", NULL);
  }
  while (!readers[0].n_replies) turn_soon(&c);
  duo_turns(&c.d, 50);
  conn *k = first_conn(&c);
  for (int i = 0, ended = 0; ended < READERS; i++) {
    assert_in_range(i, 0, READERS); /* some each time */
    if (!i) assert_false(list_empty(&k->memory.queue));
    uint64_t began = our_now(&c);
    int before = ended;
    for (int r = 0; r < READERS; r++)
      if (readers[r].call && readers[r].n_replies) caw_call_cancel(readers[r].call);
    for (bool more = false; !more && ended < READERS;) {
      turn_soon(&c);
      more = false;
      ended = 0;
      for (int r = 0; r < READERS; r++) {
        ended += readers[r].n_done;
        more |= readers[r].call && readers[r].n_replies;
      }
    }
    assert_in_range(our_now(&c) - began, 0, 500 * MS);
    assert_in_range(ended, before + 1, READERS);
    duo_turns(&c.d, 20);
  }
  assert_int_equal(all_hits(&c), 0);
  close_crowd(&c);
}

/* All connections together. */
static void a_full_server(void **state) {
  (void)state;
  const caw_limits limits = {.size = sizeof(limits), .server_bytes = MIB};
  crowd c;
  open_crowd(&c, &limits, 2 * MIB, 5);
  c.hold = true;
  start_calls(&c, 1);
  while (!c.n_held) turn(&c);
  duo_turns(&c.d, 5);
  assert_in_range(caw_server_message_bytes(c.d.server), 2 * MIB - 16 * KIB, 3 * MIB);
  heard h = {0};
  duo_call(&c.d, &h, &duo_unary, "x", NULL);
  duo_done(&c.d, &h);
  assert_int_equal(h.code, CAW_RESOURCE_EXHAUSTED);
  assert_string_equal(h.message, "the calls of this connection or server take too much memory");
  duo_call(&c.d, &h, &duo_bidi, "x", NULL);
  duo_done(&c.d, &h);
  assert_int_equal(h.code, CAW_RESOURCE_EXHAUSTED);
  assert_int_equal(caw_server_limit_hits(c.d.server, CAW_LIMIT_SERVER_BYTES), 2);
  caw_str reply = caw_str_of(c.zeros, 5);
  assert_int_equal(caw_call_reply(c.held[0], &reply), 0);
  await_end(&c);
  duo_turns(&c.d, 5);
  c.d.on_message = NULL;
  memset(&h, 0, sizeof(h));
  duo_call(&c.d, &h, &duo_bidi, "x", NULL);
  duo_done(&c.d, &h);
  assert_int_equal(h.code, CAW_OK);
  close_crowd(&c);
}

/* ---- A peer that no library would be ---- */

typedef struct octets {
  uint8_t data[16384];
  size_t len;
} octets;

static void put(octets *o, const void *data, size_t len) {
  assert_in_range(len, 0, sizeof(o->data) - o->len);
  memcpy(o->data + o->len, data, len);
  o->len += len;
}

static void put_frame(octets *o, uint8_t type, uint8_t flags, uint32_t id, const octets *payload) {
  const size_t n = payload->len;
  const uint8_t head[9] = {
      (uint8_t)(n >> 16),  (uint8_t)(n >> 8),   (uint8_t)n,         type,       flags,
      (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
  put(o, head, sizeof(head));
  put(o, payload->data, n);
}

static void put_field(octets *o, const char *name, const char *value) {
  const uint8_t head[2] = {0, (uint8_t)strlen(name)}, len = (uint8_t)strlen(value);
  put(o, head, 2);
  put(o, name, head[1]);
  put(o, &len, 1);
  put(o, value, len);
}

/* The preface, with the largest windows there are. */
static void put_preface(octets *o) {
  static const octets settings = {{0, 4, 0x7f, 0xff, 0xff, 0xff}, 6};
  static const octets update = {{0x7f, 0xff, 0, 0}, 4};
  put(o, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
  put_frame(o, 4, 0, 0, &settings);
  put_frame(o, 8, 0, 0, &update);
}

/* A call with the first `n` bytes of a message of `len` zeros; `timeout` may be NULL. */
static void put_call_of(octets *o, uint32_t id, const caw_method *method, const char *timeout,
                        size_t len, size_t n) {
  octets message = {{0, 0, (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len}, n + 5};
  octets block = {.len = 0};
  put_field(&block, ":method", "POST");
  put_field(&block, ":scheme", "http");
  put_field(&block, ":path", method->path);
  put_field(&block, ":authority", "x");
  put_field(&block, "content-type", "application/grpc");
  put_field(&block, "te", "trailers");
  if (timeout) put_field(&block, "grpc-timeout", timeout);
  put_frame(o, 1, 4, id, &block);
  put_frame(o, 0, n == len, id, &message);
}

static void put_call(octets *o, uint32_t id, size_t len, size_t n) {
  put_call_of(o, id, &duo_unary, NULL, len, n);
}

/* Replies fill the socket of a peer that reads nothing: they count for the server. */
static void a_full_socket(void **state) {
  (void)state;
  if (raw_through) skip(); /* its handshake would wait for this thread */
  enum { CALLS = 20 };
  crowd c;
  open_crowd(&c, NULL, 0, MIB);
  octets o = {.len = 0};
  put_preface(&o);
  for (uint32_t i = 0; i < CALLS; i++) put_call(&o, 1 + 2 * i, 0, 0);
  int fd = raw_dial(caw_server_address(c.d.server, 0)), small = 4096;
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
  assert_int_equal(raw_write(fd, o.data, o.len), o.len);
  for (int i = 0; i < 1000 && c.d.summaries < CALLS && c.most < 8 * MIB; i++) turn_soon(&c);
  size_t most = c.most;
  raw_close(fd);
  for (int i = 0; i < 1000 && c.d.summaries < CALLS; i++) turn_soon(&c);
  assert_in_range(most, 8 * MIB, 30 * MIB);
  assert_int_equal(c.d.summaries, CALLS);
  close_crowd(&c);
}

static void send_octets(crowd *c, int fd, octets *o) {
  assert_int_equal(raw_write(fd, o->data, o->len), o->len);
  o->len = 0;
  turn_soon(c);
}

/* A peer of its own that begins uploads of `len` octets with the first `part` of each; its
 * socket. */
static int begin_uploads(crowd *c, octets *o, int calls, size_t len, size_t part) {
  int fd = raw_dial(caw_server_address(c->d.server, 0));
  o->len = 0;
  put_preface(o);
  for (int i = 0; i < calls; i++) {
    put_call(o, 1 + 2 * (uint32_t)i, len, part);
    send_octets(c, fd, o);
  }
  duo_turns(&c->d, 50);
  return fd;
}

/* Uploads come one after the other. The first ones stop: they do not keep the rest. */
static void uploads_that_stop(void **state) {
  (void)state;
  if (raw_through) skip();
  enum { CALLS = 90, STOP = 2 };
  const size_t part = MEMORY_STEP - 5, len = 12000;
  const caw_limits limits = {.size = sizeof(limits), .connection_bytes = MIB};
  crowd c;
  open_crowd(&c, &limits, len, 5);
  octets o;
  int fd = begin_uploads(&c, &o, CALLS, len, part);
  const conn *k = first_conn(&c);
  const caw_call *last = k->memory.fed;
  assert_non_null(last);
  for (int i = 0; i < STOP; i++, last = k->memory.fed) {
    for (uint64_t end = our_now(&c) + 4000 * MS; k->memory.fed == last;) {
      turn_soon(&c);
      if (our_now(&c) > end) fail_msg("nobody goes on behind stopped upload %d", i);
    }
    assert_non_null(k->memory.fed);
  }
  /* Its turn has come: it ends, and so does the next, at once. */
  for (uint64_t i = 1; i < 4; i++) {
    octets rest = {.len = len - part};
    put_frame(&o, 0, 1, h2_stream_id(k->memory.fed->rpc.stream), &rest);
    send_octets(&c, fd, &o);
    for (int n = 0; n < 20 && c.d.summaries < i; n++) turn_soon(&c);
    assert_int_equal(c.d.summaries, i);
    assert_int_equal(c.d.last_code, CAW_OK);
  }
  assert_int_equal(all_hits(&c), 0);
  raw_close(fd);
  for (int i = 0; i < 1000 && c.d.summaries < CALLS; i++) turn_soon(&c);
  close_crowd(&c);
}

static void await_deadline(crowd *c, heard *h, uint64_t began, uint64_t time) {
  uint64_t ours = our_now(c);
  while (!h->n_done && our_now(c) < ours + 20000 * MS) turn_soon(c);
  assert_int_equal(h->n_done, 1);
  if (h->code != CAW_DEADLINE_EXCEEDED) fail_msg("%d %s", h->code, h->message);
  assert_true(io_now(c->d.loop) - began >= time);
  assert_in_range(our_now(c) - ours, 0, 900 * MS);
}

/* Begins calls until one waits in the list before its time is over: the machine may be slow. */
static uint64_t begin_to_wait(crowd *c, heard *h, const caw_method *method, const char *request,
                              const caw_call_options *o, const list *where) {
  const size_t others = length(where);
  for (int tries = 1;; tries++) {
    uint64_t began = io_now(c->d.loop);
    duo_call(&c->d, h, method, request, o);
    while (!h->n_done && length(where) == others) turn_soon(c);
    if (!h->n_done) return began;
    bool early = io_now(c->d.loop) - began < o->timeout_ms * MS;
    if (h->code != CAW_DEADLINE_EXCEEDED || early || tries == 100)
      fail_msg("it did not wait: %d %s", h->code, h->message);
    duo_turns(&c->d, 10);
  }
}

enum { READERS = 12 };

/* What fills a server's memory, until somebody waits: replies that their readers do not take, or
 * requests that handlers hold. */
static void fill(crowd *c, heard readers[READERS], bool requests, const conn_memory **m) {
  c->hold = requests;
  if (!requests) c->d.on_message = answer_at_length;
  for (int i = 0; !requests && i < READERS; i++) {
    readers[i] = (heard){.pause = true};
    duo_call(&c->d, &readers[i], &duo_server_stream, "x", NULL);
  }
  do {
    assert_in_range(c->calls, 0, 90);
    if (requests) start_calls(c, 1);
    duo_turns(&c->d, 30);
    *m = &first_conn(c)->memory;
  } while (list_empty(requests ? &(*m)->starved : &(*m)->queue));
  duo_turns(&c->d, 30);
}

static void release_all(crowd *c, heard readers[READERS]) {
  caw_str reply = caw_str_of(c->zeros, c->reply);
  c->hold = false;
  for (int i = 0; i < c->n_held; i++) assert_int_equal(caw_call_reply(c->held[i], &reply), 0);
  if (c->n_held) await_end(c);
  for (int i = 0; i < READERS && !c->n_held; i++) {
    if (readers[i].call) caw_call_resume(readers[i].call);
    readers[i].pause = false;
  }
  for (int i = 0; i < READERS && !c->n_held; i++) duo_until(&c->d, &readers[i].n_done);
}

/* Its time passes while the server has no memory for it: the call ends then, whatever it is
 * that it waits for, and leaves the others where they are. */
static void deadlines_of_those_who_wait(void **state) {
  (void)state;
  enum { TIME = 200 };
  static const struct {
    const char *name;
    const caw_method *method;
    size_t request;
    bool requests; /* are what takes the memory */
  } cases[] = {{"for its handler", &duo_unary, 5, false},
               {"for its handler, a stream", &duo_bidi, 5, false},
               {"for its request's window", &duo_unary, 600 * KIB, true}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const caw_limits limits = {.size = sizeof(limits), .connection_bytes = MIB};
    const caw_call_options o = {.size = sizeof(o), .timeout_ms = TIME};
    const conn_memory *m;
    crowd c;
    heard readers[READERS], h = {0};
    open_crowd(&c, &limits, 3 * MEMORY_STEP, cases[i].requests ? 5 : 300 * KIB);
    fill(&c, readers, cases[i].requests, &m);
    const list *where = cases[i].requests ? &m->starved : &m->queue;
    const size_t others = length(where);
    char *text = calloc(1, cases[i].request + 1);
    memset(text, 'x', cases[i].request);
    uint64_t began = begin_to_wait(&c, &h, cases[i].method, text, &o, where);
    assert_int_equal(length(where), others + 1);
    await_deadline(&c, &h, began, TIME * MS);
    duo_turns(&c.d, 10);
    assert_int_equal(length(where), others);
    release_all(&c, readers);
    free(text);
    close_crowd(&c);
  }
}

static void begin_two(fake *f, fake_conn *c, int number) {
  (void)f;
  fake_answer_in_part(c, number ? 100 * KIB : MIB, MIB);
}

/* The same where it is the client that has no memory: for what comes before its reply. */
static void a_deadline_of_a_reply_that_waits(void **state) {
  (void)state;
  enum { TIME = 200 };
  const caw_limits limits = {.size = sizeof(limits), .connection_bytes = MIB};
  const caw_call_options o = {.size = sizeof(o), .timeout_ms = TIME};
  crowd c;
  fake f = {0};
  heard first = {0}, second = {0};
  open_crowd(&c, NULL, 5, 5);
  fake_init(&f, c.d.loop);
  f.on_request = begin_two;
  caw_channel *own = c.d.channel;
  const caw_channel_options co = {.size = sizeof(co), .loop = c.d.loop, .limits = &limits};
  assert_int_equal(caw_channel_new(&c.d.channel, f.address, &co, NULL), 0);
  duo_call(&c.d, &first, &duo_unary, "x", NULL);
  do turn_soon(&c);
  while (!c.d.channel->conn || c.d.channel->conn->memory.came < MIB - MEMORY_STEP);
  const conn_memory *m = &c.d.channel->conn->memory;
  assert_ptr_equal(m->fed, first.call);
  uint64_t began = begin_to_wait(&c, &second, &duo_unary, "x", &o, &m->starved);
  await_deadline(&c, &second, began, TIME * MS);
  assert_true(list_empty(&m->starved));
  assert_int_equal(first.n_done, 0);
  caw_call_cancel(first.call);
  duo_done(&c.d, &first);
  duo_turns(&c.d, 10);
  assert_int_equal(m->came, 0);
  caw_channel_free(c.d.channel);
  c.d.channel = own;
  fake_finish(&f);
  close_crowd(&c);
}

/* And a server ends it by itself: its client may be gone, and nobody knows. */
static void a_server_ends_those_who_wait(void **state) {
  (void)state;
  if (raw_through) skip();
  static const caw_method *const methods[] = {&duo_unary, &duo_bidi};
  enum { CALLS = 95 };
  const size_t len = 3 * MEMORY_STEP;
  for (size_t i = 0; i < 2; i++) {
    const caw_limits limits = {.size = sizeof(limits), .connection_bytes = MIB};
    crowd c;
    open_crowd(&c, &limits, len, 5);
    c.hold = true;
    octets o;
    int fd = begin_uploads(&c, &o, CALLS, len, len);
    const conn *k = first_conn(&c);
    size_t queue = length(&k->memory.queue);
    assert_in_range(queue, 1, 20);
    uint64_t began = io_now(c.d.loop), ours = our_now(&c);
    put_call_of(&o, 1 + 2 * CALLS, methods[i], "200m", 5, 5);
    send_octets(&c, fd, &o);
    while (!c.d.summaries && our_now(&c) < ours + 900 * MS) turn_soon(&c);
    assert_int_equal(c.d.summaries, 1);
    assert_int_equal(c.d.last_code, CAW_DEADLINE_EXCEEDED);
    assert_true(io_now(c.d.loop) - began >= 200 * MS);
    assert_int_equal(length(&k->memory.queue), queue);
    assert_int_equal(all_hits(&c), 0);
    raw_close(fd);
    caw_str reply = caw_str_of(c.zeros, 5);
    c.hold = false;
    duo_turns(&c.d, 30);
    for (int n = 0; n < c.n_held; n++) caw_call_reply(c.held[n], &reply);
    for (int n = 0; n < 1000 && c.d.summaries < CALLS + 1; n++) turn_soon(&c);
    close_crowd(&c);
  }
}

/* Its calls are cancelled, or their connection goes, while they wait. */
static void waiting_ends(void **state) {
  (void)state;
  for (int how = 0; how < 2; how++) {
    const caw_limits limits = {.size = sizeof(limits), .connection_bytes = MIB};
    crowd c;
    open_crowd(&c, &limits, 90 * KIB, 5);
    c.hold = true;
    start_calls(&c, 20);
    while (c.n_held < 5) turn(&c);
    duo_turns(&c.d, 500);
    conn *k = first_conn(&c);
    assert_false(list_empty(&k->memory.queue) && list_empty(&k->memory.starved));
    caw_str reply = caw_str_of(c.zeros, 5);
    c.cut = true;
    c.hold = false; /* who comes on another connection is answered */
    if (how == 0) {
      conn_close(k, CAW_ECLOSED, "a reason");
    } else {
      caw_channel_free(c.d.channel);
      c.d.channel = NULL;
    }
    duo_turns(&c.d, 30);
    for (int i = 0; i < c.n_held; i++) caw_call_reply(c.held[i], &reply);
    duo_turns(&c.d, 30);
    assert_int_equal(caw_server_message_bytes(c.d.server), 0);
    c.d.server->options.on_call = NULL;
    duo_finish(&c.d);
    free(c.zeros);
  }
}

/* ---- Clients ---- */

/* A server that says nothing, many times. */
static void babble(fake *f, fake_conn *c, int number) {
  (void)f, (void)number;
  for (int i = 0; i < 30000; i++) assert_int_equal(h2_ping(c->h2, 1), 0);
  fake_flush(c);
}

static void a_hostile_server(void **state) {
  (void)state;
  duo d = {0};
  fake f = {0};
  heard h = {0};
  caw_channel *channel;
  duo_init(&d);
  fake_init(&f, d.loop);
  f.on_request = babble;
  const caw_channel_options o = {.size = sizeof(o), .loop = d.loop};
  assert_int_equal(caw_channel_new(&channel, f.address, &o, NULL), 0);
  caw_channel *own = d.channel;
  d.channel = channel;
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, CAW_UNAVAILABLE);
  if (!strstr(h.message, "too many frames that say nothing")) fail_msg("%s", h.message);
  assert_int_equal(caw_channel_limit_hits(channel, CAW_LIMIT_NOISE), 1);
  assert_int_equal(caw_channel_limit_hits(channel, CAW_LIMITS), 0);
  caw_channel_free(channel);
  d.channel = own;
  fake_finish(&f);
  duo_finish(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(options),
      cmocka_unit_test(other_sizes),
      cmocka_unit_test(names),
      cmocka_unit_test(more_than_fits),
      cmocka_unit_test(handlers_that_hold),
      cmocka_unit_test(slow_handlers),
      cmocka_unit_test(replies_that_nobody_takes),
      cmocka_unit_test(replies_that_are_reset),
      cmocka_unit_test(a_full_server),
      cmocka_unit_test(a_full_socket),
      cmocka_unit_test(uploads_that_stop),
      cmocka_unit_test(deadlines_of_those_who_wait),
      cmocka_unit_test(a_deadline_of_a_reply_that_waits),
      cmocka_unit_test(a_server_ends_those_who_wait),
      cmocka_unit_test(waiting_ends),
      cmocka_unit_test(a_hostile_server),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
