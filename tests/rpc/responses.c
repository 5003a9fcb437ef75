/* Responses as a client's core takes them: what each becomes as a status, and
 * what a request looks like on the wire; in chunks of one byte and whole. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "failing.h"
#include "pair.h"
#include "rpc/state.h"

#include <stdio.h>

#define F(name, value)                                                                             \
  { CAW_STR(name), CAW_STR(value), 0, 0 }
#define OK   F(":status", "200")
#define TYPE F("content-type", "application/grpc")
#define END                                                                                        \
  { {0}, {0}, 0, 0 }
#define MAX 8

#ifdef CAW_ZSTD
#define ZSTD ",zstd"
#else
#define ZSTD ""
#endif

static const size_t chunks[] = {1, 7, 0};
#define EACH_CHUNK(c) for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++)

enum { NO_RESET = 0xffff };

typedef struct response_case {
  const char *name;
  h2_field headers[MAX];
  const char *message; /* NULL: none */
  h2_field trailers[MAX];
  uint32_t reset; /* instead of an end */
  const char *want;
} response_case;

#define NONE                                                                                       \
  { END }
static const response_case response_cases[] = {
    {"ok", {OK, TYPE}, "x", {F("grpc-status", "0")}, NO_RESET, "OK "},
    {"trailers only",
     NONE,
     NULL,
     {OK, TYPE, F("grpc-status", "5"), F("grpc-message", "a%20b%C3%A9%zz")},
     NO_RESET,
     "NOT_FOUND a b\xc3\xa9%zz"},
    {"error after messages",
     {OK, TYPE},
     "x",
     {F("grpc-status", "16"), F("grpc-message", "who")},
     NO_RESET,
     "UNAUTHENTICATED who"},
    {"unknown code", {OK, TYPE}, NULL, {F("grpc-status", "17")}, NO_RESET, "UNKNOWN "},
    {"huge code",
     {OK, TYPE},
     NULL,
     {F("grpc-status", "99999999999999999999")},
     NO_RESET,
     "UNKNOWN "},
    {"code that is no number", {OK, TYPE}, NULL, {F("grpc-status", "-1")}, NO_RESET, "UNKNOWN "},
    {"empty code", {OK, TYPE}, NULL, {F("grpc-status", "")}, NO_RESET, "UNKNOWN "},
    {"no status",
     {OK, TYPE},
     "x",
     NONE,
     NO_RESET,
     "UNKNOWN the server ended the call without a status"},
    {"400",
     NONE,
     NULL,
     {F(":status", "400")},
     NO_RESET,
     "INTERNAL the server answered with HTTP status 400"},
    {"401",
     NONE,
     NULL,
     {F(":status", "401")},
     NO_RESET,
     "UNAUTHENTICATED the server answered with HTTP status 401"},
    {"403",
     NONE,
     NULL,
     {F(":status", "403")},
     NO_RESET,
     "PERMISSION_DENIED the server answered with HTTP status 403"},
    {"404",
     NONE,
     NULL,
     {F(":status", "404")},
     NO_RESET,
     "UNIMPLEMENTED the server answered with HTTP status 404"},
    {"429",
     NONE,
     NULL,
     {F(":status", "429")},
     NO_RESET,
     "UNAVAILABLE the server answered with HTTP status 429"},
    {"502 with a body",
     {F(":status", "502"), F("content-type", "text/html")},
     "<html>",
     NONE,
     NO_RESET,
     "UNAVAILABLE the server answered with HTTP status 502"},
    {"503",
     NONE,
     NULL,
     {F(":status", "503")},
     NO_RESET,
     "UNAVAILABLE the server answered with HTTP status 503"},
    {"504",
     NONE,
     NULL,
     {F(":status", "504")},
     NO_RESET,
     "UNAVAILABLE the server answered with HTTP status 504"},
    {"500",
     NONE,
     NULL,
     {F(":status", "500")},
     NO_RESET,
     "UNKNOWN the server answered with HTTP status 500"},
    {"503 that knows gRPC",
     NONE,
     NULL,
     {F(":status", "503"), TYPE, F("grpc-status", "8")},
     NO_RESET,
     "RESOURCE_EXHAUSTED "},
    {"html with 200",
     {OK, F("content-type", "text/html")},
     "<html>",
     NONE,
     NO_RESET,
     "UNKNOWN the answer's content-type does not begin with application/grpc"},
    {"bad base64",
     {OK, TYPE, F("x-bin", "*")},
     NULL,
     {F("grpc-status", "0")},
     NO_RESET,
     "INTERNAL a binary metadata value is not base64"},
    {"bad base64 of an error",
     {OK, TYPE, F("x-bin", "*")},
     NULL,
     {F("grpc-status", "9")},
     NO_RESET,
     "FAILED_PRECONDITION "},
    {"reset NO_ERROR",
     {OK, TYPE},
     NULL,
     NONE,
     H2_NO_ERROR,
     "INTERNAL the stream was reset: NO_ERROR"},
    {"reset REFUSED_STREAM",
     {OK, TYPE},
     NULL,
     NONE,
     H2_REFUSED_STREAM,
     "UNAVAILABLE the stream was reset: REFUSED_STREAM"},
    {"reset CANCEL", {OK, TYPE}, NULL, NONE, H2_CANCEL, "CANCELLED the stream was reset: CANCEL"},
    {"reset ENHANCE_YOUR_CALM",
     {OK, TYPE},
     NULL,
     NONE,
     H2_ENHANCE_YOUR_CALM,
     "RESOURCE_EXHAUSTED the stream was reset: ENHANCE_YOUR_CALM"},
    {"reset INADEQUATE_SECURITY",
     {OK, TYPE},
     NULL,
     NONE,
     H2_INADEQUATE_SECURITY,
     "PERMISSION_DENIED the stream was reset: INADEQUATE_SECURITY"},
    {"reset PROTOCOL_ERROR",
     {OK, TYPE},
     NULL,
     NONE,
     H2_PROTOCOL_ERROR,
     "INTERNAL the stream was reset: PROTOCOL_ERROR"},
};

