/* The output queue alone: copies, references, partial writes. */
#include "rig.h"

#include "h2/out.h"

#include <stdlib.h>
#include <string.h>

static void release_one(void *owner) {
  slice *s = owner;
  slice_release(s);
  free(s);
}

static void refer(out *o, size_t len) {
  slice *s = malloc(sizeof(*s));
  assert_non_null(s);
  *s = rig_slice(len);
  assert_int_equal(out_refer(o, s->data, len, release_one, s), 0);
}

static void test_empty(void **state) {
  (void)state;
  out o = {0};
  struct iovec v[2];
  assert_int_equal(out_gather(&o, v, 2), 0);
  out_written(&o, 0);
  assert_int_equal(out_copy(&o, "x", 0), 0);
  assert_int_equal(out_gather(&o, v, 2), 0);
  out_finish(&o);
  out_finish(&o);
}

static void test_parts(void **state) {
  (void)state;
  out o = {0};
  struct iovec v[8];
  assert_int_equal(out_copy(&o, "abc", 3), 0);
  assert_int_equal(out_copy(&o, "def", 3), 0); /* continues the part */
  refer(&o, 10);
  assert_int_equal(out_copy(&o, "ghi", 3), 0); /* a part of its own */
  assert_int_equal(o.bytes, 19);
  assert_int_equal(out_gather(&o, v, 8), 3);
  assert_int_equal(v[0].iov_len, 6);
  assert_memory_equal(v[0].iov_base, "abcdef", 6);
  assert_int_equal(v[1].iov_len, 10);
  assert_memory_equal(v[2].iov_base, "ghi", 3);
  assert_int_equal(out_gather(&o, v, 2), 2);
  out_written(&o, 4);
  assert_int_equal(out_gather(&o, v, 8), 3);
  assert_memory_equal(v[0].iov_base, "ef", 2);
  out_written(&o, 2 + 9);
  assert_int_equal(rig_slices_live, 1);
  assert_int_equal(out_gather(&o, v, 8), 2);
  assert_int_equal(v[0].iov_len, 1);
  out_written(&o, 1);
  assert_int_equal(rig_slices_live, 0);
  out_written(&o, 3);
  assert_int_equal(o.bytes, 0);
  assert_null(o.tail); /* idle: no block is kept */
  out_finish(&o);
}

/* Random appends and writes against a plain byte string. */
static void test_random(void **state) {
  (void)state;
  srand(4);
  for (int round = 0; round < 200; round++) {
    out o = {0};
    buf want = {0};
    size_t done = 0;
    for (int step = 0; step < 60; step++) {
      size_t len = (size_t)(rand() % 4 ? rand() % 300 : rand() % 20000);
      slice s = rig_slice(len);
      switch (rand() % 3) {
      case 0:
        assert_int_equal(out_copy(&o, s.data, len), 0);
        buf_append(&want, s.data, len);
        break;
      case 1:
        if (len) {
          buf_append(&want, s.data, len);
          refer(&o, len);
        }
        break;
      default:
        if (len > o.bytes) len = o.bytes;
        out_written(&o, len);
        done += len;
        break;
      }
      slice_release(&s);
      struct iovec v[100];
      int n = out_gather(&o, v, 100);
      size_t at = done;
      for (int i = 0; i < n; i++) {
        assert_true(v[i].iov_len > 0);
        assert_memory_equal(v[i].iov_base, want.data + at, v[i].iov_len);
        at += v[i].iov_len;
      }
      assert_int_equal(at, want.len);
      assert_int_equal(o.bytes, want.len - done);
    }
    out_finish(&o);
    buf_finish(&want);
    assert_int_equal(rig_slices_live, 0);
  }
}

/* The ring grows while its head is not at its start. */
static void test_ring_wraps(void **state) {
  (void)state;
  out o = {0};
  for (int i = 0; i < 6; i++) refer(&o, 1);
  out_written(&o, 5);
  for (int i = 0; i < 20; i++) refer(&o, 2);
  struct iovec v[64];
  assert_int_equal(out_gather(&o, v, 64), 21);
  assert_int_equal(rig_slices_live, 21);
  out_finish(&o);
  assert_int_equal(rig_slices_live, 0);
}

static void test_out_of_memory(void **state) {
  (void)state;
  uint8_t bytes[3000] = {0};
  for (size_t n = 1; n <= 4; n++) {
    out o = {0};
    rig_fail_allocation(n);
    int rc = out_copy(&o, bytes, sizeof(bytes)); /* two blocks and the ring */
    assert_int_equal(rc, rig_allocation_failed ? CAW_ENOMEM : 0);
    assert_int_equal(rig_allocation_failed, n <= 3);
    rig_fail_allocation(0);
    out_finish(&o);
    assert_int_equal(rig_allocations_live, 0);
  }
  out o = {0};
  slice s = rig_slice(5);
  rig_fail_allocation(1);
  assert_int_equal(out_refer(&o, s.data, 5, s.release, s.owner), CAW_ENOMEM);
  rig_fail_allocation(0);
  assert_int_equal(rig_slices_live, 1);
  slice_release(&s);
  out_finish(&o);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_empty),         cmocka_unit_test(test_parts),
      cmocka_unit_test(test_random),        cmocka_unit_test(test_ring_wraps),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
