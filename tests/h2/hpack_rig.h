/*
 * Two HPACK decoders that hear the same bytes, ours and nghttp2's, and what they
 * said, as bytes that can be compared.
 */
#ifndef HPACK_RIG_H
#define HPACK_RIG_H

#include "h2/hpack.h"

#include <nghttp2/nghttp2.h>

#define HEARD_BYTES ((size_t)1 << 20)

/* What a decoder said about a block. */
typedef struct heard {
  bool fine;           /* all of it was read */
  hpack_result result; /* ours: how it ended */
  size_t count;        /* of fields */
  size_t len;
  uint8_t said[HEARD_BYTES]; /* each field, its lengths and `secret` first */
} heard;

void heard_clear(heard *h);
void heard_field(heard *h, caw_str name, caw_str value, bool secret);
bool heard_same(const heard *a, const heard *b);
/* Prints both, for a test that fails. */
void heard_print(const char *title, const heard *h);

/* How a block is cut: whole, into single bytes, or by a seed. */
enum { CUT_NOT = 0, CUT_ALL = 1 };

/* Feeds our decoder. Each part is a piece of memory of its own, which ends where
 * the part ends. Checks what hpack.h promises about each result. */
void ours_hear(heard *h, hpack_decoder *d, const uint8_t *block, size_t len, unsigned cut);

/* Feeds nghttp2's. */
void theirs_hear(heard *h, nghttp2_hd_inflater *d, const uint8_t *block, size_t len);

/* Does a block begin with more than two updates of the table's size? Ours alone
 * refuses that (RFC 7541 section 4.2: "at most two"). */
bool too_many_updates(const uint8_t *block, size_t len);

/* Random numbers that are the same on each machine. */
typedef struct dice {
  uint64_t state;
} dice;

uint64_t dice_roll(dice *d);
static inline size_t dice_below(dice *d, size_t n) {
  return (size_t)(dice_roll(d) % n);
}

/* Says what went wrong and ends the process. */
#define MUST(condition)                                                                            \
  do {                                                                                             \
    if (!(condition)) must_fail(#condition, __FILE__, __LINE__);                                   \
  } while (0)
_Noreturn void must_fail(const char *what, const char *file, int line);

#endif
