/* interop-client: runs one case of gRPC's interoperability tests, with their
 * names and flags. */
#include "args.h"
#include "cases.h"
#include "flags.h"
#include "zeros.h"

#include <stdio.h>
#include <stdlib.h>

#define PROGRAM      "interop-client"
#define MAX_METADATA 32

/* No case may wait for ever; the soak tests have a limit of their own. */
#define CALL_TIMEOUT_MS    60000
#define CONNECT_TIMEOUT_MS 5000

static const interop_case cases[] = {
    {"empty_unary", case_empty_unary, "an empty request, an empty reply"},
    {"large_unary", case_large_unary, "271828 bytes there, 314159 back"},
    {"client_compressed_unary", case_client_compressed_unary, "requests compressed and not"},
    {"server_compressed_unary", case_server_compressed_unary, "replies compressed and not"},
    {"client_compressed_streaming", case_client_compressed_streaming, "the same in one stream"},
    {"server_compressed_streaming", case_server_compressed_streaming, "the same in one stream"},
    {"client_streaming", case_client_streaming, "four requests, one reply"},
    {"server_streaming", case_server_streaming, "one request, four replies"},
    {"ping_pong", case_ping_pong, "four requests and replies in turn"},
    {"empty_stream", case_empty_stream, "no request, no reply"},
    {"custom_metadata", case_custom_metadata, "text and binary metadata sent back"},
    {"status_code_and_message", case_status_code_and_message, "a status sent back"},
    {"special_status_message", case_special_status_message, "a status with odd characters"},
    {"unimplemented_method", case_unimplemented_method, "a method that is not served"},
    {"unimplemented_service", case_unimplemented_service, "a service that is not served"},
    {"cancel_after_begin", case_cancel_after_begin, "cancelled before a message"},
    {"cancel_after_first_response", case_cancel_after_first_response, "cancelled after a reply"},
    {"timeout_on_sleeping_server", case_timeout_on_sleeping_server, "a deadline of 1 ms"},
    {"concurrent_large_unary", case_concurrent_large_unary, "1000 large_unary at once"},
    {"rpc_soak", case_rpc_soak, "large_unary, one after the other"},
    {"channel_soak", case_channel_soak, "the same, with a new channel for each"},
    {"long_lived_channel", case_long_lived_channel, "large_unary at long intervals"},
    /* doc/http2-interop-test-descriptions.md; with a server made for the case. */
    {"goaway", case_goaway, "the server sends GOAWAY between two calls"},
    {"rst_after_header", case_rst, "the server resets after the headers"},
    {"rst_during_data", case_rst, "the server resets within the reply"},
    {"rst_after_data", case_rst, "the server resets after the reply"},
    {"ping", case_large_unary, "the server sends PINGs"},
    {"max_streams", case_max_streams, "the server allows one stream at a time"},
    {"data_frame_padding", case_large_unary, "the server pads its DATA frames"},
    {"no_df_padding_sanity_test", case_large_unary, "tiny DATA frames without padding"},
};
#define N_CASES (sizeof(cases) / sizeof(cases[0]))

