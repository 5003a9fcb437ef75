/* Header blocks: notes taken from received ones, and the making of others. */
#include "rpc/state.h"
#include "rpc/wire.h"

#include <assert.h>

/* Secrets must not stay in a compression table that other requests can probe
 * (RFC 7541 7.1.3). */
static bool is_secret(caw_str name) {
  return caw_str_is(name, "authorization") || caw_str_is(name, "cookie") ||
         caw_str_is(name, "set-cookie") || caw_str_is(name, "proxy-authorization");
}

void fields_init(fields *f, caw_arena *arena, size_t room) {
  memset(f, 0, sizeof(*f));
  f->arena = arena;
  f->room = room;
  f->list = caw_arena_calloc(arena, room, sizeof(*f->list));
  f->failed = !f->list;
}

static void add(fields *f, caw_str name, caw_str value, uint8_t flags) {
  assert(f->failed || f->len < f->room); /* the block's maker knows what it adds */
  if (f->len == f->room) f->failed = true;
  if (f->failed) return;
  h2_field field = {name, value, H2_T_NONE, flags};
  f->list[f->len++] = field;
}

void fields_add(fields *f, const char *name, caw_str value) {
  add(f, caw_str_from(name), value, H2_FIELD_LASTING);
}

void fields_add_metadata(fields *f, const caw_metadata *m) {
  for (size_t i = 0; i < m->len; i++) {
    caw_str value = rpc_metadata_wire_value(f->arena, &m->entries[i]);
    if (!value.data && m->entries[i].value.len) f->failed = true;
    add(f, m->entries[i].key, value, is_secret(m->entries[i].key) ? H2_FIELD_SECRET : 0);
  }
}

/* Of an interim response (RFC 9110 15.2) only the status is looked at: a server
 * may send any number of them, and what is kept stays until the call is over. */
static bool is_interim(const rpc_call *c) {
  return !c->server && !c->headers_received && c->http_status / 100 == 1;
}

void call_field(rpc_call *c, caw_str name, caw_str value) {
  if (is_interim(c)) return;
  bool took = c->server ? !c->headers_received && call_request_field(c, name, value)
                        : call_response_field(c, name, value);
  if (took || !name.len || name.data[0] == ':') return;
  rpc_metadata *to = c->headers_received ? &c->trailers : &c->headers;
  int rc = rpc_metadata_add_received(to, c->arena, name, value);
  if (rc == CAW_ENOMEM) c->out_of_memory = true;
  if (rc == CAW_EMALFORMED) c->bad_metadata = true;
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
    c->trailers = c->headers;
    memset(&c->headers, 0, sizeof(c->headers));
    return;
  }
  call_note(c, RPC_NEWS_HEADERS);
}