static void statuses(void **state) {
  (void)state;
  EACH_CHUNK(c) for (size_t i = 0; i < sizeof(response_cases) / sizeof(response_cases[0]); i++) {
    const response_case *rc = &response_cases[i];
    char got[256], want[256];
    pair p;
    pair_init(&p, false, chunks[c]);
    pair_open(&p, UINT64_MAX, NULL);
    assert_int_equal(rpc_call_half_close(&p.call), 0);
    pair_run(&p);
    if (rc->headers[0].name.len) pair_respond(&p, rc->headers);
    if (rc->message) pair_message(&p, rc->message);
    if (rc->reset == NO_RESET) pair_end(&p, rc->trailers);
    else assert_int_equal(h2_reset(p.bare, p.stream, rc->reset), 0);
    pair_run(&p);
    assert_true(p.call.status_final);
    snprintf(got, sizeof(got), "%s: %s %.*s", rc->name, caw_code_name(p.call.status.code),
             CAW_STR_ARG(p.call.status.message));
    snprintf(want, sizeof(want), "%s: %s", rc->name, rc->want);
    assert_string_equal(got, want);
    pair_finish(&p);
  }
}

static void the_request_on_the_wire(void **state) {
  (void)state;
  static const caw_metadata_entry entries[] = {{CAW_STR("key"), CAW_STR("value")},
                                               {CAW_STR("blob-bin"), CAW_STR("\1\2\3\4")},
                                               {CAW_STR("authorization"), CAW_STR("Bearer x")}};
  static const caw_metadata metadata = {entries, 3};
  EACH_CHUNK(c) {
    pair p;
    pair_init(&p, false, chunks[c]);
    pair_open(&p, 2 * UINT64_C(1000000000), &metadata);
    assert_string_equal(p.headers,
                        ":method: POST\n:scheme: http\n:path: /a.B/C\n:authority: example.com\n"
                        "grpc-timeout: 2000000u\nte: trailers\ncontent-type: application/grpc\n"
                        "user-agent: grpc-test/1\n"
                        "grpc-accept-encoding: identity,deflate,gzip" ZSTD
                        "\nkey: value\nblob-bin: AQIDBA\n"
                        "authorization: Bearer x\n");
    assert_int_equal(p.call.state, RPC_OPEN);
    pair_finish(&p);
  }
}

