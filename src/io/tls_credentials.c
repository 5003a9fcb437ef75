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

/* A plan whose paths are its own. Texts in memory are not kept. */
static int keep_plan(tls_plan *to, const tls_plan *from) {
  *to = *from;
  caw_pem *pems[] = {&to->from.cert, &to->from.key, &to->from.ca};
  int rc = 0;
  for (int i = 0; i < 3; i++) {
    pems[i]->text = (caw_str){NULL, 0};
    rc |= copy_path(&pems[i]->file);
  }
  if (rc) forget_plan(to);
  return rc ? CAW_ENOMEM : 0;
}

/* Can the plan be read again: is nothing of it from memory? */
static bool from_files(const tls_plan *plan, bool ca_needed) {
  const tls_sources *f = &plan->from;
  return (f->cert.file || f->ca.file) && !f->cert.file == !f->key.file &&
         (!ca_needed || f->ca.file);
}

static int check_version(caw_tls_version v, tls_why *why) {
  if (v == CAW_TLS_DEFAULT || v == CAW_TLS_1_2 || v == CAW_TLS_1_3) return 0;
  return tls_fail(why, CAW_EINVAL, "min_version is none of caw_tls_version");
}

static int plan_server(tls_plan *plan, const caw_tls_server_options *o, tls_why *why) {
  *plan = (tls_plan){.server = true,
                     .no_resumption = o->no_resumption,
                     .client_auth = o->client_auth,
                     .min_version = o->min_version,
                     .from = {o->cert, o->key, o->client_ca}};
  if (!tls_given(&o->cert)) return tls_fail(why, CAW_EINVAL, "a server needs a certificate");
  if (!tls_given(&o->key)) return tls_fail(why, CAW_EINVAL, "the certificate's key is missing");
  if ((unsigned)o->client_auth > CAW_TLS_CLIENT_REQUIRED)
    return tls_fail(why, CAW_EINVAL, "client_auth is none of caw_tls_client_auth");
  if (o->client_auth && !tls_given(&o->client_ca))
    return tls_fail(why, CAW_EINVAL, "client certificates are asked for, but client_ca is missing");
  if (!o->client_auth && tls_given(&o->client_ca))
    return tls_fail(why, CAW_EINVAL,
                    "client_ca is given, but client_auth is off: say optional or required");
  return check_version(o->min_version, why);
}

static int plan_client(tls_plan *plan, const caw_tls_client_options *o, tls_why *why) {
  *plan = (tls_plan){.noverify = o->insecure_noverify,
                     .no_resumption = o->no_resumption,
                     .min_version = o->min_version,
                     .from = {o->cert, o->key, o->ca}};
  if (tls_given(&o->cert) != tls_given(&o->key))
    return tls_fail(why, CAW_EINVAL,
                    "a client's certificate and its key belong together: %s is "
                    "missing",
                    tls_given(&o->cert) ? "the key" : "the certificate");
  return check_version(o->min_version, why);
}

/* ---- What both have in common ---- */

static int base_init(tls_credentials *c, const tls_plan *plan, tls_why *why) {
  atomic_init(&c->refs, 1);
  int rc = tls_context_new(&c->ctx, plan, why);
  if (rc) return rc;
  c->bio = tls_bio_method();
  rc = c->bio ? keep_plan(&c->plan, plan) : CAW_ENOMEM;
  if (rc) {
    BIO_meth_free(c->bio);
    SSL_CTX_free(c->ctx);
    return tls_fail(why, rc, "%s", caw_strerror(rc));
  }
  pthread_mutex_init(&c->lock, NULL);
  return 0;
}

static void base_finish(tls_credentials *c) {
  pthread_mutex_destroy(&c->lock);
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

/* Puts a new SSL_CTX in the place of the old, or changes nothing. */
static int base_replace(tls_credentials *c, const tls_plan *plan, tls_why *why) {
  tls_plan kept;
  SSL_CTX *ctx;
  int rc = tls_context_new(&ctx, plan, why);
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

/* Reads the files of the present plan again. It is copied first: another thread may
 * replace it meanwhile. */
static int base_reread(tls_credentials *c, tls_why *why) {
  tls_plan plan;
  pthread_mutex_lock(&c->lock);
  bool able = from_files(&c->plan, c->plan.client_auth != CAW_TLS_CLIENT_OFF);
  int rc = able ? keep_plan(&plan, &c->plan) : CAW_ESTATE;
  pthread_mutex_unlock(&c->lock);
  if (rc == CAW_ESTATE)
    return tls_fail(why, rc,
                    "the credentials are not from files, so there is nothing to read again");
  if (rc) return tls_fail(why, rc, "%s", caw_strerror(rc));
  rc = base_replace(c, &plan, why);
  forget_plan(&plan);
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

int caw_tls_server_new(caw_server_credentials **out, const caw_tls_server_options *options,
                       char *why, size_t room) {
  tls_why text = {""};
  tls_plan plan;
  caw_tls_server_options o;
  caw_server_credentials *c = NULL;
  int rc = read_server(&o, options, &text);
  if (!rc) rc = plan_server(&plan, &o, &text);
  if (!rc && !(c = caw_calloc(1, sizeof(*c))))
    rc = tls_fail(&text, CAW_ENOMEM, "%s", caw_strerror(CAW_ENOMEM));
  if (!rc) rc = base_init(&c->base, &plan, &text);
  if (rc) {
    caw_free(c);
    return answer(rc, &text, why, room);
  }
  uint64_t ms = o.handshake_timeout_ms ? o.handshake_timeout_ms : HANDSHAKE_TIME_MS;
  c->handshake_timeout = (ms < LONGEST_MS ? ms : LONGEST_MS) * MILLI;
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
  if (!options) return answer(base_reread(&c->base, &text), &text, why, room);
  int rc = read_server(&o, options, &text);
  if (!rc) rc = plan_server(&plan, &o, &text);
  if (!rc) rc = base_replace(&c->base, &plan, &text);
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
  if (!rc) rc = plan_client(&plan, &o, &text);
  if (rc) return answer(rc, &text, why, room);
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

int caw_tls_client_reload(caw_channel_credentials *c, const caw_tls_client_options *options,
                          char *why, size_t room) {
  tls_why text = {""};
  tls_plan plan;
  caw_tls_client_options o;
  if (!options) return answer(base_reread(&c->base, &text), &text, why, room);
  int rc = read_client(&o, options, &text);
  o.insecure_noverify = c->noverify;
  if (!rc) rc = plan_client(&plan, &o, &text);
  if (!rc) rc = base_replace(&c->base, &plan, &text);
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
