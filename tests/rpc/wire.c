/*
 * The pure functions of rpc/wire.h: tables of cases with both operands, and
 * round trips over random bytes.
 */
#include "rpc/wire.h"

#include <caw/status.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void assert_str(caw_str got, const char *data, size_t len) {
  assert_int_equal(got.len, len);
  if (len) assert_memory_equal(got.data, data, len);
}

/* ---- grpc-timeout ---- */

#define SECOND UINT64_C(1000000000)
#define HOUR   (3600 * SECOND)

static void test_timeout_format(void **state) {
  (void)state;
  static const struct {
    uint64_t ns;
    const char *text;
  } cases[] = {
      {0, "0n"},
      {1, "1n"},
      {99999999, "99999999n"},
      {100000000, "100000u"},
      {100000001, "100001u"}, /* rounded up */
      {99999999 * UINT64_C(1000), "99999999u"},
      {99999999 * UINT64_C(1000) + 1, "100000m"}, /* the rounding overflows the unit */
      {99999999 * UINT64_C(1000000), "99999999m"},
      {99999999 * UINT64_C(1000000) + 1, "100000S"},
      {99999999 * SECOND, "99999999S"},
      {99999999 * SECOND + 1, "1666667M"},
      {99999999 * (60 * SECOND), "99999999M"},
      {99999999 * (60 * SECOND) + 1, "1666667H"},
      {UINT64_MAX, "5124096H"},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    char text[RPC_TIMEOUT_ROOM];
    size_t len = rpc_timeout_format(text, cases[i].ns);
    assert_string_equal(text, cases[i].text);
    assert_int_equal(len, strlen(text));
  }
}

static void test_timeout_parse(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int rc;
    uint64_t ns;
  } cases[] = {
      {"0n", 0, 0},
      {"1n", 0, 1},
      {"00000001u", 0, 1000},
      {"5m", 0, 5000000},
      {"99999999S", 0, 99999999 * SECOND},
      {"2M", 0, 120 * SECOND},
      {"1H", 0, HOUR},
      {"5124095H", 0, 5124095 * HOUR},
      {"5124096H", 0, UINT64_MAX}, /* saturated */
      {"99999999H", 0, UINT64_MAX},
      {"", CAW_EMALFORMED, 7},
      {"n", CAW_EMALFORMED, 7},
      {"1", CAW_EMALFORMED, 7},
      {"100000000n", CAW_EMALFORMED, 7},
      {"1s", CAW_EMALFORMED, 7},
      {"1h", CAW_EMALFORMED, 7},
      {"1N", CAW_EMALFORMED, 7},
      {"-1n", CAW_EMALFORMED, 7},
      {"+1n", CAW_EMALFORMED, 7},
      {" 1n", CAW_EMALFORMED, 7},
      {"1n ", CAW_EMALFORMED, 7},
      {"1.5S", CAW_EMALFORMED, 7},
      {"1nn", CAW_EMALFORMED, 7},
      {"1:n", CAW_EMALFORMED, 7},
      {"1/n", CAW_EMALFORMED, 7},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    uint64_t ns = 7;
    int rc = rpc_timeout_parse(&ns, caw_str_from(cases[i].text));
    if (rc != cases[i].rc || ns != cases[i].ns) print_error("timeout \"%s\"\n", cases[i].text);
    assert_int_equal(rc, cases[i].rc);
    assert_int_equal(ns, cases[i].ns);
  }
  uint64_t ns = 7;
  assert_int_equal(rpc_timeout_parse(&ns, caw_str_of("1\0n", 3)), CAW_EMALFORMED);
}

static uint64_t random_u64(void) {
  uint64_t r = 0;
  for (int i = 0; i < 8; i++) r = r << 8 | (uint64_t)(rand() & 255);
  return r;
}

/* Never shorter than asked for; longer by less than one part in 100,000, the
 * coarsest step that 8 digits force (at a change of units by 1,000). */
static void test_timeout_round_trip(void **state) {
  (void)state;
  srand(1);
  for (int i = 0; i < 100000; i++) {
    uint64_t ns = random_u64() >> (rand() % 64), back = 0;
    char text[RPC_TIMEOUT_ROOM];
    size_t len = rpc_timeout_format(text, ns);
    assert_int_equal(rpc_timeout_parse(&back, caw_str_of(text, len)), 0);
    assert_true(back >= ns);
    assert_true(back - ns <= ns / 100000 || back == UINT64_MAX);
  }
}

