/* The details of an error, from a handler to a client of either face. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"
#include "failing.h"

#include <caw/blocking.h>
#include <caw/details.h>
#include <caw/pb.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Making and reading, without a call ---- */

static void several_details(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_details_status status = {.code = CAW_INVALID_ARGUMENT, .message = CAW_STR("no")};
  caw_details_error_info_metadata_entry entry = {.key = CAW_STR("zone"), .value = CAW_STR("a")};
  caw_details_error_info info = {.reason = CAW_STR("FULL"), .domain = CAW_STR("caw.example")};
  info.metadata.items = &entry;
  info.metadata.len = 1;
  caw_details_duration delay = {.seconds = 3, .nanos = 5};
  caw_details_retry_info retry = {.retry_delay = &delay};
  for (int i = 0; i < 5; i++) {
    char id[8];
    snprintf(id, sizeof(id), "%d", i);
    caw_details_request_info request = {.request_id = caw_str_from(id)};
    assert_int_equal(caw_details_add(&status, arena, &caw_details_request_info_type, &request), 0);
  }
  assert_int_equal(caw_details_add(&status, arena, &caw_details_error_info_type, &info), 0);
  assert_int_equal(caw_details_add(&status, arena, &caw_details_retry_info_type, &retry), 0);
  assert_int_equal(status.details.len, 7);
  assert_true(
      caw_str_is(status.details.items[5].type_url, "type.googleapis.com/google.rpc.ErrorInfo"));

  caw_str bytes;
  assert_int_equal(caw_pb_encode(&bytes, arena, &caw_details_status_type, &status), 0);
  const caw_status told = {CAW_INVALID_ARGUMENT, CAW_STR("no"), bytes};
  caw_details_status got;
  assert_int_equal(caw_details_read(&got, arena, &told), 0);
  assert_int_equal(got.code, CAW_INVALID_ARGUMENT);
  assert_int_equal(got.details.len, 7);
  size_t at = 0;
  for (int i = 0; i < 5; i++) {
    caw_details_request_info request = {0};
    assert_int_equal(caw_details_find(&got, &at, &caw_details_request_info_type, &request, arena),
                     0);
    assert_int_equal(request.request_id.data[0], '0' + i);
  }
  caw_details_request_info request = {0};
  assert_int_equal(caw_details_find(&got, &at, &caw_details_request_info_type, &request, arena),
                   CAW_EEND);
  at = 0;
  caw_details_retry_info again = {0};
  assert_int_equal(caw_details_find(&got, &at, &caw_details_retry_info_type, &again, arena), 0);
  assert_int_equal(again.retry_delay->seconds, 3);
  at = 0;
  caw_details_error_info info_again = {0};
  assert_int_equal(caw_details_find(&got, &at, &caw_details_error_info_type, &info_again, arena),
                   0);
  assert_true(caw_str_is(info_again.reason, "FULL"));
  assert_true(caw_str_is(info_again.metadata.items[0].value, "a"));
  caw_arena_free(arena);
}

/* To what a peer sent, and to an array of the program's: nothing is written behind
 * what was there (the sanitizer watches), whatever its length. */
static void added_to_what_is_there(void **state) {
  (void)state;
  for (size_t n = 0; n < 9; n++) {
    caw_arena *arena = caw_arena_new(0);
    caw_details_detail *own = calloc(n ? n : 1, sizeof(*own));
    caw_details_status s = {.code = CAW_ABORTED}, got;
    caw_details_help help = {0};
    s.details.items = own;
    s.details.len = n;
    for (size_t i = 0; i < n; i++) own[i].type_url = caw_str_from("x/google.rpc.Other");
    assert_int_equal(caw_details_add(&s, arena, &caw_details_help_type, &help), 0);
    assert_int_equal(s.details.len, n + 1);
    caw_str bytes;
    assert_int_equal(caw_pb_encode(&bytes, arena, &caw_details_status_type, &s), 0);
    assert_int_equal(caw_pb_decode(&got, arena, &caw_details_status_type, bytes.data, bytes.len),
                     0);
    char *after = caw_arena_calloc(arena, 1, 64);
    assert_int_equal(caw_details_add(&got, arena, &caw_details_help_type, &help), 0);
    for (int i = 0; i < 64; i++) assert_int_equal(after[i], 0);
    assert_int_equal(got.details.len, n + 2);
    size_t at = 0;
    for (int i = 0; i < 2; i++)
      assert_int_equal(caw_details_find(&got, &at, &caw_details_help_type, &help, arena), 0);
    assert_int_equal(caw_details_find(&got, &at, &caw_details_help_type, &help, arena), CAW_EEND);
    free(own);
    caw_arena_free(arena);
  }
}

