/*
 * Credentials (caw/tls.h): counted, and with an SSL_CTX that a reload replaces. SSLs
 * hold the one that they were made of.
 */
#include "io/tls_inner.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <stdio.h>
#include <string.h>

#define MILLI              UINT64_C(1000000)
#define HANDSHAKE_TIME_MS  10000
#define LONGEST_MS         (UINT64_C(24) * 3600 * 1000)
#define SERVER_OPTIONS_MIN offsetof(caw_tls_server_options, client_auth)
#define CLIENT_OPTIONS_MIN offsetof(caw_tls_client_options, min_version)

/* ---- Plans ---- */

static int copy_path(const char **path) {
  if (!*path) return 0;
  size_t len = strlen(*path) + 1;
  char *copy = caw_malloc(len);
  if (copy) memcpy(copy, *path, len);
  *path = copy;
  return copy ? 0 : CAW_ENOMEM;
}

static void forget_plan(tls_plan *plan) {
  caw_free((char *)plan->from.cert.file);
  caw_free((char *)plan->from.key.file);
  caw_free((char *)plan->from.ca.file);
}

/* A plan whose paths are its own. Texts in memory are not kept, only that there were
 * some: without them the plan is another one, with less trust or more. */
static int keep_plan(tls_plan *to, const tls_plan *from) {
  *to = *from;
  caw_pem *pems[] = {&to->from.cert, &to->from.key, &to->from.ca};
  int rc = 0;
  for (int i = 0; i < 3; i++) {
    if (pems[i]->text.data) to->from_memory = true;
    pems[i]->text = (caw_str){NULL, 0};
    rc |= copy_path(&pems[i]->file);
  }
  if (rc) forget_plan(to);
  return rc ? CAW_ENOMEM : 0;
}

static int check_version(caw_tls_version v, tls_why *why) {
  if (v == CAW_TLS_DEFAULT || v == CAW_TLS_1_2 || v == CAW_TLS_1_3) return 0;
  return tls_fail(why, CAW_EINVAL, "min_version is none of caw_tls_version");
}

static int check_server(const tls_plan *p, tls_why *why) {
  if (!tls_given(&p->from.cert)) return tls_fail(why, CAW_EINVAL, "a server needs a certificate");
  if (!tls_given(&p->from.key))
    return tls_fail(why, CAW_EINVAL, "the certificate's key is missing");
  if ((unsigned)p->client_auth > CAW_TLS_CLIENT_REQUIRED)
    return tls_fail(why, CAW_EINVAL, "client_auth is none of caw_tls_client_auth");
  if (p->client_auth && !tls_given(&p->from.ca))
    return tls_fail(why, CAW_EINVAL, "client certificates are asked for, but client_ca is missing");
  if (!p->client_auth && tls_given(&p->from.ca))
    return tls_fail(why, CAW_EINVAL,
                    "client_ca is given, but client_auth is off: say optional or required");
  return check_version(p->min_version, why);
}

static int check_client(const tls_plan *p, tls_why *why) {
  bool cert = tls_given(&p->from.cert);
  if (cert != tls_given(&p->from.key))
    return tls_fail(why, CAW_EINVAL,
                    "a client's certificate and its key belong together: %s is "
                    "missing",
                    cert ? "the key" : "the certificate");
  return check_version(p->min_version, why);
}

static int check_plan(const tls_plan *p, tls_why *why) {
  return p->server ? check_server(p, why) : check_client(p, why);
}

static tls_plan plan_server(const caw_tls_server_options *o) {
  return (tls_plan){.server = true,
                    .no_resumption = o->no_resumption,
                    .refuse_exposed_key = o->refuse_exposed_key,
                    .client_auth = o->client_auth,
                    .min_version = o->min_version,
                    .from = {o->cert, o->key, o->client_ca}};
}

static tls_plan plan_client(const caw_tls_client_options *o) {
  return (tls_plan){.noverify = o->insecure_noverify,
                    .no_resumption = o->no_resumption,
                    .refuse_exposed_key = o->refuse_exposed_key,
                    .min_version = o->min_version,
                    .from = {o->cert, o->key, o->ca}};
}

static int check_server_name(const caw_tls_client_options *o, tls_why *why) {
  if (!o->server_name || tls_names_server(o->server_name)) return 0;
  return tls_fail(why, CAW_EINVAL, "server_name: \"%s\" is no host that a certificate can be for",
                  o->server_name);
}

/* ---- What both have in common ---- */

