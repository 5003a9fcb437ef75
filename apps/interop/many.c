/* Calls at once: what many.h offers, and the cases that are made of it. */
#include "many.h"
#include "zeros.h"

#include <grpc/testing/test.caw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct many many;

typedef struct one {
  many *all;
  bool good; /* a reply came, and it was as ordered */
} one;

/* The calls; everything but `lock`, `over` and `done` belongs to the loop. */
struct many {
  caw_channel *channel;
  const caw_call_options *options;
  caw_payload *request;
  int n, response_size, left;
  many_result *result;
  one *calls;
  pthread_mutex_t lock;
  pthread_cond_t over;
  bool done;
};

/* ---- On the loop ---- */

static void call_over(one *c, int rc, caw_str text) {
  many *m = c->all;
  many_result *r = m->result;
  if (rc == 0 && !c->good) text = caw_str_from("the reply is not what was ordered");
  if ((rc || !c->good) && r->failed++ == 0)
    snprintf(r->why, sizeof(r->why), "%s: %.*s", caw_code_name(rc), CAW_STR_ARG(text));
  if (--m->left) return;
  pthread_mutex_lock(&m->lock);
  m->done = true;
  pthread_cond_signal(&m->over);
  pthread_mutex_unlock(&m->lock);
}

static void on_message(caw_call *call, const void *message, void *user) {
  one *c = user;
  const grpc_testing_simple_response *reply = message;
  (void)call;
  c->good = reply->payload && reply->payload->body.len == (size_t)c->all->response_size &&
            zeros_only(reply->payload->body);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  one *c = user;
  many_result *r = c->all->result;
  snprintf(r->peer, sizeof(r->peer), "%.*s", CAW_STR_ARG(caw_call_peer(call)));
  call_over(c, status->code, status->message);
}

static void start(one *c) {
  static const caw_client_events events = {.on_message = on_message, .on_done = on_done};
  many *m = c->all;
  caw_call *call;
  int rc = caw_call_start(&call, m->channel, &grpc_testing_test_service_unary_call_method,
                          m->options, &events, c);
  if (rc) {
    call_over(c, rc, caw_str_from(caw_strerror(rc)));
    return;
  }
  rc = caw_call_send_payload(call, m->request);
  if (!rc) rc = caw_call_close_send(call);
  if (rc && rc != CAW_ECLOSED) caw_call_cancel(call); /* on_done tells */
}

static void start_all(void *arg) {
  many *m = arg;
  /* The last call to end lets the waiting thread free `m`. */
  int n = m->n;
  one *calls = m->calls;
  for (int i = 0; i < n; i++) start(&calls[i]);
}

/* ---- From outside ---- */

static void wait_all(many *m) {
  pthread_mutex_lock(&m->lock);
  while (!m->done) pthread_cond_wait(&m->over, &m->lock);
  pthread_mutex_unlock(&m->lock);
}

int many_run(caw_channel *channel, const caw_call_options *options, caw_payload *request, int n,
             int response_size, many_result *result) {
  many m = {channel, options, request, n, response_size, n, result, NULL, .done = false};
  *result = (many_result){0};
  m.calls = calloc((size_t)n, sizeof(*m.calls));
  if (!m.calls) return CAW_ENOMEM;
  for (int i = 0; i < n; i++) m.calls[i].all = &m;
  pthread_mutex_init(&m.lock, NULL);
  pthread_cond_init(&m.over, NULL);
  int rc = caw_loop_post(caw_channel_loop(channel), start_all, &m);
  if (!rc) wait_all(&m);
  pthread_cond_destroy(&m.over);
  pthread_mutex_destroy(&m.lock);
  free(m.calls);
  return rc;
}

int many_request(caw_payload **out, int request_size, int response_size) {
  grpc_testing_payload payload = {.body = zeros((size_t)request_size)};
  grpc_testing_simple_request request = {.response_size = response_size, .payload = &payload};
  return caw_payload_new(out, &grpc_testing_simple_request_type, &request);
}

/* ---- Cases ---- */

static bool run_case(interop *t, int n) {
  caw_payload *request;
  many_result result;
  int rc = many_request(&request, LARGE_REQUEST, LARGE_RESPONSE);
  if (rc) return case_fail(t, "%s", caw_strerror(rc));
  rc = many_run(t->channel, &t->options, request, n, LARGE_RESPONSE, &result);
  caw_payload_unref(request);
  if (rc) return case_fail(t, "%s", caw_strerror(rc));
  if (!result.failed) return true;
  return case_fail(t, "%d of %d calls failed; the first: %s", result.failed, n, result.why);
}

bool case_concurrent_large_unary(interop *t) {
  return run_case(t, 1000);
}

/* The first call lets the server tell its limit of one stream; the others have
 * to wait for each other by themselves. */
bool case_max_streams(interop *t) {
  return run_case(t, 1) && run_case(t, 10);
}
