/* The client's half of a call: requests written, responses read, and the
 * decision what the outcome was. */
#include "rpc/call.h"
#include "rpc/compress.h"
#include "rpc/state.h"
#include "rpc/wire.h"

int rpc_call_open(rpc_call *c, rpc_session *s, const rpc_request *request) {
  char timeout[RPC_TIMEOUT_ROOM];
  fields f;
  const caw_metadata *secrets = request->secrets;
  fields_init(&f, c, 10 + request->metadata->len + (secrets ? secrets->len : 0));
  fields_add(&f, H2_T_METHOD, ":method", caw_str_from("POST"));
  fields_add(&f, H2_T_SCHEME, ":scheme", request->scheme);
  fields_add(&f, H2_T_PATH, ":path", request->path);
  fields_add(&f, H2_T_AUTHORITY, ":authority", request->authority);
  if (request->timeout != UINT64_MAX)
    fields_add(&f, H2_T_GRPC_TIMEOUT, "grpc-timeout",
               caw_str_of(timeout, rpc_timeout_format(timeout, request->timeout)));
  fields_add(&f, H2_T_TE, "te", caw_str_from("trailers"));
  fields_add(&f, H2_T_CONTENT_TYPE, "content-type", caw_str_from("application/grpc"));
  fields_add(&f, H2_T_USER_AGENT, "user-agent", request->user_agent);
  if (c->out_encoding > CAW_ENCODING_IDENTITY)
    fields_add(&f, H2_T_GRPC_ENCODING, "grpc-encoding",
               caw_str_from(caw_encoding_name((caw_encoding)c->out_encoding)));
  fields_add(&f, H2_T_GRPC_ACCEPT_ENCODING, "grpc-accept-encoding", rpc_accepted_encodings);
  fields_add_metadata(&f, request->metadata, 0);
  if (secrets) fields_add_metadata(&f, secrets, H2_FIELD_SECRET);
  if (f.failed) return CAW_ENOMEM;
  h2_stream *stream;
  int rc = h2_request(s->h2, f.list, f.len, c, &stream);
  if (!rc) call_join(c, s, stream);
  return rc;
}

static unsigned parse_number(caw_str text, size_t digits, unsigned otherwise) {
  unsigned n = 0;
  if (!text.len || text.len > digits) return otherwise;
  for (size_t i = 0; i < text.len; i++) {
    if (text.data[i] < '0' || text.data[i] > '9') return otherwise;
    n = n * 10 + (unsigned)(text.data[i] - '0');
  }
  return n;
}

bool call_response_field(rpc_call *c, const h2_field *f) {
  caw_str subtype;
  int rc;
  switch (f->token) {
  case H2_T_STATUS:
    c->http_status = parse_number(f->value, 3, 0);
    return true;
  case H2_T_CONTENT_TYPE:
    if (!c->headers_received) c->grpc_content = rpc_content_type(f->value, &subtype);
    return true;
  case H2_T_GRPC_ENCODING:
    c->in_encoding = (uint8_t)rpc_encoding_of(f->value);
    c->in.compressed_ok = c->in_encoding > CAW_ENCODING_IDENTITY;
    return true;
  case H2_T_GRPC_STATUS: {
    unsigned code = parse_number(f->value, 9, CAW_UNKNOWN);
    c->status.code = code <= CAW_UNAUTHENTICATED ? (int)code : CAW_UNKNOWN;
    c->has_status = true;
    return true;
  }
  case H2_T_GRPC_MESSAGE:
    c->status.message = rpc_percent_decode(rpc_call_arena(c), f->value);
    return true;
  case H2_T_GRPC_STATUS_DETAILS_BIN:
    rc = rpc_base64_decode(rpc_call_arena(c), f->value, &c->status.details);
    if (rc) c->status.details = (caw_str){NULL, 0};
    if (rc == CAW_ENOMEM) c->out_of_memory = true;
    if (rc == CAW_EMALFORMED) c->bad_metadata = true;
    return true;
  default:
    return false;
  }
}

static void decide(rpc_call *c, int code, const char *message) {
  c->status = (caw_status){code, caw_str_from(message), {NULL, 0}};
}

/* The status of a response that has no grpc-status (PROTOCOL-HTTP2.md and
 * http-grpc-status-mapping.md). */
static void synthesize(rpc_call *c) {
  caw_str text = {NULL, 0};
  c->status.details = text;
  if (!c->remote_ended) {
    text = caw_arena_printf(rpc_call_arena(c), "the stream was reset: %s",
                            rpc_h2_code_name(c->close_code));
    c->status.code = rpc_code_from_h2(c->close_code);
  } else if (c->http_status != 200) {
    text = caw_arena_printf(rpc_call_arena(c), "the server answered with HTTP status %u",
                            c->http_status);
    c->status.code = rpc_code_from_http(c->http_status);
  } else {
    text = caw_str_from("the server ended the call without a status");
    c->status.code = CAW_UNKNOWN;
  }
  c->status.message = text;
}

void call_decide(rpc_call *c) {
  if (c->status_final) return;
  c->status_final = true;
  if (c->out_of_memory) {
    decide(c, CAW_RESOURCE_EXHAUSTED, "out of memory");
  } else if (c->dropped_fields) {
    decide(c, CAW_RESOURCE_EXHAUSTED, "the response's metadata is larger than the limit");
  } else if (c->remote_ended && c->has_status) {
    /* What the server said, unless what it sent cannot be read. */
    if (c->status.code == CAW_OK && c->bad_metadata)
      decide(c, CAW_INTERNAL, "a binary metadata value is not base64");
  } else if (c->remote_ended && c->http_status == 200 && !c->grpc_content) {
    decide(c, CAW_UNKNOWN, "the answer's content-type does not begin with application/grpc");
  } else {
    synthesize(c);
  }
}