static void print_help(void) {
  puts("Usage: " PROGRAM " --server_host=HOST --server_port=PORT --test_case=CASE [FLAG]...\n"
       "\n"
       "Runs one case of gRPC's interoperability tests (doc/interop-test-descriptions.md,\n"
       "doc/http2-interop-test-descriptions.md). Flags are --flag=value or --flag value.\n"
       "\n"
       "  --server_host=HOST            the server (default localhost)\n"
       "  --server_port=PORT            its port\n"
       "  --server_host_override=NAME   :authority of the calls, and with TLS the server's name\n"
       "  --test_case=CASE              one of those below\n"
       "  --use_tls=BOOL                TLS (default false)\n"
       "  --use_test_ca=BOOL            trust gRPC's test CA rather than the system's\n"
       "  --ca_file=FILE                or these CAs, PEM\n"
       "  --tls_cert_file=FILE, --tls_key_file=FILE  a client certificate, PEM\n"
       "  --additional_metadata=K:V;... sent with every call\n"
       "\n"
       "rpc_soak, channel_soak, long_lived_channel:\n"
       "  --soak_iterations=N           calls (default 10)\n"
       "  --iteration_interval=SECONDS  between the calls of long_lived_channel (default 10)\n"
       "  --soak_max_failures=N         iterations that may fail (default 0)\n"
       "  --soak_per_iteration_max_acceptable_latency_ms=MS  (default 1000)\n"
       "  --soak_overall_timeout_seconds=SECONDS  (default: the acceptable latency of all)\n"
       "  --soak_min_time_ms_between_rpcs=MS  from start to start (default 0)\n"
       "  --soak_request_size=BYTES, --soak_response_size=BYTES  (default 271828, 314159)\n"
       "  --soak_num_threads=N          the iterations are divided among them (default 1)\n"
       "  --help, --version\n"
       "\n"
       "Cases:");
  for (size_t i = 0; i < N_CASES; i++) printf("  %-28s  %s\n", cases[i].name, cases[i].about);
}

/* ---- Flags ---- */

typedef struct settings {
  const char *host, *override, *test_case;
  int port;
  flags_tls tls;
  char *metadata;
  soak_settings soak;
} settings;

/* Flags with a number: where it goes and its range. */
static int *number_flag(settings *s, int option, int *min, int *max) {
  soak_settings *k = &s->soak;
  *min = 0;
  *max = INT32_MAX / 1000;
  switch (option) {
  case 'p':
    *min = 1;
    *max = 65535;
    return &s->port;
  case 'I':
    *min = 1;
    *max = 10000000;
    return &k->iterations;
  case 'F':
    return &k->max_failures;
  case 'L':
    return &k->acceptable_ms;
  case 'O':
    return &k->overall_s;
  case 'B':
    return &k->between_ms;
  case 'Q':
    *max = ZEROS_MAX;
    return &k->request_size;
  case 'R':
    *max = ZEROS_MAX;
    return &k->response_size;
  case 'N':
    *min = 1;
    *max = 1000;
    return &k->threads;
  case 'V':
    return &k->interval_s;
  default:
    return NULL;
  }
}

static const struct option options[] = {
    {"server_host", required_argument, NULL, 's'},
    {"server_port", required_argument, NULL, 'p'},
    {"server_host_override", required_argument, NULL, 'o'},
    {"test_case", required_argument, NULL, 'c'},
    FLAGS_TLS,
    {"additional_metadata", required_argument, NULL, 'm'},
    {"soak_iterations", required_argument, NULL, 'I'},
    {"soak_max_failures", required_argument, NULL, 'F'},
    {"soak_per_iteration_max_acceptable_latency_ms", required_argument, NULL, 'L'},
    {"soak_overall_timeout_seconds", required_argument, NULL, 'O'},
    {"soak_min_time_ms_between_rpcs", required_argument, NULL, 'B'},
    {"soak_request_size", required_argument, NULL, 'Q'},
    {"soak_response_size", required_argument, NULL, 'R'},
    {"soak_num_threads", required_argument, NULL, 'N'},
    {"iteration_interval", required_argument, NULL, 'V'},
    ARGS_COMMON,
};

static void read_flag(settings *s, int option, int index, int argc, char **argv) {
  char flag[64];
  int min, max, *number = number_flag(s, option, &min, &max);
  snprintf(flag, sizeof(flag), "--%s", options[index].name);
  if (flags_tls_read(&s->tls, PROGRAM, option, optarg, argc, argv)) return;
  if (number) {
    *number = (int)args_number(PROGRAM, flag, optarg, min, max);
    return;
  }
  switch (option) {
  case 's':
    s->host = optarg;
    break;
  case 'o':
    s->override = optarg;
    break;
  case 'c':
    s->test_case = optarg;
    break;
  case 'm':
    s->metadata = optarg;
    break;
  default:
    break;
  }
}

