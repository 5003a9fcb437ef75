/* Call credentials: what they add, when they are asked, and where they are not sent. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"
#include "h2/h2.h"
#include "raw.h"

#include <arpa/inet.h>
#include <caw/interceptor.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* ---- A plugin of the tests ---- */

typedef struct source {
  const char *key, *value;
  int answer; /* of get */
  const char *text;
  int n_asked, n_destroyed;
  char url[128], method[32];
  caw_call *pending;
} source;

static int get(caw_call *call, const caw_credentials_context *context, void *user) {
  source *s = user;
  s->n_asked++;
  snprintf(s->url, sizeof(s->url), "%.*s", CAW_STR_ARG(context->service_url));
  snprintf(s->method, sizeof(s->method), "%.*s", CAW_STR_ARG(context->method));
  s->pending = call;
  if (s->answer > 0 && s->text) return caw_call_fail(call, s->answer, "%s", s->text);
  if (s->answer) return s->answer;
  return caw_call_metadata_add(call, CAW_REQUEST_METADATA, caw_str_from(s->key),
                               caw_str_from(s->value));
}

static void destroy(void *user) {
  ((source *)user)->n_destroyed++;
}

static caw_call_credentials *from_source(source *s) {
  static const caw_credentials_plugin plugin = {sizeof(plugin), get, destroy};
  caw_call_credentials *c;
  assert_int_equal(caw_call_credentials_new(&c, &plugin, s), 0);
  return c;
}

/* Answers with the metadata that credentials could have sent. */
static int tell(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  char text[512] = "";
  const caw_metadata *m = caw_call_metadata(call);
  (void)d;
  (void)request;
  for (size_t i = 0; i < m->len; i++) {
    size_t len = strlen(text);
    if (m->entries[i].key.data[0] == 'x' || caw_str_is(m->entries[i].key, "authorization"))
      snprintf(text + len, sizeof(text) - len, "%.*s=%.*s;", CAW_STR_ARG(m->entries[i].key),
               CAW_STR_ARG(m->entries[i].value));
  }
  *reply = caw_arena_dup(caw_call_arena(call), caw_str_from(text));
  return 0;
}

/* ---- Adding ---- */

static void bearer_tokens(void **state) {
  (void)state;
  static const struct {
    const char *token;
    int rc;
  } cases[] = {{"", CAW_EINVAL}, {"a b", CAW_EINVAL}, {"a\nb", CAW_EINVAL}, {"t0ken", 0}};
  for (size_t i = 0; i < 4; i++) {
    caw_call_credentials *c = NULL;
    assert_int_equal(caw_call_credentials_bearer(&c, caw_str_from(cases[i].token)), cases[i].rc);
    if (cases[i].rc) continue;
    duo d = {0};
    heard h = {0};
    d.channel_options.call_credentials = c;
    duo_init(&d);
    caw_call_credentials_unref(c); /* the channel has its own */
    d.on_message = tell;
    duo_call(&d, &h, &duo_unary, "x", NULL);
    duo_done(&d, &h);
    assert_int_equal(h.code, 0);
    assert_string_equal(h.replies, "authorization=Bearer t0ken;");
    duo_finish(&d);
  }
}

static void composed(void **state) {
  (void)state;
  source s[4] = {{.key = "x-a", .value = "1"},
                 {.key = "x-b", .value = "2"},
                 {.key = "x-c", .value = "3"},
                 {.key = "x-d", .value = "4"}};
  caw_call_credentials *c[4], *ab, *abc;
  for (int i = 0; i < 4; i++) c[i] = from_source(&s[i]);
  assert_int_equal(caw_call_credentials_compose(&ab, c[0], c[1]), 0);
  assert_int_equal(caw_call_credentials_compose(&abc, ab, c[2]), 0);
  duo d = {0};
  heard h = {0};
  d.channel_options.call_credentials = abc;
  duo_init(&d);
  d.on_message = tell;
  const caw_metadata_entry own = {CAW_STR("x-own"), CAW_STR("0")};
  const caw_call_options o = {
      .size = sizeof(o), .credentials = c[3], .metadata = &own, .metadata_len = 1};
  duo_call(&d, &h, &duo_unary, "x", &o);
  for (int i = 0; i < 4; i++) caw_call_credentials_unref(c[i]);
  caw_call_credentials_unref(ab);
  caw_call_credentials_unref(abc);
  duo_done(&d, &h);
  assert_int_equal(h.code, 0);
  assert_string_equal(h.replies, "x-own=0;x-a=1;x-b=2;x-c=3;x-d=4;");
  char url[128];
  snprintf(url, sizeof(url), "https://%s/test.Duo", caw_server_address(d.server, 0));
  assert_string_equal(s[0].url, url);
  assert_string_equal(s[0].method, "Unary");
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_string_equal(h.replies, "x-a=1;x-b=2;x-c=3;");
  duo_finish(&d);
  for (int i = 0; i < 4; i++) assert_int_equal(s[i].n_destroyed, 1);
  assert_int_equal(s[0].n_asked, 2);
  assert_int_equal(s[3].n_asked, 1);
}

