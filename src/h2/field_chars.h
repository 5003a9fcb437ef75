/* Which characters a field may have (RFC 9113 section 8.2.1). */
#ifndef H2_FIELD_CHARS_H
#define H2_FIELD_CHARS_H

#include <caw/str.h>

/* A name: characters of a token (RFC 9110 section 5.6.2) without upper case
 * letters, one at least, and behind a colon when it is a pseudo-header field's. */
bool h2_name_valid(caw_str name);

/* A value: no control characters but HTAB. Spaces at its ends are fine: gRPC
 * takes them. */
bool h2_value_valid(caw_str value);

#endif
