/*
 * Certificates and keys from PEM, in files and in memory, with errors that name the
 * file and the reason. Not here: what they are then used for (tls_context.c).
 */
#include "io/tls_inner.h"

#include "io/sys.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* See there: programs that were compiled before have it within their options. */
_Static_assert(sizeof(caw_pem) == sizeof(char *) + sizeof(caw_str), "caw_pem does not grow");

/* The system's trust store has some 220 KiB. */
#define PEM_MAX ((size_t)4 * 1024 * 1024)

void tls_say(tls_why *why, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(why->text, sizeof(why->text), format, args);
  va_end(args);
}

int tls_fail(tls_why *why, int rc, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(why->text, sizeof(why->text), format, args);
  va_end(args);
  return rc;
}

/* ---- Bytes ---- */

/* A PEM text that is being read. */
typedef struct pem_text {
  const char *name; /* the path, or "CERT (in memory)" */
  char *owned;      /* what was read from a file */
  size_t len;
  BIO *bio;
  mode_t mode; /* of the file; 0 for memory */
} pem_text;

static int read_all(int fd, pem_text *t, tls_why *why) {
  struct stat st;
  if (fstat(fd, &st)) return tls_fail(why, CAW_ESYS, "%s: %s", t->name, strerror(errno));
  t->mode = st.st_mode;
  /* A pipe or the like has no size: whatever fits is read. */
  size_t room = S_ISREG(st.st_mode) ? (size_t)st.st_size : PEM_MAX;
  if (room > PEM_MAX) return tls_fail(why, CAW_ETOOBIG, "%s: larger than 4 MiB", t->name);
  t->owned = caw_malloc(room + 1);
  if (!t->owned) return tls_fail(why, CAW_ENOMEM, "%s: out of memory", t->name);
  while (t->len < room) {
    ssize_t n = read(fd, t->owned + t->len, room - t->len);
    if (n == 0) break;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return tls_fail(why, CAW_ESYS, "%s: %s", t->name, strerror(errno));
    t->len += (size_t)n;
  }
  return 0;
}

static int read_file(pem_text *t, const char *path, tls_why *why) {
  t->name = path;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    int err = errno, rc = io_sys_error(err);
    if (rc == CAW_EADDR) rc = CAW_ENOTFOUND; /* ENOENT, where addresses are meant */
    return tls_fail(why, rc, "%s: %s", path, strerror(err));
  }
  int rc = read_all(fd, t, why);
  close(fd);
  return rc;
}

/* Private keys do not stay behind in freed memory. */
static void close_text(pem_text *t) {
  if (t->bio) BIO_free(t->bio);
  if (t->owned) OPENSSL_cleanse(t->owned, t->len);
  caw_free(t->owned);
}

static int open_text(pem_text *t, const caw_pem *pem, const char *what, tls_why *why) {
  memset(t, 0, sizeof(*t));
  t->name = what;
  if (pem->file && pem->text.data)
    return tls_fail(why, CAW_EINVAL, "%s: both a file and a text are given", what);
  int rc = pem->file ? read_file(t, pem->file, why) : 0;
  const char *data = pem->file ? t->owned : pem->text.data;
  size_t len = pem->file ? t->len : pem->text.len;
  if (!rc && len > PEM_MAX) rc = tls_fail(why, CAW_ETOOBIG, "%s: larger than 4 MiB", t->name);
  if (!rc) {
    t->bio = BIO_new_mem_buf(data, (int)len);
    if (!t->bio) rc = tls_fail(why, CAW_ENOMEM, "%s: out of memory", t->name);
  }
  if (rc) close_text(t);
  return rc;
}

/* ---- Certificates ---- */

/* Was the last error of OpenSSL's only that there is no further block? Of keys it says
 * then that it found nothing that it supports. */
static bool no_more_pem(void) {
  unsigned long e = ERR_peek_last_error();
  return (ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE) ||
         (ERR_GET_LIB(e) == ERR_LIB_OSSL_DECODER && ERR_GET_REASON(e) == ERR_R_UNSUPPORTED);
}

static int bad_pem(tls_why *why, const pem_text *t, const char *what) {
  unsigned long e = ERR_peek_last_error();
  bool none = no_more_pem();
  const char *reason = ERR_reason_error_string(e);
  if (tls_no_memory()) return tls_fail(why, CAW_ENOMEM, "%s: out of memory", t->name);
  if (none) return tls_fail(why, CAW_EMALFORMED, "%s: there is no %s in PEM", t->name, what);
  return tls_fail(why, CAW_EMALFORMED, "%s: this is not a %s in PEM: %s", t->name, what,
                  reason ? reason : "unreadable");
}

/* OpenSSL would ask on the terminal for a passphrase. */
static int no_passphrase(char *buf, int size, int rwflag, void *user) {
  (void)buf, (void)size, (void)rwflag;
  *(bool *)user = true;
  return -1;
}

static int refuse_ctx(tls_why *why, const pem_text *t, const char *what) {
  const char *reason = ERR_reason_error_string(ERR_peek_last_error());
  if (tls_no_memory()) return tls_fail(why, CAW_ENOMEM, "%s: out of memory", t->name);
  return tls_fail(why, CAW_ETLS, "%s: the %s cannot be used: %s", t->name, what,
                  reason ? reason : "unknown error");
}

