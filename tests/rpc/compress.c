/* The encodings: round trips, limits, and input that is cut, damaged or a bomb. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "failing.h"
#include "rpc/payload.h"
#include "whole.h"

#include <caw/status.h>
#include <pthread.h>
#include <stdio.h>

#define MIB ((size_t)1 << 20)

/* Those that compress and that this build knows. */
static size_t encodings(caw_encoding out[4]) {
  size_t n = 0;
  for (caw_encoding e = CAW_ENCODING_DEFLATE; e <= CAW_ENCODING_ZSTD; e++)
    if (caw_encoding_supported(e)) out[n++] = e;
  return n;
}

/* Text that compresses to about a third. */
static uint8_t *text_of(size_t len) {
  uint8_t *p = malloc(len ? len : 1);
  assert_non_null(p);
  unsigned x = 7;
  for (size_t i = 0; i < len; i++) {
    x = x * 1103515245u + 12345u;
    p[i] = (uint8_t)("aaabbcdeflmnoprst "[(x >> 16) % 18]);
  }
  return p;
}

static void round_trips(void **state) {
  (void)state;
  static const size_t lengths[] = {1, 2, 100, 511, 512, 513, 5000, 32768, 70000, 3000000};
  caw_encoding all[4];
  size_t n = encodings(all);
  for (size_t e = 0; e < n; e++) {
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
      size_t len = lengths[i], packed_len, room = len + 200;
      uint8_t *text = text_of(len), *packed = malloc(room);
      buf out = {0};
      assert_int_equal(rpc_compress(all[e], text, len, packed, room, &packed_len), 0);
      if (len > 500) assert_true(packed_len < len);
      assert_int_equal(inflate_whole(all[e], packed, packed_len, &out, len), 0);
      assert_int_equal(out.len, len);
      assert_memory_equal(out.data, text, len);
      buf_finish(&out);
      /* One byte less than it takes, on either side. */
      assert_int_equal(inflate_whole(all[e], packed, packed_len, &out, len - 1), CAW_ETOOBIG);
      buf_finish(&out);
      assert_int_equal(rpc_compress(all[e], text, len, packed, packed_len - 1, &packed_len),
                       CAW_ETOOBIG);
      free(text);
      free(packed);
    }
  }
}

/* Cut anywhere, or followed by anything: malformed, whatever came out before. */
static void cut_and_overlong(void **state) {
  (void)state;
  caw_encoding all[4];
  size_t n = encodings(all), packed_len;
  uint8_t *text = text_of(2000), packed[2000];
  for (size_t e = 0; e < n; e++) {
    assert_int_equal(rpc_compress(all[e], text, 2000, packed, sizeof(packed), &packed_len), 0);
    for (size_t i = 0; i < packed_len; i++) {
      buf out = {0};
      int rc = inflate_whole(all[e], packed, i, &out, 4000);
      if (rc != CAW_EMALFORMED) print_error("%s cut at %zu\n", caw_encoding_name(all[e]), i);
      assert_int_equal(rc, CAW_EMALFORMED);
      buf_finish(&out);
    }
    buf out = {0};
    packed[packed_len] = 'x';
    assert_int_equal(inflate_whole(all[e], packed, packed_len + 1, &out, 4000), CAW_EMALFORMED);
    buf_finish(&out);
  }
  free(text);
}

/* Any byte damaged: an error, or other text of at most the limit; no more. */
static void damaged(void **state) {
  (void)state;
  caw_encoding all[4];
  size_t n = encodings(all), packed_len;
  uint8_t *text = text_of(600), packed[2000];
  for (size_t e = 0; e < n; e++) {
    assert_int_equal(rpc_compress(all[e], text, 600, packed, sizeof(packed), &packed_len), 0);
    for (size_t i = 0; i < packed_len * 8; i++) {
      buf out = {0};
      packed[i / 8] ^= (uint8_t)(1u << i % 8);
      int rc = inflate_whole(all[e], packed, packed_len, &out, 1000);
      assert_true(rc == 0 || rc == CAW_EMALFORMED || rc == CAW_ETOOBIG);
      assert_true(out.len <= 1000);
      buf_finish(&out);
      packed[i / 8] ^= (uint8_t)(1u << i % 8);
    }
  }
  free(text);
}

