/* Binds an HTTP/2 session to the calls on it. */
#include "rpc/call.h"
#include "rpc/state.h"

void call_join(rpc_call *c, rpc_session *s, h2_stream *stream) {
  c->session = s;
  c->stream = stream;
  call_set_state(c, RPC_OPEN);
}

static void *on_stream(void *ctx, h2_stream *stream) {
  rpc_session *s = ctx;
  rpc_call *c = s->events->on_open(s->ctx);
  if (c) call_join(c, s, stream);
  return c;
}

static void on_field(void *ctx, void *user, const h2_field *field) {
  (void)ctx;
  call_field(user, field);
}

static void on_headers(void *ctx, void *user, unsigned flags) {
  (void)ctx;
  call_headers(user, flags);
}

static void on_data(void *ctx, void *user, const uint8_t *data, size_t len) {
  (void)ctx;
  rpc_call *c = user;
  c->held += (uint32_t)len; /* less than a window */
  /* Once the call is ending, its input only keeps the window turning; and the
   * body of an answer that is not gRPC's (a proxy's page) says nothing. */
  bool ending = c->state == RPC_CLOSING || (c->server && c->state == RPC_HALF_CLOSED_LOCAL);
  bool foreign = !c->server && (!c->grpc_content || c->http_status != 200);
  if (!ending && !foreign && rpc_deframer_add(&c->in, data, len)) c->out_of_memory = true;
  call_note(c, RPC_NEWS_DATA);
}

static void on_end(void *ctx, void *user) {
  (void)ctx;
  rpc_call *c = user;
  call_remote_end(c);
  if (!c->server) call_decide(c);
  call_note(c, RPC_NEWS_DATA);
}

static void on_sent(void *ctx, void *user, size_t len) {
  (void)ctx;
  rpc_call *c = user;
  c->sent_bytes += len;
  call_note(c, RPC_NEWS_SENT);
}

static void on_close(void *ctx, void *user, uint32_t code, bool remote) {
  (void)ctx;
  call_closed(user, code, remote);
}

static void on_settings(void *ctx) {
  rpc_session *s = ctx;
  if (s->ready) {
    s->events->on_settings(s->ctx);
    return;
  }
  s->ready = true;
  s->events->on_ready(s->ctx);
}

static void on_goaway(void *ctx, uint32_t last_id, uint32_t code, caw_str debug) {
  (void)last_id;
  rpc_session *s = ctx;
  s->goaway = true;
  s->events->on_goaway(s->ctx, code, debug);
}

static void on_ping_ack(void *ctx, uint64_t opaque) {
  rpc_session *s = ctx;
  s->events->on_ping_ack(s->ctx, opaque);
}

static char *on_room(void *ctx, void *user, size_t len) {
  (void)ctx;
  rpc_call *c = user;
  char *room = caw_arena_alloc(rpc_call_arena(c), len);
  if (!room) c->out_of_memory = true;
  return room;
}

static const h2_events events = {on_stream, on_field,    on_headers, on_data,     on_end, on_sent,
                                 on_close,  on_settings, on_goaway,  on_ping_ack, on_room};

int rpc_session_init(rpc_session *s, h2_role role, const h2_config *config,
                     const rpc_session_events *session_events, void *ctx) {
  memset(s, 0, sizeof(*s));
  s->events = session_events;
  s->ctx = ctx;
  return h2_session_new(&s->h2, role, config, &events, s);
}

void rpc_session_finish(rpc_session *s) {
  h2_session_free(s->h2);
  s->h2 = NULL;
  rpc_caller_unref(s->caller);
  s->caller = NULL;
}
