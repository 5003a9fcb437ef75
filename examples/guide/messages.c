/* Messages without a call: plain structs, bytes, JSON. */
#include <caw/json.h>
#include <caw/pb.h>
#include <greeter.caw.h>
#include <stdio.h>

int main(void) {
  /* {0} is the empty message; strings are pointer and length and belong to you. */
  greeter_hello_request request = {.name = CAW_STR("Ann"), .age = 34}, copy;
  caw_arena *arena = caw_arena_new(0);
  const caw_type *type = &greeter_hello_request_type;
  caw_str bytes, json;

  /* Everything that is made lives in the arena; nothing is freed by itself. */
  int rc = caw_pb_encode(&bytes, arena, type, &request);
  if (!rc) rc = caw_pb_decode(&copy, arena, type, bytes.data, bytes.len);
  if (!rc) rc = caw_json_write(&json, arena, type, &copy, NULL, NULL);
  if (rc) return fprintf(stderr, "%s\n", caw_strerror(rc)), 1;
  printf("%zu bytes, as JSON %.*s\n", bytes.len, CAW_STR_ARG(json));

  caw_json_error error;
  caw_str text = CAW_STR("{\"name\": \"Ben\", \"age\": \"old\"}");
  rc = caw_json_read(&copy, arena, type, text, NULL, &error);
  printf("%s: %s\n", caw_code_name(rc), error.text);
  caw_arena_free(arena);
  return 0;
}
