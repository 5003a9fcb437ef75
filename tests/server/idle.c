/*
 * What a stream at rest costs a server: open on both sides, one message came and one
 * went, nothing on its way. The client is nghttp2's, whose memory is not Caw's, and
 * says what gRPC's clients say. All that the server has is counted, the connection too.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <caw/alloc.h>
#include <caw/server.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAMS 100

/* ---- The memory ---- */

static size_t live;

/* What the C library takes for a piece: its own 8 bytes, and a multiple of 16. */
static size_t cost(size_t bytes) {
  return bytes < 24 ? 32 : (bytes + 8 + 15) / 16 * 16;
}

static void *counted_malloc(size_t bytes, void *user) {
  (void)user;
  size_t *p = malloc(bytes + 16);
  if (!p) return NULL;
  *p = bytes;
  live += cost(bytes);
  return p + 2;
}

static void counted_free(void *ptr, void *user) {
  size_t *p = (size_t *)ptr - 2;
  (void)user;
  live -= cost(*p);
  free(p);
}

static void *counted_realloc(void *old, size_t bytes, void *user) {
  void *p = counted_malloc(bytes, user);
  if (!p) return NULL;
  size_t had = *((size_t *)old - 2);
  memcpy(p, old, had < bytes ? had : bytes);
  counted_free(old, user);
  return p;
}

static const caw_allocator counted = {sizeof(counted), counted_malloc, counted_realloc,
                                      counted_free, NULL};

/* ---- The server ---- */

static const caw_method talk = {"/test.Idle/Talk", CAW_BIDI, &caw_type_bytes, &caw_type_bytes};

static int answer(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)reply, (void)impl, (void)self;
  return caw_call_send(call, request);
}

static void went_on(caw_call *call, void *user) {
  (void)call, (void)user;
}

static int begin(caw_call *call, const void *impl, void *self) {
  static const caw_call_events events = {.on_drain = went_on};
  (void)impl, (void)self;
  caw_call_on(call, &events, NULL);
  return 0;
}

static int end(caw_call *call, void *reply, const void *impl, void *self) {
  (void)call, (void)reply, (void)impl, (void)self;
  return 0;
}

static const caw_handler handler = {&talk, answer, begin, end};

/* ---- The client ---- */

typedef struct client {
  int fd;
  nghttp2_session *h2;
  int answers; /* that came whole */
} client;

/* One message of five bytes, and the end some other day. */
static ssize_t give_message(nghttp2_session *h2, int32_t id, uint8_t *to, size_t room,
                            uint32_t *flags, nghttp2_data_source *source, void *user) {
  bool *sent = source->ptr;
  (void)h2, (void)id, (void)flags, (void)user;
  if (*sent) return NGHTTP2_ERR_DEFERRED;
  *sent = true;
  assert_true(room >= 10);
  memcpy(to, "\0\0\0\0\5hello", 10);
  return 10;
}

static int take_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data,
                     size_t len, void *user) {
  (void)h2, (void)flags, (void)id;
  assert_int_equal(len, 10); /* the server writes its answers whole */
  assert_memory_equal(data, "\0\0\0\0\5hello", 10);
  ((client *)user)->answers++;
  return 0;
}