/* ---- percent-encoding ---- */

static void test_percent_encode(void **state) {
  (void)state;
  static const struct {
    caw_str text;
    const char *coded;
  } cases[] = {
      {CAW_STR(""), ""},
      {CAW_STR("plain ~!"), "plain ~!"},
      {CAW_STR("100%"), "100%25"},
      {CAW_STR("%41"), "%2541"},
      {CAW_STR("\t\r\n"), "%09%0D%0A"},
      {CAW_STR("\x1f \x7e\x7f\x80\xff"), "%1F ~%7F%80%FF"},
      {CAW_STR("a\0b"), "a%00b"},
      {CAW_STR("\xc3\xa9\xf0\x9f\x98\x80."), "%C3%A9%F0%9F%98%80."},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    buf out = {0};
    assert_int_equal(rpc_percent_encode(&out, cases[i].text), 0);
    assert_str(caw_str_of((char *)out.data, out.len), cases[i].coded, strlen(cases[i].coded));
    buf_finish(&out);
  }
}

#define BAD "\xef\xbf\xbd"

static void test_percent_decode(void **state) {
  (void)state;
  static const struct {
    caw_str coded, text;
  } cases[] = {
      {CAW_STR(""), CAW_STR("")},
      {CAW_STR("plain"), CAW_STR("plain")},
      {CAW_STR("%41%4a%4A"), CAW_STR("AJJ")},
      {CAW_STR("%"), CAW_STR("%")},
      {CAW_STR("%4"), CAW_STR("%4")},
      {CAW_STR("a%4g%zz%"), CAW_STR("a%4g%zz%")},
      {CAW_STR("%%41"), CAW_STR("%A")},
      {CAW_STR("%2541"), CAW_STR("%41")}, /* decoded once */
      {CAW_STR("%00"), CAW_STR("\0")},
      {CAW_STR("%C3%A9"), CAW_STR("\xc3\xa9")},
      {CAW_STR("\xc3\xa9"), CAW_STR("\xc3\xa9")}, /* raw UTF-8 is taken too */
      {CAW_STR("%F4%8F%BF%BF"), CAW_STR("\xf4\x8f\xbf\xbf")},
      /* not UTF-8 */
      {CAW_STR("%FF"), CAW_STR(BAD)},
      {CAW_STR("a%80b"), CAW_STR("a" BAD "b")},
      {CAW_STR("%C0%80"), CAW_STR(BAD BAD)},        /* overlong */
      {CAW_STR("%C1%BF"), CAW_STR(BAD BAD)},        /* overlong */
      {CAW_STR("%E0%9F%BF"), CAW_STR(BAD BAD BAD)}, /* overlong */
      {CAW_STR("%ED%A0%80"), CAW_STR(BAD BAD BAD)}, /* surrogate */
      {CAW_STR("%F0%8F%BF%BF"), CAW_STR(BAD BAD BAD BAD)},
      {CAW_STR("%F4%90%80%80"), CAW_STR(BAD BAD BAD BAD)}, /* beyond U+10FFFF */
      {CAW_STR("%F5%80%80%80"), CAW_STR(BAD BAD BAD BAD)},
      {CAW_STR("%C3"), CAW_STR(BAD)},
      {CAW_STR("%C3("), CAW_STR(BAD "(")},
      {CAW_STR("%E2%82"), CAW_STR(BAD)}, /* one for a truncated sequence */
      {CAW_STR("%E2%82x"), CAW_STR(BAD "x")},
      {CAW_STR("%F0%9F%98"), CAW_STR(BAD)},
      {CAW_STR("%F0%9F%C3%A9"), CAW_STR(BAD "\xc3\xa9")},
  };
  caw_arena *arena = caw_arena_new(0);
  for (size_t i = 0; i < COUNT(cases); i++) {
    caw_str got = rpc_percent_decode(arena, cases[i].coded);
    assert_non_null(got.data);
    if (!caw_str_eq(got, cases[i].text)) print_error("case \"%s\"\n", cases[i].coded.data);
    assert_str(got, cases[i].text.data, cases[i].text.len);
  }
  caw_arena_free(arena);
}

