/* Requests as a server's core takes them: each field, each refusal, what is
 * answered, in chunks of one byte and whole. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "pair.h"

#include <stdio.h>

#define F(name, value)                                                                             \
  { CAW_STR(name), CAW_STR(value), 0, 0 }
#define METHOD    F(":method", "POST")
#define SCHEME    F(":scheme", "http")
#define PATH      F(":path", "/a.B/C")
#define AUTHORITY F(":authority", "example.com")
#define TE        F("te", "trailers")
#define TYPE      F("content-type", "application/grpc")
#define MAX       12

static const size_t chunks[] = {1, 7, 0};
#define EACH_CHUNK(c) for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++)

/* ---- Header sets ---- */

typedef struct request_case {
  const char *name;
  h2_field fields[MAX];
  unsigned http; /* of the answer */
  int code;
  const char *why;
} request_case;

static const request_case request_cases[] = {
    {"plain", {METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE}, 200, 0, ""},
    {"subtype",
     {METHOD, SCHEME, PATH, AUTHORITY, TE, F("content-type", "application/grpc+proto")},
     200,
     0,
     ""},
    {"parameter",
     {METHOD, SCHEME, PATH, AUTHORITY, TE, F("content-type", "application/grpc;v=1")},
     200,
     0,
     ""},
    {"no te", {METHOD, SCHEME, PATH, AUTHORITY, TYPE}, 200, 0, ""},
    {"path without package", {METHOD, SCHEME, F(":path", "/B/C"), AUTHORITY, TE, TYPE}, 200, 0, ""},
    {"identity",
     {METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, F("grpc-encoding", "identity")},
     200,
     0,
     ""},
    {"GET",
     {F(":method", "GET"), SCHEME, PATH, AUTHORITY, TE, TYPE},
     405,
     CAW_INTERNAL,
     "gRPC requests use the method POST"},
    {"no content-type",
     {METHOD, SCHEME, PATH, AUTHORITY, TE},
     415,
     CAW_INTERNAL,
     "the content-type does not begin with application/grpc"},
    {"json",
     {METHOD, SCHEME, PATH, AUTHORITY, TE, F("content-type", "application/json")},
     415,
     CAW_INTERNAL,
     "the content-type does not begin with application/grpc"},
    {"grpc-web",
     {METHOD, SCHEME, PATH, AUTHORITY, TE, F("content-type", "application/grpc-web")},
     415,
     CAW_INTERNAL,
     "the content-type does not begin with application/grpc"},
    {"snappy",
     {METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, F("grpc-encoding", "snappy")},
     200,
     CAW_UNIMPLEMENTED,
     "the request's grpc-encoding is not one of grpc-accept-encoding"},
    {"timeout without unit",
     {METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, F("grpc-timeout", "10")},
     200,
     CAW_INTERNAL,
     "malformed grpc-timeout: 1 to 8 digits and one of H M S m u n"},
    {"timeout of nine digits",
     {METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, F("grpc-timeout", "123456789n")},
     200,
     CAW_INTERNAL,
     "malformed grpc-timeout: 1 to 8 digits and one of H M S m u n"},
    {"empty timeout",
     {METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, F("grpc-timeout", "")},
     200,
     CAW_INTERNAL,
     "malformed grpc-timeout: 1 to 8 digits and one of H M S m u n"},
    {"bad base64",
     {METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, F("x-bin", "a*b")},
     200,
     CAW_INTERNAL,
     "a binary metadata value is not base64"},
    {"path of one part",
     {METHOD, SCHEME, F(":path", "/aB"), AUTHORITY, TE, TYPE},
     200,
     CAW_UNIMPLEMENTED,
     "malformed method name: it must be /Service/Method"},
    {"path of three parts",
     {METHOD, SCHEME, F(":path", "/a/b/c"), AUTHORITY, TE, TYPE},
     200,
     CAW_UNIMPLEMENTED,
     "malformed method name: it must be /Service/Method"},
    {"path without method",
     {METHOD, SCHEME, F(":path", "/a.B/"), AUTHORITY, TE, TYPE},
     200,
     CAW_UNIMPLEMENTED,
     "malformed method name: it must be /Service/Method"},
    {"path without service",
     {METHOD, SCHEME, F(":path", "//b"), AUTHORITY, TE, TYPE},
     200,
     CAW_UNIMPLEMENTED,
     "malformed method name: it must be /Service/Method"},
};

