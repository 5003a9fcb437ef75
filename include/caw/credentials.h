/*
 * Call credentials: metadata that prove who calls (a token), added to each call of a
 * client that has them, and to no other.
 *
 * They go with a channel (caw_channel_options.call_credentials), with a call
 * (caw_call_options.credentials), or with both: the channel's come first. They are asked
 * when the call has a connection and is about to be sent, so that a token is fresh; a call
 * that is sent once more by itself uses what it was given.
 *
 * They are secrets. Their values never enter a compression table (RFC 7541 section
 * 7.1.3), and they are sent only over TLS, to a loopback address, or through a Unix socket:
 * it counts where the connection goes, whatever the target is called. Otherwise the
 * call fails with UNAUTHENTICATED, and the credentials are not even asked;
 * caw_channel_options.insecure_credentials_over_plaintext has them sent in plain sight.
 */
#ifndef CAW_CREDENTIALS_H
#define CAW_CREDENTIALS_H

#include <caw/call.h>
#include <caw/export.h>

CAW_BEGIN_DECLS

typedef struct caw_call_credentials caw_call_credentials;

/* What is called; lives until the answer. */
typedef struct caw_credentials_context {
  caw_str service_url; /* "https://HOST/package.Service": the audience of a token (the host as
                          in :authority, without :443) */
  caw_str method;      /* "Method" */
} caw_credentials_context;

/* Where credentials come from. */
typedef struct caw_credentials_plugin {
  size_t size; /* sizeof(caw_credentials_plugin) */
  /*
   * Adds what proves the caller, with caw_call_metadata_add(call, CAW_REQUEST_METADATA, key,
   * value), and returns 0; or a status with which the call fails, its text kept by
   * caw_call_fail; or CAW_PENDING: then the metadata may be added on any thread, and
   * caw_call_decide (caw/interceptor.h) says that they are all there, or what is wrong.
   * Of the statuses, those that only a service should give (INVALID_ARGUMENT, NOT_FOUND,
   * ALREADY_EXISTS, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, DATA_LOSS) become INTERNAL
   * (gRFC A54). On the call's loop.
   */
  int (*get)(caw_call *call, const caw_credentials_context *context, void *user);
  /* Nobody will ask any more; any thread. May be NULL. */
  void (*destroy)(void *user);
} caw_credentials_plugin;

/* Makes credentials in *out, with one reference; `plugin` is copied. Returns 0,
 * CAW_EINVAL, CAW_ENOMEM (`user` is not destroyed then). Any thread. Since 0.1. */
CAW_API int caw_call_credentials_new(caw_call_credentials **out,
                                     const caw_credentials_plugin *plugin, void *user);

/* Credentials that send "authorization: Bearer TOKEN" (RFC 6750), copied. Returns 0;
 * CAW_EINVAL (empty, or a byte outside of 0x21 to 0x7e); CAW_ENOMEM. Since 0.1. */
CAW_API int caw_call_credentials_bearer(caw_call_credentials **out, caw_str token);

/* Credentials that are two others, the first one's metadata first; holds references of
 * its own. Returns 0 or CAW_ENOMEM. Any thread. Since 0.1. */
CAW_API int caw_call_credentials_compose(caw_call_credentials **out, caw_call_credentials *first,
                                         caw_call_credentials *second);

/* Adds a reference and returns it; gives one back, NULL is fine. Channels and calls hold
 * their own. Any thread. Since 0.1. */
CAW_API caw_call_credentials *caw_call_credentials_ref(caw_call_credentials *credentials);
CAW_API void caw_call_credentials_unref(caw_call_credentials *credentials);

CAW_END_DECLS

#endif
