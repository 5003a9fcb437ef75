/* Decoding: what each kind of good and bad bytes becomes. A message that was
 * decoded is encoded again, which shows every field that it has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "hex.h"
#include "legacy.caw.h"
#include <caw/alloc.h>
#include <caw/status.h>

#define E &caw_test_everything_type
#define L &caw_test_legacy_legacy_type
#define N &caw_test_narrow_type

/* "same": the bytes come out as they went in. */
static const char same[] = "same";

typedef struct decode_case {
  const char *name;
  const caw_type *type;
  const char *in;
  int rc;
  const char *out;
} decode_case;

static const decode_case malformed[] = {
    {"tag cut off", E, "80", CAW_EMALFORMED, ""},
    {"second tag cut off", E, "2801 80", CAW_EMALFORMED, ""},
    {"no value", E, "28", CAW_EMALFORMED, ""},
    {"varint cut off", E, "2880", CAW_EMALFORMED, ""},
    {"varint of 11 bytes", E, "28 ffffffffffffffffffff 01", CAW_EMALFORMED, ""},
    {"unknown varint of 11 bytes", E, "c00c ffffffffffffffffffff 01", CAW_EMALFORMED, ""},
    {"field number 0", E, "0000", CAW_EMALFORMED, ""},
    {"field number 0 with a length", E, "0200", CAW_EMALFORMED, ""},
    {"field number 2^29", E, "8080808010 00", CAW_EMALFORMED, ""},
    {"tag of 6 bytes", E, "a88080808000 01", CAW_EMALFORMED, ""},
    {"tag of 10 bytes", E, "a8808080808080808000 01", CAW_EMALFORMED, ""},
    {"wire type 6", E, "2e00", CAW_EMALFORMED, ""},
    {"wire type 7", E, "2f00", CAW_EMALFORMED, ""},
    {"unknown field of wire type 6", E, "c60c00", CAW_EMALFORMED, ""},
    {"length beyond the end", E, "4a0561", CAW_EMALFORMED, ""},
    {"length of 32 bits", E, "4affffffff0f61", CAW_EMALFORMED, ""},
    {"length of 64 bits", E, "4affffffffffffffffff0161", CAW_EMALFORMED, ""},
    {"unknown length beyond the end", E, "c20c0561", CAW_EMALFORMED, ""},
    {"message beyond the end", E, "8a01050801", CAW_EMALFORMED, ""},
    {"field beyond the end of its message", E, "8a010208 80 01", CAW_EMALFORMED, ""},
    {"string beyond the end of its message", E, "8a0103120261 61", CAW_EMALFORMED, ""},
    {"end of a group that is not open", E, "2c", CAW_EMALFORMED, ""},
    {"end of a group inside a message", E, "8a01012c", CAW_EMALFORMED, ""},
    {"end of another group", E, "c30ccc0c", CAW_EMALFORMED, ""},
    {"group without an end", E, "c30c0801", CAW_EMALFORMED, ""},
    {"group that ends behind its message", E, "8a0102c30cc40c", CAW_EMALFORMED, ""},
    {"double cut off", E, "0900000000000000", CAW_EMALFORMED, ""},
    {"float cut off", E, "15000000", CAW_EMALFORMED, ""},
    {"packed beyond the end", E, "ea020501", CAW_EMALFORMED, ""},
    {"packed varint cut off", E, "ea02020180", CAW_EMALFORMED, ""},
    {"packed varint of 11 bytes", E, "ea020b ffffffffffffffffffff 01", CAW_EMALFORMED, ""},
    {"packed fixed32 with a part", E, "fa0203010203", CAW_EMALFORMED, ""},
    {"packed double with a part", E, "ca0209 000000000000000000", CAW_EMALFORMED, ""},
    {"run ends in the middle", E, "8a030161 8a0302", CAW_EMALFORMED, ""},
    {"map entry cut off", E, "ba0402 08", CAW_EMALFORMED, ""},
    {"known group without an end", L, "8b010805", CAW_EMALFORMED, ""},
    {"known group with another end", L, "8b01080594 01", CAW_EMALFORMED, ""},
    {"string that is not UTF-8", E, "4a01ff", CAW_EUTF8, ""},
    {"string that ends in a character", E, "4a02e282", CAW_EUTF8, ""},
    {"optional string that is not UTF-8", E, "ea0101ff", CAW_EUTF8, ""},
    {"repeated string that is not UTF-8", E, "8a0301618a0301ff", CAW_EUTF8, ""},
    {"key that is not UTF-8", E, "9205050a01ff1200", CAW_EUTF8, ""},
    {"value that is not UTF-8", E, "9205050a00 1201ff", CAW_EUTF8, ""},
    {"oneof string that is not UTF-8", E, "ea0501ff", CAW_EUTF8, ""},
};

