/* The server's half of a call: requests read, responses written. */
#include "rpc/call.h"
#include "rpc/compress.h"
#include "rpc/state.h"
#include "rpc/wire.h"

static const caw_str content_grpc = CAW_STR("application/grpc");
static const caw_str content_proto = CAW_STR("application/grpc+proto");
static const caw_str empty = CAW_STR("");

static void content_type_field(rpc_call *c, const h2_field *f) {
  c->subtype = empty;
  c->grpc_content = caw_str_is(f->value, "application/grpc");
  if (c->grpc_content) return;
  h2_field subtype = *f;
  c->grpc_content = rpc_content_type(f->value, &subtype.value);
  if (subtype.value.len) c->subtype = call_keep(c, &subtype);
}

static void path_field(rpc_call *c, const h2_field *f) {
  const rpc_session *s = c->session;
  c->path = s->events->on_path ? s->events->on_path(s->ctx, c, f->value) : (caw_str){NULL, 0};
  if (!c->path.data) c->path = call_keep(c, f);
}

/* What nearly all requests say is known, or the same as before, and not kept. An empty
 * text keeps a pointer, so that "came empty" differs from "did not come". */
bool call_request_field(rpc_call *c, const h2_field *f) {
  switch (f->token) {
  case H2_T_METHOD:
    c->is_post = caw_str_is(f->value, "POST");
    return true;
  case H2_T_SCHEME:
    return true;
  case H2_T_PATH:
    path_field(c, f);
    return true;
  case H2_T_AUTHORITY:
    call_authority(c, f);
    return true;
  case H2_T_HOST: /* RFC 9113 8.3.1: of requests that came through HTTP/1.1 */
    if (!c->authority.data) call_authority(c, f);
    return true;
  case H2_T_USER_AGENT:
    call_user_agent(c, f);
    return true;
  case H2_T_TE:
    c->bad_te = !caw_str_is(f->value, "trailers");
    return true;
  case H2_T_CONTENT_TYPE:
    content_type_field(c, f);
    return true;
  case H2_T_GRPC_TIMEOUT:
    c->bad_timeout = rpc_timeout_parse(&c->timeout, f->value) != 0;
    if (c->bad_timeout) c->timeout = UINT64_MAX;
    return true;
  case H2_T_GRPC_ENCODING:
    c->says_encoding = f->value.len > 0;
    c->in_encoding = (uint8_t)rpc_encoding_of(f->value);
    return true;
  case H2_T_GRPC_ACCEPT_ENCODING:
    c->accepts |= (uint8_t)rpc_encodings_of(f->value);
    return true;
  default:
    return false;
  }
}

/* "/Service/Method": two parts, neither empty. */
static bool path_well_formed(caw_str path) {
  if (path.len < 4 || path.data[0] != '/') return false;
  const char *second = memchr(path.data + 1, '/', path.len - 1);
  if (!second) return false;
  size_t at = (size_t)(second - path.data);
  return at > 1 && at + 1 < path.len && !memchr(second + 1, '/', path.len - at - 1);
}

/* compression.md: what a peer sends, it can read too. */
static int check_encoding(rpc_call *c) {
  if (!c->says_encoding) return 0;
  if (!c->in_encoding) return CAW_UNIMPLEMENTED;
  c->in.compressed_ok = c->in_encoding > CAW_ENCODING_IDENTITY;
  c->accepts |= (uint8_t)(1u << c->in_encoding);
  return 0;
}

int rpc_call_check_request(rpc_call *c, caw_str *why, unsigned *http) {
  *http = 200;
  *why = (caw_str){NULL, 0};
  if (c->out_of_memory) {
    *why = caw_str_from("the server is out of memory");
    return CAW_RESOURCE_EXHAUSTED;
  }
  if (c->dropped_fields) {
    /* First: what is missing below may have been dropped. */
    *why = caw_str_from("the request's metadata is larger than the server's limit");
    return CAW_RESOURCE_EXHAUSTED;
  }
  if (!c->is_post) {
    *http = 405;
    *why = caw_str_from("gRPC requests use the method POST");
    return CAW_INTERNAL;
  }
  if (!c->grpc_content) {
    *http = 415;
    *why = caw_str_from("the content-type does not begin with application/grpc");
    return CAW_INTERNAL;
  }
  if (c->bad_te) {
    *http = 400;
    *why = caw_str_from("the field te says something else than trailers");
    return CAW_INTERNAL;
  }
  if (c->bad_metadata) {
    *why = caw_str_from("a binary metadata value is not base64");
    return CAW_INTERNAL;
  }
  if (c->bad_timeout) {
    *why = caw_str_from("malformed grpc-timeout: 1 to 8 digits and one of H M S m u n");
    return CAW_INTERNAL;
  }
  if (!path_well_formed(c->path)) {
    *why = caw_str_from("malformed method name: it must be /Service/Method");
    return CAW_UNIMPLEMENTED;
  }
  if (check_encoding(c)) {
    *why = caw_str_from("the request's grpc-encoding is not one of grpc-accept-encoding");
    return CAW_UNIMPLEMENTED;
  }
  return 0;
}

