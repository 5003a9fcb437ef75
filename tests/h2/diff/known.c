/* Deliberate differences between src/h2 and the oracle, each with the sentence that
 * it stands on. */
#include "diff/inside.h"

struct known {
  int todo;
};

const known *known_for(diff *d, const frame *f) {
  (void)d;
  (void)f;
  return NULL;
}

void known_judge(diff *d, const known *k, const frame *f) {
  (void)d;
  (void)k;
  (void)f;
}
