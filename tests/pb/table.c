/* Looking things up in generated tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "legacy.caw.h"
#include "other/imported.caw.h"

/* Each field is found by its number and its two names, in every message. */
static void check_message(const caw_type *type) {
  const caw_pb_message *t = caw_pb_table(type);
  assert_non_null(t);
  assert_int_equal(t->size, type->size);
  for (size_t i = 0; i < t->field_count; i++) {
    const caw_pb_field *f = &t->fields[i];
    assert_ptr_equal(caw_pb_field_by_number(t, f->tag >> 3), f);
    assert_ptr_equal(caw_pb_field_by_name(t, caw_str_from(f->name)), f);
    assert_ptr_equal(caw_pb_field_by_name(t, caw_str_from(f->json_name)), f);
    assert_true(i == 0 || t->fields[i - 1].tag >> 3 < f->tag >> 3);
  }
  assert_null(caw_pb_field_by_number(t, 0));
  assert_null(caw_pb_field_by_number(t, 536870910));
  assert_null(caw_pb_field_by_name(t, caw_str_from("")));
  assert_null(caw_pb_field_by_name(t, caw_str_from("no_such_field")));
  assert_null(caw_pb_field_by_name(t, caw_str_from("~")));
}

static void check_enum(const caw_pb_enum *e) {
  for (size_t i = 0; i < e->value_count; i++) {
    int32_t number = 0;
    assert_true(caw_pb_enum_number(&number, e, caw_str_from(e->values[i].name)));
    assert_int_equal(number, e->values[i].number);
    assert_non_null(caw_pb_enum_name(e, number));
    assert_true(i == 0 || e->values[i - 1].number <= e->values[i].number);
  }
  int32_t kept = 77;
  assert_false(caw_pb_enum_number(&kept, e, caw_str_from("no_such_value")));
  assert_int_equal(kept, 77);
  assert_null(caw_pb_enum_name(e, 123456));
}

static void check_file(const caw_pb_file *f) {
  for (size_t i = 0; i < f->message_count; i++) check_message(f->messages[i]);
  for (size_t i = 0; i < f->enum_count; i++) check_enum(f->enums[i]);
  for (size_t i = 0; i < f->import_count; i++) check_file(f->imports[i]);
}

static void test_lookups(void **state) {
  (void)state;
  check_file(&caw_file_everything_proto);
  check_file(&caw_file_legacy_proto);
  assert_int_equal(caw_file_everything_proto.import_count, 8);
  assert_string_equal(caw_file_everything_proto.imports[7]->name, "other/imported.proto");
}

static void test_enum_details(void **state) {
  (void)state;
  /* Of aliases, the one declared first. */
  assert_string_equal(caw_pb_enum_name(&caw_test_alias_enum, 1), "ALIAS_ONE");
  assert_string_equal(caw_pb_enum_name(&caw_test_color_enum, INT32_MIN), "COLOR_LOWEST");
  assert_int_equal(caw_test_color_enum.first, 0);
  assert_int_equal(caw_test_legacy_closed_enum.first, 3);
  assert_int_equal(caw_test_legacy_closed_enum.flags, CAW_PB_CLOSED);
  assert_int_equal(CAW_TEST_COLOR_HIGHEST, INT32_MAX);
}

static void test_names(void **state) {
  (void)state;
  const caw_pb_message *t = caw_pb_table(&caw_test_everything_type);
  assert_string_equal(t->name, "caw.test.Everything");
  assert_string_equal(caw_pb_field_by_number(t, 138)->json_name, "other\"name");
  assert_ptr_equal(caw_pb_field_by_name(t, caw_str_from("camelCase")),
                   caw_pb_field_by_number(t, 133));
  assert_ptr_equal(caw_pb_field_by_name(t, caw_str_from("fSint32")), caw_pb_field_by_number(t, 14));
  /* Reserved words, snake case, a constant that gives way to a type. */
  caw_test_everything m = {0};
  m.int_ = m.http_server = m.sha256_sum = m._leading = m.size_t_ = m.very_far = 1;
  m.class_ = caw_str_from("x");
  m.camel_case = true;
  other_pkg_foo_type typed = {0};
  assert_null(typed.foo);
  assert_int_equal(other_pkg_foo_type_.size, sizeof(other_pkg_foo));
  assert_int_equal(other_pkg_foo_type_type.size, sizeof(other_pkg_foo_type));
  assert_null(caw_pb_table(&(caw_type){NULL, NULL, 0}));
}

static void test_defaults(void **state) {
  (void)state;
  caw_test_legacy_legacy m = {0};
  assert_true(caw_str_is(caw_test_legacy_legacy_get_name(&m), "a \"name\" ?"
                                                              "?/ \xc3\xa4"));
  assert_true(caw_str_eq(caw_test_legacy_legacy_get_raw(&m), caw_str_of("\0\377?\"x", 5)));
  assert_int_equal(caw_test_legacy_legacy_get_closed(&m), CAW_TEST_LEGACY_SECOND);
  assert_true(caw_test_legacy_legacy_get_d(&m) < -1e308);
  assert_true(caw_test_legacy_legacy_get_f(&m) == 1e10f);
  assert_true(caw_test_legacy_legacy_get_nan(&m) != caw_test_legacy_legacy_get_nan(&m));
  assert_true(caw_test_legacy_legacy_get_low(&m) == INT64_MIN);
  assert_true(caw_test_legacy_legacy_get_high(&m) == UINT64_MAX);
  assert_true(caw_test_legacy_legacy_get_low32(&m) == INT32_MIN);
  assert_true(caw_test_legacy_legacy_get_yes(&m));
  assert_true(caw_test_legacy_legacy_get_whole(&m) == 3.0);
  assert_int_equal(caw_test_legacy_legacy_get_number(&m), 9);
  m.has_yes = true;
  m.choice_case = CAW_TEST_LEGACY_LEGACY_CHOICE_CASE_NUMBER;
  m.choice.number = 4;
  assert_false(caw_test_legacy_legacy_get_yes(&m));
  assert_int_equal(caw_test_legacy_legacy_get_number(&m), 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lookups),
      cmocka_unit_test(test_enum_details),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_defaults),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
