/* The interceptors of one call, and the public functions of caw/interceptor.h that
 * servers' and clients' calls share. */
#include "conn/chain.h"

#include <caw/alloc.h>

/* ---- What a server or channel was given ---- */

int chain_list_add(chain_list **all, const caw_interceptor *interceptor, void *user) {
  caw_interceptor hooks = {0};
  size_t size = interceptor ? interceptor->size : 0, n = *all ? (*all)->len : 0;
  if (size < offsetof(caw_interceptor, on_request)) return CAW_EINVAL;
  memcpy(&hooks, interceptor, size < sizeof(hooks) ? size : sizeof(hooks));
  chain_list *longer = caw_malloc(sizeof(*longer) + (n + 1) * sizeof(longer->entries[0]));
  if (!longer) return CAW_ENOMEM;
  atomic_init(&longer->refs, 1);
  longer->len = n + 1;
  if (n) memcpy(longer->entries, (*all)->entries, n * sizeof(longer->entries[0]));
  longer->entries[n] = (chain_entry){hooks, user};
  longer->hears_headers = hooks.on_headers || (n && (*all)->hears_headers);
  longer->hears_messages = hooks.on_message || (n && (*all)->hears_messages);
  longer->hears_status = hooks.on_status || (n && (*all)->hears_status);
  chain_list_unref(*all);
  *all = longer;
  return 0;
}

void chain_list_unref(chain_list *all) {
  if (all && atomic_fetch_sub_explicit(&all->refs, 1, memory_order_acq_rel) == 1) caw_free(all);
}

/* ---- Life ---- */

int chain_new(caw_call *call, chain_list *all) {
  call_chain *c = cells_alloc(io_cells(call->loop), sizeof(*c));
  if (!c) return CAW_ENOMEM;
  *c = (call_chain){.call = call, .list = all, .out = c->own, .out_room = CHAIN_KEPT};
  if (all) atomic_fetch_add_explicit(&all->refs, 1, memory_order_relaxed);
  pthread_mutex_init(&c->lock, NULL);
  arena_init(&c->arena, NULL, 0, 256);
  call->chain = c;
  return 0;
}

void chain_free(call_chain *c, cells *of) {
  pthread_mutex_destroy(&c->lock);
  arena_finish(&c->arena);
  chain_list_unref(c->list);
  caw_free(c->text);
  caw_free(c->end_text);
  if (c->out != c->own) caw_free(c->out);
  cells_free(of, c);
}

/* ---- Questions ---- */

/* Whoever owes an answer may look at the phase, on his thread, although the call is over.
 * When nobody does, the call is its loop's alone. */
static void set_phase(call_chain *c, chain_phase phase) {
  if (c->waits) pthread_mutex_lock(&c->lock);
  atomic_store_explicit(&c->phase, phase, memory_order_relaxed);
  if (c->waits) pthread_mutex_unlock(&c->lock);
}

/* Nobody is asked yet, so nobody else knows of the question before this is done. */
void chain_begin_question(call_chain *c, chain_phase phase) {
  c->told_cancel = false;
  atomic_store_explicit(&c->phase, phase, memory_order_relaxed);
  c->fail_text = (caw_str){NULL, 0};
  c->answer = CHAIN_ASKED;
}

int chain_end_question(call_chain *c, int rc) {
  pthread_mutex_lock(&c->lock);
  /* Who has answered by caw_call_decide has answered, whatever he returns. */
  bool waits = rc == CAW_PENDING || c->answer == CHAIN_ANSWERED;
  if (!waits) {
    c->answer = CHAIN_NO_QUESTION;
    atomic_store_explicit(&c->phase, CHAIN_CLOSED, memory_order_relaxed);
  }
  pthread_mutex_unlock(&c->lock);
  if (!waits) return rc;
  c->waits = true;
  caw_call_ref(c->call); /* until the answer */
  return CAW_PENDING;
}

int chain_ask(call_chain *c) {
  size_t len = c->list ? c->list->len : 0;
  while (c->asked < len && !call_has(c->call, CALL_CANCELLED)) {
    const chain_entry *e = &c->list->entries[c->asked++];
    if (!e->hooks.on_request) continue;
    chain_begin_question(c, CHAIN_REQUEST);
    int rc = chain_end_question(c, e->hooks.on_request(c->call, e->user));
    if (rc) return rc;
  }
  return 0;
}

