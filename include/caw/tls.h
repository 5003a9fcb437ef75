/*
 * TLS: credentials of servers and channels, and who the other end of a call is.
 *
 * gRPC over TLS is HTTP/2 over TLS 1.3 or 1.2 with ALPN "h2", which both sides insist
 * on. TLS 1.2 is used with ECDHE and AEAD ciphers alone; there is no compression, no
 * renegotiation and no early data (RFC 9113 9.2, RFC 8446).
 *
 * Credentials are made once, are counted, and serve any number of servers, addresses
 * and channels. The certificates in them can be replaced at any time (reload):
 * connections that exist keep what they began with, new ones get the new.
 *
 * Texts. The functions that read certificates take `why`, room for `room` bytes: what
 * is wrong, a sentence that names the file and the reason, cut to the room and ended by
 * NUL. After a success it is empty, or holds a warning: so far the only one is that a
 * file with a private key is readable by others than its owner. `why` may be NULL when
 * `room` is 0.
 *
 * A certificate's revocation is not checked (neither CRL nor OCSP): who must be shut out
 * before its certificate ends is shut out by another CA, or by the handlers.
 *
 * A build without TLS (CAW_TLS=OFF) has all functions; those that can fail return
 * CAW_ENOTSUP.
 */
#ifndef CAW_TLS_H
#define CAW_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <caw/export.h>
#include <caw/str.h>

CAW_BEGIN_DECLS

typedef struct caw_server_credentials caw_server_credentials;
typedef struct caw_channel_credentials caw_channel_credentials;
struct caw_call;

/* PEM, in a file or in memory; {0}: none. Read when the credentials are made or
 * reloaded, by blocking calls, up to 4 MiB. The path is copied and read again by a
 * reload; text in memory is not kept.
 *
 * This one has no `size` and does not grow: it stands by value in options, which have one,
 * and a member more would move all behind it. Whatever else a certificate or a key may come
 * from gets members of its own, at the end of the options. */
typedef struct caw_pem {
  const char *file; /* a path, or NULL */
  caw_str text;     /* else the text itself */
} caw_pem;

/* The lowest version of TLS that is spoken. */
typedef enum caw_tls_version {
  CAW_TLS_DEFAULT = 0, /* 1.2 */
  CAW_TLS_1_2 = 12,
  CAW_TLS_1_3 = 13
} caw_tls_version;

/* What a server asks of its clients. */
typedef enum caw_tls_client_auth {
  CAW_TLS_CLIENT_OFF = 0,      /* no certificate is asked for */
  CAW_TLS_CLIENT_OPTIONAL = 1, /* one that is given must be good; without one the call has
                                  an identity that is not verified */
  CAW_TLS_CLIENT_REQUIRED = 2  /* mutual TLS: no connection without a good one */
} caw_tls_client_auth;

/* The zero value of each member is the default. Copied. */
typedef struct caw_tls_server_options {
  size_t size;       /* sizeof(caw_tls_server_options) */
  caw_pem cert;      /* required: the server's certificate, then those between it and a CA */
  caw_pem key;       /* required: its private key, without a passphrase */
  caw_pem client_ca; /* whose client certificates are good; required unless client_auth
                        is off, and not allowed then */
  caw_tls_client_auth client_auth;
  caw_tls_version min_version;
  bool no_resumption;            /* every handshake is a full one */
  uint64_t handshake_timeout_ms; /* 0: 10,000 */
  /* A handshake failed: `peer` is the client's address as of caw_call_peer, `why` a
   * sentence for a log; both borrowed. On the thread of the connection's loop, so on
   * several at once when the server has several loops. Not called for connections that
   * end with their server. */
  void (*on_handshake_error)(const char *peer, const char *why, void *user);
  void *user; /* for on_handshake_error; needed until the last server with these credentials
                 is freed, and the last reference to them given back */
  /* A key in a file that others than its owner can read is an error (CAW_EACCES), also of
   * a reload; else it is a warning. */
  bool refuse_exposed_key;
} caw_tls_server_options;

/* The zero value of each member is the default. Copied. */
typedef struct caw_tls_client_options {
  size_t size;  /* sizeof(caw_tls_client_options) */
  caw_pem ca;   /* whose server certificates are good; none: the system's trust store */
  caw_pem cert; /* the client's certificate, then those between it and a CA; or none */
  caw_pem key;  /* its private key, without a passphrase; with cert only */
  caw_tls_version min_version;
  /* The name that the server's certificate must have, which is also told to the server
   * (SNI) and is the channel's authority unless it has another: for tests, and for
   * servers that are reached by an address. NULL: the host of the channel's authority.
   * Either is a host name or an IP address, without an empty label, '*', '/', '@' or a
   * space; else CAW_EINVAL, here or from caw_channel_new. */
  const char *server_name;
  bool no_resumption; /* every handshake is a full one */
  /* DANGER: the server's certificate and name are not checked at all, so anybody on the
   * way can read and change everything. Not even for tests: use `ca` and `server_name`. */
  bool insecure_noverify;
  bool refuse_exposed_key; /* as a server's */
} caw_tls_client_options;

