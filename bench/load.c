/*
 * bench-load: the client side of a measurement. It speaks HTTP/2 as gRPC
 * clients do, with each repeated header field taken from the compression table
 * (h2load never indexes :path), and otherwise does as little as it can, so that
 * it can saturate a server. It is no test: it trusts the server's answers but
 * for their number, and stops at the first error.
 *
 *   bench-load unary    PORT CONNECTIONS STREAMS REQUESTS BYTES PATH
 *   bench-load stream   PORT MESSAGES BYTES
 *   bench-load pingpong PORT STREAMS ROUNDS BYTES
 *   bench-load idle     PORT CONNECTIONS
 *
 * The result is one line of JSON. `idle` prints "ready" and waits until its
 * input is closed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define OUT_ROOM    (256 * 1024)
#define WINDOW      (16 << 20)
#define MAX_STREAMS 100
#define PREFIX      5 /* gRPC's, before each message */

typedef enum load_mode { UNARY, STREAM, PINGPONG, IDLE } load_mode;

typedef struct call {
  struct load_conn *conn;
  uint64_t began;
  size_t body_at; /* of the request, sent so far */
  uint8_t head[PREFIX];
  size_t head_len; /* of the reply's prefix, received */
  size_t left;     /* of the reply's message */
  unsigned rounds; /* messages to send yet, PINGPONG */
  bool ended;      /* grpc-status: 0 came */
  bool parked;     /* the data source waits for a reply */
} call;

typedef struct load_conn {
  int fd;
  nghttp2_session *ng;
  uint8_t *out;
  size_t out_len;
  bool writable;
  call calls[MAX_STREAMS];
} load_conn;

static struct {
  load_mode mode;
  int port;
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

static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *user) {
  call *c = source->ptr;
  (void)ng;
  (void)id;
  (void)user;
  if (c->parked) return NGHTTP2_ERR_DEFERRED;
  size_t n = load.body_len - c->body_at < room ? load.body_len - c->body_at : room;
  memcpy(to, load.body + c->body_at, n);
  c->body_at += n;
  if (c->body_at < load.body_len) return (ssize_t)n;
  if (load.mode == PINGPONG) c->parked = true;
  else *flags |= NGHTTP2_DATA_FLAG_EOF;
  return (ssize_t)n;
}

/* The last reply has come: the client half-closes. */
static ssize_t read_end(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                        nghttp2_data_source *source, void *user) {
  call *c = source->ptr;
  if (c->rounds) return read_body(ng, id, to, room, flags, source, user);
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  return 0;
}

#define FIELD(name, value)                                                                         \
  { (uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, strlen(value), 0 }

static void start_call(call *c) {
  const nghttp2_nv fields[] = {
      FIELD(":method", "POST"),
      FIELD(":scheme", "http"),
      FIELD(":path", load.path),
      FIELD(":authority", "localhost"),
      FIELD("te", "trailers"),
      FIELD("content-type", "application/grpc"),
      FIELD("user-agent", "bench-load/1"),
      FIELD("grpc-accept-encoding", "identity, deflate, gzip"),
  };
  nghttp2_data_provider body = {{.ptr = c}, load.mode == PINGPONG ? read_end : read_body};
  c->began = now();
  c->body_at = c->head_len = c->left = 0;
  c->ended = c->parked = false;
  c->rounds = load.rounds;
  if (nghttp2_submit_request(c->conn->ng, NULL, fields, sizeof(fields) / sizeof(fields[0]), &body,
                             c) < 0)
    fail("nghttp2_submit_request");
}

static void note_time(const call *c) {
  uint64_t took = (now() - c->began) / 10;
  if (load.took_room > load.done + 0)
    load.took[load.done] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
}

/* ---- Replies ---- */

static void message_came(call *c) {
  load.messages++;
  if (load.mode != PINGPONG) return;
  note_time(c);
  load.done++;
  c->rounds--;
  c->parked = false;
  c->body_at = 0;
  c->began = now();
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                   void *user) {
  call *c = nghttp2_session_get_stream_user_data(ng, id);
  (void)flags;
  (void)user;
  while (len) {
    if (c->head_len < PREFIX) {
      size_t n = PREFIX - c->head_len < len ? PREFIX - c->head_len : len;
      memcpy(c->head + c->head_len, data, n);
      c->head_len += n;
      data += n;
      len -= n;
      if (c->head_len < PREFIX) return 0;
      c->left = (size_t)c->head[1] << 24 | (size_t)c->head[2] << 16 | (size_t)c->head[3] << 8 |
                c->head[4];
    }
    size_t n = c->left < len ? c->left : len;
    data += n;
    len -= n;
    c->left -= n;
    if (c->left) return 0;
    c->head_len = 0;
    message_came(c);
    if (load.mode == PINGPONG && nghttp2_session_resume_data(ng, id)) fail("resume");
  }
  return 0;
}

static int on_field(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                    void *user) {
  (void)flags;
  (void)user;
  if (name_len != 11 || memcmp(name, "grpc-status", 11) != 0) return 0;
  call *c = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
  if (value_len != 1 || value[0] != '0') fail("a call ended with another status than 0");
  c->ended = true;
  return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user) {
  call *c = nghttp2_session_get_stream_user_data(ng, id);
  (void)code;
  (void)user;
  if (!c->ended) fail("a stream was closed without a status");
  if (load.mode == PINGPONG) {
    load.asked--;
    return 0;
  }
  note_time(c);
  load.done++;
  if (load.requests) {
    load.requests--;
    start_call(c);
  } else {
    load.asked--;
  }
  return 0;
}

/* ---- Connections ---- */

static void open_conn(load_conn *c) {
  static nghttp2_session_callbacks *callbacks;
  static nghttp2_option *option;
  if (!callbacks) {
    if (nghttp2_session_callbacks_new(&callbacks) || nghttp2_option_new(&option)) fail("memory");
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_field);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_option_set_peer_max_concurrent_streams(option, MAX_STREAMS);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1);
  }
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load.port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to))) fail(strerror(errno));
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}};
  if (nghttp2_session_client_new2(&c->ng, callbacks, c, option) ||
      nghttp2_submit_settings(c->ng, 0, settings, 2) ||
      nghttp2_session_set_local_window_size(c->ng, 0, 0, WINDOW))
    fail("nghttp2");
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(load.epoll, EPOLL_CTL_ADD, c->fd, &e);
  c->out = need(malloc(load.mode == IDLE ? 4096 : OUT_ROOM));
  c->writable = true;
  for (unsigned i = 0; i < MAX_STREAMS; i++) c->calls[i].conn = c;
}