static const decode_case good[] = {
    {"nothing", E, "", 0, same},
    {"int32", E, "2801", 0, same},
    {"int32 -1", E, "28 ffffffffffffffffff01", 0, same},
    {"int32 -1 of 5 bytes", E, "28 ffffffff0f", 0, "28 ffffffffffffffffff01"},
    {"int32 of too many bits", E, "28 81808080f001", 0, "2801"},
    {"10th byte of a varint has more bits", E, "18 ffffffffffffffffff7f", 0,
     "18 ffffffffffffffffff01"},
    {"overlong varint", E, "28 818000", 0, "2801"},
    {"overlong tag of 5 bytes", E, "a880808000 01", 0, "2801"},
    {"overlong length", E, "4a 8100 61", 0, "4a0161"},
    {"bool of 2", E, "4002", 0, "4001"},
    {"bool of many bits", E, "40 80808080808080808001", 0, "4001"},
    {"largest field number", E, "f8ffffff0f01", 0, same},
    {"zero", E, "2800", 0, ""},
    {"negative zero", E, "090000000000000080", 0, same},
    {"optional zero", E, "c80100", 0, same},
    {"optional empty string", E, "ea0100", 0, same},
    {"enum value that is unknown", E, "800163", 0, same},
    {"bytes that are not UTF-8", E, "5202ffc0", 0, same},
    {"string of 4-byte characters", E, "4a04f09f9880", 0, same},
    {"last value wins", E, "280128022803", 0, "2803"},
    {"last string wins", E, "4a01614a0162", 0, "4a0162"},
    {"zero wins too", E, "28012800", 0, ""},
    {"not in order", E, "4a01612801", 0, "28014a0161"},

    {"unknown varint", E, "c00c01", 0, same},
    {"unknown overlong varint", E, "c00c8100", 0, same},
    {"unknown overlong tag", E, "c08c0001", 0, same},
    {"unknown fixed64", E, "c10c0102030405060708", 0, same},
    {"unknown length", E, "c20c03616263", 0, same},
    {"unknown group", E, "c30c0801c40c", 0, same},
    {"unknown empty group", E, "c30cc40c", 0, same},
    {"unknown groups inside each other", E, "c30ccb0c0801cc0c1201614b4cc40c", 0, same},
    {"unknown fixed32", E, "c50c01020304", 0, same},
    {"unknown fields between known ones", E, "c00c012802c00c034a0161c00c04", 0,
     "28024a0161c00c01c00c03c00c04"},
    {"unknown fields of a sub-message", E, "8a0105c00c010802", 0, "8a01050802c00c01"},
    {"unknown fields of merged messages", E, "8a0103c00c018a0103c00c02", 0, "8a0106c00c01c00c02"},

    {"int32 as fixed32", E, "2d01000000", 0, same},
    {"int32 as bytes", E, "2a0161", 0, same},
    {"string as varint", E, "4801", 0, same},
    {"message as varint", E, "880105", 0, same},
    {"message as group", E, "8b0108018c01", 0, same},
    {"repeated int32 as fixed32", E, "ed0201000000", 0, same},
    {"repeated string as varint", E, "880301", 0, same},
    {"group as message", L, "8a01020805", 0, same},

    {"packed", E, "ea0203010203", 0, same},
    {"packed, empty", E, "ea0200", 0, ""},
    {"packed, twice", E, "ea020101ea02020203", 0, "ea0203010203"},
    {"packed as not packed", E, "e80201e80202", 0, "ea02020102"},
    {"packed and not packed", E, "e80201ea02020203e80204", 0, "ea020401020304"},
    {"not packed", E, "f80301f80302", 0, same},
    {"not packed as packed", E, "fa03020102", 0, "f80301f80302"},
    {"packed bools", E, "820304000102 01", 0, "82030400010101"},
    {"packed fixed32", E, "fa020801000000ffffffff", 0, same},
    {"packed sint64", E, "ba0303000102", 0, same},
    {"repeated strings", E, "8a0301618a03008a03026263", 0, same},
    {"repeated messages", E, "ca0302 0801 ca0300 ca0302 0802", 0, same},
    {"scattered strings", E, "8a0301612801 8a0301622802 8a030163 2803 8a030164", 0,
     "2803 8a030161 8a030162 8a030163 8a030164"},
    {"scattered messages", E, "ca0302080128 01ca0302080228 02ca03020803", 0,
     "2802ca03020801ca03020802ca03020803"},

    {"merged messages", E, "8a010208018a0103120161", 0, "8a01050801120161"},
    {"merged empty message", E, "8a010208018a0100", 0, "8a01020801"},
    {"merged repeated fields", E, "8a01041a0208018a01041a020802", 0, "8a01081a0208011a020802"},
    {"empty message", E, "8a0100", 0, same},

    {"oneof", E, "e00500", 0, same},
    {"last of a oneof wins", E, "e00505ea050161", 0, "ea050161"},
    {"oneof message is merged", E, "8a060208018a0603120161", 0, "8a06050801120161"},
    {"oneof message begins anew", E, "8a06020801e005058a0603120161", 0, "8a0603120161"},
    {"oneof message after a string", E, "ea0501618a0600", 0, "8a0600"},
    {"two oneofs", E, "e00505a80601", 0, same},
    {"oneof of the wrong type", E, "e00505ed0501000000", 0, same},

    {"map entry", E, "ba040408011002", 0, same},
    {"map entry turned around", E, "ba040410020801", 0, "ba040408011002"},
    {"map entry without a value", E, "ba04020801", 0, "ba040408011000"},
    {"empty map entry", E, "ba0400", 0, "ba040408001000"},
    {"map entry with an unknown field", E, "ba0406080118051002", 0, "ba040408011002"},
    {"map entry with two values", E, "ba0406080110021003", 0, "ba040408011003"},
    {"map key twice", E, "ba040408011001ba040408021001ba040408011002", 0,
     "ba040408021001ba040408011002"},
    {"map without a message", E, "9a05030a0161", 0, "9a05050a01611200"},
    {"map with two halves of a message", E, "9a050a0a0012020801120212 00", 0, "9a05060a0012020801"},
    {"map as varint", E, "b80405", 0, same},
    {"map inside a map", E, "a2050b0801 1207 ba040408011002", 0, "a2050b08011207ba040408011002"},

    {"group", L, "08018b0108058c01", 0, same},
    {"empty group", L, "8b018c01", 0, same},
    {"groups are merged", L, "8b0108058c018b0108068c01", 0, "8b0108068c01"},
    {"repeated groups", L, "93010a016194019301 13080214 9401", 0, "93010a016194019301130802149401"},
    {"group with an unknown field", L, "8b01c00c018c01", 0, same},
    {"group in a oneof", L, "bb010801bc01", 0, same},
    {"unknown group in a group", L, "8b01c30cc40c8c01", 0, same},
    {"extension", L, "a00601", 0, same},
    {"proto2 string that is not UTF-8", L, "1201ff", 0, same},
    {"required field is missing", L, "120161", 0, same},
    {"closed enum", L, "2007", 0, same},
    {"closed enum, unknown value", L, "2005", 0, same},
    {"closed enum, known and unknown value", L, "20072005", 0, same},
    {"closed enum, negative", L, "20ffffffffffffffffff01", 0, same},
    {"closed enums", L, "680368056807", 0, "680368076805"},
    {"closed enums, none known", L, "68056806", 0, same},
    {"packed closed enums", L, "720503058101 07", 0, "720203077203058101"},
    {"packed closed enums, not packed", L, "70037004", 0, "7201037004"},
    {"closed enum in a map", L, "9a01050a01611001", 0, same},
    {"closed enum in a map, unknown", L, "9a01050a01611009", 0, same},
    {"closed enums in a map", L, "9a01050a016110019a01050a016210099a01050a01631000", 0,
     "9a01050a016110019a01050a016310009a01050a01621009"},

    {"most fields unknown", N, "28014a0161ea020101ba0404080110028a030162", 0,
     "28018a0301624a0161ea020101ba040408011002"},
};

