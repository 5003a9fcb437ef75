/* The lines of the access log: each text is one, whatever is in it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "access_log.h"

#include <string.h>

static caw_call_summary call_of(const char *path, size_t len) {
  return (caw_call_summary){.path = caw_str_of(path, len),
                            .peer = CAW_STR("ipv4:127.0.0.1:5"),
                            .status = {CAW_OK, {NULL, 0}, {NULL, 0}},
                            .duration_ns = 1234567,
                            .received = 1,
                            .sent = 2,
                            .received_bytes = 3,
                            .sent_bytes = 4,
                            .started_ns = UINT64_C(1700000000123456789),
                            .timeout_ns = UINT64_MAX};
}

#define JSON_BEGIN                                                                                 \
  "{\"time\":\"2023-11-14T22:13:20.123456Z\",\"peer\":\"ipv4:127.0.0.1:5\",\"method\":\""
#define JSON_END                                                                                   \
  "\",\"status\":\"OK\",\"duration_ms\":1.234,\"received\":1,\"received_bytes\":3,\"sent\":2,"     \
  "\"sent_bytes\":4}"
#define TEXT_BEGIN "2023-11-14T22:13:20.123456Z ipv4:127.0.0.1:5 "
#define TEXT_END   " OK 1.234ms in=1/3B out=2/4B"

static const struct {
  const char *path;
  const char *json, *text;
} cases[] = {
    {"/a.B/C", "/a.B/C", "/a.B/C"},
    {"/a\"b\\c", "/a\\\"b\\\\c", "/a\\x22b\\x5cc"},
    {"/a b\n\t\x7f", "/a b\\u000a\\u0009\\u007f", "/a\\x20b\\x0a\\x09\\x7f"},
    {"/\xc3\xa9", "/\xc3\xa9", "/\xc3\xa9"},                         /* e with acute */
    {"/\xc2\x9b", "/\\u009b", "/\\xc2\\x9b"},                        /* C1 */
    {"/\xff\xfe", "/\\ufffd\\ufffd", "/\\xff\\xfe"},                 /* no UTF-8 */
    {"/\xc3", "/\\ufffd", "/\\xc3"},                                 /* cut */
    {"/\xc0\xaf", "/\\ufffd\\ufffd", "/\\xc0\\xaf"},                 /* overlong */
    {"/\xed\xa0\x80", "/\\ufffd\\ufffd\\ufffd", "/\\xed\\xa0\\x80"}, /* a surrogate */
    {"/\xf4\x90\x80\x80", "/\\ufffd\\ufffd\\ufffd\\ufffd", "/\\xf4\\x90\\x80\\x80"},
    /* What ends a line elsewhere, or turns its order around. */
    {"/\xe2\x80\xa8\xe2\x80\xa9", "/\\u2028\\u2029", "/\\xe2\\x80\\xa8\\xe2\\x80\\xa9"},
    {"/\xe2\x80\xae\xe2\x81\xa6\xd8\x9c", "/\\u202e\\u2066\\u061c",
     "/\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xd8\\x9c"},
    {"/\xe2\x80\xa6\xd7\x90", "/\xe2\x80\xa6\xd7\x90", "/\xe2\x80\xa6\xd7\x90"},
    {"/\xf0\x9f\x90\xa6", "/\xf0\x9f\x90\xa6", "/\xf0\x9f\x90\xa6"}, /* a bird */
};

static void assert_line(const caw_call_summary *call, access_log kind, const char *begin,
                        const char *middle, const char *end) {
  char line[ACCESS_LOG_ROOM + 1], wanted[ACCESS_LOG_ROOM];
  line[access_log_line(line, call, kind)] = '\0';
  strcpy(wanted, begin);
  strcat(wanted, middle);
  strcat(wanted, end);
  assert_string_equal(line, wanted);
}

static void texts_are_escaped(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    caw_call_summary call = call_of(cases[i].path, strlen(cases[i].path));
    assert_line(&call, ACCESS_LOG_JSON, JSON_BEGIN, cases[i].json, JSON_END);
    assert_line(&call, ACCESS_LOG_TEXT, TEXT_BEGIN, cases[i].text, TEXT_END);
  }
}

static void a_nul_is_escaped(void **state) {
  caw_call_summary call = call_of("a\0b", 3);
  (void)state;
  assert_line(&call, ACCESS_LOG_JSON, JSON_BEGIN, "a\\u0000b", JSON_END);
  assert_line(&call, ACCESS_LOG_TEXT, TEXT_BEGIN, "a\\x00b", TEXT_END);
}

/* All texts as long as can be, each byte as large as can be. */
static void there_is_room_for_everything(void **state) {
  static char worst[4096];
  char line[ACCESS_LOG_ROOM];
  (void)state;
  for (size_t fill = 0; fill < 2; fill++) {
    memset(worst, fill ? 0xff : 0x1b, sizeof(worst));
    caw_call_summary call = call_of(worst, sizeof(worst));
    call.peer = call.authority = call.user_agent = call.traceparent = call.status.message =
        call.path;
    call.timeout_ns = 1;
    call.duration_ns = call.sent = call.received = call.sent_bytes = call.received_bytes =
        UINT64_MAX;
    for (access_log kind = ACCESS_LOG_TEXT; kind <= ACCESS_LOG_JSON; kind++) {
      size_t n = access_log_line(line, &call, kind);
      assert_in_range(n, 6000, ACCESS_LOG_ROOM - 2);
      assert_null(memchr(line, '\n', n));
      assert_null(memchr(line, 0x1b, n));
      if (kind == ACCESS_LOG_JSON) assert_int_equal(line[n - 1], '}');
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(texts_are_escaped),
                                     cmocka_unit_test(a_nul_is_escaped),
                                     cmocka_unit_test(there_is_room_for_everything)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
