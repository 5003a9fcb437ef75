/* The fake server of fake.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "fake.h"
#include "io/tls.h"
#include "raw.h"

#include <stdlib.h>
#include <unistd.h>

static void *on_stream(void *ctx, h2_stream *stream) {
  fake_conn *c = ctx;
  c->stream = stream;
  return c;
}

static void on_field(void *ctx, void *user, const h2_field *field) {
  (void)ctx, (void)user, (void)field;
}

static void on_headers(void *ctx, void *user, unsigned flags) {
  (void)user, (void)flags;
  ((fake_conn *)ctx)->headers++;
}

static void on_data(void *ctx, void *user, const uint8_t *data, size_t len) {
  (void)ctx, (void)user, (void)data, (void)len;
}

static void on_end(void *ctx, void *user) {
  fake_conn *c = ctx;
  (void)user;
  c->ended = true;
  io_defer(c->fake->loop, &c->task);
}

static void on_sent(void *ctx, void *user, size_t len) {
  (void)ctx, (void)user, (void)len;
}

static void on_close(void *ctx, void *user, uint32_t code, bool remote) {
  fake_conn *c = ctx;
  (void)user, (void)code;
  c->stream = NULL;
  if (remote) c->fake->n_resets++;
}

static void on_settings(void *ctx) {
  (void)ctx;
}

static void on_goaway(void *ctx, uint32_t last_id, uint32_t code, caw_str debug) {
  (void)ctx, (void)last_id, (void)code, (void)debug;
}

static void on_ping_ack(void *ctx, uint64_t opaque) {
  (void)ctx, (void)opaque;
}

static const h2_events events = {on_stream, on_field,    on_headers, on_data,     on_end, on_sent,
                                 on_close,  on_settings, on_goaway,  on_ping_ack, NULL};

void fake_flush(fake_conn *c) {
  struct iovec parts[16];
  int n;
  if (!c->socket || c->fake->mute) return;
  while ((n = h2_output(c->h2, parts, 16)) > 0) {
    size_t total = 0;
    for (int i = 0; i < n; i++) total += parts[i].iov_len;
    long took = io_socket_write(c->socket, parts, n);
    if (took < 0) return;
    h2_written(c->h2, (size_t)took);
    if ((size_t)took < total) return;
  }
}

static void run(io_task *task) {
  fake_conn *c = LIST_ENTRY(task, fake_conn, task);
  fake *f = c->fake;
  if (c->ended) {
    c->ended = false;
    f->on_request(f, c, f->n_requests++);
  }
  fake_flush(c);
}

/* The end of a TLS handshake. */
static void on_connect(void *user, int rc) {
  if (rc) fake_hang_up(user);
  else fake_flush(user);
}

static void on_read(void *user, const uint8_t *data, size_t len) {
  fake_conn *c = user;
  if (c->fake->mute) return;
  h2_recv(c->h2, data, len);
  io_defer(c->fake->loop, &c->task);
}

void fake_hang_up(fake_conn *c) {
  if (!c->socket) return;
  io_task_cancel(&c->task);
  io_socket_close(c->socket);
  c->socket = NULL;
  h2_session_free(c->h2);
  c->h2 = NULL;
}

static void on_socket_end(void *user, int rc) {
  (void)rc;
  fake_hang_up(user);
}

static void on_writable(void *user) {
  fake_flush(user);
}

static const io_socket_events socket_events = {on_connect, on_read, on_socket_end, on_writable};

static void on_accept(void *user, int fd) {
  fake *f = user;
  assert_true(f->n_conns < 32);
  fake_conn *c = &f->conns[f->n_conns++];
  c->fake = f;
  io_task_init(&c->task, run);
  assert_int_equal(h2_session_new(&c->h2, H2_SERVER, NULL, &events, c), 0);
  assert_int_equal(io_socket_adopt(&c->socket, f->loop, fd, &socket_events, c), 0);
  if (raw_server_credentials)
    assert_int_equal(io_tls_accept(c->socket, raw_server_credentials, UINT64_MAX), 0);
  io_socket_read(c->socket, true);
  if (f->goodbye) h2_goaway(c->h2, 0, H2_NO_ERROR, caw_str_from("bye"));
  fake_flush(c);
}

void fake_init(fake *f, caw_loop *loop) {
  io_target t;
  const char *why;
  f->loop = loop;
  assert_int_equal(io_target_parse(&t, caw_str_from("127.0.0.1:0"), true, &why), 0);
  assert_int_equal(io_listener_new(&f->listener, loop, &t.addresses[0], on_accept, f), 0);
  io_address_format(f->address, io_listener_address(f->listener));
}

void fake_finish(fake *f) {
  for (int i = 0; i < f->n_conns; i++) fake_hang_up(&f->conns[i]);
  io_listener_close(f->listener);
}

static void release(void *owner) {
  free(owner);
}

/* The first `n` octets of a message; the others are `left`. */
static void begin_answer(fake_conn *c, const void *text, size_t n, size_t left) {
  static const h2_field headers[] = {{CAW_STR(":status"), CAW_STR("200"), 0, 0},
                                     {CAW_STR("content-type"), CAW_STR("application/grpc"), 0, 0}};
  uint8_t *bytes = calloc(1, n + 5);
  for (int i = 0; i < 4; i++) bytes[1 + i] = (uint8_t)((n + left) >> (24 - 8 * i));
  if (text) memcpy(bytes + 5, text, n);
  slice s = {bytes, n + 5, release, bytes};
  assert_int_equal(h2_respond(c->h2, c->stream, headers, 2), 0);
  assert_int_equal(h2_send(c->h2, c->stream, s), 0);
}

void fake_answer_in_part(fake_conn *c, size_t n, size_t left) {
  begin_answer(c, NULL, n, left);
  fake_flush(c);
}

void fake_answer(fake_conn *c, const char *message) {
  static const h2_field trailers[] = {{CAW_STR("grpc-status"), CAW_STR("0"), 0, 0}};
  begin_answer(c, message, strlen(message), 0);
  assert_int_equal(h2_finish(c->h2, c->stream, trailers, 1), 0);
  fake_flush(c);
}