/* The certificate itself, then those that its file has behind it. */
static int use_chain(SSL_CTX *ctx, pem_text *t, tls_why *why) {
  bool asked = false;
  X509 *x = PEM_read_bio_X509_AUX(t->bio, NULL, no_passphrase, &asked);
  if (!x) return bad_pem(why, t, "certificate");
  int ok = SSL_CTX_use_certificate(ctx, x);
  X509_free(x);
  if (ok != 1) return refuse_ctx(why, t, "certificate");
  while ((x = PEM_read_bio_X509(t->bio, NULL, no_passphrase, &asked))) {
    if (SSL_CTX_add0_chain_cert(ctx, x) == 1) continue;
    X509_free(x);
    return refuse_ctx(why, t, "chain");
  }
  if (!no_more_pem()) return bad_pem(why, t, "certificate");
  ERR_clear_error();
  return 0;
}

/* Of a key that does not fit: tls_use_pair has the words for it. */
static int refuse_pair(tls_why *why, const pem_text *t) {
  if (tls_no_memory()) return tls_fail(why, CAW_ENOMEM, "%s: out of memory", t->name);
  return CAW_ETLS;
}

static int use_key(SSL_CTX *ctx, pem_text *t, tls_why *why) {
  bool asked = false;
  EVP_PKEY *key = PEM_read_bio_PrivateKey(t->bio, NULL, no_passphrase, &asked);
  if (!key && asked) {
    ERR_clear_error();
    return tls_fail(why, CAW_EMALFORMED,
                    "%s: the key has a passphrase; store it without one, in a file that only "
                    "the server can read",
                    t->name);
  }
  if (!key) return bad_pem(why, t, "private key");
  int ok = SSL_CTX_use_PrivateKey(ctx, key);
  EVP_PKEY_free(key);
  return ok == 1 ? 0 : refuse_pair(why, t);
}

/* Can others than its owner read the key's file? Looked at on the open file: it is the
 * one that the key came from. */
static int check_mode(const pem_text *key, bool strict, tls_why *why) {
  if (!(key->mode & (S_IRGRP | S_IROTH))) return 0;
  return tls_fail(
      why, strict ? CAW_EACCES : 0,
      "%s: the private key can be read by others than its owner (mode %04o); chmod 600 it",
      key->name, (unsigned)key->mode & 07777);
}

int tls_use_pair(SSL_CTX *ctx, const tls_sources *from, bool strict, tls_why *why) {
  pem_text c, k;
  ERR_clear_error();
  int rc = open_text(&c, &from->cert, "the certificate in memory", why);
  if (rc) return rc;
  rc = open_text(&k, &from->key, "the key in memory", why);
  if (rc) {
    close_text(&c);
    return rc;
  }
  rc = use_chain(ctx, &c, why);
  if (!rc) rc = use_key(ctx, &k, why);
  if (!rc && SSL_CTX_check_private_key(ctx) != 1) rc = refuse_pair(why, &k);
  if (rc == CAW_ETLS && !why->text[0])
    tls_say(why, "%s: the key does not belong to the certificate in %s", k.name, c.name);
  if (!rc) rc = check_mode(&k, strict, why);
  ERR_clear_error();
  close_text(&c);
  close_text(&k);
  return rc;
}

/* ---- Trust ---- */

static bool is_whole(X509 *x) {
  const EVP_PKEY *key = X509_get0_pubkey(x);
  return key && EVP_PKEY_get_security_bits(key) > 0 && X509_check_purpose(x, -1, 0) == 1;
}

/* When memory is out while OpenSSL takes a certificate apart, it keeps one without a key, with a
 * key of no strength, or that is good for nothing, and says nothing: as with a kind of key that
 * it does not know. Then another try has the same end. */
static bool was_cut_short(X509 *x) {
  if (is_whole(x)) return false;
  X509 *again = X509_dup(x);
  bool cut = !again || is_whole(again);
  X509_free(again);
  return cut;
}

static int add_ca(X509_STORE *store, STACK_OF(X509_NAME) * names, X509 *x) {
  if (was_cut_short(x) || X509_STORE_add_cert(store, x) != 1) return CAW_ENOMEM;
  if (!names) return 0;
  X509_NAME *name = X509_NAME_dup(X509_get_subject_name(x));
  if (name && sk_X509_NAME_push(names, name)) return 0;
  X509_NAME_free(name);
  return CAW_ENOMEM;
}

static int read_bundle(X509_STORE *store, STACK_OF(X509_NAME) * names, pem_text *t, tls_why *why) {
  bool asked = false;
  size_t n = 0;
  X509 *x;
  for (; (x = PEM_read_bio_X509(t->bio, NULL, no_passphrase, &asked)); n++) {
    int rc = add_ca(store, names, x);
    X509_free(x);
    if (rc) return tls_fail(why, rc, "%s: out of memory", t->name);
  }
  if (!n || !no_more_pem()) return bad_pem(why, t, "CA certificate");
  ERR_clear_error();
  return 0;
}

int tls_use_ca(SSL_CTX *ctx, const caw_pem *ca, bool names, tls_why *why) {
  pem_text t;
  ERR_clear_error();
  int rc = open_text(&t, ca, "the CA in memory", why);
  if (rc) return rc;
  STACK_OF(X509_NAME) *issuers = names ? sk_X509_NAME_new_null() : NULL;
  if (names && !issuers) rc = tls_fail(why, CAW_ENOMEM, "%s: out of memory", t.name);
  if (!rc) rc = read_bundle(SSL_CTX_get_cert_store(ctx), issuers, &t, why);
  if (!rc && names) SSL_CTX_set_client_CA_list(ctx, issuers);
  else sk_X509_NAME_pop_free(issuers, X509_NAME_free);
  ERR_clear_error();
  close_text(&t);
  return rc;
}