static int base_init(tls_credentials *c, const tls_plan *plan, tls_why *why) {
  atomic_init(&c->refs, 1);
  int rc = check_plan(plan, why);
  if (!rc) rc = tls_context_new(&c->ctx, plan, why);
  if (rc) return rc;
  c->bio = tls_bio_method();
  rc = c->bio ? keep_plan(&c->plan, plan) : CAW_ENOMEM;
  if (rc) {
    BIO_meth_free(c->bio);
    SSL_CTX_free(c->ctx);
    return tls_fail(why, rc, "%s", caw_strerror(rc));
  }
  pthread_mutex_init(&c->reloading, NULL);
  pthread_mutex_init(&c->lock, NULL);
  return 0;
}

static void base_finish(tls_credentials *c) {
  pthread_mutex_destroy(&c->lock);
  pthread_mutex_destroy(&c->reloading);
  SSL_CTX_free(c->ctx);
  BIO_meth_free(c->bio);
  forget_plan(&c->plan);
}

SSL *tls_credentials_ssl(tls_credentials *c, unsigned *generation) {
  pthread_mutex_lock(&c->lock);
  SSL *ssl = SSL_new(c->ctx); /* holds the SSL_CTX */
  *generation = c->generation;
  pthread_mutex_unlock(&c->lock);
  return ssl;
}

/* Puts a new SSL_CTX in the place of the old, or changes nothing. Under `reloading`. */
static int replace(tls_credentials *c, const tls_plan *plan, tls_why *why) {
  tls_plan kept;
  SSL_CTX *ctx;
  int rc = check_plan(plan, why);
  if (!rc) rc = tls_context_new(&ctx, plan, why);
  if (rc) return rc;
  rc = keep_plan(&kept, plan);
  if (rc) {
    SSL_CTX_free(ctx);
    return tls_fail(why, rc, "%s", caw_strerror(rc));
  }
  pthread_mutex_lock(&c->lock);
  SSL_CTX *old_ctx = c->ctx;
  tls_plan old = c->plan;
  c->ctx = ctx;
  c->plan = kept;
  c->generation++;
  pthread_mutex_unlock(&c->lock);
  SSL_CTX_free(old_ctx);
  forget_plan(&old);
  return 0;
}

/* Reads the files of the present plan again. Under `reloading`, so that the plan stays. */
static int reread(tls_credentials *c, tls_why *why) {
  if (c->plan.from_memory)
    return tls_fail(why, CAW_ESTATE,
                    "the credentials are not all from files, so they cannot be read again; the "
                    "old ones go on");
  return replace(c, &c->plan, why);
}

/* Replaces what is there by `plan`, or by its own files' new contents (NULL). One after
 * the other: what was read earlier must not replace what was read later. */
static int base_reload(tls_credentials *c, const tls_plan *plan, tls_why *why) {
  pthread_mutex_lock(&c->reloading);
  int rc = plan ? replace(c, plan, why) : reread(c, why);
  pthread_mutex_unlock(&c->reloading);
  return rc;
}

/* Gives the program its text. */
static int answer(int rc, const tls_why *why, char *out, size_t room) {
  if (room) snprintf(out, room, "%s", why->text);
  return rc;
}

static void *add_ref(void *c) {
  atomic_fetch_add_explicit(&((tls_credentials *)c)->refs, 1, memory_order_relaxed);
  return c;
}

static bool last_ref(void *c) {
  return c &&
         atomic_fetch_sub_explicit(&((tls_credentials *)c)->refs, 1, memory_order_acq_rel) == 1;
}

/* ---- Servers ---- */

static int read_server(caw_tls_server_options *to, const caw_tls_server_options *from,
                       tls_why *why) {
  memset(to, 0, sizeof(*to));
  if (!from || from->size < SERVER_OPTIONS_MIN)
    return tls_fail(why, CAW_EINVAL, "the options are missing, or their size is");
  memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
  return 0;
}

static uint64_t handshake_time(const caw_tls_server_options *o) {
  uint64_t ms = o->handshake_timeout_ms ? o->handshake_timeout_ms : HANDSHAKE_TIME_MS;
  return (ms < LONGEST_MS ? ms : LONGEST_MS) * MILLI;
}

/* What a reload does not change is not there, or is as it was. */
static int check_server_same(const caw_server_credentials *c, const caw_tls_server_options *o,
                             tls_why *why) {
  const char *what = o->handshake_timeout_ms && handshake_time(o) != c->handshake_timeout
                         ? "handshake_timeout_ms"
                     : o->on_handshake_error && o->on_handshake_error != c->on_handshake_error
                         ? "on_handshake_error"
                     : o->user && o->user != c->user ? "user"
                                                     : NULL;
  if (!what) return 0;
  return tls_fail(why, CAW_EINVAL, "a reload cannot change %s; make new credentials", what);
}