static void connect_to(client *c, const char *address) {
  struct sockaddr_in to = {.sin_family = AF_INET};
  nghttp2_session_callbacks *callbacks;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
  *c = (client){.fd = socket(AF_INET, SOCK_STREAM, 0)};
  assert_int_equal(connect(c->fd, (struct sockaddr *)&to, sizeof(to)), 0);
  assert_int_equal(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
  assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, take_data);
  assert_int_equal(nghttp2_session_client_new(&c->h2, callbacks, c), 0);
  nghttp2_session_callbacks_del(callbacks);
  assert_int_equal(nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

/* Writes what there is to say, and reads what came. */
static void talk_to(client *c) {
  const uint8_t *bytes;
  static uint8_t came[65536];
  ssize_t n;
  while ((n = nghttp2_session_mem_send(c->h2, &bytes)) > 0)
    assert_int_equal(send(c->fd, bytes, (size_t)n, MSG_NOSIGNAL), n);
  assert_int_equal(n, 0);
  while ((n = recv(c->fd, came, sizeof(came), MSG_DONTWAIT)) > 0)
    assert_int_equal(nghttp2_session_mem_recv(c->h2, came, (size_t)n), n);
  assert_true(n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

static nghttp2_nv field(const char *name, const char *value) {
  return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                      strlen(value), NGHTTP2_NV_FLAG_NONE};
}

/* What gRPC's C core sends, and more. */
static void open_stream(client *c, const nghttp2_nv more[2], bool *sent) {
  nghttp2_nv fields[10] = {
      field(":scheme", "http"),
      field(":method", "POST"),
      field(":authority", "backend.example.com:50051"),
      field(":path", talk.path),
      field("te", "trailers"),
      field("content-type", "application/grpc"),
      field("user-agent", "grpc-c++/1.51.1 grpc-c/29.0.0 (linux; chttp2)"),
      field("grpc-accept-encoding", "identity, deflate, gzip"),
  };
  size_t n = 8;
  for (int i = 0; i < 2; i++)
    if (more[i].name) fields[n++] = more[i];
  const nghttp2_data_provider body = {.source.ptr = sent, .read_callback = give_message};
  assert_true(nghttp2_submit_request(c->h2, NULL, fields, n, &body, NULL) > 0);
}

/* ---- The tests ---- */

static int counted_begin(void **state) {
  (void)state;
  live = 0;
  return caw_set_allocator(&counted);
}

static int counted_end(void **state) {
  (void)state;
  caw_set_allocator(NULL);
  return live ? -1 : 0;
}

/* Bytes for each of the streams of a connection that say this of themselves. */
static size_t stream_costs(const char *const more[2][2]) {
  caw_loop *loop;
  caw_server *server;
  client c;
  bool sent[STREAMS] = {false};
  nghttp2_nv fields[2] = {0};
  for (int i = 0; i < 2; i++)
    if (more[i][0]) fields[i] = field(more[i][0], more[i][1]);
  assert_int_equal(caw_loop_new(&loop), 0);
  const caw_server_options o = {.size = sizeof(o), .loop = loop};
  assert_int_equal(caw_server_new(&server, &o), 0);
  assert_int_equal(caw_server_add(server, &handler, 1, NULL, NULL), 0);
  assert_int_equal(caw_server_listen(server, "127.0.0.1:0"), 0);
  caw_loop_run(loop, CAW_LOOP_NOWAIT);
  size_t before = live;
  connect_to(&c, caw_server_address(server, 0));
  for (int i = 0, turns = 0; i < STREAMS || c.answers < STREAMS; turns++) {
    if (turns > 20000) fail_msg("%d of %d answers", c.answers, i);
    /* Some at a time: what a busy moment needs, the loop keeps for the next one. */
    for (int k = 0; k < 5 && i < STREAMS && c.answers == i - k; k++, i++)
      open_stream(&c, fields, &sent[i]);
    talk_to(&c);
    caw_loop_run(loop, CAW_LOOP_NOWAIT);
  }
  for (int i = 0; i < 10; i++) { /* acknowledgements */
    talk_to(&c);
    caw_loop_run(loop, CAW_LOOP_NOWAIT);
  }
  size_t costs = (live - before) / STREAMS;
  nghttp2_session_del(c.h2);
  close(c.fd);
  caw_server_drain(server, 1000, NULL, NULL);
  caw_loop_run(loop, CAW_LOOP_DEFAULT);
  caw_server_free(server);
  caw_loop_free(loop);
  return costs;
}

static void costs_little(void **state) {
  static const struct {
    const char *name;
    const char *more[2][2];
    size_t most; /* bytes */
  } cases[] = {
      {"what gRPC's clients say", {{NULL}}, 880},
      {"a deadline", {{"grpc-timeout", "60S"}}, 990},
      {"metadata",
       {{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        {"x-request-id", "4bf92f3577b34da6"}},
       1240},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    size_t costs = stream_costs(cases[i].more);
    print_message("%s: %zu bytes, %zu at most\n", cases[i].name, costs, cases[i].most);
    assert_in_range(costs, 1, cases[i].most);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(costs_little, counted_begin, counted_end)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
