/*
 * bench-load: the client side of a measurement. It speaks HTTP/2 as gRPC
 * clients do, with each repeated header field taken from the compression table
 * (libnghttp2, and so h2load, never indexes :path), and otherwise does as little as
 * it can, so that it can saturate a server. It is no test: it trusts the server's
 * answers but for their number, and stops at the first error. Its header fields are those
 * of gRPC's C++ client, word for word.
 *
 *   bench-load unary    PORT CONNECTIONS STREAMS REQUESTS BYTES PATH
 *   bench-load stream   PORT MESSAGES BYTES
 *   bench-load pingpong PORT STREAMS ROUNDS BYTES
 *   bench-load idle     PORT CONNECTIONS STREAMS
 *   bench-load connect  PORT CONNECTIONS
 *
 * The result is one line of JSON. `idle` opens ping-pong streams (0 to 100 a
 * connection) that have one message each way, prints "ready" and waits until its
 * input is closed. `connect` makes connections, one after the other, and drops them
 * when the server's SETTINGS are there. With "tls" before the first word all of it is
 * over TLS, each connection with a whole handshake.
 */
#include "base/cells.h"
#include "h2/h2.h"
#include "wire.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PARTS       64
#define WINDOW      (16 << 20)
#define MAX_STREAMS 100
#define PREFIX      5 /* gRPC's, before each message */

typedef enum load_mode { UNARY, STREAM, PINGPONG, IDLE, CONNECT } load_mode;

typedef struct call {
  struct load_conn *conn;
  h2_stream *stream;
  struct call *next; /* in conn->due */
  uint64_t began;
  uint8_t head[PREFIX];
  size_t head_len; /* of the reply's prefix, received */
  size_t left;     /* of the reply's message */
  size_t held;     /* received bytes whose window is due */
  unsigned rounds; /* messages to send yet, PINGPONG */
  bool queued;     /* in conn->due: something is to be done once h2_recv is back */
  bool answered;   /* PINGPONG: the reply came */
  bool ended;      /* grpc-status: 0 came */
  bool closed;     /* the stream is over */
} call;

typedef struct load_conn {
  wire wire;
  h2_session *h2;
  call *due;
  bool writable;
  bool settled; /* the server's SETTINGS came */
  call calls[MAX_STREAMS];
} load_conn;

static struct {
  load_mode mode;
  int port;
  bool tls;
  unsigned conns, streams;
  uint64_t requests; /* to start yet */
  uint64_t asked, done, messages;
  char path[128];
  uint8_t *body;
  size_t body_len;
  unsigned rounds;
  uint32_t *took; /* of each request or round, ns / 10 */
  size_t took_room;
  int epoll;
  cells cells;
} load;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what) {
  fprintf(stderr, "bench-load: %s\n", what);
  exit(1);
}

static void *need(void *p) {
  if (!p) fail("out of memory");
  return p;
}

/* ---- Requests ---- */

