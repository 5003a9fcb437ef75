/* The functions of tls.h. */
#include "tls.h"
#include "args.h"

#include <caw/status.h>

#define WHY 512

static void check(const char *program, int rc, const char *why) {
  if (rc == CAW_EINVAL) args_wrong(program, "--tls-...: %s", why);
  if (rc) args_fail(program, "cannot use TLS: %s", why);
  /* The only warning so far: a key that others can read. */
  if (why[0]) args_fail(program, "refused: %s", why);
}

caw_server_credentials *
tls_server(const char *program, const char *cert, const char *key, const char *client_ca,
           void (*on_error)(const char *peer, const char *why, void *user)) {
  if (!cert && !key && !client_ca) return NULL;
  if (!cert || !key) args_wrong(program, "--tls-cert and --tls-key belong together");
  caw_server_credentials *c;
  char why[WHY];
  const caw_tls_server_options options = {
      .size = sizeof(options),
      .cert = {.file = cert},
      .key = {.file = key},
      .client_ca = {.file = client_ca},
      .client_auth = client_ca ? CAW_TLS_CLIENT_REQUIRED : CAW_TLS_CLIENT_OFF,
      .on_handshake_error = on_error,
  };
  int rc = caw_tls_server_new(&c, &options, why, sizeof(why));
  if (!rc && why[0]) caw_server_credentials_unref(c);
  check(program, rc, why);
  return c;
}

caw_channel_credentials *tls_client(const char *program, const tls_client_flags *flags) {
  if (!tls_client_wanted(flags)) return NULL;
  if (!flags->cert != !flags->key) args_wrong(program, "--tls-cert and --tls-key belong together");
  caw_channel_credentials *c;
  char why[WHY];
  const caw_tls_client_options options = {
      .size = sizeof(options),
      .ca = {.file = flags->ca},
      .cert = {.file = flags->cert},
      .key = {.file = flags->key},
      .server_name = flags->server_name,
  };
  int rc = caw_tls_client_new(&c, &options, why, sizeof(why));
  if (!rc && why[0]) caw_channel_credentials_unref(c);
  check(program, rc, why);
  return c;
}