/* RFC 7541 section 7.1.3: what credentials say stays out of all tables, whatever its name. */
static void secrets(void **state) {
  (void)state;
  static const caw_metadata_entry entries[] = {{CAW_STR("x-open"), CAW_STR("1")},
                                               {CAW_STR("authorization"), CAW_STR("Bearer x")}};
  static const caw_metadata_entry hidden[] = {{CAW_STR("x-api-key"), CAW_STR("2")},
                                              {CAW_STR("x-sig-bin"), CAW_STR("\3")}};
  static const caw_metadata metadata = {entries, 2}, secret = {hidden, 2};
  pair p;
  pair_init(&p, false, 0);
  p.secrets = &secret;
  pair_open(&p, UINT64_MAX, &metadata);
  assert_non_null(strstr(p.headers, "x-open: 1\nauthorization: Bearer x\nx-api-key: 2\n"
                                    "x-sig-bin: Aw\n"));
  assert_string_equal(p.secret, "authorization;x-api-key;x-sig-bin;");
  pair_finish(&p);
}

/* A message takes the last byte of the window and is not taken yet: a peer on nghttp2
 * says that it was the last only when it could send more. One byte, once. */
static void the_end_needs_room(void **state) {
  (void)state;
  enum { WINDOW = 262144 };
  static const h2_field headers[] = {OK, TYPE, END};
  static uint8_t message[WINDOW] = {0, 0, (WINDOW - 5) >> 16, ((WINDOW - 5) >> 8) & 255,
                                    (WINDOW - 5) & 255};
  pair p;
  pair_init(&p, false, 0);
  p.limit = WINDOW;
  pair_open(&p, UINT64_MAX, NULL);
  pair_respond(&p, headers);
  pair_data(&p, message, sizeof(message));
  assert_int_equal(p.call.in.len, WINDOW);
  pair_data(&p, "xyz", 3);
  assert_int_equal(p.call.in.len, WINDOW);
  for (int i = 0; i < 3; i++) {
    rpc_call_consumed(&p.call); /* as its owner does in each turn */
    pair_run(&p);
    assert_int_equal(p.call.in.len, WINDOW + 1);
  }
  pair_finish(&p);
}

static void metadata_of_the_response(void **state) {
  (void)state;
  static const h2_field headers[] = {OK, TYPE, F("h", "1"), F("h", "2"), END};
  static const h2_field trailers[] = {F("grpc-status", "0"), F("t-bin", "/w"), END};
  EACH_CHUNK(c) {
    pair p;
    pair_init(&p, false, chunks[c]);
    pair_open(&p, UINT64_MAX, NULL);
    rpc_call_half_close(&p.call);
    pair_run(&p);
    pair_respond(&p, headers);
    assert_true(p.news & RPC_NEWS_HEADERS);
    assert_int_equal(p.call.headers.list.len, 2);
    pair_message(&p, "hello");
    pair_end(&p, trailers);
    assert_string_equal(pair_next(&p), "hello");
    assert_string_equal(pair_next(&p), "(end)");
    assert_int_equal(p.call.trailers.list.len, 1);
    assert_true(
        caw_str_eq(caw_metadata_get(&p.call.trailers.list, "t-bin"), caw_str_of("\xff", 1)));
    assert_int_equal(p.call.state, RPC_DONE);
    pair_finish(&p);
  }
}