static void run(const decode_case *c) {
  static uint8_t in[1024], want[1024];
  static char want_text[2049], got_text[2049];
  static union {
    max_align_t align;
    char bytes[8192];
  } message;
  size_t in_len = hex_read(in, c->in);
  size_t want_len = hex_read(want, c->out == same ? c->in : c->out);
  caw_arena *arena = caw_arena_new(0);
  caw_str out = {NULL, 0};
  /* A copy of the exact size, so that the sanitizers see each step outside. */
  uint8_t *exact = malloc(in_len ? in_len : 1);
  memcpy(exact, in, in_len);
  assert_true(c->type->size <= sizeof(message));
  int rc = caw_pb_decode(&message, arena, c->type, exact, in_len);
  if (!rc) assert_int_equal(caw_pb_encode(&out, arena, c->type, &message), 0);
  hex_write(want_text, caw_str_of((char *)want, want_len));
  hex_write(got_text, out);
  if (rc != c->rc || strcmp(want_text, got_text))
    fail_msg("%s: %s \"%s\", wanted %s \"%s\"", c->name, caw_code_name(rc), got_text,
             caw_code_name(c->rc), want_text);
  for (size_t i = 0; rc && i < c->type->size; i++) assert_int_equal(message.bytes[i], 0);
  free(exact);
  caw_arena_free(arena);
}