/* RFC 1952 2.2: members may follow one another. */
static void members_of_gzip(void **state) {
  (void)state;
  uint8_t packed[300];
  size_t a, b;
  buf out = {0};
  assert_int_equal(
      rpc_compress(CAW_ENCODING_GZIP, (const uint8_t *)"one ", 4, packed, sizeof(packed), &a), 0);
  assert_int_equal(rpc_compress(CAW_ENCODING_GZIP, (const uint8_t *)"two", 3, packed + a,
                                sizeof(packed) - a, &b),
                   0);
  assert_int_equal(inflate_whole(CAW_ENCODING_GZIP, packed, a + b, &out, 100), 0);
  assert_int_equal(out.len, 7);
  assert_memory_equal(out.data, "one two", 7);
  buf_finish(&out);
}

/* What a megabyte of zeros a thousand times over costs: the limit, twice at most
 * (the buffer doubles), and no time to speak of. */
static void bombs(void **state) {
  (void)state;
  caw_encoding all[4];
  size_t n = encodings(all), len = 64 * MIB, packed_len;
  uint8_t *zeros = calloc(1, len), *packed = malloc(MIB);
  for (size_t e = 0; e < n; e++) {
    buf out = {0};
    assert_int_equal(rpc_compress(all[e], zeros, len, packed, MIB, &packed_len), 0);
    assert_true(packed_len < len / 900);
    assert_int_equal(inflate_whole(all[e], packed, packed_len, &out, 4 * MIB), CAW_ETOOBIG);
    assert_int_equal(out.len, 4 * MIB);
    assert_true(out.room <= 8 * MIB);
    buf_finish(&out);
  }
  free(zeros);
  free(packed);
}

/* What a step does is bounded, both ways: by what it writes of a bomb, and by what it reads of
 * blocks without contents. The message may move between two steps. */
static void steps(void **state) {
  (void)state;
  caw_encoding all[4];
  size_t n = encodings(all), len = 4 * MIB, packed_len;
  uint8_t *zeros = calloc(1, len), *packed = malloc(MIB);
  for (size_t e = 0; e < n; e++) {
    assert_int_equal(rpc_compress(all[e], zeros, len, packed, MIB, &packed_len), 0);
    rpc_inflater *i = rpc_inflater_new(all[e]);
    assert_non_null(i);
    for (int rc = CAW_EAGAIN; rc == CAW_EAGAIN;) {
      size_t before = i->out.len;
      uint8_t *here = malloc(packed_len);
      memcpy(here, packed, packed_len);
      rc = rpc_inflate(i, here, packed_len, len);
      free(here);
      assert_true(rc == CAW_EAGAIN || rc == 0);
      assert_in_range(i->out.len - before, 0, RPC_INFLATE_OUT);
    }
    assert_int_equal(i->out.len, len);
    assert_memory_equal(i->out.data, zeros, len);
    /* And another in its memory. */
    size_t room = i->out.room;
    assert_int_equal(rpc_inflater_again(i), 0);
    while (rpc_inflate(i, packed, packed_len, len) == CAW_EAGAIN) {
    }
    assert_int_equal(i->rc, 0);
    assert_int_equal(i->out.len, len);
    assert_int_equal(i->out.room, room);
    rpc_inflater_free(i);
  }
  free(zeros);
  free(packed);
}