/* On the loop: the answer has come. */
static void arrive(io_post *post) {
  call_chain *c = LIST_ENTRY(post, call_chain, post);
  caw_call *call = c->call;
  pthread_mutex_lock(&c->lock);
  c->answer = CHAIN_NO_QUESTION;
  pthread_mutex_unlock(&c->lock);
  c->waits = false;
  c->arrived = true;
  call_wake(call);
  caw_call_unref(call);
}

bool chain_take_answer(call_chain *c, int *code) {
  if (!c->arrived) return false;
  c->arrived = false;
  set_phase(c, CHAIN_CLOSED);
  *code = c->code;
  if (c->text) c->fail_text = caw_arena_dup(&c->arena, caw_str_from(c->text));
  return true;
}

static char *copy_text(const char *text) {
  size_t len = text ? strlen(text) : 0;
  char *copy = len ? caw_malloc(len + 1) : NULL;
  if (copy) memcpy(copy, text, len + 1);
  return copy; /* without memory the status goes without its text */
}

int caw_call_decide(caw_call *call, int code, const char *message) {
  call_chain *c = call->chain;
  if (!c) return CAW_ESTATE;
  char *text = copy_text(message);
  pthread_mutex_lock(&c->lock);
  chain_answer before = c->answer;
  if (before == CHAIN_ASKED) {
    caw_free(c->text);
    c->code = code;
    c->text = text;
    c->answer = CHAIN_ANSWERED;
    /* Under the lock: the loop, which ends the call under it, is still there. */
    io_loop_post(call->loop, &c->post, arrive);
  } else if (before == CHAIN_TOO_LATE) {
    c->answer = CHAIN_NO_QUESTION;
  }
  pthread_mutex_unlock(&c->lock);
  if (before == CHAIN_ASKED) return 0;
  caw_free(text);
  if (before != CHAIN_TOO_LATE) return CAW_ESTATE;
  caw_call_unref(call);
  return CAW_ECLOSED;
}

void chain_cancel(call_chain *c) {
  if (chain_phase_of(c) != CHAIN_REQUEST || c->arrived || c->told_cancel || !c->asked) return;
  const chain_entry *e = &c->list->entries[c->asked - 1];
  c->told_cancel = true;
  if (e->hooks.on_cancel) e->hooks.on_cancel(c->call, e->user);
}

void chain_end_waiting(call_chain *c) {
  if (!c->waits) return;
  pthread_mutex_lock(&c->lock);
  if (c->answer == CHAIN_ASKED) c->answer = CHAIN_TOO_LATE;
  pthread_mutex_unlock(&c->lock);
}

/* ---- The way through ---- */

void chain_headers(call_chain *c) {
  if (!c->list || !c->list->hears_headers) return;
  for (size_t i = c->asked; i-- > 0;) {
    const chain_entry *e = &c->list->entries[i];
    if (!e->hooks.on_headers) continue;
    set_phase(c, CHAIN_HEADERS);
    e->hooks.on_headers(c->call, e->user);
  }
  if (chain_phase_of(c) == CHAIN_HEADERS) set_phase(c, CHAIN_CLOSED);
}

void chain_message(call_chain *c, bool sent, bool compressed, size_t size, size_t travels) {
  if (!c->list || !c->list->hears_messages) return;
  const caw_message_info info = {sent, compressed, size, travels};
  bool inwards = sent != c->call->cls->server;
  for (size_t n = 0; n < c->asked; n++) {
    const chain_entry *e = &c->list->entries[inwards ? n : c->asked - 1 - n];
    if (e->hooks.on_message) e->hooks.on_message(c->call, &info, e->user);
  }
}

void chain_status(call_chain *c, caw_status *status) {
  if (!c->list || !c->list->hears_status) return;
  for (size_t i = c->asked; i-- > 0;) {
    const chain_entry *e = &c->list->entries[i];
    int before = status->code;
    if (!e->hooks.on_status) continue;
    set_phase(c, CHAIN_STATUS);
    e->hooks.on_status(c->call, status, e->user);
    /* What is missing behind an error (a reply) is not made good by an OK. */
    if (before && !status->code) status->code = before;
    status->code = call_status_code(status->code);
  }
  if (chain_phase_of(c) == CHAIN_STATUS) set_phase(c, CHAIN_CLOSED);
}

