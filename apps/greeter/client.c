/* greeter-client: makes the calls of greeter.Greeter and ChatService, one after
 * the other, with the blocking face. */
#include "args.h"
#include "secret.h"
#include "text.h"
#include "tls.h"
#include "trace.h"

#include <caw/blocking.h>
#include <chat_service.caw.h>
#include <greeter.caw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM "greeter-client"

typedef struct settings {
  const char *target, *call, *name, *text;
  int age, count;
  uint64_t timeout_ms; /* UINT64_MAX: not given */
  uint64_t connect_ms;
  caw_channel_options care; /* keepalive */
  bool trace, plain_token;
  char token[SECRET_ROOM]; /* "": none */
  tls_client_flags tls;
} settings;

/* The options, beside --help and --version, which are characters. */
enum option_code {
  TARGET = 256,
  CALL,
  NAME,
  TEXT,
  AGE,
  COUNT,
  TIMEOUT,
  CONNECT_TIMEOUT,
  KEEPALIVE_TIME,
  KEEPALIVE_TIMEOUT,
  KEEPALIVE_WITHOUT_CALLS,
  TOKEN_FILE,
  TOKEN,
  INSECURE_TOKEN_OVER_PLAINTEXT,
  TRACE
};

static void print_help(void) {
  puts("Usage: " PROGRAM " [OPTION]...\n"
       "\n"
       "Calls greeter.Greeter: all four kinds of call, one after the other.\n"
       "\n"
       "  --target TARGET    the server (default 127.0.0.1:50051): HOST:PORT, unix:PATH,\n"
       "                     dns:///HOST:PORT, ipv4:A:P,..., ipv6:[A]:P,...\n"
       "  --call CALL        only one: unary, server-stream, client-stream, bidi,\n"
       "                     send (ChatService.SendMessage), receive (ReceiveMessage)\n"
       "  --name TEXT        who is greeted, or who sends (default World)\n"
       "  --age YEARS        age in the requests (default 30)\n"
       "  --count N          requests of client and bidirectional streams (default 3)\n"
       "  --text TEXT        what is sent with --call send (default Hello)\n"
       "  --timeout SECONDS  deadline of each call (default 15; receive: none)\n"
       "  --connect-timeout SECONDS  for the connection to be ready (default 5)\n"
       "  --keepalive-time SECONDS  of silence before the server is asked whether it\n"
       "                     is there (default: never; at least 10)\n"
       "  --keepalive-timeout SECONDS  it may take to answer (default 20)\n"
       "  --keepalive-without-calls  also while there is no call\n"
       "  --token-file FILE  send the token in FILE with every call; to other machines\n"
       "                     only over TLS\n"
       "  --token TOKEN      the same; other users of this machine can see it\n"
       "  --insecure-token-over-plaintext  send the token where everyone on the way can\n"
       "                     read it\n"
       "  --trace            write a line for each step of a call to standard error\n"
       "  --tls              TLS, with the CAs that this system trusts\n"
       "  --tls-ca FILE      TLS, with these CAs, PEM\n"
       "  --tls-cert FILE, --tls-key FILE  show the server this certificate\n"
       "  --tls-server-name NAME  the name that the server's certificate must have,\n"
       "                     when it is not that of the target\n"
       "  --help, --version");
}

