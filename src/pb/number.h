/*
 * Numbers and text, whatever the locale: integers exactly, and floating point
 * with as few digits as read back to the same bits. For JSON and for printing.
 */
#ifndef PB_NUMBER_H
#define PB_NUMBER_H

#include <caw/str.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest text that the functions below write. */
#define PB_NUMBER_ROOM 40

/* Write a number, without a NUL, and return how many bytes that is. The
 * floating point ones are for finite numbers. */
size_t pb_print_u64(char *out, uint64_t v);
size_t pb_print_i64(char *out, int64_t v);
size_t pb_print_double(char *out, double v);
size_t pb_print_float(char *out, float v);

/* The number at the start of `s` has the form that JSON gives numbers (RFC
 * 8259, section 6). Returns its length, 0 when there is none. */
size_t pb_number_scan(caw_str s);

typedef enum pb_integer {
  PB_INTEGER_OK,
  PB_INTEGER_FRACTION, /* not a whole number */
  PB_INTEGER_RANGE     /* needs more than 64 bits */
} pb_integer;

/* Read a number that has that form. Whole numbers may have a fraction of zeros
 * and an exponent; they come as a sign and a magnitude. Floating point is
 * rounded once, to the nearest; false when that is infinite. */
pb_integer pb_read_integer(caw_str number, bool *negative, uint64_t *magnitude);
bool pb_read_double(caw_str number, double *out);
bool pb_read_float(caw_str number, float *out);

#endif
