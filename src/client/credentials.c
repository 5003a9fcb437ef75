/* Call credentials: plugins, the ready-made bearer token, and where they may be sent. */
#include "client/credentials.h"

#include <caw/alloc.h>

struct caw_call_credentials {
  atomic_uint refs;
  caw_credentials_plugin plugin;
  void *user;
  /* Composed ones are a list of plugins, without depth. */
  size_t n;
  caw_call_credentials *parts[];
};

static caw_call_credentials *allocate(size_t n) {
  caw_call_credentials *c = caw_calloc(1, sizeof(*c) + n * sizeof(c->parts[0]));
  if (!c) return NULL;
  atomic_init(&c->refs, 1);
  c->n = n;
  return c;
}

caw_call_credentials *caw_call_credentials_ref(caw_call_credentials *c) {
  atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
  return c;
}

static bool drop(caw_call_credentials *c) {
  return atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1;
}

static void free_plugin(caw_call_credentials *c) {
  if (c->plugin.destroy) c->plugin.destroy(c->user);
  caw_free(c);
}

void caw_call_credentials_unref(caw_call_credentials *c) {
  if (!c || !drop(c)) return;
  for (size_t i = 0; i < c->n; i++)
    if (drop(c->parts[i])) free_plugin(c->parts[i]);
  free_plugin(c);
}

int caw_call_credentials_new(caw_call_credentials **out, const caw_credentials_plugin *plugin,
                             void *user) {
  caw_credentials_plugin p = {0};
  if (!plugin || plugin->size < offsetof(caw_credentials_plugin, destroy)) return CAW_EINVAL;
  memcpy(&p, plugin, plugin->size < sizeof(p) ? plugin->size : sizeof(p));
  if (!p.get) return CAW_EINVAL;
  caw_call_credentials *c = allocate(0);
  if (!c) return CAW_ENOMEM;
  c->plugin = p;
  c->user = user;
  *out = c;
  return 0;
}

/* Adds the plugins of `from` behind the first `n`; returns how many there are. */
static size_t take_parts(caw_call_credentials *to, size_t n, caw_call_credentials *from) {
  for (size_t i = 0; i < credentials_count(from); i++)
    to->parts[n++] = caw_call_credentials_ref(from->n ? from->parts[i] : from);
  return n;
}

int caw_call_credentials_compose(caw_call_credentials **out, caw_call_credentials *first,
                                 caw_call_credentials *second) {
  caw_call_credentials *c = allocate(credentials_count(first) + credentials_count(second));
  if (!c) return CAW_ENOMEM;
  take_parts(c, take_parts(c, 0, first), second);
  *out = c;
  return 0;
}

/* ---- A bearer token ---- */

typedef struct bearer {
  size_t len;
  char value[]; /* "Bearer TOKEN" */
} bearer;

static int get_bearer(caw_call *call, const caw_credentials_context *context, void *user) {
  static const caw_str key = CAW_STR("authorization");
  const bearer *b = user;
  (void)context;
  return caw_call_metadata_add(call, CAW_REQUEST_METADATA, key, caw_str_of(b->value, b->len));
}

/* A token does not stay in memory that is free. */
static void free_bearer(void *user) {
  bearer *b = user;
  explicit_bzero(b->value, b->len);
  caw_free(b);
}

int caw_call_credentials_bearer(caw_call_credentials **out, caw_str token) {
  static const char scheme[] = "Bearer ";
  static const caw_credentials_plugin plugin = {sizeof(plugin), get_bearer, free_bearer};
  const size_t skip = sizeof(scheme) - 1;
  if (!token.len) return CAW_EINVAL;
  for (size_t i = 0; i < token.len; i++)
    if (token.data[i] < 0x21 || token.data[i] > 0x7e) return CAW_EINVAL;
  bearer *b = caw_malloc(sizeof(*b) + skip + token.len);
  if (!b) return CAW_ENOMEM;
  b->len = skip + token.len;
  memcpy(b->value, scheme, skip);
  memcpy(b->value + skip, token.data, token.len);
  int rc = caw_call_credentials_new(out, &plugin, b);
  if (rc) caw_free(b);
  return rc;
}

/* ---- For a call ---- */

size_t credentials_count(const caw_call_credentials *c) {
  if (!c) return 0;
  return c->n ? c->n : 1;
}

int credentials_ask(const caw_call_credentials *c, size_t i, call_chain *chain,
                    const caw_credentials_context *context) {
  const caw_call_credentials *part = c->n ? c->parts[i] : c;
  chain_begin_question(chain, CHAIN_CREDENTIALS);
  return chain_end_question(chain, part->plugin.get(chain->call, context, part->user));
}

int credentials_context(caw_credentials_context *out, call_chain *chain, const char *authority) {
  static const caw_str https = CAW_STR(":443");
  caw_str host = caw_str_from(authority), path = caw_call_path(chain->call);
  const char *slash = strrchr(path.data, '/');
  if (host.len > https.len && !memcmp(host.data + host.len - https.len, https.data, https.len))
    host.len -= https.len;
  out->method = caw_str_from(slash + 1);
  out->service_url = caw_arena_printf(&chain->arena, "https://%.*s%.*s", CAW_STR_ARG(host),
                                      (int)(slash - path.data), path.data);
  return out->service_url.data ? 0 : CAW_ENOMEM;
}

int credentials_code(int rc) {
  int code = call_status_code(rc);
  switch (code) {
  case CAW_INVALID_ARGUMENT:
  case CAW_NOT_FOUND:
  case CAW_ALREADY_EXISTS:
  case CAW_FAILED_PRECONDITION:
  case CAW_ABORTED:
  case CAW_OUT_OF_RANGE:
  case CAW_DATA_LOSS:
    return CAW_INTERNAL;
  default:
    return code;
  }
}
