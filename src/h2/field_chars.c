/* The characters of field_chars.h. */
#include "h2/field_chars.h"

#include <stdint.h>
#include <string.h>

/* 1 for the characters of a name: "!#$%&'*+-.^_`|~", digits, small letters. */
static const uint8_t in_name[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
    ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1, ['0'] = 1,
    ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,  ['7'] = 1, ['8'] = 1,
    ['9'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1,  ['f'] = 1, ['g'] = 1,
    ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1,  ['n'] = 1, ['o'] = 1,
    ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1,  ['v'] = 1, ['w'] = 1,
    ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

/* 1 for the characters of a host, a port and what may stand before (RFC 3986
 * section 3.2). */
static const uint8_t in_authority[256] = {
    ['!'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['('] = 1, [')'] = 1, ['*'] = 1,
    ['+'] = 1, [','] = 1, ['-'] = 1, ['.'] = 1, [':'] = 1,  [';'] = 1, ['='] = 1, ['@'] = 1,
    ['['] = 1, [']'] = 1, ['_'] = 1, ['~'] = 1, ['0'] = 1,  ['1'] = 1, ['2'] = 1, ['3'] = 1,
    ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1,  ['9'] = 1, ['A'] = 1, ['B'] = 1,
    ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1,  ['H'] = 1, ['I'] = 1, ['J'] = 1,
    ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1,  ['P'] = 1, ['Q'] = 1, ['R'] = 1,
    ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1, ['W'] = 1,  ['X'] = 1, ['Y'] = 1, ['Z'] = 1,
    ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1,  ['f'] = 1, ['g'] = 1, ['h'] = 1,
    ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1,  ['n'] = 1, ['o'] = 1, ['p'] = 1,
    ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1,  ['v'] = 1, ['w'] = 1, ['x'] = 1,
    ['y'] = 1, ['z'] = 1,
};

bool h2_name_valid(caw_str name) {
  size_t i = name.len && name.data[0] == ':';
  if (i == name.len) return false;
  for (; i < name.len; i++)
    if (!in_name[(uint8_t)name.data[i]]) return false;
  return true;
}

static bool in_value(uint8_t c) {
  return (c >= 0x20 && c != 0x7f) || c == '\t';
}

#define EACH(byte) (UINT64_MAX / 0xff * (byte))

/* Eight characters at once, none a control character? Says no more often than
 * it must: HTAB is looked at one by one. */
static bool eight_printable(const char *text) {
  uint64_t c;
  memcpy(&c, text, sizeof(c));
  uint64_t low = (c - EACH(0x20)) & ~c; /* the upper bit: below 0x20 */
  uint64_t del = ((c ^ EACH(0x7f)) - EACH(0x01)) & ~(c ^ EACH(0x7f));
  return ((low | del) & EACH(0x80)) == 0;
}

bool h2_value_valid(caw_str value) {
  size_t i = 0;
  while (value.len - i >= 8) {
    if (!eight_printable(value.data + i))
      for (size_t k = i; k < i + 8; k++)
        if (!in_value((uint8_t)value.data[k])) return false;
    i += 8;
  }
  for (; i < value.len; i++)
    if (!in_value((uint8_t)value.data[i])) return false;
  return true;
}

static bool is_letter(uint8_t c) {
  return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* A token (RFC 9110 section 9.1). */
static bool is_method(caw_str value) {
  for (size_t i = 0; i < value.len; i++) {
    uint8_t c = (uint8_t)value.data[i];
    if (!in_name[c] && !is_letter(c)) return false;
  }
  return true;
}

/* RFC 3986 section 3.1. */
static bool is_scheme(caw_str value) {
  if (!value.len || !is_letter((uint8_t)value.data[0])) return false;
  for (size_t i = 1; i < value.len; i++) {
    uint8_t c = (uint8_t)value.data[i];
    if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.') return false;
  }
  return true;
}

static bool has_no_space(caw_str value) {
  return !value.len ||
         (!memchr(value.data, ' ', value.len) && !memchr(value.data, '\t', value.len));
}

bool h2_authority_valid(caw_str value) {
  for (size_t i = 0; i < value.len; i++)
    if (!in_authority[(uint8_t)value.data[i]]) return false;
  return true;
}

bool h2_value_fits(uint8_t token, caw_str value) {
  switch (token) {
  case H2_T_METHOD:
    return is_method(value);
  case H2_T_SCHEME:
    return is_scheme(value);
  case H2_T_AUTHORITY:
    return h2_authority_valid(value);
  case H2_T_PATH:
    return h2_value_valid(value) && has_no_space(value);
  default:
    return h2_value_valid(value);
  }
}
