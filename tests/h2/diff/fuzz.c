/* libFuzzer writes the scripts of the comparison. A difference is told as it
 * happened, then the process aborts. */
#include "diff/diff.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  if (!diff_run(&face_ours, &face_oracle, data, len, DIFF_KNOWN)) return 0;
  diff_run(&face_ours, &face_oracle, data, len, DIFF_KNOWN | DIFF_TELL);
  abort();
}
