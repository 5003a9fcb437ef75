/* Header blocks: notes taken from received ones, and the making of others. */
#include "rpc/state.h"
#include "rpc/wire.h"

void fields_init(fields *f, rpc_call *c, size_t room) {
  f->len = 0;
  f->room = FIELDS;
  f->call = c;
  f->list = f->own;
  if (room > FIELDS) {
    f->room = room;
    f->list = caw_arena_calloc(rpc_call_arena(c), room, sizeof(*f->list));
  }
  f->failed = !f->list;
}

/* Secrets must not stay in a compression table that other requests can probe (RFC
 * 7541 section 7.1.3): the HTTP/2 session knows the names of the usual ones. */
void fields_add_metadata(fields *f, const caw_metadata *m, unsigned flags) {
  for (size_t i = 0; i < m->len; i++) {
    const caw_metadata_entry *e = &m->entries[i];
    caw_str value = e->value;
    if (rpc_key_binary(e->key)) value = rpc_metadata_wire_value(rpc_call_arena(f->call), e);
    if (!value.data && e->value.len) f->failed = true;
    if (f->len == f->room) f->failed = true;
    if (f->failed) return;
    f->list[f->len++] = (h2_field){e->key, value, H2_T_NONE, (uint8_t)flags};
  }
}

/* Of an interim response (RFC 9110 15.2) only the status is looked at: a server
 * may send any number of them, and what is kept stays until the call is over. */
static bool is_interim(const rpc_call *c) {
  return !c->server && !c->headers_received && c->http_status / 100 == 1;
}

caw_str call_keep(rpc_call *c, const h2_field *f) {
  caw_str kept =
      f->flags & H2_FIELD_LASTING ? f->value : caw_arena_dup(rpc_call_arena(c), f->value);
  if (!kept.data) c->out_of_memory = true;
  return kept;
}

void call_metadata(rpc_call *c, const h2_field *f) {
  rpc_metadata *to = c->headers_received ? &c->trailers : &c->headers;
  int rc = rpc_metadata_add_received(to, rpc_call_arena(c), f);
  if (rc == CAW_ENOMEM) c->out_of_memory = true;
  if (rc == CAW_EMALFORMED) c->bad_metadata = true;
}

void call_field(rpc_call *c, const h2_field *f) {
  if (c->server ? !c->headers_received && call_request_field(c, f)
                : is_interim(c) || call_response_field(c, f))
    return;
  if (f->name.len && f->name.data[0] == ':') return;
  call_metadata(c, f);
}

void call_headers(rpc_call *c, unsigned flags) {
  if (flags & H2_HEADERS_DROPPED) c->dropped_fields = true;
  if (flags & H2_HEADERS_INFORMATIONAL) {
    c->http_status = 0;
    return;
  }
  if (c->headers_received) return; /* trailers: decided when the stream ends */
  c->headers_received = true;
  if (!c->server && (flags & H2_HEADERS_END_STREAM)) {
    /* Trailers-only: what came is the trailing metadata. */
    c->trailers_only = true;
    c->trailers = c->headers;
    memset(&c->headers, 0, sizeof(c->headers));
    return;
  }
  call_note(c, RPC_NEWS_HEADERS);
}
