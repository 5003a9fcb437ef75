/* The characters of field_chars.h. */
#include "h2/field_chars.h"

#include <stdint.h>

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