static void random_bytes(uint8_t *p, size_t n) {
  for (size_t i = 0; i < n; i++) p[i] = (uint8_t)rand();
}

/* Text that is UTF-8 comes back as it was; whatever else comes back is UTF-8
 * that a second round leaves alone. */
static void test_percent_round_trip(void **state) {
  (void)state;
  srand(2);
  for (int i = 0; i < 20000; i++) {
    caw_arena *arena = caw_arena_new(0);
    uint8_t bytes[40];
    size_t n = (size_t)rand() % sizeof(bytes);
    bool ascii = rand() & 1;
    random_bytes(bytes, n);
    if (ascii)
      for (size_t k = 0; k < n; k++) bytes[k] &= 127;
    buf coded = {0}, again = {0};
    assert_int_equal(rpc_percent_encode(&coded, caw_str_of((char *)bytes, n)), 0);
    assert_true(rpc_ascii_value_valid(caw_str_of((char *)coded.data, coded.len)));
    caw_str once = rpc_percent_decode(arena, caw_str_of((char *)coded.data, coded.len));
    if (ascii) assert_str(once, (char *)bytes, n);
    assert_int_equal(rpc_percent_encode(&again, once), 0);
    caw_str twice = rpc_percent_decode(arena, caw_str_of((char *)again.data, again.len));
    assert_str(twice, once.data, once.len);
    buf_finish(&coded);
    buf_finish(&again);
    caw_arena_free(arena);
  }
}

/* ---- base64 ---- */

static void test_base64(void **state) {
  (void)state;
  static const struct {
    caw_str bytes;
    const char *bare, *padded;
  } cases[] = {
      {CAW_STR(""), "", ""},
      {CAW_STR("f"), "Zg", "Zg=="},
      {CAW_STR("fo"), "Zm8", "Zm8="},
      {CAW_STR("foo"), "Zm9v", "Zm9v"},
      {CAW_STR("foob"), "Zm9vYg", "Zm9vYg=="},
      {CAW_STR("fooba"), "Zm9vYmE", "Zm9vYmE="},
      {CAW_STR("foobar"), "Zm9vYmFy", "Zm9vYmFy"},
      {CAW_STR("\0"), "AA", "AA=="},
      {CAW_STR("\xff\xff\xff"), "////", "////"},
      {CAW_STR("\xfb\xef\xbe"), "++++", "++++"},
      {CAW_STR("\xff"), "/w", "/w=="},
  };
  caw_arena *arena = caw_arena_new(0);
  for (size_t i = 0; i < COUNT(cases); i++) {
    buf out = {0};
    caw_str back;
    assert_int_equal(rpc_base64_encode(&out, cases[i].bytes), 0);
    assert_str(caw_str_of((char *)out.data, out.len), cases[i].bare, strlen(cases[i].bare));
    assert_int_equal(rpc_base64_decode(arena, caw_str_from(cases[i].bare), &back), 0);
    assert_str(back, cases[i].bytes.data, cases[i].bytes.len);
    assert_int_equal(rpc_base64_decode(arena, caw_str_from(cases[i].padded), &back), 0);
    assert_str(back, cases[i].bytes.data, cases[i].bytes.len);
    buf_finish(&out);
  }
  caw_arena_free(arena);
}

static void test_base64_malformed(void **state) {
  (void)state;
  static const char *const cases[] = {
      "A",     "AAAAA", "=",      "==",       "====",  "A=",   "A==",   "A===",     "AA=",  "AA===",
      "AAA==", "AAAA=", "AAAA==", "AAAA====", "=AAA",  "A=AA", "AA=A",  "AA==AAAA", "AB",   "AAB",
      "/x",    "AA-A",  "AA_A",   "AA A",     "AAA\n", " AAA", "AA,AA", "AA\x80.",  "AA.=",
  };
  caw_arena *arena = caw_arena_new(0);
  for (size_t i = 0; i < COUNT(cases); i++) {
    caw_str out = CAW_STR("untouched");
    int rc = rpc_base64_decode(arena, caw_str_from(cases[i]), &out);
    if (rc != CAW_EMALFORMED) print_error("base64 \"%s\"\n", cases[i]);
    assert_int_equal(rc, CAW_EMALFORMED);
    assert_true(caw_str_is(out, "untouched"));
  }
  caw_arena_free(arena);
}

