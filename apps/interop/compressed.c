/* Cases of compression, with the callback face: it is where a message's delivery
 * tells whether it came compressed. */
#include "cases.h"
#include "zeros.h"

#include <grpc/testing/test.caw.h>
#include <pthread.h>

#define MAX_MESSAGES 2

/* One call: what is sent, and what came back. */
typedef struct exchange {
  interop *t;
  const caw_method *method;
  caw_str (*body)(const void *reply); /* of a reply; NULL when it has none */
  const void *requests[MAX_MESSAGES];
  bool compress[MAX_MESSAGES]; /* the requests */
  int n_requests;

  caw_str bodies[MAX_MESSAGES]; /* of the replies; in the run's arena */
  bool compressed[MAX_MESSAGES];
  int n_replies;
  int sum; /* a StreamingInputCall's reply */
  int code;
  caw_str text;

  pthread_mutex_t lock;
  pthread_cond_t over;
  bool done;
} exchange;

/* ---- On the loop; the run's arena is its own until the exchange is over ---- */

static void end(exchange *x, int code, caw_str text) {
  x->code = code;
  x->text = caw_arena_dup(x->t->arena, text);
  pthread_mutex_lock(&x->lock);
  x->done = true;
  pthread_cond_signal(&x->over);
  pthread_mutex_unlock(&x->lock);
}

static void on_message(caw_call *call, const void *message, void *user) {
  exchange *x = user;
  int i = x->n_replies++;
  if (!x->body)
    x->sum = ((const grpc_testing_streaming_input_call_response *)message)->aggregated_payload_size;
  if (!x->body || i >= MAX_MESSAGES) return;
  x->bodies[i] = caw_arena_dup(x->t->arena, x->body(message));
  x->compressed[i] = caw_call_was_compressed(call);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  end(user, status->code, status->message);
}

static void start(void *arg) {
  static const caw_client_events events = {.on_message = on_message, .on_done = on_done};
  exchange *x = arg;
  caw_call *call;
  caw_call_options options = x->t->options;
  options.encoding = CAW_ENCODING_GZIP;
  int rc = caw_call_start(&call, x->t->channel, x->method, &options, &events, x);
  if (rc) {
    end(x, rc, caw_str_from(caw_strerror(rc)));
    return;
  }
  for (int i = 0; i < x->n_requests && !rc; i++) {
    caw_call_compress(call, x->compress[i]);
    rc = caw_call_send(call, x->requests[i]);
  }
  if (!rc) rc = caw_call_close_send(call);
  if (rc && rc != CAW_ECLOSED) caw_call_cancel(call); /* on_done tells */
}

/* ---- From outside ---- */

/* Makes the call and waits; false, and said, when it could not be made. */
static bool run(exchange *x) {
  x->n_replies = 0;
  x->done = false;
  pthread_mutex_init(&x->lock, NULL);
  pthread_cond_init(&x->over, NULL);
  int rc = caw_loop_post(caw_channel_loop(x->t->channel), start, x);
  pthread_mutex_lock(&x->lock);
  while (!rc && !x->done) pthread_cond_wait(&x->over, &x->lock);
  pthread_mutex_unlock(&x->lock);
  pthread_cond_destroy(&x->over);
  pthread_mutex_destroy(&x->lock);
  return rc ? case_fail(x->t, "%s", caw_strerror(rc)) : true;
}

static bool outcome(const exchange *x, const char *what, int code) {
  caw_status status = {.code = x->code, .message = x->text};
  return case_outcome(x->t, what, x->code, &status, code, NULL);
}

/* Checks the i-th reply: its size, and whether it came compressed. */
static bool check_reply(const exchange *x, int i, int size, bool compressed) {
  if (!case_body(x->t, "a reply", x->bodies[i], size)) return false;
  if (x->compressed[i] == compressed) return true;
  return case_fail(x->t, "reply %d of %d bytes came %s", i + 1, size,
                   compressed ? "uncompressed" : "compressed");
}

static caw_str payload_body(const grpc_testing_payload *payload) {
  return payload ? payload->body : caw_str_of(NULL, 0);
}

static caw_str simple_body(const void *reply) {
  return payload_body(((const grpc_testing_simple_response *)reply)->payload);
}

