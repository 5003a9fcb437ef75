/* Cases of streams, metadata, cancellation and deadlines. */
#include "cases.h"
#include "zeros.h"

#include <grpc/testing/test.caw.h>

static const int request_sizes[] = {27182, 8, 1828, 45904};
static const int reply_sizes[] = {31415, 9, 2653, 58979};
#define N_SIZES 4

/* ---- Parts of a FullDuplexCall ---- */

static bool open_duplex(interop *t, caw_stream **stream, const caw_call_options *options) {
  caw_status none = {0};
  int rc = grpc_testing_test_service_full_duplex_call(stream, t->channel, options);
  return case_outcome(t, "FullDuplexCall", rc, &none, CAW_OK, NULL);
}

/* Sends a request of `request` bytes that orders a reply of `reply` bytes, or
 * none when that is negative. */
static int write_duplex(caw_stream *stream, int request, int reply) {
  grpc_testing_response_parameters parameters = {.size = reply};
  grpc_testing_payload payload = {.body = zeros((size_t)request)};
  grpc_testing_streaming_output_call_request order = {.payload = &payload};
  order.response_parameters.items = &parameters;
  order.response_parameters.len = reply >= 0;
  return grpc_testing_test_service_full_duplex_call_write(stream, &order);
}

/* Reads a reply and checks it. `*good` becomes false when it is not as wanted. */
static int read_reply(interop *t, caw_stream *stream, int size, bool *good) {
  grpc_testing_streaming_output_call_response reply = {0};
  int rc = caw_stream_read(stream, &reply, t->arena);
  if (rc == CAW_EEND) *good = case_fail(t, "a reply of %d bytes is missing", size);
  if (rc) return rc;
  caw_str body = reply.payload ? reply.payload->body : caw_str_of(NULL, 0);
  if (!case_body(t, "a reply", body, size)) *good = false;
  return 0;
}

/* Reads the end of the stream: no reply may come before it. */
static int read_end(interop *t, caw_stream *stream, bool *good) {
  grpc_testing_streaming_output_call_response reply = {0};
  int rc = caw_stream_read(stream, &reply, t->arena);
  if (rc == 0) *good = case_fail(t, "more replies came than were ordered");
  return rc;
}

/* ---- Cases ---- */

bool case_client_streaming(interop *t) {
  caw_status none = {0};
  caw_stream *stream;
  grpc_testing_streaming_input_call_response reply = {0};
  int rc = grpc_testing_test_service_streaming_input_call(&stream, t->channel, &t->options);
  if (rc) return case_outcome(t, "StreamingInputCall", rc, &none, CAW_OK, NULL);
  for (int i = 0; i < N_SIZES && !rc; i++) {
    grpc_testing_payload payload = {.body = zeros((size_t)request_sizes[i])};
    grpc_testing_streaming_input_call_request request = {.payload = &payload};
    rc = grpc_testing_test_service_streaming_input_call_write(stream, &request);
  }
  if (!rc) rc = caw_stream_close_send(stream);
  if (!rc) rc = grpc_testing_test_service_streaming_input_call_read(stream, &reply, t->arena);
  if (!case_finish(t, "StreamingInputCall", stream, rc, CAW_OK, NULL)) return false;
  if (reply.aggregated_payload_size != 74922)
    return case_fail(t, "the server counted %d bytes, not 74922",
                     (int)reply.aggregated_payload_size);
  return true;
}

bool case_server_streaming(interop *t) {
  caw_status none = {0};
  caw_stream *stream;
  bool good = true;
  grpc_testing_response_parameters parameters[N_SIZES] = {{0}};
  grpc_testing_streaming_output_call_request request = {0};
  for (int i = 0; i < N_SIZES; i++) parameters[i].size = reply_sizes[i];
  request.response_parameters.items = parameters;
  request.response_parameters.len = N_SIZES;
  int rc =
      grpc_testing_test_service_streaming_output_call(&stream, t->channel, &request, &t->options);
  if (rc) return case_outcome(t, "StreamingOutputCall", rc, &none, CAW_OK, NULL);
  for (int i = 0; i < N_SIZES && !rc; i++) rc = read_reply(t, stream, reply_sizes[i], &good);
  if (!rc) rc = read_end(t, stream, &good);
  return case_finish(t, "StreamingOutputCall", stream, rc, CAW_OK, NULL) && good;
}

bool case_ping_pong(interop *t) {
  caw_stream *stream;
  bool good = true;
  int rc = 0;
  if (!open_duplex(t, &stream, &t->options)) return false;
  for (int i = 0; i < N_SIZES && !rc; i++) {
    rc = write_duplex(stream, request_sizes[i], reply_sizes[i]);
    if (!rc) rc = read_reply(t, stream, reply_sizes[i], &good);
  }
  if (!rc) rc = caw_stream_close_send(stream);
  if (!rc) rc = read_end(t, stream, &good);
  return case_finish(t, "FullDuplexCall", stream, rc, CAW_OK, NULL) && good;
}

bool case_empty_stream(interop *t) {
  caw_stream *stream;
  bool good = true;
  if (!open_duplex(t, &stream, &t->options)) return false;
  int rc = caw_stream_close_send(stream);
  if (!rc) rc = read_end(t, stream, &good);
  return case_finish(t, "FullDuplexCall", stream, rc, CAW_OK, NULL) && good;
}