/* ---- fields ---- */

static void test_keys(void **state) {
  (void)state;
  static const struct {
    caw_str key;
    bool valid, reserved, binary;
  } cases[] = {
      {CAW_STR(""), false, false, false},
      {CAW_STR("a"), true, false, false},
      {CAW_STR("x-y_z.0-9"), true, false, false},
      {CAW_STR("X"), false, false, false},
      {CAW_STR("a b"), false, false, false},
      {CAW_STR("a:b"), false, false, false},
      {CAW_STR("a\0b"), false, false, false},
      {CAW_STR("\xc3\xa9"), false, false, false},
      {CAW_STR("a/"), false, false, false},
      {CAW_STR("`"), false, false, false},
      {CAW_STR("{"), false, false, false},
      {CAW_STR(":path"), false, true, false},
      {CAW_STR(":"), false, true, false},
      {CAW_STR("grpc-"), true, true, false},
      {CAW_STR("grpc-status"), true, true, false},
      {CAW_STR("grpc-trace-bin"), true, true, true},
      {CAW_STR("grpc"), true, false, false},
      {CAW_STR("grpcx"), true, false, false},
      {CAW_STR("content-type"), true, true, false},
      {CAW_STR("content-types"), true, false, false},
      {CAW_STR("content-length"), true, true, false},
      {CAW_STR("te"), true, true, false},
      {CAW_STR("user-agent"), true, true, false},
      {CAW_STR("host"), true, true, false},
      {CAW_STR("connection"), true, true, false},
      {CAW_STR("keep-alive"), true, true, false},
      {CAW_STR("proxy-connection"), true, true, false},
      {CAW_STR("transfer-encoding"), true, true, false},
      {CAW_STR("upgrade"), true, true, false},
      {CAW_STR("authorization"), true, false, false},
      {CAW_STR("-bin"), true, false, true},
      {CAW_STR("bin"), true, false, false},
      {CAW_STR("x-bin"), true, false, true},
      {CAW_STR("x-bin-"), true, false, false},
      {CAW_STR("x-BIN"), false, false, false},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    caw_str key = cases[i].key;
    bool same = rpc_key_valid(key) == cases[i].valid &&
                rpc_key_reserved(key) == cases[i].reserved &&
                rpc_key_binary(key) == cases[i].binary;
    if (!same) print_error("key \"%s\"\n", key.data);
    assert_int_equal(rpc_key_valid(key), cases[i].valid);
    assert_int_equal(rpc_key_reserved(key), cases[i].reserved);
    assert_int_equal(rpc_key_binary(key), cases[i].binary);
  }
}

static void test_ascii_values(void **state) {
  (void)state;
  assert_true(rpc_ascii_value_valid(caw_str_of(NULL, 0)));
  for (int c = 0; c < 256; c++) {
    char text[3] = {'a', (char)c, 'b'};
    assert_int_equal(rpc_ascii_value_valid(caw_str_of(text, 3)), c >= 0x20 && c <= 0x7e);
  }
  assert_true(rpc_ascii_value_valid(caw_str_from(" x ")));
}

static void test_content_type(void **state) {
  (void)state;
  static const struct {
    const char *value;
    bool grpc;
    const char *subtype;
  } cases[] = {
      {"application/grpc", true, ""},
      {"Application/GRPC", true, ""},
      {"application/grpc+proto", true, "proto"},
      {"application/grpc+json;charset=utf-8", true, "json"},
      {"application/grpc+json ; q=1", true, "json"},
      {"application/grpc;charset=utf-8", true, ""},
      {"application/grpc;x+y", true, ""},
      {"application/grpc+", true, ""},
      {"application/grpc+;", true, ""},
      {"application/grpc+ ", true, ""},
      {"application/grpc+a+b", true, "a+b"},
      {"application/grpc-web", false, ""},
      {"application/grpc-web+proto", false, ""},
      {"application/grpcx", false, ""},
      {"application/grp", false, ""},
      {"application/json", false, ""},
      {" application/grpc", false, ""},
      {"", false, ""},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    caw_str subtype = CAW_STR("unset");
    bool grpc = rpc_content_type(caw_str_from(cases[i].value), &subtype);
    if (grpc != cases[i].grpc) print_error("content-type \"%s\"\n", cases[i].value);
    assert_int_equal(grpc, cases[i].grpc);
    assert_str(subtype, cases[i].subtype, strlen(cases[i].subtype));
  }
}

