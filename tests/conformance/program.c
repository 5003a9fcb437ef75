/*
 * The program that the official conformance suite tests: requests from stdin,
 * answers to stdout, each with its length in four bytes before it,
 * little-endian. conformance.proto of the suite says what they mean.
 */
#include "conformance/conformance.caw.h"
#include "google/protobuf/test_messages_proto2.caw.h"
#include "google/protobuf/test_messages_proto3.caw.h"

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

/* Parses the payload into m. *skip when its format is none of ours. */
static int parse(const conformance_conformance_request *in, const caw_type *type, void *m,
                 caw_arena *arena, bool *skip) {
  if (in->payload_case == CONFORMANCE_CONFORMANCE_REQUEST_PAYLOAD_CASE_PROTOBUF_PAYLOAD) {
    caw_str data = in->payload.protobuf_payload;
    return caw_pb_decode(m, arena, type, data.data, data.len);
  }
  *skip = true;
  return 0;
}

static void answer(conformance_conformance_response *out,
                   enum conformance_conformance_response_result_case result, caw_str text) {
  memset(out, 0, sizeof(*out));
  out->result_case = result;
  out->result.skipped = text; /* the strings of the union are at one place */
}

#define RESULT(name) CONFORMANCE_CONFORMANCE_RESPONSE_RESULT_CASE_##name

static void run(conformance_conformance_response *out, const conformance_conformance_request *in,
                caw_arena *arena) {
  const caw_type *type = find_type(in->message_type);
  bool skip = in->requested_output_format != CONFORMANCE_PROTOBUF;
  caw_str bytes;
  if (caw_str_is(in->message_type, "conformance.FailureSet")) {
    answer(out, RESULT(PROTOBUF_PAYLOAD), caw_str_from(""));
    return;
  }
  if (!type) {
    answer(out, RESULT(SKIPPED), caw_str_from("no such message type"));
    return;
  }
  void *m = caw_arena_alloc(arena, type->size);
  int rc = skip ? 0 : parse(in, type, m, arena, &skip);
  if (skip) {
    answer(out, RESULT(SKIPPED), caw_str_from("no such format"));
    return;
  }
  if (rc) {
    answer(out, RESULT(PARSE_ERROR), caw_str_from(caw_strerror(rc)));
    return;
  }
  rc = caw_pb_encode(&bytes, arena, type, m);
  if (rc) answer(out, RESULT(SERIALIZE_ERROR), caw_str_from(caw_strerror(rc)));
  else answer(out, RESULT(PROTOBUF_PAYLOAD), bytes);
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
  caw_arena *arena = caw_arena_new(0);
  while (serve(arena)) caw_arena_reset(arena);
  caw_arena_free(arena);
  return 0;
}
