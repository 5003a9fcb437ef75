/* Private to src/rpc: the state machine of a call and the notes it takes. */
#ifndef RPC_STATE_H
#define RPC_STATE_H

#include "rpc/call.h"

/* Moves the call to a state that is legal from the present one (asserted). */
void call_set_state(rpc_call *c, rpc_state state);

/* The call has a stream now. */
void call_join(rpc_call *c, rpc_session *s, h2_stream *stream);

/* Adds a bit of news and tells the owner. */
void call_note(rpc_call *c, unsigned news);

/* May our side still send? 0, CAW_ESTATE (it has ended), CAW_ECLOSED. */
int call_check_sending(const rpc_call *c);

/* Our side, or the peer's, has ended: the next state. */
void call_local_end(rpc_call *c);
void call_remote_end(rpc_call *c);

/* One received header field; see h2_events.on_field. */
void call_field(rpc_call *c, const h2_field *field);

/* A header block is complete. */
void call_headers(rpc_call *c, unsigned flags);

/* The stream is gone. */
void call_closed(rpc_call *c, uint32_t code, bool remote);

/* Client: reads :status and gRPC's own fields; true when it took the field. */
bool call_response_field(rpc_call *c, const h2_field *field);

/* Server: the same for a request. */
bool call_request_field(rpc_call *c, const h2_field *field);

/* Client: the response has ended, or the stream is gone: decides the status. */
void call_decide(rpc_call *c);

/* Server: the request's authority and user agent, which calls share; caller.h. */
void call_authority(rpc_call *c, const h2_field *field);
void call_user_agent(rpc_call *c, const h2_field *field);

/* A received field that is metadata. */
void call_metadata(rpc_call *c, const h2_field *field);

/* What a received text is kept as: itself, when it lasts as long as the call. Data is
 * NULL when memory is out; an empty one keeps a pointer. */
caw_str call_keep(rpc_call *c, const h2_field *field);

#define FIELDS 12 /* a block that has more goes to the arena */

/* The fields of a header block that is being put together. `failed` when memory
 * ran out. */
typedef struct fields {
  h2_field *list;
  size_t len, room;
  rpc_call *call;
  bool failed;
  h2_field own[FIELDS];
} fields;

void fields_init(fields *f, rpc_call *c, size_t room);

/* `name` is a literal. */
static inline void fields_add(fields *f, h2_token token, const char *name, caw_str value) {
  if (f->len == f->room) f->failed = true; /* the block's maker knows what it adds: never */
  if (f->failed) return;
  h2_field *to = &f->list[f->len++];
  to->name = caw_str_from(name);
  to->value = value;
  to->token = (uint8_t)token;
  to->flags = H2_FIELD_LASTING;
}

/* Adds the entries, encoded for the wire, with these flags of h2_field. */
void fields_add_metadata(fields *f, const caw_metadata *m, unsigned flags);

#endif