static void the_audience(void **state) {
  (void)state;
  if (raw_server_credentials) skip(); /* the certificate is for none of these names */
  static const struct {
    const char *authority, *url;
  } cases[] = {{"example.com", "https://example.com/test.Duo"},
               {"example.com:443", "https://example.com/test.Duo"},
               {"example.com:8443", "https://example.com:8443/test.Duo"}};
  for (size_t i = 0; i < 3; i++) {
    source s = {.key = "x-a", .value = "1"};
    duo d = {0};
    heard h = {0};
    d.channel_options.call_credentials = from_source(&s);
    d.channel_options.authority = cases[i].authority;
    caw_call_credentials *mine = d.channel_options.call_credentials;
    duo_init(&d);
    caw_call_credentials_unref(mine);
    duo_call(&d, &h, &duo_unary, "x", NULL);
    duo_done(&d, &h);
    assert_int_equal(h.code, 0);
    assert_string_equal(s.url, cases[i].url);
    duo_finish(&d);
  }
}

/* ---- Failing ---- */

static void failures(void **state) {
  (void)state;
  static const struct {
    int answer;
    const char *text;
    int code;
    const char *message;
  } cases[] = {
      {CAW_UNAUTHENTICATED, "log in", CAW_UNAUTHENTICATED, "the call credentials failed: log in"},
      {CAW_UNAVAILABLE, NULL, CAW_UNAVAILABLE, "the call credentials failed: UNAVAILABLE"},
      {CAW_NOT_FOUND, "no file", CAW_INTERNAL, "the call credentials failed: no file"},
      {CAW_DATA_LOSS, "", CAW_INTERNAL, "the call credentials failed: DATA_LOSS"},
      {CAW_ENOMEM, NULL, CAW_RESOURCE_EXHAUSTED, "the call credentials failed: CAW_ENOMEM"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    source s = {.answer = cases[i].answer, .text = cases[i].text};
    duo d = {0};
    heard h = {0};
    caw_call_credentials *c = d.channel_options.call_credentials = from_source(&s);
    duo_init(&d);
    caw_call_credentials_unref(c);
    duo_call(&d, &h, &duo_unary, "x", NULL);
    duo_done(&d, &h);
    assert_int_equal(h.code, cases[i].code);
    assert_string_equal(h.message, cases[i].message);
    assert_string_equal(d.log, "");
    assert_int_equal(s.n_asked, 1);
    duo_finish(&d);
  }
}

/* ---- Later ---- */

typedef struct answer {
  caw_call *call;
  int code, rc;
} answer;

static void *answer_elsewhere(void *arg) {
  answer *a = arg;
  caw_call_metadata_add(a->call, CAW_REQUEST_METADATA, caw_str_from("x-late"), caw_str_from("1"));
  a->rc = caw_call_decide(a->call, a->code, "expired");
  return NULL;
}

static void answered_by_a_thread(void **state) {
  (void)state;
  for (int i = 0; i < 100; i++) {
    source s = {.answer = CAW_PENDING};
    duo d = {0};
    heard h = {0};
    pthread_t t;
    caw_call_credentials *c = d.channel_options.call_credentials = from_source(&s);
    duo_init(&d);
    caw_call_credentials_unref(c);
    d.on_message = tell;
    duo_call(&d, &h, &duo_unary, "x", NULL);
    while (!s.pending) caw_loop_run(d.loop, CAW_LOOP_ONCE);
    answer a = {s.pending, i % 2 ? CAW_UNAUTHENTICATED : 0, -1};
    assert_int_equal(pthread_create(&t, NULL, answer_elsewhere, &a), 0);
    if (i % 4 == 2) caw_call_cancel(h.call);
    duo_done(&d, &h);
    pthread_join(t, NULL);
    assert_true(a.rc == 0 || a.rc == CAW_ECLOSED);
    if (i % 4 != 2) assert_int_equal(h.code, a.code);
    if (i % 4 == 0) assert_string_equal(h.replies, "x-late=1;");
    duo_finish(&d);
    assert_int_equal(s.n_destroyed, 1);
  }
}

/* Interceptors come first: what they refuse asks for no token. */
static int refuse(caw_call *call, void *user) {
  (void)user;
  return caw_call_fail(call, CAW_PERMISSION_DENIED, "no");
}

static void after_interceptors(void **state) {
  (void)state;
  source s = {.key = "x-a", .value = "1"};
  duo d = {0};
  heard h = {0};
  caw_call_credentials *c = d.channel_options.call_credentials = from_source(&s);
  const caw_interceptor refusing = {.size = sizeof(refusing), .on_request = refuse};
  duo_init(&d);
  caw_call_credentials_unref(c);
  assert_int_equal(caw_channel_intercept(d.channel, &refusing, NULL), 0);
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, CAW_PERMISSION_DENIED);
  assert_int_equal(s.n_asked, 0);
  duo_finish(&d);
}

