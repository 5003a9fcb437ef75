/* What the endpoint takes for a request, and for which one. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "scrape/request.h"

#include <string.h>

static const struct {
  const char *text;
  int status;
  bool head, old;
} cases[] = {
    {"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 200, false, false},
    {"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 200, true, false},
    {"GET /metrics HTTP/1.0\r\n\r\n", 200, false, true},
    {"GET /metrics HTTP/1.0\n\n", 200, false, true},
    {"GET /metrics?x=/y HTTP/1.1\r\nhOsT:\r\nAccept: */*\r\n\r\n", 200, false, false},
    {"GET http://a:1/metrics HTTP/1.1\r\nHost: a\r\n\r\n", 200, false, false},
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404, false, false},
    {"GET /metrics/ HTTP/1.1\r\nHost: a\r\n\r\n", 404, false, false},
    {"GET /Metrics HTTP/1.1\r\nHost: a\r\n\r\n", 404, false, false},
    {"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 404, false, false},
    {"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 404, false, false},
    {"POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405, false, false},
    {"get /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405, false, false},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404, false, false},
    {"GET /metrics HTTP/1.1\r\n\r\n", 400, false, false},
    {"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, false, false},
    {"GET /metrics HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400, false, false},
    {"GET /metrics HTTP/1.1\r\nHost : a\r\n\r\n", 400, false, false},
    {"GET /metrics HTTP/1.1\r\nHost: a\x01\r\n\r\n", 400, false, false},
    {"GET /metrics HTTP/1.1\r\nHost: a\r\nx\r\n\r\n", 400, false, false},
    {"GET  /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400, false, false},
    {"GET /metrics\r\nHost: a\r\n\r\n", 400, false, false},
    {"GET /metrics HTTP/1.1 \r\nHost: a\r\n\r\n", 400, false, false},
    {"GET /metrics HTTP/2.0\r\nHost: a\r\n\r\n", 400, false, false},
    {"G(T /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400, false, false},
    {"PRI * HTTP/2.0\r\n\r\n", 400, false, false},
    {"\r\n\r\n", 400, false, false},
    {"\n\n", 400, false, false},
};

static void each_has_its_answer(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    request r;
    size_t len = strlen(cases[i].text);
    if (request_length(cases[i].text, len) != len)
      fail_msg("%s: %zu of %zu bytes", cases[i].text, request_length(cases[i].text, len), len);
    request_read(&r, cases[i].text, len);
    if (r.status != cases[i].status)
      fail_msg("%s: %d, not %d", cases[i].text, r.status, cases[i].status);
    if (r.status == 200 && (r.head != cases[i].head || r.old != cases[i].old))
      fail_msg("%s: head %d, old %d", cases[i].text, r.head, r.old);
  }
}

static void no_piece_of_one_is_whole(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    for (size_t len = 0; len < strlen(cases[i].text); len++)
      assert_int_equal(request_length(cases[i].text, len), 0);
}

static void a_nul_is_no_character(void **state) {
  static const char text[] = "GET /metrics HTTP/1.1\r\nHost: a\0b\r\n\r\n";
  request r;
  (void)state;
  request_read(&r, text, sizeof(text) - 1);
  assert_int_equal(r.status, 400);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(each_has_its_answer),
                                     cmocka_unit_test(no_piece_of_one_is_whole),
                                     cmocka_unit_test(a_nul_is_no_character)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
