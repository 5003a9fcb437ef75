/*
 * The TestService, with callbacks on the calls' loops. Unary calls answer at
 * once. The streams share an `outflow`: the replies that were ordered and not
 * yet sent, each after its interval; it is what keeps a client that orders
 * more than it reads from costing memory, because no further order is taken
 * while there are replies to send.
 */
#include "service.h"
#include "zeros.h"

#include <grpc/testing/test.caw.h>
#include <time.h>

#define KEY_INITIAL  "x-grpc-test-echo-initial"
#define KEY_TRAILING "x-grpc-test-echo-trailing-bin"

/* Replies that a call may have ordered and not got: a HalfDuplexCall keeps all
 * its orders until the client has sent its last. */
#define MAX_KEPT 100000u

/* ---- What all methods share ---- */

/* Echo Metadata: one key goes back before the replies, the other after them. */
static int echo_metadata(caw_call *call) {
  const caw_metadata *m = caw_call_metadata(call);
  int rc = 0;
  for (size_t i = 0; i < m->len && !rc; i++) {
    const caw_metadata_entry *e = &m->entries[i];
    if (caw_str_is(e->key, KEY_INITIAL)) rc = caw_call_add_header(call, e->key, e->value);
    if (caw_str_is(e->key, KEY_TRAILING)) rc = caw_call_add_trailer(call, e->key, e->value);
  }
  return rc;
}

/* Echo Status: what a request asks to be told; 0 when it asks for nothing. */
static int echo_status(caw_call *call, const grpc_testing_echo_status *status) {
  if (!status || !status->code) return 0;
  int code = status->code > 0 && status->code <= CAW_UNAUTHENTICATED ? status->code : CAW_UNKNOWN;
  return caw_call_fail(call, code, "%.*s", CAW_STR_ARG(status->message));
}

/* Can a body of this type and size be made? */
static int check_body(caw_call *call, int32_t type, int32_t size) {
  if (type != GRPC_TESTING_COMPRESSABLE)
    return caw_call_fail(call, CAW_INVALID_ARGUMENT, "payload type %d is not known", (int)type);
  if (size < 0 || size > ZEROS_MAX)
    return caw_call_fail(call, CAW_INVALID_ARGUMENT, "a size of %d is not from 0 to %d", (int)size,
                         ZEROS_MAX);
  return 0;
}

/* CompressedRequest: did the request come as the client says it should have? */
static int check_compressed(caw_call *call, const grpc_testing_bool_value *expected) {
  if (!expected || expected->value == caw_call_was_compressed(call)) return 0;
  return caw_call_fail(call, CAW_INVALID_ARGUMENT, "the request was expected to be %s",
                       expected->value ? "compressed" : "uncompressed");
}

/* ---- Unary ---- */

static int empty_call(caw_call *call, const grpc_testing_empty *request, grpc_testing_empty *reply,
                      void *self) {
  (void)request;
  (void)reply;
  (void)self;
  return echo_metadata(call);
}

static int unary_call(caw_call *call, const grpc_testing_simple_request *request,
                      grpc_testing_simple_response *reply, void *self) {
  (void)self;
  int rc = echo_metadata(call);
  if (!rc) rc = check_compressed(call, request->expect_compressed);
  if (!rc) rc = echo_status(call, request->response_status);
  if (!rc) rc = check_body(call, request->response_type, request->response_size);
  if (!rc && request->response_compressed && request->response_compressed->value)
    rc = caw_call_set_encoding(call, CAW_ENCODING_GZIP);
  if (rc) return rc;
  reply->payload = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*reply->payload));
  if (!reply->payload) return CAW_ENOMEM;
  reply->payload->body = zeros((size_t)request->response_size);
  return 0;
}

/* The time in nanoseconds, so that no two replies are equal unless a cache gave
 * the second one. */
static int cacheable_unary_call(caw_call *call, const grpc_testing_simple_request *request,
                                grpc_testing_simple_response *reply, void *self) {
  (void)request;
  (void)self;
  struct timespec now;
  caw_arena *arena = caw_call_arena(call);
  clock_gettime(CLOCK_REALTIME, &now);
  reply->payload = caw_arena_calloc(arena, 1, sizeof(*reply->payload));
  if (!reply->payload) return CAW_ENOMEM;
  reply->payload->body =
      caw_arena_printf(arena, "%lld%09ld", (long long)now.tv_sec, (long)now.tv_nsec);
  if (!reply->payload->body.data) return CAW_ENOMEM;
  return caw_call_add_header(call, caw_str_from("cache-control"),
                             caw_str_from("max-age=60, public"));
}

