/*
 * Two implementations of h2/h2.h, src/h2 and the oracle, at the same game: both
 * hear the same bytes of a peer in the same chunks and get the same local calls,
 * and whatever can be seen of them is compared: events, results, what they write.
 *
 * A script of bytes says what happens (script.c tells its grammar), so that
 * libFuzzer can write it.
 */
#ifndef DIFF_H
#define DIFF_H

#include "face.h"

enum {
  DIFF_KNOWN = 1, /* the deliberate differences of known.c are permitted, and demanded */
  DIFF_TELL = 2   /* prints what happens to stderr */
};

/* Sums over all scripts so far, which show how deep they get. */
typedef struct diff_sums {
  uint64_t scripts;
  uint64_t frames;   /* that the peer sent */
  uint64_t streams;  /* that both sides opened */
  uint64_t blocks;   /* header blocks that both sides told */
  uint64_t data;     /* bytes of DATA that both sides told */
  uint64_t closes;   /* streams that both sides closed without an error */
  uint64_t failures; /* connections that both sides failed */
  uint64_t known;    /* deliberate differences that were looked at */
} diff_sums;

extern diff_sums diff_total;

/* Plays a script. Returns NULL when both are alike, or what differs, valid until
 * the next call. */
const char *diff_run(const h2_face *ours, const h2_face *oracle, const uint8_t *script, size_t len,
                     unsigned how);

#endif