static void what_cannot_be_read(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_details_status s = {0};
  caw_str raw = CAW_STR("x");
  assert_int_equal(caw_details_add(&s, arena, &caw_type_bytes, &raw), CAW_EINVAL);
  size_t at = 0;
  assert_int_equal(caw_details_find(&s, &at, &caw_type_bytes, &raw, arena), CAW_EINVAL);
  const caw_status none = {CAW_NOT_FOUND, {NULL, 0}, {NULL, 0}},
                   broken = {CAW_NOT_FOUND, {NULL, 0}, CAW_STR("\x08")};
  assert_int_equal(caw_details_read(&s, arena, &none), CAW_EEND);
  assert_int_equal(caw_details_read(&s, arena, &broken), CAW_EMALFORMED);
  /* Details of other types, and names that only resemble. */
  caw_details_detail items[] = {
      {.type_url = CAW_STR("type.googleapis.com/google.rpc.HelpX")},
      {.type_url = CAW_STR("google.rpc.Help")},
      {.type_url = CAW_STR("xgoogle.rpc.Help")},
      {.type_url = CAW_STR("")},
      {.type_url = CAW_STR("example.com/any/google.rpc.Help"), .value = CAW_STR("\x0a")},
      {.type_url = CAW_STR("/google.rpc.Help")},
  };
  s.details.items = items;
  s.details.len = 6;
  caw_details_help help = {0};
  at = 0;
  assert_int_equal(caw_details_find(&s, &at, &caw_details_help_type, &help, arena), CAW_EMALFORMED);
  assert_int_equal(at, 5);
  assert_int_equal(caw_details_find(&s, &at, &caw_details_help_type, &help, arena), 0);
  assert_int_equal(caw_details_find(&s, &at, &caw_details_help_type, &help, arena), CAW_EEND);
  caw_arena_free(arena);
}

static void without_memory(void **state) {
  (void)state;
  for (long n = 1;; n++) {
    caw_arena *arena = caw_arena_new(64);
    caw_details_status s = {0};
    caw_details_debug_info info = {.detail =
                                       CAW_STR("a text that is longer than the arena's block")};
    int rc = 0;
    fail_at(n);
    for (int i = 0; i < 5 && !rc; i++)
      rc = caw_details_add(&s, arena, &caw_details_debug_info_type, &info);
    assert_int_equal(rc, failing.failed ? CAW_ENOMEM : 0);
    bool failed = failing.failed;
    fail_at(0);
    caw_arena_free(arena);
    if (!failed) break;
  }
}

/* ---- Through a call ---- */

typedef struct mute {
  int done, code;
  size_t text, details;
} mute;

static void on_mute(caw_call *call, const caw_status *status, void *user) {
  mute *m = user;
  (void)call;
  *m = (mute){1, status->code, status->message.len, status->details.len};
}

static int fail_locally(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d, (void)reply;
  caw_details_status s = {.code = CAW_ABORTED, .message = CAW_STR("not for the peer")};
  assert_int_equal(caw_details_fail(call, &s), CAW_ABORTED);
  duo_listen(d, call);
  if (caw_str_is(*request, "return")) return CAW_ENOMEM;
  assert_int_equal(caw_call_finish(call, CAW_EINVAL, "neither is this"), 0);
  return CAW_PENDING;
}

/* Of a local error the peer learns the code and nothing else. */
static void local_errors_are_mute(void **state) {
  (void)state;
  static const char *const requests[] = {"return", "finish"};
  static const int want[] = {CAW_RESOURCE_EXHAUSTED, CAW_INTERNAL};
  for (int i = 0; i < 2; i++) {
    duo d = {0};
    duo_init(&d);
    d.on_message = fail_locally;
    mute m = {0};
    caw_str request = caw_str_from(requests[i]);
    static const caw_client_events events = {.on_done = on_mute};
    assert_int_equal(caw_call_start_with(NULL, d.channel, &duo_unary, &request, NULL, &events, &m),
                     0);
    duo_until(&d, &m.done);
    assert_int_equal(m.code, want[i]);
    assert_int_equal(m.text, 0);
    assert_int_equal(m.details, 0);
    duo_finish(&d);
  }
}

