/* Bodies of zeros: what the interop tests send and expect. */
#ifndef APPS_INTEROP_ZEROS_H
#define APPS_INTEROP_ZEROS_H

#include <caw/str.h>
#include <stdbool.h>

/* The largest body that zeros can give. */
#define ZEROS_MAX (64 * 1024 * 1024)

/* `len` zero bytes, at most ZEROS_MAX; they live for ever and are not touched,
 * so they cost no memory. */
caw_str zeros(size_t len);

/* Are these bytes all zero? */
bool zeros_only(caw_str s);

#endif
