/* The functions of zeros.h. */
#include "zeros.h"

/* Never written, so the pages are the kernel's one page of zeros; not const, so
 * that it takes no room in the program's file. */
static char nothing[ZEROS_MAX];

caw_str zeros(size_t len) {
  return caw_str_of(nothing, len < ZEROS_MAX ? len : ZEROS_MAX);
}

bool zeros_only(caw_str s) {
  for (size_t i = 0; i < s.len; i++)
    if (s.data[i]) return false;
  return true;
}