static void test_malformed(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) run(&malformed[i]);
}

static void test_good(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) run(&good[i]);
}

/* Every prefix of every good case decodes or fails, within its bytes. */
static void test_cut_off(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
    uint8_t in[1024];
    size_t len = hex_read(in, good[i].in);
    for (size_t n = 0; n < len; n++) {
      caw_arena *arena = caw_arena_new(0);
      uint8_t *exact = malloc(n ? n : 1);
      void *m = caw_arena_alloc(arena, good[i].type->size);
      memcpy(exact, in, n);
      int rc = caw_pb_decode(m, arena, good[i].type, exact, n);
      if (rc && rc != CAW_EMALFORMED && rc != CAW_EUTF8)
        fail_msg("%s, %zu bytes: %s", good[i].name, n, caw_code_name(rc));
      free(exact);
      caw_arena_free(arena);
    }
  }
}

/* -- depth --------------------------------------------------------------- */

/* `levels` of messages in field 18 around nothing. */
static size_t nest(uint8_t *out, int levels) {
  size_t len = 0;
  uint8_t *end = out + 4096, *p = end;
  for (int i = 0; i < levels; i++) {
    if (len >= 128) *--p = (uint8_t)(len >> 7);
    *--p = (uint8_t)(len >= 128 ? (len & 0x7f) | 0x80 : len);
    *--p = 0x01;
    *--p = 0x92;
    len = (size_t)(end - p);
  }
  memmove(out, p, len);
  return len;
}

