/*
 * Those whom a client's call asks before it is sent: the channel's interceptors at once,
 * credentials when there is a connection that may carry them. One question at a time
 * (conn/chain.h); the call goes on in its turn. Not here: what interceptors hear later.
 */
#include "client/call.h"

#include <stdio.h>

/* The plugins that were not asked yet. */
static int ask_credentials(client_call *cc) {
  size_t first = credentials_count(cc->credentials[0]);
  size_t n = first + credentials_count(cc->credentials[1]);
  call_chain *c = cc->base.chain;
  if (!cc->context.service_url.data && credentials_context(&cc->context, c, cc->channel->authority))
    return CAW_ENOMEM;
  while (cc->credentials_asked < n && !cc->decided) {
    size_t i = cc->credentials_asked++;
    int rc = i < first ? credentials_ask(cc->credentials[0], i, c, &cc->context)
                       : credentials_ask(cc->credentials[1], i - first, c, &cc->context);
    if (rc) return rc;
  }
  return 0;
}

/* Somebody has something against the call. */
static void refuse(client_call *cc, int rc) {
  int code = call_status_code(rc);
  caw_str text = cc->base.chain->fail_text;
  if (code != rc) text = (caw_str){NULL, 0};
  if (cc->step == STEP_CREDENTIALS) {
    code = credentials_code(rc);
    text = caw_arena_printf(rpc_call_arena(&cc->base.rpc), "the call credentials failed: %.*s",
                            CAW_STR_ARG(text.len ? text : caw_str_from(caw_code_name(rc))));
  }
  client_abort(&cc->base, code, text.data ? text.data : "");
}

/* All who were asked have let the call pass: it may be sent, when there is a connection. */
static void pass(client_call *cc) {
  if (cc->step == STEP_CREDENTIALS) cc->credentials_ready = true;
  cc->step = STEP_READY;
  list_push_back(&cc->channel->waiting, &cc->wait);
  client_launch(cc);
}

void ask_turn(client_call *cc) {
  int rc = 0;
  if (cc->asking && !chain_take_answer(cc->base.chain, &rc)) return;
  if (!rc) rc = cc->step == STEP_INTERCEPTORS ? chain_ask(cc->base.chain) : ask_credentials(cc);
  cc->asking = rc == CAW_PENDING;
  if (cc->asking || cc->decided) return;
  if (rc) refuse(cc, rc);
  else pass(cc);
}

int ask_begin(client_call *cc, const caw_call_options *o) {
  caw_channel *ch = cc->channel;
  caw_call_credentials *from[] = {ch->call_credentials, o->credentials};
  if (!atomic_load_explicit(&ch->used, memory_order_relaxed)) atomic_store(&ch->used, true);
  if (!ch->interceptors && !from[0] && !from[1]) return 0;
  for (int i = 0; i < 2; i++)
    if (from[i]) cc->credentials[i] = caw_call_credentials_ref(from[i]);
  if (ch->interceptors) cc->step = STEP_INTERCEPTORS;
  return chain_new(&cc->base, ch->interceptors);
}

static bool has_credentials(const client_call *cc) {
  return cc->credentials[0] || cc->credentials[1];
}

bool ask_at(client_call *cc, const conn *c) {
  char text[IO_ADDRESS_TEXT + 160];
  if (!has_credentials(cc)) return true;
  if (!conn_is_private(c) && !cc->channel->options.insecure_credentials_over_plaintext) {
    if (conn_is_tls(c))
      snprintf(text, sizeof(text),
               "call credentials are not sent to %s, whose certificate was not checked "
               "(insecure_noverify): give the channel credentials a CA",
               conn_peer(c));
    else
      snprintf(text, sizeof(text),
               "call credentials are not sent in plaintext to %s: use TLS, or set "
               "insecure_credentials_over_plaintext where everyone may read them",
               conn_peer(c));
    client_abort(&cc->base, CAW_UNAUTHENTICATED, text);
    return false;
  }
  if (cc->credentials_ready) return true;
  list_remove(&cc->wait);
  cc->step = STEP_CREDENTIALS;
  call_wake(&cc->base);
  return false;
}
