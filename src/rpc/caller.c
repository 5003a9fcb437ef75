/* What calls share, of caller.h; and how a call comes to share it. */
#include "rpc/caller.h"

#include "rpc/state.h"
#include "rpc/wire.h"

#include <caw/alloc.h>

static const caw_str agent_key = CAW_STR("user-agent");

static caw_str put(char **to, caw_str text) {
  if (!text.data) return text;
  char *at = *to;
  if (text.len) memcpy(at, text.data, text.len);
  *to += text.len;
  return caw_str_of(at, text.len);
}

rpc_caller *rpc_caller_new(caw_str authority, caw_str user_agent) {
  if (authority.len > SIZE_MAX / 4 || user_agent.len > SIZE_MAX / 4) return NULL;
  rpc_caller *k = caw_malloc(sizeof(*k) + authority.len + user_agent.len);
  if (!k) return NULL;
  char *to = k->text;
  atomic_init(&k->refs, 1);
  k->authority = put(&to, authority);
  k->entry = (caw_metadata_entry){agent_key, put(&to, user_agent)};
  return k;
}

void rpc_caller_unref(rpc_caller *k) {
  if (k && atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) == 1) caw_free(k);
}

/* What the call shares with those before it, if anything. */
static const rpc_caller *shared(rpc_call *c) {
  if (!c->caller && c->session->caller) c->caller = rpc_caller_ref(c->session->caller);
  return c->caller;
}

/* The call says something new: those after it will say it too. Nothing but its authority
 * may lie in what it shared so far. */
static bool renew(rpc_call *c, caw_str authority, caw_str user_agent) {
  rpc_caller *k = rpc_caller_new(authority, user_agent);
  if (!k) {
    c->out_of_memory = true;
    return false;
  }
  rpc_caller_unref(c->session->caller);
  c->session->caller = rpc_caller_ref(k);
  rpc_caller_unref(c->caller);
  c->caller = k;
  if (authority.data) c->authority = k->authority;
  return true;
}

void call_authority(rpc_call *c, const h2_field *f) {
  const caw_str none = {NULL, 0};
  const rpc_caller *k = shared(c);
  if (k && k->authority.data && caw_str_eq(k->authority, f->value)) c->authority = k->authority;
  else if (c->agent_shared) c->authority = call_keep(c, f);
  else renew(c, f->value, k ? k->entry.value : none);
}

void call_user_agent(rpc_call *c, const h2_field *f) {
  const rpc_caller *k = shared(c);
  if (k && k->entry.value.data && caw_str_eq(k->entry.value, f->value)) {
    c->agent_shared = true;
  } else if (!rpc_ascii_value_valid(f->value)) {
    return;
  } else if (!c->agent_shared) {
    if (!renew(c, c->authority, f->value)) return;
    c->agent_shared = true;
    k = c->caller;
  } else { /* it says two */
    call_metadata(c, f);
    return;
  }
  rpc_metadata *to = &c->headers;
  if (rpc_metadata_is_new(to)) rpc_metadata_show(to, &k->entry);
  else if (rpc_metadata_append(to, rpc_call_arena(c), &k->entry)) c->out_of_memory = true;
}
