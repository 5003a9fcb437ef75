/*
 * The static table (RFC 7541 appendix A), by index and by name. For the decoder
 * and the encoder only.
 */
#ifndef H2_HPACK_STATIC_H
#define H2_HPACK_STATIC_H

#include "h2/h2.h"

#define HPACK_STATIC 61

/* Index n is hpack_static[n - 1]. Each has its token and H2_FIELD_LASTING. */
extern const h2_field hpack_static[HPACK_STATIC];

/* What the static table has for a name with a token. */
typedef struct hpack_known {
  caw_str name;
  uint8_t index;  /* of the first entry with this name, or 0 */
  uint8_t values; /* how many entries from there on have a value */
} hpack_known;

/* By token; nothing is known of H2_T_NONE. */
extern const hpack_known hpack_known_names[H2_TOKENS];

/* The index of a name without a token, or 0. */
size_t hpack_static_name(caw_str name);

#endif
