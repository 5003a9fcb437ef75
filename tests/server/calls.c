/* Calls between a server and a channel of ours, both on one loop of the
 * test's: every kind, every end. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <caw/channel.h>
#include <caw/server.h>
#include <stdio.h>

static const caw_method unary = {"/t.T/Unary", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};
static const caw_method bidi = {"/t.T/Bidi", CAW_BIDI, &caw_type_bytes, &caw_type_bytes};

static int on_unary(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)call; (void)impl; (void)self;
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}
static int on_bidi(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)reply; (void)impl; (void)self;
  return caw_call_send(call, request);
}
static int on_bidi_end(caw_call *call, void *reply, const void *impl, void *self) {
  (void)call; (void)reply; (void)impl; (void)self;
  return 0;
}
static const caw_handler handlers[] = {{&unary, on_unary, NULL, NULL}, {&bidi, on_bidi, NULL, on_bidi_end}};

static caw_loop *loop;
static int done_calls;
static void done(caw_call *call, const caw_status *status, const void *reply, void *user) {
  (void)call; (void)user;
  caw_str r = {NULL, 0};
  if (reply) r = *(const caw_str *)reply;
  printf("done %d %.*s reply %.*s\n", status->code, CAW_STR_ARG(status->message), CAW_STR_ARG(r));
  done_calls++;
  caw_loop_stop(loop);
}
static void on_message(caw_call *call, const void *message, void *user) {
  (void)call; (void)user;
  printf("got %.*s\n", CAW_STR_ARG(*(const caw_str *)message));
}
static void on_done(caw_call *call, const caw_status *status, void *user) {
  done(call, status, NULL, user);
}
static void drained(void *user) { (void)user; puts("drained"); caw_loop_stop(loop); }

static void echo(void **state) {
  (void)state;
  caw_server *server; caw_channel *channel;
  assert_int_equal(caw_loop_new(&loop), 0);
  caw_server_options so = {.size = sizeof(so), .loop = loop};
  assert_int_equal(caw_server_new(&server, &so), 0);
  assert_int_equal(caw_server_add(server, handlers, 2, NULL, NULL), 0);
  assert_int_equal(caw_server_listen(server, "127.0.0.1:0"), 0);
  caw_channel_options co = {.size = sizeof(co), .loop = loop};
  const char *why;
  assert_int_equal(caw_channel_new(&channel, caw_server_address(server, 0), &co, &why), 0);
  caw_str hello = CAW_STR("hello");
  assert_int_equal(caw_call_start_unary(NULL, channel, &unary, &hello, NULL, done, NULL, NULL), 0);
  caw_loop_run(loop, CAW_LOOP_DEFAULT);
  caw_client_events ev = {NULL, on_message, NULL, on_done, NULL};
  caw_call *call;
  assert_int_equal(caw_call_start(&call, channel, &bidi, NULL, &ev, NULL), 0);
  for (int i = 0; i < 3; i++) assert_int_equal(caw_call_send(call, &hello), 0);
  caw_call_close_send(call);
  caw_loop_run(loop, CAW_LOOP_DEFAULT);
  caw_server_drain(server, 1000, drained, NULL);
  caw_loop_run(loop, CAW_LOOP_DEFAULT);
  caw_channel_free(channel);
  caw_server_free(server);
  caw_loop_free(loop);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(echo)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
