/* A writer on another thread is never left asleep: every CAW_EAGAIN is followed
 * by on_drain, however the writer and the loop interleave. The send buffer is
 * one byte, so that each message fills the queue. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <caw/blocking.h>
#include <pthread.h>
#include <stdlib.h>

#define MESSAGES 30000

static const caw_method method = {"/test.Wake/Up", CAW_SERVER_STREAM, &caw_type_bytes,
                                  &caw_type_bytes};

static int stream_many(caw_stream *stream, const void *request, void *reply, const void *impl,
                       void *self) {
  caw_str text = CAW_STR("message");
  (void)request, (void)reply, (void)impl, (void)self;
  for (int i = 0; i < MESSAGES; i++) {
    int rc = caw_stream_write(stream, &text);
    if (rc) return rc;
  }
  return 0;
}

static const caw_blocking_handler handler = {&method, stream_many};

static void *run_server(void *server) {
  assert_int_equal(caw_server_run(server), 0);
  return NULL;
}

static void *read_all(void *arg) {
  caw_channel *channel = arg;
  caw_stream *stream;
  caw_str empty = {NULL, 0}, message;
  caw_arena *arena = caw_arena_new(0);
  intptr_t got = 0;
  assert_int_equal(caw_stream_open_with(&stream, channel, &method, &empty, NULL), 0);
  while (caw_stream_read(stream, &message, arena) == 0) {
    got++;
    caw_arena_reset(arena);
  }
  assert_int_equal(caw_stream_finish(stream, NULL, NULL), 0);
  caw_arena_free(arena);
  return (void *)got;
}

static void every_refusal_is_followed_by_a_drain(void **state) {
  enum { READERS = 4 };
  (void)state;
  caw_server *server;
  caw_channel *channel;
  pthread_t thread, readers[READERS];
  caw_server_options o = {.size = sizeof(o), .send_buffer = 1};
  assert_int_equal(caw_server_new(&server, &o), 0);
  assert_int_equal(caw_server_add_blocking(server, &handler, 1, NULL, NULL), 0);
  assert_int_equal(caw_server_listen(server, "127.0.0.1:0"), 0);
  assert_int_equal(pthread_create(&thread, NULL, run_server, server), 0);
  assert_int_equal(caw_channel_new(&channel, caw_server_address(server, 0), NULL, NULL), 0);
  for (int i = 0; i < READERS; i++)
    assert_int_equal(pthread_create(&readers[i], NULL, read_all, channel), 0);
  for (int i = 0; i < READERS; i++) {
    void *got;
    pthread_join(readers[i], &got);
    assert_int_equal((intptr_t)got, MESSAGES);
  }
  caw_channel_free(channel);
  caw_server_drain(server, 5000, NULL, NULL);
  pthread_join(thread, NULL);
  caw_server_free(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_refusal_is_followed_by_a_drain)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