/* ---- StreamingInputCall ---- */

typedef struct inflow {
  int64_t bytes;
} inflow;

static int input_open(caw_call *call, void *self) {
  (void)self;
  inflow *in = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*in));
  caw_call_set_data(call, in);
  return in ? echo_metadata(call) : CAW_ENOMEM;
}

static int input_message(caw_call *call, const grpc_testing_streaming_input_call_request *request,
                         void *self) {
  inflow *in = caw_call_data(call);
  (void)self;
  if (request->payload) in->bytes += (int64_t)request->payload->body.len;
  return check_compressed(call, request->expect_compressed);
}

static int input_end(caw_call *call, grpc_testing_streaming_input_call_response *reply,
                     void *self) {
  const inflow *in = caw_call_data(call);
  (void)self;
  if (in->bytes > INT32_MAX)
    return caw_call_fail(call, CAW_OUT_OF_RANGE, "the sum of sizes exceeds an int32");
  reply->aggregated_payload_size = (int32_t)in->bytes;
  return 0;
}

/* ---- Replies that were ordered ---- */

/* One reply that was ordered. */
typedef struct item {
  int32_t size, interval_us;
  bool compressed;
} item;

typedef struct batch {
  struct batch *next;
  const item *items;
  size_t len;
} batch;

typedef struct outflow {
  caw_call *call;
  caw_timer *timer; /* made when the first reply has an interval */
  caw_arena *arena; /* the batches; emptied when all is sent */
  batch *first, **end;
  size_t at;     /* in the first batch */
  size_t kept;   /* replies ordered and not sent */
  bool waited;   /* the interval of the next reply is over */
  bool waiting;  /* the timer runs */
  bool refused;  /* the next reply waits for on_drain */
  bool complete; /* no more orders come: finish when all is sent */
  bool over;
} outflow;

static void flow(outflow *out);

static void flow_over(outflow *out, int code) {
  if (out->over) return;
  out->over = true;
  caw_call_finish(out->call, code, NULL);
}

static void on_interval(void *user) {
  outflow *out = user;
  out->waiting = false;
  out->waited = true;
  flow(out);
}

/* Starts the interval before a reply; returns CAW_PENDING, or an error. */
static int wait_interval(outflow *out, int32_t us) {
  if (!out->timer) {
    int rc = caw_timer_new(&out->timer, caw_call_loop(out->call), on_interval, out);
    if (rc) return rc;
  }
  out->waiting = true;
  caw_timer_start(out->timer, ((uint64_t)us + 999) / 1000);
  return CAW_PENDING;
}

static int send_item(outflow *out, const item *it) {
  grpc_testing_payload payload = {.body = zeros((size_t)it->size)};
  grpc_testing_streaming_output_call_response reply = {.payload = &payload};
  caw_call_compress(out->call, it->compressed);
  return caw_call_send(out->call, &reply);
}

/* The next reply that was ordered; forgets batches that are done. */
static const item *next_item(outflow *out) {
  while (out->first && out->at == out->first->len) {
    out->first = out->first->next;
    out->at = 0;
  }
  if (out->first) return &out->first->items[out->at];
  out->end = &out->first;
  caw_arena_reset(out->arena);
  return NULL;
}

/* Sends what can be sent. Returns 0 when all is, CAW_PENDING when the rest has
 * to wait, or an error. */
static int pump(outflow *out) {
  const item *it;
  while ((it = next_item(out)) != NULL) {
    if (it->interval_us > 0 && !out->waited) return wait_interval(out, it->interval_us);
    int rc = send_item(out, it);
    out->refused = rc == CAW_EAGAIN;
    if (rc) return out->refused ? CAW_PENDING : rc;
    out->waited = false;
    out->at++;
    out->kept--;
  }
  return 0;
}

/* Goes on from an event: sends, then takes the next order or finishes. */
static void flow(outflow *out) {
  if (out->over || out->waiting) return;
  int rc = pump(out);
  if (rc == CAW_PENDING) return;
  if (rc || out->complete) flow_over(out, rc);
  else caw_call_resume(out->call);
}

