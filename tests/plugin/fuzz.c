/* protoc-gen-caw with any CodeGeneratorRequest: it answers, and the answer can be
 * read. Where it generates, it does so twice the same. */
#include "answer.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  const char *what;
  caw_str first = {NULL, 0}, second = {NULL, 0};
  text_arena = caw_arena_new(65536);
  if (!text_arena) abort();
  int rc = plugin_answer(&first, data, len, &what);
  int again = plugin_answer(&second, data, len, &what);
  if (rc != again || (!rc && !caw_str_eq(first, second))) abort();
  caw_arena_free(text_arena);
  return 0;
}