static int fail_richly(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d, (void)reply;
  caw_details_status s = {.code = CAW_RESOURCE_EXHAUSTED, .message = CAW_STR("too \xc3\xa9 many")};
  caw_details_bad_request_field_violation v = {.field = *request, .description = CAW_STR("bad")};
  caw_details_bad_request bad = {0};
  bad.field_violations.items = &v;
  bad.field_violations.len = 1;
  assert_int_equal(caw_details_add(&s, caw_call_arena(call), &caw_details_bad_request_type, &bad),
                   0);
  if (caw_str_is(*request, "code")) s.code = 99;
  int code = caw_details_fail(call, &s);
  return caw_str_is(*request, "fine") ? CAW_OK : code;
}

typedef struct outcome {
  int done, code;
  bool read;
  char field[32], text[64];
} outcome;

static void on_done(caw_call *call, const caw_status *status, void *user) {
  outcome *o = user;
  size_t at = 0;
  caw_details_status s;
  caw_details_bad_request bad = {0};
  o->done = 1;
  o->code = status->code;
  snprintf(o->text, sizeof(o->text), "%.*s", CAW_STR_ARG(status->message));
  caw_arena *arena = caw_call_arena(call);
  if (caw_details_read(&s, arena, status)) return;
  assert_int_equal(s.code, status->code);
  assert_int_equal(caw_details_find(&s, &at, &caw_details_bad_request_type, &bad, arena), 0);
  snprintf(o->field, sizeof(o->field), "%.*s", CAW_STR_ARG(bad.field_violations.items[0].field));
  o->read = true;
}

static void from_a_handler(void **state) {
  (void)state;
  static const struct {
    const char *request;
    int code;
    bool details;
  } cases[] = {
      {"name", CAW_RESOURCE_EXHAUSTED, true},
      {"code", CAW_UNKNOWN, true},
      {"fine", CAW_OK, false},
  };
  duo d = {0};
  duo_init(&d);
  d.on_message = fail_richly;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    outcome o = {0};
    caw_str request = caw_str_from(cases[i].request);
    static const caw_client_events events = {.on_done = on_done};
    assert_int_equal(caw_call_start_with(NULL, d.channel, &duo_unary, &request, NULL, &events, &o),
                     0);
    duo_until(&d, &o.done);
    assert_int_equal(o.code, cases[i].code);
    assert_int_equal(o.read, cases[i].details);
    assert_string_equal(o.field, cases[i].details ? cases[i].request : "");
    assert_string_equal(o.text, cases[i].details ? "too \xc3\xa9 many" : "");
  }
  duo_finish(&d);
}

static int fail_late(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)request, (void)reply;
  d->pending = call;
  return CAW_PENDING;
}

static void from_a_pending_handler(void **state) {
  (void)state;
  duo d = {0};
  outcome o = {0};
  duo_init(&d);
  d.on_message = fail_late;
  caw_str request = CAW_STR("late");
  static const caw_client_events events = {.on_done = on_done};
  assert_int_equal(caw_call_start_with(NULL, d.channel, &duo_unary, &request, NULL, &events, &o),
                   0);
  while (!d.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
  int code = fail_richly(&d, d.pending, &request, NULL);
  assert_int_equal(caw_call_finish(d.pending, code, NULL), 0);
  assert_int_equal(caw_call_set_details(d.pending, request), CAW_ESTATE);
  duo_until(&d, &o.done);
  assert_int_equal(o.code, CAW_RESOURCE_EXHAUSTED);
  assert_string_equal(o.field, "late");
  duo_finish(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(several_details),       cmocka_unit_test(added_to_what_is_there),
      cmocka_unit_test(what_cannot_be_read),   failing_test(without_memory),
      cmocka_unit_test(from_a_handler),        cmocka_unit_test(from_a_pending_handler),
      cmocka_unit_test(local_errors_are_mute),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