static const interop_case *find_case(const char *name) {
  if (!name) args_wrong(PROGRAM, "--test_case is missing");
  for (size_t i = 0; i < N_CASES; i++)
    if (!strcmp(name, cases[i].name)) return &cases[i];
  args_wrong(PROGRAM, "--test_case: \"%s\" is not a case of this program", name);
}

static void read_args(settings *s, int argc, char **argv) {
  int option, index = 0;
  while ((option = args_next(PROGRAM, print_help, argc, argv, options, &index)) != -1)
    read_flag(s, option, index, argc, argv);
  if (!s->port) args_wrong(PROGRAM, "--server_port is missing");
}

/* "k:v;k2:v2", cut in place. */
static void read_metadata(interop *t, char *text) {
  static caw_metadata_entry entries[MAX_METADATA];
  char *rest = NULL;
  size_t n = 0;
  for (char *pair = strtok_r(text, ";", &rest); pair; pair = strtok_r(NULL, ";", &rest)) {
    char *colon = strchr(pair, ':');
    if (!colon || n == MAX_METADATA)
      args_wrong(PROGRAM,
                 colon ? "--additional_metadata: more than 32 pairs before %s"
                       : "--additional_metadata: \"%s\" is not KEY:VALUE",
                 pair);
    *colon = '\0';
    entries[n].key = caw_str_from(pair);
    entries[n++].value = caw_str_from(colon + 1);
  }
  t->options.metadata = entries;
  t->options.metadata_len = n;
}

/* ---- The run ---- */

static void make_channel(interop *t) {
  const char *why;
  char reason[512];
  int rc = caw_channel_new(&t->channel, t->target, &t->channel_options, &why);
  if (rc == CAW_EADDR) args_wrong(PROGRAM, "--server_host: %s: %s", t->target, why);
  if (rc) args_fail(PROGRAM, "cannot make a channel: %s", caw_strerror(rc));
  rc = caw_channel_wait_ready(t->channel, CONNECT_TIMEOUT_MS);
  if (!rc) return;
  size_t len = caw_channel_error(t->channel, reason, sizeof(reason));
  args_fail(PROGRAM, "%s is not reachable within %d s: %s. Is the server running?", t->target,
            CONNECT_TIMEOUT_MS / 1000, len ? reason : caw_strerror(rc));
}

int main(int argc, char **argv) {
  settings s = {.host = "localhost",
                .soak = {.iterations = 10,
                         .threads = 1,
                         .acceptable_ms = 1000,
                         .request_size = LARGE_REQUEST,
                         .response_size = LARGE_RESPONSE,
                         .interval_s = 10}};
  read_args(&s, argc, argv);
  const interop_case *c = find_case(s.test_case);

  char target[300];
  bool bare_ipv6 = strchr(s.host, ':') && s.host[0] != '[';
  snprintf(target, sizeof(target), bare_ipv6 ? "[%s]:%d" : "%s:%d", s.host, s.port);
  interop t = {.name = c->name, .target = target, .soak = s.soak, .arena = caw_arena_new(0)};
  t.channel_options =
      (caw_channel_options){.size = sizeof(t.channel_options),
                            .authority = s.override,
                            .credentials = flags_channel(PROGRAM, &s.tls, s.override),
                            .backoff_initial_ms = 100};
  t.options = (caw_call_options){.size = sizeof(t.options), .timeout_ms = CALL_TIMEOUT_MS};
  if (!t.arena) args_fail(PROGRAM, "out of memory");
  if (s.metadata) read_metadata(&t, s.metadata);

  make_channel(&t);
  bool good = c->run(&t);
  caw_channel_free(t.channel);
  caw_channel_credentials_unref(t.channel_options.credentials);
  caw_arena_free(t.arena);
  if (good) printf("%s: passed\n", c->name);
  return good ? EXIT_SUCCESS : EXIT_FAILED;
}
