/* The oracle and src/h2 in one program: two that are alike from outside, and of
 * which neither calls into the other. */
#include "face.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void *no_stream(void *ctx, h2_stream *stream) {
  (void)ctx;
  (void)stream;
  return NULL;
}

static void speaks_first(void **state) {
  const h2_face *face = *state;
  static const h2_events events = {.on_stream = no_stream};
  static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  h2_session *s = NULL;
  struct iovec parts[4];
  assert_int_equal(face->session_new(&s, H2_CLIENT, NULL, &events, NULL), 0);
  assert_true(face->want_output(s));
  assert_int_equal(face->output(s, parts, 4), 1);
  assert_true(parts[0].iov_len > 24 + 9);
  assert_memory_equal(parts[0].iov_base, preface, 24);
  face->written(s, parts[0].iov_len);
  assert_false(face->want_output(s));
  face->session_free(s);
}

static void are_two(void **state) {
  (void)state;
  assert_ptr_not_equal(face_ours.session_new, face_oracle.session_new);
  assert_ptr_not_equal(face_ours.recv, face_oracle.recv);
  assert_string_equal(face_ours.name, "face_ours");
  assert_string_equal(face_oracle.name, "face_oracle");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_prestate(speaks_first, (void *)(uintptr_t)&face_ours),
      cmocka_unit_test_prestate(speaks_first, (void *)(uintptr_t)&face_oracle),
      cmocka_unit_test(are_two),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