static caw_str output_body(const void *reply) {
  return payload_body(((const grpc_testing_streaming_output_call_response *)reply)->payload);
}

/* ---- Unary ---- */

/* Makes a large UnaryCall; the request is compressed or not, and has the server
 * expect that or the reply be so. */
static bool call_unary(interop *t, bool compress, grpc_testing_bool_value *expect,
                       grpc_testing_bool_value *response, exchange *x) {
  grpc_testing_payload payload = {.body = zeros(LARGE_REQUEST)};
  grpc_testing_simple_request request = {.payload = &payload,
                                         .response_size = LARGE_RESPONSE,
                                         .expect_compressed = expect,
                                         .response_compressed = response};
  *x = (exchange){.t = t,
                  .method = &grpc_testing_test_service_unary_call_method,
                  .body = simple_body,
                  .requests = {&request},
                  .compress = {compress},
                  .n_requests = 1};
  return run(x);
}

bool case_client_compressed_unary(interop *t) {
  grpc_testing_bool_value yes = {.value = true}, no = {.value = false};
  exchange x;
  /* The probe: does the server look at all? */
  if (!call_unary(t, false, &yes, NULL, &x)) return false;
  if (!outcome(&x, "the probe", CAW_INVALID_ARGUMENT)) return false;
  for (int i = 0; i < 2; i++) {
    if (!call_unary(t, i == 0, i == 0 ? &yes : &no, NULL, &x)) return false;
    if (!outcome(&x, i == 0 ? "the compressed call" : "the uncompressed call", CAW_OK))
      return false;
    if (!case_body(t, "UnaryCall", x.bodies[0], LARGE_RESPONSE)) return false;
  }
  return true;
}

bool case_server_compressed_unary(interop *t) {
  for (int i = 0; i < 2; i++) {
    grpc_testing_bool_value wanted = {.value = i == 0};
    exchange x;
    if (!call_unary(t, false, NULL, &wanted, &x)) return false;
    if (!outcome(&x, "UnaryCall", CAW_OK)) return false;
    if (!check_reply(&x, 0, LARGE_RESPONSE, wanted.value)) return false;
  }
  return true;
}

/* ---- Streams ---- */

bool case_client_compressed_streaming(interop *t) {
  grpc_testing_bool_value yes = {.value = true}, no = {.value = false};
  grpc_testing_payload first_payload = {.body = zeros(27182)};
  grpc_testing_payload second_payload = {.body = zeros(45904)};
  grpc_testing_streaming_input_call_request first = {.payload = &first_payload,
                                                     .expect_compressed = &yes};
  grpc_testing_streaming_input_call_request second = {.payload = &second_payload,
                                                      .expect_compressed = &no};
  exchange x = {.t = t,
                .method = &grpc_testing_test_service_streaming_input_call_method,
                .requests = {&first, &second},
                .n_requests = 1};
  if (!run(&x) || !outcome(&x, "the probe", CAW_INVALID_ARGUMENT)) return false;
  x.compress[0] = true;
  x.n_requests = 2;
  if (!run(&x) || !outcome(&x, "StreamingInputCall", CAW_OK)) return false;
  return x.sum == 73086 ? true : case_fail(t, "the server counted %d bytes, not 73086", x.sum);
}

bool case_server_compressed_streaming(interop *t) {
  grpc_testing_bool_value yes = {.value = true}, no = {.value = false};
  grpc_testing_response_parameters parameters[] = {{.compressed = &yes, .size = 31415},
                                                   {.compressed = &no, .size = 92653}};
  grpc_testing_streaming_output_call_request request = {0};
  request.response_parameters.items = parameters;
  request.response_parameters.len = 2;
  exchange x = {.t = t,
                .method = &grpc_testing_test_service_streaming_output_call_method,
                .body = output_body,
                .requests = {&request},
                .n_requests = 1};
  if (!run(&x) || !outcome(&x, "StreamingOutputCall", CAW_OK)) return false;
  if (x.n_replies != 2) return case_fail(t, "%d replies came, not 2", x.n_replies);
  return check_reply(&x, 0, 31415, true) && check_reply(&x, 1, 92653, false);
}