/* Copies an order behind those that wait. */
static int take_order(outflow *out, const grpc_testing_streaming_output_call_request *request) {
  size_t n = request->response_parameters.len;
  if (n > MAX_KEPT - out->kept)
    return caw_call_fail(out->call, CAW_RESOURCE_EXHAUSTED, "more than %u replies are ordered",
                         MAX_KEPT);
  item *items = caw_arena_calloc(out->arena, n, sizeof(*items));
  batch *b = caw_arena_calloc(out->arena, 1, sizeof(*b));
  if (!items || !b) return CAW_ENOMEM;
  for (size_t i = 0; i < n; i++) {
    const grpc_testing_response_parameters *p = &request->response_parameters.items[i];
    int rc = check_body(out->call, request->response_type, p->size);
    if (rc) return rc;
    items[i] = (item){p->size, p->interval_us, p->compressed && p->compressed->value};
  }
  b->items = items;
  b->len = n;
  out->kept += n;
  *out->end = b;
  out->end = &b->next;
  return 0;
}

/* ---- Events ---- */

static void on_cancel(caw_call *call, void *user) {
  outflow *out = user;
  (void)call;
  if (out->timer) caw_timer_stop(out->timer);
  flow_over(out, CAW_CANCELLED);
}

static void on_drain(caw_call *call, void *user) {
  outflow *out = user;
  (void)call;
  /* It comes whenever the queue was full, also when no reply was refused. */
  if (out->refused) flow(out);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  outflow *out = user;
  (void)call;
  (void)status;
  out->over = true;
  caw_timer_free(out->timer);
  caw_arena_free(out->arena);
}

static int outflow_open(outflow **result, caw_call *call) {
  static const caw_call_events events = {on_cancel, on_drain, NULL, on_done};
  outflow *out = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*out));
  if (!out) return CAW_ENOMEM;
  out->call = call;
  out->end = &out->first;
  caw_call_set_data(call, out);
  caw_call_on(call, &events, out);
  out->arena = caw_arena_new(0);
  *result = out;
  if (!out->arena) return CAW_ENOMEM;
  /* Each reply says for itself whether it is compressed. */
  int rc = caw_call_set_encoding(call, CAW_ENCODING_GZIP);
  return rc ? rc : echo_metadata(call);
}

/* ---- StreamingOutputCall, FullDuplexCall, HalfDuplexCall ---- */

static int streaming_output_call(caw_call *call,
                                 const grpc_testing_streaming_output_call_request *request,
                                 void *self) {
  outflow *out = NULL;
  (void)self;
  int rc = outflow_open(&out, call);
  if (!rc) rc = echo_status(call, request->response_status);
  if (!rc) rc = take_order(out, request);
  if (rc) return rc;
  out->complete = true;
  return pump(out);
}

static int duplex_open(caw_call *call, void *self) {
  outflow *out;
  (void)self;
  int rc = outflow_open(&out, call);
  /* A client may want to see the headers before it sends anything. */
  return rc ? rc : caw_call_send_headers(call);
}

static int full_duplex_message(caw_call *call,
                               const grpc_testing_streaming_output_call_request *request,
                               void *self) {
  outflow *out = caw_call_data(call);
  (void)self;
  int rc = echo_status(call, request->response_status);
  if (!rc) rc = take_order(out, request);
  if (!rc) rc = pump(out);
  if (rc != CAW_PENDING) return rc;
  caw_call_pause(call);
  return 0;
}

static int half_duplex_message(caw_call *call,
                               const grpc_testing_streaming_output_call_request *request,
                               void *self) {
  outflow *out = caw_call_data(call);
  (void)self;
  int rc = echo_status(call, request->response_status);
  return rc ? rc : take_order(out, request);
}

/* The client has sent its last; what was ordered is still sent. */
static int duplex_end(caw_call *call, void *self) {
  outflow *out = caw_call_data(call);
  (void)self;
  out->complete = true;
  return out->waiting || out->refused ? CAW_PENDING : pump(out);
}

int service_add(caw_server *server) {
  static const grpc_testing_test_service_service service = {
      .empty_call = empty_call,
      .unary_call = unary_call,
      .cacheable_unary_call = cacheable_unary_call,
      .streaming_output_call = streaming_output_call,
      .streaming_input_call = {input_open, input_message, input_end},
      .full_duplex_call = {duplex_open, full_duplex_message, duplex_end},
      .half_duplex_call = {duplex_open, half_duplex_message, duplex_end},
  };
  return grpc_testing_test_service_add(server, &service, NULL);
}
