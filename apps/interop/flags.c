/* The functions of flags.h. */
#include "flags.h"
#include "args.h"

#include <getopt.h>
#include <strings.h>

static bool is_bool(const char *text, bool *value) {
  bool yes = !strcasecmp(text, "true") || !strcasecmp(text, "1");
  *value = yes;
  return yes || !strcasecmp(text, "false") || !strcasecmp(text, "0");
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

_Noreturn void flags_no_tls(const char *program) {
  args_wrong(program, "--use_tls=true: this version of Caw has no TLS; leave the flag out, or say "
                      "--use_tls=false");
}
