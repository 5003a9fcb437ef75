/* The functions of tls.h. */
#include "tls.h"

#include "args.h"

#include <caw/status.h>

#define WHY 512

bool tls_server_option(tls_server_flags *f, int option, const char *value) {
  switch (option) {
  case TLS_SERVER_CERT:
    f->cert = value;
    return true;
  case TLS_SERVER_KEY:
    f->key = value;
    return true;
  case TLS_SERVER_CLIENT_CA:
    f->client_ca = value;
    return true;
  default:
    return false;
  }
}

bool tls_client_option(tls_client_flags *f, int option, const char *value) {
  switch (option) {
  case TLS_CLIENT_ON:
    f->on = true;
    return true;
  case TLS_CLIENT_CA:
    f->ca = value;
    return true;
  case TLS_CLIENT_CERT:
    f->cert = value;
    return true;
  case TLS_CLIENT_KEY:
    f->key = value;
    return true;
  case TLS_CLIENT_NAME:
    f->server_name = value;
    return true;
  default:
    return false;
  }
}

static void check(const char *program, int rc, const char *why) {
  if (rc == CAW_EINVAL) args_wrong(program, "--tls-...: %s", why);
  if (rc) args_fail(program, "cannot use TLS: %s", why);
}

caw_server_credentials *tls_server(const char *program, const tls_server_flags *flags,
                                   void (*on_error)(const char *peer, const char *why,
                                                    void *user)) {
  if (!flags->cert && !flags->key && !flags->client_ca) return NULL;
  if (!flags->cert || !flags->key) args_wrong(program, "--tls-cert and --tls-key belong together");
  caw_server_credentials *c;
  char why[WHY];
  const caw_tls_server_options options = {
      .size = sizeof(options),
      .cert = {.file = flags->cert},
      .key = {.file = flags->key},
      .client_ca = {.file = flags->client_ca},
      .client_auth = flags->client_ca ? CAW_TLS_CLIENT_REQUIRED : CAW_TLS_CLIENT_OFF,
      .on_handshake_error = on_error,
      .refuse_exposed_key = true,
  };
  int rc = caw_tls_server_new(&c, &options, why, sizeof(why));
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
      .refuse_exposed_key = true,
  };
  int rc = caw_tls_client_new(&c, &options, why, sizeof(why));
  check(program, rc, why);
  return c;
}