static void watch_writes(load_conn *c, bool full) {
  if (full == !c->writable) return;
  c->writable = !full;
  struct epoll_event e = {.events = EPOLLIN | (full ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(load.epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static bool send_out(load_conn *c) {
  size_t at = 0;
  while (at < c->out_len) {
    ssize_t n = send(c->fd, c->out + at, c->out_len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) fail("the server has closed the connection");
    at += (size_t)n;
  }
  memmove(c->out, c->out + at, c->out_len - at);
  c->out_len -= at;
  watch_writes(c, c->out_len > 0);
  return c->out_len == 0;
}

static void flush(load_conn *c) {
  const size_t room = load.mode == IDLE ? 4096 : OUT_ROOM;
  if (!send_out(c)) return;
  for (;;) {
    const uint8_t *data;
    ssize_t n = nghttp2_session_mem_send(c->ng, &data);
    if (n < 0) fail("nghttp2_session_mem_send");
    if (c->out_len && (n == 0 || c->out_len + (size_t)n > room) && !send_out(c)) {
      /* A frame that found no room is small compared with what is free now. */
      if (n == 0) return;
      if (c->out_len + (size_t)n > room) fail("more output than expected");
    }
    if (n == 0) return;
    memcpy(c->out + c->out_len, data, (size_t)n);
    c->out_len += (size_t)n;
    if (!c->writable) return;
  }
}

static void receive(load_conn *c) {
  static uint8_t in[512 * 1024];
  ssize_t n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) fail("the server has closed the connection");
  if (nghttp2_session_mem_recv(c->ng, in, (size_t)n) != n) fail("nghttp2_session_mem_recv");
}

static void wait_once(int ms) {
  struct epoll_event events[256];
  int n = epoll_wait(load.epoll, events, 256, ms);
  for (int i = 0; i < n; i++) {
    load_conn *c = events[i].data.ptr;
    if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(c);
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

static void run(load_conn *conns) {
  uint64_t began = now();
  for (unsigned i = 0; i < load.conns; i++) {
    for (unsigned k = 0; k < load.streams && load.requests; k++, load.requests--, load.asked++)
      start_call(&conns[i].calls[k]);
    flush(&conns[i]);
  }
  while (load.asked) wait_once(-1);
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
  } else if (!strcmp(mode, "idle") && argc == 4) {
    load.mode = IDLE;
    load.conns = number(argv[3]);
  } else {
    fail("see the comment at the head of bench/load.c");
  }
  if (load.streams < 1 || load.streams > MAX_STREAMS) fail("1 to 100 streams");
}

int main(int argc, char **argv) {
  read_args(argc, argv);
  load.epoll = epoll_create1(0);
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
    puts("ready");
    fflush(stdout);
    for (char c; read(STDIN_FILENO, &c, 1) > 0;) continue;
    return 0;
  }
  run(conns);
  return 0;
}