static void header_sets(void **state) {
  (void)state;
  EACH_CHUNK(c) for (size_t i = 0; i < sizeof(request_cases) / sizeof(request_cases[0]); i++) {
    const request_case *rc = &request_cases[i];
    pair p;
    caw_str why;
    unsigned http;
    char got[256], want[256];
    pair_init(&p, true, chunks[c]);
    pair_request(&p, rc->fields);
    assert_true(p.opened);
    assert_true(p.news & RPC_NEWS_HEADERS);
    int code = rpc_call_check_request(&p.call, &why, &http);
    snprintf(got, sizeof(got), "%s: %u %s %.*s", rc->name, http, caw_code_name(code),
             CAW_STR_ARG(why));
    snprintf(want, sizeof(want), "%s: %u %s %s", rc->name, rc->http, caw_code_name(rc->code),
             rc->why);
    assert_string_equal(got, want);
    pair_finish(&p);
  }
}

static void values_are_kept(void **state) {
  (void)state;
  static const h2_field fields[] = {METHOD,
                                    SCHEME,
                                    PATH,
                                    AUTHORITY,
                                    F("grpc-timeout", "1500m"),
                                    TE,
                                    F("content-type", "application/grpc+proto"),
                                    F("user-agent", "me/1"),
                                    F("grpc-unknown", "x"),
                                    F("key", "one"),
                                    F("blob-bin", "AAE=,/w"),
                                    F("key", "two"),
                                    F("bad", "tab\there"),
                                    {{0}, {0}, 0, 0}};
  pair p;
  caw_str why, value;
  unsigned http;
  pair_init(&p, true, 1);
  pair_request(&p, fields);
  assert_int_equal(rpc_call_check_request(&p.call, &why, &http), 0);
  assert_int_equal(p.call.timeout, 1500 * UINT64_C(1000000));
  assert_true(caw_str_is(p.call.path, "/a.B/C"));
  assert_true(caw_str_is(p.call.authority, "example.com"));
  assert_true(caw_str_is(p.call.subtype, "proto"));
  const caw_metadata *m = &p.call.headers.list;
  assert_int_equal(m->len, 5); /* user-agent, key, blob-bin twice, key */
  assert_true(caw_str_is(caw_metadata_get(m, "user-agent"), "me/1"));
  size_t at = 0;
  assert_true(caw_metadata_find(m, "key", &at, &value) && caw_str_is(value, "one"));
  assert_true(caw_metadata_find(m, "key", &at, &value) && caw_str_is(value, "two"));
  assert_false(caw_metadata_find(m, "key", &at, &value));
  at = 0;
  assert_true(caw_metadata_find(m, "blob-bin", &at, &value));
  assert_true(caw_str_eq(value, caw_str_of("\0\1", 2)));
  assert_true(caw_metadata_find(m, "blob-bin", &at, &value));
  assert_true(caw_str_eq(value, caw_str_of("\xff", 1)));
  assert_null(caw_metadata_get(m, "bad").data);
  assert_null(caw_metadata_get(m, "grpc-unknown").data);
  pair_finish(&p);
}

/* ---- Answers ---- */

static const h2_field plain[] = {METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE, {{0}, {0}, 0, 0}};

static const caw_status ok, not_found = {CAW_NOT_FOUND, CAW_STR("no \xc3\xa9 %\n"), {NULL, 0}};

static void open_plain(pair *p, size_t chunk) {
  pair_init(p, true, chunk);
  pair_request(p, plain);
}

static void trailers_only(void **state) {
  (void)state;
  EACH_CHUNK(c) {
    pair p;
    open_plain(&p, chunks[c]);
    assert_int_equal(rpc_call_end(&p.call, &not_found, NULL, NULL), 0);
    pair_run(&p);
    assert_string_equal(p.headers, ":status: 200\ncontent-type: application/grpc\ngrpc-status: 5\n"
                                   "grpc-message: no %C3%A9 %25%0A\n");
    assert_true(p.ended);
    assert_int_equal(rpc_call_end(&p.call, &ok, NULL, NULL),
                     p.call.stream ? CAW_ESTATE : CAW_ECLOSED);
    pair_finish(&p);
  }
}

