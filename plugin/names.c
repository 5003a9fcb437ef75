/* The mangling; docs/mangling.md. */
#include "names.h"
#include "text.h"

#include <ctype.h>
#include <stdlib.h>

/*
 * Words that cannot be used as they are: keywords of C11, C23 and C++17 to 23,
 * macros of the headers that generated code includes or that every system
 * defines for plain words, and the types that generated structs are written
 * with. Sorted by bytes.
 */
static const char *const reserved[] = {
    "EOF",
    "NULL",
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "assert",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "caw_pb_unknown",
    "caw_str",
    "caw_type",
    "char",
    "char16_t",
    "char32_t",
    "char8_t",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "complex",
    "concept",
    "const",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "errno",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "i386",
    "if",
    "imaginary",
    "inline",
    "int",
    "int32_t",
    "int64_t",
    "linux",
    "long",
    "main",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "noreturn",
    "not",
    "not_eq",
    "nullptr",
    "offsetof",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "requires",
    "restrict",
    "return",
    "short",
    "signed",
    "size_t",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "stderr",
    "stdin",
    "stdout",
    "struct",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "typeof_unqual",
    "uint32_t",
    "uint64_t",
    "uint8_t",
    "union",
    "unix",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
};

static int compare(const void *key, const void *word) {
  return strcmp(key, *(const char *const *)word);
}

const char *names_usable(const char *name) {
  size_t n = sizeof(reserved) / sizeof(reserved[0]);
  if (!bsearch(name, reserved, n, sizeof(reserved[0]), compare)) return name;
  return text_format("%s_", name);
}

/* An underscore goes before a capital that begins a word: one behind a small
 * letter or a digit, and the last of several when a small letter follows. */
static bool begins_word(caw_str s, size_t i) {
  unsigned char c = (unsigned char)s.data[i], before = i ? (unsigned char)s.data[i - 1] : '_';
  if (!isupper(c) || before == '_') return false;
  if (!isupper(before)) return true;
  return i + 1 < s.len && islower((unsigned char)s.data[i + 1]);
}

const char *names_snake(caw_str s) {
  char *out = text_alloc(2 * s.len + 1, 1), *p = out;
  for (size_t i = 0; i < s.len; i++) {
    if (begins_word(s, i)) *p++ = '_';
    *p++ = (char)tolower((unsigned char)s.data[i]);
  }
  return out;
}

const char *names_join(caw_str full) {
  char *copy = text_alloc(full.len + 1, 1);
  for (size_t i = 0; i < full.len; i++) copy[i] = (char)(full.data[i] == '.' ? '_' : full.data[i]);
  return names_snake(caw_str_of(copy, full.len));
}

const char *names_upper(const char *name) {
  size_t len = strlen(name);
  char *out = text_alloc(len + 1, 1);
  for (size_t i = 0; i < len; i++) out[i] = (char)toupper((unsigned char)name[i]);
  return out;
}

const char *names_of_path(const char *path) {
  size_t len = strlen(path);
  char *out = text_alloc(len + 1, 1);
  for (size_t i = 0; i < len; i++) out[i] = (char)(isalnum((unsigned char)path[i]) ? path[i] : '_');
  return out;
}

bool names_is_identifier(caw_str s) {
  if (!s.len || isdigit((unsigned char)s.data[0])) return false;
  for (size_t i = 0; i < s.len; i++)
    if (!isalnum((unsigned char)s.data[i]) && s.data[i] != '_') return false;
  return true;
}