static int decode_bytes(const caw_type *type, const uint8_t *in, size_t len) {
  caw_arena *arena = caw_arena_new(0);
  void *m = caw_arena_alloc(arena, type->size);
  caw_str out = {NULL, 0};
  int rc = caw_pb_decode_bounded(m, arena, type, in, len, SIZE_MAX);
  if (!rc) {
    assert_int_equal(caw_pb_encode(&out, arena, type, m), 0);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, in, len);
  }
  caw_arena_free(arena);
  return rc;
}

static void test_depth_of_messages(void **state) {
  (void)state;
  uint8_t in[4096];
  assert_int_equal(decode_bytes(E, in, nest(in, CAW_PB_DEPTH)), 0);
  assert_int_equal(decode_bytes(E, in, nest(in, CAW_PB_DEPTH + 1)), CAW_EDEPTH);
  assert_int_equal(decode_bytes(E, in, nest(in, 800)), CAW_EDEPTH);
}

/* Start tags, then end tags; of two groups in turn. */
static size_t nest_groups(uint8_t *out, int levels, const char *tags[2][2]) {
  size_t len = 0;
  for (int i = 0; i < levels; i++) len += hex_read(out + len, tags[i % 2][0]);
  for (int i = levels - 1; i >= 0; i--) len += hex_read(out + len, tags[i % 2][1]);
  return len;
}

static void test_depth_of_groups(void **state) {
  (void)state;
  static const char *unknown[2][2] = {{"c30c", "c40c"}, {"cb0c", "cc0c"}};
  uint8_t in[1 << 16];
  assert_int_equal(decode_bytes(E, in, nest_groups(in, CAW_PB_DEPTH, unknown)), 0);
  assert_int_equal(decode_bytes(E, in, nest_groups(in, CAW_PB_DEPTH + 1, unknown)), CAW_EDEPTH);
  assert_int_equal(decode_bytes(E, in, nest_groups(in, 8000, unknown)), CAW_EDEPTH);
  assert_int_equal(decode_bytes(L, in, nest_groups(in, CAW_PB_DEPTH, unknown)), 0);
}

/* Messages and groups share the limit: 60 messages around 40 groups. */
static void test_depth_is_shared(void **state) {
  (void)state;
  static const char *unknown[2][2] = {{"0b", "0c"}, {"13", "14"}};
  uint8_t inner[512], in[4096];
  for (int groups = 2; groups <= 3; groups++) {
    size_t len = nest_groups(inner, groups, unknown);
    memcpy(in, inner, len);
    for (int i = 0; i < 98; i++) {
      uint8_t head[4] = {0x92, 0x01, (uint8_t)(len >= 128 ? (len & 0x7f) | 0x80 : len),
                         (uint8_t)(len >> 7)};
      size_t n = len >= 128 ? 4 : 3;
      memmove(in + n, in, len);
      memcpy(in, head, n);
      len += n;
    }
    assert_int_equal(decode_bytes(E, in, len), groups == 2 ? 0 : CAW_EDEPTH);
  }
}

/* Strings point into what was received. */
static void test_strings_are_borrowed(void **state) {
  (void)state;
  static const char in[] = "\x4a\x03"
                           "abc\x52\x01x";
  caw_arena *arena = caw_arena_new(0);
  caw_test_everything m;
  assert_int_equal(caw_pb_decode(&m, arena, E, in, sizeof(in) - 1), 0);
  assert_ptr_equal(m.f_string.data, in + 2);
  assert_ptr_equal(m.f_bytes.data, in + 7);
  assert_int_equal(caw_arena_used(arena), 0);
  caw_arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_malformed),
      cmocka_unit_test(test_good),
      cmocka_unit_test(test_cut_off),
      cmocka_unit_test(test_depth_of_messages),
      cmocka_unit_test(test_depth_of_groups),
      cmocka_unit_test(test_depth_is_shared),
      cmocka_unit_test(test_strings_are_borrowed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
