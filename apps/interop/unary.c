/* Cases of one request and one reply at a time. */
#include "cases.h"
#include "zeros.h"

#include <grpc/testing/test.caw.h>
#include <unistd.h>

bool case_empty_unary(interop *t) {
  caw_status status = {0};
  grpc_testing_empty request = {0}, reply = {0};
  int rc = grpc_testing_test_service_empty_call(t->channel, &request, &reply, t->arena, &t->options,
                                                &status);
  if (!case_outcome(t, "EmptyCall", rc, &status, CAW_OK, NULL)) return false;
  return reply.caw_unknown ? case_fail(t, "EmptyCall: the reply is not empty") : true;
}

/* Makes the large call; returns its outcome as caw_call_unary does. */
static int call_large(interop *t, grpc_testing_simple_response *reply, caw_status *status) {
  grpc_testing_payload payload = {.body = zeros(LARGE_REQUEST)};
  grpc_testing_simple_request request = {.response_size = LARGE_RESPONSE, .payload = &payload};
  return grpc_testing_test_service_unary_call(t->channel, &request, reply, t->arena, &t->options,
                                              status);
}

bool case_large_unary(interop *t) {
  caw_status status = {0};
  grpc_testing_simple_response reply = {0};
  int rc = call_large(t, &reply, &status);
  if (!case_outcome(t, "UnaryCall", rc, &status, CAW_OK, NULL)) return false;
  if (!reply.payload) return case_fail(t, "UnaryCall: the reply has no payload");
  return case_body(t, "UnaryCall", reply.payload->body, LARGE_RESPONSE);
}

/* ---- Statuses ---- */

/* Has both kinds of call end with UNKNOWN and this text. */
static bool echo_status(interop *t, const char *text) {
  caw_status status = {0};
  caw_stream *stream;
  grpc_testing_echo_status wanted = {.code = CAW_UNKNOWN, .message = caw_str_from(text)};
  grpc_testing_simple_request request = {.response_status = &wanted};
  grpc_testing_simple_response reply = {0};
  int rc = grpc_testing_test_service_unary_call(t->channel, &request, &reply, t->arena, &t->options,
                                                &status);
  if (!case_outcome(t, "UnaryCall", rc, &status, CAW_UNKNOWN, text)) return false;

  grpc_testing_streaming_output_call_request order = {.response_status = &wanted};
  rc = grpc_testing_test_service_full_duplex_call(&stream, t->channel, &t->options);
  if (rc) return case_outcome(t, "FullDuplexCall", rc, &status, CAW_OK, NULL);
  rc = grpc_testing_test_service_full_duplex_call_write(stream, &order);
  return case_finish(t, "FullDuplexCall", stream, rc, CAW_UNKNOWN, text);
}

bool case_status_code_and_message(interop *t) {
  return echo_status(t, "test status message");
}

/* White space at the ends, a line break, and Unicode within and beyond the
 * basic plane: all of it has to be percent-encoded. */
bool case_special_status_message(interop *t) {
  return echo_status(t, "\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP "
                        "\xf0\x9f\x98\x88\t\n");
}

bool case_unimplemented_method(interop *t) {
  caw_status status = {0};
  grpc_testing_empty request = {0}, reply = {0};
  int rc = grpc_testing_test_service_unimplemented_call(t->channel, &request, &reply, t->arena,
                                                        &t->options, &status);
  return case_outcome(t, "TestService/UnimplementedCall", rc, &status, CAW_UNIMPLEMENTED, NULL);
}

bool case_unimplemented_service(interop *t) {
  caw_status status = {0};
  grpc_testing_empty request = {0}, reply = {0};
  int rc = grpc_testing_unimplemented_service_unimplemented_call(t->channel, &request, &reply,
                                                                 t->arena, &t->options, &status);
  return case_outcome(t, "UnimplementedService/UnimplementedCall", rc, &status, CAW_UNIMPLEMENTED,
                      NULL);
}

/* ---- HTTP/2 servers that misbehave ---- */

/* The server resets the stream before the status: no status may be invented
 * that says it went well. */
bool case_rst(interop *t) {
  caw_status status = {0};
  grpc_testing_simple_response reply = {0};
  int rc = call_large(t, &reply, &status);
  if (rc < 0) return case_outcome(t, "UnaryCall", rc, &status, CAW_OK, NULL);
  return rc ? true : case_fail(t, "UnaryCall ended with OK, though its stream was reset");
}

/* The server answers the first call and sends GOAWAY; the second call has to
 * find a new connection by itself. */
bool case_goaway(interop *t) {
  if (!case_large_unary(t)) return false;
  sleep(1); /* as the description has it: the GOAWAY may come after the reply */
  return case_large_unary(t);
}