/* Details go with an error, before the handler's own trailers, and never with OK. */
static void details_of_a_status(void **state) {
  (void)state;
  for (int code = 0; code < 2; code++) {
    pair p;
    open_plain(&p, 0);
    const caw_status status = {code ? CAW_NOT_FOUND : CAW_OK, {NULL, 0}, CAW_STR("\x08\x05")};
    assert_int_equal(rpc_call_end(&p.call, &status, NULL, NULL), 0);
    pair_run(&p);
    assert_string_equal(p.headers,
                        code ? ":status: 200\ncontent-type: application/grpc\ngrpc-status: 5\n"
                               "grpc-status-details-bin: CAU\n"
                             : ":status: 200\ncontent-type: application/grpc\ngrpc-status: 0\n");
    pair_finish(&p);
  }
}

static void refusal(void **state) {
  (void)state;
  pair p;
  open_plain(&p, 0);
  const caw_status no = {CAW_INTERNAL, CAW_STR("no"), {NULL, 0}};
  assert_int_equal(rpc_call_refuse(&p.call, 415, &no, NULL), 0);
  pair_run(&p);
  assert_string_equal(p.headers, ":status: 415\ncontent-type: application/grpc\ngrpc-status: 13\n"
                                 "grpc-message: no\n");
  pair_finish(&p);
}

static caw_payload *payload(const char *text) {
  caw_str s = caw_str_from(text);
  caw_payload *p;
  assert_int_equal(caw_payload_new(&p, &caw_type_bytes, &s), 0);
  return p;
}

static void full_answer(void **state) {
  (void)state;
  EACH_CHUNK(c) {
    pair p;
    rpc_metadata headers = {{0}, 0}, trailers = {{0}, 0};
    open_plain(&p, chunks[c]);
    rpc_metadata_add(&headers, p.arena, caw_str_from("h"), caw_str_from("1"));
    rpc_metadata_add(&trailers, p.arena, caw_str_from("t-bin"), caw_str_of("\0\xff", 2));
    caw_payload *one = payload("one");
    assert_int_equal(rpc_call_send(&p.call, one, &headers), 0);
    assert_int_equal(rpc_call_send(&p.call, one, &headers), 0);
    assert_int_equal(rpc_call_end(&p.call, &ok, &headers, &trailers), 0);
    assert_int_equal(rpc_call_send(&p.call, one, &headers), CAW_ESTATE);
    pair_run(&p);
    assert_string_equal(p.headers, ":status: 200\ncontent-type: application/grpc\nh: 1\n");
    assert_string_equal(p.trailers, "grpc-status: 0\nt-bin: AP8\n");
    assert_int_equal(p.body_len, 16);
    assert_memory_equal(p.body, "\0\0\0\0\3one\0\0\0\0\3one", 16);
    assert_int_equal(p.sent, 16);
    /* The client had not ended: the server resets with NO_ERROR. */
    assert_true(p.news & RPC_NEWS_CLOSED);
    assert_int_equal(p.code, H2_NO_ERROR);
    assert_int_equal(atomic_load(&one->refs), 1);
    caw_payload_unref(one);
    pair_finish(&p);
  }
}

/* ---- Messages ---- */

static void messages(void **state) {
  (void)state;
  EACH_CHUNK(c) {
    pair p;
    open_plain(&p, chunks[c]);
    assert_string_equal(pair_next(&p), "(nothing)");
    pair_message(&p, "first");
    pair_message(&p, "");
    pair_data(&p, "\0\0\0", 3);
    assert_string_equal(pair_next(&p), "first");
    assert_string_equal(pair_next(&p), "");
    assert_string_equal(pair_next(&p), "(nothing)");
    pair_data(&p, "\0\4last", 6);
    pair_end(&p, NULL);
    assert_string_equal(pair_next(&p), "last");
    assert_string_equal(pair_next(&p), "(end)");
    assert_int_equal(p.call.state, RPC_HALF_CLOSED_REMOTE);
    pair_finish(&p);
  }
}

