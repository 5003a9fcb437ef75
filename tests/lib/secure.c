/* The pair of secure.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "secure.h"

#include "conn/call.h"

#include <stdio.h>
#include <string.h>

static const caw_method method = {"/test.Secure/Call", CAW_UNARY, &caw_type_bytes, &caw_type_bytes};

/* ---- What is seen ---- */

static void look(seen *to, const caw_peer_identity *id) {
  static const char *const kinds[] = {"", "DNS:", "URI:", "email:", "IP:"};
  int n = to->n;
  memset(to, 0, sizeof(*to));
  to->n = n + 1;
  to->none = !id;
  if (!id) return;
  to->verified = id->verified;
  to->resumed = id->resumed;
  to->certificate = id->certificate;
  snprintf(to->subject, sizeof(to->subject), "%.*s", CAW_STR_ARG(id->subject));
  for (size_t i = 0; i < id->names_len; i++) {
    size_t len = strlen(to->names);
    snprintf(to->names + len, sizeof(to->names) - len, "%s%s%.*s", i ? "," : "",
             kinds[id->names[i].kind], CAW_STR_ARG(id->names[i].text));
  }
  for (size_t i = 0; i < sizeof(id->sha256); i++)
    snprintf(to->sha256 + 2 * i, 3, "%02x", id->sha256[i]);
  snprintf(to->tls, sizeof(to->tls), "%s", id->tls);
  snprintf(to->cipher, sizeof(to->cipher), "%s", id->cipher);
}

static int on_message(caw_call *call, const void *request, void *reply, const void *impl,
                      void *self) {
  secure *s = self;
  (void)impl;
  look(&s->client_of_call, caw_call_peer_identity(call));
  if (s->hang_up) conn_ref(s->conn = call->conn);
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static const caw_handler handler = {&method, on_message, NULL, NULL};

static void on_error(const char *peer, const char *why, void *user) {
  secure *s = user;
  s->n_errors++;
  snprintf(s->error, sizeof(s->error), "%s", why);
  snprintf(s->error_peer, sizeof(s->error_peer), "%s", peer);
}

static void on_done(caw_call *call, const caw_status *status, const void *reply, void *user) {
  secure *s = user;
  (void)reply;
  look(&s->server_of_call, caw_call_peer_identity(call));
  s->code = status->code;
  snprintf(s->message, sizeof(s->message), "%.*s", CAW_STR_ARG(status->message));
  s->done = 1;
}

/* ---- Life ---- */

void secure_channel_with(secure *s, const char *target, caw_channel_credentials *credentials) {
  const caw_channel_options o = {
      .size = sizeof(o), .loop = s->loop, .backoff_initial_ms = 10, .credentials = credentials};
  const char *why = "";
  caw_channel_free(s->channel);
  if (caw_channel_new(&s->channel, target ? target : s->address, &o, &why)) fail_msg("%s", why);
}

void secure_channel(secure *s, const char *target, const caw_tls_client_options *client) {
  char why[512];
  caw_channel_credentials_unref(s->channel_credentials);
  s->channel_credentials = NULL;
  if (!client) s->channel_credentials = certs_channel();
  else if (caw_tls_client_new(&s->channel_credentials, client, why, sizeof(why)))
    fail_msg("%s", why);
  secure_channel_with(s, target, s->channel_credentials);
}

void secure_open(secure *s, const caw_tls_server_options *server,
                 const caw_tls_client_options *client) {
  char why[512];
  const certs *all = certs_good();
  memset(s, 0, sizeof(*s));
  assert_int_equal(caw_loop_new(&s->loop), 0);
  const caw_server_options so = {.size = sizeof(so), .loop = s->loop};
  assert_int_equal(caw_server_new(&s->server, &so), 0);
  assert_int_equal(caw_server_add(s->server, &handler, 1, NULL, s), 0);
  caw_tls_server_options o = {.cert = all->server.cert, .key = all->server.key};
  if (server) o = *server;
  o.size = sizeof(o);
  o.on_handshake_error = on_error;
  o.user = s;
  if (caw_tls_server_new(&s->server_credentials, &o, why, sizeof(why))) fail_msg("%s", why);
  if (caw_server_listen_tls(s->server, "127.0.0.1:0", s->server_credentials))
    fail_msg("%s", caw_server_error(s->server));
  s->address = caw_server_address(s->server, 0);
  secure_channel(s, NULL, client);
}

static void set_flag(void *flag) {
  *(int *)flag = 1;
}

void secure_close(secure *s) {
  int drained = 0;
  caw_channel_free(s->channel);
  caw_server_drain(s->server, 0, set_flag, &drained);
  secure_until(s, &drained);
  caw_server_free(s->server);
  caw_loop_free(s->loop);
  caw_server_credentials_unref(s->server_credentials);
  caw_channel_credentials_unref(s->channel_credentials);
}

/* ---- Running ---- */

static void give_up(void *user) {
  ((secure *)user)->timed_out = true;
}

void secure_until(secure *s, const int *flag) {
  caw_timer *watchdog;
  assert_int_equal(caw_timer_new(&watchdog, s->loop, give_up, s), 0);
  caw_timer_start(watchdog, 20000);
  while (!*flag && !s->timed_out) caw_loop_run(s->loop, CAW_LOOP_ONCE);
  caw_timer_free(watchdog);
  if (s->timed_out) fail_msg("nothing more happened; the server said \"%s\"", s->error);
}

void secure_call(secure *s) {
  const caw_call_options o = {.size = sizeof(o), .timeout_ms = 20000};
  caw_str request = CAW_STR("hello");
  s->done = 0;
  assert_int_equal(caw_call_start_unary(NULL, s->channel, &method, &request, &o, on_done, NULL, s),
                   0);
  secure_until(s, &s->done);
  if (!s->conn) return;
  conn_drain(s->conn);
  conn_unref(s->conn);
  s->conn = NULL;
  while (caw_channel_state(s->channel, false) == CAW_CHANNEL_READY)
    caw_loop_run(s->loop, CAW_LOOP_ONCE);
}

bool secure_like(const char *text, const char *pattern) {
  const char *star = NULL, *again = NULL;
  while (*text) {
    if (*pattern == '*') {
      star = pattern++;
      again = text;
    } else if (*pattern == *text) {
      pattern++;
      text++;
    } else if (star) {
      pattern = star + 1;
      text = ++again;
    } else {
      return false;
    }
  }
  while (*pattern == '*') pattern++;
  return !*pattern;
}