#define FIELD(token, name, value)                                                                  \
  { CAW_STR(name), CAW_STR(value), H2_T_##token, H2_FIELD_LASTING }

static void send_body(call *c) {
  const slice body = {load.body, load.body_len, NULL, NULL};
  if (h2_send(c->conn->h2, c->stream, body)) fail("h2_send");
}

static void finish(call *c) {
  if (h2_finish(c->conn->h2, c->stream, NULL, 0)) fail("h2_finish");
}

static void start_call(call *c) {
  h2_field fields[] = {
      FIELD(METHOD, ":method", "POST"),
      FIELD(SCHEME, ":scheme", "http"),
      FIELD(PATH, ":path", ""),
      FIELD(AUTHORITY, ":authority", "127.0.0.1:50051"),
      FIELD(TE, "te", "trailers"),
      FIELD(CONTENT_TYPE, "content-type", "application/grpc"),
      FIELD(USER_AGENT, "user-agent", "grpc-c++/1.51.1 grpc-c/29.0.0 (linux; chttp2)"),
      FIELD(GRPC_ACCEPT_ENCODING, "grpc-accept-encoding", "identity, deflate, gzip"),
  };
  fields[2].value = caw_str_from(load.path);
  c->began = now();
  c->head_len = c->left = c->held = 0;
  c->ended = c->closed = c->answered = false;
  c->rounds = load.rounds;
  if (h2_request(c->conn->h2, fields, sizeof(fields) / sizeof(fields[0]), c, &c->stream))
    fail("h2_request");
  send_body(c);
  if (load.mode != PINGPONG && load.mode != IDLE) finish(c);
}

static void note_time(const call *c) {
  uint64_t took = (now() - c->began) / 10;
  if (load.took_room > load.done + 0)
    load.took[load.done] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
}

/* ---- Replies ---- */

/* There is something to do for the call, which may not be done inside h2_recv. */
static void put_due(call *c) {
  if (c->queued) return;
  c->queued = true;
  c->next = c->conn->due;
  c->conn->due = c;
}

static void message_came(call *c) {
  load.messages++;
  if (load.mode == IDLE) load.asked--;
  if (load.mode != PINGPONG) return;
  note_time(c);
  load.done++;
  c->rounds--;
  c->answered = true;
  put_due(c);
}

static void on_data(void *ctx, void *user, const uint8_t *data, size_t len) {
  call *c = user;
  (void)ctx;
  c->held += len;
  if (c->held > WINDOW / 4) put_due(c);
  while (len) {
    if (c->head_len < PREFIX) {
      size_t n = PREFIX - c->head_len < len ? PREFIX - c->head_len : len;
      memcpy(c->head + c->head_len, data, n);
      c->head_len += n;
      data += n;
      len -= n;
      if (c->head_len < PREFIX) return;
      c->left = (size_t)c->head[1] << 24 | (size_t)c->head[2] << 16 | (size_t)c->head[3] << 8 |
                c->head[4];
    }
    size_t n = c->left < len ? c->left : len;
    data += n;
    len -= n;
    c->left -= n;
    if (c->left) return;
    c->head_len = 0;
    message_came(c);
  }
}

static void on_field(void *ctx, void *user, const h2_field *f) {
  (void)ctx;
  if (f->token != H2_T_GRPC_STATUS) return;
  if (!caw_str_is(f->value, "0")) fail("a call ended with another status than 0");
  ((call *)user)->ended = true;
}

static void on_close(void *ctx, void *user, uint32_t code, bool remote) {
  call *c = user;
  (void)ctx;
  (void)code;
  (void)remote;
  if (!c->ended) fail("a stream was closed without a status");
  c->closed = true;
  put_due(c);
}

/* What is due outside of h2_recv: the next request or message. */
static void go_on(call *c) {
  if (!c->closed) {
    if (h2_consume(c->conn->h2, c->stream, c->held)) fail("h2_consume");
    c->held = 0;
    if (!c->answered) return;
    c->answered = false;
    c->began = now();
    if (c->rounds) send_body(c);
    else finish(c);
    return;
  }
  if (load.mode == PINGPONG) {
    load.asked--;
    return;
  }
  note_time(c);
  load.done++;
  if (load.requests) {
    load.requests--;
    start_call(c);
  } else {
    load.asked--;
  }
}

static void do_due(load_conn *conn) {
  call *c = conn->due;
  conn->due = NULL;
  for (call *next; c; c = next) {
    next = c->next;
    c->queued = false;
    go_on(c);
  }
}

static void *on_stream(void *ctx, h2_stream *stream) {
  (void)ctx;
  (void)stream;
  return NULL;
}
static void on_headers(void *ctx, void *user, unsigned flags) {
  (void)ctx;
  (void)user;
  (void)flags;
}
static void on_end(void *ctx, void *user) {
  (void)ctx;
  (void)user;
}
static void on_sent(void *ctx, void *user, size_t len) {
  (void)ctx;
  (void)user;
  (void)len;
}
static void on_settings(void *ctx) {
  ((load_conn *)ctx)->settled = true;
}
static void on_goaway(void *ctx, uint32_t last_id, uint32_t code, caw_str debug) {
  (void)ctx;
  (void)last_id;
  (void)code;
  (void)debug;
  fail("the server ends the connection");
}
static void on_ping_ack(void *ctx, uint64_t opaque) {
  (void)ctx;
  (void)opaque;
}

static const h2_events events = {on_stream, on_field,    on_headers, on_data,     on_end, on_sent,
                                 on_close,  on_settings, on_goaway,  on_ping_ack, NULL};

/* ---- Connections ---- */

static void open_conn(load_conn *c) {
  const h2_config config = {.stream_window = WINDOW,
                            .session_window = WINDOW,
                            .cells = &load.cells};
  const char *wrong = wire_open(&c->wire, load.port, load.tls);
  if (wrong) fail(wrong);
  if (h2_session_new(&c->h2, H2_CLIENT, &config, &events, c)) fail("out of memory");
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(load.epoll, EPOLL_CTL_ADD, c->wire.fd, &e);
  c->writable = true;
  for (unsigned i = 0; i < MAX_STREAMS; i++) c->calls[i].conn = c;
}

static void watch_writes(load_conn *c, bool full) {
  if (full == !c->writable) return;
  c->writable = !full;
  struct epoll_event e = {.events = EPOLLIN | (full ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(load.epoll, EPOLL_CTL_MOD, c->wire.fd, &e);
}

static void flush(load_conn *c) {
  struct iovec parts[PARTS];
  if (!c->writable) return;
  for (;;) {
    int n = h2_output(c->h2, parts, PARTS);
    if (n < 0) fail("h2_output");
    if (n == 0) break;
    size_t total = 0;
    for (int i = 0; i < n; i++) total += parts[i].iov_len;
    ssize_t sent = wire_send(&c->wire, parts, n);
    if (sent < 0 && errno != EAGAIN) fail("the server has closed the connection");
    if (sent > 0) h2_written(c->h2, (size_t)sent);
    if (sent < 0 || (sent != (ssize_t)total && !load.tls)) {
      watch_writes(c, true);
      return;
    }
  }
  watch_writes(c, false);
}

static void receive(load_conn *c) {
  static uint8_t in[512 * 1024];
  ssize_t n = wire_recv(&c->wire, in, sizeof(in));
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) fail("the server has closed the connection");
  if (h2_recv(c->h2, in, (size_t)n)) fail(h2_failure(c->h2));
  do_due(c);
}

static void wait_once(int ms) {
  struct epoll_event got[256];
  int n = epoll_wait(load.epoll, got, 256, ms);
  for (int i = 0; i < n; i++) {
    load_conn *c = got[i].data.ptr;
    if (got[i].events & EPOLLOUT) watch_writes(c, false);
    if (got[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(c);
    flush(c);
  }
}

/* ---- Main ---- */

/* A message of one field of bytes or text, number 1, of this length. */
static void make_body(size_t len) {
  load.body = need(calloc(1, len + 32));
  uint8_t *p = load.body + PREFIX;
  if (len) {
    *p++ = 1 << 3 | 2;
    size_t n = len;
    for (; n > 127; n >>= 7) *p++ = (uint8_t)(n | 128);
    *p++ = (uint8_t)n;
    memset(p, 'x', len);
    p += len;
  }
  load.body_len = (size_t)(p - load.body);
  size_t message = load.body_len - PREFIX;
  for (int i = 0; i < 4; i++) load.body[1 + i] = (uint8_t)(message >> (24 - 8 * i));
}

/* An Order of bench.proto. */
static void make_order(unsigned notes, unsigned size) {
  load.body = need(calloc(1, 32));
  uint8_t *p = load.body + PREFIX;
  unsigned values[] = {notes, size};
  for (unsigned i = 0; i < 2; i++) {
    *p++ = (uint8_t)((i + 1) << 3);
    unsigned n = values[i];
    for (; n > 127; n >>= 7) *p++ = (uint8_t)(n | 128);
    *p++ = (uint8_t)n;
  }
  load.body_len = (size_t)(p - load.body);
  load.body[4] = (uint8_t)(load.body_len - PREFIX);
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static double percentile(double p) {
  size_t n = load.done < load.took_room ? load.done : load.took_room;
  return n ? load.took[(size_t)(p * (double)(n - 1))] / 100.0 : 0;
}

/* Starts the first calls of each connection, and waits until all that were asked for
 * are answered. */
static void play(load_conn *conns) {
  for (unsigned i = 0; i < load.conns; i++) {
    for (unsigned k = 0; k < load.streams && load.requests; k++, load.requests--, load.asked++)
      start_call(&conns[i].calls[k]);
    flush(&conns[i]);
  }
  while (load.asked) wait_once(-1);
}

static void run(load_conn *conns) {
  uint64_t began = now();
  play(conns);
  double seconds = (double)(now() - began) / 1e9;
  size_t n = load.done < load.took_room ? load.done : load.took_room;
  qsort(load.took, n, sizeof(*load.took), by_size);
  printf("{\"done\": %llu, \"messages\": %llu, \"seconds\": %.6f, \"p50_us\": %.2f, \"p99_us\": "
         "%.2f}\n",
         (unsigned long long)load.done, (unsigned long long)load.messages, seconds, percentile(0.5),
         percentile(0.99));
}

static unsigned number(const char *text) {
  return (unsigned)strtoul(text, NULL, 10);
}

static void read_args(int argc, char **argv) {
  load.tls = argc > 1 && !strcmp(argv[1], "tls");
  argc -= load.tls;
  argv += load.tls;
  const char *mode = argc > 1 ? argv[1] : "";
  load.conns = load.streams = 1;
  load.requests = 1;
  if (argc > 2) load.port = (int)number(argv[2]);
  if (!strcmp(mode, "unary") && argc == 8) {
    load.mode = UNARY;
    load.conns = number(argv[3]);
    load.streams = number(argv[4]);
    load.requests = load.took_room = number(argv[5]);
    make_body(number(argv[6]));
    snprintf(load.path, sizeof(load.path), "%s", argv[7]);
  } else if (!strcmp(mode, "stream") && argc == 5) {
    load.mode = STREAM;
    make_order(number(argv[3]), number(argv[4]));
    strcpy(load.path, "/bench.Bench/Stream");
  } else if (!strcmp(mode, "pingpong") && argc == 6) {
    load.mode = PINGPONG;
    load.streams = number(argv[3]);
    load.requests = load.streams;
    load.rounds = number(argv[4]) / load.streams;
    load.took_room = (size_t)load.rounds * load.streams;
    make_body(number(argv[5]));
    strcpy(load.path, "/bench.Bench/PingPong");
  } else if (!strcmp(mode, "idle") && argc == 5) {
    load.mode = IDLE;
    load.conns = number(argv[3]);
    load.streams = number(argv[4]);
    load.requests = (uint64_t)load.conns * load.streams;
    make_body(5);
    strcpy(load.path, "/bench.Bench/PingPong");
  } else if (!strcmp(mode, "connect") && argc == 4) {
    load.mode = CONNECT;
    load.conns = number(argv[3]);
  } else {
    fail("see the comment at the head of bench/load.c");
  }
  if (load.streams > MAX_STREAMS || (!load.streams && load.mode != IDLE)) fail("1 to 100 streams");
}

/* Connections one after the other, each until the server's SETTINGS are there. */
static void connect_all(void) {
  uint64_t began = now();
  for (unsigned i = 0; i < load.conns; i++) {
    load_conn *c = need(calloc(1, sizeof(*c)));
    open_conn(c);
    flush(c);
    while (!c->settled) wait_once(-1);
    h2_session_free(c->h2);
    wire_close(&c->wire);
    free(c);
  }
  printf("{\"done\": %u, \"seconds\": %.6f}\n", load.conns, (double)(now() - began) / 1e9);
}

int main(int argc, char **argv) {
  read_args(argc, argv);
  load.epoll = epoll_create1(0);
  if (load.mode == CONNECT) {
    connect_all();
    return 0;
  }
  load_conn *conns = need(calloc(load.conns, sizeof(*conns)));
  load.took = need(calloc(load.took_room + 1, sizeof(*load.took)));
  for (unsigned i = 0; i < load.conns; i++) {
    open_conn(&conns[i]);
    flush(&conns[i]);
    while (i % 64 == 63 && load.mode == IDLE) {
      wait_once(1);
      break;
    }
  }
  /* The servers' SETTINGS, and their acks of ours. */
  for (int i = 0; i < 50; i++) wait_once(2);
  if (load.mode == IDLE) {
    play(conns);
    puts("ready");
    fflush(stdout);
    for (char c; read(STDIN_FILENO, &c, 1) > 0;) continue;
    return 0;
  }
  run(conns);
  return 0;
}
