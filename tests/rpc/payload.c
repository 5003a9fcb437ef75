/* Payloads: the frame, the count of references, and codecs that fail. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "failing.h"
#include "rpc/payload.h"

#include <caw/status.h>

static void framed(void **state) {
  (void)state;
  static const struct {
    size_t len;
    uint8_t prefix[5];
  } cases[] = {{0, {0, 0, 0, 0, 0}},
               {1, {0, 0, 0, 0, 1}},
               {300, {0, 0, 0, 1, 44}},
               {0x012345, {0, 0, 1, 0x23, 0x45}}};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char *text = malloc(cases[i].len + 1);
    memset(text, 'x', cases[i].len + 1);
    caw_str message = caw_str_of(text, cases[i].len);
    caw_payload *p;
    assert_int_equal(caw_payload_new(&p, &caw_type_bytes, &message), 0);
    assert_memory_equal(p->bytes, cases[i].prefix, 5);
    assert_int_equal(rpc_payload_size(p), cases[i].len + 5);
    assert_true(caw_str_eq(caw_payload_bytes(p), message));
    slice s = rpc_payload_slice(p);
    assert_ptr_equal(s.data, p->bytes);
    assert_int_equal(s.len, cases[i].len + 5);
    assert_int_equal(atomic_load(&p->refs), 2);
    caw_payload_unref(p);
    assert_true(failing.live == 1); /* the slice holds it */
    slice_release(&s);
    assert_true(failing.live == 0);
    slice_release(&s); /* once only */
    free(text);
  }
}

static void counted(void **state) {
  (void)state;
  caw_str message = CAW_STR("m");
  caw_payload *p;
  assert_int_equal(caw_payload_new(&p, &caw_type_bytes, &message), 0);
  assert_ptr_equal(caw_payload_ref(p), p);
  assert_int_equal(atomic_load(&p->refs), 2);
  caw_payload_unref(p);
  assert_int_equal(failing.live, 1);
  caw_payload_unref(p);
  assert_int_equal(failing.live, 0);
  caw_payload_unref(NULL);
}

/* ---- A codec that does as it is told ---- */

static struct {
  int measure, encode;
  size_t len;
} told;

static int told_measure(const void *desc, const void *message, size_t *len) {
  (void)desc, (void)message;
  *len = told.len;
  return told.measure;
}

static int told_encode(const void *desc, const void *message, uint8_t *out, size_t len) {
  (void)desc, (void)message;
  memset(out, 'e', len);
  return told.encode;
}

static void errors_of_the_codec(void **state) {
  (void)state;
  static const caw_codec codec = {sizeof(codec), "told", told_measure, told_encode, NULL};
  static const caw_type type = {&codec, NULL, 1};
  static const struct {
    int measure, encode;
    size_t len;
    int rc;
  } cases[] = {
      {0, 0, 3, 0},
      {CAW_EUTF8, 0, 3, CAW_EUTF8},
      {CAW_EDEPTH, 0, 3, CAW_EDEPTH},
      {0, CAW_EINVAL, 3, CAW_EINVAL},
      {0, 0, (size_t)UINT32_MAX + 1, CAW_ETOOBIG}, /* gRPC's prefix holds 32 bits */
      {0, 0, SIZE_MAX, CAW_ETOOBIG},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    caw_payload *p = NULL;
    told.measure = cases[i].measure;
    told.encode = cases[i].encode;
    told.len = cases[i].len;
    assert_int_equal(caw_payload_new(&p, &type, ""), cases[i].rc);
    assert_int_equal(p != NULL, cases[i].rc == 0); /* untouched after an error */
    caw_payload_unref(p);
    assert_int_equal(failing.live, 0);
  }
  caw_payload *p = NULL;
  told.len = 3;
  told.measure = told.encode = 0;
  fail_at(1);
  assert_int_equal(caw_payload_new(&p, &type, ""), CAW_ENOMEM);
  assert_null(p);
}

static void raw_bytes(void **state) {
  (void)state;
  caw_str in, out = CAW_STR("before");
  caw_arena *arena = caw_arena_new(0);
  const caw_codec *c = caw_type_bytes.codec;
  assert_null(c->name);
  assert_int_equal(caw_type_bytes.size, sizeof(caw_str));
  in = caw_str_of("a\0b", 3);
  assert_int_equal(c->decode(NULL, &out, (const uint8_t *)in.data, in.len, arena), 0);
  assert_true(caw_str_eq(in, out));
  assert_ptr_equal(out.data, in.data); /* borrowed, not copied */
  assert_int_equal(c->decode(NULL, &out, (const uint8_t *)"", 0, arena), 0);
  assert_int_equal(out.len, 0);
  size_t len = 9;
  in = caw_str_of(NULL, 0);
  assert_int_equal(c->measure(NULL, &in, &len), 0);
  assert_int_equal(len, 0);
  assert_int_equal(c->encode(NULL, &in, NULL, 0), 0);
  caw_arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {failing_test(framed), failing_test(counted),
                                     failing_test(errors_of_the_codec), failing_test(raw_bytes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
