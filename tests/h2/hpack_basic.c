/* What HPACK's encoder says is what its decoder hears, and what nghttp2's does. */
#include "h2/hpack.h"

#include "failing.h"

#include <nghttp2/nghttp2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define F(name, value)                                                                             \
  { CAW_STR(name), CAW_STR(value), 0, 0 }

static const h2_field request[] = {
    F(":method", "POST"),
    F(":scheme", "http"),
    F(":path", "/helloworld.Greeter/SayHello"),
    F(":authority", "127.0.0.1:50051"),
    F("content-type", "application/grpc"),
    F("te", "trailers"),
    F("user-agent", "caw/0.1.0"),
    F("grpc-accept-encoding", "identity,deflate,gzip"),
    F("grpc-timeout", "9999881u"),
    F("x-custom", "one"),
    F("x-empty", ""),
};
#define N (sizeof(request) / sizeof(request[0]))

static void there_and_back(void **state) {
  (void)state;
  hpack_encoder e;
  hpack_decoder d;
  nghttp2_hd_inflater *ng;
  hpack_encoder_init(&e, NULL);
  hpack_decoder_init(&d, 65536, NULL);
  assert_int_equal(nghttp2_hd_inflate_new(&ng), 0);
  for (int round = 0; round < 4; round++) {
    uint8_t block[2048];
    assert_true(hpack_bound(request, N) <= sizeof(block));
    size_t len = hpack_encode(&e, block, request, N);
    print_message("%zu bytes\n", len);
    const uint8_t *p = block, *end = block + len, *q = block;
    hpack_decoder_begin(&d);
    for (size_t i = 0; i < N; i++) {
      h2_field f;
      assert_int_equal(hpack_decode(&d, &p, end, true, &f), HPACK_FIELD);
      assert_true(caw_str_eq(f.name, request[i].name));
      assert_true(caw_str_eq(f.value, request[i].value));
      assert_int_equal(f.token, h2_token_of(f.name));
      assert_false(f.flags & (H2_FIELD_INVALID | H2_FIELD_SECRET));
      nghttp2_nv nv;
      int flags;
      ssize_t n = nghttp2_hd_inflate_hd2(ng, &nv, &flags, q, (size_t)(end - q), 1);
      assert_true(n >= 0);
      q += n;
      assert_true(flags & NGHTTP2_HD_INFLATE_EMIT);
      assert_true(caw_str_eq(f.name, caw_str_of((char *)nv.name, nv.namelen)));
      assert_true(caw_str_eq(f.value, caw_str_of((char *)nv.value, nv.valuelen)));
      assert_ptr_equal(p, q);
    }
    h2_field f;
    assert_int_equal(hpack_decode(&d, &p, end, true, &f), HPACK_END);
    nghttp2_hd_inflate_end_headers(ng);
  }
  nghttp2_hd_inflate_del(ng);
  hpack_encoder_finish(&e);
  hpack_decoder_finish(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      failing_test(there_and_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
