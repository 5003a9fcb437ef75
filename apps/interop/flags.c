/* The functions of flags.h. */
#include "flags.h"
#include "args.h"

#include <getopt.h>
#include <stdio.h>
#include <strings.h>

static bool is_bool(const char *text, bool *value) {
  bool yes = !strcasecmp(text, "true") || !strcasecmp(text, "1");
  bool no = !strcasecmp(text, "false") || !strcasecmp(text, "0");
  if (yes || no) *value = yes;
  return yes || no;
}

bool flags_bool(const char *program, const char *flag, const char *value, int argc, char **argv) {
  bool result = true;
  if (value) {
    if (!is_bool(value, &result))
      args_wrong(program, "%s: \"%s\" is neither true nor false", flag, value);
  } else if (optind < argc && is_bool(argv[optind], &result)) {
    optind++;
  }
  return result;
}

bool flags_tls_read(flags_tls *f, const char *program, int option, const char *value, int argc,
                    char **argv) {
  switch (option) {
  case 't':
    f->use_tls = flags_bool(program, "--use_tls", value, argc, argv);
    return true;
  case 'u':
    f->use_test_ca = flags_bool(program, "--use_test_ca", value, argc, argv);
    return true;
  case 'A':
    f->ca_file = value;
    return true;
  case 'C':
    f->cert_file = value;
    return true;
  case 'K':
    f->key_file = value;
    return true;
  default:
    return false;
  }
}

/* ---- Credentials ---- */

#ifndef CAW_GRPC_TESTDATA /* the folder with gRPC's ca.pem, server1.pem and server1.key */
#define CAW_GRPC_TESTDATA ""
#endif

/* A file of gRPC's own, where none is given. */
static const char *or_test_file(const char *program, const char *given, const char *flag,
                                const char *name, char room[512]) {
  if (given) return given;
  if (!CAW_GRPC_TESTDATA[0])
    args_wrong(program, "%s is missing: gRPC's own %s was not found when this was built", flag,
               name);
  snprintf(room, 512, "%s/%s", CAW_GRPC_TESTDATA, name);
  return room;
}

caw_server_credentials *flags_server(const char *program, const flags_tls *f) {
  caw_server_credentials *c;
  char cert[512], key[512], why[512];
  if (!f->use_tls) return NULL;
  const caw_tls_server_options o = {
      .size = sizeof(o),
      .cert = {.file = or_test_file(program, f->cert_file, "--tls_cert_file", "server1.pem", cert)},
      .key = {.file = or_test_file(program, f->key_file, "--tls_key_file", "server1.key", key)},
      .client_ca = {.file = f->ca_file},
      .client_auth = f->ca_file ? CAW_TLS_CLIENT_REQUIRED : CAW_TLS_CLIENT_OFF};
  /* That everybody may read gRPC's test key is no reason to refuse it here. */
  if (caw_tls_server_new(&c, &o, why, sizeof(why))) args_fail(program, "cannot use TLS: %s", why);
  return c;
}

caw_channel_credentials *flags_channel(const char *program, const flags_tls *f,
                                       const char *host_override) {
  caw_channel_credentials *c;
  char ca[512], why[512];
  if (!f->use_tls) return NULL;
  bool test_ca = f->use_test_ca && !f->ca_file;
  const caw_tls_client_options o = {
      .size = sizeof(o),
      .ca = {.file = test_ca ? or_test_file(program, NULL, "--ca_file", "ca.pem", ca) : f->ca_file},
      .cert = {.file = f->cert_file},
      .key = {.file = f->key_file},
      .server_name = host_override};
  if (caw_tls_client_new(&c, &o, why, sizeof(why))) args_fail(program, "cannot use TLS: %s", why);
  return c;
}