/*
 * Makes a server's credentials in *out, with one reference. Returns 0, maybe with a
 * warning in `why`; or, with the reason there, CAW_EINVAL (options contradict each
 * other), CAW_EACCES or CAW_ENOTFOUND (a file; the former also: others can read the key),
 * CAW_EMALFORMED (no PEM, or an encrypted key), CAW_ETOOBIG (a file), CAW_ETLS (certificate and key
 * do not belong together, or are too weak), CAW_ENOMEM, CAW_ESYS, CAW_ENOTSUP. Any thread. Since
 * 0.1.
 */
CAW_API int caw_tls_server_new(caw_server_credentials **out, const caw_tls_server_options *options,
                               char *why, size_t room);

/*
 * Replaces certificate, key and client CA for connections to come: those that exist stay
 * as they are, and sessions of before are not resumed. With `options` NULL the files are
 * read again; else cert, key, client_ca, client_auth, min_version, no_resumption and
 * refuse_exposed_key are taken from there, while the rest stays: a handshake_timeout_ms,
 * on_handshake_error or user that is neither zero nor what it was is CAW_EINVAL. When
 * anything is wrong the old ones go on. Returns as caw_tls_server_new; CAW_ESTATE: some of
 * them came from memory, so they cannot be read again. Any thread, as often as one likes:
 * reloads on several threads come one after the other. It reads files. Since 0.1.
 */
CAW_API int caw_tls_server_reload(caw_server_credentials *credentials,
                                  const caw_tls_server_options *options, char *why, size_t room);

/* Adds a reference, or gives one back. A server keeps its own. NULL is fine for the
 * latter. Any thread. Since 0.1. */
CAW_API caw_server_credentials *caw_server_credentials_ref(caw_server_credentials *credentials);
CAW_API void caw_server_credentials_unref(caw_server_credentials *credentials);

/* Makes a channel's credentials in *out, with one reference; `options` may be NULL.
 * Returns as caw_tls_server_new; CAW_EINVAL also for a server_name that is no host's. Any thread.
 * Since 0.1. */
CAW_API int caw_tls_client_new(caw_channel_credentials **out, const caw_tls_client_options *options,
                               char *why, size_t room);

/* Replaces CA, certificate and key as caw_tls_server_reload does, and with `options` NULL
 * also reads the system's trust store again, when there is no CA. server_name and
 * insecure_noverify stay: one that is given and is not what it was is CAW_EINVAL. Any
 * thread. Since 0.1. */
CAW_API int caw_tls_client_reload(caw_channel_credentials *credentials,
                                  const caw_tls_client_options *options, char *why, size_t room);

/* Adds a reference, or gives one back. A channel keeps its own. NULL is fine for the
 * latter. Any thread. Since 0.1. */
CAW_API caw_channel_credentials *caw_channel_credentials_ref(caw_channel_credentials *credentials);
CAW_API void caw_channel_credentials_unref(caw_channel_credentials *credentials);

/* ---- Who the other end is ---- */

/* What kind of name a certificate gives its holder (RFC 5280 4.2.1.6). */
typedef enum caw_san_kind {
  CAW_SAN_DNS = 1,   /* "api.example.com" */
  CAW_SAN_URI = 2,   /* "spiffe://example.com/reports" */
  CAW_SAN_EMAIL = 3, /* "a@example.com" */
  CAW_SAN_IP = 4     /* "192.0.2.1", "2001:db8::1" */
} caw_san_kind;

typedef struct caw_san {
  caw_san_kind kind;
  caw_str text; /* without NUL and control characters: names with them are left out */
} caw_san;

/* What TLS says of the other end. The strings and lists are as long as the struct. */
typedef struct caw_peer_identity {
  /* Its certificate was issued by one of the trusted CAs, is valid now and for this
   * use, and, on a client, has the server's name. Only then do subject and names mean
   * anything. */
  bool verified;
  bool resumed;         /* the handshake was that of an earlier connection */
  bool certificate;     /* it has shown one */
  uint8_t sha256[32];   /* fingerprint of the whole certificate; zeros without one */
  caw_str subject;      /* RFC 2253, UTF-8: "CN=reports,O=Example"; "" without one */
  const caw_san *names; /* its subject alternative names, in their order */
  size_t names_len;     /* at most 256; the rest is left out */
  const char *tls;      /* "TLSv1.3" */
  const char *cipher;   /* "TLS_AES_256_GCM_SHA384" */
} caw_peer_identity;

/*
 * The identity of the other end of a call: on a server the client's, on a client the
 * server's; NULL when the connection has no TLS, or, on a client, when the call has no
 * connection yet. On a server it lives as long as the call does; on a client until the
 * call's next callback, since a call that is sent once more by itself may have another
 * connection then. Loop's thread, or a pending handler. Since 0.1.
 */
CAW_API const caw_peer_identity *caw_call_peer_identity(const struct caw_call *call);

CAW_END_DECLS

#endif
