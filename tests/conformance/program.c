/*
 * The program that the official conformance suite tests: requests from stdin,
 * answers to stdout, each with its length in four bytes before it,
 * little-endian. conformance.proto of the suite says what they mean.
 */
#include "conformance/conformance.caw.h"
#include "google/protobuf/test_messages_proto2.caw.h"
#include "google/protobuf/test_messages_proto3.caw.h"

#include <caw/json.h>
#include <caw/status.h>
#include <stdio.h>
#include <stdlib.h>

static const caw_type *const types[] = {
    &protobuf_test_messages_proto3_test_all_types_proto3_type,
    &protobuf_test_messages_proto2_test_all_types_proto2_type,
};

static const caw_type *find_type(caw_str name) {
  for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
    if (caw_str_is(name, caw_pb_table(types[i])->name)) return types[i];
  return NULL;
}

static caw_pb_types *known; /* for Any */

#define REQUEST(name)  CONFORMANCE_CONFORMANCE_REQUEST_PAYLOAD_CASE_##name
#define RESPONSE(name) CONFORMANCE_CONFORMANCE_RESPONSE_RESULT_CASE_##name

static void answer(conformance_conformance_response *out,
                   enum conformance_conformance_response_result_case result, caw_str text) {
  memset(out, 0, sizeof(*out));
  out->result_case = result;
  out->result.skipped = text; /* the strings of the union are at one place */
}

/* What to tell about an error: JSON's has a text, others have their meaning. */
static caw_str text_of(const caw_json_error *error, int rc) {
  return caw_str_from(error->text[0] ? error->text : caw_strerror(rc));
}

/* Parses the payload into m. */
static int parse(const conformance_conformance_request *in, const caw_type *type, void *m,
                 caw_arena *arena, caw_json_error *error) {
  if (in->payload_case == REQUEST(JSON_PAYLOAD)) {
    caw_json_read_options o = {.size = sizeof(o), .types = known};
    o.ignore_unknown = in->test_category == CONFORMANCE_JSON_IGNORE_UNKNOWN_PARSING_TEST;
    return caw_json_read(m, arena, type, in->payload.json_payload, &o, error);
  }
  caw_str data = in->payload.protobuf_payload;
  return caw_pb_decode(m, arena, type, data.data, data.len);
}

/* Writes m in the format that is asked for. */
static void write(conformance_conformance_response *out, const conformance_conformance_request *in,
                  const caw_type *type, const void *m, caw_arena *arena) {
  caw_json_error error = {0};
  caw_str bytes;
  bool json = in->requested_output_format == CONFORMANCE_JSON;
  caw_json_write_options o = {.size = sizeof(o), .types = known};
  int rc = json ? caw_json_write(&bytes, arena, type, m, &o, &error)
                : caw_pb_encode(&bytes, arena, type, m);
  if (rc) answer(out, RESPONSE(SERIALIZE_ERROR), caw_arena_dup(arena, text_of(&error, rc)));
  else answer(out, json ? RESPONSE(JSON_PAYLOAD) : RESPONSE(PROTOBUF_PAYLOAD), bytes);
}

static void run(conformance_conformance_response *out, const conformance_conformance_request *in,
                caw_arena *arena) {
  const caw_type *type = find_type(in->message_type);
  bool known_input =
      in->payload_case == REQUEST(PROTOBUF_PAYLOAD) || in->payload_case == REQUEST(JSON_PAYLOAD);
  bool known_output = in->requested_output_format == CONFORMANCE_PROTOBUF ||
                      in->requested_output_format == CONFORMANCE_JSON;
  if (caw_str_is(in->message_type, "conformance.FailureSet")) {
    answer(out, RESPONSE(PROTOBUF_PAYLOAD), caw_str_from(""));
    return;
  }
  if (!type || !known_input || !known_output) {
    answer(out, RESPONSE(SKIPPED), caw_str_from("no such type or format"));
    return;
  }
  caw_json_error error = {0};
  void *m = caw_arena_alloc(arena, type->size);
  int rc = parse(in, type, m, arena, &error);
  if (rc) answer(out, RESPONSE(PARSE_ERROR), caw_arena_dup(arena, text_of(&error, rc)));
  else write(out, in, type, m, arena);
}

static bool read_all(void *data, size_t len) {
  return fread(data, 1, len, stdin) == len;
}

/* One request and its answer. Returns false at the end of the input. */
static bool serve(caw_arena *arena) {
  conformance_conformance_request in;
  conformance_conformance_response out;
  uint8_t head[4];
  caw_str bytes;
  if (!read_all(head, 4)) return false;
  size_t len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
  void *data = caw_arena_alloc(arena, len);
  if (!data || !read_all(data, len)) exit(1);
  if (caw_pb_decode(&in, arena, &conformance_conformance_request_type, data, len)) exit(1);
  run(&out, &in, arena);
  if (caw_pb_encode(&bytes, arena, &conformance_conformance_response_type, &out)) exit(1);
  for (int i = 0; i < 4; i++) head[i] = (uint8_t)(bytes.len >> (8 * i));
  fwrite(head, 1, 4, stdout);
  fwrite(bytes.data, 1, bytes.len, stdout);
  return fflush(stdout) == 0;
}

int main(void) {
  static const caw_pb_file *const files[] = {
      &caw_file_google_protobuf_test_messages_proto3_proto,
      &caw_file_google_protobuf_test_messages_proto2_proto,
  };
  caw_arena *arena = caw_arena_new(0);
  if (caw_pb_types_new(&known, files, sizeof(files) / sizeof(files[0]))) return 1;
  while (serve(arena)) caw_arena_reset(arena);
  caw_arena_free(arena);
  caw_pb_types_free(known);
  return 0;
}
