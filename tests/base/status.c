/* The numbers of caw/status.h are part of the ABI and of gRPC's protocol
 * (statuscodes.md); each has a name and a text. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <caw/status.h>
#include <caw/version.h>
#include <stdio.h>

static const struct {
  int code;
  const char *name;
} codes[] = {
    {0, "OK"},
    {1, "CANCELLED"},
    {2, "UNKNOWN"},
    {3, "INVALID_ARGUMENT"},
    {4, "DEADLINE_EXCEEDED"},
    {5, "NOT_FOUND"},
    {6, "ALREADY_EXISTS"},
    {7, "PERMISSION_DENIED"},
    {8, "RESOURCE_EXHAUSTED"},
    {9, "FAILED_PRECONDITION"},
    {10, "ABORTED"},
    {11, "OUT_OF_RANGE"},
    {12, "UNIMPLEMENTED"},
    {13, "INTERNAL"},
    {14, "UNAVAILABLE"},
    {15, "DATA_LOSS"},
    {16, "UNAUTHENTICATED"},
    {-1, "PENDING"},
    {-100, "CAW_ENOMEM"},
    {-101, "CAW_EINVAL"},
    {-102, "CAW_EAGAIN"},
    {-103, "CAW_ESTATE"},
    {-104, "CAW_ECLOSED"},
    {-105, "CAW_ETOOBIG"},
    {-106, "CAW_EMALFORMED"},
    {-107, "CAW_EUTF8"},
    {-108, "CAW_EDEPTH"},
    {-109, "CAW_EEND"},
    {-110, "CAW_ETIMEDOUT"},
    {-111, "CAW_EADDR"},
    {-112, "CAW_EADDRINUSE"},
    {-113, "CAW_EACCES"},
    {-114, "CAW_ENOTFOUND"},
    {-115, "CAW_ECONN"},
    {-116, "CAW_EPROTO"},
    {-117, "CAW_EEXIST"},
    {-118, "CAW_ETHREAD"},
    {-119, "CAW_ELIMIT"},
    {-120, "CAW_ESYS"},
    {-121, "CAW_EJSON"},
};
enum { N = sizeof(codes) / sizeof(codes[0]) };

static void names_and_texts(void **state) {
  (void)state;
  for (int i = 0; i < N; i++) {
    assert_string_equal(caw_code_name(codes[i].code), codes[i].name);
    assert_true(strlen(caw_strerror(codes[i].code)) > 5);
    for (int j = 0; j < i; j++)
      assert_string_not_equal(caw_strerror(codes[i].code), caw_strerror(codes[j].code));
  }
  static const int others[] = {17, -2, -99, -199, 1 << 30, -(1 << 30)};
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
    assert_string_equal(caw_code_name(others[i]), "UNKNOWN_CODE");
    assert_string_equal(caw_strerror(others[i]), "unknown code");
  }
}

static void the_version(void **state) {
  (void)state;
  char text[32];
  snprintf(text, sizeof(text), "%d.%d.%d", CAW_VERSION_MAJOR, CAW_VERSION_MINOR, CAW_VERSION_PATCH);
  assert_string_equal(caw_version(), text);
  assert_string_equal(caw_version(), CAW_VERSION);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(names_and_texts),
                                     cmocka_unit_test(the_version)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