static void read_option(settings *s, int option, const char *value) {
  switch (option) {
  case TARGET:
    s->target = value;
    break;
  case CALL:
    s->call = value;
    break;
  case NAME:
    s->name = value;
    break;
  case TEXT:
    s->text = value;
    break;
  case AGE:
    s->age = (int)args_number(PROGRAM, "--age", value, INT32_MIN, INT32_MAX);
    break;
  case COUNT:
    s->count = (int)args_number(PROGRAM, "--count", value, 0, 1000000);
    break;
  case TIMEOUT:
    s->timeout_ms = args_seconds(PROGRAM, "--timeout", value);
    break;
  case CONNECT_TIMEOUT:
    s->connect_ms = args_seconds(PROGRAM, "--connect-timeout", value);
    break;
  case KEEPALIVE_TIME:
    s->care.keepalive_time_ms = args_seconds(PROGRAM, "--keepalive-time", value);
    break;
  case KEEPALIVE_TIMEOUT:
    s->care.keepalive_timeout_ms = args_seconds(PROGRAM, "--keepalive-timeout", value);
    break;
  case KEEPALIVE_WITHOUT_CALLS:
    s->care.keepalive_permit_without_calls = true;
    break;
  case TOKEN_FILE:
    secret_read(PROGRAM, "--token-file", value, s->token);
    break;
  case TOKEN:
    secret_copy(PROGRAM, "--token", value, s->token);
    break;
  case INSECURE_TOKEN_OVER_PLAINTEXT:
    s->plain_token = true;
    break;
  case TRACE:
    s->trace = true;
    break;
  default:
    tls_client_option(&s->tls, option, value);
    break;
  }
}

static void read_args(settings *s, int argc, char **argv) {
  static const struct option options[] = {
      {"target", required_argument, NULL, TARGET},
      {"call", required_argument, NULL, CALL},
      {"name", required_argument, NULL, NAME},
      {"text", required_argument, NULL, TEXT},
      {"age", required_argument, NULL, AGE},
      {"count", required_argument, NULL, COUNT},
      {"timeout", required_argument, NULL, TIMEOUT},
      {"connect-timeout", required_argument, NULL, CONNECT_TIMEOUT},
      {"keepalive-time", required_argument, NULL, KEEPALIVE_TIME},
      {"keepalive-timeout", required_argument, NULL, KEEPALIVE_TIMEOUT},
      {"keepalive-without-calls", no_argument, NULL, KEEPALIVE_WITHOUT_CALLS},
      {"token-file", required_argument, NULL, TOKEN_FILE},
      {"token", required_argument, NULL, TOKEN},
      {"insecure-token-over-plaintext", no_argument, NULL, INSECURE_TOKEN_OVER_PLAINTEXT},
      {"trace", no_argument, NULL, TRACE},
      TLS_CLIENT_OPTIONS,
      ARGS_COMMON,
  };
  int option;
  while ((option = args_next(PROGRAM, print_help, argc, argv, options, NULL)) != -1)
    read_option(s, option, optarg);
}

/* ---- What the calls share ---- */

/* One call: its options, and an arena for its replies. */
typedef struct job {
  const settings *s;
  caw_channel *channel;
  caw_call_options options;
  caw_arena *arena;
} job;

/* Says how a call ended; returns whether it went well. */
static bool report(const char *call, int rc, const caw_status *status) {
  if (rc == 0) return true;
  caw_str text = rc > 0 ? status->message : caw_str_from(caw_strerror(rc));
  fflush(stdout);
  fprintf(stderr, PROGRAM ": %s: %s%s", call, caw_code_name(rc), text.len ? ": " : "");
  text_print(stderr, text);
  fputc('\n', stderr);
  return false;
}

/* Ends a stream; `rc` is a local error that kept it from going on, or 0. */
static bool end_stream(job *j, const char *call, caw_stream *stream, int rc) {
  caw_status status = {0};
  if (rc) caw_call_cancel(caw_stream_call(stream));
  int code = caw_stream_finish(stream, j->arena, &status);
  return rc ? report(call, rc, &status) : report(call, code, &status);
}

static void print_reply(const greeter_hello_reply *reply) {
  text_print(stdout, reply->message);
  fputs(" (", stdout);
  text_print(stdout, reply->server_id);
  fputs(", ", stdout);
  text_print(stdout, reply->timestamp);
  fputs(")\n", stdout);
  fflush(stdout);
}

/* Reads and prints replies until the stream has no more. 0 or a local error. */
static int print_replies(job *j, caw_stream *stream) {
  for (;;) {
    greeter_hello_reply reply = {0};
    caw_arena_reset(j->arena);
    int rc = caw_stream_read(stream, &reply, j->arena);
    if (rc) return rc == CAW_EEND ? 0 : rc;
    print_reply(&reply);
  }
}