/* ---- mapping ---- */

static void test_http_codes(void **state) {
  (void)state;
  for (unsigned status = 0; status < 1000; status++) {
    int want = CAW_UNKNOWN;
    if (status == 400) want = CAW_INTERNAL;
    if (status == 401) want = CAW_UNAUTHENTICATED;
    if (status == 403) want = CAW_PERMISSION_DENIED;
    if (status == 404) want = CAW_UNIMPLEMENTED;
    if (status == 429 || (status >= 502 && status <= 504)) want = CAW_UNAVAILABLE;
    assert_int_equal(rpc_code_from_http(status), want);
  }
  assert_int_equal(rpc_code_from_http(~0u), CAW_UNKNOWN);
}

static void test_h2_codes(void **state) {
  (void)state;
  static const struct {
    uint32_t h2;
    const char *name;
    int code;
  } cases[] = {
      {0x0, "NO_ERROR", CAW_INTERNAL},
      {0x1, "PROTOCOL_ERROR", CAW_INTERNAL},
      {0x2, "INTERNAL_ERROR", CAW_INTERNAL},
      {0x3, "FLOW_CONTROL_ERROR", CAW_INTERNAL},
      {0x4, "SETTINGS_TIMEOUT", CAW_INTERNAL},
      {0x5, "STREAM_CLOSED", CAW_UNKNOWN},
      {0x6, "FRAME_SIZE_ERROR", CAW_INTERNAL},
      {0x7, "REFUSED_STREAM", CAW_UNAVAILABLE},
      {0x8, "CANCEL", CAW_CANCELLED},
      {0x9, "COMPRESSION_ERROR", CAW_INTERNAL},
      {0xa, "CONNECT_ERROR", CAW_INTERNAL},
      {0xb, "ENHANCE_YOUR_CALM", CAW_RESOURCE_EXHAUSTED},
      {0xc, "INADEQUATE_SECURITY", CAW_PERMISSION_DENIED},
      {0xd, "HTTP_1_1_REQUIRED", CAW_UNKNOWN},
      {0xe, "unknown error code", CAW_UNKNOWN},
      {UINT32_MAX, "unknown error code", CAW_UNKNOWN},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    assert_string_equal(rpc_h2_code_name(cases[i].h2), cases[i].name);
    assert_int_equal(rpc_code_from_h2(cases[i].h2), cases[i].code);
  }
}

/* ---- memory ---- */

static void test_out_of_memory(void **state) {
  (void)state;
  caw_arena *arena = caw_arena_new(0);
  caw_arena_set_limit(arena, 0);
  caw_str out = CAW_STR("untouched");
  assert_null(rpc_percent_decode(arena, caw_str_from("a")).data);
  assert_int_equal(rpc_base64_decode(arena, caw_str_from("AAAA"), &out), CAW_ENOMEM);
  assert_true(caw_str_is(out, "untouched"));
  /* Room for the bytes, none for their repair. */
  caw_arena_set_limit(arena, 16);
  assert_null(rpc_percent_decode(arena, caw_str_from("%FF")).data);
  caw_arena_free(arena);

  buf full = {.failed = true};
  assert_int_equal(rpc_percent_encode(&full, caw_str_from("a%")), CAW_ENOMEM);
  assert_int_equal(rpc_base64_encode(&full, caw_str_from("a")), CAW_ENOMEM);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_timeout_format),
      cmocka_unit_test(test_timeout_parse),
      cmocka_unit_test(test_timeout_round_trip),
      cmocka_unit_test(test_percent_encode),
      cmocka_unit_test(test_percent_decode),
      cmocka_unit_test(test_percent_round_trip),
      cmocka_unit_test(test_base64),
      cmocka_unit_test(test_base64_malformed),
      cmocka_unit_test(test_keys),
      cmocka_unit_test(test_ascii_values),
      cmocka_unit_test(test_content_type),
      cmocka_unit_test(test_http_codes),
      cmocka_unit_test(test_h2_codes),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
