/* The flags that gRPC's interop programs have in common with each other rather
 * than with the other programs here: names with underscores, and booleans
 * with a value. */
#ifndef APPS_INTEROP_FLAGS_H
#define APPS_INTEROP_FLAGS_H

#include <caw/tls.h>
#include <stdbool.h>

/*
 * The value of a boolean flag, for getopt_long's optional_argument: --flag,
 * --flag=true, --flag=false, and the same with a space, which getopt leaves in
 * argv. `value` is optarg. Exits as args_wrong does.
 */
bool flags_bool(const char *program, const char *flag, const char *value, int argc, char **argv);

/* What the flags of TLS say, under the names of gRPC's programs for C++ and Go. */
typedef struct flags_tls {
  bool use_tls, use_test_ca;
  const char *ca_file, *cert_file, *key_file;
} flags_tls;

/* The options for getopt_long, and what reads them; true when it was one of these.
 * `value` is optarg. */
#define FLAGS_TLS                                                                                  \
  {"use_tls", optional_argument, NULL, 't'}, {"use_test_ca", optional_argument, NULL, 'u'},        \
      {"ca_file", required_argument, NULL, 'A'}, {"tls_cert_file", required_argument, NULL, 'C'},  \
  {                                                                                                \
    "tls_key_file", required_argument, NULL, 'K'                                                   \
  }
bool flags_tls_read(flags_tls *f, const char *program, int option, const char *value, int argc,
                    char **argv);

/* Credentials, of one reference, or NULL without --use_tls. gRPC's test CA and the
 * certificate that it issued are taken where no file is given: from Debian's ruby-grpc.
 * Exit with 1 when a file cannot be used. */
caw_server_credentials *flags_server(const char *program, const flags_tls *f);
caw_channel_credentials *flags_channel(const char *program, const flags_tls *f,
                                       const char *host_override);

#endif