static void steps_that_write_nothing(void **state) {
  (void)state;
  /* RFC 1951 3.2.4: stored blocks of no bytes, behind the header of zlib (RFC 1950). */
  static const uint8_t header[] = {0x78, 0x9c}, block[] = {0, 0, 0, 0xff, 0xff};
  enum { BLOCKS = 20000 };
  size_t len = sizeof(header) + BLOCKS * sizeof(block);
  uint8_t *data = malloc(len);
  memcpy(data, header, sizeof(header));
  for (size_t b = 0; b < BLOCKS; b++)
    memcpy(data + sizeof(header) + b * sizeof(block), block, sizeof(block));
  rpc_inflater *i = rpc_inflater_new(CAW_ENCODING_DEFLATE);
  assert_non_null(i);
  size_t count = 0;
  int rc;
  while ((rc = rpc_inflate(i, data, len, 100)) == CAW_EAGAIN) count++;
  assert_int_equal(rc, CAW_EMALFORMED); /* it does not end */
  assert_in_range(count, len / RPC_INFLATE_LITTLE, len / RPC_INFLATE_LITTLE + 1);
  assert_int_equal(i->out.len, 0);
  rpc_inflater_free(i);
  free(data);
}

/* Every allocation fails once, in zlib too (libzstd has its own). */
static void out_of_memory(void **state) {
  (void)state;
  static const caw_encoding all[] = {CAW_ENCODING_DEFLATE, CAW_ENCODING_GZIP};
  uint8_t *text = text_of(5000), packed[6000];
  size_t packed_len = 0;
  for (size_t e = 0; e < 2; e++) {
    for (long at = 1;; at++) {
      fail_at(at);
      int rc = rpc_compress(all[e], text, 5000, packed, sizeof(packed), &packed_len);
      assert_int_equal(rc, failing.failed ? CAW_ENOMEM : 0);
      if (!failing.failed) break;
    }
    for (long at = 1;; at++) {
      buf out = {0};
      fail_at(at);
      int rc = inflate_whole(all[e], packed, packed_len, &out, 5000);
      assert_int_equal(rc, failing.failed ? CAW_ENOMEM : 0);
      buf_finish(&out);
      if (!failing.failed) break;
    }
  }
  fail_at(0);
  free(text);
}

static void names(void **state) {
  (void)state;
  static const struct {
    const char *list;
    unsigned want;
  } lists[] = {
      {"", 0},
      {"gzip", 1u << CAW_ENCODING_GZIP},
      {"identity,deflate,gzip",
       1u << CAW_ENCODING_IDENTITY | 1u << CAW_ENCODING_DEFLATE | 1u << CAW_ENCODING_GZIP},
      {" identity , gzip\t", 1u << CAW_ENCODING_IDENTITY | 1u << CAW_ENCODING_GZIP},
      {",,gzip,", 1u << CAW_ENCODING_GZIP},
      {"GZIP,gzi,gzipp,br,snappy", 0},
      {"   ", 0},
  };
  for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
    assert_int_equal(rpc_encodings_of(caw_str_from(lists[i].list)), lists[i].want);
  assert_int_equal(rpc_encoding_of(caw_str_from("gzip")), CAW_ENCODING_GZIP);
  assert_int_equal(rpc_encoding_of(caw_str_from("")), CAW_ENCODING_DEFAULT);
  assert_string_equal(caw_encoding_name(CAW_ENCODING_DEFLATE), "deflate");
  assert_string_equal(caw_encoding_name(CAW_ENCODING_DEFAULT), "");
  assert_null(caw_encoding_name((caw_encoding)5));
  assert_false(caw_encoding_supported((caw_encoding)-1));
  /* What is said to be accepted is. */
  unsigned mask = rpc_encodings_of(rpc_accepted_encodings);
  for (caw_encoding e = CAW_ENCODING_IDENTITY; e <= CAW_ENCODING_ZSTD; e++)
    assert_int_equal((mask >> e) & 1, caw_encoding_supported(e));
}

/* ---- Payloads ---- */

static caw_payload *payload_of(const void *data, size_t len) {
  caw_str s = caw_str_of(data, len);
  caw_payload *p = NULL;
  assert_int_equal(caw_payload_new(&p, &caw_type_bytes, &s), 0);
  return p;
}