static caw_str content_type(const rpc_call *c) {
  return caw_str_is(c->subtype, "proto") ? content_proto : content_grpc;
}

/* Fields of the leading block; `http` is the :status. */
static void add_leading(rpc_call *c, fields *f, unsigned http) {
  caw_str status =
      http == 200 ? caw_str_from("200") : caw_arena_printf(rpc_call_arena(c), "%u", http);
  fields_add(f, H2_T_STATUS, ":status", status);
  fields_add(f, H2_T_CONTENT_TYPE, "content-type", content_type(c));
}

int rpc_call_send_headers(rpc_call *c, const rpc_metadata *headers) {
  if (c->headers_sent) return 0;
  int rc = call_check_sending(c);
  if (rc) return rc;
  fields f;
  fields_init(&f, c, 4 + (headers ? headers->list.len : 0));
  add_leading(c, &f, 200);
  if (c->out_encoding > CAW_ENCODING_IDENTITY)
    fields_add(&f, H2_T_GRPC_ENCODING, "grpc-encoding",
               caw_str_from(caw_encoding_name((caw_encoding)c->out_encoding)));
  /* A client that compresses learns what else it may use. */
  if (c->says_encoding)
    fields_add(&f, H2_T_GRPC_ACCEPT_ENCODING, "grpc-accept-encoding", rpc_accepted_encodings);
  if (headers) fields_add_metadata(&f, &headers->list, 0);
  if (f.failed) return CAW_ENOMEM;
  rc = h2_respond(c->session->h2, c->stream, f.list, f.len);
  if (!rc) c->headers_sent = true;
  return rc;
}

/* A text as it travels, in the call's arena. Data is NULL when memory is out. */
static caw_str encoded(rpc_call *c, int (*encode)(buf *out, caw_str text), caw_str text) {
  buf bytes = {0};
  caw_str out = {NULL, 0};
  if (!encode(&bytes, text))
    out = caw_arena_dup(rpc_call_arena(c), caw_str_of((const char *)bytes.data, bytes.len));
  buf_finish(&bytes);
  return out;
}

static int end(rpc_call *c, unsigned http, const caw_status *status, const rpc_metadata *trailers) {
  /* A code is 0 to 16; without printf, which is 2 % of a small call. */
  const int code = status->code;
  const char number[] = {(char)('0' + code / 10), (char)('0' + code % 10)};
  fields f;
  fields_init(&f, c, 6 + (trailers ? trailers->list.len : 0));
  if (!c->headers_sent) add_leading(c, &f, http);
  fields_add(&f, H2_T_GRPC_STATUS, "grpc-status",
             caw_str_of(number + (code < 10), code < 10 ? 1 : 2));
  if (status->message.len) {
    caw_str text = encoded(c, rpc_percent_encode, status->message);
    if (!text.data) f.failed = true;
    fields_add(&f, H2_T_GRPC_MESSAGE, "grpc-message", text);
  }
  if (c->says_encoding && !c->headers_sent)
    fields_add(&f, H2_T_GRPC_ACCEPT_ENCODING, "grpc-accept-encoding", rpc_accepted_encodings);
  if (status->details.len && code) {
    caw_str details = encoded(c, rpc_base64_encode, status->details);
    if (!details.data) f.failed = true;
    fields_add(&f, H2_T_GRPC_STATUS_DETAILS_BIN, "grpc-status-details-bin", details);
  }
  if (trailers) fields_add_metadata(&f, &trailers->list, 0);
  if (f.failed) return CAW_ENOMEM;
  int rc = h2_finish(c->session->h2, c->stream, f.list, f.len);
  if (!rc) call_local_end(c);
  return rc;
}

int rpc_call_end(rpc_call *c, const caw_status *status, const rpc_metadata *headers,
                 const rpc_metadata *trailers) {
  int rc = call_check_sending(c);
  if (rc) return rc;
  if (headers && headers->list.len && (rc = rpc_call_send_headers(c, headers))) return rc;
  return end(c, 200, status, trailers);
}

int rpc_call_refuse(rpc_call *c, unsigned http, const caw_status *status,
                    const rpc_metadata *trailers) {
  int rc = call_check_sending(c);
  return rc ? rc : end(c, http, status, trailers);
}