int caw_tls_server_new(caw_server_credentials **out, const caw_tls_server_options *options,
                       char *why, size_t room) {
  tls_why text = {""};
  tls_plan plan;
  caw_tls_server_options o;
  caw_server_credentials *c = NULL;
  int rc = read_server(&o, options, &text);
  if (rc) return answer(rc, &text, why, room);
  plan = plan_server(&o);
  if (!(c = caw_calloc(1, sizeof(*c))))
    rc = tls_fail(&text, CAW_ENOMEM, "%s", caw_strerror(CAW_ENOMEM));
  if (!rc) rc = base_init(&c->base, &plan, &text);
  if (rc) {
    caw_free(c);
    return answer(rc, &text, why, room);
  }
  c->handshake_timeout = handshake_time(&o);
  c->on_handshake_error = o.on_handshake_error;
  c->user = o.user;
  *out = c;
  return answer(0, &text, why, room);
}

int caw_tls_server_reload(caw_server_credentials *c, const caw_tls_server_options *options,
                          char *why, size_t room) {
  tls_why text = {""};
  tls_plan plan;
  caw_tls_server_options o;
  if (!options) return answer(base_reload(&c->base, NULL, &text), &text, why, room);
  int rc = read_server(&o, options, &text);
  if (!rc) rc = check_server_same(c, &o, &text);
  if (rc) return answer(rc, &text, why, room);
  plan = plan_server(&o);
  rc = base_reload(&c->base, &plan, &text);
  return answer(rc, &text, why, room);
}

caw_server_credentials *caw_server_credentials_ref(caw_server_credentials *c) {
  return add_ref(c);
}

void caw_server_credentials_unref(caw_server_credentials *c) {
  if (!last_ref(c)) return;
  base_finish(&c->base);
  caw_free(c);
}

/* ---- Channels ---- */

static int read_client(caw_tls_client_options *to, const caw_tls_client_options *from,
                       tls_why *why) {
  memset(to, 0, sizeof(*to));
  if (!from) return 0;
  if (from->size < CLIENT_OPTIONS_MIN) return tls_fail(why, CAW_EINVAL, "the options have no size");
  memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
  return 0;
}

int caw_tls_client_new(caw_channel_credentials **out, const caw_tls_client_options *options,
                       char *why, size_t room) {
  tls_why text = {""};
  tls_plan plan;
  caw_tls_client_options o;
  caw_channel_credentials *c = NULL;
  int rc = read_client(&o, options, &text);
  if (!rc) rc = check_server_name(&o, &text);
  if (rc) return answer(rc, &text, why, room);
  plan = plan_client(&o);
  rc = copy_path(&o.server_name);
  if (!rc && !(c = caw_calloc(1, sizeof(*c)))) rc = CAW_ENOMEM;
  if (rc) tls_say(&text, "%s", caw_strerror(rc));
  else rc = base_init(&c->base, &plan, &text);
  if (rc) {
    caw_free((char *)o.server_name);
    caw_free(c);
    return answer(rc, &text, why, room);
  }
  c->server_name = (char *)o.server_name;
  c->noverify = o.insecure_noverify;
  *out = c;
  return answer(0, &text, why, room);
}

/* What a reload does not change is not there, or is as it was. */
static int check_client_same(const caw_channel_credentials *c, const caw_tls_client_options *o,
                             tls_why *why) {
  const char *mine = c->server_name ? c->server_name : "";
  const char *what = o->server_name && strcmp(o->server_name, mine) != 0 ? "server_name"
                     : o->insecure_noverify && !c->noverify              ? "insecure_noverify"
                                                                         : NULL;
  if (!what) return 0;
  return tls_fail(why, CAW_EINVAL, "a reload cannot change %s; make new credentials", what);
}

int caw_tls_client_reload(caw_channel_credentials *c, const caw_tls_client_options *options,
                          char *why, size_t room) {
  tls_why text = {""};
  tls_plan plan;
  caw_tls_client_options o;
  if (!options) return answer(base_reload(&c->base, NULL, &text), &text, why, room);
  int rc = read_client(&o, options, &text);
  if (!rc) rc = check_client_same(c, &o, &text);
  if (rc) return answer(rc, &text, why, room);
  o.insecure_noverify = c->noverify;
  plan = plan_client(&o);
  rc = base_reload(&c->base, &plan, &text);
  return answer(rc, &text, why, room);
}

caw_channel_credentials *caw_channel_credentials_ref(caw_channel_credentials *c) {
  return add_ref(c);
}

void caw_channel_credentials_unref(caw_channel_credentials *c) {
  if (!last_ref(c)) return;
  base_finish(&c->base);
  caw_free(c->server_name);
  caw_free(c);
}

const char *io_tls_server_name(const caw_channel_credentials *c) {
  return c->server_name;
}
