/* Request heads for the endpoint: whatever comes has one of four answers. */
#include "scrape/request.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  request r;
  const char *text = (const char *)data;
  size_t head = request_length(text, len);
  if (head > len) abort();
  if (!head) return 0;
  if (request_length(text, head) != head || request_length(text, head - 1)) abort();
  request_read(&r, text, head);
  if (r.status != 200 && r.status != 400 && r.status != 404 && r.status != 405) abort();
  return 0;
}