void chain_done(call_chain *c, const caw_status *status) {
  chain_end_waiting(c);
  chain_drop(c);
  for (size_t i = c->asked; i-- > 0;) {
    const chain_entry *e = &c->list->entries[i];
    if (e->hooks.on_done) e->hooks.on_done(c->call, status, e->user);
  }
  c->asked = 0;
}

/* ---- What was sent meanwhile ---- */

int chain_keep(call_chain *c, caw_payload *payload) {
  if (c->out_len == c->out_room) {
    bool own = c->out == c->own;
    caw_payload **out = caw_realloc(own ? NULL : c->out, 2 * c->out_room * sizeof(*out));
    if (!out) return CAW_ENOMEM;
    if (own) memcpy(out, c->own, sizeof(c->own));
    c->out = out;
    c->out_room *= 2;
  }
  c->out[c->out_len++] = caw_payload_ref(payload);
  return 0;
}

void chain_drop(call_chain *c) {
  for (size_t i = 0; i < c->out_len; i++) caw_payload_unref(c->out[i]);
  c->out_len = 0;
}

/* ---- Metadata ---- */

/* May this list be changed in this phase? Under the lock. */
static bool may_change(const caw_call *call, caw_metadata_list which) {
  switch (chain_phase_of(call->chain)) {
  case CHAIN_REQUEST:
    return which == CAW_REQUEST_METADATA || call->cls->server;
  case CHAIN_CREDENTIALS:
    return which == CAW_REQUEST_METADATA;
  case CHAIN_HEADERS:
    return which == CAW_RESPONSE_HEADERS;
  case CHAIN_STATUS:
    return which == CAW_RESPONSE_TRAILERS;
  case CHAIN_CLOSED:
    break;
  }
  return false;
}

static int add(caw_call *call, caw_metadata_list which, caw_str key, caw_str value) {
  if (!may_change(call, which)) return CAW_ESTATE;
  int rc = rpc_metadata_check(key, value);
  return rc ? rc
            : rpc_metadata_add(call->cls->metadata(call, which), &call->chain->arena, key, value);
}

int caw_call_metadata_add(caw_call *call, caw_metadata_list which, caw_str key, caw_str value) {
  if (!call->chain) return CAW_ESTATE;
  pthread_mutex_lock(&call->chain->lock);
  int rc = add(call, which, key, value);
  pthread_mutex_unlock(&call->chain->lock);
  return rc;
}

int caw_call_metadata_remove(caw_call *call, caw_metadata_list which, caw_str key) {
  if (!call->chain) return CAW_ESTATE;
  pthread_mutex_lock(&call->chain->lock);
  bool may = may_change(call, which);
  if (may) rpc_metadata_remove(call->cls->metadata(call, which), key);
  pthread_mutex_unlock(&call->chain->lock);
  return may ? 0 : CAW_ESTATE;
}

const caw_metadata *caw_call_metadata_of(const caw_call *call, caw_metadata_list which) {
  return &call->cls->metadata((caw_call *)call, which)->list;
}

int caw_call_set_path(caw_call *call, caw_str path) {
  if (!call->chain || !call->cls->server) return CAW_ESTATE;
  pthread_mutex_lock(&call->chain->lock);
  bool may = may_change(call, CAW_REQUEST_METADATA);
  caw_str copy = may ? caw_arena_dup(&call->chain->arena, path) : path;
  if (may && copy.data) call->rpc.path = copy;
  pthread_mutex_unlock(&call->chain->lock);
  if (!may) return CAW_ESTATE;
  return copy.data ? 0 : CAW_ENOMEM;
}

bool chain_fail(call_chain *c, const char *format, va_list args) {
  pthread_mutex_lock(&c->lock);
  chain_phase phase = chain_phase_of(c);
  bool asked = phase == CHAIN_REQUEST || phase == CHAIN_CREDENTIALS;
  if (asked) c->fail_text = caw_arena_vprintf(&c->arena, format, args);
  pthread_mutex_unlock(&c->lock);
  return asked;
}