/* ---- Where they may be sent ---- */

static void not_in_plaintext(void **state) {
  (void)state;
  char host[INET_ADDRSTRLEN], address[64], expected[256];
  duo_other_address(host);
  if (!host[0] || raw_server_credentials) skip(); /* over TLS there is nothing to forbid */
  snprintf(address, sizeof(address), "%s:0", host);
  for (int insecure = 0; insecure < 2; insecure++) {
    source s = {.key = "x-a", .value = "1"};
    duo d = {0};
    heard h = {0};
    caw_call_credentials *c = d.channel_options.call_credentials = from_source(&s);
    d.channel_options.insecure_credentials_over_plaintext = insecure;
    duo_init(&d);
    d.on_message = tell;
    duo_move_to(&d, address, NULL);
    caw_call_credentials_unref(c);
    duo_call(&d, &h, &duo_unary, "x", NULL);
    duo_done(&d, &h);
    snprintf(expected, sizeof(expected),
             "call credentials are not sent in plaintext to ipv4:%s: use TLS, or set "
             "insecure_credentials_over_plaintext where everyone may read them",
             caw_server_address(d.server, 1));
    assert_int_equal(h.code, insecure ? 0 : CAW_UNAUTHENTICATED);
    assert_string_equal(h.message, insecure ? "" : expected);
    assert_string_equal(h.replies, insecure ? "x-a=1;" : "");
    assert_int_equal(s.n_asked, insecure);
    if (!insecure) assert_string_equal(d.log, "");
    duo_finish(&d);
  }
}

static void to_this_machine(void **state) {
  (void)state;
  char unix_path[64];
  if (raw_server_credentials) skip(); /* it is about plaintext */
  snprintf(unix_path, sizeof(unix_path), "unix:/tmp/caw-credentials-%d", (int)getpid());
  const char *const addresses[] = {"127.0.0.1:0", "127.1.2.3:0", "[::1]:0", unix_path};
  for (size_t i = 0; i < 4; i++) {
    source s = {.key = "x-a", .value = "1"};
    duo d = {0};
    heard h = {0};
    caw_call_credentials *c = d.channel_options.call_credentials = from_source(&s);
    duo_init(&d);
    d.on_message = tell;
    duo_move_to(&d, addresses[i], NULL);
    caw_call_credentials_unref(c);
    duo_call(&d, &h, &duo_unary, "x", NULL);
    duo_done(&d, &h);
    assert_int_equal(h.code, 0);
    assert_string_equal(h.replies, "x-a=1;");
    duo_finish(&d);
  }
}

/* A connection that could not be made, twice: the calls fail, or wait for it, and no
 * token was asked. */
static void not_asked_without_connection(void **state) {
  (void)state;
  source s = {.key = "x-a", .value = "1"};
  duo d = {0};
  heard h = {0};
  caw_call_credentials *c = d.channel_options.call_credentials = from_source(&s);
  const char *why = "";
  duo_init(&d);
  caw_channel_free(d.channel);
  assert_int_equal(caw_channel_new(&d.channel, "127.0.0.1:1", &d.channel_options, &why), 0);
  caw_call_credentials_unref(c);
  const caw_call_options o = {.size = sizeof(o), .wait_for_ready = true, .timeout_ms = 30};
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  assert_int_equal(h.code, CAW_UNAVAILABLE);
  duo_call(&d, &h, &duo_unary, "x", &o);
  duo_done(&d, &h);
  assert_int_equal(h.code, CAW_DEADLINE_EXCEEDED);
  assert_int_equal(s.n_asked, 0);
  duo_finish(&d);
}

static void wrong_use(void **state) {
  (void)state;
  caw_call_credentials *c = NULL;
  const caw_credentials_plugin small = {.size = 4, .get = get};
  const caw_credentials_plugin without = {.size = sizeof(without)};
  assert_int_equal(caw_call_credentials_new(&c, &small, NULL), CAW_EINVAL);
  assert_int_equal(caw_call_credentials_new(&c, &without, NULL), CAW_EINVAL);
  assert_int_equal(caw_call_credentials_new(&c, NULL, NULL), CAW_EINVAL);
  caw_call_credentials_unref(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bearer_tokens),
      cmocka_unit_test(composed),
      cmocka_unit_test(the_audience),
      cmocka_unit_test(failures),
      cmocka_unit_test(answered_by_a_thread),
      cmocka_unit_test(after_interceptors),
      cmocka_unit_test(not_in_plaintext),
      cmocka_unit_test(to_this_machine),
      cmocka_unit_test(not_asked_without_connection),
      cmocka_unit_test(wrong_use),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
