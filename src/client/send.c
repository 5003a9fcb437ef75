/*
 * What a client's call sends: through its interceptors, onto its stream, and kept for the
 * transparent retry until the server is known to have seen the call (gRFC A6).
 */
#include "client/call.h"

#include <caw/alloc.h>

/* Requests are kept for a transparent retry up to this many bytes. */
#define REPLAY_BYTES ((size_t)1024 * 1024)

void send_commit(client_call *cc) {
  for (size_t i = 0; i < cc->replay_len; i++) caw_payload_unref(cc->replay[i]);
  caw_free(cc->replay);
  cc->replay = NULL;
  cc->replay_len = cc->replay_room = 0;
  cc->committed = true;
}

static int remember(client_call *cc, caw_payload *payload) {
  if (cc->replay_len == cc->replay_room) {
    size_t room = cc->replay_room ? cc->replay_room * 2 : 4;
    caw_payload **replay = caw_realloc(cc->replay, room * sizeof(*replay));
    if (!replay) return CAW_ENOMEM;
    cc->replay = replay;
    cc->replay_room = room;
  }
  cc->replay[cc->replay_len++] = caw_payload_ref(payload);
  cc->replay_bytes += rpc_payload_size(payload);
  return 0;
}

static void forget_last(client_call *cc) {
  if (!cc->replay_len) return;
  caw_payload *last = cc->replay[--cc->replay_len];
  cc->replay_bytes -= rpc_payload_size(last);
  caw_payload_unref(last);
}

static int transmit(caw_call *call, caw_payload *payload) {
  client_call *cc = client_call_of(call);
  if (!cc->committed && cc->replay_bytes > REPLAY_BYTES && client_attached(cc)) send_commit(cc);
  if (!cc->committed) {
    int rc = remember(cc, payload);
    if (rc) return rc;
  }
  int rc = client_attached(cc) ? rpc_call_send(&call->rpc, payload, NULL) : 0;
  if (call->conn) conn_flush_later(call->conn);
  if (rc == CAW_ENOMEM) {
    forget_last(cc);
    return rc;
  }
  /* A stream that is just gone tells so by its news, and may be retried. */
  call_count_sent(call, payload);
  if (client_attached(cc) && !rc) call_show_message(call, true);
  return 0;
}

static void end_now(caw_call *call) {
  client_call *cc = client_call_of(call);
  cc->half_closed = true;
  if (!client_attached(cc) || cc->decided) return;
  if (rpc_call_half_close(&call->rpc) == CAW_ENOMEM)
    client_abort(call, CAW_RESOURCE_EXHAUSTED, "out of memory");
  if (call->conn) conn_flush_later(call->conn);
}

void send_kept(client_call *cc) {
  call_chain *c = cc->base.chain;
  int rc = 0;
  for (size_t i = 0; i < c->out_len && !rc && !cc->decided; i++) {
    caw_payload *p = c->out[i];
    chain_message(c, true, p->encoding > CAW_ENCODING_IDENTITY, rpc_payload_plain(p), p->len);
    rc = transmit(&cc->base, p);
  }
  chain_drop(c);
  if (rc) client_abort(&cc->base, CAW_RESOURCE_EXHAUSTED, "out of memory");
  if (!c->end) return;
  c->end = false;
  end_now(&cc->base);
}

int send_message(caw_call *call, caw_payload *payload) {
  if (client_call_of(call)->decided || call_has(call, CALL_GONE)) return CAW_ECLOSED;
  if (!call->chain) return transmit(call, payload);
  int rc = chain_keep(call->chain, payload);
  if (!rc) call_wake(call);
  return rc;
}

void send_end(caw_call *call, int code, char *text) {
  (void)code;
  caw_free(text);
  if (!call->chain) {
    end_now(call);
    return;
  }
  call->chain->end = true;
  call_wake(call);
}

int send_replay(client_call *cc) {
  int rc = 0;
  for (size_t i = 0; i < cc->replay_len && !rc; i++) {
    rc = rpc_call_send(&cc->base.rpc, cc->replay[i], NULL);
    if (!rc) call_show_message(&cc->base, true);
  }
  if (!rc && cc->half_closed) rc = rpc_call_half_close(&cc->base.rpc);
  return rc;
}