static void broken_messages(void **state) {
  (void)state;
  static const struct {
    const char *data;
    size_t len;
    bool end;
    const char *want;
  } cases[] = {
      {"\1\0\0\0\1x", 6, false,
       "(error INTERNAL a message is marked compressed, but no encoding that is known was "
       "declared)"},
      {"\2", 1, false, "(error INTERNAL a message begins with an unknown flag)"},
      {"\0\0\0\3\350", 5, false, "(nothing)"}, /* 1,000: the limit itself */
      {"\0\0\0\3\351", 5, false,
       "(error RESOURCE_EXHAUSTED a message is larger than the receiver's limit)"},
      {"\0\377\377\377\377", 5, false,
       "(error RESOURCE_EXHAUSTED a message is larger than the receiver's limit)"},
      {"\0\0\0\0\2x", 6, true, "(error INTERNAL the stream ended inside a message)"},
      {"\0\0", 2, true, "(error INTERNAL the stream ended inside a message)"},
  };
  EACH_CHUNK(c) for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    pair p;
    open_plain(&p, chunks[c]);
    pair_data(&p, cases[i].data, cases[i].len);
    if (cases[i].end) pair_end(&p, NULL);
    assert_string_equal(pair_next(&p), cases[i].want);
    pair_finish(&p);
  }
}

/* ---- Flow control and ends ---- */

static void a_paused_call_holds_its_window(void **state) {
  (void)state;
  static uint8_t big[400 * 1024];
  pair p;
  pair_init(&p, true, 0);
  p.limit = sizeof(big);
  pair_request(&p, plain);
  rpc_call_pause(&p.call, true);
  const uint32_t len = sizeof(big) - 5;
  for (int i = 0; i < 4; i++) big[1 + i] = (uint8_t)(len >> (24 - 8 * i));
  pair_data(&p, big, sizeof(big));
  pair_end(&p, NULL);
  assert_int_equal(p.call.in.len, 262144); /* the stream's window, no more */
  assert_string_equal(pair_next(&p), "(nothing)");
  rpc_call_pause(&p.call, false);
  for (int i = 0; i < 4; i++) { /* each turn gives back what came */
    rpc_call_consumed(&p.call);
    pair_run(&p);
  }
  rpc_message m;
  assert_int_equal(rpc_call_peek(&p.call, &m), RPC_NEXT_MESSAGE);
  assert_int_equal(m.len, sizeof(big) - 5);
  pair_finish(&p);
}

static void a_reset_is_the_end(void **state) {
  (void)state;
  pair p;
  open_plain(&p, 1);
  assert_int_equal(h2_reset(p.bare, p.stream, H2_CANCEL), 0);
  pair_run(&p);
  assert_true(p.news & RPC_NEWS_CLOSED);
  assert_int_equal(p.call.state, RPC_DONE);
  assert_int_equal(p.call.close_code, H2_CANCEL);
  assert_true(p.call.close_remote);
  caw_payload *late = payload("late");
  assert_int_equal(rpc_call_send(&p.call, late, NULL), CAW_ECLOSED);
  caw_payload_unref(late);
  pair_finish(&p);
}

static void the_end_of_the_session_ends_the_call(void **state) {
  (void)state;
  pair p;
  open_plain(&p, 0);
  rpc_session_finish(&p.tested);
  assert_int_equal(p.call.state, RPC_DONE);
  pair_finish(&p);
}

static void too_many_fields(void **state) {
  (void)state;
  h2_field fields[160] = {METHOD, SCHEME, PATH, AUTHORITY, TE, TYPE};
  for (int i = 6; i < 150; i++) fields[i] = (h2_field)F("many", "x");
  pair p;
  caw_str why;
  unsigned http;
  pair_init(&p, true, 1);
  pair_request(&p, fields);
  assert_int_equal(rpc_call_check_request(&p.call, &why, &http), CAW_RESOURCE_EXHAUSTED);
  assert_int_equal(http, 200);
  pair_finish(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(header_sets),
      cmocka_unit_test(values_are_kept),
      cmocka_unit_test(trailers_only),
      cmocka_unit_test(details_of_a_status),
      cmocka_unit_test(refusal),
      cmocka_unit_test(full_answer),
      cmocka_unit_test(messages),
      cmocka_unit_test(broken_messages),
      cmocka_unit_test(a_paused_call_holds_its_window),
      cmocka_unit_test(a_reset_is_the_end),
      cmocka_unit_test(the_end_of_the_session_ends_the_call),
      cmocka_unit_test(too_many_fields),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