/* The last words of a session that breaks, and a call that goes on elsewhere. */
static void goaway_and_again(void **state) {
  (void)state;
  pair p;
  pair_init(&p, false, 0);
  pair_open(&p, UINT64_MAX, NULL);
  assert_int_equal(h2_goaway(p.bare, 0, H2_NO_ERROR, caw_str_from("bye")), 0);
  pair_run(&p);
  assert_true(p.goaway);
  assert_int_equal(p.call.state, RPC_DONE);
  assert_int_equal(p.call.close_code, H2_REFUSED_STREAM);
  rpc_call_rewind(&p.call);
  assert_int_equal(p.call.state, RPC_IDLE);
  assert_false(p.call.status_final);
  assert_null(p.call.stream);
  pair_finish(&p);
}

static void sending_in_each_state(void **state) {
  (void)state;
  caw_str text = CAW_STR("x");
  caw_payload *x;
  assert_int_equal(caw_payload_new(&x, &caw_type_bytes, &text), 0);
  pair p;
  pair_init(&p, false, 0);
  rpc_call idle;
  rpc_call_init(&idle, false, p.arena, 1);
  assert_int_equal(rpc_call_send(&idle, x, NULL), CAW_ECLOSED);
  assert_int_equal(rpc_call_half_close(&idle), CAW_ECLOSED);
  rpc_call_finish(&idle);
  pair_open(&p, UINT64_MAX, NULL);
  assert_int_equal(rpc_call_send(&p.call, x, NULL), 0);
  assert_int_equal(rpc_call_half_close(&p.call), 0);
  assert_int_equal(p.call.state, RPC_HALF_CLOSED_LOCAL);
  assert_int_equal(rpc_call_send(&p.call, x, NULL), CAW_ESTATE);
  assert_int_equal(rpc_call_half_close(&p.call), CAW_ESTATE);
  rpc_call_reset(&p.call, H2_CANCEL);
  assert_int_equal(p.call.state, RPC_CLOSING);
  rpc_call_reset(&p.call, H2_CANCEL);
  pair_run(&p);
  assert_int_equal(p.call.state, RPC_DONE);
  assert_int_equal(p.code, H2_CANCEL);
  pair_finish(&p);
  assert_int_equal(atomic_load(&x->refs), 1);
  caw_payload_unref(x);
}

/* Interim responses (RFC 9110 15.2) leave nothing behind: no metadata, no
 * status, and no memory, however many there are. */
static void interim_responses(void **state) {
  (void)state;
  pair p;
  assert_int_equal(failing_begin(NULL), 0);
  pair_init(&p, false, 0);
  pair_open(&p, UINT64_MAX, NULL);
  long live = failing.live;
  static const h2_field interim[] = {
      F(":status", "103"),   F("link", "</style.css>; rel=preload; as=style"),
      F("grpc-status", "5"), F("grpc-message", "not the last word"),
      F("broken-bin", "!"),  END};
  for (int i = 0; i < 10000; i++) {
    for (const h2_field *f = interim; f->name.len; f++) {
      h2_field field = *f;
      field.token = (uint8_t)h2_token_of(f->name);
      call_field(&p.call, &field);
    }
    call_headers(&p.call, H2_HEADERS_INFORMATIONAL);
  }
  assert_int_equal(failing.live, live);
  const h2_field headers[] = {OK, TYPE, F("key", "value"), END};
  const h2_field trailers[] = {F("grpc-status", "0"), END};
  pair_respond(&p, headers);
  pair_end(&p, trailers);
  pair_run(&p);
  assert_int_equal(p.call.status.code, CAW_OK);
  assert_int_equal(p.call.status.message.len, 0);
  assert_int_equal(p.call.headers.list.len, 1);
  pair_finish(&p);
  assert_int_equal(failing_end(NULL), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(statuses),
      cmocka_unit_test(the_request_on_the_wire),
      cmocka_unit_test(secrets),
      cmocka_unit_test(the_end_needs_room),
      cmocka_unit_test(metadata_of_the_response),
      cmocka_unit_test(goaway_and_again),
      cmocka_unit_test(sending_in_each_state),
      cmocka_unit_test(interim_responses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