/* ---- Metadata ---- */

#define KEY_INITIAL   "x-grpc-test-echo-initial"
#define VALUE_INITIAL "test_initial_metadata_value"
#define KEY_TRAILING  "x-grpc-test-echo-trailing-bin"

/* Was what we sent sent back, before and after the reply? */
static bool check_echo(interop *t, const char *what, caw_stream *stream) {
  static const caw_str binary = CAW_STR("\xab\xab\xab");
  caw_call *call = caw_stream_call(stream);
  caw_str initial = caw_metadata_get(caw_call_metadata(call), KEY_INITIAL);
  caw_str trailing = caw_metadata_get(caw_call_trailers(call), KEY_TRAILING);
  if (!caw_str_is(initial, VALUE_INITIAL))
    return case_fail(t, "%s: " KEY_INITIAL " came back as \"%.*s\"", what, CAW_STR_ARG(initial));
  if (!caw_str_eq(trailing, binary))
    return case_fail(t, "%s: " KEY_TRAILING " came back with %zu bytes%s", what, trailing.len,
                     trailing.len == binary.len ? ", and not those" : ", not 3");
  return true;
}

/* The options of the calls, with the two entries more. */
static bool echo_options(interop *t, caw_call_options *options) {
  size_t n = t->options.metadata_len;
  caw_metadata_entry *entries = caw_arena_calloc(t->arena, n + 2, sizeof(*entries));
  if (!entries) return case_fail(t, "out of memory");
  for (size_t i = 0; i < n; i++) entries[i] = t->options.metadata[i];
  entries[n] = (caw_metadata_entry){CAW_STR(KEY_INITIAL), CAW_STR(VALUE_INITIAL)};
  entries[n + 1] = (caw_metadata_entry){CAW_STR(KEY_TRAILING), CAW_STR("\xab\xab\xab")};
  *options = t->options;
  options->metadata = entries;
  options->metadata_len = n + 2;
  return true;
}

static bool echo_unary(interop *t, const caw_call_options *options) {
  caw_status none = {0};
  caw_stream *stream;
  grpc_testing_payload payload = {.body = zeros(LARGE_REQUEST)};
  grpc_testing_simple_request request = {.response_size = LARGE_RESPONSE, .payload = &payload};
  grpc_testing_simple_response reply = {0}, more;
  /* As a stream of one message: caw_call_unary shows no metadata. */
  int rc = caw_stream_open_with(&stream, t->channel, &grpc_testing_test_service_unary_call_method,
                                &request, options);
  if (rc) return case_outcome(t, "UnaryCall", rc, &none, CAW_OK, NULL);
  rc = caw_stream_read(stream, &reply, t->arena);
  bool good = rc == 0;
  if (!rc) rc = caw_stream_read(stream, &more, t->arena); /* the end, with the trailers */
  if (good) good = check_echo(t, "UnaryCall", stream);
  return case_finish(t, "UnaryCall", stream, rc, CAW_OK, NULL) && good;
}

static bool echo_duplex(interop *t, const caw_call_options *options) {
  caw_stream *stream;
  bool good = true;
  if (!open_duplex(t, &stream, options)) return false;
  int rc = write_duplex(stream, LARGE_REQUEST, LARGE_RESPONSE);
  if (!rc) rc = caw_stream_close_send(stream);
  if (!rc) rc = read_reply(t, stream, LARGE_RESPONSE, &good);
  if (!rc) rc = read_end(t, stream, &good);
  if (rc == CAW_EEND && good) good = check_echo(t, "FullDuplexCall", stream);
  return case_finish(t, "FullDuplexCall", stream, rc, CAW_OK, NULL) && good;
}

bool case_custom_metadata(interop *t) {
  caw_call_options options;
  return echo_options(t, &options) && echo_unary(t, &options) && echo_duplex(t, &options);
}

/* ---- Early ends ---- */

bool case_cancel_after_begin(interop *t) {
  caw_status none = {0};
  caw_stream *stream;
  int rc = grpc_testing_test_service_streaming_input_call(&stream, t->channel, &t->options);
  if (rc) return case_outcome(t, "StreamingInputCall", rc, &none, CAW_OK, NULL);
  caw_call_cancel(caw_stream_call(stream));
  return case_finish(t, "StreamingInputCall", stream, 0, CAW_CANCELLED, NULL);
}

bool case_cancel_after_first_response(interop *t) {
  caw_stream *stream;
  bool good = true;
  if (!open_duplex(t, &stream, &t->options)) return false;
  int rc = write_duplex(stream, request_sizes[0], reply_sizes[0]);
  if (!rc) rc = read_reply(t, stream, reply_sizes[0], &good);
  if (!rc) caw_call_cancel(caw_stream_call(stream));
  return case_finish(t, "FullDuplexCall", stream, rc, CAW_CANCELLED, NULL) && good;
}

bool case_timeout_on_sleeping_server(interop *t) {
  caw_stream *stream;
  bool good = true;
  caw_call_options options = t->options;
  options.timeout_ms = 1;
  if (!open_duplex(t, &stream, &options)) return false;
  int rc = write_duplex(stream, request_sizes[0], -1);
  if (!rc) rc = read_end(t, stream, &good); /* nothing was ordered: waits for the deadline */
  return case_finish(t, "FullDuplexCall", stream, rc, CAW_DEADLINE_EXCEEDED, NULL) && good;
}
