/* Which characters a field may have (RFC 9113 sections 8.2.1 and 8.3.1). */
#ifndef H2_FIELD_CHARS_H
#define H2_FIELD_CHARS_H

#include "h2/h2.h"

/* A name: characters of a token (RFC 9110 section 5.6.2) without upper case
 * letters, one at least, and behind a colon when it is a pseudo-header field's. */
bool h2_name_valid(caw_str name);

/* A value: no control characters but HTAB. Spaces at its ends are fine: gRPC
 * takes them. */
bool h2_value_valid(caw_str value);

/* The value of a field with this h2_token: as above, and a request's pseudo-header
 * fields only with what is valid there. */
bool h2_value_fits(uint8_t token, caw_str value);

/* What names a server: of :authority, and of a request's host. */
bool h2_authority_valid(caw_str value);

#endif