/* The i-th request of a stream: names differ, so do ages while they can. */
static greeter_hello_request make_request(job *j, int i) {
  greeter_hello_request request = {0};
  request.name =
      i ? caw_arena_printf(j->arena, "%s %d", j->s->name, i + 1) : caw_str_from(j->s->name);
  request.age = j->s->age < INT32_MAX - i ? j->s->age + i : INT32_MAX;
  return request;
}

/* ---- The calls ---- */

static bool run_unary(job *j) {
  caw_status status = {0};
  greeter_hello_reply reply = {0};
  greeter_hello_request request = make_request(j, 0);
  int rc = greeter_greeter_say_hello(j->channel, &request, &reply, j->arena, &j->options, &status);
  if (rc == 0) print_reply(&reply);
  return report("SayHello", rc, &status);
}

static bool run_server_stream(job *j) {
  caw_stream *stream;
  greeter_hello_request request = make_request(j, 0);
  int rc = greeter_greeter_say_hello_stream(&stream, j->channel, &request, &j->options);
  if (rc) return report("SayHelloStream", rc, NULL);
  rc = print_replies(j, stream);
  return end_stream(j, "SayHelloStream", stream, rc);
}

static bool run_client_stream(job *j) {
  caw_stream *stream;
  int rc = greeter_greeter_say_hello_to_many(&stream, j->channel, &j->options);
  if (rc) return report("SayHelloToMany", rc, NULL);
  for (int i = 0; i < j->s->count && !rc; i++) {
    greeter_hello_request request = make_request(j, i);
    rc = greeter_greeter_say_hello_to_many_write(stream, &request);
  }
  if (rc == CAW_ECLOSED) rc = 0; /* the status says why */
  caw_stream_close_send(stream);
  if (!rc) rc = print_replies(j, stream);
  return end_stream(j, "SayHelloToMany", stream, rc);
}

static bool run_bidi(job *j) {
  caw_stream *stream;
  int rc = greeter_greeter_chat(&stream, j->channel, &j->options);
  if (rc) return report("Chat", rc, NULL);
  for (int i = 0; i < j->s->count && !rc; i++) {
    greeter_hello_reply reply = {0};
    caw_arena_reset(j->arena);
    greeter_hello_request request = make_request(j, i);
    rc = greeter_greeter_chat_write(stream, &request);
    if (!rc) rc = greeter_greeter_chat_read(stream, &reply, j->arena);
    if (!rc) print_reply(&reply);
  }
  if (rc == CAW_ECLOSED || rc == CAW_EEND) rc = 0; /* the status says why */
  caw_stream_close_send(stream);
  if (!rc) rc = print_replies(j, stream);
  return end_stream(j, "Chat", stream, rc);
}

static void print_message(const room_message *m) {
  text_print(stdout, m->user_name);
  fputs(": ", stdout);
  text_print(stdout, m->text);
  putchar('\n');
  fflush(stdout);
}

static bool run_send(job *j) {
  caw_status status = {0};
  room_message reply = {0}, message = {0};
  message.user_name = caw_str_from(j->s->name);
  message.text = caw_str_from(j->s->text);
  int rc =
      room_chat_service_send_message(j->channel, &message, &reply, j->arena, &j->options, &status);
  if (rc == 0) print_message(&reply);
  return report("SendMessage", rc, &status);
}

static bool run_receive(job *j) {
  caw_stream *stream;
  room_empty empty = {0};
  int rc = room_chat_service_receive_message(&stream, j->channel, &empty, &j->options);
  while (!rc) {
    room_message message = {0};
    caw_arena_reset(j->arena);
    rc = room_chat_service_receive_message_read(stream, &message, j->arena);
    if (!rc) print_message(&message);
  }
  return end_stream(j, "ReceiveMessage", stream, rc == CAW_EEND ? 0 : rc);
}

static const struct {
  const char *name;
  bool (*run)(job *j);
  bool by_default;
  uint64_t timeout_ms; /* 0: none */
} calls[] = {
    {"unary", run_unary, true, 15000},
    {"server-stream", run_server_stream, true, 15000},
    {"client-stream", run_client_stream, true, 15000},
    {"bidi", run_bidi, true, 15000},
    {"send", run_send, false, 15000},
    {"receive", run_receive, false, 0},
};
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