static void forms_are_made_once(void **state) {
  (void)state;
  uint8_t *text = text_of(5000);
  caw_payload *p = payload_of(text, 5000), *gzip, *deflate, *again;
  assert_int_equal(rpc_payload_compressed(&gzip, p, CAW_ENCODING_GZIP), 0);
  assert_int_equal(rpc_payload_compressed(&deflate, p, CAW_ENCODING_DEFLATE), 0);
  assert_ptr_not_equal(gzip, p);
  assert_ptr_not_equal(gzip, deflate);
  long live = failing.live;
  assert_int_equal(rpc_payload_compressed(&again, p, CAW_ENCODING_GZIP), 0);
  assert_ptr_equal(again, gzip);
  assert_int_equal(failing.live, live);
  assert_int_equal(gzip->bytes[0], 1);
  assert_int_equal(p->bytes[0], 0);
  assert_int_equal(caw_payload_bytes(p).len, 5000);
  /* A form that is on its way outlives the payload. */
  slice s = rpc_payload_slice(gzip);
  caw_payload_unref(p);
  buf out = {0};
  assert_int_equal(
      inflate_whole(CAW_ENCODING_GZIP, s.data + RPC_PREFIX, s.len - RPC_PREFIX, &out, 5000), 0);
  assert_memory_equal(out.data, text, 5000);
  buf_finish(&out);
  s.release(s.owner);
  free(text);
}

/* What would not be smaller goes as it is, and is not tried again. */
static void what_does_not_shrink(void **state) {
  (void)state;
  caw_payload *p = payload_of("xyz", 3), *empty = payload_of("", 0), *form;
  assert_int_equal(rpc_payload_compressed(&form, p, CAW_ENCODING_GZIP), 0);
  assert_ptr_equal(form, p);
  fail_at(1);
  assert_int_equal(rpc_payload_compressed(&form, p, CAW_ENCODING_GZIP), 0);
  assert_int_equal(rpc_payload_compressed(&form, empty, CAW_ENCODING_GZIP), 0);
  assert_ptr_equal(form, empty);
  fail_at(0);
  caw_payload_unref(p);
  caw_payload_unref(empty);
}

static void forms_without_memory(void **state) {
  (void)state;
  uint8_t *text = text_of(5000);
  for (long at = 1;; at++) {
    caw_payload *p = payload_of(text, 5000), *form;
    fail_at(at);
    int rc = rpc_payload_compressed(&form, p, CAW_ENCODING_GZIP);
    bool failed = failing.failed;
    fail_at(0);
    /* Only giving back what was too much may fail without harm. */
    if (rc) assert_int_equal(rc, CAW_ENOMEM);
    else assert_ptr_not_equal(form, p);
    caw_payload_unref(p);
    if (!failed) break;
  }
  free(text);
}

static void *compress_it(void *arg) {
  caw_payload *form, *p = arg;
  for (caw_encoding e = CAW_ENCODING_DEFLATE; e <= CAW_ENCODING_GZIP; e++) {
    if (rpc_payload_compressed(&form, p, e) || form == p) return arg;
  }
  return NULL;
}

/* Threads that ask at the same time: for the sanitizers. */
static void forms_from_many_threads(void **state) {
  (void)state;
  uint8_t *text = text_of(20000);
  for (int round = 0; round < 20; round++) {
    pthread_t threads[4];
    caw_payload *p = payload_of(text, 20000);
    for (int i = 0; i < 4; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, compress_it, p), 0);
    for (int i = 0; i < 4; i++) {
      void *bad = p;
      pthread_join(threads[i], &bad);
      assert_null(bad);
    }
    caw_payload_unref(p);
  }
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names),
      cmocka_unit_test(round_trips),
      cmocka_unit_test(cut_and_overlong),
      cmocka_unit_test(damaged),
      cmocka_unit_test(members_of_gzip),
      cmocka_unit_test(bombs),
      cmocka_unit_test(steps),
      cmocka_unit_test(steps_that_write_nothing),
      failing_test(out_of_memory),
      failing_test(forms_are_made_once),
      failing_test(what_does_not_shrink),
      failing_test(forms_without_memory),
      cmocka_unit_test(forms_from_many_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
