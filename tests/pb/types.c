/* Sets of types by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "everything.caw.h"
#include "google/protobuf/struct.caw.h"
#include "legacy.caw.h"
#include "other/imported.caw.h"

#include <stdio.h>

/* All that the files declare is found, and what they import. */
static void check_file(const caw_pb_types *types, const caw_pb_file *file) {
  for (size_t i = 0; i < file->message_count; i++) {
    const char *name = caw_pb_table(file->messages[i])->name;
    assert_ptr_equal(caw_pb_types_message(types, caw_str_from(name)), file->messages[i]);
    assert_null(caw_pb_types_enum(types, caw_str_from(name)));
  }
  for (size_t i = 0; i < file->enum_count; i++) {
    const char *name = file->enums[i]->name;
    assert_ptr_equal(caw_pb_types_enum(types, caw_str_from(name)), file->enums[i]);
    assert_null(caw_pb_types_message(types, caw_str_from(name)));
  }
  for (size_t i = 0; i < file->import_count; i++) check_file(types, file->imports[i]);
}

static void test_all_found(void **state) {
  static const caw_pb_file *const files[] = {&caw_file_everything_proto, &caw_file_legacy_proto,
                                             &caw_file_everything_proto};
  caw_pb_types *types;
  (void)state;
  assert_int_equal(caw_pb_types_new(&types, files, 3), 0);
  check_file(types, files[0]);
  check_file(types, files[1]);
  assert_null(caw_pb_types_message(types, caw_str_from("")));
  assert_null(caw_pb_types_message(types, caw_str_from("caw.test.No")));
  assert_null(caw_pb_types_message(types, caw_str_from(".caw.test.Everything")));
  assert_null(caw_pb_types_enum(types, caw_str_from("caw.test.COLOR_RED")));
  caw_pb_types_free(types);
}

static void test_empty(void **state) {
  caw_pb_types *types;
  (void)state;
  assert_int_equal(caw_pb_types_new(&types, NULL, 0), 0);
  assert_null(caw_pb_types_message(types, caw_str_from("caw.test.Everything")));
  caw_pb_types_free(types);
  caw_pb_types_free(NULL);
  assert_null(caw_pb_types_message(NULL, caw_str_from("caw.test.Everything")));
  assert_null(caw_pb_types_enum(NULL, caw_str_from("caw.test.Color")));
}

/* Files that import one another in many ways are visited once; of two with one
 * name the first one's types count. */
static void test_diamonds(void **state) {
  enum { N = 60 };
  static caw_pb_file files[N];
  static const caw_pb_file *imports[N][2];
  static char names[N][16];
  const caw_pb_file *root = &files[0];
  caw_pb_types *types;
  (void)state;
  for (int i = 0; i < N; i++) {
    sprintf(names[i], "f%d.proto", i);
    files[i] = (caw_pb_file){.name = names[i]};
    if (i == N - 1) {
      files[i].messages = caw_file_other_imported_proto.messages;
      files[i].message_count = caw_file_other_imported_proto.message_count;
      continue;
    }
    imports[i][0] = imports[i][1] = &files[i + 1];
    files[i].imports = imports[i];
    files[i].import_count = 2;
  }
  assert_int_equal(caw_pb_types_new(&types, &root, 1), 0);
  assert_ptr_equal(caw_pb_types_message(types, caw_str_from("other.pkg.Foo")),
                   &other_pkg_foo_type_);
  caw_pb_types_free(types);

  static const caw_pb_message table = {.name = "other.pkg.Foo"};
  static const caw_type twin = {&caw_pb_codec, &table, 8};
  static const caw_type *const twins[] = {&twin};
  const caw_pb_file second = {.name = "f59.proto", .messages = twins, .message_count = 1};
  const caw_pb_file *both[] = {&second, &files[N - 1]};
  assert_int_equal(caw_pb_types_new(&types, both, 2), 0);
  assert_ptr_equal(caw_pb_types_message(types, caw_str_from("other.pkg.Foo")), &twin);
  assert_non_null(caw_pb_types_message(types, caw_str_from("other.pkg.Imported")));
  caw_pb_types_free(types);
}

/* The same with names that other files have: every layer has two files that
 * import both of the next one, so that there are 2^60 ways to the last. */
static void test_twins(void **state) {
  enum { LAYERS = 60, FILES = 2 * LAYERS };
  static caw_pb_file first[FILES], second[FILES];
  static const caw_pb_file *imports[FILES][2], *roots[FILES + 1];
  static char names[FILES][16];
  caw_pb_types *types;
  (void)state;
  for (int i = 0; i < FILES; i++) {
    sprintf(names[i], "f%d.proto", i);
    first[i] = second[i] = (caw_pb_file){.name = names[i]};
    roots[i] = &first[i];
    if (i / 2 == LAYERS - 1) continue;
    imports[i][0] = &second[i / 2 * 2 + 2];
    imports[i][1] = &second[i / 2 * 2 + 3];
    second[i].imports = imports[i];
    second[i].import_count = 2;
  }
  roots[FILES] = &second[0];
  second[FILES - 1].messages = caw_file_other_imported_proto.messages;
  second[FILES - 1].message_count = caw_file_other_imported_proto.message_count;
  assert_int_equal(caw_pb_types_new(&types, roots, FILES + 1), 0);
  assert_ptr_equal(caw_pb_types_message(types, caw_str_from("other.pkg.Foo")),
                   &other_pkg_foo_type_);
  caw_pb_types_free(types);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_found),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_diamonds),
      cmocka_unit_test(test_twins),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