static void check_call(const char *name) {
  for (size_t i = 0; i < N_CALLS; i++)
    if (!name || !strcmp(name, calls[i].name)) return;
  args_wrong(PROGRAM,
             "--call: \"%s\" is none of unary, server-stream, client-stream, bidi, send, "
             "receive",
             name);
}

static bool run_call(const settings *s, caw_channel *channel, size_t i) {
  uint64_t timeout = s->timeout_ms == UINT64_MAX ? calls[i].timeout_ms : s->timeout_ms;
  job j = {s, channel, {.size = sizeof(j.options), .timeout_ms = timeout}, caw_arena_new(0)};
  if (!j.arena) args_fail(PROGRAM, "out of memory");
  bool ok = calls[i].run(&j);
  caw_arena_free(j.arena);
  return ok;
}

/* Is the target also what a server could listen on? */
static bool is_listen_form(const char *target) {
  return !strchr(target, '/') && !strchr(target, ',') && strncmp(target, "ipv", 3) != 0 &&
         strncmp(target, "dns:", 4) != 0;
}

/* Waits for the server, or says why it cannot be reached. */
static void wait_ready(caw_channel *channel, const settings *s) {
  char why[768];
  int rc = caw_channel_wait_ready(channel, s->connect_ms);
  if (!rc) return;
  size_t len = caw_channel_error(channel, why, sizeof(why));
  if (tls_client_wanted(&s->tls))
    args_fail(PROGRAM, "%s is not reachable with TLS within %.1f s: %s", s->target,
              (double)s->connect_ms / 1000, len ? why : caw_strerror(rc));
  bool same = is_listen_form(s->target) || !strncmp(s->target, "unix:", 5);
  args_fail(PROGRAM,
            "%s is not reachable within %.1f s: %s. Is the server running? Start it with: "
            "greeter-server --listen %s",
            s->target, (double)s->connect_ms / 1000, len ? why : caw_strerror(rc),
            same ? s->target : "ADDRESS");
}

static caw_channel *open_channel(const settings *s) {
  caw_channel *channel;
  const char *why;
  caw_channel_options options = s->care;
  options.size = sizeof(options);
  options.credentials = tls_client(PROGRAM, &s->tls);
  options.insecure_credentials_over_plaintext = s->plain_token;
  int rc = 0;
  if (s->token[0])
    rc = caw_call_credentials_bearer(&options.call_credentials, caw_str_from(s->token));
  if (!rc) rc = caw_channel_new(&channel, s->target, &options, &why);
  caw_call_credentials_unref(options.call_credentials); /* the channel has its own */
  caw_channel_credentials_unref(options.credentials);
  if (rc == CAW_EADDR) args_wrong(PROGRAM, "--target: %s: %s", s->target, why);
  if (!rc && s->trace) rc = caw_channel_intercept(channel, &trace_interceptor, stderr);
  if (rc) args_fail(PROGRAM, "cannot make a channel: %s", caw_strerror(rc));
  return channel;
}

int main(int argc, char **argv) {
  settings s = {.target = "127.0.0.1:50051",
                .name = "World",
                .text = "Hello",
                .age = 30,
                .count = 3,
                .timeout_ms = UINT64_MAX,
                .connect_ms = 5000};
  signal(SIGPIPE, SIG_IGN); /* a reader of the replies that goes is an error like others */
  read_args(&s, argc, argv);
  check_call(s.call);

  caw_channel *channel = open_channel(&s);
  wait_ready(channel, &s);

  bool ok = true;
  for (size_t i = 0; i < N_CALLS && ok; i++)
    if (s.call ? !strcmp(s.call, calls[i].name) : calls[i].by_default)
      ok = run_call(&s, channel, i);
  caw_channel_free(channel);
  if (fflush(stdout) || ferror(stdout)) args_fail(PROGRAM, "cannot write the replies");
  return ok ? EXIT_SUCCESS : EXIT_FAILED;
}
